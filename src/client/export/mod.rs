//! Exports: everything a party may see of an agreement, so that anybody can replay it for themselves.
//!
//! In it are the streams that a client follows, event by event, and the leaves of the log they stand
//! in, up to a signed checkpoint. So who has it needs no vault: the log's root, the place of every event
//! in it, the absence of events that are withheld, every signature and every step by the rules are found
//! out anew. What is absent on purpose: anything secret of the home it was made in, and any word of who
//! made it and when, which nobody could verify.

mod archive;
mod verify;

pub use archive::{EXPORT, leaves, read, write};
pub use verify::{Known, OtherKey, Unverified, Verified, verify};

use std::collections::BTreeMap;

use crate::crypto::note::NoteKey;
use crate::domain::handover::SignedHandover;
use crate::domain::id::{AgreementId, PublicKey};
use crate::domain::statement::Log;
use crate::domain::stream::Stream;
use crate::domain::terms::limit::PARTIES_MAX;
use crate::ledger::Entry;

/// Events in one export.
pub const EVENTS_MAX: usize = 1 << 20;
/// Their payloads, in bytes: as much as a client follows of one stream.
pub const EVENTS_BYTES_MAX: usize = 1 << 30;
/// Streams in one export: the parties', the agreement's, its accesses.
pub const STREAMS_MAX: usize = PARTIES_MAX + 2;

/// All of an export but the log's leaves, which are read one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Which agreement.
    pub agreement: AgreementId,
    /// Of which log.
    pub log: Log,
    /// The key that invites organisations, as the vault tells it.
    pub operator_key: PublicKey,
    /// Who signs the log.
    pub key: NoteKey,
    /// How the log's earlier keys were handed over, in order.
    pub handovers: Vec<SignedHandover>,
    /// The log's signed checkpoint.
    pub checkpoint: String,
    /// An earlier one with the cosignatures of witnesses, if there is one.
    pub witnessed: Option<String>,
    /// The events under it.
    pub streams: BTreeMap<Stream, Vec<Entry>>,
}
