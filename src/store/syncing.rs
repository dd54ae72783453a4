//! Sees to it that the index reaches the disk, and that it is known when it does not.
//!
//! sled's own flusher syncs too, but only logs a sync that fails, and goes on: what the disk has lost
//! by then would be read back later as if nothing had happened. The system tells a failure to write
//! back once to every open file, so that this one, open all the while, is told as
//! well. After a failure of this or any other access to the index the store has failed, which ends the
//! process, as with every sync; the next start verifies the index and brings it level with the journal.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::chain::chain;

/// sled's file, within the index's directory.
pub(crate) const FILE: &str = "db";
/// Not more often than sled writes.
const SYNC_EVERY: Duration = Duration::from_millis(500);
/// Rounds after a change: sled may write it behind the first.
const ROUNDS: u8 = 2;

/// Whether the index can be gone on with. Once it cannot, it never can again.
#[derive(Debug, Clone)]
pub(crate) struct Health(watch::Sender<bool>);

impl Health {
    pub(crate) fn good() -> Self {
        Self(watch::Sender::new(false))
    }

    /// The system refused to read or write the index.
    pub(crate) fn fail(&self, error: &io::Error) {
        if !self.0.send_replace(true) {
            let error = chain(error);
            tracing::error!(error, "the index cannot be read or written any more; nothing is lost");
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        *self.0.borrow()
    }

    /// Turns true when it fails.
    pub(crate) fn failed(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// A thread that syncs the index while it changes. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Syncing {
    file: Arc<File>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ending: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rounds_left: u8,
    ending: bool,
}

impl Syncing {
    /// Begins for the index in this directory.
    pub(crate) fn begin(directory: &Path, health: Health) -> io::Result<Self> {
        let (file, shared) = (Arc::new(File::open(directory.join(FILE))?), Arc::default());
        let thread = std::thread::Builder::new().name("index-sync".to_owned()).spawn({
            let (file, shared) = (Arc::clone(&file), Arc::clone(&shared));
            move || run(&file, &shared, &health)
        })?;
        Ok(Self { file, shared, thread: Some(thread) })
    }

    /// The index was changed.
    pub(crate) fn changed(&self) {
        self.shared.state().rounds_left = ROUNDS;
    }

    /// Syncs what sled has written, at the end.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        self.shared.state().ending = true;
        self.shared.ending.notify_all();
        // A panic there has been told of, and there is nobody to hand it to.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl Shared {
    /// Flags and a count: nothing that a panic could leave half-changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next round. `None` once there is none.
    fn round(&self) -> Option<bool> {
        let goes_on = |state: &mut State| !state.ending;
        let waited = self.ending.wait_timeout_while(self.state(), SYNC_EVERY, goes_on);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.ending {
            return None;
        }
        let is_due = state.rounds_left > 0;
        state.rounds_left = state.rounds_left.saturating_sub(1);
        Some(is_due)
    }
}

fn run(file: &File, shared: &Shared, health: &Health) {
    while let Some(is_due) = shared.round() {
        if is_due && let Err(error) = file.sync_data() {
            health.fail(&error);
            return;
        }
    }
}
