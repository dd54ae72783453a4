//! A batch comes to what its jobs would come to one by one, and answers once for each stream.

use std::collections::BTreeMap;

use super::*;
use crate::vault::Done;

/// What became of a job: its events, or why there are none.
fn told(outcome: &Result<Done, VaultError>) -> Result<Vec<(Stream, u64)>, String> {
    match outcome {
        Ok(done) => Ok(done.entries.iter().map(|it| (it.stream.clone(), it.sequence)).collect()),
        Err(fault) => Err(format!("{fault:?}")),
    }
}

/// Everything in the index but who the vault is, which is made up of random keys.
fn records(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let keys = place.vault.store.keys("", None, usize::MAX).unwrap();
    let keys = keys.into_iter().filter(|key| key != "vault");
    keys.map(|key| (key.clone(), place.vault.store.record(&key).unwrap().unwrap())).collect()
}

fn work(group: &[SignedText]) -> Work<Failing> {
    Work::Statements { group: verify(group.to_vec()).unwrap(), blobs: Vec::new(), bundle: None }
}

/// The first is alone; the others come while it is committed.
fn jobs(place: &Place) -> Vec<Vec<SignedText>> {
    let strange = SigningKey::generate(&mut OsRng);
    let sign = |member: &str, nonce, key: &SigningKey| {
        let invitation = Invitation {
            made: place.made("operator/operator", nonce),
            member: member.parse().unwrap(),
            secret_sha256: Bytes([nonce; 32]),
            expires_at: place.clock.now().after(Span::days(1)),
        };
        statement::sign(key, &Statement::from(invitation)).unwrap()
    };
    let invited = |member, nonce| sign(member, nonce, &place.operator);
    vec![
        vec![invited("first/ann", 1)],
        vec![invited("hanbit-parts/minji", 2)],
        // Of an organisation that is new in this batch.
        vec![invited("hanbit-parts/minji", 3)],
        vec![invited("orient-display/junho", 4), invited("orient-display/hana", 5)],
        // Again, and again together with something new.
        vec![invited("hanbit-parts/minji", 2)],
        vec![invited("hanbit-parts/minji", 2), invited("hanbit-parts/dana", 6)],
        // What is refused takes along what came before it, but for what others have done.
        vec![invited("newco/ann", 7), sign("newco/bob", 8, &strange)],
        vec![invited("newco/carl", 9)],
        vec![sign("hanbit-parts/eve", 10, &strange)],
        vec![invited("first/bob", 11)],
    ]
}

#[tokio::test]
async fn a_batch_comes_to_what_its_jobs_come_to_one_by_one() {
    let [one, other] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let (batched, single) = (Place::founded(one.path()).await, Place::founded(other.path()).await);
    let submit = |group: Vec<SignedText>| {
        let vault = batched.vault.clone();
        tokio::spawn(async move { vault.committer.submit(work(&group)).await })
    };
    batched.gate.set(true);
    let mut waiting = Vec::new();
    for (number, group) in jobs(&batched).into_iter().enumerate() {
        waiting.push(submit(group));
        // On this one thread they are handed in, one after the other.
        tokio::task::yield_now().await;
        if number == 0 {
            batched.gate.wait_until_somebody_waits();
        }
    }
    batched.gate.set(false);
    let (mut together, mut heads) = (Vec::new(), BTreeMap::<Stream, Vec<_>>::new());
    for (number, outcome) in waiting.into_iter().enumerate() {
        let outcome = outcome.await.unwrap();
        if let (Ok(done), 1..) = (&outcome, number) {
            let stream = done.entries.last().unwrap().stream.clone();
            heads.entry(stream).or_default().push(done.head.clone());
        }
        together.push(told(&outcome));
    }
    let mut alone = Vec::new();
    for group in jobs(&single) {
        alone.push(told(&single.vault.committer.submit(work(&group)).await));
    }
    assert_eq!(together, alone);
    assert_eq!(records(&batched), records(&single));
    let refused = together.iter().filter(|outcome| outcome.is_err()).count();
    assert!((2..together.len()).contains(&refused), "{together:?}");
    for (stream, heads) in heads {
        assert!(heads.iter().all(|head| *head == heads[0]), "{stream} has several heads");
        let head: Head = serde_json::from_slice(&heads[0].head).unwrap();
        assert_eq!(head.saw.sequence, batched.vault.store.head(&stream).unwrap().sequence);
        let heads_key = batched.vault.scribe.key.public();
        let (tag, signature) = (crate::ledger::head::TAG, &heads[0].signature);
        signature::verify(&heads_key, tag, &heads[0].head, signature).unwrap();
    }
    batched.vault.close().await;
    single.vault.close().await;
}
