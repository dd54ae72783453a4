//! What witnesses have seen of the log. Who they are and how they are asked, the vault does not know:
//! it is told, and tells its clients.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::crypto::note::{NoteFault, NoteKey};
use crate::ledger::merkle;
use crate::ledger::submission::Submission;
use crate::store::Store;
use crate::vault::error::VaultError;
use crate::vault::log::parse;
use crate::vault::{Halt, Shown, Vault};

/// The newest checkpoint that enough witnesses have cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The signed note, with their cosignatures.
    pub note: String,
    /// How many entries it covers.
    pub size: u64,
}

/// Whether witnesses are asked, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Witnessing(RwLock<Stands>);

#[derive(Debug, Clone, Default)]
enum Stands {
    #[default]
    Unasked,
    Awaited,
    Seen(Arc<Witnessed>),
}

impl Witnessing {
    fn get(&self) -> Stands {
        // Replaced whole: there is no half of it.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, stands: Stands) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = stands;
    }
}

impl<S: Store> Vault<S> {
    /// Who signs the log's checkpoints now.
    pub fn log_key(&self) -> &NoteKey {
        self.scribe.note_key()
    }

    /// Who has ever signed them, the newest first.
    pub fn log_keys(&self) -> impl Iterator<Item = &NoteKey> {
        self.scribe.note_keys()
    }

    /// Changes whenever another checkpoint has been published.
    pub fn published(&self) -> watch::Receiver<u64> {
        self.watchers.published()
    }

    /// Says that witnesses are asked: strangers are shown only what enough of them have cosigned.
    pub fn await_witnesses(&self) {
        self.witnessing.set(Stands::Awaited);
    }

    /// Takes up a checkpoint that enough witnesses have cosigned. One that this log does not bear out
    /// halts the vault.
    pub fn witness(&self, note: String) -> Result<(), VaultError> {
        let size = self.bear_out(&note)?;
        self.witnessing.set(Stands::Seen(Arc::new(Witnessed { note, size })));
        Ok(())
    }

    /// The newest checkpoint that enough witnesses have cosigned, if there is one.
    pub fn witnessed(&self) -> Option<Arc<Witnessed>> {
        match self.witnessing.get() {
            Stands::Unasked | Stands::Awaited => None,
            Stands::Seen(witnessed) => Some(witnessed),
        }
    }

    /// The checkpoint for strangers: the newest, or where witnesses are asked the newest that they have
    /// cosigned; `None` where there is none yet.
    pub fn shown_checkpoint(&self) -> Result<Option<String>, VaultError> {
        match self.witnessing.get() {
            Stands::Unasked => self.checkpoint().map(Some),
            Stands::Awaited => Ok(None),
            Stands::Seen(witnessed) => Ok(Some(witnessed.note.clone())),
        }
    }

    /// How many entries a checkpoint of this log covers that somebody shows. Where the log does not bear
    /// it out, this vault was set back, and halts.
    pub fn bear_out(&self, note: &str) -> Result<u64, VaultError> {
        let foreign = |_: NoteFault| VaultError::Malformed("a checkpoint of another log");
        let shown = parse(self.scribe.opened(note).map_err(foreign)?)?;
        let newest = self.checkpoint()?;
        let newest = parse(self.scribe.opened(&newest).map_err(|_| VaultError::Unavailable)?)?;
        let node = |node| self.store.node(node);
        if shown.size > newest.size || merkle::root(shown.size, node)? != shown.root {
            tracing::error!(size = shown.size, "the log was set back; halting");
            // What others have signed in it proves nothing here.
            let alone = self.scribe.alone(note).map_err(foreign)?;
            self.halt.send_replace(Some(Halt::SetBack(Shown::Checkpoint(alone))));
            return Err(VaultError::SetBack);
        }
        Ok(shown.size)
    }

    /// A checkpoint of this log for a witness that has `old` entries of it.
    pub fn submission(&self, old: u64, note: &str) -> Result<Submission, VaultError> {
        let text = self.scribe.opened(note).map_err(|_| VaultError::Unavailable)?;
        let size = parse(text)?.size;
        let proof = merkle::consistency(old, size, |node| self.store.node(node))?;
        Ok(Submission { old, proof, checkpoint: note.to_owned() })
    }
}
