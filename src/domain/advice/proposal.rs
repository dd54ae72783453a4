//! Rules that advice proposes: only such as the terms stay sound with.

use std::fmt;

use crate::domain::calendar::Period;
use crate::domain::id::{Role, RuleName};
use crate::domain::needs::{All, Needs, Seats};
use crate::domain::soundness;
use crate::domain::terms::{Grants, Rule, Terms, limit};
use crate::domain::trigger::Trigger;

/// A rule by which people agree, the depositor among them, and need nothing but their word.
pub(super) struct Proposal {
    name: RuleName,
    /// The better name, where another rule has it.
    taken: Option<RuleName>,
    requester: Role,
    consenting: Vec<Role>,
}

/// Whose consent is asked for first: that of whoever asks means least, as it wants the release.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Choice {
    Holder,
    NoHolder,
    Asking,
}

impl Choice {
    const ALL: [Self; 3] = [Self::Holder, Self::NoHolder, Self::Asking];

    fn of(terms: &Terms, requester: &Role, role: &Role) -> Self {
        match (role == requester, terms.holders.contains(role)) {
            (true, _) => Self::Asking,
            (false, true) => Self::Holder,
            (false, false) => Self::NoHolder,
        }
    }
}

impl Proposal {
    /// One that does without some role, if it has to. Under it ask those who do so already, and as
    /// few consent as can. `None` where there is none that the terms would be sound with.
    pub(super) fn find(terms: &Terms, wanted: &str, without: Option<&Role>) -> Option<Self> {
        let (name, taken) = free_name(terms, wanted)?;
        let depositor = Role::depositor();
        let is_able =
            |role: &&Role| **role != depositor && Some(*role) != without && !is_judge(terms, role);
        let asking = terms.rules.iter().flat_map(|rule| &rule.requesters).filter(is_able);
        let mut requesters: Vec<_> = asking.collect();
        if requesters.is_empty() {
            requesters.extend(terms.holders.iter().filter(is_able));
        }
        for last in Choice::ALL {
            for requester in &requesters {
                let choice = |role: &&Role| Choice::of(terms, requester, role);
                let mut able: Vec<_> = terms.parties.keys().filter(is_able).collect();
                able.retain(|role| choice(role) <= last);
                able.sort_by_key(choice);
                let mut proposed = (1..=able.len()).map(|others| Self {
                    name: name.clone(),
                    taken: taken.clone(),
                    requester: (*requester).clone(),
                    consenting: [&depositor]
                        .into_iter()
                        .chain(able.iter().copied().take(others))
                        .cloned()
                        .collect(),
                });
                let found = proposed.find(|it| soundness::stays_sound(terms, &it.rule()));
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    fn rule(&self) -> Rule {
        let one_of = |role: &Role| Needs::Seats(Seats { count: 1, role: role.clone() });
        Rule {
            name: self.name.clone(),
            requesters: vec![self.requester.clone()],
            trigger: Trigger::Joint,
            needs: Needs::All(All { all: self.consenting.iter().map(one_of).collect() }),
            distinct_organisations: None,
            reviewers: Vec::new(),
            notice: Period::default(),
            vote: None,
            objection: Vec::new(),
            settled_by: None,
            expires: limit::EXPIRES_DEFAULT,
            grants: Grants::All,
            duty: None,
            access: None,
        }
    }
}

/// As somebody writes it into the terms.
impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, taken, requester, consenting } = self;
        write!(f, "named {name}")?;
        if let Some(taken) = taken {
            write!(f, ", as there is one named {taken} already")?;
        }
        let all: Vec<_> = consenting.iter().map(|role| format!("\"1@{role}\"")).collect();
        write!(f, ": requester = \"{requester}\", needs = {{ all = [{}] }}", all.join(", "))
    }
}

/// Whether it only decides about objections: it stays out of what it may have to decide about.
fn is_judge(terms: &Terms, role: &Role) -> bool {
    let awards = terms.rules.iter().filter_map(|rule| rule.settled_by.as_ref()?.award.as_ref());
    awards.flat_map(Needs::roles).any(|judge| judge == *role)
        && !terms.rules.iter().any(|rule| rule.consenting_roles().contains(role))
}

/// This name or, where a rule has it or it is none, another one; and whether a rule has it.
fn free_name(terms: &Terms, wanted: &str) -> Option<(RuleName, Option<RuleName>)> {
    let is_free = |name: &RuleName| terms.rule(name).is_none();
    let wanted = wanted.parse::<RuleName>().ok();
    if let Some(free) = wanted.clone().filter(is_free) {
        return Some((free, None));
    }
    let others = (1..=limit::RULES_MAX).map(|n| match n {
        1 => "agreed".to_owned(),
        n => format!("agreed-{n}"),
    });
    let free = others.filter_map(|name| name.parse().ok()).find(is_free)?;
    Some((free, wanted))
}
