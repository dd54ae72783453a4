//! What the index holds beside sled: what is recent, in memory, and what is as many as events are, in
//! files that sled does not have to read when it opens.
//!
//! sled reads a table of all its pages, of a few keys each, whenever it is opened, and before that
//! everything that was written since it was opened last. So it keeps what is few and changes, and
//! says which of these files count. The order is: values durable, the run that finds them durable,
//! then sled says so; whatever else is in the directory then is left over.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::frame::Fields;
use crate::store::heap::{Change, Heap, Unread};
use crate::store::run::{Run, Slot, hash};

const HEAP: &str = "heap";

/// Which files count, and how much of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    heap_end: u64,
    next_run: u64,
    /// From the oldest.
    runs: Vec<u64>,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = [self.heap_end, self.next_run].into_iter().chain(self.runs.iter().copied());
        numbers.flat_map(u64::to_be_bytes).collect()
    }

    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let (heap_end, next_run, mut runs) = (fields.u64()?, fields.u64()?, Vec::new());
        while !fields.0.is_empty() {
            runs.push(fields.u64()?);
        }
        Some(Self { heap_end, next_run, runs })
    }
}

/// Keys with their values, all but those in sled.
#[derive(Debug)]
pub(crate) struct Settled {
    directory: PathBuf,
    /// What changed since, newer than anything below and than what sled has.
    pub(crate) recent: Recent,
    heap: Option<Heap>,
    /// From the oldest, each at most half as large as the one before.
    runs: Vec<Run>,
    next_run: u64,
}

/// What changed, in memory.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// What is as many as events are: looked up key by key, and never listed.
    pub(crate) many: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Everything else, which goes to sled.
    pub(crate) few: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// Files that are durable and do not count yet.
pub(crate) struct Ready {
    heap: Option<Heap>,
    heap_end: u64,
    run: Run,
    /// How many of the runs it leaves as they are.
    keeps: usize,
    pub(crate) manifest: Manifest,
}

impl Settled {
    /// An index that has nothing yet.
    pub(crate) fn empty(directory: &Path) -> Self {
        let (directory, recent) = (directory.to_owned(), Recent::default());
        Self { directory, recent, heap: None, runs: Vec::new(), next_run: 1 }
    }

    /// Opens what sled says is there, and removes what it does not name.
    pub(crate) fn open(directory: &Path, manifest: &Manifest) -> Result<Self, Unread> {
        let mut settled = Self::empty(directory);
        settled.next_run = manifest.next_run;
        if manifest.heap_end > 0 {
            settled.heap = Some(Heap::open(&directory.join(HEAP), manifest.heap_end)?);
        }
        let runs = manifest.runs.iter().map(|number| Run::open(directory, *number));
        settled.runs = runs.collect::<Result<_, _>>()?;
        let named: Vec<_> =
            settled.runs.iter().map(|run| Run::path(directory, run.number)).collect();
        for item in fs::read_dir(directory)? {
            let path = item?.path();
            let is_run =
                path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("run-"));
            if is_run && !named.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(settled)
    }

    /// What is known of a key that is none of sled's: `None` where nothing is.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Unread> {
        let Some(heap) = &self.heap else { return Ok(None) };
        let hash = hash(key);
        for run in self.runs.iter().rev() {
            for place in run.places(hash)? {
                let (found, value) = heap.read(place)?;
                if found == key {
                    return Ok(value);
                }
            }
        }
        Ok(None)
    }

    /// Every key that was ever put in the files.
    pub(crate) fn each_key(&self, each: impl FnMut(&[u8])) -> Result<(), Unread> {
        self.heap.as_ref().map_or(Ok(()), |heap| heap.each_key(each))
    }

    /// Makes these changes durable in files: the second half is for [`Settled::take_up`], once sled
    /// names them. Smaller runs are merged into the new one, where there is room for that.
    pub(crate) fn write(&self, changes: &[(&Vec<u8>, &Option<Vec<u8>>)]) -> Result<Ready, Unread> {
        let begun = match &self.heap {
            Some(_) => None,
            None => Some(Heap::begin(&self.directory.join(HEAP))?),
        };
        let heap = begun.as_ref().or(self.heap.as_ref()).ok_or(Unread::Damaged("no heap"))?;
        let changed = changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
        let (places, heap_end) = heap.append(changed)?;
        let hashes = changes.iter().map(|(key, _)| hash(key));
        let mut slots: Vec<_> =
            hashes.zip(places).map(|(hash, place)| Slot { hash, place }).collect();
        slots.sort();
        let mut total = slots.len() as u64;
        let mut keeps = self.runs.len();
        for run in self.runs.iter().rev() {
            if run.slots / 2 > total {
                break;
            }
            total += run.slots;
            keeps -= 1;
        }
        let merged: Vec<_> = self.runs.iter().skip(keeps).rev().collect();
        let written = match Run::write(&self.directory, self.next_run, slots.clone(), &merged) {
            Err(Unread::Io(_)) => {
                keeps = self.runs.len();
                Run::write(&self.directory, self.next_run, slots, &[])
            }
            done => done,
        };
        let run = written?;
        let kept = self.runs.iter().take(keeps).map(|run| run.number);
        let runs = kept.chain([run.number]).collect();
        let manifest = Manifest { heap_end, next_run: self.next_run + 1, runs };
        Ok(Ready { heap: begun, heap_end, run, keeps, manifest })
    }

    /// Counts files that were written, now that sled names them.
    pub(crate) fn take_up(&mut self, ready: Ready) {
        if let Some(heap) = ready.heap {
            self.heap = Some(heap);
        }
        if let Some(heap) = &mut self.heap {
            heap.end = ready.heap_end;
        }
        self.next_run = ready.manifest.next_run;
        self.runs.drain(ready.keeps..).for_each(Run::remove);
        self.runs.push(ready.run);
    }

    /// What counts now.
    pub(crate) fn manifest(&self) -> Manifest {
        Manifest {
            heap_end: self.heap.as_ref().map_or(0, |heap| heap.end),
            next_run: self.next_run,
            runs: self.runs.iter().map(|run| run.number).collect(),
        }
    }
}

impl From<Unread> for io::Error {
    fn from(fault: Unread) -> Self {
        match fault {
            Unread::Io(error) => error,
            Unread::Damaged(how) => Self::new(io::ErrorKind::InvalidData, how),
        }
    }
}

/// Keys in order, as of now: what sled has under them with what is recent.
pub(crate) fn overlaid<E>(
    older: impl Iterator<Item = Result<Vec<u8>, E>>,
    recent: impl Iterator<Item = (Vec<u8>, bool)>,
) -> impl Iterator<Item = Result<Vec<u8>, E>> {
    let (mut older, mut recent) = (older.peekable(), recent.peekable());
    std::iter::from_fn(move || {
        loop {
            let is_older = match (older.peek(), recent.peek()) {
                (None, None) => return None,
                (Some(Err(_)), _) | (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some(Ok(one)), Some((other, _))) => one < other,
            };
            if is_older {
                return older.next();
            }
            let (key, is_there) = recent.next()?;
            older.next_if(|same| same.as_ref().is_ok_and(|same| *same == key));
            if is_there {
                return Some(Ok(key));
            }
        }
    })
}

/// A change that is written to sled.
pub(crate) fn in_sled(batch: &mut sled::Batch, (key, value): Change) {
    match value {
        Some(value) => batch.insert(key, value),
        None => batch.remove(key),
    }
}
