//! Ed25519 signatures under a domain tag, and digests.

use std::fmt;

use ed25519_dalek::Signer as _;
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::domain::id::{Bytes, Digest, Fingerprint, PublicKey, Signature};

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The key is no point of the curve, or one that anybody could sign for.
    #[error("{0} is not an Ed25519 key")]
    Key(PublicKey),
    /// Key, tag, bytes and signature do not go together.
    #[error("the signature does not verify under key {0}")]
    Wrong(PublicKey),
}

/// An Ed25519 signing key. Erased when dropped; its `Debug` shows the public half.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self(ed25519_dalek::SigningKey::generate(rng))
    }

    /// From its 32-byte seed (RFC 8032).
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Its 32-byte seed.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The verification key.
    pub fn public(&self) -> PublicKey {
        Bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs a message under a tag. The same message under another tag is another signature.
    pub fn sign(&self, tag: &str, message: &[u8]) -> Signature {
        self.sign_raw(&tagged(tag, message))
    }

    /// Signs bytes as they are, for formats that other programs check.
    pub(super) fn sign_raw(&self, bytes: &[u8]) -> Signature {
        Bytes(self.0.sign(bytes).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

/// Verifies strictly: no weak keys, no second signature for a message (`verify_strict`).
pub fn verify(
    key: &PublicKey,
    tag: &str,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureFault> {
    verify_raw(key, &tagged(tag, message), signature)
}

/// The same for bytes as they are.
pub(super) fn verify_raw(
    key: &PublicKey,
    bytes: &[u8],
    signature: &Signature,
) -> Result<(), SignatureFault> {
    let verifying = ed25519_dalek::VerifyingKey::from_bytes(&key.0)
        .ok()
        .filter(|key| !key.is_weak())
        .ok_or(SignatureFault::Key(*key))?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    verifying.verify_strict(bytes, &signature).map_err(|_| SignatureFault::Wrong(*key))
}

fn tagged(tag: &str, message: &[u8]) -> Vec<u8> {
    let mut input = Vec::with_capacity(32 + tag.len() + message.len());
    input.extend(b"escrow-vault/signature/v1\0");
    input.extend((tag.len() as u64).to_be_bytes());
    input.extend(tag.bytes());
    input.extend(message);
    input
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Digest {
    Bytes(Sha256::digest(bytes).into())
}

/// The fingerprint that people compare for a key.
pub fn fingerprint(key: &PublicKey) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(b"escrow-vault/fingerprint/v1\0");
    hash.update(key.0);
    Fingerprint::of(&Bytes(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    #[test]
    fn a_signature_counts_for_its_key_tag_and_bytes_only() {
        let (key, other) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
        let signature = key.sign("tag", b"message");
        assert_eq!(verify(&key.public(), "tag", b"message", &signature), Ok(()));
        let wrong = Err(SignatureFault::Wrong(key.public()));
        assert_eq!(verify(&key.public(), "ta", b"gmessage", &signature), wrong);
        assert_eq!(verify(&key.public(), "tag", b"massage", &signature), wrong);
        assert!(verify(&other.public(), "tag", b"message", &signature).is_err());
        let mut bent = signature;
        bent.0[40] ^= 1;
        assert!(verify(&key.public(), "tag", b"message", &bent).is_err());
    }

    #[test]
    fn keys_that_anybody_could_sign_for_are_refused() {
        let mut identity = Bytes([0; 32]);
        identity.0[0] = 1;
        for weak in [Bytes([0; 32]), identity] {
            let fault = Err(SignatureFault::Key(weak));
            assert_eq!(verify(&weak, "tag", b"", &Bytes([0; 64])), fault);
        }
    }

    #[test]
    fn debug_shows_no_seed() {
        let key = SigningKey::from_bytes(&[0x42; 32]);
        assert!(!format!("{key:?}").contains("4242"));
    }
}
