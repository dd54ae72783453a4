//! A receipt as a file: a gzipped tar of small files that people and stock tools can read.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tar::{Archive, Builder, EntryType, Header};

use crate::client::receipt::{DocumentStamp, EVENTS_MAX, Logged, Receipt};
use crate::crypto::note::{NOTE_BYTES_MAX, NoteKey};
use crate::crypto::pem::pem;
use crate::crypto::strict_json;
use crate::crypto::timestamp::TOKEN_BYTES_MAX;
use crate::domain::event::Event;
use crate::domain::handover::SignedHandover;

/// The directory that everything is in.
const DIR: &str = "receipt";
/// How the log's keys were handed over.
const HANDOVERS: &str = "log.handovers.json";
/// What a receipt unpacks to at most, in bytes.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;
/// Largest certificate in PEM, in bytes.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// The script that verifies a receipt without this program.
const SCRIPT: &str = include_str!("verify.sh");
/// What is proved and what is not.
const README: &str = include_str!("README.txt");

/// Why a file is not a receipt.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is no gzipped tar, or it is cut short.
    #[error("it is not a gzipped tar archive, or not all of it")]
    Archive(#[source] std::io::Error),
    /// It holds what no receipt holds.
    #[error("it is not a receipt: {0}")]
    Receipt(String),
}

/// Writes a receipt.
pub fn write(receipt: &Receipt, to: impl Write) -> std::io::Result<()> {
    let mut tar = Builder::new(GzEncoder::new(to, Compression::default()));
    put(&mut tar, "README.txt", README.as_bytes(), 0o644)?;
    put(&mut tar, "verify.sh", SCRIPT.as_bytes(), 0o755)?;
    put(&mut tar, "log.vkey", format!("{}\n", receipt.log).as_bytes(), 0o644)?;
    if !receipt.handovers.is_empty() {
        put(&mut tar, HANDOVERS, &serde_json::to_vec(&receipt.handovers)?, 0o644)?;
    }
    for (number, logged) in (1..).zip(&receipt.events) {
        let name = |part: &str| format!("{number:04}/{part}");
        put(&mut tar, &name("event.json"), &logged.payload, 0o644)?;
        put(&mut tar, &name("salt"), format!("{}\n", logged.salt).as_bytes(), 0o644)?;
        put(&mut tar, &name("label"), format!("{}\n", logged.label).as_bytes(), 0o644)?;
        put(&mut tar, &name("event.tlog-proof"), logged.proof.as_bytes(), 0o644)?;
        if let Some(stamp) = &logged.stamp {
            put(&mut tar, &name("document.tsr"), &stamp.token, 0o644)?;
            put(&mut tar, &name("tsa-ca.pem"), pem("CERTIFICATE", &stamp.ca).as_bytes(), 0o644)?;
        }
    }
    tar.into_inner()?.finish().map(drop)
}

fn put(
    tar: &mut Builder<impl Write>,
    name: &str,
    content: &[u8],
    mode: u32,
) -> std::io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_entry_type(EntryType::Regular);
    tar.append_data(&mut header, format!("{DIR}/{name}"), content)
}

/// The parts of an event as they are read.
#[derive(Default)]
struct Parts {
    payload: Option<Vec<u8>>,
    salt: Option<Vec<u8>>,
    label: Option<Vec<u8>>,
    proof: Option<Vec<u8>>,
    token: Option<Vec<u8>>,
    token_ca: Option<Vec<u8>>,
}

/// Reads a receipt; what it says is not verified yet.
pub fn read(from: impl Read) -> Result<Receipt, Malformed> {
    // One byte more than is allowed, so that reaching the limit is told from ending there.
    let mut archive = Archive::new(GzDecoder::new(from).take(UNPACKED_BYTES_MAX));
    let (mut log, mut handovers, mut events) = (None, None, Vec::<Parts>::new());
    let refused = |what: String| Malformed::Receipt(what);
    for entry in archive.entries().map_err(Malformed::Archive)?.raw(true) {
        let mut entry = entry.map_err(Malformed::Archive)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        // Whoever has unpacked a receipt and packed it again has these in it.
        if entry.header().entry_type() == EntryType::Directory {
            continue;
        }
        if entry.header().entry_type() != EntryType::Regular {
            return Err(refused(format!("{name:?} is not a file")));
        }
        let part = name.strip_prefix(DIR).and_then(|rest| rest.strip_prefix('/'));
        let part = part.ok_or_else(|| refused(format!("{name:?} does not belong in one")))?;
        let bytes_max = match part.rsplit_once('/').map_or(part, |(_, file)| file) {
            "event.json" => Event::BYTES_MAX,
            "event.tlog-proof" | "README.txt" | "verify.sh" | HANDOVERS => NOTE_BYTES_MAX,
            "document.tsr" => TOKEN_BYTES_MAX,
            "tsa-ca.pem" => CERTIFICATE_BYTES_MAX,
            _ => 1_024,
        };
        let mut content = Vec::new();
        let limit = bytes_max as u64 + 1;
        (&mut entry).take(limit).read_to_end(&mut content).map_err(Malformed::Archive)?;
        if content.len() > bytes_max {
            return Err(refused(format!("{name:?} is too large")));
        }
        match part.split_once('/') {
            None if part == "log.vkey" && log.is_none() => log = Some(content),
            None if part == HANDOVERS && handovers.is_none() => {
                let read = strict_json::parse(&content, NOTE_BYTES_MAX);
                handovers = Some(read.map_err(|_| refused(format!("{name:?} cannot be read")))?);
            }
            // For people; what counts is not in them.
            None if part == "README.txt" || part == "verify.sh" => {}
            Some((number, file)) => {
                let begins = number == format!("{:04}", events.len() + 1);
                if begins && events.len() < EVENTS_MAX {
                    events.push(Parts::default());
                }
                let is_last = number == format!("{:04}", events.len());
                let parts = events.last_mut().filter(|_| is_last);
                let place = parts.and_then(|parts| match file {
                    "event.json" => Some(&mut parts.payload),
                    "salt" => Some(&mut parts.salt),
                    "label" => Some(&mut parts.label),
                    "event.tlog-proof" => Some(&mut parts.proof),
                    "document.tsr" => Some(&mut parts.token),
                    "tsa-ca.pem" => Some(&mut parts.token_ca),
                    _ => None,
                });
                match place.filter(|place| place.is_none()) {
                    Some(place) => *place = Some(content),
                    None => return Err(refused(format!("{name:?} does not belong there"))),
                }
            }
            None => return Err(refused(format!("{name:?} does not belong in one"))),
        }
    }
    // To its very end, where its checksum is.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(Malformed::Archive)?;
    let log = log.as_deref().and_then(line).and_then(|text| text.parse::<NoteKey>().ok());
    let log = log.ok_or_else(|| refused("log.vkey is missing or no verifier key".to_owned()))?;
    let events = (1..).zip(events).map(|(number, parts): (usize, Parts)| {
        logged(parts).ok_or_else(|| refused(format!("event {number} is not whole")))
    });
    let handovers: Vec<SignedHandover> = handovers.unwrap_or_default();
    Ok(Receipt { log, handovers, events: events.collect::<Result<_, _>>()? })
}

fn logged(parts: Parts) -> Option<Logged> {
    let stamp = match (parts.token, parts.token_ca) {
        (Some(token), Some(ca)) => {
            let ca = CertificateDer::from_pem_slice(&ca).ok()?.to_vec();
            Some(DocumentStamp { token, ca })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return None,
    };
    Some(Logged {
        stamp,
        payload: parts.payload?,
        salt: line(&parts.salt?)?.parse().ok()?,
        label: line(&parts.label?)?.parse().ok()?,
        proof: String::from_utf8(parts.proof?).ok()?,
    })
}

/// The one line of a file.
fn line(content: &[u8]) -> Option<&str> {
    std::str::from_utf8(content).ok()?.strip_suffix('\n')
}
