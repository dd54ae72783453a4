//! `[scrub]`: how often, and how fast.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::id::{Malformed, serde_as_text};
use crate::domain::time::Span;

/// `[scrub]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::daemon) struct Scrub {
    /// How often everything stored is read.
    pub every: Every,
    /// How much of it in a second at most.
    pub rate: Rate,
}

impl Default for Scrub {
    fn default() -> Self {
        Self { every: Every::Span(Span::days(30)), rate: Rate::mib(20) }
    }
}

/// How often: a span, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) enum Every {
    /// Begun so long after it was begun last.
    Span(Span),
    /// Not at all.
    Never,
}

const NEVER: &str = "never";

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span(span) => span.fmt(f),
            Self::Never => f.write_str(NEVER),
        }
    }
}

impl FromStr for Every {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text == NEVER {
            return Ok(Self::Never);
        }
        match text.parse() {
            Ok(span) if span >= Span::seconds(1) => Ok(Self::Span(span)),
            Ok(_) | Err(_) => {
                let rule = "a whole number and one of s, m, h, d, such as 30d, or never";
                Err(Malformed::new(text, "how often everything is read", rule))
            }
        }
    }
}

serde_as_text!(Every);

/// Bytes a second; written as `20 MiB/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) struct Rate(NonZeroU64);

const UNITS: [(&str, u64); 4] =
    [(" GiB/s", 1 << 30), (" MiB/s", 1 << 20), (" KiB/s", 1 << 10), (" bytes/s", 1)];

impl Rate {
    /// So many mebibytes a second, and no less than one byte.
    pub(super) const fn mib(count: u64) -> Self {
        match NonZeroU64::new(count << 20) {
            Some(bytes) => Self(bytes),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// In bytes a second.
    pub(super) fn bytes(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let (unit, length) =
            UNITS.into_iter().find(|(_, length)| bytes.is_multiple_of(*length)).unwrap_or(("", 1));
        write!(f, "{}{unit}", bytes / length)
    }
}

impl FromStr for Rate {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let read = || {
            let split = |(unit, length)| text.strip_suffix(unit).map(|digits| (digits, length));
            let (digits, length) = UNITS.into_iter().find_map(split)?;
            let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
            let count: u64 = plain.then(|| digits.parse().ok())??;
            NonZeroU64::new(count.checked_mul(length)?)
        };
        let rule = "a whole number, a blank and one of bytes/s, KiB/s, MiB/s, GiB/s, such as 20 \
                    MiB/s; every = \"never\" turns it off";
        read().map(Self).ok_or_else(|| Malformed::new(text, "a rate", rule))
    }
}

serde_as_text!(Rate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_as_they_are_written() {
        for (text, bytes) in [
            ("1 bytes/s", 1),
            ("1025 bytes/s", 1_025),
            ("1 KiB/s", 1_024),
            ("20 MiB/s", 20 << 20),
            ("3 GiB/s", 3 << 30),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.bytes(), rate.to_string().as_str()), (bytes, text));
        }
        assert_eq!("2048 KiB/s".parse::<Rate>().unwrap().to_string(), "2 MiB/s");
        assert_eq!(Rate::mib(20).to_string(), "20 MiB/s");
        for (text, why) in [
            ("0 MiB/s", "it would never end"),
            ("20", "no unit"),
            ("20MiB/s", "no blank"),
            ("20 MB/s", "another unit"),
            ("-1 MiB/s", "less than nothing"),
            ("+1 MiB/s", "one spelling"),
            (" MiB/s", "no number"),
            ("18446744073709551615 GiB/s", "more than there is"),
        ] {
            assert!(text.parse::<Rate>().is_err(), "{why}");
        }
    }

    #[test]
    fn never_is_a_time_too_and_always_is_none() {
        assert_eq!("never".parse(), Ok(Every::Never));
        assert_eq!(Every::Never.to_string(), "never");
        assert_eq!("30d".parse(), Ok(Every::Span(Span::days(30))));
        for text in ["0s", "Never", "", "30"] {
            assert!(text.parse::<Every>().is_err(), "{text}");
        }
    }
}
