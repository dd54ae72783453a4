//! Requests: the whole way from asking to opening.

mod apply;
mod decide;
mod duty;

pub use decide::*;
pub use duty::{Acknowledgement, DutyState};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::id::{
    AgreementId, DepositId, Digest, MemberPath, OrganisationName, RequestId, Role,
};
use crate::domain::needs::{Alternative, Needs};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self, Basis, Evidence};
use crate::domain::terms::{Access, Rule, SettledBy, Terms, TimeStamps};
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
    /// very asking does not count is as good as withdrawn.
    pub(super) fn judged(&self, counts: impl Fn(&MemberPath, Timestamp) -> bool) -> Self {
        let mut judged = self.clone();
        match self.outcome {
            Outcome::Undecided | Outcome::Withdrawn { .. } => {}
            Outcome::Released { .. } | Outcome::Retrieved { .. } => return judged,
        }
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
        judged
    }

    /// Objections neither taken back nor settled.
    pub fn standing_objections(&self) -> impl Iterator<Item = &Objection> {
        self.objections
            .iter()
            .filter(|objection| objection.withdrawn.is_none() && !self.is_settled(objection))
    }

    /// Whether as many have said that an objection is settled as the rule asks for.
    pub fn is_settled(&self, objection: &Objection) -> bool {
        self.settling(objection).iter().any(|(_, missing)| missing.is_empty())
    }

    /// On what basis an objection can be settled, and whose word that still lacks. What was said on
    /// one basis does nothing on another.
    pub fn settling(&self, objection: &Objection) -> Vec<(Basis, Alternative)> {
        let settled_by = self.rule().and_then(|rule| rule.settled_by.as_ref());
        let each = settled_by.into_iter().flat_map(SettledBy::each);
        let missing = |(basis, needs): (Basis, &Needs)| {
            let said = objection.settlements.iter().filter(|settled| settled.basis == basis);
            let seated = self.seated(said.map(|settled| &settled.by));
            Some((basis, needs.missing(&seated).ok()?))
        };
        each.filter_map(missing).collect()
    }

    /// Organisations that have to have seen the request, and have not: until they have, no consent
    /// counts. The requester's own reviews nothing.
    pub fn unreviewed(&self) -> Vec<&OrganisationName> {
        let has_seen =
            |who: &OrganisationName| self.sights.iter().any(|sight| sight.by.organisation == *who);
        self.reviewers().filter(|who| !has_seen(who)).collect()
    }

    fn reviewers(&self) -> impl Iterator<Item = &OrganisationName> {
        self.others_in(self.rule().map_or(&[][..], |rule| &rule.reviewers))
    }

    /// The organisations in these roles, other than the requester's own.
    fn others_in(&self, roles: &[Role]) -> impl Iterator<Item = &OrganisationName> {
        let requester = &self.requester().organisation;
        roles.iter().flat_map(|role| self.terms.in_role(role)).filter(move |who| *who != requester)
    }

    /// Whether this organisation's sight means anything: it may object, or has to review.
    pub fn is_to_see(&self, organisation: &OrganisationName) -> bool {
        self.objectors().chain(self.reviewers()).any(|who| who == organisation)
    }

    /// Organisations that may object, other than the requester's own.
    pub fn objectors(&self) -> impl Iterator<Item = &OrganisationName> {
        self.others_in(self.rule().map_or(&[][..], |rule| &rule.objection))
    }

    /// Organisations that may object and have neither seen the request nor been notified of it:
    /// until they know, no share is spent.
    pub fn unaware(&self) -> Vec<&OrganisationName> {
        if !self.notifications.is_empty() {
            return Vec::new();
        }
        let sights = self.sights.iter().map(|sight| &sight.by);
        let consents = self.consents.iter().map(|consent| &consent.by);
        let objections = self.objections.iter().map(|objection| &objection.by);
        let acted: Vec<_> = sights.chain(consents).chain(objections).collect();
        self.objectors().filter(|who| acted.iter().all(|by| by.organisation != **who)).collect()
    }

    /// Whether this member should say that it has seen the request.
    pub fn awaits_sight_by(&self, member: &MemberPath) -> bool {
        self.is_to_see(&member.organisation) && !self.sights.iter().any(|sight| sight.by == *member)
    }

    /// The authority that is to be asked for a time-stamp of it now: the terms pin one, it has given
    /// none, and the request has not ended.
    pub fn awaits_stamp(&self, now: Timestamp) -> Option<&TimeStamps> {
        let pinned = self.terms.time_stamps.as_ref()?;
        (self.stamped.is_none() && UNDECIDED.contains(&self.state(now))).then_some(pinned)
    }

    /// Since when everybody who may object has known of the request, by their own clocks: the
    /// latest of the organisations' first sights. `None` while one of them has signed none, so
    /// that nobody's word on what it has seen runs another's notice.
    pub fn first_sight(&self) -> Option<Timestamp> {
        let first_of = |who: &OrganisationName| {
            let own = self.sights.iter().filter(|sight| sight.by.organisation == *who);
            own.map(|sight| sight.seen_at).min()
        };
        let firsts: Option<Vec<_>> = self.objectors().map(first_of).collect();
        firsts?.into_iter().max()
    }

    /// Consents that are still good.
    pub fn standing_consents(&self, now: Timestamp) -> impl Iterator<Item = &Act> {
        self.consents.iter().filter(move |consent| now < self.consent_ends(consent))
    }

    /// When a consent stops being good.
    pub fn consent_ends(&self, consent: &Act) -> Timestamp {
        let vote = self.rule().and_then(|rule| rule.vote);
        vote.map_or(Timestamp::MAX, |vote| consent.at.after(vote))
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

    /// The seats still empty on the shortest way to meet the rule; `None` if the rule itself
    /// cannot be judged, which is never satisfied.
    pub fn missing_consents(&self, now: Timestamp) -> Option<Alternative> {
        self.shortest_ways(now)?.into_iter().next()
    }

    /// The same for every way to meet the rule that is as short as the shortest.
    pub fn shortest_ways(&self, now: Timestamp) -> Option<Vec<Alternative>> {
        let people = self.standing_consents(now).map(|consent| &consent.by);
        let seated = self.seated(people.filter(|person| *person != self.requester()));
        self.rule()?.needs.shortest(&seated).ok()
    }

    /// How many different people there are of each role.
    fn seated<'a>(&self, people: impl Iterator<Item = &'a MemberPath>) -> BTreeMap<Role, u16> {
        let mut seated: BTreeMap<Role, u16> = BTreeMap::new();
        for person in people.collect::<BTreeSet<_>>() {
            if let Some(role) = self.terms.role_of(&person.organisation) {
                let seats = seated.entry(role.clone()).or_default();
                *seats = seats.saturating_add(1);
            }
        }
        seated
    }

    /// Whether what its rule asks for has happened.
    pub fn is_triggered(&self, now: Timestamp) -> bool {
        let is_attested = || self.missing_attestations().is_some_and(|open| open.is_empty());
        let is_time = |rule: &Rule| rule.trigger.date().is_none_or(|date| now >= date);
        self.rule().is_some_and(is_time) && is_attested()
    }

    /// Whose attestations its rule still asks for; `None` if that cannot be judged.
    pub fn missing_attestations(&self) -> Option<Alternative> {
        let Some(attested) = self.rule()?.trigger.attested() else {
            return Some(Alternative::new());
        };
        attested.missing(&self.seated(self.attestations.iter().map(|it| &it.by))).ok()
    }

    /// Whether consents are there that meet the rule, and count.
    pub fn is_consented(&self, now: Timestamp) -> bool {
        self.unreviewed().is_empty()
            && self.missing_consents(now).is_some_and(|open| open.is_empty())
            && self.organisations_missing(now) == 0
    }

    /// Of how many more organisations consents have to come, whoever fills the seats.
    pub fn organisations_missing(&self, now: Timestamp) -> usize {
        let needed = self.rule().map_or(2, Rule::organisations_needed);
        needed.saturating_sub(self.consenting_organisations(now).len())
    }

    /// Organisations whose members may consent and have not.
    pub fn other_organisations(&self, now: Timestamp) -> Vec<&OrganisationName> {
        let roles = self.rule().map(Rule::consenting_roles).unwrap_or_default();
        let consenting = self.consenting_organisations(now);
        let able = self
            .terms
            .organisations()
            .filter(|who| self.terms.role_of(who).is_some_and(|role| roles.contains(role)));
        able.filter(|who| !consenting.contains(who)).collect()
    }

    fn consenting_organisations(&self, now: Timestamp) -> BTreeSet<&OrganisationName> {
        self.standing_consents(now).map(|consent| &consent.by.organisation).collect()
    }

    /// Whether this member's consent could fill a seat.
    pub fn may_consent(&self, member: &MemberPath) -> bool {
        let role = self.terms.role_of(&member.organisation);
        let roles = self.rule().map(Rule::consenting_roles).unwrap_or_default();
        member != self.requester() && role.is_some_and(|role| roles.contains(role))
    }

    /// Whether this member has consented, and that is still good.
    pub fn has_consented(&self, member: &MemberPath, now: Timestamp) -> bool {
        self.standing_consents(now).any(|consent| consent.by == *member)
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
