//! What requesters take upon themselves, and what is said of bundles once they were handed out.

use super::scenario::{DANA, JUN, KENJI, MINJI, SORA, YUKI, asked, consented, retrieved};
use super::world::{Case, World, path};
use crate::domain::outlook::{Missing, Wanted, missing, wanted};
use crate::domain::refusal::Refusal;
use crate::domain::request::{DutyState, State};
use crate::domain::statement::{Acknowledged, Duty, DutyKind, Reason, Withdrawn};
use crate::domain::time::{Span, Timestamp};

use Acknowledged::{Destroyed, Received, Returned};

/// The handed-out bundle of a request under this duty.
fn under(kind: DutyKind) -> (World, Case) {
    let (mut world, case) = retrieved();
    let by = world.now.after(Span::days(90));
    let request = world.states.request_mut(&case.request.id).unwrap();
    request.statement.duty = Some(Duty { kind, by });
    (world, case)
}

fn say(world: &mut World, by: &str, case: &Case, what: Acknowledged) -> Result<(), Refusal> {
    let said = world.acknowledgement(by, case, what);
    world.try_say(said)
}

fn state(world: &World, case: &Case) -> DutyState {
    world.judged(case).duty(world.now).unwrap().1
}

#[test]
fn a_duty_is_fulfilled_by_what_it_asks_for_and_by_nothing_else() {
    let (open, fulfilled) = (Some("open"), Some("fulfilled"));
    for (why, duty, said, expected) in [
        ("nothing was promised", None, vec![(YUKI, Destroyed)], None),
        ("nothing was said", Some(DutyKind::Destroy), vec![], open),
        ("it was received", Some(DutyKind::Destroy), vec![(YUKI, Received)], open),
        ("it was destroyed", Some(DutyKind::Destroy), vec![(YUKI, Destroyed)], fulfilled),
        ("by a colleague", Some(DutyKind::Destroy), vec![(KENJI, Destroyed)], fulfilled),
        ("it was returned", Some(DutyKind::Return), vec![(YUKI, Returned)], fulfilled),
        ("returned, not destroyed", Some(DutyKind::Destroy), vec![(YUKI, Returned)], open),
        ("destroyed, not returned", Some(DutyKind::Return), vec![(YUKI, Destroyed)], open),
        ("only the depositor says so", Some(DutyKind::Return), vec![(JUN, Returned)], open),
        ("both say so", Some(DutyKind::Return), vec![(JUN, Returned), (YUKI, Returned)], fulfilled),
    ] {
        let (mut world, case) = under(duty.unwrap_or(DutyKind::Return));
        if duty.is_none() {
            world.states.request_mut(&case.request.id).unwrap().statement.duty = None;
        }
        for (by, what) in said {
            assert_eq!(say(&mut world, by, &case, what), Ok(()), "{why}");
        }
        let found = world.judged(&case).duty(world.now).map(|(_, state)| state.word());
        assert_eq!(found, expected, "{why}");
        assert_eq!(world.state(&case), State::Retrieved, "{why}");
    }
}

#[test]
fn a_duty_is_overdue_behind_its_last_moment_and_fulfilled_however_late() {
    let (mut world, case) = under(DutyKind::Destroy);
    let due_at = world.now.after(Span::days(90));
    let lacks = |world: &World| missing(&world.judged(&case), world.now);
    let wants = |world: &World, who: &str| wanted(&world.judged(&case), &path(who), world.now);
    let owed = |is_overdue| Missing::Acknowledgement {
        organisation: path(YUKI).organisation,
        acknowledged: Destroyed,
        due_at,
        is_overdue,
    };
    world.pass(Span::days(90));
    assert_eq!((state(&world, &case), lacks(&world)), (DutyState::Open, vec![owed(false)]));
    world.now = Timestamp::from_millis(world.now.as_millis() + 1);
    assert_eq!((state(&world, &case), lacks(&world)), (DutyState::Overdue, vec![owed(true)]));
    for (who, expected) in [
        (YUKI, Some(Wanted::Acknowledge)),
        (KENJI, Some(Wanted::Acknowledge)),
        (MINJI, None),
        (SORA, None),
    ] {
        assert_eq!(wants(&world, who), expected, "{who}");
    }
    assert_eq!(say(&mut world, KENJI, &case, Destroyed), Ok(()));
    let at = world.now;
    world.pass(Span::days(1));
    assert_eq!((state(&world, &case), lacks(&world)), (DutyState::Fulfilled { at }, vec![]));
    assert_eq!(wants(&world, YUKI), None);
}

#[test]
fn nothing_is_owed_for_what_was_not_handed_out() {
    let (mut world, case) = asked("joint");
    world.pass(Span::days(400));
    assert_eq!(world.state(&case), State::Expired);
    assert_eq!(
        (state(&world, &case), missing(&world.judged(&case), world.now)),
        (DutyState::Open, vec![])
    );
}

#[test]
fn only_what_was_handed_out_is_acknowledged() {
    let (mut world, case) = consented("joint");
    for what in [Received, Returned, Destroyed] {
        let early = say(&mut world, YUKI, &case, what);
        assert_eq!(early, Err(Refusal::RequestIs(State::Satisfied)));
    }
    let contribution = world.contribution(SORA, &case);
    world.accept(contribution);
    let early = say(&mut world, YUKI, &case, Received);
    assert_eq!(early, Err(Refusal::RequestIs(State::Released)), "it lies at the vault still");
    let early = say(&mut world, MINJI, &case, Returned);
    assert_eq!(early, Err(Refusal::RequestIs(State::Released)));
}

#[test]
fn each_organisation_says_each_thing_once() {
    let (mut world, case) = under(DutyKind::Return);
    let already = |who: &str, what| Err(Refusal::Already { who: who.to_owned(), what });
    for (by, what, expected) in [
        (YUKI, Received, Ok(())),
        (KENJI, Received, already("orient-display", "acknowledged receipt")),
        (KENJI, Returned, Ok(())),
        (KENJI, Returned, already("orient-display", "acknowledged the return")),
        (MINJI, Returned, Ok(())),
        (JUN, Returned, already("hanbit-parts", "acknowledged the return")),
        (YUKI, Destroyed, Ok(())),
        (YUKI, Destroyed, already("orient-display", "acknowledged the destruction")),
    ] {
        assert_eq!(say(&mut world, by, &case, what), expected, "{what:?} by {by}");
    }
    assert_eq!(say(&mut world, DANA, &case, Returned).unwrap_err().code(), "NOT_ENTITLED");
    assert_eq!(world.judged(&case).acknowledgements.len(), 4);
}

#[test]
fn nobody_is_kept_from_acknowledging_by_what_happens_meanwhile() {
    let (mut world, case) = under(DutyKind::Destroy);
    let deposit = world.seen(&case).deposit.clone();
    let destroyed = world.acknowledgement(YUKI, &case, Destroyed);
    let received = world.acknowledgement(YUKI, &case, Received);
    // What was withdrawn raises the floor under all that rests on less.
    let other = world.ask(YUKI, &deposit, "joint");
    let withdrawal = world.withdrawal(YUKI, &other, Withdrawn::Request);
    world.accept(withdrawal);
    world.accept(destroyed);
    // The agreement ends; what was owed under it is owed.
    for by in [MINJI, YUKI, SORA] {
        let termination = world.termination(by, &case.agreement);
        world.accept(termination);
    }
    world.accept(received);
    assert_eq!(world.judged(&case).acknowledgements.len(), 2);
}

#[test]
fn what_was_acknowledged_stays_whoever_turns_out_to_be_a_thief() {
    let (mut world, case) = under(DutyKind::Destroy);
    world.pass(Span::seconds(60));
    let stolen_at = world.now;
    assert_eq!(say(&mut world, KENJI, &case, Destroyed), Ok(()));
    let theft = world.revocation(YUKI, KENJI, Reason::CompromisedSince(stolen_at));
    world.accept(theft);
    // The bundle is out, as after any act on what was released; the audit has the revocation.
    assert_eq!(state(&world, &case), DutyState::Fulfilled { at: stolen_at });
    let after = say(&mut world, KENJI, &case, Received);
    assert_eq!(after, Err(Refusal::Revoked(path(KENJI))));
}
