//! Statements about organisations and their members.

use serde::{Deserialize, Serialize};

use crate::domain::id::{Digest, MemberPath, PublicKey};
use crate::domain::statement::Made;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// Opens the door for one member to join; by the operator for an organisation's first member,
/// by an administrator for a colleague. Carries no authority over keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// By whom and when.
    pub made: Made,
    /// Who is invited.
    pub member: MemberPath,
    /// Digest of the secret in the invitation line.
    pub secret_sha256: Digest,
    /// When the door closes.
    pub expires_at: Timestamp,
}

/// Introduces an organisation's key; signed by that very key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// By the organisation's first member.
    pub made: Made,
    /// The organisation key.
    pub key: PublicKey,
}

/// Introduces a member's keys; signed by the member's own new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// By the new member.
    pub made: Made,
    /// The invitation it comes with.
    pub secret_sha256: Digest,
    /// Ed25519 key for the member's statements.
    pub key: PublicKey,
    /// The member's age recipient (`age1…`), to which shares are sealed.
    pub age_recipient: Text,
    /// Digest of the certificate request whose key the connection will use.
    pub certificate_request_sha256: Digest,
}

/// Says that a member's keys are that person's; by the organisation key or an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// By whom and when.
    pub made: Made,
    /// Whose keys.
    pub member: MemberPath,
    /// The statement that introduced them.
    pub join_sha256: Digest,
    /// Whether the member may invite and confirm colleagues.
    pub administrator: bool,
}

/// Why a member no longer speaks for its organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The person has left. What was done before stands.
    Left,
    /// Somebody else may have had the keys since then. Since then nothing counts.
    CompromisedSince(Timestamp),
}

/// Takes a member's authority away; by the organisation key or an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// By whom and when.
    pub made: Made,
    /// Whose authority.
    pub member: MemberPath,
    /// The statement that introduced the member's keys.
    pub join_sha256: Digest,
    /// Why.
    pub reason: Reason,
}

/// Asks for a new TLS certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// By whom and when.
    pub made: Made,
    /// Digest of the certificate request.
    pub certificate_request_sha256: Digest,
}
