//! How far something is, as a line that fits the terminal.

use crate::cli::output::size;
use crate::cli::progress::Unit;

/// Columns of the bar itself, where there is room for it.
const BAR_MIN: usize = 10;
const BAR_MAX: usize = 30;

/// How far something is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) rate: Option<u64>,
    pub(super) seconds_left: Option<u64>,
}

impl Shown {
    /// In so many columns at most: what is least missed is left out first.
    pub(super) fn line(&self, columns: usize) -> String {
        let [begin, amount, rate, left] = self.parts();
        let whole = format!("{amount}{rate}{left}");
        // Two blanks and two brackets.
        let room = columns.saturating_sub(begin.len() + whole.len() + 4);
        let with_bar =
            (room >= BAR_MIN).then(|| format!("{begin}  [{}]{whole}", self.bar(room.min(BAR_MAX))));
        let shorter = [
            format!("{begin}{whole}"),
            format!("{begin}{rate}{left}"),
            format!("{begin}{left}"),
            begin,
        ];
        let mut lines = with_bar.into_iter().chain(shorter);
        let fits = lines.find(|line| line.chars().count() <= columns);
        fits.unwrap_or_else(|| format!("{:3}%", self.percent()).chars().take(columns).collect())
    }

    /// All of it, without the bar.
    pub(super) fn words(&self) -> String {
        self.parts().concat()
    }

    fn parts(&self) -> [String; 4] {
        let rate = self.rate.map(|rate| format!("  {}/s", self.amount(rate)));
        let left = self.seconds_left.map(|left| format!("  {} left", clock(left)));
        [
            format!("{} {:3}%", self.what, self.percent()),
            format!("  {} of {}", self.amount(self.done), self.amount(self.total)),
            rate.unwrap_or_default(),
            left.unwrap_or_default(),
        ]
    }

    /// What is left standing once it is done, and how long it took.
    pub(super) fn last_line(&self, seconds: u64, columns: usize) -> String {
        let begin = format!("{} 100%", self.what);
        let amount = format!("  {} in {}", self.amount(self.total), clock(seconds));
        let rate = self.rate.map(|rate| format!(", {}/s", self.amount(rate))).unwrap_or_default();
        let lines = [format!("{begin}{amount}{rate}"), format!("{begin}{amount}"), begin];
        let fits = lines.into_iter().find(|line| line.chars().count() <= columns);
        fits.unwrap_or_default()
    }

    fn percent(&self) -> u64 {
        match self.total {
            0 => 100,
            // In 128 bits, as a bundle may have more than a hundredth of all bytes there are.
            total => (100 * u128::from(self.done.min(total)) / u128::from(total)) as u64,
        }
    }

    fn bar(&self, columns: usize) -> String {
        let full = columns * self.percent() as usize / 100;
        format!("{}{}", "#".repeat(full), "-".repeat(columns - full))
    }

    fn amount(&self, amount: u64) -> String {
        match self.unit {
            Unit::Bytes => size(amount),
            Unit::Events => amount.to_string(),
        }
    }
}

/// Hours, minutes and seconds, as many of them as it takes.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Shown = Shown {
        what: "depositing",
        unit: Unit::Bytes,
        done: 3 << 29,
        total: 3 << 30,
        rate: Some(100 << 20),
        seconds_left: Some(16),
    };

    #[test]
    fn a_line_fits_the_terminal_and_says_what_it_has_room_for() {
        let whole = "depositing  50%  [###############---------------]  1.5 GiB of 3.0 GiB  \
                     100.0 MiB/s  0:16 left";
        for (columns, line) in [
            (200, whole),
            (93, whole),
            (79, "depositing  50%  [########--------]  1.5 GiB of 3.0 GiB  100.0 MiB/s  0:16 left"),
            (73, "depositing  50%  [#####-----]  1.5 GiB of 3.0 GiB  100.0 MiB/s  0:16 left"),
            (72, "depositing  50%  1.5 GiB of 3.0 GiB  100.0 MiB/s  0:16 left"),
            (54, "depositing  50%  100.0 MiB/s  0:16 left"),
            (30, "depositing  50%  0:16 left"),
            (20, "depositing  50%"),
            (9, " 50%"),
            (2, " 5"),
            (0, ""),
        ] {
            assert_eq!(HALF.line(columns), line, "{columns} columns");
        }
        for columns in 0..100 {
            assert!(HALF.line(columns).chars().count() <= columns, "{columns} columns");
            assert!(HALF.last_line(30, columns).chars().count() <= columns, "{columns} columns");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let events = Shown { what: "replaying", unit: Unit::Events, done: 0, total: 7, ..HALF };
        for (what, shown, line) in [
            (
                "no rate yet",
                Shown { rate: None, seconds_left: None, ..events },
                "replaying   0%  0 of 7",
            ),
            (
                "no end in sight",
                Shown { seconds_left: None, rate: Some(0), ..events },
                "replaying   0%  0 of 7  0/s",
            ),
            (
                "nothing to do",
                Shown { total: 0, rate: None, seconds_left: Some(0), ..events },
                "replaying 100%  0 of 0  0:00 left",
            ),
            (
                "more than there was",
                Shown { done: 9, rate: None, seconds_left: None, ..events },
                "replaying 100%  9 of 7",
            ),
        ] {
            let bare = shown.line(line.len());
            assert_eq!(bare, line, "{what}");
        }
    }

    #[test]
    fn the_last_line_says_how_long_it_took() {
        for (seconds, columns, line) in [
            (30, 80, "depositing 100%  3.0 GiB in 0:30, 100.0 MiB/s"),
            (3_661, 40, "depositing 100%  3.0 GiB in 1:01:01"),
            (30, 20, "depositing 100%"),
            (30, 9, ""),
        ] {
            assert_eq!(HALF.last_line(seconds, columns), line);
        }
    }
}
