//! What is counted of scrubbing.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::daemon::scrub::book::Book;

/// Counters since the start, and how the pass stands. Clones count together.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct Measures {
    bytes: Counter,
    harmed: Counter,
    began: Gauge,
    finished: Gauge,
    pass_bytes: Gauge,
    pass_harmed: Gauge,
}

impl Measures {
    pub(in crate::daemon) fn register(&self, registry: &mut Registry) {
        let help = "Bytes read in search of damage since the start";
        registry.register("scrub_bytes", help, self.bytes.clone());
        let help = "Parts of the journal, and bundles, found damaged or unreadable since the start";
        registry.register("scrub_harmed", help, self.harmed.clone());
        let help = "When the pass under way, or the last one, began; 0 before the first";
        registry.register("scrub_began_timestamp_seconds", help, self.began.clone());
        let help = "When a pass through everything stored ended last; 0 before the first";
        registry.register("scrub_finished_timestamp_seconds", help, self.finished.clone());
        let help = "Bytes that the pass under way, or the last one, has read";
        registry.register("scrub_pass_bytes", help, self.pass_bytes.clone());
        let help = "What the pass under way, or the last one, has found damaged or unreadable";
        registry.register("scrub_pass_harmed", help, self.pass_harmed.clone());
    }

    pub(super) fn read(&self, bytes: u64, harmed: bool) {
        self.bytes.inc_by(bytes);
        self.harmed.inc_by(u64::from(harmed));
    }

    pub(super) fn stands(&self, book: &Book) {
        let seconds =
            |at: Option<crate::domain::time::Timestamp>| at.map_or(0, |at| at.as_millis() / 1_000);
        let shown = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let pass = book.pass.as_ref();
        self.began.set(seconds(pass.map(|pass| pass.began_at)));
        self.finished.set(seconds(book.finished_at));
        self.pass_bytes.set(shown(pass.map_or(0, |pass| pass.bytes)));
        self.pass_harmed.set(shown(pass.map_or(0, |pass| pass.harmed)));
    }
}
