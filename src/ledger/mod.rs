//! The mathematics of the log; no IO. Entries, their salted commitments, and signed heads.

pub mod entry;
pub mod head;

pub use entry::{Entry, LabelKey, Salt};
