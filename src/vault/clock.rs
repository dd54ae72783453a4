//! Where the vault's time comes from.

use std::time::SystemTime;

use crate::domain::time::Timestamp;

/// Tells the time. It may jump; the committer sees to it that the vault's time does not.
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
