//! What a client believes: streams that were verified entry by entry and replayed with the rules.
//!
//! Nothing here trusts the vault. An event is believed when it continues its stream, its
//! statement is signed, its proofs hold and the rules would have accepted it. What is absent on
//! purpose: any listing, state or counter that the vault could tell.

use std::collections::BTreeMap;

use crate::crypto::{proofs, statement};
use crate::domain::event::{Act, ENGINE, Event, Note};
use crate::domain::id::Digest;
use crate::domain::rules::{self, Circumstances};
use crate::domain::statement::{Log, Saw, Stated};
use crate::domain::states::{Key, Record, States, Vault};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;
use crate::ledger::Entry;

/// Why a stream is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Untrue {
    /// An entry is not the next of its stream.
    #[error("event {sequence} of {stream} {why}")]
    Chain {
        /// Which stream.
        stream: Stream,
        /// Which event.
        sequence: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// An event that these rules cannot judge.
    #[error(
        "event {sequence} of {stream} was decided by rules of version {engine}, which this program does not have"
    )]
    Newer {
        /// Which stream.
        stream: Stream,
        /// Which event.
        sequence: u64,
        /// By which rules.
        engine: u32,
    },
    /// An event that an honest vault would not have accepted.
    #[error("event {sequence} of {stream} breaks the rules: {why}")]
    Rules {
        /// Which stream.
        stream: Stream,
        /// Which event.
        sequence: u64,
        /// Why.
        why: String,
    },
}

/// An event that was believed.
#[derive(Debug, Clone)]
pub struct Believed {
    /// The event.
    pub event: Event,
    /// Its commitment.
    pub commitment: Digest,
    /// Its position in the ledger, as the vault tells it.
    pub position: u64,
    /// Its statement, if somebody made one.
    pub stated: Option<Stated>,
    /// Whether this home has verified all that takes mathematics before: see [`Followed::recall`].
    was_proved: bool,
}

/// One stream, verified up to some event.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    entries: Vec<Entry>,
    events: Vec<Believed>,
    bytes: usize,
}

impl Followed {
    /// Where the stream stands, as far as it was followed.
    pub fn saw(&self) -> Saw {
        let last = self.events.last();
        let stands = last.map(|believed| (believed.event.sequence, believed.commitment));
        let (sequence, commitment) = stands.unwrap_or_default();
        Saw { sequence, commitment }
    }

    /// The entries, as they are remembered.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many bytes their payloads have together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The events, in order.
    pub fn events(&self) -> &[Believed] {
        &self.events
    }

    /// Whether this event is part of it.
    pub fn has(&self, saw: &Saw) -> bool {
        self.commitment(saw.sequence) == Some(saw.commitment)
    }

    /// The commitment of one event.
    pub fn commitment(&self, sequence: u64) -> Option<Digest> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.events.get(index).map(|believed| believed.commitment)
    }

    /// Follows the stream by one entry, if that is its next.
    pub fn follow(&mut self, log: &Log, stream: &Stream, entry: Entry) -> Result<(), Untrue> {
        self.go_on(log, stream, entry, false)
    }

    /// Follows a stream from its beginning through what a home remembers of it. Signatures and proofs
    /// up to `proved` were verified by these very rules, and hold for ever: where the entries lead to
    /// the commitment that stood there, which holds every one of them, they are not verified again.
    /// That they lead on to the head that the vault signs, and what the rules say of them, still is.
    pub fn recall(
        log: &Log,
        stream: &Stream,
        entries: Vec<Entry>,
        proved: Option<Saw>,
    ) -> Result<Self, Untrue> {
        let index = |proved: Saw| usize::try_from(proved.sequence.checked_sub(1)?).ok();
        let last = proved.and_then(index).and_then(|index| entries.get(index));
        let holds = last.map(Entry::commitment) == proved.map(|proved| proved.commitment);
        let proved = proved.filter(|_| holds).map_or(0, |proved| proved.sequence);
        let mut followed = Self::default();
        for entry in entries {
            let was_proved = followed.saw().sequence < proved;
            followed.go_on(log, stream, entry, was_proved)?;
        }
        Ok(followed)
    }

    fn go_on(
        &mut self,
        log: &Log,
        stream: &Stream,
        entry: Entry,
        was_proved: bool,
    ) -> Result<(), Untrue> {
        let before = self.saw();
        let sequence = before.sequence + 1;
        let wrong = |why| Untrue::Chain { stream: stream.clone(), sequence, why };
        let event = statement::event(&entry.payload).map_err(|_| wrong("is not readable"))?;
        if !(1..=ENGINE).contains(&event.engine) {
            let (stream, engine) = (stream.clone(), event.engine);
            return Err(Untrue::Newer { stream, sequence, engine });
        }
        let last = self.events.last();
        let first = self.entries.first();
        let checks = [
            ("belongs to another stream", entry.stream == *stream && event.stream == *stream),
            ("is out of order", entry.sequence == sequence && event.sequence == sequence),
            ("belongs to another log", event.log.origin == log.origin),
            ("is of a later generation", event.log.generation <= log.generation),
            (
                "goes back in generations",
                last.is_none_or(|last| last.event.log.generation <= event.log.generation),
            ),
            ("does not follow on the one before", event.previous == before.commitment),
            ("goes back in time", last.is_none_or(|last| last.event.at <= event.at)),
            ("goes back in the ledger", last.is_none_or(|last| last.position < entry.position)),
            ("has another label key", first.is_none_or(|f| f.label_key == entry.label_key)),
        ];
        if let Some((why, _)) = checks.iter().find(|(_, holds)| !holds) {
            return Err(wrong(why));
        }
        let stated = match &event.act {
            Act::Noted(_) => None,
            Act::Stated(signed) if was_proved => {
                let stated = statement::parse(signed);
                Some(stated.map_err(|_| wrong("carries a statement that is not readable"))?)
            }
            Act::Stated(signed) => {
                let stated = statement::verify(signed);
                Some(stated.map_err(|_| wrong("carries a statement with a bad signature"))?)
            }
        };
        // Among accesses there are none: those are shown without being replayed.
        if stated.as_ref().is_some_and(|stated| rules::stream(stated) != *stream) {
            return Err(wrong("carries a statement of another stream"));
        }
        let (commitment, position) = (entry.commitment(), entry.position);
        self.events.push(Believed { event, commitment, position, stated, was_proved });
        self.bytes += entry.payload.len();
        self.entries.push(entry);
        Ok(())
    }
}

/// Where an event stands among those of other streams. In the ledger's order, but for events that
/// were lost and put back: these count from when they were made.
type Place = (u32, Timestamp, u64);

impl Believed {
    fn place(&self) -> Place {
        (self.event.log.generation, self.event.at, self.position)
    }
}

/// Streams replayed together, in the order of the ledger, and what came of it.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    states: States,
    counts: BTreeMap<Stream, usize>,
    place: Option<Place>,
}

impl Replay {
    /// What is believed.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// Replays what was not replayed before. Where events turn up that belong before some that
    /// were, everything is replayed anew.
    pub fn go_on(
        &mut self,
        vault: &Vault,
        streams: &BTreeMap<Stream, Followed>,
    ) -> Result<(), Untrue> {
        let mut events = self.new_events(streams);
        if events.first().is_some_and(|event| Some(event.place()) <= self.place) {
            *self = Self::default();
            events = self.new_events(streams);
        }
        if self.counts.is_empty() {
            self.states.put(Key::Vault, Record::Vault(vault.clone()));
        }
        for believed in events {
            if let Err(untrue) = replay(&mut self.states, streams, believed) {
                *self = Self::default();
                return Err(untrue);
            }
            self.place = Some(believed.place());
            *self.counts.entry(believed.event.stream.clone()).or_default() += 1;
        }
        Ok(())
    }

    fn new_events<'a>(&self, streams: &'a BTreeMap<Stream, Followed>) -> Vec<&'a Believed> {
        let new = streams.iter().flat_map(|(stream, followed)| {
            let count = self.counts.get(stream).copied().unwrap_or_default();
            followed.events().get(count..).unwrap_or_default()
        });
        let mut events: Vec<_> = new.collect();
        events.sort_by_key(|believed| believed.place());
        events
    }
}

/// The commitment of the event that a statement says it saw.
fn saw(streams: &BTreeMap<Stream, Followed>, stated: &Stated) -> Option<Digest> {
    let ground = stated.statement.ground()?;
    let stream = Stream::Agreement(ground.agreement.clone());
    streams.get(&stream)?.commitment(ground.saw.sequence)
}

/// Believes one more event, if an honest vault would have accepted it.
fn replay(
    states: &mut States,
    streams: &BTreeMap<Stream, Followed>,
    believed: &Believed,
) -> Result<(), Untrue> {
    let Believed { event, stated, was_proved, .. } = believed;
    let (stream, sequence) = (&event.stream, event.sequence);
    let broken = |why: String| Untrue::Rules { stream: stream.clone(), sequence, why };
    match (stated, &event.act) {
        (Some(stated), _) => {
            if rules::stream(stated) != *stream {
                return Err(broken("it belongs to another stream".to_owned()));
            }
            let (log, saw) = (event.log.clone(), saw(streams, stated));
            let circumstances = Circumstances { log, engine: event.engine, now: event.at, saw };
            rules::decide(states, stated, &circumstances)
                .map_err(|refusal| broken(refusal.to_string()))?;
            if !was_proved {
                proofs::check(states, stated).map_err(|fault| broken(fault.to_string()))?;
            }
            rules::apply(states, stated, event.at, sequence);
            Ok(())
        }
        (
            None,
            Act::Noted(
                Note::Founded { .. }
                | Note::Recovered { .. }
                | Note::AuthoritiesChanged(_)
                | Note::TimestamperChanged(_)
                | Note::LedgerKeyChanged(_),
            ),
        ) => Err(broken("it concerns the vault itself".to_owned())),
        (None, Act::Noted(note)) => {
            if let Note::Resumed { agreement, generation, by } = note {
                let is_own = Stream::Agreement(agreement.clone()) == *stream;
                if !is_own || *generation != event.log.generation {
                    return Err(broken("it resumes another agreement".to_owned()));
                }
                let resumptions = by.iter().map(|signed| {
                    let stated = statement::verify(signed).map_err(|f| broken(f.to_string()))?;
                    let saw = saw(streams, &stated);
                    Ok((stated, saw))
                });
                let resumptions = resumptions.collect::<Result<Vec<_>, _>>()?;
                rules::decide_resumed(states, agreement, &resumptions, &event.log, event.at)
                    .map_err(|refusal| broken(refusal.to_string()))?;
            }
            rules::apply_note(states, note, event.at, sequence);
            Ok(())
        }
        (None, Act::Stated(_)) => Err(broken("it was not verified".to_owned())),
    }
}
