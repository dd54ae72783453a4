//! The identity service: joining and renewing, the only calls without a client certificate.

use std::sync::Arc;

use tonic::{Code, Request, Response, Status};

use crate::domain::event::SignedText;
use crate::server::ca::{Authority, CsrFault};
use crate::server::peer::Subject;
use crate::server::status::{answer, bad_field, status};
use crate::store::Store;
use crate::vault::{Talker, Vault};
use crate::wire::convert::present;
use crate::wire::v1::identity_service_server::IdentityService;
use crate::wire::v1::{
    DescribeRequest, DescribeResponse, JoinRequest, JoinResponse, RenewRequest, RenewResponse, VaultDescription,
};
use crate::wire::limit;

/// The identity service of a vault.
pub(super) struct Identities<S: Store> {
    pub(super) vault: Arc<Vault<S>>,
    pub(super) authority: Arc<Authority>,
}

#[tonic::async_trait]
impl<S: Store> IdentityService for Identities<S> {
    async fn describe(
        &self,
        _: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let founded = self.vault.founded().map_err(answer)?;
        let log = self.vault.log();
        let vault = VaultDescription {
            origin: log.origin.to_string(),
            generation: log.generation,
            ledger_key: founded.ledger_key.0.to_vec().into(),
            operator_key: founded.operator_key.0.to_vec().into(),
            ca_certificate: self.authority.certificate_der().to_vec().into(),
        };
        Ok(Response::new(DescribeResponse { vault: Some(vault) }))
    }

    async fn join(
        &self,
        request: Request<JoinRequest>,
    ) -> Result<Response<JoinResponse>, Status> {
        let JoinRequest { secret, statements, certificate_request } = request.into_inner();
        // A bad certificate request must not spend the invitation.
        self.authority.check_csr(&certificate_request).map_err(|fault| bad_request(&fault))?;
        let group = statements.into_iter().take(limit::STATEMENTS_MAX).map(SignedText::try_from);
        let group = group.collect::<Result<_, _>>().map_err(bad_field)?;
        let joined = self.vault.join(&secret, group, &certificate_request).await;
        let (path, id) = joined.map_err(answer)?;
        let certificate = self.certify(&certificate_request, Subject::Member { id, path })?;
        Ok(Response::new(JoinResponse { certificate: certificate.into() }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let RenewRequest { statement, certificate_request } = request.into_inner();
        self.authority.check_csr(&certificate_request).map_err(|fault| bad_request(&fault))?;
        let signed = present(statement, "statement").and_then(SignedText::try_from);
        let signed = signed.map_err(bad_field)?;
        let talker = self.vault.renew(signed, &certificate_request).await.map_err(answer)?;
        let subject = match talker {
            Talker::Operator => Subject::Operator,
            Talker::Member { path, id } => Subject::Member { id, path },
        };
        let certificate = self.certify(&certificate_request, subject)?.into();
        Ok(Response::new(RenewResponse { certificate }))
    }
}

impl<S: Store> Identities<S> {
    #[expect(clippy::result_large_err, reason = "a handler's own type")]
    fn certify(&self, csr: &[u8], subject: Subject) -> Result<Vec<u8>, Status> {
        self.authority.issue_client(csr, &subject).map_err(|fault| bad_request(&fault))
    }
}

fn bad_request(fault: &CsrFault) -> Status {
    let hint = "use the `escrow` program of this vault's version";
    status(Code::InvalidArgument, "BAD_CERTIFICATE_REQUEST", fault.to_string(), hint)
}
