//! Completions and manual pages know every command that help knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::have;

const PROGRAMS: [(&str, &str, &str); 2] = [
    ("escrow", env!("CARGO_BIN_EXE_escrow"), "1"),
    ("escrowd", env!("CARGO_BIN_EXE_escrowd"), "8"),
];

/// What a program puts out.
fn said(path: &str, arguments: &[&str]) -> String {
    let done = Command::new(path).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Every command and command below a command, as help lists them.
fn commands(path: &str, of: &[&str]) -> Vec<Vec<String>> {
    let help = said(path, &[of, &["--help"]].concat());
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let mut found = Vec::new();
    for name in names.filter(|name| !name.is_empty() && *name != "help") {
        let below = [of, &[name]].concat();
        found.push(below.iter().map(ToString::to_string).collect());
        found.extend(commands(path, &below));
    }
    found
}

#[test]
fn every_command_has_a_manual_page_and_completions() {
    for (name, path, section) in PROGRAMS {
        let commands = commands(path, &[]);
        assert!(commands.len() > 5, "{commands:?}");
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("man");
        said(path, &["man", "--out", out.to_str().unwrap()]);
        let written: BTreeSet<String> = fs::read_dir(&out)
            .unwrap()
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .collect();
        let pages = commands.iter().map(|words| format!("{name}-{}.{section}", words.join("-")));
        let wanted: BTreeSet<String> = pages.chain([format!("{name}.{section}")]).collect();
        assert_eq!(written, wanted);
        for shell in ["bash", "zsh", "fish"] {
            let script = said(path, &["completions", shell]);
            for words in &commands {
                let last = words.last().unwrap();
                assert!(script.contains(last.as_str()), "{shell} does not know {words:?}");
            }
        }
        let script = said(path, &["completions", "bash"]);
        for words in &commands {
            let way =
                words.iter().map(|word| format!("__subcmd__{}", word.replace('-', "__subcmd__")));
            let label = format!("\"{name}{}\"", way.collect::<String>());
            assert!(script.contains(&label), "bash does not know the way to {words:?}");
        }
        well_formed(&out, path);
    }
}

/// Whether the shell takes the script, and mandoc the pages.
fn well_formed(pages: &Path, path: &str) {
    let script = pages.join("completions.bash");
    fs::write(&script, said(path, &["completions", "bash"])).unwrap();
    assert!(Command::new("bash").arg("-n").arg(&script).status().unwrap().success());
    fs::remove_file(script).unwrap();
    if !have("mandoc") {
        return;
    }
    for page in fs::read_dir(pages).unwrap() {
        let page = page.unwrap().path();
        let done = Command::new("mandoc").args(["-Tlint", "-Werror"]).arg(&page).output().unwrap();
        let complaint = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{}: {complaint}", page.display());
    }
}
