//! An accepted connection: TLS done, a place held, the peer known.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::server::admission::Permit;
use crate::server::frames::{Frames, Head};
use crate::server::meter::{Meter, PREFACE_BYTES};
use crate::server::peer::Peer;
use crate::wire::read_ahead::ReadAhead;

/// How often a connection is looked after.
const ROUND: Duration = Duration::from_secs(5);
/// Bytes that are read before other connections have their turn.
const TURN_BYTES: usize = 64 * 1024;
/// What a frame weighs beside its bytes: understanding 256 of them is a turn, too.
const FRAME_WEIGHT_BYTES: usize = 256;

/// How long a peer may take for what it does not do all the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the first words of HTTP/2.
    pub preface_max: Duration,
    /// For taking the next piece of an answer.
    pub answer_max: Duration,
    /// For all that somebody without a certificate wants.
    pub stranger_max: Duration,
}

/// A TLS connection whose handshake is done. Its place among the limits is held until it drops.
///
/// A peer that does not begin to speak HTTP/2 in time, floods the vault with frames, does not
/// take its answers, or stays on without a certificate gets an error at the next read or write.
/// HTTP/2's own keep-alive sees to peers that are gone, and HTTP/2 to those that break its rules:
/// what it says goodbye to with an error is a flood as well.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<ReadAhead<TcpStream>>,
    peer: Peer,
    meter: Meter,
    answers: Frames,
    patience: Patience,
    began: Instant,
    missing_preface_bytes: usize,
    turn_bytes: usize,
    blocked_since: Option<Instant>,
    round: Pin<Box<Sleep>>,
    permit: Permit,
}

impl Connection {
    pub(super) fn new(
        stream: TlsStream<ReadAhead<TcpStream>>,
        peer: Peer,
        permit: Permit,
        patience: Patience,
    ) -> Self {
        let began = Instant::now();
        Self {
            stream,
            meter: Meter::new(peer.certificate.is_none(), began),
            answers: Frames::after(0),
            peer,
            patience,
            began,
            missing_preface_bytes: PREFACE_BYTES,
            turn_bytes: 0,
            blocked_since: None,
            round: Box::pin(tokio::time::sleep(patience.preface_max.min(ROUND))),
            permit,
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The TLS session, for what was negotiated.
    pub fn tls(&self) -> &rustls::ServerConnection {
        self.stream.get_ref().1
    }

    /// Looks after the connection whenever a round is due, as long as there is something to wait
    /// for: only then can patience run out.
    fn waits<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        while self.round.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if let Some(why) = self.exhausted(now) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            let is_new = self.missing_preface_bytes > 0;
            let next = if is_new { self.patience.preface_max.min(ROUND) } else { ROUND };
            self.round.as_mut().reset((now + next).into());
        }
        Poll::Pending
    }

    fn exhausted(&self, now: Instant) -> Option<&'static str> {
        let age = now.saturating_duration_since(self.began);
        let is_stranger = self.peer.certificate.is_none();
        let blocked = self.blocked_since.map(|since| now.saturating_duration_since(since));
        if self.missing_preface_bytes > 0 && age >= self.patience.preface_max {
            Some("the peer did not begin to speak HTTP/2 in time")
        } else if is_stranger && age >= self.patience.stranger_max {
            Some("the peer stayed on without a client certificate")
        } else if self.permit.has_to_go() {
            Some("the peer stayed on without a client certificate, and others came")
        } else if blocked.is_some_and(|blocked| blocked >= self.patience.answer_max) {
            Some("the peer does not read")
        } else if self.peer.line.untaken_for(now) >= self.patience.answer_max {
            Some("the peer does not take its answers")
        } else {
            None
        }
    }

    /// Bytes went out, or had to wait.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                self.said(slices, bytes);
                self.blocked_since = None;
                self.meter.written(bytes);
                self.peer.line.written(bytes);
                outcome
            }
            Poll::Ready(Err(_)) => outcome,
            Poll::Pending => self.blocked(cx),
        }
    }

    /// So many bytes of these went out. Whether HTTP/2 has had enough of the peer is only said
    /// there.
    fn said(&mut self, slices: &[io::IoSlice<'_>], bytes: usize) {
        let mut left = bytes;
        for slice in slices {
            let mut rest = slice.get(..left).unwrap_or(slice);
            left -= rest.len();
            while let Some(head) = self.answers.next(&mut rest) {
                if head.kind == Head::GOAWAY && head.error != 0 {
                    self.permit.flooded(Instant::now());
                }
            }
        }
    }

    fn blocked<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.blocked_since.get_or_insert_with(Instant::now);
        self.waits(cx)
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
        if self.turn_bytes >= TURN_BYTES {
            self.turn_bytes = 0;
            cx.waker().wake_by_ref();
            return self.waits(cx);
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if outcome.is_pending() {
            self.turn_bytes = 0;
            return self.waits(cx);
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        self.turn_bytes += read.len();
        self.missing_preface_bytes = self.missing_preface_bytes.saturating_sub(read.len());
        let now = Instant::now();
        match self.meter.read(read, now) {
            Ok(frames) => self.turn_bytes += frames * FRAME_WEIGHT_BYTES,
            Err(flood) => {
                self.permit.flooded(now);
                return Poll::Ready(Err(io::Error::other(flood)));
            }
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
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, &[io::IoSlice::new(bytes)], outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, slices, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.blocked_since = None;
                self.peer.line.flushed();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.blocked(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.blocked(cx),
            done @ Poll::Ready(_) => done,
        }
    }
}
