//! The signatures and proofs of a deposit by themselves.
//!
//! Told as wall time and as processor time: on a machine that is busy otherwise only the second says
//! what they take, and it is the second that the processor time of a whole deposit is held beside.

use std::time::{Duration, Instant};

use escrow_vault::crypto::release_key::{ReleaseKey, deal, number};
use escrow_vault::crypto::seal::{Origin, Seal, is_origin_proved};
use escrow_vault::crypto::signature::{self, SigningKey};
use escrow_vault::domain::id::{AgreementId, Bytes, OrganisationName};
use rand_core::OsRng;
use rustix::time::{ClockId, clock_gettime};

const TIMES: u32 = 2_000;
/// About as long as the statement of a deposit is.
const STATEMENT_BYTES: usize = 1_600;
/// About as long as a signed head is.
const HEAD_BYTES: usize = 400;

/// What one deposit takes.
pub(crate) struct Floor {
    /// To verify the statement and its proof of origin.
    pub(crate) vault: Taken,
    /// To sign the statement, and to verify the head that answers it.
    pub(crate) caller: Taken,
}

/// By the clock, and of a processor.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
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
        let (began, before) = (Instant::now(), cpu());
        (0..TIMES).for_each(|_| work());
        Taken { wall: began.elapsed() / TIMES, cpu: (cpu() - before) / TIMES }
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

/// The processor time that this thread has taken so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}
