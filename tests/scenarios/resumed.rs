//! Retrievals that break off go on from the last byte that was received: by what the vault has
//! entered, and by the bytes that it has sent.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use super::{TERMS, World};

const SIZE: usize = 32 << 20;
/// Handshakes, the streams that are followed, TLS's and HTTP's own bytes, and what was on its way when
/// a connection ended.
const BESIDES: u64 = 6 << 20;

/// Stands between clients and the vault.
struct Way {
    address: String,
    state: Arc<State>,
}

struct State {
    /// Bytes that the vault has sent to clients.
    down: AtomicU64,
    /// How many more may come down before something happens.
    left: AtomicI64,
    /// Whether a connection is held up then, and not cut.
    is_holding: AtomicBool,
    held: Mutex<bool>,
    changed: Condvar,
}

impl Way {
    fn to(vault: &str) -> Self {
        // By the same host: under that name it has a certificate.
        let (host, _) = vault.rsplit_once(':').unwrap();
        let listener = TcpListener::bind(format!("{host}:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            down: AtomicU64::new(0),
            left: AtomicI64::new(i64::MAX),
            is_holding: AtomicBool::new(false),
            held: Mutex::new(false),
            changed: Condvar::new(),
        });
        let (vault, shared) = (vault.to_owned(), Arc::clone(&state));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let Ok(vault) = TcpStream::connect(&vault) else { continue };
                let (client_up, vault_up) =
                    (client.try_clone().unwrap(), vault.try_clone().unwrap());
                std::thread::spawn(move || {
                    drop(std::io::copy(&mut &client_up, &mut &vault_up));
                    drop(vault_up.shutdown(Shutdown::Write));
                });
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.carry(vault, client));
            }
        });
        Self { address, state }
    }

    /// Cuts a connection once so many more bytes have come down.
    fn cut_after(&self, bytes: i64) {
        self.state.is_holding.store(false, Ordering::SeqCst);
        self.state.left.store(bytes, Ordering::SeqCst);
    }

    /// Holds it up instead.
    fn hold_after(&self, bytes: i64) {
        self.state.is_holding.store(true, Ordering::SeqCst);
        self.state.left.store(bytes, Ordering::SeqCst);
    }

    /// Waits until a connection is held up.
    fn wait_until_held(&self) {
        let held = self.state.held.lock().unwrap();
        let wait = self.state.changed.wait_timeout_while(held, super::PATIENCE, |held| !*held);
        assert!(!wait.unwrap().1.timed_out(), "nothing was held up");
    }

    fn down(&self) -> u64 {
        self.state.down.load(Ordering::SeqCst)
    }
}

impl State {
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(taken @ 1..) = from.read(&mut buffer) {
            self.down.fetch_add(taken as u64, Ordering::SeqCst);
            let left = self.left.fetch_sub(taken as i64, Ordering::SeqCst);
            if left < taken as i64 && left > 0 {
                self.left.store(i64::MAX, Ordering::SeqCst);
                if !self.is_holding.load(Ordering::SeqCst) {
                    break;
                }
                *self.held.lock().unwrap() = true;
                self.changed.notify_all();
                // Until the client is gone, which is told by its connection.
                while let Ok(1..) = to.peek(&mut [0]) {
                    std::thread::yield_now();
                }
                break;
            }
            if to.write_all(&buffer[..taken]).is_err() {
                break;
            }
        }
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    }
}

/// An agreement with a large deposit, and a request for it that is released.
struct Stage {
    world: World,
    agreement: String,
    deposit: String,
    content: Vec<u8>,
}

impl Stage {
    /// Under terms by which a bundle may be fetched once, which to go on does not use up.
    fn set(size: usize) -> Self {
        let (world, _) = World::with_agreement();
        let agreement = world.agree(&format!("{TERMS}access = {{ times = 1 }}\n"));
        let content: Vec<u8> = (0..size).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect();
        let deposit = world.deposit(&agreement, &content);
        Self { world, agreement, deposit, content }
    }

    fn released(&self) -> String {
        let request = self.world.request(&self.deposit, "joint");
        self.world.approve("trade-secret-center", &request);
        assert_eq!(self.world.approve("hanbit-parts", &request), "released");
        request
    }

    /// Has the requester reach the vault by another way.
    fn by_way(&self) -> Way {
        let way = Way::to(&self.world.address);
        let file = self.world.home("orient-display").join("vault.json");
        let mut known: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        known["address"] = way.address.clone().into();
        fs::write(&file, serde_json::to_vec(&known).unwrap()).unwrap();
        way
    }

    /// How often the vault has entered that it hands this out.
    fn handed_out(&self) -> usize {
        let audit = self.world.escrow("hanbit-parts", &["audit", &self.agreement]).records();
        audit.iter().filter(|entry| entry["kind"] == "was_handed_bundle").count()
    }

    fn partial(&self) -> PathBuf {
        self.world.home("orient-display").join("partial")
    }

    /// Where what is received for the only open request is kept.
    fn kept(&self) -> PathBuf {
        let secrets = fs::read_dir(self.world.home("orient-display").join("requests")).unwrap();
        let names: Vec<_> = secrets.map(|secret| secret.unwrap().file_name()).collect();
        let [name] = names.as_slice() else { panic!("{names:?}") };
        self.partial().join(name)
    }

    fn assert_nothing_is_left(&self, out: &str) {
        let got = fs::read(self.world.path(out).join("recipe.txt")).unwrap();
        assert!(got == self.content, "what came back is not what was deposited");
        assert_eq!(fs::read_dir(self.partial()).unwrap().count(), 0, "all of it is retrieved");
    }
}

#[test]
fn a_retrieval_goes_on_where_its_connection_was_lost() {
    let stage = Stage::set(SIZE);
    let (request, way) = (stage.released(), stage.by_way());
    let out = stage.world.path("out").display().to_string();
    way.cut_after(20 << 20);
    let got = stage.world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]);
    assert!(got.err.contains("trying again in"), "{}", got.err);
    assert_eq!(got.record()["plaintext_size"].as_u64().unwrap() >> 20, 32);
    stage.assert_nothing_is_left("out");
    assert!(way.down() < SIZE as u64 + BESIDES, "{} bytes: it started over", way.down());
    assert_eq!(stage.handed_out(), 2, "each call is entered");
}

#[test]
fn a_retrieval_goes_on_after_its_client_was_killed() {
    let stage = Stage::set(SIZE);
    let (request, way) = (stage.released(), stage.by_way());
    let out = stage.world.path("out").display().to_string();
    let retrieve = ["retrieve", &request, "--out", &out, "--yes"];
    way.hold_after(20 << 20);
    let killed = stage.world.escrow_beside("orient-display", &retrieve);
    way.wait_until_held();
    let kept = || fs::metadata(stage.kept()).map_or(0, |file| file.len());
    while kept() < 16 << 20 {
        std::thread::yield_now();
    }
    killed.end();
    assert!(!stage.world.path("out").exists());
    let (before, kept) = (way.down(), kept());
    stage.world.escrow("orient-display", &retrieve).record();
    stage.assert_nothing_is_left("out");
    let sent = way.down() - before;
    assert!(sent < SIZE as u64 - kept + BESIDES, "{sent} bytes behind {kept}: it started over");
    assert_eq!(stage.handed_out(), 2, "each call is entered");
}

#[test]
fn what_was_kept_is_used_only_as_far_as_it_is_the_bundles() {
    let stage = Stage::set(3 << 20);
    let bundle =
        fs::read(stage.world.data().join("bundles").join(format!("{}.age", stage.deposit)))
            .unwrap();
    let request = stage.released();
    let retrieve = |out: &str| {
        let out = stage.world.path(out).display().to_string();
        stage.world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"])
    };
    let keep = |bytes: &[u8]| {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(stage.partial()).unwrap();
        fs::write(stage.kept(), bytes).unwrap();
    };
    let half = bundle.len() / 2;
    let flipped = |at: usize| {
        let mut bytes = bundle.clone();
        bytes[at] ^= 1;
        bytes
    };
    let begun = stage.handed_out();
    let damaged = [
        ("rubbish", vec![7; half]),
        ("a header that was altered", flipped(40)[..half].to_vec()),
        ("a chunk that was altered", flipped(half - 9)[..half].to_vec()),
        ("all of it, its last byte altered", flipped(bundle.len() - 1)),
    ];
    let rows = damaged.len();
    for (what, bytes) in damaged {
        keep(&bytes);
        let got = retrieve("out");
        assert_eq!(got.refusal(), "NOT_THE_BUNDLE", "{what}: {}", got.err);
        assert!(!stage.kept().exists(), "{what}: it was thrown away");
        assert!(!stage.world.path("out").exists(), "{what}: nothing half is left");
    }
    // Held by another program.
    keep(&bundle[..half]);
    let file = fs::File::open(stage.kept()).unwrap();
    file.lock().unwrap();
    assert_eq!(retrieve("out").refusal(), "BUSY");
    drop(file);
    assert_eq!(stage.handed_out() - begun, rows, "nothing was handed out for that one");
    // Of a request that is long over.
    fs::write(stage.partial().join("00ff.age"), "left over").unwrap();
    retrieve("out").record();
    stage.assert_nothing_is_left("out");

    for (what, bytes) in [
        ("all of it", bundle.clone()),
        ("more than all of it", [&bundle[..], b"more"].concat()),
        ("a single byte", bundle[..1].to_vec()),
    ] {
        let request = stage.released();
        keep(&bytes);
        let out = stage.world.path(what).display().to_string();
        stage
            .world
            .escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"])
            .record();
        stage.assert_nothing_is_left(what);
    }
}
