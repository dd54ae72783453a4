//! The payload of an age file: chunks of 64 KiB, each sealed by itself (C2SP age, "Payload").
//!
//! Header and its MAC are the `age` crate's. What follows them is sealed and opened here, with
//! ChaCha20-Poly1305 of the library that TLS has too, several times as fast. As chunks rest on nothing
//! but their number, several threads seal or open them at a time, a batch each; what has an
//! order, digests and where the bytes go, is handed from batch to batch (`relay`). A batch stays
//! in its core's cache through all that is done with it, and there are never more than a few.

use std::io;
use std::num::NonZeroUsize;

use age_core::format::FileKey;
use age_core::primitives::hkdf;
use age_core::secrecy::ExposeSecret as _;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::domain::id::{Bytes, Digest};

mod open;
mod relay;
mod seal;
#[cfg(test)]
mod tests;

pub use open::{Opening, PayloadFault};
pub use seal::{Sealing, Sink};

/// Size of the nonce that begins a payload, in bytes.
pub const NONCE_BYTES: usize = 16;
/// Plaintext bytes of a full chunk.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes by which sealing lengthens a chunk.
const TAG_BYTES: usize = 16;
/// Bytes of a full chunk once it is sealed.
const SEALED_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// Chunks that one thread seals at a time: what still stays in a core's own cache, in as few pieces as can
/// be, for each goes on by itself from thread to thread and over the network.
const SEALED_TOGETHER: usize = 8;
/// Chunks that one thread opens at a time: they are in memory twice.
const OPENED_TOGETHER: usize = 4;
/// Digests go through the file in order: with more threads than these, all others wait for them.
const THREADS_MAX: usize = 4;

/// Label under which age derives the key of a payload.
const LABEL: &[u8] = b"payload";

/// How many threads seal or open one payload best on this machine.
pub fn threads() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    NonZeroUsize::new(THREADS_MAX).map_or(cores, |most| cores.min(most))
}

/// Size of the payload that so many bytes make, its nonce included.
pub fn sealed_size(plaintext_size: u64) -> u64 {
    let chunks = plaintext_size.div_ceil(CHUNK_BYTES as u64).max(1);
    NONCE_BYTES as u64 + plaintext_size + chunks * TAG_BYTES as u64
}

/// The plaintext size of a payload of this size, if it divides into whole chunks: at least one, the
/// last not empty unless it is the only one.
pub fn plaintext_size(payload_size: u64) -> Option<u64> {
    const TAG: u64 = TAG_BYTES as u64;
    let chunks = payload_size.checked_sub(NONCE_BYTES as u64)?;
    let (full, rest) = (chunks / SEALED_BYTES as u64, chunks % SEALED_BYTES as u64);
    let full_bytes = full * CHUNK_BYTES as u64;
    match (full, rest) {
        (0, TAG) => Some(0),
        (_, 0) => (full > 0).then_some(full_bytes),
        (_, rest) => Some(full_bytes + rest.checked_sub(TAG + 1)? + 1),
    }
}

/// The key that seals one payload, and nothing else. Cleared by its library when it goes.
pub struct PayloadKey(LessSafeKey);

impl PayloadKey {
    /// The key of the payload that begins with this nonce.
    pub fn new(file_key: &FileKey, nonce: &[u8; NONCE_BYTES]) -> io::Result<Self> {
        let key = Zeroizing::new(hkdf(nonce, LABEL, file_key.expose_secret()));
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).map_err(io::Error::other)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a chunk in its place; behind it there is room for its tag.
    fn seal(&self, number: u64, is_last: bool, chunk: &mut [u8]) -> io::Result<()> {
        let (text, room) = chunk.split_last_chunk_mut().ok_or(io::ErrorKind::InvalidInput)?;
        let room: &mut [u8; TAG_BYTES] = room;
        let nonce = nonce(number, is_last);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::empty(), text);
        room.copy_from_slice(tag.map_err(io::Error::other)?.as_ref());
        Ok(())
    }

    /// Opens a chunk into `text`, which is as long as what it holds. Whether that is what was sealed.
    fn opens(&self, number: u64, is_last: bool, sealed: &[u8], text: &mut [u8]) -> bool {
        let Some((sealed, tag)) = sealed.split_last_chunk::<TAG_BYTES>() else { return false };
        let nonce = nonce(number, is_last);
        self.0.open_separate_gather(nonce, Aad::empty(), sealed, tag, text).is_ok()
    }
}

/// The chunk's number as 11 bytes, and whether it is the last.
fn nonce(number: u64, is_last: bool) -> Nonce {
    let [_, _, _, _, nonce @ ..] = (u128::from(number) << 8 | u128::from(is_last)).to_be_bytes();
    Nonce::assume_unique_for_key(nonce)
}

/// Which digests are made while the bytes pass anyway. Each costs more than sealing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Of what was sealed: what the depositor states, and the requester compares.
    pub plaintext: bool,
    /// Of the whole age file: what names a bundle.
    pub file: bool,
}

impl Digests {
    /// Both.
    pub const ALL: Self = Self { plaintext: true, file: true };
}

/// What passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Size of the age file, in bytes.
    pub size: u64,
    /// Its SHA-256, where that was wanted.
    pub sha256: Option<Digest>,
    /// Size of what is sealed in it, in bytes.
    pub plaintext_size: u64,
    /// Its SHA-256, where that was wanted.
    pub plaintext_sha256: Option<Digest>,
}

/// Counts and, where that is wanted, hashes what passes.
#[derive(Default)]
struct Meter {
    hash: Option<Sha256>,
    size: u64,
}

impl Meter {
    fn new(hashes: bool) -> Self {
        Self { hash: hashes.then(Sha256::new), size: 0 }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
    }

    fn end(self) -> (u64, Option<Digest>) {
        (self.size, self.hash.map(|hash| Bytes(hash.finalize().into())))
    }
}
