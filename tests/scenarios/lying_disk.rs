//! A disk that says it has synced and has not, and then the power fails. No program can keep what
//! such a disk loses. But nothing is missing in silence: everything acknowledged is there; or `serve`
//! or `check` refuses, with the way out; or the first client that has seen more shows it, and the
//! vault halts. On the way out what clients remember comes back, and what does not is told.
//!
//! `strace` answers the syncs. What such a disk may have written all the same, and in whatever order,
//! the test syncs by itself just before the power fails.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

use serde_json::Value;

use super::crash::under_load;
use super::faults::{BLOBS, EVENTS, may_trace, strace};
use super::power_cut::{Disk, may_cut};
use super::{PEOPLE, World, id};

/// Cycles of the normal run; `ESCROW_TEST_CRASHES` makes it any number.
const CYCLES: usize = 2;

const SYNCS: &str = "fsync,fdatasync,sync_file_range";

/// What the disk happens to have written when the power fails, by turns.
const WRITTEN: [&[&str]; 5] = [&[], &["journal/head"], &["sled/db"], &[EVENTS], &[EVENTS, BLOBS]];

/// What a start after it comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Found {
    /// Everything that was acknowledged is there.
    Whole,
    /// `serve` refuses, in words that name the way out.
    Refused,
    /// It starts, and a client that has seen more shows it.
    SetBack,
    /// `check` names bundles that are gone.
    Named,
}

struct Life {
    world: World,
    // Behind the world, which ends what is served from it.
    disk: Disk,
    agreement: String,
    /// Deposits and releases that were acknowledged, and not told of as lost since.
    deposits: Mutex<BTreeSet<String>>,
    releases: Mutex<BTreeSet<String>>,
    /// How many were told of as lost.
    told: usize,
}

impl Life {
    fn lead() -> Self {
        let disk = Disk::make();
        let (world, agreement) = World::with_agreement_at(Some(disk.path().join("vault")));
        let (deposits, releases) = Default::default();
        Self { world, disk, agreement, deposits, releases, told: 0 }
    }

    fn cycle(&mut self, cycle: usize) -> Found {
        let deposit = self.world.deposit(&self.agreement, format!("released in cycle {cycle}"));
        let request = self.world.request(&deposit, "joint");
        self.world.approve("trade-secret-center", &request);
        self.deposits.lock().unwrap().insert(deposit);
        self.world.stop();
        let backup = self.world.path(&format!("backup-{cycle}")).display().to_string();
        let backed_up = self.world.escrowd(&["backup", "--to", &backup]);
        assert_eq!(backed_up.code, 0, "{}", backed_up.err);

        let log = self.world.path("strace");
        let mut lying = strace(SYNCS, &format!("{SYNCS}:retval=0"), &log);
        lying.arg(env!("CARGO_BIN_EXE_escrowd"));
        self.world.try_serve_as(lying, &[]).unwrap();
        std::thread::scope(|scope| {
            let Self { world, disk, agreement, deposits, releases, .. } = &*self;
            scope.spawn(|| {
                let approved = world.escrow("hanbit-parts", &["approve", &request, "--yes"]);
                if approved.code == 0 && approved.record()["request"]["state"] == "released" {
                    releases.lock().unwrap().insert(request.clone());
                }
            });
            let cut = |world: &World| {
                for file in WRITTEN[cycle % WRITTEN.len()] {
                    fs::File::open(world.data().join(file)).unwrap().sync_all().unwrap();
                }
                disk.cut(cycle % 2 == 1);
            };
            under_load(world, agreement, cycle, 2 + cycle % 5, deposits, cut);
        });
        self.world.kill();
        assert!(fs::read_to_string(log).unwrap().contains("(INJECTED)"));
        self.disk.unmount();
        self.disk.mount();
        self.world.said.forget();
        let found = self.start(&backup);
        self.all_is_there();
        self.world.stop();
        let checked = self.world.escrowd(&["check"]);
        assert_eq!(checked.code, 0, "{}", checked.err);
        self.world.serve();
        found
    }

    /// Starts the vault, and goes the way out where it is told of one.
    fn start(&mut self, backup: &str) -> Found {
        if let Err(said) = self.world.try_serve() {
            self.go_on(&said, backup);
            return Found::Refused;
        }
        for home in ["orient-display", "trade-secret-center", "hanbit-parts"] {
            let shown = self.world.escrow(home, &["show", &self.agreement]);
            if shown.code != 0 {
                assert_eq!(shown.refusal(), "SET_BACK", "{home}: {}", shown.err);
                assert_eq!(self.world.ended_by_itself(), 1);
                self.world.said.forget();
                let said = self.world.try_serve().unwrap_err();
                self.go_on(&said, backup);
                return Found::SetBack;
            }
        }
        self.all_is_there();
        self.world.stop();
        let checked = self.world.escrowd(&["check"]);
        if checked.code == 0 {
            self.world.serve();
            return Found::Whole;
        }
        self.go_on(&checked.err, backup);
        Found::Named
    }

    /// What the runbook says: recover, and where something is damaged, from the backup.
    fn go_on(&mut self, said: &str, backup: &str) {
        assert!(said.contains("hint: "), "{said}");
        if !said.contains("escrowd recover") {
            assert!(said.contains("backup"), "{said}");
            fs::remove_dir_all(self.world.data()).unwrap();
            let restored = self.world.escrowd(&["restore", "--from", backup]);
            assert_eq!(restored.code, 0, "{}", restored.err);
        }
        let recovered = self.world.escrowd(&["recover"]);
        assert_eq!(recovered.code, 0, "{}", recovered.err);
        self.world.serve();
        let mut lost = Vec::new();
        for (home, _) in PEOPLE {
            let resumed = self.world.escrow(home, &["resume", "--yes"]);
            assert!([0, 3].contains(&resumed.code), "{home}: {}", resumed.err);
            lost.extend(resumed.out[0]["lost"].as_array().unwrap().clone());
        }
        self.forget_what_was_told(&lost);
    }

    /// Takes what was told of as lost out of the record: no more than was told.
    fn forget_what_was_told(&mut self, lost: &[Value]) {
        for (kind, record) in [
            ("escrow-vault/deposit/v1", &self.deposits),
            ("escrow-vault/contribution/v1", &self.releases),
        ] {
            let told = lost.iter().filter(|lost| lost["kind"] == kind).count();
            let mut record = record.lock().unwrap();
            let is_lost = |id: &String| self.world.escrow("hanbit-parts", &["show", id]).code != 0;
            let missing: Vec<_> = record.iter().filter(|id| is_lost(id)).cloned().collect();
            assert!(missing.len() <= told, "{missing:?} are lost, and {told} were told of");
            self.told += missing.len();
            record.retain(|id| !missing.contains(id));
        }
    }

    /// Everything on record is there, as far as anybody can be given it: a bundle that was lost is
    /// said to be.
    fn all_is_there(&self) {
        let listed = self.world.escrow("hanbit-parts", &["deposits", &self.agreement]).records();
        let listed: BTreeSet<_> = listed.iter().map(id).collect();
        let deposits = self.deposits.lock().unwrap();
        let missing: Vec<_> = deposits.difference(&listed).collect();
        assert!(missing.is_empty(), "missing in silence: {missing:?}");
        for request in self.releases.lock().unwrap().iter() {
            assert_eq!(self.world.state("hanbit-parts", request), "released");
        }
    }
}

#[test]
fn promise_9_what_a_disk_loses_that_lied_about_its_syncs_is_never_missing_in_silence() {
    if !may_cut() || !may_trace() {
        return;
    }
    let cycles = std::env::var("ESCROW_TEST_CRASHES").ok().and_then(|n| n.parse().ok());
    let mut life = Life::lead();
    let found: Vec<_> = (0..cycles.unwrap_or(CYCLES))
        .map(|cycle| (WRITTEN[cycle % WRITTEN.len()], life.cycle(cycle)))
        .collect();
    for (written, found) in &found {
        eprintln!("written {written:?}: {found:?}");
    }
    let (deposits, releases) = (life.deposits.lock().unwrap(), life.releases.lock().unwrap());
    eprintln!(
        "{} deposits and {} releases were acknowledged and are there, {} were told of as lost",
        deposits.len(),
        releases.len(),
        life.told
    );
    let lost = found.iter().any(|(_, found)| *found != Found::Whole);
    assert!(lost, "nothing was ever lost: the syncs were not kept from the disk");
}
