//! The vault's own time-stamping authority: a key, certified by the vault's CA.
//!
//! `tsa.key` and `tsa.crt` of the first, `tsa-2.key` and `tsa-2.crt` of the second, and so on, beside
//! the CA's. There is always one that signs; the next is made when it has signed long enough, or
//! when there is another CA, or when somebody asks for it. Then its key is removed; its certificate
//! stays, for tokens that don't bring it along.

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use crate::crypto::keyring::Keyring;
use crate::crypto::signature;
use crate::crypto::timestamp::Authority;
use crate::domain::event::TsaEdition;
use crate::domain::id::Digest;
use crate::domain::time::{Span, Timestamp};
use crate::server::authorities::Authorities;
use crate::server::ca::{self, CaError, TIMESTAMPER_LIFETIME};
use crate::server::numbered::{Pair, Series};

/// How long one key signs: so what it signs last verifies for years by plain means, which ask
/// whether its certificate is still valid.
pub const TIMESTAMPER_RENEWED_AFTER: Span = Span::days(5 * 365);

const FILES: Series = Series("tsa");
const _: () = assert!(
    TIMESTAMPER_RENEWED_AFTER.as_duration().as_secs()
        < TIMESTAMPER_LIFETIME.as_duration().as_secs()
);

/// The authority that signs now, and what is to be told of it before it does.
#[derive(Debug)]
pub struct TakenUp {
    /// See there.
    pub authority: Authority,
    /// Which it is.
    pub edition: TsaEdition,
}

/// The authority that signs now. It is made if there is none, if the one that is there has signed
/// for [`TIMESTAMPER_RENEWED_AFTER`], or if it is not certified by this CA, the one that certifies
/// clients ([`Authorities::issuing`]).
pub fn take_up(keyring: &Keyring, ca: &ca::Authority, now: Timestamp) -> Result<TakenUp, CaError> {
    take_up_after(keyring, (ca, &[ca.certificate().clone()]), None, now)
}

/// The same for a vault whose ledger told of this one last: with its number there must be no other,
/// one with another number must have been made by somebody who had a CA of the vault, and there must
/// be one. So a file that was damaged or lost is not taken for a reason to make the next.
pub fn take_up_told(
    keyring: &Keyring,
    cas: &Authorities,
    told: Option<TsaEdition>,
    now: Timestamp,
) -> Result<TakenUp, CaError> {
    take_up_after(keyring, (cas.issuing(), &cas.certificates()), told, now)
}

fn take_up_after(
    keyring: &Keyring,
    (issuing, cas): (&ca::Authority, &[CertificateDer<'_>]),
    told: Option<TsaEdition>,
    now: Timestamp,
) -> Result<TakenUp, CaError> {
    let (number, pair) = match found(keyring, cas, told)? {
        Some((number, pair)) if signs(&pair.certificate, issuing, now) => (number, pair),
        // Of two keys with one number nobody could say which it is.
        Some((number, _)) => {
            let last = told.map_or(number, |told| told.number.max(number));
            make(keyring, last.saturating_add(1), issuing, now)?
        }
        None => make(keyring, 1, issuing, now)?,
    };
    FILES.sweep(keyring, &[number])?;
    let edition = TsaEdition { number, certificate_sha256: sha256(&pair) };
    Ok(TakenUp { authority: authority(&pair)?, edition })
}

/// Makes the next authority, though the one that signs now may go on: for whoever has reason to
/// mistrust it. It is taken up by whoever reads the keys next.
pub fn rotate(keyring: &Keyring, ca: &ca::Authority, now: Timestamp) -> Result<TakenUp, CaError> {
    // Every vault had a first one, whatever was lost.
    let last = FILES.highest(keyring)?.unwrap_or(1);
    let (number, pair) = make(keyring, last.saturating_add(1), ca, now)?;
    let edition = TsaEdition { number, certificate_sha256: sha256(&pair) };
    Ok(TakenUp { authority: authority(&pair)?, edition })
}

/// Reads the authority that signed last, if there is one, and makes nothing: for whoever looks
/// whether all is well, by the same rules.
pub fn check(
    keyring: &Keyring,
    cas: &Authorities,
    told: Option<TsaEdition>,
) -> Result<(), CaError> {
    match found(keyring, &cas.certificates(), told)? {
        Some((_, pair)) => authority(&pair).map(drop),
        None => Ok(()),
    }
}

/// The newest that is there. One of another number than was told last was certified by one of these.
fn found(
    keyring: &Keyring,
    cas: &[CertificateDer<'_>],
    told: Option<TsaEdition>,
) -> Result<Option<(u32, Pair)>, CaError> {
    let path = |number: u32| keyring.dir().join(FILES.certificate_file(number));
    let Some(number) = FILES.numbers(keyring)?.last().copied() else {
        let lost = |told: TsaEdition| CaError::TimestamperLost { path: path(told.number) };
        return told.map(lost).map_or(Ok(None), Err);
    };
    let pair = read(keyring, number)?;
    let is_good = told.is_none_or(|told| match told.number == number {
        // Not every bit of a certificate is signed.
        true => told.certificate_sha256 == sha256(&pair),
        false => cas.iter().any(|ca| is_of(&pair.certificate, ca)),
    });
    match is_good {
        true => Ok(Some((number, pair))),
        false => Err(CaError::TimestamperAltered { path: path(number) }),
    }
}

fn read(keyring: &Keyring, number: u32) -> Result<Pair, CaError> {
    let is_one = |der: &CertificateDer<'_>| parse_x509_certificate(der).is_ok();
    FILES.read(keyring, number, "a certificate in PEM", is_one)
}

fn authority(pair: &Pair) -> Result<Authority, CaError> {
    let key = Zeroizing::new(pair.key.serialize_der());
    Ok(Authority::new(&key, &pair.certificate)?)
}

/// Whether the authority of this certificate goes on signing.
fn signs(der: &CertificateDer<'_>, ca: &ca::Authority, now: Timestamp) -> bool {
    let Ok((_, certificate)) = parse_x509_certificate(der) else { return false };
    let time = |at: i64| Timestamp::from_millis(at.saturating_mul(1_000));
    let begins = time(certificate.validity().not_before.timestamp());
    let expires = time(certificate.validity().not_after.timestamp());
    let ends = begins.after(TIMESTAMPER_RENEWED_AFTER).min(expires);
    (begins..ends).contains(&now) && is_of(der, ca.certificate())
}

/// Whether the one certificate was signed by the other's key.
fn is_of(certificate: &CertificateDer<'_>, ca: &CertificateDer<'_>) -> bool {
    let parsed = (parse_x509_certificate(certificate), parse_x509_certificate(ca));
    let (Ok((_, certificate)), Ok((_, ca))) = parsed else { return false };
    certificate.verify_signature(Some(ca.public_key())).is_ok()
}

fn sha256(pair: &Pair) -> Digest {
    signature::sha256(&pair.certificate)
}

fn make(
    keyring: &Keyring,
    number: u32,
    ca: &ca::Authority,
    now: Timestamp,
) -> Result<(u32, Pair), CaError> {
    // A making that was cut short has left a key.
    FILES.sweep(keyring, &FILES.numbers(keyring)?)?;
    let key = Zeroizing::new(KeyPair::generate()?);
    let certificate = ca.issue_timestamper(&key, number, now)?;
    FILES.write_new(keyring, number, &key, &certificate)?;
    Ok((number, Pair { key, certificate }))
}
