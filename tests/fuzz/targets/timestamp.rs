//! Requests for time-stamps and tokens, as anybody may send them: never panics, a request always
//! has an answer that is read, and no input is a token of this authority.
#![no_main]

use std::sync::LazyLock;

use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::crypto::timestamp::{
    Authority, Hash, Imprint, StampRefused, Trusted, answer, verify,
};
use escrow_vault::domain::time::Timestamp;
use escrow_vault::server::ca;
use escrow_vault::server::timestamper::take_up;
use libfuzzer_sys::fuzz_target;

static NOW: LazyLock<Timestamp> = LazyLock::new(|| "2026-11-25T09:30:07.000Z".parse().unwrap());

static MADE: LazyLock<(Vec<u8>, Authority)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let ca = ca::Authority::create("fuzzed vault", *NOW).unwrap();
    let taken_up = take_up(&Keyring::at(dir.path()), &ca, *NOW).unwrap();
    (ca.certificate().to_vec(), taken_up.authority)
});

fuzz_target!(|bytes: &[u8]| {
    let (ca, authority) = &*MADE;
    let (pinned, others) = ([ca.as_slice()], [authority.certificate()]);
    let trusted = Trusted { authorities: &pinned, others: &others };
    let stranger = Imprint::of(Hash::Sha256, b"a document that nobody asks for");
    let answered = verify(&answer(bytes, authority, *NOW, &[7; 16]), &stranger, trusted, None);
    match answered {
        Err(StampRefused::Rejected { status: 2, words }) => assert!(!words.is_empty()),
        // Granted, for whatever was asked for.
        Err(StampRefused::OtherImprint) => {}
        // Comparisons give the digest away in the end: then it was asked for.
        Ok(_) if bytes.windows(32).any(|part| part == stranger.digest()) => {}
        other => panic!("{other:?}"),
    }
    assert!(verify(bytes, &stranger, trusted, None).is_err());
});
