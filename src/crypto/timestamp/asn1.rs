//! The structures of RFC 3161 (requests, responses, TSTInfo) and RFC 5652 (signed data), as far as
//! they are used. All borrow: nothing is allocated for a length that was only claimed.

use der::asn1::{AnyRef, BitStringRef, IntRef, OctetStringRef, Utf8StringRef};
use der::{
    Decode, DecodeValue, Encode, EncodeValue, FixedTag, Header, Length, Reader, Sequence, Tag,
    Writer,
};

use crate::domain::time::Timestamp;

/// An object identifier, by the bytes of its DER: equal bytes, equal identifiers. Numbers of any
/// size fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Oid<'a>(pub(super) &'a [u8]);

/// 1.2.840.113549.1.7.2
pub(super) const SIGNED_DATA: Oid<'_> = Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02");
/// 1.2.840.113549.1.9.16.1.4
pub(super) const TST_INFO: Oid<'_> = Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04");
/// 1.2.840.113549.1.9.3
pub(super) const CONTENT_TYPE: Oid<'_> = Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03");
/// 1.2.840.113549.1.9.4
pub(super) const MESSAGE_DIGEST: Oid<'_> = Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04");
/// 1.2.840.113549.1.9.16.2.47
pub(super) const SIGNING_CERTIFICATE_V2: Oid<'_> =
    Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f");

/// A `SET OF`, in the order in which it came: the order of DER is for whoever makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetOf<T>(pub(super) Vec<T>);

/// A `GeneralizedTime` as RFC 3161 has it: in UTC, with seconds, perhaps with a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GenTime(pub(super) Timestamp);

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct AlgorithmIdentifier<'a> {
    pub(super) algorithm: Oid<'a>,
    pub(super) parameters: Option<AnyRef<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct MessageImprint<'a> {
    pub(super) hash_algorithm: AlgorithmIdentifier<'a>,
    pub(super) hashed_message: OctetStringRef<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Extension<'a> {
    pub(super) id: Oid<'a>,
    #[asn1(default = "Default::default")]
    pub(super) critical: bool,
    pub(super) value: OctetStringRef<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct TimeStampReq<'a> {
    pub(super) version: u32,
    pub(super) message_imprint: MessageImprint<'a>,
    pub(super) req_policy: Option<Oid<'a>>,
    pub(super) nonce: Option<IntRef<'a>>,
    #[asn1(default = "Default::default")]
    pub(super) cert_req: bool,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension<'a>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct PkiStatusInfo<'a> {
    pub(super) status: u32,
    pub(super) status_string: Option<Vec<Utf8StringRef<'a>>>,
    pub(super) fail_info: Option<BitStringRef<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct TimeStampResp<'a> {
    pub(super) status: PkiStatusInfo<'a>,
    /// A [`ContentInfo`].
    pub(super) token: Option<AnyRef<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Accuracy {
    pub(super) seconds: Option<u64>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) millis: Option<u16>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) micros: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct TstInfo<'a> {
    pub(super) version: u32,
    pub(super) policy: Oid<'a>,
    pub(super) message_imprint: MessageImprint<'a>,
    pub(super) serial_number: IntRef<'a>,
    pub(super) gen_time: GenTime,
    pub(super) accuracy: Option<Accuracy>,
    #[asn1(default = "Default::default")]
    pub(super) ordering: bool,
    pub(super) nonce: Option<IntRef<'a>>,
    /// A `GeneralName`.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) tsa: Option<AnyRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension<'a>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct ContentInfo<'a> {
    pub(super) content_type: Oid<'a>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(super) content: AnyRef<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct SignedData<'a> {
    pub(super) version: u32,
    pub(super) digest_algorithms: SetOf<AlgorithmIdentifier<'a>>,
    pub(super) encap_content_info: EncapsulatedContentInfo<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) certificates: Option<SetOf<AnyRef<'a>>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) crls: Option<SetOf<AnyRef<'a>>>,
    pub(super) signer_infos: SetOf<SignerInfo<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct EncapsulatedContentInfo<'a> {
    pub(super) content_type: Oid<'a>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(super) content: OctetStringRef<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct SignerInfo<'a> {
    pub(super) version: u32,
    pub(super) sid: IssuerAndSerialNumber<'a>,
    pub(super) digest_algorithm: AlgorithmIdentifier<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) signed_attributes: Option<SetOf<Attribute<'a>>>,
    pub(super) signature_algorithm: AlgorithmIdentifier<'a>,
    pub(super) signature: OctetStringRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) unsigned_attributes: Option<SetOf<AnyRef<'a>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct IssuerAndSerialNumber<'a> {
    /// A `Name`.
    pub(super) issuer: AnyRef<'a>,
    pub(super) serial_number: IntRef<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Attribute<'a> {
    pub(super) kind: Oid<'a>,
    pub(super) values: SetOf<AnyRef<'a>>,
}

/// RFC 5035.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct SigningCertificateV2<'a> {
    pub(super) certificates: Vec<EssCertIdV2<'a>>,
    pub(super) policies: Option<AnyRef<'a>>,
}

/// RFC 5035. Without an algorithm it is SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct EssCertIdV2<'a> {
    pub(super) hash_algorithm: Option<AlgorithmIdentifier<'a>>,
    pub(super) hash: OctetStringRef<'a>,
    pub(super) issuer_serial: Option<IssuerSerial<'a>>,
}

/// RFC 5035.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct IssuerSerial<'a> {
    /// `GeneralName`s.
    pub(super) issuer: Vec<AnyRef<'a>>,
    pub(super) serial_number: IntRef<'a>,
}

/// `[4] EXPLICIT Name`, of the kinds of `GeneralName` the only one that is looked into.
pub(super) const DIRECTORY_NAME: Tag =
    Tag::ContextSpecific { constructed: true, number: der::TagNumber::N4 };

impl FixedTag for Oid<'_> {
    const TAG: Tag = Tag::ObjectIdentifier;
}

impl<'a> DecodeValue<'a> for Oid<'a> {
    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let bytes = reader.read_slice(header.length)?;
        // X.690, 8.19: numbers of seven bits a byte, the last one of each below 0x80, the first
        // one never 0x80.
        let mut begins = true;
        for byte in bytes {
            if begins && *byte == 0x80 {
                return Err(Self::TAG.value_error());
            }
            begins = *byte < 0x80;
        }
        if bytes.is_empty() || !begins { Err(Self::TAG.value_error()) } else { Ok(Self(bytes)) }
    }
}

impl EncodeValue for Oid<'_> {
    fn value_len(&self) -> der::Result<Length> {
        self.0.len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(self.0)
    }
}

impl<T> FixedTag for SetOf<T> {
    const TAG: Tag = Tag::Set;
}

impl<'a, T: Decode<'a>> DecodeValue<'a> for SetOf<T> {
    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        Vec::decode_value(reader, header).map(Self)
    }
}

impl<T: Encode> EncodeValue for SetOf<T> {
    fn value_len(&self) -> der::Result<Length> {
        self.0.value_len()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        self.0.encode_value(writer)
    }
}

impl FixedTag for GenTime {
    const TAG: Tag = Tag::GeneralizedTime;
}

impl<'a> DecodeValue<'a> for GenTime {
    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let bytes = reader.read_slice(header.length)?;
        parsed_time(bytes).map(Self).ok_or_else(|| Self::TAG.value_error())
    }
}

/// `YYYYMMDDHHMMSS[.s…]Z`, where a fraction doesn't end in 0. What is below a millisecond is cut off.
fn parsed_time(bytes: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_fraction = |text: &str| !text.is_empty() && is_digits(text) && !text.ends_with('0');
    if whole.len() != 14 || !is_digits(whole) || !fraction.is_none_or(is_fraction) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let millis: String =
        fraction.unwrap_or_default().chars().chain("000".chars()).take(3).collect();
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}.{millis}Z").parse().ok()
}

impl EncodeValue for GenTime {
    fn value_len(&self) -> der::Result<Length> {
        self.text().len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(self.text().as_bytes())
    }
}

impl GenTime {
    /// To the second, cut off.
    fn text(self) -> String {
        let rfc3339 = self.0.to_string();
        let digits = rfc3339.chars().filter(char::is_ascii_digit);
        digits.take(14).chain(['Z']).collect()
    }
}
