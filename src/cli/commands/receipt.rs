//! `receipt`, `verify`.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::cli::commands::find::{self, Found};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, count};
use crate::cli::view::ProvedView;
use crate::client::acts::receipt::{self, Subject};
use crate::client::receipt::{Receipt, Verified, read, verify, write};
use crate::client::session::Session;
use crate::client::unfinished::Unfinished;
use crate::crypto::note::NoteKey;
use crate::domain::chain::chain;
use crate::domain::id::{Bytes, Digest};

/// Largest receipt that is read, in bytes as it is packed.
const RECEIPT_BYTES_MAX: u64 = 64 << 20;

/// `escrow receipt`
pub(super) async fn receipt(
    output: &Output,
    session: &mut Session,
    named: &str,
    out: &Path,
) -> Result<Exit, Failure> {
    if out.symlink_metadata().is_ok() {
        let message = format!("{} exists already", out.display());
        return Err(Failure::failed("EXISTS", message, "name a file that does not exist yet"));
    }
    let subject = match find::anything(session, named).await? {
        Found::Deposit(agreement, id) => Subject::Deposit(agreement, id),
        Found::Request(agreement, id) => Subject::Request(agreement, id),
        Found::Registration(id) => Subject::Registration(id),
        Found::Agreement(id) => {
            let message = format!("{id} is an agreement; a receipt is of what was done under one");
            let hint = "name a deposit, a request or a registration";
            return Err(Failure::failed("WRONG_KIND", message, hint).about(named));
        }
    };
    let (made, verified) = receipt::receipt(session, &subject).await?;
    keep(&made, out).map_err(|fault| {
        let message = format!("cannot write {}: {fault}", out.display());
        Failure::failed("OUTPUT", message, "name a place where you may write, with room in it")
    })?;
    show(output, &verified, out, None)?;
    output.say(&format!("Anybody can verify it: escrow verify {}", out.display()));
    Ok(Exit::Done)
}

/// Writes a receipt under its name once it is whole and durable.
fn keep(receipt: &Receipt, out: &Path) -> std::io::Result<()> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let mut staged = tempfile::NamedTempFile::new_in(parent)?;
    let _unfinished = Unfinished::at(staged.path());
    write(receipt, &mut staged)?;
    staged.flush()?;
    staged.as_file().sync_all()?;
    staged.persist_noclobber(out)?;
    File::open(parent)?.sync_all()
}

/// `escrow verify`
pub(in crate::cli) fn verify_all(
    output: &Output,
    receipts: &[PathBuf],
    document: Option<&Path>,
    log: Option<&NoteKey>,
) -> Result<Exit, Failure> {
    let document = document.map(|path| digest(path).map(|digest| (path, digest))).transpose()?;
    for path in receipts {
        let packed = File::open(path).map_err(|fault| unreadable(path, &fault))?;
        let packed = BufReader::new(packed.take(RECEIPT_BYTES_MAX));
        let receipt = read(packed).map_err(|fault| {
            let message = format!("{}: {}", path.display(), chain(&fault));
            Failure::failed(
                "NOT_A_RECEIPT",
                message,
                "name a file that `escrow receipt` has written",
            )
            .about(path.display())
        })?;
        if let Some(log) = log.filter(|log| **log != receipt.log) {
            let message = format!("{} is of another log, or another signer", path.display());
            let hint = format!("compare {log} with the receipt's {}", receipt.log);
            return Err(Failure::failed("OTHER_LOG", message, hint).about(path.display()));
        }
        let verified = verify(&receipt).map_err(|fault| unverified(path, &fault))?;
        let named = |digest: &Digest| {
            let names = verified.events.iter().filter_map(|proved| proved.names());
            names.into_iter().find_map(|(named, what)| (named == *digest).then_some(what))
        };
        let what = match &document {
            None => None,
            Some((document, digest)) => Some(named(digest).ok_or_else(|| {
                let message =
                    format!("{} names no file like {}", path.display(), document.display());
                let hint = "only the very same bytes count: find the file as it was then";
                Failure::failed("OTHER_DOCUMENT", message, hint).about(document.display())
            })?),
        };
        show(output, &verified, path, what)?;
        output.say(&format!("log key          {}", receipt.log));
    }
    output.say(
        "The keys and fingerprints are to be compared with what the organisations and other parties \
         say of them. Times are the vault's word.",
    );
    Ok(Exit::Done)
}

fn show(
    output: &Output,
    verified: &Verified,
    path: &Path,
    document: Option<&'static str>,
) -> Result<(), Failure> {
    let views: Vec<_> = verified.events.iter().map(ProvedView::new).collect();
    let deeds: Vec<_> = views.into_iter().filter(|view| !view.is_about_members()).collect();
    output.list(
        &deeds,
        &["ENTRY", "AT", "WHAT", "BY", "FINGERPRINT OF ORGANISATION"],
        ProvedView::row,
    )?;
    let entries = count(verified.events.len(), "entry", "entries");
    output.say(&format!("{}: {entries} of the log {}: verified", path.display(), verified.origin));
    if let Some(what) = document {
        output.say(&format!("The file is {what}."));
    }
    Ok(())
}

fn digest(path: &Path) -> Result<Digest, Failure> {
    let mut file = File::open(path).map_err(|fault| unreadable(path, &fault))?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match file.read(&mut piece).map_err(|fault| unreadable(path, &fault))? {
            0 => return Ok(Bytes(hash.finalize().into())),
            count => hash.update(piece.get(..count).unwrap_or_default()),
        }
    }
}

fn unreadable(path: &Path, fault: &std::io::Error) -> Failure {
    let message = format!("cannot read {}: {fault}", path.display());
    Failure::failed("UNREADABLE", message, "name a file that you may read").about(path.display())
}

fn unverified(path: &Path, fault: &dyn std::error::Error) -> Failure {
    let message = format!("{} does not verify: {}", path.display(), chain(fault));
    let hint = "do not rely on it; ask whoever gave it to you, and the vault, for another";
    Failure::failed("NOT_VERIFIED", message, hint).about(path.display())
}
