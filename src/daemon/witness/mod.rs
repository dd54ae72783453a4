//! `escrowd witness`: cosigns logs that only grow, over plain HTTP (C2SP tlog-witness), until SIGTERM
//! or SIGINT.
//!
//! Besides what C2SP asks for it shows the note that it cosigned last, at `GET /checkpoint/LOG`: from
//! that a vault which was set back learns that it was. A number alone would be no proof.

mod books;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rand_core::OsRng;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::crypto::cosignature::WitnessKey;
use crate::crypto::keyfile::{self, KeyFileError};
use crate::crypto::note::{NOTE_BYTES_MAX, NoteKey};
use crate::crypto::signature::SigningKey;
use crate::daemon::config::failed;
use crate::daemon::http::{self, Limits};
use crate::daemon::notify::Manager;
use crate::daemon::serve::{bind, log_to_stderr};
use crate::daemon::witness::books::{Books, Refused, Unopened};
use crate::domain::chain::chain;
use crate::ledger::submission::SIZE_TYPE;

const LIMITS: Limits = Limits { connections: 64, connection_max: Duration::from_secs(30) };
/// A note, and before it a proof of 63 lines.
const BODY_BYTES_MAX: usize = NOTE_BYTES_MAX + 4 * 1_024;
const KEY: &str = "witness.key";
const KEY_BYTES_MAX: usize = 1_024;
const TEXT: &str = "text/plain; charset=utf-8";
/// Where the last note of a log is, before its name.
const LAST: &str = "checkpoint/";
const WHAT_THERE_IS: &str =
    "checkpoints are handed in at /add-checkpoint and shown at /checkpoint/LOG\n";

pub(super) async fn run(
    data: &Path,
    listen: &str,
    logs: Vec<NoteKey>,
    name: Option<&str>,
) -> Result<Exit, Failure> {
    log_to_stderr();
    let manager = Manager::of_this_process();
    keyfile::private_dir(data).map_err(failed)?;
    let Some(_held) = keyfile::try_lock(&data.join("lock")).map_err(failed)? else {
        let message = format!("{} is held by another witness", data.display());
        return Err(Failure::failed("LOCKED", message, "end that one, or name another directory"));
    };
    let (key, signer) = own_key(data, name)?;
    let books = Books::open(&data.join("logs"), key.clone(), signer, logs).map_err(unopened)?;
    let listener = bind(listen, "choose another address with --listen HOST:PORT").await?;
    let bound = listener.local_addr().map_err(failed)?;
    Output { json: false, yes: false }.text(&format!("{key}\n"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let serving = serve(Arc::new(books), listener);
    eprintln!("listening on {bound}");
    manager.ready();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        never = serving => match never {},
        never = manager.keep_telling() => match never {},
    }
    // Who was not answered asks again: what was kept is kept.
    manager.stopping(Duration::ZERO);
    Ok(Exit::Done)
}

/// Where a witness shows what it cosigned last for a log, below its address.
pub(super) fn place(origin: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
    origin.bytes().fold(LAST.to_owned(), |path, byte| match plain(byte) {
        true => format!("{path}{}", char::from(byte)),
        false => format!("{path}%{byte:02X}"),
    })
}

/// The witness's key, made with its name at the first start; the name never changes.
fn own_key(data: &Path, name: Option<&str>) -> Result<(WitnessKey, SigningKey), Failure> {
    let path = data.join(KEY);
    let named = |name: &str, signer: &SigningKey| {
        WitnessKey::new(name, signer.public())
            .map_err(|fault| Failure::usage(fault, "name it like witness.orient-display.example"))
    };
    match keyfile::read(&path, KEY_BYTES_MAX) {
        Ok(bytes) => {
            let kept = std::str::from_utf8(&bytes).ok().and_then(WitnessKey::kept);
            let (key, signer) = kept.ok_or_else(|| {
                let message = format!("{}: not a witness's key", path.display());
                Failure::failed("BAD_KEY", message, "restore it from your backup")
            })?;
            match name.filter(|name| *name != key.name()) {
                None => Ok((key, signer)),
                Some(other) => {
                    let message = format!("this witness is {}, not {other}", key.name());
                    let hint = "leave --name out; another name is another witness, in a directory \
                                of its own";
                    Err(Failure::failed("OTHER_NAME", message, hint))
                }
            }
        }
        Err(KeyFileError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound && !data.join("logs").exists() =>
        {
            let signer = SigningKey::generate(&mut OsRng);
            // By its key: unlike any other, wherever it runs.
            let short: String = signer.public().to_string().chars().take(16).collect();
            let own = format!("escrow-witness/{short}");
            let key = named(name.unwrap_or(&own), &signer)?;
            keyfile::write_new(&path, key.keep(&signer).as_bytes()).map_err(failed)?;
            eprintln!("A key was made in {}: back it up, and never use the copy", path.display());
            eprintln!("beside it. Give what is printed on stdout to those whose logs you witness.");
            Ok((key, signer))
        }
        Err(fault) => Err(failed(fault)),
    }
}

fn unopened(fault: Unopened) -> Failure {
    let (code, hint) = match &fault {
        Unopened::Twice(_) => ("USAGE", "give each key once"),
        Unopened::TooLong(_) => ("USAGE", "ask the log's operator for a shorter name"),
        Unopened::Damaged { .. } => (
            "DAMAGED",
            "without it this witness could cosign a second history: restore the file only as it \
             was when the witness ended; otherwise begin a new witness in another directory, and \
             tell its key to everybody who relies on this one",
        ),
        Unopened::OtherKey { .. } => (
            "OTHER_KEY",
            "give the key that it was witnessed with by --log, too; it can go once the log has been \
             cosigned under the new one",
        ),
        Unopened::File(_) => return failed(fault),
    };
    Failure::failed(code, chain(&fault), hint)
}

async fn serve(books: Arc<Books>, listener: TcpListener) -> std::convert::Infallible {
    let places = books.origins().map(|origin| (format!("/{}", place(origin)), origin.to_owned()));
    let places: Arc<BTreeMap<String, String>> = Arc::new(places.collect());
    let answer = move |request: Request<Incoming>| {
        let (books, places) = (Arc::clone(&books), Arc::clone(&places));
        async move {
            let path = request.uri().path();
            match (places.get(path), path) {
                (Some(origin), _) => show(books, origin.clone(), request.method()).await,
                (None, "/add-checkpoint") => add(books, request).await,
                (None, _) => http::not_found(WHAT_THERE_IS),
            }
        }
    };
    http::serve(listener, LIMITS, answer).await
}

async fn show(books: Arc<Books>, origin: String, method: &Method) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return http::not_allowed("GET, HEAD");
    }
    // Whoever adds holds the book until what it adds is on the disk.
    let last = tokio::task::spawn_blocking(move || books.last(&origin)).await;
    let Some(note) = last.ok().flatten() else {
        return http::not_found("nothing of this log was cosigned yet\n");
    };
    let mut shown = http::answer(StatusCode::OK, (CONTENT_TYPE, TEXT), note);
    shown.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    shown
}

async fn add(books: Arc<Books>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if *request.method() != Method::POST {
        return http::not_allowed("POST");
    }
    let told = |code, why: &str| http::answer(code, (CONTENT_TYPE, TEXT), format!("{why}\n"));
    let body = match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(fault) if fault.is::<LengthLimitError>() => {
            return told(StatusCode::PAYLOAD_TOO_LARGE, "too long for a submission");
        }
        Err(_) => return told(StatusCode::BAD_REQUEST, "the request ended before it was whole"),
    };
    let added = tokio::task::spawn_blocking(move || {
        let body = std::str::from_utf8(&body).map_err(|_| Refused::Malformed)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        books.add(body, now)
    });
    match added.await {
        Ok(Ok(line)) => http::answer(StatusCode::OK, (CONTENT_TYPE, TEXT), line),
        Ok(Err(refused)) => refusal(&refused),
        Err(_) => told(StatusCode::INTERNAL_SERVER_ERROR, "this witness failed"),
    }
}

fn refusal(refused: &Refused) -> Response<Full<Bytes>> {
    let code = match refused {
        Refused::Malformed | Refused::Backwards => StatusCode::BAD_REQUEST,
        Refused::UnknownLog => StatusCode::NOT_FOUND,
        Refused::Unsigned => StatusCode::FORBIDDEN,
        Refused::Stale(size) | Refused::OtherRoot(size) => {
            let size = format!("{size}\n");
            return http::answer(StatusCode::CONFLICT, (CONTENT_TYPE, SIZE_TYPE), size);
        }
        Refused::Unproven(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::Disk(_) => {
            tracing::error!(error = chain(refused), "a checkpoint could not be kept");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    http::answer(code, (CONTENT_TYPE, TEXT), format!("{refused}\n"))
}
