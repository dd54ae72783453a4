//! The client's side: which vault is believed, and how refusals are named.

use std::error::Error;

use escrow_vault::client::ConnectFault;
use escrow_vault::client::connect::connect;
use escrow_vault::client::trust::Trust;
use escrow_vault::domain::id::Bytes;
use escrow_vault::domain::time::{Span, Timestamp};
use escrow_vault::server::ca::{Authority, ServerIdentity};
use escrow_vault::server::tls::server_config;

use super::{Vault, check, now, server_of};

#[tokio::test]
async fn who_joins_needs_the_fingerprint_only_and_later_the_ca() {
    let mut vault = Vault::start().await;
    let joined = vault.connect(None).await.unwrap();
    assert!(joined.post_quantum, "X25519MLKEM768 was not negotiated");
    vault.ask(&joined).await;

    let localhost = format!("localhost:{}", vault.address.port());
    let trust = Trust::Cas(vec![vault.authority.certificate().clone()]);
    let again = connect(&localhost, trust, None).await.unwrap();
    vault.ask(&again).await;
}

#[tokio::test]
async fn another_ca_is_not_trusted_however_it_is_presented() {
    let vault = Vault::start().await;
    let address = vault.address.to_string();
    let stranger = Authority::create("test vault", now()).unwrap();
    for trust in [
        Trust::CaFingerprint(Bytes([0; 32])),
        Trust::CaFingerprint(stranger.fingerprint()),
        Trust::Cas(vec![stranger.certificate().clone()]),
    ] {
        let fault = connect(&address, trust.clone(), None).await.unwrap_err();
        assert!(matches!(fault, ConnectFault::NotTrusted { .. }), "{trust:?}: {fault:?}");
    }

    // An impostor that shows the genuine CA certificate, which is public, beside its own leaf.
    let genuine = vault.authority.certificate().clone();
    let ServerIdentity { chain, key } = server_of(&stranger);
    let impostor = ServerIdentity { chain: vec![chain[0].clone(), genuine], key };
    vault.config.store(server_config(&[stranger.certificate().clone()], &impostor).unwrap().into());
    let fault = vault.connect(None).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::NotTrusted { .. }), "{fault:?}");
}

#[tokio::test]
async fn a_certificate_out_of_time_or_for_another_name_is_called_that() {
    let vault = Vault::start().await;
    let here = ["127.0.0.1".to_owned()];
    let elsewhere = ["vault.example".to_owned()];
    let long_ago = Timestamp::from_millis(now().as_millis() - 366 * 86_400_000);
    type Expected = fn(&ConnectFault) -> bool;
    for (hosts, issued, expected, why) in [
        (
            &here,
            long_ago,
            (|fault| matches!(fault, ConnectFault::CertificateExpired { .. })) as Expected,
            "a year and a day old",
        ),
        (
            &here,
            now().after(Span::days(1)),
            |fault| matches!(fault, ConnectFault::CertificateNotYetValid { .. }),
            "from tomorrow",
        ),
        (
            &elsewhere,
            now(),
            |fault| {
                matches!(fault, ConnectFault::WrongName { presented, .. }
                    if presented.iter().any(|name| name.contains("vault.example")))
            },
            "for another name",
        ),
    ] {
        let identity = vault.authority.issue_server(hosts, issued).unwrap();
        let config = server_config(&[vault.authority.certificate().clone()], &identity).unwrap();
        vault.config.store(config.into());
        let fault = vault.connect(None).await.unwrap_err();
        assert!(expected(&fault), "{why}: {fault:?}");
    }
}

#[tokio::test]
async fn a_reloaded_certificate_is_shown_to_the_next_connection() {
    let mut vault = Vault::start().await;
    let before = vault.connect(None).await.unwrap();
    let elsewhere = vault.authority.issue_server(&["vault.example".to_owned()], now()).unwrap();
    let config = server_config(&[vault.authority.certificate().clone()], &elsewhere).unwrap();
    vault.config.store(config.into());
    let fault = vault.connect(None).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::WrongName { .. }), "{fault:?}");
    vault.ask(&before).await;
}

#[tokio::test]
async fn a_vault_that_is_gone_is_unreachable_also_in_the_middle_of_a_session() {
    let mut vault = Vault::start().await;
    let address = vault.address.to_string();
    let trust = vault.by_fingerprint();
    let connected = vault.connect(None).await.unwrap();
    vault.ask(&connected).await;
    vault.stop().await;

    let fault = connect(&address, trust, None).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::Unreachable { .. }), "{fault:?}");
    // The first call may still fail on the old connection; one that reconnects says why.
    let found = async {
        loop {
            let status = check(&connected).await.unwrap_err();
            let error: &(dyn Error + 'static) = &status;
            if let Some(fault) = ConnectFault::in_chain(error) {
                return matches!(fault, ConnectFault::Unreachable { .. });
            }
        }
    };
    assert!(tokio::time::timeout(super::PATIENCE, found).await.unwrap());
}

#[tokio::test]
async fn what_is_no_address_is_refused_before_anything_is_sent() {
    for address in [
        "",
        "vault.example",
        "vault.example:",
        "vault.example:99999",
        ":7443",
        "https://vault.example:7443",
        "vault.example:7443/path",
        "user@vault.example:7443",
        "vault.example:7443?x",
        "ex ample:7443",
        "vault.example:07443",
        "::1:7443",
    ] {
        let trust = Trust::CaFingerprint(Bytes([0; 32]));
        let fault = connect(address, trust, None).await.unwrap_err();
        assert!(matches!(fault, ConnectFault::Address { .. }), "{address:?}: {fault:?}");
    }
    // Nobody listens on port 1, whether or not there is IPv6 here.
    let fault = connect("[::1]:1", Trust::CaFingerprint(Bytes([0; 32])), None).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::Unreachable { .. }), "{fault:?}");
}

#[tokio::test]
async fn a_port_that_is_no_vault_is_called_that() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let replies: [&[u8]; 2] = [b"SSH-2.0-OpenSSH_9.6\r\n", b""];
    let server = tokio::spawn(async move {
        for reply in replies {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let _ = tcp.read(&mut [0; 4096]).await.unwrap();
            tcp.write_all(reply).await.unwrap();
        }
    });
    let trust = Trust::CaFingerprint(Bytes([0; 32]));
    let fault = connect(&address, trust.clone(), None).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::Tls { .. }), "{fault:?}");
    let fault = connect(&address, trust, None).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::Closed { .. }), "{fault:?}");
    server.await.unwrap();
}
