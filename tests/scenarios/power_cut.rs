//! The power fails: an ext4 of its own is shut down under the server, so that what was not synced
//! is lost as on a machine without power, and compared with a record of what was acknowledged.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::crash::{assert_none_lost, under_load};
use super::full_disk::may_mount;
use super::{World, have, id};

/// Cycles of the normal run; `ESCROW_TEST_CRASHES` makes it any number.
const CYCLES: usize = 4;

/// `EXT4_IOC_SHUTDOWN`; forbidding `unsafe`, we let Python ask for it.
const SHUT_DOWN: &str = "import fcntl, os, struct, sys\n\
    at = os.open(sys.argv[1], os.O_RDONLY)\n\
    fcntl.ioctl(at, 0x8004587D, struct.pack('I', int(sys.argv[2])))\n";

/// Whoever cuts off a disk, or begins a mount namespace, does so alone: the namespace would hold the
/// disk mounted as it was cut off.
static MOUNTS: Mutex<()> = Mutex::new(());

/// Keeps others from mounting, until it is dropped.
pub(super) fn mounts_alone() -> MutexGuard<'static, ()> {
    MOUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An ext4 in a file, on a loop device.
pub(super) struct Disk(
    tempfile::TempDir,
    #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>,
);

impl Disk {
    pub(super) fn make() -> Self {
        let (alone, dir) = (mounts_alone(), tempfile::tempdir().unwrap());
        let image = dir.path().join("image");
        fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        fs::create_dir(dir.path().join("mounted")).unwrap();
        let mut mkfs = Command::new("mkfs.ext4");
        assert!(mkfs.args(["-q", "-F"]).arg(&image).status().unwrap().success());
        let disk = Self(dir, alone);
        disk.mount();
        disk
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    pub(super) fn mount(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(self.0.path().join("image")).arg(self.path());
        assert!(mount.status().unwrap().success(), "no loop device may be mounted here");
        let alive = fs::write(self.path().join("alive"), "");
        assert!(alive.is_ok(), "somebody else holds this disk mounted: {alive:?}");
    }

    pub(super) fn unmount(&self) {
        assert!(Command::new("umount").arg(self.path()).status().unwrap().success());
    }

    /// From now on nothing reaches the disk. The file system's own journal may be flushed before
    /// or not: power fails at either moment.
    pub(super) fn cut(&self, flush: bool) {
        let flags = if flush { "1" } else { "2" };
        let mut python = Command::new("python3");
        python.args(["-c", SHUT_DOWN]).arg(self.path()).arg(flags);
        assert!(python.status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.path()).status());
    }
}

/// Whether a disk of its own can be mounted here and cut off.
pub(super) fn may_cut() -> bool {
    may_mount() && ["mkfs.ext4", "python3"].into_iter().all(have)
}

#[test]
fn promise_7_nothing_acknowledged_is_lost_to_a_power_cut() {
    if !may_cut() {
        return;
    }
    let cycles = std::env::var("ESCROW_TEST_CRASHES").ok().and_then(|n| n.parse().ok());
    let disk = Disk::make();
    let (mut world, agreement) = World::with_agreement_at(Some(disk.path().join("vault")));
    let acknowledged = Mutex::new(BTreeSet::new());
    let released = Mutex::new(BTreeSet::new());
    for cycle in 0..cycles.unwrap_or(CYCLES) {
        let deposit = world.deposit(&agreement, format!("released in cycle {cycle}"));
        let request = world.request(&deposit, "joint");
        world.approve("trade-secret-center", &request);
        std::thread::scope(|scope| {
            let (world, agreement, disk) = (&world, &agreement, &disk);
            let (released, request) = (&released, &request);
            scope.spawn(move || {
                let approved = world.escrow("hanbit-parts", &["approve", request, "--yes"]);
                if approved.code == 0 && approved.record()["request"]["state"] == "released" {
                    released.lock().unwrap().insert(request.clone());
                }
            });
            let cut = |_: &World| disk.cut(cycle % 2 == 0);
            under_load(world, agreement, cycle, 1 + cycle % 5, &acknowledged, cut);
        });
        acknowledged.lock().unwrap().insert(deposit);
        world.kill();
        disk.unmount();
        disk.mount();
        world.serve();
        assert_none_lost(&world, &agreement, cycle, &acknowledged.lock().unwrap());
        for request in released.lock().unwrap().iter() {
            assert_eq!(world.state("orient-display", request), "released", "cycle {cycle}");
        }
        world.stop();
        let checked = world.escrowd(&["check"]);
        assert_eq!(checked.code, 0, "cycle {cycle}: {}", checked.err);
        world.serve();
    }
    let (acknowledged, released) = (acknowledged.lock().unwrap(), released.lock().unwrap());
    eprintln!("{} deposits and {} releases were acknowledged", acknowledged.len(), released.len());
    drop(world);
}

/// The secret that opens a bundle is erased when it was retrieved: what came out has to stay.
#[test]
fn promise_7_what_was_retrieved_survives_a_power_cut() {
    if !may_cut() {
        return;
    }
    let disk = Disk::make();
    let (world, agreement) = World::with_agreement();
    let few = [("large.bin", 40 << 20), ("middle.bin", 2 << 20), ("deep/er/small.txt", 100)];
    let few = few.map(|(name, size)| (name.to_owned(), size));
    let many: Vec<_> = (0..600).map(|n| (format!("of/{}/{n}.txt", n % 300), 10 + n)).collect();
    for (what, files) in [("few", few.to_vec()), ("many", many)] {
        for (name, size) in &files {
            world.file(&format!("{what}/{name}"), vec![*size as u8; *size]);
        }
        let source = world.path(what).display().to_string();
        let deposited = world.escrow("hanbit-parts", &["deposit", &agreement, &source, "--yes"]);
        let deposit = id(&deposited.record());
        for (flush, raw) in [(true, false), (false, false), (true, true), (false, true)] {
            let request = world.request(&deposit, "joint");
            world.approve("trade-secret-center", &request);
            world.approve("hanbit-parts", &request);
            let name = format!("{what}-{flush}-{raw}");
            let out = disk.path().join(&name).display().to_string();
            let mut retrieve = vec!["retrieve", &request, "--out", &out, "--yes"];
            retrieve.extend(raw.then_some("--raw"));
            world.escrow("orient-display", &retrieve).record();
            disk.cut(flush);
            disk.unmount();
            disk.mount();
            let mut unpacked = disk.path().join(&name);
            if raw {
                let tar = std::mem::replace(&mut unpacked, world.path(&name));
                fs::create_dir(&unpacked).unwrap();
                let mut stock = Command::new("tar");
                assert!(
                    stock.arg("-xf").arg(tar).arg("-C").arg(&unpacked).status().unwrap().success()
                );
            }
            for (file, size) in &files {
                let found = fs::read(unpacked.join(what).join(file)).unwrap();
                assert!(found == vec![*size as u8; *size], "{name}: {file} is damaged");
            }
        }
    }
}
