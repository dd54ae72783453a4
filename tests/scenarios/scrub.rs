//! Damage is found by the vault itself, while it is served, before anybody needs what is damaged.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use super::metrics::{reaches, scrape, value};
use super::{PATIENCE, World};

impl World {
    /// How often and how fast everything is read, from the next start on.
    fn scrub(&self, every: &str, rate: &str) {
        let path = self.data().join("escrowd.toml");
        let mut config = fs::read_to_string(&path).unwrap();
        config.push_str(&format!("[scrub]\nevery = \"{every}\"\nrate = \"{rate}\"\n"));
        fs::write(path, config).unwrap();
    }

    /// Waits until the server has said these words.
    #[track_caller]
    fn has_said(&self, words: &str) -> String {
        let text = self.said.text.lock().unwrap();
        let waits = |text: &mut String| !text.contains(words);
        let (text, late) = self.said.more.wait_timeout_while(text, PATIENCE, waits).unwrap();
        assert!(!late.timed_out(), "{words}: {text}");
        text.lines().find(|line| line.contains(words)).unwrap_or_default().to_owned()
    }

    /// A deposit whose request is released.
    fn released(&self, agreement: &str, content: &[u8]) -> (String, String) {
        let deposit = self.deposit(agreement, content);
        let request = self.request(&deposit, "joint");
        self.approve("trade-secret-center", &request);
        self.approve("hanbit-parts", &request);
        (deposit, request)
    }
}

/// Flips a bit of a file that is in use.
fn flip(path: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

#[test]
fn what_is_damaged_is_quarantined_before_anybody_asks_and_the_rest_is_served() {
    let (mut world, agreement) = World::with_agreement();
    let content = |seed: u32| (0..400_000u32).map(|i| ((i * seed) >> 3) as u8).collect::<Vec<_>>();
    let (large, request) = world.released(&agreement, &content(7));
    let (other, other_request) = world.released(&agreement, &content(11));
    let small = world.deposit(&agreement, b"anneal at 412");
    world.stop();
    world.said.forget();
    let address = world.show_metrics();
    world.scrub("1s", "1 GiB/s");
    world.serve();
    // Everything is whole at first.
    world.has_said("everything stored is as it was written");
    let shown = scrape(&address);
    assert_eq!(value(&shown, "escrow_scrub_harmed_total"), Some(0.0), "{shown}");
    assert!(value(&shown, "escrow_scrub_finished_timestamp_seconds") > Some(0.0), "{shown}");
    assert!(value(&shown, "escrow_scrub_bytes_total") > Some(800_000.0), "{shown}");

    flip(&world.data().join(format!("bundles/{large}.age")), 300_000);
    reaches(&address, "escrow_bundles_quarantined_total", 1.0);
    let state = |id: &str| {
        let shown = world.escrow("hanbit-parts", &["show", id]).record();
        shown["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&large), "quarantined");
    assert_eq!([state(&other), state(&small)], ["stored", "stored"]);
    let told = world.has_said("damage found");
    for part in [&*large, &*agreement, "bytes 262144 to", "quarantined", "backup"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let retrieve = |request: &str, out: &str| {
        let out = world.path(out).display().to_string();
        world.escrow("orient-display", &["retrieve", request, "--out", &out, "--yes"])
    };
    assert_eq!(retrieve(&request, "none").refusal(), "DEPOSIT_STATE");
    retrieve(&other_request, "out").record();
    assert!(fs::read(world.path("out/recipe.txt")).unwrap() == content(11));

    // It is told by every pass, and quarantined once.
    let began = Instant::now();
    while value(&scrape(&address), "escrow_scrub_harmed_total") < Some(3.0) {
        assert!(began.elapsed() < PATIENCE, "no further pass");
    }
    assert_eq!(value(&scrape(&address), "escrow_bundles_quarantined_total"), Some(1.0));

    // A small bundle lies in the journal under its name: whatever is damaged of it, it is found.
    let blobs = world.data().join("journal/blobs-000001.log");
    let journal = fs::read(&blobs).unwrap();
    let lies = journal.windows(small.len()).position(|part| part == small.as_bytes()).unwrap();
    flip(&blobs, lies as u64 + 9);
    reaches(&address, "escrow_bundles_quarantined_total", 2.0);
    assert_eq!([state(&other), state(&small)], ["stored", "quarantined"]);
    flip(&blobs, lies as u64 + 9);

    // In the journal's events nothing can be taken out of service.
    flip(&world.data().join("journal/events-000001.log"), 150);
    let told = world.has_said("damage found in the journal");
    for part in ["events-000001.log", "escrowd check", "backup"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    world.escrow("hanbit-parts", &["whoami"]).record();
    flip(&world.data().join("journal/events-000001.log"), 150);

    world.stop();
    assert!(world.data().join("scrub.json").exists(), "what is known survives");
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 1, "{}", checked.err);
    let named = format!("the bundle of {large}, ");
    let with_agreement = format!("{large} (recipe.txt) of {agreement}");
    for part in [&*named, &with_agreement, "bytes 262144 to", "it is quarantined", ": 1 fault"] {
        assert!(checked.err.contains(part), "{part}: {}", checked.err);
    }
    assert!(!checked.err.contains(&other), "{}", checked.err);
}

#[test]
fn a_pass_that_was_stopped_goes_on_after_the_next_start() {
    let (mut world, agreement) = World::with_agreement();
    world.deposit(&agreement, vec![7; 3 << 20]);
    world.stop();
    world.said.forget();
    let address = world.show_metrics();
    // While it was empty, it was read already.
    fs::remove_file(world.data().join("scrub.json")).unwrap();
    // A chunk of a bundle takes four seconds.
    world.scrub("1d", "64 KiB/s");
    world.serve();
    let began = Instant::now();
    while value(&scrape(&address), "escrow_scrub_pass_bytes") < Some(262_144.0) {
        assert!(began.elapsed() < PATIENCE, "{}", scrape(&address));
    }
    world.stop();
    world.said.forget();
    let config = world.data().join("escrowd.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text.replace("\"64 KiB/s\"", "\"1 GiB/s\"")).unwrap();
    world.serve();
    world.has_said("scrubbing goes on");
    world.has_said("everything stored is as it was written");
    let read = value(&scrape(&address), "escrow_scrub_bytes_total").unwrap();
    assert!(read < f64::from(3 << 20), "{read} bytes were read anew");
    world.stop();
}
