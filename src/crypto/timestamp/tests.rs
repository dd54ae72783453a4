//! Requests and tokens, good and bent. What stock OpenSSL makes of them is in `tests/scenarios`.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use der::asn1::{AnyRef, IntRef, OctetStringRef};
use der::{Decode as _, Encode as _, Tag};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

mod ca;
mod renewal;

use super::asn1::{
    Accuracy, AlgorithmIdentifier, Attribute, ContentInfo, Extension, GenTime, MessageImprint, Oid,
    SIGNING_CERTIFICATE_V2, SignedData, TimeStampReq, TimeStampResp, TstInfo,
};
use super::rejection::Rejection;
use super::*;
use crate::domain::time::{Span, Timestamp};

/// What a time-stamping certificate is for: the sequence of one purpose in DER.
const STAMPS: &[u8] = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x08";
const STAMPS_AND_CODE: &[u8] =
    b"\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x08\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03";
/// An object identifier with a number of 217 bits.
const HUGE: [u8; 31] = {
    let mut bytes = [0xff; 31];
    bytes[30] = 0x7f;
    bytes
};
const SERIAL: [u8; 16] = [0x80; 16];

fn now() -> Timestamp {
    "2026-11-25T09:30:07.912Z".parse().unwrap()
}

/// A certificate and its key.
pub(crate) struct Certified {
    key: KeyPair,
    params: CertificateParams,
    pub(crate) der: Vec<u8>,
}

pub(crate) fn params(name: &str, years: std::ops::Range<i32>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    params
}

pub(crate) fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name, 2020..2040);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub(crate) fn root(params: CertificateParams) -> Certified {
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    Certified { key, params, der }
}

impl Certified {
    fn issues(&self, params: CertificateParams) -> Certified {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Certified { key, params, der }
    }

    fn signing(&self) -> EcdsaKeyPair {
        let der = self.key.serialize_der();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).unwrap()
    }
}

fn purpose(der: &[u8], critical: bool) -> CustomExtension {
    let mut purpose = CustomExtension::from_oid_content(&[2, 5, 29, 37], der.to_vec());
    purpose.set_criticality(critical);
    purpose
}

fn stamper_params() -> CertificateParams {
    let mut params = params("stamper", 2021..2031);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.custom_extensions = vec![purpose(STAMPS, true)];
    params
}

/// A CA and an authority that it has certified.
pub(crate) struct World {
    pub(crate) ca: Certified,
    stamper: Certified,
    authority: Authority,
}

impl World {
    pub(crate) fn new() -> Self {
        let ca = root(ca_params("ca"));
        let stamper = ca.issues(stamper_params());
        let authority = Authority::new(&stamper.key.serialize_der(), &stamper.der).unwrap();
        Self { ca, stamper, authority }
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        self.answer_at(request, now())
    }

    pub(crate) fn answer_at(&self, request: &[u8], now: Timestamp) -> Vec<u8> {
        answer(request, &self.authority, now, &SERIAL)
    }

    fn verify(&self, token: &[u8], imprint: &Imprint) -> Result<Stamp, StampRefused> {
        verify(token, imprint, trusted(&[&self.ca.der]), None)
    }

    /// What is in a token over this imprint, signed by somebody else.
    fn signed_by(&self, signer: &Certified, imprint: &Imprint) -> Vec<u8> {
        let response = self.answer(&request(imprint, None, true));
        let token = token_in(&response).unwrap();
        let info = info_in(&token);
        authority::token(&signer.signing(), &signer.der, &info, true).unwrap()
    }

    /// A token over this imprint, changed and signed again.
    fn forged(&self, imprint: &Imprint, change: impl FnOnce(&mut SignedData<'_>)) -> Vec<u8> {
        let response = self.answer(&request(imprint, None, true));
        let token = token_in(&response).unwrap();
        let content = ContentInfo::from_der(&token).unwrap();
        let mut signed: SignedData<'_> = content.content.decode_as().unwrap();
        change(&mut signed);
        let attributes = signed.signer_infos.0.first().map(|one| one.signed_attributes.to_der());
        let attributes = attributes.transpose().unwrap().unwrap_or_default();
        let signature = self.stamper.signing().sign(&SystemRandom::new(), &attributes).unwrap();
        for signer in &mut signed.signer_infos.0 {
            signer.signature = OctetStringRef::new(signature.as_ref()).unwrap();
        }
        let signed = signed.to_der().unwrap();
        let content = AnyRef::from_der(&signed).unwrap();
        ContentInfo { content_type: asn1::SIGNED_DATA, content }.to_der().unwrap()
    }
}

/// An authority that this CA has certified for these years.
fn office_under(ca: &Certified, years: std::ops::Range<i32>) -> Authority {
    let mut of_years = params("office", years);
    of_years.custom_extensions = stamper_params().custom_extensions;
    let stamper = ca.issues(of_years);
    Authority::new(&stamper.key.serialize_der(), &stamper.der).unwrap()
}

fn trusted<'a>(authorities: &'a [&'a [u8]]) -> Trusted<'a> {
    Trusted { authorities, others: &[] }
}

fn imprint() -> Imprint {
    Imprint::of(Hash::Sha256, b"substrate recipe")
}

/// The token of a response that grants one, which is written as DER has it and no other way.
fn token_in(response: &[u8]) -> Option<Vec<u8>> {
    let parsed = TimeStampResp::from_der(response).unwrap();
    assert_eq!(parsed.to_der().unwrap(), response);
    match (parsed.status.status, parsed.token) {
        (0, Some(token)) => {
            assert_eq!(parsed.status.fail_info, None);
            Some(token.to_der().unwrap())
        }
        (2, None) => {
            let words = parsed.status.status_string.unwrap();
            assert!(words.len() == 1 && words[0].as_str().len() > 10, "{words:?}");
            assert!(parsed.status.fail_info.is_some());
            None
        }
        other => panic!("{other:?}"),
    }
}

fn info_in(token: &[u8]) -> Vec<u8> {
    let content = ContentInfo::from_der(token).unwrap();
    let signed: SignedData<'_> = content.content.decode_as().unwrap();
    signed.encap_content_info.content.as_bytes().to_vec()
}

#[test]
fn what_is_asked_for_is_stamped_and_verifies() {
    let world = World::new();
    let nonce = [0xff; 8];
    for hash in Hash::ALL {
        for (nonce, certificate) in
            [(None, false), (None, true), (Some(&nonce), false), (Some(&nonce), true)]
        {
            let imprint = Imprint::of(hash, b"recipe");
            let response = world.answer(&request(&imprint, nonce, certificate));
            let token = token_in(&response).unwrap();
            let others = [world.stamper.der.as_slice()];
            let pinned = [world.ca.der.as_slice()];
            let others = if certificate { &[][..] } else { &others[..] };
            let trusted = Trusted { authorities: &pinned, others };
            for bytes in [&response, &token] {
                let stamp = verify(bytes, &imprint, trusted, Some(now())).unwrap();
                assert_eq!(stamp.at.to_string(), "2026-11-25T09:30:07.000Z");
                assert_eq!(stamp.serial, [[1].as_slice(), &SERIAL].concat());
                assert_eq!((stamp.policy.to_string().as_str(), stamp.hash), (POLICY, hash));
                assert_eq!(stamp.nonce.is_some(), nonce.is_some());
                assert_eq!(stamp.answers(&[0xff; 8]), nonce.is_some());
                assert!(!stamp.answers(&[0xfe; 8]));
            }
            if !certificate {
                assert_eq!(world.verify(&token, &imprint), Err(StampRefused::NoCertificate));
            }
        }
    }
    assert_eq!(Imprint::new(Hash::Sha256, &[0; 31]), None);
    assert_eq!(Imprint::new(Hash::Sha384, &[7; 48]).unwrap().digest(), [7; 48]);
}

#[test]
fn what_cannot_be_granted_is_rejected_with_its_bit() {
    let world = World::new();
    let null = AnyRef::NULL;
    let sha1 = Oid(b"\x2b\x0e\x03\x02\x1a");
    let base = TimeStampReq {
        version: 1,
        message_imprint: MessageImprint {
            hash_algorithm: Hash::Sha256.identifier(),
            hashed_message: OctetStringRef::new(&[9; 32]).unwrap(),
        },
        req_policy: None,
        nonce: None,
        cert_req: false,
        extensions: None,
    };
    let extension = |critical| Extension {
        id: Oid(b"\x2a\x03"),
        critical,
        value: OctetStringRef::new(b"").unwrap(),
    };
    let changed = |change: &dyn Fn(&mut TimeStampReq<'_>)| {
        let mut request = base.clone();
        change(&mut request);
        request.to_der().unwrap()
    };
    let good = base.to_der().unwrap();
    for (request, says, bit, why) in [
        (good.clone(), None, 0, "nothing is wrong"),
        (
            changed(&|it| it.message_imprint.hash_algorithm.parameters = Some(null)),
            None,
            0,
            "NULL is as good as nothing",
        ),
        (changed(&|it| it.req_policy = Some(policy::OURS)), None, 0, "our policy by name"),
        (
            changed(&|it| it.nonce = Some(IntRef::new(&[0x80]).unwrap())),
            None,
            0,
            "a negative nonce",
        ),
        (changed(&|it| it.version = 2), Some(Rejection::Version), 2, "version 2"),
        (
            changed(&|it| it.message_imprint.hash_algorithm.algorithm = sha1),
            Some(Rejection::Hash),
            0,
            "SHA-1",
        ),
        (
            changed(&|it| it.message_imprint.hash_algorithm.algorithm = Oid(&[0x2a, 0x81, 0x00])),
            Some(Rejection::Hash),
            0,
            "a hash function that nobody knows",
        ),
        (
            changed(&|it| {
                let parameters = AnyRef::new(Tag::OctetString, b"x").unwrap();
                it.message_imprint.hash_algorithm.parameters = Some(parameters);
            }),
            Some(Rejection::Parameters),
            0,
            "parameters of a hash function that has none",
        ),
        (
            changed(&|it| {
                it.message_imprint.hashed_message = OctetStringRef::new(&[9; 31]).unwrap();
            }),
            Some(Rejection::DigestLength),
            5,
            "a byte of the digest is missing",
        ),
        (
            changed(&|it| it.message_imprint.hash_algorithm = Hash::Sha512.identifier()),
            Some(Rejection::DigestLength),
            5,
            "a digest of another function",
        ),
        (
            changed(&|it| it.req_policy = Some(Oid(b"\x2a\x03\x04"))),
            Some(Rejection::Policy),
            15,
            "somebody else's policy",
        ),
        (
            changed(&|it| it.req_policy = Some(Oid(&HUGE))),
            Some(Rejection::Policy),
            15,
            "a policy with a number of 217 bits",
        ),
        (
            changed(&|it| it.extensions = Some(vec![extension(true)])),
            Some(Rejection::Extension),
            16,
            "an unknown critical extension",
        ),
        (
            changed(&|it| it.extensions = Some(vec![extension(false)])),
            Some(Rejection::Extension),
            16,
            "RFC 3161, 2.4.1: one that isn't critical just as well",
        ),
        (
            changed(&|it| it.extensions = Some(vec![])),
            Some(Rejection::Malformed),
            5,
            "a list of extensions without any",
        ),
        (Vec::new(), Some(Rejection::Malformed), 5, "nothing"),
        (b"-----BEGIN".to_vec(), Some(Rejection::Malformed), 5, "text"),
        ([&good[..], &[0]].concat(), Some(Rejection::Malformed), 5, "a byte behind it"),
        (
            // certReq FALSE, written out.
            [&[0x30, good[1] + 3], &good[2..], &[0x01, 0x01, 0x00]].concat(),
            Some(Rejection::Malformed),
            5,
            "a default that is written out",
        ),
        (
            [&[0x30, 0x81, good[1]], &good[2..]].concat(),
            Some(Rejection::Malformed),
            5,
            "a length in two bytes that fits in one",
        ),
        (
            [&[0x30, 0x84, 0x0f, 0xff, 0xff, 0xff], &good[2..]].concat(),
            Some(Rejection::Malformed),
            5,
            "a length of 256 MiB",
        ),
        (vec![0x30; REQUEST_BYTES_MAX], Some(Rejection::Malformed), 5, "deeply nested garbage"),
        (vec![0x30; REQUEST_BYTES_MAX + 1], Some(Rejection::TooLarge), 5, "a byte too long"),
    ] {
        assert_eq!(super::request::parse(&request).err(), says, "{why}");
        let response = world.answer(&request);
        assert_eq!(token_in(&response).is_some(), says.is_none(), "{why}");
        let parsed = TimeStampResp::from_der(&response).unwrap();
        if let Some(bits) = parsed.status.fail_info {
            let set: Vec<_> = (0..).zip(bits.bits()).filter(|(_, set)| *set).collect();
            assert_eq!(set, [(bit, true)], "{why}");
            assert_eq!(bits.bit_len(), bit + 1, "{why}: no zeros behind");
        }
    }
}

#[test]
fn an_authority_that_has_expired_or_not_begun_gives_no_token() {
    let world = World::new();
    for (at, granted) in [
        ("2020-12-31T23:59:59.999Z", false),
        ("2021-01-01T00:00:00.000Z", true),
        ("2031-01-01T00:00:00.999Z", true),
        ("2031-01-01T00:00:01.000Z", false),
    ] {
        let request = request(&imprint(), None, true);
        let response = answer(&request, &world.authority, at.parse().unwrap(), &SERIAL);
        assert_eq!(token_in(&response).is_some(), granted, "{at}");
    }
}

#[test]
fn every_truncation_and_every_altered_byte_of_a_request_has_a_well_formed_answer() {
    let world = World::new();
    let good = request(&imprint(), Some(&[7; 8]), true);
    assert!(token_in(&world.answer(&good)).is_some());
    for end in 0..good.len() {
        assert_eq!(token_in(&world.answer(&good[..end])), None, "cut at {end}");
    }
    let mut granted = 0;
    for at in 0..good.len() {
        for byte in (0..=0xff).filter(|byte| *byte != good[at]) {
            let mut bent = good.clone();
            bent[at] = byte;
            granted += u32::from(token_in(&world.answer(&bent)).is_some());
        }
    }
    // Another digest and another nonce are good requests of their own.
    assert!(granted > 32 * 255, "{granted}");
}

#[test]
fn every_truncation_and_every_altered_byte_of_a_token_is_refused() {
    let world = World::new();
    let token = token_in(&world.answer(&request(&imprint(), Some(&[7; 8]), true))).unwrap();
    world.verify(&token, &imprint()).unwrap();
    for end in 0..token.len() {
        assert!(world.verify(&token[..end], &imprint()).is_err(), "cut at {end}");
    }
    for at in 0..token.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut bent = token.clone();
            bent[at] ^= flip;
            let verified = world.verify(&bent, &imprint());
            assert!(verified.is_err(), "byte {at} with {flip:#x} flipped: {verified:?}");
        }
    }
    assert!(world.verify(&[&token[..], &[0]].concat(), &imprint()).is_err(), "a byte behind it");
    let long = vec![0x30; TOKEN_BYTES_MAX + 1];
    let too_large = StampRefused::TooLarge { bytes: long.len() };
    assert_eq!(world.verify(&long, &imprint()), Err(too_large));
}

#[test]
fn a_token_counts_for_its_document_authority_and_time_only() {
    let world = World::new();
    let response = world.answer(&request(&imprint(), None, true));
    let (ours, stranger) = (world.ca.der.as_slice(), root(ca_params("ca")));
    let theirs = stranger.der.as_slice();
    let other = Imprint::of(Hash::Sha256, b"another recipe");
    let longer = Imprint::of(Hash::Sha512, b"substrate recipe");
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let not_valid = |at: &str| Err(StampRefused::NotValid { at: time(at) });
    let future = Err(StampRefused::Future { at: time("2026-11-25T09:30:07.000Z") });
    let (good, late) = (imprint(), "2031-01-01T00:00:01.000Z");
    for (imprint, pinned, at, outcome, why) in [
        (&good, vec![ours], None, Ok(()), "as it should be"),
        (&good, vec![theirs, ours], None, Ok(()), "one of those that are pinned will do"),
        (&good, vec![ours], Some("2030-12-31T00:00:00.000Z"), Ok(()), "years later"),
        (&good, vec![ours], Some(late), not_valid(late), "when the signer has expired"),
        (&good, vec![ours], Some("2026-11-25T09:30:06.999Z"), future, "before it was made"),
        (&other, vec![ours], None, Err(StampRefused::OtherImprint), "another document"),
        (&longer, vec![ours], None, Err(StampRefused::OtherImprint), "another hash function"),
        (&good, vec![theirs], None, Err(StampRefused::Untrusted), "another CA of that name"),
        (&good, vec![], None, Err(StampRefused::Untrusted), "nobody is pinned"),
        (&good, vec![&world.stamper.der], None, Err(StampRefused::Untrusted), "it is no CA"),
        (&good, vec![b"CA"], None, Err(StampRefused::GivenCertificate), "no certificate"),
    ] {
        let found = verify(&response, imprint, trusted(&pinned), at.map(time));
        assert_eq!(found.map(|_| ()), outcome, "{why}");
    }
    let rejected = world.answer(b"");
    let refused = world.verify(&rejected, &good).unwrap_err();
    assert!(refused.to_string().contains("openssl ts -query"), "{refused}");
}

#[test]
fn only_a_certificate_for_time_stamps_alone_signs_them() {
    let world = World::new();
    let changed = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = stamper_params();
        change(&mut params);
        world.ca.issues(params)
    };
    let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
    unknown.set_criticality(true);
    for (signer, serves, why) in [
        (changed(&|_| ()), true, "as it should be"),
        (changed(&|it| it.key_usages = vec![]), true, "no key usage is no limit"),
        (
            changed(&|it| it.custom_extensions = vec![purpose(STAMPS, false)]),
            false,
            "the purpose is not critical",
        ),
        (
            changed(&|it| it.custom_extensions = vec![purpose(STAMPS_AND_CODE, true)]),
            false,
            "another purpose beside it",
        ),
        (changed(&|it| it.custom_extensions = vec![]), false, "no purpose"),
        (
            changed(&|it| it.key_usages.push(KeyUsagePurpose::KeyEncipherment)),
            false,
            "the key encrypts as well",
        ),
        (
            changed(&|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            false,
            "it is a CA itself",
        ),
        (
            changed(&|it| it.custom_extensions.push(unknown.clone())),
            false,
            "something critical that nobody knows",
        ),
    ] {
        let token = world.signed_by(&signer, &imprint());
        let verified = world.verify(&token, &imprint());
        match serves {
            true => assert!(verified.is_ok(), "{why}: {verified:?}"),
            false => {
                let refused = verified.unwrap_err();
                assert!(matches!(refused, StampRefused::Purpose { .. }), "{why}: {refused:?}");
            }
        }
        let made = Authority::new(&signer.key.serialize_der(), &signer.der);
        assert_eq!(made.is_ok(), serves, "{why}");
    }
    let other = KeyPair::generate().unwrap();
    let mismatch = Authority::new(&other.serialize_der(), &world.stamper.der);
    assert_eq!(mismatch.unwrap_err(), AuthorityFault::Mismatch);
    let key = Authority::new(b"key", &world.stamper.der);
    assert_eq!(key.unwrap_err(), AuthorityFault::Key);
    let certificate = Authority::new(&world.stamper.key.serialize_der(), b"certificate");
    assert_eq!(certificate.unwrap_err(), AuthorityFault::Certificate);
}

#[test]
fn the_way_up_is_bounded_and_every_step_of_it_may_certify() {
    let world = World::new();
    let long = ["a", "b", "c", "d", "e"];
    for (between, change, outcome, why) in [
        (&long[..0], None, Ok(()), "right below the pinned one"),
        (&long[..1], None, Ok(()), "one between"),
        (&long[..4], None, Ok(()), "as many between as may be"),
        (&long[..5], None, Err(StampRefused::Untrusted), "one too many"),
        (
            &long[..1],
            Some((|it| it.is_ca = IsCa::ExplicitNoCa) as fn(&mut CertificateParams)),
            Err(StampRefused::Untrusted),
            "the one between is no CA",
        ),
        (
            &long[..1],
            Some(|it| it.key_usages = vec![KeyUsagePurpose::CrlSign]),
            Err(StampRefused::Untrusted),
            "its key is not for certificates",
        ),
        (
            &long[..2],
            Some(|it| it.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
            Err(StampRefused::Untrusted),
            "more below it than it allows",
        ),
        (
            &long[..1],
            Some(|it| it.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
            Ok(()),
            "as few below it as it allows",
        ),
        (
            &long[..1],
            Some(|it| {
                it.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
            }),
            Err(StampRefused::Untrusted),
            "it certifies servers only",
        ),
        (
            &long[..1],
            Some(|it| {
                let permitted_subtrees = vec![rcgen::GeneralSubtree::DnsName("example".into())];
                let excluded_subtrees = vec![];
                it.name_constraints =
                    Some(rcgen::NameConstraints { permitted_subtrees, excluded_subtrees });
            }),
            Err(StampRefused::Untrusted),
            "it is bound to names, which nobody checks here",
        ),
        (
            &long[..1],
            Some(|it| it.not_after = rcgen::date_time_ymd(2026, 1, 1)),
            Err(StampRefused::NotValid { at: "2026-11-25T09:30:07.000Z".parse().unwrap() }),
            "it had expired",
        ),
    ] {
        let mut chain: Vec<Certified> = Vec::new();
        for (at, name) in between.iter().enumerate() {
            let mut params = ca_params(name);
            if let (0, Some(change)) = (at, change) {
                change(&mut params);
            }
            chain.push(chain.last().unwrap_or(&world.ca).issues(params));
        }
        let signer = chain.last().unwrap_or(&world.ca).issues(stamper_params());
        let token = world.signed_by(&signer, &imprint());
        let others: Vec<_> = chain.iter().map(|one| one.der.as_slice()).collect();
        let pinned = [world.ca.der.as_slice()];
        let trusted = Trusted { authorities: &pinned, others: &others };
        let found = verify(&token, &imprint(), trusted, None);
        assert_eq!(found.map(|_| ()), outcome, "{why}");
        if let [one] = chain.as_slice() {
            // Pinned itself, nothing above it is asked for.
            let pinned = [one.der.as_slice()];
            let found = verify(&token, &imprint(), super::tests::trusted(&pinned), None);
            assert_eq!(found.map(|_| ()), outcome, "{why}, and pinned");
        }
    }
}

#[test]
fn the_signers_certificate_is_named_exactly_once_and_everything_signed_is_there_once() {
    let world = World::new();
    let good = imprint();
    let named = |it: &Attribute<'_>| it.kind == SIGNING_CERTIFICATE_V2;
    let stranger = world.ca.issues(stamper_params());
    let check = |change: &dyn Fn(&mut SignedData<'_>), accepted: bool, why: &str| {
        let token = world.forged(&good, change);
        let verified = world.verify(&token, &good);
        assert_eq!(verified.is_ok(), accepted, "{why}: {verified:?}");
    };
    fn attributes<'a, 'b>(it: &'a mut SignedData<'b>) -> &'a mut Vec<Attribute<'b>> {
        &mut it.signer_infos.0[0].signed_attributes.as_mut().unwrap().0
    }
    check(&|_| (), true, "signed again as it was");
    check(&|it| attributes(it).retain(|one| !named(one)), false, "not named");
    check(
        &|it| {
            let one = attributes(it).iter().find(|one| named(one)).unwrap().clone();
            attributes(it).push(one);
        },
        false,
        "named twice",
    );
    check(
        &|it| {
            let one = attributes(it).iter_mut().find(|one| named(one)).unwrap();
            one.values.0.push(one.values.0[0]);
        },
        false,
        "named twice in one attribute",
    );
    check(
        &|it| {
            let one = attributes(it).iter_mut().find(|one| named(one)).unwrap();
            // An empty list of certificates.
            one.values.0 = vec![AnyRef::new(Tag::Sequence, &[0x30, 0x00]).unwrap()];
        },
        false,
        "a list with nothing in it",
    );
    for kind in [asn1::CONTENT_TYPE, asn1::MESSAGE_DIGEST] {
        check(
            &|it| attributes(it).retain(|one| one.kind != kind),
            false,
            "an attribute is missing",
        );
        check(
            &|it| {
                let one = attributes(it).iter().find(|one| one.kind == kind).unwrap().clone();
                attributes(it).push(one);
            },
            false,
            "an attribute is there twice",
        );
    }
    check(
        &|it| {
            let one = attributes(it).iter_mut().find(|one| one.kind == asn1::CONTENT_TYPE).unwrap();
            one.values.0 = vec![AnyRef::new(Tag::ObjectIdentifier, asn1::SIGNED_DATA.0).unwrap()];
        },
        false,
        "another kind of content",
    );
    check(&|it| it.signer_infos.0[0].signed_attributes = None, false, "no attributes");
    check(
        &|it| {
            let one = it.signer_infos.0[0].clone();
            it.signer_infos.0.push(one);
        },
        false,
        "two signers",
    );
    check(&|it| it.signer_infos.0.clear(), false, "no signer");
    check(&|it| it.digest_algorithms.0.clear(), false, "no hash function named in front");
    check(
        &|it| it.signer_infos.0[0].sid.serial_number = IntRef::new(&[1]).unwrap(),
        false,
        "another number than the certificate has",
    );
    check(
        &|it| {
            let algorithm = Oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b");
            it.signer_infos.0[0].signature_algorithm =
                AlgorithmIdentifier { algorithm, parameters: None };
        },
        false,
        "said to be RSA",
    );
    let info = info_in(&world.forged(&good, |_| ()));
    let token = authority::token(&stranger.signing(), &world.stamper.der, &info, true).unwrap();
    let refused = Err(StampRefused::Signature);
    assert_eq!(world.verify(&token, &good), refused, "by a key that the same CA has certified");
}

#[test]
fn what_a_token_says_is_read_strictly() {
    let world = World::new();
    let good = imprint();
    let base = TstInfo {
        version: 1,
        policy: policy::OURS,
        message_imprint: good.to_asn1().unwrap(),
        serial_number: IntRef::new(&[1]).unwrap(),
        gen_time: GenTime(now()),
        accuracy: None,
        ordering: false,
        nonce: None,
        tsa: None,
        extensions: None,
    };
    let extension = |critical| {
        let value = OctetStringRef::new(b"").unwrap();
        Some(vec![Extension { id: Oid(b"\x2a\x03"), critical, value }])
    };
    let changed = |change: &dyn Fn(&mut TstInfo<'_>)| {
        let mut info = base.clone();
        change(&mut info);
        info.to_der().unwrap()
    };
    let accuracy = Accuracy { seconds: Some(1), millis: Some(500), micros: Some(100) };
    for (info, accepted, why) in [
        (changed(&|_| ()), true, "as it should be"),
        (changed(&|it| it.accuracy = Some(accuracy.clone())), true, "with an accuracy"),
        (changed(&|it| it.ordering = true), true, "with an order"),
        (changed(&|it| it.extensions = extension(false)), true, "an extension to pass over"),
        (changed(&|it| it.extensions = extension(true)), false, "a critical one"),
        (changed(&|it| it.version = 2), false, "version 2"),
        (changed(&|it| it.policy = Oid(&HUGE)), false, "a policy that can't be shown"),
        (
            changed(&|it| it.serial_number = IntRef::new(&[0x80]).unwrap()),
            false,
            "a negative number",
        ),
        ([&changed(&|_| ())[..], &[0]].concat(), false, "a byte behind it"),
        (Vec::new(), false, "nothing"),
    ] {
        let token = authority::token(&world.stamper.signing(), &world.stamper.der, &info, true);
        let verified = world.verify(&token.unwrap(), &good);
        assert_eq!(verified.is_ok(), accepted, "{why}: {verified:?}");
    }
}

#[test]
fn times_are_read_as_der_writes_them() {
    for (text, read) in [
        ("20261125093007Z", Some("2026-11-25T09:30:07.000Z")),
        ("20261125093007.5Z", Some("2026-11-25T09:30:07.500Z")),
        ("20261125093007.123456789Z", Some("2026-11-25T09:30:07.123Z")),
        ("20240229000000Z", Some("2024-02-29T00:00:00.000Z")),
        ("20261125093007.50Z", None),
        ("20261125093007.Z", None),
        ("20261125093007,5Z", None),
        ("202611250930Z", None),
        ("20261125093007", None),
        ("20261125093007+0000", None),
        ("20261125093060Z", None),
        ("20260229000000Z", None),
        ("+0261125093007Z", None),
        ("2026112509300\u{661}Z", None),
    ] {
        let length = u8::try_from(text.len()).unwrap();
        let der = [&[0x18, length], text.as_bytes()].concat();
        let found = GenTime::from_der(&der).ok().map(|time| time.0.to_string());
        assert_eq!(found.as_deref(), read, "{text}");
    }
    let last = GenTime(Timestamp::MAX).to_der().unwrap();
    assert_eq!(last, b"\x18\x0f99991231235959Z");
    let first = GenTime(Timestamp::EPOCH.after(Span::seconds(1))).to_der().unwrap();
    assert_eq!(first, b"\x18\x0f19700101000001Z");
}

#[test]
fn object_identifiers_have_one_spelling_and_the_policy_is_the_one_that_is_named() {
    assert_eq!(Policy::of(policy::OURS).unwrap().to_string(), POLICY);
    for (bytes, shown) in [
        (&b"\x2a\x03"[..], Some("1.2.3")),
        (b"\x00", Some("0.0")),
        (b"\x88\x37", Some("2.999")),
        (b"\x2a\x80\x03", None),
        (b"\x80\x2a", None),
        (b"\x2a\x83", None),
        (b"", None),
    ] {
        let der = [&[0x06, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let found = Oid::from_der(&der).ok().and_then(Policy::of);
        assert_eq!(found.map(|policy| policy.to_string()).as_deref(), shown, "{bytes:x?}");
    }
}
