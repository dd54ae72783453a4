//! What the vault proves itself with, and by whom its clients are certified; replaced while it
//! serves, without a connection being lost.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::time::{Span, Timestamp};
use crate::server::authorities::Authorities;
use crate::server::ca::{CaError, SERVER_LIFETIME};
use crate::server::tls::{SharedConfig, TlsConfigError, server_config, shared};

/// The server's certificate is replaced when it has served this long.
pub const SERVER_RENEWED_AFTER: Span = Span::days(240);
/// A CA that has less than this left is warned of.
const AUTHORITY_WARNED_BEFORE: Span = Span::days(2 * 365);

const _: () =
    assert!(SERVER_RENEWED_AFTER.as_duration().as_secs() < SERVER_LIFETIME.as_duration().as_secs());

/// Why new credentials were not taken up; the former stay.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The server could not be certified.
    #[error("the server could not be certified")]
    Ca(#[from] CaError),
    /// What was made does not fit together.
    #[error("the server's certificate cannot be shown")]
    Tls(#[from] TlsConfigError),
}

/// A vault's CAs, and the server's certificate made from them.
pub struct Credentials {
    tls: SharedConfig,
    held: ArcSwap<Held>,
}

/// Credentials that were made and are not shown yet.
pub struct Ready {
    held: Held,
    config: rustls::ServerConfig,
}

impl Ready {
    /// The CAs that are to count.
    pub fn authorities(&self) -> &Authorities {
        &self.held.authorities
    }
}

struct Held {
    authorities: Arc<Authorities>,
    hosts: Vec<String>,
    certified_at: Timestamp,
}

impl Credentials {
    /// Certifies a server that is reached under these DNS names and IP addresses.
    pub fn new(
        authorities: Authorities,
        hosts: Vec<String>,
        now: Timestamp,
    ) -> Result<Self, CredentialsError> {
        let (held, config) = certify(Arc::new(authorities), hosts, now)?;
        Ok(Self { tls: shared(config), held: ArcSwap::from_pointee(held) })
    }

    /// For the accept loop: new connections get what is held then.
    pub fn tls(&self) -> SharedConfig {
        self.tls.clone()
    }

    /// The CAs that count now.
    pub fn authorities(&self) -> Arc<Authorities> {
        Arc::clone(&self.held.load().authorities)
    }

    /// Until when the server's certificate is good.
    pub fn expires_at(&self) -> Timestamp {
        self.held.load().certified_at.after(SERVER_LIFETIME)
    }

    /// Makes ready to go over to these CAs and names. What is wrong with them is found here.
    pub fn ready(
        authorities: Authorities,
        hosts: Vec<String>,
        now: Timestamp,
    ) -> Result<Ready, CredentialsError> {
        let (held, config) = certify(Arc::new(authorities), hosts, now)?;
        Ok(Ready { held, config })
    }

    /// Goes over to what was made ready. Connections that are open stay.
    pub fn take_up(&self, Ready { held, config }: Ready) {
        // Who is certified by a CA must find it accepted: so first what is accepted.
        self.tls.store(Arc::new(config));
        self.held.store(Arc::new(held));
    }

    /// Certifies the server anew if its certificate has served long enough, or the clock has been
    /// put back behind its beginning. Whether it did.
    pub fn renew_if_due(&self, now: Timestamp) -> Result<bool, CredentialsError> {
        let held = self.held.load_full();
        if (held.certified_at..held.certified_at.after(SERVER_RENEWED_AFTER)).contains(&now) {
            return Ok(false);
        }
        let (held, config) = certify(Arc::clone(&held.authorities), held.hosts.clone(), now)?;
        self.take_up(Ready { held, config });
        Ok(true)
    }
}

fn certify(
    authorities: Arc<Authorities>,
    hosts: Vec<String>,
    now: Timestamp,
) -> Result<(Held, rustls::ServerConfig), CredentialsError> {
    let identity = authorities.current().issue_server(&hosts, now)?;
    let config = server_config(&authorities.certificates(), &identity)?;
    let expires_at = authorities.issuing().expires_at();
    if now.after(AUTHORITY_WARNED_BEFORE) > expires_at {
        tracing::warn!(%expires_at, "the CA expires; replace it with `escrowd rotate-ca`");
    }
    Ok((Held { authorities, hosts, certified_at: now }, config))
}
