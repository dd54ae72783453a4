//! What the search has to come to.

use std::borrow::Cow;

use stateright::Property;

use super::moment::{Held, Moment};
use super::steps::{Act, Loss};
use super::{Bounds, DANA, Escrow, RULES, STOLEN_AT};
use crate::domain::request::{Request, State};

/// What must come to pass at some moment, lest the rest be empty.
pub(super) fn properties(bounds: Bounds) -> Vec<Property<Escrow>> {
    let mut reached = vec![Property::sometimes(
        "a bankruptcy is released after as much trouble as there may be",
        |escrow: &Escrow, m| {
            m.state(1) == Some(State::Released) && m.expected.has_had(escrow.bounds.troubles)
        },
    )];
    if bounds.asked.len() == RULES.len() {
        reached.extend(of_two());
    }
    if !bounds.held.is_empty() {
        reached.extend([
            Property::sometimes("what was signed is overtaken", |_, m: &Moment| {
                m.held.as_ref().is_some_and(|held| held.is_overtaken)
            }),
            Property::sometimes("what was signed is no longer good", |_, m: &Moment| {
                m.held.as_ref().is_some_and(|held| held.good == 0)
            }),
        ]);
    }
    if bounds.troubles >= 2 && !bounds.held.is_empty() {
        reached.push(Property::sometimes(
            "what is overtaken and only blocks holds",
            |_, m: &Moment| {
                let is_objection = |held: &Held| matches!(held.act, Act::Object(..));
                m.held.as_ref().is_some_and(|it| it.is_overtaken && is_objection(it))
            },
        ));
    }
    if bounds.troubles >= 2 && bounds.trouble_by > STOLEN_AT {
        reached.push(Property::sometimes("a stolen signature does not amend", |_, m: &Moment| {
            m.expected.had_void_signature()
        }));
    }
    reached
}

/// The same, of two requests.
fn of_two() -> Vec<Property<Escrow>> {
    vec![
        Property::sometimes("what both sides agree on is released", |_, m: &Moment| {
            m.state(0) == Some(State::Released)
        }),
        Property::sometimes("both bundles are fetched", |_, m: &Moment| {
            [0, 1].map(|of| m.state(of)) == [Some(State::Retrieved); 2]
        }),
        Property::sometimes("a request is taken back", |_, m: &Moment| {
            m.state(1) == Some(State::Withdrawn)
        }),
        Property::sometimes("a request expires", |_, m: &Moment| {
            m.state(0) == Some(State::Expired)
        }),
        Property::sometimes("notice runs", |_, m: &Moment| m.state(1) == Some(State::Notice)),
        Property::sometimes("consents are no longer good", |_, m: &Moment| {
            let ended = |r: &Request| r.standing_consents(m.world.now).count() < r.consents.len();
            m.request(0).is_some_and(|request| m.state(0) == Some(State::Open) && ended(&request))
        }),
        Property::sometimes("one share is spent, another awaited", |_, m: &Moment| {
            let is_half = m.request(1).is_some_and(|request| request.contributions.len() == 1);
            is_half && m.state(1) == Some(State::Satisfied)
        }),
        Property::sometimes(
            "a share is spent, and consents are no longer good",
            |_, m: &Moment| {
                let is_half = m.request(0).is_some_and(|request| request.contributions.len() == 1);
                is_half && m.state(0) == Some(State::Open)
            },
        ),
        Property::sometimes("an objection blocks what all agree on", |_, m: &Moment| {
            let is_consented = |r: Cow<'_, Request>| r.is_consented(m.world.now);
            m.state(1) == Some(State::Objected) && m.request(1).is_some_and(is_consented)
        }),
        Property::sometimes("what was objected to is released", |_, m: &Moment| {
            let is_by_award = m.expected.was_awarded(1);
            m.expected.was_objected(1) && !is_by_award && m.state(1) == Some(State::Released)
        }),
        Property::sometimes("an award releases", |_, m: &Moment| {
            m.expected.was_awarded(1) && m.state(1) == Some(State::Released)
        }),
        Property::sometimes("a stolen consent is void, another in its place", |_, m: &Moment| {
            m.expected.had_void_consent(0) && m.state(0) == Some(State::Released)
        }),
        Property::sometimes("the consent of who has left counts on", |_, m: &Moment| {
            let has = |r: Cow<'_, Request>| r.has_consented(&DANA.parse().unwrap(), m.world.now);
            let has_left = m.expected.lost() == Some(Loss::Left);
            has_left && m.state(0) == Some(State::Satisfied) && m.request(0).is_some_and(has)
        }),
        Property::sometimes("an amendment leaves an open request alone", |_, m: &Moment| {
            let is_old = !m.expected.is_under_new_terms(0);
            m.expected.is_amended() && is_old && m.state(0) == Some(State::Satisfied)
        }),
        Property::sometimes("amended terms release", |_, m: &Moment| {
            let is_new = [0, 1].map(|of| m.expected.is_under_new_terms(of)) == [true; 2];
            is_new && [0, 1].map(|of| m.state(of)) == [Some(State::Released); 2]
        }),
        Property::sometimes("requests of old and new terms are open", |_, m: &Moment| {
            let is_open = [0, 1].map(|of| m.state(of)) == [Some(State::Open); 2];
            is_open && m.expected.is_under_new_terms(1) && !m.expected.is_under_new_terms(0)
        }),
    ]
}
