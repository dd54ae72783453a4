//! What an organisation takes up of a vault, counted from its events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::id::RequestId;
use crate::domain::time::Timestamp;

/// What an organisation has stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of its bundles and statements.
    pub bytes: u64,
    /// Its deposits.
    pub deposits: u64,
    /// Its registrations. Records of before there were any say nothing of them.
    #[serde(default)]
    pub registrations: u64,
}

/// An organisation's requests that are neither released nor withdrawn, and when each lapses. Lapsing
/// is no event, so those that have are forgotten when the next one is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway(BTreeMap<RequestId, Timestamp>);

impl Underway {
    /// One more was opened.
    pub fn opened(&mut self, id: RequestId, expires_at: Timestamp, now: Timestamp) {
        self.0.retain(|_, expires_at| now < *expires_at);
        self.0.insert(id, expires_at);
    }

    /// One came to an end. Whether it was among them.
    pub fn ended(&mut self, id: &RequestId) -> bool {
        self.0.remove(id).is_some()
    }

    /// Whether this one is among them.
    pub fn contains(&self, id: &RequestId) -> bool {
        self.0.contains_key(id)
    }

    /// How many are open at this moment.
    pub fn count_at(&self, now: Timestamp) -> u64 {
        self.0.values().filter(|expires_at| now < **expires_at).count() as u64
    }
}
