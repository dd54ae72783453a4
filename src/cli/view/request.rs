//! Requests as commands put them out.

use serde::Serialize;

use crate::cli::output::fields;
use crate::domain::deposit;
use crate::domain::id::{
    AgreementId, DepositId, MemberPath, OrganisationName, RequestId, RuleName,
};
use crate::domain::outlook::{Missing, Wanted, missing};
use crate::domain::request;
use crate::domain::statement::Evidence;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// A document, by its digest.
pub fn document(e: &Evidence) -> String {
    format!("{} ({} bytes, {})", e.name, e.size, e.sha256)
}

/// That somebody may object, for sure until this time.
pub fn may_object_text(until: Option<Timestamp>) -> String {
    match until {
        Some(until) => format!("may object until {until}"),
        None => "may object until it is released".to_owned(),
    }
}

/// A request.
#[derive(Debug, Serialize)]
pub struct RequestView {
    id: RequestId,
    agreement: AgreementId,
    agreement_version: u32,
    deposit: DepositId,
    label: Option<Text>,
    rule: RuleName,
    requester: MemberPath,
    purpose: Text,
    evidence: Vec<Evidence>,
    state: &'static str,
    opened_at: Timestamp,
    notice_ends_at: Timestamp,
    expires_at: Timestamp,
    consents: Vec<ConsentView>,
    contributions: Vec<ContributionView>,
    seen: Vec<SightView>,
    notifications: Vec<NotificationView>,
    objections: Vec<ObjectionView>,
    missing: Vec<Missing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<Wanted>,
    #[serde(skip)]
    notice_runs: bool,
}

/// A consent to a request.
#[derive(Debug, Serialize)]
struct ConsentView {
    member: MemberPath,
    organisation: OrganisationName,
    at: Timestamp,
}

/// A contribution to a request.
#[derive(Debug, Serialize)]
struct ContributionView {
    holder: OrganisationName,
    at: Timestamp,
}

/// That somebody who may object has seen a request.
#[derive(Debug, Serialize)]
struct SightView {
    member: MemberPath,
    organisation: OrganisationName,
    at: Timestamp,
    seen_at: Timestamp,
}

/// Evidence that those who may object to a request were notified.
#[derive(Debug, Serialize)]
struct NotificationView {
    member: MemberPath,
    organisation: OrganisationName,
    evidence: Evidence,
    at: Timestamp,
}

/// An objection to a request.
#[derive(Debug, Serialize)]
struct ObjectionView {
    member: MemberPath,
    organisation: OrganisationName,
    reason: Text,
    at: Timestamp,
    withdrawn_at: Option<Timestamp>,
}

impl RequestView {
    /// A request as it is believed, at this moment.
    pub fn new(
        request: &request::Request,
        deposit: Option<&deposit::Deposit>,
        now: Timestamp,
    ) -> Self {
        let organisation = |member: &MemberPath| member.organisation.clone();
        let consents = request.consents.iter().map(|act| ConsentView {
            member: act.by.clone(),
            organisation: organisation(&act.by),
            at: act.at,
        });
        let contributions = request
            .contributions
            .iter()
            .map(|spent| ContributionView { holder: organisation(&spent.by), at: spent.at });
        let seen = request.sights.iter().map(|sight| SightView {
            member: sight.by.clone(),
            organisation: organisation(&sight.by),
            at: sight.at,
            seen_at: sight.seen_at,
        });
        let notifications = request.notifications.iter().map(|notified| NotificationView {
            member: notified.by.clone(),
            organisation: organisation(&notified.by),
            evidence: notified.evidence.clone(),
            at: notified.at,
        });
        let objections = request.objections.iter().map(|objection| ObjectionView {
            member: objection.by.clone(),
            organisation: organisation(&objection.by),
            reason: objection.reason.clone(),
            at: objection.at,
            withdrawn_at: objection.withdrawn.as_ref().map(|act| act.at),
        });
        Self {
            id: request.id.clone(),
            agreement: request.agreement.clone(),
            agreement_version: request.terms_version,
            deposit: request.deposit.clone(),
            label: deposit.map(|deposit| deposit.statement.label.clone()),
            rule: request.statement.rule.clone(),
            requester: request.requester().clone(),
            purpose: request.statement.purpose.clone(),
            evidence: request.statement.evidence.clone(),
            state: request.state(now).word(),
            opened_at: request.opened_at,
            notice_ends_at: request.notice_ends_at,
            expires_at: request.expires_at,
            consents: consents.collect(),
            contributions: contributions.collect(),
            seen: seen.collect(),
            notifications: notifications.collect(),
            objections: objections.collect(),
            missing: missing(request, now),
            wanted: None,
            notice_runs: now < request.notice_ends_at,
        }
    }

    /// With what the request wants of whoever looks at it.
    pub fn wanting(self, wanted: Option<Wanted>) -> Self {
        Self { wanted, ..self }
    }

    /// What is still missing, for people.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// For people.
    pub fn text(&self) -> String {
        let label = self.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default();
        let lines = |lines: Vec<String>| match lines.is_empty() {
            true => "none".to_owned(),
            false => lines.join("\n"),
        };
        let consents = self.consents.iter().map(|c| format!("{} at {}", c.member, c.at));
        let spent = self.contributions.iter().map(|c| format!("{} at {}", c.holder, c.at));
        let objections = self.objections.iter().map(|o| {
            let withdrawn = o.withdrawn_at.map(|at| format!(", withdrawn at {at}"));
            let withdrawn = withdrawn.unwrap_or_default();
            format!("{} at {}{withdrawn}: {}", o.member, o.at, o.reason)
        });
        let evidence = self.evidence.iter().map(document);
        let seen = self.seen.iter().map(|s| format!("{} at {}", s.member, s.seen_at));
        let notified = self
            .notifications
            .iter()
            .map(|n| format!("{} at {}: {}", n.member, n.at, document(&n.evidence)));
        fields(&[
            ("request", self.id.to_string()),
            ("deposit", format!("{}{label}", self.deposit)),
            ("agreement", format!("{}, terms version {}", self.agreement, self.agreement_version)),
            ("rule", self.rule.to_string()),
            ("requester", self.requester.to_string()),
            ("purpose", self.purpose.to_string()),
            ("evidence", lines(evidence.collect())),
            ("state", self.state.to_owned()),
            ("opened", self.opened_at.to_string()),
            ("notice ends", self.notice_ends_at.to_string()),
            ("expires", self.expires_at.to_string()),
            ("consents", lines(consents.collect())),
            ("contributions", lines(spent.collect())),
            ("seen by", lines(seen.collect())),
            ("notified", lines(notified.collect())),
            ("objections", lines(objections.collect())),
            ("missing", lines(self.missing.iter().map(ToString::to_string).collect())),
        ])
    }

    /// For a table, with what the request wants of whoever looks at it.
    pub fn row_with_wanted(&self) -> Vec<String> {
        let mut row = self.row();
        row.insert(2, self.wanted.map(|wanted| self.wanted_text(wanted)).unwrap_or_default());
        row
    }

    fn wanted_text(&self, wanted: Wanted) -> String {
        match wanted {
            Wanted::Consent => "consent".to_owned(),
            Wanted::Share => "share".to_owned(),
            Wanted::Retrieve => "retrieve".to_owned(),
            Wanted::MayObject => may_object_text(self.objectable_until()),
        }
    }

    /// Until when somebody may object for sure; `None` where that can be over at any moment.
    fn objectable_until(&self) -> Option<Timestamp> {
        Some(self.notice_ends_at).filter(|_| self.notice_runs)
    }

    /// For a table.
    pub fn row(&self) -> Vec<String> {
        let missing = self.missing.iter().map(ToString::to_string).collect::<Vec<_>>();
        vec![
            self.id.to_string(),
            self.state.to_owned(),
            self.rule.to_string(),
            self.requester.to_string(),
            missing.join("; "),
        ]
    }
}
