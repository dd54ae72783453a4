//! What a vault can say in place of a time-stamp: it has its CA, and can make any authority of its own.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::SystemTime;

use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::crypto::timestamp::{self, Authority, Hash, Imprint};
use escrow_vault::domain::time::{Span, Timestamp};
use escrow_vault::server::ca;
use escrow_vault::server::timestamper::take_up;
use prost::Message as _;
use tempfile::TempDir;

use super::{Desk, Liar, Lie};
use crate::scenarios::World;

/// An authority that is certified by this CA.
fn authority(ca: &ca::Authority, at: Timestamp) -> (TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let authority = take_up(&Keyring::at(dir.path()), ca, at).unwrap().authority;
    (dir, authority)
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn before(span: Span) -> Timestamp {
    Timestamp::from(SystemTime::now() - span.as_duration())
}

/// What is answered to this request.
type Telling = fn(&[u8], &Authority) -> Vec<u8>;

/// As an honest authority would, at this time.
fn answer(request: &[u8], authority: &Authority, at: Timestamp) -> Vec<u8> {
    timestamp::answer(request, authority, at, &[7; 16])
}

/// The request with a bit of this byte, counted from its end, made another one.
fn bent(request: &[u8], from_end: usize) -> Vec<u8> {
    let mut bent = request.to_vec();
    let at = bent.len() - from_end;
    bent[at] ^= 1;
    bent
}

#[test]
fn promise_13_a_time_stamp_that_does_not_count_is_refused_and_the_registration_told() {
    let world = World::new();
    world.join("hanbit-parts", "minji");
    let liar = Liar::beside(&world);
    let keys = Keyring::at(&world.data().join("keys"));
    let pinned = ca::Authority::load(&keys, 1).unwrap();
    let strange = ca::Authority::create("Escrow Vault CA", now()).unwrap();
    let rows: &[(&str, &ca::Authority, Telling, &str)] = &[
        (
            "of another digest, asked for in its place",
            &pinned,
            |_, authority| {
                let imprint = Imprint::of(Hash::Sha256, b"something else");
                answer(&timestamp::request(&imprint, Some(&[9; 8]), true), authority, now())
            },
            "it is a time-stamp of another document",
        ),
        (
            "of one bit less",
            &pinned,
            // The digest's last byte stands before the nonce (2 + 9 bytes) and the flag (3 bytes).
            |request, authority| answer(&bent(request, 15), authority, now()),
            "it is a time-stamp of another document",
        ),
        (
            "with another nonce",
            &pinned,
            |request, authority| answer(&bent(request, 4), authority, now()),
            "answers another request",
        ),
        (
            "without a nonce, as if kept from long ago",
            &pinned,
            |_, authority| {
                let imprint = Imprint::of(Hash::Sha256, b"anneal at 412");
                answer(&timestamp::request(&imprint, None, true), authority, now())
            },
            "answers another request",
        ),
        (
            "without its signer's certificate",
            &pinned,
            |_, authority| {
                let imprint = Imprint::of(Hash::Sha256, b"anneal at 412");
                answer(&timestamp::request(&imprint, None, false), authority, now())
            },
            "its signer's certificate is missing",
        ),
        (
            "of a CA of the same name",
            &strange,
            |request, authority| answer(request, authority, now()),
            "is not certified by a CA that is pinned",
        ),
        (
            "of ten minutes ahead",
            &pinned,
            |request, authority| answer(request, authority, now().after(Span::seconds(600))),
            "when this computer's clock said",
        ),
        (
            "of ten minutes ago, before there was a CA",
            &pinned,
            |request, authority| answer(request, authority, before(Span::seconds(600))),
            "a certificate that it hangs on is not valid",
        ),
    ];
    let file = world.file("notebook", "anneal at 412");
    for (what, ca, tell, reason) in rows {
        let (_keys, authority) = authority(ca, before(Span::days(30)));
        let (authority, tell, desk) = (Arc::new(authority), *tell, Arc::clone(&liar.desk));
        liar.copy(&world, "hanbit-parts", "copy");
        liar.tell(Some(Lie::new("Stamp", move |_| Ok(told(&desk, tell, &authority)))));
        let ended = world.escrow("copy", &["register", &file, "--yes"]);
        assert_eq!((ended.code, ended.refusal().as_str()), (1, "UNTRUE"), "{what}: {}", ended.err);
        let message = ended.error()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(reason), "{what}: {message}");
        assert_eq!(ended.out.len(), 1, "{what}: it is registered, and told");
        assert!(ended.out[0]["stamped_at"].is_null(), "{what}: {:?}", ended.out);
        let id = ended.out[0]["id"].as_str().unwrap();
        assert!(!world.home("copy").join(format!("stamps/{id}.tsr")).exists(), "{what}");
        // Asked again, it is told the truth.
        liar.tell(None);
        let shown = world.escrow("copy", &["show", id]).record();
        assert!(shown["stamped_at"].is_string(), "{what}: {shown}");
    }
}

#[test]
fn a_ca_that_came_meanwhile_is_asked_for_before_its_time_stamp_is_refused() {
    let world = World::new();
    world.join("hanbit-parts", "minji");
    let liar = Liar::beside(&world);
    let home = liar.copy(&world, "hanbit-parts", "copy");
    let file = world.file("notebook", "anneal at 412");
    let (submitted, heard) = mpsc::channel();
    let (reloaded, go_on) = mpsc::channel();
    let go_on = Mutex::new(go_on);
    liar.tell(Some(Lie::new("Submit", move |truth| {
        submitted.send(()).unwrap();
        go_on.lock().unwrap().recv().unwrap();
        Ok(Box::new(truth.into_iter()))
    })));
    let register = ["register", &file, "--yes"];
    let registered = thread::scope(|scope| {
        let registering = scope.spawn(|| world.escrow("copy", &register));
        heard.recv().unwrap();
        assert_eq!(home.vault().unwrap().ca_edition, 1);
        assert_eq!(world.escrowd(&["rotate-ca"]).code, 0);
        assert!(world.reload());
        reloaded.send(()).unwrap();
        registering.join().unwrap()
    });
    let registered = registered.record();
    assert!(registered["stamped_at"].is_string(), "{registered}");
    assert_eq!(home.vault().unwrap().ca_edition, 2, "and the home knows it");
}

fn told(
    desk: &Desk,
    tell: Telling,
    authority: &Authority,
) -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
    let response = tell(&desk.asked.lock().unwrap(), authority).into();
    let told = escrow_vault::wire::v1::StampResponse { response };
    Box::new([told.encode_to_vec()].into_iter())
}
