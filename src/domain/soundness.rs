//! Promise 3, checked before anybody signs: satisfied means openable, and never by one alone.

mod fault;
mod rule;
#[cfg(test)]
mod tests;

pub use fault::{Consents, Place, Unsound};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::amendment;
use crate::domain::id::{OrganisationName, Role, RuleName};
use crate::domain::needs::{Alternative, Needs};
use crate::domain::soundness::fault::SHARES;
use crate::domain::soundness::rule::{check_rule, rule_faults};
use crate::domain::statement::Basis;
use crate::domain::terms::{Format, Rule, SettledBy, Terms, limit};

/// Checks terms by themselves.
pub fn check(terms: &Terms) -> Result<(), Unsound> {
    check_parties(terms)?;
    check_holders(terms)?;
    check_whole(terms)?;
    check_rules(terms)?;
    terms.rules.iter().try_for_each(|rule| check_rule(terms, rule))
}

/// The same, going on behind what is wrong: at most one fault of each part. Where it is not clear
/// who the parties are, nothing else can be judged; and where it is not who holds how many shares,
/// nothing that takes them together.
pub fn faults(terms: &Terms) -> Vec<Unsound> {
    if let Err(fault) = check_parties(terms) {
        return vec![fault];
    }
    let shares = check_holders(terms).err();
    let rules = terms.rules.iter().flat_map(|rule| rule_faults(terms, rule));
    let can_tell = |fault: &Unsound| shares.is_none() || !matches!(fault, Unsound::Deadlock { .. });
    let rules: Vec<_> = rules.filter(can_tell).collect();
    let whole = [check_whole(terms).err(), check_rules(terms).err()];
    shares.into_iter().chain(whole.into_iter().flatten()).chain(rules).collect()
}

/// Whether terms that are sound stay so with one more rule.
pub fn stays_sound(terms: &Terms, rule: &Rule) -> bool {
    terms.rules.len() < limit::RULES_MAX
        && terms.rule(&rule.name).is_none()
        && check_rule(terms, rule).is_ok()
}

fn check_rules(terms: &Terms) -> Result<(), Unsound> {
    between("rules", terms.rules.len(), 1, limit::RULES_MAX)?;
    no_twins(&Place::Rules, terms.rules.iter().map(|rule| &rule.name))
}

/// What the terms say as a whole.
fn check_whole(terms: &Terms) -> Result<(), Unsound> {
    for (place, is_said) in [
        (Place::Amend, terms.amend.is_some()),
        (Place::Term, terms.term.is_some()),
        (Place::Calendar, terms.calendar.is_some()),
    ] {
        if is_said && terms.format < Format::Second {
            return Err(Unsound::Format(place));
        }
    }
    if let Some(amend) = &terms.amend {
        let unclear = |cause| Err(Unsound::Amend { what: "cannot be checked", cause: Some(cause) });
        if let Err(cause) = amend.alternatives_within() {
            return unclear(cause);
        }
        let roles: Vec<_> = amend.roles().into_iter().collect();
        known_roles(terms, Place::Amend, &roles)?;
        if let Some(what) = amendment::unsound(terms, amend) {
            return Err(Unsound::Amend { what, cause: None });
        }
    }
    if let Some(calendar) = &terms.calendar {
        between("holidays", calendar.holidays.len(), 0, limit::HOLIDAYS_MAX)?;
        let days = usize::try_from(calendar.days_listed()).unwrap_or(usize::MAX);
        between("days between holidays", days, 0, limit::HOLIDAYS_DAYS_MAX)?;
    }
    Ok(())
}

fn check_parties(terms: &Terms) -> Result<(), Unsound> {
    let depositors = terms.in_role(&Role::depositor()).len();
    if depositors != 1 {
        return Err(Unsound::Depositors(depositors));
    }
    if let Some((role, _)) = terms.parties.iter().find(|(_, who)| who.is_empty()) {
        return Err(Unsound::EmptyRole(role.clone()));
    }
    between("parties", terms.organisations().count(), 2, limit::PARTIES_MAX)?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = terms.organisations().find(|organisation| !seen.insert(*organisation)) {
        return Err(Unsound::TwoRoles(twice.clone()));
    }
    let pinned: BTreeSet<_> = terms.fingerprints.keys().collect();
    if let Some(odd) = seen.symmetric_difference(&pinned).next() {
        return Err(Unsound::Fingerprints((*odd).clone()));
    }
    let mut keys = BTreeMap::new();
    for (organisation, fingerprint) in &terms.fingerprints {
        if let Some(twin) = keys.insert(fingerprint, organisation) {
            return Err(Unsound::OneKey(twin.clone(), organisation.clone()));
        }
    }
    Ok(())
}

fn check_holders(terms: &Terms) -> Result<(), Unsound> {
    known_roles(terms, Place::Holders, &terms.holders)?;
    let holders = terms.holder_organisations().len();
    between("holders", holders, 2, limit::PARTIES_MAX)?;
    between(SHARES, terms.quorum.into(), 2, holders)
}

/// What a rule takes people for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// To consent.
    Consent,
    /// To attest what the rule asks for.
    Attest,
    /// To settle an objection on this basis.
    Settle(Basis),
}

/// A rule that an organisation has too few members for. Not an error: members may still join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooFewMembers {
    /// Which rule.
    pub rule: RuleName,
    /// What it takes them for.
    pub deed: Deed,
    /// In which role.
    pub role: Role,
    /// How many people of that role it takes; to consent, a requester of the same role included.
    pub needed: u16,
    /// How many there are.
    pub members: usize,
}

impl fmt::Display for TooFewMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, deed, role, needed, members } = self;
        let people = if *needed == 1 { "person" } else { "people" };
        let have = if *members == 1 { "has" } else { "have" };
        write!(f, "rule {rule} takes {needed} {people} of role {role} ")?;
        match deed {
            Deed::Consent => f.write_str("(who requests never consents)")?,
            Deed::Attest => f.write_str("to attest what it asks for")?,
            Deed::Settle(basis) => write!(f, "to settle an objection by {}", basis.noun())?,
        }
        write!(f, ", but only {members} {have} joined and been confirmed")
    }
}

/// Warns of rules that cannot be met by the members there are in any way, or under which nobody
/// could attest or settle what they say; of what the way that lacks least still lacks.
pub fn too_few_members(
    terms: &Terms,
    members: &BTreeMap<OrganisationName, usize>,
) -> Vec<TooFewMembers> {
    let people = |who: &OrganisationName| members.get(who).copied().unwrap_or(0);
    let lacking = |rule: &Rule, deed: Deed, way: Alternative| -> Vec<TooFewMembers> {
        let each = way.into_iter().map(|(role, seats)| {
            let asks = deed == Deed::Consent && rule.requesters.contains(&role);
            TooFewMembers {
                rule: rule.name.clone(),
                deed,
                needed: seats.saturating_add(asks.into()),
                members: terms.in_role(&role).iter().map(people).sum(),
                role,
            }
        });
        each.filter(|found| found.members < usize::from(found.needed)).collect()
    };
    let least = |rule: &Rule, deed: Deed, needs: &Needs| {
        let ways = needs.alternatives().unwrap_or_default().into_iter();
        let missing = |found: &Vec<TooFewMembers>| -> usize {
            found.iter().map(|found| usize::from(found.needed) - found.members).sum()
        };
        ways.map(|way| lacking(rule, deed, way)).min_by_key(missing).unwrap_or_default()
    };
    let each = terms.rules.iter().flat_map(|rule| {
        let attested = rule.trigger.attested().map(|needs| (Deed::Attest, needs));
        let settled = rule.settled_by.iter().flat_map(SettledBy::each);
        let settled = settled.map(|(basis, needs)| (Deed::Settle(basis), needs));
        let deeds = attested.into_iter().chain([(Deed::Consent, &rule.needs)]).chain(settled);
        deeds.flat_map(move |(deed, needs)| least(rule, deed, needs))
    });
    each.collect()
}

fn known_roles(terms: &Terms, place: Place, roles: &[Role]) -> Result<(), Unsound> {
    if let Some(role) = roles.iter().find(|role| terms.in_role(role).is_empty()) {
        return Err(Unsound::UnknownRole { place, role: role.clone() });
    }
    no_twins(&place, roles)
}

fn no_twins<T: Ord + fmt::Display>(
    place: &Place,
    items: impl IntoIterator<Item = T>,
) -> Result<(), Unsound> {
    let mut seen = BTreeSet::new();
    for item in items {
        if let Some(twice) = seen.replace(item) {
            return Err(Unsound::Twice { place: place.clone(), what: twice.to_string() });
        }
    }
    Ok(())
}

fn between(what: &'static str, count: usize, least: usize, most: usize) -> Result<(), Unsound> {
    if (least..=most).contains(&count) {
        Ok(())
    } else {
        Err(Unsound::Count { what, count, least, most })
    }
}
