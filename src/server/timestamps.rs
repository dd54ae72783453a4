//! Time-stamps for anybody over HTTP (RFC 3161, 3.4), of which who listens is elsewhere, and for
//! members by the protocol.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::StatusCode;
use rand_core::{OsRng, RngCore as _};
use tonic::{Request, Response, Status};

use crate::crypto::timestamp::{Authority, REQUEST_BYTES_MAX, answer};
use crate::domain::time::Timestamp;
use crate::server::caller::talker;
use crate::server::status::within;
use crate::store::Store;
use crate::vault::{Vault, VaultError};
use crate::wire::v1::timestamp_service_server::TimestampService;
use crate::wire::v1::{StampRequest, StampResponse};

/// The authority that answers; store another to replace it.
pub type SharedTimestamper = Arc<ArcSwap<Authority>>;

const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";
const TEXT: &str = "text/plain; charset=utf-8";

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 also where the request is rejected: the body says so.
    pub status: StatusCode,
    /// Of the body.
    pub content_type: &'static str,
    /// A `TimeStampResp` in DER, or a line for people.
    pub body: Vec<u8>,
}

/// Answers what was posted with this `Content-Type`. Whoever listens reads at most
/// [`REQUEST_BYTES_MAX`] bytes and answers a longer body with [`Answer::too_large`]. `now` is the
/// vault's time.
pub fn endpoint(
    authority: &Authority,
    content_type: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Answer {
    // Parameters say nothing here.
    let kind = content_type.and_then(|text| text.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case(QUERY) {
        let help = format!("post a request as {QUERY}; `openssl ts -query` makes one\n");
        return Answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, help);
    }
    if body.len() > REQUEST_BYTES_MAX {
        return Answer::too_large();
    }
    let body = answered(authority, body, now);
    Answer { status: StatusCode::OK, content_type: REPLY, body }
}

/// A response to a request, with a number of its own.
pub(super) fn answered(authority: &Authority, request: &[u8], now: Timestamp) -> Vec<u8> {
    let mut serial = [0; 16];
    OsRng.fill_bytes(&mut serial);
    answer(request, authority, now, &serial)
}

/// The time-stamp service of a vault.
pub(super) struct Timestamps<S: Store> {
    pub(super) vault: Arc<Vault<S>>,
    pub(super) timestamper: SharedTimestamper,
}

#[tonic::async_trait]
impl<S: Store> TimestampService for Timestamps<S> {
    async fn stamp(
        &self,
        request: Request<StampRequest>,
    ) -> Result<Response<StampResponse>, Status> {
        let talker = talker(&request)?;
        let request = request.into_inner().request;
        let (vault, authority) = (Arc::clone(&self.vault), self.timestamper.load_full());
        let stamped = tokio::task::spawn_blocking(move || {
            vault.is_member(&talker)?;
            Ok(answered(&authority, &request, vault.now()))
        });
        let stamped = async { stamped.await.map_err(|_| VaultError::Unavailable)? };
        let response = within(stamped).await?.into();
        Ok(Response::new(StampResponse { response }))
    }
}

impl Answer {
    /// To a body of more than [`REQUEST_BYTES_MAX`] bytes.
    pub fn too_large() -> Self {
        let help = format!("a request has at most {REQUEST_BYTES_MAX} bytes; send a digest\n");
        Self::text(StatusCode::PAYLOAD_TOO_LARGE, help)
    }

    fn text(status: StatusCode, help: String) -> Self {
        Self { status, content_type: TEXT, body: help.into_bytes() }
    }
}
