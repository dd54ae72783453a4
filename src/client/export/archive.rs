//! An export as a file: a gzipped tar of files that people and stock tools can read.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use crate::client::export::{EVENTS_BYTES_MAX, EVENTS_MAX, Export, STREAMS_MAX};
use crate::client::mirror::ENTRIES_MAX;
use crate::client::packed::{Kind, Malformed, Packer, line, whole};
use crate::client::receipt::HANDOVERS;
use crate::crypto::note::{NOTE_BYTES_MAX, NoteKey};
use crate::crypto::strict_json;
use crate::domain::event::Event;
use crate::domain::id::{AgreementId, Bytes, Digest, PublicKey};
use crate::domain::statement::Log;
use crate::domain::stream::Stream;
use crate::ledger::entry::Leaf;
use crate::ledger::{Entry, LabelKey, Salt};

/// Length of a leaf.
const LEAF_BYTES: usize = size_of::<Leaf>();
/// Longest line of a stream, in bytes: an event, each byte of which may be written as two, and more.
const LINE_BYTES_MAX: usize = 2 * Event::BYTES_MAX + 1_024;
/// Largest file that is none of a stream's and has no leaves, in bytes.
const TEXT_BYTES_MAX: usize = NOTE_BYTES_MAX;
/// The checkpoint with the cosignatures of witnesses.
const WITNESSED: &str = "checkpoint.witnessed";
/// What is proved and what is not.
const README: &str = include_str!("README.txt");

/// How one is packed.
pub static EXPORT: Kind = Kind {
    dir: "export",
    name: "an export",
    unpacked_bytes_max: ENTRIES_MAX * LEAF_BYTES as u64 + 4 * EVENTS_BYTES_MAX as u64,
};

/// What it is of: the file `export.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    #[serde(rename = "type")]
    kind: AboutType,
    agreement: AgreementId,
    log: Log,
    operator_key: PublicKey,
}

#[derive(Serialize, Deserialize)]
enum AboutType {
    #[serde(rename = "escrow-vault/export/v1")]
    V1,
}

/// The first line of a stream.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    stream: Stream,
    label_key: Digest,
}

/// Every other line of it, in order: an event, as exact text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    position: u64,
    salt: Salt,
    event: String,
}

/// Writes an export; `leaves` are the log's first so many.
pub fn write(export: &Export, size: u64, leaves: impl Read, to: impl Write) -> std::io::Result<()> {
    let mut tar = Packer::new(&EXPORT, to);
    tar.put("README.txt", README.as_bytes())?;
    tar.put("log.vkey", format!("{}\n", export.key).as_bytes())?;
    if !export.handovers.is_empty() {
        tar.put(HANDOVERS, &serde_json::to_vec(&export.handovers)?)?;
    }
    tar.put("checkpoint", export.checkpoint.as_bytes())?;
    if let Some(witnessed) = &export.witnessed {
        tar.put(WITNESSED, witnessed.as_bytes())?;
    }
    let Export { agreement, log, operator_key, .. } = export.clone();
    let about = serde_json::to_vec(&About { kind: AboutType::V1, agreement, log, operator_key })?;
    tar.put("export.json", &[about, b"\n".to_vec()].concat())?;
    for (stream, entries) in &export.streams {
        // Twice, so that no more than one line is in memory beside the events.
        let mut size = 0;
        for line in lines(stream, entries) {
            size += line?.len() as u64;
        }
        let content = Pieces { next: lines(stream, entries), piece: Vec::new(), at: 0 };
        tar.put_all(&stream_file(stream), size, content)?;
    }
    tar.put_all("leaves", size * LEAF_BYTES as u64, leaves)?;
    tar.finish()
}

fn stream_file(stream: &Stream) -> String {
    format!("streams/{}.jsonl", stream.to_string().replace('/', "+"))
}

/// The lines of a stream.
fn lines<'e>(
    stream: &'e Stream,
    entries: &'e [Entry],
) -> impl Iterator<Item = std::io::Result<Vec<u8>>> + use<'e> {
    let first = entries.first().map(|entry| {
        let first = First { stream: stream.clone(), label_key: Bytes(entry.label_key.0) };
        Ok([serde_json::to_vec(&first)?, b"\n".to_vec()].concat())
    });
    let line = |entry: &Entry| {
        let event = String::from_utf8(entry.payload.clone());
        let event = event.map_err(|fault| std::io::Error::other(fault.utf8_error()))?;
        let line = Line { position: entry.position, salt: entry.salt, event };
        Ok([serde_json::to_vec(&line)?, b"\n".to_vec()].concat())
    };
    first.into_iter().chain(entries.iter().map(line))
}

/// Pieces, read as one.
struct Pieces<I> {
    next: I,
    piece: Vec<u8>,
    at: usize,
}

impl<I: Iterator<Item = std::io::Result<Vec<u8>>>> Read for Pieces<I> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.at >= self.piece.len() {
            let Some(piece) = self.next.next() else { return Ok(0) };
            (self.piece, self.at) = (piece?, 0);
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.at += count;
        Ok(count)
    }
}

/// Reads an export without the leaves; what it says is not verified yet. `packed` is how long the file
/// is: leaves cannot be packed any smaller than they are, so that more of them are none.
pub fn read(from: impl Read, packed: u64) -> Result<Export, Malformed> {
    let (mut texts, mut leaves) = (BTreeMap::<String, Vec<u8>>::new(), None);
    let (mut streams, mut room) = (BTreeMap::new(), Room::default());
    EXPORT.read(from, |name, size, content| {
        let twice = || EXPORT.refused(format!("{name:?} is in it twice"));
        match name {
            "README.txt" | "log.vkey" | "checkpoint" | "export.json" | HANDOVERS | WITNESSED => {
                let content = whole(&EXPORT, name, content, TEXT_BYTES_MAX)?;
                match texts.insert(name.to_owned(), content) {
                    None => Ok(()),
                    Some(_) => Err(twice()),
                }
            }
            "leaves" if size > packed || size % LEAF_BYTES as u64 != 0 => {
                Err(EXPORT.refused("the leaves are too many, or not whole"))
            }
            "leaves" => leaves.replace(()).map_or(Ok(()), |()| Err(twice())),
            _ => {
                let stream = name.strip_prefix("streams/").and_then(|it| it.strip_suffix(".jsonl"));
                let stream = stream.and_then(|it| it.replace('+', "/").parse::<Stream>().ok());
                let named = stream.filter(|stream| stream_file(stream) == name);
                let unknown = || EXPORT.refused(format!("{name:?} does not belong in one"));
                let stream = named.ok_or_else(unknown)?;
                if streams.len() >= STREAMS_MAX {
                    return Err(EXPORT.refused("it has too many streams"));
                }
                let entries = entries(name, &stream, content, &mut room)?;
                streams.insert(stream, entries).map_or(Ok(()), |_| Err(twice()))
            }
        }
    })?;
    let missing =
        |name: &str| EXPORT.refused(format!("{name} is missing, or not what it is to be"));
    let text = |name: &str| texts.get(name).ok_or_else(|| missing(name));
    leaves.ok_or_else(|| missing("leaves"))?;
    let key = line(text("log.vkey")?).and_then(|text| text.parse::<NoteKey>().ok());
    let checkpoint = String::from_utf8(text("checkpoint")?.clone());
    let witnessed = texts.get(WITNESSED).cloned().map(String::from_utf8).transpose();
    let about = strict_json::parse(text("export.json")?, TEXT_BYTES_MAX);
    let About { kind: AboutType::V1, agreement, log, operator_key } =
        about.map_err(|fault| EXPORT.refused(format!("export.json: {fault}")))?;
    let handovers = match texts.get(HANDOVERS) {
        None => Vec::new(),
        Some(text) => strict_json::parse(text, TEXT_BYTES_MAX).map_err(|_| missing(HANDOVERS))?,
    };
    Ok(Export {
        agreement,
        log,
        operator_key,
        handovers,
        key: key.ok_or_else(|| missing("log.vkey"))?,
        checkpoint: checkpoint.map_err(|_| missing("checkpoint"))?,
        witnessed: witnessed.map_err(|_| missing(WITNESSED))?,
        streams,
    })
}

/// What an export may still hold.
struct Room {
    events: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { events: EVENTS_MAX, bytes: EVENTS_BYTES_MAX }
    }
}

impl Room {
    fn take(&mut self, bytes: usize) -> Option<()> {
        self.events = self.events.checked_sub(1)?;
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(())
    }
}

/// The events of a stream's file. Numbers in the stream are the order of the lines.
fn entries(
    name: &str,
    stream: &Stream,
    content: &mut dyn Read,
    room: &mut Room,
) -> Result<Vec<Entry>, Malformed> {
    let mut content = BufReader::new(content);
    let (mut first, mut entries) = (None, Vec::new());
    for number in 1u64.. {
        let mut line = Vec::new();
        let most = LINE_BYTES_MAX as u64;
        let read = (&mut content).take(most).read_until(b'\n', &mut line);
        if read.map_err(Malformed::Archive)? == 0 {
            break;
        }
        let refused = |why: String| EXPORT.refused(format!("line {number} of {name:?}: {why}"));
        let Some((b'\n', line)) = line.split_last() else {
            return Err(refused("it is too long, or cut short".to_owned()));
        };
        let Some(label_key) = first else {
            let parsed = strict_json::parse::<First>(line, LINE_BYTES_MAX);
            let parsed = parsed.map_err(|fault| refused(fault.to_string()))?;
            if parsed.stream != *stream {
                return Err(refused("it is of another stream".to_owned()));
            }
            first = Some(LabelKey(parsed.label_key.0));
            continue;
        };
        let parsed = strict_json::parse::<Line>(line, LINE_BYTES_MAX);
        let Line { position, salt, event } = parsed.map_err(|fault| refused(fault.to_string()))?;
        let is_little = event.len() <= Event::BYTES_MAX && room.take(event.len()).is_some();
        if !is_little {
            return Err(refused("it is more than an export may hold".to_owned()));
        }
        let (stream, payload) = (stream.clone(), event.into_bytes());
        entries.push(Entry { position, stream, sequence: number - 1, label_key, salt, payload });
    }
    match entries.is_empty() {
        false => Ok(entries),
        true => Err(EXPORT.refused(format!("{name:?} has no event"))),
    }
}

/// Reads the leaves of an export, from the first.
pub fn leaves(from: impl Read, mut each: impl FnMut(&Leaf)) -> Result<(), Malformed> {
    EXPORT.read(from, |name, size, content| {
        if name != "leaves" {
            return Ok(());
        }
        let mut content = BufReader::with_capacity(1 << 16, content);
        for _ in 0..size / LEAF_BYTES as u64 {
            let mut leaf = Leaf::default();
            content.read_exact(&mut leaf.0).map_err(Malformed::Archive)?;
            each(&leaf);
        }
        Ok(())
    })
}
