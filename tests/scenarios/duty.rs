//! What a requester promises, and what is acknowledged of a bundle that was handed out.

use serde_json::{Value, json};

use super::{World, id};

/// A request that somebody promises something with.
fn promised(world: &World, deposit: &str, duty: &[&str]) -> String {
    let request = ["request", deposit, "--rule", "joint", "--purpose", "an audit", "--yes"];
    id(&world.escrow("orient-display", &[&request, duty].concat()).record())
}

#[test]
fn a_duty_is_read_by_who_approves_and_fulfilled_by_who_took_it_on() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let asked = ["request", &deposit, "--rule", "joint", "--purpose", "p", "--yes"];
    for (given, code, refusal) in [
        (&["--destroy-by", "2020-01-01"][..], 1, "DUTY_PAST"),
        (&["--destroy-by", "soon"], 2, "USAGE"),
        (&["--destroy-by", "2099-03-01", "--return-by", "2099-03-01"], 2, "USAGE"),
    ] {
        let refused = world.escrow("orient-display", &[&asked, given].concat());
        assert_eq!((refused.code, refused.refusal().as_str()), (code, refusal), "{given:?}");
    }
    let request = promised(&world, &deposit, &["--destroy-by", "2099-03-01"]);
    let duty = |home: &str| world.escrow(home, &["show", &request]).record()["duty"].clone();
    let due_at = "2099-03-01T23:59:59.999Z";
    let open = json!({
        "kind": "destroy", "due_at": due_at, "state": "open", "fulfilled_at": null
    });
    assert_eq!(duty("hanbit-parts"), open, "as its approvers see it");
    let nobody = world.escrow("hanbit-parts", &["approve", &request]);
    assert_eq!(nobody.code, 2, "nobody is there to agree: {}", nobody.err);
    let acknowledge =
        |home: &str, what: &str| world.escrow(home, &["acknowledge", &request, what, "--yes"]);
    assert_eq!(acknowledge("orient-display", "--received").refusal(), "REQUEST_STATE");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    assert_eq!(acknowledge("orient-display", "--received").refusal(), "REQUEST_STATE");
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();

    let waiting = |home: &str| {
        let listed = world.escrow(home, &["requests", "--waiting-for-me"]).records();
        listed.iter().map(|it| (id(it), it["wanted"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(waiting("orient-display"), [(request.clone(), json!("acknowledge"))]);
    assert_eq!(waiting("hanbit-parts"), []);
    assert_eq!(
        world.escrow("hanbit-parts", &["requests", "--overdue"]).records(),
        [Value::Null; 0]
    );
    let missing = world.escrow("hanbit-parts", &["show", &request]).record()["missing"].clone();
    assert_eq!(missing[0]["what"], "acknowledgement");
    assert_eq!(
        (&missing[0]["acknowledged"], &missing[0]["due_at"]),
        (&json!("destroyed"), &json!(due_at))
    );

    acknowledge("orient-display", "--received").record();
    assert_eq!(acknowledge("orient-display", "--received").refusal(), "ALREADY");
    assert_eq!(acknowledge("trade-secret-center", "--returned").refusal(), "NOT_ENTITLED");
    assert_eq!(acknowledge("hanbit-parts", "--destroyed").refusal(), "NOT_ENTITLED");
    let returned = ["acknowledge", &request, "--returned", "--yes"];
    let said = world.escrow_aloud("orient-display", &returned, b"");
    assert!(said.contains("does not fulfil the duty"), "{said}");
    assert_eq!(duty("orient-display"), open, "it was to be destroyed");
    let back = acknowledge("hanbit-parts", "--returned").record();
    assert_eq!(back["acknowledgements"][2]["organisation"], "hanbit-parts");
    let shown = acknowledge("orient-display", "--destroyed").record();
    assert_eq!(shown["duty"]["state"], "fulfilled");
    assert_eq!(shown["duty"]["fulfilled_at"], shown["acknowledgements"][3]["at"]);
    let said: Vec<_> =
        shown["acknowledgements"].as_array().unwrap().iter().map(|a| &a["what"]).collect();
    assert_eq!(said, ["received", "returned", "returned", "destroyed"]);
    assert_eq!((shown["missing"].clone(), waiting("orient-display")), (json!([]), vec![]));

    let audit = world.escrow("trade-secret-center", &["audit", &agreement, "--about", &request]);
    let kinds: Vec<_> = audit.out.iter().map(|event| event["kind"].to_string()).collect();
    for (kind, times) in
        [("acknowledged_receipt", 1), ("acknowledged_return", 2), ("acknowledged_destruction", 1)]
    {
        let told = kinds.iter().filter(|told| told.contains(kind)).count();
        assert_eq!(told, times, "{kind}: {kinds:?}");
    }
    let requested = audit.out.iter().find(|event| event["kind"] == "requested").unwrap();
    assert_eq!(requested["duty"], shown["duty"]);
    assert!(!audit.err.contains("overdue"), "{}", audit.err);

    let receipt = world.path("request.tgz").display().to_string();
    let made = world.escrow("hanbit-parts", &["receipt", &request, "--out", &receipt]);
    assert_eq!(made.code, 0, "{}", made.err);
    let verified = world.escrow("hanbit-parts", &["verify", &receipt]);
    let told = format!("{:?}", verified.records());
    assert_eq!(told.matches("escrow-vault/acknowledgement/v1").count(), 4, "{told}");
}

#[test]
fn without_a_duty_nothing_is_owed_and_what_is_said_stands_there() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = promised(&world, &deposit, &[]);
    let show = || world.escrow("hanbit-parts", &["show", &request]).record();
    assert_eq!(
        (show()["duty"].clone(), show()["acknowledgements"].clone()),
        (Value::Null, json!([]))
    );
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    assert_eq!(show()["missing"], json!([]));
    let said = ["acknowledge", &request, "--destroyed", "--yes"];
    let said = world.escrow("orient-display", &said);
    assert_eq!(said.out[0]["acknowledgements"][0]["what"], "destroyed");
    assert!(!said.err.contains("duty"), "{}", said.err);
    for given in [&[][..], &["--received", "--destroyed"]] {
        let vague =
            world.escrow("orient-display", &[&["acknowledge", &request][..], given].concat());
        assert_eq!(vague.code, 2, "{given:?}: {}", vague.err);
    }
}
