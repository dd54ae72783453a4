//! Archives: files packed and unpacked.

pub mod pack;
pub mod source;
pub mod unpack;
