//! The diary of a trial: what happened, from accepted statements alone, and the promises said anew.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::domain::calendar::Period;
use crate::domain::id::{DepositId, MemberPath, OrganisationName, Role};
use crate::domain::needs::Needs;
use crate::domain::statement::{Acknowledged, Basis, Reason};
use crate::domain::terms::{Grants, Rule, Terms};
use crate::domain::tests::terms::{is_met, is_rule_met};
use crate::domain::tests::world::Case;
use crate::domain::time::Timestamp;
use crate::domain::trigger::Trigger;

/// Who let whom in and who was put out, in order.
#[derive(Default)]
pub(super) struct Members {
    let_in: Vec<LetIn>,
    put_out: Vec<(MemberPath, Reason)>,
}

/// A member was confirmed.
struct LetIn {
    who: MemberPath,
    by: MemberPath,
    at: Timestamp,
    is_administrator: bool,
    /// How many had been put out before.
    put_out: usize,
}

impl Members {
    pub(super) fn let_in(&mut self, who: &MemberPath, by: &MemberPath, at: Timestamp, admin: bool) {
        let (who, by, put_out) = (who.clone(), by.clone(), self.put_out.len());
        self.let_in.push(LetIn { who, by, at, is_administrator: admin, put_out });
    }

    pub(super) fn put_out(&mut self, who: &MemberPath, reason: Reason) {
        self.put_out.push((who.clone(), reason));
    }

    /// Whether a confirmation still holds: whoever gave it was in, and it has not turned out since
    /// that a thief gave it. The first member's own is the organisation's.
    fn holds(&self, n: usize) -> bool {
        let one = &self.let_in[n];
        let found_out = &self.put_out[one.put_out..];
        let is_thiefs = found_out.iter().any(|(who, why)| *who == one.by && voids(*why, one.at));
        let was_in = || (0..n).any(|k| self.let_in[k].is_of(&one.by, one.at) && self.holds(k));
        one.who == one.by || (!is_thiefs && was_in())
    }

    /// What of this member's doings counts: what it did while it was in, with keys not stolen yet.
    pub(super) fn counts(&self, who: &MemberPath, at: Timestamp) -> bool {
        let mut confirmed = (0..self.let_in.len()).filter(|n| self.let_in[*n].is_of(who, at));
        confirmed.any(|n| self.holds(n)) && !self.reasons(who).any(|why| voids(why, at))
    }

    fn standing(&self, who: &MemberPath) -> Option<&LetIn> {
        let mut confirmed = (0..self.let_in.len()).filter(|n| self.let_in[*n].who == *who);
        confirmed.find(|n| self.holds(*n)).map(|n| &self.let_in[n])
    }

    pub(super) fn is_out(&self, who: &MemberPath) -> bool {
        self.reasons(who).next().is_some()
    }

    /// Whether it may act now.
    pub(super) fn is_in(&self, who: &MemberPath) -> bool {
        self.standing(who).is_some() && !self.is_out(who)
    }

    pub(super) fn is_administrator(&self, who: &MemberPath) -> bool {
        self.standing(who).is_some_and(|one| one.is_administrator) && !self.is_out(who)
    }

    /// Whether it was confirmed, and whoever confirmed it has turned out to be a thief.
    pub(super) fn is_shut_out(&self, who: &MemberPath) -> bool {
        self.let_in.iter().any(|one| one.who == *who) && self.standing(who).is_none()
    }

    pub(super) fn reasons(&self, who: &MemberPath) -> impl Iterator<Item = Reason> {
        self.put_out.iter().filter(move |(out, _)| out == who).map(|(_, why)| *why)
    }
}

impl LetIn {
    fn is_of(&self, who: &MemberPath, at: Timestamp) -> bool {
        self.who == *who && self.at <= at
    }
}

/// Whether who was put out for this reason is not believed for what it did then.
fn voids(why: Reason, at: Timestamp) -> bool {
    match why {
        Reason::Left => false,
        Reason::CompromisedSince(since) => since <= at,
    }
}

/// A request as the diary has it.
pub(super) struct Entry {
    pub case: Case,
    pub terms: Terms,
    pub rule: Rule,
    pub requester: MemberPath,
    pub deposit: DepositId,
    pub opened_at: Timestamp,
    pub consents: BTreeMap<MemberPath, Timestamp>,
    pub contributions: BTreeMap<MemberPath, Timestamp>,
    pub objections: Vec<Objected>,
    /// Who has attested what its rule asks for.
    pub attested: Vec<(MemberPath, Timestamp)>,
    /// Who has signed that it has seen it.
    pub seen: Vec<(MemberPath, Timestamp)>,
    /// Who has shown to know of it.
    pub aware: Vec<(MemberPath, Timestamp)>,
    pub notified: Vec<(MemberPath, Timestamp)>,
    pub is_withdrawn: bool,
    pub is_released: bool,
    pub is_retrieved: bool,
    pub released_at: Option<Timestamp>,
    /// How often its bundle was fetched.
    pub fetched: u16,
    /// What was said of the bundle, each by each organisation once.
    pub acknowledged: Vec<(OrganisationName, Acknowledged)>,
    /// When it was there, by the authority that the terms pin.
    pub stamped_at: Option<Timestamp>,
}

/// Who objected when, who said when that it is settled, and who took it back when.
pub(super) struct Objected {
    pub by: MemberPath,
    pub at: Timestamp,
    pub settled: Vec<(MemberPath, Timestamp, Basis)>,
    pub withdrawn: Option<(MemberPath, Timestamp)>,
}

impl Entry {
    /// Takes out what does not count any more, unless it was released.
    pub(super) fn judge(&mut self, members: &Members) {
        if self.is_released {
            return;
        }
        let counts = |by: &MemberPath, at: Timestamp| members.counts(by, at);
        self.consents.retain(|by, at| counts(by, *at));
        self.contributions.retain(|by, at| counts(by, *at));
        self.attested.retain(|(by, at)| counts(by, *at));
        self.seen.retain(|(by, at)| counts(by, *at));
        self.aware.retain(|(by, at)| counts(by, *at));
        self.notified.retain(|(by, at)| counts(by, *at));
        self.objections.retain(|objected| counts(&objected.by, objected.at));
        for objected in &mut self.objections {
            objected.withdrawn.take_if(|(by, at)| !counts(by, *at));
            objected.settled.retain(|(by, at, _)| counts(by, *at));
        }
        self.is_withdrawn |= !counts(&self.requester, self.opened_at);
    }

    pub(super) fn objecting(&self) -> BTreeSet<&OrganisationName> {
        let is_over = |o: &Objected| o.withdrawn.is_some() || self.is_settled(o);
        let standing = self.objections.iter().filter(|objected| !is_over(objected));
        standing.map(|objected| &objected.by.organisation).collect()
    }

    /// Whether as many have said so, on one basis, as its rule asks for.
    pub(super) fn is_settled(&self, objected: &Objected) -> bool {
        let Some(settled_by) = &self.rule.settled_by else { return false };
        settled_by.each().any(|(basis, needs)| {
            let said = objected.settled.iter().filter(|(_, _, on)| *on == basis);
            is_met(needs, &self.seats(said.map(|(by, _, _)| by)))
        })
    }

    /// How many people there are of each role.
    fn seats<'a>(&self, people: impl Iterator<Item = &'a MemberPath>) -> BTreeMap<Role, u16> {
        let mut seats = BTreeMap::new();
        for by in people.collect::<BTreeSet<_>>() {
            *seats.entry(self.terms.role_of(&by.organisation).unwrap().clone()).or_default() += 1;
        }
        seats
    }

    /// Who has consented, where that is still good.
    pub(super) fn standing(&self, now: Timestamp) -> impl Iterator<Item = &MemberPath> {
        let is_good = move |at: Timestamp| self.rule.vote.is_none_or(|vote| now < at.after(vote));
        self.consents.iter().filter(move |(_, at)| is_good(**at)).map(|(by, _)| by)
    }

    /// Whether a share may be spent on it now: the promises, said anew.
    pub(super) fn is_due(&self, now: Timestamp) -> Result<(), TestCaseError> {
        let organisations: BTreeSet<_> = self.standing(now).map(|by| &by.organisation).collect();
        prop_assert!(organisations.len() >= 2, "promise 2: consents of one organisation");
        prop_assert!(
            self.standing(now).all(|by| *by != self.requester),
            "promise 2: the requester's own"
        );
        let mut people = BTreeMap::<OrganisationName, u16>::new();
        for by in self.standing(now) {
            *people.entry(by.organisation.clone()).or_default() += 1;
        }
        let is_enough = is_rule_met(&self.terms, &self.rule, &people);
        prop_assert!(is_enough, "promise 5: its rule is not met");
        prop_assert!(
            now >= self.terms.notice_ends(&self.rule, self.opened_at),
            "notice had not run"
        );
        prop_assert!(now < self.opened_at.after(self.rule.expires), "it had lapsed");
        prop_assert!(self.objecting().is_empty(), "promise 6: under objection");
        let objectors = self.rule.objection.iter().flat_map(|role| self.terms.in_role(role));
        for who in objectors.filter(|who| **who != self.requester.organisation) {
            let shown = self.aware.iter().any(|(by, _)| by.organisation == *who);
            let knows = !self.notified.is_empty() || shown;
            prop_assert!(knows, "promise 6: {who} may object and knows nothing");
        }
        let attested = self.seats(self.attested.iter().map(|(by, _)| by));
        let is_triggered = self.rule.trigger.attested().is_none_or(|by| is_met(by, &attested));
        prop_assert!(is_triggered, "too few have attested what its rule asks for");
        let is_late = self.rule.trigger.date().is_none_or(|date| now >= date);
        prop_assert!(is_late, "it is too early for its rule");
        let reviewers = self.rule.reviewers.iter().flat_map(|role| self.terms.in_role(role));
        for who in reviewers.filter(|who| **who != self.requester.organisation) {
            let has_seen = self.seen.iter().any(|(by, _)| by.organisation == *who);
            prop_assert!(has_seen, "{who} has to review it and has not");
        }
        prop_assert!(!self.is_withdrawn, "it was taken back");
        Ok(())
    }

    /// Which words of its rule, and its terms, it was released through now.
    pub(super) fn feats(&self, now: Timestamp) -> Vec<&'static str> {
        let Rule { trigger, needs, distinct_organisations, reviewers, vote, .. } = &self.rule;
        let word = match trigger {
            Trigger::Joint => "released on consents alone",
            Trigger::Event { .. } => "released on an event",
            Trigger::Order { .. } => "released on an order",
            Trigger::Missed { .. } => "released on missed deposits",
            Trigger::Silence { .. } => "released on silence",
            Trigger::Date(_) => "released on a date",
        };
        let is_settled = self.objections.iter().any(|objected| self.is_settled(objected));
        let said = [
            (!matches!(needs, Needs::Seats(_)), "released by nested needs"),
            (distinct_organisations.is_some(), "released by distinct organisations"),
            (!reviewers.is_empty(), "released after review"),
            (vote.is_some(), "released within a vote"),
            (is_settled, "released after a settlement"),
            (matches!(self.rule.notice, Period::WorkingDays(_)), "released after working days"),
            (self.rule.grants != Grants::All, "released where not every deposit may be"),
            (self.rule.duty.is_some(), "released under a duty"),
            (self.terms.term.is_some_and(|term| now >= term), "released when the term was over"),
        ];
        let said = said.into_iter().filter_map(|(is_so, feat)| is_so.then_some(feat));
        said.chain([word]).collect()
    }

    pub(super) fn shares(&self) -> usize {
        let own = &self.requester.organisation;
        let contributed = self.contributions.keys().map(|by| &by.organisation);
        let holding = contributed.chain([own]).collect::<BTreeSet<_>>();
        holding.into_iter().filter(|who| self.terms.is_holder(who)).count()
    }
}
