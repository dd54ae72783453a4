//! Unpacking what somebody else packed: into a fresh directory, regular files and directories
//! only, and all of it or nothing. Names are told apart as Linux does, byte by byte: `a` and `A`
//! are two files.

mod entries;
mod fault;
mod flowing;

pub use fault::UnpackFault;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::client::archive::pack::{ENTRIES_MAX, PATHS_BYTES_MAX};
use crate::client::archive::unpack::entries::Unpacking;
use crate::client::archive::unpack::flowing::Flowing;
use crate::client::unfinished::Unfinished;

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

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files and directories.
    pub entries: u64,
    /// Bytes in files.
    pub bytes: u64,
}

/// Unpacks an archive into a directory that is made for it, by way of one beside it. Durable on
/// return.
pub fn unpack(mut from: impl Read, into: &Path, limits: Limits) -> Result<Unpacked, UnpackFault> {
    refuse_existing(into)?;
    let parent = parent(into);
    let write = |cause| UnpackFault::Write { path: into.to_owned(), cause };
    let name = place_beside(into)?;
    let mut building = tempfile::Builder::new();
    let partial = building.prefix(&name).rand_bytes(0).tempdir_in(parent).map_err(write)?;
    let _unfinished = Unfinished::at(partial.path());
    let _held = held(partial.path()).map_err(write)?;
    let inner = partial.path().join("content");
    DirBuilder::new().mode(0o700).create(&inner).map_err(write)?;
    // Open before the first write, so that it is told of every failure to write back.
    let root = File::open(&inner).map_err(write)?;
    let mut unpacking = Unpacking::into(inner.clone(), limits);
    unpacking.archive(&mut from)?;
    read_to_end(&mut from)?;
    unpacking.date_directories()?;
    unpacking.sync(&root)?;
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
    let name = place_beside(to)?;
    let mut building = tempfile::Builder::new();
    let file = building.prefix(&name).rand_bytes(0).tempfile_in(parent).map_err(write)?;
    let _unfinished = Unfinished::at(file.path());
    let _held = held(file.path()).map_err(write)?;
    let mut flowing = Flowing::into(file.as_file().try_clone().map_err(write)?);
    let mut buffer = vec![0; 1 << 17];
    let mut size = 0;
    loop {
        let taken = from.read(&mut buffer).map_err(UnpackFault::Read)?;
        if taken == 0 {
            break;
        }
        flowing.write_all(buffer.get(..taken).unwrap_or_default()).map_err(write)?;
        size += taken as u64;
    }
    flowing.sync().map_err(write)?;
    file.persist_noclobber(to).map_err(|fault| write(fault.error))?;
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(write)?;
    Ok(size)
}

/// What is made beside a path is called before it has that name: always the same, so that what a
/// program that was killed has left there is found by the next and removed.
fn place_beside(path: &Path) -> Result<OsString, UnpackFault> {
    let mut name = OsString::from(".partial-");
    name.push(path.file_name().unwrap_or_default());
    let place = parent(path).join(&name);
    let removed = match held(&place) {
        Ok(left) if left.metadata().is_ok_and(|left| left.is_dir()) => fs::remove_dir_all(&place),
        Ok(_) => fs::remove_file(&place),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        // Somebody is at it.
        Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {
            return Err(UnpackFault::Exists(place));
        }
        Err(fault) => Err(fault),
    };
    removed.map_err(|cause| UnpackFault::Write { path: place, cause })?;
    Ok(name)
}

/// Keeps others from removing what is here, until it is dropped.
fn held(place: &Path) -> io::Result<File> {
    let file = File::open(place)?;
    file.try_lock()?;
    Ok(file)
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

#[cfg(test)]
mod tests;
