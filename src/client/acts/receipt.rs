//! Receipts are gathered from the vault, and verified before anybody relies on them.

use std::collections::BTreeMap;

use crate::client::channel::Channel;
use crate::client::chronicle::{Believed, Followed};
use crate::client::error::{ClientError, chain};
use crate::client::mirror::log_key;
use crate::client::receipt::{
    DocumentStamp, EVENTS_MAX, Logged, Receipt, Verified, verify, vouching,
};
use crate::client::session::Session;
use crate::client::silence::answered;
use crate::domain::event::{Act, Note};
use crate::domain::id::{AgreementId, DepositId, MemberPath, PublicKey, RegistrationId, RequestId};
use crate::domain::rules;
use crate::domain::statement::{Stated, Statement};
use crate::domain::stream::Stream;
use crate::ledger::Entry;
use crate::wire::v1::ProveRequest;
use crate::wire::v1::log_service_client::LogServiceClient;

/// What a receipt is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A deposit: its statement.
    Deposit(AgreementId, DepositId),
    /// A request: all that was stated of it so far, to its release and retrieval.
    Request(AgreementId, RequestId),
    /// A registration: its statement.
    Registration(RegistrationId),
}

impl Subject {
    fn stream(&self, own: &MemberPath) -> Stream {
        match self {
            Self::Deposit(agreement, _) | Self::Request(agreement, _) => {
                Stream::Agreement(agreement.clone())
            }
            Self::Registration(_) => Stream::OrganisationRegistrations(own.organisation.clone()),
        }
    }

    fn is_about(&self, believed: &Believed) -> bool {
        let Believed { event, stated, .. } = believed;
        match (self, stated, &event.act) {
            (Self::Deposit(_, id), Some(stated), _) => {
                matches!(stated.statement, Statement::Deposit(_))
                    && DepositId::of(&stated.digest) == *id
            }
            (Self::Registration(id), Some(stated), _) => RegistrationId::of(&stated.digest) == *id,
            (Self::Request(_, id), Some(stated), _) => {
                let opens = matches!(stated.statement, Statement::Request(_))
                    && RequestId::of(&stated.digest) == *id;
                opens || rules::request_named(&stated.statement) == Some(id)
            }
            (Self::Request(_, id), None, Act::Noted(Note::HandedOut { request, .. })) => {
                request == id
            }
            (_, None, _) => false,
        }
    }
}

/// Makes a receipt of what the session has followed, with the time-stamp that the home keeps of
/// what was registered, and what it proves.
pub async fn receipt(
    session: &Session,
    subject: &Subject,
    mut stamp: Option<DocumentStamp>,
) -> Result<(Receipt, Verified), ClientError> {
    let stream = subject.stream(&session.owner.path);
    let followed = session.followed(&stream).into_iter();
    let events: Vec<(&Believed, &Entry)> = followed
        .flat_map(with_entries)
        .filter(|(believed, _)| subject.is_about(believed))
        .collect();
    let of_stamp = events.first().map(|(_, entry)| entry.position);
    let mut entries: BTreeMap<u64, &Entry> = BTreeMap::new();
    for (believed, entry) in events {
        entries.insert(entry.position, entry);
        if let Some(Stated { statement, key, .. }) = &believed.stated {
            entries.extend(behind(session, &statement.made().by, key));
        }
    }
    if entries.len() > EVENTS_MAX {
        return Err(ClientError::input(
            "TOO_LONG",
            format!("a receipt of {} events; it holds at most {EVENTS_MAX}", entries.len()),
            "ask for a receipt of a deposit, or export the agreement",
        ));
    }
    let mut service = LogServiceClient::new(session.channel());
    let (log, handovers) = (log_key(&session.vault)?, session.vault.handovers.clone());
    let mut receipt = Receipt { log, handovers, events: Vec::new() };
    for entry in entries.into_values() {
        let mut logged = prove(&mut service, entry).await?;
        if Some(entry.position) == of_stamp {
            logged.stamp = stamp.take();
        }
        receipt.events.push(logged);
    }
    // What does not stand here would not stand anywhere.
    let verified = verify(&receipt)
        .map_err(|fault| ClientError::Untrue(format!("proofs of its log: {}", chain(&fault))))?;
    Ok((receipt, verified))
}

async fn prove(
    service: &mut LogServiceClient<Channel>,
    entry: &Entry,
) -> Result<Logged, ClientError> {
    let request = ProveRequest { stream: entry.stream.to_string(), sequence: entry.sequence };
    let proof = answered(service.prove(request)).await?.into_inner().proof;
    Ok(Logged {
        payload: entry.payload.clone(),
        salt: entry.salt,
        label: entry.label_key.label(entry.sequence),
        proof,
        stamp: None,
    })
}

/// The events of an organisation's stream that show a key to be this member's.
fn behind<'s>(session: &'s Session, path: &MemberPath, key: &PublicKey) -> Vec<(u64, &'s Entry)> {
    let organisation = Stream::Organisation(path.organisation.clone());
    let Some(followed) = session.followed(&organisation) else { return Vec::new() };
    let stated: Vec<&Stated> =
        followed.events().iter().filter_map(|it| it.stated.as_ref()).collect();
    let needed = vouching(&stated, path, key);
    let is_needed = |believed: &Believed| {
        believed.stated.as_ref().is_some_and(|stated| needed.contains(&stated.digest))
    };
    with_entries(followed)
        .filter(|(believed, _)| is_needed(believed))
        .map(|(_, entry)| (entry.position, entry))
        .collect()
}

fn with_entries(followed: &Followed) -> impl Iterator<Item = (&Believed, &Entry)> {
    followed.events().iter().zip(followed.entries())
}
