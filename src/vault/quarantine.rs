//! Bundles out of service: those found damaged, until they are found whole again.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::domain::event::Note;
use crate::domain::id::{Bytes, DepositId, Digest};
use crate::domain::statement::Retrieval;
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::store::{Bundle as _, ReadError, Store};
use crate::vault::committer::Work;
use crate::vault::error::VaultError;
use crate::vault::{BundleBytes, Vault};

impl<S: Store> Vault<S> {
    /// Takes a bundle out of service whose bytes were found damaged while it was read.
    pub async fn quarantine(&self, retrieval: &Retrieval) -> Result<(), VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Request(retrieval.request.id.clone())])?;
        let Some(request) = states.request(&retrieval.request.id) else { return Ok(()) };
        let note = Note::Quarantined { deposit: request.deposit.clone() };
        let stream = Stream::Agreement(retrieval.ground.agreement.clone());
        self.committer.submit(Work::Note { stream, note }).await.map(|_| ())
    }

    /// Looks again at what is out of service: a bundle that is what its depositor stated, as after
    /// a restore, is served again. Done at every start, since nobody restores under a running vault.
    pub async fn look_again(self: &Arc<Self>) -> Result<(), VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Quarantine])?;
        for id in states.quarantine().clone() {
            let found = self.blocking({
                let id = id.clone();
                move |vault| vault.is_whole(&id)
            });
            if let Some(stream) = found.await? {
                let note = Note::FoundWhole { deposit: id.clone() };
                self.committer.submit(Work::Note { stream, note }).await?;
                tracing::info!(deposit = %id, "whole again, and served again");
            }
        }
        Ok(())
    }

    /// The stream of a deposit whose bundle is whole; `None` if it is not, or if the vault is about
    /// to stop and has not read to the end.
    fn is_whole(&self, id: &DepositId) -> Result<Option<Stream>, VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Deposit(id.clone())])?;
        let Some(deposit) = states.deposit(id) else { return Ok(None) };
        let found = match self.digest(id) {
            Ok(found) => found,
            Err(ReadError::Damaged { .. }) => None,
            Err(fault @ (ReadError::Index { .. } | ReadError::Io(_))) => return Err(fault.into()),
        };
        let is_as_stated = found == Some(deposit.statement.sha256);
        Ok(is_as_stated.then(|| Stream::Agreement(deposit.agreement.clone())))
    }

    fn digest(&self, id: &DepositId) -> Result<Option<Digest>, ReadError> {
        // After a recovery an event may have come back without its bundle.
        if self.store.blob(id.as_str())?.is_none() && self.store.bundle(id)?.is_none() {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        match self.bundle(id)? {
            BundleBytes::Small(bytes) => hash.update(&bytes),
            BundleBytes::Large(mut bundle) => {
                while let Some(piece) = bundle.next()? {
                    if self.watchers.are_dismissed() {
                        return Ok(None);
                    }
                    hash.update(&piece);
                }
            }
        }
        Ok(Some(Bytes(hash.finalize().into())))
    }
}
