//! Going on after a recovery: only what every party has signed, as the agreement stands.

use super::scenario::{JUN, MINJI, SORA, YUKI, deposited};
use super::world::{World, bytes, log};
use crate::domain::id::{AgreementId, Digest};
use crate::domain::refusal::Refusal;
use crate::domain::rules::{self, Circumstances};
use crate::domain::statement::{Log, Reason, Stated, Statement};

fn next() -> Log {
    Log { generation: 2, ..log() }
}

/// What this member says to go on with the agreement, in this generation.
fn said(world: &mut World, by: &str, id: &AgreementId, log: Log) -> (Stated, Option<Digest>) {
    let mut resumption = world.resumption(by, id);
    resumption.made.log = log;
    let stated = world.stated(resumption);
    let saw = world.circumstances(&stated).saw;
    (stated, saw)
}

fn all(world: &mut World, id: &AgreementId) -> Vec<(Stated, Option<Digest>)> {
    [MINJI, YUKI, SORA].map(|by| said(world, by, id, next())).to_vec()
}

fn decide(world: &World, id: &AgreementId, by: &[(Stated, Option<Digest>)]) -> Result<(), Refusal> {
    rules::decide_resumed(&world.states, id, by, &next(), world.now)
}

#[test]
fn promise_9_an_agreement_goes_on_when_every_party_has_signed_for_it_as_it_stands() {
    let (mut world, id, _) = deposited();
    let everybody = all(&mut world, &id);
    assert_eq!(decide(&world, &id, &everybody), Ok(()));
    for missing in 0..everybody.len() {
        let mut some = everybody.clone();
        some.remove(missing);
        let refused = decide(&world, &id, &some).unwrap_err();
        assert!(matches!(&refused, Refusal::Suspended(who) if who.len() == 1), "{refused}");
        some.push(some[0].clone());
        assert_eq!(decide(&world, &id, &some), Err(refused), "one does not sign for another");
    }
    let with = |replaced: (Stated, Option<Digest>)| {
        let mut some = everybody.clone();
        some[0] = replaced;
        some
    };
    let former = said(&mut world, MINJI, &id, log());
    assert_eq!(decide(&world, &id, &with(former)), Err(Refusal::Mismatch("a resumption")));
    let (stated, _) = said(&mut world, MINJI, &id, next());
    let elsewhere = with((stated, Some(bytes("another history"))));
    assert_eq!(decide(&world, &id, &elsewhere), Err(Refusal::Forked));
    let termination = world.termination(MINJI, &id);
    let another = (world.stated(termination), everybody[0].1);
    assert_eq!(decide(&world, &id, &with(another)), Err(Refusal::Mismatch("a resumption")));
    let (mut stated, saw) = said(&mut world, MINJI, &id, next());
    stated.key = super::world::key_of(SORA);
    let forged = with((stated, saw));
    assert_eq!(decide(&world, &id, &forged), Err(Refusal::WrongKey(MINJI.parse().unwrap())));
    let theirs = said(&mut world, JUN, &id, next());
    let revocation = world.revocation(MINJI, JUN, Reason::Left);
    world.accept(revocation);
    assert_eq!(
        decide(&world, &id, &with(theirs)),
        Err(Refusal::Revoked(JUN.parse().unwrap())),
        "nobody who was revoked takes anything up"
    );
}

#[test]
fn nothing_is_accepted_in_a_suspended_agreement_and_what_comes_back_voids_resumptions() {
    let (mut world, id, _) = deposited();
    let mut deposit = world.deposit(MINJI, &id);
    deposit.made.log = next();
    let stated = world.stated(deposit);
    let circumstances = Circumstances { log: next(), ..world.circumstances(&stated) };
    let refused = rules::decide(&world.states, &stated, &circumstances).unwrap_err();
    assert!(matches!(&refused, Refusal::Suspended(who) if who.len() == 3), "{refused}");

    let (stated, _) = said(&mut world, YUKI, &id, next());
    rules::apply(&mut world.states, &stated, world.now, 1);
    let waiting = |world: &World| match world.states.agreement(&id).unwrap().goes_on_in(2) {
        Err(Refusal::Suspended(who)) => who.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(waiting(&world), 2);
    // A lost event comes back that the first to sign did not know of.
    let lost = world.deposit(MINJI, &id);
    world.accept(lost);
    assert_eq!(waiting(&world), 3);
    let Statement::Resumption(_) = &stated.statement else { panic!("not a resumption") };
}
