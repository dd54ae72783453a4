//! An upload that goes on after the connection, or the vault, was lost: from the last byte that the
//! vault has durably.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::client::acts::deposit::Told;
use crate::client::acts::deposit::feed::Feed;
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::client::silence::{REPLY_MAX, answered, answered_within};
use crate::domain::id::{AgreementId, Digest};
use crate::wire::v1::bundle_service_client::BundleServiceClient;
use crate::wire::v1::upload_request::Part;
use crate::wire::v1::{UploadBegin, UploadRequest, UploadResponse};

/// The first pause between tries, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];
/// What a vault reads again in a second at least, after it was started anew.
const READ_AGAIN_BYTES_PER_SECOND: u64 = 32 << 20;
/// Pieces that wait for the connection.
const PIECES_AHEAD: usize = 1;

/// What an upload is known by, and how long the vault is tried again for it.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub retry_for: Duration,
    pub agreement: AgreementId,
    pub size: u64,
    pub header_sha256: Digest,
}

/// How an upload ended well.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The vault has all of it.
    Whole,
    /// The vault has less than can be sent again.
    OutOfReach,
}

impl Upload {
    fn begin(&self, forget: bool) -> UploadRequest {
        let header_sha256 = self.header_sha256.0.to_vec().into();
        let agreement = self.agreement.to_string();
        let begin = UploadBegin { agreement, size: self.size, header_sha256, forget };
        UploadRequest { part: Some(Part::Begin(begin)) }
    }

    /// Sends what the vault has not got, over as many connections as it takes.
    pub(super) async fn send(
        &self,
        session: &Session,
        feed: &mut Feed,
        hear: &mut Hear<'_>,
    ) -> Result<Ended, ClientError> {
        let (mut durable, mut patience) = (0, Patience::of(self.retry_for));
        loop {
            let before = durable;
            match self.call(session, feed, &mut durable, hear).await {
                Err(fault) if passes(&fault) => {
                    if durable > before {
                        patience = Patience::of(self.retry_for);
                    }
                    patience.pause(fault, hear).await?;
                }
                ended => return ended,
            }
        }
    }

    /// Has the vault forget what came of it. Where that fails, it does so by itself in time.
    pub(super) async fn forget(&self, session: &Session) {
        let mut service = BundleServiceClient::new(session.channel());
        let stream = tokio_stream::once(self.begin(true));
        if let Ok(reply) = answered(service.upload(stream)).await {
            drop(answered(reply.into_inner().message()).await);
        }
    }

    /// One call, as far as it goes, and how much the vault has durably by then.
    async fn call(
        &self,
        session: &Session,
        feed: &mut Feed,
        durable: &mut u64,
        hear: &mut Hear<'_>,
    ) -> Result<Ended, ClientError> {
        let (parts, stream) = mpsc::channel(PIECES_AHEAD);
        // There is room for the first.
        drop(parts.send(self.begin(false)).await);
        let mut service = BundleServiceClient::new(session.channel());
        let reading = Duration::from_secs(self.size / READ_AGAIN_BYTES_PER_SECOND);
        let reply = service.upload(ReceiverStream::new(stream));
        let mut replies = answered_within(REPLY_MAX + reading, reply).await?.into_inner();
        let from = self.durable(answered(replies.message()).await?)?;
        if !feed.rewind(from).await? {
            return Ok(Ended::OutOfReach);
        }
        if from > 0 || *durable > 0 {
            hear(Told::GoesOn(from));
        }
        *durable = from;
        let mut at = from;
        while *durable < self.size {
            let may_send = at < self.size && feed.may_go_on();
            tokio::select! {
                reply = answered(replies.message()) => {
                    *durable = self.durable(reply?)?;
                    feed.is_durable(*durable);
                }
                permit = parts.reserve(), if may_send => {
                    let Ok(permit) = permit else {
                        // The vault has ended the call; it says why.
                        return Err(why(&mut replies).await);
                    };
                    let Some(piece) = feed.next().await? else {
                        return Err(ClientError::input(
                            "CHANGED",
                            "the bundle is shorter than it was to be",
                            "wait until nothing writes to the files, and try again",
                        ));
                    };
                    let bytes = piece.len() as u64;
                    permit.send(UploadRequest { part: Some(Part::Chunk(piece)) });
                    at += bytes;
                    hear(Told::Moved(bytes));
                }
            }
        }
        Ok(Ended::Whole)
    }

    /// How far the vault says it is.
    fn durable(&self, reply: Option<UploadResponse>) -> Result<u64, ClientError> {
        let untrue = |what: &str| Err(ClientError::Untrue(what.to_owned()));
        match reply {
            Some(UploadResponse { durable }) if durable <= self.size => Ok(durable),
            Some(_) => untrue("more of a bundle than there is"),
            None => untrue("the end of a bundle of which it has not all"),
        }
    }
}

/// Hears of what happens meanwhile.
pub(super) type Hear<'a> = dyn FnMut(Told<'_>) + Send + 'a;

/// Why a call that takes no more ended.
async fn why(replies: &mut Streaming<UploadResponse>) -> ClientError {
    loop {
        match answered(replies.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => return tonic::Status::unavailable("the call ended early").into(),
            Err(fault) => return fault,
        }
    }
}

/// Whether another try may do better.
fn passes(fault: &ClientError) -> bool {
    fault.may_pass() || fault.code() == "IDLE"
}

/// Tries again until it is answered, as long as that is worth while.
pub(super) async fn patiently<T>(
    retry_for: Duration,
    hear: &mut Hear<'_>,
    mut ask: impl AsyncFnMut() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let mut patience = Patience::of(retry_for);
    loop {
        match ask().await {
            Err(fault) if passes(&fault) => patience.pause(fault, hear).await?,
            answered => return answered,
        }
    }
}

/// How long it is tried again, in growing pauses.
struct Patience {
    retry_for: Duration,
    since: Option<Instant>,
    pause: Option<Duration>,
}

impl Patience {
    fn of(retry_for: Duration) -> Self {
        Self { retry_for, since: None, pause: None }
    }

    /// Waits for the next try; the fault again where there is none.
    async fn pause(&mut self, fault: ClientError, hear: &mut Hear<'_>) -> Result<(), ClientError> {
        let [first, longest] = PAUSES;
        let pause = self.pause.map_or(first, |last| (2 * last).min(longest));
        if self.since.get_or_insert_with(Instant::now).elapsed() + pause > self.retry_for {
            return Err(fault);
        }
        self.pause = Some(pause);
        hear(Told::Lost { fault: &fault, again_in: pause });
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
