//! Joining, confirming, trusting, and who may act.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use escrow_vault::client::home::Home;
use escrow_vault::client::session::Session;
use escrow_vault::domain::statement::{Reason, Revocation};

use super::{PEOPLE, TERMS, World};

#[test]
fn invitations_work_once_for_one_member() {
    let world = World::new();
    let line = world.invite("operator", &["--org", "hanbit-parts", "--member", "minji"]);
    world.escrow_with("first", &["join", "--yes"], line.as_bytes()).record();
    let stolen = world.escrow_with("second", &["join", "--yes"], line.as_bytes());
    assert_eq!(stolen.refusal(), "INVITATION_USED");
    let cut = world.escrow_with("third", &["join", "--yes"], &line.as_bytes()[..line.len() - 9]);
    assert_eq!(cut.refusal(), "BAD_INVITATION");
    let over = world.invite("operator", &["--org", "late-works", "--member", "a", "--valid", "1s"]);
    // Waits on the state: the invitation's own expiry by this computer's clock.
    while world.escrow_with("late", &["join", "--yes"], over.as_bytes()).code == 0 {
        fs::remove_dir_all(world.home("late")).unwrap();
    }
    let again = world.escrow_with("first", &["join", "--yes"], line.as_bytes());
    assert_eq!(again.refusal(), "HOME", "a home has one member");
}

#[test]
fn a_new_member_is_pending_until_a_colleague_confirms() {
    let (world, agreement) = World::with_agreement();
    let line = world.invite("orient-display", &["--member", "haerin"]);
    let joined = world.escrow_with("haerin", &["join", "--yes"], line.as_bytes()).record();
    assert_eq!(joined["state"], "invited");
    world.invite("orient-display", &["--member", "noeul"]);
    let members = world.escrow("orient-display", &["members"]).records();
    let told = |name: &str| members.iter().find(|member| member["name"] == name).unwrap();
    for (name, state, has_joined) in
        [("haerin", "invited", true), ("junho", "active", true), ("noeul", "invited", false)]
    {
        let member = told(name);
        assert_eq!(member["state"], state, "{name}");
        for field in ["joined_at", "fingerprint", "id"] {
            assert_eq!(!member[field].is_null(), has_joined, "{name}: {field}");
        }
        assert_eq!(member["invitation_expires_at"].is_null(), has_joined, "{name}");
    }
    assert_eq!(world.escrow("haerin", &["show", &agreement]).refusal(), "PENDING");
    assert_eq!(world.escrow("haerin", &["invite", "--member", "x", "--yes"]).refusal(), "PENDING");
    // The operator opens doors and confirms nobody.
    let confirm = ["confirm", "orient-display/haerin", "--yes"];
    assert_eq!(world.escrow("operator", &confirm).refusal(), "OPERATOR");
    assert_eq!(world.escrow("hanbit-parts", &confirm).refusal(), "NOT_FOUND");
    let confirmed = world.escrow("orient-display", &confirm).record();
    assert_eq!(confirmed["state"], "active");
    assert_eq!(world.escrow("orient-display", &confirm).refusal(), "ALREADY");
    world.escrow("haerin", &["show", &agreement]).record();
    // Active, but no administrator.
    let invite = world.escrow("haerin", &["invite", "--member", "x", "--yes"]);
    assert_eq!(invite.refusal(), "NOT_ADMINISTRATOR");
    // Without the share a holder's member cannot request; a colleague passes it on.
    let deposit = world.deposit(&agreement, "recipe");
    let request = ["request", &deposit, "--rule", "joint", "--purpose", "audit", "--yes"];
    assert_eq!(world.escrow("haerin", &request).refusal(), "NO_SHARE");
    let passed = world.escrow("orient-display", &["agreement", "reseal", &agreement, "--yes"]);
    assert_eq!(passed.record()["members"][0], "orient-display/haerin");
    world.escrow("haerin", &request).record();
}

#[test]
fn promise_13_another_key_under_a_trusted_name_is_refused() {
    let world = World::new();
    world.join("hanbit-parts", "minji");
    world.join("orient-display", "junho");
    world.join("trade-secret-center", "sora");
    let (right, wrong) = (world.fingerprint("orient-display"), world.fingerprint("hanbit-parts"));
    let trust = |fingerprint: &str| {
        world.escrow("trade-secret-center", &["trust", "orient-display", fingerprint, "--yes"])
    };
    trust(&wrong).record();
    let members = world.escrow("trade-secret-center", &["members", "orient-display"]);
    assert_eq!(members.refusal(), "NOT_FOUND", "the vault shows no stranger's members");
    let other = trust(&right);
    assert_eq!(other.refusal(), "OTHER_FINGERPRINT");
    assert!(other.error()["hint"].as_str().unwrap().contains("--replace"), "{}", other.err);
    let replaced = ["trust", "--replace", "orient-display", &right, "--yes"];
    let replaced = world.escrow("trade-secret-center", &replaced);
    assert!(replaced.err.contains(&wrong), "what is given up is said: {}", replaced.err);
    replaced.record();
    world.escrow("trade-secret-center", &["members", "orient-display"]).record();
    // One key has one name.
    let twice = ["trust", "hanbit-parts", &right, "--yes"];
    assert_eq!(world.escrow("trade-secret-center", &twice).refusal(), "SAME_FINGERPRINT");
    let own = ["trust", "--replace", "trade-secret-center", &wrong, "--yes"];
    assert_eq!(world.escrow("trade-secret-center", &own).refusal(), "OTHER_FINGERPRINT");
    let typo = world.escrow("trade-secret-center", &["trust", "orient-display", "abcd"]);
    assert_eq!(typo.code, 2);
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let world = World::new();
    world.join("hanbit-parts", "minji");
    let home = world.home("hanbit-parts");
    for name in ["statement.key", "age.key", "tls.key", "organisation.key"] {
        let path = home.join(name);
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        mode(0o640);
        let ended = world.escrow("hanbit-parts", &["whoami"]);
        assert_eq!(ended.refusal(), "HOME", "{name}");
        assert!(ended.error()["message"].as_str().unwrap().contains("chmod 600"), "{name}");
        mode(0o600);
        if name != "organisation.key" {
            // A key that is lost is never quietly replaced by another.
            fs::rename(&path, home.join("aside")).unwrap();
            let ended = world.escrow("hanbit-parts", &["status"]);
            assert_eq!(ended.refusal(), "HOME", "{name}");
            assert!(ended.error()["hint"].as_str().unwrap().contains("backup"), "{}", ended.err);
            assert!(!path.exists(), "{name}");
            fs::rename(home.join("aside"), &path).unwrap();
        }
    }
    for mode in [0o777, 0o750] {
        fs::set_permissions(&home, fs::Permissions::from_mode(mode)).unwrap();
        let ended = world.escrow("hanbit-parts", &["whoami"]);
        assert!(ended.error()["message"].as_str().unwrap().contains("chmod 700"), "{}", ended.err);
    }
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    world.escrow("hanbit-parts", &["whoami"]).record();
}

#[test]
fn a_home_without_certificate_time_renews_by_its_statement_key() {
    let world = World::new();
    world.join("hanbit-parts", "minji");
    let path = world.home("hanbit-parts").join("tls.crt");
    // The operator's own first certificate would do as well: any that is about to expire.
    let now = escrow_vault::domain::time::Timestamp::from(std::time::SystemTime::now());
    let keys = escrow_vault::crypto::keyring::Keyring::at(&world.data().join("keys"));
    let authority = escrow_vault::server::ca::Authority::load(&keys, 1).unwrap();
    let keys = fs::read(world.home("hanbit-parts").join("tls.key")).unwrap();
    let key = escrow_vault::client::tls_key::TlsKey::from_pkcs8_der(&keys).unwrap();
    let own = world.escrow("hanbit-parts", &["whoami"]).record();
    let subject = escrow_vault::server::peer::Subject::Member {
        id: own["id"].as_str().unwrap().parse().unwrap(),
        path: "hanbit-parts/minji".parse().unwrap(),
    };
    let earlier =
        escrow_vault::domain::time::Timestamp::from_millis(now.as_millis() - 40 * 86_400_000);
    let day = escrow_vault::domain::time::Span::days(1);
    let expired = authority.issue_client(&key.csr_der().unwrap(), &subject, earlier, day).unwrap();
    fs::write(&path, &expired).unwrap();
    let own = world.escrow("hanbit-parts", &["whoami"]).record();
    assert!(own["certificate_expires_at"].as_str().unwrap() > now.to_string().as_str());
    assert_ne!(fs::read(&path).unwrap(), expired.to_vec());
}

#[test]
fn a_revoked_member_is_out_at_once_and_a_thiefs_consent_is_void() {
    let (world, agreement) = World::with_agreement();
    world.join_colleague("trade-secret-center", "dana");
    world.escrow("trade-secret-center", &["agreement", "reseal", &agreement, "--yes"]).record();
    let before = world.escrow("dana", &["status"]).record();
    assert_eq!(before["state"], "active");
    let stolen_at = world.now();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    assert_eq!(world.approve("dana", &request), "open");
    // A command of hers is running while she is revoked.
    let mut watching = world.escrow_beside("dana", &["watch"]);
    assert_eq!(watching.next().unwrap()["state"], "open");

    let revoke = ["revoke", "trade-secret-center/dana", "--compromised-since", &stolen_at, "--yes"];
    let not_hers = world.escrow("hanbit-parts", &revoke);
    assert_eq!(not_hers.refusal(), "NOT_FOUND", "another organisation's member");
    let revoked = world.escrow("trade-secret-center", &revoke).record();
    assert_eq!(revoked["state"], "revoked");
    assert_eq!(watching.next(), None);
    assert_eq!(watching.ended(), 1, "her connection is of no more use");
    for words in [&["status"][..], &["whoami"], &["requests"], &["show", &request], &["watch"]] {
        assert_eq!(world.escrow("dana", words).refusal(), "REVOKED", "{words:?}");
    }
    let shown = world.escrow("orient-display", &["show", &request]).record();
    assert_eq!(shown["consents"], serde_json::json!([]), "what she consented to is void");
    let told = world.escrow("hanbit-parts", &["audit", &agreement]).records();
    assert!(told.iter().any(|event| event["kind"] == "told_of_revocation"));
    // The organisation goes on without her.
    assert_eq!(world.approve("hanbit-parts", &request), "open");
    assert_eq!(world.approve("trade-secret-center", &request), "released");
    let again = world.escrow("trade-secret-center", &revoke).record();
    assert_eq!(again["state"], "revoked", "run again, it changes nothing");
    let members = world.escrow("trade-secret-center", &["members"]).records();
    let states: Vec<_> = members.iter().map(|member| &member["state"]).collect();
    assert_eq!(states, ["revoked", "active"]);
}

#[test]
fn a_revocation_that_was_cut_short_is_told_of_and_can_be_finished() {
    let (world, first) = World::with_agreement();
    world.join_colleague("hanbit-parts", "jun");
    let second = world.propose(&TERMS.replace("Substrate", "Other"));
    let untold = |home: &str| world.escrow(home, &["status"]).record()["untold"].clone();
    assert_eq!(untold("hanbit-parts"), serde_json::json!([]));
    // Revoked, and nobody told yet.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let home = Home::open(&world.home("hanbit-parts")).unwrap();
        let mut session = Session::open(home).await.unwrap();
        let own = session.own_organisation().await.unwrap();
        let revocation = Revocation {
            made: session.made(),
            member: "hanbit-parts/jun".parse().unwrap(),
            join_sha256: own.member(&"jun".parse().unwrap()).unwrap().join_sha256,
            reason: Reason::Left,
        };
        let signed = session.sign(&revocation.into()).unwrap();
        session.submit(vec![signed], Vec::new()).await.unwrap();
    });
    let third = world.propose(&TERMS.replace("Substrate", "Later"));
    let told = untold("hanbit-parts");
    let mut both = [first, second];
    both.sort();
    assert_eq!(told[0]["agreements"], serde_json::json!(both), "and not {third}, which is younger");
    assert_eq!(told[0]["command"], "escrow revoke hanbit-parts/jun --left");
    let said = world.escrow_aloud("hanbit-parts", &["status"], b"");
    assert!(said.contains("hanbit-parts/jun was revoked, but the parties of"), "{said}");
    let revoke = ["revoke", "hanbit-parts/jun", "--left", "--yes"];
    let said = world.escrow_aloud("hanbit-parts", &revoke, b"");
    assert!(said.contains("parties of 2 agreements have been told"), "{said}");
    assert_eq!(untold("hanbit-parts"), serde_json::json!([]));
    let before = world.escrow("hanbit-parts", &["audit", &both[0]]).records().len();
    world.escrow("hanbit-parts", &revoke).record();
    let after = world.escrow("hanbit-parts", &["audit", &both[0]]).records().len();
    assert_eq!(before, after, "run once more, it changes nothing");
}

#[test]
fn whose_key_is_not_trusted_is_shown_and_not_relied_on() {
    let (world, _) = World::with_agreement();
    world.join_colleague("orient-display", "haerin");
    let said = world.escrow_aloud("haerin", &["members", "hanbit-parts"], b"");
    assert!(said.contains("hanbit-parts is not trusted in this home"), "{said}");
    let confirm = ["confirm", "hanbit-parts/minji", "--yes"];
    assert_eq!(world.escrow("haerin", &confirm).refusal(), "NOT_TRUSTED");
}

#[test]
fn whoever_accepts_is_warned_of_rules_that_too_few_people_can_meet() {
    let world = World::new();
    PEOPLE.iter().for_each(|(organisation, member)| world.join(organisation, member));
    world.trust_each_other();
    let agreement = world.propose(TERMS);
    let accept = ["agreement", "accept", &agreement, "--yes"];
    let said = world.escrow_aloud("orient-display", &accept, b"");
    let warning = "warning: rule bankruptcy takes 2 people of role beneficiary";
    assert!(said.contains(warning), "{said}");
    world.join_colleague("orient-display", "haerin");
    let said = world.escrow_aloud("trade-secret-center", &accept, b"");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn an_administrator_leaves_once_there_is_another() {
    let (world, _) = World::with_agreement();
    let leave = ["revoke", "hanbit-parts/minji", "--left", "--yes"];
    assert_eq!(world.escrow("hanbit-parts", &leave).refusal(), "LAST_ADMINISTRATOR");
    world.join_colleague("hanbit-parts", "dana");
    assert_eq!(world.escrow("hanbit-parts", &leave).refusal(), "LAST_ADMINISTRATOR");
    let line = world.invite("hanbit-parts", &["--member", "yuna"]);
    world.escrow_with("yuna", &["join", "--yes"], line.as_bytes()).record();
    let confirm = ["confirm", "hanbit-parts/yuna", "--administrator", "--yes"];
    world.escrow("hanbit-parts", &confirm).record();
    // The act is done, though who did it can tell nobody any more: that is said.
    let left = world.escrow("hanbit-parts", &leave);
    assert!(left.err.contains("let an administrator run the same again"), "{}", left.err);
    assert_eq!(left.record()["state"], "revoked");
    assert_eq!(world.escrow("yuna", &leave).record()["state"], "revoked");
}
