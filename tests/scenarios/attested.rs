//! Rules that more than consents open: what people attest, and what settles an objection; amendments,
//! and reminders.

use serde_json::{Value, json};

use super::World;

const PARTIES: &str = r#"
title = "Substrate process recipe"
quorum = 2
amend = { all = ["1@depositor", "1@agent"] }
[parties]
depositor = "hanbit-parts"
beneficiary = "orient-display"
agent = "trade-secret-center"
"#;

const INSOLVENCY: &str = r#"
[[rule]]
name = "insolvency"
requester = "beneficiary"
trigger = { event = { kind = "insolvency", attested = "1@agent" } }
needs = { all = ["1@depositor", "1@agent"] }
reviewers = ["agent"]
objection = ["depositor"]
settled_by = { award = "1@agent" }
duty = { kind = "report", within = "60d" }
"#;

const JOINT: &str = r#"
[[rule]]
name = "joint"
requester = "beneficiary"
needs = { all = ["1@depositor", "1@agent"] }
"#;

const SILENCE: &str = r#"
[[rule]]
name = "silence"
requester = "beneficiary"
trigger = { silence = { role = "depositor", lasts = "30d", reminders = 2, every = "7d" } }
needs = { all = ["1@beneficiary", "1@agent"] }
notice = "10d"
objection = ["depositor"]
"#;

fn parties() -> World {
    let world = World::new();
    for (organisation, member) in super::PEOPLE {
        world.join(organisation, member);
    }
    world.trust_each_other();
    world
}

/// What requests want of somebody.
fn wanted(world: &World, home: &str) -> Vec<Value> {
    let listed = world.escrow(home, &["requests", "--waiting-for-me"]).records();
    listed.iter().map(|it| it["wanted"].clone()).collect()
}

#[test]
fn an_attested_event_opens_a_request_and_an_award_settles_what_stands_against_it() {
    let world = parties();
    let agreement = world.agree(&format!("{PARTIES}{INSOLVENCY}"));
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let request = world.request(&deposit, "insolvency");
    let show = |home: &str| world.escrow(home, &["show", &request]).record();
    let shown = show("orient-display");
    let missing: Vec<_> =
        shown["missing"].as_array().unwrap().iter().map(|it| it["what"].clone()).collect();
    assert_eq!(missing[..2], ["attestations", "review"], "{missing:?}");
    assert_eq!(
        shown["reviewers"],
        json!([{ "organisation": "trade-secret-center", "has_seen": false }])
    );
    let next = shown["next"].as_array().unwrap();
    assert_eq!((next[0]["what"].as_str(), &next[0]["at"]), (Some("expires"), &shown["expires_at"]));
    let status = |home: &str| world.escrow(home, &["status"]).record();
    assert_eq!(status("trade-secret-center")["to_attest"], json!([request]));
    assert_eq!(wanted(&world, "trade-secret-center"), ["attest"]);

    let ruling = world.file("ruling.pdf", "insolvency is opened");
    let attest = |home: &str, what: &[&str]| {
        world.escrow(home, &[&["attest", &request, "--yes"], what].concat())
    };
    let shown_by = ["--evidence", &ruling];
    for (home, what, code, refusal, why) in [
        ("trade-secret-center", &["--event", "insolvency"][..], 2, "USAGE", "shown by nothing"),
        ("trade-secret-center", &["--evidence", &ruling], 2, "USAGE", "of nothing"),
        (
            "trade-secret-center",
            &["--event", "flood", "--evidence", &ruling],
            1,
            "NOT_ASKED",
            "of another event",
        ),
        (
            "trade-secret-center",
            &["--order", "--evidence", &ruling],
            1,
            "NOT_ASKED",
            "of an order, which the rule does not ask for",
        ),
        (
            "orient-display",
            &["--event", "insolvency", "--evidence", &ruling],
            1,
            "NOT_ENTITLED",
            "by who requests",
        ),
    ] {
        let refused = attest(home, what);
        assert_eq!((refused.code, refused.refusal().as_str()), (code, refusal), "{why}");
    }
    let event = [&["--event", "insolvency"][..], &shown_by].concat();
    let attested = attest("trade-secret-center", &event).record();
    assert_eq!(attested["attestations"][0]["member"], "trade-secret-center/sora");
    assert_eq!(attested["attestations"][0]["evidence"][0]["name"], "ruling.pdf");
    assert_eq!(attested["reviewers"][0]["has_seen"], true, "who was shown it has seen it");
    assert_eq!(attest("trade-secret-center", &event).refusal(), "ALREADY");

    let object = ["object", &request, "--reason", "it was lifted", "--yes"];
    assert_eq!(world.escrow("hanbit-parts", &object).record()["state"], "objected");
    assert_eq!(status("trade-secret-center")["to_settle"], json!([request]));
    assert_eq!(wanted(&world, "trade-secret-center"), ["settle"]);
    let settle = |home: &str, how: &[&str]| {
        world.escrow(home, &[&["settle", &request, "--yes"], how].concat())
    };
    let award = [&["--award"][..], &shown_by].concat();
    assert_eq!(settle("hanbit-parts", &award).refusal(), "NOT_ENTITLED");
    assert_eq!(settle("trade-secret-center", &["--joint"]).refusal(), "NOT_ENTITLED");
    assert_eq!(settle("trade-secret-center", &["--award"]).refusal(), "NO_EVIDENCE");
    let settled = settle("trade-secret-center", &award).record();
    let objection = &settled["objections"][0];
    assert_eq!((&settled["state"], &objection["settled"]), (&json!("open"), &json!(true)));
    assert_eq!(objection["settlements"][0]["basis"], "award");
    let document = &objection["settlements"][0]["evidence"][0];
    assert_eq!(document["name"], "ruling.pdf", "whoever lost reads which one: {document}");
    assert_eq!(objection["withdrawn_at"], Value::Null, "nobody has taken it back");

    world.approve("trade-secret-center", &request);
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    assert_eq!(show("orient-display")["missing"][0]["acknowledged"], "reported");
    let reported = ["acknowledge", &request, "--reported", "--yes"];
    let shown = world.escrow("orient-display", &reported).record();
    assert_eq!(shown["duty"]["state"], "fulfilled");
}

#[test]
fn an_amendment_is_taken_by_its_quorum_and_leaves_an_open_request_alone() {
    let world = parties();
    let agreement = world.agree(&format!("{PARTIES}{JOINT}"));
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let before = world.request(&deposit, "joint");
    let amend = |home: &str, terms: &str| {
        let terms = world.file("amended.toml", terms);
        world.escrow(home, &["agreement", "amend", &agreement, &terms, "--yes"])
    };
    let amended = format!("{PARTIES}{JOINT}notice = \"10d\"\nobjection = [\"depositor\"]\n");
    for (home, terms, refusal, why) in [
        ("orient-display", amended.clone(), "NOT_AMENDABLE", "by who has no say in it"),
        ("hanbit-parts", format!("{PARTIES}{JOINT}"), "NOTHING_CHANGED", "to the same terms"),
        (
            "hanbit-parts",
            amended.replace("quorum = 2", "quorum = 2\nholders = [\"depositor\", \"agent\"]"),
            "NEVER_AMENDED",
            "of what the release key was dealt for",
        ),
    ] {
        assert_eq!(amend(home, &terms).refusal(), refusal, "{why}");
    }
    let proposed = amend("hanbit-parts", &amended).record();
    let pending = &proposed["amendments"][0];
    assert_eq!((&proposed["version"], &pending["missing"]), (&json!(1), &json!(["1@agent"])));
    assert_eq!(pending["signed"][0]["organisation"], "hanbit-parts");
    let change = &pending["changes"][0];
    assert_eq!(change["what"], "rule joint");
    let text = |which: &str| change[which].as_str().unwrap().to_owned();
    assert!(!text("old").contains("notice 10d") && text("new").contains("notice 10d"), "{change}");

    let again = amend("hanbit-parts", &amended);
    assert_eq!(again.refusal(), "PROPOSED_ALREADY");
    assert!(again.err.contains("tells whose signatures it waits for"), "{}", again.err);
    let by_another = amend("trade-secret-center", &amended);
    assert_eq!(by_another.refusal(), "PROPOSED_ALREADY");
    assert!(
        by_another.err.contains("sign it: `escrow agreement countersign"),
        "{}",
        by_another.err
    );

    let countersign = ["agreement", "countersign", &agreement];
    let signs = [&countersign[..], &["--yes"]].concat();
    let status = |home: &str| world.escrow(home, &["status"]).record()["to_countersign"].clone();
    assert_eq!(status("trade-secret-center"), json!([agreement]));
    assert_eq!((status("hanbit-parts"), status("orient-display")), (json!([]), json!([])));
    assert_eq!(world.escrow("orient-display", &signs).refusal(), "NOT_AMENDABLE");
    let asked = world.escrow("trade-secret-center", &countersign);
    assert_eq!(asked.code, 2, "nobody is there to agree: {}", asked.err);
    let taken = world.escrow("trade-secret-center", &signs).record();
    assert_eq!((&taken["version"], &taken["amendments"]), (&json!(2), &Value::Null));
    assert_eq!(world.escrow("trade-secret-center", &signs).refusal(), "NOT_FOUND");

    let after = world.request(&deposit, "joint");
    let version = |request: &str| {
        world.escrow("orient-display", &["show", request]).record()["agreement_version"].clone()
    };
    assert_eq!((version(&before), version(&after)), (json!(1), json!(2)));
    for (request, state) in [(&before, "released"), (&after, "notice")] {
        world.approve("trade-secret-center", request);
        let approved = world.escrow("hanbit-parts", &["approve", request, "--yes"]);
        assert_eq!(world.state("orient-display", request), state, "{}", approved.err);
    }
}

#[test]
fn a_silent_party_is_reminded_before_its_silence_counts() {
    let world = parties();
    let agreement = world.agree(&format!("{PARTIES}{JOINT}{SILENCE}"));
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let show = || world.escrow("orient-display", &["show", &agreement]).record();
    let missing = |shown: Value| {
        let missing = shown["untriggered"][0]["missing"].as_array().unwrap().clone();
        missing.iter().map(|it| (it["what"].clone(), it["count"].clone())).collect::<Vec<_>>()
    };
    let silence = (json!("silence"), Value::Null);
    assert_eq!(missing(show()), [(json!("reminders"), json!(2)), silence.clone()]);
    let request = ["request", &deposit, "--rule", "silence", "--purpose", "p", "--yes"];
    assert_eq!(world.escrow("orient-display", &request).refusal(), "NOT_TRIGGERED");
    let remind = ["remind", &agreement, "--yes"];
    assert_eq!(world.escrow("hanbit-parts", &remind).refusal(), "NOT_FOUND", "nobody else");
    let other = [&remind[..], &["--org", "orient-display"]].concat();
    assert_eq!(world.escrow("trade-secret-center", &other).refusal(), "NOT_FOUND");
    let reminded = world.escrow("trade-secret-center", &remind).record();
    assert_eq!(missing(reminded), [(json!("reminders"), json!(1)), silence.clone()]);
    let told = world.escrow("hanbit-parts", &["status"]).record()["reminded"].clone();
    assert_eq!((&told[0]["agreement"], &told[0]["times"]), (&json!(agreement), &json!(1)));
    let again = world.escrow("orient-display", &remind);
    assert_eq!(again.refusal(), "REMINDED_LATELY", "each gives it time");
    world.deposit(&agreement, "etch for 91 s");
    assert_eq!(missing(show()), [(json!("reminders"), json!(2)), silence], "it was heard of");
}
