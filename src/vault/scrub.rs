//! Looking for damage before somebody needs what is damaged.

use std::sync::Arc;

use crate::domain::chain::chain;
use crate::domain::event::Note;
use crate::domain::id::{AgreementId, DepositId};
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::store::{Harm, Harmed, Pass, ReadError, Store};
use crate::vault::Vault;
use crate::vault::committer::Work;
use crate::vault::error::VaultError;

/// What came of reading on.
#[derive(Debug)]
pub struct Scrubbed {
    /// The pass; `None` once all is read.
    pub pass: Option<Pass>,
    /// How much was read.
    pub bytes: u64,
    /// What is wrong, and what was done about it: reading stops there for once.
    pub found: Option<(Harm, Fate)>,
}

/// What becomes of something that is harmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A bundle, out of service from now on.
    Quarantined(DepositId, AgreementId),
    /// A bundle that is out of service already.
    KnownBefore(DepositId, AgreementId),
    /// It is no bundle, or it is the system that does not give it out: all that can be served is.
    Left,
}

impl<S: Store> Vault<S> {
    /// Reads on with a pass until this much is read. A bundle that is found damaged is taken out of
    /// service as one that is found so by its reader, durably on return.
    pub async fn scrub(self: &Arc<Self>, pass: Pass, bytes: u64) -> Result<Scrubbed, VaultError> {
        let (pass, read, harm) = self.blocking(move |vault| vault.read_on(pass, bytes)).await?;
        let found = match harm {
            None => None,
            Some(harm) => {
                let fate = self.settle_harm(&harm).await?;
                Some((harm, fate))
            }
        };
        Ok(Scrubbed { pass, bytes: read, found })
    }

    fn read_on(
        &self,
        mut pass: Pass,
        bytes: u64,
    ) -> Result<(Option<Pass>, u64, Option<Harm>), VaultError> {
        let mut read = 0;
        // Whoever is about to stop waits for one piece at most.
        while read < bytes && !self.watchers.are_dismissed() {
            let Some(piece) = self.store.read_on(&mut pass)? else { return Ok((None, read, None)) };
            read += piece.bytes;
            if piece.harm.is_some() {
                return Ok((Some(pass), read, piece.harm));
            }
        }
        Ok((Some(pass), read, None))
    }

    async fn settle_harm(&self, harm: &Harm) -> Result<Fate, VaultError> {
        let id = match &harm.of {
            Harmed::Bundle(id) => Some(id.clone()),
            Harmed::Object(name) => name.parse().ok(),
            Harmed::Journal => None,
        };
        // What the operating system refuses is never taken for damage.
        let (Some(id), ReadError::Damaged { .. }) = (id, &harm.how) else { return Ok(Fate::Left) };
        let mut states = States::default();
        self.load(&mut states, [Key::Deposit(id.clone())])?;
        let Some(deposit) = states.deposit(&id) else { return Ok(Fate::Left) };
        let agreement = deposit.agreement.clone();
        if deposit.is_stored().is_err() {
            return Ok(Fate::KnownBefore(id, agreement));
        }
        let note = Note::Quarantined { deposit: id.clone() };
        let stream = Stream::Agreement(agreement.clone());
        self.committer.submit(Work::Note { stream, note }).await?;
        Ok(Fate::Quarantined(id, agreement))
    }
}

impl Scrubbed {
    /// Says in the log what was found. Damage is never passed over in silence.
    pub fn tell(&self) {
        let Some((harm, fate)) = &self.found else { return };
        let error = chain(&harm.how);
        match fate {
            Fate::Quarantined(deposit, agreement) => tracing::error!(
                error, %deposit, %agreement,
                "damage found: the bundle is quarantined; put it back from a backup"
            ),
            Fate::KnownBefore(deposit, agreement) => tracing::warn!(
                error, %deposit, %agreement,
                "damage found once more: the bundle was quarantined before"
            ),
            Fate::Left => match (&harm.of, &harm.how) {
                (_, ReadError::Io(_)) => tracing::error!(
                    error, what = ?harm.of,
                    "cannot be read: look at the disk; what can be served is"
                ),
                (Harmed::Journal, _) => tracing::error!(
                    error,
                    "damage found in the journal: what can be served is; stop the vault, run \
                     `escrowd check`, and put the segment back from a backup"
                ),
                (Harmed::Object(_) | Harmed::Bundle(_), _) => tracing::error!(
                    error, what = ?harm.of,
                    "damage found: what can be served is; stop the vault, run `escrowd check`, \
                     and put the segment back from a backup"
                ),
            },
        }
    }
}
