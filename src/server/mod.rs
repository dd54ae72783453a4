//! The server: one file a service, and the connections they are reached by.

pub mod accept;
mod admission;
mod bundles;
pub mod ca;
mod caller;
pub mod connection;
pub mod csr;
mod identities;
pub mod peer;
mod recoveries;
pub mod service;
mod shares;
mod statements;
mod status;
mod streams;
pub mod tls;
pub mod transport;
