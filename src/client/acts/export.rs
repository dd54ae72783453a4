//! Exports are gathered from what the session has verified, at one checkpoint of the log.

use std::io::{Read, Write};

use crate::client::error::ClientError;
use crate::client::export::{EVENTS_BYTES_MAX, EVENTS_MAX, Export, write};
use crate::client::mirror::log_key;
use crate::client::session::Session;
use crate::domain::id::AgreementId;
use crate::domain::stream::Stream;
use crate::ledger::Entry;

/// An export that can be written.
pub struct Gathered<R> {
    export: Export,
    size: u64,
    leaves: R,
}

/// Gathers everything of an agreement that the session may see.
pub async fn gather(
    session: &mut Session,
    id: &AgreementId,
) -> Result<Gathered<impl Read + use<>>, ClientError> {
    // Looked at before the log: who looks is entered, and is to be in it.
    follow(session, id).await?;
    session.follow_log().await?;
    let mirrored = session
        .mirrored()
        .cloned()
        .ok_or(ClientError::NewGeneration { generation: session.generation })?;
    let size = mirrored.checkpoint.size;
    // And after it, so that every stream reaches as far as the log. What is beyond is left out.
    let streams = follow(session, id).await?;
    let under = |stream: Stream| {
        let entries = session.followed(&stream).map(|followed| followed.entries());
        let entries = entries.unwrap_or_default().iter().filter(|entry| entry.position < size);
        (stream, entries.cloned().collect::<Vec<Entry>>())
    };
    let streams = streams.into_iter().map(under).collect();
    let export = Export {
        agreement: id.clone(),
        log: session.vault.log.clone(),
        operator_key: session.vault.operator_key,
        key: log_key(&session.vault)?,
        handovers: session.vault.handovers.clone(),
        checkpoint: mirrored.note,
        witnessed: session.home.mirror().witnessed()?.filter(|note| is_within(note, size)),
        streams,
    };
    let payloads = || export.streams.values().flatten().map(|entry| entry.payload.len());
    let (events, bytes) = (payloads().count(), payloads().sum::<usize>());
    if events > EVENTS_MAX || bytes > EVENTS_BYTES_MAX {
        return Err(ClientError::input(
            "TOO_LONG",
            format!("an export of {events} events with {bytes} bytes"),
            format!("it may have {EVENTS_MAX} with {EVENTS_BYTES_MAX} bytes; ask for receipts"),
        ));
    }
    Ok(Gathered { export, size, leaves: session.home.mirror().copied(size)? })
}

/// Follows the agreement, who looked at it, and its parties' members; which streams these are.
async fn follow(session: &mut Session, id: &AgreementId) -> Result<Vec<Stream>, ClientError> {
    let agreement = session.agreement(id).await?;
    let accesses = session.accesses(id).await?;
    let organisations = agreement.terms.organisations().cloned().map(Stream::Organisation);
    Ok(organisations.chain([Stream::Agreement(id.clone()), accesses]).collect())
}

impl<R: Read> Gathered<R> {
    /// Writes it.
    pub fn write(self, to: impl Write) -> std::io::Result<()> {
        write(&self.export, self.size, self.leaves, to)
    }
}

/// Whether a checkpoint covers no more than so many entries: another program in this home may have
/// gone on meanwhile.
fn is_within(note: &str, size: u64) -> bool {
    let covers = note.lines().nth(1).and_then(|line| line.parse::<u64>().ok());
    covers.is_some_and(|covers| covers <= size)
}
