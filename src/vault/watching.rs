//! Hints that streams have grown, for those who would otherwise have to ask again and again.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use crate::domain::event::Look;
use crate::domain::id::MemberPath;
use crate::domain::refusal::Refusal;
use crate::domain::stream::Stream;
use crate::store::Store;
use crate::vault::error::VaultError;
use crate::vault::{Talker, Vault};

/// Hints a slow watcher may be behind; then it is told to read everything.
const HINTS_MAX: usize = 1_024;

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Any stream may have grown.
    Any,
    /// This one has.
    Grown(Stream),
}

/// Everybody who watches.
#[derive(Clone)]
pub(super) struct Watchers {
    hints: broadcast::Sender<Stream>,
    dismissed: Arc<watch::Sender<bool>>,
    published: Arc<watch::Sender<u64>>,
}

impl Default for Watchers {
    fn default() -> Self {
        let (hints, _) = broadcast::channel(HINTS_MAX);
        let (dismissed, published) = (watch::Sender::new(false), watch::Sender::new(0));
        Self { hints, dismissed: Arc::new(dismissed), published: Arc::new(published) }
    }
}

impl Watchers {
    /// Tells of streams that have grown, durably.
    pub(super) fn tell<'a>(&self, streams: impl Iterator<Item = &'a Stream>) {
        for stream in streams.collect::<BTreeSet<_>>() {
            // An error means that nobody watches.
            drop(self.hints.send(stream.clone()));
        }
    }

    /// Tells that a checkpoint of so many entries has been published. Nobody is waited for.
    pub(super) fn publish(&self, size: u64) {
        self.published.send_replace(size);
    }

    pub(super) fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    pub(super) fn dismiss(&self) {
        self.dismissed.send_replace(true);
    }

    pub(super) fn are_dismissed(&self) -> bool {
        *self.dismissed.borrow()
    }
}

/// Somebody who watches.
pub struct Watching<S: Store> {
    vault: Arc<Vault<S>>,
    talker: Talker,
    reader: MemberPath,
    hints: broadcast::Receiver<Stream>,
    dismissed: watch::Receiver<bool>,
    is_first: bool,
}

impl<S: Store> Vault<S> {
    /// Begins to watch. That it does is durable on return.
    pub async fn watch(self: &Arc<Self>, talker: Talker) -> Result<Watching<S>, VaultError> {
        let reader = self.reader(&talker)?;
        let hints = self.watchers.hints.subscribe();
        let dismissed = self.watchers.dismissed.subscribe();
        let own = Stream::Organisation(reader.organisation.clone());
        self.enter(&reader, &own, Look::Agreements).await?;
        Ok(Watching { vault: self.clone(), talker, reader, hints, dismissed, is_first: true })
    }
}

impl<S: Store> Watching<S> {
    /// The next hint about something the watcher may read. An error ends the watch. A hint tells
    /// something, so that it was given is durable before it is, as with any other look.
    pub async fn next(&mut self) -> Result<Hint, VaultError> {
        let hint = self.hint().await?;
        let own = Stream::Organisation(self.reader.organisation.clone());
        self.vault.enter(&self.reader, &own, Look::Agreements).await?;
        Ok(hint)
    }

    async fn hint(&mut self) -> Result<Hint, VaultError> {
        if std::mem::take(&mut self.is_first) {
            return Ok(Hint::Any);
        }
        loop {
            let told = tokio::select! {
                told = self.hints.recv() => told,
                _ = self.dismissed.wait_for(|dismissed| *dismissed) => {
                    return Err(VaultError::Stopping);
                }
            };
            self.vault.reader(&self.talker)?;
            match told {
                Ok(stream) if self.concerns(&stream)? => return Ok(Hint::Grown(stream)),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return Ok(Hint::Any),
                Err(broadcast::error::RecvError::Closed) => return Err(VaultError::Stopping),
            }
        }
    }

    fn concerns(&self, stream: &Stream) -> Result<bool, VaultError> {
        match stream {
            Stream::Agreement(_)
            | Stream::Organisation(_)
            | Stream::OrganisationRegistrations(_) => {}
            // Looks are no news, and a watcher's own would keep it busy with itself.
            Stream::Vault | Stream::AgreementAccesses(_) | Stream::OrganisationAccesses(_) => {
                return Ok(false);
            }
        }
        match self.vault.may_read(&self.reader, stream, None) {
            Ok(()) => Ok(true),
            Err(VaultError::Refused(Refusal::NotFound(_) | Refusal::Pending(_))) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
