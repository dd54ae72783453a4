//! `cargo bench --bench measures [-- NAME…]`: what the vault costs, each figure beside a named peer
//! measured in the same run. Absolute figures are the machine's; the ratios are ours.
//!
//! Real programs over real TLS on loopback, one machine for both ends. Takes `age` for its peer,
//! and Python, through which the kernel tells what a program took once it has ended.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong while measuring ends it"
)]

#[allow(dead_code, reason = "other benches use the rest")]
mod common;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use escrow_vault::client::export;
use escrow_vault::crypto::contribution::{Target, contribute, verify};
use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::crypto::release_key::{ReleaseKey, deal, number};
use escrow_vault::crypto::request_point::RequestSecret;
use escrow_vault::crypto::seal::{Origin, Seal};
use escrow_vault::crypto::signature::{self, SigningKey};
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::{Note, SignedText};
use escrow_vault::domain::id::{AgreementId, Bytes, MemberPath, OrganisationName};
use escrow_vault::domain::statement::{Invitation, Log, Made, Statement};
use escrow_vault::domain::stream::Stream;
use escrow_vault::domain::time::{Span, Timestamp};
use escrow_vault::ledger::checkpoint::Checkpoint;
use escrow_vault::ledger::edge::Edge;
use escrow_vault::ledger::merkle::{self, Node};
use escrow_vault::ledger::{Entry, LabelKey};
use escrow_vault::store::{
    Batch, DiskStore, Options, Projector, ReadError, ReadRecord, Records, Store as _,
};
use escrow_vault::vault::{DomainProjector, Quota, SystemClock, Talker, Vault as LocalVault};
use rand_core::OsRng;

use crate::common::disk::{self, same, syncs_per_second};
use crate::common::process::{Cost, json, measured, resident_mib, run};
use crate::common::table::{self, Row, against};
use crate::common::vault::{Vault, escrow};

fn main() {
    table::measure([
        ("bulk", bulk),
        ("durable", durable),
        ("statements", statements),
        ("memory", memory),
        ("contribution", contribution),
        ("start", start),
        ("log", log),
        ("export", exported),
    ]);
}

/// Deposit and retrieval of 1 GiB, beside `age` encrypting and decrypting the same bytes to disk.
fn bulk() {
    let vault = Vault::new("bulk");
    let file = vault.file("large.bin", 1 << 30);
    let (key, sealed) = (vault.path("age.key"), vault.path("large.age"));
    run(Command::new("age-keygen").arg("-o").arg(&key));
    let age = |way: &str, from: &Path, to: &Path| {
        run(Command::new("age").arg(way).arg("-i").arg(&key).arg("-o").arg(to).arg(from))
    };
    let (deposit, up) = vault.deposit(&file);
    let seal = age("-e", &file, &sealed);
    against("deposit 1 GiB, durable", up, "age -e to a file", seal).print();

    let out = vault.path("out");
    let down = vault.release(&deposit, &out);
    assert!(same(&file, &out.join("large.bin")), "what came back is not what was deposited");
    let open = age("-d", &sealed, &vault.path("large.opened"));
    against("retrieve and open 1 GiB", down, "age -d to a file", open).print();
}

/// Deposits of 1 KiB, each acknowledged when durable, beside what the disk syncs.
fn durable() {
    let vault = Vault::new("durable");
    let syncs = syncs_per_second(&vault.path("syncs"));
    for (clients, deposits, what) in [
        (1, 500, "statements/s, 1 client (1 KiB deposits)"),
        (64, 64 * 100, "statements/s, 64 clients (1 KiB deposits)"),
    ] {
        let rate = vault.small_deposits(clients, deposits);
        let ours = format!("{rate:.0}/s");
        let peer = format!("fdatasync of 4 KiB: {syncs:.0}/s");
        Row { what, ours, peer, ratio: rate / syncs }.print();
    }
}

/// Statements that are durable and acknowledged one by one, beside the same without signing a
/// checkpoint behind each batch: the vault alone, in this process. The log's hashes are in the index
/// either way. Medians of five runs of each, in turn.
fn statements() {
    const RUNS: usize = 5;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let dir = disk::directory("statements");
    let syncs = syncs_per_second(&dir.path().join("syncs"));
    for (clients, each, what, beside) in [
        (1, 400, "statements/s, 1 at a time", "the same beside the disk"),
        (64, 100, "statements/s, 64 at a time", "the same beside the disk"),
    ] {
        let rate = |has_log| {
            let dir = disk::directory("vault");
            runtime.block_on(stated(dir.path(), has_log, clients, each))
        };
        let [with, without] = table::medians(RUNS, [&mut || rate(true), &mut || rate(false)]);
        let row = |what, peer, ratio| Row { what, ours: format!("{with:.0}/s"), peer, ratio };
        row(what, format!("without checkpoints: {without:.0}/s"), with / without).print();
        row(beside, format!("fdatasync of 4 KiB: {syncs:.0}/s"), with / syncs).print();
    }
}

/// So many invitations a second by the operator, `clients` at a time.
async fn stated(dir: &Path, has_log: bool, clients: u32, each: u32) -> f64 {
    let options = Options { reserve_bytes: 0, may_begin: true, ..Options::default() };
    let store = DiskStore::open(dir, &DomainProjector, &options).unwrap();
    let [ledger, operator] = [(), ()].map(|()| SigningKey::generate(&mut OsRng));
    let founded = Note::Founded {
        ledger_key: ledger.public(),
        operator_key: operator.public(),
        ca_sha256: Bytes([7; 32]),
    };
    let log = Log { origin: "vault.example/escrow".parse().unwrap(), generation: 1 };
    let (origin, clock, quota) = (log.origin.clone(), Arc::new(SystemClock), Quota::default());
    let vault = match has_log {
        true => LocalVault::open(store, origin, ledger, clock, quota),
        false => LocalVault::open_without_log(store, origin, ledger, clock, quota),
    };
    let vault = Arc::new(vault.unwrap());
    vault.found(founded).await.unwrap();
    let invitation = |number: u32| {
        let mut nonce = [0; 16];
        nonce[..4].copy_from_slice(&number.to_be_bytes());
        let now = Timestamp::from(SystemTime::now());
        let by = MemberPath::operator();
        let invitation = Invitation {
            made: Made { by, at: now, nonce: Bytes(nonce), log: log.clone() },
            member: format!("organisation-{number}/ann").parse().unwrap(),
            secret_sha256: signature::sha256(&nonce),
            expires_at: now.after(Span::days(1)),
        };
        statement::sign(&operator, &Statement::from(invitation)).unwrap()
    };
    let group = |client: u32| (0..each).map(|nth| invitation(client * each + nth)).collect();
    let groups: Vec<Vec<SignedText>> = (0..clients).map(group).collect();
    let began = Instant::now();
    let clients: Vec<_> = groups
        .into_iter()
        .map(|group| {
            let vault = Arc::clone(&vault);
            tokio::spawn(async move {
                for signed in group {
                    vault.submit(Talker::Operator, vec![signed], Vec::new()).await.unwrap();
                }
            })
        })
        .collect();
    let count = clients.len() as u32 * each;
    for client in clients {
        client.await.unwrap();
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    vault.close().await;
    rate
}

/// Peak memory of server and client with 4 GiB in and out, beside the same with 64 MiB.
fn memory() {
    let [small, large] = [64u64 << 20, 4 << 30].map(|bytes| {
        let vault = Vault::new("memory");
        let file = vault.file("large.bin", bytes);
        let (deposit, up) = vault.deposit(&file);
        fs::remove_file(&file).unwrap();
        let down = vault.release(&deposit, &vault.path("out"));
        (resident_mib(vault.server.id()), up.resident_mib.max(down.resident_mib))
    });
    let row = |what, large: u64, small: u64| Row {
        what,
        ours: format!("{large} MiB"),
        peer: format!("with 64 MiB: {small} MiB"),
        ratio: large as f64 / small as f64,
    };
    row("server's peak memory, 4 GiB in and out", large.0, small.0).print();
    row("client's peak memory, 4 GiB in and out", large.1, small.1).print();
}

/// Making and checking a contribution, beside an Ed25519 signature made and verified.
fn contribution() {
    let names: Vec<OrganisationName> = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
    let dealt = deal(&names, 2, &mut OsRng).unwrap();
    let key = ReleaseKey::check(&dealt.commitment, 2, &number(&names)).unwrap();
    let origin =
        Origin { agreement: AgreementId::of(&Bytes([3; 32])), depositor: names[0].clone() };
    let sealed = Seal::new(&key, &origin, &mut OsRng).unwrap();
    let target = Target {
        request_sha256: Bytes([1; 32]),
        release_key_sha256: Bytes([2; 32]),
        epoch: 1,
        ephemeral: sealed.header().ephemeral,
        request_point: RequestSecret::generate(&mut OsRng).point(),
    };
    let (holder, share) = &dealt.shares[1];
    let made = contribute(&key, holder, share, &target, &mut OsRng).unwrap();
    let signer = SigningKey::generate(&mut OsRng);
    let signed = signer.sign("tag", b"message");
    let each = |work: &dyn Fn()| {
        let began = Instant::now();
        (0..500).for_each(|_| work());
        Cost { wall: began.elapsed() / 500, ..Cost::default() }
    };
    let make = each(&|| drop(contribute(&key, holder, share, &target, &mut OsRng).unwrap()));
    let sign = each(&|| assert_eq!(signer.sign("tag", b"message"), signed));
    against("make a contribution", make, "sign (Ed25519)", sign).print();
    let check = each(&|| verify(&key, &made, &target).unwrap());
    let verify = each(&|| signature::verify(&signer.public(), "tag", b"message", &signed).unwrap());
    against("check a contribution", check, "verify (Ed25519)", verify).print();
}

/// Start-up with 100,000 deposits, beside start-up with 1,000: after a clean stop and a kill.
fn start() {
    let mut vault = Vault::new("start");
    let times = |vault: &mut Vault| {
        vault.stop(rustix::process::Signal::TERM);
        let clean = vault.serve();
        vault.stop(rustix::process::Signal::KILL);
        (clean, vault.serve())
    };
    vault.small_deposits(64, 1_000);
    let few = times(&mut vault);
    vault.small_deposits(64, 99_000);
    let many = times(&mut vault);
    let cost = |wall| Cost { wall, ..Cost::default() };
    for (what, many, few) in [
        ("start after a clean stop, 10⁵ deposits", many.0, few.0),
        ("start after kill -9, 10⁵ deposits", many.1, few.1),
    ] {
        against(what, cost(many), "10³ deposits", cost(few)).print();
    }
}

/// Proofs in a log of a million entries beside the goals they have, what an entry takes up beside its
/// payload, and how long a store of so many takes to open beside one of a thousand.
fn log() {
    const FEW: u64 = 1_000;
    const PAYLOAD_BYTES: usize = 700;
    let many = entries();
    let dir = disk::directory("log");
    let open = || {
        let began = Instant::now();
        let options = Options { reserve_bytes: 0, may_begin: true, ..Options::default() };
        (DiskStore::open(dir.path(), &Nothing, &options).unwrap(), began.elapsed())
    };
    let fill = |store: &DiskStore, end: u64| {
        while store.ledger_size() < end {
            let first = store.ledger_size();
            let entries = (first..(first + 500).min(end)).map(|position| Entry {
                position,
                stream: Stream::Vault,
                sequence: position + 1,
                label_key: LabelKey([1; 32]),
                salt: Bytes([2; 32]),
                payload: vec![b'x'; PAYLOAD_BYTES],
            });
            let (expected, blobs, bundles, records) = (vec![], vec![], vec![], vec![]);
            let entries = entries.collect();
            store.commit(Batch { expected, entries, blobs, bundles, records }).unwrap();
        }
    };
    let (store, _) = open();
    fill(&store, FEW);
    store.close().unwrap();
    let (store, few) = open();
    fill(&store, many);
    store.close().unwrap();
    let (store, took_many) = open();
    let node = |node: Node| store.node(node);
    let root = merkle::root(many, node).unwrap();
    let positions: Vec<u64> = (0..1_000).map(|n| n * 7_919 % many).collect();
    let each = |began: Instant| began.elapsed() / 1_000;
    let began = Instant::now();
    let proofs: Vec<_> =
        positions.iter().map(|at| merkle::inclusion(*at, many, node).unwrap()).collect();
    let make = each(began);
    let leaves: Vec<_> =
        positions.iter().map(|at| merkle::leaf_hash(&store.leaf(*at).unwrap().0)).collect();
    let began = Instant::now();
    for ((at, leaf), proof) in positions.iter().zip(&leaves).zip(&proofs) {
        merkle::check_inclusion(*at, leaf, many, proof, &root).unwrap();
    }
    let check = each(began);
    for (what, took, goal) in [
        ("prove one of 10⁶ entries", make, Duration::from_millis(10)),
        ("check that proof", check, Duration::from_millis(1)),
    ] {
        let (ours, peer) = (format!("{took:.1?}"), format!("goal: {goal:.0?}"));
        Row { what, ours, peer, ratio: took.as_secs_f64() / goal.as_secs_f64() }.print();
    }
    store.close().unwrap();
    for (what, name) in
        [("journal, an entry", "journal"), ("index with the log's hashes, an entry", "sled")]
    {
        let files = fs::read_dir(dir.path().join(name)).unwrap();
        let bytes = files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>() / many;
        let (ours, peer) = (format!("{bytes} bytes"), format!("payload: {PAYLOAD_BYTES} bytes"));
        Row { what, ours, peer, ratio: bytes as f64 / PAYLOAD_BYTES as f64 }.print();
    }
    let cost = |wall| Cost { wall, ..Cost::default() };
    against("open a store of 10⁶ entries", cost(took_many), "of 10³ entries", cost(few)).print();
}

/// Entries of a log that is measured: a million, or fewer where `ESCROW_MEASURES_ENTRIES` says so, to
/// see that the measure works.
fn entries() -> u64 {
    const MANY: u64 = 1_000_000;
    let few = std::env::var("ESCROW_MEASURES_ENTRIES").ok();
    let entries = few.map_or(MANY, |text| text.parse().unwrap());
    if entries != MANY {
        println!("with {entries} entries where 10⁶ is written");
    }
    entries
}

/// Verifying the export of an agreement with some thousands of deposits in a log of a million entries,
/// beside SHA-256 over the same file. The agreement is a real one: every statement signed, every
/// deposit's proof of origin made. The rest of the log is made up: random leaves behind those of the
/// vault, under a checkpoint signed with its key, since to a verifier other people's leaves are no more
/// than that.
fn exported() {
    const DEPOSITS: usize = 5_000;
    let many = entries();
    let mut vault = Vault::new("export");
    vault.small_deposits(64, DEPOSITS.min(usize::try_from(many / 20).unwrap()));
    let small = vault.path("small.tgz");
    let audit = ["audit", &vault.agreement, "--export"];
    json(escrow(&vault.path("trade-secret-center")).args(audit).arg(&small));
    vault.stop(rustix::process::Signal::TERM);
    let open = || File::open(&small).unwrap();
    let mut export = export::read(open(), open().metadata().unwrap().len()).unwrap();
    let mut leaves: Vec<u8> = Vec::new();
    export::leaves(open(), |leaf| leaves.extend(leaf.0)).unwrap();
    let made_up = many.saturating_sub(leaves.len() as u64 / 48) * 48;
    let mut random = File::open("/dev/urandom").unwrap().take(made_up);
    random.read_to_end(&mut leaves).unwrap();
    let mut edge = Edge::default();
    leaves.chunks(48).for_each(|leaf| edge.push(merkle::leaf_hash(leaf), |_, _| ()));
    let seed = Keyring::at(&vault.path("vault").join("keys")).read("ledger.key", 32).unwrap();
    let key = SigningKey::from_bytes(seed.as_slice().try_into().unwrap());
    let (origin, size, root) = (export.key.name().to_owned(), edge.size(), edge.root());
    let checkpoint = Checkpoint { origin, size, root };
    export.checkpoint = export.key.sign(&key, &checkpoint.to_string());
    let events: usize = export.streams.values().map(Vec::len).sum();
    let large = vault.path("large.tgz");
    let to = File::create(&large).unwrap();
    export::write(&export, size, leaves.as_slice(), to).unwrap();
    let bytes = large.metadata().unwrap().len();
    println!("an export of {events} events in a log of {size} entries: {} MiB", bytes >> 20);
    let mut verify = Command::new(env!("CARGO_BIN_EXE_escrow"));
    let (_, ours) = measured(verify.args(["--json", "verify"]).arg(&large));
    let resident_mib = ours.resident_mib;
    let peer = run(Command::new("sha256sum").arg(&large));
    against("verify an export, a log of 10⁶ entries", ours, "sha256sum", peer).print();
    let (ours, peer) = (format!("{resident_mib} MiB"), format!("the file: {} MiB", bytes >> 20));
    let ratio = resident_mib as f64 / (bytes as f64 / f64::from(1 << 20));
    Row { what: "peak memory of that", ours, peer, ratio }.print();
}

/// Makes no records.
struct Nothing;

impl Projector for Nothing {
    fn project(&self, _: &Entry, _: ReadRecord<'_>) -> Result<Records, ReadError> {
        Ok(Records::new())
    }
}
