//! Quotas: what one organisation may take up, and what no quota stops.

use std::fs;

use escrow_vault::wire::v1::bundle_service_client::BundleServiceClient;
use escrow_vault::wire::v1::{UploadBegin, UploadRequest, upload_request};
use tokio_stream::wrappers::ReceiverStream;

use super::wire::{channel, runtime};
use super::{Ended, World, id};

impl World {
    /// Starts the server anew with other lines under `[quota]`.
    fn grant(&mut self, lines: &[(&str, u64)]) {
        self.stop();
        let path = self.data().join("escrowd.toml");
        let text = fs::read_to_string(&path).unwrap();
        let before = text.split_once("\n# [quota]").or_else(|| text.split_once("\n[quota]"));
        let (before, _) = before.unwrap();
        let lines: Vec<_> = lines.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        fs::write(&path, format!("{before}\n[quota]\n{}\n", lines.join("\n"))).unwrap();
        self.serve();
    }

    fn try_deposit(&self, agreement: &str, name: &str, bytes: usize) -> Ended {
        let file = self.file(name, vec![bytes as u8; bytes]);
        self.escrow("hanbit-parts", &["deposit", agreement, &file, "--yes"])
    }

    fn try_request(&self, deposit: &str, rule: &str) -> Ended {
        let arguments = ["request", deposit, "--rule", rule, "--purpose", "an audit", "--yes"];
        self.escrow("orient-display", &arguments)
    }
}

/// Says which quota it was, how much is used and how much is granted.
#[track_caller]
fn assert_over(ended: &Ended, told: &str) {
    assert_eq!(ended.refusal(), "QUOTA");
    let error = ended.error();
    assert!(error["message"].as_str().unwrap().contains(told), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("ask the operator"), "{error}");
}

#[test]
fn what_is_used_up_is_refused_by_name_and_survives_a_restart_and_a_rebuild() {
    let (mut world, agreement) = World::with_agreement();
    world.grant(&[("deposits", 2), ("requests", 2)]);
    let deposit = id(&world.try_deposit(&agreement, "one.bin", 1000).record());
    world.try_deposit(&agreement, "two.bin", 100_000).record();
    let first = id(&world.try_request(&deposit, "contested").record());
    let second = id(&world.try_request(&deposit, "joint").record());
    for restarted in ["at once", "after a restart", "after a rebuild"] {
        let over = "hanbit-parts uses 2 of its 2 deposits, and this takes 1 more";
        assert_over(&world.try_deposit(&agreement, "three.bin", 10), over);
        let over = "orient-display uses 2 of its 2 open requests, and this takes 1 more";
        assert_over(&world.try_request(&deposit, "joint"), over);
        match restarted {
            "at once" => {
                world.kill();
                world.serve();
            }
            "after a restart" => {
                world.stop();
                assert_eq!(world.escrowd(&["rebuild"]).code, 0);
                world.serve();
            }
            _ => {}
        }
    }
    // What must always be possible is: an objection and its end, consents, shares, delivery.
    world.escrow("hanbit-parts", &["object", &first, "--reason", "no", "--yes"]).record();
    world.escrow("hanbit-parts", &["withdraw", &first, "--objection", "--yes"]).record();
    for request in [&first, &second] {
        world.approve("trade-secret-center", request);
        assert_eq!(world.approve("hanbit-parts", request), "released");
    }
    // Released requests are open no more, and neither are withdrawn ones.
    for _ in 0..3 {
        let more = id(&world.try_request(&deposit, "joint").record());
        world.escrow("orient-display", &["withdraw", &more, "--yes"]).record();
    }
    world.try_request(&deposit, "joint").record();
    world.try_request(&deposit, "joint").record();
    assert_over(&world.try_request(&deposit, "joint"), "open requests");
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &first, "--out", &out, "--yes"]).record();
    // More is granted, and nobody else was touched.
    world.grant(&[("deposits", 3)]);
    world.try_deposit(&agreement, "three.bin", 10).record();
}

#[test]
fn an_upload_reserves_its_bytes_before_the_first_and_gives_them_back() {
    let (mut world, agreement) = World::with_agreement();
    let small = world.try_deposit(&agreement, "small.bin", 1000).record();
    assert_eq!(small["state"], "stored");
    world.grant(&[("bytes", 1_000_000)]);
    runtime().block_on(async {
        // An upload that is begun and not sent.
        let (parts, sent) = tokio::sync::mpsc::channel(1);
        let mut service = BundleServiceClient::new(channel(&world, Some("hanbit-parts")).await);
        let begin = UploadBegin {
            agreement: agreement.clone(),
            size: 900_000,
            header_sha256: vec![7; 32].into(),
            forget: false,
        };
        let begin = upload_request::Part::Begin(begin);
        parts.send(UploadRequest { part: Some(begin) }).await.unwrap();
        // The vault has begun with it once it says from where.
        let mut replies = service.upload(ReceiverStream::new(sent)).await.unwrap().into_inner();
        assert_eq!(replies.message().await.unwrap().unwrap().durable, 0);
        // Fits beside what is stored, but not beside what is under way.
        let refused = world.try_deposit(&agreement, "beside.bin", 200_000);
        assert_over(&refused, "bytes stored");
        drop(parts);
        assert!(replies.message().await.is_err(), "it was cut short");
    });
    // What is kept of it gives way to its own member.
    world.try_deposit(&agreement, "after.bin", 300_000).record();
}

#[test]
fn registrations_are_granted_by_number_and_refused_together() {
    let mut world = World::new();
    world.join("hanbit-parts", "minji");
    world.join("orient-display", "junho");
    world.grant(&[("registrations", 2)]);
    let files = ["one", "two", "three"].map(|name| world.file(name, name));
    let register = |world: &World, home: &str, files: &[String]| {
        let mut words = vec!["register", "--yes"];
        words.extend(files.iter().map(String::as_str));
        world.escrow(home, &words)
    };
    let three = register(&world, "hanbit-parts", &files);
    assert_over(&three, "hanbit-parts uses 2 of its 2 registrations, and this takes 1 more");
    assert_eq!(world.escrow("hanbit-parts", &["registrations"]).records().len(), 0);
    assert_eq!(register(&world, "hanbit-parts", &files[..2]).records().len(), 2);
    for restarted in ["at once", "after a restart", "after a rebuild"] {
        assert_over(&register(&world, "hanbit-parts", &files[2..]), "2 registrations");
        match restarted {
            "at once" => {
                world.kill();
                world.serve();
            }
            "after a restart" => {
                world.stop();
                assert_eq!(world.escrowd(&["rebuild"]).code, 0);
                world.serve();
            }
            _ => {}
        }
    }
    register(&world, "orient-display", &files[2..]).record();
}
