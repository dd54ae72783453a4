//! The pure domain: no IO, no clock, no randomness, no async.

pub mod id;
pub mod stream;
pub mod time;
