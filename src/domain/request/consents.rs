//! What the rule of a request asks for, and how much of that is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::id::{MemberPath, OrganisationName, Role};
use crate::domain::needs::Alternative;
use crate::domain::request::{Act, Request};
use crate::domain::terms::Rule;
use crate::domain::time::Timestamp;

impl Request {
    /// Consents that are still good.
    pub fn standing_consents(&self, now: Timestamp) -> impl Iterator<Item = &Act> {
        self.consents.iter().filter(move |consent| now < self.consent_ends(consent))
    }

    /// When a consent stops being good.
    pub fn consent_ends(&self, consent: &Act) -> Timestamp {
        let vote = self.rule().and_then(|rule| rule.vote);
        vote.map_or(Timestamp::MAX, |vote| consent.at.after(vote))
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
    pub(super) fn seated<'a>(
        &self,
        people: impl Iterator<Item = &'a MemberPath>,
    ) -> BTreeMap<Role, u16> {
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
        // What is quick to find out comes first.
        self.organisations_missing(now) == 0
            && self.unreviewed().is_empty()
            && self.missing_consents(now).is_some_and(|open| open.is_empty())
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

    pub(super) fn consenting_organisations(&self, now: Timestamp) -> BTreeSet<&OrganisationName> {
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
}
