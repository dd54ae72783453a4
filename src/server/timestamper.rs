//! The vault's own time-stamping authority: a key, certified by the vault's CA.
//!
//! `tsa.key` and `tsa.crt` of the first, `tsa-2.key` and `tsa-2.crt` of the second, and so on, beside
//! the CA's. There is always one that signs; the next is made when it has signed long enough, or
//! when there is another CA. Then its key is removed; its certificate stays, for tokens that don't
//! bring it along.

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use crate::crypto::keyring::Keyring;
use crate::crypto::timestamp::Authority;
use crate::domain::time::{Span, Timestamp};
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

/// The authority that signs now. It is made if there is none, if the one that is there has signed
/// for [`TIMESTAMPER_RENEWED_AFTER`], or if it is not certified by this CA, the one that certifies
/// clients ([`Authorities::issuing`]).
///
/// [`Authorities::issuing`]: crate::server::authorities::Authorities::issuing
pub fn take_up(
    keyring: &Keyring,
    ca: &ca::Authority,
    now: Timestamp,
) -> Result<Authority, CaError> {
    let newest = FILES.numbers(keyring)?.last().copied();
    let (number, pair) = match newest {
        Some(number) => {
            let pair = read(keyring, number)?;
            match signs(&pair.certificate, ca, now) {
                true => (number, pair),
                false => make(keyring, number + 1, ca, now)?,
            }
        }
        None => make(keyring, 1, ca, now)?,
    };
    FILES.sweep(keyring, &[number])?;
    authority(&pair)
}

/// Reads the authority that signed last, if there is one, and makes nothing: for whoever looks
/// whether all is well.
pub fn check(keyring: &Keyring) -> Result<(), CaError> {
    let Some(number) = FILES.numbers(keyring)?.last().copied() else { return Ok(()) };
    read(keyring, number).and_then(|pair| authority(&pair)).map(|_| ())
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
fn signs(certificate: &CertificateDer<'_>, ca: &ca::Authority, now: Timestamp) -> bool {
    let parsed = (parse_x509_certificate(certificate), parse_x509_certificate(ca.certificate()));
    let (Ok((_, certificate)), Ok((_, ca))) = parsed else { return false };
    let time = |at: i64| Timestamp::from_millis(at.saturating_mul(1_000));
    let begins = time(certificate.validity().not_before.timestamp());
    let expires = time(certificate.validity().not_after.timestamp());
    let ends = begins.after(TIMESTAMPER_RENEWED_AFTER).min(expires);
    (begins..ends).contains(&now) && certificate.verify_signature(Some(ca.public_key())).is_ok()
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
