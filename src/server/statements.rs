//! The statement service: signed statements handed in.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::domain::event::SignedText;
use crate::server::caller::talker;
use crate::server::status::{bad_field, status, within};
use crate::store::Store;
use crate::vault::{Done, Vault};
use crate::wire::limit;
use crate::wire::v1::statement_service_server::StatementService;
use crate::wire::v1::{SubmitRequest, SubmitResponse};

/// The statement service of a vault.
pub(super) struct Statements<S: Store>(pub(super) Arc<Vault<S>>);

#[tonic::async_trait]
impl<S: Store> StatementService for Statements<S> {
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let talker = talker(&request)?;
        let SubmitRequest { statements, attachments } = request.into_inner();
        if statements.len() > limit::STATEMENTS_MAX || attachments.len() > limit::ATTACHMENTS_MAX {
            let message = "too many statements or attachments together".to_owned();
            let hint = "hand in at most 8 statements and 1024 attachments at a time";
            return Err(status(tonic::Code::InvalidArgument, "MALFORMED", message, hint));
        }
        let group = statements.into_iter().map(SignedText::try_from);
        let group = group.collect::<Result<_, _>>().map_err(bad_field)?;
        let Done { entries, head } = within(self.0.submit(talker, group, attachments)).await?;
        let entries = entries.into_iter().map(Into::into).collect();
        Ok(Response::new(SubmitResponse { entries, head: Some(head.into()) }))
    }
}
