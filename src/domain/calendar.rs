//! Days as agreements count them: dates, working days, and where in the world a day begins.
//!
//! Pure arithmetic on what the terms say. There is no database of time zones and no list of
//! holidays in here: what both change by law would make one set of terms mean two things. So the
//! terms state an offset from UTC that holds all year, which days are the weekend, and the
//! holidays by date; days of years without a list are working days unless they are weekend.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::id::{Malformed, serde_as_text};
use crate::domain::time::{self, Span, Timestamp};

#[cfg(test)]
mod tests;

const MINUTE_MILLIS: i64 = 60_000;

/// A date, written `2026-01-01`. Years 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = time::civil_from_days(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Date {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        // A date is what a time of that day begins with.
        let midnight = format!("{text}T00:00:00.000Z").parse::<Timestamp>();
        let malformed = || Malformed::new(text, "a date", "year, month and day: 2026-01-01");
        midnight.map(|at| Self(time::day_of(at.as_millis()))).map_err(|_| malformed())
    }
}

serde_as_text!(Date, "a date such as \"2026-01-01\"");

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is its name")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }

    /// Of a day counted from 1970-01-01, which was a Thursday.
    fn of(day: i64) -> Self {
        let index = usize::try_from((day + 3).rem_euclid(7)).unwrap_or_default();
        Self::ALL.get(index).copied().unwrap_or(Self::Monday)
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The days of the week on which nobody works: never all of them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<Weekday>", into = "BTreeSet<Weekday>")]
pub struct Weekend(BTreeSet<Weekday>);

impl Weekend {
    /// Which days they are, as the week goes.
    pub fn days(&self) -> impl Iterator<Item = Weekday> {
        self.0.iter().copied()
    }
}

impl From<Weekend> for BTreeSet<Weekday> {
    fn from(weekend: Weekend) -> Self {
        weekend.0
    }
}

impl TryFrom<BTreeSet<Weekday>> for Weekend {
    type Error = Malformed;

    fn try_from(days: BTreeSet<Weekday>) -> Result<Self, Malformed> {
        if days.len() < Weekday::ALL.len() {
            return Ok(Self(days));
        }
        Err(Malformed::new("every day", "a weekend", "at most six days of the week"))
    }
}

/// How far the day is ahead of that of UTC, written `+09:00`. It holds all year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcOffset {
    minutes: i16,
}

impl UtcOffset {
    /// The farthest east and west that there are days.
    const MINUTES_MAX: i16 = 14 * 60;
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minutes < 0 { '-' } else { '+' };
        let minutes = self.minutes.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl FromStr for UtcOffset {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed::new(text, "an offset from UTC", "hours and minutes, such as +09:00");
        let field = |from: usize, to: usize| {
            let digits = text.get(from..to).filter(|d| d.bytes().all(|c| c.is_ascii_digit()));
            digits.and_then(|digits| digits.parse::<i16>().ok()).ok_or_else(malformed)
        };
        let ahead = field(1, 3)? * 60 + field(4, 6)?;
        let found = Self { minutes: if text.starts_with('-') { -ahead } else { ahead } };
        // One text for one offset.
        if ahead <= Self::MINUTES_MAX && found.to_string() == text {
            Ok(found)
        } else {
            Err(malformed())
        }
    }
}

serde_as_text!(UtcOffset);

/// Which days are working days, and when they begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with utc_offset, weekend and holidays")]
pub struct Calendar {
    /// How far its days are ahead of those of UTC.
    pub utc_offset: UtcOffset,
    /// The days of the week on which nobody works.
    pub weekend: Weekend,
    /// The dates on which nobody works.
    pub holidays: BTreeSet<Date>,
}

impl Calendar {
    /// The end of so many working days. The day that `from` lies in is not counted, as it has
    /// begun; the last one is over when it is over.
    pub fn after(&self, from: Timestamp, working_days: u16) -> Timestamp {
        let offset = i64::from(self.utc_offset.minutes) * MINUTE_MILLIS;
        let last = self.nth_after(time::day_of(from.as_millis() + offset), working_days);
        Timestamp::from_millis(time::begin_of(last + 1) - offset)
    }

    /// How long so many working days can take at most, whenever they begin.
    pub fn longest(&self, working_days: u16) -> Span {
        let day = |date: Option<&Date>| date.map_or(0, |date| date.0);
        // Beginning earlier or later than this they meet no holidays, as they do at its ends.
        let reach = 7 * (i64::from(working_days) + 1);
        let (first, last) = (day(self.holidays.first()) - reach, day(self.holidays.last()) + 7);
        let mut end = self.nth_after(first, working_days);
        let mut longest = end - first;
        for start in first + 1..=last {
            // It was the first that was counted.
            if self.is_working(start) {
                end = self.nth_after(end, 1);
            }
            longest = longest.max(end - start);
        }
        Span::days(u64::try_from(longest + 1).unwrap_or_default())
    }

    /// How many days lie between the first and the last holiday.
    pub fn days_listed(&self) -> i64 {
        let ends = self.holidays.first().zip(self.holidays.last());
        ends.map_or(0, |(first, last)| last.0 - first.0)
    }

    /// The last of so many working days after this one.
    fn nth_after(&self, day: i64, count: u16) -> i64 {
        let mut day = day;
        for _ in 0..count {
            day += 1;
            while !self.is_working(day) {
                day += 1;
            }
        }
        day
    }

    fn is_working(&self, day: i64) -> bool {
        !self.weekend.0.contains(&Weekday::of(day)) && !self.holidays.contains(&Date(day))
    }
}

/// A length of time as notice is given: of days and hours as they pass, or of working days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// As time passes, written `10d`.
    Passing(Span),
    /// Working days of the agreement's calendar, written `10wd`.
    WorkingDays(u16),
}

impl Period {
    /// Most working days that may be asked for.
    pub const WORKING_DAYS_MAX: u16 = 366;

    /// When it is over. Working days without a calendar never are.
    pub fn ends(self, from: Timestamp, calendar: Option<&Calendar>) -> Timestamp {
        match self {
            Self::Passing(span) => from.after(span),
            Self::WorkingDays(count) => {
                calendar.map_or(Timestamp::MAX, |calendar| calendar.after(from, count))
            }
        }
    }

    /// How long it can take at most; nobody knows without a calendar.
    pub fn longest(self, calendar: Option<&Calendar>) -> Option<Span> {
        match self {
            Self::Passing(span) => Some(span),
            Self::WorkingDays(count) => Some(calendar?.longest(count)),
        }
    }
}

impl Default for Period {
    fn default() -> Self {
        Self::Passing(Span::default())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passing(span) => write!(f, "{span}"),
            Self::WorkingDays(count) => write!(f, "{count}wd"),
        }
    }
}

impl FromStr for Period {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let Some(digits) = text.strip_suffix("wd") else {
            let rule = "a whole number and one of s, m, h, d, or wd for working days, such as 10d";
            let passing = text.parse().map(Self::Passing);
            return passing.map_err(|fault| Malformed { rule, ..fault });
        };
        let count = digits.bytes().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok());
        match count.flatten() {
            Some(count @ 1..=Self::WORKING_DAYS_MAX) => Ok(Self::WorkingDays(count)),
            Some(_) | None => {
                let rule = "a whole number of working days, such as 10wd, at most 366wd";
                Err(Malformed::new(text, "a length of time", rule))
            }
        }
    }
}

serde_as_text!(Period, "a time span such as \"10d\" or \"10wd\"");
