//! The services of the protocol, each call forwarded and then lied about.

use std::pin::Pin;
use std::sync::Arc;

use escrow_vault::crypto::statement;
use escrow_vault::domain::event::SignedText;
use escrow_vault::domain::id::MemberPath;
use escrow_vault::domain::rules;
use escrow_vault::domain::stream::Stream as StreamName;
use escrow_vault::server::peer::{Peer, Subject};
use escrow_vault::wire::limit::MESSAGE_BYTES_MAX;
use escrow_vault::wire::v1::bundle_service_client::BundleServiceClient;
use escrow_vault::wire::v1::bundle_service_server::{BundleService, BundleServiceServer};
use escrow_vault::wire::v1::identity_service_client::IdentityServiceClient;
use escrow_vault::wire::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use escrow_vault::wire::v1::log_service_client::LogServiceClient;
use escrow_vault::wire::v1::log_service_server::{LogService, LogServiceServer};
use escrow_vault::wire::v1::recovery_service_client::RecoveryServiceClient;
use escrow_vault::wire::v1::recovery_service_server::{RecoveryService, RecoveryServiceServer};
use escrow_vault::wire::v1::share_service_client::ShareServiceClient;
use escrow_vault::wire::v1::share_service_server::{ShareService, ShareServiceServer};
use escrow_vault::wire::v1::statement_service_client::StatementServiceClient;
use escrow_vault::wire::v1::statement_service_server::{StatementService, StatementServiceServer};
use escrow_vault::wire::v1::stream_service_client::StreamServiceClient;
use escrow_vault::wire::v1::stream_service_server::{StreamService, StreamServiceServer};
use escrow_vault::wire::v1::timestamp_service_client::TimestampServiceClient;
use escrow_vault::wire::v1::timestamp_service_server::{TimestampService, TimestampServiceServer};
use escrow_vault::wire::v1::{
    CheckpointRequest, CheckpointResponse, DepositRequest, DepositResponse, DescribeRequest,
    DescribeResponse, Entry, FetchRequest, FetchResponse, HandInRequest, HandInResponse,
    JoinRequest, JoinResponse, ListAgreementsRequest, ListAgreementsResponse, ProveRequest,
    ProveResponse, ReachRequest, ReachResponse, ReadRequest, ReadResponse, RenewRequest,
    RenewResponse, RetrieveRequest, RetrieveResponse, ScanRequest, ScanResponse, SignedHead,
    SignedStatement, StampRequest, StampResponse, SubmitRequest, SubmitResponse, UploadRequest,
    UploadResponse, WatchRequest, WatchResponse,
};
use prost::Message;
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::{Desk, log};

/// Events in one part: so few that every stream comes in several.
const ENTRIES_PER_PART: usize = 2;

type Parts<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

#[derive(Clone)]
struct Services(Arc<Desk>);

pub(super) fn routes(desk: &Arc<Desk>) -> Routes {
    let services = Services(Arc::clone(desk));
    Routes::new(IdentityServiceServer::new(services.clone()))
        .add_service(
            StatementServiceServer::new(services.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(StreamServiceServer::new(services.clone()))
        .add_service(ShareServiceServer::new(services.clone()))
        .add_service(RecoveryServiceServer::new(services.clone()))
        .add_service(LogServiceServer::new(services.clone()))
        .add_service(TimestampServiceServer::new(services.clone()))
        .add_service(BundleServiceServer::new(services))
}

impl Services {
    /// What is told in place of these parts.
    fn told<M: Message + Default + 'static>(
        &self,
        call: &str,
        truth: Vec<M>,
    ) -> Result<Parts<M>, Status> {
        let lie = self.0.lie.lock().unwrap().clone().filter(|lie| lie.call == call);
        let Some(lie) = lie else { return Ok(Box::pin(tokio_stream::iter(truth).map(Ok))) };
        let parts = (lie.tell)(truth.iter().map(Message::encode_to_vec).collect())?;
        Ok(Box::pin(tokio_stream::iter(parts.map(|part| Ok(M::decode(&part[..]).unwrap())))))
    }

    /// The same for a reply of one part. If none is left, there is no reply.
    async fn told_once<M: Message + Default + 'static>(
        &self,
        call: &str,
        truth: M,
    ) -> Result<Response<M>, Status> {
        let told = self.told(call, vec![truth])?.next().await;
        told.unwrap_or_else(|| Err(Status::unavailable("no reply"))).map(Response::new)
    }

    fn hear(&self, statements: impl IntoIterator<Item = SignedStatement>) -> Vec<SignedText> {
        let heard = statements.into_iter().map(|signed| SignedText::try_from(signed).unwrap());
        let heard: Vec<_> = heard.collect();
        self.0.heard.lock().unwrap().extend(heard.clone());
        heard
    }

    /// Takes statements into the invented history, if there is one.
    fn invent(&self, statements: &[SignedText]) -> Option<SubmitResponse> {
        let mut history = self.0.history.lock().unwrap();
        let history = history.as_mut()?;
        let forgotten = history.clone();
        let mut reply = SubmitResponse::default();
        history.behind(self.0.log.lock().unwrap().len() as u64);
        for signed in statements {
            let stream = rules::stream(&statement::parse(signed).unwrap());
            reply.entries.push(history.state(&stream, signed.clone()).into());
            reply.head = Some(history.head(&stream).into());
        }
        if history.is_forgetful {
            *history = forgotten;
        }
        Some(reply)
    }
}

#[tonic::async_trait]
impl IdentityService for Services {
    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let mut vault = IdentityServiceClient::new(self.0.forward(None).await);
        let reply = vault.describe(request.into_inner()).await?.into_inner();
        self.told_once("Describe", reply).await
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let request = request.into_inner();
        self.hear(request.statements.clone());
        let mut vault = IdentityServiceClient::new(self.0.forward(None).await);
        let reply = vault.join(request).await?.into_inner();
        self.told_once("Join", reply).await
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let request = request.into_inner();
        self.hear(request.statement.clone());
        let mut vault = IdentityServiceClient::new(self.0.forward(None).await);
        let reply = vault.renew(request).await?.into_inner();
        self.told_once("Renew", reply).await
    }
}

#[tonic::async_trait]
impl RecoveryService for Services {
    async fn reach(
        &self,
        request: Request<ReachRequest>,
    ) -> Result<Response<ReachResponse>, Status> {
        let caller = caller(&request);
        let mut vault = RecoveryServiceClient::new(self.0.forward(caller).await);
        let reply = vault.reach(request.into_inner()).await?.into_inner();
        self.told_once("Reach", reply).await
    }

    async fn hand_in(
        &self,
        request: Request<tonic::Streaming<HandInRequest>>,
    ) -> Result<Response<HandInResponse>, Status> {
        let caller = caller(&request);
        let mut parts = request.into_inner();
        let mut handed_in = Vec::new();
        while let Some(part) = parts.message().await? {
            handed_in.push(part);
        }
        let mut vault = RecoveryServiceClient::new(self.0.forward(caller).await);
        let reply = vault.hand_in(tokio_stream::iter(handed_in)).await?.into_inner();
        self.told_once("HandIn", reply).await
    }
}

#[tonic::async_trait]
impl StatementService for Services {
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let heard = self.hear(request.statements.clone());
        let reply = match self.invent(&heard) {
            Some(invented) => invented,
            None => {
                let mut vault = StatementServiceClient::new(self.0.forward(caller).await);
                vault.submit(request).await?.into_inner()
            }
        };
        self.told_once("Submit", reply).await
    }
}

#[tonic::async_trait]
impl StreamService for Services {
    type ReadStream = Parts<ReadResponse>;
    type WatchStream = Parts<WatchResponse>;

    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        // Lies about streams are about an agreement's.
        let meant = self.0.lie.lock().unwrap().as_ref().and_then(|lie| lie.stream.clone());
        let is_agreement = request.stream.starts_with("agr_") && !request.stream.contains('/');
        let is_agreement = is_agreement && meant.is_none_or(|meant| meant == request.stream);
        let call = if is_agreement { "Read" } else { "Read of another" };
        let invented = self.0.history.lock().unwrap().clone();
        let stream: StreamName = request.stream.parse().unwrap();
        let (entries, head) = match invented.filter(|h| h.streams().contains_key(&stream)) {
            Some(history) => {
                let entries = history.streams()[&stream].iter();
                let wanted = entries.filter(|entry| entry.sequence >= request.from);
                (wanted.cloned().map(Entry::from).collect(), history.head(&stream).into())
            }
            None => {
                let mut vault = StreamServiceClient::new(self.0.forward(caller).await);
                let parts = gather(vault.read(request).await?).await?;
                let head = parts.iter().find_map(|part| part.head.clone()).unwrap();
                (parts.into_iter().flat_map(|part| part.entries).collect(), head)
            }
        };
        self.told(call, parts(entries, head)).map(Response::new)
    }

    async fn list_agreements(
        &self,
        request: Request<ListAgreementsRequest>,
    ) -> Result<Response<ListAgreementsResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let invented = self.0.history.lock().unwrap().clone();
        let reply = match invented {
            Some(history) => {
                let names = history.streams().keys().map(ToString::to_string);
                let wanted = |name: &String| {
                    name.starts_with("agr_") && !name.contains('/') && *name > request.after
                };
                ListAgreementsResponse { agreements: names.filter(wanted).collect() }
            }
            None => {
                let mut vault = StreamServiceClient::new(self.0.forward(caller).await);
                vault.list_agreements(request).await?.into_inner()
            }
        };
        self.told_once("ListAgreements", reply).await
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut vault = StreamServiceClient::new(self.0.forward(caller(&request)).await);
        let mut hints = vault.watch(request.into_inner()).await?.into_inner();
        let first = hints.message().await?.into_iter().collect();
        // Nothing grows while a row is told.
        let told = self.told("Watch", first)?.chain(tokio_stream::pending());
        Ok(Response::new(Box::pin(told)))
    }
}

#[tonic::async_trait]
impl LogService for Services {
    type ScanStream = Parts<ScanResponse>;

    async fn checkpoint(
        &self,
        request: Request<CheckpointRequest>,
    ) -> Result<Response<CheckpointResponse>, Status> {
        let mut vault = LogServiceClient::new(self.0.forward(caller(&request)).await);
        let request = request.into_inner();
        let invented = self.0.history.lock().unwrap().clone();
        let reply = match invented.filter(|history| !history.has_true_log) {
            Some(history) => {
                let truth = ScanRequest { from: 0, end: u64::MAX };
                let leaves = gather(vault.scan(truth).await?).await?;
                let mut log = self.0.log.lock().unwrap();
                log::grow(&mut log, &leaves, &history);
                log::checkpoint(&log, &history, &request.seen)
            }
            None => vault.checkpoint(request).await?.into_inner(),
        };
        self.told_once("Checkpoint", reply).await
    }

    async fn prove(
        &self,
        request: Request<ProveRequest>,
    ) -> Result<Response<ProveResponse>, Status> {
        let mut vault = LogServiceClient::new(self.0.forward(caller(&request)).await);
        let reply = vault.prove(request.into_inner()).await?.into_inner();
        self.told_once("Prove", reply).await
    }

    async fn scan(
        &self,
        request: Request<ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let mut vault = LogServiceClient::new(self.0.forward(caller(&request)).await);
        let invented = self.0.history.lock().unwrap().clone();
        let is_invented = invented.is_some_and(|history| !history.has_true_log);
        let request = request.into_inner();
        let parts = match is_invented {
            true => log::parts(&self.0.log.lock().unwrap(), &request),
            false => gather(vault.scan(request).await?).await?,
        };
        self.told("Scan", parts).map(Response::new)
    }
}

#[tonic::async_trait]
impl TimestampService for Services {
    async fn stamp(
        &self,
        request: Request<StampRequest>,
    ) -> Result<Response<StampResponse>, Status> {
        let caller = caller(&request);
        *self.0.asked.lock().unwrap() = request.get_ref().request.to_vec();
        let mut vault = TimestampServiceClient::new(self.0.forward(caller).await);
        let reply = vault.stamp(request.into_inner()).await?.into_inner();
        self.told_once("Stamp", reply).await
    }
}

#[tonic::async_trait]
impl ShareService for Services {
    async fn fetch(
        &self,
        request: Request<FetchRequest>,
    ) -> Result<Response<FetchResponse>, Status> {
        let mut vault = ShareServiceClient::new(self.0.forward(caller(&request)).await);
        let reply = vault.fetch(request.into_inner()).await?.into_inner();
        self.told_once("Fetch", reply).await
    }
}

#[tonic::async_trait]
impl BundleService for Services {
    type UploadStream = Parts<UploadResponse>;
    type RetrieveStream = Parts<RetrieveResponse>;

    async fn deposit(
        &self,
        request: Request<DepositRequest>,
    ) -> Result<Response<DepositResponse>, Status> {
        let mut vault = BundleServiceClient::new(self.0.forward(caller(&request)).await);
        let request = request.into_inner();
        self.hear(request.statement.clone());
        let reply = vault.deposit(request).await?.into_inner();
        self.told_once("Deposit", reply).await
    }

    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        let mut vault = BundleServiceClient::new(self.0.forward(caller(&request)).await);
        let parts = request.into_inner().filter_map(Result::ok);
        let (replies, services) = (vault.upload(parts).await?.into_inner(), self.clone());
        // One by one: a client that hears nothing sends nothing more.
        let told = replies.then(move |reply| {
            let services = services.clone();
            async move { services.told_once("Upload", reply?).await.map(Response::into_inner) }
        });
        Ok(Response::new(Box::pin(told)))
    }

    async fn retrieve(
        &self,
        request: Request<RetrieveRequest>,
    ) -> Result<Response<Self::RetrieveStream>, Status> {
        let mut vault = BundleServiceClient::new(self.0.forward(caller(&request)).await)
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let request = request.into_inner();
        self.hear(request.statement.clone());
        let parts = gather(vault.retrieve(request).await?).await?;
        self.told("Retrieve", parts).map(Response::new)
    }
}

/// Who calls, by the certificate.
fn caller<T>(request: &Request<T>) -> Option<MemberPath> {
    let peer = request.extensions().get::<Peer>().unwrap();
    peer.subject().map(|subject| match subject {
        Subject::Operator => MemberPath::operator(),
        Subject::Member { path, .. } => path.clone(),
    })
}

/// All parts of a reply that ends.
async fn gather<M>(reply: Response<Streaming<M>>) -> Result<Vec<M>, Status> {
    let (mut reply, mut parts) = (reply.into_inner(), Vec::new());
    while let Some(part) = reply.message().await? {
        parts.push(part);
    }
    Ok(parts)
}

/// A stream in parts, as a vault sends it.
pub(super) fn parts(entries: Vec<Entry>, head: SignedHead) -> Vec<ReadResponse> {
    let part =
        |entries: &[Entry]| ReadResponse { entries: entries.to_vec(), head: Some(head.clone()) };
    match entries.is_empty() {
        true => vec![part(&[])],
        false => entries.chunks(ENTRIES_PER_PART).map(part).collect(),
    }
}
