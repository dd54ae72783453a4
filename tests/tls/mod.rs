//! Connections between real ends: real sockets, real TLS, a real gRPC service.

mod authority;
mod hostile;
mod identity;
mod rotation;
mod timestamper;
mod trust;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use escrow_vault::client::ConnectFault;
use escrow_vault::client::connect::{Connected, connect};
use escrow_vault::client::tls_key::TlsKey;
use escrow_vault::client::trust::Trust;
use escrow_vault::domain::id::{Bytes, MemberId};
use escrow_vault::domain::time::{Span, Timestamp};
use escrow_vault::server::accept::{Limits, accept};
use escrow_vault::server::ca::Authority;
use escrow_vault::server::peer::{Peer, Subject};
use escrow_vault::server::tls::{SharedConfig, server_config, shared};
use escrow_vault::server::transport::configure;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tonic::service::interceptor::InterceptedService;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A vault that only knows how it is.
struct Vault {
    authority: Authority,
    config: SharedConfig,
    address: SocketAddr,
    /// Who made each call.
    peers: mpsc::UnboundedReceiver<Peer>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Vault {
    async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    async fn start_with(limits: Limits) -> Self {
        let authority = Authority::create("test vault", now()).unwrap();
        let cas = [authority.certificate().clone()];
        let config = shared(server_config(&cas, &server_of(&authority)).unwrap());
        Self::start_as(authority, config, limits).await
    }

    /// A vault that shows whatever this configuration says.
    async fn start_as(authority: Authority, config: SharedConfig, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, peers) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (_, health) = tonic_health::server::health_reporter();
        let health = InterceptedService::new(health, move |request: tonic::Request<()>| {
            seen.send(request.extensions().get::<Peer>().unwrap().clone()).unwrap();
            Ok(request)
        });
        let incoming = accept(listener, config.clone(), limits);
        let running = tokio::spawn(
            configure(tonic::transport::Server::builder())
                .add_service(health)
                .serve_with_incoming_shutdown(incoming, async { drop(stopped.await) }),
        );
        Self { authority, config, address, peers, stop: Some(stop), running }
    }

    fn by_fingerprint(&self) -> Trust {
        Trust::CaFingerprint(self.authority.fingerprint())
    }

    async fn connect(
        &self,
        certificate: Option<(Vec<CertificateDer<'static>>, &TlsKey)>,
    ) -> Result<Connected, ConnectFault> {
        connect(&self.address.to_string(), self.by_fingerprint(), certificate).await
    }

    /// Asks how the vault is, and returns whom the vault saw asking.
    async fn ask(&mut self, connected: &Connected) -> Peer {
        check(connected).await.unwrap();
        self.peers.recv().await.unwrap()
    }

    async fn stop(mut self) -> Authority {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
        self.authority
    }
}

async fn check(connected: &Connected) -> Result<(), tonic::Status> {
    let mut client = HealthClient::new(connected.channel.clone());
    client.check(HealthCheckRequest::default()).await.map(drop)
}

fn server_of(authority: &Authority) -> escrow_vault::server::ca::ServerIdentity {
    let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    authority.issue_server(&hosts, now()).unwrap()
}

/// A key and its certificate, issued `ago` for a day.
fn member_of(authority: &Authority, ago: Span) -> (Subject, TlsKey, Vec<CertificateDer<'static>>) {
    let subject = Subject::Member {
        id: MemberId::of(&Bytes([7; 32])),
        path: "hanbit-parts/minji".parse().unwrap(),
    };
    let key = TlsKey::generate().unwrap();
    let at = UNIX_EPOCH + now().since(Timestamp::EPOCH).as_duration() - ago.as_duration();
    let csr = key.csr_der().unwrap();
    let certificate = authority.issue_client(&csr, &subject, stamp(at), Span::days(1)).unwrap();
    (subject, key, vec![certificate])
}

fn now() -> Timestamp {
    stamp(SystemTime::now())
}

fn stamp(at: SystemTime) -> Timestamp {
    let millis = at.duration_since(UNIX_EPOCH).unwrap().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap())
}

/// A TLS connection on which no HTTP/2 is spoken.
async fn bare_tls(vault: &Vault) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(vault.authority.certificate().clone()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::aws_lc_rs::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(vault.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap()
}
