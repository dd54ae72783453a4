//! Each piece of advice on its own: terms that need none but one, changed in one place.

use serde_json::{Value, json};

use super::*;
use crate::domain::advice::Code::*;
use crate::domain::tests::terms::terms;

/// Terms on which nothing is to be said but who could open a bundle together.
fn good() -> Value {
    json!({
        "format": 2, "title": "Substrate process recipe", "quorum": 2, "contract_sha256": null,
        "stock_age": false,
        "parties": {
            "depositor": ["hanbit-parts"],
            "beneficiary": ["orient-display"],
            "agent": ["trade-secret-center"],
            "auditor": ["other-auditor"],
            "arbiter": ["board-of-arbitration"],
            "trustee": ["land-trust"],
        },
        "holders": ["depositor", "beneficiary", "agent", "trustee"],
        "amend": { "all": ["1@depositor", "1@agent"] },
        "rules": [
            { "name": "joint", "requesters": ["beneficiary"],
              "needs": { "any": [
                  { "all": ["1@depositor", "1@agent"] }, { "all": ["1@depositor", "1@auditor"] },
              ] },
              "notice": "0s", "objection": [], "expires": "90d" },
            { "name": "bankruptcy", "requesters": ["beneficiary"],
              "needs": { "any": [
                  { "all": ["1@auditor", "1@agent"] }, { "all": ["1@beneficiary", "1@trustee"] },
              ] },
              "notice": "10d", "objection": ["depositor"],
              "settled_by": {
                  "joint": { "all": ["1@depositor", "1@beneficiary"] }, "award": "1@arbiter",
              },
              "expires": "60d" },
        ],
    })
}

fn with(changes: &[(&str, Value)]) -> Terms {
    let mut written = good();
    for (place, value) in changes {
        let (parent, word) = place.rsplit_once('/').unwrap();
        let parent = written.pointer_mut(parent).unwrap();
        match word.parse::<usize>() {
            Ok(index) => parent[index] = value.clone(),
            Err(_) => parent[word] = value.clone(),
        }
    }
    terms(written)
}

fn told(changes: &[(&str, Value)], known: &Known) -> Vec<Finding> {
    advise(&with(changes), "2026-11-24T09:00:00.000Z".parse().unwrap(), known)
}

fn run_by(operator: Option<&str>) -> Known {
    let operator = operator.map(|name| name.parse().unwrap());
    Known { operator, one_roof: Vec::new() }
}

/// Needs that take a second person of whoever asks, in either way.
fn second_person() -> Value {
    json!({"any": [
        {"all": ["1@beneficiary", "1@agent"]}, {"all": ["1@beneficiary", "1@trustee"]},
    ]})
}

/// In the second rule.
fn second(word: &str, value: Value) -> (String, Value) {
    (format!("/rules/1/{word}"), value)
}

#[test]
fn each_piece_of_advice_has_its_cause_and_names_it() {
    let term = |at: &str| ("/term".to_owned(), json!(format!("{at}T00:00:00.000Z")));
    let silence = |lasts: &str| {
        let silence =
            json!({ "role": "depositor", "lasts": lasts, "reminders": 2, "every": "10d" });
        second("trigger", json!({ "silence": silence }))
    };
    let missed = json!({ "missed": { "deposits": 3, "interval": "30d", "grace": "5d" } });
    let date = |at: &str| second("trigger", json!({ "date": format!("{at}T00:00:00.000Z") }));
    let calendar = json!({ "utc_offset": "+09:00", "weekend": ["sunday"], "holidays": [] });
    for (code, changes, says) in [
        (None, vec![], ""),
        (
            Some(NoSpareShare),
            vec![
                ("/holders".to_owned(), json!(["depositor", "beneficiary"])),
                second(
                    "needs",
                    json!({"any": [
                        {"all": ["1@depositor", "1@agent"]}, {"all": ["1@depositor", "1@auditor"]},
                    ]}),
                ),
            ],
            "one of orient-display and hanbit-parts loses its own",
        ),
        (
            Some(NoWayOut),
            vec![(
                "/rules/0/trigger".to_owned(),
                json!({"event": {"kind": "fire", "attested": "1@auditor"}}),
            )],
            "Add a rule named agreed, as there is one named joint already: requester = \
             \"beneficiary\", needs = { all = [\"1@depositor\", \"1@agent\"] }.",
        ),
        (
            Some(DepositorUnheard),
            vec![(
                "/rules/0/needs".to_owned(),
                json!({"at_least": 2, "of": ["1@depositor", "1@agent", "1@auditor"]}),
            )],
            "hanbit-parts can be passed over",
        ),
        (
            Some(SingleAgent),
            vec![
                ("/rules/0/needs".to_owned(), json!({"all": ["1@depositor", "1@agent"]})),
                second("needs", json!({"all": ["1@depositor", "1@agent"]})),
            ],
            "No rule is met without trade-secret-center",
        ),
        (
            Some(SingleAgent),
            vec![
                ("/rules/0/needs".to_owned(), json!({"all": ["1@depositor", "1@agent"]})),
                second("needs", json!({"all": ["1@depositor", "1@agent"]})),
            ],
            "Add a rule named without-agent: requester = \"beneficiary\", needs = { all = \
             [\"1@depositor\", \"1@trustee\"] }; or name a second organisation as agent.",
        ),
        // One that takes the depositor is no way out when the depositor is gone.
        (
            Some(SingleAgent),
            vec![second(
                "needs",
                json!({"any": [
                    {"all": ["1@auditor", "1@agent"]}, {"all": ["1@agent", "1@trustee"]},
                ]}),
            )],
            "No rule that does without hanbit-parts is met without trade-secret-center",
        ),
        (
            Some(SingleAgent),
            vec![
                ("/rules/0/needs".to_owned(), json!({"all": ["1@depositor", "1@agent"]})),
                second(
                    "needs",
                    json!({"any": [
                        {"all": ["1@auditor", "1@agent"]}, {"all": ["1@agent", "1@trustee"]},
                    ]}),
                ),
            ],
            "[\"1@depositor\", \"1@trustee\"] }, for when all others agree; and name a second \
             organisation as agent, for when hanbit-parts does not (bankruptcy).",
        ),
        (Some(TermOver), vec![term("2026-11-24")], "over at 2026-11-24"),
        (Some(ShortTerm), vec![term("2027-02-01")], "the 90d that one request under rule joint"),
        (None, vec![term("2027-03-01")], ""),
        (
            Some(TermWithoutAmendment),
            vec![term("2031-01-01"), ("/amend".to_owned(), Value::Null)],
            "nobody may name a later term",
        ),
        (None, vec![("/amend".to_owned(), Value::Null)], ""),
        (
            Some(AmendedWithoutDepositor),
            vec![(
                "/amend".to_owned(),
                json!({"any": [
                    {"all": ["1@depositor", "1@agent"]}, {"all": ["1@arbiter", "1@agent"]},
                ]}),
            )],
            "trade-secret-center and board-of-arbitration may change every rule without hanbit-parts",
        ),
        (
            Some(Unreachable),
            vec![term("2031-01-01"), date("2031-03-02")],
            "rule bankruptcy can never be used: it waits until 2031-03-02",
        ),
        (None, vec![term("2031-01-01"), date("2031-03-01")], ""),
        (
            Some(Unreachable),
            vec![term("2027-02-24"), second("trigger", missed.clone())],
            "until 2027-02-27",
        ),
        (None, vec![term("2027-02-28"), second("trigger", missed)], ""),
        (Some(Unreachable), vec![term("2027-03-01"), silence("97d")], "until 2027-03-01T09:00"),
        (None, vec![term("2027-03-01"), silence("96d")], ""),
        (
            Some(SilentConsent),
            vec![silence("90d"), second("needs", json!({"all": ["1@depositor", "1@agent"]}))],
            "it takes a consent of hanbit-parts",
        ),
        (
            Some(DepositorUnheard),
            vec![second("objection", json!(["auditor"]))],
            "hanbit-parts can be passed over",
        ),
        (
            Some(NoticeWithoutObjection),
            vec![("/rules/0/notice".to_owned(), json!("3d"))],
            "Notice of 3d passes, and nobody may object: it delays orient-display",
        ),
        (
            Some(ObjectionWithoutNotice),
            vec![second("notice", json!("0s"))],
            "hanbit-parts may object and has no time for it",
        ),
        (Some(ShortNotice), vec![second("notice", json!("9d"))], "notice of 9d is hardly enough"),
        (
            Some(ShortNotice),
            vec![("/calendar".to_owned(), calendar.clone()), second("notice", json!("6wd"))],
            "Give notice of 10d or 7wd at least",
        ),
        (
            None,
            vec![("/calendar".to_owned(), calendar.clone()), second("notice", json!("7wd"))],
            "",
        ),
        (
            Some(PartialAward),
            vec![second("settled_by", json!({"award": "1@agent"}))],
            "trade-secret-center consents to the release and makes the award too",
        ),
        (
            Some(PartialAward),
            vec![
                second("settled_by", json!({"award": "1@arbiter"})),
                second("trigger", json!({"order": {"attested": "1@arbiter"}})),
            ],
            "board-of-arbitration attests for the release and makes the award too",
        ),
        (
            Some(PartialInstruction),
            vec![second("settled_by", json!({"joint": {"all": ["1@beneficiary", "1@agent"]}}))],
            "trade-secret-center and orient-display end an objection of hanbit-parts by their own word",
        ),
        (None, vec![second("settled_by", json!({"joint": {"all": ["1@arbiter", "1@agent"]}}))], ""),
        (None, vec![second("settled_by", json!({"order": "1@agent"}))], ""),
        (Some(HastyTrigger), vec![silence("9d")], "signed nothing for 9d"),
        (None, vec![silence("10d")], ""),
        (
            Some(HastyTrigger),
            vec![second(
                "trigger",
                json!({"missed": {"deposits": 1, "interval": "12h", "grace": "11h"}}),
            )],
            "missed 23h after the last one",
        ),
        (Some(PastDate), vec![date("2026-11-24")], "later than 2026-11-24T00:00:00.000Z already"),
        (None, vec![date("2026-11-25")], ""),
        (
            Some(OwnReview),
            vec![second("reviewers", json!(["beneficiary"]))],
            "Nobody but orient-display has to have seen",
        ),
        (None, vec![second("reviewers", json!(["beneficiary", "auditor"]))], ""),
        (Some(VoteBeyondExpiry), vec![second("vote", json!("60d"))], "lapses after 60d"),
        (None, vec![second("vote", json!("59d"))], ""),
        (
            Some(ObjectionWithoutEnd),
            vec![second("settled_by", Value::Null)],
            "When hanbit-parts objects, nothing but its own withdrawal",
        ),
        (
            Some(ObjectionWithoutEnd),
            vec![second(
                "settled_by",
                json!({"joint": {"all": ["1@depositor", "1@beneficiary"]}, "award": "1@depositor"}),
            )],
            "When hanbit-parts objects, nothing ends that without its own signature",
        ),
        (
            Some(ObjectionWithoutEnd),
            vec![
                second("objection", json!(["depositor", "auditor"])),
                second("settled_by", json!({"joint": {"all": ["1@arbiter", "1@auditor"]}})),
            ],
            "When other-auditor objects",
        ),
        (Some(ShortExpiry), vec![second("expires", json!("16d"))], "that leaves 6d"),
        (None, vec![second("expires", json!("17d"))], ""),
        (Some(ShortExpiry), vec![("/rules/0/expires".to_owned(), json!("6d"))], "lapses after 6d"),
        (Some(VoteBeforeNotice), vec![second("vote", json!("10d"))], "good for 10d"),
        (None, vec![second("vote", json!("11d"))], ""),
        (
            Some(VoteBeforeNotice),
            vec![
                ("/calendar".to_owned(), calendar),
                second("notice", json!("10wd")),
                second("vote", json!("12d")),
            ],
            "good for 12d and notice can take 1",
        ),
        (
            Some(DutyBeforeAccess),
            vec![
                second("duty", json!({"kind": "report", "within": "29d"})),
                second("access", json!({"within": "30d"})),
            ],
            "due 29d after the release, and the bundle may be fetched for 30d",
        ),
        (
            Some(DutyBeforeAccess),
            vec![second("duty", json!({"kind": "destroy", "within": "29d"}))],
            "fetched again for ever",
        ),
        (None, vec![second("duty", json!({"kind": "report", "within": "29d"}))], ""),
        (
            Some(SeveralPeople),
            vec![second("needs", second_person())],
            "2 people of orient-display; whoever asks never consents",
        ),
        (
            Some(SeveralPeople),
            vec![second("needs", json!({"all": ["2@depositor", "1@agent"]}))],
            "2 people of hanbit-parts.",
        ),
        (
            Some(SeveralPeople),
            vec![
                ("/rules/0/needs".to_owned(), json!({"all": ["1@depositor", "1@beneficiary"]})),
                second("needs", second_person()),
            ],
            "Rules joint and bankruptcy take 2 people of orient-display; whoever asks",
        ),
        (
            Some(SeveralPeople),
            vec![second("trigger", json!({"order": {"attested": "2@trustee"}}))],
            "It takes 2 people of land-trust to attest what is asked for.",
        ),
        (
            Some(SeveralPeople),
            vec![second("settled_by", json!({"award": "3@arbiter"}))],
            "It takes 3 people of board-of-arbitration to settle an objection by award.",
        ),
        // What is unsound is told of all at once, and nothing else is.
        (
            Some(Deadlock),
            vec![second(
                "needs",
                json!({"any": [
            {"all": ["1@depositor", "1@auditor"]}, {"all": ["1@auditor", "1@beneficiary"]}]}),
            )],
            "rule bankruptcy deadlocks",
        ),
        (Some(OneSided), vec![second("needs", json!("1@agent"))], "trade-secret-center"),
        (Some(Impossible), vec![second("expires", json!("10d"))], "expires after 10d"),
        (Some(Impossible), vec![("/quorum".to_owned(), json!(5))], "5 shares in the quorum"),
        (Some(Impossible), vec![("/quorum".to_owned(), json!(1))], "1 share in the quorum"),
        (Some(Impossible), vec![silence("59m")], "write an hour or more for lasts"),
        (
            Some(Unsound),
            vec![second("needs", json!({"at_least": 4, "of": ["1@agent", "1@auditor"]}))],
            "lower at_least, or name more in of",
        ),
        (Some(Unsound), vec![second("settled_by", json!({}))], "settled_by names no way"),
    ] {
        let changes: Vec<_> =
            changes.iter().map(|(place, value)| (place.as_str(), value.clone())).collect();
        let found = told(&changes, &Known::default());
        let is_unsound = matches!(code, Some(Deadlock | OneSided | Impossible | Unsound));
        let expected: Vec<_> =
            code.into_iter().chain((!is_unsound).then_some(Coalitions)).collect();
        let mut codes: Vec<_> = found.iter().map(|found| found.code).collect();
        codes.sort_by_key(|code| *code == Coalitions);
        assert_eq!(codes, expected, "{changes:?}");
        let said = found.iter().any(|found| found.to_string().contains(says));
        assert!(said, "{says:?} is not in {found:#?}");
        let is_error = is_unsound || matches!(code, Some(TermOver | Unreachable));
        let errors = found.iter().filter(|found| found.severity == Severity::Error).count();
        assert_eq!(errors, usize::from(is_error), "{changes:?}");
    }
}

#[test]
fn everything_that_is_unsound_is_told_at_once() {
    let found = told(
        &[
            ("/amend", json!("1@agent")),
            ("/rules/0/needs", json!("1@agent")),
            ("/rules/1/expires", json!("1d")),
        ],
        &Known::default(),
    );
    let rule = |found: &Finding| found.rule.as_ref().map(ToString::to_string);
    let codes: Vec<_> = found.iter().map(|found| (found.code, rule(found))).collect();
    let (joint, bankruptcy) = (Some("joint".to_owned()), Some("bankruptcy".to_owned()));
    let expected = [(Unsound, None), (OneSided, joint), (Impossible, bankruptcy)];
    assert_eq!(codes, expected);
}

#[test]
fn what_is_wrong_with_the_shares_hides_nothing_else() {
    let found = told(
        &[
            ("/quorum", json!(5)),
            ("/rules/0/objection", json!(["depositer"])),
            ("/rules/1/reviewers", json!(["auditer"])),
            ("/rules/1/notice", json!("90d")),
        ],
        &Known::default(),
    );
    let why: Vec<_> = found.iter().map(|found| found.why.as_str()).collect();
    let expected = [
        "the terms have 5 shares in the quorum; 2 to 4 are possible",
        "objection of rule joint names the role depositer, which no party has",
        "reviewers of rule bankruptcy names the role auditer, which no party has",
        "rule bankruptcy deadlocks: a request expires after 60d, but notice runs 90d",
    ];
    assert_eq!(why, expected);
}

#[test]
fn no_rule_is_proposed_where_none_would_be_sound() {
    let needs = json!({"all": ["1@depositor", "1@agent", "1@trustee"]});
    let changes =
        [("/quorum", json!(4)), ("/rules/0/needs", needs.clone()), ("/rules/1/needs", needs)];
    let found = told(&changes, &Known::default());
    let single = found.iter().find(|found| found.code == SingleAgent).unwrap();
    assert_eq!(single.fix, "Name a second organisation as agent.");
}

#[test]
fn who_runs_the_vault_is_counted_among_those_who_could_open_bundles() {
    for (operator, is_told, says) in [
        (None, false, "The vault has them all"),
        (
            Some("vault-house"),
            false,
            "vault-house, which runs the vault and is no party, has them all",
        ),
        (
            Some("trade-secret-center"),
            true,
            "trade-secret-center, which runs the vault, has them all: with orient-display, \
             hanbit-parts or land-trust it needs nobody else",
        ),
        (Some("other-auditor"), true, "other-auditor runs the vault and is a party as auditor"),
    ] {
        let found = told(&[], &run_by(operator));
        let is_party = found.iter().any(|found| found.code == OperatorIsParty);
        assert_eq!(is_party, is_told, "{operator:?}");
        let said = found.iter().any(|found| found.why.contains(says));
        assert!(said, "{says:?} is not in {found:#?}");
        let pairs = "orient-display + trade-secret-center, hanbit-parts + trade-secret-center, \
                     land-trust + trade-secret-center, hanbit-parts + orient-display, \
                     land-trust + orient-display or hanbit-parts + land-trust";
        assert!(found.iter().any(|found| found.why.contains(pairs)), "{found:#?}");
    }
}

#[test]
fn one_owner_of_several_parties_is_told_what_it_has_in_its_hands() {
    let joint = second("needs", json!({"all": ["1@auditor", "1@agent"]}));
    let award = second("settled_by", json!({"award": "1@arbiter"}));
    for (group, operator, says) in [
        ("hanbit-parts", None, None),
        ("hanbit-parts vault-house", None, None),
        (
            "other-auditor board-of-arbitration",
            None,
            Some("is a side under bankruptcy and makes the award."),
        ),
        (
            "orient-display other-auditor",
            None,
            Some("learns in one of them what the other is told."),
        ),
        (
            "orient-display trade-secret-center",
            None,
            Some("holds 2 shares, and 2 open a bundle without any rule."),
        ),
        (
            "trade-secret-center other-auditor",
            None,
            Some(
                "under one roof, and count here as if they were not. Their owner gives all consents \
                  that bankruptcy takes.",
            ),
        ),
        (
            "hanbit-parts trade-secret-center",
            None,
            Some("without any rule, and gives all consents that joint takes."),
        ),
        (
            "orient-display vault-house",
            Some("vault-house"),
            Some(
                "orient-display and vault-house are under one roof, and count here as if they were \
                  not. Their owner runs the vault, where every sealed bundle lies.",
            ),
        ),
    ] {
        let group = group.split(' ').map(|who| who.parse().unwrap()).collect();
        let known = Known { one_roof: vec![group], ..run_by(operator) };
        let changes = [&joint, &award].map(|(place, value)| (place.as_str(), value.clone()));
        let found = told(&changes, &known);
        let found = found.iter().find(|found| found.code == OneRoof);
        let why = found.map(|found| found.why.as_str());
        match says {
            Some(says) => assert!(why.is_some_and(|why| why.ends_with(says)), "{says}: {why:?}"),
            None => assert_eq!(why, None),
        }
    }
}
