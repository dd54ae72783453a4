//! The commands, one file a subject.

mod acknowledge;
mod after;
pub(super) mod agreement;
mod amendment;
mod approve;
mod attest;
pub(super) mod audit;
pub(super) mod deposit;
mod export;
mod find;
pub(super) mod identity;
pub(super) mod receipt;
mod registration;
pub(super) mod release;
mod resume;
mod status;
mod watch;

use crate::cli::args::MemberCommand;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::client::session::Session;
use crate::crypto::timestamp::Hash;
use crate::domain::id::MemberPath;
use crate::domain::statement::{Reason, Withdrawn};

/// Runs a command of somebody who has joined.
pub(super) async fn run(
    output: &Output,
    session: &mut Session,
    command: MemberCommand,
) -> Result<Exit, Failure> {
    refuse_operator(session, needs_organisation(&command))?;
    match command {
        MemberCommand::Invite { org, member, valid } => {
            identity::invite(output, session, org, member, valid).await
        }
        MemberCommand::Status => status::status(output, session).await,
        MemberCommand::Members { org } => identity::members(output, session, org).await,
        MemberCommand::Confirm { member, administrator } => {
            identity::confirm(output, session, &member, administrator).await
        }
        MemberCommand::Resume => resume::resume(output, session).await,
        MemberCommand::Revoke { member, left: _, compromised_since } => {
            let reason = compromised_since.map_or(Reason::Left, Reason::CompromisedSince);
            identity::revoke(output, session, &member, reason).await
        }
        MemberCommand::Seal { agreement, what, out } => {
            deposit::seal(output, session, &agreement, &what, &out).await
        }
        MemberCommand::Deposit { agreement, what, label, tar, retry_for } => {
            let how = (label, retry_for);
            deposit::deposit(output, session, &agreement, &what, how, tar).await
        }
        MemberCommand::Deposits { agreement, limit, after } => {
            deposit::list(output, session, &agreement, limit, after.as_deref()).await
        }
        MemberCommand::Register { paths, label, hash } => {
            let hash = hash.map_or(Hash::Sha256, Hash::from);
            registration::register(output, session, &paths, label, hash).await
        }
        MemberCommand::Registrations => registration::list(output, session).await,
        MemberCommand::Show { id } => release::show(output, session, &id).await,
        MemberCommand::Request { deposit, rule, purpose, evidence, duty } => {
            let duty = duty.duty();
            release::request(output, session, &deposit, (rule, purpose, duty), &evidence).await
        }
        MemberCommand::Requests { waiting_for_me, overdue } => {
            release::list(output, session, waiting_for_me, overdue).await
        }
        MemberCommand::Acknowledge { request, what } => {
            acknowledge::acknowledge(output, session, &request, what.what()).await
        }
        MemberCommand::Approve { request, notified, wait } => {
            approve::approve(output, session, &request, notified.as_deref(), wait).await
        }
        MemberCommand::Watch { request: Some(request), until } => {
            watch::one(output, session, &request, until.map(|until| until.0)).await
        }
        MemberCommand::Watch { request: None, .. } => watch::all(output, session).await,
        MemberCommand::Attend => watch::attend(output, session).await,
        MemberCommand::Object { request, reason } => {
            release::object(output, session, &request, reason).await
        }
        MemberCommand::Attest { request, what, evidence } => {
            attest::attest(output, session, &request, what.what(), &evidence).await
        }
        MemberCommand::Settle { request, basis, evidence } => {
            attest::settle(output, session, &request, basis.basis(), &evidence).await
        }
        MemberCommand::Withdraw { request, objection } => {
            let withdrawn = if objection { Withdrawn::Objection } else { Withdrawn::Request };
            release::withdraw(output, session, &request, withdrawn).await
        }
        MemberCommand::Retrieve { request, out, raw } => {
            release::retrieve(output, session, &request, &out, raw).await
        }
        MemberCommand::Remind { agreement, org } => {
            amendment::remind(output, session, &agreement, org).await
        }
        MemberCommand::Receipt { id, out } => receipt::receipt(output, session, &id, &out).await,
        MemberCommand::Audit { agreement, only, export } => {
            audit::audit(output, session, &agreement, &only, export.as_deref()).await
        }
    }
}

/// Whether a command is about agreements, registrations or colleagues, which the operator has none of.
fn needs_organisation(command: &MemberCommand) -> bool {
    match command {
        // An operator's home of before a recovery goes on like any other.
        MemberCommand::Invite { .. }
        | MemberCommand::Status
        | MemberCommand::Members { .. }
        | MemberCommand::Resume => false,
        MemberCommand::Confirm { .. }
        | MemberCommand::Revoke { .. }
        | MemberCommand::Seal { .. }
        | MemberCommand::Deposit { .. }
        | MemberCommand::Deposits { .. }
        | MemberCommand::Register { .. }
        | MemberCommand::Registrations
        | MemberCommand::Show { .. }
        | MemberCommand::Request { .. }
        | MemberCommand::Requests { .. }
        | MemberCommand::Approve { .. }
        | MemberCommand::Object { .. }
        | MemberCommand::Attest { .. }
        | MemberCommand::Settle { .. }
        | MemberCommand::Withdraw { .. }
        | MemberCommand::Retrieve { .. }
        | MemberCommand::Acknowledge { .. }
        | MemberCommand::Watch { .. }
        | MemberCommand::Attend
        | MemberCommand::Remind { .. }
        | MemberCommand::Receipt { .. }
        | MemberCommand::Audit { .. } => true,
    }
}

/// The operator runs the vault and is a party of nothing.
fn refuse_operator(session: &Session, needs_organisation: bool) -> Result<(), Failure> {
    if needs_organisation && session.owner.path == MemberPath::operator() {
        let message = "the operator belongs to no organisation: it has no agreements, requests, \
                       registrations or colleagues";
        let hint = "use a member's home: --home DIR; the operator invites organisations, and \
                    `escrowd check` verifies what is stored";
        return Err(Failure::failed("OPERATOR", message, hint));
    }
    Ok(())
}
