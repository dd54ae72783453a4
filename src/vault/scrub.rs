//! Looking for damage before somebody needs what is damaged.

use std::ops::Range;
use std::sync::Arc;

use crate::crypto::statement;
use crate::domain::chain::chain;
use crate::domain::event::{Act, Note};
use crate::domain::id::{AgreementId, DepositId};
use crate::domain::statement::Statement;
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::store::{Harm, Harmed, Pass, ReadError, Store};
use crate::vault::committer::Work;
use crate::vault::error::VaultError;
use crate::vault::{Vault, records};

/// What came of reading on.
#[derive(Debug)]
pub struct Scrubbed {
    /// The pass; `None` once all is read.
    pub pass: Option<Pass>,
    /// How much was read.
    pub bytes: u64,
    /// What is wrong, and the bundles that cannot be served by that: reading stops there for once.
    pub found: Option<(Harm, Vec<Outage>)>,
}

/// A bundle that is found damaged, out of service from now on at the latest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Whose bundle it is.
    pub deposit: DepositId,
    /// The agreement that it was deposited under.
    pub agreement: AgreementId,
    /// Whether it was out of service already.
    pub is_known: bool,
}

impl<S: Store> Vault<S> {
    /// Reads on with a pass until this much is read. A bundle that is found damaged is taken out of
    /// service as one that is found so by its reader, durably on return.
    pub async fn scrub(self: &Arc<Self>, pass: Pass, bytes: u64) -> Result<Scrubbed, VaultError> {
        let (pass, read, harm) = self.blocking(move |vault| vault.read_on(pass, bytes)).await?;
        let found = match harm {
            None => None,
            Some(harm) => {
                let outages = self.take_out(&harm).await?;
                Some((harm, outages))
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

    /// Takes out of service what is damaged by this. What the operating system refuses is never taken
    /// for damage, and nothing but a bundle can be spared.
    async fn take_out(self: &Arc<Self>, harm: &Harm) -> Result<Vec<Outage>, VaultError> {
        let ids = match (&harm.of, &harm.how) {
            (_, ReadError::Io(_) | ReadError::Index { .. }) | (Harmed::Journal, _) => Vec::new(),
            (Harmed::Bundle(id), ReadError::Damaged { .. }) => vec![id.clone()],
            (Harmed::Objects(positions), ReadError::Damaged { .. }) => {
                let positions = positions.clone();
                self.blocking(move |vault| vault.damaged_among(positions)).await?
            }
        };
        let mut outages = Vec::new();
        for id in ids {
            outages.extend(self.quarantine_found(id).await?);
        }
        Ok(outages)
    }

    /// Deposits among these events whose small bundles are damaged. What is damaged in the journal may
    /// be a bundle's name too: the events say which there are.
    fn damaged_among(&self, positions: Range<u64>) -> Result<Vec<DepositId>, VaultError> {
        let mut damaged = Vec::new();
        for position in positions {
            let entries = match self.store.read_ledger(position, 1) {
                Err(ReadError::Damaged { .. }) => continue,
                read => read?,
            };
            for entry in &entries {
                if let Act::Stated(signed) = records::event(entry)?.act
                    && let Ok(stated) = statement::parse(&signed)
                    && let Statement::Deposit(_) = stated.statement
                {
                    let id = DepositId::of(&stated.digest);
                    match self.store.blob(id.as_str()) {
                        Err(ReadError::Damaged { .. }) => damaged.push(id),
                        read => drop(read?),
                    }
                }
            }
        }
        Ok(damaged)
    }

    async fn quarantine_found(&self, deposit: DepositId) -> Result<Option<Outage>, VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Deposit(deposit.clone())])?;
        let Some(stored) = states.deposit(&deposit) else { return Ok(None) };
        let (agreement, is_known) = (stored.agreement.clone(), stored.is_stored().is_err());
        if !is_known {
            let note = Note::Quarantined { deposit: deposit.clone() };
            let stream = Stream::Agreement(agreement.clone());
            self.committer.submit(Work::Note { stream, note }).await?;
        }
        Ok(Some(Outage { deposit, agreement, is_known }))
    }
}

impl Scrubbed {
    /// Says in the log what was found. Damage is never passed over in silence.
    pub fn tell(&self) {
        let Some((harm, outages)) = &self.found else { return };
        let error = chain(&harm.how);
        for Outage { deposit, agreement, is_known } in outages {
            match is_known {
                false => tracing::error!(
                    error, %deposit, %agreement,
                    "damage found: the bundle is quarantined; put it back from a backup"
                ),
                true => tracing::warn!(
                    error, %deposit, %agreement,
                    "damage found once more: the bundle was quarantined before"
                ),
            }
        }
        match (&harm.of, &harm.how) {
            (_, ReadError::Io(_)) => tracing::error!(
                error, what = ?harm.of,
                "cannot be read: look at the disk; what can be served is"
            ),
            (Harmed::Journal, _) => tracing::error!(
                error,
                "damage found in the journal: what can be served is; stop the vault, run \
                 `escrowd check`, and put the segment back from a backup"
            ),
            (Harmed::Objects(_) | Harmed::Bundle(_), _) if outages.is_empty() => tracing::error!(
                error, what = ?harm.of,
                "damage found: what can be served is; stop the vault, run `escrowd check`, \
                 and put the segment back from a backup"
            ),
            (Harmed::Objects(_) | Harmed::Bundle(_), _) => {}
        }
    }
}
