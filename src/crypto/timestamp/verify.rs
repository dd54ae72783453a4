//! A strict look at a token, whoever made it.

use der::asn1::AnyRef;
use der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_parser::certificate::X509Certificate;

use crate::crypto::timestamp::algorithm::{SignatureFault, Signed};
use crate::crypto::timestamp::asn1::{
    AlgorithmIdentifier, Attribute, CONTENT_TYPE, ContentInfo, DIRECTORY_NAME, EssCertIdV2,
    MESSAGE_DIGEST, Oid, SIGNED_DATA, SIGNING_CERTIFICATE_V2, SetOf, SignedData, SignerInfo,
    SigningCertificateV2, TST_INFO, TimeStampResp, TstInfo,
};
use crate::crypto::timestamp::chain::{self, ChainFault};
use crate::crypto::timestamp::hash::{Hash, Imprint};
use crate::crypto::timestamp::policy::Policy;
use crate::crypto::timestamp::rejection::{GRANTED, GRANTED_WITH_MODS};
use crate::domain::text::is_deceptive;
use crate::domain::time::{Span, Timestamp};

/// Largest token, or response with one, that is looked at, in bytes. With the certificates of a
/// usual chain it has about 6,000.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// Most certificates in a token.
const CERTIFICATES_MAX: usize = 16;
/// Most characters of what an authority says in its own words.
const WORDS_CHARS_MAX: usize = 200;

/// Whose tokens are believed. All certificates are DER.
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'a> {
    /// CAs that are pinned: a token's signer is certified by one of them, or by one that they have
    /// certified. At least one.
    pub authorities: &'a [&'a [u8]],
    /// Certificates that are not in the token: its signer's, or of CAs between. They are not
    /// believed by themselves.
    pub others: &'a [&'a [u8]],
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// When the digest was there.
    pub at: Timestamp,
    /// The token's number, unique to its authority: a positive integer, big-endian.
    pub serial: Vec<u8>,
    /// Under which policy it was made.
    pub policy: Policy,
    /// What the digest was made with.
    pub hash: Hash,
    /// What the request named to know its answer by: an integer as in DER.
    pub nonce: Option<Vec<u8>>,
    /// When the first of the certificates that it hangs on ends.
    pub good_until: Timestamp,
}

impl Stamp {
    /// Whether it answers a request ([`request`]) with this nonce.
    ///
    /// [`request`]: crate::crypto::timestamp::request()
    pub fn answers(&self, nonce: &[u8; 8]) -> bool {
        self.nonce.as_deref() == Some([[1].as_slice(), nonce].concat().as_slice())
    }

    /// Whether it is of the time between question and answer, as far as two clocks may be apart.
    pub fn is_timely(&self, asked_at: Timestamp, came_at: Timestamp, skew_max: Span) -> bool {
        asked_at <= self.at.after(skew_max) && self.at <= came_at.after(skew_max)
    }
}

/// Why a token does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StampRefused {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("it has {bytes} bytes, more than {TOKEN_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not what RFC 3161 and RFC 5652 have here.
    #[error("it is not a time-stamp token: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// A response without a token.
    #[error("the authority gave no token (status {status}){}{words}", if words.is_empty() { "" } else { ": " })]
    Rejected {
        /// PKIStatus.
        status: u32,
        /// What the authority said, without what could disturb a terminal.
        words: String,
    },
    /// The token is of something else.
    #[error("it is a time-stamp of another document")]
    OtherImprint,
    /// Something that is not taken here, and could be in a good token.
    #[error("{what} is not taken here")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// A certificate that was given along cannot be read.
    #[error("a certificate that was given along with the token is not X.509 in DER")]
    GivenCertificate,
    /// The certificate that the token names is neither in it nor given along.
    #[error("its signer's certificate is missing: ask for it in the request, or give it along")]
    NoCertificate,
    /// The signer may not sign time-stamps.
    #[error("its signer's certificate does not serve: {why}")]
    Purpose {
        /// Why not.
        why: &'static str,
    },
    /// The signature is wrong.
    #[error("its signature does not verify")]
    Signature,
    /// No way leads from the signer to a pinned CA.
    #[error("its signer is not certified by a CA that is pinned here")]
    Untrusted,
    /// A certificate is not valid at a time at which it should be.
    #[error("a certificate that it hangs on is not valid at {at}")]
    NotValid {
        /// Then.
        at: Timestamp,
    },
    /// The token is of a time that is yet to come.
    #[error("it is of {at}, which is yet to come")]
    Future {
        /// The token's time.
        at: Timestamp,
    },
}

/// Verifies a token, or the response that it came in (DER either way), against pinned CAs: that it
/// is of this digest, signed by a certificate for time-stamps only, which it names by its digest
/// exactly once and which, like those above it, was valid at the token's time. With `at`, then
/// too: that is what stock tools ask for, and what a token from before an authority's end cannot
/// meet any more.
pub fn verify(
    token: &[u8],
    imprint: &Imprint,
    trusted: Trusted<'_>,
    at: Option<Timestamp>,
) -> Result<Stamp, StampRefused> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(StampRefused::TooLarge { bytes: token.len() });
    }
    let content = content(token)?;
    if content.content_type != SIGNED_DATA {
        return Err(malformed("it is no signed data"));
    }
    let signed: SignedData<'_> =
        content.content.decode_as().map_err(|_| malformed("its signed data cannot be read"))?;
    let info = signed.encap_content_info.content.as_bytes();
    if signed.version != 3 || signed.encap_content_info.content_type != TST_INFO {
        return Err(malformed("what is signed is no time-stamp"));
    }
    let [signer] = signed.signer_infos.0.as_slice() else {
        return Err(malformed("it has not exactly one signer"));
    };
    let stamp = stamp(info, imprint)?;
    if at.is_some_and(|at| stamp.at > at) {
        return Err(StampRefused::Future { at: stamp.at });
    }

    let inside = inside(&signed)?;
    let mut pool: Vec<_> = inside.iter().filter_map(|der| chain::certificate(der)).collect();
    pool.extend(given(trusted.others)?);
    let pinned = given(trusted.authorities)?;
    let certificate = signed_by(signer, &signed.digest_algorithms, info, &pool)?;
    chain::stamping(certificate).map_err(|why| StampRefused::Purpose { why })?;
    let times: Vec<_> = [Some(stamp.at), at].into_iter().flatten().collect();
    let good_until = chain::climb(certificate, &pool, &pinned, &times);
    let good_until = good_until.map_err(|fault| match fault {
        ChainFault::Untrusted => StampRefused::Untrusted,
        ChainFault::NotValid(at) => StampRefused::NotValid { at },
    })?;
    Ok(Stamp { good_until, ..stamp })
}

/// The same under several CAs, of which one is enough: what the token says, and which vouches for it.
pub fn verify_under<'c, C: AsRef<[u8]>>(
    token: &[u8],
    imprint: &Imprint,
    cas: &'c [C],
    at: Option<Timestamp>,
) -> Result<(Stamp, &'c [u8]), StampRefused> {
    let mut refused = StampRefused::Untrusted;
    for ca in cas.iter().map(AsRef::as_ref) {
        let trusted = Trusted { authorities: &[ca], others: &[] };
        match verify(token, imprint, trusted, at) {
            Ok(stamp) => return Ok((stamp, ca)),
            Err(StampRefused::Untrusted) => {}
            Err(other) => refused = other,
        }
    }
    Err(refused)
}

/// What a token, or the response that it came in, says that it is of. Nothing of it is verified:
/// for whoever has no document at hand, and verifies it against this.
pub fn imprint(token: &[u8]) -> Result<Imprint, StampRefused> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(StampRefused::TooLarge { bytes: token.len() });
    }
    let content = content(token)?.content;
    let signed: SignedData<'_> =
        content.decode_as().map_err(|_| malformed("its signed data cannot be read"))?;
    let info = TstInfo::from_der(signed.encap_content_info.content.as_bytes())
        .map_err(|_| malformed("its time cannot be read"))?;
    let of = &info.message_imprint;
    let hash = Hash::of(of.hash_algorithm.algorithm);
    let imprint = hash.and_then(|hash| Imprint::new(hash, of.hashed_message.as_bytes()));
    imprint.ok_or(StampRefused::Unsupported { what: "a hash function other than SHA-2" })
}

fn malformed(what: &'static str) -> StampRefused {
    StampRefused::Malformed { what }
}

/// The token itself.
fn content(bytes: &[u8]) -> Result<ContentInfo<'_>, StampRefused> {
    if let Ok(token) = ContentInfo::from_der(bytes) {
        return Ok(token);
    }
    let response = TimeStampResp::from_der(bytes)
        .map_err(|_| malformed("neither a token nor a response in DER"))?;
    match (response.status.status, response.token) {
        (GRANTED | GRANTED_WITH_MODS, Some(token)) => {
            token.decode_as().map_err(|_| malformed("the response has something else"))
        }
        (status, _) => {
            let words = response.status.status_string.unwrap_or_default();
            let words: Vec<_> = words.iter().map(|one| one.as_str()).collect();
            let words = words.join(" ");
            let words = words.chars().filter(|c| !is_deceptive(*c));
            Err(StampRefused::Rejected { status, words: words.take(WORDS_CHARS_MAX).collect() })
        }
    }
}

/// What the token says, if it is of this digest.
fn stamp(info: &[u8], imprint: &Imprint) -> Result<Stamp, StampRefused> {
    let info = TstInfo::from_der(info).map_err(|_| malformed("its time cannot be read"))?;
    if info.version != 1 {
        return Err(malformed("it is not of version 1"));
    }
    let algorithm = &info.message_imprint.hash_algorithm;
    let is_same = Hash::of(algorithm.algorithm) == Some(imprint.hash())
        && algorithm.has_no_parameters()
        && info.message_imprint.hashed_message.as_bytes() == imprint.digest();
    if !is_same {
        return Err(StampRefused::OtherImprint);
    }
    if info.extensions.iter().flatten().any(|extension| extension.critical) {
        return Err(StampRefused::Unsupported { what: "a critical extension of the token" });
    }
    let serial = info.serial_number.as_bytes();
    if serial.first().is_none_or(|first| *first >= 0x80) {
        return Err(malformed("its serial number is negative"));
    }
    let first = serial.iter().position(|byte| *byte != 0).unwrap_or(serial.len());
    Ok(Stamp {
        at: info.gen_time.0,
        serial: serial.get(first..).unwrap_or_default().to_vec(),
        policy: Policy::of(info.policy).ok_or_else(|| malformed("its policy cannot be read"))?,
        hash: imprint.hash(),
        nonce: info.nonce.map(|nonce| nonce.as_bytes().to_vec()),
        // Until it is known what it hangs on.
        good_until: info.gen_time.0,
    })
}

/// The certificates in the token. What is of another kind is passed over.
fn inside(signed: &SignedData<'_>) -> Result<Vec<Vec<u8>>, StampRefused> {
    let certificates = signed.certificates.as_ref().map_or([].as_slice(), |set| &set.0);
    if certificates.len() > CERTIFICATES_MAX {
        return Err(malformed("it has too many certificates"));
    }
    let ders = certificates.iter().map(der::Encode::to_der);
    ders.collect::<Result<_, _>>().map_err(|_| malformed("its certificates cannot be read"))
}

fn given<'a>(ders: &'a [&'a [u8]]) -> Result<Vec<X509Certificate<'a>>, StampRefused> {
    let parsed = ders.iter().map(|der| chain::certificate(der));
    parsed.collect::<Option<_>>().ok_or(StampRefused::GivenCertificate)
}

/// The certificate that the signature names and verifies under.
fn signed_by<'a, 'b>(
    signer: &SignerInfo<'_>,
    digest_algorithms: &SetOf<AlgorithmIdentifier<'_>>,
    info: &[u8],
    pool: &'a [X509Certificate<'b>],
) -> Result<&'a X509Certificate<'b>, StampRefused> {
    if signer.version != 1 {
        return Err(malformed("its signer is not of version 1"));
    }
    let hash = hash(&signer.digest_algorithm)?;
    if !digest_algorithms.0.iter().any(|one| Hash::of(one.algorithm) == Some(hash)) {
        return Err(malformed("it does not name its signer's hash function"));
    }
    let attributes = signer.signed_attributes.as_ref();
    let attributes = attributes.ok_or_else(|| malformed("it has no signed attributes"))?;
    let kind = only(attributes, CONTENT_TYPE)?;
    let digest = only(attributes, MESSAGE_DIGEST)?;
    let named: SigningCertificateV2<'_> = only(attributes, SIGNING_CERTIFICATE_V2)?
        .decode_as()
        .map_err(|_| malformed("its signer's certificate is not named as in RFC 5035"))?;
    if kind.tag() != Tag::ObjectIdentifier || kind.value() != TST_INFO.0 {
        return Err(malformed("another kind of content was signed"));
    }
    if digest.tag() != Tag::OctetString || digest.value() != hash.digest(info) {
        return Err(StampRefused::Signature);
    }
    // The first one is the signer's, others would be above it (RFC 5035, 4).
    let id = named.certificates.first();
    let id = id.ok_or_else(|| malformed("it does not name its signer's certificate"))?;
    let certificate = find(id, pool)?.ok_or(StampRefused::NoCertificate)?;
    let issuer = signer.sid.issuer.to_der().unwrap_or_default();
    let serial = signer.sid.serial_number.as_bytes();
    if issuer != certificate.issuer().as_raw() || serial != certificate.raw_serial() {
        return Err(malformed("it names two different signers"));
    }

    let signed = Signed::of(signer.signature_algorithm.algorithm, Some(hash));
    let signed = signed.ok_or(StampRefused::Unsupported { what: "its signature's algorithm" })?;
    let message = attributes.to_der().map_err(|_| malformed("its attributes cannot be read"))?;
    let signature = signer.signature.as_bytes();
    signed.verify(certificate.public_key(), &message, signature).map_err(|fault| match fault {
        SignatureFault::Unsupported => StampRefused::Unsupported { what: "its signer's key" },
        SignatureFault::Wrong => StampRefused::Signature,
    })?;
    Ok(certificate)
}

/// The value of an attribute that is there exactly once, with exactly one value.
fn only<'a>(attributes: &SetOf<Attribute<'a>>, kind: Oid<'_>) -> Result<AnyRef<'a>, StampRefused> {
    let of_it: Vec<_> = attributes.0.iter().filter(|one| one.kind == kind).collect();
    match of_it.as_slice() {
        [one] => match one.values.0.as_slice() {
            [value] => Ok(*value),
            [..] => Err(malformed("an attribute has not exactly one value")),
        },
        [] if kind == SIGNING_CERTIFICATE_V2 => {
            Err(malformed("it does not name its signer's certificate by SHA-2 (RFC 5816)"))
        }
        [..] => Err(malformed("an attribute is not there exactly once")),
    }
}

/// The certificate with this digest, and this issuer and number where they are named.
fn find<'a, 'b>(
    id: &EssCertIdV2<'_>,
    pool: &'a [X509Certificate<'b>],
) -> Result<Option<&'a X509Certificate<'b>>, StampRefused> {
    let hash = id.hash_algorithm.as_ref().map_or(Ok(Hash::Sha256), hash)?;
    let found = pool.iter().find(|one| hash.digest(one.as_raw()) == id.hash.as_bytes());
    let (Some(certificate), Some(named)) = (found, &id.issuer_serial) else { return Ok(found) };
    let is_same = match named.issuer.as_slice() {
        [issuer] => {
            issuer.tag() == DIRECTORY_NAME
                && issuer.value() == certificate.issuer().as_raw()
                && named.serial_number.as_bytes() == certificate.raw_serial()
        }
        [..] => false,
    };
    if is_same { Ok(found) } else { Err(malformed("it names two different signers")) }
}

fn hash(algorithm: &AlgorithmIdentifier<'_>) -> Result<Hash, StampRefused> {
    let hash = Hash::of(algorithm.algorithm).filter(|_| algorithm.has_no_parameters());
    hash.ok_or(StampRefused::Unsupported { what: "a hash function other than SHA-2" })
}
