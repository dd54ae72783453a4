//! Progress as programs and people see it, and Ctrl-C in the middle: nothing half is left.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{World, files_below, have};

impl World {
    /// A file that takes long to read and no room.
    fn endless(&self, name: &str) -> String {
        let path = self.file(name, "");
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        path
    }
}

/// Runs until it has told of progress, then presses Ctrl-C; what it told, and the error.
fn stopped(world: &World, words: &[&str]) -> (Vec<Value>, Value) {
    let home = world.home("hanbit-parts").display().to_string();
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
        if told.last().unwrap()["progress"].is_object() {
            break;
        }
    }
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    told.extend(lines.map_while(Result::ok).map(|line| serde_json::from_str(&line).unwrap()));
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*out), (Some(1), ""), "{words:?}: {told:?}");
    let error = told.pop().unwrap()["error"].clone();
    (told, error)
}

#[test]
fn what_is_stopped_in_the_middle_leaves_nothing_half_and_says_what_to_do() {
    let (world, agreement) = World::with_agreement();
    let source = world.endless("in/registry.tar");
    let out = world.path("out");
    fs::create_dir(&out).unwrap();
    let sealed = out.join("registry.age").display().to_string();
    let before = files_below(&world.path("homes")).len();
    let rows: [(&[&str], &str, &str); 3] = [
        (&["register", &source, "--yes"], "reading", "escrow registrations"),
        (&["seal", &agreement, &source, "--out", &sealed], "sealing", "nothing half done"),
        (&["deposit", &agreement, &source, "--yes"], "sealing", "escrow deposits"),
    ];
    for (words, what, hint) in rows {
        let (told, error) = stopped(&world, words);
        assert_eq!(error["code"], "INTERRUPTED", "{words:?}: {error}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{words:?}: {error}");
        let progress = &told.last().unwrap()["progress"];
        assert_eq!(progress["what"], what, "{words:?}: {told:?}");
        let [done, total, rate] = ["done", "total", "rate"].map(|it| progress[it].as_u64());
        assert!(done > Some(0) && done < total && rate > Some(0), "{progress}");
        assert_eq!(progress["unit"], "bytes", "{progress}");
        assert!(progress["seconds_left"].is_u64() || progress["seconds_left"].is_null());
        assert!(files_below(&out).is_empty(), "{words:?}: {:?}", files_below(&out));
        assert_eq!(files_below(&world.path("homes")).len(), before, "{words:?}");
    }
    assert!(world.escrow("hanbit-parts", &["registrations"]).records().is_empty());
    assert!(world.escrow("hanbit-parts", &["deposits", &agreement]).records().is_empty());
}

#[test]
fn progress_is_told_to_programs_at_the_end_at_least_and_to_files_not_at_all() {
    let (world, agreement) = World::with_agreement();
    let file = world.file("recipe.txt", vec![7; 100_000]);
    let told = world.escrow("hanbit-parts", &["deposit", &agreement, &file, "--yes"]);
    assert_eq!(told.out.len(), 1, "{:?}", told.out);
    let lines = told.err.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let last = lines.filter(|line| line["progress"].is_object()).last().unwrap();
    assert_eq!(last["progress"]["done"], last["progress"]["total"], "{last}");
    assert_eq!(last["progress"]["seconds_left"], 0, "{last}");
    let said = world.escrow_aloud("hanbit-parts", &["register", &file, "--yes"], b"");
    assert!(!said.contains('%') && !said.contains("progress"), "{said}");
}

#[test]
fn a_bar_is_drawn_on_a_terminal_and_ctrl_c_ends_its_line() {
    let (world, _) = World::with_agreement();
    if !have("script") {
        return;
    }
    let source = world.endless("in/registry.tar");
    let register = format!(
        "stty cols 60; echo $$; exec '{}' --home '{}' register '{source}' --yes",
        env!("CARGO_BIN_EXE_escrow"),
        world.home("hanbit-parts").display()
    );
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &register, "/dev/null"]);
    let mut running = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(running.stdout.take().unwrap());
    let mut line = Vec::new();
    shown.read_until(b'\n', &mut line).unwrap();
    let pid: i32 = String::from_utf8_lossy(&line).trim().parse().unwrap();
    // The bar is drawn over and over; behind its second beginning there is one to stop it at.
    let mut bars = Vec::new();
    for _ in 0..3 {
        shown.read_until(b'\r', &mut bars).unwrap();
    }
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(1), "{rest}");
    let all = format!("{}{rest}", String::from_utf8(bars).unwrap());
    for bar in all.split(['\r', '\n']).filter(|bar| bar.contains('%')) {
        assert!(bar.starts_with("reading   0%"), "{bar:?}");
        assert!(bar.chars().count() < 60, "{bar:?}");
    }
    let error = all.lines().find(|line| line.contains("error: ")).unwrap();
    assert!(error.trim_start_matches('\r').starts_with("escrow: error: stopped"), "{all:?}");
}
