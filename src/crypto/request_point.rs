//! The requester's fresh point: what contributions are blinded to, so that only it can use them.

use std::fmt;

use curve25519_dalek::{EdwardsPoint, Scalar};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::crypto::knowledge;
use crate::crypto::point::{self, PointFault};
use crate::crypto::transcript::Transcript;
use crate::domain::id::{AgreementId, Bytes, DepositId, Element, MemberPath};
use crate::domain::statement::Knowledge;

/// The secret *r* of one request. Erased when dropped; its `Debug` shows nothing.
#[derive(Clone)]
pub struct RequestSecret(Zeroizing<Scalar>);

/// What a proof of possession is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose<'a> {
    /// Under which agreement.
    pub agreement: &'a AgreementId,
    /// For which deposit.
    pub deposit: &'a DepositId,
    /// By whom.
    pub requester: &'a MemberPath,
}

impl Purpose<'_> {
    fn transcript(&self) -> Transcript {
        Transcript::new("request point")
            .with(self.agreement.as_str())
            .with(self.deposit.as_str())
            .with(self.requester.to_string())
    }
}

impl RequestSecret {
    /// A fresh secret.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self(Zeroizing::new(Scalar::random(rng)))
    }

    /// From 32 bytes, little-endian, below the group order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, PointFault> {
        point::decode_scalar(&Bytes(*bytes)).map(|scalar| Self(Zeroizing::new(scalar)))
    }

    /// As 32 bytes, little-endian.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The point *R = rB*, compressed.
    pub fn point(&self) -> Element {
        point::encode(&EdwardsPoint::mul_base(&self.0))
    }

    /// Proves that the requester knows *r*, for this purpose.
    pub fn prove(&self, purpose: &Purpose<'_>, rng: &mut (impl RngCore + CryptoRng)) -> Knowledge {
        let point = EdwardsPoint::mul_base(&self.0);
        knowledge::prove(purpose.transcript(), &point, &self.0, rng)
    }

    pub(super) fn scalar(&self) -> &Scalar {
        &self.0
    }
}

impl fmt::Debug for RequestSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestSecret")
    }
}

/// Whether the requester knows the logarithm of its point, for this purpose.
pub fn is_possessed(point: &Element, proof: &Knowledge, purpose: &Purpose<'_>) -> bool {
    let point = point::decode(point);
    point.is_ok_and(|point| knowledge::holds(purpose.transcript(), &point, proof))
}
