//! Where the vault's time comes from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use crate::domain::time::Timestamp;

/// Tells the time. It may jump: the vault sees to it that its own time never goes back.
pub trait Clock: Send + Sync + 'static {
    /// Now, as far as this clock knows.
    fn now(&self) -> Timestamp;
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }
}

/// The vault's time, which never runs backwards: whatever is dated, event or head, is dated by it.
pub(super) struct Steady {
    clock: Arc<dyn Clock>,
    latest_millis: AtomicI64,
}

impl Steady {
    /// Goes on from the last time that was told.
    pub(super) fn from(last: Timestamp, clock: Arc<dyn Clock>) -> Self {
        Self { clock, latest_millis: AtomicI64::new(last.as_millis()) }
    }

    /// Now, and no earlier than anybody was told before.
    pub(super) fn now(&self) -> Timestamp {
        let now = self.clock.now().as_millis();
        let before = self.latest_millis.fetch_max(now, Ordering::SeqCst);
        Timestamp::from_millis(before.max(now))
    }
}
