//! `cargo bench --bench fairness`: how much longer small commands of one organisation take while another
//! uploads eight bundles of 1 GiB at once: medians over three rounds, idle and busy in turn.
//!
//! Small commands are `escrow status`, which reads, and `escrow register`, which is durable when it ends,
//! run as people run them: each begins a session of its own. Compared are the 99th percentiles, of which
//! the goal is 3. Without what a command has to do besides, on a connection that is open, the same reads
//! and statements are shown as well: they take so little when nobody else is there that whatever they
//! wait for is many times that.
//!
//! The uploading clients run on this machine where nobody else wants a processor (`chrt --idle`):
//! elsewhere they would have computers of their own. What they still take from two processors, and from
//! one disk, is in the ratio. So is what the disk does for a durable write while other bytes are written
//! back to it: `fdatasync` says how much that is, measured beside the same uploads, and no vault can be
//! faster.
//!
//! `ESCROW_FAIRNESS_MIB` uploads other sizes.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong while measuring ends it"
)]

#[allow(dead_code, reason = "other benches use the rest")]
mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use escrow_vault::client::acts::registration::{Document, register};
use escrow_vault::client::home::Home;
use escrow_vault::client::session::Session;
use escrow_vault::crypto::signature;
use escrow_vault::crypto::timestamp::Imprint;
use tokio::runtime::Runtime;

use crate::common::process::{cpu, json};
use crate::common::table::{Row, head};
use crate::common::uploads::Uploads;
use crate::common::vault::{Vault, escrow};

const ROUNDS: usize = 3;
const UPLOADS: usize = 8;
/// What the vault has to have worked for the uploads before they count as under way.
const UNDER_WAY: Duration = Duration::from_millis(500);

const KINDS: [(&str, usize); 5] = [
    ("escrow status, p99", 100),
    ("escrow register, p99", 100),
    ("read a stream, connected, p99", 500),
    ("a durable statement, connected, p99", 200),
    ("fdatasync of 4 KiB, p99 (no vault)", 200),
];

fn main() {
    let mib = std::env::var("ESCROW_FAIRNESS_MIB").map_or(1024, |mib| mib.parse().unwrap());
    let vault = Vault::new("fairness");
    let source = vault.file("large.bin", mib << 20);
    let mut small = Small::begin(&vault);
    small.each(&vault);
    let (mut idle, mut busy) =
        ([const { Vec::new() }; KINDS.len()], [const { Vec::new() }; KINDS.len()]);
    for _ in 0..ROUNDS {
        push(&mut idle, small.each(&vault));
        let busy_now = beside_uploads(&vault, &source, || small.each(&vault));
        push(&mut busy, busy_now);
    }
    head();
    for ((what, _), (idle, busy)) in KINDS.into_iter().zip(idle.into_iter().zip(busy)) {
        let [idle, busy] = [idle, busy].map(|mut took| {
            took.sort_unstable();
            took[ROUNDS / 2]
        });
        let ratio = busy.as_secs_f64() / idle.as_secs_f64();
        Row { what, ours: format!("{busy:.1?}"), peer: format!("idle: {idle:.1?}"), ratio }.print();
    }
}

fn push(rounds: &mut [Vec<Duration>; KINDS.len()], took: [Duration; KINDS.len()]) {
    rounds.iter_mut().zip(took).for_each(|(rounds, took)| rounds.push(took));
}

/// What is done while uploads of the depositor are under way, all the time.
fn beside_uploads<T>(vault: &Vault, source: &Path, act: impl FnOnce() -> T) -> T {
    let before = cpu(vault.server.id());
    let _uploads = Uploads::begin(vault, &[vault.path("hanbit-parts")], UPLOADS, source);
    while cpu(vault.server.id()) - before < UNDER_WAY {
        std::thread::sleep(Duration::from_millis(50));
    }
    act()
}

/// Another organisation with small things to do.
struct Small {
    runtime: Runtime,
    session: Session,
    synced: File,
    count: u64,
}

impl Small {
    fn begin(vault: &Vault) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let home = Home::open(&vault.path("orient-display")).unwrap();
        let session = runtime.block_on(Session::open(home)).unwrap();
        let synced = File::create(vault.path("synced")).unwrap();
        Self { runtime, session, synced, count: 0 }
    }

    /// One figure a kind.
    fn each(&mut self, vault: &Vault) -> [Duration; KINDS.len()] {
        let agreement = vault.agreement.parse().unwrap();
        let [looks, registrations, reads, statements, syncs] = KINDS.map(|(_, times)| times);
        let home = vault.path("trade-secret-center");
        let looks = times(looks, || {
            json(escrow(&home).arg("status"));
        });
        let document = vault.path("registered.bin");
        let registrations = times(registrations, || {
            self.count += 1;
            fs::write(&document, self.count.to_be_bytes()).unwrap();
            json(escrow(&home).args(["--yes", "register"]).arg(&document));
        });
        let reads = times(reads, || {
            self.runtime.block_on(self.session.agreement(&agreement)).unwrap();
        });
        let statements = times(statements, || {
            self.count += 1;
            let sha256 = signature::sha256(&self.count.to_be_bytes());
            let label = "measured".parse().unwrap();
            let imprint = Imprint::sha256(&sha256);
            let document = Document { label, size: self.count, sha256, imprint };
            self.runtime.block_on(register(&self.session, &[document])).unwrap();
        });
        let syncs = times(syncs, || {
            self.synced.write_all(&[7; 4096]).unwrap();
            self.synced.sync_data().unwrap();
        });
        [looks, registrations, reads, statements, syncs].map(|mut took| {
            took.sort_unstable();
            took[(took.len() * 99 / 100).min(took.len() - 1)]
        })
    }
}

/// How long each of so many takes.
fn times(count: usize, mut act: impl FnMut()) -> Vec<Duration> {
    let once = |_| {
        let began = Instant::now();
        act();
        began.elapsed()
    };
    (0..count).map(once).collect()
}
