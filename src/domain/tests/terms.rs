//! Terms to try things with: the commonest ones, random ones, and what `needs` means said anew.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::domain::id::{Fingerprint, Role};
use crate::domain::needs::{All, Any, Needs, Seats};
use crate::domain::terms::Terms;
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

/// What `needs` means, said another way: seats are taken one after the other, each by people who
/// sit nowhere else.
pub(crate) fn is_met(needs: &Needs, people: &BTreeMap<Role, u16>) -> bool {
    fn seat(open: &[&Needs], people: &BTreeMap<Role, u16>) -> bool {
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
            Needs::All(All { all }) => {
                let all: Vec<_> = all.iter().chain(rest.iter().copied()).collect();
                seat(&all, people)
            }
            Needs::Any(Any { any }) => any.iter().any(|one| {
                let one: Vec<_> = std::iter::once(one).chain(rest.iter().copied()).collect();
                seat(&one, people)
            }),
        }
    }
    seat(&[needs], people)
}

/// Organisations of random terms, the first of them the depositor.
pub(crate) const ORGANISATIONS: [&str; 4] = ["ash", "birch", "cedar", "doum"];
const ROLES: [&str; 3] = ["depositor", "agent", "buyer"];

fn needs(roles: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let seats =
        (1..=2u16, prop::sample::select(roles)).prop_map(|(n, r)| json!(format!("{n}@{r}")));
    seats.prop_recursive(2, 4, 2, |inner| {
        let some = prop::collection::vec(inner, 1..=2);
        (any::<bool>(), some)
            .prop_map(|(all, some)| json!({ if all { "all" } else { "any" }: some }))
    })
}

fn some_of(roles: Vec<&'static str>) -> impl Strategy<Value = Vec<&'static str>> {
    let most = roles.len();
    prop::sample::subsequence(roles, 1..=most)
}

fn rule(roles: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let (requesters, objectors) = (some_of(roles.clone()), some_of(roles.clone()));
    (requesters, objectors, any::<bool>(), needs(roles), 0..=2u64, 1..=3u64).prop_map(
        |(requesters, objectors, blockable, needs, notice, more)| {
            let objection = if blockable { objectors } else { Vec::new() };
            json!({
                "name": "first", "requesters": requesters, "needs": needs, "objection": objection,
                "notice": format!("{notice}d"), "expires": format!("{}d", notice + more),
            })
        },
    )
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
                    "title": "random", "quorum": quorum.min(shares), "contract_sha256": null,
                    "stock_age": false, "parties": parties, "holders": holders, "rules": rules,
                }))
            })
        })
}
