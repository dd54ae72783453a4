//! Keys under a passphrase: in homes, and of the vault itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{World, files_below};

/// A private file that holds a passphrase.
fn phrase(world: &World, name: &str, text: &str) -> String {
    let path = world.file(name, format!("{text}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_sealed_home_opens_with_its_passphrase_only() {
    let world = World::new();
    let (first, second) = (phrase(&world, "first", "correct horse"), phrase(&world, "second", "x"));
    let invitation = world.invite("operator", &["--org", "hanbit-parts", "--member", "minji"]);
    let join = ["join", "--passphrase-file", &first, "--yes"];
    world.escrow_with("hanbit-parts", &join, invitation.as_bytes()).record();
    for path in files_below(&world.home("hanbit-parts")) {
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        let bytes = fs::read(&path).unwrap();
        assert!(!is_key || bytes.starts_with(b"age-encryption.org/v1\n"), "{}", path.display());
    }
    let whoami =
        |arguments: &[&str]| world.escrow("hanbit-parts", &[&["whoami"], arguments].concat());
    assert_eq!(whoami(&[]).refusal(), "SEALED");
    assert_eq!(whoami(&["--passphrase-file", &second]).refusal(), "WRONG_PASSPHRASE");
    whoami(&["--passphrase-file", &first]).record();

    let change = ["passphrase", "--passphrase-file", &first, "--new-file", &second];
    assert_eq!(world.escrow("hanbit-parts", &change).record()["sealed"], true);
    assert_eq!(whoami(&["--passphrase-file", &first]).refusal(), "WRONG_PASSPHRASE");
    whoami(&["--passphrase-file", &second]).record();
    let remove = ["passphrase", "--passphrase-file", &second, "--remove"];
    assert_eq!(world.escrow("hanbit-parts", &remove).record()["sealed"], false);
    whoami(&[]).record();

    fs::set_permissions(&first, fs::Permissions::from_mode(0o644)).unwrap();
    let seal = world.escrow("hanbit-parts", &["passphrase", "--new-file", &first]);
    assert_eq!(seal.refusal(), "HOME", "a passphrase that others can read is none");
}

#[test]
fn a_sealed_vault_is_served_with_its_passphrase_only() {
    let mut world = World::new();
    world.stop();
    let file = phrase(&world, "vault-passphrase", "battery staple");
    fs::remove_dir_all(world.data()).unwrap();
    let address = world.address.clone();
    let made = ["init", "--public-address", &address, "--passphrase-file", &file];
    assert_eq!(world.escrowd(&made).code, 0);
    for key in ["keys/ca.key", "keys/ledger.key", "keys/tsa.key", "operator/statement.key"] {
        let bytes = fs::read(world.data().join(key)).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"), "{key}");
    }
    let said = world.try_serve().unwrap_err();
    assert!(said.contains("sealed") && said.contains("--passphrase-file"), "{said}");
    world.serve_with(&["--passphrase-file", &file]);
    let invite = ["invite", "--org", "hanbit-parts", "--member", "minji", "--yes"];
    assert_eq!(world.escrow("operator", &invite).refusal(), "SEALED");
    world.escrow("operator", &[&invite[..], &["--passphrase-file", &file]].concat()).record();
    // The next CA is sealed as well, and a running vault can open it.
    assert_eq!(world.escrowd(&["rotate-ca", "--passphrase-file", &file]).code, 0);
    let bytes = fs::read(world.data().join("keys/ca-2.key")).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
    assert!(world.reload());
    world.stop();
    assert_eq!(world.escrowd(&["check", "--passphrase-file", &file]).code, 0);
    assert!(world.escrowd(&["check"]).err.contains("not checked"));
}

#[test]
fn a_passphrase_that_systemd_hands_over_is_taken_as_it_comes() {
    let mut world = World::new();
    world.stop();
    let file = phrase(&world, "credentials/passphrase", "battery staple");
    fs::remove_dir_all(world.data()).unwrap();
    assert_eq!(world.escrowd(&["init", "--passphrase-file", &file]).code, 0);
    let check = |directory: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_escrowd"));
        command.arg("check").arg("--data").arg(world.data());
        command.args(["--passphrase-file", &file]).env("CREDENTIALS_DIRECTORY", directory);
        let done = command.output().unwrap();
        (done.status.success(), String::from_utf8(done.stderr).unwrap())
    };
    let (theirs, elsewhere) = (world.path("credentials"), world.path("homes"));
    let (theirs, elsewhere) = (theirs.to_str().unwrap(), elsewhere.to_str().unwrap());
    for (mode, directory, taken) in [
        (0o400, elsewhere, true),
        // An access list for the service's user shows as access of the group.
        (0o440, theirs, true),
        (0o440, elsewhere, false),
        (0o444, theirs, false),
        (0o460, theirs, false),
    ] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let (done, said) = check(directory);
        assert_eq!(done, taken, "{mode:o} in {directory}: {said}");
        assert!(taken || said.contains("chmod"), "{said}");
    }
}
