//! Cosignatures: what a witness signs of a log that it has seen to be only added to (C2SP
//! tlog-cosignature), in the version for Ed25519.
//!
//! What is signed begins with `cosignature/v1`, as no checkpoint and nothing else here does.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::crypto::note::{self, Line, NoteFault, is_name, parse_vkey, split, vkey};
use crate::crypto::signature::{SigningKey, verify_raw};
use crate::domain::id::{Bytes, Malformed, PublicKey, Signature};

/// The type of timestamped Ed25519 cosignatures in C2SP signed-note.
const COSIGNATURE: u8 = 4;
/// Bytes of the time before the signature itself.
const TIME_BYTES: usize = size_of::<u64>();
/// What a signing key is written behind, as Go's `note` package does.
const SIGNING: &str = "PRIVATE+KEY+";

/// Who cosigns: a name and a key. Written, it is what C2SP calls a vkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key: PublicKey,
}

/// A cosignature that names itself; whether it is one, nobody has looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Whose it says that it is.
    pub name: String,
    /// From when it says that it is, in seconds since 1970.
    pub at: u64,
}

impl WitnessKey {
    /// A key of this name, which has no blanks and no `+`.
    pub fn new(name: &str, key: PublicKey) -> Result<Self, Malformed> {
        let rule = "not empty, without blanks and +, such as witness.orient-display.example";
        let malformed = || Malformed::new(name, "a witness's name", rule);
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
        note::id(&self.name, COSIGNATURE, &self.key)
    }

    /// The signature line over a checkpoint's text, made at this time, in seconds since 1970. The key
    /// must be this one's.
    pub fn cosign(&self, key: &SigningKey, checkpoint: &str, at: u64) -> String {
        let signature = key.sign_raw(signed(checkpoint, at).as_bytes());
        note::line(&self.name, self.id(), &[&at.to_be_bytes()[..], &signature.0].concat())
    }

    /// When this key has cosigned a note last; `None` where it has not. A line that names the key and
    /// was not made by it spoils the note.
    pub fn cosigned(&self, note: &str) -> Result<Option<u64>, NoteFault> {
        let (text, lines) = split(note)?;
        let mut last = None;
        for line in lines {
            let line = line?;
            if line.name == self.name && line.id == self.id() {
                last = last.max(Some(self.check(text, &line)?));
            }
        }
        Ok(last)
    }

    /// The one line of those that a witness answers with which is this key's over a checkpoint's text.
    pub fn line_among(&self, checkpoint: &str, lines: &str) -> Result<String, NoteFault> {
        let note = format!("{checkpoint}\n{lines}");
        let (text, answered) = split(&note)?;
        if text != checkpoint {
            return Err(NoteFault::Malformed);
        }
        let mut found = Err(NoteFault::Unsigned(self.name.clone()));
        for line in answered {
            let line = line?;
            if line.name == self.name && line.id == self.id() {
                self.check(text, &line)?;
                found = Ok(format!("{}\n", line.whole));
            }
        }
        found
    }

    fn check(&self, text: &str, line: &Line<'_>) -> Result<u64, NoteFault> {
        let wrong = || NoteFault::Wrong(self.name.clone());
        let (at, signature) = parts(&line.signature).ok_or_else(wrong)?;
        verify_raw(&self.key, signed(text, at).as_bytes(), &signature).map_err(|_| wrong())?;
        Ok(at)
    }

    /// Key and name together, as they are kept: `PRIVATE+KEY+NAME+ID+SEED`.
    pub fn keep(&self, key: &SigningKey) -> String {
        let seed = BASE64_STANDARD.encode([&[COSIGNATURE], &key.to_bytes()[..]].concat());
        format!("{SIGNING}{}+{}+{seed}\n", self.name, hex::encode(self.id()))
    }

    /// Reads what [`WitnessKey::keep`] has written.
    pub fn kept(text: &str) -> Option<(Self, SigningKey)> {
        let mut parts = text.strip_suffix('\n')?.strip_prefix(SIGNING)?.split('+');
        let (name, _, seed) = (parts.next()?, parts.next()?, parts.next()?);
        // A plus may be a digit of the seed.
        let seed = parts.fold(seed.to_owned(), |seed, more| format!("{seed}+{more}"));
        let seed = BASE64_STANDARD.decode(seed).ok()?;
        let (kind, seed) = seed.split_first()?;
        let key = SigningKey::from_bytes(seed.try_into().ok().filter(|_| *kind == COSIGNATURE)?);
        let named = Self::new(name, key.public()).ok()?;
        (named.keep(&key) == text).then_some((named, key))
    }
}

/// The lines of a note that look like cosignatures, by what they say of themselves.
pub fn claimed(note: &str) -> Vec<Claimed> {
    let lines = split(note).map(|(_, lines)| lines.flatten().collect()).unwrap_or_default();
    let lines: Vec<Line<'_>> = lines;
    let claimed = lines.iter().filter_map(|line| {
        let (at, _) = parts(&line.signature)?;
        Some(Claimed { name: line.name.to_owned(), at })
    });
    claimed.collect()
}

/// Time and signature of a cosignature.
fn parts(signature: &[u8]) -> Option<(u64, Signature)> {
    let (at, signature) = signature.split_first_chunk::<TIME_BYTES>()?;
    let at = Some(u64::from_be_bytes(*at)).filter(|at| i64::try_from(*at).is_ok())?;
    Some((at, Bytes(signature.try_into().ok()?)))
}

/// What a cosignature is over.
fn signed(checkpoint: &str, at: u64) -> String {
    format!("cosignature/v1\ntime {at}\n{checkpoint}")
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&vkey(&self.name, COSIGNATURE, &self.key))
    }
}

impl FromStr for WitnessKey {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let rule = "NAME+ID+KEY as C2SP writes a witness's Ed25519 key (type 4)";
        let parsed = parse_vkey(text, COSIGNATURE);
        let (name, key) =
            parsed.ok_or_else(|| Malformed::new(text, "a witness's verifier key", rule))?;
        Ok(Self { name: name.to_owned(), key })
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;
    use signed_note::{Note, Verifier, VerifierList};

    use super::*;
    use crate::crypto::note::NoteKey;

    const TEXT: &str = "vault.example/1\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    const NAME: &str = "witness.orient-display.example";
    const AT: u64 = 1_679_315_147;

    fn witness() -> (SigningKey, WitnessKey) {
        let key = SigningKey::generate(&mut OsRng);
        let named = WitnessKey::new(NAME, key.public()).unwrap();
        (key, named)
    }

    /// The specification's rule, over other people's code for notes and curves.
    struct Theirs(WitnessKey);

    impl Verifier for Theirs {
        fn name(&self) -> &str {
            self.0.name()
        }

        fn key_id(&self) -> u32 {
            signed_note::key_id(self.0.name(), &[&[4], &self.0.key().0[..]].concat())
        }

        fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
            let (at, signature) = signature.split_at(8);
            let at = u64::from_be_bytes(at.try_into().unwrap());
            let signed = [format!("cosignature/v1\ntime {at}\n").as_bytes(), text].concat();
            let key = ed25519_dalek::VerifyingKey::from_bytes(&self.0.key().0).unwrap();
            key.verify_strict(&signed, &signature.try_into().unwrap()).is_ok()
        }
    }

    #[test]
    fn a_cosignature_is_what_c2sp_says_beside_the_log_own_signature() {
        let log = SigningKey::generate(&mut OsRng);
        let log_key = NoteKey::new("vault.example/1", log.public()).unwrap();
        let (key, named) = witness();
        let line = named.cosign(&key, TEXT, AT);
        let note = format!("{}{line}", log_key.sign(&log, TEXT));
        assert_eq!(log_key.verify(&note), Ok(TEXT), "the log's signature is not disturbed");
        assert_eq!(named.cosigned(&note), Ok(Some(AT)));
        assert_eq!(named.cosigned(&log_key.sign(&log, TEXT)), Ok(None));
        assert_eq!(named.line_among(TEXT, &line), Ok(line.clone()));
        let [claimed] = &claimed(&note)[..] else { panic!("{note}") };
        assert_eq!((claimed.name.as_str(), claimed.at), (NAME, AT));
        let parsed = Note::from_bytes(note.as_bytes()).unwrap();
        let known = VerifierList::new(vec![Box::new(Theirs(named.clone()))]);
        let (signed, others) = parsed.verify(&known).unwrap();
        assert_eq!((signed.len(), others.len()), (1, 1));
        assert_eq!(named.to_string().parse(), Ok(named.clone()));
        // The type is a part of the key: a log's key is no witness's, and the other way round.
        assert!(named.to_string().parse::<NoteKey>().is_err());
        assert!(log_key.to_string().parse::<WitnessKey>().is_err());
    }

    #[test]
    fn the_specifications_own_example_is_read_and_its_message_is_ours() {
        let note = "example.com/behind-the-sofa\n20852163\n\
                    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
                    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4\
                    URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
                    — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEh\
                    ZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
        let claimed = claimed(note);
        assert_eq!(claimed, [Claimed { name: "witness.example.com/w1".to_owned(), at: AT }]);
        assert_eq!(
            signed("example.com/behind-the-sofa\n20852163\nroot\n", AT),
            "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nroot\n"
        );
    }

    #[test]
    fn a_cosignature_counts_for_its_text_time_and_key_only() {
        let (key, named) = witness();
        let (other, stranger) = witness();
        let line = named.cosign(&key, TEXT, AT);
        let wrong = || NoteFault::Wrong(NAME.to_owned());
        let encoded = line.trim_end().rsplit_once(' ').unwrap().1;
        let mut later = BASE64_STANDARD.decode(encoded).unwrap();
        later[11] ^= 1;
        let id = named.id();
        let long = [&(1u64 << 63).to_be_bytes()[..], &[0; 64]].concat();
        for (what, text, lines, expected) in [
            ("another text", TEXT.replace("\n7\n", "\n8\n"), line.clone(), wrong()),
            ("another's", TEXT.to_owned(), named.cosign(&other, TEXT, AT), wrong()),
            (
                "another time",
                TEXT.to_owned(),
                note::line(NAME, id, later.split_off(4).as_slice()),
                wrong(),
            ),
            ("cut", TEXT.to_owned(), note::line(NAME, id, &[0; 71]), wrong()),
            ("no time there is", TEXT.to_owned(), note::line(NAME, id, &long), wrong()),
            (
                "a stranger of the same name",
                TEXT.to_owned(),
                stranger.cosign(&other, TEXT, AT),
                NoteFault::Unsigned(NAME.to_owned()),
            ),
            ("no line", TEXT.to_owned(), "OK\n".to_owned(), NoteFault::Malformed),
            ("no end", TEXT.to_owned(), line.trim_end().to_owned(), NoteFault::Malformed),
            ("two notes", TEXT.to_owned(), format!("{line}\n{line}"), NoteFault::Malformed),
        ] {
            assert_eq!(named.line_among(&text, &lines), Err(expected), "{what}");
        }
        // Twice by the same: the later counts.
        let both = format!("{TEXT}\n{line}{}", named.cosign(&key, TEXT, AT + 9));
        assert_eq!(named.cosigned(&both), Ok(Some(AT + 9)));
        let spoilt = format!("{TEXT}\n{line}{}", named.cosign(&other, TEXT, AT));
        assert_eq!(named.cosigned(&spoilt), Err(wrong()));
    }

    #[test]
    fn key_and_name_are_kept_together_and_read_in_one_spelling() {
        // Often enough for a plus among the seed's digits.
        for _ in 0..64 {
            let (key, named) = witness();
            let kept = named.keep(&key);
            let (again, signer) = WitnessKey::kept(&kept).unwrap();
            assert_eq!((again, signer.public()), (named, key.public()));
            for (from, to) in [
                ("PRIVATE+KEY+", ""),
                ("PRIVATE+KEY+", "PRIVATE+KEY+PRIVATE+KEY+"),
                (NAME, "witness.hanbit-parts.example"),
                ("\n", ""),
                ("\n", "\n\n"),
                ("+BA", "+AQ"),
            ] {
                let other = kept.replacen(from, to, 1);
                assert!(other == kept || WitnessKey::kept(&other).is_none(), "{from} {to}");
            }
        }
        for name in ["", "a b", "a+b", "a\n"] {
            assert!(WitnessKey::new(name, Bytes([1; 32])).is_err(), "{name:?}");
        }
    }
}
