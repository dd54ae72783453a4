//! Receipts: events that stand on their own, with the proof that they are in the vault's signed log.
//!
//! Whoever has one needs no vault, no home and not even this program: what is in it is verified by
//! `verify.sh`, with bash, coreutils and openssl alone.

mod archive;
mod members;
mod stamp;
mod verify;
mod witnesses;

pub use archive::{HANDOVERS, RECEIPT, read, write};
pub use members::vouching;
pub use stamp::{DocumentStamp, ProvedStamp};
pub use verify::{Proved, Unverified, Verified, is_beginning, keys, verify, verify_under};
pub use witnesses::{Judged, Unwitnessed, cosigners, demand, demand_one};

use crate::crypto::note::NoteKey;
use crate::domain::handover::SignedHandover;
use crate::ledger::Salt;
use crate::ledger::entry::Label;

/// Events in one receipt.
pub const EVENTS_MAX: usize = 1_000;

/// Events, each with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who signs the log.
    pub log: NoteKey,
    /// How the log's earlier keys were handed over, in order.
    pub handovers: Vec<SignedHandover>,
    /// The events, as they stand in the log.
    pub events: Vec<Logged>,
}

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The event: exact bytes of its JSON.
    pub payload: Vec<u8>,
    /// What blinds its commitment.
    pub salt: Salt,
    /// What it is found by in the log.
    pub label: Label,
    /// Where it is in the log (C2SP tlog-proof).
    pub proof: String,
    /// Of a registration: a time-stamp of the document that is registered.
    pub stamp: Option<DocumentStamp>,
}
