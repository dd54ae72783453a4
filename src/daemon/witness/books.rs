//! What a witness has seen of each log, and what it cosigns.
//!
//! Of a log it keeps the one note that it cosigned last, durably before anybody is given the cosignature.
//! A log has one lock, held from comparing to having kept: two roots for one size, or a step back, are
//! never cosigned, however requests fall together.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::crypto::cosignature::WitnessKey;
use crate::crypto::keyfile::{self, KeyFileError};
use crate::crypto::note::{NOTE_BYTES_MAX, NoteFault, NoteKey};
use crate::crypto::signature::SigningKey;
use crate::domain::id::Digest;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::merkle::{self, Unproven};
use crate::ledger::submission::Submission;

/// Longest name of a log: its files are called so.
const ORIGIN_BYTES_MAX: usize = 200;

/// Everything that a witness knows.
#[derive(Debug)]
pub(super) struct Books {
    key: WitnessKey,
    signer: SigningKey,
    logs: BTreeMap<String, Book>,
}

/// What it knows of one log.
#[derive(Debug)]
struct Book {
    /// Who signs the log; several while one hands over to another.
    keys: Vec<NoteKey>,
    path: PathBuf,
    last: Mutex<Option<Last>>,
}

/// What was cosigned last.
#[derive(Debug, Clone)]
struct Last {
    size: u64,
    root: Digest,
    note: String,
}

/// Why a witness does not cosign (C2SP tlog-witness).
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("not a submission as C2SP tlog-witness has them")]
    Malformed,
    #[error("the old size is larger than the checkpoint's")]
    Backwards,
    #[error("this witness does not know the log")]
    UnknownLog,
    #[error("the log has not signed the checkpoint")]
    Unsigned,
    #[error("the last checkpoint has {0} entries")]
    Stale(u64),
    #[error("another root was cosigned for the same {0} entries")]
    OtherRoot(u64),
    #[error("the checkpoint does not continue the last one")]
    Unproven(#[source] Unproven),
    #[error("it cannot be kept")]
    Disk(#[source] KeyFileError),
}

/// Why the books cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unopened {
    #[error("{0} is named twice")]
    Twice(String),
    #[error("the name of the log {0} has more than {ORIGIN_BYTES_MAX} bytes")]
    TooLong(String),
    #[error("{} is damaged: {how}", path.display())]
    Damaged { path: PathBuf, how: String },
    #[error("what is kept in {} was signed by another key of that log", path.display())]
    OtherKey { path: PathBuf },
    #[error(transparent)]
    File(#[from] KeyFileError),
}

impl Books {
    /// Opens the books in a directory. A log that is not in them yet begins with its first checkpoint.
    pub(super) fn open(
        dir: &Path,
        key: WitnessKey,
        signer: SigningKey,
        logs: Vec<NoteKey>,
    ) -> Result<Self, Unopened> {
        keyfile::private_dir(dir)?;
        let mut by_origin: BTreeMap<String, Vec<NoteKey>> = BTreeMap::new();
        for log in logs {
            let keys = by_origin.entry(log.name().to_owned()).or_default();
            if keys.contains(&log) {
                return Err(Unopened::Twice(log.to_string()));
            }
            keys.push(log);
        }
        let mut books = BTreeMap::new();
        for (origin, keys) in by_origin {
            if origin.len() > ORIGIN_BYTES_MAX {
                return Err(Unopened::TooLong(origin));
            }
            // A name has no plus: no two logs share a file.
            let path = dir.join(format!("{}.checkpoint", origin.replace('/', "+")));
            let last = Mutex::new(read(&path, &key, &origin, &keys)?);
            books.insert(origin, Book { keys, path, last });
        }
        Ok(Self { key, signer, logs: books })
    }

    /// The logs it knows, by name.
    pub(super) fn origins(&self) -> impl Iterator<Item = &str> {
        self.logs.keys().map(String::as_str)
    }

    /// The note that was cosigned last for a log, if there is one.
    pub(super) fn last(&self, origin: &str) -> Option<String> {
        self.logs.get(origin)?.lock().as_ref().map(|last| last.note.clone())
    }

    /// Cosigns a checkpoint that continues the last one: the signature line. What it is over is
    /// durable by then.
    pub(super) fn add(&self, body: &str, now: u64) -> Result<String, Refused> {
        let submission: Submission = body.parse().map_err(|_| Refused::Malformed)?;
        let Submission { old, proof, checkpoint: note } = submission;
        let origin = note.split('\n').next().unwrap_or_default();
        let book = self.logs.get(origin).ok_or(Refused::UnknownLog)?;
        let (text, alone) = opened(&book.keys, &note).map_err(|fault| match fault {
            NoteFault::Malformed => Refused::Malformed,
            NoteFault::Unsigned(_) | NoteFault::Wrong(_) => Refused::Unsigned,
        })?;
        let next = Checkpoint::of_any_log(text).map_err(|_| Refused::Malformed)?;
        if old > next.size {
            return Err(Refused::Backwards);
        }
        let mut last = book.lock();
        let (size, root) = match &*last {
            Some(last) => (last.size, last.root),
            None => (0, merkle::empty_root()),
        };
        if old != size {
            return Err(Refused::Stale(size));
        }
        if old == next.size && root != next.root {
            book.keep_evidence(origin, &alone);
            return Err(Refused::OtherRoot(size));
        }
        merkle::check_consistency((old, &root), (next.size, &next.root), &proof)
            .map_err(Refused::Unproven)?;
        let line = self.key.cosign(&self.signer, text, now);
        // Another cosignature for the same checkpoint commits to nothing new.
        if last.as_ref().is_none_or(|last| last.size < next.size) {
            let note = format!("{alone}{line}");
            // What could not be read again must not be kept.
            if note.len() > NOTE_BYTES_MAX {
                return Err(Refused::Malformed);
            }
            keyfile::replace(&book.path, note.as_bytes()).map_err(Refused::Disk)?;
            *last = Some(Last { size: next.size, root: next.root, note });
        }
        Ok(line)
    }
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Option<Last>> {
        // It is changed in one step, behind what could fail.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the first checkpoint by which a log contradicts itself: with what is cosigned, it proves it.
    fn keep_evidence(&self, log: &str, note: &str) {
        let path = self.path.with_extension("contradiction");
        let kept = keyfile::write_new(&path, note.as_bytes());
        let kept = matches!(kept, Ok(()) | Err(KeyFileError::Exists { .. }));
        let path = path.display();
        tracing::error!(log, kept, %path, "the log signed two roots for one size");
    }
}

/// A note's text, and the note with the signatures of a log's keys and no others. One of them must have
/// signed it, and none that is there may be wrong.
fn opened<'n>(keys: &[NoteKey], note: &'n str) -> Result<(&'n str, String), NoteFault> {
    let mut opened = Err(NoteFault::Unsigned("none of the log's keys".to_owned()));
    for key in keys {
        match key.alone(note) {
            Ok(alone) => {
                let text = key.verify(note)?;
                let before = opened.map_or_else(|_| format!("{text}\n"), |(_, before)| before);
                let lines = alone.get(text.len() + 1..).unwrap_or_default();
                opened = Ok((text, before + lines));
            }
            Err(NoteFault::Unsigned(_)) => {}
            Err(fault @ (NoteFault::Malformed | NoteFault::Wrong(_))) => return Err(fault),
        }
    }
    opened
}

/// What was cosigned last by this key for this log; `None` where nothing was.
fn read(
    path: &Path,
    key: &WitnessKey,
    origin: &str,
    keys: &[NoteKey],
) -> Result<Option<Last>, Unopened> {
    let damaged = |how: String| Unopened::Damaged { path: path.to_owned(), how };
    let bytes = match keyfile::read(path, 2 * NOTE_BYTES_MAX) {
        Ok(bytes) => bytes,
        // Whatever else the disk says, something may be there.
        Err(KeyFileError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(fault) => return Err(fault.into()),
    };
    let note = std::str::from_utf8(&bytes).map_err(|fault| damaged(fault.to_string()))?;
    let (text, _) = opened(keys, note).map_err(|fault| match fault {
        NoteFault::Unsigned(_) => Unopened::OtherKey { path: path.to_owned() },
        NoteFault::Malformed | NoteFault::Wrong(_) => damaged(fault.to_string()),
    })?;
    let checkpoint = Checkpoint::of_any_log(text).map_err(|fault| damaged(fault.to_string()))?;
    if checkpoint.origin != origin {
        return Err(damaged("it is of another log".to_owned()));
    }
    match key.cosigned(note) {
        Ok(Some(_)) => {
            let Checkpoint { size, root, .. } = checkpoint;
            Ok(Some(Last { size, root, note: note.to_owned() }))
        }
        Ok(None) => Err(damaged(NoteFault::Unsigned(key.name().to_owned()).to_string())),
        Err(fault) => Err(damaged(fault.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use rand_core::OsRng;

    use super::*;
    use crate::domain::id::Bytes;
    use crate::ledger::merkle::Node;

    const NOW: u64 = 1_790_000_000;
    const ORIGIN: &str = "vault.example/escrow-vault/1";

    /// A log of numbers, and another one with the same key from some entry on.
    struct Log {
        signer: SigningKey,
        key: NoteKey,
        differs_from: u64,
    }

    impl Log {
        fn new() -> Self {
            let signer = SigningKey::generate(&mut OsRng);
            let key = NoteKey::new(ORIGIN, signer.public()).unwrap();
            Self { signer, key, differs_from: u64::MAX }
        }

        fn otherwise_from(&self, differs_from: u64) -> Self {
            Self { signer: self.signer.clone(), key: self.key.clone(), differs_from }
        }

        fn node(&self, node: Node) -> Result<Digest, ()> {
            let first = node.index << node.level;
            let leaves = (first..first + (1 << node.level)).map(|number| {
                let leaf = if number < self.differs_from { number } else { !number };
                merkle::leaf_hash(&leaf.to_be_bytes())
            });
            let mut row: Vec<Digest> = leaves.collect();
            while row.len() > 1 {
                row = row.chunks(2).map(|pair| merkle::node_hash(&pair[0], &pair[1])).collect();
            }
            Ok(row[0])
        }

        fn note(&self, size: u64) -> String {
            let root = merkle::root(size, |node| self.node(node)).unwrap();
            let text = Checkpoint { origin: ORIGIN.to_owned(), size, root }.to_string();
            self.key.sign(&self.signer, &text)
        }

        fn submission(&self, old: u64, size: u64) -> Submission {
            let proof = merkle::consistency(old, size, |node| self.node(node)).unwrap();
            Submission { old, proof, checkpoint: self.note(size) }
        }

        fn body(&self, old: u64, size: u64) -> String {
            self.submission(old, size).to_string()
        }
    }

    fn witness() -> (WitnessKey, SigningKey) {
        let signer = SigningKey::generate(&mut OsRng);
        (WitnessKey::new("witness.example", signer.public()).unwrap(), signer)
    }

    fn refusal(books: &Books, body: &str) -> String {
        let before = books.last(ORIGIN);
        let refused = books.add(body, NOW).unwrap_err();
        assert_eq!(books.last(ORIGIN), before, "a refusal changes nothing");
        let told = format!("{refused:?}");
        told.split('(').next().unwrap().to_owned()
    }

    #[test]
    fn a_log_that_only_grows_is_cosigned_and_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (log, (key, signer)) = (Log::new(), witness());
        let open = || {
            let logs = vec![log.key.clone()];
            Books::open(&dir.path().join("logs"), key.clone(), signer.clone(), logs).unwrap()
        };
        let mut books = open();
        assert_eq!(books.last(ORIGIN), None);
        for (old, size) in [(0, 0), (0, 1), (1, 1), (1, 3), (3, 8), (8, 8), (8, 700)] {
            let line = books.add(&log.body(old, size), NOW + size).unwrap();
            let note = format!("{}{line}", log.note(size));
            assert_eq!(key.cosigned(&note), Ok(Some(NOW + size)), "{old} {size}");
            let kept = books.last(ORIGIN);
            if old != size {
                assert_eq!(kept, Some(note), "{old} {size}");
            }
            // As after a crash at this very moment.
            books = open();
            assert_eq!(books.last(ORIGIN), kept);
        }
        // What strangers put beside the log's signature is not kept.
        let with_more = |at, line: &str| {
            let Submission { old, proof, checkpoint } = log.submission(700, at);
            Submission { old, proof, checkpoint: format!("{checkpoint}{line}") }.to_string()
        };
        books.add(&with_more(701, "— stranger.example AAAAAAAA\n"), NOW).unwrap();
        assert!(!books.last(ORIGIN).unwrap().contains("stranger"));
    }

    #[test]
    fn a_log_may_hand_over_to_another_key_under_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (former, (key, signer)) = (Log::new(), witness());
        let (next, stranger) = (Log::new(), Log::new());
        let open = |logs: &[&Log]| {
            let logs = logs.iter().map(|log| log.key.clone()).collect();
            Books::open(&dir.path().join("logs"), key.clone(), signer.clone(), logs).unwrap()
        };
        open(&[&former]).add(&former.body(0, 3), NOW).unwrap();
        // Both sign for a while: whoever knows either goes on.
        let both = |submission: Submission| {
            let text = former.key.verify(&submission.checkpoint).unwrap().to_owned();
            let line = next.key.sign(&next.signer, &text).replacen(&format!("{text}\n"), "", 1);
            Submission { checkpoint: submission.checkpoint + &line, ..submission }.to_string()
        };
        let books = open(&[&former, &next]);
        assert_eq!(refusal(&books, &stranger.body(3, 4)), "Unsigned");
        books.add(&both(former.submission(3, 5)), NOW).unwrap();
        for keys in [&[&former][..], &[&next], &[&next, &former]] {
            assert!(open(keys).last(ORIGIN).is_some());
        }
        let books = open(&[&next]);
        books.add(&next.body(5, 6), NOW).unwrap();
        assert_eq!(refusal(&books, &former.body(6, 7)), "Unsigned");
    }

    #[test]
    fn everything_else_is_refused_as_the_specification_says() {
        let dir = tempfile::tempdir().unwrap();
        let (log, (key, signer)) = (Log::new(), witness());
        let (other, stranger) = (log.otherwise_from(6), Log::new());
        let books =
            Books::open(&dir.path().join("logs"), key, signer, vec![log.key.clone()]).unwrap();
        assert_eq!(refusal(&books, &log.body(3, 8)), "Stale", "nothing was cosigned yet");
        books.add(&log.body(0, 7), NOW).unwrap();
        let with = |change: &dyn Fn(&mut Submission), old, size| {
            let mut submission = log.submission(old, size);
            change(&mut submission);
            submission.to_string()
        };
        for (what, body, expected) in [
            ("nothing", String::new(), "Malformed"),
            ("no checkpoint", "old 7\n\n".to_owned(), "UnknownLog"),
            ("no signature", format!("old 7\n\n{ORIGIN}\n8\n"), "Malformed"),
            ("another log", log.body(7, 9).replace(ORIGIN, "vault.example/2"), "UnknownLog"),
            ("another signer", stranger.body(7, 9), "Unsigned"),
            ("another size than was signed", log.body(7, 9).replace("\n9\n", "\n8\n"), "Unsigned"),
            ("an old size beyond", with(&|it| it.old = 10, 7, 9), "Backwards"),
            ("a step back", log.body(3, 5), "Stale"),
            ("from the beginning", log.body(0, 9), "Stale"),
            ("from where it never was", log.body(8, 9), "Stale"),
            ("another root", other.body(7, 7), "OtherRoot"),
            ("another history", other.body(7, 9), "Unproven"),
            ("no proof", with(&|it| it.proof.clear(), 7, 9), "Unproven"),
            ("a proof of nothing", with(&|it| it.proof.push(Bytes([1; 32])), 7, 7), "Unproven"),
            ("too long a proof", with(&|it| it.proof.push(Bytes([1; 32])), 7, 9), "Unproven"),
        ] {
            assert_eq!(refusal(&books, &body), expected, "{what}");
        }
        let Err(Refused::Stale(7)) = books.add(&log.body(0, 9), NOW) else { panic!("size") };
        let evidence = dir.path().join("logs/vault.example+escrow-vault+1.contradiction");
        assert_eq!(fs::read_to_string(evidence).unwrap(), other.note(7));
        books.add(&log.body(7, 9), NOW).unwrap();
    }

    #[test]
    fn of_two_at_once_one_is_cosigned() {
        let dir = tempfile::tempdir().unwrap();
        let (log, (key, signer)) = (Log::new(), witness());
        let books =
            Books::open(&dir.path().join("logs"), key, signer, vec![log.key.clone()]).unwrap();
        let (books, other) = (Arc::new(books), log.otherwise_from(6));
        books.add(&log.body(0, 5), NOW).unwrap();
        // Each by itself continues the last one: two histories, and sizes that would go back.
        let bodies = [log.body(5, 9), other.body(5, 9), log.body(5, 7), other.body(5, 8)];
        let threads = bodies.map(|body| {
            let books = Arc::clone(&books);
            std::thread::spawn(move || (0..50).filter(|_| books.add(&body, NOW).is_ok()).count())
        });
        let cosigned: Vec<_> = threads.map(|thread| thread.join().unwrap()).into();
        assert_eq!(cosigned.iter().sum::<usize>(), 1, "{cosigned:?}");
    }

    #[test]
    fn books_that_are_damaged_are_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (log, (key, signer)) = (Log::new(), witness());
        let open = |key: &WitnessKey, logs: &[&NoteKey]| {
            let logs = logs.iter().map(|key| (*key).clone()).collect();
            Books::open(&dir.path().join("logs"), key.clone(), signer.clone(), logs)
        };
        let books = open(&key, &[&log.key]).unwrap();
        books.add(&log.body(0, 5), NOW).unwrap();
        let path = dir.path().join("logs/vault.example+escrow-vault+1.checkpoint");
        let note = fs::read_to_string(&path).unwrap();
        for (what, content) in [
            ("empty", String::new()),
            ("cut", note.trim_end().to_owned()),
            ("another size", note.replacen("\n5\n", "\n4\n", 1)),
            ("not cosigned", log.note(5)),
            ("not the log's", note.lines().filter(|line| !line.contains("— vault")).collect()),
        ] {
            fs::write(&path, content).unwrap();
            let refused = open(&key, &[&log.key]).unwrap_err();
            assert!(matches!(refused, Unopened::Damaged { .. }), "{what}: {refused}");
        }
        fs::write(&path, note).unwrap();
        let renamed = WitnessKey::new("other.example", *key.key()).unwrap();
        assert!(matches!(open(&renamed, &[&log.key]), Err(Unopened::Damaged { .. })));
        assert!(matches!(open(&key, &[&Log::new().key]), Err(Unopened::OtherKey { .. })));
        assert!(matches!(open(&key, &[&log.key, &log.key]), Err(Unopened::Twice(_))));
        let long = NoteKey::new(&"x".repeat(201), *log.key.key()).unwrap();
        assert!(matches!(open(&key, &[&long]), Err(Unopened::TooLong(_))));
        open(&key, &[&log.key]).unwrap();
    }
}
