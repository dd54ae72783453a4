//! Requests under terms that pin an authority for time-stamps.

use super::scenario::{KENJI, MINJI, SORA, YUKI, asked, parties};
use super::terms::{stamped_terms, terms};
use super::world::{Case, World};
use crate::domain::refusal::Refusal;
use crate::domain::request::State;
use crate::domain::rules::CLOCK_SKEW_MAX;
use crate::domain::statement::{Reason, Withdrawn};
use crate::domain::time::Span;

/// A request of yuki's under such terms.
pub(super) fn stampable(rule: &str) -> (World, Case) {
    let mut world = parties();
    let agreement = world.agree(&terms(stamped_terms()));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, rule);
    (world, case)
}

fn stamp(world: &mut World, by: &str, case: &Case) -> Result<(), Refusal> {
    let stamp = world.time_stamp(by, case);
    world.try_say(stamp)
}

#[test]
fn the_first_time_stamp_of_a_request_is_its_only_one() {
    let (mut world, case) = stampable("joint");
    let asked_at = world.now;
    world.pass(Span::seconds(60));
    assert!(world.judged(&case).awaits_stamp(world.now).is_some());
    assert_eq!(stamp(&mut world, SORA, &case), Ok(()));
    let already =
        Err(Refusal::Already { who: case.request.id.to_string(), what: "been time-stamped" });
    for (why, by, at) in [
        ("a later one", YUKI, world.now),
        ("of the same member", SORA, world.now),
        ("an earlier one, which nobody can have had made afterwards", YUKI, asked_at),
    ] {
        let mut again = world.time_stamp(by, &case);
        again.at = at;
        assert_eq!(world.try_say(again), already, "{why}");
    }
    let request = world.judged(&case);
    assert_eq!(request.stamped.as_ref().map(|it| it.stamped_at), Some(world.now));
    assert_eq!(request.awaits_stamp(world.now), None);
}

#[test]
fn nothing_is_stamped_where_no_authority_was_agreed_on() {
    let (mut world, case) = asked("joint");
    assert_eq!(world.judged(&case).awaits_stamp(world.now), None);
    for by in [YUKI, MINJI, SORA] {
        assert_eq!(stamp(&mut world, by, &case), Err(Refusal::NoAuthority), "{by}");
    }
}

#[test]
fn a_request_is_stamped_until_it_has_ended() {
    type Until = fn(&mut World, &Case);
    let rows: [(&str, &str, Until, Result<(), State>); 7] = [
        ("it is open", "joint", |_, _| {}, Ok(())),
        (
            "its notice runs",
            "bankruptcy",
            |world, case| {
                for by in [KENJI, SORA] {
                    let consent = world.consent(by, case);
                    world.accept(consent);
                }
            },
            Ok(()),
        ),
        (
            "somebody objects",
            "bankruptcy",
            |world, case| {
                let objection = world.objection(MINJI, case);
                world.accept(objection);
            },
            Ok(()),
        ),
        ("its rule is met", "joint", consented, Ok(())),
        (
            "it is released",
            "joint",
            |world, case| {
                consented(world, case);
                let contribution = world.contribution(SORA, case);
                world.accept(contribution);
            },
            Err(State::Released),
        ),
        (
            "it was taken back",
            "joint",
            |world, case| {
                let withdrawal = world.withdrawal(YUKI, case, Withdrawn::Request);
                world.accept(withdrawal);
            },
            Err(State::Withdrawn),
        ),
        ("it has lapsed", "joint", |world, _| world.pass(Span::days(90)), Err(State::Expired)),
    ];
    for (why, rule, until, expected) in rows {
        let (mut world, case) = stampable(rule);
        until(&mut world, &case);
        let is_awaited = world.judged(&case).awaits_stamp(world.now).is_some();
        assert_eq!(is_awaited, expected.is_ok(), "{why}");
        let before = world.state(&case);
        assert_eq!(stamp(&mut world, SORA, &case), expected.map_err(Refusal::RequestIs), "{why}");
        assert_eq!(world.state(&case), before, "it moves nothing: {why}");
    }
}

fn consented(world: &mut World, case: &Case) {
    for by in [MINJI, SORA] {
        let consent = world.consent(by, case);
        world.accept(consent);
    }
}

#[test]
fn a_statement_that_was_stamped_before_it_was_handed_in_has_no_earlier_time_by_it() {
    let (mut world, case) = stampable("joint");
    let mut early = world.time_stamp(YUKI, &case);
    let asked_at = world.seen(&case).opened_at;
    early.at = "2026-02-20T09:00:00.000Z".parse().unwrap();
    assert!(early.at.after(CLOCK_SKEW_MAX) < asked_at);
    let refused = Err(Refusal::Backdated { at: early.at, asked_at });
    assert_eq!(world.try_say(early), refused);
    assert_eq!(stamp(&mut world, YUKI, &case), Ok(()), "and it can be had still");
}

#[test]
fn a_time_stamp_stays_whoever_turns_out_to_have_carried_it() {
    let (mut world, case) = stampable("joint");
    world.pass(Span::seconds(60));
    let stolen_at = world.now;
    assert_eq!(stamp(&mut world, KENJI, &case), Ok(()));
    let theft = world.revocation(YUKI, KENJI, Reason::CompromisedSince(stolen_at));
    world.accept(theft);
    assert_eq!(world.judged(&case).stamped.unwrap().stamped_at, stolen_at);
    assert_eq!(stamp(&mut world, KENJI, &case), Err(Refusal::Revoked(KENJI.parse().unwrap())));
}
