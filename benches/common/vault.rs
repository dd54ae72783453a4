//! A vault that is served over real TLS on loopback, and the homes of its parties.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use escrow_vault::client::acts::deposit;
use escrow_vault::client::archive::pack::Plan;
use escrow_vault::client::home::Home;
use escrow_vault::client::session::Session;
use escrow_vault::domain::statement::Content;
use tempfile::TempDir;

use crate::common::disk;
use crate::common::process::{Cost, json, measured, run};

/// A vault that is served, with three organisations and an agreement. Ended when dropped.
pub(crate) struct Vault {
    dir: TempDir,
    address: String,
    pub(crate) server: Child,
    pub(crate) agreement: String,
    deposited: AtomicUsize,
}

pub(crate) const PARTIES: [(&str, &str); 3] =
    [("hanbit-parts", "minji"), ("orient-display", "junho"), ("trade-secret-center", "sora")];

const TERMS: &str = include_str!("../../tests/scenarios/joint.toml");

impl Vault {
    pub(crate) fn new(name: &str) -> Self {
        let dir = disk::directory(name);
        let [_, _, _, low] = std::process::id().to_be_bytes();
        let address = format!("127.77.{low}.1:7443");
        let data = dir.path().join("vault");
        run(escrowd("init").arg("--data").arg(&data).args(["--public-address", &address]));
        // So many calls at a time as 64 clients of one member make, and so many deposits as `scale` has.
        let config = data.join("escrowd.toml");
        let text = fs::read_to_string(&config).unwrap();
        let quota = "[quota]\nstreams = 2048\ndeposits = 2000000";
        fs::write(&config, text.replace("# [quota]", quota)).unwrap();
        let server = spawn_server(&data, &address);
        let (agreement, deposited) = (String::new(), AtomicUsize::new(0));
        let mut vault = Self { dir, address, server, agreement, deposited };
        for (organisation, member) in PARTIES {
            let operator = data.join("operator");
            let invited = json(escrow(&operator).args([
                "--yes",
                "invite",
                "--org",
                organisation,
                "--member",
                member,
            ]));
            let line = vault.path("invitation");
            fs::write(&line, invited["invitation"].as_str().unwrap()).unwrap();
            json(escrow(&vault.path(organisation)).args(["--yes", "join"]).arg(&line));
        }
        for (of, _) in PARTIES {
            let own = json(escrow(&vault.path(of)).arg("whoami"));
            let fingerprint = own["organisation_fingerprint"].as_str().unwrap();
            for (at, _) in PARTIES.iter().filter(|(at, _)| *at != of) {
                json(escrow(&vault.path(at)).args(["--yes", "trust", of, fingerprint]));
            }
        }
        let terms = vault.path("terms.toml");
        fs::write(&terms, TERMS).unwrap();
        let depositor = vault.path("hanbit-parts");
        let proposed = json(escrow(&depositor).args(["--yes", "agreement", "propose"]).arg(&terms));
        vault.agreement = proposed["id"].as_str().unwrap().to_owned();
        for (party, _) in &PARTIES[1..] {
            let accept = ["--yes", "agreement", "accept", &vault.agreement];
            json(escrow(&vault.path(party)).args(accept));
        }
        vault
    }

    /// The home of another member, invited and confirmed by the first.
    pub(crate) fn colleague(&self, organisation: &str, member: &str) -> PathBuf {
        let (first, home) = (self.path(organisation), self.path(member));
        let invite = ["--yes", "invite", "--org", organisation, "--member", member];
        let invited = json(escrow(&first).args(invite));
        let line = self.path("invitation");
        fs::write(&line, invited["invitation"].as_str().unwrap()).unwrap();
        json(escrow(&home).args(["--yes", "join"]).arg(&line));
        let path = format!("{organisation}/{member}");
        json(escrow(&first).args(["--yes", "confirm", &path]));
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of so many bytes that no compression makes smaller.
    pub(crate) fn file(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.path(name);
        let mut file = File::create(&path).unwrap();
        let mut random = File::open("/dev/urandom").unwrap().take(bytes);
        std::io::copy(&mut random, &mut file).unwrap();
        file.sync_all().unwrap();
        path
    }

    pub(crate) fn deposit(&self, file: &Path) -> (String, Cost) {
        let mut command = escrow(&self.path("hanbit-parts"));
        command.args(["--yes", "deposit", &self.agreement]).arg(file);
        let (deposited, cost) = measured(&command);
        (deposited["id"].as_str().unwrap().to_owned(), cost)
    }

    /// Requests and approves; what the retrieval took.
    pub(crate) fn release(&self, deposit: &str, out: &Path) -> Cost {
        let ask = ["--yes", "request", deposit, "--rule", "joint", "--purpose", "measured"];
        let asked = json(escrow(&self.path("orient-display")).args(ask));
        let request = asked["id"].as_str().unwrap();
        for party in ["trade-secret-center", "hanbit-parts"] {
            json(escrow(&self.path(party)).args(["--yes", "approve", request]));
        }
        let mut command = escrow(&self.path("orient-display"));
        measured(command.args(["--yes", "retrieve", request, "--out"]).arg(out)).1
    }

    /// Deposits sealed beforehand, by so many clients at once; how many a second.
    pub(crate) fn small_deposits(&self, clients: usize, deposits: usize) -> f64 {
        let each = deposits.div_ceil(clients);
        let begin = Arc::new(Barrier::new(clients + 1));
        // In memory: reading them back takes nothing from the disk that is measured.
        let sealed = Arc::new(tempfile::tempdir_in("/dev/shm").unwrap());
        let content = self.path("small.bin");
        fs::write(&content, vec![7; 1024]).unwrap();
        let first = self.deposited.fetch_add(1, Ordering::Relaxed);
        let threads: Vec<_> = (0..clients)
            .map(|client| {
                let (home, begin) = (self.path("hanbit-parts"), Arc::clone(&begin));
                let (agreement, content) = (self.agreement.clone(), content.clone());
                let label = format!("{first}-{client}");
                let sealed = Arc::clone(&sealed);
                std::thread::spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build();
                    runtime.unwrap().block_on(async {
                        let mut session = Session::open(Home::open(&home).unwrap()).await.unwrap();
                        let agreement = agreement.parse().unwrap();
                        let agreement = session.agreement(&agreement).await.unwrap();
                        let plan = Plan::survey(&[content], &[]).unwrap();
                        let bundles: Vec<_> = (0..each)
                            .map(|number| {
                                let at = sealed.path().join(format!("{client}-{number}.age"));
                                deposit::seal_to_file(&agreement, &plan, &at, |_| ()).unwrap();
                                at
                            })
                            .collect();
                        // Anew: while it sealed, this thread answered nobody.
                        let mut session = Session::open(Home::open(&home).unwrap()).await.unwrap();
                        let agreement = session.agreement(&agreement.id).await.unwrap();
                        begin.wait();
                        for file in bundles {
                            let content = Content::Tar;
                            let bundle = deposit::ready_bundle(&agreement, &file, content).unwrap();
                            let how = (label.parse().unwrap(), Duration::ZERO);
                            deposit::deposit(&mut session, &agreement, bundle, how, &mut |_| ())
                                .await
                                .unwrap();
                        }
                    });
                })
            })
            .collect();
        begin.wait();
        let began = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        (each * clients) as f64 / began.elapsed().as_secs_f64()
    }

    pub(crate) fn stop(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.server.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        self.server.wait().unwrap();
    }

    /// Starts the server; how long until it listened.
    pub(crate) fn serve(&mut self) -> Duration {
        let began = Instant::now();
        self.server = spawn_server(&self.path("vault"), &self.address);
        began.elapsed()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

pub(crate) fn spawn_server(data: &Path, address: &str) -> Child {
    let mut command = escrowd("serve");
    command.arg("--data").arg(data).args(["--listen", address]).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut speech = BufReader::new(server.stderr.take().unwrap());
    let mut line = String::new();
    while speech.read_line(&mut line).unwrap() > 0 && !line.contains("listening on ") {
        line.clear();
    }
    assert!(line.contains("listening on "), "the server did not start");
    std::thread::spawn(move || std::io::copy(&mut speech, &mut std::io::sink()));
    server
}

pub(crate) fn escrowd(command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_escrowd"));
    program.arg(command);
    program
}

pub(crate) fn escrow(home: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_escrow"));
    program.arg("--json").arg("--home").arg(home);
    program
}
