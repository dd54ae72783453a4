//! A run: where values lie, sorted by the hash of their keys, in a file that never changes.
//!
//! Two places under one hash are two keys, or one whose value was replaced: the heap tells, and the
//! newer comes first. Most of what is asked for is not there, as whoever states something new sees to
//! it that it is: a filter in memory tells that without a page being read.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::store::filter::Filter;
use crate::store::frame::Fields;
use crate::store::heap::Unread;
use crate::store::segments::{private_file, sync_directory};

/// Bytes of a page: what is read, and checked, at once.
const PAGE_BYTES: usize = 4096;
/// Checksum, and how many slots are in use.
const PAGE_HEAD_BYTES: usize = 4 + 4;
const SLOT_BYTES: usize = 8 + 8;
const SLOTS_PER_PAGE: usize = (PAGE_BYTES - PAGE_HEAD_BYTES) / SLOT_BYTES;
/// Magic, pages, slots, checksum over them, the first hash of each page and the filter.
const TAIL_BYTES: usize = 8 + 8 + 8 + 4;
const MAGIC: &[u8; 8] = b"EVrun\0\0\x02";

/// Under which hash a value lies where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    /// Of the key.
    pub(crate) hash: u64,
    /// In the heap.
    pub(crate) place: u64,
}

/// What a key is sorted by. As long as nobody can find 2^64 of them, no page fills with one hash.
pub(crate) fn hash(key: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(key).into();
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// An open run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its file is named by it.
    pub(crate) number: u64,
    /// How many slots it has.
    pub(crate) slots: u64,
    path: PathBuf,
    file: File,
    /// The first hash of each page.
    firsts: Vec<u64>,
    filter: Filter,
}

impl Run {
    /// Where the run with this number lies.
    pub(crate) fn path(directory: &Path, number: u64) -> PathBuf {
        directory.join(format!("run-{number:06}"))
    }

    /// Writes what these hold together, each sorted, the newest first; durable on return.
    pub(crate) fn write(
        directory: &Path,
        number: u64,
        slots: Vec<Slot>,
        older: &[&Run],
    ) -> Result<Self, Unread> {
        let path = Self::path(directory, number);
        let total = slots.len() as u64 + older.iter().map(|run| run.slots).sum::<u64>();
        let written = Writer::begin(&path, total).and_then(|mut writer| {
            merge(slots, older, |slot| Ok(writer.push(slot)?))?;
            let written = writer.finish()?;
            sync_directory(directory)?;
            Ok(written)
        });
        let (firsts, filter, slots) = written.inspect_err(|_| drop(fs::remove_file(&path)))?;
        let file = File::open(&path)?;
        Ok(Self { number, slots, path, file, firsts, filter })
    }

    /// Opens a run.
    pub(crate) fn open(directory: &Path, number: u64) -> Result<Self, Unread> {
        let path = Self::path(directory, number);
        let file = File::open(&path)?;
        let end = file.metadata()?.len();
        let strange = || Unread::Damaged("it is no run");
        let mut tail = [0; TAIL_BYTES];
        let at = end.checked_sub(TAIL_BYTES as u64).ok_or_else(strange)?;
        file.read_exact_at(&mut tail, at)?;
        let mut fields = Fields(&tail);
        let magic: Option<[u8; 8]> = fields.array();
        let (Some(pages), Some(slots), Some(sum)) = (fields.u64(), fields.u64(), fields.u32())
        else {
            return Err(strange());
        };
        let filter_bytes = Filter::bytes_for(slots);
        let lengths = || {
            let page_bytes = pages.checked_mul(PAGE_BYTES as u64)?;
            let rest_bytes = pages.checked_mul(8)?.checked_add(filter_bytes?)?;
            (page_bytes.checked_add(rest_bytes)? == at).then_some((page_bytes, rest_bytes))
        };
        let (page_bytes, rest_bytes) =
            lengths().filter(|_| magic == Some(*MAGIC)).ok_or_else(strange)?;
        let length = |bytes| usize::try_from(bytes).map_err(|_| strange());
        let (firsts_bytes, mut bytes) = (length(pages * 8)?, vec![0; length(rest_bytes)?]);
        file.read_exact_at(&mut bytes, page_bytes)?;
        if sum != checksum(pages, slots, &bytes) {
            return Err(Unread::Damaged("its end does not match its checksum"));
        }
        let (firsts, filter) = bytes.split_at_checked(firsts_bytes).ok_or_else(strange)?;
        let filter = Filter(filter.to_vec());
        let (firsts, _) = firsts.as_chunks();
        let firsts = firsts.iter().map(|first| u64::from_be_bytes(*first)).collect();
        Ok(Self { number, slots, path, file, firsts, filter })
    }

    /// Where the values under this hash lie, the newest first.
    pub(crate) fn places(&self, hash: u64) -> Result<Vec<u64>, Unread> {
        let mut found = Vec::new();
        if !self.filter.may_have(hash) {
            return Ok(found);
        }
        let begin = self.firsts.partition_point(|first| *first < hash).saturating_sub(1);
        let reaching = self.firsts.iter().enumerate().skip(begin);
        for (number, _) in reaching.take_while(|(_, first)| **first <= hash) {
            let page = self.page(number as u64)?;
            let slots = page.slots();
            let from = slots.partition_point(|slot| Slot::read(slot).hash < hash);
            let same = slots.iter().skip(from).map(Slot::read);
            found.extend(same.take_while(|slot| slot.hash == hash).map(|slot| slot.place));
        }
        Ok(found)
    }

    /// Removes its file, once nothing names it.
    pub(crate) fn remove(self) {
        // What is left is removed by the next start.
        drop(fs::remove_file(&self.path));
    }

    fn page(&self, number: u64) -> Result<Page, Unread> {
        let mut page = Page([0; PAGE_BYTES]);
        self.file.read_exact_at(&mut page.0, number * PAGE_BYTES as u64)?;
        let (sum, rest) = page.0.split_first_chunk().ok_or(Unread::Damaged("no page"))?;
        if u32::from_be_bytes(*sum) != checksum(number, 0, rest) {
            return Err(Unread::Damaged("a page does not match its checksum"));
        }
        Ok(page)
    }
}

/// A page whose checksum is right.
struct Page([u8; PAGE_BYTES]);

impl Page {
    /// Its slots as they are written, in order.
    fn slots(&self) -> &[[u8; SLOT_BYTES]] {
        let mut fields = Fields(&self.0);
        let count = fields.u32().and_then(|_| fields.u32()).unwrap_or(0);
        let (slots, _) = fields.0.as_chunks();
        slots.split_at(slots.len().min(count as usize)).0
    }
}

impl Slot {
    fn read(bytes: &[u8; SLOT_BYTES]) -> Self {
        let (hash, place) = bytes.split_at(8);
        let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |it| u64::from_be_bytes(*it));
        Self { hash: number(hash), place: number(place) }
    }
}

/// Hands on the slots of all of them in order.
fn merge(
    newest: Vec<Slot>,
    older: &[&Run],
    mut each: impl FnMut(Slot) -> Result<(), Unread>,
) -> Result<(), Unread> {
    let mut inputs = vec![Input { slots: newest.into_iter(), run: None, next_page: 0, head: None }];
    for run in older {
        let slots = Vec::new().into_iter();
        inputs.push(Input { slots, run: Some(run), next_page: 0, head: None });
    }
    for input in &mut inputs {
        input.advance()?;
    }
    loop {
        // Of equal hashes the first found is the newest.
        let smallest = inputs.iter_mut().filter(|input| input.head.is_some());
        let Some(input) = smallest.min_by_key(|input| input.head.map(|slot| slot.hash)) else {
            return Ok(());
        };
        if let Some(slot) = input.head {
            each(slot)?;
        }
        input.advance()?;
    }
}

/// One of what is merged, read page by page.
struct Input<'a> {
    slots: std::vec::IntoIter<Slot>,
    run: Option<&'a Run>,
    next_page: usize,
    head: Option<Slot>,
}

impl Input<'_> {
    fn advance(&mut self) -> Result<(), Unread> {
        self.head = self.slots.next();
        if let (None, Some(run)) = (self.head, self.run)
            && self.next_page < run.firsts.len()
        {
            let page = run.page(self.next_page as u64)?;
            self.slots = page.slots().iter().map(Slot::read).collect::<Vec<_>>().into_iter();
            self.next_page += 1;
            self.head = self.slots.next();
        }
        Ok(())
    }
}

/// Writes pages one behind the other.
struct Writer {
    file: BufWriter<File>,
    page: Vec<Slot>,
    firsts: Vec<u64>,
    filter: Filter,
    slots: u64,
}

impl Writer {
    /// For so many slots in all.
    fn begin(path: &Path, slots: u64) -> Result<Self, Unread> {
        let filter = Filter::empty(slots).ok_or(Unread::Damaged("it has too many slots"))?;
        let file = private_file().truncate(true).open(path)?;
        let file = BufWriter::with_capacity(64 * PAGE_BYTES, file);
        Ok(Self { file, page: Vec::new(), firsts: Vec::new(), filter, slots: 0 })
    }

    fn push(&mut self, slot: Slot) -> io::Result<()> {
        self.page.push(slot);
        self.filter.add(slot.hash);
        self.slots += 1;
        if self.page.len() == SLOTS_PER_PAGE { self.turn() } else { Ok(()) }
    }

    fn turn(&mut self) -> io::Result<()> {
        let Some(first) = self.page.first() else { return Ok(()) };
        let number = self.firsts.len() as u64;
        self.firsts.push(first.hash);
        let mut rest = (self.page.len() as u32).to_be_bytes().to_vec();
        for slot in self.page.drain(..) {
            rest.extend(slot.hash.to_be_bytes());
            rest.extend(slot.place.to_be_bytes());
        }
        rest.resize(PAGE_BYTES - 4, 0);
        self.file.write_all(&checksum(number, 0, &rest).to_be_bytes())?;
        self.file.write_all(&rest)
    }

    fn finish(mut self) -> Result<(Vec<u64>, Filter, u64), Unread> {
        self.turn()?;
        let pages = self.firsts.len() as u64;
        let firsts = self.firsts.iter().flat_map(|first| first.to_be_bytes());
        let rest: Vec<u8> = firsts.chain(self.filter.0.iter().copied()).collect();
        self.file.write_all(&rest)?;
        self.file.write_all(MAGIC)?;
        self.file.write_all(&pages.to_be_bytes())?;
        self.file.write_all(&self.slots.to_be_bytes())?;
        self.file.write_all(&checksum(pages, self.slots, &rest).to_be_bytes())?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        Ok((self.firsts, self.filter, self.slots))
    }
}

fn checksum(one: u64, other: u64, rest: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&one.to_be_bytes());
    sum.update(&other.to_be_bytes());
    sum.update(rest);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(numbers: impl Iterator<Item = u64>) -> Vec<Slot> {
        let mut slots: Vec<_> =
            numbers.map(|n| Slot { hash: hash(&n.to_be_bytes()), place: n }).collect();
        slots.sort();
        slots
    }

    #[test]
    fn what_is_merged_is_found_and_the_newer_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let first = Run::write(at, 1, slots(0..3_000), &[]).unwrap();
        let second = Run::write(at, 2, slots(3_000..3_100), &[]).unwrap();
        let mut newest = slots(3_100..5_000);
        // The value of 7 was replaced; then so many under one hash that they fill pages.
        newest.push(Slot { hash: hash(&7u64.to_be_bytes()), place: 9_007 });
        let crowd = |n: u64| Slot { hash: 1 << 63, place: 10_000 + n };
        newest.extend((0..700).map(crowd));
        newest.sort_by_key(|slot| slot.hash);
        drop(Run::write(at, 3, newest, &[&second, &first]).unwrap());
        let run = Run::open(at, 3).unwrap();
        assert_eq!(run.slots, 5_701);
        for n in (0..5_000u64).filter(|n| *n != 7) {
            assert_eq!(run.places(hash(&n.to_be_bytes())).unwrap(), [n]);
        }
        assert_eq!(run.places(hash(&7u64.to_be_bytes())).unwrap(), [9_007, 7]);
        assert_eq!(run.places(1 << 63).unwrap().len(), 700);
        for hash in [0, u64::MAX, 12345] {
            assert_eq!(run.places(hash).unwrap(), [] as [u64; 0]);
        }
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let run = Run::write(directory.path(), 1, slots(0..600), &[]).unwrap();
        let whole = fs::read(&run.path).unwrap();
        for at in (0..whole.len()).step_by(61).chain([whole.len() - 1]) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&run.path, bytes).unwrap();
            let read = Run::open(directory.path(), 1).and_then(|run| {
                (0..600u64).try_for_each(|n| run.places(hash(&n.to_be_bytes())).map(drop))
            });
            assert!(matches!(read, Err(Unread::Damaged(_))), "byte {at}: {read:?}");
        }
    }
}
