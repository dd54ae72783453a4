//! Frames: the only thing that follows a segment's header.
//!
//! `length u32 ‖ kind u8 ‖ position u64 ‖ crc u32 ‖ payload`, integers big-endian. The CRC-32 is
//! taken over the journal's identity, the segment's number, the frame's head and its payload, so
//! that bytes of another journal or segment never pass for this one's. It finds accidents; what
//! finds malice is the chain over the entries and the ledger's signed heads.

use crate::domain::id::{Bytes, DepositId, Digest};
use crate::ledger::Entry;
use crate::store::Blob;

/// Sixteen random bytes that every file of one journal carries.
pub(crate) type Identity = Bytes<16>;

/// Most entries in one batch.
pub(crate) const BATCH_ENTRIES_MAX: usize = 4096;
/// Most large bundles in one batch.
pub(crate) const BATCH_BUNDLES_MAX: usize = 1024;
/// Most small objects in one batch.
pub(crate) const BATCH_BLOBS_MAX: usize = 1024;
/// Most bytes of entries in one batch, and most bytes of blobs: recovery holds a batch in memory.
pub(crate) const BATCH_BYTES_MAX: usize = 64 << 20;

/// What comes before a payload, in bytes.
pub(crate) const FRAME_HEAD_BYTES: usize = 4 + 1 + 8 + 4;
/// Longest payload, in bytes: an entry is a payload, a stream's name and some fixed fields.
pub(crate) const FRAME_PAYLOAD_BYTES_MAX: usize = Entry::PAYLOAD_BYTES_MAX + 1024;
const _: () = assert!(Blob::BYTES_MAX + Blob::NAME_BYTES_MAX < FRAME_PAYLOAD_BYTES_MAX);
const _: () = assert!(BATCH_BUNDLES_MAX * BUNDLE_BYTES + 128 < FRAME_PAYLOAD_BYTES_MAX);
const _: () = assert!(FRAME_PAYLOAD_BYTES_MAX < BATCH_BYTES_MAX);

/// Seeds the CRCs of one segment's frames.
#[derive(Debug, Clone)]
pub(crate) struct FrameCrc(crc32fast::Hasher);

impl FrameCrc {
    /// For the frames of this segment of this journal.
    pub(crate) fn new(identity: &Identity, segment: u32) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&identity.0);
        hasher.update(&segment.to_be_bytes());
        Self(hasher)
    }

    fn of(&self, head: &[u8], payload: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(head);
        hasher.update(payload);
        hasher.finalize()
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A ledger entry; the position is the entry's.
    Entry,
    /// The end of a batch; the position is the ledger's size after it.
    Commit,
    /// A small object; the position is the ledger's size before its batch.
    Blob,
}

impl Kind {
    fn to_byte(self) -> u8 {
        match self {
            Self::Entry => 1,
            Self::Commit => 2,
            Self::Blob => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Entry),
            2 => Some(Self::Commit),
            3 => Some(Self::Blob),
            _ => None,
        }
    }
}

/// The first bytes of a frame, not yet checked against its payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHead {
    /// Payload length in bytes, within the limit.
    pub(crate) length: usize,
    /// What the payload is.
    pub(crate) kind: Kind,
    /// Where in the ledger it belongs.
    pub(crate) position: u64,
    crc: u32,
}

/// Appends a frame to `out`.
pub(crate) fn push(out: &mut Vec<u8>, crc: &FrameCrc, kind: Kind, position: u64, payload: &[u8]) {
    let mut head = [0u8; FRAME_HEAD_BYTES - 4];
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let fields = length.into_iter().chain([kind.to_byte()]).chain(position.to_be_bytes());
    head.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    out.extend(head);
    out.extend(crc.of(&head, payload).to_be_bytes());
    out.extend(payload);
}

impl FrameHead {
    /// Reads the first bytes of a frame; `None` if no frame begins like this.
    pub(crate) fn parse(bytes: &[u8; FRAME_HEAD_BYTES]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let length = usize::try_from(fields.u32()?).ok()?;
        let kind = Kind::from_byte(fields.u8()?)?;
        let position = fields.u64()?;
        let crc = fields.u32()?;
        (length <= FRAME_PAYLOAD_BYTES_MAX).then_some(Self { length, kind, position, crc })
    }

    /// Whether this payload is the one this head was written for.
    pub(crate) fn matches(&self, crc: &FrameCrc, payload: &[u8]) -> bool {
        let mut again = Vec::with_capacity(FRAME_HEAD_BYTES);
        again.extend(u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes());
        again.push(self.kind.to_byte());
        again.extend(self.position.to_be_bytes());
        payload.len() == self.length && crc.of(&again, payload) == self.crc
    }
}

/// What the last frame of a batch says: that the batch is whole, and where everything stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The ledger's size after the batch.
    pub(crate) size: u64,
    /// How many entries the batch has.
    pub(crate) count: u32,
    /// The chain over all entries up to and including this batch's.
    pub(crate) chain: Digest,
    /// The blob segment in use after the batch.
    pub(crate) blob_segment: u32,
    /// Where in it this batch's blobs begin.
    pub(crate) blob_start: u64,
    /// Where they end; nothing committed lies behind.
    pub(crate) blob_end: u64,
    /// The large bundles the batch stored.
    pub(crate) bundles: Vec<BundleRecord>,
}

/// What the journal says of a large bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BundleRecord {
    /// The deposit it belongs to.
    pub(crate) id: DepositId,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// CRC-32 of its table of chunk sums, which ties both files to this record.
    pub(crate) sums_crc: u32,
}

const ID_BYTES: usize = 30;
const BUNDLE_BYTES: usize = ID_BYTES + 8 + 4;

impl BundleRecord {
    /// As bytes: id, size, CRC of the sums.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BUNDLE_BYTES);
        out.extend(self.id.as_str().as_bytes());
        out.extend(self.size.to_be_bytes());
        out.extend(self.sums_crc.to_be_bytes());
        out
    }

    /// Reads what [`BundleRecord::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let id = std::str::from_utf8(fields.take(ID_BYTES)?).ok()?.parse().ok()?;
        let record = Self { id, size: fields.u64()?, sums_crc: fields.u32()? };
        fields.0.is_empty().then_some(record)
    }
}

impl Commit {
    /// The payload of a commit frame; its position is `size`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.count.to_be_bytes());
        out.extend(self.chain.0);
        out.extend(self.blob_segment.to_be_bytes());
        out.extend(self.blob_start.to_be_bytes());
        out.extend(self.blob_end.to_be_bytes());
        for bundle in &self.bundles {
            out.extend(bundle.encode());
        }
        out
    }

    /// Reads what [`Commit::encode`] wrote.
    pub(crate) fn decode(position: u64, payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let count = fields.u32()?;
        let chain = Bytes(fields.array()?);
        let (blob_segment, blob_start, blob_end) = (fields.u32()?, fields.u64()?, fields.u64()?);
        let records = fields.0.chunks(BUNDLE_BYTES).map(BundleRecord::decode);
        let bundles = records.collect::<Option<Vec<_>>>()?;
        Some(Self { size: position, count, chain, blob_segment, blob_start, blob_end, bundles })
    }
}

/// The payload of a blob frame: length of the name, name, content.
pub(crate) fn encode_blob(blob: &Blob) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + blob.name.len() + blob.bytes.len());
    out.push(u8::try_from(blob.name.len()).unwrap_or(u8::MAX));
    out.extend(blob.name.as_bytes());
    out.extend(&blob.bytes);
    out
}

/// Reads what [`encode_blob`] wrote.
pub(crate) fn decode_blob(payload: &[u8]) -> Option<Blob> {
    let mut fields = Fields(payload);
    let length = fields.u8()?;
    let name = std::str::from_utf8(fields.take(length.into())?).ok()?.to_owned();
    Some(Blob { name, bytes: fields.0.to_vec() })
}

/// Takes big-endian fields off the front of bytes; `None` where they run out.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_is_seen_and_so_is_another_segment_or_journal() {
        let crc = FrameCrc::new(&Bytes([1; 16]), 1);
        let mut bytes = Vec::new();
        push(&mut bytes, &crc, Kind::Entry, 7, b"payload");
        let valid = |bytes: &[u8], crc: &FrameCrc| {
            let (head, payload) = bytes.split_first_chunk().unwrap();
            FrameHead::parse(head).is_some_and(|head| head.matches(crc, payload))
        };
        assert!(valid(&bytes, &crc));
        assert!(!valid(&bytes, &FrameCrc::new(&Bytes([1; 16]), 2)));
        assert!(!valid(&bytes, &FrameCrc::new(&Bytes([2; 16]), 1)));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!valid(&flipped, &crc), "bit {bit}");
        }
    }

    #[test]
    fn commits_and_blobs_read_as_they_were_written() {
        let bundle = |byte| BundleRecord {
            id: DepositId::of(&Bytes([byte; 32])),
            size: 1 << 40,
            sums_crc: 5,
        };
        let commit = Commit {
            size: 9,
            count: 2,
            chain: Bytes([3; 32]),
            blob_segment: 1,
            blob_start: 84,
            blob_end: 100,
            bundles: vec![bundle(1), bundle(2)],
        };
        let payload = commit.encode();
        assert_eq!(Commit::decode(9, &payload), Some(commit));
        assert_eq!(Commit::decode(9, &payload[..payload.len() - 1]), None);
        let blob = Blob { name: "dep_x".to_owned(), bytes: vec![0, 1] };
        assert_eq!(decode_blob(&encode_blob(&blob)), Some(blob));
        assert_eq!(decode_blob(&[5, b'a']), None);
    }
}
