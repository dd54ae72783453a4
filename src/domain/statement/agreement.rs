//! Statements that bring agreements into force and end them.

use serde::{Deserialize, Serialize};

use crate::domain::id::{AgreementId, Digest, Element, MemberPath, OrganisationName};
use crate::domain::statement::{Ground, Made};
use crate::domain::terms::Terms;

/// Proposes terms. The agreement's id comes from this statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// By a member of the depositor.
    pub made: Made,
    /// What is proposed.
    pub terms: Terms,
}

/// Proposes other terms for an agreement, and signs them for the signer's organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amendment {
    /// By whom and when.
    pub made: Made,
    /// Of which agreement.
    pub ground: Ground,
    /// Digest of the statement that brought in the terms to be amended.
    pub amends_sha256: Digest,
    /// The terms as they are to be, whole.
    pub terms: Terms,
}

/// Signs an amendment for another organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Countersignature {
    /// By whom and when.
    pub made: Made,
    /// In which agreement.
    pub ground: Ground,
    /// Digest of the amendment's statement.
    pub amendment_sha256: Digest,
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

/// Takes an agreement up again after the vault was recovered, as it now stands; it goes on when
/// every party has. Kept among the accesses: the agreement's own stream stays open for what the
/// vault has lost until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resumption {
    /// By whom and when, in the new generation.
    pub made: Made,
    /// Which agreement, as far as everything that was remembered has been handed in.
    pub ground: Ground,
}

/// Tells the parties of an agreement that a member was revoked. Statements that do not rest on it
/// are void, so a vault that hides the revocation from one party is found out by the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationNotice {
    /// By a colleague.
    pub made: Made,
    /// In which agreement.
    pub ground: Ground,
    /// Whose authority was taken away.
    pub member: MemberPath,
    /// Digest of the revocation's statement.
    pub revocation_sha256: Digest,
}

/// Reminds an organisation that has not been heard of, under terms by which its silence counts.
/// Whatever one of its members signs in the agreement makes the reminders void.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reminder {
    /// By a member of another party.
    pub made: Made,
    /// In which agreement.
    pub ground: Ground,
    /// Who is reminded.
    pub organisation: OrganisationName,
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
