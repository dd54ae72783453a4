//! Joining with an invitation: keys are made at home, accepted by the vault and certified.

use std::time::SystemTime;

use crate::client::ConnectFault;
use crate::client::authorities;
use crate::client::channel::Channel;
use crate::client::connect::connect;
use crate::client::error::ClientError;
use crate::client::home::{Home, Joining, Keys, Owner, Pinning, VaultInfo};
use crate::client::invitation::Invitation;
use crate::client::session;
use crate::client::silence::answered;
use crate::client::trust::Trust;
use crate::crypto::signature;
use crate::domain::id::MemberId;
use crate::domain::statement::{self, Confirmation, Join, Statement};
use crate::domain::time::Timestamp;
use crate::wire::v1::identity_service_client::IdentityServiceClient;
use crate::wire::v1::{JoinRequest, SignedStatement};

/// Joins with an invitation: makes keys in this home, and has them accepted and certified.
/// Interrupted, it can be run again with the same invitation.
pub async fn join(home: &Home, invitation: &Invitation) -> Result<Owner, ClientError> {
    let now = Timestamp::from(SystemTime::now());
    if invitation.expires_at <= now {
        return Err(expired(invitation, now));
    }
    let keys = home.make_keys()?;
    let channel = reach(invitation).await?;
    let vault =
        authorities::ask(channel.clone(), &invitation.address, &invitation.ledger_key).await?;
    let mut service = IdentityServiceClient::new(channel);
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
    let reply = answered(service.join(request)).await;
    let reply = reply.map_err(|error| refused(invitation, error))?.into_inner();
    session::check_certificate(&reply.certificate, &keys.tls, &vault)?;
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

/// Connects to the vault that invites, by its CA as it was then; or, where that one has been
/// replaced since, by the one that its ledger key vouches for.
async fn reach(invitation: &Invitation) -> Result<Channel, ClientError> {
    let address = &invitation.address;
    let by_invitation = Trust::CaFingerprint(invitation.ca_sha256);
    match connect(address, by_invitation, None).await {
        Ok(connected) => return Ok(connected.channel),
        Err(ConnectFault::NotTrusted { .. }) => {}
        Err(fault) => return Err(fault.into()),
    }
    let told = authorities::ask_anybody(address, &invitation.ledger_key).await;
    let told = told.map_err(|_| another_vault(invitation))?;
    Ok(connect(address, authorities::trust(&told)?, None).await?.channel)
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

fn expired(invitation: &Invitation, now: Timestamp) -> ClientError {
    ClientError::input(
        "INVITATION_EXPIRED",
        format!(
            "the invitation for {} expired at {}, and it is {now} by this computer's clock",
            invitation.member, invitation.expires_at
        ),
        "ask for a new invitation, or set the clock",
    )
}

fn another_vault(invitation: &Invitation) -> ClientError {
    ClientError::input(
        "OTHER_VAULT",
        format!(
            "{} is not the vault that {} was invited to: it has neither its CA nor its ledger key",
            invitation.address, invitation.member
        ),
        "ask who invited you whether the vault was set up anew; otherwise somebody is between",
    )
}

/// What it means that the vault does not let an invitation in that has time left. It was good
/// once: the vault's own CA or ledger key is in it.
fn refused(invitation: &Invitation, error: ClientError) -> ClientError {
    if error.code() != "NOT_INVITED" {
        return error;
    }
    let member = &invitation.member;
    let hint = match invitation.organisation_fingerprint {
        Some(_) => format!(
            "if it was not you, somebody else has joined with it and waits to be confirmed: tell \
             who invited you, who runs `escrow revoke {member} --left` and invites you under \
             another name"
        ),
        None => format!(
            "if it was not you, somebody else now has the name {}: tell everybody who would trust \
             its fingerprint, and ask the operator to invite you under another organisation name",
            member.organisation
        ),
    };
    let message = format!("the invitation for {member} was used already, or taken back");
    ClientError::input("INVITATION_USED", message, hint)
}
