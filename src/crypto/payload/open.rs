//! Opening a payload.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use zeroize::Zeroizing;

use crate::crypto::payload::relay::{Relay, Workers};
use crate::crypto::payload::{
    CHUNK_BYTES, Digests, Meter, OPENED_TOGETHER, Passed, PayloadKey, SEALED_BYTES, TAG_BYTES,
};

/// Why a payload is not what was sealed. Chunks are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadFault {
    /// A chunk doesn't authenticate, neither as the last nor as any other.
    #[error("chunk {0} of the payload was altered or cut short, or belongs elsewhere")]
    Altered(u64),
    /// The last one there was sealed as one that others follow.
    #[error("the payload was cut off behind chunk {0}")]
    CutOff(u64),
    /// The last one is not at the end.
    #[error("something follows chunk {0} of the payload, its last")]
    Trailing(u64),
    /// It ends with less than a tag.
    #[error("the payload was cut off within chunk {0}")]
    Truncated(u64),
    /// It ends with an empty chunk behind others, which no age program makes.
    #[error("chunk {0} of the payload, its last, is empty")]
    EmptyLast(u64),
}

impl PayloadFault {
    /// Whether it is why reading failed.
    pub fn is_in(fault: &io::Error) -> bool {
        fault.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// Opens the payload of an age file: what is read from it was authenticated, chunk by chunk. Only when
/// it has been read to its end is the file known to be whole.
///
/// What fails does so for good, with a [`PayloadFault`] as the cause; what could not be read may be
/// tried again. Digests are made by the thread that has the batch in its cache.
pub struct Opening<R> {
    from: R,
    key: Arc<PayloadKey>,
    workers: Workers,
    meters: Relay<Meters>,
    /// Read, and not given to a thread yet.
    ahead: Batch,
    /// The number of its first chunk.
    number: u64,
    has_ended: bool,
    /// Under way, in order, and how many of them there may be.
    opened: VecDeque<Receiver<Opened>>,
    opened_max: usize,
    current: Batch,
    fault: Option<PayloadFault>,
    free: Vec<Batch>,
}

/// Sealed bytes of a full batch.
const BATCH_BYTES: usize = OPENED_TOGETHER * SEALED_BYTES;

type Opened = (Batch, Result<(), PayloadFault>);

struct Meters {
    file: Meter,
    plaintext: Meter,
}

impl<R: Read> Opening<R> {
    /// Begins behind `before`, the file's header and the payload's nonce, which count as part of the
    /// file.
    pub fn new(
        key: PayloadKey,
        before: &[u8],
        digests: Digests,
        threads: NonZeroUsize,
        from: R,
    ) -> Self {
        let mut file = Meter::new(digests.file);
        file.pass(before);
        Self {
            from,
            key: Arc::new(key),
            workers: Workers::new(threads),
            meters: Relay::new(Meters { file, plaintext: Meter::new(digests.plaintext) }),
            ahead: Batch::new(),
            number: 0,
            has_ended: false,
            opened: VecDeque::new(),
            // One thread opens what it is asked for; several have the next ones ready meanwhile.
            opened_max: if threads == NonZeroUsize::MIN { 1 } else { threads.get() + 1 },
            current: Batch::new(),
            fault: None,
            free: Vec::new(),
        }
    }

    /// What passed, once all of it was read.
    pub fn finish(self) -> io::Result<Passed> {
        let is_read = self.opened.is_empty() && self.current.left().is_empty();
        if !self.has_ended || !is_read || self.fault.is_some() {
            return Err(io::Error::other("the payload was not read to its end"));
        }
        let Meters { file, plaintext } = self.meters.end()?;
        let ((size, sha256), (plaintext_size, plaintext_sha256)) = (file.end(), plaintext.end());
        Ok(Passed { size, sha256, plaintext_size, plaintext_sha256 })
    }

    /// Reads a batch and has it opened.
    fn submit(&mut self) -> io::Result<()> {
        let has_more = self.ahead.fill_from(&mut self.from)?;
        let mut next = self.free.pop().unwrap_or_else(Batch::new);
        next.begin_behind(&self.ahead);
        let mut batch = std::mem::replace(&mut self.ahead, next);
        let first = self.number;
        self.number += OPENED_TOGETHER as u64;
        self.has_ended = !has_more;
        let (done, opened) = mpsc::sync_channel(1);
        self.opened.push_back(opened);
        let (key, meters) = (Arc::clone(&self.key), self.meters.next());
        self.workers.submit(move || {
            let outcome = batch.open(&key, first, !has_more);
            meters.pass(|meters| {
                meters.file.pass(batch.sealed());
                meters.plaintext.pass(batch.left());
                Ok(())
            });
            // Nobody waits where all of it has been given up.
            drop(done.send((batch, outcome)));
        });
        Ok(())
    }
}

impl<R: Read> Read for Opening<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(fault) = self.fault {
                return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
            }
            let taken = self.current.left().read(buffer)?;
            if taken > 0 || buffer.is_empty() {
                self.current.read += taken;
                return Ok(taken);
            }
            while !self.has_ended && self.opened.len() < self.opened_max {
                self.submit()?;
            }
            let Some(opened) = self.opened.pop_front() else { return Ok(0) };
            let (batch, outcome) = opened.recv().map_err(io::Error::other)?;
            self.free.push(std::mem::replace(&mut self.current, batch));
            self.fault = outcome.err();
        }
    }
}

/// Sealed bytes that are opened together, and what was in them.
struct Batch {
    /// Room for a batch and one byte behind it, which tells whether more follows.
    sealed: Vec<u8>,
    filled: usize,
    text: Zeroizing<Vec<u8>>,
    /// Plaintext that was authenticated, and that was read.
    opened: usize,
    read: usize,
}

impl Batch {
    fn new() -> Self {
        let text = Zeroizing::new(vec![0; OPENED_TOGETHER * CHUNK_BYTES]);
        Self { sealed: vec![0; BATCH_BYTES + 1], filled: 0, text, opened: 0, read: 0 }
    }

    /// What was not read yet of what it opened to.
    fn left(&self) -> &[u8] {
        self.text.get(self.read..self.opened).unwrap_or_default()
    }

    fn sealed(&self) -> &[u8] {
        self.sealed.get(..self.filled.min(BATCH_BYTES)).unwrap_or_default()
    }

    /// Reads until it is full, or there is no more. Whether there is more than the batch.
    fn fill_from(&mut self, from: &mut impl Read) -> io::Result<bool> {
        while let Some(room) = self.sealed.get_mut(self.filled..).filter(|room| !room.is_empty()) {
            match from.read(room) {
                Ok(0) => break,
                Ok(taken) => self.filled += taken,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(self.filled > BATCH_BYTES)
    }

    /// Begins anew, with the byte that was read behind that batch.
    fn begin_behind(&mut self, before: &Self) {
        let behind = before.sealed.get(BATCH_BYTES..before.filled).unwrap_or_default();
        self.sealed.iter_mut().zip(behind).for_each(|(to, from)| *to = *from);
        (self.filled, self.opened, self.read) = (behind.len(), 0, 0);
    }

    /// Opens all of it or nothing.
    fn open(&mut self, key: &PayloadKey, first: u64, is_end: bool) -> Result<(), PayloadFault> {
        let sealed = self.sealed.get(..self.filled.min(BATCH_BYTES)).unwrap_or_default();
        let end = first + sealed.len().div_ceil(SEALED_BYTES) as u64;
        let mut rooms = self.text.chunks_mut(CHUNK_BYTES);
        let mut opened = 0;
        if sealed.is_empty() {
            return Err(PayloadFault::Truncated(first));
        }
        for (number, chunk) in (first..).zip(sealed.chunks(SEALED_BYTES)) {
            let size = chunk.len().checked_sub(TAG_BYTES).ok_or(PayloadFault::Truncated(number))?;
            let text = rooms.next().and_then(|room| room.get_mut(..size)).unwrap_or_default();
            let is_last = is_end && number + 1 == end;
            if is_last && size == 0 && number > 0 {
                return Err(PayloadFault::EmptyLast(number));
            }
            if !key.opens(number, is_last, chunk, text) {
                return Err(match (key.opens(number, !is_last, chunk, text), is_last) {
                    (true, true) => PayloadFault::CutOff(number),
                    (true, false) => PayloadFault::Trailing(number),
                    (false, _) => PayloadFault::Altered(number),
                });
            }
            opened += size;
        }
        self.opened = opened;
        Ok(())
    }
}
