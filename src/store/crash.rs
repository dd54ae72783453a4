//! The disk store against crashes: what was acknowledged is there, whole, and nothing else is.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use crate::domain::stream::Stream;
use crate::store::contract::{TestProjector, agreement, batch, seen};
use crate::store::damage::{copy, faults, flip, journal_file, numbered, open};
use crate::store::journal::Journal;
use crate::store::{CommitError, DiskStore, OpenError, Options, Store, is_full};

fn options() -> Options<'static> {
    Options { reserve_bytes: 0, may_begin: true, ..Options::default() }
}

#[test]
fn a_tail_torn_anywhere_is_dropped_before_the_head_and_refused_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live");
    let store = DiskStore::open(&path, &TestProjector, &options()).unwrap();
    store.commit(numbered(&store, 0)).unwrap();
    let events = journal_file(&path, "events-000001.log");
    let whole = fs::metadata(&events).unwrap().len();
    let acknowledged = seen(&store);
    let older = fs::read(journal_file(&path, "head")).unwrap();
    store.commit(numbered(&store, 1)).unwrap();
    let both = seen(&store);
    store.close().unwrap();
    let end = fs::metadata(&events).unwrap().len();
    // Only journals: the index is made from each.
    let trial = directory.path().join("trial");
    for cut in (whole..=end).rev() {
        for head_was_written in [true, false] {
            let _ = fs::remove_dir_all(&trial);
            copy(&path.join("journal"), &trial.join("journal"));
            let tail = journal_file(&trial, "events-000001.log");
            fs::OpenOptions::new().write(true).open(&tail).unwrap().set_len(cut).unwrap();
            if !head_was_written {
                fs::write(journal_file(&trial, "head"), &older).unwrap();
            }
            let opened = Journal::open(&trial.join("journal"), 1 << 20, false, &|_| None);
            if cut == end {
                assert_eq!(opened.unwrap().tip.size, 4, "whole batches are kept");
            } else if head_was_written {
                assert!(matches!(opened, Err(OpenError::Damaged { .. })), "cut at {cut}");
                assert_eq!(fs::metadata(&tail).unwrap().len(), cut, "nothing was changed");
            } else {
                assert_eq!(opened.unwrap().tip.size, 2, "cut at {cut}");
                assert_eq!(fs::metadata(&tail).unwrap().len(), whole);
            }
        }
    }
    let _ = fs::remove_dir_all(&trial);
    copy(&path, &trial);
    assert_eq!(seen(&open(&trial).unwrap()), both);
    // Nothing is cut off that the index has seen.
    fs::write(journal_file(&trial, "head"), &older).unwrap();
    let tail = journal_file(&trial, "events-000001.log");
    fs::OpenOptions::new().write(true).open(&tail).unwrap().set_len(whole + 1).unwrap();
    assert!(matches!(open(&trial), Err(OpenError::RolledBack { size: 2, seen: 4, .. })));
    fs::remove_dir_all(trial.join("sled")).unwrap();
    assert_eq!(seen(&open(&trial).unwrap()), acknowledged);
}

/// After power loss the head may lag by many batches. A bad batch that others follow was synced.
#[test]
fn behind_a_lagging_head_only_the_last_batch_may_be_bad() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live");
    let store = DiskStore::open(&path, &TestProjector, &options()).unwrap();
    let events = journal_file(&path, "events-000001.log");
    let end = || usize::try_from(fs::metadata(&events).unwrap().len()).unwrap();
    let (older, mut ends) = (fs::read(journal_file(&path, "head")).unwrap(), vec![end()]);
    for number in 0..3 {
        store.commit(numbered(&store, number)).unwrap();
        ends.push(end());
    }
    store.close().unwrap();
    let trial = directory.path().join("trial");
    for (what, offset, kept) in [
        ("in the first batch", ends[0] + 50, None),
        ("in the end of the first batch", ends[1] - 10, None),
        ("in the second batch", ends[1] + 50, None),
        ("in the last batch", ends[2] + 50, Some(4)),
        ("in the end of the last batch", ends[3] - 10, Some(4)),
        ("nowhere", 0, Some(6)),
    ] {
        let _ = fs::remove_dir_all(&trial);
        copy(&path.join("journal"), &trial.join("journal"));
        fs::write(journal_file(&trial, "head"), &older).unwrap();
        if offset > 0 {
            flip(&journal_file(&trial, "events-000001.log"), offset);
        }
        let opened = Journal::open(&trial.join("journal"), 1 << 20, false, &|_| None);
        match kept {
            Some(size) => assert_eq!(opened.unwrap().tip.size, size, "{what}"),
            None => assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{what}"),
        }
    }
}

#[test]
fn readers_see_batches_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.commit(batch(&store, &[(Stream::Vault, "p/0=x")])).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(store.keys("p/", None, 9).unwrap().len(), 1);
                let size = store.ledger_size();
                assert!(store.head(&Stream::Vault).unwrap().sequence >= size);
            }
        });
        for number in 0..100 {
            let (old, new) = (format!("p/{number}-"), format!("p/{}=x", number + 1));
            let moved = [(Stream::Vault, old.as_str()), (Stream::Vault, new.as_str())];
            store.commit(batch(&store, &moved)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn after_a_failed_write_nothing_more_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.commit(numbered(&store, 0)).unwrap();
    // Takes writes and cannot be cut, as a failing disk would: no byte fits, none is taken back.
    let full = fs::OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    let whole = store.swap_events_file(full);
    assert!(matches!(store.commit(numbered(&store, 1)), Err(CommitError::Unknown(_))));
    store.swap_events_file(whole);
    assert!(matches!(store.commit(numbered(&store, 1)), Err(CommitError::Unknown(_))));
    assert_eq!(store.ledger_size(), 2, "readers see what was committed");
    drop(store);
    let store = open(directory.path()).unwrap();
    store.commit(numbered(&store, 1)).unwrap();
    assert_eq!(store.ledger_size(), 4);
}

#[test]
fn a_new_segment_without_room_is_refused_and_nothing_has_happened() {
    for series in ["events", "blobs"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let small = Options { segment_bytes_max: 1000, ..options() };
        let store = DiskStore::open(path, &TestProjector, &small).unwrap();
        // The next segment would be written where nothing ever fits.
        let full = |number| journal_file(path, &format!("{series}-{number:06}.log.new"));
        let mut next = 2;
        let refuse_the_next = |next| std::os::unix::fs::symlink("/dev/full", full(next)).unwrap();
        refuse_the_next(next);
        for number in 0..20 {
            let before = seen(&store);
            let Err(refused) = store.commit(numbered(&store, number)) else { continue };
            let full = matches!(&refused, CommitError::Refused(error) if is_full(error));
            assert!(full, "{series}: {refused:?}");
            assert_eq!(seen(&store), before);
            store.commit(numbered(&store, number)).unwrap();
            next += 1;
            refuse_the_next(next);
        }
        assert!(next > 4, "{series}: {next}");
        let whole = seen(&store);
        store.close().unwrap();
        fs::remove_file(full(next)).unwrap();
        assert_eq!(faults(path), [] as [String; 0], "{series}");
        assert_eq!(seen(&DiskStore::open(path, &TestProjector, &small).unwrap()), whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever was committed, and wherever the last batch was cut before its head was recorded,
    /// what is there afterwards is the model at a batch's end.
    #[test]
    fn a_crash_leaves_whole_batches(
        batches in prop::collection::vec(prop::collection::vec((0u8..3, 0usize..6), 1..5), 1..8),
        keep in 0.0f64..1.0,
        lose_index in any::<bool>(),
    ) {
        let texts = ["a=1", "a=2", "a-", "n+", "b/c=x", "b/c-"];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let opened = || DiskStore::open(path, &TestProjector, &options()).unwrap();
        let store = opened();
        let (head, events) =
            (journal_file(path, "head"), journal_file(path, "events-000001.log"));
        let mut model = vec![seen(&store)];
        let (mut before, mut older) = (0, Vec::new());
        for made in &batches {
            before = fs::metadata(&events).unwrap().len();
            older = fs::read(&head).unwrap();
            let payloads: Vec<_> =
                made.iter().map(|(stream, text)| (agreement(*stream), texts[*text])).collect();
            store.commit(batch(&store, &payloads)).unwrap();
            model.push(seen(&store));
        }
        drop(store);
        let end = fs::metadata(&events).unwrap().len();
        let cut = before + ((end - before) as f64 * keep) as u64;
        fs::OpenOptions::new().write(true).open(&events).unwrap().set_len(cut).unwrap();
        fs::write(&head, older).unwrap();
        if !lose_index && cut < end {
            // It has seen a batch that was acknowledged, then.
            let opened = DiskStore::open(path, &TestProjector, &options());
            let refused = matches!(opened, Err(OpenError::RolledBack { .. }));
            prop_assert!(refused, "{opened:?}");
        }
        if lose_index || cut < end {
            fs::remove_dir_all(path.join("sled")).unwrap();
        }
        let store = opened();
        let expected = if cut == end { batches.len() } else { batches.len() - 1 };
        prop_assert_eq!(&seen(&store), &model[expected]);
        store.commit(batch(&store, &[(agreement(0), "n+")])).unwrap();
        store.close().unwrap();
        prop_assert_eq!(faults(path), [] as [String; 0]);
    }
}
