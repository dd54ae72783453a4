//! Files that must stay as they are while they are read.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Read};
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

/// How much of a file is best read at a time, in bytes: few calls, and it stays in a core's own cache.
pub const PIECE_BYTES: usize = 64 << 10;

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

    /// Hands on all of it in order, piece by piece: exactly as many bytes as were surveyed, for they were
    /// told of already. One that changed by then is refused, after however many pieces.
    pub fn pieces<E: From<SourceFault>>(
        mut self,
        piece: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let room = piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let taken = retried(&mut self.file, piece.get_mut(..room).unwrap_or_default());
            // Whether it is still the same says more than how reading it failed.
            self.check()?;
            match taken {
                Ok(0) if room == 0 => return Ok(()),
                Ok(0) => {
                    let cause = io::Error::new(ErrorKind::UnexpectedEof, "the file became shorter");
                    return Err(SourceFault::Read { path: self.path, cause }.into());
                }
                Ok(length) => {
                    self.left = self.left.saturating_sub(length as u64);
                    take(piece.get(..length).unwrap_or_default())?;
                }
                Err(cause) => return Err(SourceFault::Read { path: self.path, cause }.into()),
            }
        }
    }

    /// Whether it still is as it was surveyed.
    fn check(&self) -> Result<(), SourceFault> {
        let path = || self.path.clone();
        let now = self.file.metadata();
        let now = now.map_err(|cause| SourceFault::Read { path: path(), cause })?;
        match now.is_file() && Stamp::from(&now) == self.stamp {
            true => Ok(()),
            false => Err(SourceFault::Changed { path: path() }),
        }
    }
}

/// What was interrupted is not what failed.
fn retried(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(into) {
            Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_interrupted_is_read_once_more() {
        struct Broken(ErrorKind);
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                // Once more, and it is worse.
                Err(std::mem::replace(&mut self.0, ErrorKind::PermissionDenied).into())
            }
        }
        for kind in [ErrorKind::Interrupted, ErrorKind::PermissionDenied] {
            let fault = retried(&mut Broken(kind), &mut [0; 8]).unwrap_err();
            assert_eq!(fault.kind(), ErrorKind::PermissionDenied, "{kind}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        // A file whose first page is nobody's.
        let path = PathBuf::from("/proc/self/mem");
        let file = File::open(&path).unwrap();
        let stamp = Stamp::from(&file.metadata().unwrap());
        let source = Source { file, path, stamp, left: 9 };
        let taken = source.pieces(&mut [0; 8], |_| Ok::<_, SourceFault>(()));
        assert_eq!(taken.unwrap_err().to_string(), "/proc/self/mem cannot be read");
    }
}
