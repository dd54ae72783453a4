//! The pure domain: no IO, no clock, no randomness, no async.
//!
//! State is the fold of events. [`rules::decide()`] says whether a statement may become an event,
//! [`rules::apply()`] what it changes; everything else here is what those two speak about.

pub mod advice;
pub mod agreement;
pub mod amendment;
pub mod calendar;
pub mod chain;
pub mod deposit;
pub mod der;
pub mod event;
pub mod handover;
pub mod id;
pub mod needs;
pub mod organisation;
pub mod outlook;
pub mod refusal;
pub mod registration;
pub mod request;
pub mod rules;
pub mod soundness;
pub mod statement;
pub mod states;
pub mod stream;
pub mod terms;
pub mod text;
pub mod time;
pub mod trigger;
pub mod url;
pub mod usage;
pub mod walk;
mod worded;

#[cfg(test)]
pub(crate) mod tests;
