//! Which CAs a vault has, signed by the ledger key on being asked.
//!
//! CAs come and go over the years; the ledger key is what a vault is known by. So a home that has
//! slept through a change of CA learns the new one from this, over any connection at all.

use serde::{Deserialize, Serialize};

use crate::domain::id::{Bytes, Digest, Signature};
use crate::domain::statement::Log;
use crate::domain::time::Timestamp;

/// The CAs of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorities {
    /// Always [`AuthoritiesType::V1`].
    #[serde(rename = "type")]
    pub kind: AuthoritiesType,
    /// Of which log.
    pub log: Log,
    /// Counts the changes, from 1. Of two editions the higher one is true; it never goes back.
    pub edition: u64,
    /// SHA-256 of the certificate, DER, of the CA that has certified the server.
    pub ca_sha256: Digest,
    /// The same of the CA that will, while the one is being replaced by the other.
    pub next_ca_sha256: Option<Digest>,
    /// What the asker chose, so that an old answer is none.
    pub challenge: Challenge,
    /// The vault's time.
    pub at: Timestamp,
}

/// Chosen at random by whoever asks.
pub type Challenge = Bytes<32>;

/// The type tag of these, and the domain of their signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthoritiesType {
    /// The first format.
    #[serde(rename = "escrow-vault/authorities/v1")]
    V1,
}

/// The domain tag they are signed under.
pub const TAG: &str = "escrow-vault/authorities/v1";

/// What a vault says of its CAs, as it was signed by the ledger key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAuthorities {
    /// Exact bytes of the JSON.
    pub authorities: Vec<u8>,
    /// The ledger key's signature over them under [`TAG`].
    pub signature: Signature,
}

impl SignedAuthorities {
    /// Largest of them, in bytes of JSON.
    pub const BYTES_MAX: usize = 4 * 1024;
}
