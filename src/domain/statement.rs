//! Statements: what members sign. One struct a type, kept and verified as exact bytes.
//!
//! A statement is a UTF-8 JSON object with its `type` first. What a field means never changes
//! within a version; a new meaning is a new version. Bytes are hexadecimal, times RFC 3339.

use serde::{Deserialize, Serialize};

use crate::domain::id::{
    AgreementId, DepositId, Digest, Element, MemberPath, Nonce, OrganisationName, PublicKey,
    RequestId, RuleName,
};
use crate::domain::terms::Terms;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// Which log of which vault: a statement made for one carries no weight in another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The log's name (C2SP tlog-checkpoint's origin).
    pub origin: Text,
    /// Counts up with every open recovery; 1 at first.
    pub generation: u32,
}

/// Who made a statement, when, for which log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// The member who signs.
    pub by: MemberPath,
    /// When, by the member's own clock.
    pub at: Timestamp,
    /// What makes this statement unlike any other.
    pub nonce: Nonce,
    /// For which log.
    pub log: Log,
}

/// Where a stream stood when somebody looked: number and commitment of its last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saw {
    /// Number of the last event seen.
    pub sequence: u64,
    /// That event's commitment.
    pub commitment: Digest,
}

/// What a statement inside an agreement rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// Which agreement.
    pub agreement: AgreementId,
    /// What the signer knew of it.
    pub saw: Saw,
    /// After this the statement is void if the vault has not accepted it.
    pub valid_until: Timestamp,
}

/// A Schnorr proof of knowledge: of a discrete logarithm, without telling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knowledge {
    /// The prover's commitment, a compressed point.
    pub commitment: Element,
    /// The answer to the challenge, a scalar.
    pub response: Element,
}

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

/// Asks for a new TLS certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// By whom and when.
    pub made: Made,
    /// Digest of the certificate request.
    pub certificate_request_sha256: Digest,
}

/// Proposes terms. The agreement's id comes from this statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// By a member of the depositor.
    pub made: Made,
    /// What is proposed.
    pub terms: Terms,
}

/// A share on its way to one member, named by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedShare {
    /// The holder's member who can open it.
    pub member: MemberPath,
    /// Digest of the age file that holds it.
    pub sha256: Digest,
}

/// One holder of the release key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// Which organisation.
    pub organisation: OrganisationName,
    /// Its place in the secret sharing: the polynomial's argument, from 1.
    pub identifier: u16,
}

/// Deals a release key for an agreement's terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseKey {
    /// By a member of the depositor.
    pub made: Made,
    /// For which agreement.
    pub agreement: AgreementId,
    /// Digest of the statement that proposed its terms.
    pub terms_sha256: Digest,
    /// Counts the keys of these terms, from 1.
    pub epoch: u32,
    /// Feldman commitment to the sharing polynomial: `quorum` compressed points.
    pub commitment: Vec<Element>,
    /// Who holds which share.
    pub holders: Vec<Holder>,
    /// The shares as sealed to the holders' members.
    pub shares: Vec<SealedShare>,
}

/// Countersigns terms and key for an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// By whom and when.
    pub made: Made,
    /// In which agreement.
    pub ground: Ground,
    /// Digest of the terms' statement.
    pub terms_sha256: Digest,
    /// Digest of the release key's statement.
    pub release_key_sha256: Digest,
}

/// Refuses to enter an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declination {
    /// By whom and when.
    pub made: Made,
    /// Which agreement.
    pub ground: Ground,
}

/// Agrees to end an agreement; it ends when every party has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Termination {
    /// By whom and when.
    pub made: Made,
    /// Which agreement.
    pub ground: Ground,
}

/// Passes a holder's share on to a colleague, sealed anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reseal {
    /// By a colleague who has the share.
    pub made: Made,
    /// Which agreement.
    pub ground: Ground,
    /// Of which of its release keys.
    pub epoch: u32,
    /// For whom.
    pub share: SealedShare,
}

/// What lies inside a bundle, as far as the depositor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A tar archive of files and directories.
    Tar,
    /// Anything.
    Opaque,
}

/// How a deposit relates to earlier ones. Format 1 knows one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Complete in itself.
    Full,
}

/// Which program sealed a bundle, and so what is known of its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sealing {
    /// Sealed here: it is proved that the depositor made this header itself.
    Escrow {
        /// Of the ephemeral secret behind the header, bound to agreement, depositor and header.
        proof: Knowledge,
        /// SHA-256 of what was sealed.
        plaintext_sha256: Digest,
        /// Its size in bytes.
        plaintext_size: u64,
    },
    /// Sealed by another age program: origin unproven.
    Elsewhere,
}

/// Hands over a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    /// By a member of the depositor.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// The release key it is sealed to, by the digest of that key's statement.
    pub release_key_sha256: Digest,
    /// What the depositor calls it.
    pub label: Text,
    /// How it relates to earlier ones.
    pub kind: Kind,
    /// What lies inside.
    pub content: Content,
    /// Who sealed it, with proof.
    pub sealing: Sealing,
    /// Size of the age file in bytes.
    pub size: u64,
    /// SHA-256 of the age file.
    pub sha256: Digest,
    /// Size of the file's header in bytes.
    pub header_size: u32,
    /// SHA-256 of its header, MAC line included.
    pub header_sha256: Digest,
    /// The header's ephemeral point *E*, a u-coordinate.
    pub ephemeral: Element,
}

/// A document that supports a request, named by digest; it stays with the requester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// File name.
    pub name: Text,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Asks for one deposit under one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// By the requester.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// Digest of the terms it is judged by.
    pub terms_sha256: Digest,
    /// Digest of the release key's statement.
    pub release_key_sha256: Digest,
    /// That key's epoch.
    pub epoch: u32,
    /// Which deposit.
    pub deposit: DepositId,
    /// Digest of the deposit's statement.
    pub deposit_sha256: Digest,
    /// SHA-256 of the bundle.
    pub bundle_sha256: Digest,
    /// SHA-256 of the bundle's header.
    pub header_sha256: Digest,
    /// Under which rule.
    pub rule: RuleName,
    /// What for.
    pub purpose: Text,
    /// With what support.
    pub evidence: Vec<Evidence>,
    /// The requester's fresh point *R*, to which contributions are blinded.
    pub point: Element,
    /// That the requester knows its logarithm.
    pub proof: Knowledge,
}

/// Which request, by id and digest: change anything in it and this is void.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRef {
    /// Which request.
    pub id: RequestId,
    /// Digest of its statement.
    pub sha256: Digest,
}

/// Says yes to a request. Spends nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// By whom and when.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// To which request.
    pub request: RequestRef,
}

/// Spends a holder's share on one file for one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// By a member of the holder.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// For which request.
    pub request: RequestRef,
    /// Epoch of the release key.
    pub epoch: u32,
    /// Digest of the contribution itself, which the requester gets on release.
    pub contribution_sha256: Digest,
}

/// Blocks a request while it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objection {
    /// By whom and when.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// To which request.
    pub request: RequestRef,
    /// Why.
    pub reason: Text,
}

/// What is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawn {
    /// The request itself, by the requester's organisation.
    Request,
    /// The signer's organisation's objection to it.
    Objection,
}

/// Takes back a request or an objection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// By whom and when.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// Concerning which request.
    pub request: RequestRef,
    /// What is taken back.
    pub withdrawn: Withdrawn,
}

/// Takes delivery of a released bundle and its contributions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// By the requester.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// Of which request.
    pub request: RequestRef,
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $tag:literal),* $(,)?) => {
        /// Any statement, told apart by its `type`.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "type")]
        #[expect(missing_docs, reason = "each variant is its struct")]
        pub enum Statement {
            $(#[serde(rename = $tag)] $name($name),)*
        }

        impl Statement {
            /// Largest statement, in bytes of JSON.
            pub const BYTES_MAX: usize = 256 * 1024;

            /// Every type there is.
            pub const TYPES: &[&str] = &[$($tag),*];

            /// The statement's type, which is its signature's domain tag as well.
            pub fn tag(&self) -> &'static str {
                match self { $(Self::$name(_) => $tag,)* }
            }

            /// By whom, when, for which log.
            pub fn made(&self) -> &Made {
                match self { $(Self::$name(statement) => &statement.made,)* }
            }
        }

        $(impl From<$name> for Statement {
            fn from(statement: $name) -> Self {
                Self::$name(statement)
            }
        })*
    };
}

statements! {
    Invitation = "escrow-vault/invitation/v1",
    Organisation = "escrow-vault/organisation/v1",
    Join = "escrow-vault/join/v1",
    Confirmation = "escrow-vault/confirmation/v1",
    Renewal = "escrow-vault/renewal/v1",
    Proposal = "escrow-vault/terms/v1",
    ReleaseKey = "escrow-vault/release-key/v1",
    Acceptance = "escrow-vault/acceptance/v1",
    Declination = "escrow-vault/declination/v1",
    Termination = "escrow-vault/termination/v1",
    Reseal = "escrow-vault/reseal/v1",
    Deposit = "escrow-vault/deposit/v1",
    Request = "escrow-vault/request/v1",
    Consent = "escrow-vault/consent/v1",
    Contribution = "escrow-vault/contribution/v1",
    Objection = "escrow-vault/objection/v1",
    Withdrawal = "escrow-vault/withdrawal/v1",
    Retrieval = "escrow-vault/retrieval/v1",
}

impl Statement {
    /// What it rests on, for statements inside an agreement.
    pub fn ground(&self) -> Option<&Ground> {
        match self {
            Self::Invitation(_)
            | Self::Organisation(_)
            | Self::Join(_)
            | Self::Confirmation(_)
            | Self::Renewal(_)
            | Self::Proposal(_)
            | Self::ReleaseKey(_) => None,
            Self::Acceptance(s) => Some(&s.ground),
            Self::Declination(s) => Some(&s.ground),
            Self::Termination(s) => Some(&s.ground),
            Self::Reseal(s) => Some(&s.ground),
            Self::Deposit(s) => Some(&s.ground),
            Self::Request(s) => Some(&s.ground),
            Self::Consent(s) => Some(&s.ground),
            Self::Contribution(s) => Some(&s.ground),
            Self::Objection(s) => Some(&s.ground),
            Self::Withdrawal(s) => Some(&s.ground),
            Self::Retrieval(s) => Some(&s.ground),
        }
    }
}

/// A statement whose signature was verified over its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// What was said.
    pub statement: Statement,
    /// SHA-256 of its exact bytes.
    pub digest: Digest,
    /// The key that signed it. Whose key that is, the rules decide.
    pub key: PublicKey,
}
