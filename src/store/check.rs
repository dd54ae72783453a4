//! Reads everything there is and names every fault: what `escrowd check` does.
//!
//! Changes nothing in the journal and the bundles. Memory grows with the number of streams, not
//! with events or bundles. An index that lags behind the journal, as after a crash, is no fault.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::id::{DepositId, Digest};
use crate::domain::stream::Stream;
use crate::ledger::edge::Edge;
use crate::ledger::merkle;
use crate::store::batches::{BadBatch, Batches, StoredBatch, tail_was_followed};
use crate::store::bundles::Bundles;
use crate::store::catch_up::{INDEX_NAME, Progress};
use crate::store::disk::{DiskStore, JOURNAL_NAME, bundles_path, lock};
use crate::store::error::OpenError;
use crate::store::frame::Identity;
use crate::store::head::{HeadFile, Tip};
use crate::store::index::Index;
use crate::store::journal::{HEAD_NAME, Location, Reader};
use crate::store::recovery::{after, holds};
use crate::store::segments::{SEGMENT_HEAD_BYTES, Segment, Series};
use crate::store::{Bundle, ReadError};

/// sled's cache while checking, in bytes.
const CACHE_BYTES: u64 = 16 << 20;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whether it is a bundle or another object: everything else can be relied on all the same.
    pub is_of_object: bool,
    /// Which file or part.
    pub what: String,
    /// In what way it is wrong.
    pub how: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged {}", self.what, self.how)
    }
}

/// How much was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Entries of the ledger.
    pub entries: u64,
    /// Small objects.
    pub blobs: u64,
    /// Large bundles.
    pub bundles: u64,
}

impl DiskStore {
    /// Reads the whole store and reports each fault as it is found. `Err` only where nothing
    /// could be checked at all, for example while another process serves the directory.
    /// `progress` hears of bytes.
    pub fn verify(
        directory: &Path,
        report: &mut dyn FnMut(Fault),
        progress: Progress<'_>,
    ) -> Result<Checked, OpenError> {
        let _lock = lock(directory)?;
        let journal = directory.join(JOURNAL_NAME);
        let (_, identity, recorded) = match HeadFile::open(&journal.join(HEAD_NAME)) {
            Ok(head) => head,
            Err(error) => {
                report(fault_of(error));
                return Ok(Checked::default());
            }
        };
        let index_path = directory.join(INDEX_NAME);
        let index = match index_path.exists().then(|| Index::open(&index_path, CACHE_BYTES)) {
            None => None,
            Some(Ok(index)) => Some(index),
            Some(Err(why)) => {
                report(index_fault(&index_path, &why.to_string()));
                None
            }
        };
        let mut index = index;
        let seen = index.as_ref().map(Index::seen).transpose();
        let applied = index.as_ref().map(Index::applied).transpose();
        let applied = match seen.and_then(|seen| Ok((seen.flatten(), applied?.flatten()))) {
            Ok((Some((of, tip)), applied)) if of == identity => {
                if !holds(&journal, &identity, &tip) {
                    let how = format!(
                        "(it is not the journal of which the index has seen {} events; \
                         put the newest back)",
                        tip.size
                    );
                    report(Fault { is_of_object: false, what: journal.display().to_string(), how });
                    index = None;
                }
                applied.map_or(0, |(_, applied)| applied.size)
            }
            Ok(_) => 0,
            Err(error) => {
                report(index_fault(&index_path, &error.to_string()));
                0
            }
        };
        let bundles = Bundles::at(bundles_path(directory));
        let reader = Reader::new(&journal, identity);
        let mut check = Check {
            report,
            progress,
            read: 0,
            total: total_bytes(directory, &journal),
            journal,
            identity,
            recorded,
            reader,
            bundles,
            index: index.map(|index| (index, index_path)),
            applied,
            heads: HashMap::new(),
            bundle_ids: HashSet::new(),
            met: false,
            edge: Edge::default(),
            indexed: [0; 6],
            checked: Checked::default(),
        };
        check.segments();
        check.orphans();
        check.index_is_complete();
        // What is behind damage was not read.
        (check.progress)(check.total, check.total);
        Ok(check.checked)
    }
}

struct Check<'a> {
    report: &'a mut dyn FnMut(Fault),
    progress: Progress<'a>,
    /// Bytes read, and of how many.
    read: u64,
    total: u64,
    journal: PathBuf,
    identity: Identity,
    recorded: Tip,
    reader: Reader,
    bundles: Bundles,
    index: Option<(Index, PathBuf)>,
    /// How much of the ledger the index should know.
    applied: u64,
    heads: HashMap<Stream, (u64, Digest)>,
    bundle_ids: HashSet<DepositId>,
    /// Whether the recorded head was found in the journal.
    met: bool,
    /// Of the log so far.
    edge: Edge,
    /// What the index should hold, in the order of [`Index::counts`].
    indexed: [u64; 6],
    checked: Checked,
}

impl Check<'_> {
    fn at(&mut self, path: &Path, offset: u64, how: impl fmt::Display) {
        let what = path.display().to_string();
        let how = format!("at byte {offset}: {how}");
        (self.report)(Fault { is_of_object: false, what, how });
    }

    fn told(&mut self, bytes: u64) {
        self.read += bytes;
        (self.progress)(self.read.min(self.total), self.total);
    }

    /// Every segment from the first; each starts over from its own header, so that damage in one
    /// does not hide what is wrong in the next.
    fn segments(&mut self) {
        let mut tip = Tip::START;
        let last = match Series::Events.count(&self.journal) {
            Ok(count) => count,
            Err(error) => return (self.report)(fault_of(error)),
        };
        for number in 1..=last.max(self.recorded.segment) {
            let opened = Segment::open(&self.journal, Series::Events, number, &self.identity);
            let segment = match opened {
                Ok(segment) => segment,
                Err(error) => {
                    (self.report)(fault_of(error));
                    continue;
                }
            };
            if (segment.head.base, segment.head.chain) != (tip.size, tip.chain) {
                self.at(&segment.path, 32, "it does not continue the segment before it");
            }
            if number > 1 && segment.head.previous_bytes != tip.end {
                self.at(&segment.path, 72, "the segment before it had another length");
            }
            let (size, chain) = (segment.head.base, segment.head.chain);
            tip = Tip { size, chain, segment: number, end: SEGMENT_HEAD_BYTES, ..tip };
            tip = self.segment(&segment, tip, number == last);
        }
        if !self.met {
            let path = Series::Events.path(&self.journal, self.recorded.segment);
            let how = "the batch that was acknowledged last does not end here";
            self.at(&path, self.recorded.end, how);
        }
        if let Err(error) = Series::Blobs.count(&self.journal) {
            (self.report)(fault_of(error));
        }
    }

    fn segment(&mut self, segment: &Segment, mut tip: Tip, last: bool) -> Tip {
        let place = (&self.identity.clone(), tip.segment);
        let ledger = (tip.size, tip.chain);
        let mut batches = match Batches::from(&segment.file, place, tip.end, ledger) {
            Ok(batches) => batches,
            Err(error) => {
                self.at(&segment.path, tip.end, error);
                return tip;
            }
        };
        loop {
            self.met |= (tip.segment, tip.end, tip.size, tip.chain)
                == (
                    self.recorded.segment,
                    self.recorded.end,
                    self.recorded.size,
                    self.recorded.chain,
                );
            match batches.next() {
                Ok(Some(batch)) => {
                    self.told(batch.end - tip.end);
                    tip = after(&tip, &batch);
                    self.batch(&segment.path, batch, tip.segment);
                }
                Ok(None) => return tip,
                Err(BadBatch::Io(error)) => {
                    self.at(&segment.path, tip.end, error);
                    return tip;
                }
                Err(BadBatch::At { offset, how }) => {
                    let followed = tail_was_followed(&segment.file, place, tip.end, tip.size);
                    // An unfinished batch behind the head is what the next start cuts off.
                    if !(last && self.met && matches!(followed, Ok(false))) {
                        self.at(&segment.path, offset, how);
                    }
                    return tip;
                }
            }
        }
    }

    /// The log's hashes are those of the entries. Behind damage they cannot be known.
    fn log(&mut self, batch: &StoredBatch, indexed: bool) {
        let Some((first, _)) = batch.entries.first() else { return };
        if first.position != self.edge.size() {
            return;
        }
        let mut other = None;
        for (entry, _) in &batch.entries {
            self.edge.push(merkle::leaf_hash(&entry.leaf().0), |node, hash| {
                let Some((index, _)) = self.index.as_ref().filter(|_| indexed) else { return };
                self.indexed[5] += 1;
                if !matches!(index.node(node), Ok(found) if found == hash) {
                    other.get_or_insert(node);
                }
            });
        }
        if let (Some(node), Some((_, path))) = (other, &self.index) {
            let how = format!("node {} of level {} of the log", node.index, node.level);
            (self.report)(index_fault(path, &format!("{how} is another one in it")));
        }
    }

    fn batch(&mut self, path: &Path, batch: StoredBatch, segment: u32) {
        let indexed = batch.commit.size <= self.applied;
        self.log(&batch, indexed);
        for (entry, offset) in batch.entries {
            self.checked.entries += 1;
            let commitment = entry.commitment();
            let before = self.heads.insert(entry.stream.clone(), (entry.sequence, commitment));
            if entry.sequence != before.map_or(0, |(sequence, _)| sequence) + 1 {
                self.at(path, offset, "the entry's number does not follow in its stream");
            }
            if indexed && let Some((index, index_path)) = &self.index {
                let at = index.position(entry.position);
                let found = index.in_stream(&entry.stream, entry.sequence);
                self.indexed[1] += 1;
                self.indexed[2] += 1;
                let here = Location { segment, offset };
                if !matches!(at, Ok(Some(at)) if at == here)
                    || !matches!(found, Ok(Some(found)) if found == (entry.position, commitment))
                {
                    let how = format!("entry {} is not found in it", entry.position);
                    (self.report)(index_fault(index_path, &how));
                }
            }
        }
        match self.reader.blobs(&batch.commit) {
            Err(error) => (self.report)(Fault { is_of_object: true, ..fault_in_read(error) }),
            Ok(blobs) => {
                self.told(batch.commit.blob_end.saturating_sub(batch.commit.blob_start));
                for (name, at) in blobs {
                    self.checked.blobs += 1;
                    self.indexed[3] += u64::from(indexed);
                    if indexed
                        && let Some((index, index_path)) = &self.index
                        && !matches!(index.blob(&name), Ok(Some(found)) if found == at)
                    {
                        let how = format!("object {name} is not found in it");
                        (self.report)(index_fault(index_path, &how));
                    }
                }
            }
        }
        for bundle in batch.commit.bundles {
            self.checked.bundles += 1;
            self.indexed[4] += u64::from(indexed);
            let read = self.bundles.read(&bundle).and_then(|mut stored| {
                while let Some(piece) = stored.next()? {
                    self.told(piece.len() as u64);
                }
                Ok(())
            });
            if let Err(error) = read {
                let fault = fault_in_read(error);
                let what = format!("the bundle of {}, {},", bundle.id, fault.what);
                (self.report)(Fault { is_of_object: true, what, ..fault });
            }
            if indexed
                && let Some((index, index_path)) = &self.index
                && !matches!(index.bundle(bundle.id.as_str()), Ok(Some(found)) if found == bundle)
            {
                let how = format!("bundle {} is not found in it", bundle.id);
                (self.report)(index_fault(index_path, &how));
            }
            self.bundle_ids.insert(bundle.id);
        }
    }

    /// Bundles without a record are garbage, left by a crash before their event, that a rebuild
    /// removes.
    fn orphans(&mut self) {
        let known = |id: &DepositId| Ok(self.bundle_ids.contains(id));
        match self.bundles.orphans(&known) {
            Ok(orphans) => {
                for orphan in orphans {
                    tracing::info!(file = %orphan.display(), "a bundle that was never deposited");
                }
            }
            Err(error) => (self.report)(fault_in_read(error)),
        }
    }

    /// The index knows everything it should, and nothing else.
    fn index_is_complete(&mut self) {
        let Some((index, path)) = &self.index else { return };
        // Behind, it is brought level by the next start; where the journal is damaged, that is said.
        if self.applied != self.checked.entries {
            return;
        }
        self.indexed[0] = self.heads.len() as u64;
        for (stream, (sequence, commitment)) in &self.heads {
            let head = index.head(stream);
            if !matches!(head, Ok(head) if (head.sequence, head.commitment) == (*sequence, *commitment))
            {
                (self.report)(index_fault(path, &format!("the head of {stream} is another one")));
            }
        }
        match index.counts() {
            Ok(counts) if counts == self.indexed => (),
            Ok(_) => (self.report)(index_fault(path, "it holds more or less than the journal")),
            Err(error) => (self.report)(index_fault(path, &error.to_string())),
        }
    }
}

fn index_fault(path: &Path, how: &str) -> Fault {
    let how = format!("({how}); `escrowd rebuild` makes the index again");
    Fault { is_of_object: false, what: path.display().to_string(), how }
}

/// How much there is to read. What cannot be looked at is told where it is read.
fn total_bytes(directory: &Path, journal: &Path) -> u64 {
    let below = [(journal.to_owned(), "log"), (bundles_path(directory), "age")];
    let sizes = below.into_iter().flat_map(|(path, extension)| {
        let items = fs::read_dir(path).into_iter().flatten().flatten();
        let wanted = move |path: &PathBuf| path.extension().is_some_and(|it| it == extension);
        items.map(|item| item.path()).filter(wanted)
    });
    sizes.filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum()
}

fn fault_in_read(error: ReadError) -> Fault {
    match error {
        ReadError::Damaged { what, how } => other(what, format!("({how})")),
        index @ ReadError::Index { .. } => other("the index".to_owned(), format!("({index})")),
        ReadError::Io(error) => other("the store".to_owned(), format!("({error})")),
    }
}

fn fault_of(error: OpenError) -> Fault {
    match error {
        OpenError::Damaged { file, offset, how, .. } => {
            other(file.display().to_string(), format!("at byte {offset}: {how}"))
        }
        fault @ (OpenError::Locked { .. }
        | OpenError::Io { .. }
        | OpenError::OtherJournal { .. }
        | OpenError::BackupIsAhead { .. }
        | OpenError::RolledBack { .. }
        | OpenError::Index(_)) => other("the store".to_owned(), format!("({fault})")),
    }
}

fn other(what: String, how: String) -> Fault {
    Fault { is_of_object: false, what, how }
}
