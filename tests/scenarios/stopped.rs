//! Progress as programs and people see it, and Ctrl-C in the middle: nothing half is left.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{World, files_below, have, on_a_terminal};

impl World {
    /// A file that takes long to read and no room.
    fn endless(&self, name: &str) -> String {
        let path = self.file(name, "");
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        path
    }
}

/// Runs until this share of it, in percent, is done, then presses Ctrl-C; what it told, and the error.
fn stopped(world: &World, home: &str, words: &[&str], percent: u64) -> (Vec<Value>, Value) {
    let home = world.home(home).display().to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_escrow"))
        .args(["--json", "--home", &home])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut told: Vec<Value> = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        told.push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")));
        let progress = &told.last().unwrap()["progress"];
        let [done, total] = ["done", "total"].map(|it| progress[it].as_u64());
        if done.map(|done| done * 100) >= total.map(|total| total * percent) && done.is_some() {
            break;
        }
    }
    interrupt(child.id().cast_signed());
    told.extend(lines.map_while(Result::ok).map(|line| serde_json::from_str(&line).unwrap()));
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*out), (Some(1), ""), "{words:?}: {told:?}");
    let error = told.pop().unwrap()["error"].clone();
    assert_eq!(error["code"], "INTERRUPTED", "{words:?}: {error}");
    (told, error)
}

fn interrupt(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
}

/// What was told last of how far it is.
#[track_caller]
fn assert_progress(told: &[Value], what: &str) {
    let progress = &told.last().unwrap()["progress"];
    assert_eq!(progress["what"], what, "{told:?}");
    let [done, total, rate] = ["done", "total", "rate"].map(|it| progress[it].as_u64());
    assert!(done > Some(0) && done < total && rate > Some(0), "{progress}");
    assert_eq!(progress["unit"], "bytes", "{progress}");
    assert!(progress["seconds_left"].is_u64() || progress["seconds_left"].is_null());
}

#[track_caller]
fn assert_hint(error: &Value, words: &str) {
    assert!(error["hint"].as_str().unwrap().contains(words), "{error}");
}

/// Content that is nowhere the same.
fn content(bytes: u64) -> Vec<u8> {
    (0..bytes / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

#[test]
fn what_is_stopped_in_the_middle_leaves_nothing_half_and_says_what_to_do() {
    let (world, agreement) = World::with_agreement();
    let source = world.endless("in/registry.tar");
    let out = world.path("out");
    fs::create_dir(&out).unwrap();
    let sealed = out.join("registry.age").display().to_string();
    let before = files_below(&world.path("homes")).len();
    let rows: [(&[&str], &str, &str); 2] = [
        (&["register", &source, "--yes"], "reading", "escrow registrations"),
        (&["seal", &agreement, &source, "--out", &sealed], "sealing", "nothing half done"),
    ];
    for (words, what, hint) in rows {
        let (told, error) = stopped(&world, "hanbit-parts", words, 0);
        assert_progress(&told, what);
        assert_hint(&error, hint);
        assert!(files_below(&out).is_empty(), "{words:?}: {:?}", files_below(&out));
        assert_eq!(files_below(&world.path("homes")).len(), before, "{words:?}");
    }
    assert!(world.escrow("hanbit-parts", &["registrations"]).records().is_empty());
}

#[test]
fn a_deposit_that_is_stopped_while_it_is_sent_leaves_nothing_half_and_can_be_made_again() {
    const SIZE: u64 = 96 << 20;
    /// What may go to the vault a second time: what is under way, or not durable yet.
    const AGAIN_MAX: u64 = 40 << 20;
    let (mut world, agreement) = World::with_agreement();
    let source = world.file("in/drawings/case.bin", content(SIZE));
    let sealed = world.path("sealed/case.age").display().to_string();
    fs::create_dir(world.path("sealed")).unwrap();
    world.escrow("hanbit-parts", &["seal", &agreement, &source, "--out", &sealed]).record();
    let directory = world.path("in/drawings").display().to_string();
    let proxy = world.behind_proxy();
    let rows = [
        ("a directory", &directory, "`escrow deposits AGREEMENT` lists it", false),
        ("a sealed file", &sealed, "it goes on where it stopped", true),
    ];
    for (number, (what, path, hint, goes_on)) in (1..).zip(rows) {
        let homes = files_below(&world.path("homes")).len();
        let beside = ["in", "sealed"].map(|dir| files_below(&world.path(dir)).len());
        let deposit = ["deposit", &agreement, path, "--yes"];
        let before = proxy.sent();
        proxy.slow_down(true);
        let (told, error) = stopped(&world, "hanbit-parts", &deposit, 70);
        proxy.slow_down(false);
        assert_progress(&told, "depositing");
        assert_hint(&error, hint);
        let first = proxy.sent() - before;
        assert!(first > AGAIN_MAX && first < SIZE, "{what}: {first} bytes were sent");
        assert_eq!(files_below(&world.path("homes")).len(), homes, "{what}");
        let beside_after = ["in", "sealed"].map(|dir| files_below(&world.path(dir)).len());
        assert_eq!(beside_after, beside, "{what}");
        let listed = world.escrow("orient-display", &["deposits", &agreement]).records();
        assert_eq!(listed.len(), number - 1, "{what}");
        let made = world.escrow("hanbit-parts", &deposit);
        assert_eq!(made.err.contains("going on behind the first"), goes_on, "{}", made.err);
        assert_eq!(made.record()["state"], "stored", "{what}");
        let sent = proxy.sent() - before;
        let is_less = sent < SIZE + AGAIN_MAX;
        assert_eq!(is_less, goes_on, "{what}: {sent} bytes were sent in all");
        let listed = world.escrow("orient-display", &["deposits", &agreement]).records();
        assert_eq!(listed.len(), number, "{what}");
    }
}

#[test]
fn a_retrieval_that_is_stopped_leaves_nothing_beside_its_place_and_goes_on() {
    const SIZE: u64 = 64 << 20;
    let (mut world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, content(SIZE));
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let proxy = world.behind_proxy();
    fs::create_dir(world.path("place")).unwrap();
    let out = world.path("place/out").display().to_string();
    let retrieve = ["retrieve", &request, "--out", &out, "--yes"];
    let home = world.home("orient-display");
    let before = files_below(&home);
    let received = proxy.received();
    proxy.slow_down(true);
    let (told, error) = stopped(&world, "orient-display", &retrieve, 50);
    proxy.slow_down(false);
    assert_progress(&told, "retrieving");
    assert_hint(&error, "run it again: it goes on where it stopped");
    let place = || fs::read_dir(world.path("place")).unwrap().map(|item| item.unwrap().path());
    assert_eq!(place().collect::<Vec<_>>(), [] as [PathBuf; 0]);
    // What was received is kept to go on with, and what the vault has acknowledged; nothing else.
    let partial = home.join("partial");
    let others = files_below(&home).into_iter().filter(|path| !before.contains(path));
    let others = others.filter(|path| !path.starts_with(&partial));
    let is_acknowledged = |path: PathBuf| path.extension().is_some_and(|it| it == "acknowledged");
    assert_eq!(others.map(is_acknowledged).collect::<Vec<_>>(), [true]);
    let kept: u64 = files_below(&partial).iter().map(|it| it.metadata().unwrap().len()).sum();
    assert!(kept >= SIZE / 2, "{kept} bytes were kept");
    assert_eq!(files_below(&partial).len(), 2, "the bytes, and what was signed to have them");
    let first = proxy.received() - received;
    world.escrow("orient-display", &retrieve).record();
    assert!(fs::read(world.path("place/out/recipe.txt")).unwrap() == content(SIZE));
    assert_eq!(place().count(), 1);
    assert_eq!(files_below(&partial), [] as [PathBuf; 0]);
    // What was under way when it was stopped comes twice.
    let again = proxy.received() - received - first;
    assert!(again < SIZE - kept + (8 << 20), "{again} bytes behind {kept}");
}

#[test]
fn progress_is_told_to_programs_at_the_end_at_least_and_to_files_not_at_all() {
    let (world, agreement) = World::with_agreement();
    let file = world.file("recipe.txt", vec![7; 100_000]);
    let told = world.escrow("hanbit-parts", &["deposit", &agreement, &file, "--yes"]);
    assert_eq!(told.out.len(), 1, "{:?}", told.out);
    let mut lines = told.err.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let last = lines.rfind(|line| line["progress"].is_object()).unwrap();
    assert_eq!(last["progress"]["done"], last["progress"]["total"], "{last}");
    assert_eq!(last["progress"]["seconds_left"], 0, "{last}");
    let said = world.escrow_aloud("hanbit-parts", &["register", &file, "--yes"], b"");
    assert!(!said.contains('%') && !said.contains("progress"), "{said}");
}

#[test]
fn a_bar_is_drawn_on_a_terminal_and_ctrl_c_ends_its_line() {
    let (mut world, agreement) = World::with_agreement();
    if !have("script") {
        return;
    }
    let deposit = world.deposit(&agreement, content(64 << 20));
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let proxy = world.behind_proxy();
    proxy.slow_down(true);
    let endless = world.endless("in/registry.tar");
    let bundle = world.path("bundle").display().to_string();
    let out = world.path("out").display().to_string();
    let rows: [(&str, &[&str], &str); 3] = [
        ("hanbit-parts", &["register", &endless, "--yes"], "reading"),
        ("hanbit-parts", &["deposit", &agreement, &bundle, "--yes"], "depositing"),
        ("orient-display", &["retrieve", &request, "--out", &out, "--yes"], "retrieving"),
    ];
    for (home, words, what) in rows {
        let all = stopped_on_a_terminal(&world, home, words);
        let bars = all.split(['\r', '\n']).filter(|line| line.contains('%'));
        let bars: Vec<_> = bars.collect();
        assert!(!bars.is_empty(), "{all:?}");
        for bar in bars {
            assert!(bar.starts_with(&format!("{what}  ")), "{bar:?}");
            assert!(bar.chars().count() < 60, "{bar:?}");
        }
        let error = all.lines().find(|line| line.contains("error: ")).unwrap();
        assert!(error.trim_start_matches('\r').starts_with("escrow: error: stopped"), "{all:?}");
        assert!(all.ends_with('\n'), "{all:?}");
    }
}

/// Runs on a terminal of 60 columns until a bar is drawn, then presses Ctrl-C; all that was shown.
fn stopped_on_a_terminal(world: &World, home: &str, words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let command = format!(
        "stty cols 60; echo $$; exec '{}' --home '{}' {}",
        env!("CARGO_BIN_EXE_escrow"),
        world.home(home).display(),
        words.join(" ")
    );
    let mut running = on_a_terminal(&command).spawn().unwrap();
    let mut shown = BufReader::new(running.stdout.take().unwrap());
    let mut line = Vec::new();
    shown.read_until(b'\n', &mut line).unwrap();
    let pid: i32 = String::from_utf8_lossy(&line).trim().parse().unwrap();
    let mut all = Vec::new();
    while !all.contains(&b'%') {
        assert!(shown.read_until(b'%', &mut all).unwrap() > 0, "no bar was drawn: {all:?}");
    }
    interrupt(pid);
    shown.read_to_end(&mut all).unwrap();
    let all = String::from_utf8(all).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(1), "{all}");
    all
}
