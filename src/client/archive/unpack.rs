//! Unpacking what somebody else packed: into a fresh directory, regular files and directories
//! only, and all of it or nothing. Names are told apart as Linux does, byte by byte: `a` and `A`
//! are two files.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use tar::EntryType;

use crate::client::archive::pack::{ENTRIES_MAX, PATH_BYTES_MAX, PATHS_BYTES_MAX};
use crate::client::unfinished::Unfinished;
use crate::domain::text::is_deceptive;

/// Bounds on what an archive may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and directories.
    pub entries_max: u64,
    /// Bytes in files.
    pub bytes_max: u64,
    /// Bytes in the paths of files and directories together, which are remembered.
    pub path_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let entries_max = ENTRIES_MAX as u64;
        Self { entries_max, bytes_max: 1 << 40, path_bytes_max: PATHS_BYTES_MAX }
    }
}

/// Deepest directory within an archive.
const DEPTH_MAX: usize = 128;
/// Most that is read of what describes one entry: its header, long name, attributes. It is kept in
/// memory, whatever size the archive says it has.
const DESCRIPTION_BYTES_MAX: u64 = 64 * 1024;

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files and directories.
    pub entries: u64,
    /// Bytes in files.
    pub bytes: u64,
}

/// Why an archive was not unpacked. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum UnpackFault {
    /// Something is there already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// An entry that is neither file nor directory.
    #[error("the archive's entry {name:?} is neither a file nor a directory")]
    Kind {
        /// Which.
        name: String,
    },
    /// A file with holes, which would be as large as it says and not as what was sealed.
    #[error("the archive's entry {name:?} is a sparse file")]
    Sparse {
        /// Which.
        name: String,
    },
    /// An entry that would leave the directory, or deceive the eye.
    #[error("the archive's entry {name:?} has a name that is not accepted: {why}")]
    Name {
        /// Which.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// Two entries for one place.
    #[error("the archive has {name:?} twice")]
    Twice {
        /// Which.
        name: String,
    },
    /// More than was bargained for.
    #[error("the archive has more {0} than is accepted")]
    TooMuch(&'static str),
    /// Not an archive, or cut short, or not what was stated.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// Bytes behind the archive's end.
    #[error("there is something behind the archive's end")]
    Trailing,
    /// The disk says no.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl UnpackFault {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Exists(_) => "name a place that does not exist yet with --out",
            Self::Write { .. } => "make room, or name another place with --out; nothing is lost",
            Self::Kind { .. }
            | Self::Sparse { .. }
            | Self::Name { .. }
            | Self::Twice { .. }
            | Self::TooMuch(_)
            | Self::Read(_)
            | Self::Trailing => {
                "nothing was kept; --raw writes what was sealed as one file, to be looked at \
                 with care"
            }
        }
    }
}

/// Unpacks an archive into a directory that is made for it, by way of one beside it. Durable on
/// return.
pub fn unpack(mut from: impl Read, into: &Path, limits: Limits) -> Result<Unpacked, UnpackFault> {
    refuse_existing(into)?;
    let parent = parent(into);
    let write = |cause| UnpackFault::Write { path: into.to_owned(), cause };
    let mut building = tempfile::Builder::new();
    let partial = building.prefix(".partial-").tempdir_in(parent).map_err(write)?;
    let _unfinished = Unfinished::at(partial.path());
    let inner = partial.path().join("content");
    DirBuilder::new().mode(0o700).create(&inner).map_err(write)?;
    // Open before the first write, so that it is told of every failure to write back.
    let root = File::open(&inner).map_err(write)?;
    let mut unpacking = Unpacking {
        root: inner.clone(),
        seen: BTreeMap::new(),
        path_bytes: 0,
        directories: Vec::new(),
        done: Unpacked::default(),
        limits,
    };
    unpacking.archive(&mut from)?;
    read_to_end(&mut from)?;
    unpacking.date_directories()?;
    // Once for all: a million files synced one by one would take a quarter of an hour.
    rustix::fs::syncfs(&root).map_err(|fault| write(fault.into()))?;
    refuse_existing(into)?;
    fs::rename(&inner, into).map_err(write)?;
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(write)?;
    Ok(unpacking.done)
}

/// Writes what was sealed as one file, which must not exist. Durable on return.
pub fn write_single(mut from: impl Read, to: &Path) -> Result<u64, UnpackFault> {
    refuse_existing(to)?;
    let write = |cause| UnpackFault::Write { path: to.to_owned(), cause };
    let parent = parent(to);
    let mut file = tempfile::NamedTempFile::new_in(parent).map_err(write)?;
    let _unfinished = Unfinished::at(file.path());
    let mut buffer = vec![0; 1 << 17];
    let mut size = 0;
    loop {
        let taken = from.read(&mut buffer).map_err(UnpackFault::Read)?;
        if taken == 0 {
            break;
        }
        file.write_all(buffer.get(..taken).unwrap_or_default()).map_err(write)?;
        size += taken as u64;
    }
    file.as_file().sync_all().map_err(write)?;
    file.persist_noclobber(to).map_err(|fault| write(fault.error))?;
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(write)?;
    Ok(size)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn refuse_existing(path: &Path) -> Result<(), UnpackFault> {
    match path.symlink_metadata() {
        Ok(_) => Err(UnpackFault::Exists(path.to_owned())),
        Err(_) => Ok(()),
    }
}

/// Behind the end there may be zeros, as tar pads its blocks, and nothing else.
fn read_to_end(from: &mut impl Read) -> Result<(), UnpackFault> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let taken = from.read(&mut buffer).map_err(UnpackFault::Read)?;
        if taken == 0 {
            return Ok(());
        }
        if buffer.iter().take(taken).any(|byte| *byte != 0) {
            return Err(UnpackFault::Trailing);
        }
    }
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

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    /// Made for what lies in it; its own entry may still come.
    Implied,
    Directory,
}

struct Unpacking {
    root: PathBuf,
    seen: BTreeMap<PathBuf, Place>,
    path_bytes: usize,
    directories: Vec<(PathBuf, SystemTime)>,
    done: Unpacked,
    limits: Limits,
}

impl Unpacking {
    fn archive(&mut self, from: impl Read) -> Result<(), UnpackFault> {
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
        let mut file = options.write(true).create_new(true).mode(0o600).open(&at).map_err(write)?;
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
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(write)?;
        file.set_times(FileTimes::new().set_modified(mtime)).map_err(write)
    }

    /// Directories get their times last: every file made in one would change them.
    fn date_directories(&self) -> Result<(), UnpackFault> {
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::client::archive::pack::Plan;

    fn entry(bytes: &mut tar::Builder<Vec<u8>>, kind: EntryType, name: &[u8], data: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        bytes.append(&header, data).unwrap();
    }

    fn archive(entries: &[(EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        entries.iter().for_each(|(kind, name)| entry(&mut builder, *kind, name, b""));
        builder.into_inner().unwrap()
    }

    fn attempt(bytes: &[u8], limits: Limits) -> Result<Unpacked, UnpackFault> {
        let dir = tempfile::tempdir().unwrap();
        let outcome = unpack(bytes, &dir.path().join("out"), limits);
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, usize::from(outcome.is_ok()), "all of it or nothing");
        outcome
    }

    #[test]
    fn hostile_archives_leave_nothing() {
        use EntryType::{
            Block, Char, Directory, Fifo, GNULongName, GNUSparse, Link, Regular, Symlink,
            XGlobalHeader,
        };
        for (what, entries, says) in [
            ("absolute", &[(Regular, &b"/etc/cron.d/x"[..])][..], "it is absolute"),
            ("parent", &[(Regular, b"../x")], "it leads elsewhere"),
            ("inner parent", &[(Regular, b"a/../../x")], "it leads elsewhere"),
            ("symlink", &[(Symlink, b"x")], "neither a file nor a directory"),
            ("hard link", &[(Link, b"x")], "neither a file nor a directory"),
            ("device", &[(Char, b"x")], "neither a file nor a directory"),
            ("block device", &[(Block, b"x")], "neither a file nor a directory"),
            ("pipe", &[(Fifo, b"x")], "neither a file nor a directory"),
            ("sparse", &[(GNUSparse, b"x")], "cannot be read"),
            ("attributes for all", &[(XGlobalHeader, b"x")], "neither a file nor a directory"),
            ("a name for nothing", &[(GNULongName, b"x")], "cannot be read"),
            ("unknown", &[(EntryType::new(b'Z'), b"x")], "neither a file nor a directory"),
            ("twice", &[(Regular, b"x"), (Regular, b"x")], "twice"),
            ("twice, dotted", &[(Regular, b"x"), (Regular, b"./x")], "twice"),
            ("twice, two slashes", &[(Regular, b"a/b"), (Regular, b"a//b")], "twice"),
            ("twice, inner dot", &[(Regular, b"a/b"), (Regular, b"a/./b")], "twice"),
            ("twice, with a slash", &[(Directory, b"a"), (Directory, b"a/")], "twice"),
            ("directory twice", &[(Directory, b"x/"), (Directory, b"x/")], "twice"),
            ("file as directory", &[(Regular, b"x"), (Regular, b"x/y")], "twice"),
            ("directory as file", &[(Regular, b"x/y"), (Regular, b"x")], "twice"),
            ("not UTF-8", &[(Regular, b"\xff")], "not UTF-8"),
            ("escape sequence", &[(Regular, b"\x1b[2J")], "deceive the eye"),
            ("bidirectional", &[(Regular, "\u{202e}gnp".as_bytes())], "deceive the eye"),
            ("empty", &[(Regular, b"./")], "it is empty"),
        ] {
            let fault = attempt(&archive(entries), Limits::default()).unwrap_err();
            assert!(fault.to_string().contains(says), "{what}: {fault}");
        }
    }

    #[test]
    fn archives_are_bounded_and_whole() {
        let mut builder = tar::Builder::new(Vec::new());
        entry(&mut builder, EntryType::Regular, b"a/b", &[7; 1000]);
        let good = builder.into_inner().unwrap();
        let limits =
            |entries_max, bytes_max| Limits { entries_max, bytes_max, ..Limits::default() };
        assert_eq!(attempt(&good, limits(2, 1000)).unwrap(), Unpacked { entries: 2, bytes: 1000 });
        let much = attempt(&good, limits(2, 999)).unwrap_err();
        assert!(matches!(much, UnpackFault::TooMuch("bytes")));
        let huge = attempt(&archive(&[(EntryType::Regular, b"a")]), limits(0, 0)).unwrap_err();
        assert!(matches!(huge, UnpackFault::TooMuch("files and directories")));
        // `a/b` and the directory it lies in.
        let paths = |path_bytes_max| Limits { path_bytes_max, ..Limits::default() };
        assert!(attempt(&good, paths(4)).is_ok());
        let long = attempt(&good, paths(3)).unwrap_err();
        assert!(matches!(long, UnpackFault::TooMuch("bytes in paths")));
        assert!(matches!(attempt(&good[..900], Limits::default()), Err(UnpackFault::Read(_))));
        let mut trailing = good.clone();
        trailing.extend(b"more");
        assert!(matches!(attempt(&trailing, Limits::default()), Err(UnpackFault::Trailing)));
        assert!(attempt(b"not an archive, but quite long", Limits::default()).is_err());
    }

    /// An archive of one file, described by an entry of this kind, claimed size and content.
    fn described(kind: EntryType, claimed: u64, description: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_path("description").unwrap();
        header.set_entry_type(kind);
        header.set_size(claimed);
        header.set_cksum();
        builder.append(&header, description).unwrap();
        entry(&mut builder, EntryType::Regular, b"file", b"content");
        builder.into_inner().unwrap()
    }

    fn attribute(key: &str, value: &str) -> Vec<u8> {
        // Its length counts itself: three digits, two blanks and a line break are six.
        format!("{:03} {key}={value}\n", key.len() + value.len() + 6).into_bytes()
    }

    #[test]
    fn descriptions_are_bounded_before_they_are_read() {
        use EntryType::{GNULongLink, GNULongName, XHeader};
        let padding = |bytes: usize| attribute("comment", &"x".repeat(700)).repeat(bytes / 700);
        for (what, kind, claimed, description, says) in [
            ("a long name", GNULongName, None, vec![b'n'; 200], ""),
            ("a longer one than is accepted", GNULongName, None, vec![b'n'; 5_000], "4096 bytes"),
            ("a huge one", GNULongName, None, vec![b'n'; 70_000], "name and attributes"),
            ("one said to be 20 GiB", GNULongName, Some(20 << 30), vec![b'n'; 1 << 20], "name and"),
            (
                "a huge link",
                GNULongLink,
                Some(20 << 30),
                vec![b'n'; 1 << 20],
                "name and attributes",
            ),
            ("some attributes", XHeader, None, padding(7_000), ""),
            ("huge attributes", XHeader, None, padding(70_000), "name and attributes"),
            ("attributes said to be 20 GiB", XHeader, Some(20 << 30), padding(1 << 20), "name and"),
            ("holes", XHeader, None, attribute("GNU.sparse.map", "0,1"), "sparse"),
            ("holes, anew", XHeader, None, attribute("GNU.sparse.major", "1"), "sparse"),
            ("a path in an attribute", XHeader, None, attribute("path", "../x"), "leads elsewhere"),
            ("attributes that are none", XHeader, None, b"999 x".to_vec(), "cannot be read"),
        ] {
            let claimed = claimed.unwrap_or(description.len() as u64);
            let outcome = attempt(&described(kind, claimed, &description), Limits::default());
            match outcome {
                Ok(_) => assert_eq!(says, "", "{what} was unpacked"),
                Err(fault) => {
                    let refused = !says.is_empty() && fault.to_string().contains(says);
                    assert!(refused, "{what}: {fault}");
                }
            }
        }
    }

    #[test]
    fn names_differ_as_they_do_on_linux_and_times_are_what_the_disk_can_hold() {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        for (name, mtime) in [("a", 0), ("A", 1 << 33), ("b", u64::MAX)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_mtime(mtime);
            builder.append_data(&mut header, name, io::empty()).unwrap();
        }
        let out = dir.path().join("out");
        unpack(&builder.into_inner().unwrap()[..], &out, Limits::default()).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
        let modified = |name: &str| fs::metadata(out.join(name)).unwrap().modified().unwrap();
        assert_eq!(modified("a"), SystemTime::UNIX_EPOCH);
        assert!(modified("b") >= modified("A"));
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            unpack(&archive(&[])[..], dir.path(), Limits::default()),
            Err(UnpackFault::Exists(_))
        ));
        let file = dir.path().join("file");
        assert_eq!(write_single(&b"one"[..], &file).unwrap(), 3);
        assert!(matches!(write_single(&b"two"[..], &file), Err(UnpackFault::Exists(_))));
        assert_eq!(fs::read(&file).unwrap(), b"one");
    }

    #[test]
    fn what_stock_tar_packs_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        let long = format!("{}/{}", "n".repeat(60), "m".repeat(60));
        fs::create_dir_all(top.join(&long)).unwrap();
        fs::write(top.join(&long).join("file"), "content").unwrap();
        fs::set_permissions(top.join(&long).join("file"), fs::Permissions::from_mode(0o4755))
            .unwrap();
        for format in ["gnu", "ustar", "pax"] {
            let tar = Command::new("tar")
                .args(["-c", "--format", format, "-C"])
                .arg(dir.path())
                .args(["--exclude", "out-*", "top"])
                .output()
                .unwrap();
            assert!(tar.status.success());
            let out = dir.path().join(format!("out-{format}"));
            unpack(&tar.stdout[..], &out, Limits::default()).unwrap();
            let file = out.join("top").join(&long).join("file");
            assert_eq!(fs::read_to_string(&file).unwrap(), "content");
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o755);
        }
    }

    #[test]
    fn files_that_stock_tar_packs_with_holes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join("holes")).unwrap().set_len(1 << 20).unwrap();
        for format in ["gnu", "pax"] {
            let mut tar = Command::new("tar");
            tar.args(["-c", "--sparse", "--format", format, "-C"]).arg(dir.path()).arg("holes");
            let packed = tar.output().unwrap();
            assert!(packed.status.success());
            let fault = attempt(&packed.stdout, Limits::default()).unwrap_err();
            assert!(matches!(fault, UnpackFault::Sparse { .. }), "{format}: {fault}");
        }
    }

    #[test]
    fn what_was_packed_comes_out_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir_all(top.join("empty")).unwrap();
        fs::write(top.join("zero"), "").unwrap();
        fs::write(top.join("기판.txt"), vec![1; 70_000]).unwrap();
        let mut bytes = Vec::new();
        Plan::survey(std::slice::from_ref(&top), &[]).unwrap().write_to(&mut bytes).unwrap();
        let out = dir.path().join("out");
        unpack(&bytes[..], &out, Limits::default()).unwrap();
        let mut again = Vec::new();
        Plan::survey(&[out.join("top")], &[]).unwrap().write_to(&mut again).unwrap();
        assert_eq!(bytes, again, "names, contents, modes and times");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_make_it_panic(at in 0usize..1500, byte: u8, tail: Vec<u8>) {
            let mut builder = tar::Builder::new(Vec::new());
            entry(&mut builder, EntryType::Regular, b"a", &[7; 100]);
            let mut bytes = builder.into_inner().unwrap();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.extend(tail);
            let _ = attempt(&bytes, Limits { entries_max: 10, bytes_max: 10_000, path_bytes_max: 1_000 });
        }
    }
}
