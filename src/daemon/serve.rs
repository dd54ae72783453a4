//! `escrowd serve`: until SIGTERM or SIGINT, which let open calls end first. SIGHUP makes it read
//! its names and CAs again.

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
use crate::crypto::keyring::Keyring;
use crate::daemon::check::probe_in_child;
use crate::daemon::config::{Place, failed};
use crate::domain::time::Timestamp;
use crate::server::accept::{Limits, accept};
use crate::server::authorities::Authorities;
use crate::server::credentials::Credentials;
use crate::server::service::routes;
use crate::server::transport::configure;
use crate::store::{DiskStore, Options};
use crate::vault::{DomainProjector, SystemClock, Vault};

/// How long open calls may go on after a signal to stop.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether the server's certificate is to be renewed. The clock decides,
/// not the waiting: it may be set, and the machine may sleep.
const RENEWAL_LOOK: Duration = Duration::from_secs(60);

pub(super) async fn run(
    data: &Path,
    listen: Option<String>,
    passphrase_file: Option<&Path>,
) -> Result<Exit, Failure> {
    log_to_stderr();
    // Whoever asks for a reload too early must not end it.
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let place = Place::new(data);
    let config = place.config()?;
    let keys = place.keys(passphrase_file)?;
    let authorities = Authorities::load(&keys).map_err(failed)?;
    let scribe = config.scribe(&keys)?;
    let credentials = Credentials::new(authorities, config.hosts, now()).map_err(failed)?;
    let credentials = Arc::new(credentials);
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
    let incoming = accept(listener, credentials.tls(), Limits::default());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = configure(tonic::transport::Server::builder())
        .add_routes(routes(&vault, &credentials).map_err(failed)?);
    let serving = router.serve_with_incoming_shutdown(incoming, async {
        // An error means that the sender is gone: then it is time to stop as well.
        drop(stopped.await);
    });
    let mut serving = tokio::spawn(serving);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut broken = vault.failed();
    let mut renewal = tokio::time::interval(RENEWAL_LOOK);
    eprintln!("listening on {bound}");

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&place, &keys, &credentials),
            _ = renewal.tick() => renew(&credentials),
            ended = &mut serving => {
                let fault = ended.map(|served| served.err().map(|fault| fault.to_string()));
                tracing::error!(?fault, "serving ended by itself");
                break;
            }
            _ = broken.wait_for(|failed| *failed) => {
                let message = "a write to the disk failed, and its outcome is not known";
                let hint = "check the disk, then start again: what was acknowledged is safe";
                return Err(Failure::failed("DISK", message, hint));
            }
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

/// Takes up the names and CAs as they are on disk now. What is wrong with them changes nothing.
fn reload(place: &Place, keys: &Keyring, credentials: &Credentials) {
    let reloaded = || {
        let hosts = place.config()?.hosts;
        let authorities = Authorities::load(keys).map_err(failed)?;
        credentials.replace(authorities, hosts, now()).map_err(failed)
    };
    match reloaded() {
        Ok(()) => {
            let edition = credentials.authorities().edition();
            tracing::info!(edition, "reloaded: new connections see the names and CAs of now");
        }
        Err(failure) => {
            let cause = failure.message();
            tracing::error!(%cause, "not reloaded: everything stays as it was");
        }
    }
}

fn renew(credentials: &Credentials) {
    match credentials.renew_if_due(now()) {
        Ok(true) => tracing::info!("the server's certificate was renewed"),
        Ok(false) => {}
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the server's certificate could not be renewed");
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
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
