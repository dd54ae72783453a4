//! What the vault has resident while 64 clients upload at once.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::process::resident_mib;
use crate::common::table::Row;
use crate::common::uploads::Uploads;
use crate::common::vault::Vault;

const UPLOADS: usize = 64;
const GOAL_MIB: u64 = 256;
const LOOK: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// Real clients, each with a bundle of 1 GiB, or of what a quarter of the free disk has room for, as all
/// of it is reserved before the first byte. They are cut off when a quarter of all has come.
pub(crate) fn measure() {
    let vault = Vault::new("memory");
    let file_system = rustix::fs::statvfs(vault.path("")).unwrap();
    let free_mib = (file_system.f_bavail * file_system.f_frsize) >> 20;
    let mib = (free_mib / 4 / UPLOADS as u64).min(1024);
    let source = vault.file("large.bin", mib << 20);
    // One member has half of its organisation's uploads at most.
    let homes = [vault.path("hanbit-parts"), vault.colleague("hanbit-parts", "jisu")];
    let uploads = Uploads::begin(&vault, &homes, UPLOADS, &source);
    let staging = vault.path("vault").join("bundles/staging");
    let (mut under_way, began) = (0, Instant::now());
    loop {
        assert!(began.elapsed() < WAIT_MAX, "the uploads don't come forward");
        let (bytes, count) = staged(&staging);
        under_way = count.max(under_way);
        if bytes >= (mib << 20) * UPLOADS as u64 / 4 {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let resident = resident_mib(vault.server.id());
    drop(uploads);
    println!("    {under_way} uploads of {mib} MiB were under way at once");
    let (ours, peer) = (format!("{resident} MiB"), format!("goal: {GOAL_MIB} MiB"));
    let ratio = resident as f64 / GOAL_MIB as f64;
    Row { what: "peak memory, vault, 64 at a time", ours, peer, ratio }.print();
}

/// Bytes on disk of what is not finished, and of how many it is.
fn staged(staging: &Path) -> (u64, usize) {
    let files = fs::read_dir(staging).unwrap().map(|file| file.unwrap());
    // Some are renamed while one looks.
    let parts = files.filter(|file| file.path().extension().is_some_and(|part| part == "part"));
    let sizes: Vec<u64> = parts.filter_map(|part| Some(part.metadata().ok()?.size())).collect();
    (sizes.iter().sum(), sizes.len())
}
