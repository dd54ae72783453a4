//! What statements and notes change, once they are events.

use crate::domain::agreement::Agreement;
use crate::domain::amendment::Amendment;
use crate::domain::deposit::{Condition, Deposit};
use crate::domain::event::{CaEdition, Note};
use crate::domain::id::{AgreementId, Digest};
use crate::domain::organisation::Organisation;
use crate::domain::registration::Registration;
use crate::domain::request::Request;
use crate::domain::rules::{judged, judged_amendment, stream};
use crate::domain::statement::{Stated, Statement, Withdrawn};
use crate::domain::states::{Accepted, Key, Record, States, Vault};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;

/// Changes the states as an accepted statement does, having become this event of its stream.
pub fn apply(states: &mut States, stated: &Stated, at: Timestamp, sequence: u64) {
    let (sha256, made) = (stated.digest, stated.statement.made());
    states.put_statement(sha256, Accepted { stream: stream(stated), sequence });
    let own = &made.by.organisation;
    // Who has taken it up again did not know of this yet.
    if let Stream::Agreement(id) = stream(stated)
        && states.agreement(&id).is_some_and(Agreement::listens)
    {
        with(states.agreement_mut(&id), |a| {
            a.resuming.clear();
            a.heard(own, at);
        });
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
        Statement::Amendment(s) => {
            let proposed = Amendment::proposed(s, at);
            states.put_amendment(sha256, proposed);
        }
        Statement::Countersignature(s) => {
            with(states.amendment_mut(&s.amendment_sha256), |a| a.signed_by(&s.made.by, at));
            come_into_force(states, &s.amendment_sha256, sequence);
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
        Statement::Reminder(s) => {
            let remind = |a: &mut Agreement| a.was_reminded(&s.organisation, at);
            with(states.agreement_mut(&s.ground.agreement), remind);
        }
        Statement::Reseal(s) => {
            with(states.agreement_mut(&s.ground.agreement), |a| a.resealed(s));
        }
        Statement::Deposit(s) => {
            let made = Deposit::made(s, sha256, at);
            let bundle = Key::Bundle(made.agreement.clone(), s.sha256);
            states.put(bundle, Record::Bundle(made.id.clone()));
            // Only where it is remembered: what may change is copied, and kept anew.
            if states.agreement(&made.agreement).is_some_and(Agreement::listens) {
                with(states.agreement_mut(&made.agreement), |a| a.deposited(&made.id, at));
            }
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
        Statement::Attestation(s) => {
            with(states.request_mut(&s.request.id), |r| r.attested(s, at));
        }
        Statement::Settlement(s) => {
            let standing = states.request(&s.request.id).map(|request| judged(states, request));
            with(states.request_mut(&s.request.id), |r| {
                r.settled(s, at, standing.iter().flat_map(Request::standing_objections));
            });
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
        Statement::Acknowledgement(s) => {
            with(states.request_mut(&s.request.id), |r| r.acknowledged(s, at));
        }
        Statement::TimeStamp(s) => {
            with(states.request_mut(&s.request.id), |r| r.time_stamped(s, at));
        }
    }
}

/// Changes the states as the vault's own note does, having become this event of its stream.
pub fn apply_note(states: &mut States, note: &Note, at: Timestamp, sequence: u64) {
    match note {
        Note::Founded { ledger_key, operator_key, ca_sha256 } => {
            let (ledger_key, operator_key) = (*ledger_key, *operator_key);
            let (generation, began_at, handovers) = (1, 0, Vec::new());
            let vault = Vault { ledger_key, operator_key, generation, began_at, handovers };
            states.put(Key::Vault, Record::Vault(vault));
            let authorities = CaEdition::first(*ca_sha256);
            states.put(Key::Authorities, Record::Authorities(authorities));
        }
        Note::AuthoritiesChanged(authorities) => {
            states.put(Key::Authorities, Record::Authorities(*authorities));
        }
        Note::TimestamperChanged(timestamper) => {
            states.put(Key::Timestamper, Record::Timestamper(*timestamper));
        }
        Note::LedgerKeyChanged(signed) => {
            if let Some(mut vault) = states.vault().cloned() {
                vault.ledger_key = signed.handover.to;
                vault.handovers.push(signed.clone());
                states.put(Key::Vault, Record::Vault(vault));
            }
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
        Note::Access { .. } | Note::Refused { .. } | Note::HandedOut { .. } => {}
    }
}

/// An amendment takes the place of the terms it amends, if enough signatures count.
fn come_into_force(states: &mut States, sha256: &Digest, sequence: u64) {
    let Some(amendment) = states.amendment(sha256).map(|found| judged_amendment(states, found))
    else {
        return;
    };
    with(states.agreement_mut(&amendment.agreement), |agreement| {
        if amendment.is_complete(agreement) {
            agreement.amended(&amendment, *sha256, sequence);
        }
    });
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
