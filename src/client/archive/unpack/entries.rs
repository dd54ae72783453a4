//! The entries of an archive: what is accepted of them, and how it is written.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use tar::EntryType;

use crate::client::archive::pack::PATH_BYTES_MAX;
use crate::client::archive::unpack::flowing::Flowing;
use crate::client::archive::unpack::{Limits, UnpackFault, Unpacked};
use crate::domain::text::is_deceptive;

/// Deepest directory within an archive.
const DEPTH_MAX: usize = 128;
/// Most that is read of what describes one entry: its header, long name, attributes. It is kept in
/// memory, whatever size the archive says it has.
const DESCRIPTION_BYTES_MAX: u64 = 64 * 1024;

/// From this size on a file is synced when it has been written: that takes no longer than writing it.
const SYNCED_BY_ITSELF_BYTES: u64 = 1 << 20;
/// Files, and directories, that are synced one by one; far fewer than a program may have open.
const UNSYNCED_MAX: usize = 256;

/// An archive on its way into a directory.
pub(super) struct Unpacking {
    root: PathBuf,
    seen: BTreeMap<PathBuf, Place>,
    path_bytes: usize,
    directories: Vec<(PathBuf, SystemTime)>,
    /// Small files that may not be on the disk yet; nothing once they are too many to be held.
    unsynced: Option<Vec<File>>,
    pub(super) done: Unpacked,
    limits: Limits,
}

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    /// Made for what lies in it; its own entry may still come.
    Implied,
    Directory,
}

impl Unpacking {
    /// Into this directory, which is empty.
    pub(super) fn into(root: PathBuf, limits: Limits) -> Self {
        let (seen, directories, done) = (BTreeMap::new(), Vec::new(), Unpacked::default());
        let unsynced = Some(Vec::new());
        Self { root, seen, path_bytes: 0, directories, unsynced, done, limits }
    }

    /// Every entry, one after the other.
    pub(super) fn archive(&mut self, from: impl Read) -> Result<(), UnpackFault> {
        let ration = Cell::new(DESCRIPTION_BYTES_MAX);
        let mut archive = tar::Archive::new(Rationed { from, ration: &ration });
        let mut entries = archive.entries().map_err(UnpackFault::Read)?;
        loop {
            ration.set(DESCRIPTION_BYTES_MAX);
            let mut entry = match entries.next() {
                None => return Ok(()),
                Some(Ok(entry)) => entry,
                Some(Err(_)) if ration.get() == 0 => {
                    let what = "bytes in the name and attributes of one entry";
                    return Err(UnpackFault::TooMuch(what));
                }
                Some(Err(fault)) => return Err(UnpackFault::Read(fault)),
            };
            // Contents pass through a buffer; whatever is left of them is not the next entry's.
            ration.set(u64::MAX);
            self.entry(&mut entry)?;
            io::copy(&mut entry, &mut io::sink()).map_err(UnpackFault::Read)?;
        }
    }

    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), UnpackFault> {
        let raw = entry.path_bytes().into_owned();
        let name = String::from_utf8_lossy(&raw).into_owned();
        let path = checked_path(&raw, &name)?;
        let mtime = entry.header().mtime().map_err(UnpackFault::Read)?;
        let mtime = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(mtime.min(253_402_300_799)))
            .unwrap_or(SystemTime::UNIX_EPOCH);
        self.done.entries += 1;
        if self.done.entries > self.limits.entries_max {
            return Err(UnpackFault::TooMuch("files and directories"));
        }
        let kind = entry.header().entry_type();
        if kind.is_gnu_sparse() || (kind.is_file() && is_sparse(entry)?) {
            return Err(UnpackFault::Sparse { name });
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "theirs, and it grows")]
        match kind {
            EntryType::Directory => {
                if path.as_os_str().is_empty() {
                    // `./`: the directory itself.
                    self.done.entries -= 1;
                    return Ok(());
                }
                self.parents(&path, &name)?;
                self.directory(&path, &name, Place::Directory)?;
                self.directories.push((path, mtime));
                Ok(())
            }
            EntryType::Regular | EntryType::Continuous => {
                if path.as_os_str().is_empty() {
                    return Err(UnpackFault::Name { name, why: "it is empty" });
                }
                self.parents(&path, &name)?;
                self.file(entry, &path, &name, mtime)
            }
            _ => Err(UnpackFault::Kind { name }),
        }
    }

    fn parents(&mut self, path: &Path, name: &str) -> Result<(), UnpackFault> {
        let mut parents: Vec<_> = path.ancestors().skip(1).collect();
        parents.reverse();
        for parent in parents.into_iter().filter(|parent| !parent.as_os_str().is_empty()) {
            match self.seen.get(parent) {
                Some(Place::Directory | Place::Implied) => {}
                Some(Place::File) => return Err(UnpackFault::Twice { name: name.to_owned() }),
                None => {
                    self.done.entries += 1;
                    self.directory(parent, name, Place::Implied)?;
                }
            }
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path, name: &str, as_: Place) -> Result<(), UnpackFault> {
        let at = self.root.join(path);
        match self.remember(path, as_)? {
            None => DirBuilder::new()
                .mode(0o755)
                .create(&at)
                .map_err(|cause| UnpackFault::Write { path: at, cause }),
            Some(Place::Implied) => {
                // It was counted when it was made.
                self.done.entries -= 1;
                Ok(())
            }
            Some(Place::File | Place::Directory) => {
                Err(UnpackFault::Twice { name: name.to_owned() })
            }
        }
    }

    /// What stood there before.
    fn remember(&mut self, path: &Path, place: Place) -> Result<Option<Place>, UnpackFault> {
        self.path_bytes += path.as_os_str().len();
        if self.path_bytes > self.limits.path_bytes_max {
            return Err(UnpackFault::TooMuch("bytes in paths"));
        }
        Ok(self.seen.insert(path.to_owned(), place))
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        path: &Path,
        name: &str,
        mtime: SystemTime,
    ) -> Result<(), UnpackFault> {
        if self.remember(path, Place::File)?.is_some() {
            return Err(UnpackFault::Twice { name: name.to_owned() });
        }
        let size = entry.size();
        self.done.bytes = self.done.bytes.saturating_add(size);
        if self.done.bytes > self.limits.bytes_max {
            return Err(UnpackFault::TooMuch("bytes"));
        }
        let executable = entry.header().mode().unwrap_or(0) & 0o100 != 0;
        let at = self.root.join(path);
        let write = |cause| UnpackFault::Write { path: at.clone(), cause };
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&at).map_err(write)?;
        let mut file = Flowing::into(file);
        let mut left = size;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let taken = entry.read(&mut buffer).map_err(UnpackFault::Read)?;
            if taken == 0 {
                let short = io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within a file");
                return Err(UnpackFault::Read(short));
            }
            file.write_all(buffer.get(..taken).unwrap_or_default()).map_err(write)?;
            left = left.saturating_sub(taken as u64);
        }
        let mode = if executable { 0o755 } else { 0o644 };
        let to = file.file();
        to.set_permissions(fs::Permissions::from_mode(mode)).map_err(write)?;
        to.set_times(FileTimes::new().set_modified(mtime)).map_err(write)?;
        if size >= SYNCED_BY_ITSELF_BYTES {
            return file.sync().map_err(write);
        }
        let file = file.unsynced().map_err(write)?;
        self.unsynced = self.unsynced.take().filter(|held| held.len() < UNSYNCED_MAX);
        if let Some(held) = &mut self.unsynced {
            held.push(file);
        }
        Ok(())
    }

    /// Makes all of it durable. A million files synced one by one would take a quarter of an hour; but
    /// to sync the file system writes what others have in it, the sealed bundle among them.
    pub(super) fn sync(&self, root: &File) -> Result<(), UnpackFault> {
        let write = |path: &Path| {
            let path = path.to_owned();
            move |cause| UnpackFault::Write { path, cause }
        };
        let made = self.seen.iter().filter(|(_, place)| **place != Place::File);
        let Some(files) = self.unsynced.as_ref().filter(|_| made.clone().count() < UNSYNCED_MAX)
        else {
            return rustix::fs::syncfs(root).map_err(|fault| write(&self.root)(fault.into()));
        };
        files.iter().try_for_each(File::sync_all).map_err(write(&self.root))?;
        for (path, _) in made {
            let path = self.root.join(path);
            File::open(&path).and_then(|dir| dir.sync_all()).map_err(write(&path))?;
        }
        root.sync_all().map_err(write(&self.root))
    }

    /// Directories get their times last: every file made in one would change them.
    pub(super) fn date_directories(&self) -> Result<(), UnpackFault> {
        for (path, mtime) in self.directories.iter().rev() {
            let path = self.root.join(path);
            let times = FileTimes::new().set_modified(*mtime);
            File::open(&path)
                .and_then(|dir| dir.set_times(times))
                .map_err(|cause| UnpackFault::Write { path, cause })?;
        }
        Ok(())
    }
}

/// Whether a file's attributes say that it has holes, in any of the ways GNU tar has had.
fn is_sparse<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<bool, UnpackFault> {
    let Some(mut attributes) = entry.pax_extensions().map_err(UnpackFault::Read)? else {
        return Ok(false);
    };
    attributes.try_fold(false, |is_sparse, attribute| {
        let attribute = attribute.map_err(UnpackFault::Read)?;
        Ok(is_sparse || attribute.key_bytes().starts_with(b"GNU.sparse."))
    })
}

/// The path of an entry within the directory; empty for the directory itself.
fn checked_path(raw: &[u8], name: &str) -> Result<PathBuf, UnpackFault> {
    let refuse = |why| Err(UnpackFault::Name { name: name.to_owned(), why });
    let Ok(text) = std::str::from_utf8(raw) else { return refuse("it is not UTF-8") };
    if text.len() > PATH_BYTES_MAX {
        return refuse("it is longer than 4096 bytes");
    }
    if text.chars().any(is_deceptive) {
        return refuse("it has characters that deceive the eye");
    }
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir if path.as_os_str().is_empty() => {}
            Component::CurDir | Component::ParentDir => return refuse("it leads elsewhere"),
            Component::RootDir | Component::Prefix(_) => return refuse("it is absolute"),
        }
    }
    if path.components().count() > DEPTH_MAX {
        return refuse("it is nested too deep");
    }
    Ok(path)
}

/// Passes on no more than it is allowed. `tar` reads long names and attributes whole, whatever size
/// they claim to have.
struct Rationed<'a, R> {
    from: R,
    /// How much more may be read.
    ration: &'a Cell<u64>,
}

impl<R: Read> Read for Rationed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.ration.get()).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 && !buffer.is_empty() {
            return Err(io::Error::other("more was to be read than may be"));
        }
        let taken = self.from.read(buffer.get_mut(..room).unwrap_or_default())?;
        self.ration.set(self.ration.get().saturating_sub(taken as u64));
        Ok(taken)
    }
}
