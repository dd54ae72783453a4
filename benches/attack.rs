//! How much slower an honest member is served under each attack: `cargo bench --bench attack`.
//!
//! One member reads the newest events of an agreement on one connection, again and again; first
//! with nobody else there, then under each attack. Everything runs on one computer, so attackers
//! are given the lowest priority: elsewhere they have computers of their own. Needs Python with
//! `h2`, as the tests under attack do.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]

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

use std::time::Duration;

use crate::scenarios::attack::{FLOODS, LOADS, STALLS, Siege};

/// How long each is measured, in seconds.
const SECONDS: u64 = 6;
/// How much slower an honest member may be served at the 99th percentile.
const RATIO_MAX: f64 = 2.0;

fn main() {
    let Some(siege) = Siege::prepare() else { return };
    // `cargo bench --bench attack -- NAME…` measures those only.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_chosen = |name: &&str| chosen.is_empty() || chosen.iter().any(|one| one == name);
    siege.withstand(2, &["idle"]);
    let (_, idle) = siege.withstand(SECONDS, &["idle"]);
    let base = percentile(&idle, 99);
    println!("{:22} {:>7} {:>9} {:>9} {:>6} {:>8}", "", "reads", "p50", "p99", "ratio", "MiB");
    let row = |name: &str, took: &[Duration]| {
        let p99 = percentile(took, 99);
        let ratio = p99.as_secs_f64() / base.as_secs_f64();
        let note = if ratio > RATIO_MAX { "  over" } else { "" };
        println!(
            "{name:22} {:>7} {:>6} us {:>6} us {ratio:>6.2} {:>8}{note}",
            took.len(),
            percentile(took, 50).as_micros(),
            p99.as_micros(),
            siege.world.resident_mib_max(),
        );
    };
    row("nobody else", &idle);
    for name in FLOODS.into_iter().chain(LOADS).chain(STALLS).filter(is_chosen) {
        let (_, took) = siege.withstand(SECONDS, &[name]);
        row(name, &took);
    }
    let (_, idle) = siege.withstand(SECONDS, &["idle"]);
    row("nobody else, again", &idle);
}

fn percentile(took: &[Duration], percent: usize) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    sorted.get((took.len() * percent / 100).min(last)).copied().unwrap_or_default()
}
