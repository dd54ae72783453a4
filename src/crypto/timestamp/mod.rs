//! Time-stamps (RFC 3161, with ESSCertIDv2 of RFC 5816): an authority that answers requests, and a
//! strict look at the tokens of any authority.
//!
//! What is signed is a digest and a time, never a document. A token says no more than its
//! authority can be believed: that of a vault proves nothing against the vault's own operator.
//!
//! Of ASN.1 only what is used is described here (`asn1`), over the DER of the crate `der`;
//! certificates are read by `x509-parser`. The crates with all of CMS and RFC 3161 would bring more
//! than they spare: their failure bits are wrong, their object identifiers cannot hold our policy,
//! and their times no fractions, which other authorities write.

mod algorithm;
mod asn1;
mod authority;
mod ca;
mod chain;
mod hash;
mod policy;
mod rejection;
mod renewal;
mod request;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

pub use authority::{Authority, AuthorityFault, answer};
pub use ca::{NoCa, check_ca};
pub use hash::{Hash, Imprint, Imprinting};
pub use policy::{POLICY, Policy};
pub use renewal::{ChainRefused, Link, covered, verify_chain};
pub use request::{REQUEST_BYTES_MAX, request, request_under};
pub use verify::{Stamp, StampRefused, TOKEN_BYTES_MAX, Trusted, imprint, verify, verify_under};
