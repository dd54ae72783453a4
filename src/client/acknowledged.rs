//! What the vault has acknowledged: the events that it says it made of one's statements.
//!
//! A reply is checked like everything else a vault shows, and remembered for as long as the session
//! lasts: a stream that is shown later without an event that was acknowledged is another history.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::client::chronicle::Followed;
use crate::client::error::ClientError;
use crate::crypto::statement;
use crate::domain::event::{Act, SignedText};
use crate::domain::rules;
use crate::domain::statement::{Log, Saw};
use crate::domain::stream::Stream;
use crate::ledger::Entry;
use crate::ledger::head::Head;

/// An event that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Last {
    /// In which stream.
    pub(super) stream: Stream,
    /// Its number and commitment.
    pub(super) saw: Saw,
}

/// Checks that there is one event for each statement, that carries it, in its own stream, behind
/// what was followed of that stream. Returns the last.
pub(super) fn check(
    log: &Log,
    signed: &[SignedText],
    entries: &[Entry],
    followed: impl Fn(&Stream) -> Option<Saw>,
) -> Result<Last, ClientError> {
    let untrue = |why: &str| ClientError::Untrue(format!("an acknowledgement {why}"));
    if entries.len() != signed.len() {
        return Err(untrue("of more or fewer statements than were handed in"));
    }
    let mut stood: BTreeMap<Stream, Saw> = BTreeMap::new();
    let mut last = None;
    for (signed, entry) in signed.iter().zip(entries) {
        let stated = statement::verify(signed).map_err(|_| untrue("of what is no statement"))?;
        let event = statement::event(&entry.payload).map_err(|_| untrue("that is not readable"))?;
        let stream = rules::stream(&stated);
        let before = stood.get(&stream).copied().or_else(|| followed(&stream)).unwrap_or_default();
        let is_next = event.sequence == before.sequence + 1;
        let checks = [
            ("of something else", event.act == Act::Stated(signed.clone())),
            ("in another stream", entry.stream == stream && event.stream == stream),
            ("under another number", entry.sequence == event.sequence),
            ("in another log", event.log == *log),
            ("at a place that was taken", event.sequence > before.sequence),
            ("that does not follow on", !is_next || event.previous == before.commitment),
        ];
        if let Some((why, _)) = checks.iter().find(|(_, holds)| !holds) {
            return Err(untrue(why));
        }
        let saw = Saw { sequence: event.sequence, commitment: entry.commitment() };
        stood.insert(stream.clone(), saw);
        last = Some(Last { stream, saw });
    }
    last.ok_or_else(|| untrue("of nothing"))
}

/// Checks that a stream's signed head stands at the last event that was acknowledged, or behind it.
pub(super) fn check_head(last: &Last, head: &Head) -> Result<(), ClientError> {
    let stands = head.saw.sequence > last.saw.sequence || head.saw == last.saw;
    if stands && head.stream == last.stream {
        return Ok(());
    }
    let what = "an acknowledgement that its signed head does not bear out";
    Err(ClientError::Untrue(what.to_owned()))
}

/// The last event acknowledged in each stream.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Mutex<BTreeMap<Stream, Saw>>);

impl Acknowledged {
    pub(super) fn remember(&self, last: Last) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(last.stream, last.saw);
    }

    /// Checks that a stream, followed to its end, has what was acknowledged.
    pub(super) fn check(&self, stream: &Stream, followed: &Followed) -> Result<(), ClientError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(stream) {
            Some(saw) if followed.commitment(saw.sequence) != Some(saw.commitment) => {
                Err(ClientError::Untrue(format!(
                    "{stream} without its event {}, which was acknowledged",
                    saw.sequence
                )))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;
    use crate::crypto::signature::SigningKey;
    use crate::domain::event::{ENGINE, Event, EventType};
    use crate::domain::id::Bytes;
    use crate::domain::statement::Statement;
    use crate::domain::tests::json::one_of_each;
    use crate::domain::time::Timestamp;
    use crate::ledger::LabelKey;
    use crate::ledger::head::HeadType;

    /// A statement of an agreement, and the event that an honest vault makes of it.
    struct Honest {
        log: Log,
        signed: SignedText,
        stream: Stream,
        before: Saw,
        event: Event,
    }

    impl Honest {
        fn new() -> Self {
            let consent = one_of_each().into_iter().find(|s| matches!(s, Statement::Consent(_)));
            let consent = consent.unwrap();
            let signed = statement::sign(&SigningKey::generate(&mut OsRng), &consent).unwrap();
            let stream = Stream::Agreement(consent.ground().unwrap().agreement.clone());
            let log = consent.made().log.clone();
            let before = Saw { sequence: 4, commitment: Bytes([4; 32]) };
            let event = Event {
                kind: EventType::V1,
                log: log.clone(),
                engine: ENGINE,
                stream: stream.clone(),
                sequence: 5,
                previous: before.commitment,
                at: Timestamp::from_millis(1),
                act: Act::Stated(signed.clone()),
            };
            Self { log, signed, stream, before, event }
        }

        fn entry(&self, event: &Event) -> Entry {
            Entry {
                position: 9,
                stream: event.stream.clone(),
                sequence: event.sequence,
                label_key: LabelKey([1; 32]),
                salt: Bytes([2; 32]),
                payload: serde_json::to_vec(event).unwrap(),
            }
        }

        fn check(&self, entries: &[Entry]) -> Result<Last, String> {
            let followed = |stream: &Stream| (*stream == self.stream).then_some(self.before);
            let signed = std::slice::from_ref(&self.signed);
            check(&self.log, signed, entries, followed).map_err(|fault| fault.to_string())
        }
    }

    #[test]
    fn an_acknowledgement_is_of_this_statement_at_the_place_behind_what_was_seen() {
        let honest = Honest::new();
        let other = Honest::new();
        type Lie = fn(&mut Event, &Honest);
        let lies: [(&str, Lie, &str); 9] = [
            ("the truth", |_, _| {}, ""),
            (
                "others were quicker",
                |event, _| (event.sequence, event.previous) = (8, Bytes([7; 32])),
                "",
            ),
            (
                "another statement",
                |event, other| event.act = other.event.act.clone(),
                "something else",
            ),
            ("another stream", |event, _| event.stream = Stream::Vault, "another stream"),
            (
                "another origin",
                |event, _| event.log.origin = "other.example".parse().unwrap(),
                "another log",
            ),
            ("another generation", |event, _| event.log.generation += 1, "another log"),
            ("a place that is taken", |event, _| event.sequence = 4, "was taken"),
            ("an early place", |event, _| event.sequence = 1, "was taken"),
            ("another history", |event, _| event.previous = Bytes([7; 32]), "does not follow on"),
        ];
        for (what, tell, says) in lies {
            let mut event = honest.event.clone();
            tell(&mut event, &other);
            match honest.check(&[honest.entry(&event)]) {
                Ok(_) => assert_eq!(says, "", "{what} was believed"),
                Err(why) => assert!(!says.is_empty() && why.contains(says), "{what}: {why}"),
            }
        }
        let entry = honest.entry(&honest.event);
        assert!(
            honest.check(&[]).is_err() && honest.check(&[entry.clone(), entry.clone()]).is_err()
        );
        let renumbered = Entry { sequence: 6, ..entry.clone() };
        assert!(honest.check(&[renumbered]).unwrap_err().contains("another number"));
        let unreadable = Entry { payload: b"{}".to_vec(), ..entry };
        assert!(honest.check(&[unreadable]).unwrap_err().contains("not readable"));
    }

    #[test]
    fn a_head_bears_out_what_was_acknowledged_and_the_stream_shows_it() {
        let honest = Honest::new();
        let last = honest.check(&[honest.entry(&honest.event)]).unwrap();
        let head = |stream: &Stream, sequence, commitment| Head {
            kind: HeadType::V1,
            log: honest.log.clone(),
            stream: stream.clone(),
            saw: Saw { sequence, commitment },
            at: Timestamp::from_millis(1),
        };
        for (what, head, holds) in [
            ("at it", head(&last.stream, 5, last.saw.commitment), true),
            ("behind it", head(&last.stream, 6, Bytes([8; 32])), true),
            ("before it", head(&last.stream, 4, honest.before.commitment), false),
            ("at another", head(&last.stream, 5, Bytes([8; 32])), false),
            ("of another stream", head(&Stream::Vault, 5, last.saw.commitment), false),
        ] {
            assert_eq!(check_head(&last, &head).is_ok(), holds, "{what}");
        }
        let acknowledged = Acknowledged::default();
        let nothing = Followed::default();
        assert!(acknowledged.check(&last.stream, &nothing).is_ok());
        acknowledged.remember(last.clone());
        let hidden = acknowledged.check(&last.stream, &nothing).unwrap_err();
        assert!(hidden.to_string().contains("without its event 5"), "{hidden}");
        assert!(acknowledged.check(&Stream::Vault, &nothing).is_ok());
    }
}
