//! What the vault's end of a TLS connection insists on.
//!
//! TLS 1.3 only, post-quantum key agreement (X25519MLKEM768) where the client can do it, HTTP/2.
//! A client certificate is optional here: which calls need one is decided above. Absent on
//! purpose: session resumption and tickets, because a resumed session would outlive its
//! certificate; early data, because it can be replayed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, version};

use crate::server::ca::ServerIdentity;

/// The configuration new connections are accepted with; store another to reload it. Connections
/// that are open keep the one they began with.
pub type SharedConfig = Arc<ArcSwap<ServerConfig>>;

/// The one protocol spoken above TLS.
pub const ALPN: &[u8] = b"h2";

/// Why a certificate, a key and a CA make no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// The CA certificate is not one.
    #[error("the CA certificate cannot be trusted")]
    Authority(#[source] rustls::Error),
    /// The verifier of client certificates could not be built.
    #[error("client certificates cannot be verified")]
    Verifier(#[from] VerifierBuilderError),
    /// The server's key is unusable, or is not that of its certificate.
    #[error("the server's key and certificate cannot be used; issue them again")]
    Identity(#[source] rustls::Error),
}

/// For a server with this identity whose clients are certified by any of these CAs.
pub fn server_config(
    cas: &[CertificateDer<'static>],
    identity: &ServerIdentity,
) -> Result<ServerConfig, TlsConfigError> {
    // Groups in the provider's order of preference, X25519MLKEM768 first (`prefer-post-quantum`).
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for ca in cas {
        roots.add(ca.clone()).map_err(TlsConfigError::Authority)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.as_slice()));
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(TlsConfigError::Identity)?;
    let certified = CertifiedKey::new(identity.chain.clone(), key);
    certified.keys_match().map_err(TlsConfigError::Identity)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(TlsConfigError::Identity)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// A configuration that can be replaced while connections are accepted.
pub fn shared(config: ServerConfig) -> SharedConfig {
    Arc::new(ArcSwap::from_pointee(config))
}
