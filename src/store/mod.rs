//! Truth on disk: the contract between the vault and whatever keeps its events and bundles.
//!
//! The journal is the truth; sled is a view of it that can be thrown away. Bytes go before the
//! record that names them: an orphan is garbage, a dangling record is loss.

mod backup;
mod batches;
mod bundles;
mod catch_up;
mod check;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
mod disk;
mod error;
mod filter;
mod frame;
mod head;
mod heap;
mod index;
mod journal;
mod recovery;
#[cfg(test)]
mod rollback;
mod run;
mod scrub;
mod segments;
mod settled;
mod space;
mod staging;
mod syncing;
mod turns;

use std::io;

use tokio::sync::watch;

use crate::domain::id::{DepositId, Digest};
#[cfg(doc)]
use crate::domain::states::Key;
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;
use crate::ledger::Entry;
use crate::ledger::entry::Leaf;
use crate::ledger::merkle::Node;

pub use bundles::StoredBundle;
pub use catch_up::Progress;
pub use check::{Checked, Fault};
pub use disk::{DiskStore, Options, Probe, refuse_served};
pub use error::OpenError;
pub use index::probe_index;
pub use scrub::{Harm, Harmed, Pass, Piece, Place};
pub use space::is_full;
pub use staging::{StagedBundle, Upload};

/// Where a stream stands: how many events it has, and the commitment of the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHead {
    /// Number of the last event; 0 for a stream that has none.
    pub sequence: u64,
    /// That event's commitment; all zero for a stream that has none.
    pub commitment: Digest,
}

/// How much room there is for what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Free bytes, where the system tells.
    pub free_bytes: Option<u64>,
    /// With fewer free bytes than this, only what is urgent is taken.
    pub scarce_bytes: u64,
    /// Bytes kept for that, as of now.
    pub reserve_bytes: u64,
    /// Bytes kept for that when there is room enough.
    pub reserve_whole_bytes: u64,
}

/// A small object that a statement names by digest: a bundle, a sealed share, a contribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Key, at most [`Blob::NAME_BYTES_MAX`] bytes, such as a deposit's id.
    pub name: String,
    /// Content, at most [`Blob::BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// Longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 255;
    /// Largest content, in bytes; what is larger is a file. By rate alone it could be larger
    /// (`benches/small`, `limit`): at 64 KiB the journal takes seven times as many a second as files
    /// are made, at 256 KiB still more than twice as many. But everybody waits for the batch before
    /// theirs, and a batch of 64 of these takes as long as its bytes do.
    pub const BYTES_MAX: usize = 64 * 1024;
}

/// Everything that must become durable together or not at all.
#[derive(Debug, Default)]
pub struct Batch<Staged> {
    /// Every stream that was read to decide this batch, with the sequence it had then. Checked
    /// against what is stored: a second writer's batch in between makes this one stale.
    pub expected: Vec<(Stream, u64)>,
    /// Events to append; positions and sequences follow on what is stored.
    pub entries: Vec<Entry>,
    /// Small objects the entries name.
    pub blobs: Vec<Blob>,
    /// Large bundles the entries name, written and synced before.
    pub bundles: Vec<(DepositId, Staged)>,
    /// Records as they are after the entries: `None` deletes.
    pub records: Records,
}

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A stream moved since it was read. Nothing happened; decide again on the current state.
    #[error("stream {stream} is at {current}, not at {expected}")]
    Stale {
        /// The stream that moved.
        stream: Stream,
        /// Where the batch expected it.
        expected: u64,
        /// Where it is.
        current: u64,
    },
    /// The batch contradicts itself or the store. Nothing happened; this is a caller's defect.
    #[error("the batch does not follow on the ledger: {0}")]
    Unsound(&'static str),
    /// Refused before anything was written, for example for want of space. Nothing happened.
    #[error("the store cannot take the batch now")]
    Refused(#[source] io::Error),
    /// Writing or syncing failed half-way, or a batch that is durable could not be shown to
    /// readers: **the outcome is unknown**. The process must end, and start-up decides from what
    /// is on disk. Never retried.
    #[error("writing failed with unknown outcome")]
    Unknown(#[source] io::Error),
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk or the index answered with an error.
    #[error("the store cannot be read")]
    Io(#[from] io::Error),
    /// The index says what cannot be. Nothing is lost by that: it is made again from the journal,
    /// so nothing irrevocable may follow from it.
    #[error("the index's {what} is damaged: {how}; `escrowd rebuild` makes the index again")]
    Index {
        /// What in it.
        what: String,
        /// In what way.
        how: String,
    },
    /// What was read is not what was written. It must not be served.
    #[error("{what} is damaged: {how}")]
    Damaged {
        /// Which file, record or bundle.
        what: String,
        /// In what way.
        how: String,
    },
}

/// Keeps events, records, small objects and bundles.
///
/// Guarantees every backend gives, and the contract suite checks:
/// - what [`Store::commit`] acknowledged survives kill -9 and power loss, whole;
/// - what it did not acknowledge is there whole or not at all after a restart;
/// - readers see committed batches only, each whole, in order;
/// - what was staged stays, over restarts too, until it is committed or forgotten, as far as it was
///   synced at least.
pub trait Store: Send + Sync + 'static {
    /// A bundle on its way in: bytes that no event names yet.
    type Staged: Staged;
    /// A stored bundle on its way out.
    type Bundle: Bundle;

    /// Makes a batch durable: it is on disk when this returns `Ok`. Order of batches is order
    /// of calls.
    fn commit(&self, batch: Batch<Self::Staged>) -> Result<(), CommitError>;

    /// Turns true once the store cannot go on, whoever was told of it by an error. The process must
    /// end; what was acknowledged is safe.
    fn failed(&self) -> watch::Receiver<bool>;

    /// Whether there is room for so many bytes of what can wait. Where there is none, only urgent
    /// batches should be committed: for them some room is kept.
    fn has_room_for(&self, bytes: u64) -> bool;

    /// How much room there is.
    fn room(&self) -> Room;

    /// Whether batches were committed of late, so that who commits another is not to find the disk
    /// busy with much at a time.
    fn has_batches(&self) -> bool;

    /// How many entries the ledger has.
    fn ledger_size(&self) -> u64;

    /// Where a stream stands; sequence 0 where it does not exist.
    fn head(&self, stream: &Stream) -> Result<StreamHead, ReadError>;

    /// At most `limit` entries of a stream in order, the first being number `from`.
    fn read_stream(
        &self,
        stream: &Stream,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError>;

    /// The commitment of this entry of a stream; `None` where there is no such entry.
    fn commitment(&self, stream: &Stream, sequence: u64) -> Result<Option<Digest>, ReadError> {
        let found = self.read_stream(stream, sequence, 1)?;
        let found = found.first().filter(|entry| entry.sequence == sequence);
        Ok(found.map(Entry::commitment))
    }

    /// At most `limit` entries of the ledger in order, the first at position `from`.
    fn read_ledger(&self, from: u64, limit: usize) -> Result<Vec<Entry>, ReadError>;

    /// What the log shows of the entry at this position, which must be in the ledger.
    fn leaf(&self, position: u64) -> Result<Leaf, ReadError>;

    /// The root of this perfect subtree of the log, whose leaves must all be in the ledger.
    fn node(&self, node: Node) -> Result<Digest, ReadError>;

    /// The checkpoint that was published last, as a signed note.
    fn checkpoint(&self) -> Result<Option<String>, ReadError>;

    /// Publishes a checkpoint where `last` is still the one before, and says whether it was. A
    /// crash of the machine can lose it, never one of the process: it is signed again over the
    /// entries, which were durable before.
    fn publish(&self, last: Option<&str>, next: &str) -> Result<bool, ReadError>;

    /// The record under this key.
    fn record(&self, key: &str) -> Result<Option<Vec<u8>>, ReadError>;

    /// At most `limit` keys that begin with `prefix`, in order, after `after` if given. Those of
    /// which there are many ([`Key::is_of_many`]) are looked up one by one and never listed.
    fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ReadError>;

    /// The small object under this name.
    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError>;

    /// Begins a bundle too large for a blob, or goes on with what there is of it, which is read and
    /// verified. Nobody else may have it staged meanwhile.
    fn stage(&self, upload: &Upload) -> io::Result<Self::Staged>;

    /// The bundles that were staged and neither committed nor forgotten, and when the last bytes of
    /// each came, by the system's clock.
    fn unfinished(&self) -> io::Result<Vec<(Upload, Timestamp)>>;

    /// Removes what there is of a bundle that was staged.
    fn forget(&self, upload: &Upload) -> io::Result<()>;

    /// Syncs what may be synced late, so that the next start has nothing to catch up with.
    fn settle(&self) -> io::Result<()>;

    /// Reads the next piece of everything stored and checks it, `None` once all is read. What is
    /// wrong with a piece is told and the pass goes on behind it. After an error it can be asked
    /// again, from its place.
    fn read_on(&self, pass: &mut Pass) -> Result<Option<Piece>, ReadError>;

    /// A stored large bundle, checked chunk by chunk as it is read.
    fn bundle(&self, id: &DepositId) -> Result<Option<Self::Bundle>, ReadError>;
}

/// Makes durable what was written until it was made, while more is written, and tells how many bytes
/// can be gone on with whatever happens. Blocking. Where it fails the bundle is to be forgotten.
pub type SyncBeside = Box<dyn FnOnce() -> io::Result<u64> + Send>;

/// A large bundle on its way in. Blocking. Dropped, it stays as it is.
pub trait Staged: Send + 'static {
    /// How many bytes there are.
    fn size(&self) -> u64;
    /// The first of them.
    fn first(&self, bytes_max: usize) -> io::Result<Vec<u8>>;
    /// Appends bytes. Where that fails, it is to be cut before more is written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// A sync that may run beside further writes.
    fn sync_beside(&mut self) -> io::Result<SyncBeside>;
    /// Cuts it back to where it can be gone on with after a restart as well.
    fn cut(&mut self) -> io::Result<()>;
    /// Ends the bundle: all of it is durable under its temporary name, and nothing may be written
    /// after. Its SHA-256. Where this fails the bundle is to be forgotten, and never synced again.
    fn sync(&mut self) -> io::Result<Digest>;
}

/// A stored large bundle on its way out. Blocking.
pub trait Bundle: Send + 'static {
    /// Its size in bytes.
    fn size(&self) -> u64;
    /// Has the next piece begin at this byte, which is at most its size. It is checked with what was
    /// stored together with it all the same.
    fn seek(&mut self, from: u64) -> Result<(), ReadError>;
    /// The next checked piece, `None` at the end. A piece that does not match what was stored is
    /// [`ReadError::Damaged`], and nothing of it is returned.
    fn next(&mut self) -> Result<Option<bytes::Bytes>, ReadError>;
}

/// Records that change: each as it is afterwards, `None` where it is deleted.
pub type Records = Vec<(String, Option<Vec<u8>>)>;

/// Reads a record as it stands.
pub type ReadRecord<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<u8>>, ReadError>;

/// Makes records from entries, the same way when a vault runs and when its index is made again.
pub trait Projector: Send + Sync {
    /// The records that change with this entry, given how records stand before it.
    fn project(&self, entry: &Entry, read: ReadRecord<'_>) -> Result<Records, ReadError>;
}
