//! Bundles: taken in while they stream, handed out to who requested them.

use std::sync::Arc;

use bytes::{Buf as _, Bytes as Buffer};

use crate::domain::event::{Note, SignedText};
use crate::domain::id::DepositId;
use crate::domain::refusal::Refusal;
use crate::domain::statement::{Retrieval, Stated, Statement};
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::store::{Blob, Bundle as _, ReadError, Store};
use crate::vault::attachments;
use crate::vault::attempts::Tried;
use crate::vault::committer::{Done, Work};
use crate::vault::error::VaultError;
use crate::vault::intake::{Arrived, Intake};
use crate::vault::quota::Reservation;
use crate::vault::{Talker, Vault, verify};

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

impl<S: Store> BundleBytes<S> {
    fn size(&self) -> u64 {
        match self {
            Self::Small(bytes) => bytes.len() as u64,
            Self::Large(bundle) => bundle.size(),
        }
    }

    /// Leaves out what is before this byte, which is at most the size.
    fn seek(&mut self, from: u64) -> Result<(), ReadError> {
        match self {
            Self::Small(bytes) => {
                bytes.advance(usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len()));
                Ok(())
            }
            Self::Large(bundle) => bundle.seek(from),
        }
    }
}

/// A deposit whose bytes are being taken. Dropped before its end, it leaves nothing.
pub struct Incoming<S: Store> {
    vault: Arc<Vault<S>>,
    talker: Talker,
    group: Vec<(SignedText, Stated)>,
    id: DepositId,
    intake: Intake<S>,
    reservation: Option<Reservation>,
    tried: Tried,
}

impl<S: Store> Incoming<S> {
    /// Takes the next bytes.
    pub async fn write(self, bytes: Buffer) -> Result<Self, VaultError> {
        let mut incoming = self;
        let written = tokio::task::spawn_blocking(move || {
            let standing = incoming.vault.still_stands(&incoming.talker);
            let written = standing.and_then(|()| incoming.intake.write(&bytes));
            (incoming, written)
        });
        match written.await.map_err(|_| VaultError::Unavailable)? {
            (incoming, Ok(())) => Ok(incoming),
            (Self { vault, tried, .. }, Err(refused)) => vault.telling(tried, Err(refused)).await,
        }
    }

    /// Ends the bundle; bundle and event are durable on return.
    pub async fn finish(self) -> Result<Done, VaultError> {
        let Self { vault, group, id, intake, talker: _, reservation, tried } = self;
        let done = async {
            let arrived = tokio::task::spawn_blocking(move || intake.finish()).await;
            let (mut blobs, mut bundle) = (Vec::new(), None);
            match arrived.map_err(|_| VaultError::Unavailable)?? {
                Arrived::Small(bytes) => blobs.push(Blob { name: id.to_string(), bytes }),
                Arrived::Large(staged) => bundle = Some((id, staged)),
            }
            vault.committer.submit(Work::Statements { group, blobs, bundle }).await
        };
        let done = done.await;
        // Only now: what is stored by this is counted from its event.
        drop(reservation);
        vault.telling(tried, done).await
    }
}

impl<S: Store> Vault<S> {
    /// Begins a deposit: judges its statement before any of its bytes are taken.
    pub async fn begin_deposit(
        self: &Arc<Self>,
        talker: Talker,
        signed: SignedText,
    ) -> Result<Incoming<S>, VaultError> {
        let (tried, begun) = self
            .blocking(move |vault| {
                let group = verify(vec![signed])?;
                let tried = Tried::to_state(&talker, &group);
                Ok((tried.clone(), vault.admit(talker, group, tried)))
            })
            .await?;
        self.telling(tried, begun).await
    }

    fn admit(
        self: &Arc<Self>,
        talker: Talker,
        group: Vec<(SignedText, Stated)>,
        tried: Tried,
    ) -> Result<Incoming<S>, VaultError> {
        let [(signed, stated)] = group.as_slice() else {
            return Err(VaultError::Malformed("not a deposit"));
        };
        let Statement::Deposit(deposit) = stated.statement.clone() else {
            return Err(VaultError::Malformed("not a deposit"));
        };
        self.may_carry(&talker, stated)?;
        self.prepare(&group, Vec::new())?;
        let id = DepositId::of(&stated.digest);
        let bytes = deposit.size.saturating_add(signed.statement.len() as u64);
        let reservation = self.reserve(stated, bytes)?;
        let intake = Intake::begin(self.store.as_ref(), deposit).inspect_err(|fault| {
            if let VaultError::Full = fault {
                self.measures.refused_as_full();
            }
        })?;
        Ok(Incoming { vault: Arc::clone(self), talker, group, id, intake, reservation, tried })
    }

    /// Reserves a deposit's part of its organisation's quota. One that was accepted before is
    /// answered once more and takes up nothing.
    fn reserve(&self, stated: &Stated, bytes: u64) -> Result<Option<Reservation>, VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Statement(stated.digest)])?;
        if states.statement(&stated.digest).is_some() {
            return Ok(None);
        }
        let own = &stated.statement.made().by.organisation;
        let stored = || {
            self.load(&mut states, [Key::Usage(own.clone())])?;
            Ok(states.usage(own).copied().unwrap_or_default())
        };
        self.reserved.deposit::<VaultError>(&self.quota, own, bytes, stored).map(Some)
    }

    /// Hands a released bundle to its requester, from this byte on. That it does is durable on
    /// return, also where it goes on with what broke off.
    pub async fn retrieve(
        self: &Arc<Self>,
        talker: Talker,
        signed: SignedText,
        from: u64,
    ) -> Result<Delivery<S>, VaultError> {
        let (tried, judged) = self
            .blocking(move |vault| {
                let group = verify(vec![signed])?;
                let tried = Tried::to_state(&talker, &group);
                Ok((tried, vault.may_be_delivered(&talker, &group).map(|it| (group, it))))
            })
            .await?;
        let delivered = async {
            let (group, retrieval) = judged?;
            self.hand_out(group, retrieval, from).await
        };
        self.telling(tried, delivered.await).await
    }

    fn may_be_delivered(
        &self,
        talker: &Talker,
        group: &[(SignedText, Stated)],
    ) -> Result<Retrieval, VaultError> {
        let [(_, stated)] = group else {
            return Err(VaultError::Malformed("not a retrieval"));
        };
        let Statement::Retrieval(retrieval) = stated.statement.clone() else {
            return Err(VaultError::Malformed("not a retrieval"));
        };
        self.may_carry(talker, stated)?;
        // Others may carry statements in, but deliveries go to who is named as receiver.
        if self.reader(talker)? != retrieval.made.by {
            return Err(Refusal::WrongKey(retrieval.made.by).into());
        }
        self.prepare(group, Vec::new())?;
        self.holds_still(group)?;
        Ok(retrieval)
    }

    async fn hand_out(
        self: &Arc<Self>,
        group: Vec<(SignedText, Stated)>,
        retrieval: Retrieval,
        from: u64,
    ) -> Result<Delivery<S>, VaultError> {
        let (contributions, bundle) = self.gather(&retrieval, from).await?;
        let work = Work::Statements { group, blobs: Vec::new(), bundle: None };
        let done = self.committer.submit(work).await?;
        let (by, request) = (retrieval.made.by, retrieval.request.id);
        let stream = Stream::AgreementAccesses(retrieval.ground.agreement);
        let note = Note::HandedOut { by, request };
        self.committer.submit(Work::Note { stream, note }).await?;
        Ok(Delivery { contributions, done, bundle })
    }

    /// What is handed out, found before the hand-out is entered.
    async fn gather(
        self: &Arc<Self>,
        retrieval: &Retrieval,
        from: u64,
    ) -> Result<(Vec<Vec<u8>>, BundleBytes<S>), VaultError> {
        let id = retrieval.request.id.clone();
        let found = self.blocking(move |vault| {
            let mut states = States::default();
            vault.load(&mut states, [Key::Request(id.clone())])?;
            let request = states.request(&id).ok_or_else(|| Refusal::NotFound(id.to_string()))?;
            let mut contributions = Vec::with_capacity(request.contributions.len());
            for spent in &request.contributions {
                let name = attachments::name(&spent.contribution_sha256);
                // Only a recovered vault may have events without what they name.
                contributions.push(match vault.store.blob(&name)? {
                    Some(bytes) => bytes,
                    None if vault.log().generation > 1 => {
                        return Err(VaultError::ContributionLost(id));
                    }
                    None => return Err(lost(name).into()),
                });
            }
            Ok((contributions, vault.bundle(&request.deposit)))
        });
        let (contributions, bundle) = found.await?;
        // Only what is wrong with the bundle's own bytes takes the bundle out of service.
        if let Err(ReadError::Damaged { .. }) = &bundle {
            self.quarantine(retrieval).await?;
        }
        let mut bundle = bundle?;
        if from > bundle.size() {
            return Err(VaultError::Malformed("the bundle ends before the delivery is to begin"));
        }
        bundle.seek(from)?;
        Ok((contributions, bundle))
    }

    /// A deposit's bundle, wherever it lies.
    pub(super) fn bundle(&self, deposit: &DepositId) -> Result<BundleBytes<S>, ReadError> {
        if let Some(bytes) = self.store.blob(deposit.as_str())? {
            return Ok(BundleBytes::Small(bytes.into()));
        }
        let bundle = self.store.bundle(deposit)?;
        Ok(BundleBytes::Large(bundle.ok_or_else(|| lost(deposit.to_string()))?))
    }
}

/// The journal has it, as its event is there: it is the index that has lost it.
fn lost(what: String) -> ReadError {
    ReadError::Index { what, how: "it is recorded, but is not there".to_owned() }
}
