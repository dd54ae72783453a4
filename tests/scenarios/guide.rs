//! The guide reads without a home and without a vault.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn every_topic_of_the_guide_is_a_page() {
    let escrow = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
        // Where there is no home, and none can be made.
        command.env_clear().stdin(Stdio::null());
        command.args(arguments).output().unwrap()
    };
    let listed = escrow(&["--json", "guide"]);
    assert!(listed.status.success());
    let listed = String::from_utf8(listed.stdout).unwrap();
    let topics: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(topics.len() >= 7, "{listed}");
    for listed in topics {
        let page = escrow(&["guide", listed["topic"].as_str().unwrap()]);
        assert!(page.status.success());
        let page = String::from_utf8(page.stdout).unwrap();
        assert!(page.starts_with(listed["title"].as_str().unwrap()), "{page}");
        let last = page.trim_end().lines().next_back().unwrap();
        assert!(last.starts_with("    escrow "), "it ends in what to run: {last}");
    }
    let none = escrow(&["guide", "horoscopes"]);
    let complaint = String::from_utf8(none.stderr).unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(complaint.contains("shares"), "it names the topics: {complaint}");
}
