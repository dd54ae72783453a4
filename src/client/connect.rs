//! A connection to the vault, made now, so that what is wrong with it is known by name.
//!
//! tonic connects lazily and reports every failure as a transport error. So TCP and TLS are done
//! here, up to the vault's first words: in TLS 1.3 a server refuses a client's certificate after
//! the client believes the handshake done, and only a read brings that to light.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, version};
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::Authority;
use tonic::transport::Endpoint;

use crate::client::channel::Channel;
use crate::client::connect_fault::ConnectFault;
use crate::client::tls_key::TlsKey;
use crate::client::trust::{Trust, Verifier};
use crate::wire::line::{
    CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, SEND_BYTES_MAX, STREAM_WINDOW_BYTES,
};
use crate::wire::read_ahead::ReadAhead;

/// How long resolving the name and connecting may take.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long the TLS handshake, and the vault's first words after it, may take.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a connection may be silent before the vault is asked whether it is there.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long the vault may take to answer that.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// All headers of one answer together, decoded.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// A channel to a vault whose certificate was verified, as far as it was to be.
#[derive(Debug, Clone)]
pub struct Connected {
    /// For tonic's clients. If the connection is lost the next call makes a new one with the same
    /// trust; what goes wrong then is found with [`ConnectFault::in_chain`].
    pub channel: Channel,
    /// Whether the session keys were agreed on with X25519MLKEM768.
    pub post_quantum: bool,
}

/// Connects to the vault at `address` (`host:port`), which must be the trusted one under that
/// name, and shows it a client certificate if there is one.
pub async fn connect(
    address: &str,
    trust: Trust,
    certificate: Option<(Vec<CertificateDer<'static>>, &TlsKey)>,
) -> Result<Connected, ConnectFault> {
    let (uri, name) =
        parse(address).ok_or_else(|| ConnectFault::Address { address: address.to_owned() })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Verifier::new(trust, provider.clone()));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(ConnectFault::OwnIdentity)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    if let Some((chain, key)) = certificate {
        let certified =
            CertifiedKey::new(chain, key.signing_key().map_err(ConnectFault::OwnIdentity)?);
        certified.keys_match().map_err(ConnectFault::OwnIdentity)?;
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    }
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    let dialer =
        Arc::new(Dialer { address: address.to_owned(), name, tls: Arc::new(config).into() });

    let stream = dialer.dial().await?;
    let post_quantum = is_post_quantum(&stream);
    let first = Mutex::new(Some(stream));
    let reconnect = dialer.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let ready = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let dialer = reconnect.clone();
        async move {
            match ready {
                Some(stream) => Ok(stream),
                None => dialer.dial().await,
            }
            .map(TokioIo::new)
        }
    });
    let channel = endpoint(uri)
        .connect_with_connector(connector)
        .await
        .map_err(|source| ConnectFault::Http2 { address: address.to_owned(), source })?;
    Ok(Connected { channel: channel.into(), post_quantum })
}

type Stream = TlsStream<ReadAhead<TcpStream>>;

/// Whatever is needed to connect, once or again.
struct Dialer {
    address: String,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Dialer {
    /// A TLS connection on which the vault has begun to speak.
    async fn dial(&self) -> Result<Stream, ConnectFault> {
        let unreachable =
            |source| ConnectFault::Unreachable { address: self.address.clone(), source };
        let tcp = within(CONNECT_MAX, TcpStream::connect(&self.address))
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
            .map_err(unreachable)?;
        // Without it small messages wait for each other; if it fails they do, and that is all.
        let _ = tcp.set_nodelay(true);
        within(HANDSHAKE_MAX, self.handshake(tcp)).await.unwrap_or_else(|| {
            Err(ConnectFault::Silent { address: self.address.clone(), limit: HANDSHAKE_MAX })
        })
    }

    async fn handshake(&self, tcp: TcpStream) -> Result<Stream, ConnectFault> {
        let fault = |error| ConnectFault::of_tls(&self.address, error);
        let connected = self.tls.connect(self.name.clone(), ReadAhead::new(tcp)).await;
        let mut stream = connected.map_err(fault)?;
        stream.get_mut().1.set_buffer_limit(Some(SEND_BYTES_MAX));
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ConnectFault::NotHttp2 { address: self.address.clone() });
        }
        // An HTTP/2 server speaks first (RFC 9113 section 3.4). What it says stays buffered.
        let begun = stream.fill_buf().await.map_err(fault)?;
        if begun.is_empty() {
            return Err(ConnectFault::Closed { address: self.address.clone() });
        }
        Ok(stream)
    }
}

/// The host of an address; `None` for anything but a host, a colon and a port.
pub fn host(address: &str) -> Option<String> {
    parse(address).map(|(_, name)| name.to_str().into_owned())
}

/// The address as HTTP and as TLS have it; `None` for anything but a host, a colon and a port.
fn parse(address: &str) -> Option<(Uri, ServerName<'static>)> {
    let authority: Authority = address.parse().ok()?;
    let (host, port) = (authority.host(), authority.port_u16()?);
    if format!("{host}:{port}") != address {
        return None;
    }
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?;
    let uri = Uri::builder().scheme("https").authority(authority).path_and_query("/");
    Some((uri.build().ok()?, name))
}

fn endpoint(uri: Uri) -> Endpoint {
    Endpoint::from(uri)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
}

fn is_post_quantum(stream: &Stream) -> bool {
    let group = stream.get_ref().1.negotiated_key_exchange_group();
    group.is_some_and(|group| group.name() == rustls::NamedGroup::X25519MLKEM768)
}

/// `None` if it takes longer.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    timeout(limit, work).await.ok()
}
