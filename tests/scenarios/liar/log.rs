//! The log that goes with an invented history: signed, and never taken back.

use std::collections::HashSet;

use escrow_vault::domain::id::{Bytes, Digest};
use escrow_vault::ledger::checkpoint::Checkpoint;
use escrow_vault::ledger::entry::Leaf;
use escrow_vault::ledger::merkle::{self, Node};
use escrow_vault::wire::v1::{CheckpointResponse, ScanRequest, ScanResponse};

use super::History;

/// A leaf of nothing that anybody can read.
const NOTHING: Leaf = Bytes([0; 48]);
/// More events than any stream has here.
const EVENTS_MAX: u64 = 200;
/// So few that every log comes in several parts.
const LEAVES_PER_PART: usize = 7;

/// Lets the log grow by the vault's true one and by the invented events, in place of the true ones of
/// their streams.
pub(super) fn grow(log: &mut Vec<Leaf>, truth: &[ScanResponse], history: &History) {
    let truth = truth.iter().flat_map(|part| part.leaves.as_chunks::<48>().0);
    let mut leaves: Vec<Leaf> = truth.map(|leaf| Bytes(*leaf)).collect();
    let keys: HashSet<[u8; 32]> =
        history.streams().values().flatten().map(|entry| entry.label_key.0).collect();
    let labels: HashSet<[u8; 16]> = keys
        .iter()
        .flat_map(|key| (1..=EVENTS_MAX).map(|n| escrow_vault::ledger::LabelKey(*key).label(n).0))
        .collect();
    for leaf in &mut leaves {
        if labels.contains(&leaf.0[..16]) {
            *leaf = NOTHING;
        }
    }
    for entry in history.streams().values().flatten() {
        let position = usize::try_from(entry.position).unwrap();
        leaves.resize(leaves.len().max(position + 1), NOTHING);
        leaves[position] = entry.leaf();
    }
    log.extend(leaves.into_iter().skip(log.len()));
}

/// What is told of it to whoever has seen this.
pub(super) fn checkpoint(log: &[Leaf], history: &History, seen: &str) -> CheckpointResponse {
    let (size, node) = (log.len() as u64, |node: Node| hash(log, node));
    let root = merkle::root(size, node).unwrap();
    let text: String = seen.split_inclusive('\n').take(3).collect();
    let earlier = text.parse::<Checkpoint>().map_or(0, |seen| seen.size);
    let proof = merkle::consistency(earlier, size, node).unwrap();
    let proof = proof.into_iter().map(|hash| hash.0.to_vec().into()).collect();
    let checkpoint = history.checkpoint(size, root);
    CheckpointResponse { checkpoint, proof, ..CheckpointResponse::default() }
}

/// Its leaves in parts.
pub(super) fn parts(log: &[Leaf], request: &ScanRequest) -> Vec<ScanResponse> {
    let from = usize::try_from(request.from).unwrap();
    let end = usize::try_from(request.end).unwrap();
    let parts = log[from..end].chunks(LEAVES_PER_PART);
    parts
        .map(|part| ScanResponse {
            leaves: part.iter().flat_map(|leaf| leaf.0).collect::<Vec<u8>>().into(),
        })
        .collect()
}

fn hash(log: &[Leaf], node: Node) -> Result<Digest, ()> {
    let leaf = |at: u64| merkle::leaf_hash(&log[usize::try_from(at).unwrap()].0);
    let first = node.index << node.level;
    let leaves: Vec<Digest> = (first..first + (1 << node.level)).map(leaf).collect();
    let mut level = leaves;
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| merkle::node_hash(&pair[0], &pair[1])).collect();
    }
    Ok(level[0])
}
