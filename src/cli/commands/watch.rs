//! Commands that stay: they act or tell whenever something has changed, and go on when the vault
//! was away.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::commands::find;
use crate::cli::commands::release::{every_request, look_at_all};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::view::RequestView;
use crate::client::acts::notice;
use crate::client::acts::release::{self, Matter};
use crate::client::acts::watch::{Hints, Patience};
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::domain::id::{AgreementId, RequestId};
use crate::domain::request::{Request, State};
use crate::domain::time::Timestamp;

/// Longest wait before everything is looked at again, hint or not.
const ROUND_MAX: Duration = Duration::from_secs(10 * 60);

/// What one look at everything came to.
enum Round<T> {
    /// There is nothing left to wait for.
    Done(T),
    /// To be repeated when something has changed, and at this time.
    Again(Option<Timestamp>),
}

/// Looks again whenever something may have changed, until a round says that it is done. A vault
/// that is away is waited for.
async fn rounds<T>(
    output: &Output,
    session: &mut Session,
    mut round: impl AsyncFnMut(&mut Session) -> Result<Round<T>, Failure>,
) -> Result<T, Failure> {
    let mut patience = Patience::default();
    loop {
        let lost = match rounds_while_there(session, &mut round, &mut patience).await {
            Ok(done) => return Ok(done),
            Err(failure) if failure.may_pass() => failure,
            Err(failure) => return Err(failure),
        };
        output.say(&format!("{}; trying again.", lost.message()));
        loop {
            patience.pause().await;
            match Session::open(session.home.clone()).await {
                Ok(opened) => {
                    *session = opened;
                    break;
                }
                Err(fault) if fault.may_pass() => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}

async fn rounds_while_there<T>(
    session: &mut Session,
    round: &mut impl AsyncFnMut(&mut Session) -> Result<Round<T>, Failure>,
    patience: &mut Patience,
) -> Result<T, Failure> {
    // From here on nothing is missed: what changes during a round ends the wait after it.
    let mut hints = Hints::begin(session).await?;
    loop {
        let at = match round(session).await? {
            Round::Done(done) => return Ok(done),
            Round::Again(at) => at,
        };
        *patience = Patience::default();
        let now = now();
        let until_then = at.map(|at| at.since(now).as_duration());
        hints.wait(until_then.map_or(ROUND_MAX, |wait| wait.min(ROUND_MAX))).await?;
    }
}

/// When a request changes by time alone.
fn changes_at(session: &Session, request: &Request) -> Result<Option<Timestamp>, ClientError> {
    let own = notice::ends(session, request)?;
    let times = [request.notice_ends_at, own, request.expires_at];
    Ok(times.into_iter().filter(|at| *at > now()).min())
}

/// Contributes to a request as soon as that is due. Whether it came to that.
pub(super) async fn until_spent(
    output: &Output,
    session: &mut Session,
    agreement: &AgreementId,
    id: &RequestId,
) -> Result<bool, Failure> {
    rounds(output, session, async |session: &mut Session| {
        let matter = release::look(session, agreement, id).await?;
        if release::is_to_spend(session, &matter) && spend(session, &matter).await? {
            return Ok(Round::Done(true));
        }
        let own = session.owner.path.organisation.clone();
        match matter.request.state(now()) {
            State::Released | State::Retrieved | State::Withdrawn | State::Expired => {
                Ok(Round::Done(matter.request.has_contributed(&own)))
            }
            State::Open | State::Notice | State::Objected | State::Satisfied
                if matter.request.has_contributed(&own) =>
            {
                Ok(Round::Done(true))
            }
            State::Open | State::Notice | State::Objected | State::Satisfied => {
                Ok(Round::Again(changes_at(session, &matter.request)?))
            }
        }
    })
    .await
}

/// Spends the own share if this computer's clock agrees that it is time. Whether it did.
async fn spend(session: &Session, matter: &Matter) -> Result<bool, Failure> {
    match release::spend(session, matter).await {
        Ok(()) => Ok(true),
        Err(ClientError::NotYet { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// `escrow watch R`
pub(super) async fn one(
    output: &Output,
    session: &mut Session,
    named: &str,
    until: Option<State>,
) -> Result<Exit, Failure> {
    let (agreement, id) = find::request(session, named).await?;
    let mut shown = None;
    rounds(output, session, async |session: &mut Session| {
        let matter = release::look(session, &agreement, &id).await?;
        let state = matter.request.state(now());
        if shown.replace(state) != Some(state) {
            tell(output, &matter)?;
        }
        let reached = until.is_some_and(|until| {
            state == until || (until == State::Released && state == State::Retrieved)
        });
        let is_last = match state {
            State::Retrieved | State::Withdrawn | State::Expired => true,
            State::Released => until.is_some_and(|until| until != State::Retrieved),
            State::Open | State::Notice | State::Objected | State::Satisfied => false,
        };
        match (reached, until, is_last) {
            (true, _, _) | (false, None, true) => Ok(Round::Done(Exit::Done)),
            (false, Some(until), true) => {
                let message = format!("{id} is {state}, and will not be {until} any more");
                Err(Failure::failed("REQUEST_STATE", message, state.remedy()).about(&id))
            }
            (false, _, false) => Ok(Round::Again(changes_at(session, &matter.request)?)),
        }
    })
    .await
}

/// `escrow watch`
pub(super) async fn all(output: &Output, session: &mut Session) -> Result<Exit, Failure> {
    let mut shown: BTreeMap<RequestId, State> = BTreeMap::new();
    rounds(output, session, async |session: &mut Session| {
        look_at_all(session, |_| true).await?;
        let mut next = None;
        for Request { id, .. } in every_request(session) {
            let matter = release::matter(session, &id)?;
            let state = matter.request.state(now());
            if shown.insert(id, state) != Some(state) {
                tell(output, &matter)?;
            }
            next = earlier(next, changes_at(session, &matter.request)?);
        }
        Ok(Round::Again(next))
    })
    .await
}

#[derive(Serialize)]
struct AttendedView {
    at: Timestamp,
    did: &'static str,
    request: RequestId,
}

/// `escrow attend`
pub(super) async fn attend(output: &Output, session: &mut Session) -> Result<Exit, Failure> {
    output.ask(&format!(
        "As long as this runs, the share of {} is contributed to whatever you, {}, have consented \
         to, once it is due; and wherever {0} may object, it is signed that you have seen the \
         request.",
        session.owner.path.organisation, session.owner.path
    ))?;
    output.say("Attending. Interrupt to end.");
    rounds(output, session, async |session: &mut Session| {
        for request in look_at_all(session, |_| true).await? {
            let matter = release::matter(session, &request)?;
            output.say(&format!(
                "It was signed that you have seen {request}: {} asks for {} under the rule {}, \
                 for: {}. To block it, run `escrow object {request} --reason WHY`.",
                matter.request.requester(),
                matter.deposit.statement.label,
                matter.request.statement.rule,
                matter.request.statement.purpose
            ));
            let view = AttendedView { at: now(), did: "seen", request };
            output.record(&view, |view| format!("{}  seen {}", view.at, view.request))?;
        }
        let mut next = None;
        for Request { id, .. } in every_request(session) {
            let matter = release::matter(session, &id)?;
            let is_ours = matter.request.has_consented(&session.owner.path, now());
            if is_ours && release::is_to_spend(session, &matter) {
                match spend(session, &matter).await {
                    Ok(true) => {
                        let view = AttendedView { at: now(), did: "contributed", request: id };
                        output.record(&view, |view| {
                            format!("{}  contributed to {}", view.at, view.request)
                        })?;
                        continue;
                    }
                    Ok(false) => {}
                    Err(failure) if failure.may_pass() => return Err(failure),
                    // One request that cannot be served is no reason to abandon the others.
                    Err(failure) => output.say(&format!("{id}: {}", failure.message())),
                }
            }
            next = earlier(next, changes_at(session, &matter.request)?);
        }
        Ok(Round::Again(next))
    })
    .await
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

fn tell(output: &Output, matter: &Matter) -> Result<(), Failure> {
    let view = RequestView::new(&matter.request, Some(&matter.deposit), now());
    output.record(&view, |view| format!("{}  {}", now(), view.row().join("  ")))
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
