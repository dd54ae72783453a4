//! A clerk's hour: ten ordinary mistakes, as they look on a terminal. Each ends in one line that
//! says what happened and one that says what to do.
//!
//! What is shown stands in `tests/transcripts`, with names in place of what differs each time.
//! `ESCROW_TEST_UPDATE=1` writes it anew; then read the difference.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use super::full_disk::{Disk, may_mount};
use super::{TERMS, World, have, id};

/// A session at a terminal.
struct Transcript<'a> {
    world: &'a World,
    text: String,
    /// What stands for what differs each time.
    names: BTreeMap<String, String>,
}

impl<'a> Transcript<'a> {
    fn of(world: &'a World) -> Self {
        Self { world, text: String::new(), names: BTreeMap::new() }
    }

    /// A command by a person whose home is `home`, as it was typed; its exit code.
    fn types(&mut self, home: &str, words: &[&str]) -> i32 {
        self.types_within(&[], home, words)
    }

    /// The same within another program.
    fn types_within(&mut self, within: &[&str], home: &str, words: &[&str]) -> i32 {
        let mut program = within.to_vec();
        program.push(env!("CARGO_BIN_EXE_escrow"));
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(words);
        let (status, shown) = self.at_home(&mut command, home, |_, _| ());
        self.note(&[within, &["escrow"], words].concat(), &shown, status);
        status
    }

    /// Runs a command in the place of the transcript; what it showed, in the order it came.
    fn at_home(
        &self,
        command: &mut Command,
        home: &str,
        meanwhile: impl FnOnce(Pid, &mut dyn std::io::Write),
    ) -> (i32, String) {
        let (mut shown, into) = std::io::pipe().unwrap();
        command.current_dir(self.world.path("")).env("ESCROW_HOME", self.world.home(home));
        command.stdin(Stdio::piped()).stdout(into.try_clone().unwrap()).stderr(into);
        let mut child = command.spawn().unwrap();
        // The command holds the pipe's other end until it is dropped.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        let mut input = child.stdin.take().unwrap();
        meanwhile(pid, &mut input);
        let status = child.wait().unwrap().code().unwrap();
        drop(input);
        let mut text = String::new();
        shown.read_to_string(&mut text).unwrap();
        (status, text)
    }

    fn note(&mut self, words: &[&str], shown: &str, status: i32) {
        self.text.push_str(&format!("$ {}\n{shown}", words.join(" ")));
        if status != 0 {
            self.text.push_str(&format!("[exit {status}]\n"));
        }
    }

    /// Everything typed and shown, with names for what differs each time.
    fn told(&mut self) -> String {
        let place = self.world.path("").display().to_string();
        let text = self.text.replace(&place, "/home/minji/").replace(&self.world.address, "VAULT");
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_:.-".contains(c);
        let mut told = String::new();
        let mut rest = text.as_str();
        while let Some(start) = rest.find(is_part) {
            let (before, from) = rest.split_at(start);
            let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
            let bare = word.trim_end_matches(['.', ':', ',']);
            told.push_str(before);
            // An age header has recipients of no use and of any length among its own.
            let is_size = after.starts_with(" KiB") || after.starts_with(" bytes)");
            match is_size {
                true => told.push('N'),
                false => told.push_str(&self.name_for(bare)),
            }
            told.push_str(&word[bare.len()..]);
            rest = after;
        }
        told.push_str(rest);
        told
    }

    fn name_for(&mut self, word: &str) -> String {
        let is_id = |prefix: &str| {
            word.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 6 && !rest.contains('_'))
        };
        let is_digest = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        let is_fingerprint = word.split('-').count() == 8 && word.len() == 39;
        let kind = if let Some(prefix) = ["agr_", "dep_", "req_"].into_iter().find(|p| is_id(p)) {
            prefix.to_owned()
        } else if is_digest {
            "SHA256-".to_owned()
        } else if is_fingerprint {
            "FINGERPRINT-".to_owned()
        } else if word.parse::<escrow_vault::domain::time::Timestamp>().is_ok() {
            return "TIME".to_owned();
        } else {
            return word.to_owned();
        };
        let next = self.names.values().filter(|name| name.starts_with(&kind)).count() + 1;
        self.names.entry(word.to_owned()).or_insert_with(|| format!("{kind}{next}")).clone()
    }

    /// Compares it with what is kept under this name.
    #[track_caller]
    fn is(mut self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
        let path = path.with_extension("txt");
        let told = self.told();
        if std::env::var_os("ESCROW_TEST_UPDATE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &told).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap();
        assert_eq!(told, kept, "{} is not what is shown", path.display());
    }
}

/// A vault with the three parties, an agreement, and a recipe to deposit.
fn prepared() -> (World, String) {
    let (world, agreement) = World::with_agreement();
    let recipe = world.file("recipe.txt", "anneal at 412 °C\n");
    // What is packed bears its date.
    let dated = fs::File::options().write(true).open(recipe).unwrap();
    dated.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30)).unwrap();
    (world, agreement)
}

#[test]
fn promise_11_the_wrong_agreement() {
    let (world, agreement) = prepared();
    // An agreement in which somebody else deposits.
    let swapped = TERMS.replace("depositor = \"hanbit-parts\"", "depositor = \"orient-display\"");
    let swapped =
        swapped.replace("beneficiary = \"orient-display\"", "beneficiary = \"hanbit-parts\"");
    let terms = world.file("swapped.toml", swapped);
    let proposed = world.escrow("orient-display", &["agreement", "propose", &terms, "--yes"]);
    let other = id(&proposed.record());
    for home in ["hanbit-parts", "trade-secret-center"] {
        world.escrow(home, &["agreement", "accept", &other, "--yes"]).record();
    }
    let mut transcript = Transcript::of(&world);
    transcript.types("hanbit-parts", &["deposit", &other, "recipe.txt", "--yes"]);
    transcript.types("hanbit-parts", &["deposit", "agr_2bxqk7", "recipe.txt", "--yes"]);
    let cut = &agreement[..agreement.len() - 1];
    transcript.types("hanbit-parts", &["deposit", cut, "recipe.txt"]);
    transcript.is("wrong-agreement");
}

#[test]
fn promise_11_an_expired_invitation() {
    let world = World::new();
    world.join("hanbit-parts", "minji");
    let line = world.invite("hanbit-parts", &["--member", "dana", "--valid", "1s"]);
    world.file("invitation.txt", &line);
    // Waits on the state: this computer's clock, by which the invitation expires.
    let expired_by = SystemTime::now() + Duration::from_secs(2);
    while SystemTime::now() < expired_by {
        std::thread::yield_now();
    }
    let mut transcript = Transcript::of(&world);
    transcript.types("dana", &["join", "invitation.txt", "--yes"]);
    transcript.is("expired-invitation");
}

#[test]
fn promise_11_the_same_file_again() {
    let (world, agreement) = prepared();
    let mut transcript = Transcript::of(&world);
    transcript.types("hanbit-parts", &["deposit", &agreement, "recipe.txt", "--yes"]);
    transcript.types("hanbit-parts", &["deposit", &agreement, "recipe.txt"]);
    transcript.types("hanbit-parts", &["seal", &agreement, "recipe.txt", "--out", "sealed.age"]);
    transcript.types("hanbit-parts", &["deposit", &agreement, "sealed.age", "--yes"]);
    transcript.types("hanbit-parts", &["deposit", &agreement, "sealed.age", "--yes"]);
    transcript.is("same-file-again");
}

#[test]
fn promise_11_approving_twice() {
    let (world, agreement) = prepared();
    let request = world.request(&world.deposit(&agreement, "recipe"), "joint");
    let mut transcript = Transcript::of(&world);
    transcript.types("trade-secret-center", &["approve", &request, "--yes"]);
    transcript.types("trade-secret-center", &["approve", &request, "--yes"]);
    transcript.is("approving-twice");
}

#[test]
fn promise_11_the_wrong_directory() {
    let (world, agreement) = prepared();
    let mut transcript = Transcript::of(&world);
    transcript.types("hanbit-parts", &["deposit", &agreement, "receipt.txt", "--yes"]);
    transcript.types("hanbit-parts", &["--home", "elsewhere", "status"]);
    transcript.types("hanbit-parts", &["agreement", "propose", "proposal.toml", "--yes"]);
    transcript.types("hanbit-parts", &["join", "invitation.txt"]);
    transcript.is("wrong-directory");
}

#[test]
fn promise_11_no_network() {
    let (mut world, agreement) = prepared();
    world.stop();
    let mut transcript = Transcript::of(&world);
    let code = transcript.types("hanbit-parts", &["deposit", &agreement, "recipe.txt", "--yes"]);
    assert_eq!(code, 4);
    transcript.types("hanbit-parts", &["status"]);
    transcript.is("no-network");
}

#[test]
fn promise_11_the_wrong_passphrase() {
    let (world, _) = prepared();
    for (name, passphrase) in [("passphrase.txt", "blue kettle"), ("wrong.txt", "blue kettel")] {
        let path = world.file(name, format!("{passphrase}\n"));
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(path, private).unwrap();
    }
    let mut transcript = Transcript::of(&world);
    transcript.types("hanbit-parts", &["passphrase", "--new-file", "passphrase.txt"]);
    transcript.types("hanbit-parts", &["--passphrase-file", "wrong.txt", "status"]);
    transcript.types("hanbit-parts", &["--passphrase-file", "missing.txt", "status"]);
    transcript.types("hanbit-parts", &["status"]);
    transcript.is("wrong-passphrase");
}

#[test]
fn promise_11_a_full_target_disk() {
    if !may_mount() {
        return;
    }
    let (world, agreement) = prepared();
    let request = world.request(&world.deposit(&agreement, vec![7; 4 << 20]), "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    fs::create_dir(world.path("stick")).unwrap();
    let disk = Disk::mount(&world.path("stick"), 1);
    let mut transcript = Transcript::of(&world);
    transcript.types("orient-display", &["retrieve", &request, "--out", "stick/out", "--yes"]);
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0, "nothing half is left");
    transcript.is("full-target-disk");
    // It goes on with what was received until then, however much that was.
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    assert_eq!(fs::read(world.path("out/recipe.txt")).unwrap(), vec![7; 4 << 20]);
}

#[test]
fn promise_11_ctrl_c_in_the_middle() {
    let (world, agreement) = prepared();
    let mut transcript = Transcript::of(&world);
    let words = ["deposit", &agreement, "-"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
    command.args(words);
    let (status, shown) = transcript.at_home(&mut command, "hanbit-parts", |pid, input| {
        // More than a pipe holds: once it is written, the command has begun to read.
        input.write_all(&vec![7; 1 << 20]).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    });
    assert_eq!(status, 1, "{shown}");
    transcript.note(&[&["escrow"], &words[..]].concat(), &format!("^C\n{shown}"), status);
    transcript.types("hanbit-parts", &["deposits", &agreement]);
    transcript.is("ctrl-c");
}

#[test]
fn promise_11_a_clock_off_by_a_day() {
    if !have("faketime") {
        return;
    }
    let (world, agreement) = prepared();
    let deposit = world.deposit(&agreement, "recipe");
    let mut transcript = Transcript::of(&world);
    for off in ["+1d", "-1d"] {
        let within = ["faketime", "-f", off];
        transcript.types_within(&within, "hanbit-parts", &["deposits", &agreement]);
        let ask = ["request", &deposit, "--rule", "joint", "--purpose", "audit", "--yes"];
        transcript.types_within(&within, "orient-display", &ask);
    }
    transcript.is("clock-off-by-a-day");
}
