//! A notice on a data directory: that it is not where the vault stands, and so must not be served
//! as if it were. A backup bears one from the beginning; a vault that was shown to have been set
//! back gets one.

use std::fs;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;
use crate::crypto::{keyfile, strict_json};
use crate::daemon::config::{Place, failed};
use crate::domain::id::Signature;
use crate::domain::time::Timestamp;
use crate::ledger::head::{Head, SignedHead};
use crate::vault::Shown;

const FILE: &str = "not-current.json";
const BYTES_MAX: usize = 16 * 1024;

/// What to do about either kind.
pub(super) const RECOVER: &str = "restore a newer backup if there is one; else run `escrowd recover --data DIR`, which goes on \
                                  openly, in a new generation of the log";

/// What the notice says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notice {
    /// Format.
    #[serde(rename = "type")]
    kind: NoticeType,
    /// Since when.
    at: Timestamp,
    /// Why.
    why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum NoticeType {
    #[serde(rename = "escrow-vault/not-current/v1")]
    V1,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Why {
    /// It is a copy of the vault as it was.
    Backup {
        /// Events in it.
        events: u64,
    },
    /// A client was given this head, and the vault does not have what it names.
    SetBack {
        /// The head's exact bytes.
        head: String,
        /// The ledger key's signature over them.
        signature: Signature,
    },
    /// A client or witness was given this checkpoint, and the vault's log does not bear it out.
    LogSetBack {
        /// The checkpoint, as the lines of a signed note.
        checkpoint: Vec<String>,
    },
}

impl Notice {
    pub(super) fn backup(events: u64) -> Self {
        Self::now(Why::Backup { events })
    }

    pub(super) fn set_back(shown: &Shown) -> Self {
        Self::now(match shown {
            Shown::Head(SignedHead { head, signature }) => {
                let head = String::from_utf8_lossy(head).into_owned();
                Why::SetBack { head, signature: *signature }
            }
            Shown::Checkpoint(note) => {
                Why::LogSetBack { checkpoint: note.lines().map(str::to_owned).collect() }
            }
        })
    }

    fn now(why: Why) -> Self {
        Self { kind: NoticeType::V1, at: Timestamp::from(SystemTime::now()), why }
    }

    /// Puts the notice on a data directory, durably.
    pub(super) fn put(&self, place: &Place) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(self).map_err(failed)?;
        keyfile::replace(&place.store().join(FILE), &text).map_err(failed)
    }

    /// The notice on a data directory, if there is one.
    pub(super) fn on(place: &Place) -> Result<Option<Self>, Failure> {
        let path = place.store().join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = keyfile::read(&path, BYTES_MAX).map_err(failed)?;
        let read = strict_json::parse(&bytes, BYTES_MAX).map_err(|fault| {
            let message = format!("{}: {fault}", path.display());
            Failure::failed("BAD_NOTICE", message, RECOVER)
        })?;
        Ok(Some(read))
    }

    /// Takes the notice away.
    pub(super) fn lift(place: &Place) -> Result<(), Failure> {
        let path = place.store().join(FILE);
        match fs::exists(&path) {
            Ok(false) => Ok(()),
            Ok(true) | Err(_) => keyfile::remove(&path).map_err(failed),
        }
    }

    /// Whether it says that this is a backup.
    pub(super) fn is_backup(&self) -> bool {
        match self.why {
            Why::Backup { .. } => true,
            Why::SetBack { .. } | Why::LogSetBack { .. } => false,
        }
    }

    /// The latest log generation that it shows to have been.
    pub(super) fn generation(&self) -> u32 {
        match &self.why {
            Why::Backup { .. } => 0,
            Why::SetBack { head, .. } => {
                let head = strict_json::parse::<Head>(head.as_bytes(), SignedHead::BYTES_MAX);
                head.map_or(0, |head| head.log.generation)
            }
            Why::LogSetBack { checkpoint } => {
                let origin = checkpoint.first().and_then(|line| line.rsplit_once('/'));
                origin.and_then(|(_, generation)| generation.parse().ok()).unwrap_or(0)
            }
        }
    }

    /// What it says, in a sentence.
    pub(super) fn told(&self) -> String {
        match &self.why {
            Why::Backup { events } => {
                format!("it is a backup of {} with {events} events, not the vault itself", self.at)
            }
            Why::SetBack { head, .. } => {
                let shown = strict_json::parse::<Head>(head.as_bytes(), SignedHead::BYTES_MAX);
                let what = shown.map_or_else(
                    |_| "more than it has".to_owned(),
                    |head| format!("{} up to event {}", head.stream, head.saw.sequence),
                );
                format!(
                    "it was set back to an earlier state: a client was given {what} by this vault, \
                     which does not have it any more"
                )
            }
            Why::LogSetBack { checkpoint } => {
                let size = checkpoint.get(1).map_or("more", String::as_str);
                format!(
                    "it was set back to an earlier state: a client or witness was given a checkpoint \
                     of its log with {size} entries, which are not there any more, or not the same"
                )
            }
        }
    }
}

/// Refuses a data directory that bears a notice.
pub(super) fn refuse(place: &Place) -> Result<(), Failure> {
    let Some(notice) = Notice::on(place)? else { return Ok(()) };
    let message = format!("{} is not served: {}", place.store().display(), notice.told());
    Err(Failure::failed("NOT_CURRENT", message, RECOVER))
}
