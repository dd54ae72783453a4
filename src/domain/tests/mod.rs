//! Trials of the domain: attacks, promises, tables. Nothing here signs or hashes; digests and
//! keys are any bytes unlike each other.

mod amendments;
mod clocks;
mod disputes;
mod duty;
mod engines;
mod grants;
mod identity;
pub(crate) mod json;
mod limits;
mod model;
pub(crate) mod promises;
mod recovery;
mod registration;
mod scenario;
mod stamped;
mod swapped;
mod table;
pub(crate) mod terms;
mod triggers;
mod world;
