//! The digests that are time-stamped, and that are signed.

use std::fmt;

use der::asn1::OctetStringRef;
use sha2::digest::DynDigest;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::crypto::timestamp::asn1::{AlgorithmIdentifier, MessageImprint, Oid};
use crate::domain::id::Digest;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// What is stamped: a digest and what it was made with. Its length is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imprint {
    hash: Hash,
    digest: Vec<u8>,
}

/// An imprint in the making, of bytes that come piece by piece.
pub struct Imprinting {
    hash: Hash,
    state: Box<dyn DynDigest>,
}

impl Hash {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Length of its digests, in bytes.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Begins an imprint.
    pub fn begin(self) -> Imprinting {
        let state: Box<dyn DynDigest> = match self {
            Self::Sha256 => Box::new(Sha256::new()),
            Self::Sha384 => Box::new(Sha384::new()),
            Self::Sha512 => Box::new(Sha512::new()),
        };
        Imprinting { hash: self, state }
    }

    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// 2.16.840.1.101.3.4.2.1 to 3.
    pub(super) fn oid(self) -> Oid<'static> {
        match self {
            Self::Sha256 => Oid(b"\x60\x86\x48\x01\x65\x03\x04\x02\x01"),
            Self::Sha384 => Oid(b"\x60\x86\x48\x01\x65\x03\x04\x02\x02"),
            Self::Sha512 => Oid(b"\x60\x86\x48\x01\x65\x03\x04\x02\x03"),
        }
    }

    pub(super) fn of(algorithm: Oid<'_>) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.oid() == algorithm)
    }

    /// Written without parameters, as RFC 5754 asks.
    pub(super) fn identifier(self) -> AlgorithmIdentifier<'static> {
        AlgorithmIdentifier { algorithm: self.oid(), parameters: None }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

impl AlgorithmIdentifier<'_> {
    /// Hash functions and RSA take no parameters, which is written in either of two ways.
    pub(super) fn has_no_parameters(&self) -> bool {
        self.parameters.is_none_or(|parameters| parameters.is_null())
    }
}

impl Imprinting {
    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.state.update(piece);
    }

    /// The imprint of all of them.
    pub fn finish(self) -> Imprint {
        Imprint { hash: self.hash, digest: self.state.finalize().into_vec() }
    }
}

impl Imprint {
    /// `None` where the digest has not the length of this function's digests.
    pub fn new(hash: Hash, digest: &[u8]) -> Option<Self> {
        let fits = digest.len() == hash.digest_bytes();
        fits.then(|| Self { hash, digest: digest.to_vec() })
    }

    /// Of what has this SHA-256.
    pub fn sha256(sha256: &Digest) -> Self {
        Self { hash: Hash::Sha256, digest: sha256.0.to_vec() }
    }

    /// Of these bytes.
    pub fn of(hash: Hash, bytes: &[u8]) -> Self {
        Self { hash, digest: hash.digest(bytes) }
    }

    /// What it was made with.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The digest.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    pub(super) fn to_asn1(&self) -> der::Result<MessageImprint<'_>> {
        let hashed_message = OctetStringRef::new(&self.digest)?;
        Ok(MessageImprint { hash_algorithm: self.hash.identifier(), hashed_message })
    }
}
