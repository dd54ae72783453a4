//! Certificate signing requests (PKCS #10, RFC 2986) from strangers: what is believed of one is
//! its public key, and that only with proof that the secret half is known.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _, SubjectPublicKeyInfo};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

/// Largest request that is looked at, in bytes. One for a P-256 key has about 250.
pub const CSR_BYTES_MAX: usize = 4 * 1024;

/// Why a certificate signing request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrRefused {
    /// Longer than [`CSR_BYTES_MAX`].
    #[error("it has {bytes} bytes, more than {CSR_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not one PKCS #10 request in DER.
    #[error("it is not a PKCS #10 request in DER")]
    Malformed,
    /// A key of another kind than is certified here.
    #[error("its key is neither ECDSA P-256 nor Ed25519; make a key of one of these kinds")]
    UnsupportedKey,
    /// Whoever made it did not have the secret key, or it was altered.
    #[error("its signature does not match its key; make the request again")]
    BadSignature,
}

/// The public key of a request that is signed with it.
pub fn requested_key(der: &[u8]) -> Result<SubjectPublicKeyInfo, CsrRefused> {
    if der.len() > CSR_BYTES_MAX {
        return Err(CsrRefused::TooLarge { bytes: der.len() });
    }
    let (rest, request) =
        X509CertificationRequest::from_der(der).map_err(|_| CsrRefused::Malformed)?;
    if !rest.is_empty() {
        return Err(CsrRefused::Malformed);
    }
    // The kind before the signature: nobody makes us compute with an enormous RSA key.
    let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .map_err(|_| CsrRefused::UnsupportedKey)?;
    if ![&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519].contains(&key.algorithm()) {
        return Err(CsrRefused::UnsupportedKey);
    }
    request.verify_signature().map_err(|_| CsrRefused::BadSignature)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SignatureAlgorithm,
    };

    use super::*;

    fn request(kind: &'static SignatureAlgorithm) -> (KeyPair, Vec<u8>) {
        let key = KeyPair::generate_for(kind).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        (key, csr.der().to_vec())
    }

    #[test]
    fn only_p256_and_ed25519_keys_are_certified() {
        for (kind, accepted) in [
            (&PKCS_ECDSA_P256_SHA256, true),
            (&PKCS_ED25519, true),
            (&PKCS_ECDSA_P384_SHA384, false),
            (&PKCS_RSA_SHA256, false),
        ] {
            let (key, csr) = request(kind);
            let outcome = requested_key(&csr);
            if accepted {
                let found = outcome.unwrap();
                assert_eq!(found.subject_public_key_info(), key.subject_public_key_info());
            } else {
                assert_eq!(outcome, Err(CsrRefused::UnsupportedKey), "{kind:?}");
            }
        }
    }

    #[test]
    fn what_is_not_a_signed_request_is_refused_by_its_kind() {
        let (key, good) = request(&PKCS_ECDSA_P256_SHA256);
        let (other, _) = request(&PKCS_ECDSA_P256_SHA256);
        let swapped = {
            let (theirs, ours) = (other.public_key_raw(), key.public_key_raw());
            let at = good.windows(ours.len()).position(|window| window == ours).unwrap();
            let mut der = good.clone();
            der[at..at + ours.len()].copy_from_slice(theirs);
            der
        };
        let flipped = {
            let mut der = good.clone();
            *der.last_mut().unwrap() ^= 1;
            der
        };
        let trailing = [good.as_slice(), &[0]].concat();
        let truncated = good[..good.len() - 1].to_vec();
        for (der, refusal, why) in [
            (swapped, CsrRefused::BadSignature, "somebody else's public key"),
            (flipped, CsrRefused::BadSignature, "a signature with one bit changed"),
            (trailing, CsrRefused::Malformed, "a byte behind it"),
            (truncated, CsrRefused::Malformed, "a byte missing"),
            (Vec::new(), CsrRefused::Malformed, "nothing"),
            (b"-----BEGIN CERTIFICATE REQUEST-----".to_vec(), CsrRefused::Malformed, "PEM"),
            (vec![0x30; CSR_BYTES_MAX], CsrRefused::Malformed, "deeply nested garbage"),
            (
                vec![0x30; CSR_BYTES_MAX + 1],
                CsrRefused::TooLarge { bytes: CSR_BYTES_MAX + 1 },
                "a byte too long",
            ),
        ] {
            assert_eq!(requested_key(&der), Err(refusal), "{why}");
        }
    }
}
