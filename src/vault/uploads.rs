//! Uploads that are not finished: whose they are, how far they have come, and which of them give way.
//!
//! One call at a time is at each. What came stays when the call ends, with its part of the quota, until
//! it is deposited, forgotten, or idle for too long; until its agreement does not take it any more; or
//! until its room is needed: then what is idle gives way, the oldest first.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::domain::id::OrganisationName;
use crate::domain::time::{Span, Timestamp};
use crate::store::{Staged, SyncBeside, Upload};
use crate::vault::error::Interruption;
use crate::vault::intake::Intake;
use crate::vault::quota::Reservation;

/// How long an upload is kept that nobody goes on with.
pub(super) const KEPT_FOR: Span = Span::days(1);
/// How long it gives way to nobody but its own member.
pub(super) const UNDISTURBED_FOR: Span = Span::seconds(10 * 60);
/// Uploads that are not finished, of everybody: each may hold two files open.
pub(super) const ALL_MAX: usize = 1_024;

/// All of them. Clones are the same.
pub(super) struct Uploads<S: Staged> {
    registry: Arc<Mutex<Registry<S>>>,
    /// As many of them are hashed and written at once as there are permits: whoever asks for little
    /// finds a processor that none of them has.
    processors: Arc<Semaphore>,
}

struct Registry<S: Staged> {
    uploads: BTreeMap<Upload, Entry<S>>,
    /// Once the vault goes down, no call begins.
    is_over: bool,
}

struct Entry<S: Staged> {
    /// Held for as long as it is not stored or forgotten.
    _reservation: Reservation,
    progress: Arc<Progress>,
    state: State<S>,
}

enum State<S: Staged> {
    /// Nobody is at it. `None` where all that is known of it is on disk.
    Resting { since: Timestamp, intake: Option<Box<Intake<S>>> },
    /// A call is at it, and hears here why it has to end.
    Taken { end: watch::Sender<Option<Interruption>>, back: watch::Receiver<()> },
}

/// How far an upload is, for whoever looks at it from outside.
#[derive(Debug, Default)]
pub(super) struct Progress {
    written: AtomicU64,
    is_syncing: AtomicBool,
    /// Whether a sync failed. Held while one runs: a failure is told to one of several at a time.
    failed: Mutex<bool>,
}

impl Progress {
    pub(super) fn wrote(&self, size: u64) {
        self.written.store(size, Ordering::Relaxed);
    }

    /// Runs a sync, unless one failed before: then whatever another says would be no news.
    pub(super) fn sync<T, E: From<std::io::Error>>(
        &self,
        sync: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed {
            return Err(std::io::Error::other("an earlier sync failed").into());
        }
        let synced = sync();
        *failed = synced.is_err();
        synced
    }

    /// Whether a sync beside the writing may begin: one at a time.
    pub(super) fn may_sync_beside(&self) -> bool {
        !self.is_syncing.swap(true, Ordering::AcqRel)
    }

    /// It does not begin after all.
    pub(super) fn no_sync_beside(&self) {
        self.is_syncing.store(false, Ordering::Release);
    }

    /// Runs a sync beside the writing, and tells how far it got.
    pub(super) fn sync_beside(&self, sync: SyncBeside, durable: &watch::Sender<u64>) {
        let synced = self.sync(sync);
        self.no_sync_beside();
        // What failed is found by whoever writes next.
        if let Ok(size) = synced {
            durable.send_if_modified(|told| {
                let is_news = size > *told;
                *told = (*told).max(size);
                is_news
            });
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.try_lock().is_ok_and(|failed| *failed)
    }
}

/// What came of asking for an upload.
pub(super) enum Asked<S: Staged> {
    /// There is none.
    Missing,
    /// Another call is at it, and was told to end. It has when this closes.
    Busy(watch::Receiver<()>),
    /// It is the asker's now.
    Mine(Box<Taken<S>>),
    /// No call begins any more.
    Over,
}

/// An upload that a call is at. Given back when dropped.
pub(super) struct Taken<S: Staged> {
    uploads: Uploads<S>,
    pub upload: Upload,
    pub progress: Arc<Progress>,
    /// What has come; `None` until it is read again.
    pub intake: Option<Intake<S>>,
    /// Why it has to end, once it has.
    pub end: watch::Receiver<Option<Interruption>>,
    /// When something came last: from then on it rests, should it be given back.
    pub since: Timestamp,
    /// Behind everything else: whoever waits looks again.
    _back: watch::Sender<()>,
}

impl<S: Staged> Clone for Uploads<S> {
    fn clone(&self) -> Self {
        Self { registry: Arc::clone(&self.registry), processors: Arc::clone(&self.processors) }
    }
}

impl<S: Staged> Default for Uploads<S> {
    fn default() -> Self {
        let registry = Registry { uploads: BTreeMap::new(), is_over: false };
        let processors = available_parallelism().map_or(1, |count| count.get().div_ceil(2));
        Self {
            registry: Arc::new(Mutex::new(registry)),
            processors: Arc::new(Semaphore::new(processors)),
        }
    }
}

impl<S: Staged> Uploads<S> {
    fn registry(&self) -> MutexGuard<'_, Registry<S>> {
        // Entries are replaced whole.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Half of the processors are theirs: waits for one.
    pub(super) async fn processor(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.processors).acquire_owned().await.ok()
    }

    /// Asks for an upload that was begun. Whoever is at it is told to end.
    pub(super) fn ask(&self, upload: &Upload, now: Timestamp) -> Asked<S> {
        let mut registry = self.registry();
        if registry.is_over {
            return Asked::Over;
        }
        let Some(entry) = registry.uploads.get_mut(upload) else { return Asked::Missing };
        match &mut entry.state {
            State::Taken { end, back } => {
                end.send_replace(Some(Interruption::TakenOver));
                Asked::Busy(back.clone())
            }
            State::Resting { intake, .. } => {
                let intake = intake.take().map(|intake| *intake);
                Asked::Mine(Box::new(self.take(upload, entry, intake, now)))
            }
        }
    }

    /// Takes an upload that nobody is at.
    pub(super) fn take_resting(&self, upload: &Upload, now: Timestamp) -> Option<Taken<S>> {
        let mut registry = self.registry();
        let entry = registry.uploads.get_mut(upload)?;
        match &mut entry.state {
            State::Taken { .. } => None,
            State::Resting { intake, .. } => {
                let intake = intake.take().map(|intake| *intake);
                Some(self.take(upload, entry, intake, now))
            }
        }
    }

    /// Begins an upload, unless somebody else has meanwhile.
    pub(super) fn begin(
        &self,
        upload: &Upload,
        reservation: Reservation,
        now: Timestamp,
    ) -> Option<Taken<S>> {
        let mut registry = self.registry();
        match registry.uploads.entry(upload.clone()) {
            Place::Occupied(_) => None,
            Place::Vacant(place) => {
                let entry = place.insert(Entry::resting(reservation, now));
                Some(self.take(upload, entry, None, now))
            }
        }
    }

    /// Takes up what an earlier run of the vault has left.
    pub(super) fn found(&self, upload: Upload, reservation: Reservation, since: Timestamp) {
        self.registry().uploads.insert(upload, Entry::resting(reservation, since));
    }

    fn take(
        &self,
        upload: &Upload,
        entry: &mut Entry<S>,
        intake: Option<Intake<S>>,
        since: Timestamp,
    ) -> Taken<S> {
        let (end, ending) = watch::channel(None);
        let (back, given_back) = watch::channel(());
        entry.state = State::Taken { end, back: given_back };
        if intake.is_none() {
            // What is on disk is read again, and what failed before has been forgotten.
            entry.progress = Arc::default();
        }
        Taken {
            uploads: self.clone(),
            upload: upload.clone(),
            progress: Arc::clone(&entry.progress),
            intake,
            end: ending,
            since,
            _back: back,
        }
    }

    /// Ends every call, and lets none begin. What came stays.
    pub(super) fn end(&self) {
        let mut registry = self.registry();
        registry.is_over = true;
        for entry in registry.uploads.values() {
            if let State::Taken { end, .. } = &entry.state {
                end.send_replace(Some(Interruption::Stopping));
            }
        }
    }

    /// How many there are of an organisation, and of them of this upload's member.
    pub(super) fn counts(&self, upload: &Upload) -> (u64, u64) {
        let registry = self.registry();
        let organisation = &upload.member.organisation;
        let of_it =
            registry.uploads.keys().filter(|other| other.member.organisation == *organisation);
        let of_one = of_it.clone().filter(|other| other.member == upload.member);
        (of_it.count() as u64, of_one.count() as u64)
    }

    /// Whether there are as many as there may be, of everybody.
    pub(super) fn are_all(&self) -> bool {
        self.registry().uploads.len() >= ALL_MAX
    }

    /// How many there are, and how many bytes have come of them.
    pub(super) fn in_total(&self) -> (u64, u64) {
        let registry = self.registry();
        let written = registry.uploads.values().map(|entry| entry.written());
        (registry.uploads.len() as u64, written.fold(0, u64::saturating_add))
    }

    /// How many bytes are still to come of all but this one, and of this one.
    pub(super) fn missing(&self, upload: &Upload) -> (u64, u64) {
        let registry = self.registry();
        let missing = |(upload, entry): (&Upload, &Entry<S>)| upload.size - entry.written();
        let others = registry.uploads.iter().filter(|(other, _)| *other != upload).map(missing);
        let own = registry.uploads.get_key_value(upload).map_or(upload.size, missing);
        (others.fold(0, u64::saturating_add), own)
    }

    /// Those that nobody is at, and since when.
    pub(super) fn resting(&self) -> Vec<(Upload, Timestamp)> {
        let registry = self.registry();
        let resting = registry.uploads.iter().filter_map(|(upload, entry)| match entry.state {
            State::Resting { since, .. } => Some((upload.clone(), since)),
            State::Taken { .. } => None,
        });
        resting.collect()
    }

    /// The one that gives way to this upload first: idle, of those that count, the oldest. Its own
    /// member's do so at once, anybody else's only when nothing has come for a while.
    pub(super) fn gives_way(&self, to: &Upload, now: Timestamp, whose: Whose) -> Option<Upload> {
        let counts = |other: &Upload| match &whose {
            Whose::Member => other.member == to.member,
            Whose::Organisation(organisation) => other.member.organisation == *organisation,
            Whose::Anybody => true,
        };
        let may = |(other, since): &(Upload, Timestamp)| {
            let rests = other.member == to.member || now >= since.after(UNDISTURBED_FOR);
            other != to && rests && counts(other)
        };
        let oldest = self.resting().into_iter().filter(may).min_by_key(|(_, since)| *since);
        oldest.map(|(upload, _)| upload)
    }
}

/// Whose uploads count where something is short.
pub(super) enum Whose {
    /// The same member's.
    Member,
    /// This organisation's.
    Organisation(OrganisationName),
    /// Everybody's.
    Anybody,
}

impl<S: Staged> Entry<S> {
    fn resting(reservation: Reservation, since: Timestamp) -> Self {
        let state = State::Resting { since, intake: None };
        Self { _reservation: reservation, progress: Arc::default(), state }
    }

    fn written(&self) -> u64 {
        self.progress.written.load(Ordering::Relaxed)
    }
}

impl<S: Staged> Taken<S> {
    /// There is no such upload any more: it was stored, or forgotten.
    pub(super) fn gone(self) {
        self.uploads.registry().uploads.remove(&self.upload);
    }
}

impl<S: Staged> Drop for Taken<S> {
    fn drop(&mut self) {
        let (since, intake) = (self.since, self.intake.take().map(Box::new));
        if let Some(entry) = self.uploads.registry().uploads.get_mut(&self.upload) {
            entry.state = State::Resting { since, intake };
        }
    }
}
