//! The mathematics of the log; no IO. Entries, their salted commitments, signed heads, and what
//! else the ledger key signs.

pub mod authorities;
pub mod entry;
pub mod head;

pub use entry::{Entry, LabelKey, Salt};
