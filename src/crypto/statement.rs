//! Statements as signed bytes: made, verified, and read back from the ledger.

use crate::crypto::signature::{self, SignatureFault, SigningKey};
use crate::crypto::strict_json::{self, JsonFault};
use crate::domain::event::{Event, SignedText};
use crate::domain::statement::{Stated, Statement};

/// Why bytes are not a statement by the key they come with.
#[derive(Debug, thiserror::Error)]
pub enum StatementFault {
    /// They are not a statement at all.
    #[error("not a statement of a known type")]
    Json(#[from] JsonFault),
    /// They are, but this key did not sign them.
    #[error("the signature is not by the key it names")]
    Signature(#[from] SignatureFault),
}

/// Signs a statement.
pub fn sign(key: &SigningKey, statement: &Statement) -> Result<SignedText, serde_json::Error> {
    let text = serde_json::to_string(statement)?;
    let signature = key.sign(statement.tag(), text.as_bytes());
    Ok(SignedText { statement: text, key: key.public(), signature })
}

/// Reads a statement and verifies its signature over its exact bytes.
pub fn verify(signed: &SignedText) -> Result<Stated, StatementFault> {
    let stated = parse(signed)?;
    let bytes = signed.statement.as_bytes();
    signature::verify(&signed.key, stated.statement.tag(), bytes, &signed.signature)?;
    Ok(stated)
}

/// Reads a statement that was verified before, when it was accepted.
pub fn parse(signed: &SignedText) -> Result<Stated, JsonFault> {
    let bytes = signed.statement.as_bytes();
    let statement = strict_json::parse(bytes, Statement::BYTES_MAX)?;
    Ok(Stated { statement, digest: signature::sha256(bytes), key: signed.key })
}

/// Reads the payload of a ledger entry.
pub fn event(payload: &[u8]) -> Result<Event, JsonFault> {
    strict_json::parse(payload, Event::BYTES_MAX)
}
