//! The promises, asked of the records themselves, whatever ought to have happened. Promise 4 leaves
//! no record that it could be asked of: a consent that names another request is a step, to be refused.

use std::collections::BTreeSet;

use stateright::Property;

use super::moment::Moment;
use super::{Escrow, NEW_TERMS, RULES, TERMS};
use crate::domain::request::{Request, State};

pub(super) const NEVER_ONE: &str = "promise 2: never one";
pub(super) const OPENABLE: &str = "promise 3: satisfied means openable";
pub(super) const UNMOVED: &str = "promise 5: rules don't move under a request";
pub(super) const OBJECTION_BEATS: &str = "promise 6: objection beats consent";

/// Whether a promise holds of one request at one moment.
type Holds = fn(&Moment, &Request) -> bool;

const ALL: [Holds; 4] = [is_never_one, is_openable, is_unmoved, is_blocked_if_objected];

/// What must be so of every request at every moment.
pub(super) fn properties() -> [Property<Escrow>; 4] {
    [
        Property::always(NEVER_ONE, |_, moment| of_all(moment, is_never_one)),
        Property::always(OPENABLE, |_, moment| of_all(moment, is_openable)),
        Property::always(UNMOVED, |_, moment| of_all(moment, is_unmoved)),
        Property::always(OBJECTION_BEATS, |_, moment| of_all(moment, is_blocked_if_objected)),
    ]
}

fn of_all(moment: &Moment, holds: Holds) -> bool {
    (0..RULES.len()).filter_map(|of| moment.request(of)).all(|request| holds(moment, &request))
}

/// Which of them hold of this request.
pub(super) fn kept(moment: &Moment, request: &Request) -> [bool; 4] {
    ALL.map(|holds| holds(moment, request))
}

/// Who asks consents to nothing, and where nothing more is to be consented to, or was when shares were
/// handed out, two organisations have.
fn is_never_one(moment: &Moment, request: &Request) -> bool {
    let at = request.released_at().unwrap_or(moment.world.now);
    let by: Vec<_> = request.standing_consents(at).map(|consent| &consent.by).collect();
    let houses: BTreeSet<_> = by.iter().map(|by| &by.organisation).collect();
    let state = request.state(moment.world.now);
    let is_met = matches!(state, State::Satisfied | State::Released | State::Retrieved);
    !by.contains(&request.requester()) && (!is_met || houses.len() >= 2)
}

/// The shares that open it are there, or can be.
fn is_openable(moment: &Moment, request: &Request) -> bool {
    let own = &request.requester().organisation;
    let spent = request.contributions.iter().map(|spent| &spent.by.organisation);
    let spent: BTreeSet<_> = spent.chain([own]).collect();
    let due = request.awaited_holders(moment.world.now).len();
    let quorum = usize::from(request.terms.quorum);
    match request.state(moment.world.now) {
        State::Satisfied => spent.len() + due >= quorum,
        State::Released | State::Retrieved => spent.len() >= quorum,
        State::Open | State::Notice | State::Objected | State::Withdrawn | State::Expired => true,
    }
}

/// It is judged by the terms that it named.
fn is_unmoved(moment: &Moment, request: &Request) -> bool {
    let is_new = Some(request.statement.terms_sha256) == moment.amendment;
    let terms = if is_new { &*NEW_TERMS } else { &*TERMS };
    request.terms_version == 1 + u32::from(is_new) && *request.terms == *terms
}

/// While an objection stands nothing is released.
fn is_blocked_if_objected(moment: &Moment, request: &Request) -> bool {
    let is_objected = request.standing_objections().next().is_some();
    let state = request.state(moment.world.now);
    !is_objected || matches!(state, State::Objected | State::Withdrawn | State::Expired)
}
