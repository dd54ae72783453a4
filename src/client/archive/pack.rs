//! Packing: the same files make the same bytes, and anything but files and directories is
//! refused by name before a byte is sent.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

use crate::client::archive::glob::glob;
use crate::client::archive::source::{PIECE_BYTES, Source, SourceFault, Stamp, kind_of};
use crate::domain::text::is_deceptive;

/// Files and directories in one archive.
pub const ENTRIES_MAX: usize = 1_000_000;
/// Longest path within an archive, in bytes.
pub const PATH_BYTES_MAX: usize = 4_096;
/// All paths within an archive together, in bytes: whoever unpacks it has to remember them.
pub const PATHS_BYTES_MAX: usize = 128 << 20;

/// A tar is a sequence of these; what follows a header fills up the last one.
const RECORD_BYTES: u64 = 512;

/// Why files cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackFault {
    /// Neither a file nor a directory.
    #[error("{} is {kind}; only files and directories can be deposited", path.display())]
    Kind {
        /// Which.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A name that others could not read, or would misread.
    #[error("the name of {path:?} has characters that cannot be read or deceive the eye")]
    Name {
        /// Which.
        path: PathBuf,
    },
    /// Two of the paths given end alike.
    #[error("two of the paths are named {0}")]
    Twice(String),
    /// A path that goes too deep.
    #[error("the path of {} is longer than 4096 bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// More than any deposit has.
    #[error("there are more than {ENTRIES_MAX} files and directories")]
    TooMany,
    /// Longer paths than any deposit has.
    #[error("the paths of the files and directories have more than 128 MiB together")]
    TooLongTogether,
    /// A pattern that leaves nothing out.
    #[error("--exclude {0:?} matches nothing")]
    NoMatch(String),
    /// A file that cannot be read, or not as it was surveyed.
    #[error(transparent)]
    Source(#[from] SourceFault),
    /// The archive cannot be written.
    #[error("the archive cannot be written")]
    Write(#[source] io::Error),
}

impl PackFault {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Kind { .. } => "put what it stands for in its place, or leave it out: --exclude",
            Self::Name { .. } | Self::Twice(_) | Self::TooLong { .. } => {
                "rename it, or leave it out: --exclude"
            }
            Self::TooMany | Self::TooLongTogether => {
                "deposit an archive of your own, sealed with `age` (stock_age)"
            }
            Self::NoMatch(_) => "check its spelling, in quotes: --exclude '*.tmp'",
            Self::Source(fault) => fault.hint(),
            Self::Write(_) => "make room on the disk and try again",
        }
    }
}

/// What will be packed.
#[derive(Debug)]
pub struct Plan {
    items: Vec<Item>,
    bytes: u64,
    path_bytes: usize,
}

#[derive(Debug)]
struct Item {
    source: PathBuf,
    name: String,
    is_dir: bool,
    is_executable: bool,
    size: u64,
    mtime: i64,
    stamp: Stamp,
}

impl Plan {
    /// Walks the paths, sorted by name. `exclude` are globs (`*`, `?`, `**`) over the name or the
    /// path within the archive.
    pub fn survey(paths: &[PathBuf], exclude: &[String]) -> Result<Self, PackFault> {
        let plan = Self { items: Vec::new(), bytes: 0, path_bytes: 0 };
        let mut walk = Walk { exclude, matched: BTreeSet::new(), plan };
        let mut tops = Vec::with_capacity(paths.len());
        for path in paths {
            tops.push((top_name(path)?, path));
        }
        tops.sort();
        for pair in tops.windows(2) {
            if let [(one, _), (other, _)] = pair
                && one == other
            {
                return Err(PackFault::Twice(one.clone()));
            }
        }
        for (name, path) in tops {
            walk.add(path, name)?;
        }
        match exclude.iter().find(|pattern| !walk.matched.contains(pattern.as_str())) {
            Some(idle) => Err(PackFault::NoMatch(idle.clone())),
            None => Ok(walk.plan),
        }
    }

    /// How many files and directories.
    pub fn entries(&self) -> usize {
        self.items.len()
    }

    /// How many bytes in files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes [`Plan::write_to`] writes, unless it fails.
    pub fn archive_bytes(&self) -> Result<u64, PackFault> {
        let mut counted = Counted(0);
        self.write(&mut counted, |item, to| {
            to.0 += item.size;
            Ok(())
        })?;
        Ok(counted.0)
    }

    /// Writes the archive: a GNU tar without owners, with times in seconds and modes 0644 or
    /// 0755. A file that changed since the survey, or changes meanwhile, is a fault.
    pub fn write_to(&self, to: impl Write) -> Result<(), PackFault> {
        let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
        self.write(to, |item, to| {
            let source = Source::open(&item.source, item.stamp)?;
            source.pieces(&mut piece, |piece| to.write_all(piece).map_err(PackFault::Write))
        })
    }

    /// What is in a file is not left to the `tar` crate, which would carry it 8 KiB at a time.
    fn write<W: Write>(
        &self,
        to: W,
        mut content: impl FnMut(&Item, &mut W) -> Result<(), PackFault>,
    ) -> Result<(), PackFault> {
        let mut tar = tar::Builder::new(to);
        for item in &self.items {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(u64::try_from(item.mtime).unwrap_or(0));
            header.set_uid(0);
            header.set_gid(0);
            let executable = item.is_dir || item.is_executable;
            header.set_mode(if executable { 0o755 } else { 0o644 });
            header.set_size(item.size);
            let (kind, name) = match item.is_dir {
                true => (tar::EntryType::Directory, format!("{}/", item.name)),
                false => (tar::EntryType::Regular, item.name.clone()),
            };
            header.set_entry_type(kind);
            tar.append_data(&mut header, name, io::empty()).map_err(PackFault::Write)?;
            if !item.is_dir {
                content(item, tar.get_mut())?;
                let left = item.size.next_multiple_of(RECORD_BYTES) - item.size;
                let filled = io::copy(&mut io::repeat(0).take(left), tar.get_mut());
                filled.map_err(PackFault::Write)?;
            }
        }
        tar.into_inner().and_then(|mut to| to.flush()).map_err(PackFault::Write)
    }
}

/// Counts what is written.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The name a path has at the top of the archive: its last part.
fn top_name(path: &Path) -> Result<String, PackFault> {
    let read = |cause| SourceFault::Read { path: path.to_owned(), cause };
    // `.` and `..` have the name of the directory they stand for; links must not be followed.
    let named = match path.components().next_back() {
        Some(Component::Normal(_)) => path.to_owned(),
        _ => path.canonicalize().map_err(read)?,
    };
    let name = named.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| PackFault::Name { path: path.to_owned() })
}

struct Walk<'a> {
    exclude: &'a [String],
    matched: BTreeSet<&'a str>,
    plan: Plan,
}

impl Walk<'_> {
    fn add(&mut self, source: &Path, name: String) -> Result<(), PackFault> {
        if self.is_excluded(&name) {
            return Ok(());
        }
        let read = |cause| SourceFault::Read { path: source.to_owned(), cause };
        let found = fs::symlink_metadata(source).map_err(read)?;
        let kind = found.file_type();
        if !kind.is_file() && !kind.is_dir() {
            return Err(PackFault::Kind { path: source.to_owned(), kind: kind_of(kind) });
        }
        if name.chars().any(is_deceptive) {
            return Err(PackFault::Name { path: source.to_owned() });
        }
        if name.len() > PATH_BYTES_MAX {
            return Err(PackFault::TooLong { path: source.to_owned() });
        }
        if self.plan.items.len() >= ENTRIES_MAX {
            return Err(PackFault::TooMany);
        }
        self.plan.path_bytes += name.len();
        if self.plan.path_bytes > PATHS_BYTES_MAX {
            return Err(PackFault::TooLongTogether);
        }
        let size = if kind.is_file() { found.len() } else { 0 };
        self.plan.bytes += size;
        self.plan.items.push(Item {
            source: source.to_owned(),
            name: name.clone(),
            is_dir: kind.is_dir(),
            is_executable: found.mode() & 0o100 != 0,
            size,
            mtime: found.mtime(),
            stamp: Stamp::from(&found),
        });
        if kind.is_dir() {
            let mut inner = Vec::new();
            for listed in fs::read_dir(source).map_err(read)? {
                let path = listed.map_err(read)?.path();
                let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
                let name = name.ok_or_else(|| PackFault::Name { path: path.clone() })?;
                inner.push((name, path));
            }
            inner.sort();
            for (inner_name, path) in inner {
                self.add(&path, format!("{name}/{inner_name}"))?;
            }
        }
        Ok(())
    }

    fn is_excluded(&mut self, name: &str) -> bool {
        let last = name.rsplit('/').next().unwrap_or(name);
        let below_top = name.split_once('/').map_or("", |(_, rest)| rest);
        let hits = self.exclude.iter().filter(|pattern| {
            let pattern = pattern.trim_end_matches('/');
            [name, below_top, last].iter().any(|name| glob(pattern.as_bytes(), name.as_bytes()))
        });
        let hits: Vec<&str> = hits.map(String::as_str).collect();
        self.matched.extend(&hits);
        !hits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("recipe");
        fs::create_dir_all(top.join("b/c")).unwrap();
        fs::write(top.join("b/c/step.txt"), "etch").unwrap();
        fs::write(top.join("a.tmp"), "draft").unwrap();
        fs::write(top.join("run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(top.join("run.sh"), fs::Permissions::from_mode(0o4711)).unwrap();
        dir
    }

    fn packed(dir: &Path, exclude: &[&str]) -> Result<Vec<u8>, PackFault> {
        let exclude: Vec<_> = exclude.iter().map(ToString::to_string).collect();
        let mut bytes = Vec::new();
        Plan::survey(&[dir.join("recipe")], &exclude)?.write_to(&mut bytes)?;
        Ok(bytes)
    }

    fn names(bytes: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap();
        entries.map(|e| e.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let dir = tree();
        let bytes = packed(dir.path(), &[]).unwrap();
        assert_eq!(bytes, packed(dir.path(), &[]).unwrap());
        let expected = [
            "recipe/",
            "recipe/a.tmp",
            "recipe/b/",
            "recipe/b/c/",
            "recipe/b/c/step.txt",
            "recipe/run.sh",
        ];
        assert_eq!(names(&bytes), expected);
        let mut archive = tar::Archive::new(&bytes[..]);
        for entry in archive.entries().unwrap() {
            let header = entry.unwrap().header().clone();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert!([0o644, 0o755].contains(&header.mode().unwrap()));
        }
    }

    #[test]
    fn how_long_the_archive_will_be_is_known_before() {
        let dir = tree();
        let top = dir.path().join("recipe");
        let long = "n".repeat(120);
        for (name, size) in [("none", 0), ("full", 512), ("more", 513), (&long, 100_000)] {
            fs::write(top.join(name), vec![7; size]).unwrap();
        }
        fs::create_dir(top.join(format!("d{long}"))).unwrap();
        for exclude in [vec![], vec!["n*".to_owned()], vec!["**".to_owned()]] {
            let plan = Plan::survey(std::slice::from_ref(&top), &exclude).unwrap();
            let mut bytes = Vec::new();
            plan.write_to(&mut bytes).unwrap();
            assert_eq!(plan.archive_bytes().unwrap(), bytes.len() as u64, "{exclude:?}");
        }
    }

    #[test]
    fn links_and_specials_are_refused_by_name() {
        let dir = tree();
        let link = dir.path().join("recipe/b/link");
        symlink("/etc/passwd", &link).unwrap();
        let fault = packed(dir.path(), &[]).unwrap_err();
        assert_eq!(
            fault.to_string(),
            format!(
                "{} is a symbolic link; only files and directories can be deposited",
                link.display()
            )
        );
        fs::remove_file(&link).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(&link).unwrap();
        assert!(packed(dir.path(), &[]).unwrap_err().to_string().contains("is a special file"));
        drop(socket);
        assert!(packed(dir.path(), &["link"]).is_ok(), "what is left out does no harm");
    }

    #[test]
    fn patterns_leave_out_what_they_match_and_idle_ones_are_told() {
        let dir = tree();
        for (pattern, left) in [
            ("*.tmp", 5),
            ("recipe/a.tmp", 5),
            ("b/c", 4),
            ("b/**", 4),
            ("**/step.txt", 5),
            ("?.tmp", 5),
            ("b/", 3),
        ] {
            let bytes = packed(dir.path(), &[pattern]).unwrap();
            assert_eq!(names(&bytes).len(), left, "{pattern}: {:?}", names(&bytes));
        }
        let fault = packed(dir.path(), &["*.tpm"]).unwrap_err();
        assert_eq!(fault.to_string(), r#"--exclude "*.tpm" matches nothing"#);
    }

    #[test]
    fn what_cannot_be_packed_is_named() {
        let dir = tree();
        let top = dir.path().join("recipe");
        let twice = Plan::survey(&[top.clone(), dir.path().join("recipe")], &[]).unwrap_err();
        assert_eq!(twice.to_string(), "two of the paths are named recipe");
        let missing = Plan::survey(&[dir.path().join("nothing")], &[]).unwrap_err();
        assert!(missing.to_string().ends_with("nothing cannot be read"));
        fs::write(top.join("two\nlines"), "").unwrap();
        assert!(matches!(packed(dir.path(), &[]), Err(PackFault::Name { .. })));
    }

    #[test]
    fn what_cannot_be_written_is_told_as_that() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let dir = tree();
        let file = [dir.path().join("recipe/run.sh")];
        let written = Plan::survey(&file, &[]).unwrap().write_to(Full).unwrap_err();
        assert!(matches!(written, PackFault::Write(_)), "{written}");
    }

    #[test]
    fn a_file_that_changes_is_a_fault() {
        type Change = fn(&Path);
        // Each leaves a file of the same size with the same time in seconds.
        let changes: [(&str, Change); 3] = [
            ("written over", |path| fs::write(path, "other").unwrap()),
            ("another in its place", |path| {
                fs::write(path.with_extension("new"), "draft").unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
            }),
            ("longer", |path| fs::write(path, "longer than before").unwrap()),
        ];
        for (what, change) in changes {
            let dir = tree();
            let path = dir.path().join("recipe/a.tmp");
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            let plan = Plan::survey(&[dir.path().join("recipe")], &[]).unwrap();
            let surveyed = Stamp::from(&fs::metadata(&path).unwrap());
            // Until the file system's clock has ticked, for it is what tells.
            while Stamp::from(&fs::metadata(&path).unwrap()) == surveyed {
                change(&path);
                File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
            }
            let fault = plan.write_to(io::sink()).unwrap_err();
            let changed = "a.tmp changed while it was read";
            let named =
                matches!(fault, PackFault::Source(_)) && fault.to_string().ends_with(changed);
            assert!(named, "{what}: {fault}");
        }
    }
}
