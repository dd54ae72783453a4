//! `cargo bench --bench seal`: sealing and opening alone, each beside the same work done by others in
//! the same run. Medians of five, in turn; the ratio is theirs to ours, so more is better.
//!
//! Everything is read from one file that the system has in memory, and what comes out is thrown away: no
//! disk, no network. Takes Debian's `age` for the rows that name it. What is left out: `age`'s start,
//! some milliseconds, is in its figures, and the making of our header in none.
//!
//! "aws-lc alone" is the least that either way can take here: each chunk is read into a buffer, and sealed or
//! opened in its place.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is what it is for")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong while measuring ends it"
)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::iter;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret as _;
use age_core::format::{FileKey, Stanza};
use age_core::primitives::hkdf;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use escrow_vault::crypto::payload::{Digests, NONCE_BYTES, Opening, PayloadKey, Sealing};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};

const RUNS: usize = 5;
/// Read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// age's chunks, and how many of them are in 1 GiB.
const CHUNK_BYTES: usize = 64 * 1024;
const CHUNKS: u64 = (1 << 30) / CHUNK_BYTES as u64;
const NO_DIGESTS: Digests = Digests { plaintext: false, file: false };
const PLAINTEXT: Digests = Digests { plaintext: true, file: false };

fn main() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let dir = tempfile::Builder::new().prefix("seal").tempdir_in(place).unwrap();
    let files = Files::new(dir.path());
    println!(
        "{:<46} {:>12} {:<30} {:>12} {:>6}",
        "seconds for 1 GiB", "ours", "", "theirs", "ratio"
    );
    let [one, two] = [1, 2].map(|threads| NonZeroUsize::new(threads).unwrap());
    let cpu = |cost: Cost| cost.cpu;
    let wall = |cost: Cost| cost.wall;
    let rows: [Row<'_>; 11] = [
        ("seal, one thread", cpu, &|| files.seal(NO_DIGESTS, one), "the age crate", &|| {
            files.seal_by_age_crate(NO_DIGESTS)
        }),
        ("open, one thread", cpu, &|| files.open(NO_DIGESTS, one), "the age crate", &|| {
            files.open_by_age_crate(NO_DIGESTS)
        }),
        ("seal, one thread", cpu, &|| files.seal(NO_DIGESTS, one), "aws-lc alone", &|| {
            files.seal_barely()
        }),
        ("open, one thread", cpu, &|| files.open(NO_DIGESTS, one), "aws-lc alone", &|| {
            files.open_barely()
        }),
        (
            "seal with both digests, one thread",
            cpu,
            &|| files.seal(Digests::ALL, one),
            "the age crate, and both digests",
            &|| files.seal_by_age_crate(Digests::ALL),
        ),
        (
            "open with the plaintext's digest, one thread",
            cpu,
            &|| files.open(PLAINTEXT, one),
            "the age crate, and the digest",
            &|| files.open_by_age_crate(PLAINTEXT),
        ),
        ("seal, processor time", cpu, &|| files.seal(NO_DIGESTS, one), "age -r", &|| {
            files.seal_by_age()
        }),
        ("open, processor time", cpu, &|| files.open(NO_DIGESTS, one), "age -d", &|| {
            files.open_by_age()
        }),
        ("seal, two threads", wall, &|| files.seal(NO_DIGESTS, two), "ours, one thread", &|| {
            files.seal(NO_DIGESTS, one)
        }),
        (
            "seal with both digests, two threads",
            wall,
            &|| files.seal(Digests::ALL, two),
            "ours, one thread",
            &|| files.seal(Digests::ALL, one),
        ),
        (
            "open with the plaintext's digest, two threads",
            wall,
            &|| files.open(PLAINTEXT, two),
            "ours, one thread",
            &|| files.open(PLAINTEXT, one),
        ),
    ];
    let has_age = Command::new("age").arg("--version").output().is_ok();
    for (what, figure, ours, whose, theirs) in rows {
        if whose.starts_with("age ") && !has_age {
            eprintln!("passed over: {what} beside `{whose}`; install Debian's `age`");
            continue;
        }
        let mut figures = [const { Vec::new() }; 2];
        for _ in 0..RUNS {
            figures[0].push(figure(ours()));
            figures[1].push(figure(theirs()));
        }
        let [ours, theirs] = figures.map(|mut figures| {
            figures.sort_unstable();
            figures[RUNS / 2].as_secs_f64()
        });
        let ratio = theirs / ours;
        println!("{what:<46} {ours:>12.2} {whose:<30} {theirs:>12.2} {ratio:>6.2}");
    }
}

/// What, which figure of it, ours, whose the other is, and the other.
type Row<'a> = (&'a str, fn(Cost) -> Duration, &'a dyn Fn() -> Cost, &'a str, &'a dyn Fn() -> Cost);

#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

/// Time of the wall, and of the processor for this process and those that it has waited for.
fn cost(work: impl FnOnce()) -> Cost {
    let own = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap();
    let (began, own_before, children_before) = (Instant::now(), own(), children());
    work();
    Cost { wall: began.elapsed(), cpu: own() - own_before + (children() - children_before) }
}

/// Processor time of children that were waited for. The kernel tells it in hundredths of a second.
fn children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis((ticks(13) + ticks(14)) * 10)
}

/// 1 GiB of plaintext, the same sealed, and the keys to it.
struct Files {
    plain: PathBuf,
    sealed: PathBuf,
    /// Up to the first chunk.
    begin: Vec<u8>,
    file_key: FileKey,
    identity: PathBuf,
    recipient: String,
    x25519: age::x25519::Identity,
}

impl Files {
    fn new(dir: &Path) -> Self {
        let [plain, sealed, identity] =
            ["plain", "sealed.age", "identity"].map(|name| dir.join(name));
        let mut noise = vec![0; 1 << 20];
        rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut noise);
        let mut file = File::create(&plain).unwrap();
        (0..1 << 10).for_each(|_| file.write_all(&noise).unwrap());
        let x25519 = age::x25519::Identity::generate();
        fs::write(&identity, x25519.to_string().expose_secret()).unwrap();
        let recipient = x25519.to_public();
        let encryptor =
            age::Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient)).unwrap();
        let mut writer = encryptor.wrap_output(File::create(&sealed).unwrap()).unwrap();
        pour(&plain, &mut writer);
        writer.finish().unwrap();
        let mut begin = vec![0; BUFFER_BYTES];
        File::open(&sealed).unwrap().read_exact(&mut begin).unwrap();
        let header = escrow_vault::crypto::header::Header::parse(&begin).unwrap().unwrap();
        begin.truncate(header.size + NONCE_BYTES);
        let learnt = Learnt { identity: &x25519, key: std::cell::OnceCell::new() };
        let decryptor = age::Decryptor::new_buffered(begin.as_slice()).unwrap();
        drop(decryptor.decrypt(iter::once(&learnt as &dyn age::Identity)).unwrap());
        let file_key = learnt.key.into_inner().unwrap();
        let recipient = recipient.to_string();
        Self { plain, sealed, begin, file_key, identity, recipient, x25519 }
    }

    fn key(&self) -> PayloadKey {
        PayloadKey::new(&self.file_key, self.begin.last_chunk().unwrap()).unwrap()
    }

    fn seal(&self, digests: Digests, threads: NonZeroUsize) -> Cost {
        let before = self.begin.clone();
        let mut sealing = Sealing::new(self.key(), before, digests, threads, io::sink()).unwrap();
        cost(|| {
            pour(&self.plain, &mut sealing);
            sealing.finish().unwrap();
        })
    }

    fn open(&self, digests: Digests, threads: NonZeroUsize) -> Cost {
        let mut file = File::open(&self.sealed).unwrap();
        let mut begin = self.begin.clone();
        file.read_exact(&mut begin).unwrap();
        let mut opening = Opening::new(self.key(), &begin, digests, threads, file);
        cost(|| {
            drain(&mut opening, |_| ());
            opening.finish().unwrap();
        })
    }

    fn bare_key(&self) -> LessSafeKey {
        let nonce: &[u8; NONCE_BYTES] = self.begin.last_chunk().unwrap();
        let key = hkdf(nonce, b"payload", self.file_key.expose_secret());
        LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).unwrap())
    }

    fn seal_barely(&self) -> Cost {
        let (key, mut file) = (self.bare_key(), File::open(&self.plain).unwrap());
        let mut chunk = vec![0; CHUNK_BYTES];
        cost(|| {
            for number in 0..CHUNKS {
                file.read_exact(&mut chunk).unwrap();
                let nonce = nonce(number);
                let _tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut chunk).unwrap();
            }
        })
    }

    fn open_barely(&self) -> Cost {
        let (key, mut file) = (self.bare_key(), File::open(&self.sealed).unwrap());
        file.read_exact(&mut self.begin.clone()).unwrap();
        let mut chunk = vec![0; CHUNK_BYTES + CHACHA20_POLY1305.tag_len()];
        cost(|| {
            for number in 0..CHUNKS {
                file.read_exact(&mut chunk).unwrap();
                key.open_in_place(nonce(number), Aad::empty(), &mut chunk).unwrap();
            }
        })
    }

    fn seal_by_age_crate(&self, digests: Digests) -> Cost {
        let recipient = self.x25519.to_public();
        let encryptor =
            age::Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient)).unwrap();
        let mut writer = encryptor.wrap_output(Hashed::new(io::sink(), digests.file)).unwrap();
        cost(|| {
            let mut hashed = Hashed::new(&mut writer, digests.plaintext);
            pour(&self.plain, &mut hashed);
            hashed.end();
            writer.finish().unwrap().end();
        })
    }

    fn open_by_age_crate(&self, digests: Digests) -> Cost {
        let file = io::BufReader::with_capacity(BUFFER_BYTES, File::open(&self.sealed).unwrap());
        let decryptor = age::Decryptor::new_buffered(file).unwrap();
        let identity = iter::once(&self.x25519 as &dyn age::Identity);
        let mut reader = decryptor.decrypt(identity).unwrap();
        cost(|| {
            let mut hashed = Hashed::new(io::sink(), digests.plaintext);
            drain(&mut reader, |text| hashed.write_all(text).unwrap());
            hashed.end();
        })
    }

    fn seal_by_age(&self) -> Cost {
        let mut age = Command::new("age");
        age.args(["-r", &self.recipient, "-o", "/dev/null"]).arg(&self.plain);
        cost(|| assert!(age.stdin(Stdio::null()).status().unwrap().success()))
    }

    fn open_by_age(&self) -> Cost {
        let mut age = Command::new("age");
        age.arg("-d").arg("-i").arg(&self.identity).args(["-o", "/dev/null"]).arg(&self.sealed);
        cost(|| assert!(age.stdin(Stdio::null()).status().unwrap().success()))
    }
}

/// The chunk's number as 11 bytes, and whether it is the last.
fn nonce(number: u64) -> Nonce {
    let is_last = number + 1 == CHUNKS;
    let [_, _, _, _, nonce @ ..] = (u128::from(number) << 8 | u128::from(is_last)).to_be_bytes();
    Nonce::assume_unique_for_key(nonce)
}

fn pour(from: &Path, to: &mut impl Write) {
    let mut file = File::open(from).unwrap();
    drain(&mut file, |piece| to.write_all(piece).unwrap());
}

fn drain(from: &mut impl Read, mut take: impl FnMut(&[u8])) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer).unwrap() {
            0 => break,
            taken => take(&buffer[..taken]),
        }
    }
}

/// Hashes what passes, as whoever uses the `age` crate would.
struct Hashed<W> {
    to: W,
    hash: Option<Sha256>,
}

impl<W> Hashed<W> {
    fn new(to: W, hashes: bool) -> Self {
        Self { to, hash: hashes.then(Sha256::new) }
    }

    fn end(self) {
        std::hint::black_box(self.hash.map(Sha256::finalize));
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&bytes[..taken]);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Learns the file key while the `age` crate verifies the header with it.
struct Learnt<'a> {
    identity: &'a age::x25519::Identity,
    key: std::cell::OnceCell<FileKey>,
}

impl age::Identity for Learnt<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let key = self.identity.unwrap_stanza(stanza)?;
        if let Ok(key) = &key {
            let copy = FileKey::init_with_mut(|to| *to = *key.expose_secret());
            drop(self.key.set(copy));
        }
        Some(key)
    }
}
