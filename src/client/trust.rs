//! Which vault a connection trusts: one whose CA was pinned, and no public CA.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};

use crate::domain::id::{Bytes, Digest};

/// How a vault is recognised.
#[derive(Debug, Clone)]
pub enum Trust {
    /// By the SHA-256 of its CA certificate, from an invitation: the vault has to send a CA
    /// certificate with this digest and a server certificate signed by it.
    CaFingerprint(Digest),
    /// By CA certificates, DER, as kept in a home: while one CA is being replaced there are two.
    Cas(Vec<CertificateDer<'static>>),
    /// Not at all. Only for asking whoever answers to prove that it has the ledger key: nothing
    /// is told over such a connection, and nothing else heard over it is believed.
    Nobody,
}

/// Verifies servers for one connection.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Self {
        Self { trust, provider }
    }
}

impl ServerCertVerifier for Verifier {
    /// Everything webpki checks for a server's certificate, with the pinned CAs as the only roots.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        match &self.trust {
            Trust::CaFingerprint(expected) => {
                let is_pinned = |certificate: &&CertificateDer<'_>| {
                    Bytes(Sha256::digest(certificate).into()) == *expected
                };
                let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
                let ca = intermediates.iter().find(is_pinned).ok_or(unknown)?;
                roots.add(ca.clone().into_owned())?;
            }
            Trust::Cas(cas) => {
                for ca in cas {
                    roots.add(ca.clone())?;
                }
            }
            Trust::Nobody => return Ok(ServerCertVerified::assertion()),
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
                .build()
                .map_err(|error| {
                    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
                })?;
        // No intermediate is of any use: the CA signs servers directly (pathlen 0).
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
