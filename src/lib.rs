#![doc = include_str!("ARCHITECTURE.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod cli;
pub mod client;
pub mod crypto;
pub mod daemon;
pub mod domain;
pub mod ledger;
pub mod server;
pub mod store;
pub mod vault;
pub mod wire;
