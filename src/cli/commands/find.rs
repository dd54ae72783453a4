//! Finding what a user named: by id, or by the beginning of one.

use crate::cli::failure::Failure;
use crate::client::session::Session;
use crate::domain::agreement::Agreement;
use crate::domain::id::{AgreementId, DepositId, RequestId};
use crate::domain::refusal::Refusal;

/// Something that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// An agreement.
    Agreement(AgreementId),
    /// A deposit, and its agreement.
    Deposit(AgreementId, DepositId),
    /// A request, and its agreement.
    Request(AgreementId, RequestId),
}

impl Found {
    fn id(&self) -> &str {
        match self {
            Self::Agreement(id) => id.as_str(),
            Self::Deposit(_, id) => id.as_str(),
            Self::Request(_, id) => id.as_str(),
        }
    }
}

/// Characters of an id that must be written: its prefix and four more. An empty variable of a
/// script, or a prefix, could mean the only thing there is.
const ID_BEGIN_CHARS: usize = AgreementId::PREFIX.len() + 4;

/// Finds the one thing whose id begins so, among all the member's organisation may see.
async fn find(
    session: &mut Session,
    begin: &str,
    kind: &str,
    is_kind: impl Fn(&Found) -> bool,
) -> Result<Found, Failure> {
    if begin.len() < ID_BEGIN_CHARS {
        let message = format!("{begin:?} is too short for an id or the beginning of one");
        let hint = "write its prefix and at least four characters more, such as agr_2bxq";
        return Err(Failure::usage(message, hint).about(begin));
    }
    session.agreements().await?;
    let states = session.states();
    let agreements = states.agreements().map(|it| Found::Agreement(it.id.clone()));
    let deposits = states.deposits().map(|it| Found::Deposit(it.agreement.clone(), it.id.clone()));
    let requests = states.requests().map(|it| Found::Request(it.agreement.clone(), it.id.clone()));
    let all = agreements.chain(deposits).chain(requests);
    let all: Vec<Found> = all.filter(|found| found.id().starts_with(begin)).collect();
    let fitting: Vec<&Found> = all.iter().filter(|found| is_kind(found)).collect();
    match (fitting.as_slice(), all.as_slice()) {
        ([one], _) => Ok((*one).clone()),
        ([], [other]) => Err(Failure::failed(
            "WRONG_KIND",
            format!("{} is not {kind}", other.id()),
            "see `escrow agreement list`, `escrow deposits` and `escrow requests`",
        )
        .about(begin)),
        ([], _) => Err(Failure::from(crate::client::error::ClientError::from(Refusal::NotFound(
            begin.to_owned(),
        )))
        .about(begin)),
        (several, _) => {
            let ids: Vec<_> = several.iter().take(5).map(|found| found.id()).collect();
            let hint = format!("write more of it: {}", ids.join(", "));
            let message = format!("several ids begin with {begin}");
            Err(Failure::failed("AMBIGUOUS", message, hint).about(begin))
        }
    }
}

/// Finds anything.
pub(super) async fn anything(session: &mut Session, begin: &str) -> Result<Found, Failure> {
    find(session, begin, "an agreement, deposit or request", |_| true).await
}

/// Finds an agreement.
pub(super) async fn agreement(session: &mut Session, begin: &str) -> Result<Agreement, Failure> {
    let is_kind = |found: &Found| matches!(found, Found::Agreement(_));
    match find(session, begin, "an agreement", is_kind).await? {
        Found::Agreement(id) => Ok(session.agreement(&id).await?),
        Found::Deposit(..) | Found::Request(..) => Err(nothing(begin)),
    }
}

/// Finds a deposit.
pub(super) async fn deposit(
    session: &mut Session,
    begin: &str,
) -> Result<(AgreementId, DepositId), Failure> {
    let is_kind = |found: &Found| matches!(found, Found::Deposit(..));
    match find(session, begin, "a deposit", is_kind).await? {
        Found::Deposit(agreement, id) => Ok((agreement, id)),
        Found::Agreement(_) | Found::Request(..) => Err(nothing(begin)),
    }
}

/// Finds a request.
pub(super) async fn request(
    session: &mut Session,
    begin: &str,
) -> Result<(AgreementId, RequestId), Failure> {
    let is_kind = |found: &Found| matches!(found, Found::Request(..));
    match find(session, begin, "a request", is_kind).await? {
        Found::Request(agreement, id) => Ok((agreement, id)),
        Found::Agreement(_) | Found::Deposit(..) => Err(nothing(begin)),
    }
}

fn nothing(begin: &str) -> Failure {
    crate::client::error::ClientError::from(Refusal::NotFound(begin.to_owned())).into()
}
