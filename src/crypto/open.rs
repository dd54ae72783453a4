//! Opening a bundle with the secret that a quorum made for it.

use std::cell::OnceCell;
use std::fmt;
use std::io::{self, Read};
use std::iter;
use std::num::NonZeroUsize;

use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::aead_decrypt;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use zeroize::{Zeroize as _, Zeroizing};

use crate::crypto::header::{HEADER_BYTES_MAX, Header, HeaderFault};
use crate::crypto::payload::{Digests, NONCE_BYTES, Opening, PayloadKey};
use crate::crypto::release_key::ReleaseKey;
use crate::crypto::seal::wrapping_key;
use crate::domain::id::{Bytes, Element};

#[cfg(test)]
mod tests;

/// The X25519 shared secret of one file and the release key. Opens that file and no other.
pub struct SharedSecret(Zeroizing<[u8; 32]>);

impl SharedSecret {
    pub(super) fn new(u: Zeroizing<[u8; 32]>) -> Self {
        Self(u)
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

/// Why a bundle does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// It is not there to be read.
    #[error("the bundle cannot be read")]
    Read(#[source] io::Error),
    /// Its header is none that a bundle may have.
    #[error("the bundle is no admissible age file")]
    Header(#[source] HeaderFault),
    /// Its header is not the one that was stated, and that the contributions are for.
    #[error("the bundle's header is not the one that its depositor stated")]
    OtherHeader,
    /// The `age` crate refuses its header: another key, another file, or damage.
    #[error("the bundle does not open with the contributions to it")]
    Age(#[source] age::DecryptError),
    /// Its payload ends before its first chunk.
    #[error("the bundle ends before its first chunk")]
    NoPayload,
}

/// An age file that is being opened.
pub type Opened<R> = Opening<io::Chain<io::Cursor<Vec<u8>>, R>>;

/// Opens an age file that has this header, over so many threads. What is read from the result is
/// authenticated chunk by chunk; only when it has been read to its end is the file known to be
/// whole.
///
/// The `age` crate parses headers in quadratic time and without a bound, so it is shown none that
/// our own parser has not read, within its limits. It verifies the header's MAC, and no more is left
/// to it.
pub fn open<R: Read>(
    secret: &SharedSecret,
    key: &ReleaseKey,
    stated: &Header,
    digests: Digests,
    threads: NonZeroUsize,
    mut file: R,
) -> Result<Opened<R>, OpenFault> {
    let mut begin = Vec::new();
    (&mut file)
        .take((HEADER_BYTES_MAX + NONCE_BYTES) as u64)
        .read_to_end(&mut begin)
        .map_err(OpenFault::Read)?;
    let header = Header::parse(&begin).and_then(|header| header.ok_or(HeaderFault::Truncated));
    if header.map_err(OpenFault::Header)? != *stated {
        return Err(OpenFault::OtherHeader);
    }
    let nonce = begin.get(stated.size..).and_then(|payload| payload.first_chunk::<NONCE_BYTES>());
    let nonce = *nonce.ok_or(OpenFault::NoPayload)?;
    let first_chunk = begin.split_off(stated.size + NONCE_BYTES);
    let opener = Opener { shared: secret, release: key.u_coordinate(), file_key: OnceCell::new() };
    let decryptor = age::Decryptor::new_buffered(begin.as_slice()).map_err(OpenFault::Age)?;
    let identity: &dyn age::Identity = &opener;
    // Knows nothing of the payload, which its reader would open.
    drop(decryptor.decrypt(iter::once(identity)).map_err(OpenFault::Age)?);
    let file_key = opener.file_key.into_inner();
    let file_key = file_key.ok_or(OpenFault::Age(age::DecryptError::NoMatchingKeys))?;
    let key = PayloadKey::new(&file_key, &nonce).map_err(OpenFault::Read)?;
    let rest = io::Cursor::new(first_chunk).chain(file);
    Ok(Opening::new(key, &begin, digests, threads, rest))
}

/// An age identity that knows one shared secret instead of a key.
struct Opener<'a> {
    shared: &'a SharedSecret,
    release: Element,
    /// What the `age` crate was given to verify the header with.
    file_key: OnceCell<FileKey>,
}

impl age::Identity for Opener<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        if stanza.tag != "X25519" {
            return None;
        }
        let [argument] = stanza.args.as_slice() else {
            return Some(Err(age::DecryptError::InvalidHeader));
        };
        let ephemeral = BASE64_STANDARD_NO_PAD.decode(argument).ok();
        let Some(ephemeral) = ephemeral.and_then(|bytes| bytes.try_into().ok()) else {
            return Some(Err(age::DecryptError::InvalidHeader));
        };
        let mut key = wrapping_key(&Bytes(ephemeral), &self.release, &self.shared.0);
        let opened = aead_decrypt(&key, FILE_KEY_BYTES, &stanza.body).ok().map(Zeroizing::new);
        key.zeroize();
        let opened = opened?;
        let file_key = || {
            FileKey::init_with_mut(|to| {
                to.iter_mut().zip(opened.iter()).for_each(|(to, from)| *to = *from);
            })
        };
        drop(self.file_key.set(file_key()));
        Some(Ok(file_key()))
    }
}
