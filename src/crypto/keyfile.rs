//! Secrets at rest: files that only their owner can read, whole or not there at all.
//!
//! Nothing is encrypted here; that is for whoever makes the bytes. What is absent: following
//! symbolic links, and repairing permissions, which would hide that a secret was exposed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Why a secret was not read or written. Nothing was changed, unless it says "may".
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others than the owner have access, so the secret may be known to them.
    #[error("{path} is open to others (mode {mode:04o}); run `chmod {remedy:o} {path}` and consider replacing what it protects", path = path.display())]
    Exposed {
        /// Which file or directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        remedy: u32,
    },
    /// A link, directory, device or pipe where a secret should be.
    #[error("{path} is not a {expected}; put one there, not a link to one", path = path.display())]
    WrongKind {
        /// What was found there.
        path: PathBuf,
        /// "regular file" or "directory".
        expected: &'static str,
    },
    /// Larger than any such secret is.
    #[error("{path} has {bytes} bytes, more than the {bytes_max} such a file can have", path = path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most that is read.
        bytes_max: usize,
    },
    /// There is a file already, and a secret is never overwritten by accident.
    #[error("{path} exists already; move it away first if it is not needed", path = path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The system refused. After a failed "sync" the file may be there and not be durable.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Every kind of access for anybody but the owner.
const OTHERS: u32 = 0o077;
/// That the group may read.
const GROUP_READS: u32 = 0o040;

/// Writes a secret where none is: mode 0600, durable on return. It appears whole or not at all,
/// and an existing file, or link, of that name is [`KeyFileError::Exists`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let staged = stage(path, bytes)?;
    staged.persist_noclobber(path).map_err(|failed| {
        if failed.error.kind() == io::ErrorKind::AlreadyExists {
            KeyFileError::Exists { path: path.to_owned() }
        } else {
            failure("create", path)(failed.error)
        }
    })?;
    sync_directory(parent(path))
}

/// Writes a secret in place of the one that is there, if any: mode 0600, durable on return. A
/// reader, or a crash, sees the old one or the new one, never a mixture.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let staged = stage(path, bytes)?;
    staged.persist(path).map_err(|failed| failure("replace", path)(failed.error))?;
    sync_directory(parent(path))
}

/// Removes a secret, durably.
pub fn remove(path: &Path) -> Result<(), KeyFileError> {
    fs::remove_file(path).map_err(failure("remove", path))?;
    sync_directory(parent(path))
}

/// Appends to a private file, making it if need be: mode 0600, durable on return. After a crash
/// a part of the bytes may be there.
pub fn append(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).open(path);
    let mut file = opened.map_err(failure("open", path))?;
    let is_new = file.metadata().map_err(failure("look at", path))?.len() == 0;
    file.write_all(bytes).map_err(failure("write", path))?;
    file.sync_data().map_err(failure("sync", path))?;
    // A file that was just made, or made by a program that ended here, has no durable name yet.
    if is_new { sync_directory(parent(path)) } else { Ok(()) }
}

/// Waits until nobody else holds the lock of this name, and holds it until dropped.
pub fn lock(path: &Path) -> Result<File, KeyFileError> {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).open(path);
    let file = opened.map_err(failure("open", path))?;
    file.lock().map_err(failure("lock", path))?;
    Ok(file)
}

/// Takes the lock of this name until it is dropped; `None` where somebody holds it.
pub fn try_lock(path: &Path) -> Result<Option<File>, KeyFileError> {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).open(path);
    let file = opened.map_err(failure("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(fault)) => Err(failure("lock", path)(fault)),
    }
}

/// Reads a secret of at most `bytes_max` bytes from a regular file that group and others have no
/// access to.
pub fn read(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    read_unless(OTHERS, path, bytes_max)
}

/// The same for a file that systemd hands to this service (systemd.exec(5), `LoadCredential=`): it
/// lies in a directory that only the service may enter, and an access list lets the service's user
/// read it. By its mode that looks like access of the file's group.
pub fn read_handed_over(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    read_unless(OTHERS & !GROUP_READS, path, bytes_max)
}

fn read_unless(
    exposed: u32,
    path: &Path,
    bytes_max: usize,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    // Non-blocking, or opening a pipe would wait for somebody to write into it.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file =
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(
            |source| match source.raw_os_error() {
                Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
                    KeyFileError::WrongKind { path: path.to_owned(), expected: "regular file" }
                }
                _ => failure("open", path)(source),
            },
        )?;
    // Asked of the open file, so that what is checked is what is read.
    let found = file.metadata().map_err(failure("look at", path))?;
    if !found.is_file() {
        return Err(KeyFileError::WrongKind { path: path.to_owned(), expected: "regular file" });
    }
    refuse_exposed(exposed, path, &found, 0o600)?;
    let size = usize::try_from(found.len()).unwrap_or(usize::MAX);
    if size > bytes_max {
        return Err(KeyFileError::TooLarge {
            path: path.to_owned(),
            bytes: found.len(),
            bytes_max,
        });
    }
    // Room for one byte more: the buffer never moves, so no copy of the secret stays behind.
    let mut secret = Zeroizing::new(Vec::with_capacity(size + 1));
    let limit = found.len() + 1;
    let count = file.take(limit).read_to_end(&mut secret).map_err(failure("read", path))?;
    if count != size {
        let changed = io::Error::other("it changed while it was read; try again");
        return Err(failure("read", path)(changed));
    }
    Ok(secret)
}

/// Refuses what is no regular file, or is open to others, without reading it.
pub fn check(path: &Path) -> Result<(), KeyFileError> {
    let found = fs::symlink_metadata(path).map_err(failure("look at", path))?;
    if !found.is_file() {
        return Err(KeyFileError::WrongKind { path: path.to_owned(), expected: "regular file" });
    }
    refuse_exposed(OTHERS, path, &found, 0o600)
}

/// Makes a directory, and missing ones above it, that only its owner can enter: mode 0700,
/// durable on return. One that is there already is accepted if it is no more open than that.
pub fn private_dir(path: &Path) -> Result<(), KeyFileError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => return refuse_exposed(OTHERS, path, &found, 0o700),
        Ok(_) => {
            return Err(KeyFileError::WrongKind { path: path.to_owned(), expected: "directory" });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failure("look at", path)(error)),
    }
    if !parent(path).exists() {
        private_dir(parent(path))?;
    }
    DirBuilder::new().mode(0o700).create(path).map_err(failure("create", path))?;
    sync_directory(parent(path))
}

/// What the name of a file begins with that is not whole yet.
pub const UNFINISHED: &str = ".new-";

/// A synced file beside `path`, gone again if it is dropped. tempfile creates with mode 0600.
fn stage(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, KeyFileError> {
    let mut staged = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(parent(path))
        .map_err(failure("create", path))?;
    staged.write_all(bytes).map_err(failure("write", path))?;
    staged.as_file().sync_all().map_err(failure("sync", path))?;
    Ok(staged)
}

fn refuse_exposed(
    exposed: u32,
    path: &Path,
    found: &fs::Metadata,
    remedy: u32,
) -> Result<(), KeyFileError> {
    let mode = found.mode() & 0o7777;
    if mode & exposed == 0 {
        Ok(())
    } else {
        Err(KeyFileError::Exposed { path: path.to_owned(), mode, remedy })
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn sync_directory(path: &Path) -> Result<(), KeyFileError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failure("sync", path))
}

fn failure(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    move |source| KeyFileError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_secret_is_private_whole_and_not_overwritten_by_accident() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_new(&path, b"first").unwrap();
        assert_eq!(mode_of(&path), 0o600);
        assert!(matches!(write_new(&path, b"second"), Err(KeyFileError::Exists { .. })));
        assert_eq!(**read(&path, 5).unwrap(), *b"first");
        replace(&path, b"third").unwrap();
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(**read(&path, 5).unwrap(), *b"third");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing staged is left");
    }

    #[test]
    fn a_dangling_link_is_neither_followed_nor_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join("key"), dir.path().join("elsewhere"));
        symlink(&target, &path).unwrap();
        assert!(matches!(write_new(&path, b"x"), Err(KeyFileError::Exists { .. })));
        assert!(!target.exists());
    }

    #[test]
    fn what_may_not_hold_a_secret_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (mode, readable) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)]
        {
            let _ = fs::remove_file(&path);
            write_new(&path, b"secret").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let outcome = read(&path, 100);
            assert_eq!(outcome.is_ok(), readable, "{mode:o}");
            if let Err(error) = outcome {
                let remedy = format!("chmod 600 {}", path.display());
                assert!(error.to_string().contains(&remedy), "{error}");
            }
        }
        replace(&path, &[7; 101]).unwrap();
        assert!(matches!(read(&path, 100), Err(KeyFileError::TooLarge { bytes: 101, .. })));

        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        for wrong in [link.as_path(), pipe.as_path(), dir.path()] {
            let error = read(wrong, 100).unwrap_err();
            assert!(matches!(error, KeyFileError::WrongKind { .. }), "{error}");
        }
        let missing = read(&dir.path().join("missing"), 100).unwrap_err();
        assert!(matches!(missing, KeyFileError::Io { action: "open", .. }), "{missing}");
    }

    #[test]
    fn a_private_directory_is_made_once_and_never_silently_tightened() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        private_dir(&inner).unwrap();
        private_dir(&inner).unwrap();
        assert_eq!((mode_of(&inner), mode_of(inner.parent().unwrap())), (0o700, 0o700));
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o750)).unwrap();
        let error = private_dir(&inner).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
        write_new(&inner.join("file"), b"").unwrap();
        let error = private_dir(&inner.join("file")).unwrap_err();
        assert!(matches!(error, KeyFileError::WrongKind { expected: "directory", .. }), "{error}");
    }
}
