//! What a deposit cannot do without, each measured alone, in CPU.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use escrow_vault::domain::time::Timestamp;
use escrow_vault::server::ca::Authority;
use escrow_vault::server::tls::server_config;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, Stream, version};

use crate::common::process::cpu;

const PIECE_BYTES: usize = 256 << 10;
/// age's chunks.
const CHUNK_BYTES: usize = 64 << 10;
/// Of the plaintext, of the file by the depositor, and of the file by the vault.
const HASHES: usize = 3;

/// So many MiB through each of them.
pub(crate) fn measure(mib: u64, place: &Path) -> [(&'static str, Duration); 4] {
    let pieces = usize::try_from(mib << 20).unwrap() / PIECE_BYTES;
    let each = |part: &dyn Fn(usize)| {
        let before = cpu(std::process::id());
        part(pieces);
        cpu(std::process::id()) - before
    };
    [
        ("sealing", each(&seal)),
        ("hashing", each(&|pieces| (0..HASHES).for_each(|_| hash(pieces)))),
        ("TLS", each(&tls)),
        ("writing", each(&|pieces| write(pieces, &place.join("written")))),
    ]
}

fn seal(pieces: usize) {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).unwrap());
    let mut chunk = vec![7; CHUNK_BYTES];
    for number in 0..(pieces * PIECE_BYTES / CHUNK_BYTES) as u64 {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let _tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut chunk).unwrap();
    }
}

fn hash(pieces: usize) {
    let (mut context, piece) = (Context::new(&SHA256), vec![7; PIECE_BYTES]);
    (0..pieces).for_each(|_| context.update(&piece));
    assert_eq!(context.finish().as_ref().len(), 32);
}

fn write(pieces: usize, path: &Path) {
    let (mut file, piece) = (File::create(path).unwrap(), vec![7; PIECE_BYTES]);
    (0..pieces).for_each(|_| file.write_all(&piece).unwrap());
    file.sync_data().unwrap();
    std::fs::remove_file(path).unwrap();
}

/// rustls over a loopback socket, its reads buffered as ours are, the suite as ours negotiate it.
fn tls(pieces: usize) {
    let now = Timestamp::from(SystemTime::now());
    let authority = Authority::create("measured", now).unwrap();
    let identity = authority.issue_server(&["localhost".to_owned()], now).unwrap();
    let server = server_config(&[authority.certificate().clone()], &identity).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let receiving = std::thread::spawn(move || {
        let mut socket = Buffered(BufReader::with_capacity(64 << 10, listener.accept().unwrap().0));
        let mut connection = ServerConnection::new(Arc::new(server)).unwrap();
        let mut stream = Stream::new(&mut connection, &mut socket);
        let mut piece = vec![0; PIECE_BYTES];
        (0..pieces).for_each(|_| stream.read_exact(&mut piece).unwrap());
    });
    let mut socket = TcpStream::connect(address).unwrap();
    let name = "localhost".try_into().unwrap();
    let mut connection = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut stream = Stream::new(&mut connection, &mut socket);
    let piece = vec![7; PIECE_BYTES];
    (0..pieces).for_each(|_| stream.write_all(&piece).unwrap());
    stream.flush().unwrap();
    receiving.join().unwrap();
}

struct Buffered(BufReader<TcpStream>);

impl Read for Buffered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}
