//! The bundle service: bundles in and out, streamed. An upload has to keep a pace; a download that
//! nobody takes ends with its connection.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::crypto::statement;
use crate::domain::chain::chain;
use crate::domain::event::SignedText;
use crate::domain::statement::{Retrieval, Statement};
use crate::server::caller::talker;
use crate::server::pace::{IDLE_MAX, Pace};
use crate::server::status::{answer, bad_field, status};
use crate::store::{Bundle as _, ReadError, Store};
use crate::vault::{BundleBytes, Done, Vault, VaultError};
use crate::wire::convert::present;
use crate::wire::limit;
use crate::wire::v1::bundle_service_server::BundleService;
use crate::wire::v1::deposit_request::Part as In;
use crate::wire::v1::retrieve_response::Part as Out;
use crate::wire::v1::{
    Contributions, DepositRequest, DepositResponse, RetrieveRequest, RetrieveResponse,
};

/// Pieces of a download that wait for a slow reader.
const PIECES_AHEAD: usize = 2;

/// The bundle service of a vault.
pub(super) struct Bundles<S: Store>(pub(super) Arc<Vault<S>>);

#[tonic::async_trait]
impl<S: Store> BundleService for Bundles<S> {
    type RetrieveStream = ReceiverStream<Result<RetrieveResponse, Status>>;

    async fn deposit(
        &self,
        request: Request<Streaming<DepositRequest>>,
    ) -> Result<Response<DepositResponse>, Status> {
        let talker = talker(&request)?;
        let mut parts = request.into_inner();
        let Some(In::Statement(signed)) = part(&mut parts).await? else {
            return Err(answer(VaultError::Malformed("a deposit begins with its statement")));
        };
        let signed = SignedText::try_from(signed).map_err(bad_field)?;
        let mut incoming = self.0.begin_deposit(talker, signed).await.map_err(answer)?;
        let mut pace = Pace::default();
        loop {
            let waits = Instant::now();
            let Some(part) = part(&mut parts).await? else { break };
            incoming = match part {
                In::Chunk(chunk) if !pace.keeps_up(waits.elapsed(), chunk.len()) => {
                    return Err(too_slow());
                }
                In::Chunk(chunk) if chunk.len() <= limit::CHUNK_BYTES_MAX => {
                    incoming.write(chunk).await.map_err(answer)?
                }
                In::Chunk(_) => {
                    return Err(answer(VaultError::Malformed("a piece is larger than 1 MiB")));
                }
                In::Statement(_) => {
                    return Err(answer(VaultError::Malformed("a deposit has one statement")));
                }
            };
        }
        let Done { entries, head } = incoming.finish().await.map_err(answer)?;
        let entry = entries.into_iter().next_back().map(Into::into);
        Ok(Response::new(DepositResponse { entry, head: Some(head.into()) }))
    }

    async fn retrieve(
        &self,
        request: Request<RetrieveRequest>,
    ) -> Result<Response<Self::RetrieveStream>, Status> {
        let talker = talker(&request)?;
        let RetrieveRequest { statement, from } = request.into_inner();
        let signed = present(statement, "statement");
        let signed = signed.and_then(SignedText::try_from).map_err(bad_field)?;
        let retrieval = retrieval(&signed)?;
        let delivery = self.0.retrieve(talker.clone(), signed, from).await.map_err(answer)?;
        let Done { entries, head } = delivery.done;
        let first = Contributions {
            contributions: delivery.contributions.into_iter().map(Into::into).collect(),
            entry: entries.into_iter().next_back().map(Into::into),
            head: Some(head.into()),
        };
        let (pieces, replies) = mpsc::channel(PIECES_AHEAD);
        let vault = Arc::clone(&self.0);
        tokio::spawn(async move {
            let standing = || vault.still_stands(&talker);
            let outcome = deliver(first, delivery.bundle, &pieces, standing).await;
            let fault = match outcome {
                Ok(()) | Err(Undelivered::Gone) => return,
                Err(Undelivered::Because(fault)) => fault,
                Err(Undelivered::Unread(fault)) => {
                    if let ReadError::Damaged { .. } = &fault
                        && let Err(error) = vault.quarantine(&retrieval).await
                    {
                        tracing::error!(error = chain(&error), "no quarantine");
                    }
                    fault.into()
                }
            };
            // Whether the reader is still there to be told makes no difference.
            drop(pieces.send(Err(answer(fault))).await);
        });
        Ok(Response::new(ReceiverStream::new(replies)))
    }
}

/// Why a delivery ended early.
enum Undelivered {
    /// The reader is gone.
    Gone,
    /// Its reader may no longer have it.
    Because(VaultError),
    /// The bundle's own bytes could not be read.
    Unread(ReadError),
}

type Pieces = mpsc::Sender<Result<RetrieveResponse, Status>>;

async fn deliver<S: Store>(
    first: Contributions,
    bundle: BundleBytes<S>,
    pieces: &Pieces,
    standing: impl Fn() -> Result<(), VaultError>,
) -> Result<(), Undelivered> {
    send(pieces, Out::Contributions(first)).await?;
    match bundle {
        BundleBytes::Small(bytes) if bytes.is_empty() => Ok(()),
        BundleBytes::Small(bytes) => send(pieces, Out::Chunk(bytes)).await,
        BundleBytes::Large(mut bundle) => loop {
            let read = tokio::task::spawn_blocking(move || {
                let piece = bundle.next();
                (bundle, piece)
            });
            let gone = |_| Undelivered::Gone;
            let (rest, piece) = read.await.map_err(gone)?;
            bundle = rest;
            standing().map_err(Undelivered::Because)?;
            match piece.map_err(Undelivered::Unread)? {
                Some(piece) => send(pieces, Out::Chunk(piece)).await?,
                None => return Ok(()),
            }
        },
    }
}

async fn send(pieces: &Pieces, part: Out) -> Result<(), Undelivered> {
    let reply = Ok(RetrieveResponse { part: Some(part) });
    pieces.send(reply).await.map_err(|_| Undelivered::Gone)
}

/// The next part of a deposit; an empty one is a chunk of nothing.
async fn part(parts: &mut Streaming<DepositRequest>) -> Result<Option<In>, Status> {
    let message = next(parts).await?;
    Ok(message.map(|message| message.part.unwrap_or(In::Chunk(Bytes::new()))))
}

/// The next message of an upload; an idle one is given up.
pub(super) async fn next<T>(parts: &mut Streaming<T>) -> Result<Option<T>, Status> {
    match tokio::time::timeout(IDLE_MAX, parts.next()).await {
        Ok(message) => message.transpose(),
        Err(_) => Err(too_slow()),
    }
}

fn too_slow() -> Status {
    let message = "the upload sent next to nothing for a minute and was given up".to_owned();
    let hint = "check the network and deposit again";
    status(Code::DeadlineExceeded, "IDLE", message, hint)
}

fn retrieval(signed: &SignedText) -> Result<Retrieval, Status> {
    let not = VaultError::Malformed("not a retrieval");
    let parsed = statement::parse(signed).map(|stated| stated.statement);
    match parsed {
        Ok(Statement::Retrieval(retrieval)) => Ok(retrieval),
        Ok(_) | Err(_) => Err(answer(not)),
    }
}
