//! Invitations: one line that opens the door of a vault once.
//!
//! `escrow-invitation-1.` and base64url of the fields with a checksum. The line carries what a
//! newcomer cannot know otherwise: address, CA fingerprint, ledger key, a secret, and for a
//! colleague the fingerprint of the organisation that invites. The CA may be replaced before the
//! invitation is used; the ledger key stays.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::crypto::strict_json;
use crate::domain::id::{Bytes, Digest, Fingerprint, MemberPath, PublicKey};
use crate::domain::time::Timestamp;

/// An invitation. Its `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Where the vault listens: host and port.
    pub address: String,
    /// SHA-256 of the vault's CA certificate.
    pub ca_sha256: Digest,
    /// The key that signs the vault's heads, and for its CAs.
    pub ledger_key: PublicKey,
    /// Who is invited.
    pub member: MemberPath,
    /// The fingerprint of the organisation's key; none for an organisation's first member.
    pub organisation_fingerprint: Option<Fingerprint>,
    /// What proves the invitation.
    pub secret: Zeroizing<[u8; 32]>,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Why a text is not an invitation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnInvitation {
    /// It does not begin like one.
    #[error("this is not an invitation to a vault")]
    Other,
    /// Made by a later version.
    #[error("this invitation was made by a newer version of the program")]
    Newer,
    /// All its letters have become small, or all capital.
    #[error("small and capital letters of this invitation were made the same")]
    Folded,
    /// Its end is missing, or characters were changed.
    #[error("this invitation was cut short or mistyped")]
    Damaged,
}

impl NotAnInvitation {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Other => {
                "give the one line that begins with escrow-invitation-1., whole and nothing besides"
            }
            Self::Newer => "install the program's current version",
            Self::Folded => "have it sent in another way, for example as a file",
            Self::Damaged => "copy the whole line again; if it stays so, ask for a new invitation",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    address: String,
    ca_sha256: Digest,
    ledger_key: PublicKey,
    member: MemberPath,
    organisation_fingerprint: Option<Fingerprint>,
    secret: Bytes<32>,
    expires_at: Timestamp,
}

const BEGIN: &str = "escrow-invitation-";
const VERSION: &str = "1.";
const CHECKSUM_BYTES: usize = 8;

impl Invitation {
    /// Longest text of an invitation, in bytes.
    pub const TEXT_BYTES_MAX: usize = 4 * 1024;

    /// The digest under which the vault knows the secret.
    pub fn secret_sha256(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(b"escrow-vault/invitation-secret/v1\0");
        hash.update(&self.secret[..]);
        Bytes(hash.finalize().into())
    }

    /// As one line.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut fields = Fields {
            address: self.address.clone(),
            ca_sha256: self.ca_sha256,
            ledger_key: self.ledger_key,
            member: self.member.clone(),
            organisation_fingerprint: self.organisation_fingerprint,
            secret: Bytes(*self.secret),
            expires_at: self.expires_at,
        };
        let mut bytes = Zeroizing::new(serde_json::to_vec(&fields).unwrap_or_default());
        fields.secret.0.zeroize();
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        let encoded = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(&*bytes));
        Zeroizing::new(format!("{BEGIN}{VERSION}{}", encoded.as_str()))
    }

    /// Reads an invitation. What mail programs put in does not matter: blanks, line breaks,
    /// quotation marks, signs of quoting.
    pub fn parse(text: &str) -> Result<Self, NotAnInvitation> {
        if text.len() > Self::TEXT_BYTES_MAX {
            return Err(NotAnInvitation::Other);
        }
        let joined: Zeroizing<String> =
            Zeroizing::new(text.chars().filter(|c| !is_of_mail(*c)).collect());
        if is_folded(&joined) {
            return Err(NotAnInvitation::Folded);
        }
        let versioned = joined.strip_prefix(BEGIN).ok_or(NotAnInvitation::Other)?;
        let encoded = versioned.strip_prefix(VERSION).ok_or(NotAnInvitation::Newer)?;
        let damaged = NotAnInvitation::Damaged;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(|_| damaged.clone())?;
        let bytes = Zeroizing::new(bytes);
        let (json, sum) = bytes
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or_else(|| damaged.clone())?;
        if checksum(json) != sum {
            return Err(damaged);
        }
        let fields: Fields = strict_json::parse(json, Self::TEXT_BYTES_MAX).map_err(|_| damaged)?;
        Ok(Self {
            address: fields.address,
            ca_sha256: fields.ca_sha256,
            ledger_key: fields.ledger_key,
            member: fields.member,
            organisation_fingerprint: fields.organisation_fingerprint,
            secret: Zeroizing::new(fields.secret.0),
            expires_at: fields.expires_at,
        })
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({}, {})", self.member, self.address)
    }
}

/// What mail programs put into a line, and no invitation has.
fn is_of_mail(c: char) -> bool {
    let invisible = ['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];
    c.is_whitespace() || "<>\"'`=“”„‘’«»".contains(c) || invisible.contains(&c)
}

/// Whether an invitation's letters are all small, or all capital: of so many that is no chance.
fn is_folded(text: &str) -> bool {
    const LETTERS_MIN: usize = 40;
    let head = text.get(..BEGIN.len()).is_some_and(|head| head.eq_ignore_ascii_case(BEGIN));
    let body = text.get(BEGIN.len()..).unwrap_or_default();
    let capital = body.chars().filter(char::is_ascii_uppercase).count();
    let small = body.chars().filter(char::is_ascii_lowercase).count();
    head && capital + small >= LETTERS_MIN && (capital == 0 || small == 0)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::strict_json::tests::second_spellings_are_refused;

    fn invitation() -> Invitation {
        Invitation {
            address: "vault.example:7443".to_owned(),
            ca_sha256: Bytes([1; 32]),
            ledger_key: Bytes([4; 32]),
            member: "hanbit-parts/minji".parse().unwrap(),
            organisation_fingerprint: Some(Fingerprint::of(&Bytes([2; 32]))),
            secret: Zeroizing::new([3; 32]),
            expires_at: Timestamp::from_millis(1_800_000_000_000),
        }
    }

    #[test]
    fn an_invitation_has_no_second_spelling() {
        let fields = Fields {
            address: "vault.example:7443".to_owned(),
            ca_sha256: Bytes([1; 32]),
            ledger_key: Bytes([4; 32]),
            member: "hanbit-parts/minji".parse().unwrap(),
            organisation_fingerprint: None,
            secret: Bytes([3; 32]),
            expires_at: Timestamp::from_millis(1_800_000_000_000),
        };
        assert_eq!(second_spellings_are_refused(&fields), 7);
    }

    #[test]
    fn invitations_survive_being_mailed() {
        let text = invitation().to_text();
        assert_eq!(Invitation::parse(&text), Ok(invitation()));
        let wrapped: String =
            text.as_bytes().chunks(72).map(|l| String::from_utf8_lossy(l) + "\r\n ").collect();
        let quoted = wrapped.replace("\r\n ", "=\r\n> > ");
        for mailed in
            [format!("\n {wrapped}"), format!("> \u{201c}{quoted}\u{201d}"), format!("<{}>", *text)]
        {
            assert_eq!(Invitation::parse(&mailed), Ok(invitation()), "{mailed}");
        }
        let colleague = Invitation { organisation_fingerprint: None, ..invitation() };
        assert_eq!(Invitation::parse(&colleague.to_text()), Ok(colleague));
    }

    #[test]
    fn mistakes_are_told_apart() {
        let text = invitation().to_text();
        for cut in BEGIN.len() + VERSION.len()..text.len() {
            assert_eq!(Invitation::parse(&text[..cut]), Err(NotAnInvitation::Damaged), "{cut}");
        }
        let later = text.replace("invitation-1.", "invitation-2.");
        for (bad, fault) in [
            ("", NotAnInvitation::Other),
            ("dear minji, here it is", NotAnInvitation::Other),
            (later.as_str(), NotAnInvitation::Newer),
            (&text.to_lowercase(), NotAnInvitation::Folded),
            (&text.to_uppercase(), NotAnInvitation::Folded),
            (&format!("{}x", text.as_str()), NotAnInvitation::Damaged),
            (&text.replacen('e', "f", 40), NotAnInvitation::Other),
            (&"x".repeat(5_000), NotAnInvitation::Other),
        ] {
            assert_eq!(Invitation::parse(bad), Err(fault), "{bad:.40}");
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        assert!(!format!("{:?}", invitation()).contains("03"));
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_noticed(at in 21usize..200, with in "[A-Za-z0-9_-]") {
            let text = invitation().to_text();
            let mut changed = text.to_string();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != *text);
            prop_assert_eq!(Invitation::parse(&changed), Err(NotAnInvitation::Damaged));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = Invitation::parse(&text);
            let _ = Invitation::parse(&format!("{BEGIN}{VERSION}{text}"));
        }
    }
}
