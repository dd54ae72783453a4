//! Heads: where a stream stands, signed, so that two histories cannot both be shown for long.

use serde::{Deserialize, Serialize};

use crate::domain::id::Signature;
use crate::domain::statement::{Log, Saw};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;

/// Where a stream stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Always [`HeadType::V1`].
    #[serde(rename = "type")]
    pub kind: HeadType,
    /// Of which log.
    pub log: Log,
    /// Which stream.
    pub stream: Stream,
    /// Its last event, as statements name it.
    pub saw: Saw,
    /// The vault's time.
    pub at: Timestamp,
}

/// The type tag of heads, and the domain of their signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeadType {
    /// The first format.
    #[serde(rename = "escrow-vault/head/v1")]
    V1,
}

/// The domain tag heads are signed under.
pub const TAG: &str = "escrow-vault/head/v1";

/// A head as it was signed by the ledger key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// Exact bytes of the head's JSON.
    pub head: Vec<u8>,
    /// The ledger key's signature over them under [`TAG`].
    pub signature: Signature,
}

impl SignedHead {
    /// Largest head, in bytes of JSON.
    pub const BYTES_MAX: usize = 4 * 1024;
}
