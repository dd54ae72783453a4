//! Certificates and CAs that are replaced while the vault serves, and changes that are cut short.

use std::fs;
use std::path::Path;

use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::domain::time::{Span, Timestamp};
use escrow_vault::server::accept::Limits;
use escrow_vault::server::authorities::Authorities;
use escrow_vault::server::ca::{Authority, CaError, SERVER_LIFETIME};
use escrow_vault::server::credentials::{Credentials, SERVER_RENEWED_AFTER};
use x509_parser::parse_x509_certificate;

use super::{Vault, bare_tls, now};

/// Until when the certificate is good that a new connection is shown.
async fn shown_until(vault: &Vault) -> i64 {
    let tls = bare_tls(vault).await;
    let leaf = &tls.get_ref().1.peer_certificates().unwrap()[0];
    parse_x509_certificate(leaf).unwrap().1.validity().not_after.timestamp()
}

#[tokio::test]
async fn a_server_that_runs_for_years_never_shows_an_old_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::at(dir.path());
    let days_ago = |days: i64| Timestamp::from_millis(now().as_millis() - days * 86_400_000);
    let started = days_ago(300);
    let authorities = Authorities::found(&keyring, started).unwrap();
    let credentials = Credentials::new(authorities, vec!["localhost".to_owned()], started).unwrap();
    let authority = Authority::load(&keyring, 1).unwrap();
    let mut vault = Vault::start_as(authority, credentials.tls(), Limits::default()).await;
    let localhost = format!("localhost:{}", vault.address.port());
    let trust = vault.by_fingerprint();
    let open = escrow_vault::client::connect::connect(&localhost, trust, None).await.unwrap();
    vault.ask(&open).await;

    let until = |from: Timestamp| from.after(SERVER_LIFETIME).as_millis() / 1_000;
    let second = Span::seconds(1);
    for (at, is_renewed, shown, why) in [
        (started, false, until(started), "it has just been made"),
        (days_ago(61), false, until(started), "not yet"),
        (started.after(SERVER_RENEWED_AFTER), true, until(days_ago(60)), "it is time"),
        (started.after(SERVER_RENEWED_AFTER).after(second), false, until(days_ago(60)), "done"),
        (now(), false, until(days_ago(60)), "there is time again"),
        (days_ago(100), true, until(days_ago(100)), "the clock was put back"),
    ] {
        assert_eq!(credentials.renew_if_due(at).unwrap(), is_renewed, "{why}");
        let seen = shown_until(&vault).await;
        assert!((shown - 1..=shown + 1).contains(&seen), "{why}: {shown} {seen}");
    }
    // The connection that was open all the time still is.
    vault.ask(&open).await;
}

fn touch(dir: &Path, names: &[&str]) {
    for name in names {
        fs::write(dir.join(name), "").unwrap();
    }
}

fn listed(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|item| item.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_change_goes_from_one_ca_over_two_to_one_and_may_be_cut_short_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::at(dir.path());
    let load = || Authorities::load(&keyring).unwrap();
    let first = Authorities::found(&keyring, now()).unwrap();
    assert_eq!((first.edition(), listed(dir.path())), (1, vec!["ca.crt".into(), "ca.key".into()]));

    // Begun before, and ended between key and certificate.
    touch(dir.path(), &["ca-2.key"]);
    assert_eq!(load().edition(), 1, "a key without certificate is nobody's");
    assert!(matches!(load().finish(&keyring), Err(CaError::NotBegun)));
    touch(dir.path(), &["ca-2.key"]);
    let both = load().begin(&keyring, now()).unwrap();
    assert_eq!((both.edition(), load().edition()), (2, 2));
    assert_eq!(load().current().fingerprint(), first.current().fingerprint());
    assert_eq!(load().issuing().fingerprint(), both.next().unwrap().fingerprint());
    assert_eq!(load().certificates().len(), 2);
    assert!(matches!(load().begin(&keyring, now()), Err(CaError::Begun { .. })));

    // Finished before, and ended between certificate and key.
    fs::remove_file(dir.path().join("ca.crt")).unwrap();
    assert_eq!((load().edition(), load().certificates().len()), (3, 1));
    assert!(matches!(load().finish(&keyring), Err(CaError::NotBegun)));
    assert_eq!(listed(dir.path()), ["ca-2.crt", "ca-2.key"], "the old key is gone");

    let third = load().begin(&keyring, now()).unwrap().finish(&keyring).unwrap();
    assert_eq!(third.edition(), 5);
    assert_eq!(listed(dir.path()), ["ca-3.crt", "ca-3.key"]);
}

#[test]
fn cas_that_do_not_follow_each_other_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::at(dir.path());
    Authorities::found(&keyring, now()).unwrap().begin(&keyring, now()).unwrap();
    let other = |name: &str| fs::copy(dir.path().join("ca-2.crt"), dir.path().join(name)).unwrap();
    for (files, refused, why) in [
        (&["ca-3.crt"][..], true, "three"),
        (
            &["ca-02.crt", "ca-1.crt", "ca-x.crt", "xca-2.crt", "ca-2.crt.bak"],
            false,
            "no CA's names",
        ),
    ] {
        for name in files {
            other(name);
        }
        let loaded = Authorities::load(&keyring);
        assert_eq!(matches!(loaded, Err(CaError::Numbers { .. })), refused, "{why}: {loaded:?}");
        files.iter().for_each(|name| fs::remove_file(dir.path().join(name)).unwrap());
    }
    fs::rename(dir.path().join("ca-2.crt"), dir.path().join("ca-3.crt")).unwrap();
    let gap = Authorities::load(&keyring).unwrap_err();
    assert!(gap.to_string().contains("ca.crt, ca-3.crt"), "{gap}");
}
