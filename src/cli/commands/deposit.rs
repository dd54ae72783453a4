//! `seal`, `deposit`, `deposits`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::args::What;
use crate::cli::commands::find;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, Progress, fields, size};
use crate::cli::view::DepositView;
use crate::client::acts::deposit::{self, Bundle, Proof};
use crate::client::archive::pack::Plan;
use crate::client::error::chain;
use crate::client::session::Session;
use crate::domain::agreement::Agreement;
use crate::domain::id::Digest;
use crate::domain::statement::Content;
use crate::domain::states::Record;
use crate::domain::text::Text;

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
    let plan = plan(output, what)?;
    let proof = Proof::beside(out);
    if let Some(taken) = [out, &proof].into_iter().find(|path| path.exists()) {
        let message = format!("{} exists already", taken.display());
        return Err(Failure::failed("EXISTS", message, "name another file with --out"));
    }
    let sealed = deposit::seal_to_file(&agreement, &plan, out)?;
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
    label: Option<Text>,
    tar: bool,
) -> Result<Exit, Failure> {
    let agreement = find::agreement(session, named).await?;
    deposit::may_deposit(session, &agreement)?;
    let label = match label {
        Some(label) => label,
        None => default_label(&what.paths)?,
    };
    let bundle = bundle(output, session, &agreement, what, tar)?;
    let origin = match bundle.is_sealed_elsewhere() {
        true => "sealed elsewhere, origin unproven",
        false => "sealed here",
    };
    output.ask(&format!(
        "This deposits \"{label}\" ({}, {origin}) under \"{}\".",
        size(bundle.size()),
        agreement.terms.title
    ))?;
    let mut progress = Progress::new("depositing", bundle.size(), output);
    let sent = move |bytes| progress.add(bytes);
    let id = deposit::deposit(session, &agreement, bundle, label, sent).await?;
    session.agreement(&agreement.id).await?;
    let unseen = || {
        let hint = "do not rely on it; ask another party what it sees";
        Failure::failed("UNTRUE", "the deposit is acknowledged, but not shown", hint)
    };
    let made = session.states().deposit(&id).ok_or_else(unseen)?;
    output.record(&DepositView::new(made), DepositView::text)?;
    Ok(Exit::Done)
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
    match what.paths.as_slice() {
        [only] if only == Path::new("-") => {
            let input = std::io::stdin().lock();
            Ok(deposit::piped_bundle(agreement, input, content, session.home.dir())?)
        }
        [only] if is_age(only) && only.is_file() => {
            Ok(deposit::ready_bundle(agreement, only, content)?)
        }
        _ if tar => Err(Failure::usage(
            "--tar is for a bundle that is sealed already",
            "leave it out: files and directories are packed as tar by themselves",
        )),
        _ => {
            let plan = plan(output, what)?;
            let (temporary, sealed) = deposit::seal(agreement, &plan, session.home.dir())?;
            Ok(deposit::sealed_bundle(temporary, sealed)?)
        }
    }
}

fn plan(output: &Output, what: &What) -> Result<Plan, Failure> {
    let surveyed = Plan::survey(&what.paths, &what.exclude);
    let plan =
        surveyed.map_err(|fault| Failure::failed("NOT_PACKED", chain(&fault), fault.hint()))?;
    output.say(&format!("{} entries, {}", plan.entries(), size(plan.bytes())));
    Ok(plan)
}

fn default_label(paths: &[PathBuf]) -> Result<Text, Failure> {
    let first = paths.first().map(PathBuf::as_path).unwrap_or(Path::new("-"));
    let whole = first.canonicalize().unwrap_or_else(|_| first.to_owned());
    let name = match first == Path::new("-") {
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
) -> Result<Exit, Failure> {
    let agreement = find::agreement(session, named).await?;
    let records = session.states().iter().filter_map(|(_, record)| match record {
        Record::Deposit(deposit) if deposit.agreement == agreement.id => Some(deposit),
        Record::Vault(_)
        | Record::Organisation(_)
        | Record::Agreement(_)
        | Record::Party
        | Record::Deposit(_)
        | Record::Bundle(_)
        | Record::Request(_)
        | Record::OpenRequests(_)
        | Record::Quarantine(_)
        | Record::Usage(_)
        | Record::Underway(_)
        | Record::Statement(_) => None,
    });
    let mut deposits: Vec<_> = records.collect();
    deposits.sort_by_key(|deposit| deposit.deposited_at);
    let views: Vec<_> = deposits.into_iter().map(DepositView::new).collect();
    let head = ["DEPOSIT", "STATE", "SIZE", "DEPOSITED", "LABEL"];
    output.list(&views, &head, DepositView::row)?;
    Ok(Exit::Done)
}
