//! What a receipt proves, from its bytes alone.

use crate::client::receipt::members::Members;
use crate::client::receipt::stamp::{self, ProvedStamp};
use crate::client::receipt::{Logged, Receipt};
use crate::crypto::handover::{self, HandoverFault};
use crate::crypto::note::{NoteFault, NoteKey};
use crate::crypto::statement;
use crate::crypto::timestamp::StampRefused;
use crate::domain::event::{Act, Event, Note};
use crate::domain::handover::SignedHandover;
use crate::domain::id::{Digest, Fingerprint, MemberPath, PublicKey};
use crate::domain::rules;
use crate::domain::statement::{Stated, Statement};
use crate::domain::stream::Stream;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::entry::commitment;
use crate::ledger::merkle::{self, Unproven};
use crate::ledger::proof::Proof;

/// A receipt that verifies.
#[derive(Debug)]
pub struct Verified {
    /// Which log, in which generation.
    pub origin: String,
    /// Every key that has signed it as far as this shows, the receipt's own last.
    pub keys: Vec<PublicKey>,
    /// Its events, in the order of the log.
    pub events: Vec<Proved>,
}

/// An event of it.
#[derive(Debug)]
pub struct Proved {
    /// Its position in the log.
    pub position: u64,
    /// How many entries the log had at least, by the checkpoint that proves it.
    pub log_size: u64,
    /// Its stream and number there.
    pub stream: Stream,
    /// See there.
    pub sequence: u64,
    /// The vault's time.
    pub at: Timestamp,
    /// What was stated; `None` for what the vault noted by itself.
    pub stated: Option<Stated>,
    /// What the vault noted.
    pub note: Option<Note>,
    /// Who stated it, with the fingerprint of the organisation whose key vouches for that member.
    pub by: Option<(MemberPath, Fingerprint)>,
    /// When what was registered was there, by a time-stamp.
    pub stamp: Option<ProvedStamp>,
}

/// Why a receipt does not verify.
#[derive(Debug, thiserror::Error)]
pub enum Unverified {
    /// The log's key did not come to be by handovers.
    #[error("the key in log.vkey is not one that the log's keys were handed over to: {0}")]
    Handover(#[source] HandoverFault),
    /// It has no event.
    #[error("it holds no event")]
    Empty,
    /// The log's signer has not signed the checkpoint.
    #[error("event {0}: the checkpoint is not the log's: {1}")]
    Checkpoint(usize, #[source] NoteFault),
    /// A proof or checkpoint cannot be read.
    #[error("event {0}: its proof cannot be read")]
    Unreadable(usize),
    /// The event is not where the proof says.
    #[error("event {0}: it is not in the log: {1}")]
    NotLogged(usize, #[source] Unproven),
    /// It is no event of this log.
    #[error("event {0}: {1}")]
    Event(usize, &'static str),
    /// A key signed that is not shown to be this member's.
    #[error("event {0}: nothing in the receipt shows that the key which signed is {1}'s")]
    Stranger(usize, MemberPath),
    /// A time-stamp does not count.
    #[error("event {0}: its time-stamp does not count: {1}")]
    Stamp(usize, #[source] StampRefused),
}

/// Verifies every event, and that whoever stated something is a member of its organisation by the
/// events of the receipt. Events are counted from 1 in errors.
pub fn verify(receipt: &Receipt) -> Result<Verified, Unverified> {
    verify_under(receipt, &[])
}

/// The same, with time-stamps of none but these CAs, DER; of those that came along where there are
/// none.
pub fn verify_under(receipt: &Receipt, cas: &[Vec<u8>]) -> Result<Verified, Unverified> {
    let keys = keys(&receipt.log, &receipt.handovers).map_err(Unverified::Handover)?;
    let mut members = Members::default();
    let mut events = Vec::new();
    for (number, logged) in (1..).zip(&receipt.events) {
        let mut proved = prove(receipt, number, logged)?;
        if let Some(stated) = &proved.stated {
            members.learn(stated);
            let by = &stated.statement.made().by;
            let vouched = members.vouched(by, &stated.key);
            match vouched {
                Some(organisation) => proved.by = Some((by.clone(), organisation)),
                // What makes somebody a member cannot rest on being one.
                None if is_beginning(&stated.statement) => {}
                None => return Err(Unverified::Stranger(number, by.clone())),
            }
        }
        if let Some(stamp) = &logged.stamp {
            proved.stamp = Some(stamp::prove(number, stamp, proved.stated.as_ref(), cas)?);
        }
        events.push(proved);
    }
    match events.is_empty() {
        true => Err(Unverified::Empty),
        false => Ok(Verified { origin: receipt.log.name().to_owned(), keys, events }),
    }
}

/// The keys that the log has had, up to the one that signs it in what is verified.
pub fn keys(log: &NoteKey, handovers: &[SignedHandover]) -> Result<Vec<PublicKey>, HandoverFault> {
    let origin = log.name().rsplit_once('/').map_or(log.name(), |(origin, _)| origin);
    let origin: Text = origin.parse().map_err(|_| HandoverFault::Unknown)?;
    let first = handovers.first().map_or(log.key(), |signed| &signed.handover.from);
    let mut keys = handover::successors(first, &origin, handovers)?;
    let own = keys.iter().position(|key| key == log.key()).ok_or(HandoverFault::Unknown)?;
    keys.truncate(own + 1);
    Ok(keys)
}

/// Statements by which members come to be.
pub fn is_beginning(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Organisation(_) | Statement::Join(_) | Statement::Confirmation(_)
    )
}

fn prove(receipt: &Receipt, number: usize, logged: &Logged) -> Result<Proved, Unverified> {
    let proof: Proof = logged.proof.parse().map_err(|_| Unverified::Unreadable(number))?;
    let text = receipt.log.verify(&proof.checkpoint);
    let text = text.map_err(|fault| Unverified::Checkpoint(number, fault))?;
    let checkpoint: Checkpoint = text.parse().map_err(|_| Unverified::Unreadable(number))?;
    let wrong = |why| Unverified::Event(number, why);
    if checkpoint.origin != receipt.log.name() {
        return Err(wrong("its checkpoint is of another log"));
    }
    let committed: Digest = commitment(&logged.salt, &logged.payload);
    let leaf = [&logged.label.0[..], &committed.0].concat();
    let hash = merkle::leaf_hash(&leaf);
    let (size, root) = (checkpoint.size, &checkpoint.root);
    merkle::check_inclusion(proof.position, &hash, size, &proof.hashes, root)
        .map_err(|fault| Unverified::NotLogged(number, fault))?;
    let event = statement::event(&logged.payload).map_err(|_| wrong("it cannot be read"))?;
    if !is_of(&event, receipt.log.name()) {
        return Err(wrong("it says that it is of another log"));
    }
    let (stated, note) = match &event.act {
        Act::Noted(note) => (None, Some(note.clone())),
        Act::Stated(signed) => {
            let stated = statement::verify(signed);
            let stated = stated.map_err(|_| wrong("its statement's signature is wrong"))?;
            if rules::stream(&stated) != event.stream {
                return Err(wrong("its statement belongs to another stream"));
            }
            if stated.statement.made().log.origin != event.log.origin {
                return Err(wrong("its statement was made for another log"));
            }
            (Some(stated), None)
        }
    };
    Ok(Proved {
        position: proof.position,
        log_size: size,
        stream: event.stream,
        sequence: event.sequence,
        at: event.at,
        stated,
        note,
        by: None,
        stamp: None,
    })
}

/// Whether an event is of the log of this name: of its generation, or of one before that it goes on
/// from.
fn is_of(event: &Event, name: &str) -> bool {
    let generation = name.strip_prefix(event.log.origin.as_str());
    let generation = generation.and_then(|rest| rest.strip_prefix('/')?.parse::<u32>().ok());
    generation.is_some_and(|generation| event.log.generation <= generation)
}

impl Verified {
    /// Whether this is a key of the log, the receipt's own or one that it was handed over from.
    pub fn is_of(&self, log: &NoteKey) -> bool {
        log.name() == self.origin && self.keys.contains(log.key())
    }
}

impl Proved {
    /// What of a document this event names, if it names one: its SHA-256, and what the document is.
    pub fn names(&self) -> Option<(Digest, &'static str)> {
        let statement = &self.stated.as_ref()?.statement;
        if let Statement::Registration(s) = statement {
            return Some((s.sha256, "the registered document"));
        }
        let Statement::Deposit(s) = statement else { return None };
        Some((s.sha256, "the sealed bundle"))
    }

    /// SHA-256 of the statement, by which ids are made.
    pub fn statement_sha256(&self) -> Option<Digest> {
        self.stated.as_ref().map(|stated| stated.digest)
    }
}
