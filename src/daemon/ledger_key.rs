//! The ledger key's files, and `escrowd rotate-ledger-key`.
//!
//! `ledger.key` is the first, `ledger-2.key` the second, and so on; which one signs, the vault's own
//! stream tells. The one before stays beside it until the change is finished, and signs checkpoints
//! too, for whoever does not know the new one yet.

use std::path::Path;
use std::sync::Arc;

use rand_core::OsRng;

use crate::cli::failure::{Exit, Failure};
use crate::crypto::keyfile;
use crate::crypto::keyring::Keyring;
use crate::crypto::note::NoteKey;
use crate::crypto::signature::SigningKey;
use crate::daemon::check::probe_in_child;
use crate::daemon::config::{Config, Place, failed, not_a_vault, not_opened, refuse_strange};
use crate::daemon::notice;
use crate::domain::handover::HANDOVERS_MAX;
use crate::domain::id::PublicKey;
use crate::ledger::checkpoint;
use crate::store::{DiskStore, Options};
use crate::vault::{DomainProjector, LedgerKeys, SystemClock, Vault, identity};

/// The first has no number in its name.
fn file(number: usize) -> String {
    if number == 1 { "ledger.key".to_owned() } else { format!("ledger-{number}.key") }
}

/// Keeps the key that a vault is founded with.
pub(super) fn write_first(keys: &Keyring, key: &SigningKey) -> Result<(), Failure> {
    write(keys, 1, key)
}

fn write(keys: &Keyring, number: usize, key: &SigningKey) -> Result<(), Failure> {
    keys.write_new(&file(number), &key.to_bytes()[..]).map_err(failed)
}

fn read(keys: &Keyring, number: usize) -> Result<SigningKey, Failure> {
    let name = file(number);
    let bytes = keys.read(&name, 32).map_err(failed)?;
    let seed: Result<&[u8; 32], _> = bytes.as_slice().try_into();
    seed.map(SigningKey::from_bytes).map_err(|_| {
        let message = format!("{}: not a ledger key", keys.dir().join(name).display());
        Failure::failed("BAD_KEY", message, "restore it from your backup")
    })
}

/// The keys that this vault signs with. Another key than its stream tells would be believed by
/// nobody.
pub(super) fn of(keys: &Keyring, store: &DiskStore) -> Result<LedgerKeys, Failure> {
    let vault = identity(store).map_err(failed)?.ok_or_else(not_a_vault)?;
    let number = vault.handovers.len() + 1;
    let known = |number: usize, expected: &PublicKey| {
        let key = read(keys, number)?;
        match key.public() == *expected {
            true => Ok(key),
            false => {
                let what = format!("keys/{}", file(number));
                let message = format!("{what} is not the key that this vault's log is signed with");
                let hint = "restore it from your backup";
                Err(Failure::failed("OTHER_VAULT", message, hint).about(what))
            }
        }
    };
    let current = known(number, &vault.ledger_key)?;
    let is_kept = |number: usize| keys.dir().join(file(number)).exists();
    let former = vault.handovers.last().filter(|_| is_kept(number - 1));
    let former = former.map(|signed| known(number - 1, &signed.handover.from)).transpose()?;
    Ok(LedgerKeys { current, former })
}

/// Opens the store of this vault and no other, with the keys that sign for it.
pub(super) fn open(
    place: &Place,
    config: &Config,
    keys: &Keyring,
    options: &Options<'_>,
) -> Result<(DiskStore, LedgerKeys), Failure> {
    let store = DiskStore::open(place.store(), &DomainProjector, options).map_err(not_opened)?;
    refuse_strange(&store, config)?;
    let ledger_keys = of(keys, &store)?;
    Ok((store, ledger_keys))
}

/// `escrowd rotate-ledger-key`
pub(super) async fn run(
    data: &Path,
    finish: bool,
    passphrase_file: Option<&Path>,
) -> Result<Exit, Failure> {
    let place = Place::new(data);
    let config = place.config()?;
    let keys = place.keys(passphrase_file)?;
    notice::refuse(&place)?;
    let options = Options { probe: Some(&probe_in_child), ..Options::default() };
    let (store, ours) = open(&place, &config, &keys, &options)?;
    let number = identity(&store).map_err(failed)?.map_or(1, |vault| vault.handovers.len() + 1);
    let shown = data.display();
    if finish {
        if ours.former.is_none() {
            let message = "no change of the ledger key is under way";
            let hint = "begin with `escrowd rotate-ledger-key` without --finish";
            return Err(Failure::failed("NOT_BEGUN", message, hint));
        }
        keyfile::remove(&keys.dir().join(file(number - 1))).map_err(failed)?;
        eprintln!("From its next start the vault signs with {} alone.", file(number));
        eprintln!("Back up {shown}/keys now, and remove {} from old backups.", file(number - 1));
        return Ok(Exit::Done);
    }
    if ours.former.is_some() {
        let message = "a change of the ledger key is under way already";
        let hint = "finish it with --finish when members and witnesses know the new key";
        return Err(Failure::failed("ALREADY", message, hint));
    }
    if number > HANDOVERS_MAX {
        let message = format!("this vault has changed its ledger key {HANDOVERS_MAX} times");
        return Err(Failure::failed("TOO_MANY", message, "keep the key that it has"));
    }
    // One is there already where this was interrupted before.
    let next = match keys.dir().join(file(number + 1)).exists() {
        true => read(&keys, number + 1)?,
        false => {
            let key = SigningKey::generate(&mut OsRng);
            write(&keys, number + 1, &key)?;
            key
        }
    };
    let (origin, clock) = (config.origin.clone(), Arc::new(SystemClock));
    let vault = Vault::open(store, origin, ours, clock, config.quota).map_err(failed)?;
    let handed = vault.hand_over(&next).await.map_err(failed);
    let log = vault.log().clone();
    vault.close().await;
    handed?;
    let key = NoteKey::new(&checkpoint::origin(&log), next.public()).map_err(failed)?;
    eprintln!("From its next start the vault signs with {}, its log as", file(number + 1));
    eprintln!("{key}");
    eprintln!("Members learn of it by themselves, from the key that they know. Checkpoints are");
    eprintln!(
        "signed with both keys; give witnesses and auditors the new one, and later, with the"
    );
    eprintln!("vault stopped: escrowd rotate-ledger-key --data {shown} --finish");
    eprintln!("Back up {shown}/keys now.");
    Ok(Exit::Done)
}
