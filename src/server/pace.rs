//! How slow an upload may be. A deposit reserves its part of a quota, so one that is sent a byte at
//! a time would hold it for years.

use std::time::Duration;

/// How long an upload may send nothing.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(60);
/// Bytes that have to come for every [`IDLE_MAX`] that the vault waits.
pub(super) const BYTES_PER_IDLE_MIN: usize = 64 * 1024;

/// How an upload comes along.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    bytes: usize,
}

impl Pace {
    /// After so long a wait so many bytes have come. Whether that is fast enough; time that the
    /// vault itself takes does not count.
    pub(super) fn keeps_up(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < IDLE_MAX {
            return true;
        }
        let keeps_up = self.bytes >= BYTES_PER_IDLE_MIN;
        *self = Self::default();
        keeps_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_keeps_up_when_every_minute_of_waiting_brought_enough() {
        let (second, minute) = (Duration::from_secs(1), IDLE_MAX);
        let slow = BYTES_PER_IDLE_MIN / 120;
        let fast = BYTES_PER_IDLE_MIN / 60 + 1;
        for (what, pieces, keeps_up) in [
            ("a byte a second", vec![(second, 1); 60], false),
            ("a byte a second, not for long", vec![(second, 1); 59], true),
            ("just fast enough", vec![(second, fast); 600], true),
            ("half as fast", vec![(second, slow); 60], false),
            ("in bursts", vec![(minute / 2, 0), (minute / 2, BYTES_PER_IDLE_MIN)], true),
            ("fast, and then slow", vec![(minute, 1 << 20), (minute, 1)], false),
        ] {
            let mut pace = Pace::default();
            let kept = pieces.into_iter().all(|(waited, bytes)| pace.keeps_up(waited, bytes));
            assert_eq!(kept, keeps_up, "{what}");
        }
    }
}
