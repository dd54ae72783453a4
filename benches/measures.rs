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

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime};

use escrow_vault::client::acts::deposit;
use escrow_vault::client::archive::pack::Plan;
use escrow_vault::client::export;
use escrow_vault::client::home::Home;
use escrow_vault::client::session::Session;
use escrow_vault::crypto::contribution::{Target, contribute, verify};
use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::crypto::release_key::{ReleaseKey, deal, number};
use escrow_vault::crypto::request_point::RequestSecret;
use escrow_vault::crypto::seal::{Origin, Seal};
use escrow_vault::crypto::signature::{self, SigningKey};
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::{Note, SignedText};
use escrow_vault::domain::id::{AgreementId, Bytes, MemberPath, OrganisationName};
use escrow_vault::domain::statement::{Content, Invitation, Log, Made, Statement};
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
use serde_json::Value;

/// A figure and its peer, as they are printed.
struct Row {
    what: &'static str,
    ours: String,
    peer: String,
    ratio: f64,
}

impl Row {
    /// Printed as soon as it is measured.
    fn print(self) {
        let Self { what, ours, peer, ratio } = self;
        println!("{what:<44} {ours:>22} {peer:>34} {ratio:>7.2}");
    }
}

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let measures: [(&str, fn()); 8] = [
        ("bulk", bulk),
        ("durable", durable),
        ("statements", statements),
        ("memory", memory),
        ("contribution", contribution),
        ("start", start),
        ("log", log),
        ("export", exported),
    ];
    println!("{:<44} {:>22} {:>34} {:>7}", "measure", "ours", "peer", "ratio");
    for (name, measure) in measures {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure();
        }
    }
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
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let dir = tempfile::Builder::new().prefix("statements").tempdir_in(place).unwrap();
    let syncs = syncs_per_second(&dir.path().join("syncs"));
    for (clients, each, what, beside) in [
        (1, 400, "statements/s, 1 at a time", "the same beside the disk"),
        (64, 100, "statements/s, 64 at a time", "the same beside the disk"),
    ] {
        let mut rates = [const { Vec::new() }; 2];
        for _ in 0..RUNS {
            for (rates, has_log) in rates.iter_mut().zip([true, false]) {
                let dir = tempfile::Builder::new().prefix("vault").tempdir_in(place).unwrap();
                rates.push(runtime.block_on(stated(dir.path(), has_log, clients, each)));
            }
        }
        let [with, without] = rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[RUNS / 2]
        });
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
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let dir = tempfile::Builder::new().prefix("log").tempdir_in(place).unwrap();
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

/// What a process took.
#[derive(Default)]
struct Cost {
    wall: Duration,
    cpu: Duration,
    resident_mib: u64,
}

fn against(what: &'static str, ours: Cost, peer: &str, theirs: Cost) -> Row {
    let shown = |cost: &Cost| match cost.cpu.is_zero() {
        true => format!("{:.2?}", cost.wall),
        false => format!("{:.2?} ({:.1} CPU-s)", cost.wall, cost.cpu.as_secs_f64()),
    };
    let ratio = ours.wall.as_secs_f64() / theirs.wall.as_secs_f64();
    Row { what, ours: shown(&ours), peer: format!("{peer}: {}", shown(&theirs)), ratio }
}

/// A vault that is served, with three organisations and an agreement.
struct Vault {
    dir: tempfile::TempDir,
    address: String,
    server: Child,
    agreement: String,
    deposited: AtomicUsize,
}

const PARTIES: [(&str, &str); 3] =
    [("hanbit-parts", "minji"), ("orient-display", "junho"), ("trade-secret-center", "sora")];

const TERMS: &str = include_str!("../tests/scenarios/joint.toml");

impl Vault {
    fn new(name: &str) -> Self {
        // Where the programs were built: a directory in memory would sync nothing.
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = tempfile::Builder::new().prefix(name).tempdir_in(place).unwrap();
        let [_, _, _, low] = std::process::id().to_be_bytes();
        let address = format!("127.77.{low}.1:7443");
        let data = dir.path().join("vault");
        run(escrowd("init").arg("--data").arg(&data).args(["--public-address", &address]));
        // So many calls at a time as 64 clients of one member make.
        let config = data.join("escrowd.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("# [quota]", "[quota]\nstreams = 2048")).unwrap();
        let server = spawn_server(&data, &address);
        let (agreement, deposited) = (String::new(), AtomicUsize::new(0));
        let mut vault = Self { dir, address, server, agreement, deposited };
        for (organisation, member) in PARTIES {
            let operator = data.join("operator");
            let invited = json(escrow(&operator).args([
                "--yes",
                "invite",
                "--org",
                organisation,
                "--member",
                member,
            ]));
            let line = vault.path("invitation");
            fs::write(&line, invited["invitation"].as_str().unwrap()).unwrap();
            json(escrow(&vault.path(organisation)).args(["--yes", "join"]).arg(&line));
        }
        for (of, _) in PARTIES {
            let own = json(escrow(&vault.path(of)).arg("whoami"));
            let fingerprint = own["organisation_fingerprint"].as_str().unwrap();
            for (at, _) in PARTIES.iter().filter(|(at, _)| *at != of) {
                json(escrow(&vault.path(at)).args(["--yes", "trust", of, fingerprint]));
            }
        }
        let terms = vault.path("terms.toml");
        fs::write(&terms, TERMS).unwrap();
        let depositor = vault.path("hanbit-parts");
        let proposed = json(escrow(&depositor).args(["--yes", "agreement", "propose"]).arg(&terms));
        vault.agreement = proposed["id"].as_str().unwrap().to_owned();
        for (party, _) in &PARTIES[1..] {
            let accept = ["--yes", "agreement", "accept", &vault.agreement];
            json(escrow(&vault.path(party)).args(accept));
        }
        vault
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of so many bytes that no compression makes smaller.
    fn file(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.path(name);
        let mut file = File::create(&path).unwrap();
        let mut random = File::open("/dev/urandom").unwrap().take(bytes);
        std::io::copy(&mut random, &mut file).unwrap();
        file.sync_all().unwrap();
        path
    }

    fn deposit(&self, file: &Path) -> (String, Cost) {
        let mut command = escrow(&self.path("hanbit-parts"));
        command.args(["--yes", "deposit", &self.agreement]).arg(file);
        let (deposited, cost) = measured(&command);
        (deposited["id"].as_str().unwrap().to_owned(), cost)
    }

    /// Requests and approves; what the retrieval took.
    fn release(&self, deposit: &str, out: &Path) -> Cost {
        let ask = ["--yes", "request", deposit, "--rule", "joint", "--purpose", "measured"];
        let asked = json(escrow(&self.path("orient-display")).args(ask));
        let request = asked["id"].as_str().unwrap();
        for party in ["trade-secret-center", "hanbit-parts"] {
            json(escrow(&self.path(party)).args(["--yes", "approve", request]));
        }
        let mut command = escrow(&self.path("orient-display"));
        measured(command.args(["--yes", "retrieve", request, "--out"]).arg(out)).1
    }

    /// Deposits sealed beforehand, by so many clients at once; how many a second.
    fn small_deposits(&self, clients: usize, deposits: usize) -> f64 {
        let each = deposits.div_ceil(clients);
        let begin = Arc::new(Barrier::new(clients + 1));
        // In memory: reading them back takes nothing from the disk that is measured.
        let sealed = Arc::new(tempfile::tempdir_in("/dev/shm").unwrap());
        let content = self.path("small.bin");
        fs::write(&content, vec![7; 1024]).unwrap();
        let first = self.deposited.fetch_add(1, Ordering::Relaxed);
        let threads: Vec<_> = (0..clients)
            .map(|client| {
                let (home, begin) = (self.path("hanbit-parts"), Arc::clone(&begin));
                let (agreement, content) = (self.agreement.clone(), content.clone());
                let label = format!("{first}-{client}");
                let sealed = Arc::clone(&sealed);
                std::thread::spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build();
                    runtime.unwrap().block_on(async {
                        let mut session = Session::open(Home::open(&home).unwrap()).await.unwrap();
                        let agreement = agreement.parse().unwrap();
                        let agreement = session.agreement(&agreement).await.unwrap();
                        let plan = Plan::survey(&[content], &[]).unwrap();
                        let bundles: Vec<_> = (0..each)
                            .map(|number| {
                                let at = sealed.path().join(format!("{client}-{number}.age"));
                                deposit::seal_to_file(&agreement, &plan, &at, |_| ()).unwrap();
                                at
                            })
                            .collect();
                        // Anew: while it sealed, this thread answered nobody.
                        let mut session = Session::open(Home::open(&home).unwrap()).await.unwrap();
                        let agreement = session.agreement(&agreement.id).await.unwrap();
                        begin.wait();
                        for file in bundles {
                            let content = Content::Tar;
                            let bundle = deposit::ready_bundle(&agreement, &file, content).unwrap();
                            let label = label.parse().unwrap();
                            deposit::deposit(&session, &agreement, bundle, label, |_| ())
                                .await
                                .unwrap();
                        }
                    });
                })
            })
            .collect();
        begin.wait();
        let began = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        (each * clients) as f64 / began.elapsed().as_secs_f64()
    }

    fn stop(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.server.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        self.server.wait().unwrap();
    }

    /// Starts the server; how long until it listened.
    fn serve(&mut self) -> Duration {
        let began = Instant::now();
        self.server = spawn_server(&self.path("vault"), &self.address);
        began.elapsed()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn spawn_server(data: &Path, address: &str) -> Child {
    let mut command = escrowd("serve");
    command.arg("--data").arg(data).args(["--listen", address]).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut speech = BufReader::new(server.stderr.take().unwrap());
    let mut line = String::new();
    while speech.read_line(&mut line).unwrap() > 0 && !line.contains("listening on ") {
        line.clear();
    }
    assert!(line.contains("listening on "), "the server did not start");
    std::thread::spawn(move || std::io::copy(&mut speech, &mut std::io::sink()));
    server
}

fn escrowd(command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_escrowd"));
    program.arg(command);
    program
}

fn escrow(home: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_escrow"));
    program.arg("--json").arg("--home").arg(home);
    program
}

fn json(command: &mut Command) -> Value {
    let ended = command.stdin(Stdio::null()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// Runs a program, passes on what it puts out and its exit code, and adds a line: seconds, seconds
/// of processor time, and KiB that were resident at most. `rustix` waits without asking for these,
/// and forbidding `unsafe`, we let Python ask. As a process begins as a copy of the one that starts
/// it, the last figure is never less than what Python itself has resident, some 10 MiB.
const METER: &str = "import os, sys, time\n\
    began = time.monotonic()\n\
    child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)\n\
    _, status, used = os.wait4(child, 0)\n\
    cpu = used.ru_utime + used.ru_stime\n\
    print([time.monotonic() - began, cpu, used.ru_maxrss])\n\
    sys.exit(os.waitstatus_to_exitcode(status))\n";

fn metered(command: &Command) -> Command {
    let mut meter = Command::new("python3");
    meter.args(["-I", "-S", "-c", METER]).arg(command.get_program()).args(command.get_args());
    meter.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    meter
}

/// What a metered command put out and took.
fn taken(meter: &mut Command) -> (String, Cost) {
    let ended = meter.output().unwrap();
    assert!(ended.status.success(), "{meter:?}");
    let text = String::from_utf8(ended.stdout).unwrap();
    let (out, told) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    let (wall, cpu, resident_kib): (f64, f64, u64) = serde_json::from_str(told).unwrap();
    let [wall, cpu] = [wall, cpu].map(Duration::from_secs_f64);
    (out.to_owned(), Cost { wall, cpu, resident_mib: resident_kib >> 10 })
}

/// Runs a command that puts out a record; what that is, and what it took.
fn measured(command: &Command) -> (Value, Cost) {
    let (out, cost) = taken(&mut metered(command));
    (serde_json::from_str(&out).unwrap(), cost)
}

/// Runs a command whose words are of no interest; what it took.
fn run(command: &Command) -> Cost {
    taken(metered(command).stderr(Stdio::null())).1
}

/// The most memory a process ever had resident, in MiB.
fn resident_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

/// How often the disk makes 4 KiB durable in a second.
fn syncs_per_second(path: &Path) -> f64 {
    let mut file = File::create(path).unwrap();
    let (began, mut count) = (Instant::now(), 0u32);
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

fn same(one: &Path, other: &Path) -> bool {
    let mut readers = [one, other].map(|path| BufReader::new(File::open(path).unwrap()));
    let mut buffers = [vec![0; 1 << 20], vec![0; 1 << 20]];
    loop {
        let mut counts = [0, 0];
        for ((reader, buffer), count) in readers.iter_mut().zip(&mut buffers).zip(&mut counts) {
            while *count < buffer.len() {
                match reader.read(&mut buffer[*count..]).unwrap() {
                    0 => break,
                    taken => *count += taken,
                }
            }
        }
        let [one, other] = &buffers;
        if counts[0] != counts[1] || one[..counts[0]] != other[..counts[1]] {
            return false;
        }
        if counts[0] == 0 {
            return true;
        }
    }
}
