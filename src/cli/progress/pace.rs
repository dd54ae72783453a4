//! How fast something moves, and when it will be done. Reads no clock.

use std::time::Duration;

/// What was moved this long ago counts a third of what is moved now.
const MEMORY: Duration = Duration::from_secs(8);
/// Longer than anybody waits: as good as not known.
const SECONDS_LEFT_MAX: f64 = 100.0 * 3_600.0;

/// Something that moves. What was there before it began to is no movement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    at: Duration,
    done: u64,
    /// What was moved, and in how many seconds: both fade alike.
    moved: f64,
    seconds: f64,
}

impl Pace {
    /// Goes on from here.
    pub(crate) fn from(at: Duration, done: u64) -> Self {
        Self { at, done, moved: 0.0, seconds: 0.0 }
    }

    /// So much is done by now. Less than before means that it goes on from there.
    pub(crate) fn reached(&mut self, at: Duration, done: u64) {
        if done < self.done {
            (self.at, self.done) = (at, done);
            return;
        }
        let took = at.saturating_sub(self.at).as_secs_f64();
        if took > 0.0 {
            let faded = (-took / MEMORY.as_secs_f64()).exp();
            self.moved = self.moved * faded + (done - self.done) as f64;
            self.seconds = self.seconds * faded + took;
            (self.at, self.done) = (at, done);
        }
    }

    /// How much is moved in a second; `None` as long as nobody can tell.
    pub(crate) fn rate(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.moved / self.seconds)
    }

    /// How many seconds it takes until all of it is done; `None` where nobody can tell.
    pub(crate) fn seconds_left(&self, total: u64) -> Option<u64> {
        let left = total.saturating_sub(self.done);
        if left == 0 {
            return Some(0);
        }
        let seconds = left as f64 / self.rate()?;
        (seconds <= SECONDS_LEFT_MAX).then(|| seconds.ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_are_those_of_what_was_moved_lately() {
        type Steps = &'static [(u64, u64)];
        // Milliseconds and what is done by then, of 1000; the rate, and the seconds left.
        let rows: [(&str, Steps, Option<u64>, Option<u64>); 13] = [
            ("nothing known yet", &[(0, 0)], None, None),
            ("no time has passed", &[(0, 0), (0, 100)], None, None),
            ("the first piece", &[(0, 0), (500, 100)], Some(200), Some(5)),
            ("steady", &[(0, 0), (1_000, 100), (2_000, 200)], Some(100), Some(8)),
            ("pieces of different length", &[(0, 0), (100, 10), (2_000, 200)], Some(100), Some(8)),
            ("faster than at first", &[(0, 0), (1_000, 10), (2_000, 210)], Some(111), Some(8)),
            ("fast for long", &[(0, 0), (60_000, 0), (90_000, 900)], Some(29), Some(4)),
            (
                "resumed: what was there is no movement",
                &[(0, 700), (1_000, 800)],
                Some(100),
                Some(2),
            ),
            (
                "begun anew, and the rate stays",
                &[(0, 0), (1_000, 400), (2_000, 0)],
                Some(400),
                Some(3),
            ),
            ("nothing moves", &[(0, 0), (10_000, 0)], Some(0), None),
            ("as good as nothing moves", &[(0, 0), (1_000_000, 1)], Some(0), None),
            ("done", &[(0, 0), (1_000, 1_000)], Some(1_000), Some(0)),
            ("more than was to be done", &[(0, 0), (1_000, 1_200)], Some(1_200), Some(0)),
        ];
        for (what, steps, rate, left) in rows {
            let mut steps = steps.iter().map(|(ms, done)| (Duration::from_millis(*ms), *done));
            let (at, done) = steps.next().unwrap();
            let mut pace = Pace::from(at, done);
            steps.for_each(|(at, done)| pace.reached(at, done));
            assert_eq!(pace.rate().map(|rate| rate.round() as u64), rate, "{what}");
            assert_eq!(pace.seconds_left(1_000), left, "{what}");
        }
    }

    #[test]
    fn a_pause_wears_off() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::from(Duration::ZERO, 0);
        pace.reached(60 * second, 0);
        let mut rates = Vec::new();
        for n in 1..=30 {
            pace.reached((60 + n) * second, 100 * u64::from(n));
            rates.push(pace.rate().unwrap());
        }
        assert!(rates.is_sorted(), "{rates:?}");
        assert!(*rates.first().unwrap() < 20.0 && *rates.last().unwrap() > 80.0, "{rates:?}");
    }
}
