//! The operator is told who came in by the door it opened, and no more.

use escrow_vault::crypto::statement;
use escrow_vault::domain::event::{Act, Look, Note};
use escrow_vault::domain::id::MemberPath;
use escrow_vault::wire::v1::stream_service_client::StreamServiceClient;
use escrow_vault::wire::v1::{ListAgreementsRequest, ReadRequest, WatchRequest};
use tonic::Code;

use super::World;
use super::wire::{channel, runtime};

#[test]
fn the_operator_is_told_who_came_in_by_the_door_it_opened() {
    let world = World::new();
    let members = || {
        let told = world.escrow("operator", &["members", "hanbit-parts"]).records();
        let told = told.iter().map(|member| {
            let text = |field: &str| member[field].as_str().unwrap().to_owned();
            (text("name"), text("state"), !member["joined_at"].is_null())
        });
        told.collect::<Vec<_>>()
    };
    let expected = |name: &str, state: &str, joined| (name.to_owned(), state.to_owned(), joined);
    let nobody = world.escrow("operator", &["members", "hanbit-parts"]);
    assert_eq!(nobody.refusal(), "NOT_FOUND", "nobody was invited");
    let line = world.invite("operator", &["--org", "hanbit-parts", "--member", "minji"]);
    assert_eq!(members(), [expected("minji", "invited", false)]);
    world.escrow_with("hanbit-parts", &["join", "--yes"], line.as_bytes()).record();
    assert_eq!(members(), [expected("minji", "active", true)]);
    let line = world.invite("hanbit-parts", &["--member", "jun"]);
    world.escrow_with("jun", &["join", "--yes"], line.as_bytes()).record();
    assert_eq!(members(), [expected("jun", "invited", true), expected("minji", "active", true)]);
    let said = world.escrow_aloud("operator", &["members", "hanbit-parts"], b"");
    assert!(said.contains("organisation fingerprint of hanbit-parts"), "{said}");
    assert!(!said.contains("escrow trust"), "nothing rests on whom the operator trusts: {said}");
    let whose = world.escrow("operator", &["members"]);
    assert_eq!((whose.refusal().as_str(), whose.code), ("USAGE", 2));
}

#[test]
fn promise_10_the_operator_reads_organisations_only_and_its_looks_are_entered() {
    let (world, agreement) = World::with_agreement();
    world.escrow("operator", &["members", "orient-display"]).records();
    runtime().block_on(async {
        let mut operator = StreamServiceClient::new(channel(&world, Some("operator")).await);
        for stream in [
            "vault",
            &agreement,
            &format!("{agreement}/accesses"),
            "org_orient-display/accesses",
            "org_nobody",
            "org_operator",
            "org_operator/accesses",
        ] {
            let read = ReadRequest { stream: stream.to_owned(), ..Default::default() };
            let refused = operator.read(read).await.unwrap_err();
            assert_eq!(refused.code(), Code::NotFound, "{stream}");
        }
        let listed = operator.list_agreements(ListAgreementsRequest::default()).await;
        assert_eq!(listed.unwrap_err().code(), Code::NotFound);
        let watched = operator.watch(WatchRequest::default()).await;
        assert_eq!(watched.unwrap_err().code(), Code::NotFound);

        let mut member = StreamServiceClient::new(channel(&world, Some("orient-display")).await);
        let stream = "org_orient-display/accesses".to_owned();
        let mut parts =
            member.read(ReadRequest { stream, ..Default::default() }).await.unwrap().into_inner();
        let look = Note::Access { by: MemberPath::operator(), look: Look::Stream };
        let mut looks = 0;
        while let Some(part) = parts.message().await.unwrap() {
            for entry in part.entries {
                let event = statement::event(&entry.payload).unwrap();
                looks += usize::from(event.act == Act::Noted(look.clone()));
            }
        }
        assert_eq!(looks, 1, "those it looks at can know");
    });
}
