//! What is checked of each rule by itself.

use std::collections::BTreeSet;

use crate::domain::calendar::Period;
use crate::domain::id::{OrganisationName, Role};
use crate::domain::needs::{Alternative, Needs, TooComplex};
use crate::domain::soundness::{Consents, Place, Unsound, between, known_roles};
use crate::domain::statement::Basis;
use crate::domain::terms::{Access, Format, Rule, Terms, limit};
use crate::domain::time::Span;
use crate::domain::trigger::{self, Trigger};

/// Checks one part of a rule.
type Check = fn(&Terms, &Rule) -> Result<(), Unsound>;

/// Of every part: what is wrong in one says nothing of the next.
const PARTS: [Check; 5] =
    [check_requesters, check_condition, check_settlement, check_clocks, check_needs];

/// Checks a rule of these terms.
pub(super) fn check_rule(terms: &Terms, rule: &Rule) -> Result<(), Unsound> {
    PARTS.iter().try_for_each(|check| check(terms, rule))
}

/// Whatever is wrong with it: at most one fault of each part.
pub(super) fn rule_faults(terms: &Terms, rule: &Rule) -> Vec<Unsound> {
    PARTS.iter().filter_map(|check| check(terms, rule).err()).collect()
}

fn check_requesters(terms: &Terms, rule: &Rule) -> Result<(), Unsound> {
    known_roles(terms, Place::Requesters(rule.name.clone()), &rule.requesters)?;
    between("requesters in a rule", rule.requesters.len(), 1, limit::PARTIES_MAX)
}

/// What must have happened, and who may object or has to have looked.
fn check_condition(terms: &Terms, rule: &Rule) -> Result<(), Unsound> {
    let name = || rule.name.clone();
    known_roles(terms, Place::Objection(name()), &rule.objection)?;
    if rule.least_format() > terms.format {
        return Err(Unsound::Format(Place::Rule(name())));
    }
    known_roles(terms, Place::Reviewers(name()), &rule.reviewers)?;
    check_trigger(terms, rule)
}

/// Nobody attests what an own request asks for, and whoever is passed over because nothing came
/// from it has time to object.
fn check_trigger(terms: &Terms, rule: &Rule) -> Result<(), Unsound> {
    let name = || rule.name.clone();
    let trigger = |what, remedy| Err(Unsound::Trigger { rule: name(), what, remedy });
    let too_often = |what| Err(Unsound::TooOften { rule: name(), what });
    let may_object =
        |role: &Role| rule.objection.contains(role) && rule.notice != Period::default();
    if let Some(attested) = rule.trigger.attested() {
        let unclear = |cause| Unsound::Needs { rule: name(), cause };
        attested.alternatives_within().map_err(unclear)?;
        let roles: Vec<_> = attested.roles().into_iter().collect();
        known_roles(terms, Place::Trigger(name()), &roles)?;
        if roles.iter().any(|role| rule.requesters.contains(role)) {
            return trigger(
                "is attested by a role that may request under it",
                "let another role attest: nobody does for an own request",
            );
        }
    }
    match &rule.trigger {
        Trigger::Joint | Trigger::Event { .. } | Trigger::Order { .. } | Trigger::Date(_) => Ok(()),
        Trigger::Missed { deposits, interval, .. } => {
            let most = trigger::limit::DEPOSITS_MAX;
            number(rule, "trigger.missed.deposits", *deposits, 1, most)?;
            if *interval < limit::WINDOW_MIN {
                return too_often("asks for a deposit more often than once an hour");
            }
            if may_object(&Role::depositor()) {
                return Ok(());
            }
            trigger(
                "passes over the depositor, who has no notice or may not object",
                "write notice, and objection = [\"depositor\"]",
            )
        }
        Trigger::Silence { role, lasts, reminders, every } => {
            known_roles(terms, Place::Trigger(name()), std::slice::from_ref(role))?;
            let most = trigger::limit::REMINDERS_MAX;
            number(rule, "trigger.silence.reminders", *reminders, 1, most)?;
            if *lasts < limit::WINDOW_MIN || *every < limit::WINDOW_MIN {
                return too_often("takes less than an hour for silence");
            }
            if rule.requesters.contains(role) || rule.reviewers.contains(role) {
                return trigger(
                    "is the silence of a role that has to request or to review",
                    "name a role whose silence keeps nobody from asking, or another one in requester \
                     and reviewers",
                );
            }
            if may_object(role) {
                return Ok(());
            }
            trigger(
                "passes over a role that has no notice or may not object",
                "write notice, and name in objection the role that may be silent",
            )
        }
    }
}

/// An award and an order come from roles that may not request, and a joint instruction from two
/// organisations. Whether those are no side is for people to weigh: see [`crate::domain::advice`].
fn check_settlement(terms: &Terms, rule: &Rule) -> Result<(), Unsound> {
    let Some(settled_by) = &rule.settled_by else { return Ok(()) };
    let name = || rule.name.clone();
    if rule.objection.is_empty() || settled_by.each().next().is_none() {
        return Err(Unsound::NothingToSettle(name()));
    }
    for (basis, needs) in settled_by.each() {
        let unclear = |cause| Unsound::Needs { rule: name(), cause };
        let ways = needs.alternatives_within().map_err(unclear)?;
        let roles: Vec<_> = needs.roles().into_iter().collect();
        known_roles(terms, Place::SettledBy(name()), &roles)?;
        let what = match basis {
            Basis::Award | Basis::Order => {
                let is_own = roles.iter().any(|role| rule.requesters.contains(role));
                is_own.then_some("is signed by a role that may request under it")
            }
            // The seats of one role can be filled by one organisation.
            Basis::Joint => {
                let is_single = ways.iter().any(|way| way.len() < 2);
                is_single.then_some("can be signed by one organisation alone")
            }
        };
        if let Some(what) = what {
            return Err(Unsound::Settlement { rule: name(), basis, what });
        }
    }
    Ok(())
}

fn check_clocks(terms: &Terms, rule: &Rule) -> Result<(), Unsound> {
    let (name, notice, expires) = (|| rule.name.clone(), rule.notice, rule.expires);
    let longest = notice.longest(terms.calendar.as_ref());
    let longest = longest.ok_or_else(|| Unsound::NoCalendar(name()))?;
    if expires <= longest {
        return Err(Unsound::Clocks { rule: name(), notice, longest, expires });
    }
    let window = |what| Err(Unsound::Window { rule: name(), what });
    let is_too_short = |span: Option<Span>| span.is_some_and(|span| span < limit::WINDOW_MIN);
    if is_too_short(rule.vote) {
        return window("a consent would be good for less than an hour (vote)");
    }
    if is_too_short(rule.duty.map(|duty| duty.within)) {
        return window("whoever asks would have less than an hour to do its duty (duty.within)");
    }
    match rule.access {
        None => Ok(()),
        Some(Access { within: None, times: None }) => {
            window("access says neither within nor times")
        }
        Some(Access { within, .. }) if is_too_short(within) => {
            window("a bundle could be fetched for less than an hour (access.within)")
        }
        Some(Access { times, .. }) => {
            number(rule, "access.times", times.unwrap_or(1), 1, limit::TIMES_MAX)
        }
    }
}

fn check_needs(terms: &Terms, rule: &Rule) -> Result<(), Unsound> {
    let name = || rule.name.clone();
    let unclear = |cause| Unsound::Needs { rule: name(), cause };
    // Terms of format 1 were accepted however many parts they had.
    match terms.format {
        Format::Second if rule.needs.parts() > Needs::PARTS_MAX => {
            return Err(unclear(TooComplex::Parts));
        }
        Format::First | Format::Second => {}
    }
    let ways = rule.needs.alternatives().map_err(unclear)?;
    for way in &ways {
        let roles = way.keys().cloned().collect::<Vec<_>>();
        known_roles(terms, Place::Needs(name()), &roles)?;
    }
    let roles = rule.consenting_roles();
    let able: Vec<_> = roles.iter().flat_map(|role| terms.in_role(role)).collect();
    if let Some(wanted) = rule.distinct_organisations {
        number(rule, "distinct_organisations", wanted, 2, limit::PARTIES_MAX)?;
        let (wanted, able) = (usize::from(wanted), able.len());
        if able < wanted {
            return Err(Unsound::TooFewOrganisations { rule: name(), wanted, able });
        }
    }
    for consents in ways.iter().flat_map(|way| smallest_sets(terms, way)) {
        check_set(terms, rule, &able, &consents)?;
    }
    Ok(())
}

fn number(
    rule: &Rule,
    what: &'static str,
    count: u16,
    least: usize,
    most: usize,
) -> Result<(), Unsound> {
    let count = usize::from(count);
    if (least..=most).contains(&count) {
        return Ok(());
    }
    Err(Unsound::Number { rule: rule.name.clone(), what, count, least, most })
}

/// Every way to fill the seats from as few organisations as can be. Spreading a role's seats over
/// more organisations only adds organisations and shares, so these are the sets to worry about.
fn smallest_sets(terms: &Terms, way: &Alternative) -> Vec<Consents> {
    let mut sets = vec![Vec::new()];
    for (role, people) in way {
        sets = sets
            .iter()
            .flat_map(|set| {
                terms.in_role(role).iter().map(move |organisation| {
                    let mut longer = set.clone();
                    longer.push((*people, organisation.clone()));
                    longer
                })
            })
            .collect();
    }
    sets.into_iter().map(Consents).collect()
}

/// Of `able`, who may consent, some have to join a set of too few organisations; at worst those
/// who add no share to it.
fn check_set(
    terms: &Terms,
    rule: &Rule,
    able: &[&OrganisationName],
    consents: &Consents,
) -> Result<(), Unsound> {
    let seated: BTreeSet<_> = consents.0.iter().map(|(_, who)| who).collect();
    if seated.len() < 2 && rule.distinct_organisations.is_none() {
        let (rule, consents) = (rule.name.clone(), consents.clone());
        return Err(Unsound::OneOrganisation { rule, consents });
    }
    for requester in rule.requesters.iter().flat_map(|role| terms.in_role(role)) {
        let adds_share = |who: &&OrganisationName| terms.is_holder(who) && *who != requester;
        let mut others: Vec<_> = able.iter().copied().filter(|who| !seated.contains(who)).collect();
        others.sort_by_key(adds_share);
        others.truncate(rule.organisations_needed().saturating_sub(seated.len()));
        let holding: BTreeSet<_> =
            seated.iter().chain(&others).copied().chain([requester]).collect();
        let shares = holding.into_iter().filter(|who| terms.is_holder(who)).count();
        if shares < usize::from(terms.quorum) {
            let joined = others.into_iter().map(|who| (1, who.clone()));
            let consents = consents.0.iter().cloned().chain(joined).collect();
            return Err(Unsound::Deadlock {
                rule: rule.name.clone(),
                consents: Consents(consents),
                requester: requester.clone(),
                shares,
                quorum: terms.quorum,
            });
        }
    }
    Ok(())
}
