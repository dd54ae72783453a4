//! The store on one machine's disk: journal, index and bundles behind the contract.
//!
//! A batch is checked, its bundles named, journalled (the commit point), then applied to the index
//! under a write lock that every read takes for reading: a reader sees a batch whole or not yet.
//! A batch that is journalled but cannot be applied is reported as unknown and the store refuses
//! further commits; the next start applies it.

use std::collections::{HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::domain::id::{DepositId, Digest};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;
use crate::ledger::Entry;
use crate::ledger::entry::Leaf;
use crate::ledger::merkle::Node;
use crate::store::bundles::{Bundles, StoredBundle};
use crate::store::catch_up::{Found, INDEX_NAME, Progress, find_index, open_index, set_aside};
use crate::store::error::{OpenError, io_at};
use crate::store::frame::{BATCH_BLOBS_MAX, BATCH_BUNDLES_MAX, BATCH_BYTES_MAX, BATCH_ENTRIES_MAX};
use crate::store::head::Tip;
use crate::store::index::Index;
use crate::store::journal::{Journal, Opened, Reader};
use crate::store::scrub::{Pass, Piece};
use crate::store::segments::{private_directory, private_file};
use crate::store::space::{RESERVE_BYTES, Space};
use crate::store::staging::StagedBundle;
use crate::store::syncing::Syncing;
use crate::store::{
    Batch, Blob, CommitError, Projector, ReadError, Room, Store, StreamHead, Upload,
};

/// Name of the journal's directory.
pub(crate) const JOURNAL_NAME: &str = "journal";
const BUNDLES_NAME: &str = "bundles";
const LOCK_NAME: &str = "lock";
/// What an entry's frames add to its payload at most, in bytes.
const ENTRY_OVERHEAD_BYTES: usize = 512;

/// Asks a child process whether the index at this path opens: see [`crate::store::probe_index`].
pub type Probe<'a> = &'a dyn Fn(&Path) -> io::Result<bool>;

/// How a store is opened.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Tries the index in another process first, as a damaged one may abort or hang this one.
    pub probe: Option<Probe<'a>>,
    /// Told of entries applied while the index catches up.
    pub progress: Option<Progress<'a>>,
    /// Bytes after which a new segment is begun.
    pub segment_bytes_max: u64,
    /// Memory for sled's cache, in bytes.
    pub cache_bytes: u64,
    /// Room kept for what must be written even when the disk is full, in bytes.
    pub reserve_bytes: u64,
    /// Whether a store is begun where there is none. Only when a vault is made: later, a store that
    /// is not there has been lost.
    pub may_begin: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            probe: None,
            progress: None,
            segment_bytes_max: 64 << 20,
            cache_bytes: 64 << 20,
            reserve_bytes: RESERVE_BYTES,
            may_begin: false,
        }
    }
}

/// Journal, index and bundles in one directory that one process serves.
#[derive(Debug)]
pub struct DiskStore {
    journal: Mutex<Journal>,
    /// The ledger's size as readers see it; the lock makes applying a batch one step to them.
    visible: RwLock<u64>,
    // Before the index, which it outlives no more than by a sync.
    syncing: Syncing,
    index: Index,
    bundles: Bundles,
    reader: Reader,
    space: Space,
    _lock: File,
}

impl DiskStore {
    /// Opens the store in this directory, or begins one. Finishes what a crash interrupted.
    pub fn open(
        directory: &Path,
        projector: &dyn Projector,
        options: &Options<'_>,
    ) -> Result<Self, OpenError> {
        private_directory(directory).map_err(io_at("make", directory))?;
        let lock = lock(directory)?;
        let reserve = io_at("lay by a reserve in", directory);
        let space = Space::open(directory, options.reserve_bytes, None).map_err(reserve)?;
        space.make_room_to_start().map_err(io_at("start, for want of room, in", directory))?;
        let found = find_index(directory, options)?;
        // An index without a journal is what is left when the journal was lost.
        let may_begin = options.may_begin && matches!(found, Found::Nothing);
        let journal = open_journal(directory, options, may_begin, &found)?;
        let index = open_index(found, directory, &journal, projector, options)?;
        let path = directory.join(INDEX_NAME);
        let syncing = Syncing::begin(&path, index.health.clone()).map_err(io_at("open", &path))?;
        let path = bundles_path(directory);
        let bundles = Bundles::open(path.clone()).map_err(io_at("prepare", &path))?;
        let (visible, reader) = (RwLock::new(journal.tip.size), journal.reader());
        let journal = Mutex::new(journal);
        Ok(Self { journal, visible, syncing, index, bundles, reader, space, _lock: lock })
    }

    /// Makes the index again from the journal; the old one is set aside. Only here, where the
    /// whole journal has just been read, are bundles removed that no event names: an index that
    /// has lost a record must never cost a bundle. An index that has seen more than the journal
    /// stays: it is evidence.
    pub fn rebuild(
        directory: &Path,
        projector: &dyn Projector,
        options: &Options<'_>,
    ) -> Result<(), OpenError> {
        let lock = lock(directory)?;
        let found = find_index(directory, options)?;
        // The journal must be sound before the old index goes.
        let journal = open_journal(directory, options, false, &found)?;
        if !matches!(found, Found::Nothing) {
            drop(found);
            set_aside(directory)?;
        }
        let index = open_index(Found::Nothing, directory, &journal, projector, options)?;
        index.flush().map_err(OpenError::Index)?;
        let stored = |id: &DepositId| Ok(index.bundle(id.as_str())?.is_some());
        let bundles = Bundles::at(bundles_path(directory));
        for orphan in bundles.orphans(&stored).map_err(OpenError::Index)? {
            tracing::info!(file = %orphan.display(), "removed a bundle that was never deposited");
            std::fs::remove_file(&orphan).map_err(io_at("remove", &orphan))?;
        }
        drop(lock);
        Ok(())
    }

    /// Sets the index aside, where it has seen more than the journal has and the journal is all
    /// there is.
    pub fn set_index_aside(directory: &Path) -> Result<(), OpenError> {
        let _lock = lock(directory)?;
        set_aside(directory).map(drop)
    }

    /// Ends cleanly, so that the next start has nothing to catch up with.
    pub fn close(self) -> io::Result<()> {
        self.settle()
    }

    /// Where the journal ends now.
    pub(crate) fn tip(&self) -> io::Result<Tip> {
        self.journal().map(|journal| journal.tip)
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) fn bundles(&self) -> &Bundles {
        &self.bundles
    }

    fn journal(&self) -> io::Result<MutexGuard<'_, Journal>> {
        self.journal.lock().map_err(|_| io::Error::other("an earlier commit panicked"))
    }

    /// Readers of one call share one view. A poisoned lock means a half-applied batch.
    fn view(&self) -> Result<RwLockReadGuard<'_, u64>, ReadError> {
        let failed = |_| ReadError::Io(io::Error::other("applying a batch panicked"));
        self.visible.read().map_err(failed)
    }

    /// Refuses what contradicts the store or itself; nothing has happened.
    fn check(&self, batch: &Batch<StagedBundle>, size: u64) -> Result<(), CommitError> {
        for (stream, expected) in &batch.expected {
            let current = self.index.head(stream).map_err(refused)?.sequence;
            if current != *expected {
                let (stream, expected) = (stream.clone(), *expected);
                return Err(CommitError::Stale { stream, expected, current });
            }
        }
        let unsound = |ok: bool, why| if ok { Ok(()) } else { Err(CommitError::Unsound(why)) };
        let rest = batch.blobs.len() + batch.bundles.len() + batch.records.len();
        unsound(!batch.entries.is_empty() || rest == 0, "it has no entry to hold what it brings")?;
        unsound(batch.entries.len() <= BATCH_ENTRIES_MAX, "it has too many entries")?;
        unsound(batch.bundles.len() <= BATCH_BUNDLES_MAX, "it has too many bundles")?;
        unsound(batch.blobs.len() <= BATCH_BLOBS_MAX, "it has too many small objects")?;
        let payloads: usize =
            batch.entries.iter().map(|entry| entry.payload.len() + ENTRY_OVERHEAD_BYTES).sum();
        unsound(payloads <= BATCH_BYTES_MAX, "its entries are too large together")?;
        let blobs: usize = batch.blobs.iter().map(|blob| blob.bytes.len()).sum();
        unsound(blobs <= BATCH_BYTES_MAX, "its small objects are too large together")?;
        self.check_entries(&batch.entries, size)?;
        self.check_objects(batch)
    }

    fn check_entries(&self, entries: &[Entry], size: u64) -> Result<(), CommitError> {
        let mut heads: HashMap<&Stream, u64> = HashMap::new();
        for (position, entry) in (size..).zip(entries) {
            if entry.position != position {
                return Err(CommitError::Unsound("an entry's position does not follow"));
            }
            let last = match heads.get(&entry.stream) {
                Some(last) => *last,
                None => self.index.head(&entry.stream).map_err(refused)?.sequence,
            };
            if entry.sequence != last + 1 {
                return Err(CommitError::Unsound("an entry's sequence does not follow"));
            }
            if entry.payload.len() > Entry::PAYLOAD_BYTES_MAX {
                return Err(CommitError::Unsound("an entry's payload is too large"));
            }
            heads.insert(&entry.stream, entry.sequence);
        }
        Ok(())
    }

    fn check_objects(&self, batch: &Batch<StagedBundle>) -> Result<(), CommitError> {
        let mut names = HashSet::new();
        for blob in &batch.blobs {
            if blob.name.len() > Blob::NAME_BYTES_MAX || blob.bytes.len() > Blob::BYTES_MAX {
                return Err(CommitError::Unsound("a small object is too large"));
            }
            let stored = self.index.blob(&blob.name).map_err(refused)?;
            if stored.is_some() || !names.insert(blob.name.as_str()) {
                return Err(CommitError::Unsound("a small object of this name exists"));
            }
        }
        let mut ids = HashSet::new();
        for (id, staged) in &batch.bundles {
            let stored = self.index.bundle(id.as_str()).map_err(refused)?;
            if stored.is_some() || !ids.insert(id) {
                return Err(CommitError::Unsound("a bundle of this deposit exists"));
            }
            if !staged.is_synced() {
                return Err(CommitError::Unsound("a bundle is not synced"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl DiskStore {
    /// Lets a test put another file in the place of the event segment.
    pub(crate) fn swap_events_file(&self, file: File) -> File {
        let mut journal = self.journal.lock().unwrap();
        std::mem::replace(&mut journal.events.file, file)
    }
}

impl Store for DiskStore {
    type Staged = StagedBundle;
    type Bundle = StoredBundle;

    fn settle(&self) -> io::Result<()> {
        let journal = self.journal()?;
        journal.close()?;
        self.index.flush().map_err(io::Error::other)?;
        self.syncing.finish()
    }

    fn commit(&self, batch: Batch<StagedBundle>) -> Result<(), CommitError> {
        let mut journal = self.journal().map_err(CommitError::Unknown)?;
        if journal.failed || self.index.health.has_failed() {
            return Err(CommitError::Unknown(io::Error::other("an earlier write failed")));
        }
        self.check(&batch, journal.tip.size)?;
        self.space.make_room().map_err(CommitError::Refused)?;
        let Batch { entries, blobs, bundles, records, .. } = batch;
        if entries.is_empty() {
            return Ok(());
        }
        let turn = self.bundles.turns().of_batch();
        let ids: Vec<DepositId> = bundles.iter().map(|(id, _)| id.clone()).collect();
        let take_back = || ids.iter().for_each(|id| self.bundles.discard(id));
        let placed: io::Result<Vec<_>> =
            bundles.into_iter().map(|(id, staged)| self.bundles.place(&id, staged)).collect();
        let placed = placed.map_err(|error| {
            take_back();
            CommitError::Refused(error)
        })?;
        if !placed.is_empty() {
            // What a failed sync left of the names is not known, and the next bundle would sync the
            // same directory again: that is to be decided by a start, never by a retry.
            self.bundles.sync().map_err(|error| {
                journal.failed = true;
                CommitError::Unknown(error)
            })?;
        }
        let committed = journal.append(entries, &blobs, placed).inspect_err(|error| {
            if matches!(error, CommitError::Refused(_)) {
                take_back();
            }
        })?;
        drop(turn);
        let unapplied = |error| CommitError::Unknown(io::Error::other(error));
        journal.failed = true;
        let mut visible =
            self.visible.write().map_err(|_| unapplied("applying a batch panicked".into()))?;
        self.index
            .apply(&journal.identity, &committed, records)
            .map_err(|error| unapplied(Box::<dyn std::error::Error + Send + Sync>::from(error)))?;
        self.syncing.changed();
        *visible = committed.tip.size;
        drop(visible);
        self.index
            .settle_if_due()
            .map_err(|error| unapplied(Box::<dyn std::error::Error + Send + Sync>::from(error)))?;
        journal.failed = false;
        Ok(())
    }

    fn failed(&self) -> watch::Receiver<bool> {
        self.index.health.failed()
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.space.has_room_for(bytes)
    }

    fn has_batches(&self) -> bool {
        self.bundles.turns().has_batches()
    }

    fn room(&self) -> Room {
        self.space.room()
    }

    fn ledger_size(&self) -> u64 {
        *self.visible.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self, stream: &Stream) -> Result<StreamHead, ReadError> {
        let _view = self.view()?;
        self.index.head(stream)
    }

    fn read_stream(
        &self,
        stream: &Stream,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        let head = self.head(stream)?;
        let wanted = (from.max(1)..=head.sequence).take(limit);
        let mut opened = Opened::default();
        let places = wanted.map(|sequence| {
            let missing = || lost(format!("entry {sequence} of {stream}"));
            let (position, _) = self.index.in_stream(stream, sequence)?.ok_or_else(missing)?;
            let entry = self.entry(&mut opened, position)?;
            if entry.stream == *stream && entry.sequence == sequence {
                Ok(entry)
            } else {
                Err(missing())
            }
        });
        places.collect()
    }

    fn commitment(&self, stream: &Stream, sequence: u64) -> Result<Option<Digest>, ReadError> {
        let _view = self.view()?;
        Ok(self.index.in_stream(stream, sequence)?.map(|(_, commitment)| commitment))
    }

    fn read_ledger(&self, from: u64, limit: usize) -> Result<Vec<Entry>, ReadError> {
        let (size, mut opened) = (*self.view()?, Opened::default());
        (from..size).take(limit).map(|position| self.entry(&mut opened, position)).collect()
    }

    fn leaf(&self, position: u64) -> Result<Leaf, ReadError> {
        self.index.leaf(position)
    }

    fn node(&self, node: Node) -> Result<Digest, ReadError> {
        self.index.node(node)
    }

    fn checkpoint(&self) -> Result<Option<String>, ReadError> {
        self.index.checkpoint()
    }

    fn publish(&self, last: Option<&str>, next: &str) -> Result<bool, ReadError> {
        self.index.publish(last, next)
    }

    fn record(&self, key: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let _view = self.view()?;
        self.index.record(key)
    }

    fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ReadError> {
        let _view = self.view()?;
        self.index.record_keys(prefix, after, limit)
    }

    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let at = {
            let _view = self.view()?;
            self.index.blob(name)?
        };
        at.map(|at| self.reader.blob(at, name)).transpose()
    }

    fn stage(&self, upload: &Upload) -> io::Result<StagedBundle> {
        self.bundles.staging().stage(upload)
    }

    fn unfinished(&self) -> io::Result<Vec<(Upload, Timestamp)>> {
        self.bundles.staging().unfinished()
    }

    fn forget(&self, upload: &Upload) -> io::Result<()> {
        self.bundles.staging().forget(upload)
    }

    fn read_on(&self, pass: &mut Pass) -> Result<Option<Piece>, ReadError> {
        self.read_on_in(pass)
    }

    fn bundle(&self, id: &DepositId) -> Result<Option<StoredBundle>, ReadError> {
        let record = {
            let _view = self.view()?;
            self.index.bundle(id.as_str())?
        };
        record.map(|record| self.bundles.read(&record)).transpose()
    }
}

impl DiskStore {
    /// The entry at a position; entries never change, so this needs no view.
    fn entry(&self, opened: &mut Opened, position: u64) -> Result<Entry, ReadError> {
        let missing = || lost(format!("entry {position}"));
        let at = self.index.position(position)?.ok_or_else(missing)?;
        self.reader.entry_of(opened, at, position)
    }
}

fn open_journal(
    directory: &Path,
    options: &Options<'_>,
    may_begin: bool,
    found: &Found,
) -> Result<Journal, OpenError> {
    let (path, bytes_max) = (directory.join(JOURNAL_NAME), options.segment_bytes_max);
    Journal::open(&path, bytes_max, may_begin, &|identity| found.seen(identity))
}

/// Refuses a directory that another process serves.
pub fn refuse_served(directory: &Path) -> Result<(), OpenError> {
    lock(directory).map(drop)
}

/// Takes the directory for this process.
pub(crate) fn lock(directory: &Path) -> Result<File, OpenError> {
    let path: PathBuf = directory.join(LOCK_NAME);
    let file = private_file().open(&path).map_err(io_at("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
        Err(TryLockError::Error(error)) => Err(io_at("lock", &path)(error)),
    }
}

/// Where the bundles lie in a data directory.
pub(crate) fn bundles_path(directory: &Path) -> PathBuf {
    directory.join(BUNDLES_NAME)
}

fn refused(error: ReadError) -> CommitError {
    CommitError::Refused(io::Error::other(error))
}

fn lost(what: String) -> ReadError {
    ReadError::Index { what, how: "it is missing".to_owned() }
}
