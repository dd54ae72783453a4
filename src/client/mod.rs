//! client

pub mod connect;
mod connect_fault;
pub mod tls_key;
pub mod trust;

pub use connect_fault::{ConnectFault, Refusal};
