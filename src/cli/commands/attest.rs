//! `attest`, `settle`: what people say of a request, and what shows it.

use std::path::PathBuf;

use crate::cli::commands::find;
use crate::cli::commands::release::{look_again, show_request, view};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::view::document;
use crate::client::acts::{attest as acts, release};
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::domain::statement::{Attested, Basis, Evidence};

/// `escrow attest`
pub(super) async fn attest(
    output: &Output,
    session: &mut Session,
    named: &str,
    what: Attested,
    evidence: &[PathBuf],
) -> Result<Exit, Failure> {
    let (agreement, id) = find::request(session, named).await?;
    let evidence = documents(evidence)?;
    let matter = release::look(session, &agreement, &id).await?;
    let told = match &what {
        Attested::Event(kind) => format!("this has happened: {kind}"),
        Attested::Order => "a court or a regulator has ordered the release".to_owned(),
    };
    let shown = shown(&evidence);
    let attestation = acts::attestation(session, &matter, what, evidence)?;
    let text = view(&matter).text();
    output.ask(&format!("{text}\nThis attests, for good, that {told}.{shown}"))?;
    acts::attest(session, attestation).await?;
    let matter = look_again(output, session, &matter).await?;
    show_request(output, &matter)?;
    Ok(Exit::Done)
}

/// `escrow settle`
pub(super) async fn settle(
    output: &Output,
    session: &mut Session,
    named: &str,
    basis: Basis,
    evidence: &[PathBuf],
) -> Result<Exit, Failure> {
    let (agreement, id) = find::request(session, named).await?;
    let evidence = documents(evidence)?;
    let matter = release::look(session, &agreement, &id).await?;
    let shown = shown(&evidence);
    let settlement = acts::settlement(session, &matter, basis, evidence)?;
    let standing = matter.request.standing_objections();
    let whose = standing.map(|objection| objection.by.organisation.to_string());
    let whose = whose.collect::<Vec<_>>().join(" and of ");
    output.ask(&format!(
        "{}\nThis states, for good, that the objection of {whose} is settled by {}, so that the \
         request may go on.{shown}",
        view(&matter).text(),
        basis.noun(),
    ))?;
    acts::settle(session, settlement).await?;
    let matter = look_again(output, session, &matter).await?;
    show_request(output, &matter)?;
    Ok(Exit::Done)
}

fn documents(paths: &[PathBuf]) -> Result<Vec<Evidence>, ClientError> {
    paths.iter().map(|path| release::evidence(path)).collect()
}

/// By what it is shown, behind what is stated.
fn shown(evidence: &[Evidence]) -> String {
    match evidence {
        [] => String::new(),
        documents => {
            let documents = documents.iter().map(|e| format!("\n    {}", document(e)));
            format!(" It is shown by these, which stay with you:{}", documents.collect::<String>())
        }
    }
}
