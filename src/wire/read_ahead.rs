//! Larger reads from a socket than TLS makes by itself.
//!
//! rustls asks its transport for 4 KiB at a time: a quarter of a million system calls for a GiB.
//! Between the two, [`ReadAhead`] takes what has come in at once. Its buffer is there only while
//! something comes in: an idle connection holds none. It is large only where much comes: one of 64 KiB
//! for every small message is what an allocator tidies up after.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Bytes that are read at once where much comes. More did not pay when measured.
const BYTES: usize = 64 * 1024;
/// The same where little does: a small message is less.
const FEW_BYTES: usize = 8 * 1024;

/// A transport that is read from in large pieces. Writes go straight through.
#[derive(Debug)]
pub struct ReadAhead<T> {
    inner: T,
    buffer: Vec<u8>,
    taken: usize,
    next_bytes: usize,
}

impl<T> ReadAhead<T> {
    /// Over a transport of which nothing was read ahead.
    pub fn new(inner: T) -> Self {
        Self { inner, buffer: Vec::new(), taken: 0, next_bytes: FEW_BYTES }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ReadAhead<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, buffer, taken, next_bytes } = self.get_mut();
        if buffer.len() == *taken {
            buffer.clear();
            *taken = 0;
            if buffer.capacity() != *next_bytes {
                *buffer = Vec::with_capacity(*next_bytes);
            }
            let read = pin!(inner.read_buf(buffer)).poll(cx);
            if read.is_pending() {
                *buffer = Vec::new();
            }
            ready!(read)?;
            *next_bytes = if buffer.len() < FEW_BYTES { FEW_BYTES } else { BYTES };
        }
        let rest = buffer.get(*taken..).unwrap_or_default();
        let (now, _) = rest.split_at(rest.len().min(into.remaining()));
        into.put_slice(now);
        *taken += now.len();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ReadAhead<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Gives what it is told to, and notes how much it is asked for.
    struct Source {
        gives: Vec<Poll<io::Result<Vec<u8>>>>,
        asked: Vec<usize>,
    }

    impl AsyncRead for Source {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.asked.push(into.remaining());
            self.gives.remove(0).map_ok(|bytes| into.put_slice(&bytes))
        }
    }

    #[test]
    fn what_came_in_is_given_in_order_and_an_idle_reader_holds_no_buffer() {
        let bytes: Vec<u8> = (0..FEW_BYTES as u32).map(|byte| byte.to_le_bytes()[0]).collect();
        let gives = vec![
            Poll::Pending,
            Poll::Ready(Ok(bytes.clone())),
            Poll::Ready(Ok(vec![7; BYTES])),
            Poll::Pending,
            Poll::Ready(Ok(vec![8])),
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Poll::Ready(Ok(vec![])),
        ];
        let mut reader = ReadAhead::new(Source { gives, asked: Vec::new() });
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = |size: usize| {
            let mut into = vec![0; size];
            let mut piece = ReadBuf::new(&mut into);
            let outcome = Pin::new(&mut reader).poll_read(&mut cx, &mut piece);
            let read = outcome.map_ok(|()| piece.filled().to_vec());
            (read, reader.inner.asked.len(), reader.buffer.capacity())
        };
        assert!(matches!(read(4_096), (Poll::Pending, 1, 0)));
        for part in bytes.chunks(4_096) {
            let (Poll::Ready(Ok(given)), 2, _) = read(4_096) else { panic!("a read each") };
            assert_eq!(given, part);
        }
        let (Poll::Ready(Ok(given)), 3, _) = read(2 * BYTES) else { panic!("no second buffer") };
        assert_eq!(given.len(), BYTES);
        assert!(matches!(read(1), (Poll::Pending, 4, 0)));
        assert!(matches!(read(1), (Poll::Ready(Ok(byte)), 5, _) if byte == [8]));
        assert!(matches!(read(1), (Poll::Ready(Err(_)), 6, _)));
        assert!(matches!(read(1), (Poll::Ready(Ok(end)), 7, _) if end.is_empty()));
        let (few, many) = (FEW_BYTES, BYTES);
        assert_eq!(reader.inner.asked, [few, few, many, many, many, few, few], "where much came");
    }
}
