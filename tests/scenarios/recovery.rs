//! Backups, and what happens when a vault has to go on from one.

use std::fs;
use std::path::Path;

use super::crash::deposit_and_stop;
use super::{World, copy_dir, id};

pub(super) fn back_up(world: &World, name: &str) -> String {
    let to = world.path(name).display().to_string();
    let done = world.escrowd(&["backup", "--to", &to]);
    assert_eq!(done.code, 0, "{}", done.err);
    to
}

/// Restores over what is there.
pub(super) fn restore(world: &World, from: &str, arguments: &[&str]) {
    fs::remove_dir_all(world.data()).unwrap();
    let done = world.escrowd(&[&["restore", "--from", from], arguments].concat());
    assert_eq!(done.code, 0, "{}", done.err);
}

#[test]
fn a_backup_of_a_running_vault_restores_and_is_never_served_as_if_it_were_the_vault() {
    let (mut world, agreement) = World::with_agreement();
    let small = world.deposit(&agreement, "recipe");
    let large = world.file("large.bin", vec![7; 300_000]);
    let large =
        id(&world.escrow("hanbit-parts", &["deposit", &agreement, &large, "--yes"]).record());
    let backup = back_up(&world, "backup");
    let again = back_up(&world, "backup");
    assert_eq!(backup, again, "an earlier backup is brought up to date");
    world.stop();
    back_up(&world, "backup");
    let keys = ["tsa.key", "tsa.crt"].map(|name| format!("keys/{name}"));
    let kept = |dir: &Path| keys.clone().map(|name| fs::read(dir.join(name)).unwrap());
    let stamping = kept(&world.data());

    // Served where it lies, it would be a second vault.
    let lost = world.path("lost");
    fs::rename(world.data(), &lost).unwrap();
    copy_dir(Path::new(&backup), &world.data());
    let refused = world.try_serve().unwrap_err();
    assert!(refused.contains("is a backup of") && refused.contains("recover"), "{refused}");

    restore(&world, &backup, &["--complete"]);
    world.serve();
    assert_eq!(kept(&world.data()), stamping, "the authority goes on, and no other is made");
    for deposit in [small, large] {
        let request = world.request(&deposit, "joint");
        world.approve("trade-secret-center", &request);
        assert_eq!(world.approve("hanbit-parts", &request), "released");
        let out = world.path(&format!("out-{request}")).display().to_string();
        world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    }
    world.stop();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.err);
}

#[test]
fn mistakes_with_backups_are_refused_and_nothing_is_overwritten() {
    let (world, _) = World::with_agreement();
    let backup = back_up(&world, "backup");
    let data = world.data().display().to_string();
    let other = world.file("other/file", "precious");
    let other = Path::new(&other).parent().unwrap().display().to_string();
    let nowhere = world.path("nowhere").display().to_string();
    for (arguments, cause) in [
        (vec!["backup", "--to", &other], "is not empty, and not a backup"),
        (vec!["backup", "--to", &data], "is not empty, and not a backup"),
        (vec!["restore", "--from", &backup], "is not empty"),
        (vec!["restore", "--from", &data], "is not a backup"),
        (vec!["restore", "--from", &nowhere], "nowhere"),
    ] {
        let refused = world.escrowd(&arguments);
        assert_eq!(refused.code, 1, "{arguments:?}");
        assert!(refused.err.contains(cause), "{arguments:?}: {}", refused.err);
        assert!(refused.err.contains("escrowd: hint: "), "{arguments:?}: {}", refused.err);
    }
    assert_eq!(fs::read(world.path("other/file")).unwrap(), b"precious");
}

#[test]
fn promise_9_a_vault_that_a_client_shows_to_have_been_set_back_refuses_to_run() {
    let (mut world, agreement) = World::with_agreement();
    world.stop();
    copy_dir(&world.data(), &world.path("early"));
    world.serve();
    let deposit = world.deposit(&agreement, "recipe");
    world.stop();
    // Not a restore that says so: files put back, as an operator might who hides something.
    world.replace_data(&world.path("early"));
    world.serve();
    // A home without its copy of the log still has the heads of its streams.
    fs::remove_dir_all(world.home("hanbit-parts").join("log")).unwrap();
    // Who has seen less sees nothing wrong; who has seen more shows it.
    world.escrow("orient-display", &["show", &agreement]).record();
    let shown = world.escrow("hanbit-parts", &["show", &deposit]);
    assert_eq!(shown.refusal(), "SET_BACK");
    assert_eq!(world.ended_by_itself(), 1);
    assert!(world.said().contains("was set back to an earlier state"), "{}", world.said());
    let refused = world.try_serve().unwrap_err();
    assert!(refused.contains(&format!("{agreement} up to event")), "{refused}");
    assert!(refused.contains("escrowd recover"), "{refused}");
}

#[test]
fn promise_9_a_recovered_vault_gets_back_what_members_remember_and_goes_on_when_all_agree() {
    let (mut world, agreement) = World::with_agreement();
    let kept = world.deposit(&agreement, "kept");
    let backup = back_up(&world, "backup");
    // After the backup: a deposit, a request, a consent, and a colleague.
    let lost = world.deposit(&agreement, "lost with its bytes");
    let request = world.request(&kept, "joint");
    world.approve("trade-secret-center", &request);
    let released = world.request(&kept, "joint");
    world.approve("trade-secret-center", &released);
    assert_eq!(world.approve("hanbit-parts", &released), "released");
    world.join_colleague("hanbit-parts", "jun");
    world.escrow("hanbit-parts", &["show", &agreement]).record();
    world.kill();
    restore(&world, &backup, &[]);
    let refused = world.try_serve().unwrap_err();
    assert!(refused.contains("escrowd recover"), "{refused}");
    let recovered = world.escrowd(&["recover"]);
    assert_eq!(recovered.code, 0, "{}", recovered.err);
    assert!(recovered.err.contains("generation 2"), "{}", recovered.err);
    world.serve();

    // Nobody goes on as if nothing had happened.
    for home in ["hanbit-parts", "orient-display", "jun"] {
        let refused = world.escrow(home, &["show", &agreement]);
        assert_eq!(refused.refusal(), "NEW_GENERATION", "{home}");
        assert!(refused.err.contains("escrow resume"), "{}", refused.err);
    }
    // The operator remembers nothing, and is shown what is there.
    let members = world.escrow("operator", &["members", "hanbit-parts"]).records();
    assert_eq!(members.len(), 1, "jun is lost");
    // The first to come hands in what it remembers; a look needs no signature, going on does.
    let looked = world.escrow("hanbit-parts", &["resume"]);
    assert_eq!(looked.code, 2, "{}", looked.err);
    let resumed = world.escrow("hanbit-parts", &["resume", "--yes"]);
    assert_eq!(resumed.code, 3, "{}", resumed.err);
    assert_eq!(resumed.out[0]["agreements"][0]["state"], "waits for other parties");
    let members = world.escrow("operator", &["members", "hanbit-parts"]).records();
    assert_eq!(members.len(), 2, "jun is back");
    let suspended = world.escrow("hanbit-parts", &["deposit", &agreement, &backup, "--yes"]);
    assert_eq!(suspended.refusal(), "SUSPENDED", "{}", suspended.err);
    let shown = world.escrow("hanbit-parts", &["show", &agreement]).record();
    assert_eq!((&shown["state"], &shown["suspended"]), (&"active".into(), &true.into()));
    // A member whose joining itself was lost is there again.
    let own = world.escrow("jun", &["resume", "--yes"]);
    assert!([0, 3].contains(&own.code), "{}", own.err);
    assert_eq!(world.escrow("jun", &["whoami"]).record()["state"], "active");
    assert_eq!(world.escrow("orient-display", &["resume", "--yes"]).code, 3);
    let last = world.escrow("trade-secret-center", &["resume", "--yes"]).record();
    assert_eq!(last["agreements"][0]["state"], "goes on");
    assert_eq!(last["lost"].as_array().unwrap().len(), 0, "{last}");

    // The request and its consent are there; the bundle that was lost is told, the other opens.
    assert_eq!(world.state("orient-display", &request), "open");
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    assert_eq!(fs::read(world.path("out/recipe.txt")).unwrap(), b"kept");
    // What was contributed is remembered by nobody, and that is said as it is.
    let again = world.path("again").display().to_string();
    let retrieve = ["retrieve", &released, "--out", &again, "--yes"];
    let refused = world.escrow("orient-display", &retrieve);
    assert_eq!(refused.refusal(), "CONTRIBUTION_LOST", "{}", refused.err);
    let shown = world.escrow("hanbit-parts", &["show", &lost]).record();
    assert_eq!(shown["state"], "quarantined");
    world.deposit(&agreement, "deposited again");
    world.join("newco", "ann");
    world.stop();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.err);
    // And the index is the same when it is made anew.
    let rebuilt = world.escrowd(&["rebuild"]);
    assert_eq!(rebuilt.code, 0, "{}", rebuilt.err);
    world.serve();
    assert_eq!(world.state("hanbit-parts", &request), "retrieved");
}

#[test]
fn what_nobody_handed_in_in_time_is_kept_as_evidence_and_told() {
    let (mut world, agreement) = World::with_agreement();
    let backup = back_up(&world, "backup");
    // Only minji has seen this one when the vault is lost.
    let deposit = world.deposit(&agreement, "recipe");
    world.kill();
    restore(&world, &backup, &[]);
    assert_eq!(world.escrowd(&["recover"]).code, 0);
    world.serve();
    // A colleague's home that saw less takes the agreement up, and so do the others.
    copy_dir(&world.home("hanbit-parts"), &world.home("late"));
    for (name, backup) in [("org_hanbit-parts", false), (&agreement, true)] {
        for kind in ["log", "head"] {
            let file = world.home("hanbit-parts").join(format!("streams/{name}.{kind}"));
            if backup {
                fs::remove_file(file).unwrap();
            }
        }
    }
    for home in ["hanbit-parts", "orient-display", "trade-secret-center"] {
        let resumed = world.escrow(home, &["resume", "--yes"]);
        assert!([0, 3].contains(&resumed.code), "{}", resumed.err);
    }
    let late = world.escrow("late", &["resume", "--yes"]).record();
    let lost = late["lost"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "{late}");
    assert_eq!(lost[0]["kind"], "escrow-vault/deposit/v1");
    assert_eq!(lost[0]["stream"], agreement.as_str());
    let evidence = late["evidence"].as_str().unwrap();
    assert!(Path::new(evidence).join(format!("{agreement}.head")).exists());
    assert_eq!(world.escrow("late", &["show", &deposit]).refusal(), "NOT_FOUND");
    world.deposit(&agreement, "again");
}

#[test]
fn promise_9_what_was_acknowledged_and_never_looked_at_shows_a_set_back_and_comes_back() {
    let (mut world, agreement) = World::with_agreement();
    world.stop();
    copy_dir(&world.data(), &world.path("early"));
    world.serve();
    let mut deposit = deposit_and_stop(&mut world, &agreement);
    let deposit = id(&deposit.next().expect("the deposit that was acknowledged"));
    world.replace_data(&world.path("early"));
    world.serve();
    assert_eq!(world.escrow("hanbit-parts", &["show", &agreement]).refusal(), "SET_BACK");
    assert_eq!(world.ended_by_itself(), 1);
    // Without the operator's home nothing is begun.
    let operator = world.home("operator");
    fs::rename(&operator, world.path("operator-backup")).unwrap();
    let refused = world.escrowd(&["recover"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("nothing was changed"), "{}", refused.err);
    copy_dir(&world.path("operator-backup"), &operator);
    let recovered = world.escrowd(&["recover"]);
    assert!(recovered.err.contains("generation 2"), "{}", recovered.err);
    world.serve();
    // An operator's home that was put back after a recovery goes on as everybody's does.
    fs::remove_dir_all(&operator).unwrap();
    copy_dir(&world.path("operator-backup"), &operator);
    let invite = ["invite", "--org", "newco", "--member", "ann", "--yes"];
    assert_eq!(world.escrow("operator", &invite).refusal(), "NEW_GENERATION");
    world.escrow("operator", &["resume", "--yes"]).record();
    world.escrow("operator", &invite).record();
    for (home, events) in [("hanbit-parts", 1), ("orient-display", 0), ("trade-secret-center", 0)] {
        let resumed = world.escrow(home, &["resume", "--yes"]);
        assert!([0, 3].contains(&resumed.code), "{home}: {}", resumed.err);
        assert_eq!(resumed.out[0]["handed_in"], events, "{home}");
        assert_eq!(resumed.out[0]["lost"].as_array().unwrap().len(), 0, "{home}");
    }
    let shown = world.escrow("orient-display", &["show", &deposit]).record();
    assert_eq!(shown["state"], "quarantined", "its bundle was lost");
    // A bundle that is lost for good keeps no other from being served again once it is restored.
    let other = world.deposit(&agreement, vec![7; 300_000]);
    let request = world.request(&other, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let path = world.data().join("bundles").join(format!("{other}.age"));
    let aside = world.path("aside");
    fs::rename(&path, &aside).unwrap();
    let out = world.path("out").display().to_string();
    let retrieve = ["retrieve", &request, "--out", &out, "--yes"];
    assert_eq!(world.escrow("orient-display", &retrieve).refusal(), "DAMAGED");
    world.stop();
    fs::rename(&aside, &path).unwrap();
    world.said.forget();
    world.serve();
    // Waits on the state: a start looks through what is out of service beside serving.
    while world.escrow("hanbit-parts", &["show", &other]).record()["state"] != "stored" {}
    world.escrow("orient-display", &retrieve).record();
    world.stop();
    assert!(!world.said().contains("not looked through"), "{}", world.said());
}
