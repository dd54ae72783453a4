//! Every word of format 2, added to random terms where it may stand. What it adds asks for more than
//! consents or bounds what comes after: `needs` stay as they were.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::domain::id::Role;
use crate::domain::terms::{Rule, Terms};

/// From when on a rule with a date can be used: some hours after a world begins.
const DATE: &str = "2026-03-03T05:00:00.000Z";

/// When the term is over, where it ends soon: in the middle of many trials.
const TERM: &str = "2026-03-03T02:00:00.000Z";

/// What is added to each rule, and to the whole.
#[derive(Debug, Clone)]
pub(super) struct Words {
    trigger: u8,
    settlement: u8,
    grants: u8,
    duty: u8,
    has_vote: bool,
    has_access: bool,
    has_working_days: bool,
    has_amend: bool,
    has_term: bool,
    role: Index,
}

pub(super) fn words() -> impl Strategy<Value = Words> {
    let kinds = (0..10u8, 0..4u8, 0..3u8, 0..4u8);
    let whole = (prop::bool::weighted(0.2), any::<bool>(), prop::bool::weighted(0.2));
    let flags = (any::<bool>(), any::<bool>(), whole);
    (kinds, flags, any::<Index>()).prop_map(|(kinds, flags, role)| {
        let (trigger, settlement, grants, duty) = kinds;
        let (has_vote, has_access, (has_working_days, has_amend, has_term)) = flags;
        Words {
            trigger,
            settlement,
            grants,
            duty,
            has_vote,
            has_access,
            has_working_days,
            has_amend,
            has_term,
            role,
        }
    })
}

impl Words {
    /// The terms with these words; whether they are sound is another matter.
    pub(super) fn put(&self, terms: &Terms) -> Terms {
        let mut written = serde_json::to_value(terms).unwrap();
        for (rule, found) in written["rules"].as_array_mut().unwrap().iter_mut().zip(&terms.rules) {
            self.put_rule(terms, found, rule);
        }
        let roles: Vec<&Role> = terms.parties.keys().collect();
        if let [first, second, ..] = roles.as_slice()
            && self.has_amend
        {
            written["amend"] = json!({ "all": [format!("1@{first}"), format!("1@{second}")] });
        }
        if self.has_term {
            written["term"] = json!(TERM);
        }
        if self.has_working_days {
            written["calendar"] = json!({
                "utc_offset": "+09:00", "weekend": ["saturday", "sunday"], "holidays": [],
            });
        }
        serde_json::from_value(written).unwrap()
    }

    fn put_rule(&self, terms: &Terms, found: &Rule, rule: &mut Value) {
        let roles: Vec<&Role> = terms.parties.keys().collect();
        let others: Vec<_> = roles.iter().filter(|r| !found.requesters.contains(r)).collect();
        let other = (!others.is_empty()).then(|| self.role.get(&others).to_string());
        let objector = found
            .objection
            .iter()
            .find(|role| !found.requesters.contains(role) && !found.reviewers.contains(role));
        match (self.trigger, &other, objector) {
            (0 | 1, Some(other), _) => {
                // By either of two ways to say the same.
                let attested = json!({ "any": [format!("1@{other}"), format!("2@{other}")] });
                rule["trigger"] = json!({ "order": { "attested": attested } });
            }
            (2 | 3, _, _) => rule["trigger"] = json!({ "date": DATE }),
            (4 | 5, _, _) => {
                let missed = json!({ "deposits": 2, "interval": "6h", "grace": "1h" });
                rule["trigger"] = json!({ "missed": missed });
                rule["objection"] = json!(["depositor"]);
                rule["notice"] = json!("1d");
                rule["expires"] = json!("3d");
            }
            (6 | 7, _, Some(silent)) => {
                let silence =
                    json!({ "role": silent, "lasts": "20h", "reminders": 2, "every": "5h" });
                rule["trigger"] = json!({ "silence": silence });
                rule["notice"] = json!("1d");
                rule["expires"] = json!("3d");
            }
            _ => {}
        }
        let [first, .., last] = roles.as_slice() else { return };
        if rule["objection"].as_array().is_some_and(|who| !who.is_empty()) {
            match (self.settlement, &other) {
                (0, _) => {
                    let joint = json!({ "all": [format!("1@{first}"), format!("1@{last}")] });
                    rule["settled_by"] = json!({ "joint": joint });
                }
                (1, Some(other)) => {
                    rule["settled_by"] = json!({ "order": format!("1@{other}") });
                }
                (2, Some(other)) => {
                    rule["settled_by"] = json!({ "award": format!("1@{other}") });
                }
                _ => {}
            }
        }
        match self.grants {
            0 => rule["grants"] = json!("latest"),
            1 => rule["grants"] = json!({ "label": "line 7" }),
            _ => {}
        }
        let duties = ["return", "destroy", "report"];
        if let Some(kind) = duties.get(usize::from(self.duty)) {
            rule["duty"] = json!({ "kind": kind, "within": "30d" });
        }
        if self.has_vote {
            rule["vote"] = json!("12h");
        }
        if self.has_access {
            rule["access"] = json!({ "within": "2d", "times": 2 });
        }
        if self.has_working_days && rule["notice"] != json!("0s") {
            rule["notice"] = json!("1wd");
            rule["expires"] = json!("10d");
        }
    }
}
