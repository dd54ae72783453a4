//! Reads everything stored, piece by piece, while the store is in use.
//!
//! First the journal's segments of events, in order, then small objects by name, then large bundles
//! by deposit: each as every reader checks it, and no lock is held meanwhile. A [`Place`] is all that
//! is remembered, so that a pass can go on in another process. What comes to be behind it is left to
//! the next pass.

use std::collections::VecDeque;
use std::io;

use serde::{Deserialize, Serialize};

use crate::domain::id::DepositId;
use crate::store::batches::{BadBatch, Batches};
use crate::store::disk::DiskStore;
use crate::store::error::OpenError;
use crate::store::frame::BundleRecord;
use crate::store::head::Tip;
use crate::store::journal::unreadable;
use crate::store::recovery::after;
use crate::store::segments::{SEGMENT_HEAD_BYTES, Segment, Series};
use crate::store::{Bundle as _, ReadError, StoredBundle};

/// Names looked up at once.
const NAMES_MAX: usize = 256;

/// How far a pass has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// In the journal: the segment of events with this number is next.
    Segment(u32),
    /// Among small objects: behind the one of this name.
    Object(String),
    /// Among large bundles.
    Bundle {
        /// Behind the one of this deposit; empty at first.
        after: String,
        /// The one in hand, and how many of its bytes are read.
        within: Option<(DepositId, u64)>,
    },
}

impl Place {
    /// Where everything begins.
    pub const START: Self = Self::Segment(1);
}

/// A pass on its way.
#[derive(Debug)]
pub struct Pass {
    place: Place,
    names: VecDeque<String>,
    open: Open,
}

/// What is being read.
#[derive(Debug)]
enum Open {
    Nothing,
    Segment(OpenSegment),
    Bundle(DepositId, StoredBundle),
}

#[derive(Debug)]
struct OpenSegment {
    segment: Segment,
    batches: Batches,
    /// Behind what was read of it.
    tip: Tip,
    /// Where it ended when it was opened: what lay behind may have been read half-written.
    until: u64,
}

/// What was read at once.
#[derive(Debug)]
pub struct Piece {
    /// How much it was.
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
    /// A segment of the journal's events.
    Journal,
    /// A small object; a small bundle has its deposit's name.
    Object(String),
    /// A large bundle.
    Bundle(DepositId),
}

impl Pass {
    /// Goes on from this place.
    pub fn from(place: Place) -> Self {
        Self { place, names: VecDeque::new(), open: Open::Nothing }
    }

    /// How far it has come.
    pub fn place(&self) -> &Place {
        &self.place
    }

    fn goes_to(&mut self, place: Place) {
        (self.place, self.open) = (place, Open::Nothing);
    }
}

impl OpenSegment {
    /// Goes on behind what was read, up to where it ends now.
    fn begin_again(&mut self, end: &Tip) -> io::Result<()> {
        self.batches = batches(&self.segment, &self.tip)?;
        self.until = until(&self.tip, end);
        Ok(())
    }
}

fn batches(segment: &Segment, from: &Tip) -> io::Result<Batches> {
    let place = (&segment.head.identity, segment.head.number);
    Batches::from(&segment.file, place, from.end, (from.size, from.chain))
}

/// How far the segment that `tip` is in may be read, if the journal ends here.
fn until(tip: &Tip, end: &Tip) -> u64 {
    if tip.segment == end.segment { end.end } else { u64::MAX }
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
    /// Reads the next piece; `None` once all is read. An error is the index's: the pass goes on from
    /// the same place when the next one asks.
    pub(crate) fn read_on_in(&self, pass: &mut Pass) -> Result<Option<Piece>, ReadError> {
        loop {
            let found = match pass.place.clone() {
                Place::Segment(number) => self.in_segment(pass, number)?,
                Place::Object(after) => self.next_object(pass, &after)?,
                Place::Bundle { after, within } => {
                    return self.in_bundle(pass, &after, within);
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn in_segment(&self, pass: &mut Pass, number: u32) -> Result<Option<Piece>, ReadError> {
        let end = self.tip()?;
        if number > end.segment {
            pass.goes_to(Place::Object(String::new()));
            return Ok(None);
        }
        let next = Place::Segment(number + 1);
        if !matches!(pass.open, Open::Segment(_)) {
            match self.open_segment(number, &end) {
                Ok(open) => pass.open = Open::Segment(open),
                Err(how) => {
                    pass.goes_to(next);
                    return Ok(Some(Piece::harmed(Harmed::Journal, how)));
                }
            }
        }
        let Open::Segment(open) = &mut pass.open else { return Ok(None) };
        let is_last = number == end.segment;
        // What is behind the end is being written.
        if is_last && open.tip.end >= end.end {
            pass.goes_to(next);
            return Ok(None);
        }
        if open.tip.end >= open.until
            && let Err(error) = open.begin_again(&end)
        {
            pass.goes_to(next);
            return Ok(Some(Piece::harmed(Harmed::Journal, error.into())));
        }
        let before = open.tip.end;
        let how = match open.batches.next() {
            Ok(Some(batch)) => {
                open.tip = after(&open.tip, &batch);
                return Ok(Some(Piece::whole(open.tip.end - before)));
            }
            Ok(None) if is_last => {
                Some(unreadable(&open.segment.path, before, "what was acknowledged is missing"))
            }
            Ok(None) => self.is_continued(open).err(),
            Err(BadBatch::At { offset, how }) => Some(unreadable(&open.segment.path, offset, how)),
            Err(BadBatch::Io(error)) => Some(error.into()),
        };
        pass.goes_to(next);
        Ok(how.map(|how| Piece::harmed(Harmed::Journal, how)))
    }

    fn open_segment(&self, number: u32, end: &Tip) -> Result<OpenSegment, ReadError> {
        let segment = self.reader().segment(Series::Events, number).map_err(unopened)?;
        let (size, chain) = (segment.head.base, segment.head.chain);
        let tip = Tip { size, chain, segment: number, end: SEGMENT_HEAD_BYTES, ..Tip::START };
        let batches = batches(&segment, &tip)?;
        Ok(OpenSegment { segment, batches, until: until(&tip, end), tip })
    }

    /// Whether the next segment was begun where this one ends.
    fn is_continued(&self, open: &OpenSegment) -> Result<(), ReadError> {
        let next = self.reader().segment(Series::Events, open.tip.segment + 1).map_err(unopened)?;
        let (head, tip) = (next.head, &open.tip);
        match (head.base, head.chain, head.previous_bytes) == (tip.size, tip.chain, tip.end) {
            true => Ok(()),
            false => Err(unreadable(&open.segment.path, tip.end, "it ends elsewhere than it did")),
        }
    }

    fn next_object(&self, pass: &mut Pass, after: &str) -> Result<Option<Piece>, ReadError> {
        if pass.names.is_empty() {
            pass.names.extend(self.index().blob_names(Some(after), NAMES_MAX)?);
        }
        let Some(name) = pass.names.pop_front() else {
            pass.goes_to(Place::Bundle { after: String::new(), within: None });
            return Ok(None);
        };
        let read = self.index().blob(&name)?.map(|at| self.reader().blob(at, &name));
        pass.goes_to(Place::Object(name.clone()));
        Ok(read.map(|read| match read {
            Ok(bytes) => Piece::whole((name.len() + bytes.len()) as u64),
            Err(how) => Piece::harmed(Harmed::Object(name), how),
        }))
    }

    fn in_bundle(
        &self,
        pass: &mut Pass,
        after: &str,
        within: Option<(DepositId, u64)>,
    ) -> Result<Option<Piece>, ReadError> {
        let (id, mut stored) = match std::mem::replace(&mut pass.open, Open::Nothing) {
            Open::Bundle(id, stored) => (id, stored),
            Open::Nothing | Open::Segment(_) => {
                let Some(record) = self.index().bundle_after(after)? else { return Ok(None) };
                let id = record.id.clone();
                match self.open_bundle(&record, within) {
                    Ok(stored) => (id, stored),
                    Err(how) => return Ok(Some(Self::leave_bundle(pass, id, Some(how)))),
                }
            }
        };
        Ok(Some(match stored.next() {
            Ok(Some(piece)) => {
                let within = Some((id.clone(), stored.given()));
                pass.place = Place::Bundle { after: after.to_owned(), within };
                pass.open = Open::Bundle(id, stored);
                Piece::whole(piece.len() as u64)
            }
            Ok(None) => Self::leave_bundle(pass, id, None),
            Err(how) => Self::leave_bundle(pass, id, Some(how)),
        }))
    }

    /// One that was in hand is gone on with, if it is still the next.
    fn open_bundle(
        &self,
        record: &BundleRecord,
        within: Option<(DepositId, u64)>,
    ) -> Result<StoredBundle, ReadError> {
        let mut stored = self.bundles().read(record)?;
        if let Some((id, read)) = within
            && id == record.id
        {
            stored.skip(read)?;
        }
        Ok(stored)
    }

    fn leave_bundle(pass: &mut Pass, id: DepositId, how: Option<ReadError>) -> Piece {
        pass.goes_to(Place::Bundle { after: id.to_string(), within: None });
        match how {
            Some(how) => Piece::harmed(Harmed::Bundle(id), how),
            None => Piece::whole(0),
        }
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
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::store::contract::{agreement, batch, deposit, staged};
    use crate::store::damage::{filled, flip, journal_file, open};
    use crate::store::{Blob, Store as _};

    /// A store with three segments, objects and two large bundles.
    fn made(path: &std::path::Path) -> DiskStore {
        filled(path, 12);
        let store = open(path).unwrap();
        let mut made = batch(&store, &[(agreement(2), "d=1")]);
        made.blobs.push(Blob { name: deposit(9).to_string(), bytes: vec![1; 500] });
        made.bundles.push((deposit(1), staged(&store, &[1; 700_000])));
        made.bundles.push((deposit(2), staged(&store, &[2; 300_000])));
        store.commit(made).unwrap();
        store
    }

    /// Reads to the end, in one go or, as after restarts, with another pass for every piece.
    fn read(store: &DiskStore, restarts: bool) -> (u64, Vec<Harmed>) {
        let (mut pass, mut bytes, mut harmed) = (Pass::from(Place::START), 0, Vec::new());
        while let Some(piece) = store.read_on_in(&mut pass).unwrap() {
            bytes += piece.bytes;
            harmed.extend(piece.harm.map(|harm| harm.of));
            if restarts && !matches!(pass.place, Place::Segment(_)) {
                let kept = serde_json::to_vec(pass.place()).unwrap();
                pass = Pass::from(serde_json::from_slice(&kept).unwrap());
            }
        }
        (bytes, harmed)
    }

    #[test]
    fn everything_is_read_once_and_restarts_read_nothing_twice() {
        let directory = tempfile::tempdir().unwrap();
        let store = made(directory.path());
        let events = fs::read_dir(directory.path().join("journal")).unwrap();
        let sizes = events.map(|item| item.unwrap()).filter_map(|item| {
            let is_events = item.file_name().to_str().unwrap().starts_with("events-");
            is_events.then(|| item.metadata().unwrap().len() - SEGMENT_HEAD_BYTES)
        });
        let sizes: Vec<_> = sizes.collect();
        assert!(sizes.len() > 2, "{sizes:?}");
        let objects: u64 = (0..12).map(|n| format!("b{n}").len() as u64 + 100).sum();
        let small = deposit(9).as_str().len() as u64 + 500;
        let all = sizes.iter().sum::<u64>() + objects + small + 1_000_000;
        for restarts in [false, true] {
            assert_eq!(read(&store, restarts), (all, vec![]), "restarts: {restarts}");
        }
    }

    #[test]
    fn what_is_harmed_is_named_and_the_rest_is_read_all_the_same() {
        let [small, large] = [9, 1].map(deposit);
        let sums = format!("bundles/{large}.sums");
        let data = format!("bundles/{large}.age");
        let rows: [(&str, &str, Option<usize>, Harmed); 9] = [
            ("the first chunk", &data, Some(0), Harmed::Bundle(large.clone())),
            ("the last byte", &data, Some(699_999), Harmed::Bundle(large.clone())),
            ("the sums", &sums, Some(30), Harmed::Bundle(large.clone())),
            ("a bundle that is gone", &data, None, Harmed::Bundle(large.clone())),
            ("an event", "journal/events-000001.log", Some(200), Harmed::Journal),
            ("a segment's head", "journal/events-000002.log", Some(9), Harmed::Journal),
            ("a segment that is gone", "journal/events-000002.log", None, Harmed::Journal),
            ("an object", "journal/blobs-000001.log", Some(150), Harmed::Object("b0".into())),
            ("a small bundle", "", None, Harmed::Object(small.to_string())),
        ];
        for (what, file, at, harmed) in rows {
            let directory = tempfile::tempdir().unwrap();
            let store = made(directory.path());
            let (whole, _) = read(&store, false);
            let path = directory.path().join(file);
            match (file, at) {
                ("", _) => {
                    let blobs = journal_file(directory.path(), "blobs-000001.log");
                    let last = (1..).map(|n| blobs.with_file_name(format!("blobs-{n:06}.log")));
                    let last = last.take_while(|path| path.exists()).last().unwrap();
                    let length = fs::metadata(&last).unwrap().len() as usize;
                    flip(&last, length - 1);
                }
                (_, Some(at)) => flip(&path, at),
                (_, None) => fs::remove_file(&path).unwrap(),
            }
            let (bytes, found) = read(&store, false);
            let found: BTreeSet<_> = found.iter().map(|it| format!("{it:?}")).collect();
            assert_eq!(found, BTreeSet::from([format!("{harmed:?}")]), "{what}");
            assert!(bytes < whole && bytes > 250_000, "{what}: {bytes} of {whole}");
        }
    }

    #[test]
    fn what_is_being_written_is_no_harm_and_what_comes_later_is_for_the_next_pass() {
        let directory = tempfile::tempdir().unwrap();
        let store = made(directory.path());
        let mut pass = Pass::from(Place::START);
        while let Place::Segment(_) = pass.place {
            // Another batch behind whatever was read: as many segments as there are, and no more.
            let more = batch(&store, &[(agreement(3), "n+")]);
            if store.ledger_size() < 60 {
                store.commit(more).unwrap();
            }
            assert!(store.read_on_in(&mut pass).unwrap().unwrap().harm.is_none());
        }
        let last = (1..).map(|n| journal_file(directory.path(), &format!("events-{n:06}.log")));
        let last = last.take_while(|path| path.exists()).last().unwrap();
        let torn = fs::File::options().append(true).open(&last).unwrap();
        std::io::Write::write_all(&mut &torn, b"half a frame").unwrap();
        assert_eq!(read(&store, false).1, []);
    }
}
