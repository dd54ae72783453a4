//! Time-stamps of the log: its newest checkpoint, on a schedule, by the vault's own authority and, if
//! there is one, by another; and what is kept, renewed before its certificates end.
//!
//! What is stamped is the checkpoint as a signed note with the log's own signature and no other: so a
//! time-stamp says when the vault had signed. What it covers does not change when others sign
//! the same checkpoint later.

mod ask;
mod measures;
mod rounds;
mod shelf;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use ask::{NotStamped, Source};
pub use measures::StampMeasures;
pub use rounds::{Renewed, Rounds, Schedule, Told, renew_all};
pub use shelf::{Kept, Shelf, ShelfFault, Stamped, Whose};

use crate::crypto::note::NoteKey;
use crate::crypto::timestamp::Policy;
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::server::timestamps::{SharedTimestamper, answered};
use crate::store::Store;
use crate::vault::{Clock, Vault, VaultError};

/// A checkpoint that can be stamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Which it is.
    pub stamped: Stamped,
    /// The note, with the log's own signature alone.
    pub checkpoint: String,
}

impl Newest {
    /// The newest checkpoint of a vault; `None` where it has not signed one of its generation.
    pub fn of<S: Store>(vault: &Vault<S>) -> Result<Option<Self>, VaultError> {
        let (note, log) = (vault.checkpoint()?, vault.log());
        let key = NoteKey::new(&checkpoint::origin(log), vault.founded()?.ledger_key);
        let alone = key.ok().and_then(|key| key.alone(&note).ok());
        Ok(alone.and_then(|checkpoint| {
            let (text, _) = checkpoint.split_once("\n\n")?;
            let Checkpoint { size, .. } = format!("{text}\n").parse().ok()?;
            let stamped = Stamped { generation: log.generation, size };
            Some(Self { stamped, checkpoint })
        }))
    }
}

/// The vault's own authority.
pub struct Own {
    /// See there.
    pub timestamper: SharedTimestamper,
    /// The vault's CAs as they are now.
    pub cas: Box<dyn Fn() -> Vec<Vec<u8>> + Send + Sync>,
    /// The vault's time.
    pub clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl Source for Own {
    fn whose(&self) -> Whose {
        Whose::Own
    }

    fn cas(&self) -> Vec<Vec<u8>> {
        (self.cas)()
    }

    fn policy(&self) -> Option<&Policy> {
        None
    }

    async fn answer(&self, request: Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(answered(&self.timestamper.load(), &request, self.clock.now()))
    }
}
