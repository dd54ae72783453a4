//! The journal: the only truth. A batch is committed when its event frames are synced.
//!
//! Order within a commit: blobs written and synced, then all event frames of the batch in one
//! write and a sync, then the recorded head. A crash before the second sync leaves bytes behind
//! the recorded head that start-up drops, or, where they are whole, keeps: nobody was told either
//! way. After a failed sync nothing is known about the file, so the journal refuses every further
//! commit and the process is meant to end. Where there was no room, what was written is taken back
//! and nothing has happened.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::domain::id::Digest;
use crate::ledger::Entry;
use crate::store::batches::{Batches, extend_chain, next_commit, read_frame};
use crate::store::error::OpenError;
use crate::store::frame::{
    BundleRecord, Commit, FrameCrc, Identity, Kind, decode_blob, encode_blob, push,
};
use crate::store::head::{HeadFile, Tip};
use crate::store::segments::{NewSegment, SEGMENT_HEAD_BYTES, Segment, SegmentHead, Series};
use crate::store::space::is_full;
use crate::store::{Blob, CommitError, ReadError};

/// Name of the recorded head within the journal's directory.
pub(crate) const HEAD_NAME: &str = "head";

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    /// Number of the segment.
    pub(crate) segment: u32,
    /// Offset of the frame in it.
    pub(crate) offset: u64,
}

/// A batch that has become part of the journal.
#[derive(Debug)]
pub(crate) struct Committed {
    /// Its entries with their commitments and places.
    pub(crate) entries: Vec<(Entry, Location)>,
    /// Its blobs' names and places.
    pub(crate) blobs: Vec<(String, Location)>,
    /// Its large bundles.
    pub(crate) bundles: Vec<BundleRecord>,
    /// Where the journal ends behind it.
    pub(crate) tip: Tip,
}

/// The journal, open for appending. One thread appends; any number read through [`Reader`].
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) directory: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) tip: Tip,
    pub(crate) events: Segment,
    pub(crate) blobs: Segment,
    pub(crate) head: HeadFile,
    pub(crate) segment_bytes_max: u64,
    pub(crate) failed: bool,
}

impl Journal {
    /// Appends a batch that the caller has checked; durable when this returns.
    pub(crate) fn append(
        &mut self,
        entries: Vec<Entry>,
        blobs: &[Blob],
        bundles: Vec<BundleRecord>,
    ) -> Result<Committed, CommitError> {
        if self.failed {
            return Err(CommitError::Unknown(io::Error::other("an earlier write failed")));
        }
        // Until the last line succeeds, every way out but a clean refusal poisons the journal.
        self.failed = true;
        // Both series roll before the frames are made: their checksums depend on the segment.
        let estimate: usize = blobs.iter().map(|blob| blob.bytes.len() + 512).sum();
        if estimate > 0 && self.is_full(self.tip.blob_end, estimate) {
            self.roll(Series::Blobs)?;
        }
        let (blob_frames, blob_offsets) = self.blob_frames(blobs, estimate);
        let blob_start = self.tip.blob_end;
        if !blob_frames.is_empty() {
            self.write(Series::Blobs, &blob_frames, blob_start)?;
        }
        let blob_end = blob_start + blob_frames.len() as u64;
        let blob_segment = self.tip.blob_segment;
        let blob_places = blob_offsets.into_iter().map(|(name, offset)| {
            (name, Location { segment: blob_segment, offset: blob_start + offset })
        });
        let blob_places = blob_places.collect();

        let estimate: usize = entries.iter().map(|entry| entry.payload.len() + 512).sum();
        if self.is_full(self.tip.end, estimate) {
            self.roll(Series::Events)?;
        }
        let blob_range = (blob_start, blob_end);
        let frames = Vec::with_capacity(estimate);
        let (frames, offsets, commit) = self.event_frames(frames, &entries, blob_range, bundles);
        let start = self.tip.end;
        self.write(Series::Events, &frames, start)?;

        let segment = self.tip.segment;
        let places = offsets.into_iter().map(|offset| Location { segment, offset: start + offset });
        let places: Vec<_> = entries.into_iter().zip(places).collect();
        self.tip = Tip {
            size: commit.size,
            chain: commit.chain,
            end: start + frames.len() as u64,
            blob_end,
            ..self.tip
        };
        self.head.record(&self.tip).map_err(CommitError::Unknown)?;
        self.failed = false;
        let (blobs, bundles) = (blob_places, commit.bundles);
        Ok(Committed { entries: places, blobs, bundles, tip: self.tip })
    }

    /// Makes the recorded head durable; for a clean end.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.head.sync()
    }

    /// Reads frames without the lock that appending needs.
    pub(crate) fn reader(&self) -> Reader {
        Reader::new(&self.directory, self.identity)
    }

    fn blob_frames(&self, blobs: &[Blob], bytes: usize) -> (Vec<u8>, Vec<(String, u64)>) {
        let crc = FrameCrc::new(&self.identity, self.tip.blob_segment);
        let (mut frames, mut offsets) = (Vec::with_capacity(bytes), Vec::new());
        for blob in blobs {
            offsets.push((blob.name.clone(), frames.len() as u64));
            push(&mut frames, &crc, Kind::Blob, self.tip.size, &encode_blob(blob));
        }
        (frames, offsets)
    }

    /// Whether a segment that ends here is full for so many more bytes; an empty one never is.
    fn is_full(&self, end: u64, bytes: usize) -> bool {
        end > SEGMENT_HEAD_BYTES && end + bytes as u64 > self.segment_bytes_max
    }

    fn event_frames(
        &self,
        mut frames: Vec<u8>,
        entries: &[Entry],
        (blob_start, blob_end): (u64, u64),
        bundles: Vec<BundleRecord>,
    ) -> (Vec<u8>, Vec<u64>, Commit) {
        let crc = FrameCrc::new(&self.identity, self.tip.segment);
        let mut offsets = Vec::with_capacity(entries.len());
        let mut chain: Digest = self.tip.chain;
        for entry in entries {
            let encoded = entry.encode();
            chain = extend_chain(&chain, &encoded);
            offsets.push(frames.len() as u64);
            push(&mut frames, &crc, Kind::Entry, entry.position, &encoded);
        }
        let commit = Commit {
            size: self.tip.size + entries.len() as u64,
            count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            chain,
            blob_segment: self.tip.blob_segment,
            blob_start,
            blob_end,
            bundles,
        };
        push(&mut frames, &crc, Kind::Commit, commit.size, &commit.encode());
        (frames, offsets, commit)
    }

    /// Writes and syncs. Where there is no space the half-written bytes are taken back, and
    /// nothing has happened.
    fn write(&mut self, series: Series, bytes: &[u8], at: u64) -> Result<(), CommitError> {
        let file = match series {
            Series::Events => &self.events.file,
            Series::Blobs => &self.blobs.file,
        };
        if let Err(error) = file.write_all_at(bytes, at) {
            let taken_back = is_full(&error) && file.set_len(at).is_ok();
            return Err(self.refused_if(taken_back, error));
        }
        file.sync_data().map_err(CommitError::Unknown)
    }

    /// A refusal where nothing has happened; otherwise the journal stays poisoned.
    fn refused_if(&mut self, nothing_happened: bool, error: io::Error) -> CommitError {
        self.failed = !nothing_happened;
        match nothing_happened {
            true => CommitError::Refused(error),
            false => CommitError::Unknown(error),
        }
    }

    fn roll(&mut self, series: Series) -> Result<(), CommitError> {
        let (number, previous_bytes) = match series {
            Series::Events => (self.tip.segment + 1, self.tip.end),
            Series::Blobs => (self.tip.blob_segment + 1, self.tip.blob_end),
        };
        let (base, chain, identity) = (self.tip.size, self.tip.chain, self.identity);
        let head = SegmentHead { number, identity, base, chain, previous_bytes };
        let segment = NewSegment::write(&self.directory, series, head)
            .map_err(|error| self.refused_if(is_full(&error), error))?;
        // An orphan behind the end would make the new header's length a lie.
        let current = match series {
            Series::Events => &self.events.file,
            Series::Blobs => &self.blobs.file,
        };
        current
            .set_len(previous_bytes)
            .and_then(|()| current.sync_all())
            .map_err(CommitError::Unknown)?;
        let segment = segment.finish().map_err(CommitError::Unknown)?;
        match series {
            Series::Events => {
                self.events = segment;
                (self.tip.segment, self.tip.end) = (number, SEGMENT_HEAD_BYTES);
            }
            Series::Blobs => {
                self.blobs = segment;
                (self.tip.blob_segment, self.tip.blob_end) = (number, SEGMENT_HEAD_BYTES);
            }
        }
        self.head.record(&self.tip).and_then(|()| self.head.sync()).map_err(CommitError::Unknown)
    }
}

/// Reads single frames of a journal, checked.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    directory: PathBuf,
    identity: Identity,
}

impl Reader {
    /// For the journal in this directory.
    pub(crate) fn new(directory: &Path, identity: Identity) -> Self {
        Self { directory: directory.to_owned(), identity }
    }

    /// The entry at this place, which must have this position.
    pub(crate) fn entry(&self, at: Location, position: u64) -> Result<Entry, ReadError> {
        self.entry_of(&mut Opened::default(), at, position)
    }

    /// The same, where one entry after the other is read.
    pub(crate) fn entry_of(
        &self,
        opened: &mut Opened,
        at: Location,
        position: u64,
    ) -> Result<Entry, ReadError> {
        let path = Series::Events.path(&self.directory, at.segment);
        let payload = self.payload(opened, &path, Kind::Entry, at)?;
        Entry::decode(&payload)
            .ok()
            .filter(|entry| entry.position == position)
            .ok_or_else(|| unreadable(&path, at.offset, "not the entry that belongs here"))
    }

    /// A whole segment, with its header checked.
    pub(crate) fn segment(&self, series: Series, number: u32) -> Result<Segment, OpenError> {
        Segment::open(&self.directory, series, number, &self.identity)
    }

    /// A segment's file, whatever its header says.
    pub(crate) fn file(&self, series: Series, number: u32) -> io::Result<(PathBuf, File)> {
        let path = series.path(&self.directory, number);
        File::open(&path).map(|file| (path, file))
    }

    /// The batches of a segment of events from here on.
    pub(crate) fn batches(&self, file: &File, from: &Tip) -> io::Result<Batches> {
        let ledger = (from.size, from.chain);
        Batches::from(file, (&self.identity, from.segment), from.end, ledger)
    }

    /// The first end of a batch from here on, whatever lies before it.
    pub(crate) fn next_commit(&self, file: &File, from: &Tip) -> io::Result<Option<(Commit, u64)>> {
        next_commit(file, (&self.identity, from.segment), from.end)
    }

    /// The small object at this place, which must have this name.
    pub(crate) fn blob(&self, at: Location, name: &str) -> Result<Vec<u8>, ReadError> {
        let path = Series::Blobs.path(&self.directory, at.segment);
        let payload = self.payload(&mut Opened::default(), &path, Kind::Blob, at)?;
        decode_blob(&payload)
            .filter(|blob| blob.name == name)
            .map(|blob| blob.bytes)
            .ok_or_else(|| unreadable(&path, at.offset, "not the object that belongs here"))
    }

    /// Names and places of the blobs of one batch.
    pub(crate) fn blobs(&self, commit: &Commit) -> Result<Vec<(String, Location)>, ReadError> {
        let path = Series::Blobs.path(&self.directory, commit.blob_segment);
        let (mut offset, mut found) = (commit.blob_start, Vec::new());
        let mut opened = Opened::default();
        while offset < commit.blob_end {
            let at = Location { segment: commit.blob_segment, offset };
            let payload = self.payload(&mut opened, &path, Kind::Blob, at)?;
            let blob = decode_blob(&payload)
                .ok_or_else(|| unreadable(&path, offset, "not a small object"))?;
            found.push((blob.name, at));
            offset += (crate::store::frame::FRAME_HEAD_BYTES + payload.len()) as u64;
        }
        if offset == commit.blob_end {
            Ok(found)
        } else {
            Err(unreadable(&path, offset, "the objects end elsewhere than their batch says"))
        }
    }

    fn payload(
        &self,
        opened: &mut Opened,
        path: &Path,
        kind: Kind,
        at: Location,
    ) -> Result<Vec<u8>, ReadError> {
        let crc = FrameCrc::new(&self.identity, at.segment);
        let read = opened.open(path).map_err(Some);
        let read = read.and_then(|file| read_frame(file, &crc, kind, at.offset));
        read.map(|(_, payload)| payload).map_err(|error| match error {
            None => unreadable(path, at.offset, "the frame does not match its checksum"),
            Some(error) => not_a_file(&error).map_or_else(
                || io::Error::new(error.kind(), format!("{}: {error}", path.display())).into(),
                |how| unreadable(path, at.offset, how),
            ),
        })
    }
}

/// The segment that was read from last, open as long as the reading goes on.
#[derive(Debug, Default)]
pub(crate) struct Opened(Option<(PathBuf, File)>);

impl Opened {
    fn open(&mut self, path: &Path) -> io::Result<&File> {
        let (_, file) = match self.0.take() {
            Some(held) if held.0 == path => self.0.insert(held),
            Some(_) | None => self.0.insert((path.to_owned(), File::open(path)?)),
        };
        Ok(file)
    }
}

/// Where a file is missing, or something else is in its place.
fn not_a_file(error: &io::Error) -> Option<&'static str> {
    let is = |kind| error.kind() == kind;
    let missing = is(io::ErrorKind::NotFound).then_some("the file is missing");
    missing.or(is(io::ErrorKind::IsADirectory).then_some("it is a directory"))
}

/// A frame that is not what was written there.
pub(crate) fn unreadable(path: &Path, offset: u64, how: &str) -> ReadError {
    ReadError::Damaged { what: path.display().to_string(), how: format!("at byte {offset}, {how}") }
}
