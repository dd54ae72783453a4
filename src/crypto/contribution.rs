//! Contributions: a holder's share applied to one file for one request, with proof.
//!
//! *C₁ = kB*, *C₂ = sᵢE + kR* is ElGamal encryption of *sᵢE* to the requester's point *R*. The proof
//! is a Fiat–Shamir proof of *(sᵢ, k)* for *Vᵢ = sᵢB, C₁ = kB, C₂ = sᵢE + kR* together (Chaum and
//! Pedersen 1992, extended), so that the vault can refuse a bad one by name and learns nothing.

use std::collections::BTreeMap;

use curve25519_dalek::traits::Identity as _;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::open::SharedSecret;
use crate::crypto::point::{self, PointFault};
use crate::crypto::release_key::{DealerFault, ReleaseKey, Share, lagrange};
use crate::crypto::request_point::RequestSecret;
use crate::crypto::transcript::Transcript;
use crate::domain::id::{Bytes, Digest, Element, OrganisationName};

/// Which request a contribution is for. Change anything in it and the contribution is void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Digest of the request's statement, which pins everything else.
    pub request_sha256: Digest,
    /// Digest of the release key's statement.
    pub release_key_sha256: Digest,
    /// Epoch of the release key.
    pub epoch: u32,
    /// The bundle's ephemeral point *E*, a u-coordinate.
    pub ephemeral: Element,
    /// The requester's point *R*.
    pub request_point: Element,
}

/// A contribution, as the requester gets it on release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// Format.
    #[serde(rename = "type")]
    pub kind: ContributionType,
    /// Whose share it is.
    pub holder: OrganisationName,
    /// *C₁ = kB*, compressed.
    pub c1: Element,
    /// *C₂ = sᵢE + kR*, compressed.
    pub c2: Element,
    /// The proof's challenge, a scalar.
    pub challenge: Element,
    /// The answer for the share, a scalar.
    pub share_response: Element,
    /// The answer for the blinding, a scalar.
    pub blinding_response: Element,
}

/// The type tag of contributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContributionType {
    /// The first format.
    #[serde(rename = "escrow-vault/share-contribution/v1")]
    V1,
}

impl Contribution {
    /// Largest contribution, in bytes of JSON.
    pub const BYTES_MAX: usize = 2 * 1024;
}

/// Why a contribution is refused, or several don't open a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContributionFault {
    /// One of the points or scalars it comes with, or is for, is not acceptable.
    #[error("a value in the contribution of {holder} is not acceptable")]
    Value {
        /// Whose.
        holder: OrganisationName,
        /// Why.
        #[source]
        cause: PointFault,
    },
    /// Whose it is said to be holds no share, or the key does not fit.
    #[error("the contribution does not fit the release key")]
    Key(#[source] DealerFault),
    /// Made for another request or file, by another share, or by nobody.
    #[error("the contribution of {0} was not made by its share for this request and file")]
    Proof(OrganisationName),
    /// Fewer different holders than the quorum.
    #[error("{have} different shares, where {quorum} open the bundle")]
    TooFew {
        /// How many there are.
        have: usize,
        /// How many it takes.
        quorum: u16,
    },
}

/// What both sides of the proof reckon with.
struct Bases {
    ephemeral: EdwardsPoint,
    request: EdwardsPoint,
    transcript: Transcript,
}

impl Target {
    fn bases(
        &self,
        holder: &OrganisationName,
        place: u16,
        public: &EdwardsPoint,
    ) -> Result<Bases, ContributionFault> {
        let value = |cause| ContributionFault::Value { holder: holder.clone(), cause };
        let transcript = Transcript::new("contribution")
            .with(self.request_sha256)
            .with(self.release_key_sha256)
            .with(self.epoch.to_be_bytes())
            .with(holder.as_str())
            .with(place.to_be_bytes())
            .with(point::encode(public))
            .with(self.ephemeral)
            .with(self.request_point);
        let ephemeral = point::lift(&self.ephemeral).map_err(value)?;
        let request = point::decode(&self.request_point).map_err(value)?;
        Ok(Bases { ephemeral, request, transcript })
    }
}

/// Applies a holder's share to a request's file.
pub fn contribute(
    key: &ReleaseKey,
    holder: &OrganisationName,
    share: &Share,
    target: &Target,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Contribution, ContributionFault> {
    key.check_share(holder, share).map_err(ContributionFault::Key)?;
    let (place, public) = key.holder(holder).map_err(ContributionFault::Key)?;
    let Bases { ephemeral, request, transcript } = target.bases(holder, place, &public)?;
    let secret = share.scalar();
    let blinding = transcript.nonce("blinding", &[secret], rng);
    let c1 = point::encode(&EdwardsPoint::mul_base(&blinding));
    let c2 = point::encode(&(secret * ephemeral + *blinding * request));
    let transcript = transcript.with(c1).with(c2);
    let for_share = transcript.nonce("share", &[secret, &blinding], rng);
    let for_blinding = transcript.nonce("blinding proof", &[secret, &blinding], rng);
    let challenge = transcript
        .with(point::encode(&EdwardsPoint::mul_base(&for_share)))
        .with(point::encode(&EdwardsPoint::mul_base(&for_blinding)))
        .with(point::encode(&(*for_share * ephemeral + *for_blinding * request)))
        .challenge();
    Ok(Contribution {
        kind: ContributionType::V1,
        holder: holder.clone(),
        c1,
        c2,
        challenge: Bytes(challenge.to_bytes()),
        share_response: Bytes((*for_share + challenge * secret).to_bytes()),
        blinding_response: Bytes((*for_blinding + challenge * *blinding).to_bytes()),
    })
}

/// Checks that a contribution was made by its holder's share for this request and file.
pub fn verify(
    key: &ReleaseKey,
    contribution: &Contribution,
    target: &Target,
) -> Result<(), ContributionFault> {
    let holder = &contribution.holder;
    let value = |cause| ContributionFault::Value { holder: holder.clone(), cause };
    let (place, public) = key.holder(holder).map_err(ContributionFault::Key)?;
    let Bases { ephemeral, request, transcript } = target.bases(holder, place, &public)?;
    let c1 = point::decode(&contribution.c1).map_err(value)?;
    let c2 = point::decode(&contribution.c2).map_err(value)?;
    let challenge = point::decode_scalar(&contribution.challenge).map_err(value)?;
    let share = point::decode_scalar(&contribution.share_response).map_err(value)?;
    let blinding = point::decode_scalar(&contribution.blinding_response).map_err(value)?;
    let expected = transcript
        .with(contribution.c1)
        .with(contribution.c2)
        .with(point::encode(&(EdwardsPoint::mul_base(&share) - challenge * public)))
        .with(point::encode(&(EdwardsPoint::mul_base(&blinding) - challenge * c1)))
        .with(point::encode(&(share * ephemeral + blinding * request - challenge * c2)))
        .challenge();
    if expected == challenge { Ok(()) } else { Err(ContributionFault::Proof(holder.clone())) }
}

/// Combines a quorum of contributions, and the requester's own share where it has one, into the
/// secret that opens the file. Every contribution is verified first.
pub fn combine(
    key: &ReleaseKey,
    contributions: &[Contribution],
    own: Option<(&OrganisationName, &Share)>,
    secret: &RequestSecret,
    target: &Target,
) -> Result<SharedSecret, ContributionFault> {
    let mut parts: BTreeMap<u16, Zeroizing<EdwardsPoint>> = BTreeMap::new();
    if let Some((holder, share)) = own {
        key.check_share(holder, share).map_err(ContributionFault::Key)?;
        let (place, public) = key.holder(holder).map_err(ContributionFault::Key)?;
        let bases = target.bases(holder, place, &public)?;
        parts.insert(place, Zeroizing::new(share.scalar() * bases.ephemeral));
    }
    for contribution in contributions {
        verify(key, contribution, target)?;
        let holder = &contribution.holder;
        let value = |cause| ContributionFault::Value { holder: holder.clone(), cause };
        let (place, _) = key.holder(holder).map_err(ContributionFault::Key)?;
        let c1 = point::decode(&contribution.c1).map_err(value)?;
        let c2 = point::decode(&contribution.c2).map_err(value)?;
        parts.entry(place).or_insert(Zeroizing::new(c2 - secret.scalar() * c1));
    }
    let quorum = key.quorum();
    let places: Vec<u16> = parts.keys().copied().take(quorum.into()).collect();
    if places.len() < usize::from(quorum) {
        return Err(ContributionFault::TooFew { have: places.len(), quorum });
    }
    let mut sum = Zeroizing::new(EdwardsPoint::identity());
    for (place, part) in parts.iter().take(quorum.into()) {
        let coefficient: Scalar = lagrange(*place, &places);
        *sum += coefficient * **part;
    }
    Ok(SharedSecret::new(Zeroizing::new(point::u_coordinate(&sum).0)))
}
