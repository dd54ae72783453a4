//! Inviting, confirming, revoking, trusting.

use std::time::SystemTime;

use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use crate::client::chronicle::Followed;
use crate::client::error::ClientError;
use crate::client::invitation::Invitation;
use crate::client::session::{self, Session};
use crate::crypto::signature;
use crate::domain::agreement::Agreement;
use crate::domain::id::{AgreementId, Digest, MemberPath};
use crate::domain::organisation::{Member, Standing};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{
    self, Confirmation, Reason, Revocation, RevocationNotice, Stated, Statement,
};
use crate::domain::stream::Stream;
use crate::domain::time::{Span, Timestamp};

/// How long an invitation stays open unless said otherwise.
pub const INVITATION_SPAN: Span = Span::days(7);

/// Opens the door for a member: an organisation's first, by the operator, or a colleague.
pub async fn invite(
    session: &mut Session,
    member: MemberPath,
    span: Span,
) -> Result<Invitation, ClientError> {
    let operator = session.owner.path == MemberPath::operator();
    let organisation_fingerprint = if operator {
        None
    } else {
        if member.organisation != session.owner.path.organisation {
            return Err(ClientError::input(
                "NOT_YOURS",
                format!("{} is not your organisation", member.organisation),
                "invite colleagues of your own; the operator invites other organisations",
            ));
        }
        session::fingerprint(&session.own_organisation().await?)
    };
    let mut secret = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(secret.as_mut());
    let invitation = Invitation {
        address: session.vault.address.clone(),
        ca_sha256: signature::sha256(&session.vault.cas()?.into_iter().next().unwrap_or_default()),
        ledger_key: session.vault.ledger_key,
        member: member.clone(),
        organisation_fingerprint,
        secret,
        expires_at: Timestamp::from(SystemTime::now()).after(span),
    };
    let statement = statement::Invitation {
        made: session.made(),
        member,
        secret_sha256: invitation.secret_sha256(),
        expires_at: invitation.expires_at,
    };
    let signed = session.sign(&statement.into())?;
    session.submit(vec![signed], Vec::new()).await?;
    Ok(invitation)
}

/// Says that a colleague's keys are that person's. `seen` is the fingerprint that was compared.
pub async fn confirm(
    session: &mut Session,
    member: &MemberPath,
    administrator: bool,
) -> Result<(), ClientError> {
    let organisation = session.own_organisation().await?;
    let unknown = || Refusal::NotFound(member.to_string());
    if member.organisation != organisation.name {
        return Err(unknown().into());
    }
    let joined = organisation.member(&member.name).ok_or_else(unknown)?;
    let confirmation = Confirmation {
        made: session.made(),
        member: member.clone(),
        join_sha256: joined.join_sha256,
        administrator,
    };
    let signed = session.sign(&confirmation.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// Refuses a revocation that would be wrong, before anything is signed; the member as joined.
pub async fn may_revoke(
    session: &mut Session,
    member: &MemberPath,
    reason: Reason,
) -> Result<Member, ClientError> {
    let organisation = session.own_organisation().await?;
    let unknown = || Refusal::NotFound(member.to_string());
    if member.organisation != organisation.name {
        return Err(unknown().into());
    }
    let now = Timestamp::from(SystemTime::now());
    if let Reason::CompromisedSince(since) = reason
        && since > now
    {
        return Err(ClientError::input(
            "IN_FUTURE",
            format!("{since} lies ahead: it is {now}"),
            "name the time since when somebody else may have had the keys",
        ));
    }
    let joined = organisation.member(&member.name).ok_or_else(unknown)?;
    let others = organisation.active_members().filter(|(name, _)| **name != member.name);
    if joined.is_administrator() && !others.into_iter().any(|(_, other)| other.is_administrator()) {
        return Err(ClientError::input(
            "LAST_ADMINISTRATOR",
            format!(
                "{member} is the only administrator of {}, which could never again invite, \
                 confirm or revoke anybody",
                organisation.name
            ),
            "invite another first and confirm that member with --administrator",
        ));
    }
    Ok(joined.clone())
}

/// Takes a colleague's authority away, and tells the parties of every agreement. Interrupted, it
/// can be run again. Returns in how many agreements it is told, or why not in all: the
/// revocation itself stands then.
pub async fn revoke(
    session: &mut Session,
    member: &MemberPath,
    reason: Reason,
) -> Result<Result<usize, ClientError>, ClientError> {
    let joined = may_revoke(session, member, reason).await?;
    let known = match &joined.standing {
        Standing::Revoked { reason: before, sha256, .. } if *before == reason => Some(*sha256),
        Standing::Revoked { .. } | Standing::Active { .. } | Standing::Pending => None,
    };
    let revocation_sha256 = match known {
        Some(sha256) => sha256,
        None => {
            let revocation = Revocation {
                made: session.made(),
                member: member.clone(),
                join_sha256: joined.join_sha256,
                reason,
            };
            let signed = session.sign(&revocation.into())?;
            let sha256 = signature::sha256(signed.statement.as_bytes());
            session.submit(vec![signed], Vec::new()).await?;
            sha256
        }
    };
    Ok(tell(session, member, revocation_sha256).await)
}

/// Tells the parties of every agreement of a revocation. Returns how many agreements there are.
async fn tell(
    session: &mut Session,
    member: &MemberPath,
    revocation_sha256: Digest,
) -> Result<usize, ClientError> {
    let agreements = session.agreements().await?;
    let own = session.own_organisation().await?;
    let mut told = 0;
    for agreement in &agreements {
        match own.member(&member.name).map(|member| &member.standing) {
            Some(Standing::Revoked { at, .. }) if began(session, &agreement.id) <= Some(*at) => {}
            // Its parties have known no such member.
            Some(_) | None => continue,
        }
        told += 1;
        if is_told(session, &agreement.id, &revocation_sha256) {
            continue;
        }
        let notice = RevocationNotice {
            made: session.made(),
            ground: session.ground(&agreement.id),
            member: member.clone(),
            revocation_sha256,
        };
        let signed = session.sign(&notice.into())?;
        session.submit(vec![signed], Vec::new()).await?;
    }
    Ok(told)
}

/// A colleague's revocation that the parties of some agreements have not been told of: telling
/// them was cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// Who was revoked.
    pub member: MemberPath,
    /// Why.
    pub reason: Reason,
    /// Where it is not known.
    pub agreements: Vec<AgreementId>,
}

/// Revocations of the own organisation that were not told everywhere, by what was followed.
pub fn untold(session: &Session, agreements: &[Agreement]) -> Vec<Untold> {
    let organisation = &session.owner.path.organisation;
    let own = session.states().organisation(organisation);
    let members = own.into_iter().flat_map(|own| &own.members);
    let revoked = members.filter_map(|(name, member)| match &member.standing {
        Standing::Revoked { at, reason, sha256, .. } => Some((name, *at, *reason, sha256)),
        Standing::Active { .. } | Standing::Pending => None,
    });
    let found = revoked.map(|(name, at, reason, sha256)| {
        let ids = agreements.iter().map(|agreement| &agreement.id);
        let lacking =
            ids.filter(|id| began(session, id) <= Some(at) && !is_told(session, id, sha256));
        let member = MemberPath { organisation: organisation.clone(), name: name.clone() };
        Untold { member, reason, agreements: lacking.cloned().collect() }
    });
    found.filter(|found| !found.agreements.is_empty()).collect()
}

/// When an agreement was proposed, by the vault's time.
fn began(session: &Session, agreement: &AgreementId) -> Option<Timestamp> {
    let followed = session.followed(&Stream::Agreement(agreement.clone()))?;
    followed.events().first().map(|believed| believed.event.at)
}

fn is_told(session: &Session, agreement: &AgreementId, revocation: &Digest) -> bool {
    let followed = session.followed(&Stream::Agreement(agreement.clone()));
    let events = followed.map(Followed::events).unwrap_or_default();
    events.iter().any(|believed| match &believed.stated {
        Some(Stated { statement: Statement::RevocationNotice(notice), .. }) => {
            notice.revocation_sha256 == *revocation
        }
        Some(_) | None => false,
    })
}
