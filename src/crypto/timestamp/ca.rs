//! Whether a certificate that somebody is about to pin can vouch for any token at all.

use crate::crypto::timestamp::algorithm::Signed;
use crate::crypto::timestamp::chain::{certificate, may_issue};

/// Why a certificate cannot be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCa {
    /// Not a certificate, or more than one.
    #[error("it is no X.509 certificate in DER")]
    NoCertificate,
    /// A certificate of somebody who certifies nobody, or nobody who stamps times.
    #[error("it is not of a CA that may certify time-stamping authorities")]
    MayNot,
    /// A signature of this key would never verify here.
    #[error("its key is not taken here: RSA of 2048 to 4096 bits, P-256 or P-384 are")]
    Key,
}

/// Whether tokens could count under this certificate in DER, if it is pinned. Whether it is valid is a
/// matter of each token's own time.
pub fn check_ca(der: &[u8]) -> Result<(), NoCa> {
    let ca = certificate(der).ok_or(NoCa::NoCertificate)?;
    if !may_issue(&ca, 0) {
        return Err(NoCa::MayNot);
    }
    if Signed::takes(ca.public_key()) { Ok(()) } else { Err(NoCa::Key) }
}
