//! What is asked of an authority.

use der::asn1::IntRef;
use der::{Decode as _, Encode as _};

use crate::crypto::timestamp::asn1::{Oid, TimeStampReq};
use crate::crypto::timestamp::hash::{Hash, Imprint};
use crate::crypto::timestamp::policy::{self, Policy};
use crate::crypto::timestamp::rejection::Rejection;

/// Largest request that is looked at, in bytes. Usual ones have fewer than 120.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// A request for a token over this imprint, in DER. The nonce ties the token to it: whoever draws a
/// fresh one and finds it in the token ([`Stamp::nonce`]) knows that the token is no older than the
/// request. With `certificate` the token brings its signer's certificate along.
///
/// [`Stamp::nonce`]: crate::crypto::timestamp::Stamp
pub fn request(imprint: &Imprint, nonce: Option<&[u8; 8]>, certificate: bool) -> Vec<u8> {
    request_under(imprint, nonce, certificate, None)
}

/// The same for a token under this policy, if one is named.
pub fn request_under(
    imprint: &Imprint,
    nonce: Option<&[u8; 8]>,
    certificate: bool,
    policy: Option<&Policy>,
) -> Vec<u8> {
    let policy = policy.map(Policy::der);
    // A one in front: positive, of one length.
    let nonce = nonce.map(|nonce| [[1].as_slice(), nonce].concat());
    let encoded = || {
        TimeStampReq {
            version: 1,
            message_imprint: imprint.to_asn1()?,
            req_policy: policy.as_deref().map(Oid),
            nonce: nonce.as_deref().map(IntRef::new).transpose()?,
            cert_req: certificate,
            extensions: None,
        }
        .to_der()
    };
    // Of a few fields of bounded length; an empty request is rejected like any other nonsense.
    encoded().unwrap_or_default()
}

/// Reads a request strictly: one spelling, nothing unknown, nothing behind it.
pub(super) fn parse(der: &[u8]) -> Result<TimeStampReq<'_>, Rejection> {
    if der.len() > REQUEST_BYTES_MAX {
        return Err(Rejection::TooLarge);
    }
    let request = TimeStampReq::from_der(der).map_err(|_| Rejection::Malformed)?;
    // The crate lets pass defaults that are written out, and context tags that nobody knows.
    if request.to_der().ok().as_deref() != Some(der) {
        return Err(Rejection::Malformed);
    }
    if request.version != 1 {
        return Err(Rejection::Version);
    }
    let algorithm = &request.message_imprint.hash_algorithm;
    let hash = Hash::of(algorithm.algorithm).ok_or(Rejection::Hash)?;
    if !algorithm.has_no_parameters() {
        return Err(Rejection::Parameters);
    }
    if request.message_imprint.hashed_message.as_bytes().len() != hash.digest_bytes() {
        return Err(Rejection::DigestLength);
    }
    if request.req_policy.is_some_and(|policy| policy != policy::OURS) {
        return Err(Rejection::Policy);
    }
    // Critical or not (RFC 3161, 2.4.1): whoever asks for more is not given less. An empty list is
    // no list.
    match request.extensions.as_deref() {
        None => Ok(request),
        Some([]) => Err(Rejection::Malformed),
        Some([..]) => Err(Rejection::Extension),
    }
}
