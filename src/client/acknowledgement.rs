//! What the vault answers when statements are handed in.

use crate::crypto::statement;
use crate::domain::event::{Act, SignedText};
use crate::domain::rules;
use crate::domain::statement::{Log, Saw};
use crate::domain::stream::Stream;
use crate::ledger::Entry;

/// Whether these events are about these statements, each in its stream; and which events they are.
pub(super) fn check(
    log: &Log,
    statements: &[SignedText],
    entries: &[Entry],
) -> Result<Vec<(Stream, Saw)>, String> {
    let else_ = || "an acknowledgement of something else".to_owned();
    if entries.len() != statements.len() {
        return Err(else_());
    }
    let mut acknowledged = Vec::with_capacity(entries.len());
    for (signed, entry) in statements.iter().zip(entries) {
        let event = statement::event(&entry.payload).map_err(|_| else_())?;
        let stream = statement::parse(signed).map(|stated| rules::stream(&stated));
        let is_about_it = match &event.act {
            Act::Stated(stated) => stated == signed,
            Act::Noted(_) => false,
        };
        let is_in_its_stream = stream.is_ok_and(|stream| entry.stream == stream)
            && event.stream == entry.stream
            && event.log == *log
            && event.sequence == entry.sequence;
        if !is_about_it || !is_in_its_stream {
            return Err(else_());
        }
        let saw = Saw { sequence: entry.sequence, commitment: entry.commitment() };
        acknowledged.push((entry.stream.clone(), saw));
    }
    Ok(acknowledged)
}
