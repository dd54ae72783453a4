//! The two rules of the three-party terms, walked through.

use std::sync::Arc;

use super::terms::{terms, three_party};
use super::world::{Case, World, key_of, path};
use crate::domain::event::Note;
use crate::domain::id::{AgreementId, DepositId};
use crate::domain::refusal::Refusal;
use crate::domain::request::{OPEN_MAX, State};
use crate::domain::rules;
use crate::domain::statement::{Reason, Withdrawn};
use crate::domain::time::{Span, Timestamp};

pub(super) const MINJI: &str = "hanbit-parts/minji";
pub(super) const JUN: &str = "hanbit-parts/jun";
pub(super) const YUKI: &str = "orient-display/yuki";
pub(super) const KENJI: &str = "orient-display/kenji";
pub(super) const SORA: &str = "trade-secret-center/sora";
pub(super) const DANA: &str = "trade-secret-center/dana";
pub(super) const EVE: &str = "acme/eve";

/// The three parties and a stranger.
pub(super) fn parties() -> World {
    World::of(&[
        ("hanbit-parts", &["minji", "jun"]),
        ("orient-display", &["yuki", "kenji"]),
        ("trade-secret-center", &["sora", "dana"]),
        ("acme", &["eve", "mal"]),
    ])
}

/// An agreement in force, with a deposit.
pub(super) fn deposited() -> (World, AgreementId, DepositId) {
    let mut world = parties();
    let agreement = world.agree(&terms(three_party()));
    let deposit = world.store(&agreement);
    (world, agreement, deposit)
}

/// A request of yuki's, open.
pub(super) fn asked(rule: &str) -> (World, Case) {
    let (mut world, _, deposit) = deposited();
    let case = world.ask(YUKI, &deposit, rule);
    (world, case)
}

/// A request of yuki's with all consents it takes; who may object has seen it.
pub(super) fn consented(rule: &str) -> (World, Case) {
    let (mut world, case) = asked(rule);
    if rule == "bankruptcy" {
        let sight = world.sight(MINJI, &case);
        world.accept(sight);
    }
    for by in [if rule == "joint" { MINJI } else { KENJI }, SORA] {
        let consent = world.consent(by, &case);
        world.accept(consent);
    }
    (world, case)
}

/// A request of yuki's whose bundle was handed out.
pub(super) fn retrieved() -> (World, Case) {
    let (mut world, case) = consented("joint");
    let contribution = world.contribution(SORA, &case);
    world.accept(contribution);
    let retrieval = world.retrieval(YUKI, &case);
    world.accept(retrieval);
    (world, case)
}

fn contribute(world: &mut World, by: &str, case: &Case) -> Result<(), Refusal> {
    let contribution = world.contribution(by, case);
    world.try_say(contribution)
}

#[test]
fn promise_2_never_one_organisation_even_under_a_rule_that_says_so() {
    let (mut world, case) = asked("joint");
    for by in [SORA, DANA] {
        let consent = world.consent(by, &case);
        world.accept(consent);
    }
    // Such terms are never accepted; the judgement does not rest on that.
    let request = world.states.request_mut(&case.request.id).unwrap();
    Arc::make_mut(&mut request.terms).rules[0].needs = serde_json::from_str("\"2@agent\"").unwrap();
    assert_eq!(request.missing_consents(world.now).map(|open| open.len()), Some(0));
    assert_eq!(world.state(&case), State::Open);
    assert_eq!(contribute(&mut world, SORA, &case), Err(Refusal::RequestIs(State::Open)));
}

#[test]
fn promise_2_the_requester_fills_no_seat_even_if_its_consent_were_there() {
    let (mut world, case) = asked("bankruptcy");
    let consent = world.consent(SORA, &case);
    world.accept(consent);
    world.pass(Span::days(10));
    let (now, own) = (world.now, path(YUKI));
    world.states.request_mut(&case.request.id).unwrap().consented(&own, now);
    assert_eq!(world.state(&case), State::Open);
}

#[test]
fn both_sides_agree() {
    let (mut world, case) = asked("joint");
    assert_eq!(world.state(&case), State::Open);
    let consent = world.consent(MINJI, &case);
    world.accept(consent);
    assert_eq!(world.state(&case), State::Open);
    let early = contribute(&mut world, MINJI, &case);
    assert_eq!(early, Err(Refusal::RequestIs(State::Open)));
    let consent = world.consent(SORA, &case);
    world.accept(consent);
    assert_eq!(world.state(&case), State::Satisfied);
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()), "the last to consent completes it");
    assert_eq!(world.state(&case), State::Released);
    for _ in 0..2 {
        let retrieval = world.retrieval(YUKI, &case);
        world.accept(retrieval);
        assert_eq!(world.state(&case), State::Retrieved);
    }
    world.pass(Span::days(400));
    assert_eq!(world.state(&case), State::Retrieved, "what was released does not lapse");
}

#[test]
fn an_event_is_attested_and_notice_runs() {
    let (mut world, case) = consented("bankruptcy");
    assert_eq!(world.state(&case), State::Notice);
    world.pass(Span::seconds(10 * 86_400 - 1));
    let early = contribute(&mut world, SORA, &case);
    assert_eq!(early, Err(Refusal::RequestIs(State::Notice)), "the last second of notice");
    world.pass(Span::seconds(1));
    assert_eq!(world.state(&case), State::Satisfied);
    let own = contribute(&mut world, KENJI, &case).unwrap_err();
    assert_eq!(own.code(), "NOT_ENTITLED", "the requester's organisation uses its share at home");
    assert_eq!(contribute(&mut world, DANA, &case), Ok(()), "a colleague of who consented");
    assert_eq!(world.state(&case), State::Released);
}

#[test]
fn promise_6_an_objection_blocks_until_it_is_taken_back() {
    let (mut world, case) = consented("bankruptcy");
    world.pass(Span::days(11));
    assert_eq!(world.state(&case), State::Satisfied);
    let ready = world.contribution(SORA, &case);
    let objection = world.objection(JUN, &case);
    let objection = world.stated(objection);
    world.submit(&objection).unwrap();
    assert_eq!(world.state(&case), State::Objected);
    let late = world.try_say(ready).unwrap_err();
    assert_eq!(late.code(), "OUTDATED", "signed before the objection was known");
    let blocked = contribute(&mut world, SORA, &case);
    assert_eq!(blocked, Err(Refusal::RequestIs(State::Objected)));
    let twice = world.objection(MINJI, &case);
    assert_eq!(world.try_say(twice).unwrap_err().code(), "ALREADY", "one for an organisation");
    let foreign = world.withdrawal(SORA, &case, Withdrawn::Objection);
    assert_eq!(world.try_say(foreign).unwrap_err().code(), "NOT_FOUND", "somebody else's");
    let ready = world.contribution(SORA, &case);
    let withdrawal = world.withdrawal(MINJI, &case, Withdrawn::Objection);
    world.accept(withdrawal);
    assert_eq!(world.state(&case), State::Satisfied);
    let early = world.try_say(ready).unwrap_err();
    assert_eq!(early.code(), "OUTDATED", "signed before it was settled");
    assert_eq!(world.submit(&objection).unwrap_err().code(), "ALREADY", "the old one again");
    let again = world.objection(MINJI, &case);
    world.accept(again);
    assert_eq!(world.state(&case), State::Objected);
    world.pass(Span::days(49));
    assert_eq!(world.state(&case), State::Expired);
    let settled = world.withdrawal(MINJI, &case, Withdrawn::Objection);
    assert_eq!(world.try_say(settled), Err(Refusal::RequestIs(State::Expired)));
}

#[test]
fn promise_6_nobody_is_kept_from_objecting_by_what_others_do_meanwhile() {
    let (mut world, case) = consented("bankruptcy");
    let deposit = world.seen(&case).deposit.clone();
    // Everything is signed on the view that the signer has now.
    let objection = world.objection(MINJI, &case);
    let sight = world.sight(JUN, &case);
    let consent = world.consent(DANA, &case);
    let own = world.withdrawal(KENJI, &case, Withdrawn::Request);
    let noise = |world: &mut World| {
        let other = world.ask(YUKI, &deposit, "joint");
        let withdrawal = world.withdrawal(YUKI, &other, Withdrawn::Request);
        world.accept(withdrawal);
    };
    noise(&mut world);
    assert_eq!(world.try_say(consent).unwrap_err().code(), "OUTDATED", "a consent must look again");
    world.accept(sight);
    world.accept(objection);
    assert_eq!(world.state(&case), State::Objected);
    let settled = world.withdrawal(MINJI, &case, Withdrawn::Objection);
    noise(&mut world);
    assert_eq!(world.try_say(settled).unwrap_err().code(), "OUTDATED", "it would unblock");
    world.accept(own);
    assert_eq!(world.state(&case), State::Withdrawn);
}

#[test]
fn a_member_has_so_many_requests_open_and_no_more() {
    let (mut world, agreement, deposit) = deposited();
    let first = world.ask(YUKI, &deposit, "joint");
    for _ in 1..OPEN_MAX {
        world.ask(YUKI, &deposit, "joint");
    }
    let one_more = |world: &World, by: &str| {
        let mut world = world.clone();
        let request = world.request(by, &deposit, "joint");
        world.try_say(request).map_err(|refusal| refusal.code())
    };
    assert_eq!(one_more(&world, YUKI), Err("LIMIT"));
    assert_eq!(one_more(&world, KENJI), Ok(()), "a colleague");
    let mut withdrawn = world.clone();
    let withdrawal = withdrawn.withdrawal(KENJI, &first, Withdrawn::Request);
    withdrawn.accept(withdrawal);
    assert_eq!(one_more(&withdrawn, YUKI), Ok(()), "one was taken back");
    let mut released = world.clone();
    for by in [MINJI, SORA] {
        let consent = released.consent(by, &first);
        released.accept(consent);
    }
    assert_eq!(contribute(&mut released, SORA, &first), Ok(()));
    assert_eq!(one_more(&released, YUKI), Ok(()), "one was released");
    world.pass(Span::days(90));
    assert_eq!(one_more(&world, YUKI), Ok(()), "all have lapsed");
    world.ask(YUKI, &deposit, "joint");
    assert_eq!(world.states.open_requests(&agreement, &path(YUKI)).len(), 1, "and are forgotten");
}

#[test]
fn promise_6_nothing_is_spent_before_who_may_object_knows() {
    let (mut world, case) = asked("bankruptcy");
    for by in [KENJI, SORA] {
        let consent = world.consent(by, &case);
        world.accept(consent);
    }
    world.pass(Span::days(11));
    assert_eq!(world.state(&case), State::Notice, "notice has run, and nobody has seen it");
    let unaware: Vec<_> = world.seen(&case).unaware().into_iter().map(|who| who.as_str()).collect();
    assert_eq!(unaware, ["hanbit-parts"]);
    let early = contribute(&mut world, SORA, &case);
    assert_eq!(early, Err(Refusal::RequestIs(State::Notice)));

    let mut told = world.clone();
    let requester = told.notification(KENJI, &case);
    assert_eq!(told.try_say(requester).unwrap_err().code(), "NOT_ENTITLED", "the requester's");
    let notification = told.notification(DANA, &case);
    told.accept(notification);
    assert_eq!(contribute(&mut told, SORA, &case), Ok(()), "on recorded evidence");

    let mut objected = world.clone();
    let objection = objected.objection(JUN, &case);
    objected.accept(objection);
    let withdrawal = objected.withdrawal(JUN, &case, Withdrawn::Objection);
    objected.accept(withdrawal);
    assert_eq!(contribute(&mut objected, SORA, &case), Ok(()), "who objects has seen it");

    let sight = world.sight(JUN, &case);
    world.accept(sight);
    let again = world.sight(JUN, &case);
    assert_eq!(world.try_say(again).unwrap_err().code(), "ALREADY");
    let colleague = world.sight(MINJI, &case);
    world.accept(colleague);
    assert_eq!(world.seen(&case).first_sight(), Some(world.now));
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
}

#[test]
fn notice_runs_from_when_the_last_of_those_who_may_object_knew() {
    let mut written = three_party();
    written["rules"][1]["objection"] = vec!["depositor", "agent"].into();
    let mut world = parties();
    let agreement = world.agree(&terms(written));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, "bankruptcy");
    let asked_at = world.now;
    let before =
        |at: Timestamp, seconds: i64| Timestamp::from_millis(at.as_millis() - 1_000 * seconds);
    world.pass(Span::seconds(60));
    let seen_at = |world: &mut World, by: &str, at: Timestamp| {
        let mut sight = world.sight(by, &case);
        sight.made.at = at;
        world.try_say(sight)
    };
    let at = before(asked_at, 601);
    let refused = seen_at(&mut world, JUN, at);
    assert_eq!(refused, Err(Refusal::Backdated { at, asked_at }), "before there was a request");
    assert_eq!(seen_at(&mut world, JUN, before(asked_at, 600)), Ok(()), "by a slow clock");
    assert_eq!(world.seen(&case).first_sight(), None, "the agent has signed none");
    let (agent, later) = (world.now, world.now.after(Span::seconds(60)));
    assert_eq!(seen_at(&mut world, DANA, later), Ok(()));
    assert_eq!(world.seen(&case).first_sight(), Some(later), "the later house");
    assert_eq!(seen_at(&mut world, SORA, agent), Ok(()));
    assert_eq!(world.seen(&case).first_sight(), Some(agent), "the earlier member of that house");
}

#[test]
fn an_objection_between_two_contributions_blocks_the_second() {
    let mut written = three_party();
    written["quorum"] = 3.into();
    written["rules"][1] = written["rules"][0].clone();
    written["rules"][1]["name"] = "slow".into();
    written["rules"][0]["objection"] = vec!["depositor"].into();
    let mut world = parties();
    let agreement = world.agree(&terms(written));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, "joint");
    for by in [MINJI, SORA] {
        let consent = world.consent(by, &case);
        world.accept(consent);
    }
    let awaited = |world: &World| -> Vec<_> {
        world.seen(&case).awaited_holders(world.now).iter().map(ToString::to_string).collect()
    };
    assert_eq!(awaited(&world), ["hanbit-parts", "trade-secret-center"]);
    assert_eq!(world.seen(&case).contributions_missing(), 2);
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    assert_eq!(awaited(&world), ["hanbit-parts"]);
    assert_eq!(world.seen(&case).contributions_missing(), 1);
    assert_eq!(contribute(&mut world, DANA, &case).unwrap_err().code(), "ALREADY", "same share");
    assert_eq!(world.state(&case), State::Satisfied);
    let objection = world.objection(JUN, &case);
    world.accept(objection);
    assert_eq!(contribute(&mut world, MINJI, &case), Err(Refusal::RequestIs(State::Objected)));
    let withdrawal = world.withdrawal(JUN, &case, Withdrawn::Objection);
    world.accept(withdrawal);
    assert_eq!(contribute(&mut world, MINJI, &case), Ok(()));
    assert_eq!(world.state(&case), State::Released);
}

#[test]
fn a_share_counts_once_whoever_of_the_house_spent_it() {
    let mut written = three_party();
    written["quorum"] = 3.into();
    written["rules"][1] = written["rules"][0].clone();
    written["rules"][1]["name"] = "slow".into();
    let mut world = parties();
    let agreement = world.agree(&terms(written));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, "joint");
    for by in [MINJI, SORA] {
        let consent = world.consent(by, &case);
        world.accept(consent);
    }
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    // The rules take no second one; the judgement does not rest on that.
    let again = world.contribution(DANA, &case);
    let now = world.now;
    world.states.request_mut(&case.request.id).unwrap().contributed(&again, now);
    assert_eq!(world.judged(&case).contributions_missing(), 1);
    assert_eq!(world.state(&case), State::Satisfied);
}

#[test]
fn what_a_thief_did_is_void_until_it_is_released() {
    let (mut world, case) = consented("bankruptcy");
    world.pass(Span::days(10));
    assert_eq!(world.state(&case), State::Satisfied);
    let stolen_at = world.now;
    let theft = |world: &mut World, whose: &str| {
        let revocation = world.revocation(whose, whose, Reason::CompromisedSince(stolen_at));
        world.accept(revocation);
    };

    let mut consent = world.clone();
    let deposit = world.seen(&case).deposit.clone();
    let second = consent.ask(KENJI, &deposit, "joint");
    for by in [MINJI, SORA] {
        let said = consent.consent(by, &second);
        consent.accept(said);
    }
    assert_eq!(consent.state(&second), State::Satisfied);
    theft(&mut consent, SORA);
    assert_eq!(consent.state(&second), State::Open, "a consent since then");
    assert_eq!(consent.state(&case), State::Satisfied, "not one before");
    let dana = consent.consent(DANA, &second);
    consent.accept(dana);
    assert_eq!(consent.state(&second), State::Satisfied, "a colleague goes on");

    let mut objected = world.clone();
    let objection = objected.objection(MINJI, &case);
    objected.accept(objection);
    theft(&mut objected, MINJI);
    assert_eq!(objected.state(&case), State::Satisfied, "nor does an objection stand");

    let mut settled = world.clone();
    let objection = settled.objection(JUN, &case);
    settled.accept(objection);
    let withdrawal = settled.withdrawal(MINJI, &case, Withdrawn::Objection);
    settled.accept(withdrawal);
    assert_eq!(settled.state(&case), State::Satisfied);
    theft(&mut settled, MINJI);
    assert_eq!(settled.state(&case), State::Objected, "what a thief took back stands again");
    let withdrawal = settled.withdrawal(JUN, &case, Withdrawn::Objection);
    settled.accept(withdrawal);
    assert_ne!(settled.state(&case), State::Objected);

    let mut asked = world.clone();
    let request = asked.ask(YUKI, &deposit, "joint");
    theft(&mut asked, YUKI);
    assert_eq!(asked.state(&request), State::Withdrawn, "a request");

    let mut released = world.clone();
    assert_eq!(contribute(&mut released, SORA, &case), Ok(()));
    theft(&mut released, SORA);
    assert_eq!(released.state(&case), State::Released, "what is out is out");
}

#[test]
fn what_never_counted_does_not_count_because_somebody_has_left() {
    let (mut world, case) = asked("joint");
    world.pass(Span::seconds(60));
    let stolen_at = world.now;
    let (thief, join) = ("trade-secret-center/pat", |world: &World, who: &str| {
        let organisation = world.states.organisation(&path(who).organisation).unwrap();
        organisation.member(&path(who).name).unwrap().join_sha256
    });
    let joined = join(&world, thief);
    let confirmation = world.confirmation(SORA, thief, joined, true);
    world.accept(confirmation);
    for by in [thief, MINJI] {
        let consent = world.consent(by, &case);
        world.accept(consent);
    }
    assert_eq!(world.state(&case), State::Satisfied);
    let theft = world.revocation(SORA, SORA, Reason::CompromisedSince(stolen_at));
    world.accept(theft);
    assert_eq!(world.state(&case), State::Open, "let in by a thief");

    let mut confirmed = world.clone();
    confirmed.pass(Span::seconds(1));
    let confirmation = confirmed.confirmation(SORA, thief, joined, false);
    confirmed.accept_as(confirmation, key_of("trade-secret-center"));
    assert_eq!(confirmed.state(&case), State::Open, "nor when confirmed anew");
    let consent = confirmed.consent(thief, &case);
    confirmed.accept(consent);
    assert_eq!(confirmed.state(&case), State::Satisfied, "but what is said from then on");

    let left = world.revocation(SORA, thief, Reason::Left);
    world.accept_as(left, key_of("trade-secret-center"));
    assert_eq!(world.judged(&case).consents.len(), 1);
    assert_eq!(world.state(&case), State::Open, "nor when said to have left");
}

#[test]
fn a_revocation_told_in_an_agreement_is_not_overlooked() {
    let (mut world, case) = consented("joint");
    let unaware = world.contribution(SORA, &case);
    let revocation = world.revocation(YUKI, KENJI, Reason::Left);
    let sha256 = world.accept(revocation);
    let notice = world.revocation_notice(YUKI, &case.agreement, KENJI, sha256);
    world.accept(notice);
    let again = world.revocation_notice(YUKI, &case.agreement, KENJI, sha256);
    assert_eq!(world.try_say(again).unwrap_err().code(), "ALREADY", "the floor rises once");
    let late = world.try_say(unaware).unwrap_err();
    assert_eq!(late.code(), "OUTDATED", "signed before the revocation was known");
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
}

#[test]
fn after_a_release_nothing_is_taken_back() {
    let (mut world, case) = consented("joint");
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    let released = Err(Refusal::RequestIs(State::Released));
    let statement = world.withdrawal(YUKI, &case, Withdrawn::Request);
    assert_eq!(world.try_say(statement), released, "the request");
    let statement = world.consent(JUN, &case);
    assert_eq!(world.try_say(statement), released, "one more consent");
    assert_eq!(contribute(&mut world, MINJI, &case), released, "one more contribution");
    let (mut world, case) = consented("bankruptcy");
    world.pass(Span::days(10));
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    let statement = world.objection(MINJI, &case);
    assert_eq!(world.try_say(statement), released, "an objection too late");
}

#[test]
fn a_request_lapses_to_the_moment() {
    let (mut world, case) = consented("bankruptcy");
    world.pass(Span::seconds(60 * 86_400 - 1));
    assert_eq!(world.state(&case), State::Satisfied);
    world.pass(Span::seconds(1));
    assert_eq!(world.state(&case), State::Expired);
    let lapsed = Err(Refusal::RequestIs(State::Expired));
    assert_eq!(contribute(&mut world, SORA, &case), lapsed);
    let consent = world.consent(DANA, &case);
    assert_eq!(world.try_say(consent), lapsed);
    let objection = world.objection(MINJI, &case);
    assert_eq!(world.try_say(objection), lapsed);
    let retrieval = world.retrieval(YUKI, &case);
    assert_eq!(world.try_say(retrieval), lapsed);
}

#[test]
fn a_request_is_taken_back_by_a_colleague_for_good() {
    let (mut world, case) = consented("joint");
    let foreign = world.withdrawal(SORA, &case, Withdrawn::Request);
    assert_eq!(world.try_say(foreign).unwrap_err().code(), "NOT_ENTITLED");
    let withdrawal = world.withdrawal(KENJI, &case, Withdrawn::Request);
    world.accept(withdrawal);
    assert_eq!(world.state(&case), State::Withdrawn);
    let over = Err(Refusal::RequestIs(State::Withdrawn));
    assert_eq!(contribute(&mut world, SORA, &case), over);
    let again = world.withdrawal(YUKI, &case, Withdrawn::Request);
    assert_eq!(world.try_say(again), over);
}

#[test]
fn a_statement_counts_once() {
    let (mut world, case) = asked("joint");
    let consent = world.consent(MINJI, &case);
    let consent = world.stated(consent);
    world.submit(&consent).unwrap();
    let before = world.records();
    let already = Refusal::Already { who: MINJI.to_owned(), what: "made this statement" };
    assert_eq!(world.submit(&consent), Err(already));
    assert_eq!(world.records(), before);

    let (mut world, _, deposit) = deposited();
    let request = world.request(YUKI, &deposit, "joint");
    let request = world.stated(request);
    world.submit(&request).unwrap();
    world.pass(Span::seconds(60));
    assert_eq!(world.submit(&request).unwrap_err().code(), "ALREADY", "it would begin anew");
}

#[test]
fn a_repeated_retrieval_is_judged_anew() {
    let (mut world, case) = consented("joint");
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    let retrieval = world.retrieval(YUKI, &case);
    let retrieval = world.stated(retrieval);
    world.submit(&retrieval).unwrap();
    let holds = |world: &World| {
        let circumstances = world.circumstances(&retrieval);
        rules::holds(&world.states, &retrieval, &circumstances).map_err(|refusal| refusal.code())
    };
    assert_eq!(holds(&world), Ok(()), "as after a lost reply");
    let mut late = world.clone();
    late.pass(Span::days(2));
    assert_eq!(holds(&late), Err("LATE"));
    let mut damaged = world.clone();
    damaged.note(&Note::Quarantined { deposit: world.seen(&case).deposit.clone() });
    assert_eq!(holds(&damaged), Err("DEPOSIT_STATE"));
    let revocation = world.revocation(YUKI, YUKI, Reason::Left);
    world.accept(revocation);
    assert_eq!(holds(&world), Err("REVOKED"));
}

#[test]
fn promise_5_a_request_is_judged_by_the_terms_it_named() {
    let (mut world, case) = consented("bankruptcy");
    let agreement = world.states.agreement_mut(&case.agreement).unwrap();
    let terms = Arc::make_mut(&mut agreement.terms);
    terms.rules.retain(|rule| rule.name.as_str() != "bankruptcy");
    terms.quorum = 3;
    agreement.version = 2;
    assert_eq!(world.state(&case), State::Notice);
    let objection = world.objection(MINJI, &case);
    assert_eq!(world.clone().try_say(objection), Ok(()), "who could object still can");
    world.pass(Span::days(10));
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    assert_eq!(world.state(&case), State::Released, "with the quorum it named");
}

#[test]
fn a_share_of_a_later_key_is_not_spent_on_a_request_of_an_earlier_one() {
    let (mut world, case) = consented("joint");
    let agreement = world.states.agreement_mut(&case.agreement).unwrap();
    agreement.release_key.as_mut().unwrap().epoch = 2;
    for epoch in [1, 2] {
        let mut contribution = world.contribution(SORA, &case);
        contribution.epoch = epoch;
        let epoch = Err(Refusal::Mismatch("the epoch of the release key"));
        assert_eq!(world.try_say(contribution), epoch);
    }
}

#[test]
fn a_damaged_bundle_is_not_requested_spent_on_or_retrieved() {
    let quarantined = Err(Refusal::DepositIs("quarantined"));
    let (mut world, case) = consented("joint");
    let deposit = world.seen(&case).deposit.clone();
    let damage = Note::Quarantined { deposit: deposit.clone() };
    let mut released = world.clone();
    world.note(&damage);
    let request = world.request(YUKI, &deposit, "joint");
    assert_eq!(world.try_say(request), quarantined);
    assert_eq!(contribute(&mut world, SORA, &case), quarantined);
    assert_eq!(contribute(&mut released, SORA, &case), Ok(()));
    released.note(&damage);
    let retrieval = released.retrieval(YUKI, &case);
    assert_eq!(released.try_say(retrieval), quarantined);
    assert!(released.states.quarantine().contains(&deposit));
    released.note(&Note::FoundWhole { deposit: deposit.clone() });
    let retrieval = released.retrieval(YUKI, &case);
    assert_eq!(released.try_say(retrieval), Ok(()), "it was restored");
    assert!(released.states.quarantine().is_empty());
}

#[test]
fn an_agreement_ends_when_every_party_has_signed() {
    let (mut world, agreement, deposit) = deposited();
    let case = world.ask(YUKI, &deposit, "joint");
    for (by, word) in [(MINJI, "active"), (YUKI, "active"), (SORA, "terminated")] {
        let termination = world.termination(by, &agreement);
        world.accept(termination);
        assert_eq!(world.states.agreement(&agreement).unwrap().phase.word(), word);
        let twice = world.termination(by, &agreement);
        let code = if word == "active" { "ALREADY" } else { "AGREEMENT_STATE" };
        assert_eq!(world.try_say(twice).unwrap_err().code(), code);
    }
    let ended = Err(Refusal::AgreementIs("terminated"));
    let late = world.deposit(MINJI, &agreement);
    assert_eq!(world.try_say(late), ended, "a deposit");
    let late = world.request(YUKI, &deposit, "joint");
    assert_eq!(world.try_say(late), ended, "a request");
    let consent = world.consent(MINJI, &case);
    assert_eq!(world.try_say(consent), Ok(()), "what was asked for before goes its way");
}

#[test]
fn an_agreement_is_countersigned_once_by_everybody_or_not_at_all() {
    let mut world = parties();
    let (agreement, _) = world.propose(&terms(three_party()));
    let word = |world: &World| world.states.agreement(&agreement).unwrap().phase.word();
    let acceptance = world.acceptance(YUKI, &agreement);
    world.accept(acceptance);
    let colleague = world.acceptance(KENJI, &agreement);
    assert_eq!(world.try_say(colleague).unwrap_err().code(), "ALREADY", "same organisation");
    let dealer = world.acceptance(MINJI, &agreement);
    assert_eq!(world.try_say(dealer).unwrap_err().code(), "ALREADY", "signed by dealing");
    assert_eq!(word(&world), "proposed");
    let early = world.deposit(MINJI, &agreement);
    assert_eq!(world.try_say(early), Err(Refusal::AgreementIs("proposed")));
    let mut declined = world.clone();
    let acceptance = world.acceptance(SORA, &agreement);
    world.accept(acceptance);
    assert_eq!(word(&world), "active");
    let late = world.declination(SORA, &agreement);
    assert_eq!(world.try_say(late), Err(Refusal::AgreementIs("active")));
    let declination = declined.declination(SORA, &agreement);
    declined.accept(declination);
    assert_eq!(word(&declined), "declined");
    let late = declined.acceptance(DANA, &agreement);
    assert_eq!(declined.try_say(late), Err(Refusal::AgreementIs("declined")));
}

#[test]
fn a_release_key_is_dealt_once_and_countersigned_as_dealt() {
    let mut world = parties();
    let proposal = world.proposal(MINJI, &terms(three_party()));
    let agreement = AgreementId::of(&world.accept(proposal));
    let too_early = world.acceptance(YUKI, &agreement);
    let keyless = Err(Refusal::AgreementIs("without a release key"));
    assert_eq!(world.try_say(too_early.clone()), keyless);
    let colleague = world.release_key(JUN, &agreement);
    assert_eq!(world.clone().try_say(colleague), Ok(()), "any member of the depositor");
    let key = world.release_key(MINJI, &agreement);
    world.accept(key);
    let again = world.release_key(MINJI, &agreement);
    let dealt = Err(Refusal::AgreementIs("dealt a release key already"));
    assert_eq!(world.try_say(again), dealt);
    let blind = world.try_say(too_early).unwrap_err();
    assert_eq!(blind.code(), "OUTDATED", "signed before there was a key");
}

#[test]
fn a_share_is_passed_on_by_who_has_it_within_the_house() {
    let (mut world, agreement, _) = deposited();
    let without = "a share sealed to orient-display/yuki".to_owned();
    let elsewhere = Err(Refusal::Mismatch("the member the share is for"));
    // Shares were sealed to the first member of each organisation by name: jun, kenji, dana.
    for (why, by, to, expected) in [
        ("by who has none", YUKI, KENJI, Err(Refusal::NotFound(without))),
        ("to another house", KENJI, SORA, elsewhere),
        ("to nobody", KENJI, "orient-display/nil", not_found("orient-display/nil")),
        ("to who is pending", KENJI, "orient-display/pat", not_found("orient-display/pat")),
        ("by who has it", KENJI, YUKI, Ok(())),
        ("to who was given it", KENJI, YUKI, has_share(YUKI)),
        ("by who was given it, to who had it before", YUKI, KENJI, has_share(KENJI)),
        ("to oneself", YUKI, YUKI, has_share(YUKI)),
    ] {
        let reseal = world.reseal(by, &agreement, to);
        assert_eq!(world.try_say(reseal), expected, "{why}");
    }
}

fn has_share(who: &str) -> Result<(), Refusal> {
    Err(Refusal::HasShare(path(who)))
}

fn not_found(what: &str) -> Result<(), Refusal> {
    Err(Refusal::NotFound(what.to_owned()))
}

#[test]
fn the_same_bundle_is_deposited_once() {
    let (mut world, agreement, deposit) = deposited();
    let mut again = world.deposit(JUN, &agreement);
    again.sha256 = world.states.deposit(&deposit).unwrap().statement.sha256;
    assert_eq!(world.try_say(again.clone()), Err(Refusal::DepositedBefore(deposit.to_string())));
    world.note(&Note::Quarantined { deposit });
    assert_eq!(world.try_say(again), Ok(()), "unless the first one was lost");
}
