//! Enums that people write as a word, or as a table of one word and what belongs to it. What serde
//! derives for them says of anything else that it is a variant of the wrong kind, which is a word
//! of programmers; read this way, it is said what has to stand there.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, IntoDeserializer, MapAccess, Unexpected, Visitor};

/// What serde derives for such an enum, by `#[serde(remote = "Self")]`.
pub(in crate::domain) trait Worded: Sized {
    /// How it is written.
    const FORM: &'static str;

    /// Reads it as it is derived.
    fn derived<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;
}

/// Reads such an enum.
pub(in crate::domain) struct Reader<T>(PhantomData<T>);

impl<T> Reader<T> {
    pub(in crate::domain) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Worded> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::FORM)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let read = T::derived(IntoDeserializer::<E>::into_deserializer(text));
        read.map_err(|_: E| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let read = T::derived(MapAccessDeserializer::new(&mut map))?;
        match map.next_key::<IgnoredAny>()? {
            Some(IgnoredAny) => Err(A::Error::custom(format!("it is one thing only: {}", T::FORM))),
            None => Ok(read),
        }
    }
}

/// Gives an enum whose serde is derived for `remote = "Self"` this form.
macro_rules! serde_as_worded {
    ($type:ty, $form:literal) => {
        impl $crate::domain::worded::Worded for $type {
            const FORM: &'static str = $form;

            fn derived<'de, D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <$type>::deserialize(from)
            }
        }
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                <$type>::serialize(self, to)
            }
        }
        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any($crate::domain::worded::Reader::new())
            }
        }
    };
}
pub(in crate::domain) use serde_as_worded;
