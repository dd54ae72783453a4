//! `escrowd backup` and `escrowd restore`.
//!
//! A backup is a data directory without index that bears a notice: it is not the vault, and is not
//! served as if it were.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::cli::failure::{Exit, Failure};
use crate::cli::progress::{self, Unit};
use crate::crypto::keyfile::{self, UNFINISHED};
use crate::daemon::PROGRAM;
use crate::daemon::check::bar;
use crate::daemon::config::{Place, failed, not_opened};
use crate::daemon::notice::Notice;
use crate::daemon::scrub::SCRUB;
use crate::daemon::stamping::STAMPS;
use crate::store::{DiskStore, Fault};

/// What is not in a backup, or made anew where it is restored.
const PASSED_OVER: [&str; 3] = ["lock", "reserve", SCRUB];
/// What the store copies itself, and the index, which is made anew.
const OF_THE_STORE: [&str; 3] = ["journal", "bundles", "sled"];

/// `escrowd backup`
pub(super) fn backup(data: &Path, to: &Path) -> Result<Exit, Failure> {
    let (place, copy) = (Place::new(data), Place::new(to));
    place.config()?;
    let is_backup = Notice::on(&copy)?.is_some_and(|notice| notice.is_backup());
    let taken = fs::read_dir(to).is_ok_and(|mut listing| listing.next().is_some());
    if taken && !is_backup {
        let message = format!("{} is not empty, and not a backup", to.display());
        let hint = "name a new directory, or an earlier backup, with --to";
        return Err(Failure::failed("EXISTS", message, hint).about(to.display()));
    }
    keyfile::private_dir(to).map_err(failed)?;
    // First of all: what is here must never be taken for the vault.
    Notice::backup(0).put(&copy)?;
    let mut faults = 0;
    let mut report = |fault: Fault| {
        faults += 1;
        eprintln!("{PROGRAM}: damage: {fault}");
    };
    // Before the journal: so no backup has a time-stamp of more than is in it.
    let stamps = data.join(STAMPS);
    if stamps.exists() {
        keyfile::private_dir(&to.join(STAMPS)).map_err(failed)?;
        copy_tree(&stamps, &to.join(STAMPS), &[]).map_err(io_failed(to))?;
    }
    let copied = DiskStore::back_up(place.store(), to, &mut report).map_err(not_opened)?;
    let passed_over = [&OF_THE_STORE[..], &PASSED_OVER[..], &[STAMPS]].concat();
    copy_tree(data, to, &passed_over).map_err(io_failed(to))?;
    Notice::backup(copied.entries).put(&copy)?;
    eprintln!(
        "{} has the vault's keys, {} events and every bundle they name; {} large bundles are new.",
        to.display(),
        copied.entries,
        copied.bundles
    );
    match faults {
        0 => Ok(Exit::Done),
        _ => {
            let message = format!("{faults} damaged bundles are not in the backup");
            let hint = "run `escrowd check`; restore what is named from an earlier backup";
            Err(Failure::failed("DAMAGED", message, hint))
        }
    }
}

/// `escrowd restore`
pub(super) fn restore(from: &Path, data: &Path, complete: bool) -> Result<Exit, Failure> {
    let backup = Place::new(from);
    backup.config()?;
    if !Notice::on(&backup)?.is_some_and(|notice| notice.is_backup()) {
        let message = format!("{} is not a backup", from.display());
        let hint = "name a directory that `escrowd backup` has made with --from";
        return Err(Failure::failed("NO_BACKUP", message, hint));
    }
    let taken = fs::read_dir(data).is_ok_and(|mut listing| listing.next().is_some());
    if taken || data.is_file() {
        let message = format!("{} is not empty", data.display());
        let hint = "a vault is never overwritten; move it away, or name another directory";
        return Err(Failure::failed("EXISTS", message, hint).about(data.display()));
    }
    let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io_failed(parent))?;
    let building = tempfile::Builder::new().prefix(".escrowd-restore-").tempdir_in(parent);
    let building = building.map_err(io_failed(parent))?;
    let dir = building.path().join("vault");
    keyfile::private_dir(&dir).map_err(failed)?;
    copy_tree(from, &dir, &PASSED_OVER).map_err(io_failed(&dir))?;
    let mut faults = 0;
    let report = &mut |fault| {
        faults += 1;
        progress::say(&format!("{PROGRAM}: damage: {fault}"));
    };
    let checked = DiskStore::verify(&dir, report, &bar("checking", Unit::Bytes));
    let checked = checked.map_err(not_opened)?;
    if complete {
        Notice::lift(&Place::new(&dir))?;
    }
    if data.exists() {
        fs::remove_dir(data).map_err(io_failed(data))?;
    }
    fs::rename(&dir, data).map_err(io_failed(data))?;
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(io_failed(parent))?;
    let shown = data.display();
    eprintln!("{shown} has the vault with {} events.", checked.entries);
    match complete {
        true => eprintln!("Next: escrowd serve --data {shown}"),
        false => eprintln!(
            "What the vault signed after the backup is missing. Next: escrowd recover --data {shown}"
        ),
    }
    match faults {
        0 => Ok(Exit::Done),
        _ => {
            let message = format!("{faults} faults are in the backup, and in {shown} now");
            let hint = "restore from an earlier backup, or mend what is named from one";
            Err(Failure::failed("DAMAGED", message, hint))
        }
    }
}

/// Copies files and directories, private and durable, but for these names at the top.
fn copy_tree(from: &Path, to: &Path, passed_over: &[&str]) -> io::Result<()> {
    for item in fs::read_dir(from)? {
        let item = item?;
        let (name, kind) = (item.file_name(), item.file_type()?);
        // What is being written has its name when it is whole.
        let is_unfinished = name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
        if is_unfinished || passed_over.iter().any(|passed_over| name == *passed_over) {
            continue;
        }
        let (source, target) = (item.path(), to.join(&name));
        if kind.is_dir() {
            match fs::create_dir(&target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
            fs::set_permissions(&target, fs::Permissions::from_mode(0o700))?;
            copy_tree(&source, &target, &[])?;
        } else if kind.is_file() {
            let mut copy = tempfile::NamedTempFile::new_in(to)?;
            io::copy(&mut File::open(&source)?, &mut copy)?;
            copy.as_file().sync_all()?;
            copy.persist(&target).map_err(|error| error.error)?;
        }
    }
    File::open(to)?.sync_all()
}

fn io_failed(path: &Path) -> impl FnOnce(io::Error) -> Failure + '_ {
    move |fault| {
        let message = format!("{}: {fault}", path.display());
        Failure::failed("DISK", message, "make room, or name a place that you may write to")
    }
}
