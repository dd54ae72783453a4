//! A channel whose calls say that they end together with their last message.
//!
//! tonic tells only behind a message that no other follows, and HTTP/2 writes that as a frame of its
//! own: for a small call, another record, another system call, and a server that waits for it. So small
//! messages are handed on once it is known whether something follows at once.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::transport::{self, channel::ResponseFuture};
use tower::Service;

/// Longest frame of a body that is held back for that, in bytes: a piece of an upload never is.
const SMALL_BYTES: usize = 16 * 1024;

/// Where calls to a vault go.
#[derive(Debug, Clone)]
pub struct Channel(transport::Channel);

impl From<transport::Channel> for Channel {
    fn from(channel: transport::Channel) -> Self {
        Self(channel)
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        self.0.call(request.map(|body| Body::new(Whole::of(body))))
    }
}

type Next<E> = Option<Result<Frame<Bytes>, E>>;

/// A body that knows with a small frame whether it is the last.
struct Whole<B: hyper::body::Body> {
    body: B,
    /// What follows, where that is known already: `Some(None)` where nothing does.
    next: Option<Next<B::Error>>,
}

impl<B: hyper::body::Body> Whole<B> {
    fn of(body: B) -> Self {
        Self { body, next: None }
    }
}

impl<B> hyper::body::Body for Whole<B>
where
    B: hyper::body::Body<Data = Bytes, Error = Status> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<Status>> {
        let frame = match self.next.take() {
            Some(known) => known,
            None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
        };
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        if data.is_some_and(|data| data.len() <= SMALL_BYTES)
            && let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(cx)
        {
            self.next = Some(next);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.next {
            Some(next) => next.is_none(),
            None => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use hyper::body::Body as _;

    use super::*;

    /// Gives what it is told to.
    struct Given(VecDeque<Poll<Next<Status>>>);

    impl hyper::body::Body for Given {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Next<Status>> {
            self.0.pop_front().unwrap()
        }
    }

    #[test]
    fn a_small_frame_tells_whether_it_is_the_last_and_nothing_is_lost() {
        let frame = |length: usize| Poll::Ready(Some(Ok(Frame::data(vec![7; length].into()))));
        let fault = || Poll::Ready(Some(Err(Status::aborted("gone"))));
        let large = SMALL_BYTES + 1;
        for (what, given, expected) in [
            ("one message", vec![frame(9), Poll::Ready(None)], "9 end"),
            ("two", vec![frame(9), frame(8), Poll::Ready(None)], "9 8 end"),
            (
                "the second comes later",
                vec![frame(9), Poll::Pending, Poll::Pending, frame(8), Poll::Ready(None)],
                "9 wait 8 end",
            ),
            ("a fault behind it", vec![frame(9), fault()], "9 fault"),
            ("a piece of an upload", vec![frame(large), Poll::Ready(None)], "16385 none"),
            ("nothing at all", vec![Poll::Ready(None)], "none"),
        ] {
            let mut body = Whole::of(Given(given.into()));
            let mut cx = Context::from_waker(Waker::noop());
            let mut seen = Vec::new();
            loop {
                match Pin::new(&mut body).poll_frame(&mut cx) {
                    Poll::Pending => seen.push("wait".to_owned()),
                    Poll::Ready(None) => {
                        seen.push("none".to_owned());
                        break;
                    }
                    Poll::Ready(Some(Err(_))) => {
                        seen.push("fault".to_owned());
                        break;
                    }
                    Poll::Ready(Some(Ok(frame))) => {
                        seen.push(frame.data_ref().unwrap().len().to_string());
                    }
                }
                if body.is_end_stream() {
                    seen.push("end".to_owned());
                    break;
                }
            }
            assert_eq!(seen.join(" "), expected, "{what}");
        }
    }
}
