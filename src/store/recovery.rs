//! Opens a journal: decides what of its end was committed, and refuses what is damaged.
//!
//! Reads the segments from the recorded head's on, at most one full segment plus what power loss
//! left behind the head, so start-up does not grow with the ledger. Of older segments it checks
//! presence, headers and lengths; their content is checked on every read and by
//! [`crate::store::check`]. Only bytes behind the last whole batch *and* behind the recorded head
//! are ever cut off, and nothing before it is certain that this is the journal the index has seen:
//! behind the end of an older one lie the objects of the newer.

use std::fs;
use std::io;
use std::path::Path;

use rand_core::{OsRng, RngCore as _};

use crate::domain::id::Bytes;
use crate::store::batches::{BadBatch, Batches, CHAIN_START, StoredBatch, tail_was_followed};
use crate::store::error::{OpenError, damaged, io_at};
use crate::store::frame::Identity;
use crate::store::head::{HeadFile, Tip};
use crate::store::journal::{HEAD_NAME, Journal};
use crate::store::segments::{
    SEGMENT_HEAD_BYTES, Segment, SegmentHead, Series, UNFINISHED, private_directory,
};

impl Journal {
    /// Opens the journal in this directory, or begins one where `may_begin` and there is none.
    /// `seen` tells how far the index has seen the journal of this identity.
    pub(crate) fn open(
        directory: &Path,
        segment_bytes_max: u64,
        may_begin: bool,
        seen: &dyn Fn(&Identity) -> Option<Tip>,
    ) -> Result<Self, OpenError> {
        if !directory.join(HEAD_NAME).exists() {
            if !may_begin || !never_used(directory)? {
                return Err(damaged(&directory.join(HEAD_NAME), 0, "the file is missing"));
            }
            begin(directory).map_err(io_at("begin a journal in", directory))?;
        }
        let (head, identity, recorded) = HeadFile::open(&directory.join(HEAD_NAME))?;
        check_old_segments(directory, &identity, &recorded)?;
        let (events, tip) = read_tail(directory, &identity, &recorded)?;
        if let Some(seen) = seen(&identity)
            && (seen.size, seen.chain) != (tip.size, tip.chain)
            && (seen.size > tip.size || !holds(directory, &identity, &seen))
        {
            let (journal, size, seen) = (directory.to_owned(), tip.size, seen.size);
            return Err(OpenError::RolledBack { journal, size, seen });
        }
        remove_unfinished(directory).map_err(io_at("clear", directory))?;
        cut_events(&events, &tip)?;
        let blobs = cut_blobs(directory, &identity, &tip)?;
        let failed = false;
        let directory = directory.to_owned();
        let mut journal =
            Self { directory, identity, tip, events, blobs, head, segment_bytes_max, failed };
        // What is kept was perhaps never synced; from here on it counts as committed.
        let settle = |journal: &mut Self| {
            journal.events.file.sync_all()?;
            journal.blobs.file.sync_all()?;
            journal.head.record(&journal.tip)?;
            journal.head.sync()
        };
        settle(&mut journal).map_err(io_at("sync", &journal.directory))?;
        Ok(journal)
    }
}

/// Whether this directory holds at most what an interrupted beginning leaves.
fn never_used(directory: &Path) -> Result<bool, OpenError> {
    if !directory.exists() {
        return Ok(true);
    }
    for series in [Series::Events, Series::Blobs] {
        for number in 1..=series.count(directory)? {
            let data = fs::metadata(series.path(directory, number));
            let bytes = data.map_err(io_at("read the length of", directory))?.len();
            if number > 1 || bytes > SEGMENT_HEAD_BYTES {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn begin(directory: &Path) -> io::Result<()> {
    private_directory(directory)?;
    let mut identity: Identity = Bytes([0; 16]);
    OsRng.fill_bytes(&mut identity.0);
    let head = SegmentHead { number: 1, identity, base: 0, chain: CHAIN_START, previous_bytes: 0 };
    Segment::create(directory, Series::Events, head.clone())?;
    Segment::create(directory, Series::Blobs, head)?;
    HeadFile::create(&directory.join(HEAD_NAME), identity, &Tip::START).map(drop)
}

fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for item in fs::read_dir(directory)? {
        let path = item?.path();
        if path.to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Every segment is there, says what it is, and says how long the one before it was.
fn check_old_segments(
    directory: &Path,
    identity: &Identity,
    recorded: &Tip,
) -> Result<(), OpenError> {
    for (series, needed) in
        [(Series::Events, recorded.segment), (Series::Blobs, recorded.blob_segment)]
    {
        let count = series.count(directory)?;
        if count < needed {
            return Err(damaged(&series.path(directory, count + 1), 0, "the file is missing"));
        }
        let mut before: Option<Segment> = None;
        for number in 1..=count {
            let segment = Segment::open(directory, series, number, identity)?;
            if let Some(before) = before {
                let (bytes, expected) = (before.bytes()?, segment.head.previous_bytes);
                if bytes != expected {
                    let how = format!("it has {bytes} bytes and had {expected}");
                    return Err(damaged(&before.path, bytes.min(expected), how));
                }
            }
            before = Some(segment);
        }
    }
    Ok(())
}

/// Reads from the recorded head's segment to the end of the journal.
fn read_tail(
    directory: &Path,
    identity: &Identity,
    recorded: &Tip,
) -> Result<(Segment, Tip), OpenError> {
    let last = Series::Events.count(directory)?;
    let mut segment = Segment::open(directory, Series::Events, recorded.segment, identity)?;
    let mut tip = Tip {
        size: segment.head.base,
        chain: segment.head.chain,
        end: SEGMENT_HEAD_BYTES,
        ..*recorded
    };
    let mut met = is_recorded(&segment, &tip, recorded)?;
    loop {
        let ledger = (tip.size, tip.chain);
        let mut batches =
            Batches::from(&segment.file, (identity, tip.segment), SEGMENT_HEAD_BYTES, ledger)
                .map_err(io_at("read", &segment.path))?;
        loop {
            match batches.next() {
                Ok(Some(batch)) => {
                    tip = after(&tip, &batch);
                    met |= is_recorded(&segment, &tip, recorded)?;
                }
                Ok(None) => break,
                Err(BadBatch::Io(error)) => return Err(io_at("read", &segment.path)(error)),
                Err(BadBatch::At { offset, how }) => {
                    let place = (identity, tip.segment);
                    let torn = met
                        && tip.segment == last
                        && !tail_was_followed(&segment.file, place, tip.end, tip.size)
                            .map_err(io_at("read", &segment.path))?;
                    if !torn {
                        return Err(damaged(&segment.path, offset, how));
                    }
                    break;
                }
            }
        }
        if tip.segment == last {
            break;
        }
        let next = Segment::open(directory, Series::Events, tip.segment + 1, identity)?;
        if next.head.base != tip.size || next.head.chain != tip.chain {
            return Err(damaged(&next.path, 32, "it does not continue the segment before it"));
        }
        tip = Tip { segment: tip.segment + 1, end: SEGMENT_HEAD_BYTES, ..tip };
        segment = next;
        met |= is_recorded(&segment, &tip, recorded)?;
    }
    if !met {
        let how = format!(
            "it ends after entry {}, but {} were acknowledged up to byte {} of segment {}",
            tip.size, recorded.size, recorded.end, recorded.segment
        );
        return Err(damaged(&segment.path, tip.end, how));
    }
    if tip.size == recorded.size {
        // A blob segment may have been begun since, for a batch that never was.
        (tip.blob_segment, tip.blob_end) = (recorded.blob_segment, recorded.blob_end);
    }
    Ok((segment, tip))
}

/// Where the journal stands behind a batch.
pub(crate) fn after(tip: &Tip, batch: &StoredBatch) -> Tip {
    Tip {
        size: batch.commit.size,
        chain: batch.commit.chain,
        segment: tip.segment,
        end: batch.end,
        blob_segment: batch.commit.blob_segment,
        blob_end: batch.commit.blob_end,
    }
}

/// Whether this is the place the recorded head names; at that place all must agree.
fn is_recorded(segment: &Segment, tip: &Tip, recorded: &Tip) -> Result<bool, OpenError> {
    if (tip.segment, tip.end) != (recorded.segment, recorded.end) {
        return Ok(false);
    }
    if (tip.size, tip.chain) != (recorded.size, recorded.chain) {
        return Err(damaged(&segment.path, tip.end, "the chain is not the one that was recorded"));
    }
    Ok(true)
}

/// Whether the journal in this directory holds what an index has seen. Where it is damaged there,
/// that is said elsewhere.
pub(crate) fn holds(directory: &Path, identity: &Identity, seen: &Tip) -> bool {
    let place = |tip: &Tip| (tip.segment, tip.end, tip.size, tip.chain);
    let Ok(segment) = Segment::open(directory, Series::Events, seen.segment, identity) else {
        return Series::Events.count(directory).map_or(true, |last| seen.segment <= last);
    };
    let (size, chain) = (segment.head.base, segment.head.chain);
    let mut tip = Tip { size, chain, end: SEGMENT_HEAD_BYTES, ..*seen };
    let batches = Batches::from(&segment.file, (identity, tip.segment), tip.end, (size, chain));
    let Ok(mut batches) = batches else { return true };
    while place(&tip) != place(seen) {
        match batches.next() {
            Ok(Some(batch)) => tip = after(&tip, &batch),
            Ok(None) => return false,
            Err(BadBatch::Io(_) | BadBatch::At { .. }) => return true,
        }
    }
    true
}

/// Cuts off an unfinished batch.
fn cut_events(segment: &Segment, tip: &Tip) -> Result<(), OpenError> {
    if segment.bytes()? > tip.end {
        tracing::warn!(
            file = %segment.path.display(),
            offset = tip.end,
            "cut off an unfinished batch that was never acknowledged"
        );
        segment.file.set_len(tip.end).map_err(io_at("truncate", &segment.path))?;
    }
    Ok(())
}

/// Cuts off blobs whose batch was not committed.
fn cut_blobs(directory: &Path, identity: &Identity, tip: &Tip) -> Result<Segment, OpenError> {
    let count = Series::Blobs.count(directory)?;
    // A segment begun for a batch that never was holds orphans at most.
    for number in (tip.blob_segment + 1..=count).rev() {
        let path = Series::Blobs.path(directory, number);
        fs::remove_file(&path).map_err(io_at("remove", &path))?;
    }
    let segment = Segment::open(directory, Series::Blobs, tip.blob_segment, identity)?;
    let bytes = segment.bytes()?;
    if bytes < tip.blob_end {
        let how = format!("it ends here, but objects up to byte {} are committed", tip.blob_end);
        return Err(damaged(&segment.path, bytes, how));
    }
    segment.file.set_len(tip.blob_end).map_err(io_at("truncate", &segment.path))?;
    Ok(segment)
}
