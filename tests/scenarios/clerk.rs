//! Ordinary mistakes: each ends in a line that says what happened and one that says what to do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use super::{World, have, on_a_terminal};

fn spoken(world: &World, home: &str, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
    command.arg("--home").arg(world.home(home)).args(words);
    let ended = command.stdin(Stdio::null()).output().unwrap();
    (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn promise_11_mistakes_get_one_cause_and_one_remedy() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    let recipe = world.path("bundle/recipe.txt").display().to_string();
    let fresh = world.file("fresh.txt", "not deposited yet");
    let here = world.path("").display().to_string();
    let terms = world.file("bad.toml", super::TERMS.replace("quorum", "quorom"));
    let link = world.path("bundle/link");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    let link = link.display().to_string();
    let bundle = world.path("bundle").display().to_string();
    let missing = world.path("missing").display().to_string();
    let sealed = world.file("sealed.age", "age-encryption.org/v1\n");
    let beyond = world.path("missing/out").display().to_string();
    let zero = world.file("zero.toml", super::TERMS.replace("\"1@agent\"", "\"0@agent\""));
    let absurd = world.file("absurd.toml", super::TERMS.replace("quorum = 2", "quorum = 9"));
    let stranger = super::TERMS.replace("trade-secret-center", "nobody-yet");
    let fingerprint = "aaaa-".repeat(8);
    let stranger = format!(
        "{stranger}\n[fingerprints]\nnobody-yet = {:?}\n",
        fingerprint.trim_end_matches('-')
    );
    let stranger = world.file("stranger.toml", stranger);
    let own = world.fingerprint("hanbit-parts");
    let later = "2999-01-01T00:00:00.000Z";
    let minji = "hanbit-parts/minji";
    for (home, words, code, cause, remedy) in [
        ("nobody", vec!["whoami"], 1, "holds no member's keys", "escrow join"),
        (
            "orient-display",
            vec!["deposit", &agreement, &recipe],
            1,
            "is not the depositor",
            "ask the depositor",
        ),
        (
            "hanbit-parts",
            vec!["deposit", &agreement, &missing],
            1,
            "cannot be read",
            "check that it exists",
        ),
        (
            "hanbit-parts",
            vec!["deposit", &agreement, &bundle],
            1,
            "is a symbolic link",
            "--exclude",
        ),
        (
            "hanbit-parts",
            vec!["deposit", &deposit, &recipe],
            1,
            "is not an agreement",
            "escrow agreement list",
        ),
        (
            "hanbit-parts",
            vec!["deposit", &agreement, &fresh],
            2,
            "nobody is at a terminal",
            "--yes",
        ),
        ("hanbit-parts", vec!["show", "agr_zzzz"], 1, "agr_zzzz is not known here", "check the id"),
        ("hanbit-parts", vec!["show", ""], 2, "too short for an id", "four characters more"),
        ("hanbit-parts", vec!["show", "agr_"], 2, "too short for an id", "four characters more"),
        (
            "trade-secret-center",
            vec!["approve", "req_", "--yes"],
            2,
            "too short for an id",
            "four characters more",
        ),
        ("hanbit-parts", vec!["agreement", "propose", &terms], 1, "quorom", "escrow guide terms"),
        (
            "hanbit-parts",
            vec!["agreement", "template", "nine-party"],
            1,
            "no template named",
            "three-party",
        ),
        (
            "hanbit-parts",
            vec!["agreement", "propose", &zero],
            1,
            "\"0@agent\" is not a need",
            "escrow guide terms",
        ),
        ("hanbit-parts", vec!["agreement", "propose", &zero], 1, "zero.toml", "guide terms"),
        (
            "hanbit-parts",
            vec!["agreement", "propose", &absurd],
            1,
            "9 shares in the quorum",
            "as many as there are holders",
        ),
        (
            "hanbit-parts",
            vec!["agreement", "propose", &stranger],
            1,
            "knows no nobody-yet with the fingerprint that this home trusts",
            "escrow trust --replace",
        ),
        (
            "orient-display",
            vec!["agreement", "accept", &agreement],
            1,
            "has already accepted",
            "nothing more to do",
        ),
        (
            "orient-display",
            vec!["agreement", "decline", &agreement],
            1,
            "the agreement is active",
            "nothing is to be countersigned",
        ),
        (
            "hanbit-parts",
            vec!["deposit", &agreement, &recipe, "--exclude", "*.txt"],
            1,
            "nothing to pack",
            "--exclude",
        ),
        (
            "hanbit-parts",
            vec!["deposit", &agreement, &sealed, "--exclude", "*"],
            2,
            "not for a sealed bundle",
            "leave it out",
        ),
        ("hanbit-parts", vec!["deposit", &agreement, "/"], 1, "has no name", "what is below it"),
        (
            "hanbit-parts",
            vec!["invite", "--member", "dana", "--valid", "0s"],
            2,
            "cannot stay open for 0s",
            "at most 30d",
        ),
        (
            "hanbit-parts",
            vec!["revoke", minji, "--compromised-since", later],
            1,
            "lies ahead",
            "since when",
        ),
        (
            "hanbit-parts",
            vec!["revoke", minji, "--left"],
            1,
            "only administrator",
            "invite another",
        ),
        (
            "hanbit-parts",
            vec!["trust", "lean-works", &own],
            1,
            "as that of hanbit-parts, not of lean-works",
            "by telephone",
        ),
        ("hanbit-parts", vec!["register", &bundle], 1, "is a directory", "make an archive of it"),
        ("hanbit-parts", vec!["register", &link], 1, "is a symbolic link", "name the file itself"),
        ("hanbit-parts", vec!["register", &missing], 1, "cannot be read", "check that it exists"),
        ("hanbit-parts", vec!["register", &fresh], 2, "nobody is at a terminal", "--yes"),
        (
            "hanbit-parts",
            vec!["register", &fresh, &recipe, "--label", "both"],
            2,
            "there are several",
            "one at a time",
        ),
        ("operator", vec!["registrations"], 1, "registrations or colleagues", "a member's home"),
        ("operator", vec!["deposits", &agreement], 1, "has no agreements", "a member's home"),
        ("operator", vec!["agreement", "list"], 1, "has no agreements", "a member's home"),
        (
            "hanbit-parts",
            vec!["retrieve", &request, "--out", &beyond],
            1,
            "may not retrieve",
            "escrow show",
        ),
        ("orient-display", vec!["approve", &request], 1, "never consents", "another member"),
        (
            "orient-display",
            vec!["retrieve", &request, "--out", &here],
            3,
            "is open; missing",
            "wait for",
        ),
        (
            "orient-display",
            vec!["request", &deposit, "--rule", "jiont", "--purpose", "p", "--yes"],
            1,
            "no rule named jiont",
            "escrow show",
        ),
        (
            "orient-display",
            vec!["object", &request, "--reason", "r", "--yes"],
            1,
            "may not object",
            "escrow show",
        ),
    ] {
        let (ended, said) = spoken(&world, home, &words);
        let lines: Vec<_> = said.lines().filter(|line| line.starts_with("escrow: ")).collect();
        assert_eq!(ended, code, "{words:?}: {said}");
        assert!(said.contains(cause) && said.contains(remedy), "{words:?}: {said}");
        assert!(lines[0].starts_with("escrow: error: "), "{words:?}: {said}");
        assert!(lines[1].starts_with("escrow: hint: "), "{words:?}: {said}");
    }
    let (ended, said) = spoken(&world, "hanbit-parts", &["depsoit", &agreement]);
    assert_eq!(ended, 2);
    assert!(said.contains("deposit"), "a misspelt command is put right: {said}");
}

#[test]
fn a_vault_that_is_not_there_is_told_apart() {
    let (mut world, agreement) = World::with_agreement();
    world.stop();
    let ended = world.escrow("hanbit-parts", &["deposits", &agreement]);
    assert_eq!((ended.code, ended.refusal().as_str()), (4, "UNREACHABLE"));
    // Who one is, the home knows by itself.
    let own = world.escrow("hanbit-parts", &["whoami"]);
    assert!(own.err.contains("not checked"), "{}", own.err);
    let own = own.record();
    assert_eq!((&own["state"], &own["name"]), (&"not checked".into(), &"minji".into()));
    world.serve();
    let shown = world.escrow("hanbit-parts", &["whoami"]).record();
    assert_eq!(shown["state"], "active");
    for field in ["id", "organisation_fingerprint", "fingerprint", "age_recipient"] {
        assert_eq!(shown[field], own[field], "{field}");
    }
    world.escrow("hanbit-parts", &["status"]).record();
}

#[test]
fn approving_twice_and_depositing_twice_change_nothing() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    // Sealed anew it is another bundle; nothing stops a depositor from depositing the same again.
    let again = world.deposit(&agreement, "recipe");
    assert_ne!(deposit, again);
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    let twice = world.escrow("trade-secret-center", &["approve", &request, "--yes"]);
    assert_eq!(twice.code, 3, "{}", twice.err);
    let shown = world.escrow("trade-secret-center", &["show", &request]).record();
    assert_eq!(shown["consents"].as_array().unwrap().len(), 1);
}

#[test]
fn init_never_overwrites_and_names_what_it_cannot_certify() {
    let world = World::new();
    let again = world.escrowd(&["init"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("is not empty") && again.err.contains("hint"), "{}", again.err);
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrowd"));
    command.arg("init").arg("--data").arg(world.path("other")).args(["--host", "not a host"]);
    let ended = command.output().unwrap();
    assert!(!ended.status.success());
    assert!(!world.path("other").exists(), "nothing half is left");
}

#[test]
fn usage_errors_and_warnings_are_json_where_asked_for() {
    let (world, _) = World::with_agreement();
    for (words, says, hint) in [
        (vec!["depsoit", "agr_2bxqk7"], "depsoit", "deposit"),
        (vec!["deposit"], "<AGREEMENT>", "--help"),
        (vec!["watch", "req_2bxqk7", "--until", "done"], "open, notice", "--help"),
    ] {
        let ended = world.escrow("hanbit-parts", &words);
        assert_eq!((ended.code, ended.refusal().as_str()), (2, "USAGE"), "{words:?}");
        let error = ended.error();
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    }
    // There are not enough people for this rule.
    let few = world.file("few.toml", super::TERMS.replace("1@depositor", "3@depositor"));
    let proposed = world.escrow("hanbit-parts", &["agreement", "propose", &few, "--yes"]);
    let warned: serde_json::Value =
        serde_json::from_str(proposed.err.lines().next().unwrap()).unwrap();
    assert!(warned["warning"]["message"].as_str().unwrap().contains("rule joint"), "{warned}");
    proposed.record();
}

#[test]
fn a_question_is_asked_at_the_terminal_when_input_is_a_pipe() {
    let world = World::new();
    let invitation = world.invite("operator", &["--org", "hanbit-parts", "--member", "minji"]);
    let file = world.file("invitation", &invitation);
    let join = format!(
        "exec '{}' --json --home '{}' join < '{file}'",
        env!("CARGO_BIN_EXE_escrow"),
        world.home("hanbit-parts").display()
    );
    if !have("setsid") || !have("script") {
        return;
    }
    // Without a terminal there is nobody to ask.
    let alone = Command::new("setsid").args(["--wait", "sh", "-c", &join]).output().unwrap();
    let said = String::from_utf8(alone.stderr).unwrap();
    assert_eq!(alone.status.code(), Some(2), "{said}");
    assert!(said.contains("nobody is at a terminal"), "{said}");
    for (answer, code, tells) in [
        ("n\n", 1, "nothing was signed"),
        ("\x03", 1, "stopped before this was signed"),
        ("y\n", 0, "organisation_fingerprint"),
    ] {
        let mut typing = on_a_terminal(&join).spawn().unwrap();
        let mut shown = BufReader::new(typing.stdout.take().unwrap());
        let mut asked = Vec::new();
        shown.read_until(b']', &mut asked).unwrap();
        typing.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        shown.read_to_end(&mut asked).unwrap();
        let shown = String::from_utf8_lossy(&asked).into_owned();
        assert_eq!(typing.wait().unwrap().code(), Some(code), "{answer:?}: {shown}");
        assert!(shown.contains("as those of hanbit-parts/minji"), "{shown}");
        assert!(shown.contains(tells), "{answer:?}: {shown}");
    }
}

#[test]
fn a_running_vault_is_not_called_damaged() {
    let world = World::new();
    for command in ["check", "rebuild"] {
        let ended = world.escrowd(&[command]);
        assert_eq!(ended.code, 1);
        assert!(!ended.err.contains("damage"), "{}", ended.err);
        assert!(ended.err.contains("the vault is running: stop it first"), "{}", ended.err);
    }
}
