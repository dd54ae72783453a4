//! `escrowd check` and `rebuild`.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::count;
use crate::crypto::{signature, statement};
use crate::daemon::PROGRAM;
use crate::daemon::check_stamps;
use crate::daemon::config::{Place, failed, not_opened, refuse_strange};
use crate::daemon::ledger_key;
use crate::daemon::stamping::shelf;
use crate::domain::chain::chain;
use crate::domain::event::Act;
use crate::domain::id::{Bytes, DepositId, Digest};
use crate::domain::statement::Statement;
use crate::server::authorities::Authorities;
use crate::server::timestamper;
use crate::store::{
    Bundle as _, DiskStore, Options, ReadError, Store as _, probe_index, refuse_served,
};
use crate::vault::{self, DomainProjector};

/// The index's directory within the data directory.
const INDEX: &str = "sled";

/// `escrowd rebuild`
pub(super) fn rebuild(data: &Path) -> Result<Exit, Failure> {
    let place = Place::new(data);
    place.config()?;
    let told = |applied: u64, of: u64| {
        if applied.is_multiple_of(10_000) || applied == of {
            eprintln!("{applied} of {of} events applied");
        }
    };
    let options =
        Options { probe: Some(&probe_in_child), progress: Some(&told), ..Options::default() };
    DiskStore::rebuild(place.store(), &DomainProjector, &options).map_err(not_opened)?;
    eprintln!("The index was made anew from the journal; the old one was set aside.");
    Ok(Exit::Done)
}

/// `escrowd check`
pub(super) fn run(data: &Path, passphrase_file: Option<&Path>) -> Result<Exit, Failure> {
    let place = Place::new(data);
    let config = place.config()?;
    let mut own = None;
    // Before anything is looked at: what a running server holds would look damaged.
    refuse_served(place.store()).map_err(not_opened)?;
    if passphrase_file.is_none() && place.keys_are_sealed() {
        eprintln!("The vault's keys are sealed and not checked; --passphrase-file opens them.");
    } else {
        let keys = place.keys(passphrase_file)?;
        let authorities = Authorities::load(&keys).map_err(failed)?;
        timestamper::check(&keys, &authorities, None).map_err(failed)?;
        own = Some((keys, authorities));
    }
    let mut faults = 0u64;
    let mut report = |what: String| {
        faults += 1;
        eprintln!("{PROGRAM}: damage: {what}");
    };
    let index = place.store().join(INDEX);
    if index.exists() && !probe_in_child(&index).map_err(failed)? {
        report("the index (sled) does not open; `escrowd rebuild` makes it anew".to_owned());
    }
    let checked = DiskStore::verify(place.store(), &mut |fault| report(fault.to_string()));
    let checked = checked.map_err(not_opened)?;
    let told = format!(
        "{}, {} and {} read",
        count(checked.entries, "event", "events"),
        count(checked.blobs, "small object", "small objects"),
        count(checked.bundles, "large bundle", "large bundles")
    );
    if faults == 0 {
        // What is stored is what was written; now, whether what was written is true.
        let store = DiskStore::open(place.store(), &DomainProjector, &Options::default());
        let store = store.map_err(not_opened)?;
        refuse_strange(&store, &config)?;
        if let Some((keys, authorities)) = own {
            let ledger_keys = ledger_key::of(&keys, &store)?;
            if let Err(fault) = vault::check_log(&store, config.origin.clone(), ledger_keys) {
                faults += 1;
                eprintln!("{PROGRAM}: damage: {}", chain(&fault));
            }
            let told = vault::told_timestamper(&store).map_err(failed)?;
            timestamper::check(&keys, &authorities, told).map_err(failed)?;
        }
        let mut damage = |what: String| {
            faults += 1;
            eprintln!("{PROGRAM}: damage: {what}");
        };
        let stamps = check_stamps::check(&shelf(&place), &store, &config.origin, &mut damage);
        let stamps = stamps.map_err(failed)?;
        if stamps > 0 {
            let stamps = count(stamps as u64, "time-stamp", "time-stamps");
            eprintln!("{stamps} of the log looked through.");
        }
        audit(&store, &mut |what| {
            faults += 1;
            eprintln!("{PROGRAM}: damage: {what}");
        })
        .map_err(failed)?;
    }
    if faults == 0 {
        eprintln!("{told}: whole. Signatures and digests hold.");
        return Ok(Exit::Done);
    }
    let message = format!("{told}: {}", count(faults, "fault", "faults"));
    let hint = "keep a copy of the directory; restore what is named from a backup";
    Err(Failure::failed("DAMAGED", message, hint))
}

/// Verifies every statement's signature, and every bundle against its statement's digest.
fn audit(store: &DiskStore, report: &mut dyn FnMut(String)) -> Result<(), ReadError> {
    const PAGE: usize = 1_000;
    let mut at = 0;
    loop {
        let entries = store.read_ledger(at, PAGE)?;
        let Some(last) = entries.last() else { return Ok(()) };
        at = last.position + 1;
        for entry in &entries {
            let place = format!("event {} of {}", entry.sequence, entry.stream);
            let event = match statement::event(&entry.payload) {
                Ok(event) => event,
                Err(fault) => {
                    report(format!("{place}: {fault}"));
                    continue;
                }
            };
            if event.stream != entry.stream || event.sequence != entry.sequence {
                report(format!("{place}: it says it is another event"));
            }
            let Act::Stated(signed) = &event.act else { continue };
            match statement::verify(signed) {
                Err(fault) => report(format!("{place}: {fault}")),
                Ok(stated) => {
                    if let Statement::Deposit(deposit) = &stated.statement {
                        let id = DepositId::of(&stated.digest);
                        match digest(store, &id)? {
                            Some(found) if found == deposit.sha256 => {}
                            Some(_) => report(format!("{id}: the bundle is not the one stated")),
                            None if is_quarantined(store, &id)? => {
                                eprintln!("{id} is quarantined: its bundle was lost");
                            }
                            None => report(format!("{id}: the bundle is missing")),
                        }
                    }
                }
            }
        }
    }
}

/// Whether a deposit was taken out of service, so that its loss is known to its parties.
fn is_quarantined(store: &DiskStore, id: &DepositId) -> Result<bool, ReadError> {
    let deposit = vault::deposit(store, id)?;
    Ok(deposit.is_some_and(|deposit| deposit.is_stored().is_err()))
}

fn digest(store: &DiskStore, id: &DepositId) -> Result<Option<Digest>, ReadError> {
    if let Some(bytes) = store.blob(id.as_str())? {
        return Ok(Some(signature::sha256(&bytes)));
    }
    let Some(mut bundle) = store.bundle(id)? else { return Ok(None) };
    let mut hash = Sha256::new();
    while let Some(piece) = bundle.next()? {
        hash.update(&piece);
    }
    Ok(Some(Bytes(hash.finalize().into())))
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
