//! What anybody can try, and what each of these says.

use super::moment::Moment;
use super::{DANA, EVE, HANA, HELD, KENJI, MINJI, NEW_TERMS, RULES, SORA, STOLEN_AT, YUKI};
use crate::domain::statement::{Basis, Reason, Statement, Withdrawn};
use crate::domain::tests::triggers::insolvency;

/// A member, as `organisation/name`.
pub(super) type Who = &'static str;

/// One step of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The clock goes to its next mark.
    Wait,
    /// Somebody says something.
    Say(Act),
    /// Somebody signs it and does not hand it in.
    Sign(Act),
    /// What was signed is handed in.
    HandIn,
    /// Somebody says the last accepted statement once more.
    Repeat,
}

/// What somebody says. Which request it is about comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Act {
    Ask(usize, Who),
    Consent(usize, Who),
    /// Names this request, with the other one's digest.
    Mistaken(usize),
    Contribute(usize, Who),
    See(usize),
    Notify(usize, Who),
    Attest(usize, Who),
    Object(usize, Who),
    Award(usize, Who),
    /// The objection is taken back.
    Reconcile(usize),
    TakeBack(usize),
    Retrieve(usize, Who),
    Revoke(Loss),
    Propose(Who),
    Countersign(Who),
}

/// What became of dana's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Loss {
    Left,
    Stolen,
}

/// Every step that there could be. Whoever is only ever refused alike is there once.
pub(super) fn all() -> impl Iterator<Item = Step> {
    let about = (0..RULES.len()).flat_map(|of| {
        [
            Act::Ask(of, YUKI),
            Act::Ask(of, DANA),
            Act::Consent(of, YUKI),
            Act::Consent(of, MINJI),
            Act::Consent(of, DANA),
            Act::Consent(of, SORA),
            Act::Consent(of, HANA),
            Act::Consent(of, EVE),
            Act::Mistaken(of),
            Act::Contribute(of, KENJI),
            Act::Contribute(of, MINJI),
            Act::Contribute(of, DANA),
            Act::Contribute(of, SORA),
            Act::Contribute(of, HANA),
            Act::See(of),
            Act::Notify(of, YUKI),
            Act::Notify(of, DANA),
            Act::Attest(of, HANA),
            Act::Attest(of, DANA),
            Act::Attest(of, SORA),
            Act::Object(of, HANA),
            Act::Object(of, MINJI),
            Act::Award(of, HANA),
            Act::Award(of, DANA),
            Act::Reconcile(of),
            Act::TakeBack(of),
            Act::Retrieve(of, KENJI),
            Act::Retrieve(of, YUKI),
        ]
    });
    let whole = [
        Act::Revoke(Loss::Left),
        Act::Revoke(Loss::Stolen),
        Act::Propose(MINJI),
        Act::Propose(DANA),
        Act::Propose(HANA),
        Act::Countersign(MINJI),
        Act::Countersign(DANA),
        Act::Countersign(SORA),
        Act::Countersign(HANA),
    ];
    let said = about.chain(whole).map(Step::Say);
    let others = [Step::HandIn, Step::Repeat, Step::Wait];
    said.chain(HELD.map(Step::Sign)).chain(others)
}

/// What would change a request, were it open, each said by who has a say.
pub(super) fn telling(of: usize) -> impl Iterator<Item = Act> {
    let (said, consents) = ([Act::See(of), Act::Reconcile(of), Act::TakeBack(of)], [MINJI, HANA]);
    let by_agent = [DANA, SORA].into_iter().flat_map(move |who| {
        [Act::Consent(of, who), Act::Contribute(of, who), Act::Attest(of, who)]
    });
    let by_others =
        consents.into_iter().flat_map(move |who| [Act::Consent(of, who), Act::Contribute(of, who)]);
    let others = [
        Act::Notify(of, DANA),
        Act::Object(of, MINJI),
        Act::Award(of, HANA),
        Act::Retrieve(of, YUKI),
    ];
    said.into_iter().chain(by_agent).chain(by_others).chain(others)
}

impl Act {
    /// Whether it is still tried of a request that has ended: everything was when it did.
    pub(super) fn is_tried_of_ended(self) -> bool {
        matches!(
            self,
            Self::Consent(_, DANA | HANA)
                | Self::Contribute(_, DANA)
                | Self::Object(..)
                | Self::TakeBack(_)
                | Self::Retrieve(..)
        )
    }

    /// Which request it is about, if it is about one that was made.
    pub(super) fn about(self) -> Option<usize> {
        match self {
            Self::Consent(of, _)
            | Self::Mistaken(of)
            | Self::Contribute(of, _)
            | Self::See(of)
            | Self::Notify(of, _)
            | Self::Attest(of, _)
            | Self::Object(of, _)
            | Self::Award(of, _)
            | Self::Reconcile(of)
            | Self::TakeBack(of)
            | Self::Retrieve(of, _) => Some(of),
            Self::Ask(..) | Self::Revoke(_) | Self::Propose(_) | Self::Countersign(_) => None,
        }
    }

    pub(super) fn by(self) -> Who {
        match self {
            Self::Ask(_, who)
            | Self::Consent(_, who)
            | Self::Contribute(_, who)
            | Self::Notify(_, who)
            | Self::Attest(_, who)
            | Self::Object(_, who)
            | Self::Award(_, who)
            | Self::Retrieve(_, who)
            | Self::Propose(who)
            | Self::Countersign(who) => who,
            Self::Mistaken(_) => HANA,
            Self::See(_) | Self::Reconcile(_) => MINJI,
            Self::TakeBack(_) => YUKI,
            Self::Revoke(_) => SORA,
        }
    }

    /// What it says; `None` while what it is about is not there.
    pub(super) fn statement(self, moment: &mut Moment) -> Option<Statement> {
        let case = match self.about() {
            Some(of) => Some(moment.cases[of].clone()?),
            None => None,
        };
        let other = |of: usize| moment.cases[1 - of].as_ref().map(|case| case.request.sha256);
        let (by, id) = (self.by(), moment.agreement.clone());
        Some(match self {
            Self::Mistaken(of) => {
                let other = other(of)?;
                let mut consent = moment.world.consent(by, &case?);
                consent.request.sha256 = other;
                consent.into()
            }
            Self::Ask(of, _) => {
                moment.world.request(by, &moment.deposits[of].clone(), RULES[of]).into()
            }
            Self::Consent(..) => moment.world.consent(by, &case?).into(),
            Self::Contribute(..) => moment.world.contribution(by, &case?).into(),
            Self::See(_) => moment.world.sight(by, &case?).into(),
            Self::Notify(..) => moment.world.notification(by, &case?).into(),
            Self::Attest(..) => moment.world.attestation(by, &case?, &insolvency()).into(),
            Self::Object(..) => moment.world.objection(by, &case?).into(),
            Self::Award(..) => moment.world.settlement(by, &case?, Basis::Award).into(),
            Self::Reconcile(_) => moment.world.withdrawal(by, &case?, Withdrawn::Objection).into(),
            Self::TakeBack(_) => moment.world.withdrawal(by, &case?, Withdrawn::Request).into(),
            Self::Retrieve(..) => moment.world.retrieval(by, &case?).into(),
            Self::Revoke(Loss::Left) => moment.world.revocation(by, DANA, Reason::Left).into(),
            Self::Revoke(Loss::Stolen) => {
                let reason = Reason::CompromisedSince(moment.at(STOLEN_AT));
                moment.world.revocation(by, DANA, reason).into()
            }
            Self::Propose(_) => moment.world.amendment(by, &id, &NEW_TERMS).into(),
            Self::Countersign(_) => {
                moment.world.countersignature(by, &id, moment.amendment?).into()
            }
        })
    }
}
