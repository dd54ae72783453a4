//! The vault over a store that fails now and then, and over what was said before.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rand_core::OsRng;

use tokio::sync::watch;

use crate::crypto::signature::{self, SigningKey};
use crate::crypto::statement;
use crate::domain::event::{Note, SignedText};
use crate::domain::id::{Bytes, DepositId, Digest};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self as say, Invitation, Log, Made, Reason, Statement};
use crate::domain::stream::Stream;
use crate::domain::tests::terms::{terms, three_party};
use crate::domain::time::{Span, Timestamp};
use crate::ledger::Entry;
use crate::ledger::entry::Leaf;
use crate::ledger::head::Head;
use crate::ledger::merkle::Node;
use crate::store::{
    Batch, Blob, CommitError, DiskStore, Options, Pass, Piece, ReadError, Room, Store, StreamHead,
    Upload,
};
use crate::vault::committer::Work;
use crate::vault::{
    Clock, DomainProjector, Hint, Quota, Talker, Vault, VaultError, secret_sha256, verify,
};

mod attempts;
mod batches;
mod uploads;
mod walks;

/// A real store that does what it is told: fails to read a small object, has no room, holds back.
struct Failing {
    store: DiskStore,
    fails_blob: Arc<AtomicBool>,
    is_full: Arc<AtomicBool>,
    gate: Arc<Gate>,
}

/// What commits pass while it is open.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    is_waited_at: AtomicBool,
    opened: Condvar,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap() = is_shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let is_shut = self.is_shut.lock().unwrap();
        self.is_waited_at.store(*is_shut, Ordering::SeqCst);
        self.opened.notify_all();
        drop(self.opened.wait_while(is_shut, |is_shut| *is_shut).unwrap());
    }

    fn wait_until_somebody_waits(&self) {
        let is_shut = self.is_shut.lock().unwrap();
        let nobody_waits = |_: &mut bool| !self.is_waited_at.load(Ordering::SeqCst);
        drop(self.opened.wait_while(is_shut, nobody_waits).unwrap());
    }
}

impl Store for Failing {
    type Staged = <DiskStore as Store>::Staged;
    type Bundle = <DiskStore as Store>::Bundle;

    fn commit(&self, batch: Batch<Self::Staged>) -> Result<(), CommitError> {
        self.gate.pass();
        self.store.commit(batch)
    }

    fn failed(&self) -> watch::Receiver<bool> {
        self.store.failed()
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        !self.is_full.load(Ordering::SeqCst) && self.store.has_room_for(bytes)
    }

    fn has_batches(&self) -> bool {
        self.store.has_batches()
    }

    fn room(&self) -> Room {
        self.store.room()
    }

    fn ledger_size(&self) -> u64 {
        self.store.ledger_size()
    }

    fn head(&self, stream: &Stream) -> Result<StreamHead, ReadError> {
        self.store.head(stream)
    }

    fn read_stream(
        &self,
        stream: &Stream,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        self.store.read_stream(stream, from, limit)
    }

    fn read_ledger(&self, from: u64, limit: usize) -> Result<Vec<Entry>, ReadError> {
        self.store.read_ledger(from, limit)
    }

    fn leaf(&self, position: u64) -> Result<Leaf, ReadError> {
        self.store.leaf(position)
    }

    fn node(&self, node: Node) -> Result<Digest, ReadError> {
        self.store.node(node)
    }

    fn checkpoint(&self) -> Result<Option<String>, ReadError> {
        self.store.checkpoint()
    }

    fn publish(&self, last: Option<&str>, next: &str) -> Result<bool, ReadError> {
        self.store.publish(last, next)
    }

    fn record(&self, key: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.store.record(key)
    }

    fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ReadError> {
        self.store.keys(prefix, after, limit)
    }

    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        if self.fails_blob.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("told to").into());
        }
        self.store.blob(name)
    }

    fn stage(&self, upload: &Upload) -> io::Result<Self::Staged> {
        self.store.stage(upload)
    }

    fn unfinished(&self) -> io::Result<Vec<(Upload, Timestamp)>> {
        self.store.unfinished()
    }

    fn forget(&self, upload: &Upload) -> io::Result<()> {
        self.store.forget(upload)
    }

    fn settle(&self) -> io::Result<()> {
        self.store.settle()
    }

    fn read_on(&self, pass: &mut Pass) -> Result<Option<Piece>, ReadError> {
        self.store.read_on(pass)
    }

    fn bundle(&self, id: &DepositId) -> Result<Option<Self::Bundle>, ReadError> {
        self.store.bundle(id)
    }
}

/// A clock that is set by hand.
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

struct Place {
    vault: Arc<Vault<Failing>>,
    fails_blob: Arc<AtomicBool>,
    is_full: Arc<AtomicBool>,
    gate: Arc<Gate>,
    clock: Arc<Hand>,
    ledger: SigningKey,
    operator: SigningKey,
    log: Log,
}

impl Place {
    async fn founded(directory: &Path) -> Self {
        Self::granting(directory, Quota::default()).await
    }

    async fn granting(directory: &Path, quota: Quota) -> Self {
        let [ledger, operator] = [(), ()].map(|()| SigningKey::generate(&mut OsRng));
        let clock = Arc::new(Hand(Mutex::new("2026-03-02T09:00:00.000Z".parse().unwrap())));
        let founded = Note::Founded {
            ledger_key: ledger.public(),
            operator_key: operator.public(),
            ca_sha256: Bytes([7; 32]),
        };
        let place = Self::open(directory, (ledger, operator), clock, quota);
        place.vault.found(founded).await.unwrap();
        place
    }

    fn open(
        directory: &Path,
        (ledger, operator): (SigningKey, SigningKey),
        clock: Arc<Hand>,
        quota: Quota,
    ) -> Self {
        let options = Options { reserve_bytes: 0, may_begin: true, ..Options::default() };
        let store = DiskStore::open(directory, &DomainProjector, &options).unwrap();
        let [fails_blob, is_full] = [(), ()].map(|()| Arc::new(AtomicBool::new(false)));
        let gate = Arc::new(Gate::default());
        let (fails, full, shut) = (fails_blob.clone(), is_full.clone(), gate.clone());
        let store = Failing { store, fails_blob: fails, is_full: full, gate: shut };
        let log = Log { origin: "vault.example/escrow".parse().unwrap(), generation: 1 };
        let vault = Vault::open(store, log.origin.clone(), ledger.clone(), clock.clone(), quota);
        let vault = Arc::new(vault.unwrap());
        Self { vault, fails_blob, is_full, gate, clock, ledger, operator, log }
    }

    /// The same after a restart.
    async fn restarted(self, directory: &Path) -> Self {
        let Self { vault, clock, ledger, operator, .. } = self;
        vault.close().await;
        let quota = vault.quota();
        // The store is locked until nobody has it.
        drop(Arc::into_inner(vault).unwrap());
        Self::open(directory, (ledger, operator), clock, quota)
    }

    fn made(&self, by: &str, nonce: u8) -> Made {
        let (by, nonce) = (by.parse().unwrap(), Bytes([nonce; 16]));
        Made { by, at: self.clock.now(), nonce, log: self.log.clone() }
    }

    fn invitation(&self, member: &str, nonce: u8) -> SignedText {
        let invitation = Invitation {
            made: self.made("operator/operator", nonce),
            member: member.parse().unwrap(),
            secret_sha256: Bytes([nonce; 32]),
            expires_at: self.clock.now().after(Span::days(1)),
        };
        statement::sign(&self.operator, &Statement::from(invitation)).unwrap()
    }
}

#[tokio::test]
async fn promise_7_a_job_that_fails_leaves_nothing_of_itself_in_its_batch() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::founded(directory.path()).await;
    let signed = place.invitation("hanbit-parts/minji", 1);
    let work = || {
        let blobs = vec![Blob { name: "attachment/one".to_owned(), bytes: vec![1; 100] }];
        Work::Statements { group: verify(vec![signed.clone()]).unwrap(), blobs, bundle: None }
    };
    let size = place.vault.store.ledger_size();
    place.fails_blob.store(true, Ordering::SeqCst);
    let failed = place.vault.committer.submit(work()).await;
    assert!(matches!(failed, Err(VaultError::Read(ReadError::Io(_)))), "{failed:?}");
    assert_eq!(place.vault.store.ledger_size(), size, "an event without its attachment");
    let digest = signature::sha256(signed.statement.as_bytes());
    assert_eq!(place.vault.store.record(&format!("statement/{digest}")).unwrap(), None);
    let done = place.vault.committer.submit(work()).await.unwrap();
    assert_eq!(done.entries[0].position, size);
    assert_eq!(place.vault.store.blob("attachment/one").unwrap(), Some(vec![1; 100]));
    place.vault.close().await;
}

/// An organisation with its first member, by real keys.
struct House {
    organisation: SigningKey,
    member: SigningKey,
    joining: Vec<SignedText>,
    secret: [u8; 32],
    talker: Talker,
}

const CSR: &[u8] = b"a certificate request";

impl Place {
    /// Invites an organisation's first member, who joins.
    async fn found(&self, path: &str, nonce: u8) -> House {
        let secret = [nonce; 32];
        let invitation = Invitation {
            made: self.made("operator/operator", nonce),
            member: path.parse().unwrap(),
            secret_sha256: secret_sha256(&secret),
            expires_at: self.clock.now().after(Span::days(1)),
        };
        let invitation = statement::sign(&self.operator, &invitation.into()).unwrap();
        self.vault.submit(Talker::Operator, vec![invitation], Vec::new()).await.unwrap();
        let [organisation, member] = [(), ()].map(|()| SigningKey::generate(&mut OsRng));
        let made = |step| self.made(path, nonce + step);
        let introduced = say::Organisation { made: made(1), key: organisation.public() };
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        let join = say::Join {
            made: made(2),
            secret_sha256: secret_sha256(&secret),
            key: member.public(),
            age_recipient: recipient.parse().unwrap(),
            certificate_request_sha256: signature::sha256(CSR),
        };
        let join = statement::sign(&member, &join.into()).unwrap();
        let join_sha256 = signature::sha256(join.statement.as_bytes());
        let confirmation = say::Confirmation {
            made: made(3),
            member: path.parse().unwrap(),
            join_sha256,
            administrator: true,
        };
        let joining = vec![
            statement::sign(&organisation, &introduced.into()).unwrap(),
            join,
            statement::sign(&organisation, &confirmation.into()).unwrap(),
        ];
        let (path, id) = self.vault.join(&secret, joining.clone(), CSR).await.unwrap();
        House { organisation, member, joining, secret, talker: Talker::Member { path, id } }
    }
}

fn refusal<T>(outcome: Result<T, VaultError>) -> Refusal {
    match outcome {
        Err(VaultError::Refused(refusal)) => refusal,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[tokio::test]
async fn who_was_revoked_is_certified_by_no_repetition() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::founded(directory.path()).await;
    let minji = "hanbit-parts/minji";
    let house = place.found(minji, 10).await;
    let renewal = say::Renewal {
        made: place.made(minji, 20),
        certificate_request_sha256: signature::sha256(CSR),
    };
    let renewal = statement::sign(&house.member, &renewal.into()).unwrap();
    for why in ["at first", "again, as after a lost reply"] {
        let renewed = place.vault.renew(renewal.clone(), CSR).await;
        assert_eq!(renewed.unwrap(), house.talker, "{why}");
    }
    place.vault.join(&house.secret, house.joining.clone(), CSR).await.unwrap();
    let revocation = say::Revocation {
        made: place.made(minji, 21),
        member: minji.parse().unwrap(),
        join_sha256: signature::sha256(house.joining[1].statement.as_bytes()),
        reason: Reason::Left,
    };
    let revocation = statement::sign(&house.organisation, &revocation.into()).unwrap();
    place.vault.submit(house.talker.clone(), vec![revocation], Vec::new()).await.unwrap();
    let revoked = Refusal::Revoked(minji.parse().unwrap());
    assert_eq!(refusal(place.vault.renew(renewal, CSR).await), revoked);
    assert_eq!(refusal(place.vault.join(&house.secret, house.joining, CSR).await), revoked);
    place.vault.close().await;
}

#[tokio::test]
async fn promise_10_a_proposal_does_not_tell_which_organisations_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::founded(directory.path()).await;
    let minji = "hanbit-parts/minji";
    let house = place.found(minji, 10).await;
    let mut terms = terms(three_party());
    let own = signature::fingerprint(&house.organisation.public());
    terms.fingerprints.insert("hanbit-parts".parse().unwrap(), own);
    let propose = async |nonce| {
        let proposal = say::Proposal { made: place.made(minji, nonce), terms: terms.clone() };
        let proposal = statement::sign(&house.member, &proposal.into()).unwrap();
        let answer = place.vault.submit(house.talker.clone(), vec![proposal], Vec::new()).await;
        refusal(answer)
    };
    let of_nobody = propose(30).await;
    place.found("orient-display/yuki", 40).await;
    let of_somebody = propose(31).await;
    assert_eq!(of_nobody, Refusal::PartyMissing("orient-display".parse().unwrap()));
    assert_eq!(of_somebody, of_nobody, "with an invented fingerprint");
    place.vault.close().await;
}

#[tokio::test]
async fn heads_and_events_are_dated_by_a_time_that_never_runs_backwards() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::founded(directory.path()).await;
    let house = place.found("hanbit-parts/minji", 10).await;
    let stream = Stream::Organisation("hanbit-parts".parse().unwrap());
    let mut dated = Vec::new();
    for hour in ["09", "11", "10", "08"] {
        let now = format!("2026-03-02T{hour}:00:00.000Z").parse().unwrap();
        *place.clock.0.lock().unwrap() = now;
        let reading = place.vault.read(house.talker.clone(), stream.clone(), None).await.unwrap();
        let head: Head = serde_json::from_slice(&reading.head.head).unwrap();
        dated.push(head.at.to_string());
    }
    let nine = "2026-03-02T09:00:00.000Z".to_owned();
    let eleven = "2026-03-02T11:00:00.000Z".to_owned();
    assert_eq!(dated, [nine, eleven.clone(), eleven.clone(), eleven]);
    place.vault.close().await;
}

#[tokio::test]
async fn promise_8_hints_are_entered_in_every_minute_in_which_some_are_given() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::founded(directory.path()).await;
    let house = place.found("hanbit-parts/minji", 10).await;
    let accesses = Stream::OrganisationAccesses("hanbit-parts".parse().unwrap());
    let entered = || place.vault.store.head(&accesses).unwrap().sequence;
    let mut watching = place.vault.watch(house.talker.clone()).await.unwrap();
    assert_eq!(watching.next().await.unwrap(), Hint::Any);
    assert_eq!(entered(), 1, "that somebody watches");
    for (nonce, minutes, expected) in [(50, 0, 1), (51, 2, 2), (52, 0, 2), (53, 5, 3)] {
        let now = place.clock.now().after(Span::seconds(minutes * 60));
        *place.clock.0.lock().unwrap() = now;
        let invitation = Invitation {
            made: place.made("hanbit-parts/minji", nonce),
            member: format!("hanbit-parts/n{nonce}").parse().unwrap(),
            secret_sha256: Bytes([nonce; 32]),
            expires_at: now.after(Span::days(1)),
        };
        let invitation = statement::sign(&house.member, &invitation.into()).unwrap();
        place.vault.submit(house.talker.clone(), vec![invitation], Vec::new()).await.unwrap();
        let grown = Hint::Grown(Stream::Organisation("hanbit-parts".parse().unwrap()));
        assert_eq!(watching.next().await.unwrap(), grown);
        assert_eq!(entered(), expected, "after {minutes} minutes");
    }
    place.vault.close().await;
}

/// A copy of everything below a directory, as a snapshot of a disk takes it.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let (path, to) = (item.path(), to.join(item.file_name()));
        match path.is_dir() {
            true => copy_dir(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

#[tokio::test]
async fn promise_9_every_earlier_state_is_told_by_a_checkpoint_regrown_or_not() {
    const SNAPSHOTS: u8 = 101;
    let directory = tempfile::tempdir().unwrap();
    let at = |number: u8| directory.path().join(number.to_string());
    let [ledger, operator] = [(), ()].map(|()| SigningKey::generate(&mut OsRng));
    let clock = Arc::new(Hand(Mutex::new("2026-03-02T09:00:00.000Z".parse().unwrap())));
    let open = |path: &Path, may_begin| {
        let options = Options { reserve_bytes: 0, may_begin, ..Options::default() };
        let store = DiskStore::open(path, &DomainProjector, &options).unwrap();
        let origin = "vault.example/escrow".parse().unwrap();
        let vault = Vault::open(store, origin, ledger.clone(), clock.clone(), Quota::default());
        Arc::new(vault.unwrap())
    };
    let happens = async |vault: &Arc<Vault<DiskStore>>, which: u8| {
        let note = match which {
            0 => Note::Founded {
                ledger_key: ledger.public(),
                operator_key: operator.public(),
                ca_sha256: Bytes([7; 32]),
            },
            _ => Note::Access {
                by: "hanbit-parts/minji".parse().unwrap(),
                look: crate::domain::event::Look::Stream,
            },
        };
        let stream = match which {
            0 => Stream::Vault,
            _ => Stream::OrganisationAccesses("hanbit-parts".parse().unwrap()),
        };
        vault.committer.submit(Work::Note { stream, note }).await.unwrap();
    };
    // The vault's life, with a snapshot behind every event.
    for number in 0..SNAPSHOTS {
        if number > 0 {
            copy_dir(&at(number - 1), &at(number));
        }
        let vault = open(&at(number), number == 0);
        happens(&vault, number).await;
        vault.close().await;
    }
    let vault = open(&at(SNAPSHOTS - 1), false);
    let last = vault.checkpoint().unwrap();
    vault.close().await;
    drop(vault);
    let mut found_out = 0;
    for number in 0..SNAPSHOTS - 1 {
        for regrown in [false, true] {
            let vault = open(&at(number), false);
            if regrown {
                for _ in number..SNAPSHOTS {
                    happens(&vault, 1).await;
                }
                assert!(vault.ledger_size() > u64::from(SNAPSHOTS));
            }
            let told = vault.continued(Some(&last)).map(drop);
            assert!(matches!(told, Err(VaultError::SetBack)), "{number} {regrown}: {told:?}");
            assert!(vault.halted().borrow().is_some(), "it goes on");
            vault.close().await;
            found_out += 1;
        }
    }
    assert_eq!(found_out, 2 * (usize::from(SNAPSHOTS) - 1));
    // Whoever has seen no more than there is is served, and the last one is no exception.
    let vault = open(&at(SNAPSHOTS - 1), false);
    assert!(vault.continued(Some(&last)).unwrap().proof.is_empty());
    assert!(vault.halted().borrow().is_none());
    vault.close().await;
}

/// Reads a vault's tiles as the crate `tlog_tiles` asks for them.
struct Tiles<'v>(&'v Vault<Failing>);

impl tlog_tiles::TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            self.0.tile(&path.parse().unwrap()).unwrap().unwrap()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

#[tokio::test]
async fn promise_9_a_log_of_several_tiles_is_read_and_checked_by_a_c2sp_client() {
    use tlog_tiles::{HashReader as _, TileHashReader};
    let directory = tempfile::tempdir().unwrap();
    let place = Place::founded(directory.path()).await;
    let note = || Note::Access {
        by: "hanbit-parts/minji".parse().unwrap(),
        look: crate::domain::event::Look::Stream,
    };
    let stream = Stream::OrganisationAccesses("hanbit-parts".parse().unwrap());
    let submit =
        || place.vault.committer.submit(Work::Note { stream: stream.clone(), note: note() });
    for _ in 0..30 {
        // Together, so that batches are of different sizes.
        let ten = tokio::join!(
            submit(),
            submit(),
            submit(),
            submit(),
            submit(),
            submit(),
            submit(),
            submit(),
            submit(),
            submit(),
        );
        ten.9.unwrap();
    }
    let checkpoint = place.vault.checkpoint().unwrap();
    let text = checkpoint.split_inclusive('\n').take(3).collect::<String>();
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    let size = checkpoint.size();
    assert_eq!(size, 301);
    let tiles = Tiles(&place.vault);
    let reader = TileHashReader::new(size, *checkpoint.hash(), &tiles);
    let indexes: Vec<u64> = (0..size).map(|n| tlog_tiles::tlog::stored_hash_index(0, n)).collect();
    let hashes = reader.read_hashes(&indexes).unwrap();
    let entries = place.vault.store.read_ledger(0, 400).unwrap();
    let leaves: Vec<_> =
        entries.iter().map(|entry| tlog_tiles::record_hash(&entry.leaf().0)).collect();
    assert_eq!(hashes, leaves);
    let missing = place.vault.tile(&"tile/0/001".parse().unwrap()).unwrap();
    assert_eq!(missing, None, "it is not full");
    place.vault.close().await;
}

impl Place {
    fn registration(&self, house: &House, by: &str, nonce: u8) -> SignedText {
        let (made, label) = (self.made(by, nonce), "lab notebook".parse().unwrap());
        let stated = say::Registration { made, label, size: 1, sha256: Bytes([nonce; 32]) };
        statement::sign(&house.member, &stated.into()).unwrap()
    }
}

#[tokio::test]
async fn promise_8_a_look_at_members_does_not_stand_for_one_at_registrations() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::founded(directory.path()).await;
    let house = place.found("hanbit-parts/minji", 10).await;
    let own = |text: &str| format!("org_hanbit-parts{text}").parse::<Stream>().unwrap();
    let looks = [("", 1), ("/registrations", 2), ("/accesses", 3), ("/registrations", 3)];
    for (stream, entered) in looks {
        place.vault.read(house.talker.clone(), own(stream), None).await.unwrap();
        let accesses = place.vault.store.head(&own("/accesses")).unwrap().sequence;
        assert_eq!(accesses, entered, "{stream}");
    }
    place.vault.close().await;
}

#[tokio::test]
async fn promise_10_a_registration_is_carried_by_colleagues_and_answered_to_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::founded(directory.path()).await;
    let minji = "hanbit-parts/minji";
    let house = place.found(minji, 10).await;
    let stranger = place.found("orient-display/yuki", 20).await;
    let signed = place.registration(&house, minji, 30);
    let stream: Stream = "org_hanbit-parts/registrations".parse().unwrap();
    let unknown = Refusal::NotFound(stream.to_string());
    let submit = async |talker: &Talker, signed: &SignedText| {
        place.vault.submit(talker.clone(), vec![signed.clone()], Vec::new()).await
    };
    assert_eq!(refusal(submit(&stranger.talker, &signed).await), unknown, "new");
    let first = submit(&house.talker, &signed).await.unwrap();
    assert_eq!(refusal(submit(&stranger.talker, &signed).await), unknown, "accepted before");
    let again = submit(&house.talker, &signed).await.unwrap();
    assert_eq!(again.entries, first.entries, "a repetition is answered with the first one's event");
    assert_eq!(place.vault.store.head(&stream).unwrap().sequence, 1);
    // Nor does anybody learn whether there is such an organisation.
    let forged = [minji, "nowhere/nil"].map(|by| place.registration(&stranger, by, 31));
    for (by, signed) in ["hanbit-parts", "nowhere"].iter().zip(forged) {
        let told = refusal(submit(&stranger.talker, &signed).await);
        assert_eq!(told, Refusal::NotFound(format!("org_{by}/registrations")));
    }
    let read = place.vault.read(stranger.talker.clone(), stream, None).await;
    assert_eq!(refusal(read.map(drop)), unknown);
    place.vault.close().await;
}

#[tokio::test]
async fn promise_9_a_vault_that_does_not_bear_out_its_own_checkpoint_does_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(&mut OsRng);
    let clock = Arc::new(Hand(Mutex::new("2026-03-02T09:00:00.000Z".parse().unwrap())));
    let origin: crate::domain::text::Text = "vault.example/escrow".parse().unwrap();
    let store = || {
        let options = Options { reserve_bytes: 0, may_begin: true, ..Options::default() };
        DiskStore::open(directory.path(), &DomainProjector, &options).unwrap()
    };
    let open = |store: DiskStore| {
        Vault::open(store, origin.clone(), key.clone(), clock.clone(), Quota::default())
    };
    let founded = Note::Founded {
        ledger_key: key.public(),
        operator_key: key.public(),
        ca_sha256: Bytes([7; 32]),
    };
    let vault = open(store()).unwrap();
    vault.found(founded).await.unwrap();
    let own = vault.checkpoint().unwrap();
    vault.close().await;
    drop(vault);
    let name = "vault.example/escrow/1";
    let signer = crate::crypto::note::NoteKey::new(name, key.public()).unwrap();
    let signed = |size, root| {
        let origin = name.to_owned();
        signer.sign(&key, &crate::ledger::checkpoint::Checkpoint { origin, size, root }.to_string())
    };
    let other = Bytes([9; 32]);
    let mut last = own.clone();
    for (what, note, opens) in [
        ("another root for its size", signed(1, other), false),
        ("more than there is", signed(2, other), false),
        ("an earlier one", signed(0, crate::ledger::merkle::empty_root()), true),
        ("its own", own, true),
    ] {
        let store = store();
        assert!(store.publish(Some(&last), &note).unwrap(), "{what}");
        let again = store.publish(Some(&last), &note).unwrap();
        assert!(!again || last == note, "it is not the last one any more: {what}");
        let checked = crate::vault::check_log(&store, origin.clone(), key.clone());
        assert_eq!(checked.is_ok(), opens, "{what}");
        last = note;
        match open(store) {
            Ok(vault) => {
                assert!(opens, "{what}");
                last = vault.checkpoint().unwrap();
                vault.close().await;
            }
            Err(fault) => assert!(!opens && matches!(fault, ReadError::Damaged { .. }), "{what}"),
        }
    }
}
