//! Attesting what a rule asks for, and that objections are settled.

use crate::client::acts::release::{Matter, now};
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::domain::outlook;
use crate::domain::request;
use crate::domain::statement::{Attestation, Attested, Basis, Evidence, Settlement};

/// An attestation of what a request's rule asks for, if the rules take it.
pub fn attestation(
    session: &Session,
    matter: &Matter,
    what: Attested,
    evidence: Vec<Evidence>,
) -> Result<Attestation, ClientError> {
    let attestation = Attestation {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: matter.request.named(),
        what,
        evidence,
    };
    outlook::is_asked(&matter.request, &attestation.what).map_err(|other| {
        let hint = other.hint();
        ClientError::input("NOT_ASKED", other, hint)
    })?;
    request::decide_attestation(&matter.request, &attestation, now())?;
    Ok(attestation)
}

/// Attests it.
pub async fn attest(session: &Session, attestation: Attestation) -> Result<(), ClientError> {
    let signed = session.sign(&attestation.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// A statement that the objections to a request are settled, if the rules take it.
pub fn settlement(
    session: &Session,
    matter: &Matter,
    basis: Basis,
    evidence: Vec<Evidence>,
) -> Result<Settlement, ClientError> {
    let settlement = Settlement {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: matter.request.named(),
        basis,
        evidence,
    };
    if matter.request.standing_objections().next().is_none() {
        return Err(ClientError::input(
            "NOTHING_TO_SETTLE",
            format!("no objection to {} stands, so there is nothing to settle", matter.request.id),
            "see what is missing with `escrow show`",
        ));
    }
    request::decide_settlement(&matter.request, &settlement, now())?;
    Ok(settlement)
}

/// Says that they are settled.
pub async fn settle(session: &Session, settlement: Settlement) -> Result<(), ClientError> {
    let signed = session.sign(&settlement.into())?;
    session.submit(vec![signed], Vec::new()).await
}
