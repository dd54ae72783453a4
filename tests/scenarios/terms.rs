//! Terms before anybody signs them: checked and walked through without a home and without a vault.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Ended, JOINT, World, ended, have, on_a_terminal};

/// A directory with a file of terms.
struct Desk(tempfile::TempDir);

impl Desk {
    fn with(terms: &str) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.lay("terms.toml", terms);
        desk
    }

    fn lay(&self, name: &str, content: &str) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    /// Where there is no home, and none can be made.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
        command.env_clear().current_dir(self.0.path()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str], input: &str) -> std::process::Output {
        let mut child = self.command(arguments).spawn().unwrap();
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    }

    fn escrow(&self, arguments: &[&str], input: &str) -> Ended {
        ended(self.run(&[&["--json"], arguments].concat(), input))
    }

    fn check(&self) -> Ended {
        self.escrow(&["agreement", "check", "terms.toml"], "")
    }

    fn simulate(&self, arguments: &[&str], input: &str) -> Ended {
        let walk = ["agreement", "simulate", "terms.toml"];
        self.escrow(&[&walk[..], arguments].concat(), input)
    }
}

fn codes(found: &[Value]) -> Vec<(&str, &str)> {
    found
        .iter()
        .map(|it| (it["severity"].as_str().unwrap(), it["code"].as_str().unwrap()))
        .collect()
}

#[test]
fn what_is_wrong_with_terms_and_what_may_be_regretted_is_told_before_they_are_proposed() {
    let contract = "contract = \"contract.pdf\"\n";
    let stamps = "[time_stamps]\nauthority = \"http://tsa.example/\"\nca = \"tsa.pem\"\n";
    let alone = JOINT.replace("[\"1@depositor\", \"1@agent\"]", "[\"2@agent\"]");
    let advice = [("advice", "single_agent"), ("advice", "coalitions")];
    let unusable = ("error", "unusable_file");
    let rows: [(_, _, _, Vec<(&str, &str)>); 6] = [
        ("sound", JOINT.to_owned(), 0, advice.to_vec()),
        ("one party alone", alone.clone(), 1, vec![("error", "one_sided")]),
        (
            "a contract that is there",
            format!("{}{JOINT}", contract.replace("contract.pdf", "terms.toml")),
            0,
            advice.to_vec(),
        ),
        ("one that is not", format!("{contract}{JOINT}"), 1, [&[unusable], &advice[..]].concat()),
        (
            "nor the root of an authority",
            format!("{JOINT}{stamps}"),
            1,
            [&[unusable], &advice[..]].concat(),
        ),
        (
            "all at once",
            format!("{contract}{alone}{stamps}"),
            1,
            vec![unusable, unusable, ("error", "one_sided")],
        ),
    ];
    for (why, terms, code, expected) in rows {
        let checked = Desk::with(&terms).check();
        assert_eq!(checked.code, code, "{why}: {}", checked.err);
        assert_eq!(codes(&checked.out), expected, "{why}");
        for found in &checked.out {
            for part in ["why", "fix"] {
                assert!(found[part].as_str().is_some_and(|text| !text.is_empty()), "{found}");
            }
        }
    }
    let desk = Desk::with(&format!("{contract}{JOINT}"));
    let aloud = desk.run(&["agreement", "check", "terms.toml"], "");
    let (out, err) = (String::from_utf8(aloud.stdout), String::from_utf8(aloud.stderr));
    let (out, err) = (out.unwrap(), err.unwrap());
    assert!(out.starts_with("error: contract.pdf: "), "{out}");
    assert!(out.contains("\nadvice: "), "{out}");
    assert_eq!(err, "1 error to put right.\n");
    let operator = ["agreement", "check", "terms.toml", "--operator", "trade-secret-center"];
    let counted_in = Desk::with(JOINT).escrow(&operator, "");
    assert!(codes(&counted_in.out).contains(&("advice", "operator_is_party")), "{counted_in:?}");

    let role = [&operator[..4], &["agent"]].concat();
    let refused = Desk::with(JOINT).escrow(&role, "");
    assert_eq!((refused.code, refused.refusal().as_str()), (2, "USAGE"));
    assert!(refused.err.contains("its organisation is trade-secret-center"), "{}", refused.err);
    let one_roof = |groups: &str| {
        Desk::with(JOINT).escrow(&["agreement", "check", "terms.toml", "--one-roof", groups], "")
    };
    let told = one_roof("hanbit-parts,trade-secret-center");
    assert!(codes(&told.out).contains(&("advice", "one_roof")), "{told:?}");
    for (groups, says) in [
        ("hanbit-parts,nobody-yet", "nobody-yet, which is no party"),
        ("hanbit-parts", "two organisations or more"),
        ("hanbit-parts,Orient Display", "is not an organisation's name"),
    ] {
        let refused = one_roof(groups);
        assert_eq!((refused.code, refused.refusal().as_str()), (2, "USAGE"), "{groups}");
        assert!(refused.err.contains(says), "{groups}: {}", refused.err);
    }

    for (why, terms, refusal) in [
        ("not TOML", "title = ", "BAD_TERMS"),
        ("a misspelt safeguard", &JOINT.replace("needs =", "neds ="), "BAD_TERMS"),
        ("far too long", &"#".repeat(70_000), "BAD_TERMS"),
    ] {
        let refused = Desk::with(terms).check();
        assert_eq!((refused.code, refused.refusal().as_str()), (1, refusal), "{why}");
    }
    let other = Desk::with(JOINT);
    fs::write(other.0.path().join("terms.toml"), b"title = \"caf\xe9\"").unwrap();
    let refused = other.check();
    assert_eq!((refused.code, refused.refusal().as_str()), (1, "BAD_TERMS"));
    assert!(refused.err.contains("save it as UTF-8"), "{}", refused.err);
    let gone = Desk::with(JOINT).escrow(&["agreement", "check", "gone.toml"], "");
    assert_eq!((gone.code, gone.refusal().as_str()), (1, "UNREADABLE"));
}

#[test]
fn advice_is_told_to_scripts_that_propose() {
    let world = World::new();
    for (organisation, member) in super::PEOPLE {
        world.join(organisation, member);
    }
    world.trust_each_other();
    let terms = world.file("terms.toml", JOINT);
    let proposed = world.escrow("hanbit-parts", &["agreement", "propose", &terms, "--yes"]);
    let told = proposed.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let advice: Vec<_> =
        told.filter_map(|it| it["advice"]["code"].as_str().map(str::to_owned)).collect();
    assert_eq!(advice, ["single_agent", "coalitions"], "{}", proposed.err);
    let agreement = super::id(&proposed.record());
    // What cannot work is not proposed, as `check` says.
    let over = world.file("over.toml", format!("term = \"2026-01-01T00:00:00.000Z\"\n{JOINT}"));
    let refused = world.escrow("hanbit-parts", &["agreement", "propose", &over, "--yes"]);
    assert_eq!((refused.code, refused.refusal().as_str()), (1, "BAD_TERMS"));
    assert!(refused.err.contains("The term was over"), "{}", refused.err);
    // Whoever is to sign them has them as a file.
    let desk = Desk::with(&printed(&world, &agreement));
    let checked = desk.check();
    assert_eq!(codes(&checked.out), [("advice", "single_agent"), ("advice", "coalitions")]);
    assert_eq!(desk.simulate(&[], WALK).code, 0);
    let aloud = ["agreement", "propose", &terms, "--yes"];
    let said = world.escrow_aloud("hanbit-parts", &aloud, b"");
    assert!(said.contains("advice: ") && !said.contains("Sign this?"), "{said}");
}

/// The terms of an agreement as a party has them printed that did not write them.
fn printed(world: &World, agreement: &str) -> String {
    let mut printing = Command::new(env!("CARGO_BIN_EXE_escrow"));
    printing.arg("--home").arg(world.home("orient-display"));
    let printed = printing.args(["agreement", "terms", agreement]).output().unwrap();
    String::from_utf8(printed.stdout).unwrap()
}

#[test]
fn what_is_missing_is_told_alike_of_a_walk_and_of_a_request() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let desk = Desk::with(&printed(&world, &agreement));
    let walk = "deposit\nrequest orient-display/junho --rule joint\n\
                approve trade-secret-center/sora\napprove hanbit-parts/minji\n";
    let walked = desk.simulate(&[], walk).records();
    let request = world.request(&deposit, "joint");
    for (step, home) in [(2, None), (3, Some("trade-secret-center")), (4, Some("hanbit-parts"))] {
        if let Some(home) = home {
            world.approve(home, &request);
        }
        let shown = world.escrow("orient-display", &["show", &request]).record();
        for told in ["state", "missing"] {
            assert_eq!(walked[step]["requests"][0][told], shown[told], "{told} after {step}");
        }
    }
}

const WALK: &str = "\
# Both sides agree.
deposit
request orient-display/junho --rule joint
refused approve orient-display/junho
approve trade-secret-center/sora
wait 1d
approve hanbit-parts/minji
retrieve
";

#[test]
fn terms_are_walked_through_before_anybody_signs_them() {
    let desk = Desk::with(JOINT);
    desk.lay("walk.txt", WALK);
    let from = ["--from", "2027-03-01"];
    let told = desk.simulate(&[&["walk.txt"][..], &from].concat(), "").records();
    let outcomes: Vec<_> =
        told.iter().map(|it| (it["line"].clone(), it["outcome"].clone())).collect();
    let outcome = |line: u8, outcome: &str| (json!(line), json!(outcome));
    let done = [2, 3, 5, 6, 7, 8].map(|line| outcome(line, "done"));
    let expected =
        [&[outcome(0, "outset")], &done[..2], &[outcome(4, "refused")], &done[2..]].concat();
    assert_eq!(outcomes, expected);
    assert_eq!(told[3]["error"]["code"], "OWN_REQUEST");
    let state = |it: &Value| it["requests"][0]["state"].clone();
    assert_eq!(state(&told[6]), "released");
    assert_eq!(told[6]["at"], "2027-03-02T00:00:00.000Z");
    let said: Vec<_> = told[6]["statements"].as_array().unwrap().iter().collect();
    let said: Vec<_> = said.iter().map(|it| (it["type"].clone(), it["by"].clone())).collect();
    let minji = json!("hanbit-parts/minji");
    assert_eq!(said, [(json!("consent"), minji.clone()), (json!("contribution"), minji)]);
    let missing = &told[2]["requests"][0]["missing"];
    assert_eq!(missing[0]["organisations"], json!(["trade-secret-center"]), "{missing}");
    assert_eq!(told[0]["possible"], json!(["deposit"]));

    let piped = desk.simulate(&from, WALK).records();
    assert_eq!(piped, told, "what comes on standard input is the same walk");
    let outset = desk.simulate(&from, "").records();
    assert_eq!(outset, told[..1]);
    let aloud =
        ["agreement", "simulate", "terms.toml", "walk.txt", "--from", "2027-03-01T00:00:00Z"];
    let shown = String::from_utf8(desk.run(&aloud, "").stdout).unwrap();
    let retrieved = shown.split("\n\n").find(|part| part.starts_with("> retrieve\n")).unwrap();
    assert_eq!(
        retrieved,
        "> retrieve\n\
         time     2027-03-02T00:00:00.000Z\n\
         done     orient-display/junho has retrieved the bundle of request 1\n\
         request  1, under rule joint, by orient-display/junho\n\
         state    retrieved\n\
         missing  none\n\
         next     none"
    );
}

#[test]
fn a_walk_that_does_not_come_as_it_is_written_fails_with_what_to_do() {
    let desk = Desk::with(JOINT);
    for (why, walk, code, message, count) in [
        ("a step is refused", "deposit\nretrieve\n", "UNEXPECTED", "in line 2", 3),
        ("one that was to be is not", "refused deposit\n", "UNEXPECTED", "in line 1", 2),
        ("both", "refused deposit\n\nretrieve", "UNEXPECTED", "in lines 1, 3", 3),
        ("no step", "deposit\ndance\n", "BAD_SCRIPT", "walk.txt, line 2: \"dance\"", 0),
        ("a stranger", "deposit acme/eve\n", "BAD_SCRIPT", "acme is no party", 0),
        ("no such terms", "amend hanbit-parts/minji gone.toml\n", "BAD_SCRIPT", "gone.toml", 0),
        ("too long", &"#".repeat(70_000), "BAD_SCRIPT", "larger than 64 KiB", 0),
        ("too many lines", &"\n".repeat(2_001), "BAD_SCRIPT", "line 2001", 0),
        ("not text", "\u{202e}", "BAD_SCRIPT", "cannot be seen", 0),
    ] {
        desk.lay("walk.txt", walk);
        let walked = desk.simulate(&["walk.txt"], "");
        let error = walked.error();
        assert_eq!((walked.code, error["code"].as_str()), (1, Some(code)), "{why}: {error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{why}: {error}");
        assert_eq!(walked.out.len(), count, "{why}: a script is read whole before it is walked");
    }
    fs::write(desk.0.path().join("walk.txt"), [0xff, 0xfe]).unwrap();
    assert_eq!(desk.simulate(&["walk.txt"], "").refusal(), "UNREADABLE");
    assert_eq!(desk.simulate(&["gone.txt"], "").refusal(), "UNREADABLE");
    let usage = desk.simulate(&["--from", "tomorrow"], "");
    assert_eq!((usage.code, usage.refusal().as_str()), (2, "USAGE"));
    let alone = JOINT.replace("[\"1@depositor\", \"1@agent\"]", "[\"2@agent\"]");
    let unsound = Desk::with(&alone).simulate(&[], "");
    assert_eq!((unsound.code, unsound.refusal().as_str()), (1, "UNSOUND"));
    assert!(unsound.error()["hint"].as_str().unwrap().contains("agreement check terms.toml"));
}

#[test]
fn terms_are_amended_in_a_walk_by_a_file_beside_it() {
    let amendable =
        JOINT.replace("quorum = 2", "quorum = 2\namend = { all = [\"1@depositor\", \"1@agent\"] }");
    let desk = Desk::with(&amendable);
    fs::create_dir(desk.0.path().join("walks")).unwrap();
    let later = format!("{amendable}notice = \"5d\"\n");
    desk.lay("walks/later.toml", &later);
    desk.lay(
        "walks/walk.txt",
        "amend hanbit-parts/minji later.toml\ncountersign trade-secret-center/sora\n",
    );
    let told = desk.simulate(&["walks/walk.txt"], "").records();
    let versions: Vec<_> = told.iter().map(|it| it["agreement_version"].clone()).collect();
    assert_eq!(versions, [1, 1, 2]);
    assert_eq!(told[1]["amendments"][0]["missing"], json!(["1@agent"]));
}

#[test]
fn at_a_terminal_steps_are_asked_for() {
    if !have("script") {
        return;
    }
    let desk = Desk::with(JOINT);
    let escrow = Path::new(env!("CARGO_BIN_EXE_escrow")).display().to_string();
    let within = format!("{escrow} agreement simulate terms.toml --from 2027-03-01");
    let mut child = on_a_terminal(&within).current_dir(desk.0.path()).spawn().unwrap();
    let typed = "deposit\ndance\nrequest orient-display/junho --rule joint\nquit\n";
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let shown = String::from_utf8(done.stdout).unwrap().replace('\r', "");
    assert!(done.status.success(), "{shown}");
    for part in [
        "`help` lists them",
        "possible  deposit\n          request orient-display/one --rule joint\n",
        "\"dance\" is no step\n",
        "state     open\n",
        "          approve hanbit-parts/one\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
