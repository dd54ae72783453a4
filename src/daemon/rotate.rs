//! `escrowd rotate-ca`: another CA, without anybody having to join again. `escrowd rotate-tsa`:
//! another key that stamps times.

use std::path::Path;
use std::time::SystemTime;

use crate::cli::failure::{Exit, Failure};
use crate::client::error::chain;
use crate::daemon::config::{Place, failed};
use crate::domain::event::TsaEdition;
use crate::domain::time::Timestamp;
use crate::server::authorities::Authorities;
use crate::server::ca::CaError;
use crate::server::timestamper;

pub(super) fn run(
    data: &Path,
    finish: bool,
    passphrase_file: Option<&Path>,
) -> Result<Exit, Failure> {
    let place = Place::new(data);
    // Not any directory with keys in it.
    place.config()?;
    let keys = place.keys(passphrase_file)?;
    let authorities = Authorities::load(&keys).map_err(failed)?;
    let shown = data.display();
    if finish {
        let only = authorities.finish(&keys).map_err(refused)?;
        let (fingerprint, expires_at) = (only.current().fingerprint(), only.current().expires_at());
        eprintln!("The vault's only CA is now {fingerprint}, good until {expires_at}.");
        eprintln!("A running vault goes over to it when it gets SIGHUP. Who was away meanwhile");
        eprintln!("finds it by the vault's ledger key; invitations made before stay good.");
        eprintln!(
            "Connections that are open stay open. If the old CA's key was stolen, restart the"
        );
        eprintln!("vault instead, which ends them, and remove that key from your backups.");
    } else {
        let both = authorities.begin(&keys, Timestamp::from(SystemTime::now()));
        let both = both.map_err(refused)?;
        let next = both.issuing();
        let (fingerprint, expires_at) = (next.fingerprint(), next.expires_at());
        eprintln!("The vault's next CA is {fingerprint}, good until {expires_at}.");
        eprintln!("When a running vault gets SIGHUP, members begin to learn of it and have their");
        eprintln!("certificates renewed by it. Later: escrowd rotate-ca --data {shown} --finish");
    }
    eprintln!("Back up {shown}/keys now.");
    Ok(Exit::Done)
}

/// `escrowd rotate-tsa`
pub(super) fn tsa(data: &Path, passphrase_file: Option<&Path>) -> Result<Exit, Failure> {
    let place = Place::new(data);
    place.config()?;
    let keys = place.keys(passphrase_file)?;
    let authorities = Authorities::load(&keys).map_err(failed)?;
    let now = Timestamp::from(SystemTime::now());
    let next = timestamper::rotate(&keys, authorities.issuing(), now).map_err(failed)?;
    let TsaEdition { number, certificate_sha256 } = next.edition;
    let expires_at = next.authority.expires_at();
    eprintln!(
        "The next time-stamping key has number {number}; its certificate, {certificate_sha256}, \
         is good until {expires_at}."
    );
    eprintln!(
        "A running vault goes over to it when it gets SIGHUP, another one at its next start:"
    );
    eprintln!(
        "then its ledger tells of it, and the key of before is removed. What that one signed"
    );
    eprintln!("goes on verifying. Back up {}/keys then.", data.display());
    Ok(Exit::Done)
}

fn refused(fault: CaError) -> Failure {
    let (code, hint) = if matches!(fault, CaError::Begun { .. }) {
        ("ALREADY", "go over to it with --finish when members have had time to learn of it")
    } else if matches!(fault, CaError::NotBegun) {
        ("NOT_BEGUN", "begin with `escrowd rotate-ca` without --finish")
    } else {
        return failed(fault);
    };
    Failure::failed(code, chain(&fault), hint)
}
