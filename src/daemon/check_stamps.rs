//! What `escrowd check` makes of the log's time-stamps: that each is of a checkpoint which this vault
//! has signed and its journal bears out, and verifies, back to the first.

use std::collections::BTreeSet;

use crate::crypto::note::NoteKey;
use crate::crypto::timestamp::verify_chain;
use crate::crypto::{signature, statement};
use crate::domain::chain::chain;
use crate::domain::event::{Act, Note};
use crate::domain::id::{Digest, PublicKey};
use crate::domain::statement::Log;
use crate::domain::stream::Stream;
use crate::domain::text::Text;
use crate::ledger::checkpoint::{Checkpoint, origin};
use crate::ledger::merkle;
use crate::server::stamps::{Kept, Shelf, Stamped, Whose};
use crate::store::{DiskStore, ReadError, Store as _};

/// Looks through all of them. How many checkpoints are stamped.
pub(super) fn check(
    shelf: &Shelf,
    store: &DiskStore,
    of: &Text,
    report: &mut dyn FnMut(String),
) -> Result<usize, ReadError> {
    let told = told(store)?;
    let all = shelf.all().unwrap_or_else(|fault| {
        report(chain(&fault));
        Vec::new()
    });
    for stamped in &all {
        let place = shelf.place(*stamped);
        let mut report = |what: String| report(format!("{}: {what}", place.display()));
        match shelf.read(*stamped) {
            Ok(kept) => {
                if let Err(what) = is_ours(*stamped, &kept, store, of, &told)? {
                    report(what);
                }
                if let Err(what) = verifies(&kept, &told) {
                    report(what);
                }
            }
            Err(fault) => report(chain(&fault)),
        }
    }
    Ok(all.len())
}

/// What the vault's own stream tells.
#[derive(Default)]
struct Vaults {
    ledger_keys: Vec<PublicKey>,
    generation: u32,
    cas: BTreeSet<Digest>,
}

fn told(store: &DiskStore) -> Result<Vaults, ReadError> {
    const PAGE: usize = 1_000;
    let mut told = Vaults { generation: 1, ..Vaults::default() };
    let mut from = 1;
    loop {
        let entries = store.read_stream(&Stream::Vault, from, PAGE)?;
        let Some(last) = entries.last() else { return Ok(told) };
        from = last.sequence + 1;
        // What is no event is told by whoever looks through events.
        for event in entries.iter().filter_map(|entry| statement::event(&entry.payload).ok()) {
            match event.act {
                Act::Noted(Note::Founded { ledger_key, ca_sha256, .. }) => {
                    told.ledger_keys.push(ledger_key);
                    told.cas.insert(ca_sha256);
                }
                Act::Noted(Note::AuthoritiesChanged(cas)) => {
                    told.cas.insert(cas.ca_sha256);
                    told.cas.extend(cas.next_ca_sha256);
                }
                Act::Noted(Note::LedgerKeyChanged(signed)) => {
                    told.ledger_keys.push(signed.handover.to);
                }
                Act::Noted(Note::Recovered { generation, .. }) => told.generation = generation,
                Act::Noted(_) | Act::Stated(_) => {}
            }
        }
    }
}

/// Whether the checkpoint is one of this vault's log.
fn is_ours(
    stamped: Stamped,
    kept: &Kept,
    store: &DiskStore,
    of: &Text,
    told: &Vaults,
) -> Result<Result<(), String>, ReadError> {
    let log = Log { origin: of.clone(), generation: stamped.generation };
    let name = origin(&log);
    let mut keys = told.ledger_keys.iter().filter_map(|key| NoteKey::new(&name, *key).ok());
    let Some(text) = keys.find_map(|key| key.verify(&kept.checkpoint).ok()) else {
        return Ok(Err("its checkpoint is not the log's".to_owned()));
    };
    let Ok(Checkpoint { size, root, .. }) = text.parse() else {
        return Ok(Err("its checkpoint cannot be read".to_owned()));
    };
    if size != stamped.size || stamped.generation > told.generation {
        return Ok(Err("its checkpoint is another".to_owned()));
    }
    if stamped.generation < told.generation {
        // Of what a recovery has given up, nothing but this may be left.
        return Ok(Ok(()));
    }
    if size > store.ledger_size() {
        return Ok(Err(format!("it is of {size} entries, and the journal has fewer")));
    }
    Ok(match merkle::root(size, |node| store.node(node))? == root {
        true => Ok(()),
        false => Err("the journal's entries have another root".to_owned()),
    })
}

/// Whether its time-stamps verify, each at the time of the next, and its own under CAs of the vault.
fn verifies(kept: &Kept, told: &Vaults) -> Result<(), String> {
    for (whose, links) in &kept.chains {
        let verified = verify_chain(kept.checkpoint.as_bytes(), links, None);
        verified.map_err(|fault| format!("{whose}: {}", chain(&fault)))?;
        let mut cas = links.iter().flat_map(|link| &link.cas);
        match whose {
            Whose::External => {}
            Whose::Own if cas.all(|ca| told.cas.contains(&signature::sha256(ca))) => {}
            Whose::Own => return Err("own: it is under a CA that this vault never had".to_owned()),
        }
    }
    Ok(())
}
