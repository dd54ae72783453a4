//! Sealed payloads that were cut, lengthened, altered and shuffled: opening never panics, gives out
//! nothing that was not sealed, and comes to an end only with the very file that was sealed.
#![no_main]

use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;

use age_core::format::FileKey;
use escrow_vault::crypto::payload::{Digests, NONCE_BYTES, Opening, PayloadKey, Sealing};
use libfuzzer_sys::fuzz_target;

const NONCE: [u8; NONCE_BYTES] = [6; NONCE_BYTES];
/// Some chunks more than are sealed at a time.
const TEXT_BYTES_MAX: usize = 6 * 64 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let [a, b, c, threads, edits @ ..] = bytes else { return };
    let size = u32::from_be_bytes([0, *a, *b, *c]) as usize % TEXT_BYTES_MAX;
    let threads = NonZeroUsize::new(usize::from(threads % 3) + 1).unwrap();
    let text: Vec<u8> = (0..size).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect();
    let key = || PayloadKey::new(&FileKey::init_with_mut(|key| *key = [5; 16]), &NONCE).unwrap();
    let mut sealing = Sealing::new(key(), vec![], Digests::ALL, threads, Vec::new()).unwrap();
    sealing.write_all(&text).unwrap();
    let (_, sealed) = sealing.finish().unwrap();

    let file = edits.chunks_exact(8).fold(sealed.clone(), edited);
    let mut opening = Opening::new(key(), &[], Digests::ALL, threads, file.as_slice());
    let mut opened = Vec::new();
    let read = opening.read_to_end(&mut opened);
    assert!(text.starts_with(&opened), "what is given out was sealed, in this order");
    assert_eq!(read.is_ok(), file == sealed, "all of it, and nothing else");
    assert_eq!(opening.finish().is_ok(), file == sealed);
});

/// One change: what, where, and how much or what with.
fn edited(file: Vec<u8>, edit: &[u8]) -> Vec<u8> {
    let [what, a, b, c, more @ ..] = edit else { return file };
    let at = u32::from_be_bytes([0, *a, *b, *c]) as usize % (file.len() + 1);
    let count = usize::from(more[0]) << (more[1] % 16);
    let end = (at + count).min(file.len());
    let (before, piece, after) = (&file[..at], &file[at..end], &file[end..]);
    match what % 5 {
        0 => [before, &piece.iter().map(|byte| byte ^ more[2]).collect::<Vec<_>>(), after].concat(),
        1 => [before, after].concat(),
        2 => [before, piece, piece, after].concat(),
        3 => [before, more, piece, after].concat(),
        _ => [piece, before, after].concat(),
    }
}
