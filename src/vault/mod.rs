//! The vault: use cases over the store, and the committer behind them.
//!
//! Every write goes the same way: signatures and proofs are checked by the caller's task, the
//! rules are asked once for an early answer, and the committer asks them again on the state that
//! counts. Every read is entered into the ledger before anything is shown.

mod attachments;
mod attempts;
mod authorities;
pub mod clock;
mod coming;
mod committer;
mod delivery;
pub mod error;
mod halt;
mod intake;
mod known;
mod ledger_key;
mod log;
mod looks;
mod measures;
mod quarantine;
pub mod quota;
mod reading;
mod records;
mod recovery;
mod scribe;
mod scrub;
mod standing;
#[cfg(test)]
mod tests;
mod upload;
mod uploads;
mod usage;
mod watching;
mod witnessed;

use std::sync::Arc;

use bytes::Bytes as Buffer;
use prometheus_client::registry::Registry;
use sha2::Digest as _;
use tokio::sync::watch;

pub use crate::vault::authorities::told_timestamper;
pub use crate::vault::clock::{Clock, SystemClock};
pub use crate::vault::committer::Done;
pub use crate::vault::delivery::{BundleBytes, Delivery};
pub use crate::vault::error::{Interruption, VaultError};
pub use crate::vault::halt::{Halt, Shown};
pub use crate::vault::intake::BundleFault;
pub use crate::vault::ledger_key::LedgerKeys;
pub use crate::vault::log::{Continued, check_log};
pub use crate::vault::quota::{OverQuota, Quota, Resource};
pub use crate::vault::reading::{Part, Reading};
pub use crate::vault::records::DomainProjector;
pub use crate::vault::recovery::Remembered;
pub use crate::vault::scribe::Scribe;
pub use crate::vault::scrub::{Outage, Scrubbed};
pub use crate::vault::upload::{Begun, SYNC_WAIT, Uploading};
pub use crate::vault::watching::{Hint, Watching};
pub use crate::vault::witnessed::Witnessed;

use crate::crypto::proofs::{self, Unproven};
use crate::crypto::{signature, statement};
use crate::domain::chain::chain;
use crate::domain::deposit::Deposit;
use crate::domain::event::{ENGINE, Note, SignedText};
use crate::domain::id::{Bytes, DepositId, Digest, MemberId, MemberPath};
use crate::domain::refusal::Refusal;
use crate::domain::rules::{self, Circumstances};
use crate::domain::statement::{Join, Log, Stated, Statement};
use crate::domain::states::{Key, Record, States, Vault as Founded};
use crate::domain::stream::Stream;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;
use crate::store::{Blob, ReadError, Room, Store};
use crate::vault::attachments::Attachments;
use crate::vault::attempts::{Attempts, Tried};
use crate::vault::clock::Steady;
use crate::vault::committer::{Committer, Desk, Work};
use crate::vault::known::Known;
use crate::vault::log::Publishing;
use crate::vault::looks::Looks;
use crate::vault::measures::Measures;
use crate::vault::quota::Reserved;
use crate::vault::uploads::Uploads;
use crate::vault::watching::Watchers;
use crate::vault::witnessed::Witnessing;

/// Statements that are handed in together, as they were signed and as they read.
type Group = Vec<(SignedText, Stated)>;

/// What is known of statements that may become events.
struct Prepared {
    /// The attachments that they name.
    blobs: Vec<Blob>,
    /// Whether all of them were accepted before.
    is_known: bool,
}

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
    clock: Arc<Steady>,
    committer: Committer<S>,
    known: Arc<Known>,
    looks: Looks,
    attempts: Attempts,
    quota: Quota,
    reserved: Reserved,
    uploads: Uploads<S::Staged>,
    halt: watch::Sender<Option<Halt>>,
    watchers: Watchers,
    measures: Measures,
    witnessing: Witnessing,
}

impl<S: Store> Vault<S> {
    /// Opens a vault over a store, in the log generation that the store tells of.
    pub fn open(
        store: S,
        origin: Text,
        keys: impl Into<LedgerKeys>,
        clock: Arc<dyn Clock>,
        quota: Quota,
    ) -> Result<Self, ReadError> {
        let scribe = Scribe::of(&store, origin, keys.into())?;
        Self::open_in(store, scribe, clock, quota, Publishing::Done)
    }

    /// Opens a vault that signs no checkpoint: for a benchmark of what that costs, and for nothing
    /// else, as no client believes such a vault.
    #[doc(hidden)]
    pub fn open_without_log(
        store: S,
        origin: Text,
        keys: impl Into<LedgerKeys>,
        clock: Arc<dyn Clock>,
        quota: Quota,
    ) -> Result<Self, ReadError> {
        let scribe = Scribe::of(&store, origin, keys.into())?;
        Self::open_in(store, scribe, clock, quota, Publishing::LeftOut)
    }

    fn open_in(
        store: S,
        scribe: Scribe,
        clock: Arc<dyn Clock>,
        quota: Quota,
        log: Publishing,
    ) -> Result<Self, ReadError> {
        let quota = quota.granted();
        let (store, scribe) = (Arc::new(store), Arc::new(scribe));
        let halt = watch::Sender::new(None);
        let watchers = Watchers::default();
        let measures = Measures::default();
        let clock = Arc::new(Steady::from(committer::last_at(store.as_ref())?, clock));
        let (reserved, uploads) = upload::left(store.as_ref(), clock.now())?;
        let told = (watchers.clone(), measures.clone(), reserved.clone());
        let known = Arc::new(Known::default());
        let kept = (store.clone(), known.clone());
        let desk = Desk::new(kept, scribe.clone(), clock.clone(), told, quota, log)?;
        let committer = Committer::start(desk, halt.clone())?;
        let (looks, attempts) = (Looks::default(), Attempts::default());
        Ok(Self {
            store,
            scribe,
            clock,
            committer,
            known,
            looks,
            attempts,
            quota,
            reserved,
            uploads,
            halt,
            watchers,
            measures,
            witnessing: Witnessing::default(),
        })
    }

    /// Makes the first event of a new vault.
    pub async fn found(&self, note: Note) -> Result<(), VaultError> {
        self.committer.submit(Work::Note { stream: Stream::Vault, note }).await.map(|_| ())
    }

    /// Ends what would go on for ever: whoever watches is sent away. Uploads end, too: they are gone on
    /// with later.
    pub fn dismiss(&self) {
        self.watchers.dismiss();
        self.uploads.end();
    }

    /// Ends the committer, after everything handed in has been committed, and closes the store.
    pub async fn close(&self) {
        self.committer.close().await;
        if let Err(fault) = self.store.settle() {
            // What was acknowledged is synced; the next start only has more to catch up with.
            tracing::warn!(error = chain(&fault), "not closed cleanly");
        }
    }

    /// Says when the process must end, and why.
    pub fn halted(&self) -> watch::Receiver<Option<Halt>> {
        self.halt.subscribe()
    }

    /// Turns true when the store cannot go on: the process must end then, too.
    pub fn store_failed(&self) -> watch::Receiver<bool> {
        self.store.failed()
    }

    /// Adds what is counted of commits to what is shown.
    pub fn register(&self, registry: &mut Registry) {
        self.measures.register(registry);
    }

    /// How many events the ledger has.
    pub fn ledger_size(&self) -> u64 {
        self.store.ledger_size()
    }

    /// How much room there is.
    pub fn room(&self) -> Room {
        self.store.room()
    }

    /// What one organisation may take up.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Which log this vault keeps.
    pub fn log(&self) -> &Log {
        &self.scribe.log
    }

    /// Now, by the time that dates everything here: it never runs backwards.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
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
        let on_the_way = self.committer.expect();
        let (tried, prepared) = self
            .blocking(move |vault| {
                let group = verify(group)?;
                let tried = Tried::to_state(&talker, &group);
                Ok((tried, vault.take_in(&talker, group, attachments)))
            })
            .await?;
        drop(on_the_way);
        let done = async {
            let (group, blobs) = prepared?;
            self.enter_all(group, blobs).await
        };
        self.telling(tried, done.await).await
    }

    /// Judges statements that come by themselves, and gathers what they name.
    fn take_in(
        &self,
        talker: &Talker,
        group: Group,
        attachments: Vec<Buffer>,
    ) -> Result<(Group, Vec<Blob>), VaultError> {
        if group.iter().any(|(_, stated)| !may_be_submitted(&stated.statement)) {
            return Err(VaultError::Malformed("statements of this type are handed in elsewhere"));
        }
        for (_, stated) in &group {
            self.may_carry(talker, stated)?;
        }
        let Prepared { blobs, .. } = self.prepare(&group, attachments)?;
        Ok((group, blobs))
    }

    async fn enter_all(
        self: &Arc<Self>,
        group: Group,
        blobs: Vec<Blob>,
    ) -> Result<Done, VaultError> {
        let resumed: Vec<_> = group
            .iter()
            .filter_map(|(_, stated)| {
                let Statement::Resumption(resumption) = &stated.statement else { return None };
                Some(resumption.ground.agreement.clone())
            })
            .collect();
        let done = self.committer.submit(Work::Statements { group, blobs, bundle: None }).await?;
        for agreement in resumed {
            self.quarantine_lost(&agreement).await?;
        }
        Ok(done)
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
        // The same joining may have been accepted before, and its member been revoked since.
        self.still_stands(&Talker::Member { path: path.clone(), id: id.clone() })?;
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
                vault.holds_still(&group)?;
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
        self.still_stands(&talker)?;
        Ok(talker)
    }

    /// Checks what needs no lock: rules on the state as committed, proofs, attachments. The
    /// committer asks the rules again.
    fn prepare(
        &self,
        group: &[(SignedText, Stated)],
        attachments: Vec<Buffer>,
    ) -> Result<Prepared, VaultError> {
        let mut states = States::default();
        let mut wanted = Attachments::new(attachments)?;
        let (mut left, mut is_known) = (group.len(), true);
        for (signed, stated) in group {
            left -= 1;
            records::load_for(&mut states, stated, &|key| self.find(key))?;
            if states.statement(&stated.digest).is_some() {
                continue;
            }
            is_known = false;
            let circumstances = self.circumstances(stated)?;
            quota::check(&self.quota, &states, (signed, stated), circumstances.now)?;
            judge(&states, stated, &circumstances)?;
            wanted.take(&states, stated)?;
            // For those that come with it.
            if left > 0 {
                records::apply(&mut states, (signed, stated), circumstances.now, 0);
            }
        }
        Ok(Prepared { blobs: wanted.kept(), is_known })
    }

    /// Refuses statements that would not hold now, even if they were accepted before: a repetition
    /// changes nothing, but where its answer is an act, the act is done anew.
    fn holds_still(&self, group: &[(SignedText, Stated)]) -> Result<(), VaultError> {
        let mut states = States::default();
        for (_, stated) in group {
            records::load_for(&mut states, stated, &|key| self.find(key))?;
            rules::holds(&states, stated, &self.circumstances(stated)?)?;
        }
        Ok(())
    }

    fn circumstances(&self, stated: &Stated) -> Result<Circumstances, VaultError> {
        let saw = committer::saw(self.store.as_ref(), stated)?;
        let (log, now) = (self.scribe.log.clone(), self.clock.now());
        Ok(Circumstances { log, engine: ENGINE, now, saw })
    }

    fn load(
        &self,
        states: &mut States,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<(), VaultError> {
        Ok(records::load(states, keys, &|key| self.find(key))?)
    }

    fn find(&self, key: &Key) -> Result<Option<Arc<Record>>, ReadError> {
        self.known.find(key, &|name| self.store.record(name))
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

/// A deposit as a store tells of it.
pub fn deposit<S: Store>(store: &S, id: &DepositId) -> Result<Option<Deposit>, ReadError> {
    let mut states = States::default();
    records::load(&mut states, [Key::Deposit(id.clone())], &records::of(store))?;
    Ok(states.deposit(id).cloned())
}

/// What a store says it is the vault of; nothing before its first event.
pub fn identity<S: Store>(store: &S) -> Result<Option<Founded>, ReadError> {
    let mut states = States::default();
    records::load(&mut states, [Key::Vault], &records::of(store))?;
    Ok(states.vault().cloned())
}

/// Rules and proofs. That a party of proposed terms is not there, and that it has another key than
/// the terms pin, are told alike and found in the same order: otherwise whoever proposes terms with
/// an invented fingerprint learns which organisations there are.
fn judge(
    states: &States,
    stated: &Stated,
    circumstances: &Circumstances,
) -> Result<(), VaultError> {
    match rules::decide(states, stated, circumstances) {
        Ok(()) | Err(Refusal::PartyMissing(_)) => {}
        Err(refusal) => return Err(refusal.into()),
    }
    match proofs::check(states, stated) {
        Ok(()) => Ok(rules::decide(states, stated, circumstances)?),
        Err(Unproven::Fingerprint(who)) => Err(Refusal::PartyMissing(who).into()),
        Err(unproven) => Err(VaultError::Unproven(unproven)),
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

fn verify(group: Vec<SignedText>) -> Result<Group, VaultError> {
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
        | Statement::Revocation(_)
        | Statement::RevocationNotice(_)
        | Statement::Registration(_)
        | Statement::Proposal(_)
        | Statement::ReleaseKey(_)
        | Statement::Acceptance(_)
        | Statement::Declination(_)
        | Statement::Amendment(_)
        | Statement::Countersignature(_)
        | Statement::Termination(_)
        | Statement::Resumption(_)
        | Statement::Reseal(_)
        | Statement::Request(_)
        | Statement::Consent(_)
        | Statement::Contribution(_)
        | Statement::Seen(_)
        | Statement::Notification(_)
        | Statement::Objection(_)
        | Statement::Reminder(_)
        | Statement::Attestation(_)
        | Statement::Settlement(_)
        | Statement::Withdrawal(_)
        | Statement::Acknowledgement(_)
        | Statement::TimeStamp(_) => true,
    }
}
