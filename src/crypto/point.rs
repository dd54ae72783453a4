//! Points and scalars from outside: decoded one way or refused.
//!
//! Everything lives in the prime-order subgroup of edwards25519. Small and mixed orders, the
//! twist, the identity and second encodings of a value are refused at the door, so that no proof
//! further in has to think of them.

use std::cell::Cell;

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::traits::IsIdentity;
use curve25519_dalek::{EdwardsPoint, Scalar};

use crate::domain::id::{Bytes, Element};

/// Why bytes are not a point or scalar to reckon with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PointFault {
    /// No point at all, or one of the twist.
    #[error("not a point of the curve")]
    NotOnCurve,
    /// A second encoding of a value that has another.
    #[error("not the canonical encoding")]
    NotCanonical,
    /// The neutral element, of which everybody knows the logarithm.
    #[error("the neutral element")]
    Identity,
    /// A point of small or mixed order.
    #[error("a point outside the prime-order subgroup")]
    Torsion,
}

/// Lifts a u-coordinate of Curve25519, as in an age header, to the Edwards point with sign 0.
/// The point that was meant may be its negative; X25519 sees no difference.
///
/// A deposit's statement and the header of its bundle name one point, which is lifted for each: so the
/// last that a thread has lifted is remembered.
pub fn lift(u: &Element) -> Result<EdwardsPoint, PointFault> {
    thread_local! {
        static LAST: Cell<Option<(Element, EdwardsPoint)>> = const { Cell::new(None) };
    }
    match LAST.get() {
        Some((last, point)) if last == *u => Ok(point),
        Some(_) | None => {
            let point = lift_anew(u)?;
            LAST.set(Some((*u, point)));
            Ok(point)
        }
    }
}

fn lift_anew(u: &Element) -> Result<EdwardsPoint, PointFault> {
    let point = MontgomeryPoint(u.0).to_edwards(0).ok_or(PointFault::NotOnCurve)?;
    // Its own u-coordinate is this one modulo p.
    if !is_below_p(u) {
        return Err(PointFault::NotCanonical);
    }
    prime_order(point)
}

/// Whether these bytes are a number below p = 2^255 − 19, the least first.
fn is_below_p(bytes: &Element) -> bool {
    let [first, rest @ .., last] = &bytes.0;
    *last < 0x7f || (*last == 0x7f && (*first < 0xed || rest.iter().any(|byte| *byte != 0xff)))
}

/// Decodes a compressed Edwards point.
pub fn decode(bytes: &Element) -> Result<EdwardsPoint, PointFault> {
    let point = CompressedEdwardsY(bytes.0).decompress().ok_or(PointFault::NotOnCurve)?;
    if point.compress().to_bytes() != bytes.0 {
        return Err(PointFault::NotCanonical);
    }
    prime_order(point)
}

/// Decodes a scalar below the group order.
pub fn decode_scalar(bytes: &Element) -> Result<Scalar, PointFault> {
    Option::from(Scalar::from_canonical_bytes(bytes.0)).ok_or(PointFault::NotCanonical)
}

/// A point as it is written down.
pub fn encode(point: &EdwardsPoint) -> Element {
    Bytes(point.compress().to_bytes())
}

/// A point's u-coordinate, as age writes it.
pub fn u_coordinate(point: &EdwardsPoint) -> Element {
    Bytes(point.to_montgomery().to_bytes())
}

fn prime_order(point: EdwardsPoint) -> Result<EdwardsPoint, PointFault> {
    if point.is_identity() {
        Err(PointFault::Identity)
    } else if !is_torsion_free(&point) {
        Err(PointFault::Torsion)
    } else {
        Ok(point)
    }
}

/// Whether the group's order ℓ times the point is the identity, reckoned as (ℓ − 1)·P = −P, since ℓ is
/// no scalar. What comes from outside is no secret, so that this may take the shorter way.
fn is_torsion_free(point: &EdwardsPoint) -> bool {
    let (last, zero) = (-Scalar::ONE, Scalar::ZERO);
    EdwardsPoint::vartime_double_scalar_mul_basepoint(&last, point, &zero) == -point
}

const AGE: bech32::Hrp = bech32::Hrp::parse_unchecked("age");

/// A u-coordinate as an `age1…` recipient.
pub fn recipient(u: &Element) -> String {
    bech32::encode::<bech32::Bech32>(AGE, &u.0).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use proptest::prelude::*;

    use super::*;

    /// A u-coordinate of the twist: the first small one that no curve point has.
    pub(crate) fn on_the_twist() -> Element {
        (2..=u8::MAX)
            .map(|first| {
                let mut u = Bytes([0; 32]);
                u.0[0] = first;
                u
            })
            .find(|u| MontgomeryPoint(u.0).to_edwards(0).is_none())
            .unwrap()
    }

    #[test]
    fn only_the_prime_order_subgroup_comes_in() {
        let base = ED25519_BASEPOINT_POINT;
        assert_eq!(decode(&encode(&base)), Ok(base));
        assert_eq!(decode(&encode(&-base)), Ok(-base));
        for torsion in EIGHT_TORSION {
            let fault =
                if torsion.is_identity() { PointFault::Identity } else { PointFault::Torsion };
            assert_eq!(decode(&encode(&torsion)), Err(fault), "small order");
            let mixed = base + torsion;
            if !torsion.is_identity() {
                assert_eq!(decode(&encode(&mixed)), Err(PointFault::Torsion), "mixed order");
                assert_eq!(lift(&u_coordinate(&mixed)), Err(PointFault::Torsion), "mixed order");
                assert!(lift(&u_coordinate(&torsion)).is_err(), "small order");
            }
        }
    }

    #[test]
    fn numbers_below_p_are_those_that_a_reduction_leaves_as_they_are() {
        let written = |first: u8, between: u8, last: u8| {
            let mut bytes = [between; 32];
            (bytes[0], bytes[31]) = (first, last);
            Bytes(bytes)
        };
        for (what, bytes, expected) in [
            ("0", written(0, 0, 0), true),
            ("p - 1", written(0xec, 0xff, 0x7f), true),
            ("p", written(0xed, 0xff, 0x7f), false),
            ("2^255 - 1", written(0xff, 0xff, 0x7f), false),
            ("p with a lower byte between", written(0xff, 0xfe, 0x7f), true),
            ("2^255", written(0, 0, 0x80), false),
            ("all bits", written(0xff, 0xff, 0xff), false),
        ] {
            assert_eq!(is_below_p(&bytes), expected, "{what}");
            let back = MontgomeryPoint(bytes.0).to_edwards(0);
            // p - 1 is no point's.
            if let Some(point) = back {
                assert_eq!(u_coordinate(&point) == bytes, expected, "{what}");
            }
        }
    }

    proptest! {
        #[test]
        fn torsion_is_what_the_curves_own_test_finds(scalar: [u8; 32], torsion in 0usize..8) {
            let point = EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(scalar));
            let mixed = point + EIGHT_TORSION[torsion];
            prop_assert_eq!(is_torsion_free(&mixed), mixed.is_torsion_free());
            prop_assert_eq!(is_torsion_free(&mixed), torsion == 0);
        }
    }

    #[test]
    fn second_encodings_are_refused() {
        // 1 + p, the identity's y-coordinate written a second time.
        let mut y = Bytes([0xff; 32]);
        y.0[0] = 0xee;
        y.0[31] = 0x7f;
        assert_eq!(decode(&y), Err(PointFault::NotCanonical));
        // 9 + p does not fit in 255 bits, but the top bit that X25519 ignores does.
        let mut u = u_coordinate(&ED25519_BASEPOINT_POINT);
        assert_eq!(lift(&u).map(|point| u_coordinate(&point)), Ok(u));
        u.0[31] |= 0x80;
        assert_eq!(lift(&u), Err(PointFault::NotCanonical));
        assert_eq!(lift(&on_the_twist()), Err(PointFault::NotOnCurve));
        assert_eq!(decode_scalar(&Bytes([0xff; 32])), Err(PointFault::NotCanonical));
    }

    #[test]
    fn recipients_are_those_of_age() {
        let u = u_coordinate(&ED25519_BASEPOINT_POINT);
        let text = recipient(&u);
        let read: age::x25519::Recipient = text.parse().unwrap();
        assert_eq!(read.to_string(), text);
    }

    proptest! {
        #[test]
        fn what_is_decoded_has_one_encoding(bytes: [u8; 32]) {
            if let Ok(point) = decode(&Bytes(bytes)) {
                prop_assert_eq!(encode(&point).0, bytes);
            }
            if let Ok(point) = lift(&Bytes(bytes)) {
                prop_assert_eq!(u_coordinate(&point).0, bytes);
                prop_assert_eq!(lift(&Bytes(bytes)), lift_anew(&Bytes(bytes)), "as remembered");
            }
        }
    }
}
