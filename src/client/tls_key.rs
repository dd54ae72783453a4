//! The key this home proves itself with on a connection. It signs no statements: losing it lets
//! somebody talk to the vault, not act.

use std::fmt;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use zeroize::Zeroizing;

/// Why a key could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsKeyError {
    /// The bytes are no such key.
    #[error("this is not a TLS key; restore the home from a backup, or join again")]
    Malformed(#[source] rcgen::Error),
    /// The library could not make a key or sign with it.
    #[error("a TLS key could not be made or used")]
    Unusable(#[source] rcgen::Error),
}

/// An ECDSA P-256 key. Its bytes are erased when it is dropped; `Debug` shows none of them.
pub struct TlsKey(Zeroizing<KeyPair>);

impl TlsKey {
    /// Largest PKCS#8 encoding that is a key of this kind, in bytes.
    pub const PKCS8_BYTES_MAX: usize = 1024;

    /// A new random key.
    pub fn generate() -> Result<Self, TlsKeyError> {
        KeyPair::generate().map(|key| Self(Zeroizing::new(key))).map_err(TlsKeyError::Unusable)
    }

    /// From what [`TlsKey::pkcs8_der`] gave.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, TlsKeyError> {
        KeyPair::try_from(&PrivatePkcs8KeyDer::from(der))
            .map(|key| Self(Zeroizing::new(key)))
            .map_err(TlsKeyError::Malformed)
    }

    /// The secret key in PKCS#8, for a file that only its owner can read.
    pub fn pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize_der())
    }

    /// The public key, as certificates carry it (SubjectPublicKeyInfo, DER).
    pub fn public_der(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// A certificate signing request (PKCS #10, DER): the public key, signed with the secret one.
    /// It names nobody; the vault knows from elsewhere whom it certifies.
    pub fn csr_der(&self) -> Result<Vec<u8>, TlsKeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&*self.0).map_err(TlsKeyError::Unusable)?;
        Ok(request.der().to_vec())
    }

    /// As rustls signs handshakes with it.
    pub(super) fn signing_key(&self) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.serialized_der())))
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_storage_and_shows_nothing() {
        let key = TlsKey::generate().unwrap();
        let stored = key.pkcs8_der();
        assert!(stored.len() <= TlsKey::PKCS8_BYTES_MAX);
        let again = TlsKey::from_pkcs8_der(&stored).unwrap();
        assert_eq!(*again.pkcs8_der(), *stored);
        assert_eq!(format!("{key:?}"), "TlsKey(…)");
        let damaged = stored.get(1..).unwrap_or_default();
        assert!(matches!(TlsKey::from_pkcs8_der(damaged), Err(TlsKeyError::Malformed(_))));
    }
}
