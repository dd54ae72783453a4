//! Signed notes and the keys that sign them (C2SP signed-note), Ed25519 only.
//!
//! A note is a text of lines, an empty line, and signature lines. What is signed is the text as it
//! is, under no tag of ours, so that other programs can check it: it cannot be taken for anything
//! else that a key signs here, as those begin with a tag that no note can contain.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use crate::crypto::signature::{SigningKey, verify_raw};
use crate::domain::id::{Bytes, Malformed, PublicKey, Signature};

/// The type of plain Ed25519 signatures in C2SP signed-note.
const ED25519: u8 = 1;
/// What a signature line begins with.
const DASH: &str = "— ";

/// Who signs notes: a name and a key. Written, it is what C2SP calls a vkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    key: PublicKey,
}

/// Why a note is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// It is no note.
    #[error("it is not a signed note")]
    Malformed,
    /// The key has not signed it.
    #[error("{0} has not signed it")]
    Unsigned(String),
    /// A signature of the key is there, and wrong.
    #[error("the signature of {0} is wrong")]
    Wrong(String),
}

impl NoteKey {
    /// A key of this name, which has no blanks and no `+`.
    pub fn new(name: &str, key: PublicKey) -> Result<Self, Malformed> {
        let rule = "not empty, without blanks and +";
        let malformed = || Malformed::new(name, "a name of a key for notes", rule);
        is_name(name).then(|| Self { name: name.to_owned(), key }).ok_or_else(malformed)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    fn id(&self) -> [u8; 4] {
        id(&self.name, ED25519, &self.key)
    }

    /// Signs a text of whole lines. The key must be this one's.
    pub fn sign(&self, key: &SigningKey, text: &str) -> String {
        format!("{text}\n{}", self.line(key, text))
    }

    /// The line that says so below a note of this text. The key must be this one's.
    pub fn line(&self, key: &SigningKey, text: &str) -> String {
        line(&self.name, self.id(), &key.sign_raw(text.as_bytes()).0)
    }

    /// The text of a note that this key has signed. Signatures of other keys say nothing here.
    pub fn verify<'n>(&self, note: &'n str) -> Result<&'n str, NoteFault> {
        let (text, lines) = split(note)?;
        let mut is_signed = false;
        for line in lines {
            let Line { name, id, signature, .. } = line?;
            if name != self.name || id != self.id() {
                continue;
            }
            let wrong = || NoteFault::Wrong(self.name.clone());
            let signature: Signature = Bytes(signature.try_into().map_err(|_| wrong())?);
            verify_raw(&self.key, text.as_bytes(), &signature).map_err(|_| wrong())?;
            is_signed = true;
        }
        match is_signed {
            true => Ok(text),
            false => Err(NoteFault::Unsigned(self.name.clone())),
        }
    }

    /// The same note with one signature of this key and nothing else, for which anybody could be the
    /// source: not longer, however often it was repeated.
    pub fn alone(&self, note: &str) -> Result<String, NoteFault> {
        let text = self.verify(note)?;
        for line in split(note)?.1 {
            let line = line?;
            if line.name == self.name && line.id == self.id() {
                return Ok(format!("{text}\n{}\n", line.whole));
            }
        }
        Err(NoteFault::Unsigned(self.name.clone()))
    }
}

/// Largest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// A signature line of a note.
pub(super) struct Line<'n> {
    /// Who signed.
    pub name: &'n str,
    /// By which key: see [`id`].
    pub id: [u8; 4],
    /// As its kind of key makes them.
    pub signature: Vec<u8>,
    /// The line as it is, without its end.
    pub whole: &'n str,
}

/// Whether a key may be called so.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// The first four bytes of a digest of name and key: how signature lines name a key.
pub(super) fn id(name: &str, algorithm: u8, key: &PublicKey) -> [u8; 4] {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([b'\n', algorithm]);
    hash.update(key.0);
    let mut id = [0; 4];
    id.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    id
}

/// A signature line with its end.
pub(super) fn line(name: &str, id: [u8; 4], signature: &[u8]) -> String {
    format!("{DASH}{name} {}\n", BASE64_STANDARD.encode([&id[..], signature].concat()))
}

/// A key as C2SP writes it.
pub(super) fn vkey(name: &str, algorithm: u8, key: &PublicKey) -> String {
    let encoded = BASE64_STANDARD.encode([&[algorithm], &key.0[..]].concat());
    format!("{name}+{}+{encoded}", hex::encode(id(name, algorithm, key)))
}

/// Name and key of a key for this kind of signature, as it is written and in no other spelling.
pub(super) fn parse_vkey(text: &str, algorithm: u8) -> Option<(&str, PublicKey)> {
    let (name, rest) = text.split_once('+').filter(|(name, _)| is_name(name))?;
    let (_, key) = rest.split_once('+')?;
    let key = BASE64_STANDARD.decode(key).ok()?;
    let (kind, key) = key.split_first()?;
    let key = Bytes(key.try_into().ok().filter(|_| *kind == algorithm)?);
    // With its id right, it is written as it was read.
    (vkey(name, algorithm, &key) == text).then_some((name, key))
}

/// A note's text with its last newline, and its signature lines.
pub(super) fn split(
    note: &str,
) -> Result<(&str, impl Iterator<Item = Result<Line<'_>, NoteFault>>), NoteFault> {
    let is_strange = note.len() > NOTE_BYTES_MAX || note.contains(|c| c < ' ' && c != '\n');
    let at = note.rfind("\n\n").filter(|_| !is_strange).ok_or(NoteFault::Malformed)?;
    let (text, rest) = note.split_at(at + 1);
    let lines = rest.strip_prefix('\n').and_then(|rest| rest.strip_suffix('\n'));
    let lines = lines.ok_or(NoteFault::Malformed)?.split('\n');
    let parsed = lines.map(|whole| {
        let parsed = || {
            let (name, signed) = whole.strip_prefix(DASH)?.split_once(' ')?;
            let signed = BASE64_STANDARD.decode(signed).ok()?;
            let (id, signature) = signed.split_first_chunk()?;
            let is_whole = !name.is_empty() && !signature.is_empty();
            is_whole.then(|| Line { name, id: *id, signature: signature.to_vec(), whole })
        };
        parsed().ok_or(NoteFault::Malformed)
    });
    Ok((text, parsed))
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&vkey(&self.name, ED25519, &self.key))
    }
}

impl FromStr for NoteKey {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let rule = "NAME+ID+KEY as C2SP signed-note writes an Ed25519 key";
        let malformed = || Malformed::new(text, "a verifier key", rule);
        let (name, key) = parse_vkey(text, ED25519).ok_or_else(malformed)?;
        Ok(Self { name: name.to_owned(), key })
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;
    use signed_note::{Note, StandardVerifier, VerifierList};

    use super::*;

    const TEXT: &str = "vault.example/1\n7\nroot\n";

    fn key() -> (SigningKey, NoteKey) {
        let key = SigningKey::generate(&mut OsRng);
        let named = NoteKey::new("vault.example/1", key.public()).unwrap();
        (key, named)
    }

    #[test]
    fn notes_are_those_of_the_crate_signed_note() {
        let (key, named) = key();
        let note = named.sign(&key, TEXT);
        assert_eq!(named.verify(&note), Ok(TEXT));
        let theirs = StandardVerifier::new(&named.to_string()).unwrap();
        let parsed = Note::from_bytes(note.as_bytes()).unwrap();
        let (signed, others) = parsed.verify(&VerifierList::new(vec![Box::new(theirs)])).unwrap();
        assert_eq!((signed.len(), others.len()), (1, 0));
        assert_eq!(parsed.text(), TEXT.as_bytes());
        assert_eq!(named.to_string().parse(), Ok(named));
        // The example of C2SP's and Go's documentation.
        let known = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\n\
                    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSN\
                    XgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert!(known.parse::<NoteKey>().unwrap().verify(note).is_ok());
    }

    #[test]
    fn a_note_is_believed_for_its_text_and_key_only() {
        let (signer, named) = key();
        let note = named.sign(&signer, TEXT);
        let (other, stranger) = (SigningKey::generate(&mut OsRng), key().1);
        let renamed = NoteKey::new("vault.example/2", *named.key()).unwrap();
        let unsigned = |key: &NoteKey| Err(NoteFault::Unsigned(key.name().to_owned()));
        assert_eq!(stranger.verify(&note), unsigned(&stranger));
        assert_eq!(renamed.verify(&note), unsigned(&renamed));
        // A line that names the key, made by another.
        assert_eq!(
            named.verify(&named.sign(&other, TEXT)),
            Err(NoteFault::Wrong("vault.example/1".to_owned()))
        );
        let line = note.lines().last().unwrap();
        for (what, changed) in [
            ("another text", note.replacen("\n7\n", "\n8\n", 1)),
            ("a text behind", note.replacen("root\n", "root\n\nmore\n", 1)),
            ("no signature", format!("{TEXT}\n")),
            ("no empty line", format!("{TEXT}{line}\n")),
            ("no newline", note.trim_end().to_owned()),
            ("a hyphen", note.replacen('—', "-", 1)),
            ("not Base64", note.replacen(line, &format!("{line}!"), 1)),
            ("a control character", note.replacen("root", "ro\rot", 1)),
            ("nothing", String::new()),
            ("newlines", "\n\n".to_owned()),
            ("too long", format!("{}{note}", "x\n".repeat(NOTE_BYTES_MAX / 2))),
        ] {
            assert!(named.verify(&changed).is_err(), "{what}: {changed:?}");
        }
        // Another's line beside it changes nothing.
        let both = format!("{note}— witness.example AAAAAAAA\n");
        assert_eq!(named.verify(&both), Ok(TEXT));
        let first = format!("{TEXT}\n— witness.example AAAAAAAA\n{line}\n");
        for with_others in [&note, &both, &first] {
            assert_eq!(named.alone(with_others).as_ref(), Ok(&note));
        }
        let repeated = format!("{note}{line}\n{line}\n");
        assert_eq!(named.alone(&repeated).as_ref(), Ok(&note));
        assert_eq!(stranger.alone(&both), Err(NoteFault::Unsigned(stranger.name().to_owned())));
        assert_eq!(
            named.verify(&format!("{note}— witness.example ?\n")),
            Err(NoteFault::Malformed)
        );
    }

    #[test]
    fn keys_have_one_spelling() {
        let text = key().1.to_string();
        let (name, id_and_key) = text.split_once('+').unwrap();
        for other in [
            format!("other+{id_and_key}"),
            format!("{name} x+{id_and_key}"),
            format!("+{id_and_key}"),
            name.to_owned(),
            format!("{text}A"),
            text.replacen("+A", "+B", 1),
            String::new(),
        ] {
            assert!(other.parse::<NoteKey>().is_err(), "{other}");
        }
    }
}
