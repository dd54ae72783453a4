//! The recorded head: how far the journal certainly reaches.
//!
//! A journal alone cannot tell a batch that was never acknowledged from an acknowledged one that
//! was cut off. The head can: it is written after a batch is synced and before the commit
//! returns. It is not synced itself for every batch, so that after power loss it may lag behind
//! the journal but never runs ahead of it; kill -9 does not make it lag. Two slots are written in
//! turn, each in a sector of its own, so a torn write costs the newer one only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::domain::id::{Bytes, Digest};
use crate::store::batches::CHAIN_START;
use crate::store::error::{OpenError, damaged, io_at};
use crate::store::frame::{Fields, Identity};
use crate::store::segments::{FORMAT, SEGMENT_HEAD_BYTES, create_durably};

/// Where a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    /// Entries in the ledger.
    pub(crate) size: u64,
    /// The chain over all of them.
    pub(crate) chain: Digest,
    /// The event segment in use.
    pub(crate) segment: u32,
    /// Its length up to the last whole batch, in bytes.
    pub(crate) end: u64,
    /// The blob segment in use.
    pub(crate) blob_segment: u32,
    /// Its length up to the last committed blob, in bytes.
    pub(crate) blob_end: u64,
}

const MAGIC: &[u8; 8] = b"EVhead\0\0";
/// Distance between the slots, in bytes: more than a disk writes at once.
const SLOT_STRIDE_BYTES: u64 = 4096;
const SLOT_BYTES: usize = 8 + 4 + 16 + 8 + TIP_BYTES + 4;
/// Length of an encoded tip.
pub(crate) const TIP_BYTES: usize = 8 + 32 + 4 + 8 + 4 + 8;

impl Tip {
    /// Where a journal with nothing in it ends.
    pub(crate) const START: Self = Self {
        size: 0,
        chain: CHAIN_START,
        segment: 1,
        end: SEGMENT_HEAD_BYTES,
        blob_segment: 1,
        blob_end: SEGMENT_HEAD_BYTES,
    };

    /// As bytes, integers big-endian, in the order of the fields.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TIP_BYTES);
        out.extend(self.size.to_be_bytes());
        out.extend(self.chain.0);
        out.extend(self.segment.to_be_bytes());
        out.extend(self.end.to_be_bytes());
        out.extend(self.blob_segment.to_be_bytes());
        out.extend(self.blob_end.to_be_bytes());
        out
    }

    /// Reads what [`Tip::encode`] wrote.
    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            size: fields.u64()?,
            chain: Bytes(fields.array()?),
            segment: fields.u32()?,
            end: fields.u64()?,
            blob_segment: fields.u32()?,
            blob_end: fields.u64()?,
        })
    }
}

/// The file of the recorded head.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
    identity: Identity,
    counter: u64,
}

impl HeadFile {
    /// Makes the file, durable when this returns.
    pub(crate) fn create(path: &Path, identity: Identity, tip: &Tip) -> io::Result<Self> {
        let mut content = encode_slot(&identity, 0, tip);
        content.resize(SLOT_STRIDE_BYTES as usize, 0);
        content.extend(encode_slot(&identity, 1, tip));
        Ok(Self { file: create_durably(path, &content)?, identity, counter: 1 })
    }

    /// Opens the file and reads the newer valid slot.
    pub(crate) fn open(path: &Path) -> Result<(Self, Identity, Tip), OpenError> {
        let file =
            File::options().read(true).write(true).open(path).map_err(io_at("open", path))?;
        let mut newest: Option<(Identity, u64, Tip)> = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            match file.read_exact_at(&mut bytes, slot * SLOT_STRIDE_BYTES) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                other => other.map_err(io_at("read", path))?,
            }
            let Some(found) = decode_slot(&bytes) else { continue };
            if newest.as_ref().is_none_or(|(_, counter, _)| *counter < found.1) {
                newest = Some(found);
            }
        }
        let (identity, counter, tip) =
            newest.ok_or_else(|| damaged(path, 0, "neither slot holds a head of this format"))?;
        Ok((Self { file, identity, counter }, identity, tip))
    }

    /// Records where the journal ends. Survives the process, not yet the machine.
    pub(crate) fn record(&mut self, tip: &Tip) -> io::Result<()> {
        self.counter += 1;
        let slot = encode_slot(&self.identity, self.counter, tip);
        self.file.write_all_at(&slot, self.counter % 2 * SLOT_STRIDE_BYTES)
    }

    /// Makes what was recorded survive power loss.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn encode_slot(identity: &Identity, counter: u64, tip: &Tip) -> Vec<u8> {
    let mut out = Vec::with_capacity(SLOT_BYTES);
    out.extend(MAGIC);
    out.extend(FORMAT.to_be_bytes());
    out.extend(identity.0);
    out.extend(counter.to_be_bytes());
    out.extend(tip.encode());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

fn decode_slot(bytes: &[u8; SLOT_BYTES]) -> Option<(Identity, u64, Tip)> {
    let mut fields = Fields(bytes);
    let (magic, format): ([u8; 8], u32) = (fields.array()?, fields.u32()?);
    let identity = Bytes(fields.array()?);
    let counter = fields.u64()?;
    let tip = Tip::decode(&mut fields)?;
    let covered = bytes.get(..SLOT_BYTES - 4).map(crc32fast::hash);
    (magic == *MAGIC && format == FORMAT && covered == fields.u32())
        .then_some((identity, counter, tip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(size: u64) -> Tip {
        let chain = Bytes([7; 32]);
        Tip { size, chain, segment: 1, end: 100 + size, blob_segment: 1, blob_end: 84 }
    }

    #[test]
    fn a_torn_slot_costs_the_newest_head_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        let identity = Bytes([3; 16]);
        let mut head = HeadFile::create(&path, identity, &tip(0)).unwrap();
        for size in 1..=4 {
            head.record(&tip(size)).unwrap();
            assert_eq!(HeadFile::open(&path).unwrap().2, tip(size));
        }
        let whole = std::fs::read(&path).unwrap();
        // Counters began at 1, so the fourth record, the newest, is in the second slot.
        for (offset, survivor) in [(20, 4), (4096 + 20, 3)] {
            let mut torn = whole.clone();
            torn[offset] ^= 1;
            std::fs::write(&path, torn).unwrap();
            assert_eq!(HeadFile::open(&path).unwrap().2, tip(survivor));
        }
        std::fs::write(&path, &whole[..10]).unwrap();
        assert!(matches!(HeadFile::open(&path), Err(OpenError::Damaged { .. })));
    }
}
