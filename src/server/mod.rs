//! The server: one file a service, and the connections they are reached by.

pub mod accept;
mod admission;
pub mod authorities;
mod bundles;
pub mod ca;
mod caller;
pub mod connection;
pub mod credentials;
pub mod csr;
mod identities;
pub mod peer;
pub mod service;
mod shares;
mod statements;
mod status;
mod streams;
pub mod tls;
pub mod transport;
