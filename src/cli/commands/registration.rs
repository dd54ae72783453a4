//! `register`, `registrations`, and `show` of one.

use std::path::PathBuf;

use crate::cli::commands::after::settled;
use crate::cli::commands::deposit::default_label;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, Progress, fields, size};
use crate::cli::view::RegistrationView;
use crate::client::acts::registration::{self, Document, Found, TOGETHER_MAX};
use crate::client::acts::stamp;
use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::crypto::timestamp::{Hash, Imprint};
use crate::domain::id::RegistrationId;
use crate::domain::registration::Registration;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// `escrow register`
pub(super) async fn register(
    output: &Output,
    session: &mut Session,
    paths: &[PathBuf],
    label: Option<Text>,
    stamped: Hash,
) -> Result<Exit, Failure> {
    if label.is_some() && paths.len() > 1 {
        let message = "--label names one document, and there are several";
        let hint = "leave it out, and each is called by its file's name; or register one at a time";
        return Err(Failure::usage(message, hint));
    }
    session.registrations().await?;
    let documents = read(output, paths, label, stamped)?;
    for document in &documents {
        if let Some(Registration { id, registered_at, .. }) =
            registration::before(session, document)
        {
            output.warn(format!(
                "the very same as {} was registered at {registered_at} as {id}; another \
                 registration proves nothing more: see `escrow show {id}`",
                document.label
            ));
        }
    }
    let shown: Vec<_> = documents.iter().map(what_is_stated).collect();
    output.ask(&format!(
        "{}\nThis states that {} has {} now. The content stays here: the vault learns what stands \
         above, and shows it to your colleagues alone.",
        shown.join("\n"),
        session.owner.path.organisation,
        if documents.len() == 1 { "this file" } else { "these files" }
    ))?;
    for together in documents.chunks(TOGETHER_MAX) {
        let ids = registration::register(session, together).await?;
        let looked = session.registrations().await.and_then(|()| made(session, &ids));
        let made = settled(output, session, looked, |session| made(session, &ids))?;
        let mut stamping = Stamping::default();
        for (registration, document) in made.iter().zip(together) {
            let stamped_at = stamping.of(session, registration, &document.imprint).await;
            let view = RegistrationView::new(registration, stamped_at);
            output.record(&view, |view| match documents.len() {
                1 => view.text(),
                _ => view.row().join("  "),
            })?;
        }
        stamping.end(output)?;
    }
    Ok(Exit::Done)
}

/// `escrow show`, of a registration
pub(super) async fn show(
    output: &Output,
    session: &Session,
    registration: &Registration,
) -> Result<(), Failure> {
    let mut stamping = Stamping::default();
    let imprint = Imprint::sha256(&registration.statement.sha256);
    let stamped_at = stamping.of(session, registration, &imprint).await;
    output.record(&RegistrationView::new(registration, stamped_at), RegistrationView::text)?;
    stamping.end(output)
}

/// Time-stamps as far as there are any: what is registered is told, whatever becomes of them.
#[derive(Default)]
struct Stamping {
    fault: Option<ClientError>,
}

impl Stamping {
    /// When it was stamped, by what is kept or else asked for now.
    async fn of(
        &mut self,
        session: &Session,
        registration: &Registration,
        imprint: &Imprint,
    ) -> Option<Timestamp> {
        let stamped = match stamp::kept(&session.home, registration) {
            // Once is enough to know that there are none now.
            Ok(None) if self.fault.is_some() => return None,
            Ok(None) => stamp::stamp(session, registration, imprint).await.map(Some),
            kept => kept,
        };
        stamped.unwrap_or_else(|fault| {
            self.fault.get_or_insert(fault);
            None
        })
    }

    /// Says what has failed. What cannot be true is no warning.
    fn end(self, output: &Output) -> Result<(), Failure> {
        match self.fault {
            None => Ok(()),
            Some(untrue @ ClientError::Untrue(_)) => Err(untrue.into()),
            Some(fault) => {
                let again = "`escrow show` with the registration's id asks again".to_owned();
                let is_of_home =
                    matches!(fault, ClientError::Home { .. } | ClientError::KeyFile(_));
                let next = if is_of_home { fault.hint() } else { again };
                output.warn(format!("registered, but not time-stamped: {fault}; {next}"));
                Ok(())
            }
        }
    }
}

/// Reads what was named, in this order; before anything is read, all of it has been looked at.
fn read(
    output: &Output,
    paths: &[PathBuf],
    label: Option<Text>,
    stamped: Hash,
) -> Result<Vec<Document>, Failure> {
    let found = paths.iter().map(|path| {
        let found = Found::at(path)?;
        let label = label.clone().map_or_else(|| default_label(path), Ok)?;
        Ok((found, label))
    });
    let found = found.collect::<Result<Vec<_>, Failure>>()?;
    let bytes = found.iter().map(|(found, _)| found.size()).sum();
    let progress = Progress::new("reading", bytes, output);
    let read = found
        .into_iter()
        .map(|(found, label)| found.read(label, stamped, |read| progress.add(read)));
    Ok(read.collect::<Result<Vec<_>, ClientError>>()?)
}

fn what_is_stated(document: &Document) -> String {
    fields(&[
        ("label", document.label.to_string()),
        ("size", format!("{} ({} bytes)", size(document.size), document.size)),
        ("SHA-256", document.sha256.to_string()),
    ])
}

fn made(session: &Session, ids: &[RegistrationId]) -> Result<Vec<Registration>, ClientError> {
    let shown = |id: &RegistrationId| {
        let unseen = || ClientError::Untrue(format!("{id} is acknowledged, but not shown"));
        session.states().registration(id).cloned().ok_or_else(unseen)
    };
    ids.iter().map(shown).collect()
}

/// `escrow registrations`
pub(super) async fn list(output: &Output, session: &mut Session) -> Result<Exit, Failure> {
    session.registrations().await?;
    let states = session.states();
    let mut registrations: Vec<_> = states.registrations().collect();
    // In the order of their stream: what was registered together has one time.
    registrations.sort_by_key(|registration| {
        states.statement(&registration.statement_sha256).map(|accepted| accepted.sequence)
    });
    let mut views = Vec::with_capacity(registrations.len());
    for registration in registrations {
        let stamped_at = stamp::kept(&session.home, registration).unwrap_or_else(|fault| {
            output.warn(format!("{fault}; {}", fault.hint()));
            None
        });
        views.push(RegistrationView::new(registration, stamped_at));
    }
    let head = ["REGISTRATION", "SIZE", "REGISTERED", "SHA-256", "LABEL"];
    output.list(&views, &head, RegistrationView::row)?;
    Ok(Exit::Done)
}
