//! Which vault this home trusts: the one whose CA it pinned, and no public CA.

use std::sync::{Arc, OnceLock};

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
    /// By the CA certificate itself, DER, as kept since joining.
    Ca(CertificateDer<'static>),
}

/// Verifies servers against one pinned CA, for one connection, and keeps that CA's certificate.
#[derive(Debug)]
pub(super) struct PinnedCa {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    found: OnceLock<CertificateDer<'static>>,
}

impl PinnedCa {
    pub(super) fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Self {
        Self { trust, provider, found: OnceLock::new() }
    }

    /// The CA certificate that the server's was verified against; `None` before that.
    pub(super) fn verified_by(&self) -> Option<&CertificateDer<'static>> {
        self.found.get()
    }

    fn ca(&self, sent: &[CertificateDer<'_>]) -> Result<CertificateDer<'static>, Error> {
        match &self.trust {
            Trust::Ca(ca) => Ok(ca.clone()),
            Trust::CaFingerprint(expected) => sent
                .iter()
                .find(|certificate| Bytes(Sha256::digest(certificate).into()) == *expected)
                .map(|certificate| certificate.clone().into_owned())
                .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }
}

impl ServerCertVerifier for PinnedCa {
    /// Everything webpki checks for a server's certificate, with the pinned CA as the only root.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = self.ca(intermediates)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
                .build()
                .map_err(|error| {
                    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
                })?;
        // No intermediate is of any use: the CA signs servers directly (pathlen 0).
        let verified =
            verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)?;
        // Twice only where a reconnection verified the same CA again.
        let _ = self.found.set(ca);
        Ok(verified)
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
