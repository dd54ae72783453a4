//! What is to be told about terms as a whole.

use std::collections::BTreeSet;

use crate::domain::advice::proposal::Proposal;
use crate::domain::advice::{Code, Finding, Known, in_roles, owners};
use crate::domain::id::{OrganisationName, Role};
use crate::domain::soundness::{self, Deed, TooFewMembers};
use crate::domain::terms::{Rule, Terms};
use crate::domain::text::listed;
use crate::domain::time::Timestamp;

/// Coalitions that are named one by one; of more it is said how many holders it takes.
const COALITIONS_NAMED_MAX: usize = 6;

/// Advises on these terms, whatever each rule says.
pub(super) fn advise(terms: &Terms, now: Timestamp, known: &Known) -> Vec<Finding> {
    let operator = known.operator.as_ref();
    let mut found = Vec::new();
    found.extend(no_spare_share(terms));
    found.extend(operator.and_then(|operator| operator_is_party(terms, operator)));
    found
        .extend(known.one_roof.iter().filter_map(|group| owners::one_roof(terms, group, operator)));
    found.extend(no_way_out(terms));
    found.extend(single_agents(terms));
    found.extend(short_term(terms, now));
    found.extend(term_without_amendment(terms));
    found.extend(amended_without(terms));
    found.push(coalitions(terms, operator));
    found
}

fn no_spare_share(terms: &Terms) -> Option<Finding> {
    let holders = terms.holder_organisations();
    (holders.len() == usize::from(terms.quorum)).then(|| {
        Finding::advice(
            Code::NoSpareShare,
            format!(
                "All {} shares are needed. When one of {} loses its own, by a lost home or by going \
                 out of business, every bundle is lost for ever.",
                terms.quorum,
                listed(&holders, "and")
            ),
            "Name one more holder that belongs to neither side, such as an escrow agent, and leave \
             the quorum as it is. Until then each of them keeps its home backed up, with two \
             members.",
        )
    })
}

fn operator_is_party(terms: &Terms, operator: &OrganisationName) -> Option<Finding> {
    let role = terms.role_of(operator)?;
    let others = usize::from(terms.quorum).saturating_sub(1);
    let why = match terms.is_holder(operator) {
        true => format!(
            "{operator} runs the vault, where every sealed bundle lies, and holds a share as \
             {role}. It needs {others} more to open everything, whatever the rules say."
        ),
        false => format!(
            "{operator} runs the vault and is a party as {role}: it could hold back what others \
             sign, and knows first what they ask for."
        ),
    };
    let keys = match terms.is_holder(operator) {
        true => format!("; and leave {role} out of holders where another can hold that share"),
        false => String::new(),
    };
    let fix = format!(
        "Let somebody run the vault who is no party, or let witnesses of the others cosign its log\
         {keys}."
    );
    Some(Finding::advice(Code::OperatorIsParty, why, fix))
}

/// Whether people can agree under it, the depositor among them, and need nothing but their word.
fn is_way_out(rule: &Rule) -> bool {
    let depositor = Role::depositor();
    rule.trigger.is_joint()
        && (rule.requesters.contains(&depositor) || rule.consenting_roles().contains(&depositor))
}

fn no_way_out(terms: &Terms) -> Option<Finding> {
    if terms.rules.iter().any(is_way_out) {
        return None;
    }
    let who = terms.depositor().map(ToString::to_string).unwrap_or_default();
    let fix = match Proposal::find(terms, "joint", None) {
        Some(proposal) => format!("Add a rule {proposal}."),
        None => {
            "As quorum, holders and rules are, no such rule can be added: change them.".to_owned()
        }
    };
    let why = format!(
        "No rule is met by {who} and the others simply agreeing. What nobody thought of today has no \
         way to a release, though all want one."
    );
    Some(Finding::advice(Code::NoWayOut, why, fix))
}

/// The roles that stand between those who deposit and those who ask, of one organisation each, and
/// without which no rule is met, or none that does without the depositor: one that takes the
/// depositor is no way out on the day when the depositor is the trouble.
fn single_agents(terms: &Terms) -> Vec<Finding> {
    let depositor = Role::depositor();
    let asks = |role: &Role| terms.rules.iter().any(|rule| rule.requesters.contains(role));
    let all = terms.rules.iter().flat_map(|rule| {
        rule.needs.alternatives().unwrap_or_default().into_iter().map(move |way| (rule, way))
    });
    let all: Vec<_> = all.collect();
    let (mut rules, without): (Vec<_>, Vec<_>) =
        all.iter().filter(|(_, way)| !way.contains_key(&depositor)).cloned().unzip();
    rules.dedup();
    let is_needed = |role: &Role| all.iter().all(|(_, way)| way.contains_key(role));
    let is_needed_without =
        |role: &Role| !without.is_empty() && without.iter().all(|way| way.contains_key(role));
    let supplier = in_roles(terms, [&depositor], "and");
    let names = listed(rules.iter().map(|rule| &rule.name), "and");
    let advice = |role: &Role| {
        let who = in_roles(terms, [role], "and");
        let which = match (is_needed(role), is_needed_without(role)) {
            (true, _) => "No rule is met".to_owned(),
            (false, true) => format!("No rule that does without {supplier} is met"),
            (false, false) => return None,
        };
        let proposal = match is_needed(role) {
            true => Proposal::find(terms, &format!("without-{role}"), Some(role)),
            false => None,
        };
        let fix = match (proposal, is_needed_without(role)) {
            (Some(proposal), true) => format!(
                "Add a rule {proposal}, for when all others agree; and name a second organisation as \
                 {role}, for when {supplier} does not ({names})."
            ),
            (Some(proposal), false) => {
                format!("Add a rule {proposal}; or name a second organisation as {role}.")
            }
            (None, _) => format!("Name a second organisation as {role}."),
        };
        let why = format!(
            "{which} without {who}. When it closes, is bought by one side or does not answer, nobody \
             gets anything, though all others agree."
        );
        Some(Finding::advice(Code::SingleAgent, why, fix))
    };
    let between = terms.parties.keys().filter(|role| **role != depositor && !asks(role));
    between.filter(|role| terms.in_role(role).len() == 1).filter_map(advice).collect()
}

fn short_term(terms: &Terms, now: Timestamp) -> Option<Finding> {
    let term = terms.term?;
    if term <= now {
        return Some(
            Finding::advice(
                Code::TermOver,
                format!("The term was over at {term}: nothing could be deposited or asked for."),
                "Name a later term, or leave it out.",
            )
            .an_error(),
        );
    }
    let longest = terms.rules.iter().max_by_key(|rule| rule.expires)?;
    (now.after(longest.expires) > term).then(|| {
        Finding::advice(
            Code::ShortTerm,
            format!(
                "The term is over at {term}. That is sooner than the {} that one request under rule \
                 {} may take.",
                longest.expires, longest.name
            ),
            "Name a later term, so that there is time to deposit, to notice that something is wrong, \
             and to ask.",
        )
    })
}

fn term_without_amendment(terms: &Terms) -> Option<Finding> {
    let term = terms.term.filter(|_| terms.amend.is_none())?;
    Some(Finding::advice(
        Code::TermWithoutAmendment,
        format!(
            "At {term} deposits and requests end, and nobody may name a later term. Whoever relied \
             on the escrow has to begin anew, with new shares and every bundle deposited again."
        ),
        "Say who may amend the terms, such as amend = { all = [\"1@depositor\", \"1@agent\"] } with \
         roles of yours.",
    ))
}

/// What the depositor signed can be changed without it.
fn amended_without(terms: &Terms) -> Option<Finding> {
    let amend = terms.amend.as_ref()?;
    let depositor = Role::depositor();
    let ways = amend.alternatives().unwrap_or_default();
    let way = ways.iter().find(|way| !way.contains_key(&depositor))?;
    let (who, whose) = (in_roles(terms, way.keys(), "and"), in_roles(terms, [&depositor], "and"));
    Some(Finding::advice(
        Code::AmendedWithoutDepositor,
        format!(
            "{who} may change every rule without {whose}: to rules under which it has no say, and for \
             what it has deposited already."
        ),
        "Ask in amend for \"1@depositor\" on every way.",
    ))
}

/// Which roles need more than one person of an organisation, each on the easiest way of each rule:
/// told once, with all the rules that need as many.
pub(super) fn several_people(terms: &Terms) -> Vec<Finding> {
    let one_each = terms.organisations().map(|who| (who.clone(), 1)).collect();
    let mut told: Vec<(TooFewMembers, Vec<&Rule>)> = Vec::new();
    for found in soundness::too_few_members(terms, &one_each) {
        let Some(rule) = terms.rule(&found.rule) else { continue };
        let is_same = |known: &TooFewMembers| {
            (&known.role, known.needed, known.deed) == (&found.role, found.needed, found.deed)
        };
        match told.iter_mut().find(|(known, _)| is_same(known)) {
            Some((_, rules)) => rules.push(rule),
            None => told.push((found, vec![rule])),
        }
    }
    let told = told.into_iter().map(|(TooFewMembers { role, needed, deed, .. }, rules)| {
        let who = in_roles(terms, [&role], "and");
        let asks = || rules.iter().any(|rule| rule.requesters.contains(&role));
        let takes = match deed {
            Deed::Consent if asks() => {
                format!("{needed} people of {who}; whoever asks never consents.")
            }
            Deed::Consent => format!("{needed} people of {who}."),
            Deed::Attest => format!("{needed} people of {who} to attest what is asked for."),
            Deed::Settle(basis) => {
                format!("{needed} people of {who} to settle an objection by {}.", basis.noun())
            }
        };
        let fix = format!(
            "Have {needed} members of {who} join and be confirmed before you need them, and one more \
             for the day when somebody is ill or has left."
        );
        let advice = |why| Finding::advice(Code::SeveralPeople, why, fix);
        match rules.as_slice() {
            [rule] => advice(format!("It takes {takes}")).in_rule(&rule.name),
            rules => {
                let names = listed(rules.iter().map(|rule| &rule.name), "and");
                advice(format!("Rules {names} take {takes}"))
            }
        }
    });
    told.collect()
}

/// Who opens a bundle without any rule: as many holders as the quorum, whoever they are.
fn coalitions(terms: &Terms, operator: Option<&OrganisationName>) -> Finding {
    let holders = terms.holder_organisations();
    let quorum = usize::from(terms.quorum);
    let groups = groups_of(&holders, quorum);
    let named = match groups.len() <= COALITIONS_NAMED_MAX {
        true => listed(groups.iter().map(join), "or"),
        false => format!("any {quorum} of {}", listed(&holders, "and")),
    };
    let lies = match operator {
        Some(operator) if terms.is_holder(operator) => {
            let others: Vec<_> = holders.iter().filter(|who| *who != operator).cloned().collect();
            let groups = groups_of(&others, quorum.saturating_sub(1));
            let with = match groups.len() <= COALITIONS_NAMED_MAX {
                true => listed(groups.iter().map(join), "or"),
                false => format!("any {} of {}", quorum - 1, listed(&others, "and")),
            };
            format!(
                "{operator}, which runs the vault, has them all: with {with} it needs nobody else."
            )
        }
        Some(operator) => {
            let part = match terms.role_of(operator) {
                Some(role) => format!("is a party as {role} without a share"),
                None => "is no party".to_owned(),
            };
            format!(
                "{operator}, which runs the vault and {part}, has them all: it would take one of \
                 these coalitions besides."
            )
        }
        None => "The vault has them all, and whoever fetched one has that one.".to_owned(),
    };
    Finding::advice(
        Code::Coalitions,
        format!(
            "Rules bind those who keep to them. Whoever has the sealed bundles opens them without \
             any rule with the shares of {named}. {lies}"
        ),
        "See that no such group has one owner, one administrator or one backup, with each other or \
         with whoever runs the vault. A higher quorum makes collusion harder, and a loss likelier.",
    )
}

fn join(group: &BTreeSet<&OrganisationName>) -> String {
    group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
}

/// Every group of so many of these: of sixteen at most, which is 12,870 at worst.
fn groups_of(who: &[OrganisationName], count: usize) -> Vec<BTreeSet<&OrganisationName>> {
    let Some(fewer) = count.checked_sub(1) else { return vec![BTreeSet::new()] };
    let Some((first, rest)) = who.split_first() else { return Vec::new() };
    let with = groups_of(rest, fewer).into_iter().map(|mut group| {
        group.insert(first);
        group
    });
    with.chain(groups_of(rest, count)).collect()
}
