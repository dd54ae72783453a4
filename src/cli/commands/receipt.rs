//! `receipt`, `verify`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cli::args::Compare;
use crate::cli::commands::export;
use crate::cli::commands::find::{self, Found};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, count};
use crate::cli::view::{ProvedView, seen_by};
use crate::client::acts::receipt::{self, Subject};
use crate::client::acts::stamp;
use crate::client::export::EXPORT;
use crate::client::receipt::{
    DocumentStamp, Judged, ProvedStamp, Receipt, Unwitnessed, Verified, cosigners, demand, read,
    verify_under, write,
};
use crate::client::session::Session;
use crate::client::unfinished::Unfinished;
use crate::crypto::note::NoteKey;
use crate::crypto::pem::certificates_of;
use crate::crypto::policy::{POLICY_BYTES_MAX, Policy};
use crate::crypto::timestamp::{Hash, Imprint};
use crate::domain::chain::chain;
use crate::domain::id::{Bytes, Digest, OrganisationName, RegistrationId};

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
    let stamp = match &subject {
        Subject::Registration(id) => kept_stamp(output, session, id),
        Subject::Deposit(..) | Subject::Request(..) => None,
    };
    let (made, verified) = receipt::receipt(session, &subject, stamp).await?;
    keep(out, |staged| write(&made, staged))?;
    show(output, &verified, out, None)?;
    for stamp in verified.events.iter().filter_map(|proved| proved.stamp.as_ref()) {
        output.say(&format!("It holds the document's time-stamp of {}.", stamp.at));
    }
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

/// The time-stamp that the home keeps of a registration. A damaged one keeps nobody from a receipt.
fn kept_stamp(output: &Output, session: &Session, id: &RegistrationId) -> Option<DocumentStamp> {
    let registration = session.states().registration(id)?;
    match stamp::kept_whole(&session.home, registration) {
        Ok(kept) => kept.map(|(_, stamp)| stamp),
        Err(fault) => {
            output.warn(format!("without its time-stamp: {fault}; {}", fault.hint()));
            None
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
    let tsa_cas = given.tsa_ca.as_deref().map_or(Ok(Vec::new()), certificates)?;
    let policy = given.policy.as_deref();
    let policy = policy.map(|path| policy_in(path).map(|policy| (path, policy))).transpose()?;
    let document = document.map(|path| digest(path).map(|digest| (path, digest))).transpose()?;
    for path in receipts {
        let open = || File::open(path).map_err(|fault| unreadable(path, &fault));
        if EXPORT.is_begun(open()?) {
            if given.tsa_ca.is_some() {
                let message =
                    format!("{} is an export, and --tsa-ca is for receipts", path.display());
                return Err(
                    Failure::usage(message, "see `escrow help verify`").about(path.display())
                );
            }
            export::verify_one(output, path, document, log, (&known, policy.as_ref()))?;
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
        let verified =
            verify_under(&receipt, &tsa_cas).map_err(|fault| unverified(path, &fault))?;
        if let Some(log) = log.filter(|log| !verified.is_of(log)) {
            let message = format!("{} is of another log, or another signer", path.display());
            let hint = format!("compare {log} with the receipt's {}", receipt.log);
            return Err(Failure::failed("OTHER_LOG", message, hint).about(path.display()));
        }
        let by = || verified.events.iter().filter_map(|proved| proved.by.as_ref());
        for (member, shown) in by() {
            known.has(&member.organisation, shown).map_err(|fault| unverified(path, &fault))?;
        }
        let signed = |name: &OrganisationName| by().any(|(member, _)| member.organisation == *name);
        if let Some(absent) = known.organisations.keys().find(|name| !signed(name)) {
            let message = format!("nobody of {absent} has signed anything in {}", path.display());
            let hint = "compare the name that you gave with --org with those that are shown";
            return Err(Failure::failed("NOT_VERIFIED", message, hint).about(path.display()));
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
        let judged = policy
            .as_ref()
            .map(|policy| witnessed(path, (&receipt, &verified), policy))
            .transpose()?;
        let stamps = verified.events.iter().filter_map(|proved| proved.stamp.as_ref());
        for stamp in stamps.clone() {
            if let Some((document, _)) = &document
                && !is_stamped(stamp, document)?
            {
                let message = format!("{} is not what was time-stamped", document.display());
                let hint = "only the very same bytes count: find the file as it was then";
                let failure = Failure::failed("OTHER_DOCUMENT", message, hint);
                return Err(failure.about(document.display()));
            }
        }
        show(output, &verified, path, what)?;
        for stamp in stamps {
            tell_stamp(output, stamp, document.is_some());
        }
        output.say(&format!("log key          {}", receipt.log));
        say_witnesses(output, &receipt, judged.as_deref());
    }
    output.say(
        "The keys and fingerprints are to be compared with what the organisations and other parties \
         say of them. Times are the vault's word, but for \
         time-stamps.",
    );
    Ok(Exit::Done)
}

/// What the policy says of a receipt which it is content with.
fn witnessed(
    path: &Path,
    (receipt, verified): (&Receipt, &Verified),
    (policy_path, policy): &(&Path, Policy),
) -> Result<Vec<Judged>, Failure> {
    let keys = verified.keys.iter().map(|key| NoteKey::new(&verified.origin, *key));
    is_about(path, policy_path, policy, keys.flatten())?;
    demand(receipt, policy).map_err(|fault| unwitnessed(path, &fault))
}

/// Refuses what is of a log that the policy does not name by any of these keys.
pub(super) fn is_about(
    path: &Path,
    policy_path: &Path,
    policy: &Policy,
    keys: impl IntoIterator<Item = NoteKey>,
) -> Result<(), Failure> {
    let mut last = None;
    for key in keys {
        if policy.is_about(&key) {
            return Ok(());
        }
        last = Some(key.to_string());
    }
    let message = format!("{} is of a log that the policy does not name", path.display());
    let own = last.unwrap_or_default();
    let hint = format!("compare {} with its own key, {own}", policy_path.display());
    Err(Failure::failed("OTHER_LOG", message, hint).about(path.display()))
}

/// That too few witnesses have cosigned.
pub(super) fn unwitnessed(path: &Path, fault: &Unwitnessed) -> Failure {
    let message = format!("{} is not witnessed: {}", path.display(), chain(fault));
    let hint = "ask for one that was made later, or see whether the policy is the right one";
    Failure::failed("NOT_WITNESSED", message, hint).about(path.display())
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
            for judged in judged {
                output.say(&format!("witnessed        {}", seen_by(judged)));
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

/// That a file which was named is none of those in it.
pub(super) fn other_document(path: &Path, document: &Path) -> Failure {
    let message = format!("{} names no file like {}", path.display(), document.display());
    let hint = "only the very same bytes count: find the file as it was then";
    Failure::failed("OTHER_DOCUMENT", message, hint).about(document.display())
}

/// Says what a time-stamp proves, and what it does not.
fn tell_stamp(output: &Output, stamp: &ProvedStamp, has_document: bool) {
    let ProvedStamp { at, imprint, ca_sha256, ca_was_given, is_of_vault } = stamp;
    let what = match imprint.hash() {
        Hash::Sha256 => "The registered SHA-256 was".to_owned(),
        hash @ (Hash::Sha384 | Hash::Sha512) if has_document => {
            format!("The file, by its {hash}, was")
        }
        hash @ (Hash::Sha384 | Hash::Sha512) => {
            format!("A {hash}, which only the document itself can be compared with (--file), was")
        }
    };
    let by = match ca_was_given {
        true => "under a CA that you gave",
        false => {
            "under a CA that came along with the receipt: compare it, or name yours with --tsa-ca"
        }
    };
    output.say(&format!("{what} time-stamped at {at}, {by} (its SHA-256: {ca_sha256})."));
    if *is_of_vault {
        output.say(
            "That is a vault's own authority: it proves the time to whoever believes the vault, and \
             nothing against the vault's own operator.",
        );
    }
}

/// Whether a document is what was time-stamped.
fn is_stamped(stamp: &ProvedStamp, document: &Path) -> Result<bool, Failure> {
    Ok(read_through(document, stamp.imprint.hash())? == stamp.imprint)
}

/// The certificates in a file, which has at least one.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let no_certificate = || {
        let message = format!("{} holds no certificate in PEM, or something else", path.display());
        let hint = "name a file with the authority's root as it was published";
        Failure::failed("BAD_CERTIFICATE", message, hint).about(path.display())
    };
    let text = std::fs::read(path).map_err(|fault| unreadable(path, &fault))?;
    certificates_of(&text).ok_or_else(no_certificate)
}

fn digest(path: &Path) -> Result<Digest, Failure> {
    let imprint = read_through(path, Hash::Sha256)?;
    let digest = imprint.digest().try_into().unwrap_or_default();
    Ok(Bytes(digest))
}

fn read_through(path: &Path, hash: Hash) -> Result<Imprint, Failure> {
    let mut file = File::open(path).map_err(|fault| unreadable(path, &fault))?;
    let (mut hash, mut piece) = (hash.begin(), vec![0; 256 * 1024]);
    loop {
        match file.read(&mut piece).map_err(|fault| unreadable(path, &fault))? {
            0 => return Ok(hash.finish()),
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
