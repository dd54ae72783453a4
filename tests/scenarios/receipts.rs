//! Receipts: proofs that stand alone, verified by this program and by stock tools alike.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use escrow_vault::crypto::timestamp::{self, Hash, Imprint};
use escrow_vault::domain::time::Timestamp;

use super::{Ended, World, files_below, have, id};

impl World {
    /// Writes a receipt; where.
    pub(super) fn receipt(&self, home: &str, of: &str) -> PathBuf {
        let path = self.path(&format!("{of}.tgz"));
        let out = path.display().to_string();
        let proved = self.escrow(home, &["receipt", of, "--out", &out]).records();
        assert!(!proved.is_empty());
        path
    }

    /// Verifies one, as somebody who has no home.
    pub(super) fn verify(&self, receipt: &Path, arguments: &[&str]) -> Ended {
        let receipt = receipt.display().to_string();
        let all = [&["verify", receipt.as_str()], arguments].concat();
        self.escrow("nobody", &all)
    }
}

/// Verifies an unpacked receipt with its own script, and nothing of ours on the way.
pub(super) fn run_script(receipt: &Path, arguments: &[&str]) -> (bool, String) {
    let mut bash = Command::new("bash");
    bash.env_clear().env("PATH", "/usr/bin:/bin").arg(receipt.join("verify.sh")).args(arguments);
    let ended = bash.output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8(said).unwrap())
}

pub(super) fn unpack(receipt: &Path, into: &Path) -> PathBuf {
    fs::create_dir_all(into).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("xzf").arg(receipt).arg("-C").arg(into);
    assert!(tar.status().unwrap().success());
    into.join("receipt")
}

pub(super) fn pack(receipt: &Path, into: &Path) {
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "-czf"]).arg(into).arg("-C").arg(receipt.parent().unwrap());
    assert!(tar.arg("receipt").status().unwrap().success());
}

#[test]
fn promise_9_a_receipt_proves_itself_to_anybody_with_stock_tools_too() {
    if !have("openssl") {
        return;
    }
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    let notebook = world.file("notebook.txt", "12 March: the etch stops at 90 s");
    // A label that looks like the fields that a script reads.
    let label = r#"\"sha256":"00", "by":"somebody" \\"#;
    let register = ["register", &notebook, "--label", label, "--yes"];
    let registration = id(&world.escrow("hanbit-parts", &register).record());
    for (home, of, kinds, document) in [
        ("hanbit-parts", &deposit, &["deposit"][..], None),
        (
            "orient-display",
            &request,
            &["request", "consent", "consent", "contribution", "retrieval"],
            None,
        ),
        ("hanbit-parts", &registration, &["registration"], Some(notebook.as_str())),
    ] {
        let receipt = world.receipt(home, of);
        let arguments = document.map_or(vec![], |path| vec!["--file", path]);
        let proved = world.verify(&receipt, &arguments).records();
        let of_kind = |kind: &str| {
            let is = |it: &&serde_json::Value| it["kind"].as_str().unwrap().contains(kind);
            proved.iter().filter(is).count()
        };
        for kind in kinds {
            let wanted = kinds.iter().filter(|other| other == &kind).count();
            assert!(of_kind(&format!("/{kind}/")) >= wanted, "{of} {kind}: {proved:?}");
        }
        let own = world.fingerprint(home);
        assert!(
            proved.iter().any(|it| it["organisation_fingerprint"] == own.as_str()),
            "{proved:?}"
        );
        // Held against what somebody knows of the organisation; one that is not in it proves nothing.
        world.verify(&receipt, &["--org", &format!("{home}={own}")]).records();
        let absent = world.verify(&receipt, &["--org", &format!("late-works={own}")]);
        assert_eq!(absent.refusal(), "NOT_VERIFIED");
        let unpacked = unpack(&receipt, &world.path(&format!("{of}.d")));
        let (holds, said) = run_script(&unpacked, &arguments);
        assert!(holds, "{said}");
        assert!(said.contains("VERIFIED") && said.contains(&own), "{said}");
        // What was registered has its time-stamp with it, told with its time and whose it is.
        let stamped: Vec<_> = proved.iter().filter(|it| it["stamped_at"].is_string()).collect();
        assert_eq!(stamped.len(), usize::from(document.is_some()), "{proved:?}");
        assert_eq!(said.contains("time-stamped at 2"), document.is_some(), "{said}");
        // Another file than the one that is named.
        let other = world.file("other.txt", "13 March");
        let refused = world.verify(&receipt, &["--file", &other]);
        assert_eq!(refused.refusal(), "OTHER_DOCUMENT");
        let (holds, said) = run_script(&unpacked, &["--file", &other]);
        assert!(!holds && said.contains("NOT VERIFIED"), "{said}");
        // Nothing of it is secret, and nothing is missing.
        assert!(files_below(&unpacked).len() > 6);
    }
    let sealed = Path::new(&out).join("content");
    assert!(!sealed.exists());
    let again = world.path(&format!("{deposit}.tgz")).display().to_string();
    let refused = world.escrow("hanbit-parts", &["receipt", &deposit, "--out", &again]);
    assert_eq!(refused.refusal(), "EXISTS");
    let elsewhere = world.path("r.tgz").display().to_string();
    let refused = world.escrow("hanbit-parts", &["receipt", &agreement, "--out", &elsewhere]);
    assert_eq!(refused.refusal(), "WRONG_KIND");
    let key = "other.example/1+00000000+AAAA";
    let refused = world.verify(&world.path(&format!("{deposit}.tgz")), &["--log", key]);
    assert_eq!(refused.code, 2, "{}", refused.err);
}

#[test]
fn promise_9_a_receipt_that_was_altered_anywhere_is_refused_by_this_program_and_by_stock_tools() {
    if !have("openssl") {
        return;
    }
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "etch for 90 s");
    let receipt = world.receipt("hanbit-parts", &deposit);
    let whole = unpack(&receipt, &world.path("whole"));
    let last = files_below(&whole)
        .into_iter()
        .filter_map(|path| Some(path.parent()?.file_name()?.to_str()?.to_owned()))
        .filter(|name| name != "receipt")
        .max()
        .unwrap();
    let read = |file: &str| fs::read_to_string(whole.join(file)).unwrap();
    let event = format!("{last}/event.json");
    let proof = format!("{last}/event.tlog-proof");
    let line = |number: usize| read(&proof).lines().nth(number).unwrap().to_owned();
    let blank = read(&proof).lines().position(str::is_empty).unwrap();
    let other = |text: &str| match text.starts_with('A') {
        true => format!("B{}", &text[1..]),
        false => format!("A{}", &text[1..]),
    };
    let hash = line(2);
    let (size, root, signature) = (line(blank + 2), line(blank + 3), line(blank + 5));
    let vkey = read("log.vkey");
    let rows: Vec<(&str, &str, String, String)> = vec![
        ("the statement's words", &event, "recipe".into(), "recibe".into()),
        ("the vault's time", &event, "\"at\":\"2".into(), "\"at\":\"3".into()),
        (
            "the statement's signature",
            &event,
            "\"signature\":\"".into(),
            "\"signature\":\"0".into(),
        ),
        ("the leaf's position", &proof, line(1), format!("{}0", line(1))),
        ("a hash of the proof", &proof, hash.clone(), other(&hash)),
        ("a hash left out", &proof, format!("{hash}\n"), String::new()),
        ("a hash more", &proof, hash.clone(), format!("{hash}\n{hash}")),
        ("the log's size", &proof, format!("\n{size}\n"), format!("\n1{size}\n")),
        ("the log's root", &proof, root.clone(), other(&root)),
        ("the checkpoint's signature", &proof, signature.clone(), {
            let at = signature.len() - 10;
            format!("{}{}{}", &signature[..at], other(&signature[at..at + 1]), &signature[at + 1..])
        }),
        ("no signature", &proof, format!("{signature}\n"), String::new()),
        ("the log's name", &proof, line(blank + 1), format!("{}0", line(blank + 1))),
        ("the log's key", "log.vkey", vkey[vkey.len() - 9..].into(), "AAAAAAA=\n".into()),
    ];
    let tampered = |what: &str, file: &str, from: &str, to: &str| {
        let place = world.path(&format!("tampered {what}"));
        let copy = unpack(&receipt, &place);
        let text = fs::read_to_string(copy.join(file)).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{what}");
        fs::write(copy.join(file), changed).unwrap();
        let packed = place.join("r.tgz");
        pack(&copy, &packed);
        (copy, packed)
    };
    for (what, file, from, to) in &rows {
        let (copy, packed) = tampered(what, file, from, to);
        let ended = world.verify(&packed, &[]);
        assert_eq!(ended.code, 1, "{what}: {:?}", ended.out);
        let code = ended.refusal();
        assert!(["NOT_VERIFIED", "NOT_A_RECEIPT"].contains(&code.as_str()), "{what}: {code}");
        let (holds, said) = run_script(&copy, &[]);
        assert!(!holds && said.contains("NOT VERIFIED"), "{what}: {said}");
    }
    for (what, file) in [("the salt", "salt"), ("the label", "label")] {
        let file = format!("{last}/{file}");
        let text = read(&file);
        let digit = if text.starts_with('0') { "1" } else { "0" };
        let (copy, packed) = tampered(what, &file, &text, &format!("{digit}{}", &text[1..]));
        assert_eq!(world.verify(&packed, &[]).refusal(), "NOT_VERIFIED", "{what}");
        assert!(!run_script(&copy, &[]).0, "{what}");
    }
    // Without what shows whose key signed, one event less.
    let copy = unpack(&receipt, &world.path("shortened"));
    fs::remove_dir_all(copy.join("0001")).unwrap();
    let count: usize = last.parse().unwrap();
    for number in 2..=count {
        let dir = |number: usize| copy.join(format!("{number:04}"));
        fs::rename(dir(number), dir(number - 1)).unwrap();
    }
    pack(&copy, &world.path("shortened.tgz"));
    assert_eq!(world.verify(&world.path("shortened.tgz"), &[]).refusal(), "NOT_VERIFIED");
    let (holds, said) = run_script(&copy, &[]);
    assert!(!holds && said.contains("NOT VERIFIED"), "{said}");
    // Cut short, or something else altogether.
    let bytes = fs::read(&receipt).unwrap();
    for cut in [0, 1, 10, 100, bytes.len() / 2, bytes.len() - 9] {
        fs::write(world.path("cut.tgz"), &bytes[..cut]).unwrap();
        let ended = world.verify(&world.path("cut.tgz"), &[]);
        assert_eq!(ended.refusal(), "NOT_A_RECEIPT", "{cut}");
    }
    fs::write(world.path("cut.tgz"), "not a receipt").unwrap();
    assert_eq!(world.verify(&world.path("cut.tgz"), &[]).refusal(), "NOT_A_RECEIPT");
}

impl World {
    /// Registers a notebook with this digest stamped; the receipt of it.
    fn registered(&self, hash: &str) -> (PathBuf, String) {
        let notebook = self.file("notebook.txt", "12 March: the etch stops at 90 s");
        let hash = if hash == "sha256" { &[][..] } else { &["--hash", hash] };
        let register = [&["register", &notebook, "--yes"][..], hash].concat();
        let registration = id(&self.escrow("hanbit-parts", &register).record());
        (self.receipt("hanbit-parts", &registration), registration)
    }
}

/// The one directory of an unpacked receipt that has a time-stamp.
fn stamped_dir(receipt: &Path) -> PathBuf {
    let stamped = files_below(receipt).into_iter().find(|path| path.ends_with("document.tsr"));
    stamped.unwrap().parent().unwrap().to_owned()
}

#[test]
fn a_receipt_says_under_whose_ca_its_time_stamp_is_and_what_that_proves() {
    if !have("openssl") {
        return;
    }
    let world = World::new();
    world.join("hanbit-parts", "minji");
    let own_ca = world.data().join("keys/ca.crt").display().to_string();
    let stranger = World::new();
    let other_ca = stranger.data().join("keys/ca.crt").display().to_string();
    let notebook = world.file("notebook.txt", "12 March: the etch stops at 90 s");
    let other = world.file("other.txt", "13 March");
    for (hash, bare) in [
        ("sha256", "The registered SHA-256 was time-stamped at"),
        ("sha384", "A SHA-384, which only the document itself can be compared with"),
        ("sha512", "A SHA-512, which only the document itself can be compared with"),
    ] {
        let (receipt, id) = world.registered(hash);
        let unpacked = unpack(&receipt, &world.path(&format!("{id}.d")));
        let path = receipt.display().to_string();
        let aloud = |more: &[&str]| {
            world.escrow_aloud("nobody", &[&["verify", path.as_str()], more].concat(), b"")
        };
        let said = aloud(&[]);
        for expected in [bare, "came along with the receipt", "nothing against the vault's own"] {
            assert!(said.contains(expected), "{hash}: {expected:?}: {said}");
        }
        assert!(aloud(&["--tsa-ca", &own_ca]).contains("under a CA that you gave"), "{hash}");
        assert!(aloud(&["--file", &notebook]).contains("time-stamped at"), "{hash}");
        let (holds, said) = run_script(&unpacked, &["--tsa-ca", &own_ca, "--file", &notebook]);
        assert!(holds && said.contains(&format!("under {own_ca}")), "{hash}: {said}");
        // Only whoever has the document can say what is wrong with a longer digest.
        let refused = ["--tsa-ca", &other_ca, "--file", &notebook];
        assert_eq!(world.verify(&receipt, &refused).refusal(), "NOT_VERIFIED", "{hash}");
        let (holds, said) = run_script(&unpacked, &refused);
        assert!(!holds && said.contains("does not count"), "{hash}: {said}");
        let refused = world.verify(&receipt, &["--file", &other]).refusal();
        assert_eq!(refused, "OTHER_DOCUMENT", "{hash}");
        assert!(!run_script(&unpacked, &["--file", &other]).0, "{hash}");
        let refused = world.verify(&receipt, &["--tsa-ca", &other]).refusal();
        assert_eq!(refused, "BAD_CERTIFICATE", "{hash}");
        for wrong in [&["--file"][..], &["--tsa-ca"], &["--other", "x"], &["x"]] {
            assert!(run_script(&unpacked, wrong).1.contains("usage"), "{wrong:?}");
        }
    }
    // A home whose token is damaged has its receipt without it, and is told.
    let (_, registration) = world.registered("sha256");
    let token = world.home("hanbit-parts").join(format!("stamps/{registration}.tsr"));
    fs::write(&token, "no token").unwrap();
    let out = world.path("without.tgz").display().to_string();
    let ended = world.escrow("hanbit-parts", &["receipt", &registration, "--out", &out]);
    assert!(ended.code == 0 && ended.err.contains("without its time-stamp"), "{}", ended.err);
    assert!(ended.out.iter().all(|it| it["stamped_at"].is_null()), "{:?}", ended.out);
}

#[test]
fn a_time_stamp_that_was_altered_is_refused_by_this_program_and_by_stock_tools() {
    if !have("openssl") {
        return;
    }
    let world = World::new();
    world.join("hanbit-parts", "minji");
    let (receipt, _) = world.registered("sha256");
    let whole = unpack(&receipt, &world.path("whole"));
    let (token, ca) = ("document.tsr", "tsa-ca.pem");
    let kept = fs::read(stamped_dir(&whole).join(token)).unwrap();
    let other = world.file("other.txt", "13 March");
    let register = ["register", &other, "--yes"];
    let registered = id(&world.escrow("hanbit-parts", &register).record());
    let other = world.home("hanbit-parts").join(format!("stamps/{registered}.tsr"));
    let stranger = World::new();
    let foreign = fs::read(stranger.data().join("keys/ca.crt")).unwrap();
    let beside = |needle: &[u8], beyond: usize| {
        let at = kept.windows(needle.len()).position(|window| window == needle).unwrap();
        let mut bent = kept.clone();
        bent[at + needle.len() + beyond] ^= 1;
        bent
    };
    let sha256 = escrow_vault::crypto::signature::sha256(b"12 March: the etch stops at 90 s").0;
    // `GeneralizedTime` of fifteen characters.
    let at_second = beside(&[0x18, 0x0f], 13);
    let mut last = kept.clone();
    *last.last_mut().unwrap() ^= 1;
    let mut longer = kept.clone();
    longer.push(0);
    let rows: Vec<(&str, &str, Option<Vec<u8>>)> = vec![
        ("the digest", token, Some(beside(&sha256[..31], 0))),
        ("the time", token, Some(at_second)),
        ("the signature", token, Some(last)),
        ("cut short", token, Some(kept[..kept.len() - 1].to_vec())),
        ("something behind it", token, Some(longer)),
        ("another document's", token, Some(fs::read(other).unwrap())),
        ("no token", token, Some(b"no token".to_vec())),
        ("another vault's CA", ca, Some(foreign)),
        ("no CA", ca, Some(b"no CA".to_vec())),
        ("the token left out", token, None),
        ("the CA left out", ca, None),
    ];
    let refused = |what: &str, copy: &Path| {
        let packed = world.path("altered.tgz");
        pack(copy, &packed);
        let code = world.verify(&packed, &[]).refusal();
        assert!(["NOT_VERIFIED", "NOT_A_RECEIPT"].contains(&code.as_str()), "{what}: {code}");
        let (holds, said) = run_script(copy, &[]);
        assert!(!holds && said.contains("NOT VERIFIED"), "{what}: {said}");
    };
    for (what, file, content) in rows {
        let copy = unpack(&receipt, &world.path(&format!("altered {what}")));
        let file = stamped_dir(&copy).join(file);
        match content {
            Some(content) => fs::write(file, content).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
        refused(what, &copy);
    }
    // Beside a statement that registers nothing.
    let copy = unpack(&receipt, &world.path("elsewhere"));
    let from = stamped_dir(&copy);
    for file in [token, ca] {
        fs::rename(from.join(file), copy.join("0001").join(file)).unwrap();
    }
    refused("elsewhere", &copy);
}

#[test]
fn a_time_stamp_verifies_at_its_own_time_whatever_has_expired_since() {
    if !have("openssl") {
        return;
    }
    let world = World::new();
    world.join("hanbit-parts", "minji");
    let (receipt, registration) = world.registered("sha256");
    let copy = unpack(&receipt, &world.path("expired"));
    let then: Timestamp = "2001-05-06T07:08:09.000Z".parse().unwrap();
    let office = super::timestamps::Office::at(then);
    let imprint = Imprint::of(Hash::Sha256, b"12 March: the etch stops at 90 s");
    let request = timestamp::request(&imprint, None, true);
    fs::write(stamped_dir(&copy).join("document.tsr"), office.answers(&request)).unwrap();
    fs::write(stamped_dir(&copy).join("tsa-ca.pem"), office.ca_pem()).unwrap();
    let packed = world.path("expired.tgz");
    pack(&copy, &packed);
    let proved = world.verify(&packed, &[]).records();
    let stamped: Vec<_> = proved.iter().map(|it| &it["stamped_at"]).collect();
    assert!(
        stamped.iter().any(|at| **at == then.to_string().as_str()),
        "{registration}: {proved:?}"
    );
    let (holds, said) = run_script(&copy, &[]);
    assert!(holds && said.contains("time-stamped at 2001-05-06T07:08:09Z"), "{said}");
}
