//! `show`, `request`, `requests`, `object`, `withdraw`, `retrieve`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::cli::commands::after::settled;
use crate::cli::commands::find::{self, Found};
use crate::cli::commands::{agreement, registration};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, Progress, fields, size};
use crate::cli::view::{
    AgreementView, DepositView, DutyView, RequestView, RuleView, document, duty_text,
};
use crate::client::acts::authority::{self, NotStamped};
use crate::client::acts::notice;
use crate::client::acts::release::{self, Matter, Wish};
use crate::client::acts::retrieval;
use crate::client::delivery::Told;
use crate::client::error::{ClientError, chain};
use crate::client::session::Session;
use crate::domain::id::{AgreementId, RequestId, RuleName};
use crate::domain::outlook;
use crate::domain::refusal::Refusal;
use crate::domain::request::Request;
use crate::domain::rules;
use crate::domain::statement::{Duty, Withdrawn};
use crate::domain::terms::{SettledBy, TimeStamps};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// `escrow show`
pub(super) async fn show(
    output: &Output,
    session: &mut Session,
    named: &str,
) -> Result<Exit, Failure> {
    match find::anything(session, named).await? {
        Found::Agreement(id) => {
            let agreement = session.agreement(&id).await?;
            output.record(&agreement::standing(session, &agreement), AgreementView::text)?;
        }
        Found::Deposit(agreement, id) => {
            session.agreement(&agreement).await?;
            let deposit = session.states().deposit(&id);
            let deposit = deposit.ok_or_else(|| not_found(id.as_str()))?;
            output.record(&DepositView::new(deposit), DepositView::text)?;
        }
        Found::Request(agreement, id) => {
            let matter = look_and_stamp(output, session, &agreement, &id).await?;
            show_request(output, &matter)?;
        }
        Found::Registration(id) => {
            let registration = session.states().registration(&id).cloned();
            let registration = registration.ok_or_else(|| not_found(id.as_str()))?;
            registration::show(output, session, &registration).await?;
        }
    }
    Ok(Exit::Done)
}

/// `escrow request`
pub(super) async fn request(
    output: &Output,
    session: &mut Session,
    deposit: &str,
    (rule, purpose, duty): (RuleName, Text, Option<Duty>),
    evidence: &[PathBuf],
) -> Result<Exit, Failure> {
    let (agreement, deposit) = find::deposit(session, deposit).await?;
    let agreement = session.agreement(&agreement).await?;
    let evidence = evidence.iter().map(|path| release::evidence(path));
    let evidence = evidence.collect::<Result<Vec<_>, _>>()?;
    let found = session.states().deposit(&deposit).ok_or_else(|| not_found(deposit.as_str()))?;
    let documents = evidence.iter().map(document).collect::<Vec<_>>();
    let mut shown = vec![
        ("deposit", format!("{deposit} ({})", found.statement.label)),
        ("agreement", format!("{} ({})", agreement.id, agreement.terms.title)),
        (
            "rule",
            agreement.terms.rule(&rule).map(|rule| RuleView::new(rule).text()).unwrap_or_default(),
        ),
        ("purpose", purpose.to_string()),
        ("evidence", if documents.is_empty() { "none".to_owned() } else { documents.join("\n") }),
    ];
    shown.extend(duty.iter().map(|duty| ("duty", duty_text(duty))));
    let pinned = agreement.terms.time_stamps.iter();
    shown.extend(pinned.map(|TimeStamps { authority, .. }| {
        ("time-stamp", format!("by {authority}, which is shown a digest of the request"))
    }));
    let shown = fields(&shown);
    let wish = Wish { deposit, rule, purpose, evidence, duty };
    let draft = release::draft(session, &agreement, wish).await?;
    output.ask(&format!("{shown}\nThis requests the bundle; every party reads it."))?;
    let id = release::request(session, draft).await?;
    let looked = release::look(session, &agreement.id, &id).await;
    let matter = settled(output, session, looked, |session| release::matter(session, &id))?;
    let matter = stamped(output, session, matter).await?;
    show_request(output, &matter)?;
    output.say("Keep this home: only here the bundle can be opened once it is released.");
    Ok(Exit::Done)
}

/// `escrow requests`
pub(super) async fn list(
    output: &Output,
    session: &mut Session,
    waiting_for_me: bool,
    overdue: bool,
) -> Result<Exit, Failure> {
    let (own, now) = (session.owner.path.clone(), now());
    let is_overdue =
        |request: &Request| DutyView::of(request, now).is_some_and(|duty| duty.is_overdue());
    let is_shown = |request: &Request| {
        (!waiting_for_me || outlook::wanted(request, &own, now).is_some())
            && (!overdue || is_overdue(request))
    };
    look_at_all(session, is_shown).await?;
    let views: Vec<_> = every_request(session)
        .iter()
        .filter(|request| is_shown(request))
        .map(|request| {
            let wanted = outlook::wanted(request, &own, now);
            let deposit = session.states().deposit(&request.deposit);
            RequestView::new(request, deposit, now).wanting(wanted)
        })
        .collect();
    let head = ["REQUEST", "STATE", "FOR YOU", "RULE", "REQUESTER", "MISSING"];
    output.list(&views, &head, RequestView::row_with_wanted)?;
    Ok(Exit::Done)
}

/// Follows every agreement to its end, and signs a sight of each request that is shown, where that
/// counts. Returns of which.
pub(super) async fn look_at_all(
    session: &mut Session,
    is_shown: impl Fn(&Request) -> bool,
) -> Result<Vec<RequestId>, ClientError> {
    session.agreements().await?;
    let mut seen = Vec::new();
    for request in every_request(session) {
        if !is_shown(&request) {
            notice::remember(session, &request)?;
        } else if release::see(session, &request).await? {
            seen.push(request.id);
        }
    }
    if !seen.is_empty() {
        session.agreements().await?;
    }
    Ok(seen)
}

/// Every request as it is to be judged, oldest first.
pub(super) fn every_request(session: &Session) -> Vec<Request> {
    let states = session.states();
    let mut requests: Vec<_> =
        states.requests().map(|request| rules::judged(states, request)).collect();
    requests.sort_by_key(|request| request.opened_at);
    requests
}

/// `escrow object`
pub(super) async fn object(
    output: &Output,
    session: &mut Session,
    named: &str,
    reason: Text,
) -> Result<Exit, Failure> {
    let (agreement, id) = find::request(session, named).await?;
    let matter = release::look(session, &agreement, &id).await?;
    let objection = release::objection(session, &matter, reason)?;
    output.ask(&format!(
        "{}\nThis blocks the request until the objection is withdrawn{}. Reason: {}",
        view(&matter).text(),
        or_settled(&matter.request),
        objection.reason
    ))?;
    release::object(session, objection).await?;
    let matter = look_again(output, session, &matter).await?;
    show_request(output, &matter)?;
    Ok(Exit::Done)
}

/// What ends an objection besides its withdrawal, behind that.
fn or_settled(request: &Request) -> String {
    let settled_by = request.rule().and_then(|rule| rule.settled_by.as_ref());
    let ways = settled_by.into_iter().flat_map(SettledBy::each);
    ways.map(|(basis, by)| format!(", or settled by {} by {by}", basis.noun())).collect()
}

/// `escrow withdraw`
pub(super) async fn withdraw(
    output: &Output,
    session: &mut Session,
    named: &str,
    withdrawn: Withdrawn,
) -> Result<Exit, Failure> {
    let (agreement, id) = find::request(session, named).await?;
    let matter = release::look(session, &agreement, &id).await?;
    let what = match withdrawn {
        Withdrawn::Request => "the request, for good",
        Withdrawn::Objection => "your organisation's objection to the request",
    };
    let withdrawal = release::withdrawal(session, &matter, withdrawn)?;
    output.ask(&format!("{}\nThis takes back {what}.", view(&matter).text()))?;
    release::withdraw(session, withdrawal).await?;
    let matter = look_again(output, session, &matter).await?;
    show_request(output, &matter)?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct RetrievedView {
    request: RequestId,
    out: PathBuf,
    bundle_size: u64,
    plaintext_size: u64,
    entries: u64,
    plaintext_checked: bool,
}

/// `escrow retrieve`
pub(super) async fn retrieve(
    output: &Output,
    session: &mut Session,
    named: &str,
    out: &Path,
    raw: bool,
) -> Result<Exit, Failure> {
    let (agreement, id) = find::request(session, named).await?;
    let matter = release::look(session, &agreement, &id).await?;
    retrieval::may_retrieve(session, &matter, out)?;
    output.ask(&format!(
        "This takes delivery of {id} into {}. A request is retrieved once: when the bundle is \
         open, the secret that opens it is erased here.",
        out.display()
    ))?;
    let progress = Progress::new("retrieving", matter.deposit.statement.size, output);
    let told = |told: Told<'_>| match told {
        Told::Kept(bytes) => {
            progress.set(bytes);
            let kept = size(bytes);
            progress.note(&format!("{kept} of it were received before; going on from there"));
        }
        Told::Received(bytes) => progress.add(bytes),
        Told::Lost { fault, pause } => {
            progress.note(&format!("{fault}; trying again in {} s", pause.as_secs()));
        }
    };
    let got = retrieval::retrieve(session, &matter, out, raw, told).await?;
    drop(progress);
    let view = RetrievedView {
        request: id,
        out: out.to_owned(),
        bundle_size: got.bundle_size,
        plaintext_size: got.plaintext_size,
        entries: got.entries,
        plaintext_checked: got.plaintext_checked,
    };
    output.record(&view, |view| {
        let checked = match view.plaintext_checked {
            true => "every byte is what the depositor sealed and stated",
            false => "the file is the one deposited; it was sealed elsewhere, origin unproven",
        };
        fields(&[
            ("retrieved", view.out.display().to_string()),
            ("size", size(view.plaintext_size)),
            ("entries", view.entries.to_string()),
            ("checked", checked.to_owned()),
        ])
    })?;
    output.say("The request's secret has been erased here: keep what you have retrieved.");
    Ok(Exit::Done)
}

/// Looks at a request, and has it time-stamped where its terms want that and nobody has yet.
pub(super) async fn look_and_stamp(
    output: &Output,
    session: &mut Session,
    agreement: &AgreementId,
    id: &RequestId,
) -> Result<Matter, Failure> {
    let matter = release::look(session, agreement, id).await?;
    stamped(output, session, matter).await
}

/// The request as it stands then. Nothing hangs on a time-stamp that there is none of: that is told,
/// and what is to be done goes on. What cannot be true is no warning.
async fn stamped(
    output: &Output,
    session: &mut Session,
    matter: Matter,
) -> Result<Matter, Failure> {
    match authority::stamp(session, &matter.request).await {
        Ok(false) => Ok(matter),
        Ok(true) => look_again(output, session, &matter).await,
        Err(NotStamped::NotEntered(untrue @ ClientError::Untrue(_))) => Err(untrue.into()),
        Err(fault) => {
            let (id, pinned) = (&matter.request.id, &matter.request.terms.time_stamps);
            let authority = pinned.as_ref().map(|pinned| pinned.authority.to_string());
            output.warn(format!(
                "{id} stands, and is not time-stamped by {}: {}; `escrow show {id}` asks again",
                authority.unwrap_or_default(),
                chain(&fault)
            ));
            Ok(matter)
        }
    }
}

/// How a request stands after an act on it that was acknowledged.
pub(super) async fn look_again(
    output: &Output,
    session: &mut Session,
    before: &Matter,
) -> Result<Matter, Failure> {
    let id = &before.request.id;
    let looked = release::look(session, &before.agreement.id, id).await;
    settled(output, session, looked, |session| release::matter(session, id))
}

pub(super) fn view(matter: &Matter) -> RequestView {
    let now = now();
    RequestView::new(&matter.request, Some(&matter.deposit), now).known_in(
        &matter.request,
        std::slice::from_ref(&matter.home),
        now,
    )
}

pub(super) fn show_request(output: &Output, matter: &Matter) -> Result<(), Failure> {
    output.record(&view(matter), RequestView::text)
}

fn not_found(id: &str) -> Failure {
    ClientError::from(Refusal::NotFound(id.to_owned())).into()
}

pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
