//! Exports: an agreement with the log it stands in, verified and replayed by somebody who has nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use escrow_vault::crypto::signature::SigningKey;
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::Act;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rand_core::OsRng;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::recovery::{back_up, restore};
use super::{Ended, PEOPLE, World, ended, have, id};

/// Verifies with the program alone: no home, no vault, no environment.
pub(crate) fn verify_alone(export: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
    command.env_clear().args(["--json", "verify"]).arg(export).args(arguments);
    ended(command.stdin(Stdio::null()).output().unwrap())
}

impl World {
    /// Writes an export; where.
    pub(super) fn export(&self, home: &str, agreement: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        let out = path.display().to_string();
        self.escrow(home, &["audit", agreement, "--export", &out]).record();
        path
    }
}

/// The files of an export, in order.
type Files = Vec<(String, Vec<u8>)>;

fn unpack(export: &Path) -> Files {
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(export).unwrap()));
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name.strip_prefix("export/").unwrap().to_owned(), content)
    };
    archive.entries().unwrap().map(read).collect()
}

/// Packs files under the very names they are given.
fn tar(files: &Files, kind: EntryType) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_ustar();
        let name = format!("export/{name}");
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let is_text = name.ends_with("README.txt");
        header.set_entry_type(if is_text { kind } else { EntryType::Regular });
        header.set_cksum();
        tar.append(&header, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn pack(files: &Files) -> Vec<u8> {
    gzip(&tar(files, EntryType::Regular))
}

#[test]
fn promise_9_an_agreement_is_replayed_by_anybody_offline_and_after_a_recovery_too() {
    let (mut world, agreement) = World::with_agreement();
    world.join_colleague("hanbit-parts", "jun");
    let sealed = world.path("sealed.age").display().to_string();
    let recipe = world.file("recipe.txt", "etch for 90 s");
    world.escrow("hanbit-parts", &["seal", &agreement, &recipe, "--out", &sealed]).record();
    let deposited = world.escrow("hanbit-parts", &["deposit", &agreement, &sealed, "--yes"]);
    let deposit = id(&deposited.record());
    let audit = world.file("order.pdf", "an order of the court");
    let asked = ["request", &deposit, "--rule", "joint", "--purpose", "an audit", "--evidence"];
    let asked = [&asked[..], &[&audit, "--yes"]].concat();
    let released = id(&world.escrow("orient-display", &asked).record());
    world.approve("trade-secret-center", &released);
    world.approve("hanbit-parts", &released);
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &released, "--out", &out, "--yes"]).record();
    let objected = world.request(&deposit, "contested");
    let object = ["object", &objected, "--reason", "not due", "--yes"];
    world.escrow("hanbit-parts", &object).record();
    world.escrow("hanbit-parts", &["register", &recipe, "--yes"]).record();

    let exports = PEOPLE.map(|(home, _)| world.export(home, &agreement, &format!("{home}.tgz")));
    let refused =
        world.escrow("jun", &["audit", &agreement, "--export", &exports[0].display().to_string()]);
    assert_eq!(refused.refusal(), "EXISTS");
    let fingerprints = PEOPLE.map(|(home, _)| format!("{home}={}", world.fingerprint(home)));
    let key = String::from_utf8(unpack(&exports[0]).remove(1).1).unwrap();
    let receipt = world.path("r.tgz").display().to_string();
    world.escrow("hanbit-parts", &["receipt", &deposit, "--out", &receipt]).records();
    let backup = back_up(&world, "backup");
    world.stop();
    for export in &exports {
        let mode = fs::metadata(export).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let orgs = fingerprints.iter().flat_map(|pin| ["--org", pin]);
        let arguments: Vec<&str> = orgs.chain(["--log", key.trim(), "--file", &sealed]).collect();
        let verified = verify_alone(export, &arguments).record();
        assert_eq!(verified["agreement"]["id"], agreement.as_str());
        assert_eq!(verified["agreement"]["state"], "active");
        assert_eq!(verified["streams"].as_array().unwrap().len(), 5, "{verified}");
        assert_eq!(verified["document"], format!("the sealed bundle of {deposit}"));
        assert!(verified["parties"].as_array().unwrap().iter().all(|it| it["is_known"] == true));
        let state = |id: &str| {
            let requests = verified["requests"].as_array().unwrap();
            let found = requests.iter().find(|it| it["id"] == id).unwrap();
            found["state"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            (state(&released).as_str(), state(&objected).as_str()),
            ("retrieved", "objected")
        );
        // What was not looked at is said, and no more of what was brought along.
        let open = verified["not_checked"].to_string();
        assert!(open.contains("--checkpoint") && !open.contains("--org"), "{open}");
        let evidence = verify_alone(export, &["--file", &audit]).record();
        assert_eq!(evidence["document"], format!("evidence of {released}"));
        let refused = verify_alone(export, &["--file", &recipe]);
        assert_eq!(refused.refusal(), "OTHER_DOCUMENT");
    }
    let said = Command::new(env!("CARGO_BIN_EXE_escrow"))
        .env_clear()
        .arg("verify")
        .arg(&exports[2])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    for part in [
        "is retrieved: orient-display/junho requested at",
        "hanbit-parts/minji contributed at",
        "orient-display/junho was handed bundle at",
        "is objected: orient-display/junho requested at",
        "hanbit-parts/minji objected at",
        "not checked",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // Checkpoints that others were shown: earlier ones can be compared, later ones cannot.
    let note = |export: &Path, name: &str| {
        let (_, note) = unpack(export).into_iter().find(|(name, _)| name == "checkpoint").unwrap();
        world.file(name, note)
    };
    let [first, last] = [note(&exports[0], "first"), note(&exports[2], "last")];
    let compared = verify_alone(&exports[2], &["--checkpoint", &first, "--checkpoint", &last]);
    assert!(!compared.record()["not_checked"].to_string().contains("--checkpoint"));
    let refused = verify_alone(&exports[0], &["--checkpoint", &last]);
    assert!(refused.err.contains("a later export can be compared"), "{}", refused.err);
    let refused = verify_alone(Path::new(&receipt), &["--checkpoint", &first]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    let [own, other, _] = &fingerprints;
    verify_alone(Path::new(&receipt), &["--org", own]).records();
    let wrong = format!("hanbit-parts={}", other.split_once('=').unwrap().1);
    for file in [Path::new(&receipt), exports[0].as_path()] {
        let refused = verify_alone(file, &["--org", &wrong]);
        assert_eq!(refused.refusal(), "NOT_VERIFIED");
        assert!(refused.err.contains("hanbit-parts has the key"), "{}", refused.err);
    }
    let elsewhere = format!("newco={}", own.split_once('=').unwrap().1);
    let refused = verify_alone(&exports[0], &["--org", &elsewhere]);
    assert!(refused.err.contains("newco is no party"), "{}", refused.err);

    // The vault is lost, and goes on in another generation with what was put back.
    restore(&world, &backup, &[]);
    assert_eq!(world.escrowd(&["recover"]).code, 0);
    world.serve();
    for home in ["hanbit-parts", "orient-display", "trade-secret-center", "jun"] {
        let resumed = world.escrow(home, &["resume", "--yes"]);
        assert!([0, 3].contains(&resumed.code), "{}", resumed.err);
    }
    let again = world.request(&deposit, "joint");
    let export = world.export("trade-secret-center", &agreement, "recovered.tgz");
    let verified = verify_alone(&export, &["--log", key.trim()]);
    assert_eq!(verified.refusal(), "OTHER_LOG");
    let verified = verify_alone(&export, &[]).record();
    assert_eq!(verified["log"]["generation"], 2);
    assert_eq!(verified["earlier_generations"][0]["generation"], 1);
    assert!(verified["not_checked"].to_string().contains("before the vault was recovered"));
    let states = verified["requests"].as_array().unwrap();
    assert!(states.iter().any(|it| it["id"] == again.as_str() && it["state"] == "open"));
    assert!(states.iter().any(|it| it["id"] == released.as_str() && it["state"] == "retrieved"));
    let refused = verify_alone(&export, &["--checkpoint", &last]);
    assert!(refused.err.contains("is not signed as one of the log"), "{}", refused.err);
}

/// What is done to the files of an export.
type Alteration = fn(&Stage, &mut Files);

/// An export, and names in it.
struct Stage {
    agreement: String,
    other: (String, Files),
}

impl Stage {
    /// A stream's file.
    fn file<'f>(&self, files: &'f mut Files, name: &str) -> &'f mut Vec<u8> {
        &mut files.iter_mut().find(|(file, _)| file == name).unwrap().1
    }

    fn lines(&self, files: &mut Files, name: &str, change: impl FnOnce(&mut Vec<String>)) {
        let file = self.file(files, name);
        let text = String::from_utf8(file.clone()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        *file = lines.into_iter().map(|line| line + "\n").collect::<String>().into_bytes();
    }

    /// Changes the lines of the agreement's stream.
    fn events(&self, files: &mut Files, change: impl FnOnce(&mut Vec<String>)) {
        self.lines(files, &format!("streams/{}.jsonl", self.agreement), change);
    }

    fn members(&self, files: &mut Files, change: impl FnOnce(&mut Vec<String>)) {
        self.lines(files, "streams/org_hanbit-parts.jsonl", change);
    }

    fn replace(&self, files: &mut Files, name: &str, from: &str, to: &str) {
        let file = self.file(files, name);
        let text = String::from_utf8(file.clone()).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        *file = changed.into_bytes();
    }
}

/// Changes a line as JSON.
fn reline(line: &mut String, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(line).unwrap();
    change(&mut value);
    *line = value.to_string();
}

/// Where the first event with these words in it is.
fn place(lines: &[String], words: &str) -> usize {
    lines.iter().position(|line| line.contains(words)).unwrap()
}

fn flipped(text: &Value) -> Value {
    let text = text.as_str().unwrap();
    let first = if text.starts_with('0') { "1" } else { "0" };
    format!("{first}{}", &text[1..]).into()
}

/// Signs a statement anew, with a key that nobody has confirmed.
fn signed_anew(line: &mut Value) {
    let mut event = statement::event(line["event"].as_str().unwrap().as_bytes()).unwrap();
    let Act::Stated(signed) = &mut event.act else { panic!("nobody stated this") };
    let stated = statement::parse(signed).unwrap();
    *signed = statement::sign(&SigningKey::generate(&mut OsRng), &stated.statement).unwrap();
    line["event"] = serde_json::to_string(&event).unwrap().into();
}

#[test]
fn promise_9_an_export_that_was_altered_anywhere_is_refused_for_what_was_altered() {
    let (world, agreement) = World::with_agreement();
    let other = world.agree(super::JOINT);
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let home = "trade-secret-center";
    let whole = unpack(&world.export(home, &agreement, "whole.tgz"));
    let others = unpack(&world.export(home, &other, "other.tgz"));
    let stage = Stage { agreement, other: (other, others) };
    let altered = world.path("altered.tgz");
    fs::write(&altered, pack(&whole)).unwrap();
    verify_alone(&altered, &[]).record();
    let rows: &[(&str, Alteration, &str)] = &[
        (
            "an event is left out",
            |s, f| s.events(f, |l| drop(l.remove(5))),
            "a second time, or else",
        ),
        (
            "two change places",
            |s, f| s.events(f, |l| l.swap(5, 6)),
            "is not in its log where it is",
        ),
        (
            "a stream is cut short",
            |s, f| s.events(f, |l| drop(l.pop())),
            "in its log, but is not shown",
        ),
        (
            "a consent is taken out",
            |s, f| s.events(f, |l| drop(l.remove(place(l, "consent/v1")))),
            "a second time, or elsewhere",
        ),
        (
            "a statement is reworded",
            |s, f| {
                let file = format!("streams/{}.jsonl", s.agreement);
                s.replace(f, &file, "an audit", "a sale!!");
            },
            "is another one in its log",
        ),
        (
            "a statement is signed anew",
            |s, f| {
                s.events(f, |l| {
                    let place = place(l, "consent/v1");
                    reline(&mut l[place], signed_anew);
                });
            },
            "is another one in its log",
        ),
        (
            "a position is another one",
            |s, f| s.events(f, |l| reline(&mut l[3], |it| it["position"] = 9_999.into())),
            "a second time, or elsewhere",
        ),
        (
            "a position is taken",
            |s, f| {
                s.events(f, |l| {
                    let taken: Value = serde_json::from_str(&l[2]).unwrap();
                    reline(&mut l[3], |it| it["position"] = taken["position"].clone());
                });
            },
            "is said to be where another is",
        ),
        (
            "a position is beyond the log",
            |s, f| {
                s.events(f, |l| {
                    let mut last = l.last().unwrap().clone();
                    reline(&mut last, |it| it["position"] = 9_999.into());
                    l.push(last);
                });
            },
            "is said to be behind the end of its log",
        ),
        (
            "a salt is another one",
            |s, f| s.events(f, |l| reline(&mut l[3], |it| it["salt"] = flipped(&it["salt"]))),
            "is another one in its log",
        ),
        (
            "the key of the labels is another one",
            |s, f| {
                s.events(f, |l| reline(&mut l[0], |it| it["label_key"] = flipped(&it["label_key"])))
            },
            "is not in its log where it is said to be",
        ),
        (
            "an event of another agreement is put in",
            |s, f| {
                let (other, files) = &s.other;
                let name = format!("streams/{other}.jsonl");
                let (_, text) = files.iter().find(|(file, _)| *file == name).unwrap();
                let line =
                    String::from_utf8(text.clone()).unwrap().lines().nth(2).unwrap().to_owned();
                s.events(f, |l| l.push(line));
            },
            "is not in its log where it is said to be",
        ),
        (
            "another agreement is put in",
            |s, f| {
                let name = format!("streams/{}.jsonl", s.other.0);
                f.extend(s.other.1.iter().find(|(file, _)| *file == name).cloned());
            },
            "has no part in the agreement",
        ),
        (
            "an organisation has another key",
            |s, f| {
                s.members(f, |l| {
                    let place = place(l, "organisation/v1");
                    reline(&mut l[place], signed_anew);
                });
            },
            "is another one in its log",
        ),
        (
            "who confirmed a member is left out",
            |s, f| s.members(f, |l| drop(l.remove(place(l, "confirmation/v1")))),
            "org_hanbit-parts is in its log",
        ),
        (
            "an organisation is left out",
            |_, f| f.retain(|(name, _)| !name.contains("org_hanbit-parts")),
            "org_hanbit-parts is missing",
        ),
        (
            "who looked is left out",
            |_, f| f.retain(|(name, _)| !name.contains("accesses")),
            "accesses is missing",
        ),
        ("a leaf is another one", |s, f| s.file(f, "leaves")[700] ^= 1, "do not lead to the root"),
        (
            "two leaves change places",
            |s, f| s.file(f, "leaves").rotate_left(48),
            "do not lead to the root",
        ),
        (
            "a leaf is left out",
            |s, f| {
                let leaves = s.file(f, "leaves");
                leaves.truncate(leaves.len() - 48);
            },
            "do not lead to the root",
        ),
        ("a leaf more", |s, f| s.file(f, "leaves").extend([0; 48]), "do not lead to the root"),
        (
            "the checkpoint's size is another one",
            |s, f| {
                let text = String::from_utf8(s.file(f, "checkpoint").clone()).unwrap();
                let size = format!("\n{}\n", text.lines().nth(1).unwrap());
                s.replace(f, "checkpoint", &size, "\n7\n");
            },
            "the checkpoint is not the log's: the signature of",
        ),
        (
            "the checkpoint is not signed",
            |s, f| {
                s.lines(f, "checkpoint", |l| drop(l.pop()));
            },
            "the checkpoint is not the log's",
        ),
        (
            "the checkpoint is another export's",
            |s, f| {
                let others = s.other.1.iter().find(|(name, _)| name == "checkpoint").unwrap();
                *s.file(f, "checkpoint") = others.1.clone();
            },
            "do not lead to the root",
        ),
        (
            "the log's key is another one",
            |s, f| {
                let key = SigningKey::generate(&mut OsRng).public();
                let text = String::from_utf8(s.file(f, "log.vkey").clone()).unwrap();
                let name = text.split_once('+').unwrap().0;
                let key = escrow_vault::crypto::note::NoteKey::new(name, key).unwrap();
                *s.file(f, "log.vkey") = format!("{key}\n").into_bytes();
            },
            "has not signed it",
        ),
        (
            "the generation is another one",
            |s, f| s.replace(f, "export.json", "\"generation\":1", "\"generation\":2"),
            "are not of one log",
        ),
        (
            "the agreement is another one",
            |s, f| s.replace(f, "export.json", &s.agreement, &s.other.0),
            "does not begin with terms",
        ),
        (
            "the operator's key is another one",
            |s, f| {
                let file = s.file(f, "export.json");
                let mut about: Value = serde_json::from_slice(file).unwrap();
                about["operator_key"] = flipped(&about["operator_key"]);
                *file = format!("{about}\n").into_bytes();
            },
            "event 1 of org_hanbit-parts breaks the rules",
        ),
    ];
    for (what, alter, reason) in rows {
        let mut files = whole.clone();
        alter(&stage, &mut files);
        fs::write(&altered, pack(&files)).unwrap();
        let refused = verify_alone(&altered, &[]);
        assert_eq!((refused.code, refused.refusal().as_str()), (1, "NOT_VERIFIED"), "{what}");
        let why = refused.error()["message"].as_str().unwrap().to_owned();
        assert!(why.contains(reason), "{what}: {why}");
    }
    let rows: &[(&str, Alteration, &str)] = &[
        ("a file that is none of its", |_, f| f.push(("extra".into(), vec![])), "does not belong"),
        (
            "a stream that is none",
            |_, f| f.push(("streams/x.jsonl".into(), vec![])),
            "does not belong",
        ),
        (
            "another name for a stream",
            |s, f| f.push((format!("streams/{}/accesses.jsonl", s.agreement), vec![])),
            "does not belong",
        ),
        ("a way out", |_, f| f.push(("../../etc/passwd".into(), vec![])), "does not belong"),
        ("one file twice", |_, f| f.push(f[1].clone()), "is in it twice"),
        ("one stream twice", |_, f| f.push(f[5].clone()), "is in it twice"),
        (
            "the leaves twice",
            |s, f| {
                let leaves = s.file(f, "leaves").clone();
                f.push(("leaves".into(), leaves));
            },
            "is in it twice",
        ),
        ("no leaves", |_, f| f.retain(|(name, _)| name != "leaves"), "leaves is missing"),
        (
            "no checkpoint",
            |_, f| f.retain(|(name, _)| name != "checkpoint"),
            "checkpoint is missing",
        ),
        ("half a leaf", |s, f| s.file(f, "leaves").truncate(24), "too many, or not whole"),
        (
            "leaves of nothing",
            |s, f| *s.file(f, "leaves") = vec![0; 48 << 16],
            "too many, or not whole",
        ),
        ("a stream without events", |s, f| s.events(f, |l| l.truncate(1)), "has no event"),
        (
            "a stream that says it is another",
            |s, f| {
                s.members(f, |l| {
                    reline(&mut l[0], |it| it["stream"] = "org_orient-display".into())
                });
            },
            "it is of another stream",
        ),
        (
            "a field more",
            |s, f| s.events(f, |l| reline(&mut l[1], |it| it["note"] = json!(1))),
            "unknown field",
        ),
        (
            "a line that never ends",
            |s, f| s.events(f, |l| l.push("x".repeat(3 << 20))),
            "it is too long, or cut short",
        ),
        (
            "another format",
            |s, f| s.replace(f, "export.json", "export/v1", "export/v2"),
            "export.json: unknown variant",
        ),
        (
            "a key that is none",
            |s, f| *s.file(f, "log.vkey") = b"key\n".to_vec(),
            "log.vkey is missing",
        ),
    ];
    let refused_as_malformed = |what: &str, packed: &[u8], reason: &str| {
        fs::write(&altered, packed).unwrap();
        let refused = verify_alone(&altered, &[]);
        assert_eq!((refused.code, refused.refusal().as_str()), (1, "NOT_AN_EXPORT"), "{what}");
        let why = refused.error()["message"].as_str().unwrap().to_owned();
        assert!(why.contains(reason), "{what}: {why}");
    };
    for (what, alter, reason) in rows {
        let mut files = whole.clone();
        alter(&stage, &mut files);
        refused_as_malformed(what, &pack(&files), reason);
    }
    let (archive, packed) = (tar(&whole, EntryType::Regular), pack(&whole));
    let link = gzip(&tar(&whole, EntryType::Symlink));
    refused_as_malformed("a link", &link, "is not a file");
    refused_as_malformed("more in it", &gzip(&[&archive[..], b"more"].concat()), "behind its end");
    refused_as_malformed("more behind it", &[&packed[..], b"more"].concat(), "behind its end");
    refused_as_malformed("two in one", &[&packed[..], &packed].concat(), "behind its end");
    for cut in [packed.len() / 4, packed.len() / 2, packed.len() - 9, packed.len() - 1] {
        refused_as_malformed("cut short", &packed[..cut], "or not all of it");
    }
    // Whoever unpacks one and packs it again has changed nothing, whatever its order then.
    let mut files = whole.clone();
    files.reverse();
    fs::write(&altered, pack(&files)).unwrap();
    verify_alone(&altered, &[]).record();
}

#[test]
fn promise_9_stock_tools_find_what_the_readme_of_an_export_says() {
    if !["jq", "openssl", "xxd"].into_iter().all(have) {
        return;
    }
    let (world, agreement) = World::with_agreement();
    let export = world.export("hanbit-parts", &agreement, "export.tgz");
    let script = format!(
        r#"set -eu; cd "$1"; tar xzf "$2"; cd export
        stream=streams/{agreement}.jsonl
        sed -n 3p $stream > line
        {{ printf 'escrow-vault/commitment/v1\0'; jq -j .salt line | xxd -r -p; jq -j .event line; }} \
            | openssl dgst -sha256 -r | cut -c1-64 > commitment
        {{ printf 'escrow-vault/label/v1\0'; printf '\0\0\0\0\0\0\0\2'; }} \
            | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(sed -n 1p $stream | jq -r .label_key)" -r \
            | cut -c1-32 > label
        tail -c +$((48 * $(jq .position line) + 1)) leaves | head -c 48 | xxd -p -c 48 > leaf
        [ "$(cat label)$(cat commitment)" = "$(cat leaf)" ]"#
    );
    let place = world.path("unpacked");
    fs::create_dir(&place).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script, "bash"]).arg(&place).arg(&export);
    let ended = bash.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
