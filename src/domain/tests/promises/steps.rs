//! What anybody may try, and in which way it is not honest.

use proptest::prelude::*;
use proptest::sample::Index;

/// What a member tries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Try {
    Ask,
    Consent,
    Contribute,
    /// Or, where a sight means nothing, to hand in what the authority says of it.
    See,
    Notify,
    Object,
    TakeBack,
    Settle,
    /// To remind an organisation that says nothing.
    Remind,
    /// Proposes other terms.
    Amend,
    Countersign,
    /// And, once it was, to say what became of it.
    Retrieve,
    Deposit,
    Terminate,
    /// Says again what was said before, by anybody.
    Repeat,
    /// Says whose keys a colleague's are.
    Confirm,
    /// Somebody's keys turn out to be stolen, or the person has left.
    Revoke,
    /// The same once more of somebody of whom it was said before.
    RevokeAgain,
    /// Passes its organisation's share on.
    Reseal,
    /// Nobody says anything: a bundle is found damaged.
    Damage,
}

/// In which way it is not honest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lie {
    No,
    /// Signed by somebody else.
    Key,
    /// Rests on an earlier event.
    Saw,
    /// About the digest of something else.
    Digest,
    /// In the name of the requester, or of whoever consented first.
    Name,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) wait_hours: u64,
    /// Whether the next one tries if this one may not, and so on: somebody usually may.
    pub(super) is_passed_on: bool,
    pub(super) who: Index,
    pub(super) what: Try,
    pub(super) about: Index,
    pub(super) lie: Lie,
    /// A colleague is confirmed as an administrator; keys are stolen, and not given back.
    pub(super) is_grave: bool,
    /// Signed by the organisation's key, where the member has it at home.
    pub(super) is_by_house: bool,
    /// Since when keys turn out to be stolen.
    pub(super) ago_hours: i64,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        2 => Just(Try::Ask),
        16 => Just(Try::Consent),
        12 => Just(Try::Contribute),
        6 => Just(Try::See),
        2 => Just(Try::Notify),
        3 => Just(Try::Object),
        1 => Just(Try::TakeBack),
        6 => Just(Try::Settle),
        1 => Just(Try::Remind),
        1 => Just(Try::Amend),
        4 => Just(Try::Countersign),
        9 => Just(Try::Retrieve),
        1 => Just(Try::Deposit),
        1 => Just(Try::Terminate),
        2 => Just(Try::Repeat),
    ];
    let what = prop_oneof![
        60 => what,
        1 => Just(Try::Damage),
        4 => Just(Try::Confirm),
        4 => Just(Try::Revoke),
        4 => Just(Try::RevokeAgain),
        4 => Just(Try::Reseal),
    ];
    let lie = prop_oneof![
        16 => Just(Lie::No),
        1 => Just(Lie::Key),
        1 => Just(Lie::Saw),
        1 => Just(Lie::Digest),
        1 => Just(Lie::Name),
    ];
    let wait = prop_oneof![9 => Just(0), 1 => 1..30u64];
    let honest = (wait, any::<bool>(), any::<Index>(), what, any::<Index>());
    let of_members = (any::<bool>(), prop::bool::weighted(0.3), -1..48i64);
    (honest, lie, of_members).prop_map(
        |(
            (wait_hours, is_passed_on, who, what, about),
            lie,
            (is_grave, is_by_house, ago_hours),
        )| {
            Step {
                wait_hours,
                is_passed_on,
                who,
                what,
                about,
                lie,
                is_grave,
                is_by_house,
                ago_hours,
            }
        },
    )
}
