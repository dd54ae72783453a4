//! Review before consents count, and what ends an objection besides its withdrawal.

use super::scenario::{DANA, JUN, KENJI, MINJI, SORA, YUKI, parties};
use super::terms::{second_format, terms};
use super::world::{Case, World};
use crate::domain::outlook::{Wanted, missing, wanted};
use crate::domain::refusal::Refusal;
use crate::domain::request::State;
use crate::domain::statement::{Basis, Reason, Statement, Withdrawn};
use crate::domain::time::Span;

/// A request of yuki's, who works for the beneficiary. The agent reviews it, any two of the three
/// parties consent, and the depositor may object.
fn asked() -> (World, Case) {
    let mut world = parties();
    let agreement = world.agree(&terms(second_format()));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, "joint");
    (world, case)
}

#[track_caller]
fn say<S: Into<Statement>>(
    world: &mut World,
    case: &Case,
    by: &str,
    what: impl Fn(&mut World, &str, &Case) -> S,
) {
    let statement = what(world, by, case);
    world.accept(statement);
}

/// It has all that the rule asks for but that minji objects.
pub(super) fn disputed() -> (World, Case) {
    let (mut world, case) = asked();
    say(&mut world, &case, SORA, World::sight);
    // Four working days and a weekend with a holiday.
    world.pass(Span::days(8));
    for by in [SORA, KENJI] {
        say(&mut world, &case, by, World::consent);
    }
    say(&mut world, &case, MINJI, World::objection);
    (world, case)
}

fn settle(world: &mut World, case: &Case, by: &str, basis: Basis) -> Result<(), Refusal> {
    let settlement = world.settlement(by, case, basis);
    world.try_say(settlement)
}

#[test]
fn promise_6_an_objection_ends_as_the_rule_says_and_in_no_other_way() {
    use Basis::{Award, Joint, Order};
    for (why, said, ends) in [
        ("nobody says anything", &[][..], false),
        ("the arbiter decides", &[(SORA, Award)], true),
        ("one of two attests an order", &[(SORA, Order)], false),
        ("both do", &[(SORA, Order), (DANA, Order)], true),
        ("the one who objects instructs alone", &[(JUN, Joint)], false),
        ("two of them are one house", &[(JUN, Joint), (MINJI, Joint)], false),
        ("the one who asks instructs alone", &[(YUKI, Joint)], false),
        ("both sides instruct", &[(JUN, Joint), (YUKI, Joint)], true),
        (
            "what is said on one basis does nothing on another",
            &[(JUN, Joint), (DANA, Order)],
            false,
        ),
        ("whichever is complete first", &[(DANA, Order), (JUN, Joint), (KENJI, Joint)], true),
    ] {
        let (mut world, case) = disputed();
        for (by, basis) in said {
            assert_eq!(settle(&mut world, &case, by, *basis), Ok(()), "{why}");
        }
        let state = if ends { State::Satisfied } else { State::Objected };
        assert_eq!(world.state(&case), state, "{why}");
        let contribution = world.contribution(SORA, &case);
        assert_eq!(world.try_say(contribution).is_ok(), ends, "{why}");
    }
}

#[test]
fn a_dispute_is_settled_by_who_is_named_once_and_while_it_lasts() {
    let (mut world, case) = disputed();
    let may_not = |who: &str, what| Refusal::NotEntitled {
        who: who.parse().unwrap(),
        what,
        rule: "joint".parse().unwrap(),
    };
    for (by, basis, refusal) in [
        (MINJI, Basis::Award, may_not(MINJI, "settle objections by award")),
        (YUKI, Basis::Order, may_not(YUKI, "settle objections by order")),
        (SORA, Basis::Joint, may_not(SORA, "settle objections by joint instruction")),
    ] {
        assert_eq!(settle(&mut world, &case, by, basis), Err(refusal), "{by}");
    }
    let mut bare = world.settlement(SORA, &case, Basis::Award);
    bare.evidence.clear();
    assert_eq!(world.try_say(bare), Err(Refusal::NoEvidence), "whoever decides shows it");
    let mut bare = world.settlement(JUN, &case, Basis::Joint);
    bare.evidence.clear();
    assert_eq!(world.try_say(bare), Ok(()), "who instructs is who agrees");
    let again = settle(&mut world, &case, JUN, Basis::Joint).unwrap_err();
    assert_eq!(again.code(), "ALREADY");
    assert_eq!(settle(&mut world, &case, SORA, Basis::Award), Ok(()));
    let over = settle(&mut world, &case, DANA, Basis::Award);
    assert_eq!(over, Err(Refusal::RequestIs(State::Satisfied)));
    let (mut world, case) = asked();
    let early = settle(&mut world, &case, SORA, Basis::Award);
    assert_eq!(early, Err(Refusal::RequestIs(State::Open)), "before anybody objects");
}

#[test]
fn promise_6_what_was_settled_stays_settled_and_only_while_it_counts() {
    let (mut world, case) = disputed();
    let before = world.now;
    world.pass(Span::seconds(1));
    assert_eq!(settle(&mut world, &case, DANA, Basis::Award), Ok(()));
    assert_eq!(world.state(&case), State::Satisfied);
    for by in [JUN, MINJI] {
        let objection = world.objection(by, &case);
        let settled = Refusal::Settled("hanbit-parts".parse().unwrap());
        assert_eq!(world.try_say(objection), Err(settled), "{by}");
        assert_eq!(wanted(&world.judged(&case), &by.parse().unwrap(), world.now), None, "{by}");
    }
    // The award turns out to be a thief's.
    let stolen = Reason::CompromisedSince(before);
    let revocation = world.revocation(SORA, DANA, stolen);
    world.accept(revocation);
    assert_eq!(world.state(&case), State::Objected);
    assert_eq!(settle(&mut world, &case, SORA, Basis::Award), Ok(()), "by who still may");
    assert_eq!(world.state(&case), State::Satisfied);
}

#[test]
fn an_objection_that_was_withdrawn_may_be_raised_again_and_is_another_one() {
    let (mut world, case) = disputed();
    assert_eq!(settle(&mut world, &case, SORA, Basis::Order), Ok(()));
    say(&mut world, &case, JUN, |world, by, case| world.withdrawal(by, case, Withdrawn::Objection));
    assert_eq!(world.state(&case), State::Satisfied);
    say(&mut world, &case, JUN, World::objection);
    assert_eq!(settle(&mut world, &case, DANA, Basis::Order), Ok(()));
    assert_eq!(world.state(&case), State::Objected, "the first attestation was of another");
    assert_eq!(settle(&mut world, &case, SORA, Basis::Order), Ok(()));
    assert_eq!(world.state(&case), State::Satisfied);
}

#[test]
fn no_consent_counts_before_every_reviewer_has_seen_the_request() {
    let (mut world, case) = asked();
    world.pass(Span::days(8));
    for by in [MINJI, KENJI] {
        say(&mut world, &case, by, World::consent);
    }
    let lacking = |world: &World| -> Vec<String> {
        missing(&world.judged(&case), world.now).iter().map(ToString::to_string).collect()
    };
    let review = "a look at the request by trade-secret-center, before which no consent counts";
    assert_eq!(lacking(&world), [review]);
    assert_eq!(world.state(&case), State::Open);
    for (who, what) in [(SORA, Some(Wanted::Review)), (YUKI, None), (KENJI, None)] {
        let found = wanted(&world.judged(&case), &who.parse().unwrap(), world.now);
        assert_eq!(found, what, "{who}");
    }
    let contribution = world.contribution(MINJI, &case);
    assert_eq!(world.try_say(contribution), Err(Refusal::RequestIs(State::Open)));
    // The depositor's look is another matter: it may object.
    say(&mut world, &case, MINJI, World::sight);
    assert_eq!(world.state(&case), State::Open);
    assert!(world.judged(&case).awaits_sight_by(&DANA.parse().unwrap()));
    say(&mut world, &case, DANA, World::sight);
    assert_eq!(world.state(&case), State::Satisfied, "and what was said before counts");
    assert!(!lacking(&world).contains(&review.to_owned()));
}

#[test]
fn who_asks_reviews_nothing_of_its_own() {
    let mut world = parties();
    let mut written = second_format();
    written["rules"][0]["reviewers"] = serde_json::json!(["beneficiary"]);
    let agreement = world.agree(&terms(written));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, "joint");
    assert!(world.judged(&case).unreviewed().is_empty());
    let sight = world.sight(KENJI, &case);
    assert_eq!(world.try_say(sight).unwrap_err().code(), "NOT_ENTITLED");
}

#[test]
fn whoever_can_end_an_objection_is_named_with_how() {
    let (mut world, case) = disputed();
    let lacking = |world: &World| missing(&world.judged(&case), world.now)[0].to_string();
    let withdrawal = "withdrawal of the objection of hanbit-parts";
    assert_eq!(
        lacking(&world),
        format!(
            "{withdrawal}, or joint instruction by a member of orient-display (beneficiary) and a \
             member of hanbit-parts (depositor), or award by a member of trade-secret-center (agent), \
             or order by 2 members of trade-secret-center (agent)"
        )
    );
    assert_eq!(settle(&mut world, &case, MINJI, Basis::Joint), Ok(()));
    assert_eq!(settle(&mut world, &case, DANA, Basis::Order), Ok(()));
    assert_eq!(
        lacking(&world),
        format!(
            "{withdrawal}, or joint instruction by a member of orient-display (beneficiary), or \
             award by a member of trade-secret-center (agent), or order by a member of \
             trade-secret-center (agent)"
        )
    );
    for (who, what) in [
        (YUKI, Some(Wanted::Settle)),
        (SORA, Some(Wanted::Settle)),
        (DANA, Some(Wanted::Settle)),
        (MINJI, None),
    ] {
        let found = wanted(&world.judged(&case), &who.parse().unwrap(), world.now);
        assert_eq!(found, what, "{who}");
    }
}
