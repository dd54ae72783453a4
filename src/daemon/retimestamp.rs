//! `escrowd retimestamp`: renews what comes near its end, at once. A running vault does the same by
//! itself, once a day.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::count;
use crate::daemon::PROGRAM;
use crate::daemon::check::probe_in_child;
use crate::daemon::config::{Place, failed};
use crate::daemon::ledger_key;
use crate::daemon::notice;
use crate::daemon::serve::{take_up_timestamper, tell_authorities};
use crate::daemon::stamping::{External, VaultTime, shelf};
use crate::domain::time::Span;
use crate::server::authorities::Authorities;
use crate::server::stamps::{Own, Renewed, Source, Told, renew_all};
use crate::store::Options;
use crate::vault::{SystemClock, Vault};

pub(super) async fn run(
    data: &Path,
    within: Span,
    passphrase_file: Option<&Path>,
) -> Result<Exit, Failure> {
    let place = Place::new(data);
    let config = place.config()?;
    let external = External::of(&config.timestamps, place.store())?;
    let keys = place.keys(passphrase_file)?;
    let authorities = Authorities::load(&keys).map_err(failed)?;
    notice::refuse(&place)?;
    let options = Options { probe: Some(&probe_in_child), ..Options::default() };
    let (store, ledger_keys) = ledger_key::open(&place, &config, &keys, &options)?;
    let (origin, clock) = (config.origin.clone(), Arc::new(SystemClock));
    let vault = Vault::open(store, origin, ledger_keys, clock, config.quota).map_err(failed)?;
    let vault = Arc::new(vault);
    // What signs is told first, here as in a vault that is served.
    let timestamper = take_up_timestamper(&vault, &keys, &authorities).await?;
    tell_authorities(&vault, &authorities).await?;
    let cas = authorities.certificates();
    let clock = Arc::new(VaultTime(Arc::clone(&vault)));
    let own = Own {
        timestamper: Arc::new(ArcSwap::from_pointee(timestamper)),
        cas: Box::new(move || cas.iter().map(|ca| ca.to_vec()).collect()),
        clock: clock.clone(),
    };
    let shelf = shelf(&place);
    let mut told = renew_all(&own, &shelf, &*clock, within).await;
    if let Some(external) = &external {
        told.extend(renew_all(external as &dyn Source, &shelf, &*clock, within).await);
    }
    vault.close().await;
    summary(&told, within)
}

fn summary(told: &[Told], within: Span) -> Result<Exit, Failure> {
    let (mut renewed, mut faults) = (0, 0);
    for one in told {
        match one {
            Told::Renewed(Renewed { whose, stamped, number, good_until }) => {
                renewed += 1;
                eprintln!("{stamped}, {whose}: time-stamp {number} is good until {good_until}");
            }
            Told::NothingGained { whose, good_until } => eprintln!(
                "The {whose} authority's certificates end at {good_until}, too: nothing is gained \
                 by renewing what ends then. Try again when it has others."
            ),
            Told::Failed { whose, why } => {
                faults += 1;
                eprintln!("{PROGRAM}: the {whose} authority: {why}");
            }
            Told::Damaged(what) => {
                faults += 1;
                eprintln!("{PROGRAM}: damage: {what}");
            }
            // Nothing is stamped here for the first time.
            Told::Kept { .. } => {}
        }
    }
    match (renewed, faults) {
        (0, 0) => eprintln!("Nothing was to be renewed that ends within {within}."),
        (_, 0) => eprintln!("{} renewed.", count(renewed, "time-stamp was", "time-stamps were")),
        (_, _) => {
            let one = "time-stamp is damaged or was not renewed";
            let message = count(faults, one, "time-stamps are damaged or were not renewed");
            let hint = "mend what is named and try again; restore what is damaged from a backup";
            return Err(Failure::failed("NOT_RENEWED", message, hint));
        }
    }
    Ok(Exit::Done)
}
