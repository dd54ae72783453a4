//! Why an archive was not unpacked, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why an archive was not unpacked. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum UnpackFault {
    /// Something is there already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// An entry that is neither file nor directory.
    #[error("the archive's entry {name:?} is neither a file nor a directory")]
    Kind {
        /// Which.
        name: String,
    },
    /// A file with holes, which would be as large as it says and not as what was sealed.
    #[error("the archive's entry {name:?} is a sparse file")]
    Sparse {
        /// Which.
        name: String,
    },
    /// An entry that would leave the directory, or deceive the eye.
    #[error("the archive's entry {name:?} has a name that is not accepted: {why}")]
    Name {
        /// Which.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// Two entries for one place.
    #[error("the archive has {name:?} twice")]
    Twice {
        /// Which.
        name: String,
    },
    /// More than was bargained for.
    #[error("the archive has more {0} than is accepted")]
    TooMuch(&'static str),
    /// Not an archive, or cut short, or not what was stated.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// Bytes behind the archive's end.
    #[error("there is something behind the archive's end")]
    Trailing,
    /// The disk says no.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl UnpackFault {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Exists(_) => "name a place that does not exist yet with --out",
            Self::Write { .. } => "make room, or name another place with --out; nothing is lost",
            Self::Kind { .. }
            | Self::Sparse { .. }
            | Self::Name { .. }
            | Self::Twice { .. }
            | Self::TooMuch(_)
            | Self::Read(_)
            | Self::Trailing => {
                "nothing was kept; --raw writes what was sealed as one file, to be looked at \
                 with care"
            }
        }
    }
}
