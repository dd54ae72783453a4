//! Vaults that each break one rule: the search has to find every one of them.

use std::sync::Arc;

use crate::domain::organisation::Standing;
use crate::domain::refusal::Refusal;
use crate::domain::request::{Request, State};
use crate::domain::rules::{self, Circumstances};
use crate::domain::statement::{Stated, Statement, Withdrawn};
use crate::domain::states::States;
use crate::domain::tests::world::World;
use crate::domain::trigger::Trigger;

/// Which rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Who requests may consent.
    OwnRequest,
    /// Who has no seat may consent, and who has not consented may contribute.
    Entitlement,
    /// Strangers may act.
    Stranger,
    /// Shares are taken before the consents are there.
    Open,
    /// Shares are taken before notice has run, or before who may object knows.
    Notice,
    /// Shares are taken in spite of an objection.
    Objected,
    /// What was taken back can still be consented to.
    Withdrawn,
    /// What has expired can still be released.
    Expired,
    /// What was signed before an objection counts after it.
    Outdated,
    /// What is no longer good counts.
    Late,
    /// Who was revoked may act.
    Revoked,
    /// A consent to one request counts for another.
    Mismatch,
    /// A statement counts twice.
    Twice,
    /// What was settled is objected to anew.
    Settled,
    /// A bundle is fetched more often than the rule says.
    FetchedOften,
    /// A consent stays good for ever.
    EndlessVote,
    /// What the rule asks for need not have happened.
    Untriggered,
    /// Consents count before the reviewers have seen what they are to.
    Unreviewed,
    /// An amendment takes hold of the requests that are open.
    AmendsRequests,
    /// One signature amends.
    AmendsAlone,
    /// Terms come into force that lack a holder whom they need.
    AmendsUnsoundly,
    /// The first share releases.
    ReleasesEarly,
    /// An objection is accepted, and changes nothing.
    ForgetsObjection,
    /// So is taking it back.
    ForgetsReconciliation,
    /// So is an award.
    ForgetsAward,
    /// So is taking a request back.
    ForgetsWithdrawal,
    /// So is a revocation.
    ForgetsRevocation,
    /// What was done with stolen keys counts.
    CountsStolen,
}

impl Mutant {
    pub(super) const ALL: [Self; 28] = [
        Self::OwnRequest,
        Self::Entitlement,
        Self::Stranger,
        Self::Open,
        Self::Notice,
        Self::Objected,
        Self::Withdrawn,
        Self::Expired,
        Self::Outdated,
        Self::Late,
        Self::Revoked,
        Self::Mismatch,
        Self::Twice,
        Self::Settled,
        Self::FetchedOften,
        Self::EndlessVote,
        Self::Untriggered,
        Self::Unreviewed,
        Self::AmendsRequests,
        Self::AmendsAlone,
        Self::AmendsUnsoundly,
        Self::ReleasesEarly,
        Self::ForgetsObjection,
        Self::ForgetsReconciliation,
        Self::ForgetsAward,
        Self::ForgetsWithdrawal,
        Self::ForgetsRevocation,
        Self::CountsStolen,
    ];

    /// What this vault decides.
    pub(super) fn decide(
        self,
        states: &States,
        stated: &Stated,
        circumstances: &Circumstances,
    ) -> Result<(), Refusal> {
        let bent = self.bent(states, stated, circumstances);
        let decided = rules::decide(bent.as_ref().unwrap_or(states), stated, circumstances);
        match decided {
            Err(refusal) if self.lets_through(&refusal) => Ok(()),
            decided => decided,
        }
    }

    /// What this vault makes of what it has accepted.
    pub(super) fn enter(self, world: &mut World, stated: &Stated) {
        if self.forgets(&stated.statement) {
            return;
        }
        world.enter(stated);
        let id = world.states.agreements().next().unwrap().id.clone();
        match (self, &stated.statement) {
            (Self::AmendsRequests, Statement::Countersignature(_)) => {
                let terms = world.states.agreement(&id).unwrap().terms.clone();
                each(&mut world.states, |request| request.terms = terms.clone());
            }
            (Self::AmendsUnsoundly, Statement::Countersignature(_)) => {
                let agreement = world.states.agreement_mut(&id).unwrap();
                if agreement.version > 1 {
                    let terms = Arc::make_mut(&mut agreement.terms);
                    terms.holders.retain(|role| role.as_str() != "arbiter");
                }
            }
            (Self::ReleasesEarly, Statement::Contribution(s)) => {
                let at = world.now;
                world.states.request_mut(&s.request.id).unwrap().released(at);
            }
            (Self::CountsStolen, Statement::Revocation(s)) => {
                let at = world.now;
                let found = world.states.organisation_mut(&s.member.organisation).unwrap();
                let member = found.members.get_mut(&s.member.name).unwrap();
                if let Standing::Revoked { counted: Some(counted), .. } = &mut member.standing {
                    counted.before = at;
                }
            }
            (Self::AmendsAlone, Statement::Amendment(_)) => {
                let amendment = world.states.amendment(&stated.digest).unwrap().clone();
                let agreement = world.states.agreement_mut(&id).unwrap();
                agreement.amended(&amendment, stated.digest, agreement.floor);
            }
            _ => {}
        }
    }

    /// The states as this vault has them before it when it takes a share, where that is otherwise
    /// than they are.
    fn bent(
        self,
        states: &States,
        stated: &Stated,
        circumstances: &Circumstances,
    ) -> Option<States> {
        if !matches!(stated.statement, Statement::Contribution(_)) {
            return None;
        }
        let bend: &dyn Fn(&mut Request) = match self {
            Self::EndlessVote => &|request| {
                request.consents.iter_mut().for_each(|act| act.at = circumstances.now);
            },
            Self::Untriggered => &|request| {
                Arc::make_mut(&mut request.terms)
                    .rules
                    .iter_mut()
                    .for_each(|r| r.trigger = Trigger::Joint)
            },
            Self::Unreviewed => &|request| {
                Arc::make_mut(&mut request.terms).rules.iter_mut().for_each(|r| r.reviewers.clear())
            },
            Self::OwnRequest
            | Self::Entitlement
            | Self::Stranger
            | Self::Open
            | Self::Notice
            | Self::Objected
            | Self::Withdrawn
            | Self::Expired
            | Self::Outdated
            | Self::Late
            | Self::Revoked
            | Self::Mismatch
            | Self::Twice
            | Self::Settled
            | Self::FetchedOften
            | Self::AmendsRequests
            | Self::AmendsAlone
            | Self::AmendsUnsoundly
            | Self::ReleasesEarly
            | Self::ForgetsObjection
            | Self::ForgetsReconciliation
            | Self::ForgetsAward
            | Self::ForgetsWithdrawal
            | Self::ForgetsRevocation
            | Self::CountsStolen => return None,
        };
        let mut bent = states.clone();
        each(&mut bent, bend);
        Some(bent)
    }

    fn lets_through(self, refusal: &Refusal) -> bool {
        match self {
            Self::OwnRequest => matches!(refusal, Refusal::OwnRequest(_)),
            Self::Entitlement => matches!(refusal, Refusal::NotEntitled { .. }),
            Self::Stranger => matches!(refusal, Refusal::NotFound(_)),
            Self::Open => *refusal == Refusal::RequestIs(State::Open),
            Self::Notice => *refusal == Refusal::RequestIs(State::Notice),
            Self::Objected => *refusal == Refusal::RequestIs(State::Objected),
            Self::Withdrawn => *refusal == Refusal::RequestIs(State::Withdrawn),
            Self::Expired => *refusal == Refusal::RequestIs(State::Expired),
            Self::Outdated => matches!(refusal, Refusal::Outdated { .. }),
            Self::Late => matches!(refusal, Refusal::Late { .. }),
            Self::Revoked => matches!(refusal, Refusal::Revoked(_)),
            Self::Mismatch => matches!(refusal, Refusal::Mismatch(_)),
            Self::Twice => matches!(refusal, Refusal::Already { .. }),
            Self::Settled => matches!(refusal, Refusal::Settled(_)),
            Self::FetchedOften => matches!(refusal, Refusal::FetchedOften(_)),
            Self::EndlessVote
            | Self::Untriggered
            | Self::Unreviewed
            | Self::AmendsRequests
            | Self::AmendsAlone
            | Self::AmendsUnsoundly
            | Self::ReleasesEarly
            | Self::ForgetsObjection
            | Self::ForgetsReconciliation
            | Self::ForgetsAward
            | Self::ForgetsWithdrawal
            | Self::ForgetsRevocation
            | Self::CountsStolen => false,
        }
    }

    fn forgets(self, statement: &Statement) -> bool {
        match (self, statement) {
            (Self::ForgetsObjection, Statement::Objection(_))
            | (Self::ForgetsAward, Statement::Settlement(_))
            | (Self::ForgetsRevocation, Statement::Revocation(_)) => true,
            (Self::ForgetsReconciliation, Statement::Withdrawal(s)) => {
                s.withdrawn == Withdrawn::Objection
            }
            (Self::ForgetsWithdrawal, Statement::Withdrawal(s)) => {
                s.withdrawn == Withdrawn::Request
            }
            _ => false,
        }
    }
}

fn each(states: &mut States, change: impl Fn(&mut Request)) {
    let ids: Vec<_> = states.requests().map(|request| request.id.clone()).collect();
    for id in ids {
        states.request_mut(&id).into_iter().for_each(&change);
    }
}
