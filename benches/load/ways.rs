//! The two ways a bundle can be stored, both through the store itself: riding in the journal with its
//! event, or as a file with its sums.
//!
//! Batches of 64, as 64 callers make them; where it is files, 64 threads write and sync them, as calls
//! do. In the journal a bundle of more than a blob may have is made of several blobs here, which comes
//! to the same bytes and syncs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use escrow_vault::crypto::signature::sha256;
use escrow_vault::domain::id::{AgreementId, Bytes, DepositId};
use escrow_vault::domain::stream::Stream;
use escrow_vault::ledger::{Entry, LabelKey};
use escrow_vault::store::{
    Batch, Blob, DiskStore, Options, Projector, ReadError, ReadRecord, Records, Staged as _, Store,
    Upload,
};

use crate::common::disk;

const BATCH: u64 = 64;
const BATCHES: u64 = 4;
/// As long as the event of a deposit is.
const EVENT_BYTES: usize = 2_200;

/// Where bundles are put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Journal,
    Files,
}

/// What storing them came to.
pub(crate) struct Stored {
    pub(crate) per_second: f64,
    /// Bytes written to the disk for each of the bundles' own; of everybody's, so measured alone.
    pub(crate) amplification: f64,
}

/// Stores bundles of so many bytes.
pub(crate) fn store(way: Way, bytes: usize) -> Stored {
    let dir = disk::directory("ways");
    let options = Options { reserve_bytes: 0, may_begin: true, ..Options::default() };
    let store = DiskStore::open(dir.path(), &Nothing, &options).unwrap();
    rustix::fs::sync();
    let before = written(dir.path());
    let began = Instant::now();
    for _ in 0..BATCHES {
        store.commit(batch(&store, way, bytes)).unwrap();
    }
    let per_second = (BATCHES * BATCH) as f64 / began.elapsed().as_secs_f64();
    store.settle().unwrap();
    rustix::fs::sync();
    let written = written(dir.path()) - before;
    let amplification = written as f64 / (BATCHES * BATCH * bytes as u64) as f64;
    Stored { per_second, amplification }
}

fn batch(store: &DiskStore, way: Way, bytes: usize) -> Batch<<DiskStore as Store>::Staged> {
    let first = store.ledger_size();
    let numbers = first..first + BATCH;
    let ids: Vec<DepositId> = numbers
        .clone()
        .map(|number| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            DepositId::of(&Bytes(digest))
        })
        .collect();
    let entries = numbers.map(|position| Entry {
        position,
        stream: Stream::Vault,
        sequence: position + 1,
        label_key: LabelKey([1; 32]),
        salt: Bytes([2; 32]),
        payload: vec![b'x'; EVENT_BYTES],
    });
    let (mut blobs, mut bundles) = (Vec::new(), Vec::new());
    match way {
        Way::Journal => {
            blobs.extend(ids.iter().flat_map(|id| {
                let pieces = (0..bytes).step_by(Blob::BYTES_MAX);
                pieces.map(move |at| Blob {
                    name: format!("{id}/{at}"),
                    bytes: vec![7; Blob::BYTES_MAX.min(bytes - at)],
                })
            }));
        }
        Way::Files => {
            let staged = std::thread::scope(|scope| {
                let written = ids.iter().map(|id| {
                    scope.spawn(move || {
                        let upload = Upload {
                            member: "hanbit-parts/minji".parse().unwrap(),
                            agreement: AgreementId::of(&Bytes([1; 32])),
                            header_sha256: sha256(id.as_str().as_bytes()),
                            size: bytes as u64,
                        };
                        let mut staged = store.stage(&upload).unwrap();
                        staged.write(&vec![7; bytes]).unwrap();
                        staged.sync().unwrap();
                        staged
                    })
                });
                let written: Vec<_> = written.collect();
                written.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            bundles.extend(ids.into_iter().zip(staged));
        }
    }
    let (expected, records, entries) = (Vec::new(), Vec::new(), entries.collect());
    Batch { expected, entries, blobs, bundles, records }
}

/// Bytes that were written to the disk that has this directory, since the machine started.
fn written(dir: &Path) -> u64 {
    /// What the kernel counts in, whatever the disk has.
    const SECTOR_BYTES: u64 = 512;
    let device = fs::metadata(dir).unwrap().dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap();
    // The seventh field: sectors written (Documentation/block/stat.rst).
    stat.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap() * SECTOR_BYTES
}

/// Makes no records.
struct Nothing;

impl Projector for Nothing {
    fn project(&self, _: &Entry, _: ReadRecord<'_>) -> Result<Records, ReadError> {
        Ok(Records::new())
    }
}
