//! The identity service: joining and renewing, the only calls without a client certificate.

use std::sync::Arc;
use std::time::SystemTime;

use tonic::{Code, Request, Response, Status};

use crate::domain::chain::chain;
use crate::domain::event::SignedText;
use crate::domain::time::{Span, Timestamp};
use crate::server::ca::CaError;
use crate::server::credentials::Credentials;
use crate::server::csr::requested_key;
use crate::server::peer::Subject;
use crate::server::status::{answer, bad_field, status, within};
use crate::store::Store;
use crate::vault::{Talker, Vault, VaultError};
use crate::wire::convert::{fixed, present};
use crate::wire::limit;
use crate::wire::v1::identity_service_server::IdentityService;
use crate::wire::v1::{
    DescribeRequest, DescribeResponse, JoinRequest, JoinResponse, RenewRequest, RenewResponse,
    VaultDescription,
};

/// How long a client certificate is good for; clients renew theirs well before.
const CLIENT_LIFETIME: Span = Span::days(365);

/// The identity service of a vault.
pub(super) struct Identities<S: Store> {
    pub(super) vault: Arc<Vault<S>>,
    pub(super) credentials: Arc<Credentials>,
}

#[tonic::async_trait]
impl<S: Store> IdentityService for Identities<S> {
    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let challenge = fixed(&request.into_inner().challenge, "challenge").map_err(bad_field)?;
        let founded = self.vault.founded().map_err(answer)?;
        let log = self.vault.log();
        let authorities = self.credentials.authorities();
        let (ca, next) = (authorities.current(), authorities.next());
        let signed = self.vault.vouch(&authorities.told(), challenge);
        let vault = VaultDescription {
            origin: log.origin.to_string(),
            generation: log.generation,
            ledger_key: founded.ledger_key.0.to_vec().into(),
            operator_key: founded.operator_key.0.to_vec().into(),
            ca_certificate: ca.certificate().to_vec().into(),
            next_ca_certificate: next
                .map(|next| next.certificate().to_vec().into())
                .unwrap_or_default(),
        };
        let authorities = Some(signed.map_err(answer)?.into());
        let handovers =
            founded.handovers.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>();
        let handovers = handovers.map_err(VaultError::Encoding).map_err(answer)?;
        let handovers = handovers.into_iter().map(Into::into).collect();
        Ok(Response::new(DescribeResponse { vault: Some(vault), authorities, handovers }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let JoinRequest { secret, statements, certificate_request } = request.into_inner();
        // A bad certificate request must not spend the invitation.
        requested_key(&certificate_request).map_err(|fault| bad_request(fault.into()))?;
        let group = statements.into_iter().take(limit::STATEMENTS_MAX).map(SignedText::try_from);
        let group = group.collect::<Result<_, _>>().map_err(bad_field)?;
        let joining = self.vault.join(&secret, group, &certificate_request);
        let (path, id) = within(joining).await?;
        let certificate = self.certify(&certificate_request, Subject::Member { id, path })?;
        Ok(Response::new(JoinResponse { certificate: certificate.into() }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let RenewRequest { statement, certificate_request } = request.into_inner();
        requested_key(&certificate_request).map_err(|fault| bad_request(fault.into()))?;
        let signed = present(statement, "statement").and_then(SignedText::try_from);
        let signed = signed.map_err(bad_field)?;
        let talker = within(self.vault.renew(signed, &certificate_request)).await?;
        let subject = match talker {
            Talker::Operator => Subject::Operator,
            Talker::Member { path, id } => Subject::Member { id, path },
        };
        let certificate = self.certify(&certificate_request, subject)?.into();
        Ok(Response::new(RenewResponse { certificate }))
    }
}

impl<S: Store> Identities<S> {
    fn certify(&self, csr: &[u8], subject: Subject) -> Result<Vec<u8>, Status> {
        let now = Timestamp::from(SystemTime::now());
        let authorities = self.credentials.authorities();
        let issued = authorities.issuing().issue_client(csr, &subject, now, CLIENT_LIFETIME);
        issued.map(|certificate| certificate.to_vec()).map_err(bad_request)
    }
}

fn bad_request(fault: CaError) -> Status {
    if let CaError::Csr(refused) = fault {
        let hint = "use the `escrow` program of this vault's version";
        return status(Code::InvalidArgument, "BAD_CERTIFICATE_REQUEST", refused.to_string(), hint);
    }
    tracing::error!(error = chain(&fault), "no certificate issued");
    answer(VaultError::Unavailable)
}
