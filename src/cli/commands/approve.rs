//! `approve`: consents, contributes, or both, as is due.

use std::path::Path;

use serde::Serialize;

use crate::cli::commands::release::{look_again, look_and_stamp, now, view};
use crate::cli::commands::{find, watch};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, fields, size};
use crate::cli::view::{RequestView, RuleView};
use crate::client::acts::notice;
use crate::client::acts::release::{self, Due, Matter};
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::domain::id::MemberPath;
use crate::domain::request::{Act, State};
use crate::domain::statement::Sealing;

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
    let mut matter = look_and_stamp(output, session, &agreement, &id).await?;
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
        matter = look_again(output, session, &matter).await?;
    }
    let own = session.owner.path.clone();
    match release::due(session, &matter)? {
        Due::Consent => {
            output.ask(&approval_text(&matter, &own, Due::Consent))?;
            release::consent(session, &matter).await?;
            did.push("consented");
            matter = look_again(output, session, &matter).await?;
        }
        Due::Contribution => output.ask(&approval_text(&matter, &own, Due::Contribution))?,
        Due::Nothing => {}
    }
    // What was consented to is contributed to as soon as the rule is met.
    let mut later = None;
    if wait && matter.request.has_consented(&own, now()) {
        output.say(&waiting_text(session, &matter)?);
        let spent = watch::until_spent(output, session, &agreement, &id).await?;
        if spent {
            did.push("contributed");
        }
        matter = release::look(session, &agreement, &id).await?;
    } else if release::is_to_spend(session, &matter) {
        match release::spend(session, &matter).await {
            Ok(()) => {
                did.push("contributed");
                matter = look_again(output, session, &matter).await?;
            }
            Err(not_yet @ ClientError::NotYet { .. }) => later = Some(not_yet),
            Err(fault) if did.is_empty() => return Err(fault.into()),
            // What was done before is done, whatever became of the share.
            Err(fault) => {
                later = Some(ClientError::NotYet {
                    message: format!(
                        "you have {}, but the share of {} was not contributed: {fault}",
                        did.join(" and "),
                        own.organisation
                    ),
                    hint: format!("{}; then run `escrow approve {id}` again", fault.hint()),
                });
            }
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

/// What is approved, by whose terms, and what that sets off.
fn approval_text(matter: &Matter, by: &MemberPath, due: Due) -> String {
    let stated = &matter.deposit.statement;
    let origin = match stated.sealing {
        Sealing::Escrow { .. } => "sealed by the depositor, origin proved",
        Sealing::Elsewhere => "SEALED ELSEWHERE, ORIGIN UNPROVEN",
    };
    let bundle = format!("{} ({}, {origin})", stated.label, size(stated.size));
    let rule = matter.request.rule().map(|rule| RuleView::new(rule).text()).unwrap_or_default();
    let agreed_in = matter.agreement.terms.title.to_string();
    format!(
        "{}{}\n{}",
        view(matter).text(),
        fields(&[("bundle", bundle), ("agreed in", agreed_in), ("by the rule", rule)]),
        effect(matter, by, due)
    )
}

fn effect(matter: &Matter, by: &MemberPath, due: Due) -> String {
    let own = &by.organisation;
    let mut request = matter.request.clone();
    let act = match due {
        Due::Consent => {
            request.consents.push(Act { by: by.clone(), at: now() });
            "This consents to the request"
        }
        Due::Contribution | Due::Nothing => "This approves the request",
    };
    let spends = request.state(now()) == State::Satisfied
        && request.awaited_holders(now()).contains(&own)
        && !matter.request.has_contributed(own);
    if matter.request.is_objected_by(own) {
        return format!(
            "{act}, to which {own} objects. The objection stands; when it is over, the consent counts."
        );
    }
    match (spends, request.contributions_missing()) {
        (false, _) => format!("{act}. The share of {own} is not spent before the rule is met."),
        (true, 0 | 1) => format!("{act}. The share of {own} is spent, which releases the bundle."),
        (true, _) => format!("{act}. The share of {own} is spent; others' are missing still."),
    }
}

/// What `--wait` waits for, and how long at most.
fn waiting_text(session: &Session, matter: &Matter) -> Result<String, Failure> {
    let request = &matter.request;
    let known = notice::ends(session, request)?;
    let mut awaited: Vec<_> = view(matter).missing().iter().map(ToString::to_string).collect();
    if known > now() && known > request.notice_ends_at {
        awaited.push(format!("notice to run by this computer's clock until {known}"));
    }
    Ok(format!(
        "Waiting until the share is due, at most until the request lapses at {}. Missing: {}. \
         Your consent stands if you interrupt this.",
        request.expires_at,
        awaited.join("; ")
    ))
}
