//! Time-stamps (RFC 3161) of what was registered, in the registration's receipt.

use crate::client::receipt::Unverified;
use crate::crypto::signature;
use crate::crypto::timestamp::{self, Hash, Imprint, POLICY, StampRefused, Trusted};
use crate::domain::id::Digest;
use crate::domain::statement::{Stated, Statement};
use crate::domain::time::Timestamp;

/// A time-stamp with what it takes to verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentStamp {
    /// The token, or the response that it came in, DER.
    pub token: Vec<u8>,
    /// The CA that vouches for its signer, DER. That it came along says nothing for it.
    pub ca: Vec<u8>,
}

/// A time-stamp that verifies, at its own time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedStamp {
    /// When the digest was there.
    pub at: Timestamp,
    /// Of what. A digest other than SHA-256 can be compared with nothing but the document.
    pub imprint: Imprint,
    /// SHA-256 of the certificate of the CA that it was verified under.
    pub ca_sha256: Digest,
    /// Whether whoever verifies named that CA, or it only came along.
    pub ca_was_given: bool,
    /// Whether it says that it is of a vault's own authority, which proves nothing against whoever
    /// runs that vault.
    pub is_of_vault: bool,
}

/// Verifies a time-stamp of the document that this statement registers, under one of the CAs that
/// were given, or else the one that came along.
pub(super) fn prove(
    number: usize,
    stamp: &DocumentStamp,
    stated: Option<&Stated>,
    given: &[Vec<u8>],
) -> Result<ProvedStamp, Unverified> {
    let Some(Statement::Registration(registered)) = stated.map(|stated| &stated.statement) else {
        return Err(Unverified::Event(number, "it has a time-stamp, and registers nothing"));
    };
    let refused = |refused| Unverified::Stamp(number, refused);
    let imprint = timestamp::imprint(&stamp.token).map_err(refused)?;
    if imprint.hash() == Hash::Sha256 && imprint.digest() != registered.sha256.0 {
        return Err(refused(StampRefused::OtherImprint));
    }
    let along = std::slice::from_ref(&stamp.ca);
    let cas = if given.is_empty() { along } else { given };
    let mut verified = Err(StampRefused::Untrusted);
    for ca in cas {
        // What came along may be a CA between.
        let trusted = Trusted { authorities: &[ca], others: &[&stamp.ca] };
        verified = timestamp::verify(&stamp.token, &imprint, trusted, None).map(|it| (it, ca));
        if verified.is_ok() {
            break;
        }
    }
    let (said, ca) = verified.map_err(refused)?;
    Ok(ProvedStamp {
        at: said.at,
        imprint,
        ca_sha256: signature::sha256(ca),
        ca_was_given: !given.is_empty(),
        is_of_vault: said.policy.to_string() == POLICY,
    })
}
