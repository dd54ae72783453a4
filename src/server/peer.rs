//! Who is at the other end of a connection, as its client certificate says.
//!
//! A subject may talk; what it says is judged by signed statements, never by this.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::domain::id::{MemberId, MemberPath};
use crate::domain::time::Timestamp;
use crate::server::line::Line;

/// Whom the vault's CA certified. Written as the URI in the certificate's subjectAltName:
/// `escrow-vault:operator` or `escrow-vault:member:mem_…:organisation/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Who runs the vault.
    Operator,
    /// A member of an organisation.
    Member {
        /// By id; the path alone could be given to somebody else later.
        id: MemberId,
        /// By name, when it was certified.
        path: MemberPath,
    },
}

/// Why a certificate says nothing about who holds it, although its chain may be in order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSubject {
    /// It is not one X.509 certificate.
    #[error("the client certificate cannot be parsed")]
    Unparsable,
    /// Its subjectAltName is missing, or has other than one entry, or that is not a URI.
    #[error("the client certificate must name exactly one URI and nothing else")]
    NotOneUri,
    /// The URI is none of ours.
    #[error("the client certificate is for {uri:?}, which is no subject of an escrow vault")]
    UnknownUri {
        /// Shortened.
        uri: String,
    },
}

/// One end of a connection; handlers find it among a request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it connects from.
    pub address: SocketAddr,
    /// Who it is, if it showed a certificate; verified against the CA when the connection began.
    pub certificate: Option<PeerCertificate>,
    /// What the answers on its connection share.
    pub(super) line: Arc<Line>,
}

/// What a peer's verified certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whom it was issued to.
    pub subject: Subject,
    /// Until when. A connection may outlive this; whoever serves a call has to compare.
    pub expires_at: Timestamp,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, certificate: Option<PeerCertificate>) -> Self {
        Self { address, certificate, line: Arc::default() }
    }

    /// Who it is, if it showed a certificate.
    pub fn subject(&self) -> Option<&Subject> {
        self.certificate.as_ref().map(|certificate| &certificate.subject)
    }
}

impl PeerCertificate {
    /// Reads a certificate that the caller has verified, or is about to trust, in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, NoSubject> {
        let (rest, certificate) = parse_x509_certificate(der).map_err(|_| NoSubject::Unparsable)?;
        if !rest.is_empty() {
            return Err(NoSubject::Unparsable);
        }
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| NoSubject::NotOneUri)?
            .ok_or(NoSubject::NotOneUri)?;
        let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
            return Err(NoSubject::NotOneUri);
        };
        let seconds = certificate.validity().not_after.timestamp();
        let expires_at = Timestamp::from_millis(seconds.saturating_mul(1_000));
        Ok(Self { subject: uri.parse()?, expires_at })
    }
}

impl Subject {
    /// Whom a verified certificate, in DER, was issued to: it has one subjectAltName, a URI of
    /// ours, or it is refused.
    pub fn from_certificate(der: &[u8]) -> Result<Self, NoSubject> {
        PeerCertificate::from_der(der).map(|certificate| certificate.subject)
    }
}

const OPERATOR: &str = "escrow-vault:operator";
const MEMBER: &str = "escrow-vault:member:";

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str(OPERATOR),
            Self::Member { id, path } => write!(f, "{MEMBER}{id}:{path}"),
        }
    }
}

impl FromStr for Subject {
    type Err = NoSubject;

    fn from_str(uri: &str) -> Result<Self, NoSubject> {
        let unknown = || NoSubject::UnknownUri { uri: uri.chars().take(80).collect() };
        if uri == OPERATOR {
            return Ok(Self::Operator);
        }
        let (id, path) =
            uri.strip_prefix(MEMBER).and_then(|rest| rest.split_once(':')).ok_or_else(unknown)?;
        match (id.parse(), path.parse()) {
            (Ok(id), Ok(path)) => Ok(Self::Member { id, path }),
            (Err(_), _) | (_, Err(_)) => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Bytes;

    #[test]
    fn a_subject_is_its_uri_and_no_other_uri_is_a_subject() {
        let id = MemberId::of(&Bytes([3; 32]));
        let path: MemberPath = "hanbit-parts/minji".parse().unwrap();
        for subject in [Subject::Operator, Subject::Member { id: id.clone(), path }] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
        for (uri, why) in [
            (String::new(), "empty"),
            ("escrow-vault:operator/".to_owned(), "something behind"),
            (" escrow-vault:operator".to_owned(), "something before"),
            ("ESCROW-VAULT:operator".to_owned(), "one spelling only"),
            (format!("escrow-vault:member:{id}"), "no path"),
            (format!("escrow-vault:member:{id}:hanbit-parts"), "no member in the path"),
            (format!("escrow-vault:member:{id}:hanbit-parts/minji/x"), "one name too many"),
            (format!("escrow-vault:member:{id}:Hanbit/minji"), "not a name"),
            ("escrow-vault:member:mem_x:hanbit-parts/minji".to_owned(), "not an id"),
            (format!("escrow-vault:member:{id}:hanbit-parts/minji:"), "a colon too many"),
        ] {
            assert!(matches!(uri.parse::<Subject>(), Err(NoSubject::UnknownUri { .. })), "{why}");
        }
    }
}
