//! What the CA certifies, and how it is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use escrow_vault::client::tls_key::TlsKey;
use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::domain::id::{Bytes, MemberId};
use escrow_vault::domain::time::Span;
use escrow_vault::server::ca::{AUTHORITY_LIFETIME, Authority, CaError};
use escrow_vault::server::peer::{NoSubject, PeerCertificate, Subject};
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::{member_of, now, server_of};

#[test]
fn of_a_request_only_the_key_is_believed() {
    let authority = Authority::create("test vault", now()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["operator.example".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI("escrow-vault:operator".try_into().unwrap()));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0])];
    let csr = params.serialize_request(&key).unwrap();

    let path = format!("{}/{}", "a".repeat(63), "b".repeat(63)).parse().unwrap();
    let subject = Subject::Member { id: MemberId::of(&Bytes([9; 32])), path };
    let der = authority.issue_client(csr.der(), &subject, now(), Span::days(90)).unwrap();

    let (_, issued) = parse_x509_certificate(&der).unwrap();
    assert_eq!(Subject::from_certificate(&der), Ok(subject.clone()));
    let names = issued.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::URI(&subject.to_string())]);
    assert_eq!(issued.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
    assert!(!issued.is_ca());
    let usage = issued.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert!(issued.extensions().iter().all(|e| !e.oid.to_id_string().contains("99999")));
    let common_name = issued.subject().iter_common_name().next().unwrap().as_str().unwrap();
    assert!(common_name.len() <= 64, "X.520 allows 64: {common_name}");
}

#[test]
fn certificates_begin_a_little_early_differ_in_serial_and_never_outlive_the_ca() {
    let authority = Authority::create("test vault", now()).unwrap();
    let csr = TlsKey::generate().unwrap().csr_der().unwrap();
    let issue = |at, lifetime| authority.issue_client(&csr, &Subject::Operator, at, lifetime);

    let (one, other) = (issue(now(), Span::days(1)).unwrap(), issue(now(), Span::days(1)).unwrap());
    let ((_, one), (_, other)) =
        (parse_x509_certificate(&one).unwrap(), parse_x509_certificate(&other).unwrap());
    assert_ne!(one.raw_serial(), other.raw_serial());
    assert_eq!(one.raw_serial().len(), 17, "128 random bits behind a one");
    let early = now().as_millis() / 1000 - one.validity().not_before.timestamp();
    assert!((300..360).contains(&early), "{early} s");

    let forever = issue(now(), Span::days(30_000)).unwrap();
    let expires_at = PeerCertificate::from_der(&forever).unwrap().expires_at;
    assert_eq!(expires_at, authority.expires_at());
    let too_late = now().after(AUTHORITY_LIFETIME).after(Span::seconds(1));
    assert!(matches!(issue(too_late, Span::days(1)), Err(CaError::Expired { .. })));
}

#[test]
fn a_certificate_that_does_not_name_exactly_one_subject_names_nobody() {
    let key = KeyPair::generate().unwrap();
    let operator = || SanType::URI("escrow-vault:operator".try_into().unwrap());
    let dns = || SanType::DnsName("vault.example".try_into().unwrap());
    for (names, expected, why) in [
        (vec![operator()], Ok(Subject::Operator), "one of ours"),
        (vec![], Err(NoSubject::NotOneUri), "none"),
        (vec![operator(), operator()], Err(NoSubject::NotOneUri), "the same twice"),
        (vec![dns(), operator()], Err(NoSubject::NotOneUri), "a host before it"),
        (vec![operator(), dns()], Err(NoSubject::NotOneUri), "a host behind it"),
        (vec![dns()], Err(NoSubject::NotOneUri), "a host only"),
    ] {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(Subject::from_certificate(certificate.der()), expected, "{why}");
        let trailing = [certificate.der().as_ref(), &[0]].concat();
        assert_eq!(Subject::from_certificate(&trailing), Err(NoSubject::Unparsable), "{why}");
    }
}

#[test]
fn an_authority_survives_storage_and_nothing_overwrites_it() {
    let dir = tempfile::tempdir().unwrap();
    let made = Authority::create("test vault", now()).unwrap();
    made.write_new(&Keyring::at(dir.path()), 1).unwrap();
    let loaded = Authority::load(&Keyring::at(dir.path()), 1).unwrap();
    assert_eq!(loaded.certificate(), made.certificate());
    assert_eq!(loaded.expires_at(), made.expires_at());
    // What the loaded one signs is of the CA that was made.
    let server = server_of(&loaded);
    let ((_, leaf), (_, ca)) = (
        parse_x509_certificate(&server.chain[0]).unwrap(),
        parse_x509_certificate(made.certificate()).unwrap(),
    );
    leaf.verify_signature(Some(ca.public_key())).unwrap();
    assert_eq!(leaf.issuer(), ca.subject());
    assert_eq!(ca.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
    assert_eq!(server.chain_pem().matches("BEGIN CERTIFICATE").count(), 2);

    let other = Authority::create("test vault", now()).unwrap();
    assert!(matches!(other.write_new(&Keyring::at(dir.path()), 1), Err(CaError::Keyring(_))));
    assert_eq!(
        Authority::load(&Keyring::at(dir.path()), 1).unwrap().fingerprint(),
        made.fingerprint()
    );
}

#[test]
fn a_damaged_or_exposed_authority_is_refused_with_the_remedy() {
    let key = "ca.key";
    let certificate = "ca.crt";
    let other = Authority::create("test vault", now()).unwrap();
    let (_, _, client) = member_of(&other, Span::seconds(0));
    type Damage<'a> = (&'a str, Vec<u8>, &'a str);
    let damages: [Damage<'_>; 4] = [
        (key, b"not PEM".to_vec(), "not a private key in PEM"),
        (certificate, b"not PEM".to_vec(), "not a CA certificate in PEM"),
        (certificate, other.certificate_pem().into_bytes(), "do not belong together"),
        (certificate, client[0].to_vec(), "not a CA certificate in PEM"),
    ];
    for (file, content, message) in damages {
        let dir = tempfile::tempdir().unwrap();
        Authority::create("test vault", now())
            .unwrap()
            .write_new(&Keyring::at(dir.path()), 1)
            .unwrap();
        fs::write(dir.path().join(file), content).unwrap();
        let error = Authority::load(&Keyring::at(dir.path()), 1).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().contains("backup"), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    other.write_new(&Keyring::at(dir.path()), 1).unwrap();
    fs::set_permissions(dir.path().join(key), fs::Permissions::from_mode(0o644)).unwrap();
    let CaError::Keyring(error) = Authority::load(&Keyring::at(dir.path()), 1).unwrap_err() else {
        panic!("an exposed key was loaded");
    };
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn a_server_is_certified_for_names_and_addresses_only() {
    let authority = Authority::create("test vault", now()).unwrap();
    for (hosts, accepted) in [
        (vec!["vault.example", "127.0.0.1", "::1", "localhost"], true),
        (vec![], false),
        (vec!["https://vault.example"], false),
        (vec!["vault.example:7443"], false),
        (vec!["vault example"], false),
        (vec!["127.0.0.1", ""], false),
        (vec!["금고.example"], false),
    ] {
        let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
        let outcome = authority.issue_server(&hosts, now());
        assert_eq!(outcome.is_ok(), accepted, "{hosts:?}");
    }
    for name in ["", &"x".repeat(65)] {
        assert!(matches!(Authority::create(name, now()), Err(CaError::CommonName)));
    }
}
