//! What it comes to when organisations that the terms take for several have one owner.

use std::collections::BTreeSet;

use crate::domain::advice::{Code, Finding, wants_release};
use crate::domain::id::{OrganisationName, Role};
use crate::domain::needs::Alternative;
use crate::domain::terms::{Rule, Terms};
use crate::domain::text::listed;

/// Advises on such a group, if more than one of it are parties or run the vault.
pub(super) fn one_roof(
    terms: &Terms,
    group: &BTreeSet<OrganisationName>,
    operator: Option<&OrganisationName>,
) -> Option<Finding> {
    let runs_vault = operator.is_some_and(|operator| group.contains(operator));
    let is_concerned =
        |who: &&OrganisationName| terms.role_of(who).is_some() || operator == Some(*who);
    let concerned: Vec<_> = group.iter().filter(is_concerned).collect();
    if concerned.len() < 2 {
        return None;
    }
    let shares = group.iter().filter(|who| terms.is_holder(who)).count();
    let (quorum, mut does) = (usize::from(terms.quorum), Vec::new());
    if runs_vault {
        does.push("runs the vault, where every sealed bundle lies".to_owned());
    }
    if shares >= quorum {
        does.push(format!("holds {shares} shares, and {quorum} open a bundle without any rule"));
    }
    let named = |which: fn(&Terms, &Rule, &BTreeSet<OrganisationName>) -> bool| {
        let rules: Vec<_> = terms.rules.iter().filter(|rule| which(terms, rule, group)).collect();
        (!rules.is_empty()).then(|| listed(rules.iter().map(|rule| &rule.name), "and"))
    };
    does.extend(named(meets).map(|rules| format!("gives all consents that {rules} takes")));
    does.extend(named(judges).map(|rules| format!("is a side under {rules} and makes the award")));
    if does.is_empty() {
        does.push("learns in one of them what the other is told".to_owned());
    }
    let who = listed(concerned, "and");
    Some(Finding::advice(
        Code::OneRoof,
        format!(
            "{who} are under one roof, and count here as if they were not. Their owner {}.",
            does.join(", and ")
        ),
        "Let somebody under another roof take the place of one of them; or ask in needs for one more \
         consent of somebody else, and raise quorum with it.",
    ))
}

/// Whether somebody of each role of this way is in the group.
fn fills(terms: &Terms, way: &Alternative, group: &BTreeSet<OrganisationName>) -> bool {
    way.keys().all(|role| terms.in_role(role).iter().any(|who| group.contains(who)))
}

/// Whether nobody else has to consent.
fn meets(terms: &Terms, rule: &Rule, group: &BTreeSet<OrganisationName>) -> bool {
    let roles = rule.consenting_roles();
    let able = roles.iter().flat_map(|role| terms.in_role(role));
    let is_enough = able.filter(|who| group.contains(*who)).count() >= rule.organisations_needed();
    let ways = rule.needs.alternatives().unwrap_or_default();
    is_enough && ways.iter().any(|way| fills(terms, way, group))
}

/// Whether the award comes from a group that has another part in it.
fn judges(terms: &Terms, rule: &Rule, group: &BTreeSet<OrganisationName>) -> bool {
    let Some(award) = rule.settled_by.as_ref().and_then(|by| by.award.as_ref()) else {
        return false;
    };
    let ways = award.alternatives().unwrap_or_default();
    let judges = award.roles();
    let is_side = |role: &Role| {
        let has_part = wants_release(rule, role) || rule.objection.contains(role);
        has_part && !judges.contains(role)
    };
    let sides = group.iter().filter_map(|who| terms.role_of(who)).any(is_side);
    sides && ways.iter().any(|way| fills(terms, way, group))
}
