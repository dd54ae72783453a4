//! Plain HTTP/1 for what anybody may ask for: a few places, a limit on time, and nothing kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Pause after the system refused to accept.
const PAUSE: Duration = Duration::from_secs(1);

/// How much of it there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// How long one may last.
    pub connection_max: Duration,
}

/// Answers requests on this address, for ever.
pub(super) async fn serve<A, F>(listener: TcpListener, limits: Limits, answer: A) -> Infallible
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        // Never closed, so there is always a place in the end.
        let place = Arc::clone(&places).acquire_owned().await;
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(fault) => {
                tracing::warn!(cause = %fault, "the system refuses to accept connections");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let answer = hyper::service::service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            let patience = limits.connection_max;
            http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(patience);
            let served = http.serve_connection(TokioIo::new(tcp), answer);
            // Whoever asked in vain asks again.
            drop(tokio::time::timeout(patience, served).await);
            drop(place);
        });
    }
}

/// An answer with one header besides its length.
pub(super) fn answer(
    code: StatusCode,
    (name, value): (HeaderName, &'static str),
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

/// That there is nothing here, and what there is.
pub(super) fn not_found(what_there_is: &'static str) -> Response<Full<Bytes>> {
    answer(StatusCode::NOT_FOUND, (CONTENT_TYPE, "text/plain"), what_there_is)
}

/// That this is asked in another way.
pub(super) fn not_allowed(how: &'static str) -> Response<Full<Bytes>> {
    answer(StatusCode::METHOD_NOT_ALLOWED, (ALLOW, how), "")
}
