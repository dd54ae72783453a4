//! Fiat–Shamir transcripts: every item with its length, every proof with its own domain.

use curve25519_dalek::Scalar;
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

/// What a proof is about, as a running hash.
#[derive(Clone)]
pub(super) struct Transcript(Sha512);

impl Transcript {
    /// Begins a transcript in a domain.
    pub(super) fn new(domain: &str) -> Self {
        Self(Sha512::new()).with(b"escrow-vault/proof/v1").with(domain.as_bytes())
    }

    /// Appends an item, its length first.
    pub(super) fn with(mut self, item: impl AsRef<[u8]>) -> Self {
        let item = item.as_ref();
        self.0.update((item.len() as u64).to_be_bytes());
        self.0.update(item);
        self
    }

    /// The challenge to everything so far.
    pub(super) fn challenge(self) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.0.finalize().into())
    }

    /// A nonce that is unique to secret and transcript even where the generator fails, and
    /// unpredictable even where the secret is known to repeat.
    pub(super) fn nonce(
        &self,
        label: &str,
        secrets: &[&Scalar],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Zeroizing<Scalar> {
        let mut fresh = Zeroizing::new([0; 32]);
        rng.fill_bytes(fresh.as_mut());
        let mut hedged = self.clone().with("nonce").with(label).with(&fresh[..]);
        for secret in secrets {
            hedged = hedged.with(&Zeroizing::new(secret.to_bytes())[..]);
        }
        Zeroizing::new(hedged.challenge())
    }
}
