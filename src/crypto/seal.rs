//! Sealing a bundle to a release key, with proof that the depositor made this very header.
//!
//! X25519 in age is malleable: from a deposited header with point *E* anybody can make another
//! with *E′ = ρE + σB*, deposit it as "a test file", and what opens the copy opens the original.
//! Only who chose *E* knows its logarithm; the proof of it is part of the deposit's statement.

use std::collections::HashSet;
use std::io::{self, Write};
use std::iter;

use age_core::format::{FileKey, Stanza};
use age_core::primitives::{aead_encrypt, hkdf};
use age_core::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::crypto::header::{Header, HeaderFault};
use crate::crypto::release_key::ReleaseKey;
use crate::crypto::transcript::Transcript;
use crate::crypto::{knowledge, point};
use crate::domain::id::{AgreementId, Bytes, Digest, Element, OrganisationName};
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

/// Seals what is written to it into an age file.
pub struct Sealer<W: Write> {
    stream: age::stream::StreamWriter<Meter<W>>,
    ephemeral: Ephemeral,
    plaintext: Sha256,
    plaintext_size: u64,
}

impl<W: Write> Sealer<W> {
    /// Begins an age file to the release key.
    pub fn new(key: &ReleaseKey, to: W, rng: &mut (impl RngCore + CryptoRng)) -> io::Result<Self> {
        let ephemeral = Ephemeral::new(key, rng);
        let recipient: &dyn age::Recipient = &ephemeral;
        let encryptor =
            age::Encryptor::with_recipients(iter::once(recipient)).map_err(io::Error::other)?;
        let stream = encryptor.wrap_output(Meter::new(to))?;
        Ok(Self { stream, ephemeral, plaintext: Sha256::new(), plaintext_size: 0 })
    }

    /// Ends the file, proves its origin and gives the writer back.
    pub fn finish(
        self,
        origin: &Origin,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> io::Result<(Sealed, W)> {
        let meter = self.stream.finish()?;
        let header = Header::parse(&meter.begin)
            .map_err(io::Error::other)?
            .ok_or_else(|| io::Error::other(HeaderFault::Truncated))?;
        let transcript = origin.transcript(&header.sha256);
        let point = point::lift(&header.ephemeral).map_err(io::Error::other)?;
        let secret = self.ephemeral.secret_of(&point);
        let sealed = Sealed {
            proof: knowledge::prove(transcript, &point, &secret, rng),
            header,
            size: meter.size,
            sha256: Bytes(meter.hash.finalize().into()),
            plaintext_size: self.plaintext_size,
            plaintext_sha256: Bytes(self.plaintext.finalize().into()),
        };
        Ok((sealed, meter.to))
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.stream.write(bytes)?;
        self.plaintext.update(bytes.get(..taken).unwrap_or_default());
        self.plaintext_size += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
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
}

impl Ephemeral {
    fn new(key: &ReleaseKey, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let secret = Zeroizing::new(Scalar::random(rng));
        let point = EdwardsPoint::mul_base(&secret);
        Self { secret, point, release_point: *key.point(), release_u: key.u_coordinate() }
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
        Ok((vec![stanza], HashSet::new()))
    }
}

/// The key that wraps a file key under a shared secret.
pub(super) fn wrapping_key(ephemeral: &Element, release: &Element, shared: &[u8; 32]) -> [u8; 32] {
    let mut salt = [0; 64];
    salt.iter_mut().zip(ephemeral.0.iter().chain(&release.0)).for_each(|(to, from)| *to = *from);
    hkdf(&salt, WRAP_LABEL, shared)
}

/// Counts and hashes what passes, and keeps the beginning, where the header is.
struct Meter<W> {
    to: W,
    hash: Sha256,
    size: u64,
    begin: Vec<u8>,
}

impl<W> Meter<W> {
    /// Our own headers are a few hundred bytes, grease included.
    const BEGIN_BYTES: usize = 4 * 1024;

    fn new(to: W) -> Self {
        Self { to, hash: Sha256::new(), size: 0, begin: Vec::new() }
    }
}

impl<W: Write> Write for Meter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes)?;
        let passed = bytes.get(..taken).unwrap_or_default();
        self.hash.update(passed);
        self.size += taken as u64;
        let room = Self::BEGIN_BYTES.saturating_sub(self.begin.len());
        self.begin.extend(passed.iter().take(room));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
