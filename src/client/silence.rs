//! How long the vault may keep a client waiting. A connection that is alive says nothing of
//! whether an answer will ever come.

use std::time::Duration;

use tonic::Status;

use crate::client::error::ClientError;

/// How long one reply, or the next part of one, may take: longer than the vault gives itself.
pub const REPLY_MAX: Duration = Duration::from_secs(90);

/// Waits for a reply, or for the next part of one.
pub(super) async fn answered<T>(
    reply: impl Future<Output = Result<T, Status>>,
) -> Result<T, ClientError> {
    answered_within(REPLY_MAX, reply).await
}

/// Waits for a reply that may take longer.
pub(super) async fn answered_within<T>(
    limit: Duration,
    reply: impl Future<Output = Result<T, Status>>,
) -> Result<T, ClientError> {
    let silent = || ClientError::Answered {
        code: "UNREACHABLE".to_owned(),
        message: format!("the vault gave no answer for {} s", limit.as_secs()),
        hint: "try again; whether it was done is not known until `escrow show` tells".to_owned(),
        unreachable: true,
    };
    Ok(tokio::time::timeout(limit, reply).await.map_err(|_elapsed| silent())??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_never_answers_is_given_up() {
        let never = std::future::pending::<Result<(), Status>>();
        let given_up = answered_within(Duration::ZERO, never).await.unwrap_err();
        assert!(given_up.may_pass() && given_up.code() == "UNREACHABLE", "{given_up}");
        let at_once = answered_within(Duration::ZERO, std::future::ready(Ok(7))).await;
        assert_eq!(at_once.unwrap(), 7);
    }
}
