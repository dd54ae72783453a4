//! The vault from outside: real sockets, real files, real binaries.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod layers;
mod scenarios;
mod tls;
