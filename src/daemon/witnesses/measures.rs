//! What is counted of witnesses: by their numbers in the policy, never by their names.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters since the start. Clones count together; where no witness is asked, all stay at 0.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct Measures {
    witnesses: Gauge,
    failing: Gauge,
    failures: Family<Label, Counter>,
    contradictions: Counter,
    witnessed: Gauge,
    unwitnessed_since: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    witness: u64,
}

impl Measures {
    pub(in crate::daemon) fn register(&self, registry: &mut Registry) {
        let help = "Witnesses that are asked to cosign the log";
        registry.register("witnesses", help, self.witnesses.clone());
        let help = "Witnesses that did not cosign when they were asked last";
        registry.register("witnesses_failing", help, self.failing.clone());
        let help = "Times that a witness did not cosign, by its number in the policy";
        registry.register("witness_failures", help, self.failures.clone());
        let help = "Times that a witness contradicted the log without showing a proof";
        registry.register("witness_contradictions", help, self.contradictions.clone());
        let help = "Events that enough witnesses have seen";
        registry.register("witnessed_events", help, self.witnessed.clone());
        let help = "Since when events wait for enough witnesses; 0 where none do";
        registry.register(
            "unwitnessed_since_timestamp_seconds",
            help,
            self.unwitnessed_since.clone(),
        );
    }

    pub(super) fn asks(&self, count: usize) {
        self.witnesses.set(i64::try_from(count).unwrap_or(i64::MAX));
        for witness in 1..=count as u64 {
            drop(self.failures.get_or_create(&Label { witness }));
        }
    }

    pub(super) fn failed(&self, number: usize, contradicts: bool) {
        self.failures.get_or_create(&Label { witness: number as u64 }).inc();
        if contradicts {
            self.contradictions.inc();
        }
    }

    pub(super) fn failing(&self, count: usize) {
        self.failing.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn witnessed(&self, size: u64) {
        self.witnessed.set(i64::try_from(size).unwrap_or(i64::MAX));
    }

    /// Events wait, from this time on if none did before; or none do any more.
    pub(super) fn waits(&self, since: Option<SystemTime>) {
        let seconds =
            since.map_or(0, |at| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        self.unwitnessed_since.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}
