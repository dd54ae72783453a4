//! Time-stamps of the log: the vault's own, and those of an authority elsewhere, which is stock OpenSSL
//! behind a door of HTTP, or lies.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use super::timestamps::{Elsewhere, openssl};
use super::{PATIENCE, World, copy_dir, have};

type Answer = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Somebody who answers over HTTP, as long as the test runs.
pub(super) struct Door {
    pub url: String,
    answer: Arc<Mutex<Answer>>,
}

impl Door {
    pub(super) fn open(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/tsr", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(Box::new(answer) as Answer));
        let asked = Arc::clone(&answer);
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                let mut tcp = tcp.unwrap();
                let Some(body) = body(&mut tcp) else { continue };
                let answer = asked.lock().unwrap()(&body);
                // Whoever has enough hangs up.
                drop(tcp.write_all(&answer));
            }
        });
        Self { url, answer }
    }

    pub(super) fn answers(&self, answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }
}

/// What was posted.
fn body(tcp: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut asked, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let head = asked.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(at) = head {
            let head = String::from_utf8(asked[..at].to_vec()).unwrap().to_lowercase();
            assert!(head.contains("content-type: application/timestamp-query"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let end = at + 4 + length.unwrap().parse::<usize>().unwrap();
            if asked.len() >= end {
                return Some(asked[at + 4..end].to_vec());
            }
        }
        match tcp.read(&mut piece).ok()? {
            0 => return None,
            count => asked.extend(&piece[..count]),
        }
    }
}

pub(super) fn http(status: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}");
    [format!("{head}\r\n\r\n").as_bytes(), body].concat()
}

pub(super) fn reply(body: &[u8]) -> Vec<u8> {
    http("200 OK", "application/timestamp-reply", body)
}

impl World {
    /// Has the vault time-stamped like this, from its next start on.
    fn stamp_by(&self, section: &str) {
        let path = self.data().join("escrowd.toml");
        let config = fs::read_to_string(&path).unwrap();
        let config = config.split("[timestamps]\n").next().unwrap().trim_end_matches("# ");
        fs::write(path, format!("{config}\n[timestamps]\n{section}\n")).unwrap();
    }

    /// Waits until the server has said this.
    #[track_caller]
    fn hears(&self, what: &str) {
        let text = self.said.text.lock().unwrap();
        let waits = |text: &mut String| !text.contains(what);
        let (text, late) = self.said.more.wait_timeout_while(text, PATIENCE, waits).unwrap();
        assert!(!late.timed_out(), "{what}: {text}");
    }

    fn is_stamped_by(&self, whose: &str) {
        self.hears(&format!("\"message\":\"the log was time-stamped\",\"authority\":\"{whose}\""));
    }

    /// Every checkpoint that is stamped, in the order of the log.
    fn stamped(&self) -> Vec<PathBuf> {
        let dir = self.data().join("stamps");
        let mut all: Vec<_> = match fs::read_dir(dir) {
            Ok(items) => items.map(|item| item.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        let size = |path: &PathBuf| -> u64 {
            path.to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap()
        };
        all.sort_by_key(size);
        all
    }
}

/// Whether stock OpenSSL believes the token of this name, over what the checkpoint and the tokens of
/// these names are one behind the other.
fn believes(place: &Path, token: &str, before: &[&str], ca: &Path) -> bool {
    let parts = ["checkpoint"].iter().chain(before).map(|name| place.join(name));
    let covered: Vec<u8> = parts.flat_map(|path| fs::read(path).unwrap()).collect();
    fs::write(place.join("../../covered"), covered).unwrap();
    let ca = ca.to_str().unwrap();
    let verify = ["ts", "-verify", "-data", "../../covered", "-in", token, "-CAfile", ca];
    openssl(place, &verify).0
}

#[test]
fn a_vault_stamps_its_log_by_itself_keeps_it_in_backups_and_check_names_what_is_damaged() {
    if !have("openssl") {
        return;
    }
    let mut world = World::new();
    world.is_stamped_by("own");
    world.join("hanbit-parts", "minji");
    world.stop();
    let [place] = &world.stamped()[..] else { panic!("{:?}", world.stamped()) };
    let ca = world.data().join("keys/ca.crt");
    assert!(believes(place, "own-1.tsr", &[], &ca));
    assert!(believes(place, "own-1.tsr", &[], &place.join("own-1.pem")));
    // It has grown, and a day has not passed.
    world.serve();
    world.escrow("hanbit-parts", &["status"]).record();
    assert!(world.reload());
    let backup = world.path("backup").display().to_string();
    assert_eq!(world.escrowd(&["backup", "--to", &backup]).code, 0);
    world.stop();
    assert_eq!(world.stamped().len(), 1);
    let checked = world.escrowd(&["check"]);
    assert!(
        checked.code == 0 && checked.err.contains("1 time-stamp of the log"),
        "{}",
        checked.err
    );

    let name = place.file_name().unwrap();
    let restored = world.path("restored").display().to_string();
    let restore = ["restore", "--from", &backup, "--complete"];
    fs::rename(world.data(), &restored).unwrap();
    assert_eq!(world.escrowd(&restore).code, 0);
    for file in ["checkpoint", "own-1.tsr", "own-1.pem"] {
        let read = |data: &Path| fs::read(data.join("stamps").join(name).join(file)).unwrap();
        assert_eq!(read(&world.data()), read(Path::new(&restored)), "{file}");
    }
    assert_eq!(world.escrowd(&["check"]).code, 0);

    // Of another vault everything is in order, but for whose it is.
    let mut other = World::new();
    other.is_stamped_by("own");
    other.stop();
    let foreign = other.stamped().remove(0);
    copy_dir(&world.data().join("stamps"), &world.path("whole"));
    let place = world.data().join("stamps").join(name);
    let flip = |file: &str| {
        let mut bytes = fs::read(place.join(file)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(place.join(file), bytes).unwrap();
    };
    let damages: [(&str, &str, &dyn Fn()); 8] = [
        ("a bit of the token", "own: time-stamp 1 of 1", &|| flip("own-1.tsr")),
        ("a bit of the checkpoint", "checkpoint", &|| flip("checkpoint")),
        ("no checkpoint", "checkpoint", &|| fs::remove_file(place.join("checkpoint")).unwrap()),
        ("no CA", "own-1.pem", &|| fs::remove_file(place.join("own-1.pem")).unwrap()),
        ("another vault's token", "another document", &|| {
            fs::copy(foreign.join("own-1.tsr"), place.join("own-1.tsr")).map(drop).unwrap();
        }),
        ("another vault's checkpoint", "not the log's", &|| {
            fs::remove_dir_all(&place).unwrap();
            copy_dir(&foreign, &place);
        }),
        ("under another name", "is another", &|| {
            fs::rename(&place, place.with_file_name("1-1")).unwrap();
        }),
        ("a token of a CA that the vault never had", "never had", &|| {
            let office = super::timestamps::Office::at(std::time::SystemTime::now().into());
            let checkpoint = fs::read(place.join("checkpoint")).unwrap();
            let imprint = escrow_vault::crypto::timestamp::Imprint::of(
                escrow_vault::crypto::timestamp::Hash::Sha256,
                &checkpoint,
            );
            let request = escrow_vault::crypto::timestamp::request(&imprint, None, true);
            fs::write(place.join("own-1.tsr"), office.answers(&request)).unwrap();
            fs::write(place.join("own-1.pem"), office.ca_pem()).unwrap();
        }),
    ];
    for (what, says, damage) in damages {
        damage();
        let checked = world.escrowd(&["check"]);
        assert_eq!(checked.code, 1, "{what}: {}", checked.err);
        let named = checked.err.lines().find(|line| line.contains("escrowd: damage: "));
        let named = named.unwrap_or_else(|| panic!("{what}: {}", checked.err));
        assert!(named.contains("stamps/1-") && named.contains(says), "{what}: {}", checked.err);
        fs::remove_dir_all(world.data().join("stamps")).unwrap();
        copy_dir(&world.path("whole"), &world.data().join("stamps"));
    }
    assert_eq!(world.escrowd(&["check"]).code, 0);
    // Nobody is kept from anything by it.
    flip("own-1.tsr");
    world.said.forget();
    world.serve();
    world.hears("a kept time-stamp is damaged");
    world.is_stamped_by("own");
    world.escrow("hanbit-parts", &["status"]).record();
}

#[test]
fn an_authority_elsewhere_stamps_the_log_and_stock_openssl_verifies_it() {
    if !have("openssl") {
        return;
    }
    let mut world = World::new();
    world.stop();
    let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let elsewhere = Arc::new(Elsewhere::new(&p256, "sha256", "sha256"));
    let stamper = Arc::clone(&elsewhere);
    let door = Door::open(move |request| reply(&stamper.answer(request)));
    let root = elsewhere.path("root.pem");
    let section = |policy: &str| {
        format!("authority = \"{}\"\nca = \"{}\"\n{policy}", door.url, root.display())
    };
    // One that the authority knows, and then one that it does not.
    world.stamp_by(&section("policy = \"1.2.3.4.2\""));
    world.serve();
    world.hears("not time-stamped");
    world.stop();
    assert!(world.stamped().iter().all(|place| !place.join("external-1.tsr").exists()));
    world.stamp_by(&section("policy = \"1.2.3.4.1\""));
    world.serve();
    world.is_stamped_by("external");
    world.stop();
    let place = world.stamped().pop().unwrap();
    assert!(believes(&place, "external-1.tsr", &[], &root));
    assert!(believes(&place, "external-1.tsr", &[], &place.join("external-1.pem")));
    assert_eq!(world.escrowd(&["check"]).code, 0);
    let mut token = fs::read(place.join("external-1.tsr")).unwrap();
    *token.last_mut().unwrap() ^= 1;
    fs::write(place.join("external-1.tsr"), token).unwrap();
    let checked = world.escrowd(&["check"]);
    assert!(checked.code == 1 && checked.err.contains("external: time-stamp 1"), "{}", checked.err);
}

#[test]
fn an_authority_that_lies_over_http_leaves_the_vault_unharmed_and_nothing_behind() {
    if !have("openssl") {
        return;
    }
    let mut world = World::new();
    world.join("hanbit-parts", "minji");
    world.stop();
    let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let elsewhere = Arc::new(Elsewhere::new(&p256, "sha256", "sha256"));
    let other_root = Arc::new(Elsewhere::new(&p256, "sha256", "sha256"));
    let root = elsewhere.path("root.pem");
    // The first answer is a good one.
    let first: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let (keeps, honest) = (Arc::clone(&first), Arc::clone(&elsewhere));
    let door = Door::open(move |request| {
        keeps.lock().unwrap().get_or_insert_with(|| honest.answer(request));
        http("503 Service Unavailable", "text/plain", b"later\n")
    });
    world.stamp_by(&format!("authority = \"{}\"\nca = \"{}\"", door.url, root.display()));
    let refused = |world: &mut World, says: &str| {
        world.said.forget();
        world.serve();
        world.hears("not time-stamped");
        assert!(world.said().contains(says), "{says}: {}", world.said());
        world.escrow("hanbit-parts", &["status"]).record();
        world.stop();
        let kept = world.stamped().iter().any(|place| place.join("external-1.tsr").exists());
        assert!(!kept, "{says}");
        assert_eq!(world.escrowd(&["check"]).code, 0, "{says}");
    };
    refused(&mut world, "503 Service Unavailable");
    let again = first.lock().unwrap().clone().unwrap();
    door.answers(move |_| reply(&again));
    // Other words where the log has grown meanwhile.
    refused(&mut world, "what it answered does not count");
    door.answers(move |request| reply(&other_root.answer(request)));
    refused(&mut world, "not certified by a CA that is pinned");
    door.answers(|_| reply(b"no reply at all"));
    refused(&mut world, "not a time-stamp token");
    door.answers(|_| reply(&vec![0x30; 1 << 20]));
    refused(&mut world, "an answer of more than");
    door.answers(|_| http("200 OK", "text/html", b"<html>"));
    refused(&mut world, "in place of application/timestamp-reply");
    door.answers(|_| b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
    refused(&mut world, "does not speak HTTP");
    // Nobody is there at all.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.stamp_by(&format!("authority = \"http://{free}\"\nca = \"{}\"", root.display()));
    refused(&mut world, "cannot reach it");
    // One that takes the question and never answers keeps nobody waiting, nor the vault from ending.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    world.stamp_by(&format!("authority = \"{url}\"\nca = \"{}\"", root.display()));
    world.serve();
    let (_held, _) = silent.accept().unwrap();
    world.escrow("hanbit-parts", &["status"]).record();
    assert!(world.reload());
    world.stop();
}

#[test]
fn a_section_on_time_stamps_that_cannot_be_meant_is_refused_with_the_way_out() {
    let mut world = World::new();
    world.stop();
    let ca = world.data().join("keys/ca.crt").display().to_string();
    let empty = world.file("empty.pem", "");
    let by = |url: &str, more: &str| format!("authority = \"{url}\"\n{more}");
    for (section, says) in [
        ("every = \"59s\"".to_owned(), "too often"),
        ("every = \"never\"".to_owned(), "every"),
        (by("http://tsa.example", ""), "no ca"),
        (format!("ca = \"{ca}\""), "no authority"),
        ("policy = \"1.2.3\"".to_owned(), "no authority"),
        (by("https://tsa.example", &format!("ca = \"{ca}\"")), "for https, put a proxy"),
        (by("tsa.example", &format!("ca = \"{ca}\"")), "http://HOST"),
        (by("http://tsa.example", "ca = \"no-such.pem\""), "no-such.pem"),
        (by("http://tsa.example", &format!("ca = \"{empty}\"")), "holds no certificate"),
        (by("http://tsa.example", &format!("ca = \"{ca}\"\npolicy = \"x\"")), "a policy"),
    ] {
        world.stamp_by(&section);
        world.said.forget();
        for said in [world.try_serve().unwrap_err(), world.escrowd(&["retimestamp"]).err] {
            assert!(said.contains(says), "{section}: {said}");
            assert!(said.contains("escrowd.toml") && said.contains("hint: "), "{section}: {said}");
        }
    }
    world.stamp_by(&by("http://127.0.0.1:9/tsr", "ca = \"keys/ca.crt\""));
    world.serve();
}

#[test]
fn time_stamps_are_renewed_on_demand_and_stock_openssl_verifies_the_chain() {
    if !have("openssl") {
        return;
    }
    let mut world = World::new();
    world.is_stamped_by("own");
    let refused = world.escrowd(&["retimestamp"]);
    assert!(refused.code == 1 && refused.err.contains("hint: "), "it is served: {}", refused.err);
    world.stop();
    let retimestamp = |world: &World, more: &[&str], says: &str| {
        let ended = world.escrowd(&[&["retimestamp"][..], more].concat());
        assert!(ended.code == 0 && ended.err.contains(says), "{says}: {}", ended.err);
    };
    retimestamp(&world, &[], "Nothing was to be renewed that ends within 730d.");
    // As if its certificate came near its end.
    let near = ["--within", "4000d"];
    retimestamp(&world, &near, "nothing is gained");
    // Certificates end at whole seconds: one that lasts longer begins in another.
    let rotate = |world: &World| {
        let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = second();
        while second() == now {
            std::thread::yield_now();
        }
        assert_eq!(world.escrowd(&["rotate-tsa"]).code, 0);
    };
    rotate(&world);
    retimestamp(&world, &near, "1 time-stamp was renewed.");
    retimestamp(&world, &near, "nothing is gained");
    retimestamp(&world, &[], "Nothing was to be renewed");
    rotate(&world);
    retimestamp(&world, &near, "own: time-stamp 3 is good until");
    let place = world.stamped().remove(0);
    let ca = world.data().join("keys/ca.crt");
    let (first, second) = ("own-1.tsr", "own-2.tsr");
    assert!(believes(&place, first, &[], &ca));
    assert!(believes(&place, second, &[first], &ca));
    assert!(believes(&place, "own-3.tsr", &[first, second], &ca));
    assert!(!believes(&place, "own-3.tsr", &[second, first], &ca));
    assert!(!believes(&place, second, &[], &ca));
    assert_eq!(world.escrowd(&["check"]).code, 0);
    // One of the middle is missing.
    fs::rename(place.join(second), place.join("own-2.lost")).unwrap();
    let checked = world.escrowd(&["check"]);
    assert!(checked.code == 1 && checked.err.contains("stamps/1-"), "{}", checked.err);
    let ended = world.escrowd(&[&["retimestamp"][..], &near].concat());
    assert!(ended.code == 1 && ended.err.contains("damage: "), "{}", ended.err);
    fs::rename(place.join("own-2.lost"), place.join(second)).unwrap();
    world.serve();
    world.stop();
    assert_eq!(world.escrowd(&["check"]).code, 0);
}
