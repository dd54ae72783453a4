//! Under which policy a token was made.

use std::fmt;

use crate::crypto::timestamp::asn1::Oid;

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

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
