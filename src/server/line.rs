//! What a connection and the answers on it know of each other.
//!
//! HTTP/2 lets a peer ask for much and take nothing, by leaving a window at zero or the socket
//! unread, for as long as it answers pings. An answer tells here what it has handed over and when;
//! the connection tells what it has written, and ends when something was not taken for too long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Bytes of answers that may wait for the socket, besides what a slow window holds up.
const BACKLOG_BYTES_MAX: usize = 512 * 1024;

/// One connection, as its answers see it.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    answers: u64,
    offered: BTreeMap<u64, Instant>,
    backlog_bytes: usize,
    waiting: Vec<Waker>,
}

/// An answer on its way out.
#[derive(Debug)]
pub(super) struct Answer {
    line: Arc<Line>,
    number: u64,
}

impl Line {
    pub(super) fn answer(self: &Arc<Self>) -> Answer {
        let mut state = self.state();
        state.answers += 1;
        Answer { line: self.clone(), number: state.answers }
    }

    /// For how long the slowest answer has offered something that the peer does not take.
    pub(super) fn untaken_for(&self, now: Instant) -> Duration {
        let state = self.state();
        let since = state.offered.values().min().copied();
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Bytes went to the socket.
    pub(super) fn written(&self, bytes: usize) {
        let mut state = self.state();
        let left = state.backlog_bytes.saturating_sub(bytes);
        state.leave(left);
    }

    /// All that was ready to go has gone. What was counted and is still not written never will
    /// be: it was discarded with its stream, or waits for a window and is little.
    pub(super) fn flushed(&self) {
        self.state().leave(0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Never left half-changed, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leave(&mut self, backlog_bytes: usize) {
        self.backlog_bytes = backlog_bytes;
        if backlog_bytes < BACKLOG_BYTES_MAX {
            self.waiting.drain(..).for_each(Waker::wake);
        }
    }
}

impl Answer {
    /// Whatever was offered before has been taken. Ready when there is room for more.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.line.state();
        state.offered.remove(&self.number);
        if state.backlog_bytes < BACKLOG_BYTES_MAX {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// So many bytes are handed over.
    pub(super) fn offer(&self, bytes: usize, now: Instant) {
        let mut state = self.line.state();
        state.backlog_bytes += bytes;
        state.offered.insert(self.number, now);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.line.state().offered.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_grows_old_and_what_is_not_written_makes_others_wait() {
        let line = Arc::new(Line::default());
        let (one, other) = (line.answer(), line.answer());
        let mut cx = Context::from_waker(Waker::noop());
        let began = Instant::now();
        let later = began + Duration::from_secs(5);
        let untaken = || line.untaken_for(later).as_secs();
        assert!(one.poll_room(&mut cx).is_ready());
        one.offer(BACKLOG_BYTES_MAX - 1, began);
        assert!(other.poll_room(&mut cx).is_ready());
        other.offer(2, later);
        assert_eq!(untaken(), 5, "the slowest counts");
        assert!(one.poll_room(&mut cx).is_pending());
        line.written(2);
        assert!(one.poll_room(&mut cx).is_ready());
        one.offer(BACKLOG_BYTES_MAX, later);
        assert!(one.poll_room(&mut cx).is_pending());
        line.flushed();
        assert!(one.poll_room(&mut cx).is_ready(), "whatever was discarded counts no more");
        one.offer(1, began);
        drop((one, other));
        assert_eq!(untaken(), 0, "nothing is kept of what has ended");
    }
}
