//! The client: verifies everything itself, trusts nothing it is told.

mod acknowledgement;
pub mod acts;
pub mod archive;
pub mod authorities;
pub mod channel;
pub mod chronicle;
pub mod connect;
mod connect_fault;
pub mod delivery;
pub mod error;
pub mod export;
pub mod home;
pub mod invitation;
mod listing;
pub mod memory;
pub mod mirror;
pub mod packed;
mod partial;
pub mod reading;
pub mod receipt;
pub mod session;
pub mod silence;
pub mod terms_text;
pub mod tls_key;
pub mod trust;
pub mod unfinished;

pub use connect_fault::{ConnectFault, Refusal};
