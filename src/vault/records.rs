//! Records between the domain and the store: loaded by name, kept as JSON.

use std::sync::Arc;

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

/// Finds a record, if there is one of this name.
pub(super) type Find<'a> = &'a dyn Fn(&Key) -> Result<Option<Arc<Record>>, ReadError>;

/// Loads the records a statement is judged by, those that are not there already.
pub(super) fn load_for(
    states: &mut States,
    stated: &Stated,
    find: Find<'_>,
) -> Result<(), ReadError> {
    load(states, rules::reads(stated), find)?;
    let further = rules::reads_further(states, stated);
    load(states, further, find)?;
    load(states, usage::reads(states, stated), find)
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
    find: Find<'_>,
) -> Result<(), ReadError> {
    for key in keys {
        if !states.contains(&key)
            && let Some(record) = find(&key)?
        {
            states.load(key, record);
        }
    }
    Ok(())
}

/// The record that `read` has under this key.
pub(super) fn read(key: &Key, read: ReadRecord<'_>) -> Result<Option<Arc<Record>>, ReadError> {
    read(&key.to_string())?.map(|bytes| parse(key, &bytes)).transpose()
}

/// Finds the records of a store.
pub(super) fn of<S: Store>(
    store: &S,
) -> impl Fn(&Key) -> Result<Option<Arc<Record>>, ReadError> + '_ {
    |key| read(key, &|name| store.record(name))
}

/// A record from how it is kept.
pub(super) fn parse(key: &Key, bytes: &[u8]) -> Result<Arc<Record>, ReadError> {
    serde_json::from_slice(bytes).map(Arc::new).map_err(|fault| misread(key, &fault))
}

/// The records that changed, as the store keeps them.
pub(super) fn changes(states: &mut States) -> Result<Records, ReadError> {
    let changed = states.take_changed().into_iter();
    changed
        .map(|(key, record)| {
            let bytes = serde_json::to_vec(&*record).map_err(|fault| misread(&key, &fault))?;
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
    find: Find<'_>,
) -> Result<(), ReadError> {
    let event = event(entry)?;
    match &event.act {
        Act::Stated(signed) => {
            let stated = statement::parse(signed)
                .map_err(|fault| damaged(format!("entry {}", entry.position), &fault))?;
            load_for(states, &stated, find)?;
            apply(states, (signed, &stated), event.at, event.sequence);
        }
        Act::Noted(note) => {
            load(states, rules::reads_of_note(note), find)?;
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
    load(states, [Key::Statement(*sha256)], &of(store))?;
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
        apply_entry(&mut states, entry, &|key| self::read(key, read))?;
        changes(&mut states)
    }
}
