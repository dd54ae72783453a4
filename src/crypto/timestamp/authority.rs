//! An authority: its key, its certificate, and its answers.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use der::asn1::{AnyRef, IntRef, OctetStringRef};
use der::{Decode as _, Encode as _, Tag};

use crate::crypto::timestamp::algorithm::ECDSA_WITH_SHA256;
use crate::crypto::timestamp::asn1::{
    Accuracy, AlgorithmIdentifier, Attribute, CONTENT_TYPE, ContentInfo, EncapsulatedContentInfo,
    EssCertIdV2, GenTime, IssuerAndSerialNumber, MESSAGE_DIGEST, Oid, PkiStatusInfo, SIGNED_DATA,
    SIGNING_CERTIFICATE_V2, SetOf, SignedData, SignerInfo, SigningCertificateV2, TST_INFO,
    TimeStampReq, TimeStampResp, TstInfo,
};
use crate::crypto::timestamp::chain;
use crate::crypto::timestamp::hash::Hash;
use crate::crypto::timestamp::policy;
use crate::crypto::timestamp::rejection::{GRANTED, Rejection};
use crate::crypto::timestamp::request;
use crate::domain::time::Timestamp;

/// How far off its times may be, in seconds: what is cut off.
const ACCURACY_SECONDS: u64 = 1;
/// Of signatures and of the certificate that they name.
const HASH: Hash = Hash::Sha256;

/// Why there is no authority of this key and certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityFault {
    /// The key cannot be used.
    #[error("the time-stamping key is not an ECDSA P-256 key in PKCS #8")]
    Key,
    /// The certificate cannot be read.
    #[error("the time-stamping certificate is not one X.509 certificate in DER")]
    Certificate,
    /// The certificate is of another key.
    #[error("the time-stamping key and certificate do not belong together")]
    Mismatch,
    /// Nobody would believe what is signed with it.
    #[error("the time-stamping certificate does not serve: {why}")]
    Purpose {
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A time-stamping authority. Its certificate is for time-stamps and nothing else. `Debug` shows
/// nothing of the key.
pub struct Authority {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
    expires_at: Timestamp,
}

impl Authority {
    /// Of an ECDSA P-256 key (PKCS #8, DER) and its certificate (DER).
    pub fn new(key_pkcs8: &[u8], certificate: &[u8]) -> Result<Self, AuthorityFault> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key_pkcs8);
        let key = key.map_err(|_| AuthorityFault::Key)?;
        let parsed = chain::certificate(certificate).ok_or(AuthorityFault::Certificate)?;
        if parsed.public_key().subject_public_key.data != key.public_key().as_ref() {
            return Err(AuthorityFault::Mismatch);
        }
        chain::stamping(&parsed).map_err(|why| AuthorityFault::Purpose { why })?;
        let expires_at = parsed.validity().not_after.timestamp().saturating_mul(1_000);
        let expires_at = Timestamp::from_millis(expires_at);
        Ok(Self { key, certificate: certificate.to_vec(), expires_at })
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Until when the certificate is good.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", hex::encode(HASH.digest(&self.certificate)))
    }
}

/// Answers a request (`TimeStampReq`, DER): always with a `TimeStampResp` in DER, which has a token
/// or says why it has none. `serial` is drawn at random for each answer and never used again. What
/// ECDSA needs of randomness, the library under it draws itself.
pub fn answer(request: &[u8], authority: &Authority, now: Timestamp, serial: &[u8; 16]) -> Vec<u8> {
    let granted = request::parse(request).and_then(|request| {
        let certificate = chain::certificate(&authority.certificate);
        if !certificate.is_some_and(|certificate| chain::is_valid(&certificate, now)) {
            return Err(Rejection::Certificate);
        }
        authority.granted(&request, now, serial).ok_or(Rejection::Signing)
    });
    granted.unwrap_or_else(Rejection::response)
}

impl Authority {
    fn granted(
        &self,
        request: &TimeStampReq<'_>,
        now: Timestamp,
        serial: &[u8; 16],
    ) -> Option<Vec<u8>> {
        // 128 random bits behind a one, so that the number is positive and of one length.
        let serial = [[1].as_slice(), serial].concat();
        let info = TstInfo {
            version: 1,
            policy: policy::OURS,
            message_imprint: request.message_imprint.clone(),
            serial_number: IntRef::new(&serial).ok()?,
            gen_time: GenTime(now),
            accuracy: Some(Accuracy {
                seconds: Some(ACCURACY_SECONDS),
                millis: None,
                micros: None,
            }),
            ordering: false,
            nonce: request.nonce,
            tsa: None,
            extensions: None,
        };
        let token = token(&self.key, &self.certificate, &info.to_der().ok()?, request.cert_req)?;
        let status = PkiStatusInfo { status: GRANTED, status_string: None, fail_info: None };
        let token = Some(AnyRef::from_der(&token).ok()?);
        TimeStampResp { status, token }.to_der().ok()
    }
}

/// Signs it (RFC 5652, version 3: what is signed is not plain data). Without the attribute
/// `signingTime`: one time is enough.
pub(super) fn token(
    key: &EcdsaKeyPair,
    certificate_der: &[u8],
    info: &[u8],
    with_certificate: bool,
) -> Option<Vec<u8>> {
    let certificate = chain::certificate(certificate_der)?;
    let (digest, certificate_digest) = (HASH.digest(info), HASH.digest(certificate_der));
    let id = EssCertIdV2 {
        hash_algorithm: None,
        hash: OctetStringRef::new(&certificate_digest).ok()?,
        issuer_serial: None,
    };
    let signing_certificate = SigningCertificateV2 { certificates: vec![id], policies: None };
    let signing_certificate = signing_certificate.to_der().ok()?;
    let attributes = attributes([
        (CONTENT_TYPE, AnyRef::new(Tag::ObjectIdentifier, TST_INFO.0).ok()?),
        (MESSAGE_DIGEST, AnyRef::new(Tag::OctetString, &digest).ok()?),
        (SIGNING_CERTIFICATE_V2, AnyRef::from_der(&signing_certificate).ok()?),
    ])?;
    let signature = key.sign(&SystemRandom::new(), &attributes.to_der().ok()?).ok()?;
    let signer = SignerInfo {
        version: 1,
        sid: IssuerAndSerialNumber {
            issuer: AnyRef::from_der(certificate.issuer().as_raw()).ok()?,
            serial_number: IntRef::new(certificate.raw_serial()).ok()?,
        },
        digest_algorithm: HASH.identifier(),
        signed_attributes: Some(attributes),
        signature_algorithm: AlgorithmIdentifier { algorithm: ECDSA_WITH_SHA256, parameters: None },
        signature: OctetStringRef::new(signature.as_ref()).ok()?,
        unsigned_attributes: None,
    };
    let certificates = match with_certificate {
        true => Some(SetOf(vec![AnyRef::from_der(certificate_der).ok()?])),
        false => None,
    };
    let signed = SignedData {
        version: 3,
        digest_algorithms: SetOf(vec![HASH.identifier()]),
        encap_content_info: EncapsulatedContentInfo {
            content_type: TST_INFO,
            content: OctetStringRef::new(info).ok()?,
        },
        certificates,
        crls: None,
        signer_infos: SetOf(vec![signer]),
    };
    let signed = signed.to_der().ok()?;
    let content = AnyRef::from_der(&signed).ok()?;
    ContentInfo { content_type: SIGNED_DATA, content }.to_der().ok()
}

/// In the order of DER: by their bytes (X.690, 11.6).
fn attributes<'a, const N: usize>(
    those: [(Oid<'a>, AnyRef<'a>); N],
) -> Option<SetOf<Attribute<'a>>> {
    let mut sorted = Vec::with_capacity(N);
    for (kind, value) in those {
        let attribute = Attribute { kind, values: SetOf(vec![value]) };
        sorted.push((attribute.to_der().ok()?, attribute));
    }
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(SetOf(sorted.into_iter().map(|(_, attribute)| attribute).collect()))
}
