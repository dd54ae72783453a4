//! The bundle service: bundles in and out. A download that nobody takes ends with its connection.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::crypto::statement;
use crate::domain::chain::chain;
use crate::domain::event::SignedText;
use crate::domain::statement::{Retrieval, Statement};
use crate::server::caller::talker;
use crate::server::status::{answer, bad_field};
use crate::server::uploads;
use crate::store::{Bundle, ReadError, Store};
use crate::vault::{BundleBytes, Done, Vault, VaultError};
use crate::wire::convert::present;
use crate::wire::v1::bundle_service_server::BundleService;
use crate::wire::v1::retrieve_response::Part as Out;
use crate::wire::v1::{
    Contributions, DepositRequest, DepositResponse, RetrieveRequest, RetrieveResponse,
    UploadRequest,
};

/// Pieces of a download that wait for a slow reader.
const PIECES_AHEAD: usize = 2;

/// The bundle service of a vault.
pub(super) struct Bundles<S: Store>(pub(super) Arc<Vault<S>>);

#[tonic::async_trait]
impl<S: Store> BundleService for Bundles<S> {
    type UploadStream = uploads::Replies;
    type RetrieveStream = ReceiverStream<Result<RetrieveResponse, Status>>;

    async fn deposit(
        &self,
        request: Request<DepositRequest>,
    ) -> Result<Response<DepositResponse>, Status> {
        let talker = talker(&request)?;
        let DepositRequest { statement, bundle } = request.into_inner();
        let signed = present(statement, "statement").and_then(SignedText::try_from);
        let signed = signed.map_err(bad_field)?;
        let deposited = self.0.deposit(talker, signed, bundle).await;
        let Done { entries, head } = deposited.map_err(answer)?;
        let entry = entries.into_iter().next_back().map(Into::into);
        Ok(Response::new(DepositResponse { entry, head: Some(head.into()) }))
    }

    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        uploads::upload(&self.0, request).await
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
        BundleBytes::Large(bundle) => {
            let mut reading = next(bundle);
            loop {
                let (bundle, piece) = reading.await.map_err(|_| Undelivered::Gone)?;
                standing().map_err(Undelivered::Because)?;
                let Some(piece) = piece.map_err(Undelivered::Unread)? else { return Ok(()) };
                // The next one is read while this one is sent.
                reading = next(bundle);
                send(pieces, Out::Chunk(piece)).await?;
            }
        }
    }
}

type Piece = Result<Option<Bytes>, ReadError>;

/// Reads the next piece where blocking hurts nobody.
fn next<B: Bundle>(mut bundle: B) -> JoinHandle<(B, Piece)> {
    tokio::task::spawn_blocking(move || {
        let piece = bundle.next();
        (bundle, piece)
    })
}

async fn send(pieces: &Pieces, part: Out) -> Result<(), Undelivered> {
    let reply = Ok(RetrieveResponse { part: Some(part) });
    pieces.send(reply).await.map_err(|_| Undelivered::Gone)
}

fn retrieval(signed: &SignedText) -> Result<Retrieval, Status> {
    let not = VaultError::Malformed("not a retrieval");
    let parsed = statement::parse(signed).map(|stated| stated.statement);
    match parsed {
        Ok(Statement::Retrieval(retrieval)) => Ok(retrieval),
        Ok(_) | Err(_) => Err(answer(not)),
    }
}
