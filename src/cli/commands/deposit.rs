//! `seal`, `deposit`, `deposits`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::args::What;
use crate::cli::commands::after::settled;
use crate::cli::commands::find;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, Progress, count, fields, size};
use crate::cli::view::DepositView;
use crate::client::acts::deposit::{self, Bundle, Proof, Told};
use crate::client::archive::pack::Plan;
use crate::client::error::{ClientError, chain};
use crate::client::session::Session;
use crate::domain::agreement::Agreement;
use crate::domain::deposit::Deposit;
use crate::domain::id::{AgreementId, DepositId, Digest};
use crate::domain::statement::Content;
use crate::domain::text::Text;
use crate::domain::time::Span;

#[derive(Serialize)]
struct SealedView {
    file: PathBuf,
    proof: PathBuf,
    size: u64,
    sha256: Digest,
    plaintext_size: u64,
    plaintext_sha256: Digest,
}

/// `escrow seal`
pub(super) async fn seal(
    output: &Output,
    session: &mut Session,
    named: &str,
    what: &What,
    out: &Path,
) -> Result<Exit, Failure> {
    let agreement = find::agreement(session, named).await?;
    deposit::may_deposit(session, &agreement)?;
    refuse_root(&what.paths)?;
    let plan = plan(output, what)?;
    let proof = Proof::beside(out);
    if let Some(taken) = [out, &proof].into_iter().find(|path| path.exists()) {
        let message = format!("{} exists already", taken.display());
        return Err(Failure::failed("EXISTS", message, "name another file with --out"));
    }
    let progress = Progress::new("sealing", plan.bytes(), output);
    let sealed = deposit::seal_to_file(&agreement, &plan, out, |bytes| progress.add(bytes))?;
    drop(progress);
    let view = SealedView {
        file: out.to_owned(),
        proof,
        size: sealed.size,
        sha256: sealed.sha256,
        plaintext_size: sealed.plaintext_size,
        plaintext_sha256: sealed.plaintext_sha256,
    };
    output.record(&view, |view| {
        fields(&[
            ("sealed", view.file.display().to_string()),
            ("proof", format!("{} (keep it beside the file)", view.proof.display())),
            ("size", size(view.size)),
            ("SHA-256", view.sha256.to_string()),
        ])
    })?;
    Ok(Exit::Done)
}

/// `escrow deposit`
pub(super) async fn deposit(
    output: &Output,
    session: &mut Session,
    named: &str,
    what: &What,
    (label, retry_for): (Option<Text>, Span),
    tar: bool,
) -> Result<Exit, Failure> {
    let agreement = find::agreement(session, named).await?;
    deposit::may_deposit(session, &agreement)?;
    refuse_root(&what.paths)?;
    let label = match label {
        Some(label) => label,
        None => default_label(what.paths.first().map_or(Path::new("-"), PathBuf::as_path))?,
    };
    let bundle = bundle(output, session, &agreement, what, tar)?;
    let is_it = |earlier: &Deposit| bundle.has_the_content_of(earlier);
    if let Some(twin) = deposit::latest_twin(session, &agreement.id, is_it) {
        warn_of_twin(output, twin);
    }
    let origin = match (bundle.is_sealed_elsewhere(), bundle.is_sealed_on_its_way()) {
        (true, _) => "sealed elsewhere, origin unproven",
        (false, false) => "sealed here",
        (false, true) => "to be sealed here, while it is sent",
    };
    let digest = bundle.sha256().map(ToString::to_string);
    let digest = digest.unwrap_or_else(|| "known when it was sent; shown afterwards".to_owned());
    let what_is_signed = format!(
        "{}\nThis states that the bundle is yours and deposits it.",
        fields(&[
            ("deposit", label.to_string()),
            ("bundle", format!("{}, {origin}", size(bundle.size()))),
            ("SHA-256", digest),
            ("agreement", format!("{} ({})", agreement.id, agreement.terms.title)),
        ])
    );
    match what.paths.as_slice() {
        [only] if only == Path::new("-") => output.ask_beside_input(&what_is_signed)?,
        _ => output.ask(&what_is_signed)?,
    }
    let progress = Progress::new("depositing", bundle.size(), output);
    let mut hear = |told: Told<'_>| match told {
        Told::Moved(bytes) => progress.add(bytes),
        Told::Lost { fault, again_in } => {
            progress.note(&format!("{fault}; trying again in {} s", again_in.as_secs()));
        }
        Told::GoesOn(at) => {
            progress.note(&format!("going on behind the first {}", size(at)));
            progress.set(at);
        }
        Told::StartsOver => {
            progress.note(
                "the vault has lost more of the bundle than is kept here; it is sealed anew and \
                 sent from its beginning",
            );
            progress.set(0);
        }
        Told::Twin(twin) => warn_of_twin(output, twin),
    };
    let how = (label, retry_for.as_duration());
    let id = deposit::deposit(session, &agreement, bundle, how, &mut hear).await?;
    drop(progress);
    let looked = session.agreement(&agreement.id).await.and_then(|_| made(session, &id));
    let made = settled(output, session, looked, |session| made(session, &id))?;
    output.record(&DepositView::new(&made), DepositView::text)?;
    Ok(Exit::Done)
}

fn warn_of_twin(output: &Output, twin: &Deposit) {
    let Deposit { id, deposited_at, statement, .. } = twin;
    output.warn(format!(
        "the very same was deposited at {deposited_at} as {id} ({}); another deposit adds nothing \
         to it: see `escrow show {id}`",
        statement.label
    ));
}

/// The deposits of an agreement, in order of their ids.
fn of_agreement<'a>(
    session: &'a Session,
    id: &'a AgreementId,
) -> impl Iterator<Item = &'a Deposit> {
    session.states().deposits().filter(move |deposit| deposit.agreement == *id)
}

fn made(session: &Session, id: &DepositId) -> Result<Deposit, ClientError> {
    let unseen = || ClientError::Untrue(format!("{id} is acknowledged, but not shown"));
    session.states().deposit(id).cloned().ok_or_else(unseen)
}

/// The bundle that the paths mean: files to seal, or one that is sealed already.
fn bundle(
    output: &Output,
    session: &Session,
    agreement: &Agreement,
    what: &What,
    tar: bool,
) -> Result<Bundle, Failure> {
    let content = if tar { Content::Tar } else { Content::Opaque };
    let is_age = |path: &Path| path.extension().is_some_and(|extension| extension == "age");
    let is_sealed = |path: &Path| path == Path::new("-") || (is_age(path) && path.is_file());
    let idle = |flag: &str| {
        let message = format!("{flag} is for files that are packed here, not for a sealed bundle");
        Failure::usage(message, "leave it out")
    };
    match what.paths.as_slice() {
        [only] if is_sealed(only) && !what.exclude.is_empty() => Err(idle("--exclude")),
        [only] if only == Path::new("-") => {
            let input = std::io::stdin().lock();
            Ok(deposit::piped_bundle(agreement, input, content, session.home.dir())?)
        }
        [only] if is_sealed(only) => {
            let proof = Proof::beside(only);
            if !proof.is_file() {
                output.warn(format!(
                    "there is no proof of origin at {}: the bundle counts as sealed elsewhere, \
                     and every approver is told that its origin is unproven",
                    proof.display()
                ));
            }
            Ok(deposit::ready_bundle(agreement, only, content)?)
        }
        _ if tar => Err(Failure::usage(
            "--tar is for a bundle that is sealed already",
            "leave it out: files and directories are packed as tar by themselves",
        )),
        _ => Ok(deposit::seal(agreement, plan(output, what)?)?),
    }
}

/// The root of all files has no name that it could have in an archive.
fn refuse_root(paths: &[PathBuf]) -> Result<(), Failure> {
    let is_root = |path: &&PathBuf| path.canonicalize().is_ok_and(|whole| whole.parent().is_none());
    match paths.iter().find(is_root) {
        Some(root) => {
            let message = format!("{} is the root of all files and has no name", root.display());
            Err(Failure::failed("NOT_PACKED", message, "name what is below it"))
        }
        None => Ok(()),
    }
}

fn plan(output: &Output, what: &What) -> Result<Plan, Failure> {
    let surveyed = Plan::survey(&what.paths, &what.exclude);
    let plan =
        surveyed.map_err(|fault| Failure::failed("NOT_PACKED", chain(&fault), fault.hint()))?;
    if plan.entries() == 0 {
        let hint = "check the paths, and what --exclude leaves out";
        return Err(Failure::failed("NOTHING", "there is nothing to pack", hint));
    }
    output.say(&format!("{}, {}", count(plan.entries(), "entry", "entries"), size(plan.bytes())));
    Ok(plan)
}

/// What something is called that was given no label: by the name it has in the end.
pub(super) fn default_label(path: &Path) -> Result<Text, Failure> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = match path == Path::new("-") {
        true => Some("standard input"),
        false => whole.file_name().and_then(|name| name.to_str()),
    };
    let parsed = name.unwrap_or_default().parse();
    parsed.map_err(|fault| Failure::failed("BAD_LABEL", fault, "give a name with --label"))
}

/// `escrow deposits`
pub(super) async fn list(
    output: &Output,
    session: &mut Session,
    named: &str,
    limit: Option<NonZeroUsize>,
    after: Option<&str>,
) -> Result<Exit, Failure> {
    let agreement = find::agreement(session, named).await?;
    let mut deposits: Vec<_> = of_agreement(session, &agreement.id).collect();
    // Two of one moment keep their order, too.
    deposits.sort_by_key(|deposit| (deposit.deposited_at, &deposit.id));
    let begin = after.map_or(Ok(0), |after| behind(&deposits, after))?;
    let all = deposits.get(begin..).unwrap_or_default();
    let (shown, left) = all.split_at(limit.map_or(all.len(), |limit| limit.get().min(all.len())));
    let views: Vec<_> = shown.iter().copied().map(DepositView::new).collect();
    let head = ["DEPOSIT", "STATE", "SIZE", "DEPOSITED", "LABEL"];
    output.list(&views, &head, DepositView::row)?;
    if let (Some(last), false) = (shown.last(), left.is_empty()) {
        let more = count(left.len() as u64, "more deposit", "more deposits");
        output.warn(format!("{more}: go on with --after {}", last.id));
    }
    Ok(Exit::Done)
}

/// Where those begin that come behind the deposit whose id begins so.
fn behind(deposits: &[&Deposit], begin: &str) -> Result<usize, Failure> {
    let begins = |it: &&Deposit| it.id.as_str().starts_with(begin);
    let fitting = deposits.iter().filter(|it| begins(it)).count();
    match (fitting, deposits.iter().position(begins)) {
        (1, Some(position)) => Ok(position + 1),
        _ => {
            let message = format!("{begin} is not the id of one deposit of this agreement");
            let hint = "write the id that was listed last";
            Err(Failure::failed("NOT_FOUND", message, hint).about(begin))
        }
    }
}
