//! Joining, inviting, confirming, trusting.

use std::time::SystemTime;

use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use crate::client::chronicle::Followed;
use crate::client::connect;
use crate::client::error::ClientError;
use crate::client::home::{Home, Joining, Keys, Owner, Pinning, VaultInfo};
use crate::client::invitation::Invitation;
use crate::client::session::{self, Session};
use crate::client::trust::Trust;
use crate::crypto::signature;
use crate::domain::id::{AgreementId, Digest, MemberId, MemberPath};
use crate::domain::organisation::{Member, Standing};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{
    self, Confirmation, Join, Log, Reason, Revocation, RevocationNotice, Stated, Statement,
};
use crate::domain::stream::Stream;
use crate::domain::time::{Span, Timestamp};
use crate::wire::convert::{fixed, present};
use crate::wire::v1::identity_service_client::IdentityServiceClient;
use crate::wire::v1::{JoinRequest, SignedStatement, VaultDescription};

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
        ca_sha256: signature::sha256(&ca_der(&session.vault)?),
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

/// Joins with an invitation: makes keys in this home, and has them accepted and certified.
/// Interrupted, it can be run again with the same invitation.
pub async fn join(home: &Home, invitation: &Invitation) -> Result<Owner, ClientError> {
    let now = Timestamp::from(SystemTime::now());
    if invitation.expires_at <= now {
        return Err(Refusal::NotInvited(invitation.member.clone()).into());
    }
    let keys = home.keys()?;
    let trust = Trust::CaFingerprint(invitation.ca_sha256);
    let connected = connect::connect(&invitation.address, trust, None).await?;
    let mut service = IdentityServiceClient::new(connected.channel);
    let described = service.describe(crate::wire::v1::DescribeRequest {}).await?.into_inner();
    let described = present(described.vault, "vault").map_err(bad)?;
    let vault = vault_info(&invitation.address, described, &invitation.ca_sha256)?;
    let secret_sha256 = invitation.secret_sha256();
    let joining = match home.joining(&secret_sha256)? {
        Some(begun) => begun,
        None => {
            let begun = begin(home, &keys, &vault, invitation)?;
            home.keep_joining(&begun)?;
            begun
        }
    };
    let Joining { csr, join_sha256, statements, .. } = joining;
    let request = JoinRequest {
        secret: invitation.secret.to_vec().into(),
        statements: statements.into_iter().map(SignedStatement::from).collect(),
        certificate_request: hex::decode(csr).unwrap_or_default().into(),
    };
    let reply = service.join(request).await?.into_inner();
    let own = match invitation.organisation_fingerprint {
        Some(fingerprint) => fingerprint,
        None => signature::fingerprint(&home.make_organisation_key()?.public()),
    };
    home.pin(&invitation.member.organisation, own, Pinning::Keep)?;
    home.set_certificate(&reply.certificate)?;
    home.set_vault(&vault)?;
    let owner = Owner { path: invitation.member.clone(), id: Some(MemberId::of(&join_sha256)) };
    home.set_owner(&owner)?;
    Ok(owner)
}

/// What a joining is made of. It is kept in the home before it is sent, so that one whose reply
/// was lost can be sent again.
fn begin(
    home: &Home,
    keys: &Keys,
    vault: &VaultInfo,
    invitation: &Invitation,
) -> Result<Joining, ClientError> {
    let owner = Owner { path: invitation.member.clone(), id: None };
    let csr = keys.tls.csr_der().map_err(|fault| ClientError::Untrue(fault.to_string()))?;
    let age_recipient = keys.age.to_public().to_string().parse();
    let join = Statement::from(Join {
        made: session::made(&owner, vault),
        secret_sha256: invitation.secret_sha256(),
        key: keys.statement.public(),
        age_recipient: age_recipient.map_err(|fault| ClientError::Untrue(format!("{fault}")))?,
        certificate_request_sha256: signature::sha256(&csr),
    });
    let join = session::sign(&keys.statement, &join)?;
    let join_sha256 = signature::sha256(join.statement.as_bytes());
    let statements = match invitation.organisation_fingerprint {
        Some(_) => vec![join],
        None => {
            // The organisation's first member makes its key and confirms itself with it.
            let key = home.make_organisation_key()?;
            let made = session::made(&owner, vault);
            let organisation = statement::Organisation { made, key: key.public() };
            let confirmation = Confirmation {
                made: session::made(&owner, vault),
                member: owner.path.clone(),
                join_sha256,
                administrator: true,
            };
            let organisation = session::sign(&key, &organisation.into())?;
            vec![organisation, join, session::sign(&key, &confirmation.into())?]
        }
    };
    let secret_sha256 = invitation.secret_sha256();
    Ok(Joining { secret_sha256, csr: hex::encode(csr), join_sha256, statements })
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
    for agreement in &agreements {
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
    Ok(agreements.len())
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

/// What a vault says of itself, with the CA certificate that the invitation vouches for.
fn vault_info(
    address: &str,
    described: VaultDescription,
    ca_sha256: &crate::domain::id::Digest,
) -> Result<VaultInfo, ClientError> {
    if signature::sha256(&described.ca_certificate) != *ca_sha256 {
        return Err(ClientError::Untrue("another CA certificate than invited to".to_owned()));
    }
    let origin = described.origin.parse();
    let origin = origin.map_err(|fault| ClientError::Untrue(format!("{fault}")))?;
    Ok(VaultInfo {
        address: address.to_owned(),
        log: Log { origin, generation: described.generation },
        ledger_key: fixed(&described.ledger_key, "ledger_key").map_err(bad)?,
        operator_key: fixed(&described.operator_key, "operator_key").map_err(bad)?,
        ca_certificate: hex::encode(&described.ca_certificate),
    })
}

fn ca_der(vault: &VaultInfo) -> Result<Vec<u8>, ClientError> {
    let der = hex::decode(&vault.ca_certificate);
    der.map_err(|fault| ClientError::Untrue(fault.to_string()))
}

fn bad(field: crate::wire::convert::BadField) -> ClientError {
    ClientError::Untrue(field.to_string())
}
