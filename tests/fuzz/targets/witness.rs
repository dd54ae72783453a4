//! What a witness is handed and what it answers: submissions, policies, cosignatures. Never panics, has
//! one spelling, and nothing is cosigned that nobody signed.
#![no_main]

use escrow_vault::crypto::cosignature::{WitnessKey, claimed};
use escrow_vault::crypto::policy::Policy;
use escrow_vault::domain::id::Bytes;
use escrow_vault::ledger::checkpoint::Checkpoint;
use escrow_vault::ledger::submission::Submission;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(submission) = text.parse::<Submission>() {
        assert_eq!(submission.to_string(), text);
    }
    if let Ok(key) = text.parse::<WitnessKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(checkpoint) = Checkpoint::of_any_log(&text) {
        assert!(text.starts_with(&checkpoint.to_string()));
    }
    if let Some((key, signer)) = WitnessKey::kept(&text) {
        assert_eq!(key.keep(&signer), text);
    }
    // Nobody has signed anything with this key.
    let key = WitnessKey::new("witness.example", Bytes([7; 32])).unwrap();
    assert!(!matches!(key.cosigned(&text), Ok(Some(_))));
    assert!(key.line_among("log.example\n1\nroot\n", &text).is_err());
    let _ = claimed(&text);
    if let Ok(policy) = Policy::parse(bytes) {
        // A note that nobody has cosigned: only a policy that asks for nobody is content.
        let judged = policy.judge("log.example\n1\nroot\n\n— log.example AAAAAAAA\n").unwrap();
        assert!(judged.there.is_empty());
        assert_eq!(judged.missing.len(), policy.witnesses().len());
        let asks_for_nobody = bytes.windows(4).any(|word| word == b"none");
        assert!(!judged.is_met || asks_for_nobody);
    }
});
