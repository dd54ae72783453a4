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
use crate::client::receipt::{Judged, Receipt, Verified, cosigners, demand, read, verify, write};
use crate::client::session::Session;
use crate::client::unfinished::Unfinished;
use crate::crypto::note::NoteKey;
use crate::crypto::policy::{POLICY_BYTES_MAX, Policy};
use crate::domain::chain::chain;
use crate::domain::id::{Bytes, Digest};
use crate::domain::time::Timestamp;

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
    let made = receipt::receipt(session, &subject).await?;
    keep(&made, out).map_err(|fault| {
        let message = format!("cannot write {}: {fault}", out.display());
        Failure::failed("OUTPUT", message, "name a place where you may write, with room in it")
    })?;
    let verified = verify(&made).map_err(|fault| unverified(out, &fault))?;
    show(output, &verified, out, None)?;
    match cosigners(&made).as_slice() {
        [] if session.home.mirror().is_witnessed() => output.say(
            "No witness has cosigned all of it yet: make another in a moment, if it is to last.",
        ),
        [] => {}
        names => output.say(&format!("cosigned by      {} (not checked)", names.join(", "))),
    }
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

/// What a receipt has to show besides that it verifies.
pub(in crate::cli) struct Demanded<'a> {
    /// That it names this file.
    pub document: Option<&'a Path>,
    /// That this key signs its log.
    pub log: Option<&'a NoteKey>,
    /// That enough of the witnesses in this file have cosigned it.
    pub policy: Option<&'a Path>,
}

/// `escrow verify`
pub(in crate::cli) fn verify_all(
    output: &Output,
    receipts: &[PathBuf],
    demanded: &Demanded<'_>,
) -> Result<Exit, Failure> {
    let &Demanded { document, log, policy } = demanded;
    let policy = policy.map(|path| policy_in(path).map(|policy| (path, policy))).transpose()?;
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
        let judged = policy.as_ref().map(|policy| witnessed(path, &receipt, policy)).transpose()?;
        show(output, &verified, path, what)?;
        output.say(&format!("log key          {}", receipt.log));
        say_witnesses(output, &receipt, judged.as_deref());
    }
    output.say(
        "The keys and fingerprints are to be compared with what the organisations and other parties \
         say of them. Times are the vault's word.",
    );
    Ok(Exit::Done)
}

/// What the policy says of a receipt which it is content with.
fn witnessed(
    path: &Path,
    receipt: &Receipt,
    (policy_path, policy): &(&Path, Policy),
) -> Result<Vec<Judged>, Failure> {
    if !policy.is_about(&receipt.log) {
        let message = format!("{} is of a log that the policy does not name", path.display());
        let hint = format!("compare {} with the receipt's {}", policy_path.display(), receipt.log);
        return Err(Failure::failed("OTHER_LOG", message, hint).about(path.display()));
    }
    demand(receipt, policy).map_err(|fault| {
        let message = format!("{} is not witnessed: {}", path.display(), chain(&fault));
        let hint =
            "ask for a receipt that was made later, or see whether the policy is the right one";
        Failure::failed("NOT_WITNESSED", message, hint).about(path.display())
    })
}

fn policy_in(path: &Path) -> Result<Policy, Failure> {
    let mut octets = Vec::new();
    let file = File::open(path).map_err(|fault| unreadable(path, &fault))?;
    let limit = POLICY_BYTES_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut octets).map_err(|fault| unreadable(path, &fault))?;
    Policy::parse(&octets).map_err(|fault| {
        let message = format!("{}: {fault}", path.display());
        let hint =
            "C2SP tlog-policy says how a policy looks; whoever relies on the log agrees on one";
        Failure::failed("BAD_POLICY", message, hint).about(path.display())
    })
}

fn say_witnesses(output: &Output, receipt: &Receipt, judged: Option<&[Judged]>) {
    match (judged, cosigners(receipt).as_slice()) {
        (None, []) => {}
        (None, names) => output.say(&format!(
            "cosigned by      {}, as it says: not checked, as no --policy says who is trusted",
            names.join(", ")
        )),
        (Some(judged), _) => {
            for Judged { size, judgement } in judged {
                let there = judgement.there.iter().map(|(name, at)| {
                    let at = i64::try_from(*at).ok().and_then(|at| at.checked_mul(1_000));
                    let at = at.map(Timestamp::from_millis);
                    format!("{name} ({})", at.map_or("no time".to_owned(), |at| at.to_string()))
                });
                let there = there.collect::<Vec<_>>().join(", ");
                output.say(&format!("witnessed        {size} entries, by {there}"));
            }
        }
    }
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
