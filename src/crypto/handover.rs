//! Handing a ledger key over, and following the keys of a log from one that is known.

use crate::crypto::signature::{self, SigningKey};
use crate::domain::handover::{HANDOVERS_MAX, Handover, SignedHandover};
use crate::domain::id::PublicKey;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// The domain tag of both signatures.
pub const TAG: &str = "escrow-vault/ledger-key/v1";

/// Why a handover is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandoverFault {
    /// A key that should have signed it has not.
    #[error("the handover to key {0} of the log is not signed by both keys")]
    Unsigned(u32),
    /// It does not follow on the one before.
    #[error("the handover to key {0} of the log does not follow on the one before")]
    Broken(u32),
    /// There are more than a vault has in its life.
    #[error("{0} handovers of the log's key")]
    TooMany(usize),
    /// The key that is known is none of them.
    #[error("the log's key is another one than was known, and was not handed over by it")]
    Unknown,
}

/// Signs that `to` takes over from `from`.
pub fn sign(
    (origin, number, at): (Text, u32, Timestamp),
    from: &SigningKey,
    to: &SigningKey,
) -> SignedHandover {
    let handover = Handover { origin, number, from: from.public(), to: to.public(), at };
    let text = handover.text();
    let [by_from, by_to] = [from, to].map(|key| key.sign(TAG, text.as_bytes()));
    SignedHandover { handover, by_from, by_to }
}

/// The keys that a log has had since `known` was its key, that one first and the one of today last.
/// `handovers` are all that the log has had.
pub fn successors(
    known: &PublicKey,
    origin: &Text,
    handovers: &[SignedHandover],
) -> Result<Vec<PublicKey>, HandoverFault> {
    if handovers.len() > HANDOVERS_MAX {
        return Err(HandoverFault::TooMany(handovers.len()));
    }
    let mut keys: Vec<PublicKey> = Vec::new();
    for (number, signed) in (2..).zip(handovers) {
        let SignedHandover { handover, by_from, by_to } = signed;
        let follows = keys.last().is_none_or(|last| *last == handover.from);
        if handover.number != number || handover.origin != *origin || !follows {
            return Err(HandoverFault::Broken(number));
        }
        let text = handover.text();
        for (key, signature) in [(&handover.from, by_from), (&handover.to, by_to)] {
            signature::verify(key, TAG, text.as_bytes(), signature)
                .map_err(|_| HandoverFault::Unsigned(number))?;
        }
        if keys.is_empty() {
            keys.push(handover.from);
        }
        keys.push(handover.to);
    }
    if keys.is_empty() {
        return Ok(vec![*known]);
    }
    let at = keys.iter().position(|key| key == known).ok_or(HandoverFault::Unknown)?;
    Ok(keys.split_off(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn handed(number: u32, from: u8, to: u8) -> SignedHandover {
        let origin = "vault.example/escrow".parse().unwrap();
        sign((origin, number, Timestamp::EPOCH), &key(from), &key(to))
    }

    #[test]
    fn keys_are_followed_from_any_that_was_known_and_over_whole_chains_only() {
        let origin: Text = "vault.example/escrow".parse().unwrap();
        let [one, two, three] = [1, 2, 3].map(|number| key(number).public());
        let all = [handed(2, 1, 2), handed(3, 2, 3)];
        let found =
            |known: &PublicKey, handovers: &[SignedHandover]| successors(known, &origin, handovers);
        assert_eq!(found(&one, &[]), Ok(vec![one]), "nothing was handed over");
        assert_eq!(found(&one, &all), Ok(vec![one, two, three]));
        assert_eq!(found(&two, &all), Ok(vec![two, three]));
        assert_eq!(found(&three, &all), Ok(vec![three]));
        assert_eq!(found(&key(4).public(), &all), Err(HandoverFault::Unknown));
        let altered = |change: fn(&mut SignedHandover)| {
            let mut altered = all.clone();
            change(&mut altered[1]);
            altered
        };
        for (what, handovers, fault) in [
            ("in another order", vec![all[1].clone(), all[0].clone()], HandoverFault::Broken(2)),
            ("without the first", vec![all[1].clone()], HandoverFault::Broken(2)),
            ("twice", vec![all[0].clone(), all[0].clone()], HandoverFault::Broken(3)),
            ("by a stranger", vec![all[0].clone(), handed(3, 4, 3)], HandoverFault::Broken(3)),
            (
                "of another log",
                altered(|it| it.handover.origin = "other.example/escrow".parse().unwrap()).to_vec(),
                HandoverFault::Broken(3),
            ),
            (
                "to another key",
                altered(|it| it.handover.to = key(4).public()).to_vec(),
                HandoverFault::Unsigned(3),
            ),
            (
                "at another time",
                altered(|it| it.handover.at = Timestamp::from_millis(1)).to_vec(),
                HandoverFault::Unsigned(3),
            ),
            (
                "signed by the new key only",
                altered(|it| it.by_from = it.by_to).to_vec(),
                HandoverFault::Unsigned(3),
            ),
            (
                "signed by the old key only",
                altered(|it| it.by_to = it.by_from).to_vec(),
                HandoverFault::Unsigned(3),
            ),
            ("too many", vec![all[0].clone(); 33], HandoverFault::TooMany(33)),
        ] {
            assert_eq!(found(&one, &handovers), Err(fault), "{what}");
        }
    }
}
