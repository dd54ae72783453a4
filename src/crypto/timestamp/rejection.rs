//! Why no token is given, said as RFC 3161 has it (section 2.4.2): a status, a bit, and a sentence
//! that helps.

use der::Encode as _;
use der::asn1::{BitStringRef, Utf8StringRef};

use crate::crypto::timestamp::asn1::{PkiStatusInfo, TimeStampResp};
use crate::crypto::timestamp::request::REQUEST_BYTES_MAX;

/// PKIStatus `granted`.
pub(super) const GRANTED: u32 = 0;
/// PKIStatus `grantedWithMods`.
pub(super) const GRANTED_WITH_MODS: u32 = 1;
/// PKIStatus `rejection`.
pub(super) const REJECTION: u32 = 2;

/// `rejection` and no more, for when not even the reason can be written.
const BARE: [u8; 7] = [0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02];

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rejection {
    #[error("a request has at most {REQUEST_BYTES_MAX} bytes; send a digest, not the document")]
    TooLarge,
    #[error("this is not a TimeStampReq of RFC 3161 in DER; `openssl ts -query` makes one")]
    Malformed,
    #[error("requests are of version 1")]
    Version,
    #[error("the digest must be of SHA-256, SHA-384 or SHA-512")]
    Hash,
    #[error("these hash functions take no parameters: leave them out, or write NULL")]
    Parameters,
    #[error("the digest has not the length of its hash function's digests")]
    DigestLength,
    #[error("the only policy here is {}; name it or none", crate::crypto::timestamp::POLICY)]
    Policy,
    #[error("no extension of requests is known here; leave them out")]
    Extension,
    #[error("the authority's certificate is not valid now; tell who runs it")]
    Certificate,
    #[error("the token could not be signed; tell who runs this authority")]
    Signing,
}

impl Rejection {
    /// The bit of PKIFailureInfo.
    fn bit(self) -> u8 {
        match self {
            // badAlg
            Self::Hash | Self::Parameters => 0,
            // badRequest
            Self::Version => 2,
            // badDataFormat
            Self::TooLarge | Self::Malformed | Self::DigestLength => 5,
            // unacceptedPolicy
            Self::Policy => 15,
            // unacceptedExtension
            Self::Extension => 16,
            // systemFailure
            Self::Certificate | Self::Signing => 25,
        }
    }

    /// A response that says so.
    pub(super) fn response(self) -> Vec<u8> {
        self.encoded().unwrap_or_else(|_| BARE.to_vec())
    }

    fn encoded(self) -> der::Result<Vec<u8>> {
        let text = self.to_string();
        // A list of named bits ends with the last one that is set (X.690, 11.2.2).
        let mut bits = vec![0; usize::from(self.bit() / 8)];
        bits.push(0x80 >> (self.bit() % 8));
        let status = PkiStatusInfo {
            status: REJECTION,
            status_string: Some(vec![Utf8StringRef::new(&text)?]),
            fail_info: Some(BitStringRef::new(7 - self.bit() % 8, &bits)?),
        };
        TimeStampResp { status, token: None }.to_der()
    }
}
