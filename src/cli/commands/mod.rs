//! The commands, one file a subject.

pub(super) mod agreement;
pub(super) mod audit;
pub(super) mod deposit;
mod find;
pub(super) mod identity;
pub(super) mod release;

use crate::cli::args::{AgreementCommand, Command};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::client::session::Session;
use crate::domain::statement::Withdrawn;

/// Runs a command of somebody who has joined.
pub(super) async fn run(
    output: &Output,
    session: &mut Session,
    command: Command,
) -> Result<Exit, Failure> {
    match command {
        Command::Invite { org, member, valid } => {
            identity::invite(output, session, org, member, valid).await
        }
        Command::Whoami => identity::whoami(output, session).await,
        Command::Status => identity::status(output, session).await,
        Command::Members { org } => identity::members(output, session, org).await,
        Command::Confirm { member, administrator } => {
            identity::confirm(output, session, &member, administrator).await
        }
        Command::Agreement(command) => match command {
            AgreementCommand::Template { name } => agreement::template(output, name.as_deref()),
            AgreementCommand::Propose { terms } => {
                agreement::propose(output, session, &terms).await
            }
            AgreementCommand::List => agreement::list(output, session).await,
            AgreementCommand::Accept { agreement } => {
                agreement::accept(output, session, &agreement).await
            }
            AgreementCommand::Decline { agreement } => {
                agreement::decline(output, session, &agreement).await
            }
            AgreementCommand::Reseal { agreement } => {
                agreement::reseal(output, session, &agreement).await
            }
            AgreementCommand::Terminate { agreement } => {
                agreement::terminate(output, session, &agreement).await
            }
        },
        Command::Seal { agreement, what, out } => {
            deposit::seal(output, session, &agreement, &what, &out).await
        }
        Command::Deposit { agreement, what, label, tar } => {
            deposit::deposit(output, session, &agreement, &what, label, tar).await
        }
        Command::Deposits { agreement } => deposit::list(output, session, &agreement).await,
        Command::Show { id } => release::show(output, session, &id).await,
        Command::Request { deposit, rule, purpose, evidence } => {
            release::request(output, session, &deposit, rule, purpose, &evidence).await
        }
        Command::Requests { waiting_for_me } => {
            release::list(output, session, waiting_for_me).await
        }
        Command::Approve { request } => release::approve(output, session, &request).await,
        Command::Object { request, reason } => {
            release::object(output, session, &request, reason).await
        }
        Command::Withdraw { request, objection } => {
            let withdrawn = if objection { Withdrawn::Objection } else { Withdrawn::Request };
            release::withdraw(output, session, &request, withdrawn).await
        }
        Command::Retrieve { request, out, raw } => {
            release::retrieve(output, session, &request, &out, raw).await
        }
        Command::Audit { agreement } => audit::audit(output, session, &agreement).await,
        Command::Join { .. } | Command::Trust { .. } | Command::Demo { .. } => {
            Err(Failure::usage("this command takes no connection", "this is a defect; report it"))
        }
    }
}
