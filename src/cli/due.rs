//! Dates by which something is due, as people write them.

use std::str::FromStr;

use crate::domain::time::Timestamp;

/// A day, which lasts until its last millisecond in UTC, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueDate(pub Timestamp);

impl FromStr for DueDate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spelt = match (text.split_once('T'), text.strip_suffix('Z')) {
            (None, _) => format!("{text}T23:59:59.999Z"),
            (Some(_), Some(whole)) if !whole.contains('.') => format!("{whole}.000Z"),
            (Some(_), _) => text.to_owned(),
        };
        let rule = "a day such as 2027-03-01, until whose end in UTC there is time, or a time in \
                    UTC such as 2027-03-01T12:00:00Z";
        spelt.parse().map(Self).map_err(|_| format!("write {rule}"))
    }
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
        }
    }
}
