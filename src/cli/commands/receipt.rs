//! `receipt`, `verify`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::cli::args::Compare;
use crate::cli::commands::export;
use crate::cli::commands::find::{self, Found};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, count};
use crate::cli::view::ProvedView;
use crate::client::acts::receipt::{self, Subject};
use crate::client::export::EXPORT;
use crate::client::receipt::{Verified, read, verify, write};
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
    refuse_existing(out)?;
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
    keep(out, |staged| write(&made, staged))?;
    show(output, &verified, out, None)?;
    output.say(&format!("Anybody can verify it: escrow verify {}", out.display()));
    Ok(Exit::Done)
}

/// Refuses to write where something is.
pub(super) fn refuse_existing(out: &Path) -> Result<(), Failure> {
    match out.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(_) => {
            let message = format!("{} exists already", out.display());
            Err(Failure::failed("EXISTS", message, "name a file that does not exist yet"))
        }
    }
}

/// Writes a file, which only its owner can read, under its name once it is whole and durable.
pub(super) fn keep<T>(
    out: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> std::io::Result<T>,
) -> Result<T, Failure> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let kept = || {
        let mut staged = NamedTempFile::new_in(parent)?;
        let _unfinished = Unfinished::at(staged.path());
        let made = write(&mut staged)?;
        staged.flush()?;
        staged.as_file().sync_all()?;
        staged.persist_noclobber(out)?;
        File::open(parent)?.sync_all()?;
        Ok(made)
    };
    kept().map_err(|fault: std::io::Error| {
        let message = format!("cannot write {}: {fault}", out.display());
        Failure::failed("OUTPUT", message, "name a place where you may write, with room in it")
    })
}

/// `escrow verify`
pub(in crate::cli) fn verify_all(
    output: &Output,
    receipts: &[PathBuf],
    document: Option<&Path>,
    log: Option<&NoteKey>,
    given: &Compare,
) -> Result<Exit, Failure> {
    let known = export::known(given)?;
    let document = document.map(|path| digest(path).map(|digest| (path, digest))).transpose()?;
    for path in receipts {
        let open = || File::open(path).map_err(|fault| unreadable(path, &fault));
        if EXPORT.is_begun(open()?) {
            export::verify_one(output, path, document, log, &known)?;
            continue;
        }
        if !known.checkpoints.is_empty() {
            let message = format!("{} is no export, and --checkpoint is for these", path.display());
            return Err(Failure::usage(message, "see `escrow help verify`").about(path.display()));
        }
        let receipt = read(open()?.take(RECEIPT_BYTES_MAX)).map_err(|fault| {
            let message = format!("{}: {}", path.display(), chain(&fault));
            Failure::failed(
                "NOT_A_RECEIPT",
                message,
                "name a file that `escrow receipt` or `escrow audit --export` has written",
            )
            .about(path.display())
        })?;
        let verified = verify(&receipt).map_err(|fault| unverified(path, &fault))?;
        if let Some(log) = log.filter(|log| !verified.is_of(log)) {
            let message = format!("{} is of another log, or another signer", path.display());
            let hint = format!("compare {log} with the receipt's {}", receipt.log);
            return Err(Failure::failed("OTHER_LOG", message, hint).about(path.display()));
        }
        for (member, shown) in verified.events.iter().filter_map(|proved| proved.by.as_ref()) {
            known.has(&member.organisation, shown).map_err(|fault| unverified(path, &fault))?;
        }
        let named = |digest: &Digest| {
            let names = verified.events.iter().filter_map(|proved| proved.names());
            names.into_iter().find_map(|(named, what)| (named == *digest).then_some(what))
        };
        let what = match &document {
            None => None,
            Some((document, digest)) => {
                Some(named(digest).ok_or_else(|| other_document(path, document))?)
            }
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

/// That a file which was named is none of those in it.
pub(super) fn other_document(path: &Path, document: &Path) -> Failure {
    let message = format!("{} names no file like {}", path.display(), document.display());
    let hint = "only the very same bytes count: find the file as it was then";
    Failure::failed("OTHER_DOCUMENT", message, hint).about(document.display())
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

pub(super) fn unreadable(path: &Path, fault: &std::io::Error) -> Failure {
    let message = format!("cannot read {}: {fault}", path.display());
    Failure::failed("UNREADABLE", message, "name a file that you may read").about(path.display())
}

pub(super) fn unverified(path: &Path, fault: &dyn std::error::Error) -> Failure {
    let message = format!("{} does not verify: {}", path.display(), chain(fault));
    let hint = "do not rely on it; ask whoever gave it to you, and the vault, for another";
    Failure::failed("NOT_VERIFIED", message, hint).about(path.display())
}
