//! A disk that fills up: what can wait is refused, what must be written is written.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{World, files_below};

/// Size of the disk. The vault keeps 48 MiB of it in reserve and 64 MiB for what is urgent.
const DISK_MIB: usize = 192;

/// A small file system of its own.
pub(super) struct Disk(PathBuf);

impl Disk {
    pub(super) fn mount(path: &Path, mib: usize) -> Self {
        let size = format!("size={mib}m,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(path);
        assert!(mount.status().unwrap().success());
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Somebody else takes up room, until so many MiB are left.
    pub(super) fn fill(&self, left_mib: u64) {
        let ballast = self.path().join("ballast");
        let mut file = fs::File::options().create(true).append(true).open(ballast).unwrap();
        let free = || {
            let found = rustix::fs::statvfs(self.path()).unwrap();
            found.f_bavail * found.f_frsize
        };
        while free() > left_mib << 20 {
            let most = (free() - (left_mib << 20)).min(1 << 20);
            if file.write_all(&vec![0xa5; most as usize]).is_err() {
                return;
            }
        }
    }

    pub(super) fn empty(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.path()).status());
    }
}

pub(super) fn may_mount() -> bool {
    let may = std::env::var_os("ESCROW_TEST_ROOT").is_some();
    if !may {
        eprintln!("PASSED OVER: ESCROW_TEST_ROOT is not set, and mounting a disk takes root");
    }
    may
}

#[test]
fn promise_7_a_full_disk_refuses_what_can_wait_and_takes_what_cannot() {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::mount(dir.path(), DISK_MIB);
    let (mut world, agreement) = World::with_agreement_at(Some(disk.path().join("vault")));
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "contested");
    let object = ["object", &request, "--reason", "not due", "--yes"];
    let settle = ["withdraw", &request, "--objection", "--yes"];
    let other = world.file("other.bin", vec![7; 300_000]);
    let too_large = world.file("large.bin", vec![7; 200 << 20]);
    let try_deposit = |world: &World, file: &str| {
        world.escrow("hanbit-parts", &["deposit", &agreement, file, "--yes"])
    };
    assert_eq!(try_deposit(&world, &too_large).refusal(), "DISK_FULL", "said before it is sent");

    // Scarce, then full: the reserve gives way.
    for left_mib in [32, 0] {
        disk.fill(left_mib);
        assert_eq!(try_deposit(&world, &other).refusal(), "DISK_FULL", "{left_mib}");
        let ask = ["request", &deposit, "--rule", "joint", "--purpose", "p", "--yes"];
        assert_eq!(world.escrow("orient-display", &ask).refusal(), "DISK_FULL", "{left_mib}");
        world.escrow("hanbit-parts", &object).record();
        assert_eq!(world.state("orient-display", &request), "objected");
        world.escrow("hanbit-parts", &settle).record();
    }
    // A start on a full disk has the last of the reserve. What is written stays written.
    world.kill();
    disk.fill(0);
    world.serve();
    world.escrow("hanbit-parts", &object).record();
    assert_eq!(world.state("orient-display", &request), "objected");
    world.escrow("hanbit-parts", &settle).record();
    // With no reserve, nothing is tried, and nothing is taken for damage.
    world.kill();
    fs::write(world.data().join("reserve"), "").unwrap();
    disk.fill(0);
    let said = world.try_serve().unwrap_err();
    assert!(said.contains("No space left") || said.contains("no storage space"), "{said}");
    assert!(said.contains("hint: make room"), "{said}");
    let aside = |item: fs::DirEntry| item.file_name().to_string_lossy().contains("damaged");
    assert!(!fs::read_dir(world.data()).unwrap().map(Result::unwrap).any(aside), "{said}");
    disk.empty();
    world.serve();
    assert_eq!(try_deposit(&world, &other).record()["state"], "stored");
    world.approve("trade-secret-center", &request);
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    world.stop();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.err);
}

#[test]
fn promise_11_a_bundle_that_finds_no_room_on_its_way_is_refused_and_leaves_nothing() {
    if !may_mount() {
        return;
    }
    let (mut world, agreement) = World::with_agreement();
    // Whoever looks at the disk sees room; where the bundle arrives, there is too little.
    let staging = Disk::mount(&world.data().join("bundles/staging"), 1);
    let large = world.file("large.bin", vec![7; 3 << 20]);
    let deposit = ["deposit", &agreement, &large, "--yes"];
    for _ in 0..3 {
        assert_eq!(world.escrow("hanbit-parts", &deposit).refusal(), "DISK_FULL");
        assert_eq!(files_below(staging.path()), [] as [PathBuf; 0]);
    }
    world.deposit(&agreement, "a small one rides in the journal");
    drop(staging);
    assert_eq!(world.escrow("hanbit-parts", &deposit).record()["state"], "stored");
    world.stop();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.err);
}
