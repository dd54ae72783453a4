//! HTTP as anybody speaks it, written by hand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// One request without a body, such as `GET /checkpoint`; head and body of the answer.
pub(super) fn ask(address: &str, request: &str) -> (String, Vec<u8>) {
    send(address, &format!("{request} HTTP/1.1"), &[])
}

/// One request with this head, as far as it is not the same in all, and body; head and body of the
/// answer.
pub(super) fn send(address: &str, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut tcp = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!("{head}\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n");
    tcp.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).unwrap();
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..at].to_vec()).unwrap(), answer[at + 4..].to_vec())
}
