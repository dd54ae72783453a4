//! Whose turn it is at the disk. It writes what several files are to have at about the same time, so that
//! who waits for a few bytes waits for all that is synced beside them. Large bundles on their way in are
//! therefore synced one after the other, and none of them while a batch is: that is what members wait
//! for. While there are batches, bundles are synced a little at a time as well.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a bundle gives way to batches at most. Where one follows the other all the time its bytes
/// have to become durable as well.
const GIVES_WAY_FOR: Duration = Duration::from_millis(100);
/// How long after a batch another one is to be reckoned with.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// Who is at the disk.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batches: usize,
    /// When the last of them came.
    batch_at: Option<Instant>,
    has_bundle: bool,
}

/// A batch is made durable, until this is dropped.
#[derive(Debug)]
pub(crate) struct OfBatch<'a>(&'a Turns);

/// Bytes of a large bundle are, until this is dropped.
#[derive(Debug)]
pub(crate) struct OfBundle<'a>(&'a Turns);

impl Turns {
    /// A batch's turn, which comes at once.
    pub(crate) fn of_batch(&self) -> OfBatch<'_> {
        let mut state = self.state();
        state.batches += 1;
        state.batch_at = Some(Instant::now());
        OfBatch(self)
    }

    /// Whether there are batches these days.
    pub(crate) fn has_batches(&self) -> bool {
        self.state().batch_at.is_some_and(|at| at.elapsed() < BUSY_FOR)
    }

    /// A bundle's turn, once it has come.
    pub(crate) fn of_bundle(&self) -> OfBundle<'_> {
        self.of_bundle_within(GIVES_WAY_FOR)
    }

    fn of_bundle_within(&self, gives_way_for: Duration) -> OfBundle<'_> {
        let is_not_yet = |state: &mut State| state.has_bundle || state.batches > 0;
        let waited = self.changed.wait_timeout_while(self.state(), gives_way_for, is_not_yet);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(state, |state| state.has_bundle);
        waited.unwrap_or_else(PoisonError::into_inner).has_bundle = true;
        OfBundle(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OfBatch<'_> {
    fn drop(&mut self) {
        self.0.state().batches -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for OfBundle<'_> {
    fn drop(&mut self) {
        self.0.state().has_bundle = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};
    use std::thread::{self, Scope};

    use super::*;

    /// Nobody waits for so long.
    const FAR: Duration = Duration::from_secs(60);

    /// Hears when a bundle's turn has come and is over.
    fn bundle<'a>(scope: &'a Scope<'a, '_>, turns: &'a Turns, within: Duration) -> Receiver<()> {
        let (done, came) = mpsc::channel();
        scope.spawn(move || {
            drop(turns.of_bundle_within(within));
            done.send(()).unwrap();
        });
        came
    }

    #[test]
    fn a_bundle_gives_way_to_batches_and_to_another_bundle() {
        let turns = Turns::default();
        thread::scope(|scope| {
            let (one, other) = (turns.of_batch(), turns.of_batch());
            let waiting = bundle(scope, &turns, FAR);
            drop(one);
            assert!(waiting.try_recv().is_err(), "a batch is still at it");
            drop(other);
            waiting.recv_timeout(FAR).unwrap();
            let at_it = turns.of_bundle();
            // A batch does not wait for it.
            drop(turns.of_batch());
            let waiting = bundle(scope, &turns, Duration::ZERO);
            assert!(waiting.try_recv().is_err(), "a bundle is still at it");
            drop(at_it);
            waiting.recv_timeout(FAR).unwrap();
        });
    }

    #[test]
    fn a_bundle_does_not_give_way_for_ever() {
        let turns = Turns::default();
        assert!(!turns.has_batches());
        let _batch = turns.of_batch();
        drop(turns.of_bundle());
    }
}
