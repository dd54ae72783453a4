//! Strangers at the port: nothing they do ends the loop or keeps members out.

use std::time::{Duration, Instant};

use escrow_vault::client::ConnectFault;
use escrow_vault::domain::time::Span;
use escrow_vault::server::accept::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, Vault, bare_tls, member_of};

/// What the vault still says until it closes the connection, which it must.
async fn until_closed(tcp: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is a way of closing.
    let _ = timeout(PATIENCE, tcp.read_to_end(&mut said)).await.expect("still open");
    said
}

#[tokio::test]
async fn garbage_costs_the_stranger_its_connection_and_nobody_else_anything() {
    let mut vault = Vault::start().await;
    let before = vault.connect(None).await.unwrap();
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: vault\r\n\r\n".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 1024],
        &[0xff; 70_000],
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
    ] {
        let mut tcp = TcpStream::connect(vault.address).await.unwrap();
        // The vault may have closed it before everything was written.
        let _ = tcp.write_all(bytes).await;
        until_closed(&mut tcp).await;
    }
    drop(TcpStream::connect(vault.address).await.unwrap());
    let after = vault.connect(None).await.unwrap();
    vault.ask(&before).await;
    vault.ask(&after).await;
}

#[tokio::test]
async fn tls_1_2_is_refused_by_its_name() {
    // A ClientHello of TLS 1.2: no supported_versions, one cipher suite, groups, signatures.
    let extensions = [
        [0x00, 0x0a, 0, 4, 0, 2, 0x00, 0x17].as_slice(),
        &[0x00, 0x0d, 0, 4, 0, 2, 0x04, 0x03],
        &[0x00, 0x0b, 0, 2, 1, 0],
        &[0x00, 0x17, 0, 0],
    ]
    .concat();
    let hello = [
        [3, 3].as_slice(),
        &[0x5a; 32],
        &[0, 0, 2, 0xc0, 0x2b, 1, 0],
        &u16::try_from(extensions.len()).unwrap().to_be_bytes(),
        &extensions,
    ]
    .concat();
    let length = u16::try_from(hello.len()).unwrap();
    let handshake = [[1, 0].as_slice(), &length.to_be_bytes(), &hello].concat();
    let record = [[0x16, 3, 1].as_slice(), &(length + 4).to_be_bytes(), &handshake].concat();

    let vault = Vault::start().await;
    let mut tcp = TcpStream::connect(vault.address).await.unwrap();
    tcp.write_all(&record).await.unwrap();
    let said = until_closed(&mut tcp).await;
    // A fatal alert, protocol_version (70).
    assert_eq!(said, [0x15, 3, 3, 0, 2, 2, 70]);
}

#[tokio::test]
async fn a_silent_stranger_is_sent_away_before_and_after_the_handshake() {
    let limits = Limits { handshake_max: Duration::from_millis(300), ..Limits::default() };
    let vault = Vault::start_with(limits).await;
    let mut tcp = TcpStream::connect(vault.address).await.unwrap();
    assert_eq!(until_closed(&mut tcp).await, b"");

    // TLS and then silence, where HTTP/2 should begin.
    let mut tls = bare_tls(&vault).await;
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, tls.read_to_end(&mut said)).await.expect("still open");
    assert!(!said.is_empty(), "an HTTP/2 server speaks first");
}

#[tokio::test]
async fn one_network_cannot_take_all_places_and_gets_them_back() {
    let limits = Limits { connections_per_network_max: 2, ..Limits::default() };
    let mut vault = Vault::start_with(limits).await;
    let first = vault.connect(None).await.unwrap();
    let second = vault.connect(None).await.unwrap();
    let fault = vault.connect(None).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::Closed { .. }), "{fault:?}");
    vault.ask(&first).await;
    vault.ask(&second).await;
    drop(first);
    connect_once_there_is_a_place(&vault).await;
}

#[tokio::test]
async fn who_shows_no_certificate_cannot_keep_members_out() {
    let limits = Limits { anonymous_max: 1, ..Limits::default() };
    let mut vault = Vault::start_with(limits).await;
    let _stranger = vault.connect(None).await.unwrap();
    let fault = vault.connect(None).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::Closed { .. }), "{fault:?}");
    let (subject, key, chain) = member_of(&vault.authority, Span::seconds(0));
    let member = vault.connect(Some((chain, &key))).await.unwrap();
    assert_eq!(vault.ask(&member).await.subject(), Some(&subject));
}

#[tokio::test]
async fn handshakes_that_do_not_proceed_are_bounded() {
    let limits = Limits { handshakes_max: 1, ..Limits::default() };
    let vault = Vault::start_with(limits).await;
    let stalled = TcpStream::connect(vault.address).await.unwrap();
    let fault = vault.connect(None).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::Closed { .. }), "{fault:?}");
    drop(stalled);
    connect_once_there_is_a_place(&vault).await;
}

#[tokio::test]
async fn whoever_was_cut_off_as_a_flood_waits_before_the_next_handshake() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0attacker";
    // Of no stream at all, which HTTP/2 does not forgive.
    const STRAY: &[u8] = b"\0\0\0\0\0\0\0\0\0";
    for (what, flood) in [("pings", PING.repeat(3_000)), ("a broken rule", STRAY.to_vec())] {
        let mut vault = Vault::start().await;
        let began = Instant::now();
        let mut tls = bare_tls(&vault).await;
        // The vault may hang up before everything was written.
        let _ = tls.write_all(&[PREFACE, &flood].concat()).await;
        let _ = timeout(PATIENCE, tls.read_to_end(&mut vec![])).await.expect("still open");
        let colleague = vault.connect(None).await.unwrap();
        vault.ask(&colleague).await;
        assert!(began.elapsed() >= Duration::from_secs(1), "{what}: nobody waited");
    }
}

#[tokio::test]
async fn nothing_is_resumed_and_no_ticket_is_sent() {
    let vault = Vault::start().await;
    let mut tls = bare_tls(&vault).await;
    // The vault's first words come after any tickets.
    tls.read_exact(&mut [0; 9]).await.unwrap();
    assert_eq!(tls.get_ref().1.tls13_tickets_received(), 0);
}

/// Places are given back when the vault notices, which takes a moment.
async fn connect_once_there_is_a_place(vault: &Vault) {
    let connecting = async {
        while let Err(fault) = vault.connect(None).await {
            assert!(matches!(fault, ConnectFault::Closed { .. }), "{fault:?}");
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, connecting).await.expect("no place was given back");
}
