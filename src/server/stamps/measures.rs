//! What is counted of the log's time-stamps.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::domain::time::Timestamp;
use crate::server::stamps::shelf::Whose;

/// Counts; `Clone` is another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct StampMeasures {
    kept: Family<OfAuthority, Counter>,
    renewed: Family<OfAuthority, Counter>,
    failures: Family<OfAuthority, Counter>,
    newest: Family<OfAuthority, Gauge>,
    due_since: Family<OfAuthority, Gauge>,
    damaged: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAuthority {
    authority: Whose,
}

impl EncodeLabelValue for Whose {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.to_string().encode(encoder)
    }
}

impl StampMeasures {
    /// Adds what is counted to what is shown.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Checkpoints of the log that were time-stamped";
        registry.register("stamps", help, self.kept.clone());
        registry.register("stamps_renewed", "Time-stamps that were renewed", self.renewed.clone());
        let help = "Times that an authority gave no time-stamp that counts";
        registry.register("stamp_failures", help, self.failures.clone());
        let help = "Of when the newest time-stamp of the log is";
        registry.register("stamp_newest_timestamp_seconds", help, self.newest.clone());
        let help = "Since when a time-stamp is due that an authority has not given; 0 if none is";
        registry.register("stamp_due_since_timestamp_seconds", help, self.due_since.clone());
        let help = "Kept time-stamps that could not be read or did not verify when last looked at";
        registry.register("stamps_damaged", help, self.damaged.clone());
    }

    pub(super) fn kept(&self, authority: Whose, at: Timestamp) {
        self.kept.get_or_create(&OfAuthority { authority }).inc();
        self.newest(authority, at);
        self.due_since(authority, None);
    }

    pub(super) fn newest(&self, authority: Whose, at: Timestamp) {
        self.newest.get_or_create(&OfAuthority { authority }).set(seconds(at));
    }

    pub(super) fn renewed(&self, authority: Whose) {
        self.renewed.get_or_create(&OfAuthority { authority }).inc();
    }

    pub(super) fn failed(&self, authority: Whose) {
        self.failures.get_or_create(&OfAuthority { authority }).inc();
    }

    pub(super) fn due_since(&self, authority: Whose, since: Option<Timestamp>) {
        let shown = since.map_or(0, seconds);
        self.due_since.get_or_create(&OfAuthority { authority }).set(shown);
    }

    pub(super) fn damaged(&self, count: usize) {
        self.damaged.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Shows an authority that nothing was asked of yet.
    pub(super) fn show(&self, authority: Whose) {
        let label = OfAuthority { authority };
        drop(self.kept.get_or_create(&label));
        drop(self.renewed.get_or_create(&label));
        drop(self.failures.get_or_create(&label));
        drop(self.newest.get_or_create(&label));
        drop(self.due_since.get_or_create(&label));
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.as_millis() / 1_000
}
