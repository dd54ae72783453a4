//! The vault's side: who a connection belongs to.

use escrow_vault::client::{ConnectFault, Refusal};
use escrow_vault::domain::time::Span;
use escrow_vault::server::ca::Authority;

use super::{Vault, member_of, now};

#[tokio::test]
async fn a_call_carries_the_subject_its_connection_proved() {
    let mut vault = Vault::start().await;
    let (subject, key, chain) = member_of(&vault.authority, Span::seconds(0));
    let connected = vault.connect(Some((chain, &key))).await.unwrap();
    let peer = vault.ask(&connected).await;
    assert_eq!(peer.subject(), Some(&subject));
    assert!(peer.address.ip().is_loopback());
    let left = peer.certificate.unwrap().expires_at.since(now());
    assert!(left > Span::seconds(86_400 - 60) && left <= Span::days(1), "{left}");
}

#[tokio::test]
async fn without_a_certificate_a_call_has_no_subject() {
    let mut vault = Vault::start().await;
    let connected = vault.connect(None).await.unwrap();
    let peer = vault.ask(&connected).await;
    assert_eq!(peer.certificate, None);
}

#[tokio::test]
async fn a_certificate_the_vault_does_not_accept_is_refused_when_connecting_and_why() {
    let vault = Vault::start().await;
    // The same name, so that only the signature tells them apart.
    let stranger = Authority::create("test vault", now()).unwrap();
    let other_name = Authority::create("another vault", now()).unwrap();
    for (authority, ago, expected, why) in [
        (&stranger, Span::seconds(0), Refusal::UnknownCa, "a CA of the same name"),
        (&other_name, Span::seconds(0), Refusal::UnknownCa, "another CA"),
        (&vault.authority, Span::days(2), Refusal::Expired, "issued the day before yesterday"),
    ] {
        let (_, key, chain) = member_of(authority, ago);
        match vault.connect(Some((chain, &key))).await {
            Err(ConnectFault::ClientCertificate { refusal, .. }) => {
                assert_eq!(refusal, expected, "{why}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_servers_certificate_identifies_no_client() {
    let vault = Vault::start().await;
    let identity = vault.authority.issue_server(&["client.example".to_owned()], now()).unwrap();
    let key = escrow_vault::client::tls_key::TlsKey::from_pkcs8_der(&identity.key).unwrap();
    let fault = vault.connect(Some((identity.chain, &key))).await.unwrap_err();
    let refused = ConnectFault::ClientCertificate {
        address: vault.address.to_string(),
        refusal: Refusal::Other,
    };
    assert_eq!(fault.to_string(), refused.to_string());
}

#[tokio::test]
async fn somebody_elses_certificate_is_of_no_use_without_the_key() {
    let vault = Vault::start().await;
    let (_, _, chain) = member_of(&vault.authority, Span::seconds(0));
    let (_, key, _) = member_of(&vault.authority, Span::seconds(0));
    let fault = vault.connect(Some((chain, &key))).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::OwnIdentity(_)), "{fault:?}");
}
