//! What others have written in DER, as part of a statement: certificates, tokens.

use std::fmt;
use std::str::FromStr;

use crate::domain::id::{AsText, Malformed, write_hex};

/// At least one byte and at most `MAX`, written as lowercase hexadecimal. What they say is another
/// matter.
#[derive(Clone, PartialEq, Eq)]
pub struct Der<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Der<MAX> {
    /// Takes these bytes, unless they are too many or none.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (1..=MAX).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// An empty sequence: what stands where it does not matter what others wrote.
    pub(crate) fn stand_in() -> Self {
        Self(vec![0x30, 0x00])
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Der<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// Long, and nothing that anybody reads.
impl<const MAX: usize> fmt::Debug for Der<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Der({} bytes)", self.0.len())
    }
}

impl<const MAX: usize> FromStr for Der<MAX> {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            [..] => None,
        };
        let bytes = || {
            // Before anything is made of it.
            let is_bounded = text.len() <= 2 * MAX;
            is_bounded.then(|| text.as_bytes().chunks(2).map(byte).collect::<Option<_>>())?
        };
        let rule = "lowercase hexadecimal, not empty and not too long";
        bytes().and_then(Self::new).ok_or_else(|| Malformed::new(text, "bytes of DER", rule))
    }
}

impl<const MAX: usize> serde::Serialize for Der<MAX> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de, const MAX: usize> serde::Deserialize<'de> for Der<MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(AsText::new("a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_spelling_and_a_bound() {
        for (text, expected) in [
            ("00", Some(vec![0])),
            ("30820a", Some(vec![0x30, 0x82, 0x0a])),
            ("ffffffff", Some(vec![0xff; 4])),
            ("ffffffffff", None),
            ("", None),
            ("3", None),
            ("308", None),
            ("30820A", None),
            ("3082 a", None),
            ("0x30", None),
        ] {
            let read = text.parse::<Der<4>>();
            assert_eq!(read.as_ref().ok().map(Der::as_bytes), expected.as_deref(), "{text:?}");
            assert!(read.is_err() || read.is_ok_and(|der| der.to_string() == text), "{text:?}");
        }
        assert!(Der::<4>::new(vec![1; 5]).is_none() && Der::<4>::new(Vec::new()).is_none());
    }
}
