//! `escrowd serve`: until SIGTERM or SIGINT, which let open calls end first.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::failure::{Exit, Failure};
use crate::daemon::check::probe_in_child;
use crate::daemon::config::{Place, failed, ledger_key, not_opened, refuse_strange};
use crate::daemon::metrics::{Certificate, Metrics};
use crate::daemon::notice::{self, Notice};
use crate::daemon::notify::Manager;
use crate::domain::time::Timestamp;
use crate::server::accept::{Limits, accept};
use crate::server::ca::Authority;
use crate::server::call_counts::CallCounts;
use crate::server::service::routes;
use crate::server::tls::{server_config, shared};
use crate::server::transport::configure;
use crate::store::{DiskStore, Options};
use crate::vault::{DomainProjector, Halt, SystemClock, Vault};

/// How long open calls may go on after a signal to stop.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How often the way to a level index is told of.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

pub(super) async fn run(
    data: &Path,
    listen: Option<String>,
    passphrase_file: Option<&Path>,
) -> Result<Exit, Failure> {
    log_to_stderr();
    let manager = Manager::of_this_process();
    let place = Place::new(data);
    let config = place.config()?;
    let keys = place.keys(passphrase_file)?;
    let authority = Authority::load(&keys).map_err(failed)?;
    let ledger_key = ledger_key(&keys)?;
    notice::refuse(&place)?;
    let identity = authority
        .issue_server(&config.hosts, Timestamp::from(SystemTime::now()))
        .map_err(failed)?;
    let tls = server_config(authority.certificate(), &identity).map_err(failed)?;
    let caught_up = Cell::new(0);
    let progress = progress(&manager, &caught_up);
    let options =
        Options { probe: Some(&probe_in_child), progress: Some(&progress), ..Options::default() };
    let store = DiskStore::open(place.store(), &DomainProjector, &options).map_err(not_opened)?;
    refuse_strange(&store, &config, Some(&ledger_key.public()))?;
    let (origin, clock) = (config.origin.clone(), Arc::new(SystemClock));
    let vault = Arc::new(Vault::open(store, origin, ledger_key, clock).map_err(failed)?);

    let address = listen.unwrap_or(config.listen);
    let listener = bind(&address, "choose another address with --listen HOST:PORT").await?;
    let bound = listener.local_addr().map_err(failed)?;
    let (incoming, calls) = (accept(listener, shared(tls), Limits::default()), CallCounts::new());
    let metrics = Arc::new(Metrics::new(&vault, &incoming, &calls, caught_up.get()));
    metrics.certificate(Certificate::Authority, Some(authority.expires_at()));
    metrics.certificate(Certificate::Server, identity.expires_at());
    if let Some(shown) = &config.metrics {
        let hint = "choose another address under [metrics] in escrowd.toml";
        let listener = bind(&shown.listen, hint).await?;
        let bound = listener.local_addr().map_err(failed)?;
        tracing::info!(address = %bound, "metrics are shown");
        tokio::spawn(Arc::clone(&metrics).serve(listener));
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = configure(tonic::transport::Server::builder().layer(calls))
        .add_routes(routes(&vault, authority).map_err(failed)?);
    let serving = router.serve_with_incoming_shutdown(incoming, async {
        // An error means that the sender is gone: then it is time to stop as well.
        drop(stopped.await);
    });
    let mut serving = tokio::spawn(serving);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut halted = vault.halted();
    eprintln!("listening on {bound}");
    let looking = Arc::clone(&vault);
    tokio::spawn(async move {
        if let Err(fault) = looking.look_again().await {
            tracing::warn!(
                error = &fault as &dyn std::error::Error,
                "quarantine not looked through"
            );
        }
    });
    manager.ready();

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        never = manager.keep_telling() => match never {},
        ended = &mut serving => {
            let fault = ended.map(|served| served.err().map(|fault| fault.to_string()));
            tracing::error!(?fault, "serving ended by itself");
        }
        halt = halt(&mut halted) => return Err(match halt {
            Halt::Unknown => {
                let message = "a write to the disk failed, and its outcome is not known";
                let hint = "check the disk, then start again: what was acknowledged is safe";
                Failure::failed("DISK", message, hint)
            }
            Halt::SetBack(shown) => {
                Notice::set_back(&shown).put(&place)?;
                vault.close().await;
                notice::refuse(&place).err().unwrap_or_else(|| {
                    Failure::failed("SET_BACK", "the vault was set back", notice::RECOVER)
                })
            }
        }),
    }
    tracing::info!("stopping: open calls may end first");
    manager.stopping(DRAIN_MAX);
    drop(stop);
    vault.dismiss();
    if tokio::time::timeout(DRAIN_MAX, serving).await.is_err() {
        tracing::warn!("calls were still open after {DRAIN_MAX:?} and are cut off");
    }
    vault.close().await;
    Ok(Exit::Done)
}

async fn bind(address: &str, hint: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|fault| {
        Failure::failed("LISTEN", format!("cannot listen on {address}: {fault}"), hint)
    })
}

/// Waits until the vault halts.
async fn halt(halted: &mut watch::Receiver<Option<Halt>>) -> Halt {
    match halted.wait_for(Option::is_some).await.map(|halt| halt.clone()) {
        Ok(Some(halt)) => halt,
        // The vault itself is gone: nothing more can become of it.
        Ok(None) | Err(_) => Halt::Unknown,
    }
}

/// Tells of entries applied while the index catches up with the journal, now and then,
/// and counts the batches.
pub(super) fn progress(manager: &Manager, batches: &Cell<u64>) -> impl Fn(u64, u64) {
    let told = Cell::new(None::<Instant>);
    move |applied, of| {
        batches.set(batches.get() + 1);
        if told.get().is_none_or(|told| told.elapsed() >= PROGRESS_EVERY) {
            told.set(Some(Instant::now()));
            tracing::info!(applied, of, "the index catches up with the journal");
            manager.busy(&format!("{applied} of {of} events are in the index"));
        }
    }
}

/// Text for people at a terminal, JSON lines for machines; `RUST_LOG` chooses what.
fn log_to_stderr() {
    let wanted = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let ours = || Targets::new().with_default(Level::WARN).with_target("escrow_vault", Level::INFO);
    let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match std::io::stderr().is_terminal() {
        true => text.boxed(),
        false => text.json().boxed(),
    };
    tracing_subscriber::registry().with(wanted.unwrap_or_else(ours)).with(lines).init();
}
