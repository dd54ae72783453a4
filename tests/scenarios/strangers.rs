//! Who isn't a party sees nothing, not even that a thing exists.

use escrow_vault::wire::v1::ReadRequest;
use escrow_vault::wire::v1::stream_service_client::StreamServiceClient;

use super::wire::{channel, runtime};
use super::{World, id};

#[test]
fn promise_10_strangers_are_answered_as_if_nothing_were_there() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    let registration = id(&world.register("hanbit-parts", "notebook.pdf", "recipe"));
    world.join("curious-trading", "jack");
    let other = |id: &str| format!("{}{}", &id[..4], "a".repeat(26));
    let file = world.file("x.txt", "x");
    let commands = |agreement: &str, deposit: &str, request: &str, registration: &str| {
        [
            vec!["show", agreement],
            vec!["show", deposit],
            vec!["show", request],
            vec!["show", registration],
            vec!["deposits", agreement],
            vec!["audit", agreement],
            vec!["agreement", "accept", agreement],
            vec!["agreement", "decline", agreement],
            vec!["agreement", "terminate", agreement],
            vec!["agreement", "reseal", agreement],
            vec!["deposit", agreement, &file],
            vec!["request", deposit, "--rule", "joint", "--purpose", "p"],
            vec!["approve", request],
            vec!["object", request, "--reason", "r"],
            vec!["withdraw", request],
            vec!["retrieve", request, "--out", "nowhere"],
        ]
        .map(|words| {
            [words, vec!["--yes"]].concat().iter().map(ToString::to_string).collect::<Vec<_>>()
        })
    };
    let real = commands(&agreement, &deposit, &request, &registration);
    let (a, d, r, g) = (other(&agreement), other(&deposit), other(&request), other(&registration));
    let none = commands(&a, &d, &r, &g);
    for (real, none) in real.iter().zip(&none) {
        let run = |words: &[String]| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let ended = world.escrow("curious-trading", &words);
            assert_eq!(ended.refusal(), "NOT_FOUND", "{words:?}");
            let mut told = ended.error().to_string();
            for id in [&agreement, &deposit, &request, &registration, &a, &d, &r, &g] {
                told = told.replace(id, "ID");
            }
            (ended.code, told)
        };
        assert_eq!(run(real), run(none), "{real:?}");
    }
    let listed = |words: &[&str]| world.escrow("curious-trading", words).records().len();
    assert_eq!(listed(&["agreement", "list"]), 0);
    assert_eq!(listed(&["requests"]), 0);
    assert_eq!(listed(&["registrations"]), 0);
    let members = world.escrow("curious-trading", &["members", "hanbit-parts"]);
    let nobody = world.escrow("curious-trading", &["members", "nobody-at-all"]);
    let told = |text: &str| text.replace("hanbit-parts", "X").replace("nobody-at-all", "X");
    assert_eq!(told(&members.err), told(&nobody.err));
}

#[test]
fn promise_10_the_parties_see_who_knocked_and_who_knocked_learns_nothing() {
    let (world, agreement) = World::with_agreement();
    world.join("curious-trading", "jack");
    let nothing = format!("agr_{}", "a".repeat(26));
    let told = runtime().block_on(async {
        let mut told = Vec::new();
        for id in [&agreement, &nothing] {
            let mut streams =
                StreamServiceClient::new(channel(&world, Some("curious-trading")).await);
            let read = ReadRequest { stream: id.clone(), ..Default::default() };
            let refused = streams.read(read).await.unwrap_err();
            told.push((refused.code(), refused.message().replace(id, "ID")));
        }
        told
    });
    assert_eq!(told[0], told[1]);
    // What a party is answered was committed behind it.
    world.deposit(&agreement, "recipe");
    let knocks = ["audit", &agreement, "--kind", "was_refused"];
    let knocks = world.escrow("hanbit-parts", &knocks).records();
    let shown: Vec<_> =
        knocks.iter().map(|it| [&it["member"], &it["attempt"], &it["code"]]).collect();
    assert_eq!(shown, [["curious-trading/jack", "look_at_agreement", "NOT_FOUND"]]);
    assert_eq!(knocks[0]["subject"], agreement.as_str());
}
