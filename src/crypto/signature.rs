//! Ed25519 signatures under a domain tag, and digests.
//!
//! What counts is what `ed25519-dalek` verifies strictly, and it has the last word. aws-lc, which is here
//! for TLS, is faster and asked first: it reckons out the same equation over the same bytes, and like it
//! takes a response only below the group's order and a commitment only as it is encoded. What it does
//! not refuse, points of small order, is refused before. It makes the same signatures, too: there is one
//! for a key and a message (RFC 8032).

use std::fmt;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use curve25519_dalek::constants::EIGHT_TORSION;
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
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    /// The same, made ready by aws-lc, which erases whatever it frees.
    ready: Option<Arc<Ed25519KeyPair>>,
}

impl SigningKey {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self::of(ed25519_dalek::SigningKey::generate(rng))
    }

    /// From its 32-byte seed (RFC 8032).
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self::of(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    fn of(key: ed25519_dalek::SigningKey) -> Self {
        let ready = Ed25519KeyPair::from_seed_unchecked(key.as_bytes()).ok();
        Self { key, ready: ready.map(Arc::new) }
    }

    /// Its 32-byte seed.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// The verification key.
    pub fn public(&self) -> PublicKey {
        Bytes(self.key.verifying_key().to_bytes())
    }

    /// Signs a message under a tag. The same message under another tag is another signature.
    pub fn sign(&self, tag: &str, message: &[u8]) -> Signature {
        self.sign_raw(&tagged(tag, message))
    }

    /// Signs bytes as they are, for formats that other programs check.
    pub(super) fn sign_raw(&self, bytes: &[u8]) -> Signature {
        let signed = self.ready.as_ref().and_then(|ready| ready.try_sign(bytes).ok());
        let signed = signed.and_then(|signed| signed.as_ref().try_into().ok());
        Bytes(signed.unwrap_or_else(|| self.key.sign(bytes).to_bytes()))
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
    match is_good_at_once(key, bytes, signature) {
        true => Ok(()),
        false => verify_strictly(key, bytes, signature),
    }
}

/// Whether aws-lc finds it good. Where it does, so does [`verify_strictly`].
fn is_good_at_once(key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
    let Some(commitment) = signature.0.first_chunk() else { return false };
    let good = || UnparsedPublicKey::new(&ED25519, &key.0).verify(bytes, &signature.0);
    !is_of_small_order(&key.0) && !is_of_small_order(commitment) && good().is_ok()
}

/// Whether this encodes a point of small order, in whichever way. The sign makes no difference, and two
/// of their coordinates have a second encoding.
fn is_of_small_order(encoded: &[u8; 32]) -> bool {
    static COORDINATES: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
        // p and p + 1, which are 0 and 1 once more.
        let again = [0xed, 0xee].map(|first| {
            let mut encoded = [0xff; 32];
            (encoded[0], encoded[31]) = (first, 0x7f);
            encoded
        });
        let torsion = EIGHT_TORSION.map(|point| without_sign(&point.compress().0));
        torsion.into_iter().chain(again).collect()
    });
    COORDINATES.contains(&without_sign(encoded))
}

fn without_sign(encoded: &[u8; 32]) -> [u8; 32] {
    let mut coordinate = *encoded;
    coordinate[31] &= 0x7f;
    coordinate
}

fn verify_strictly(
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
    use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
    use curve25519_dalek::edwards::CompressedEdwardsY;
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use proptest::prelude::*;
    use rand_core::OsRng;
    use sha2::Sha512;

    use super::*;

    /// A signature whose parts are chosen freely, as a cheat would who knows the key's logarithm:
    /// torsion in key and commitment, and any multiple of the order in the response.
    fn made(
        secret: Scalar,
        (of_key, of_commitment): (EdwardsPoint, EdwardsPoint),
        nonce: Scalar,
        message: &[u8],
    ) -> (PublicKey, Signature) {
        let key = (EdwardsPoint::mul_base(&secret) + of_key).compress().0;
        let commitment = (EdwardsPoint::mul_base(&nonce) + of_commitment).compress().0;
        let mut hash = Sha512::new();
        [&commitment[..], &key, message].iter().for_each(|part| hash.update(part));
        let response = nonce + Scalar::from_hash(hash) * secret;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&commitment);
        signature[32..].copy_from_slice(response.as_bytes());
        (Bytes(key), Bytes(signature))
    }

    /// The order of the group, as it is written.
    fn order() -> [u8; 32] {
        let mut order = (-Scalar::ONE).to_bytes();
        order[0] += 1;
        order
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_good_at_once_is_what_is_verified_strictly(
            (secret, nonce) in (any::<[u8; 32]>(), any::<[u8; 32]>()),
            (of_key, of_commitment) in (0usize..16, 0usize..16),
            (is_key_small, is_commitment_small) in (0u8..8, 0u8..8),
            (flipped, bit) in (0usize..400, 0u8..8),
            beyond in 0u8..4,
            message in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            // Half of the points have no torsion, and a few have nothing else.
            let torsion = |at: usize| EIGHT_TORSION[at.saturating_sub(8)];
            let scalar = |bytes, is_small| match is_small {
                0 => Scalar::ZERO,
                _ => Scalar::from_bytes_mod_order(bytes),
            };
            let (secret, nonce) =
                (scalar(secret, is_key_small), scalar(nonce, is_commitment_small));
            let torsion = (torsion(of_key), torsion(of_commitment));
            let (mut key, mut signature) = made(secret, torsion, nonce, &message);
            if beyond == 0 {
                // The same response once more, beyond the order.
                let mut carry = 0;
                for (byte, more) in signature.0[32..].iter_mut().zip(order()) {
                    let sum = u16::from(*byte) + u16::from(more) + carry;
                    (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
                }
            }
            match flipped {
                0..32 => key.0[flipped] ^= 1 << bit,
                32..96 => signature.0[flipped - 32] ^= 1 << bit,
                _ => {}
            }
            let strictly = verify_strictly(&key, &message, &signature);
            prop_assert_eq!(is_good_at_once(&key, &message, &signature), strictly.is_ok());
        }

        #[test]
        fn both_sign_alike(seed: [u8; 32], message in prop::collection::vec(any::<u8>(), 0..300)) {
            let key = SigningKey::from_bytes(&seed);
            prop_assert!(key.ready.is_some());
            prop_assert_eq!(key.sign_raw(&message).0, key.key.sign(&message).to_bytes());
        }
    }

    #[test]
    fn every_encoding_of_a_point_of_small_order_is_known() {
        let mut found = 0;
        // All that are not canonical, and 2 canonical ones: y below 20, written as it is and beyond p.
        for (sign, y) in [0u8, 0x80].into_iter().flat_map(|sign| (0u8..20).map(move |y| (sign, y)))
        {
            let mut small = [0; 32];
            (small[0], small[31]) = (y, sign);
            let mut beyond = [0xff; 32];
            (beyond[0], beyond[31]) = (y.wrapping_add(0xed), 0x7f | sign);
            for encoded in [small, beyond] {
                let point = CompressedEdwardsY(encoded).decompress();
                if point.is_some_and(|point| point.is_small_order()) {
                    found += 1;
                    assert!(is_of_small_order(&encoded), "{encoded:?}");
                }
            }
        }
        assert!(found >= 6, "{found}");
        for torsion in EIGHT_TORSION {
            for encoded in [torsion.compress().0, (-torsion).compress().0] {
                assert!(is_of_small_order(&encoded));
            }
            let mixed = ED25519_BASEPOINT_POINT + torsion;
            assert!(!is_of_small_order(&mixed.compress().0));
        }
    }

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
