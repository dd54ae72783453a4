//! Deposits: bundles as the depositor states them.

use serde::{Deserialize, Serialize};

use crate::domain::agreement::Agreement;
use crate::domain::id::{AgreementId, DepositId, Digest, OrganisationName};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self, Sealing};
use crate::domain::time::Timestamp;

/// Largest bundle, in bytes: 1 TiB.
pub const BUNDLE_BYTES_MAX: u64 = 1 << 40;

/// A deposit as its agreement's stream tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// Its id.
    pub id: DepositId,
    /// Under which agreement.
    pub agreement: AgreementId,
    /// What the depositor said.
    pub statement: statement::Deposit,
    /// Digest of that statement.
    pub statement_sha256: Digest,
    /// When the vault had it safe.
    pub deposited_at: Timestamp,
    /// Whether the bundle is whole.
    pub condition: Condition,
}

/// Whether a stored bundle is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It is.
    Stored,
    /// It was found damaged and is not served any more.
    Quarantined {
        /// When.
        at: Timestamp,
    },
}

impl Condition {
    /// As one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Quarantined { .. } => "quarantined",
        }
    }
}

/// May this organisation bring a bundle of this size, whatever it will state of it?
pub fn decide_upload(
    agreement: &Agreement,
    organisation: &OrganisationName,
    size: u64,
    now: Timestamp,
) -> Result<(), Refusal> {
    if agreement.terms.depositor() != Some(organisation) {
        return Err(Refusal::NotDepositor(organisation.clone()));
    }
    agreement.in_force()?;
    agreement.in_term(now)?;
    if size > BUNDLE_BYTES_MAX {
        return Err(Refusal::Mismatch("the bundle's size, at most 1 TiB,"));
    }
    Ok(())
}

/// May this deposit be made? `twin` is an earlier deposit of the same bundle in the agreement.
pub fn decide(
    agreement: &Agreement,
    twin: Option<&DepositId>,
    deposit: &statement::Deposit,
    now: Timestamp,
) -> Result<(), Refusal> {
    decide_upload(agreement, &deposit.made.by.organisation, deposit.size, now)?;
    if deposit.release_key_sha256 != agreement.key()?.sha256 {
        return Err(Refusal::Mismatch("the release key that the bundle is sealed to"));
    }
    match deposit.sealing {
        Sealing::Elsewhere if !agreement.terms.stock_age => return Err(Refusal::OriginUnproven),
        Sealing::Elsewhere | Sealing::Escrow { .. } => {}
    }
    match twin {
        Some(id) => Err(Refusal::DepositedBefore(id.to_string())),
        None => Ok(()),
    }
}

impl Deposit {
    /// A bundle was deposited.
    pub fn made(statement: &statement::Deposit, sha256: Digest, at: Timestamp) -> Self {
        Self {
            id: DepositId::of(&sha256),
            agreement: statement.ground.agreement.clone(),
            statement: statement.clone(),
            statement_sha256: sha256,
            deposited_at: at,
            condition: Condition::Stored,
        }
    }

    /// Refuses unless the bundle is whole.
    pub fn is_stored(&self) -> Result<(), Refusal> {
        match self.condition {
            Condition::Stored => Ok(()),
            Condition::Quarantined { .. } => Err(Refusal::DepositIs(self.condition.word())),
        }
    }
}
