//! Witnesses: other firms' programs that cosign a vault's log, and find out when it was set back.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use escrow_vault::client::home::Home;
use escrow_vault::client::mirror::log_key;
use escrow_vault::crypto::cosignature::WitnessKey;
use escrow_vault::crypto::note::NoteKey;
use escrow_vault::crypto::signature::SigningKey;
use escrow_vault::domain::id::Digest;
use escrow_vault::ledger::checkpoint::Checkpoint;
use escrow_vault::ledger::merkle::{leaf_hash, node_hash};
use escrow_vault::ledger::submission::Submission;
use signed_note::{Note, Verifier, VerifierList};

use super::http::ask;
use super::receipts::{pack, run_script, unpack};
use super::{PATIENCE, World, copy_dir, have};

/// A witness that runs.
pub(super) struct Witness {
    process: Child,
    data: PathBuf,
    address: String,
    log: String,
    key: WitnessKey,
}

impl Witness {
    fn name(&self) -> &str {
        self.key.name()
    }

    fn command(data: &Path, address: &str, log: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_escrowd"));
        command.arg("witness").arg("--data").arg(data).args(["--listen", address, "--log", log]);
        command
    }

    fn start(data: PathBuf, address: String, log: String, arguments: &[&str]) -> Self {
        let mut command = Self::command(&data, &address, &log);
        let spawned = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = spawned.spawn().unwrap();
        let mut key = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut key).unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let is_ready = said.any(|line| line.unwrap().starts_with("listening on "));
        assert!(is_ready, "it ended instead");
        // What it says further is read, lest it wait for that.
        std::thread::spawn(move || said.for_each(drop));
        let key = key.trim_end().parse().unwrap();
        Self { process, data, address, log, key }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after it was killed.
    fn restart(&mut self) {
        let (data, address) = (self.data.clone(), self.address.clone());
        let again = Self::start(data, address, self.log.clone(), &[]);
        assert_eq!(again.key, self.key, "it is the same");
        *self = again;
    }

    fn post(&self, body: &str) -> (String, String) {
        post(&self.address, "/add-checkpoint", body)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn post(address: &str, path: &str, body: &str) -> (String, String) {
    use std::io::{Read as _, Write as _};
    let mut tcp = std::net::TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        tcp,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

impl World {
    fn log_vkey(&self) -> NoteKey {
        log_key(&Home::open(&self.home("operator")).unwrap().vault().unwrap()).unwrap()
    }

    /// Two witnesses of this vault, which is stopped, and its policy: `quorum` behind both of them.
    pub(super) fn with_witnesses(&self, quorum: &str) -> (String, [Witness; 2]) {
        let witnesses = ["orient", "center"].map(|name| {
            let port = if name == "orient" { ":7481" } else { ":7482" };
            let address = self.address.replace(":7443", port);
            let called = format!("witness.{name}.example");
            let (data, log) = (self.path(name), self.log_vkey().to_string());
            Witness::start(data, address, log, &["--name", &called])
        });
        let [one, two] = &witnesses;
        self.write_policy(&format!(
            "log {}\nwitness orient {} http://{}\nwitness center {} http://{}/\n{quorum}",
            self.log_vkey(),
            one.key,
            one.address,
            two.key,
            two.address
        ));
        let address = self.address.replace(":7443", ":7480");
        let path = self.data().join("escrowd.toml");
        let mut config = fs::read_to_string(&path).unwrap();
        let log = format!("[log]\nlisten = \"{address}\"\npolicy = \"witnesses.policy\"\n");
        config.push_str(&log);
        fs::write(path, config).unwrap();
        (address, witnesses)
    }

    fn write_policy(&self, text: &str) {
        fs::write(self.data().join("witnesses.policy"), text).unwrap();
    }

    /// Makes the log longer.
    pub(super) fn grow(&self) {
        let file = self.file("notebook-of-nothing", self.now());
        self.escrow("hanbit-parts", &["register", &file, "--yes"]).record();
    }

    /// The size of the newest checkpoint, as a member is told it.
    pub(super) fn newest_size(&self, home: &str) -> u64 {
        self.escrow(home, &["agreement", "list"]).records();
        let note = fs::read_to_string(self.home(home).join("log/checkpoint")).unwrap();
        note.lines().nth(1).unwrap().parse().unwrap()
    }
}

pub(super) fn size_of(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// Asks for the vault's checkpoint until it is as wanted.
#[track_caller]
pub(super) fn shown_until(address: &str, wanted: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let (head, body) = ask(address, "GET /checkpoint");
        let note = String::from_utf8(body).unwrap();
        if head.starts_with("HTTP/1.1 200") && wanted(&note) {
            return note;
        }
        assert!(began.elapsed() < PATIENCE, "{head}\n{note}");
    }
}

/// A witness's key, by the specification and other people's code for notes and curves.
struct Theirs(WitnessKey);

impl Verifier for Theirs {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn key_id(&self) -> u32 {
        signed_note::key_id(self.0.name(), &[&[4], &self.0.key().0[..]].concat())
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let (at, signature) = signature.split_at(8);
        let at = u64::from_be_bytes(at.try_into().unwrap());
        let signed = [format!("cosignature/v1\ntime {at}\n").as_bytes(), text].concat();
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.0.key().0).unwrap();
        key.verify_strict(&signed, &signature.try_into().unwrap()).is_ok()
    }
}

#[test]
fn promise_9_two_witnesses_cosign_the_log_and_a_receipt_shows_it_to_anybody() {
    if !have("openssl") {
        return;
    }
    let (mut world, agreement) = World::with_agreement();
    world.stop();
    let (address, [one, two]) = world.with_witnesses("group both all orient center\nquorum both\n");
    world.serve();
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let size = world.newest_size("hanbit-parts");
    let note = shown_until(&address, |note| size_of(note) >= size);
    // Everything from here on is other people's code.
    let log = signed_note::StandardVerifier::new(&world.log_vkey().to_string()).unwrap();
    let known = VerifierList::new(vec![
        Box::new(log),
        Box::new(Theirs(one.key.clone())),
        Box::new(Theirs(two.key.clone())),
    ]);
    let parsed = Note::from_bytes(note.as_bytes()).unwrap();
    let (signed, others) = parsed.verify(&known).unwrap();
    assert_eq!((signed.len(), others.len()), (3, 0), "{note}");
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(parsed.text()).unwrap();
    assert_eq!(checkpoint.size(), size_of(&note));

    let receipt = world.receipt("hanbit-parts", &deposit);
    let policy = world.data().join("witnesses.policy");
    let verify = |policy: &str| world.verify(&receipt, &["--policy", policy]);
    let proved = verify(&policy.display().to_string()).records();
    assert!(!proved.is_empty());
    let says = |quorum: &str, key: &WitnessKey| {
        world.file("other.policy", format!("witness orient {}\nwitness x {key}\n{quorum}", one.key))
    };
    let stranger = SigningKey::from_bytes(&[7; 32]).public();
    let stranger = WitnessKey::new("witness.stranger.example", stranger).unwrap();
    verify(&says("group g any orient x\nquorum g\n", &stranger)).records();
    let refused = verify(&says("group g all orient x\nquorum g\n", &stranger));
    assert_eq!(refused.refusal(), "NOT_WITNESSED");
    let message = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("there are orient; missing are x"), "{message}");
    let other = NoteKey::new("vault.example/1", *stranger.key()).unwrap();
    let other = world.file("log.policy", format!("log {other}\nquorum none\n"));
    assert_eq!(verify(&other).refusal(), "OTHER_LOG");
    assert_eq!(verify(&world.file("bad.policy", "quorum\n")).refusal(), "BAD_POLICY");
    let said = world.escrow_aloud("nobody", &["verify", &receipt.display().to_string()], b"");
    assert!(said.contains("witness.orient.example, witness.center.example"), "{said}");
    assert!(said.contains("not checked"), "{said}");

    // Everything a party may see, and how far of it witnesses have seen.
    let export = world.path("export.tgz").display().to_string();
    world.escrow("hanbit-parts", &["audit", &agreement, "--export", &export]).record();
    let hold = |policy: &str| world.escrow("nobody", &["verify", &export, "--policy", policy]);
    let witnessed = hold(&policy.display().to_string()).record()["witnessed_size"].as_u64();
    assert!(witnessed.is_some_and(|witnessed| witnessed >= size), "{witnessed:?}, {size}");
    let refused = hold(&says("group g all orient x\nquorum g\n", &stranger));
    assert_eq!(refused.refusal(), "NOT_WITNESSED");
    assert_eq!(hold(&other).refusal(), "OTHER_LOG");

    // By stock tools alone.
    let unpacked = unpack(&receipt, &world.path("unpacked"));
    let (holds, said) = run_script(&unpacked, &[]);
    assert!(holds && said.contains("were not checked"), "{said}");
    let keys = [one.key.to_string(), two.key.to_string()];
    let (holds, said) = run_script(&unpacked, &["--witness", &keys[0], "--witness", &keys[1]]);
    assert!(holds && said.contains("cosigned by witness.center.example"), "{said}");
    let (holds, said) = run_script(&unpacked, &["--witness", &stranger.to_string()]);
    assert!(!holds && said.contains("witness.stranger.example has not cosigned"), "{said}");
    // One digit of a cosignature.
    let proof = unpacked.join("0001/event.tlog-proof");
    let text = fs::read_to_string(&proof).unwrap();
    let line = text.lines().find(|line| line.starts_with("— witness.orient")).unwrap();
    let digit = if line.ends_with("A==") { "B" } else { "A" };
    let at = line.len() - 20;
    let bent = format!("{}{digit}{}", &line[..at], &line[at + 1..]);
    let bent = if bent == line { line.replacen("AAAA", "AAAB", 1) } else { bent };
    fs::write(&proof, text.replacen(line, &bent, 1)).unwrap();
    let (holds, said) = run_script(&unpacked, &["--witness", &keys[0]]);
    assert!(
        !holds && said.contains("the cosignature of witness.orient.example is wrong"),
        "{said}"
    );
    assert!(run_script(&unpacked, &[]).0, "the log's own signature is whole");
    let packed = world.path("bent.tgz");
    pack(&unpacked, &packed);
    let policy = policy.display().to_string();
    let refused = world.verify(&packed, &["--policy", &policy]);
    assert_eq!(refused.refusal(), "NOT_WITNESSED");
    assert!(refused.err.contains("is wrong"), "{}", refused.err);
    world.verify(&packed, &[]).records();
}

#[test]
fn a_witness_that_is_away_keeps_nobody_waiting_and_is_asked_again() {
    let (mut world, agreement) = World::with_agreement();
    world.stop();
    let (address, [one, mut two]) = world.with_witnesses("group g any orient center\nquorum g\n");
    two.kill();
    world.serve();
    assert!(world.said().contains("without knowing what this witness saw"), "{}", world.said());
    let deposit = world.deposit(&agreement, "recipe");
    let size = world.newest_size("hanbit-parts");
    let note = shown_until(&address, |note| size_of(note) >= size);
    assert!(note.contains(one.name()) && !note.contains(two.name()), "{note}");
    world.stop();
    world.serve();
    // As it was before, at once.
    let (head, again) = ask(&address, "GET /checkpoint");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(size_of(&String::from_utf8(again).unwrap()) >= size);
    two.restart();
    shown_until(&address, |note| note.contains(one.name()) && note.contains(two.name()));
    // It remembers, whatever ends it.
    two.kill();
    two.restart();
    world.deposit(&agreement, "another recipe");
    let more = world.newest_size("hanbit-parts");
    assert!(more > size);
    shown_until(&address, |note| {
        size_of(note) >= more && note.contains(one.name()) && note.contains(two.name())
    });
    world.receipt("hanbit-parts", &deposit);
}

#[test]
fn promise_9_a_vault_that_was_set_back_learns_it_from_a_witness_alone() {
    let (mut world, agreement) = World::with_agreement();
    world.stop();
    let (address, [mut one, mut two]) = world.with_witnesses("quorum orient\n");
    copy_dir(&world.data(), &world.path("snapshot"));
    copy_dir(&world.home("hanbit-parts"), &world.home("knows-no-more"));
    copy_dir(&world.data(), &world.path("snapshot-to-grow"));
    world.serve();
    world.deposit(&agreement, "recipe");
    let size = world.newest_size("trade-secret-center");
    shown_until(&address, |note| size_of(note) >= size && note.contains(one.name()));
    world.stop();
    // Nobody is served, and no client is needed to find out.
    world.replace_data(&world.path("snapshot"));
    world.said.forget();
    let said = world.try_serve().unwrap_err();
    assert!(said.contains("is not served") && said.contains("checkpoint of its log"), "{said}");
    assert!(!said.contains("listening on"), "{said}");
    let set_back = world.escrowd(&["serve"]);
    assert_eq!(set_back.code, 1);

    // One that has grown again while its witnesses were away, to more than they saw.
    one.kill();
    two.kill();
    world.replace_data(&world.path("snapshot-to-grow"));
    world.said.forget();
    world.serve();
    for number in 0..8 {
        let file = world.file("bundle/other.txt", format!("another recipe {number}"));
        world.escrow("knows-no-more", &["deposit", &agreement, &file, "--yes"]).record();
    }
    assert!(world.newest_size("knows-no-more") > size);
    one.restart();
    assert_eq!(world.ended_by_itself(), 1);
    let said = world.said();
    assert!(said.contains("checkpoint of its log with"), "{said}");

    // Openly, as another log, which the witness does not know yet.
    let recovered = world.escrowd(&["recover"]);
    assert_eq!(recovered.code, 0, "{}", recovered.err);
    world.said.forget();
    let said = world.try_serve().unwrap_err();
    assert!(said.contains("it names other logs only; this one is"), "{said}");
    let log = world.log_vkey();
    assert!(said.contains(&log.to_string()) && log.name().ends_with("/2"), "{said}");
    let policy = fs::read_to_string(world.data().join("witnesses.policy")).unwrap();
    let (_, rest) = policy.split_once('\n').unwrap();
    world.write_policy(&format!("log {log}\n{rest}"));
    world.serve();
    let (head, told) = ask(&address, "GET /checkpoint");
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(String::from_utf8(told).unwrap().contains("not enough witnesses"));
    one.kill();
    one.log = log.to_string();
    one.restart();
    shown_until(&address, |note| note.starts_with(log.name()) && note.contains(one.name()));
}

#[test]
fn a_policy_that_is_not_right_is_refused_before_anybody_is_served() {
    let mut world = World::new();
    world.stop();
    let (_, [one, _two]) = world.with_witnesses("quorum orient\n");
    let (key, log) = (&one.key, world.log_vkey());
    let other = NoteKey::new("vault.example/1", *log.key()).unwrap();
    for (policy, said) in [
        (String::new(), "there is no quorum line"),
        (format!("witness w {key} http://h\nquorum v\n"), "line 2: no line before this one"),
        (format!("witness w {key}\nquorum w\n"), "line 1: w: there is no address"),
        (format!("\nwitness w {key} https://h\nquorum w\n"), "line 2: w: \\\"https://h\\\" is not"),
        (format!("log {other}\nquorum none\n"), "line 1: it names other logs only"),
        (format!("witness w {log} http://h\nquorum w\n"), "line 1: "),
    ] {
        world.write_policy(&policy);
        world.said.forget();
        let refused = world.try_serve().unwrap_err();
        assert!(refused.contains(&said.replace("\\\"", "\"")), "{policy}: {refused}");
        assert!(refused.contains("witnesses.policy") && refused.contains("hint: "), "{refused}");
    }
    fs::remove_file(world.data().join("witnesses.policy")).unwrap();
    world.said.forget();
    assert!(world.try_serve().unwrap_err().contains("No such file"));
    world.write_policy("# nobody\nquorum none\n");
    world.serve();
    let address = world.address.replace(":7443", ":7480");
    shown_until(&address, |note| size_of(note) > 0);
}

#[test]
fn a_witness_answers_as_c2sp_says_and_guards_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = format!("127.{}.{low}.250:7481", high | 0x40);
    let signer = SigningKey::from_bytes(&[9; 32]);
    let log = NoteKey::new("log.example/ö", signer.public()).unwrap();
    let data = dir.path().join("witness");
    let mut witness = Witness::start(data.clone(), address.clone(), log.to_string(), &[]);
    assert!(witness.name().starts_with("escrow-witness/"), "{}", witness.name());
    let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
    let sized = |size: u64, root: Digest| {
        let checkpoint = Checkpoint { origin: log.name().to_owned(), size, root };
        log.sign(&signer, &checkpoint.to_string())
    };
    let body = |old, proof: &[Digest], checkpoint: &str| {
        Submission { old, proof: proof.to_vec(), checkpoint: checkpoint.to_owned() }.to_string()
    };
    let (first, both) = (sized(1, a), sized(2, node_hash(&a, &b)));
    let unknown = first.replace("log.example", "other.example");
    let unsigned = first.replacen("\n1\n", "\n0\n", 1);
    let place = "/checkpoint/log.example/%C3%B6";
    let (head, _) = ask(&address, &format!("GET {place}"));
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    for (what, body, status, told) in [
        ("nothing", String::new(), 400, None),
        ("an old size beyond", body(2, &[], &first), 400, None),
        ("another log", body(0, &[], &unknown), 404, None),
        ("not signed", body(0, &[], &unsigned), 403, None),
        ("an old size that it never had", body(1, &[b], &both), 409, Some("0\n")),
        ("a first one", body(0, &[], &first), 200, None),
        ("the same again", body(1, &[], &first), 200, None),
        ("the first one again", body(0, &[], &first), 409, Some("1\n")),
        ("another root", body(1, &[], &sized(1, b)), 409, Some("1\n")),
        ("no proof", body(1, &[], &both), 422, None),
        ("another proof", body(1, &[a], &both), 422, None),
        ("the next one", body(1, &[b], &both), 200, None),
        ("much too long", "x".repeat(100_000), 413, None),
    ] {
        let (head, answer) = witness.post(&body);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {head}");
        if let Some(size) = told {
            assert_eq!(answer, size, "{what}");
            assert!(head.contains("content-type: text/x.tlog.size"), "{what}: {head}");
        }
        if status == 200 {
            let note = body.split_once("\n\n").unwrap().1;
            let note = format!("{note}{answer}");
            assert!(witness.key.cosigned(&note).unwrap().is_some(), "{what}: {note}");
        }
    }
    let (head, last) = ask(&address, &format!("GET {place}"));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(String::from_utf8(last).unwrap().starts_with(&both));
    for (request, status) in [
        ("GET /", "404"),
        ("GET /checkpoint", "404"),
        ("GET /checkpoint/log.example", "404"),
        ("GET /add-checkpoint", "405"),
        ("DELETE /checkpoint/log.example/%C3%B6", "405"),
    ] {
        let (head, _) = ask(&address, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {head}");
    }

    let refused = |arguments: &[&str]| {
        let mut command = Witness::command(&data, &address, &log.to_string());
        let ended = command.args(arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!(ended.stdout, b"");
        String::from_utf8(ended.stderr).unwrap()
    };
    assert!(refused(&[]).contains("is held by another witness"));
    witness.kill();
    assert!(refused(&["--name", "other.example"]).contains("not other.example"));
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(""), mode("logs"), mode("witness.key")), (0o700, 0o700, 0o600));
    let kept = data.join("logs/log.example+ö.checkpoint");
    let note = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, note.replacen("\n2\n", "\n1\n", 1)).unwrap();
    let said = refused(&[]);
    assert!(said.contains("is damaged") && said.contains("hint: "), "{said}");
    fs::write(&kept, note).unwrap();
    let key = fs::read(data.join("witness.key")).unwrap();
    fs::remove_file(data.join("witness.key")).unwrap();
    assert!(refused(&[]).contains("witness.key"), "a key is made once");
    fs::write(data.join("witness.key"), key).unwrap();
    assert!(refused(&[]).contains("chmod 600"), "nor is it taken from where others could read it");
}
