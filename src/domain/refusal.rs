//! Why the vault says no: one sentence that names the thing, and what to do next.

use crate::domain::id::{MemberPath, OrganisationName, RuleName};
use crate::domain::request::State;
use crate::domain::soundness::Unsound;
use crate::domain::time::Timestamp;
use crate::domain::trigger::Unmet;

/// Why a statement is not accepted. It changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It isn't there, or isn't yours to know about; the two are told alike.
    #[error("{0} is not known here")]
    NotFound(String),
    /// Made for another log.
    #[error("the statement was made for another vault or log generation")]
    OtherLog,
    /// Judged by rules that do not have what it says.
    #[error("it takes rules of version {0} to judge this")]
    LaterRules(u32),
    /// The signing key is not the member's.
    #[error("the statement is not signed by the key of {0}")]
    WrongKey(MemberPath),
    /// The member's keys have not been confirmed.
    #[error("{0} has joined but not been confirmed by a colleague")]
    Pending(MemberPath),
    /// The member's authority was taken away.
    #[error("{0} was revoked by its organisation")]
    Revoked(MemberPath),
    /// The act takes an administrator.
    #[error("{0} is not an administrator of its organisation")]
    NotAdministrator(MemberPath),
    /// The statement's time lies ahead of the vault's.
    #[error("the statement is dated {at}, but it is {now}")]
    Early {
        /// As dated.
        at: Timestamp,
        /// The vault's time.
        now: Timestamp,
    },
    /// A sight, or a time-stamp, of what was not there yet.
    #[error("the sight or time-stamp is dated {at}, but the request was made {asked_at}")]
    Backdated {
        /// As dated.
        at: Timestamp,
        /// When there was something to see.
        asked_at: Timestamp,
    },
    /// The statement's time is over.
    #[error("the statement was good until {valid_until}, and it is {now}")]
    Late {
        /// The end of its validity.
        valid_until: Timestamp,
        /// The vault's time.
        now: Timestamp,
    },
    /// The statement is good for longer than statements may be.
    #[error("the statement would be good for longer than 30 days")]
    TooLong,
    /// The signer had not seen what matters.
    #[error(
        "the statement rests on event {saw} of the agreement, but event {floor} changed what it \
         is about"
    )]
    Outdated {
        /// What the signer saw.
        saw: u64,
        /// What it must have seen.
        floor: u64,
    },
    /// The signer saw a history that this vault does not have.
    #[error("the statement rests on a history of the agreement that is not this vault's")]
    Forked,
    /// An invitation that is not open.
    #[error("the invitation for {0} is unknown, used or expired")]
    NotInvited(MemberPath),
    /// The name is taken.
    #[error("{0} has already joined")]
    AlreadyJoined(MemberPath),
    /// Somebody has these keys already.
    #[error("the keys of {0} are those of another member or of the organisation")]
    KeysTaken(MemberPath),
    /// The organisation cannot be introduced, for it exists.
    #[error("{0} has an organisation key already")]
    OrganisationExists(OrganisationName),
    /// Too many of something.
    #[error("there are already {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many are possible.
        limit: usize,
    },
    /// Statements about each other that don't fit.
    #[error("{0} does not match what it refers to")]
    Mismatch(&'static str),
    /// The terms break a promise.
    #[error("the terms are unsound")]
    Unsound(#[source] Unsound),
    /// A party that has not joined, or whose key is not the one in the terms.
    #[error("{0} has not joined with the organisation key that the terms pin")]
    PartyMissing(OrganisationName),
    /// Only the depositor proposes, deals and deposits.
    #[error("{0} is not the depositor")]
    NotDepositor(OrganisationName),
    /// The agreement is not in a state for this.
    #[error("the agreement is {0}")]
    AgreementIs(&'static str),
    /// The vault was recovered, and parties have not resumed the agreement yet.
    #[error("the vault was recovered, and the agreement waits to be resumed by {}", listed(.0))]
    Suspended(Vec<OrganisationName>),
    /// It was done before, by this organisation or member.
    #[error("{who} has already {what}")]
    Already {
        /// Who.
        who: String,
        /// Did what.
        what: &'static str,
    },
    /// A share that would be overwritten.
    #[error("{0} has a share of this release key already")]
    HasShare(MemberPath),
    /// A bundle of unproven origin where the terms want proof.
    #[error("the bundle was sealed elsewhere, and the terms do not admit that (stock_age = false)")]
    OriginUnproven,
    /// The same file again.
    #[error("this bundle is deposited already, as {0}")]
    DepositedBefore(String),
    /// A deposit that cannot be requested.
    #[error("the deposit is {0}")]
    DepositIs(&'static str),
    /// A rule that isn't in the terms.
    #[error("the terms have no rule named {0}")]
    NoSuchRule(RuleName),
    /// A time-stamp where nobody was agreed on to give one.
    #[error("the terms pin no authority for time-stamps")]
    NoAuthority,
    /// The agreement's term is over.
    #[error("the term of the agreement was over at {until}, and it is {now}")]
    TermOver {
        /// When it was.
        until: Timestamp,
        /// The vault's time.
        now: Timestamp,
    },
    /// Terms that say nothing of amendments.
    #[error("the terms do not say who may amend them")]
    NotAmendable,
    /// An organisation whose signature under an amendment does nothing.
    #[error("the terms do not have {0} among those who amend them")]
    NotAmending(OrganisationName),
    /// What an amendment would change and must not.
    #[error("an amendment never changes {0}")]
    NeverAmended(&'static str),
    /// A deposit that the rule does not grant.
    #[error("rule {rule} grants {grants} alone")]
    NotGranted {
        /// Which rule.
        rule: RuleName,
        /// What it grants.
        grants: String,
    },
    /// A duty besides that of the rule.
    #[error("rule {0} says what whoever asks takes upon itself; a request adds nothing to it")]
    DutyOfRule(RuleName),
    /// A duty that would be over before it began.
    #[error("the duty would be due at {by}, and it is {now}")]
    DutyPast {
        /// When it would be due.
        by: Timestamp,
        /// The vault's time.
        now: Timestamp,
    },
    /// A request under a rule whose trigger has not happened.
    #[error("rule {rule} cannot be used yet; missing: {}", unmet_text(.unmet))]
    NotTriggered {
        /// Which rule.
        rule: RuleName,
        /// What has to happen.
        unmet: Vec<Unmet>,
    },
    /// A reminder too soon after another.
    #[error("it was reminded lately; another reminder counts from {from}")]
    RemindedLately {
        /// From when.
        from: Timestamp,
    },
    /// An event, an award or an order that nobody is shown.
    #[error("an event, an award or an order is shown by at least one document")]
    NoEvidence,
    /// It was objected to, and that was settled.
    #[error("the objection of {0} to this request was settled")]
    Settled(OrganisationName),
    /// The time in which a released bundle may be fetched is over.
    #[error("the bundle could be fetched until {until}, and it is {now}")]
    AccessOver {
        /// Until when it could.
        until: Timestamp,
        /// The vault's time.
        now: Timestamp,
    },
    /// A released bundle was fetched as often as it may be.
    #[error("the bundle may be fetched {} under its rule, and was", times_text(*.0))]
    FetchedOften(u16),
    /// Not for this member's role, under this rule.
    #[error("{who} may not {what} under rule {rule}")]
    NotEntitled {
        /// Who.
        who: MemberPath,
        /// Do what.
        what: &'static str,
        /// Under which rule.
        rule: RuleName,
    },
    /// The requester never consents.
    #[error("{0} made this request; who requests never consents to it")]
    OwnRequest(MemberPath),
    /// Somebody else's request is not withdrawn, but an objection to it can be.
    #[error("{0} did not make the request; what it can take back is its objection to it")]
    OwnObjection(OrganisationName),
    /// The request is not in a state for this.
    #[error("{}", standing_text(*.0))]
    RequestIs(State),
}

impl Refusal {
    /// A name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NOT_FOUND",
            Self::OtherLog => "OTHER_LOG",
            Self::LaterRules(_) => "LATER_RULES",
            Self::WrongKey(_) => "WRONG_KEY",
            Self::Pending(_) => "PENDING",
            Self::Revoked(_) => "REVOKED",
            Self::NotAdministrator(_) => "NOT_ADMINISTRATOR",
            Self::Early { .. } => "EARLY",
            Self::Backdated { .. } => "BACKDATED",
            Self::Late { .. } => "LATE",
            Self::TooLong => "TOO_LONG",
            Self::Outdated { .. } => "OUTDATED",
            Self::Forked => "FORKED",
            Self::NotInvited(_) => "NOT_INVITED",
            Self::AlreadyJoined(_) => "ALREADY_JOINED",
            Self::KeysTaken(_) => "KEYS_TAKEN",
            Self::OrganisationExists(_) => "ORGANISATION_EXISTS",
            Self::Limit { .. } => "LIMIT",
            Self::Mismatch(_) => "MISMATCH",
            Self::Unsound(_) => "UNSOUND",
            Self::PartyMissing(_) => "PARTY_MISSING",
            Self::NotDepositor(_) => "NOT_DEPOSITOR",
            Self::AgreementIs(_) => "AGREEMENT_STATE",
            Self::Suspended(_) => "SUSPENDED",
            Self::Already { .. } | Self::HasShare(_) => "ALREADY",
            Self::OriginUnproven => "ORIGIN_UNPROVEN",
            Self::DepositedBefore(_) => "DEPOSITED_BEFORE",
            Self::DepositIs(_) => "DEPOSIT_STATE",
            Self::NoSuchRule(_) => "NO_SUCH_RULE",
            Self::NoAuthority => "NO_AUTHORITY",
            Self::TermOver { .. } => "TERM_OVER",
            Self::NotAmendable | Self::NotAmending(_) => "NOT_AMENDABLE",
            Self::NeverAmended(_) => "NEVER_AMENDED",
            Self::NotGranted { .. } => "NOT_GRANTED",
            Self::DutyOfRule(_) => "DUTY_OF_RULE",
            Self::DutyPast { .. } => "DUTY_PAST",
            Self::NotTriggered { .. } => "NOT_TRIGGERED",
            Self::RemindedLately { .. } => "REMINDED_LATELY",
            Self::NoEvidence => "NO_EVIDENCE",
            Self::Settled(_) => "SETTLED",
            Self::AccessOver { .. } | Self::FetchedOften(_) => "ACCESS_OVER",
            Self::NotEntitled { .. } | Self::OwnObjection(_) => "NOT_ENTITLED",
            Self::OwnRequest(_) => "OWN_REQUEST",
            Self::RequestIs(_) => "REQUEST_STATE",
        }
    }

    /// Whether the parties of an agreement are told of who was refused so. Not where a client looks
    /// again and repeats what it meant by itself, and not where it was done before: that happens to
    /// whoever is a moment late, and there is nothing in it to be kept from.
    pub fn is_told(&self) -> bool {
        match self {
            Self::Outdated { .. } | Self::Already { .. } => false,
            Self::NotFound(_)
            | Self::OtherLog
            | Self::LaterRules(_)
            | Self::WrongKey(_)
            | Self::Pending(_)
            | Self::Revoked(_)
            | Self::NotAdministrator(_)
            | Self::Early { .. }
            | Self::Backdated { .. }
            | Self::Late { .. }
            | Self::TooLong
            | Self::Forked
            | Self::NotInvited(_)
            | Self::AlreadyJoined(_)
            | Self::KeysTaken(_)
            | Self::OrganisationExists(_)
            | Self::Limit { .. }
            | Self::Mismatch(_)
            | Self::Unsound(_)
            | Self::PartyMissing(_)
            | Self::NotDepositor(_)
            | Self::AgreementIs(_)
            | Self::Suspended(_)
            | Self::HasShare(_)
            | Self::OriginUnproven
            | Self::DepositedBefore(_)
            | Self::DepositIs(_)
            | Self::NoSuchRule(_)
            | Self::NoAuthority
            | Self::TermOver { .. }
            | Self::NotAmendable
            | Self::NotAmending(_)
            | Self::NeverAmended(_)
            | Self::NotGranted { .. }
            | Self::DutyOfRule(_)
            | Self::DutyPast { .. }
            | Self::NotTriggered { .. }
            | Self::RemindedLately { .. }
            | Self::NoEvidence
            | Self::Settled(_)
            | Self::AccessOver { .. }
            | Self::FetchedOften(_)
            | Self::NotEntitled { .. }
            | Self::OwnObjection(_)
            | Self::OwnRequest(_)
            | Self::RequestIs(_) => true,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound(_) => "check the id or name; what is not yours is not shown",
            Self::OtherLog => {
                "use the home directory that belongs to this vault; if the vault was recovered, \
                 run `escrow resume`"
            }
            Self::LaterRules(_) => "use the `escrow` program of this vault's version",
            Self::WrongKey(_) => "use the home directory that this member joined with",
            Self::Revoked(_) => "an administrator can invite that person anew, under another name",
            Self::Pending(_) => {
                "compare fingerprints (`escrow whoami`) with a colleague, who then runs \
                 `escrow confirm`"
            }
            Self::NotAdministrator(_) => "ask the colleague who set up your organisation",
            Self::Early { .. } | Self::Backdated { .. } => {
                "set this computer's clock and try again"
            }
            Self::Late { .. } => "set this computer's clock, or sign again",
            Self::TooLong => "sign again with a shorter validity",
            Self::Outdated { .. } => {
                "look again with `escrow show`, and sign again if you still agree"
            }
            Self::Forked => {
                "keep your home directory as evidence and ask the operator and another party \
                 what they see"
            }
            Self::NotInvited(_) => "ask for a new invitation",
            Self::AlreadyJoined(_) => "ask for an invitation under another member name",
            Self::KeysTaken(_) => "join in a home directory of your own: it makes keys of its own",
            Self::OrganisationExists(_) => {
                "one of its administrators invites its members; if that organisation has lost \
                 every home, or a thief has its name, it begins anew under another name"
            }
            Self::Limit { .. } => "remove what is no longer needed, or ask the operator",
            Self::Mismatch(_) => "start again with a fresh view of the agreement",
            Self::Unsound(unsound) => return unsound.remedy().to_owned(),
            Self::PartyMissing(_) => {
                "wait until it has joined, and compare its fingerprint with them by telephone"
            }
            Self::NotDepositor(_) => "ask the depositor to do it",
            Self::Suspended(_) => "each of them runs `escrow resume`",
            Self::AgreementIs("proposed") => "see `escrow show` for who still has to act",
            Self::AgreementIs("active") => {
                "nothing is to be countersigned any more; see `escrow show`"
            }
            Self::AgreementIs("declined") => "propose new terms; a party did not want these",
            Self::AgreementIs("terminated") => "propose a new agreement if one is wanted still",
            Self::AgreementIs(_) => "see `escrow show` and the agreement's id",
            Self::Already { .. } => "nothing more to do; see `escrow show`",
            Self::HasShare(_) => {
                "if its share cannot be used, invite that person anew under another name, confirm \
                 the keys, and reseal then"
            }
            Self::OriginUnproven => {
                "give the files themselves to `escrow deposit`, which seals them with proof"
            }
            Self::DepositedBefore(_) => "nothing more to do; use that deposit",
            Self::DepositIs(_) => "choose another deposit; see `escrow deposits`",
            Self::NoAuthority => "propose an agreement whose terms have [time_stamps]",
            Self::NoSuchRule(_) => "see the rules with `escrow show` and the agreement's id",
            Self::TermOver { .. } => "renew it: those who may amend its terms sign a later term",
            Self::NotAmendable | Self::NeverAmended(_) => "propose a new agreement",
            Self::NotAmending(_) => {
                "ask a party that may; see `escrow show` and the agreement's id"
            }
            Self::NotGranted { .. } => "choose another deposit or another rule",
            Self::DutyOfRule(_) => "ask without --return-by and --destroy-by",
            Self::DutyPast { .. } => "name a day that is still to come, such as 2027-03-01",
            Self::NotTriggered { .. } => "see the rules with `escrow show` and the agreement's id",
            Self::RemindedLately { .. } => {
                "give it the time that the rule leaves between reminders"
            }
            Self::NoEvidence => "name the document that shows it",
            Self::Settled(_) => "it binds; see `escrow show` for who settled it and how",
            Self::AccessOver { .. } | Self::FetchedOften(_) => {
                "make a new request if it is wanted once more"
            }
            Self::NotEntitled { .. } => "see who may with `escrow show` and the agreement's id",
            Self::OwnObjection(_) => "write --objection",
            Self::OwnRequest(_) => "another member has to consent",
            Self::RequestIs(state) => return state.remedy().to_owned(),
        }
        .to_owned()
    }
}

fn times_text(times: u16) -> String {
    match times {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    }
}

fn standing_text(state: State) -> String {
    match state {
        State::Notice => "the notice of the request runs still".to_owned(),
        State::Open
        | State::Objected
        | State::Satisfied
        | State::Released
        | State::Retrieved
        | State::Withdrawn
        | State::Expired => format!("the request is {state}"),
    }
}

/// What is missing, in a sentence.
fn unmet_text(unmet: &[Unmet]) -> String {
    unmet.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Names in a sentence.
fn listed(names: &[OrganisationName]) -> String {
    names.iter().map(OrganisationName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_are_told_of_refusals_and_not_of_who_was_a_moment_late() {
        let who: MemberPath = "orient-display/yuki".parse().unwrap();
        for (why, refusal, is_told) in [
            ("it looks again", Refusal::Outdated { saw: 1, floor: 2 }, false),
            ("a colleague was faster", Refusal::Already { who: who.to_string(), what: "" }, false),
            ("two histories", Refusal::Forked, true),
            ("somebody else's name", Refusal::WrongKey(who.clone()), true),
            ("a share to be overwritten", Refusal::HasShare(who.clone()), true),
            ("a stranger", Refusal::NotFound(who.to_string()), true),
            ("it was put out", Refusal::Revoked(who), true),
        ] {
            assert_eq!(refusal.is_told(), is_told, "{why}");
        }
    }
}
