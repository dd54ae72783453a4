//! What may be registered by whom, and what becomes of it.

use super::scenario::{EVE, JUN, MINJI, parties};
use super::world::{OPERATOR, World, key_of, log, path};
use crate::domain::id::RegistrationId;
use crate::domain::refusal::Refusal;
use crate::domain::registration::Registration;
use crate::domain::rules::{self, CLOCK_SKEW_MAX};
use crate::domain::statement::{self, Log, Reason};
use crate::domain::stream::Stream;
use crate::domain::time::{Span, Timestamp};

/// Registers something; its id.
fn registered(world: &mut World, by: &str) -> RegistrationId {
    let registration = world.registration(by);
    RegistrationId::of(&world.accept(registration))
}

#[test]
fn whoever_acts_for_an_organisation_registers_for_it_and_nobody_else_does() {
    let mut world = parties();
    let revocation = world.revocation(MINJI, JUN, Reason::Left);
    world.accept(revocation);
    for (why, by, key, expected) in [
        ("a member", MINJI, MINJI, "ok"),
        ("of any organisation, for that one", EVE, EVE, "ok"),
        ("who has not been confirmed", "hanbit-parts/pat", "hanbit-parts/pat", "PENDING"),
        ("who has left", JUN, JUN, "REVOKED"),
        ("a stranger in a member's name", MINJI, EVE, "WRONG_KEY"),
        ("in the name of nobody there", "hanbit-parts/nil", EVE, "WRONG_KEY"),
        ("for an organisation that isn't there", "nowhere/nil", EVE, "WRONG_KEY"),
        ("the organisation key", MINJI, "hanbit-parts", "WRONG_KEY"),
        ("the operator for itself", OPERATOR, OPERATOR, "WRONG_KEY"),
        ("the operator in a member's name", MINJI, OPERATOR, "WRONG_KEY"),
    ] {
        let mut world = world.clone();
        let registration = world.registration(by);
        let before = world.records();
        let outcome = world.try_say_as(registration, key_of(key));
        assert_eq!(outcome.is_err(), world.records() == before, "{why}");
        assert_eq!(outcome.map_or_else(|refusal| refusal.code(), |()| "ok"), expected, "{why}");
    }
}

#[test]
fn a_registration_is_of_its_log_and_dated_by_the_vault() {
    let world = parties();
    let long_ago = Timestamp::from_millis(0);
    let ahead = world.now.after(CLOCK_SKEW_MAX);
    let too_far = ahead.after(Span::seconds(1));
    let elsewhere = Log { generation: 2, ..log() };
    for (why, made_at, log, expected) in [
        ("signed long ago and carried in now", long_ago, log(), "ok"),
        ("by a clock that is a little fast", ahead, log(), "ok"),
        ("by one that is too fast", too_far, log(), "EARLY"),
        ("for another generation", world.now, elsewhere, "OTHER_LOG"),
    ] {
        let mut world = world.clone();
        let mut registration = world.registration(MINJI);
        (registration.made.at, registration.made.log) = (made_at, log);
        let stated = world.stated(registration.clone());
        let outcome = world.submit(&stated);
        let word = outcome.as_ref().map_or_else(Refusal::code, |()| "ok");
        assert_eq!(word, expected, "{why}");
        let id = RegistrationId::of(&stated.digest);
        let expected = Registration {
            id: id.clone(),
            statement: registration,
            statement_sha256: stated.digest,
            registered_at: world.now,
        };
        assert_eq!(world.states.registration(&id), outcome.is_ok().then_some(&expected), "{why}");
    }
}

#[test]
fn the_same_document_may_be_registered_again_but_not_by_the_same_statement() {
    let mut world = parties();
    let registration = world.registration(MINJI);
    let stated = world.stated(registration.clone());
    assert_eq!(world.submit(&stated), Ok(()));
    let again = world.submit(&stated);
    assert_eq!(again.unwrap_err().code(), "ALREADY", "the very statement");
    for by in [MINJI, JUN, EVE] {
        let made = world.made(by);
        world.accept(statement::Registration { made, ..registration.clone() });
    }
    let same = |r: &&Registration| r.statement.sha256 == registration.sha256;
    assert_eq!(world.states.registrations().filter(same).count(), 4);
}

#[test]
fn registrations_stand_in_their_organisations_own_stream_and_stay_there_after_a_theft() {
    let mut world = parties();
    let said = world.registration(JUN);
    let stated = world.stated(said);
    let organisation = path(JUN).organisation;
    assert_eq!(rules::stream(&stated), Stream::OrganisationRegistrations(organisation.clone()));
    let stolen_at = world.now;
    let id = registered(&mut world, JUN);
    let before = world.states.registration(&id).cloned();
    assert!(before.is_some());
    world.pass(Span::days(1));
    let revocation = world.revocation(MINJI, JUN, Reason::CompromisedSince(stolen_at));
    world.accept(revocation);
    assert_eq!(world.states.registration(&id).cloned(), before, "the digest was known then");
    let after = world.registration(JUN);
    assert_eq!(world.try_say(after), Err(Refusal::Revoked(path(JUN))));
}
