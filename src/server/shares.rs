//! The share service: sealed shares on their way to their members.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::domain::id::AgreementId;
use crate::domain::refusal::Refusal;
use crate::server::caller::talker;
use crate::server::status::{answer, within};
use crate::store::Store;
use crate::vault::Vault;
use crate::wire::v1::share_service_server::ShareService;
use crate::wire::v1::{FetchRequest, FetchResponse};

/// The share service of a vault.
pub(super) struct Shares<S: Store>(pub(super) Arc<Vault<S>>);

#[tonic::async_trait]
impl<S: Store> ShareService for Shares<S> {
    async fn fetch(
        &self,
        request: Request<FetchRequest>,
    ) -> Result<Response<FetchResponse>, Status> {
        let talker = talker(&request)?;
        let agreement: AgreementId = request
            .into_inner()
            .agreement
            .parse()
            .map_err(|_| answer(Refusal::NotFound("that agreement".to_owned()).into()))?;
        let sealed = within(self.0.share(talker, agreement)).await?;
        Ok(Response::new(FetchResponse { sealed_share: sealed.into() }))
    }
}
