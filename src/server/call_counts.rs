//! What is counted of calls: how many, how they ended, how long they took. By method and code
//! only: nobody who called, and nothing that was asked for, is named.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::body::{Frame, SizeHint};
use hyper::{HeaderMap, Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::wire::DESCRIPTORS;

/// What stands for every method that is not the vault's own.
const OTHER: &str = "other";

/// The counters, and the layer that counts.
#[derive(Debug, Clone)]
pub struct CallCounts {
    methods: Arc<HashMap<String, Method>>,
    other: Method,
    open: Family<MethodLabel, Gauge>,
    ended: Family<EndLabels, Counter>,
    seconds: Family<MethodLabel, Histogram>,
}

#[derive(Debug, Clone)]
struct Method {
    name: Arc<str>,
    open: Gauge,
    seconds: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    method: String,
    code: String,
}

impl CallCounts {
    /// Counters for every method of the protocol. Where the protocol cannot be read there are
    /// none of its own, and all are counted as others.
    pub fn new() -> Self {
        let open = Family::default();
        // From a millisecond to over an hour: uploads are calls, too.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 4.0, 12));
        let seconds = Family::new_with_constructor(histogram);
        let method = |name: &str| {
            let label = MethodLabel { method: name.to_owned() };
            let open = open.get_or_create_owned(&label);
            Method { name: name.into(), open, seconds: seconds.get_or_create_owned(&label) }
        };
        let protocol = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
        let mut methods = HashMap::new();
        for file in &protocol.file {
            for service in &file.service {
                for called in &service.method {
                    let name = format!("{}/{}", service.name(), called.name());
                    methods.insert(format!("/{}.{name}", file.package()), method(&name));
                }
            }
        }
        let other = method(OTHER);
        Self { methods: Arc::new(methods), other, open, ended: Family::default(), seconds }
    }

    /// Adds the counters to what is shown.
    pub fn register(&self, registry: &mut Registry) {
        let open =
            "Calls that are open, by method: open deposits are uploads, retrievals downloads";
        registry.register("calls_open", open, self.open.clone());
        registry.register("calls", "Calls that ended, by method and gRPC code", self.ended.clone());
        let seconds = "How long calls took until their last byte";
        registry.register("call_seconds", seconds, self.seconds.clone());
    }

    fn begin(&self, path: &str) -> Call {
        let method = self.methods.get(path).unwrap_or(&self.other).clone();
        method.open.inc();
        Call { method, ended: self.ended.clone(), began: Instant::now(), code: Code::Cancelled }
    }
}

impl Default for CallCounts {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CallCounts {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, counts: self.clone() }
    }
}

/// A call under way. Counted when dropped: as cancelled, unless its end has said otherwise.
struct Call {
    method: Method,
    ended: Family<EndLabels, Counter>,
    began: Instant,
    code: Code,
}

impl Call {
    /// Learns how the call ended, where these headers or trailers say so.
    fn learn(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = status.code();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.method.open.dec();
        self.method.seconds.observe(self.began.elapsed().as_secs_f64());
        let labels =
            EndLabels { method: self.method.name.to_string(), code: format!("{:?}", self.code) };
        self.ended.get_or_create(&labels).inc();
    }
}

/// A service whose calls are counted.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    inner: S,
    counts: CallCounts,
}

impl<S, B> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<CountedBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut call = self.counts.begin(request.uri().path());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            call.learn(answer.headers());
            Ok(answer.map(|body| CountedBody { body, call }))
        })
    }
}

/// An answer's body. The call ends with it.
pub struct CountedBody {
    body: Body,
    call: Call,
}

impl hyper::body::Body for CountedBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.learn(trailers);
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
