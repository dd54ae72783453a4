//! Requests as commands put them out.

use serde::Serialize;

use crate::cli::output::fields;
use crate::domain::deposit;
use crate::domain::id::{
    AgreementId, DepositId, MemberPath, OrganisationName, RequestId, RuleName,
};
use crate::domain::outlook::{Missing, Wanted, missing};
use crate::domain::request::{self, DutyState};
use crate::domain::statement::{Acknowledged, Duty, DutyKind, Evidence};
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

/// What the authority that the terms pin has said, if they pin one.
fn time_stamp_text(request: &request::Request) -> Option<String> {
    let authority = &request.terms.time_stamps.as_ref()?.authority;
    Some(match &request.stamped {
        Some(stamped) => format!("{} by {authority}", stamped.stamped_at),
        None => format!("none yet by {authority}"),
    })
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
    duty: Option<DutyView>,
    state: &'static str,
    opened_at: Timestamp,
    time_stamped_at: Option<Timestamp>,
    notice_ends_at: Timestamp,
    expires_at: Timestamp,
    consents: Vec<ConsentView>,
    contributions: Vec<ContributionView>,
    seen: Vec<SightView>,
    notifications: Vec<NotificationView>,
    objections: Vec<ObjectionView>,
    acknowledgements: Vec<AcknowledgementView>,
    missing: Vec<Missing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<Wanted>,
    #[serde(skip)]
    time_stamp: Option<String>,
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

/// What became of a bundle, as somebody says.
#[derive(Debug, Serialize)]
struct AcknowledgementView {
    what: Acknowledged,
    member: MemberPath,
    organisation: OrganisationName,
    at: Timestamp,
}

/// What a requester has taken upon itself, and whether it has done so, by this computer's clock.
#[derive(Debug, Clone, Serialize)]
pub struct DutyView {
    kind: DutyKind,
    due_at: Timestamp,
    state: &'static str,
    fulfilled_at: Option<Timestamp>,
    #[serde(skip)]
    confirmed: Option<String>,
}

/// A duty in one line, as it is signed.
pub fn duty_text(duty: &Duty) -> String {
    format!("{} by {}", duty.kind.word(), duty.by)
}

impl DutyView {
    /// The duty of a request, if it has one, at this moment.
    pub fn of(request: &request::Request, now: Timestamp) -> Option<Self> {
        let (duty, state) = request.duty(now)?;
        let fulfilled_at = match state {
            DutyState::Fulfilled { at } => Some(at),
            DutyState::Open | DutyState::Overdue => None,
        };
        let requester = &request.requester().organisation;
        let depositor = request.terms.depositor().filter(|depositor| *depositor != requester);
        let back = depositor.and_then(|who| request.acknowledgement(who, Acknowledged::Returned));
        Some(Self {
            kind: duty.kind,
            due_at: duty.by,
            state: state.word(),
            fulfilled_at,
            confirmed: back.map(|back| format!("{} has it back since {}", back.by, back.at)),
        })
    }

    /// Whether the time is over and nothing was said.
    pub fn is_overdue(&self) -> bool {
        self.state == DutyState::Overdue.word()
    }

    /// For people.
    pub fn text(&self) -> String {
        let duty = duty_text(&Duty { kind: self.kind, by: self.due_at });
        let state = match self.fulfilled_at {
            Some(at) if at > self.due_at => format!("fulfilled late, at {at}"),
            Some(at) => format!("fulfilled at {at}"),
            None => self.state.to_owned(),
        };
        let confirmed = self.confirmed.iter().map(|confirmed| format!("; {confirmed}"));
        format!("{duty}: {state}{}", confirmed.collect::<String>())
    }
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
        let acknowledgements = request.acknowledgements.iter().map(|said| AcknowledgementView {
            what: said.what,
            member: said.by.clone(),
            organisation: organisation(&said.by),
            at: said.at,
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
            duty: DutyView::of(request, now),
            state: request.state(now).word(),
            opened_at: request.opened_at,
            time_stamped_at: request.stamped.as_ref().map(|stamped| stamped.stamped_at),
            notice_ends_at: request.notice_ends_at,
            expires_at: request.expires_at,
            consents: consents.collect(),
            contributions: contributions.collect(),
            seen: seen.collect(),
            notifications: notifications.collect(),
            objections: objections.collect(),
            acknowledgements: acknowledgements.collect(),
            missing: missing(request, now),
            wanted: None,
            time_stamp: time_stamp_text(request),
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
        let mut pairs = vec![
            ("request", self.id.to_string()),
            ("deposit", format!("{}{label}", self.deposit)),
            ("agreement", format!("{}, terms version {}", self.agreement, self.agreement_version)),
            ("rule", self.rule.to_string()),
            ("requester", self.requester.to_string()),
            ("purpose", self.purpose.to_string()),
            ("evidence", lines(evidence.collect())),
        ];
        pairs.extend(self.duty.iter().map(|duty| ("duty", duty.text())));
        pairs.extend([("state", self.state.to_owned()), ("opened", self.opened_at.to_string())]);
        pairs.extend(self.time_stamp.iter().map(|text| ("time-stamp", text.clone())));
        pairs.extend([
            ("notice ends", self.notice_ends_at.to_string()),
            ("expires", self.expires_at.to_string()),
            ("consents", lines(consents.collect())),
            ("contributions", lines(spent.collect())),
            ("seen by", lines(seen.collect())),
            ("notified", lines(notified.collect())),
            ("objections", lines(objections.collect())),
        ]);
        if !self.acknowledgements.is_empty() {
            let said = self.acknowledgements.iter();
            let said = said.map(|a| format!("{} by {} at {}", a.what.noun(), a.member, a.at));
            pairs.push(("acknowledged", lines(said.collect())));
        }
        let missing = self.missing.iter().map(ToString::to_string);
        pairs.push(("missing", lines(missing.collect())));
        fields(&pairs)
    }

    /// For a table, with what the request wants of whoever looks at it.
    pub fn row_with_wanted(&self) -> Vec<String> {
        let mut row = self.row();
        row.insert(2, self.wanted.map(|wanted| self.wanted_text(wanted)).unwrap_or_default());
        row
    }

    fn wanted_text(&self, wanted: Wanted) -> String {
        match wanted {
            Wanted::Attest => "attestation".to_owned(),
            Wanted::Consent => "consent".to_owned(),
            Wanted::Share => "share".to_owned(),
            Wanted::Review => "look".to_owned(),
            Wanted::Settle => "word that objections are settled".to_owned(),
            Wanted::Retrieve => "retrieve".to_owned(),
            Wanted::Acknowledge => "acknowledge".to_owned(),
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
