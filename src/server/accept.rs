//! The accept loop: TCP in, verified TLS connections out, whatever strangers do to the port.
//!
//! tonic's own cannot bound a handshake, count connections or replace a certificate, so this is
//! ours. It is a stream that works while it is polled: when the server stops asking, nothing is
//! accepted any more, and dropping it closes the port and every handshake under way.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;
use prometheus_client::registry::Registry;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};

use crate::server::admission::{Admission, Full, Permit};
use crate::server::connection::{Connection, Patience};
use crate::server::gate::Gate;
use crate::server::measures::{Measures, Reason};
use crate::server::peer::{NoSubject, Peer, PeerCertificate};
use crate::server::tls::SharedConfig;
use crate::wire::line::SEND_BYTES_MAX;
use crate::wire::read_ahead::ReadAhead;

/// How long a TLS handshake may take, waiting for its turn apart, and after it the peer's first
/// words of HTTP/2.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a peer may leave a piece of an answer untaken, whatever else it does meanwhile.
pub const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long a connection without a client certificate lasts: joining takes a second.
pub const STRANGER_MAX: Duration = Duration::from_secs(60);
/// Connections at a time, handshakes included.
pub const CONNECTIONS_MAX: usize = 1024;
/// Connections at a time from one IPv4 address or IPv6 /64.
pub const CONNECTIONS_PER_NETWORK_MAX: usize = 128;
/// Handshakes under way at a time.
pub const HANDSHAKES_MAX: usize = 256;
/// Handshakes that compute at a time: one thread's worth, so that calls always have the others.
const HANDSHAKES_COMPUTING_MAX: usize = 1;
/// Connections without a client certificate at a time. What is left is for members.
pub const ANONYMOUS_MAX: usize = 256;

/// How long a refused peer may take to read why.
const LINGER_MAX: Duration = Duration::from_secs(1);
/// Pause after the system refused to accept, for example for want of file descriptors; doubled
/// with every refusal that follows.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

const _: () = {
    assert!(CONNECTIONS_PER_NETWORK_MAX < CONNECTIONS_MAX);
    // Strangers can fill both of these, and half of all places must remain.
    assert!(HANDSHAKES_MAX + ANONYMOUS_MAX <= CONNECTIONS_MAX / 2);
};

/// The limits above, where an installation or a test needs others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// See [`HANDSHAKE_MAX`].
    pub handshake_max: Duration,
    /// See [`ANSWER_MAX`].
    pub answer_max: Duration,
    /// See [`STRANGER_MAX`].
    pub stranger_max: Duration,
    /// See [`CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// See [`CONNECTIONS_PER_NETWORK_MAX`].
    pub connections_per_network_max: usize,
    /// See [`HANDSHAKES_MAX`].
    pub handshakes_max: usize,
    /// See [`ANONYMOUS_MAX`].
    pub anonymous_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_max: HANDSHAKE_MAX,
            answer_max: ANSWER_MAX,
            stranger_max: STRANGER_MAX,
            connections_max: CONNECTIONS_MAX,
            connections_per_network_max: CONNECTIONS_PER_NETWORK_MAX,
            handshakes_max: HANDSHAKES_MAX,
            anonymous_max: ANONYMOUS_MAX,
        }
    }
}

/// Connections as they come in, for `serve_with_incoming_shutdown`. Never ends and never yields
/// an error: what fails is one peer's connection, and is logged.
pub struct Incoming {
    accept: Box<Accept>,
    config: SharedConfig,
    limits: Limits,
    admission: Arc<Admission>,
    gate: Gate,
    measures: Measures,
    handshakes: JoinSet<Result<Connection, (SocketAddr, HandshakeFault)>>,
    pause: Option<Pin<Box<Sleep>>>,
    backoff: Duration,
}

type Accept = dyn FnMut(&mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> + Send;

/// Accepts on `listener` with whatever `config` holds when a connection begins.
pub fn accept(listener: TcpListener, config: SharedConfig, limits: Limits) -> Incoming {
    Incoming::new(Box::new(move |cx| listener.poll_accept(cx)), config, limits)
}

impl Incoming {
    fn new(accept: Box<Accept>, config: SharedConfig, limits: Limits) -> Self {
        Self {
            accept,
            config,
            limits,
            admission: Admission::new(limits),
            gate: Gate::new(HANDSHAKES_COMPUTING_MAX),
            measures: Measures::default(),
            handshakes: JoinSet::new(),
            pause: None,
            backoff: BACKOFF_MIN,
        }
    }

    /// Adds what is counted at the door to what is shown.
    pub fn register(&self, registry: &mut Registry) {
        let open = "Connections that are open, handshakes included";
        registry.register("connections_open", open, self.admission.open.clone());
        let anonymous = "Open connections without a client certificate";
        registry.register("connections_anonymous", anonymous, self.admission.anonymous.clone());
        self.measures.register(registry);
    }

    /// Begins a handshake, or closes the connection where it is one too many.
    fn begin(&mut self, tcp: TcpStream, address: SocketAddr) {
        if self.handshakes.len() >= self.limits.handshakes_max {
            debug!(%address, "turned away: the limit on handshakes is reached");
            self.measures.turned_away(Reason::Handshakes);
            return;
        }
        match self.admission.admit(address.ip()) {
            Ok(permit) => {
                let door = Door {
                    config: self.config.load_full(),
                    limits: self.limits,
                    gate: self.gate.clone(),
                    measures: self.measures.clone(),
                };
                self.handshakes.spawn(async move {
                    door.handshake(tcp, address, permit).await.map_err(|fault| (address, fault))
                });
            }
            Err(full) => {
                debug!(%address, "turned away: {full}");
                self.measures.turned_away(full.into());
            }
        }
    }

    fn pause_after(&mut self, refused: &io::Error) {
        self.measures.system_refused();
        warn!(cause = %refused, pause = ?self.backoff, "the system refuses to accept connections");
        self.pause = Some(Box::pin(tokio::time::sleep(self.backoff)));
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            // Finished ones first: they have waited longest, and free places.
            match this.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Ok(connection)))) => {
                    this.measures.admitted();
                    return Poll::Ready(Some(Ok(connection)));
                }
                Poll::Ready(Some(Ok(Err((address, fault))))) => {
                    debug!(%address, cause = %Chain(&fault), "no connection");
                    this.measures.turned_away(fault.into());
                    continue;
                }
                Poll::Ready(Some(Err(panic))) => {
                    error!(cause = %panic, "a handshake failed by our own fault");
                    continue;
                }
                // With none under way there is no waker either, but `begin` is followed by
                // another turn of this loop.
                Poll::Ready(None) | Poll::Pending => {}
            }
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(cx));
                this.pause = None;
            }
            match ready!((this.accept)(cx)) {
                Ok((tcp, address)) => {
                    this.backoff = BACKOFF_MIN;
                    this.begin(tcp, address);
                }
                // The peer's affair: it gave up while it was waiting to be accepted.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => this.pause_after(&error),
            }
        }
    }
}

/// Why a peer got no connection.
#[derive(Debug, thiserror::Error)]
enum HandshakeFault {
    #[error("no TLS handshake within {0:?}")]
    TooSlow(Duration),
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("the certificate is of our CA but names nobody")]
    Subject(#[from] NoSubject),
    #[error("turned away")]
    Full(#[from] Full),
}

impl From<HandshakeFault> for Reason {
    fn from(fault: HandshakeFault) -> Self {
        match fault {
            HandshakeFault::TooSlow(_) => Self::Slow,
            HandshakeFault::Tls(_) => Self::Tls,
            HandshakeFault::Subject(_) => Self::Subject,
            HandshakeFault::Full(full) => full.into(),
        }
    }
}

impl From<Full> for Reason {
    fn from(full: Full) -> Self {
        match full {
            Full::Total => Self::Total,
            Full::Network => Self::Network,
            Full::Anonymous => Self::Anonymous,
        }
    }
}

/// What a handshake needs to know of the loop that began it.
struct Door {
    config: Arc<ServerConfig>,
    limits: Limits,
    gate: Gate,
    measures: Measures,
}

impl Door {
    async fn handshake(
        self,
        tcp: TcpStream,
        address: SocketAddr,
        mut permit: Permit,
    ) -> Result<Connection, HandshakeFault> {
        let limits = self.limits;
        let too_slow = |_elapsed| HandshakeFault::TooSlow(limits.handshake_max);
        let until = tokio::time::Instant::now() + limits.handshake_max;
        // Without it small messages wait for each other; if it fails they do, and that is all.
        let _ = tcp.set_nodelay(true);
        timeout_at(until, begun(&tcp)).await.map_err(too_slow)?.map_err(HandshakeFault::Tls)?;
        let wait = permit.turn(Instant::now());
        if !wait.is_zero() {
            debug!(%address, ?wait, "a handshake waits: too many from its network, or a flood");
            self.measures.delayed();
            tokio::time::sleep(wait).await;
        }
        let accepting = TlsAcceptor::from(self.config).accept(ReadAhead::new(tcp)).into_fallible();
        let accepted = timeout_at(until + wait, self.gate.pass(accepting)).await;
        let mut stream = match accepted.map_err(too_slow)? {
            Ok(stream) => stream,
            Err((error, tcp)) => {
                linger(tcp).await;
                return Err(HandshakeFault::Tls(error));
            }
        };
        stream.get_mut().1.set_buffer_limit(Some(SEND_BYTES_MAX));
        let certificate = match stream.get_ref().1.peer_certificates() {
            // Only the leaf: the verifier has built its chain to our CA.
            Some([leaf, ..]) => Some(PeerCertificate::from_der(leaf)?),
            Some([]) | None => None,
        };
        if certificate.is_none() {
            permit.make_anonymous(Instant::now())?;
        }
        let patience = Patience {
            preface_max: limits.handshake_max,
            answer_max: limits.answer_max,
            stranger_max: limits.stranger_max,
        };
        Ok(Connection::new(stream, Peer::new(address, certificate), permit, patience))
    }
}

/// Ready once the peer has said something: only then does it take its network's turn.
async fn begun(tcp: &TcpStream) -> io::Result<()> {
    match tcp.peek(&mut [0]).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Lets the peer read the alert that says why: closing a socket with unread bytes in it resets
/// the connection, and on some systems (not Linux) the alert is lost with it.
async fn linger(mut tcp: ReadAhead<TcpStream>) {
    let drained = async {
        tcp.shutdown().await?;
        let mut sink = [0; 4096];
        let mut budget_bytes = 64 * 1024_usize;
        loop {
            match tcp.read(&mut sink).await? {
                0 => return io::Result::Ok(()),
                count if count >= budget_bytes => return Ok(()),
                count => budget_bytes -= count,
            }
        }
    };
    // Either way the peer had its chance.
    let _ = timeout(LINGER_MAX, drained).await;
}

/// An error with its causes, on one line.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::server::ca::Authority;
    use crate::server::tls::{server_config, shared};
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_system_that_refuses_to_accept_is_asked_again_without_spinning() {
        let authority = Authority::create("test vault", Timestamp::EPOCH).unwrap();
        let identity = authority.issue_server(&["localhost".to_owned()], Timestamp::EPOCH).unwrap();
        let config = shared(server_config(&[authority.certificate().clone()], &identity).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let emfile = rustix::io::Errno::MFILE.raw_os_error();
        let mut outcomes = [
            Some(io::Error::from_raw_os_error(emfile)),
            Some(io::ErrorKind::ConnectionAborted.into()),
            Some(io::Error::from_raw_os_error(emfile)),
        ]
        .into_iter();
        let mut incoming = Incoming::new(
            Box::new(move |cx| match outcomes.next().flatten() {
                Some(error) => Poll::Ready(Err(error)),
                None => listener.poll_accept(cx),
            }),
            config,
            Limits::default(),
        );

        let began = Instant::now();
        let _stranger = TcpStream::connect(address).await.unwrap();
        poll_fn(|cx| {
            assert!(Pin::new(&mut incoming).poll_next(cx).is_pending(), "nobody spoke TLS");
            if incoming.handshakes.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        assert!(began.elapsed() >= BACKOFF_MIN + BACKOFF_MIN * 2, "{:?}", began.elapsed());
        assert_eq!(incoming.backoff, BACKOFF_MIN, "forgotten once it works again");
    }
}
