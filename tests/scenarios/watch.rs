//! Commands that stay: they wait for states, not for times, and outlast their vault.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::{World, id};

/// Consents by haerin and sora under the rule with notice; the depositor has seen the request.
fn consented(world: &World, agreement: &str) -> String {
    world.join_colleague("orient-display", "haerin");
    let request = world.request(&world.deposit(agreement, "recipe"), "slow");
    world.approve("haerin", &request);
    assert_eq!(world.approve("trade-secret-center", &request), "notice");
    world.state("hanbit-parts", &request);
    request
}

#[test]
fn what_was_consented_to_is_contributed_when_notice_has_run() {
    let (mut world, agreement) = World::with_agreement();
    let mut attending = world.escrow_beside("trade-secret-center", &["attend", "--yes"]);
    let request = consented(&world, &agreement);
    // Neither side needs the other to be there all the time.
    world.kill();
    world.serve();
    let watch = ["watch", &request, "--until", "released"];
    let seen = world.escrow("orient-display", &watch).records();
    let states: Vec<_> = seen.iter().map(|seen| seen["state"].as_str().unwrap()).collect();
    assert_eq!(states.last(), Some(&"released"), "{states:?}");
    let did = attending.next().unwrap();
    assert_eq!((&did["did"], &did["request"]), (&"contributed".into(), &request.clone().into()));
    let late = world.escrow("orient-display", &["watch", &request, "--until", "withdrawn"]);
    assert_eq!(late.refusal(), "REQUEST_STATE", "it will not be withdrawn any more");
    world.stop();
}

#[test]
fn whoever_attends_is_told_of_every_sight_that_is_signed() {
    let (world, agreement) = World::with_agreement();
    let mut attending = world.escrow_beside("hanbit-parts", &["attend", "--yes"]);
    let deposit = world.deposit(&agreement, "recipe");
    // The first may not be objected to, so that a sight of it says nothing.
    world.request(&deposit, "joint");
    let request = world.request(&deposit, "attested");
    let did = attending.next().unwrap();
    assert_eq!((&did["did"], &did["request"]), (&"seen".into(), &request.clone().into()));
    let shown = world.escrow("orient-display", &["show", &request]).record();
    assert_eq!(shown["seen"][0]["member"], "hanbit-parts/minji");
    // A person reads it in words.
    let mut person = Command::new(env!("CARGO_BIN_EXE_escrow"));
    person.arg("--home").arg(world.home("hanbit-parts")).args(["attend", "--yes"]);
    drop(attending);
    let next = world.request(&deposit, "contested");
    let spawned = person.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut person = spawned.unwrap();
    let lines = BufReader::new(person.stderr.take().unwrap()).lines();
    let told = format!("you have seen {next}: orient-display/junho asks for recipe.txt");
    let found = lines.map_while(Result::ok).any(|line| line.contains(&told));
    person.kill().unwrap();
    person.wait().unwrap();
    assert!(found);
}

#[test]
fn an_approval_waits_until_it_counts() {
    let (world, agreement) = World::with_agreement();
    let request = consented(&world, &agreement);
    let waited = world.escrow("trade-secret-center", &["approve", &request, "--wait", "--yes"]);
    let waited = waited.record();
    assert_eq!(
        (&waited["did"][0], &waited["request"]["state"]),
        (&"contributed".into(), &"released".into())
    );
}

#[test]
fn whoever_watches_is_told_of_every_change() {
    let (mut world, agreement) = World::with_agreement();
    let mut watching = world.escrow_beside("trade-secret-center", &["watch"]);
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    let first = watching.next().unwrap();
    assert_eq!((id(&first), first["state"].as_str()), (request.clone(), Some("open")));
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    // Between two looks a state may come and go.
    let mut second = watching.next().unwrap();
    while second["state"] == "satisfied" {
        second = watching.next().unwrap();
    }
    assert_eq!((id(&second), second["state"].as_str()), (request.clone(), Some("released")));
    let mut one = world.escrow_beside("hanbit-parts", &["watch", &request]);
    assert_eq!(one.next().unwrap()["state"], "released");
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    assert_eq!(watching.next().unwrap()["state"], "retrieved");
    assert_eq!(one.next().unwrap()["state"], "retrieved");
    assert_eq!(one.next(), None, "nothing more can come");
    assert_eq!(one.ended(), 0);
    // A vault that stops does not wait for watchers.
    world.stop();
}
