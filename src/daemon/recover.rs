//! `escrowd recover`: goes on from an earlier state of the vault, openly.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use crate::cli::failure::{Exit, Failure};
use crate::client::home::Home;
use crate::daemon::check::probe_in_child;
use crate::daemon::config::{Place, failed, not_opened, refuse_strange};
use crate::daemon::ledger_key;
use crate::daemon::notice::Notice;
use crate::daemon::notify::Manager;
use crate::daemon::serve::progress;
use crate::domain::chain::chain;
use crate::store::{DiskStore, OpenError, Options};
use crate::vault::{DomainProjector, SystemClock, Vault};

pub(super) async fn run(data: &Path, passphrase_file: Option<&Path>) -> Result<Exit, Failure> {
    let place = Place::new(data);
    let config = place.config()?;
    let keys = place.keys(passphrase_file)?;
    let shown = match Notice::on(&place) {
        Ok(notice) => notice.map_or(0, |notice| notice.generation()),
        // What a damaged notice showed is shown again by whoever showed it.
        Err(_) => 0,
    };
    // Before anything is changed: without its home the operator could invite nobody any more.
    let known = Home::open(&place.operator()).and_then(|home| Ok((home.vault()?, home)));
    let (mut known, home) = known.map_err(|fault| {
        let hint = "restore it from your backup of DIR/operator and try again; nothing was changed";
        Failure::failed("OPERATOR", chain(&fault), hint)
    })?;
    let (manager, caught_up) = (Manager::of_this_process(), Cell::new(0));
    let progress = progress(&manager, &caught_up);
    let options =
        Options { probe: Some(&probe_in_child), progress: Some(&progress), ..Options::default() };
    let open = || DiskStore::open(place.store(), &DomainProjector, &options);
    let store = match open() {
        // The index has seen what is lost: it is of no use any more.
        Err(OpenError::RolledBack { .. }) => {
            DiskStore::set_index_aside(place.store()).map_err(not_opened)?;
            open()
        }
        opened => opened,
    };
    let store = store.map_err(not_opened)?;
    refuse_strange(&store, &config)?;
    let ledger_keys = ledger_key::of(&keys, &store)?;
    let (origin, clock) = (config.origin.clone(), Arc::new(SystemClock));
    let vault = Vault::recover(store, origin, ledger_keys, clock, config.quota, shown)
        .await
        .map_err(failed)?;
    let (log, log_key) = (vault.log().clone(), vault.log_key().to_string());
    vault.close().await;
    // Only now: an interrupted recovery is begun again, in a generation later still.
    known.log = log.clone();
    home.set_vault(&known)?;
    Notice::lift(&place)?;
    eprintln!("The vault goes on in generation {} of its log.", log.generation);
    eprintln!("To witnesses it is another log, whose key they need: {log_key}");
    eprintln!("Next: escrowd serve --data {}", data.display());
    eprintln!(
        "Tell every organisation what happened. Each of its members runs `escrow resume`, which \
         hands in what this vault has lost and they remember; agreements are suspended until \
         every party has."
    );
    Ok(Exit::Done)
}
