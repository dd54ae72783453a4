//! Registering: a proof that something existed. What is registered stays where it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use escrow_vault::crypto::signature;
use escrow_vault::domain::id::RegistrationId;
use serde_json::{Value, json};

use super::{World, files_below, id};

impl World {
    /// Registers a file of this content for an organisation; the record.
    pub(crate) fn register(&self, home: &str, name: &str, content: impl AsRef<[u8]>) -> Value {
        let file = self.file(name, content);
        self.escrow(home, &["register", &file, "--yes"]).record()
    }
}

/// Hanbit Parts with two members, and another organisation.
fn houses() -> World {
    let world = World::new();
    world.join("hanbit-parts", "minji");
    world.join_colleague("hanbit-parts", "jun");
    world.join("orient-display", "junho");
    world
}

fn names(record: &Value) -> Vec<&str> {
    record.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Records without what every home has of its own.
fn unstamped(records: &[Value]) -> Vec<Value> {
    let mut records = records.to_vec();
    for record in &mut records {
        record.as_object_mut().unwrap().remove("stamped_at").unwrap();
    }
    records
}

#[test]
fn files_are_registered_listed_and_shown_and_stay_at_home() {
    let world = houses();
    let notebook = world.register("hanbit-parts", "notebook.pdf", "anneal at 412 °C");
    let mut fields = names(&notebook);
    fields.sort();
    let expected = ["id", "label", "member", "registered_at", "sha256", "size", "stamped_at"];
    assert_eq!(fields, expected);
    assert!(notebook["stamped_at"].is_string(), "{notebook}");
    let registration: RegistrationId = id(&notebook).parse().unwrap();
    assert_eq!(notebook["label"], "notebook.pdf");
    assert_eq!(notebook["member"], "hanbit-parts/minji");
    assert_eq!(notebook["size"], 17);
    let sha256 = signature::sha256("anneal at 412 °C".as_bytes()).to_string();
    assert_eq!(notebook["sha256"], json!(sha256));
    assert!(notebook["registered_at"].as_str().unwrap() <= world.now().as_str());

    // A colleague registers several at once, one of them empty: more than go in one message.
    let files: Vec<_> = (0..19).map(|i| world.file(&format!("page-{i}"), "x".repeat(i))).collect();
    let mut words = vec!["register", "--yes"];
    words.extend(files.iter().map(String::as_str));
    let pages = world.escrow("jun", &words).records();
    let labels: Vec<_> = pages.iter().map(|page| page["label"].as_str().unwrap()).collect();
    assert_eq!(labels, (0..19).map(|i| format!("page-{i}")).collect::<Vec<_>>(), "as named");
    assert_eq!((&pages[0]["size"], &pages[18]["size"]), (&json!(0), &json!(18)));
    assert_eq!(pages[0]["sha256"], json!(signature::sha256(b"").to_string()));

    // Everybody of the organisation sees the same, in order; whole ids and beginnings will do. Only
    // time-stamps are everybody's own.
    let all = [vec![notebook.clone()], pages].concat();
    for home in ["hanbit-parts", "jun"] {
        let listed = world.escrow(home, &["registrations"]).records();
        assert_eq!(unstamped(&listed), unstamped(&all));
        let kept: Vec<_> = listed.iter().map(|one| one["stamped_at"].is_string()).collect();
        let own = all.iter().map(|one| (one["member"] == "hanbit-parts/jun") == (home == "jun"));
        assert_eq!(kept, own.collect::<Vec<_>>(), "{home}");
        for begin in [registration.as_str(), &registration.as_str()[..12]] {
            let shown = world.escrow(home, &["show", begin]).record();
            assert!(shown["stamped_at"].is_string(), "whoever has none asks for one: {shown}");
            assert_eq!(unstamped(&[shown]), unstamped(std::slice::from_ref(&notebook)));
        }
    }
    let named = ["register", &files[1], "--label", "the first page", "--yes"];
    assert_eq!(world.escrow("jun", &named).record()["label"], "the first page");

    // Nothing of the content is with the vault.
    let kept = files_below(&world.data());
    let holds = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(14).any(|part| part == b"anneal at 412 ")
    };
    assert!(kept.iter().any(|path| fs::metadata(path).unwrap().len() > 0));
    assert!(!kept.iter().any(|path| holds(path)));
}

#[test]
fn promise_10_other_organisations_see_no_registration_and_not_how_many_there_are() {
    let (world, _) = World::with_agreement();
    world.join("curious-trading", "jack");
    let registered = id(&world.register("hanbit-parts", "notebook.pdf", "anneal"));
    let invented = format!("reg_{}", "a".repeat(26));
    let invitation = world.invite("hanbit-parts", &["--member", "pat"]);
    world.escrow_with("pat", &["join", "--yes"], invitation.as_bytes()).record();
    // A partner in an agreement, and a stranger.
    for home in ["orient-display", "trade-secret-center", "curious-trading"] {
        assert_eq!(world.escrow(home, &["registrations"]).records().len(), 0, "{home}");
        let told = [&registered, &invented].map(|id| {
            let ended = world.escrow(home, &["show", id]);
            assert_eq!(ended.refusal(), "NOT_FOUND", "{home}");
            (ended.code, ended.error().to_string().replace(id.as_str(), "ID"))
        });
        assert_eq!(told[0], told[1], "{home}");
    }
    // A colleague who has shown nobody who it is, and the operator.
    assert_eq!(world.escrow("pat", &["registrations"]).refusal(), "PENDING");
    assert_eq!(world.escrow("operator", &["registrations"]).refusal(), "OPERATOR");
    let file = world.file("page", "page");
    assert_eq!(world.escrow("pat", &["register", &file, "--yes"]).refusal(), "PENDING");
    // What it is not, is told to who may know.
    for (words, other) in [
        (vec!["approve", &registered, "--yes"], "is not a request"),
        (vec!["deposits", &registered], "is not an agreement"),
    ] {
        let ended = world.escrow("hanbit-parts", &words);
        assert_eq!(ended.refusal(), "WRONG_KIND");
        assert!(ended.error()["message"].as_str().unwrap().contains(other), "{}", ended.err);
    }
}

#[test]
fn what_is_no_file_is_refused_before_anything_is_registered() {
    let world = houses();
    let file = world.file("notes/page", "page");
    let dir = world.path("notes").display().to_string();
    let link = world.path("link");
    symlink(&file, &link).unwrap();
    let link = link.display().to_string();
    let socket = world.path("socket");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let socket = socket.display().to_string();
    let missing = world.path("missing").display().to_string();
    for (path, code, says, hint) in [
        (&dir, "NOT_A_FILE", "is a directory", "make an archive"),
        (&link, "NOT_A_FILE", "is a symbolic link", "name the file itself"),
        (&socket, "NOT_A_FILE", "is a special file", "name the file itself"),
        (&missing, "UNREADABLE", "cannot be read", "check that it exists"),
    ] {
        let ended = world.escrow("hanbit-parts", &["register", &file, path, "--yes"]);
        assert_eq!((ended.code, ended.refusal().as_str()), (1, code), "{path}");
        let error = ended.error();
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
        assert!(error["message"].as_str().unwrap().contains(path.as_str()), "{error}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    }
    let two = ["register", &file, &file, "--label", "pages", "--yes"];
    let ended = world.escrow("hanbit-parts", &two);
    assert_eq!((ended.code, ended.refusal().as_str()), (2, "USAGE"));
    // Nobody is at a terminal, and nobody said yes.
    let ended = world.escrow("hanbit-parts", &["register", &file]);
    assert_eq!((ended.code, ended.refusal().as_str()), (2, "USAGE"));
    assert_eq!(world.escrow("hanbit-parts", &["registrations"]).records().len(), 0);
}

#[test]
fn the_very_same_again_is_warned_of_and_done() {
    let world = houses();
    let first = id(&world.register("hanbit-parts", "notebook.pdf", "anneal"));
    let copy = world.file("copy.pdf", "anneal");
    let again = world.escrow("jun", &["register", &copy, "--yes"]);
    let told = again.err.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let warned = told.into_iter().find(|line| line["warning"].is_object()).unwrap();
    let message = warned["warning"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("as {first}")), "{message}");
    let second = id(&again.record());
    assert_ne!(first, second);
    // The oldest proves most, and is the one that is named.
    let third = world.escrow("jun", &["register", &copy, "--yes"]);
    assert!(third.err.contains(&first) && !third.err.contains(&second), "{}", third.err);
}

#[test]
fn what_is_shown_before_it_is_signed_says_what_the_vault_learns() {
    let world = houses();
    let file = world.file("notebook.pdf", "anneal");
    if !super::have("script") {
        return;
    }
    let register = format!(
        "'{}' --home '{}' register '{file}'",
        env!("CARGO_BIN_EXE_escrow"),
        world.home("hanbit-parts").display()
    );
    for (answer, code, registered) in [("n\n", 1, 0), ("y\n", 0, 1)] {
        let mut typing = super::on_a_terminal(&register).spawn().unwrap();
        let typed = typing.stdin.take().unwrap();
        std::io::Write::write_all(&mut { typed }, answer.as_bytes()).unwrap();
        let ended = typing.wait_with_output().unwrap();
        let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{answer:?}: {shown}");
        let sha256 = signature::sha256(b"anneal").to_string();
        for part in ["notebook.pdf", "6 bytes", &sha256, "hanbit-parts", "content stays here"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let all = world.escrow("hanbit-parts", &["registrations"]).records();
        assert_eq!(all.len(), registered);
    }
}

#[test]
fn promise_9_registrations_come_back_to_a_recovered_vault_and_lost_ones_are_told() {
    let (mut world, _) = World::with_agreement();
    let kept = world.register("hanbit-parts", "kept.pdf", "before the backup");
    let backup = world.path("backup").display().to_string();
    assert_eq!(world.escrowd(&["backup", "--to", &backup]).code, 0);
    let late = world.register("hanbit-parts", "late.pdf", "after the backup");
    super::copy_dir(&world.home("hanbit-parts"), &world.home("copy"));
    let recover = |world: &mut World| {
        world.kill();
        fs::remove_dir_all(world.data()).unwrap();
        assert_eq!(world.escrowd(&["restore", "--from", &backup]).code, 0);
        let recovered = world.escrowd(&["recover"]);
        assert_eq!(recovered.code, 0, "{}", recovered.err);
        world.serve();
    };
    recover(&mut world);
    let resume = |home: &str| {
        let resumed = world.escrow(home, &["resume", "--yes"]);
        assert!([0, 3].contains(&resumed.code), "{}", resumed.err);
        resumed.out[0].clone()
    };
    let resumed = resume("hanbit-parts");
    assert_eq!((&resumed["handed_in"], &resumed["lost"]), (&json!(1), &json!([])), "{resumed}");
    let listed = || world.escrow("hanbit-parts", &["registrations"]).records();
    assert_eq!(listed(), [kept.clone(), late.clone()], "byte for byte: with their ids and times");
    let new = world.register("hanbit-parts", "new.pdf", "in the new generation");
    assert_eq!(listed(), [kept, late, new]);
    assert_eq!(resume("copy")["lost"], json!([]), "it was handed in already");
}

#[test]
fn promise_9_a_lost_registration_whose_place_is_taken_is_told_and_kept_as_evidence() {
    let (mut world, _) = World::with_agreement();
    let backup = world.path("backup").display().to_string();
    assert_eq!(world.escrowd(&["backup", "--to", &backup]).code, 0);
    super::copy_dir(&world.home("hanbit-parts"), &world.home("first"));
    world.register("hanbit-parts", "lost.pdf", "after the backup");
    world.kill();
    fs::remove_dir_all(world.data()).unwrap();
    assert_eq!(world.escrowd(&["restore", "--from", &backup]).code, 0);
    assert_eq!(world.escrowd(&["recover"]).code, 0);
    world.serve();
    // Another home of the same member goes on before the one that remembers.
    world.escrow("first", &["resume", "--yes"]);
    world.register("first", "new.pdf", "in its place");
    let resumed = world.escrow("hanbit-parts", &["resume", "--yes"]);
    let lost = resumed.out[0]["lost"].as_array().unwrap().clone();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0]["kind"], "escrow-vault/registration/v1");
    assert_eq!(lost[0]["stream"], "org_hanbit-parts/registrations");
    let evidence = resumed.out[0]["evidence"].as_str().unwrap();
    assert!(Path::new(evidence).join("org_hanbit-parts+registrations.head").exists());
    let all = world.escrow("hanbit-parts", &["registrations"]).records();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["label"], "new.pdf");
}

#[test]
fn registrations_stay_when_who_made_them_is_revoked() {
    let world = houses();
    let file = world.file("notebook.pdf", "anneal");
    let made = world.escrow("jun", &["register", &file, "--yes"]).record();
    let since = "2026-01-01T00:00:00.000Z";
    let revoke = ["revoke", "hanbit-parts/jun", "--compromised-since", since, "--yes"];
    world.escrow("hanbit-parts", &revoke).record();
    let shown = world.escrow("hanbit-parts", &["show", &id(&made)]).record();
    assert_eq!(unstamped(&[shown]), unstamped(std::slice::from_ref(&made)));
    assert_eq!(world.escrow("jun", &["register", &file, "--yes"]).refusal(), "REVOKED");
    assert_eq!(world.escrow("jun", &["registrations"]).refusal(), "REVOKED");
}

/// Most memory of its own that registering may take, in KiB: less than the file.
const DATA_KIB_MAX: u64 = 128 << 10;

#[test]
fn promise_12_memory_does_not_grow_with_what_is_registered() {
    let world = houses();
    // Holes take no room on the disk, and are read as zeros all the same.
    let path = world.path("large.img");
    fs::File::create(&path).unwrap().set_len(200 << 20).unwrap();
    let program = env!("CARGO_BIN_EXE_escrow");
    let home = world.home("hanbit-parts").display().to_string();
    let limited = format!("ulimit -d {DATA_KIB_MAX} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limited, program, "--json", "--home", &home, "register", "--yes"]);
    let ended = command.arg(&path).stdin(Stdio::null()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let record: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(record["size"], 200 << 20);
}
