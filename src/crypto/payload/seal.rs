//! Sealing a payload.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes as Buffer;
use zeroize::Zeroizing;

use crate::crypto::payload::relay::{Pool, Pooled, Relay, Workers};
use crate::crypto::payload::{
    CHUNK_BYTES, Digests, Meter, Passed, PayloadKey, SEALED_BYTES, SEALED_TOGETHER, TAG_BYTES,
};

/// Sealed bytes of a full batch.
pub(super) const BATCH_BYTES: usize = SEALED_TOGETHER * SEALED_BYTES;

/// Where sealed bytes go, in order: called by one thread at a time, not always the same. While it
/// does not return, sealing waits, so what lies between is bounded.
pub trait Sink: Send + 'static {
    /// Takes the next piece: what comes before the payload, then a batch of chunks each.
    fn take(&mut self, piece: Buffer) -> io::Result<()>;
}

impl<W: Write + Send + 'static> Sink for W {
    fn take(&mut self, piece: Buffer) -> io::Result<()> {
        self.write_all(&piece)
    }
}

/// Seals what is written to it as the payload of an age file.
///
/// Plaintext is sealed in the only place that it is copied to; a batch that is given up is cleared.
/// Each digest is made by the thread that has the batch in its cache: the plaintext's before it is
/// sealed, the file's behind it.
pub struct Sealing<S: Sink> {
    key: Arc<PayloadKey>,
    workers: Workers,
    plaintext: Relay<Meter>,
    out: Relay<Out<S>>,
    pool: Arc<Pool>,
    batch: Batch,
}

struct Out<S> {
    sink: S,
    file: Meter,
}

/// Chunks that are sealed together, and where they stand in the payload.
struct Batch {
    bytes: Zeroizing<Vec<u8>>,
    first: u64,
    /// Whole chunks, each with room for its tag.
    chunks: usize,
    /// Bytes of the one that has begun.
    begun: usize,
}

impl<S: Sink> Sealing<S> {
    /// Begins a payload behind `before`, the file's header and the payload's nonce, which go into the
    /// sink first.
    pub fn new(
        key: PayloadKey,
        before: Vec<u8>,
        digests: Digests,
        threads: NonZeroUsize,
        mut sink: S,
    ) -> io::Result<Self> {
        let mut file = Meter::new(digests.file);
        file.pass(&before);
        sink.take(before.into())?;
        let pool = Arc::new(Pool::default());
        Ok(Self {
            key: Arc::new(key),
            workers: Workers::new(threads),
            plaintext: Relay::new(Meter::new(digests.plaintext)),
            out: Relay::new(Out { sink, file }),
            batch: Batch::new(&pool, 0),
            pool,
        })
    }

    /// Seals the last chunk, which only now is known to be that.
    pub fn finish(self) -> io::Result<(Passed, S)> {
        let mut sealing = self;
        // Here: a file of few bytes takes no threads.
        sealing.batch_job(true)();
        let Out { sink, file } = sealing.out.end()?;
        let (size, sha256) = file.end();
        let (plaintext_size, plaintext_sha256) = sealing.plaintext.end()?.end();
        Ok((Passed { size, sha256, plaintext_size, plaintext_sha256 }, sink))
    }

    fn batch_job(&mut self, is_end: bool) -> impl FnOnce() + Send + use<S> {
        let next = Batch::new(&self.pool, self.batch.first + SEALED_TOGETHER as u64);
        let mut batch = std::mem::replace(&mut self.batch, next);
        if is_end {
            batch.end_chunk();
        }
        let (key, pool) = (Arc::clone(&self.key), Arc::clone(&self.pool));
        let (plaintext, out) = (self.plaintext.next(), self.out.next());
        move || {
            plaintext.pass(|meter| {
                batch.texts().for_each(|text| meter.pass(text));
                Ok(())
            });
            let sealed = batch.seal(&key, is_end);
            out.pass(|out| {
                let sealed = sealed?;
                out.file.pass(&sealed);
                out.sink.take(Pooled::share(sealed, &pool))
            });
        }
    }
}

impl<S: Sink> Write for Sealing<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut left = bytes;
        while !left.is_empty() {
            // A full chunk is not known not to be the last before there is more.
            if self.batch.begun == CHUNK_BYTES {
                self.batch.end_chunk();
            }
            if self.batch.chunks == SEALED_TOGETHER {
                self.out.fault()?;
                let job = self.batch_job(false);
                self.workers.submit(job);
            }
            left = self.batch.fill(left);
        }
        Ok(bytes.len())
    }

    /// Does nothing: an unfinished batch cannot be sealed twice.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Batch {
    fn new(pool: &Pool, first: u64) -> Self {
        Self { bytes: Zeroizing::new(pool.take(BATCH_BYTES)), first, chunks: 0, begun: 0 }
    }

    /// Takes what the chunk that has begun has room for, and returns the rest.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.begun));
        self.bytes.extend_from_slice(now);
        self.begun += now.len();
        later
    }

    fn end_chunk(&mut self) {
        self.bytes.extend_from_slice(&[0; TAG_BYTES]);
        (self.chunks, self.begun) = (self.chunks + 1, 0);
    }

    /// The chunks' plaintext, before they are sealed.
    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let chunks = self.bytes.chunks(SEALED_BYTES);
        chunks.filter_map(|chunk| chunk.split_last_chunk::<TAG_BYTES>()).map(|(text, _)| text)
    }

    /// From here on it holds nothing secret.
    fn seal(mut self, key: &PayloadKey, is_end: bool) -> io::Result<Vec<u8>> {
        let count = self.chunks;
        for ((number, chunk), nth) in
            (self.first..).zip(self.bytes.chunks_mut(SEALED_BYTES)).zip(1..)
        {
            key.seal(number, is_end && nth == count, chunk)?;
        }
        Ok(std::mem::take(&mut *self.bytes))
    }
}
