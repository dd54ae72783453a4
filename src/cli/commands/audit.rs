//! `audit`: who did and saw what.

use crate::cli::commands::find;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::view::AuditView;
use crate::client::chronicle::Believed;
use crate::client::session::Session;
use crate::domain::event::{Act, Look, Note};
use crate::domain::id::{AgreementId, DepositId, MemberPath, RequestId};
use crate::domain::statement::{Stated, Statement, Withdrawn};
use crate::domain::stream::Stream;

/// `escrow audit`
pub(super) async fn audit(
    output: &Output,
    session: &mut Session,
    named: &str,
) -> Result<Exit, Failure> {
    let agreement = find::agreement(session, named).await?;
    let accesses = session.accesses(&agreement.id).await?;
    let stream = Stream::Agreement(agreement.id.clone());
    let mut events: Vec<&Believed> = [&stream, &accesses]
        .into_iter()
        .filter_map(|stream| session.followed(stream))
        .flat_map(|followed| followed.events())
        .collect();
    events.sort_by_key(|believed| believed.position);
    let views: Vec<_> = events.into_iter().map(|event| view(event, &agreement.id)).collect();
    output.list(&views, &["AT", "WHAT", "BY", "CONCERNING"], AuditView::row)?;
    Ok(Exit::Done)
}

fn view(believed: &Believed, agreement: &AgreementId) -> AuditView {
    let Believed { event, stated, .. } = believed;
    let (kind, member, subject) = match (stated, &event.act) {
        (Some(stated), _) => {
            let (kind, subject) = deed(stated, agreement);
            (kind, Some(stated.statement.made().by.clone()), subject)
        }
        (None, Act::Noted(note)) => noted(note, agreement),
        (None, Act::Stated(_)) => ("unreadable", None, agreement.to_string()),
    };
    AuditView {
        stream: event.stream.clone(),
        sequence: event.sequence,
        at: event.at,
        kind,
        organisation: member.as_ref().map(|member| member.organisation.clone()),
        member,
        subject,
        outcome: "accepted",
        statement_sha256: stated.as_ref().map(|stated| stated.digest),
    }
}

/// What a statement did, and to what.
fn deed(stated: &Stated, agreement: &AgreementId) -> (&'static str, String) {
    let of_agreement = |kind| (kind, agreement.to_string());
    match &stated.statement {
        Statement::Proposal(_) => of_agreement("proposed"),
        Statement::ReleaseKey(_) => of_agreement("dealt_release_key"),
        Statement::Acceptance(_) => of_agreement("accepted"),
        Statement::Declination(_) => of_agreement("declined"),
        Statement::Termination(_) => of_agreement("signed_for_the_end"),
        Statement::Resumption(_) => of_agreement("resumed"),
        Statement::RevocationNotice(s) => ("told_of_revocation", s.member.to_string()),
        Statement::Reseal(s) => ("passed_share_on", s.share.member.to_string()),
        Statement::Deposit(_) => ("deposited", DepositId::of(&stated.digest).to_string()),
        Statement::Request(_) => ("requested", RequestId::of(&stated.digest).to_string()),
        Statement::Consent(s) => ("consented", s.request.id.to_string()),
        Statement::Contribution(s) => ("contributed", s.request.id.to_string()),
        Statement::Seen(s) => ("saw_request", s.request.id.to_string()),
        Statement::Notification(s) => ("recorded_notification", s.request.id.to_string()),
        Statement::Objection(s) => ("objected", s.request.id.to_string()),
        Statement::Withdrawal(s) => match s.withdrawn {
            Withdrawn::Request => ("withdrew_request", s.request.id.to_string()),
            Withdrawn::Objection => ("withdrew_objection", s.request.id.to_string()),
        },
        Statement::Retrieval(s) => ("retrieved", s.request.id.to_string()),
        Statement::Invitation(_)
        | Statement::Organisation(_)
        | Statement::Join(_)
        | Statement::Confirmation(_)
        | Statement::Revocation(_)
        | Statement::Renewal(_) => of_agreement("acted_outside"),
    }
}

/// What the vault noted, about whom, and concerning what.
fn noted(note: &Note, agreement: &AgreementId) -> (&'static str, Option<MemberPath>, String) {
    match note {
        Note::Founded { .. } => ("founded", None, "vault".to_owned()),
        Note::Recovered { .. } => ("was_recovered", None, "vault".to_owned()),
        Note::AuthoritiesChanged(_) => ("changed_its_cas", None, "vault".to_owned()),
        Note::Resumed { agreement, .. } => ("goes_on_after_recovery", None, agreement.to_string()),
        Note::Access { by, look } => {
            let kind = match look {
                Look::Stream => "looked_at_agreement",
                Look::Accesses => "looked_at_accesses",
                Look::Share => "fetched_share",
                Look::Agreements => "listed_agreements",
            };
            (kind, Some(by.clone()), agreement.to_string())
        }
        Note::HandedOut { by, request } => {
            ("was_handed_bundle", Some(by.clone()), request.to_string())
        }
        Note::Quarantined { deposit } => ("was_found_damaged", None, deposit.to_string()),
        Note::FoundWhole { deposit } => ("was_found_whole", None, deposit.to_string()),
    }
}
