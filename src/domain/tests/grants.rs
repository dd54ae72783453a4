//! Which deposits a rule grants, and what it lays upon whoever asks.

use serde_json::{Value, json};

use super::scenario::{KENJI, MINJI, SORA, YUKI, parties};
use super::terms::{terms, three_party};
use super::world::{Case, World};
use crate::domain::id::{AgreementId, DepositId};
use crate::domain::outlook::{Missing, missing};
use crate::domain::refusal::Refusal;
use crate::domain::request::DutyState;
use crate::domain::statement::{Acknowledged, Duty, DutyKind};
use crate::domain::time::{Span, Timestamp};

/// An agreement whose rule for joint releases says this besides.
fn agreed(word: &str, value: Value) -> (World, AgreementId) {
    let mut world = parties();
    let mut written = three_party();
    written["format"] = json!(2);
    written["rules"][0][word] = value;
    let agreement = world.agree(&terms(written));
    (world, agreement)
}

fn ask(world: &mut World, deposit: &DepositId) -> Result<(), Refusal> {
    let request = world.request(YUKI, deposit, "joint");
    world.try_say(request)
}

#[test]
fn a_rule_grants_the_deposits_that_it_names() {
    let not = |grants: &str| {
        let rule = "joint".parse().unwrap();
        Err(Refusal::NotGranted { rule, grants: grants.to_owned() })
    };
    for (why, grants, first, last) in [
        ("every one", json!("all"), Ok(()), Ok(())),
        ("the latest", json!("latest"), not("the latest deposit"), Ok(())),
        ("by its label", json!({"label": "line 7"}), Ok(()), Ok(())),
        (
            "by another",
            json!({"label": "line 8"}),
            not("deposits labelled line 8"),
            not("deposits labelled line 8"),
        ),
    ] {
        let (mut world, agreement) = agreed("grants", grants);
        let deposits = [world.store(&agreement), world.store(&agreement)];
        for (deposit, granted) in deposits.iter().zip([first, last]) {
            assert_eq!(ask(&mut world, deposit), granted, "{why}");
        }
    }
}

#[test]
fn promise_5_what_was_the_latest_when_it_was_asked_for_stays_granted() {
    let (mut world, agreement) = agreed("grants", json!("latest"));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, "joint");
    world.store(&agreement);
    assert!(ask(&mut world, &deposit).is_err(), "no more of it");
    release(&mut world, &case);
}

fn release(world: &mut World, case: &Case) {
    for by in [MINJI, SORA] {
        let consent = world.consent(by, case);
        world.accept(consent);
    }
    let contribution = world.contribution(SORA, case);
    world.accept(contribution);
    let retrieval = world.retrieval(YUKI, case);
    world.accept(retrieval);
}

#[test]
fn a_duty_of_the_rule_runs_from_the_release_and_is_fulfilled_by_its_deed_alone() {
    for (kind, deed, other) in [
        (DutyKind::Report, Acknowledged::Reported, Acknowledged::Destroyed),
        (DutyKind::Destroy, Acknowledged::Destroyed, Acknowledged::Reported),
        (DutyKind::Return, Acknowledged::Returned, Acknowledged::Reported),
    ] {
        let (mut world, agreement) = agreed("duty", json!({ "kind": kind, "within": "30d" }));
        let deposit = world.store(&agreement);
        let case = world.ask(YUKI, &deposit, "joint");
        let expires_at = world.seen(&case).expires_at;
        let duty = |world: &World| world.judged(&case).duty(world.now).unwrap();
        let at_the_latest = Duty { kind, by: expires_at.after(Span::days(30)) };
        assert_eq!(duty(&world), (at_the_latest, DutyState::Open), "before there is a release");
        world.pass(Span::days(1));
        release(&mut world, &case);
        let by = world.now.after(Span::days(30));
        assert_eq!(duty(&world), (Duty { kind, by }, DutyState::Open));
        world.now = Timestamp::from_millis(by.as_millis() + 1);
        let said = world.acknowledgement(KENJI, &case, other);
        world.accept(said);
        assert_eq!(duty(&world).1, DutyState::Overdue, "{other:?} is something else");
        let lacking = missing(&world.judged(&case), world.now);
        let is_named = matches!(
            lacking.as_slice(),
            [Missing::Acknowledgement { acknowledged, due_at, is_overdue: true, .. }]
                if *acknowledged == deed && *due_at == by
        );
        assert!(is_named, "{lacking:?}");
        let said = world.acknowledgement(KENJI, &case, deed);
        world.accept(said);
        assert_eq!(duty(&world).1, DutyState::Fulfilled { at: world.now });
    }
}

#[test]
fn a_request_adds_nothing_to_the_duty_of_its_rule() {
    let (mut world, agreement) = agreed("duty", json!({ "kind": "report", "within": "30d" }));
    let deposit = world.store(&agreement);
    let mut request = world.request(YUKI, &deposit, "joint");
    request.duty = Some(Duty { kind: DutyKind::Destroy, by: world.now.after(Span::days(1)) });
    let refused = world.try_say(request);
    assert_eq!(refused, Err(Refusal::DutyOfRule("joint".parse().unwrap())));
}

#[test]
fn only_whoever_asked_reports() {
    let (mut world, agreement) = agreed("duty", json!({ "kind": "report", "within": "30d" }));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, "joint");
    release(&mut world, &case);
    for by in [MINJI, SORA] {
        let said = world.acknowledgement(by, &case, Acknowledged::Reported);
        assert_eq!(world.try_say(said).unwrap_err().code(), "NOT_ENTITLED", "{by}");
    }
}
