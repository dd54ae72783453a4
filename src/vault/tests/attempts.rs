//! Refused attempts: entered for the parties, folded, and no sign of anything to strangers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::registry::Registry;

use super::{House, Place, refusal};
use crate::crypto::{signature, statement};
use crate::domain::event::{Act, Look, Note, SignedText};
use crate::domain::id::{AgreementId, Bytes, Digest};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self as say, Ground, Saw, Statement};
use crate::domain::stream::Stream;
use crate::domain::tests::terms::{terms, three_party};
use crate::domain::time::Span;
use crate::store::Store as _;
use crate::vault::committer::Work;
use crate::vault::{Clock as _, Talker, records};

/// Three parties with proposed terms, and a stranger.
struct Scene {
    place: Place,
    minji: House,
    yuki: House,
    eve: House,
    agreement: AgreementId,
    _directory: tempfile::TempDir,
}

/// An entry: by whom, what was tried, and the refusal's code.
type Entered = (String, String, String);

impl Scene {
    async fn set() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::founded(directory.path()).await;
        let minji = place.found("hanbit-parts/minji", 10).await;
        let yuki = place.found("orient-display/yuki", 20).await;
        let sora = place.found("trade-secret-center/sora", 30).await;
        let eve = place.found("acme/eve", 40).await;
        let mut terms = terms(three_party());
        let parties =
            [("hanbit-parts", &minji), ("orient-display", &yuki), ("trade-secret-center", &sora)];
        for (name, house) in parties {
            let fingerprint = signature::fingerprint(&house.organisation.public());
            terms.fingerprints.insert(name.parse().unwrap(), fingerprint);
        }
        let proposal = say::Proposal { made: place.made("hanbit-parts/minji", 50), terms };
        let proposal = statement::sign(&minji.member, &proposal.into()).unwrap();
        let sha256 = signature::sha256(proposal.statement.as_bytes());
        place.vault.submit(minji.talker.clone(), vec![proposal], Vec::new()).await.unwrap();
        let agreement = AgreementId::of(&sha256);
        Self { place, minji, yuki, eve, agreement, _directory: directory }
    }

    fn ground(&self, id: &AgreementId) -> Ground {
        let stands = self.place.vault.store.head(&Stream::Agreement(id.clone())).unwrap();
        Ground {
            agreement: id.clone(),
            saw: Saw { sequence: stands.sequence, commitment: stands.commitment },
            valid_until: self.place.clock.now().after(Span::days(1)),
        }
    }

    /// Of other terms than those that were proposed.
    fn acceptance(&self, house: &House, by: &str, nonce: u8, id: &AgreementId) -> SignedText {
        let (made, ground) = (self.place.made(by, nonce), self.ground(id));
        let (terms_sha256, release_key_sha256) = (Bytes([1; 32]), Bytes([2; 32]));
        let said = say::Acceptance { made, ground, terms_sha256, release_key_sha256 };
        statement::sign(&house.member, &Statement::from(said)).unwrap()
    }

    async fn state(&self, house: &House, signed: SignedText) -> Refusal {
        let group = vec![signed];
        refusal(self.place.vault.submit(house.talker.clone(), group, Vec::new()).await)
    }

    /// Waits until all that was handed over before has been entered.
    async fn settle(&self) {
        let note = Note::Access { by: "acme/eve".parse().unwrap(), look: Look::Stream };
        let stream = Stream::OrganisationAccesses("acme".parse().unwrap());
        self.place.vault.committer.submit(Work::Note { stream, note }).await.unwrap();
    }

    fn notes(&self, stream: &Stream) -> Vec<(Entered, Option<Digest>)> {
        let entries = self.place.vault.store.read_stream(stream, 1, 1_000).unwrap();
        let acts = entries.iter().map(|entry| records::event(entry).unwrap().act);
        acts.filter_map(|act| match act {
            Act::Noted(Note::Refused { by, attempt, code, statement_sha256, .. }) => {
                Some(((by.to_string(), attempt.to_string(), code), statement_sha256))
            }
            Act::Noted(_) | Act::Stated(_) => None,
        })
        .collect()
    }

    fn entered(&self, stream: &Stream) -> Vec<Entered> {
        self.notes(stream).into_iter().map(|(entered, _)| entered).collect()
    }

    fn accesses(&self) -> Stream {
        Stream::AgreementAccesses(self.agreement.clone())
    }

    fn pass(&self, span: Span) {
        let now = self.place.clock.now().after(span);
        *self.place.clock.0.lock().unwrap() = now;
    }
}

fn entry(by: &str, attempt: &str, code: &str) -> Entered {
    (by.to_owned(), attempt.to_owned(), code.to_owned())
}

#[tokio::test]
async fn promise_8_a_partys_refused_attempt_is_entered_before_it_is_told_and_folded() {
    let scene = Scene::set().await;
    let yuki = "orient-display/yuki";
    let other = || Refusal::Mismatch("the digest of terms and release key");
    let accept = |nonce| scene.acceptance(&scene.yuki, yuki, nonce, &scene.agreement);
    let of_terms = entry(yuki, "acceptance", "MISMATCH");
    let first = accept(60);
    let digest = signature::sha256(first.statement.as_bytes());
    assert_eq!(scene.state(&scene.yuki, first).await, other());
    assert_eq!(scene.notes(&scene.accesses()), [(of_terms.clone(), Some(digest))]);
    assert_eq!(scene.state(&scene.yuki, accept(61)).await, other());
    assert_eq!(scene.entered(&scene.accesses()).len(), 1, "one stands for the minute");
    let (made, ground) = (scene.place.made(yuki, 62), scene.ground(&scene.agreement));
    let end = say::Termination { made, ground }.into();
    let end = statement::sign(&scene.yuki.member, &end).unwrap();
    assert_eq!(scene.state(&scene.yuki, end).await.code(), "AGREEMENT_STATE");
    let mut forked = scene.ground(&scene.agreement);
    forked.saw.commitment = Bytes([9; 32]);
    let forked = say::Declination { made: scene.place.made(yuki, 63), ground: forked }.into();
    let forked = statement::sign(&scene.yuki.member, &forked).unwrap();
    assert_eq!(scene.state(&scene.yuki, forked).await, Refusal::Forked);
    // In a colleague's, or anybody's, name: entered is who brought it.
    let carried = scene.acceptance(&scene.minji, yuki, 64, &scene.agreement);
    assert_eq!(scene.state(&scene.minji, carried).await.code(), "WRONG_KEY");
    scene.pass(Span::seconds(60));
    assert_eq!(scene.state(&scene.yuki, accept(65)).await, other());
    let expected = [
        of_terms.clone(),
        entry(yuki, "termination", "AGREEMENT_STATE"),
        entry(yuki, "declination", "FORKED"),
        entry("hanbit-parts/minji", "acceptance", "WRONG_KEY"),
        of_terms,
    ];
    assert_eq!(scene.entered(&scene.accesses()), expected);
    // What is kept free for a full disk is not spent on it, and a refusal is one without.
    scene.pass(Span::seconds(60));
    scene.place.is_full.store(true, Ordering::SeqCst);
    assert_eq!(scene.state(&scene.yuki, accept(66)).await, other());
    assert_eq!(scene.entered(&scene.accesses()).len(), expected.len());
    scene.place.vault.close().await;
    assert_eq!(scene.state(&scene.yuki, accept(67)).await, other(), "nor can it be entered now");
}

#[tokio::test]
async fn promise_10_a_strangers_attempt_is_seen_by_the_parties_and_tells_the_stranger_nothing() {
    let scene = Scene::set().await;
    let vault = &scene.place.vault;
    let nothing = AgreementId::of(&Bytes([7; 32]));
    let mut told = Vec::new();
    for id in [&scene.agreement, &nothing] {
        let before = vault.ledger_size();
        let eve = || scene.eve.talker.clone();
        let [stream, accesses] =
            [Stream::Agreement, Stream::AgreementAccesses].map(|of| of(id.clone()));
        let mut refusals = vec![
            refusal(vault.read(eve(), stream.clone(), None).await),
            refusal(vault.read(eve(), accesses, None).await),
            refusal(vault.share(eve(), id.clone()).await),
        ];
        let own = scene.acceptance(&scene.eve, "acme/eve", 70, id);
        let partys = scene.acceptance(&scene.eve, "hanbit-parts/minji", 71, id);
        for signed in [own, partys] {
            refusals.push(scene.state(&scene.eve, signed).await);
        }
        refusals.push(refusal(vault.read(Talker::Operator, stream, None).await));
        scene.settle().await;
        let text = format!("{refusals:?}").replace(&id.to_string(), "ID");
        told.push((text, vault.ledger_size() - before));
    }
    assert_eq!(told[0], told[1], "whether it is there or not");
    let expected = [
        entry("acme/eve", "look_at_agreement", "NOT_FOUND"),
        entry("acme/eve", "look_at_accesses", "NOT_FOUND"),
        entry("acme/eve", "fetch_share", "NOT_FOUND"),
        entry("acme/eve", "acceptance", "NOT_FOUND"),
        entry("operator/operator", "look_at_agreement", "NOT_FOUND"),
    ];
    assert_eq!(scene.entered(&scene.accesses()), expected, "the parties see it");
    assert_eq!(scene.entered(&Stream::Vault), expected, "nobody sees this");
    assert_eq!(
        refusal(vault.read(Talker::Operator, Stream::Vault, None).await).code(),
        "NOT_FOUND"
    );
    vault.close().await;
}

#[tokio::test]
async fn promise_10_a_stranger_is_answered_while_its_attempt_is_not_entered_yet() {
    let scene = Scene::set().await;
    let vault = scene.place.vault.clone();
    let stream = Stream::Agreement(scene.agreement.clone());
    scene.place.gate.set(true);
    let signed = scene.acceptance(&scene.yuki, "orient-display/yuki", 60, &scene.agreement);
    let partys = tokio::spawn({
        let (vault, talker) = (vault.clone(), scene.yuki.talker.clone());
        async move { refusal(vault.submit(talker, vec![signed], Vec::new()).await) }
    });
    // Nothing is committed until the gate opens: were it waited for, this would never end.
    let read = vault.read(scene.eve.talker.clone(), stream, None);
    let answered = tokio::time::timeout(Duration::from_secs(60), read).await;
    assert_eq!(refusal(answered.expect("it is waited for")).code(), "NOT_FOUND");
    assert!(!partys.is_finished(), "told before it was durable");
    assert_eq!(scene.entered(&scene.accesses()), []);
    scene.place.gate.set(false);
    assert_eq!(partys.await.unwrap().code(), "MISMATCH");
    scene.settle().await;
    assert_eq!(scene.entered(&scene.accesses()).len(), 2);
    vault.close().await;
}

#[tokio::test]
async fn nobody_fills_a_disk_by_being_refused() {
    let scene = Scene::set().await;
    let vault = &scene.place.vault;
    let looks = async |id: AgreementId| {
        let stream = Stream::Agreement(id);
        refusal(vault.read(scene.eve.talker.clone(), stream, None).await)
    };
    let before = vault.ledger_size();
    for number in 0..70 {
        looks(AgreementId::of(&Bytes([number; 32]))).await;
    }
    assert_eq!(looks(scene.agreement.clone()).await.code(), "NOT_FOUND");
    scene.settle().await;
    assert_eq!(vault.ledger_size() - before, 60 + 1, "sixty a minute");
    let mut registry = Registry::default();
    vault.register(&mut registry);
    let mut counted = String::new();
    prometheus_client::encoding::text::encode(&mut counted, &registry).unwrap();
    assert!(counted.contains("refused_attempts_dropped_total 11\n"), "{counted}");
    // What others are refused is entered meanwhile, and so is this a minute later.
    let signed = scene.acceptance(&scene.yuki, "orient-display/yuki", 60, &scene.agreement);
    scene.state(&scene.yuki, signed).await;
    scene.pass(Span::seconds(60));
    looks(scene.agreement.clone()).await;
    scene.settle().await;
    let by: Vec<_> = scene.entered(&scene.accesses()).into_iter().map(|(by, ..)| by).collect();
    assert_eq!(by, ["orient-display/yuki", "acme/eve"]);
    vault.close().await;
}
