//! Amending an agreement, and reminding a party of it.

use crate::client::acts::release::now;
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::domain::agreement::{self, Agreement};
use crate::domain::amendment::{self, Amendment};
use crate::domain::id::{AgreementId, Digest, OrganisationName};
use crate::domain::rules;
use crate::domain::statement::{self, Countersignature, Reminder, Statement};
use crate::domain::stream::Stream;
use crate::domain::terms::Terms;

/// An amendment that can still come into force.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Digest of the statement that proposed it.
    pub sha256: Digest,
    /// What it says and who has signed it, as it is to be judged.
    pub amendment: Amendment,
}

/// The amendments of an agreement that can still come into force, in the order they were proposed.
pub fn pending(session: &Session, agreement: &Agreement) -> Vec<Pending> {
    let followed = session.followed(&Stream::Agreement(agreement.id.clone()));
    let events = followed.into_iter().flat_map(|followed| followed.events());
    let proposed = events.filter_map(|believed| {
        let stated = believed.stated.as_ref()?;
        let Statement::Amendment(_) = stated.statement else { return None };
        let found = session.states().amendment(&stated.digest)?;
        let amendment = rules::judged_amendment(session.states(), found);
        Some(Pending { sha256: stated.digest, amendment })
    });
    let is_pending = |it: &Pending| it.amendment.amends_sha256 == agreement.terms_sha256;
    match agreement.in_force() {
        Ok(()) => proposed.filter(is_pending).collect(),
        Err(_) => Vec::new(),
    }
}

/// Whether an amendment waits for this organisation: its signature is one of those that are missing.
pub fn awaits(agreement: &Agreement, pending: &Pending, own: &OrganisationName) -> bool {
    let missing = pending.amendment.missing(agreement).unwrap_or_default();
    let role = agreement.terms.role_of(own);
    !pending.amendment.signed.contains_key(own)
        && role.is_some_and(|role| missing.contains_key(role))
}

/// An amendment to these terms, if the rules take it.
pub fn amendment(
    session: &Session,
    agreement: &Agreement,
    terms: Terms,
) -> Result<statement::Amendment, ClientError> {
    let amendment = statement::Amendment {
        made: session.made(),
        ground: session.ground(&agreement.id),
        amends_sha256: agreement.terms_sha256,
        terms,
    };
    amendment::decide_amendment(agreement, &amendment)?;
    Ok(amendment)
}

/// Proposes it, and signs it for the member's organisation.
pub async fn amend(session: &Session, amendment: statement::Amendment) -> Result<(), ClientError> {
    let signed = session.sign(&amendment.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// A countersignature of an amendment, if the rules take it.
pub fn countersignature(
    session: &Session,
    agreement: &Agreement,
    pending: &Pending,
) -> Result<Countersignature, ClientError> {
    let countersignature = Countersignature {
        made: session.made(),
        ground: session.ground(&agreement.id),
        amendment_sha256: pending.sha256,
    };
    amendment::decide_countersignature(agreement, &pending.amendment, &countersignature)?;
    Ok(countersignature)
}

/// Signs an amendment for the member's organisation.
pub async fn countersign(
    session: &Session,
    countersignature: Countersignature,
) -> Result<(), ClientError> {
    let signed = session.sign(&countersignature.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// The other parties whose silence counts under some rule of an agreement.
pub fn silent(session: &Session, agreement: &Agreement) -> Vec<OrganisationName> {
    let own = &session.owner.path.organisation;
    let others = agreement.terms.organisations().filter(|who| *who != own);
    others.filter(|who| agreement.reminder_from(who).is_some()).cloned().collect()
}

/// Refuses a reminder that would not count, before anything is signed.
pub fn may_remind(
    session: &Session,
    agreement: &Agreement,
    organisation: &OrganisationName,
) -> Result<(), ClientError> {
    let reminder = reminder(session, &agreement.id, organisation);
    Ok(agreement::decide_reminder(agreement, &reminder, now())?)
}

/// Reminds an organisation of an agreement.
pub async fn remind(
    session: &Session,
    agreement: &AgreementId,
    organisation: &OrganisationName,
) -> Result<(), ClientError> {
    let signed = session.sign(&reminder(session, agreement, organisation).into())?;
    session.submit(vec![signed], Vec::new()).await
}

fn reminder(
    session: &Session,
    agreement: &AgreementId,
    organisation: &OrganisationName,
) -> Reminder {
    let (made, ground) = (session.made(), session.ground(agreement));
    Reminder { made, ground, organisation: organisation.clone() }
}
