//! What happens to a request by itself, and when.

use std::fmt;

use serde::Serialize;

use crate::domain::id::MemberPath;
use crate::domain::outlook::owed;
use crate::domain::request::{Request, State};
use crate::domain::statement::Acknowledged;
use crate::domain::time::Timestamp;

/// Something that happens to a request by itself, if nobody does anything more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Turn {
    /// It is late enough for its rule.
    DateComes,
    /// Notice has run.
    NoticeEnds,
    /// A consent stops being good.
    ConsentEnds {
        /// Whose.
        member: MemberPath,
    },
    /// The request lapses.
    Expires,
    /// Notice has run for a holder, by what is known in this home; until then it spends no share.
    NoticeEndsFor {
        /// Whose home.
        member: MemberPath,
    },
    /// The bundle can no longer be fetched.
    AccessEnds,
    /// The requester's organisation is late with what it took upon itself.
    DutyDue {
        /// What it has to acknowledge.
        acknowledged: Acknowledged,
    },
}

/// When something happens by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upcoming {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub turn: Turn,
}

/// What happens to a request by itself after this moment, the next thing first.
pub fn upcoming(request: &Request, now: Timestamp) -> Vec<Upcoming> {
    upcoming_in(request, &[], now)
}

/// The same, with when notice has run in homes that have known of the request since then: what the
/// vault says of that is not enough for a holder.
pub fn upcoming_in(
    request: &Request,
    homes: &[(MemberPath, Timestamp)],
    now: Timestamp,
) -> Vec<Upcoming> {
    let mut turns = Vec::new();
    match request.state(now) {
        State::Withdrawn | State::Expired => {}
        State::Open | State::Notice | State::Objected | State::Satisfied => {
            let date = request.rule().and_then(|rule| rule.trigger.date());
            turns.extend(date.map(|at| (at, Turn::DateComes)));
            turns.push((request.notice_ends_at, Turn::NoticeEnds));
            turns.push((request.expires_at, Turn::Expires));
            turns.extend(request.standing_consents(now).map(|consent| {
                (request.consent_ends(consent), Turn::ConsentEnds { member: consent.by.clone() })
            }));
            let awaited = request.awaited_holders(now);
            let spends = |who: &MemberPath| awaited.contains(&&who.organisation);
            for (member, known) in homes.iter().filter(|(member, _)| spends(member)) {
                let at = request.notice_ends_for(*known);
                // Where the vault's own notice lasts as long, nothing is new.
                if request.notice_ends_at < at && at < request.expires_at {
                    turns.push((at, Turn::NoticeEndsFor { member: member.clone() }));
                }
            }
        }
        State::Released | State::Retrieved => {
            let ends = request.access_ends().filter(|_| request.may_fetch(now).is_ok());
            turns.extend(ends.map(|at| (at, Turn::AccessEnds)));
            let owed = owed(request, now).filter(|_| request.is_retrieved());
            turns.extend(owed.map(|(duty, _)| {
                (duty.by, Turn::DutyDue { acknowledged: duty.kind.fulfilled_by() })
            }));
        }
    }
    // What never happens lies at the end of time.
    turns.retain(|(at, _)| now < *at && *at < Timestamp::MAX);
    turns.sort_by_key(|(at, _)| *at);
    turns.into_iter().map(|(at, turn)| Upcoming { at, turn }).collect()
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DateComes => f.write_str("the date of the rule has come"),
            Self::NoticeEnds => f.write_str("notice has run"),
            Self::ConsentEnds { member } => {
                write!(f, "the consent of {member} is no longer good, unless it is given anew")
            }
            Self::Expires => f.write_str("the request expires"),
            Self::NoticeEndsFor { member } => {
                write!(f, "notice has run in the home of {member}, which learned of it later")
            }
            Self::AccessEnds => f.write_str("the bundle can no longer be fetched"),
            Self::DutyDue { acknowledged } => {
                write!(f, "acknowledgement of {} is due", acknowledged.noun())
            }
        }
    }
}
