//! Advice on terms before anybody signs them: what is wrong, what may be regretted, and what to
//! write instead.
//!
//! What is wrong comes from [`crate::domain::soundness`], which refuses such terms, and from clocks
//! that can never meet. All else is for people to weigh, and nothing here decides anything: each
//! piece says, with the names in the terms, what can happen, and what to change.

mod owners;
mod proposal;
mod rule;
#[cfg(test)]
mod tests;
mod whole;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt;

use serde::Serialize;

use crate::domain::id::{OrganisationName, Role, RuleName};
use crate::domain::needs::Needs;
use crate::domain::soundness::{self, Unsound};
use crate::domain::terms::{Rule, Terms};
use crate::domain::text::listed;
use crate::domain::time::Timestamp;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It cannot work as it is written.
    Error,
    /// It works, and may be regretted.
    Advice,
}

impl Severity {
    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Advice => "advice",
        }
    }
}

/// What it is about, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The terms are refused, for another reason than the next three.
    Unsound,
    /// A rule could be met, or never be, and the bundle stays closed.
    Deadlock,
    /// One organisation could release alone.
    OneSided,
    /// Shares or clocks that cannot be.
    Impossible,
    /// A rule that nobody can use before the term is over.
    Unreachable,
    /// The term is over already.
    TermOver,
    /// A file that the terms name is not there, or is not what it has to be.
    UnusableFile,
    /// Every share is needed.
    NoSpareShare,
    /// Whoever runs the vault is a party.
    OperatorIsParty,
    /// Organisations under one roof, which the terms take for several.
    OneRoof,
    /// No rule lets people agree to whatever nobody thought of.
    NoWayOut,
    /// One organisation between the sides is needed under every rule.
    SingleAgent,
    /// The term is shorter than a request may take.
    ShortTerm,
    /// A term that nobody may renew.
    TermWithoutAmendment,
    /// The terms can be changed without the depositor.
    AmendedWithoutDepositor,
    /// Who opens bundles without any rule.
    Coalitions,
    /// Notice, and nobody may object.
    NoticeWithoutObjection,
    /// The right to object, and no time for it.
    ObjectionWithoutNotice,
    /// The right to object, and hardly any time for it.
    ShortNotice,
    /// The right to object, and nobody else who can settle it.
    ObjectionWithoutEnd,
    /// Objections are settled by the award of a side.
    PartialAward,
    /// Objections are settled by those alone who want the release.
    PartialInstruction,
    /// The depositor has no say.
    DepositorUnheard,
    /// Whoever was silent has to consent.
    SilentConsent,
    /// Missed deposits or silence that come about in no time.
    HastyTrigger,
    /// A date that is past.
    PastDate,
    /// A review by nobody but whoever asks.
    OwnReview,
    /// Hardly any time between the end of notice and that of the request.
    ShortExpiry,
    /// Consents are over before notice is.
    VoteBeforeNotice,
    /// Consents that are good for longer than any request.
    VoteBeyondExpiry,
    /// A duty that is due while the bundle may still be fetched.
    DutyBeforeAccess,
    /// More than one person of an organisation is needed.
    SeveralPeople,
}

/// One thing to be told about terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about.
    pub code: Code,
    /// In which rule, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
    /// What can happen.
    pub why: String,
    /// What to change.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, code: _, rule, why, fix } = self;
        match rule {
            // What is unsound names its rule itself.
            Some(rule) if *severity == Severity::Advice => {
                write!(f, "{}: rule {rule}: {why}\n    {fix}", severity.word())
            }
            Some(_) | None => write!(f, "{}: {why}\n    {fix}", severity.word()),
        }
    }
}

impl Finding {
    fn advice(code: Code, why: impl Into<String>, fix: impl Into<String>) -> Self {
        let (why, fix) = (why.into(), fix.into());
        Self { severity: Severity::Advice, code, rule: None, why, fix }
    }

    fn in_rule(self, rule: &RuleName) -> Self {
        Self { rule: Some(rule.clone()), ..self }
    }

    fn an_error(self) -> Self {
        Self { severity: Severity::Error, ..self }
    }
}

impl From<Unsound> for Finding {
    fn from(fault: Unsound) -> Self {
        let code = match &fault {
            Unsound::Deadlock { .. } | Unsound::TooFewOrganisations { .. } => Code::Deadlock,
            Unsound::OneOrganisation { .. } => Code::OneSided,
            Unsound::Clocks { .. }
            | Unsound::Count { .. }
            | Unsound::Number { .. }
            | Unsound::NoCalendar(_)
            | Unsound::Window { .. }
            | Unsound::TooOften { .. } => Code::Impossible,
            Unsound::Depositors(_)
            | Unsound::TwoRoles(_)
            | Unsound::EmptyRole(_)
            | Unsound::Fingerprints(_)
            | Unsound::OneKey(..)
            | Unsound::UnknownRole { .. }
            | Unsound::Twice { .. }
            | Unsound::Needs { .. }
            | Unsound::Format(_)
            | Unsound::Amend { .. }
            | Unsound::Trigger { .. }
            | Unsound::Settlement { .. }
            | Unsound::NothingToSettle(_) => Code::Unsound,
        };
        let (mut why, mut cause) = (fault.to_string(), fault.source());
        while let Some(deeper) = cause {
            why = format!("{why}: {deeper}");
            cause = deeper.source();
        }
        let (rule, fix) = (fault.rule().cloned(), fault.remedy().to_owned());
        Self { severity: Severity::Error, code, rule, why, fix }
    }
}

/// What terms do not say, and whoever writes them may know.
#[derive(Debug, Default, Clone)]
pub struct Known {
    /// Who runs the vault.
    pub operator: Option<OrganisationName>,
    /// Groups of organisations with one owner each, that of the vault among them.
    pub one_roof: Vec<BTreeSet<OrganisationName>>,
}

/// What is to be told about terms that are read now: of unsound ones what makes them so, and of
/// others what to weigh, first of them as a whole and then of each rule.
pub fn advise(terms: &Terms, now: Timestamp, known: &Known) -> Vec<Finding> {
    let faults = soundness::faults(terms);
    if !faults.is_empty() {
        return faults.into_iter().map(Finding::from).collect();
    }
    let mut found = whole::advise(terms, now, known);
    found.extend(terms.rules.iter().flat_map(|rule| rule::advise(terms, rule, now)));
    found.extend(whole::several_people(terms));
    found
}

/// The roles that attest for a release under a rule.
fn attesting(rule: &Rule) -> BTreeSet<Role> {
    rule.trigger.attested().map(Needs::roles).unwrap_or_default()
}

/// Whether a role asks for a release under a rule, attests for it or consents to it.
fn wants_release(rule: &Rule, role: &Role) -> bool {
    rule.requesters.contains(role)
        || rule.consenting_roles().contains(role)
        || attesting(rule).contains(role)
}

/// The organisations in these roles, as they are read out.
fn in_roles<'a>(terms: &Terms, roles: impl IntoIterator<Item = &'a Role>, word: &str) -> String {
    listed(roles.into_iter().flat_map(|role| terms.in_role(role)), word)
}
