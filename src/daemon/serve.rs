//! `escrowd serve`: until SIGTERM or SIGINT, which let open calls end first. SIGHUP makes it read
//! its names and CAs again.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::failure::{Exit, Failure};
use crate::cli::progress::Pace;
use crate::crypto::keyring::Keyring;
use crate::crypto::timestamp;
use crate::daemon::check::probe_in_child;
use crate::daemon::config::{Place, failed};
use crate::daemon::ledger_key;
use crate::daemon::metrics::{Certificate, Metrics};
use crate::daemon::notice::{self, Notice};
use crate::daemon::notify::Manager;
use crate::daemon::public;
use crate::daemon::scrub::{self, Scrubber};
use crate::daemon::stamping::{External, RENEWED_WITHIN, VaultTime, go_round, shelf};
use crate::daemon::witnesses::{self, Witnesses};
use crate::domain::chain::chain;
use crate::domain::time::Timestamp;
use crate::server::accept::{Limits, accept};
use crate::server::authorities::Authorities;
use crate::server::call_counts::CallCounts;
use crate::server::calls::Calls;
use crate::server::credentials::Credentials;
use crate::server::service::routes;
use crate::server::stamps::{Own, Rounds, Schedule, Source, StampMeasures};
use crate::server::timestamper;
use crate::server::timestamps::SharedTimestamper;
use crate::server::transport::configure;
use crate::store::{DiskStore, Options};
use crate::vault::{Halt, SystemClock, Vault};

/// How long open calls may go on after a signal to stop.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How long an answer to whoever showed that the vault was set back may take.
const TELL_MAX: Duration = Duration::from_secs(5);
/// How often the way to a level index is told of.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the server's certificate is to be renewed, and which uploads are over.
/// The clock decides, not the waiting: it may be set, and the machine may sleep.
const RENEWAL_LOOK: Duration = Duration::from_secs(60);

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
    let manager = Manager::of_this_process();
    // Whoever asks for a reload too early must not end it.
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let place = Place::new(data);
    let config = place.config()?;
    let external = External::of(&config.timestamps, place.store())?;
    let keys = place.keys(passphrase_file)?;
    let authorities = Authorities::load(&keys).map_err(failed)?;
    notice::refuse(&place)?;
    let credentials = Credentials::new(authorities, config.hosts.clone(), now()).map_err(failed)?;
    let credentials = Arc::new(credentials);
    let caught_up = Cell::new(0);
    let progress = progress(&manager, &caught_up);
    let options =
        Options { probe: Some(&probe_in_child), progress: Some(&progress), ..Options::default() };
    let (store, ledger_keys) = ledger_key::open(&place, &config, &keys, &options)?;
    let (origin, clock) = (config.origin.clone(), Arc::new(SystemClock));
    let vault = Vault::open(store, origin, ledger_keys, clock, config.quota);
    let vault = Arc::new(vault.map_err(failed)?);
    tracing::info!(key = %vault.log_key(), "the log's key, for witnesses and auditors");
    let witnessing = witnesses::Measures::default();
    let policy = config.log.as_ref().and_then(|log| log.policy.as_deref());
    let witnesses = policy.map(|policy| Witnesses::new(&vault, &place, policy, witnessing.clone()));
    let mut witnesses = witnesses.transpose()?;
    if let Some(witnesses) = &mut witnesses {
        witnesses.look_first().await;
    }
    // Nobody is served by a vault that its own witnesses know to have been set back.
    let shown = vault.halted().borrow().clone();
    if let Some(halt) = shown {
        return Err(halted_by(halt, &place, &vault).await?);
    }
    // What is told is signed: so only behind that. A key may be made: so only under the store's lock.
    let timestamper = take_up_timestamper(&vault, &keys, &credentials.authorities()).await?;
    let timestamper = Arc::new(ArcSwap::from_pointee(timestamper));
    tell_authorities(&vault, &credentials.authorities()).await?;

    let address = listen.unwrap_or(config.listen);
    let listener = bind(&address, "choose another address with --listen HOST:PORT").await?;
    let bound = listener.local_addr().map_err(failed)?;
    let incoming = accept(listener, credentials.tls(), Limits::default());
    let calls = CallCounts::new();
    let stamps = StampMeasures::default();
    let scrub = scrub::Measures::default();
    let scrubber = Scrubber::new(&vault, place.store(), config.scrub, scrub.clone());
    let counted = (&incoming, &calls);
    let metrics = Metrics::new(&vault, counted, (&witnessing, &stamps, &scrub), caught_up.get());
    let metrics = Arc::new(metrics);
    show_certificates(&metrics, &credentials, &timestamper);
    if let Some(shown) = &config.metrics {
        let hint = "choose another address under [metrics] in escrowd.toml";
        let listener = bind(&shown.listen, hint).await?;
        let bound = listener.local_addr().map_err(failed)?;
        tracing::info!(address = %bound, "metrics are shown");
        tokio::spawn(Arc::clone(&metrics).serve(listener));
    }
    if let Some(address) = config.log.as_ref().and_then(|log| log.listen.as_deref()) {
        let hint = "choose another address under [log] in escrowd.toml";
        let listener = bind(address, hint).await?;
        let bound = listener.local_addr().map_err(failed)?;
        tracing::info!(address = %bound, "the log is shown to anybody");
        let timestamper = Arc::clone(&timestamper);
        tokio::spawn(public::serve(Arc::clone(&vault), timestamper, listener));
    }
    let clock = Arc::new(VaultTime(Arc::clone(&vault)));
    let own = own_timestamps(&credentials, &timestamper, clock.clone());
    let external = external.map(|external| Arc::new(external) as Arc<dyn Source>);
    let sources = [own].into_iter().chain(external).collect();
    let schedule = Schedule { every: config.timestamps.every, within: RENEWED_WITHIN };
    let rounds = Rounds::new(shelf(&place), schedule, clock, sources, stamps);
    let hurry = Arc::new(Notify::new());
    let stamping = tokio::spawn(go_round(Arc::clone(&vault), rounds, Arc::clone(&hurry)));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = configure(tonic::transport::Server::builder().layer(calls))
        .layer(Calls::new(vault.quota().streams))
        .add_routes(routes(&vault, &credentials, &timestamper).map_err(failed)?);
    let serving = router.serve_with_incoming_shutdown(incoming, async {
        // An error means that the sender is gone: then it is time to stop as well.
        drop(stopped.await);
    });
    let mut serving = tokio::spawn(serving);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (mut halted, mut store_failed) = (vault.halted(), vault.store_failed());
    let mut renewal = tokio::time::interval(RENEWAL_LOOK);
    eprintln!("listening on {bound}");
    let looking = Arc::clone(&vault);
    tokio::spawn(async move {
        if let Err(fault) = looking.look_again().await {
            tracing::warn!(error = chain(&fault), "quarantine not looked through");
        }
    });
    let (stop_scrubbing, scrubbing_stopped) = tokio::sync::oneshot::channel();
    let scrubbing = tokio::spawn(scrubber.run(scrubbing_stopped));
    if let Some(witnesses) = witnesses {
        tokio::spawn(witnesses.run());
    }
    manager.ready();
    let mut input_closed = std::pin::pin!(input_closed(until));

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut input_closed => break,
            _ = hangup.recv() => {
                manager.reloading();
                reload(&place, &keys, &vault, (&credentials, &timestamper)).await;
                show_certificates(&metrics, &credentials, &timestamper);
                hurry.notify_one();
                manager.ready();
            }
            _ = renewal.tick() => {
                renew(&credentials);
                show_certificates(&metrics, &credentials, &timestamper);
                reclaim(&vault);
            }
            never = manager.keep_telling() => match never {},
            ended = &mut serving => {
                let fault = ended.map(|served| served.err().map(|fault| fault.to_string()));
                tracing::error!(?fault, "serving ended by itself");
                break;
            }
            halt = halt(&mut halted, &mut store_failed) => {
                if let Halt::SetBack(_) = &halt {
                    // Nobody is served any more, but whoever showed it is told.
                    drop(stop);
                    vault.dismiss();
                    drop(tokio::time::timeout(TELL_MAX, &mut serving).await);
                }
                return Err(halted_by(halt, &place, &vault).await?);
            }
        }
    }
    tracing::info!("stopping: open calls may end first");
    manager.stopping(DRAIN_MAX);
    stamping.abort();
    drop(stop);
    vault.dismiss();
    drop(stop_scrubbing);
    drop(scrubbing.await);
    if tokio::time::timeout(DRAIN_MAX, serving).await.is_err() {
        tracing::warn!("calls were still open after {DRAIN_MAX:?} and are cut off");
    }
    vault.close().await;
    Ok(Exit::Done)
}

pub(super) async fn bind(address: &str, hint: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|fault| {
        Failure::failed("LISTEN", format!("cannot listen on {address}: {fault}"), hint)
    })
}

/// Waits until the vault halts, or what it keeps everything in fails.
async fn halt(
    halted: &mut watch::Receiver<Option<Halt>>,
    store_failed: &mut watch::Receiver<bool>,
) -> Halt {
    tokio::select! {
        halt = halted.wait_for(Option::is_some) => match halt.map(|halt| halt.clone()) {
            Ok(Some(halt)) => halt,
            // The vault itself is gone: nothing more can become of it.
            Ok(None) | Err(_) => Halt::Unknown,
        },
        _ = store_failed.wait_for(|failed| *failed) => Halt::Unknown,
    }
}

/// What a halt is told as. One that must be recovered from is noted on the directory.
async fn halted_by(
    halt: Halt,
    place: &Place,
    vault: &Vault<DiskStore>,
) -> Result<Failure, Failure> {
    Ok(match halt {
        Halt::Unknown => {
            let message = "a write to the disk failed, and its outcome is not known";
            let hint = "check the disk, then start again: what was acknowledged is safe";
            Failure::failed("DISK", message, hint)
        }
        Halt::SetBack(shown) => {
            Notice::set_back(&shown).put(place)?;
            vault.close().await;
            notice::refuse(place).err().unwrap_or_else(|| {
                Failure::failed("SET_BACK", "the vault was set back", notice::RECOVER)
            })
        }
    })
}

/// Takes up the names and CAs as they are on disk now. What is wrong with them changes nothing.
async fn reload(
    place: &Place,
    keys: &Keyring,
    vault: &Vault<DiskStore>,
    (credentials, timestamper): (&Credentials, &SharedTimestamper),
) {
    let reloaded = async {
        let hosts = place.config()?.hosts;
        let authorities = Authorities::load(keys).map_err(failed)?;
        let ready = Credentials::ready(authorities, hosts, now()).map_err(failed)?;
        let stamps = take_up_timestamper(vault, keys, ready.authorities()).await?;
        tell_authorities(vault, ready.authorities()).await?;
        credentials.take_up(ready);
        // Behind it: whoever is given a token can find out by which CA.
        timestamper.store(Arc::new(stamps));
        Ok::<(), Failure>(())
    };
    match reloaded.await {
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

/// Tells in the ledger which CAs there are, before anybody is shown them.
pub(super) async fn tell_authorities(
    vault: &Vault<DiskStore>,
    authorities: &Authorities,
) -> Result<(), Failure> {
    if vault.tell_authorities(&authorities.told()).await.map_err(failed)? {
        tracing::info!(edition = authorities.edition(), "the ledger tells of other CAs");
    }
    Ok(())
}

/// The vault's own authority, for the log's time-stamps.
fn own_timestamps(
    credentials: &Arc<Credentials>,
    timestamper: &SharedTimestamper,
    clock: Arc<VaultTime>,
) -> Arc<dyn Source> {
    let credentials = Arc::clone(credentials);
    let cas = move || {
        let certificates = credentials.authorities().certificates();
        certificates.iter().map(|ca| ca.to_vec()).collect()
    };
    Arc::new(Own { timestamper: Arc::clone(timestamper), cas: Box::new(cas), clock })
}

/// The authority that stamps times, once the ledger tells of it.
pub(super) async fn take_up_timestamper(
    vault: &Vault<DiskStore>,
    keys: &Keyring,
    authorities: &Authorities,
) -> Result<timestamp::Authority, Failure> {
    let told = vault.told_timestamper().map_err(failed)?;
    let taken = timestamper::take_up_told(keys, authorities, told, now()).map_err(failed)?;
    if vault.tell_timestamper(&taken.edition).await.map_err(failed)? {
        let number = taken.edition.number;
        tracing::info!(number, "the ledger tells of another time-stamping key");
    }
    Ok(taken.authority)
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

fn renew(credentials: &Credentials) {
    match credentials.renew_if_due(now()) {
        Ok(true) => tracing::info!("the server's certificate was renewed"),
        Ok(false) => {}
        Err(error) => {
            let error = chain(&error);
            tracing::error!(error, "the server's certificate could not be renewed");
        }
    }
}

/// Gives up uploads that nobody will go on with, beside everything else.
fn reclaim(vault: &Arc<Vault<DiskStore>>) {
    let vault = Arc::clone(vault);
    tokio::spawn(async move {
        if let Err(fault) = vault.reclaim().await {
            tracing::warn!(error = chain(&fault), "uploads that are over were not removed");
        }
    });
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Lets the metrics tell until when the certificates are good.
fn show_certificates(
    metrics: &Metrics,
    credentials: &Credentials,
    timestamper: &SharedTimestamper,
) {
    let authorities = credentials.authorities();
    metrics.certificate(Certificate::Authority, Some(authorities.issuing().expires_at()));
    metrics.certificate(Certificate::Server, Some(credentials.expires_at()));
    metrics.certificate(Certificate::Timestamper, Some(timestamper.load().expires_at()));
}

/// Tells of entries applied while the index catches up with the journal, now and then, how fast
/// that goes and how long it takes, and counts the batches.
pub(super) fn progress(manager: &Manager, batches: &Cell<u64>) -> impl Fn(u64, u64) {
    let pace = Cell::new(None::<(Instant, Pace)>);
    let told = Cell::new(None::<Instant>);
    move |applied, of| {
        batches.set(batches.get() + 1);
        if told.get().is_none_or(|told| told.elapsed() >= PROGRESS_EVERY) {
            told.set(Some(Instant::now()));
            let begun = (Instant::now(), Pace::from(Duration::ZERO, applied));
            let (began, mut now) = pace.get().unwrap_or(begun);
            now.reached(began.elapsed(), applied);
            pace.set(Some((began, now)));
            let (per_second, seconds_left) = (now.rate().map(|it| it as u64), now.seconds_left(of));
            tracing::info!(
                applied,
                of,
                per_second,
                seconds_left,
                "the index catches up with the journal"
            );
            let left = seconds_left.map(|left| format!(", {left} s left")).unwrap_or_default();
            manager.busy(&format!("{applied} of {of} events are in the index{left}"));
        }
    }
}

/// Text for people at a terminal, JSON lines for machines; `RUST_LOG` chooses what.
pub(super) fn log_to_stderr() {
    let wanted = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let ours = || Targets::new().with_default(Level::WARN).with_target("escrow_vault", Level::INFO);
    let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match std::io::stderr().is_terminal() {
        true => text.boxed(),
        false => text.json().boxed(),
    };
    tracing_subscriber::registry().with(wanted.unwrap_or_else(ours)).with(lines).init();
}
