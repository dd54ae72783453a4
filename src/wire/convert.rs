//! From messages to the domain's terms and back. What does not parse is named by its field.

use crate::domain::event::SignedText;
use crate::domain::id::Bytes;
use crate::ledger::authorities::SignedAuthorities;
use crate::ledger::head::SignedHead;
use crate::ledger::{Entry, LabelKey};
use crate::wire::v1;

/// A message whose field is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the field {field} is missing or malformed")]
pub struct BadField {
    /// Which.
    pub field: &'static str,
}

/// Exactly `N` bytes.
pub fn fixed<const N: usize>(bytes: &[u8], field: &'static str) -> Result<Bytes<N>, BadField> {
    bytes.try_into().map(Bytes).map_err(|_| BadField { field })
}

/// A field that must be there.
pub fn present<T>(value: Option<T>, field: &'static str) -> Result<T, BadField> {
    value.ok_or(BadField { field })
}

impl TryFrom<v1::SignedStatement> for SignedText {
    type Error = BadField;

    fn try_from(message: v1::SignedStatement) -> Result<Self, BadField> {
        let statement = String::from_utf8(message.statement.into())
            .map_err(|_| BadField { field: "statement" })?;
        let key = fixed(&message.key, "key")?;
        let signature = fixed(&message.signature, "signature")?;
        Ok(Self { statement, key, signature })
    }
}

impl From<SignedText> for v1::SignedStatement {
    fn from(signed: SignedText) -> Self {
        Self {
            statement: signed.statement.into_bytes().into(),
            key: signed.key.0.to_vec().into(),
            signature: signed.signature.0.to_vec().into(),
        }
    }
}

impl TryFrom<v1::Entry> for Entry {
    type Error = BadField;

    fn try_from(message: v1::Entry) -> Result<Self, BadField> {
        if message.payload.len() > Self::PAYLOAD_BYTES_MAX {
            return Err(BadField { field: "payload" });
        }
        Ok(Self {
            position: message.position,
            stream: message.stream.parse().map_err(|_| BadField { field: "stream" })?,
            sequence: message.sequence,
            label_key: LabelKey(fixed(&message.label_key, "label_key")?.0),
            salt: fixed(&message.salt, "salt")?,
            payload: message.payload.into(),
        })
    }
}

impl From<Entry> for v1::Entry {
    fn from(entry: Entry) -> Self {
        Self {
            position: entry.position,
            stream: entry.stream.to_string(),
            sequence: entry.sequence,
            label_key: entry.label_key.0.to_vec().into(),
            salt: entry.salt.0.to_vec().into(),
            payload: entry.payload.into(),
        }
    }
}

impl TryFrom<v1::SignedHead> for SignedHead {
    type Error = BadField;

    fn try_from(message: v1::SignedHead) -> Result<Self, BadField> {
        Ok(Self { head: message.head.into(), signature: fixed(&message.signature, "signature")? })
    }
}

impl From<SignedHead> for v1::SignedHead {
    fn from(signed: SignedHead) -> Self {
        Self { head: signed.head.into(), signature: signed.signature.0.to_vec().into() }
    }
}

impl TryFrom<v1::SignedAuthorities> for SignedAuthorities {
    type Error = BadField;

    fn try_from(message: v1::SignedAuthorities) -> Result<Self, BadField> {
        let signature = fixed(&message.signature, "signature")?;
        Ok(Self { authorities: message.authorities.into(), signature })
    }
}

impl From<SignedAuthorities> for v1::SignedAuthorities {
    fn from(signed: SignedAuthorities) -> Self {
        Self {
            authorities: signed.authorities.into(),
            signature: signed.signature.0.to_vec().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stream::Stream;

    #[test]
    fn promise_11_an_entry_is_no_larger_than_it_may_be_whoever_sends_it() {
        let of = |length| Entry {
            position: 7,
            stream: Stream::Vault,
            sequence: 3,
            label_key: LabelKey([1; 32]),
            salt: Bytes([2; 32]),
            payload: vec![b' '; length],
        };
        let most = of(Entry::PAYLOAD_BYTES_MAX);
        assert_eq!(Entry::try_from(v1::Entry::from(most.clone())).unwrap(), most);
        let longer = v1::Entry::from(of(Entry::PAYLOAD_BYTES_MAX + 1));
        assert_eq!(Entry::try_from(longer).unwrap_err().field, "payload");
    }
}
