//! How much slower an honest member is served under each attack: `cargo bench --bench attack`.
//!
//! One member reads the newest events of an agreement on one connection, again and again. Everything
//! runs on one computer, but elsewhere attackers have computers of their own; so there are two things
//! to compare with, and two ratios of the 99th percentile:
//!
//! * **idle**: with nobody else there, measured once at the start. Beside the vault's part this has
//!   what attackers take from the computer that they share with the vault and the member here,
//!   although they run at the lowest priority.
//! * **elsewhere**: while the same attack program, as long and at the same priority, attacks somebody
//!   else (`tests/attack/sink.py`), who takes as many connections and bytes at an even pace, hangs up
//!   where the vault did, and throws everything away, at the lowest priority as well. So the computer
//!   bears attackers, loopback, TLS and decryption, and what is left is the vault's own doing:
//!   understanding frames, refusing, and being in the way of others. Measured for each attack, right
//!   after it. The sink asks for no client certificate and answers nothing.
//!
//! The goal is twice of *elsewhere*. The ratio to *idle* says what to expect where attackers do share
//! the computer. Attacks come from one network each, as from one attacker; the scattered ones
//! from 250 in turn, so that nothing the vault remembers of networks helps it. Needs Python with
//! `h2`, as the tests under attack do.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong while measuring ends it"
)]

#[path = "../tests/scenarios/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the tests' world, without its tests"
)]
mod scenarios;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenarios::attack::{FLOODS, LOADS, STALLS, Siege};

/// How long each is measured, in seconds.
const SECONDS: u64 = 6;
/// How much slower than with the attackers elsewhere an honest member may be served at the 99th
/// percentile.
const RATIO_MAX: f64 = 2.0;

fn main() {
    let Some(siege) = Siege::prepare() else { return };
    // `cargo bench --bench attack -- NAME…` measures those only.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_chosen = |name: &&str| chosen.is_empty() || chosen.iter().any(|one| one == name);
    siege.withstand(2, &["idle"]);
    let (_, idle) = siege.withstand(SECONDS, &["idle"]);
    println!(
        "{:20} {:>6} {:>7} {:>7} {:>7} {:>9} {:>6} {:>9} {:>4}",
        "us", "reads", "p50", "p90", "p99", "elsewhere", "/idle", "/elsewhere", "MiB"
    );
    row(&siege, "nobody else", &idle, (&idle, &idle));
    for name in FLOODS.into_iter().chain(LOADS).chain(STALLS).filter(is_chosen) {
        let (told, took) = siege.withstand(SECONDS, &[name]);
        let elsewhere = elsewhere(&siege, name, &told, &took);
        row(&siege, name, &took, (&idle, &elsewhere));
    }
    let (_, again) = siege.withstand(SECONDS, &["idle"]);
    row(&siege, "nobody else, again", &again, (&idle, &idle));
}

fn row(
    siege: &Siege,
    name: &str,
    took: &[Duration],
    (idle, elsewhere): (&[Duration], &[Duration]),
) {
    let us = |took: &[Duration], percent| percentile(took, percent).as_micros();
    let ratio = |base: &[Duration]| us(took, 99) as f64 / us(base, 99).max(1) as f64;
    let note = if ratio(elsewhere) > RATIO_MAX { "  over" } else { "" };
    println!(
        "{name:20} {:>6} {:>7} {:>7} {:>7} {:>9} {:>6.2} {:>10.2} {:>4}{note}",
        took.len(),
        us(took, 50),
        us(took, 90),
        us(took, 99),
        us(elsewhere, 99),
        ratio(idle),
        ratio(elsewhere),
        siege.world.resident_mib_max(),
    );
}

/// How long the same work takes while the same attack is somebody else's affair.
fn elsewhere(siege: &Siege, name: &str, told: &[Value], took: &[Duration]) -> Vec<Duration> {
    // Attacks that are waited out take far longer, and nearly all of it is waiting.
    let lasted = took.iter().sum::<Duration>().as_secs().clamp(1, 2 * SECONDS);
    let sink = Sink::begin(siege, lasted, told.first().unwrap_or(&Value::Null));
    let (_, took) = siege.work_beside(&sink.target, lasted, &[name]);
    took
}

/// Somebody else who is attacked. Ended when dropped.
struct Sink {
    process: Child,
    target: PathBuf,
}

impl Sink {
    /// Takes as much as the vault took.
    fn begin(siege: &Siege, seconds: u64, told: &Value) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attack/sink.py");
        let mut command = Command::new("nice");
        command.args(["-n", "19", "python3"]).arg(script).arg(&siege.target);
        command.arg(seconds.to_string());
        command.args(["connections", "bytes", "ended"].map(|what| told[what].to_string()));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut begun = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut begun).unwrap();
        let begun: Value = serde_json::from_str(&begun).unwrap();
        let target = std::fs::read(&siege.target).unwrap();
        let mut target: Value = serde_json::from_slice(&target).unwrap();
        target["port"] = begun["port"].clone();
        target["repels"] = json!(false);
        let target = siege.world.file("elsewhere.json", target.to_string()).into();
        Self { process, target }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn percentile(took: &[Duration], percent: usize) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    sorted.get((took.len() * percent / 100).min(last)).copied().unwrap_or_default()
}
