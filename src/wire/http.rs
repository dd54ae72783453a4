//! Asking others over plain HTTP/1: one request a connection, with a limit on its time and on what is
//! taken of the answer. Redirections are not followed.
//!
//! There is no TLS here on purpose: what this program asks others for is signed by them and verified,
//! so that who is on the way can withhold an answer and nothing else.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
pub use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::domain::url::Url;

/// How much time and answer there may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From looking up the name to the answer's last byte.
    pub time_max: Duration,
    /// Of the answer's body.
    pub bytes_max: usize,
}

/// What was answered.
#[derive(Debug)]
pub struct Answered {
    /// What became of the request.
    pub status: StatusCode,
    /// What it says that it is; empty where it doesn't say.
    pub content_type: String,
    /// All of it.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Nobody is there, or the name is unknown.
    #[error("cannot reach it")]
    Unreachable(#[source] io::Error),
    /// It takes too long.
    #[error("no whole answer within {0:?}")]
    TooLate(Duration),
    /// It is too long.
    #[error("an answer of more than {0} bytes")]
    TooLarge(usize),
    /// Something else than HTTP, or half of it.
    #[error("it does not speak HTTP, or broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Asks for what is there.
pub async fn get(url: &Url, bounds: Bounds) -> Result<Answered, Unanswered> {
    let request = request(url, Method::GET, None, Bytes::new());
    ask(url, request, bounds).await
}

/// Hands something in.
pub async fn post(
    url: &Url,
    content_type: &'static str,
    body: impl Into<Bytes>,
    bounds: Bounds,
) -> Result<Answered, Unanswered> {
    let request = request(url, Method::POST, Some(content_type), body.into());
    ask(url, request, bounds).await
}

fn request(
    url: &Url,
    method: Method,
    content_type: Option<&'static str>,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Unanswered> {
    let mut request =
        Request::builder().method(method).uri(url.path()).header(HOST, url.authority());
    if let Some(kind) = content_type {
        request = request.header(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    request.body(Full::from(body)).map_err(|fault| Unanswered::Broken(fault.into()))
}

async fn ask(
    url: &Url,
    request: Result<Request<Full<Bytes>>, Unanswered>,
    Bounds { time_max, bytes_max }: Bounds,
) -> Result<Answered, Unanswered> {
    let request = request?;
    let exchange = async {
        let tcp = TcpStream::connect(format!("{}:{}", url.host(), url.port())).await;
        let io = TokioIo::new(tcp.map_err(Unanswered::Unreachable)?);
        let broken = |fault: hyper::Error| Unanswered::Broken(fault.into());
        let (mut sender, connection) = http1::handshake(io).await.map_err(broken)?;
        // Ended with this set, however the exchange ends.
        let mut driven = JoinSet::new();
        driven.spawn(connection);
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, bytes_max).collect().await;
        let body = body.map_err(|fault| match fault.is::<LengthLimitError>() {
            true => Unanswered::TooLarge(bytes_max),
            false => Unanswered::Broken(fault),
        })?;
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let content_type = kind.unwrap_or_default().to_owned();
        Ok(Answered { status: head.status, content_type, body: body.to_bytes() })
    };
    let timely = tokio::time::timeout(time_max, exchange).await;
    timely.unwrap_or(Err(Unanswered::TooLate(time_max)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const BOUNDS: Bounds = Bounds { time_max: Duration::from_secs(20), bytes_max: 1_024 };

    /// Somebody who answers one connection with these bytes, and hangs up or not.
    async fn answerer(answer: Vec<u8>, hangs_up: bool) -> (Url, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tsa", listener.local_addr().unwrap()).parse().unwrap();
        let heard = tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let (mut heard, mut piece) = (Vec::new(), [0; 1_024]);
            while !heard.ends_with(b"question") && !heard.ends_with(b"\r\n\r\n") {
                match tcp.read(&mut piece).await.unwrap() {
                    0 => break,
                    count => heard.extend(&piece[..count]),
                }
            }
            tcp.write_all(&answer).await.unwrap();
            if !hangs_up {
                // Until the other side does.
                drop(tcp.read(&mut piece).await);
            }
            String::from_utf8(heard).unwrap()
        });
        (url, heard)
    }

    #[tokio::test]
    async fn what_is_asked_arrives_and_what_is_answered_comes_back() {
        let answer = "HTTP/1.1 409 Conflict\r\ncontent-type: text/x.tlog.size\r\n\
                      content-length: 3\r\n\r\n12\n";
        let (url, heard) = answerer(answer.into(), false).await;
        let asked = post(&url, "text/plain", "question", BOUNDS).await.unwrap();
        assert_eq!(asked.status, StatusCode::CONFLICT);
        assert_eq!(
            (asked.content_type.as_str(), &asked.body[..]),
            ("text/x.tlog.size", &b"12\n"[..])
        );
        let heard = heard.await.unwrap();
        assert!(heard.starts_with("POST /tsa HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains(&format!("host: {}\r\n", url.authority())), "{heard}");
        assert!(heard.contains("content-type: text/plain\r\n"), "{heard}");
        assert!(heard.ends_with("\r\n\r\nquestion"), "{heard}");
        let (url, heard) = answerer(b"HTTP/1.1 200 OK\r\n\r\nuntil it ends".to_vec(), true).await;
        let asked = get(&url.below("log"), BOUNDS).await.unwrap();
        assert_eq!(&asked.body[..], b"until it ends");
        assert!(heard.await.unwrap().starts_with("GET /tsa/log HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn what_is_too_long_broken_or_does_not_come_is_no_answer() {
        let long = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; BOUNDS.bytes_max + 1]].concat();
        let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut".to_vec();
        for (what, answer) in [
            ("TooLarge", long),
            ("Broken", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            ("Broken", cut),
            ("Broken", Vec::new()),
        ] {
            let (url, _heard) = answerer(answer, true).await;
            let fault = post(&url, "text/plain", "question", BOUNDS).await.unwrap_err();
            assert!(format!("{fault:?}").starts_with(what), "{what}: {fault:?}");
        }
        let (url, _heard) = answerer(b"HTTP/1.1 200 OK\r\n".to_vec(), false).await;
        let short = Bounds { time_max: Duration::from_millis(50), ..BOUNDS };
        let fault = get(&url, short).await.unwrap_err();
        assert!(matches!(fault, Unanswered::TooLate(_)), "{fault:?}");
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let fault = get(&format!("http://{closed}").parse().unwrap(), BOUNDS).await.unwrap_err();
        assert!(matches!(fault, Unanswered::Unreachable(_)), "{fault:?}");
    }
}
