//! Uploads: gone on with, taken over, given up; over restarts, and where quota or room is short.

use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes as Buffer;
use rand_core::OsRng;

use super::{House, Place, refusal};
use crate::crypto::release_key::{ReleaseKey, deal, number};
use crate::crypto::seal::{Origin, Seal, Sealed};
use crate::crypto::{payload, signature, statement};
use crate::domain::event::SignedText;
use crate::domain::id::{AgreementId, DepositId, Digest};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self as say, Content, Ground, Kind, Saw, SealedShare, Sealing};
use crate::domain::stream::Stream;
use crate::domain::tests::terms::{terms, three_party};
use crate::domain::time::Span;
use crate::store::{Bundle as _, Store as _};
use crate::vault::quota::UNFINISHED_OF_ONE_MAX;
use crate::vault::{
    Begun, BundleFault, Clock as _, Done, Interruption, Quota, Resource, Uploading, VaultError,
};

const CHUNK: usize = 256 << 10;
const PARTIES: [(&str, &str, u8); 3] = [
    ("hanbit-parts", "hanbit-parts/minji", 10),
    ("orient-display", "orient-display/yuki", 20),
    ("trade-secret-center", "trade-secret-center/sora", 30),
];

/// An agreement in force, and who is in it.
struct Scene {
    place: Place,
    houses: Vec<House>,
    agreement: AgreementId,
    key: ReleaseKey,
    key_sha256: Digest,
}

type Writing = Uploading<super::Failing>;

impl Scene {
    async fn set(directory: &Path, quota: Quota) -> Self {
        let place = Place::granting(directory, quota).await;
        let mut terms = terms(three_party());
        let mut houses = Vec::new();
        for (organisation, member, nonce) in PARTIES {
            let house = place.found(member, nonce).await;
            let fingerprint = signature::fingerprint(&house.organisation.public());
            terms.fingerprints.insert(organisation.parse().unwrap(), fingerprint);
            houses.push(house);
        }
        let minji = "hanbit-parts/minji";
        let (holders, quorum) = (terms.holder_organisations(), terms.quorum);
        let proposal = say::Proposal { made: place.made(minji, 50), terms };
        let proposal = statement::sign(&houses[0].member, &proposal.into()).unwrap();
        let terms_sha256 = signature::sha256(proposal.statement.as_bytes());
        let agreement = AgreementId::of(&terms_sha256);
        let dealt = deal(&holders, quorum, &mut OsRng).unwrap();
        let key = ReleaseKey::check(&dealt.commitment, quorum, &number(&holders)).unwrap();
        let sealed = |(_, member, nonce): (&str, &str, u8)| {
            let sealed = sealed_to_nobody(nonce);
            (
                SealedShare { member: member.parse().unwrap(), sha256: signature::sha256(&sealed) },
                sealed,
            )
        };
        let (shares, attachments): (Vec<_>, Vec<_>) = PARTIES.into_iter().map(sealed).unzip();
        let dealt = say::ReleaseKey {
            made: place.made(minji, 51),
            agreement: agreement.clone(),
            terms_sha256,
            epoch: 1,
            commitment: dealt.commitment,
            holders: number(&holders),
            shares,
        };
        let dealt = statement::sign(&houses[0].member, &dealt.into()).unwrap();
        let key_sha256 = signature::sha256(dealt.statement.as_bytes());
        let attachments = attachments.into_iter().map(Buffer::from).collect();
        let group = vec![proposal, dealt];
        place.vault.submit(houses[0].talker.clone(), group, attachments).await.unwrap();
        let scene = Self { place, houses, agreement, key, key_sha256 };
        for (party, (_, member, nonce)) in PARTIES.into_iter().enumerate().skip(1) {
            let (made, ground) = (scene.place.made(member, nonce + 5), scene.ground());
            let accepted =
                say::Acceptance { made, ground, terms_sha256, release_key_sha256: key_sha256 };
            scene.state(party, accepted.into()).await.unwrap();
        }
        scene
    }

    async fn state(&self, party: usize, said: say::Statement) -> Result<Done, VaultError> {
        let House { member, talker, .. } = &self.houses[party];
        let signed = statement::sign(member, &said).unwrap();
        self.place.vault.submit(talker.clone(), vec![signed], Vec::new()).await
    }

    fn ground(&self) -> Ground {
        let stream = Stream::Agreement(self.agreement.clone());
        let stands = self.place.vault.store.head(&stream).unwrap();
        Ground {
            agreement: self.agreement.clone(),
            saw: Saw { sequence: stands.sequence, commitment: stands.commitment },
            valid_until: self.place.clock.now().after(Span::days(1)),
        }
    }

    /// So many bytes, sealed.
    fn seal(&self, size: usize) -> (Vec<u8>, Sealed) {
        let depositor = "hanbit-parts".parse().unwrap();
        let origin = Origin { agreement: self.agreement.clone(), depositor };
        let seal = Seal::new(&self.key, &origin, &mut OsRng).unwrap();
        let mut sealer = seal.begin(Vec::new(), payload::threads()).unwrap();
        std::io::Write::write_all(&mut sealer, &vec![size as u8; size]).unwrap();
        let (sealed, bytes) = sealer.finish().unwrap();
        (bytes, sealed)
    }

    fn begun(&self, sealed: &Sealed) -> Begun {
        let Sealed { size, header, .. } = sealed;
        Begun { agreement: self.agreement.clone(), size: *size, header_sha256: header.sha256 }
    }

    async fn begin(&self, sealed: &Sealed) -> Result<Writing, VaultError> {
        self.place.vault.upload(self.houses[0].talker.clone(), self.begun(sealed)).await
    }

    /// Begins, and from where it goes on.
    async fn from(&self, sealed: &Sealed) -> (Writing, usize) {
        let uploading = self.begin(sealed).await.unwrap();
        let from = *uploading.durable().borrow();
        (uploading, from as usize)
    }

    async fn deposit(&self, sealed: &Sealed, nonce: u8) -> Result<Done, VaultError> {
        self.hand_in(self.stated(sealed, nonce)).await
    }

    fn stated(&self, sealed: &Sealed, nonce: u8) -> SignedText {
        let Sealed { header, size, sha256, plaintext_size, plaintext_sha256, proof } =
            sealed.clone();
        let stated = say::Deposit {
            made: self.place.made("hanbit-parts/minji", nonce),
            ground: self.ground(),
            release_key_sha256: self.key_sha256,
            label: "recipe".parse().unwrap(),
            kind: Kind::Full,
            content: Content::Opaque,
            sealing: Sealing::Escrow { proof, plaintext_sha256, plaintext_size },
            size,
            sha256,
            header_size: header.size as u32,
            header_sha256: header.sha256,
            ephemeral: header.ephemeral,
        };
        statement::sign(&self.houses[0].member, &stated.into()).unwrap()
    }

    async fn hand_in(&self, signed: SignedText) -> Result<Done, VaultError> {
        let talker = self.houses[0].talker.clone();
        self.place.vault.deposit(talker, signed, Buffer::new()).await
    }

    /// What is stored of a deposit that was just made.
    fn stored(&self, done: &Done) -> Vec<u8> {
        let event = crate::vault::records::event(&done.entries[0]).unwrap();
        let crate::domain::event::Act::Stated(signed) = event.act else { panic!("a note") };
        let id = DepositId::of(&signature::sha256(signed.statement.as_bytes()));
        let mut bundle = self.place.vault.store.bundle(&id).unwrap().unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = bundle.next().unwrap() {
            bytes.extend(piece);
        }
        bytes
    }

    fn pass(&self, span: Span) {
        let now = self.place.clock.now().after(span);
        *self.place.clock.0.lock().unwrap() = now;
    }

    async fn restarted(self, directory: &Path) -> Self {
        Self { place: self.place.restarted(directory).await, ..self }
    }
}

/// What the vault takes for a sealed share: it cannot look inside.
pub(super) fn sealed_to_nobody(number: u8) -> Vec<u8> {
    let recipient = age::x25519::Identity::generate().to_public();
    age::encrypt(&recipient, &[number]).unwrap()
}

async fn write(uploading: Writing, bytes: &[u8]) -> Result<Writing, VaultError> {
    uploading.write(vec![Buffer::copy_from_slice(bytes)]).await
}

fn fault<T>(outcome: Result<T, VaultError>) -> VaultError {
    outcome.map(drop).unwrap_err()
}

#[tokio::test]
async fn promise_7_an_upload_goes_on_where_it_is_durable_over_calls_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::set(directory.path(), Quota::default()).await;
    let (bytes, sealed) = scene.seal(5 * CHUNK);
    assert!(matches!(fault(scene.deposit(&sealed, 60).await), VaultError::NotUploaded));
    let (uploading, from) = scene.from(&sealed).await;
    assert_eq!(from, 0);
    drop(write(uploading, &bytes[..CHUNK + 100]).await.unwrap());
    assert!(matches!(fault(scene.deposit(&sealed, 61).await), VaultError::NotUploaded));
    let (uploading, from) = scene.from(&sealed).await;
    assert_eq!(from, CHUNK, "what is whole");
    drop(write(uploading, &bytes[from..3 * CHUNK + 7]).await.unwrap());
    // What nobody made durable is on disk all the same, as the system was not lost.
    scene = scene.restarted(directory.path()).await;
    assert_eq!(scene.place.vault.unfinished().0, 1);
    let (uploading, from) = scene.from(&sealed).await;
    assert_eq!(from, CHUNK, "of what lies behind nothing is known for sure");
    let uploading = write(uploading, &bytes[from..]).await.unwrap();
    uploading.finish().await.unwrap();
    let (uploading, from) = scene.from(&sealed).await;
    assert_eq!(from, bytes.len());
    drop(uploading);
    scene = scene.restarted(directory.path()).await;
    let signed = scene.stated(&sealed, 62);
    let done = scene.hand_in(signed.clone()).await.unwrap();
    assert!(scene.stored(&done) == bytes);
    assert_eq!(scene.place.vault.unfinished(), (0, 0));
    let again = scene.hand_in(signed).await.unwrap();
    assert_eq!(again.entries, done.entries, "a repetition needs no bundle");
    let files = || std::fs::read_dir(directory.path().join("bundles/staging")).unwrap().count();
    assert_eq!(files(), 0);
    scene.place.vault.close().await;
}

#[tokio::test]
async fn promise_11_what_is_not_as_it_was_begun_is_refused_at_once_and_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let scene = Scene::set(directory.path(), Quota::default()).await;
    let (bytes, sealed) = scene.seal(CHUNK);
    let (_, other) = scene.seal(CHUNK);
    let begin = async |begun: Begun| {
        let uploading = scene.place.vault.upload(scene.houses[0].talker.clone(), begun).await?;
        write(uploading, &bytes).await
    };
    let with = |change: &dyn Fn(&mut Begun)| {
        let mut begun = scene.begun(&sealed);
        change(&mut begun);
        begun
    };
    let bad = |fault: &VaultError, what: &str| matches!(fault, VaultError::Bundle(BundleFault::NotAsStated(told)) if *told == what);
    let shorter = fault(begin(with(&|it| it.size -= 1)).await);
    assert!(bad(&shorter, "size"), "{shorter:?}");
    let other = fault(begin(with(&|it| it.header_sha256 = other.header.sha256)).await);
    assert!(bad(&other, "header digest"), "{other:?}");
    let cut = fault(begin(with(&|it| it.size += 5)).await);
    assert!(matches!(cut, VaultError::Bundle(BundleFault::Chunks)), "{cut:?}");
    for (size, told) in [(0, "64 KiB"), (64 << 10, "64 KiB"), (u64::MAX, "1 TiB")] {
        let refused = fault(begin(with(&|it| it.size = size)).await);
        assert!(crate::domain::chain::chain(&refused).contains(told), "{size}: {refused:?}");
    }
    let nothing = AgreementId::of(&signature::sha256(b"nothing"));
    let unknown = refusal(begin(with(&|it| it.agreement = nothing.clone())).await);
    assert!(matches!(unknown, Refusal::NotFound(_)), "{unknown:?}");
    let yuki = scene.houses[1].talker.clone();
    let party = refusal(scene.place.vault.upload(yuki, scene.begun(&sealed)).await);
    assert!(matches!(party, Refusal::NotDepositor(_)), "{party:?}");
    assert_eq!(scene.place.vault.unfinished(), (0, 0));
    // Another digest than the one of what came: neither is of use.
    let (uploading, _) = scene.from(&sealed).await;
    let mut altered = bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    write(uploading, &altered).await.unwrap().finish().await.unwrap();
    let refused = fault(scene.deposit(&sealed, 60).await);
    assert!(bad(&refused, "digest"), "{refused:?}");
    assert_eq!(scene.place.vault.unfinished(), (0, 0));
    let entered = scene.place.vault.store.head(&Stream::AgreementAccesses(scene.agreement.clone()));
    assert!(entered.unwrap().sequence >= 3, "the parties are told of each kind of refusal");
    scene.place.vault.close().await;
}

#[tokio::test]
async fn the_newer_call_takes_over_and_the_older_one_is_told_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let scene = Scene::set(directory.path(), Quota::default()).await;
    let (bytes, sealed) = scene.seal(4 * CHUNK);
    let (older, _) = scene.from(&sealed).await;
    let older = write(older, &bytes[..2 * CHUNK]).await.unwrap();
    let mut end = older.end();
    let newer = scene.begin(&sealed);
    let older = async {
        let why = *end.wait_for(Option::is_some).await.unwrap();
        drop(older);
        why
    };
    let (newer, why) = tokio::join!(newer, older);
    assert_eq!(why, Some(Interruption::TakenOver));
    let newer = newer.unwrap();
    assert_eq!(*newer.durable().borrow(), 2 * CHUNK as u64);
    write(newer, &bytes[2 * CHUNK..]).await.unwrap().finish().await.unwrap();
    let done = scene.deposit(&sealed, 60).await.unwrap();
    assert!(scene.stored(&done) == bytes);
    // At the end every call is told, and none begins.
    let (_, sealed) = scene.seal(CHUNK);
    let (last, _) = scene.from(&sealed).await;
    scene.place.vault.dismiss();
    assert_eq!(*last.end().borrow(), Some(Interruption::Stopping));
    let none = fault(scene.begin(&sealed).await);
    assert!(matches!(none, VaultError::Interrupted(Interruption::Stopping)), "{none:?}");
    scene.place.vault.close().await;
}

#[tokio::test]
async fn what_nobody_goes_on_with_is_given_up_in_time_or_when_it_can_be_no_deposit() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::set(directory.path(), Quota::default()).await;
    let left = |scene: &Scene| scene.place.vault.unfinished().0;
    let (bytes, sealed) = scene.seal(2 * CHUNK);
    let (uploading, _) = scene.from(&sealed).await;
    let uploading = write(uploading, &bytes[..CHUNK]).await.unwrap();
    scene.pass(Span::days(2));
    scene.place.vault.reclaim().await.unwrap();
    assert_eq!(left(&scene), 1, "somebody is at it");
    drop(uploading);
    let (uploading, from) = scene.from(&sealed).await;
    assert_eq!(from, CHUNK);
    drop(uploading);
    scene.pass(Span::seconds(24 * 60 * 60 - 1));
    scene.place.vault.reclaim().await.unwrap();
    assert_eq!(left(&scene), 1);
    scene.pass(Span::seconds(1));
    scene.place.vault.reclaim().await.unwrap();
    assert_eq!(left(&scene), 0, "a day");
    drop(scene.from(&sealed).await);
    let talker = scene.houses[0].talker.clone();
    scene.place.vault.forget_upload(talker, scene.begun(&sealed)).await.unwrap();
    assert_eq!(left(&scene), 0, "as was asked");
    drop(scene.from(&sealed).await);
    scene = scene.restarted(directory.path()).await;
    assert_eq!(left(&scene), 1);
    for (party, (_, member, nonce)) in PARTIES.into_iter().enumerate() {
        let (made, ground) = (scene.place.made(member, nonce + 6), scene.ground());
        scene.state(party, say::Termination { made, ground }.into()).await.unwrap();
    }
    scene.place.vault.reclaim().await.unwrap();
    assert_eq!(left(&scene), 0, "the agreement has ended");
    scene.place.vault.close().await;
}

#[tokio::test]
async fn what_is_unfinished_counts_and_what_is_idle_gives_way() {
    let directory = tempfile::tempdir().unwrap();
    let quota = Quota { bytes: 10 << 20, total_bytes: 11 << 20, ..Quota::default() };
    let scene = Scene::set(directory.path(), quota).await;
    let begun = |size: u64, number: u8| Begun {
        agreement: scene.agreement.clone(),
        size,
        header_sha256: signature::sha256(&[number]),
    };
    let talker = || scene.houses[0].talker.clone();
    let begin = async |size, number| scene.place.vault.upload(talker(), begun(size, number)).await;
    let first = begin(6 << 20, 1).await.unwrap();
    let VaultError::Quota(over) = fault(begin(6 << 20, 2).await) else { panic!("no quota") };
    assert_eq!((over.resource, over.asked), (Resource::Bytes, (6 << 20) + 4096));
    drop(first);
    drop(begin(6 << 20, 2).await.expect("what is idle gives way"));
    assert_eq!(scene.place.vault.unfinished().0, 1);
    let held = scene.place.vault.reserved.again(&"acme".parse().unwrap(), 5 << 20);
    let _second = begin(6 << 20, 2).await.unwrap();
    let total = fault(begin(1 << 20, 3).await);
    assert!(matches!(total, VaultError::TotalQuota), "{total:?}");
    drop(held);
    // So many, and no more.
    let mut open = Vec::new();
    for number in 10..9 + UNFINISHED_OF_ONE_MAX as u8 {
        open.push(begin(70_000, number).await.unwrap());
    }
    let VaultError::Quota(over) = fault(begin(70_000, 99).await) else { panic!("no quota") };
    assert_eq!(over.resource, Resource::UnfinishedOfOne);
    open.pop();
    drop(begin(70_000, 99).await.expect("what is idle gives way"));
    drop(open);
    // Nor is any begun on a full disk; what is begun stays.
    let (bytes, sealed) = scene.seal(CHUNK);
    let (uploading, _) = scene.from(&sealed).await;
    let before = scene.place.vault.unfinished();
    scene.place.is_full.store(true, Ordering::SeqCst);
    assert!(matches!(fault(write(uploading, &bytes).await), VaultError::Full));
    assert_eq!(scene.place.vault.unfinished(), before);
    scene.place.is_full.store(false, Ordering::SeqCst);
    let (uploading, from) = scene.from(&sealed).await;
    write(uploading, &bytes[from..]).await.unwrap().finish().await.unwrap();
    scene.deposit(&sealed, 60).await.unwrap();
    scene.place.vault.close().await;
}
