//! The mathematics of the log; no IO. Entries, their salted commitments, and signed heads.

pub mod entry;

pub use entry::{Entry, LabelKey, Salt};
