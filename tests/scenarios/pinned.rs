//! Requests under terms that pin an authority for time-stamps: stock OpenSSL behind a door of HTTP, or
//! one that lies.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use escrow_vault::domain::time::{Span, Timestamp};
use serde_json::Value;

use super::exports::verify_alone;
use super::receipts::{run_script, unpack};
use super::stamps::{Door, http, reply};
use super::timestamps::{Elsewhere, Office, openssl};
use super::{JOINT, PEOPLE, World, have, id};

/// Two hold shares, the agent consents: so the last consent spends nothing. Nobody may object.
const WAITING: &str = r#"[[rule]]
name = "waiting"
requester = "beneficiary"
needs = { all = ["1@depositor", "1@agent"] }
notice = "2s"
"#;

/// Terms that pin this authority, whose root lies beside them, or nobody.
fn terms(authority: Option<&str>) -> String {
    let pinned =
        authority.map(|url| format!("[time_stamps]\nauthority = \"{url}\"\nca = \"root.pem\"\n"));
    let holders = "holders = [\"depositor\", \"beneficiary\"]\n";
    format!("{holders}{JOINT}{WAITING}{}", pinned.unwrap_or_default())
}

fn peopled() -> World {
    let world = World::new();
    PEOPLE.iter().for_each(|(organisation, member)| world.join(organisation, member));
    world.trust_each_other();
    world
}

fn elsewhere() -> Elsewhere {
    Elsewhere::new(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "sha256", "sha256")
}

fn shown(world: &World, home: &str, request: &str) -> Value {
    world.escrow(home, &["show", request]).record()
}

#[test]
fn a_request_is_stamped_by_the_authority_of_its_terms_and_anybody_can_verify_it() {
    if !have("openssl") {
        return;
    }
    let world = peopled();
    let authority = Arc::new(elsewhere());
    let asked = Arc::new(AtomicUsize::new(0));
    let (stamper, counter) = (Arc::clone(&authority), Arc::clone(&asked));
    let door = Door::open(move |request| {
        counter.fetch_add(1, Ordering::SeqCst);
        reply(&stamper.answer(request))
    });
    let root = fs::read(authority.path("root.pem")).unwrap();
    world.file("root.pem", &root);
    let agreement = world.agree(&terms(Some(&door.url)));
    for (organisation, _) in PEOPLE {
        let pinned = &world.escrow(organisation, &["show", &agreement]).record()["time_stamps"];
        assert_eq!(pinned["authority"], Value::from(door.url.clone()));
        assert_eq!(pinned["ca_sha256"].as_str().unwrap().len(), 64);
    }
    let request = world.request(&world.deposit(&agreement, "etch for 90 s"), "joint");
    // By the requester's own client, at once, and by nobody again.
    let stamped_at = shown(&world, "orient-display", &request)["time_stamped_at"].clone();
    let at: Timestamp = stamped_at.as_str().unwrap().parse().unwrap();
    assert!(at <= Timestamp::from(SystemTime::now()));
    world.approve("trade-secret-center", &request);
    for (organisation, _) in PEOPLE {
        assert_eq!(shown(&world, organisation, &request)["time_stamped_at"], stamped_at);
    }
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let told = world.escrow("hanbit-parts", &["audit", &agreement]).records();
    let of = |kind: &str| {
        let mut of: Vec<_> = told.iter().filter(|event| event["kind"] == kind).collect();
        assert_eq!(of.len(), 1, "{kind}");
        of.remove(0).clone()
    };
    let entered = of("time_stamped_request");
    assert_eq!(
        (&entered["subject"], &entered["organisation"]),
        (&request.clone().into(), &"orient-display".into())
    );

    // Receipts and exports carry it, and are verified with it by whoever has nothing else.
    let receipt = world.receipt("hanbit-parts", &request);
    let proved = world.verify(&receipt, &[]).records();
    assert!(proved.iter().any(|event| event["kind"] == "escrow-vault/time-stamp/v1"));
    let receipt = unpack(&receipt, &world.path("unpacked"));
    let (verified, said) = run_script(&receipt, &[]);
    assert!(verified, "{said}");
    let export = world.export("trade-secret-center", &agreement, "export.tgz");
    assert_eq!(verify_alone(&export, &[]).code, 0);

    let token = super::files_below(&receipt).into_iter().find_map(|path| {
        let event: Value = serde_json::from_slice(&fs::read(path).unwrap()).ok()?;
        let text = event["act"]["stated"]["statement"].as_str()?.to_owned();
        let statement: Value = serde_json::from_str(&text).unwrap();
        statement["token"].as_str().map(str::to_owned)
    });
    let token = token.unwrap();
    let bytes = (0..token.len()).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16));
    world.file("token.tsr", bytes.collect::<Result<Vec<_>, _>>().unwrap());
    let sha256 = of("requested")["statement_sha256"].as_str().unwrap().to_owned();
    let dir = world.path("");
    let verify = ["ts", "-verify", "-digest", &sha256, "-in", "token.tsr", "-CAfile", "root.pem"];
    let (believed, said) = openssl(&dir, &verify);
    assert!(believed, "{said}");
}

#[test]
fn an_authority_that_fails_or_lies_leaves_the_request_as_it_is_and_is_asked_again() {
    if !have("openssl") {
        return;
    }
    let world = peopled();
    let (authority, other) = (Arc::new(elsewhere()), Arc::new(elsewhere()));
    // The first answer would be a good one.
    let first: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let (stamper, keeps) = (Arc::clone(&authority), Arc::clone(&first));
    let door = Door::open(move |request| {
        *keeps.lock().unwrap() = Some(stamper.answer(request));
        http("503 Service Unavailable", "text/plain", b"later\n")
    });
    world.file("root.pem", fs::read(authority.path("root.pem")).unwrap());
    let agreement = world.agree(&terms(Some(&door.url)));
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let arguments = ["request", &deposit, "--rule", "joint", "--purpose", "an audit", "--yes"];
    let asked = world.escrow("orient-display", &arguments);
    assert!(asked.err.contains("503 Service Unavailable"), "{}", asked.err);
    assert!(asked.err.contains("asks again"), "{}", asked.err);
    let asked = asked.record();
    assert_eq!((&asked["state"], &asked["time_stamped_at"]), (&"open".into(), &Value::Null));
    let request = id(&asked);
    let refused = |home: &str, says: &str| {
        let looked = world.escrow(home, &["show", &request]);
        assert!(
            looked.err.contains(says) && looked.err.contains("asks again"),
            "{says}: {}",
            looked.err
        );
        assert_eq!(looked.record()["time_stamped_at"], Value::Null, "{says}");
    };
    let again = first.lock().unwrap().clone().unwrap();
    door.answers(move |_| reply(&again));
    refused("orient-display", "has replied to another request");
    door.answers(move |request| reply(&other.answer(request)));
    refused("hanbit-parts", "not certified by a CA that is pinned");
    door.answers(|_| reply(b"no reply at all"));
    refused("orient-display", "neither a token nor a response");
    door.answers(|_| reply(&vec![0x30; 1 << 20]));
    refused("trade-secret-center", "an answer of more than");
    door.answers(|_| http("200 OK", "text/html", b"<html>"));
    refused("orient-display", "in place of application/timestamp-reply");
    door.answers(|_| b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
    refused("orient-display", "does not speak HTTP");
    // Nobody is kept from approving, and whoever does so has it stamped once that can be had.
    let approve = ["approve", &request, "--yes"];
    let approved = world.escrow("trade-secret-center", &approve);
    assert!(approved.err.contains("does not speak HTTP"), "{}", approved.err);
    assert_eq!(approved.record()["request"]["state"], "open");
    door.answers(move |request| reply(&authority.answer(request)));
    let approved = world.escrow("hanbit-parts", &approve).record()["request"].clone();
    assert_eq!(approved["state"], "released");
    assert!(approved["time_stamped_at"].is_string(), "{approved}");
    let told =
        world.escrow("orient-display", &["audit", &agreement, "--kind", "time_stamped_request"]);
    assert_eq!(told.records()[0]["organisation"], "hanbit-parts");

    // One whose clock is wrong.
    let now = Timestamp::from(SystemTime::now());
    let hour = i64::try_from(Span::seconds(3_600).as_duration().as_millis()).unwrap();
    let office = Office::at(Timestamp::from_millis(now.as_millis() - hour));
    world.file("root.pem", office.ca_pem());
    let door = Door::open(move |request| reply(&office.answers(request)));
    let agreement = world.agree(&terms(Some(&door.url)));
    let deposit = world.deposit(&agreement, "etch for 91 s");
    let arguments = ["request", &deposit, "--rule", "joint", "--purpose", "an audit", "--yes"];
    let asked = world.escrow("orient-display", &arguments);
    assert!(asked.err.contains("when this computer's clock said"), "{}", asked.err);
    assert_eq!(asked.record()["time_stamped_at"], Value::Null);
}

#[test]
fn promise_13_a_time_stamp_runs_notice_for_a_home_that_sees_the_request_late() {
    if !have("openssl") {
        return;
    }
    let world = peopled();
    world.join_colleague("hanbit-parts", "jun");
    let authority = elsewhere();
    world.file("root.pem", fs::read(authority.path("root.pem")).unwrap());
    let door = Door::open(move |request| reply(&authority.answer(request)));
    for (pinned, code) in [(Some(&*door.url), 0), (None, 3)] {
        let agreement = world.agree(&terms(pinned));
        let deposit = world.deposit(&agreement, "etch for 90 s");
        let request = world.request(&deposit, "waiting");
        world.approve("hanbit-parts", &request);
        world.approve("trade-secret-center", &request);
        let watch = ["watch", &request, "--until", "satisfied"];
        world.escrow("orient-display", &watch).records();
        // Jun's home has never seen it.
        let approved = world.escrow("jun", &["approve", &request, "--yes"]);
        assert_eq!(approved.code, code, "{pinned:?}: {}", approved.err);
        let state = approved.out[0]["request"]["state"].clone();
        match pinned {
            Some(_) => assert_eq!(state, "released"),
            None => {
                assert!(approved.err.contains("has not been known here for long enough"));
                let next = world.escrow("jun", &["show", &request]).record()["next"].clone();
                assert_eq!(next[0]["what"], "notice_ends_for");
                assert_eq!(next[0]["member"], "hanbit-parts/jun");
            }
        }
    }
}
