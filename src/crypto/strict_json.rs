//! JSON that leaves no room for two readings.
//!
//! Refused besides what isn't JSON: duplicate keys, fractions, integers beyond 2⁵³, characters
//! that deceive the eye, deep nesting. Unknown fields are refused by the types themselves; a
//! second spelling of the same thing, such as an array for an object, by comparing what was read
//! with how it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::{fmt, io};

use serde::Serialize;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor,
};
use zeroize::Zeroizing;

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

/// Reads a document of a type whose structs deny unknown fields, and that is written with every
/// field.
pub fn parse<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
    bytes_max: usize,
) -> Result<T, JsonFault> {
    if bytes.len() > bytes_max {
        return Err(JsonFault::TooLong { bytes: bytes.len(), bytes_max });
    }
    let malformed = |fault: serde_json::Error| JsonFault::Malformed(printable(&fault.to_string()));
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Strict { depth: DEPTH_MAX }.deserialize(&mut reader).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    let read: T = serde_json::from_slice(bytes).map_err(malformed)?;
    // What is written without blanks, as nearly everything is, has one spelling by being the same.
    let mut same = Same { rest: bytes };
    if serde_json::to_writer(&mut same, &read).is_ok() && same.rest.is_empty() {
        return Ok(read);
    }
    // Room enough for a document without blanks, so that no part of a secret stays behind.
    let mut written = Zeroizing::new(Vec::with_capacity(bytes.len()));
    serde_json::to_writer(&mut *written, &read).map_err(malformed)?;
    let shape = |bytes| serde_json::from_slice::<Shape>(bytes).map_err(malformed);
    if shape(bytes)? == shape(&written)? {
        Ok(read)
    } else {
        let why = "arrays, objects or fields are not as this document is written";
        Err(JsonFault::Malformed(why.to_owned()))
    }
}

/// Takes what is written as long as it is what was read.
struct Same<'a> {
    rest: &'a [u8],
}

impl io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let rest = self.rest.strip_prefix(bytes);
        self.rest = rest.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
        // Nearly every text, and looked through far faster.
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Ok(());
        }
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
        let mut keys = Vec::new();
        while let Some(key) = entries.next_key_seed(Name)? {
            Self::visible(&key)?;
            entries.next_value_seed(inner)?;
            keys.push(key);
        }
        keys.sort_unstable();
        match keys.array_windows().find(|[one, next]| one == next) {
            None => Ok(()),
            Some([_, twice]) => {
                Err(A::Error::custom(format_args!("the key {twice:?} appears twice")))
            }
        }
    }
}

/// A key, copied only where it is written with escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Cow<'de, str>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A document without its contents. Serde reads a struct from an array of its fields' values, too,
/// and a variant's name from an object with a null; in what was signed there is no room for that.
#[derive(PartialEq)]
enum Shape {
    Null,
    Flag,
    Number,
    Text,
    Array(Vec<Shape>),
    Object(BTreeMap<String, Shape>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Shaped)
    }
}

struct Shaped;

impl<'de> Visitor<'de> for Shaped {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Flag)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut shapes = Vec::new();
        while let Some(shape) = items.next_element()? {
            shapes.push(shape);
        }
        Ok(Shape::Array(shapes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let mut shapes = BTreeMap::new();
        while let Some((key, shape)) = entries.next_entry()? {
            shapes.insert(key, shape);
        }
        Ok(Shape::Object(shapes))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tries every second spelling that serde would read: each object as an array of its values,
    /// each text as an object with a null. How many were tried.
    pub(crate) fn second_spellings_are_refused<T: DeserializeOwned + Serialize>(it: &T) -> usize {
        let text = serde_json::to_string(it).unwrap();
        assert!(parse::<T>(text.as_bytes(), 1 << 20).is_ok(), "{text}");
        let spellings = second_spellings(&text);
        for spelling in &spellings {
            assert!(parse::<T>(spelling.as_bytes(), 1 << 20).is_err(), "{spelling}");
        }
        spellings.len()
    }

    fn second_spellings(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        // Where each object still open begins, and where its keys stand.
        let mut open: Vec<(usize, Vec<(usize, usize)>)> = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.as_bytes().get(at) {
            match byte {
                b'{' => open.push((at, Vec::new())),
                b'}' => {
                    let (begin, keys) = open.pop().unwrap();
                    let mut array = text[..begin].to_owned() + "[";
                    let mut from = begin + 1;
                    for (key, value) in keys {
                        array += &text[from..key];
                        from = value;
                    }
                    found.push(array + &text[from..at] + "]" + &text[at + 1..]);
                }
                b'"' => {
                    let mut end = at + 1;
                    while text.as_bytes()[end] != b'"' {
                        end += if text.as_bytes()[end] == b'\\' { 2 } else { 1 };
                    }
                    let (string, rest) = (&text[at..=end], &text[end + 1..]);
                    if rest.starts_with(':') {
                        open.last_mut().unwrap().1.push((at, end + 2));
                    } else {
                        found.push(format!("{}{{{string}:null}}{rest}", &text[..at]));
                    }
                    at = end;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    #[test]
    fn second_spellings_are_those_that_serde_reads() {
        let text = r#"{"a":"x\"","b":{"c":1,"d":[]}}"#;
        let spellings = [
            r#"{"a":{"x\"":null},"b":{"c":1,"d":[]}}"#,
            r#"{"a":"x\"","b":[1,[]]}"#,
            r#"["x\"",{"c":1,"d":[]}]"#,
        ];
        assert_eq!(second_spellings(text), spellings);
    }

    #[derive(Debug, PartialEq, serde::Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        text: String,
        number: Option<i64>,
        #[serde(default)]
        map: BTreeMap<String, Vec<u8>>,
    }

    #[test]
    fn there_is_one_reading_or_none() {
        for (json, why) in [
            (r#"{"text":"a","number":1,"map":{"k":[1]}}"#, ""),
            (r#"{ "map": {}, "text": "한빛", "number": null }"#, ""),
            (r#"{"text":"a","number":9007199254740992,"map":{}}"#, ""),
            (r#"{"text":"a","number":1}"#, "not as this document is written"),
            (r#"{"text":"a","map":{}}"#, "not as this document is written"),
            (r#"["a",1,{"k":[1]}]"#, "not as this document is written"),
            (r#"{"text":"a","number":9007199254740993}"#, "beyond 2^53"),
            (r#"{"text":"a","number":-9007199254740993}"#, "beyond 2^53"),
            (r#"{"text":"a","number":1.0}"#, "expected JSON without fractions"),
            (r#"{"text":"a","text":"b"}"#, "appears twice"),
            (r#"{"text":"a","number":1,"text":"b"}"#, "appears twice"),
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
