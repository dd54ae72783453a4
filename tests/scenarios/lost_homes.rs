//! A home is gone: what is lost with it, and how others go on.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::json;

use super::World;

/// What a failed command says, all of it.
fn told(ended: &super::Ended) -> String {
    let error = ended.error();
    format!("{} {}", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap())
}

#[test]
fn a_colleague_takes_the_place_of_a_lost_home_and_the_release_goes_on() {
    let (world, agreement) = World::with_agreement();
    let own = "trade-secret-center";
    let invitation = world.invite(own, &["--member", "dana"]);
    world.escrow_with("dana", &["join", "--yes"], invitation.as_bytes()).record();
    let status = |home: &str| world.escrow(home, &["status"]).record();
    assert_eq!(status(own)["only_administrator"], true);
    assert_eq!(status(own)["to_confirm"][0], "trade-secret-center/dana");
    let confirm = ["confirm", "trade-secret-center/dana", "--administrator", "--yes"];
    world.escrow(own, &confirm).record();
    let before = status(own);
    assert_eq!((&before["only_administrator"], &before["to_confirm"]), (&false.into(), &json!([])));
    assert_eq!(before["to_reseal"], json!([agreement]));
    assert_eq!(status("dana")["to_reseal"], json!([]), "it has no share to give");
    world.escrow(own, &["agreement", "reseal", &agreement, "--yes"]).record();
    assert_eq!(status(own)["to_reseal"], json!([]));
    let request = world.request(&world.deposit(&agreement, "recipe"), "joint");

    fs::remove_dir_all(world.home(own)).unwrap();
    let gone = world.escrow(own, &["approve", &request, "--yes"]);
    assert_eq!(gone.refusal(), "HOME");
    assert!(told(&gone).contains("from its backup only"), "{}", told(&gone));
    let revoke = ["revoke", "trade-secret-center/sora", "--left", "--yes"];
    let said = world.escrow_aloud("dana", &revoke, b"");
    assert!(said.contains("under another name") && said.contains("reseal"), "{said}");
    let members = world.escrow("dana", &["members"]).records();
    assert!(members.iter().any(|member| member["name"] == "sora" && member["state"] == "revoked"));
    let same = world.escrow("dana", &["invite", "--member", "sora", "--yes"]);
    assert_eq!(same.refusal(), "ALREADY_JOINED");
    assert!(told(&same).contains("under another member name"), "{}", told(&same));

    let invitation = world.invite("dana", &["--member", "sora-2"]);
    world.escrow_with("sora-2", &["join", "--yes"], invitation.as_bytes()).record();
    let early = world.escrow("sora-2", &["approve", &request, "--yes"]);
    assert_eq!(early.refusal(), "PENDING");
    world.escrow("dana", &["confirm", "trade-secret-center/sora-2", "--yes"]).record();
    let shareless = world.escrow("sora-2", &["agreement", "reseal", &agreement, "--yes"]);
    assert_eq!(shareless.refusal(), "NO_SHARE");
    assert!(told(&shareless).contains("ask a colleague"), "{}", told(&shareless));
    assert_eq!(status("dana")["to_reseal"], json!([agreement]));
    let resealed = world.escrow("dana", &["agreement", "reseal", &agreement, "--yes"]).record();
    assert_eq!(resealed["members"], json!(["trade-secret-center/sora-2"]));
    assert_eq!(world.approve("hanbit-parts", &request), "open");
    assert_eq!(world.approve("sora-2", &request), "released");

    // The requester's home came back from a backup that is older than the request.
    let secrets = world.home("orient-display").join("requests");
    fs::rename(&secrets, world.path("requests")).unwrap();
    fs::create_dir(&secrets).unwrap();
    let out = world.path("out").display().to_string();
    let retrieve = ["retrieve", &request, "--out", &out, "--yes"];
    let shut = world.escrow("orient-display", &retrieve);
    assert_eq!(shut.refusal(), "NO_SECRET");
    assert!(told(&shut).contains("make a new request"), "{}", told(&shut));
    assert_eq!(world.state("orient-display", &request), "released", "nothing was handed out");
    fs::remove_dir(&secrets).unwrap();
    fs::rename(world.path("requests"), &secrets).unwrap();
    world.escrow("orient-display", &retrieve).record();
}

#[test]
fn an_organisation_without_any_home_begins_anew_under_another_name() {
    let world = World::new();
    let invitation = world.invite("operator", &["--org", "hanbit-parts", "--member", "minji"]);
    let said = world.escrow_aloud("hanbit-parts", &["join", "--yes"], invitation.as_bytes());
    assert!(said.contains("Back up this directory") && said.contains("--administrator"), "{said}");
    let said = world.escrow_aloud("hanbit-parts", &["status"], b"");
    assert!(said.contains("only administrator of hanbit-parts"), "{said}");
    fs::remove_dir_all(world.home("hanbit-parts")).unwrap();
    let again = ["invite", "--org", "hanbit-parts", "--member", "minji-2", "--yes"];
    let again = world.escrow("operator", &again);
    assert_eq!(again.refusal(), "ORGANISATION_EXISTS");
    assert!(told(&again).contains("anew under another name"), "{}", told(&again));
    world.invite("operator", &["--org", "hanbit-parts-2", "--member", "minji"]);
}

#[test]
fn a_key_that_is_gone_or_spoilt_is_named_and_not_made_anew() {
    let world = World::new();
    world.join("hanbit-parts", "minji");
    for name in ["statement.key", "age.key", "tls.key"] {
        let path = world.home("hanbit-parts").join(name);
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let missing = world.escrow("hanbit-parts", &["whoami"]);
        assert_eq!(missing.refusal(), "HOME", "{name}");
        for words in [name, "missing", "backup", "invite you anew under another name"] {
            assert!(told(&missing).contains(words), "{name}: {}", told(&missing));
        }
        assert!(!path.exists(), "{name}");
        let open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        open.unwrap().write_all(&kept[1..]).unwrap();
        let spoilt = world.escrow("hanbit-parts", &["whoami"]);
        assert_eq!(spoilt.refusal(), "HOME", "{name}");
        for words in [name, "backup", "invite you anew under another name"] {
            assert!(told(&spoilt).contains(words), "{name}: {}", told(&spoilt));
        }
        fs::write(&path, &kept).unwrap();
    }
    world.escrow("hanbit-parts", &["whoami"]).record();
}
