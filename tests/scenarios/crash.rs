//! kill -9 of the real server under load, against a record of what was acknowledged.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::mpsc;

use escrow_vault::client::home::Home;
use escrow_vault::crypto::keyfile;

use super::{Beside, World, id};

/// Cycles of the normal run; `ESCROW_TEST_CRASHES` makes it any number.
const CYCLES: usize = 10;
/// Acknowledgements after which a cycle's server is killed.
const ACKNOWLEDGED: usize = 4;

#[test]
fn promise_7_nothing_acknowledged_is_lost_to_kill_9() {
    let cycles = std::env::var("ESCROW_TEST_CRASHES").ok().and_then(|n| n.parse().ok());
    let (mut world, agreement) = World::with_agreement();
    let acknowledged = Mutex::new(BTreeSet::new());
    for cycle in 0..cycles.unwrap_or(CYCLES) {
        under_load(&world, &agreement, cycle, ACKNOWLEDGED, &acknowledged, kill);
        world.kill();
        world.serve();
        assert_none_lost(&world, &agreement, cycle, &acknowledged.lock().unwrap());
    }
    world.stop();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.err);
}

/// Three clients deposit and keep a record of what is acknowledged. After so many
/// acknowledgements comes the end, while they are at it.
pub(super) fn under_load(
    world: &World,
    agreement: &str,
    cycle: usize,
    acknowledgements: usize,
    acknowledged: &Mutex<BTreeSet<String>>,
    end: impl FnOnce(&World),
) {
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for clerk in 0..3usize {
            let tell = tell.clone();
            scope.spawn(move || {
                for number in 0.. {
                    // Small ones ride in the journal, large ones are files.
                    let size = if number % 2 == 0 { 100 } else { 100_000 };
                    let name = format!("load/{cycle}-{clerk}-{number}");
                    let file = world.file(&name, format!("{name} ").repeat(size / name.len()));
                    // What a killed vault has not acknowledged is not waited for.
                    let deposit = ["deposit", agreement, &file, "--retry-for", "0s", "--yes"];
                    let ended = world.escrow("hanbit-parts", &deposit);
                    if ended.code != 0 {
                        drop(tell.send(Err(ended.err)));
                        return;
                    }
                    acknowledged.lock().unwrap().insert(id(&ended.record()));
                    if tell.send(Ok(())).is_err() {
                        return;
                    }
                }
            });
        }
        for _ in 0..acknowledgements {
            let heard: Result<(), String> = told.recv().unwrap();
            heard.unwrap_or_else(|refused| panic!("{refused}{}", world.said()));
        }
        end(world);
        drop(told);
    });
}

/// Another party is shown every deposit that was acknowledged.
#[track_caller]
pub(super) fn assert_none_lost(
    world: &World,
    agreement: &str,
    cycle: usize,
    acknowledged: &BTreeSet<String>,
) {
    let listed = world.escrow("orient-display", &["deposits", agreement]).records();
    let listed: BTreeSet<_> = listed.iter().map(id).collect();
    let lost: Vec<_> = acknowledged.difference(&listed).collect();
    assert!(lost.is_empty(), "lost in cycle {cycle}: {lost:?}");
}

/// Kills the server while its clients are at it.
fn kill(world: &World) {
    let server = world.server.as_ref().unwrap().process.id();
    let pid = rustix::process::Pid::from_raw(server.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn promise_7_an_act_that_was_acknowledged_is_never_reported_as_failed() {
    let (mut world, agreement) = World::with_agreement();
    let mut deposit = deposit_and_stop(&mut world, &agreement);
    let made = deposit.next().expect("the deposit that was acknowledged");
    assert_eq!(made["state"], "stored");
    assert_eq!(deposit.ended(), 0);
    world.serve();
    let listed = world.escrow("hanbit-parts", &["deposits", &agreement]).records();
    assert_eq!(listed, [made]);
}

/// Begins a deposit, and stops the vault while its client holds the acknowledgement and has not got
/// any further: nobody answers what it asks next.
pub(super) fn deposit_and_stop(world: &mut World, agreement: &str) -> Beside {
    let file = world.file("large.bin", vec![7; 64 << 20]);
    let mut deposit = world.escrow_beside("hanbit-parts", &["deposit", agreement, &file, "--yes"]);
    let is_there = |dir: &str, extension: &str| {
        let found = fs::read_dir(world.data().join(dir)).unwrap();
        let mut paths = found.map(|item| item.unwrap().path());
        paths.any(|path| path.extension().is_some_and(|of| of == extension))
    };
    // Waits on states: the upload has begun, and its bundle has its final name. In between somebody
    // else takes the client's memory, which it needs to remember what is acknowledged.
    while !is_there("bundles/staging", "part") {
        std::thread::yield_now();
    }
    let memory = Home::open(&world.home("hanbit-parts")).unwrap().memory();
    let held = keyfile::lock(&memory.dir().join("lock")).unwrap();
    while !is_there("bundles", "age") {
        std::thread::yield_now();
    }
    assert!(deposit.is_running());
    // The open call may end.
    world.stop();
    drop(held);
    deposit
}
