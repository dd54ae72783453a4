//! Large bundles: one file each, beside a table of chunk sums that every read is checked against.
//!
//! Bytes come before the record that names them: data and sums are written and synced in staging
//! ([`crate::store::staging`]), renamed, their directory synced, and only then does the journal say that the bundle exists,
//! with its size and the checksum of its sums. So what no journal record names is garbage, and a
//! named bundle whose files differ in any bit is damaged, never served.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::id::DepositId;
use crate::store::frame::BundleRecord;
use crate::store::segments::{private_directory, sync_directory};
use crate::store::staging::{StagedBundle, Staging};
use crate::store::turns::Turns;
use crate::store::{Bundle, ReadError};

/// Bytes that share a checksum, and that are read at once.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

const MAGIC: &[u8; 8] = b"EVsums\0\0";
const FORMAT: u32 = 1;
const STAGING_NAME: &str = "staging";

/// The directory of large bundles.
#[derive(Debug, Clone)]
pub(crate) struct Bundles {
    directory: PathBuf,
    turns: Arc<Turns>,
}

impl Bundles {
    /// Makes the directories where they are missing. Uploads that are not finished stay.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        let bundles = Self::at(directory);
        private_directory(&bundles.directory)?;
        bundles.staging().tidy()?;
        Ok(bundles)
    }

    /// Makes the directories where they are missing, and clears staging.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        private_directory(&self.directory)?;
        self.staging().clear()
    }

    /// Where bundles are on their way in.
    pub(crate) fn staging(&self) -> Staging {
        Staging::at(self.directory.join(STAGING_NAME), Arc::clone(&self.turns))
    }

    /// The bundles in this directory, as they are: nothing is made or cleared.
    pub(crate) fn at(directory: PathBuf) -> Self {
        Self { directory, turns: Arc::default() }
    }

    /// Whose turn it is to sync, these bundles' among others.
    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Bundle files whose deposits `is_stored` does not know: left by a crash before their event.
    pub(crate) fn orphans(
        &self,
        is_stored: &dyn Fn(&DepositId) -> Result<bool, ReadError>,
    ) -> Result<Vec<PathBuf>, ReadError> {
        let mut orphans = Vec::new();
        if !self.directory.exists() {
            return Ok(orphans);
        }
        for item in fs::read_dir(&self.directory)? {
            let path = item?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()?.parse::<DepositId>().ok());
            if let Some(id) = id
                && !is_stored(&id)?
            {
                orphans.push(path);
            }
        }
        Ok(orphans)
    }

    /// Gives a synced bundle its name. Durable only after [`Bundles::sync`].
    pub(crate) fn place(&self, id: &DepositId, staged: StagedBundle) -> io::Result<BundleRecord> {
        let (size, sums_crc) = staged.place(&self.data_path(id), &self.sums_path(id))?;
        Ok(BundleRecord { id: id.clone(), size, sums_crc })
    }

    /// Makes the names given by [`Bundles::place`] durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    /// Takes back what [`Bundles::place`] did, as far as that goes; the rest is an orphan.
    pub(crate) fn discard(&self, id: &DepositId) {
        let _ = fs::remove_file(self.data_path(id));
        let _ = fs::remove_file(self.sums_path(id));
    }

    /// Opens a bundle the journal names, and checks its table of sums.
    pub(crate) fn read(&self, record: &BundleRecord) -> Result<StoredBundle, ReadError> {
        let (data_path, sums_path) = (self.data_path(&record.id), self.sums_path(&record.id));
        let data = open_named(&data_path)?;
        if data.metadata()?.len() != record.size {
            return Err(damaged(&data_path, "its length is not what was stored"));
        }
        if checksum(open_named(&sums_path)?)? != record.sums_crc {
            return Err(damaged(&sums_path, "it does not match its checksum"));
        }
        let mut sums = BufReader::new(open_named(&sums_path)?);
        let mut header = sums_header();
        sums.read_exact(&mut header)?;
        if header != sums_header() {
            return Err(damaged(&sums_path, "its format is not one this version reads"));
        }
        Ok(StoredBundle { path: data_path, data, sums, size: record.size, given: 0, skipped: 0 })
    }

    pub(crate) fn data_path(&self, id: &DepositId) -> PathBuf {
        self.directory.join(format!("{id}.age"))
    }

    pub(crate) fn sums_path(&self, id: &DepositId) -> PathBuf {
        self.directory.join(format!("{id}.sums"))
    }
}

/// A stored bundle being read.
#[derive(Debug)]
pub struct StoredBundle {
    path: PathBuf,
    data: File,
    sums: BufReader<File>,
    size: u64,
    /// Up to where it was read: where a chunk begins, or the end.
    given: u64,
    /// Bytes of the next chunk that nobody wants.
    skipped: usize,
}

impl StoredBundle {
    /// How many bytes were given out.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }
}

impl Bundle for StoredBundle {
    fn size(&self) -> u64 {
        self.size
    }

    fn seek(&mut self, from: u64) -> Result<(), ReadError> {
        const CHUNK: u64 = CHUNK_BYTES as u64;
        let (chunk, skipped) = match from < self.size {
            true => (from / CHUNK, from % CHUNK),
            false => (self.size.div_ceil(CHUNK), 0),
        };
        let sums = SUMS_HEADER_BYTES as u64 + chunk * SUM_BYTES as u64;
        self.sums.seek(SeekFrom::Start(sums))?;
        self.given = self.size.min(chunk * CHUNK);
        self.data.seek(SeekFrom::Start(self.given))?;
        self.skipped = skipped as usize;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let left = usize::try_from(self.size - self.given).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(None);
        }
        let size = left.min(CHUNK_BYTES);
        let mut chunk = Vec::with_capacity(size);
        let mut sum = [0; SUM_BYTES];
        // Read into room that nobody has filled before.
        let read = (&self.data).take(size as u64).read_to_end(&mut chunk);
        let read = read.and_then(|read| match read == size {
            true => self.sums.read_exact(&mut sum),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        });
        if let Err(error) = read {
            return Err(if error.kind() == io::ErrorKind::UnexpectedEof {
                damaged(&self.path, "it became shorter while it was read")
            } else {
                error.into()
            });
        }
        if crc32fast::hash(&chunk) != u32::from_be_bytes(sum) {
            let end = self.given + chunk.len() as u64;
            let how = format!("bytes {} to {end} do not match their checksum", self.given);
            return Err(damaged(&self.path, &how));
        }
        self.given += chunk.len() as u64;
        Ok(Some(Bytes::from(chunk).split_off(std::mem::take(&mut self.skipped))))
    }
}

pub(crate) const SUMS_HEADER_BYTES: usize = 8 + 4 + 4 + 4;
/// The sum of one chunk.
pub(crate) const SUM_BYTES: usize = 4;

/// Magic, format, bytes a chunk, and a CRC over these.
pub(crate) fn sums_header() -> [u8; SUMS_HEADER_BYTES] {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_be_bytes());
    bytes.extend((CHUNK_BYTES as u32).to_be_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    let mut header = [0; SUMS_HEADER_BYTES];
    header.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    header
}

fn open_named(path: &Path) -> Result<File, ReadError> {
    let file = File::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            damaged(path, "the file is missing")
        } else {
            error.into()
        }
    })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(damaged(path, "it is not a file")),
    }
}

fn checksum(mut file: File) -> io::Result<u32> {
    let (mut crc, mut buffer) = (crc32fast::Hasher::new(), vec![0; 64 << 10]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(crc.finalize());
        }
        crc.update(buffer.get(..count).unwrap_or_default());
    }
}

fn damaged(path: &Path, how: &str) -> ReadError {
    ReadError::Damaged { what: path.display().to_string(), how: how.to_owned() }
}
