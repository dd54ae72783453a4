//! Bundles that are uploaded: what may come, where it goes on, and what becomes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes as Buffer;
use tokio::sync::watch;

use crate::domain::chain::chain;
use crate::domain::deposit;
use crate::domain::id::{AgreementId, Digest, MemberPath, OrganisationName};
use crate::domain::refusal::Refusal;
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::store::{Blob, ReadError, Store, Upload};
use crate::vault::attempts::Tried;
use crate::vault::error::{Interruption, VaultError};
use crate::vault::intake::Intake;
use crate::vault::quota::{
    Reservation, Reserved, Resource, Short, UNFINISHED_MAX, UNFINISHED_OF_ONE_MAX, within,
};
use crate::vault::uploads::{Asked, KEPT_FOR, Taken, Uploads, Whose};
use crate::vault::{Talker, Vault, records};

/// What is synced at a time, at least: clients keep a few times as much to be sent again.
const SYNC_BYTES: u64 = 8 << 20;
/// The same while others want the disk for a little.
const SYNC_BYTES_BESIDE: u64 = 2 << 20;
/// How long what came may wait for that.
pub const SYNC_WAIT: Duration = Duration::from_secs(1);
/// Room that uploads leave for statements, besides what is kept for what is urgent.
const LEFT_BYTES: u64 = 16 << 20;
/// What a deposit's statement takes up at most of what was reserved for it; ours have a third.
pub(super) const STATEMENT_BYTES: u64 = 4 * 1024;

/// A large bundle that a member is about to upload, or was.
#[derive(Debug, Clone)]
pub struct Begun {
    /// What it is to be deposited under.
    pub agreement: AgreementId,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its header.
    pub header_sha256: Digest,
}

/// An upload that a call is at. When it is dropped what came stays, to be gone on with.
pub struct Uploading<S: Store> {
    vault: Arc<Vault<S>>,
    talker: Talker,
    tried: Tried,
    taken: Taken<S::Staged>,
    durable: watch::Sender<u64>,
    /// Nothing has changed in the vault since this was judged while its ledger has this size.
    judged_at: u64,
    synced: (u64, Instant),
}

impl<S: Store> Uploading<S> {
    /// How many bytes are durable, from now on.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    /// Why it has to end, once it has.
    pub fn end(&self) -> watch::Receiver<Option<Interruption>> {
        self.taken.end.clone()
    }

    /// How many bytes there are to be in all.
    pub fn size(&self) -> u64 {
        self.taken.upload.size
    }

    /// Takes the next bytes; with none, sees to it that what came becomes durable.
    pub async fn write(self, pieces: Vec<Buffer>) -> Result<Self, VaultError> {
        let processor = self.vault.uploads.processor().await;
        let taken_in = self.step(move |uploading| {
            let _processor = processor;
            uploading.take_in(&pieces)
        });
        taken_in.await
    }

    /// Ends an upload of which all has come. It is durable on return, and waits for its deposit.
    pub async fn finish(self) -> Result<(), VaultError> {
        let finished = self.step(|uploading| {
            let Taken { intake: Some(intake), progress, .. } = &mut uploading.taken else {
                return Err(VaultError::Unavailable);
            };
            progress.sync(|| intake.sync()).map(drop)
        });
        finished.await.map(drop)
    }

    /// Does what may block. Where it fails, what came is kept if it can be gone on with.
    async fn step(
        self,
        work: impl FnOnce(&mut Self) -> Result<(), VaultError> + Send + 'static,
    ) -> Result<Self, VaultError> {
        let mut uploading = self;
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut uploading);
            (uploading, done)
        });
        match done.await.map_err(|_| VaultError::Unavailable)? {
            (uploading, Ok(())) => Ok(uploading),
            (Self { vault, tried, taken, .. }, Err(fault)) => {
                vault.keep_or_forget(taken, &fault).await;
                vault.telling(tried, Err(fault)).await
            }
        }
    }

    fn take_in(&mut self, pieces: &[Buffer]) -> Result<(), VaultError> {
        let Self { vault, talker, taken, durable, judged_at, synced, .. } = self;
        let ledger_size = vault.store.ledger_size();
        if ledger_size != *judged_at {
            vault.may_upload(talker, &taken.upload)?;
            *judged_at = ledger_size;
        }
        let Taken { intake: Some(intake), progress, since, .. } = taken else {
            return Err(VaultError::Unavailable);
        };
        if progress.has_failed() {
            return Err(VaultError::Disk(std::io::Error::other("a sync failed")));
        }
        let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if bytes > 0 && !vault.store.has_room_for(bytes.saturating_add(LEFT_BYTES)) {
            vault.measures.refused_as_full();
            return Err(VaultError::Full);
        }
        for piece in pieces {
            intake.write(piece)?;
        }
        if bytes > 0 {
            *since = vault.clock.now();
        }
        let size = intake.size();
        progress.wrote(size);
        let (synced_size, synced_at) = *synced;
        let sync_bytes = if vault.store.has_batches() { SYNC_BYTES_BESIDE } else { SYNC_BYTES };
        let is_due = size - synced_size >= sync_bytes
            || (size > synced_size && synced_at.elapsed() >= SYNC_WAIT);
        // At its end it is synced as a whole.
        if is_due && !intake.is_whole() && progress.may_sync_beside() {
            let sync = intake.sync_beside().inspect_err(|_| progress.no_sync_beside())?;
            let durable = durable.clone();
            *synced = (size, Instant::now());
            let progress = Arc::clone(progress);
            tokio::task::spawn_blocking(move || progress.sync_beside(sync, &durable));
        }
        Ok(())
    }
}

impl<S: Store> Vault<S> {
    /// Begins an upload, or goes on with one of the same bundle by the same member, which whoever is
    /// at it has to give up. All that it will take up is reserved before its first byte.
    pub async fn upload(
        self: &Arc<Self>,
        talker: Talker,
        begun: Begun,
    ) -> Result<Uploading<S>, VaultError> {
        let tried = Tried::to_upload(&talker, &begun.agreement);
        let judged_at = self.store.ledger_size();
        let taken = async {
            let upload = self.known_by(&talker, begun).await?;
            let taken = self.take_up(upload, true).await?;
            self.reopen(taken.ok_or(VaultError::Unavailable)?).await
        };
        let (taken, size) = self.telling(tried.clone(), taken.await).await?;
        let (durable, _) = watch::channel(size);
        let (vault, synced) = (Arc::clone(self), (size, Instant::now()));
        Ok(Uploading { vault, talker, tried, taken, durable, judged_at, synced })
    }

    /// Forgets an upload of this member, with all that came of it.
    pub async fn forget_upload(
        self: &Arc<Self>,
        talker: Talker,
        begun: Begun,
    ) -> Result<(), VaultError> {
        let upload = self.known_by(&talker, begun).await?;
        match self.take_up(upload, false).await? {
            Some(taken) => self.forget(taken).await,
            None => Ok(()),
        }
    }

    /// How many uploads are not finished, and how many bytes have come of them.
    pub fn unfinished(&self) -> (u64, u64) {
        self.uploads.in_total()
    }

    /// Gives up uploads that were idle for too long, or that can become no deposit any more.
    pub async fn reclaim(self: &Arc<Self>) -> Result<(), VaultError> {
        self.blocking(|vault| {
            let now = vault.clock.now();
            for (upload, since) in vault.uploads.resting() {
                let why = match vault.may_deposit(&upload.member, &upload) {
                    _ if now >= since.after(KEPT_FOR) => "nothing came for too long".to_owned(),
                    Err(VaultError::Refused(refusal)) => chain(&refusal),
                    Ok(()) | Err(_) => continue,
                };
                vault.give_up(&upload, &why)?;
            }
            Ok(())
        })
        .await
    }

    /// The upload that a member means, if it may upload it.
    async fn known_by(
        self: &Arc<Self>,
        talker: &Talker,
        begun: Begun,
    ) -> Result<Upload, VaultError> {
        let talker = talker.clone();
        self.blocking(move |vault| {
            let Begun { agreement, size, header_sha256 } = begun;
            let member = vault.reader(&talker)?;
            let upload = Upload { member, agreement, header_sha256, size };
            vault.may_upload(&talker, &upload)?;
            if size <= Blob::BYTES_MAX as u64 {
                let message = "a bundle of at most 64 KiB comes with its statement";
                return Err(VaultError::Malformed(message));
            }
            Ok(upload)
        })
        .await
    }

    fn may_upload(&self, talker: &Talker, upload: &Upload) -> Result<(), VaultError> {
        self.still_stands(talker)?;
        self.may_deposit(&upload.member, upload)
    }

    fn may_deposit(&self, member: &MemberPath, upload: &Upload) -> Result<(), VaultError> {
        self.member(member)?.may_look(member)?;
        self.may_read(member, &Stream::Agreement(upload.agreement.clone()), None)?;
        let mut states = States::default();
        self.load(&mut states, [Key::Agreement(upload.agreement.clone())])?;
        let unknown = || Refusal::NotFound(upload.agreement.to_string());
        let agreement = states.agreement(&upload.agreement).ok_or_else(unknown)?;
        deposit::decide_upload(agreement, &member.organisation, upload.size, self.clock.now())?;
        Ok(agreement.goes_on_in(self.log().generation)?)
    }

    /// Takes an upload from whoever is at it. Where there is none, one is begun if it may be.
    pub(super) async fn take_up(
        self: &Arc<Self>,
        upload: Upload,
        may_begin: bool,
    ) -> Result<Option<Taken<S::Staged>>, VaultError> {
        loop {
            let asked = upload.clone();
            let asked = self.blocking(move |vault| {
                let now = vault.clock.now();
                match vault.uploads.ask(&asked, now) {
                    Asked::Missing if may_begin => {
                        vault.make_way(&asked, now)?;
                        let reservation = vault.reserve_upload(&asked, now)?;
                        vault.make_room(&asked, now)?;
                        let begun = vault.uploads.begin(&asked, reservation, now);
                        Ok(begun.map(|taken| Asked::Mine(Box::new(taken))))
                    }
                    asked @ (Asked::Missing | Asked::Mine(_) | Asked::Over | Asked::Busy(_)) => {
                        Ok(Some(asked))
                    }
                }
            });
            match asked.await? {
                Some(Asked::Mine(taken)) => return Ok(Some(*taken)),
                Some(Asked::Missing) => return Ok(None),
                Some(Asked::Over) => return Err(VaultError::Interrupted(Interruption::Stopping)),
                // It has ended when nobody holds the other end any more.
                Some(Asked::Busy(mut back)) => while back.changed().await.is_ok() {},
                None => {}
            }
        }
    }

    /// Opens what there is of an upload, and makes it durable: it goes on from there. How much.
    pub(super) async fn reopen(
        self: &Arc<Self>,
        taken: Taken<S::Staged>,
    ) -> Result<(Taken<S::Staged>, u64), VaultError> {
        let opened = self.blocking(move |vault| {
            let mut taken = taken;
            let opened = vault.reopen_now(&mut taken);
            Ok((taken, opened))
        });
        match opened.await? {
            (taken, Ok(size)) => Ok((taken, size)),
            (taken, Err(fault)) => {
                self.keep_or_forget(taken, &fault).await;
                Err(fault)
            }
        }
    }

    fn reopen_now(&self, taken: &mut Taken<S::Staged>) -> Result<u64, VaultError> {
        let Taken { upload, progress, intake, .. } = taken;
        if let Some(intake) = intake {
            intake.cut()?;
        } else {
            let staged = self.store.stage(upload)?;
            *intake = Some(Intake::of(upload.clone(), staged)?);
        }
        let Some(intake) = intake else { return Err(VaultError::Unavailable) };
        let size = intake.size();
        progress.wrote(size);
        if size < upload.size {
            self.make_room(upload, self.clock.now())?;
        }
        if size > 0 {
            let sync = intake.sync_beside()?;
            progress.sync(sync)?;
        }
        Ok(size)
    }

    /// What becomes of an upload that ended like this.
    async fn keep_or_forget(self: &Arc<Self>, taken: Taken<S::Staged>, fault: &VaultError) {
        let is_kept = match fault {
            VaultError::Full | VaultError::Unavailable | VaultError::Interrupted(_) => true,
            // What is wrong with it stays wrong; and what a disk refused once is not trusted again.
            VaultError::Refused(_)
            | VaultError::Statement(_)
            | VaultError::Unproven(_)
            | VaultError::Bundle(_)
            | VaultError::Malformed(_)
            | VaultError::Quota(_)
            | VaultError::TotalQuota
            | VaultError::NotUploaded
            | VaultError::SetBack
            | VaultError::NewGeneration { .. }
            | VaultError::ContributionLost(_)
            | VaultError::Stopping
            | VaultError::Read(_)
            | VaultError::Disk(_)
            | VaultError::Encoding(_) => false,
        };
        let is_kept = is_kept && !taken.progress.has_failed();
        if !is_kept && let Err(fault) = self.forget(taken).await {
            tracing::warn!(error = chain(&fault), "an upload was not removed");
        }
    }

    pub(super) async fn forget(
        self: &Arc<Self>,
        taken: Taken<S::Staged>,
    ) -> Result<(), VaultError> {
        self.blocking(move |vault| {
            // Where that fails the upload stays, and is read again.
            let mut taken = taken;
            taken.intake = None;
            vault.store.forget(&taken.upload)?;
            taken.gone();
            Ok(())
        })
        .await
    }

    /// Gives up an upload that nobody is at.
    fn give_up(&self, upload: &Upload, why: &str) -> Result<(), VaultError> {
        if let Some(mut taken) = self.uploads.take_resting(upload, self.clock.now()) {
            tracing::info!(member = %upload.member, size = upload.size, why, "gave up an upload");
            taken.intake = None;
            self.store.forget(upload)?;
            taken.gone();
        }
        Ok(())
    }

    /// Sees to it that one more upload is not one too many.
    fn make_way(&self, upload: &Upload, now: Timestamp) -> Result<(), VaultError> {
        let organisation = &upload.member.organisation;
        loop {
            let (all, of_one) = self.uploads.counts(upload);
            let limit = (Resource::UnfinishedOfOne, UNFINISHED_OF_ONE_MAX);
            let over = match within(organisation, limit, of_one, 1) {
                Err(over) => Some((over, Whose::Member)),
                Ok(()) => within(organisation, (Resource::Unfinished, UNFINISHED_MAX), all, 1)
                    .err()
                    .map(|over| (over, Whose::Organisation(organisation.clone()))),
            };
            let (over, whose) = match over {
                Some((over, whose)) => (VaultError::Quota(over), whose),
                None if self.uploads.are_all() => (VaultError::Unavailable, Whose::Anybody),
                None => return Ok(()),
            };
            let gives_way = self.uploads.gives_way(upload, now, whose).ok_or(over)?;
            self.give_up(&gives_way, "there were too many")?;
        }
    }

    /// Reserves what an upload will take up of its organisation's quota, and of everybody's.
    fn reserve_upload(&self, upload: &Upload, now: Timestamp) -> Result<Reservation, VaultError> {
        let organisation = &upload.member.organisation;
        let bytes = reserved_for(upload);
        loop {
            let short = match self.reserve(organisation, bytes) {
                Ok(reservation) => return Ok(reservation),
                Err(short) => short,
            };
            let whose = match &short {
                Short::Own(_) => Whose::Organisation(organisation.clone()),
                Short::Total { .. } => Whose::Anybody,
                Short::Unread(_) => return Err(short.into()),
            };
            let gives_way = self.uploads.gives_way(upload, now, whose).ok_or(short)?;
            self.give_up(&gives_way, "its part of the quota was needed")?;
        }
    }

    /// Reserves a deposit's part of its organisation's quota, and of everybody's.
    pub(super) fn reserve(
        &self,
        organisation: &OrganisationName,
        bytes: u64,
    ) -> Result<Reservation, Short> {
        let stored = || {
            let mut states = States::default();
            self.load(&mut states, [Key::Usage(organisation.clone())])?;
            Ok(states.usage(organisation).copied().unwrap_or_default())
        };
        self.reserved.deposit(&self.quota, organisation, bytes, stored)
    }

    /// Sees to it that the disk has room for all that is still to come.
    fn make_room(&self, upload: &Upload, now: Timestamp) -> Result<(), VaultError> {
        loop {
            let (others, own) = self.uploads.missing(upload);
            let bytes = others.saturating_add(own).saturating_add(LEFT_BYTES);
            if self.store.has_room_for(bytes) {
                return Ok(());
            }
            let Some(gives_way) = self.uploads.gives_way(upload, now, Whose::Anybody) else {
                self.measures.refused_as_full();
                return Err(VaultError::Full);
            };
            self.give_up(&gives_way, "its room was needed")?;
        }
    }
}

fn reserved_for(upload: &Upload) -> u64 {
    upload.size.saturating_add(STATEMENT_BYTES)
}

/// What an earlier run of the vault has left of uploads, and what is stored besides. They are dated by
/// their files, but never later than now.
pub(super) fn left<S: Store>(
    store: &S,
    now: Timestamp,
) -> Result<(Reserved, Uploads<S::Staged>), ReadError> {
    let reserved = Reserved::beside(stored_bytes(store)?);
    let uploads = Uploads::default();
    for (upload, since) in store.unfinished()? {
        let reservation = reserved.again(&upload.member.organisation, reserved_for(&upload));
        uploads.found(upload, reservation, since.min(now));
    }
    Ok((reserved, uploads))
}

/// What all organisations have stored together.
fn stored_bytes<S: Store>(store: &S) -> Result<u64, ReadError> {
    const PAGE: usize = 1_000;
    let (mut bytes, mut after) = (0u64, None::<String>);
    loop {
        let page = store.keys(Key::USAGE_PREFIX, after.as_deref(), PAGE)?;
        for name in &page {
            let name = name.strip_prefix(Key::USAGE_PREFIX).unwrap_or_default();
            let Ok(organisation) = name.parse::<OrganisationName>() else { continue };
            let mut states = States::default();
            let key = Key::Usage(organisation.clone());
            records::load(&mut states, [key], &records::of(store))?;
            let usage: Usage = states.usage(&organisation).copied().unwrap_or_default();
            bytes = bytes.saturating_add(usage.bytes);
        }
        match page.into_iter().last() {
            Some(last) => after = Some(last),
            None => return Ok(bytes),
        }
    }
}
