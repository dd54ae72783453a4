//! Dates by which something is due, or from which on something is so, as people write them.

use std::str::FromStr;

use crate::domain::time::Timestamp;

/// A day, which lasts until its last millisecond in UTC, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueDate(pub Timestamp);

/// A day, which begins with its first millisecond in UTC, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartDate(pub Timestamp);

impl FromStr for DueDate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "a day such as 2027-03-01, until whose end in UTC there is time, or a time in \
                    UTC such as 2027-03-01T12:00:00Z";
        read(text, "T23:59:59.999Z").map(Self).ok_or_else(|| format!("write {rule}"))
    }
}

impl FromStr for StartDate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "a day such as 2027-03-01, which begins at midnight in UTC, or a time in UTC \
                    such as 2027-03-01T12:00:00Z";
        read(text, "T00:00:00.000Z").map(Self).ok_or_else(|| format!("write {rule}"))
    }
}

/// A day, at this time of it, or a time.
fn read(text: &str, of_day: &str) -> Option<Timestamp> {
    let spelt = match (text.split_once('T'), text.strip_suffix('Z')) {
        (None, _) => format!("{text}{of_day}"),
        (Some(_), Some(whole)) if !whole.contains('.') => format!("{whole}.000Z"),
        (Some(_), _) => text.to_owned(),
    };
    spelt.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_lasts_until_its_end_and_a_time_is_what_it_says() {
        for (text, at) in [
            ("2027-03-01", Some("2027-03-01T23:59:59.999Z")),
            ("2028-02-29", Some("2028-02-29T23:59:59.999Z")),
            ("2027-03-01T12:00:00Z", Some("2027-03-01T12:00:00.000Z")),
            ("2027-03-01T12:00:00.250Z", Some("2027-03-01T12:00:00.250Z")),
            ("2027-02-29", None),
            ("2027-3-1", None),
            ("01.03.2027", None),
            ("2027-03-01T12:00:00", None),
            ("2027-03-01T12:00:00+09:00", None),
            ("2027-03-01 12:00:00Z", None),
            ("tomorrow", None),
            ("", None),
        ] {
            let read = text.parse::<DueDate>().ok().map(|DueDate(at)| at.to_string());
            assert_eq!(read.as_deref(), at, "{text}");
            let begins = at.map(|at| at.replace("T23:59:59.999Z", "T00:00:00.000Z"));
            let read = text.parse::<StartDate>().ok().map(|StartDate(at)| at.to_string());
            assert_eq!(read, begins, "{text}");
        }
    }
}
