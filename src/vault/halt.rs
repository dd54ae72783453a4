//! Why a vault must stop at once, whoever waits.

use crate::ledger::head::SignedHead;

/// Why a vault must stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// A write ended with unknown outcome: start-up decides from what is on disk.
    Unknown,
    /// Somebody has shown a head that this vault signed and no longer has: it was set back to an
    /// earlier state, and must be recovered openly.
    SetBack(SignedHead),
}
