//! Points and spans of time. Nothing here reads a clock: whoever acts brings the time along.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::id::{Malformed, serde_as_text};

const SECOND: i64 = 1_000;
const DAY: i64 = 86_400 * SECOND;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z; written as RFC 3339 in UTC with
/// three decimals. Years 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// The last instant that can be written: the end of the year 9999.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// From milliseconds since 1970, clamped to what can be written.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(Self::EPOCH.0, Self::MAX.0))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Later by `span`, no later than [`Timestamp::MAX`].
    pub fn after(self, span: Span) -> Self {
        Self::from_millis(self.0.saturating_add(span.as_millis()))
    }

    /// How long from `earlier` to here; nothing if that lies ahead.
    pub fn since(self, earlier: Self) -> Span {
        Span(Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, millis) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
        let (second, milli) = (millis / SECOND % 60, millis % SECOND);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl FromStr for Timestamp {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed::new(text, "a time", "RFC 3339 in UTC: 2026-11-24T09:30:00.000Z");
        let field = |from: usize, to: usize| {
            let digits = text.get(from..to).unwrap_or("x");
            if digits.bytes().all(|c| c.is_ascii_digit()) {
                digits.parse::<i64>().map_err(|_| malformed())
            } else {
                Err(malformed())
            }
        };
        let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
        let (hour, minute) = (field(11, 13)?, field(14, 16)?);
        let (second, milli) = (field(17, 19)?, field(20, 23)?);
        let at = Self(
            days_from_civil(year, month, day) * DAY
                + (hour * 3_600 + minute * 60 + second) * SECOND
                + milli,
        );
        // One text for one instant: whatever does not read back as it was written is refused.
        if at >= Self::EPOCH && at <= Self::MAX && at.to_string() == text {
            Ok(at)
        } else {
            Err(malformed())
        }
    }
}

serde_as_text!(Timestamp, "a time such as \"2026-11-24T09:30:00.000Z\"");

/// The day of UTC that an instant lies in, counted from 1970-01-01.
pub(super) fn day_of(millis: i64) -> i64 {
    millis.div_euclid(DAY)
}

/// The instant, in milliseconds, at which a day of UTC begins.
pub(super) fn begin_of(day: i64) -> i64 {
    day.saturating_mul(DAY)
}

/// Gregorian date of a day counted from 1970-01-01. Source: Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", with years that begin in March.
pub(super) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`]; days and months out of range give some other day.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// A length of time as agreements write it: a whole number and `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(Duration);

impl Span {
    /// Longest span that terms may name: a hundred years of 365 days.
    pub const MAX: Self = Self(Duration::from_secs(100 * 365 * 86_400));

    /// A number of whole seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// A number of days of 24 hours.
    pub const fn days(count: u64) -> Self {
        Self::seconds(count * 86_400)
    }

    /// So many times as long, where that can be said.
    pub fn times(self, count: u16) -> Self {
        Self(self.0.saturating_mul(count.into()))
    }

    /// No time at all?
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// As the standard library counts it.
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    fn as_millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }
}

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (unit, length) = UNITS
            .into_iter()
            .find(|(_, length)| seconds >= *length && seconds.is_multiple_of(*length))
            .unwrap_or(('s', 1));
        write!(f, "{}{unit}", seconds / length)
    }
}

impl FromStr for Span {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || {
            let rule = "a whole number and one of s, m, h, d, such as 10d, at most 36500d";
            Malformed::new(text, "a length of time", rule)
        };
        let (unit, length) =
            UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(malformed)?;
        let digits = text.strip_suffix(unit).filter(|d| d.bytes().all(|c| c.is_ascii_digit()));
        let count: u64 = digits.and_then(|d| d.parse().ok()).ok_or_else(malformed)?;
        let span = Self(Duration::from_secs(count.checked_mul(length).ok_or_else(malformed)?));
        if span <= Self::MAX { Ok(span) } else { Err(malformed()) }
    }
}

serde_as_text!(Span, "a time span such as \"10d\"");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    proptest! {
        #[test]
        fn times_read_and_write_as_the_time_crate_does(millis in 0..=Timestamp::MAX.0) {
            let ours = Timestamp::from_millis(millis);
            let text = ours.to_string();
            prop_assert_eq!(text.parse(), Ok(ours));
            let theirs = OffsetDateTime::parse(&text, &Rfc3339).unwrap();
            prop_assert_eq!(theirs.unix_timestamp_nanos() / 1_000_000, i128::from(millis));
        }

        #[test]
        fn spans_survive_writing(seconds in 0..=Span::MAX.0.as_secs()) {
            let span = Span::seconds(seconds);
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }
    }

    #[test]
    fn one_instant_has_one_text() {
        for text in [
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-11-24T24:00:00.000Z",
            "2026-11-24T09:30:00Z",
            "2026-11-24T09:30:00.000+00:00",
            "2026-11-24 09:30:00.000Z",
            "1969-12-31T23:59:59.999Z",
            "+026-11-24T09:30:00.000Z",
            "",
            "한",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_refused_with_the_rule() {
        for text in ["", "d", "10", "-1d", "+1d", "1.5d", "10 d", "36501d", "99999999999999999999d"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!("90m".parse(), Ok(Span::seconds(5_400)));
    }
}
