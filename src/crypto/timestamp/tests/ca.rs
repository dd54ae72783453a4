//! Which certificates may be pinned.

use rcgen::ExtendedKeyUsagePurpose;

use super::*;

#[test]
fn only_a_ca_under_which_a_token_can_count_is_pinned() {
    type Change = fn(&mut CertificateParams);
    let as_it_is: Change = |_| {};
    let rows: [(&str, Change, Result<(), NoCa>); 7] = [
        ("a root", as_it_is, Ok(())),
        (
            "one that has expired: tokens have times of their own",
            |it| {
                it.not_after = rcgen::date_time_ymd(2021, 1, 1);
            },
            Ok(()),
        ),
        (
            "one for time-stamps",
            |it| {
                it.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
            },
            Ok(()),
        ),
        (
            "one for servers",
            |it| {
                it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            },
            Err(NoCa::MayNot),
        ),
        ("no CA", |it| it.is_ca = IsCa::ExplicitNoCa, Err(NoCa::MayNot)),
        (
            "its key is not for certificates",
            |it| {
                it.key_usages = vec![KeyUsagePurpose::CrlSign];
            },
            Err(NoCa::MayNot),
        ),
        (
            "it is bound to names, which nobody checks here",
            |it| {
                let permitted_subtrees = vec![rcgen::GeneralSubtree::DnsName("example".into())];
                let excluded_subtrees = vec![];
                it.name_constraints =
                    Some(rcgen::NameConstraints { permitted_subtrees, excluded_subtrees });
            },
            Err(NoCa::MayNot),
        ),
    ];
    for (why, change, expected) in rows {
        let mut params = ca_params("root");
        change(&mut params);
        let der = root(params).der;
        assert_eq!(check_ca(&der), expected, "{why}");
        for bent in [&der[..der.len() - 1], &[der.as_slice(), &[0]].concat(), b"", b"\x30\x00"] {
            assert_eq!(check_ca(bent), Err(NoCa::NoCertificate), "bent: {why}");
        }
    }
    let stamper = World::new().stamper;
    assert_eq!(check_ca(&stamper.der), Err(NoCa::MayNot), "a stamper certifies nobody");
    for (why, algorithm, expected) in [
        ("P-384", &rcgen::PKCS_ECDSA_P384_SHA384, Ok(())),
        ("Ed25519, which stock tools refuse in tokens", &rcgen::PKCS_ED25519, Err(NoCa::Key)),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let der = ca_params("root").self_signed(&key).unwrap().der().to_vec();
        assert_eq!(check_ca(&der), expected, "{why}");
    }
}
