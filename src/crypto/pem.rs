//! Text around DER (RFC 7468).

use base64::Engine as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::parse_x509_certificate;

/// DER as PEM, in lines of 64 characters.
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// The certificates in a text, DER each: at least one, and every one whole.
pub fn certificates_of(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let read: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().ok()?;
    let is_one = |der: &CertificateDer<'_>| {
        parse_x509_certificate(der).is_ok_and(|(rest, _)| rest.is_empty())
    };
    let is_good = !read.is_empty() && read.iter().all(is_one);
    is_good.then(|| read.into_iter().map(|der| der.to_vec()).collect())
}
