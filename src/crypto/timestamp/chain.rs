//! From a signer's certificate up to one that is pinned.
//!
//! Nobody is asked anything: there is no revocation here. Whoever pins a CA decides for how long.

use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

use crate::crypto::timestamp::algorithm::Signed;
use crate::crypto::timestamp::asn1::Oid;
use crate::domain::time::Timestamp;

/// Most certificates between a signer and a pinned CA.
const BETWEEN_MAX: u32 = 4;

/// Extensions that are understood here, so that they may be critical: basic constraints, key usage,
/// extended key usage, and policies, of which every one will do.
const UNDERSTOOD: [&[u8]; 4] = [b"\x55\x1d\x13", b"\x55\x1d\x0f", b"\x55\x1d\x25", b"\x55\x1d\x20"];
/// Name constraints, which are not followed here: no CA that has them is.
const NAME_CONSTRAINTS: &[u8] = b"\x55\x1d\x1e";
/// digitalSignature and nonRepudiation, as `x509-parser` counts bits.
const SIGNING_USAGES: u16 = 0b11;

/// Why there is no way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainFault {
    /// It ends before it reaches a pinned CA.
    Untrusted,
    /// A certificate of it is not valid at this time.
    NotValid(Timestamp),
}

/// One certificate in DER and nothing else.
pub(super) fn certificate(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = parse_x509_certificate(der).ok()?;
    rest.is_empty().then_some(certificate)
}

/// Whether it is valid then. Both ends are whole seconds and belong to it (RFC 5280, 4.1.2.5).
pub(super) fn is_valid(certificate: &X509Certificate<'_>, at: Timestamp) -> bool {
    let validity = certificate.validity();
    let seconds = at.as_millis() / 1_000;
    (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&seconds)
}

/// The last second at which it is.
fn ends_at(certificate: &X509Certificate<'_>) -> Timestamp {
    Timestamp::from_millis(certificate.validity().not_after.timestamp().saturating_mul(1_000))
}

/// Whether it is for time-stamps and nothing else (RFC 3161, 2.3); if not, why not.
pub(super) fn stamping(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    let Ok(Some(purposes)) = certificate.extended_key_usage() else {
        return Err("it is for no purpose in particular");
    };
    let it = purposes.value;
    let others = it.any
        || it.server_auth
        || it.client_auth
        || it.code_signing
        || it.email_protection
        || it.ocsp_signing
        || !it.other.is_empty();
    if !it.time_stamping || others {
        return Err("it is for another purpose than time-stamps");
    }
    if !purposes.critical {
        return Err("its purpose is not marked critical");
    }
    let usage = certificate.key_usage().map_err(|_| "its key usage cannot be read")?;
    if usage.is_some_and(|usage| usage.value.flags & !SIGNING_USAGES != 0 || usage.value.flags == 0)
    {
        return Err("its key is for other things than signatures");
    }
    if certificate.is_ca() {
        return Err("it is of a CA");
    }
    if has_unknown(certificate) {
        return Err("it has critical extensions that are not known here");
    }
    Ok(())
}

/// Looks for a way from the signer over certificates of the pool to one that is pinned, on which
/// every certificate, the pinned one too, is valid at all these times. When the first of them ends.
pub(super) fn climb<'a, 'b>(
    signer: &'a X509Certificate<'b>,
    pool: &'a [X509Certificate<'b>],
    pinned: &[X509Certificate<'_>],
    times: &[Timestamp],
) -> Result<Timestamp, ChainFault> {
    let mut top = signer;
    valid_at(top, times)?;
    let mut ends = ends_at(top);
    for below in 0..=BETWEEN_MAX {
        let fault = match above(top, pinned, below, times) {
            Ok(ca) => return Ok(ends.min(ends_at(ca))),
            Err(fault) => fault,
        };
        top = match above(top, pool, below, times) {
            Ok(ca) => ca,
            Err(ChainFault::Untrusted) => return Err(fault),
            Err(not_valid @ ChainFault::NotValid(_)) => return Err(not_valid),
        };
        ends = ends.min(ends_at(top));
    }
    Err(ChainFault::Untrusted)
}

/// The first of these that has certified it and is valid: one way is tried, so that it is bounded.
fn above<'a, 'b>(
    certificate: &X509Certificate<'_>,
    candidates: &'a [X509Certificate<'b>],
    below: u32,
    times: &[Timestamp],
) -> Result<&'a X509Certificate<'b>, ChainFault> {
    let mut fault = ChainFault::Untrusted;
    for ca in candidates {
        if may_issue(ca, below) && has_issued(ca, certificate) {
            match valid_at(ca, times) {
                Ok(()) => return Ok(ca),
                Err(not_valid) => fault = not_valid,
            }
        }
    }
    Err(fault)
}

fn valid_at(certificate: &X509Certificate<'_>, times: &[Timestamp]) -> Result<(), ChainFault> {
    let off = times.iter().find(|at| !is_valid(certificate, **at));
    off.map_or(Ok(()), |at| Err(ChainFault::NotValid(*at)))
}

/// Whether it is of a CA that may certify time-stamping authorities, with so many CAs below it.
pub(super) fn may_issue(ca: &X509Certificate<'_>, below: u32) -> bool {
    let constraints = ca.basic_constraints().ok().flatten().is_some_and(|constraints| {
        constraints.value.ca && constraints.value.path_len_constraint.is_none_or(|len| below <= len)
    });
    let usage = ca.key_usage();
    let usage = usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    let purposes = ca.extended_key_usage().is_ok_and(|purposes| {
        purposes.is_none_or(|purposes| purposes.value.any || purposes.value.time_stamping)
    });
    let constrained = ca.extensions().iter().any(|one| one.oid.as_bytes() == NAME_CONSTRAINTS);
    constraints && usage && purposes && !constrained && !has_unknown(ca)
}

fn has_issued(ca: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    let outside = &certificate.signature_algorithm;
    // Signed is only the one inside (RFC 5280, 4.1.1.2).
    let is_one = certificate.tbs_certificate.signature == *outside;
    let is_named = ca.subject().as_raw() == certificate.issuer().as_raw();
    let body = certificate.tbs_certificate.as_ref();
    let signature = &certificate.signature_value.data;
    let signed = Signed::of(Oid(outside.algorithm.as_bytes()), None);
    is_one
        && is_named
        && signed.is_some_and(|signed| signed.verify(ca.public_key(), body, signature).is_ok())
}

fn has_unknown(certificate: &X509Certificate<'_>) -> bool {
    let mut critical = certificate.extensions().iter().filter(|one| one.critical);
    critical.any(|one| !UNDERSTOOD.contains(&one.oid.as_bytes()))
}
