//! Files that only their owner may read: keys and what is kept beside them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why a private file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileFault {
    /// The disk says no.
    #[error("{cause}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Others could read or change it.
    #[error("other users can read or change it")]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// A directory, device or link where a file should be.
    #[error("it is not a regular file")]
    NotRegular {
        /// Which file.
        path: PathBuf,
    },
    /// Larger than such a file can be.
    #[error("it is larger than {bytes_max} bytes")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// What is possible.
        bytes_max: usize,
    },
}

impl KeyFileFault {
    /// Which file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Exposed { path }
            | Self::NotRegular { path }
            | Self::TooLarge { path, .. } => path,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Io { cause, .. } if cause.kind() == io::ErrorKind::AlreadyExists => {
                "it is never overwritten; name another place".to_owned()
            }
            Self::Io { .. } => "check that it exists and that you may use it".to_owned(),
            Self::Exposed { path } => {
                format!("run: chmod 600 '{}' — and ask who may have read it", path.display())
            }
            Self::NotRegular { .. } | Self::TooLarge { .. } => {
                "restore it from your backup".to_owned()
            }
        }
    }
}

/// Writes a file that must not exist yet, durable on return.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), KeyFileFault> {
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        sync_parent(path)
    };
    write().map_err(|cause| io_fault(path, cause))
}

/// Replaces a file, or makes it: whole or not at all, durable on return.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyFileFault> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|fault| fault.error)?;
        sync_parent(path)
    };
    write().map_err(|cause| io_fault(path, cause))
}

/// Appends to a file, making it if need be; durable on return.
pub fn append(path: &Path, bytes: &[u8]) -> Result<(), KeyFileFault> {
    let write = || {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_data()
    };
    write().map_err(|cause| io_fault(path, cause))
}

/// Reads a file that nobody else may read.
pub fn read(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, KeyFileFault> {
    let fault = |cause| io_fault(path, cause);
    let listed = fs::symlink_metadata(path).map_err(fault)?;
    if !listed.is_file() {
        return Err(KeyFileFault::NotRegular { path: path.to_owned() });
    }
    let file = File::open(path).map_err(fault)?;
    let opened = file.metadata().map_err(fault)?;
    if opened.mode() & 0o077 != 0 {
        return Err(KeyFileFault::Exposed { path: path.to_owned() });
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let room = usize::try_from(opened.len()).unwrap_or(usize::MAX).min(bytes_max) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > bytes_max {
        return Err(KeyFileFault::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(bytes)
}

/// Makes a directory that only its owner may enter, if it is not there yet.
pub fn private_dir(path: &Path) -> Result<(), KeyFileFault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|cause| io_fault(path, cause))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn io_fault(path: &Path, cause: io::Error) -> KeyFileFault {
    KeyFileFault::Io { path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn keys_are_their_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("statement.key");
        write_new(&path, b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&path, 6).unwrap().as_slice(), b"secret");
        assert!(matches!(read(&path, 5), Err(KeyFileFault::TooLarge { .. })));
        let again = write_new(&path, b"other").unwrap_err();
        assert!(again.hint().contains("never overwritten"));
        for mode in [0o640, 0o604, 0o620, 0o610] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path, 6), Err(KeyFileFault::Exposed { .. })), "{mode:o}");
        }
        replace(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        append(&path, b"er").unwrap();
        assert_eq!(read(&path, 9).unwrap().as_slice(), b"newer");
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(read(&link, 9), Err(KeyFileFault::NotRegular { .. })));
        assert!(matches!(read(dir.path(), 9), Err(KeyFileFault::NotRegular { .. })));
    }

    #[test]
    fn private_directories_are_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private_dir(&path).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    }
}
