//! `agreement template`, `check`, `propose`, `list`, `terms`, `accept`, `decline`, `reseal`,
//! `terminate`. What amends one is in `amendment.rs`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::args::{KnownOfHouses, MemberAgreementCommand};
use crate::cli::commands::after::settled;
use crate::cli::commands::{amendment as amending, find, refuse_operator, release};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, count};
use crate::cli::view::{self, AgreementView};
use crate::client::acts::release::evidence;
use crate::client::acts::{agreement, amendment};
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::client::terms_text::{self, Drafted, TEMPLATES};
use crate::domain::advice::{self, Code, Finding, Known, Severity};
use crate::domain::agreement::Agreement;
use crate::domain::id::{AgreementId, MemberPath, OrganisationName};
use crate::domain::soundness::TooFewMembers;
use crate::domain::terms::Terms;

/// `escrow agreement template`
pub(crate) fn template(output: &Output, name: Option<&str>) -> Result<Exit, Failure> {
    let name = name.unwrap_or("three-party");
    match TEMPLATES.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => output.text(text).map(|()| Exit::Done),
        None => {
            let names = TEMPLATES.map(|(name, _)| name).join(", ");
            let message = format!("there is no template named {name}");
            Err(Failure::failed("NO_TEMPLATE", message, format!("there are: {names}")))
        }
    }
}

/// `escrow agreement check`
pub(crate) fn check(output: &Output, path: &Path, known: KnownOfHouses) -> Result<Exit, Failure> {
    let drafted = terms_text::read_unpinned(&written(path)?, path)?;
    let advice = advise(&drafted.terms, known)?;
    let mut found = unusable_files(drafted);
    found.extend(advice);
    for finding in &found {
        output.record(finding, ToString::to_string)?;
    }
    let errors = found.iter().filter(|finding| finding.severity == Severity::Error).count();
    match errors {
        0 => output.say("Nothing is wrong with these terms; advice is for you to weigh."),
        errors => output.say(&format!("{} to put right.", count(errors, "error", "errors"))),
    }
    Ok(if errors == 0 { Exit::Done } else { Exit::Failed })
}

/// What is to be told about terms, with what is known of the houses besides.
fn advise(terms: &Terms, known: KnownOfHouses) -> Result<Vec<Finding>, Failure> {
    let KnownOfHouses { operator, one_roof } = known;
    if let Some(operator) = operator.as_ref().filter(|who| terms.role_of(who).is_none()) {
        let named = terms.parties.iter().find(|(role, _)| role.as_str() == operator.as_str());
        if let Some((role, who)) = named {
            let who: Vec<_> = who.iter().map(ToString::to_string).collect();
            let message = format!("--operator names {role}, which is a role in these terms");
            return Err(Failure::usage(message, format!("its organisation is {}", who.join(", "))));
        }
    }
    let one_roof: Vec<_> = one_roof.into_iter().map(|group| group.0).collect();
    let is_known =
        |who: &&OrganisationName| terms.role_of(who).is_some() || operator.as_ref() == Some(*who);
    if let Some(stranger) = one_roof.iter().flatten().find(|who| !is_known(who)) {
        let message = format!("--one-roof names {stranger}, which is no party of these terms");
        return Err(Failure::usage(message, "name parties, and whoever --operator names"));
    }
    Ok(advice::advise(terms, release::now(), &Known { operator, one_roof }))
}

/// The files that terms name and that `propose` could not use.
fn unusable_files(drafted: Drafted) -> Vec<Finding> {
    let contract = drafted.contract.as_deref().map(evidence).transpose().err();
    let stamps = drafted.complete(None).err();
    let finding = |fault: ClientError| Finding {
        severity: Severity::Error,
        code: Code::UnusableFile,
        rule: None,
        why: fault.to_string(),
        fix: fault.hint(),
    };
    contract.into_iter().chain(stamps).map(finding).collect()
}

/// Runs a command of somebody who has joined.
pub(crate) async fn run(
    output: &Output,
    session: &mut Session,
    command: MemberAgreementCommand,
) -> Result<Exit, Failure> {
    use MemberAgreementCommand as Command;
    refuse_operator(session, true)?;
    match command {
        Command::Propose { terms, known } => propose(output, session, &terms, known).await,
        Command::List => list(output, session).await,
        Command::Terms { agreement } => terms(output, session, &agreement).await,
        Command::Accept { agreement } => accept(output, session, &agreement).await,
        Command::Decline { agreement } => decline(output, session, &agreement).await,
        Command::Reseal { agreement } => reseal(output, session, &agreement).await,
        Command::Amend { agreement, terms } => {
            amending::amend(output, session, &agreement, &terms).await
        }
        Command::Countersign { agreement, amendment } => {
            amending::countersign(output, session, &agreement, amendment.as_deref()).await
        }
        Command::Terminate { agreement } => terminate(output, session, &agreement).await,
    }
}

/// A file of terms, as it was written.
pub(in crate::cli) fn written(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(terms_text::BYTES_MAX + 1).read_to_end(&mut bytes));
    let shown = path.display();
    let hint = "name a file of terms; `escrow agreement template` prints some to start from";
    let read =
        read.map_err(|fault| Failure::failed("UNREADABLE", format!("{shown}: {fault}"), hint))?;
    if read as u64 > terms_text::BYTES_MAX {
        return Err(Failure::failed("BAD_TERMS", format!("{shown} is larger than 64 KiB"), hint));
    }
    String::from_utf8(bytes).map_err(|_| {
        let hint = "save it as UTF-8, which editors offer as its encoding";
        Failure::failed("BAD_TERMS", format!("{shown} is not a text in UTF-8"), hint)
    })
}

/// `escrow agreement propose`
async fn propose(
    output: &Output,
    session: &mut Session,
    path: &Path,
    known: KnownOfHouses,
) -> Result<Exit, Failure> {
    let terms = read_terms(session, path)?;
    let advice = advise(&terms, known)?;
    if let Some(wrong) = advice.iter().find(|finding| finding.severity == Severity::Error) {
        return Err(Failure::failed("BAD_TERMS", &wrong.why, &wrong.fix));
    }
    let surveyed = agreement::survey(session, &terms).await?;
    warn(output, &surveyed.warnings);
    if output.yes {
        advice.iter().for_each(|finding| output.advise(finding));
    }
    let advice = advice.iter().map(|finding| format!("{finding}\n")).collect::<String>();
    output.ask(&format!(
        "{}\n{advice}This proposes these terms to the parties and deals their release key. Compare \
         the fingerprints with them before you sign.",
        view::terms_text(&terms)
    ))?;
    let id = agreement::propose(session, terms, &surveyed).await?;
    show(output, session, &id).await?;
    output.say(&format!("Each other party now runs `escrow agreement accept {id}`."));
    Ok(Exit::Done)
}

/// Terms from a file, with the fingerprints that this home trusts.
pub(super) fn read_terms(session: &Session, path: &Path) -> Result<Terms, Failure> {
    let text = written(path)?;
    let drafted = terms_text::read(&text, path, &session.home.pins()?)?;
    let contract = drafted.contract.as_deref().map(evidence).transpose()?;
    Ok(drafted.complete(contract.map(|contract| contract.sha256))?)
}

pub(super) fn warn(output: &Output, warnings: &[TooFewMembers]) {
    warnings.iter().for_each(|warning| output.warn(warning));
}

/// `escrow agreement list`
async fn list(output: &Output, session: &mut Session) -> Result<Exit, Failure> {
    let agreements = session.agreements().await?;
    let views: Vec<_> =
        agreements.iter().map(|a| AgreementView::new(a, &session.vault.log)).collect();
    output.list(&views, &["AGREEMENT", "STATE", "TITLE", "PARTIES"], AgreementView::row)?;
    Ok(Exit::Done)
}

/// `escrow agreement terms`
async fn terms(output: &Output, session: &mut Session, named: &str) -> Result<Exit, Failure> {
    let found = find::agreement(session, named).await?;
    let Agreement { id, version, terms_sha256, .. } = &found;
    let whose = format!("# Terms of {id}, version {version}, SHA-256 {terms_sha256}.\n\n");
    output.text(&format!("{whose}{}", terms_text::write(&found.terms)))?;
    Ok(Exit::Done)
}

/// `escrow agreement accept`
async fn accept(output: &Output, session: &mut Session, named: &str) -> Result<Exit, Failure> {
    let found = find::agreement(session, named).await?;
    let own = session.owner.path.organisation.clone();
    agreement::may_accept(&found, &own).map_err(ClientError::from)?;
    let terms = AgreementView::new(&found, &session.vault.log).text();
    let pins = session.home.pins()?;
    let new = found.terms.fingerprints.keys().filter(|name| !pins.contains_key(*name));
    let new: Vec<_> = new.map(ToString::to_string).collect();
    let trusts = match new.as_slice() {
        [] => String::new(),
        names => format!(
            " From then on this home trusts {} by the fingerprint above: compare it by telephone \
             or on paper before you sign.",
            names.join(" and ")
        ),
    };
    warn(output, &agreement::warnings(session, &found.terms));
    output.ask(&format!(
        "{terms}\nThis countersigns these terms and their release key for {own}.{trusts}"
    ))?;
    agreement::accept(session, &found.id).await?;
    let accepted = show(output, session, &found.id).await?;
    output.say(&match accepted.awaited().next() {
        None => "All have accepted: the agreement is active.".to_owned(),
        Some(_) => {
            let awaited: Vec<_> = accepted.awaited().map(ToString::to_string).collect();
            format!("Still to accept: {}.", awaited.join(", "))
        }
    });
    Ok(Exit::Done)
}

/// `escrow agreement decline`
async fn decline(output: &Output, session: &mut Session, named: &str) -> Result<Exit, Failure> {
    let found = find::agreement(session, named).await?;
    let own = &session.owner.path.organisation;
    found.is_proposed().map_err(ClientError::from)?;
    output.ask(&format!("This declines \"{}\" for {own}, for good.", found.terms.title))?;
    agreement::decline(session, &found.id).await?;
    show(output, session, &found.id).await?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct ResealedView {
    agreement: AgreementId,
    members: Vec<MemberPath>,
}

/// `escrow agreement reseal`
async fn reseal(output: &Output, session: &mut Session, named: &str) -> Result<Exit, Failure> {
    let found = find::agreement(session, named).await?;
    let own = &session.owner.path.organisation;
    output.ask(&format!(
        "This seals the share of {own} in \"{}\" to every confirmed colleague who lacks it.",
        found.terms.title
    ))?;
    let members = agreement::reseal(session, &found.id).await?;
    let view = ResealedView { agreement: found.id, members };
    output.record(&view, |view| match view.members.as_slice() {
        [] => "every confirmed colleague has the share already".to_owned(),
        members => {
            let names: Vec<_> = members.iter().map(ToString::to_string).collect();
            format!("the share was sealed to {}", names.join(", "))
        }
    })?;
    Ok(Exit::Done)
}

/// `escrow agreement terminate`
async fn terminate(output: &Output, session: &mut Session, named: &str) -> Result<Exit, Failure> {
    let found = find::agreement(session, named).await?;
    let own = &session.owner.path.organisation;
    agreement::may_terminate(&found, own).map_err(ClientError::from)?;
    output.ask(&format!(
        "This signs for the end of \"{}\" for {own}. When every party has, there are no more \
         deposits and requests; open requests and stored bundles stay.",
        found.terms.title
    ))?;
    agreement::terminate(session, &found.id).await?;
    let ended = show(output, session, &found.id).await?;
    let awaited = ended.terms.organisations().filter(|who| !ended.terminated.contains_key(*who));
    let names: Vec<_> = awaited.map(ToString::to_string).collect();
    if !names.is_empty() {
        output.say(&format!("Still to sign for the end: {}.", names.join(", ")));
    }
    Ok(Exit::Done)
}

/// Puts out how an agreement stands after an act that was acknowledged.
pub(super) async fn show(
    output: &Output,
    session: &mut Session,
    id: &AgreementId,
) -> Result<Agreement, Failure> {
    let looked = session.agreement(id).await;
    let agreement = settled(output, session, looked, |session| session.believed_agreement(id))?;
    output.record(&standing(session, &agreement), AgreementView::text)?;
    Ok(agreement)
}

/// An agreement with what waits for somebody in it.
pub(super) fn standing(session: &Session, agreement: &Agreement) -> AgreementView {
    let pending = amendment::pending(session, agreement);
    AgreementView::new(agreement, &session.vault.log).standing(agreement, &pending, release::now())
}
