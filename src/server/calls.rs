//! What every call goes through: its place is taken before anything of it is read, its message has
//! to come in time, and its answer is handed out no faster than it is taken.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, http};
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::server::line::Answer;
use crate::server::peer::Peer;
use crate::server::places::{Kind, NoPlace, Place, Places};
use crate::server::status::{over_quota, status};

/// How long a message may take to come, uploads excepted, which have timers of their own.
const MESSAGE_MAX: Duration = Duration::from_secs(60);
/// What the content type of every call begins with.
const GRPC: &[u8] = b"application/grpc";
/// The end of every piece is handed over by itself. HTTP/2 takes it when what was before it is on
/// its way, so an answer whose end was taken has been taken.
const END_BYTES: usize = 1024;
/// A piece no longer than that is handed over whole, as the answer to a statement: its end would cost a
/// frame, a record and a system call of its own.
const WHOLE_BYTES: usize = 4 * END_BYTES;

/// Wraps every service of a vault.
#[derive(Debug, Clone)]
pub struct Calls(Arc<Places>);

impl Calls {
    /// So many calls at a time for each organisation.
    pub fn new(streams: u64) -> Self {
        Self(Places::new(streams))
    }
}

impl<S> Layer<S> for Calls {
    type Service = Called<S>;

    fn layer(&self, inner: S) -> Called<S> {
        Called { inner, places: self.0.clone() }
    }
}

/// Services behind [`Calls`].
#[derive(Debug, Clone)]
pub struct Called<S> {
    inner: S,
    places: Arc<Places>,
}

impl<S> Service<http::Request<Body>> for Called<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if let Some(refusal) = no_call(&request) {
            return Box::pin(async { Ok(refusal) });
        }
        let peer = request.extensions().get::<Peer>().cloned();
        let taken = peer.ok_or_else(nobody).and_then(|peer| {
            let place = self.places.take(&peer, kind(request.uri().path())).map_err(refused)?;
            Ok((Arc::new(place), peer.line.answer()))
        });
        let (place, answer) = match taken {
            Ok(taken) => taken,
            Err(status) => return Box::pin(async { Ok(status.into_http()) }),
        };
        let received = {
            let place = place.clone();
            let late = (!place.is_upload()).then(|| Box::pin(tokio::time::sleep(MESSAGE_MAX)));
            move |body| Body::new(Received { body, place, late })
        };
        let called = self.inner.call(request.map(received));
        Box::pin(async move {
            let response = called.await?;
            Ok(response.map(|body| Body::new(Sent { body, rest: None, answer, _place: place })))
        })
    }
}

/// The answer to what is no gRPC call at all (HTTP/2 mapping of gRPC, "Requests").
fn no_call(request: &http::Request<Body>) -> Option<http::Response<Body>> {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|value| value.as_bytes().starts_with(GRPC));
    let code = match (request.method() == http::Method::POST, is_grpc) {
        (true, true) => return None,
        (false, _) => http::StatusCode::METHOD_NOT_ALLOWED,
        (true, false) => http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    let mut refusal = http::Response::new(Body::empty());
    *refusal.status_mut() = code;
    Some(refusal)
}

fn kind(path: &str) -> Kind {
    match path {
        "/escrow.vault.v1.BundleService/Upload" => Kind::Upload,
        "/escrow.vault.v1.StatementService/Submit" | "/escrow.vault.v1.BundleService/Retrieve" => {
            Kind::Urgent
        }
        _ => Kind::Ordinary,
    }
}

fn refused(no_place: NoPlace) -> Status {
    match &no_place {
        NoPlace::Quota(over) => over_quota(over),
        NoPlace::Strangers | NoPlace::Messages => {
            let hint = "try again in a minute, and tell the operator if it lasts";
            status(Code::ResourceExhausted, "BUSY", no_place.to_string(), hint)
        }
    }
}

/// A defect: connections are made by our own accept loop, which knows its peers.
fn nobody() -> Status {
    status(Code::Internal, "NO_PEER", "the connection has no peer".to_owned(), "report it")
}

/// A call's message on its way in.
struct Received {
    body: Body,
    place: Arc<Place>,
    late: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            if let Some(late) = &mut self.late {
                ready!(late.as_mut().poll(cx));
                let message = "the call's message did not come within a minute".to_owned();
                let hint = "check the network and try again";
                let late = status(Code::DeadlineExceeded, "IDLE", message, hint);
                return Poll::Ready(Some(Err(late)));
            }
            return Poll::Pending;
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && !self.place.is_upload()
            && let Err(no_place) = self.place.receive(data.remaining() as u64)
        {
            return Poll::Ready(Some(Err(refused(no_place))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A call's answer on its way out.
struct Sent {
    body: Body,
    rest: Option<Bytes>,
    answer: Answer,
    _place: Arc<Place>,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        ready!(self.answer.poll_room(cx));
        let frame = match self.rest.take() {
            Some(rest) => Some(Ok(Frame::data(rest))),
            None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            None | Some(Err(_)) => return Poll::Ready(frame),
        };
        let frame = match frame.into_data() {
            Ok(mut data) => {
                if data.len() > WHOLE_BYTES {
                    self.rest = Some(data.split_off(data.len() - END_BYTES));
                }
                self.answer.offer(data.len(), Instant::now());
                Frame::data(data)
            }
            Err(trailers) => trailers,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
