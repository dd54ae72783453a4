//! Requests: the whole way from asking to opening.

mod apply;
mod consents;
mod decide;
mod dispute;
mod duty;

pub use decide::*;
pub use duty::{Acknowledgement, DutyState};

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::id::{AgreementId, DepositId, Digest, MemberPath, OrganisationName, RequestId};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self, Basis, Evidence, RequestRef};
use crate::domain::terms::{Access, Rule, Terms, TimeStamps};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// A request as its agreement's stream tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// Under which agreement.
    pub agreement: AgreementId,
    /// The terms it is judged by, whatever happens to the agreement's.
    pub terms: Arc<Terms>,
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
    /// Who has attested what its rule asks for.
    #[serde(default)]
    pub attestations: Vec<Attestation>,
    /// Who of those who may object has seen it.
    pub sights: Vec<Sight>,
    /// What shows that those who may object were notified.
    pub notifications: Vec<Notified>,
    /// What was said against it.
    pub objections: Vec<Objection>,
    /// What was said of the bundle since it was handed out.
    #[serde(default)]
    pub acknowledgements: Vec<Acknowledgement>,
    /// That the authority which the terms pin has time-stamped it.
    #[serde(default)]
    pub stamped: Option<Stamped>,
    /// How often its bundle was fetched, where its rule bounds that.
    #[serde(default)]
    pub fetched: u16,
    /// How it ended, if it did.
    pub outcome: Outcome,
}

/// The requests that one member has open in one agreement, and when each expires.
pub type OpenRequests = BTreeMap<RequestId, Timestamp>;

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

/// Somebody who may object has seen a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Who.
    pub by: MemberPath,
    /// When, by the vault's time.
    pub at: Timestamp,
    /// When, by the signer's own clock.
    pub seen_at: Timestamp,
}

/// An authority elsewhere has time-stamped a request. That is its own word, and stays whatever becomes
/// of whoever handed it in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// Who handed it in.
    pub by: MemberPath,
    /// When, by the vault's time.
    pub at: Timestamp,
    /// When the request was there, by the authority's.
    pub stamped_at: Timestamp,
}

/// Those who may object were notified, as somebody has recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// Who recorded it.
    pub by: MemberPath,
    /// When, by the vault's time.
    pub at: Timestamp,
    /// What shows it.
    pub evidence: Evidence,
}

/// Somebody has attested that what the rule asks for has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// Who.
    pub by: MemberPath,
    /// When, by the vault's time.
    pub at: Timestamp,
    /// What shows it.
    pub evidence: Vec<Evidence>,
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
    /// Who has said, while it stood, that it is settled.
    #[serde(default)]
    pub settlements: Vec<Settled>,
    /// Who took it back and when, if somebody did.
    pub withdrawn: Option<Act>,
}

impl Objection {
    /// Whether this member has said, on this basis, that it is settled.
    pub fn was_settled_by(&self, member: &MemberPath, basis: Basis) -> bool {
        self.settlements.iter().any(|said| said.by == *member && said.basis == basis)
    }
}

/// Somebody has said that an objection is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Who.
    pub by: MemberPath,
    /// When, by the vault's time.
    pub at: Timestamp,
    /// On what basis.
    pub basis: Basis,
    /// What shows it.
    pub evidence: Vec<Evidence>,
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
    /// Consents are there; notice is running, or somebody who may object knows nothing yet.
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
            Self::Released => "its requester can run `escrow retrieve`; nothing can be taken back",
            Self::Retrieved => "it was handed out; make a new request if it is wanted once more",
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
    /// How statements about it name it.
    pub fn named(&self) -> RequestRef {
        RequestRef { id: self.id.clone(), sha256: self.statement_sha256 }
    }

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
            Outcome::Undecided if !self.is_triggered(now) || !self.is_consented(now) => State::Open,
            Outcome::Undecided if now < self.notice_ends_at => State::Notice,
            Outcome::Undecided if !self.unaware().is_empty() => State::Notice,
            Outcome::Undecided => State::Satisfied,
        }
    }

    /// The request without the acts that do not count, by who did them and when. A request whose
    /// very asking does not count is as good as withdrawn. Nearly always all of it counts, and then it
    /// is not copied: with its terms it is large, and it is judged for every statement about it.
    pub(super) fn judged(&self, counts: impl Fn(&MemberPath, Timestamp) -> bool) -> Cow<'_, Self> {
        match self.outcome {
            Outcome::Undecided | Outcome::Withdrawn { .. } => {}
            Outcome::Released { .. } | Outcome::Retrieved { .. } => return Cow::Borrowed(self),
        }
        if self.acts().all(|(by, at)| counts(by, at)) {
            return Cow::Borrowed(self);
        }
        let mut judged = self.clone();
        judged.consents.retain(|consent| counts(&consent.by, consent.at));
        judged.contributions.retain(|spent| counts(&spent.by, spent.at));
        judged.attestations.retain(|attested| counts(&attested.by, attested.at));
        judged.sights.retain(|sight| counts(&sight.by, sight.at));
        judged.notifications.retain(|notified| counts(&notified.by, notified.at));
        judged.objections.retain(|objection| counts(&objection.by, objection.at));
        for objection in &mut judged.objections {
            objection.withdrawn.take_if(|act| !counts(&act.by, act.at));
            objection.settlements.retain(|settled| counts(&settled.by, settled.at));
        }
        if !counts(self.requester(), self.opened_at) {
            judged.outcome = Outcome::Withdrawn { at: self.opened_at };
        }
        Cow::Owned(judged)
    }

    /// Who did what may cease to count, and when. A time-stamp is its authority's word, and what was
    /// acknowledged was so after the release: these stay.
    fn acts(&self) -> impl Iterator<Item = (&MemberPath, Timestamp)> {
        let Self {
            opened_at,
            consents,
            contributions,
            attestations,
            sights,
            notifications,
            objections,
            id: _,
            agreement: _,
            terms: _,
            terms_version: _,
            deposit: _,
            statement: _,
            statement_sha256: _,
            notice_ends_at: _,
            expires_at: _,
            acknowledgements: _,
            stamped: _,
            fetched: _,
            outcome: _,
        } = self;
        let against = objections.iter().flat_map(|objection| {
            let Objection { by, at, settlements, withdrawn, reason: _ } = objection;
            let ended = withdrawn.iter().map(|act| (&act.by, act.at));
            let settled = settlements.iter().map(|settled| (&settled.by, settled.at));
            [(by, *at)].into_iter().chain(ended).chain(settled)
        });
        [(self.requester(), *opened_at)]
            .into_iter()
            .chain(consents.iter().map(|act| (&act.by, act.at)))
            .chain(contributions.iter().map(|spent| (&spent.by, spent.at)))
            .chain(attestations.iter().map(|attested| (&attested.by, attested.at)))
            .chain(sights.iter().map(|sight| (&sight.by, sight.at)))
            .chain(notifications.iter().map(|notified| (&notified.by, notified.at)))
            .chain(against)
    }

    /// The authority that is to be asked for a time-stamp of it now: the terms pin one, it has given
    /// none, and the request has not ended.
    pub fn awaits_stamp(&self, now: Timestamp) -> Option<&TimeStamps> {
        let pinned = self.terms.time_stamps.as_ref()?;
        (self.stamped.is_none() && UNDECIDED.contains(&self.state(now))).then_some(pinned)
    }

    /// What bounds the fetching of its bundle, if something does.
    pub fn access(&self) -> Option<Access> {
        self.rule()?.access
    }

    /// Until when its bundle may be fetched, once it is released and if that ends.
    pub fn access_ends(&self) -> Option<Timestamp> {
        Some(self.released_at()?.after(self.access()?.within?))
    }

    /// When it was released, if it was.
    pub fn released_at(&self) -> Option<Timestamp> {
        match self.outcome {
            Outcome::Released { at } | Outcome::Retrieved { released_at: at, .. } => Some(at),
            Outcome::Undecided | Outcome::Withdrawn { .. } => None,
        }
    }

    /// Whether its bundle may be fetched once more, as far as its rule goes.
    pub fn may_fetch(&self, now: Timestamp) -> Result<(), Refusal> {
        if let Some(until) = self.access_ends().filter(|until| now >= *until) {
            return Err(Refusal::AccessOver { until, now });
        }
        let times = self.access().and_then(|access| access.times);
        match times.filter(|times| self.fetched >= *times) {
            Some(times) => Err(Refusal::FetchedOften(times)),
            None => Ok(()),
        }
    }

    /// Holders whose contribution the request could take: they consented, are not the
    /// requester's own organisation (which uses its share at home) and have not contributed.
    pub fn awaited_holders(&self, now: Timestamp) -> Vec<&OrganisationName> {
        let requester = &self.requester().organisation;
        self.consenting_organisations(now)
            .into_iter()
            .filter(|who| *who != requester && self.terms.is_holder(who))
            .filter(|who| !self.has_contributed(who))
            .collect()
    }

    /// How many more contributions release the request. A holder has one share, however many of
    /// its members have spent it.
    pub fn contributions_missing(&self) -> usize {
        let needed = self.terms.contributions_needed(&self.requester().organisation);
        let holders: BTreeSet<_> = self.contributions.iter().map(|c| &c.by.organisation).collect();
        needed.saturating_sub(holders.len())
    }

    /// Whether this holder's share was spent on it.
    pub fn has_contributed(&self, organisation: &OrganisationName) -> bool {
        self.contributions.iter().any(|spent| spent.by.organisation == *organisation)
    }
}
