//! Requests as commands put them out.

use serde::Serialize;

use crate::cli::output::fields;
use crate::domain::deposit;
use crate::domain::id::{
    AgreementId, DepositId, MemberPath, OrganisationName, RequestId, RuleName,
};
use crate::domain::outlook::{Missing, Upcoming, Wanted, missing, upcoming, upcoming_in};
use crate::domain::request::{self, DutyState, State};
use crate::domain::statement::{Acknowledged, Basis, Duty, DutyKind, Evidence};
use crate::domain::text::Text;
use crate::domain::time::{Span, Timestamp};

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

/// What has to have happened, if people have to attest it.
fn trigger_text(request: &request::Request) -> Option<String> {
    let trigger = &request.rule()?.trigger;
    trigger.attested().map(|_| trigger.to_string())
}

/// Who has to see a request before consents count.
fn reviewers(request: &request::Request) -> Vec<ReviewerView> {
    let roles = request.rule().map_or(&[][..], |rule| &rule.reviewers);
    let unreviewed = request.unreviewed();
    let all = roles.iter().flat_map(|role| request.terms.in_role(role));
    let others = all.filter(|who| **who != request.requester().organisation);
    let view = |who: &OrganisationName| ReviewerView {
        organisation: who.clone(),
        has_seen: !unreviewed.contains(&who),
    };
    others.map(view).collect()
}

/// Things below each other.
fn lines(lines: Vec<String>) -> String {
    match lines.is_empty() {
        true => "none".to_owned(),
        false => lines.join("\n"),
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
    duty: Option<DutyView>,
    state: &'static str,
    opened_at: Timestamp,
    time_stamped_at: Option<Timestamp>,
    notice_ends_at: Timestamp,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<String>,
    attestations: Vec<AttestationView>,
    reviewers: Vec<ReviewerView>,
    consents: Vec<ConsentView>,
    contributions: Vec<ContributionView>,
    seen: Vec<SightView>,
    notifications: Vec<NotificationView>,
    objections: Vec<ObjectionView>,
    acknowledgements: Vec<AcknowledgementView>,
    missing: Vec<Missing>,
    next: Vec<Upcoming>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<Wanted>,
    #[serde(skip)]
    time_stamp: Option<String>,
    #[serde(skip)]
    notice_runs: bool,
}

/// That what the rule asks for has happened, as somebody says.
#[derive(Debug, Serialize)]
struct AttestationView {
    member: MemberPath,
    organisation: OrganisationName,
    evidence: Vec<Evidence>,
    at: Timestamp,
}

/// Who has to see a request before consents count, and whether it has.
#[derive(Debug, Serialize)]
struct ReviewerView {
    organisation: OrganisationName,
    has_seen: bool,
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
    settlements: Vec<SettlementView>,
    settled: bool,
    withdrawn_at: Option<Timestamp>,
}

/// That an objection is settled, as somebody says.
#[derive(Debug, Serialize)]
struct SettlementView {
    basis: Basis,
    member: MemberPath,
    organisation: OrganisationName,
    evidence: Vec<Evidence>,
    at: Timestamp,
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
    /// Where it runs from a release: how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<Span>,
    /// Nothing, while it runs from a release that there has not been.
    due_at: Option<Timestamp>,
    state: &'static str,
    fulfilled_at: Option<Timestamp>,
    #[serde(skip)]
    confirmed: Option<String>,
}

/// Where a duty stands whose request came to nothing.
const VOID: &str = "void";

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
        let within = request.rule().and_then(|rule| rule.duty).map(|of_rule| of_rule.within);
        let runs = within.is_none() || request.released_at().is_some();
        let has_ended = match request.state(now) {
            State::Withdrawn | State::Expired => true,
            State::Open
            | State::Notice
            | State::Objected
            | State::Satisfied
            | State::Released
            | State::Retrieved => false,
        };
        Some(Self {
            kind: duty.kind,
            within,
            due_at: runs.then_some(duty.by),
            state: if has_ended { VOID } else { state.word() },
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
        let duty = match (self.due_at, self.within) {
            (Some(by), _) => duty_text(&Duty { kind: self.kind, by }),
            (None, within) => {
                let within = within.map(|within| format!(" within {within} of the release"));
                format!("{}{}", self.kind.word(), within.unwrap_or_default())
            }
        };
        let state = match (self.fulfilled_at, self.due_at) {
            (Some(at), Some(due_at)) if at > due_at => format!(": fulfilled late, at {at}"),
            (Some(at), _) => format!(": fulfilled at {at}"),
            (None, _) if self.state == VOID => ": void, for nothing was handed out".to_owned(),
            (None, Some(_)) => format!(": {}", self.state),
            (None, None) => String::new(),
        };
        let confirmed = self.confirmed.iter().map(|confirmed| format!("; {confirmed}"));
        format!("{duty}{state}{}", confirmed.collect::<String>())
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
        let attestations = request.attestations.iter().map(|attested| AttestationView {
            member: attested.by.clone(),
            organisation: organisation(&attested.by),
            evidence: attested.evidence.clone(),
            at: attested.at,
        });
        let settlements = |objection: &request::Objection| {
            let settled = objection.settlements.iter().map(|settled| SettlementView {
                basis: settled.basis,
                member: settled.by.clone(),
                organisation: organisation(&settled.by),
                evidence: settled.evidence.clone(),
                at: settled.at,
            });
            settled.collect()
        };
        let objections = request.objections.iter().map(|objection| ObjectionView {
            member: objection.by.clone(),
            organisation: organisation(&objection.by),
            reason: objection.reason.clone(),
            at: objection.at,
            settlements: settlements(objection),
            settled: request.is_settled(objection),
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
            trigger: trigger_text(request),
            attestations: attestations.collect(),
            reviewers: reviewers(request),
            consents: consents.collect(),
            contributions: contributions.collect(),
            seen: seen.collect(),
            notifications: notifications.collect(),
            objections: objections.collect(),
            acknowledgements: acknowledgements.collect(),
            missing: missing(request, now),
            next: upcoming(request, now),
            wanted: None,
            time_stamp: time_stamp_text(request),
            notice_runs: now < request.notice_ends_at,
        }
    }

    /// With what happens next where it has been known of in these homes since then.
    pub fn known_in(
        self,
        request: &request::Request,
        homes: &[(MemberPath, Timestamp)],
        now: Timestamp,
    ) -> Self {
        Self { next: upcoming_in(request, homes, now), ..self }
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
        let consents = self.consents.iter().map(|c| format!("{} at {}", c.member, c.at));
        let spent = self.contributions.iter().map(|c| format!("{} at {}", c.holder, c.at));
        let objections = self.objections.iter().map(|o| {
            let settled = o.settlements.iter().map(|s| {
                let documents = s.evidence.iter().map(|e| format!("\n      {}", document(e)));
                let documents = documents.collect::<String>();
                format!("\n    {} at {}: {}{documents}", s.member, s.at, s.basis.noun())
            });
            let settled = settled.collect::<String>();
            let withdrawn = o.withdrawn_at.map(|at| format!(", withdrawn at {at}"));
            let withdrawn = match o.settled && withdrawn.is_none() {
                true => ", settled".to_owned(),
                false => withdrawn.unwrap_or_default(),
            };
            format!("{} at {}{withdrawn}: {}{settled}", o.member, o.at, o.reason)
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
        ]);
        if let Some(trigger) = &self.trigger {
            let attested = self.attestations.iter().map(|a| {
                let documents = a.evidence.iter().map(|e| format!("\n    {}", document(e)));
                format!("{} at {}{}", a.member, a.at, documents.collect::<String>())
            });
            pairs.push(("given", trigger.clone()));
            pairs.push(("attested", lines(attested.collect())));
        }
        if !self.reviewers.is_empty() {
            let seen = |r: &ReviewerView| if r.has_seen { "has seen it" } else { "not yet" };
            let reviewers = self.reviewers.iter();
            let reviewers = reviewers.map(|r| format!("{}: {}", r.organisation, seen(r)));
            pairs.push(("reviewers", lines(reviewers.collect())));
        }
        pairs.extend([
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
        pairs.extend(self.outlook());
        fields(&pairs)
    }

    /// What is missing, and what happens next, for people.
    pub fn outlook(&self) -> [(&'static str, String); 2] {
        let missing = self.missing.iter().map(ToString::to_string);
        let next = self.next.iter().map(|next| format!("{}: {}", next.at, next.turn));
        [("missing", lines(missing.collect())), ("next", lines(next.collect()))]
    }

    /// Where it stands, in one word.
    pub fn state(&self) -> &'static str {
        self.state
    }

    /// What its duty has come to, if there is one, for people.
    pub fn duty(&self) -> Option<String> {
        self.duty.as_ref().map(DutyView::text)
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
            Wanted::Settle => "settlement".to_owned(),
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
