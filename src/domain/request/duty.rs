//! What a requester took upon itself by asking, and what was said of the bundle since.

use serde::{Deserialize, Serialize};

use crate::domain::id::{MemberPath, OrganisationName};
use crate::domain::request::{Outcome, Request};
use crate::domain::statement::{Acknowledged, Duty, DutyKind};
use crate::domain::time::Timestamp;

/// Somebody said what became of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: MemberPath,
    /// When, by the vault's time.
    pub at: Timestamp,
    /// What.
    pub what: Acknowledged,
}

/// Where a duty stands at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DutyState {
    /// There is time left, or nothing was handed out.
    Open,
    /// The requester's organisation has said that it did as it had to.
    Fulfilled {
        /// When, by the vault's time; it may have been too late.
        at: Timestamp,
    },
    /// The time is over, and it has not said so.
    Overdue,
}

impl DutyState {
    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Fulfilled { .. } => "fulfilled",
            Self::Overdue => "overdue",
        }
    }
}

impl DutyKind {
    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Return => "return",
            Self::Destroy => "destroy",
            Self::Report => "report",
        }
    }

    /// The first version of the rules that knows it.
    pub(crate) fn engine(self) -> u32 {
        self.fulfilled_by().engine()
    }

    /// What has to be acknowledged for it to be fulfilled. Nothing else will do: a depositor who
    /// was promised that no copy is left is not served by a parcel.
    pub fn fulfilled_by(self) -> Acknowledged {
        match self {
            Self::Return => Acknowledged::Returned,
            Self::Destroy => Acknowledged::Destroyed,
            Self::Report => Acknowledged::Reported,
        }
    }
}

impl Acknowledged {
    /// What it is that is acknowledged.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Received => "receipt",
            Self::Returned => "return",
            Self::Destroyed => "destruction",
            Self::Reported => "report",
        }
    }

    /// The first version of the rules that knows it.
    pub(crate) fn engine(self) -> u32 {
        match self {
            Self::Received | Self::Returned | Self::Destroyed => 1,
            Self::Reported => 2,
        }
    }
}

impl Request {
    /// What the requester's organisation takes upon itself: what the rule says, or else what the
    /// request does. Before it is released the time is the last that it can come to.
    pub fn duty_of(&self) -> Option<Duty> {
        let Some(of_rule) = self.rule().and_then(|rule| rule.duty) else {
            return self.statement.duty;
        };
        let by = self.released_at().unwrap_or(self.expires_at).after(of_rule.within);
        Some(Duty { kind: of_rule.kind, by })
    }

    /// Where the duty stands that this request was made under, if it was under one.
    pub fn duty(&self, now: Timestamp) -> Option<(Duty, DutyState)> {
        let duty = self.duty_of()?;
        let own = &self.requester().organisation;
        let state = match self.acknowledgement(own, duty.kind.fulfilled_by()) {
            Some(said) => DutyState::Fulfilled { at: said.at },
            None if self.is_retrieved() && now > duty.by => DutyState::Overdue,
            None => DutyState::Open,
        };
        Some((duty, state))
    }

    /// What an organisation has acknowledged, if it did.
    pub fn acknowledgement(
        &self,
        organisation: &OrganisationName,
        what: Acknowledged,
    ) -> Option<&Acknowledgement> {
        let mut said = self.acknowledgements.iter();
        said.find(|said| said.by.organisation == *organisation && said.what == what)
    }

    /// Whether the bundle was handed out.
    pub fn is_retrieved(&self) -> bool {
        match self.outcome {
            Outcome::Retrieved { .. } => true,
            Outcome::Undecided | Outcome::Released { .. } | Outcome::Withdrawn { .. } => false,
        }
    }

    /// Whether this organisation has a say on this: the requester's on all that becomes of the
    /// bundle, the depositor on what came back to it.
    pub(super) fn may_acknowledge(&self, who: &OrganisationName, what: Acknowledged) -> bool {
        let is_requesters = self.requester().organisation == *who;
        let is_depositors = self.terms.depositor() == Some(who);
        match what {
            Acknowledged::Received | Acknowledged::Destroyed | Acknowledged::Reported => {
                is_requesters
            }
            Acknowledged::Returned => is_requesters || is_depositors,
        }
    }
}
