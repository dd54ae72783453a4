//! An accepted connection: TLS done, a place held, the peer known.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::server::admission::Permit;
use crate::server::peer::Peer;

/// Length of the words every HTTP/2 client begins with (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;

/// A TLS connection whose handshake is done. Its place among the limits is held until it drops.
///
/// A peer that does not begin to speak HTTP/2 in time gets an error at the next read; from then
/// on HTTP/2's own keep-alive sees to silent peers.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    preface: Option<Preface>,
    _permit: Permit,
}

/// What has to come before the deadline.
#[derive(Debug)]
struct Preface {
    missing_bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        peer: Peer,
        permit: Permit,
        preface_max: Duration,
    ) -> Self {
        let deadline = Box::pin(tokio::time::sleep(preface_max));
        let preface = Some(Preface { missing_bytes: PREFACE_BYTES, deadline });
        Self { stream, peer, preface, _permit: permit }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The TLS session, for what was negotiated.
    pub fn tls(&self) -> &rustls::ServerConnection {
        self.stream.get_ref().1
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some(preface) = &mut self.preface else {
            return outcome;
        };
        let read_bytes = buffer.filled().len() - before;
        preface.missing_bytes = preface.missing_bytes.saturating_sub(read_bytes);
        if preface.missing_bytes == 0 {
            self.preface = None;
        } else if outcome.is_pending() && preface.deadline.as_mut().poll(cx).is_ready() {
            let silent = "the peer did not begin to speak HTTP/2 in time";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, silent)));
        }
        outcome
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
