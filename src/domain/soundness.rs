//! Promise 3, checked before anybody signs: satisfied means openable, and never by one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::amendment;
use crate::domain::calendar::Period;
use crate::domain::id::{OrganisationName, Role, RuleName};
use crate::domain::needs::{Alternative, Needs, TooComplex};
use crate::domain::statement::Basis;
use crate::domain::terms::{Access, Format, Rule, Terms, limit};
use crate::domain::time::Span;
use crate::domain::trigger::{self, Trigger};

#[cfg(test)]
mod tests;

/// What a quorum counts.
const SHARES: &str = "shares in the quorum";

/// What is wrong with terms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// There must be one depositor, who deals the release key and alone may deposit.
    #[error("the terms name {0} depositors; an agreement has exactly one")]
    Depositors(usize),
    /// An organisation holds one role.
    #[error("{0} is named twice among the parties; an organisation has one role")]
    TwoRoles(OrganisationName),
    /// A role without an organisation.
    #[error("the role {0} has no organisation")]
    EmptyRole(Role),
    /// Too many or too few of something.
    #[error("the terms have {count} {what}; {least} to {most} are possible")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// Fewest.
        least: usize,
        /// Most.
        most: usize,
    },
    /// A party whose organisation key is not pinned, or a pin for nobody.
    #[error("fingerprints and parties do not match: {0}")]
    Fingerprints(OrganisationName),
    /// Two parties with one key would be one party with two voices.
    #[error("{0} and {1} have the same fingerprint")]
    OneKey(OrganisationName, OrganisationName),
    /// A role that nobody has.
    #[error("{place} names the role {role}, which no party has")]
    UnknownRole {
        /// Where.
        place: Place,
        /// Which.
        role: Role,
    },
    /// Something named twice in one list.
    #[error("{place} names {what} twice")]
    Twice {
        /// Where.
        place: Place,
        /// What.
        what: String,
    },
    /// `needs` is too large to reason about.
    #[error("rule {rule}: its needs cannot be checked")]
    Needs {
        /// Which rule.
        rule: RuleName,
        /// Why.
        #[source]
        cause: TooComplex,
    },
    /// A word of a later format than the terms name.
    #[error("{0} uses words of terms of format 2, and these terms are of format 1")]
    Format(Place),
    /// More organisations are asked for than may consent.
    #[error(
        "rule {rule} deadlocks: it takes consents of {wanted} organisations, and {able} may consent"
    )]
    TooFewOrganisations {
        /// Which rule.
        rule: RuleName,
        /// How many are asked for.
        wanted: usize,
        /// How many there are in the roles of its needs.
        able: usize,
    },
    /// A request would expire before it can be released.
    #[error(
        "rule {rule} deadlocks: a request expires after {expires}, but notice runs {notice}{}",
        taking(.notice, .longest)
    )]
    Clocks {
        /// Which rule.
        rule: RuleName,
        /// How long notice runs.
        notice: Period,
        /// How long that can take.
        longest: Span,
        /// When a request expires.
        expires: Span,
    },
    /// Terms that too few or too many would amend.
    #[error("amend {what}")]
    Amend {
        /// What is wrong.
        what: &'static str,
        /// Why it cannot be checked, if it cannot.
        #[source]
        cause: Option<TooComplex>,
    },
    /// A trigger that would pass somebody over, or that nobody can pull.
    #[error("rule {rule}: its trigger {what}")]
    Trigger {
        /// Which rule.
        rule: RuleName,
        /// What is wrong.
        what: &'static str,
    },
    /// An objection that would be ended by who should not.
    #[error("rule {rule}: its {} {what}", .basis.noun())]
    Settlement {
        /// Which rule.
        rule: RuleName,
        /// On what basis.
        basis: Basis,
        /// What is wrong.
        what: &'static str,
    },
    /// Nobody may object, and still that is settled; or it is settled in no way.
    #[error("rule {0}: settled_by names no way to settle an objection that somebody may raise")]
    NothingToSettle(RuleName),
    /// Working days that nobody can count.
    #[error("rule {0} counts working days, and the terms have no calendar")]
    NoCalendar(RuleName),
    /// A window that is over before anybody can use it, or none at all.
    #[error("rule {rule}: {what}")]
    Window {
        /// Which rule.
        rule: RuleName,
        /// What is wrong.
        what: &'static str,
    },
    /// One organisation could release alone.
    #[error("rule {rule} is met by one organisation alone: {consents}")]
    OneOrganisation {
        /// Which rule.
        rule: RuleName,
        /// The consents that meet it.
        consents: Consents,
    },
    /// A rule could be met and the bundle still not be opened.
    #[error(
        "rule {rule} deadlocks: {consents} meet it, but with requester {requester} they hold \
         {shares} of the {quorum} shares that open a bundle"
    )]
    Deadlock {
        /// Which rule.
        rule: RuleName,
        /// The consents that meet it.
        consents: Consents,
        /// Whose member requests.
        requester: OrganisationName,
        /// Shares among them.
        shares: usize,
        /// Shares needed.
        quorum: u16,
    },
}

impl Unsound {
    /// What to change.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Depositors(_) => "give exactly one organisation the role depositor",
            Self::TwoRoles(_) => "keep the role that fits best and remove the other",
            Self::EmptyRole(_) => "name an organisation for the role or remove the role",
            Self::Count { what: SHARES, .. } => {
                "write a quorum of at least 2 and at most as many as there are holders"
            }
            Self::Count { .. } => "merge, split or remove some",
            Self::Fingerprints(_) => {
                "list a fingerprint for every party and for nobody else; \
                 `escrow whoami` in their home prints it"
            }
            Self::OneKey(..) => "compare the fingerprints again; parties have keys of their own",
            Self::UnknownRole { .. } => "check the spelling against [parties]",
            Self::Twice { .. } => "remove one of the two",
            Self::Needs { .. } => "write the rule as two or more simpler rules",
            Self::Format(_) => {
                "say in the terms that their format is 2, as `escrow agreement propose` does"
            }
            Self::TooFewOrganisations { .. } => {
                "lower distinct_organisations, or name more roles in needs"
            }
            Self::Clocks { .. } => "let expires be longer than notice",
            Self::Amend { .. } => {
                "let at least two organisations amend, such as { all = [\"1@depositor\", \"1@agent\"] }"
            }
            Self::Trigger { .. } => {
                "let whoever may be passed over object, with notice, and nobody attest for an own \
                 request"
            }
            Self::Settlement { .. } => {
                "let an award or an order be signed by a role that may not request, and a joint \
                 instruction by two roles"
            }
            Self::NothingToSettle(_) => {
                "name in objection who may object, and in settled_by at least one of joint, award \
                 and order"
            }
            Self::NoCalendar(_) => {
                "add [calendar] with utc_offset, weekend and holidays, or write notice in days"
            }
            Self::Window { .. } => {
                "give vote, access.within and duty.within at least an hour, or leave out what is not \
                 wanted"
            }
            Self::OneOrganisation { .. } => {
                "require consents of two roles, such as { all = [\"1@depositor\", \"1@agent\"] }"
            }
            Self::Deadlock { .. } => {
                "require the consent of another holder, make one of these roles a holder, \
                 or lower the quorum"
            }
        }
    }
}

/// Where in the terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The list of holders.
    Holders,
    /// The list of rules.
    Rules,
    /// Who may amend.
    Amend,
    /// The term.
    Term,
    /// The calendar.
    Calendar,
    /// A rule.
    Rule(RuleName),
    /// What triggers a rule.
    Trigger(RuleName),
    /// A rule's requesters.
    Requesters(RuleName),
    /// A rule's needs.
    Needs(RuleName),
    /// A rule's reviewers.
    Reviewers(RuleName),
    /// A rule's objectors.
    Objection(RuleName),
    /// What ends objections under a rule.
    SettledBy(RuleName),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holders => f.write_str("holders"),
            Self::Rules => f.write_str("the list of rules"),
            Self::Amend => f.write_str("amend"),
            Self::Term => f.write_str("term"),
            Self::Calendar => f.write_str("calendar"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
            Self::Trigger(rule) => write!(f, "trigger of rule {rule}"),
            Self::Requesters(rule) => write!(f, "requester of rule {rule}"),
            Self::Needs(rule) => write!(f, "needs of rule {rule}"),
            Self::Reviewers(rule) => write!(f, "reviewers of rule {rule}"),
            Self::SettledBy(rule) => write!(f, "settled_by of rule {rule}"),
            Self::Objection(rule) => write!(f, "objection of rule {rule}"),
        }
    }
}

/// A set of consents, as people and the organisations they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consents(pub Vec<(u16, OrganisationName)>);

impl fmt::Display for Consents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (people, organisation)) in self.0.iter().enumerate() {
            let sign = if i == 0 { "" } else { " + " };
            write!(f, "{sign}{people} of {organisation}")?;
        }
        Ok(())
    }
}

/// Checks terms by themselves.
pub fn check(terms: &Terms) -> Result<(), Unsound> {
    check_parties(terms)?;
    check_holders(terms)?;
    check_whole(terms)?;
    between("rules", terms.rules.len(), 1, limit::RULES_MAX)?;
    no_twins(&Place::Rules, terms.rules.iter().map(|rule| &rule.name))?;
    terms.rules.iter().try_for_each(|rule| check_rule(terms, rule))
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

fn check_rule(terms: &Terms, rule: &Rule) -> Result<(), Unsound> {
    let name = || rule.name.clone();
    known_roles(terms, Place::Requesters(name()), &rule.requesters)?;
    between("requesters in a rule", rule.requesters.len(), 1, limit::PARTIES_MAX)?;
    known_roles(terms, Place::Objection(name()), &rule.objection)?;
    if rule.least_format() > terms.format {
        return Err(Unsound::Format(Place::Rule(name())));
    }
    known_roles(terms, Place::Reviewers(name()), &rule.reviewers)?;
    check_trigger(terms, rule)?;
    check_settlement(terms, rule)?;
    check_clocks(terms, rule)?;
    check_needs(terms, rule)
}

/// Nobody attests what an own request asks for, and whoever is passed over because nothing came
/// from it has time to object.
fn check_trigger(terms: &Terms, rule: &Rule) -> Result<(), Unsound> {
    let name = || rule.name.clone();
    let trigger = |what| Err(Unsound::Trigger { rule: name(), what });
    let may_object =
        |role: &Role| rule.objection.contains(role) && rule.notice != Period::default();
    if let Some(attested) = rule.trigger.attested() {
        let unclear = |cause| Unsound::Needs { rule: name(), cause };
        attested.alternatives_within().map_err(unclear)?;
        let roles: Vec<_> = attested.roles().into_iter().collect();
        known_roles(terms, Place::Trigger(name()), &roles)?;
        if roles.iter().any(|role| rule.requesters.contains(role)) {
            return trigger("is attested by a role that may request under it");
        }
    }
    match &rule.trigger {
        Trigger::Joint | Trigger::Event { .. } | Trigger::Order { .. } | Trigger::Date(_) => Ok(()),
        Trigger::Missed { deposits, interval, .. } => {
            let most = trigger::limit::DEPOSITS_MAX;
            between("missed deposits in a trigger", (*deposits).into(), 1, most)?;
            if *interval < limit::WINDOW_MIN {
                return trigger("asks for a deposit more often than once an hour");
            }
            if may_object(&Role::depositor()) {
                return Ok(());
            }
            trigger("passes over the depositor, who has no notice or may not object")
        }
        Trigger::Silence { role, lasts, reminders, every } => {
            known_roles(terms, Place::Trigger(name()), std::slice::from_ref(role))?;
            let most = trigger::limit::REMINDERS_MAX;
            between("reminders in a trigger", (*reminders).into(), 1, most)?;
            if *lasts < limit::WINDOW_MIN || *every < limit::WINDOW_MIN {
                return trigger("takes less than an hour for silence");
            }
            if rule.requesters.contains(role) || rule.reviewers.contains(role) {
                return trigger("is the silence of a role that has to request or to review");
            }
            if may_object(role) {
                return Ok(());
            }
            trigger("passes over a role that has no notice or may not object")
        }
    }
}

/// Nobody is a judge in a cause of their own: an award and an order come from roles that may not
/// request, and a joint instruction from two organisations.
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
            between("times in access", times.unwrap_or(1).into(), 1, limit::TIMES_MAX)
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
        let what = "organisations in distinct_organisations";
        between(what, wanted.into(), 2, limit::PARTIES_MAX)?;
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

/// A rule that an organisation has too few members for. Not an error: members may still join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooFewMembers {
    /// Which rule.
    pub rule: RuleName,
    /// In which role.
    pub role: Role,
    /// How many people of that role it takes, a requester of the same role included.
    pub needed: u16,
    /// How many there are.
    pub members: usize,
}

impl fmt::Display for TooFewMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, role, needed, members } = self;
        write!(
            f,
            "rule {rule} takes {needed} people of role {role} (who requests never consents), \
             but only {members} have joined and been confirmed"
        )
    }
}

/// Warns of rules that cannot be met by the members there are in any way; of what the way that
/// lacks least still lacks.
pub fn too_few_members(
    terms: &Terms,
    members: &BTreeMap<OrganisationName, usize>,
) -> Vec<TooFewMembers> {
    let people = |who: &OrganisationName| members.get(who).copied().unwrap_or(0);
    let lacking = |rule: &Rule, way: Alternative| -> Vec<TooFewMembers> {
        let each = way.into_iter().map(|(role, seats)| TooFewMembers {
            rule: rule.name.clone(),
            needed: seats.saturating_add(rule.requesters.contains(&role).into()),
            members: terms.in_role(&role).iter().map(people).sum(),
            role,
        });
        each.filter(|found| found.members < usize::from(found.needed)).collect()
    };
    let least = |rule: &Rule| {
        let ways = rule.needs.alternatives().unwrap_or_default().into_iter();
        let missing = |found: &Vec<TooFewMembers>| -> usize {
            found.iter().map(|found| usize::from(found.needed) - found.members).sum()
        };
        ways.map(|way| lacking(rule, way)).min_by_key(missing).unwrap_or_default()
    };
    terms.rules.iter().flat_map(least).collect()
}

/// How long working days can take, where that is not said by the number itself.
fn taking(notice: &Period, longest: &Span) -> String {
    match notice {
        Period::Passing(_) => String::new(),
        Period::WorkingDays(_) => format!(", which can take {longest}"),
    }
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
