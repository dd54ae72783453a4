//! Going on with a vault that was recovered: what this home remembers is handed in, what is lost all
//! the same is told, and agreements are taken up again.

use std::path::PathBuf;

use tokio_stream::iter;

use crate::client::chronicle::Followed;
use crate::client::error::ClientError;
use crate::client::memory::Memory;
use crate::client::session::Session;
use crate::client::silence::answered;
use crate::crypto::{signature, statement, strict_json};
use crate::domain::agreement::Agreement;
use crate::domain::event::{Act, Event};
use crate::domain::id::{AgreementId, MemberPath};
use crate::domain::statement::{Resumption, Saw};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;
use crate::ledger::Entry;
use crate::ledger::head::{Head, SignedHead};
use crate::wire::v1::hand_in_request::Part;
use crate::wire::v1::recovery_service_client::RecoveryServiceClient;
use crate::wire::v1::{HandInRequest, ReachRequest};

/// What became of what a home remembered.
#[derive(Debug, Default)]
pub struct HandedIn {
    /// Which generation the vault keeps now.
    pub generation: u32,
    /// Events that the vault had lost and has got back from here.
    pub events: u64,
    /// Events that are remembered here and are lost all the same.
    pub lost: Vec<Lost>,
    /// Where these are kept.
    pub evidence: Option<PathBuf>,
}

/// An event that the vault has no more and could not be given back.
#[derive(Debug)]
pub struct Lost {
    /// In which stream.
    pub stream: Stream,
    /// Its number.
    pub sequence: u64,
    /// When it was.
    pub at: Timestamp,
    /// The type of its statement, or `note`.
    pub kind: String,
    /// Whose statement it was.
    pub by: Option<MemberPath>,
}

/// Hands in what the vault has lost and this home remembers, and takes its new generation for the
/// one to rely on. Interrupted, it can be run again.
pub async fn hand_in(session: &mut Session) -> Result<HandedIn, ClientError> {
    let known = session.vault.log.generation;
    let generation = session.generation;
    let mut handed_in = HandedIn { generation, ..HandedIn::default() };
    if generation == known {
        return Ok(handed_in);
    }
    handed_in.events = send(session, generation).await?;
    session.begin_generation(generation);
    let aside = session.home.evidence().join(format!("generation-{known}"));
    // The new generation's log is another one, and need not continue the old.
    session.home.mirror().forget(&aside)?;
    session.follow_log().await?;
    let memory = session.home.memory();
    for stream in memory.streams()? {
        let (remembered, owed) = (memory.known(&stream)?, memory.acknowledged(&stream)?);
        let (shown, head) = match session.read_anew(&stream).await {
            Ok((shown, head)) => (shown, Some(head)),
            Err(error) if error.code() == "NOT_FOUND" => (Followed::default(), None),
            Err(error) => return Err(error),
        };
        let lost = lost(&stream, &remembered, &shown);
        let evidence = (!lost.is_empty()).then_some(aside.as_path());
        match head {
            Some(head) => memory.replace(&stream, shown.entries(), &head, evidence)?,
            None => memory.forget(&stream, &aside)?,
        }
        memory.settle(&stream, &owed)?;
        if evidence.is_some() {
            handed_in.evidence = Some(aside.clone());
        }
        handed_in.lost.extend(lost);
    }
    session.home.set_vault(&session.vault)?;
    Ok(handed_in)
}

/// The agreements that wait to be taken up again.
pub async fn suspended(session: &mut Session) -> Result<Vec<Agreement>, ClientError> {
    // The operator is a party of nothing.
    if session.owner.path == MemberPath::operator() {
        return Ok(Vec::new());
    }
    let generation = session.vault.log.generation;
    let agreements = session.agreements().await?;
    Ok(agreements.into_iter().filter(|a| a.goes_on_in(generation).is_err()).collect())
}

/// Takes an agreement up again, for the member's organisation. Whether it goes on now.
pub async fn resume(session: &mut Session, id: &AgreementId) -> Result<bool, ClientError> {
    session.agreement(id).await?;
    let resumption = Resumption { made: session.made(), ground: session.ground(id) };
    let signed = session.sign(&resumption.into())?;
    session.submit(vec![signed], Vec::new()).await?;
    let generation = session.vault.log.generation;
    Ok(session.agreement(id).await?.goes_on_in(generation).is_ok())
}

/// Sends what the vault has lost of the streams remembered here. How many events it got back.
async fn send(session: &Session, generation: u32) -> Result<u64, ClientError> {
    let memory = session.home.memory();
    let mut service = RecoveryServiceClient::new(session.channel());
    let (mut heads, mut entries) = (Vec::new(), Vec::new());
    for stream in memory.streams()? {
        match stream {
            Stream::Organisation(_)
            | Stream::OrganisationRegistrations(_)
            | Stream::Agreement(_) => {}
            // Every look makes them grow: they begin anew where the vault stands.
            Stream::Vault | Stream::OrganisationAccesses(_) | Stream::AgreementAccesses(_) => {
                continue;
            }
        }
        let Some((saw, signed, known)) = provable(&memory, &stream)? else { continue };
        let head: Head = strict_json::parse(&signed.head, SignedHead::BYTES_MAX)
            .map_err(|_| ClientError::Untrue("a head that cannot be read".to_owned()))?;
        if head.log.generation >= generation {
            continue;
        }
        let request = ReachRequest { head: Some(signed.clone().into()) };
        let reach = answered(service.reach(request)).await?.into_inner();
        if !reach.leads_there || reach.sequence >= saw.sequence {
            continue;
        }
        let missing = reach.sequence + 1..=saw.sequence;
        entries.extend(known.into_iter().filter(|entry| missing.contains(&entry.sequence)));
        heads.push(signed);
    }
    if entries.is_empty() {
        return Ok(0);
    }
    entries.sort_by_key(|entry| entry.position);
    let attachments = own_shares(session, &entries)?;
    let heads = heads.into_iter().map(|head| Part::Head(head.into()));
    let entries = entries.into_iter().map(|entry| Part::Entry(entry.into()));
    let attachments = attachments.into_iter().map(|bytes| Part::Attachment(bytes.into()));
    let parts = heads.chain(entries).chain(attachments).collect::<Vec<_>>();
    let parts = parts.into_iter().map(|part| HandInRequest { part: Some(part) });
    Ok(service.hand_in(iter(parts)).await?.into_inner().handed_in)
}

/// The furthest head of a stream that what is known here leads to, and the events from the first.
/// What was acknowledged may lie behind others' events that were never seen: nothing leads there.
fn provable(
    memory: &Memory,
    stream: &Stream,
) -> Result<Option<(Saw, SignedHead, Vec<Entry>)>, ClientError> {
    let known = memory.known(stream)?.into_iter().zip(1..);
    let known = known.take_while(|(entry, number)| entry.sequence == *number);
    let known: Vec<_> = known.map(|(entry, _)| entry).collect();
    let is_reached = |saw: &Saw| {
        let entry = known.iter().rfind(|entry| entry.sequence == saw.sequence);
        entry.is_some_and(|entry| entry.commitment() == saw.commitment)
    };
    let reached = memory.heads(stream)?.into_iter().rfind(|(saw, _)| is_reached(saw));
    Ok(reached.map(|(saw, head)| (saw, head, known)))
}

/// The sealed shares kept here that these events name.
fn own_shares(session: &Session, entries: &[Entry]) -> Result<Vec<Vec<u8>>, ClientError> {
    let mut shares = Vec::new();
    for stream in session.home.memory().streams()? {
        let Stream::Agreement(id) = stream else { continue };
        let Some(sealed) = session.home.share(&id)? else { continue };
        let name = signature::sha256(&sealed).to_string();
        let of_agreement = |entry: &&Entry| entry.stream == Stream::Agreement(id.clone());
        let is_named = |entry: &Entry| String::from_utf8_lossy(&entry.payload).contains(&name);
        if entries.iter().filter(of_agreement).any(is_named) {
            shares.push(sealed);
        }
    }
    Ok(shares)
}

/// The events that are remembered and are not shown any more.
fn lost(stream: &Stream, remembered: &[Entry], shown: &Followed) -> Vec<Lost> {
    let is_lost = |entry: &&Entry| shown.commitment(entry.sequence) != Some(entry.commitment());
    remembered.iter().filter(is_lost).filter_map(|entry| tell(stream, entry)).collect()
}

fn tell(stream: &Stream, entry: &Entry) -> Option<Lost> {
    let Event { at, sequence, act, .. } = statement::event(&entry.payload).ok()?;
    let (kind, by) = match &act {
        Act::Stated(signed) => {
            let statement = statement::parse(signed).ok()?.statement;
            (statement.tag().to_owned(), Some(statement.made().by.clone()))
        }
        Act::Noted(_) => ("note".to_owned(), None),
    };
    Some(Lost { stream: stream.clone(), sequence, at, kind, by })
}
