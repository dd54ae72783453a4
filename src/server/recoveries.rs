//! The recovery service: what others remember of a vault that was set back.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::ledger::Entry;
use crate::ledger::head::SignedHead;
use crate::server::caller::talker;
use crate::server::status::{answer, bad_field, status, within};
use crate::server::uploads::next;
use crate::store::Store;
use crate::vault::{Remembered, Vault, VaultError};
use crate::wire::convert::present;
use crate::wire::limit;
use crate::wire::v1::hand_in_request::Part;
use crate::wire::v1::recovery_service_server::RecoveryService;
use crate::wire::v1::{HandInRequest, HandInResponse, ReachRequest, ReachResponse};

/// Calls that hand in at a time: each holds up to [`limit::HAND_IN_BYTES_MAX`] in memory.
const CALLS_MAX: usize = 1;

/// The recovery service of a vault.
pub(super) struct Recoveries<S: Store> {
    vault: Arc<Vault<S>>,
    calls: Semaphore,
}

impl<S: Store> Recoveries<S> {
    pub(super) fn new(vault: Arc<Vault<S>>) -> Self {
        Self { vault, calls: Semaphore::new(CALLS_MAX) }
    }
}

#[tonic::async_trait]
impl<S: Store> RecoveryService for Recoveries<S> {
    async fn reach(
        &self,
        request: Request<ReachRequest>,
    ) -> Result<Response<ReachResponse>, Status> {
        talker(&request)?;
        let head = present(request.into_inner().head, "head").and_then(SignedHead::try_from);
        let head = head.map_err(bad_field)?;
        let (sequence, leads_there) = self.vault.reach(&head).map_err(answer)?;
        Ok(Response::new(ReachResponse { sequence, leads_there }))
    }

    async fn hand_in(
        &self,
        request: Request<Streaming<HandInRequest>>,
    ) -> Result<Response<HandInResponse>, Status> {
        talker(&request)?;
        let _place = self.calls.acquire().await.map_err(|_| answer(VaultError::Stopping))?;
        let mut parts = request.into_inner();
        let (mut remembered, mut bytes) = (Remembered::default(), 0);
        while let Some(message) = next(&mut parts).await? {
            bytes += prost::Message::encoded_len(&message);
            if bytes > limit::HAND_IN_BYTES_MAX {
                let message = "more than 64 MiB were handed in together".to_owned();
                let hint = "hand in what concerns one agreement at a time";
                return Err(status(Code::ResourceExhausted, "TOO_MUCH", message, hint));
            }
            match message.part {
                Some(Part::Head(head)) => {
                    remembered.heads.push(head.try_into().map_err(bad_field)?);
                }
                Some(Part::Entry(entry)) => {
                    remembered.entries.push(Entry::try_from(entry).map_err(bad_field)?);
                }
                Some(Part::Attachment(bytes)) => remembered.attachments.push(bytes),
                None => return Err(answer(VaultError::Malformed("an empty part"))),
            }
        }
        let handed_in = within(self.vault.hand_in(remembered)).await?;
        Ok(Response::new(HandInResponse { handed_in }))
    }
}
