//! Why there is no connection to the vault, in terms of what somebody can do about it.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

/// Why the vault could not be talked to. No call was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFault {
    /// The address is not one.
    #[error("{address:?} is not HOST:PORT")]
    Address {
        /// What was given.
        address: String,
    },
    /// No TCP connection.
    #[error("cannot reach {address}")]
    Unreachable {
        /// Which vault.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// TCP, but no vault behind it that answers.
    #[error("{address} did not answer within {limit:?}")]
    Silent {
        /// Which vault.
        address: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The vault, or something before it, closed the connection without a word.
    #[error("{address} closed the connection before anything was said")]
    Closed {
        /// Which vault.
        address: String,
    },
    /// Something that is not certified by the CA this home trusts.
    #[error("{address} is not the vault this home trusts: its certificate is not of the pinned CA")]
    NotTrusted {
        /// Which vault.
        address: String,
    },
    /// The vault's own certificate is no longer valid.
    #[error("the certificate of {address} has expired")]
    CertificateExpired {
        /// Which vault.
        address: String,
    },
    /// The vault's own certificate is not valid yet.
    #[error("the certificate of {address} is not valid yet")]
    CertificateNotYetValid {
        /// Which vault.
        address: String,
    },
    /// The right vault under a name its certificate does not carry.
    #[error("the vault at {address} has no certificate for that name")]
    WrongName {
        /// Which vault.
        address: String,
        /// Names its certificate carries.
        presented: Vec<String>,
    },
    /// The vault does not accept this home's TLS certificate.
    #[error("{address} refused this home's TLS certificate: {refusal}")]
    ClientCertificate {
        /// Which vault.
        address: String,
        /// Its reason.
        refusal: Refusal,
    },
    /// This home's own key or certificate cannot be used.
    #[error("this home's TLS key and certificate cannot be used")]
    OwnIdentity(#[source] rustls::Error),
    /// Any other failure of TLS: often a server that is no vault.
    #[error("no TLS connection to {address}")]
    Tls {
        /// Which vault.
        address: String,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// TLS succeeded, but HTTP/2 is not spoken there.
    #[error("{address} does not speak gRPC")]
    NotHttp2 {
        /// Which vault.
        address: String,
    },
    /// TLS succeeded, HTTP/2 did not.
    #[error("no HTTP/2 connection to {address}")]
    Http2 {
        /// Which vault.
        address: String,
        /// What tonic said.
        #[source]
        source: tonic::transport::Error,
    },
}

/// Why a vault refused a client certificate, as far as TLS says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Another CA than that vault's signed it.
    #[error("it is not of this vault's CA")]
    UnknownCa,
    /// Anything else.
    #[error("it is not accepted")]
    Other,
}

impl ConnectFault {
    /// Whether the vault was not there, and may be back later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Closed { .. }
            | Self::CertificateExpired { .. }
            | Self::Http2 { .. } => true,
            Self::Address { .. }
            | Self::NotTrusted { .. }
            | Self::CertificateNotYetValid { .. }
            | Self::WrongName { .. }
            | Self::ClientCertificate { .. }
            | Self::OwnIdentity(_)
            | Self::Tls { .. }
            | Self::NotHttp2 { .. } => false,
        }
    }

    /// Whether this is what is seen when the vault has got another CA meanwhile.
    pub fn may_be_another_ca(&self) -> bool {
        match self {
            Self::NotTrusted { .. }
            | Self::ClientCertificate { refusal: Refusal::UnknownCa, .. } => true,
            Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Closed { .. }
            | Self::CertificateExpired { .. }
            | Self::CertificateNotYetValid { .. }
            | Self::WrongName { .. }
            | Self::ClientCertificate { refusal: Refusal::Expired | Refusal::Other, .. }
            | Self::OwnIdentity(_)
            | Self::Tls { .. }
            | Self::NotHttp2 { .. }
            | Self::Http2 { .. } => false,
        }
    }

    /// Whether the vault was there, and only some clock or date is in the way.
    pub fn is_about_time(&self) -> bool {
        match self {
            Self::CertificateExpired { .. }
            | Self::CertificateNotYetValid { .. }
            | Self::ClientCertificate { refusal: Refusal::Expired, .. } => true,
            Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Closed { .. }
            | Self::NotTrusted { .. }
            | Self::WrongName { .. }
            | Self::ClientCertificate { refusal: Refusal::UnknownCa | Refusal::Other, .. }
            | Self::OwnIdentity(_)
            | Self::Tls { .. }
            | Self::NotHttp2 { .. }
            | Self::Http2 { .. } => false,
        }
    }

    /// What somebody can do about it, on one line.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Address { .. } => {
                "give a host name or address and a port, such as vault.example:7443"
            }
            Self::Unreachable { .. } => {
                "check the address, and that the vault runs and no firewall is between"
            }
            Self::Silent { .. } => {
                "check that this is the vault's port; try again if the vault is busy"
            }
            Self::Closed { .. } => {
                "the vault may be stopping or have too many connections; try again soon"
            }
            Self::NotTrusted { .. } => {
                "the address may be wrong, the vault may have been set up anew, or somebody is between: \
                 compare the CA fingerprint with the operator by telephone"
            }
            Self::CertificateExpired { .. } => {
                "the operator has to restart or renew the vault; check this computer's clock too"
            }
            Self::CertificateNotYetValid { .. } => "check this computer's clock, then the vault's",
            Self::WrongName { .. } => {
                "use a name or address the vault was set up with, or ask the operator to add this one"
            }
            Self::ClientCertificate { refusal, .. } => match refusal {
                Refusal::Expired => "renew it; check this computer's clock too",
                Refusal::UnknownCa => {
                    "this home may belong to another vault, or the vault was set up anew"
                }
                Refusal::Other => "ask the operator what the vault's log says",
            },
            Self::OwnIdentity(_) => "restore this home from a backup, or join again",
            Self::Tls { .. } | Self::NotHttp2 { .. } | Self::Http2 { .. } => {
                "check that this is the port of an escrow vault of a similar version"
            }
        }
    }

    /// The fault in the chain of causes of a failed call: reconnections happen inside calls, and
    /// tonic reports them as a bare transport error.
    pub fn in_chain<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(fault) = error.downcast_ref() {
                return Some(fault);
            }
            next = error.source();
        }
        None
    }

    /// What an error on a TLS stream means that has just been, or is being, opened.
    #[expect(clippy::wildcard_enum_match_arm, reason = "theirs, and it grows")]
    pub(super) fn of_tls(address: &str, error: io::Error) -> Self {
        let address = address.to_owned();
        // An io::Error's source() skips the error inside it.
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(error)) => Self::of_certificate(address, error),
            Some(rustls::Error::AlertReceived(alert)) => Self::of_alert(address, *alert),
            Some(other) => Self::Tls { address, source: other.clone() },
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Self::Closed { address },
                _ => Self::Unreachable { address, source: error },
            },
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "theirs, and it grows")]
    fn of_certificate(address: String, error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::NotTrusted { address }
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Self::CertificateExpired { address }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::CertificateNotYetValid { address }
            }
            CertificateError::NotValidForName => Self::WrongName { address, presented: vec![] },
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::WrongName { address, presented: presented.clone() }
            }
            other => {
                Self::Tls { address, source: rustls::Error::InvalidCertificate(other.clone()) }
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "theirs, and it grows")]
    fn of_alert(address: String, alert: AlertDescription) -> Self {
        let refusal = match alert {
            AlertDescription::CertificateExpired => Refusal::Expired,
            // webpki cannot tell a CA of the same name from ours by anything but its signature.
            AlertDescription::UnknownCA | AlertDescription::DecryptError => Refusal::UnknownCa,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied => Refusal::Other,
            other => {
                return Self::Tls { address, source: rustls::Error::AlertReceived(other) };
            }
        };
        Self::ClientCertificate { address, refusal }
    }
}
