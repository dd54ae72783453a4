//! Who has to be shown a request, who stands against it, and what ends that.

use crate::domain::id::{MemberPath, OrganisationName, Role};
use crate::domain::needs::{Alternative, Needs};
use crate::domain::request::{Objection, Request};
use crate::domain::statement::Basis;
use crate::domain::terms::SettledBy;
use crate::domain::time::Timestamp;

impl Request {
    /// Objections neither taken back nor settled.
    pub fn standing_objections(&self) -> impl Iterator<Item = &Objection> {
        self.objections
            .iter()
            .filter(|objection| objection.withdrawn.is_none() && !self.is_settled(objection))
    }

    /// Whether an objection of this organisation stands.
    pub fn is_objected_by(&self, organisation: &OrganisationName) -> bool {
        self.standing_objections().any(|objection| objection.by.organisation == *organisation)
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

    /// When notice has run for a holder whose home has known of the request since `own`: it runs from
    /// what the vault cannot make alone. That is the first sight in that home, the first sights of all
    /// who may object, or a time-stamp by the authority that the terms pin, whichever was earliest.
    ///
    /// Where somebody may object the time-stamp does not count. It tells that the request was there, not
    /// that anybody was shown it: a vault that withholds the request from an objector would take its time
    /// from it. And requester and vault together can have stamped what they keep to themselves.
    pub fn notice_ends_for(&self, own: Timestamp) -> Timestamp {
        let is_blockable = self.objectors().next().is_some();
        let stamped = self.stamped.as_ref().filter(|_| !is_blockable).map(|it| it.stamped_at);
        let known = [self.first_sight(), stamped].into_iter().flatten().fold(own, Timestamp::min);
        self.rule().map_or(Timestamp::MAX, |rule| self.terms.notice_ends(rule, known))
    }
}
