//! Events: accepted statements plus what the vault adds, and what the vault notes by itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::handover::SignedHandover;
use crate::domain::id::{
    AgreementId, DepositId, Digest, MemberPath, PublicKey, RequestId, Signature,
};
use crate::domain::statement::{Log, StatementType};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;

/// Version of the rules by which an event was decided. Old versions keep deciding old events: the
/// second has all that the first has, with the same meaning, and terms of format 2.
pub const ENGINE: u32 = 2;

/// One event, as the payload of its ledger entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Always [`EventType::V1`].
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Which log it belongs to.
    pub log: Log,
    /// Which rules decided it.
    pub engine: u32,
    /// The stream it belongs to.
    pub stream: Stream,
    /// Its number there, from 1.
    pub sequence: u64,
    /// Commitment of the event before it in the stream; all zero for the first.
    pub previous: Digest,
    /// The vault's time, which never runs backwards.
    pub at: Timestamp,
    /// What happened.
    pub act: Act,
}

impl Event {
    /// Largest event, in bytes of JSON: a statement, escaped, and what the vault adds.
    pub const BYTES_MAX: usize = 1 << 20;
}

/// The type tag of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    /// The first format.
    #[serde(rename = "escrow-vault/event/v1")]
    V1,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// A member said something.
    Stated(SignedText),
    /// The vault saw something.
    Noted(Note),
}

/// A statement's exact bytes with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedText {
    /// The statement: JSON in a string, so that its bytes stay as they were signed.
    pub statement: String,
    /// The key it was signed by.
    pub key: PublicKey,
    /// The signature over its bytes under its type.
    pub signature: Signature,
}

/// What the vault saw by itself. Nobody signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// The vault came into being.
    Founded {
        /// The key that signs heads.
        ledger_key: PublicKey,
        /// The key that invites organisations.
        operator_key: PublicKey,
        /// SHA-256 of the CA certificate.
        ca_sha256: Digest,
    },
    /// The vault was recovered from an earlier state of itself, openly, in a new generation.
    Recovered {
        /// Which generation begins.
        generation: u32,
        /// Events in the ledger before this one. What was lost comes behind it, if at all.
        size: u64,
    },
    /// Every party has taken an agreement up again after a recovery: it goes on.
    Resumed {
        /// Which agreement.
        agreement: AgreementId,
        /// In which generation.
        generation: u32,
        /// Each party's resumption, as it was signed.
        by: Vec<SignedText>,
    },
    /// The vault's CAs are others than it told last.
    AuthoritiesChanged(CaEdition),
    /// The key that stamps times is another than the vault told last.
    TimestamperChanged(TsaEdition),
    /// Another key signs the log from now on.
    LedgerKeyChanged(SignedHandover),
    /// Somebody looked. One entry stands for a member's looks of one kind within a minute.
    Access {
        /// Who.
        by: MemberPath,
        /// At what.
        look: Look,
    },
    /// Somebody was refused. One entry stands for what a member tries within a minute, where it is
    /// the same and refused alike. What was tried is named, and nothing of it copied.
    Refused {
        /// Who was connected, whoever's words it brought.
        by: MemberPath,
        /// What it tried.
        attempt: Attempt,
        /// The refusal's name for programs.
        code: String,
        /// What request of the agreement it was about, where a party tried it.
        request: Option<RequestId>,
        /// Digest of the statement that was not accepted.
        statement_sha256: Option<Digest>,
    },
    /// Contributions and bundle were handed to the requester.
    HandedOut {
        /// To whom.
        by: MemberPath,
        /// For which request.
        request: RequestId,
    },
    /// A bundle was found damaged and is not served any more.
    Quarantined {
        /// Which.
        deposit: DepositId,
    },
    /// A bundle that was found damaged is what was deposited again, and is served again.
    FoundWhole {
        /// Which.
        deposit: DepositId,
    },
}

/// Which CAs certify a vault and its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaEdition {
    /// Counts the changes, from 1.
    pub edition: u64,
    /// SHA-256 of the certificate, DER, of the CA that certifies the server.
    pub ca_sha256: Digest,
    /// The same of the CA that will, while the one is being replaced by the other.
    pub next_ca_sha256: Option<Digest>,
}

impl CaEdition {
    /// The one that a vault is founded with.
    pub fn first(ca_sha256: Digest) -> Self {
        Self { edition: 1, ca_sha256, next_ca_sha256: None }
    }
}

/// Which key of a vault stamps times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TsaEdition {
    /// The number of the key, from 1.
    pub number: u32,
    /// SHA-256 of its certificate, DER.
    pub certificate_sha256: Digest,
}

/// What somebody looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// The stream itself: terms, deposits, requests; or members.
    Stream,
    /// Who had looked.
    Accesses,
    /// The member's own sealed share.
    Share,
    /// Which agreements there are.
    Agreements,
    /// What the organisation has registered.
    Registrations,
}

/// What somebody tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempt {
    /// To look at this.
    Look(Look),
    /// To state something of this type; a deposit comes with its bundle, and a retrieval is to be
    /// answered with one.
    State(StatementType),
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Look(Look::Stream) => f.write_str("look_at_agreement"),
            Self::Look(Look::Accesses) => f.write_str("look_at_accesses"),
            Self::Look(Look::Share) => f.write_str("fetch_share"),
            Self::Look(Look::Agreements) => f.write_str("list_agreements"),
            Self::Look(Look::Registrations) => f.write_str("look_at_registrations"),
            Self::State(kind) => f.write_str(&kind.word()),
        }
    }
}
