//! The signatures and proofs of a deposit by themselves.

use std::time::{Duration, Instant};

use escrow_vault::crypto::release_key::{ReleaseKey, deal, number};
use escrow_vault::crypto::seal::{Origin, Seal, is_origin_proved};
use escrow_vault::crypto::signature::{self, SigningKey};
use escrow_vault::domain::id::{AgreementId, Bytes, OrganisationName};
use rand_core::OsRng;

const TIMES: u32 = 2_000;
/// About as long as the statement of a deposit is.
const STATEMENT_BYTES: usize = 1_600;
/// About as long as a signed head is.
const HEAD_BYTES: usize = 400;

/// What one deposit takes of a processor.
pub(crate) struct Floor {
    /// To verify the statement and its proof of origin.
    pub(crate) vault: Duration,
    /// To sign the statement, and to verify the head that answers it.
    pub(crate) caller: Duration,
}

/// Measures it.
pub(crate) fn measure() -> Floor {
    let names: Vec<OrganisationName> = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
    let dealt = deal(&names, 2, &mut OsRng).unwrap();
    let key = ReleaseKey::check(&dealt.commitment, 2, &number(&names)).unwrap();
    let origin =
        Origin { agreement: AgreementId::of(&Bytes([3; 32])), depositor: names[0].clone() };
    let seal = Seal::new(&key, &origin, &mut OsRng).unwrap();
    let (header, proof) = (seal.header(), seal.proof());
    let signer = SigningKey::generate(&mut OsRng);
    let (statement, head) = (vec![b's'; STATEMENT_BYTES], vec![b'h'; HEAD_BYTES]);
    let signed = [&statement, &head].map(|text| signer.sign("tag", text));
    let verify = |text: &[u8], signed| signature::verify(&signer.public(), "tag", text, signed);
    let each = |work: &dyn Fn()| {
        let began = Instant::now();
        (0..TIMES).for_each(|_| work());
        began.elapsed() / TIMES
    };
    let vault = each(&|| {
        verify(&statement, &signed[0]).unwrap();
        assert!(is_origin_proved(proof, &header.ephemeral, &header.sha256, &origin));
    });
    let caller = each(&|| {
        assert_eq!(signer.sign("tag", &statement), signed[0]);
        verify(&head, &signed[1]).unwrap();
    });
    Floor { vault, caller }
}
