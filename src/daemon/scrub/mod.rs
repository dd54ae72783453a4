//! The background scrub: while a vault is served, everything stored is read and checked once a
//! period, slowly, so that damage is found before somebody needs what is damaged.

mod book;
mod measures;
mod pacer;
mod settings;

pub(super) use book::SCRUB;
pub(super) use measures::Measures;
pub(super) use settings::Scrub;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::daemon::scrub::book::{Book, Due, Shelf};
use crate::daemon::scrub::pacer::Pacer;
use crate::domain::chain::chain;
use crate::store::{Pass, Place, Store};
use crate::vault::Vault;

/// Read at once, and between two looks at whether to stop.
const BURST_BYTES: u64 = 1 << 20;
/// How often it is written down how far it has come.
const SAVED_EVERY: Duration = Duration::from_secs(30);
/// How often it is looked whether something is due. The clock decides, not the waiting: it may be
/// set, and the machine may sleep.
const LOOK: Duration = Duration::from_secs(60);

/// Reads on and on, until told to stop.
pub(super) struct Scrubber<S: Store> {
    vault: Arc<Vault<S>>,
    settings: Scrub,
    shelf: Shelf,
    book: Book,
    measures: Measures,
}

impl<S: Store> Scrubber<S> {
    /// For the vault in this directory.
    pub(super) fn new(
        vault: &Arc<Vault<S>>,
        data: &Path,
        settings: Scrub,
        measures: Measures,
    ) -> Self {
        let shelf = Shelf::at(data);
        let book = shelf.read();
        measures.stands(&book);
        Self { vault: Arc::clone(vault), settings, shelf, book, measures }
    }

    /// Goes on until `stop` is sent or dropped, and writes down how far it has come.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            let wait = match self.book.due(self.settings.every, self.vault.now()) {
                Due::Never => return,
                Due::In(span) => span.as_duration().min(LOOK),
                Due::Now(place) => match self.pass(place, &mut stop).await {
                    Ended::Whole => continue,
                    Ended::Stopped => return,
                    Ended::Failed => LOOK,
                },
            };
            if stops_within(&mut stop, wait).await {
                return;
            }
        }
    }

    /// One pass, from this place to the end of what is stored.
    async fn pass(&mut self, from: Place, stop: &mut oneshot::Receiver<()>) -> Ended {
        let is_new = from == Place::START;
        let entry = self.book.entry(&from, self.vault.now());
        tracing::info!(
            bytes = entry.bytes, rate = %self.settings.rate,
            "{}", if is_new { "scrubbing begins: everything stored is read" } else { "scrubbing goes on" }
        );
        let (began, mut saved) = (Instant::now(), Instant::now());
        let mut pacer = Pacer::new(self.settings.rate);
        let mut pass = Some(Pass::from(from));
        while let Some(now) = pass.take() {
            let read = match self.vault.scrub(now, self.burst()).await {
                Ok(read) => read,
                Err(fault) => {
                    tracing::error!(
                        error = chain(&fault),
                        "scrubbing cannot go on; it tries again"
                    );
                    self.save();
                    return Ended::Failed;
                }
            };
            read.tell();
            let is_harmed = read.found.is_some();
            self.measures.read(read.bytes, is_harmed);
            let place = read.pass.as_ref().map(|pass| pass.place().clone());
            if let Some(entry) = &mut self.book.pass {
                entry.bytes += read.bytes;
                entry.harmed += u64::from(is_harmed);
                entry.place = place;
            }
            self.measures.stands(&self.book);
            pass = read.pass;
            let is_due = saved.elapsed() >= SAVED_EVERY;
            if pass.is_some() && (is_harmed || is_due) {
                saved = Instant::now();
                self.save();
            }
            let wait = pacer.wait(began.elapsed(), read.bytes);
            if pass.is_some() && stops_within(stop, wait).await {
                self.save();
                return Ended::Stopped;
            }
        }
        self.ended();
        Ended::Whole
    }

    /// No more at once than is read in a second: waiting is in between.
    fn burst(&self) -> u64 {
        BURST_BYTES.min(self.settings.rate.bytes())
    }

    fn ended(&mut self) {
        self.book.finished_at = Some(self.vault.now());
        self.measures.stands(&self.book);
        self.save();
        if let Some(pass) = &self.book.pass {
            let (bytes, harmed) = (pass.bytes, pass.harmed);
            match harmed {
                0 => tracing::info!(bytes, "scrubbed: everything stored is as it was written"),
                harmed => tracing::error!(bytes, harmed, "scrubbed: not all is as it was written"),
            }
        }
    }

    fn save(&self) {
        if let Err(fault) = self.shelf.put(&self.book) {
            let error = chain(&fault);
            tracing::warn!(error, "how far scrubbing has come cannot be written down");
        }
    }
}

/// How a pass ended.
enum Ended {
    Whole,
    Stopped,
    Failed,
}

/// Waits, unless it is to stop before.
async fn stops_within(stop: &mut oneshot::Receiver<()>, wait: Duration) -> bool {
    tokio::time::timeout(wait, stop).await.is_ok()
}
