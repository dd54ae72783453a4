//! Archives: files packed and unpacked.

mod glob;
pub mod pack;
pub mod source;
pub mod unpack;
