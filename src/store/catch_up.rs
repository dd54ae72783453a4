//! Brings the index level with the journal, or makes it again.
//!
//! The same [`Index::apply`] runs here as after a commit, with records from the [`Projector`].
//! An index that will not open, belongs to another journal or contradicts itself is set aside,
//! never deleted and never believed; nothing is lost by that but time. What the operating system
//! refuses is no fault of the index. And an index that has seen more than the journal holds, or
//! something else, is evidence, and the journal does not open: see [`Found::seen`].

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ledger::Entry;
use crate::store::batches::{BadBatch, Batches};
use crate::store::disk::Options;
use crate::store::error::{OpenError, damaged, io_at};
use crate::store::frame::Identity;
use crate::store::head::Tip;
use crate::store::index::{Index, NotOpened};
use crate::store::journal::{Committed, Journal, Location};
use crate::store::recovery::after;
use crate::store::segments::{SEGMENT_HEAD_BYTES, Segment, Series, private_directory};
use crate::store::{Projector, ReadError, Records};

/// Name of the index's directory.
pub(crate) const INDEX_NAME: &str = "sled";

/// Most damaged indexes kept beside the one in use.
const SET_ASIDE_MAX: u32 = 9999;

/// Told how many entries are applied, and of how many.
pub type Progress<'a> = &'a dyn Fn(u64, u64);

/// The index as it was found.
pub(crate) enum Found {
    /// There is none.
    Nothing,
    /// It opens.
    Index(Box<Index>),
    /// It is there and cannot be used.
    Unusable(String),
}

impl Found {
    /// How far it has seen the journal of this identity.
    pub(crate) fn seen(&self, identity: &Identity) -> Option<Tip> {
        let Self::Index(index) = self else { return None };
        let (of, tip) = index.seen().ok()??;
        (of == *identity).then_some(tip)
    }
}

/// Opens the index if there is one. What the operating system refuses is no fault of the index.
pub(crate) fn find_index(directory: &Path, options: &Options<'_>) -> Result<Found, OpenError> {
    let path = directory.join(INDEX_NAME);
    if !path.exists() {
        return Ok(Found::Nothing);
    }
    if let Some(probe) = options.probe
        && !probe(&path).map_err(io_at("probe", &path))?
    {
        return Ok(Found::Unusable("it does not open".to_owned()));
    }
    match open_at(&path, options) {
        Ok(index) => Ok(Found::Index(Box::new(index))),
        Err(Unusable::Because(why)) => Ok(Found::Unusable(why)),
        Err(Unusable::Io(error)) => Err(io_at("open", &path)(error)),
        Err(Unusable::Open(error)) => Err(error),
    }
}

/// Brings the index that was found level with the journal, or makes another.
pub(crate) fn open_index(
    found: Found,
    directory: &Path,
    journal: &Journal,
    projector: &dyn Projector,
    options: &Options<'_>,
) -> Result<Index, OpenError> {
    let path = directory.join(INDEX_NAME);
    let progress = options.progress.unwrap_or(&|_, _| ());
    let other = |error: Unusable| match error {
        Unusable::Open(error) => error,
        Unusable::Io(error) => io_at("read or write", &path)(error),
        Unusable::Because(how) => OpenError::Index(index_fault(how)),
    };
    let unusable = match found {
        Found::Nothing => None,
        Found::Unusable(why) => Some(why),
        Found::Index(index) => match level(&index, journal, projector, true, progress) {
            Ok(()) => return Ok(*index),
            Err(Unusable::Because(why)) => Some(why),
            Err(error) => return Err(other(error)),
        },
    };
    if let Some(why) = unusable {
        let aside = set_aside(directory)?;
        tracing::warn!(
            index = %path.display(),
            set_aside = %aside.display(),
            why,
            "the index is unusable and is made again from the journal; nothing is lost"
        );
    }
    private_directory(&path).map_err(io_at("make", &path))?;
    let made = || -> Result<Index, Unusable> {
        let index = open_at(&path, options)?;
        level(&index, journal, projector, false, progress)?;
        Ok(index)
    };
    made().map_err(other)
}

fn open_at(path: &Path, options: &Options<'_>) -> Result<Index, Unusable> {
    Index::open(path, options.cache_bytes).map_err(|error| match error {
        NotOpened::Locked => Unusable::Open(OpenError::Locked { path: path.to_owned() }),
        NotOpened::Io(error) => Unusable::Io(error),
        NotOpened::Because(why) => Unusable::Because(why),
    })
}

/// Moves the index away, under a name nothing has yet.
pub(crate) fn set_aside(directory: &Path) -> Result<PathBuf, OpenError> {
    let path = directory.join(INDEX_NAME);
    let free = (1..=SET_ASIDE_MAX)
        .map(|number| directory.join(format!("{INDEX_NAME}.damaged-{number}")))
        .find(|path| !path.exists());
    let aside = free.unwrap_or_else(|| directory.join(format!("{INDEX_NAME}.damaged")));
    fs::rename(&path, &aside).map_err(io_at("set aside", &path))?;
    Ok(aside)
}

/// Why an index is not used.
enum Unusable {
    /// It contradicts the journal or cannot be read: made again.
    Because(String),
    /// The operating system refused to read or write it.
    Io(io::Error),
    /// Something else is wrong that making it again would not mend.
    Open(OpenError),
}

impl From<ReadError> for Unusable {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Io(error),
            ReadError::Index { .. } | ReadError::Damaged { .. } => Self::Because(error.to_string()),
        }
    }
}

fn level(
    index: &Index,
    journal: &Journal,
    projector: &dyn Projector,
    existed: bool,
    progress: Progress<'_>,
) -> Result<(), Unusable> {
    let because = |why: &str| Err(Unusable::Because(why.to_owned()));
    let start = Tip::START;
    let applied = match index.applied()? {
        Some((identity, _)) if identity != journal.identity => {
            return because("it belongs to another journal");
        }
        Some((_, applied)) => applied,
        None if existed && journal.tip.size > 0 => {
            return because("it is empty, or of another layout");
        }
        None => {
            if journal.tip.size > 0 {
                let entries = journal.tip.size;
                tracing::warn!(entries, "there is no index; it is made from the journal");
            }
            index.begin(&journal.identity, &start)?;
            start
        }
    };
    let target = journal.tip;
    let mut tip = applied;
    while tip.size < target.size {
        if tip.segment > target.segment {
            return because("it names a segment the journal does not have");
        }
        tip = catch_up_segment(index, journal, projector, tip, progress)?;
    }
    if tip.chain != target.chain {
        return because("its chain is not the journal's");
    }
    agrees_at_the_end(index, journal)?;
    Ok(())
}

fn index_fault(how: String) -> ReadError {
    ReadError::Index { what: "content".to_owned(), how }
}

/// Applies what one segment holds behind `tip`.
fn catch_up_segment(
    index: &Index,
    journal: &Journal,
    projector: &dyn Projector,
    mut tip: Tip,
    progress: Progress<'_>,
) -> Result<Tip, Unusable> {
    let identity = &journal.identity;
    let segment = Segment::open(&journal.directory, Series::Events, tip.segment, identity)
        .map_err(Unusable::Open)?;
    let read_failed = |error| Unusable::Open(io_at("read", &segment.path)(error));
    let place = (identity, tip.segment);
    let mut batches =
        Batches::from(&segment.file, place, tip.end, (tip.size, tip.chain)).map_err(read_failed)?;
    loop {
        let batch = match batches.next() {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(BadBatch::Io(error)) => return Err(read_failed(error)),
            Err(BadBatch::At { offset, how }) => {
                return Err(Unusable::Open(damaged(&segment.path, offset, how)));
            }
        };
        tip = after(&tip, &batch);
        let blobs = journal.reader().blobs(&batch.commit).map_err(blob_damage)?;
        let records = project(index, projector, batch.entries.iter().map(|(entry, _)| entry))
            .map_err(unprojected)?;
        let located = |(entry, offset)| (entry, Location { segment: tip.segment, offset });
        let committed = Committed {
            entries: batch.entries.into_iter().map(located).collect(),
            blobs,
            bundles: batch.commit.bundles,
            tip,
        };
        index.apply(identity, &committed, records)?;
        index.settle_if_due()?;
        progress(tip.size, journal.tip.size);
    }
    if tip.size < journal.tip.size {
        tip = Tip { segment: tip.segment + 1, end: SEGMENT_HEAD_BYTES, ..tip };
    }
    Ok(tip)
}

fn blob_damage(error: ReadError) -> Unusable {
    Unusable::Open(OpenError::Index(error))
}

/// An entry that has no records is a fault of what was journalled, unless the index is to blame.
fn unprojected(error: ReadError) -> Unusable {
    match error {
        ReadError::Io(_) | ReadError::Index { .. } => error.into(),
        ReadError::Damaged { .. } => Unusable::Open(OpenError::Index(error)),
    }
}

/// The records a batch changes; each entry sees what those before it changed.
pub(crate) fn project<'a>(
    index: &Index,
    projector: &dyn Projector,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<Records, ReadError> {
    let mut changed: HashMap<String, Option<Vec<u8>>> = HashMap::new();
    for entry in entries {
        let changes = projector.project(entry, &|name| match changed.get(name) {
            Some(value) => Ok(value.clone()),
            None => index.record(name),
        })?;
        changed.extend(changes);
    }
    Ok(changed.into_iter().collect())
}

/// Whether the last entries are found where they are: bounded, and where a loss that sled did not
/// notice is likeliest. Only entries of the segment in use, which was just read and found sound:
/// so what disagrees is the index.
fn agrees_at_the_end(index: &Index, journal: &Journal) -> Result<(), Unusable> {
    const CHECKED_MAX: u64 = 256;
    let size = journal.tip.size;
    let first = size.saturating_sub(CHECKED_MAX).max(journal.events.head.base);
    for position in first..size {
        let lost = || Unusable::Because(format!("entry {position} is not found in it"));
        let at = index.position(position)?.ok_or_else(lost)?;
        let entry = journal.reader().entry(at, position)?;
        let found = index.in_stream(&entry.stream, entry.sequence)?.ok_or_else(lost)?;
        let head = index.head(&entry.stream)?;
        let last = head.sequence == entry.sequence;
        if found != (position, entry.commitment())
            || head.sequence < entry.sequence
            || (last && head.commitment != entry.commitment())
        {
            return Err(Unusable::Because(format!("entry {position} is another one in it")));
        }
    }
    Ok(())
}
