//! Who is on the way to the committer: statements that are still being verified and judged.
//!
//! A batch costs the same for one job as for a hundred: its syncs, the signatures under checkpoint and
//! head. So what is on its way when a batch is begun is waited for, if it comes soon. Where nobody else
//! is on the way nobody waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long the first of a batch waits for others at most: about as long as a batch takes.
const WAIT_MAX: Duration = Duration::from_millis(8);

/// Everybody who is on the way. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Coming(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    coming: AtomicUsize,
    /// Who waits for them.
    committer: OnceLock<Thread>,
}

/// Somebody on the way, until this is dropped.
#[derive(Debug)]
pub(super) struct OnTheWay(Arc<Count>);

impl Coming {
    /// One more is.
    pub(super) fn one(&self) -> OnTheWay {
        self.0.coming.fetch_add(1, Ordering::SeqCst);
        OnTheWay(Arc::clone(&self.0))
    }

    /// Waits until nobody is on the way any more, but not long. Always by one and the same thread.
    pub(super) fn wait(&self) {
        self.wait_at_most(WAIT_MAX);
    }

    fn wait_at_most(&self, limit: Duration) {
        self.0.committer.get_or_init(thread::current);
        let began = Instant::now();
        while self.0.coming.load(Ordering::SeqCst) > 0 {
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        if self.0.coming.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(committer) = self.0.committer.get()
        {
            committer.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn whoever_is_on_the_way_is_waited_for_until_the_last_has_come_or_stayed_away() {
        // Nobody who waits for the last to come sleeps so long.
        let far = Duration::from_secs(60 * 60);
        let coming = Coming::default();
        let (one, other) = (coming.one(), coming.one());
        let (done, waited) = mpsc::channel();
        let waiting = thread::spawn({
            let coming = coming.clone();
            move || {
                coming.wait_at_most(far);
                done.send(()).unwrap();
                // A second time there is nobody.
                coming.wait_at_most(far);
            }
        });
        drop(one);
        assert!(waited.try_recv().is_err(), "one is still on the way");
        drop(other);
        waited.recv_timeout(far / 60).expect("the last wakes whoever waits");
        waiting.join().unwrap();
    }

    #[test]
    fn nobody_is_waited_for_for_ever() {
        let coming = Coming::default();
        let stays_away = coming.one();
        coming.wait();
        drop(stays_away);
        assert_eq!(coming.0.coming.load(Ordering::SeqCst), 0);
    }
}
