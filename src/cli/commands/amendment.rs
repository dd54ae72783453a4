//! `agreement amend`, `agreement countersign`, `remind`.

use std::path::Path;

use crate::cli::commands::agreement::{read_terms, show, warn};
use crate::cli::commands::find;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::view::{AmendmentView, changes, changes_text};
use crate::client::acts::agreement;
use crate::client::acts::amendment::{self as acts, Pending};
use crate::client::session::Session;
use crate::domain::agreement::Agreement;
use crate::domain::id::OrganisationName;
use crate::domain::terms::Terms;

/// `escrow agreement amend`
pub(super) async fn amend(
    output: &Output,
    session: &mut Session,
    named: &str,
    path: &Path,
) -> Result<Exit, Failure> {
    let found = find::agreement(session, named).await?;
    // Terms of fewer words than before stay in the language that the agreement is written in.
    let terms = Terms { format: found.terms.format, ..read_terms(session, path)? };
    let changed = changes(&found.terms, &terms);
    if terms == *found.terms {
        let message = format!("{} has the terms that are in force", path.display());
        return Err(Failure::failed("NOTHING_CHANGED", message, "change what is to be amended"));
    }
    let amendment = acts::amendment(session, &found, terms)?;
    let pending = acts::pending(session, &found);
    if let Some(same) = pending.iter().find(|it| *it.amendment.terms == amendment.terms) {
        return Err(proposed_already(session, &found, path, same));
    }
    warn(output, &agreement::warnings(session, &amendment.terms));
    let own = &session.owner.path.organisation;
    output.ask(&format!(
        "amendment of {} (\"{}\"), terms version {}\n{}\nThis proposes the amendment, and signs it \
         for {own}. Requests that were made before stay under the terms they were made under.",
        found.id,
        found.terms.title,
        found.version,
        changes_text(&changed),
    ))?;
    acts::amend(session, amendment).await?;
    let amended = show(output, session, &found.id).await?;
    tell(output, session, &found, &amended);
    Ok(Exit::Done)
}

/// A second amendment to the same terms would need all its signatures anew.
fn proposed_already(
    session: &Session,
    agreement: &Agreement,
    path: &Path,
    same: &Pending,
) -> Failure {
    let (id, sha256) = (&agreement.id, same.sha256);
    let message = format!("{} has the terms of an amendment that waits", path.display());
    let hint = match same.amendment.signed.contains_key(&session.owner.path.organisation) {
        true => format!("`escrow show {id}` tells whose signatures it waits for"),
        false => format!("sign it: `escrow agreement countersign {id} --amendment {sha256}`"),
    };
    Failure::failed("PROPOSED_ALREADY", message, hint)
}

/// `escrow agreement countersign`
pub(super) async fn countersign(
    output: &Output,
    session: &mut Session,
    named: &str,
    begin: Option<&str>,
) -> Result<Exit, Failure> {
    let found = find::agreement(session, named).await?;
    let pending = chosen(session, &found, begin)?;
    let countersignature = acts::countersignature(session, &found, &pending)?;
    warn(output, &agreement::warnings(session, &pending.amendment.terms));
    let own = &session.owner.path.organisation;
    output.ask(&format!(
        "amendment of {} (\"{}\"), terms version {}\n{}\nThis signs the amendment for {own}.",
        found.id,
        found.terms.title,
        found.version,
        AmendmentView::new(&found, &pending).text(),
    ))?;
    acts::countersign(session, countersignature).await?;
    let amended = show(output, session, &found.id).await?;
    tell(output, session, &found, &amended);
    Ok(Exit::Done)
}

/// The amendment that is meant: the one there is, or the one whose digest begins so.
fn chosen(
    session: &Session,
    agreement: &Agreement,
    begin: Option<&str>,
) -> Result<Pending, Failure> {
    let is_meant =
        |it: &Pending| begin.is_none_or(|it_begins| it.sha256.to_string().starts_with(it_begins));
    let mut pending = acts::pending(session, agreement);
    pending.retain(is_meant);
    match (pending.pop(), pending.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => {
            let which = begin.map(|begin| format!(" whose SHA-256 begins with {begin}"));
            let which = which.unwrap_or_default();
            let message = format!("no amendment of {}{which} waits for signatures", agreement.id);
            let hint = format!("`escrow show {}` lists those that do", agreement.id);
            Err(Failure::failed("NOT_FOUND", message, hint))
        }
        (Some(last), others) => {
            let all = others.iter().chain([&last]).map(|it| it.sha256.to_string());
            let message = format!("several amendments of {} wait for signatures", agreement.id);
            let hint = format!("name one with --amendment: {}", all.collect::<Vec<_>>().join(", "));
            Err(Failure::failed("AMBIGUOUS", message, hint))
        }
    }
}

/// Whether an amendment has come into force, or what it waits for.
fn tell(output: &Output, session: &Session, before: &Agreement, after: &Agreement) {
    if after.version > before.version {
        let version = after.version;
        output.say(&format!("Enough have signed: terms version {version} is in force."));
        return;
    }
    let waits = !acts::pending(session, after).is_empty();
    if waits {
        output.say(&format!(
            "The terms stay as they are until enough have run `escrow agreement countersign {}`.",
            after.id
        ));
    }
}

/// `escrow remind`
pub(super) async fn remind(
    output: &Output,
    session: &mut Session,
    named: &str,
    org: Option<OrganisationName>,
) -> Result<Exit, Failure> {
    let found = find::agreement(session, named).await?;
    let organisation = match org {
        Some(org) => org,
        None => only_silent(session, &found)?,
    };
    if found.reminder_from(&organisation).is_none() {
        return Err(never_silent(&found, organisation.as_str()));
    }
    acts::may_remind(session, &found, &organisation)?;
    output.ask(&format!(
        "This reminds {organisation} of {} (\"{}\"). Whatever one of its members signs there makes \
         the reminder void.",
        found.id, found.terms.title
    ))?;
    acts::remind(session, &found.id, &organisation).await?;
    show(output, session, &found.id).await?;
    Ok(Exit::Done)
}

/// The one organisation whose silence counts.
fn only_silent(session: &Session, agreement: &Agreement) -> Result<OrganisationName, Failure> {
    let mut silent = acts::silent(session, agreement);
    match (silent.pop(), silent.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(never_silent(agreement, "another organisation")),
        (Some(last), others) => {
            let all = others.iter().chain([&last]).map(ToString::to_string);
            let all = all.collect::<Vec<_>>().join(", ");
            let message = "the silence of several organisations counts";
            Err(Failure::failed("AMBIGUOUS", message, format!("name one with --org: {all}")))
        }
    }
}

fn never_silent(agreement: &Agreement, whose: &str) -> Failure {
    let message = format!("no rule of {} counts the silence of {whose}", agreement.id);
    let hint = format!("nobody has to be reminded; `escrow show {}` has its rules", agreement.id);
    Failure::failed("NOT_FOUND", message, hint)
}
