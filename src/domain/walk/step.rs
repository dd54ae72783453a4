//! What can be done in a walk, and what keeps it from being done.

use crate::domain::id::{MemberPath, OrganisationName, RuleName};
use crate::domain::outlook::NotAsked;
use crate::domain::refusal::Refusal;
use crate::domain::statement::{Acknowledged, Attested, Basis, Duty, Reason, Withdrawn};
use crate::domain::terms::Terms;
use crate::domain::text::Text;
use crate::domain::time::{Span, Timestamp};

/// One step. What there may be several of is counted from 1; where no number is named, the last is
/// meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something is deposited.
    Deposit {
        /// By whom; where nobody is named, by the depositor.
        by: Option<MemberPath>,
        /// Under what label, if it matters.
        label: Option<Text>,
    },
    /// A deposit is asked for.
    Request {
        /// By whom.
        by: MemberPath,
        /// Under which rule.
        rule: RuleName,
        /// Which deposit.
        deposit: Option<usize>,
        /// What the requester promises.
        duty: Option<Duty>,
    },
    /// Something is done about a request.
    About {
        /// Which request.
        request: Option<usize>,
        /// By whom; where nobody is named, by who made it.
        by: Option<MemberPath>,
        /// What.
        act: Act,
    },
    /// A party is reminded.
    Remind {
        /// By whom.
        by: MemberPath,
        /// Which; where none is named, the only other one whose silence counts.
        organisation: Option<OrganisationName>,
    },
    /// A member's authority is taken away, and the parties are told.
    Revoke {
        /// Whose.
        member: MemberPath,
        /// Why.
        reason: Reason,
    },
    /// Other terms are proposed.
    Amend {
        /// By whom.
        by: MemberPath,
        /// The terms as they are to be, whole.
        terms: Box<Terms>,
    },
    /// The last amendment is signed.
    Countersign {
        /// By whom.
        by: MemberPath,
    },
    /// The end of the agreement is signed for.
    Terminate {
        /// By whom.
        by: MemberPath,
    },
    /// Time passes; where it is not said how much, until the next thing happens by itself.
    Wait(Option<Span>),
    /// Time passes until then.
    Until(Timestamp),
}

/// What can be done about a request. Whoever does something has looked at it, which is a statement
/// where it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// To look and do nothing else.
    Look,
    /// To do what is due: consent, contribute, or both.
    Approve {
        /// Whether evidence is recorded first that those who may object were notified.
        notified: bool,
    },
    /// To say one thing.
    Say(Saying),
}

/// One thing that is said of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saying {
    /// That it was seen.
    Seen,
    /// That the authority which the terms pin has stamped it now.
    Stamped,
    /// That those who may object were notified.
    Notified,
    /// Yes.
    Consent,
    /// With the organisation's share.
    Contribution,
    /// No.
    Objection,
    /// That what its rule asks for has happened.
    Attestation(Attested),
    /// That objections are settled.
    Settlement(Basis),
    /// That something is taken back.
    Withdrawal(Withdrawn),
    /// That delivery is taken.
    Retrieval,
    /// What became of the bundle.
    Acknowledgement(Acknowledged),
}

/// Why a step was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing was there for this member to do.
    #[error("nothing was due from {0}")]
    NothingDue(MemberPath),
    /// Something else is to be attested.
    #[error(transparent)]
    NotAsked(#[from] NotAsked),
    /// Nobody's objection stands.
    #[error("no objection stands, so there is nothing to settle")]
    NothingToSettle,
    /// Notice has not run for whoever would contribute.
    #[error(
        "request {request} has not been known in the home of {by} for long enough, whatever the vault \
         says: notice runs there until {until}"
    )]
    NoticeRuns {
        /// Of which request.
        request: usize,
        /// For whom.
        by: MemberPath,
        /// Until when.
        until: Timestamp,
    },
    /// There is nothing of the kind yet, or nothing with this number.
    #[error("there is no {0}")]
    Absent(String),
    /// It is later than that.
    #[error("it is {now} already, later than {until}")]
    Past {
        /// As named.
        until: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// Nothing happens by itself any more.
    #[error("nothing happens by itself any more")]
    NothingAhead,
}

impl Stopped {
    /// A name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NothingDue(_) | Self::NoticeRuns { .. } => "NOT_YET",
            Self::NotAsked(_) => "NOT_ASKED",
            Self::NothingToSettle => "NOTHING_TO_SETTLE",
            Self::Absent(_) => "ABSENT",
            Self::Past { .. } => "PAST",
            Self::NothingAhead => "NOTHING_AHEAD",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::NotAsked(other) => other.hint(),
            Self::NothingDue(_) | Self::NothingToSettle => {
                "see what is missing, and who can supply it".to_owned()
            }
            Self::NoticeRuns { .. } => "approve it again after that".to_owned(),
            Self::Absent(what) if what.ends_with(|c: char| c.is_ascii_digit()) => {
                "deposits and requests are counted from 1; without a number the last is meant"
                    .to_owned()
            }
            Self::Absent(_) => "look back at what was done so far".to_owned(),
            Self::Past { .. } => {
                "the clock is never moved back; begin earlier with --from".to_owned()
            }
            Self::NothingAhead => "say how long: wait 10d".to_owned(),
        }
    }
}
