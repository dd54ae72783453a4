//! The demo, however it ends: nothing is left behind, no file and no server.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A demo that has begun, with a directory of its own for what is temporary.
fn begun(temporary: &Path) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
    command.arg("demo").env("TMPDIR", temporary);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = spawned.spawn().unwrap();
    let told = BufReader::new(demo.stdout.take().unwrap());
    (demo, told)
}

/// The processes that work in a directory.
fn working_in(dir: &Path) -> usize {
    let dir = dir.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|item| {
        let line = fs::read(item.ok()?.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(dir).then_some(())
    });
    processes.count()
}

#[test]
fn a_demo_that_is_interrupted_or_not_read_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    for (signal, code) in [(Some(Signal::TERM), 1), (Some(Signal::INT), 1), (None, 0)] {
        let (mut demo, mut told) = begun(place.path());
        let mut line = String::new();
        // The vault is being served, and people join.
        while !line.contains("joined") {
            line.clear();
            assert!(told.read_line(&mut line).unwrap() > 0, "it ended before anybody joined");
        }
        assert!(working_in(place.path()) >= 1, "its server works there");
        match signal {
            Some(signal) => {
                kill_process(Pid::from_child(&demo), signal).unwrap();
                assert_eq!(demo.wait().unwrap().code(), Some(code), "{signal:?}");
            }
            None => {
                drop(told);
                assert_eq!(demo.wait().unwrap().code(), Some(code), "nobody reads on");
            }
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "{signal:?}");
        assert_eq!(working_in(place.path()), 0, "{signal:?}");
    }
}

#[test]
fn a_demo_that_is_killed_takes_its_server_with_it() {
    let place = tempfile::tempdir().unwrap();
    let (mut demo, mut told) = begun(place.path());
    let mut line = String::new();
    while !line.contains("joined") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it ended before anybody joined");
    }
    demo.kill().unwrap();
    demo.wait().unwrap();
    // Waits on the state: the server has seen its input close.
    while working_in(place.path()) > 0 {
        std::thread::yield_now();
    }
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|item| item.unwrap()).collect();
    assert_eq!(left.len(), 1, "its directory");
    assert!(left[0].file_name().to_str().unwrap().starts_with("escrow-demo-"), "{left:?}");
}

#[test]
fn what_a_demo_cannot_do_is_said_before_its_first_step() {
    let empty = tempfile::tempdir().unwrap();
    for (words, code, says) in [
        (vec!["demo", "/nonexistent"], 1, "cannot be read"),
        (vec!["demo", "--", "-x"], 1, "-x cannot be read"),
        (vec!["demo", "--json"], 2, "knows no --json"),
        (vec!["--home", "h", "demo"], 2, "knows no --home"),
        (vec!["--yes", "demo"], 2, "knows no --yes"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
        let ended = command.args(&words).current_dir(empty.path()).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
        assert!(ended.stdout.is_empty(), "{words:?}");
    }
}
