//! How the vault's time-stamping authority is kept.

use std::fs;
use std::path::Path;

use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::crypto::pem::pem;
use escrow_vault::crypto::timestamp::Authority;
use escrow_vault::domain::event::TsaEdition;
use escrow_vault::domain::time::{Span, Timestamp};
use escrow_vault::server::authorities::Authorities;
use escrow_vault::server::ca::{self, CaError};
use escrow_vault::server::timestamper::{self, TIMESTAMPER_RENEWED_AFTER, take_up_told};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::parse_x509_certificate;

use super::now;

fn take_up(keys: &Keyring, ca: &ca::Authority, now: Timestamp) -> Result<Authority, CaError> {
    timestamper::take_up(keys, ca, now).map(|taken| taken.authority)
}

fn files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|item| item.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn ca(now: Timestamp) -> ca::Authority {
    ca::Authority::create("test vault", now).unwrap()
}

#[test]
fn an_authority_is_made_once_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, ca) = (Keyring::at(dir.path()), ca(now()));
    let made = take_up(&keys, &ca, now()).unwrap();
    assert_eq!(files(dir.path()), ["tsa.crt", "tsa.key"]);
    let found = take_up(&keys, &ca, now().after(Span::days(365))).unwrap();
    assert_eq!(found.certificate(), made.certificate());

    let (_, certificate) = parse_x509_certificate(made.certificate()).unwrap();
    let lifetime = certificate.validity().not_after.timestamp() - now().as_millis() / 1_000;
    assert!((0..=10 * 365 * 86_400).contains(&lifetime), "{lifetime} s");
    assert!(lifetime > 3_649 * 86_400, "{lifetime} s");
    let secret = fs::read_to_string(dir.path().join("tsa.key")).unwrap();
    let shown = format!("{made:?}");
    assert!(shown.len() < 90 && !secret.contains(&shown), "{shown}");
}

#[test]
fn it_never_outlives_its_ca() {
    let dir = tempfile::tempdir().unwrap();
    let begun = now();
    let ca = ca(begun);
    let late = begun.after(Span::days(15 * 365));
    let made = take_up(&Keyring::at(dir.path()), &ca, late).unwrap();
    let (_, certificate) = parse_x509_certificate(made.certificate()).unwrap();
    let expires = certificate.validity().not_after.timestamp();
    assert_eq!(expires, ca.expires_at().as_millis() / 1_000);
    let gone = take_up(&Keyring::at(dir.path()), &ca, ca.expires_at()).unwrap_err();
    assert!(matches!(gone, CaError::Expired { .. }), "{gone}");
}

#[test]
fn the_next_one_is_made_when_it_is_due_and_the_former_key_is_gone() {
    let (first, second) = (ca(now()), ca(now()));
    let after = |span: Span| now().after(span);
    let due = after(TIMESTAMPER_RENEWED_AFTER);
    for (ca, at, is_next, why) in [
        (&first, now(), false, "nothing has changed"),
        (&first, after(Span::days(5 * 365 - 1)), false, "it has not signed long enough"),
        (&first, due, true, "it has signed long enough"),
        (&second, now(), true, "there is another CA"),
        (&first, Timestamp::EPOCH.after(Span::days(365)), true, "the clock was put back"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keyring::at(dir.path());
        let made = take_up(&keys, &first, now()).unwrap();
        let found = take_up(&keys, ca, at).unwrap();
        assert_eq!(found.certificate() != made.certificate(), is_next, "{why}");
        let expected: &[&str] = match is_next {
            true => &["tsa-2.crt", "tsa-2.key", "tsa.crt"],
            false => &["tsa.crt", "tsa.key"],
        };
        assert_eq!(files(dir.path()), expected, "{why}");
        let again = take_up(&keys, ca, at).unwrap();
        assert_eq!(again.certificate(), found.certificate(), "{why}: and that one stays");
    }
}

#[test]
fn a_making_that_was_cut_short_is_no_hindrance_and_a_lost_or_swapped_file_is_told() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (keys, ca) = (Keyring::at(here.path()), ca(now()));
    take_up(&Keyring::at(there.path()), &ca, now()).unwrap();
    let path = |name: &str| here.path().join(name);
    // As if it had ended between key and certificate.
    fs::copy(there.path().join("tsa.key"), path("tsa.key")).unwrap();
    let before = fs::read(path("tsa.key")).unwrap();
    take_up(&keys, &ca, now()).unwrap();
    assert_ne!(fs::read(path("tsa.key")).unwrap(), before, "a key without certificate is nobody's");
    // As if it had ended before the former key was removed.
    fs::copy(path("tsa.key"), path("tsa-7.key")).unwrap();
    take_up(&keys, &ca, now()).unwrap();
    assert_eq!(files(here.path()), ["tsa.crt", "tsa.key"]);

    let good = fs::read(path("tsa.crt")).unwrap();
    fs::copy(there.path().join("tsa.crt"), path("tsa.crt")).unwrap();
    let mixed = take_up(&keys, &ca, now()).unwrap_err();
    assert!(matches!(mixed, CaError::Timestamping(_)), "{mixed}");
    fs::write(path("tsa.crt"), "no certificate").unwrap();
    let malformed = take_up(&keys, &ca, now()).unwrap_err();
    assert!(malformed.to_string().contains("tsa.crt"), "{malformed}");
    fs::write(path("tsa.crt"), good).unwrap();
    fs::remove_file(path("tsa.key")).unwrap();
    let lost = take_up(&keys, &ca, now()).unwrap_err();
    assert!(matches!(lost, CaError::Keyring(_)), "{lost}");
    assert_eq!(files(here.path()), ["tsa.crt"], "a lost key is not made anew in silence");
}

#[test]
fn its_key_is_sealed_where_the_vaults_keys_are() {
    let dir = tempfile::tempdir().unwrap();
    let phrase = age::secrecy::SecretString::from("a passphrase".to_owned());
    let mut keys = Keyring::at(dir.path());
    keys.set_passphrase(Some(&phrase), &[]).unwrap();
    let ca = ca(now());
    let made: Authority = take_up(&keys, &ca, now()).unwrap();
    let stored = fs::read(dir.path().join("tsa.key")).unwrap();
    assert!(stored.starts_with(b"age-encryption.org/v1\n"));
    let locked = take_up(&Keyring::at(dir.path()), &ca, now()).unwrap_err();
    assert!(matches!(locked, CaError::Keyring(_)), "{locked}");
    let mut opened = Keyring::at(dir.path());
    opened.unlock(&phrase).unwrap();
    assert_eq!(take_up(&opened, &ca, now()).unwrap().certificate(), made.certificate());
}

/// A vault's CA and its time-stamping authority, which its ledger has told.
fn founded(dir: &Path) -> (Keyring, Authorities, TsaEdition) {
    let keys = Keyring::at(dir);
    let authorities = Authorities::found(&keys, now()).unwrap();
    let taken = take_up_told(&keys, &authorities, None, now()).unwrap();
    (keys, authorities, taken.edition)
}

#[test]
fn no_bit_of_a_certificate_that_was_told_changes_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, authorities, told) = founded(dir.path());
    let path = dir.path().join("tsa.crt");
    let whole = CertificateDer::from_pem_file(&path).unwrap();
    let before = files(dir.path());
    for at in 0..whole.len() {
        let mut bent = whole.to_vec();
        bent[at] ^= 1;
        fs::write(&path, pem("CERTIFICATE", &bent)).unwrap();
        let refused = take_up_told(&keys, &authorities, Some(told), now()).unwrap_err();
        let says = refused.to_string();
        assert!(
            says.contains("tsa.crt") && says.contains("restore it from a backup"),
            "{at}: {says}"
        );
        let checked = timestamper::check(&keys, &authorities, Some(told)).unwrap_err();
        assert_eq!(checked.to_string(), says, "{at}");
        assert_eq!(files(dir.path()), before, "{at}: and nothing was made");
    }
    // The way out, though what is there cannot be used.
    let next = timestamper::rotate(&keys, authorities.issuing(), now()).unwrap();
    assert_eq!(next.edition.number, 2);
    let taken = take_up_told(&keys, &authorities, Some(told), now()).unwrap();
    assert_eq!(taken.edition, next.edition);
}

#[test]
fn a_certificate_that_was_told_is_missed_and_another_one_counts_if_the_vaults_ca_has_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, authorities, first) = founded(dir.path());
    fs::copy(dir.path().join("tsa.crt"), dir.path().join("kept.crt")).unwrap();
    fs::copy(dir.path().join("tsa.key"), dir.path().join("kept.key")).unwrap();
    let taken = |told| take_up_told(&keys, &authorities, told, now());
    // Made on demand: taken up with the next look, and the key of before is gone.
    timestamper::rotate(&keys, authorities.issuing(), now()).unwrap();
    assert!(dir.path().join("tsa.key").exists(), "it signs until the next is taken up");
    let second = taken(Some(first)).unwrap().edition;
    assert_eq!(second.number, 2);
    assert!(!dir.path().join("tsa.key").exists() && dir.path().join("tsa.crt").exists());
    assert_eq!(taken(Some(second)).unwrap().edition, second, "and it stays");
    // Lost altogether.
    let missing = |told: TsaEdition| {
        let lost = taken(Some(told)).unwrap_err();
        let CaError::TimestamperLost { path } = &lost else { panic!("{lost}") };
        assert!(lost.to_string().contains("escrowd rotate-tsa"), "{lost}");
        path.file_name().unwrap().to_owned()
    };
    for name in ["tsa-2.crt", "tsa-2.key", "tsa.crt"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert_eq!(missing(second), "tsa-2.crt");
    assert_eq!(missing(first), "tsa.crt");
    timestamper::rotate(&keys, authorities.issuing(), now()).unwrap();
    // Two of one number could not be told apart: the way out is to go on to the next.
    let twin = taken(Some(second)).unwrap_err();
    assert!(matches!(twin, CaError::TimestamperAltered { .. }), "{twin}");
    let third = timestamper::rotate(&keys, authorities.issuing(), now()).unwrap().edition;
    assert_eq!(taken(Some(second)).unwrap().edition, third);
    // From an old backup: the vault's CA has made it, so it is so and so it is told.
    for name in files(dir.path()).iter().filter(|name| name.starts_with("tsa")) {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    for (from, to) in [("kept.crt", "tsa.crt"), ("kept.key", "tsa.key")] {
        fs::copy(dir.path().join(from), dir.path().join(to)).unwrap();
    }
    assert_eq!(taken(Some(third)).unwrap().edition, first);
    // The next has a number that no other ever had.
    let late = now().after(TIMESTAMPER_RENEWED_AFTER);
    let after = take_up_told(&keys, &authorities, Some(third), late).unwrap();
    assert_eq!(after.edition.number, 4);
    // Only the certificate is lost, of the first: one step is enough.
    let dir = tempfile::tempdir().unwrap();
    let (keys, authorities, first) = founded(dir.path());
    fs::remove_file(dir.path().join("tsa.crt")).unwrap();
    let lost = take_up_told(&keys, &authorities, Some(first), now()).unwrap_err();
    assert!(matches!(lost, CaError::TimestamperLost { .. }), "{lost}");
    let next = timestamper::rotate(&keys, authorities.issuing(), now()).unwrap();
    let taken = take_up_told(&keys, &authorities, Some(first), now()).unwrap();
    assert_eq!((next.edition, next.edition.number), (taken.edition, 2));
}
