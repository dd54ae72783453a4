//! Which witnesses have seen the log that a receipt is of.

use std::collections::BTreeMap;

use crate::client::receipt::Receipt;
use crate::crypto::cosignature::claimed;
use crate::crypto::note::NoteFault;
use crate::crypto::policy::{Judgement, Policy};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::proof::Proof;

/// What a policy says of one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// How many entries it covers.
    pub size: u64,
    /// What the policy says.
    pub judgement: Judgement,
}

/// Why a receipt is not witnessed.
#[derive(Debug, thiserror::Error)]
pub enum Unwitnessed {
    /// A cosignature is there, and wrong.
    #[error("a cosignature is wrong")]
    Wrong(#[source] NoteFault),
    /// There is no checkpoint.
    #[error("there is no checkpoint to cosign")]
    None,
    /// Too few of the policy's witnesses have cosigned.
    #[error(
        "too few witnesses have cosigned its checkpoint of {} entries: {}",
        .0.size,
        told(&.0.judgement)
    )]
    TooFew(Judged),
}

/// Demands that enough of the policy's witnesses have cosigned every checkpoint of a receipt, which
/// verifies otherwise. What it says of each.
pub fn demand(receipt: &Receipt, policy: &Policy) -> Result<Vec<Judged>, Unwitnessed> {
    let mut judged = Vec::new();
    for (note, size) in checkpoints(receipt) {
        let judgement = policy.judge(&note).map_err(Unwitnessed::Wrong)?;
        match judgement.is_met {
            true => judged.push(Judged { size, judgement }),
            false => return Err(Unwitnessed::TooFew(Judged { size, judgement })),
        }
    }
    Ok(judged)
}

/// Demands that enough of the policy's witnesses have cosigned one of these checkpoints, which are of
/// one log. What it says of the largest that they have.
pub fn demand_one(notes: &[(u64, String)], policy: &Policy) -> Result<Judged, Unwitnessed> {
    let mut found: Result<Judged, Option<Judged>> = Err(None);
    for (size, note) in notes {
        let judgement = policy.judge(note).map_err(Unwitnessed::Wrong)?;
        let (is_met, judged) = (judgement.is_met, Judged { size: *size, judgement });
        found = match found {
            Ok(best) if !is_met || best.size >= judged.size => Ok(best),
            Ok(_) => Ok(judged),
            Err(_) if is_met => Ok(judged),
            // The one that most have cosigned says best who is missing.
            Err(Some(best)) if best.judgement.there.len() >= judged.judgement.there.len() => {
                Err(Some(best))
            }
            Err(_) => Err(Some(judged)),
        };
    }
    found.map_err(|best| best.map_or(Unwitnessed::None, Unwitnessed::TooFew))
}

/// Who is named as having cosigned every checkpoint of a receipt. Nobody has checked that.
pub fn cosigners(receipt: &Receipt) -> Vec<String> {
    let mut all: Option<Vec<String>> = None;
    for note in checkpoints(receipt).keys() {
        let mut names: Vec<_> = claimed(note).into_iter().map(|claimed| claimed.name).collect();
        names.retain(|name| all.as_ref().is_none_or(|all| all.contains(name)));
        names.dedup();
        all = Some(names);
    }
    all.unwrap_or_default()
}

/// The different checkpoints by which events are proved, with their sizes.
fn checkpoints(receipt: &Receipt) -> BTreeMap<String, u64> {
    let proofs = receipt.events.iter().filter_map(|logged| logged.proof.parse::<Proof>().ok());
    let sized = proofs.filter_map(|proof| {
        let text = receipt.log.verify(&proof.checkpoint).ok()?;
        let size = text.parse::<Checkpoint>().ok()?.size;
        Some((proof.checkpoint, size))
    });
    sized.collect()
}

fn told(Judgement { there, missing, .. }: &Judgement) -> String {
    let there: Vec<_> = there.iter().map(|(name, _)| name.as_str()).collect();
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let missing: Vec<_> = missing.iter().map(String::as_str).collect();
    format!("there are {}; missing are {}", list(&there), list(&missing))
}
