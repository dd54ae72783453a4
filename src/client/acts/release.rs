//! Requests, approvals, objections.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use rand_core::OsRng;
use sha2::{Digest as _, Sha256};

use crate::client::acts::agreement::{faulty, own_share};
use crate::client::acts::notice;
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::crypto::contribution::contribute;
use crate::crypto::request_point::{Purpose, RequestSecret};
use crate::crypto::{proofs, signature};
use crate::domain::agreement::Agreement;
use crate::domain::deposit::Deposit;
use crate::domain::id::{AgreementId, Bytes, DepositId, MemberPath, RequestId, RuleName};
use crate::domain::outlook;
pub use crate::domain::outlook::Due;
use crate::domain::refusal::Refusal;
use crate::domain::request::{self, Request, State};
use crate::domain::rules;
use crate::domain::statement::{
    self, Acknowledged, Acknowledgement, Consent, Duty, Evidence, Notification, Objection, Seen,
    Withdrawal, Withdrawn,
};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// A request with everything it is about, as believed just now.
#[derive(Debug, Clone)]
pub struct Matter {
    /// The agreement.
    pub agreement: Agreement,
    /// The deposit.
    pub deposit: Deposit,
    /// The request.
    pub request: Request,
    /// Whose home this is, and since when the request is known here.
    pub home: (MemberPath, Timestamp),
}

/// Looks at a request. When it was first seen here is remembered: notice runs from then. If the
/// member's organisation may object, the look is signed: it has been seen.
pub async fn look(
    session: &mut Session,
    agreement: &AgreementId,
    id: &RequestId,
) -> Result<Matter, ClientError> {
    session.agreement(agreement).await?;
    let found = matter(session, id)?;
    if !see(session, &found.request).await? {
        return Ok(found);
    }
    session.agreement(agreement).await?;
    matter(session, id)
}

/// A request with everything it is about, as it was followed last.
pub fn matter(session: &Session, id: &RequestId) -> Result<Matter, ClientError> {
    let not_found = |id: &str| Refusal::NotFound(id.to_owned());
    let request = session.states().request(id).ok_or_else(|| not_found(id.as_str()))?;
    let request = rules::judged(session.states(), request);
    let agreement = session.believed_agreement(&request.agreement)?;
    let deposit = session.states().deposit(&request.deposit);
    let deposit = deposit.ok_or_else(|| not_found(request.deposit.as_str()))?.clone();
    let home = (session.owner.path.clone(), notice::first_sight(session, &request)?);
    Ok(Matter { agreement, deposit, request, home })
}

/// Somebody looks at a request: remembers when it was first known here, and signs that it was seen
/// where that counts. Whether it did.
pub async fn see(session: &Session, request: &Request) -> Result<bool, ClientError> {
    notice::remember(session, request)?;
    let now = now();
    let seen = Seen {
        made: session.made(),
        ground: session.ground(&request.agreement),
        request: request.named(),
    };
    if request::decide_seen(request, &seen, now).is_err() {
        return Ok(false);
    }
    let signed = session.sign(&seen.into())?;
    session.submit(vec![signed], Vec::new()).await?;
    Ok(true)
}

/// What a member asks for.
pub struct Wish {
    /// Which deposit.
    pub deposit: DepositId,
    /// Under which rule.
    pub rule: RuleName,
    /// What for.
    pub purpose: Text,
    /// With what support.
    pub evidence: Vec<Evidence>,
    /// What the requester takes upon itself.
    pub duty: Option<Duty>,
}

/// A request ready to be signed.
pub struct Draft {
    statement: statement::Request,
    secret: RequestSecret,
}

/// Makes a request's fresh point and statement, if the rules take it.
pub async fn draft(
    session: &mut Session,
    agreement: &Agreement,
    wish: Wish,
) -> Result<Draft, ClientError> {
    let deposit = session.states().deposit(&wish.deposit);
    let deposit = deposit.ok_or_else(|| Refusal::NotFound(wish.deposit.to_string()))?.clone();
    let key = proofs::release_key(agreement).map_err(faulty)?;
    if agreement.terms.is_holder(&session.owner.path.organisation) {
        // What its own share is needed for, it must have.
        own_share(session, agreement, &key).await?;
    }
    let secret = RequestSecret::generate(&mut OsRng);
    let requester = session.owner.path.clone();
    let (of, on) = (&agreement.id, &wish.deposit);
    let purpose = Purpose { agreement: of, deposit: on, requester: &requester };
    let dealt = agreement.key()?;
    let statement = statement::Request {
        made: session.made(),
        ground: session.ground(&agreement.id),
        terms_sha256: agreement.terms_sha256,
        release_key_sha256: dealt.sha256,
        epoch: dealt.epoch,
        deposit: wish.deposit.clone(),
        deposit_sha256: deposit.statement_sha256,
        bundle_sha256: deposit.statement.sha256,
        header_sha256: deposit.statement.header_sha256,
        rule: wish.rule,
        purpose: wish.purpose,
        evidence: wish.evidence,
        duty: wish.duty,
        point: secret.point(),
        proof: secret.prove(&purpose, &mut OsRng),
    };
    request::decide_request(agreement, &deposit, &statement, now())?;
    Ok(Draft { statement, secret })
}

/// Makes a request, its point's secret kept in the home first.
pub async fn request(session: &Session, draft: Draft) -> Result<RequestId, ClientError> {
    let Draft { statement, secret } = draft;
    let sealed = age::encrypt(&session.keys.age.to_public(), secret.to_bytes().as_ref());
    session.home.keep_request_secret(&secret.point().to_string(), &sealed.map_err(faulty)?)?;
    let signed = session.sign(&statement.into())?;
    let id = RequestId::of(&signature::sha256(signed.statement.as_bytes()));
    session.submit(vec![signed], Vec::new()).await?;
    Ok(id)
}

/// What is due from this member now.
pub fn due(session: &Session, matter: &Matter) -> Result<Due, ClientError> {
    Ok(outlook::due(&matter.request, &session.owner.path, now())?)
}

/// Whether this member's share is to be spent now: the rule is met, and the member is behind it.
pub fn is_to_spend(session: &Session, matter: &Matter) -> bool {
    matter.request.state(now()) == State::Satisfied
        && due(session, matter).is_ok_and(|due| due == Due::Contribution)
}

/// Says yes to a request. Spends nothing.
pub async fn consent(session: &Session, matter: &Matter) -> Result<(), ClientError> {
    let (made, ground) = (session.made(), session.ground(&matter.agreement.id));
    let consent = Consent { made, ground, request: matter.request.named() };
    let signed = session.sign(&consent.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// Spends the own share on a request whose rule is met. Everything that the rule asks for is
/// checked here once more, from what was believed and by this computer's own clock.
pub async fn spend(session: &Session, matter: &Matter) -> Result<(), ClientError> {
    let Matter { agreement, deposit, request, home: _ } = matter;
    let (now, own) = (now(), &session.owner.path.organisation);
    let state = request.state(now);
    if state != State::Satisfied {
        return Err(Refusal::RequestIs(state).into());
    }
    notice::has_run(session, request, now)?;
    deposit.is_stored()?;
    let key = proofs::release_key(agreement).map_err(faulty)?;
    let share = own_share(session, agreement, &key).await?;
    let target = proofs::target(session.states(), request).map_err(faulty)?;
    let made = contribute(&key, own, &share, &target, &mut OsRng).map_err(faulty)?;
    let bytes = serde_json::to_vec(&made).map_err(faulty)?;
    let statement = statement::Contribution {
        made: session.made(),
        ground: session.ground(&agreement.id),
        request: request.named(),
        epoch: request.statement.epoch,
        contribution_sha256: signature::sha256(&bytes),
    };
    let signed = session.sign(&statement.into())?;
    session.submit(vec![signed], vec![bytes]).await
}

/// Records evidence that those who may object were notified.
pub async fn notified(
    session: &Session,
    matter: &Matter,
    evidence: Evidence,
) -> Result<(), ClientError> {
    let notification = Notification {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: matter.request.named(),
        evidence,
    };
    request::decide_notification(&matter.request, &notification, now())?;
    let signed = session.sign(&notification.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// An objection to a request, if the rules take it.
pub fn objection(
    session: &Session,
    matter: &Matter,
    reason: Text,
) -> Result<Objection, ClientError> {
    let objection = Objection {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: matter.request.named(),
        reason,
    };
    request::decide_objection(&matter.request, &objection, now())?;
    Ok(objection)
}

/// Blocks a request.
pub async fn object(session: &Session, objection: Objection) -> Result<(), ClientError> {
    let signed = session.sign(&objection.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// A withdrawal of the own organisation's request, or of its objection to one, if the rules take
/// it.
pub fn withdrawal(
    session: &Session,
    matter: &Matter,
    withdrawn: Withdrawn,
) -> Result<Withdrawal, ClientError> {
    let withdrawal = Withdrawal {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: matter.request.named(),
        withdrawn,
    };
    request::decide_withdrawal(&matter.request, &withdrawal, now())?;
    Ok(withdrawal)
}

/// Takes back a request or an objection.
pub async fn withdraw(session: &Session, withdrawal: Withdrawal) -> Result<(), ClientError> {
    let signed = session.sign(&withdrawal.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// A statement of what became of a bundle that was handed out, if the rules take it.
pub fn acknowledgement(
    session: &Session,
    matter: &Matter,
    what: Acknowledged,
) -> Result<Acknowledgement, ClientError> {
    let acknowledgement = Acknowledgement {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: matter.request.named(),
        what,
    };
    request::decide_acknowledgement(&matter.request, &acknowledgement, now())?;
    Ok(acknowledgement)
}

/// Says what became of a bundle.
pub async fn acknowledge(
    session: &Session,
    acknowledgement: Acknowledgement,
) -> Result<(), ClientError> {
    let signed = session.sign(&acknowledgement.into())?;
    session.submit(vec![signed], Vec::new()).await
}

pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Digest and size of a document that supports a request.
pub fn evidence(path: &Path) -> Result<Evidence, ClientError> {
    let failed = |fault: io::Error| {
        let message = format!("{}: {fault}", path.display());
        ClientError::input("UNREADABLE", message, "check the path; name a file that you may read")
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let size = io::copy(&mut file, &mut hash).map_err(failed)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.parse::<Text>();
    let name = name
        .map_err(|fault| ClientError::input("BAD_NAME", fault, "rename the file and try again"))?;
    Ok(Evidence { name, sha256: Bytes(hash.finalize().into()), size })
}
