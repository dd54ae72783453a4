//! JSON that leaves no room for two readings.
//!
//! Refused besides what isn't JSON: duplicate keys, fractions, integers beyond 2⁵³, characters
//! that deceive the eye, deep nesting. Unknown fields are refused by the types themselves.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::domain::text::is_deceptive;

/// Deepest nesting of arrays and objects.
const DEPTH_MAX: usize = 16;
/// Largest integer that every JSON reader keeps exact.
const INTEGER_MAX: u64 = 1 << 53;

/// Why bytes are not the document they were meant to be.
#[derive(Debug, thiserror::Error)]
pub enum JsonFault {
    /// Too many of them.
    #[error("{bytes} bytes are more than the {bytes_max} that such a document may have")]
    TooLong {
        /// How many.
        bytes: usize,
        /// How many are possible.
        bytes_max: usize,
    },
    /// Not strict JSON, or not of this shape; the message names the place.
    #[error("{0}")]
    Malformed(String),
}

/// Reads a document of a type whose structs deny unknown fields.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Result<T, JsonFault> {
    if bytes.len() > bytes_max {
        return Err(JsonFault::TooLong { bytes: bytes.len(), bytes_max });
    }
    let malformed = |fault: serde_json::Error| JsonFault::Malformed(printable(&fault.to_string()));
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Strict { depth: DEPTH_MAX }.deserialize(&mut reader).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    serde_json::from_slice(bytes).map_err(malformed)
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !is_deceptive(*c)).take(300).collect()
}

/// Walks a document and keeps nothing of it.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        depth.map(|depth| Self { depth }).ok_or_else(|| E::custom("nested too deep"))
    }

    fn visible<E: serde::de::Error>(text: &str) -> Result<(), E> {
        match text.chars().find(|c| is_deceptive(*c)) {
            None => Ok(()),
            Some(c) => {
                Err(E::custom(format_args!("the character U+{:04X} may not appear", c as u32)))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        if number <= INTEGER_MAX {
            Ok(())
        } else {
            Err(E::custom(format_args!("the integer {number} is beyond 2^53")))
        }
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_u64(number.unsigned_abs())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        Self::visible(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut keys = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            Self::visible(&key)?;
            entries.next_value_seed(inner)?;
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format_args!("the key {twice:?} appears twice")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        text: String,
        #[serde(default)]
        number: i64,
        #[serde(default)]
        map: BTreeMap<String, Vec<u8>>,
    }

    #[test]
    fn there_is_one_reading_or_none() {
        for (json, why) in [
            (r#"{"text":"a","number":1,"map":{"k":[1]}}"#, ""),
            (r#"{"text":"한빛"}"#, ""),
            (r#"{"text":"a","number":9007199254740992}"#, ""),
            (r#"{"text":"a","number":9007199254740993}"#, "beyond 2^53"),
            (r#"{"text":"a","number":-9007199254740993}"#, "beyond 2^53"),
            (r#"{"text":"a","number":1.0}"#, "expected JSON without fractions"),
            (r#"{"text":"a","text":"b"}"#, "appears twice"),
            (r#"{"text":"a","map":{"k":[],"k":[]}}"#, "appears twice"),
            (r#"{"text":"a","t\u0065xt":"b"}"#, "appears twice"),
            (r#"{"text":"a","extra":1}"#, "unknown field"),
            (r#"{"text":"a"}{}"#, "trailing"),
            (r#"{"text":"a\nb"}"#, "U+000A"),
            (r#"{"text":"\u202egnp"}"#, "U+202E"),
            (r#"{"text":"a","map":{"\u200b":[]}}"#, "U+200B"),
            ("", "EOF"),
            ("\u{feff}{}", "expected value"),
        ] {
            match parse::<Sample>(json.as_bytes(), 100) {
                Ok(_) => assert_eq!(why, "", "{json} was read"),
                Err(fault) => {
                    assert!(!why.is_empty() && fault.to_string().contains(why), "{json}: {fault}");
                }
            }
        }
        assert!(matches!(parse::<Sample>(&[b' '; 101], 100), Err(JsonFault::TooLong { .. })));
        let deep = format!("{}{}", "[".repeat(17), "]".repeat(17));
        let fault = parse::<serde_json::Value>(deep.as_bytes(), 100).unwrap_err();
        assert!(fault.to_string().contains("nested too deep"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = parse::<Sample>(&bytes, 1 << 20);
        }
    }
}
