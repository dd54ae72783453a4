//! Held beside the format as written down: an AEAD of another make, chunk by chunk, and the `age` crate.

use std::collections::HashSet;
use std::io::{Read, Write as _};
use std::iter;

use age_core::format::{FILE_KEY_BYTES, Stanza};
use bytes::Bytes as Buffer;
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use proptest::prelude::*;

use super::seal::BATCH_BYTES;
use super::*;
use crate::crypto::signature::sha256;

/// What is sealed together; it is opened in several batches.
const BATCH: usize = SEALED_TOGETHER * CHUNK_BYTES;
const NONCE: [u8; NONCE_BYTES] = [6; NONCE_BYTES];

/// Where something ends or begins, with its neighbours.
const SIZES: [usize; 18] = [
    0,
    1,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    2 * CHUNK_BYTES - 1,
    2 * CHUNK_BYTES,
    2 * CHUNK_BYTES + 1,
    OPENED_TOGETHER * CHUNK_BYTES,
    OPENED_TOGETHER * CHUNK_BYTES + 1,
    BATCH - CHUNK_BYTES + 1,
    BATCH - 1,
    BATCH,
    BATCH + 1,
    BATCH + CHUNK_BYTES,
    2 * BATCH,
    2 * BATCH + 1,
    9 * BATCH + 3 * CHUNK_BYTES + 7,
];

fn some(threads: usize) -> NonZeroUsize {
    NonZeroUsize::new(threads).unwrap()
}

fn file_key() -> FileKey {
    FileKey::init_with_mut(|key| *key = [5; FILE_KEY_BYTES])
}

fn key() -> PayloadKey {
    PayloadKey::new(&file_key(), &NONCE).unwrap()
}

/// No two chunks of it are alike.
fn text(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Vec<Buffer>);

impl Sink for Kept {
    fn take(&mut self, piece: Buffer) -> io::Result<()> {
        self.0.push(piece);
        Ok(())
    }
}

fn seal(text: &[u8], piece: usize, threads: usize) -> (Passed, Vec<u8>) {
    let mut sealing =
        Sealing::new(key(), NONCE.into(), Digests::ALL, some(threads), Kept::default()).unwrap();
    for piece in text.chunks(piece.max(1)) {
        sealing.write_all(piece).unwrap();
    }
    let (passed, Kept(pieces)) = sealing.finish().unwrap();
    assert!(pieces.iter().skip(1).rev().skip(1).all(|piece| piece.len() == BATCH_BYTES));
    (passed, pieces.concat())
}

fn opening(file: &[u8], threads: usize) -> Opening<&[u8]> {
    let (nonce, chunks) = file.split_at(NONCE_BYTES);
    Opening::new(key(), nonce, Digests::ALL, some(threads), chunks)
}

/// What was read before it ended, or failed.
fn open(file: &[u8], threads: usize) -> (Vec<u8>, Result<Passed, io::Error>) {
    let mut opening = opening(file, threads);
    let mut text = Vec::new();
    let read = opening.read_to_end(&mut text);
    (text, read.and_then(|_| opening.finish()))
}

fn fault(outcome: Result<Passed, io::Error>) -> Option<PayloadFault> {
    outcome.err()?.into_inner()?.downcast::<PayloadFault>().ok().map(|fault| *fault)
}

/// A chunk as the format has it.
fn chunk(text: &[u8], number: u64, is_last: bool) -> Vec<u8> {
    let key = hkdf(&NONCE, b"payload", &[5; FILE_KEY_BYTES]);
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = is_last.into();
    ChaCha20Poly1305::new(&key.into()).encrypt(&nonce.into(), text).unwrap()
}

#[test]
fn payloads_are_what_the_format_says() {
    for size in SIZES {
        let text = text(size);
        let chunks: Vec<_> = match size {
            0 => vec![&text[..]],
            _ => text.chunks(CHUNK_BYTES).collect(),
        };
        let sealed = (0..)
            .zip(&chunks)
            .map(|(number, text)| chunk(text, number, number + 1 == chunks.len() as u64));
        let expected = [NONCE.to_vec(), sealed.collect::<Vec<_>>().concat()].concat();
        assert_eq!(sealed_size(size as u64), expected.len() as u64, "{size} bytes");
        assert_eq!(plaintext_size(expected.len() as u64), Some(size as u64), "{size} bytes");
        for threads in 1..=3 {
            let (passed, file) = seal(&text, 10_007, threads);
            assert!(file == expected, "{size} bytes over {threads} threads");
            let through = Passed {
                size: expected.len() as u64,
                sha256: Some(sha256(&expected)),
                plaintext_size: size as u64,
                plaintext_sha256: Some(sha256(&text)),
            };
            assert_eq!(passed, through, "{size} bytes over {threads} threads");
            let (opened, passed) = open(&file, threads);
            assert!(opened == text, "{size} bytes over {threads} threads");
            assert_eq!(passed.unwrap(), through, "{size} bytes over {threads} threads");
        }
    }
}

#[test]
fn no_other_size_divides_into_chunks() {
    let sizes: HashSet<_> = (0..3 * CHUNK_BYTES as u64).map(sealed_size).collect();
    for size in 0..sealed_size(3 * CHUNK_BYTES as u64 - 1) {
        assert_eq!(plaintext_size(size).is_some(), sizes.contains(&size), "{size} bytes");
    }
}

/// Gives the file key away, in both directions.
struct Open;

impl age::Recipient for Open {
    fn wrap_file_key(
        &self,
        key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let body = key.expose_secret().to_vec();
        Ok((vec![Stanza { tag: "open".into(), args: vec![], body }], HashSet::new()))
    }
}

impl age::Identity for Open {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let body = stanza.body.as_slice().try_into().ok()?;
        Some(Ok(FileKey::init_with_mut(|key| *key = body)))
    }
}

/// A file of the `age` crate, and where its payload begins.
fn sealed_by_age(text: &[u8]) -> (Vec<u8>, usize) {
    let encryptor = age::Encryptor::with_recipients(iter::once(&Open as _)).unwrap();
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).unwrap();
    writer.write_all(text).unwrap();
    writer.finish().unwrap();
    let end = sealed_size(text.len() as u64) as usize;
    let payload = file.len() - end;
    (file, payload)
}

fn opened_by_age(file: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let decryptor = age::Decryptor::new_buffered(file).unwrap();
    decryptor.decrypt(iter::once(&Open as _)).unwrap().read_to_end(&mut text).unwrap();
    text
}

#[test]
fn the_age_crate_opens_what_is_sealed_here_and_seals_what_opens_here() {
    for size in SIZES {
        let text = text(size);
        let (theirs, payload) = sealed_by_age(&text);
        let (begin, chunks) = theirs.split_at(payload + NONCE_BYTES);
        // Its key lies open behind the stanza's first line.
        let mut key = None;
        let stanza = String::from_utf8_lossy(&begin[..payload]).lines().nth(2).map(str::to_owned);
        let body =
            base64::Engine::decode(&base64::prelude::BASE64_STANDARD_NO_PAD, stanza.unwrap());
        let file_key = FileKey::init_with_mut(|to| to.copy_from_slice(&body.unwrap()));
        let nonce = *begin.last_chunk().unwrap();
        let new = || PayloadKey::new(&file_key, &nonce).unwrap();
        let mut opening = Opening::new(new(), begin, Digests::ALL, some(2), chunks);
        opening.read_to_end(key.insert(Vec::new())).unwrap();
        assert!(key.unwrap() == text, "{size} bytes of the age crate's");
        assert_eq!(opening.finish().unwrap().sha256, Some(sha256(&theirs)));

        let before = begin.to_vec();
        let mut sealing = Sealing::new(new(), before, Digests::ALL, some(2), Vec::new()).unwrap();
        sealing.write_all(&text).unwrap();
        let (_, ours) = sealing.finish().unwrap();
        assert!(ours == theirs, "one key and nonce, and the same bytes");
        assert!(opened_by_age(&ours) == text, "{size} bytes of ours");
    }
}

#[test]
fn what_was_cut_lengthened_or_altered_is_refused_where_it_was() {
    use PayloadFault::{Altered, CutOff, EmptyLast, Trailing, Truncated};
    const S: usize = SEALED_BYTES;
    let size = (2 * OPENED_TOGETHER + 1) * CHUNK_BYTES + 5;
    let text = text(size);
    let (_, whole) = seal(&text, size, 1);
    let whole_chunks = &whole[NONCE_BYTES..];
    let cut = |at: usize| whole_chunks[..at].to_vec();
    let with = |more: &[u8]| [whole_chunks, more].concat();
    let flipped = |at: usize| {
        let mut chunks = whole_chunks.to_vec();
        chunks[at] ^= 1;
        chunks
    };
    let full = |number: u64, is_last| {
        let begin = number as usize * CHUNK_BYTES;
        chunk(&text[begin..begin + CHUNK_BYTES], number, is_last)
    };
    let end = whole_chunks.len();
    for (what, chunks, expected) in [
        ("nothing", cut(0), Truncated(0)),
        ("a byte", cut(1), Truncated(0)),
        ("less than a tag", cut(15), Truncated(0)),
        ("as much as a tag", cut(16), Altered(0)),
        ("the first chunk less a byte", cut(S - 1), Altered(0)),
        ("the first chunk", cut(S), CutOff(0)),
        ("the first chunk and a byte", cut(S + 1), Truncated(1)),
        ("the first chunk and a tag", cut(S + 16), EmptyLast(1)),
        ("the first chunk and more than a tag", cut(S + 17), Altered(1)),
        ("a batch less a byte", cut(4 * S - 1), Altered(3)),
        ("a batch", cut(4 * S), CutOff(3)),
        ("a batch and a byte", cut(4 * S + 1), Truncated(4)),
        ("a batch and a tag", cut(4 * S + 16), EmptyLast(4)),
        ("two batches", cut(8 * S), CutOff(7)),
        ("all but the last chunk", cut(9 * S), CutOff(8)),
        ("all but the last chunk's end", cut(end - 1), Altered(9)),
        ("all but most of the last chunk", cut(9 * S + 16), EmptyLast(9)),
        ("a byte more", with(&[0]), Altered(9)),
        ("a chunk more", with(&chunk(b"more", 10, true)), Altered(9)),
        ("the first byte altered", flipped(0), Altered(0)),
        ("a tag altered", flipped(S - 1), Altered(0)),
        ("the second chunk altered", flipped(S), Altered(1)),
        ("the last chunk of a batch altered", flipped(4 * S - 1), Altered(3)),
        ("the first chunk of a batch altered", flipped(4 * S), Altered(4)),
        ("the last chunk altered", flipped(9 * S), Altered(9)),
        ("the last byte altered", flipped(end - 1), Altered(9)),
        ("two chunks swapped", [full(1, false), full(0, false)].concat(), Altered(0)),
        ("a chunk twice", [full(0, false), full(0, false)].concat(), Altered(1)),
        ("a chunk behind a full last one", [full(0, true), full(1, true)].concat(), Trailing(0)),
        ("a byte behind a full last one", [full(0, true), vec![7]].concat(), Trailing(0)),
        ("an empty last one", [full(0, false), chunk(b"", 1, true)].concat(), EmptyLast(1)),
        ("an empty one that is not the last", chunk(b"", 0, false), CutOff(0)),
        ("a short one that is not the last", chunk(b"end", 0, false), CutOff(0)),
        (
            "a batch that ends the payload, and more",
            [0, 1, 2, 3].map(|n| full(n, n == 3)).concat().into_iter().chain([7]).collect(),
            Trailing(3),
        ),
    ] {
        for threads in 1..=3 {
            let (read, outcome) = open(&[&NONCE[..], &chunks].concat(), threads);
            assert_eq!(fault(outcome), Some(expected), "{what}, {threads} threads");
            let (Altered(at) | CutOff(at) | EmptyLast(at) | Trailing(at) | Truncated(at)) =
                expected;
            assert!(read.len() <= at as usize * CHUNK_BYTES, "{what}: given out too much");
            assert!(text.starts_with(&read), "{what}: given out what was not sealed");
        }
    }
}

#[test]
fn a_fault_stays_and_a_payload_is_whole_only_when_it_was_read_to_its_end() {
    let (_, mut file) = seal(&text(3 * BATCH), BATCH, 1);
    let mut opening = self::opening(&file, 2);
    opening.read_exact(&mut vec![0; 3 * BATCH - 1]).unwrap();
    assert!(opening.finish().is_err(), "a byte is left");
    file[NONCE_BYTES] ^= 1;
    let mut opening = self::opening(&file, 2);
    for _ in 0..3 {
        let read = opening.read(&mut [0; 10]);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    assert!(opening.finish().is_err());
}

/// Fails every second time, and gives little otherwise.
struct Halting<'a>(&'a [u8], bool);

impl Read for Halting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        let little = buffer.len().min(50_021);
        if self.1 {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            self.0.read(&mut buffer[..little])
        }
    }
}

#[test]
fn a_source_that_fails_can_be_asked_again() {
    let text = text(3 * BATCH + 5);
    let (_, file) = seal(&text, BATCH, 1);
    for threads in 1..=2 {
        let from = Halting(&file[NONCE_BYTES..], false);
        let mut opening = Opening::new(key(), &NONCE, Digests::ALL, some(threads), from);
        let (mut opened, mut buffer) = (Vec::new(), vec![0; 100_003]);
        loop {
            match opening.read(&mut buffer) {
                Ok(0) => break,
                Ok(taken) => opened.extend_from_slice(&buffer[..taken]),
                Err(fault) => assert_eq!(fault.kind(), io::ErrorKind::TimedOut),
            }
        }
        assert!(opened == text);
        assert_eq!(opening.finish().unwrap().plaintext_size, text.len() as u64);
    }
}

/// Takes so many pieces.
struct Full(usize);

impl Sink for Full {
    fn take(&mut self, _: Buffer) -> io::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_ends_it_with_its_own_fault() {
    let text = text(BATCH);
    for (threads, pieces) in (1..=3).flat_map(|threads| (0..4).map(move |pieces| (threads, pieces)))
    {
        let all = || -> io::Result<()> {
            let mut sealing =
                Sealing::new(key(), NONCE.into(), Digests::ALL, some(threads), Full(pieces))?;
            // Far more than may be under way: it ends long before.
            for _ in 0..100_000 {
                sealing.write_all(&text)?;
            }
            sealing.finish().map(drop)
        };
        assert_eq!(all().unwrap_err().kind(), io::ErrorKind::StorageFull, "{threads}, {pieces}");
        let few = || -> io::Result<()> {
            let mut sealing =
                Sealing::new(key(), NONCE.into(), Digests::ALL, some(threads), Full(pieces))?;
            for _ in 0..pieces {
                sealing.write_all(&text)?;
            }
            sealing.finish().map(drop)
        };
        assert_eq!(few().unwrap_err().kind(), io::ErrorKind::StorageFull, "{threads}, {pieces}");
    }
}

#[test]
fn pieces_are_bounded_while_nobody_takes_them() {
    use std::sync::mpsc::{SyncSender, sync_channel};
    struct Slow(SyncSender<Buffer>);
    impl Sink for Slow {
        fn take(&mut self, piece: Buffer) -> io::Result<()> {
            self.0.send(piece).map_err(io::Error::other)
        }
    }
    let (to, from) = sync_channel(0);
    let threads = 2;
    let (told, written) = std::sync::mpsc::channel();
    let sealer = std::thread::spawn(move || {
        let mut sealing =
            Sealing::new(key(), NONCE.into(), Digests::ALL, some(threads), Slow(to)).unwrap();
        for _ in 0..50 {
            sealing.write_all(&text(BATCH)).unwrap();
            told.send(()).unwrap();
        }
        sealing.finish().unwrap();
    });
    let (mut pieces, mut batches) = (0, 0);
    for piece in from {
        pieces += usize::from(piece.len() > NONCE_BYTES);
        batches += written.try_iter().count();
        // Those that threads have, one that waits for them, and the one that is being filled.
        assert!(batches <= pieces + threads + 2, "{batches} batches for {pieces} pieces");
    }
    assert_eq!(pieces, 50);
    sealer.join().unwrap();
}

#[test]
fn what_is_dropped_half_way_ends_its_threads() {
    /// Held by whoever may still write into it.
    struct Held {
        _by: std::sync::Arc<()>,
    }
    impl Sink for Held {
        fn take(&mut self, _: Buffer) -> io::Result<()> {
            Ok(())
        }
    }
    for threads in 1..=3 {
        let held = std::sync::Arc::new(());
        let sink = Held { _by: held.clone() };
        let mut sealing =
            Sealing::new(key(), NONCE.into(), Digests::ALL, some(threads), sink).unwrap();
        sealing.write_all(&text(5 * BATCH)).unwrap();
        drop(sealing);
        assert_eq!(std::sync::Arc::strong_count(&held), 1, "{threads} threads");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn pieces_of_any_size_give_the_same_back(
        size in 0usize..5 * BATCH,
        pieces in proptest::collection::vec(1usize..3 * CHUNK_BYTES, 1..20),
        threads in 1usize..4,
    ) {
        let text = text(size);
        let mut sealing =
            Sealing::new(key(), NONCE.into(), Digests::ALL, some(threads), Vec::new()).unwrap();
        let mut left = text.as_slice();
        for piece in pieces.iter().cycle() {
            if left.is_empty() { break }
            let (now, later) = left.split_at(left.len().min(*piece));
            sealing.write_all(now).unwrap();
            left = later;
        }
        let (_, file) = sealing.finish().unwrap();
        prop_assert_eq!(file.len() as u64, sealed_size(size as u64));
        let mut opening = self::opening(&file, threads);
        let (mut opened, mut buffer) = (Vec::new(), vec![0; 3 * CHUNK_BYTES]);
        for piece in pieces.iter().cycle() {
            let taken = opening.read(&mut buffer[..*piece]).unwrap();
            if taken == 0 { break }
            opened.extend_from_slice(&buffer[..taken]);
        }
        prop_assert!(opened == text);
        prop_assert_eq!(opening.finish().unwrap().plaintext_sha256, Some(sha256(&text)));
    }

    #[test]
    fn no_payload_makes_it_panic(bytes: Vec<u8>, cut in 0usize..3 * CHUNK_BYTES, threads in 1usize..3) {
        let (_, sealed) = seal(&text(3 * CHUNK_BYTES), BATCH, 1);
        let file = [&sealed[..NONCE_BYTES + cut], &bytes[..]].concat();
        let (_, outcome) = open(&file, threads);
        prop_assert!(outcome.is_err());
    }
}
