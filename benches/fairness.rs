//! `cargo bench --bench fairness`: how much longer small commands of one organisation take while another
//! uploads eight bundles of 1 GiB at once: medians over three rounds, idle and busy in turn.
//!
//! Small commands are reads of an agreement's stream and durable statements (registrations), on a
//! connection that is open, and whole `escrow status` commands, which each begin a session. For the
//! first two the 99th percentiles are compared, for the last the slowest. The goal is 3.
//!
//! The uploading clients run on this machine where nobody else wants a processor (`chrt --idle`):
//! elsewhere they would have computers of their own. What they still take from two processors, and from one disk, is in the ratio.
//! So is what the disk does for a durable write while other bytes are written back to it: `fdatasync`
//! says how much that is, measured beside the same uploads, and no vault can be faster.
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

use std::fs::File;
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

const KINDS: [(&str, usize); 4] = [
    ("read a stream, p99", 500),
    ("a durable statement, p99", 200),
    ("escrow status, slowest of 20", 20),
    ("fdatasync of 4 KiB, p99 (no vault)", 200),
];

fn main() {
    let mib = std::env::var("ESCROW_FAIRNESS_MIB").map_or(1024, |mib| mib.parse().unwrap());
    let vault = Vault::new("fairness");
    let source = vault.file("large.bin", mib << 20);
    let mut small = Small::begin(&vault);
    small.each(&vault);
    let (mut idle, mut busy) = ([const { Vec::new() }; 4], [const { Vec::new() }; 4]);
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

fn push(rounds: &mut [Vec<Duration>; 4], took: [Duration; 4]) {
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
    fn each(&mut self, vault: &Vault) -> [Duration; 4] {
        let agreement = vault.agreement.parse().unwrap();
        let [reads, statements, commands, syncs] = KINDS.map(|(_, times)| times);
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
        let commands = times(commands, || {
            json(escrow(&vault.path("trade-secret-center")).arg("status"));
        });
        let syncs = times(syncs, || {
            self.synced.write_all(&[7; 4096]).unwrap();
            self.synced.sync_data().unwrap();
        });
        [reads, statements, commands, syncs].map(|mut took| {
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
