//! What every backend must do: one suite, run against each through a factory.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::domain::id::{AgreementId, Bytes, DepositId};
use crate::domain::stream::Stream;
use crate::ledger::{Entry, LabelKey};
use crate::store::{
    Batch, Blob, Bundle, CommitError, Projector, ReadError, ReadRecord, Records, Staged, Store,
    StreamHead, Upload,
};

/// A backend under test: it can be ended and opened again on the same state.
pub(crate) trait Factory {
    type Store: Store;
    fn open(&mut self) -> Self::Store;
    fn close(&mut self, store: Self::Store);
}

/// Reads payloads such as `key=value`, `key-` (deletes) and `key+` (counts up): the last one makes
/// applying an entry twice visible.
pub(crate) struct TestProjector;

impl Projector for TestProjector {
    fn project(&self, entry: &Entry, read: ReadRecord<'_>) -> Result<Records, ReadError> {
        let text = String::from_utf8_lossy(&entry.payload).into_owned();
        let change = if let Some((key, value)) = text.split_once('=') {
            (key.to_owned(), Some(value.as_bytes().to_vec()))
        } else if let Some(key) = text.strip_suffix('-') {
            (key.to_owned(), None)
        } else {
            let key = text.trim_end_matches('+');
            let count = read(key)?.map_or(0, |value| value.len());
            (key.to_owned(), Some(vec![b'x'; count + 1]))
        };
        Ok(vec![change])
    }
}

pub(crate) fn agreement(number: u8) -> Stream {
    let digest = Bytes([number; 32]);
    Stream::Agreement(crate::domain::id::AgreementId::of(&digest))
}

pub(crate) fn deposit(number: u8) -> DepositId {
    DepositId::of(&Bytes(Sha256::digest([number]).into()))
}

/// A batch of these payloads that follows on what is stored, with the records they make.
pub(crate) fn batch<S: Store>(store: &S, payloads: &[(Stream, &str)]) -> Batch<S::Staged> {
    let mut made = Batch {
        expected: Vec::new(),
        entries: Vec::new(),
        blobs: Vec::new(),
        bundles: Vec::new(),
        records: Vec::new(),
    };
    let mut heads = BTreeMap::new();
    let mut records: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    for (position, (stream, payload)) in (store.ledger_size()..).zip(payloads) {
        let sequence = heads.entry(stream.clone()).or_insert_with(|| {
            let now = store.head(stream).unwrap().sequence;
            made.expected.push((stream.clone(), now));
            now
        });
        *sequence += 1;
        let entry = Entry {
            position,
            stream: stream.clone(),
            sequence: *sequence,
            label_key: LabelKey([1; 32]),
            salt: Bytes([2; 32]),
            payload: payload.as_bytes().to_vec(),
        };
        let read =
            |key: &str| records.get(key).map_or_else(|| store.record(key), |v| Ok(v.clone()));
        let changes = TestProjector.project(&entry, &read).unwrap();
        records.extend(changes);
        made.entries.push(entry);
    }
    made.records = records.into_iter().collect();
    made
}

/// What a bundle of this content is known by on its way.
fn upload(content: &[u8]) -> Upload {
    Upload {
        member: "hanbit-parts/minji".parse().unwrap(),
        agreement: AgreementId::of(&Bytes([1; 32])),
        header_sha256: Bytes(Sha256::digest(content).into()),
        size: content.len() as u64,
    }
}

pub(crate) fn staged<S: Store>(store: &S, content: &[u8]) -> S::Staged {
    store.forget(&upload(content)).unwrap();
    let mut staged = store.stage(&upload(content)).unwrap();
    for piece in content.chunks(100_000) {
        staged.write(piece).unwrap();
    }
    staged.sync().unwrap();
    staged
}

pub(crate) fn read_bundle(mut bundle: impl Bundle) -> Result<Vec<u8>, ReadError> {
    let mut content = Vec::new();
    while let Some(piece) = bundle.next()? {
        content.extend(piece);
    }
    Ok(content)
}

/// Everything a reader can see of the ledger and the records.
pub(crate) fn seen<S: Store>(store: &S) -> (Vec<Entry>, Vec<(String, Vec<u8>)>) {
    let keys = store.keys("", None, usize::MAX).unwrap();
    let record = |key: String| (key.clone(), store.record(&key).unwrap().unwrap());
    (store.read_ledger(0, usize::MAX).unwrap(), keys.into_iter().map(record).collect())
}

/// The whole suite.
pub(crate) fn check(factory: &mut impl Factory) {
    let store = factory.open();
    an_empty_store_has_nothing(&store);
    what_is_committed_is_read_back(&store);
    what_does_not_follow_is_refused_and_changes_nothing(&store);
    records_are_listed_in_order_and_deleted(&store);
    objects_and_bundles_come_back_as_they_went(&store);
    a_bundle_is_begun(&store);
    let before = seen(&store);
    factory.close(store);
    let store = factory.open();
    assert_eq!(seen(&store), before, "a restart changes nothing");
    it_is_gone_on_with_and_another_is_not(&store);
    objects_are_there_after_a_restart(&store);
    what_is_committed_is_read_back(&store);
    factory.close(store);
}

fn an_empty_store_has_nothing<S: Store>(store: &S) {
    assert_eq!(store.ledger_size(), 0);
    let none = StreamHead { sequence: 0, commitment: Bytes([0; 32]) };
    assert_eq!(store.head(&Stream::Vault).unwrap(), none);
    assert!(store.read_stream(&Stream::Vault, 1, 9).unwrap().is_empty());
    assert!(store.read_ledger(0, 9).unwrap().is_empty());
    assert_eq!(store.record("k").unwrap(), None);
    assert_eq!(store.blob("k").unwrap(), None);
    assert!(store.bundle(&deposit(1)).unwrap().is_none());
    store.commit(batch(store, &[])).unwrap();
    assert_eq!(store.ledger_size(), 0, "an empty batch is no event");
}

fn what_is_committed_is_read_back<S: Store>(store: &S) {
    let (size, vault) = (store.ledger_size(), store.head(&Stream::Vault).unwrap().sequence);
    let made = batch(store, &[(Stream::Vault, "a=1"), (agreement(1), "n+"), (Stream::Vault, "n+")]);
    let entries = made.entries.clone();
    store.commit(made).unwrap();
    assert_eq!(store.ledger_size(), size + 3);
    assert_eq!(store.read_ledger(size, 9).unwrap(), entries);
    assert_eq!(store.read_ledger(size + 1, 1).unwrap(), entries[1..2]);
    let head = StreamHead { sequence: vault + 2, commitment: entries[2].commitment() };
    assert_eq!(store.head(&Stream::Vault).unwrap(), head);
    let ours = store.read_stream(&Stream::Vault, vault + 1, 9).unwrap();
    assert_eq!(ours, [entries[0].clone(), entries[2].clone()]);
    assert_eq!(store.read_stream(&Stream::Vault, vault + 2, 9).unwrap(), entries[2..]);
    for (sequence, expected) in [
        (0, None),
        (vault + 1, Some(entries[0].commitment())),
        (vault + 2, Some(entries[2].commitment())),
        (vault + 3, None),
    ] {
        assert_eq!(store.commitment(&Stream::Vault, sequence).unwrap(), expected, "{sequence}");
    }
    assert_eq!(store.record("a").unwrap(), Some(b"1".to_vec()));
}

fn what_does_not_follow_is_refused_and_changes_nothing<S: Store>(store: &S) {
    let before = seen(store);
    let two = |store| batch(store, &[(Stream::Vault, "b=1"), (agreement(1), "b=2")]);
    let mut stale = two(store);
    stale.expected[1].1 += 1;
    let refusal = store.commit(stale).unwrap_err();
    assert!(matches!(refusal, CommitError::Stale { stream, expected, current }
        if stream == agreement(1) && expected == current + 1));
    type Spoil<S> = fn(&mut Batch<<S as Store>::Staged>);
    let spoilt: [(&str, Spoil<S>); 9] = [
        ("position skipped", |batch| batch.entries[1].position += 1),
        ("position repeated", |batch| batch.entries[0].position -= 1),
        ("sequence skipped", |batch| batch.entries[1].sequence += 1),
        ("sequence repeated", |batch| batch.entries[1].sequence -= 1),
        ("entries swapped", |batch| batch.entries.swap(0, 1)),
        ("payload too large", |batch| {
            batch.entries[0].payload = vec![b' '; Entry::PAYLOAD_BYTES_MAX + 1];
        }),
        ("object too large", |batch| {
            let bytes = vec![0; Blob::BYTES_MAX + 1];
            batch.blobs.push(Blob { name: "large".to_owned(), bytes });
        }),
        ("object named twice", |batch| {
            let blob = Blob { name: "twice".to_owned(), bytes: vec![1] };
            batch.blobs.extend([blob.clone(), blob]);
        }),
        ("records without an entry", |batch| batch.entries.clear()),
    ];
    for (what, spoil) in spoilt {
        let mut made = two(store);
        spoil(&mut made);
        let refusal = store.commit(made).unwrap_err();
        assert!(matches!(refusal, CommitError::Unsound(_)), "{what}: {refusal}");
        assert_eq!(seen(store), before, "{what}");
    }
    assert_eq!(store.blob("twice").unwrap(), None);
}

fn records_are_listed_in_order_and_deleted<S: Store>(store: &S) {
    let payloads = ["p/b=1", "p/a=2", "p=3", "p/c=4", "q/a=5", "p/b/x=6", "p/c-"];
    let payloads = payloads.map(|payload| (Stream::Vault, payload));
    store.commit(batch(store, &payloads)).unwrap();
    for (prefix, after, limit, expected) in [
        ("p/", None, 9, vec!["p/a", "p/b", "p/b/x"]),
        ("p/", Some("p/a"), 9, vec!["p/b", "p/b/x"]),
        ("p/", Some("p/b"), 1, vec!["p/b/x"]),
        ("p/", Some("a"), 1, vec!["p/a"]),
        ("p/", Some("z"), 9, vec![]),
        ("x", None, 9, vec![]),
        ("q", None, 0, vec![]),
    ] {
        assert_eq!(store.keys(prefix, after, limit).unwrap(), expected, "{prefix} {after:?}");
    }
    assert_eq!(store.record("p/c").unwrap(), None);
    store.commit(batch(store, &[(Stream::Vault, "p/a-")])).unwrap();
    assert_eq!(store.keys("p/", None, 9).unwrap(), ["p/b", "p/b/x"]);
}

fn large() -> Vec<u8> {
    (0..700_000u32).map(|n| (n % 251) as u8).collect()
}

fn objects_and_bundles_come_back_as_they_went<S: Store>(store: &S) {
    drop(staged(store, b"changed my mind"));
    let mut made = batch(store, &[(agreement(2), "d=1")]);
    made.blobs.push(Blob { name: "small".to_owned(), bytes: b"content".to_vec() });
    made.blobs.push(Blob { name: "none".to_owned(), bytes: Vec::new() });
    made.bundles.push((deposit(1), staged(store, &large())));
    made.bundles.push((deposit(2), staged(store, b"")));
    store.commit(made).unwrap();
    objects_are_there_after_a_restart(store);

    let mut again = batch(store, &[(agreement(2), "d=2")]);
    again.bundles.push((deposit(1), staged(store, b"another")));
    assert!(matches!(store.commit(again), Err(CommitError::Unsound(_))), "nothing is rewritten");
    let mut again = batch(store, &[(agreement(2), "d=2")]);
    again.blobs.push(Blob { name: "small".to_owned(), bytes: b"another".to_vec() });
    assert!(matches!(store.commit(again), Err(CommitError::Unsound(_))), "nothing is rewritten");
    let mut stale = batch(store, &[(agreement(2), "d=2")]);
    stale.bundles.push((deposit(3), staged(store, b"unseen")));
    stale.expected[0].1 -= 1;
    assert!(matches!(store.commit(stale), Err(CommitError::Stale { .. })));
    assert!(store.bundle(&deposit(3)).unwrap().is_none());
}

/// Longer than [`large`], and the begin of it the same.
fn interrupted() -> Vec<u8> {
    large().repeat(2)
}

fn a_bundle_is_begun<S: Store>(store: &S) {
    for content in ["changed my mind", "another", "unseen"] {
        store.forget(&upload(content.as_bytes())).unwrap();
    }
    assert_eq!(store.unfinished().unwrap(), []);
    let content = interrupted();
    let mut staged = store.stage(&upload(&content)).unwrap();
    staged.write(&content[..1_000_000]).unwrap();
    let durable = staged.sync_beside().unwrap();
    // Written and not synced: the process is killed, and the system may still write it, or not.
    staged.write(&content[1_000_000..1_100_000]).unwrap();
    let durable = usize::try_from(durable().unwrap()).unwrap();
    assert!((1..=1_000_000).contains(&durable), "{durable}");
    drop(staged);
    let unfinished = store.unfinished().unwrap();
    assert!(matches!(&unfinished[..], [(known, _)] if *known == upload(&content)));
}

fn it_is_gone_on_with_and_another_is_not<S: Store>(store: &S) {
    let content = interrupted();
    let mut staged = store.stage(&upload(&content)).unwrap();
    let from = usize::try_from(staged.size()).unwrap();
    assert!((600_000..=1_100_000).contains(&from), "{from}");
    assert_eq!(staged.first(1_000).unwrap(), content[..1_000]);
    staged.write(&content[from..from + 10]).unwrap();
    staged.cut().unwrap();
    let from = usize::try_from(staged.size()).unwrap();
    staged.write(&content[from..]).unwrap();
    assert_eq!(staged.sync().unwrap().0[..], Sha256::digest(&content)[..]);
    let mut made = batch(store, &[(agreement(2), "d+")]);
    made.bundles.push((deposit(4), staged));
    store.commit(made).unwrap();
    let stored = store.bundle(&deposit(4)).unwrap().unwrap();
    assert!(read_bundle(stored).unwrap() == content);
    assert_eq!(store.unfinished().unwrap(), []);
    assert_eq!(store.stage(&upload(&content)).unwrap().size(), 0, "of another bundle");
    store.forget(&upload(&content)).unwrap();
    assert_eq!(store.unfinished().unwrap(), []);
}

fn objects_are_there_after_a_restart<S: Store>(store: &S) {
    assert_eq!(store.blob("small").unwrap(), Some(b"content".to_vec()));
    assert_eq!(store.blob("none").unwrap(), Some(Vec::new()));
    assert_eq!(store.blob("other").unwrap(), None);
    let bundle = store.bundle(&deposit(1)).unwrap().unwrap();
    assert_eq!(bundle.size(), 700_000);
    assert_eq!(read_bundle(bundle).unwrap(), large());
    assert_eq!(read_bundle(store.bundle(&deposit(2)).unwrap().unwrap()).unwrap(), b"");
    for from in [0, 1, 262_143, 262_144, 262_145, 524_288, 699_999, 700_000] {
        let mut bundle = store.bundle(&deposit(1)).unwrap().unwrap();
        bundle.next().unwrap();
        bundle.seek(from as u64).unwrap();
        assert!(read_bundle(bundle).unwrap() == large()[from..], "from byte {from}");
    }
    let mut empty = store.bundle(&deposit(2)).unwrap().unwrap();
    empty.seek(0).unwrap();
    assert_eq!(read_bundle(empty).unwrap(), b"");
}
