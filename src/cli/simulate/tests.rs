//! The templates walked through, each to a release under every rule, and to where none comes.
//!
//! Scripts and what is told of them stand in `walks`. `ESCROW_TEST_UPDATE=1` writes the latter anew;
//! then read the difference.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::client::terms_text::TEMPLATES;
use crate::domain::request::State;

pub(crate) const FROM: &str = "2027-01-04T00:00:00.000Z";

/// Terms as a template has them.
fn template(name: &str) -> Terms {
    let (_, text) = TEMPLATES.iter().find(|(known, _)| *known == name).unwrap();
    terms_text::read_unpinned(text, Path::new(name)).unwrap().terms
}

/// Reads a script; what it amends terms to has shorter votes, or as short shares.
fn reads(terms: &Terms, text: &str) -> Result<Vec<Line>, (usize, Fault)> {
    let amended = |file: &Path| {
        let mut amended = terms.clone();
        match file.to_str() {
            Some("shorter.toml") => amended.rules[0].vote = Some("7d".parse().unwrap()),
            Some("three-shares.toml") => amended.quorum = 3,
            _ => return Err(Fault::new("it is not there", "look for it")),
        }
        Ok(amended)
    };
    let parties = terms.organisations().cloned().collect();
    Reader { parties, terms: &amended }.script(text)
}

/// Walks through a script; what is told of it, and whether all came as the script has it.
fn story(walk: &mut Walk, lines: &[Line]) -> (String, bool) {
    let mut told = ToldView::outset(walk).text(false);
    let mut is_expected = true;
    for line in lines {
        let view = step(walk, line);
        is_expected &= view.is_expected();
        told.push_str(&format!("\n{}", view.text(false)));
    }
    (told, is_expected)
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/simulate/walks").join(name)
}

/// A template's terms, and the script of this name.
pub(crate) fn script_of(template_name: &str, script: &str) -> (Terms, Vec<Line>) {
    let terms = template(template_name);
    let text = fs::read_to_string(file(&format!("{script}.walk"))).unwrap();
    let lines = reads(&terms, &text).unwrap();
    (terms, lines)
}

/// Walks through the script of this name, and compares what is told of it.
#[track_caller]
fn walked(template_name: &str, script: &str) -> Walk {
    let (terms, lines) = script_of(template_name, script);
    let mut walk = Walk::of(&terms, FROM.parse().unwrap()).unwrap();
    let (told, is_expected) = story(&mut walk, &lines);
    let kept = file(&format!("{script}.txt"));
    if std::env::var_os("ESCROW_TEST_UPDATE").is_some() {
        fs::write(&kept, &told).unwrap();
    }
    assert_eq!(told, fs::read_to_string(&kept).unwrap(), "{script}.txt is not what is told");
    assert!(is_expected, "{script}: {told}");
    walk
}

#[test]
fn what_else_happens_in_agreements_is_told() {
    walked("two-party", "changes");
    walked("three-party", "late-agent");
}

#[test]
fn hints_name_nothing_that_there_is_not_in_a_walk() {
    for kept in fs::read_dir(file("")).unwrap() {
        let kept = kept.unwrap().path();
        let told = fs::read_to_string(&kept).unwrap();
        let is_elsewhere = |line: &&str| line.contains("`escrow") || line.contains("'s id");
        assert_eq!(told.lines().find(is_elsewhere), None, "{}", kept.display());
    }
}

#[test]
fn what_stands_against_a_request_can_be_taken_back_and_keeps_nobody_from_consenting() {
    let terms = template("three-party");
    let mut walk = Walk::of(&terms, FROM.parse().unwrap()).unwrap();
    let script =
        "deposit\nrequest orient-display/junho --rule bankruptcy\nobject hanbit-parts/minji";
    for line in reads(&terms, script).unwrap() {
        assert_eq!(walk.take(&line.step), Ok(None));
    }
    let offered = possible::steps(&walk);
    for step in [
        "deposit",
        "approve orient-display/one",
        "approve trade-secret-center/one",
        "withdraw hanbit-parts/minji --objection",
    ] {
        assert!(offered.iter().any(|it| it == step), "{step}: {offered:?}");
    }
}

#[test]
fn what_means_nothing_is_refused_with_what_would_mean_something() {
    for (terms, script, says, hint) in [
        (
            "three-party",
            "settle trade-secret-center/sora --joint",
            "nothing to settle",
            "what is missing",
        ),
        (
            "audit",
            "attest trade-secret-center/sora --event bankruptcy",
            "rule inquiry asks for an order",
            "--order",
        ),
        ("three-party", "countersign hanbit-parts/minji", "there is no amendment", "look back"),
        ("three-party", "approve hanbit-parts/minji 2", "there is no request 2", "counted from 1"),
    ] {
        let terms = template(terms);
        let rule = &terms.rules.last().unwrap();
        let who = terms.in_role(&rule.requesters[0]).first().unwrap();
        let script = format!("deposit\nrequest {who}/junho --rule {}\nrefused {script}", rule.name);
        let mut walk = Walk::of(&terms, FROM.parse().unwrap()).unwrap();
        let (told, is_expected) = story(&mut walk, &reads(&terms, &script).unwrap());
        assert!(is_expected && told.contains(says) && told.contains(hint), "{told}");
    }
}

#[test]
fn whatever_is_offered_can_be_done() {
    for (name, _) in TEMPLATES {
        let terms = template(name);
        for kind in ["released", "blocked"] {
            let text = fs::read_to_string(file(&format!("{name}-{kind}.walk"))).unwrap();
            let mut walk = Walk::of(&terms, FROM.parse().unwrap()).unwrap();
            for line in reads(&terms, &text).unwrap() {
                for offered in possible::steps(&walk) {
                    let [read] = &*reads(&terms, &offered).unwrap() else { panic!("{offered}") };
                    let taken = walk.clone().take(&read.step);
                    assert_eq!(taken, Ok(None), "{name}, before line {}: {offered}", line.number);
                }
                drop(walk.take(&line.step));
            }
        }
    }
}

#[test]
fn a_line_that_is_typed_is_a_step_or_is_answered() {
    let terms = template("three-party");
    let none = |_: &Path| Err(Fault::new("it is not there", "look for it"));
    let reader = Reader { parties: terms.organisations().cloned().collect(), terms: &none };
    let mut walk = Walk::of(&terms, FROM.parse().unwrap()).unwrap();
    for (number, (text, expected)) in (1..).zip([
        ("deposit\n", "taken"),
        ("\n", "nothing"),
        ("  # a remark\n", "nothing"),
        ("help\n", "deposit [ORG/MEMBER]"),
        ("dance\n", "\"dance\" is no step"),
        (" request orient-display/junho --rule joint", "taken"),
        ("amend hanbit-parts/minji gone.toml", "it is not there\nlook for it"),
        ("request orient-display/junho --rule jiont\n", "taken"),
        ("quit\n", "quits"),
        ("exit", "quits"),
    ]) {
        let answered = match typed(&mut walk, &reader, number, text) {
            Typed::Quits => "quits".to_owned(),
            Typed::Nothing => "nothing".to_owned(),
            Typed::Answered(answer) => answer,
            Typed::Taken(_) => "taken".to_owned(),
        };
        assert!(answered.starts_with(expected), "{text}: {answered}");
    }
    assert_eq!((walk.deposits(), walk.requests()), (1, 1));
}

fn requests(walk: &Walk) -> Vec<crate::domain::request::Request> {
    (1..=walk.requests()).map(|number| walk.request(number).unwrap()).collect()
}

#[test]
fn every_rule_of_every_template_leads_to_a_release() {
    for (name, _) in TEMPLATES {
        let walk = walked(name, &format!("{name}-released"));
        let requests = requests(&walk);
        let released = requests.iter().filter(|it| it.state(walk.now()) == State::Retrieved);
        let released: BTreeSet<_> = released.map(|it| it.statement.rule.clone()).collect();
        let rules = template(name).rules.into_iter().map(|rule| rule.name).collect();
        assert_eq!(released, rules, "{name}");
    }
}

#[test]
fn every_template_keeps_a_bundle_where_its_rules_are_not_met() {
    for (name, _) in TEMPLATES {
        let walk = walked(name, &format!("{name}-blocked"));
        let requests = requests(&walk);
        assert!(!requests.is_empty(), "{name}");
        for request in requests {
            let state = request.state(walk.now());
            assert!(matches!(state, State::Expired | State::Withdrawn), "{name}: {state}");
            assert_eq!(request.released_at(), None, "{name}");
        }
    }
}
