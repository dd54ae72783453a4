//! What can be wrong with terms, where, and what to change.

use std::collections::BTreeSet;
use std::fmt;

use crate::domain::calendar::Period;
use crate::domain::id::{OrganisationName, Role, RuleName};
use crate::domain::needs::TooComplex;
use crate::domain::statement::Basis;
use crate::domain::time::Span;

/// What a quorum counts.
pub(super) const SHARES: &str = "shares in the quorum";

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
    #[error("the terms have {}; {least} to {most} are possible", counted(*.count, .what))]
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
    /// A number in a rule that is too small or too large.
    #[error("rule {rule}: {what} is {count}, and can be {least} to {most}")]
    Number {
        /// Which rule.
        rule: RuleName,
        /// Which number.
        what: &'static str,
        /// What is written.
        count: usize,
        /// The least there can be.
        least: usize,
        /// The most there can be.
        most: usize,
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
        /// What to change.
        remedy: &'static str,
    },
    /// A trigger that counts in less than hours.
    #[error("rule {rule}: its trigger {what}")]
    TooOften {
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
    /// In which rule, if it is in one.
    pub fn rule(&self) -> Option<&RuleName> {
        match self {
            Self::Number { rule, .. }
            | Self::Needs { rule, .. }
            | Self::TooFewOrganisations { rule, .. }
            | Self::Clocks { rule, .. }
            | Self::Trigger { rule, .. }
            | Self::TooOften { rule, .. }
            | Self::Settlement { rule, .. }
            | Self::NothingToSettle(rule)
            | Self::NoCalendar(rule)
            | Self::Window { rule, .. }
            | Self::OneOrganisation { rule, .. }
            | Self::Deadlock { rule, .. } => Some(rule),
            Self::UnknownRole { place, .. } | Self::Twice { place, .. } | Self::Format(place) => {
                place.rule()
            }
            Self::Depositors(_)
            | Self::TwoRoles(_)
            | Self::EmptyRole(_)
            | Self::Count { .. }
            | Self::Fingerprints(_)
            | Self::OneKey(..)
            | Self::Amend { .. } => None,
        }
    }

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
            Self::Number { .. } => "write a number between these, or leave out what is not wanted",
            Self::Fingerprints(_) => {
                "list a fingerprint for every party, by the name of the organisation and not by its \
                 role, and for nobody else; `escrow whoami` in their home prints it"
            }
            Self::OneKey(..) => "compare the fingerprints again; parties have keys of their own",
            Self::UnknownRole { .. } => {
                "write a role as it stands in [parties] before the =, and not the organisation behind it"
            }
            Self::Twice { .. } => "remove one of the two",
            Self::Needs { cause, .. } | Self::Amend { cause: Some(cause), .. } => cause.remedy(),
            Self::Format(_) => {
                "say in the terms that their format is 2, as `escrow agreement propose` does"
            }
            Self::TooFewOrganisations { .. } => {
                "lower distinct_organisations, or name more roles in needs"
            }
            Self::Clocks { .. } => "let expires be longer than notice",
            Self::Amend { cause: None, .. } => {
                "let at least two organisations amend, such as { all = [\"1@depositor\", \"1@agent\"] }"
            }
            Self::Trigger { remedy, .. } => remedy,
            Self::TooOften { .. } => {
                "write an hour or more for lasts and every of silence, and for interval of missed; \
                 people need days"
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
            Self::Deadlock { consents, requester, shares, .. } => {
                let all: BTreeSet<_> =
                    consents.0.iter().map(|(_, who)| who).chain([requester]).collect();
                match all.len() == *shares {
                    true => "require the consent of another holder, or lower the quorum",
                    false => {
                        "require the consent of another holder, make one of these roles a holder, or \
                         lower the quorum"
                    }
                }
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

impl Place {
    fn rule(&self) -> Option<&RuleName> {
        match self {
            Self::Rule(rule)
            | Self::Trigger(rule)
            | Self::Requesters(rule)
            | Self::Needs(rule)
            | Self::Reviewers(rule)
            | Self::Objection(rule)
            | Self::SettledBy(rule) => Some(rule),
            Self::Holders | Self::Rules | Self::Amend | Self::Term | Self::Calendar => None,
        }
    }
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

/// How long working days can take, where that is not said by the number itself.
fn taking(notice: &Period, longest: &Span) -> String {
    match notice {
        Period::Passing(_) => String::new(),
        Period::WorkingDays(_) => format!(", which can take {longest}"),
    }
}

/// `1 share in the quorum`, `4 shares in the quorum`.
fn counted(count: usize, what: &str) -> String {
    let (noun, rest) = what.split_at(what.find(' ').unwrap_or(what.len()));
    match (count, noun.strip_suffix("ies"), noun.strip_suffix('s')) {
        (1, Some(stem), _) => format!("1 {stem}y{rest}"),
        (1, None, Some(noun)) => format!("1 {noun}{rest}"),
        (_, _, _) => format!("{count} {what}"),
    }
}
