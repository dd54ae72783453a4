//! `acknowledge`: what became of a bundle that was handed out.

use crate::cli::commands::find;
use crate::cli::commands::release::{look_again, now, show_request, view};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::client::acts::release::{self, Matter};
use crate::client::session::Session;
use crate::domain::id::OrganisationName;
use crate::domain::request::DutyState;
use crate::domain::statement::Acknowledged;

/// `escrow acknowledge`
pub(super) async fn acknowledge(
    output: &Output,
    session: &mut Session,
    named: &str,
    what: Acknowledged,
) -> Result<Exit, Failure> {
    let (agreement, id) = find::request(session, named).await?;
    let matter = release::look(session, &agreement, &id).await?;
    let own = session.owner.path.organisation.clone();
    let acknowledgement = release::acknowledgement(session, &matter, what)?;
    let mut told = deed(&matter, &own, what);
    let falls_short = falls_short(&matter, &own, what);
    told.extend(falls_short.as_deref().map(|it| format!(" {it}")));
    output.ask(&format!("{}\nThis states, for good, that {told}", view(&matter).text()))?;
    release::acknowledge(session, acknowledgement).await?;
    let matter = look_again(output, session, &matter).await?;
    show_request(output, &matter)?;
    if let Some(falls_short) = falls_short {
        output.say(&falls_short);
    }
    Ok(Exit::Done)
}

/// What is stated, in the words of who states it.
fn deed(matter: &Matter, own: &OrganisationName, what: Acknowledged) -> String {
    match what {
        Acknowledged::Received => format!("{own} has received the bundle."),
        Acknowledged::Returned if matter.request.requester().organisation == *own => {
            format!("{own} has returned the bundle to the depositor.")
        }
        Acknowledged::Returned => format!("{own} has the bundle back."),
        Acknowledged::Reported => format!("{own} has reported what was done with the bundle."),
        Acknowledged::Destroyed => format!("{own} has destroyed the bundle, with every copy."),
    }
}

/// That what the requester's organisation did is not what it took upon itself. It is recorded all
/// the same: what happened has happened.
fn falls_short(matter: &Matter, own: &OrganisationName, what: Acknowledged) -> Option<String> {
    let (duty, state) = matter.request.duty(now())?;
    let is_done = matches!(state, DutyState::Fulfilled { .. }) || what == duty.kind.fulfilled_by();
    let is_deed = matter.request.requester().organisation == *own && what != Acknowledged::Received;
    (is_deed && !is_done).then(|| {
        format!(
            "It does not fulfil the duty, which is to {} it: that stays {} until {own} \
             acknowledges the {}.",
            duty.kind.word(),
            state.word(),
            duty.kind.fulfilled_by().noun(),
        )
    })
}
