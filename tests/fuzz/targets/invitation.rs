//! Invitations as somebody pastes them: never panics, and one that is read is written as it was.
//! The input is tried as text, and as fields behind a checksum that fits.
#![no_main]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use escrow_vault::client::invitation::Invitation;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};

fuzz_target!(|bytes: &[u8]| {
    check(&String::from_utf8_lossy(bytes));
    let mut summed = bytes.to_vec();
    summed.extend(&Sha256::digest(bytes)[..8]);
    check(&format!("escrow-invitation-1.{}", BASE64_URL_SAFE_NO_PAD.encode(summed)));
});

fn check(text: &str) {
    if let Ok(read) = Invitation::parse(text) {
        assert_eq!(Invitation::parse(&read.to_text()).unwrap(), read);
    }
}
