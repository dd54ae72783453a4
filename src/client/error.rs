//! What can go wrong for a member, with what to do about it.

use std::path::PathBuf;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::client::connect_fault::ConnectFault;
use crate::crypto::keyfile::KeyFileError;
use crate::crypto::keyring::KeyringError;
pub use crate::domain::chain::chain;
use crate::domain::refusal::Refusal;

/// Why a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The vault cannot be reached, or is not the one that was joined.
    #[error("{}", chain(.0))]
    Connect(#[from] ConnectFault),
    /// The vault said no.
    #[error("{message}")]
    Answered {
        /// The reason, for programs.
        code: String,
        /// The cause.
        message: String,
        /// The remedy.
        hint: String,
        /// Whether it did not answer at all.
        unreachable: bool,
    },
    /// The rules say no, by what was read; the vault was not asked.
    #[error("{}", chain(.0))]
    Refused(Refusal),
    /// The vault showed something that cannot be true.
    #[error("the vault showed something that cannot be true: {0}")]
    Untrue(String),
    /// The vault was recovered, and this home knows its former generation only.
    #[error("the vault was recovered and keeps its log in generation {generation} now")]
    NewGeneration {
        /// Which generation it says it keeps.
        generation: u32,
    },
    /// A private file cannot be read or written.
    #[error("{}", chain(.0))]
    KeyFile(#[from] KeyFileError),
    /// The home's keys are sealed, or cannot be opened.
    #[error("{}", chain(.0))]
    Keyring(#[from] KeyringError),
    /// A file of the home directory.
    #[error("{path}: {what}")]
    Home {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: String,
    },
    /// Something given by the user.
    #[error("{message}")]
    Input {
        /// A name for programs.
        code: &'static str,
        /// What is wrong with which thing.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Not an error in itself: it takes more time, or other people.
    #[error("{message}")]
    NotYet {
        /// What is awaited.
        message: String,
        /// What to do.
        hint: String,
    },
}

impl ClientError {
    /// Something given by the user is wrong.
    pub fn input(code: &'static str, message: impl ToString, hint: impl ToString) -> Self {
        Self::Input { code, message: message.to_string(), hint: hint.to_string() }
    }

    /// A name for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::Connect(_) => "UNREACHABLE",
            Self::Answered { code, .. } => code,
            Self::Refused(refusal) => refusal.code(),
            Self::Untrue(_) => "UNTRUE",
            Self::NewGeneration { .. } => "NEW_GENERATION",
            Self::Keyring(KeyringError::Locked { .. }) => "SEALED",
            Self::Keyring(KeyringError::WrongPassphrase { .. }) => "WRONG_PASSPHRASE",
            Self::KeyFile(_) | Self::Keyring(_) | Self::Home { .. } => "HOME",
            Self::Input { code, .. } => code,
            Self::NotYet { .. } => "NOT_YET",
        }
    }

    /// Whether the vault was not there, and may be back later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect(fault) => fault.may_pass(),
            Self::Answered { unreachable, .. } => *unreachable,
            Self::Refused(_)
            | Self::Untrue(_)
            | Self::NewGeneration { .. }
            | Self::KeyFile(_)
            | Self::Keyring(_)
            | Self::Home { .. }
            | Self::Input { .. }
            | Self::NotYet { .. } => false,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Connect(fault) => fault.hint().to_owned(),
            Self::Answered { hint, .. } => hint.clone(),
            Self::Refused(refusal) => refusal.hint(),
            Self::Untrue(_) => "do not sign or contribute; keep your home directory as evidence \
                                and ask another party what it sees"
                .to_owned(),
            Self::NewGeneration { .. } => "ask the operator and another party what happened, then \
                                           run `escrow resume`"
                .to_owned(),
            Self::Keyring(KeyringError::Locked { .. }) => {
                "run it at a terminal, or name a file that holds the passphrase with \
                 --passphrase-file"
                    .to_owned()
            }
            Self::Keyring(KeyringError::WrongPassphrase { .. }) => {
                "type it again; without it the keys are lost, and a colleague has to invite you \
                 anew under another name"
                    .to_owned()
            }
            Self::KeyFile(_) | Self::Keyring(_) => {
                "mend what the message says, or restore the file from your backup".to_owned()
            }
            Self::Home { hint, .. } | Self::Input { hint, .. } | Self::NotYet { hint, .. } => {
                hint.clone()
            }
        }
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info();
        let lost = matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled);
        match info {
            Some(info) => Self::Answered {
                unreachable: status.code() == Code::Unavailable,
                message: status.message().to_owned(),
                hint: info.metadata.get("hint").cloned().unwrap_or_default(),
                code: info.reason,
            },
            None if lost => Self::Answered {
                code: "UNREACHABLE".to_owned(),
                message: "the connection to the vault was lost".to_owned(),
                hint: "check the network and try again; what was acknowledged stands".to_owned(),
                unreachable: true,
            },
            None => Self::Answered {
                code: format!("{:?}", status.code()).to_uppercase(),
                message: status.message().to_owned(),
                hint: "check that program and vault are of the same version".to_owned(),
                unreachable: false,
            },
        }
    }
}
