//! A share on its way to a member: sealed to the member's own age key, bound to its place.

use std::io::{Read as _, Write as _};
use std::iter;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::crypto::release_key::Share;
use crate::crypto::strict_json;
use crate::domain::id::{AgreementId, Bytes, Element, OrganisationName};

/// Which share of which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Of which agreement's release key.
    pub agreement: AgreementId,
    /// Which of its keys.
    pub epoch: u32,
    /// Whose share.
    pub holder: OrganisationName,
}

/// Why a sealed share is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ShareFault {
    /// The text is no age recipient.
    #[error("{0} is not an age recipient")]
    Recipient(String),
    /// It could not be sealed.
    #[error("the share could not be sealed")]
    Seal(#[source] std::io::Error),
    /// It is not sealed to this key, or damaged.
    #[error("the sealed share does not open with this member's age key")]
    Open,
    /// What it holds is not a share, or one for another place.
    #[error("the sealed share is not the one of {0}")]
    Misplaced(OrganisationName),
}

/// Largest sealed share, in bytes.
pub const SEALED_SHARE_BYTES_MAX: usize = 4 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    #[serde(rename = "type")]
    kind: LetterType,
    place: Place,
    share: Element,
}

#[derive(Serialize, Deserialize)]
enum LetterType {
    #[serde(rename = "escrow-vault/share/v1")]
    V1,
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.share.0.zeroize();
    }
}

/// Seals a share to a member's `age1…` recipient.
pub fn seal(share: &Share, place: &Place, recipient: &str) -> Result<Vec<u8>, ShareFault> {
    let recipient: age::x25519::Recipient =
        recipient.parse().map_err(|_| ShareFault::Recipient(recipient.to_owned()))?;
    let share = Bytes(*share.to_bytes());
    let letter = Letter { kind: LetterType::V1, place: place.clone(), share };
    let failed = |fault| ShareFault::Seal(std::io::Error::other(fault));
    // A buffer that grew would leave the share behind in those it has outgrown.
    let mut text = Zeroizing::new(Vec::with_capacity(SEALED_SHARE_BYTES_MAX));
    serde_json::to_writer(&mut *text, &letter).map_err(failed)?;
    let recipient: &dyn age::Recipient = &recipient;
    let encryptor = age::Encryptor::with_recipients(iter::once(recipient))
        .map_err(|fault| ShareFault::Seal(std::io::Error::other(fault)))?;
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(ShareFault::Seal)?;
    writer.write_all(&text).and_then(|()| writer.finish()).map_err(ShareFault::Seal)?;
    Ok(sealed)
}

/// Opens a sealed share and checks its place. Whether it is the dealer's, the commitment tells.
pub fn open(
    sealed: &[u8],
    place: &Place,
    identity: &age::x25519::Identity,
) -> Result<Share, ShareFault> {
    let mut text = Zeroizing::new(Vec::with_capacity(SEALED_SHARE_BYTES_MAX));
    let identity: &dyn age::Identity = identity;
    age::Decryptor::new_buffered(sealed)
        .and_then(|decryptor| decryptor.decrypt(iter::once(identity)))
        .map_err(|_| ShareFault::Open)?
        .take(SEALED_SHARE_BYTES_MAX as u64)
        .read_to_end(&mut text)
        .map_err(|_| ShareFault::Open)?;
    let misplaced = || ShareFault::Misplaced(place.holder.clone());
    let letter: Letter =
        strict_json::parse(&text, SEALED_SHARE_BYTES_MAX).map_err(|_| misplaced())?;
    if letter.place != *place {
        return Err(misplaced());
    }
    Share::from_bytes(&letter.share.0).map_err(|_| misplaced())
}
