//! `cargo bench --bench bulk [-- NAME…]`: a deposit of 1 GiB and its retrieval, beside what else moves as much,
//! encrypted, to another place and back: medians of three rounds, everything in turn in each.
//!
//! Real programs on loopback, both ends on this machine, sources in the page cache. What is compared:
//!
//! * **its parts**: what a deposit cannot do without, each alone and from memory, in CPU: sealing, the
//!   SHA-256 of the plaintext, that of the file at the depositor's and again at the vault's, TLS (bare
//!   rustls, both ends, the same suite) and writing with fdatasync. Reading the source is not among them.
//! * **restic** through `rclone serve restic` into a directory, over TLS that asks for no client
//!   certificate. It divides into chunks by content, looks for them in its index and compresses, which
//!   we don't; so the bytes are random, and each round has a new repository and no cache. Neither rclone
//!   nor restic makes anything durable. Both of restic's times include stretching its password.
//! * **`age | ssh`** into a file that is synced, and back out of it, with an sshd of the measure's own.
//!   It keeps no digest, signs nothing, and nobody checks what comes back but age.
//!
//! Ours are durable, signed and logged at the end, and include what a command does beside the bytes. A
//! retrieval is made durable as well, so what `age -d` wrote is synced too; restic's restore is not.
//! Left out: other disks than this one, networks with delay or loss, more than one deposit at a time.
//!
//! Takes `age`, `restic`, `rclone`, `ssh` and `sshd` (Debian: `apt install age restic rclone
//! openssh-server`) and Python; what is not there is named and left out. `ESCROW_BULK_MIB=64` tries it
//! with fewer bytes, about which its figures say nothing.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong while measuring ends it"
)]

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "other benches use the rest")]
mod common;
mod memory;
mod parts;
mod peers;

use std::fs;
use std::time::Duration;

use crate::common::disk;
use crate::common::process::{Cost, cpu, resident_mib};
use crate::common::table::{Row, against, measure};
use crate::common::vault::Vault;
use crate::peers::{Peer, Restic, Ssh};

const ROUNDS: usize = 3;

fn main() {
    measure([("beside", beside), ("memory", memory::measure)]);
}

/// Deposits and retrievals beside their parts and others.
fn beside() {
    let mib = std::env::var("ESCROW_BULK_MIB").map_or(1024, |mib| mib.parse().unwrap());
    if mib != 1024 {
        println!("with {mib} MiB where 1 GiB is written");
    }
    let vault = Vault::new("bulk");
    let source = vault.file("large.bin", mib << 20);
    let place = disk::directory("peers");
    let restic = Restic::begin(place.path());
    let ssh = Ssh::begin(place.path());
    let restic = restic.as_ref().map(|peer| peer as &dyn Peer);
    let ssh = ssh.as_ref().map(|peer| peer as &dyn Peer);
    let peers: Vec<&dyn Peer> = [restic, ssh].into_iter().flatten().collect();
    let mut ours = [const { Vec::new() }; 2];
    let mut theirs = vec![[const { Vec::new() }; 2]; peers.len()];
    let mut parts = Vec::new();
    for _ in 0..ROUNDS {
        let (deposit, up) = both_ends(&vault, || vault.deposit(&source));
        ours[0].push(up);
        let out = vault.path("out");
        let ((), down) = both_ends(&vault, || ((), vault.release(&deposit, &out)));
        ours[1].push(down);
        assert!(disk::same(&source, &out.join("large.bin")), "it is not what was deposited");
        fs::remove_dir_all(&out).unwrap();
        for (peer, costs) in peers.iter().zip(&mut theirs) {
            costs[0].push(peer.keep(&source));
            let back = place.path().join("back");
            costs[1].push(peer.get_back(&back));
            assert!(disk::same(&source, &back), "{} gave something else back", peer.name());
            peer.clear(&back);
        }
        parts.push(parts::measure(mib, place.path()));
    }

    let ours = ours.map(median);
    let parts: [Duration; 4] =
        std::array::from_fn(|nth| middle(parts.iter().map(|parts| parts[nth].1).collect()));
    let [sealing, hashing, tls, writing] = parts.map(|part| part.as_secs_f64());
    let all = sealing + hashing + tls + writing;
    let cpu = ours[0].cpu.as_secs_f64();
    let row = |what, ours, peer, ratio| Row { what, ours, peer, ratio }.print();
    let cpu_s = |seconds: f64| format!("{seconds:.2} CPU-s");
    row("deposit 1 GiB, both ends", cpu_s(cpu), format!("its parts: {}", cpu_s(all)), cpu / all);
    println!(
        "    sealing {sealing:.2}, three SHA-256 {hashing:.2}, TLS at both ends {tls:.2}, \
         writing {writing:.2}"
    );
    for (way, what) in ["deposit 1 GiB, durable", "retrieve and open 1 GiB"].into_iter().enumerate()
    {
        for (peer, costs) in peers.iter().zip(&theirs) {
            against(what, ours[way].clone(), peer.ways()[way], median(costs[way].clone())).print();
        }
    }
    let client = ours[0].resident_mib.max(ours[1].resident_mib);
    let row = |what, mib: u64, goal: u64| {
        let (ours, peer) = (format!("{mib} MiB"), format!("goal: {goal} MiB"));
        Row { what, ours, peer, ratio: mib as f64 / goal as f64 }.print();
    };
    row("peak memory, client", client, 64);
    row("peak memory, vault, one at a time", resident_mib(vault.server.id()), 100);
}

/// What the vault took meanwhile is added.
fn both_ends<T>(vault: &Vault, act: impl FnOnce() -> (T, Cost)) -> (T, Cost) {
    let before = cpu(vault.server.id());
    let (done, cost) = act();
    (done, Cost { cpu: cost.cpu + cpu(vault.server.id()) - before, ..cost })
}

fn median(costs: Vec<Cost>) -> Cost {
    Cost {
        wall: middle(costs.iter().map(|cost| cost.wall).collect()),
        cpu: middle(costs.iter().map(|cost| cost.cpu).collect()),
        resident_mib: middle(costs.iter().map(|cost| cost.resident_mib).collect()),
    }
}

fn middle<T: Ord + Copy>(mut figures: Vec<T>) -> T {
    figures.sort_unstable();
    figures[figures.len() / 2]
}
