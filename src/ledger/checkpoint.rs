//! Checkpoints: the size and root of the whole log, as text that is signed (C2SP tlog-checkpoint).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::domain::id::{Bytes, Digest, Malformed};
use crate::domain::statement::Log;

/// The size and root of a log. Written, it is the text of a signed note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log, as [`origin`] makes it.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The root of the Merkle tree over them.
    pub root: Digest,
}

/// What a log is called in checkpoints: each generation of a vault's log is a log of its own, since
/// it need not continue the one before.
pub fn origin(log: &Log) -> String {
    format!("{}/{}", log.origin, log.generation)
}

/// A hash as C2SP writes it.
pub(super) fn base64(hash: &Digest) -> String {
    BASE64_STANDARD.encode(hash.0)
}

/// Reads a hash that was written so; one hash has one spelling.
pub(super) fn parse_base64(text: &str) -> Option<Digest> {
    // 32 bytes and what pads them.
    let bytes = Some(text).filter(|text| text.len() == 44)?;
    BASE64_STANDARD.decode(bytes).ok()?.try_into().ok().map(Bytes)
}

/// Reads a number without signs or leading zeros.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl Checkpoint {
    /// Reads the text of a checkpoint of any log. What other logs add in lines behind the third one
    /// says nothing here.
    pub fn of_any_log(text: &str) -> Result<Self, Malformed> {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let third = ends.take(3).last().unwrap_or(0);
        let (first, more) = text.split_at_checked(third).unwrap_or((text, ""));
        let is_whole = more.is_empty() || more.ends_with('\n') && !more.contains("\n\n");
        let rule =
            "three lines: the log's name, its size, its root in Base64; then others, none empty";
        let malformed = || Malformed::new(text, "a checkpoint", rule);
        match is_whole && !more.starts_with('\n') {
            true => first.parse(),
            false => Err(malformed()),
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, base64(&self.root))
    }
}

impl FromStr for Checkpoint {
    type Err = Malformed;

    /// Reads the text of a checkpoint. Lines behind the third one, which C2SP leaves to each log,
    /// are refused: this log's checkpoints have none.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parsed = || {
            let mut lines = text.strip_suffix('\n')?.split('\n');
            let origin = lines.next().filter(|origin| !origin.is_empty())?;
            let size = parse_number(lines.next()?)?;
            let root = parse_base64(lines.next()?)?;
            let checkpoint = Self { origin: origin.to_owned(), size, root };
            lines.next().is_none().then_some(checkpoint)
        };
        let rule = "three lines: the log's name, its size, its root in Base64";
        parsed().ok_or_else(|| Malformed::new(text, "a checkpoint", rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "vault.example/log/1".to_owned(), size: 7, root: Bytes([9; 32]) }
    }

    #[test]
    fn a_checkpoint_has_one_spelling_that_tlog_tiles_reads() {
        let text = checkpoint().to_string();
        assert_eq!(text.parse(), Ok(checkpoint()));
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
        assert_eq!((theirs.origin(), theirs.size()), ("vault.example/log/1", 7));
        assert_eq!(theirs.hash().0, [9; 32]);
        for (from, to) in [
            ("\n7\n", "\n07\n"),
            ("\n7\n", "\n+7\n"),
            ("\n7\n", "\n-7\n"),
            ("\n7\n", "\n18446744073709551616\n"),
            ("\n7\n", "\n\n"),
            ("vault.example/log/1", ""),
            ("Qk=\n", "Ql=\n"),
            ("=\n", "\n"),
            ("=\n", "=\nmore\n"),
            ("=\n", "=\n\n"),
            ("=\n", "="),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{from:?}");
            assert!(other.parse::<Checkpoint>().is_err(), "{other:?}");
        }
    }

    #[test]
    fn other_logs_may_add_lines() {
        let text = checkpoint().to_string();
        assert_eq!(Checkpoint::of_any_log(&text), Ok(checkpoint()));
        assert_eq!(Checkpoint::of_any_log(&format!("{text}more\nand more\n")), Ok(checkpoint()));
        for other in ["", "\n\n\n", "a\n7\n"] {
            assert!(Checkpoint::of_any_log(other).is_err(), "{other:?}");
        }
        for more in ["\n", "more", "more\n\nmore\n", "\nmore\n"] {
            assert!(Checkpoint::of_any_log(&format!("{text}{more}")).is_err(), "{more:?}");
        }
    }
}
