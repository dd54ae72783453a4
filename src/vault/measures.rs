//! What the vault counts about its commits.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::domain::event::{Note, SignedText};
use crate::domain::statement::{Stated, Statement};

/// Counters since the start. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Measures {
    seconds: Histogram,
    events: Histogram,
    full: Counter,
    attempts_dropped: Counter,
    deposits: Counter,
    deposit_bytes: Counter,
    quarantined: Counter,
}

/// What a batch brings that is counted once it is durable.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    deposits: u64,
    deposit_bytes: u64,
    statement_bytes: u64,
    quarantined: u64,
}

impl Tally {
    pub(super) fn stated(&mut self, signed: &SignedText, stated: &Stated) {
        self.statement_bytes += signed.statement.len() as u64;
        if let Statement::Deposit(deposit) = &stated.statement {
            self.deposits += 1;
            self.deposit_bytes += deposit.size;
        }
    }

    /// What quotas count of it.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.deposit_bytes + self.statement_bytes
    }

    pub(super) fn noted(&mut self, note: &Note) {
        if let Note::Quarantined { .. } = note {
            self.quarantined += 1;
        }
    }
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            // From a quarter of a millisecond to 8 s: a commit is two or three syncs of a disk.
            seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            events: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            full: Counter::default(),
            attempts_dropped: Counter::default(),
            deposits: Counter::default(),
            deposit_bytes: Counter::default(),
            quarantined: Counter::default(),
        }
    }
}

impl Measures {
    /// A batch of so many events is durable.
    pub(super) fn committed(&self, took: Duration, events: usize, tally: &Tally) {
        self.seconds.observe(took.as_secs_f64());
        self.events.observe(events as f64);
        self.deposits.inc_by(tally.deposits);
        self.deposit_bytes.inc_by(tally.deposit_bytes);
        self.quarantined.inc_by(tally.quarantined);
    }

    /// Something was refused for want of space.
    pub(super) fn refused_as_full(&self) {
        self.full.inc();
    }

    /// That somebody was refused was not entered: there is too much of it, or no room.
    pub(super) fn attempt_dropped(&self) {
        self.attempts_dropped.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let seconds = "How long it took to make a batch of events durable";
        registry.register("commit_seconds", seconds, self.seconds.clone());
        registry.register("commit_events", "Events in a batch", self.events.clone());
        let full = "Refusals for want of space on the disk";
        registry.register("refused_disk_full", full, self.full.clone());
        let dropped = "Refused attempts that were not entered: too many at a time, or no room";
        registry.register("refused_attempts_dropped", dropped, self.attempts_dropped.clone());
        registry.register("deposits", "Deposits since the start", self.deposits.clone());
        let bytes = "Bytes deposited since the start";
        registry.register("deposit_bytes", bytes, self.deposit_bytes.clone());
        let quarantined = "Bundles found damaged and quarantined since the start";
        registry.register("bundles_quarantined", quarantined, self.quarantined.clone());
    }
}
