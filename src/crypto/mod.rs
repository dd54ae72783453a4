//! Cryptography: statements' signatures, the release key, age files, proofs.
//!
//! Everything is pure: randomness comes in as an argument, readers and writers too. Points from
//! outside pass [`point`] first, headers [`header`], JSON [`strict_json`].

pub mod contribution;
pub mod cosignature;
pub mod handover;
pub mod header;
pub mod keyfile;
pub mod keyring;
mod knowledge;
pub mod note;
pub mod open;
pub mod payload;
pub mod pem;
pub mod point;
pub mod policy;
pub mod proofs;
pub mod release_key;
pub mod request_point;
pub mod seal;
pub mod share;
pub mod signature;
pub mod statement;
pub mod strict_json;
#[cfg(test)]
mod tests;
pub mod timestamp;
mod transcript;
