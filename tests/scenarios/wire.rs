//! Hostile calls to a real server: one clear error each, nothing changed, nothing leaked.

use escrow_vault::client::channel::Channel;
use escrow_vault::client::connect::connect;
use escrow_vault::client::home::Home;
use escrow_vault::client::trust::Trust;
use escrow_vault::crypto::{signature, statement};
use escrow_vault::domain::event::Act;
use escrow_vault::domain::statement::{Consent, Ground, Made, RequestRef, Saw, Statement};
use escrow_vault::wire::v1::bundle_service_client::BundleServiceClient;
use escrow_vault::wire::v1::identity_service_client::IdentityServiceClient;
use escrow_vault::wire::v1::statement_service_client::StatementServiceClient;
use escrow_vault::wire::v1::stream_service_client::StreamServiceClient;
use escrow_vault::wire::v1::{
    DepositRequest, DescribeRequest, JoinRequest, ReadRequest, RenewRequest, RetrieveRequest,
    SignedStatement, SubmitRequest,
};
use tonic::Code;

use super::World;

/// A connection with the keys of a home, or of nobody.
pub(super) async fn channel(world: &World, home: Option<&str>) -> Channel {
    let open = |name: &str| Home::open(&world.home(name)).unwrap();
    let vault = open("operator").vault().unwrap();
    let trust = Trust::Cas(vec![hex::decode(&vault.ca_certificate).unwrap().into()]);
    let keys = home.map(|name| (open(name).certificate().unwrap(), open(name).keys().unwrap()));
    let shown = keys.as_ref().map(|(der, keys)| (vec![der.clone().into()], &keys.tls));
    connect(&vault.address, trust, shown).await.unwrap().channel
}

pub(super) fn signed(statement: &[u8], world: &World, home: &str, tag: &str) -> SignedStatement {
    let key = Home::open(&world.home(home)).unwrap().keys().unwrap().statement;
    SignedStatement {
        statement: statement.to_vec().into(),
        key: key.public().0.to_vec().into(),
        signature: key.sign(tag, statement).0.to_vec().into(),
    }
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

#[test]
fn promise_11_malformed_calls_are_refused_and_change_nothing() {
    let (mut world, agreement) = World::with_agreement();
    let before = world.escrow("hanbit-parts", &["audit", &agreement]).records().len();
    let world_ref = &world;
    runtime().block_on(async {
        let nobody = channel(world_ref, None).await;
        let member = channel(world_ref, Some("hanbit-parts")).await;
        let read = ReadRequest { stream: agreement.clone(), ..Default::default() };
        let refused = StreamServiceClient::new(nobody.clone()).read(read).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        for stream in ["", "vault", "../..", "agr_", "org_nobody", "\u{0}"] {
            let read = ReadRequest { stream: stream.to_owned(), ..Default::default() };
            let refused = StreamServiceClient::new(member.clone()).read(read).await.unwrap_err();
            assert_eq!(refused.code(), Code::NotFound, "{stream:?}");
        }
        let mut statements = StatementServiceClient::new(member.clone());
        let consent = "escrow-vault/consent/v1";
        for (what, statement) in [
            ("nothing", &b""[..]),
            ("not JSON", b"consent"),
            ("no statement", b"{}"),
            ("unknown type", br#"{"type":"escrow-vault/consent/v2"}"#),
            ("duplicate keys", br#"{"type":"escrow-vault/consent/v1","type":"x"}"#),
            ("not UTF-8", b"\xff\xfe"),
            ("deep", &b"[".repeat(100_000)),
            ("long", &b" ".repeat(300_000)),
        ] {
            let statements_in = vec![signed(statement, world_ref, "hanbit-parts", consent)];
            let request = SubmitRequest { statements: statements_in, attachments: vec![] };
            let refused = statements.submit(request).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused:?}");
        }
        let unasked = DescribeRequest::default();
        let refused = IdentityServiceClient::new(nobody.clone()).describe(unasked).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument, "no challenge");
        let empty = SubmitRequest::default();
        assert_eq!(statements.submit(empty).await.unwrap_err().code(), Code::InvalidArgument);
        let statements_in = vec![SignedStatement::default(); 9];
        let many = SubmitRequest { statements: statements_in, attachments: vec![] };
        assert_eq!(statements.submit(many).await.unwrap_err().code(), Code::InvalidArgument);
        let join = JoinRequest { secret: vec![0; 32].into(), ..Default::default() };
        let refused = IdentityServiceClient::new(nobody).join(join).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let nothing = DepositRequest { bundle: vec![0; 10].into(), ..Default::default() };
        let refused = BundleServiceClient::new(member).deposit(nothing).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    });
    let after = world.escrow("hanbit-parts", &["audit", &agreement]).records();
    let acts = after.iter().filter(|event| !event["statement_sha256"].is_null()).count();
    assert!(after.len() >= before, "looks are entered");
    assert_eq!(acts, 4, "terms, key and two acceptances");
    world.stop();
    assert!(!world.said().contains("panicked"), "{}", world.said());
}

#[test]
fn promise_4_statements_count_for_their_signer_and_log_only() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    let home = Home::open(&world.home("hanbit-parts")).unwrap();
    let (owner, vault) = (home.owner().unwrap(), home.vault().unwrap());
    let entries = home.memory().recall(&agreement.parse().unwrap()).unwrap();
    let shown = world.escrow("trade-secret-center", &["audit", &agreement]).records();
    let made = |shown: &serde_json::Value| shown["kind"] == "requested";
    let sha256 = shown.iter().find(|e| made(e)).unwrap()["statement_sha256"].as_str().unwrap();
    let last = entries.last().unwrap();
    let now = escrow_vault::domain::time::Timestamp::from(std::time::SystemTime::now());
    let day = escrow_vault::domain::time::Span::days(1);
    let consent = Consent {
        made: Made {
            by: owner.path.clone(),
            at: now,
            nonce: Default::default(),
            log: vault.log.clone(),
        },
        ground: Ground {
            agreement: agreement.parse().unwrap(),
            saw: Saw { sequence: last.sequence, commitment: last.commitment() },
            valid_until: now.after(day),
        },
        request: RequestRef { id: request.parse().unwrap(), sha256: sha256.parse().unwrap() },
    };
    let tag = "escrow-vault/consent/v1";
    let refusals = runtime().block_on(async {
        let mut refusals = Vec::new();
        let channel = channel(&world, Some("orient-display")).await;
        let mut service = StatementServiceClient::new(channel);
        let text =
            |consent: &Consent| serde_json::to_vec(&Statement::Consent(consent.clone())).unwrap();
        let good = text(&consent);
        let mut other_log = consent.clone();
        other_log.made.log.generation = 2;
        let mut outdated = consent.clone();
        outdated.ground.saw.commitment = Default::default();
        let mut other_request = consent.clone();
        other_request.request.sha256 = signature::sha256(b"another");
        let mut bent = signed(&good, &world, "hanbit-parts", tag);
        bent.signature = vec![0; 64].into();
        let withdrawal = "escrow-vault/withdrawal/v1";
        for statement in [
            signed(&good, &world, "trade-secret-center", tag),
            signed(&good, &world, "hanbit-parts", withdrawal),
            bent,
            signed(&text(&other_log), &world, "hanbit-parts", tag),
            signed(&text(&outdated), &world, "hanbit-parts", tag),
            signed(&text(&other_request), &world, "hanbit-parts", tag),
        ] {
            let request = SubmitRequest { statements: vec![statement], attachments: vec![] };
            let refused = service.submit(request).await.unwrap_err();
            use tonic_types::StatusExt as _;
            refusals.push(refused.get_details_error_info().unwrap().reason);
        }
        // Carried in by another party, it counts; a second time it is answered and changes nothing.
        let carried = signed(&good, &world, "hanbit-parts", tag);
        let request = SubmitRequest { statements: vec![carried], attachments: vec![] };
        let first = service.submit(request.clone()).await.unwrap().into_inner();
        let second = service.submit(request).await.unwrap().into_inner();
        assert_eq!(first.entries, second.entries);
        refusals
    });
    let expected =
        ["WRONG_KEY", "BAD_STATEMENT", "BAD_STATEMENT", "OTHER_LOG", "FORKED", "MISMATCH"];
    assert_eq!(refusals, expected);
    let shown = world.escrow("orient-display", &["show", &request]).record();
    assert_eq!(shown["consents"].as_array().unwrap().len(), 1);
    // Every party sees what was tried, by whom and why it was refused; what nobody signed is nothing.
    let refused = ["audit", &agreement, "--kind", "was_refused", "--by", "orient-display"];
    let refused = world.escrow("trade-secret-center", &refused).records();
    let told: Vec<_> = refused.iter().map(|event| event["code"].as_str().unwrap()).collect();
    assert_eq!(told, ["WRONG_KEY", "OTHER_LOG", "FORKED", "MISMATCH"]);
    for event in &refused {
        assert_eq!((&event["outcome"], &event["attempt"]), (&"refused".into(), &"consent".into()));
        assert_eq!(event["subject"], request.as_str());
        assert!(event["statement_sha256"].is_null() && event["attempt_sha256"].is_string());
    }
}

#[test]
fn promise_11_each_call_takes_its_own_statements_only() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "contested");
    let object = ["object", &request, "--reason", "not due", "--yes"];
    world.escrow("hanbit-parts", &object).record();
    world.escrow("hanbit-parts", &["withdraw", &request, "--objection", "--yes"]).record();
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    world.escrow("hanbit-parts", &["agreement", "terminate", &agreement, "--yes"]).record();

    let home = Home::open(&world.home("hanbit-parts")).unwrap();
    let mut made = std::collections::BTreeMap::new();
    for stream in home.memory().streams().unwrap() {
        for entry in home.memory().recall(&stream).unwrap() {
            if let Act::Stated(signed) = statement::event(&entry.payload).unwrap().act {
                let stated = statement::verify(&signed).unwrap();
                made.insert(stated.statement.tag(), SignedStatement::from(signed));
            }
        }
    }
    assert_eq!(made.len(), 16, "{:?}", made.keys());
    runtime().block_on(async {
        let member = channel(&world, Some("hanbit-parts")).await;
        for (tag, signed) in made {
            let statement = Some(signed.clone());
            let mut identity = IdentityServiceClient::new(member.clone());
            let mut bundles = BundleServiceClient::new(member.clone());
            let mut statements = StatementServiceClient::new(member.clone());
            let submit = SubmitRequest { statements: vec![signed.clone()], attachments: vec![] };
            let join = JoinRequest { statements: vec![signed.clone()], ..Default::default() };
            let renew = RenewRequest { statement: statement.clone(), ..Default::default() };
            let bundle = Default::default();
            let deposit = DepositRequest { statement: statement.clone(), bundle };
            let retrieve = RetrieveRequest { statement, from: 0 };
            let calls = [
                ("submit", statements.submit(submit).await.err()),
                ("join", identity.join(join).await.err()),
                ("renew", identity.renew(renew).await.err()),
                ("deposit", bundles.deposit(deposit).await.err()),
                ("retrieve", bundles.retrieve(retrieve).await.err()),
            ];
            let own = match tag {
                "escrow-vault/organisation/v1" | "escrow-vault/join/v1" => "join",
                "escrow-vault/deposit/v1" => "deposit",
                "escrow-vault/retrieval/v1" => "retrieve",
                _ => "submit",
            };
            for (call, refused) in calls {
                let malformed =
                    refused.is_some_and(|status| status.code() == Code::InvalidArgument);
                // A joining needs a certificate request, too. A deposit that was accepted needs its
                // bundle no more.
                assert_eq!(malformed, call != own || own == "join", "{tag} in {call}");
            }
        }
    });
}

#[test]
fn promise_8_looks_and_hand_outs_are_entered_before_anything_is_shown() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    let audit = world.escrow("hanbit-parts", &["audit", &agreement]).records();
    let told = |member: &str, kind: &str| {
        let fits = |e: &&serde_json::Value| e["member"] == member && e["kind"] == kind;
        audit.iter().filter(fits).count()
    };
    for member in ["hanbit-parts/minji", "orient-display/junho", "trade-secret-center/sora"] {
        let looks = told(member, "looked_at_agreement");
        assert!((1..=3).contains(&looks), "{member} looked {looks} times, folded by the minute");
        assert!(told(member, "fetched_share") >= 1, "{member}");
    }
    // Another party has read the requester's statement, but gets nothing by handing it in.
    let home = Home::open(&world.home("hanbit-parts")).unwrap();
    let entries = home.memory().recall(&agreement.parse().unwrap()).unwrap();
    let retrieval = entries.iter().find_map(|entry| {
        let Act::Stated(signed) = statement::event(&entry.payload).unwrap().act else {
            return None;
        };
        let stated = statement::parse(&signed).unwrap().statement;
        matches!(stated, Statement::Retrieval(_)).then(|| SignedStatement::from(signed))
    });
    let refused = runtime().block_on(async {
        let mut service = BundleServiceClient::new(channel(&world, Some("hanbit-parts")).await);
        service.retrieve(RetrieveRequest { statement: retrieval, from: 0 }).await.unwrap_err()
    });
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let audit = world.escrow("hanbit-parts", &["audit", &agreement]).records();
    let told = |member: &str, kind: &str| {
        let fits = |e: &&serde_json::Value| e["member"] == member && e["kind"] == kind;
        audit.iter().filter(fits).count()
    };
    assert_eq!(told("orient-display/junho", "retrieved"), 1);
    assert_eq!(told("orient-display/junho", "was_handed_bundle"), 1);
}

#[test]
fn health_and_reflection_are_there() {
    let world = World::new();
    runtime().block_on(async {
        let channel = channel(&world, None).await;
        let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
        let request = tonic_health::pb::HealthCheckRequest::default();
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, tonic_health::pb::health_check_response::ServingStatus::Serving);
        // Clients ask for either version of reflection.
        use tonic_reflection::pb::{v1, v1alpha};
        let host = String::new;
        let list = v1::server_reflection_request::MessageRequest::ListServices(host());
        let ask = v1::ServerReflectionRequest { host: host(), message_request: Some(list) };
        let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let replies = client.server_reflection_info(tokio_stream::once(ask)).await.unwrap();
        let reply = replies.into_inner().message().await.unwrap();
        assert!(format!("{reply:?}").contains("escrow.vault.v1.BundleService"), "{reply:?}");
        let list = v1alpha::server_reflection_request::MessageRequest::ListServices(host());
        let ask = v1alpha::ServerReflectionRequest { host: host(), message_request: Some(list) };
        let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
        let replies = client.server_reflection_info(tokio_stream::once(ask)).await.unwrap();
        let reply = replies.into_inner().message().await.unwrap();
        assert!(format!("{reply:?}").contains("escrow.vault.v1.BundleService"), "{reply:?}");
    });
}
