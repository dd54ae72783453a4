//! The statement that something existed.

use serde::{Deserialize, Serialize};

use crate::domain::id::Digest;
use crate::domain::statement::Made;
use crate::domain::text::Text;

/// Says that there is a document with this digest, for the signer's organisation. The document
/// stays at home. The digest is its own and not a salted one, so that stock tools find it in the
/// document and a time-stamp is about the document itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// By whom and when.
    pub made: Made,
    /// What the organisation calls it.
    pub label: Text,
    /// Size of the document in bytes.
    pub size: u64,
    /// SHA-256 of the document.
    pub sha256: Digest,
}
