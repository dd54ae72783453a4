//! Bundles: taken in with their statements, handed out to who requested them.

use std::sync::Arc;

use bytes::{Buf as _, Bytes as Buffer};

use crate::domain::event::{Note, SignedText};
use crate::domain::id::DepositId;
use crate::domain::refusal::Refusal;
use crate::domain::statement::{Deposit, Retrieval, Stated, Statement};
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::store::{Blob, Bundle as _, ReadError, Store, Upload};
use crate::vault::attachments;
use crate::vault::attempts::Tried;
use crate::vault::committer::{Done, Work};
use crate::vault::error::VaultError;
use crate::vault::intake::check_small;
use crate::vault::quota::Reservation;
use crate::vault::upload::STATEMENT_BYTES;
use crate::vault::{Group, Talker, Vault, verify};

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

/// A deposit that was judged, as far as that goes in one turn.
enum Judged<S: Store> {
    /// For the committer, with what is reserved for it: its bundle is small and here, or it was accepted
    /// before, and is answered once more.
    Ready(Work<S>, Option<Reservation>),
    /// Its bundle was uploaded by itself.
    Large(Group, Deposit),
}

impl<S: Store> Vault<S> {
    /// Takes a deposit: with a small bundle, or with none where this member has uploaded it. Bundle and
    /// event are durable on return.
    pub async fn deposit(
        self: &Arc<Self>,
        talker: Talker,
        signed: SignedText,
        bundle: Buffer,
    ) -> Result<Done, VaultError> {
        let on_the_way = self.committer.expect();
        let (tried, judged) = self
            .blocking({
                let talker = talker.clone();
                move |vault| {
                    let group = verify(vec![signed])?;
                    let tried = Tried::to_state(&talker, &group);
                    Ok((tried, vault.may_be_deposited(&talker, group, bundle)))
                }
            })
            .await?;
        drop(on_the_way);
        let done = async {
            match judged? {
                Judged::Ready(work, reservation) => {
                    let done = self.committer.submit(work).await;
                    // Only now: what is stored by this is counted from its event.
                    drop(reservation);
                    done
                }
                Judged::Large(group, deposit) => {
                    self.deposit_uploaded(&talker, group, deposit).await
                }
            }
        };
        self.telling(tried, done.await).await
    }

    fn may_be_deposited(
        &self,
        talker: &Talker,
        group: Group,
        bundle: Buffer,
    ) -> Result<Judged<S>, VaultError> {
        let [(_, stated)] = group.as_slice() else {
            return Err(VaultError::Malformed("not a deposit"));
        };
        let Statement::Deposit(deposit) = stated.statement.clone() else {
            return Err(VaultError::Malformed("not a deposit"));
        };
        self.may_carry(talker, stated)?;
        if self.prepare(&group, Vec::new())?.is_known {
            let work = Work::Statements { group, blobs: Vec::new(), bundle: None };
            return Ok(Judged::Ready(work, None));
        }
        match deposit.size <= Blob::BYTES_MAX as u64 {
            true => self.may_ride_in_the_journal(group, &deposit, bundle),
            false if bundle.is_empty() => Ok(Judged::Large(group, deposit)),
            false => Err(VaultError::Malformed("a large bundle is uploaded by itself")),
        }
    }

    fn may_ride_in_the_journal(
        &self,
        group: Group,
        deposit: &Deposit,
        bundle: Buffer,
    ) -> Result<Judged<S>, VaultError> {
        check_small(&bundle, deposit).map_err(VaultError::Bundle)?;
        if !self.store.has_room_for(deposit.size) {
            self.measures.refused_as_full();
            return Err(VaultError::Full);
        }
        let bytes = deposit.size + length(&group);
        let reservation = self.reserve(&deposit.made.by.organisation, bytes)?;
        let blobs = vec![Blob { name: id(&group)?.to_string(), bytes: bundle.into() }];
        Ok(Judged::Ready(Work::Statements { group, blobs, bundle: None }, Some(reservation)))
    }

    /// A bundle that was uploaded.
    async fn deposit_uploaded(
        self: &Arc<Self>,
        talker: &Talker,
        group: Group,
        deposit: Deposit,
    ) -> Result<Done, VaultError> {
        let upload = Upload {
            member: self.reader(talker)?,
            agreement: deposit.ground.agreement.clone(),
            header_sha256: deposit.header_sha256,
            size: deposit.size,
        };
        let taken = self.take_up(upload, false).await?.ok_or(VaultError::NotUploaded)?;
        let (mut taken, size) = self.reopen(taken).await?;
        if size < deposit.size {
            return Err(VaultError::NotUploaded);
        }
        let intake = taken.intake.take().ok_or(VaultError::Unavailable)?;
        let handed = self.blocking(move |vault| {
            let staged = intake.hand_over(&deposit)?;
            // Of so much a part was reserved.
            let beyond = length(&group).saturating_sub(STATEMENT_BYTES);
            let reservation = match beyond {
                0 => None,
                beyond => Some(vault.reserve(&deposit.made.by.organisation, beyond)?),
            };
            let bundle = Some((id(&group)?, staged));
            Ok((Work::Statements { group, blobs: Vec::new(), bundle }, reservation))
        });
        let (work, reservation) = match handed.await {
            Ok(handed) => handed,
            // Another digest than was stated: what came is of no use.
            Err(fault @ (VaultError::Bundle(_) | VaultError::Disk(_))) => {
                self.forget(taken).await?;
                return Err(fault);
            }
            Err(fault) => return Err(fault),
        };
        let done = self.committer.submit(work).await;
        if done.is_ok() {
            taken.gone();
        }
        drop(reservation);
        done
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

fn id(group: &[(SignedText, Stated)]) -> Result<DepositId, VaultError> {
    let [(_, stated)] = group else { return Err(VaultError::Malformed("not a deposit")) };
    Ok(DepositId::of(&stated.digest))
}

fn length(group: &[(SignedText, Stated)]) -> u64 {
    group.iter().map(|(signed, _)| signed.statement.len() as u64).sum()
}

/// The journal has it, as its event is there: it is the index that has lost it.
fn lost(what: String) -> ReadError {
    ReadError::Index { what, how: "it is recorded, but is not there".to_owned() }
}
