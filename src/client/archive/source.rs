//! Files that must stay as they are while they are read.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Why a file cannot be read as it is.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// It is being written to.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl SourceFault {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "wait until nothing writes to it, and try again",
            Self::Read { .. } => "check that it exists and that you may read it",
        }
    }
}

/// What somebody named, in words.
pub fn kind_of(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_file() => "a file",
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a symbolic link",
        _ => "a special file",
    }
}

/// What a file's contents cannot change without, as far as the system can tell: which file it is,
/// its size, and when it and what is known of it changed, in nanoseconds. (The clock of many file
/// systems ticks every few milliseconds; a change of equal size within a tick goes unseen.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&fs::Metadata> for Stamp {
    fn from(found: &fs::Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Stamp {
    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// A file that is read as it was surveyed, or not at all.
pub struct Source {
    file: File,
    path: PathBuf,
    stamp: Stamp,
    left: u64,
}

impl Source {
    /// Opens a file that was surveyed. Links are not followed, and nothing else that has come in its
    /// place is waited for.
    pub fn open(path: &Path, stamp: Stamp) -> Result<Self, SourceFault> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened =
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
        let file = opened.map_err(|cause| SourceFault::Read { path: path.to_owned(), cause })?;
        let source = Self { file, path: path.to_owned(), stamp, left: stamp.size };
        source.check()?;
        Ok(source)
    }

    /// Whether it still is as it was surveyed. To be asked once more when it has been read.
    pub fn check(&self) -> Result<(), SourceFault> {
        let path = || self.path.clone();
        let now = self.file.metadata();
        let now = now.map_err(|cause| SourceFault::Read { path: path(), cause })?;
        match now.is_file() && Stamp::from(&now) == self.stamp {
            true => Ok(()),
            false => Err(SourceFault::Changed { path: path() }),
        }
    }
}

impl Read for Source {
    /// Exactly as many bytes as were surveyed: they were told of already.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let taken = self.file.read(buffer.get_mut(..room).unwrap_or_default())?;
        self.left -= taken as u64;
        if taken == 0 && room > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        Ok(taken)
    }
}
