//! Why a store does not open.

use std::io;
use std::path::{Path, PathBuf};

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves this directory.
    #[error("{} is held by another process; stop it first, one process serves a directory", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
    /// What is on disk is not what was written there. Nothing was changed.
    #[error("{} is damaged at byte {offset}: {how}; {remedy}", file.display())]
    Damaged {
        /// The file that is damaged or missing.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// In what way.
        how: String,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// A backup of something else.
    #[error("{} is of another vault; name another directory for the backup", path.display())]
    OtherJournal {
        /// The backup's head.
        path: PathBuf,
    },
    /// A backup that has more than what it is a backup of.
    #[error(
        "the backup {} has {backup} events and the vault {store}: the vault was set back; keep \
         the backup, and restore it",
        path.display()
    )]
    BackupIsAhead {
        /// The backup's head.
        path: PathBuf,
        /// Events in the backup.
        backup: u64,
        /// Events in the vault.
        store: u64,
    },
    /// An entry could not be turned into records again.
    #[error("the index cannot be made from the journal")]
    Index(#[source] crate::store::ReadError),
}

/// What helps against a damaged journal.
pub(crate) const REMEDY: &str = "nothing was changed: keep a copy of the directory, restore this \
     file from a backup, and run `escrowd check` on the result";

/// A fault found in a file, before it is decided what it means.
pub(crate) fn damaged(file: &Path, offset: u64, how: impl Into<String>) -> OpenError {
    OpenError::Damaged { file: file.to_owned(), offset, how: how.into(), remedy: REMEDY }
}

/// For `map_err`: says what was tried with which file.
pub(crate) fn io_at<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { what, path: path.to_owned(), source }
}
