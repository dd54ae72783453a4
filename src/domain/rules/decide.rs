//! What may become an event, and what may be read.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::domain::agreement::{self, Agreement};
use crate::domain::amendment::{self, Amendment};
use crate::domain::deposit::{self, Deposit};
use crate::domain::event::ENGINE;
use crate::domain::id::{AgreementId, DepositId, Digest, MemberPath, OrganisationName};
use crate::domain::organisation::{self, Organisation};
use crate::domain::refusal::Refusal;
use crate::domain::request::{self, Request};
use crate::domain::rules::{
    CLOCK_SKEW_MAX, Circumstances, VALIDITY_MAX, as_judged, judged_amendment,
};
use crate::domain::soundness;
use crate::domain::statement::{Ground, Log, Proposal, RequestRef, Stated, Statement, Withdrawn};
use crate::domain::states::States;
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;

/// May this statement become an event? A statement becomes one once.
pub fn decide(
    states: &States,
    stated: &Stated,
    circumstances: &Circumstances,
) -> Result<(), Refusal> {
    // A request or proposal accepted twice would begin anew, and forget what was said against it.
    if states.statement(&stated.digest).is_some() {
        let who = stated.statement.made().by.to_string();
        return Err(Refusal::Already { who, what: "made this statement" });
    }
    holds(states, stated, circumstances)
}

/// Does this statement hold now, whether or not it has become an event before? Asked where the
/// answer to a repetition is an act, such as a certificate or a delivery.
pub fn holds(
    states: &States,
    stated: &Stated,
    circumstances: &Circumstances,
) -> Result<(), Refusal> {
    let (statement, now) = (&stated.statement, circumstances.now);
    let made = statement.made();
    if made.log != circumstances.log {
        return Err(Refusal::OtherLog);
    }
    if statement.engine() > circumstances.engine {
        return Err(Refusal::LaterRules(statement.engine()));
    }
    if made.at > now.after(CLOCK_SKEW_MAX) {
        return Err(Refusal::Early { at: made.at, now });
    }
    let own = states.organisation(&made.by.organisation);
    match statement {
        Statement::Invitation(s) => {
            let operator = states.vault().map(|vault| &vault.operator_key);
            let organisation = states.organisation(&s.member.organisation);
            organisation::decide_invitation(organisation, operator, s, stated, now)
        }
        Statement::Organisation(s) => organisation::decide_organisation(own, s, stated, now),
        Statement::Join(s) => organisation::decide_join(own, s, stated, now),
        Statement::Confirmation(s) => {
            let organisation = states.organisation(&s.member.organisation);
            organisation::decide_confirmation(organisation, s, stated)
        }
        Statement::Revocation(s) => {
            let organisation = states.organisation(&s.member.organisation);
            organisation::decide_revocation(organisation, s, stated, now)
        }
        Statement::Renewal(_) if is_operator(states, stated) => Ok(()),
        Statement::Renewal(s) => organisation::decide_renewal(own, s, stated),
        Statement::Registration(_) => actor(own, stated),
        Statement::Proposal(s) => decide_proposal(states, own, s, stated),
        Statement::ReleaseKey(s) => {
            actor(own, stated)?;
            let agreement = agreement(states, &s.agreement, &made.by)?;
            agreement::decide_release_key(agreement, s)?;
            s.shares.iter().try_for_each(|share| recipient(states, &share.member))
        }
        Statement::Acceptance(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            agreement::decide_acceptance(agreement, s)
        }
        Statement::Declination(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            agreement::decide_declination(agreement)
        }
        Statement::Amendment(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            amendment::decide_amendment(agreement, s)
        }
        Statement::Countersignature(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            let amendment = amendment(states, &s.amendment_sha256, agreement)?;
            amendment::decide_countersignature(agreement, &amendment, s)
        }
        Statement::Termination(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            agreement::decide_termination(agreement, s)
        }
        Statement::RevocationNotice(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            organisation::decide_revocation_notice(own, s)?;
            agreement::decide_revocation_notice(agreement, s)
        }
        Statement::Resumption(s) => {
            let agreement = resting(states, own, stated, &s.ground, circumstances)?;
            agreement::decide_resumption(agreement, s)
        }
        Statement::Reminder(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            agreement::decide_reminder(agreement, s, now)
        }
        Statement::Reseal(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            agreement::decide_reseal(agreement, s)?;
            recipient(states, &s.share.member)
        }
        Statement::Deposit(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            let twin = states.twin(&agreement.id, &s.sha256);
            // One that was lost may be handed in again.
            let is_lost =
                |id: &&DepositId| states.deposit(id).is_some_and(|twin| twin.is_stored().is_err());
            deposit::decide(agreement, twin.filter(|id| !is_lost(id)), s, now)
        }
        Statement::Request(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            let deposit = deposit(states, &s.deposit, agreement)?;
            request::decide_request(agreement, deposit, s, now)?;
            request::decide_one_more(states.open_requests(&agreement.id, &made.by), now)
        }
        Statement::Consent(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_consent(&*request(states, &s.request, agreement)?, s, now)
        }
        Statement::Contribution(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            let request = request(states, &s.request, agreement)?;
            let deposit = deposit(states, &request.deposit, agreement)?;
            request::decide_contribution(agreement, &request, deposit, s, now)
        }
        Statement::Seen(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_seen(&*request(states, &s.request, agreement)?, s, now)
        }
        Statement::Notification(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_notification(&*request(states, &s.request, agreement)?, s, now)
        }
        Statement::Objection(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_objection(&*request(states, &s.request, agreement)?, s, now)
        }
        Statement::Attestation(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_attestation(&*request(states, &s.request, agreement)?, s, now)
        }
        Statement::Settlement(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_settlement(&*request(states, &s.request, agreement)?, s, now)
        }
        Statement::Withdrawal(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_withdrawal(&*request(states, &s.request, agreement)?, s, now)
        }
        Statement::Retrieval(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            let request = request(states, &s.request, agreement)?;
            let deposit = deposit(states, &request.deposit, agreement)?;
            let is_repeated = states.statement(&stated.digest).is_some();
            request::decide_retrieval(&request, deposit, s, is_repeated, now)
        }
        Statement::Acknowledgement(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_acknowledgement(&*request(states, &s.request, agreement)?, s, now)
        }
        Statement::TimeStamp(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_time_stamp(&*request(states, &s.request, agreement)?, s, now)
        }
    }
}

/// May the vault note that an agreement goes on? `resumptions` are the statements it names, each
/// with the commitment of the event that it says it saw.
pub fn decide_resumed(
    states: &States,
    id: &AgreementId,
    resumptions: &[(Stated, Option<Digest>)],
    log: &Log,
    now: Timestamp,
) -> Result<(), Refusal> {
    let agreement = states.agreement(id).ok_or_else(|| Refusal::NotFound(id.to_string()))?;
    let mut awaited: BTreeSet<_> = agreement.terms.organisations().cloned().collect();
    for (stated, saw) in resumptions {
        let Statement::Resumption(s) = &stated.statement else {
            return Err(Refusal::Mismatch("a resumption"));
        };
        if s.made.log != *log || s.ground.agreement != *id {
            return Err(Refusal::Mismatch("a resumption"));
        }
        let own = states.organisation(&s.made.by.organisation);
        // It was accepted while it was good; others may have taken longer.
        let now = now.min(s.ground.valid_until);
        let circumstances = Circumstances { log: log.clone(), engine: ENGINE, now, saw: *saw };
        let agreement = resting(states, own, stated, &s.ground, &circumstances)?;
        agreement::decide_resumption(agreement, s)?;
        awaited.remove(&s.made.by.organisation);
    }
    match awaited.is_empty() {
        true => Ok(()),
        false => Err(Refusal::Suspended(awaited.into_iter().collect())),
    }
}

/// May this member read this stream? `named` is what the reader knows of the organisation it asks
/// about: its fingerprint was told by the organisation itself. The operator opens the door to
/// organisations, and reads who has come in by it; it reads no agreement.
pub fn may_read(
    states: &States,
    stream: &Stream,
    reader: &MemberPath,
    shares_agreement: bool,
    named: bool,
) -> Result<(), Refusal> {
    let is_operator = *reader == MemberPath::operator();
    let is_own = |name: &OrganisationName| !is_operator && *name == reader.organisation;
    let allowed = match stream {
        Stream::Vault => false,
        Stream::Organisation(name) => {
            let is_let_in = is_operator && states.organisation(name).is_some();
            is_own(name) || shares_agreement || named || is_let_in
        }
        Stream::OrganisationAccesses(name) | Stream::OrganisationRegistrations(name) => {
            is_own(name)
        }
        Stream::Agreement(id) | Stream::AgreementAccesses(id) => {
            agreement(states, id, reader).is_ok()
        }
    };
    if allowed { Ok(()) } else { Err(Refusal::NotFound(stream.to_string())) }
}

/// The agreement a statement rests on, where it goes on.
fn grounded<'s>(
    states: &'s States,
    own: Option<&Organisation>,
    stated: &Stated,
    ground: &Ground,
    circumstances: &Circumstances,
) -> Result<&'s Agreement, Refusal> {
    let agreement = resting(states, own, stated, ground, circumstances)?;
    if agreement.terms.format.engine() > circumstances.engine {
        return Err(Refusal::LaterRules(agreement.terms.format.engine()));
    }
    agreement.goes_on_in(circumstances.log.generation)?;
    Ok(agreement)
}

/// The agreement a statement rests on, once signer, time and ground have been judged. Strangers
/// are answered as if it did not exist; the signer is judged first, so that nobody finds out in a
/// party's name what that party may know.
fn resting<'s>(
    states: &'s States,
    own: Option<&Organisation>,
    stated: &Stated,
    ground: &Ground,
    circumstances: &Circumstances,
) -> Result<&'s Agreement, Refusal> {
    let made = stated.statement.made();
    actor(own, stated)?;
    let agreement = agreement(states, &ground.agreement, &made.by)?;
    let (now, valid_until) = (circumstances.now, ground.valid_until);
    if now > valid_until {
        return Err(Refusal::Late { valid_until, now });
    }
    if valid_until > made.at.after(VALIDITY_MAX) {
        return Err(Refusal::TooLong);
    }
    if circumstances.saw != Some(ground.saw.commitment) {
        return Err(Refusal::Forked);
    }
    if ground.saw.sequence < agreement.floor && !holds_blindly(&stated.statement) {
        return Err(Refusal::Outdated { saw: ground.saw.sequence, floor: agreement.floor });
    }
    Ok(agreement)
}

/// Whether a statement only blocks or takes away, or tells what is over. Such a one holds whatever
/// its signer had not seen yet: the floor rises by what others do, and must keep nobody from
/// objecting, nor from saying in time that a duty was done. To take back or settle an objection is
/// not among these; it lets a release go on.
fn holds_blindly(statement: &Statement) -> bool {
    match statement {
        Statement::Withdrawal(s) => match s.withdrawn {
            Withdrawn::Request => true,
            Withdrawn::Objection => false,
        },
        Statement::Objection(_)
        | Statement::Seen(_)
        | Statement::RevocationNotice(_)
        | Statement::Declination(_)
        | Statement::Acknowledgement(_) => true,
        Statement::Invitation(_)
        | Statement::Organisation(_)
        | Statement::Join(_)
        | Statement::Confirmation(_)
        | Statement::Revocation(_)
        | Statement::Renewal(_)
        | Statement::Registration(_)
        | Statement::Proposal(_)
        | Statement::ReleaseKey(_)
        | Statement::Acceptance(_)
        | Statement::Amendment(_)
        | Statement::Countersignature(_)
        | Statement::Termination(_)
        | Statement::Resumption(_)
        | Statement::Reseal(_)
        | Statement::Deposit(_)
        | Statement::Request(_)
        | Statement::Consent(_)
        | Statement::Contribution(_)
        | Statement::Notification(_)
        | Statement::Reminder(_)
        | Statement::Attestation(_)
        | Statement::Settlement(_)
        | Statement::Retrieval(_)
        | Statement::TimeStamp(_) => false,
    }
}

fn is_operator(states: &States, stated: &Stated) -> bool {
    stated.statement.made().by == MemberPath::operator()
        && states.vault().is_some_and(|vault| vault.operator_key == stated.key)
}

fn actor(own: Option<&Organisation>, stated: &Stated) -> Result<(), Refusal> {
    let by = &stated.statement.made().by;
    let own = own.ok_or_else(|| Refusal::WrongKey(by.clone()))?;
    own.actor(stated).map(|_| ())
}

fn agreement<'s>(
    states: &'s States,
    id: &AgreementId,
    reader: &MemberPath,
) -> Result<&'s Agreement, Refusal> {
    states
        .agreement(id)
        .filter(|agreement| agreement.is_party(&reader.organisation))
        .ok_or_else(|| Refusal::NotFound(id.to_string()))
}

fn deposit<'s>(
    states: &'s States,
    id: &DepositId,
    agreement: &Agreement,
) -> Result<&'s Deposit, Refusal> {
    states
        .deposit(id)
        .filter(|deposit| deposit.agreement == agreement.id)
        .ok_or_else(|| Refusal::NotFound(id.to_string()))
}

fn amendment(
    states: &States,
    sha256: &Digest,
    agreement: &Agreement,
) -> Result<Amendment, Refusal> {
    states
        .amendment(sha256)
        .filter(|amendment| amendment.agreement == agreement.id)
        .map(|amendment| judged_amendment(states, amendment))
        .ok_or_else(|| Refusal::NotFound(format!("an amendment of digest {sha256}")))
}

fn request<'s>(
    states: &'s States,
    named: &RequestRef,
    agreement: &Agreement,
) -> Result<Cow<'s, Request>, Refusal> {
    states
        .request(&named.id)
        .filter(|request| request.agreement == agreement.id)
        .map(|request| as_judged(states, request))
        .ok_or_else(|| Refusal::NotFound(named.id.to_string()))
}

/// Shares are sealed to confirmed members only.
fn recipient(states: &States, member: &MemberPath) -> Result<(), Refusal> {
    states
        .organisation(&member.organisation)
        .and_then(|organisation| organisation.member(&member.name))
        .filter(|member| member.is_active())
        .map(|_| ())
        .ok_or_else(|| Refusal::NotFound(member.to_string()))
}

fn decide_proposal(
    states: &States,
    own: Option<&Organisation>,
    proposal: &Proposal,
    stated: &Stated,
) -> Result<(), Refusal> {
    actor(own, stated)?;
    let terms = &proposal.terms;
    soundness::check(terms).map_err(Refusal::Unsound)?;
    let organisation = &proposal.made.by.organisation;
    if terms.depositor() != Some(organisation) {
        return Err(Refusal::NotDepositor(organisation.clone()));
    }
    let founded = |who: &&_| states.organisation(who).is_some_and(|found| found.key.is_some());
    match terms.organisations().find(|who| !founded(who)) {
        Some(missing) => Err(Refusal::PartyMissing(missing.clone())),
        None => Ok(()),
    }
}
