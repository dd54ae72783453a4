//! `escrowd serve`: until SIGTERM or SIGINT, which let open calls end first.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::failure::{Exit, Failure};
use crate::daemon::check::probe_in_child;
use crate::daemon::config::{Place, failed};
use crate::domain::time::Timestamp;
use crate::server::accept::{Limits, accept};
use crate::server::ca::Authority;
use crate::server::service::routes;
use crate::server::tls::{server_config, shared};
use crate::server::transport::configure;
use crate::store::{DiskStore, Options};
use crate::vault::{DomainProjector, SystemClock, Vault};

/// How long open calls may go on after a signal to stop.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// What ends serving, besides a signal.
pub(super) enum Until {
    /// Nothing else.
    Signal,
    /// That nobody holds standard input any more.
    InputCloses,
}

pub(super) async fn run(
    data: &Path,
    listen: Option<String>,
    passphrase_file: Option<&Path>,
    until: Until,
) -> Result<Exit, Failure> {
    log_to_stderr();
    let place = Place::new(data);
    let config = place.config()?;
    let keys = place.keys(passphrase_file)?;
    let authority = Authority::load(&keys).map_err(failed)?;
    let scribe = config.scribe(&keys)?;
    let identity = authority
        .issue_server(&config.hosts, Timestamp::from(SystemTime::now()))
        .map_err(failed)?;
    let tls = server_config(authority.certificate(), &identity).map_err(failed)?;
    let options =
        Options { probe: Some(&probe_in_child), progress: Some(&tell), ..Options::default() };
    let store = DiskStore::open(place.store(), &DomainProjector, &options).map_err(failed)?;
    let vault = Arc::new(Vault::open(store, scribe, Arc::new(SystemClock)).map_err(failed)?);

    let address = listen.unwrap_or(config.listen);
    let listener = TcpListener::bind(&address).await.map_err(|fault| {
        let message = format!("cannot listen on {address}: {fault}");
        Failure::failed("LISTEN", message, "choose another address with --listen HOST:PORT")
    })?;
    let bound = listener.local_addr().map_err(failed)?;
    let incoming = accept(listener, shared(tls), Limits::default());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = configure(tonic::transport::Server::builder())
        .add_routes(routes(&vault, authority).map_err(failed)?);
    let serving = router.serve_with_incoming_shutdown(incoming, async {
        // An error means that the sender is gone: then it is time to stop as well.
        drop(stopped.await);
    });
    let mut serving = tokio::spawn(serving);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut broken = vault.failed();
    eprintln!("listening on {bound}");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = input_closed(until) => {}
        ended = &mut serving => {
            let fault = ended.map(|served| served.err().map(|fault| fault.to_string()));
            tracing::error!(?fault, "serving ended by itself");
        }
        _ = broken.wait_for(|failed| *failed) => {
            let message = "a write to the disk failed, and its outcome is not known";
            let hint = "check the disk, then start again: what was acknowledged is safe";
            return Err(Failure::failed("DISK", message, hint));
        }
    }
    tracing::info!("stopping: open calls may end first");
    drop(stop);
    vault.dismiss();
    if tokio::time::timeout(DRAIN_MAX, serving).await.is_err() {
        tracing::warn!("calls were still open after {DRAIN_MAX:?} and are cut off");
    }
    vault.close().await;
    Ok(Exit::Done)
}

/// Comes back once standard input is closed, if that is to end serving.
async fn input_closed(until: Until) {
    match until {
        Until::Signal => std::future::pending().await,
        Until::InputCloses => {
            let (closed, close) = tokio::sync::oneshot::channel::<()>();
            // A thread of its own: a read that blocks must not keep the runtime from ending.
            std::thread::spawn(move || {
                drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
                drop(closed);
            });
            drop(close.await);
        }
    }
}

/// Told of entries applied while the index catches up with the journal.
pub(super) fn tell(applied: u64, of: u64) {
    if applied.is_multiple_of(100_000) || applied == of {
        tracing::info!(applied, of, "the index catches up with the journal");
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
