//! An upload's call: what comes is written while more comes, and what is durable is told.
//!
//! Pieces wait here only while some are written, and not many: HTTP/2 holds back the rest. An upload
//! has to keep a pace. However its call ends, what came is the vault's matter.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::server::caller::talker;
use crate::server::pace::{IDLE_MAX, Pace};
use crate::server::status::{answer, bad_field, status};
use crate::store::Store;
use crate::vault::{Begun, SYNC_WAIT, Uploading, Vault, VaultError};
use crate::wire::convert::{BadField, fixed};
use crate::wire::limit;
use crate::wire::v1::upload_request::Part;
use crate::wire::v1::{UploadBegin, UploadRequest, UploadResponse};

/// Bytes that wait to be written, besides those that are being written: beyond that none are taken.
/// With a window of 2 MiB before them, 64 uploads to a disk that stands still take 224 MiB.
const WAITING_BYTES_MAX: usize = 512 << 10;

/// Answers of an upload.
pub(super) type Replies = ReceiverStream<Result<UploadResponse, Status>>;

type Reply = mpsc::Sender<Result<UploadResponse, Status>>;
type Writing<S> = Pin<Box<dyn Future<Output = Result<Uploading<S>, VaultError>> + Send>>;

/// Answers a call that uploads.
pub(super) async fn upload<S: Store>(
    vault: &Arc<Vault<S>>,
    request: Request<Streaming<UploadRequest>>,
) -> Result<Response<Replies>, Status> {
    let talker = talker(&request)?;
    let mut parts = request.into_inner();
    let Some(Part::Begin(begin)) = next(&mut parts).await?.and_then(|message| message.part) else {
        return Err(answer(VaultError::Malformed("an upload begins with what it is")));
    };
    let forget = begin.forget;
    let begun = begun(begin)?;
    let (reply, replies) = mpsc::channel(1);
    if forget {
        vault.forget_upload(talker, begun).await.map_err(answer)?;
        drop(reply.send(Ok(UploadResponse { durable: 0 })).await);
        return Ok(Response::new(ReceiverStream::new(replies)));
    }
    let uploading = vault.upload(talker, begun).await.map_err(answer)?;
    tokio::spawn(async move {
        let received = Call::new(uploading, parts, reply.clone()).run().await;
        if let Err(status) = received {
            // Whether anybody is there to be told makes no difference.
            drop(reply.send(Err(status)).await);
        }
    });
    Ok(Response::new(ReceiverStream::new(replies)))
}

fn begun(begin: UploadBegin) -> Result<Begun, Status> {
    let UploadBegin { agreement, size, header_sha256, forget: _ } = begin;
    let header_sha256 = fixed(&header_sha256, "header_sha256").map_err(bad_field)?;
    let agreement = agreement.parse().map_err(|_| bad_field(BadField { field: "agreement" }))?;
    Ok(Begun { agreement, size, header_sha256 })
}

/// The next message of an upload; an idle one is given up.
pub(super) async fn next<T>(parts: &mut Streaming<T>) -> Result<Option<T>, Status> {
    match tokio::time::timeout(IDLE_MAX, parts.next()).await {
        Ok(message) => message.transpose(),
        Err(_) => Err(too_slow()),
    }
}

fn too_slow() -> Status {
    let message = "the upload sent next to nothing for a minute and was ended".to_owned();
    let hint = "check the network and try again";
    status(Code::DeadlineExceeded, "IDLE", message, hint)
}

/// One call, from its first response on.
struct Call<S: Store> {
    parts: Streaming<UploadRequest>,
    reply: Reply,
    /// While nothing is written.
    idle: Option<Uploading<S>>,
    /// While something is.
    writing: Option<Writing<S>>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    /// Bytes that are still to come.
    missing: u64,
    durable: watch::Receiver<u64>,
    told: Option<u64>,
    pace: Pace,
    /// Since when nothing came, as long as something could.
    waits: Option<Instant>,
}

impl<S: Store> Call<S> {
    fn new(uploading: Uploading<S>, parts: Streaming<UploadRequest>, reply: Reply) -> Self {
        let durable = uploading.durable();
        let missing = uploading.size() - *durable.borrow();
        Self {
            parts,
            reply,
            idle: Some(uploading),
            writing: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            missing,
            durable,
            told: None,
            pace: Pace::default(),
            waits: None,
        }
    }

    /// Until all has come, or no more does.
    async fn run(mut self) -> Result<(), Status> {
        let Some(mut end) = self.idle.as_ref().map(Uploading::end) else { return Ok(()) };
        let (reply, mut tick) = (self.reply.clone(), tokio::time::interval(SYNC_WAIT));
        loop {
            if let Some(uploading) = self.idle.take() {
                if self.missing == 0 && self.waiting.is_empty() {
                    return self.finish(uploading).await;
                }
                match self.waiting.is_empty() {
                    true => self.idle = Some(uploading),
                    false => self.write(uploading),
                }
            }
            let may_receive = self.waiting_bytes < WAITING_BYTES_MAX && self.missing > 0;
            match may_receive {
                true => drop(self.waits.get_or_insert_with(Instant::now)),
                false => self.waits = None,
            }
            let durable = *self.durable.borrow();
            let is_news = self.told.is_none_or(|told| told < durable);
            tokio::select! {
                written = written(&mut self.writing) => {
                    self.writing = None;
                    self.idle = Some(written.map_err(answer)?);
                }
                part = self.parts.next(), if may_receive => self.receive(part.transpose()?)?,
                permit = reply.reserve(), if is_news => match permit {
                    Ok(permit) => {
                        permit.send(Ok(UploadResponse { durable }));
                        self.told = Some(durable);
                        // The vault was busy, not the other end.
                        self.waits = None;
                    }
                    Err(_) => return Ok(()),
                },
                Ok(()) = self.durable.changed(), if !is_news => {}
                Ok(why) = end.wait_for(Option::is_some) => {
                    let why = *why;
                    return Err(why.map_or_else(too_slow, |why| answer(VaultError::Interrupted(why))));
                }
                () = reply.closed() => return Ok(()),
                _ = tick.tick() => {
                    if self.waits.is_some_and(|since| since.elapsed() >= IDLE_MAX) {
                        return Err(too_slow());
                    }
                    if let Some(uploading) = self.idle.take() {
                        self.write(uploading);
                    }
                }
            }
        }
    }

    fn write(&mut self, uploading: Uploading<S>) {
        self.waiting_bytes = 0;
        self.writing = Some(Box::pin(uploading.write(std::mem::take(&mut self.waiting))));
    }

    /// Takes a part; an empty one is a chunk of nothing.
    fn receive(&mut self, part: Option<UploadRequest>) -> Result<(), Status> {
        let waited = self.waits.take().map(|since| since.elapsed()).unwrap_or_default();
        let malformed = |what| answer(VaultError::Malformed(what));
        let Some(part) = part else {
            return Err(malformed("the upload ended before its bundle did"));
        };
        let chunk = match part.part {
            Some(Part::Chunk(chunk)) => chunk,
            None => Bytes::new(),
            Some(Part::Begin(_)) => return Err(malformed("an upload begins once")),
        };
        if chunk.len() > limit::CHUNK_BYTES_MAX {
            return Err(malformed("a piece is larger than 1 MiB"));
        }
        if !self.pace.keeps_up(waited, chunk.len()) {
            return Err(too_slow());
        }
        // More than was said is for the vault to refuse.
        self.missing = self.missing.saturating_sub(chunk.len() as u64);
        self.waiting_bytes += chunk.len();
        if !chunk.is_empty() {
            self.waiting.push(chunk);
        }
        Ok(())
    }

    async fn finish(self, uploading: Uploading<S>) -> Result<(), Status> {
        let size = uploading.size();
        uploading.finish().await.map_err(answer)?;
        drop(self.reply.send(Ok(UploadResponse { durable: size })).await);
        Ok(())
    }
}

/// What was being written, once it has been; never where nothing is.
async fn written<S: Store>(writing: &mut Option<Writing<S>>) -> Result<Uploading<S>, VaultError> {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}
