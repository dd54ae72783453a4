//! `escrowd check` and `rebuild`.

use std::cell::OnceCell;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::count;
use crate::cli::progress::{self, Progress, Unit};
use crate::crypto::{signature, statement};
use crate::daemon::PROGRAM;
use crate::daemon::check_stamps;
use crate::daemon::config::{Place, failed, not_opened, refuse_strange};
use crate::daemon::ledger_key;
use crate::daemon::stamping::shelf;
use crate::domain::chain::chain;
use crate::domain::event::Act;
use crate::domain::id::{Bytes, DepositId, Digest};
use crate::domain::statement::{Deposit, Statement};
use crate::ledger::Entry;
use crate::server::authorities::Authorities;
use crate::server::timestamper;
use crate::store::{
    Bundle as _, DiskStore, Fault, Options, ReadError, Store as _, probe_index, refuse_served,
};
use crate::vault::{self, DomainProjector};

/// The index's directory within the data directory.
const INDEX: &str = "sled";

/// `escrowd rebuild`
pub(super) fn rebuild(data: &Path) -> Result<Exit, Failure> {
    let place = Place::new(data);
    place.config()?;
    let told = bar("rebuilding", Unit::Events);
    let options =
        Options { probe: Some(&probe_in_child), progress: Some(&told), ..Options::default() };
    DiskStore::rebuild(place.store(), &DomainProjector, &options).map_err(not_opened)?;
    drop(told);
    eprintln!("The index was made anew from the journal; the old one was set aside.");
    Ok(Exit::Done)
}

/// Tells how far something is, from the first time that it says so.
pub(super) fn bar(what: &'static str, unit: Unit) -> impl Fn(u64, u64) {
    let progress = OnceCell::new();
    move |done, total| {
        progress.get_or_init(|| Progress::of_administrator(what, unit, total)).set(done);
    }
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
    // Whether nothing is wrong but objects, of which each is read for itself.
    let mut is_sound = true;
    let index = place.store().join(INDEX);
    if index.exists() && !probe_in_child(&index).map_err(failed)? {
        (faults, is_sound) = (1, false);
        tell_damage("the index (sled) does not open; `escrowd rebuild` makes it anew");
    }
    let report = &mut |fault: Fault| {
        faults += 1;
        is_sound &= fault.is_of_object;
        tell_damage(&fault.to_string());
    };
    let checked = DiskStore::verify(place.store(), report, &bar("checking", Unit::Bytes));
    let checked = checked.map_err(not_opened)?;
    let told = format!(
        "{}, {} and {} read",
        count(checked.entries, "event", "events"),
        count(checked.blobs, "small object", "small objects"),
        count(checked.bundles, "large bundle", "large bundles")
    );
    if is_sound {
        // What is stored is what was written, or is named; now, whether what was written is true.
        let store = DiskStore::open(place.store(), &DomainProjector, &Options::default());
        let store = store.map_err(not_opened)?;
        refuse_strange(&store, &config)?;
        if let Some((keys, authorities)) = own {
            let ledger_keys = ledger_key::of(&keys, &store)?;
            if let Err(fault) = vault::check_log(&store, config.origin.clone(), ledger_keys) {
                faults += 1;
                tell_damage(&chain(&fault));
            }
            let told = vault::told_timestamper(&store).map_err(failed)?;
            timestamper::check(&keys, &authorities, told).map_err(failed)?;
        }
        let mut damage = |what: String| {
            faults += 1;
            tell_damage(&what);
        };
        let stamps = check_stamps::check(&shelf(&place), &store, &config.origin, &mut damage);
        let stamps = stamps.map_err(failed)?;
        if stamps > 0 {
            let stamps = count(stamps as u64, "time-stamp", "time-stamps");
            eprintln!("{stamps} of the log looked through.");
        }
        audit(&store, &mut |what| {
            faults += 1;
            tell_damage(&what);
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

fn tell_damage(what: &str) {
    progress::say(&format!("{PROGRAM}: damage: {what}"));
}

/// Verifies every statement's signature, and every bundle against its statement's digest.
fn audit(store: &DiskStore, report: &mut dyn FnMut(String)) -> Result<(), ReadError> {
    const PAGE: usize = 1_000;
    let told = bar("verifying", Unit::Events);
    let mut at = 0;
    loop {
        let entries = store.read_ledger(at, PAGE)?;
        for entry in &entries {
            told(entry.position, store.ledger_size());
            audit_entry(store, entry, report)?;
        }
        let Some(last) = entries.last() else { break };
        at = last.position + 1;
    }
    told(at, at);
    Ok(())
}

fn audit_entry(
    store: &DiskStore,
    entry: &Entry,
    report: &mut dyn FnMut(String),
) -> Result<(), ReadError> {
    let place = format!("event {} of {}", entry.sequence, entry.stream);
    let event = match statement::event(&entry.payload) {
        Ok(event) => event,
        Err(fault) => {
            report(format!("{place}: {fault}"));
            return Ok(());
        }
    };
    if event.stream != entry.stream || event.sequence != entry.sequence {
        report(format!("{place}: it says it is another event"));
    }
    let Act::Stated(signed) = &event.act else { return Ok(()) };
    match statement::verify(signed) {
        Err(fault) => report(format!("{place}: {fault}")),
        Ok(stated) => {
            if let Statement::Deposit(deposit) = &stated.statement {
                audit_bundle(store, &DepositId::of(&stated.digest), deposit, report)?;
            }
        }
    }
    Ok(())
}

/// The bundle of a deposit is the one that was stated.
fn audit_bundle(
    store: &DiskStore,
    id: &DepositId,
    deposit: &Deposit,
    report: &mut dyn FnMut(String),
) -> Result<(), ReadError> {
    let named = format!("{id} ({}) of {}", deposit.label, deposit.ground.agreement);
    match digest(store, id) {
        Ok(Some(found)) if found == deposit.sha256 => {}
        Ok(Some(_)) => report(format!("{named}: the bundle is not the one stated")),
        Ok(None) if is_quarantined(store, id)? => {
            progress::say(&format!("{named} is quarantined: its bundle was lost"));
        }
        Ok(None) => report(format!("{named}: the bundle is missing")),
        // It was counted when its bytes were read; here it gets its name.
        Err(damage @ ReadError::Damaged { .. }) => {
            let state = match is_quarantined(store, id)? {
                true => "it is quarantined",
                false => "it will be quarantined when it is next read",
            };
            tell_damage(&format!("{named}: {damage}; {state}"));
        }
        Err(fault @ (ReadError::Index { .. } | ReadError::Io(_))) => return Err(fault),
    }
    Ok(())
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
