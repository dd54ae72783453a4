//! Every field of every statement inside an agreement is exchanged for another plausible one. It
//! is refused for exactly that, or it is free: what the signer says, and nothing rests on it.

mod beginnings;
mod changes;

use serde_json::{Value, json};

use super::disputes::disputed;
use super::scenario::{
    JUN, KENJI, MINJI, SORA, YUKI, asked, consented, deposited, parties, retrieved,
};
use super::stamped::stampable;
use super::terms::{terms, three_party};
use super::triggers::{TRIGGER, asked_given, insolvency, silent};
use super::world::{Case, World, bytes, key_of};
use crate::domain::id::{AgreementId, DepositId, PublicKey, RequestId};
use crate::domain::refusal::Refusal;
use crate::domain::rules::{CLOCK_SKEW_MAX, VALIDITY_MAX};
use crate::domain::statement::{
    Acknowledged, Basis, Reason, Sealing, Statement, Withdrawal, Withdrawn,
};
use crate::domain::time::{Span, Timestamp};

const NEW: &str = "hanbit-parts/noa";

/// A field by JSON pointer, what to put there, and why that is refused; `None` if it is free.
type Swap = (&'static str, Value, Option<Refusal>);

fn no(pointer: &'static str, value: impl serde::Serialize, refusal: Refusal) -> Swap {
    (pointer, json!(value), Some(refusal))
}

fn free(pointer: &'static str, value: impl serde::Serialize) -> Swap {
    (pointer, json!(value), None)
}

fn mismatch(pointer: &'static str, what: &'static str) -> Swap {
    no(pointer, bytes::<32>("another"), Refusal::Mismatch(what))
}

/// Tries each swap by itself, and that no field was forgotten.
#[track_caller]
fn check(world: &World, statement: impl Into<Statement>, swaps: Vec<Swap>) {
    let honest = statement.into();
    let key = key_of(&honest.made().by.to_string());
    check_by(world, honest, key, swaps);
}

/// The same of a statement that is signed by another key than its member's own.
#[track_caller]
fn check_by(world: &World, honest: Statement, key: PublicKey, swaps: Vec<Swap>) {
    assert_eq!(world.clone().try_say_as(honest.clone(), key), Ok(()), "the baseline");
    let written = serde_json::to_value(&honest).unwrap();
    for (pointer, value, refusal) in &swaps {
        let mut swapped = written.clone();
        let field = swapped.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        assert_ne!(field, value, "{pointer} as it was");
        *field = value.clone();
        let swapped: Statement = serde_json::from_value(swapped).unwrap();
        let expected = refusal.clone().map_or(Ok(()), Err);
        let mut world = world.clone();
        assert_eq!(world.try_say_as(swapped, key), expected, "{}{pointer} = {value}", honest.tag());
    }
    let mut fields = Vec::new();
    leaves(&written, String::new(), &mut fields);
    // Another type is another statement, and format 1 knows one kind of deposit.
    for field in fields.iter().filter(|field| !["/type", "/kind"].contains(&field.as_str())) {
        let tried = |(pointer, _, _): &Swap| field.starts_with(pointer);
        assert!(swaps.iter().any(tried), "{}{field} was not tried", honest.tag());
    }
}

fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(value, format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(i, value)| leaves(value, format!("{at}/{i}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push(at),
    }
}

/// Who says it, when and where.
fn made(world: &World, statement: &Statement) -> Vec<Swap> {
    let (by, now) = (&statement.made().by, world.now);
    let wrong = |who: &str| Refusal::WrongKey(who.parse().unwrap());
    let colleague = if by.to_string() == MINJI { JUN } else { MINJI };
    let ahead = now.after(CLOCK_SKEW_MAX);
    let too_far = now.after(Span::seconds(10 * 60 + 1));
    vec![
        no("/made/by", colleague, wrong(colleague)),
        no("/made/by", "hanbit-parts/nil", wrong("hanbit-parts/nil")),
        no("/made/by", "nowhere/nil", wrong("nowhere/nil")),
        no("/made/by", "acme/eve", wrong("acme/eve")),
        free("/made/at", ahead),
        no("/made/at", too_far, Refusal::Early { at: too_far, now }),
        free("/made/nonce", bytes::<16>("another")),
        no("/made/log/origin", "other.example/escrow", Refusal::OtherLog),
        no("/made/log/generation", 2, Refusal::OtherLog),
    ]
}

/// What it rests on, and who says it.
fn grounded(world: &World, statement: &Statement) -> Vec<Swap> {
    let ground = statement.ground().unwrap();
    let (now, floor) = (world.now, world.states.agreement(&ground.agreement).unwrap().floor);
    let unknown = AgreementId::of(&bytes("unknown"));
    let past = "2026-03-01T23:59:59.999Z".parse().unwrap();
    let saw = |sequence| world.saw(&ground.agreement, sequence);
    let mut swaps = made(world, statement);
    swaps.extend([
        no("/ground/agreement", &unknown, Refusal::NotFound(unknown.to_string())),
        no("/ground/agreement", second(world), Refusal::Forked),
        no("/ground/saw/sequence", ground.saw.sequence + 1, Refusal::Forked),
        no("/ground/saw/sequence", ground.saw.sequence - 1, Refusal::Forked),
        no("/ground/saw/sequence", 0, Refusal::Forked),
        no("/ground/saw/commitment", bytes::<32>("another"), Refusal::Forked),
        // What only blocks, takes away or tells what is over holds whatever its signer had not seen.
        if matches!(
            statement,
            Statement::Objection(_)
                | Statement::Seen(_)
                | Statement::RevocationNotice(_)
                | Statement::Declination(_)
                | Statement::Acknowledgement(_)
                | Statement::Withdrawal(Withdrawal { withdrawn: Withdrawn::Request, .. })
        ) {
            free("/ground/saw", saw(floor - 1))
        } else {
            no("/ground/saw", saw(floor - 1), Refusal::Outdated { saw: floor - 1, floor })
        },
        no("/ground/valid_until", past, Refusal::Late { valid_until: past, now }),
        free("/ground/valid_until", now),
        free("/ground/valid_until", statement.made().at.after(VALIDITY_MAX)),
        no("/ground/valid_until", now.after(Span::seconds(30 * 86_400 + 1)), Refusal::TooLong),
    ]);
    if ground.saw.sequence > floor {
        swaps.push(free("/ground/saw", saw(floor)));
    }
    swaps
}

/// An agreement of the same parties.
fn second(world: &World) -> AgreementId {
    let mut agreements = world.states.agreements();
    agreements.find(|it| it.terms.title.as_str() == "the second").unwrap().id.clone()
}

/// Adds an agreement of the same parties, with a deposit and a request of its own.
fn with_second(world: &mut World) -> Case {
    let mut written = three_party();
    written["title"] = json!("the second");
    let agreement = world.agree(&terms(written));
    let deposit = world.store(&agreement);
    world.ask(YUKI, &deposit, "joint")
}

/// Which request it is about.
fn about(swaps: &mut Vec<Swap>, world: &mut World, case: &Case, other: &Case) {
    let unknown = RequestId::of(&bytes("unknown"));
    let deposit = world.seen(case).deposit.clone();
    let sibling = world.ask(KENJI, &deposit, "bankruptcy").request;
    let missing = |id: &RequestId| Refusal::NotFound(id.to_string());
    swaps.extend([
        no("/request/id", &unknown, missing(&unknown)),
        no("/request/id", &other.request.id, missing(&other.request.id)),
        no("/request/id", &sibling.id, Refusal::Mismatch("the digest of the request")),
        no("/request/sha256", sibling.sha256, Refusal::Mismatch("the digest of the request")),
        no("/request", &other.request, missing(&other.request.id)),
    ]);
}

fn not_entitled(who: &str, what: &'static str, rule: &str) -> Refusal {
    let (who, rule) = (who.parse().unwrap(), rule.parse().unwrap());
    Refusal::NotEntitled { who, what, rule }
}

#[test]
fn promise_4_a_request_pins_what_it_is_about() {
    let (mut world, _, deposit) = deposited();
    let other = with_second(&mut world);
    let elsewhere = world.seen(&other).deposit.clone();
    let sibling = world.store(&world.states.deposit(&deposit).unwrap().agreement.clone());
    let unknown = DepositId::of(&bytes("unknown"));
    let request = world.request(YUKI, &deposit, "joint");
    let mut swaps = grounded(&world, &request.clone().into());
    let epoch = "the epoch of the release key";
    swaps.extend([
        mismatch("/terms_sha256", "the digest of the terms"),
        mismatch("/release_key_sha256", "the digest of the release key"),
        no("/epoch", 2, Refusal::Mismatch(epoch)),
        no("/epoch", 0, Refusal::Mismatch(epoch)),
        no("/deposit", &unknown, Refusal::NotFound(unknown.to_string())),
        no("/deposit", &elsewhere, Refusal::NotFound(elsewhere.to_string())),
        no("/deposit", &sibling, Refusal::Mismatch("the digest of the deposit")),
        mismatch("/deposit_sha256", "the digest of the deposit"),
        mismatch("/bundle_sha256", "the digest of the bundle"),
        mismatch("/header_sha256", "the digest of the header"),
        no("/rule", "insolvency", Refusal::NoSuchRule("insolvency".parse().unwrap())),
        free("/rule", "bankruptcy"),
        free("/purpose", "something else"),
        free("/evidence", json!([])),
        no(
            "/evidence",
            vec![&request.evidence[0]; 33],
            Refusal::Limit { what: "documents with this request", limit: 32 },
        ),
        free("/evidence", vec![&request.evidence[0]; 32]),
        free("/duty/kind", "return"),
        free("/duty/by", Timestamp::from_millis(world.now.as_millis() + 1)),
        no("/duty/by", world.now, Refusal::DutyPast { by: world.now, now: world.now }),
        // The point and its proof are checked by whoever can do the mathematics.
        free("/point", bytes::<32>("another")),
        free("/proof/commitment", bytes::<32>("another")),
        free("/proof/response", bytes::<32>("another")),
    ]);
    check(&world, request, swaps);
}

#[test]
fn promise_4_a_consent_is_to_one_request() {
    let (mut world, case) = asked("joint");
    let other = with_second(&mut world);
    let consent = world.consent(MINJI, &case);
    let mut swaps = grounded(&world, &consent.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    check(&world, consent, swaps);
}

#[test]
fn promise_4_a_contribution_is_for_one_request() {
    let (mut world, case) = consented("joint");
    let other = with_second(&mut world);
    let contribution = world.contribution(SORA, &case);
    let mut swaps = grounded(&world, &contribution.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    swaps.extend([
        no("/epoch", 2, Refusal::Mismatch("the epoch of the release key")),
        // The contribution is checked against its digest by whoever has it.
        free("/contribution_sha256", bytes::<32>("another")),
    ]);
    check(&world, contribution, swaps);
}

#[test]
fn promise_4_an_objection_is_to_one_request() {
    let (mut world, case) = consented("bankruptcy");
    let other = with_second(&mut world);
    let objection = world.objection(MINJI, &case);
    let mut swaps = grounded(&world, &objection.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    swaps.push(free("/reason", "another"));
    check(&world, objection, swaps);
}

#[test]
fn promise_4_a_sight_and_a_notification_are_of_one_request() {
    let (mut world, case) = asked("bankruptcy");
    let other = with_second(&mut world);
    let sight = world.sight(MINJI, &case);
    let mut swaps = grounded(&world, &sight.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    check(&world, sight, swaps);
    let notification = world.notification(SORA, &case);
    let mut swaps = grounded(&world, &notification.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    swaps.extend([
        free("/evidence/name", "another.pdf"),
        free("/evidence/sha256", bytes::<32>("another")),
        free("/evidence/size", 11),
    ]);
    check(&world, notification, swaps);
}

#[test]
fn promise_4_a_withdrawal_is_of_one_thing() {
    let (mut world, case) = consented("bankruptcy");
    let other = with_second(&mut world);
    let objection = world.objection(MINJI, &case);
    world.accept(objection);
    for (by, withdrawn, swap) in [
        (
            YUKI,
            Withdrawn::Request,
            no(
                "/withdrawn",
                "objection",
                Refusal::NotFound("an objection of orient-display".to_owned()),
            ),
        ),
        (
            MINJI,
            Withdrawn::Objection,
            no("/withdrawn", "request", Refusal::OwnObjection("hanbit-parts".parse().unwrap())),
        ),
    ] {
        let withdrawal = world.withdrawal(by, &case, withdrawn);
        let mut swaps = grounded(&world, &withdrawal.clone().into());
        about(&mut swaps, &mut world, &case, &other);
        swaps.push(swap);
        check(&world, withdrawal, swaps);
    }
}

#[test]
fn promise_4_an_attestation_is_of_one_thing_for_one_request() {
    let (mut world, _, case) = asked_given(TRIGGER);
    let other = with_second(&mut world);
    let attestation = world.attestation(SORA, &case, &insolvency());
    let mut swaps = grounded(&world, &attestation.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    let documents = |count| vec![&attestation.evidence[0]; count];
    let refused = || not_entitled(SORA, "attest this", "bankruptcy");
    swaps.extend([
        no("/what", json!({ "event": "merger" }), refused()),
        no("/what", "order", refused()),
        no("/evidence", json!([]), Refusal::NoEvidence),
        free("/evidence", documents(32)),
        no(
            "/evidence",
            documents(33),
            Refusal::Limit { what: "documents with this attestation", limit: 32 },
        ),
    ]);
    check(&world, attestation, swaps);
}

#[test]
fn promise_4_a_reminder_is_of_one_organisation() {
    let (mut world, id) = silent();
    with_second(&mut world);
    let reminder = world.reminder(SORA, &id, "hanbit-parts");
    let mut swaps = grounded(&world, &reminder.clone().into());
    let nobody =
        |who: &str| Refusal::NotFound(format!("a rule by which the silence of {who} counts"));
    swaps.extend([
        no("/organisation", "orient-display", nobody("orient-display")),
        no("/organisation", "nowhere", nobody("nowhere")),
        no(
            "/organisation",
            "trade-secret-center",
            Refusal::Mismatch("the organisation to be reminded"),
        ),
    ]);
    check(&world, reminder, swaps);
}

#[test]
fn promise_4_a_settlement_is_of_one_dispute() {
    let (mut world, case) = disputed();
    let other = with_second(&mut world);
    let settlement = world.settlement(SORA, &case, Basis::Award);
    let mut swaps = grounded(&world, &settlement.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    let documents = |count| vec![&settlement.evidence[0]; count];
    let what = "settle objections by joint instruction";
    swaps.extend([
        no("/basis", "joint", not_entitled(SORA, what, "joint")),
        free("/basis", "order"),
        no("/evidence", json!([]), Refusal::NoEvidence),
        free("/evidence", documents(32)),
        no(
            "/evidence",
            documents(33),
            Refusal::Limit { what: "documents with this settlement", limit: 32 },
        ),
    ]);
    check(&world, settlement, swaps);
}

#[test]
fn promise_4_a_retrieval_is_of_one_request() {
    let (mut world, case) = consented("joint");
    let other = with_second(&mut world);
    let contribution = world.contribution(SORA, &case);
    world.accept(contribution);
    let retrieval = world.retrieval(YUKI, &case);
    let mut swaps = grounded(&world, &retrieval.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    check(&world, retrieval, swaps);
}

#[test]
fn promise_4_an_acknowledgement_is_of_one_request() {
    let (mut world, case) = retrieved();
    let other = with_second(&mut world);
    let said = world.acknowledgement(YUKI, &case, Acknowledged::Destroyed);
    let mut swaps = grounded(&world, &said.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    swaps.extend([free("/what", "received"), free("/what", "returned")]);
    check(&world, said, swaps);
}

#[test]
fn a_deposit_pins_its_key_and_tells_the_rest() {
    let (mut world, agreement, deposit) = deposited();
    with_second(&mut world);
    let earlier = world.states.deposit(&deposit).unwrap().statement.sha256;
    let said = world.deposit(MINJI, &agreement);
    let mut swaps = grounded(&world, &said.clone().into());
    swaps.extend([
        mismatch("/release_key_sha256", "the release key that the bundle is sealed to"),
        free("/label", "line 8"),
        free("/content", "opaque"),
        no("/sealing", "elsewhere", Refusal::OriginUnproven),
        // Sizes, digests and proof are checked against the bundle by whoever has it.
        free("/sealing/escrow/proof/commitment", bytes::<32>("another")),
        free("/sealing/escrow/proof/response", bytes::<32>("another")),
        free("/sealing/escrow/plaintext_sha256", bytes::<32>("another")),
        free("/sealing/escrow/plaintext_size", 1),
        free("/size", 1_u64 << 40),
        no("/size", (1_u64 << 40) + 1, Refusal::Mismatch("the bundle's size, at most 1 TiB,")),
        free("/sha256", bytes::<32>("another")),
        no("/sha256", earlier, Refusal::DepositedBefore(deposit.to_string())),
        free("/header_size", 201),
        free("/header_sha256", bytes::<32>("another")),
        free("/ephemeral", bytes::<32>("another")),
    ]);
    check(&world, said, swaps);
}

#[test]
fn bundles_sealed_elsewhere_are_admitted_where_the_terms_say_so() {
    let mut written = three_party();
    written["stock_age"] = json!(true);
    let mut world = parties();
    let agreement = world.agree(&terms(written));
    let mut deposit = world.deposit(MINJI, &agreement);
    deposit.sealing = Sealing::Elsewhere;
    assert_eq!(world.try_say(deposit), Ok(()));
}

#[test]
fn an_acceptance_is_of_one_digest_of_terms_and_key() {
    let mut world = parties();
    with_second(&mut world);
    let (agreement, _) = world.propose(&terms(three_party()));
    let acceptance = world.acceptance(YUKI, &agreement);
    let mut swaps = grounded(&world, &acceptance.clone().into());
    swaps.extend([
        mismatch("/terms_sha256", "the digest of terms and release key"),
        mismatch("/release_key_sha256", "the digest of terms and release key"),
    ]);
    check(&world, acceptance, swaps);
    let declination = world.declination(YUKI, &agreement);
    let swaps = grounded(&world, &declination.clone().into());
    check(&world, declination, swaps);
}

#[test]
fn promise_4_a_time_stamp_is_of_one_request() {
    let (mut world, case) = stampable("joint");
    let other = with_second(&mut world);
    let stamp = world.time_stamp(SORA, &case);
    let mut swaps = grounded(&world, &stamp.clone().into());
    about(&mut swaps, &mut world, &case, &other);
    let (asked_at, now) = (world.seen(&case).opened_at, world.now);
    let skew = CLOCK_SKEW_MAX.as_duration().as_millis() as i64;
    let off = |millis: i64| Timestamp::from_millis(now.as_millis() + millis);
    assert_eq!(asked_at, now);
    swaps.extend([
        free("/at", off(skew)),
        no("/at", off(skew + 1), Refusal::Early { at: off(skew + 1), now }),
        free("/at", off(-skew)),
        no("/at", off(-skew - 1), Refusal::Backdated { at: off(-skew - 1), asked_at }),
        // The token is verified by whoever can.
        free("/token", "3000aa"),
    ]);
    check(&world, stamp, swaps);
}

#[test]
fn an_invitation_opens_one_door() {
    let mut world = parties();
    let invitation = world.invitation(MINJI, NEW);
    let mut swaps = made(&world, &invitation.clone().into());
    // For a founded organisation only its own people speak.
    swaps.retain(|(pointer, value, _)| *pointer != "/made/by" || value.as_str() == Some(JUN));
    let (now, expiry) = (world.now, Refusal::Mismatch("the invitation's expiry"));
    swaps.extend([
        no("/made/by", "acme/eve", Refusal::NotFound("hanbit-parts".to_owned())),
        no("/member", "acme/noa", Refusal::NotFound("acme".to_owned())),
        no("/member", JUN, Refusal::AlreadyJoined(JUN.parse().unwrap())),
        free("/member", "hanbit-parts/another"),
        // Whoever has the secret may come in.
        free("/secret_sha256", bytes::<32>("another")),
        no("/expires_at", now, expiry.clone()),
        no("/expires_at", now.after(Span::seconds(30 * 86_400 + 1)), expiry),
        free("/expires_at", now.after(Span::days(30))),
    ]);
    check(&world, invitation, swaps);
}

#[test]
fn a_confirmation_and_a_revocation_are_of_one_member_with_its_keys() {
    let mut world = parties();
    let pat = "hanbit-parts/pat";
    let found = world.states.organisation(&"hanbit-parts".parse().unwrap()).unwrap();
    let joined = found.member(&"pat".parse().unwrap()).unwrap().join_sha256;
    let unknown = |who: &str| Refusal::NotFound(who.to_owned());
    let confirmation = world.confirmation(MINJI, pat, joined, false);
    let mut swaps = made(&world, &confirmation.clone().into());
    swaps.retain(|(pointer, value, _)| *pointer != "/made/by" || value.as_str() == Some(JUN));
    let keys = "the confirmation of this member's keys";
    swaps.extend([
        no("/made/by", "acme/eve", unknown(pat)),
        no("/member", JUN, Refusal::Mismatch(keys)),
        no("/member", SORA, unknown(SORA)),
        no("/member", "hanbit-parts/nil", unknown("hanbit-parts/nil")),
        mismatch("/join_sha256", keys),
        free("/administrator", true),
    ]);
    check(&world, confirmation, swaps);
    let revocation = world.revocation(MINJI, pat, Reason::Left);
    let mut swaps = made(&world, &revocation.clone().into());
    swaps.retain(|(pointer, value, _)| *pointer != "/made/by" || value.as_str() == Some(JUN));
    let keys = "the revocation of this member's keys";
    let since = |at| serde_json::to_value(Reason::CompromisedSince(at)).unwrap();
    let ahead = "the time since when the keys are compromised";
    swaps.extend([
        no("/made/by", "acme/eve", unknown(pat)),
        no("/member", JUN, Refusal::Mismatch(keys)),
        no("/member", SORA, unknown(SORA)),
        no("/member", "hanbit-parts/nil", unknown("hanbit-parts/nil")),
        mismatch("/join_sha256", keys),
        free("/reason", since(world.now)),
        no("/reason", since(world.now.after(Span::seconds(1))), Refusal::Mismatch(ahead)),
    ]);
    check(&world, revocation, swaps);
}

#[test]
fn a_joining_brings_one_members_own_keys() {
    let mut world = parties();
    let door = world.invitation(MINJI, NEW);
    world.accept(door.clone());
    let join = world.join(NEW, &door);
    let mut swaps = made(&world, &join.clone().into());
    swaps.retain(|(pointer, ..)| *pointer != "/made/by");
    let uninvited = |who: &str| Refusal::NotInvited(who.parse().unwrap());
    let taken = Refusal::KeysTaken(NEW.parse().unwrap());
    let minji = world.join(MINJI, &door).age_recipient;
    swaps.extend([
        no("/made/by", JUN, uninvited(JUN)),
        no("/made/by", "acme/noa", uninvited("acme/noa")),
        no("/secret_sha256", bytes::<32>("guessed"), uninvited(NEW)),
        no("/key", key_of("another"), Refusal::WrongKey(NEW.parse().unwrap())),
        no("/age_recipient", minji, taken),
        free("/age_recipient", "another"),
        free("/certificate_request_sha256", bytes::<32>("another")),
    ]);
    check(&world, join, swaps);
}

#[test]
fn a_renewal_is_of_the_members_own_certificate() {
    let mut world = parties();
    let renewal = world.renewal(MINJI);
    let mut swaps = made(&world, &renewal.clone().into());
    swaps.push(free("/certificate_request_sha256", bytes::<32>("another")));
    check(&world, renewal, swaps);
}

#[test]
fn a_registration_tells_everything_and_rests_on_nothing() {
    let mut world = parties();
    let registration = world.registration(MINJI);
    let mut swaps = made(&world, &registration.clone().into());
    swaps.extend([
        free("/label", "another"),
        // The document is not here: only who has it can tell.
        free("/size", 0),
        free("/sha256", bytes::<32>("another")),
    ]);
    check(&world, registration, swaps);
}

#[test]
fn an_end_is_of_one_agreement() {
    let (mut world, agreement, _) = deposited();
    with_second(&mut world);
    let termination = world.termination(SORA, &agreement);
    let swaps = grounded(&world, &termination.clone().into());
    check(&world, termination, swaps);
}

#[test]
fn a_notice_is_of_one_revocation() {
    let (mut world, agreement, _) = deposited();
    with_second(&mut world);
    let revocation = world.revocation(MINJI, JUN, Reason::Left);
    let sha256 = world.accept(revocation);
    let notice = world.revocation_notice(MINJI, &agreement, JUN, sha256);
    let mut swaps = grounded(&world, &notice.clone().into());
    // Jun speaks for nobody any more.
    swaps.remove(0);
    let unknown = |who: &str| Refusal::NotFound(who.to_owned());
    swaps.extend([
        no("/made/by", JUN, Refusal::WrongKey(JUN.parse().unwrap())),
        no("/member", MINJI, Refusal::Mismatch("the digest of the revocation")),
        no("/member", SORA, unknown(SORA)),
        no("/member", "hanbit-parts/nil", unknown("hanbit-parts/nil")),
        mismatch("/revocation_sha256", "the digest of the revocation"),
    ]);
    check(&world, notice, swaps);
}

#[test]
fn a_share_goes_to_one_colleague_for_one_key() {
    let (mut world, agreement, _) = deposited();
    with_second(&mut world);
    let reseal = world.reseal(KENJI, &agreement, YUKI);
    let mut swaps = grounded(&world, &reseal.clone().into());
    swaps.extend([
        no("/epoch", 2, Refusal::Mismatch("the epoch of the release key")),
        no("/share/member", MINJI, Refusal::Mismatch("the member the share is for")),
        no(
            "/share/member",
            "orient-display/pat",
            Refusal::NotFound("orient-display/pat".to_owned()),
        ),
        // Whether it opens, only its recipient can tell.
        free("/share/sha256", bytes::<32>("another")),
    ]);
    check(&world, reseal, swaps);
}

#[test]
fn a_release_key_is_dealt_for_its_terms_and_holders() {
    let mut world = parties();
    let other = with_second(&mut world);
    let proposal = world.proposal(MINJI, &terms(three_party()));
    let id = AgreementId::of(&world.accept(proposal));
    let key = world.release_key(MINJI, &id);
    let unknown = AgreementId::of(&bytes("unknown"));
    let mut swaps = made(&world, &key.clone().into());
    let [epoch, holders, shares] = [
        "the release key's epoch or commitment",
        "the release key's list of holders",
        "the release key's list of sealed shares",
    ];
    swaps.extend([
        no("/agreement", &unknown, Refusal::NotFound(unknown.to_string())),
        no("/agreement", &other.agreement, Refusal::AgreementIs("active")),
        mismatch("/terms_sha256", "the release key's digest of the terms"),
        no("/epoch", 2, Refusal::Mismatch(epoch)),
        no("/epoch", 0, Refusal::Mismatch(epoch)),
        no("/commitment", &key.commitment[..1], Refusal::Mismatch(epoch)),
        no("/commitment", vec![key.commitment[0]; 3], Refusal::Mismatch(epoch)),
        // Points are checked by every client that countersigns.
        free("/commitment/0", bytes::<32>("another")),
        free("/commitment/1", bytes::<32>("another")),
        no("/holders/0/organisation", "acme", Refusal::Mismatch(holders)),
        no("/holders/0/identifier", 2, Refusal::Mismatch(holders)),
        no("/holders", &key.holders[..2], Refusal::Mismatch(holders)),
        no("/shares", &key.shares[..2], Refusal::Mismatch(shares)),
        no("/shares/1", &key.shares[0], Refusal::Mismatch(shares)),
        no("/shares/0/member", "acme/eve", Refusal::Mismatch(shares)),
        no(
            "/shares/2/member",
            "hanbit-parts/pat",
            Refusal::NotFound("hanbit-parts/pat".to_owned()),
        ),
        free("/shares/0/sha256", bytes::<32>("another")),
        free("/shares/1/sha256", bytes::<32>("another")),
        free("/shares/2/sha256", bytes::<32>("another")),
    ]);
    check(&world, key, swaps);
}
