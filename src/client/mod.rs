//! The client: verifies everything itself, trusts nothing it is told.

pub mod acts;
pub mod archive;
pub mod chronicle;
pub mod error;
pub mod home;
pub mod invitation;
pub mod session;
pub mod terms_text;
