//! Time-stamps and stock OpenSSL, both ways.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use escrow_vault::client::home::Home;
use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::crypto::timestamp::{
    self, Hash, Imprint, POLICY, REQUEST_BYTES_MAX, StampRefused, Trusted,
};
use escrow_vault::domain::time::{Span, Timestamp};
use escrow_vault::server::ca;
use escrow_vault::server::timestamper;
use escrow_vault::server::timestamps::endpoint;
use escrow_vault::wire::v1::StampRequest;
use escrow_vault::wire::v1::timestamp_service_client::TimestampServiceClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tonic::Code;

use super::liar::{Liar, Lie};
use super::wire::{channel, runtime};
use super::{World, have, http, id};

const QUERY: &str = "application/timestamp-query";

/// A vault's CA and time-stamping authority, and a directory with a document and their
/// certificates: `ca.pem`, `tsa.pem`.
pub(super) struct Office {
    dir: TempDir,
    ca: ca::Authority,
    authority: timestamp::Authority,
    now: Timestamp,
}

impl Office {
    fn new() -> Self {
        Self::at(Timestamp::from(SystemTime::now()))
    }

    /// One that was opened then, and where it is still that time.
    pub(super) fn at(now: Timestamp) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        escrow_vault::crypto::keyfile::private_dir(&keys).unwrap();
        let ca = ca::Authority::create("Escrow Vault CA", now).unwrap();
        let authority = timestamper::take_up(&Keyring::at(&keys), &ca, now).unwrap().authority;
        fs::write(dir.path().join("ca.pem"), ca.certificate_pem()).unwrap();
        fs::copy(keys.join("tsa.crt"), dir.path().join("tsa.pem")).unwrap();
        fs::write(dir.path().join("recipe.txt"), "etch for 90 s").unwrap();
        fs::write(dir.path().join("other.txt"), "etch for 91 s").unwrap();
        Self { dir, ca, authority, now }
    }

    fn openssl(&self, arguments: &[&str]) -> (bool, String) {
        openssl(self.dir.path(), arguments)
    }

    /// Lets OpenSSL ask, answers, and keeps the answer as `answer.tsr`.
    fn answer(&self, arguments: &[&str]) {
        let query = ["ts", "-query", "-data", "recipe.txt", "-out", "query.tsq"];
        let (made, said) = self.openssl(&[&query, arguments].concat());
        assert!(made, "{said}");
        let request = fs::read(self.dir.path().join("query.tsq")).unwrap();
        let answer = endpoint(&self.authority, Some(QUERY), &request, self.now);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.content_type, "application/timestamp-reply");
        fs::write(self.dir.path().join("answer.tsr"), answer.body).unwrap();
    }

    /// Its answer to a request.
    pub(super) fn answers(&self, request: &[u8]) -> Vec<u8> {
        endpoint(&self.authority, Some(QUERY), request, self.now).body
    }

    pub(super) fn ca_pem(&self) -> String {
        self.ca.certificate_pem()
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }
}

/// Whether it succeeded, and what it said.
pub(super) fn openssl(dir: &Path, arguments: &[&str]) -> (bool, String) {
    let ended = Command::new("openssl").args(arguments).current_dir(dir).output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn stock_openssl_asks_and_believes_the_answers() {
    if !have("openssl") {
        return;
    }
    let office = Office::new();
    let verify = ["ts", "-verify", "-in", "answer.tsr", "-CAfile", "ca.pem"];
    for (arguments, hash) in [
        (&["-sha256", "-cert"][..], "sha256"),
        (&["-sha384", "-cert"], "sha384"),
        (&["-sha512", "-cert"], "sha512"),
        (&["-sha512", "-cert", "-no_nonce"], "sha512"),
        (&["-sha256", "-cert", "-tspolicy", POLICY], "sha256"),
        (&["-sha256", "-no_nonce"], "sha256"),
        (&["-sha256"], "sha256"),
    ] {
        office.answer(arguments);
        let (read, said) = office.openssl(&["ts", "-reply", "-in", "answer.tsr", "-text"]);
        let policy = format!("Policy OID: {POLICY}");
        let hash = format!("Hash Algorithm: {hash}");
        let nonce = arguments.contains(&"-no_nonce");
        let nonce = if nonce { "Nonce: unspecified" } else { "Nonce: 0x" };
        for expected in
            ["Status: Granted.", &policy, &hash, nonce, "Accuracy: 0x01 seconds", "Ordering: no"]
        {
            assert!(read && said.contains(expected), "{arguments:?}: {expected:?}: {said}");
        }

        let brings_certificate = arguments.contains(&"-cert");
        let bytes = office.file("answer.tsr").len();
        let bytes_max = if brings_certificate { 1_000 } else { 620 };
        assert!(bytes <= bytes_max, "{arguments:?}: {bytes} bytes");
        let untrusted = if brings_certificate { &[][..] } else { &["-untrusted", "tsa.pem"] };
        for (against, good) in [
            (["-data", "recipe.txt"], true),
            (["-queryfile", "query.tsq"], true),
            (["-data", "other.txt"], false),
        ] {
            let (verified, said) = office.openssl(&[&verify, untrusted, &against].concat());
            let word = if good { "Verification: OK" } else { "Verification: FAILED" };
            assert_eq!(verified, good, "{arguments:?}, {against:?}: {said}");
            assert!(said.contains(word), "{arguments:?}, {against:?}: {said}");
        }
        if !brings_certificate {
            let (verified, _) = office.openssl(&[&verify[..], &["-data", "recipe.txt"]].concat());
            assert!(!verified, "nobody knows the signer's certificate");
        }
        // The token alone.
        let out = ["ts", "-reply", "-in", "answer.tsr", "-token_out", "-out", "token.der"];
        assert!(office.openssl(&out).0);
        let token =
            ["ts", "-verify", "-in", "token.der", "-token_in", "-CAfile", "ca.pem", "-data"];
        assert!(office.openssl(&[&token[..], &["recipe.txt"], untrusted].concat()).0);
        assert!(!office.openssl(&[&token[..], &["other.txt"], untrusted].concat()).0);
    }

    // Strictly by RFC 5280, and as CMS.
    office.answer(&["-sha256", "-cert"]);
    let strict = ["-data", "recipe.txt", "-x509_strict", "-purpose", "timestampsign"];
    let (verified, said) = office.openssl(&[&verify[..], &strict].concat());
    assert!(verified, "{said}");
    let out = ["ts", "-reply", "-in", "answer.tsr", "-token_out", "-out", "token.der"];
    assert!(office.openssl(&out).0);
    let cms = ["cms", "-verify", "-inform", "DER", "-in", "token.der", "-CAfile", "ca.pem"];
    let (verified, said) =
        office.openssl(&[&cms[..], &["-purpose", "timestampsign", "-out", "info.der"]].concat());
    assert!(verified, "{said}");
    // Another vault's CA of the same name.
    fs::write(office.dir.path().join("ca.pem"), Office::new().ca.certificate_pem()).unwrap();
    assert!(!office.openssl(&[&verify[..], &["-data", "recipe.txt"]].concat()).0);
}

#[test]
fn stock_openssl_reads_why_it_is_refused() {
    if !have("openssl") {
        return;
    }
    let office = Office::new();
    for (arguments, bit) in [
        (&["-sha1"][..], "unrecognized or unsupported algorithm identifier"),
        (&["-sha224"], "unrecognized or unsupported algorithm identifier"),
        (
            &["-sha256", "-tspolicy", "1.2.3.4"],
            "the requested TSA policy is not supported by the TSA",
        ),
    ] {
        office.answer(arguments);
        let (read, said) = office.openssl(&["ts", "-reply", "-in", "answer.tsr", "-text"]);
        assert!(read && said.contains("Status: Rejected."), "{arguments:?}: {said}");
        assert!(said.contains(&format!("Failure info: {bit}")), "{arguments:?}: {said}");
        let verify = ["ts", "-verify", "-in", "answer.tsr", "-CAfile", "ca.pem", "-data"];
        assert!(!office.openssl(&[&verify[..], &["recipe.txt"]].concat()).0);
    }
}

#[test]
fn stock_openssl_believes_a_token_after_its_signer_expired_if_told_the_time() {
    if !have("openssl") {
        return;
    }
    for (opened, why) in [
        ("2014-05-06T07:08:09.000Z", "the signer has expired, the CA has not"),
        ("2001-05-06T07:08:09.000Z", "both have expired"),
    ] {
        let office = Office::at(opened.parse().unwrap());
        office.answer(&["-sha256", "-cert"]);
        let verify =
            ["ts", "-verify", "-in", "answer.tsr", "-CAfile", "ca.pem", "-data", "recipe.txt"];
        let (verified, said) = office.openssl(&verify);
        assert!(!verified && said.contains("expired"), "{why}: {said}");
        let within = office.now.after(Span::days(1));
        for (at, good) in [
            (office.now, true),
            (within, true),
            (office.now.after(Span::days(10 * 365 + 1)), false),
            // OpenSSL compares with the certificates' validity, never with the token's own time.
            (office.now.after(Span::days(9 * 365)), true),
        ] {
            let at = (at.as_millis() / 1_000).to_string();
            for (document, good) in [("recipe.txt", good), ("other.txt", false)] {
                let verify = ["ts", "-verify", "-in", "answer.tsr", "-CAfile", "ca.pem"];
                let told = ["-data", document, "-attime", &at];
                let (verified, said) = office.openssl(&[&verify[..], &told].concat());
                assert_eq!(verified, good, "{why}, {document} at {at}: {said}");
            }
        }
        // Ours asks whether it was valid at the token's time, and only if told for another.
        let pinned = [office.ca.certificate().as_ref()];
        let trusted = Trusted { authorities: &pinned, others: &[] };
        let imprint = Imprint::of(Hash::Sha256, b"etch for 90 s");
        let answer = office.file("answer.tsr");
        let stamp = timestamp::verify(&answer, &imprint, trusted, None).unwrap();
        assert_eq!(stamp.at, office.now, "{why}");
        let today = Timestamp::from(SystemTime::now());
        let refused = timestamp::verify(&answer, &imprint, trusted, Some(today));
        assert_eq!(refused, Err(StampRefused::NotValid { at: today }), "{why}");
    }
}

#[test]
fn only_requests_of_the_right_kind_and_size_are_looked_at() {
    let office = Office::new();
    let imprint = Imprint::of(Hash::Sha256, b"etch for 90 s");
    let request = timestamp::request(&imprint, None, true);
    let long = vec![0x30; REQUEST_BYTES_MAX + 1];
    for (kind, body, status, why) in [
        (Some("application/timestamp-query"), &request, 200, "as it should be"),
        (Some("Application/Timestamp-Query; x=y"), &request, 200, "spelt another way"),
        (Some("application/timestamp-query"), &vec![0x30; REQUEST_BYTES_MAX], 200, "a rejection"),
        (Some("application/timestamp-query"), &vec![], 200, "nothing is a rejection, too"),
        (Some("application/timestamp-query"), &long, 413, "a byte too long"),
        (Some("application/timestamp-reply"), &request, 415, "another kind"),
        (Some("application/timestamp-queryx"), &request, 415, "almost the kind"),
        (Some(""), &request, 415, "no kind"),
        (None, &request, 415, "not even no kind"),
    ] {
        let answer = endpoint(&office.authority, kind, body, office.now);
        assert_eq!(answer.status, status, "{why}");
        let is_reply = answer.content_type == "application/timestamp-reply";
        assert_eq!(is_reply, status == 200, "{why}");
    }
    // Two answers to one request have different numbers.
    let pinned = [office.ca.certificate().as_ref()];
    let trusted = Trusted { authorities: &pinned, others: &[] };
    let [one, other] = [(); 2].map(|()| {
        let answer = endpoint(&office.authority, Some(QUERY), &request, office.now);
        timestamp::verify(&answer.body, &imprint, trusted, Some(office.now)).unwrap()
    });
    assert_ne!(one.serial, other.serial);
}

/// Asks for a time-stamp, and says whether it believes the answer: of the document, and of another.
const CLIENT: &str = r#"
import sys
from cryptography import x509
from rfc3161_client import (
    HashAlgorithm, TimestampRequestBuilder, VerificationError, VerifierBuilder,
    decode_timestamp_response,
)
directory, algorithm, certificate = sys.argv[1], HashAlgorithm[sys.argv[2]], sys.argv[3] == "yes"
document = open(f"{directory}/recipe.txt", "rb").read()
builder = TimestampRequestBuilder().data(document).hash_algorithm(algorithm)
request = builder.cert_request(cert_request=certificate).build()
print(request.as_bytes().hex(), flush=True)
response = decode_timestamp_response(bytes.fromhex(input()))
known = [x509.load_pem_x509_certificate(open(f"{directory}/{name}", "rb").read())
         for name in ("ca.pem", "tsa.pem")]
verifier = VerifierBuilder.from_request(request).add_root_certificate(known[0])
verifier = verifier.tsa_certificate(known[1]).build()
for message in (document, document + b"!"):
    try:
        print(verifier.verify_message(response, message))
    except VerificationError as refused:
        print(refused)
"#;

#[test]
fn another_client_asks_and_believes_the_answers() {
    let script = "import rfc3161_client";
    let found = Command::new("python3").args(["-c", script]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!("PASSED OVER: there is no `python3` with the package `rfc3161-client`");
        let strict = std::env::var_os("ESCROW_TEST_STRICT").is_some();
        assert!(!strict, "no python3 with rfc3161-client, and ESCROW_TEST_STRICT is set");
        return;
    }
    let office = Office::new();
    for (hash, certificate) in
        [("SHA256", "yes"), ("SHA256", "no"), ("SHA512", "yes"), ("SHA512", "no")]
    {
        let mut client = Command::new("python3")
            .args(["-c", CLIENT, office.dir.path().to_str().unwrap(), hash, certificate])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(client.stdout.take().unwrap()).lines();
        let request = hex::decode(said.next().unwrap().unwrap()).unwrap();
        let answer = endpoint(&office.authority, Some(QUERY), &request, office.now);
        let mut input = client.stdin.take().unwrap();
        writeln!(input, "{}", hex::encode(answer.body)).unwrap();
        let said: Vec<_> = said.map(Result::unwrap).collect();
        assert!(client.wait().unwrap().success(), "{hash}, {certificate}");
        assert_eq!(said, ["True", "Mismatch between messages"], "{hash}, {certificate}");
    }
}

#[test]
fn a_new_vault_has_an_authority_that_stock_openssl_takes_for_one() {
    if !have("openssl") {
        return;
    }
    let world = World::new();
    let verify = ["verify", "-x509_strict", "-CAfile", "vault/keys/ca.crt"];
    for (purpose, good) in [("timestampsign", true), ("sslserver", false), ("sslclient", false)] {
        let more = ["-purpose", purpose, "vault/keys/tsa.crt"];
        let (verified, said) = openssl(&world.path(""), &[&verify[..], &more].concat());
        assert_eq!(verified, good, "{purpose}: {said}");
    }
}

/// One request over HTTP; the answer's head, in lower case, and body.
fn ask(address: &str, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let (head, body) = http::send(address, head, body);
    (head.to_lowercase(), body)
}

const POST: &str = "POST /tsa HTTP/1.1\r\ncontent-type: application/timestamp-query";

#[test]
fn anybody_has_a_time_stamp_over_http_and_stock_openssl_believes_it() {
    if !have("openssl") {
        return;
    }
    let mut world = World::new();
    world.stop();
    let address = world.show_log();
    world.serve();
    let dir = world.path("");
    world.file("recipe.txt", "etch for 90 s");
    world.file("other.txt", "etch for 91 s");
    for hash in ["-sha256", "-sha384", "-sha512"] {
        let query = ["ts", "-query", "-data", "recipe.txt", hash, "-cert", "-out", "query.tsq"];
        assert!(openssl(&dir, &query).0, "{hash}");
        let request = fs::read(dir.join("query.tsq")).unwrap();
        let (head, answer) = ask(&address, POST, &request);
        assert!(head.starts_with("http/1.1 200"), "{hash}: {head}");
        for expected in ["content-type: application/timestamp-reply", "cache-control: no-store"] {
            assert!(head.contains(expected), "{hash}: {head}");
        }
        fs::write(dir.join("answer.tsr"), answer).unwrap();
        let verify = ["ts", "-verify", "-in", "answer.tsr", "-CAfile", "vault/keys/ca.crt"];
        for (against, good) in [
            (["-queryfile", "query.tsq"], true),
            (["-data", "recipe.txt"], true),
            (["-data", "other.txt"], false),
        ] {
            let (verified, said) = openssl(&dir, &[&verify[..], &against].concat());
            assert_eq!(verified, good, "{hash}, {against:?}: {said}");
        }
    }
    let request = fs::read(dir.join("query.tsq")).unwrap();
    let long = vec![0x30; REQUEST_BYTES_MAX + 1];
    for (head, body, status, says) in [
        ("GET /tsa HTTP/1.1", &[][..], "405", "allow: post"),
        ("HEAD /tsa HTTP/1.1", &[], "405", "allow: post"),
        (
            "PUT /tsa HTTP/1.1\r\ncontent-type: application/timestamp-query",
            &request,
            "405",
            "allow",
        ),
        ("POST /tsa HTTP/1.1\r\ncontent-type: text/plain", &request, "415", "text/plain"),
        ("POST /tsa HTTP/1.1", &request, "415", "text/plain"),
        (POST, &long, "413", "text/plain"),
        (POST, &[], "200", "timestamp-reply"),
        ("POST /tsa/ HTTP/1.1", &request, "404", "text/plain"),
    ] {
        let (told, _) = ask(&address, head, body);
        assert!(told.starts_with(&format!("http/1.1 {status}")), "{head}: {told}");
        assert!(told.contains(says), "{head}: {told}");
    }
    // It says that it is longer than what is read, and is not waited for.
    let mut endless = TcpStream::connect(&address).unwrap();
    write!(endless, "{POST}\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4001\r\n").unwrap();
    endless.write_all(&long).unwrap();
    let mut answer = String::new();
    endless.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

impl World {
    /// Whether stock OpenSSL believes what a home keeps of a registration, for this document.
    fn is_stamped(&self, home: &str, id: &str, document: &str, more: &[&str]) -> bool {
        let kept = |kind: &str| format!("{}/stamps/{id}.{kind}", self.home(home).display());
        let (token, ca) = (kept("tsr"), kept("pem"));
        let verify = ["ts", "-verify", "-data", document, "-in", &token, "-CAfile", &ca];
        let (verified, said) = openssl(&self.path(""), &[&verify[..], more].concat());
        let word = if verified { "Verification: OK" } else { "Verification: FAILED" };
        assert!(said.contains(word), "{said}");
        verified
    }
}

#[test]
fn what_is_registered_is_stamped_and_stock_openssl_verifies_it_across_cas() {
    if !have("openssl") {
        return;
    }
    let world = World::new();
    world.join("hanbit-parts", "minji");
    let file = world.file("recipe.txt", "etch for 90 s");
    world.file("other.txt", "etch for 91 s");
    let mut all = Vec::new();
    for more in [&[][..], &["--hash", "sha384"], &["--hash", "sha512"]] {
        let register = ["register", &file, "--yes"];
        all.push(world.escrow("hanbit-parts", &[&register[..], more].concat()).record());
    }
    let first = fs::read(world.home("hanbit-parts").join(format!("stamps/{}.pem", id(&all[0]))));
    let first = first.unwrap();
    // The CA is replaced: from the beginning of it on, the next one vouches for who stamps.
    for finish in [&[][..], &["--finish"]] {
        assert_eq!(world.escrowd(&[&["rotate-ca"][..], finish].concat()).code, 0);
        assert!(world.reload());
        all.push(world.register("hanbit-parts", "recipe.txt", "etch for 90 s"));
    }
    let now = Timestamp::from(SystemTime::now());
    for (which, registered) in all.iter().enumerate() {
        let id = id(registered);
        let at: Timestamp = registered["stamped_at"].as_str().unwrap().parse().unwrap();
        assert!(at <= now, "{registered}");
        let is_stamped =
            |document, more: &[&str]| world.is_stamped("hanbit-parts", &id, document, more);
        assert!(is_stamped("recipe.txt", &[]), "{which}");
        assert!(!is_stamped("other.txt", &[]), "{which}");
        for (days, good) in [(9 * 365, true), (11 * 365, false)] {
            let at = (now.after(Span::days(days)).as_millis() / 1_000).to_string();
            assert_eq!(is_stamped("recipe.txt", &["-attime", &at]), good, "{which}, {days} days");
        }
        let ca = world.home("hanbit-parts").join(format!("stamps/{id}.pem"));
        assert_eq!(fs::read(ca).unwrap() == first, which < 3, "{which}: the CA of its time");
        assert_eq!(world.escrow("hanbit-parts", &["show", &id]).record(), *registered);
    }
    assert_eq!(world.escrow("hanbit-parts", &["registrations"]).records(), all);
    // The old CA says nothing of the new tokens, nor the new one of the old.
    let [old, new] = [&all[0], &all[4]].map(id);
    let kept =
        |id: &str, kind: &str| world.home("hanbit-parts").join(format!("stamps/{id}.{kind}"));
    for (token, ca) in [(&old, &new), (&new, &old)] {
        let (token, ca) = (kept(token, "tsr"), kept(ca, "pem"));
        let verify = ["ts", "-verify", "-data", "recipe.txt", "-in", token.to_str().unwrap()];
        let against = ["-CAfile", ca.to_str().unwrap()];
        assert!(!openssl(&world.path(""), &[&verify[..], &against].concat()).0);
    }
    // One that is damaged is named, and neither believed nor replaced.
    let token = kept(&old, "tsr");
    let mut bytes = fs::read(&token).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&token, &bytes).unwrap();
    for words in [&["show", &*old][..], &["registrations"]] {
        let ended = world.escrow("hanbit-parts", words);
        assert!(ended.code == 0 && ended.err.contains(&format!("{old}.tsr")), "{}", ended.err);
        assert!(ended.out[0]["stamped_at"].is_null(), "{:?}", ended.out);
    }
    assert_eq!(fs::read(&token).unwrap(), bytes);
    // Nor is one of another document.
    let other = id(&world.register("hanbit-parts", "other.txt", "etch for 91 s"));
    fs::copy(kept(&other, "tsr"), &token).unwrap();
    let ended = world.escrow("hanbit-parts", &["show", &old]);
    assert!(ended.code == 0 && ended.err.contains("another document"), "{}", ended.err);
    assert!(ended.out[0]["stamped_at"].is_null(), "{:?}", ended.out);
}

#[test]
fn members_are_given_time_stamps_and_nobody_else_is_over_their_connection() {
    let world = World::new();
    world.join("hanbit-parts", "minji");
    world.join_colleague("hanbit-parts", "jun");
    let since = "2026-01-01T00:00:00.000Z";
    let vault = Home::open(&world.home("hanbit-parts")).unwrap().vault().unwrap();
    let imprint = Imprint::of(Hash::Sha384, b"etch for 90 s");
    runtime().block_on(async {
        let jun = channel(&world, Some("jun")).await;
        let revoke = ["revoke", "hanbit-parts/jun", "--compromised-since", since, "--yes"];
        world.escrow("hanbit-parts", &revoke).record();
        for (who, channel, code) in [
            ("a stranger", channel(&world, None).await, Code::Unauthenticated),
            ("the operator", channel(&world, Some("operator")).await, Code::NotFound),
            ("who was revoked, on an open connection", jun, Code::PermissionDenied),
            ("a member", channel(&world, Some("hanbit-parts")).await, Code::Ok),
        ] {
            let request = timestamp::request(&imprint, None, true).into();
            let stamped =
                TimestampServiceClient::new(channel).stamp(StampRequest { request }).await;
            let told = stamped.as_ref().err().map_or(Code::Ok, tonic::Status::code);
            assert_eq!(told, code, "{who}: {stamped:?}");
            let Ok(stamped) = stamped else { continue };
            let cas = vault.cas().unwrap();
            let trusted = Trusted { authorities: &[&cas[0]], others: &[] };
            let response = stamped.into_inner().response;
            timestamp::verify(&response, &imprint, trusted, None).unwrap();
        }
        // What is no request is answered: with the reason why there is no token.
        let member = channel(&world, Some("hanbit-parts")).await;
        for bytes in [0, REQUEST_BYTES_MAX + 1] {
            let request = StampRequest { request: vec![0x30; bytes].into() };
            let told = TimestampServiceClient::new(member.clone()).stamp(request).await;
            let response = told.unwrap().into_inner().response;
            let trusted = Trusted { authorities: &[], others: &[] };
            let refused = timestamp::verify(&response, &imprint, trusted, None);
            assert!(
                matches!(refused, Err(StampRefused::Rejected { status: 2, .. })),
                "{refused:?}"
            );
        }
        let request = StampRequest { request: vec![0x30; 1 << 20].into() };
        let refused = TimestampServiceClient::new(member).stamp(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    });
}

#[test]
fn where_the_vault_cannot_stamp_the_registration_stands_and_show_asks_again() {
    let mut world = World::new();
    world.join("hanbit-parts", "minji");
    let liar = Liar::beside(&world);
    liar.copy(&world, "hanbit-parts", "copy");
    let unavailable =
        || Err(tonic::Status::unimplemented("a vault of before there were time-stamps"));
    liar.tell(Some(Lie::new("Stamp", move |_| unavailable())));
    let files = ["page-1", "page-2"].map(|name| world.file(name, name));
    let ended = world.escrow("copy", &["register", &files[0], &files[1], "--yes"]);
    assert!(ended.err.contains("registered, but not time-stamped"), "{}", ended.err);
    let told = ended.err.matches("warning").count();
    assert_eq!(told, 1, "once is enough: {}", ended.err);
    let records = ended.records();
    assert!(records.iter().all(|record| record["stamped_at"].is_null()), "{records:?}");
    let again = world.escrow("copy", &["show", &id(&records[0])]);
    assert!(again.err.contains("not time-stamped"), "{}", again.err);
    assert!(again.record()["stamped_at"].is_null());
    liar.tell(None);
    let shown = world.escrow("copy", &["show", &id(&records[0])]).record();
    assert!(shown["stamped_at"].is_string(), "{shown}");
    let listed = world.escrow("copy", &["registrations"]).records();
    assert_eq!(listed[0], shown, "and kept");
    assert!(listed[1]["stamped_at"].is_null());
    let mode = std::os::unix::fs::PermissionsExt::mode;
    for (name, expected) in [("stamps", 0o700), (&*format!("stamps/{}.tsr", id(&shown)), 0o600)] {
        let found = fs::metadata(world.home("copy").join(name)).unwrap();
        assert_eq!(mode(&found.permissions()) & 0o777, expected, "{name}");
    }
    world.stop();
}

/// An authority that OpenSSL has made and runs: root, perhaps a CA between, and signer.
pub(super) struct Elsewhere {
    dir: TempDir,
}

const CONFIGURATION: &str = "
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[stamper]
extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
[authority]
serial = serial
crypto_device = builtin
digests = sha256, sha384, sha512
default_policy = 1.2.3.4.1
signer_digest = DIGEST
accuracy = secs:1, millisecs:500, microsecs:100
clock_precision_digits = 3
ordering = yes
tsa_name = yes
ess_cert_id_chain = yes
ess_cert_id_alg = NAMED
";

impl Elsewhere {
    /// `key` as `openssl req -newkey` has it.
    pub(super) fn new(key: &[&str], digest: &str, named: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let configuration = CONFIGURATION.replace("DIGEST", digest).replace("NAMED", named);
        fs::write(dir.path().join("configuration"), configuration).unwrap();
        fs::write(dir.path().join("recipe.txt"), "etch for 90 s").unwrap();
        let elsewhere = Self { dir };
        let digest = format!("-{digest}");
        let new_key = |name: &str| {
            let (key_file, subject) = (format!("{name}.key"), format!("/CN={name}"));
            let mut arguments = vec!["req", "-config", "configuration", "-nodes", &digest];
            arguments.extend(key);
            arguments.extend(["-keyout", &key_file, "-subj", &subject]);
            arguments.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()
        };
        let run = |mut arguments: Vec<String>, more: &[&str]| {
            arguments.extend(more.iter().map(|one| (*one).to_owned()));
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            elsewhere.run(&arguments);
        };
        run(new_key("root"), &["-x509", "-extensions", "ca", "-days", "999", "-out", "root.pem"]);
        for (name, above, extensions) in
            [("between", "root", "ca"), ("stamper", "between", "stamper")]
        {
            let (request, pem) = (format!("{name}.csr"), format!("{name}.pem"));
            run(new_key(name), &["-new", "-out", &request]);
            let (ca, ca_key) = (format!("{above}.pem"), format!("{above}.key"));
            elsewhere.run(&[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                &ca,
                "-CAkey",
                &ca_key,
                "-CAcreateserial",
                "-days",
                "900",
                &digest,
                "-extfile",
                "configuration",
                "-extensions",
                extensions,
                "-out",
                &pem,
            ]);
        }
        elsewhere
    }

    fn run(&self, arguments: &[&str]) {
        let (done, said) = openssl(self.dir.path(), arguments);
        assert!(done, "{arguments:?}: {said}");
    }

    /// Answers a request, with the certificate of the CA between in the answer.
    pub(super) fn answer(&self, request: &[u8]) -> Vec<u8> {
        fs::write(self.dir.path().join("query.tsq"), request).unwrap();
        self.run(&[
            "ts",
            "-reply",
            "-config",
            "configuration",
            "-section",
            "authority",
            "-queryfile",
            "query.tsq",
            "-signer",
            "stamper.pem",
            "-inkey",
            "stamper.key",
            "-chain",
            "between.pem",
            "-out",
            "answer.tsr",
        ]);
        fs::read(self.dir.path().join("answer.tsr")).unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.dir.path().join(format!("{name}.pem"))).unwrap()
    }
}

#[test]
fn tokens_of_stock_openssl_verify_and_no_alteration_of_one_does() {
    if !have("openssl") {
        return;
    }
    let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let p384 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let p521 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
    let today = Timestamp::from(SystemTime::now());
    for (key, digest, named, verifies, why) in [
        (&p256[..], "sha256", "sha256", true, "P-256"),
        (&p384, "sha384", "sha512", true, "P-384"),
        (&["-newkey", "rsa:2048"], "sha256", "sha256", true, "RSA of 2048 bits"),
        (&["-newkey", "rsa:3072"], "sha512", "sha384", true, "RSA of 3072 bits"),
        (&["-newkey", "rsa:1024"], "sha256", "sha256", false, "a key that is too short"),
        (&p521, "sha512", "sha256", false, "a curve that is not taken"),
        (&p256, "sha256", "sha1", false, "a signer named by SHA-1"),
        (&["-newkey", "rsa:2048"], "sha1", "sha256", false, "signatures over SHA-1"),
    ] {
        let elsewhere = Elsewhere::new(key, digest, named);
        let nonce = [3; 8];
        let imprint = Imprint::of(Hash::Sha512, b"etch for 90 s");
        let answer = elsewhere.answer(&timestamp::request(&imprint, Some(&nonce), true));
        let root = elsewhere.certificate("root");
        let pinned = [root.as_ref()];
        let trusted = Trusted { authorities: &pinned, others: &[] };
        let at = Some(today.after(Span::days(1)));
        let verified = timestamp::verify(&answer, &imprint, trusted, at);
        if !verifies {
            assert!(verified.is_err(), "{why}: {verified:?}");
            continue;
        }
        let stamp = verified.unwrap_or_else(|refused| panic!("{why}: {refused}"));
        assert!(stamp.answers(&nonce), "{why}");
        assert_eq!((stamp.serial.as_slice(), stamp.hash), (&[1][..], Hash::Sha512), "{why}");
        assert_eq!(stamp.policy.to_string(), "1.2.3.4.1", "{why}");
        let late = stamp.at.since(today).as_duration().as_secs();
        assert!(late < 60, "{why}: {late} s");

        let other = Imprint::of(Hash::Sha512, b"etch for 91 s");
        let refused = timestamp::verify(&answer, &other, trusted, None);
        assert_eq!(refused, Err(StampRefused::OtherImprint), "{why}");
        let strange = Office::new();
        let pinned = [strange.ca.certificate().as_ref()];
        let stranger = Trusted { authorities: &pinned, others: &[] };
        let refused = timestamp::verify(&answer, &imprint, stranger, None);
        assert_eq!(refused, Err(StampRefused::Untrusted), "{why}");

        // Not everything is signed: a response's status, a certificate that another one replaces.
        // What is altered there must not say anything else.
        let mut harmless = 0;
        for at in 0..answer.len() {
            let mut bent = answer.clone();
            bent[at] ^= 0x01;
            if let Ok(said) = timestamp::verify(&bent, &imprint, trusted, None) {
                assert_eq!(said, stamp, "{why}: byte {at}");
                harmless += 1;
            }
        }
        assert!(harmless < 8, "{why}: {harmless} bytes don't matter");
    }
}
