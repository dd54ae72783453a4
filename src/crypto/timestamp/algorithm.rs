//! Signatures of authorities and of those who certify them: RSA (PKCS #1 v1.5, 2048 to 4096 bits)
//! and ECDSA (P-256, P-384), with SHA-2. Absent on purpose: SHA-1, RSA-PSS, Ed25519, which stock
//! tools refuse in tokens.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::crypto::timestamp::asn1::Oid;
use crate::crypto::timestamp::hash::Hash;

/// ecdsa-with-SHA256, 1.2.840.10045.4.3.2
pub(super) const ECDSA_WITH_SHA256: Oid<'_> = Oid(b"\x2a\x86\x48\xce\x3d\x04\x03\x02");
const ECDSA_WITH_SHA384: Oid<'_> = Oid(b"\x2a\x86\x48\xce\x3d\x04\x03\x03");
const ECDSA_WITH_SHA512: Oid<'_> = Oid(b"\x2a\x86\x48\xce\x3d\x04\x03\x04");
/// rsaEncryption, 1.2.840.113549.1.1.1: with the hash function named elsewhere.
const RSA: Oid<'_> = Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
const RSA_WITH_SHA256: Oid<'_> = Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b");
const RSA_WITH_SHA384: Oid<'_> = Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c");
const RSA_WITH_SHA512: Oid<'_> = Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d");

const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x2b\x81\x04\x00\x22";

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// How something was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signed {
    scheme: Scheme,
    hash: Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Rsa,
    Ecdsa,
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureFault {
    /// By an algorithm or a key that is not taken here.
    Unsupported,
    /// Key, bytes and signature do not go together.
    Wrong,
}

impl Signed {
    /// By the identifier of a signature algorithm; `beside` is the hash function where that has one
    /// of its own, which must then be the same.
    pub(super) fn of(algorithm: Oid<'_>, beside: Option<Hash>) -> Option<Self> {
        let (scheme, named) = [
            (RSA, Scheme::Rsa, None),
            (RSA_WITH_SHA256, Scheme::Rsa, Some(Hash::Sha256)),
            (RSA_WITH_SHA384, Scheme::Rsa, Some(Hash::Sha384)),
            (RSA_WITH_SHA512, Scheme::Rsa, Some(Hash::Sha512)),
            (ECDSA_WITH_SHA256, Scheme::Ecdsa, Some(Hash::Sha256)),
            (ECDSA_WITH_SHA384, Scheme::Ecdsa, Some(Hash::Sha384)),
            (ECDSA_WITH_SHA512, Scheme::Ecdsa, Some(Hash::Sha512)),
        ]
        .into_iter()
        .find_map(|(oid, scheme, hash)| (oid == algorithm).then_some((scheme, hash)))?;
        let hash = match (named, beside) {
            (Some(named), Some(beside)) => (named == beside).then_some(named)?,
            (Some(hash), None) | (None, Some(hash)) => hash,
            (None, None) => return None,
        };
        Some(Self { scheme, hash })
    }

    /// Verifies a signature under this key.
    pub(super) fn verify(
        self,
        key: &SubjectPublicKeyInfo<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        let algorithm = self.algorithm(key).ok_or(SignatureFault::Unsupported)?;
        let key = UnparsedPublicKey::new(algorithm, &key.subject_public_key.data);
        key.verify(message, signature).map_err(|_| SignatureFault::Wrong)
    }

    /// Whether signatures by this key are verified here, in one way or another.
    pub(super) fn takes(key: &SubjectPublicKeyInfo<'_>) -> bool {
        let schemes = [Scheme::Rsa, Scheme::Ecdsa].into_iter();
        let mut ways = schemes.map(|scheme| Self { scheme, hash: Hash::Sha256 });
        ways.any(|way| way.algorithm(key).is_some())
    }

    fn algorithm(
        self,
        key: &SubjectPublicKeyInfo<'_>,
    ) -> Option<&'static dyn VerificationAlgorithm> {
        match self.scheme {
            Scheme::Rsa => {
                let PublicKey::RSA(rsa) = key.parsed().ok()? else { return None };
                RSA_BITS.contains(&rsa.key_size()).then_some(match self.hash {
                    Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
                    Hash::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
                    Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
                })
            }
            Scheme::Ecdsa => {
                let PublicKey::EC(_) = key.parsed().ok()? else { return None };
                let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
                match (curve.as_bytes(), self.hash) {
                    (P256, Hash::Sha256) => Some(&ECDSA_P256_SHA256_ASN1),
                    (P256, Hash::Sha384) => Some(&ECDSA_P256_SHA384_ASN1),
                    (P256, Hash::Sha512) => Some(&ECDSA_P256_SHA512_ASN1),
                    (P384, Hash::Sha256) => Some(&ECDSA_P384_SHA256_ASN1),
                    (P384, Hash::Sha384) => Some(&ECDSA_P384_SHA384_ASN1),
                    (P384, Hash::Sha512) => Some(&ECDSA_P384_SHA512_ASN1),
                    (_, Hash::Sha256 | Hash::Sha384 | Hash::Sha512) => None,
                }
            }
        }
    }
}
