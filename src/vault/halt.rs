//! Why a vault must stop at once, whoever waits.

use crate::ledger::head::SignedHead;

/// Why a vault must stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// A write ended with unknown outcome: start-up decides from what is on disk.
    Unknown,
    /// Somebody has shown what this vault signed and no longer bears out: it was set back to an
    /// earlier state, and must be recovered openly.
    SetBack(Shown),
}

/// What a vault has signed, as somebody shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Where a stream stood.
    Head(SignedHead),
    /// Where the log stood, as a signed note.
    Checkpoint(String),
}
