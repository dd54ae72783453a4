//! Triggers: what must have happened before a rule can be used.
//!
//! A trigger never takes a consent's place; it is one more thing that must be so. What only people
//! can know is attested in a statement about one request, by whoever the terms name, and never by a
//! role that may request. What the log itself shows, deposits that did not come and an
//! organisation that says nothing, is judged when a request is opened, by the time of events;
//! whoever is passed over so may object to that request, and soundness sees to it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::agreement::{Agreement, Phase};
use crate::domain::id::{DepositId, EventKind, OrganisationName, Role};
use crate::domain::needs::Needs;
use crate::domain::terms::{Format, Rule};
use crate::domain::time::{Span, Timestamp};
use crate::domain::worded::serde_as_worded;

/// What must have happened before a rule can be used.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    remote = "Self",
    rename_all = "snake_case",
    deny_unknown_fields,
    expecting = "a table with kind and attested (event), attested (order), deposits, interval and \
                 grace (missed), or role, lasts, reminders and every (silence)"
)]
pub enum Trigger {
    /// Nothing: that those who have to consent do is enough.
    #[default]
    Joint,
    /// Something that people attest.
    Event {
        /// What it is.
        kind: EventKind,
        /// By whom.
        attested: Needs,
    },
    /// A court or a regulator has ordered it, as people attest.
    Order {
        /// By whom.
        attested: Needs,
    },
    /// The depositor has not deposited for so long.
    Missed {
        /// How many deposits in a row have not come.
        deposits: u16,
        /// How long after one deposit the next one is due.
        interval: Span,
        /// How late the last of them may be.
        grace: Span,
    },
    /// An organisation has signed nothing in this agreement for so long, though it was reminded.
    Silence {
        /// In which role.
        role: Role,
        /// For how long.
        lasts: Span,
        /// How often it was reminded since it was heard of last.
        reminders: u16,
        /// How long after one reminder the next one counts, and after the last one the silence.
        every: Span,
    },
    /// It is that late.
    Date(Timestamp),
}

serde_as_worded!(
    Trigger,
    r#""joint" or a table like { event = { kind = "insolvency", attested = "1@agent" } }"#
);

/// Bounds on triggers.
pub mod limit {
    /// Deposits in a row that may be missed.
    pub const DEPOSITS_MAX: usize = 100;
    /// Reminders that may be asked for.
    pub const REMINDERS_MAX: usize = 16;
}

impl Trigger {
    /// Whether it is that of rules that name none.
    pub fn is_joint(&self) -> bool {
        *self == Self::Joint
    }

    /// Who has to attest something of a request, if anybody has.
    pub fn attested(&self) -> Option<&Needs> {
        match self {
            Self::Event { kind: _, attested } | Self::Order { attested } => Some(attested),
            Self::Joint | Self::Missed { .. } | Self::Silence { .. } | Self::Date(_) => None,
        }
    }

    /// From when on requests under it can be met, if that is a date.
    pub fn date(&self) -> Option<Timestamp> {
        match self {
            Self::Date(at) => Some(*at),
            Self::Joint
            | Self::Event { .. }
            | Self::Order { .. }
            | Self::Missed { .. }
            | Self::Silence { .. } => None,
        }
    }
}

/// What has not happened yet, so that nobody may request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Unmet {
    /// Time has to pass in which nothing of the kind is deposited.
    Deposits {
        /// Until when.
        until: Timestamp,
    },
    /// Time has to pass in which an organisation is not heard of.
    Silence {
        /// Which organisation.
        organisation: OrganisationName,
        /// Until when.
        until: Timestamp,
    },
    /// An organisation has to be reminded.
    Reminders {
        /// Which organisation.
        organisation: OrganisationName,
        /// How many times more.
        count: u16,
        /// From when on the next one counts.
        from: Timestamp,
    },
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deposits { until } => write!(f, "no deposit until {until}"),
            Self::Silence { organisation, until } => {
                write!(f, "nothing signed by {organisation} until {until}")
            }
            Self::Reminders { organisation, count: 1, from } => {
                write!(f, "a reminder of {organisation}, from {from}")
            }
            Self::Reminders { organisation, count, from } => {
                write!(f, "{count} reminders of {organisation}, the first from {from}")
            }
        }
    }
}

/// How often an organisation was reminded since it was heard of last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminded {
    /// How often.
    pub times: u16,
    /// When last.
    pub last_at: Timestamp,
}

impl Agreement {
    /// What still has to happen before a request under this rule may be opened.
    pub fn unmet(&self, rule: &Rule, now: Timestamp) -> Vec<Unmet> {
        match &rule.trigger {
            Trigger::Joint | Trigger::Event { .. } | Trigger::Order { .. } | Trigger::Date(_) => {
                Vec::new()
            }
            Trigger::Missed { deposits, interval, grace } => {
                let last = self.deposited_at.unwrap_or(self.began_at());
                let until = last.after(interval.times(*deposits)).after(*grace);
                if now < until { vec![Unmet::Deposits { until }] } else { Vec::new() }
            }
            Trigger::Silence { role, lasts, reminders, every } => {
                let silent = self.terms.in_role(role).iter();
                silent
                    .flat_map(|who| self.unheard(who, (*lasts, *reminders, *every), now))
                    .collect()
            }
        }
    }

    fn unheard(
        &self,
        organisation: &OrganisationName,
        (lasts, reminders, every): (Span, u16, Span),
        now: Timestamp,
    ) -> Vec<Unmet> {
        let organisation = || organisation.clone();
        let reminded = self.reminded.get(&organisation());
        let last = self.heard_at.get(&organisation()).copied().unwrap_or(self.began_at());
        let mut unmet = Vec::new();
        let count = reminders.saturating_sub(reminded.map_or(0, |reminded| reminded.times));
        if count > 0 {
            let from = reminded.map_or(last, |reminded| reminded.last_at.after(every));
            unmet.push(Unmet::Reminders { organisation: organisation(), count, from });
        }
        let after_last = reminded.map(|reminded| reminded.last_at.after(every));
        let until = last.after(lasts).max(after_last.unwrap_or(Timestamp::EPOCH));
        if now < until {
            unmet.push(Unmet::Silence { organisation: organisation(), until });
        }
        unmet
    }

    /// From when on another reminder of this organisation counts; `None` where no rule asks for any.
    pub fn reminder_from(&self, organisation: &OrganisationName) -> Option<Timestamp> {
        let role = self.terms.role_of(organisation)?;
        let every = self.terms.rules.iter().filter_map(|rule| match &rule.trigger {
            Trigger::Silence { role: silent, every, .. } => (silent == role).then_some(*every),
            Trigger::Joint
            | Trigger::Event { .. }
            | Trigger::Order { .. }
            | Trigger::Missed { .. }
            | Trigger::Date(_) => None,
        });
        // The longest of several, so that each counts under every rule.
        let every = every.max()?;
        let reminded = self.reminded.get(organisation);
        Some(reminded.map_or(self.began_at(), |reminded| reminded.last_at.after(every)))
    }

    /// An organisation has signed something in this agreement. Remembered in format 2, whatever its
    /// rules ask for now: an amendment may ask for more.
    pub fn heard(&mut self, organisation: &OrganisationName, at: Timestamp) {
        if self.terms.format == Format::Second {
            self.heard_at.insert(organisation.clone(), at);
            self.reminded.remove(organisation);
        }
    }

    /// An organisation was reminded.
    pub fn was_reminded(&mut self, organisation: &OrganisationName, at: Timestamp) {
        let before = self.reminded.get(organisation).map_or(0, |reminded| reminded.times);
        let reminded = Reminded { times: before.saturating_add(1), last_at: at };
        self.reminded.insert(organisation.clone(), reminded);
    }

    /// Something was deposited; remembered in the same way.
    pub fn deposited(&mut self, deposit: &DepositId, at: Timestamp) {
        if self.terms.format == Format::Second {
            self.deposited_at = Some(at);
            self.latest = Some(deposit.clone());
        }
    }

    /// When it came into force, or will have at the earliest.
    fn began_at(&self) -> Timestamp {
        match self.phase {
            Phase::Active { since } => since,
            Phase::Proposed | Phase::Declined { .. } | Phase::Terminated { .. } => self.proposed_at,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joint => f.write_str("consents alone"),
            Self::Event { kind, attested } => write!(f, "{kind}, attested by {attested}"),
            Self::Order { attested } => {
                write!(f, "an order of a court or regulator, attested by {attested}")
            }
            Self::Missed { deposits, interval, grace } => {
                match deposits {
                    1 => f.write_str("a missed deposit")?,
                    deposits => write!(f, "{deposits} missed deposits")?,
                }
                write!(f, ", one due every {interval}")?;
                match (grace.is_zero(), deposits) {
                    (true, _) => Ok(()),
                    (false, 1) => write!(f, ", {grace} ago"),
                    (false, _) => write!(f, ", the last {grace} ago"),
                }
            }
            Self::Silence { role, lasts, reminders: 1, every } => {
                write!(f, "nothing signed by {role} for {lasts}, after a reminder {every} ago")
            }
            Self::Silence { role, lasts, reminders, every } => write!(
                f,
                "nothing signed by {role} for {lasts}, after {reminders} reminders {every} apart"
            ),
            Self::Date(at) => write!(f, "from {at}"),
        }
    }
}
