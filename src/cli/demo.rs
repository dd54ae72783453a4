//! `escrow demo`: the whole story, told with the real programs on a vault of its own.
//!
//! Every step runs the command that a person would type, in a process of its own, against a real
//! server over real TLS. Nothing is simulated and nothing is left behind; only where it is killed
//! with SIGKILL does its directory stay, whose name says what it is.

#![expect(clippy::indexing_slicing, reason = "a JSON value answers any key, with null")]

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::cli::failure::{Exit, Failure};
use crate::client::archive::pack::Plan;
use crate::client::error::chain;
use crate::client::terms_text::THREE_PARTY;
use crate::daemon;

const DEPOSITOR: &str = "hanbit-parts";
const BENEFICIARY: &str = "orient-display";
const AGENT: &str = "trade-secret-center";
/// The people of the story, each with a home of their own.
const PEOPLE: [(&str, &str); 3] = [(DEPOSITOR, "minji"), (BENEFICIARY, "junho"), (AGENT, "sora")];
/// How long the server may take to listen.
const START_MAX: Duration = Duration::from_secs(30);

/// Why a story ends before its end.
enum End {
    /// Something did not go as told.
    Failed(Failure),
    /// Somebody has seen enough: stopped by a signal, or nobody reads on.
    Left,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Tells the story with `path`, or with a sample, as what is deposited. A signal ends it; nothing
/// is left behind then either.
pub(super) async fn run(path: Option<&Path>) -> Result<Exit, Failure> {
    let path = path.map(Path::to_owned);
    let (stop, stopped) = watch::channel(false);
    let mut telling = tokio::task::spawn_blocking(move || tell(path.as_deref(), stopped));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(disk)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(disk)?;
    let told = tokio::select! {
        told = &mut telling => told,
        _ = interrupt.recv() => stopping(&stop, telling).await,
        _ = terminate.recv() => stopping(&stop, telling).await,
    };
    match told.unwrap_or_else(|fault| Err(defect("the telling", fault).into())) {
        Ok(()) => Ok(Exit::Done),
        Err(End::Failed(failure)) => Err(failure),
        Err(End::Left) if *stop.borrow() => {
            let message = "the demo was interrupted; nothing was left behind";
            Err(Failure::failed("INTERRUPTED", message, "run it again for the whole story"))
        }
        Err(End::Left) => Ok(Exit::Done),
    }
}

/// Has the telling stop, and waits until it has put everything away.
async fn stopping<T>(stop: &watch::Sender<bool>, telling: JoinHandle<T>) -> Result<T, JoinError> {
    stop.send_replace(true);
    telling.await
}

fn tell(path: Option<&Path>, stopped: watch::Receiver<bool>) -> Result<(), End> {
    let began = Instant::now();
    if let Some(path) = path {
        packable(path)?;
    }
    let dir = tempfile::Builder::new().prefix("escrow-demo-").tempdir().map_err(disk)?;
    let mut story = Story::begin(dir.path(), stopped)?;
    let sample = dir.path().join("process-recipe");
    let path = match path {
        Some(path) => path,
        None => {
            write_sample(&sample)?;
            &sample
        }
    };
    tell_with(&mut story, path)?;
    story.stop()?;
    story.check()?;
    dir.close().map_err(disk)?;
    say(&format!(
        "\nAll of it held, in {:.1} s. Nothing was left behind.",
        began.elapsed().as_secs_f64()
    ))?;
    say("The same by hand: README, \"The story command by command\".")
}

/// Finds out before the first step whether there is something that can be deposited.
fn packable(path: &Path) -> Result<(), Failure> {
    let found = Plan::survey(&[path.to_owned()], &[]);
    let found =
        found.map_err(|fault| Failure::failed("NOT_PACKED", chain(&fault), fault.hint()))?;
    match found.entries() {
        0 => Err(Failure::failed("NOTHING", "there is nothing to deposit", "name another path")),
        _ => Ok(()),
    }
}

/// Tells a line. Where nobody reads on, the story is over.
fn say(line: &str) -> Result<(), End> {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Err(End::Left),
        Err(fault) => Err(Failure::failed("OUTPUT", fault, "check where the output goes").into()),
    }
}

fn tell_with(story: &mut Story, path: &Path) -> Result<(), End> {
    let names = PEOPLE.map(|(organisation, _)| organisation);
    story.step(
        "Three organisations join",
        "Each makes its keys at home; the vault learns the public halves only. The operator's \
         invitation opens the door and speaks for nobody.",
        |story| PEOPLE.iter().try_for_each(|person| story.join(*person)),
    )?;
    let agreement = story.step(
        "An agreement is proposed and countersigned by all",
        "The depositor splits a fresh key among the three and forgets it. Every client checks the \
         dealing for itself before it signs: no single party holds the key, nor does the vault.",
        |story| story.agree(),
    )?;
    let deposit = story.step(
        "The depositor seals and deposits",
        "The vault keeps an ordinary age file that it cannot open, and proof that the depositor \
         itself made it.",
        |story| {
            let shown = path.display().to_string();
            let made = story.escrow(DEPOSITOR, &["deposit", "--yes", &agreement, "--", &shown])?;
            say(&format!(
                "    sealed size {} bytes, SHA-256 {}",
                made["size"],
                text(&made["sha256"])
            ))?;
            Ok(text(&made["id"]))
        },
    )?;
    story.step(
        "A stranger asks, and learns nothing",
        "Who isn't a party is answered as if the agreement did not exist.",
        |story| {
            story.join(("curious-trading", "jack"))?;
            story.refused("curious-trading", &["show", &agreement], "NOT_FOUND")?;
            story.refused("curious-trading", &["deposits", &agreement], "NOT_FOUND")
        },
    )?;
    let request = story.step(
        "The customer requests the bundle",
        "The request names deposit, rule and purpose; everything later is bound to its digest.",
        |story| {
            let arguments = [
                "request",
                &deposit,
                "--rule",
                "joint",
                "--purpose",
                "second source for line 7",
                "--yes",
            ];
            let made = story.escrow(BENEFICIARY, &arguments)?;
            Ok(text(&made["id"]))
        },
    )?;
    let out = story.dir.join("retrieved");
    let out_text = out.display().to_string();
    story.step(
        "One party alone is refused",
        "The requester cannot consent to its own request, and nothing is handed out before the \
         rule is met.",
        |story| {
            story.refused(BENEFICIARY, &["approve", &request, "--yes"], "OWN_REQUEST")?;
            let early = ["retrieve", &request, "--out", &out_text, "--yes"];
            story.refused(BENEFICIARY, &early, "NOT_YET")
        },
    )?;
    story.step(
        "Two organisations approve",
        "The first consent spends nothing. The second meets the rule, and the same visit \
         contributes its share, with proof, for this request and this file only.",
        |story| {
            let first = story.escrow(AGENT, &["approve", &request, "--yes"])?;
            expect("state after one consent", &first["request"]["state"], "open")?;
            let early = ["retrieve", &request, "--out", &out_text, "--yes"];
            story.refused(BENEFICIARY, &early, "NOT_YET")?;
            let second = story.escrow(DEPOSITOR, &["approve", &request, "--yes"])?;
            expect("state after two consents", &second["request"]["state"], "released")
        },
    )?;
    story.step(
        "The customer retrieves and opens",
        "Its own share and the contribution open this one file; digests are checked against the \
         depositor's signed statement, and every byte is compared with the original here.",
        |story| {
            let arguments = ["retrieve", &request, "--out", &out_text, "--yes"];
            let got = story.escrow(BENEFICIARY, &arguments)?;
            let (files, bytes) = compare(path, &out)?;
            say(&format!(
                "    {files} entries, {bytes} bytes, the same (checked: {})",
                got["plaintext_checked"]
            ))?;
            Ok(())
        },
    )?;
    story.step(
        "Everybody can see who did and saw what",
        "Every act is a signed statement in an append-only stream that each party's client has \
         verified and replayed.",
        |story| {
            for organisation in names {
                let events = story.lines(organisation, &["audit", &agreement])?;
                let deeds = ["deposited", "requested", "consented", "contributed", "retrieved"];
                for deed in deeds {
                    if !events.iter().any(|event| event["kind"] == deed) {
                        let message = format!("the audit of {organisation} does not tell: {deed}");
                        return Err(Failure::failed("DEMO", message, "this is a defect").into());
                    }
                }
                say(&format!("    {organisation} sees {} events", events.len()))?;
            }
            Ok(())
        },
    )
}

/// The people, the server, and where everything is.
struct Story {
    dir: PathBuf,
    program: PathBuf,
    server: Option<Server>,
    steps: usize,
    stopped: watch::Receiver<bool>,
}

/// The server, which ends when nobody holds its standard input any more: it outlives neither the
/// story nor a demo that is killed.
struct Server {
    process: Child,
    _input: Option<ChildStdin>,
}

impl Story {
    fn begin(dir: &Path, stopped: watch::Receiver<bool>) -> Result<Self, End> {
        let program = std::env::current_exe().map_err(disk)?;
        let mut story = Self { dir: dir.to_owned(), program, server: None, steps: 0, stopped };
        story.step(
            "A vault is made and served",
            "Its own CA, a ledger key, a real server process on this computer, TLS 1.3 with a \
             post-quantum key exchange.",
            |story| {
                let data = story.data();
                // A loopback address of its own, where nobody else listens.
                let [_, high, middle, low] = std::process::id().to_be_bytes();
                let address = format!("127.{}.{middle}.{low}:7443", high | 0x80);
                story.escrowd(&["init", "--data", &data, "--public-address", &address])?;
                story.serve(&address)
            },
        )?;
        Ok(story)
    }

    fn step<T>(
        &mut self,
        title: &str,
        proves: &str,
        act: impl FnOnce(&mut Self) -> Result<T, End>,
    ) -> Result<T, End> {
        self.steps += 1;
        say(&format!("\n{}. {title}", self.steps))?;
        let began = Instant::now();
        let done = act(self)?;
        say(&format!("    {proves}"))?;
        say(&format!("    [{:.2} s]", began.elapsed().as_secs_f64()))?;
        Ok(done)
    }

    fn data(&self) -> String {
        self.dir.join("vault").display().to_string()
    }

    fn home(&self, organisation: &str) -> String {
        self.dir.join("homes").join(organisation).display().to_string()
    }

    fn serve(&mut self, address: &str) -> Result<(), End> {
        let mut command = Command::new(&self.program);
        command.arg0(daemon::PROGRAM).args(["serve", "--data", &self.data(), "--listen", address]);
        command.arg("--until-input-closes").process_group(0);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = spawned.spawn().map_err(disk)?;
        let speech = process.stderr.take().map(BufReader::new);
        let input = process.stdin.take();
        self.server = Some(Server { process, _input: input });
        let (ready, listening) = mpsc::channel();
        std::thread::spawn(move || {
            let mut said = Vec::new();
            for line in speech.into_iter().flat_map(|speech| speech.lines().map_while(Result::ok)) {
                if line.starts_with("listening on ") {
                    drop(ready.send(Ok(())));
                }
                said.push(line);
            }
            drop(ready.send(Err(said.join("\n"))));
        });
        match listening.recv_timeout(START_MAX) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(said)) => Err(Failure::failed("DEMO", "the server did not start", said).into()),
            Err(_) => {
                let message = "the server did not start in time";
                Err(Failure::failed("DEMO", message, "try again").into())
            }
        }
    }

    /// An organisation's first member joins.
    fn join(&mut self, (organisation, member): (&str, &str)) -> Result<(), End> {
        let operator = self.dir.join("vault/operator").display().to_string();
        let invite = ["invite", "--org", organisation, "--member", member, "--yes"];
        let invited = self.run(&operator, &invite)?;
        let invitation = self.dir.join("invitation");
        fs::write(&invitation, text(&invited["invitation"])).map_err(disk)?;
        let home = self.home(organisation);
        let joined = self.run(&home, &["join", "--yes", &invitation.display().to_string()])?;
        fs::remove_file(&invitation).map_err(disk)?;
        say(&format!(
            "    {organisation}/{member} joined; organisation fingerprint {}",
            text(&joined["organisation_fingerprint"])
        ))?;
        Ok(())
    }

    /// Fingerprints are compared, terms proposed, and countersigned by the others.
    fn agree(&mut self) -> Result<String, End> {
        for (organisation, _) in PEOPLE {
            let own = self.escrow(organisation, &["whoami"])?;
            let fingerprint = text(&own["organisation_fingerprint"]);
            for (other, _) in PEOPLE.iter().filter(|(other, _)| *other != organisation) {
                self.escrow(other, &["trust", organisation, &fingerprint, "--yes"])?;
            }
        }
        let terms = self.dir.join("terms.toml");
        fs::write(&terms, THREE_PARTY).map_err(disk)?;
        let terms = terms.display().to_string();
        let proposed = self.escrow(DEPOSITOR, &["agreement", "propose", &terms, "--yes"])?;
        let agreement = text(&proposed["id"]);
        for organisation in [BENEFICIARY, AGENT] {
            self.escrow(organisation, &["agreement", "accept", &agreement, "--yes"])?;
        }
        let shown = self.escrow(DEPOSITOR, &["show", &agreement])?;
        expect("the agreement's state", &shown["state"], "active")?;
        say(&format!("    release key {}", text(&shown["recipient"])))?;
        Ok(agreement)
    }

    /// Runs `escrow` in an organisation's home; it must succeed.
    fn escrow(&self, organisation: &str, arguments: &[&str]) -> Result<Value, End> {
        self.run(&self.home(organisation), arguments)
    }

    fn run(&self, home: &str, arguments: &[&str]) -> Result<Value, End> {
        let lines = self.lines_in(home, arguments)?;
        Ok(lines.into_iter().next().unwrap_or(Value::Null))
    }

    fn lines(&self, organisation: &str, arguments: &[&str]) -> Result<Vec<Value>, End> {
        self.lines_in(&self.home(organisation), arguments)
    }

    fn lines_in(&self, home: &str, arguments: &[&str]) -> Result<Vec<Value>, End> {
        let (succeeded, out, err) = self.call(home, arguments)?;
        if !succeeded {
            let message = format!("`escrow {}` failed", arguments.join(" "));
            return Err(Failure::failed("DEMO", message, err.trim()).into());
        }
        Ok(out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Runs `escrow` in an organisation's home; it must be refused for this reason.
    fn refused(&self, organisation: &str, arguments: &[&str], code: &str) -> Result<(), End> {
        let (succeeded, _, err) = self.call(&self.home(organisation), arguments)?;
        let told: Value = serde_json::from_str(err.trim()).unwrap_or(Value::Null);
        if succeeded || told["error"]["code"] != code {
            let message = format!("`escrow {}` was not refused as {code}", arguments.join(" "));
            return Err(Failure::failed("DEMO", message, err.trim()).into());
        }
        say(&format!("    refused: {}", text(&told["error"]["message"])))?;
        Ok(())
    }

    fn call(&self, home: &str, arguments: &[&str]) -> Result<(bool, String, String), End> {
        let mut command = Command::new(&self.program);
        command.arg0("escrow").args(["--home", home, "--json"]).args(arguments);
        let done = self.output(command)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((done.status.success(), text(&done.stdout), text(&done.stderr)))
    }

    fn escrowd(&self, arguments: &[&str]) -> Result<(), End> {
        let mut command = Command::new(&self.program);
        command.arg0(daemon::PROGRAM).args(arguments);
        let done = self.output(command)?;
        if done.status.success() {
            return Ok(());
        }
        let message = format!("`escrowd {}` failed", arguments.join(" "));
        Err(Failure::failed("DEMO", message, String::from_utf8_lossy(&done.stderr).trim()).into())
    }

    /// Runs a program to its end, or ends it where the story is over. A signal from the terminal
    /// reaches the story alone.
    fn output(&self, mut command: Command) -> Result<Output, End> {
        command.env_remove("ESCROW_PASSPHRASE_FILE").env_remove("ESCROWD_PASSPHRASE_FILE");
        command.stdin(Stdio::null()).process_group(0);
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        let mut stopped = self.stopped.clone();
        Handle::current().block_on(async {
            tokio::select! {
                done = command.output() => Ok(done.map_err(disk)?),
                _ = stopped.wait_for(|stopped| *stopped) => Err(End::Left),
            }
        })
    }

    /// Stops the server as its operator would, and waits until it has ended well.
    fn stop(&mut self) -> Result<(), Failure> {
        let Some(Server { mut process, _input }) = self.server.take() else { return Ok(()) };
        let pid = i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)
                .map_err(|fault| disk(fault.into()))?;
        }
        let ended = process.wait().map_err(disk)?;
        if ended.success() {
            Ok(())
        } else {
            Err(Failure::failed("DEMO", format!("the server ended with {ended}"), "see above"))
        }
    }

    /// The vault is checked once it has stopped.
    fn check(&mut self) -> Result<(), End> {
        self.step(
            "The vault is stopped and checked",
            "Journal, index and bundles are read again in full and verified against each other.",
            |story| story.escrowd(&["check", "--data", &story.data()]),
        )
    }
}

impl Drop for Story {
    /// However the story ends, no server is left running.
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.process.kill());
            drop(server.process.wait());
        }
    }
}

/// Compares what came out with what went in, by packing both.
fn compare(original: &Path, retrieved: &Path) -> Result<(usize, u64), Failure> {
    let whole = original.canonicalize().map_err(disk)?;
    let name = whole.file_name().unwrap_or_default();
    let pack = |path: PathBuf| -> Result<(Vec<u8>, usize, u64), Failure> {
        let failed = |fault: crate::client::archive::pack::PackFault| {
            Failure::failed("DEMO", &fault, fault.hint())
        };
        let plan = Plan::survey(&[path], &[]).map_err(failed)?;
        let mut digest = HashWriter::default();
        plan.write_to(&mut digest).map_err(failed)?;
        Ok((digest.finish(), plan.entries(), plan.bytes()))
    };
    let (before, entries, bytes) = pack(whole.clone())?;
    let (after, ..) = pack(retrieved.join(name))?;
    if before == after {
        Ok((entries, bytes))
    } else {
        Err(Failure::failed("DEMO", "what was retrieved differs from the original", "a defect"))
    }
}

#[derive(Default)]
struct HashWriter(sha2::Sha256);

impl HashWriter {
    fn finish(self) -> Vec<u8> {
        use sha2::Digest as _;
        self.0.finalize().to_vec()
    }
}

impl std::io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        use sha2::Digest as _;
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A sample of what companies deposit.
fn write_sample(dir: &Path) -> Result<(), Failure> {
    let drawings = dir.join("drawings");
    fs::create_dir_all(&drawings).map_err(disk)?;
    let recipe = "Substrate process recipe\n\n1. Clean, 12 min at 65 C\n2. Etch, 90 s\n3. Rinse\n";
    fs::write(dir.join("recipe.txt"), recipe).map_err(disk)?;
    let drawing: Vec<u8> =
        (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(drawings.join("mask-7.bin"), drawing).map_err(disk)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn expect(what: &str, found: &Value, expected: &str) -> Result<(), End> {
    if found == expected {
        Ok(())
    } else {
        let message = format!("{what} is {found}, not {expected}");
        Err(Failure::failed("DEMO", message, "this is a defect").into())
    }
}

fn defect(what: &str, fault: impl ToString) -> Failure {
    let message = format!("{what} failed: {}", fault.to_string());
    Failure::failed("DEMO", message, "this is a defect")
}

fn disk(fault: std::io::Error) -> Failure {
    Failure::failed("DEMO", fault, "check that there is room in the temporary directory")
}
