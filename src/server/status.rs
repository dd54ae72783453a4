//! From the vault's answers to gRPC statuses. What is ours to know is logged here, once; what
//! goes out names cause and remedy and nothing internal.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::domain::chain::chain;
use crate::domain::refusal::Refusal;
use crate::store::ReadError;
use crate::vault::error::{BAD_BUNDLE, UNPROVEN};
use crate::vault::{BundleFault, Interruption, OverQuota, VaultError};
use crate::wire::convert::BadField;

/// The domain of our reasons in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "escrow-vault";

/// How long a call without a stream may take.
const CALL_MAX: Duration = Duration::from_secs(60);

/// Waits for a call that must not take forever, and answers it.
pub(super) async fn within<T>(
    work: impl Future<Output = Result<T, VaultError>>,
) -> Result<T, Status> {
    match tokio::time::timeout(CALL_MAX, work).await {
        Ok(done) => done.map_err(answer),
        Err(_) => Err(answer(VaultError::Stopping)),
    }
}

/// A status with reason and remedy.
pub(super) fn status(code: Code, reason: &str, message: String, hint: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, [("hint".to_owned(), hint.to_owned())]);
    Status::with_error_details(code, message, details)
}

/// The answer to a failed call.
pub(super) fn answer(error: VaultError) -> Status {
    let unchanged = "nothing was changed; try again, and tell the operator if it lasts";
    match error {
        VaultError::Refused(refusal) => {
            let hint = refusal.hint();
            status(code(&refusal), refusal.code(), chain(&refusal), &hint)
        }
        VaultError::Statement(fault) => {
            let hint = "sign again with the `escrow` program of this vault's version";
            status(Code::InvalidArgument, "BAD_STATEMENT", chain(&fault), hint)
        }
        VaultError::Unproven(fault) => {
            let hint = "make it again; do not reuse parts of other statements or files";
            status(Code::InvalidArgument, UNPROVEN, chain(&fault), hint)
        }
        VaultError::Bundle(fault) => {
            let hint = match &fault {
                BundleFault::Header(header) => header.hint(),
                BundleFault::NotAsStated(_) | BundleFault::Chunks => {
                    "deposit it again, and do not change the file meanwhile"
                }
            };
            status(Code::InvalidArgument, BAD_BUNDLE, chain(&fault), hint)
        }
        VaultError::Malformed(what) => {
            let hint = "use the `escrow` program of this vault's version";
            status(Code::InvalidArgument, "MALFORMED", what.to_owned(), hint)
        }
        VaultError::Unavailable => {
            let message = "the vault cannot do this now".to_owned();
            status(Code::Unavailable, "UNAVAILABLE", message, unchanged)
        }
        VaultError::Quota(over) => {
            let OverQuota { organisation, resource, used, limit, asked } = &over;
            tracing::info!(%organisation, %resource, used, limit, asked, "refused for a quota");
            over_quota(&over)
        }
        VaultError::TotalQuota => status(Code::ResourceExhausted, "QUOTA", error.to_string(), MORE),
        VaultError::NotUploaded => {
            let hint = "deposit it again: what is missing is uploaded then";
            status(Code::FailedPrecondition, "NOT_UPLOADED", error.to_string(), hint)
        }
        VaultError::Interrupted(Interruption::TakenOver) => {
            let hint = "nothing to do: the newer upload goes on";
            status(Code::Aborted, "TAKEN_OVER", error.to_string(), hint)
        }
        VaultError::Interrupted(Interruption::Stopping) => {
            let hint = "go on with it once the vault is back";
            status(Code::Unavailable, "INTERRUPTED", error.to_string(), hint)
        }
        VaultError::Full => {
            let message = "the vault's disk is full; nothing was changed".to_owned();
            let hint = "tell the operator; objections, withdrawals and revocations are taken still";
            status(Code::ResourceExhausted, "DISK_FULL", message, hint)
        }
        VaultError::SetBack => {
            let message = "the vault was set back to an earlier state and serves nobody".to_owned();
            let hint = "tell the operator, who has to recover it openly; keep your home directory";
            status(Code::DataLoss, "SET_BACK", message, hint)
        }
        VaultError::NewGeneration { .. } => {
            let hint = "ask the operator and another party what happened, then run `escrow resume`";
            status(Code::FailedPrecondition, "NEW_GENERATION", error.to_string(), hint)
        }
        VaultError::ContributionLost(_) => {
            let hint = "make the request again; whoever approved this one can approve that one";
            status(Code::DataLoss, "CONTRIBUTION_LOST", error.to_string(), hint)
        }
        VaultError::Stopping => {
            let message = "the vault did not finish; whether this was done is not known".to_owned();
            let hint = "look with `escrow show` once it is back, and try again if it was not";
            status(Code::Unavailable, "STOPPING", message, hint)
        }
        VaultError::Read(ReadError::Damaged { .. }) => {
            tracing::error!(error = chain(&error), "damage found; run `escrowd check`");
            let message = "what is stored was found damaged and is not handed out".to_owned();
            let hint = "tell the operator, who runs `escrowd check`";
            status(Code::DataLoss, "DAMAGED", message, hint)
        }
        VaultError::Read(ReadError::Index { .. }) => {
            tracing::error!(error = chain(&error), "index damaged; run `escrowd rebuild`");
            let message = "the vault's index is damaged; nothing is lost".to_owned();
            let hint = "tell the operator, who stops the vault and runs `escrowd rebuild`";
            status(Code::DataLoss, "DAMAGED", message, hint)
        }
        VaultError::Read(ReadError::Io(_)) | VaultError::Disk(_) | VaultError::Encoding(_) => {
            tracing::error!(error = chain(&error), "the call failed");
            let message = "the vault cannot do this now".to_owned();
            status(Code::Unavailable, "UNAVAILABLE", message, unchanged)
        }
    }
}

/// The answer to who has all that the operator grants.
pub(super) fn over_quota(over: &OverQuota) -> Status {
    status(Code::ResourceExhausted, "QUOTA", over.to_string(), MORE)
}

const MORE: &str = "ask the operator for more; objections, withdrawals, revocations and retrievals are \
                    taken still";

/// The answer to a message whose field is not what it must be.
pub(super) fn bad_field(field: BadField) -> Status {
    let hint = "use the `escrow` program of this vault's version";
    status(Code::InvalidArgument, "MALFORMED", field.to_string(), hint)
}

fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::NotFound(_) => Code::NotFound,
        Refusal::Already { .. }
        | Refusal::HasShare(_)
        | Refusal::AlreadyJoined(_)
        | Refusal::KeysTaken(_)
        | Refusal::OrganisationExists(_)
        | Refusal::DepositedBefore(_) => Code::AlreadyExists,
        Refusal::WrongKey(_)
        | Refusal::Pending(_)
        | Refusal::Revoked(_)
        | Refusal::NotAdministrator(_)
        | Refusal::NotInvited(_)
        | Refusal::NotDepositor(_)
        | Refusal::NotAmending(_)
        | Refusal::NotEntitled { .. }
        | Refusal::OwnObjection(_)
        | Refusal::OwnRequest(_) => Code::PermissionDenied,
        Refusal::Limit { .. } => Code::ResourceExhausted,
        Refusal::OtherLog
        | Refusal::LaterRules(_)
        | Refusal::Early { .. }
        | Refusal::Backdated { .. }
        | Refusal::Late { .. }
        | Refusal::TooLong
        | Refusal::Outdated { .. }
        | Refusal::Forked
        | Refusal::Mismatch(_)
        | Refusal::Unsound(_)
        | Refusal::PartyMissing(_)
        | Refusal::AgreementIs(_)
        | Refusal::Suspended(_)
        | Refusal::OriginUnproven
        | Refusal::DepositIs(_)
        | Refusal::NoSuchRule(_)
        | Refusal::NoAuthority
        | Refusal::TermOver { .. }
        | Refusal::NotAmendable
        | Refusal::NeverAmended(_)
        | Refusal::NotGranted { .. }
        | Refusal::DutyOfRule(_)
        | Refusal::DutyPast { .. }
        | Refusal::NotTriggered { .. }
        | Refusal::RemindedLately { .. }
        | Refusal::NoEvidence
        | Refusal::Settled(_)
        | Refusal::AccessOver { .. }
        | Refusal::FetchedOften(_)
        | Refusal::RequestIs(_) => Code::FailedPrecondition,
    }
}
