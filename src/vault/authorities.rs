//! Which CAs the vault has, told in the ledger and proved to whoever asks; and which key stamps
//! times.

use crate::domain::event::{CaEdition, Note, TsaEdition};
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::ledger::authorities::{Authorities, AuthoritiesType, Challenge, SignedAuthorities};
use crate::store::{ReadError, Store};
use crate::vault::committer::Work;
use crate::vault::error::VaultError;
use crate::vault::{Vault, records};

/// Which key that stamps times a store tells of, if it tells of one.
pub fn told_timestamper<S: Store>(store: &S) -> Result<Option<TsaEdition>, ReadError> {
    let mut states = States::default();
    records::load(&mut states, [Key::Timestamper], &records::of(store))?;
    Ok(states.timestamper().copied())
}

impl<S: Store> Vault<S> {
    /// Tells in the vault's stream that these are its CAs, durably, if they are others than it told
    /// last. To be done before anybody is shown them. Whether it was news.
    pub async fn tell_authorities(&self, now: &CaEdition) -> Result<bool, VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Authorities])?;
        if states.authorities() == Some(now) {
            return Ok(false);
        }
        let note = Note::AuthoritiesChanged(*now);
        self.committer.submit(Work::Note { stream: Stream::Vault, note }).await?;
        Ok(true)
    }

    /// Which key that stamps times was told last, if any was.
    pub fn told_timestamper(&self) -> Result<Option<TsaEdition>, VaultError> {
        Ok(told_timestamper(self.store.as_ref())?)
    }

    /// Tells in the vault's stream that this key stamps times, durably, if it is another than it
    /// told last. To be done before it signs anything. Whether it was news.
    pub async fn tell_timestamper(&self, now: &TsaEdition) -> Result<bool, VaultError> {
        if self.told_timestamper()? == Some(*now) {
            return Ok(false);
        }
        let note = Note::TimestamperChanged(*now);
        self.committer.submit(Work::Note { stream: Stream::Vault, note }).await?;
        Ok(true)
    }

    /// Says that these are the vault's CAs, proved by the ledger key to whoever made this
    /// challenge.
    pub fn vouch(
        &self,
        now: &CaEdition,
        challenge: Challenge,
    ) -> Result<SignedAuthorities, VaultError> {
        self.scribe.sign_authorities(&Authorities {
            kind: AuthoritiesType::V1,
            log: self.scribe.log.clone(),
            edition: now.edition,
            ca_sha256: now.ca_sha256,
            next_ca_sha256: now.next_ca_sha256,
            challenge,
            at: self.clock.now(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::crypto::signature::SigningKey;
    use crate::domain::event::Act;
    use crate::domain::id::{Bytes, Digest};
    use crate::store::{DiskStore, Options};
    use crate::vault::{DomainProjector, Quota, SystemClock, records};

    fn open(directory: &Path) -> Vault<DiskStore> {
        let options = Options { reserve_bytes: 0, may_begin: true, ..Options::default() };
        let store = DiskStore::open(directory, &DomainProjector, &options).unwrap();
        let (origin, key) = ("vault.example/escrow".parse().unwrap(), ledger_key());
        Vault::open(store, origin, key, Arc::new(SystemClock), Quota::default()).unwrap()
    }

    fn ledger_key() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn told(vault: &Vault<DiskStore>) -> Vec<Note> {
        let entries = vault.store.read_stream(&Stream::Vault, 1, 100).unwrap();
        let acts = entries.iter().map(|entry| records::event(entry).unwrap().act);
        let notes = acts.map(|act| match act {
            Act::Noted(note) => note,
            Act::Stated(_) => panic!("{act:?}"),
        });
        notes.collect()
    }

    #[tokio::test]
    async fn what_changed_is_told_once_and_survives_restarts_and_a_lost_index() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second, other] = [1, 2, 3].map(|n| -> Digest { Bytes([n; 32]) });
        let cas = |edition, ca, next| CaEdition { edition, ca_sha256: ca, next_ca_sha256: next };
        let founded = Note::Founded {
            ledger_key: ledger_key().public(),
            operator_key: Bytes([9; 32]),
            ca_sha256: first,
        };
        let vault = open(directory.path());
        vault.found(founded.clone()).await.unwrap();
        vault.close().await;
        drop(vault);
        let mut expected = vec![founded];
        for (now, is_news, why) in [
            (cas(1, first, None), false, "it was founded with it"),
            (cas(2, first, Some(second)), true, "another is coming"),
            (cas(2, first, Some(other)), true, "begun anew, from a backup of before"),
            (cas(3, other, None), true, "it has come"),
            (cas(1, first, None), true, "keys from an old backup: so it is, and so it is told"),
        ] {
            // By the same process, by another, and by one that has lost the index.
            let vault = open(directory.path());
            assert_eq!(vault.tell_authorities(&now).await.unwrap(), is_news, "{why}");
            assert!(!vault.tell_authorities(&now).await.unwrap(), "{why}: again");
            if is_news {
                expected.push(Note::AuthoritiesChanged(now));
            }
            assert_eq!(told(&vault), expected, "{why}");
            vault.close().await;
            drop(vault);
            for has_index in [true, false] {
                if !has_index {
                    DiskStore::set_index_aside(directory.path()).unwrap();
                }
                let vault = open(directory.path());
                assert!(!vault.tell_authorities(&now).await.unwrap(), "{why}: index {has_index}");
                vault.close().await;
            }
        }
        // And so is which key stamps times.
        let tsa = |number, certificate_sha256| TsaEdition { number, certificate_sha256 };
        for (now, why) in [
            (tsa(1, first), "the first, of which none was told"),
            (tsa(2, second), "the next"),
            (tsa(2, other), "another of the same number"),
        ] {
            for has_index in [true, true, false] {
                if !has_index {
                    DiskStore::set_index_aside(directory.path()).unwrap();
                }
                let vault = open(directory.path());
                let is_news = expected.last() != Some(&Note::TimestamperChanged(now));
                assert_eq!(vault.tell_timestamper(&now).await.unwrap(), is_news, "{why}");
                assert!(!vault.tell_timestamper(&now).await.unwrap(), "{why}: again");
                if is_news {
                    expected.push(Note::TimestamperChanged(now));
                }
                assert_eq!(told(&vault), expected, "{why}: index {has_index}");
                assert_eq!(vault.told_timestamper().unwrap(), Some(now), "{why}");
                vault.close().await;
            }
        }
    }
}
