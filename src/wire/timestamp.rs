//! Asking a time-stamping authority over HTTP (RFC 3161, 3.4).

use std::time::Duration;

use crate::domain::url::Url;
use crate::wire::http::{Bounds, StatusCode, Unanswered, post};

const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";
/// Longest excerpt of what an authority says it has answered with, in characters.
const EXCERPT_CHARS_MAX: usize = 100;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// There is no answer at all.
    #[error("no answer")]
    Unanswered(#[source] Unanswered),
    /// It says that it cannot, or will not.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// Something else was answered.
    #[error("it answered with {0:?} in place of {REPLY}")]
    Kind(String),
}

/// The authority's reply (`TimeStampResp`, DER) to a request (`TimeStampReq`, DER) of at most so many
/// bytes. Nothing of it is verified.
pub async fn reply(
    authority: &Url,
    request: Vec<u8>,
    time_max: Duration,
    bytes_max: usize,
) -> Result<Vec<u8>, NoReply> {
    let bounds = Bounds { time_max, bytes_max };
    let answered = post(authority, QUERY, request, bounds).await.map_err(NoReply::Unanswered)?;
    let kind = answered.content_type.split(';').next().unwrap_or_default().trim();
    match answered.status {
        StatusCode::OK if kind.eq_ignore_ascii_case(REPLY) => Ok(answered.body.to_vec()),
        StatusCode::OK => Err(NoReply::Kind(kind.chars().take(EXCERPT_CHARS_MAX).collect())),
        other => Err(NoReply::Status(other)),
    }
}
