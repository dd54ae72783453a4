//! `audit`: who did and saw what.

use std::path::Path;

use crate::cli::args::Only;
use crate::cli::commands::export;
use crate::cli::commands::find::{self, Found};
use crate::cli::commands::release::{every_request, now};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::view::{AuditView, DutyView, RefusedView};
use crate::client::chronicle::Believed;
use crate::client::session::Session;
use crate::domain::event::{Act, Look, Note};
use crate::domain::id::{AgreementId, DepositId, MemberPath, OrganisationName, RequestId};
use crate::domain::statement::{Acknowledged, Attested, Basis, Stated, Statement, Withdrawn};
use crate::domain::stream::Stream;

/// `escrow audit`
pub(super) async fn audit(
    output: &Output,
    session: &mut Session,
    named: &str,
    only: &Only,
    out: Option<&Path>,
) -> Result<Exit, Failure> {
    let agreement = find::agreement(session, named).await?;
    if let Some(out) = out {
        return export::export(output, session, &agreement.id, out).await;
    }
    let chosen = Chosen::among(session, &agreement.id, only).await?;
    let accesses = session.accesses(&agreement.id).await?;
    let stream = Stream::Agreement(agreement.id.clone());
    let mut events: Vec<&Believed> = [&stream, &accesses]
        .into_iter()
        .filter_map(|stream| session.followed(stream))
        .flat_map(|followed| followed.events())
        .collect();
    events.sort_by_key(|believed| believed.position);
    let views = events.into_iter().map(|event| view(event, &agreement.id));
    let mut views: Vec<_> = views.filter(|view| chosen.has(view)).collect();
    let duties = duties(session, &agreement.id);
    for view in views.iter_mut().filter(|view| view.kind == "requested") {
        view.duty = duties.iter().find(|(of, _)| *of == view.subject).map(|(_, it)| it.clone());
    }
    output.list(&views, &["AT", "WHAT", "BY", "CONCERNING"], AuditView::row)?;
    // Whatever was left out of the list.
    for (request, duty) in
        duties.iter().filter(|(of, duty)| duty.is_overdue() && chosen.is_about(of))
    {
        output.warn(format!("{request} is overdue: {}", duty.text()));
    }
    Ok(Exit::Done)
}

/// The duties under which deposits of an agreement were requested.
fn duties(session: &Session, agreement: &AgreementId) -> Vec<(String, DutyView)> {
    let requests = every_request(session).into_iter().filter(|it| it.agreement == *agreement);
    requests.filter_map(|it| Some((it.id.to_string(), DutyView::of(&it, now())?))).collect()
}

/// What of an audit is wanted.
struct Chosen<'o> {
    only: &'o Only,
    /// The deposit and its requests, or the request.
    subjects: Option<Vec<String>>,
}

impl<'o> Chosen<'o> {
    /// Understands what was given; what names nothing is refused, as an empty audit would mislead.
    async fn among(
        session: &mut Session,
        agreement: &AgreementId,
        only: &'o Only,
    ) -> Result<Self, Failure> {
        if let Some(kind) = only.kind.as_ref().filter(|kind| !KINDS.contains(&kind.as_str())) {
            let message = format!("{kind:?} is no kind of event");
            let hint = format!("name one of {}", KINDS.join(", "));
            return Err(Failure::usage(message, hint).about(kind));
        }
        if let Some(by) = &only.by
            && by.parse::<MemberPath>().is_err()
            && by.parse::<OrganisationName>().is_err()
        {
            let message = format!("{by:?} names no member and no organisation");
            let hint = "write ORGANISATION/MEMBER, or ORGANISATION";
            return Err(Failure::usage(message, hint).about(by));
        }
        let Some(about) = &only.about else { return Ok(Self { only, subjects: None }) };
        let (within, subjects) = match find::anything(session, about).await? {
            Found::Request(within, id) => (Some(within), vec![id.to_string()]),
            Found::Deposit(within, id) => {
                let requests = session.states().requests().filter(|it| it.deposit == id);
                let requests = requests.map(|it| it.id.to_string());
                (Some(within), requests.chain([id.to_string()]).collect())
            }
            Found::Agreement(_) | Found::Registration(_) => (None, Vec::new()),
        };
        match within.is_some_and(|within| within == *agreement) {
            true => Ok(Self { only, subjects: Some(subjects) }),
            false => Err(Failure::failed(
                "WRONG_KIND",
                format!("{about} is no deposit or request of {agreement}"),
                "see `escrow deposits` and `escrow requests`",
            )
            .about(about)),
        }
    }

    fn has(&self, view: &AuditView) -> bool {
        let Only { by, about: _, kind, since, until } = self.only;
        let path = view.member.as_ref().map(ToString::to_string).unwrap_or_default();
        let is_by = |by: &String| {
            path == *by || view.organisation.as_ref().is_some_and(|own| own.as_str() == by)
        };
        by.as_ref().is_none_or(is_by)
            && kind.as_ref().is_none_or(|kind| view.kind == kind)
            && since.is_none_or(|since| view.at >= since)
            && until.is_none_or(|until| view.at < until)
            && self.is_about(&view.subject)
    }

    fn is_about(&self, subject: &String) -> bool {
        self.subjects.as_ref().is_none_or(|subjects| subjects.contains(subject))
    }
}

/// Every kind of event that an audit may tell.
const KINDS: &[&str] = &[
    "proposed",
    "dealt_release_key",
    "accepted",
    "declined",
    "proposed_amendment",
    "signed_amendment",
    "signed_for_the_end",
    "resumed",
    "told_of_revocation",
    "passed_share_on",
    "deposited",
    "requested",
    "consented",
    "contributed",
    "saw_request",
    "recorded_notification",
    "objected",
    "reminded",
    "attested_event",
    "attested_order",
    "settled_by_joint_instruction",
    "settled_by_award",
    "settled_by_order",
    "withdrew_request",
    "withdrew_objection",
    "retrieved",
    "acknowledged_receipt",
    "acknowledged_return",
    "acknowledged_report",
    "acknowledged_destruction",
    "time_stamped_request",
    "acted_outside",
    "founded",
    "was_recovered",
    "changed_its_cas",
    "changed_its_ledger_key",
    "goes_on_after_recovery",
    "looked_at_agreement",
    "looked_at_accesses",
    "fetched_share",
    "listed_agreements",
    "looked_at_registrations",
    "was_refused",
    "was_handed_bundle",
    "was_found_damaged",
    "was_found_whole",
    "unreadable",
];

/// An event as an audit of this agreement tells it.
pub(super) fn view(believed: &Believed, agreement: &AgreementId) -> AuditView {
    let Believed { event, stated, .. } = believed;
    let (kind, member, subject) = match (stated, &event.act) {
        (Some(stated), _) => {
            let (kind, subject) = deed(stated, agreement);
            (kind, Some(stated.statement.made().by.clone()), subject)
        }
        (None, Act::Noted(note)) => noted(note, agreement),
        (None, Act::Stated(_)) => ("unreadable", None, agreement.to_string()),
    };
    let refused = match &event.act {
        Act::Noted(Note::Refused { attempt, code, statement_sha256, .. }) => Some(RefusedView {
            attempt: attempt.to_string(),
            attempt_sha256: *statement_sha256,
            code: code.clone(),
        }),
        Act::Noted(_) | Act::Stated(_) => None,
    };
    AuditView {
        stream: event.stream.clone(),
        sequence: event.sequence,
        at: event.at,
        kind,
        organisation: member.as_ref().map(|member| member.organisation.clone()),
        member,
        subject,
        outcome: if refused.is_some() { "refused" } else { "accepted" },
        statement_sha256: stated.as_ref().map(|stated| stated.digest),
        refused,
        duty: None,
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
        Statement::Amendment(_) => of_agreement("proposed_amendment"),
        Statement::Countersignature(_) => of_agreement("signed_amendment"),
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
        Statement::Reminder(s) => ("reminded", s.organisation.to_string()),
        Statement::Attestation(s) => match s.what {
            Attested::Event(_) => ("attested_event", s.request.id.to_string()),
            Attested::Order => ("attested_order", s.request.id.to_string()),
        },
        Statement::Settlement(s) => match s.basis {
            Basis::Joint => ("settled_by_joint_instruction", s.request.id.to_string()),
            Basis::Award => ("settled_by_award", s.request.id.to_string()),
            Basis::Order => ("settled_by_order", s.request.id.to_string()),
        },
        Statement::Withdrawal(s) => match s.withdrawn {
            Withdrawn::Request => ("withdrew_request", s.request.id.to_string()),
            Withdrawn::Objection => ("withdrew_objection", s.request.id.to_string()),
        },
        Statement::Retrieval(s) => ("retrieved", s.request.id.to_string()),
        Statement::Acknowledgement(s) => match s.what {
            Acknowledged::Received => ("acknowledged_receipt", s.request.id.to_string()),
            Acknowledged::Returned => ("acknowledged_return", s.request.id.to_string()),
            Acknowledged::Reported => ("acknowledged_report", s.request.id.to_string()),
            Acknowledged::Destroyed => ("acknowledged_destruction", s.request.id.to_string()),
        },
        Statement::TimeStamp(s) => ("time_stamped_request", s.request.id.to_string()),
        Statement::Invitation(_)
        | Statement::Organisation(_)
        | Statement::Join(_)
        | Statement::Confirmation(_)
        | Statement::Revocation(_)
        | Statement::Renewal(_)
        | Statement::Registration(_) => of_agreement("acted_outside"),
    }
}

/// What the vault noted, about whom, and concerning what.
fn noted(note: &Note, agreement: &AgreementId) -> (&'static str, Option<MemberPath>, String) {
    match note {
        Note::Founded { .. } => ("founded", None, "vault".to_owned()),
        Note::Recovered { .. } => ("was_recovered", None, "vault".to_owned()),
        Note::AuthoritiesChanged(_) => ("changed_its_cas", None, "vault".to_owned()),
        Note::TimestamperChanged(_) => ("changed_its_tsa", None, "vault".to_owned()),
        Note::LedgerKeyChanged(_) => ("changed_its_ledger_key", None, "vault".to_owned()),
        Note::Resumed { agreement, .. } => ("goes_on_after_recovery", None, agreement.to_string()),
        Note::Access { by, look } => {
            let kind = match look {
                Look::Stream => "looked_at_agreement",
                Look::Accesses => "looked_at_accesses",
                Look::Share => "fetched_share",
                Look::Agreements => "listed_agreements",
                Look::Registrations => "looked_at_registrations",
            };
            (kind, Some(by.clone()), agreement.to_string())
        }
        Note::Refused { by, request, .. } => {
            let subject = request.as_ref().map_or(agreement.to_string(), ToString::to_string);
            ("was_refused", Some(by.clone()), subject)
        }
        Note::HandedOut { by, request } => {
            ("was_handed_bundle", Some(by.clone()), request.to_string())
        }
        Note::Quarantined { deposit } => ("was_found_damaged", None, deposit.to_string()),
        Note::FoundWhole { deposit } => ("was_found_whole", None, deposit.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::signature;
    use crate::domain::id::Bytes;
    use crate::domain::tests::json::one_of_each;

    #[test]
    fn what_members_do_is_of_a_kind_that_can_be_asked_for() {
        let agreement = AgreementId::of(&Bytes([1; 32]));
        for statement in one_of_each() {
            let digest = signature::sha256(statement.tag().as_bytes());
            let (kind, _) = deed(&Stated { statement, digest, key: Bytes([2; 32]) }, &agreement);
            assert!(KINDS.contains(&kind), "{kind}");
        }
    }
}
