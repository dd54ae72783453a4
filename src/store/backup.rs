//! Copies of a store, taken while it is served.
//!
//! What the journal holds is never altered, and bundles are there before their events. So a copy
//! needs no lock on what it copies: the recorded head says how far everything certainly reaches,
//! that much is copied and read back, and the head comes last. An interrupted copy is the earlier
//! backup, or none. A later one copies only what is new.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::store::batches::{BadBatch, Batches};
use crate::store::bundles::Bundles;
use crate::store::check::{Checked, Fault};
use crate::store::disk::{DiskStore, JOURNAL_NAME, bundles_path, lock};
use crate::store::error::{OpenError, damaged, io_at};
use crate::store::frame::{BundleRecord, Identity};
use crate::store::head::{HeadFile, Tip};
use crate::store::journal::HEAD_NAME;
use crate::store::recovery::after;
use crate::store::segments::{
    SEGMENT_HEAD_BYTES, Segment, Series, private_directory, private_file, sync_directory,
};
use crate::store::{Bundle as _, ReadError};

impl DiskStore {
    /// Copies the store in `from` to `to`, or brings an earlier copy of it up to date. Damaged
    /// bundles are reported and left out. Returns how much there is in the copy, and of bundles
    /// what is new.
    pub fn back_up(
        from: &Path,
        to: &Path,
        report: &mut dyn FnMut(Fault),
    ) -> Result<Checked, OpenError> {
        private_directory(to).map_err(io_at("make", to))?;
        let _lock = lock(to)?;
        let (source, target) = (from.join(JOURNAL_NAME), to.join(JOURNAL_NAME));
        private_directory(&target).map_err(io_at("make", &target))?;
        let (_, identity, tip) = HeadFile::open(&source.join(HEAD_NAME))?;
        let before = earlier(&target, &identity, &tip)?;
        for series in [Series::Events, Series::Blobs] {
            copy_series(series, &source, &target, &tip)?;
        }
        let copied = Bundles::at(bundles_path(to));
        copied.prepare().map_err(io_at("prepare", to))?;
        let stored = Bundles::at(bundles_path(from));
        let mut bundles = 0;
        read_back(&target, &identity, before, &tip, &mut |record| {
            match copy_bundle(&stored, &copied, &record) {
                Ok(()) => bundles += 1,
                Err(ReadError::Damaged { what, how }) => {
                    report(Fault { is_of_object: true, what, how })
                }
                Err(error @ ReadError::Index { .. }) => return Err(OpenError::Index(error)),
                Err(ReadError::Io(error)) => return Err(io_at("copy a bundle to", to)(error)),
            }
            Ok(())
        })?;
        copied.sync().map_err(io_at("sync", to))?;
        let head = target.join(HEAD_NAME);
        HeadFile::create(&head, identity, &tip).map_err(io_at("write", &head))?;
        sync_directory(to).map_err(io_at("sync", to))?;
        Ok(Checked { entries: tip.size, blobs: 0, bundles })
    }
}

/// How far an earlier backup reaches; the beginning where there is none.
fn earlier(journal: &Path, identity: &Identity, tip: &Tip) -> Result<Tip, OpenError> {
    let head = journal.join(HEAD_NAME);
    if !head.exists() {
        return Ok(Tip::START);
    }
    let (_, of, before) = HeadFile::open(&head)?;
    if of != *identity {
        return Err(OpenError::OtherJournal { path: head });
    }
    if before.size > tip.size {
        let (path, backup, store) = (head, before.size, tip.size);
        return Err(OpenError::BackupIsAhead { path, backup, store });
    }
    Ok(before)
}

/// Copies what segments have up to the tip, and a copy of them has not.
fn copy_series(series: Series, from: &Path, to: &Path, tip: &Tip) -> Result<(), OpenError> {
    let (last, end) = match series {
        Series::Events => (tip.segment, tip.end),
        Series::Blobs => (tip.blob_segment, tip.blob_end),
    };
    for number in 1..=last {
        let (source, target) = (series.path(from, number), series.path(to, number));
        let mut input = File::open(&source).map_err(io_at("open", &source))?;
        let whole = input.metadata().map_err(io_at("read the length of", &source))?.len();
        let bytes = if number == last { end } else { whole };
        if whole < bytes {
            return Err(damaged(&source, whole, "it is shorter than was acknowledged"));
        }
        let copy = || -> io::Result<()> {
            let mut output = private_file().open(&target)?;
            let have = output.metadata()?.len().min(bytes);
            if have == bytes && output.metadata()?.len() == bytes {
                return Ok(());
            }
            output.set_len(have)?;
            output.seek(SeekFrom::Start(have))?;
            input.seek(SeekFrom::Start(have))?;
            io::copy(&mut input.take(bytes - have), &mut output)?;
            output.sync_all()
        };
        copy().map_err(io_at("copy to", &target))?;
    }
    sync_directory(to).map_err(io_at("sync", to))
}

/// Reads the copied events behind an earlier backup, and gives out the bundles they name.
fn read_back(
    journal: &Path,
    identity: &Identity,
    before: Tip,
    until: &Tip,
    bundle: &mut dyn FnMut(BundleRecord) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut tip = before;
    loop {
        let segment = Segment::open(journal, Series::Events, tip.segment, identity)?;
        let place = (identity, tip.segment);
        let mut batches = Batches::from(&segment.file, place, tip.end, (tip.size, tip.chain))
            .map_err(io_at("read", &segment.path))?;
        loop {
            match batches.next() {
                Ok(Some(batch)) => {
                    tip = after(&tip, &batch);
                    batch.commit.bundles.into_iter().try_for_each(&mut *bundle)?;
                }
                Ok(None) => break,
                Err(BadBatch::Io(error)) => return Err(io_at("read", &segment.path)(error)),
                Err(BadBatch::At { offset, how }) => {
                    return Err(damaged(&segment.path, offset, how));
                }
            }
        }
        if tip.segment == until.segment {
            break;
        }
        tip = Tip { segment: tip.segment + 1, end: SEGMENT_HEAD_BYTES, ..tip };
    }
    if (tip.size, tip.chain, tip.end) == (until.size, until.chain, until.end) {
        return Ok(());
    }
    let path = Series::Events.path(journal, until.segment);
    Err(damaged(&path, tip.end, "the copy does not end where the journal does"))
}

/// Copies a bundle with its sums, checking it chunk by chunk. One that was copied before is kept.
fn copy_bundle(from: &Bundles, to: &Bundles, record: &BundleRecord) -> Result<(), ReadError> {
    if to.read(record).is_ok() {
        return Ok(());
    }
    let mut stored = from.read(record)?;
    let mut data = NamedTempFile::new_in(to.staging().path())?;
    while let Some(chunk) = stored.next()? {
        data.write_all(&chunk)?;
    }
    data.as_file().sync_all()?;
    let mut sums = NamedTempFile::new_in(to.staging().path())?;
    io::copy(&mut File::open(from.sums_path(&record.id))?, &mut sums)?;
    sums.as_file().sync_all()?;
    sums.persist(to.sums_path(&record.id)).map_err(|error| error.error)?;
    data.persist(to.data_path(&record.id)).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::domain::stream::Stream;
    use crate::store::Store as _;
    use crate::store::contract::{agreement, batch, deposit, read_bundle, seen, staged};
    use crate::store::damage::{copy, faults, flip, numbered, open};

    fn back_up(from: &Path, to: &Path) -> Result<(Checked, Vec<String>), OpenError> {
        let mut faults = Vec::new();
        let done = DiskStore::back_up(from, to, &mut |fault| faults.push(fault.to_string()))?;
        Ok((done, faults))
    }

    /// A batch with a large bundle.
    fn with_bundle(store: &DiskStore, number: u8) {
        let mut made = batch(store, &[(agreement(2), "n+")]);
        let content = vec![number; 300_000];
        made.bundles.push((deposit(number), staged(store, &content)));
        store.commit(made).unwrap();
    }

    #[test]
    fn a_served_store_is_copied_as_it_was_and_later_only_what_is_new() {
        let directory = tempfile::tempdir().unwrap();
        let (live, copy_at) = (directory.path().join("live"), directory.path().join("copy"));
        let store = open(&live).unwrap();
        for number in 0..8u8 {
            store.commit(numbered(&store, number.into())).unwrap();
            with_bundle(&store, number);
            let then = seen(&store);
            let (done, faults_met) = back_up(&live, &copy_at).unwrap();
            assert_eq!((done.entries, done.bundles), (store.ledger_size(), 1), "one is new");
            assert_eq!(faults_met, [] as [String; 0]);
            // What comes later is not in it.
            store.commit(batch(&store, &[(Stream::Vault, "late=1")])).unwrap();
            let tried = directory.path().join(format!("tried-{number}"));
            copy(&copy_at, &tried);
            assert_eq!(faults(&tried), [] as [String; 0]);
            let restored = open(&tried).unwrap();
            assert_eq!(seen(&restored), then);
            let bundle = restored.bundle(&deposit(number)).unwrap().unwrap();
            assert_eq!(read_bundle(bundle).unwrap(), vec![number; 300_000]);
        }
    }

    #[test]
    fn an_interrupted_copy_is_the_earlier_one_or_none_and_is_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        let (live, copy_at) = (directory.path().join("live"), directory.path().join("copy"));
        let store = open(&live).unwrap();
        store.commit(numbered(&store, 0)).unwrap();
        back_up(&live, &copy_at).unwrap();
        let (head, early) = (copy_at.join("journal/head"), seen(&store));
        let kept = fs::read(&head).unwrap();
        (1..9).for_each(|number| store.commit(numbered(&store, number)).unwrap());
        back_up(&live, &copy_at).unwrap();
        // As if it had ended before its last step.
        fs::write(&head, kept).unwrap();
        let tried = directory.path().join("tried");
        copy(&copy_at, &tried);
        let restored = open(&tried).unwrap();
        assert!(seen(&restored).0.starts_with(&early.0), "nothing of the earlier one is lost");
        drop(restored);
        fs::remove_file(&head).unwrap();
        assert!(open(&copy_at).is_err(), "without a head it is no store");
        back_up(&live, &copy_at).unwrap();
        assert_eq!(seen(&open(&copy_at).unwrap()), seen(&store));
    }

    #[test]
    fn backups_of_others_newer_ones_and_damage_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let store = open(&path("live")).unwrap();
        store.commit(numbered(&store, 0)).unwrap();
        with_bundle(&store, 1);
        copy(&path("live"), &path("older"));
        store.commit(numbered(&store, 1)).unwrap();
        back_up(&path("live"), &path("copy")).unwrap();
        let refused = back_up(&path("older"), &path("copy")).unwrap_err();
        assert!(matches!(refused, OpenError::BackupIsAhead { .. }), "{refused}");
        let other = open(&path("other")).unwrap();
        other.commit(numbered(&other, 0)).unwrap();
        let refused = back_up(&path("other"), &path("copy")).unwrap_err();
        assert!(matches!(refused, OpenError::OtherJournal { .. }), "{refused}");

        let bundle = Bundles::at(bundles_path(&path("live"))).data_path(&deposit(1));
        flip(&bundle, 1000);
        let (done, faults) = back_up(&path("live"), &path("second")).unwrap();
        assert_eq!((done.bundles, faults.len()), (0, 1), "{faults:?}");
        flip(&path("live/journal/events-000001.log"), 200);
        let refused = back_up(&path("live"), &path("third")).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        assert!(!path("third/journal/head").exists(), "no backup is better than a bad one");
    }
}
