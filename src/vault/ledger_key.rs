//! The keys that have signed the log, and how one hands over to the next.

use crate::crypto::handover;
use crate::crypto::signature::SigningKey;
use crate::domain::event::Note;
use crate::domain::stream::Stream;
use crate::store::Store;
use crate::vault::Vault;
use crate::vault::committer::Work;
use crate::vault::error::VaultError;

/// The keys that a vault signs with.
#[derive(Debug, Clone)]
pub struct LedgerKeys {
    /// The ledger key: it signs everything.
    pub current: SigningKey,
    /// The one before, while some may not know the current one yet: it signs checkpoints, too.
    pub former: Option<SigningKey>,
}

impl From<SigningKey> for LedgerKeys {
    fn from(current: SigningKey) -> Self {
        Self { current, former: None }
    }
}

impl<S: Store> Vault<S> {
    /// Tells durably that another key signs from now on. The vault is to be closed then, and opened
    /// with that key.
    pub async fn hand_over(&self, to: &SigningKey) -> Result<(), VaultError> {
        let vault = self.founded()?;
        let number = u32::try_from(vault.handovers.len()).unwrap_or(u32::MAX).saturating_add(2);
        let which = (self.log().origin.clone(), number, self.now());
        let note = Note::LedgerKeyChanged(handover::sign(which, &self.scribe.key, to));
        self.committer.submit(Work::Note { stream: Stream::Vault, note }).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::crypto::note::NoteKey;
    use crate::domain::id::Bytes;
    use crate::store::{DiskStore, Options};
    use crate::vault::{DomainProjector, Quota, SystemClock, VaultError, identity};

    fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn open(directory: &Path, current: u8, former: Option<u8>) -> Vault<DiskStore> {
        let options = Options { reserve_bytes: 0, may_begin: true, ..Options::default() };
        let store = DiskStore::open(directory, &DomainProjector, &options).unwrap();
        let keys = LedgerKeys { current: key(current), former: former.map(key) };
        let origin = "vault.example/escrow".parse().unwrap();
        Vault::open(store, origin, keys, Arc::new(SystemClock), Quota::default()).unwrap()
    }

    fn signers(vault: &Vault<DiskStore>) -> Vec<u8> {
        let note = vault.checkpoint().unwrap();
        let has_signed = |number: &u8| {
            let key = NoteKey::new("vault.example/escrow/1", key(*number).public()).unwrap();
            key.verify(&note).is_ok()
        };
        (1..=3).filter(has_signed).collect()
    }

    #[tokio::test]
    async fn promise_9_a_log_goes_on_under_another_key_and_bears_out_what_the_old_one_signed() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let founded = Note::Founded {
            ledger_key: key(1).public(),
            operator_key: Bytes([9; 32]),
            ca_sha256: Bytes([8; 32]),
        };
        let vault = open(directory, 1, None);
        vault.found(founded).await.unwrap();
        let mut notes = vec![vault.checkpoint().unwrap()];
        vault.hand_over(&key(2)).await.unwrap();
        vault.close().await;
        drop(vault);
        for (what, current, former, next, kept, made_anew) in [
            ("the change has begun", 2, Some(1), None, &[1, 2][..], &[1, 2][..]),
            ("and is finished", 2, None, None, &[1, 2], &[2]),
            ("and another one begins", 2, None, Some(3), &[2], &[2]),
            ("which is there now", 3, Some(2), None, &[2, 3], &[2, 3]),
        ] {
            for (has_index, expected) in [(true, kept), (false, made_anew)] {
                if !has_index {
                    // And with it the last checkpoint, which is signed again.
                    DiskStore::set_index_aside(directory).unwrap();
                }
                let vault = open(directory, current, former);
                let told = identity(&*vault.store).unwrap().unwrap();
                assert_eq!(told.ledger_key, key(current).public(), "{what}");
                assert_eq!(told.handovers.len(), usize::from(current) - 1, "{what}");
                assert_eq!(signers(&vault), expected, "{what}, index kept: {has_index}");
                for note in &notes {
                    vault.continued(Some(note)).unwrap();
                }
                notes.push(vault.checkpoint().unwrap());
                vault.close().await;
            }
            if let Some(next) = next {
                let vault = open(directory, current, former);
                vault.hand_over(&key(next)).await.unwrap();
                vault.close().await;
            }
        }
        // A stranger's checkpoint of the same root is none of them.
        let vault = open(directory, 3, None);
        let text = notes[0].split_once("\n\n").unwrap().0;
        let stranger = NoteKey::new("vault.example/escrow/1", key(4).public()).unwrap();
        let foreign = stranger.sign(&key(4), &format!("{text}\n"));
        let refused = vault.continued(Some(&foreign)).unwrap_err();
        assert!(matches!(refused, VaultError::Malformed(_)), "{refused}");
        vault.close().await;
    }
}
