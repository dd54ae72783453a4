//! What has been received of a bundle whose retrieval is not done: sealed bytes, so nothing secret.
//! Whether they are the bundle's is found when it is opened, from its first byte. Beside them lies
//! what was signed to have them: whoever goes on hands in the same, which is the same delivery.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::client::error::ClientError;
use crate::client::home::Home;
use crate::crypto::keyfile;
use crate::domain::event::SignedText;
use crate::domain::statement::Statement;

/// One request's part of a bundle, held for this program alone.
///
/// It is not synced: after a power cut less of it may be there, or rubbish, and either is found.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    /// Bytes that were there already.
    pub(super) kept: u64,
}

impl Partial {
    /// What is kept for the request with this point, of a bundle of this size; nothing at first.
    pub(super) fn open(home: &Home, point: &str, size: u64) -> Result<Self, ClientError> {
        let dir = home.partial();
        keyfile::private_dir(&dir)?;
        remove_leftovers(home, &dir);
        let path = place(home, point);
        let disk = |fault| full(&path, &fault);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(&path).map_err(disk)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ClientError::input(
                    "BUSY",
                    "this request is being retrieved already, by another program",
                    "wait until that one is done",
                ));
            }
            Err(TryLockError::Error(fault)) => return Err(disk(fault)),
        }
        let kept = file.metadata().map_err(disk)?.len();
        if kept > size {
            file.set_len(0).map_err(disk)?;
        }
        Ok(Self { kept: if kept > size { 0 } else { kept }, path, file })
    }

    /// Reads what was there already.
    pub(super) fn read_kept(&self) -> io::Result<io::Take<File>> {
        Ok(File::open(&self.path)?.take(self.kept))
    }

    /// Reads all that is there now.
    pub(super) fn read_all(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Keeps more.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// That it could not be read or written.
    pub(super) fn failed(&self, fault: &io::Error) -> ClientError {
        full(&self.path, fault)
    }

    /// What was signed to have the bundle of the request with this point, if something was that can be
    /// read. If not, it is signed anew.
    pub(super) fn signed(home: &Home, point: &str) -> Option<SignedText> {
        let path = place(home, point).with_extension(SIGNED);
        let text = keyfile::read(&path, Statement::BYTES_MAX).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps what is signed to have them, before it is handed in.
    pub(super) fn keep_signed(&self, signed: &SignedText) -> Result<(), ClientError> {
        let path = self.path.with_extension(SIGNED);
        let text = serde_json::to_vec(signed).map_err(|fault| full(&path, &fault.into()))?;
        Ok(keyfile::replace(&path, &text)?)
    }

    /// Throws away what is kept for the request with this point, which is not to be retrieved any more.
    pub(super) fn forget(home: &Home, point: &str) {
        // What cannot be removed now is found by `remove_leftovers` once the secret is gone.
        let path = place(home, point);
        drop(fs::remove_file(path.with_extension(SIGNED)));
        drop(fs::remove_file(path));
    }

    /// All is done: throws it away, with what was signed to have it.
    pub(super) fn finish(self) -> Result<(), ClientError> {
        // What cannot be removed now is found by `remove_leftovers`.
        drop(fs::remove_file(self.path.with_extension(SIGNED)));
        self.discard()
    }

    /// Throws it away. What was signed stays: to receive it anew is the same delivery.
    pub(super) fn discard(self) -> Result<(), ClientError> {
        fs::remove_file(&self.path).map_err(|fault| self.failed(&fault))
    }
}

const SUFFIX: &str = "age";
const SIGNED: &str = "signed";

/// Where what is received for the request with this point is kept.
fn place(home: &Home, point: &str) -> PathBuf {
    home.partial().join(format!("{point}.{SUFFIX}"))
}

/// A request whose secret is gone can't be retrieved any more. What cannot be removed now is by the
/// next one.
fn remove_leftovers(home: &Home, dir: &Path) {
    for item in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = item.path();
        let point = path.file_stem().and_then(|point| point.to_str());
        if point.is_some_and(|point| matches!(home.request_secret(point), Ok(None))) {
            drop(fs::remove_file(&path));
        }
    }
}

fn full(path: &Path, fault: &io::Error) -> ClientError {
    let message = format!("{}: {fault}", path.display());
    ClientError::input("DISK", message, "make room there, or mend what the message says")
}
