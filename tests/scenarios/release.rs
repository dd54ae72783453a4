//! The ways of a request, from asking to opening.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{World, have, id};

#[test]
fn promise_2_the_joint_rule_releases_by_two_organisations() {
    let (mut world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let request = world.request(&deposit, "joint");
    let out = world.path("out").display().to_string();
    let retrieve = ["retrieve", &request, "--out", &out, "--yes"];

    let alone = world.escrow("orient-display", &["approve", &request, "--yes"]);
    assert_eq!((alone.code, alone.refusal().as_str()), (1, "OWN_REQUEST"));
    let early = world.escrow("orient-display", &retrieve);
    assert_eq!((early.code, early.refusal().as_str()), (3, "NOT_YET"));
    assert_eq!(world.approve("trade-secret-center", &request), "open");
    let again = world.escrow("trade-secret-center", &["approve", &request, "--yes"]);
    assert_eq!(again.code, 3, "nothing is due from whoever has consented: {}", again.err);
    let waiting = |home: &str| {
        let listed = world.escrow(home, &["requests", "--waiting-for-me"]).records();
        listed.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(waiting("hanbit-parts"), [request.as_str()]);
    assert_eq!(waiting("trade-secret-center"), [""; 0]);
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    assert_eq!(waiting("orient-display"), [request.as_str()]);

    for other in ["hanbit-parts", "trade-secret-center"] {
        assert_eq!(world.escrow(other, &retrieve).refusal(), "NOT_ENTITLED");
    }
    let got = world.escrow("orient-display", &retrieve).record();
    assert_eq!((&got["plaintext_checked"], &got["entries"]), (&Value::from(true), &Value::from(1)));
    assert_eq!(fs::read_to_string(world.path("out/recipe.txt")).unwrap(), "etch for 90 s");
    assert_eq!(world.state("hanbit-parts", &request), "retrieved");
    let again = world.escrow("orient-display", &retrieve);
    assert_eq!(again.refusal(), "EXISTS", "nothing is overwritten");

    world.stop();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.err);
}

#[test]
fn the_fields_that_scripts_rely_on_are_there() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let evidence = world.file("order.pdf", "court order");
    let arguments = [
        "request",
        &deposit,
        "--rule",
        "contested",
        "--purpose",
        "audit",
        "--evidence",
        &evidence,
        "--yes",
    ];
    let request = id(&world.escrow("orient-display", &arguments).record());
    world.approve("trade-secret-center", &request);
    let reason = ["object", &request, "--reason", "not due yet", "--yes"];
    world.escrow("hanbit-parts", &reason).record();
    let has = |record: &Value, fields: &[&str]| {
        for field in fields {
            assert!(record.get(field).is_some(), "{field} is missing in {record}");
        }
    };
    let show = |id: &str| world.escrow("hanbit-parts", &["show", id]).record();
    let shown = show(&agreement);
    has(&shown, &["id", "title", "version", "sha256", "state", "recipient", "quorum", "rules"]);
    has(&shown["parties"][0], &["role", "organisation", "holder", "state"]);
    has(
        &show(&deposit),
        &[
            "id",
            "agreement",
            "label",
            "kind",
            "content",
            "sealed_by",
            "member",
            "size",
            "sha256",
            "header_sha256",
            "state",
            "deposited_at",
        ],
    );
    let shown = show(&request);
    has(
        &shown,
        &[
            "id",
            "agreement",
            "agreement_version",
            "deposit",
            "rule",
            "requester",
            "purpose",
            "state",
            "opened_at",
            "notice_ends_at",
            "expires_at",
            "contributions",
            "missing",
        ],
    );
    assert_eq!(shown["state"], "objected");
    has(&shown["consents"][0], &["member", "organisation", "at"]);
    has(&shown["evidence"][0], &["name", "sha256", "size"]);
    has(&shown["objections"][0], &["member", "organisation", "reason", "at"]);
    let own = world.escrow("hanbit-parts", &["whoami"]).record();
    has(
        &own,
        &[
            "id",
            "organisation",
            "organisation_fingerprint",
            "name",
            "state",
            "fingerprint",
            "age_recipient",
            "certificate_expires_at",
        ],
    );
    let audit = world.escrow("hanbit-parts", &["audit", &agreement]).records();
    for event in &audit {
        has(
            event,
            &[
                "sequence",
                "at",
                "kind",
                "member",
                "organisation",
                "subject",
                "outcome",
                "statement_sha256",
            ],
        );
    }
    let kinds: Vec<_> = audit.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    for kind in ["proposed", "accepted", "deposited", "requested", "consented", "objected"] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
}

#[test]
fn promise_6_an_objection_blocks_until_it_is_withdrawn() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "contested");
    assert_eq!(world.approve("trade-secret-center", &request), "open");
    let object = ["object", &request, "--reason", "not due", "--yes"];
    assert_eq!(world.escrow("trade-secret-center", &object).refusal(), "NOT_ENTITLED");
    world.escrow("hanbit-parts", &object).record();
    assert_eq!(world.escrow("hanbit-parts", &object).refusal(), "ALREADY");
    // Consents are counted, but release nothing while it stands.
    assert_eq!(world.approve("hanbit-parts", &request), "objected");
    let withdraw = ["withdraw", &request, "--objection", "--yes"];
    assert_eq!(world.escrow("trade-secret-center", &withdraw).refusal(), "NOT_FOUND");
    let shown = world.escrow("hanbit-parts", &withdraw).record();
    assert_eq!(shown["state"], "satisfied");
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    assert_eq!(world.escrow("hanbit-parts", &object).refusal(), "REQUEST_STATE");
}

#[test]
fn promise_6_nothing_is_spent_before_who_may_object_knows() {
    let (world, agreement) = World::with_agreement();
    world.join_colleague("orient-display", "haerin");
    let deposit = world.deposit(&agreement, "recipe");
    let agent = "trade-secret-center";
    let letter = world.file("letter.pdf", "registered letter, delivered");
    for by_letter in [false, true] {
        let request = world.request(&deposit, "attested");
        world.approve("haerin", &request);
        let approved = world.escrow(agent, &["approve", &request, "--yes"]).record();
        assert_eq!(approved["request"]["state"], "notice", "{approved}");
        let missing = &approved["request"]["missing"][0];
        assert_eq!(missing["what"], "notification");
        assert_eq!(missing["organisations"][0], "hanbit-parts");
        let early = world.escrow(agent, &["approve", &request, "--yes"]);
        assert_eq!(early.code, 3, "{}", early.err);
        if by_letter {
            let notified = ["approve", &request, "--notified", &letter, "--yes"];
            let own = world.escrow("haerin", &notified);
            assert_eq!(own.refusal(), "NOT_ENTITLED", "the requester's organisation");
            let approved = world.escrow(agent, &notified).record();
            assert_eq!(approved["request"]["notifications"][0]["evidence"]["name"], "letter.pdf");
            assert_eq!(approved["request"]["state"], "released");
        } else {
            // To look at it is to have seen it: that is signed.
            let seen = world.escrow("hanbit-parts", &["requests"]).records();
            assert_eq!(seen[0]["seen"][0]["member"], "hanbit-parts/minji");
            assert_eq!(world.approve(agent, &request), "released");
        }
    }
}

#[test]
fn a_sight_is_signed_of_what_is_shown_and_of_nothing_else() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "attested");
    let sights = |arguments: &[&str]| {
        world.escrow("hanbit-parts", arguments).records();
        let shown = world.escrow("orient-display", &["show", &request]).record();
        shown["seen"].as_array().unwrap().len()
    };
    assert_eq!(sights(&["status"]), 0);
    assert_eq!(sights(&["deposits", &agreement]), 0);
    assert_eq!(sights(&["requests", "--waiting-for-me"]), 1, "minji may object");
    assert_eq!(sights(&["requests"]), 1, "a sight is signed once");
}

#[test]
fn what_was_retrieved_is_durable_before_its_secret_is_erased() {
    if !can_trace() {
        return;
    }
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "etch for 90 s");
    for raw in [false, true] {
        let request = world.request(&deposit, "joint");
        world.approve("trade-secret-center", &request);
        world.approve("hanbit-parts", &request);
        let (trace, out) = (world.path("trace"), world.path("new").join(format!("out-{raw}")));
        fs::create_dir_all(world.path("new")).unwrap();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-e", "trace=fsync,syncfs,rename,renameat2,linkat,unlink", "-o"]);
        strace.arg(&trace).arg(env!("CARGO_BIN_EXE_escrow"));
        strace.arg("--home").arg(world.home("orient-display"));
        strace.args(["retrieve", &request, "--yes", "--out"]).arg(&out);
        strace.args(raw.then_some("--raw"));
        let ended = strace.output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let trace = fs::read_to_string(trace).unwrap();
        let out_text = format!("out-{raw}\"");
        // Each has to come after the one before it.
        let contents: &[_] = match raw {
            true => &[("the contents", "fsync(", "/.partial-out-true>")],
            false => &[
                ("the contents", "fsync(", "/content/recipe.txt>"),
                ("the directory they are in", "fsync(", "/content>"),
            ],
        };
        let names = [
            ("the name", "", out_text.as_str()),
            ("the directory it is in", "fsync(", "/new>"),
            ("the secret", "unlink(", "/requests/"),
            ("the secret's directory", "fsync(", "/requests>"),
        ];
        let mut calls = trace.lines();
        for (what, call, of) in contents.iter().chain(&names) {
            let found = calls.any(|line| line.contains(call) && line.contains(of));
            assert!(found, "{what}:\n{trace}");
        }
    }
}

/// Whether system calls can be watched here.
fn can_trace() -> bool {
    if !have("strace") {
        return false;
    }
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        eprintln!("PASSED OVER: `strace` may not trace here");
        let strict = std::env::var_os("ESCROW_TEST_STRICT").is_some();
        assert!(!strict, "`strace` may not trace here, and ESCROW_TEST_STRICT is set");
    }
    can
}

#[test]
fn notice_is_waited_for_and_withdrawn_requests_are_over() {
    let (world, agreement) = World::with_agreement();
    world.join_colleague("orient-display", "haerin");
    world.escrow("orient-display", &["agreement", "reseal", &agreement, "--yes"]).record();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "bankruptcy");
    assert_eq!(world.approve("trade-secret-center", &request), "open");
    assert_eq!(world.approve("haerin", &request), "notice");
    let spend = world.escrow("trade-secret-center", &["approve", &request, "--yes"]);
    assert_eq!(spend.code, 3, "notice runs: {}", spend.err);
    let withdraw = ["withdraw", &request, "--yes"];
    assert_eq!(world.escrow("hanbit-parts", &withdraw).refusal(), "NOT_ENTITLED");
    world.escrow("haerin", &withdraw).record();
    assert_eq!(world.state("orient-display", &request), "withdrawn");
    let late = world.escrow("trade-secret-center", &["approve", &request, "--yes"]);
    assert_eq!(late.refusal(), "REQUEST_STATE");
}

#[test]
fn agreements_are_declined_and_ended_by_their_parties() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    let declined = world.propose(&super::TERMS.replace("Substrate", "Other"));
    let decline = ["agreement", "decline", &declined, "--yes"];
    let shown = world.escrow("orient-display", &decline).record();
    assert_eq!(shown["state"], "declined");
    let states: Vec<_> = shown["parties"].as_array().unwrap().iter().map(|p| &p["state"]).collect();
    assert_eq!(states, ["awaited", "declined", "accepted"]);
    let accept = ["agreement", "accept", &declined, "--yes"];
    assert_eq!(world.escrow("trade-secret-center", &accept).refusal(), "AGREEMENT_STATE");
    let end = ["agreement", "terminate", &agreement, "--yes"];
    for home in ["orient-display", "trade-secret-center"] {
        assert_eq!(world.escrow(home, &end).record()["state"], "active");
    }
    assert_eq!(world.escrow("hanbit-parts", &end).record()["state"], "terminated");
    let file = world.file("late.txt", "too late");
    let late = world.escrow("hanbit-parts", &["deposit", &agreement, &file, "--yes"]);
    assert_eq!(late.refusal(), "AGREEMENT_STATE");
    let arguments = ["request", &deposit, "--rule", "joint", "--purpose", "late", "--yes"];
    assert_eq!(world.escrow("orient-display", &arguments).refusal(), "AGREEMENT_STATE");
    // An open request and the bundle stay.
    world.approve("trade-secret-center", &request);
    assert_eq!(world.approve("hanbit-parts", &request), "released");
}

#[test]
fn whole_directories_survive_and_large_bundles_are_files() {
    let (mut world, agreement) = World::with_agreement();
    let big: Vec<u8> = (0..3_000_000u32).map(|i| (i ^ i >> 8) as u8).collect();
    world.file("project/src/deep/main.c", "int main(void) { return 0; }");
    world.file("project/mask.bin", &big);
    world.file("project/notes.tmp", "not this one");
    fs::create_dir(world.path("project/empty")).unwrap();
    let project = world.path("project").display().to_string();
    let arguments = ["deposit", &agreement, &project, "--exclude", "*.tmp", "--yes"];
    let made = world.escrow("hanbit-parts", &arguments).record();
    assert_eq!((&made["content"], &made["label"]), (&Value::from("tar"), &Value::from("project")));
    assert!(world.data().join("bundles").join(format!("{}.age", id(&made))).is_file());
    let request = world.request(&id(&made), "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    // Whatever happens to the server meanwhile.
    world.kill();
    world.serve();
    let out = world.path("out");
    let retrieve = ["retrieve", &request, "--out", out.to_str().unwrap(), "--yes"];
    world.escrow("orient-display", &retrieve).record();
    assert_eq!(fs::read(out.join("project/mask.bin")).unwrap(), big);
    assert!(out.join("project/empty").is_dir());
    assert!(!out.join("project/notes.tmp").exists());
}

#[test]
fn promise_9_a_vault_set_back_to_an_earlier_day_is_refused_by_those_who_saw_more() {
    let (mut world, agreement) = World::with_agreement();
    world.stop();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([world.data(), world.path("earlier")])
        .status()
        .unwrap();
    assert!(copied.success());
    world.serve();
    world.deposit(&agreement, "seen by its depositor");
    world.stop();
    fs::remove_dir_all(world.data()).unwrap();
    fs::rename(world.path("earlier"), world.data()).unwrap();
    world.serve();
    // Grown again past what was seen, it is another history.
    for home in ["orient-display", "trade-secret-center"] {
        let end = ["agreement", "terminate", &agreement, "--yes"];
        world.escrow(home, &end).record();
    }
    let shown = world.escrow("hanbit-parts", &["deposits", &agreement]);
    assert_eq!(shown.refusal(), "SET_BACK");
    assert_ne!(world.ended_by_itself(), 0, "it answers nobody any more");
}

#[test]
fn promise_7_bundles_that_rot_are_never_served() {
    let (mut world, agreement) = World::with_agreement();
    let content: Vec<u8> = (0..400_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
    let deposit = world.deposit(&agreement, &content);
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let path = world.data().join("bundles").join(format!("{deposit}.age"));
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[300_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let out = world.path("out").display().to_string();
    let got = world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]);
    assert_eq!(got.refusal(), "DAMAGED");
    assert!(!world.path("out").exists(), "nothing half is left");
    let shown = world.escrow("hanbit-parts", &["show", &deposit]).record();
    assert_eq!(shown["state"], "quarantined");
    world.stop();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 1);
    assert!(checked.err.contains(&deposit), "{}", checked.err);
    // Still damaged at the next start, it stays out of service; restored, it comes back by itself.
    world.serve();
    assert_eq!(world.escrow("hanbit-parts", &["show", &deposit]).record()["state"], "quarantined");
    world.stop();
    fs::write(&path, &whole).unwrap();
    world.serve();
    // Waits on the state: a start looks through what is out of service beside serving.
    while world.escrow("hanbit-parts", &["show", &deposit]).record()["state"] != "stored" {}
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
}

#[test]
fn whoever_may_object_is_told_so() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "bankruptcy");
    let contested = world.request(&deposit, "contested");
    let wanted = |home: &str, request: &str| {
        let listed = world.escrow(home, &["requests", "--waiting-for-me"]).records();
        let found = listed.iter().find(|listed| id(listed) == request);
        found.map(|found| found["wanted"].as_str().unwrap().to_owned())
    };
    assert_eq!(wanted("hanbit-parts", &request).as_deref(), Some("may_object"));
    assert_eq!(wanted("hanbit-parts", &contested).as_deref(), Some("consent"));
    assert_eq!(wanted("trade-secret-center", &request).as_deref(), Some("consent"));
    assert_eq!(wanted("orient-display", &request), None);
    let status = world.escrow("hanbit-parts", &["status"]).record();
    let shown = world.escrow("hanbit-parts", &["show", &request]).record();
    assert_eq!(status["waiting_for_me"], 1);
    assert_eq!(
        status["may_object"],
        serde_json::json!([{ "request": request, "until": shown["notice_ends_at"] }])
    );
    world.escrow("hanbit-parts", &["object", &request, "--reason", "solvent", "--yes"]).record();
    assert_eq!(wanted("hanbit-parts", &request), None, "it has");
}

#[test]
fn an_audit_tells_only_what_is_asked_for() {
    let (world, agreement) = World::with_agreement();
    let (deposit, other) = (world.deposit(&agreement, "A"), world.deposit(&agreement, "B"));
    let (request, beside) = (world.request(&deposit, "joint"), world.request(&other, "joint"));
    world.approve("trade-secret-center", &request);
    let audit =
        |only: &[&str]| world.escrow("hanbit-parts", &[&["audit", &agreement], only].concat());
    let all = audit(&[]).records();
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let since = text(all.iter().find(|it| it["subject"] == request.as_str()).unwrap(), "at");
    let fits = |only: &[&str], event: &Value| match only {
        ["--by", who] => text(event, "organisation") == *who || text(event, "member") == *who,
        ["--about", id] => {
            let subject = text(event, "subject");
            subject == *id || (*id == deposit && subject == request)
        }
        ["--kind", kind] => text(event, "kind") == *kind,
        ["--since", at] => *text(event, "at") >= **at,
        ["--until", at] => *text(event, "at") < **at,
        _ => unreachable!(),
    };
    for only in [
        ["--by", "trade-secret-center"],
        ["--by", "orient-display/junho"],
        ["--about", &deposit],
        ["--about", &request],
        ["--about", &beside],
        ["--kind", "requested"],
        ["--since", &since],
        ["--until", &since],
    ] {
        // A look of this very audit may have been entered meanwhile.
        let known = |event: &&Value| all.contains(event);
        let told = audit(&only).records();
        let told: Vec<_> = told.iter().filter(known).collect();
        let wanted: Vec<_> = all.iter().filter(|event| fits(&only, event)).collect();
        assert!(!wanted.is_empty() && wanted.len() < all.len(), "{only:?}");
        assert_eq!(told, wanted, "{only:?}");
    }
    let both = audit(&["--kind", "requested", "--about", &deposit]).records();
    assert_eq!(both.len(), 1);
    for (only, code) in [
        (["--kind", "requestd"], 2),
        (["--by", "Nobody At All"], 2),
        (["--about", &agreement], 1),
        (["--since", "yesterday"], 2),
    ] {
        assert_eq!(audit(&only).code, code, "{only:?}");
    }
}
