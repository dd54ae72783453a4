//! What may be said about a request, by whom, and when.

use crate::domain::agreement::Agreement;
use crate::domain::deposit::Deposit;
use crate::domain::id::MemberPath;
use crate::domain::needs::Needs;
use crate::domain::refusal::Refusal;
use crate::domain::request::{Objection, OpenRequests, Request, State};
use crate::domain::rules::CLOCK_SKEW_MAX;
use crate::domain::statement::{self, Acknowledged, Attested, Basis, RequestRef, Withdrawn};
use crate::domain::time::Timestamp;
use crate::domain::trigger::Trigger;

/// Documents that may support one request.
pub const EVIDENCE_MAX: usize = 32;
/// Requests that one member may have open in one agreement.
pub const OPEN_MAX: usize = 64;
/// Notifications that may be recorded with one request.
pub const NOTIFICATIONS_MAX: usize = 32;

pub(super) const UNDECIDED: [State; 4] =
    [State::Open, State::Notice, State::Objected, State::Satisfied];

/// May this request be opened?
pub fn decide_request(
    agreement: &Agreement,
    deposit: &Deposit,
    request: &statement::Request,
    now: Timestamp,
) -> Result<(), Refusal> {
    agreement.in_force()?;
    agreement.in_term(now)?;
    deposit.is_stored()?;
    let key = agreement.key()?;
    let pins = [
        ("the digest of the terms", request.terms_sha256, agreement.terms_sha256),
        ("the digest of the release key", request.release_key_sha256, key.sha256),
        ("the release key of the deposit", key.sha256, deposit.statement.release_key_sha256),
        ("the digest of the deposit", request.deposit_sha256, deposit.statement_sha256),
        ("the digest of the bundle", request.bundle_sha256, deposit.statement.sha256),
        ("the digest of the header", request.header_sha256, deposit.statement.header_sha256),
    ];
    if let Some((what, _, _)) = pins.iter().find(|(_, named, actual)| named != actual) {
        return Err(Refusal::Mismatch(what));
    }
    if request.epoch != key.epoch {
        return Err(Refusal::Mismatch("the epoch of the release key"));
    }
    if request.evidence.len() > EVIDENCE_MAX {
        return Err(Refusal::Limit { what: "documents with this request", limit: EVIDENCE_MAX });
    }
    if let Some(duty) = request.duty.filter(|duty| duty.by <= now) {
        return Err(Refusal::DutyPast { by: duty.by, now });
    }
    let rule = agreement
        .terms
        .rule(&request.rule)
        .ok_or_else(|| Refusal::NoSuchRule(request.rule.clone()))?;
    let unmet = agreement.unmet(rule, now);
    if !unmet.is_empty() {
        return Err(Refusal::NotTriggered { rule: rule.name.clone(), unmet });
    }
    if !agreement.grants(rule, deposit) {
        let (rule, grants) = (rule.name.clone(), rule.grants.to_string());
        return Err(Refusal::NotGranted { rule, grants });
    }
    if rule.duty.is_some() && request.duty.is_some() {
        return Err(Refusal::DutyOfRule(rule.name.clone()));
    }
    let by = &request.made.by;
    match agreement.terms.role_of(&by.organisation) {
        Some(role) if rule.requesters.contains(role) => Ok(()),
        Some(_) | None => {
            let rule = request.rule.clone();
            Err(Refusal::NotEntitled { who: by.clone(), what: "request", rule })
        }
    }
}

/// May a member have one more request open, besides these, which expire so?
pub fn decide_one_more(open: &OpenRequests, now: Timestamp) -> Result<(), Refusal> {
    if open.values().filter(|expires_at| now < **expires_at).count() < OPEN_MAX {
        return Ok(());
    }
    Err(Refusal::Limit { what: "open requests by this member", limit: OPEN_MAX })
}

/// May this consent be counted?
pub fn decide_consent(
    request: &Request,
    consent: &statement::Consent,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &consent.made.by;
    request.is_meant(&consent.request)?;
    if by == request.requester() {
        return Err(Refusal::OwnRequest(by.clone()));
    }
    if request.has_consented(by, now) {
        return Err(Refusal::Already { who: by.to_string(), what: "consented" });
    }
    request.refuse_unless(now, &UNDECIDED)?;
    if request.may_consent(by) { Ok(()) } else { Err(request.not_entitled(by, "consent")) }
}

/// May this contribution be taken? Its mathematics is checked before, by whoever has it.
pub fn decide_contribution(
    agreement: &Agreement,
    request: &Request,
    deposit: &Deposit,
    contribution: &statement::Contribution,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &contribution.made.by;
    request.is_meant(&contribution.request)?;
    deposit.is_stored()?;
    if contribution.epoch != request.statement.epoch || contribution.epoch != agreement.key()?.epoch
    {
        return Err(Refusal::Mismatch("the epoch of the release key"));
    }
    if request.has_contributed(&by.organisation) {
        return Err(Refusal::Already { who: by.organisation.to_string(), what: "contributed" });
    }
    request.refuse_unless(now, &[State::Satisfied])?;
    if request.awaited_holders(now).contains(&&by.organisation) {
        Ok(())
    } else {
        Err(request.not_entitled(by, "contribute"))
    }
}

/// May this sight be entered?
pub fn decide_seen(
    request: &Request,
    seen: &statement::Seen,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &seen.made.by;
    request.is_meant(&seen.request)?;
    request.refuse_unless(now, &UNDECIDED)?;
    if !request.is_to_see(&by.organisation) {
        return Err(request.not_entitled(by, "object, so its sight means nothing"));
    }
    // Notice runs from sights: one from before there was anything to see would cut it short.
    request.refuse_backdated(seen.made.at)?;
    if request.awaits_sight_by(by) {
        Ok(())
    } else {
        Err(Refusal::Already { who: by.to_string(), what: "seen this request" })
    }
}

/// May this notification be recorded?
pub fn decide_notification(
    request: &Request,
    notification: &statement::Notification,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &notification.made.by;
    request.is_meant(&notification.request)?;
    request.refuse_unless(now, &UNDECIDED)?;
    if request.notifications.len() >= NOTIFICATIONS_MAX {
        let what = "notifications of this request";
        return Err(Refusal::Limit { what, limit: NOTIFICATIONS_MAX });
    }
    let is_requesters = by.organisation == request.requester().organisation;
    if request.objectors().next().is_some() && request.may_consent(by) && !is_requesters {
        Ok(())
    } else {
        Err(request.not_entitled(by, "record notifications"))
    }
}

/// May this time-stamp be taken? Its token is verified by whoever can. The first one stays: tokens are
/// of the moment they are asked for, so that no later one tells more, and there is one of each request.
pub fn decide_time_stamp(
    request: &Request,
    stamp: &statement::TimeStamp,
    now: Timestamp,
) -> Result<(), Refusal> {
    request.is_meant(&stamp.request)?;
    if request.terms.time_stamps.is_none() {
        return Err(Refusal::NoAuthority);
    }
    if request.stamped.is_some() {
        return Err(Refusal::Already { who: request.id.to_string(), what: "been time-stamped" });
    }
    request.refuse_unless(now, &UNDECIDED)?;
    if stamp.at > now.after(CLOCK_SKEW_MAX) {
        return Err(Refusal::Early { at: stamp.at, now });
    }
    // A requester has its statement stamped long before it hands it in, if that is of any use.
    request.refuse_backdated(stamp.at)
}

/// May this objection stand? What was settled stays settled, whichever member of an organisation
/// raises it next.
pub fn decide_objection(
    request: &Request,
    objection: &statement::Objection,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &objection.made.by;
    request.is_meant(&objection.request)?;
    if request.is_objected_by(&by.organisation) {
        return Err(Refusal::Already { who: by.organisation.to_string(), what: "objected" });
    }
    request.refuse_unless(now, &UNDECIDED)?;
    let own = |objection: &&Objection| objection.by.organisation == by.organisation;
    if request.objections.iter().filter(own).any(|objection| request.is_settled(objection)) {
        return Err(Refusal::Settled(by.organisation.clone()));
    }
    let role = request.terms.role_of(&by.organisation);
    let objectors = request.rule().map_or(&[][..], |rule| &rule.objection);
    if role.is_some_and(|role| objectors.contains(role)) {
        Ok(())
    } else {
        Err(request.not_entitled(by, "object"))
    }
}

/// May this be attested?
pub fn decide_attestation(
    request: &Request,
    attestation: &statement::Attestation,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &attestation.made.by;
    request.is_meant(&attestation.request)?;
    let trigger = request.rule().map(|rule| &rule.trigger);
    let named = match (trigger, &attestation.what) {
        (Some(Trigger::Event { kind, attested }), Attested::Event(what)) if kind == what => {
            Some(attested)
        }
        (Some(Trigger::Order { attested }), Attested::Order) => Some(attested),
        (_, Attested::Event(_) | Attested::Order) => None,
    };
    let role = request.terms.role_of(&by.organisation);
    let roles = named.map(Needs::roles).unwrap_or_default();
    if !role.is_some_and(|role| roles.contains(role)) {
        return Err(request.not_entitled(by, "attest this"));
    }
    if request.attestations.iter().any(|attested| attested.by == *by) {
        return Err(Refusal::Already { who: by.to_string(), what: "attested this" });
    }
    request.refuse_unless(now, &UNDECIDED)?;
    match attestation.evidence.len() {
        0 => Err(Refusal::NoEvidence),
        1..=EVIDENCE_MAX => Ok(()),
        _ => {
            let what = "documents with this attestation";
            Err(Refusal::Limit { what, limit: EVIDENCE_MAX })
        }
    }
}

/// May this be said of the objections that stand?
pub fn decide_settlement(
    request: &Request,
    settlement: &statement::Settlement,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (by, basis) = (&settlement.made.by, settlement.basis);
    request.is_meant(&settlement.request)?;
    request.refuse_unless(now, &[State::Objected])?;
    let settled_by = request.rule().and_then(|rule| rule.settled_by.as_ref());
    let roles = settled_by.and_then(|by| by.on(basis)).map(Needs::roles).unwrap_or_default();
    let role = request.terms.role_of(&by.organisation);
    if !role.is_some_and(|role| roles.contains(role)) {
        let what = match basis {
            Basis::Joint => "settle objections by joint instruction",
            Basis::Award => "settle objections by award",
            Basis::Order => "settle objections by order",
        };
        return Err(request.not_entitled(by, what));
    }
    match (basis, settlement.evidence.len()) {
        (Basis::Award | Basis::Order, 0) => return Err(Refusal::NoEvidence),
        (Basis::Joint | Basis::Award | Basis::Order, 0..=EVIDENCE_MAX) => {}
        (Basis::Joint | Basis::Award | Basis::Order, _) => {
            let what = "documents with this settlement";
            return Err(Refusal::Limit { what, limit: EVIDENCE_MAX });
        }
    }
    if request.standing_objections().all(|objection| objection.was_settled_by(by, basis)) {
        let what = "said so of every objection that stands";
        return Err(Refusal::Already { who: by.to_string(), what });
    }
    Ok(())
}

/// May this be taken back?
pub fn decide_withdrawal(
    request: &Request,
    withdrawal: &statement::Withdrawal,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &withdrawal.made.by;
    request.is_meant(&withdrawal.request)?;
    match withdrawal.withdrawn {
        Withdrawn::Request if by.organisation != request.requester().organisation => {
            Err(match request.is_objected_by(&by.organisation) {
                true => Refusal::OwnObjection(by.organisation.clone()),
                false => request.not_entitled(by, "withdraw somebody else's request"),
            })
        }
        Withdrawn::Request => request.refuse_unless(now, &UNDECIDED),
        Withdrawn::Objection => {
            request.refuse_unless(now, &UNDECIDED)?;
            let organisation = &by.organisation;
            let own = |o: &&Objection| o.by.organisation == *organisation;
            if request.is_objected_by(organisation) {
                Ok(())
            } else if request.objections.iter().filter(own).any(|o| request.is_settled(o)) {
                Err(Refusal::Settled(organisation.clone()))
            } else {
                Err(Refusal::NotFound(format!("an objection of {organisation}")))
            }
        }
    }
}

/// May delivery be taken? What was accepted before is the same delivery, and goes on; it counts
/// no further time.
pub fn decide_retrieval(
    request: &Request,
    deposit: &Deposit,
    retrieval: &statement::Retrieval,
    is_repeated: bool,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &retrieval.made.by;
    request.is_meant(&retrieval.request)?;
    if by != request.requester() {
        return Err(request.not_entitled(by, "retrieve"));
    }
    request.refuse_unless(now, &[State::Released, State::Retrieved])?;
    match (request.may_fetch(now), is_repeated) {
        (Ok(()), _) | (Err(Refusal::FetchedOften(_)), true) => deposit.is_stored(),
        (Err(refusal), _) => Err(refusal),
    }
}

/// May this be acknowledged? Each organisation says each thing once.
pub fn decide_acknowledgement(
    request: &Request,
    acknowledgement: &statement::Acknowledgement,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (by, what) = (&acknowledgement.made.by, acknowledgement.what);
    let own = &by.organisation;
    request.is_meant(&acknowledgement.request)?;
    if !request.may_acknowledge(own, what) {
        return Err(request.not_entitled(
            by,
            match what {
                Acknowledged::Received => "acknowledge receipt",
                Acknowledged::Returned => "acknowledge the return",
                Acknowledged::Destroyed => "acknowledge the destruction",
                Acknowledged::Reported => "acknowledge the report",
            },
        ));
    }
    request.refuse_unless(now, &[State::Retrieved])?;
    if request.acknowledgement(own, what).is_some() {
        let what = match what {
            Acknowledged::Received => "acknowledged receipt",
            Acknowledged::Returned => "acknowledged the return",
            Acknowledged::Destroyed => "acknowledged the destruction",
            Acknowledged::Reported => "acknowledged the report",
        };
        return Err(Refusal::Already { who: own.to_string(), what });
    }
    Ok(())
}

impl Request {
    fn refuse_unless(&self, now: Timestamp, states: &[State]) -> Result<(), Refusal> {
        let state = self.state(now);
        if states.contains(&state) { Ok(()) } else { Err(Refusal::RequestIs(state)) }
    }

    /// What is dated from before the request was made and opened tells nothing of when it was known.
    fn refuse_backdated(&self, at: Timestamp) -> Result<(), Refusal> {
        let asked_at = self.opened_at.max(self.statement.made.at);
        if at.after(CLOCK_SKEW_MAX) < asked_at {
            return Err(Refusal::Backdated { at, asked_at });
        }
        Ok(())
    }

    fn is_meant(&self, named: &RequestRef) -> Result<(), Refusal> {
        if named.id == self.id && named.sha256 == self.statement_sha256 {
            Ok(())
        } else {
            Err(Refusal::Mismatch("the digest of the request"))
        }
    }

    fn not_entitled(&self, who: &MemberPath, what: &'static str) -> Refusal {
        let rule = self.statement.rule.clone();
        Refusal::NotEntitled { who: who.clone(), what, rule }
    }
}
