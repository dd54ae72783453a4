//! The log as strangers see it, and what a home's copy of it finds out.

use std::fs;
use std::net::TcpStream;

use escrow_vault::client::home::Home;
use escrow_vault::client::mirror::log_key;
use tlog_tiles::{Hash, HashReader as _, Tile, TileHashReader, TileReader};

use super::http::ask;
use super::liar::{History, Liar};
use super::{World, copy_dir};

impl World {
    /// Where this vault shows its log, from its next start on.
    pub(super) fn show_log(&self) -> String {
        let address = self.address.replace(":7443", ":7480");
        let path = self.data().join("escrowd.toml");
        let mut config = fs::read_to_string(&path).unwrap();
        config.push_str(&format!("[log]\nlisten = \"{address}\"\n"));
        fs::write(path, config).unwrap();
        address
    }
}

#[track_caller]
pub(super) fn get(address: &str, path: &str) -> Vec<u8> {
    let (head, body) = ask(address, &format!("GET /{path}"));
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    body
}

/// Reads tiles as the crate `tlog_tiles` asks for them.
struct Client(String);

impl TileReader for Client {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let path = |tile: &Tile| tile.path().replacen("tile/8/", "tile/", 1);
        Ok(tiles.iter().map(|tile| get(&self.0, &path(tile))).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn promise_9_a_stranger_with_a_c2sp_client_checks_the_log() {
    let (mut world, agreement) = World::with_agreement();
    let refused = TcpStream::connect(world.address.replace(":7443", ":7480"));
    assert!(refused.is_err(), "off until asked for");
    world.stop();
    let address = world.show_log();
    world.serve();
    world.deposit(&agreement, "recipe");
    let note = String::from_utf8(get(&address, "checkpoint")).unwrap();
    let vault = Home::open(&world.home("hanbit-parts")).unwrap().vault().unwrap();
    let key = log_key(&vault).unwrap();
    // Everything from here on is other people's code.
    let verifier = signed_note::StandardVerifier::new(&key.to_string()).unwrap();
    let signed = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    assert_eq!(signed.verify(&known).unwrap().0.len(), 1);
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(signed.text()).unwrap();
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    assert!(size > 16, "{size}");
    let client = Client(address.clone());
    let tiles = TileHashReader::new(size, root, &client);
    let mut leaves = Vec::new();
    for (number, first) in (0..size).step_by(256).enumerate() {
        let width = (size - first).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let bundle = get(&address, &format!("tile/entries/{number:03}{partial}"));
        let (entries, rest) = bundle.as_chunks::<50>();
        assert!(rest.is_empty() && entries.len() as u64 == width);
        for entry in entries {
            assert_eq!(entry[..2], [0, 48]);
            leaves.push(tlog_tiles::record_hash(&entry[2..]));
        }
    }
    let indexes: Vec<u64> = (0..size).map(|n| tlog_tiles::tlog::stored_hash_index(0, n)).collect();
    let hashes: Vec<Hash> = tiles.read_hashes(&indexes).unwrap();
    assert_eq!(hashes, leaves, "every entry is under the root");
    for (request, status) in [
        ("GET /", "404"),
        ("GET /tile/0/000", "404"),
        ("GET /tile/0/000.p/256", "404"),
        ("GET /tile/0/999", "404"),
        ("GET /tile/8/000", "404"),
        ("GET /tile/entries/001", "404"),
        ("GET /metrics", "404"),
        ("GET /../escrowd.toml", "404"),
        ("POST /checkpoint", "405"),
        ("DELETE /tile/0/000.p/9", "405"),
        ("HEAD /checkpoint", "200"),
    ] {
        let (head, _) = ask(&address, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {head}");
    }
    let (head, _) = ask(&address, "GET /tile/0/000.p/16");
    assert!(head.contains("immutable") && head.contains("application/octet-stream"), "{head}");
    // Nobody is named in what is shown.
    let shown = String::from_utf8_lossy(&get(&address, "tile/entries/000.p/16")).into_owned();
    assert!(!shown.contains("hanbit") && !shown.contains("agr_"), "{shown}");
}

#[test]
fn promise_9_a_vault_that_was_set_back_and_grew_again_is_shown_its_own_checkpoint() {
    let (mut world, agreement) = World::with_agreement();
    world.deposit(&agreement, "recipe A");
    world.stop();
    copy_dir(&world.data(), &world.path("snapshot"));
    copy_dir(&world.home("hanbit-parts"), &world.home("knows-no-more"));
    world.serve();
    // All that this home sees more is the log: of no stream is there a newer head.
    world.deposit(&agreement, "recipe B");
    world.escrow("trade-secret-center", &["whoami"]).record();
    world.stop();
    fs::remove_dir_all(world.data()).unwrap();
    copy_dir(&world.path("snapshot"), &world.data());
    world.serve();
    for number in 0..8 {
        let file = world.file("bundle/other.txt", format!("another recipe {number}"));
        world.escrow("knows-no-more", &["deposit", &agreement, &file, "--yes"]).record();
    }
    let found_out = world.escrow("trade-secret-center", &["agreement", "list"]);
    assert_eq!(found_out.refusal(), "SET_BACK", "{}", found_out.err);
    assert_eq!(world.ended_by_itself(), 1);
    let said = world.said();
    assert!(said.contains("is not served") && said.contains("checkpoint of its log"), "{said}");
}

#[test]
fn promise_13_an_event_that_is_in_the_log_and_is_not_shown_is_missed() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    world.escrow("trade-secret-center", &["requests"]).records();
    let liar = Liar::beside(&world);
    // The request is withdrawn, and the vault keeps that to itself.
    let mut history = History::seen_by(&world, "trade-secret-center");
    world.escrow("orient-display", &["withdraw", &request, "--yes"]).record();
    history.keeps_the_true_log();
    liar.copy(&world, "trade-secret-center", "copy");
    liar.show(Some(history));
    let ended = world.escrow("copy", &["approve", &request, "--yes"]);
    assert_eq!(ended.refusal(), "UNTRUE", "{}", ended.err);
    let message = ended.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("is in its log, but is not shown"), "{message}");
    assert_eq!(liar.heard(), Vec::<&str>::new(), "nothing was signed");
}
