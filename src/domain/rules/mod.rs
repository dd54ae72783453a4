//! The rules: which statement may become an event, and what an event changes.
//!
//! `decide` and `apply` are pure. The vault runs them to accept statements, clients run them to
//! believe what they are shown, and anybody can run them over an exported stream.

mod apply;
mod decide;
mod reads;

pub use apply::{apply, apply_note};
pub use decide::{decide, decide_resumed, holds, may_read};
pub use reads::{reads, reads_further, reads_of_note, request_named};

use std::borrow::Cow;

use crate::domain::amendment::Amendment;
use crate::domain::id::{AgreementId, Digest, MemberPath};
use crate::domain::request::Request;
use crate::domain::statement::{Ground, Log, Stated, Statement};
use crate::domain::states::States;
use crate::domain::stream::Stream;
use crate::domain::time::{Span, Timestamp};

/// How far a member's clock may run ahead of the vault's.
pub const CLOCK_SKEW_MAX: Span = Span::seconds(10 * 60);
/// How long a statement may stay good.
pub const VALIDITY_MAX: Span = Span::days(30);

/// What a statement is judged by besides the states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// The log that judges.
    pub log: Log,
    /// By which version of the rules it judges.
    pub engine: u32,
    /// The vault's time.
    pub now: Timestamp,
    /// The commitment of the event that the statement says it saw, if there is such an event.
    pub saw: Option<Digest>,
}

/// The stream a statement belongs to.
pub fn stream(stated: &Stated) -> Stream {
    match &stated.statement {
        Statement::Invitation(s) => Stream::Organisation(s.member.organisation.clone()),
        Statement::Confirmation(s) => Stream::Organisation(s.member.organisation.clone()),
        Statement::Revocation(s) => Stream::Organisation(s.member.organisation.clone()),
        Statement::Organisation(_) | Statement::Join(_) | Statement::Renewal(_) => {
            Stream::Organisation(stated.statement.made().by.organisation.clone())
        }
        Statement::Registration(s) => {
            Stream::OrganisationRegistrations(s.made.by.organisation.clone())
        }
        Statement::Proposal(_) => Stream::Agreement(AgreementId::of(&stated.digest)),
        Statement::ReleaseKey(s) => Stream::Agreement(s.agreement.clone()),
        Statement::Acceptance(s) => in_agreement(&s.ground),
        Statement::Declination(s) => in_agreement(&s.ground),
        Statement::Amendment(s) => in_agreement(&s.ground),
        Statement::Countersignature(s) => in_agreement(&s.ground),
        Statement::Termination(s) => in_agreement(&s.ground),
        Statement::RevocationNotice(s) => in_agreement(&s.ground),
        Statement::Resumption(s) => Stream::AgreementAccesses(s.ground.agreement.clone()),
        Statement::Reminder(s) => in_agreement(&s.ground),
        Statement::Reseal(s) => in_agreement(&s.ground),
        Statement::Deposit(s) => in_agreement(&s.ground),
        Statement::Request(s) => in_agreement(&s.ground),
        Statement::Consent(s) => in_agreement(&s.ground),
        Statement::Contribution(s) => in_agreement(&s.ground),
        Statement::Seen(s) => in_agreement(&s.ground),
        Statement::Notification(s) => in_agreement(&s.ground),
        Statement::Objection(s) => in_agreement(&s.ground),
        Statement::Attestation(s) => in_agreement(&s.ground),
        Statement::Settlement(s) => in_agreement(&s.ground),
        Statement::Withdrawal(s) => in_agreement(&s.ground),
        Statement::Retrieval(s) => in_agreement(&s.ground),
        Statement::Acknowledgement(s) => in_agreement(&s.ground),
        Statement::TimeStamp(s) => in_agreement(&s.ground),
    }
}

fn in_agreement(ground: &Ground) -> Stream {
    Stream::Agreement(ground.agreement.clone())
}

/// A request as it is to be judged: without what was done by members whose acts no longer count.
/// What was released stays released.
pub fn judged(states: &States, request: &Request) -> Request {
    as_judged(states, request).into_owned()
}

/// The same, where it is only looked at.
pub(super) fn as_judged<'r>(states: &States, request: &'r Request) -> Cow<'r, Request> {
    request.judged(|by, at| counts(states, by, at))
}

/// An amendment as it is to be judged, in the same way.
pub fn judged_amendment(states: &States, amendment: &Amendment) -> Amendment {
    amendment.judged(|by, at| counts(states, by, at))
}

fn counts(states: &States, by: &MemberPath, at: Timestamp) -> bool {
    let organisation = states.organisation(&by.organisation);
    let member = organisation.and_then(|organisation| organisation.member(&by.name));
    member.is_some_and(|member| member.counts_at(at))
}
