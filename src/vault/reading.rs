//! Streams on their way out. That somebody looked is durable before anything is shown.

use std::sync::Arc;

use crate::domain::event::{Look, Note};
use crate::domain::id::{AgreementId, Fingerprint, MemberPath};
use crate::domain::refusal::Refusal;
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::ledger::Entry;
use crate::ledger::head::SignedHead;
use crate::store::Store;
use crate::vault::attachments;
use crate::vault::attempts::Tried;
use crate::vault::committer::Work;
use crate::vault::error::VaultError;
use crate::vault::{Talker, Vault};

/// A part of a stream, as it may be shown.
#[derive(Debug)]
pub struct Part {
    /// Events in order.
    pub entries: Vec<Entry>,
    /// Where to go on; `None` after the last part.
    pub next: Option<u64>,
}

/// A stream that may be shown, up to a head.
#[derive(Debug, Clone)]
pub struct Reading {
    talker: Talker,
    stream: Stream,
    last: u64,
    /// Where the stream stands.
    pub head: SignedHead,
}

impl<S: Store> Vault<S> {
    /// Opens a stream for reading. That it was looked at is durable on return.
    pub async fn read(
        self: &Arc<Self>,
        talker: Talker,
        stream: Stream,
        named: Option<Fingerprint>,
    ) -> Result<Reading, VaultError> {
        let look = match &stream {
            Stream::AgreementAccesses(_) | Stream::OrganisationAccesses(_) => Look::Accesses,
            Stream::OrganisationRegistrations(_) => Look::Registrations,
            Stream::Vault | Stream::Organisation(_) | Stream::Agreement(_) => Look::Stream,
        };
        let tried = Tried::to_look(&talker, &stream, look);
        let opened = self.open_for(talker, stream, look, named).await;
        self.telling(tried, opened).await
    }

    async fn open_for(
        &self,
        talker: Talker,
        stream: Stream,
        look: Look,
        named: Option<Fingerprint>,
    ) -> Result<Reading, VaultError> {
        let reader = self.onlooker(&talker)?;
        self.may_read(&reader, &stream, named)?;
        self.enter(&reader, &stream, look).await?;
        let stands = self.store.head(&stream)?;
        let head = self.scribe.sign(&stream, self.clock.now(), stands)?;
        Ok(Reading { talker, stream, last: stands.sequence, head })
    }

    /// The events of a stream that was opened for reading, from some number on.
    pub fn part(&self, reading: &Reading, from: u64, limit: usize) -> Result<Part, VaultError> {
        self.still_stands(&reading.talker)?;
        let from = from.max(1);
        let room = usize::try_from((reading.last + 1).saturating_sub(from)).unwrap_or(limit);
        let entries = self.store.read_stream(&reading.stream, from, limit.min(room))?;
        let next = entries.last().map(|entry| entry.sequence + 1).filter(|n| *n <= reading.last);
        Ok(Part { entries, next })
    }

    /// The agreements the talker's organisation is a party of.
    pub async fn agreements(
        self: &Arc<Self>,
        talker: Talker,
        after: Option<AgreementId>,
        limit: usize,
    ) -> Result<Vec<AgreementId>, VaultError> {
        let reader = self.reader(&talker)?;
        self.is_confirmed(&reader)?;
        let own = Stream::Organisation(reader.organisation.clone());
        self.enter(&reader, &own, Look::Agreements).await?;
        self.parties(&reader.organisation, after.as_ref(), limit)
    }

    /// The talker's own sealed share of an agreement's release key.
    pub async fn share(
        self: &Arc<Self>,
        talker: Talker,
        id: AgreementId,
    ) -> Result<Vec<u8>, VaultError> {
        let tried = Tried::to_look(&talker, &Stream::Agreement(id.clone()), Look::Share);
        let fetched = self.fetch(&talker, id).await;
        self.telling(tried, fetched).await
    }

    async fn fetch(&self, talker: &Talker, id: AgreementId) -> Result<Vec<u8>, VaultError> {
        let reader = self.reader(talker)?;
        let stream = Stream::Agreement(id.clone());
        self.may_read(&reader, &stream, None)?;
        let mut states = States::default();
        self.load(&mut states, [Key::Agreement(id.clone())])?;
        let key = states.agreement(&id).and_then(|agreement| agreement.release_key.as_ref());
        let digest = key.and_then(|key| key.shares.get(&reader)).copied();
        let missing = || Refusal::NotFound(format!("a share for {reader}"));
        let digest = digest.ok_or_else(missing)?;
        self.enter(&reader, &stream, Look::Share).await?;
        Ok(self.store.blob(&attachments::name(&digest))?.ok_or_else(missing)?)
    }

    /// Enters that somebody looked, unless an entry of the last minute stands for it.
    pub(super) async fn enter(
        &self,
        reader: &MemberPath,
        stream: &Stream,
        look: Look,
    ) -> Result<(), VaultError> {
        let Some(accesses) = stream.accesses() else { return Ok(()) };
        let now = self.clock.now();
        if self.looks.stands(reader, &accesses, look, now) {
            return Ok(());
        }
        let note = Note::Access { by: reader.clone(), look };
        let work = Work::Note { stream: accesses.clone(), note };
        self.committer.submit(work).await?;
        self.looks.entered(reader.clone(), accesses, look, now);
        Ok(())
    }
}
