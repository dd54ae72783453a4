//! The server: one file a service, and the connections they are reached by.

pub mod accept;
mod admission;
mod bundles;
pub mod ca;
mod caller;
pub mod calls;
pub mod connection;
pub mod csr;
mod identities;
mod line;
mod meter;
mod pace;
pub mod peer;
mod places;
pub mod service;
mod shares;
mod statements;
mod status;
mod streams;
pub mod tls;
pub mod transport;
