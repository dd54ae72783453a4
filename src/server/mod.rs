//! The server: one file a service, and the connections they are reached by.

mod bundles;
mod caller;
mod identities;
mod shares;
mod statements;
mod status;
mod streams;
