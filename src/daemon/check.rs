//! `escrowd check` and `rebuild`.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::failure::{Exit, Failure};
use crate::daemon::PROGRAM;
use crate::daemon::config::{Place, failed};
use crate::store::{DiskStore, probe_index};
use crate::vault::DomainProjector;

/// `escrowd rebuild`
pub(super) fn rebuild(data: &Path) -> Result<Exit, Failure> {
    let place = Place::new(data);
    place.config()?;
    let told = |applied: u64, of: u64| {
        if applied.is_multiple_of(10_000) || applied == of {
            eprintln!("{applied} of {of} events applied");
        }
    };
    DiskStore::rebuild(place.store(), &DomainProjector, &told).map_err(failed)?;
    eprintln!("The index was made anew from the journal; the old one was set aside.");
    Ok(Exit::Done)
}

/// `escrowd check`
pub(super) fn run(data: &Path) -> Result<Exit, Failure> {
    let place = Place::new(data);
    place.config()?;
    Ok(Exit::Done)
}

/// `escrowd probe`: exits 0 if the index opens.
pub(super) fn probe(index: &Path) -> Exit {
    if probe_index(index) { Exit::Done } else { Exit::Failed }
}

/// Tries the index in another process: a damaged one may panic, abort or hang.
pub(super) fn probe_in_child(index: &Path) -> io::Result<bool> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(PROGRAM).arg("probe").arg(index);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status()?.success())
}
