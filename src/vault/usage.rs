//! What organisations take up, folded from events beside the rules.
//!
//! Beside and not in them: clients replay the rules, and how much an operator grants an
//! organisation is no part of any agreement.

use crate::domain::event::SignedText;
use crate::domain::request::{Outcome, Request};
use crate::domain::rules;
use crate::domain::statement::{Stated, Statement};
use crate::domain::states::{Key, States};
use crate::domain::time::Timestamp;

/// The records this statement is counted in. Those of a request's organisation are known once
/// the request is.
pub(super) fn reads(states: &States, stated: &Stated) -> Vec<Key> {
    let own = &stated.statement.made().by.organisation;
    let mut keys = vec![Key::Usage(own.clone()), Key::Underway(own.clone())];
    let request = rules::request_named(&stated.statement).and_then(|id| states.request(id));
    keys.extend(request.map(|r| Key::Underway(r.requester().organisation.clone())));
    keys
}

/// Counts a statement that the rules were just applied for.
pub(super) fn count(states: &mut States, signed: &SignedText, stated: &Stated, now: Timestamp) {
    let own = &stated.statement.made().by.organisation;
    let mut usage = states.usage(own).copied().unwrap_or_default();
    usage.bytes += signed.statement.len() as u64;
    if let Statement::Deposit(deposit) = &stated.statement {
        usage.bytes += deposit.size;
        usage.deposits += 1;
    }
    if let Statement::Registration(_) = &stated.statement {
        usage.registrations += 1;
    }
    states.put_usage(own.clone(), usage);
    if let Statement::Request(_) = &stated.statement {
        let id = crate::domain::id::RequestId::of(&stated.digest);
        if let Some(expires_at) = states.request(&id).map(|request| request.expires_at) {
            let mut open = states.underway(own).cloned().unwrap_or_default();
            open.opened(id, expires_at, now);
            states.put_underway(own.clone(), open);
        }
    }
    let ended = rules::request_named(&stated.statement)
        .and_then(|id| states.request(id))
        .filter(|request| has_ended(request))
        .map(|request| (request.id.clone(), request.requester().organisation.clone()));
    if let Some((id, requester)) = ended
        && states.underway(&requester).is_some_and(|open| open.contains(&id))
        && let Some(open) = states.underway_mut(&requester)
    {
        open.ended(&id);
    }
}

fn has_ended(request: &Request) -> bool {
    match request.outcome {
        Outcome::Undecided => false,
        Outcome::Released { .. } | Outcome::Retrieved { .. } | Outcome::Withdrawn { .. } => true,
    }
}
