//! The log as a home keeps it: its last checkpoint, and the leaves under it.
//!
//! A vault signs one log for everybody. Whoever keeps it sees at once when it is another than
//! before, and by the labels of its own streams whether an event is withheld, shown twice, or shown
//! without being there. Leaves are verified against the signed root before they are kept, so the
//! files here are believed as far as their hashes lead to it, and fetched anew where they don't.

use std::fs;
use std::io::{ErrorKind, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::client::channel::Channel;
use crate::client::error::ClientError;
use crate::client::home::VaultInfo;
use crate::client::silence::answered;
use crate::crypto::keyfile;
use crate::crypto::note::{NOTE_BYTES_MAX, NoteKey};
use crate::domain::id::{Bytes, Digest, PublicKey};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;
use crate::ledger::Entry;
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::edge::Edge;
use crate::ledger::entry::Leaf;
use crate::ledger::merkle::{self, PROOF_HASHES_MAX};
use crate::ledger::scan::{Scan, Unborne};
use crate::wire::limit::LEAVES_PER_PART;
use crate::wire::v1::log_service_client::LogServiceClient;
use crate::wire::v1::{CheckpointRequest, CheckpointResponse, ScanRequest};

/// Entries of a log that a home keeps: 12 GiB of leaves.
pub const ENTRIES_MAX: u64 = 1 << 28;
/// Length of a leaf.
const LEAF_BYTES: usize = size_of::<Leaf>();
/// Length of a hash.
const HASH_BYTES: usize = size_of::<Digest>();
/// The file with the newest checkpoint that witnesses had cosigned.
const WITNESSED: &str = "witnessed";
/// Leaves that are read back at a time.
const LEAVES_PER_READ: u64 = 4_096;

/// A home's copy of the log.
#[derive(Debug, Clone)]
pub struct Mirror {
    dir: PathBuf,
}

/// How far a copy reaches.
#[derive(Debug, Clone)]
pub struct Mirrored {
    /// The checkpoint, whose signature was verified.
    pub checkpoint: Checkpoint,
    /// The same as it was signed.
    pub note: String,
}

impl Mirror {
    /// The copy in this directory of a home.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Brings the copy level with the vault's newest checkpoint. One that does not continue the last
    /// is refused, and both are kept as evidence in `evidence`.
    pub async fn follow(
        &self,
        vault: &VaultInfo,
        channel: Channel,
        evidence: &Path,
    ) -> Result<Mirrored, ClientError> {
        keyfile::private_dir(&self.dir)?;
        let (key, keys) = (log_key(vault)?, log_keys(vault)?);
        let mut service = LogServiceClient::new(channel);
        loop {
            let last = self.last(&keys)?;
            let seen = last.as_ref().map(|last| last.note.clone()).unwrap_or_default();
            let told = answered(service.checkpoint(CheckpointRequest { seen })).await?.into_inner();
            let next = believe(&key, &told.checkpoint)?;
            if let Some(last) = &last
                && let Err(fault) = continues(last, &next, &told.proof)
            {
                let aside = set_aside(evidence, last, &next)?;
                return Err(ClientError::Untrue(format!(
                    "a log of {} entries that does not continue the one of {} entries that it \
                     signed before ({fault}); both checkpoints are kept in {}",
                    next.checkpoint.size,
                    last.checkpoint.size,
                    aside.display()
                )));
            }
            let witnessed = witnessed(&keys, &next, &told)?;
            let leaves = self.fetch(&mut service, last.as_ref(), &next).await?;
            // Unless another program was quicker: then its checkpoint is the one to go on from.
            if self.keep(&keys, last.as_ref(), &next, leaves)? {
                if let Some(note) = witnessed {
                    keyfile::replace(&self.dir.join(WITNESSED), note.as_bytes())?;
                }
                return Ok(next);
            }
        }
    }

    /// Whether the vault has shown that witnesses cosign its log.
    pub fn is_witnessed(&self) -> bool {
        self.dir.join(WITNESSED).exists()
    }

    /// The newest checkpoint that the vault has shown with cosignatures of witnesses.
    pub fn witnessed(&self) -> Result<Option<String>, ClientError> {
        match self.is_witnessed() {
            true => {
                let note = keyfile::read(&self.dir.join(WITNESSED), NOTE_BYTES_MAX)?;
                Ok(String::from_utf8(note.to_vec()).ok())
            }
            false => Ok(None),
        }
    }

    /// Forgets the copy, whose last checkpoint goes to `aside`: the log is another one now.
    pub fn forget(&self, aside: &Path) -> Result<(), ClientError> {
        if !self.dir.exists() {
            return Ok(());
        }
        let _held = keyfile::lock(&self.dir.join("lock"))?;
        keyfile::private_dir(aside)?;
        let checkpoint = self.checkpoint_file();
        if checkpoint.exists() {
            let note = keyfile::read(&checkpoint, NOTE_BYTES_MAX)?;
            keyfile::replace(&aside.join("checkpoint"), &note)?;
        }
        let files = fs::read_dir(&self.dir).map_err(|fault| home_fault(&self.dir, &fault))?;
        for file in files {
            let path = file.map_err(|fault| home_fault(&self.dir, &fault))?.path();
            if path.file_name().is_some_and(|name| name != "lock") {
                keyfile::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Compares a stream as it was followed with the first `size` entries of the log, which must have
    /// been mirrored: every event is where it is said to be, once, and none that is there is withheld.
    pub fn bears_out(
        &self,
        size: u64,
        stream: &Stream,
        entries: &[Entry],
    ) -> Result<(), ClientError> {
        let path = self.checked_file(stream);
        let checked = checked(&path)?.unwrap_or(0);
        if checked >= size || entries.is_empty() {
            return Ok(());
        }
        let unborne = |fault: Unborne| ClientError::Untrue(fault.to_string());
        let mut scan = Scan::default();
        scan.seek(entries).map_err(unborne)?;
        let looked = |position, leaf: &Leaf| scan.leaf(position, leaf).map_err(unborne);
        self.leaves(checked, size, looked)?;
        Ok(keyfile::replace(&path, size.to_string().as_bytes())?)
    }

    /// The first `size` leaves, which must have been mirrored, as bytes. Whoever puts them to use holds
    /// them against the checkpoint.
    pub fn copied(&self, size: u64) -> Result<impl std::io::Read + use<>, ClientError> {
        let path = self.leaves_file();
        let file = fs::File::open(&path).map_err(|fault| home_fault(&path, &fault))?;
        Ok(std::io::Read::take(file, size * LEAF_BYTES as u64))
    }

    /// The last checkpoint that was kept, if it is one of this log.
    fn last(&self, keys: &[NoteKey]) -> Result<Option<Mirrored>, ClientError> {
        let path = self.checkpoint_file();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = keyfile::read(&path, NOTE_BYTES_MAX)?;
        let note = String::from_utf8(bytes.to_vec()).unwrap_or_default();
        let damaged = || ClientError::Home {
            path: path.clone(),
            what: "the last checkpoint of the log is damaged".to_owned(),
            hint: RESTORE.to_owned(),
        };
        let text = keys.iter().find_map(|key| key.verify(&note).ok()).ok_or_else(damaged)?;
        let checkpoint: Checkpoint = text.parse().map_err(|_| damaged())?;
        Ok(Some(Mirrored { checkpoint, note }))
    }

    /// Fetches what the copy lacks up to a checkpoint and verifies it. The leaves from which position
    /// on, and the edge with them.
    async fn fetch(
        &self,
        service: &mut LogServiceClient<Channel>,
        last: Option<&Mirrored>,
        next: &Mirrored,
    ) -> Result<Fetched, ClientError> {
        let Checkpoint { size, root, .. } = &next.checkpoint;
        if *size > ENTRIES_MAX {
            return Err(ClientError::input(
                "TOO_LONG",
                format!("the vault's log has {size} entries; this program keeps {ENTRIES_MAX}"),
                "update this program",
            ));
        }
        let mut edge = last.and_then(|last| self.edge(last)).unwrap_or_default();
        let from = edge.size();
        let staged = || tempfile::tempfile_in(&self.dir);
        let failed = |fault: std::io::Error| home_fault(&self.dir, &fault);
        let mut leaves = staged().map_err(failed)?;
        if from < *size {
            let request = ScanRequest { from, end: *size };
            let mut parts = answered(service.scan(request)).await?.into_inner();
            while edge.size() < *size {
                let part = answered(parts.message()).await?.unwrap_or_default().leaves;
                let (told, rest) = part.as_chunks::<LEAF_BYTES>();
                let is_some = (1..=LEAVES_PER_PART).contains(&told.len());
                let fits = is_some && told.len() as u64 <= *size - edge.size();
                if !rest.is_empty() || !fits {
                    return Err(untrue("a log without all of its leaves"));
                }
                told.iter().for_each(|leaf| edge.push(merkle::leaf_hash(leaf), |_, _| ()));
                leaves.write_all(&part).map_err(failed)?;
            }
        }
        match edge.root() == *root {
            true => Ok(Fetched { from, leaves, edge }),
            false => Err(untrue("leaves that are not those of its signed log")),
        }
    }

    /// Keeps what was fetched, unless the last checkpoint is another one by now.
    fn keep(
        &self,
        keys: &[NoteKey],
        last: Option<&Mirrored>,
        next: &Mirrored,
        mut fetched: Fetched,
    ) -> Result<bool, ClientError> {
        let _held = keyfile::lock(&self.dir.join("lock"))?;
        let now = self.last(keys)?;
        if now.as_ref().map(|now| &now.note) != last.map(|last| &last.note) {
            return Ok(false);
        }
        if last.is_some_and(|last| last.note == next.note) && fetched.from == fetched.edge.size() {
            return Ok(true);
        }
        let path = self.leaves_file();
        let mut options = fs::OpenOptions::new();
        let mode = std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut written = || {
            let mut file = mode.write(true).create(true).truncate(false).open(&path)?;
            file.set_len(fetched.from * LEAF_BYTES as u64)?;
            file.seek(SeekFrom::End(0))?;
            fetched.leaves.rewind()?;
            std::io::copy(&mut fetched.leaves, &mut file)?;
            file.sync_data()
        };
        written().map_err(|fault| home_fault(&path, &fault))?;
        let edge: Vec<u8> = fetched.edge.hashes().iter().flat_map(|hash| hash.0).collect();
        keyfile::replace(&self.edge_file(), &edge)?;
        // Last, so that it never speaks of leaves that are not there.
        keyfile::replace(&self.checkpoint_file(), next.note.as_bytes())?;
        Ok(true)
    }

    /// The edge under a checkpoint, if what is kept leads to its root.
    fn edge(&self, last: &Mirrored) -> Option<Edge> {
        let Checkpoint { size, root, .. } = &last.checkpoint;
        let bytes = keyfile::read(&self.edge_file(), PROOF_HASHES_MAX * HASH_BYTES).ok()?;
        let leaves = fs::metadata(self.leaves_file()).ok()?.len();
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        let edge = Edge::of(*size, hashes.iter().copied().map(Bytes).collect())?;
        let is_there = leaves >= *size * LEAF_BYTES as u64;
        (rest.is_empty() && is_there && edge.root() == *root).then_some(edge)
    }

    /// Reads the kept leaves from one position to before another.
    fn leaves(
        &self,
        from: u64,
        end: u64,
        mut each: impl FnMut(u64, &Leaf) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let path = self.leaves_file();
        let failed = |fault: std::io::Error| home_fault(&path, &fault);
        let file = fs::File::open(&path).map_err(failed)?;
        let mut at = from;
        while at < end {
            let count = (end - at).min(LEAVES_PER_READ);
            let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * LEAF_BYTES];
            file.read_exact_at(&mut bytes, at * LEAF_BYTES as u64).map_err(failed)?;
            let (leaves, _) = bytes.as_chunks::<LEAF_BYTES>();
            (at..).zip(leaves).try_for_each(|(position, leaf)| each(position, &Bytes(*leaf)))?;
            at += count;
        }
        Ok(())
    }

    fn checkpoint_file(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    fn leaves_file(&self) -> PathBuf {
        self.dir.join("leaves")
    }

    fn edge_file(&self) -> PathBuf {
        self.dir.join("edge")
    }

    fn checked_file(&self, stream: &Stream) -> PathBuf {
        self.dir.join(format!("{}.checked", stream.to_string().replace('/', "+")))
    }
}

/// Leaves that were fetched and verified.
struct Fetched {
    from: u64,
    leaves: fs::File,
    edge: Edge,
}

/// The key that signs this vault's log now.
pub fn log_key(vault: &VaultInfo) -> Result<NoteKey, ClientError> {
    note_key(vault, vault.ledger_key)
}

/// Every key that has signed it.
fn log_keys(vault: &VaultInfo) -> Result<Vec<NoteKey>, ClientError> {
    vault.ledger_keys().map(|key| note_key(vault, key)).collect()
}

fn note_key(vault: &VaultInfo, key: PublicKey) -> Result<NoteKey, ClientError> {
    let key = NoteKey::new(&checkpoint::origin(&vault.log), key);
    key.map_err(|fault| ClientError::Untrue(fault.to_string()))
}

fn believe(key: &NoteKey, note: &str) -> Result<Mirrored, ClientError> {
    let text = key.verify(note).map_err(|fault| {
        ClientError::Untrue(format!("a checkpoint of its log that is none: {fault}"))
    })?;
    let checkpoint: Checkpoint =
        text.parse().map_err(|_| untrue("a checkpoint of its log that cannot be read"))?;
    match checkpoint.origin == key.name() {
        true => Ok(Mirrored { checkpoint, note: note.to_owned() }),
        false => Err(untrue("a checkpoint of another log")),
    }
}

/// Whether a checkpoint continues the last one, by the proof that came with it.
fn continues(
    last: &Mirrored,
    next: &Mirrored,
    proof: &[bytes::Bytes],
) -> Result<(), merkle::Unproven> {
    let hashes: Option<Vec<Digest>> =
        proof.iter().map(|hash| hash.as_ref().try_into().ok().map(Bytes)).collect();
    let hashes = hashes.filter(|hashes| hashes.len() <= PROOF_HASHES_MAX);
    let hashes = hashes.ok_or(merkle::Unproven::Length(proof.len()))?;
    let (last, next) = (&last.checkpoint, &next.checkpoint);
    merkle::check_consistency((last.size, &last.root), (next.size, &next.root), &hashes)
}

/// The checkpoint that enough witnesses have cosigned, as the vault says: one of this log which the
/// newest continues. Whether they have, whoever relies on it finds out by a policy.
fn witnessed<'t>(
    keys: &[NoteKey],
    next: &Mirrored,
    told: &'t CheckpointResponse,
) -> Result<Option<&'t str>, ClientError> {
    let note = told.witnessed.as_str();
    if note.is_empty() && told.witnessed_proof.is_empty() {
        return Ok(None);
    }
    // It may be of before the key was changed.
    let signer = keys.iter().find(|key| key.verify(note).is_ok()).or(keys.first());
    let signer = signer.ok_or_else(|| untrue("a log without a key"))?;
    let witnessed = believe(signer, note)?;
    continues(&witnessed, next, &told.witnessed_proof).map_err(|fault| {
        ClientError::Untrue(format!("that witnesses have seen a log which is not its own: {fault}"))
    })?;
    Ok(Some(note))
}

/// Keeps two checkpoints that cannot both be true.
fn set_aside(evidence: &Path, last: &Mirrored, next: &Mirrored) -> Result<PathBuf, ClientError> {
    let at = Timestamp::from(SystemTime::now()).to_string().replace(':', "-");
    let dir = evidence.join(format!("log-{at}"));
    keyfile::private_dir(evidence)?;
    keyfile::private_dir(&dir)?;
    keyfile::replace(&dir.join("checkpoint-before"), last.note.as_bytes())?;
    keyfile::replace(&dir.join("checkpoint-now"), next.note.as_bytes())?;
    Ok(dir)
}

/// Up to which position a stream has been compared with the log.
fn checked(path: &Path) -> Result<Option<u64>, ClientError> {
    match fs::read_to_string(path) {
        // Whatever else is there is as good as nothing: it is compared again.
        Ok(text) => Ok(text.parse().ok()),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(home_fault(path, &fault)),
    }
}

fn untrue(what: &str) -> ClientError {
    ClientError::Untrue(what.to_owned())
}

fn home_fault(path: &Path, fault: &std::io::Error) -> ClientError {
    ClientError::Home {
        path: path.to_owned(),
        what: fault.to_string(),
        hint: "mend that and try again".to_owned(),
    }
}

const RESTORE: &str = "restore it from your backup; it shows what you have seen of the vault";
