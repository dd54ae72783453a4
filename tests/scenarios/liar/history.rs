//! A history as a vault could invent it that has its own keys and nobody else's.

use std::collections::BTreeMap;
use std::time::SystemTime;

use escrow_vault::client::home::Home;
use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::crypto::note::NoteKey;
use escrow_vault::crypto::signature::{self, SigningKey};
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::{Act, ENGINE, Event, EventType, SignedText};
use escrow_vault::domain::id::{Bytes, Digest};
use escrow_vault::domain::statement::{Log, Saw};
use escrow_vault::domain::stream::Stream;
use escrow_vault::domain::time::Timestamp;
use escrow_vault::ledger::checkpoint::{self, Checkpoint};
use escrow_vault::ledger::head::{self, Head, HeadType, SignedHead};
use escrow_vault::ledger::{Entry, LabelKey};

use crate::scenarios::World;

/// Streams as they are shown, and the key that signs where they stand.
#[derive(Clone)]
pub(crate) struct History {
    log: Log,
    ledger_key: std::sync::Arc<SigningKey>,
    streams: BTreeMap<Stream, Vec<Entry>>,
    log_size: u64,
    /// Whether the log that is shown with it is the vault's own.
    pub(super) has_true_log: bool,
    /// Whether what is stated is acknowledged and then forgotten.
    pub(super) is_forgetful: bool,
}

impl History {
    /// Everything that a home remembers.
    pub(crate) fn seen_by(world: &World, home: &str) -> Self {
        let home = Home::open(&world.home(home)).unwrap();
        let memory = home.memory();
        let recall = |stream: Stream| {
            let entries = memory.recall(&stream).unwrap();
            (stream, entries)
        };
        let streams = memory.streams().unwrap().into_iter().map(recall).collect();
        let seed = Keyring::at(&world.data().join("keys")).read("ledger.key", 32).unwrap();
        let ledger_key = SigningKey::from_bytes(seed.as_slice().try_into().unwrap());
        Self {
            log: home.vault().unwrap().log,
            ledger_key: ledger_key.into(),
            streams,
            log_size: 0,
            has_true_log: false,
            is_forgetful: false,
        }
    }

    /// The streams, whatever they have become.
    pub(crate) fn streams(&self) -> &BTreeMap<Stream, Vec<Entry>> {
        &self.streams
    }

    /// A stream's entries; none of a stream that does not exist yet.
    pub(crate) fn entries(&mut self, stream: &Stream) -> &mut Vec<Entry> {
        self.streams.entry(stream.clone()).or_default()
    }

    /// Where a stream stands.
    pub(crate) fn stands(&self, stream: &Stream) -> Saw {
        let last = self.streams.get(stream).and_then(|entries| entries.last());
        let saw = |entry: &Entry| Saw { sequence: entry.sequence, commitment: entry.commitment() };
        last.map_or(Saw { sequence: 0, commitment: Bytes::default() }, saw)
    }

    /// That, signed.
    pub(crate) fn head(&self, stream: &Stream) -> SignedHead {
        self.head_of(stream, self.stands(stream))
    }

    /// Any head, signed.
    pub(crate) fn head_of(&self, stream: &Stream, saw: Saw) -> SignedHead {
        let (log, stream, at) = (self.log.clone(), stream.clone(), SystemTime::now().into());
        let head = Head { kind: HeadType::V1, log, stream, saw, at };
        let head = serde_json::to_vec(&head).unwrap();
        let signature = self.ledger_key.sign(head::TAG, &head);
        SignedHead { head, signature }
    }

    /// Signs where the log stands.
    pub(super) fn checkpoint(&self, size: u64, root: Digest) -> String {
        let origin = checkpoint::origin(&self.log);
        let key = NoteKey::new(&origin, self.ledger_key.public()).unwrap();
        key.sign(&self.ledger_key, &Checkpoint { origin, size, root }.to_string())
    }

    /// Is shown with the vault's own log.
    pub(crate) fn keeps_the_true_log(&mut self) {
        self.has_true_log = true;
    }

    /// Puts what comes next behind so many entries of the log.
    pub(super) fn behind(&mut self, entries: u64) {
        self.log_size = entries;
    }

    /// Lets something happen.
    pub(crate) fn append(&mut self, stream: &Stream, act: Act, at: Timestamp) -> Entry {
        let Saw { sequence, commitment } = self.stands(stream);
        let positions = self.streams.values().flatten().map(|entry| entry.position);
        let position = positions.max().unwrap_or_default() + 1;
        let position = position.max(self.log_size);
        let first = self.entries(stream).first();
        let own = || LabelKey(signature::sha256(stream.to_string().as_bytes()).0);
        let label_key = first.map_or_else(own, |first| first.label_key);
        let event = Event {
            kind: EventType::V1,
            log: self.log.clone(),
            engine: ENGINE,
            stream: stream.clone(),
            sequence: sequence + 1,
            previous: commitment,
            at,
            act,
        };
        let entry = Entry {
            position,
            stream: stream.clone(),
            sequence: event.sequence,
            label_key,
            salt: Bytes([3; 32]),
            payload: serde_json::to_vec(&event).unwrap(),
        };
        self.entries(stream).push(entry.clone());
        entry
    }

    /// Which log it is of.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Lets somebody state something now, without judging it.
    pub(crate) fn state(&mut self, stream: &Stream, signed: SignedText) -> Entry {
        self.append(stream, Act::Stated(signed), SystemTime::now().into())
    }

    /// Where in a stream the first statement of this type stands.
    pub(crate) fn place(&mut self, stream: &Stream, tag: &str) -> usize {
        let is = |entry: &Entry| match statement::event(&entry.payload).unwrap().act {
            Act::Stated(signed) => statement::parse(&signed).unwrap().statement.tag() == tag,
            Act::Noted(_) => false,
        };
        self.entries(stream).iter().position(is).unwrap()
    }

    /// Changes one event, and links those behind it to it as if it had always been so.
    pub(crate) fn forge(&mut self, stream: &Stream, place: usize, change: impl FnOnce(&mut Event)) {
        let entry = &mut self.entries(stream)[place];
        let mut event = statement::event(&entry.payload).unwrap();
        change(&mut event);
        entry.payload = serde_json::to_vec(&event).unwrap();
        self.link(stream, place + 1);
    }

    /// Leaves one event out, and links those behind it as if it had never been.
    pub(crate) fn hide(&mut self, stream: &Stream, place: usize) {
        self.entries(stream).remove(place);
        self.link(stream, place);
    }

    /// Numbers and links events from some place on.
    pub(crate) fn link(&mut self, stream: &Stream, from: usize) {
        let entries = self.entries(stream);
        for place in from..entries.len() {
            let mut event = statement::event(&entries[place].payload).unwrap();
            event.previous = match place {
                0 => Bytes::default(),
                _ => entries[place - 1].commitment(),
            };
            event.sequence = place as u64 + 1;
            entries[place].sequence = event.sequence;
            entries[place].payload = serde_json::to_vec(&event).unwrap();
        }
    }
}

/// Puts other words into a signed statement.
pub(crate) fn reword(event: &mut Event, from: &str, to: &str) {
    let Act::Stated(signed) = &mut event.act else { panic!("nobody stated this") };
    assert!(signed.statement.contains(from), "{}", signed.statement);
    signed.statement = signed.statement.replace(from, to);
}

/// The statements of some entries, as they were signed.
pub(crate) fn statements(entries: &[Entry]) -> impl DoubleEndedIterator<Item = SignedText> {
    entries.iter().filter_map(|entry| match statement::event(&entry.payload).unwrap().act {
        Act::Stated(signed) => Some(signed),
        Act::Noted(_) => None,
    })
}
