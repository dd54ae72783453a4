//! What others show of a log: keys, checkpoints, proofs, tiles and receipts. Never panics, has one
//! spelling, and proves nothing that the log has not signed.
#![no_main]

use std::fmt::Display;
use std::io::Write as _;
use std::str::FromStr;

use escrow_vault::client::receipt::{read, verify, write};
use escrow_vault::crypto::note::NoteKey;
use escrow_vault::domain::id::Bytes;
use escrow_vault::ledger::checkpoint::Checkpoint;
use escrow_vault::ledger::merkle::{check_consistency, check_inclusion};
use escrow_vault::ledger::proof::Proof;
use escrow_vault::ledger::tile::Tile;
use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    has_one_spelling::<Tile>(&text);
    has_one_spelling::<Checkpoint>(&text);
    has_one_spelling::<NoteKey>(&text);
    // Nobody has signed anything with this key.
    let key = NoteKey::new("vault.example/1", Bytes([7; 32])).unwrap();
    assert!(key.verify(&text).is_err());
    if let Some(proof) = has_one_spelling::<Proof>(&text) {
        let (leaf, root) = (Bytes([1; 32]), Bytes([2; 32]));
        for size in [0, 1, proof.position, u64::MAX] {
            assert!(check_inclusion(proof.position, &leaf, size, &proof.hashes, &root).is_err());
            let (one, other) = ((proof.position, &leaf), (size, &root));
            assert!(check_consistency(one, other, &proof.hashes).is_err());
        }
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    packed.write_all(bytes).unwrap();
    for archive in [bytes, &packed.finish().unwrap()] {
        if let Ok(receipt) = read(archive) {
            let _ = verify(&receipt);
            let mut again = Vec::new();
            write(&receipt, &mut again).unwrap();
            assert_eq!(read(again.as_slice()).unwrap(), receipt);
        }
    }
});

fn has_one_spelling<T: FromStr + Display>(text: &str) -> Option<T> {
    let read = text.parse::<T>().ok()?;
    assert_eq!(read.to_string(), text);
    Some(read)
}
