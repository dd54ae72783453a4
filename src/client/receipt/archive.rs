//! A receipt as a file: a gzipped tar of small files that people and stock tools can read.

use std::io::{Read, Write};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::client::packed::{Kind, Malformed, Packer, line, whole};
use crate::client::receipt::{DocumentStamp, EVENTS_MAX, Logged, Receipt};
use crate::crypto::note::{NOTE_BYTES_MAX, NoteKey};
use crate::crypto::pem::pem;
use crate::crypto::strict_json;
use crate::crypto::timestamp::TOKEN_BYTES_MAX;
use crate::domain::event::Event;
use crate::domain::handover::SignedHandover;

/// How one is packed.
pub static RECEIPT: Kind =
    Kind { dir: "receipt", name: "a receipt", unpacked_bytes_max: 256 << 20 };
/// How the log's keys were handed over.
pub const HANDOVERS: &str = "log.handovers.json";
/// Largest certificate in PEM, in bytes.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// The script that verifies a receipt without this program.
const SCRIPT: &str = include_str!("verify.sh");
/// What is proved and what is not.
const README: &str = include_str!("README.txt");

/// Writes a receipt.
pub fn write(receipt: &Receipt, to: impl Write) -> std::io::Result<()> {
    let mut tar = Packer::new(&RECEIPT, to);
    tar.put("README.txt", README.as_bytes())?;
    tar.put_script("verify.sh", SCRIPT.as_bytes())?;
    tar.put("log.vkey", format!("{}\n", receipt.log).as_bytes())?;
    if !receipt.handovers.is_empty() {
        tar.put(HANDOVERS, &serde_json::to_vec(&receipt.handovers)?)?;
    }
    for (number, logged) in (1..).zip(&receipt.events) {
        let name = |part: &str| format!("{number:04}/{part}");
        tar.put(&name("event.json"), &logged.payload)?;
        tar.put(&name("salt"), format!("{}\n", logged.salt).as_bytes())?;
        tar.put(&name("label"), format!("{}\n", logged.label).as_bytes())?;
        tar.put(&name("event.tlog-proof"), logged.proof.as_bytes())?;
        if let Some(stamp) = &logged.stamp {
            tar.put(&name("document.tsr"), &stamp.token)?;
            tar.put(&name("tsa-ca.pem"), pem("CERTIFICATE", &stamp.ca).as_bytes())?;
        }
    }
    tar.finish()
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
    let (mut log, mut handovers, mut events) = (None, None, Vec::<Parts>::new());
    RECEIPT.read(from, |part, _, content| {
        let bytes_max = match part.rsplit_once('/').map_or(part, |(_, file)| file) {
            "event.json" => Event::BYTES_MAX,
            "event.tlog-proof" | "README.txt" | "verify.sh" | HANDOVERS => NOTE_BYTES_MAX,
            "document.tsr" => TOKEN_BYTES_MAX,
            "tsa-ca.pem" => CERTIFICATE_BYTES_MAX,
            _ => 1_024,
        };
        let content = whole(&RECEIPT, part, content, bytes_max)?;
        let refused = || RECEIPT.refused(format!("{part:?} does not belong there"));
        match part.split_once('/') {
            None if part == "log.vkey" && log.is_none() => log = Some(content),
            None if part == HANDOVERS && handovers.is_none() => {
                let read = strict_json::parse(&content, NOTE_BYTES_MAX);
                let unread = |_| RECEIPT.refused(format!("{part:?} cannot be read"));
                handovers = Some(read.map_err(unread)?);
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
                    None => return Err(refused()),
                }
            }
            None => return Err(refused()),
        }
        Ok(())
    })?;
    let log = log.as_deref().and_then(line).and_then(|text| text.parse::<NoteKey>().ok());
    let log = log.ok_or_else(|| RECEIPT.refused("log.vkey is missing or no verifier key"))?;
    let events = (1..).zip(events).map(|(number, parts): (usize, Parts)| {
        logged(parts).ok_or_else(|| RECEIPT.refused(format!("event {number} is not whole")))
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
