use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::tests::terms::{
    any_terms, is_rule_met, roles_named, second_format, terms, three_party,
};

/// The three-party terms with some of them said otherwise, by JSON pointer.
fn with(changes: &[(&str, Value)]) -> Terms {
    let mut changed = three_party();
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let parent = changed.pointer_mut(parent).unwrap();
        match last.parse::<usize>() {
            Ok(index) => parent[index] = value.clone(),
            Err(_) => parent[last] = value.clone(),
        }
    }
    terms(changed)
}

const NOTICE: &str = "/rules/0/notice";
const NEEDS: &str = "/rules/0/needs";

fn with_agent(role: &str) -> Value {
    json!({"all": [format!("1@{role}"), "1@agent"]})
}

/// Terms of format 2.
fn second() -> (&'static str, Value) {
    ("/format", json!(2))
}

fn calendar(holidays: &[&str]) -> (&'static str, Value) {
    let weekend = ["saturday", "sunday"];
    let utc_offset = "+09:00";
    let written = json!({ "utc_offset": utc_offset, "weekend": weekend, "holidays": holidays });
    ("/calendar", written)
}

/// What triggers the second rule.
fn given(trigger: Value) -> (&'static str, Value) {
    ("/rules/1/trigger", trigger)
}

fn missed(deposits: u16) -> Value {
    json!({ "missed": { "deposits": deposits, "interval": "30d", "grace": "0s" } })
}

fn silence(role: &str, reminders: u16) -> Value {
    let (lasts, every) = ("30d", "7d");
    json!({ "silence": { "role": role, "lasts": lasts, "reminders": reminders, "every": every } })
}

fn distinct(organisations: u16) -> (&'static str, Value) {
    ("/rules/0/distinct_organisations", json!(organisations))
}

fn two_agents() -> (&'static str, Value) {
    ("/parties/agent", json!(["trade-secret-center", "other-agent"]))
}

#[test]
fn sound_terms_are_accepted() {
    for (why, changes) in [
        ("as the template has them", vec![]),
        (
            "one branch for each of two pairs",
            vec![(
                NEEDS,
                json!({"any": [
                    {"all": ["1@depositor", "1@agent"]}, {"all": ["1@beneficiary", "1@agent"]},
                ]}),
            )],
        ),
        (
            "seats of two roles in `all` of `any`",
            vec![(
                NEEDS,
                json!({"all": [
                    {"any": ["1@depositor", "2@depositor"]}, {"any": ["1@agent", "1@beneficiary"]},
                ]}),
            )],
        ),
        (
            "all three shares, one of them the requester's own",
            vec![("/quorum", json!(3)), ("/rules/1/needs", with_agent("depositor"))],
        ),
        (
            "the requester's share makes up for an agent who holds none",
            vec![
                ("/holders", json!(["depositor", "beneficiary"])),
                ("/rules/1/needs", with_agent("depositor")),
            ],
        ),
        (
            "a requester without a share, two consents with one each",
            vec![
                ("/holders", json!(["depositor", "agent"])),
                ("/rules/1/needs", with_agent("depositor")),
            ],
        ),
        (
            "two organisations of one role next to another role",
            vec![two_agents(), (NEEDS, json!({"all": ["2@agent", "1@depositor"]}))],
        ),
        (
            "a second of openness after notice",
            vec![("/rules/0/notice", json!("3599s")), ("/rules/0/expires", json!("1h"))],
        ),
        (
            "two of three, whoever they are",
            vec![
                second(),
                (NEEDS, json!({"at_least": 2, "of": ["1@depositor", "1@agent", "1@beneficiary"]})),
            ],
        ),
        (
            "two people of one role, where they have to come from two houses",
            vec![second(), two_agents(), (NEEDS, json!("2@agent")), distinct(2)],
        ),
        (
            "one seat and anybody else's word",
            vec![second(), (NEEDS, json!({"any": ["1@depositor", "1@agent"]})), distinct(2)],
        ),
        ("format 2 with the words of format 1", vec![second()]),
        (
            "any may object",
            vec![("/rules/0/objection", json!(["depositor", "beneficiary", "agent"]))],
        ),
    ] {
        assert_eq!(check(&with(&changes)), Ok(()), "{why}");
    }
}

#[test]
fn every_word_of_format_2_is_sound() {
    let every = terms(second_format());
    assert_eq!(check(&every), Ok(()));
    // Each is of format 2, and of no other.
    let mut first = every.clone();
    first.format = Format::First;
    let mut words = 0;
    for (word, plain) in [
        ("/rules/0/needs", json!({"all": ["1@depositor", "1@agent"]})),
        ("/rules/0/distinct_organisations", Value::Null),
        ("/rules/0/reviewers", json!([])),
        ("/rules/0/notice", json!("0s")),
        ("/rules/0/settled_by", Value::Null),
        ("/rules/0/vote", Value::Null),
        ("/rules/0/access", Value::Null),
        ("/rules/0/grants", json!("all")),
        ("/rules/0/duty", Value::Null),
        ("/calendar", Value::Null),
        ("/amend", Value::Null),
        ("/term", Value::Null),
    ] {
        assert!(check(&first).is_err(), "without {word} and what was before it");
        let mut written = serde_json::to_value(&first).unwrap();
        *written.pointer_mut(word).unwrap() = plain;
        first = serde_json::from_value(written).unwrap();
        words += 1;
    }
    assert_eq!((check(&first), words), (Ok(()), 12));
}

#[test]
fn unsound_terms_are_refused_in_a_sentence() {
    let alone = "rule joint is met by one organisation alone: ";
    for (why, changes, sentence) in [
        (
            "nobody deposits",
            vec![("/parties", json!({"beneficiary": ["orient-display"], "agent": ["a"]}))],
            "the terms name 0 depositors; an agreement has exactly one",
        ),
        (
            "two deposit",
            vec![("/parties/depositor", json!(["hanbit-parts", "second-source"]))],
            "the terms name 2 depositors; an agreement has exactly one",
        ),
        (
            "two roles for one",
            vec![("/parties/arbiter", json!(["orient-display"]))],
            "orient-display is named twice among the parties; an organisation has one role",
        ),
        (
            "twice in one role",
            vec![("/parties/agent", json!(["trade-secret-center", "trade-secret-center"]))],
            "trade-secret-center is named twice among the parties; an organisation has one role",
        ),
        (
            "a role for nobody",
            vec![("/parties/arbiter", json!([]))],
            "the role arbiter has no organisation",
        ),
        (
            "a depositor on its own",
            vec![("/parties", json!({"depositor": ["hanbit-parts"]}))],
            "the terms have 1 party; 2 to 16 are possible",
        ),
        (
            "a crowd",
            vec![(
                "/parties/agent",
                json!((0..15).map(|i| format!("agent-{i}")).collect::<Vec<_>>()),
            )],
            "the terms have 17 parties; 2 to 16 are possible",
        ),
        (
            "one holder",
            vec![("/holders", json!(["agent"]))],
            "the terms have 1 holder; 2 to 16 are possible",
        ),
        (
            "a quorum of one",
            vec![("/quorum", json!(1))],
            "the terms have 1 share in the quorum; 2 to 3 are possible",
        ),
        (
            "a quorum of more than all",
            vec![("/quorum", json!(4))],
            "the terms have 4 shares in the quorum; 2 to 3 are possible",
        ),
        (
            "no way to a release",
            vec![("/rules", json!([]))],
            "the terms have 0 rules; 1 to 16 are possible",
        ),
        (
            "a rule for nobody",
            vec![("/rules/0/requesters", json!([]))],
            "the terms have 0 requesters in a rule; 1 to 16 are possible",
        ),
        (
            "an unknown holder",
            vec![("/holders", json!(["depositor", "agnet"]))],
            "holders names the role agnet, which no party has",
        ),
        (
            "an unknown requester",
            vec![("/rules/0/requesters", json!(["auditor"]))],
            "requester of rule joint names the role auditor, which no party has",
        ),
        (
            "an unknown objector",
            vec![("/rules/1/objection", json!(["depositer"]))],
            "objection of rule bankruptcy names the role depositer, which no party has",
        ),
        (
            "an unknown seat in one branch",
            vec![(
                NEEDS,
                json!({"any": [{"all": ["1@depositor", "1@agent"]}, {"all": [
                    "1@arbiter", "1@agent",
                ]}]}),
            )],
            "needs of rule joint names the role arbiter, which no party has",
        ),
        (
            "a holder twice",
            vec![("/holders", json!(["agent", "depositor", "agent"]))],
            "holders names agent twice",
        ),
        (
            "two rules of one name",
            vec![("/rules/1/name", json!("joint"))],
            "the list of rules names joint twice",
        ),
        (
            "an objector twice",
            vec![("/rules/1/objection", json!(["depositor", "depositor"]))],
            "objection of rule bankruptcy names depositor twice",
        ),
        (
            "too many ways",
            vec![(NEEDS, json!({"all": vec![json!({"any": ["1@agent", "1@depositor"]}); 7]}))],
            "rule joint: its needs cannot be checked",
        ),
        (
            "an empty `all`, which everybody meets",
            vec![(NEEDS, json!({"any": [{"all": []}, "1@agent"]}))],
            "rule joint: its needs cannot be checked",
        ),
        (
            "notice and expiry at once",
            vec![("/rules/1/expires", json!("10d"))],
            "rule bankruptcy deadlocks: a request expires after 10d, but notice runs 10d",
        ),
        (
            "expiry before notice",
            vec![("/rules/1/expires", json!("9d"))],
            "rule bankruptcy deadlocks: a request expires after 9d, but notice runs 10d",
        ),
        ("one seat", vec![(NEEDS, json!("1@agent"))], &format!("{alone}1 of trade-secret-center")),
        (
            "two people of one house",
            vec![(NEEDS, json!("2@agent"))],
            &format!("{alone}2 of trade-secret-center"),
        ),
        (
            "seats of one role, one by one",
            vec![(NEEDS, json!({"all": ["1@agent", "1@agent"]}))],
            &format!("{alone}2 of trade-secret-center"),
        ),
        (
            "two of a role with two organisations, which one can fill",
            vec![two_agents(), (NEEDS, json!("2@agent"))],
            &format!("{alone}2 of trade-secret-center"),
        ),
        (
            "one weak branch",
            vec![(NEEDS, json!({"any": [{"all": ["1@depositor", "1@agent"]}, "2@depositor"]}))],
            &format!("{alone}2 of hanbit-parts"),
        ),
        (
            "a word of format 2 in format 1",
            vec![(NEEDS, json!({"at_least": 2, "of": ["1@depositor", "1@agent"]}))],
            "rule joint uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "another word of it",
            vec![distinct(2)],
            "rule joint uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "more parts than anybody reads",
            vec![second(), (NEEDS, json!({"all": vec!["1@agent"; 64]}))],
            "rule joint: its needs cannot be checked",
        ),
        (
            "at least one of several, which one house can be",
            vec![second(), (NEEDS, json!({"at_least": 1, "of": ["1@depositor", "1@agent"]}))],
            &format!("{alone}1 of hanbit-parts"),
        ),
        (
            "two of three, and two of them are of one house",
            vec![
                second(),
                (NEEDS, json!({"at_least": 2, "of": ["1@agent", "1@depositor", "1@agent"]})),
            ],
            &format!("{alone}2 of trade-secret-center"),
        ),
        (
            "consents of one organisation, said in so many words",
            vec![second(), distinct(1)],
            "rule joint: distinct_organisations is 1, and can be 2 to 16",
        ),
        (
            "more organisations than may consent",
            vec![second(), distinct(3)],
            "rule joint deadlocks: it takes consents of 3 organisations, and 2 may consent",
        ),
        (
            "whoever makes up the number may hold no share",
            vec![
                second(),
                ("/holders", json!(["depositor", "beneficiary"])),
                ("/rules/1/needs", with_agent("depositor")),
                ("/rules/0/requesters", json!(["agent"])),
                (NEEDS, json!({"any": ["1@depositor", "1@agent"]})),
                distinct(2),
            ],
            "rule joint deadlocks: 1 of hanbit-parts + 1 of trade-secret-center meet it, but with \
             requester trade-secret-center they hold 1 of the 2 shares that open a bundle",
        ),
        (
            "working days that nobody has listed",
            vec![second(), (NOTICE, json!("10wd"))],
            "rule joint counts working days, and the terms have no calendar",
        ),
        (
            "working days in format 1",
            vec![(NOTICE, json!("10wd"))],
            "rule joint uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "a calendar in format 1",
            vec![calendar(&[])],
            "calendar uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "working days that take longer than a request stays open, over one new year",
            vec![
                second(),
                calendar(&["2027-01-01", "2027-01-04", "2027-01-05"]),
                (NOTICE, json!("3wd")),
                ("/rules/0/expires", json!("9d")),
            ],
            "rule joint deadlocks: a request expires after 9d, but notice runs 3wd, which can take \
             9d",
        ),
        (
            "more holidays than are looked through",
            vec![second(), calendar(&["2026-01-01", "2051-02-01"])],
            "the terms have 9162 days between holidays; 0 to 9150 are possible",
        ),
        (
            "a consent that is over before anybody can add another",
            vec![second(), ("/rules/0/vote", json!("3599s"))],
            "rule joint: a consent would be good for less than an hour (vote)",
        ),
        (
            "a bundle that nobody can fetch in time",
            vec![second(), ("/rules/0/access", json!({"within": "3599s", "times": 1}))],
            "rule joint: a bundle could be fetched for less than an hour (access.within)",
        ),
        (
            "a bundle that is fetched no time",
            vec![second(), ("/rules/0/access", json!({"times": 0}))],
            "rule joint: access.times is 0, and can be 1 to 100",
        ),
        (
            "bounds that bound nothing",
            vec![second(), ("/rules/0/access", json!({}))],
            "rule joint: access says neither within nor times",
        ),
        (
            "whoever asks attests as well",
            vec![second(), given(json!({"order": {"attested": "1@beneficiary"}}))],
            "rule bankruptcy: its trigger is attested by a role that may request under it",
        ),
        (
            "attested by nobody there is",
            vec![
                second(),
                given(json!({"event": {"kind": "insolvency", "attested": "1@auditor"}})),
            ],
            "trigger of rule bankruptcy names the role auditor, which no party has",
        ),
        (
            "the depositor is passed over",
            vec![second(), given(missed(1)), ("/rules/1/objection", json!([]))],
            "rule bankruptcy: its trigger passes over the depositor, who has no notice or may not \
             object",
        ),
        (
            "the depositor is passed over in no time",
            vec![second(), given(missed(1)), ("/rules/1/notice", json!("0s"))],
            "rule bankruptcy: its trigger passes over the depositor, who has no notice or may not \
             object",
        ),
        (
            "no deposit at all is missed",
            vec![second(), given(missed(0))],
            "rule bankruptcy: trigger.missed.deposits is 0, and can be 1 to 100",
        ),
        (
            "silence of whoever asks",
            vec![second(), given(silence("beneficiary", 1))],
            "rule bankruptcy: its trigger is the silence of a role that has to request or to review",
        ),
        (
            "silence of who may not object",
            vec![second(), given(silence("agent", 1))],
            "rule bankruptcy: its trigger passes over a role that has no notice or may not object",
        ),
        (
            "silence that nobody asked about",
            vec![second(), given(silence("depositor", 0))],
            "rule bankruptcy: trigger.silence.reminders is 0, and can be 1 to 16",
        ),
        (
            "a trigger in format 1",
            vec![given(silence("depositor", 1))],
            "rule bankruptcy uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "a reviewer that nobody is",
            vec![second(), ("/rules/0/reviewers", json!(["auditor"]))],
            "reviewers of rule joint names the role auditor, which no party has",
        ),
        (
            "an arbiter that nobody is",
            vec![second(), ("/rules/1/settled_by", json!({"award": "1@arbiter"}))],
            "settled_by of rule bankruptcy names the role arbiter, which no party has",
        ),
        (
            "whoever asks decides as well",
            vec![
                second(),
                ("/rules/1/settled_by", json!({"award": {"any": ["1@agent", "1@beneficiary"]}})),
            ],
            "rule bankruptcy: its award is signed by a role that may request under it",
        ),
        (
            "whoever asks says what a court has ordered",
            vec![second(), ("/rules/1/settled_by", json!({"order": "1@beneficiary"}))],
            "rule bankruptcy: its order is signed by a role that may request under it",
        ),
        (
            "a joint instruction by one",
            vec![second(), ("/rules/1/settled_by", json!({"joint": "2@beneficiary"}))],
            "rule bankruptcy: its joint instruction can be signed by one organisation alone",
        ),
        (
            "an end to what nobody may say",
            vec![second(), ("/rules/0/settled_by", json!({"award": "1@agent"}))],
            "rule joint: settled_by names no way to settle an objection that somebody may raise",
        ),
        (
            "no end that is said",
            vec![second(), ("/rules/1/settled_by", json!({}))],
            "rule bankruptcy: settled_by names no way to settle an objection that somebody may \
             raise",
        ),
        (
            "a duty that nobody can do in time",
            vec![second(), ("/rules/0/duty", json!({"kind": "destroy", "within": "1m"}))],
            "rule joint: whoever asks would have less than an hour to do its duty (duty.within)",
        ),
        (
            "a duty in format 1",
            vec![("/rules/0/duty", json!({"kind": "destroy", "within": "30d"}))],
            "rule joint uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "one amends alone",
            vec![second(), ("/amend", json!({"any": ["2@agent", "1@depositor"]}))],
            "amend asks for more organisations of a role than there are",
        ),
        (
            "one amends alone, and is there",
            vec![second(), ("/amend", json!("1@depositor"))],
            "amend lets one organisation change what all have signed",
        ),
        (
            "amended by nobody there is",
            vec![second(), ("/amend", json!({"all": ["1@depositor", "1@auditor"]}))],
            "amend names the role auditor, which no party has",
        ),
        (
            "amended by whoever is left out",
            vec![second(), ("/amend", json!({"all": []}))],
            "amend cannot be checked",
        ),
        (
            "amendments in format 1",
            vec![("/amend", json!({"all": ["1@depositor", "1@agent"]}))],
            "amend uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "a term in format 1",
            vec![("/term", json!("2031-01-01T00:00:00.000Z"))],
            "term uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "a vote in format 1",
            vec![("/rules/0/vote", json!("1d"))],
            "rule joint uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "access in format 1",
            vec![("/rules/0/access", json!({"times": 1}))],
            "rule joint uses words of terms of format 2, and these terms are of format 1",
        ),
        (
            "a weak branch behind `all`",
            vec![(
                NEEDS,
                json!({"all": ["1@agent", {"any": [
                    "1@agent", "1@depositor",
                ]}]}),
            )],
            &format!("{alone}2 of trade-secret-center"),
        ),
    ] {
        let fault = check(&with(&changes)).expect_err(why);
        assert_eq!(fault.to_string(), sentence, "{why}");
        assert!(!fault.remedy().is_empty(), "{why}");
    }
}

#[test]
fn deadlocks_are_named_with_the_consents_that_lead_there() {
    let center_and = |other: &str| format!("1 of trade-secret-center + 1 of {other}");
    for (why, changes, rule, consents, requester, shares, quorum) in [
        (
            "an agent without a share; the requester's organisation counts its own once",
            vec![("/holders", json!(["depositor", "beneficiary"]))],
            "bankruptcy",
            center_and("orient-display"),
            "orient-display",
            1,
            2,
        ),
        (
            "two of the three shares there are",
            vec![("/quorum", json!(3))],
            "bankruptcy",
            center_and("orient-display"),
            "orient-display",
            2,
            3,
        ),
        (
            "enough for one requester, too few for another",
            vec![
                ("/quorum", json!(3)),
                ("/rules/0/requesters", json!(["beneficiary", "depositor"])),
            ],
            "joint",
            center_and("hanbit-parts"),
            "hanbit-parts",
            2,
            3,
        ),
        (
            "two people of one house hold one share",
            vec![
                ("/holders", json!(["depositor", "beneficiary"])),
                (NEEDS, json!({"all": ["2@depositor", "1@agent"]})),
                ("/rules/0/requesters", json!(["agent"])),
            ],
            "joint",
            "1 of trade-secret-center + 2 of hanbit-parts".to_owned(),
            "trade-secret-center",
            1,
            2,
        ),
    ] {
        let fault = check(&with(&changes)).expect_err(why);
        let sentence = format!(
            "rule {rule} deadlocks: {consents} meet it, but with requester {requester} they hold \
             {shares} of the {quorum} shares that open a bundle"
        );
        assert_eq!(fault.to_string(), sentence, "{why}");
    }
}

#[test]
fn fingerprints_are_for_every_party_and_nobody_else() {
    let mut too_few = terms(three_party());
    let agent = "trade-secret-center".parse().unwrap();
    let pin = too_few.fingerprints.remove(&agent).unwrap();
    assert_eq!(check(&too_few), Err(Unsound::Fingerprints(agent)));
    let mut too_many = terms(three_party());
    let stranger: OrganisationName = "acme".parse().unwrap();
    too_many.fingerprints.insert(stranger.clone(), pin);
    assert_eq!(check(&too_many), Err(Unsound::Fingerprints(stranger)));
    let mut doubled = terms(three_party());
    let [first, second]: [OrganisationName; 2] =
        ["hanbit-parts", "trade-secret-center"].map(|who| who.parse().unwrap());
    doubled.fingerprints.insert(first.clone(), doubled.fingerprints[&second]);
    assert_eq!(check(&doubled), Err(Unsound::OneKey(first, second)), "one house in two seats");
}

#[test]
fn a_house_with_too_few_people_is_warned_of_and_not_refused() {
    let terms = terms(three_party());
    let members = |counts: &[(&str, usize)]| -> BTreeMap<OrganisationName, usize> {
        counts.iter().map(|(name, count)| (name.parse().unwrap(), *count)).collect()
    };
    let enough = members(&[("hanbit-parts", 1), ("orient-display", 2), ("trade-secret-center", 1)]);
    assert_eq!(too_few_members(&terms, &enough), []);
    let lonely = members(&[("hanbit-parts", 1), ("orient-display", 1), ("trade-secret-center", 1)]);
    let warned = |terms: &Terms| -> Vec<_> {
        too_few_members(terms, &lonely).iter().map(ToString::to_string).collect()
    };
    let too_few = "rule bankruptcy takes 2 people of role beneficiary (who requests never consents), \
                   but only 1 has joined and been confirmed";
    assert_eq!(warned(&terms), [too_few]);
    // Those who attest and who settle are people too.
    let terms = with(&[
        given(json!({"event": {"kind": "insolvency", "attested": "2@agent"}})),
        (
            "/rules/1/settled_by",
            json!({"joint": {"all": ["1@depositor", "1@beneficiary"]}, "award": "3@agent"}),
        ),
    ]);
    assert_eq!(
        warned(&terms),
        [
            "rule bankruptcy takes 2 people of role agent to attest what it asks for, but only 1 has \
             joined and been confirmed",
            too_few,
            "rule bankruptcy takes 3 people of role agent to settle an objection by award, but only \
             1 has joined and been confirmed",
        ]
    );
}

#[test]
fn a_house_is_warned_of_only_where_no_other_can_stand_in_for_it() {
    let members = |agents: usize| -> BTreeMap<OrganisationName, usize> {
        let counts = [("hanbit-parts", 1), ("orient-display", 1), ("trade-secret-center", agents)];
        counts.iter().map(|(name, count)| (name.parse().unwrap(), *count)).collect()
    };
    let both = json!({"all": ["1@depositor", "1@agent"]});
    let warned = |needs: Value, agents: usize| -> Vec<(String, u16, usize)> {
        let terms = with(&[(NEEDS, needs), ("/rules/1/needs", both.clone())]);
        let found = too_few_members(&terms, &members(agents)).into_iter();
        found.map(|found| (found.role.to_string(), found.needed, found.members)).collect()
    };
    let all = |seats: [&str; 2]| json!({ "all": seats });
    let (two, three) = (all(["1@depositor", "2@agent"]), all(["1@depositor", "3@agent"]));
    for (why, needs, agents, expected) in [
        ("the other way can be met", json!({"any": [two.clone(), both.clone()]}), 1, vec![]),
        ("the one way cannot", two.clone(), 1, vec![("agent".to_owned(), 2, 1)]),
        ("neither can", json!({"any": [three, two]}), 1, vec![("agent".to_owned(), 2, 1)]),
    ] {
        assert_eq!(warned(needs, agents), expected, "{why}");
    }
}

/// A set of consents that meets a rule without a person to spare, found by trying every one:
/// how many people of each organisation, the requester not among them.
fn meeting(terms: &Terms, rule: &Rule) -> Vec<BTreeMap<OrganisationName, u16>> {
    let is_minimal = |set: &BTreeMap<OrganisationName, u16>| {
        set.keys().all(|organisation| {
            let mut fewer = set.clone();
            *fewer.get_mut(organisation).unwrap() -= 1;
            !is_rule_met(terms, rule, &fewer)
        })
    };
    let mut sets = vec![BTreeMap::new()];
    let roles = roles_named(&rule.needs);
    let able = terms.organisations().filter(|who| roles.contains(terms.role_of(who).unwrap()));
    for organisation in able {
        let with_some = |set: &BTreeMap<OrganisationName, u16>, count: u16| {
            let mut set = set.clone();
            set.insert(organisation.clone(), count);
            set
        };
        let more = |set: BTreeMap<_, _>| {
            let most = seats(&rule.needs);
            let some: Vec<_> = (1..=most).map(|count| with_some(&set, count)).collect();
            std::iter::once(set).chain(some)
        };
        sets = sets.into_iter().flat_map(more).collect();
    }
    sets.retain(|set| is_rule_met(terms, rule, set) && is_minimal(set));
    sets
}

/// All the seats that are written down: no smallest set takes more people of one organisation.
fn seats(needs: &Needs) -> u16 {
    match needs {
        Needs::Seats(seats) => seats.count,
        Needs::All(list) => list.all.iter().map(seats).sum(),
        Needs::Any(list) => list.any.iter().map(seats).max().unwrap_or(0),
        Needs::AtLeast(list) => list.of.iter().map(seats).sum(),
    }
}

fn is_sound(terms: &Terms, rule: &Rule) -> bool {
    let meeting = meeting(terms, rule);
    let is_openable = |set: &BTreeMap<OrganisationName, u16>| {
        let requesters = rule.requesters.iter().flat_map(|role| terms.in_role(role));
        let mut shares = requesters.map(|requester| {
            let holding: BTreeSet<_> = set.keys().chain([requester]).collect();
            holding.into_iter().filter(|who| terms.is_holder(who)).count()
        });
        set.len() >= 2 && shares.all(|shares| shares >= usize::from(terms.quorum))
    };
    !meeting.is_empty() && meeting.iter().all(is_openable)
}

proptest! {
    #[test]
    fn promise_3_the_check_agrees_with_trying_every_set_of_consents(terms in any_terms()) {
        let sound = terms.rules.iter().all(|rule| is_sound(&terms, rule));
        match check(&terms) {
            Ok(()) => prop_assert!(sound),
            Err(
                Unsound::OneOrganisation { .. }
                | Unsound::Deadlock { .. }
                | Unsound::TooFewOrganisations { .. },
            ) => prop_assert!(!sound),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
