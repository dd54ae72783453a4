//! The release key: an age recipient whose secret exists only as shares.
//!
//! A Feldman verifiable secret sharing (Feldman 1987) on edwards25519, dealt by `frost-ed25519`'s
//! trusted dealer. Whoever receives a share checks the dealer against the published commitment;
//! public shares are always computed from the commitment, never taken from anybody.

use std::collections::BTreeMap;
use std::fmt;

use curve25519_dalek::traits::Identity as _;
use curve25519_dalek::{EdwardsPoint, Scalar};
use frost_ed25519::keys::{IdentifierList, generate_with_dealer};
use rand_core::{CryptoRng, RngCore};
use zeroize::{Zeroize as _, Zeroizing};

use crate::crypto::point::{self, PointFault};
use crate::domain::id::{Bytes, Element, OrganisationName};
use crate::domain::statement::Holder;
use crate::domain::terms::limit;

/// Why a dealt key, or a share of it, is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DealerFault {
    /// Under a shorter commitment fewer than `quorum` holders could open bundles: under one of
    /// length 1 each holder would have the whole secret.
    #[error("the commitment has {length} points; a quorum of {quorum} takes exactly as many")]
    Length {
        /// Points in the commitment.
        length: usize,
        /// Points there must be.
        quorum: u16,
    },
    /// Fewer than two shares open, or more than there are.
    #[error("a quorum of {quorum} among {holders} holders makes no release key")]
    Quorum {
        /// The quorum.
        quorum: u16,
        /// How many holders there are.
        holders: usize,
    },
    /// Holders must be different organisations, numbered from 1 in order.
    #[error("holder {0} is named twice or out of order")]
    Holder(OrganisationName),
    /// One of the commitment's points is not acceptable.
    #[error("point {index} of the commitment is not acceptable")]
    Point {
        /// Which, from 0.
        index: usize,
        /// Why.
        #[source]
        cause: PointFault,
    },
    /// The commitment gives a holder a public share that everybody knows the secret of.
    #[error("the commitment gives {0} an empty share")]
    EmptyShare(OrganisationName),
    /// The share is not the one the commitment speaks of: the dealer, or whoever passed the
    /// share on, cheated or erred.
    #[error("the share of {0} does not match the commitment")]
    Share(OrganisationName),
    /// Not a holder at all.
    #[error("{0} holds no share of this key")]
    NotHolder(OrganisationName),
    /// The generator or the library failed.
    #[error("the key could not be dealt")]
    Dealing,
}

/// One holder's share of the secret. Erased when dropped; its `Debug` shows nothing.
#[derive(Clone)]
pub struct Share(Zeroizing<Scalar>);

impl Share {
    /// From 32 bytes, little-endian, below the group order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, PointFault> {
        point::decode_scalar(&Bytes(*bytes)).map(|scalar| Self(Zeroizing::new(scalar)))
    }

    /// As 32 bytes, little-endian.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    pub(super) fn scalar(&self) -> &Scalar {
        &self.0
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share")
    }
}

/// A freshly dealt key. The secret itself is already forgotten.
#[derive(Debug)]
pub struct Dealt {
    /// Feldman commitment: one compressed point for each of the quorum's coefficients.
    pub commitment: Vec<Element>,
    /// Each holder's share.
    pub shares: Vec<(OrganisationName, Share)>,
}

/// Deals a key among holders, numbered from 1 in the order given.
pub fn deal(
    holders: &[OrganisationName],
    quorum: u16,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Dealt, DealerFault> {
    let numbered = number(holders);
    let count = u16::try_from(holders.len()).unwrap_or(u16::MAX);
    let too_few = DealerFault::Quorum { quorum, holders: holders.len() };
    if quorum < 2 || quorum > count || holders.len() > limit::PARTIES_MAX {
        return Err(too_few);
    }
    let identifiers = (1..=count).map(frost_ed25519::Identifier::try_from);
    let identifiers: Vec<_> = identifiers.collect::<Result<_, _>>().map_err(|_| too_few)?;
    let list = IdentifierList::Custom(&identifiers);
    let (secrets, _) =
        generate_with_dealer(count, quorum, list, rng).map_err(|_| DealerFault::Dealing)?;
    let mut commitment = Vec::new();
    let mut shares = Vec::with_capacity(holders.len());
    for (identifier, organisation) in identifiers.iter().zip(holders) {
        let secret = secrets.get(identifier).ok_or(DealerFault::Dealing)?;
        if commitment.is_empty() {
            let points = secret.commitment().serialize().map_err(|_| DealerFault::Dealing)?;
            commitment =
                points.iter().filter_map(|p| p.as_slice().try_into().ok().map(Bytes)).collect();
        }
        let bytes = Zeroizing::new(secret.signing_share().serialize());
        let mut array = Zeroizing::new([0; 32]);
        array.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
        let share = Share::from_bytes(&array).map_err(|_| DealerFault::Dealing)?;
        array.zeroize();
        shares.push((organisation.clone(), share));
    }
    // What others will check, the dealer checks first: a faulty generator ends here.
    let key = ReleaseKey::check(&commitment, quorum, &numbered)?;
    shares.iter().try_for_each(|(holder, share)| key.check_share(holder, share))?;
    Ok(Dealt { commitment, shares })
}

/// Holders with their places in the sharing, from 1.
pub fn number(holders: &[OrganisationName]) -> Vec<Holder> {
    let numbered = holders.iter().cloned().zip(1..);
    numbered.map(|(organisation, identifier)| Holder { organisation, identifier }).collect()
}

/// A release key whose dealer has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseKey {
    quorum: u16,
    secret_point: EdwardsPoint,
    public_shares: BTreeMap<OrganisationName, (u16, EdwardsPoint)>,
}

impl ReleaseKey {
    /// Checks everything about a dealt key that can be checked without a share.
    pub fn check(
        commitment: &[Element],
        quorum: u16,
        holders: &[Holder],
    ) -> Result<Self, DealerFault> {
        if quorum < 2 || usize::from(quorum) > holders.len() || holders.len() > limit::PARTIES_MAX {
            return Err(DealerFault::Quorum { quorum, holders: holders.len() });
        }
        if commitment.len() != usize::from(quorum) {
            return Err(DealerFault::Length { length: commitment.len(), quorum });
        }
        let decode = |(index, bytes)| {
            point::decode(bytes).map_err(|cause| DealerFault::Point { index, cause })
        };
        let points: Vec<_> = commitment.iter().enumerate().map(decode).collect::<Result<_, _>>()?;
        let secret_point = points.first().copied().ok_or(DealerFault::Dealing)?;
        let mut public_shares = BTreeMap::new();
        for (place, Holder { organisation, identifier }) in (1..).zip(holders) {
            let public = public_share(&points, *identifier);
            if point::decode(&point::encode(&public)).is_err() {
                return Err(DealerFault::EmptyShare(organisation.clone()));
            }
            let twin = public_shares.insert(organisation.clone(), (*identifier, public));
            if twin.is_some() || *identifier != place {
                return Err(DealerFault::Holder(organisation.clone()));
            }
        }
        Ok(Self { quorum, secret_point, public_shares })
    }

    /// How many shares open a bundle.
    pub fn quorum(&self) -> u16 {
        self.quorum
    }

    /// The `age1…` recipient that bundles are sealed to.
    pub fn recipient(&self) -> String {
        point::recipient(&self.u_coordinate())
    }

    /// Checks that a share is the one that the commitment speaks of.
    pub fn check_share(&self, holder: &OrganisationName, share: &Share) -> Result<(), DealerFault> {
        let (_, public) = self.holder(holder)?;
        if EdwardsPoint::mul_base(share.scalar()) == public {
            Ok(())
        } else {
            Err(DealerFault::Share(holder.clone()))
        }
    }

    /// A holder's place and public share *Vᵢ = sᵢB*.
    pub(super) fn holder(
        &self,
        holder: &OrganisationName,
    ) -> Result<(u16, EdwardsPoint), DealerFault> {
        let found = self.public_shares.get(holder).copied();
        found.ok_or_else(|| DealerFault::NotHolder(holder.clone()))
    }

    /// The point *P = sB*.
    pub(super) fn point(&self) -> &EdwardsPoint {
        &self.secret_point
    }

    /// *P* as age writes it.
    pub(super) fn u_coordinate(&self) -> Element {
        point::u_coordinate(&self.secret_point)
    }
}

/// The commitment's polynomial at a holder's place, by Horner's rule.
fn public_share(commitment: &[EdwardsPoint], identifier: u16) -> EdwardsPoint {
    let at = Scalar::from(identifier);
    commitment.iter().rev().fold(EdwardsPoint::identity(), |sum, point| sum * at + point)
}

/// Lagrange's coefficient at zero of one place among several different ones.
pub(super) fn lagrange(place: u16, among: &[u16]) -> Scalar {
    let at = Scalar::from(place);
    among.iter().filter(|other| **other != place).fold(Scalar::ONE, |product, other| {
        let other = Scalar::from(*other);
        product * other * (other - at).invert()
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use rand_core::OsRng;

    use super::*;

    pub(crate) fn organisations(count: usize) -> Vec<OrganisationName> {
        (1..=count).map(|i| format!("holder-{i}").parse().unwrap()).collect()
    }

    #[test]
    fn promise_2_a_commitment_of_length_one_is_refused() {
        // Under a constant polynomial every holder has the whole secret alone.
        let holders = number(&organisations(3));
        let secret = EdwardsPoint::mul_base(&Scalar::from(7u8));
        let constant = [point::encode(&secret)];
        let fault = DealerFault::Length { length: 1, quorum: 2 };
        assert_eq!(ReleaseKey::check(&constant, 2, &holders), Err(fault));
        let padded = [constant[0], point::encode(&EdwardsPoint::identity())];
        let cause = PointFault::Identity;
        let fault = DealerFault::Point { index: 1, cause };
        assert_eq!(ReleaseKey::check(&padded, 2, &holders), Err(fault));
        let fault = DealerFault::Quorum { quorum: 1, holders: 3 };
        assert_eq!(ReleaseKey::check(&constant, 1, &holders), Err(fault));
    }

    #[test]
    fn every_check_of_the_dealer_can_fail() {
        let names = organisations(3);
        let dealt = deal(&names, 2, &mut OsRng).unwrap();
        let (holders, good) = (number(&names), &dealt.commitment);
        let key = ReleaseKey::check(good, 2, &holders).unwrap();
        let torsion = curve25519_dalek::constants::EIGHT_TORSION[1];
        let mixed = point::encode(&(point::decode(&good[1]).unwrap() + torsion));
        let mut swapped = holders.clone();
        swapped.swap(0, 1);
        let mut twice = holders.clone();
        twice[1].organisation = names[0].clone();
        // A public share of zero at place 1: p(1) = C₀ + C₁ = 0.
        let empty = [good[0], point::encode(&-point::decode(&good[0]).unwrap())];
        for (commitment, quorum, holders, fault) in [
            (
                &[good[0], mixed][..],
                2,
                &holders,
                DealerFault::Point { index: 1, cause: PointFault::Torsion },
            ),
            (good, 3, &holders, DealerFault::Length { length: 2, quorum: 3 }),
            (good, 4, &holders, DealerFault::Quorum { quorum: 4, holders: 3 }),
            (good, 2, &swapped, DealerFault::Holder(names[1].clone())),
            (good, 2, &twice, DealerFault::Holder(names[0].clone())),
            (&empty, 2, &holders, DealerFault::EmptyShare(names[0].clone())),
        ] {
            assert_eq!(ReleaseKey::check(commitment, quorum, holders), Err(fault));
        }
        let (own, others) = (&dealt.shares[0], &dealt.shares[1]);
        assert_eq!(key.check_share(&own.0, &own.1), Ok(()));
        assert_eq!(key.check_share(&own.0, &others.1), Err(DealerFault::Share(own.0.clone())));
        let stranger: OrganisationName = "stranger".parse().unwrap();
        let fault = Err(DealerFault::NotHolder(stranger.clone()));
        assert_eq!(key.check_share(&stranger, &own.1), fault);
    }

    #[test]
    fn shares_show_nothing() {
        let share = Share::from_bytes(&[9; 32]).map(|share| format!("{share:?}"));
        assert_eq!(share.as_deref(), Ok("Share"));
    }
}
