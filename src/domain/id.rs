//! Names and identifiers: what they look like, parsed once, at the edge.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Serialize};

/// Why a text is not the name or identifier it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {rule}")]
pub struct Malformed {
    /// The offending text, shortened.
    pub text: String,
    /// What it was meant to be, with its article: "a member name".
    pub what: &'static str,
    /// How one looks.
    pub rule: &'static str,
}

impl Malformed {
    /// Longest excerpt of a bad input that an error repeats, in characters.
    const EXCERPT_CHARS_MAX: usize = 40;

    pub(crate) fn new(text: &str, what: &'static str, rule: &'static str) -> Self {
        Self { text: text.chars().take(Self::EXCERPT_CHARS_MAX).collect(), what, rule }
    }
}

/// Gives a type that implements `Display` and `FromStr` the same form in JSON and TOML; where
/// something else stands than a string, it is said what has to.
macro_rules! serde_as_text {
    ($type:ty) => {
        $crate::domain::id::serde_as_text!($type, "a string");
    };
    ($type:ty, $form:literal) => {
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str($crate::domain::id::AsText::new($form))
            }
        }
    };
}
pub(crate) use serde_as_text;

/// Reads a type from its text, of which no copy is made.
pub(crate) struct AsText<T> {
    form: &'static str,
    kind: PhantomData<T>,
}

impl<T> AsText<T> {
    pub(crate) fn new(form: &'static str) -> Self {
        Self { form, kind: PhantomData }
    }
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for AsText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Writes bytes as lowercase hexadecimal, many at a time: documents are full of digests.
pub(crate) fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const PIECE: usize = 32;
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    for piece in bytes.chunks(PIECE) {
        let mut digits = [0; 2 * PIECE];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(piece) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        let (digits, _) = digits.split_at(2 * piece.len());
        f.write_str(std::str::from_utf8(digits).map_err(|_| fmt::Error)?)?;
    }
    Ok(())
}

/// A fixed number of bytes, written as lowercase hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// A SHA-256 digest.
pub type Digest = Bytes<32>;
/// An Ed25519 verification key: of an organisation, a member or the ledger.
pub type PublicKey = Bytes<32>;
/// A compressed point on edwards25519, or a scalar modulo its group order.
pub type Element = Bytes<32>;
/// An Ed25519 signature.
pub type Signature = Bytes<64>;
/// Sixteen random bytes that make a statement, and so its identifier, unlike any other.
pub type Nonce = Bytes<16>;

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> fmt::Display for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> AsRef<[u8]> for Bytes<N> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> FromStr for Bytes<N> {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || {
            Malformed::new(text, "a fixed number of bytes", "lowercase hexadecimal of exact length")
        };
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Ok(c - b'0'),
            b'a'..=b'f' => Ok(c - b'a' + 10),
            _ => Err(malformed()),
        };
        let mut bytes = [0; N];
        if text.len() != 2 * N {
            return Err(malformed());
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            if let [high, low] = pair {
                *byte = nibble(*high)? << 4 | nibble(*low)?;
            }
        }
        Ok(Self(bytes))
    }
}

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(AsText::new("a string"))
    }
}

fn digit(bits: u32) -> char {
    match (bits & 31) as u8 {
        letter @ 0..=25 => char::from(b'a' + letter),
        number => char::from(b'2' + number - 26),
    }
}

/// RFC 4648 base32, lowercase and without padding.
pub(crate) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut width) = (0u32, 0u32);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        width += 8;
        while width >= 5 {
            width -= 5;
            text.push(digit(bits >> width));
        }
        bits &= (1 << width) - 1;
    }
    if width > 0 {
        text.push(digit(bits << (5 - width)));
    }
    text
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The four characters every such identifier begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The identifier of what the statement with this digest brings into being: the
            /// digest's first 128 bits.
            pub fn of(statement: &Digest) -> Self {
                let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = &statement.0;
                Self(format!("{}{}", $prefix, base32(first)).into())
            }

            /// As text, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                let rest = text.strip_prefix($prefix).unwrap_or_default();
                if rest.len() == ID_CHARS
                    && rest.bytes().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7'))
                {
                    Ok(Self(text.into()))
                } else {
                    Err(Malformed::new(
                        text,
                        $what,
                        concat!($prefix, " and 26 characters out of a-z and 2-7"),
                    ))
                }
            }
        }

        serde_as_text!($name);
    };
}

/// Characters of an identifier behind its prefix: 128 bits in base32.
pub const ID_CHARS: usize = 26;

typed_id!(
    /// An agreement, by its terms.
    AgreementId, "agr_", "an agreement's id"
);
typed_id!(
    /// A deposit, by the depositor's statement.
    DepositId, "dep_", "a deposit's id"
);
typed_id!(
    /// A request, by the requester's statement.
    RequestId, "req_", "a request's id"
);
typed_id!(
    /// A registration, by the statement of whoever registered.
    RegistrationId, "reg_", "a registration's id"
);
typed_id!(
    /// A member, by the statement it joined with.
    MemberId, "mem_", "a member's id"
);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest such name, in bytes.
            pub const BYTES_MAX: usize = $max;

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                let inner = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
                if (1..=Self::BYTES_MAX).contains(&text.len())
                    && text.bytes().all(inner)
                    && !text.starts_with('-')
                    && !text.ends_with('-')
                {
                    Ok(Self(text.into()))
                } else {
                    Err(Malformed::new(
                        text,
                        $what,
                        concat!("lowercase letters, digits and inner hyphens, at most ",
                            stringify!($max), " of them"),
                    ))
                }
            }
        }

        serde_as_text!($name);
    };
}

name!(
    /// An organisation's name in this vault, such as `hanbit-parts`.
    OrganisationName, "an organisation's name", 63
);
name!(
    /// A member's name within its organisation, such as `minji`.
    MemberName, "a member's name", 63
);
name!(
    /// What an organisation is in one agreement: `depositor`, `beneficiary`, `agent`, …
    Role, "a role", 32
);
name!(
    /// A release rule's name within its terms, such as `bankruptcy`.
    RuleName, "a rule's name", 32
);

name!(
    /// What kind of event terms speak of, such as `insolvency`.
    EventKind, "a kind of event", 32
);

impl Role {
    /// The one role every agreement has exactly one organisation in.
    pub fn depositor() -> Self {
        Self("depositor".into())
    }
}

/// One person or service, written `organisation/member`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberPath {
    /// Whose member.
    pub organisation: OrganisationName,
    /// Which one.
    pub name: MemberName,
}

impl MemberPath {
    /// Whoever runs the vault. The organisation `operator` is reserved: it is a party of nothing.
    pub fn operator() -> Self {
        let name: Arc<str> = "operator".into();
        Self { organisation: OrganisationName(Arc::clone(&name)), name: MemberName(name) }
    }

    /// Who has an organisation's key at home, where one has to be made up.
    pub(crate) fn office(organisation: OrganisationName) -> Self {
        Self { organisation, name: MemberName("office".into()) }
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.organisation, self.name)
    }
}

impl FromStr for MemberPath {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (organisation, name) = text.split_once('/').ok_or_else(|| {
            Malformed::new(text, "a member", "organisation/member, such as hanbit-parts/minji")
        })?;
        Ok(Self { organisation: organisation.parse()?, name: name.parse()? })
    }
}

serde_as_text!(MemberPath);

/// The digest of a public key as people compare it by telephone: 160 bits in groups of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 20]);

impl Fingerprint {
    /// The fingerprint of what has this digest.
    pub fn of(digest: &Digest) -> Self {
        let mut bytes = [0; 20];
        bytes.iter_mut().zip(digest.0).for_each(|(to, from)| *to = from);
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, c) in base32(&self.0).chars().enumerate() {
            if i > 0 && i % 4 == 0 {
                f.write_str("-")?;
            }
            write!(f, "{c}")?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = Malformed;

    /// Case, hyphens and spaces are how people write, and carry nothing.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || {
            let rule = "eight groups of four characters out of a-z and 2-7";
            Malformed::new(text, "a fingerprint", rule)
        };
        let mut bits = Vec::with_capacity(160);
        for c in text.chars().filter(|c| !matches!(c, '-' | ' ')) {
            let value = match c.to_ascii_lowercase() {
                c @ 'a'..='z' => c as u8 - b'a',
                c @ '2'..='7' => c as u8 - b'2' + 26,
                _ => return Err(malformed()),
            };
            bits.extend((0..5).rev().map(|i| value >> i & 1));
            if bits.len() > 160 {
                return Err(malformed());
            }
        }
        if bits.len() != 160 {
            return Err(malformed());
        }
        let mut bytes = [0; 20];
        for (byte, eight) in bytes.iter_mut().zip(bits.chunks_exact(8)) {
            *byte = eight.iter().fold(0, |byte, bit| byte << 1 | bit);
        }
        Ok(Self(bytes))
    }
}

serde_as_text!(Fingerprint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_once_and_refused_with_the_rule() {
        for (text, accepted) in [
            ("hanbit-parts", true),
            ("a", true),
            ("7-eleven", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("Hanbit", false),
            ("a/b", false),
            ("a b", false),
            ("한빛", false),
            (&"a".repeat(63), true),
            (&"a".repeat(64), false),
        ] {
            assert_eq!(text.parse::<OrganisationName>().is_ok(), accepted, "{text:?}");
        }
    }

    #[test]
    fn ids_are_the_first_128_bits_of_the_statement() {
        let id = DepositId::of(&Bytes([0xff; 32]));
        assert_eq!(id.as_str(), "dep_7777777777777777777777777y".replace('y', "4"));
        assert_eq!(id.to_string().parse::<DepositId>(), Ok(id.clone()));
        assert!(id.to_string().parse::<RequestId>().is_err(), "an id of another type");
    }

    #[test]
    fn fingerprints_survive_being_read_over_the_telephone() {
        let fingerprint = Fingerprint::of(&Bytes([0x5a; 32]));
        let written = fingerprint.to_string();
        assert_eq!(written.len(), 32 + 7);
        for spoken in [written.clone(), written.to_uppercase(), written.replace('-', " ")] {
            assert_eq!(spoken.parse(), Ok(fingerprint));
        }
        assert!(written.get(1..).unwrap_or_default().parse::<Fingerprint>().is_err());
        assert!(format!("{written}a").parse::<Fingerprint>().is_err());
    }
}
