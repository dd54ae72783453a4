//! `show`, `request`, `requests`, `approve`, `object`, `withdraw`, `retrieve`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::cli::commands::find::{self, Found};
use crate::cli::commands::watch;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, Progress, fields, size};
use crate::cli::view::{AgreementView, DepositView, RequestView};
use crate::client::acts::release::{self, Due, Matter, Wish};
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::domain::id::{MemberPath, RequestId, RuleName};
use crate::domain::refusal::Refusal;
use crate::domain::request::{Request, State};
use crate::domain::rules;
use crate::domain::statement::{Sealing, Withdrawn};
use crate::domain::states::Record;
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
            output
                .record(&AgreementView::new(&agreement, &session.vault.log), AgreementView::text)?;
        }
        Found::Deposit(agreement, id) => {
            session.agreement(&agreement).await?;
            let deposit = session.states().deposit(&id);
            let deposit = deposit.ok_or_else(|| not_found(id.as_str()))?;
            output.record(&DepositView::new(deposit), DepositView::text)?;
        }
        Found::Request(agreement, id) => {
            let matter = release::look(session, &agreement, &id).await?;
            show_request(output, &matter)?;
        }
    }
    Ok(Exit::Done)
}

/// `escrow request`
pub(super) async fn request(
    output: &Output,
    session: &mut Session,
    deposit: &str,
    rule: RuleName,
    purpose: Text,
    evidence: &[PathBuf],
) -> Result<Exit, Failure> {
    let (agreement, deposit) = find::deposit(session, deposit).await?;
    let agreement = session.agreement(&agreement).await?;
    let evidence = evidence.iter().map(|path| release::evidence(path));
    let evidence = evidence.collect::<Result<_, _>>()?;
    output.ask(&format!(
        "This requests {deposit} of \"{}\" under the rule {rule}, for: {purpose}",
        agreement.terms.title
    ))?;
    let wish = Wish { deposit, rule, purpose, evidence };
    let id = release::request(session, &agreement, wish).await?;
    let matter = release::look(session, &agreement.id, &id).await?;
    show_request(output, &matter)?;
    output.say("Keep this home: only here the bundle can be opened once it is released.");
    Ok(Exit::Done)
}

/// `escrow requests`
pub(super) async fn list(
    output: &Output,
    session: &mut Session,
    waiting_for_me: bool,
) -> Result<Exit, Failure> {
    let (own, now) = (session.owner.path.clone(), now());
    let is_shown = |request: &Request| !waiting_for_me || is_waiting_for(request, &own, now);
    look_at_all(session, is_shown).await?;
    let views: Vec<_> = every_request(session)
        .iter()
        .filter(|request| is_shown(request))
        .map(|request| {
            let deposit = session.states().deposit(&request.deposit);
            RequestView::new(request, deposit, now)
        })
        .collect();
    let head = ["REQUEST", "STATE", "RULE", "REQUESTER", "MISSING"];
    output.list(&views, &head, RequestView::row)?;
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
            release::notice(session, &request)?;
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
    let requests = states.iter().filter_map(|(_, record)| match record {
        Record::Request(request) => Some(rules::judged(states, request)),
        Record::Vault(_)
        | Record::Organisation(_)
        | Record::Agreement(_)
        | Record::Party
        | Record::Deposit(_)
        | Record::Bundle(_)
        | Record::OpenRequests(_)
        | Record::Quarantine(_)
        | Record::Usage(_)
        | Record::Underway(_)
        | Record::Statement(_) => None,
    });
    let mut requests: Vec<_> = requests.collect();
    requests.sort_by_key(|request| request.opened_at);
    requests
}

/// Whether a request waits for this member: to consent, to contribute or to retrieve.
pub(super) fn is_waiting_for(request: &Request, member: &MemberPath, now: Timestamp) -> bool {
    let fills_a_seat = || {
        let role = request.terms.role_of(&member.organisation);
        let open = request.missing_consents().unwrap_or_default();
        request.may_consent(member)
            && !request.has_consented(member)
            && role.is_some_and(|role| open.contains_key(role))
    };
    match request.state(now) {
        State::Open => fills_a_seat(),
        State::Satisfied => request.awaited_holders().contains(&&member.organisation),
        State::Released => request.requester() == member,
        State::Notice | State::Objected | State::Retrieved | State::Withdrawn | State::Expired => {
            false
        }
    }
}

#[derive(Serialize)]
struct ApprovedView {
    did: Vec<&'static str>,
    request: RequestView,
}

/// `escrow approve`
pub(super) async fn approve(
    output: &Output,
    session: &mut Session,
    named: &str,
    notified: Option<&Path>,
    wait: bool,
) -> Result<Exit, Failure> {
    let (agreement, id) = find::request(session, named).await?;
    let mut matter = release::look(session, &agreement, &id).await?;
    let mut did = Vec::new();
    if let Some(document) = notified {
        let evidence = release::evidence(document)?;
        let who = matter.request.objectors().map(ToString::to_string).collect::<Vec<_>>();
        output.ask(&format!(
            "{}\nThis records that {} shows that {} were notified of the request. Its SHA-256: {}",
            view(&matter).text(),
            evidence.name,
            who.join(" and "),
            evidence.sha256
        ))?;
        release::notified(session, &matter, evidence).await?;
        did.push("recorded the notification");
        matter = release::look(session, &agreement, &id).await?;
    }
    match release::due(session, &matter)? {
        Due::Consent => {
            output.ask(&approval_text(&matter, "consents to the request"))?;
            release::consent(session, &matter).await?;
            did.push("consented");
            matter = release::look(session, &agreement, &id).await?;
        }
        Due::Contribution => {
            output.ask(&approval_text(&matter, "contributes your organisation's share"))?;
        }
        Due::Nothing => {}
    }
    // What was consented to is contributed to as soon as the rule is met.
    let mut later = None;
    if wait && matter.request.has_consented(&session.owner.path) {
        let spent = watch::until_spent(output, session, &agreement, &id).await?;
        if spent {
            did.push("contributed");
        }
        matter = release::look(session, &agreement, &id).await?;
    } else if release::is_to_spend(session, &matter) {
        match release::spend(session, &matter).await {
            Ok(()) => {
                did.push("contributed");
                matter = release::look(session, &agreement, &id).await?;
            }
            Err(not_yet @ ClientError::NotYet { .. }) => later = Some(not_yet),
            Err(error) => return Err(error.into()),
        }
    }
    let view = ApprovedView { did, request: view(&matter) };
    output.record(&view, |view| view.request.text())?;
    match view.did.as_slice() {
        [] => output.say("Nothing was due from you."),
        did => output.say(&format!("You have {}.", did.join(" and "))),
    }
    for missing in view.request.missing() {
        output.say(&format!("Still missing: {missing}."));
    }
    match (later, view.did.is_empty()) {
        (Some(not_yet), _) => Err(not_yet.into()),
        (None, true) => Ok(Exit::NotYet),
        (None, false) => Ok(Exit::Done),
    }
}

fn approval_text(matter: &Matter, act: &str) -> String {
    let stated = &matter.deposit.statement;
    let origin = match stated.sealing {
        Sealing::Escrow { .. } => "sealed by the depositor, origin proved",
        Sealing::Elsewhere => "SEALED ELSEWHERE, ORIGIN UNPROVEN",
    };
    let bundle = format!("{} ({}, {origin})", stated.label, size(stated.size));
    format!(
        "{}{}\nThis {act}.",
        view(matter).text(),
        fields(&[("bundle", bundle), ("agreed in", matter.agreement.terms.title.to_string())])
    )
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
    output.ask(&format!(
        "{}\nThis blocks the request until the objection is withdrawn. Reason: {reason}",
        view(&matter).text()
    ))?;
    release::object(session, &matter, reason).await?;
    let matter = release::look(session, &agreement, &id).await?;
    show_request(output, &matter)?;
    Ok(Exit::Done)
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
    output.ask(&format!("{}\nThis takes back {what}.", view(&matter).text()))?;
    release::withdraw(session, &matter, withdrawn).await?;
    let matter = release::look(session, &agreement, &id).await?;
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
    let state = matter.request.state(now());
    match state {
        State::Open | State::Notice | State::Objected | State::Satisfied => {
            let missing =
                view(&matter).missing().iter().map(ToString::to_string).collect::<Vec<_>>();
            return Err(ClientError::NotYet {
                message: format!("{id} is {state}; missing: {}", missing.join("; ")),
                hint: state.remedy().to_owned(),
            }
            .into());
        }
        State::Released | State::Retrieved | State::Withdrawn | State::Expired => {}
    }
    output.ask(&format!("This takes delivery of {id} into {}.", out.display()))?;
    let mut progress = Progress::new("retrieving", matter.deposit.statement.size, output);
    let received = |bytes| progress.add(bytes);
    let got = release::retrieve(session, &matter, out, raw, received).await?;
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

fn view(matter: &Matter) -> RequestView {
    RequestView::new(&matter.request, Some(&matter.deposit), now())
}

fn show_request(output: &Output, matter: &Matter) -> Result<(), Failure> {
    output.record(&view(matter), RequestView::text)
}

fn not_found(id: &str) -> Failure {
    ClientError::from(Refusal::NotFound(id.to_owned())).into()
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
