//! Statements about deposits and about requests for them.

use serde::{Deserialize, Serialize};

use crate::domain::der::Der;
use crate::domain::id::{DepositId, Digest, Element, EventKind, RequestId, RuleName};
use crate::domain::statement::{Ground, Knowledge, Made, Statement};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

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

/// What is to become of what a requester was handed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DutyKind {
    /// It goes back to the depositor.
    Return,
    /// It is destroyed.
    Destroy,
    /// It is told what was done with it.
    Report,
}

/// What a requester takes upon itself by asking. Those who approve read it with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duty {
    /// What is to be done.
    pub kind: DutyKind,
    /// Until when.
    pub by: Timestamp,
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
    /// What the requester takes upon itself; left out where that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duty: Option<Duty>,
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

/// Largest token of a request, in bytes. With the certificates of a usual chain it has about 6,000.
pub const REQUEST_TOKEN_BYTES_MAX: usize = 32 * 1024;

// In hexadecimal it has twice as many.
const _: () = assert!(4 * REQUEST_TOKEN_BYTES_MAX < Statement::BYTES_MAX);

/// Hands in what the authority that the terms pin says of a request: when it was there at the latest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeStamp {
    /// By a member of any party: the word is the authority's, whoever carries it.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// Of which request. Stamped is the digest of its statement.
    pub request: RequestRef,
    /// The token's time.
    pub at: Timestamp,
    /// What the authority answered, with the token in it.
    pub token: Der<REQUEST_TOKEN_BYTES_MAX>,
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

/// Says that the signer has been shown a request to which its organisation may object, or which it
/// has to review. Clients make one when they show it, so that notice rests on more than the vault's
/// word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// By whom and when.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// Which request.
    pub request: RequestRef,
}

/// Records evidence that whoever may object to a request was notified of it otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// By a member who may consent to the request.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// Of which request.
    pub request: RequestRef,
    /// What shows it; the document stays with the signer.
    pub evidence: Evidence,
}

/// What is attested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attested {
    /// That an event of this kind has happened.
    Event(EventKind),
    /// That a court or a regulator has ordered it.
    Order,
}

/// Attests for one request that what its rule asks for has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// By whom and when.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// For which request.
    pub request: RequestRef,
    /// What has happened.
    pub what: Attested,
    /// What shows it; the documents stay with the signer.
    pub evidence: Vec<Evidence>,
}

/// On what basis objections are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The parties to the dispute instruct together.
    Joint,
    /// An arbiter has decided.
    Award,
    /// A court or a regulator has ordered it; the signer attests that.
    Order,
}

impl Basis {
    /// Every one there is.
    pub const ALL: [Self; 3] = [Self::Joint, Self::Award, Self::Order];

    /// As a noun.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Joint => "joint instruction",
            Self::Award => "award",
            Self::Order => "order",
        }
    }
}

/// Says that the objections which stand against a request are settled, so that it may go on. It ends
/// them once as many have said so on one basis as the rule asks for. Whoever decides against a
/// request says nothing: the objection stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// By whom and when.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// Concerning which request.
    pub request: RequestRef,
    /// On what basis.
    pub basis: Basis,
    /// What shows it: the award or the order; the documents stay with the signer.
    pub evidence: Vec<Evidence>,
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

/// What is said of a bundle that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledged {
    /// It was received.
    Received,
    /// It went back to the depositor; where the depositor says so, it came back.
    Returned,
    /// It was destroyed, with every copy.
    Destroyed,
    /// What was done with it was reported, as the agreement's papers say how.
    Reported,
}

/// Says what became of a bundle that was handed out. The signer's word, as a delivery note is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// By a member of the requester's organisation; a return also by one of the depositor.
    pub made: Made,
    /// Under which agreement.
    pub ground: Ground,
    /// On which request.
    pub request: RequestRef,
    /// What became of it.
    pub what: Acknowledged,
}
