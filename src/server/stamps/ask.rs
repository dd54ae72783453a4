//! Asking an authority, of whose answer nothing is believed that was not verified.

use rand_core::{OsRng, RngCore as _};

use crate::crypto::timestamp::{
    Imprint, Link, Policy, Stamp, StampRefused, request_under, verify_under,
};
use crate::domain::time::{Span, Timestamp};
use crate::server::stamps::shelf::Whose;
use crate::vault::Clock;

/// How far an authority's clock may be off from the vault's.
pub(super) const SKEW_MAX: Span = Span::seconds(300);

/// An authority that may be asked.
#[tonic::async_trait]
pub trait Source: Send + Sync {
    /// Whose it is.
    fn whose(&self) -> Whose;

    /// CAs that are pinned, DER: under one of them its answers have to verify.
    fn cas(&self) -> Vec<Vec<u8>>;

    /// Under which policy its tokens must be, if that matters.
    fn policy(&self) -> Option<&Policy>;

    /// Its answer to a request (`TimeStampReq`, DER), within bounded time and memory; why there is
    /// none, for people.
    async fn answer(&self, request: Vec<u8>) -> Result<Vec<u8>, String>;
}

/// Why an authority has given no time-stamp.
#[derive(Debug, thiserror::Error)]
pub enum NotStamped {
    /// There is no answer.
    #[error("it has not answered: {0}")]
    Unanswered(String),
    /// The answer does not count.
    #[error("what it answered does not count")]
    Refused(#[source] StampRefused),
    /// The answer is to another request.
    #[error("it has answered another request")]
    OtherRequest,
    /// The token is under another policy.
    #[error("its token is under policy {found}, not {wanted}")]
    OtherPolicy {
        /// Which it is.
        found: Policy,
        /// Which it should be.
        wanted: Policy,
    },
    /// The token's time cannot be.
    #[error("its token is of {at}, and it was asked at {asked_at}")]
    Untimely {
        /// The token's time.
        at: Timestamp,
        /// By the vault's clock.
        asked_at: Timestamp,
    },
}

/// Asks for a token over this imprint, and verifies it. What it says, and what is to be kept of it.
pub(super) async fn ask(
    source: &dyn Source,
    imprint: &Imprint,
    clock: &dyn Clock,
) -> Result<(Stamp, Link), NotStamped> {
    let mut nonce = [0; 8];
    OsRng.fill_bytes(&mut nonce);
    let request = request_under(imprint, Some(&nonce), true, source.policy());
    let asked_at = clock.now();
    let token = source.answer(request).await.map_err(NotStamped::Unanswered)?;
    let came_at = clock.now();
    let cas = source.cas();
    let (stamp, ca) = verify_under(&token, imprint, &cas, None).map_err(NotStamped::Refused)?;
    if !stamp.answers(&nonce) {
        return Err(NotStamped::OtherRequest);
    }
    if let Some(wanted) = source.policy().filter(|wanted| **wanted != stamp.policy) {
        return Err(NotStamped::OtherPolicy { found: stamp.policy, wanted: wanted.clone() });
    }
    if !stamp.is_timely(asked_at, came_at, SKEW_MAX) {
        return Err(NotStamped::Untimely { at: stamp.at, asked_at });
    }
    let cas = vec![ca.to_vec()];
    Ok((stamp, Link { token, cas }))
}
