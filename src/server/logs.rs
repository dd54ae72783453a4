//! The log service: checkpoints, proofs and leaves.

use std::sync::Arc;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::crypto::note::NOTE_BYTES_MAX;
use crate::domain::id::Digest;
use crate::domain::refusal::Refusal;
use crate::domain::stream::Stream;
use crate::server::caller::talker;
use crate::server::status::{answer, within};
use crate::store::Store;
use crate::vault::{Continued, Vault, VaultError};
use crate::wire::limit::LEAVES_PER_PART;
use crate::wire::v1::log_service_server::LogService;
use crate::wire::v1::{
    CheckpointRequest, CheckpointResponse, ProveRequest, ProveResponse, ScanRequest, ScanResponse,
};

/// The log service of a vault.
pub(super) struct Logs<S: Store>(pub(super) Arc<Vault<S>>);

/// Parts that wait for a slow reader.
const PARTS_AHEAD: usize = 1;

#[tonic::async_trait]
impl<S: Store> LogService for Logs<S> {
    type ScanStream = ReceiverStream<Result<ScanResponse, Status>>;

    async fn checkpoint(
        &self,
        request: Request<CheckpointRequest>,
    ) -> Result<Response<CheckpointResponse>, Status> {
        talker(&request)?;
        let seen = request.into_inner().seen;
        let vault = Arc::clone(&self.0);
        let continued = blocking(move || {
            let seen = Some(seen.as_str()).filter(|seen| !seen.is_empty());
            if seen.is_some_and(|seen| seen.len() > NOTE_BYTES_MAX) {
                return Err(VaultError::Malformed("a checkpoint that is too long"));
            }
            vault.continued(seen)
        });
        let Continued { checkpoint, proof, witnessed } = within(continued).await?;
        let hashes = |proof: Vec<Digest>| {
            proof.into_iter().map(|hash| hash.0.to_vec().into()).collect::<Vec<_>>()
        };
        let (witnessed, witnessed_proof) = witnessed.unwrap_or_default();
        Ok(Response::new(CheckpointResponse {
            checkpoint,
            proof: hashes(proof),
            witnessed,
            witnessed_proof: hashes(witnessed_proof),
        }))
    }

    async fn prove(
        &self,
        request: Request<ProveRequest>,
    ) -> Result<Response<ProveResponse>, Status> {
        let talker = talker(&request)?;
        let ProveRequest { stream, sequence } = request.into_inner();
        let unknown = |_| answer(Refusal::NotFound("that stream".to_owned()).into());
        let stream: Stream = stream.parse().map_err(unknown)?;
        let proof = within(self.0.prove(talker, stream, sequence)).await?;
        Ok(Response::new(ProveResponse { proof: proof.to_string() }))
    }

    async fn scan(
        &self,
        request: Request<ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let talker = talker(&request)?;
        let ScanRequest { from, end } = request.into_inner();
        let (parts, replies) = tokio::sync::mpsc::channel(PARTS_AHEAD);
        let vault = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut at = from;
            while at < end {
                let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(LEAVES_PER_PART);
                let (vault, talker) = (Arc::clone(&vault), talker.clone());
                let leaves = blocking(move || {
                    vault.still_stands(&talker)?;
                    vault.leaves(at, count)
                });
                let leaves = match leaves.await {
                    Ok(leaves) if leaves.is_empty() => return,
                    Ok(leaves) => leaves,
                    Err(error) => {
                        drop(parts.send(Err(answer(error))).await);
                        return;
                    }
                };
                at += leaves.len() as u64;
                let leaves: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
                // Whoever has gone away needs no more.
                if parts.send(Ok(ScanResponse { leaves: leaves.into() })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(replies)))
    }
}

/// Reads where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| VaultError::Unavailable)?
}
