//! Requests: the whole way from asking to opening.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::agreement::Agreement;
use crate::domain::deposit::Deposit;
use crate::domain::id::{
    AgreementId, DepositId, Digest, MemberPath, OrganisationName, RequestId, Role,
};
use crate::domain::needs::Alternative;
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self, RequestRef, Withdrawn};
use crate::domain::terms::{Rule, Terms};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// Documents that may support one request.
pub const EVIDENCE_MAX: usize = 32;

/// A request as its agreement's stream tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// Under which agreement.
    pub agreement: AgreementId,
    /// The terms it is judged by, whatever happens to the agreement's.
    pub terms: Terms,
    /// Their version.
    pub terms_version: u32,
    /// Which deposit.
    pub deposit: DepositId,
    /// What the requester said.
    pub statement: statement::Request,
    /// Digest of that statement.
    pub statement_sha256: Digest,
    /// When it was opened, by the vault's time.
    pub opened_at: Timestamp,
    /// When notice has run, by the vault's time.
    pub notice_ends_at: Timestamp,
    /// When it lapses unless released.
    pub expires_at: Timestamp,
    /// Who said yes.
    pub consents: Vec<Act>,
    /// Whose shares were spent.
    pub contributions: Vec<Spent>,
    /// What was said against it.
    pub objections: Vec<Objection>,
    /// How it ended, if it did.
    pub outcome: Outcome,
}

/// Somebody did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Who.
    pub by: MemberPath,
    /// When, by the vault's time.
    pub at: Timestamp,
}

/// A holder's share was spent on a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// By whom.
    pub by: MemberPath,
    /// When, by the vault's time.
    pub at: Timestamp,
    /// Digest of the contribution.
    pub contribution_sha256: Digest,
}

/// Something said against a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// By whom.
    pub by: MemberPath,
    /// When, by the vault's time.
    pub at: Timestamp,
    /// Why.
    pub reason: Text,
    /// When it was taken back, if it was.
    pub withdrawn_at: Option<Timestamp>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not at all yet.
    Undecided,
    /// Contributions are handed out.
    Released {
        /// When.
        at: Timestamp,
    },
    /// The requester has taken delivery.
    Retrieved {
        /// When it was released.
        released_at: Timestamp,
        /// When delivery was last taken.
        at: Timestamp,
    },
    /// Taken back.
    Withdrawn {
        /// When.
        at: Timestamp,
    },
}

/// Where a request stands at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Consents are missing.
    Open,
    /// Consents are there; notice is running.
    Notice,
    /// Blocked.
    Objected,
    /// The rule is met; contributions are missing.
    Satisfied,
    /// Contributions are handed out.
    Released,
    /// Delivery was taken.
    Retrieved,
    /// Taken back.
    Withdrawn,
    /// Lapsed.
    Expired,
}

impl State {
    /// Every state there is.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Notice,
        Self::Objected,
        Self::Satisfied,
        Self::Released,
        Self::Retrieved,
        Self::Withdrawn,
        Self::Expired,
    ];

    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Notice => "notice",
            Self::Objected => "objected",
            Self::Satisfied => "satisfied",
            Self::Released => "released",
            Self::Retrieved => "retrieved",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Open => "wait for the missing consents; `escrow show` says whose",
            Self::Notice => "wait until notice has run; `escrow show` says until when",
            Self::Objected => "settle the objection with whoever raised it",
            Self::Satisfied => "wait for the missing contributions; `escrow show` says whose",
            Self::Released | Self::Retrieved => "the requester can run `escrow retrieve`",
            Self::Withdrawn | Self::Expired => "make a new request if it is still wanted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Request {
    /// The member who asks.
    pub fn requester(&self) -> &MemberPath {
        &self.statement.made.by
    }

    /// The rule it is judged by. A request of an unknown rule is never accepted.
    pub fn rule(&self) -> Option<&Rule> {
        self.terms.rule(&self.statement.rule)
    }

    /// Where the request stands.
    pub fn state(&self, now: Timestamp) -> State {
        match self.outcome {
            Outcome::Released { .. } => State::Released,
            Outcome::Retrieved { .. } => State::Retrieved,
            Outcome::Withdrawn { .. } => State::Withdrawn,
            Outcome::Undecided if now >= self.expires_at => State::Expired,
            Outcome::Undecided if self.standing_objections().next().is_some() => State::Objected,
            Outcome::Undecided if !self.is_consented() => State::Open,
            Outcome::Undecided if now < self.notice_ends_at => State::Notice,
            Outcome::Undecided => State::Satisfied,
        }
    }

    /// Objections not taken back.
    pub fn standing_objections(&self) -> impl Iterator<Item = &Objection> {
        self.objections.iter().filter(|objection| objection.withdrawn_at.is_none())
    }

    /// The seats still empty on the shortest way to meet the rule; `None` if the rule itself
    /// cannot be judged, which is never satisfied.
    pub fn missing_consents(&self) -> Option<Alternative> {
        let mut seated: BTreeMap<Role, u16> = BTreeMap::new();
        let people: BTreeSet<_> = self.consents.iter().map(|consent| &consent.by).collect();
        for person in people.into_iter().filter(|person| *person != self.requester()) {
            if let Some(role) = self.terms.role_of(&person.organisation) {
                let seats = seated.entry(role.clone()).or_default();
                *seats = seats.saturating_add(1);
            }
        }
        self.rule()?.needs.missing(&seated).ok()
    }

    fn is_consented(&self) -> bool {
        self.missing_consents().is_some_and(|open| open.is_empty())
            && self.consenting_organisations().len() >= 2
    }

    fn consenting_organisations(&self) -> BTreeSet<&OrganisationName> {
        self.consents.iter().map(|consent| &consent.by.organisation).collect()
    }

    /// Whether this member's consent could fill a seat.
    pub fn may_consent(&self, member: &MemberPath) -> bool {
        let role = self.terms.role_of(&member.organisation);
        let alternatives = self.rule().and_then(|rule| rule.needs.alternatives().ok());
        member != self.requester()
            && alternatives
                .into_iter()
                .flatten()
                .any(|way| role.is_some_and(|r| way.contains_key(r)))
    }

    /// Whether this member has consented.
    pub fn has_consented(&self, member: &MemberPath) -> bool {
        self.consents.iter().any(|consent| consent.by == *member)
    }

    /// Holders whose contribution the request could take: they consented, are not the
    /// requester's own organisation (which uses its share at home) and have not contributed.
    pub fn awaited_holders(&self) -> Vec<&OrganisationName> {
        let requester = &self.requester().organisation;
        self.consenting_organisations()
            .into_iter()
            .filter(|who| *who != requester && self.terms.is_holder(who))
            .filter(|who| !self.has_contributed(who))
            .collect()
    }

    /// How many more contributions release the request.
    pub fn contributions_missing(&self) -> usize {
        let needed = self.terms.contributions_needed(&self.requester().organisation);
        needed.saturating_sub(self.contributions.len())
    }

    /// Whether this holder's share was spent on it.
    pub fn has_contributed(&self, organisation: &OrganisationName) -> bool {
        self.contributions.iter().any(|spent| spent.by.organisation == *organisation)
    }

    fn refuse_unless(&self, now: Timestamp, states: &[State]) -> Result<(), Refusal> {
        let state = self.state(now);
        if states.contains(&state) { Ok(()) } else { Err(Refusal::RequestIs(state)) }
    }

    fn is_meant(&self, named: &RequestRef) -> Result<(), Refusal> {
        if named.id == self.id && named.sha256 == self.statement_sha256 {
            Ok(())
        } else {
            Err(Refusal::Mismatch("the digest of the request"))
        }
    }

    fn not_entitled(&self, who: &MemberPath, what: &'static str) -> Refusal {
        let rule = self.statement.rule.clone();
        Refusal::NotEntitled { who: who.clone(), what, rule }
    }
}

const UNDECIDED: [State; 4] = [State::Open, State::Notice, State::Objected, State::Satisfied];

/// May this request be opened?
pub fn decide_request(
    agreement: &Agreement,
    deposit: &Deposit,
    request: &statement::Request,
) -> Result<(), Refusal> {
    agreement.in_force()?;
    deposit.is_stored()?;
    let key = agreement.key()?;
    let pins = [
        ("the digest of the terms", request.terms_sha256, agreement.terms_sha256),
        ("the digest of the release key", request.release_key_sha256, key.sha256),
        ("the release key of the deposit", key.sha256, deposit.statement.release_key_sha256),
        ("the digest of the deposit", request.deposit_sha256, deposit.statement_sha256),
        ("the digest of the bundle", request.bundle_sha256, deposit.statement.sha256),
        ("the digest of the header", request.header_sha256, deposit.statement.header_sha256),
    ];
    if let Some((what, _, _)) = pins.iter().find(|(_, named, actual)| named != actual) {
        return Err(Refusal::Mismatch(what));
    }
    if request.epoch != key.epoch {
        return Err(Refusal::Mismatch("the epoch of the release key"));
    }
    if request.evidence.len() > EVIDENCE_MAX {
        return Err(Refusal::Limit { what: "documents with this request", limit: EVIDENCE_MAX });
    }
    let rule = agreement
        .terms
        .rule(&request.rule)
        .ok_or_else(|| Refusal::NoSuchRule(request.rule.clone()))?;
    let by = &request.made.by;
    match agreement.terms.role_of(&by.organisation) {
        Some(role) if rule.requesters.contains(role) => Ok(()),
        Some(_) | None => {
            let rule = request.rule.clone();
            Err(Refusal::NotEntitled { who: by.clone(), what: "request", rule })
        }
    }
}

/// May this consent be counted?
pub fn decide_consent(
    request: &Request,
    consent: &statement::Consent,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &consent.made.by;
    request.is_meant(&consent.request)?;
    if by == request.requester() {
        return Err(Refusal::OwnRequest(by.clone()));
    }
    if request.has_consented(by) {
        return Err(Refusal::Already { who: by.to_string(), what: "consented" });
    }
    request.refuse_unless(now, &UNDECIDED)?;
    if request.may_consent(by) { Ok(()) } else { Err(request.not_entitled(by, "consent")) }
}

/// May this contribution be taken? Its mathematics is checked before, by whoever has it.
pub fn decide_contribution(
    agreement: &Agreement,
    request: &Request,
    deposit: &Deposit,
    contribution: &statement::Contribution,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &contribution.made.by;
    request.is_meant(&contribution.request)?;
    deposit.is_stored()?;
    if contribution.epoch != request.statement.epoch || contribution.epoch != agreement.key()?.epoch
    {
        return Err(Refusal::Mismatch("the epoch of the release key"));
    }
    if request.has_contributed(&by.organisation) {
        return Err(Refusal::Already { who: by.organisation.to_string(), what: "contributed" });
    }
    request.refuse_unless(now, &[State::Satisfied])?;
    if request.awaited_holders().contains(&&by.organisation) {
        Ok(())
    } else {
        Err(request.not_entitled(by, "contribute"))
    }
}

/// May this objection stand?
pub fn decide_objection(
    request: &Request,
    objection: &statement::Objection,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &objection.made.by;
    request.is_meant(&objection.request)?;
    if request.standing_objections().any(|standing| standing.by.organisation == by.organisation) {
        return Err(Refusal::Already { who: by.organisation.to_string(), what: "objected" });
    }
    request.refuse_unless(now, &UNDECIDED)?;
    let role = request.terms.role_of(&by.organisation);
    let objectors = request.rule().map_or(&[][..], |rule| &rule.objection);
    if role.is_some_and(|role| objectors.contains(role)) {
        Ok(())
    } else {
        Err(request.not_entitled(by, "object"))
    }
}

/// May this be taken back?
pub fn decide_withdrawal(
    request: &Request,
    withdrawal: &statement::Withdrawal,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &withdrawal.made.by;
    request.is_meant(&withdrawal.request)?;
    match withdrawal.withdrawn {
        Withdrawn::Request if by.organisation != request.requester().organisation => {
            Err(request.not_entitled(by, "withdraw somebody else's request"))
        }
        Withdrawn::Request => request.refuse_unless(now, &UNDECIDED),
        Withdrawn::Objection => {
            request.refuse_unless(now, &UNDECIDED)?;
            let organisation = &by.organisation;
            if request.standing_objections().any(|o| o.by.organisation == *organisation) {
                Ok(())
            } else {
                Err(Refusal::NotFound(format!("an objection of {organisation}")))
            }
        }
    }
}

/// May delivery be taken?
pub fn decide_retrieval(
    request: &Request,
    deposit: &Deposit,
    retrieval: &statement::Retrieval,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &retrieval.made.by;
    request.is_meant(&retrieval.request)?;
    if by != request.requester() {
        return Err(request.not_entitled(by, "retrieve"));
    }
    request.refuse_unless(now, &[State::Released, State::Retrieved])?;
    deposit.is_stored()
}

impl Request {
    /// A request was opened under an agreement whose terms were checked to have its rule.
    pub fn opened(
        agreement: &Agreement,
        statement: &statement::Request,
        sha256: Digest,
        at: Timestamp,
    ) -> Self {
        let rule = agreement.terms.rule(&statement.rule);
        Self {
            id: RequestId::of(&sha256),
            agreement: agreement.id.clone(),
            terms: agreement.terms.clone(),
            terms_version: agreement.version,
            deposit: statement.deposit.clone(),
            statement: statement.clone(),
            statement_sha256: sha256,
            opened_at: at,
            notice_ends_at: rule.map_or(Timestamp::MAX, |rule| at.after(rule.notice)),
            expires_at: rule.map_or(at, |rule| at.after(rule.expires)),
            consents: Vec::new(),
            contributions: Vec::new(),
            objections: Vec::new(),
            outcome: Outcome::Undecided,
        }
    }

    /// A consent was counted.
    pub fn consented(&mut self, by: &MemberPath, at: Timestamp) {
        self.consents.push(Act { by: by.clone(), at });
    }

    /// A share was spent; the last one needed releases.
    pub fn contributed(&mut self, contribution: &statement::Contribution, at: Timestamp) {
        let by = contribution.made.by.clone();
        let contribution_sha256 = contribution.contribution_sha256;
        self.contributions.push(Spent { by, at, contribution_sha256 });
        if self.contributions_missing() == 0 {
            self.outcome = Outcome::Released { at };
        }
    }

    /// An objection stands.
    pub fn objected(&mut self, objection: &statement::Objection, at: Timestamp) {
        let (by, reason) = (objection.made.by.clone(), objection.reason.clone());
        self.objections.push(Objection { by, at, reason, withdrawn_at: None });
    }

    /// Something was taken back.
    pub fn withdrawn(&mut self, withdrawal: &statement::Withdrawal, at: Timestamp) {
        match withdrawal.withdrawn {
            Withdrawn::Request => self.outcome = Outcome::Withdrawn { at },
            Withdrawn::Objection => {
                let organisation = &withdrawal.made.by.organisation;
                let standing = |o: &&mut Objection| {
                    o.withdrawn_at.is_none() && o.by.organisation == *organisation
                };
                self.objections
                    .iter_mut()
                    .filter(standing)
                    .for_each(|objection| objection.withdrawn_at = Some(at));
            }
        }
    }

    /// Delivery was taken.
    pub fn retrieved(&mut self, now: Timestamp) {
        match self.outcome {
            Outcome::Released { at: released_at } | Outcome::Retrieved { released_at, .. } => {
                self.outcome = Outcome::Retrieved { released_at, at: now };
            }
            Outcome::Undecided | Outcome::Withdrawn { .. } => {}
        }
    }
}
