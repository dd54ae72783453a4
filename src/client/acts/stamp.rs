//! Time-stamps of what was registered: asked for, verified against the CAs this home believes, and
//! kept. They say the same as the ledger, in a form that stock tools verify without it.

use std::time::SystemTime;

use rand_core::{OsRng, RngCore as _};

use crate::client::authorities;
use crate::client::error::{ClientError, chain};
use crate::client::home::Home;
use crate::client::receipt::DocumentStamp;
use crate::client::session::{SKEW_MAX, Session};
use crate::client::silence::answered;
use crate::crypto::timestamp::{self, Hash, Imprint, StampRefused, verify_under};
use crate::domain::registration::Registration;
use crate::domain::time::Timestamp;
use crate::wire::v1::StampRequest;
use crate::wire::v1::timestamp_service_client::TimestampServiceClient;

/// Asks the vault for a time-stamp over this imprint of what was registered, and keeps it. What the
/// home has already stays: the first one proves most. Returns the time that is kept.
pub async fn stamp(
    session: &Session,
    registration: &Registration,
    imprint: &Imprint,
) -> Result<Timestamp, ClientError> {
    let mut nonce = [0; 8];
    OsRng.fill_bytes(&mut nonce);
    let request = timestamp::request(imprint, Some(&nonce), true).into();
    let asked_at = now();
    let mut service = TimestampServiceClient::new(session.channel());
    let response = answered(service.stamp(StampRequest { request })).await?.into_inner().response;
    let came_at = now();

    let mut cas = session.vault.cas()?;
    let mut verified = verify_under(&response, imprint, &cas, None);
    if matches!(verified, Err(StampRefused::Untrusted)) {
        // It may be of a CA that came since the session began.
        cas = newest_cas(session).await?;
        verified = verify_under(&response, imprint, &cas, None);
    }
    let (stamp, ca) = verified.map_err(refused)?;
    if !stamp.answers(&nonce) {
        return Err(untrue("a time-stamp that answers another request"));
    }
    if !stamp.is_timely(asked_at, came_at, SKEW_MAX) {
        let at = stamp.at;
        return Err(ClientError::Untrue(format!(
            "a time-stamp of {at}, when this computer's clock said {came_at}"
        )));
    }
    session.home.keep_stamp(&registration.id, &response, ca)?;
    kept(&session.home, registration)?.ok_or_else(|| untrue("a time-stamp that is gone"))
}

/// The time of the stamp that the home keeps of a registration, verified once more.
pub fn kept(home: &Home, registration: &Registration) -> Result<Option<Timestamp>, ClientError> {
    Ok(kept_whole(home, registration)?.map(|(at, _)| at))
}

/// The same, with the stamp.
pub fn kept_whole(
    home: &Home,
    registration: &Registration,
) -> Result<Option<(Timestamp, DocumentStamp)>, ClientError> {
    let Some(token) = home.stamp(&registration.id)? else { return Ok(None) };
    let damaged = |what: &dyn ToString| home.damaged_stamp(&registration.id, &what.to_string());
    let imprint = timestamp::imprint(&token).map_err(|fault| damaged(&fault))?;
    // Of longer digests no more is known here than that they were made together with this one.
    let is_other = imprint.digest() != registration.statement.sha256.0;
    if imprint.hash() == Hash::Sha256 && is_other {
        return Err(damaged(&"it is a time-stamp of another document"));
    }
    let ca = home.stamp_ca(&registration.id)?;
    let (stamp, _) = verify_under(&token, &imprint, std::slice::from_ref(&ca), None)
        .map_err(|fault| damaged(&fault))?;
    Ok(Some((stamp.at, DocumentStamp { token, ca })))
}

/// The CAs that the vault proves to have now.
async fn newest_cas(session: &Session) -> Result<Vec<Vec<u8>>, ClientError> {
    let known = &session.vault;
    let told = authorities::ask(session.channel(), &known.address, &known.ledger_key).await?;
    match authorities::is_news(known, &told)? {
        true => session.home.keep_cas(&told)?.cas(),
        false => known.cas(),
    }
}

/// That there is no token is no lie.
fn refused(refused: StampRefused) -> ClientError {
    match refused {
        StampRefused::Rejected { .. } => ClientError::Answered {
            code: "NOT_STAMPED".to_owned(),
            message: chain(&refused),
            hint: "tell the operator; `escrow show` with the registration's id asks again"
                .to_owned(),
            unreachable: false,
        },
        StampRefused::TooLarge { .. }
        | StampRefused::Malformed { .. }
        | StampRefused::OtherImprint
        | StampRefused::Unsupported { .. }
        | StampRefused::GivenCertificate
        | StampRefused::NoCertificate
        | StampRefused::Purpose { .. }
        | StampRefused::Signature
        | StampRefused::Untrusted
        | StampRefused::NotValid { .. }
        | StampRefused::Future { .. } => {
            ClientError::Untrue(format!("a time-stamp that does not count: {refused}"))
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

fn untrue(what: &str) -> ClientError {
    ClientError::Untrue(what.to_owned())
}
