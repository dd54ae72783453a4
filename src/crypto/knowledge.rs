//! Schnorr proofs of knowledge of a discrete logarithm, bound to what they are for.

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

/// Whether the prover knew the logarithm of `point`, for this context.
pub(super) fn holds(context: Transcript, point: &EdwardsPoint, proof: &Knowledge) -> bool {
    let (Ok(commitment), Ok(response)) =
        (point::decode(&proof.commitment), point::decode_scalar(&proof.response))
    else {
        return false;
    };
    let challenge = context.with(point::encode(point)).with(proof.commitment).challenge();
    EdwardsPoint::mul_base(&response) == commitment + challenge * point
}
