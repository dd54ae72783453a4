//! The records that statements and notes are judged by and change.

use crate::domain::event::Note;
use crate::domain::id::RequestId;
use crate::domain::rules::stream;
use crate::domain::statement::{Stated, Statement};
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;

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
        Statement::Amendment(s) => {
            keys.extend(s.terms.organisations().cloned().map(Key::Organisation));
        }
        Statement::Countersignature(s) => keys.push(Key::Amendment(s.amendment_sha256)),
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
        | Statement::Reminder(_)
        | Statement::Attestation(_)
        | Statement::Consent(_)
        | Statement::Contribution(_)
        | Statement::Seen(_)
        | Statement::Notification(_)
        | Statement::Objection(_)
        | Statement::Settlement(_)
        | Statement::Withdrawal(_)
        | Statement::Retrieval(_)
        | Statement::Acknowledgement(_)
        | Statement::TimeStamp(_) => {}
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
        Statement::Attestation(s) => Some(&s.request.id),
        Statement::Settlement(s) => Some(&s.request.id),
        Statement::Withdrawal(s) => Some(&s.request.id),
        Statement::Retrieval(s) => Some(&s.request.id),
        Statement::Acknowledgement(s) => Some(&s.request.id),
        Statement::TimeStamp(s) => Some(&s.request.id),
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
        | Statement::Amendment(_)
        | Statement::Countersignature(_)
        | Statement::Termination(_)
        | Statement::RevocationNotice(_)
        | Statement::Resumption(_)
        | Statement::Reminder(_)
        | Statement::Reseal(_)
        | Statement::Deposit(_)
        | Statement::Request(_) => None,
    }
}

/// What else is read once these records are there: of a request its deposit, whose acts count, and
/// what else its requester has open; of an amendment whose signatures count; of a bundle that was deposited before, whether it is whole.
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
    let mut amendment = None;
    if let Statement::Countersignature(s) = &stated.statement {
        amendment = states.amendment(&s.amendment_sha256);
    }
    let of_amendment = amendment.into_iter().flat_map(|it| it.terms.organisations().cloned());
    of_request
        .chain(of_amendment.map(Key::Organisation))
        .chain(twin.cloned().map(Key::Deposit))
        .collect()
}

/// The records a note changes.
pub fn reads_of_note(note: &Note) -> Vec<Key> {
    match note {
        Note::Founded { .. } => vec![Key::Vault, Key::Authorities],
        Note::AuthoritiesChanged(_) => vec![Key::Authorities],
        Note::TimestamperChanged(_) => vec![Key::Timestamper],
        Note::Recovered { .. } | Note::LedgerKeyChanged(_) => vec![Key::Vault],
        Note::Resumed { agreement, .. } => vec![Key::Agreement(agreement.clone())],
        Note::Quarantined { deposit } | Note::FoundWhole { deposit } => {
            vec![Key::Deposit(deposit.clone()), Key::Quarantine]
        }
        Note::Access { .. } | Note::Refused { .. } | Note::HandedOut { .. } => Vec::new(),
    }
}
