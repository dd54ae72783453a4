//! What the vault shows of itself, and that what watches it watches what is there.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::ask;
use super::{PEOPLE, World, have};

impl World {
    /// Where this vault shows its metrics, from its next start on.
    pub(super) fn show_metrics(&self) -> String {
        let address = self.address.replace(":7443", ":9464");
        let path = self.data().join("escrowd.toml");
        let mut config = fs::read_to_string(&path).unwrap();
        config.push_str(&format!("[metrics]\nlisten = \"{address}\"\n"));
        fs::write(path, config).unwrap();
        address
    }
}

pub(super) fn scrape(address: &str) -> String {
    let (head, body) = ask(address, "GET /metrics");
    let body = String::from_utf8(body).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    body
}

pub(super) fn value(shown: &str, series: &str) -> Option<f64> {
    let line = shown.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|number| number.parse().unwrap())
}

/// Scrapes until a series has this value: a call is counted once its last byte is on its way,
/// which may be after its caller has it.
#[track_caller]
pub(super) fn reaches(address: &str, series: &str, wanted: f64) {
    let began = Instant::now();
    loop {
        let shown = scrape(address);
        if value(&shown, series) == Some(wanted) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{series} is not {wanted}:\n{shown}");
    }
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

#[test]
fn metrics_count_and_name_nobody_and_alerts_and_dashboard_ask_for_nothing_else() {
    let (mut world, agreement) = World::with_agreement();
    let refused = TcpStream::connect(world.address.replace(":7443", ":9464"));
    assert!(refused.is_err(), "off until asked for");
    world.stop();
    let address = world.show_metrics();
    world.serve();

    let deposit = world.deposit(&agreement, vec![7; 300_000]);
    let request = world.request(&deposit, "joint");
    let early = world.path("early").display().to_string();
    let retrieve =
        |out: &str| world.escrow("orient-display", &["retrieve", &request, "--out", out, "--yes"]);
    assert_eq!(retrieve(&early).code, 3);
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    retrieve(&world.path("out").display().to_string()).record();
    // Somebody who does not speak TLS.
    let mut stranger = TcpStream::connect(&world.address).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    stranger.shutdown(Shutdown::Write).unwrap();
    drop(stranger.read_to_end(&mut Vec::new()));

    for (series, wanted) in [
        ("escrow_calls_total{method=\"BundleService/Deposit\",code=\"Ok\"}", 1.0),
        ("escrow_calls_total{method=\"BundleService/Retrieve\",code=\"Ok\"}", 1.0),
        ("escrow_call_seconds_count{method=\"BundleService/Deposit\"}", 1.0),
        ("escrow_calls_open{method=\"BundleService/Retrieve\"}", 0.0),
        ("escrow_calls_open{method=\"StreamService/Read\"}", 0.0),
        ("escrow_deposits_total", 1.0),
        ("escrow_connections_turned_away_total{reason=\"tls\"}", 1.0),
        ("escrow_connections_turned_away_total{reason=\"network\"}", 0.0),
        ("escrow_connections_open", 0.0),
        ("escrow_connections_anonymous", 0.0),
        ("escrow_refused_disk_full_total", 0.0),
        ("escrow_refused_attempts_dropped_total", 0.0),
        ("escrow_index_caught_up_batches", 0.0),
    ] {
        reaches(&address, series, wanted);
    }
    let shown = scrape(&address);
    let sized = world.escrow("hanbit-parts", &["show", &deposit]).record();
    assert_eq!(value(&shown, "escrow_deposit_bytes_total"), sized["size"].as_f64());
    assert!(value(&shown, "escrow_commit_seconds_count").unwrap() >= 5.0);
    assert!(value(&shown, "escrow_ledger_events").unwrap() >= 10.0);
    let free = value(&shown, "escrow_disk_free_bytes").unwrap();
    let reserve = value(&shown, "escrow_disk_reserve_bytes").unwrap();
    assert!(free > reserve && reserve >= 0.0, "{free} {reserve}");
    let ca = value(&shown, "escrow_certificate_expires_timestamp_seconds{certificate=\"ca\"}");
    let own = value(&shown, "escrow_certificate_expires_timestamp_seconds{certificate=\"server\"}");
    let tsa = value(&shown, "escrow_certificate_expires_timestamp_seconds{certificate=\"tsa\"}");
    let now = value(&shown, "process_start_time_seconds").unwrap();
    assert!(ca > tsa && tsa > own && own.unwrap() > now + 86_400.0, "{ca:?} {tsa:?} {own:?} {now}");

    let names = PEOPLE.iter().flat_map(|(organisation, member)| [*organisation, *member]);
    for name in names.chain([&*agreement, &*deposit, &*request, "127."]) {
        assert!(!shown.contains(name), "{name} is named");
    }
    assert!(ask(&address, "GET /").0.starts_with("HTTP/1.1 404"));
    assert!(ask(&address, "POST /metrics").0.starts_with("HTTP/1.1 405"));

    let shown: BTreeSet<&str> = shown
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split([' ', '{']).next().unwrap())
        .collect();
    for file in ["prometheus/alerts.yml", "grafana/escrow-vault.json"] {
        let text = fs::read_to_string(deploy().join(file)).unwrap();
        let asked = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let asked: BTreeSet<&str> = asked
            .filter(|word| word.starts_with("escrow_") || word.starts_with("process_"))
            .collect();
        assert!(asked.len() > 10, "{file} asks for {asked:?} only");
        let missing: Vec<_> = asked.difference(&shown).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}, which no vault shows");
    }
}

#[test]
fn an_address_for_metrics_that_is_taken_is_said_with_a_way_out() {
    let mut world = World::new();
    world.stop();
    let address = world.show_metrics();
    let _taken = std::net::TcpListener::bind(&address).unwrap();
    let said = world.try_serve().unwrap_err();
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(said.contains("[metrics] in escrowd.toml"), "{said}");
}

#[test]
fn prometheus_takes_the_alerts_and_they_fire_when_they_should() {
    if !have("promtool") {
        return;
    }
    let dir = deploy().join("prometheus");
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let done = Command::new("promtool").args(arguments).current_dir(&dir).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let failed = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "promtool {arguments:?}: {said}{failed}");
    }
}

#[test]
fn prometheus_understands_what_the_dashboard_asks() {
    if !have("promtool") {
        return;
    }
    let dashboard = fs::read_to_string(deploy().join("grafana/escrow-vault.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let rules = targets.map(|target| {
        let asked = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
        serde_json::json!({ "record": "asked", "expr": asked })
    });
    let rules: Vec<_> = rules.collect();
    assert!(rules.len() > 20, "{rules:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    let group = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    fs::write(file.path(), group.to_string()).unwrap();
    let mut promtool = Command::new("promtool");
    let done = promtool.args(["check", "rules", "--lint=none"]).arg(file.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn every_alert_names_a_page_of_the_runbook_that_is_there() {
    let alerts = fs::read_to_string(deploy().join("prometheus/alerts.yml")).unwrap();
    let pages: Vec<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: ")).collect();
    assert_eq!(pages.len(), alerts.matches("- alert: ").count(), "one page an alert");
    for page in pages {
        assert!(deploy().join(page).is_file(), "{page} is not there");
    }
    let dashboard = fs::read_to_string(deploy().join("grafana/escrow-vault.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
}
