//! After a vault was set back to an earlier state: how it is found out, begins a new log
//! generation openly, and gets back what others remember of the old one.
//!
//! Nothing here rests on anybody's word. A head that the ledger key has signed shows what this
//! vault once had; events that lead to such a head are put back byte for byte, so that those who
//! remember them see the history they know.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes as Buffer;

use crate::crypto::{signature, statement, strict_json};
use crate::domain::event::{Act, Note};
use crate::domain::id::{AgreementId, DepositId, Digest};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{Log, Stated, Statement};
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::domain::text::Text;
use crate::ledger::Entry;
use crate::ledger::head::{self, Head, SignedHead};
use crate::store::{Blob, ReadError, Store, StreamHead};
use crate::vault::attachments;
use crate::vault::clock::Clock;
use crate::vault::committer::Work;
use crate::vault::error::VaultError;
use crate::vault::halt::{Halt, Shown};
use crate::vault::quota::Quota;
use crate::vault::{LedgerKeys, Scribe, Vault, identity, records};

/// Events put back in one batch, unless they are larger.
const ENTRIES_PER_BATCH: usize = 256;
/// Bytes of events put back in one batch, unless one event alone has more.
const BYTES_PER_BATCH: usize = 4 << 20;

/// Lost events as somebody remembers them.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Where each stream stood, as this vault signed it.
    pub heads: Vec<SignedHead>,
    /// The events that lead there from where the streams stand now, in the ledger's old order.
    pub entries: Vec<Entry>,
    /// Sealed shares that the events name by digest.
    pub attachments: Vec<Buffer>,
}

impl<S: Store> Vault<S> {
    /// Opens a vault that was set back, in a generation that nobody has seen: later than its own
    /// and than `shown`. That it did is durable on return.
    pub async fn recover(
        store: S,
        origin: Text,
        keys: LedgerKeys,
        clock: Arc<dyn Clock>,
        quota: Quota,
        shown: u32,
    ) -> Result<Self, VaultError> {
        let (identity, size) = (identity(&store)?, store.ledger_size());
        let generation = identity.as_ref().map_or(1, |vault| vault.generation).max(shown) + 1;
        let scribe = Scribe::new(Log { origin, generation }, keys, identity.as_ref())?;
        let vault = Self::open_in(store, scribe, clock, quota)?;
        let note = Note::Recovered { generation, size };
        vault.committer.submit(Work::Note { stream: Stream::Vault, note }).await?;
        Ok(vault)
    }

    /// Compares what is stored with a head that somebody was given. Where this vault has signed
    /// more than it has, it halts.
    pub fn compare(&self, shown: &SignedHead) -> Result<(), VaultError> {
        let head = self.own_head(shown)?;
        let own = self.log().generation;
        if head.log.generation < own {
            return Err(VaultError::NewGeneration { generation: own });
        }
        if head.log.generation == own && self.has(&head)? {
            return Ok(());
        }
        tracing::error!(stream = %head.stream, sequence = head.saw.sequence, "set back; halting");
        self.halt.send_replace(Some(Halt::SetBack(Shown::Head(shown.clone()))));
        Err(VaultError::SetBack)
    }

    /// How far a stream reaches, for somebody who was given a head of it in an earlier
    /// generation, and whether it leads there.
    pub fn reach(&self, shown: &SignedHead) -> Result<(u64, bool), VaultError> {
        let head = self.own_head(shown)?;
        let reaches = self.store.head(&head.stream)?.sequence;
        Ok((reaches, reaches < head.saw.sequence || self.has(&head)?))
    }

    /// Puts lost events back. Returns how many there were.
    pub async fn hand_in(self: &Arc<Self>, remembered: Remembered) -> Result<u64, VaultError> {
        let (mut entries, blobs) = self
            .blocking(move |vault| {
                let Remembered { heads, entries, attachments } = remembered;
                vault.leads_to(&heads, &entries)?;
                let blobs = named(&entries, attachments)?;
                Ok((entries, blobs))
            })
            .await?;
        let handed_in = entries.len() as u64;
        let mut blobs = Some(blobs);
        while !entries.is_empty() {
            let mut bytes = 0;
            let fitting = entries.iter().take(ENTRIES_PER_BATCH).take_while(|entry| {
                bytes += entry.payload.len();
                bytes <= BYTES_PER_BATCH
            });
            let count = fitting.count().max(1);
            let later = entries.split_off(count);
            let now = std::mem::replace(&mut entries, later);
            let blobs = blobs.take().unwrap_or_default();
            self.committer.submit(Work::Lost { entries: now, blobs }).await?;
        }
        Ok(handed_in)
    }

    /// Takes bundles out of service whose events came back without them, once the agreement goes
    /// on. Until then its stream is kept for what else may come back.
    pub(super) async fn quarantine_lost(
        self: &Arc<Self>,
        id: &AgreementId,
    ) -> Result<(), VaultError> {
        let stream = Stream::Agreement(id.clone());
        let mut states = States::default();
        self.load(&mut states, [Key::Agreement(id.clone())])?;
        let generation = states.agreement(id).map(|agreement| agreement.generation);
        if generation != Some(self.log().generation) {
            return Ok(());
        }
        let lost = self.blocking({
            let stream = stream.clone();
            move |vault| vault.lost_bundles(&stream)
        });
        for deposit in lost.await? {
            tracing::warn!(%deposit, "a bundle did not come back with its event");
            let work = Work::Note { stream: stream.clone(), note: Note::Quarantined { deposit } };
            self.committer.submit(work).await?;
        }
        Ok(())
    }

    /// The deposits among the events that came back whose bundles are not there.
    fn lost_bundles(&self, stream: &Stream) -> Result<Vec<DepositId>, VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Vault])?;
        let began_at = states.vault().map_or(0, |vault| vault.began_at);
        let mut lost = Vec::new();
        let mut sequence = self.store.head(stream)?.sequence;
        // From the end backwards, as far as the new generation goes.
        while sequence > 0 {
            let read = self.store.read_stream(stream, sequence, 1)?;
            let Some(entry) = read.first().filter(|entry| entry.position >= began_at) else {
                break;
            };
            if let Act::Stated(signed) = records::event(entry)?.act
                && let Ok(stated) = statement::parse(&signed)
                && let Statement::Deposit(_) = stated.statement
            {
                let id = DepositId::of(&stated.digest);
                if self.store.blob(id.as_str())?.is_none() && self.store.bundle(&id)?.is_none() {
                    lost.push(id);
                }
            }
            sequence -= 1;
        }
        Ok(lost)
    }

    /// A head of this log, signed by this vault.
    fn own_head(&self, shown: &SignedHead) -> Result<Head, VaultError> {
        let foreign = || VaultError::Malformed("a head that this vault did not sign");
        let SignedHead { head, signature } = shown;
        if !self.scribe.has_signed(head::TAG, head, signature) {
            return Err(foreign());
        }
        let read: Head = strict_json::parse(head, SignedHead::BYTES_MAX).map_err(|_| foreign())?;
        if read.log.origin == self.log().origin { Ok(read) } else { Err(foreign()) }
    }

    fn has(&self, head: &Head) -> Result<bool, VaultError> {
        if head.saw.sequence == 0 {
            return Ok(true);
        }
        let found = self.store.read_stream(&head.stream, head.saw.sequence, 1)?;
        Ok(found.first().is_some_and(|entry| entry.commitment() == head.saw.commitment))
    }

    /// Whether these events lead from where their streams stand to heads that this vault signed
    /// in an earlier generation.
    fn leads_to(&self, heads: &[SignedHead], entries: &[Entry]) -> Result<(), VaultError> {
        let own = self.log();
        let mut wanted: BTreeMap<Stream, Head> = BTreeMap::new();
        for shown in heads {
            let head = self.own_head(shown)?;
            if head.log.generation >= own.generation {
                return Err(VaultError::Malformed("a head of this generation"));
            }
            wanted.insert(head.stream.clone(), head);
        }
        let mut ends: BTreeMap<&Stream, StreamHead> = BTreeMap::new();
        for entry in entries {
            let stands = match ends.get(&entry.stream) {
                Some(stands) => *stands,
                None => self.store.head(&entry.stream)?,
            };
            let not_ours = |_: ReadError| VaultError::Malformed("an event that cannot be read");
            let event = records::event(entry).map_err(not_ours)?;
            if event.log.origin != own.origin
                || event.log.generation >= own.generation
                || event.stream != entry.stream
                || event.sequence != entry.sequence
            {
                return Err(VaultError::Malformed("an event of another log, stream or number"));
            }
            if entry.sequence != stands.sequence + 1 || event.previous != stands.commitment {
                return Err(Refusal::Forked.into());
            }
            let (sequence, commitment) = (entry.sequence, entry.commitment());
            ends.insert(&entry.stream, StreamHead { sequence, commitment });
        }
        for (stream, end) in ends {
            let head = wanted.get(stream);
            let signed = head.is_some_and(|head| {
                (head.saw.sequence, head.saw.commitment) == (end.sequence, end.commitment)
            });
            if !signed {
                return Err(VaultError::Malformed("events that lead to no head of this vault"));
            }
        }
        Ok(())
    }
}

/// The attachments that these events name; others are refused.
fn named(entries: &[Entry], attachments: Vec<Buffer>) -> Result<Vec<Blob>, VaultError> {
    let mut names: Vec<Digest> = Vec::new();
    for entry in entries {
        let Ok(event) = records::event(entry) else { continue };
        let Act::Stated(signed) = event.act else { continue };
        let Ok(Stated { statement, .. }) = statement::parse(&signed) else {
            continue;
        };
        if let Statement::ReleaseKey(s) = &statement {
            names.extend(s.shares.iter().map(|share| share.sha256));
        }
        if let Statement::Reseal(s) = &statement {
            names.push(s.share.sha256);
        }
    }
    let blobs = attachments.into_iter().map(|bytes| {
        let sha256 = signature::sha256(&bytes);
        match names.contains(&sha256) {
            true => Ok(Blob { name: attachments::name(&sha256), bytes: bytes.to_vec() }),
            false => Err(VaultError::Malformed("an attachment that no event names")),
        }
    });
    blobs.collect()
}
