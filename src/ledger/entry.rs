//! One event in the ledger: what is kept, and what of it a public log shows.
//!
//! The leaf is `label ‖ commitment`. The commitment is salted, so that it betrays nothing of the
//! payload and still stands when salt and payload have been deleted; the label lets those who
//! know the stream's key find its entries and see an omission or a second entry of one number.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};

use crate::domain::event::Event;
use crate::domain::id::{Bytes, Digest};
use crate::domain::stream::Stream;

/// Random bytes that blind an entry's commitment.
pub type Salt = Bytes<32>;

/// What an entry is found by in a public log: a truncated HMAC-SHA-256 of its sequence number.
pub type Label = Bytes<16>;

/// What a public log shows of an entry: its label and its commitment.
pub type Leaf = Bytes<48>;

/// The secret of those who may read a stream, under which its labels are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LabelKey(pub [u8; 32]);

impl fmt::Debug for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LabelKey")
    }
}

impl LabelKey {
    /// The label of the entry with this number in the key's stream.
    pub fn label(&self, sequence: u64) -> Label {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length will do");
        mac.update(b"escrow-vault/label/v1\0");
        mac.update(&sequence.to_be_bytes());
        let mut label = [0; 16];
        label.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(to, from)| *to = from);
        Bytes(label)
    }
}

/// The salted commitment to an event: SHA-256 over a domain tag, the salt and the payload.
pub fn commitment(salt: &Salt, payload: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"escrow-vault/commitment/v1\0");
    hash.update(salt.0);
    hash.update(payload);
    Bytes(hash.finalize().into())
}

/// The commitment in a leaf, whose label comes before it.
pub fn commitment_of(leaf: &Leaf) -> Digest {
    let mut commitment = [0; 32];
    commitment.iter_mut().zip(leaf.0.iter().skip(16)).for_each(|(to, from)| *to = *from);
    Bytes(commitment)
}

/// An event as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position in the whole ledger, from 0.
    pub position: u64,
    /// The stream it belongs to.
    pub stream: Stream,
    /// Its number in that stream, from 1.
    pub sequence: u64,
    /// The key of the stream's labels; repeated in every entry, so that each stands alone.
    pub label_key: LabelKey,
    /// What blinds the commitment.
    pub salt: Salt,
    /// The event, as exact bytes of JSON.
    pub payload: Vec<u8>,
}

/// Why stored bytes are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored bytes are not a ledger entry of format {FORMAT}")]
pub struct NotAnEntry;

/// Format of an encoded entry: its first byte.
const FORMAT: u8 = 1;

impl Entry {
    /// Largest payload, in bytes.
    pub const PAYLOAD_BYTES_MAX: usize = Event::BYTES_MAX;

    /// The commitment to this entry's payload.
    pub fn commitment(&self) -> Digest {
        commitment(&self.salt, &self.payload)
    }

    /// What the public log shows of it: label and commitment, 48 bytes.
    pub fn leaf(&self) -> Leaf {
        let mut leaf = [0; 48];
        let label = self.label_key.label(self.sequence);
        let parts = label.0.into_iter().chain(self.commitment().0);
        leaf.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        Bytes(leaf)
    }

    /// As bytes for the journal: format, position, sequence, label key, salt, length and text of
    /// the stream, payload. Integers are big-endian.
    pub fn encode(&self) -> Vec<u8> {
        let stream = self.stream.to_string();
        let length = u8::try_from(stream.len()).unwrap_or(u8::MAX);
        let mut bytes = Vec::with_capacity(82 + stream.len() + self.payload.len());
        bytes.push(FORMAT);
        bytes.extend(self.position.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.label_key.0);
        bytes.extend(self.salt.0);
        bytes.push(length);
        bytes.extend(stream.bytes().take(length.into()));
        bytes.extend(&self.payload);
        bytes
    }

    /// Reads what [`Entry::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAnEntry> {
        let (format, rest) = bytes.split_first().ok_or(NotAnEntry)?;
        let (position, rest) = rest.split_first_chunk().ok_or(NotAnEntry)?;
        let (sequence, rest) = rest.split_first_chunk().ok_or(NotAnEntry)?;
        let (label_key, rest) = rest.split_first_chunk().ok_or(NotAnEntry)?;
        let (salt, rest) = rest.split_first_chunk().ok_or(NotAnEntry)?;
        let (length, rest) = rest.split_first().ok_or(NotAnEntry)?;
        let (stream, payload) = rest.split_at_checked((*length).into()).ok_or(NotAnEntry)?;
        let stream = std::str::from_utf8(stream).map_err(|_| NotAnEntry)?;
        if *format != FORMAT || payload.len() > Self::PAYLOAD_BYTES_MAX {
            return Err(NotAnEntry);
        }
        Ok(Self {
            position: u64::from_be_bytes(*position),
            stream: stream.parse().map_err(|_| NotAnEntry)?,
            sequence: u64::from_be_bytes(*sequence),
            label_key: LabelKey(*label_key),
            salt: Bytes(*salt),
            payload: payload.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            position: 7,
            stream: Stream::Vault,
            sequence: 3,
            label_key: LabelKey([1; 32]),
            salt: Bytes([2; 32]),
            payload: b"{}".to_vec(),
        }
    }

    #[test]
    fn entries_read_as_they_were_written() {
        let bytes = entry().encode();
        assert_eq!(Entry::decode(&bytes), Ok(entry()));
        for cut in 0..bytes.len() - 2 {
            assert_eq!(Entry::decode(&bytes[..cut]), Err(NotAnEntry), "cut at {cut}");
        }
    }

    #[test]
    fn promise_11_a_payload_is_no_longer_than_it_may_be() {
        let of = |length| Entry { payload: vec![b' '; length], ..entry() };
        let most = of(Entry::PAYLOAD_BYTES_MAX);
        assert_eq!(Entry::decode(&most.encode()).unwrap(), most);
        let longer = of(Entry::PAYLOAD_BYTES_MAX + 1);
        assert_eq!(Entry::decode(&longer.encode()), Err(NotAnEntry));
    }

    #[test]
    fn the_leaf_depends_on_every_part_and_shows_none() {
        let leaf = entry().leaf();
        for changed in [
            Entry { sequence: 4, ..entry() },
            Entry { label_key: LabelKey([9; 32]), ..entry() },
            Entry { salt: Bytes([9; 32]), ..entry() },
            Entry { payload: b"[]".to_vec(), ..entry() },
        ] {
            assert_ne!(changed.leaf(), leaf);
        }
        assert_eq!(Entry { position: 8, ..entry() }.leaf(), leaf, "a leaf does not know its place");
        assert_eq!(commitment_of(&leaf), entry().commitment());
    }
}
