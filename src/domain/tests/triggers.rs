//! What must have happened before a rule can be used.

use serde_json::{Value, json};

use super::scenario::{DANA, KENJI, MINJI, SORA, YUKI, parties};
use super::terms::{terms, three_party};
use super::world::{Case, World};
use crate::domain::id::{AgreementId, DepositId};
use crate::domain::outlook::{Missing, OpenSeats, Wanted, missing, upcoming, wanted};
use crate::domain::refusal::Refusal;
use crate::domain::request::State;
use crate::domain::statement::{Attested, Reason};
use crate::domain::time::{Span, Timestamp};
use crate::domain::trigger::Unmet;

/// The three-party terms with this trigger of the rule for bankruptcy.
pub(super) fn triggered(trigger: Value) -> Value {
    let mut written = three_party();
    written["format"] = json!(2);
    written["rules"][1]["trigger"] = trigger;
    written
}

/// An event that the agent attests.
pub(super) const TRIGGER: &str = r#"{"event":{"kind":"insolvency","attested":"1@agent"}}"#;

pub(super) fn insolvency() -> Attested {
    Attested::Event("insolvency".parse().unwrap())
}

fn agreed(trigger: &str) -> (World, AgreementId, DepositId) {
    let mut world = parties();
    let agreement = world.agree(&terms(triggered(serde_json::from_str(trigger).unwrap())));
    let deposit = world.store(&agreement);
    (world, agreement, deposit)
}

/// A request of yuki's under the rule with this trigger.
pub(super) fn asked_given(trigger: &str) -> (World, AgreementId, Case) {
    let (mut world, agreement, deposit) = agreed(trigger);
    let case = world.ask(YUKI, &deposit, "bankruptcy");
    (world, agreement, case)
}

/// The silence of the depositor, who was heard of last a moment ago.
const SILENCE: &str =
    r#"{"silence":{"role":"depositor","lasts":"30d","reminders":2,"every":"7d"}}"#;

/// An agreement in which the depositor's silence counts.
pub(super) fn silent() -> (World, AgreementId) {
    let (world, agreement, _) = agreed(SILENCE);
    (world, agreement)
}

/// The same request with all else that it takes.
fn all_but_triggered(trigger: &str) -> (World, Case) {
    let (mut world, _, case) = asked_given(trigger);
    let sight = world.sight(MINJI, &case);
    world.accept(sight);
    for by in [KENJI, SORA] {
        let consent = world.consent(by, &case);
        world.accept(consent);
    }
    world.pass(Span::days(10));
    (world, case)
}

fn attest(world: &mut World, by: &str, case: &Case, what: &Attested) -> Result<(), Refusal> {
    let attestation = world.attestation(by, case, what);
    world.try_say(attestation)
}

fn days(world: &World, count: u64) -> Timestamp {
    world.now.after(Span::days(count))
}

#[test]
fn what_people_attest_is_attested_for_one_request_by_who_is_named() {
    let order = r#"{"order":{"attested":"2@agent"}}"#;
    let merger = Attested::Event("merger".parse().unwrap());
    for (why, trigger, said, is_met) in [
        ("nobody says anything", TRIGGER, &[][..], false),
        ("who is named", TRIGGER, &[(SORA, insolvency(), true)], true),
        ("who is not", TRIGGER, &[(MINJI, insolvency(), false)], false),
        ("who asks", TRIGGER, &[(YUKI, insolvency(), false)], false),
        ("another event", TRIGGER, &[(SORA, merger, false)], false),
        (
            "an order, where an event is asked for",
            TRIGGER,
            &[(SORA, Attested::Order, false)],
            false,
        ),
        ("an event, where an order is", order, &[(SORA, insolvency(), false)], false),
        ("one of two", order, &[(SORA, Attested::Order, true)], false),
        (
            "one of two twice",
            order,
            &[(SORA, Attested::Order, true), (SORA, Attested::Order, false)],
            false,
        ),
        ("both", order, &[(SORA, Attested::Order, true), (DANA, Attested::Order, true)], true),
    ] {
        let (mut world, case) = all_but_triggered(trigger);
        assert_eq!(world.state(&case), State::Open, "{why}");
        for (by, what, is_taken) in said {
            assert_eq!(attest(&mut world, by, &case, what).is_ok(), *is_taken, "{why}");
        }
        let state = if is_met { State::Satisfied } else { State::Open };
        assert_eq!(world.state(&case), state, "{why}");
        let contribution = world.contribution(SORA, &case);
        assert_eq!(world.try_say(contribution).is_ok(), is_met, "{why}");
    }
}

#[test]
fn an_attestation_does_not_count_once_its_signer_was_a_thief() {
    let (mut world, case) = all_but_triggered(TRIGGER);
    let before = world.now;
    world.pass(Span::seconds(1));
    assert_eq!(attest(&mut world, DANA, &case, &insolvency()), Ok(()));
    assert_eq!(world.state(&case), State::Satisfied);
    let revocation = world.revocation(SORA, DANA, Reason::CompromisedSince(before));
    world.accept(revocation);
    assert_eq!(world.state(&case), State::Open);
}

#[test]
fn whoever_can_attest_is_named() {
    let (mut world, case) = all_but_triggered(TRIGGER);
    let request = world.judged(&case);
    let lacking = missing(&request, world.now);
    let organisations = vec!["trade-secret-center".parse().unwrap()];
    let role = "agent".parse().unwrap();
    assert_eq!(
        lacking,
        [Missing::Attestations(OpenSeats { seats: 1, role, organisations, other_than: None })]
    );
    let sentence = "attestation of a member of trade-secret-center (agent)";
    assert_eq!(lacking[0].to_string(), sentence);
    for (who, what) in [
        (SORA, Some(Wanted::Attest)),
        (DANA, Some(Wanted::Attest)),
        (MINJI, Some(Wanted::MayObject)),
        (KENJI, None),
    ] {
        assert_eq!(wanted(&request, &who.parse().unwrap(), world.now), what, "{who}");
    }
    assert_eq!(attest(&mut world, SORA, &case, &insolvency()), Ok(()));
    let then = wanted(&world.judged(&case), &DANA.parse().unwrap(), world.now);
    assert_eq!(then, Some(Wanted::Share), "nothing else is missing");
}

#[test]
fn a_rule_with_a_date_is_met_from_then_on() {
    let (mut world, case) = all_but_triggered(r#"{"date":"2026-03-20T00:00:00.000Z"}"#);
    let date: Timestamp = "2026-03-20T00:00:00.000Z".parse().unwrap();
    let request = world.judged(&case);
    assert_eq!(world.state(&case), State::Open);
    assert_eq!(missing(&request, world.now), [Missing::Date { until: date }]);
    let next = upcoming(&request, world.now);
    assert_eq!(
        (next[0].at, next[0].turn.to_string().as_str()),
        (date, "the date of the rule has come")
    );
    for (now, state) in
        [(Timestamp::from_millis(date.as_millis() - 1), State::Open), (date, State::Satisfied)]
    {
        world.now = now;
        assert_eq!(world.state(&case), state, "{now}");
    }
}

#[test]
fn a_rule_for_missed_deposits_waits_for_the_last_of_them_and_its_grace() {
    let trigger = r#"{"missed":{"deposits":3,"interval":"10d","grace":"5d"}}"#;
    let (mut world, agreement, deposit) = agreed(trigger);
    let ask = |world: &mut World| {
        let request = world.request(YUKI, &deposit, "bankruptcy");
        world.try_say(request)
    };
    let waiting = |until| {
        let (rule, unmet) = ("bankruptcy".parse().unwrap(), vec![Unmet::Deposits { until }]);
        Err(Refusal::NotTriggered { rule, unmet })
    };
    let until = days(&world, 35);
    world.now = Timestamp::from_millis(until.as_millis() - 1);
    assert_eq!(ask(&mut world), waiting(until));
    let mut late = world.clone();
    late.now = until;
    assert_eq!(ask(&mut late), Ok(()));
    // In the last moment something comes: the deposits to come are counted from it.
    world.store(&agreement);
    let until = days(&world, 35);
    world.pass(Span::days(34));
    assert_eq!(ask(&mut world), waiting(until));
    world.now = until;
    let case = world.ask(YUKI, &deposit, "bankruptcy");
    world.store(&agreement);
    assert_eq!(world.state(&case), State::Open, "what comes later is for an objection to say");
}

#[test]
fn a_rule_for_silence_waits_until_nobody_answered_all_reminders() {
    let (mut world, agreement, deposit) = agreed(SILENCE);
    let organisation = || "hanbit-parts".parse().unwrap();
    let began = world.now;
    let day = |count| began.after(Span::days(count));
    let unmet = |world: &World| {
        let agreement = world.states.agreement(&agreement).unwrap();
        agreement.unmet(&agreement.terms.rules[1], world.now)
    };
    let remind = |world: &mut World, by: &str| {
        let reminder = world.reminder(by, &agreement, "hanbit-parts");
        world.try_say(reminder)
    };
    let reminders = |count, from| Unmet::Reminders { organisation: organisation(), count, from };
    let silence = |until| Unmet::Silence { organisation: organisation(), until };
    assert_eq!(unmet(&world), [reminders(2, began), silence(day(30))]);
    let asked = world.request(YUKI, &deposit, "bankruptcy");
    assert_eq!(world.clone().try_say(asked).unwrap_err().code(), "NOT_TRIGGERED");
    world.now = day(25);
    assert_eq!(remind(&mut world, SORA), Ok(()));
    world.now = day(31);
    let lately = Refusal::RemindedLately { from: day(32) };
    assert_eq!(remind(&mut world, YUKI), Err(lately), "whoever reminds, it takes time");
    assert_eq!(unmet(&world), [reminders(1, day(32)), silence(day(32))]);
    world.now = day(32);
    assert_eq!(remind(&mut world, YUKI), Ok(()));
    assert_eq!(unmet(&world), [silence(day(39))], "the last one gives time as well");
    // It says anything at all: everything begins anew.
    let mut answered = world.clone();
    answered.now = day(38);
    let said = answered.termination(MINJI, &agreement);
    answered.accept(said);
    assert_eq!(unmet(&answered), [reminders(2, day(38)), silence(day(68))]);
    let others = world.termination(SORA, &agreement);
    world.accept(others);
    world.now = day(39);
    assert_eq!(unmet(&world), [], "what others say is no answer");
    let case = world.ask(YUKI, &deposit, "bankruptcy");
    let objection = world.objection(MINJI, &case);
    world.accept(objection);
    assert_eq!(world.state(&case), State::Objected, "it was there after all");
}

#[test]
fn records_of_format_1_remember_what_they_ever_did() {
    let mut world = parties();
    let id = world.agree(&terms(three_party()));
    world.store(&id);
    let agreement = world.states.agreement(&id).unwrap();
    assert!(agreement.heard_at.is_empty() && agreement.reminded.is_empty());
    assert_eq!((agreement.deposited_at, &agreement.latest), (None, &None));
    let (world, id, deposit) = agreed(TRIGGER);
    let agreement = world.states.agreement(&id).unwrap();
    assert_eq!((agreement.heard_at.len(), &agreement.latest), (3, &Some(deposit)));
}
