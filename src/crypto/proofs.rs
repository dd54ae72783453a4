//! The checks of a statement that take mathematics: run by the vault at the door, and by every
//! client over every stream it is shown.

#[cfg(test)]
mod tests;

use crate::crypto::contribution::{self, Contribution, ContributionFault, Target};
use crate::crypto::release_key::{DealerFault, ReleaseKey};
use crate::crypto::request_point::{self, Purpose};
use crate::crypto::seal::{self, Origin};
use crate::crypto::signature;
use crate::crypto::strict_json;
use crate::crypto::timestamp::{self, Imprint, NoCa, StampRefused, Trusted};
use crate::domain::agreement::Agreement;
use crate::domain::id::{MemberPath, OrganisationName};
use crate::domain::request::Request;
use crate::domain::statement::{Sealing, Stated, Statement, TimeStamp};
use crate::domain::states::States;
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;

/// What is proved wrongly or not at all.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// The terms pin another key for an organisation than it has.
    #[error("{0} has another organisation key than the one whose fingerprint is in the terms")]
    Fingerprint(OrganisationName),
    /// The member's age recipient is none.
    #[error("the age recipient of {0} is malformed")]
    Recipient(MemberPath),
    /// The release key was dealt wrongly.
    #[error("the release key was not dealt as the terms say")]
    Dealer(#[from] DealerFault),
    /// The depositor does not show that it made the header.
    #[error("the deposit's proof of origin does not hold")]
    Origin,
    /// The requester does not show that it knows its point's logarithm.
    #[error("the request's proof of its point does not hold")]
    Possession,
    /// The contribution is no contribution, or not for this.
    #[error("the contribution does not hold")]
    Contribution(#[from] ContributionFault),
    /// The contribution's bytes are not readable.
    #[error("the contribution cannot be read")]
    Unreadable(#[from] strict_json::JsonFault),
    /// The CA that the terms pin for time-stamps cannot be used.
    #[error("the terms pin a CA for time-stamps that vouches for none")]
    Authority(#[from] NoCa),
    /// The token does not count under the terms.
    #[error("the time-stamp does not count")]
    Stamp(#[from] StampRefused),
    /// The token is of another time than was stated.
    #[error("the time-stamp is of {found}, and was stated to be of {stated}")]
    StampTime {
        /// The token's time.
        found: Timestamp,
        /// As stated.
        stated: Timestamp,
    },
    /// What the statement refers to isn't there.
    #[error("what the statement refers to is not known")]
    Unknown,
}

/// Checks what a statement proves by itself, given the states it is decided on.
pub fn check(states: &States, stated: &Stated) -> Result<(), Unproven> {
    match &stated.statement {
        Statement::Join(s) => {
            let parsed: Result<age::x25519::Recipient, _> = s.age_recipient.as_str().parse();
            parsed.map(|_| ()).map_err(|_| Unproven::Recipient(s.made.by.clone()))
        }
        Statement::Proposal(s) => check_terms(states, &s.terms),
        Statement::Amendment(s) => check_terms(states, &s.terms),
        Statement::ReleaseKey(s) => {
            let agreement = states.agreement(&s.agreement).ok_or(Unproven::Unknown)?;
            ReleaseKey::check(&s.commitment, agreement.terms.quorum, &s.holders)?;
            Ok(())
        }
        Statement::Deposit(s) => match &s.sealing {
            Sealing::Elsewhere => Ok(()),
            Sealing::Escrow { proof, .. } => {
                let agreement = s.ground.agreement.clone();
                let origin = Origin { agreement, depositor: s.made.by.organisation.clone() };
                if seal::is_origin_proved(proof, &s.ephemeral, &s.header_sha256, &origin) {
                    Ok(())
                } else {
                    Err(Unproven::Origin)
                }
            }
        },
        Statement::Request(s) => {
            let (agreement, deposit) = (&s.ground.agreement, &s.deposit);
            let purpose = Purpose { agreement, deposit, requester: &s.made.by };
            if request_point::is_possessed(&s.point, &s.proof, &purpose) {
                Ok(())
            } else {
                Err(Unproven::Possession)
            }
        }
        Statement::TimeStamp(s) => check_time_stamp(states, s),
        Statement::Invitation(_)
        | Statement::Organisation(_)
        | Statement::Confirmation(_)
        | Statement::Revocation(_)
        | Statement::RevocationNotice(_)
        | Statement::Renewal(_)
        | Statement::Registration(_)
        | Statement::Acceptance(_)
        | Statement::Declination(_)
        | Statement::Countersignature(_)
        | Statement::Termination(_)
        | Statement::Resumption(_)
        | Statement::Reseal(_)
        | Statement::Consent(_)
        | Statement::Contribution(_)
        | Statement::Seen(_)
        | Statement::Notification(_)
        | Statement::Objection(_)
        | Statement::Reminder(_)
        | Statement::Attestation(_)
        | Statement::Settlement(_)
        | Statement::Withdrawal(_)
        | Statement::Retrieval(_)
        | Statement::Acknowledgement(_) => Ok(()),
    }
}

fn check_terms(states: &States, terms: &Terms) -> Result<(), Unproven> {
    terms.fingerprints.iter().try_for_each(|(who, pinned)| {
        let key = states.organisation(who).and_then(|organisation| organisation.key);
        match key {
            Some(key) if signature::fingerprint(&key) == *pinned => Ok(()),
            Some(_) | None => Err(Unproven::Fingerprint(who.clone())),
        }
    })?;
    if let Some(pinned) = &terms.time_stamps {
        timestamp::check_ca(pinned.ca.as_bytes())?;
    }
    Ok(())
}

/// A token counts under the CA that the request's own terms pin, over the digest of its statement, and
/// at its own time: whoever replays this in thirty years comes to the same.
fn check_time_stamp(states: &States, stated: &TimeStamp) -> Result<(), Unproven> {
    let request = states.request(&stated.request.id).ok_or(Unproven::Unknown)?;
    let pinned = request.terms.time_stamps.as_ref().ok_or(Unproven::Unknown)?;
    let imprint = Imprint::sha256(&request.statement_sha256);
    let trusted = Trusted { authorities: &[pinned.ca.as_bytes()], others: &[] };
    let found = timestamp::verify(stated.token.as_bytes(), &imprint, trusted, None)?.at;
    match found == stated.at {
        true => Ok(()),
        false => Err(Unproven::StampTime { found, stated: stated.at }),
    }
}

/// An agreement's release key with its dealer checked.
pub fn release_key(agreement: &Agreement) -> Result<ReleaseKey, Unproven> {
    let dealt = agreement.release_key.as_ref().ok_or(Unproven::Unknown)?;
    Ok(ReleaseKey::check(&dealt.commitment, agreement.terms.quorum, &dealt.holders)?)
}

/// What contributions to a request are for.
pub fn target(states: &States, request: &Request) -> Result<Target, Unproven> {
    let deposit = states.deposit(&request.deposit).ok_or(Unproven::Unknown)?;
    Ok(Target {
        request_sha256: request.statement_sha256,
        release_key_sha256: request.statement.release_key_sha256,
        epoch: request.statement.epoch,
        ephemeral: deposit.statement.ephemeral,
        request_point: request.statement.point,
    })
}

/// Reads and checks the contribution that a holder's statement names.
pub fn check_contribution(
    states: &States,
    request: &Request,
    holder: &OrganisationName,
    bytes: &[u8],
) -> Result<Contribution, Unproven> {
    let read: Contribution = strict_json::parse(bytes, Contribution::BYTES_MAX)?;
    let agreement = states.agreement(&request.agreement).ok_or(Unproven::Unknown)?;
    if read.holder != *holder {
        return Err(ContributionFault::Proof(holder.clone()).into());
    }
    contribution::verify(&release_key(agreement)?, &read, &target(states, request)?)?;
    Ok(read)
}
