//! A bundle on its way from the vault. Where the connection is lost it goes on from the last byte that
//! came, for as long as the vault may be expected back.

use std::time::Duration;

use bytes::Bytes as Buffer;
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::client::silence::answered;
use crate::domain::event::SignedText;
use crate::wire::limit::MESSAGE_BYTES_MAX;
use crate::wire::v1::bundle_service_client::BundleServiceClient;
use crate::wire::v1::retrieve_response::Part;
use crate::wire::v1::{Contributions, RetrieveRequest, RetrieveResponse};

/// How long to wait before asking again, as long as nothing comes: nearly two minutes in all.
const PAUSES_MS: [u64; 12] =
    [100, 200, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000, 20_000];

/// What is told while a bundle is retrieved.
#[derive(Debug)]
pub enum Told<'a> {
    /// So many bytes were received by an earlier call, and are not asked for again.
    Kept(u64),
    /// So many more bytes have come.
    Received(u64),
    /// The connection was lost; it is tried again after this pause.
    Lost {
        /// What happened.
        fault: &'a ClientError,
        /// How long it is waited.
        pause: Duration,
    },
}

/// What comes of the bundle, in order.
#[derive(Debug)]
pub(super) enum Arrived {
    /// The next bytes.
    Piece(Buffer),
    /// It was all, and as much as was deposited.
    End,
}

/// A delivery that has begun.
pub(super) struct Delivery<'a> {
    session: &'a Session,
    signed: SignedText,
    size: u64,
    received: u64,
    parts: Streaming<RetrieveResponse>,
}

impl<'a> Delivery<'a> {
    /// Begins one of a bundle of this size, from this byte on; what opens it comes first.
    pub(super) async fn begin(
        session: &'a Session,
        signed: SignedText,
        size: u64,
        from: u64,
    ) -> Result<(Contributions, Self), ClientError> {
        let (contributions, parts) = ask(session, &signed, from).await?;
        Ok((contributions, Self { session, signed, size, received: from, parts }))
    }

    /// Receives all of it. Where whoever takes it is gone, that one knows why.
    pub(super) async fn receive(
        mut self,
        to: mpsc::Sender<Arrived>,
        mut told: impl FnMut(Told<'_>),
    ) -> Result<(), ClientError> {
        let mut pauses = PAUSES_MS.iter();
        loop {
            let fault = match self.next().await {
                Ok(Some(piece)) => {
                    pauses = PAUSES_MS.iter();
                    told(Told::Received(piece.len() as u64));
                    match to.send(Arrived::Piece(piece)).await {
                        Ok(()) => continue,
                        Err(_gone) => return Ok(()),
                    }
                }
                Ok(None) => {
                    drop(to.send(Arrived::End).await);
                    return Ok(());
                }
                Err(fault) => fault,
            };
            self.go_on(fault, &mut pauses, &mut told).await?;
        }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Buffer>, ClientError> {
        let Some(reply) = answered(self.parts.message()).await? else {
            return match self.received == self.size {
                true => Ok(None),
                false => Err(untrue(NOT_THE_BUNDLE)),
            };
        };
        let piece = match reply.part {
            Some(Part::Chunk(piece)) if !piece.is_empty() => piece,
            // Empty ones could go on for ever.
            Some(Part::Chunk(_) | Part::Contributions(_)) | None => {
                return Err(untrue("a delivery with something else than a bundle in it"));
            }
        };
        self.received += piece.len() as u64;
        match self.received > self.size {
            true => Err(untrue("a bundle larger than was deposited")),
            false => Ok(Some(piece)),
        }
    }

    /// Asks for the rest, as often as there are pauses left. A vault that says no is not asked again.
    async fn go_on(
        &mut self,
        mut fault: ClientError,
        pauses: &mut impl Iterator<Item = &'static u64>,
        told: &mut impl FnMut(Told<'_>),
    ) -> Result<(), ClientError> {
        loop {
            let pause = match pauses.next() {
                Some(millis) if fault.may_pass() => Duration::from_millis(*millis),
                Some(_) | None => return Err(fault),
            };
            told(Told::Lost { fault: &fault, pause });
            tokio::time::sleep(pause).await;
            // What opens the bundle was checked and acknowledged when it came first.
            match ask(self.session, &self.signed, self.received).await {
                Ok((_, parts)) => {
                    self.parts = parts;
                    return Ok(());
                }
                Err(again) => fault = again,
            }
        }
    }
}

/// What a vault has shown that sends something else.
pub(super) const NOT_THE_BUNDLE: &str = "a bundle that is not the one deposited";

async fn ask(
    session: &Session,
    signed: &SignedText,
    from: u64,
) -> Result<(Contributions, Streaming<RetrieveResponse>), ClientError> {
    let request = RetrieveRequest { statement: Some(signed.clone().into()), from };
    let mut service =
        BundleServiceClient::new(session.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut parts = answered(service.retrieve(request)).await?.into_inner();
    match answered(parts.message()).await?.and_then(|reply| reply.part) {
        Some(Part::Contributions(first)) => Ok((first, parts)),
        Some(Part::Chunk(_)) | None => Err(untrue("a delivery without contributions")),
    }
}

fn untrue(what: &str) -> ClientError {
    ClientError::Untrue(what.to_owned())
}
