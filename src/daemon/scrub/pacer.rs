//! Holds reading down to a rate. Reads no clock.

use std::time::Duration;

use crate::daemon::scrub::settings::Rate;

/// How long reading has to wait, so that it keeps to a rate.
#[derive(Debug)]
pub(super) struct Pacer {
    rate: Rate,
    /// When everything that was read would have been read at that rate.
    paid: Duration,
}

impl Pacer {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, paid: Duration::ZERO }
    }

    /// How long to wait at this time, having read so much more. What was not read in time is not
    /// made up for: that would be a burst.
    pub(super) fn wait(&mut self, now: Duration, read: u64) -> Duration {
        let nanos = u128::from(read) * 1_000_000_000 / u128::from(self.rate.bytes());
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let begun = self.paid.max(now.saturating_sub(takes));
        self.paid = begun.saturating_add(takes);
        self.paid.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_keeps_to_its_rate_whatever_it_reads_and_however_long_that_takes() {
        // At 1 MiB/s: when, in ms; how many KiB more; how long to wait, in ms.
        type Steps = &'static [(u64, u64, u64)];
        let rows: [(&str, Steps); 8] = [
            ("at once", &[(0, 1_024, 1_000)]),
            ("twice at once adds up", &[(0, 512, 500), (0, 512, 1_000)]),
            ("what reading took is no waiting", &[(100, 1_024, 900)]),
            ("steady", &[(0, 1_024, 1_000), (1_000, 1_024, 1_000), (2_000, 1_024, 1_000)]),
            ("slower than it may be", &[(5_000, 1_024, 0), (10_000, 1_024, 0)]),
            ("which gives no right to a burst", &[(10_000, 1, 0), (10_000, 1_024, 1_000)]),
            ("nothing read", &[(0, 0, 0), (5, 0, 0)]),
            ("woken too early", &[(0, 1_024, 1_000), (400, 0, 600), (400, 1_024, 1_600)]),
        ];
        for (what, steps) in rows {
            let mut pacer = Pacer::new(Rate::mib(1));
            for (at, kib, wait) in steps {
                let waits = pacer.wait(Duration::from_millis(*at), kib << 10);
                assert_eq!(waits.as_millis(), u128::from(*wait), "{what}, at {at}");
            }
        }
    }

    #[test]
    fn any_sequence_of_reads_takes_as_long_as_its_rate_wants() {
        let mut pacer = Pacer::new("7 KiB/s".parse().unwrap());
        let (mut now, mut read) = (Duration::ZERO, 0u64);
        for n in 1..2_000u64 {
            let more = n * 7_919 % 65_536;
            read += more;
            // Reading takes some time itself.
            now += Duration::from_micros(n * 31 % 900);
            now += pacer.wait(now, more);
            let least = Duration::from_secs_f64(read as f64 / (7.0 * 1_024.0));
            assert!(now + Duration::from_millis(1) >= least, "{read} bytes by {now:?}");
        }
    }
}
