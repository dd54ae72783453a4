//! Addresses of whom others are asked to ask.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::domain::id::{Malformed, serde_as_text};

/// Where HTTP is spoken unless another port is named.
const PORT: u16 = 80;

/// Where somebody answers: `http://HOST[:PORT][/PATH]`, as it is written. There is no other scheme:
/// whatever is asked for so is signed by whoever answers, and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// A name, or an address, in brackets where it has colons.
    host: String,
    /// As it is written, if it is.
    written_port: Option<u16>,
    /// Begins with a slash, or is empty.
    path: String,
}

impl Url {
    /// Longest address, in bytes.
    pub const BYTES_MAX: usize = 2_048;

    /// The host, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that is named, or that of HTTP.
    pub fn port(&self) -> u16 {
        self.written_port.unwrap_or(PORT)
    }

    /// What is asked for there; begins with a slash.
    pub fn path(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
    }

    /// Host and port as they are written.
    pub fn authority(&self) -> String {
        let port = self.written_port.map(|port| format!(":{port}"));
        format!("{}{}", self.host, port.unwrap_or_default())
    }

    /// The place below this one.
    pub fn below(&self, path: &str) -> Self {
        Self { path: format!("{}/{path}", self.path.trim_end_matches('/')), ..self.clone() }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Url {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let rule =
            "http://HOST[:PORT][/PATH]; for https, put a proxy in between: answers are signed";
        parsed(text).ok_or_else(|| Malformed::new(text, "an address for HTTP", rule))
    }
}

serde_as_text!(Url);

fn parsed(text: &str) -> Option<Url> {
    let rest = text.strip_prefix("http://").filter(|_| text.len() <= Url::BYTES_MAX)?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let of_path = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    let (host, port) = match authority.find(']') {
        Some(at) => authority.split_at(at + 1),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let of_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            !host.is_empty() && host.chars().all(of_name)
        }
    };
    let written_port = match port.strip_prefix(':') {
        // One spelling: no sign, no zeros in front.
        Some(digits) => Some(digits.parse::<u16>().ok().filter(|it| it.to_string() == digits)?),
        None if port.is_empty() => None,
        None => return None,
    };
    let is_good = is_host && written_port != Some(0) && path.chars().all(of_path);
    is_good.then(|| Url { host: host.to_owned(), written_port, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_http_with_a_host_and_nothing_else() {
        for (text, port) in [
            ("http://witness.example", 80),
            ("http://witness.example/", 80),
            ("http://witness.example:7481/firm/witness", 7_481),
            ("http://witness.example/a%20b", 80),
            ("http://127.0.0.1:9", 9),
            ("http://[::1]:7481/x", 7_481),
            ("http://[::1]", 80),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.port()), (text, port));
            assert_eq!(format!("http://{}{}", url.authority(), url.path), text);
            assert!(url.path().starts_with('/'), "{text}");
        }
        for text in [
            "",
            "http://",
            "http:///x",
            "http://:80",
            "http://witness.example:",
            "http://witness.example:0",
            "http://witness.example:080",
            "http://witness.example:+80",
            "http://witness.example:65536/",
            "http://witness.example:x",
            "https://witness.example",
            "HTTP://witness.example",
            "witness.example",
            "http://user@witness.example",
            "http://witness.example/?q",
            "http://witness.example/#f",
            "http://witness.example/a b",
            "http://witness.example/\"",
            "http://witness.example/\r\nx: y",
            "http://wítness.example",
            "http://::1/",
            "http://[::1",
            "http://[::1]x",
            "http://[witness]/",
            "http://a[::1]/",
        ] {
            assert!(text.parse::<Url>().is_err(), "{text:?}");
        }
        let long = format!("http://witness.example/{}", "x".repeat(Url::BYTES_MAX));
        assert!(long.parse::<Url>().is_err());
        for (prefix, below) in [
            ("http://h", "http://h/add-checkpoint"),
            ("http://h/", "http://h/add-checkpoint"),
            ("http://h/a/b", "http://h/a/b/add-checkpoint"),
        ] {
            let url: Url = prefix.parse().unwrap();
            assert_eq!(url.below("add-checkpoint").to_string(), below);
        }
    }
}
