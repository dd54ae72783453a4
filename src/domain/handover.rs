//! How one ledger key hands over to the next.

use serde::{Deserialize, Serialize};

use crate::domain::id::{PublicKey, Signature};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// Most handovers that a vault has in its life.
pub const HANDOVERS_MAX: usize = 32;

/// Says which key signs a log from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// The log's name.
    pub origin: Text,
    /// Which of the log's keys takes over: the first that does is the second.
    pub number: u32,
    /// The key that has signed the log.
    pub from: PublicKey,
    /// The key that will.
    pub to: PublicKey,
    /// The vault's time.
    pub at: Timestamp,
}

impl Handover {
    /// What both keys sign: a line for each field.
    pub fn text(&self) -> String {
        let Self { origin, number, from, to, at } = self;
        format!("{origin}\n{number}\n{from}\n{to}\n{at}\n")
    }
}

/// A handover with the signatures of both keys: the one lets go, the other takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHandover {
    /// What was signed, as [`Handover::text`] has it.
    pub handover: Handover,
    /// By the key that has signed the log.
    pub by_from: Signature,
    /// By the key that will.
    pub by_to: Signature,
}
