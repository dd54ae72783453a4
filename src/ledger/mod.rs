//! The mathematics of the log; no IO. Entries, their salted commitments, the Merkle tree over them,
//! and what the ledger key signs: heads, checkpoints and more.

pub mod authorities;
pub mod checkpoint;
pub mod edge;
pub mod entry;
pub mod head;
pub mod merkle;
pub mod proof;
pub mod tile;

pub use entry::{Entry, LabelKey, Salt};
