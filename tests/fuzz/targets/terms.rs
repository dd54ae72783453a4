//! Terms in TOML: never panics, takes bounded time, and what is accepted is sound.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use escrow_vault::client::terms_text;
use escrow_vault::domain::soundness;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if text.len() as u64 > terms_text::BYTES_MAX {
        return;
    }
    if let Ok(drafted) = terms_text::read(text, Path::new("/terms.toml"), &BTreeMap::new()) {
        soundness::check(&drafted.terms).unwrap();
        assert!(drafted.terms.quorum >= 2);
    }
});
