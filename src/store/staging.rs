//! Large bundles on their way in, which outlast lost connections and restarts.
//!
//! Each has three files in staging, named by what it is known by: its bytes, the sums of the chunks
//! that are whole, and a record that says whose it is. What is gone on with is what matches its sums,
//! up to the first chunk that does not: behind what was synced a power cut leaves anything. Its bytes
//! are hashed once, as they pass, and once more only after a restart. Should a wrong byte go unnoticed
//! here, the digest of the whole is not the one that the depositor states, and nothing is stored.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::id::{AgreementId, Bytes, Digest, MemberPath};
use crate::domain::time::Timestamp;
use crate::store::bundles::{CHUNK_BYTES, SUM_BYTES, SUMS_HEADER_BYTES, sums_header};
use crate::store::segments::{private_directory, private_file, sync_directory};
use crate::store::turns::Turns;
use crate::store::{Staged, SyncBeside};

const DATA: &str = "part";
const SUMS: &str = "sums";
const RECORD: &str = "json";
/// Largest record, in bytes.
const RECORD_BYTES_MAX: u64 = 4 * 1024;
/// Bytes of a digest in a file's name.
const NAME_BYTES: usize = 16;

/// What a large bundle on its way in is known by. The header of every age file is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Who uploads it.
    pub member: MemberPath,
    /// What it is to be deposited under.
    pub agreement: AgreementId,
    /// SHA-256 of its header.
    pub header_sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// The file that says what the others are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(rename = "type")]
    kind: RecordType,
    upload: Upload,
}

#[derive(Debug, Serialize, Deserialize)]
enum RecordType {
    #[serde(rename = "escrow-vault/upload/v1")]
    V1,
}

impl Upload {
    fn record(&self) -> io::Result<Vec<u8>> {
        let record = Record { kind: RecordType::V1, upload: self.clone() };
        serde_json::to_vec(&record).map_err(io::Error::other)
    }

    /// Reads a record that is spelt as it was written.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let Record { kind: RecordType::V1, upload } = serde_json::from_slice(bytes).ok()?;
        (upload.record().ok()? == bytes).then_some(upload)
    }
}

/// Where bundles are on their way in.
#[derive(Debug, Clone)]
pub(crate) struct Staging {
    directory: PathBuf,
    turns: Arc<Turns>,
}

impl Staging {
    pub(crate) fn at(directory: PathBuf, turns: Arc<Turns>) -> Self {
        Self { directory, turns }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory where it is missing, and clears it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        private_directory(&self.directory)?;
        for item in fs::read_dir(&self.directory)? {
            fs::remove_file(item?.path())?;
        }
        Ok(())
    }

    /// Makes the directory where it is missing, and clears it of what belongs to no upload.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        private_directory(&self.directory)?;
        let kept: Vec<_> = self.uploads()?.iter().flat_map(|files| files.all()).collect();
        for item in fs::read_dir(&self.directory)? {
            let path = item?.path();
            if !kept.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// What was begun and is not stored, and when the last of its bytes came.
    pub(crate) fn unfinished(&self) -> io::Result<Vec<(Upload, Timestamp)>> {
        let uploads = self.uploads()?.into_iter();
        let dated = uploads.map(|files| {
            let changed = fs::metadata(&files.data)?.modified()?;
            Ok((files.upload, Timestamp::from(changed)))
        });
        dated.collect()
    }

    fn uploads(&self) -> io::Result<Vec<Files>> {
        let mut found = Vec::new();
        for item in fs::read_dir(&self.directory)? {
            let path = item?.path();
            if path.extension().is_none_or(|extension| extension != RECORD) {
                continue;
            }
            let mut text = Vec::new();
            File::open(&path)?.take(RECORD_BYTES_MAX).read_to_end(&mut text)?;
            let Some(upload) = Upload::parse(&text) else { continue };
            let files = self.files(&upload)?;
            if files.record == path && files.data.is_file() && files.sums.is_file() {
                found.push(files);
            }
        }
        Ok(found)
    }

    fn files(&self, upload: &Upload) -> io::Result<Files> {
        let digest = Sha256::digest(upload.record()?);
        let name = hex::encode(digest.get(..NAME_BYTES).unwrap_or_default());
        let at = |extension: &str| self.directory.join(format!("{name}.{extension}"));
        let (data, sums, record) = (at(DATA), at(SUMS), at(RECORD));
        Ok(Files { upload: upload.clone(), data, sums, record })
    }

    /// Begins a bundle, or goes on with what is there of it.
    pub(crate) fn stage(&self, upload: &Upload) -> io::Result<StagedBundle> {
        let files = self.files(upload)?;
        match files.record.is_file() && files.data.is_file() && files.sums.is_file() {
            true => StagedBundle::again(files, Arc::clone(&self.turns)),
            false => StagedBundle::new(files, Arc::clone(&self.turns)),
        }
    }

    /// Removes whatever there is of a bundle.
    pub(crate) fn forget(&self, upload: &Upload) -> io::Result<()> {
        // The record first: what it does not name is cleared by the next start.
        let [data, sums, record] = self.files(upload)?.all();
        for path in [record, data, sums] {
            match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Files {
    upload: Upload,
    data: PathBuf,
    sums: PathBuf,
    record: PathBuf,
}

impl Files {
    fn all(&self) -> [PathBuf; 3] {
        [self.data.clone(), self.sums.clone(), self.record.clone()]
    }
}

/// A bundle in staging. Its files stay when it is dropped.
#[derive(Debug)]
pub struct StagedBundle {
    files: Files,
    turns: Arc<Turns>,
    data: Arc<File>,
    sums: Arc<File>,
    /// Of whole chunks, not written yet.
    pending_sums: Vec<u8>,
    /// How far the chunks are whole, and how far everything is.
    whole: Passed,
    passed: Passed,
    chunk: Chunk,
    /// Whether its names were made durable.
    is_named: bool,
    sha256: Option<Digest>,
}

/// What has been hashed.
#[derive(Debug, Clone)]
struct Passed {
    size: u64,
    hash: Sha256,
    /// Of the sums' header and the sums so far.
    sums_crc: crc32fast::Hasher,
}

#[derive(Debug, Default)]
struct Chunk {
    crc: crc32fast::Hasher,
    bytes: usize,
}

impl Passed {
    fn nothing() -> Self {
        let mut sums_crc = crc32fast::Hasher::new();
        sums_crc.update(&sums_header());
        Self { size: 0, hash: Sha256::new(), sums_crc }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
    }

    fn sums_bytes(&self) -> u64 {
        (SUMS_HEADER_BYTES + SUM_BYTES * usize::try_from(self.chunks()).unwrap_or(usize::MAX))
            as u64
    }

    fn chunks(&self) -> u64 {
        self.size.div_ceil(CHUNK_BYTES as u64)
    }
}

impl StagedBundle {
    fn new(files: Files, turns: Arc<Turns>) -> io::Result<Self> {
        let data = private_file().truncate(true).open(&files.data)?;
        let sums = private_file().truncate(true).open(&files.sums)?;
        sums.write_all_at(&sums_header(), 0)?;
        private_file().truncate(true).open(&files.record)?.write_all(&files.upload.record()?)?;
        Ok(Self::of((files, turns), data, sums, Passed::nothing()))
    }

    /// Reads again what is there, and cuts off what does not match its sums.
    fn again(files: Files, turns: Arc<Turns>) -> io::Result<Self> {
        let data = private_file().open(&files.data)?;
        let sums = private_file().open(&files.sums)?;
        let found = verified(files.upload.size, &data, &sums)?;
        if found.size == 0 {
            drop((data, sums));
            return Self::new(files, turns);
        }
        let mut staged = Self::of((files, turns), data, sums, found);
        staged.cut()?;
        Ok(staged)
    }

    fn of((files, turns): (Files, Arc<Turns>), data: File, sums: File, passed: Passed) -> Self {
        Self {
            files,
            turns,
            data: Arc::new(data),
            sums: Arc::new(sums),
            pending_sums: Vec::new(),
            whole: passed.clone(),
            passed,
            chunk: Chunk::default(),
            is_named: false,
            sha256: None,
        }
    }

    /// Whether it was synced after its last byte.
    pub(crate) fn is_synced(&self) -> bool {
        self.sha256.is_some()
    }

    /// Gives its files their final names. Its checksum of sums.
    pub(crate) fn place(self, data: &Path, sums: &Path) -> io::Result<(u64, u32)> {
        fs::rename(&self.files.sums, sums)?;
        fs::rename(&self.files.data, data)?;
        // Without its files it says nothing; a start clears it.
        drop(fs::remove_file(&self.files.record));
        Ok((self.passed.size, self.passed.sums_crc.finalize()))
    }

    fn end_chunk(&mut self) {
        let sum = std::mem::take(&mut self.chunk).crc.finalize().to_be_bytes();
        self.passed.sums_crc.update(&sum);
        self.pending_sums.extend(sum);
        self.whole = self.passed.clone();
    }

    fn write_sums(&mut self) -> io::Result<()> {
        let at = self.whole.sums_bytes() - self.pending_sums.len() as u64;
        self.sums.write_all_at(&self.pending_sums, at)?;
        self.pending_sums.clear();
        Ok(())
    }
}

impl Staged for StagedBundle {
    fn size(&self) -> u64 {
        self.passed.size
    }

    fn first(&self, bytes_max: usize) -> io::Result<Vec<u8>> {
        let length = self.passed.size.min(bytes_max as u64);
        let mut first = vec![0; usize::try_from(length).unwrap_or(bytes_max)];
        self.data.read_exact_at(&mut first, 0)?;
        Ok(first)
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.is_synced() {
            return Err(io::Error::other("the bundle is complete"));
        }
        self.data.write_all_at(bytes, self.passed.size)?;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.chunk.bytes));
            self.passed.pass(now);
            self.chunk.crc.update(now);
            self.chunk.bytes += now.len();
            if self.chunk.bytes == CHUNK_BYTES {
                self.end_chunk();
            }
            bytes = later;
        }
        Ok(())
    }

    fn sync_beside(&mut self) -> io::Result<SyncBeside> {
        self.write_sums()?;
        let (data, sums, size) = (Arc::clone(&self.data), Arc::clone(&self.sums), self.whole.size);
        let turns = Arc::clone(&self.turns);
        let named = !std::mem::replace(&mut self.is_named, true);
        let record = named.then(|| self.files.record.clone());
        Ok(Box::new(move || {
            let _turn = turns.of_bundle();
            data.sync_data()?;
            sums.sync_data()?;
            if let Some(record) = record {
                File::open(&record)?.sync_all()?;
                record.parent().map_or(Ok(()), sync_directory)?;
            }
            Ok(size)
        }))
    }

    fn cut(&mut self) -> io::Result<()> {
        if self.is_synced() {
            return Ok(());
        }
        self.chunk = Chunk::default();
        self.passed = self.whole.clone();
        self.data.set_len(self.whole.size)?;
        self.sums.set_len(self.whole.sums_bytes() - self.pending_sums.len() as u64)
    }

    fn sync(&mut self) -> io::Result<Digest> {
        if let Some(sha256) = self.sha256 {
            return Ok(sha256);
        }
        if self.chunk.bytes > 0 {
            self.end_chunk();
        }
        self.write_sums()?;
        let _turn = self.turns.of_bundle();
        self.sums.sync_all()?;
        self.data.sync_all()?;
        let sha256 = Bytes(self.passed.hash.clone().finalize().into());
        self.sha256 = Some(sha256);
        Ok(sha256)
    }
}

/// How far a bundle of this size is there, chunk by chunk as its sums say.
fn verified(size: u64, mut data: &File, sums: &File) -> io::Result<Passed> {
    let mut found = Passed::nothing();
    let mut sums = BufReader::new(sums);
    let mut header = sums_header();
    if !is_read(sums.read_exact(&mut header))? || header != sums_header() {
        return Ok(found);
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut sum = [0; SUM_BYTES];
    while found.size < size {
        let left = usize::try_from(size - found.size).unwrap_or(CHUNK_BYTES);
        let chunk = buffer.get_mut(..left.min(CHUNK_BYTES)).unwrap_or_default();
        if !is_read(sums.read_exact(&mut sum))?
            || !is_read(data.read_exact(chunk))?
            || crc32fast::hash(chunk) != u32::from_be_bytes(sum)
        {
            break;
        }
        found.pass(chunk);
        found.sums_crc.update(&sum);
    }
    Ok(found)
}

/// Whether there was as much as was wanted.
fn is_read(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 3 * CHUNK_BYTES + 1_000;

    fn content() -> Vec<u8> {
        (0..SIZE).map(|n| (n % 251) as u8).collect()
    }

    fn upload() -> Upload {
        Upload {
            member: "hanbit-parts/minji".parse().unwrap(),
            agreement: AgreementId::of(&Bytes([1; 32])),
            header_sha256: Bytes([2; 32]),
            size: SIZE as u64,
        }
    }

    #[test]
    fn what_does_not_match_its_sums_is_cut_off_and_the_rest_gone_on_with() {
        type Spoil = fn(&Path, &Path);
        fn alter(path: &Path, at: u64) {
            let file = File::options().read(true).write(true).open(path).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        }
        fn cut(path: &Path, length: u64) {
            File::options().write(true).open(path).unwrap().set_len(length).unwrap();
        }
        let sums = |chunks: usize| (SUMS_HEADER_BYTES + SUM_BYTES * chunks) as u64;
        let second = CHUNK_BYTES as u64 + 7;
        assert_eq!((sums(1), second), (24, 262_151), "the numbers below");
        let cases: [(&str, Spoil, usize); 9] = [
            ("nothing", |_, _| (), 2),
            ("a byte of the second chunk", |data, _| alter(data, 262_151), 1),
            ("a byte of the first", |data, _| alter(data, 0), 0),
            ("the second is not all there", |data, _| cut(data, 262_151), 1),
            ("anything behind", |data, _| cut(data, 1 << 20), 2),
            ("the second's sum", |_, sums| alter(sums, 24), 1),
            ("it is missing", |_, sums| cut(sums, 24), 1),
            ("the sums' header", |_, sums| alter(sums, 3), 0),
            ("no sums", |_, sums| cut(sums, 0), 0),
        ];
        for (what, spoil, chunks) in cases {
            let directory = tempfile::tempdir().unwrap();
            let staging = Staging::at(directory.path().join("staging"), Arc::default());
            staging.clear().unwrap();
            let (content, upload) = (content(), upload());
            let mut staged = staging.stage(&upload).unwrap();
            staged.write(&content[..2 * CHUNK_BYTES + 10]).unwrap();
            assert_eq!(staged.sync_beside().unwrap()().unwrap(), 2 * CHUNK_BYTES as u64);
            let files = staging.files(&upload).unwrap();
            drop(staged);
            spoil(&files.data, &files.sums);
            staging.tidy().unwrap();
            let mut staged = staging.stage(&upload).unwrap();
            assert_eq!(staged.size(), (chunks * CHUNK_BYTES) as u64, "{what}");
            staged.write(&content[chunks * CHUNK_BYTES..]).unwrap();
            let sha256 = staged.sync().unwrap();
            assert_eq!(sha256.0[..], Sha256::digest(&content)[..], "{what}");
            let of_old = |staged: StagedBundle| {
                let [data, sums] = ["data", "sums"].map(|name| directory.path().join(name));
                let placed = staged.place(&data, &sums).unwrap();
                (placed, fs::read(data).unwrap(), crc32fast::hash(&fs::read(sums).unwrap()))
            };
            let ((size, sums_crc), data, of_sums) = of_old(staged);
            assert_eq!((size, data == content), (SIZE as u64, true), "{what}");
            assert_eq!(sums_crc, of_sums, "{what}");
            assert_eq!(fs::read_dir(staging.path()).unwrap().count(), 0, "{what}");
        }
    }

    #[test]
    fn what_is_cut_back_in_the_midst_of_a_chunk_is_as_if_it_had_not_come() {
        let directory = tempfile::tempdir().unwrap();
        let staging = Staging::at(directory.path().to_owned(), Arc::default());
        let content = content();
        let mut staged = staging.stage(&upload()).unwrap();
        for (from, to, left) in [(0, 100, 0), (0, CHUNK_BYTES + 5, 1), (CHUNK_BYTES, SIZE - 1, 3)] {
            staged.write(&content[from..to]).unwrap();
            staged.cut().unwrap();
            assert_eq!(staged.size(), (left * CHUNK_BYTES) as u64);
        }
        staged.write(&content[3 * CHUNK_BYTES..]).unwrap();
        assert_eq!(staged.sync().unwrap().0[..], Sha256::digest(&content)[..]);
        drop(staged);
        // Whole, it is found whole, the last chunk as well.
        let mut staged = staging.stage(&upload()).unwrap();
        assert_eq!(staged.size(), SIZE as u64);
        assert_eq!(staged.sync().unwrap().0[..], Sha256::digest(&content)[..]);
    }

    #[test]
    fn a_start_keeps_uploads_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let staging = Staging::at(directory.path().to_owned(), Arc::default());
        drop(staging.stage(&upload()).unwrap());
        let files = staging.files(&upload()).unwrap();
        let (record, name) = (fs::read(&files.record).unwrap(), directory.path().join("name"));
        let kept = || {
            staging.tidy().unwrap();
            let left = fs::read_dir(directory.path()).unwrap().count();
            (staging.unfinished().unwrap().len(), left)
        };
        fs::write(&name, "left").unwrap();
        fs::write(name.with_extension(RECORD), &record).unwrap();
        fs::write(name.with_extension(DATA), "left").unwrap();
        assert_eq!(kept(), (1, 3));
        let spelt = String::from_utf8(record.clone()).unwrap();
        let other = upload().size - 1;
        for (what, text) in [
            ("another spelling", spelt.replace(',', ", ")),
            ("an unknown field", spelt.replace("{\"member", "{\"more\":1,\"member")),
            ("another upload", spelt.replace(&upload().size.to_string(), &other.to_string())),
            ("nothing", String::new()),
        ] {
            assert_ne!(text, spelt);
            drop(staging.stage(&upload()).unwrap());
            fs::write(&files.record, text).unwrap();
            assert_eq!(kept(), (0, 0), "{what}");
        }
        drop(staging.stage(&upload()).unwrap());
        fs::remove_file(&files.sums).unwrap();
        assert_eq!(kept(), (0, 0), "a part of it");
        drop(staging.stage(&upload()).unwrap());
        staging.forget(&upload()).unwrap();
        staging.forget(&upload()).unwrap();
        assert_eq!(kept(), (0, 0), "forgotten");
    }
}
