//! Files made by hand, byte by byte, so that each can be wrong in one place: what the strict parser
//! lets pass, the `age` crate has to refuse.

use age_core::primitives::{aead_encrypt, hkdf};
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use curve25519_dalek::Scalar;
use hmac::{Hmac, Mac};
use rand_core::OsRng;
use sha2::Sha256;

use super::*;
use crate::crypto::payload::threads;
use crate::crypto::point;
use crate::crypto::release_key::tests::organisations;
use crate::crypto::release_key::{deal, number};

const CHUNK_BYTES: usize = 64 * 1024;
const FILE_KEY: [u8; FILE_KEY_BYTES] = [5; FILE_KEY_BYTES];
const NONCE: [u8; 16] = [6; 16];

/// A release key, and the secret that one file's point makes with it.
struct Lock {
    key: ReleaseKey,
    ephemeral: Element,
    shared: [u8; 32],
}

impl Lock {
    fn new() -> Self {
        let names = organisations(2);
        let dealt = deal(&names, 2, &mut OsRng).unwrap();
        let key = ReleaseKey::check(&dealt.commitment, 2, &number(&names)).unwrap();
        let e = Scalar::random(&mut OsRng);
        let ephemeral = point::u_coordinate(&curve25519_dalek::EdwardsPoint::mul_base(&e));
        let shared = point::u_coordinate(&(e * key.point())).0;
        Self { key, ephemeral, shared }
    }

    fn wrapped(&self, file_key: &[u8]) -> Vec<u8> {
        aead_encrypt(
            &wrapping_key(&self.ephemeral, &self.key.u_coordinate(), &self.shared),
            file_key,
        )
    }

    /// A header with this stanza body, and more stanzas before it.
    fn header(&self, before: &str, body: &[u8]) -> String {
        let base64 = |bytes: &[u8]| BASE64_STANDARD_NO_PAD.encode(bytes);
        let (point, body) = (base64(&self.ephemeral.0), base64(body));
        let text = format!("age-encryption.org/v1\n{before}-> X25519 {point}\n{body}\n---");
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(&hkdf(&[], b"header", &FILE_KEY)).unwrap();
        mac.update(text.as_bytes());
        format!("{text} {}\n", base64(&mac.finalize().into_bytes()))
    }

    fn good_header(&self) -> String {
        self.header("", &self.wrapped(&FILE_KEY))
    }

    fn open(&self, file: &[u8]) -> Result<Vec<u8>, String> {
        let header = Header::parse(file).map_err(|fault| fault.to_string())?;
        let header = header.ok_or("truncated")?;
        let secret = SharedSecret::new(Zeroizing::new(self.shared));
        let opened = open(&secret, &self.key, &header, Digests::ALL, threads(), file);
        let mut plaintext = Vec::new();
        let read = opened.map_err(|fault| fault.to_string())?.read_to_end(&mut plaintext);
        read.map(|_| plaintext).map_err(|fault| fault.to_string())
    }
}

/// A chunk of the payload, sealed as the one of this number.
fn chunk(plaintext: &[u8], number: u8, is_last: bool) -> Vec<u8> {
    let key = hkdf(&NONCE, b"payload", &FILE_KEY);
    let mut nonce = [0; 12];
    (nonce[10], nonce[11]) = (number, is_last.into());
    ChaCha20Poly1305::new(&key.into()).encrypt(&nonce.into(), plaintext).unwrap()
}

#[test]
fn a_payload_opens_whole_and_in_order_or_not_at_all() {
    let lock = Lock::new();
    let full = |number| chunk(&[number; CHUNK_BYTES], number, false);
    let (last, text) = (chunk(b"end", 2, true), b"end".to_vec());
    let whole = [[0; CHUNK_BYTES].to_vec(), [1; CHUNK_BYTES].to_vec(), text.clone()].concat();
    let flipped = |mut sealed: Vec<u8>| {
        sealed[7] ^= 1;
        sealed
    };
    let cut = |sealed: Vec<u8>, by: usize| sealed[..sealed.len() - by].to_vec();
    for (what, payload, opens) in [
        ("whole", vec![full(0), full(1), last.clone()], Some(whole)),
        ("one short chunk", vec![chunk(b"end", 0, true)], Some(text)),
        ("an empty payload", vec![chunk(b"", 0, true)], Some(Vec::new())),
        (
            "a full last chunk",
            vec![chunk(&[9; CHUNK_BYTES], 0, true)],
            Some([9; CHUNK_BYTES].to_vec()),
        ),
        ("no chunk", vec![], None),
        ("a tag cut short", vec![cut(chunk(b"", 0, true), 1)], None),
        ("the first chunk altered", vec![flipped(full(0)), full(1), last.clone()], None),
        ("the second chunk altered", vec![full(0), flipped(full(1)), last.clone()], None),
        ("the last chunk altered", vec![full(0), full(1), flipped(last.clone())], None),
        ("two chunks swapped", vec![full(1), full(0), last.clone()], None),
        ("a chunk twice", vec![full(0), full(0), last.clone()], None),
        ("a chunk left out", vec![full(0), last.clone()], None),
        ("cut within the last chunk", vec![full(0), full(1), cut(last.clone(), 1)], None),
        ("cut between chunks", vec![full(0), full(1)], None),
        ("cut within a chunk", vec![full(0), cut(full(1), 100)], None),
        ("no chunk is the last, and it is short", vec![full(0), chunk(b"end", 1, false)], None),
        (
            "a short chunk in the middle",
            vec![chunk(b"end", 0, false), chunk(b"end", 1, true)],
            None,
        ),
        ("an empty last chunk behind a full one", vec![full(0), chunk(b"", 1, true)], None),
        ("a chunk behind the last", vec![chunk(b"end", 0, true), chunk(b"end", 1, true)], None),
        (
            "a chunk behind a full last one",
            vec![chunk(&[9; CHUNK_BYTES], 0, true), chunk(b"end", 1, true)],
            None,
        ),
        ("a byte behind the last chunk", vec![full(0), full(1), last, vec![0]], None),
    ] {
        let file = [lock.good_header().as_bytes(), &NONCE, &payload.concat()].concat();
        let opened = lock.open(&file);
        assert_eq!(opened.clone().ok(), opens, "{what}: {:?}", opened.err());
    }
    for cut in 0..NONCE.len() {
        let file = [lock.good_header().as_bytes(), &NONCE[..cut]].concat();
        assert!(lock.open(&file).is_err(), "the nonce is cut to {cut} bytes");
    }
}

#[test]
fn headers_that_only_the_key_finds_false_do_not_open() {
    let lock = Lock::new();
    let good = lock.good_header();
    let mut other_tag = lock.wrapped(&FILE_KEY);
    other_tag[31] ^= 1;
    let greased = lock.header("-> a-grease\n\n", &lock.wrapped(&FILE_KEY));
    let other_mac = good.trim_end().rsplit_once(' ').unwrap().0.to_owned()
        + &format!(" {}\n", BASE64_STANDARD_NO_PAD.encode([9; 32]));
    for (what, header, opens) in [
        ("good", good, true),
        ("grease under the MAC", greased.clone(), true),
        ("grease taken away", greased.replace("-> a-grease\n\n", ""), false),
        ("another MAC", other_mac, false),
        ("a wrapped key that was altered", lock.header("", &other_tag), false),
        ("a file key of another length", lock.header("", &lock.wrapped(&[5; 24])), false),
    ] {
        let file = [header.as_bytes(), &NONCE, &chunk(b"end", 0, true)].concat();
        let opened = lock.open(&file);
        assert_eq!(opened.is_ok(), opens, "{what}: {:?}", opened.err());
    }
    assert!(Lock::new().open(&[lock.good_header().as_bytes(), &NONCE].concat()).is_err());
}

#[test]
fn no_header_reaches_the_age_crate_that_was_not_read_and_stated() {
    let lock = Lock::new();
    let good = lock.good_header();
    let stated = Header::parse(good.as_bytes()).unwrap().unwrap();
    let secret = SharedSecret::new(Zeroizing::new(lock.shared));
    let file = |header: &str| [header.as_bytes(), &NONCE, &chunk(b"end", 0, true)].concat();
    let open = |bytes: Vec<u8>| {
        open(&secret, &lock.key, &stated, Digests::ALL, threads(), bytes.as_slice()).err()
    };
    assert!(open(file(&good)).is_none());
    let greased = lock.header("-> a-grease\n\n", &lock.wrapped(&FILE_KEY));
    assert!(matches!(open(file(&greased)), Some(OpenFault::OtherHeader)));
    let endless = format!("age-encryption.org/v1\n{}", "-> a-grease\n\n".repeat(1 << 16));
    let fault = open(file(&endless));
    assert!(matches!(fault, Some(OpenFault::Header(HeaderFault::TooManyStanzas))), "{fault:?}");
    let long = format!("age-encryption.org/v1\n-> a-grease {}", "x".repeat(1 << 20));
    assert!(matches!(open(file(&long)), Some(OpenFault::Header(HeaderFault::TooLong))));
    let short = good.as_bytes()[..60].to_vec();
    assert!(matches!(open(short), Some(OpenFault::Header(HeaderFault::Truncated))));
}
