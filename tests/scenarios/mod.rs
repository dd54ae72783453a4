//! Scenarios with the real programs: real processes, real TLS, real files in temporary places.

pub(crate) mod attack;
mod attested;
mod authorities;
mod blind;
mod bounded;
mod clerk;
mod crash;
mod cut_off;
mod damage;
mod damaged_keys;
mod demo;
mod duty;
mod exports;
mod faults;
mod full_disk;
mod guide;
mod http;
mod index;
mod invitations;
mod ledger_key;
mod liar;
mod log;
mod lost_homes;
mod lying;
mod lying_disk;
mod manual;
mod many;
mod members;
mod metrics;
mod operator;
mod pinned;
mod power_cut;
mod proxy;
mod quota;
mod receipts;
mod recovery;
mod registration;
mod release;
mod resumed;
mod scrub;
mod sealed;
mod service;
mod stamps;
mod stock_age;
mod stopped;
mod strangers;
mod templates;
mod terms;
mod timestamps;
mod transcripts;
mod units;
mod uploads;
mod watch;
mod wire;
mod witnesses;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use escrow_vault::domain::time::Timestamp;
use serde_json::Value;

/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The people of most scenarios, each in a home of the organisation's name.
pub(crate) const PEOPLE: [(&str, &str); 3] =
    [("hanbit-parts", "minji"), ("orient-display", "junho"), ("trade-secret-center", "sora")];

/// Terms of three parties with one rule, `joint`. The benches measure under the same.
pub(crate) const JOINT: &str = include_str!("joint.toml");

/// The same, which admit files sealed by stock age, with every other kind of rule.
pub(crate) const TERMS: &str = concat!(
    "stock_age = true\n",
    include_str!("joint.toml"),
    r#"[[rule]]
name = "bankruptcy"
requester = "beneficiary"
needs = { all = ["1@beneficiary", "1@agent"] }
notice = "10d"
objection = ["depositor"]
expires = "60d"
[[rule]]
name = "attested"
requester = "beneficiary"
needs = { all = ["1@beneficiary", "1@agent"] }
objection = ["depositor"]
[[rule]]
name = "slow"
requester = "beneficiary"
needs = { all = ["1@beneficiary", "1@agent"] }
notice = "2s"
objection = ["depositor"]
[[rule]]
name = "contested"
requester = "beneficiary"
needs = { all = ["1@depositor", "1@agent"] }
objection = ["depositor"]
"#
);

/// A vault of its own, its server, and everybody's homes. Removed when dropped.
pub(crate) struct World {
    dir: tempfile::TempDir,
    data: PathBuf,
    address: String,
    /// Where the server listens, if not there.
    behind: Option<String>,
    server: Option<Server>,
    said: Arc<Said>,
}

/// What a server said so far, and whoever waits for it to say more.
#[derive(Default)]
struct Said {
    text: Mutex<String>,
    more: Condvar,
}

impl Said {
    fn forget(&self) {
        self.text.lock().unwrap().clear();
    }
}

struct Server {
    process: Child,
    listener: JoinHandle<()>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub code: i32,
    pub out: Vec<Value>,
    pub err: String,
}

impl Ended {
    /// The one record put out by a command that succeeded.
    #[track_caller]
    pub(crate) fn record(self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        assert_eq!(self.out.len(), 1, "{:?}", self.out);
        self.out.into_iter().next().unwrap()
    }

    /// The records put out by a command that succeeded.
    #[track_caller]
    pub(crate) fn records(self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{}", self.err);
        self.out
    }

    /// The code of the error it failed with, having put out nothing.
    #[track_caller]
    pub(crate) fn refusal(&self) -> String {
        assert_ne!(self.code, 0, "it succeeded: {:?}", self.out);
        self.error()["code"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let last = self.err.trim().lines().last().unwrap_or_default();
        let told: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{}", self.err));
        for part in ["code", "message", "hint"] {
            assert!(told["error"][part].as_str().is_some_and(|t| !t.is_empty()), "{told}");
        }
        told["error"].clone()
    }
}

impl World {
    /// A vault that is being served, and nobody in it.
    pub(crate) fn new() -> Self {
        Self::at(None)
    }

    /// The same, with the vault's data in this place.
    fn at(data: Option<PathBuf>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = data.unwrap_or_else(|| dir.path().join("vault"));
        // A loopback address of its own: a port found free could be taken before it is used.
        static WORLDS: AtomicU8 = AtomicU8::new(1);
        let world = WORLDS.fetch_add(1, Ordering::Relaxed);
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = format!("127.{}.{low}.{world}:7443", high | 0x40);
        let said = Arc::<Said>::default();
        let mut world = Self { dir, data, address, behind: None, server: None, said };
        let made = world.escrowd(&["init", "--public-address", &world.address]);
        assert_eq!(made.code, 0, "{}", made.err);
        world.serve();
        world
    }

    /// A vault with the three organisations, who trust each other, and an active agreement.
    pub(crate) fn with_agreement() -> (Self, String) {
        Self::with_agreement_at(None)
    }

    pub(crate) fn with_agreement_at(data: Option<PathBuf>) -> (Self, String) {
        let world = Self::at(data);
        PEOPLE.iter().for_each(|(organisation, member)| world.join(organisation, member));
        world.trust_each_other();
        let agreement = world.agree(TERMS);
        (world, agreement)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// A file of this content; its path as text.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    pub(crate) fn said(&self) -> String {
        self.said.text.lock().unwrap().clone()
    }

    /// Starts the server and waits until it listens.
    #[track_caller]
    pub(crate) fn serve(&mut self) {
        self.serve_with(&[]);
    }

    #[track_caller]
    pub(crate) fn serve_with(&mut self, arguments: &[&str]) {
        self.try_serve_with(arguments).unwrap_or_else(|said| panic!("{said}"));
    }

    /// Starts the server; what it said if it ended instead of listening.
    pub(crate) fn try_serve(&mut self) -> Result<(), String> {
        self.try_serve_with(&[])
    }

    fn try_serve_with(&mut self, arguments: &[&str]) -> Result<(), String> {
        self.try_serve_as(Command::new(env!("CARGO_BIN_EXE_escrowd")), arguments)
    }

    /// The same, with the program run by another one that becomes it.
    fn try_serve_as(&mut self, program: Command, arguments: &[&str]) -> Result<(), String> {
        let mut command = program;
        let listen = self.behind.as_ref().unwrap_or(&self.address);
        command.arg("serve").arg("--data").arg(self.data()).args(["--listen", listen]);
        command.args(arguments);
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let speech = BufReader::new(process.stderr.take().unwrap());
        let said = Arc::clone(&self.said);
        let (ready, listening) = std::sync::mpsc::channel();
        let listener = std::thread::spawn(move || {
            for line in speech.lines().map_while(Result::ok) {
                let is_ready = line.starts_with("listening on ");
                let mut text = said.text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                said.more.notify_all();
                if is_ready {
                    let _ = ready.send(());
                }
            }
        });
        match listening.recv() {
            Ok(()) => {
                self.server = Some(Server { process, listener });
                Ok(())
            }
            Err(_) => {
                process.wait().unwrap();
                Err(self.said())
            }
        }
    }

    /// The most memory the server ever had resident, in MiB.
    pub(crate) fn resident_mib_max(&self) -> usize {
        let server = self.server.as_ref().unwrap().process.id();
        let status = fs::read_to_string(format!("/proc/{server}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() >> 10
    }

    /// Has the server read its names and CAs again. Whether it took them up, once it has said.
    #[track_caller]
    pub(crate) fn reload(&self) -> bool {
        let times = |text: &str| text.matches("reloaded: ").count();
        let before = times(&self.said());
        let server = self.server.as_ref().unwrap().process.id().cast_signed();
        let pid = rustix::process::Pid::from_raw(server).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        let text = self.said.text.lock().unwrap();
        let waits = |text: &mut String| times(text) == before;
        let (text, late) = self.said.more.wait_timeout_while(text, PATIENCE, waits).unwrap();
        assert!(!late.timed_out(), "{text}");
        !text.lines().rfind(|line| line.contains("reloaded: ")).unwrap().contains("not reloaded: ")
    }

    /// Ends the server with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.process.kill().unwrap();
        server.process.wait().unwrap();
        server.listener.join().unwrap();
    }

    /// Puts the data directory away, as after a loss, and another in its place.
    pub(crate) fn replace_data(&self, by: &Path) {
        fs::remove_dir_all(self.data()).unwrap();
        fs::rename(by, self.data()).unwrap();
    }

    /// Waits until the server has ended by itself; how.
    pub(crate) fn ended_by_itself(&mut self) -> i32 {
        let mut server = self.server.take().unwrap();
        let status = server.process.wait().unwrap();
        server.listener.join().unwrap();
        status.code().unwrap()
    }

    /// Ends the server as its operator would; it must end well.
    pub(crate) fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        let pid = rustix::process::Pid::from_raw(server.process.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(server.process.wait().unwrap().success(), "{}", self.said());
        server.listener.join().unwrap();
    }

    /// Runs `escrowd` on the vault.
    pub(crate) fn escrowd(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_escrowd"));
        command.args(&arguments[..1]).arg("--data").arg(self.data()).args(&arguments[1..]);
        ended(command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs `escrow --json` in a home.
    pub(crate) fn escrow(&self, home: &str, arguments: &[&str]) -> Ended {
        self.escrow_with(home, arguments, b"")
    }

    /// Runs `escrow --json` in a home, with something on standard input.
    pub(crate) fn escrow_with(&self, home: &str, arguments: &[&str], input: &[u8]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
        command.arg("--json").arg("--home").arg(self.home(home)).args(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read its input closes it.
        drop(child.stdin.take().unwrap().write_all(input));
        ended(child.wait_with_output().unwrap())
    }

    /// Runs `escrow` in a home as people do, with something on standard input; what it says
    /// besides its data. It must succeed.
    #[track_caller]
    pub(crate) fn escrow_aloud(&self, home: &str, arguments: &[&str], input: &[u8]) -> String {
        let mut aloud = self.beside(&[&["--home", &self.home_text(home)], arguments].concat());
        drop(aloud.child.stdin.take().unwrap().write_all(input));
        let (status, said) = (aloud.child.wait().unwrap(), aloud.said());
        assert!(status.success(), "{said}");
        said
    }

    fn home_text(&self, home: &str) -> String {
        self.home(home).display().to_string()
    }

    /// Starts `escrow --json` in a home, to run beside the test.
    pub(crate) fn escrow_beside(&self, home: &str, arguments: &[&str]) -> Beside {
        self.beside(&[&["--json", "--home", &self.home_text(home)], arguments].concat())
    }

    /// Starts `escrow` in a home as people do, to run beside the test.
    pub(crate) fn escrow_aloud_beside(&self, home: &str, arguments: &[&str]) -> Beside {
        self.beside(&[&["--home", &self.home_text(home)], arguments].concat())
    }

    fn beside(&self, arguments: &[&str]) -> Beside {
        let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
        command.args(arguments);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawned.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Beside { child, lines }
    }

    pub(crate) fn home(&self, name: &str) -> PathBuf {
        if name == "operator" {
            self.data().join("operator")
        } else {
            self.path("homes").join(name)
        }
    }

    /// An organisation's first member joins; the home has the organisation's name.
    pub(crate) fn join(&self, organisation: &str, member: &str) {
        let invitation = self.invite("operator", &["--org", organisation, "--member", member]);
        self.escrow_with(organisation, &["join", "--yes"], invitation.as_bytes()).record();
    }

    /// A colleague joins and is confirmed; the home has the member's name.
    pub(crate) fn join_colleague(&self, organisation: &str, member: &str) {
        let invitation = self.invite(organisation, &["--member", member]);
        self.escrow_with(member, &["join", "--yes"], invitation.as_bytes()).record();
        let path = format!("{organisation}/{member}");
        self.escrow(organisation, &["confirm", &path, "--yes"]).record();
    }

    pub(crate) fn invite(&self, by: &str, arguments: &[&str]) -> String {
        let invited = self.escrow(by, &[&["invite", "--yes"], arguments].concat()).record();
        invited["invitation"].as_str().unwrap().to_owned()
    }

    /// The time, as commands write it.
    pub(crate) fn now(&self) -> String {
        Timestamp::from(std::time::SystemTime::now()).to_string()
    }

    pub(crate) fn fingerprint(&self, home: &str) -> String {
        let own = self.escrow(home, &["whoami"]).record();
        own["organisation_fingerprint"].as_str().unwrap().to_owned()
    }

    pub(crate) fn trust_each_other(&self) {
        for (organisation, _) in PEOPLE {
            let fingerprint = self.fingerprint(organisation);
            for (other, _) in PEOPLE.iter().filter(|(other, _)| *other != organisation) {
                self.escrow(other, &["trust", organisation, &fingerprint, "--yes"]).record();
            }
        }
    }

    /// The depositor proposes terms; the agreement's id.
    pub(crate) fn propose(&self, terms: &str) -> String {
        let terms = self.file("terms.toml", terms);
        let proposed = self.escrow("hanbit-parts", &["agreement", "propose", &terms, "--yes"]);
        id(&proposed.record())
    }

    /// The depositor proposes terms and the others accept them; the agreement's id.
    pub(crate) fn agree(&self, terms: &str) -> String {
        let agreement = self.propose(terms);
        for (organisation, _) in &PEOPLE[1..] {
            self.escrow(organisation, &["agreement", "accept", &agreement, "--yes"]).record();
        }
        agreement
    }

    /// The depositor deposits a file of this content; the deposit's id.
    pub(crate) fn deposit(&self, agreement: &str, content: impl AsRef<[u8]>) -> String {
        let file = self.file("bundle/recipe.txt", content);
        id(&self.escrow("hanbit-parts", &["deposit", agreement, &file, "--yes"]).record())
    }

    /// The beneficiary requests a deposit; the request's id.
    pub(crate) fn request(&self, deposit: &str, rule: &str) -> String {
        let arguments = ["request", deposit, "--rule", rule, "--purpose", "an audit", "--yes"];
        id(&self.escrow("orient-display", &arguments).record())
    }

    /// Somebody approves; the state of the request after it.
    #[track_caller]
    pub(crate) fn approve(&self, home: &str, request: &str) -> String {
        let approved = self.escrow(home, &["approve", request, "--yes"]).record();
        approved["request"]["state"].as_str().unwrap().to_owned()
    }

    /// The state of a request as somebody sees it.
    pub(crate) fn state(&self, home: &str, request: &str) -> String {
        let shown = self.escrow(home, &["show", request]).record();
        shown["state"].as_str().unwrap().to_owned()
    }
}

/// A command that runs beside the test. Killed when dropped.
pub(crate) struct Beside {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Beside {
    /// The next record it puts out; `None` once it has ended.
    pub(crate) fn next(&mut self) -> Option<Value> {
        self.next_line().map(|line| serde_json::from_str(&line).unwrap())
    }

    /// The next line it puts out; `None` once it has ended.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        (!line.is_empty()).then_some(line)
    }

    /// Ends it; what it said besides its data.
    pub(crate) fn end(mut self) -> String {
        self.child.kill().unwrap();
        self.said()
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }

    /// What it said besides its data, once it has ended by itself.
    pub(crate) fn said_to_its_end(mut self) -> String {
        let said = self.said();
        self.child.wait().unwrap();
        said
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its exit code, once it has ended.
    pub(crate) fn ended(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.process.kill());
            drop(server.process.wait());
        }
    }
}

fn ended(output: std::process::Output) -> Ended {
    let out = String::from_utf8(output.stdout).unwrap();
    let records = out.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null));
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: records.collect(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn id(record: &Value) -> String {
    record["id"].as_str().unwrap().to_owned()
}

/// Whether a program that a test cannot do without is there. Said in one line if it is not;
/// `ESCROW_TEST_STRICT` makes that a failure.
pub(crate) fn have(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("PASSED OVER: the program `{program}` is not installed");
        let strict = std::env::var_os("ESCROW_TEST_STRICT").is_some();
        assert!(!strict, "`{program}` is not installed, and ESCROW_TEST_STRICT is set");
    }
    found
}

/// What runs these words of a shell on a terminal: what is typed goes in, what is shown comes out.
/// The shell is the same everywhere; that of whoever runs the tests would show in how it ends.
pub(crate) fn on_a_terminal(command: &str) -> Command {
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", command, "/dev/null"]);
    terminal.env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped());
    terminal
}

/// Copies a directory with its permissions, but for the reserve: it holds nothing.
pub(crate) fn copy_dir(from: &Path, into: &Path) {
    fs::create_dir_all(into).unwrap();
    fs::set_permissions(into, fs::metadata(from).unwrap().permissions()).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let (path, target): (PathBuf, _) = {
            let item = item.unwrap();
            (item.path(), into.join(item.file_name()))
        };
        if path.is_dir() {
            copy_dir(&path, &target);
        } else if path.file_name().is_some_and(|name| name == "reserve") {
            fs::write(target, "").unwrap();
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// Every file below a directory.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for item in fs::read_dir(dir).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}
