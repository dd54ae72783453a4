//! The header of an age file, read strictly from bytes that nobody vouches for.
//!
//! Grammar: C2SP age specification (<https://c2sp.org/age>). Read line by line in one pass; the
//! `age` crates parse in quadratic time and without a bound. A bundle has exactly one X25519
//! stanza; everything else must be grease, for any other stanza is a hidden recipient.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

use crate::crypto::payload;
use crate::crypto::point::{self, PointFault};
use crate::crypto::signature::sha256;
use crate::domain::id::{Bytes, Digest, Element};

/// Largest header, in bytes.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most stanzas in a header.
pub const STANZAS_MAX: usize = 64;

const VERSION: &[u8] = b"age-encryption.org/v1";
const LINE_COLUMNS: usize = 64;
const WRAPPED_KEY_BYTES: usize = 32;

/// The header of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The ephemeral point *E*, as a u-coordinate.
    pub ephemeral: Element,
    /// Length in bytes, the final newline included.
    pub size: usize,
    /// SHA-256 of these bytes.
    pub sha256: Digest,
}

/// Why bytes do not begin an admissible age file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Not this format.
    #[error("it does not begin with the line age-encryption.org/v1")]
    Version,
    /// ASCII armor, which bundles do without.
    #[error("it is armored (PEM)")]
    Armor,
    /// The file ends before its header does.
    #[error("it ends within its header")]
    Truncated,
    /// No end within the limit.
    #[error("its header is longer than 64 KiB")]
    TooLong,
    /// More stanzas than any honest file has.
    #[error("its header has more than 64 recipient stanzas")]
    TooManyStanzas,
    /// A line that the grammar does not have here.
    #[error("line {line} of its header is malformed: {why}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A second way into the file.
    #[error("it has a recipient of type {0:?} besides the release key")]
    HiddenRecipient(String),
    /// No way into the file, or two.
    #[error("it has {0} X25519 recipients instead of one")]
    Recipients(usize),
    /// The ephemeral point is one that breaks the mathematics.
    #[error("its ephemeral point is not acceptable")]
    Ephemeral(#[source] PointFault),
}

impl HeaderFault {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Armor => "encrypt without -a/--armor, or run `age` output through no encoder",
            Self::Version => "give an age file, or the plain files to be sealed",
            Self::HiddenRecipient(_) | Self::Recipients(_) => {
                "encrypt to the agreement's recipient alone; `escrow show` prints it"
            }
            Self::Truncated
            | Self::TooLong
            | Self::TooManyStanzas
            | Self::Line { .. }
            | Self::Ephemeral(_) => "make the file again with age, and deposit it unchanged",
        }
    }
}

impl Header {
    /// Reads the header at the beginning of these bytes. `None`: it goes on beyond them.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, HeaderFault> {
        let begin = bytes.get(..VERSION.len().min(bytes.len())).unwrap_or_default();
        if bytes.starts_with(b"-----BEGIN") {
            return Err(HeaderFault::Armor);
        }
        if !VERSION.starts_with(begin) {
            return Err(HeaderFault::Version);
        }
        let mut reader = Reader::default();
        let head = bytes.get(..HEADER_BYTES_MAX).unwrap_or(bytes);
        let mut at = 0;
        while let Some(length) =
            head.get(at..).and_then(|rest| rest.iter().position(|b| *b == b'\n'))
        {
            let line = head.get(at..at + length).unwrap_or_default();
            at += length + 1;
            if reader.line(line)? {
                return reader.finish(head.get(..at).unwrap_or_default()).map(Some);
            }
        }
        if bytes.len() >= HEADER_BYTES_MAX { Err(HeaderFault::TooLong) } else { Ok(None) }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    lines: usize,
    stanzas: usize,
    ephemerals: Vec<Element>,
    body: Option<Body>,
}

/// A stanza whose body is being read.
struct Body {
    is_x25519: bool,
    bytes: usize,
}

impl Reader {
    /// Takes a line; true when it was the last.
    fn line(&mut self, line: &[u8]) -> Result<bool, HeaderFault> {
        self.lines += 1;
        if self.lines == 1 {
            return if line == VERSION { Ok(false) } else { Err(HeaderFault::Version) };
        }
        if self.body.is_some() {
            return self.body_line(line).map(|()| false);
        }
        if let Some(arguments) = line.strip_prefix(b"-> ") {
            self.stanza(arguments).map(|()| false)
        } else if let Some(mac) = line.strip_prefix(b"--- ") {
            let mac = decode(mac).ok_or_else(|| self.malformed("the MAC is not base64"))?;
            if mac.len() == 32 {
                Ok(true)
            } else {
                Err(self.malformed("the MAC is not 32 bytes long"))
            }
        } else {
            Err(self.malformed("neither a stanza nor the MAC begins here"))
        }
    }

    fn stanza(&mut self, arguments: &[u8]) -> Result<(), HeaderFault> {
        self.stanzas += 1;
        if self.stanzas > STANZAS_MAX {
            return Err(HeaderFault::TooManyStanzas);
        }
        let words: Vec<&[u8]> = arguments.split(|byte| *byte == b' ').collect();
        if words.iter().any(|word| word.is_empty() || !word.iter().all(u8::is_ascii_graphic)) {
            return Err(
                self.malformed("arguments are not visible characters between single blanks")
            );
        }
        let is_x25519 = match words.as_slice() {
            [b"X25519", ephemeral] => {
                let wrong = "the X25519 argument is not 32 bytes of canonical base64";
                let bytes = decode(ephemeral).and_then(|bytes| bytes.try_into().ok());
                self.ephemerals.push(Bytes(bytes.ok_or_else(|| self.malformed(wrong))?));
                true
            }
            [b"X25519", ..] => return Err(self.malformed("an X25519 stanza takes one argument")),
            [kind, ..] if kind.ends_with(b"-grease") => false,
            [kind, ..] => {
                let name = String::from_utf8_lossy(kind).chars().take(40).collect();
                return Err(HeaderFault::HiddenRecipient(name));
            }
            [] => return Err(self.malformed("a stanza without a type")),
        };
        self.body = Some(Body { is_x25519, bytes: 0 });
        Ok(())
    }

    fn body_line(&mut self, line: &[u8]) -> Result<(), HeaderFault> {
        if line.len() > LINE_COLUMNS {
            return Err(self.malformed("a body line is longer than 64 columns"));
        }
        let decoded = decode(line).ok_or_else(|| self.malformed("a body line is not base64"))?;
        let Some(body) = &mut self.body else { return Ok(()) };
        body.bytes += decoded.len();
        if line.len() == LINE_COLUMNS {
            return Ok(());
        }
        let wrong = body.is_x25519 && body.bytes != WRAPPED_KEY_BYTES;
        self.body = None;
        if wrong { Err(self.malformed("the X25519 body is not 32 bytes long")) } else { Ok(()) }
    }

    fn finish(self, header: &[u8]) -> Result<Header, HeaderFault> {
        match self.ephemerals.as_slice() {
            [ephemeral] => {
                point::lift(ephemeral).map_err(HeaderFault::Ephemeral)?;
                let sha256 = sha256(header);
                Ok(Header { ephemeral: *ephemeral, size: header.len(), sha256 })
            }
            several => Err(HeaderFault::Recipients(several.len())),
        }
    }

    fn malformed(&self, why: &'static str) -> HeaderFault {
        HeaderFault::Line { line: self.lines, why }
    }
}

/// Canonical base64 without padding; the engine refuses trailing bits and padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64_STANDARD_NO_PAD.decode(text).ok()
}

/// The plaintext size of an age file of this size, if its payload divides into whole chunks.
pub fn plaintext_size(file_size: u64, header_size: u64) -> Option<u64> {
    payload::plaintext_size(file_size.checked_sub(header_size)?)
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::point::tests::on_the_twist;

    fn base64(bytes: &[u8]) -> String {
        BASE64_STANDARD_NO_PAD.encode(bytes)
    }

    fn x25519(ephemeral: &Element) -> String {
        format!("-> X25519 {}\n{}\n", base64(&ephemeral.0), base64(&[7; 32]))
    }

    fn header(stanzas: &str) -> String {
        format!("age-encryption.org/v1\n{stanzas}--- {}\n", base64(&[9; 32]))
    }

    fn good() -> Element {
        point::u_coordinate(&ED25519_BASEPOINT_POINT)
    }

    #[test]
    fn one_recipient_and_grease_are_admitted() {
        let grease = format!("-> {{}}-grease x y\n{}\nAAAA\n", "A".repeat(64));
        let empty = "-> z-grease\n\n";
        for stanzas in [x25519(&good()), grease + &x25519(&good()), x25519(&good()) + empty] {
            let text = header(&stanzas);
            let read = Header::parse(format!("{text}payload").as_bytes()).unwrap().unwrap();
            assert_eq!(read.ephemeral, good());
            assert_eq!(read.size, text.len());
            assert_eq!(read.sha256, sha256(text.as_bytes()));
            for cut in 0..text.len() {
                assert_eq!(Header::parse(&text.as_bytes()[..cut]), Ok(None), "cut at {cut}");
            }
        }
    }

    #[test]
    fn every_rule_of_the_header_can_be_broken() {
        let good = x25519(&good());
        let one = |stanzas: &str| Header::parse(header(stanzas).as_bytes()).unwrap_err();
        let raw = |text: &str| Header::parse(text.as_bytes()).unwrap_err();
        let line = |line, why| HeaderFault::Line { line, why };
        let visible = "arguments are not visible characters between single blanks";
        let argument = "the X25519 argument is not 32 bytes of canonical base64";
        let e = base64(&point::u_coordinate(&ED25519_BASEPOINT_POINT).0);
        let body = base64(&[7; 32]);
        let not_base64 = "a body line is not base64";
        let not_begun = "neither a stanza nor the MAC begins here";
        let mac = |line: &str| raw(&format!("age-encryption.org/v1\n{good}{line}\n"));
        let nines = base64(&[9; 32]);
        // One row for each kind of header failure in C2SP's CCTV vectors (age/testdata).
        for (name, found, expected) in [
            ("another version", raw("age-encryption.org/v2\n"), HeaderFault::Version),
            ("a version cut short", raw("age-encryption.org\n"), HeaderFault::Version),
            ("blanks behind the version", raw("age-encryption.org/v1 \n"), HeaderFault::Version),
            ("carriage returns", raw(&header(&good).replace('\n', "\r\n")), HeaderFault::Version),
            ("armor", raw("-----BEGIN AGE ENCRYPTED FILE-----\n"), HeaderFault::Armor),
            ("no recipient", one(""), HeaderFault::Recipients(0)),
            ("grease only", one("-> a-grease\n\n"), HeaderFault::Recipients(0)),
            ("two recipients", one(&(good.clone() + &good)), HeaderFault::Recipients(2)),
            (
                "a passphrase",
                one(&(good.clone() + "-> scrypt AAAA 18\n\n")),
                HeaderFault::HiddenRecipient("scrypt".into()),
            ),
            (
                "an ssh key",
                one(&format!("-> ssh-ed25519 AAAA {e}\n{body}\n{good}")),
                HeaderFault::HiddenRecipient("ssh-ed25519".into()),
            ),
            (
                "nothing but a passphrase",
                one("-> scrypt AAAA 18\n\n"),
                HeaderFault::HiddenRecipient("scrypt".into()),
            ),
            (
                "a hybrid recipient",
                one(&format!("-> mlkem768x25519 AAAA\n{body}\n{good}")),
                HeaderFault::HiddenRecipient("mlkem768x25519".into()),
            ),
            ("another case", one("-> x25519 A\n\n"), HeaderFault::HiddenRecipient("x25519".into())),
            ("no argument", one("-> X25519\n\n"), line(2, "an X25519 stanza takes one argument")),
            (
                "two arguments",
                one(&format!("-> X25519 {e} {e}\n{body}\n")),
                line(2, "an X25519 stanza takes one argument"),
            ),
            ("short point", one("-> X25519 AAAA\n\n"), line(2, argument)),
            (
                "long point",
                one(&format!("-> X25519 {}\n{body}\n", base64(&[7; 33]))),
                line(2, argument),
            ),
            ("padded point", one(&format!("-> X25519 {e}=\n{body}\n")), line(2, argument)),
            (
                "trailing bits",
                one(&format!("-> X25519 {}B\n{body}\n", &e[..42])),
                line(2, argument),
            ),
            ("two blanks", one(&format!("-> X25519  {e}\n{body}\n")), line(2, visible)),
            ("a tab", one(&format!("-> X25519\t{e}\n{body}\n")), line(2, visible)),
            ("not ASCII", one("-> é-grease\n\n"), line(2, visible)),
            ("a NUL", one("-> \0-grease\n\n"), line(2, visible)),
            ("a DEL", one("-> \u{7f}-grease\n\n"), line(2, visible)),
            ("a carriage return", one(&format!("-> X25519 {e}\r\n{body}\n")), line(2, visible)),
            ("a blank at the end", one(&format!("-> X25519 {e} \n{body}\n")), line(2, visible)),
            ("no type", one("-> \n\n"), line(2, visible)),
            ("no arguments", one("->\n\n"), line(2, not_begun)),
            ("no blank", one("->X25519\n\n"), line(2, not_begun)),
            ("another beginning", one(&format!("-- X25519 {e}\n{body}\n")), line(2, not_begun)),
            ("an empty line", one(&format!("\n{good}")), line(2, not_begun)),
            ("no body", one(&format!("-> a-grease\n{good}")), line(3, not_base64)),
            (
                "two short lines",
                one(&format!("-> a-grease\nAAAA\nAAAA\n{good}")),
                line(4, not_begun),
            ),
            ("an empty last line", one(&format!("{good}\n")), line(4, not_begun)),
            ("trailing bits in a body", one("-> a-grease\nAB\n"), line(3, not_base64)),
            (
                "trailing bits in the X25519 body",
                one(&format!("-> X25519 {e}\n{}B\n", &body[..42])),
                line(3, not_base64),
            ),
            (
                "a carriage return in a body",
                one(&format!("-> X25519 {e}\n{body}\r\n")),
                line(3, not_base64),
            ),
            ("high bytes in a body", one("-> a-grease\né\n"), line(3, not_base64)),
            ("the other alphabet", one("-> a-grease\n-_-_\n"), line(3, not_base64)),
            ("no MAC", mac("---"), line(4, not_begun)),
            ("an empty MAC", mac("--- "), line(4, "the MAC is not 32 bytes long")),
            (
                "two blanks before the MAC",
                mac(&format!("---  {nines}")),
                line(4, "the MAC is not base64"),
            ),
            (
                "a blank behind the MAC",
                mac(&format!("--- {nines} ")),
                line(4, "the MAC is not base64"),
            ),
            (
                "a word behind the MAC",
                mac(&format!("--- {nines} x")),
                line(4, "the MAC is not base64"),
            ),
            (
                "long MAC",
                mac(&format!("--- {}", base64(&[9; 33]))),
                line(4, "the MAC is not 32 bytes long"),
            ),
            (
                "trailing bits in the MAC",
                mac(&format!("--- {}B", &nines[..42])),
                line(4, "the MAC is not base64"),
            ),
            (
                "short body",
                one(&format!("-> X25519 {e}\nAAAA\n")),
                line(3, "the X25519 body is not 32 bytes long"),
            ),
            (
                "long body",
                one(&format!("-> X25519 {e}\n{}\n\n", "A".repeat(64))),
                line(4, "the X25519 body is not 32 bytes long"),
            ),
            (
                "wide body line",
                one(&format!("-> X25519 {e}\n{}\n", "A".repeat(68))),
                line(3, "a body line is longer than 64 columns"),
            ),
            ("padded body", one(&format!("-> X25519 {e}\n{body}=\n")), line(3, not_base64)),
            (
                "no final short line",
                one(&format!("-> a-grease\n{}\n{good}", "A".repeat(64))),
                line(4, not_base64),
            ),
            (
                "short MAC",
                raw(&format!("age-encryption.org/v1\n{good}--- AAAA\n")),
                line(4, "the MAC is not 32 bytes long"),
            ),
            (
                "padded MAC",
                raw(&format!("age-encryption.org/v1\n{good}--- {}=\n", base64(&[9; 32]))),
                line(4, "the MAC is not base64"),
            ),
            (
                "no blank before the MAC",
                raw(&format!("age-encryption.org/v1\n{good}---{}\n", base64(&[9; 32]))),
                line(4, not_begun),
            ),
        ] {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn ephemeral_points_that_break_the_mathematics_are_refused() {
        let mut second_encoding = good();
        second_encoding.0[31] |= 0x80;
        for (name, ephemeral) in [
            ("zero", Bytes([0; 32])),
            ("the twist", on_the_twist()),
            ("low order", point::u_coordinate(&EIGHT_TORSION[1])),
            ("mixed order", point::u_coordinate(&(ED25519_BASEPOINT_POINT + EIGHT_TORSION[1]))),
            ("a second encoding", second_encoding),
        ] {
            let fault = Header::parse(header(&x25519(&ephemeral)).as_bytes());
            assert!(matches!(fault, Err(HeaderFault::Ephemeral(_))), "{name}: {fault:?}");
        }
    }

    #[test]
    fn headers_are_bounded() {
        let grease = "-> a-grease\n\n";
        let most = header(&(grease.repeat(63) + &x25519(&good())));
        assert!(Header::parse(most.as_bytes()).unwrap().is_some());
        let more = header(&(grease.repeat(64) + &x25519(&good())));
        assert_eq!(Header::parse(more.as_bytes()), Err(HeaderFault::TooManyStanzas));
        let tiny = header(&grease.repeat((1 << 20) / grease.len()));
        assert_eq!(Header::parse(tiny.as_bytes()), Err(HeaderFault::TooManyStanzas));
        let endless = format!("age-encryption.org/v1\n-> a-grease {}", "x".repeat(1 << 20));
        assert_eq!(Header::parse(endless.as_bytes()), Err(HeaderFault::TooLong));
    }

    #[test]
    fn chunks_divide_the_payload() {
        for (payload, plain) in [
            (0, None),
            (15, None),
            (16, Some(0)),
            (17, Some(1)),
            (65_552, Some(65_536)),
            (65_553, None),
            (65_568, None),
            (65_569, Some(65_537)),
            (131_104, Some(131_072)),
        ] {
            assert_eq!(plaintext_size(100 + 16 + payload, 100), plain, "{payload}");
        }
        assert_eq!(plaintext_size(10, 100), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(tail: Vec<u8>, stanza in "[ -~\n]{0,300}") {
            let _ = Header::parse(&tail);
            let _ = Header::parse(&[VERSION, b"\n", stanza.as_bytes(), &tail].concat());
        }
    }
}
