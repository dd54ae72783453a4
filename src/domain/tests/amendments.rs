//! Other terms for an agreement: by whom, what they never change, and what they never touch.

use serde_json::{Value, json};

use super::scenario::{DANA, JUN, KENJI, MINJI, SORA, YUKI, parties};
use super::terms::{second_format, terms, three_party};
use super::world::{World, bytes};
use crate::domain::id::{AgreementId, Digest, Fingerprint};
use crate::domain::refusal::Refusal;
use crate::domain::request::State;
use crate::domain::statement::Reason;
use crate::domain::terms::Terms;
use crate::domain::time::{Span, Timestamp};
use crate::domain::trigger::Unmet;

/// An agreement whose terms depositor and agent may amend together.
pub(super) fn amendable() -> (World, AgreementId) {
    let mut world = parties();
    let agreement = world.agree(&terms(second_format()));
    (world, agreement)
}

/// The same without the first rule, and with another title.
pub(super) fn amended() -> Terms {
    with(&[("title", json!("as amended"))])
}

/// The terms that come after, with some fields said otherwise.
fn with(fields: &[(&str, Value)]) -> Terms {
    let mut written = second_format();
    written["rules"].as_array_mut().unwrap().remove(0);
    for (field, value) in fields {
        written[*field] = value.clone();
    }
    terms(written)
}

fn propose(world: &mut World, by: &str, id: &AgreementId, terms: &Terms) -> Digest {
    let amendment = world.amendment(by, id, terms);
    world.accept(amendment)
}

fn sign(world: &mut World, by: &str, id: &AgreementId, amendment: Digest) -> Result<(), Refusal> {
    let signature = world.countersignature(by, id, amendment);
    world.try_say(signature)
}

fn version(world: &World, id: &AgreementId) -> u32 {
    world.states.agreement(id).unwrap().version
}

#[test]
fn an_amendment_is_in_force_once_as_many_have_signed_as_the_terms_say() {
    let (mut world, id) = amendable();
    let new = amended();
    let outdated = world.termination(YUKI, &id);
    let sha256 = propose(&mut world, MINJI, &id, &new);
    let agreement = world.states.agreement(&id).unwrap();
    let missing = world.states.amendment(&sha256).unwrap().missing(agreement).unwrap();
    assert_eq!(missing, [("agent".parse().unwrap(), 1)].into());
    for (by, code) in [(JUN, "ALREADY"), (YUKI, "NOT_AMENDABLE"), (KENJI, "NOT_AMENDABLE")] {
        assert_eq!(sign(&mut world, by, &id, sha256).unwrap_err().code(), code, "{by}");
    }
    assert_eq!(version(&world, &id), 1);
    assert_eq!(sign(&mut world, SORA, &id, sha256), Ok(()));
    let agreement = world.states.agreement(&id).unwrap();
    assert_eq!((agreement.version, agreement.terms_sha256), (2, sha256));
    assert_eq!(*agreement.terms, new);
    let refused = world.try_say(outdated).unwrap_err();
    assert_eq!(refused.code(), "OUTDATED", "signed before anybody could know of it");
    let late = sign(&mut world, DANA, &id, sha256);
    assert_eq!(late, Err(Refusal::Mismatch("the digest of the terms to be amended")));
}

#[test]
fn promise_5_an_amendment_touches_no_request_that_was_opened_before() {
    let (mut world, id) = amendable();
    let deposit = world.store(&id);
    let case = world.ask(YUKI, &deposit, "joint");
    let before = world.seen(&case).clone();
    let asked_before = world.request(YUKI, &deposit, "bankruptcy");
    let sha256 = propose(&mut world, MINJI, &id, &amended());
    assert_eq!(sign(&mut world, SORA, &id, sha256), Ok(()));
    assert_eq!(*world.seen(&case), before, "it stands as it stood");
    let gone = world.request(YUKI, &deposit, "joint");
    assert_eq!(world.try_say(gone), Err(Refusal::NoSuchRule("joint".parse().unwrap())));
    let mut old = asked_before;
    old.ground = world.ground(&id);
    let terms = Refusal::Mismatch("the digest of the terms");
    assert_eq!(world.try_say(old), Err(terms), "what names the old terms is of no use any more");
    // By a rule that is in the new terms no longer.
    let sight = world.sight(SORA, &case);
    world.accept(sight);
    let sight = world.sight(MINJI, &case);
    world.accept(sight);
    world.pass(Span::days(8));
    for by in [SORA, KENJI] {
        let consent = world.consent(by, &case);
        world.accept(consent);
    }
    assert_eq!(world.state(&case), State::Satisfied);
    let contribution = world.contribution(SORA, &case);
    world.accept(contribution);
    assert_eq!(world.state(&case), State::Released);
    assert_eq!(world.seen(&case).terms_version, 1);
    let next = world.ask(YUKI, &deposit, "bankruptcy");
    assert_eq!(world.seen(&next).terms_version, 2);
}

#[test]
fn what_the_release_key_was_dealt_for_is_never_amended() {
    let parties = |role: &str, organisations: &[&str]| {
        let mut parties = second_format()["parties"].clone();
        parties[role] = json!(organisations);
        parties
    };
    let (world, id) = amendable();
    for (why, field, value, what) in [
        ("a party more", "parties", parties("auditor", &["acme"]), "the parties"),
        ("a party less", "parties", parties("agent", &[]), "the parties"),
        ("another in its place", "parties", parties("agent", &["acme"]), "the parties"),
        ("fewer holders", "holders", json!(["depositor", "agent"]), "the holders"),
        ("another quorum", "quorum", json!(3), "the quorum"),
    ] {
        let refusal = Refusal::NeverAmended(what);
        let mut world = world.clone();
        let amendment = world.amendment(MINJI, &id, &with(&[(field, value)]));
        assert_eq!(world.try_say(amendment), Err(refusal), "{why}");
    }
    let mut swapped = amended();
    let who = "orient-display".parse().unwrap();
    let key = bytes::<32>("another key");
    swapped.fingerprints.insert(who, Fingerprint::of(&key));
    let mut world = world;
    let amendment = world.amendment(MINJI, &id, &swapped);
    let refused = world.try_say(amendment);
    assert_eq!(refused, Err(Refusal::NeverAmended("the fingerprints")));
    let mut first = second_format();
    first["format"] = json!(1);
    let amendment = world.amendment(MINJI, &id, &terms(first));
    assert_eq!(world.try_say(amendment), Err(Refusal::NeverAmended("the format")));
}

#[test]
fn promise_3_amended_terms_are_as_sound_as_proposed_ones() {
    let (mut world, id) = amendable();
    let mut alone = amended();
    alone.rules[0].needs = serde_json::from_str("\"2@agent\"").unwrap();
    let amendment = world.amendment(MINJI, &id, &alone);
    assert_eq!(world.try_say(amendment).unwrap_err().code(), "UNSOUND");
}

#[test]
fn of_two_amendments_of_one_version_one_comes_into_force() {
    let (mut world, id) = amendable();
    let first = propose(&mut world, MINJI, &id, &amended());
    let second = propose(&mut world, SORA, &id, &with(&[("title", json!("otherwise"))]));
    assert_eq!(sign(&mut world, JUN, &id, second), Ok(()));
    assert_eq!(world.states.agreement(&id).unwrap().terms_sha256, second);
    let stale = Err(Refusal::Mismatch("the digest of the terms to be amended"));
    assert_eq!(sign(&mut world, DANA, &id, first), stale);
    // Nor is anything signed that is of another agreement.
    let other = world.agree(&terms(second_format()));
    let elsewhere = propose(&mut world, MINJI, &other, &amended());
    assert_eq!(sign(&mut world, SORA, &id, elsewhere).unwrap_err().code(), "NOT_FOUND");
}

#[test]
fn a_signature_does_not_count_once_its_signer_was_a_thief() {
    let (mut world, id) = amendable();
    let before = world.now;
    world.pass(Span::seconds(1));
    let sha256 = propose(&mut world, JUN, &id, &amended());
    let revocation = world.revocation(MINJI, JUN, Reason::CompromisedSince(before));
    world.accept(revocation);
    assert_eq!(sign(&mut world, SORA, &id, sha256), Ok(()));
    assert_eq!(version(&world, &id), 1, "of one organisation alone");
    assert_eq!(sign(&mut world, MINJI, &id, sha256), Ok(()), "by who speaks for it");
    assert_eq!(version(&world, &id), 2);
}

#[test]
fn terms_that_do_not_say_who_amends_them_stay_as_they_are() {
    let mut world = parties();
    let mut fixed = second_format();
    fixed.as_object_mut().unwrap().remove("amend");
    for written in [three_party(), fixed] {
        let id = world.agree(&terms(written));
        let amendment = world.amendment(MINJI, &id, &amended());
        assert_eq!(world.try_say(amendment), Err(Refusal::NotAmendable));
    }
}

#[test]
fn an_agreement_is_over_with_its_term_and_renewed_by_amendment() {
    let (mut world, id) = amendable();
    let deposit = world.store(&id);
    let until = world.states.agreement(&id).unwrap().terms.term.unwrap();
    world.now = until;
    let over = || Err(Refusal::TermOver { until, now: until });
    let late = world.deposit(MINJI, &id);
    assert_eq!(world.try_say(late), over());
    let late = world.request(YUKI, &deposit, "bankruptcy");
    assert_eq!(world.try_say(late), over());
    let longer = until.after(Span::days(365)).to_string();
    let sha256 = propose(&mut world, SORA, &id, &with(&[("term", json!(longer))]));
    assert_eq!(sign(&mut world, MINJI, &id, sha256), Ok(()));
    let case = world.ask(YUKI, &deposit, "bankruptcy");
    world.store(&id);
    world.now = until.after(Span::days(365));
    assert_eq!(world.state(&case), State::Expired, "by its own clock");
}

#[test]
fn what_was_asked_for_within_the_term_goes_on() {
    let (mut world, id) = amendable();
    let deposit = world.store(&id);
    let until = world.states.agreement(&id).unwrap().terms.term.unwrap();
    world.now = Timestamp::from_millis(until.as_millis() - 1);
    let case = world.ask(YUKI, &deposit, "bankruptcy");
    world.pass(Span::days(1));
    let consent = world.consent(SORA, &case);
    assert_eq!(world.try_say(consent), Ok(()));
}

#[test]
fn a_rule_that_comes_later_asks_for_silence_that_comes_later() {
    let (mut world, id) = amendable();
    world.pass(Span::days(100));
    world.store(&id);
    let heard = world.now;
    world.pass(Span::days(1));
    let mut new = amended();
    new.rules[0].trigger = serde_json::from_value(json!({
        "silence": { "role": "depositor", "lasts": "30d", "reminders": 1, "every": "7d" },
    }))
    .unwrap();
    let sha256 = propose(&mut world, SORA, &id, &new);
    let signature = world.now;
    assert_eq!(sign(&mut world, MINJI, &id, sha256), Ok(()));
    let agreement = world.states.agreement(&id).unwrap();
    let unmet = agreement.unmet(&agreement.terms.rules[0], world.now);
    let organisation = "hanbit-parts".parse().unwrap();
    let until = signature.after(Span::days(30));
    assert!(heard < signature);
    assert!(unmet.contains(&Unmet::Silence { organisation, until }), "{unmet:?}");
}
