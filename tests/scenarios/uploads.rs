//! Uploads that go on instead of starting over: over cut connections, killed servers and clients, and a
//! full disk. How much went to the vault proves it.

use std::fs;
use std::path::PathBuf;

use escrow_vault::wire::v1::bundle_service_client::BundleServiceClient;
use escrow_vault::wire::v1::{UploadBegin, UploadRequest, upload_request};
use serde_json::Value;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::full_disk::{Disk, may_mount};
use super::proxy::Proxy;
use super::wire::{channel, runtime};
use super::{Beside, World, files_below, id};

/// More than a client keeps to be sent again.
const SIZE: u64 = 96 << 20;
/// What may go to the vault a second time: what is under way, or not durable yet, when a connection
/// is lost.
const AGAIN_MAX: u64 = 40 << 20;

/// A large file whose content is nowhere the same.
fn large(world: &World, name: &str) -> String {
    let mut content = Vec::with_capacity(SIZE as usize);
    for number in 0..SIZE / 8 {
        content.extend_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    world.file(name, content)
}

/// Seals a file beside a proof of where it comes from.
fn sealed(world: &World, agreement: &str) -> String {
    let (file, out) = (large(world, "large.bin"), world.path("large.age").display().to_string());
    world.escrow("hanbit-parts", &["seal", agreement, &file, "--out", &out]).record();
    out
}

fn begin_deposit(world: &World, agreement: &str, file: &str) -> Beside {
    world.escrow_beside("hanbit-parts", &["deposit", agreement, file, "--yes"])
}

/// The deposit is there, and less went to the vault than twice.
#[track_caller]
fn assert_deposited(world: &World, agreement: &str, made: &Value, proxy: &Proxy, before: u64) {
    assert_eq!(made["state"], "stored");
    let listed = world.escrow("orient-display", &["deposits", agreement]).records();
    assert!(listed.iter().any(|deposit| deposit["id"] == made["id"]));
    let sent = proxy.sent() - before;
    assert!((SIZE..SIZE + AGAIN_MAX).contains(&sent), "{sent} bytes were sent");
    let staging = files_below(&world.data().join("bundles/staging"));
    assert_eq!(staging, [] as [PathBuf; 0]);
}

/// What was deposited comes back as it was.
fn assert_retrieved(world: &World, deposit: &str, file: &str) {
    let request = world.request(deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    let name = PathBuf::from(file);
    let retrieved = fs::read(world.path("out").join(name.file_name().unwrap())).unwrap();
    assert!(retrieved == fs::read(file).unwrap(), "other bytes came out");
}

#[test]
fn promise_7_an_upload_goes_on_after_its_connection_was_cut() {
    let (mut world, agreement) = World::with_agreement();
    let (file, proxy) = (large(&world, "large.bin"), world.behind_proxy());
    let before = proxy.sent();
    proxy.cut_after(SIZE * 2 / 3);
    let mut deposit = begin_deposit(&world, &agreement, &file);
    let made = deposit.next().expect("the deposit");
    assert_deposited(&world, &agreement, &made, &proxy, before);
    assert_eq!(deposit.ended(), 0);
    assert_retrieved(&world, &id(&made), &file);
    world.stop();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.err);
}

#[test]
fn promise_7_an_upload_goes_on_after_the_vault_was_killed() {
    let (mut world, agreement) = World::with_agreement();
    let (file, proxy) = (large(&world, "large.bin"), world.behind_proxy());
    let before = proxy.sent();
    proxy.cut_after(SIZE * 2 / 3);
    let mut deposit = begin_deposit(&world, &agreement, &file);
    proxy.wait_for_cut();
    world.kill();
    world.serve();
    let made = deposit.next().expect("the deposit");
    assert_deposited(&world, &agreement, &made, &proxy, before);
    assert_eq!(deposit.ended(), 0);
    assert_retrieved(&world, &id(&made), &file);
}

#[test]
fn promise_7_a_sealed_file_goes_on_after_its_client_was_killed() {
    let (mut world, agreement) = World::with_agreement();
    let (file, proxy) = (sealed(&world, &agreement), world.behind_proxy());
    let before = proxy.sent();
    proxy.cut_after(SIZE * 2 / 3);
    let deposit = begin_deposit(&world, &agreement, &file);
    proxy.wait_for_cut();
    drop(deposit);
    let first = proxy.sent() - before;
    assert!(first < SIZE, "{first}");
    let made = world.escrow("hanbit-parts", &["deposit", &agreement, &file, "--yes"]);
    assert!(made.err.contains("going on behind the first"), "{}", made.err);
    assert_deposited(&world, &agreement, &made.record(), &proxy, before);
    // Another file behind the same header is another bundle, and found out.
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let changed = world.escrow("hanbit-parts", &["deposit", &agreement, &file, "--yes"]);
    assert_eq!(changed.refusal(), "DEPOSITED_BEFORE", "by its header, before it is sent");
}

#[test]
fn promise_4_a_file_that_changed_between_its_halves_is_found_out() {
    let (mut world, agreement) = World::with_agreement();
    let (file, proxy) = (sealed(&world, &agreement), world.behind_proxy());
    proxy.cut_after(SIZE * 2 / 3);
    let deposit = begin_deposit(&world, &agreement, &file);
    proxy.wait_for_cut();
    drop(deposit);
    let mut bytes = fs::read(&file).unwrap();
    bytes[1 << 20] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let changed = world.escrow("hanbit-parts", &["deposit", &agreement, &file, "--yes"]);
    assert_eq!(changed.refusal(), "CHANGED", "its proof was made for another");
    bytes[1 << 20] ^= 1;
    fs::write(&file, &bytes).unwrap();
    world.escrow("hanbit-parts", &["deposit", &agreement, &file, "--yes"]).record();
}

#[test]
fn promise_4_files_that_change_while_they_are_sealed_are_not_deposited() {
    let (mut world, agreement) = World::with_agreement();
    let (file, proxy) = (large(&world, "large.bin"), world.behind_proxy());
    proxy.cut_after(SIZE / 3);
    let deposit = begin_deposit(&world, &agreement, &file);
    proxy.wait_for_cut();
    fs::File::options().append(true).open(&file).unwrap().set_len(SIZE - 1).unwrap();
    let said = deposit.said_to_its_end();
    assert!(said.contains("changed while it was read"), "{said}");
    assert!(world.escrow("hanbit-parts", &["deposits", &agreement]).records().is_empty());
    let staging = files_below(&world.data().join("bundles/staging"));
    assert_eq!(staging, [] as [PathBuf; 0], "nobody can go on with it");
}

#[test]
fn promise_7_an_upload_ends_on_a_full_disk_and_goes_on_when_there_is_room() {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::mount(dir.path(), 400);
    let (mut world, agreement) = World::with_agreement_at(Some(disk.path().join("vault")));
    let file = sealed(&world, &agreement);
    let small = world.deposit(&agreement, "deposited before");
    let request = world.request(&small, "contested");
    let proxy = world.behind_proxy();
    let before = proxy.sent();
    proxy.shut_after(SIZE * 2 / 3);
    let deposit = begin_deposit(&world, &agreement, &file);
    proxy.wait_for_cut();
    disk.fill(70);
    proxy.let_in();
    let said = deposit.said_to_its_end();
    assert!(said.contains("DISK_FULL"), "{said}");
    // Whatever is not a bundle goes on, with what uploads leave.
    world.request(&small, "joint");
    world.escrow("hanbit-parts", &["object", &request, "--reason", "no", "--yes"]).record();
    world.escrow("hanbit-parts", &["withdraw", &request, "--objection", "--yes"]).record();
    world.approve("trade-secret-center", &request);
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    let out = world.path("before").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    disk.empty();
    let made = world.escrow("hanbit-parts", &["deposit", &agreement, &file, "--yes"]);
    assert!(made.err.contains("going on behind the first"), "{}", made.err);
    assert_deposited(&world, &agreement, &made.record(), &proxy, before);
}

#[test]
fn promise_11_hostile_beginnings_are_refused_and_leave_nothing() {
    let (mut world, agreement) = World::with_agreement();
    let begin = |size: u64| UploadBegin {
        agreement: agreement.clone(),
        size,
        header_sha256: vec![7; 32].into(),
        forget: false,
    };
    let other = |change: &dyn Fn(&mut UploadBegin)| {
        let mut begin = begin(1 << 20);
        change(&mut begin);
        upload_request::Part::Begin(begin)
    };
    let chunk = |bytes: usize| upload_request::Part::Chunk(vec![7; bytes].into());
    let good = || upload_request::Part::Begin(begin(1 << 20));
    let unknown = format!("agr_{}", "a".repeat(26));
    let cases = vec![
        ("nothing", vec![], Code::InvalidArgument),
        ("a chunk first", vec![chunk(10)], Code::InvalidArgument),
        ("two beginnings", vec![good(), good()], Code::InvalidArgument),
        ("no size", vec![other(&|it| it.size = 0)], Code::InvalidArgument),
        ("a small size", vec![other(&|it| it.size = 64 << 10)], Code::InvalidArgument),
        ("all there is", vec![other(&|it| it.size = u64::MAX)], Code::FailedPrecondition),
        ("more than the quota", vec![other(&|it| it.size = 1 << 40)], Code::ResourceExhausted),
        ("no digest", vec![other(&|it| it.header_sha256.clear())], Code::InvalidArgument),
        ("no agreement", vec![other(&|it| it.agreement.clear())], Code::InvalidArgument),
        ("an unknown one", vec![other(&|it| it.agreement = unknown.clone())], Code::NotFound),
        ("no age file", vec![good(), chunk(2_000)], Code::InvalidArgument),
        ("too large a piece", vec![good(), chunk((1 << 20) + 1)], Code::InvalidArgument),
        ("cut short", vec![good()], Code::InvalidArgument),
    ];
    runtime().block_on(async {
        let member = channel(&world, Some("hanbit-parts")).await;
        let refused = async |parts: Vec<upload_request::Part>| {
            let parts = parts.into_iter().map(|part| UploadRequest { part: Some(part) });
            let mut service = BundleServiceClient::new(member.clone());
            let mut replies = service.upload(tokio_stream::iter(parts)).await?.into_inner();
            while replies.message().await?.is_some() {}
            Ok::<(), tonic::Status>(())
        };
        for (what, parts, code) in cases {
            let refused = refused(parts).await.unwrap_err();
            assert_eq!(refused.code(), code, "{what}: {refused:?}");
            let told = refused.get_details_error_info().unwrap();
            assert!(!told.metadata["hint"].is_empty(), "{what}");
        }
        // Who isn't a party sees nothing.
        world.join("newco", "ann");
        let stranger = channel(&world, Some("newco")).await;
        let first = UploadRequest { part: Some(good()) };
        let refused = BundleServiceClient::new(stranger).upload(tokio_stream::once(first)).await;
        assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    });
    world.stop();
    assert!(!world.said().contains("panicked"), "{}", world.said());
}
