//! The rules: which statement may become an event, and what an event changes.
//!
//! `decide` and `apply` are pure. The vault runs them to accept statements, clients run them to
//! believe what they are shown, and anybody can run them over an exported stream.

use std::collections::BTreeSet;

use crate::domain::agreement::{self, Agreement};
use crate::domain::deposit::{self, Condition, Deposit};
use crate::domain::event::Note;
use crate::domain::id::{AgreementId, DepositId, Digest, MemberPath, RequestId};
use crate::domain::organisation::{self, Organisation};
use crate::domain::refusal::Refusal;
use crate::domain::registration::Registration;
use crate::domain::request::{self, Request};
use crate::domain::soundness;
use crate::domain::statement::{Ground, Log, Proposal, RequestRef, Stated, Statement, Withdrawn};
use crate::domain::states::{Accepted, Key, Record, States, Vault};
use crate::domain::stream::Stream;
use crate::domain::time::{Span, Timestamp};

/// How far a member's clock may run ahead of the vault's.
pub const CLOCK_SKEW_MAX: Span = Span::seconds(10 * 60);
/// How long a statement may stay good.
pub const VALIDITY_MAX: Span = Span::days(30);

/// What a statement is judged by besides the states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// The log that judges.
    pub log: Log,
    /// The vault's time.
    pub now: Timestamp,
    /// The commitment of the event that the statement says it saw, if there is such an event.
    pub saw: Option<Digest>,
}

/// The stream a statement belongs to.
pub fn stream(stated: &Stated) -> Stream {
    match &stated.statement {
        Statement::Invitation(s) => Stream::Organisation(s.member.organisation.clone()),
        Statement::Confirmation(s) => Stream::Organisation(s.member.organisation.clone()),
        Statement::Revocation(s) => Stream::Organisation(s.member.organisation.clone()),
        Statement::Organisation(_) | Statement::Join(_) | Statement::Renewal(_) => {
            Stream::Organisation(stated.statement.made().by.organisation.clone())
        }
        Statement::Registration(s) => {
            Stream::OrganisationRegistrations(s.made.by.organisation.clone())
        }
        Statement::Proposal(_) => Stream::Agreement(AgreementId::of(&stated.digest)),
        Statement::ReleaseKey(s) => Stream::Agreement(s.agreement.clone()),
        Statement::Acceptance(s) => in_agreement(&s.ground),
        Statement::Declination(s) => in_agreement(&s.ground),
        Statement::Termination(s) => in_agreement(&s.ground),
        Statement::RevocationNotice(s) => in_agreement(&s.ground),
        Statement::Resumption(s) => Stream::AgreementAccesses(s.ground.agreement.clone()),
        Statement::Reseal(s) => in_agreement(&s.ground),
        Statement::Deposit(s) => in_agreement(&s.ground),
        Statement::Request(s) => in_agreement(&s.ground),
        Statement::Consent(s) => in_agreement(&s.ground),
        Statement::Contribution(s) => in_agreement(&s.ground),
        Statement::Seen(s) => in_agreement(&s.ground),
        Statement::Notification(s) => in_agreement(&s.ground),
        Statement::Objection(s) => in_agreement(&s.ground),
        Statement::Withdrawal(s) => in_agreement(&s.ground),
        Statement::Retrieval(s) => in_agreement(&s.ground),
    }
}

fn in_agreement(ground: &Ground) -> Stream {
    Stream::Agreement(ground.agreement.clone())
}

/// The records a statement is judged by and may change. A request's deposit is not named by
/// statements about the request; see [`reads_further`].
pub fn reads(stated: &Stated) -> Vec<Key> {
    let statement = &stated.statement;
    let mut keys = vec![
        Key::Vault,
        Key::Statement(stated.digest),
        Key::Organisation(statement.made().by.organisation.clone()),
    ];
    if let Stream::Agreement(id) = stream(stated) {
        keys.push(Key::Agreement(id));
    }
    match statement {
        Statement::Resumption(s) => keys.push(Key::Agreement(s.ground.agreement.clone())),
        Statement::Invitation(s) => {
            keys.push(Key::Organisation(s.member.organisation.clone()));
        }
        Statement::Confirmation(s) => {
            keys.push(Key::Organisation(s.member.organisation.clone()));
        }
        Statement::Revocation(s) => {
            keys.push(Key::Organisation(s.member.organisation.clone()));
        }
        Statement::Proposal(s) => {
            keys.extend(s.terms.organisations().cloned().map(Key::Organisation));
        }
        Statement::Reseal(s) => {
            keys.push(Key::Organisation(s.share.member.organisation.clone()));
        }
        Statement::ReleaseKey(s) => {
            keys.extend(s.holders.iter().map(|h| Key::Organisation(h.organisation.clone())));
        }
        Statement::Deposit(s) => {
            keys.push(Key::Bundle(s.ground.agreement.clone(), s.sha256));
        }
        Statement::Request(s) => {
            keys.push(Key::Deposit(s.deposit.clone()));
            keys.push(Key::OpenRequests(s.ground.agreement.clone(), s.made.by.clone()));
        }
        Statement::Organisation(_)
        | Statement::Join(_)
        | Statement::Renewal(_)
        | Statement::Registration(_)
        | Statement::Acceptance(_)
        | Statement::Declination(_)
        | Statement::Termination(_)
        | Statement::RevocationNotice(_)
        | Statement::Consent(_)
        | Statement::Contribution(_)
        | Statement::Seen(_)
        | Statement::Notification(_)
        | Statement::Objection(_)
        | Statement::Withdrawal(_)
        | Statement::Retrieval(_) => {}
    }
    keys.extend(request_named(statement).cloned().map(Key::Request));
    keys
}

/// The request a statement is about.
pub fn request_named(statement: &Statement) -> Option<&RequestId> {
    match statement {
        Statement::Consent(s) => Some(&s.request.id),
        Statement::Contribution(s) => Some(&s.request.id),
        Statement::Seen(s) => Some(&s.request.id),
        Statement::Notification(s) => Some(&s.request.id),
        Statement::Objection(s) => Some(&s.request.id),
        Statement::Withdrawal(s) => Some(&s.request.id),
        Statement::Retrieval(s) => Some(&s.request.id),
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
        | Statement::Declination(_)
        | Statement::Termination(_)
        | Statement::RevocationNotice(_)
        | Statement::Resumption(_)
        | Statement::Reseal(_)
        | Statement::Deposit(_)
        | Statement::Request(_) => None,
    }
}

/// What else is read once these records are there: of a request its deposit, whose acts count, and
/// what else its requester has open; of a bundle that was deposited before, whether it is whole.
pub fn reads_further(states: &States, stated: &Stated) -> Vec<Key> {
    let request = request_named(&stated.statement).and_then(|id| states.request(id));
    let of_request = request.into_iter().flat_map(|request| {
        let parties = request.terms.organisations().cloned().map(Key::Organisation);
        let open = Key::OpenRequests(request.agreement.clone(), request.requester().clone());
        parties.chain([Key::Deposit(request.deposit.clone()), open])
    });
    let mut twin = None;
    if let Statement::Deposit(s) = &stated.statement {
        twin = states.twin(&s.ground.agreement, &s.sha256);
    }
    of_request.chain(twin.cloned().map(Key::Deposit)).collect()
}

/// A request as it is to be judged: without what was done by members whose acts no longer count.
/// What was released stays released.
pub fn judged(states: &States, request: &Request) -> Request {
    request.judged(|by, at| {
        let organisation = states.organisation(&by.organisation);
        let member = organisation.and_then(|organisation| organisation.member(&by.name));
        member.is_some_and(|member| member.counts_at(at))
    })
}

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
            deposit::decide(agreement, twin.filter(|id| !is_lost(id)), s)
        }
        Statement::Request(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            let deposit = deposit(states, &s.deposit, agreement)?;
            request::decide_request(agreement, deposit, s)?;
            request::decide_one_more(states.open_requests(&agreement.id, &made.by), now)
        }
        Statement::Consent(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_consent(&request(states, &s.request, agreement)?, s, now)
        }
        Statement::Contribution(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            let request = request(states, &s.request, agreement)?;
            let deposit = deposit(states, &request.deposit, agreement)?;
            request::decide_contribution(agreement, &request, deposit, s, now)
        }
        Statement::Seen(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_seen(&request(states, &s.request, agreement)?, s, now)
        }
        Statement::Notification(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_notification(&request(states, &s.request, agreement)?, s, now)
        }
        Statement::Objection(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_objection(&request(states, &s.request, agreement)?, s, now)
        }
        Statement::Withdrawal(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            request::decide_withdrawal(&request(states, &s.request, agreement)?, s, now)
        }
        Statement::Retrieval(s) => {
            let agreement = grounded(states, own, stated, &s.ground, circumstances)?;
            let request = request(states, &s.request, agreement)?;
            let deposit = deposit(states, &request.deposit, agreement)?;
            request::decide_retrieval(&request, deposit, s, now)
        }
    }
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

/// Whether a statement only blocks or takes away. Such a one holds whatever its signer had not seen
/// yet: the floor rises by what others do, and must keep nobody from objecting. To take back an
/// objection is not among these; it lets a release go on.
fn holds_blindly(statement: &Statement) -> bool {
    match statement {
        Statement::Withdrawal(s) => match s.withdrawn {
            Withdrawn::Request => true,
            Withdrawn::Objection => false,
        },
        Statement::Objection(_)
        | Statement::Seen(_)
        | Statement::RevocationNotice(_)
        | Statement::Declination(_) => true,
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
        | Statement::Termination(_)
        | Statement::Resumption(_)
        | Statement::Reseal(_)
        | Statement::Deposit(_)
        | Statement::Request(_)
        | Statement::Consent(_)
        | Statement::Contribution(_)
        | Statement::Notification(_)
        | Statement::Retrieval(_) => false,
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

fn request(states: &States, named: &RequestRef, agreement: &Agreement) -> Result<Request, Refusal> {
    states
        .request(&named.id)
        .filter(|request| request.agreement == agreement.id)
        .map(|request| judged(states, request))
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

/// Changes the states as an accepted statement does, having become this event of its stream.
pub fn apply(states: &mut States, stated: &Stated, at: Timestamp, sequence: u64) {
    let (sha256, made) = (stated.digest, stated.statement.made());
    states.put_statement(sha256, Accepted { stream: stream(stated), sequence });
    let own = &made.by.organisation;
    // Who has taken it up again did not know of this yet.
    if let Stream::Agreement(id) = stream(stated) {
        with(states.agreement_mut(&id), |a| a.resuming.clear());
    }
    match &stated.statement {
        Statement::Invitation(s) => {
            let name = &s.member.organisation;
            if states.organisation(name).is_none() {
                states.put_organisation(name.clone(), Organisation::named(name.clone()));
            }
            with(states.organisation_mut(name), |o| o.invited(s, at));
        }
        Statement::Organisation(s) => with(states.organisation_mut(own), |o| o.introduced(s)),
        Statement::Join(s) => with(states.organisation_mut(own), |o| o.joined(s, stated, at)),
        Statement::Confirmation(s) => {
            with(states.organisation_mut(&s.member.organisation), |o| o.confirmed(s, at));
        }
        Statement::Revocation(s) => {
            with(states.organisation_mut(&s.member.organisation), |o| o.revoked(s, sha256, at));
        }
        Statement::Renewal(_) => {}
        Statement::Registration(s) => {
            let made = Registration::made(s, sha256, at);
            states.put_registration(made.id.clone(), made);
        }
        Statement::Proposal(s) => {
            let id = AgreementId::of(&sha256);
            for party in s.terms.organisations() {
                states.put(Key::Party(party.clone(), id.clone()), Record::Party);
            }
            let proposed = Agreement::proposed(id.clone(), s, sha256, at, sequence);
            states.put_agreement(id, proposed);
        }
        Statement::ReleaseKey(s) => {
            with(states.agreement_mut(&s.agreement), |a| a.dealt(s, sha256, at, sequence));
        }
        Statement::Acceptance(s) => {
            with(states.agreement_mut(&s.ground.agreement), |a| a.accepted_by(own, at));
        }
        Statement::Declination(s) => {
            with(states.agreement_mut(&s.ground.agreement), |a| a.declined_by(own, at));
        }
        Statement::Termination(s) => {
            with(states.agreement_mut(&s.ground.agreement), |a| a.terminated_by(own, at));
        }
        Statement::RevocationNotice(s) => {
            with(states.agreement_mut(&s.ground.agreement), |a| a.told(s, sequence));
        }
        Statement::Resumption(s) => {
            with(states.agreement_mut(&s.ground.agreement), |a| a.resumed_by(own, sha256));
        }
        Statement::Reseal(s) => {
            with(states.agreement_mut(&s.ground.agreement), |a| a.resealed(s));
        }
        Statement::Deposit(s) => {
            let made = Deposit::made(s, sha256, at);
            let bundle = Key::Bundle(made.agreement.clone(), s.sha256);
            states.put(bundle, Record::Bundle(made.id.clone()));
            states.put_deposit(made.id.clone(), made);
        }
        Statement::Request(s) => {
            if let Some(agreement) = states.agreement(&s.ground.agreement) {
                let opened = Request::opened(agreement, s, sha256, at);
                let mut open = states.open_requests(&opened.agreement, &s.made.by).clone();
                open.retain(|_, expires_at| at < *expires_at);
                open.insert(opened.id.clone(), opened.expires_at);
                let key = Key::OpenRequests(opened.agreement.clone(), s.made.by.clone());
                states.put(key, Record::OpenRequests(open));
                states.put_request(opened.id.clone(), opened);
            }
        }
        Statement::Consent(s) => {
            with(states.request_mut(&s.request.id), |r| r.consented(&s.made.by, at));
        }
        Statement::Contribution(s) => {
            with(states.request_mut(&s.request.id), |r| r.contributed(s, at));
            // What no longer counts releases nothing, and is no part of what was released.
            let counted = states.request(&s.request.id).map(|request| judged(states, request));
            if let Some(mut request) = counted.filter(|r| r.contributions_missing() == 0) {
                request.released(at);
                closed(states, &request);
                states.put_request(request.id.clone(), request);
            }
        }
        Statement::Seen(s) => {
            with(states.request_mut(&s.request.id), |r| r.seen(s, at));
        }
        Statement::Notification(s) => {
            with(states.request_mut(&s.request.id), |r| r.notified(s, at));
        }
        Statement::Objection(s) => {
            with(states.request_mut(&s.request.id), |r| r.objected(s, at));
            with(states.agreement_mut(&s.ground.agreement), |a| a.floor = sequence);
        }
        Statement::Withdrawal(s) => {
            let standing = states.request(&s.request.id).map(|request| judged(states, request));
            with(states.request_mut(&s.request.id), |r| {
                r.withdrawn(s, at, standing.iter().flat_map(Request::standing_objections));
            });
            if let (Some(request), Withdrawn::Request) = (&standing, s.withdrawn) {
                closed(states, request);
            }
            with(states.agreement_mut(&s.ground.agreement), |a| a.floor = sequence);
        }
        Statement::Retrieval(s) => {
            with(states.request_mut(&s.request.id), |r| r.retrieved(at));
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
        let circumstances = Circumstances { log: log.clone(), now, saw: *saw };
        let agreement = resting(states, own, stated, &s.ground, &circumstances)?;
        agreement::decide_resumption(agreement, s)?;
        awaited.remove(&s.made.by.organisation);
    }
    match awaited.is_empty() {
        true => Ok(()),
        false => Err(Refusal::Suspended(awaited.into_iter().collect())),
    }
}

/// Changes the states as the vault's own note does, having become this event of its stream.
pub fn apply_note(states: &mut States, note: &Note, at: Timestamp, sequence: u64) {
    match note {
        Note::Founded { ledger_key, operator_key, ca_sha256: _ } => {
            let (ledger_key, operator_key) = (*ledger_key, *operator_key);
            let vault = Vault { ledger_key, operator_key, generation: 1, began_at: 0 };
            states.put(Key::Vault, Record::Vault(vault));
        }
        Note::Recovered { generation, size } => {
            let vault = states.vault().cloned();
            let next = vault.map(|v| Vault { generation: *generation, began_at: *size, ..v });
            if let Some(vault) = next {
                states.put(Key::Vault, Record::Vault(vault));
            }
        }
        Note::Resumed { agreement, generation, by: _ } => {
            with(states.agreement_mut(agreement), |a| a.resumed(*generation, sequence));
        }
        Note::Quarantined { deposit } => {
            let quarantined = Condition::Quarantined { at };
            with(states.deposit_mut(deposit), |d| d.condition = quarantined);
            let mut quarantine = states.quarantine().clone();
            quarantine.insert(deposit.clone());
            states.put(Key::Quarantine, Record::Quarantine(quarantine));
        }
        Note::FoundWhole { deposit } => {
            with(states.deposit_mut(deposit), |d| d.condition = Condition::Stored);
            let mut quarantine = states.quarantine().clone();
            quarantine.remove(deposit);
            states.put(Key::Quarantine, Record::Quarantine(quarantine));
        }
        Note::Access { .. } | Note::HandedOut { .. } => {}
    }
}

/// The records a note changes.
pub fn reads_of_note(note: &Note) -> Vec<Key> {
    match note {
        Note::Founded { .. } | Note::Recovered { .. } => vec![Key::Vault],
        Note::Resumed { agreement, .. } => vec![Key::Agreement(agreement.clone())],
        Note::Quarantined { deposit } | Note::FoundWhole { deposit } => {
            vec![Key::Deposit(deposit.clone()), Key::Quarantine]
        }
        Note::Access { .. } | Note::HandedOut { .. } => Vec::new(),
    }
}

/// A request has ended before it expired.
fn closed(states: &mut States, request: &Request) {
    let mut open = states.open_requests(&request.agreement, request.requester()).clone();
    open.remove(&request.id);
    let key = Key::OpenRequests(request.agreement.clone(), request.requester().clone());
    states.put(key, Record::OpenRequests(open));
}

fn with<T>(record: Option<&mut T>, change: impl FnOnce(&mut T)) {
    if let Some(record) = record {
        change(record);
    }
}

/// May a member of this organisation read this stream? `named` is what the reader knows of the
/// organisation it asks about: its fingerprint was told by the organisation itself.
pub fn may_read(
    states: &States,
    stream: &Stream,
    reader: &MemberPath,
    shares_agreement: bool,
    named: bool,
) -> Result<(), Refusal> {
    let allowed = match stream {
        Stream::Vault => false,
        Stream::Organisation(name) => *name == reader.organisation || shares_agreement || named,
        Stream::OrganisationAccesses(name) | Stream::OrganisationRegistrations(name) => {
            *name == reader.organisation
        }
        Stream::Agreement(id) | Stream::AgreementAccesses(id) => {
            agreement(states, id, reader).is_ok()
        }
    };
    if allowed { Ok(()) } else { Err(Refusal::NotFound(stream.to_string())) }
}
