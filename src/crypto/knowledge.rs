//! Schnorr proofs of knowledge of a discrete logarithm, bound to what they are for.

use curve25519_dalek::traits::IsIdentity as _;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand_core::{CryptoRng, RngCore};

use crate::crypto::point;
use crate::crypto::transcript::Transcript;
use crate::domain::statement::Knowledge;

/// Proves knowledge of `secret` behind `point` = `secret`·B. The transcript says what for.
pub(super) fn prove(
    context: Transcript,
    point: &EdwardsPoint,
    secret: &Scalar,
    rng: &mut (impl RngCore + CryptoRng),
) -> Knowledge {
    let context = context.with(point::encode(point));
    let nonce = context.nonce("knowledge", &[secret], rng);
    let commitment = point::encode(&EdwardsPoint::mul_base(&nonce));
    let challenge = context.with(commitment).challenge();
    let response = *nonce + challenge * secret;
    Knowledge { commitment, response: crate::domain::id::Bytes(response.to_bytes()) }
}

/// Whether the prover knew the logarithm of `point`, for this context. The point is of prime order, as
/// all are that this crate decodes.
pub(super) fn holds(context: Transcript, point: &EdwardsPoint, proof: &Knowledge) -> bool {
    let Ok(response) = point::decode_scalar(&proof.response) else { return false };
    let challenge = context.with(point::encode(point)).with(proof.commitment).challenge();
    // What the commitment must have been. Being of prime order and encoded anew, it is compared as it
    // is written: so no other encoding of it counts, and no point of another order. All of this is
    // public, so that the time it takes may tell of it.
    let committed =
        EdwardsPoint::vartime_double_scalar_mul_basepoint(&-challenge, point, &response);
    !committed.is_identity() && point::encode(&committed) == proof.commitment
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use proptest::prelude::*;
    use rand_core::OsRng;

    use super::*;
    use crate::domain::id::Bytes;

    /// The same in the other way: everything is decoded, and the equation is reckoned out.
    fn holds_by_the_book(context: Transcript, point: &EdwardsPoint, proof: &Knowledge) -> bool {
        let (Ok(commitment), Ok(response)) =
            (point::decode(&proof.commitment), point::decode_scalar(&proof.response))
        else {
            return false;
        };
        let challenge = context.with(point::encode(point)).with(proof.commitment).challenge();
        EdwardsPoint::mul_base(&response) == commitment + challenge * point
    }

    fn context() -> Transcript {
        Transcript::new("test")
    }

    #[test]
    fn a_proof_has_one_commitment_in_one_encoding() {
        let secret = Scalar::from(7u64);
        let point = EdwardsPoint::mul_base(&secret);
        let good = prove(context(), &point, &secret, &mut OsRng);
        // Made for this very commitment, as a cheat would.
        let made_for = |commitment: EdwardsPoint, nonce: Scalar| {
            let commitment = point::encode(&commitment);
            let challenge = context().with(point::encode(&point)).with(commitment).challenge();
            let response = Bytes((nonce + challenge * secret).to_bytes());
            Knowledge { commitment, response }
        };
        let nonce = Scalar::from(5u64);
        let committed = EdwardsPoint::mul_base(&nonce);
        let beyond = |mut bytes: Bytes<32>| {
            bytes.0[31] |= 0xe0;
            bytes
        };
        for (what, proof, expected) in [
            ("as it was proved", good, true),
            ("another commitment of the same form", made_for(committed, nonce), true),
            ("no commitment at all", made_for(EdwardsPoint::default(), Scalar::ZERO), false),
            ("of small order", made_for(EIGHT_TORSION[1], Scalar::ZERO), false),
            ("of mixed order", made_for(committed + EIGHT_TORSION[3], nonce), false),
            ("the other sign", made_for(-committed, nonce), false),
            ("another's", made_for(ED25519_BASEPOINT_POINT, nonce), false),
            (
                "a response beyond the order",
                Knowledge { response: beyond(good.response), ..good },
                false,
            ),
        ] {
            assert_eq!(holds(context(), &point, &proof), expected, "{what}");
            assert_eq!(holds_by_the_book(context(), &point, &proof), expected, "{what}");
        }
        assert!(!holds(Transcript::new("else"), &point, &good));
    }

    proptest! {
        #[test]
        fn what_holds_holds_by_the_book(secret: [u8; 32], at in 0usize..64, bit in 0u8..8) {
            let secret = Scalar::from_bytes_mod_order(secret);
            let point = EdwardsPoint::mul_base(&secret);
            prop_assume!(secret != Scalar::ZERO);
            let mut proof = prove(context(), &point, &secret, &mut OsRng);
            prop_assert!(holds(context(), &point, &proof));
            prop_assert!(holds_by_the_book(context(), &point, &proof));
            let byte = match at {
                0..32 => &mut proof.commitment.0[at],
                _ => &mut proof.response.0[at - 32],
            };
            *byte ^= 1 << bit;
            prop_assert!(!holds(context(), &point, &proof));
            prop_assert!(!holds_by_the_book(context(), &point, &proof));
        }
    }
}
