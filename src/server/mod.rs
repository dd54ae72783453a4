//! server

pub mod accept;
mod admission;
pub mod ca;
pub mod connection;
pub mod csr;
pub mod peer;
pub mod tls;
pub mod transport;
