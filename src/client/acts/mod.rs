//! What members do, one file a subject. Each act checks for itself what it signs.

pub mod agreement;
pub mod amendment;
pub mod attest;
pub mod authority;
pub mod deposit;
pub mod export;
pub mod identity;
pub mod joining;
pub mod notice;
pub mod receipt;
pub mod registration;
pub mod release;
pub mod resume;
pub mod retrieval;
pub mod stamp;
pub mod watch;
