//! Agreements: proposed, countersigned by all, ended by all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::deposit::Deposit;
use crate::domain::id::{AgreementId, DepositId, Digest, Element, MemberPath, OrganisationName};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self, Holder};
use crate::domain::terms::{Format, Grants, Rule, Terms};
use crate::domain::time::Timestamp;
use crate::domain::trigger::Reminded;

/// An agreement as its stream tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Its id.
    pub id: AgreementId,
    /// Counts the versions of its terms, from 1.
    pub version: u32,
    /// The terms in force.
    pub terms: Arc<Terms>,
    /// Digest of the statement that proposed them.
    pub terms_sha256: Digest,
    /// Who proposed them.
    pub proposer: MemberPath,
    /// When they were proposed.
    pub proposed_at: Timestamp,
    /// The release key, once dealt.
    pub release_key: Option<DealtKey>,
    /// Who has signed one digest of terms and key, the depositor by proposing.
    pub accepted: BTreeMap<OrganisationName, Timestamp>,
    /// Who has signed for its end.
    pub terminated: BTreeMap<OrganisationName, Timestamp>,
    /// Whether it is in force.
    pub phase: Phase,
    /// Statements must rest on this event of the stream or a later one.
    pub floor: u64,
    /// The log generation in which it goes on; in a later one it is suspended.
    pub generation: u32,
    /// Who has taken it up again in a later generation, by the digest of the statement.
    pub resuming: BTreeMap<OrganisationName, Digest>,
    /// Whose revocation was told here, and which.
    pub revocations: BTreeMap<MemberPath, Digest>,
    /// When something was deposited last; remembered in terms of format 2.
    #[serde(default)]
    pub deposited_at: Option<Timestamp>,
    /// What was deposited last; likewise.
    #[serde(default)]
    pub latest: Option<DepositId>,
    /// When organisations have signed something last; likewise.
    #[serde(default)]
    pub heard_at: BTreeMap<OrganisationName, Timestamp>,
    /// Who was reminded since.
    #[serde(default)]
    pub reminded: BTreeMap<OrganisationName, Reminded>,
}

/// A release key as dealt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealtKey {
    /// Digest of the statement that dealt it.
    pub sha256: Digest,
    /// Counts the keys of these terms, from 1.
    pub epoch: u32,
    /// Feldman commitment.
    pub commitment: Vec<Element>,
    /// Who holds which share.
    pub holders: Vec<Holder>,
    /// The sealed shares by member, as digests of age files.
    pub shares: BTreeMap<MemberPath, Digest>,
}

/// Where an agreement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for countersignatures.
    Proposed,
    /// In force.
    Active {
        /// Since when.
        since: Timestamp,
    },
    /// A party refused.
    Declined {
        /// When.
        at: Timestamp,
        /// Which.
        by: OrganisationName,
    },
    /// Every party ended it.
    Terminated {
        /// When.
        at: Timestamp,
    },
}

impl Phase {
    /// As one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Active { .. } => "active",
            Self::Declined { .. } => "declined",
            Self::Terminated { .. } => "terminated",
        }
    }
}

impl Agreement {
    /// Whether this organisation is a party, and so may know that the agreement exists.
    pub fn is_party(&self, organisation: &OrganisationName) -> bool {
        self.terms.role_of(organisation).is_some()
    }

    /// Its release key.
    pub fn key(&self) -> Result<&DealtKey, Refusal> {
        self.release_key.as_ref().ok_or(Refusal::AgreementIs("without a release key"))
    }

    /// Refuses unless the agreement is in force.
    pub fn in_force(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Active { .. } => Ok(()),
            Phase::Proposed | Phase::Declined { .. } | Phase::Terminated { .. } => {
                Err(Refusal::AgreementIs(self.phase.word()))
            }
        }
    }

    /// Whether this deposit may be asked for under a rule.
    pub fn grants(&self, rule: &Rule, deposit: &Deposit) -> bool {
        match &rule.grants {
            Grants::All => true,
            Grants::Latest => self.latest.as_ref() == Some(&deposit.id),
            Grants::Label(label) => deposit.statement.label == *label,
        }
    }

    /// Refuses once the term of the agreement is over, if it has one. What was asked for before goes
    /// on by the terms that it named.
    pub fn in_term(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.terms.term.filter(|until| now >= *until) {
            Some(until) => Err(Refusal::TermOver { until, now }),
            None => Ok(()),
        }
    }

    /// The parties that have not countersigned yet.
    pub fn awaited(&self) -> impl Iterator<Item = &OrganisationName> {
        self.terms.organisations().filter(|who| !self.accepted.contains_key(*who))
    }

    /// Refuses while the agreement waits to be taken up again in this generation.
    pub fn goes_on_in(&self, generation: u32) -> Result<(), Refusal> {
        if self.generation == generation {
            return Ok(());
        }
        let awaited = self.terms.organisations().filter(|who| !self.resuming.contains_key(*who));
        Err(Refusal::Suspended(awaited.cloned().collect()))
    }

    /// Whether every statement in its stream changes it: while it is being taken up again, and where
    /// what its rules ask for is that somebody says nothing.
    pub fn listens(&self) -> bool {
        !self.resuming.is_empty() || self.terms.format == Format::Second
    }

    /// Refuses unless the agreement waits for countersignatures.
    pub fn is_proposed(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Proposed => Ok(()),
            Phase::Active { .. } | Phase::Declined { .. } | Phase::Terminated { .. } => {
                Err(Refusal::AgreementIs(self.phase.word()))
            }
        }
    }
}

/// May this release key be dealt for these terms?
pub fn decide_release_key(
    agreement: &Agreement,
    dealt: &statement::ReleaseKey,
) -> Result<(), Refusal> {
    agreement.is_proposed()?;
    if agreement.release_key.is_some() {
        return Err(Refusal::AgreementIs("dealt a release key already"));
    }
    if agreement.terms.depositor() != Some(&dealt.made.by.organisation) {
        return Err(Refusal::NotDepositor(dealt.made.by.organisation.clone()));
    }
    if dealt.terms_sha256 != agreement.terms_sha256 {
        return Err(Refusal::Mismatch("the release key's digest of the terms"));
    }
    if dealt.epoch != 1 || dealt.commitment.len() != usize::from(agreement.terms.quorum) {
        return Err(Refusal::Mismatch("the release key's epoch or commitment"));
    }
    let expected = agreement.terms.holder_organisations();
    let named = dealt.holders.iter().map(|holder| (&holder.organisation, holder.identifier));
    if !named.eq(expected.iter().zip(1..)) {
        return Err(Refusal::Mismatch("the release key's list of holders"));
    }
    let members: BTreeSet<_> = dealt.shares.iter().map(|share| &share.member).collect();
    let supplied: BTreeSet<_> = members.iter().map(|member| &member.organisation).collect();
    if members.len() != dealt.shares.len()
        || !supplied.into_iter().eq(&BTreeSet::from_iter(expected))
    {
        return Err(Refusal::Mismatch("the release key's list of sealed shares"));
    }
    Ok(())
}

/// May this organisation countersign?
pub fn decide_acceptance(
    agreement: &Agreement,
    acceptance: &statement::Acceptance,
) -> Result<(), Refusal> {
    let organisation = &acceptance.made.by.organisation;
    if agreement.accepted.contains_key(organisation) {
        let who = organisation.to_string();
        return Err(Refusal::Already { who, what: "accepted this agreement" });
    }
    agreement.is_proposed()?;
    if acceptance.terms_sha256 != agreement.terms_sha256
        || acceptance.release_key_sha256 != agreement.key()?.sha256
    {
        return Err(Refusal::Mismatch("the digest of terms and release key"));
    }
    Ok(())
}

/// May this organisation refuse?
pub fn decide_declination(agreement: &Agreement) -> Result<(), Refusal> {
    agreement.is_proposed()
}

/// May this organisation sign for the end?
pub fn decide_termination(
    agreement: &Agreement,
    termination: &statement::Termination,
) -> Result<(), Refusal> {
    let organisation = &termination.made.by.organisation;
    agreement.in_force()?;
    if agreement.terminated.contains_key(organisation) {
        let who = organisation.to_string();
        return Err(Refusal::Already { who, what: "signed for the end of this agreement" });
    }
    Ok(())
}

/// May this organisation take the agreement up again?
pub fn decide_resumption(
    agreement: &Agreement,
    resumption: &statement::Resumption,
) -> Result<(), Refusal> {
    let who = resumption.made.by.organisation.to_string();
    match agreement.phase {
        Phase::Proposed | Phase::Active { .. } | Phase::Terminated { .. } => {}
        Phase::Declined { .. } => return Err(Refusal::AgreementIs("declined")),
    }
    if agreement.generation >= resumption.made.log.generation {
        return Err(Refusal::Already { who, what: "resumed this agreement" });
    }
    Ok(())
}

/// May this revocation be told? Once: each notice voids what was signed before it.
pub fn decide_revocation_notice(
    agreement: &Agreement,
    notice: &statement::RevocationNotice,
) -> Result<(), Refusal> {
    if agreement.revocations.get(&notice.member) == Some(&notice.revocation_sha256) {
        let who = notice.member.to_string();
        return Err(Refusal::Already { who, what: "been told of as revoked in this agreement" });
    }
    Ok(())
}

/// May this organisation be reminded? Not in quick succession: each reminder gives it time.
pub fn decide_reminder(
    agreement: &Agreement,
    reminder: &statement::Reminder,
    now: Timestamp,
) -> Result<(), Refusal> {
    agreement.in_force()?;
    let organisation = &reminder.organisation;
    if reminder.made.by.organisation == *organisation {
        return Err(Refusal::Mismatch("the organisation to be reminded"));
    }
    match agreement.reminder_from(organisation) {
        None => {
            Err(Refusal::NotFound(format!("a rule by which the silence of {organisation} counts")))
        }
        Some(from) if now < from => Err(Refusal::RemindedLately { from }),
        Some(_) => Ok(()),
    }
}

/// May this share be passed on? Only to who has none: a share is never overwritten, for nobody but
/// its member could tell a good one from rubbish.
pub fn decide_reseal(agreement: &Agreement, reseal: &statement::Reseal) -> Result<(), Refusal> {
    let (by, to_member) = (&reseal.made.by.organisation, &reseal.share.member);
    match agreement.phase {
        Phase::Proposed | Phase::Active { .. } | Phase::Terminated { .. } => {}
        Phase::Declined { .. } => return Err(Refusal::AgreementIs("declined")),
    }
    if by != &to_member.organisation || !agreement.terms.is_holder(by) {
        return Err(Refusal::Mismatch("the member the share is for"));
    }
    let key = agreement.key()?;
    if key.epoch != reseal.epoch {
        return Err(Refusal::Mismatch("the epoch of the release key"));
    }
    if !key.shares.contains_key(&reseal.made.by) {
        return Err(Refusal::NotFound(format!("a share sealed to {}", reseal.made.by)));
    }
    if key.shares.contains_key(to_member) {
        return Err(Refusal::HasShare(to_member.clone()));
    }
    Ok(())
}

impl Agreement {
    /// Terms were proposed.
    pub fn proposed(
        id: AgreementId,
        proposal: &statement::Proposal,
        sha256: Digest,
        at: Timestamp,
        sequence: u64,
    ) -> Self {
        Self {
            id,
            version: 1,
            terms: Arc::new(proposal.terms.clone()),
            terms_sha256: sha256,
            proposer: proposal.made.by.clone(),
            proposed_at: at,
            release_key: None,
            accepted: BTreeMap::new(),
            terminated: BTreeMap::new(),
            phase: Phase::Proposed,
            floor: sequence,
            generation: proposal.made.log.generation,
            resuming: BTreeMap::new(),
            revocations: BTreeMap::new(),
            deposited_at: None,
            latest: None,
            heard_at: BTreeMap::new(),
            reminded: BTreeMap::new(),
        }
    }

    /// The release key was dealt; its dealer has thereby signed terms and key.
    pub fn dealt(
        &mut self,
        dealt: &statement::ReleaseKey,
        sha256: Digest,
        at: Timestamp,
        sequence: u64,
    ) {
        let shares = dealt.shares.iter().map(|share| (share.member.clone(), share.sha256));
        self.release_key = Some(DealtKey {
            sha256,
            epoch: dealt.epoch,
            commitment: dealt.commitment.clone(),
            holders: dealt.holders.clone(),
            shares: shares.collect(),
        });
        self.accepted.insert(dealt.made.by.organisation.clone(), at);
        self.floor = sequence;
    }

    /// A party countersigned.
    pub fn accepted_by(&mut self, organisation: &OrganisationName, at: Timestamp) {
        self.accepted.insert(organisation.clone(), at);
        if self.awaited().next().is_none() {
            self.phase = Phase::Active { since: at };
        }
    }

    /// A party refused.
    pub fn declined_by(&mut self, organisation: &OrganisationName, at: Timestamp) {
        self.phase = Phase::Declined { at, by: organisation.clone() };
    }

    /// A party signed for the end.
    pub fn terminated_by(&mut self, organisation: &OrganisationName, at: Timestamp) {
        self.terminated.insert(organisation.clone(), at);
        if self.terms.organisations().all(|who| self.terminated.contains_key(who)) {
            self.phase = Phase::Terminated { at };
        }
    }

    /// A party has taken it up again.
    pub fn resumed_by(&mut self, organisation: &OrganisationName, sha256: Digest) {
        self.resuming.insert(organisation.clone(), sha256);
    }

    /// Every party has taken it up again.
    pub fn resumed(&mut self, generation: u32, sequence: u64) {
        self.generation = generation;
        self.resuming.clear();
        self.floor = sequence;
    }

    /// A revocation was told.
    pub fn told(&mut self, notice: &statement::RevocationNotice, sequence: u64) {
        self.revocations.insert(notice.member.clone(), notice.revocation_sha256);
        self.floor = sequence;
    }

    /// A share was passed on.
    pub fn resealed(&mut self, reseal: &statement::Reseal) {
        if let Some(key) = &mut self.release_key {
            key.shares.insert(reseal.share.member.clone(), reseal.share.sha256);
        }
    }
}
