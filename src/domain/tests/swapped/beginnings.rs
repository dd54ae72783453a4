//! What begins something: an organisation's introduction, and the terms of an agreement.

use serde_json::{Value, json};

use super::{NEW, Swap, check, check_by, free, made, no};
use crate::domain::calendar::Period;
use crate::domain::id::{Fingerprint, RuleName};
use crate::domain::refusal::Refusal;
use crate::domain::soundness::{Consents, Place, Unsound};
use crate::domain::tests::scenario::{EVE, MINJI, YUKI, parties};
use crate::domain::tests::terms::{terms, three_party};
use crate::domain::tests::world::{OPERATOR, bytes, key_of, path};

#[test]
fn an_introduction_is_of_the_key_that_signs_it() {
    let ann = "newco/ann";
    let mut world = parties();
    let door = world.invitation(OPERATOR, ann);
    world.accept(door);
    let colleague = world.invitation(MINJI, NEW);
    world.accept(colleague);
    let introduced = world.organisation(ann);
    let mut swaps = made(&world, &introduced.clone().into());
    // The key is nobody's yet: whoever is invited to begin, brings it.
    swaps.retain(|(pointer, ..)| *pointer != "/made/by");
    let uninvited = |who: &str| no("/made/by", who, Refusal::NotInvited(path(who)));
    let founded = Refusal::OrganisationExists("hanbit-parts".parse().unwrap());
    swaps.extend([
        uninvited("newco/bob"),
        uninvited("nowhere/nil"),
        uninvited(MINJI),
        uninvited(EVE),
        no("/made/by", NEW, founded),
        no("/key", key_of("another"), Refusal::WrongKey(path(ann))),
        no("/key", key_of(ann), Refusal::WrongKey(path(ann))),
    ]);
    check_by(&world, introduced.into(), key_of("newco"), swaps);
}

pub(super) fn rule(name: &str) -> RuleName {
    name.parse().unwrap()
}

pub(super) fn unsound(pointer: &'static str, value: impl serde::Serialize, why: Unsound) -> Swap {
    no(pointer, value, Refusal::Unsound(why))
}

pub(super) fn unknown(pointer: &'static str, value: &str, place: Place) -> Swap {
    unsound(pointer, value, Unsound::UnknownRole { place, role: "buyer".parse().unwrap() })
}

pub(super) fn twice(pointer: &'static str, value: &str, place: Place) -> Swap {
    unsound(pointer, value, Unsound::Twice { place, what: value.to_owned() })
}

pub(super) fn deadlock(pointer: &'static str, notice: &str, expires: &str, of: &str) -> Swap {
    let value = if pointer.ends_with("notice") { notice } else { expires };
    let (longest, expires) = (notice.parse().unwrap(), expires.parse().unwrap());
    let notice = Period::Passing(longest);
    unsound(pointer, value, Unsound::Clocks { rule: rule(of), notice, longest, expires })
}

pub(super) fn alone(pointer: &'static str, value: &str, of: &str, who: &str) -> Swap {
    let consents = Consents(vec![(2, who.parse().unwrap())]);
    unsound(pointer, value, Unsound::OneOrganisation { rule: rule(of), consents })
}

fn shares(count: usize, least: usize, most: usize) -> Swap {
    let what = "shares in the quorum";
    unsound("/terms/quorum", count, Unsound::Count { what, count, least, most })
}

/// The terms are what is proposed: any others that are sound are another agreement, and nobody has
/// signed it yet. So a field is refused where it would break a promise, and free where it does not.
#[test]
fn promise_3_a_proposal_is_of_sound_terms_between_organisations_that_are_there() {
    let mut world = parties();
    let proposal = world.proposal(MINJI, &terms(three_party()));
    let [hanbit, orient, center, acme] =
        ["hanbit-parts", "orient-display", "trade-secret-center", "acme"]
            .map(|who| who.parse().unwrap());
    let print = |whose: &str| Fingerprint::of(&key_of(whose)).to_string();
    let mut swaps = made(&world, &proposal.clone().into());
    swaps.extend([
        free("/terms/title", "another"),
        free("/terms/contract_sha256", bytes::<32>("another")),
        free("/terms/stock_age", true),
        shares(1, 2, 3),
        shares(4, 2, 3),
        unsound(
            "/terms/quorum",
            3,
            Unsound::Deadlock {
                rule: rule("bankruptcy"),
                consents: Consents(vec![(1, center), (1, orient.clone())]),
                requester: orient.clone(),
                shares: 2,
                quorum: 3,
            },
        ),
        unsound("/terms/parties/depositor", json!([]), Unsound::Depositors(0)),
        unsound("/terms/parties/depositor", ["hanbit-parts", "acme"], Unsound::Depositors(2)),
        unsound("/terms/parties/depositor/0", "acme", Unsound::Fingerprints(acme)),
        unsound("/terms/parties/beneficiary/0", "hanbit-parts", Unsound::TwoRoles(hanbit)),
        unsound("/terms/parties/agent", json!([]), Unsound::EmptyRole("agent".parse().unwrap())),
        unsound(
            "/terms/parties/agent/0",
            "nowhere",
            Unsound::Fingerprints("nowhere".parse().unwrap()),
        ),
        // Whether it is the party's key is checked by whoever can hash.
        free("/terms/fingerprints/trade-secret-center", print("another")),
        free("/terms/fingerprints/orient-display", print("another")),
        unsound(
            "/terms/fingerprints/hanbit-parts",
            print("orient-display"),
            Unsound::OneKey("hanbit-parts".parse().unwrap(), orient),
        ),
        unknown("/terms/holders/0", "buyer", Place::Holders),
        twice("/terms/holders/1", "agent", Place::Holders),
        twice("/terms/holders/2", "beneficiary", Place::Holders),
        free("/terms/rules/0/name", "both"),
        twice("/terms/rules/0/name", "bankruptcy", Place::Rules),
        unknown("/terms/rules/0/requesters/0", "buyer", Place::Requesters(rule("joint"))),
        free("/terms/rules/0/requesters/0", "agent"),
        unknown("/terms/rules/0/needs/all/0", "1@buyer", Place::Needs(rule("joint"))),
        alone("/terms/rules/0/needs/all/0", "1@agent", "joint", "trade-secret-center"),
        free("/terms/rules/0/needs/all/1", "1@beneficiary"),
        deadlock("/terms/rules/0/notice", "90d", "90d", "joint"),
        free("/terms/rules/0/notice", "1d"),
        free("/terms/rules/0/objection", ["agent"]),
        deadlock("/terms/rules/0/expires", "0s", "0s", "joint"),
        free("/terms/rules/0/expires", "1d"),
        twice("/terms/rules/1/name", "joint", Place::Rules),
        unknown("/terms/rules/1/requesters/0", "buyer", Place::Requesters(rule("bankruptcy"))),
        free("/terms/rules/1/needs/all/0", "1@depositor"),
        alone("/terms/rules/1/needs/all/1", "1@beneficiary", "bankruptcy", "orient-display"),
        deadlock("/terms/rules/1/notice", "60d", "60d", "bankruptcy"),
        unknown("/terms/rules/1/objection/0", "buyer", Place::Objection(rule("bankruptcy"))),
        free("/terms/rules/1/objection/0", "agent"),
        deadlock("/terms/rules/1/expires", "10d", "10d", "bankruptcy"),
    ]);
    check(&world, proposal, swaps);
}

#[test]
fn terms_are_proposed_by_their_depositor_to_organisations_that_have_joined() {
    let mut world = parties();
    let others = world.proposal(YUKI, &terms(three_party()));
    let orient = "orient-display".parse().unwrap();
    assert_eq!(world.try_say(others), Err(Refusal::NotDepositor(orient)));
    // Invited is not joined.
    let door = world.invitation(OPERATOR, "newco/ann");
    world.accept(door);
    for who in ["nowhere", "newco"] {
        let mut written: Value = three_party();
        written["parties"]["agent"] = json!([who]);
        let proposal = world.proposal(MINJI, &terms(written));
        let missing = Refusal::PartyMissing(who.parse().unwrap());
        assert_eq!(world.try_say(proposal), Err(missing), "{who}");
    }
}
