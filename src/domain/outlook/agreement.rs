//! Under which rules something can be asked for, and what an agreement waits for until then.

use std::fmt;

use serde::Serialize;

use crate::domain::agreement::Agreement;
use crate::domain::id::{OrganisationName, RuleName};
use crate::domain::terms::Rule;
use crate::domain::time::Timestamp;
use crate::domain::trigger::Unmet;

/// A rule, who may request under it, and what has to happen before anybody may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// Which rule.
    pub rule: RuleName,
    /// Whose members may request under it.
    pub organisations: Vec<OrganisationName>,
    /// What has not happened yet.
    pub missing: Vec<Unmet>,
}

/// How every rule of an agreement stands, in the order of the terms. Under one that is not in force
/// nobody requests anything.
pub fn openings(agreement: &Agreement, now: Timestamp) -> Vec<Opening> {
    if agreement.in_force().is_err() {
        return Vec::new();
    }
    let terms = &agreement.terms;
    let opening = |rule: &Rule| {
        let organisations = rule.requesters.iter().flat_map(|role| terms.in_role(role));
        Opening {
            rule: rule.name.clone(),
            organisations: organisations.cloned().collect(),
            missing: agreement.unmet(rule, now),
        }
    };
    terms.rules.iter().map(opening).collect()
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.organisations.iter().map(ToString::to_string).collect::<Vec<_>>();
        write!(f, "{}: a request by a member of {}", self.rule, who.join(" or "))
    }
}

/// Something that happens in an agreement by itself, if nobody does anything more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Ahead {
    /// Its term is over.
    TermEnds,
    /// As much time has passed without a deposit as a rule asks for.
    DepositsMissed {
        /// Which rule.
        rule: RuleName,
    },
    /// An organisation has been silent for as long as a rule asks for.
    SilenceLasted {
        /// Which rule.
        rule: RuleName,
        /// Which organisation.
        organisation: OrganisationName,
    },
    /// A reminder of an organisation counts from then on.
    ReminderCounts {
        /// Which organisation.
        organisation: OrganisationName,
    },
}

/// When something of the kind happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coming {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Ahead,
}

/// What happens in an agreement by itself after this moment, the next thing first.
pub fn ahead(agreement: &Agreement, now: Timestamp) -> Vec<Coming> {
    if agreement.in_force().is_err() {
        return Vec::new();
    }
    let mut coming: Vec<Coming> = Vec::new();
    coming.extend(agreement.terms.term.map(|at| Coming { at, what: Ahead::TermEnds }));
    for opening in openings(agreement, now) {
        let rule = opening.rule;
        coming.extend(opening.missing.into_iter().map(|unmet| match unmet {
            Unmet::Deposits { until } => {
                Coming { at: until, what: Ahead::DepositsMissed { rule: rule.clone() } }
            }
            Unmet::Silence { organisation, until } => {
                let what = Ahead::SilenceLasted { rule: rule.clone(), organisation };
                Coming { at: until, what }
            }
            Unmet::Reminders { organisation, count: _, from } => {
                Coming { at: from, what: Ahead::ReminderCounts { organisation } }
            }
        }));
    }
    coming.retain(|it| now < it.at && it.at < Timestamp::MAX);
    coming.sort_by_key(|it| it.at);
    coming
}

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TermEnds => f.write_str("the term of the agreement is over"),
            Self::DepositsMissed { rule } => {
                write!(f, "rule {rule} can be used, if nothing is deposited before")
            }
            Self::SilenceLasted { rule, organisation } => write!(
                f,
                "{organisation} has been silent for as long as rule {rule} asks, if it is not \
                 heard of before"
            ),
            Self::ReminderCounts { organisation } => {
                write!(f, "another reminder of {organisation} counts")
            }
        }
    }
}
