//! Time-stamps of requests by the authority that an agreement's terms pin.
//!
//! Members' clients ask it, and never the vault. A vault that called the addresses which members write
//! into terms would do so for whoever invents one; and what is to be no word of the vault's should not
//! come by way of it. The authority learns a digest, and that somebody asked.

use std::time::{Duration, SystemTime};

use rand_core::{OsRng, RngCore as _};

use crate::client::error::ClientError;
use crate::client::session::{SKEW_MAX, Session};
use crate::crypto::timestamp::{self, Imprint, Stamp, StampRefused, Trusted};
use crate::domain::der::Der;
use crate::domain::request::{self, Request};
use crate::domain::statement::{REQUEST_TOKEN_BYTES_MAX, TimeStamp};
use crate::domain::terms::TimeStamps;
use crate::domain::time::Timestamp;
use crate::wire::timestamp::{NoReply, reply};

/// How long the authority may take. Somebody waits at a terminal for what need not be.
const REPLY_MAX: Duration = Duration::from_secs(10);

/// Why a request has no time-stamp still. It stands as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotStamped {
    /// The authority has not replied.
    #[error("no time-stamp from the authority")]
    NoReply(#[from] NoReply),
    /// Its reply does not count under the terms.
    #[error("what the authority replied does not count")]
    Refused(#[from] StampRefused),
    /// Its reply is to something that was asked before, or elsewhere.
    #[error("the authority has replied to another request than this one")]
    OtherRequest,
    /// The token's time cannot be.
    #[error("the authority's token is of {at}, when this computer's clock said {now}")]
    Untimely {
        /// The token's time.
        at: Timestamp,
        /// By this computer's clock.
        now: Timestamp,
    },
    /// The vault has not taken it.
    #[error("the time-stamp was not entered")]
    NotEntered(#[from] ClientError),
}

/// Has a request time-stamped, where its terms pin an authority that has not done so. Whether anything
/// was due and is done now, by this member or another one at the same moment.
pub async fn stamp(session: &Session, request: &Request) -> Result<bool, NotStamped> {
    let Some(pinned) = request.awaits_stamp(now()) else { return Ok(false) };
    // After a recovery nothing is entered before every party has taken the agreement up again.
    let agreement = session.states().agreement(&request.agreement);
    if agreement.is_none_or(|it| it.goes_on_in(session.vault.log.generation).is_err()) {
        return Ok(false);
    }
    let (token, Stamp { at, .. }) = ask(pinned, request).await?;
    let stamp = TimeStamp {
        made: session.made(),
        ground: session.ground(&request.agreement),
        request: request.named(),
        at,
        token,
    };
    request::decide_time_stamp(request, &stamp, now()).map_err(ClientError::from)?;
    let signed = session.sign(&stamp.into())?;
    match session.submit(vec![signed], Vec::new()).await {
        Err(fault) if fault.code() == "ALREADY" => Ok(true),
        entered => Ok(entered.map(|()| true)?),
    }
}

/// Asks the authority; of its reply nothing is believed that was not verified.
async fn ask(
    pinned: &TimeStamps,
    request: &Request,
) -> Result<(Der<REQUEST_TOKEN_BYTES_MAX>, Stamp), NotStamped> {
    let imprint = Imprint::sha256(&request.statement_sha256);
    let mut nonce = [0; 8];
    OsRng.fill_bytes(&mut nonce);
    let asked_at = now();
    let query = timestamp::request(&imprint, Some(&nonce), true);
    let token = reply(&pinned.authority, query, REPLY_MAX, REQUEST_TOKEN_BYTES_MAX).await?;
    let came_at = now();
    let trusted = Trusted { authorities: &[pinned.ca.as_bytes()], others: &[] };
    let stamp = timestamp::verify(&token, &imprint, trusted, None)?;
    if !stamp.answers(&nonce) {
        return Err(NotStamped::OtherRequest);
    }
    if !stamp.is_timely(asked_at, came_at, SKEW_MAX) {
        return Err(NotStamped::Untimely { at: stamp.at, now: came_at });
    }
    let bytes = token.len();
    let token = Der::new(token).ok_or(StampRefused::TooLarge { bytes })?;
    Ok((token, stamp))
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
