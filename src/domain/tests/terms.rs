//! Terms to try things with: the commonest ones, random ones, and what `needs` means said anew.

use std::collections::{BTreeMap, BTreeSet};

use proptest::bool::weighted;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::domain::id::{Fingerprint, OrganisationName, Role};
use crate::domain::needs::{All, Any, AtLeast, Needs, Seats};
use crate::domain::terms::{Rule, Terms};
use crate::domain::tests::world::key_of;

/// Terms whose fingerprints are filled in.
pub(crate) fn terms(mut terms: Value) -> Terms {
    let mut fingerprints = BTreeMap::new();
    for organisation in terms["parties"].as_object().unwrap().values().flat_map(names) {
        let fingerprint = Fingerprint::of(&key_of(&organisation)).to_string();
        fingerprints.insert(organisation, fingerprint);
    }
    terms["fingerprints"] = json!(fingerprints);
    serde_json::from_value(terms).unwrap()
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// The three-party terms that `escrow agreement template` prints.
pub(crate) fn three_party() -> Value {
    json!({
        "title": "Substrate process recipe", "quorum": 2, "contract_sha256": null,
        "stock_age": false,
        "parties": {
            "depositor": ["hanbit-parts"],
            "beneficiary": ["orient-display"],
            "agent": ["trade-secret-center"],
        },
        "holders": ["depositor", "beneficiary", "agent"],
        "rules": [
            { "name": "joint", "requesters": ["beneficiary"],
              "needs": { "all": ["1@depositor", "1@agent"] },
              "notice": "0s", "objection": [], "expires": "90d" },
            { "name": "bankruptcy", "requesters": ["beneficiary"],
              "needs": { "all": ["1@beneficiary", "1@agent"] },
              "notice": "10d", "objection": ["depositor"], "expires": "60d" },
        ],
    })
}

/// The same, with an authority that time-stamps requests.
pub(crate) fn stamped_terms() -> Value {
    let mut written = three_party();
    written["time_stamps"] = json!({ "authority": "http://tsa.example/tsr", "ca": "3003020101" });
    written
}

/// The same with every word of format 2: the first rule has them, and the second is as it was.
pub(crate) fn second_format() -> Value {
    let mut written = three_party();
    written["format"] = json!(2);
    written["calendar"] = json!({
        "utc_offset": "+09:00", "weekend": ["saturday", "sunday"], "holidays": ["2026-03-06"],
    });
    written["amend"] = json!({ "all": ["1@depositor", "1@agent"] });
    written["term"] = json!("2031-03-02T00:00:00.000Z");
    let of = json!(["1@depositor", "1@beneficiary", "1@agent"]);
    let rule = &mut written["rules"][0];
    rule["needs"] = json!({ "at_least": 2, "of": of });
    rule["distinct_organisations"] = json!(2);
    rule["reviewers"] = json!(["agent"]);
    rule["notice"] = json!("4wd");
    rule["vote"] = json!("5d");
    rule["access"] = json!({ "within": "30d", "times": 2 });
    rule["grants"] = json!("latest");
    rule["duty"] = json!({ "kind": "report", "within": "60d" });
    rule["objection"] = json!(["depositor"]);
    rule["settled_by"] = json!({
        "joint": { "all": ["1@depositor", "1@beneficiary"] }, "award": "1@agent",
        "order": "2@agent",
    });
    written
}

/// What `needs` means, said another way: seats are taken one after the other, each by people who
/// sit nowhere else.
pub(crate) fn is_met(needs: &Needs, people: &BTreeMap<Role, u16>) -> bool {
    fn seat(open: &[Needs], people: &BTreeMap<Role, u16>) -> bool {
        let Some((first, rest)) = open.split_first() else { return true };
        match first {
            Needs::Seats(Seats { count, role }) => {
                let mut left = people.clone();
                let standing = left.entry(role.clone()).or_default();
                *standing >= *count && {
                    *standing -= count;
                    seat(rest, &left)
                }
            }
            Needs::All(All { all }) => seat(&[all, rest].concat(), people),
            Needs::Any(Any { any }) => {
                any.iter().any(|one| seat(&[std::slice::from_ref(one), rest].concat(), people))
            }
            Needs::AtLeast(AtLeast { at_least: 0, of: _ }) => seat(rest, people),
            // The first of them is met or left out.
            Needs::AtLeast(AtLeast { at_least, of }) => {
                of.split_first().is_some_and(|(one, of)| {
                    let among = |at_least| Needs::AtLeast(AtLeast { at_least, of: of.to_vec() });
                    seat(&[&[one.clone(), among(at_least - 1)], rest].concat(), people)
                        || seat(&[&[among(*at_least)], rest].concat(), people)
                })
            }
        }
    }
    seat(std::slice::from_ref(needs), people)
}

/// Whether these people, so many of each organisation, meet a rule; the requester is not among
/// them, nor anybody who may not consent.
pub(crate) fn is_rule_met(
    terms: &Terms,
    rule: &Rule,
    people: &BTreeMap<OrganisationName, u16>,
) -> bool {
    let mut seated = BTreeMap::<Role, u16>::new();
    for (organisation, count) in people {
        *seated.entry(terms.role_of(organisation).unwrap().clone()).or_default() += count;
    }
    let organisations = people.values().filter(|count| **count > 0).count();
    is_met(&rule.needs, &seated) && organisations >= rule.distinct_organisations.unwrap_or(1).into()
}

/// Every role that a need names.
pub(crate) fn roles_named(needs: &Needs) -> BTreeSet<Role> {
    match needs {
        Needs::Seats(seats) => BTreeSet::from([seats.role.clone()]),
        Needs::All(All { all: list })
        | Needs::Any(Any { any: list })
        | Needs::AtLeast(AtLeast { at_least: _, of: list }) => {
            list.iter().flat_map(roles_named).collect()
        }
    }
}

/// Organisations of random terms, the first of them the depositor.
pub(crate) const ORGANISATIONS: [&str; 4] = ["ash", "birch", "cedar", "doum"];
const ROLES: [&str; 3] = ["depositor", "agent", "buyer"];

fn needs(roles: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let seats =
        (1..=2u16, prop::sample::select(roles)).prop_map(|(n, r)| json!(format!("{n}@{r}")));
    seats.prop_recursive(2, 4, 2, |inner| {
        let some = prop::collection::vec(inner, 1..=2);
        (0..3, some).prop_map(|(how, some)| match how {
            0 => json!({ "all": some }),
            1 => json!({ "any": some }),
            _ => json!({ "at_least": some.len().div_ceil(2), "of": some }),
        })
    })
}

fn some_of(roles: Vec<&'static str>) -> impl Strategy<Value = Vec<&'static str>> {
    let most = roles.len();
    prop::sample::subsequence(roles, 1..=most)
}

fn rule(roles: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let (requesters, objectors) = (some_of(roles.clone()), some_of(roles.clone()));
    let judges = prop::sample::select(roles.clone());
    let distinct = prop_oneof![2 => Just(None), 1 => (2..=3u16).prop_map(Some)];
    let clocks = (0..=2u64, 1..=3u64);
    (
        requesters,
        (objectors, any::<bool>(), judges, weighted(0.3), weighted(0.3)),
        needs(roles),
        distinct,
        clocks,
    )
        .prop_map(|(requesters, others, needs, distinct, (notice, more))| {
            let (objectors, blockable, judge, is_reviewed, is_triggered) = others;
            let is_other = !requesters.contains(&judge);
            let is_judge = blockable && is_other;
            let objection = if blockable { objectors } else { Vec::new() };
            let mut rule = json!({
                "name": "first", "requesters": requesters, "needs": needs, "objection": objection,
                "notice": format!("{notice}d"), "expires": format!("{}d", notice + more),
            });
            if is_triggered && is_other {
                let attested = format!("1@{judge}");
                rule["trigger"] =
                    json!({ "event": { "kind": "insolvency", "attested": attested } });
            }
            if is_judge {
                rule["settled_by"] = json!({ "award": format!("1@{judge}") });
            }
            if is_reviewed {
                rule["reviewers"] = json!([judge]);
            }
            if let Some(count) = distinct {
                rule["distinct_organisations"] = json!(count);
            }
            rule
        })
}

/// Small terms that are right in form; whether a rule keeps its promises is another matter.
pub(crate) fn any_terms() -> impl Strategy<Value = Terms> {
    (2..=4usize, prop::collection::vec(1..=2usize, 3))
        .prop_flat_map(|(count, seats)| {
            let mut parties = BTreeMap::<&str, Vec<&str>>::new();
            for (i, organisation) in ORGANISATIONS.iter().take(count).enumerate() {
                let role = if i == 0 { 0 } else { seats[i - 1] };
                parties.entry(ROLES[role]).or_default().push(organisation);
            }
            let roles: Vec<_> = parties.keys().copied().collect();
            let holders = some_of(roles.clone());
            let rules = prop::collection::vec(rule(roles), 1..=2);
            (Just(parties), holders, 2..=4usize, rules)
        })
        .prop_filter_map("two holders at least", |(parties, holders, quorum, mut rules)| {
            let shares: usize = holders.iter().map(|role| parties[role].len()).sum();
            if let Some(second) = rules.get_mut(1) {
                second["name"] = json!("second");
            }
            (shares >= 2).then(|| {
                terms(json!({
                    "format": 2, "title": "random", "quorum": quorum.min(shares), "contract_sha256": null,
                    "stock_age": false, "parties": parties, "holders": holders, "rules": rules,
                }))
            })
        })
}
