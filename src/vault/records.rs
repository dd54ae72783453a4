//! Records between the domain and the store: loaded by name, kept as JSON.

use crate::crypto::statement;
use crate::domain::event::{Act, Event, SignedText};
use crate::domain::id::Digest;
use crate::domain::rules;
use crate::domain::statement::Stated;
use crate::domain::states::{Key, Record, States};
use crate::domain::time::Timestamp;
use crate::ledger::Entry;
use crate::store::{Projector, ReadError, ReadRecord, Records, Store};
use crate::vault::usage;

/// Loads the records a statement is judged by, those that are not there already.
pub(super) fn load_for(
    states: &mut States,
    stated: &Stated,
    read: ReadRecord<'_>,
) -> Result<(), ReadError> {
    load(states, rules::reads(stated), read)?;
    let further = rules::reads_further(states, stated);
    load(states, further, read)?;
    load(states, usage::reads(states, stated), read)
}

/// Changes the records as an accepted statement does: by the rules, and in what is counted.
pub(super) fn apply(
    states: &mut States,
    (signed, stated): (&SignedText, &Stated),
    at: Timestamp,
    sequence: u64,
) {
    rules::apply(states, stated, at, sequence);
    usage::count(states, signed, stated, at);
}

/// Loads records, those that are not there already.
pub(super) fn load(
    states: &mut States,
    keys: impl IntoIterator<Item = Key>,
    read: ReadRecord<'_>,
) -> Result<(), ReadError> {
    for key in keys {
        if !states.contains(&key)
            && let Some(bytes) = read(&key.to_string())?
        {
            let record: Record =
                serde_json::from_slice(&bytes).map_err(|fault| misread(&key, &fault))?;
            states.load(key, record);
        }
    }
    Ok(())
}

/// The records that changed, as the store keeps them.
pub(super) fn changes(states: &mut States) -> Result<Records, ReadError> {
    let changed = states.take_changed().into_iter();
    changed
        .map(|(key, record)| {
            let bytes = serde_json::to_vec(&record).map_err(|fault| misread(&key, &fault))?;
            Ok((key.to_string(), Some(bytes)))
        })
        .collect()
}

/// The event in an entry.
pub(super) fn event(entry: &Entry) -> Result<Event, ReadError> {
    statement::event(&entry.payload)
        .map_err(|fault| damaged(format!("entry {}", entry.position), &fault))
}

/// Changes the records as the event in an entry does.
pub(super) fn apply_entry(
    states: &mut States,
    entry: &Entry,
    read: ReadRecord<'_>,
) -> Result<(), ReadError> {
    let event = event(entry)?;
    match &event.act {
        Act::Stated(signed) => {
            let stated = statement::parse(signed)
                .map_err(|fault| damaged(format!("entry {}", entry.position), &fault))?;
            load_for(states, &stated, read)?;
            apply(states, (signed, &stated), event.at, event.sequence);
        }
        Act::Noted(note) => {
            load(states, rules::reads_of_note(note), read)?;
            rules::apply_note(states, note, event.at, event.sequence);
        }
    }
    Ok(())
}

/// The words of a statement that was accepted before.
pub(super) fn accepted<S: Store>(
    store: &S,
    states: &mut States,
    sha256: &Digest,
) -> Result<SignedText, ReadError> {
    load(states, [Key::Statement(*sha256)], &|key| store.record(key))?;
    let lost = || ReadError::Damaged {
        what: format!("statement {sha256}"),
        how: "it is recorded as accepted, but is not there".to_owned(),
    };
    let place = states.statement(sha256).ok_or_else(lost)?;
    let entry = store.read_stream(&place.stream, place.sequence, 1)?;
    match event(entry.first().ok_or_else(lost)?)?.act {
        Act::Stated(signed) => Ok(signed),
        Act::Noted(_) => Err(lost()),
    }
}

fn misread(key: &Key, how: &dyn std::error::Error) -> ReadError {
    ReadError::Index { what: format!("record {key}"), how: how.to_string() }
}

fn damaged(what: String, how: &dyn std::error::Error) -> ReadError {
    ReadError::Damaged { what, how: how.to_string() }
}

/// Makes records from entries with the very code that made them at first.
#[derive(Debug, Clone, Copy, Default)]
pub struct DomainProjector;

impl Projector for DomainProjector {
    fn project(&self, entry: &Entry, read: ReadRecord<'_>) -> Result<Records, ReadError> {
        let mut states = States::default();
        apply_entry(&mut states, entry, read)?;
        changes(&mut states)
    }
}
