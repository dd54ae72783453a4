//! Time-stamps over HTTP (RFC 3161, 3.4): what is answered. Who listens is elsewhere.

use hyper::StatusCode;
use rand_core::{OsRng, RngCore as _};

use crate::crypto::timestamp::{Authority, REQUEST_BYTES_MAX, answer};
use crate::domain::time::Timestamp;

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
    let mut serial = [0; 16];
    OsRng.fill_bytes(&mut serial);
    let body = answer(body, authority, now, &serial);
    Answer { status: StatusCode::OK, content_type: REPLY, body }
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
