//! Sealing and depositing bundles.
//!
//! A small bundle comes with its statement. A large one is uploaded first, files being sealed straight
//! into the upload, and stated when its digest is known.

mod bundle;
mod feed;
mod upload;
mod window;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Buffer;

use crate::client::acts::deposit::bundle::{Bytes, Facts, new_seal, same_content};
use crate::client::acts::deposit::feed::Feed;
use crate::client::acts::deposit::upload::{Ended, Hear, Upload, patiently};
use crate::client::archive::pack::Plan;
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::client::silence::answered;
use crate::crypto::header::Header;
use crate::crypto::seal::Seal;
use crate::crypto::signature;
use crate::domain::agreement::Agreement;
use crate::domain::deposit::Deposit;
use crate::domain::event::SignedText;
use crate::domain::id::{AgreementId, DepositId};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self, Kind};
use crate::domain::text::Text;
use crate::wire::v1::bundle_service_client::BundleServiceClient;
use crate::wire::v1::{DepositRequest, DepositResponse, SignedStatement};

pub use crate::client::acts::deposit::bundle::{
    Bundle, Proof, ProofType, piped_bundle, ready_bundle, seal, seal_to_file,
};

/// What a deposit tells while it goes on.
#[derive(Debug)]
pub enum Told<'a> {
    /// So many more bytes are on their way.
    Moved(u64),
    /// The vault is not there, and will be tried again.
    Lost {
        /// What is wrong.
        fault: &'a ClientError,
        /// When.
        again_in: Duration,
    },
    /// The upload goes on with what is behind so many bytes, after a pause or an earlier run.
    GoesOn(u64),
    /// The vault has lost more than is kept here: the files are sealed anew.
    StartsOver,
    /// What was sealed and is about to be stated is deposited already, as this.
    Twin(&'a Deposit),
}

/// Whether this agreement takes a deposit of this member now.
pub fn may_deposit(session: &Session, agreement: &Agreement) -> Result<(), ClientError> {
    let own = &session.owner.path.organisation;
    if agreement.terms.depositor() != Some(own) {
        return Err(Refusal::NotDepositor(own.clone()).into());
    }
    Ok(agreement.in_force()?)
}

/// The deposit of an agreement with the very same content that was made last.
pub fn latest_twin<'s>(
    session: &'s Session,
    agreement: &AgreementId,
    is_the_same: impl Fn(&Deposit) -> bool,
) -> Option<&'s Deposit> {
    let deposits = session.states().deposits().filter(|deposit| deposit.agreement == *agreement);
    deposits.filter(|deposit| is_the_same(deposit)).max_by_key(|deposit| deposit.deposited_at)
}

/// Brings a bundle to the vault and states it. An upload is gone on with over lost connections, for as
/// long as the vault is to be tried again each time.
pub async fn deposit(
    session: &mut Session,
    agreement: &Agreement,
    bundle: Bundle,
    (label, retry_for): (Text, Duration),
    hear: &mut (dyn FnMut(Told<'_>) + Send),
) -> Result<DepositId, ClientError> {
    bundle.is_news(session.states(), &agreement.id)?;
    let Bundle { header, size, bytes } = bundle;
    match bytes {
        Bytes::Here(bytes, facts) => {
            let moved = bytes.len() as u64;
            let signed = stated(session, agreement, (&header, size, facts), label)?;
            let id = hand_in(session, signed, bytes).await?;
            hear(Told::Moved(moved));
            Ok(id)
        }
        Bytes::Ready(ready) => {
            let mut feed = Feed::reading(Arc::new(ready), size);
            let upload = upload_of(agreement, &header, size, retry_for);
            match upload.send(session, &mut feed, hear).await? {
                Ended::Whole => {}
                Ended::OutOfReach => return Err(out_of_reach()),
            }
            let facts = match feed.facts().await {
                Ok(facts) => facts,
                Err(fault) => {
                    // It was sent as something that it is not.
                    upload.forget(session).await;
                    return Err(fault);
                }
            };
            state(session, agreement, (&header, size, facts), (label, retry_for), hear).await
        }
        Bytes::Planned(planned) => {
            let (plan, seal) = *planned;
            let plan = Arc::new(plan);
            let first =
                seal_and_state(session, agreement, (&plan, seal), (&label, retry_for), hear)
                    .await?;
            if let Some(id) = first {
                return Ok(id);
            }
            hear(Told::StartsOver);
            let again = (&plan, new_seal(agreement)?);
            let second =
                seal_and_state(session, agreement, again, (&label, retry_for), hear).await?;
            second.ok_or_else(out_of_reach)
        }
    }
}

/// Seals files into an upload and states it. `None` where the vault has lost more than is kept here.
async fn seal_and_state(
    session: &mut Session,
    agreement: &Agreement,
    (plan, seal): (&Arc<Plan>, Seal),
    (label, retry_for): (&Text, Duration),
    hear: &mut Hear<'_>,
) -> Result<Option<DepositId>, ClientError> {
    let archive_bytes = plan.archive_bytes().map_err(|fault| bundle::not_packed(&fault))?;
    let (header, size) = (seal.header().clone(), seal.sealed_size(archive_bytes));
    let upload = upload_of(agreement, &header, size, retry_for);
    let mut feed = Feed::sealing(Arc::clone(plan), seal);
    let deposited = async {
        if upload.send(session, &mut feed, hear).await? == Ended::OutOfReach {
            return Ok(None);
        }
        let facts = feed.facts().await?;
        let is_it = |other: &Deposit| same_content(&facts.sealing, &other.statement.sealing);
        if let Some(twin) = latest_twin(session, &agreement.id, is_it) {
            hear(Told::Twin(twin));
        }
        let how = (label.clone(), retry_for);
        state(session, agreement, (&header, size, facts), how, hear).await.map(Some)
    };
    let deposited = deposited.await;
    if !matches!(deposited, Ok(Some(_))) {
        // Nobody can go on with it: its key is gone.
        upload.forget(session).await;
    }
    deposited
}

fn upload_of(agreement: &Agreement, header: &Header, size: u64, retry_for: Duration) -> Upload {
    let agreement = agreement.id.clone();
    Upload { agreement, size, header_sha256: header.sha256, retry_for }
}

fn out_of_reach() -> ClientError {
    ClientError::input(
        "OUT_OF_REACH",
        "the vault has lost what it had of the bundle, more than once",
        "tell the operator, and deposit it again",
    )
}

/// States an uploaded bundle, resting on the agreement as it is by now.
async fn state(
    session: &mut Session,
    agreement: &Agreement,
    (header, size, facts): (&Header, u64, Facts),
    (label, retry_for): (Text, Duration),
    hear: &mut Hear<'_>,
) -> Result<DepositId, ClientError> {
    patiently(retry_for, hear, async || session.agreement(&agreement.id).await).await?;
    let signed = stated(session, agreement, (header, size, facts), label)?;
    // Twice it is the same statement, which is answered with what became of it first.
    patiently(retry_for, hear, async || hand_in(session, signed.clone(), Buffer::new()).await).await
}

/// Signs what is stated of a bundle.
fn stated(
    session: &Session,
    agreement: &Agreement,
    (header, size, facts): (&Header, u64, Facts),
    label: Text,
) -> Result<SignedText, ClientError> {
    let Facts { sha256, content, sealing } = facts;
    let states = session.states();
    let twin = states.twin(&agreement.id, &sha256).and_then(|id| states.deposit(id));
    if let Some(twin) = twin.filter(|twin| twin.is_stored().is_ok()) {
        return Err(Refusal::DepositedBefore(twin.id.to_string()).into());
    }
    let statement = statement::Deposit {
        made: session.made(),
        ground: session.ground(&agreement.id),
        release_key_sha256: agreement.key()?.sha256,
        label,
        kind: Kind::Full,
        content,
        sealing,
        size,
        sha256,
        header_size: u32::try_from(header.size).unwrap_or(u32::MAX),
        header_sha256: header.sha256,
        ephemeral: header.ephemeral,
    };
    session.sign(&statement.into())
}

/// Hands in a deposit's statement, with the bundle if that was not uploaded.
async fn hand_in(
    session: &Session,
    signed: SignedText,
    bundle: Buffer,
) -> Result<DepositId, ClientError> {
    let id = DepositId::of(&signature::sha256(signed.statement.as_bytes()));
    let statement = Some(SignedStatement::from(signed.clone()));
    let mut service = BundleServiceClient::new(session.channel());
    let reply = answered(service.deposit(DepositRequest { statement, bundle })).await?;
    let DepositResponse { entry, head } = reply.into_inner();
    session.acknowledged(&[signed], entry.into_iter().collect(), head)?;
    Ok(id)
}
