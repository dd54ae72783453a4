//! Ordinary mistakes: each ends in a line that says what happened and one that says what to do.

use std::process::Command;

use super::World;

fn spoken(world: &World, home: &str, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
    command.arg("--home").arg(world.home(home)).args(words);
    let ended = command.stdin(std::process::Stdio::null()).output().unwrap();
    (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn promise_11_mistakes_get_one_cause_and_one_remedy() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    let recipe = world.path("bundle/recipe.txt").display().to_string();
    let here = world.path("").display().to_string();
    let terms = world.file("bad.toml", super::TERMS.replace("quorum", "quorom"));
    let link = world.path("bundle/link");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    let bundle = world.path("bundle").display().to_string();
    let missing = world.path("missing").display().to_string();
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
            vec!["deposit", &agreement, &recipe],
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
        (
            "hanbit-parts",
            vec!["agreement", "propose", &terms],
            1,
            "quorom",
            "escrow agreement template",
        ),
        (
            "hanbit-parts",
            vec!["agreement", "template", "nine-party"],
            1,
            "no template named",
            "three-party",
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
    world.serve();
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
