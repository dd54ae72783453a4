//! The stream service: events read back.

use std::sync::Arc;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::domain::id::{AgreementId, Fingerprint};
use crate::domain::refusal::Refusal;
use crate::domain::stream::Stream;
use crate::ledger::Entry;
use crate::ledger::head::SignedHead;
use crate::server::caller::talker;
use crate::server::status::{answer, bad_field, within};
use crate::store::Store;
use crate::vault::{Hint, Reading, Vault, VaultError};
use crate::wire::limit;
use crate::wire::v1::stream_service_server::StreamService;
use crate::wire::v1::{
    ListAgreementsRequest, ListAgreementsResponse, ReadRequest, ReadResponse, WatchRequest,
    WatchResponse,
};

/// The stream service of a vault.
pub(super) struct Streams<S: Store>(pub(super) Arc<Vault<S>>);

/// Parts of a stream that wait for a slow reader.
const PARTS_AHEAD: usize = 1;

#[tonic::async_trait]
impl<S: Store> StreamService for Streams<S> {
    type ReadStream = ReceiverStream<Result<ReadResponse, Status>>;
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let talker = talker(&request)?;
        let ReadRequest { stream, from, organisation_fingerprint, seen } = request.into_inner();
        let unknown = || answer(Refusal::NotFound("that stream".to_owned()).into());
        let stream: Stream = stream.parse().map_err(|_| unknown())?;
        let named: Option<Fingerprint> = match organisation_fingerprint.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| unknown())?),
        };
        if let Some(seen) = seen {
            let seen = SignedHead::try_from(seen).map_err(bad_field)?;
            self.0.compare(&seen).map_err(answer)?;
        }
        let reading = within(self.0.read(talker, stream, named)).await?;
        let (parts, replies) = tokio::sync::mpsc::channel(PARTS_AHEAD);
        let (vault, reading) = (Arc::clone(&self.0), Arc::new(reading));
        tokio::spawn(async move {
            let mut from = Some(from);
            while let Some(at) = from {
                let (vault, reading) = (vault.clone(), reading.clone());
                // A thread is held for reading only, never while a slow reader takes nothing.
                let part = tokio::task::spawn_blocking(move || part(&vault, &reading, at)).await;
                let (reply, next) = match part.unwrap_or(Err(VaultError::Unavailable)) {
                    Ok((reply, next)) => (Ok(reply), next),
                    Err(error) => (Err(answer(error)), None),
                };
                // A reader that has gone away needs no answer; one that takes nothing loses its
                // connection, and with it this channel.
                if parts.send(reply).await.is_err() {
                    return;
                }
                from = next;
            }
        });
        Ok(Response::new(ReceiverStream::new(replies)))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let talker = talker(&request)?;
        let mut watching = within(self.0.watch(talker)).await?;
        let (hints, replies) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let hint = tokio::select! {
                    hint = watching.next() => hint,
                    () = hints.closed() => return,
                };
                let is_last = hint.is_err();
                let reply = hint.map_err(answer).map(|hint| WatchResponse {
                    stream: match hint {
                        Hint::Any => String::new(),
                        Hint::Grown(stream) => stream.to_string(),
                    },
                });
                if hints.send(reply).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(replies)))
    }

    async fn list_agreements(
        &self,
        request: Request<ListAgreementsRequest>,
    ) -> Result<Response<ListAgreementsResponse>, Status> {
        let talker = talker(&request)?;
        let after = request.into_inner().after;
        let after = match after.as_str() {
            "" => None,
            text => {
                let unknown = || answer(Refusal::NotFound("that agreement".to_owned()).into());
                Some(text.parse::<AgreementId>().map_err(|_| unknown())?)
            }
        };
        let limit = limit::AGREEMENTS_PER_PAGE;
        let ids = within(self.0.agreements(talker, after, limit)).await?;
        let agreements = ids.iter().map(ToString::to_string).collect();
        Ok(Response::new(ListAgreementsResponse { agreements }))
    }
}

/// The next part of a stream, bounded in events and bytes, and where to go on.
fn part<S: Store>(
    vault: &Vault<S>,
    reading: &Reading,
    from: u64,
) -> Result<(ReadResponse, Option<u64>), VaultError> {
    let part = vault.part(reading, from, limit::ENTRIES_PER_PART)?;
    let mut next = part.next;
    let mut bytes = 0;
    let mut entries = Vec::with_capacity(part.entries.len());
    for entry in part.entries {
        let Entry { sequence, .. } = entry;
        bytes += entry.payload.len();
        if bytes > limit::PART_BYTES_MAX && !entries.is_empty() {
            next = Some(sequence);
            break;
        }
        entries.push(entry.into());
    }
    Ok((ReadResponse { entries, head: Some(reading.head.clone().into()) }, next))
}
