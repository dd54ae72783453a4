//! The index: a view of the journal in sled, made for looking things up, that can be thrown away.
//!
//! Every key space is told apart by a first byte. What is as many as events are goes to files of its
//! own ([`crate::store::settled`]), everything else to one tree of sled's, because sled recovers one
//! `apply_batch` on one tree whole or not at all, and how far the journal is applied must never part
//! from what was applied. What was applied last is kept in memory and settled from time to time, or
//! when the vault ends; after a crash it is applied again from the journal. sled is told of every batch
//! only that it was seen. Small objects are indexed by their place in the journal. `flush_async` is
//! never called. Whether the index can be synced at all is watched by [`crate::store::syncing`].

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use crate::domain::chain::chain;
use crate::domain::id::{Bytes, Digest};
use crate::domain::states::Key;
use crate::domain::stream::Stream;
use crate::ledger::edge::Edge;
use crate::ledger::entry::{self, Leaf};
use crate::ledger::merkle::{self, Node};
use crate::store::frame::{BundleRecord, Fields, Identity};
use crate::store::head::{TIP_BYTES, Tip};
use crate::store::heap::{Change, Unread};
use crate::store::journal::{Committed, Location};
use crate::store::settled::{Manifest, Recent, Settled, in_sled, overlaid};
use crate::store::space::is_full;
use crate::store::syncing::{FILE, Health};
use crate::store::{ReadError, Records, StreamHead};

/// The layout of keys and values below.
const FORMAT: u32 = 5;
/// Entries that are applied in memory before they are settled: what a start after a crash applies
/// again. Few in tests, so that they settle often.
const RECENT_ENTRIES_MAX: u64 = if cfg!(test) { 7 } else { 2_048 };
/// sled's own flusher runs this often.
const FLUSH_EVERY_MS: u64 = 500;
/// How long to wait for a predecessor's threads to let go of sled's lock.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_RETRY: Duration = Duration::from_millis(20);

const RECORDS: u8 = b'r';
const STREAMS: u8 = b's';
const POSITIONS: u8 = b'p';
const HEADS: u8 = b'h';
const BLOBS: u8 = b'b';
const BUNDLES: u8 = b'u';
const NODES: u8 = b'n';
/// Both values begin with [`FORMAT`].
pub(crate) const META: &[u8] = b"m";
pub(crate) const SEEN: &[u8] = b"e";
const CHECKPOINT: &[u8] = b"c";

/// Why the index did not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpened {
    /// Somebody has it open: no reason to doubt it.
    #[error("it is open elsewhere")]
    Locked,
    /// The operating system refused something: no reason to doubt it either.
    #[error("it cannot be opened")]
    Io(#[source] io::Error),
    /// It is unusable.
    #[error("{0}")]
    Because(String),
}

/// How far the journal is applied.
#[derive(Debug, Clone, Copy)]
struct Stands {
    identity: Identity,
    applied: Tip,
    settled: u64,
    /// How far it has been seen: never less than that.
    seen: u64,
}

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    tree: sled::Db,
    /// sled's file: its flush hands what it wrote to the system, and does not sync it.
    file: File,
    settled: RwLock<Settled>,
    /// Why the files beside sled's are not those that it names.
    unusable: Option<String>,
    /// How far the journal is applied, and how far that is settled.
    stands: RwLock<Option<Stands>>,
    /// Fails with the first access that the system refuses: sled does not recover from one.
    pub(crate) health: Health,
}

impl Index {
    /// Opens or makes the index at this path. What sled panics over comes back as text too, but a
    /// panic in one of its threads does not: that is what the caller's probe is for.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, NotOpened> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            .flush_every_ms(Some(FLUSH_EVERY_MS));
        let begun = Instant::now();
        loop {
            let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
            match opened {
                Ok(Ok(tree)) => return Self::beside(tree, path),
                Ok(Err(error)) if is_locked(&error) => {
                    if begun.elapsed() > LOCK_WAIT {
                        return Err(NotOpened::Locked);
                    }
                    std::thread::sleep(LOCK_RETRY);
                }
                Ok(Err(sled::Error::Io(error))) if is_refusal(&error) => {
                    return Err(NotOpened::Io(error));
                }
                Ok(Err(error)) => return Err(NotOpened::Because(error.to_string())),
                Err(_) => return Err(NotOpened::Because("opening it panics".to_owned())),
            }
        }
    }

    /// Opens the files beside sled's. Where they are not those that it names, what it has seen is
    /// still known.
    fn beside(tree: sled::Db, path: &Path) -> Result<Self, NotOpened> {
        let opened = |error: io::Error| match is_refusal(&error) {
            true => NotOpened::Io(error),
            false => NotOpened::Because(error.to_string()),
        };
        let file = File::open(path.join(FILE)).map_err(opened)?;
        let meta = tree.get(META).map_err(|error| NotOpened::Because(error.to_string()))?;
        let meta = meta.and_then(|value| decode_meta(&value));
        let (mut settled, mut unusable) = (Settled::empty(path), None);
        if let Some((_, _, manifest)) = &meta {
            match Settled::open(path, manifest) {
                Ok(found) => settled = found,
                Err(fault) => match opened(fault.into()) {
                    NotOpened::Because(how) => unusable = Some(how),
                    refused @ (NotOpened::Io(_) | NotOpened::Locked) => return Err(refused),
                },
            }
        }
        let health = Health::good();
        let (settled, stands) = (RwLock::new(settled), RwLock::new(None));
        let index = Self { tree, file, settled, unusable, stands, health };
        if let Some((identity, applied, _)) = meta {
            let seen = index.seen().map_err(|error| NotOpened::Because(error.to_string()))?;
            let seen = seen.map_or(applied.size, |(_, seen)| seen.size);
            index.stand(Stands { identity, applied, settled: applied.size, seen });
        }
        Ok(index)
    }

    /// How far the journal is applied: `None` for a new index or one of another layout.
    pub(crate) fn applied(&self) -> Result<Option<(Identity, Tip)>, ReadError> {
        match &self.unusable {
            Some(how) => Err(ReadError::Index { what: "content".to_owned(), how: how.clone() }),
            None => Ok(self.stands().map(|stands| (stands.identity, stands.applied))),
        }
    }

    /// How far the journal has been seen: further than it is applied, where a crash came between.
    pub(crate) fn seen(&self) -> Result<Option<(Identity, Tip)>, ReadError> {
        let value = self.tree.get(SEEN).map_err(|error| self.failed(error))?;
        Ok(value.and_then(|value| decode_seen(&value)))
    }

    /// Marks a new index as belonging to this journal, with nothing applied.
    pub(crate) fn begin(&self, identity: &Identity, tip: &Tip) -> Result<(), ReadError> {
        let manifest = Manifest::default();
        let mut batch = sled::Batch::default();
        batch.insert(META, encode_meta(identity, tip, &manifest));
        batch.insert(SEEN, encode_seen(identity, tip));
        self.tree.apply_batch(batch).map_err(|error| self.failed(error))?;
        let (identity, applied, settled, seen) = (*identity, *tip, tip.size, tip.size);
        self.stand(Stands { identity, applied, settled, seen });
        Ok(())
    }

    /// Applies one batch and remembers it as applied, whole or not at all.
    pub(crate) fn apply(
        &self,
        identity: &Identity,
        committed: &Committed,
        records: Records,
    ) -> Result<(), ReadError> {
        let mut changes: Vec<Change> = Vec::new();
        let mut put = |key, value| changes.push((key, Some(value)));
        let entries = committed.entries.iter();
        let leaves: Vec<Leaf> = entries.clone().map(|(entry, _)| entry.leaf()).collect();
        if let Some((first, _)) = committed.entries.first() {
            for (node, value) in self.grown(first.position, &leaves)? {
                put(node_key(node), value);
            }
        }
        for ((entry, at), leaf) in entries.zip(&leaves) {
            let commitment = entry::commitment_of(leaf);
            let mut value = entry.position.to_be_bytes().to_vec();
            value.extend(commitment.0);
            put(stream_key(&entry.stream, entry.sequence), value);
            put(position_key(entry.position), encode_location(*at));
            let mut head = entry.sequence.to_be_bytes().to_vec();
            head.extend(commitment.0);
            put(key(HEADS, entry.stream.to_string().as_bytes()), head);
        }
        for (name, at) in &committed.blobs {
            put(key(BLOBS, name.as_bytes()), encode_location(*at));
        }
        for bundle in &committed.bundles {
            put(key(BUNDLES, bundle.id.as_str().as_bytes()), bundle.encode());
        }
        let records = records.into_iter();
        changes.extend(records.map(|(name, value)| (key(RECORDS, name.as_bytes()), value)));
        let (settled, seen) = self.stands().map_or((0, 0), |it| (it.settled, it.seen));
        let (identity, applied) = (*identity, committed.tip);
        // After a crash it has seen more than it applies again.
        if applied.size > seen {
            let seen = encode_seen(&identity, &applied);
            self.tree.insert(SEEN, seen).map_err(|error| self.failed(error))?;
        }
        let (many, few): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|(key, _)| is_of_many(key));
        let mut recent = self.settled.write().unwrap_or_else(PoisonError::into_inner);
        recent.recent.many.extend(many);
        recent.recent.few.extend(few);
        let seen = seen.max(applied.size);
        self.stand(Stands { identity, applied, settled, seen });
        Ok(())
    }

    /// Settles what was applied, if that is much. Readers go on meanwhile, other writers must not.
    pub(crate) fn settle_if_due(&self) -> Result<(), ReadError> {
        let due = self.stands().is_some_and(|stands| {
            stands.applied.size.saturating_sub(stands.settled) >= RECENT_ENTRIES_MAX
        });
        if due { self.settle() } else { Ok(()) }
    }

    /// Makes durable what was applied. On a full disk it stays in memory, and is tried again.
    pub(crate) fn settle(&self) -> Result<(), ReadError> {
        let Some(stands) = self.stands().filter(|it| it.applied.size > it.settled) else {
            return Ok(());
        };
        let ready = {
            let settled = self.settled();
            let many: Vec<_> = settled.recent.many.iter().collect();
            let ready = match many.is_empty() {
                true => None,
                false => match settled.write(&many) {
                    Ok(ready) => Some(ready),
                    Err(Unread::Io(error)) if is_full(&error) => {
                        let error = chain(&error);
                        tracing::warn!(error, "there is no room to settle the index; it goes on");
                        let settled = stands.applied.size;
                        self.stand(Stands { settled, ..stands });
                        return Ok(());
                    }
                    Err(fault) => return Err(self.unread(fault)),
                },
            };
            let manifest =
                ready.as_ref().map_or_else(|| settled.manifest(), |ready| ready.manifest.clone());
            let mut batch = sled::Batch::default();
            let few = settled.recent.few.iter();
            few.for_each(|(key, value)| in_sled(&mut batch, (key.clone(), value.clone())));
            batch.insert(META, encode_meta(&stands.identity, &stands.applied, &manifest));
            self.tree.apply_batch(batch).map_err(|error| self.failed(error))?;
            ready
        };
        // What is merged goes only once nothing that survives a loss of power names it.
        self.tree.flush().map_err(|error| self.failed(error))?;
        self.file.sync_data().map_err(|error| self.unread(Unread::Io(error)))?;
        let mut settled = self.settled.write().unwrap_or_else(PoisonError::into_inner);
        settled.recent = Recent::default();
        if let Some(ready) = ready {
            settled.take_up(ready);
        }
        self.stand(Stands { settled: stands.applied.size, ..stands });
        Ok(())
    }

    fn stands(&self) -> Option<Stands> {
        *self.stands.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand(&self, stands: Stands) {
        *self.stands.write().unwrap_or_else(PoisonError::into_inner) = Some(stands);
    }

    /// Whole after a panic as well: it changes in single steps.
    fn settled(&self) -> RwLockReadGuard<'_, Settled> {
        self.settled.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn head(&self, stream: &Stream) -> Result<StreamHead, ReadError> {
        let value = self.get(&key(HEADS, stream.to_string().as_bytes()))?;
        let none = StreamHead { sequence: 0, commitment: Bytes([0; 32]) };
        value.map_or(Ok(none), |value| {
            let (sequence, commitment) =
                decode_numbered(&value).ok_or_else(|| broken(format!("the head of {stream}")))?;
            Ok(StreamHead { sequence, commitment })
        })
    }

    /// The nodes of the log that leaves from this position on complete: leaves as they are, above them
    /// hashes.
    fn grown(&self, first: u64, leaves: &[Leaf]) -> Result<Vec<(Node, Vec<u8>)>, ReadError> {
        let mut edge = Edge::read(first, |node| self.node(node))?;
        let mut grown = Vec::new();
        for leaf in leaves {
            edge.push(merkle::leaf_hash(&leaf.0), |node, hash| {
                let value = if node.level == 0 { leaf.0.to_vec() } else { hash.0.to_vec() };
                grown.push((node, value));
            });
        }
        Ok(grown)
    }

    /// What the log shows of an entry.
    pub(crate) fn leaf(&self, position: u64) -> Result<Leaf, ReadError> {
        self.in_log(Node { level: 0, index: position })
    }

    /// The root of a perfect subtree of the log.
    pub(crate) fn node(&self, node: Node) -> Result<Digest, ReadError> {
        match node.level {
            0 => Ok(merkle::leaf_hash(&self.leaf(node.index)?.0)),
            _ => self.in_log(node),
        }
    }

    fn in_log<const N: usize>(&self, node: Node) -> Result<Bytes<N>, ReadError> {
        let what = || format!("node {} of level {} of the log", node.index, node.level);
        let missing = || ReadError::Index { what: what(), how: "it is missing".to_owned() };
        let value = self.get(&node_key(node))?.ok_or_else(missing)?;
        value.try_into().map(Bytes).map_err(|_| broken(what()))
    }

    /// The checkpoint that was published last.
    pub(crate) fn checkpoint(&self) -> Result<Option<String>, ReadError> {
        let value = self.tree.get(CHECKPOINT).map_err(|error| self.failed(error))?;
        let text = value.map(|value| String::from_utf8(value.to_vec())).transpose();
        text.map_err(|_| broken("the checkpoint".to_owned()))
    }

    /// Publishes a checkpoint, if `last` is still the one before. Whether it was.
    pub(crate) fn publish(&self, last: Option<&str>, next: &str) -> Result<bool, ReadError> {
        let swapped = self
            .tree
            .compare_and_swap(CHECKPOINT, last, Some(next))
            .map_err(|error| self.failed(error))?;
        Ok(swapped.is_ok())
    }

    /// Position and commitment of an entry, by its number in its stream.
    pub(crate) fn in_stream(
        &self,
        stream: &Stream,
        sequence: u64,
    ) -> Result<Option<(u64, Digest)>, ReadError> {
        self.get(&stream_key(stream, sequence))?
            .map(|value| {
                decode_numbered(&value)
                    .ok_or_else(|| broken(format!("entry {sequence} of {stream}")))
            })
            .transpose()
    }

    pub(crate) fn position(&self, position: u64) -> Result<Option<Location>, ReadError> {
        self.location(&position_key(position))
    }

    pub(crate) fn blob(&self, name: &str) -> Result<Option<Location>, ReadError> {
        self.location(&key(BLOBS, name.as_bytes()))
    }

    pub(crate) fn bundle(&self, id: &str) -> Result<Option<BundleRecord>, ReadError> {
        let value = self.get(&key(BUNDLES, id.as_bytes()))?;
        value
            .map(|value| BundleRecord::decode(&value).ok_or_else(|| broken(format!("bundle {id}"))))
            .transpose()
    }

    pub(crate) fn record(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.get(&key(RECORDS, name.as_bytes()))
    }

    pub(crate) fn record_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ReadError> {
        let prefix = key(RECORDS, prefix.as_bytes());
        let mut start = prefix.clone();
        if let Some(after) = after {
            let mut behind = key(RECORDS, after.as_bytes());
            behind.push(0);
            start = start.max(behind);
        }
        let settled = self.settled();
        let older = self.tree.range(start.clone()..).keys();
        let older = older.map(|found| found.map(|found| found.to_vec()));
        let recent = settled.recent.few.range(start..);
        let recent = recent.map(|(key, value)| (key.clone(), value.is_some()));
        let found = overlaid(older, recent)
            .take_while(|found| found.as_ref().map_or(true, |found| found.starts_with(&prefix)));
        found
            .take(limit)
            .map(|found| {
                let found = found.map_err(|error| self.failed(error))?;
                let name = found.get(1..).unwrap_or_default().to_vec();
                String::from_utf8(name).map_err(|_| broken("a key".to_owned()))
            })
            .collect()
    }

    /// How many streams, entries by stream, entries by position, blobs, bundles and nodes of the log
    /// it has.
    pub(crate) fn counts(&self) -> Result<[u64; 6], ReadError> {
        const SPACES: [u8; 6] = [HEADS, STREAMS, POSITIONS, BLOBS, BUNDLES, NODES];
        let mut counts = [0; 6];
        let mut count = |key: &[u8]| {
            let space = SPACES.iter().position(|space| key.first() == Some(space));
            let count = space.and_then(|space| counts.get_mut(space));
            count.into_iter().for_each(|count| *count += 1);
        };
        let settled = self.settled();
        let heads = self.tree.scan_prefix([HEADS]).keys();
        let heads = heads.map(|found| found.map(|found| found.to_vec()));
        let recent = settled.recent.few.range(vec![HEADS]..vec![HEADS + 1]);
        for head in overlaid(heads, recent.map(|(key, value)| (key.clone(), value.is_some()))) {
            count(&head.map_err(|error| self.failed(error))?);
        }
        settled.each_key(&mut count).map_err(|fault| self.unread(fault))?;
        settled.recent.many.keys().for_each(|key| count(key));
        Ok(counts)
    }

    /// Makes durable what is still in memory, at the end.
    pub(crate) fn flush(&self) -> Result<(), ReadError> {
        self.settle()?;
        self.tree.flush().map_err(|error| self.failed(error)).map(drop)
    }

    fn location(&self, key: &[u8]) -> Result<Option<Location>, ReadError> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        let mut fields = Fields(&value);
        match (fields.u32(), fields.u64()) {
            (Some(segment), Some(offset)) => Ok(Some(Location { segment, offset })),
            _ => Err(broken("a place in the journal".to_owned())),
        }
    }

    fn failed(&self, error: sled::Error) -> ReadError {
        if let sled::Error::Io(error) = error {
            if !is_refusal(&error) {
                return senseless(&error);
            }
            self.health.fail(&error);
            return ReadError::Io(error);
        }
        senseless(&error)
    }

    fn unread(&self, fault: Unread) -> ReadError {
        match fault {
            Unread::Io(error) => {
                self.health.fail(&error);
                ReadError::Io(error)
            }
            Unread::Damaged(how) => {
                ReadError::Index { what: "content".to_owned(), how: how.to_owned() }
            }
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let settled = self.settled();
        let is_of_many = is_of_many(key);
        let recent = match is_of_many {
            true => settled.recent.many.get(key),
            false => settled.recent.few.get(key),
        };
        match recent {
            Some(value) => Ok(value.clone()),
            None if is_of_many => settled.find(key).map_err(|fault| self.unread(fault)),
            None => {
                let found = self.tree.get(key).map_err(|error| self.failed(error))?;
                Ok(found.map(|value| value.to_vec()))
            }
        }
    }
}

/// Whether the index at this path opens. For a child process: sled may panic, abort or hang. What
/// the operating system refuses says nothing about the index, and whoever opens it next is told.
pub fn probe_index(path: &Path) -> bool {
    match Index::open(path, 8 << 20) {
        Ok(index) => !matches!(index.seen(), Err(ReadError::Index { .. })),
        Err(NotOpened::Io(_)) => true,
        Err(NotOpened::Locked | NotOpened::Because(_)) => false,
    }
}

fn key(space: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(space);
    key.extend(name);
    key
}

fn stream_key(stream: &Stream, sequence: u64) -> Vec<u8> {
    let mut key = key(STREAMS, stream.to_string().as_bytes());
    key.push(0);
    key.extend(sequence.to_be_bytes());
    key
}

fn position_key(position: u64) -> Vec<u8> {
    key(POSITIONS, &position.to_be_bytes())
}

fn node_key(node: Node) -> Vec<u8> {
    let mut key = key(NODES, &[node.level]);
    key.extend(node.index.to_be_bytes());
    key
}

fn encode_location(at: Location) -> Vec<u8> {
    let mut value = at.segment.to_be_bytes().to_vec();
    value.extend(at.offset.to_be_bytes());
    value
}

fn decode_numbered(value: &[u8]) -> Option<(u64, Digest)> {
    let mut fields = Fields(value);
    Some((fields.u64()?, Bytes(fields.array()?)))
}

/// Whether what lies under this key is one of as many as there are events.
fn is_of_many(key: &[u8]) -> bool {
    match key.split_first() {
        Some((&(STREAMS | POSITIONS | NODES | BLOBS | BUNDLES), _)) => true,
        Some((&RECORDS, name)) => std::str::from_utf8(name).is_ok_and(Key::is_of_many),
        Some(_) | None => false,
    }
}

fn encode_seen(identity: &Identity, tip: &Tip) -> Vec<u8> {
    let mut value = FORMAT.to_be_bytes().to_vec();
    value.extend(identity.0);
    value.extend(tip.encode());
    value
}

fn decode_seen(value: &[u8]) -> Option<(Identity, Tip)> {
    let mut fields = Fields(value);
    let of = (fields.u32()? == FORMAT).then_some(Bytes(fields.array()?))?;
    Some((of, Tip::decode(&mut fields)?))
}

fn encode_meta(identity: &Identity, tip: &Tip, manifest: &Manifest) -> Vec<u8> {
    let mut value = encode_seen(identity, tip);
    value.extend(manifest.encode());
    value
}

fn decode_meta(value: &[u8]) -> Option<(Identity, Tip, Manifest)> {
    let (identity, tip) = decode_seen(value)?;
    let (_, rest) = value.split_at_checked(4 + identity.0.len() + TIP_BYTES)?;
    Some((identity, tip, Manifest::decode(&mut Fields(rest))?))
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Whether an IO error of sled's is the operating system's. sled also says by one that what it has
/// read makes no sense, or asks for what makes none.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let senseless = [
        Kind::InvalidData,
        Kind::InvalidInput,
        Kind::UnexpectedEof,
        Kind::NotFound,
        Kind::IsADirectory,
        Kind::NotADirectory,
        Kind::Other,
    ];
    !senseless.contains(&error.kind())
}

fn senseless(error: &dyn std::error::Error) -> ReadError {
    ReadError::Index { what: "content".to_owned(), how: error.to_string() }
}

fn broken(what: String) -> ReadError {
    ReadError::Index { what, how: "it is not what is written there".to_owned() }
}
