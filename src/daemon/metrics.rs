//! Metrics for Prometheus, on an address of their own: `GET /metrics` and nothing else.
//!
//! Every layer counts for itself; here it is put together and shown. Nothing in it names an
//! organisation, a member, an agreement or an address.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming as Asked};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::daemon::http::{self, Limits};
use crate::daemon::{scrub, witnesses};
use crate::domain::time::Timestamp;
use crate::server::accept::Incoming;
use crate::server::call_counts::CallCounts;
use crate::server::stamps::StampMeasures;
use crate::store::DiskStore;
use crate::vault::Vault;

const LIMITS: Limits = Limits { connections: 4, connection_max: Duration::from_secs(10) };

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is shown.
pub(super) struct Metrics {
    registry: Registry,
    vault: Arc<Vault<DiskStore>>,
    gauges: Gauges,
}

/// What is looked up when somebody asks.
#[derive(Default)]
struct Gauges {
    ledger_events: Gauge,
    free_bytes: Gauge,
    scarce_bytes: Gauge,
    reserve_bytes: Gauge,
    reserve_whole_bytes: Gauge,
    uploads_unfinished: Gauge,
    staging_bytes: Gauge,
    resident_bytes: Gauge,
    certificates: Family<CertificateLabel, Gauge>,
}

/// One of the vault's own certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Certificate {
    /// Of its CA.
    Authority,
    /// What it shows to clients.
    Server,
    /// Of its time-stamping authority.
    Timestamper,
}

impl EncodeLabelValue for Certificate {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let word = match self {
            Self::Authority => "ca",
            Self::Server => "server",
            Self::Timestamper => "tsa",
        };
        word.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabel {
    certificate: Certificate,
}

impl Metrics {
    /// What this vault, its door, its calls, its witnesses, its log's time-stamps and its scrub count,
    /// and how many batches were applied to the index before the vault was ready.
    pub(super) fn new(
        vault: &Arc<Vault<DiskStore>>,
        (incoming, calls): (&Incoming, &CallCounts),
        (witnesses, stamps, scrub): (&witnesses::Measures, &StampMeasures, &scrub::Measures),
        batches_caught_up: u64,
    ) -> Self {
        let mut registry = Registry::default();
        let gauges = Gauges::default();
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = Gauge::<f64, AtomicU64>::default();
        started.set(since_epoch.as_secs_f64());
        registry.register("process_start_time_seconds", "When the vault was started", started);
        let resident = "Memory the vault has resident";
        registry.register("process_resident_memory_bytes", resident, gauges.resident_bytes.clone());

        let ours = registry.sub_registry_with_prefix("escrow");
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "Which version runs", version);
        let caught_up = Gauge::<i64>::default();
        caught_up.set(shown(batches_caught_up));
        let help = "Batches the index lacked when the vault was started: all, if it was made anew";
        ours.register("index_caught_up_batches", help, caught_up);
        for (name, help, gauge) in [
            ("ledger_events", "Events in the ledger", &gauges.ledger_events),
            ("disk_free_bytes", "Free bytes on the data directory's disk", &gauges.free_bytes),
            (
                "disk_scarce_bytes",
                "With fewer free bytes than this, only what is urgent is taken",
                &gauges.scarce_bytes,
            ),
            (
                "disk_reserve_bytes",
                "Bytes laid by for what is urgent on a full disk",
                &gauges.reserve_bytes,
            ),
            (
                "disk_reserve_whole_bytes",
                "Bytes laid by when there is room enough",
                &gauges.reserve_whole_bytes,
            ),
            (
                "uploads_unfinished",
                "Uploads that are under way, or kept to be gone on with",
                &gauges.uploads_unfinished,
            ),
            ("staging_bytes", "Bytes that have come of these", &gauges.staging_bytes),
        ] {
            ours.register(name, help, gauge.clone());
        }
        let expires = "When the vault's own certificates expire";
        let certificates = gauges.certificates.clone();
        ours.register("certificate_expires_timestamp_seconds", expires, certificates);
        vault.register(ours);
        incoming.register(ours);
        calls.register(ours);
        witnesses.register(ours);
        stamps.register(ours);
        scrub.register(ours);
        Self { registry, vault: Arc::clone(vault), gauges }
    }

    /// One of the vault's own certificates is in use.
    pub(super) fn certificate(&self, certificate: Certificate, expires_at: Option<Timestamp>) {
        let label = CertificateLabel { certificate };
        let seconds = expires_at.map_or(-1, |at| at.as_millis() / 1_000);
        self.gauges.certificates.get_or_create(&label).set(seconds);
    }

    /// Shows them on this address, for ever.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) -> Infallible {
        let answer = move |request: Request<Asked>| {
            let answered = self.answer(&request);
            async move { answered }
        };
        http::serve(listener, LIMITS, answer).await
    }

    fn answer(&self, request: &Request<Asked>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => match self.text() {
                Ok(text) => http::answer(StatusCode::OK, (CONTENT_TYPE, OPENMETRICS), text),
                Err(fmt::Error) => {
                    let why = "the metrics cannot be written\n";
                    let code = StatusCode::INTERNAL_SERVER_ERROR;
                    http::answer(code, (CONTENT_TYPE, "text/plain"), why)
                }
            },
            (_, "/metrics") => http::not_allowed("GET"),
            _ => http::not_found("metrics are at /metrics\n"),
        }
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let (gauges, room) = (&self.gauges, self.vault.room());
        gauges.ledger_events.set(shown(self.vault.ledger_size()));
        gauges.free_bytes.set(room.free_bytes.map_or(-1, shown));
        gauges.scarce_bytes.set(shown(room.scarce_bytes));
        gauges.reserve_bytes.set(shown(room.reserve_bytes));
        gauges.reserve_whole_bytes.set(shown(room.reserve_whole_bytes));
        let (uploads, bytes) = self.vault.unfinished();
        gauges.uploads_unfinished.set(shown(uploads));
        gauges.staging_bytes.set(shown(bytes));
        gauges.resident_bytes.set(resident_bytes().map_or(-1, shown));
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// A number as gauges hold it.
fn shown(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// proc(5): `VmRSS:     1234 kB`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1_024)
}
