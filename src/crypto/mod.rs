//! crypto
pub mod keyfile;
