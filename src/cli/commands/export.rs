//! `audit --export`, and `verify` of what it has written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::cli::args::Compare;
use crate::cli::commands::audit::view;
use crate::cli::commands::receipt::{
    is_about, keep, other_document, refuse_existing, unreadable, unverified, unwitnessed,
};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::view::{AuditView, Compared, ExportView};
use crate::client::acts::export::gather;
use crate::client::chronicle::Followed;
use crate::client::export::{Known, Unverified, Verified, read, verify};
use crate::client::receipt::{Judged, demand_one};
use crate::client::session::Session;
use crate::crypto::note::{NOTE_BYTES_MAX, NoteKey};
use crate::crypto::policy::Policy;
use crate::domain::chain::chain;
use crate::domain::id::{AgreementId, Digest};
use crate::domain::stream::Stream;

/// `escrow audit --export`
pub(super) async fn export(
    output: &Output,
    session: &mut Session,
    agreement: &AgreementId,
    out: &Path,
) -> Result<Exit, Failure> {
    refuse_existing(out)?;
    let gathered = gather(session, agreement).await?;
    // Verified before it has its name: what does not stand here would not stand anywhere.
    let (verified, key) = keep(out, |staged| {
        gathered.write(&mut *staged)?;
        Ok(verified(staged.path(), None, &Known::default()).map_err(|fault| fault.of(out)))
    })??;
    show(output, &verified, &key, &Compared::default(), None)?;
    output.say(&format!("Anybody can verify it: escrow verify {}", out.display()));
    Ok(Exit::Done)
}

/// `escrow verify` of one export.
pub(super) fn verify_one(
    output: &Output,
    path: &Path,
    document: Option<(&Path, Digest)>,
    log: Option<&NoteKey>,
    (known, policy): (&Known, Option<&(&Path, Policy)>),
) -> Result<(), Failure> {
    let (verified, key) = verified(path, log, known).map_err(|fault| fault.of(path))?;
    let witnessed = policy.map(|policy| witnessed(path, &verified, policy)).transpose()?;
    let what = document.map(|(document, digest)| {
        verified.names(&digest).ok_or_else(|| other_document(path, document))
    });
    let compared = Compared {
        log_key: log.is_some(),
        checkpoints: known.checkpoints.len(),
        organisations: known.organisations.keys().collect(),
        witnessed: witnessed.as_ref(),
    };
    show(output, &verified, &key, &compared, what.transpose()?)?;
    output.say(&format!("{}: verified", path.display()));
    Ok(())
}

/// How far enough of the policy's witnesses have seen the log, which an export is to show.
fn witnessed(
    path: &Path,
    verified: &Verified,
    (policy_path, policy): &(&Path, Policy),
) -> Result<Judged, Failure> {
    let keys = verified.keys.iter().map(|key| NoteKey::new(&verified.checkpoint.origin, *key));
    is_about(path, policy_path, policy, keys.flatten())?;
    demand_one(&verified.notes, policy).map_err(|fault| unwitnessed(path, &fault))
}

/// What a verifier has been given to compare with.
pub(super) fn known(given: &Compare) -> Result<Known, Failure> {
    let mut known = Known::default();
    for path in &given.checkpoint {
        let mut text = String::new();
        let file = File::open(path).map_err(|fault| unreadable(path, &fault))?;
        let read = file.take(NOTE_BYTES_MAX as u64).read_to_string(&mut text);
        read.map_err(|fault| unreadable(path, &fault))?;
        known.bring(&text);
    }
    for pin in &given.org {
        if known.organisations.insert(pin.organisation.clone(), pin.fingerprint).is_some() {
            let message = format!("{} is given twice with --org", pin.organisation);
            return Err(Failure::usage(message, "give each organisation once"));
        }
    }
    Ok(known)
}

/// Why a file is refused.
enum Fault {
    Unreadable(std::io::Error),
    OtherLog(NoteKey, NoteKey),
    Unverified(Unverified),
}

impl Fault {
    /// That, of this file.
    fn of(self, path: &Path) -> Failure {
        match self {
            Self::Unreadable(fault) => unreadable(path, &fault),
            Self::OtherLog(known, shown) => {
                let message = format!("{} is of another log, or another signer", path.display());
                let hint = format!("compare {known} with the export's {shown}");
                Failure::failed("OTHER_LOG", message, hint).about(path.display())
            }
            Self::Unverified(Unverified::Malformed(fault)) => {
                let message = format!("{}: {}", path.display(), chain(&fault));
                let hint =
                    "name a file that `escrow audit --export` has written, as it was written";
                Failure::failed("NOT_AN_EXPORT", message, hint).about(path.display())
            }
            Self::Unverified(fault) => unverified(path, &fault),
        }
    }
}

/// Reads an export and verifies it; with the key of its log.
fn verified(
    path: &Path,
    log: Option<&NoteKey>,
    known: &Known,
) -> Result<(Verified, NoteKey), Fault> {
    let open = || File::open(path).map_err(Fault::Unreadable);
    let packed = open()?.metadata().map_err(Fault::Unreadable)?.len();
    let export = read(open()?, packed).map_err(|fault| Fault::Unverified(fault.into()))?;
    let key = export.key.clone();
    let verified = verify(export, open()?, known).map_err(Fault::Unverified)?;
    match log.filter(|log| !verified.is_of(log)) {
        Some(log) => Err(Fault::OtherLog(log.clone(), key)),
        None => Ok((verified, key)),
    }
}

fn show(
    output: &Output,
    verified: &Verified,
    key: &NoteKey,
    compared: &Compared<'_>,
    document: Option<String>,
) -> Result<(), Failure> {
    let id = &verified.agreement.id;
    let streams = [Stream::Agreement(id.clone()), Stream::AgreementAccesses(id.clone())];
    let followed = streams.iter().filter_map(|stream| verified.streams.get(stream));
    let mut events: Vec<_> = followed.flat_map(Followed::events).collect();
    // Those that were lost and put back stand behind others in the log.
    events.sort_by_key(|believed| (believed.event.at, believed.position));
    let mut deeds: BTreeMap<String, Vec<AuditView>> = BTreeMap::new();
    for deed in events.into_iter().map(|event| view(event, id)) {
        deeds.entry(deed.subject.clone()).or_default().push(deed);
    }
    let view = ExportView::new(verified, key.to_string(), compared, document, &deeds);
    output.record(&view, ExportView::text)
}
