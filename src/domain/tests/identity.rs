//! Who may join, and whose keys count.

use super::scenario::{EVE, JUN, MINJI, SORA, YUKI, parties};
use super::terms::{terms, three_party};
use super::world::{OPERATOR, World, bytes, key_of, path};
use crate::domain::id::Digest;
use crate::domain::organisation::{INVITATION_SPAN_MAX, INVITATIONS_MAX, Standing};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{Invitation, Reason, Stated, Statement};
use crate::domain::time::{Span, Timestamp};

const PAT: &str = "hanbit-parts/pat";
const NEW: &str = "hanbit-parts/noa";

/// Says it as somebody, perhaps with another key, in a world of its own.
fn outcome(world: &World, statement: impl Into<Statement>, key: &str) -> &'static str {
    let mut world = world.clone();
    let stated = world.stated(statement);
    match world.submit(&Stated { key: key_of(key), ..stated }) {
        Ok(()) => "ok",
        Err(refusal) => refusal.code(),
    }
}

#[test]
fn doors_are_opened_by_the_operator_for_the_first_and_by_administrators_for_colleagues() {
    let mut world = parties();
    for (why, by, member, key, expected) in [
        ("a new organisation's first member", OPERATOR, "newco/ann", OPERATOR, "ok"),
        ("by another key in the operator's name", OPERATOR, "newco/ann", EVE, "NOT_FOUND"),
        ("by the operator in a stranger's name", EVE, "newco/ann", OPERATOR, "NOT_FOUND"),
        ("or in the name of who is to come", "newco/ann", "newco/ann", OPERATOR, "WRONG_KEY"),
        ("or in a stranger's, to a founded one", EVE, NEW, OPERATOR, "NOT_FOUND"),
        ("a stranger opens no organisation", EVE, "newco/ann", EVE, "NOT_FOUND"),
        ("nor an existing one, and learns nothing", EVE, NEW, EVE, "NOT_FOUND"),
        ("nor in its name", "newco/eve", "newco/ann", EVE, "WRONG_KEY"),
        ("nor in an existing one's", "hanbit-parts/eve", NEW, EVE, "WRONG_KEY"),
        ("nor in its administrator's", MINJI, NEW, EVE, "WRONG_KEY"),
        (
            "the operator cannot add to a founded one",
            OPERATOR,
            NEW,
            OPERATOR,
            "ORGANISATION_EXISTS",
        ),
        ("an administrator invites a colleague", MINJI, NEW, MINJI, "ok"),
        ("not somebody who is there", MINJI, JUN, MINJI, "ALREADY_JOINED"),
        ("not for another organisation", MINJI, "orient-display/noa", MINJI, "NOT_FOUND"),
        ("a member is no administrator", JUN, NEW, JUN, "NOT_ADMINISTRATOR"),
        ("a pending member is nothing yet", PAT, NEW, PAT, "PENDING"),
    ] {
        let invitation = world.invitation(by, member);
        assert_eq!(outcome(&world, invitation, key), expected, "{why}");
    }
    for (why, days, expected) in [
        ("longest", INVITATION_SPAN_MAX, "ok"),
        ("too long", Span::seconds(30 * 86_400 + 1), "MISMATCH"),
        ("over at once", Span::seconds(0), "MISMATCH"),
    ] {
        let mut invitation = world.invitation(MINJI, NEW);
        invitation.expires_at = world.now.after(days);
        assert_eq!(outcome(&world, invitation, MINJI), expected, "{why}");
    }
}

#[test]
fn nobody_is_operator_of_a_vault_that_was_not_founded() {
    let mut world = World::of(&[]);
    world.states = Default::default();
    let invitation = world.invitation(OPERATOR, "newco/ann");
    let refused = world.try_say_as(invitation, Default::default());
    assert_eq!(refused, Err(Refusal::NotFound("newco".to_owned())));
}

#[test]
fn open_invitations_are_bounded_and_lapse() {
    let mut world = parties();
    for i in 0..INVITATIONS_MAX {
        let invitation = world.invitation(MINJI, &format!("hanbit-parts/n{i}"));
        world.accept(invitation);
    }
    let one_more = world.invitation(MINJI, NEW);
    assert_eq!(outcome(&world, one_more, MINJI), "LIMIT");
    world.pass(Span::days(7));
    let one_more = world.invitation(MINJI, NEW);
    world.accept(one_more);
    let organisation = world.states.organisation(&path(NEW).organisation).unwrap();
    assert_eq!(organisation.invitations.len(), 1, "the lapsed are forgotten");
}

#[test]
fn an_invitation_lets_one_person_in_once() {
    let mut world = parties();
    let invitation = world.invitation(MINJI, NEW);
    world.accept(invitation.clone());
    let unknown = Invitation { secret_sha256: bytes("guessed"), ..invitation.clone() };
    for (why, by, invitation, key, expected) in [
        ("who was invited", NEW, &invitation, NEW, "ok"),
        ("under another name", "hanbit-parts/mal", &invitation, "hanbit-parts/mal", "NOT_INVITED"),
        ("of another organisation", "acme/noa", &invitation, "acme/noa", "NOT_INVITED"),
        ("of an unknown organisation", "newco/noa", &invitation, "newco/noa", "NOT_INVITED"),
        ("without the secret", NEW, &unknown, NEW, "NOT_INVITED"),
        ("a name that is taken, without the secret", JUN, &unknown, EVE, "NOT_INVITED"),
        ("with a key that did not sign", NEW, &invitation, EVE, "WRONG_KEY"),
    ] {
        let join = world.join(by, &invitation.clone());
        assert_eq!(outcome(&world, join, key), expected, "{why}");
    }
    let mut late = world.clone();
    late.pass(Span::seconds(7 * 86_400 - 1));
    let join = late.join(NEW, &invitation);
    assert_eq!(outcome(&late, join, NEW), "ok", "in the last second");
    late.pass(Span::seconds(1));
    let join = late.join(NEW, &invitation);
    assert_eq!(outcome(&late, join, NEW), "NOT_INVITED", "at the end");

    for (why, key, recipient) in [
        ("a colleague's statement key", JUN, NEW),
        ("the organisation key", "hanbit-parts", NEW),
        ("a colleague's age recipient", NEW, MINJI),
        ("and of one who waits", NEW, PAT),
    ] {
        let mut join = world.join(NEW, &invitation);
        join.key = key_of(key);
        join.age_recipient = world.join(recipient, &invitation).age_recipient;
        assert_eq!(outcome(&world, join, key), "KEYS_TAKEN", "{why}");
    }

    let second = world.invitation(MINJI, NEW);
    world.accept(second.clone());
    let join = world.join(NEW, &invitation);
    world.accept(join);
    let again = world.join(NEW, &invitation);
    assert_eq!(outcome(&world, again, NEW), "NOT_INVITED", "used");
    let again = world.join(NEW, &second);
    assert_eq!(outcome(&world, again, NEW), "ALREADY_JOINED", "two invitations, one person");
}

#[test]
fn an_organisation_has_one_key_brought_by_who_was_invited() {
    let mut world = parties();
    let invitation = world.invitation(OPERATOR, "newco/ann");
    world.accept(invitation.clone());
    let second = world.invitation(OPERATOR, "newco/bob");
    world.accept(second);
    for (why, by, key, expected) in [
        ("who was invited", "newco/ann", "newco", "ok"),
        ("who was not", "newco/eve", "newco", "NOT_INVITED"),
        ("an organisation nobody invited", "otherco/ann", "otherco", "NOT_INVITED"),
        ("one that is there, and nothing is told", "acme/eve", "acme", "NOT_INVITED"),
        ("a key that did not sign", "newco/ann", "newco/ann", "WRONG_KEY"),
    ] {
        let introduced = world.organisation(by);
        assert_eq!(outcome(&world, introduced, key), expected, "{why}");
    }
    let early = world.join("newco/ann", &invitation);
    assert_eq!(outcome(&world, early, "newco/ann"), "NOT_INVITED", "a member before the key");
    let mut lapsed = world.clone();
    lapsed.pass(Span::days(7));
    let introduced = lapsed.organisation("newco/ann");
    assert_eq!(outcome(&lapsed, introduced, "newco"), "NOT_INVITED", "lapsed");

    let introduced = world.organisation("newco/ann");
    world.accept_as(introduced, key_of("newco"));
    let rival = world.organisation("newco/bob");
    assert_eq!(outcome(&world, rival, "newco"), "ORGANISATION_EXISTS", "a second key");
}

#[test]
fn keys_are_confirmed_from_inside_the_organisation() {
    let world = parties();
    let organisation = world.states.organisation(&path(PAT).organisation).unwrap();
    let joined = organisation.member(&path(PAT).name).unwrap().join_sha256;
    let other: Digest = bytes("another join");
    for (why, by, member, join, key, expected) in [
        ("by the organisation key", MINJI, PAT, joined, "hanbit-parts", "ok"),
        ("by it in the name of who has it not", JUN, PAT, joined, "hanbit-parts", "WRONG_KEY"),
        ("by an administrator", MINJI, PAT, joined, MINJI, "ok"),
        ("by a plain member", JUN, PAT, joined, JUN, "NOT_ADMINISTRATOR"),
        ("by oneself", PAT, PAT, joined, PAT, "PENDING"),
        ("by the operator", OPERATOR, PAT, joined, OPERATOR, "NOT_FOUND"),
        ("by the operator in a member's name", MINJI, PAT, joined, OPERATOR, "WRONG_KEY"),
        ("by another organisation", EVE, PAT, joined, EVE, "NOT_FOUND"),
        ("by another organisation's key", EVE, PAT, joined, "acme", "NOT_FOUND"),
        ("of other keys than those that joined", MINJI, PAT, other, MINJI, "MISMATCH"),
        ("of who has not joined", MINJI, NEW, joined, MINJI, "NOT_FOUND"),
        ("twice", MINJI, JUN, member_join(&world, JUN), MINJI, "ALREADY"),
        ("in an unknown organisation", "newco/eve", "newco/ann", joined, EVE, "WRONG_KEY"),
        ("in its name, which tells no more", "hanbit-parts/eve", NEW, joined, EVE, "WRONG_KEY"),
    ] {
        let mut world = world.clone();
        let confirmation = world.confirmation(by, member, join, true);
        assert_eq!(outcome(&world, confirmation, key), expected, "{why}");
    }
}

fn member_join(world: &World, member: &str) -> Digest {
    let organisation = world.states.organisation(&path(member).organisation).unwrap();
    organisation.member(&path(member).name).unwrap().join_sha256
}

#[test]
fn a_confirmed_administrator_may_what_a_member_may_not() {
    let mut world = parties();
    let confirmation = world.confirmation(MINJI, PAT, member_join(&world, PAT), true);
    world.accept(confirmation);
    let invitation = world.invitation(PAT, NEW);
    assert_eq!(outcome(&world, invitation, PAT), "ok");
}

#[test]
fn certificates_are_renewed_by_proof_of_the_members_key() {
    let mut world = parties();
    for (why, by, key, expected) in [
        ("a member", JUN, JUN, "ok"),
        ("a pending member, who may talk but not act", PAT, PAT, "ok"),
        ("another member's key", JUN, MINJI, "WRONG_KEY"),
        ("the organisation key", JUN, "hanbit-parts", "WRONG_KEY"),
        ("nobody", NEW, NEW, "WRONG_KEY"),
        ("nobody of nowhere", "newco/ann", "newco/ann", "WRONG_KEY"),
    ] {
        let renewal = world.renewal(by);
        assert_eq!(outcome(&world, renewal, key), expected, "{why}");
    }
}

#[test]
fn terms_are_proposed_by_the_depositor_to_organisations_that_have_joined() {
    let mut world = parties();
    let invitation = world.invitation(OPERATOR, "newco/ann");
    world.accept(invitation);
    let usual = terms(three_party());
    let mut written = three_party();
    written["parties"]["agent"] = vec!["newco"].into();
    let unfounded = terms(written.clone());
    written["parties"]["agent"] = vec!["nowhere"].into();
    let unknown = terms(written);
    let mut unsound = usual.clone();
    unsound.quorum = 1;
    for (why, by, terms, expected) in [
        ("the depositor", MINJI, &usual, "ok"),
        ("any member of it", JUN, &usual, "ok"),
        ("another party", YUKI, &usual, "NOT_DEPOSITOR"),
        ("a stranger", EVE, &usual, "NOT_DEPOSITOR"),
        ("a pending member", PAT, &usual, "PENDING"),
        ("to an organisation that is invited", MINJI, &unfounded, "PARTY_MISSING"),
        ("to one that is not", MINJI, &unknown, "PARTY_MISSING"),
        ("against the promises", MINJI, &unsound, "UNSOUND"),
    ] {
        let proposal = world.proposal(by, terms);
        assert_eq!(outcome(&world, proposal, by), expected, "{why}");
    }
}

#[test]
fn members_are_revoked_from_inside_the_organisation() {
    let mut world = parties();
    let compromised = |world: &World, days: i64| {
        Reason::CompromisedSince(Timestamp::from_millis(world.now.as_millis() - days * 86_400_000))
    };
    let earlier = compromised(&world, 2);
    for (why, by, member, reason, expected) in [
        ("by no administrator", JUN, MINJI, Reason::Left, "NOT_ADMINISTRATOR"),
        ("by another house", SORA, JUN, Reason::Left, "NOT_FOUND"),
        ("of nobody", MINJI, "hanbit-parts/nil", Reason::Left, "NOT_FOUND"),
        ("left", MINJI, JUN, Reason::Left, "ok"),
        ("again", MINJI, JUN, Reason::Left, "ALREADY"),
        ("from now on", MINJI, JUN, compromised(&world, -1), "MISMATCH"),
        ("it was worse", MINJI, JUN, compromised(&world, 1), "ok"),
        ("and worse", MINJI, JUN, earlier, "ok"),
        ("not milder", MINJI, JUN, compromised(&world, 1), "ALREADY"),
        ("not so bad", MINJI, JUN, Reason::Left, "ALREADY"),
        ("who waits", MINJI, "hanbit-parts/pat", Reason::Left, "ok"),
    ] {
        let revocation = world.revocation(by, member, reason);
        let outcome = world.try_say(revocation);
        assert_eq!(outcome.map_or_else(|refusal| refusal.code(), |()| "ok"), expected, "{why}");
    }
    let invitation = world.invitation(JUN, "hanbit-parts/new");
    assert_eq!(world.try_say(invitation), Err(Refusal::Revoked(path(JUN))));
    let renewal = world.renewal(JUN);
    assert_eq!(world.try_say(renewal), Err(Refusal::Revoked(path(JUN))), "no new certificate");
    let join = world.states.organisation(&path(JUN).organisation).unwrap();
    let join = join.member(&path(JUN).name).unwrap().join_sha256;
    let again = world.confirmation(MINJI, JUN, join, false);
    assert_eq!(world.try_say(again), Err(Refusal::Revoked(path(JUN))), "for good");
    for (why, by, expected) in [
        ("by the organisation key in another's name", JUN, Err(Refusal::WrongKey(path(JUN)))),
        ("by the organisation key", MINJI, Ok(())),
    ] {
        let revocation = world.revocation(by, MINJI, Reason::Left);
        assert_eq!(world.try_say_as(revocation, key_of("hanbit-parts")), expected, "{why}");
    }
}

fn standing(world: &World, who: &str) -> Standing {
    let organisation = world.states.organisation(&path(who).organisation).unwrap();
    organisation.member(&path(who).name).unwrap().standing.clone()
}

/// Invites somebody, who joins.
fn join(world: &mut World, by: &str, who: &str) -> Digest {
    let door = world.invitation(by, who);
    world.accept(door.clone());
    let joining = world.join(who, &door);
    world.accept(joining)
}

fn admit(world: &mut World, by: &str, who: &str) {
    let joined = join(world, by, who);
    let confirmation = world.confirmation(by, who, joined, true);
    world.accept(confirmation);
}

#[test]
fn whom_a_thief_let_in_is_out_again() {
    let mut world = parties();
    // Yuki is administrator; her keys are stolen now.
    world.pass(Span::seconds(60));
    let stolen_at = world.now;
    let pat = "orient-display/pat";
    let sha256 = member_join(&world, pat);
    let confirmation = world.confirmation(YUKI, pat, sha256, true);
    world.accept(confirmation);
    let door = world.invitation(YUKI, "orient-display/thief");
    world.accept(door.clone());
    let revocation = world.revocation(YUKI, YUKI, Reason::CompromisedSince(stolen_at));
    world.accept(revocation);
    assert_eq!(standing(&world, pat), Standing::Pending);
    assert!(matches!(standing(&world, "orient-display/kenji"), Standing::Active { .. }));
    let joining = world.join("orient-display/thief", &door);
    assert_eq!(world.try_say(joining).unwrap_err().code(), "NOT_INVITED", "the door is shut");
    // The organisation's own key still speaks, in the name of who has it.
    let foreign = world.confirmation("orient-display/kenji", pat, sha256, true);
    let refused = world.try_say_as(foreign, key_of("orient-display"));
    assert_eq!(refused, Err(Refusal::WrongKey(path("orient-display/kenji"))));
    let confirmation = world.confirmation(YUKI, pat, sha256, true);
    world.accept_as(confirmation, key_of("orient-display"));
}

#[test]
fn whom_those_let_in_whom_a_thief_let_in_is_out_too() {
    let mut world = parties();
    let [honest, first, second, third] =
        ["ann", "one", "two", "three"].map(|name| format!("orient-display/{name}"));
    admit(&mut world, YUKI, &honest);
    world.pass(Span::seconds(60));
    let stolen_at = world.now;
    for (by, who) in [(YUKI, &first), (&first, &second), (&second, &third)] {
        world.pass(Span::seconds(1));
        admit(&mut world, by, who);
    }
    let door = world.invitation(&third, "orient-display/four");
    world.accept(door.clone());
    // One of them has gone meanwhile, as if nothing were wrong with it.
    let left = world.revocation(YUKI, &second, Reason::Left);
    world.accept(left);
    let revocation = world.revocation(&honest, YUKI, Reason::CompromisedSince(stolen_at));
    world.accept(revocation);
    assert_eq!(standing(&world, &first), Standing::Pending, "let in by the thief");
    assert_eq!(standing(&world, &third), Standing::Pending, "two hops further");
    assert!(matches!(standing(&world, &second), Standing::Revoked { counted: None, .. }));
    assert!(matches!(standing(&world, &honest), Standing::Active { .. }), "let in before");
    let joining = world.join("orient-display/four", &door);
    assert_eq!(world.try_say(joining).unwrap_err().code(), "NOT_INVITED", "the last door is shut");
}
