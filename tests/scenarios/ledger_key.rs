//! The ledger key changes, and nobody has to be told by hand.

use std::fs;

use escrow_vault::client::home::Home;
use escrow_vault::client::mirror::log_key;

use super::http::ask;
use super::{World, copy_dir, id};

impl World {
    /// The log's key as the vault's members know it now, as C2SP writes it.
    fn vkey_of(&self, home: &str) -> String {
        log_key(&Home::open(&self.home(home)).unwrap().vault().unwrap()).unwrap().to_string()
    }

    fn rotate(&mut self, arguments: &[&str]) {
        self.stop();
        let ended = self.escrowd(&[&["rotate-ledger-key"], arguments].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        self.serve();
    }

    fn prove(&self, home: &str, of: &str, name: &str) -> String {
        let out = self.path(name).display().to_string();
        self.escrow(home, &["receipt", of, "--out", &out]).records();
        out
    }
}

/// Whether the newest checkpoint is signed by this key, by the crate `signed_note`.
fn signs(address: &str, vkey: &str) -> bool {
    let (head, note) = ask(address, "GET /checkpoint");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let signed = signed_note::Note::from_bytes(&note).unwrap();
    let verifier = signed_note::StandardVerifier::new(vkey).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    signed.verify(&known).is_ok_and(|(verified, _)| verified.len() == 1)
}

#[test]
fn promise_9_another_ledger_key_takes_over_and_what_the_old_one_signed_still_counts() {
    let (mut world, agreement) = World::with_agreement();
    let first = world.vkey_of("hanbit-parts");
    let early = world.invite("operator", &["--org", "late-works", "--member", "ann"]);
    let before = world.deposit(&agreement, "recipe A");
    let old_receipt = world.prove("hanbit-parts", &before, "old.tgz");
    // sora sleeps through all of it.
    copy_dir(&world.home("trade-secret-center"), &world.home("asleep"));
    world.stop();
    let address = world.show_log();
    world.serve();

    world.rotate(&[]);
    // Both keys sign, the same log and no other.
    let after = world.deposit(&agreement, "recipe B");
    let second = world.vkey_of("hanbit-parts");
    assert_ne!(first, second);
    assert!(signs(&address, &first) && signs(&address, &second));
    world.rotate(&["--finish"]);
    world.escrow("orient-display", &["deposits", &agreement]).records();
    assert!(!signs(&address, &first) && signs(&address, &second));
    world.rotate(&[]);
    let third = world.vkey_of("orient-display");
    assert_eq!(third, second, "who has not asked yet knows no other");
    let request = world.request(&after, "joint");
    let third = world.vkey_of("orient-display");
    assert_ne!(third, second);

    // Whoever slept, and whoever was invited by the first key, goes on from there.
    for home in ["asleep", "hanbit-parts"] {
        world.escrow(home, &["approve", &request, "--yes"]).record();
        assert_eq!(world.vkey_of(home), third, "{home}");
    }
    world.escrow_with("ann", &["join", "--yes"], early.as_bytes()).record();
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();

    // An export, by any key that the log has had.
    let export = world.path("export.tgz").display().to_string();
    world.escrow("orient-display", &["audit", &agreement, "--export", &export]).record();
    for log in [&first, &second, &third] {
        world.escrow("nobody", &["verify", &export, "--log", log]).record();
    }

    // Receipts of either time, by the key that somebody wrote down at the beginning.
    let new_receipt = world.prove("hanbit-parts", &after, "new.tgz");
    for (receipt, log, holds) in [
        (&old_receipt, &first, true),
        (&old_receipt, &third, false),
        (&new_receipt, &first, true),
        (&new_receipt, &second, true),
        (&new_receipt, &third, true),
    ] {
        let verified = world.escrow("nobody", &["verify", receipt, "--log", log]);
        assert_eq!(verified.code, if holds { 0 } else { 1 }, "{receipt} {log}: {}", verified.err);
    }
    // What the log bears out is the same after another look at all of it.
    world.stop();
    assert_eq!(world.escrowd(&["check"]).code, 0);
    assert_eq!(world.escrowd(&["rebuild"]).code, 0);
    world.serve();
    world.escrow("asleep", &["deposits", &agreement]).records();
}

#[test]
fn promise_9_a_handover_that_a_known_key_did_not_sign_is_refused() {
    let (mut world, agreement) = World::with_agreement();
    let receipt = |world: &World, name: &str| {
        let deposit = world.deposit(&agreement, name);
        world.prove("hanbit-parts", &deposit, name)
    };
    world.rotate(&[]);
    let new = receipt(&world, "new.tgz");
    let dir = world.path("unpacked");
    fs::create_dir_all(&dir).unwrap();
    let tar = |arguments: &[&str]| {
        let mut tar = std::process::Command::new("tar");
        assert!(tar.args(arguments).current_dir(&dir).status().unwrap().success());
    };
    tar(&["xzf", &new]);
    let path = dir.join("receipt/log.handovers.json");
    let whole = fs::read_to_string(&path).unwrap();
    let verify = |what: &str| {
        fs::write(&path, what).unwrap();
        tar(&["czf", "altered.tgz", "receipt"]);
        let altered = dir.join("altered.tgz").display().to_string();
        world.escrow("nobody", &["verify", &altered])
    };
    assert_eq!(verify(&whole).code, 0);
    let at = whole.find("by_from\":\"").unwrap() + 10;
    let digit = if whole[at..].starts_with('0') { "1" } else { "0" };
    for (what, altered, code) in [
        ("a signature", format!("{}{digit}{}", &whole[..at], &whole[at + 1..]), "NOT_VERIFIED"),
        ("its number", whole.replace("\"number\":2", "\"number\":3"), "NOT_VERIFIED"),
        ("no JSON", "[".to_owned(), "NOT_A_RECEIPT"),
        ("a field too many", whole.replace("\"number\"", "\"a\":1,\"number\""), "NOT_A_RECEIPT"),
    ] {
        assert_ne!(altered, whole, "{what}");
        assert_eq!(verify(&altered).refusal(), code, "{what}");
    }
}

#[test]
fn what_goes_wrong_with_a_change_of_the_ledger_key_is_said_with_the_way_out() {
    let (mut world, agreement) = World::with_agreement();
    let rotate = |world: &World, arguments: &[&str]| {
        let ended = world.escrowd(&[&["rotate-ledger-key"], arguments].concat());
        (ended.code, ended.err)
    };
    let (code, said) = rotate(&world, &[]);
    assert!(code == 1 && said.contains("stop"), "while it runs: {said}");
    world.stop();
    let (code, said) = rotate(&world, &["--finish"]);
    assert!(code == 1 && said.contains("no change"), "{said}");
    assert_eq!(rotate(&world, &[]).0, 0);
    let (code, said) = rotate(&world, &[]);
    assert!(code == 1 && said.contains("--finish"), "{said}");
    // Keys of before the change, as from an old backup.
    let key = world.data().join("keys/ledger-2.key");
    let aside = world.path("aside");
    fs::rename(&key, &aside).unwrap();
    for command in ["serve", "check", "recover"] {
        let refused = world.escrowd(&[command]);
        assert!(refused.code == 1 && refused.err.contains("ledger-2.key"), "{}", refused.err);
    }
    fs::copy(world.data().join("keys/ledger.key"), &key).unwrap();
    let refused = world.escrowd(&["serve"]);
    assert!(refused.err.contains("backup"), "{}", refused.err);
    fs::rename(aside, &key).unwrap();
    world.serve();
    assert!(id(&world.escrow("hanbit-parts", &["show", &agreement]).record()).starts_with("agr_"));
}
