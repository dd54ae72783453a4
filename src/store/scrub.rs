//! Reads everything stored, piece by piece, while the store is in use.
//!
//! It follows the journal and not the index: batch by batch its events, then the small objects that the
//! batch brought, then its large bundles; each is checked as every reader checks it, and no lock is held
//! meanwhile. So what no batch names, as bundles that a recovery could not bring back, is nobody's
//! damage here. A [`Place`] is all that is remembered, so that a pass can go on in another process. It
//! ends where the journal ended when it began: what came later is for the next one.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::id::DepositId;
use crate::store::batches::{BadBatch, Batches};
use crate::store::disk::DiskStore;
use crate::store::error::OpenError;
use crate::store::frame::{BundleRecord, Commit};
use crate::store::head::Tip;
use crate::store::journal::{Reader, unreadable};
use crate::store::recovery::after;
use crate::store::segments::{SEGMENT_HEAD_BYTES, Series};
use crate::store::{Bundle as _, ReadError, Store as _, StoredBundle};

/// How far a pass has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The segment of the journal's events.
    segment: u32,
    /// Where in it the batch begins.
    batch: u64,
    /// How many parts of the batch are read: its events are the first, all its small objects the
    /// second, and then each large bundle is one.
    parts: usize,
    /// Bytes read of the bundle that is the next part.
    within: u64,
    /// How many events there were when the pass began; not known before it has.
    until: Option<u64>,
}

impl Place {
    /// Where everything begins.
    pub const START: Self =
        Self { segment: 1, batch: SEGMENT_HEAD_BYTES, parts: 0, within: 0, until: None };

    /// Where this batch begins.
    fn batch(&mut self, segment: u32, batch: u64) {
        *self = Self { segment, batch, parts: 0, within: 0, until: self.until };
    }
}

/// A pass on its way.
#[derive(Debug)]
pub struct Pass {
    place: Place,
    segment: Option<OpenSegment>,
    batch: Option<OpenBatch>,
}

#[derive(Debug)]
struct OpenSegment {
    path: PathBuf,
    file: File,
    /// Behind what was read of it.
    tip: Tip,
    /// What follows, or where and why that is not known.
    batches: Result<Batches, (u64, String)>,
}

/// A batch whose events are read.
#[derive(Debug)]
struct OpenBatch {
    commit: Commit,
    /// Where in the segment it ends.
    end: u64,
    /// The bundle in hand.
    bundle: Option<StoredBundle>,
}

/// What was read at once.
#[derive(Debug)]
pub struct Piece {
    /// How much it was: nothing, where one thing ended and another begins.
    pub bytes: u64,
    /// What is wrong with it.
    pub harm: Option<Harm>,
}

/// Something that cannot be read as it was written. What is behind it is read all the same.
#[derive(Debug)]
pub struct Harm {
    /// What it is.
    pub of: Harmed,
    /// In what way: damaged, or refused by the operating system.
    pub how: ReadError,
}

/// What is harmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Harmed {
    /// The journal's events.
    Journal,
    /// Small objects that came with the events at these positions: small bundles may be among them.
    Objects(Range<u64>),
    /// A large bundle.
    Bundle(DepositId),
}

impl Pass {
    /// Goes on from this place.
    pub fn from(place: Place) -> Self {
        Self { place, segment: None, batch: None }
    }

    /// How far it has come.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Leaves the segment it is in.
    fn next_segment(&mut self) {
        self.place.batch(self.place.segment + 1, SEGMENT_HEAD_BYTES);
        (self.segment, self.batch) = (None, None);
    }
}

impl OpenSegment {
    /// Opens one. Where its header is damaged, its batches are looked for behind it.
    fn open(reader: &Reader, number: u32) -> Result<Self, ReadError> {
        let begin = Tip { segment: number, ..Tip::START };
        let (path, file, tip, damage) = match reader.segment(Series::Events, number) {
            Ok(segment) => {
                let (size, chain) = (segment.head.base, segment.head.chain);
                (segment.path, segment.file, Tip { size, chain, ..begin }, None)
            }
            Err(OpenError::Damaged { file, offset, how }) => {
                let opened = reader.file(Series::Events, number);
                let (path, file) = opened.map_err(|_| unreadable(&file, offset, &how))?;
                (path, file, begin, Some((offset, how)))
            }
            Err(other) => return Err(unopened(other)),
        };
        let batches = match damage {
            None => Ok(reader.batches(&file, &tip)?),
            Some(damage) => Err(damage),
        };
        Ok(Self { path, file, tip, batches })
    }

    /// The next batch's end, `None` behind the last one; and, where what lies before that end is
    /// damaged, in what way. Nothing behind `until` is looked for.
    fn next(
        &mut self,
        reader: &Reader,
        until: u64,
    ) -> Result<Option<(Commit, Option<ReadError>)>, ReadError> {
        let (offset, how) = match &mut self.batches {
            Ok(batches) => match batches.next() {
                Ok(None) => return Ok(None),
                Ok(Some(batch)) => {
                    self.tip = after(&self.tip, &batch);
                    return Ok(Some((batch.commit, None)));
                }
                Err(BadBatch::At { offset, how }) => (offset, how.to_owned()),
                Err(BadBatch::Io(error)) => return Err(error.into()),
            },
            Err(damage) => damage.clone(),
        };
        let how = unreadable(&self.path, offset, &how);
        let next = reader.next_commit(&self.file, &self.tip)?;
        let next = next.filter(|(commit, _)| commit.size > self.tip.size && commit.size <= until);
        let Some((commit, end)) = next else { return Err(how) };
        self.tip = Tip { size: commit.size, chain: commit.chain, end, ..self.tip };
        self.batches = Ok(reader.batches(&self.file, &self.tip)?);
        Ok(Some((commit, Some(how))))
    }

    /// Whether the next segment was begun where this one ends. What is wrong with that one is told where
    /// it is read.
    fn is_continued(&self, reader: &Reader) -> Result<(), ReadError> {
        let Ok(next) = reader.segment(Series::Events, self.tip.segment + 1) else { return Ok(()) };
        let (head, tip) = (next.head, &self.tip);
        match (head.base, head.chain, head.previous_bytes) == (tip.size, tip.chain, tip.end) {
            true => Ok(()),
            false => Err(unreadable(&self.path, tip.end, "it ends elsewhere than it did")),
        }
    }
}

impl Piece {
    fn whole(bytes: u64) -> Self {
        Self { bytes, harm: None }
    }

    fn harmed(of: Harmed, how: ReadError) -> Self {
        Self { bytes: 0, harm: Some(Harm { of, how }) }
    }
}

impl DiskStore {
    /// Reads the next piece; `None` once all is read. After an error the pass goes on from the same
    /// place when it is asked again.
    pub(crate) fn read_on_in(&self, pass: &mut Pass) -> Result<Option<Piece>, ReadError> {
        match pass.batch.take() {
            Some(batch) => Ok(Some(self.next_part(pass, batch))),
            None => self.next_batch(pass),
        }
    }

    fn next_batch(&self, pass: &mut Pass) -> Result<Option<Piece>, ReadError> {
        let (end, reader) = (self.tip()?, self.reader());
        // A vault may have been set back since.
        let until = (*pass.place.until.get_or_insert(self.ledger_size())).min(end.size);
        let number = pass.place.segment;
        if number > end.segment {
            return Ok(None);
        }
        let opened = match pass.segment.take() {
            Some(segment) => Ok(segment),
            None => OpenSegment::open(reader, number),
        };
        let mut segment = match opened {
            Ok(segment) => segment,
            Err(how) => {
                pass.next_segment();
                return Ok(Some(Piece::harmed(Harmed::Journal, how)));
            }
        };
        if segment.tip.size >= until {
            return Ok(None);
        }
        let begin = segment.tip.end;
        let how = match segment.next(reader, until) {
            Ok(Some((commit, how))) => {
                let end = segment.tip.end;
                pass.segment = Some(segment);
                // Up to its place a pass that goes on reads for the chain only.
                if begin < pass.place.batch {
                    return Ok(Some(Piece::whole(0)));
                }
                pass.batch = Some(OpenBatch { commit, end, bundle: None });
                if begin == pass.place.batch && pass.place.parts > 0 {
                    return Ok(Some(Piece::whole(0)));
                }
                pass.place.batch(number, begin);
                pass.place.parts = 1;
                let harm = how.map(|how| Harm { of: Harmed::Journal, how });
                return Ok(Some(Piece { bytes: end - begin, harm }));
            }
            Ok(None) if number == end.segment => {
                Err(unreadable(&segment.path, begin, "what was acknowledged is missing"))
            }
            Ok(None) => segment.is_continued(reader),
            Err(how) => Err(how),
        };
        pass.next_segment();
        Ok(Some(match how {
            Ok(()) => Piece::whole(0),
            Err(how) => Piece::harmed(Harmed::Journal, how),
        }))
    }

    fn next_part(&self, pass: &mut Pass, mut batch: OpenBatch) -> Piece {
        // The events, and then the small objects, come before the bundles.
        let piece = match pass.place.parts.checked_sub(2) {
            None => {
                pass.place.parts = 2;
                self.objects(&batch.commit)
            }
            Some(number) => match batch.commit.bundles.get(number) {
                Some(record) => self.in_bundle(&mut pass.place, record, &mut batch.bundle),
                None => {
                    pass.place.batch(pass.place.segment, batch.end);
                    return Piece::whole(0);
                }
            },
        };
        pass.batch = Some(batch);
        piece
    }

    fn objects(&self, commit: &Commit) -> Piece {
        match self.reader().blobs(commit) {
            Ok(_) => Piece::whole(commit.blob_end.saturating_sub(commit.blob_start)),
            Err(how) => {
                let first = commit.size.saturating_sub(commit.count.into());
                Piece::harmed(Harmed::Objects(first..commit.size), how)
            }
        }
    }

    fn in_bundle(
        &self,
        place: &mut Place,
        record: &BundleRecord,
        open: &mut Option<StoredBundle>,
    ) -> Piece {
        let read = match open.take() {
            Some(stored) => Ok(stored),
            None => self.open_bundle(record, place.within),
        };
        let read = read.and_then(|mut stored| Ok((stored.next()?, stored)));
        let harm = match read {
            Ok((Some(piece), stored)) => {
                place.within = stored.given();
                *open = Some(stored);
                return Piece::whole(piece.len() as u64);
            }
            Ok((None, _)) => None,
            Err(how) => Some(Harm { of: Harmed::Bundle(record.id.clone()), how }),
        };
        (place.parts, place.within) = (place.parts + 1, 0);
        Piece { bytes: 0, harm }
    }

    fn open_bundle(&self, record: &BundleRecord, within: u64) -> Result<StoredBundle, ReadError> {
        let mut stored = self.bundles().read(record)?;
        stored.seek(within)?;
        Ok(stored)
    }
}

fn unopened(error: OpenError) -> ReadError {
    match error {
        OpenError::Damaged { file, offset, how } => unreadable(&file, offset, &how),
        OpenError::Io { source, .. } => source.into(),
        other @ (OpenError::Locked { .. }
        | OpenError::RolledBack { .. }
        | OpenError::OtherJournal { .. }
        | OpenError::BackupIsAhead { .. }
        | OpenError::Index(_)) => ReadError::Io(io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::store::Blob;
    use crate::store::contract::{agreement, batch, deposit, staged};
    use crate::store::damage::{filled, flip, journal_file, open};

    const LARGE: u64 = 700_000;
    const OTHER: u64 = 300_000;

    /// A store with several segments, objects and, in the last batch, two large bundles.
    fn made(path: &Path) -> DiskStore {
        filled(path, 12);
        let store = open(path).unwrap();
        let mut made = batch(&store, &[(agreement(2), "d=1")]);
        made.blobs.push(Blob { name: deposit(9).to_string(), bytes: vec![1; 500] });
        made.bundles.push((deposit(1), staged(&store, &[1; LARGE as usize])));
        made.bundles.push((deposit(2), staged(&store, &[2; OTHER as usize])));
        store.commit(made).unwrap();
        store
    }

    /// Reads on to the end, in one go or, as after restarts, with another pass for whatever is read.
    fn read_from(store: &DiskStore, mut pass: Pass, restarts: bool) -> (u64, Vec<Harmed>) {
        let (mut bytes, mut harmed, mut pieces) = (0, Vec::new(), 0);
        while let Some(piece) = store.read_on_in(&mut pass).unwrap() {
            (bytes, pieces) = (bytes + piece.bytes, pieces + 1);
            assert!(pieces < 2_000, "it never ends");
            let is_harmed = piece.harm.is_some();
            harmed.extend(piece.harm.map(|harm| harm.of));
            if restarts && (piece.bytes > 0 || is_harmed) {
                let kept = serde_json::to_vec(pass.place()).unwrap();
                pass = Pass::from(serde_json::from_slice(&kept).unwrap());
            }
        }
        (bytes, harmed)
    }

    fn read(store: &DiskStore, restarts: bool) -> (u64, Vec<Harmed>) {
        read_from(store, Pass::from(Place::START), restarts)
    }

    fn segments(path: &Path, series: &str) -> Vec<PathBuf> {
        let paths = (1..).map(|n| journal_file(path, &format!("{series}-{n:06}.log")));
        paths.take_while(|path| path.exists()).collect()
    }

    /// Bytes of a segment that hold anything but its header.
    fn filled_bytes(segment: &Path) -> u64 {
        fs::metadata(segment).unwrap().len() - SEGMENT_HEAD_BYTES
    }

    #[test]
    fn everything_is_read_once_and_restarts_read_nothing_twice() {
        let directory = tempfile::tempdir().unwrap();
        let store = made(directory.path());
        let [events, blobs] = ["events", "blobs"].map(|it| segments(directory.path(), it));
        assert!(events.len() > 2 && blobs.len() > 1, "{events:?} {blobs:?}");
        let journal: u64 = events.iter().chain(&blobs).map(|path| filled_bytes(path)).sum();
        for restarts in [false, true] {
            let found = read(&store, restarts);
            assert_eq!(found, (journal + LARGE + OTHER, vec![]), "restarts: {restarts}");
        }
    }

    /// What is done to a file.
    enum Spoil {
        Flip(usize),
        Remove,
        /// All but its header is cut off.
        Cut,
    }
    use Spoil::{Cut, Flip, Remove};

    #[test]
    fn what_is_harmed_is_named_and_the_rest_is_read_all_the_same() {
        let [data, sums] = ["age", "sums"].map(|it| format!("bundles/{}.{it}", deposit(1)));
        let large = || Harmed::Bundle(deposit(1));
        let (last_events, last_blobs, last_byte) = {
            let directory = tempfile::tempdir().unwrap();
            drop(made(directory.path()));
            let last = |series| segments(directory.path(), series).pop().unwrap();
            let name = |path: &Path| format!("journal/{}", path.file_name().unwrap().display());
            let (events, blobs) = (last("events"), last("blobs"));
            (name(&events), name(&blobs), fs::metadata(&blobs).unwrap().len() as usize - 1)
        };
        let (first, second) = ("journal/events-000001.log", "journal/events-000002.log");
        let blobs = "journal/blobs-000001.log";
        let (both, journal) = (LARGE + OTHER, Harmed::Journal);
        // What is spoilt, where and how; what is told; how much is left out by that, at least and at most.
        type Row<'a> = (&'a str, &'a str, Spoil, Harmed, [u64; 2]);
        let rows: [Row<'_>; 13] = [
            ("the first chunk", &data, Flip(0), large(), [LARGE, LARGE]),
            ("the last byte", &data, Flip(699_999), large(), [1, 256 << 10]),
            ("the sums", &sums, Flip(30), large(), [LARGE, LARGE]),
            ("a bundle that is gone", &data, Remove, large(), [LARGE, LARGE]),
            ("an event", first, Flip(200), journal.clone(), [0, 0]),
            ("the end of a batch", first, Flip(370), journal.clone(), [120, 120]),
            ("a segment's head", second, Flip(9), journal.clone(), [0, 0]),
            ("a segment that is gone", second, Remove, journal.clone(), [1_200, 2_600]),
            ("one that was cut at a batch", first, Cut, journal.clone(), [1_200, 2_600]),
            ("the last that was cut so", &last_events, Cut, journal, [both, both + 2_600]),
            ("an object", blobs, Flip(150), Harmed::Objects(0..2), [120, 120]),
            ("an object's name", blobs, Flip(103), Harmed::Objects(0..2), [120, 120]),
            ("a small bundle", &last_blobs, Flip(last_byte), Harmed::Objects(24..25), [548, 548]),
        ];
        for (what, file, spoil, harmed, [least, most]) in rows {
            let directory = tempfile::tempdir().unwrap();
            let store = made(directory.path());
            let (whole, _) = read(&store, false);
            let path = directory.path().join(file);
            match spoil {
                Flip(at) => flip(&path, at),
                Remove => fs::remove_file(&path).unwrap(),
                Cut => {
                    let file = fs::File::options().write(true).open(&path).unwrap();
                    file.set_len(SEGMENT_HEAD_BYTES).unwrap();
                }
            }
            for restarts in [false, true] {
                let (bytes, found) = read(&store, restarts);
                assert_eq!(found, std::slice::from_ref(&harmed), "{what}, restarts: {restarts}");
                let left_out = whole - bytes;
                assert!((least..=most).contains(&left_out), "{what}: {left_out} bytes left out");
            }
        }
        // Behind damage in the journal, its last batch still names what is to be read.
        let directory = tempfile::tempdir().unwrap();
        let store = made(directory.path());
        let (whole, _) = read(&store, false);
        flip(&directory.path().join(&last_events), 9);
        assert_eq!(read(&store, true), (whole, vec![Harmed::Journal]));
    }

    #[test]
    fn what_is_being_written_is_no_harm_and_what_comes_later_is_for_the_next_pass() {
        let directory = tempfile::tempdir().unwrap();
        let store = made(directory.path());
        let (whole, _) = read(&store, false);
        let (mut pass, mut bytes) = (Pass::from(Place::START), 0);
        // Another batch behind whatever is read, without end.
        while let Some(piece) = store.read_on_in(&mut pass).unwrap() {
            assert!(piece.harm.is_none(), "{piece:?}");
            bytes += piece.bytes;
            assert!(bytes <= whole, "it never ends");
            store.commit(batch(&store, &[(agreement(3), "n+")])).unwrap();
        }
        assert_eq!(bytes, whole);
        let last = segments(directory.path(), "events").pop().unwrap();
        let torn = fs::File::options().append(true).open(&last).unwrap();
        std::io::Write::write_all(&mut &torn, b"half a frame").unwrap();
        let (again, harmed) = read(&store, false);
        assert!(again > whole && harmed.is_empty(), "{again} {harmed:?}");
    }

    #[test]
    fn a_place_in_another_journal_takes_nothing_for_damage() {
        let directory = tempfile::tempdir().unwrap();
        let store = made(directory.path());
        let (whole, _) = read(&store, false);
        for (segment, batch, until) in [(1, 100, 9), (1, 9_999, 99), (2, 101, 99), (99, 84, 99)] {
            let place = Place { segment, batch, parts: 3, within: 5, until: Some(until) };
            let (bytes, harmed) = read_from(&store, Pass::from(place.clone()), false);
            assert!(bytes < whole && harmed.is_empty(), "{place:?}: {bytes} {harmed:?}");
        }
    }
}
