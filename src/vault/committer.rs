//! The committer: the one place where statements become events.
//!
//! Jobs are batched as they come: while one batch is being synced, the next gathers, and waits a
//! little for what is on its way ([`crate::vault::coming`]). Each job is decided on states that
//! include its predecessors in the batch; nobody hears of an outcome, good or bad, before the batch is
//! durable.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rand_core::{OsRng, RngCore};
use tokio::sync::{mpsc, oneshot, watch};

use crate::crypto::signature;
use crate::domain::chain::chain;
use crate::domain::event::{Act, ENGINE, Event, EventType, Note, SignedText};
use crate::domain::id::{AgreementId, Bytes, DepositId};
use crate::domain::refusal::Refusal;
use crate::domain::rules::{self, Circumstances};
use crate::domain::statement::{Stated, Statement};
use crate::domain::states::{Accepted, Key, Record, States};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;
use crate::ledger::head::SignedHead;
use crate::ledger::{Entry, LabelKey};
use crate::store::{Batch, Blob, CommitError, ReadError, Store, StreamHead, is_full};
use crate::vault::clock::Steady;
use crate::vault::coming::{Coming, OnTheWay};
use crate::vault::error::VaultError;
use crate::vault::halt::Halt;
use crate::vault::known::Known;
use crate::vault::log::{Published, Publishing};
use crate::vault::measures::{Measures, Tally};
use crate::vault::quota::{self, Quota, Reserved};
use crate::vault::records;
use crate::vault::scribe::Scribe;
use crate::vault::watching::Watchers;

/// Jobs in one batch.
const BATCH_JOBS_MAX: usize = 256;
/// Small objects in one batch, unless one job alone has more.
const BATCH_BLOBS_MAX: usize = 512;
/// Bytes of statements and small objects in one batch, unless one job alone has more.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Jobs waiting for the next batch; beyond that, callers wait.
const BACKLOG_MAX: usize = 1_024;

/// What is to be done.
pub(super) struct Job<S: Store> {
    pub work: Work<S>,
    pub reply: oneshot::Sender<Result<Done, VaultError>>,
}

/// What is to become events.
pub(super) enum Work<S: Store> {
    /// Statements, together or not at all, with what they name by digest.
    Statements { group: Vec<(SignedText, Stated)>, blobs: Vec<Blob>, bundle: Bundle<S> },
    /// Something the vault saw by itself.
    Note { stream: Stream, note: Note },
    /// Events that this vault has lost, as it once signed them, with what they name by digest.
    Lost { entries: Vec<Entry>, blobs: Vec<Blob> },
}

/// A large bundle that comes with a statement.
pub(super) type Bundle<S> = Option<(DepositId, <S as Store>::Staged)>;

/// What became of it.
#[derive(Debug, Clone)]
pub struct Done {
    /// The events, in order.
    pub entries: Vec<Entry>,
    /// Where the last event's stream stood when they were durable.
    pub head: SignedHead,
}

/// A handle to the committer. Dropping the last one ends its thread.
pub(super) struct Committer<S: Store> {
    jobs: Mutex<Option<mpsc::Sender<Job<S>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    coming: Coming,
}

impl<S: Store> Committer<S> {
    /// Starts the thread. It ends at the first halt, by whomever it was called.
    pub(super) fn start(
        mut desk: Desk<S>,
        halt: watch::Sender<Option<Halt>>,
    ) -> Result<Self, ReadError> {
        let (jobs, mut inbox) = mpsc::channel::<Job<S>>(BACKLOG_MAX);
        let named = std::thread::Builder::new().name("committer".to_owned());
        let coming = Coming::default();
        let awaited = coming.clone();
        let thread = named.spawn(move || {
            let mut jobs = Vec::with_capacity(BATCH_JOBS_MAX);
            while inbox.blocking_recv_many(&mut jobs, BATCH_JOBS_MAX) > 0 {
                if jobs.len() < BATCH_JOBS_MAX {
                    awaited.wait();
                }
                while jobs.len() < BATCH_JOBS_MAX
                    && let Ok(job) = inbox.try_recv()
                {
                    jobs.push(job);
                }
                let mut waiting = jobs.drain(..).peekable();
                while waiting.peek().is_some() {
                    let mut load = Load::default();
                    let fitting = std::iter::from_fn(|| waiting.next_if(|job| load.takes(job)));
                    if halt.borrow().is_some() {
                        return;
                    }
                    if let Err(fatal) = desk.commit(fitting) {
                        tracing::error!(error = chain(&fatal), "stopping");
                        halt.send_replace(Some(Halt::Unknown));
                        return;
                    }
                }
            }
        })?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)), coming })
    }

    /// Tells of a job that is still being made, until what this returns is dropped: right before the
    /// job is handed in.
    pub(super) fn expect(&self) -> OnTheWay {
        self.coming.one()
    }

    /// Waits until everything handed in so far is committed; nothing is taken any more.
    pub(super) async fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A committer that panicked has answered nobody; start-up looks at what it left.
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
    }

    /// Hands in a job and waits until it is durable or refused.
    pub(super) async fn submit(&self, work: Work<S>) -> Result<Done, VaultError> {
        let (reply, outcome) = oneshot::channel();
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = jobs.ok_or(VaultError::Stopping)?.send(Job { work, reply }).await;
        sent.map_err(|_| VaultError::Stopping)?;
        outcome.await.map_err(|_| VaultError::Stopping)?
    }

    /// Hands in a job that nobody waits for, unless too many wait already. Whether it was taken.
    pub(super) fn offer(&self, work: Work<S>) -> bool {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (reply, _) = oneshot::channel();
        jobs.is_some_and(|jobs| jobs.try_send(Job { work, reply }).is_ok())
    }
}

/// Whether these are taken even when the disk is full: what stops a release, takes authority away,
/// or says that something was seen or handed out, or what became of it.
fn is_urgent(group: &[(SignedText, Stated)]) -> bool {
    group.iter().all(|(_, stated)| match stated.statement {
        Statement::Objection(_)
        | Statement::Withdrawal(_)
        | Statement::Revocation(_)
        | Statement::RevocationNotice(_)
        | Statement::Seen(_)
        | Statement::Renewal(_)
        | Statement::Retrieval(_)
        | Statement::Acknowledgement(_) => true,
        Statement::Invitation(_)
        | Statement::Organisation(_)
        | Statement::Join(_)
        | Statement::Confirmation(_)
        | Statement::Registration(_)
        | Statement::Proposal(_)
        | Statement::ReleaseKey(_)
        | Statement::Acceptance(_)
        | Statement::Declination(_)
        | Statement::Amendment(_)
        | Statement::Countersignature(_)
        | Statement::Termination(_)
        | Statement::Resumption(_)
        | Statement::Reseal(_)
        | Statement::Deposit(_)
        | Statement::Request(_)
        | Statement::Consent(_)
        | Statement::Contribution(_)
        | Statement::Notification(_)
        | Statement::Reminder(_)
        | Statement::Attestation(_)
        | Statement::Settlement(_)
        | Statement::TimeStamp(_) => false,
    })
}

/// How much a batch has to carry, so that the store can take it.
#[derive(Default)]
struct Load {
    blobs: usize,
    bytes: usize,
}

impl Load {
    /// Whether this job still fits; the first always does.
    fn takes<S: Store>(&mut self, job: &Job<S>) -> bool {
        let first = self.blobs == 0 && self.bytes == 0;
        let (blobs, bytes): (&[Blob], usize) = match &job.work {
            // In an event a statement is escaped: twice its size at most.
            Work::Statements { group, blobs, .. } => {
                (blobs, group.iter().map(|(signed, _)| 2 * signed.statement.len()).sum())
            }
            Work::Lost { entries, blobs } => {
                (blobs, entries.iter().map(|entry| entry.payload.len()).sum())
            }
            Work::Note { .. } => (&[], 0),
        };
        self.blobs += blobs.len();
        self.bytes += bytes + blobs.iter().map(|blob| blob.bytes.len()).sum::<usize>();
        first || (self.blobs <= BATCH_BLOBS_MAX && self.bytes <= BATCH_BYTES_MAX)
    }
}

/// Where batches are decided.
pub(super) struct Desk<S: Store> {
    store: Arc<S>,
    known: Arc<Known>,
    scribe: Arc<Scribe>,
    clock: Arc<Steady>,
    watchers: Watchers,
    measures: Measures,
    reserved: Reserved,
    quota: Quota,
    /// `None` where the log is left out.
    published: Option<Published>,
}

/// A batch while it is being decided.
struct Draft<S: Store> {
    now: Timestamp,
    states: States,
    ends: BTreeMap<Stream, End>,
    batch: Batch<S::Staged>,
    tally: Tally,
}

/// What one job adds to a batch.
#[derive(Default)]
struct Added {
    expected: Vec<(Stream, u64)>,
    entries: Vec<Entry>,
    ends: BTreeMap<Stream, End>,
    blobs: Vec<Blob>,
}

/// Where a stream ends while a batch is being decided.
#[derive(Clone, Copy)]
struct End {
    stands: StreamHead,
    label_key: LabelKey,
}

/// A decided job: what to answer once the batch is durable.
type Answer = (oneshot::Sender<Result<Done, VaultError>>, Result<Outcome, VaultError>);

enum Outcome {
    /// These entries of the batch.
    New(std::ops::Range<usize>),
    /// Accepted before.
    Before(Vec<Accepted>),
}

impl<S: Store> Desk<S> {
    pub(super) fn new(
        (store, known): (Arc<S>, Arc<Known>),
        scribe: Arc<Scribe>,
        clock: Arc<Steady>,
        (watchers, measures, reserved): (Watchers, Measures, Reserved),
        quota: Quota,
        log: Publishing,
    ) -> Result<Self, ReadError> {
        let published = match log {
            Publishing::Done => {
                let mut published = Published::resume(store.as_ref(), &scribe)?;
                published.catch_up(store.as_ref(), &scribe)?;
                Some(published)
            }
            Publishing::LeftOut => None,
        };
        Ok(Self { store, known, scribe, clock, watchers, measures, reserved, quota, published })
    }

    /// Decides and commits one batch. An error means that the outcome is unknown.
    fn commit(&mut self, jobs: impl Iterator<Item = Job<S>>) -> Result<(), CommitError> {
        let mut draft = Draft::new(self.clock.now());
        let mut answers: Vec<Answer> = Vec::new();
        let has_room = self.store.has_room_for(0);
        for Job { work, reply } in jobs {
            let outcome = match work {
                Work::Statements { group, .. } if !has_room && !is_urgent(&group) => {
                    self.measures.refused_as_full();
                    Err(VaultError::Full)
                }
                Work::Statements { group, blobs, bundle } => {
                    self.decide(&mut draft, group, blobs, bundle)
                }
                // What is kept free is not for strangers to fill.
                Work::Note { note: Note::Refused { .. }, .. } if !has_room => {
                    self.measures.attempt_dropped();
                    Err(VaultError::Full)
                }
                Work::Note { stream, note } => self.note(&mut draft, stream, note),
                Work::Lost { .. } if !has_room => Err(VaultError::Full),
                Work::Lost { entries, blobs } => self.restore(&mut draft, entries, blobs),
            };
            answers.push((reply, outcome));
        }
        let (entries, tally) = (draft.batch.entries.clone(), draft.tally);
        let began = Instant::now();
        let committed = match draft.batch.entries.is_empty() {
            true => Ok(()),
            false => match records::changes(&mut draft.states) {
                Ok(changes) => {
                    draft.batch.records = changes;
                    self.store.commit(draft.batch)
                }
                Err(fault) => Err(CommitError::Refused(std::io::Error::other(fault))),
            },
        };
        match committed {
            Ok(()) => {
                if !entries.is_empty() {
                    self.measures.committed(began.elapsed(), entries.len(), &tally);
                    self.reserved.stored(tally.stored_bytes());
                    // What was acknowledged is covered by a checkpoint.
                    if let Some(published) = &mut self.published {
                        let caught_up = published.catch_up(self.store.as_ref(), &self.scribe);
                        caught_up.map_err(|fault| CommitError::Unknown(io::Error::other(fault)))?;
                        self.watchers.publish(published.size());
                    }
                }
                self.watchers.tell(entries.iter().map(|entry| &entry.stream));
                let mut heads = BTreeMap::new();
                for (reply, outcome) in answers {
                    let done = outcome.and_then(|it| self.done(&entries, &mut heads, it));
                    // Whoever asked may be gone; what was committed stands.
                    drop(reply.send(done));
                }
                Ok(())
            }
            Err(fatal @ CommitError::Unknown(_)) => Err(fatal),
            Err(refused) => {
                tracing::error!(error = chain(&refused), "batch refused");
                let is_full = matches!(&refused, CommitError::Refused(fault) if is_full(fault));
                for (reply, _) in answers {
                    let why = if is_full { VaultError::Full } else { VaultError::Unavailable };
                    if is_full {
                        self.measures.refused_as_full();
                    }
                    drop(reply.send(Err(why)));
                }
                Ok(())
            }
        }
    }

    fn decide(
        &self,
        draft: &mut Draft<S>,
        group: Vec<(SignedText, Stated)>,
        blobs: Vec<Blob>,
        bundle: Bundle<S>,
    ) -> Result<Outcome, VaultError> {
        // Together or not at all: whatever can fail is done on the side, and the draft takes over
        // a whole job or nothing of it.
        let (mut states, mut tally) = (States::default(), draft.tally);
        for (_, stated) in &group {
            records::load_for(&mut states, stated, &|key| self.find(draft, key))?;
        }
        let before: Vec<_> = group
            .iter()
            .filter_map(|(_, stated)| states.statement(&stated.digest).cloned())
            .collect();
        if before.len() == group.len() {
            return Ok(Outcome::Before(before));
        }
        let (mut added, mut said, mut notes) = (Added::default(), Vec::new(), Vec::new());
        for (signed, stated) in group {
            let saw = saw(self.store.as_ref(), &stated)?;
            let (log, engine, now) = (self.scribe.log.clone(), ENGINE, draft.now);
            let circumstances = Circumstances { log, engine, now, saw };
            rules::decide(&states, &stated, &circumstances).map_err(VaultError::Refused)?;
            quota::check(&self.quota, &states, (&signed, &stated), draft.now)?;
            let stream = rules::stream(&stated);
            let act = Act::Stated(signed.clone());
            let sequence = self.append(draft, &mut added, stream, act)?;
            records::apply(&mut states, (&signed, &stated), draft.now, sequence);
            tally.stated(&signed, &stated);
            said.push(signed);
            if let Statement::Resumption(resumption) = &stated.statement
                && let Some(note) =
                    self.resumed(&mut states, &resumption.ground.agreement, &said)?
            {
                notes.push((Stream::Agreement(resumption.ground.agreement.clone()), note));
            }
        }
        let answered = added.entries.len();
        for (stream, note) in notes {
            let act = Act::Noted(note.clone());
            let sequence = self.append(draft, &mut added, stream, act)?;
            rules::apply_note(&mut states, &note, draft.now, sequence);
        }
        self.attach(draft, &mut added, blobs)?;
        draft.states.take_over(states);
        draft.tally = tally;
        draft.batch.bundles.extend(bundle);
        let first = draft.take(added).start;
        Ok(Outcome::New(first..first + answered))
    }

    /// A record as the batch so far leaves it.
    fn find(&self, draft: &Draft<S>, key: &Key) -> Result<Option<Arc<Record>>, ReadError> {
        match draft.states.shared(key) {
            Some(record) => Ok(Some(Arc::clone(record))),
            None => self.known.find(key, &|name| self.store.record(name)),
        }
    }

    /// Adds small objects. Attachments are named by their digest: one that is there already is the
    /// same.
    fn attach(
        &self,
        draft: &Draft<S>,
        added: &mut Added,
        blobs: Vec<Blob>,
    ) -> Result<(), VaultError> {
        for blob in blobs {
            let held = draft.batch.blobs.iter().any(|other| other.name == blob.name);
            if !held && self.store.blob(&blob.name)?.is_none() {
                added.blobs.push(blob);
            }
        }
        Ok(())
    }

    /// That an agreement goes on, once every party has taken it up again.
    fn resumed(
        &self,
        states: &mut States,
        id: &AgreementId,
        said: &[SignedText],
    ) -> Result<Option<Note>, VaultError> {
        let generation = self.scribe.log.generation;
        let Some(agreement) = states.agreement(id) else { return Ok(None) };
        if agreement.terms.organisations().any(|who| !agreement.resuming.contains_key(who)) {
            return Ok(None);
        }
        let mut by = Vec::new();
        for sha256 in agreement.resuming.clone().into_values() {
            let is_it =
                |signed: &&SignedText| signature::sha256(signed.statement.as_bytes()) == sha256;
            by.push(match said.iter().find(is_it) {
                Some(signed) => signed.clone(),
                None => records::accepted(self.store.as_ref(), states, &sha256)?,
            });
        }
        Ok(Some(Note::Resumed { agreement: id.clone(), generation, by }))
    }

    /// Puts back events that were lost, bytes for bytes, at the ends of their streams. Whoever
    /// calls has verified that this vault once signed where they lead.
    fn restore(
        &self,
        draft: &mut Draft<S>,
        entries: Vec<Entry>,
        blobs: Vec<Blob>,
    ) -> Result<Outcome, VaultError> {
        let (mut states, mut added) = (States::default(), Added::default());
        for entry in entries {
            let End { stands, label_key } = self.end(draft, &mut added, &entry.stream)?;
            let event = records::event(&entry)?;
            if entry.sequence != stands.sequence + 1
                || event.previous != stands.commitment
                || (stands.sequence > 0 && entry.label_key != label_key)
            {
                return Err(Refusal::Forked.into());
            }
            records::apply_entry(&mut states, &entry, &|key| self.find(draft, key))?;
            let before = draft.batch.entries.len() + added.entries.len();
            let position = self.store.ledger_size() + before as u64;
            let stands = StreamHead { sequence: entry.sequence, commitment: entry.commitment() };
            let label_key = entry.label_key;
            added.ends.insert(entry.stream.clone(), End { stands, label_key });
            added.entries.push(Entry { position, ..entry });
        }
        self.attach(draft, &mut added, blobs)?;
        draft.states.take_over(states);
        Ok(Outcome::New(draft.take(added)))
    }

    fn note(
        &self,
        draft: &mut Draft<S>,
        stream: Stream,
        note: Note,
    ) -> Result<Outcome, VaultError> {
        let (mut states, mut added) = (States::default(), Added::default());
        let find = |key: &Key| self.find(draft, key);
        records::load(&mut states, rules::reads_of_note(&note), &find)?;
        let sequence = self.append(draft, &mut added, stream, Act::Noted(note.clone()))?;
        rules::apply_note(&mut states, &note, draft.now, sequence);
        draft.states.take_over(states);
        draft.tally.noted(&note);
        Ok(Outcome::New(draft.take(added)))
    }

    /// Appends an event to what a job adds. Returns its number in its stream.
    fn append(
        &self,
        draft: &Draft<S>,
        added: &mut Added,
        stream: Stream,
        act: Act,
    ) -> Result<u64, VaultError> {
        let end = self.end(draft, added, &stream)?;
        let sequence = end.stands.sequence + 1;
        let event = Event {
            kind: EventType::V1,
            log: self.scribe.log.clone(),
            engine: ENGINE,
            stream: stream.clone(),
            sequence,
            previous: end.stands.commitment,
            at: draft.now,
            act,
        };
        let before = draft.batch.entries.len() + added.entries.len();
        let entry = Entry {
            position: self.store.ledger_size() + before as u64,
            stream: stream.clone(),
            sequence,
            label_key: end.label_key,
            salt: Bytes(random()),
            payload: serde_json::to_vec(&event).map_err(VaultError::Encoding)?,
        };
        let stands = StreamHead { sequence, commitment: entry.commitment() };
        added.ends.insert(stream, End { stands, ..end });
        added.entries.push(entry);
        Ok(sequence)
    }

    /// Where a stream ends, this batch and what this job adds included.
    fn end(&self, draft: &Draft<S>, added: &mut Added, stream: &Stream) -> Result<End, VaultError> {
        if let Some(end) = added.ends.get(stream).or_else(|| draft.ends.get(stream)) {
            return Ok(*end);
        }
        let stands = self.store.head(stream)?;
        let last = self.store.read_stream(stream, stands.sequence, 1)?;
        let label_key = last.first().map_or_else(|| LabelKey(random()), |entry| entry.label_key);
        added.expected.push((stream.clone(), stands.sequence));
        Ok(End { stands, label_key })
    }

    /// The answer, once the batch is durable. Who asked about one stream gets one head, signed once.
    fn done(
        &self,
        committed: &[Entry],
        heads: &mut BTreeMap<Stream, SignedHead>,
        outcome: Outcome,
    ) -> Result<Done, VaultError> {
        let entries = match outcome {
            Outcome::New(range) => committed.get(range).unwrap_or_default().to_vec(),
            Outcome::Before(accepted) => accepted
                .iter()
                .map(|accepted| entry(self.store.as_ref(), accepted))
                .collect::<Result<_, _>>()?,
        };
        let stream = entries.last().map(|entry| &entry.stream).ok_or(VaultError::Unavailable)?;
        let head = match heads.get(stream) {
            Some(head) => head.clone(),
            None => {
                let head = self.scribe.sign(stream, self.clock.now(), self.store.head(stream)?)?;
                heads.insert(stream.clone(), head.clone());
                head
            }
        };
        Ok(Done { entries, head })
    }
}

impl<S: Store> Draft<S> {
    fn new(now: Timestamp) -> Self {
        let batch = Batch {
            expected: Vec::new(),
            entries: Vec::new(),
            blobs: Vec::new(),
            bundles: Vec::new(),
            records: Vec::new(),
        };
        let (states, ends, tally) = (States::default(), BTreeMap::new(), Tally::default());
        Self { now, states, ends, batch, tally }
    }

    /// Takes over what a job adds; nothing here can fail. Returns which entries are its own.
    fn take(&mut self, added: Added) -> std::ops::Range<usize> {
        let Added { expected, entries, ends, blobs } = added;
        let first = self.batch.entries.len();
        self.batch.expected.extend(expected);
        self.batch.entries.extend(entries);
        self.batch.blobs.extend(blobs);
        self.ends.extend(ends);
        first..self.batch.entries.len()
    }
}

/// When the last event was, by the vault's time.
pub(super) fn last_at<S: Store>(store: &S) -> Result<Timestamp, ReadError> {
    let last = store.ledger_size().checked_sub(1);
    let last = last.map(|position| store.read_ledger(position, 1)).transpose()?;
    match last.as_deref() {
        Some([entry]) => Ok(records::event(entry)?.at),
        Some(_) | None => Ok(Timestamp::EPOCH),
    }
}

/// The commitment of the event a statement says it saw, if there is such an event.
pub(super) fn saw<S: Store>(
    store: &S,
    stated: &Stated,
) -> Result<Option<crate::domain::id::Digest>, ReadError> {
    let Some(ground) = stated.statement.ground() else { return Ok(None) };
    store.commitment(&Stream::Agreement(ground.agreement.clone()), ground.saw.sequence)
}

/// The entry of an accepted statement.
pub(super) fn entry<S: Store>(store: &S, accepted: &Accepted) -> Result<Entry, ReadError> {
    let found = store.read_stream(&accepted.stream, accepted.sequence, 1)?;
    found.into_iter().next().ok_or_else(|| ReadError::Index {
        what: format!("event {} of {}", accepted.sequence, accepted.stream),
        how: "it is recorded as accepted, but is not there".to_owned(),
    })
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    bytes
}
