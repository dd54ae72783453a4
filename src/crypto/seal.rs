//! Sealing a bundle to a release key, with proof that the depositor made this very header.
//!
//! X25519 in age is malleable: from a deposited header with point *E* anybody can make another
//! with *E′ = ρE + σB*, deposit it as "a test file", and what opens the copy opens the original.
//! Only who chose *E* knows its logarithm; the proof of it is part of the deposit's statement.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::io::{self, Write};
use std::iter;
use std::num::NonZeroUsize;

use age_core::format::{FileKey, Stanza};
use age_core::primitives::{aead_encrypt, hkdf};
use age_core::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand_core::{CryptoRng, RngCore};
use zeroize::{Zeroize as _, Zeroizing};

use crate::crypto::header::{Header, HeaderFault};
use crate::crypto::payload::{self, Digests, Passed, PayloadKey, Sealing, Sink};
use crate::crypto::release_key::ReleaseKey;
use crate::crypto::transcript::Transcript;
use crate::crypto::{knowledge, point};
use crate::domain::id::{AgreementId, Digest, Element, OrganisationName};
use crate::domain::statement::Knowledge;

/// Label under which age derives the key that wraps a file key (C2SP age, X25519).
const WRAP_LABEL: &[u8] = b"age-encryption.org/v1/X25519";

/// What a proof of origin is bound to besides the header.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The agreement it is deposited under.
    pub agreement: AgreementId,
    /// The organisation that deposits.
    pub depositor: OrganisationName,
}

impl Origin {
    fn transcript(&self, header_sha256: &Digest) -> Transcript {
        Transcript::new("origin")
            .with(self.agreement.as_str())
            .with(self.depositor.as_str())
            .with(header_sha256)
    }
}

/// A sealed bundle, as the depositor will state it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The header of the age file.
    pub header: Header,
    /// Size of the age file in bytes.
    pub size: u64,
    /// SHA-256 of the age file.
    pub sha256: Digest,
    /// Size of what was sealed, in bytes.
    pub plaintext_size: u64,
    /// SHA-256 of what was sealed.
    pub plaintext_sha256: Digest,
    /// That who sealed it chose the header's ephemeral point.
    pub proof: Knowledge,
}

/// A header made for one file, the key behind it, and the proof of who made it: all that is known of an
/// age file before its first byte. It seals one file, which uses it up.
pub struct Seal {
    header: Header,
    /// The header's bytes, and the nonce that begins the payload.
    begin: Vec<u8>,
    key: PayloadKey,
    proof: Knowledge,
}

impl Seal {
    /// Makes one for a file that is sealed to this release key.
    pub fn new(
        key: &ReleaseKey,
        origin: &Origin,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> io::Result<Self> {
        let ephemeral = Ephemeral::new(key, rng);
        let recipient: &dyn age::Recipient = &ephemeral;
        let encryptor =
            age::Encryptor::with_recipients(iter::once(recipient)).map_err(io::Error::other)?;
        let mut begin = Vec::new();
        // Writes what comes before the first chunk, and would seal what follows.
        drop(encryptor.wrap_output(&mut begin)?);
        let header = Header::parse(&begin)
            .map_err(io::Error::other)?
            .ok_or_else(|| io::Error::other(HeaderFault::Truncated))?;
        let point = point::lift(&header.ephemeral).map_err(io::Error::other)?;
        let secret = ephemeral.secret_of(&point);
        let proof = knowledge::prove(origin.transcript(&header.sha256), &point, &secret, rng);
        let nonce = begin.get(header.size..).and_then(|nonce| nonce.try_into().ok());
        let (Some(nonce), Some(file_key)) = (nonce, ephemeral.file_key.into_inner()) else {
            return Err(io::Error::other("the age library has made no payload key"));
        };
        let key = PayloadKey::new(&file_key, nonce)?;
        Ok(Self { header, begin, key, proof })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// That who sealed it chose the header's ephemeral point.
    pub fn proof(&self) -> &Knowledge {
        &self.proof
    }

    /// Size of the age file that so many bytes make, its header included.
    pub fn sealed_size(&self, plaintext_size: u64) -> u64 {
        self.header.size as u64 + payload::sealed_size(plaintext_size)
    }

    /// Begins the file, over so many threads.
    pub fn begin<S: Sink>(self, sink: S, threads: NonZeroUsize) -> io::Result<Sealer<S>> {
        let Self { header, begin, key, proof } = self;
        let sealing = Sealing::new(key, begin, Digests::ALL, threads, sink)?;
        Ok(Sealer { sealing, header, proof })
    }
}

/// Seals what is written to it into an age file.
///
/// Both digests are of its statement: the plaintext's, which the requester compares with what it opens
/// and the depositor with what it has; the file's, which names the bundle and binds its vault, which
/// cannot look inside. They are made in one pass, beside the sealing.
pub struct Sealer<S: Sink> {
    sealing: Sealing<S>,
    header: Header,
    proof: Knowledge,
}

impl<S: Sink> Sealer<S> {
    /// Ends the file and gives the sink back.
    pub fn finish(self) -> io::Result<(Sealed, S)> {
        let (passed, sink) = self.sealing.finish()?;
        let (Some(sha256), Some(plaintext_sha256)) = (passed.sha256, passed.plaintext_sha256)
        else {
            return Err(io::Error::other("the bundle was not hashed"));
        };
        let Passed { size, plaintext_size, .. } = passed;
        let (header, proof) = (self.header, self.proof);
        Ok((Sealed { header, size, sha256, plaintext_size, plaintext_sha256, proof }, sink))
    }
}

impl<S: Sink> Write for Sealer<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sealing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sealing.flush()
    }
}

/// Whether the depositor chose the ephemeral point of this header.
pub fn is_origin_proved(
    proof: &Knowledge,
    ephemeral: &Element,
    header_sha256: &Digest,
    origin: &Origin,
) -> bool {
    let point = point::lift(ephemeral);
    point.is_ok_and(|point| knowledge::holds(origin.transcript(header_sha256), &point, proof))
}

/// The ephemeral secret behind one header; used for one file only.
struct Ephemeral {
    secret: Zeroizing<Scalar>,
    point: EdwardsPoint,
    release_point: EdwardsPoint,
    release_u: Element,
    /// What the `age` crate seals the file with, once it has asked to have it wrapped.
    file_key: OnceCell<FileKey>,
}

impl Ephemeral {
    fn new(key: &ReleaseKey, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let secret = Zeroizing::new(Scalar::random(rng));
        let point = EdwardsPoint::mul_base(&secret);
        let (release_point, release_u) = (*key.point(), key.u_coordinate());
        Self { secret, point, release_point, release_u, file_key: OnceCell::new() }
    }

    /// The logarithm of the lifted point, which is the ephemeral point or its negative.
    fn secret_of(&self, lifted: &EdwardsPoint) -> Zeroizing<Scalar> {
        let same = *lifted == self.point;
        Zeroizing::new(if same { *self.secret } else { -*self.secret })
    }
}

impl age::Recipient for Ephemeral {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let ephemeral = point::u_coordinate(&self.point);
        let shared = Zeroizing::new(point::u_coordinate(&(*self.secret * self.release_point)).0);
        let mut key = wrapping_key(&ephemeral, &self.release_u, &shared);
        let body = aead_encrypt(&key, file_key.expose_secret());
        key.zeroize();
        let argument = BASE64_STANDARD_NO_PAD.encode(ephemeral.0);
        let stanza = Stanza { tag: "X25519".to_owned(), args: vec![argument], body };
        drop(self.file_key.set(FileKey::init_with_mut(|to| *to = *file_key.expose_secret())));
        Ok((vec![stanza], HashSet::new()))
    }
}

/// The key that wraps a file key under a shared secret.
pub(super) fn wrapping_key(ephemeral: &Element, release: &Element, shared: &[u8; 32]) -> [u8; 32] {
    let mut salt = [0; 64];
    salt.iter_mut().zip(ephemeral.0.iter().chain(&release.0)).for_each(|(to, from)| *to = *from);
    hkdf(&salt, WRAP_LABEL, shared)
}
