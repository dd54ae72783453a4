//! Time-stamps that outlive their certificates: while one still verifies, another is made over all
//! that it covers and over the token itself (after RFC 4998, 5.2).
//!
//! So of a chain only the newest has to verify now, and each one before it at the time of the one
//! behind it. Nothing of it needs this program: what a token covers is the original and the tokens
//! before it as they lie there, one behind the other, which any tool can put together and hash.

use crate::crypto::timestamp::hash::{Hash, Imprint};
use crate::crypto::timestamp::verify::{Stamp, StampRefused, imprint, verify_under};
use crate::domain::time::Timestamp;

/// A time-stamp of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The token, or the response that it came in, DER.
    pub token: Vec<u8>,
    /// CAs of which one vouches for its signer, DER.
    pub cas: Vec<Vec<u8>>,
}

/// Why a chain does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("time-stamp {number} of {of}")]
pub struct ChainRefused {
    /// Which of its time-stamps, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// What is wrong with it.
    #[source]
    pub refused: StampRefused,
}

/// What the next time-stamp of a chain covers, which of a chain without any is the original alone.
/// Both kinds of bytes say themselves where they end: notes by their last line, tokens as DER.
pub fn covered(hash: Hash, original: &[u8], before: &[Link]) -> Imprint {
    let mut imprint = hash.begin();
    imprint.update(original);
    before.iter().for_each(|link| imprint.update(&link.token));
    imprint.finish()
}

/// Verifies a chain, oldest first, over its original: the newest at this time, if one is given, and
/// each of them at the time of the next. What each says.
pub fn verify_chain(
    original: &[u8],
    chain: &[Link],
    at: Option<Timestamp>,
) -> Result<Vec<Stamp>, ChainRefused> {
    let (mut at, mut stamps) = (at, Vec::with_capacity(chain.len()));
    let mut left = chain;
    while let [before @ .., link] = left {
        let verified = imprint(&link.token).and_then(|claimed| {
            let covered = covered(claimed.hash(), original, before);
            verify_under(&link.token, &covered, &link.cas, at)
        });
        let (number, of) = (left.len(), chain.len());
        let (stamp, _) = verified.map_err(|refused| ChainRefused { number, of, refused })?;
        at = Some(stamp.at);
        stamps.push(stamp);
        left = before;
    }
    stamps.reverse();
    Ok(stamps)
}
