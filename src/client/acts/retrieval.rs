//! Retrieval: a released bundle is received, opened and unpacked, all at once.

mod opening;

use std::path::Path;

use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::client::acts::agreement::{faulty, own_share};
use crate::client::acts::release::{Matter, now};
use crate::client::acts::retrieval::opening::{Unopened, Way};
use crate::client::delivery::{Delivery, Told};
use crate::client::error::ClientError;
use crate::client::partial::Partial;
use crate::client::session::Session;
use crate::crypto::contribution::{Contribution, combine};
use crate::crypto::request_point::RequestSecret;
use crate::crypto::{proofs, signature, statement as crypto_statement};
use crate::domain::event::SignedText;
use crate::domain::outlook::missing;
use crate::domain::refusal::Refusal;
use crate::domain::request::{self, Request, State};
use crate::domain::statement::{Retrieval, Statement};
use crate::wire::v1::Contributions;

/// Pieces of a bundle that wait to be opened.
const PIECES_AHEAD: usize = 4;

/// What was retrieved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieved {
    /// Size of the bundle, in bytes.
    pub bundle_size: u64,
    /// Size of what was in it, in bytes.
    pub plaintext_size: u64,
    /// Files and directories written.
    pub entries: u64,
    /// Whether it was checked against the depositor's digest of the plaintext.
    pub plaintext_checked: bool,
}

/// Refuses what cannot be retrieved, or not to this place, before anything is signed.
pub fn may_retrieve(session: &Session, matter: &Matter, out: &Path) -> Result<(), ClientError> {
    let (request, by) = (&matter.request, &session.owner.path);
    if by != request.requester() {
        let rule = request.statement.rule.clone();
        return Err(Refusal::NotEntitled { who: by.clone(), what: "retrieve", rule }.into());
    }
    let state = request.state(now());
    match state {
        State::Open | State::Notice | State::Objected | State::Satisfied => {
            let missing =
                missing(request, now()).iter().map(ToString::to_string).collect::<Vec<_>>();
            return Err(ClientError::NotYet {
                message: format!("{} is {state}; missing: {}", request.id, missing.join("; ")),
                hint: state.remedy().to_owned(),
            });
        }
        State::Released | State::Retrieved | State::Withdrawn | State::Expired => {}
    }
    if out.symlink_metadata().is_ok() {
        return Err(ClientError::input(
            "EXISTS",
            format!("{} exists already", out.display()),
            "name a directory that does not exist yet with --out",
        ));
    }
    if !beside(out).is_dir() {
        return Err(ClientError::input(
            "NO_PLACE",
            format!("{} is not a directory, so nothing can be made in it", beside(out).display()),
            "make it first, or name another place with --out",
        ));
    }
    Ok(())
}

/// The directory that a path is made in.
fn beside(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Takes delivery of a released bundle, opens it and writes it to `out`, which must not exist. What is
/// received stays in the home until all is done: whoever is stopped goes on from there.
pub async fn retrieve(
    session: &Session,
    matter: &Matter,
    out: &Path,
    raw: bool,
    mut told: impl FnMut(Told<'_>),
) -> Result<Retrieved, ClientError> {
    let Matter { agreement, deposit, request, home: _ } = matter;
    may_retrieve(session, matter, out)?;
    let (stated, point) = (&deposit.statement, request.statement.point.to_string());
    let before = Partial::signed(&session.home, &point)
        .and_then(|signed| still_good(session, matter, signed));
    let retrieval = before.as_ref().map_or_else(
        || Retrieval {
            made: session.made(),
            ground: session.ground(&agreement.id),
            request: request.named(),
        },
        |before| before.retrieval.clone(),
    );
    let is_repeated = before.as_ref().is_some_and(|before| before.was_accepted);
    let decided = request::decide_retrieval(request, deposit, &retrieval, is_repeated, now());
    if let Err(refusal) = decided {
        // It cannot be gone on with either.
        Partial::forget(&session.home, &point);
        return Err(refusal.into());
    }
    let secret = request_secret(session, request)?;
    let partial = Partial::open(&session.home, &point, stated.size)?;
    let kept = partial.kept;
    if kept > 0 {
        told(Told::Kept(kept));
    }
    let signed = match before {
        Some(before) => before.signed,
        None => {
            let signed = session.sign(&retrieval.into())?;
            partial.keep_signed(&signed)?;
            signed
        }
    };
    let (first, delivery) = Delivery::begin(session, signed.clone(), stated.size, kept).await?;
    let contributions = checked(session, matter, &first)?;
    session.acknowledged(&[signed], first.entry.into_iter().collect(), first.head)?;
    let key = proofs::release_key(agreement).map_err(faulty)?;
    let target = proofs::target(session.states(), request).map_err(faulty)?;
    let own = &session.owner.path.organisation;
    let own_share = match agreement.terms.is_holder(own) {
        true => Some(own_share(session, agreement, &key).await?),
        false => None,
    };
    let own = own_share.as_ref().map(|share| (own, share));
    let secret = combine(&key, &contributions, own, &secret, &target).map_err(faulty)?;
    let (to, pieces) = mpsc::channel(PIECES_AHEAD);
    let way = Way { secret, key, stated: stated.clone(), out: out.to_owned(), raw };
    let opening = tokio::task::spawn_blocking(move || way.open(partial, pieces));
    let received = delivery.receive(to, told).await;
    let (partial, opened) = opening.await.map_err(faulty)?;
    let done = match (received, opened) {
        (Ok(()), Ok(done)) => done,
        // Whoever opens it stopped for want of what was not received.
        (Err(fault @ ClientError::Untrue(_)), _) => {
            partial.discard()?;
            return Err(fault);
        }
        (Err(fault), _) => return Err(fault),
        (Ok(()), Err(Unopened::Elsewhere(fault))) => return Err(fault),
        (Ok(()), Err(Unopened::Bundle(fault))) => {
            partial.discard()?;
            return Err(fault);
        }
    };
    // Not before all of it is on the disk: nothing opens the bundle without this secret.
    session.home.erase_request_secret(&point)?;
    partial.finish()?;
    Ok(done)
}

/// What was signed to have a bundle whose retrieval was not done, and can be handed in again.
struct Before {
    signed: SignedText,
    retrieval: Retrieval,
    /// Whether the vault has accepted it, so that it counts no further time.
    was_accepted: bool,
}

/// What was signed before, if the vault takes it once more: it is about this request, it has time
/// left, and what it rests on was not overtaken.
fn still_good(session: &Session, matter: &Matter, signed: SignedText) -> Option<Before> {
    let stated = crypto_statement::parse(&signed).ok()?;
    let Statement::Retrieval(retrieval) = stated.statement else { return None };
    let Retrieval { made, ground, request } = &retrieval;
    let is_own = made.by == session.owner.path && made.log == session.vault.log;
    let is_of_this = ground.agreement == matter.agreement.id && *request == matter.request.named();
    let holds = now() < ground.valid_until && ground.saw.sequence >= matter.agreement.floor;
    let was_accepted = session.states().statement(&stated.digest).is_some();
    (is_own && is_of_this && holds).then_some(Before { signed, retrieval, was_accepted })
}

/// The contributions, each checked against what was stated of it.
fn checked(
    session: &Session,
    matter: &Matter,
    first: &Contributions,
) -> Result<Vec<Contribution>, ClientError> {
    let check = |bytes: &bytes::Bytes| {
        let digest = signature::sha256(bytes);
        let spent =
            matter.request.contributions.iter().find(|spent| spent.contribution_sha256 == digest);
        let nobodys = || ClientError::Untrue("a contribution nobody stated".to_owned());
        let holder = &spent.ok_or_else(nobodys)?.by.organisation;
        let states = session.states();
        proofs::check_contribution(states, &matter.request, holder, bytes).map_err(faulty)
    };
    first.contributions.iter().map(check).collect()
}

fn request_secret(session: &Session, request: &Request) -> Result<RequestSecret, ClientError> {
    let point = request.statement.point;
    let gone = || {
        ClientError::input(
            "NO_SECRET",
            format!(
                "the secret of {} is not in this home, or was erased after retrieval",
                request.id
            ),
            "only the home that a request was made in can open its bundle, once: restore that \
             home from its backup, or make a new request",
        )
    };
    let sealed = session.home.request_secret(&point.to_string())?.ok_or_else(gone)?;
    let bytes = Zeroizing::new(age::decrypt(&session.keys.age, &sealed).map_err(faulty)?);
    let array: Zeroizing<[u8; 32]> =
        Zeroizing::new(bytes.as_slice().try_into().map_err(|_| gone())?);
    let secret = RequestSecret::from_bytes(&array).map_err(faulty)?;
    if secret.point() == point { Ok(secret) } else { Err(gone()) }
}
