//! The index: a view of the journal in sled, made for looking things up, that can be thrown away.
//!
//! One tree holds every key space, told apart by a first byte, because sled recovers one
//! `apply_batch` on one tree whole or not at all, and how far the journal is applied must never
//! part from what was applied. Small objects are indexed by their place in the journal: a second
//! copy would cost sled three writes for each byte and end in files that sled never syncs. sled's
//! own flusher is the only one that writes, and `flush_async` is never called; a flush is a
//! convenience, as whatever the index has lost is applied again from the journal. Whether it can be
//! synced at all is watched by [`crate::store::syncing`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::domain::id::{Bytes, Digest};
use crate::domain::stream::Stream;
use crate::ledger::edge::Edge;
use crate::ledger::entry::{self, Leaf};
use crate::ledger::merkle::{self, Node};
use crate::store::frame::{BundleRecord, Fields, Identity};
use crate::store::head::Tip;
use crate::store::journal::{Committed, Location};
use crate::store::syncing::Health;
use crate::store::{ReadError, Records, StreamHead};

/// The layout of keys and values below.
const FORMAT: u32 = 2;
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
const META: &[u8] = b"m";
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

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    tree: sled::Db,
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
                Ok(Ok(tree)) => return Ok(Self { tree, health: Health::good() }),
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

    /// How far the journal is applied: `None` for a new index or one of another layout.
    pub(crate) fn applied(&self) -> Result<Option<(Identity, Tip)>, ReadError> {
        let Some(value) = self.get(META)? else { return Ok(None) };
        let mut fields = Fields(&value);
        let parse = |fields: &mut Fields<'_>| {
            let format = fields.u32()?;
            let identity = Bytes(fields.array()?);
            (format == FORMAT).then_some((identity, Tip::decode(fields)?))
        };
        Ok(parse(&mut fields))
    }

    /// Marks a new index as belonging to this journal, with nothing applied.
    pub(crate) fn begin(&self, identity: &Identity, tip: &Tip) -> Result<(), ReadError> {
        self.tree.insert(META, meta(identity, tip)).map_err(|error| self.failed(error)).map(drop)
    }

    /// Applies one batch and remembers it as applied, whole or not at all.
    pub(crate) fn apply(
        &self,
        identity: &Identity,
        committed: &Committed,
        records: Records,
    ) -> Result<(), ReadError> {
        let mut batch = sled::Batch::default();
        let entries = committed.entries.iter();
        let leaves: Vec<Leaf> = entries.clone().map(|(entry, _)| entry.leaf()).collect();
        if let Some((first, _)) = committed.entries.first() {
            for (node, value) in self.grown(first.position, &leaves)? {
                batch.insert(node_key(node), value);
            }
        }
        for ((entry, at), leaf) in entries.zip(&leaves) {
            let commitment = entry::commitment_of(leaf);
            let mut value = entry.position.to_be_bytes().to_vec();
            value.extend(commitment.0);
            batch.insert(stream_key(&entry.stream, entry.sequence), value);
            batch.insert(position_key(entry.position), encode_location(*at));
            let mut head = entry.sequence.to_be_bytes().to_vec();
            head.extend(commitment.0);
            batch.insert(key(HEADS, entry.stream.to_string().as_bytes()), head);
        }
        for (name, at) in &committed.blobs {
            batch.insert(key(BLOBS, name.as_bytes()), encode_location(*at));
        }
        for bundle in &committed.bundles {
            batch.insert(key(BUNDLES, bundle.id.as_str().as_bytes()), bundle.encode());
        }
        for (name, value) in records {
            match value {
                Some(value) => batch.insert(key(RECORDS, name.as_bytes()), value),
                None => batch.remove(key(RECORDS, name.as_bytes())),
            }
        }
        batch.insert(META, meta(identity, &committed.tip));
        self.tree.apply_batch(batch).map_err(|error| self.failed(error))
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
        value.as_ref().try_into().map(Bytes).map_err(|_| broken(what()))
    }

    /// The checkpoint that was published last.
    pub(crate) fn checkpoint(&self) -> Result<Option<String>, ReadError> {
        let value = self.get(CHECKPOINT)?;
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
        Ok(self.get(&key(RECORDS, name.as_bytes()))?.map(|value| value.to_vec()))
    }

    pub(crate) fn record_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ReadError> {
        self.names(RECORDS, prefix, after, limit)
    }

    /// Names of small objects, in order.
    pub(crate) fn blob_names(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ReadError> {
        self.names(BLOBS, "", after, limit)
    }

    /// The first bundle behind the deposit of this id.
    pub(crate) fn bundle_after(&self, after: &str) -> Result<Option<BundleRecord>, ReadError> {
        let next = self.names(BUNDLES, "", Some(after), 1)?;
        next.first().map_or(Ok(None), |id| self.bundle(id))
    }

    fn names(
        &self,
        space: u8,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ReadError> {
        let prefix = key(space, prefix.as_bytes());
        let mut start = prefix.clone();
        if let Some(after) = after {
            let mut behind = key(space, after.as_bytes());
            behind.push(0);
            start = start.max(behind);
        }
        let found =
            self.tree.range(start..).keys().take_while(|found| {
                found.as_ref().map_or(true, |found| found.starts_with(&prefix))
            });
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
        let mut counts = [0; 6];
        let spaces = [HEADS, STREAMS, POSITIONS, BLOBS, BUNDLES, NODES];
        for (count, space) in counts.iter_mut().zip(spaces) {
            for found in self.tree.scan_prefix([space]).keys() {
                found.map_err(|error| self.failed(error))?;
                *count += 1;
            }
        }
        Ok(counts)
    }

    /// Hands what is still in memory to the operating system.
    pub(crate) fn flush(&self) -> Result<(), ReadError> {
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

    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, ReadError> {
        self.tree.get(key).map_err(|error| self.failed(error))
    }
}

/// Whether the index at this path opens. For a child process: sled may panic, abort or hang. What
/// the operating system refuses says nothing about the index, and whoever opens it next is told.
pub fn probe_index(path: &Path) -> bool {
    match Index::open(path, 8 << 20) {
        Ok(index) => !matches!(index.applied(), Err(ReadError::Index { .. })),
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

fn meta(identity: &Identity, tip: &Tip) -> Vec<u8> {
    let mut value = FORMAT.to_be_bytes().to_vec();
    value.extend(identity.0);
    value.extend(tip.encode());
    value
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
