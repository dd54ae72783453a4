//! Archives as a depositor may have made them: unpacking never panics, stays within its limits and
//! its directory, and leaves nothing when it refuses.
#![no_main]

use std::fs;
use std::path::Path;

use escrow_vault::client::archive::unpack::{Limits, unpack};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let limits = Limits { entries_max: 100, bytes_max: BYTES_MAX, ..Limits::default() };
    let done = unpack(bytes, &out, limits);
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|item| item.unwrap()).collect();
    match done {
        Ok(unpacked) => {
            assert_eq!(left.len(), 1, "only what was asked for");
            let (entries, size) = count(&out);
            assert_eq!(entries, unpacked.entries);
            assert!(size <= BYTES_MAX);
        }
        Err(_) => assert_eq!(left.len(), 0, "nothing is left behind"),
    }
});

/// Entries below a directory, which may be files and directories only, and their bytes.
fn count(dir: &Path) -> (u64, u64) {
    let (mut entries, mut bytes) = (0, 0);
    for item in fs::read_dir(dir).unwrap() {
        let item = item.unwrap();
        let kind = item.file_type().unwrap();
        assert!(kind.is_dir() || kind.is_file());
        entries += 1;
        if kind.is_dir() {
            let (below, size) = count(&item.path());
            (entries, bytes) = (entries + below, bytes + size);
        } else {
            bytes += item.metadata().unwrap().len();
        }
    }
    (entries, bytes)
}
