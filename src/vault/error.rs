//! What a vault answers when it does not do as asked.

use crate::crypto::proofs::Unproven;
use crate::crypto::statement::StatementFault;
use crate::domain::id::RequestId;
use crate::domain::refusal::Refusal;
use crate::store::{ReadError, is_full};
use crate::vault::intake::BundleFault;
use crate::vault::quota::OverQuota;

/// Why the vault did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The rules say no.
    #[error("refused by the rules")]
    Refused(#[source] Refusal),
    /// The bytes are not a signed statement.
    #[error("not a signed statement")]
    Statement(#[source] StatementFault),
    /// A proof in or beside a statement does not hold.
    #[error("a proof does not hold")]
    Unproven(#[source] Unproven),
    /// The bundle is not what its statement says, or no age file of the kind admitted.
    #[error("the bundle was not admitted")]
    Bundle(#[source] BundleFault),
    /// The request does not make sense as a whole.
    #[error("{0}")]
    Malformed(&'static str),
    /// Nothing was changed; later it may work.
    #[error("the vault cannot write now")]
    Unavailable,
    /// The organisation has all that the operator grants it. Nothing was changed.
    #[error(transparent)]
    Quota(#[from] OverQuota),
    /// All organisations together have what the operator grants them. Nothing was changed.
    #[error("the vault has taken up all that its operator grants")]
    TotalQuota,
    /// A deposit was stated whose bundle is not here.
    #[error("the bundle of this deposit was not uploaded by this member, or was given up since")]
    NotUploaded,
    /// An upload ended for another reason than what was sent. What came of it is kept.
    #[error("{0}")]
    Interrupted(Interruption),
    /// The disk is full, for this. Nothing was changed.
    #[error("the disk is full")]
    Full,
    /// The vault was shown to have been set back to an earlier state.
    #[error("the vault was set back to an earlier state")]
    SetBack,
    /// Whoever asks knows an earlier log generation: the vault was recovered since.
    #[error("the vault was recovered and keeps its log in generation {generation} now")]
    NewGeneration {
        /// The generation that is kept.
        generation: u32,
    },
    /// What was contributed to this request was lost before the vault was recovered: nobody
    /// remembers contributions.
    #[error("what was contributed to {0} was lost before the vault was recovered")]
    ContributionLost(RequestId),
    /// The vault is going down; whether the last write happened is not known.
    #[error("the vault is stopping")]
    Stopping,
    /// The store could not be read, or what it had was damaged.
    #[error("the store failed")]
    Read(#[from] ReadError),
    /// The disk failed a bundle on its way in; nothing was changed.
    #[error("the disk failed")]
    Disk(#[source] std::io::Error),
    /// A defect: something of ours has no JSON form.
    #[error("an event could not be encoded")]
    Encoding(#[source] serde_json::Error),
}

/// Why an upload ended before its bundle did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interruption {
    /// The same member goes on with it elsewhere.
    #[error("the same bundle is uploaded on another connection")]
    TakenOver,
    /// The vault goes down.
    #[error("the vault is stopping")]
    Stopping,
}

/// The code of a proof that does not hold.
pub const UNPROVEN: &str = "UNPROVEN";
/// The code of a bundle that was not admitted.
pub const BAD_BUNDLE: &str = "BAD_BUNDLE";

impl VaultError {
    /// By which code an agreement's parties are told of this, if they are. Not where it says more of
    /// the vault, or of what the operator grants an organisation, than of what was tried; and what
    /// nobody signed is no statement.
    pub(super) fn told_as(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => refusal.is_told().then(|| refusal.code()),
            Self::Unproven(_) => Some(UNPROVEN),
            Self::Bundle(_) => Some(BAD_BUNDLE),
            Self::Statement(_)
            | Self::Malformed(_)
            | Self::Unavailable
            | Self::Quota(_)
            | Self::TotalQuota
            | Self::NotUploaded
            | Self::Interrupted(_)
            | Self::Full
            | Self::SetBack
            | Self::NewGeneration { .. }
            | Self::ContributionLost(_)
            | Self::Stopping
            | Self::Read(_)
            | Self::Disk(_)
            | Self::Encoding(_) => None,
        }
    }
}

impl From<std::io::Error> for VaultError {
    fn from(error: std::io::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Disk(error) }
    }
}

impl From<Refusal> for VaultError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
