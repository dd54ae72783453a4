//! The disk that everything is measured on.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// An empty directory where the programs were built: one in memory would sync nothing.
pub(crate) fn directory(name: &str) -> TempDir {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tempfile::Builder::new().prefix(name).tempdir_in(place).unwrap()
}

/// How often the disk makes 4 KiB durable in a second.
pub(crate) fn syncs_per_second(path: &Path) -> f64 {
    let mut file = File::create(path).unwrap();
    let (began, mut count) = (Instant::now(), 0u32);
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

/// Whether two files hold the same bytes.
pub(crate) fn same(one: &Path, other: &Path) -> bool {
    let mut readers = [one, other].map(|path| BufReader::new(File::open(path).unwrap()));
    let mut buffers = [vec![0; 1 << 20], vec![0; 1 << 20]];
    loop {
        let mut counts = [0, 0];
        for ((reader, buffer), count) in readers.iter_mut().zip(&mut buffers).zip(&mut counts) {
            while *count < buffer.len() {
                match reader.read(&mut buffer[*count..]).unwrap() {
                    0 => break,
                    taken => *count += taken,
                }
            }
        }
        let [one, other] = &buffers;
        if counts[0] != counts[1] || one[..counts[0]] != other[..counts[1]] {
            return false;
        }
        if counts[0] == 0 {
            return true;
        }
    }
}
