//! What happens to invitations on their way, and what becomes of them.

use std::fs;

use escrow_vault::client::home::Home;

use super::World;

#[test]
fn whatever_became_of_an_invitation_is_said_in_one_line_and_what_to_do_in_another() {
    let mut world = World::new();
    world.join("hanbit-parts", "minji");
    let fresh = |name: &str| world.invite("hanbit-parts", &["--member", name]);
    let used = |home: &str, line: String| {
        world.escrow_with(home, &["join", "--yes"], line.as_bytes()).record();
        line
    };
    let over = world.invite("hanbit-parts", &["--member", "late", "--valid", "1s"]);
    // Waits on the state: the invitation's own expiry by this computer's clock.
    loop {
        let tried = world.escrow_with("late", &["join", "--yes"], over.as_bytes());
        if tried.code == 1 && tried.refusal() == "INVITATION_EXPIRED" {
            break;
        }
        fs::remove_dir_all(world.home("late")).unwrap();
    }
    for (line, code, message, hint) in [
        (
            used("thief", fresh("junho")),
            "INVITATION_USED",
            "hanbit-parts/junho was used already",
            "escrow revoke hanbit-parts/junho --left",
        ),
        (
            used(
                "robber",
                world.invite("operator", &["--org", "orient-display", "--member", "haerin"]),
            ),
            "INVITATION_USED",
            "orient-display/haerin was used already",
            "under another organisation name",
        ),
        (over, "INVITATION_EXPIRED", "hanbit-parts/late expired at", "ask for a new invitation"),
        (fresh("a")[..200].to_owned(), "BAD_INVITATION", "cut short", "copy the whole line"),
        (fresh("b").to_lowercase(), "BAD_INVITATION", "capital letters", "as a file"),
        (
            "see you on Monday".to_owned(),
            "BAD_INVITATION",
            "not an invitation",
            "escrow-invitation-1.",
        ),
        (fresh("c").replace("-1.", "-7."), "BAD_INVITATION", "newer version", "current version"),
    ] {
        let refused = world.escrow_with("newcomer", &["join", "--yes"], line.as_bytes());
        assert_eq!((refused.refusal().as_str(), refused.code), (code, 1), "{line}");
        let told = refused.error();
        assert!(told["message"].as_str().unwrap().contains(message), "{told}");
        assert!(told["hint"].as_str().unwrap().contains(hint), "{told}");
    }
    // Letters do not spoil it.
    let line = fresh("sora");
    let (begin, rest) = line.split_at(90);
    let letter = format!("\r\n> \u{201c}{begin}=\r\n>  {rest}\u{201d}\r\n");
    world.escrow_with("newcomer", &["join", "--yes"], letter.as_bytes()).record();
    let again = world.escrow_with("newcomer", &["join", "--yes"], letter.as_bytes());
    assert_eq!(again.refusal(), "HOME", "a home has one member");

    // The vault is gone, and another one answers at its address.
    let line = world.invite("hanbit-parts", &["--member", "dana"]);
    world.stop();
    let address = Home::open(&world.home("operator")).unwrap().vault().unwrap().address;
    fs::remove_dir_all(world.data()).unwrap();
    assert_eq!(world.escrowd(&["init", "--public-address", &address]).code, 0);
    world.serve();
    let refused = world.escrow_with("dana", &["join", "--yes"], line.as_bytes());
    assert_eq!(refused.refusal(), "OTHER_VAULT");
}

#[test]
fn nothing_is_made_before_an_invitation_was_read_and_agreed_to() {
    let world = World::new();
    let line = world.invite("operator", &["--org", "hanbit-parts", "--member", "minji"]);
    let whole = world.file("whole", &line);
    let missing = world.path("missing").display().to_string();
    let join = |file: &str, yes: &[&str]| world.escrow("minji", &[&["join", file], yes].concat());
    for (what, file, code, message) in [
        ("no file", missing.clone(), "UNREADABLE", "No such file"),
        ("a directory", world.path("").display().to_string(), "UNREADABLE", "directory"),
        ("not text", world.file("image", b"\x89PNG\xff"), "UNREADABLE", "UTF-8"),
        ("nothing", world.file("for-minji", "\n"), "BAD_INVITATION", "for-minji is empty"),
        (
            "a greeting above it",
            world.file("letter", format!("Welcome!\n{line}")),
            "BAD_INVITATION",
            "letter: this is not an invitation",
        ),
        ("half of it", world.file("half", &line[..200]), "BAD_INVITATION", "cut short"),
    ] {
        let refused = join(&file, &["--yes"]);
        assert_eq!((refused.refusal().as_str(), refused.code), (code, 1), "{what}");
        let told = refused.error();
        assert!(told["message"].as_str().unwrap().contains(message), "{what}: {told}");
        assert!(!world.home("minji").exists(), "{what}: a home was made");
    }
    assert_eq!(join(&whole, &[]).code, 2, "nobody was there to agree");
    assert!(!world.home("minji").exists(), "a home was made that nobody agreed to");
    join(&whole, &["--yes"]).record();
    assert_eq!(join(&missing, &["--yes"]).refusal(), "HOME", "said before anything is read");
}
