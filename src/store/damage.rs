//! The disk store against damage: nothing wrong is served, and the culprit is named.

use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::stream::Stream;
use crate::store::contract::{
    Factory, TestProjector, agreement, batch, check, deposit, read_bundle, seen, staged,
};
use crate::store::index::{META, SEEN};
use crate::store::{Batch, Blob, DiskStore, OpenError, Options, ReadError, Store};

struct OnDisk(tempfile::TempDir);

impl Factory for OnDisk {
    type Store = DiskStore;
    fn open(&mut self) -> DiskStore {
        open(self.0.path()).unwrap()
    }
    fn close(&mut self, store: DiskStore) {
        store.close().unwrap();
        assert_eq!(faults(self.0.path()), [] as [String; 0]);
    }
}

pub(crate) fn options() -> Options<'static> {
    Options {
        segment_bytes_max: 2000,
        cache_bytes: 8 << 20,
        reserve_bytes: 0,
        may_begin: true,
        ..Options::default()
    }
}

pub(crate) fn open(path: &Path) -> Result<DiskStore, OpenError> {
    DiskStore::open(path, &TestProjector, &options())
}

pub(crate) fn faults(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    DiskStore::verify(path, &mut |fault| found.push(fault.to_string()), &|_, _| ()).unwrap();
    found
}

/// A store with `batches` batches of two entries and one object.
pub(crate) fn filled(path: &Path, batches: usize) {
    let store = open(path).unwrap();
    (0..batches).for_each(|number| store.commit(numbered(&store, number)).unwrap());
    store.close().unwrap();
}

pub(crate) fn numbered(store: &DiskStore, number: usize) -> Batch<super::StagedBundle> {
    let text = format!("k{number}={number}");
    let mut made = batch(store, &[(Stream::Vault, &text), (agreement(1), "n+")]);
    made.blobs.push(Blob { name: format!("b{number}"), bytes: vec![7; 100] });
    made
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

pub(crate) fn journal_file(path: &Path, name: &str) -> PathBuf {
    path.join("journal").join(name)
}

pub(crate) fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_disk_store_keeps_the_contract() {
    check(&mut OnDisk(tempfile::tempdir().unwrap()));
}

#[test]
fn objects_are_read_back_on_both_sides_of_a_new_segment() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 40);
    assert!(journal_file(directory.path(), "blobs-000003.log").exists());
    assert_eq!(faults(directory.path()), [] as [String; 0]);
    let store = open(directory.path()).unwrap();
    for number in 0..40 {
        assert_eq!(store.blob(&format!("b{number}")).unwrap(), Some(vec![7; 100]), "{number}");
    }
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    assert!(matches!(open(directory.path()), Err(OpenError::Locked { .. })));
    store.close().unwrap();
    assert!(open(directory.path()).is_ok());
}

#[test]
fn a_damaged_journal_is_refused_by_file_or_found_by_reading_and_checking() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live");
    filled(&path, 12);
    assert!(journal_file(&path, "events-000003.log").exists(), "several segments are needed");
    let (newest, count) = (1..)
        .map(|n| (format!("events-{n:06}.log"), n))
        .take_while(|(name, _)| journal_file(&path, name).exists())
        .last()
        .unwrap();
    let next = format!("events-{:06}.log", count + 1);
    type Spoil<'a> = Box<dyn Fn(&Path) + 'a>;
    let spoilt: Vec<(&str, &str, Spoil<'_>)> = vec![
        ("bit in newest", &newest, Box::new(|p| flip(&journal_file(p, &newest), 120))),
        (
            "header of first",
            "events-000001.log",
            Box::new(|p| {
                flip(&journal_file(p, "events-000001.log"), 20);
            }),
        ),
        (
            "first missing",
            "events-000001.log",
            Box::new(|p| {
                fs::remove_file(journal_file(p, "events-000001.log")).unwrap();
            }),
        ),
        (
            "newest missing",
            &newest,
            Box::new(|p| {
                fs::remove_file(journal_file(p, &newest)).unwrap();
            }),
        ),
        (
            "old one shortened",
            "events-000001.log",
            Box::new(|p| {
                let file = journal_file(p, "events-000001.log");
                let file = fs::OpenOptions::new().write(true).open(file).unwrap();
                file.set_len(200).unwrap();
            }),
        ),
        (
            "two exchanged",
            "events-000001.log",
            Box::new(|p| {
                let (one, two) =
                    (journal_file(p, "events-000001.log"), journal_file(p, "events-000002.log"));
                let bytes = fs::read(&one).unwrap();
                fs::copy(&two, &one).unwrap();
                fs::write(&two, bytes).unwrap();
            }),
        ),
        (
            "a copy behind the newest",
            &next,
            Box::new(|p| {
                fs::copy(journal_file(p, "events-000001.log"), journal_file(p, &next)).unwrap();
            }),
        ),
        (
            "blobs missing",
            "blobs-000001.log",
            Box::new(|p| {
                fs::remove_file(journal_file(p, "blobs-000001.log")).unwrap();
            }),
        ),
        (
            "head missing",
            "head",
            Box::new(|p| {
                fs::remove_file(journal_file(p, "head")).unwrap();
            }),
        ),
        (
            "journal missing",
            "head",
            Box::new(|p| {
                fs::remove_dir_all(p.join("journal")).unwrap();
            }),
        ),
    ];
    for (what, culprit, spoil) in spoilt {
        let trial = directory.path().join("trial");
        let _ = fs::remove_dir_all(&trial);
        copy(&path, &trial);
        spoil(&trial);
        match open(&trial) {
            Err(ref error @ OpenError::Damaged { ref file, .. }) => {
                assert_eq!(file.file_name().unwrap(), culprit, "{what}");
                assert!(error.hint().contains("backup"));
            }
            other => panic!("{what}: {other:?}"),
        }
        assert_ne!(faults(&trial), [] as [String; 0], "{what}");
    }
    // Old segments are not read at start-up, but nothing wrong in them is ever handed out.
    flip(&journal_file(&path, "events-000001.log"), 120);
    let store = open(&path).unwrap();
    assert!(matches!(store.read_ledger(0, 1), Err(ReadError::Damaged { .. })));
    store.close().unwrap();
    let found = faults(&path);
    assert!(found[0].contains("events-000001.log is damaged at byte 84"), "{found:?}");
}

#[test]
fn a_useless_index_is_set_aside_and_made_again() {
    let shorten = |file: &Path, by: u64| {
        let file = fs::OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(file.metadata().unwrap().len() - by).unwrap();
    };
    let a_run = |sled: &Path| {
        let files = fs::read_dir(sled).unwrap().map(|item| item.unwrap().path());
        files
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("run-"))
            .max()
            .unwrap()
    };
    // By another version of the program: what it wrote begins with the number of its layout.
    let of_layout = |sled: &Path, step: i32| {
        let tree = sled::open(sled).unwrap();
        for key in [META, SEEN] {
            let value = tree.get(key).unwrap().unwrap().to_vec();
            let (layout, rest) = value.split_first_chunk().unwrap();
            let other = u32::from_be_bytes(*layout).checked_add_signed(step).unwrap();
            tree.insert(key, [&other.to_be_bytes(), rest].concat()).unwrap();
        }
        tree.flush().unwrap();
    };
    type Spoil<'a> = &'a dyn Fn(&Path);
    let spoilt: [(&str, bool, Spoil<'_>); 12] = [
        ("of an older layout", true, &|sled| of_layout(sled, -1)),
        ("of a newer layout", true, &|sled| of_layout(sled, 1)),
        ("values cut short", true, &|sled| shorten(&sled.join("heap"), 1)),
        ("values gone", true, &|sled| fs::remove_file(sled.join("heap")).unwrap()),
        ("values changed", true, &|sled| fs::write(sled.join("heap"), "x".repeat(9_000)).unwrap()),
        ("a run gone", true, &|sled| fs::remove_file(a_run(sled)).unwrap()),
        ("a run changed", true, &|sled| flip(&a_run(sled), 20)),
        ("deleted", false, &|sled| fs::remove_dir_all(sled).unwrap()),
        ("empty", true, &|sled| {
            fs::remove_dir_all(sled).unwrap();
            fs::create_dir(sled).unwrap();
        }),
        ("garbage", true, &|sled| fs::write(sled.join("db"), vec![0x5a; 70_000]).unwrap()),
        ("no database", true, &|sled| fs::remove_file(sled.join("db")).unwrap()),
        ("cut short", true, &|sled| {
            let file = fs::OpenOptions::new().write(true).open(sled.join("db")).unwrap();
            file.set_len(100).unwrap();
        }),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live");
    filled(&path, 5);
    let before = seen(&open(&path).unwrap());
    for (what, aside, spoil) in spoilt {
        let trial = directory.path().join(what.replace(' ', "-"));
        copy(&path, &trial);
        spoil(&trial.join("sled"));
        let store = open(&trial).unwrap();
        assert_eq!(seen(&store), before, "{what}");
        assert_eq!(store.blob("b3").unwrap(), Some(vec![7; 100]), "{what}");
        store.close().unwrap();
        assert_eq!(trial.join("sled.damaged-1").exists(), aside, "{what}");
        assert_eq!(faults(&trial), [] as [String; 0], "{what}");
    }
    // Wherever bits flip: either sled notices, or what was applied last is compared, or the flip
    // hit nothing in use. Never a panic, and never another answer.
    let db = fs::read(path.join("sled/db")).unwrap();
    for round in 0..5 {
        let trial = directory.path().join("flipped");
        let _ = fs::remove_dir_all(&trial);
        copy(&path, &trial);
        let mut bytes = db.clone();
        for offset in (round * 37..bytes.len()).step_by(701) {
            bytes[offset] ^= 0x08;
        }
        fs::write(trial.join("sled/db"), bytes).unwrap();
        assert_eq!(seen(&open(&trial).unwrap()), before, "round {round}");
    }
    // A probe that says no is believed.
    let refuse = |_: &Path| Ok(false);
    let probing = Options { probe: Some(&refuse), ..options() };
    assert_eq!(seen(&DiskStore::open(&path, &TestProjector, &probing).unwrap()), before);
    assert!(path.join("sled.damaged-1").exists());
    DiskStore::rebuild(&path, &TestProjector, &options()).unwrap();
    assert!(path.join("sled.damaged-2").exists());
    assert_eq!(seen(&open(&path).unwrap()), before);
}

#[test]
fn a_damaged_bundle_is_found_and_never_handed_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = open(path).unwrap();
    let mut made = batch(&store, &[(agreement(1), "d=1")]);
    made.bundles.push((deposit(1), staged(&store, &vec![3; 600_000])));
    store.commit(made).unwrap();
    store.close().unwrap();
    let data = path.join("bundles").join(format!("{}.age", deposit(1)));
    let sums = data.with_extension("sums");
    let orphan = path.join("bundles").join(format!("{}.age", deposit(2)));
    fs::write(&orphan, b"never journalled").unwrap();
    fs::write(path.join("bundles/staging/left"), b"over").unwrap();
    type Spoil = fn(&Path);
    let spoilt: [(&str, &Path, Spoil); 4] = [
        ("a bit", &data, |file| flip(file, 300_000)),
        ("its end", &data, |file| {
            fs::OpenOptions::new().write(true).open(file).unwrap().set_len(599_999).unwrap();
        }),
        ("a sum", &sums, |file| flip(file, 25)),
        ("all of it", &data, |file| fs::remove_file(file).unwrap()),
    ];
    for (what, file, spoil) in spoilt {
        let whole = fs::read(file).unwrap();
        spoil(file);
        let store = open(path).unwrap();
        let read = store.bundle(&deposit(1)).and_then(|bundle| read_bundle(bundle.unwrap()));
        assert!(matches!(read, Err(ReadError::Damaged { .. })), "{what}");
        store.close().unwrap();
        assert_eq!(faults(path).len(), 1, "{what}");
        fs::write(file, whole).unwrap();
    }
    assert!(!path.join("bundles/staging/left").exists());
    assert_eq!(faults(path), [] as [String; 0]);
    assert!(orphan.exists(), "no start removes a bundle on the index's word");
    DiskStore::rebuild(path, &TestProjector, &options()).unwrap();
    assert!(!orphan.exists() && data.exists());
}

#[test]
fn promise_12_a_start_reads_the_end_of_the_journal_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    filled(path, 50);
    let segments = fs::read_dir(path.join("journal")).unwrap().count();
    assert!(segments > 8, "{segments}");
    // What is not read is not missed: the content of a segment long full.
    let old = journal_file(path, "events-000002.log");
    flip(&old, 1000);
    let applied = std::cell::Cell::new(0);
    let progress = |_, _| applied.set(applied.get() + 1);
    let options = Options { progress: Some(&progress), ..options() };
    DiskStore::open(path, &TestProjector, &options).unwrap().close().unwrap();
    assert_eq!(applied.get(), 0, "a clean stop leaves nothing to catch up with");
    let found = faults(path);
    assert!(found[0].contains("events-000002.log"), "a check reads everything: {found:?}");
}
