//! Registrations: that something existed, by its digest. The content stays at home.
//!
//! A registration stands whatever becomes of whoever made it. That somebody knew the digest then is
//! true even if the keys turn out to have been stolen, and nothing is handed out on it: as with
//! deposits, a revocation voids none. Nor are there twins: to register again is to prove no more.

use serde::{Deserialize, Serialize};

use crate::domain::id::{Digest, RegistrationId};
use crate::domain::statement;
use crate::domain::time::Timestamp;

/// A registration as its organisation's stream tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Its id.
    pub id: RegistrationId,
    /// What was said.
    pub statement: statement::Registration,
    /// Digest of that statement.
    pub statement_sha256: Digest,
    /// When, by the vault's time.
    pub registered_at: Timestamp,
}

impl Registration {
    /// Something was registered.
    pub fn made(statement: &statement::Registration, sha256: Digest, at: Timestamp) -> Self {
        Self {
            id: RegistrationId::of(&sha256),
            statement: statement.clone(),
            statement_sha256: sha256,
            registered_at: at,
        }
    }
}
