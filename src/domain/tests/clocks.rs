//! The clocks of format 2, each by itself: notice in working days, votes, access.

use serde_json::{Value, json};

use super::scenario::{DANA, KENJI, MINJI, SORA, YUKI, parties};
use super::terms::{second_format, terms};
use super::world::{Case, World};
use crate::domain::outlook::{Missing, Wanted, missing, upcoming, wanted};
use crate::domain::refusal::Refusal;
use crate::domain::request::State;
use crate::domain::rules;
use crate::domain::time::{Span, Timestamp};

/// Format 2 with its clocks alone.
fn clocks() -> Value {
    let mut written = second_format();
    let rule = written["rules"][0].as_object_mut().unwrap();
    for word in ["reviewers", "settled_by", "grants", "duty"] {
        rule.remove(word);
    }
    rule["objection"] = json!([]);
    written
}

/// A request of yuki's under the first rule of these terms, made on Monday 2 March at six in the
/// evening, Seoul time.
fn asked_under(written: Value) -> (World, Case) {
    let mut world = parties();
    let agreement = world.agree(&terms(written));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, "joint");
    (world, case)
}

fn consent(world: &mut World, by: &str, case: &Case) -> Result<(), Refusal> {
    let consent = world.consent(by, case);
    world.try_say(consent)
}

fn contribute(world: &mut World, by: &str, case: &Case) -> Result<(), Refusal> {
    let contribution = world.contribution(by, case);
    world.try_say(contribution)
}

fn at(text: &str) -> Timestamp {
    format!("2026-{text}:00.000Z").parse().unwrap()
}

/// The last moment before this one.
fn before(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis() - 1)
}

#[test]
fn notice_of_four_working_days_runs_over_a_holiday_and_a_weekend() {
    let (mut world, case) = asked_under(clocks());
    // Tuesday to Thursday, and Monday: Friday is a holiday. It is over as Tuesday begins in Seoul.
    let ends = at("03-09T15:00");
    assert_eq!(world.seen(&case).notice_ends_at, ends);
    world.now = at("03-08T00:00");
    for by in [MINJI, SORA] {
        assert_eq!(consent(&mut world, by, &case), Ok(()));
    }
    for (now, state) in [(before(ends), State::Notice), (ends, State::Satisfied)] {
        world.now = now;
        assert_eq!(world.state(&case), state, "{now}");
    }
}

#[test]
fn a_consent_is_good_for_as_long_as_the_rule_says_and_is_given_anew() {
    let (mut world, case) = asked_under(clocks());
    let given = world.now;
    let ends = given.after(Span::days(5));
    for by in [MINJI, SORA] {
        assert_eq!(consent(&mut world, by, &case), Ok(()));
    }
    let twice = Refusal::Already { who: SORA.to_owned(), what: "consented" };
    world.now = before(ends);
    assert_eq!(consent(&mut world, SORA, &case), Err(twice));
    assert_eq!(world.state(&case), State::Notice);
    world.now = ends;
    assert_eq!(world.state(&case), State::Open, "nobody has agreed any more");
    assert!(world.judged(&case).awaited_holders(ends).is_empty(), "and no share is spent");
    for by in [SORA, MINJI] {
        assert_eq!(wanted(&world.judged(&case), &by.parse().unwrap(), ends), Some(Wanted::Consent));
        assert_eq!(consent(&mut world, by, &case), Ok(()), "anew");
    }
    assert_eq!(world.seen(&case).consents.len(), 2, "each in the place of the one before");
    world.now = at("03-09T15:00");
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    assert_eq!(world.state(&case), State::Released);
    world.pass(Span::days(10));
    assert_eq!(world.state(&case), State::Released, "what is released stays so");
}

#[test]
fn the_last_share_is_spent_on_consents_that_are_still_good() {
    let mut written = clocks();
    written["quorum"] = json!(3);
    let both = json!({ "all": ["1@depositor", "1@agent"] });
    for rule in 0..2 {
        written["rules"][rule]["needs"] = both.clone();
    }
    let (mut world, case) = asked_under(written);
    world.now = at("03-09T15:00");
    for by in [MINJI, SORA] {
        assert_eq!(consent(&mut world, by, &case), Ok(()));
    }
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    world.pass(Span::days(5));
    let open = Refusal::RequestIs(State::Open);
    assert_eq!(contribute(&mut world, MINJI, &case), Err(open.clone()));
    assert_eq!(consent(&mut world, MINJI, &case), Ok(()));
    assert_eq!(contribute(&mut world, MINJI, &case), Err(open), "both have to be behind it");
    assert_eq!(consent(&mut world, SORA, &case), Ok(()));
    assert_eq!(contribute(&mut world, MINJI, &case), Ok(()), "a share once spent stays spent");
    assert_eq!(world.state(&case), State::Released);
}

/// A request that was released on 9 March; its bundle may be fetched twice within 30 days.
fn released() -> (World, Case) {
    let (mut world, case) = asked_under(clocks());
    world.now = at("03-09T15:00");
    for by in [MINJI, SORA] {
        assert_eq!(consent(&mut world, by, &case), Ok(()));
    }
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    (world, case)
}

#[test]
fn a_bundle_is_fetched_as_often_as_the_rule_says_and_a_fetch_may_go_on() {
    let (mut world, case) = released();
    for _ in 0..2 {
        assert_eq!(world.judged(&case).may_fetch(world.now), Ok(()));
        let retrieval = world.retrieval(YUKI, &case);
        let stated = world.stated(retrieval);
        assert_eq!(world.submit(&stated), Ok(()));
        let circumstances = world.circumstances(&stated);
        let again = rules::holds(&world.states, &stated, &circumstances);
        assert_eq!(again, Ok(()), "the same that was broken off");
    }
    let third = world.retrieval(YUKI, &case);
    assert_eq!(world.try_say(third), Err(Refusal::FetchedOften(2)));
    assert_eq!(world.state(&case), State::Retrieved);
}

#[test]
fn a_bundle_is_fetched_within_the_time_that_the_rule_says() {
    let (mut world, case) = released();
    let until = world.now.after(Span::days(30));
    world.now = before(until);
    let requester = YUKI.parse().unwrap();
    assert_eq!(wanted(&world.judged(&case), &requester, world.now), Some(Wanted::Retrieve));
    let in_time = world.retrieval(YUKI, &case);
    let in_time = world.stated(in_time);
    let late = world.retrieval(YUKI, &case);
    let mut on_time = world.clone();
    assert_eq!(on_time.submit(&in_time), Ok(()));
    for world in [&mut world, &mut on_time] {
        world.now = until;
    }
    let over = Refusal::AccessOver { until, now: until };
    assert_eq!(world.try_say(late), Err(over.clone()));
    assert_eq!(wanted(&world.judged(&case), &requester, until), None);
    assert_eq!(missing(&world.judged(&case), until), [], "nothing that anybody could supply");
    let circumstances = on_time.circumstances(&in_time);
    assert_eq!(rules::holds(&on_time.states, &in_time, &circumstances), Err(over), "nor goes on");
}

#[test]
fn without_access_nothing_is_counted_and_nothing_ends() {
    let mut written = clocks();
    written["rules"][0].as_object_mut().unwrap().remove("access");
    let (mut world, case) = asked_under(written);
    world.now = at("03-09T15:00");
    for by in [MINJI, SORA] {
        assert_eq!(consent(&mut world, by, &case), Ok(()));
    }
    assert_eq!(contribute(&mut world, SORA, &case), Ok(()));
    world.pass(Span::days(3_000));
    for _ in 0..3 {
        let retrieval = world.retrieval(YUKI, &case);
        assert_eq!(world.try_say(retrieval), Ok(()));
    }
    assert_eq!(world.seen(&case).fetched, 0, "records of format 1 stay as they were");
}

#[test]
fn what_happens_next_is_told_in_its_order() {
    let told = |world: &World, case: &Case| -> Vec<String> {
        let next = upcoming(&world.judged(case), world.now);
        next.iter().map(|next| format!("{}: {}", &next.at.to_string()[5..16], next.turn)).collect()
    };
    let (mut world, case) = asked_under(clocks());
    let (notice, expires) = ("03-09T15:00: notice has run", "05-31T09:00: the request expires");
    assert_eq!(told(&world, &case), [notice, expires]);
    assert_eq!(consent(&mut world, SORA, &case), Ok(()));
    let consent_ends = "03-07T09:00: the consent of trade-secret-center/sora is no longer good, \
                        unless it is given anew";
    assert_eq!(told(&world, &case), [consent_ends, notice, expires]);
    world.now = at("03-08T00:00");
    assert_eq!(told(&world, &case), [notice, expires], "what is over is not to come");
    let (mut world, case) = released();
    let access_ends = "04-08T15:00: the bundle can no longer be fetched";
    assert_eq!(told(&world, &case), [access_ends]);
    let retrieval = world.retrieval(YUKI, &case);
    world.accept(retrieval);
    let due = "05-31T09:00: acknowledgement of destruction is due";
    assert_eq!(told(&world, &case), [access_ends, due]);
}

#[test]
fn everybody_on_a_shortest_way_is_asked() {
    let (mut world, case) = asked_under(clocks());
    let told = |world: &World| missing(&world.judged(&case), world.now)[0].to_string();
    let asked = |world: &World| -> Vec<&str> {
        let is_asked = |who: &&str| {
            wanted(&world.judged(&case), &who.parse().unwrap(), world.now) == Some(Wanted::Consent)
        };
        [MINJI, KENJI, YUKI, SORA, DANA].into_iter().filter(is_asked).collect()
    };
    assert_eq!(asked(&world), [MINJI, KENJI, SORA, DANA]);
    assert_eq!(
        told(&world),
        "consents of a member of orient-display (beneficiary) other than orient-display/yuki and a \
         member of hanbit-parts (depositor), or of a member of trade-secret-center (agent) and a \
         member of hanbit-parts (depositor), or of a member of trade-secret-center (agent) and a \
         member of orient-display (beneficiary) other than orient-display/yuki"
    );
    assert_eq!(consent(&mut world, SORA, &case), Ok(()));
    assert_eq!(asked(&world), [MINJI, KENJI]);
    assert_eq!(
        told(&world),
        "consents of a member of hanbit-parts (depositor), or of a member of orient-display \
         (beneficiary) other than orient-display/yuki"
    );
    assert_eq!(consent(&mut world, KENJI, &case), Ok(()));
    assert_eq!(asked(&world), [""; 0]);
}

#[test]
fn a_house_too_few_is_asked_for_by_name() {
    let mut written = clocks();
    written["rules"][0]["needs"] = json!({ "any": ["2@agent", "1@beneficiary"] });
    let (mut world, case) = asked_under(written);
    for by in [SORA, DANA] {
        assert_eq!(consent(&mut world, by, &case), Ok(()));
    }
    let request = world.judged(&case);
    assert_eq!(request.missing_consents(world.now).map(|open| open.len()), Some(0), "seated");
    assert_eq!(world.state(&case), State::Open);
    let organisations = vec!["orient-display".parse().unwrap()];
    let lacking = missing(&request, world.now);
    assert_eq!(lacking[0], Missing::Organisations { count: 1, organisations });
    assert_eq!(lacking[0].to_string(), "consent of another organisation: orient-display");
    let now = world.now;
    for (who, what) in [(KENJI, Some(Wanted::Consent)), (DANA, None), (MINJI, None)] {
        assert_eq!(wanted(&request, &who.parse().unwrap(), now), what, "{who}");
    }
    assert_eq!(consent(&mut world, KENJI, &case), Ok(()));
    assert_eq!(world.state(&case), State::Notice);
}
