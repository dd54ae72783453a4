//! What is counted at the door: who comes in, and why others do not. By reason, never by address.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counters since the start. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Measures {
    admitted: Counter,
    turned_away: Family<Labels, Counter>,
    delayed: Counter,
    system_refusals: Counter,
}

/// Why a connection did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// Too many handshakes at a time.
    Handshakes,
    /// Too many connections.
    Total,
    /// Too many connections from one network.
    Network,
    /// Too many connections without a client certificate.
    Anonymous,
    /// No handshake in time.
    Slow,
    /// The handshake failed.
    Tls,
    /// The certificate names nobody.
    Subject,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Handshakes,
        Self::Total,
        Self::Network,
        Self::Anonymous,
        Self::Slow,
        Self::Tls,
        Self::Subject,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Handshakes => "handshakes",
            Self::Total => "connections",
            Self::Network => "network",
            Self::Anonymous => "anonymous",
            Self::Slow => "slow",
            Self::Tls => "tls",
            Self::Subject => "subject",
        }
    }
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.word().encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: Reason,
}

impl Default for Measures {
    fn default() -> Self {
        let turned_away = Family::default();
        // Every reason is there from the start, so that a first one is seen as a change.
        for reason in Reason::ALL {
            drop(turned_away.get_or_create(&Labels { reason }));
        }
        let (admitted, delayed, system_refusals) = Default::default();
        Self { admitted, turned_away, delayed, system_refusals }
    }
}

impl Measures {
    pub(super) fn admitted(&self) {
        self.admitted.inc();
    }

    pub(super) fn turned_away(&self, reason: Reason) {
        self.turned_away.get_or_create(&Labels { reason }).inc();
    }

    pub(super) fn delayed(&self) {
        self.delayed.inc();
    }

    pub(super) fn system_refused(&self) {
        self.system_refusals.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let admitted = "Connections whose handshake was completed";
        registry.register("connections_admitted", admitted, self.admitted.clone());
        let turned_away = "Connections that did not come about, by reason";
        registry.register("connections_turned_away", turned_away, self.turned_away.clone());
        let delayed =
            "Handshakes that waited, for others of their network or after a flood from it";
        registry.register("connections_delayed", delayed, self.delayed.clone());
        let refusals = "Times the system refused to accept, as for want of file descriptors";
        registry.register("accept_failures", refusals, self.system_refusals.clone());
    }
}
