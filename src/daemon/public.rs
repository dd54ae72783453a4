//! What anybody may ask for without a certificate, over plain HTTP, meant to stand behind a proxy that
//! caches: the log (C2SP tlog-tiles), which names no organisation, member or agreement, and
//! time-stamps (RFC 3161, 3.4), for which nothing but a digest is sent.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;

use crate::crypto::timestamp::REQUEST_BYTES_MAX;
use crate::daemon::http::{self, Limits};
use crate::domain::chain::chain;
use crate::ledger::tile::Tile;
use crate::server::timestamps::{Answer, SharedTimestamper, endpoint};
use crate::store::DiskStore;
use crate::vault::{Vault, VaultError};

const LIMITS: Limits = Limits { connections: 64, connection_max: Duration::from_secs(30) };
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// The checkpoint changes with every event.
const FRESH: &str = "no-cache";
/// A time-stamp is for who asked.
const NEVER_KEPT: &str = "no-store";
/// A tile never does.
const LASTING: &str = "public, max-age=31536000, immutable";
const WHAT_THERE_IS: &str = "the log is at /checkpoint, /tile/LEVEL/NUMBER and \
                             /tile/entries/NUMBER; time-stamps are at /tsa\n";

/// Shows the log of this vault and stamps times on this address, for ever.
pub(super) async fn serve(
    vault: Arc<Vault<DiskStore>>,
    timestamper: SharedTimestamper,
    listener: TcpListener,
) {
    let answer = move |request: Request<Incoming>| {
        let (vault, timestamper) = (Arc::clone(&vault), Arc::clone(&timestamper));
        async move {
            if request.uri().path() == "/tsa" {
                return stamp(&vault, &timestamper, request).await;
            }
            let path = request.uri().path().to_owned();
            let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
            let answered = tokio::task::spawn_blocking(move || show(&vault, &path, is_read)).await;
            answered.unwrap_or_else(|_| unavailable())
        }
    };
    match http::serve(listener, LIMITS, answer).await {}
}

fn show(vault: &Vault<DiskStore>, path: &str, is_read: bool) -> Response<Full<Bytes>> {
    let tile = path.strip_prefix('/').and_then(|path| path.parse::<Tile>().ok());
    let shown = match (path, tile) {
        ("/checkpoint", _) if is_read => match vault.shown_checkpoint() {
            Ok(Some(note)) => {
                let shown = http::answer(StatusCode::OK, (CONTENT_TYPE, TEXT), note);
                Ok(Some(lasting(shown, FRESH)))
            }
            Ok(None) => return unwitnessed(),
            Err(fault) => Err(fault),
        },
        (_, Some(tile)) if is_read => vault.tile(&tile).map(|bytes| {
            let ok = |bytes: Vec<u8>| http::answer(StatusCode::OK, (CONTENT_TYPE, BYTES), bytes);
            bytes.map(|bytes| lasting(ok(bytes), LASTING))
        }),
        ("/checkpoint", _) | (_, Some(_)) => return http::not_allowed("GET, HEAD"),
        (_, None) => Ok(None),
    };
    match shown {
        Ok(Some(response)) => response,
        Ok(None) => http::not_found(WHAT_THERE_IS),
        Err(fault) => {
            log(&fault);
            unavailable()
        }
    }
}

async fn stamp(
    vault: &Vault<DiskStore>,
    timestamper: &SharedTimestamper,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    if *request.method() != Method::POST {
        return http::not_allowed("POST");
    }
    let (head, body) = request.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let answer = match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        // Without waiting: a signature takes less than to hand it to another thread.
        Ok(body) => endpoint(&timestamper.load(), kind, &body.to_bytes(), vault.now()),
        Err(fault) if fault.is::<LengthLimitError>() => Answer::too_large(),
        Err(_) => {
            let why = "the request ended before it was whole\n";
            return http::answer(StatusCode::BAD_REQUEST, (CONTENT_TYPE, TEXT), why);
        }
    };
    let Answer { status, content_type, body } = answer;
    lasting(http::answer(status, (CONTENT_TYPE, content_type), body), NEVER_KEPT)
}

fn log(fault: &VaultError) {
    tracing::error!(error = chain(fault), "the log cannot be shown");
}

fn lasting(mut response: Response<Full<Bytes>>, how: &'static str) -> Response<Full<Bytes>> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(how));
    response
}

/// Not that it is not there: enough witnesses may have cosigned it in a moment.
fn unwitnessed() -> Response<Full<Bytes>> {
    let why = "not enough witnesses have cosigned the log yet\n";
    http::answer(StatusCode::SERVICE_UNAVAILABLE, (CONTENT_TYPE, TEXT), why)
}

fn unavailable() -> Response<Full<Bytes>> {
    let why = "the log cannot be shown now\n";
    http::answer(StatusCode::SERVICE_UNAVAILABLE, (CONTENT_TYPE, TEXT), why)
}
