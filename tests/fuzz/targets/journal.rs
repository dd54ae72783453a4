//! A data directory whose files were changed in any way: opening it never panics, and either
//! refuses or shows a beginning of what was written, in which nothing is altered.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use escrow_vault::domain::id::Bytes;
use escrow_vault::domain::stream::Stream;
use escrow_vault::ledger::{Entry, LabelKey};
use escrow_vault::store::{
    Batch, Blob, DiskStore, Options, Projector, ReadError, ReadRecord, Records, Store as _,
};
use libfuzzer_sys::fuzz_target;

struct NoRecords;

impl Projector for NoRecords {
    fn project(&self, _: &Entry, _: ReadRecord<'_>) -> Result<Records, ReadError> {
        Ok(Vec::new())
    }
}

fn options() -> Options<'static> {
    Options {
        segment_bytes_max: 1_000,
        cache_bytes: 1 << 20,
        reserve_bytes: 0,
        ..Options::default()
    }
}

/// Every file of a journal of several segments, with the entries it was made of.
static WRITTEN: LazyLock<(Vec<(PathBuf, Vec<u8>)>, Vec<Entry>)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let begun = Options { may_begin: true, ..options() };
    let store = DiskStore::open(dir.path(), &NoRecords, &begun).unwrap();
    for number in 0..12u8 {
        let position = store.ledger_size();
        let entry = Entry {
            position,
            stream: Stream::Vault,
            sequence: position + 1,
            label_key: LabelKey([1; 32]),
            salt: Bytes([number; 32]),
            payload: vec![number; 80],
        };
        let blobs = vec![Blob { name: format!("b{number}"), bytes: vec![number; 50] }];
        let expected = vec![(Stream::Vault, position)];
        let (entries, bundles, records) = (vec![entry], Vec::new(), Vec::new());
        let batch = Batch { expected, entries, blobs, bundles, records };
        store.commit(batch).unwrap();
    }
    let entries = store.read_ledger(0, 100).unwrap();
    store.close().unwrap();
    let listed = fs::read_dir(dir.path().join("journal")).unwrap();
    let mut files: Vec<_> = listed
        .map(|item| {
            let item = item.unwrap();
            (Path::new("journal").join(item.file_name()), fs::read(item.path()).unwrap())
        })
        .collect();
    files.sort();
    (files, entries)
});

// Each four bytes change something: which file, how, where.
fuzz_target!(|changes: &[u8]| {
    let (mut files, entries) = WRITTEN.clone();
    for change in changes.chunks_exact(4).take(16) {
        let count = files.len();
        if count == 0 {
            break;
        }
        let which = usize::from(change[0]) % count;
        let (_, bytes) = &mut files[which];
        let at = usize::from(u16::from_be_bytes([change[2], change[3]]));
        let at = if bytes.is_empty() { 0 } else { at % bytes.len() };
        match change[1] % 8 {
            0..4 if !bytes.is_empty() => bytes[at] ^= 1 << (change[1] >> 5),
            4 => bytes.truncate(at),
            5 => bytes.extend(vec![change[2]; usize::from(change[3])]),
            6 => drop(files.remove(which)),
            7 => {
                let other = files[at % count].1.clone();
                files[which].1 = other;
            }
            _ => {}
        }
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("journal")).unwrap();
    for (path, bytes) in &files {
        fs::write(dir.path().join(path), bytes).unwrap();
    }
    drop(DiskStore::verify(dir.path(), &mut |_| (), &|_, _| ()));
    let Ok(store) = DiskStore::open(dir.path(), &NoRecords, &options()) else { return };
    let size = store.ledger_size();
    assert!(size <= entries.len() as u64, "nothing is invented");
    for position in 0..size {
        if let Ok(read) = store.read_ledger(position, 1) {
            assert_eq!(read, entries[position as usize..][..1], "what is read is what was written");
        }
    }
});
