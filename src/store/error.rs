//! Why a store does not open.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::space::is_full;

/// Why a data directory could not be opened. [`OpenError::hint`] says what the operator can do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves this directory.
    #[error("{} is held by another process", path.display())]
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
    #[error("{} is damaged at byte {offset}: {how}; nothing was changed", file.display())]
    Damaged {
        /// The file that is damaged or missing.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// In what way.
        how: String,
    },
    /// The index has seen another journal than the one that is here: an older copy was put in its
    /// place. To go on from it would be to sign a second history.
    #[error(
        "{} is not the journal that this vault has signed: it has {size} events, \
         and the index has seen {seen}{}",
        journal.display(),
        if seen > size { "" } else { ", but not these" }
    )]
    RolledBack {
        /// The journal's directory.
        journal: PathBuf,
        /// How many entries it has.
        size: u64,
        /// How many the index has seen.
        seen: u64,
    },
    /// A backup of something else.
    #[error("{} is a backup of another vault", path.display())]
    OtherJournal {
        /// The backup's head.
        path: PathBuf,
    },
    /// A backup that has more than what it is a backup of.
    #[error(
        "the backup {} has {backup} events, and the vault {store}",
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

impl OpenError {
    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "the vault is running: stop it first",
            Self::Io { source, .. } if is_full(source) => {
                "make room on the disk and start again; nothing is lost"
            }
            Self::Io { .. } => {
                "see what is wrong with this file or its disk and try again; nothing was changed"
            }
            Self::Damaged { .. } => {
                "keep a copy of the directory, restore this file from a backup, and run \
                 `escrowd check` on the result"
            }
            Self::RolledBack { .. } => {
                "put the newest journal back; if it is lost, recover openly with `escrowd recover`, \
                 so that everybody sees what is missing"
            }
            Self::OtherJournal { .. } => "name another directory for the backup",
            Self::BackupIsAhead { .. } => "the vault was set back: keep the backup, and restore it",
            Self::Index(_) => {
                "run `escrowd check`, which names what is damaged, and restore that from a backup"
            }
        }
    }
}

/// A fault found in a file, before it is decided what it means.
pub(crate) fn damaged(file: &Path, offset: u64, how: impl Into<String>) -> OpenError {
    OpenError::Damaged { file: file.to_owned(), offset, how: how.into() }
}

/// For `map_err`: says what was tried with which file.
pub(crate) fn io_at<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { what, path: path.to_owned(), source }
}
