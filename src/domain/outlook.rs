//! What a request still lacks, who can supply it, and when; and the same of an agreement, before
//! anything is asked for.

mod agreement;
mod upcoming;

pub use agreement::{Ahead, Coming, Opening, ahead, openings};
pub use upcoming::{Turn, Upcoming, upcoming, upcoming_in};

use std::fmt;

use serde::Serialize;

use crate::domain::id::{MemberPath, OrganisationName, Role, RuleName};
use crate::domain::needs::Alternative;
use crate::domain::refusal::Refusal;
use crate::domain::request::{DutyState, Request, State};
use crate::domain::statement::{Acknowledged, Attested, Basis, Duty};
use crate::domain::text::listed;
use crate::domain::time::Timestamp;
use crate::domain::trigger::Trigger;

/// Something a request still lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Missing {
    /// What the rule asks for has to be attested.
    Attestations(OpenSeats),
    /// It is too early for its rule.
    Date {
        /// Until when.
        until: Timestamp,
    },
    /// People of a role have to consent.
    Consents(OpenSeats),
    /// People have to consent, in one of several ways that are all as short.
    ConsentsEither {
        /// Which seats are empty on each of them.
        ways: Vec<Vec<OpenSeats>>,
    },
    /// People of more organisations have to consent, whichever seats they fill.
    Organisations {
        /// Of how many more.
        count: usize,
        /// Whose members they can be.
        organisations: Vec<OrganisationName>,
    },
    /// An objection has to be taken back.
    Withdrawal {
        /// By whose organisation.
        organisation: OrganisationName,
        /// Or else it has to be settled, in one of these ways.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        or: Vec<OpenSettlement>,
    },
    /// Reviewers have to see the request before consents count.
    Review {
        /// Which organisations.
        organisations: Vec<OrganisationName>,
    },
    /// Those who may object have to see the request, or to be notified of it.
    Notification {
        /// Which organisations.
        organisations: Vec<OrganisationName>,
    },
    /// Time has to pass.
    Notice {
        /// Until when.
        until: Timestamp,
    },
    /// Holders have to contribute.
    Contributions {
        /// How many of them.
        count: usize,
        /// Which can.
        organisations: Vec<OrganisationName>,
    },
    /// The requester has to take delivery.
    Retrieval {
        /// Whose member that is.
        organisation: OrganisationName,
    },
    /// The requester's organisation has to say that it did what it took upon itself.
    Acknowledgement {
        /// Which organisation.
        organisation: OrganisationName,
        /// What it has to acknowledge.
        acknowledged: Acknowledged,
        /// Until when.
        due_at: Timestamp,
        /// Whether that is over.
        is_overdue: bool,
    },
}

/// Seats of a role that are empty, and who can fill them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenSeats {
    /// How many people it takes.
    pub seats: u16,
    /// Of which role.
    pub role: Role,
    /// Whose members they can be.
    pub organisations: Vec<OrganisationName>,
    /// Which member of these it cannot be: whoever requests never consents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_than: Option<MemberPath>,
}

impl OpenSeats {
    /// Those of a way in which people have not filled all seats.
    fn all(request: &Request, open: Alternative) -> Vec<Self> {
        let each = open.into_iter().map(|(role, seats)| {
            let organisations = request.terms.in_role(&role).to_vec();
            Self { seats, role, organisations, other_than: None }
        });
        each.collect()
    }

    /// The same, where they are for consents.
    fn for_consents(request: &Request, open: Alternative) -> Vec<Self> {
        let requester = request.requester();
        let mut all = Self::all(request, open);
        for open in &mut all {
            let is_own = open.organisations.contains(&requester.organisation);
            open.other_than = is_own.then(|| requester.clone());
        }
        all
    }
}

impl fmt::Display for OpenSeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seats, role, organisations, other_than } = self;
        match seats {
            1 => f.write_str("a member of ")?,
            seats => write!(f, "{seats} members of ")?,
        }
        write!(f, "{} ({role})", listed(organisations, "or"))?;
        other_than.iter().try_for_each(|not| write!(f, " other than {not}"))
    }
}

/// A way to settle an objection, and what it still lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenSettlement {
    /// On what basis.
    pub basis: Basis,
    /// Whose word is missing.
    pub by: Vec<OpenSeats>,
}

/// What a request wants of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// The member's word that what the rule asks for has happened, if it has.
    Attest,
    /// The member's consent.
    Consent,
    /// The share of the member's organisation.
    Share,
    /// That the member sees it, as its organisation has to before consents count.
    Review,
    /// The member's word that objections are settled, if they are.
    Settle,
    /// That the member takes delivery.
    Retrieve,
    /// That the member's organisation does its duty, and says so.
    Acknowledge,
    /// Nothing; but the member's organisation may object while it is not released.
    MayObject,
}

/// What a request wants of this member at some moment.
pub fn wanted(request: &Request, member: &MemberPath, now: Timestamp) -> Option<Wanted> {
    let organisation = &member.organisation;
    let may_settle = || {
        let role = request.terms.role_of(organisation);
        request.standing_objections().any(|objection| {
            request.settling(objection).into_iter().any(|(basis, open)| {
                !objection.was_settled_by(member, basis)
                    && role.is_some_and(|role| open.contains_key(role))
            })
        })
    };
    let has_to_attest = || {
        let open = request.missing_attestations().unwrap_or_default();
        request.terms.role_of(organisation).is_some_and(|role| open.contains_key(role))
            && !request.attestations.iter().any(|attested| attested.by == *member)
    };
    let has_to_review = || request.unreviewed().contains(&organisation);
    let may_object = || {
        request.objectors().any(|who| who == organisation)
            && !request.has_consented(member, now)
            && request
                .objections
                .iter()
                .filter(|objection| objection.withdrawn.is_none())
                .all(|raised| raised.by.organisation != *organisation)
    };
    let objection = || may_object().then_some(Wanted::MayObject);
    match request.state(now) {
        State::Open | State::Objected if has_to_attest() => Some(Wanted::Attest),
        State::Open if has_to_review() => Some(Wanted::Review),
        State::Objected if may_settle() => Some(Wanted::Settle),
        State::Open if fills_a_seat(request, member, now) => Some(Wanted::Consent),
        State::Satisfied if request.awaited_holders(now).contains(&organisation) => {
            Some(Wanted::Share)
        }
        State::Open | State::Notice | State::Objected | State::Satisfied => objection(),
        State::Released => {
            let is_due = request.requester() == member && request.may_fetch(now).is_ok();
            is_due.then_some(Wanted::Retrieve)
        }
        State::Retrieved => {
            let is_own = request.requester().organisation == *organisation;
            (is_own && owed(request, now).is_some()).then_some(Wanted::Acknowledge)
        }
        State::Withdrawn | State::Expired => None,
    }
}

/// Whether the consent of this member would fill a seat that is empty.
pub fn fills_a_seat(request: &Request, member: &MemberPath, now: Timestamp) -> bool {
    let role = request.terms.role_of(&member.organisation);
    let ways = request.shortest_ways(now).unwrap_or_default();
    request.may_consent(member)
        && !request.has_consented(member, now)
        && (role.is_some_and(|role| ways.iter().any(|way| way.contains_key(role)))
            || (lacks_organisations(request, now)
                && request.other_organisations(now).contains(&&member.organisation)))
}

/// What the rule of a request asks to be attested, if it asks for that.
pub fn to_attest(request: &Request) -> Option<Attested> {
    match &request.rule()?.trigger {
        Trigger::Event { kind, attested: _ } => Some(Attested::Event(kind.clone())),
        Trigger::Order { attested: _ } => Some(Attested::Order),
        Trigger::Joint | Trigger::Missed { .. } | Trigger::Silence { .. } | Trigger::Date(_) => {
            None
        }
    }
}

/// Something is attested that the rule of a request does not ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule} asks for {} to be attested", asked_text(.asked.as_ref()))]
pub struct NotAsked {
    /// Which rule.
    pub rule: RuleName,
    /// What it asks for.
    pub asked: Option<Attested>,
}

impl NotAsked {
    /// What to do next.
    pub fn hint(&self) -> String {
        match &self.asked {
            Some(Attested::Event(kind)) => format!("if that has happened, write --event {kind}"),
            Some(Attested::Order) => "if there is one, write --order".to_owned(),
            None => "its consents are enough".to_owned(),
        }
    }
}

fn asked_text(asked: Option<&Attested>) -> String {
    match asked {
        Some(Attested::Event(kind)) => format!("an event of the kind {kind}"),
        Some(Attested::Order) => "an order of a court or regulator".to_owned(),
        None => "nothing".to_owned(),
    }
}

/// Whether the rule of a request asks for this to be attested.
pub fn is_asked(request: &Request, what: &Attested) -> Result<(), NotAsked> {
    let asked = to_attest(request);
    if asked.as_ref() == Some(what) {
        return Ok(());
    }
    Err(NotAsked { rule: request.statement.rule.clone(), asked })
}

/// What is due from a member on a request who approves of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// To consent, and then to contribute if that completes the rule.
    Consent,
    /// To contribute: the rule is met.
    Contribution,
    /// Nothing, now.
    Nothing,
}

/// What is due from this member at some moment, if approval is any of its business.
pub fn due(request: &Request, member: &MemberPath, now: Timestamp) -> Result<Due, Refusal> {
    if member == request.requester() {
        return Err(Refusal::OwnRequest(member.clone()));
    }
    let state = request.state(now);
    match state {
        State::Released | State::Retrieved | State::Withdrawn | State::Expired => {
            return Err(Refusal::RequestIs(state));
        }
        State::Open | State::Notice | State::Objected | State::Satisfied => {}
    }
    let awaited = request.awaited_holders(now).contains(&&member.organisation);
    if request.may_consent(member) && !request.has_consented(member, now) {
        Ok(Due::Consent)
    } else if awaited && state == State::Satisfied {
        Ok(Due::Contribution)
    } else if request.may_consent(member) || awaited {
        Ok(Due::Nothing)
    } else {
        let rule = request.statement.rule.clone();
        Err(Refusal::NotEntitled { who: member.clone(), what: "approve", rule })
    }
}

fn missing_consents(request: &Request, now: Timestamp) -> Vec<Missing> {
    let ways = request.shortest_ways(now).unwrap_or_default().into_iter();
    let mut ways: Vec<_> = ways.map(|way| OpenSeats::for_consents(request, way)).collect();
    if ways.len() > 1 {
        return vec![Missing::ConsentsEither { ways }];
    }
    ways.pop().unwrap_or_default().into_iter().map(Missing::Consents).collect()
}

/// Whether consents are missing that no seat asks for. While seats are open whoever fills them may
/// come from another organisation as well.
fn lacks_organisations(request: &Request, now: Timestamp) -> bool {
    request.missing_consents(now).is_some_and(|open| open.is_empty())
        && request.organisations_missing(now) > 0
}

/// What the requester's organisation still owes, and whether it is late.
fn owed(request: &Request, now: Timestamp) -> Option<(Duty, bool)> {
    match request.duty(now)? {
        (_, DutyState::Fulfilled { .. }) => None,
        (duty, DutyState::Open) => Some((duty, false)),
        (duty, DutyState::Overdue) => Some((duty, true)),
    }
}

/// What a request lacks at some moment, in the order in which it can be supplied. Nothing for a
/// request that has ended, unless something is owed for what was handed out.
pub fn missing(request: &Request, now: Timestamp) -> Vec<Missing> {
    let state = request.state(now);
    let mut found = Vec::new();
    match state {
        State::Withdrawn | State::Expired => return found,
        State::Retrieved => {
            let owed = owed(request, now).map(|(duty, is_overdue)| Missing::Acknowledgement {
                organisation: request.requester().organisation.clone(),
                acknowledged: duty.kind.fulfilled_by(),
                due_at: duty.by,
                is_overdue,
            });
            return owed.into_iter().collect();
        }
        State::Released if request.may_fetch(now).is_err() => return found,
        State::Released => {
            let organisation = request.requester().organisation.clone();
            return vec![Missing::Retrieval { organisation }];
        }
        State::Open | State::Notice | State::Objected | State::Satisfied => {}
    }
    for objection in request.standing_objections() {
        let or = request
            .settling(objection)
            .into_iter()
            .map(|(basis, open)| OpenSettlement { basis, by: OpenSeats::all(request, open) });
        let (organisation, or) = (objection.by.organisation.clone(), or.collect());
        found.push(Missing::Withdrawal { organisation, or });
    }
    let open = request.missing_attestations().unwrap_or_default();
    found.extend(OpenSeats::all(request, open).into_iter().map(Missing::Attestations));
    let date = request.rule().and_then(|rule| rule.trigger.date());
    if let Some(until) = date.filter(|date| now < *date) {
        found.push(Missing::Date { until });
    }
    let organisations: Vec<_> = request.unreviewed().into_iter().cloned().collect();
    if !organisations.is_empty() {
        found.push(Missing::Review { organisations });
    }
    found.extend(missing_consents(request, now));
    if lacks_organisations(request, now) {
        found.push(Missing::Organisations {
            count: request.organisations_missing(now),
            organisations: request.other_organisations(now).into_iter().cloned().collect(),
        });
    }
    let organisations: Vec<_> = request.unaware().into_iter().cloned().collect();
    if !organisations.is_empty() {
        found.push(Missing::Notification { organisations });
    }
    if now < request.notice_ends_at {
        found.push(Missing::Notice { until: request.notice_ends_at });
    }
    let count = request.contributions_missing();
    let awaited = request.awaited_holders(now).into_iter().cloned().collect();
    if count > 0 && request.is_triggered(now) && request.is_consented(now) {
        found.push(Missing::Contributions { count, organisations: awaited });
    }
    found
}

impl fmt::Display for OpenSettlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.basis.noun(), listed(&self.by, "and"))
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |organisations: &[OrganisationName]| listed(organisations, "or");
        match self {
            Self::Attestations(open) if open.seats == 1 => write!(f, "attestation of {open}"),
            Self::Attestations(open) => write!(f, "attestations of {open}"),
            Self::Date { until } => write!(f, "that it is {until}"),
            Self::Consents(open) if open.seats == 1 => write!(f, "consent of {open}"),
            Self::Consents(open) => write!(f, "consents of {open}"),
            Self::ConsentsEither { ways } => {
                let ways: Vec<_> = ways.iter().map(|way| listed(way, "and")).collect();
                write!(f, "consents of {}", ways.join(", or of "))
            }
            Self::Organisations { count: 1, organisations } => {
                write!(f, "consent of another organisation: {}", list(organisations))
            }
            Self::Organisations { count, organisations } => {
                write!(f, "consents of {count} other organisations, of {}", list(organisations))
            }
            Self::Withdrawal { organisation, or } => {
                write!(f, "withdrawal of the objection of {organisation}")?;
                or.iter().try_for_each(|or| write!(f, ", or {or}"))
            }
            Self::Review { organisations } => write!(
                f,
                "a look at the request by {}, before which no consent counts",
                listed(organisations, "and")
            ),
            Self::Notification { organisations } => write!(
                f,
                "a look at the request by {}, or evidence that they were notified",
                listed(organisations, "and")
            ),
            Self::Notice { until } => write!(f, "notice to run until {until}"),
            Self::Contributions { count: 1, organisations } => {
                write!(f, "contribution of {}", list(organisations))
            }
            Self::Contributions { count, organisations } => {
                write!(f, "{count} contributions, of {}", list(organisations))
            }
            Self::Retrieval { organisation } => {
                write!(f, "retrieval by the requester of {organisation}")
            }
            Self::Acknowledgement { organisation, acknowledged, due_at, is_overdue } => {
                let due = if *is_overdue { "overdue since" } else { "due by" };
                let what = acknowledged.noun();
                write!(f, "acknowledgement of {what} by {organisation}, {due} {due_at}")
            }
        }
    }
}
