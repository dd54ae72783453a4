//! Statements, events and heads as strict JSON: never panics, and what is read is written again in
//! the one form there is.
#![no_main]

use escrow_vault::crypto::{statement, strict_json};
use escrow_vault::domain::statement::Statement;
use escrow_vault::ledger::head::{Head, SignedHead};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = strict_json::parse::<Statement>(bytes, Statement::BYTES_MAX) {
        let written = serde_json::to_vec(&read).unwrap();
        let again: Statement = strict_json::parse(&written, Statement::BYTES_MAX).unwrap();
        assert_eq!(again, read);
    }
    if let Ok(read) = statement::event(bytes) {
        let written = serde_json::to_vec(&read).unwrap();
        assert_eq!(statement::event(&written).unwrap(), read);
    }
    drop(strict_json::parse::<Head>(bytes, SignedHead::BYTES_MAX));
});
