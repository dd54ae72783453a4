//! Under which policy a token was made.

use std::fmt;
use std::str::FromStr;

use crate::crypto::timestamp::asn1::Oid;
use crate::domain::id::Malformed;

/// The policy of vaults' own authorities: the time is the vault's, cut off to the second, and never
/// runs backwards; the key is made in the vault and certified by its CA. Nobody is identified, and
/// nothing is proved against whoever runs the vault.
///
/// From the UUID 2a37b7e0-3bf2-563f-a110-23415f56d2a4 (ITU-T X.667), which is version 5 of
/// "escrow-vault/timestamp-policy/v1" in the name space of URLs: no registry has to be asked, and
/// anybody can derive it again.
pub const POLICY: &str = "2.25.56116881596804336557502594882356040356";

/// The same in DER.
pub(super) const OURS: Oid<'_> = Oid(&[
    0x69, 0xd4, 0xb7, 0xdb, 0xf8, 0x87, 0xbf, 0x92, 0xd8, 0xff, 0xa1, 0x88, 0x88, 0xe8, 0x95, 0xfa,
    0xdb, 0xa5, 0x24,
]);

/// A policy, written as numbers with dots between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy(String);

impl Policy {
    /// `None` where a number takes more than 128 bits.
    pub(super) fn of(oid: Oid<'_>) -> Option<Self> {
        let mut numbers: Vec<u128> = Vec::new();
        let mut number: u128 = 0;
        for byte in oid.0 {
            number = number.checked_mul(128)? + u128::from(byte & 0x7f);
            if *byte < 0x80 {
                match numbers.as_slice() {
                    // Two numbers in one (X.690, 8.19.4).
                    [] => {
                        let first = (number / 40).min(2);
                        numbers.extend([first, number - 40 * first]);
                    }
                    [..] => numbers.push(number),
                }
                number = 0;
            }
        }
        let numbers: Vec<_> = numbers.iter().map(u128::to_string).collect();
        Some(Self(numbers.join(".")))
    }
}

impl Policy {
    /// As its bytes of DER, without tag and length.
    pub(super) fn der(&self) -> Vec<u8> {
        encoded(&self.0).unwrap_or_default()
    }
}

/// `None` where this is no object identifier, or has a number of more than 128 bits.
fn encoded(text: &str) -> Option<Vec<u8>> {
    let numbers: Vec<u128> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [first @ 0..=2, second, rest @ ..] = numbers.as_slice() else { return None };
    if *first < 2 && *second > 39 {
        return None;
    }
    let mut der = Vec::new();
    for number in [first.checked_mul(40)?.checked_add(*second)?].iter().chain(rest) {
        let bits = 128 - number.leading_zeros();
        for group in (0..bits.div_ceil(7).max(1)).rev() {
            let more = if group > 0 { 0x80 } else { 0 };
            der.push(((number >> (7 * group)) & 0x7f) as u8 | more);
        }
    }
    Some(der)
}

impl FromStr for Policy {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let rule = "an object identifier: numbers with dots between them, like 1.2.3.4";
        let parsed = encoded(text).and_then(|der| Self::of(Oid(&der)));
        // One spelling only.
        let parsed = parsed.filter(|policy| policy.0 == text);
        parsed.ok_or_else(|| Malformed::new(text, "a policy", rule))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_one_spelling_and_comes_back_from_der() {
        let largest = format!("2.{}.0", u128::MAX - 80);
        for text in [POLICY, "1.2.3.4.1", "0.0", "0.39.128", "2.40.16383.16384", &largest] {
            let policy: Policy = text.parse().unwrap();
            assert_eq!(policy.to_string(), text);
            assert_eq!(Policy::of(Oid(&policy.der())), Some(policy), "{text}");
        }
        assert_eq!(POLICY.parse::<Policy>().unwrap().der(), OURS.0);
        let beyond = format!("2.{}", u128::MAX);
        for text in ["", "1", "3.1", "1.40", "1.02", "1.2.", ".1.2", "1.-2", "1.+2", "a.b", &beyond]
        {
            assert!(text.parse::<Policy>().is_err(), "{text}");
        }
    }
}
