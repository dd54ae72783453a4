//! `cargo bench --bench scale [-- NAME…]`: a vault of a million deposits beside the same vault while it
//! had a thousand: starting it, what its members do there, and the disk that a deposit takes up.
//!
//! A thousand deposits are real ones, of three parties that work from their homes over TLS on loopback.
//! The rest is made up, a thousand in each agreement that there is not: signed statements of random
//! bundles of 1 KiB, committed to the store in large batches. To whoever is no party of theirs, and to a
//! start, they are what real ones would be. `ESCROW_SCALE_DEPOSITS` makes it any number.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong while measuring ends it"
)]

#[allow(dead_code, reason = "other benches use the rest")]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use escrow_vault::crypto::signature::{self, SigningKey};
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::{Act, ENGINE, Event, EventType};
use escrow_vault::domain::id::{AgreementId, Bytes, DepositId};
use escrow_vault::domain::statement::{Deposit, Sealing, Statement};
use escrow_vault::domain::stream::Stream;
use escrow_vault::ledger::{Entry, LabelKey};
use escrow_vault::store::{Batch, Blob, DiskStore, Options, Projector as _, Records, Store as _};
use escrow_vault::vault::DomainProjector;
use rand_core::{OsRng, RngCore as _};
use rustix::process::Signal;

use crate::common::process::{Cost, measured};
use crate::common::table::{against, measure, medians};
use crate::common::vault::{Vault, escrow};

/// Deposits of one agreement.
const EACH: u64 = 1_000;
/// Bytes of a bundle.
const BUNDLE_BYTES: usize = 1_024;
/// Deposits of one batch.
const BATCH: u64 = 500;
/// How often each is measured, for its median.
const RUNS: usize = 5;

fn main() {
    measure([("count", count), ("long", long)]);
}

/// What is measured at either size.
struct Figures {
    clean: f64,
    killed: f64,
    show: f64,
    list: f64,
    page: f64,
    request: f64,
}

/// A million deposits beside a thousand.
fn count() {
    let many = deposits("ESCROW_SCALE_DEPOSITS", 1_000_000);
    let mut vault = Vault::new("scale");
    vault.small_deposits(8, EACH as usize);
    let few = Figures::of(&mut vault);
    vault.stop(Signal::TERM);
    let before = bytes(&vault.path("vault"));
    let (made, began) = (many.saturating_sub(EACH), Instant::now());
    fill(&vault.path("vault"), made);
    let took = began.elapsed();
    println!("{made} more deposits were made up in {:.0} s", took.as_secs_f64());
    let after = bytes(&vault.path("vault"));
    // Signs a checkpoint of them.
    vault.serve();
    let first = visit(&vault);
    println!("the first visit after them, which fetches their leaves: {:.2?}", first);
    let many = Figures::of(&mut vault);
    for (what, many, few) in [
        ("start after a clean stop", many.clean, few.clean),
        ("start after kill -9, 64 deposits behind it", many.killed, few.killed),
        ("show a deposit", many.show, few.show),
        ("deposits of an agreement, all", many.list, few.list),
        ("deposits of an agreement, a page of 50", many.page, few.page),
        ("request a deposit", many.request, few.request),
    ] {
        let cost = |seconds| Cost { wall: Duration::from_secs_f64(seconds), ..Cost::default() };
        against(what, cost(many), "with 10³ deposits", cost(few)).print();
    }
    for name in ["journal", "sled", "bundles"] {
        let taken = after[name].saturating_sub(before[name]) as f64 / made as f64;
        println!("{name}: {taken:.0} bytes a deposit with its bundle of {BUNDLE_BYTES}");
    }
}

impl Figures {
    fn of(vault: &mut Vault) -> Self {
        let mut starts = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            vault.stop(Signal::TERM);
            starts[0].push(vault.serve().as_secs_f64());
            vault.small_deposits(8, 64);
            vault.stop(Signal::KILL);
            starts[1].push(vault.serve().as_secs_f64());
        }
        let [clean, killed] = starts.map(|mut starts| {
            starts.sort_by(f64::total_cmp);
            starts[RUNS / 2]
        });
        let home = vault.path("orient-display");
        let listed = lines(escrow(&home).args(["deposits", &vault.agreement]));
        let deposit = listed[0]["id"].as_str().unwrap().to_owned();
        let timed = |args: &[&str]| {
            let began = Instant::now();
            lines(escrow(&home).args(args));
            began.elapsed().as_secs_f64()
        };
        let ask = ["--yes", "request", &deposit, "--rule", "joint", "--purpose", "measured"];
        let [show, list, page, request] = medians(
            RUNS,
            [
                &mut || timed(&["show", &deposit]),
                &mut || timed(&["deposits", &vault.agreement]),
                &mut || timed(&["deposits", &vault.agreement, "--limit", "50"]),
                &mut || timed(&ask),
            ],
        );
        Self { clean, killed, show, list, page, request }
    }
}

/// One agreement with ten thousand deposits: what each costs a home that knows them.
fn long() {
    let many = usize::try_from(deposits("ESCROW_SCALE_LONG", 10_000)).unwrap();
    let vault = Vault::new("long");
    let show = |vault: &Vault| {
        visit(vault);
        medians(RUNS, [&mut || visit(vault).as_secs_f64()])[0]
    };
    vault.small_deposits(8, EACH as usize);
    let few = show(&vault);
    vault.small_deposits(8, many - EACH as usize);
    let first = visit(&vault).as_secs_f64();
    let warm = show(&vault);
    let cost = |seconds| Cost { wall: Duration::from_secs_f64(seconds), ..Cost::default() };
    against("show, 10⁴ in its agreement, all known", cost(warm), "10³ known", cost(few)).print();
    against("the first visit that sees 9,000 of them", cost(first), "10⁴ known", cost(warm))
        .print();
    let each = (warm - few) / (many - EACH as usize) as f64;
    println!("a known deposit costs a visit {:.1} µs", each * 1e6);
}

/// What showing the agreement takes.
fn visit(vault: &Vault) -> Duration {
    let mut command = escrow(&vault.path("orient-display"));
    let (_, cost) = measured(command.args(["show", &vault.agreement]));
    cost.wall
}

fn lines(command: &mut Command) -> Vec<serde_json::Value> {
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let text = String::from_utf8(ended.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn deposits(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap()).max(2 * EACH)
}

/// What the parts of a vault take up on disk.
fn bytes(data: &Path) -> BTreeMap<&'static str, u64> {
    let of = |name: &'static str| {
        let files = fs::read_dir(data.join(name)).unwrap();
        let lengths = files.map(|file| file.unwrap().metadata().unwrap().len());
        (name, lengths.sum())
    };
    ["journal", "sled", "bundles"].map(of).into()
}

/// Commits so many deposits to the store, a thousand in each agreement.
fn fill(data: &Path, count: u64) {
    let options = Options { reserve_bytes: 0, ..Options::default() };
    let store = DiskStore::open(data, &DomainProjector, &options).unwrap();
    let key = SigningKey::generate(&mut OsRng);
    let (model, last) = model(&store);
    let mut made = 0;
    while made < count {
        let agreement = AgreementId::of(&signature::sha256(&(made / EACH).to_be_bytes()));
        let stream = Stream::Agreement(agreement.clone());
        let mut stands = store.head(&stream).unwrap();
        let until = (made / EACH + 1) * EACH;
        let batch = BATCH.min(until - made).min(count - made);
        let (mut entries, mut blobs) = (Vec::new(), Vec::new());
        let mut records: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        for position in (store.ledger_size()..).take(batch as usize) {
            let mut bundle = vec![0; BUNDLE_BYTES];
            OsRng.fill_bytes(&mut bundle);
            let mut deposit = model.clone();
            OsRng.fill_bytes(&mut deposit.made.nonce.0);
            deposit.ground.agreement = agreement.clone();
            deposit.sha256 = signature::sha256(&bundle);
            deposit.size = BUNDLE_BYTES as u64;
            let signed = statement::sign(&key, &Statement::from(deposit)).unwrap();
            let id = DepositId::of(&signature::sha256(signed.statement.as_bytes()));
            let event = Event {
                kind: EventType::V1,
                log: last.log.clone(),
                engine: ENGINE,
                stream: stream.clone(),
                sequence: stands.sequence + 1,
                previous: stands.commitment,
                at: last.at,
                act: Act::Stated(signed),
            };
            let entry = Entry {
                position,
                stream: stream.clone(),
                sequence: event.sequence,
                label_key: LabelKey([7; 32]),
                salt: deposit_salt(position),
                payload: serde_json::to_vec(&event).unwrap(),
            };
            (stands.sequence, stands.commitment) = (entry.sequence, entry.commitment());
            let read = |name: &str| match records.get(name) {
                Some(value) => Ok(value.clone()),
                None => store.record(name),
            };
            let changed = DomainProjector.project(&entry, &read).unwrap();
            records.extend(changed);
            blobs.push(Blob { name: id.as_str().to_owned(), bytes: bundle });
            entries.push(entry);
        }
        let records: Records = records.into_iter().collect();
        let (expected, bundles) = (Vec::new(), Vec::new());
        store.commit(Batch { expected, entries, blobs, bundles, records }).unwrap();
        made += batch;
    }
    store.close().unwrap();
}

fn deposit_salt(position: u64) -> Bytes<32> {
    signature::sha256(&position.to_be_bytes())
}

/// The last deposit that was really made, and its event.
fn model(store: &DiskStore) -> (Deposit, Event) {
    for position in (0..store.ledger_size()).rev() {
        let entry = store.read_ledger(position, 1).unwrap().remove(0);
        let event = statement::event(&entry.payload).unwrap();
        let Act::Stated(signed) = &event.act else { continue };
        if let Statement::Deposit(deposit) = statement::parse(signed).unwrap().statement {
            assert!(matches!(deposit.sealing, Sealing::Escrow { .. }));
            return (deposit, event);
        }
    }
    panic!("no deposit");
}
