//! The log as it is signed and proved. The order is: entries durable, then read back and hashed,
//! then their root signed, then the checkpoint put in the place of the one before.

use std::sync::Arc;

use crate::domain::id::Digest;
use crate::domain::refusal::Refusal;
use crate::domain::stream::Stream;
use crate::domain::text::Text;
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::edge::Edge;
use crate::ledger::entry::Leaf;
use crate::ledger::merkle;
use crate::ledger::proof::Proof;
use crate::ledger::tile::{Content, Tile};
use crate::store::{ReadError, Store};
use crate::vault::error::VaultError;
use crate::vault::{LedgerKeys, Scribe, Talker, Vault};

/// Entries that are read back and hashed at a time.
const ENTRIES_PER_PAGE: usize = 256;

/// Whether checkpoints are signed and published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publishing {
    /// Before anything is acknowledged.
    Done,
    /// Never, to measure what it costs.
    LeftOut,
}

/// How far the log has been published.
#[derive(Debug, Default)]
pub(super) struct Published {
    size: u64,
    note: Option<String>,
    /// Whether it is of this generation, and signed by the ledger key of today.
    is_current: bool,
}

impl Published {
    /// What was published before, compared with what is stored: a vault whose log does not bear out
    /// its own checkpoint must not sign another.
    pub(super) fn resume<S: Store>(store: &S, scribe: &Scribe) -> Result<Self, ReadError> {
        let Some(note) = store.checkpoint()? else { return Ok(Self::default()) };
        let Ok(text) = scribe.opened(&note) else {
            // An earlier generation's, or one of a log that this is a recovery of.
            return Ok(Self { note: Some(note), ..Self::default() });
        };
        let checkpoint: Checkpoint = text.parse().map_err(|_| unborne(0, "it is not one"))?;
        let size = checkpoint.size;
        if size > store.ledger_size() {
            return Err(unborne(size, "the journal has fewer entries"));
        }
        if merkle::root(size, |node| store.node(node))? != checkpoint.root {
            return Err(unborne(size, "the entries have another root"));
        }
        let is_current = scribe.is_signed_now(&note);
        Ok(Self { size, note: Some(note), is_current })
    }

    /// How many entries have been published.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Publishes all that is stored. An error means that nothing more may be signed.
    pub(super) fn catch_up<S: Store>(
        &mut self,
        store: &S,
        scribe: &Scribe,
    ) -> Result<(), ReadError> {
        let size = store.ledger_size();
        if size == self.size && self.is_current {
            return Ok(());
        }
        let root = reread(store, self.size, size)?;
        let checkpoint = Checkpoint { origin: checkpoint::origin(&scribe.log), size, root };
        let note = scribe.sign_checkpoint(&checkpoint);
        if !store.publish(self.note.as_deref(), &note)? {
            return Err(unborne(size, "another has been published meanwhile"));
        }
        *self = Self { size, note: Some(note), is_current: true };
        Ok(())
    }
}

/// Whether what is stored bears out the checkpoint that was signed last.
pub fn check_log<S: Store>(
    store: &S,
    origin: Text,
    keys: impl Into<LedgerKeys>,
) -> Result<(), ReadError> {
    let scribe = Scribe::of(store, origin, keys.into())?;
    Published::resume(store, &scribe).map(drop)
}

fn unborne(size: u64, how: &str) -> ReadError {
    let what = format!("the log, whose checkpoint of {size} entries it does not bear out,");
    ReadError::Damaged { what, how: how.to_owned() }
}

/// The root over the first `size` entries, those from `first` on read back from where they are
/// durable. What the index makes of them must be the same.
fn reread<S: Store>(store: &S, first: u64, size: u64) -> Result<Digest, ReadError> {
    let mut edge = Edge::read(first, |node| store.node(node))?;
    while edge.size() < size {
        let count = usize::try_from(size - edge.size()).unwrap_or(usize::MAX);
        let entries = store.read_ledger(edge.size(), count.min(ENTRIES_PER_PAGE))?;
        if entries.is_empty() {
            return Err(unborne(size, "entries are missing"));
        }
        for entry in entries {
            edge.push(merkle::leaf_hash(&entry.leaf().0), |_, _| ());
        }
    }
    let root = edge.root();
    match merkle::root(size, |node| store.node(node))? == root {
        true => Ok(root),
        false => {
            let how = "its hashes are not those of the journal's entries".to_owned();
            Err(ReadError::Index { what: "log".to_owned(), how })
        }
    }
}

/// A checkpoint with the proof that its log continues an earlier one.
#[derive(Debug)]
pub struct Continued {
    /// The signed checkpoint.
    pub checkpoint: String,
    /// Hashes as RFC 9162 has them; none where there is nothing to prove.
    pub proof: Vec<Digest>,
    /// The newest checkpoint that enough witnesses have cosigned, if there is one, and the proof that
    /// the other continues it.
    pub witnessed: Option<(String, Vec<Digest>)>,
}

impl<S: Store> Vault<S> {
    /// The newest checkpoint, as a signed note.
    pub fn checkpoint(&self) -> Result<String, VaultError> {
        self.store.checkpoint()?.ok_or(VaultError::Unavailable)
    }

    /// The newest checkpoint, and that it continues one that this vault signed before. Where it does
    /// not, this vault was set back, and halts.
    pub fn continued(&self, seen: Option<&str>) -> Result<Continued, VaultError> {
        // Before the newest, which so is never behind it.
        let witnessed = self.witnessed();
        let checkpoint = self.checkpoint()?;
        let now = parse(self.scribe.opened(&checkpoint).map_err(|_| VaultError::Unavailable)?)?;
        let from = |size| merkle::consistency(size, now.size, |node| self.store.node(node));
        let proof = match seen {
            Some(seen) => from(self.bear_out(seen)?)?,
            None => Vec::new(),
        };
        let witnessed = witnessed.map(|witnessed| {
            let proof = from(witnessed.size)?;
            Ok::<_, VaultError>((witnessed.note.clone(), proof))
        });
        Ok(Continued { checkpoint, proof, witnessed: witnessed.transpose()? })
    }

    /// Where an event of a stream that the talker may read is in the log, and that it is there.
    pub async fn prove(
        self: &Arc<Self>,
        talker: Talker,
        stream: Stream,
        sequence: u64,
    ) -> Result<Proof, VaultError> {
        let stands = self.read(talker, stream.clone(), None).await?;
        let found = self.part(&stands, sequence, 1)?.entries;
        let entry = found.first().filter(|entry| entry.sequence == sequence);
        let position = entry.map(|entry| entry.position);
        let missing = || Refusal::NotFound(format!("event {sequence}"));
        let position = position.ok_or_else(missing)?;
        // What witnesses have seen proves more; the newest is read after the entry and covers it.
        // One that an earlier key has signed would not go with the key of today.
        let witnessed = self.witnessed().filter(|it| position < it.size);
        let checkpoint = match witnessed.filter(|it| self.scribe.is_signed_now(&it.note)) {
            Some(witnessed) => witnessed.note.clone(),
            None => self.checkpoint()?,
        };
        let text = self.scribe.opened(&checkpoint);
        let size = parse(text.map_err(|_| VaultError::Unavailable)?)?.size;
        let hashes = merkle::inclusion(position, size, |node| self.store.node(node))?;
        Ok(Proof { position, hashes, checkpoint })
    }

    /// What the log shows of its entries from a position on: at most so many.
    pub fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Leaf>, VaultError> {
        let size = self.store.ledger_size();
        let leaves = (from..size).take(limit).map(|position| self.store.leaf(position));
        Ok(leaves.collect::<Result<_, _>>()?)
    }

    /// The content of a tile (C2SP tlog-tiles); `None` for one that the log does not have.
    pub fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, VaultError> {
        if !tile.is_within(self.store.ledger_size()) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        for node in tile.nodes() {
            match tile.content {
                Content::Hashes { .. } => bytes.extend(self.store.node(node)?.0),
                Content::Entries => {
                    let leaf = self.store.leaf(node.index)?;
                    bytes.extend((leaf.0.len() as u16).to_be_bytes());
                    bytes.extend(leaf.0);
                }
            }
        }
        Ok(Some(bytes))
    }
}

pub(super) fn parse(text: &str) -> Result<Checkpoint, VaultError> {
    text.parse().map_err(|_| VaultError::Malformed("a checkpoint of another log"))
}
