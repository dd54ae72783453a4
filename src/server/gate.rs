//! Bounds how many of its futures compute at once, and not how many wait.
//!
//! Handshakes compute where calls do, on the runtime's few threads. Without this a crowd of
//! strangers would have them all; with it calls always have the others. Whoever waits for the
//! network holds nothing up.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::ready;

use tokio::sync::Semaphore;

/// Lets so many at a time through, in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// This future, which passes the gate each time that it is polled.
    pub(super) async fn pass<F: Future>(&self, future: F) -> F::Output {
        let (mut future, mut place) = (pin!(future), pin!(self.0.acquire()));
        poll_fn(|cx| {
            // It is never closed, and if it were, nobody would have to wait.
            let held = ready!(place.as_mut().poll(cx));
            place.set(self.0.acquire());
            let outcome = future.as_mut().poll(cx);
            drop(held);
            outcome
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn one_computes_at_a_time_and_any_number_wait() {
        let gate = Gate::new(1);
        let mut noop = Context::from_waker(Waker::noop());
        // They wait for the network: the gate stays open.
        let mut idle: Vec<_> =
            (0..3).map(|_| Box::pin(gate.pass(std::future::pending::<()>()))).collect();
        assert!(idle.iter_mut().all(|one| one.as_mut().poll(&mut noop).is_pending()));

        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut others = Context::from_waker(&waker);
        let mut other = pin!(gate.pass(std::future::ready(7)));
        let mut gone = Box::pin(gate.pass(std::future::ready(8)));
        let computing = gate.pass(poll_fn(|_| {
            // Whoever comes meanwhile has to wait, in the order in which they came.
            assert!(gone.as_mut().poll(&mut noop).is_pending());
            assert!(other.as_mut().poll(&mut others).is_pending());
            Poll::Ready(())
        }));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(computing).poll(&mut cx).is_ready());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0, "another is before it");
        drop(gone);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "who gives up leaves the place to the next");
        assert_eq!(other.poll(&mut others), Poll::Ready(7));
    }
}
