//! What a member has seen of the vault's streams, so that the vault cannot show another history.
//!
//! One file a stream, appended to: an entry a line, in hexadecimal; beside it the last head, which
//! the vault has signed, how far the stream was verified, and until the stream is followed that far, what the vault has acknowledged
//! and so must show: the events, and the heads that were signed with them. Programs that use a home
//! at once add to the same files; what each adds must agree with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::error::ClientError;
use crate::crypto::{keyfile, strict_json};
use crate::domain::event::ENGINE;
use crate::domain::id::Signature;
use crate::domain::statement::Saw;
use crate::domain::stream::Stream;
use crate::ledger::Entry;
use crate::ledger::head::{Head, SignedHead};

/// The remembered streams of a home.
#[derive(Debug, Clone)]
pub struct Memory {
    dir: PathBuf,
}

/// A signed head as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptHead {
    head: String,
    signature: Signature,
}

/// What the vault has acknowledged and must show from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Which event of the stream.
    pub saw: Saw,
    /// What is known of it.
    pub proof: Proof,
}

/// What is known of an event that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The event itself.
    Entry(Entry),
    /// That the stream stood there: the vault has signed it.
    Head(SignedHead),
}

/// Which program verifies. Another may know of faults that this one does not.
const VERIFIED_BY: &str = concat!(env!("CARGO_PKG_VERSION"), "/2");
// The rules' version is part of it.
const _: () = assert!(ENGINE == 2);

/// Largest file of a head, in bytes.
const HEAD_BYTES_MAX: usize = 2 * SignedHead::BYTES_MAX;

impl Memory {
    /// The streams kept in this directory.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where they are kept.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which streams have been followed, or are to be.
    pub fn streams(&self) -> Result<Vec<Stream>, ClientError> {
        let listing = fs::read_dir(&self.dir)
            .map_err(|fault| home_fault(self.dir.clone(), &fault.to_string(), RESTORE))?;
        let names = listing.filter_map(|item| item.ok()?.file_name().into_string().ok());
        let streams = names.filter_map(|name| {
            let stem = name.strip_suffix(".log").or(name.strip_suffix(".acknowledged"))?;
            stem.replace('+', "/").parse().ok()
        });
        Ok(streams.collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// What was seen of a stream.
    pub fn recall(&self, stream: &Stream) -> Result<Vec<Entry>, ClientError> {
        let path = self.file(stream);
        let text = read(&path)?;
        // A last line without its newline was being written when the computer stopped.
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        let lines = whole.lines().map(|line| {
            let bytes = hex::decode(line).ok();
            bytes.and_then(|bytes| Entry::decode(&bytes).ok())
        });
        let entries: Option<Vec<_>> = lines.collect();
        entries.ok_or_else(|| home_fault(path, "the memory of this stream is damaged", RESTORE))
    }

    /// How far signatures, proofs and rules of a stream were verified by a program of this version.
    /// Whatever else is there is as good as nothing: it is verified again.
    pub fn proved(&self, stream: &Stream) -> Option<Saw> {
        let text = fs::read_to_string(self.proved_file(stream)).ok()?;
        let (version, rest) = text.split_once(' ')?;
        let (sequence, commitment) = rest.split_once(' ')?;
        let saw = Saw { sequence: sequence.parse().ok()?, commitment: commitment.parse().ok()? };
        (version == VERIFIED_BY && saw.sequence > 0).then_some(saw)
    }

    /// Remembers that.
    pub fn keep_proved(&self, stream: &Stream, saw: Saw) -> Result<(), ClientError> {
        let Saw { sequence, commitment } = saw;
        let text = format!("{VERIFIED_BY} {sequence} {commitment}");
        Ok(keyfile::replace(&self.proved_file(stream), text.as_bytes())?)
    }

    /// The last head of a stream that was kept.
    pub fn head(&self, stream: &Stream) -> Result<Option<SignedHead>, ClientError> {
        let path = self.head_file(stream);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = keyfile::read(&path, HEAD_BYTES_MAX)?;
        let kept: KeptHead = strict_json::parse(&bytes, HEAD_BYTES_MAX)
            .map_err(|_| home_fault(path, "the head of this stream is damaged", RESTORE))?;
        Ok(Some(SignedHead { head: kept.head.into_bytes(), signature: kept.signature }))
    }

    /// Keeps a stream as it was just followed, from its first entry, with its head. Another
    /// program may have kept it further meanwhile; what both saw must be the same.
    pub fn keep(
        &self,
        stream: &Stream,
        followed: &[Entry],
        head: &SignedHead,
    ) -> Result<(), ClientError> {
        let _held = keyfile::lock(&self.dir.join("lock"))?;
        let kept = self.recall(stream)?;
        if kept.iter().zip(followed).any(|(kept, shown)| kept != shown) {
            return Err(ClientError::Untrue(format!(
                "{stream} was shown differently to another program that uses this home"
            )));
        }
        let new = followed.get(kept.len()..).unwrap_or_default();
        if followed.len() < kept.len() {
            return Ok(());
        }
        if new.is_empty() {
            return self.keep_head(stream, head);
        }
        let path = self.file(stream);
        let torn = fs::read(&path).is_ok_and(|bytes| bytes.last().is_some_and(|b| *b != b'\n'));
        let written = match torn {
            true => keyfile::replace(&path, lines(followed).as_bytes()),
            false => keyfile::append(&path, lines(new).as_bytes()),
        };
        written?;
        // Behind the entries, so that it never names one that is not there.
        self.keep_head(stream, head)
    }

    /// Takes a stream as the vault shows it now for what was kept of it. What was kept goes to
    /// `aside`, if that is given, as evidence.
    pub fn replace(
        &self,
        stream: &Stream,
        followed: &[Entry],
        head: &SignedHead,
        aside: Option<&Path>,
    ) -> Result<(), ClientError> {
        let _held = keyfile::lock(&self.dir.join("lock"))?;
        if let Some(aside) = aside {
            self.copy(stream, aside)?;
        }
        keyfile::replace(&self.file(stream), lines(followed).as_bytes())?;
        self.keep_head(stream, head)
    }

    /// Forgets a stream that the vault does not have any more. What was kept goes to `aside`.
    pub fn forget(&self, stream: &Stream, aside: &Path) -> Result<(), ClientError> {
        let _held = keyfile::lock(&self.dir.join("lock"))?;
        self.copy(stream, aside)?;
        let (owed, proved) = (self.owed(stream), self.proved_file(stream));
        for file in [owed, proved, self.head_file(stream), self.file(stream)] {
            if file.exists() {
                keyfile::remove(&file)?;
            }
        }
        Ok(())
    }

    fn copy(&self, stream: &Stream, aside: &Path) -> Result<(), ClientError> {
        keyfile::private_dir(aside)?;
        for file in [self.file(stream), self.head_file(stream), self.owed(stream)] {
            let Some(name) = file.file_name().filter(|_| file.exists()) else { continue };
            fs::copy(&file, aside.join(name))
                .map_err(|fault| home_fault(file.clone(), &fault.to_string(), RESTORE))?;
        }
        Ok(())
    }

    fn keep_head(&self, stream: &Stream, head: &SignedHead) -> Result<(), ClientError> {
        let path = self.head_file(stream);
        let text = String::from_utf8(head.head.clone()).unwrap_or_default();
        let kept = KeptHead { head: text, signature: head.signature };
        let bytes = serde_json::to_vec(&kept)
            .map_err(|fault| home_fault(path.clone(), &fault.to_string(), RESTORE))?;
        Ok(keyfile::replace(&path, &bytes)?)
    }

    /// Remembers what the vault has acknowledged: it must be shown from now on.
    pub fn acknowledge(&self, stream: &Stream, owed: &Owed) -> Result<(), ClientError> {
        let _held = keyfile::lock(&self.dir.join("lock"))?;
        Ok(keyfile::append(&self.owed(stream), line(owed).as_bytes())?)
    }

    /// What was acknowledged and not shown yet.
    pub fn acknowledged(&self, stream: &Stream) -> Result<Vec<Owed>, ClientError> {
        let text = read(&self.owed(stream))?;
        // A last line without its newline was being written when the computer stopped.
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        let owed: Option<Vec<_>> = whole.lines().map(parse_line).collect();
        owed.ok_or_else(|| home_fault(self.owed(stream), "this memory is damaged", RESTORE))
    }

    /// Forgets what was acknowledged: it was shown, or told to be lost.
    pub fn settle(&self, stream: &Stream, settled: &[Owed]) -> Result<(), ClientError> {
        if settled.is_empty() {
            return Ok(());
        }
        let _held = keyfile::lock(&self.dir.join("lock"))?;
        let owed = self.acknowledged(stream)?;
        let left: String = owed.iter().filter(|owed| !settled.contains(owed)).map(line).collect();
        match left.is_empty() {
            false => Ok(keyfile::replace(&self.owed(stream), left.as_bytes())?),
            true if self.owed(stream).exists() => Ok(keyfile::remove(&self.owed(stream))?),
            true => Ok(()),
        }
    }

    /// The events of a stream that are known: those that were seen, and those that were acknowledged
    /// since, between which others may be missing.
    pub fn known(&self, stream: &Stream) -> Result<Vec<Entry>, ClientError> {
        let mut known: BTreeMap<u64, Entry> =
            self.recall(stream)?.into_iter().map(|entry| (entry.sequence, entry)).collect();
        for owed in self.acknowledged(stream)? {
            if let Proof::Entry(entry) = owed.proof {
                known.entry(entry.sequence).or_insert(entry);
            }
        }
        Ok(known.into_values().collect())
    }

    /// Every head of a stream that the vault has signed for this home and is not outdone, with where
    /// it says that the stream stood, the furthest last.
    pub fn heads(&self, stream: &Stream) -> Result<Vec<(Saw, SignedHead)>, ClientError> {
        let owed = self.acknowledged(stream)?.into_iter().filter_map(|owed| match owed.proof {
            Proof::Head(head) => Some((owed.saw, head)),
            Proof::Entry(_) => None,
        });
        let mut heads: Vec<_> = owed.collect();
        if let Some(kept) = self.head(stream)? {
            let head: Head = strict_json::parse(&kept.head, SignedHead::BYTES_MAX)
                .map_err(|_| home_fault(self.head_file(stream), "this head is damaged", RESTORE))?;
            heads.push((head.saw, kept));
        }
        heads.sort_by_key(|(saw, _)| saw.sequence);
        Ok(heads)
    }

    fn file(&self, stream: &Stream) -> PathBuf {
        self.dir.join(format!("{}.log", name(stream)))
    }

    fn head_file(&self, stream: &Stream) -> PathBuf {
        self.dir.join(format!("{}.head", name(stream)))
    }

    fn proved_file(&self, stream: &Stream) -> PathBuf {
        self.dir.join(format!("{}.proved", name(stream)))
    }

    fn owed(&self, stream: &Stream) -> PathBuf {
        self.dir.join(format!("{}.acknowledged", name(stream)))
    }
}

fn lines(entries: &[Entry]) -> String {
    entries.iter().map(|entry| hex::encode(entry.encode()) + "\n").collect()
}

fn name(stream: &Stream) -> String {
    stream.to_string().replace('/', "+")
}

fn read(path: &Path) -> Result<String, ClientError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(fault) => {
            Err(home_fault(path.to_owned(), &fault.to_string(), "mend that and try again"))
        }
    }
}

fn line(owed: &Owed) -> String {
    let Saw { sequence, commitment } = owed.saw;
    match &owed.proof {
        Proof::Entry(entry) => {
            format!("{sequence} {commitment} entry {}\n", hex::encode(entry.encode()))
        }
        Proof::Head(SignedHead { head, signature }) => {
            format!("{sequence} {commitment} head {} {signature}\n", hex::encode(head))
        }
    }
}

/// Reads what [`line`] has written.
fn parse_line(line: &str) -> Option<Owed> {
    let parts: Vec<_> = line.split(' ').collect();
    let (sequence, commitment, proof) = match parts.as_slice() {
        [sequence, commitment, "entry", entry] => {
            (sequence, commitment, Proof::Entry(Entry::decode(&hex::decode(entry).ok()?).ok()?))
        }
        [sequence, commitment, "head", head, signature] => {
            let (head, signature) = (hex::decode(head).ok()?, signature.parse().ok()?);
            (sequence, commitment, Proof::Head(SignedHead { head, signature }))
        }
        _ => return None,
    };
    let saw = Saw { sequence: sequence.parse().ok()?, commitment: commitment.parse().ok()? };
    Some(Owed { saw, proof })
}

const RESTORE: &str = "restore it from your backup; it shows what you have seen of the vault";

fn home_fault(path: PathBuf, what: &str, hint: &str) -> ClientError {
    ClientError::Home { path, what: what.to_owned(), hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Bytes;
    use crate::ledger::LabelKey;

    fn entry(sequence: u64, payload: &[u8]) -> Entry {
        Entry {
            position: sequence,
            stream: Stream::Vault,
            sequence,
            label_key: LabelKey([1; 32]),
            salt: Bytes([2; 32]),
            payload: payload.to_vec(),
        }
    }

    fn head() -> SignedHead {
        SignedHead { head: b"{}".to_vec(), signature: Bytes([3; 64]) }
    }

    #[test]
    fn what_two_programs_saw_is_kept_once_and_must_agree() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::new(dir.path().to_owned());
        let all = [entry(1, b"a"), entry(2, b"b"), entry(3, b"c")];
        // Both began with nothing; one is slower and has seen less.
        memory.keep(&Stream::Vault, &all, &head()).unwrap();
        memory.keep(&Stream::Vault, &all[..2], &head()).unwrap();
        assert_eq!(memory.recall(&Stream::Vault).unwrap(), all);
        assert_eq!(memory.streams().unwrap(), [Stream::Vault]);
        assert_eq!(memory.head(&Stream::Vault).unwrap(), Some(head()));
        let other = [entry(1, b"a"), entry(2, b"x")];
        let refused = memory.keep(&Stream::Vault, &other, &head()).unwrap_err();
        assert!(matches!(refused, ClientError::Untrue(_)), "{refused}");
        assert_eq!(memory.recall(&Stream::Vault).unwrap(), all);
    }

    #[test]
    fn what_was_acknowledged_is_owed_until_it_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::new(dir.path().to_owned());
        let saw = |sequence| Saw { sequence, commitment: Bytes([9; 32]) };
        assert_eq!(memory.acknowledged(&Stream::Vault).unwrap(), []);
        let event = Owed { saw: saw(3), proof: Proof::Entry(entry(3, b"c")) };
        let stands = Owed { saw: saw(4), proof: Proof::Head(head()) };
        memory.acknowledge(&Stream::Vault, &event).unwrap();
        let owed = memory.acknowledged(&Stream::Vault).unwrap();
        // Another program is acknowledged something while this one reads.
        memory.acknowledge(&Stream::Vault, &stands).unwrap();
        assert_eq!(memory.known(&Stream::Vault).unwrap(), [entry(3, b"c")]);
        assert_eq!(memory.heads(&Stream::Vault).unwrap(), [(saw(4), head())]);
        memory.settle(&Stream::Vault, &owed).unwrap();
        assert_eq!(memory.acknowledged(&Stream::Vault).unwrap(), std::slice::from_ref(&stands));
        assert_eq!(memory.streams().unwrap(), [Stream::Vault], "it is to be followed");
        for damaged in ["4 00\n", "4 00 entry 00\n", "4 00 head 7b7d\n"] {
            fs::write(dir.path().join("vault.acknowledged"), damaged).unwrap();
            let refused = memory.acknowledged(&Stream::Vault).unwrap_err();
            assert!(matches!(refused, ClientError::Home { .. }), "{refused}");
        }
        fs::write(dir.path().join("vault.acknowledged"), line(&stands)).unwrap();
        memory.settle(&Stream::Vault, &[stands]).unwrap();
        assert_eq!(memory.streams().unwrap(), [], "nothing is left of it");
    }

    #[test]
    fn a_line_cut_short_is_written_again_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::new(dir.path().to_owned());
        let all = [entry(1, b"a"), entry(2, b"b")];
        memory.keep(&Stream::Vault, &all, &head()).unwrap();
        let path = dir.path().join("vault.log");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 5]).unwrap();
        assert_eq!(memory.recall(&Stream::Vault).unwrap(), all[..1]);
        memory.keep(&Stream::Vault, &all, &head()).unwrap();
        assert_eq!(memory.recall(&Stream::Vault).unwrap(), all);
        fs::write(&path, text.replacen('0', "g", 1)).unwrap();
        let refused = memory.recall(&Stream::Vault).unwrap_err();
        assert!(matches!(refused, ClientError::Home { .. }), "{refused}");
    }
}
