//! The server: one file a service, and the connections they are reached by.

pub mod accept;
mod admission;
pub mod authorities;
mod bundles;
pub mod ca;
pub mod call_counts;
mod caller;
pub mod calls;
pub mod connection;
pub mod credentials;
pub mod csr;
mod identities;
mod line;
mod logs;
mod measures;
mod meter;
mod pace;
pub mod peer;
mod places;
mod recoveries;
pub mod service;
mod shares;
mod statements;
mod status;
mod streams;
pub mod tls;
pub mod transport;
