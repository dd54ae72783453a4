//! Segments: the journal's files, each with a header that says which it is and what came before.
//!
//! A header carries the length of the previous segment and the chain up to it, so that start-up
//! sees a missing, swapped or shortened old segment without reading it. A segment is written
//! under a temporary name, synced, renamed, and its directory synced: a file that bears a
//! segment's name has a whole header, always.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::domain::id::{Bytes, Digest};
use crate::store::error::{OpenError, damaged, io_at};
use crate::store::frame::{Fields, Identity};

/// The format of headers and frames.
pub(crate) const FORMAT: u32 = 1;
/// Length of a segment's header, in bytes.
pub(crate) const SEGMENT_HEAD_BYTES: u64 = 8 + 4 + 4 + 16 + 8 + 32 + 8 + 4;
/// Behind a file's name while it is being made.
pub(crate) const UNFINISHED: &str = ".new";

/// Which of the two kinds of segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Series {
    /// Entries and commit frames.
    Events,
    /// Small objects.
    Blobs,
}

impl Series {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Events => b"EVevents",
            Self::Blobs => b"EVblobs\0",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Events => "events-",
            Self::Blobs => "blobs-",
        }
    }

    /// Where the segment with this number lies.
    pub(crate) fn path(self, directory: &Path, number: u32) -> PathBuf {
        directory.join(format!("{}{number:06}.log", self.prefix()))
    }

    /// How many segments there are. Their numbers must be 1, 2, 3, … without a gap.
    pub(crate) fn count(self, directory: &Path) -> Result<u32, OpenError> {
        let list = || -> io::Result<Vec<u32>> {
            let mut numbers = Vec::new();
            for item in fs::read_dir(directory)? {
                let name = item?.file_name();
                let number = name.to_str().and_then(|name| {
                    name.strip_prefix(self.prefix())?.strip_suffix(".log")?.parse::<u32>().ok()
                });
                numbers.extend(number);
            }
            numbers.sort_unstable();
            Ok(numbers)
        };
        let numbers = list().map_err(io_at("list", directory))?;
        for (expected, number) in (1u32..).zip(&numbers) {
            if *number != expected {
                return Err(damaged(&self.path(directory, expected), 0, "the file is missing"));
            }
        }
        Ok(u32::try_from(numbers.len()).unwrap_or(u32::MAX))
    }
}

/// The first bytes of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// Its number, from 1.
    pub(crate) number: u32,
    /// The journal it belongs to.
    pub(crate) identity: Identity,
    /// The ledger's size when it was begun.
    pub(crate) base: u64,
    /// The chain over all entries before it.
    pub(crate) chain: Digest,
    /// Length of the segment before it, in bytes; 0 for the first.
    pub(crate) previous_bytes: u64,
}

impl SegmentHead {
    fn encode(&self, series: Series) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(series.magic());
        out.extend(FORMAT.to_be_bytes());
        out.extend(self.number.to_be_bytes());
        out.extend(self.identity.0);
        out.extend(self.base.to_be_bytes());
        out.extend(self.chain.0);
        out.extend(self.previous_bytes.to_be_bytes());
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn decode(bytes: &[u8], series: Series) -> Result<Self, &'static str> {
        let parse = || {
            let mut fields = Fields(bytes);
            let magic: [u8; 8] = fields.array()?;
            let format = fields.u32()?;
            let head = Self {
                number: fields.u32()?,
                identity: Bytes(fields.array()?),
                base: fields.u64()?,
                chain: Bytes(fields.array()?),
                previous_bytes: fields.u64()?,
            };
            Some((magic, format, head, fields.u32()?))
        };
        let (magic, format, head, crc) = parse().ok_or("the header is cut short")?;
        let covered = bytes.len().checked_sub(4).and_then(|end| bytes.get(..end));
        if magic != *series.magic() {
            Err("it is not a segment of this kind")
        } else if format != FORMAT {
            Err("its format is not one this version reads")
        } else if covered.map(crc32fast::hash) != Some(crc) {
            Err("the header does not match its checksum")
        } else {
            Ok(head)
        }
    }
}

/// A segment that has its header but not its name yet.
#[derive(Debug)]
pub(crate) struct NewSegment(Unfinished, SegmentHead);

impl NewSegment {
    /// Writes the header. Where that fails, nothing has happened.
    pub(crate) fn write(directory: &Path, series: Series, head: SegmentHead) -> io::Result<Self> {
        let path = series.path(directory, head.number);
        Unfinished::write(&path, &head.encode(series)).map(|file| Self(file, head))
    }

    /// Makes it a segment, durable when this returns.
    pub(crate) fn finish(self) -> io::Result<Segment> {
        let (path, head) = (self.0.path.clone(), self.1);
        Ok(Segment { path, file: self.0.finish()?, head })
    }
}

/// A segment that is open.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) head: SegmentHead,
}

impl Segment {
    /// Makes a new segment, durable when this returns.
    pub(crate) fn create(directory: &Path, series: Series, head: SegmentHead) -> io::Result<Self> {
        NewSegment::write(directory, series, head)?.finish()
    }

    /// Opens the segment with this number and checks its header.
    pub(crate) fn open(
        directory: &Path,
        series: Series,
        number: u32,
        identity: &Identity,
    ) -> Result<Self, OpenError> {
        let path = series.path(directory, number);
        let (file, head) = Self::open_any(&path, series)?;
        if head.number != number {
            return Err(damaged(&path, 12, format!("the header says segment {}", head.number)));
        }
        if head.identity != *identity {
            return Err(damaged(&path, 16, "the segment belongs to another journal"));
        }
        Ok(Self { path, file, head })
    }

    /// Opens a segment whatever its number and journal.
    pub(crate) fn open_any(path: &Path, series: Series) -> Result<(File, SegmentHead), OpenError> {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(path, 0, "the file is missing"));
            }
            other => other.map_err(io_at("open", path))?,
        };
        let mut bytes = [0; SEGMENT_HEAD_BYTES as usize];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(damaged(path, 0, "the header is cut short"))
            }
            Err(error) => Err(io_at("read", path)(error)),
            Ok(()) => {
                let head =
                    SegmentHead::decode(&bytes, series).map_err(|how| damaged(path, 0, how))?;
                Ok((file, head))
            }
        }
    }

    /// Its length in bytes.
    pub(crate) fn bytes(&self) -> Result<u64, OpenError> {
        self.file.metadata().map(|data| data.len()).map_err(io_at("read the length of", &self.path))
    }
}

/// Makes a file with this content appear whole and durable, or not at all.
pub(crate) fn create_durably(path: &Path, content: &[u8]) -> io::Result<File> {
    Unfinished::write(path, content)?.finish()
}

/// A file that has its content but not its name yet.
#[derive(Debug)]
struct Unfinished {
    file: File,
    at: PathBuf,
    path: PathBuf,
}

impl Unfinished {
    fn write(path: &Path, content: &[u8]) -> io::Result<Self> {
        let mut at = path.as_os_str().to_owned();
        at.push(UNFINISHED);
        let at = PathBuf::from(at);
        let mut file = private_file().truncate(true).open(&at)?;
        file.write_all(content).inspect_err(|_| {
            // What is left of it is cleared by the next start.
            drop(fs::remove_file(&at));
        })?;
        Ok(Self { file, at, path: path.to_owned() })
    }

    fn finish(self) -> io::Result<File> {
        self.file.sync_all()?;
        fs::rename(&self.at, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_directory)?;
        Ok(self.file)
    }
}

/// Options for files that only their owner may read.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// Makes a directory that only its owner may enter, if it isn't there, durably.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_directory),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a directory's names durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}
