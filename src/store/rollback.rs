//! An older journal in the place of the newer: seen where the index is the newer one's.

use std::fs;
use std::path::Path;

use crate::domain::stream::Stream;
use crate::store::contract::{TestProjector, batch};
use crate::store::damage::{copy, faults, filled, journal_file, numbered, open, options};
use crate::store::{DiskStore, OpenError, Options, Store};

fn put(from: &Path, part: &str, into: &Path) {
    fs::remove_dir_all(into.join(part)).unwrap();
    copy(&from.join(part), &into.join(part));
}

/// The same history for some batches, then this one.
fn go_on(path: &Path, batches: std::ops::Range<usize>, value: &str) {
    let store = open(path).unwrap();
    for number in batches {
        let text = format!("k{number}={value}");
        store.commit(batch(&store, &[(Stream::Vault, &text), (Stream::Vault, "n+")])).unwrap();
    }
    store.close().unwrap();
}

#[test]
fn promise_9_an_index_that_has_seen_another_journal_is_evidence() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    filled(&at("old"), 4);
    copy(&at("old"), &at("one"));
    copy(&at("old"), &at("other"));
    go_on(&at("one"), 4..9, "one");
    go_on(&at("other"), 4..9, "other");
    copy(&at("other"), &at("further"));
    go_on(&at("further"), 9..30, "other");
    // The index always comes from "one", which has seen 18 entries.
    for (what, journal, size) in [
        ("older than the index", "old", 8),
        ("as long, and another", "other", 18),
        ("longer, and another", "further", 60),
    ] {
        copy(&at("one"), &at("trial"));
        put(&at(journal), "journal", &at("trial"));
        for _ in 0..2 {
            let opened = open(&at("trial"));
            let told = matches!(&opened, Err(OpenError::RolledBack { size: s, seen: 18, .. }) if *s == size);
            assert!(told, "{what}: {opened:?}");
            assert!(opened.unwrap_err().hint().contains("escrowd recover"));
        }
        let found = faults(&at("trial"));
        assert!(found.len() == 1 && found[0].contains("not the journal"), "{what}: {found:?}");
        let rebuilt = DiskStore::rebuild(&at("trial"), &TestProjector, &options());
        assert!(matches!(rebuilt, Err(OpenError::RolledBack { .. })), "{what}: {rebuilt:?}");
        fs::remove_dir_all(at("trial")).unwrap();
    }
    // Nothing is cut off behind an older journal's end: the newer one's objects lie there.
    filled(&at("whole"), 4);
    copy(&at("whole"), &at("trial"));
    let store = open(&at("trial")).unwrap();
    store.commit(numbered(&store, 5)).unwrap();
    store.close().unwrap();
    let newer = ["head", "events-000002.log"].map(|name| {
        let (from, into) = (journal_file(&at("whole"), name), journal_file(&at("trial"), name));
        let newer = fs::read(&into).unwrap();
        fs::copy(from, &into).unwrap();
        (into, newer)
    });
    let opened = open(&at("trial"));
    assert!(matches!(opened, Err(OpenError::RolledBack { .. })), "{opened:?}");
    newer.iter().for_each(|(path, newer)| fs::write(path, newer).unwrap());
    assert_eq!(open(&at("trial")).unwrap().blob("b5").unwrap(), Some(vec![7; 100]));
    fs::remove_dir_all(at("trial")).unwrap();
    // An index that lags, whether by a little or by many segments, is brought level.
    for (from, into) in [("old", "one"), ("other", "further")] {
        copy(&at(into), &at("trial"));
        put(&at(from), "sled", &at("trial"));
        let store = open(&at("trial")).unwrap();
        store.commit(numbered(&store, 77)).unwrap();
        store.close().unwrap();
        assert_eq!(faults(&at("trial")), [] as [String; 0], "{from}");
        fs::remove_dir_all(at("trial")).unwrap();
    }
}

#[test]
fn a_store_is_begun_only_where_a_vault_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    filled(path, 2);
    for lost in ["journal", "sled"] {
        fs::remove_dir_all(path.join(lost)).unwrap();
    }
    let serving = Options { may_begin: false, ..options() };
    let opened = DiskStore::open(path, &TestProjector, &serving);
    assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{opened:?}");
}
