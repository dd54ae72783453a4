//! An age header read by our own parser: never panics, and reads a prefix as it reads the whole.
#![no_main]

use escrow_vault::crypto::header::Header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = Header::parse(bytes);
    if let Ok(Some(header)) = &whole {
        let exactly = Header::parse(&bytes[..header.size]);
        assert_eq!(exactly.as_ref().ok(), whole.as_ref().ok(), "what follows is not the header's");
        let before = Header::parse(&bytes[..header.size - 1]);
        assert!(!matches!(before, Ok(Some(_))), "a header ends where it ends");
    }
});
