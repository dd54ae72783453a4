//! The vault: use cases over the store, and the committer behind them.
//!
//! Every write goes the same way: signatures and proofs are checked by the caller's task, the
//! rules are asked once for an early answer, and the committer asks them again on the state that
//! counts. Every read is entered into the ledger before anything is shown.

pub mod clock;
mod committer;
pub mod error;
mod intake;
mod looks;
mod records;

use std::sync::Arc;

use bytes::Bytes as Buffer;
use sha2::Digest as _;
use tokio::sync::watch;

pub use crate::vault::clock::{Clock, SystemClock};
pub use crate::vault::committer::{Done, Scribe};
pub use crate::vault::error::VaultError;
pub use crate::vault::intake::BundleFault;
pub use crate::vault::records::DomainProjector;

use crate::crypto::share::SEALED_SHARE_BYTES_MAX;
use crate::crypto::{header, proofs, signature, statement};
use crate::domain::event::{Look, Note, SignedText};
use crate::domain::id::{
    AgreementId, Bytes, DepositId, Digest, Fingerprint, MemberId, MemberPath, OrganisationName,
};
use crate::domain::organisation::Member;
use crate::domain::refusal::Refusal;
use crate::domain::rules::{self, Circumstances};
use crate::domain::statement::{Join, Log, Retrieval, Stated, Statement};
use crate::domain::states::{Key, States, Vault as Founded};
use crate::domain::stream::Stream;
use crate::ledger::Entry;
use crate::ledger::head::SignedHead;
use crate::store::{Blob, ReadError, Store};
use crate::vault::committer::{Committer, Work};
use crate::vault::intake::{Arrived, Intake};
use crate::vault::looks::Looks;

/// Whoever is connected, as its certificate says. May talk; whoever signed has acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Talker {
    /// Who runs the vault.
    Operator,
    /// A member.
    Member {
        /// Which, by name.
        path: MemberPath,
        /// Which, by keys.
        id: MemberId,
    },
}

/// A vault over a store.
pub struct Vault<S: Store> {
    store: Arc<S>,
    scribe: Arc<Scribe>,
    clock: Arc<dyn Clock>,
    committer: Committer<S>,
    looks: Looks,
    failed: watch::Receiver<bool>,
}

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
    stream: Stream,
    last: u64,
    /// Where the stream stands.
    pub head: SignedHead,
}

/// What a requester is handed.
pub struct Delivery<S: Store> {
    /// Each holder's contribution, as JSON.
    pub contributions: Vec<Vec<u8>>,
    /// The retrieval's event.
    pub done: Done,
    /// The bundle.
    pub bundle: BundleBytes<S>,
}

/// A stored bundle's bytes.
pub enum BundleBytes<S: Store> {
    /// All of them.
    Small(Buffer),
    /// Piece by piece.
    Large(S::Bundle),
}

impl<S: Store> Vault<S> {
    /// Opens a vault over a store.
    pub fn open(store: S, scribe: Scribe, clock: Arc<dyn Clock>) -> Result<Self, ReadError> {
        let (store, scribe) = (Arc::new(store), Arc::new(scribe));
        let (failing, failed) = watch::channel(false);
        let (desk_store, desk_scribe) = (Arc::clone(&store), Arc::clone(&scribe));
        let committer = Committer::start(desk_store, desk_scribe, Arc::clone(&clock), failing)?;
        Ok(Self { store, scribe, clock, committer, looks: Looks::default(), failed })
    }

    /// Makes the first event of a new vault.
    pub async fn found(&self, note: Note) -> Result<(), VaultError> {
        self.committer.submit(Work::Note { stream: Stream::Vault, note }).await.map(|_| ())
    }

    /// Ends the committer, after everything handed in has been committed, and closes the store.
    pub async fn close(&self) {
        self.committer.close().await;
        if let Err(fault) = self.store.settle() {
            // What was acknowledged is synced; the next start only has more to catch up with.
            tracing::warn!(error = &fault as &dyn std::error::Error, "not closed cleanly");
        }
    }

    /// Becomes true when a write ended with unknown outcome: the process must then end.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.failed.clone()
    }

    /// Which log this vault keeps.
    pub fn log(&self) -> &Log {
        &self.scribe.log
    }

    /// What the vault was founded as.
    pub fn founded(&self) -> Result<Founded, VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Vault])?;
        states.vault().cloned().ok_or(VaultError::Unavailable)
    }

    /// Accepts statements together or not at all, durable on return.
    pub async fn submit(
        self: &Arc<Self>,
        talker: Talker,
        group: Vec<SignedText>,
        attachments: Vec<Buffer>,
    ) -> Result<Done, VaultError> {
        let (group, blobs) = self
            .blocking(move |vault| {
                let group = verify(group)?;
                if group.iter().any(|(_, stated)| !may_be_submitted(&stated.statement)) {
                    return Err(VaultError::Malformed(
                        "statements of this type are handed in elsewhere",
                    ));
                }
                for (_, stated) in &group {
                    vault.may_carry(&talker, stated)?;
                }
                let blobs = vault.prepare(&group, attachments)?;
                Ok((group, blobs))
            })
            .await?;
        self.committer.submit(Work::Statements { group, blobs, bundle: None }).await
    }

    /// Lets a member in who has the invitation's secret and asks to be certified for this
    /// request. Returns the new member's id.
    pub async fn join(
        self: &Arc<Self>,
        secret: &[u8],
        group: Vec<SignedText>,
        certificate_request: &[u8],
    ) -> Result<(MemberPath, MemberId), VaultError> {
        let secret_sha256 = secret_sha256(secret);
        let request_sha256 = signature::sha256(certificate_request);
        let (group, path, id) = self
            .blocking(move |vault| {
                let group = verify(group)?;
                let malformed = VaultError::Malformed("not the statements of a joining");
                let (join, digest) = joining(&group).ok_or(malformed)?;
                if join.secret_sha256 != secret_sha256
                    || join.certificate_request_sha256 != request_sha256
                {
                    return Err(Refusal::NotInvited(join.made.by.clone()).into());
                }
                let (path, id) = (join.made.by.clone(), MemberId::of(&digest));
                vault.prepare(&group, Vec::new())?;
                Ok((group, path, id))
            })
            .await?;
        self.committer.submit(Work::Statements { group, blobs: Vec::new(), bundle: None }).await?;
        Ok((path, id))
    }

    /// Accepts a renewal; returns who is to be certified.
    pub async fn renew(
        self: &Arc<Self>,
        signed: SignedText,
        certificate_request: &[u8],
    ) -> Result<Talker, VaultError> {
        let request_sha256 = signature::sha256(certificate_request);
        let (group, talker) = self
            .blocking(move |vault| {
                let group = verify(vec![signed])?;
                let [(_, Stated { statement: Statement::Renewal(renewal), .. })] = group.as_slice()
                else {
                    return Err(VaultError::Malformed("not a renewal"));
                };
                if renewal.certificate_request_sha256 != request_sha256 {
                    return Err(Refusal::Mismatch("the digest of the certificate request").into());
                }
                let path = renewal.made.by.clone();
                vault.prepare(&group, Vec::new())?;
                let talker = match path == MemberPath::operator() {
                    true => Talker::Operator,
                    false => {
                        let id = vault.member(&path)?.id;
                        Talker::Member { path, id }
                    }
                };
                Ok((group, talker))
            })
            .await?;
        self.committer.submit(Work::Statements { group, blobs: Vec::new(), bundle: None }).await?;
        Ok(talker)
    }

    /// Opens a stream for reading. That it was looked at is durable on return.
    pub async fn read(
        self: &Arc<Self>,
        talker: Talker,
        stream: Stream,
        named: Option<Fingerprint>,
    ) -> Result<Reading, VaultError> {
        let reader = self.reader(&talker)?;
        self.may_read(&reader, &stream, named)?;
        let look = match &stream {
            Stream::AgreementAccesses(_) | Stream::OrganisationAccesses(_) => Look::Accesses,
            Stream::Vault | Stream::Organisation(_) | Stream::Agreement(_) => Look::Stream,
        };
        self.enter(&reader, &stream, look).await?;
        let stands = self.store.head(&stream)?;
        let head = self.scribe.sign(&stream, self.clock.now(), stands)?;
        Ok(Reading { stream, last: stands.sequence, head })
    }

    /// The events of a stream that was opened for reading, from some number on.
    pub fn part(&self, reading: &Reading, from: u64, limit: usize) -> Result<Part, VaultError> {
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
        let reader = self.reader(&talker)?;
        let stream = Stream::Agreement(id.clone());
        self.may_read(&reader, &stream, None)?;
        let mut states = States::default();
        self.load(&mut states, [Key::Agreement(id.clone())])?;
        let key = states.agreement(&id).and_then(|agreement| agreement.release_key.as_ref());
        let digest = key.and_then(|key| key.shares.get(&reader)).copied();
        let missing = || Refusal::NotFound(format!("a share for {reader}"));
        let digest = digest.ok_or_else(missing)?;
        self.enter(&reader, &stream, Look::Share).await?;
        Ok(self.store.blob(&attachment_name(&digest))?.ok_or_else(missing)?)
    }

    /// Begins a deposit: judges its statement before any of its bytes are taken.
    pub async fn begin_deposit(
        self: &Arc<Self>,
        talker: Talker,
        signed: SignedText,
    ) -> Result<Incoming<S>, VaultError> {
        self.blocking(move |vault| {
            let group = verify(vec![signed])?;
            let [(_, stated)] = group.as_slice() else {
                return Err(VaultError::Malformed("not a deposit"));
            };
            let Statement::Deposit(deposit) = stated.statement.clone() else {
                return Err(VaultError::Malformed("not a deposit"));
            };
            vault.may_carry(&talker, stated)?;
            vault.prepare(&group, Vec::new())?;
            let id = DepositId::of(&stated.digest);
            let intake = Intake::begin(vault.store.as_ref(), deposit)?;
            Ok(Incoming { vault: Arc::clone(vault), group, id, intake })
        })
        .await
    }

    /// Hands a released bundle to its requester. That it does is durable on return.
    pub async fn retrieve(
        self: &Arc<Self>,
        talker: Talker,
        signed: SignedText,
    ) -> Result<Delivery<S>, VaultError> {
        let (group, retrieval) = self
            .blocking(move |vault| {
                let group = verify(vec![signed])?;
                let [(_, stated)] = group.as_slice() else {
                    return Err(VaultError::Malformed("not a retrieval"));
                };
                let Statement::Retrieval(retrieval) = stated.statement.clone() else {
                    return Err(VaultError::Malformed("not a retrieval"));
                };
                vault.may_carry(&talker, stated)?;
                vault.prepare(&group, Vec::new())?;
                Ok((group, retrieval))
            })
            .await?;
        let (contributions, bundle) = self.gather(&retrieval).await?;
        let work = Work::Statements { group, blobs: Vec::new(), bundle: None };
        let done = self.committer.submit(work).await?;
        let (by, request) = (retrieval.made.by, retrieval.request.id);
        let stream = Stream::AgreementAccesses(retrieval.ground.agreement);
        let note = Note::HandedOut { by, request };
        self.committer.submit(Work::Note { stream, note }).await?;
        Ok(Delivery { contributions, done, bundle })
    }

    /// Takes a bundle out of service that was found damaged while it was read.
    pub async fn quarantine(&self, retrieval: &Retrieval) -> Result<(), VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Request(retrieval.request.id.clone())])?;
        let Some(request) = states.request(&retrieval.request.id) else { return Ok(()) };
        let note = Note::Quarantined { deposit: request.deposit.clone() };
        let stream = Stream::Agreement(retrieval.ground.agreement.clone());
        self.committer.submit(Work::Note { stream, note }).await.map(|_| ())
    }

    /// What is handed out, found before the hand-out is entered.
    async fn gather(
        self: &Arc<Self>,
        retrieval: &Retrieval,
    ) -> Result<(Vec<Vec<u8>>, BundleBytes<S>), VaultError> {
        let id = retrieval.request.id.clone();
        let found = self
            .blocking(move |vault| {
                let mut states = States::default();
                vault.load(&mut states, [Key::Request(id.clone())])?;
                let request =
                    states.request(&id).ok_or_else(|| Refusal::NotFound(id.to_string()))?;
                let missing = |what: String| ReadError::Damaged {
                    what,
                    how: "it is recorded, but is not there".to_owned(),
                };
                let mut contributions = Vec::with_capacity(request.contributions.len());
                for spent in &request.contributions {
                    let name = attachment_name(&spent.contribution_sha256);
                    contributions.push(vault.store.blob(&name)?.ok_or_else(|| missing(name))?);
                }
                let deposit = &request.deposit;
                let bundle = match vault.store.blob(deposit.as_str())? {
                    Some(bytes) => BundleBytes::Small(bytes.into()),
                    None => {
                        let bundle = vault.store.bundle(deposit)?;
                        BundleBytes::Large(bundle.ok_or_else(|| missing(deposit.to_string()))?)
                    }
                };
                Ok((contributions, bundle))
            })
            .await;
        if let Err(VaultError::Read(ReadError::Damaged { .. })) = &found {
            self.quarantine(retrieval).await?;
        }
        found
    }

    /// Checks what needs no lock: rules on the state as committed, proofs, attachments. The
    /// committer asks the rules again.
    fn prepare(
        &self,
        group: &[(SignedText, Stated)],
        attachments: Vec<Buffer>,
    ) -> Result<Vec<Blob>, VaultError> {
        let mut states = States::default();
        let mut wanted = Attachments::new(attachments)?;
        for (_, stated) in group {
            records::load_for(&mut states, stated, &|key| self.store.record(key))?;
            if states.statement(&stated.digest).is_some() {
                continue;
            }
            let saw = committer::saw(self.store.as_ref(), stated)?;
            let circumstances =
                Circumstances { log: self.scribe.log.clone(), now: self.clock.now(), saw };
            rules::decide(&states, stated, &circumstances)?;
            proofs::check(&states, stated).map_err(VaultError::Unproven)?;
            wanted.take(&states, stated)?;
            rules::apply(&mut states, stated, circumstances.now, 0);
        }
        wanted.finish()
    }

    /// Statements about an agreement are carried by its parties; strangers learn nothing.
    fn may_carry(&self, talker: &Talker, stated: &Stated) -> Result<(), VaultError> {
        match (talker, rules::stream(stated)) {
            (Talker::Operator, _) if matches!(stated.statement, Statement::Invitation(_)) => Ok(()),
            (Talker::Operator, stream) => Err(Refusal::NotFound(stream.to_string()).into()),
            (Talker::Member { .. }, Stream::Agreement(id)) => {
                let reader = self.reader(talker)?;
                if let Statement::Proposal(proposal) = &stated.statement {
                    let is_party = proposal.terms.role_of(&reader.organisation).is_some();
                    return Ok(is_party.then_some(()).ok_or(Refusal::NotFound(id.to_string()))?);
                }
                // A release key's agreement may come with it: the rules alone judge that.
                match stated.statement.ground() {
                    Some(_) => self.may_read(&reader, &Stream::Agreement(id), None),
                    None => Ok(()),
                }
            }
            (Talker::Member { .. }, _) => self.reader(talker).map(|_| ()),
        }
    }

    /// The member behind a connection, if it still has the standing to look at things.
    fn reader(&self, talker: &Talker) -> Result<MemberPath, VaultError> {
        let Talker::Member { path, id } = talker else {
            let operator = MemberPath::operator();
            return Err(Refusal::NotFound(operator.to_string()).into());
        };
        let member = self.member(path)?;
        if member.id != *id {
            return Err(Refusal::WrongKey(path.clone()).into());
        }
        Ok(path.clone())
    }

    fn member(&self, path: &MemberPath) -> Result<Member, VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Organisation(path.organisation.clone())])?;
        let organisation = states.organisation(&path.organisation);
        let member = organisation.and_then(|organisation| organisation.member(&path.name));
        Ok(member.cloned().ok_or_else(|| Refusal::NotFound(path.to_string()))?)
    }

    fn may_read(
        &self,
        reader: &MemberPath,
        stream: &Stream,
        named: Option<Fingerprint>,
    ) -> Result<(), VaultError> {
        let mut states = States::default();
        let (mut shares_agreement, mut knows) = (false, false);
        match stream {
            Stream::Agreement(id) | Stream::AgreementAccesses(id) => {
                // A pending member has shown no colleague who it is.
                if !self.member(reader)?.is_active() {
                    return Err(Refusal::Pending(reader.clone()).into());
                }
                self.load(&mut states, [Key::Agreement(id.clone())])?;
            }
            Stream::Organisation(name) => {
                self.load(&mut states, [Key::Organisation(name.clone())])?;
                let key = states.organisation(name).and_then(|organisation| organisation.key);
                knows = named.is_some() && key.as_ref().map(signature::fingerprint) == named;
                let active = self.member(reader)?.is_active();
                shares_agreement = active && self.share_agreement(reader, name)?;
            }
            Stream::OrganisationAccesses(_) | Stream::Vault => {}
        }
        Ok(rules::may_read(&states, stream, reader, shares_agreement, knows)?)
    }

    fn share_agreement(
        &self,
        reader: &MemberPath,
        other: &OrganisationName,
    ) -> Result<bool, VaultError> {
        const PAGE: usize = 1_000;
        let mut after = None;
        loop {
            let page = self.parties(&reader.organisation, after.as_ref(), PAGE)?;
            for id in &page {
                let key = Key::Party(other.clone(), id.clone()).to_string();
                if self.store.record(&key)?.is_some() {
                    return Ok(true);
                }
            }
            match page.into_iter().last() {
                Some(last) => after = Some(last),
                None => return Ok(false),
            }
        }
    }

    fn parties(
        &self,
        organisation: &OrganisationName,
        after: Option<&AgreementId>,
        limit: usize,
    ) -> Result<Vec<AgreementId>, VaultError> {
        let prefix = Key::party_prefix(organisation);
        let after = after.map(|id| format!("{prefix}{id}"));
        let keys = self.store.keys(&prefix, after.as_deref(), limit)?;
        let ids = keys.iter().filter_map(|key| key.strip_prefix(&prefix)?.parse().ok());
        Ok(ids.collect())
    }

    /// Enters that somebody looked, unless an entry of the last minute stands for it.
    async fn enter(
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

    fn load(
        &self,
        states: &mut States,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<(), VaultError> {
        Ok(records::load(states, keys, &|key| self.store.record(key))?)
    }

    /// Runs reckoning and reading where it may block.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let vault = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&vault)).await;
        done.map_err(|_| VaultError::Unavailable)?
    }
}

/// A deposit whose bytes are being taken. Dropped before its end, it leaves nothing.
pub struct Incoming<S: Store> {
    vault: Arc<Vault<S>>,
    group: Vec<(SignedText, Stated)>,
    id: DepositId,
    intake: Intake<S>,
}

impl<S: Store> Incoming<S> {
    /// Takes the next bytes.
    pub async fn write(self, bytes: Buffer) -> Result<Self, VaultError> {
        let mut incoming = self;
        let written = tokio::task::spawn_blocking(move || {
            incoming.intake.write(&bytes)?;
            Ok(incoming)
        });
        written.await.map_err(|_| VaultError::Unavailable)?
    }

    /// Ends the bundle; bundle and event are durable on return.
    pub async fn finish(self) -> Result<Done, VaultError> {
        let Self { vault, group, id, intake } = self;
        let arrived = tokio::task::spawn_blocking(move || intake.finish()).await;
        let (mut blobs, mut bundle) = (Vec::new(), None);
        match arrived.map_err(|_| VaultError::Unavailable)?? {
            Arrived::Small(bytes) => blobs.push(Blob { name: id.to_string(), bytes }),
            Arrived::Large(staged) => bundle = Some((id, staged)),
        }
        vault.committer.submit(Work::Statements { group, blobs, bundle }).await
    }
}

/// What statements name by digest and the vault is to keep.
struct Attachments {
    offered: Vec<(Digest, Buffer)>,
    kept: Vec<Blob>,
}

impl Attachments {
    fn new(offered: Vec<Buffer>) -> Result<Self, VaultError> {
        if offered.iter().any(|bytes| bytes.len() > SEALED_SHARE_BYTES_MAX) {
            return Err(VaultError::Malformed("an attachment is too large"));
        }
        let offered = offered.into_iter().map(|bytes| (signature::sha256(&bytes), bytes));
        Ok(Self { offered: offered.collect(), kept: Vec::new() })
    }

    /// Takes what this statement names.
    fn take(&mut self, states: &States, stated: &Stated) -> Result<(), VaultError> {
        if let Statement::ReleaseKey(s) = &stated.statement {
            s.shares.iter().try_for_each(|share| self.take_share(&share.sha256))?;
        }
        if let Statement::Reseal(s) = &stated.statement {
            self.take_share(&s.share.sha256)?;
        }
        if let Statement::Contribution(s) = &stated.statement {
            let bytes = self.take_named(&s.contribution_sha256)?;
            let unknown = || Refusal::NotFound(s.request.id.to_string());
            let request = states.request(&s.request.id).ok_or_else(unknown)?;
            let holder = &s.made.by.organisation;
            proofs::check_contribution(states, request, holder, &bytes)
                .map_err(VaultError::Unproven)?;
        }
        Ok(())
    }

    /// The vault cannot open a share; that it is sealed at all, it can see.
    fn take_share(&mut self, digest: &Digest) -> Result<(), VaultError> {
        let bytes = self.take_named(digest)?;
        match header::Header::parse(&bytes) {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err(VaultError::Malformed("a sealed share is no age file")),
        }
    }

    fn take_named(&mut self, digest: &Digest) -> Result<Buffer, VaultError> {
        let found = self.offered.iter().position(|(offered, _)| offered == digest);
        let missing = VaultError::Malformed("an attachment that a statement names is missing");
        let (_, bytes) = self.offered.swap_remove(found.ok_or(missing)?);
        self.kept.push(Blob { name: attachment_name(digest), bytes: bytes.to_vec() });
        Ok(bytes)
    }

    fn finish(self) -> Result<Vec<Blob>, VaultError> {
        // A statement accepted before needs its attachments no more, so extra ones are ignored.
        Ok(self.kept)
    }
}

/// The joining among the statements that come with an invitation: alone for a colleague, between
/// the organisation's introduction and the confirmation for its first member.
fn joining(group: &[(SignedText, Stated)]) -> Option<(&Join, Digest)> {
    let statements: Vec<_> = group.iter().map(|(_, stated)| &stated.statement).collect();
    let (join, at) = match statements.as_slice() {
        [Statement::Join(join)] => (join, 0),
        [Statement::Organisation(_), Statement::Join(join), Statement::Confirmation(_)] => {
            (join, 1)
        }
        _ => return None,
    };
    group.get(at).map(|(_, stated)| (join, stated.digest))
}

/// The digest under which a vault knows an invitation's secret.
pub fn secret_sha256(secret: &[u8]) -> Digest {
    let mut hash = sha2::Sha256::new();
    hash.update(b"escrow-vault/invitation-secret/v1\0");
    hash.update(secret);
    Bytes(hash.finalize().into())
}

fn attachment_name(digest: &Digest) -> String {
    format!("attachment/{digest}")
}

fn verify(group: Vec<SignedText>) -> Result<Vec<(SignedText, Stated)>, VaultError> {
    let verified = group.into_iter().map(|signed| {
        let stated = statement::verify(&signed).map_err(VaultError::Statement)?;
        Ok((signed, stated))
    });
    let verified: Vec<_> = verified.collect::<Result<_, VaultError>>()?;
    if verified.is_empty() {
        return Err(VaultError::Malformed("no statement was handed in"));
    }
    Ok(verified)
}

/// Whether statements of this type come by themselves, without a bundle or a certificate.
fn may_be_submitted(statement: &Statement) -> bool {
    match statement {
        Statement::Organisation(_)
        | Statement::Join(_)
        | Statement::Renewal(_)
        | Statement::Deposit(_)
        | Statement::Retrieval(_) => false,
        Statement::Invitation(_)
        | Statement::Confirmation(_)
        | Statement::Proposal(_)
        | Statement::ReleaseKey(_)
        | Statement::Acceptance(_)
        | Statement::Declination(_)
        | Statement::Termination(_)
        | Statement::Reseal(_)
        | Statement::Request(_)
        | Statement::Consent(_)
        | Statement::Contribution(_)
        | Statement::Objection(_)
        | Statement::Withdrawal(_) => true,
    }
}
