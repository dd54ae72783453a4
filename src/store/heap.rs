//! A file of values, each under its key, that is only ever appended to.
//!
//! What lies behind the end that sled remembers was being written when the process ended, and is cut
//! off. A value that is replaced stays behind as garbage until the index is made again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::store::frame::Fields;
use crate::store::segments::private_file;

/// What the file begins with: so nothing lies at byte 0.
const MAGIC: &[u8; 8] = b"EVheap\0\x01";
/// Checksum, length of the key, length of the value.
const HEAD_BYTES: usize = 4 + 2 + 4;
/// Read at once: most values are smaller.
const READ_BYTES: usize = 512;
/// In the place of a value's length: the key has none any more.
const REMOVED: u32 = u32::MAX;

/// A key with its value as of some batch; `None` where it was removed.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Why nothing sound was read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The system refused.
    Io(io::Error),
    /// What is there is not what was written.
    Damaged(&'static str),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() == io::ErrorKind::UnexpectedEof {
            true => Self::Damaged("it is cut short"),
            false => Self::Io(error),
        }
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Heap {
    file: File,
    /// Where the next value goes.
    pub(crate) end: u64,
}

impl Heap {
    /// Begins an empty one.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        let file = private_file().truncate(true).open(path)?;
        file.write_all_at(MAGIC, 0)?;
        Ok(Self { file, end: MAGIC.len() as u64 })
    }

    /// Opens one that was durable up to `end`; what lies behind is dropped.
    pub(crate) fn open(path: &Path, end: u64) -> Result<Self, Unread> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut magic = [0; MAGIC.len()];
        file.read_exact_at(&mut magic, 0)?;
        let bytes = file.metadata()?.len();
        if magic != *MAGIC || end < MAGIC.len() as u64 {
            return Err(Unread::Damaged("it is no file of values"));
        }
        if bytes < end {
            return Err(Unread::Damaged("it is cut short"));
        }
        file.set_len(end)?;
        Ok(Self { file, end })
    }

    /// Appends these, durable on return, and says where each lies and where they end. They count
    /// from when [`Heap::end`] is set so.
    pub(crate) fn append<'a>(
        &self,
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> io::Result<(Vec<u64>, u64)> {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for (key, value) in changes {
            let place = self.end + bytes.len() as u64;
            push(&mut bytes, place, key, value)?;
            places.push(place);
        }
        self.file.write_all_at(&bytes, self.end)?;
        self.file.sync_data()?;
        Ok((places, self.end + bytes.len() as u64))
    }

    /// What lies there.
    pub(crate) fn read(&self, place: u64) -> Result<Change, Unread> {
        let room = usize::try_from(self.end.saturating_sub(place)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; room.min(READ_BYTES)];
        self.file.read_exact_at(&mut bytes, place)?;
        let head = bytes.first_chunk().ok_or(Unread::Damaged("it is cut short"))?;
        let length = length(head).ok_or(Unread::Damaged("no value begins there"))?;
        if length > room {
            return Err(Unread::Damaged("a value reaches behind its end"));
        }
        let read = bytes.len();
        bytes.resize(length, 0);
        if let Some(rest) = bytes.get_mut(read..) {
            self.file.read_exact_at(rest, place + read as u64)?;
        }
        parse(place, &bytes).ok_or(Unread::Damaged("a value does not match its checksum"))
    }

    /// Every key there is, in the order in which they came.
    pub(crate) fn each_key(&self, mut each: impl FnMut(&[u8])) -> Result<(), Unread> {
        let mut place = MAGIC.len() as u64;
        while place < self.end {
            let (key, value) = self.read(place)?;
            each(&key);
            place += (HEAD_BYTES + key.len() + value.map_or(0, |value| value.len())) as u64;
        }
        Ok(())
    }
}

/// Appends a value with its head to `bytes`.
fn push(bytes: &mut Vec<u8>, place: u64, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
    let too_long = |_| io::Error::other("a key or value is too long for the index");
    let key_length = u16::try_from(key.len()).map_err(too_long)?;
    let length = value.map_or(Ok(REMOVED), |value| u32::try_from(value.len()).map_err(too_long))?;
    let (mut sum, value) = (crc32fast::Hasher::new(), value.unwrap_or_default());
    let (key_length, length) = (key_length.to_be_bytes(), length.to_be_bytes());
    let parts: [&[u8]; 4] = [&key_length, &length, key, value];
    sum.update(&place.to_be_bytes());
    parts.iter().for_each(|part| sum.update(part));
    bytes.extend(sum.finalize().to_be_bytes());
    parts.iter().for_each(|part| bytes.extend(*part));
    Ok(())
}

/// How long the value with this head is in all.
fn length(head: &[u8; HEAD_BYTES]) -> Option<usize> {
    let mut fields = Fields(head);
    let (_, key, value) = (fields.u32()?, u16::from_be_bytes(fields.array()?), fields.u32()?);
    let value = if value == REMOVED { 0 } else { usize::try_from(value).ok()? };
    (HEAD_BYTES + usize::from(key)).checked_add(value)
}

fn parse(place: u64, bytes: &[u8]) -> Option<Change> {
    let mut fields = Fields(bytes);
    let sum = fields.u32()?;
    if sum != checksum(place, fields.0) {
        return None;
    }
    let (key, value) = (u16::from_be_bytes(fields.array()?), fields.u32()?);
    let key = fields.take(usize::from(key))?.to_vec();
    Some((key, (value != REMOVED).then(|| fields.0.to_vec())))
}

/// Over the place as well: a value elsewhere is another one.
fn checksum(place: u64, rest: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&place.to_be_bytes());
    sum.update(rest);
    sum.finalize()
}
