//! Reads a segment batch by batch: the one reader that recovery, catching up and checking share.
//!
//! It holds one batch in memory at most, checks every frame's CRC, every position and the chain,
//! and says of the first byte it cannot accept where that is and why. Whether that is a torn tail
//! or damage is for the caller to say.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};

use crate::domain::id::{Bytes, Digest};
use crate::ledger::Entry;
use crate::store::frame::{
    BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, Commit, FRAME_HEAD_BYTES, FRAME_PAYLOAD_BYTES_MAX,
    FrameCrc, FrameHead, Identity, Kind,
};

/// The chain of an empty ledger.
pub(crate) const CHAIN_START: Digest = Bytes([0; 32]);

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// The chain with one more entry: SHA-256 over a domain tag, the chain so far, and the entry.
pub(crate) fn extend_chain(chain: &Digest, entry: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"escrow-vault/journal-chain/v1\0");
    hash.update(chain.0);
    hash.update(entry);
    Bytes(hash.finalize().into())
}

/// A whole batch as the journal has it.
#[derive(Debug)]
pub(crate) struct StoredBatch {
    /// Its entries, each with the offset of its frame.
    pub(crate) entries: Vec<(Entry, u64)>,
    /// Its last frame.
    pub(crate) commit: Commit,
    /// Where in the segment it ends.
    pub(crate) end: u64,
}

/// Why there is no further batch.
#[derive(Debug)]
pub(crate) enum BadBatch {
    /// The file could not be read.
    Io(io::Error),
    /// The bytes from here on are not what belongs here.
    At { offset: u64, how: &'static str },
}

/// Reads batches from one place in a segment to its end.
#[derive(Debug)]
pub(crate) struct Batches {
    input: BufReader<Cursor>,
    crc: FrameCrc,
    offset: u64,
    size: u64,
    chain: Digest,
}

impl Batches {
    /// From `offset`, where the ledger has this size and chain.
    pub(crate) fn from(
        file: &File,
        (identity, segment): (&Identity, u32),
        offset: u64,
        (size, chain): (u64, Digest),
    ) -> io::Result<Self> {
        let cursor = Cursor { file: file.try_clone()?, offset };
        let crc = FrameCrc::new(identity, segment);
        Ok(Self { input: BufReader::with_capacity(READ_BYTES, cursor), crc, offset, size, chain })
    }

    /// The next whole batch; `None` where the file ends behind one. Not to be called after an
    /// error.
    pub(crate) fn next(&mut self) -> Result<Option<StoredBatch>, BadBatch> {
        let (mut entries, mut batch_bytes) = (Vec::new(), 0);
        let mut at = self.offset;
        loop {
            let bad = |how| BadBatch::At { offset: at, how };
            let Some((head, payload)) = self.frame(at)? else {
                return if entries.is_empty() {
                    Ok(None)
                } else {
                    Err(bad("the batch has no end"))
                };
            };
            let frame_bytes = FRAME_HEAD_BYTES + payload.len();
            let next = at + frame_bytes as u64;
            match head.kind {
                Kind::Blob => return Err(bad("a blob among the entries")),
                Kind::Entry => {
                    let entry = Entry::decode(&payload).map_err(|_| bad("not a ledger entry"))?;
                    if entry.position != self.size || head.position != self.size {
                        return Err(bad("the entry's position does not follow"));
                    }
                    batch_bytes += frame_bytes;
                    if entries.len() >= BATCH_ENTRIES_MAX || batch_bytes > BATCH_BYTES_MAX {
                        return Err(bad("the batch is larger than any that is written"));
                    }
                    self.chain = extend_chain(&self.chain, &payload);
                    self.size += 1;
                    entries.push((entry, at));
                }
                Kind::Commit => {
                    let commit = Commit::decode(head.position, &payload)
                        .ok_or_else(|| bad("not the end of a batch"))?;
                    let count = usize::try_from(commit.count).unwrap_or(usize::MAX);
                    if commit.size != self.size || count != entries.len() || count == 0 {
                        return Err(bad("the batch's end counts other entries"));
                    }
                    if commit.chain != self.chain {
                        return Err(bad("the chain does not match the entries"));
                    }
                    self.offset = next;
                    return Ok(Some(StoredBatch { entries, commit, end: next }));
                }
            }
            at = next;
        }
    }

    fn frame(&mut self, at: u64) -> Result<Option<(FrameHead, Vec<u8>)>, BadBatch> {
        let bad = |how| BadBatch::At { offset: at, how };
        let mut head = [0; FRAME_HEAD_BYTES];
        match read_up_to(&mut self.input, &mut head).map_err(BadBatch::Io)? {
            0 => return Ok(None),
            FRAME_HEAD_BYTES => (),
            _ => return Err(bad("the frame is cut short")),
        }
        let head = FrameHead::parse(&head).ok_or_else(|| bad("no frame begins here"))?;
        let mut payload = vec![0; head.length];
        if read_up_to(&mut self.input, &mut payload).map_err(BadBatch::Io)? < head.length {
            return Err(bad("the frame is cut short"));
        }
        if !head.matches(&self.crc, &payload) {
            return Err(bad("the frame does not match its checksum"));
        }
        Ok(Some((head, payload)))
    }
}

/// A place in a file of its own: clones of a `File` share theirs.
#[derive(Debug)]
struct Cursor {
    file: File,
    offset: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads the one frame at `offset`, checked; `Err(None)` if what is there is no such frame.
pub(crate) fn read_frame(
    file: &File,
    crc: &FrameCrc,
    kind: Kind,
    offset: u64,
) -> Result<(FrameHead, Vec<u8>), Option<io::Error>> {
    let damaged_or =
        |error: io::Error| (error.kind() != io::ErrorKind::UnexpectedEof).then_some(error);
    let mut head = [0; FRAME_HEAD_BYTES];
    file.read_exact_at(&mut head, offset).map_err(damaged_or)?;
    let head = FrameHead::parse(&head).filter(|head| head.kind == kind).ok_or(None)?;
    let mut payload = vec![0; head.length];
    file.read_exact_at(&mut payload, offset + FRAME_HEAD_BYTES as u64).map_err(damaged_or)?;
    if head.matches(crc, &payload) { Ok((head, payload)) } else { Err(None) }
}

/// The first end of a batch from `offset` on, wherever its frame begins, and where it ends itself: what
/// can be relied on again behind bytes that cannot.
pub(crate) fn next_commit(
    file: &File,
    (identity, segment): (&Identity, u32),
    offset: u64,
) -> io::Result<Option<(Commit, u64)>> {
    let crc = FrameCrc::new(identity, segment);
    let end = file.metadata()?.len();
    let mut at = offset;
    while at < end {
        // Windows overlap by more than a commit frame, so none is missed at an edge.
        let want = (end - at).min((2 * FRAME_PAYLOAD_BYTES_MAX) as u64);
        let mut window = vec![0; usize::try_from(want).unwrap_or(0)];
        file.read_exact_at(&mut window, at)?;
        let last = at + want == end;
        let starts = if last { window.len() } else { FRAME_PAYLOAD_BYTES_MAX };
        for start in 0..starts {
            let rest = window.get(start..).unwrap_or_default();
            let Some((head, rest)) = rest.split_first_chunk::<FRAME_HEAD_BYTES>() else { break };
            let head = FrameHead::parse(head).filter(|head| head.kind == Kind::Commit);
            let Some(head) = head else { continue };
            let Some(payload) = rest.get(..head.length) else { continue };
            if !head.matches(&crc, payload) {
                continue;
            }
            let Some(commit) = Commit::decode(head.position, payload) else { continue };
            return Ok(Some((commit, at + (start + FRAME_HEAD_BYTES + head.length) as u64)));
        }
        at += starts as u64;
    }
    Ok(None)
}

/// Whether the bytes from `offset` on show that something was acknowledged behind the batch that
/// should begin there: the end of another batch, or anything after the end of this one. A batch
/// is begun only when the one before is synced, so such bytes are no torn tail.
pub(crate) fn tail_was_followed(
    file: &File,
    place: (&Identity, u32),
    offset: u64,
    size: u64,
) -> io::Result<bool> {
    let end = file.metadata()?.len();
    let mut at = offset;
    while let Some((commit, frame_end)) = next_commit(file, place, at)? {
        if commit.size != size + u64::from(commit.count) || frame_end != end {
            return Ok(true);
        }
        at = frame_end;
    }
    Ok(false)
}
