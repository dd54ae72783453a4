//! What signs for the vault: heads, checkpoints, and which CAs it has.

use crate::crypto::note::{NoteFault, NoteKey};
use crate::crypto::signature::{self, SigningKey};
use crate::domain::id::{Malformed, PublicKey, Signature};
use crate::domain::statement::{Log, Saw};
use crate::domain::states::Vault as Identity;
use crate::domain::stream::Stream;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;
use crate::ledger::authorities::{self, Authorities, SignedAuthorities};
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::head::{self, Head, HeadType, SignedHead};
use crate::store::{ReadError, Store, StreamHead};
use crate::vault::error::VaultError;
use crate::vault::identity;
use crate::vault::ledger_key::LedgerKeys;

/// What signs for the vault.
pub struct Scribe {
    /// Of which log.
    pub log: Log,
    /// The ledger key.
    pub key: SigningKey,
    /// The key before, which signs checkpoints, too.
    former: Option<SigningKey>,
    /// The ledger key, as the signer of checkpoints.
    note_key: NoteKey,
    /// The keys that the log has had before, the newest first.
    earlier: Vec<NoteKey>,
}

impl Scribe {
    /// Signs for the log of this name with these keys, in the generation that the store tells of: 1
    /// until a recovery.
    pub fn of<S: Store>(store: &S, origin: Text, keys: LedgerKeys) -> Result<Self, ReadError> {
        let identity = identity(store)?;
        let generation = identity.as_ref().map_or(1, |vault| vault.generation);
        Self::new(Log { origin, generation }, keys, identity.as_ref())
    }

    /// Signs for this log with these keys. `identity` tells of earlier ones.
    pub fn new(log: Log, keys: LedgerKeys, identity: Option<&Identity>) -> Result<Self, ReadError> {
        let LedgerKeys { current, former } = keys;
        let origin = checkpoint::origin(&log);
        let named = |key: PublicKey| {
            NoteKey::new(&origin, key).map_err(|fault: Malformed| ReadError::Damaged {
                what: "the log's name".to_owned(),
                how: fault.to_string(),
            })
        };
        let earlier = identity.into_iter().flat_map(|vault| vault.handovers.iter().rev());
        let earlier = earlier.map(|signed| named(signed.handover.from));
        let (note_key, earlier) = (named(current.public())?, earlier.collect::<Result<_, _>>()?);
        Ok(Self { log, key: current, former, note_key, earlier })
    }

    /// Who signs checkpoints now.
    pub fn note_key(&self) -> &NoteKey {
        &self.note_key
    }

    /// Who has ever signed them, the newest first.
    pub fn note_keys(&self) -> impl Iterator<Item = &NoteKey> {
        [&self.note_key].into_iter().chain(&self.earlier)
    }

    /// Signs a checkpoint, as a note.
    pub fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.to_string();
        let former = self.former.iter().filter_map(|key| {
            let signer = self.earlier.iter().find(|it| *it.key() == key.public())?;
            Some(signer.line(key, &text))
        });
        let former: String = former.collect();
        format!("{text}\n{}{former}", self.note_key.line(&self.key, &text))
    }

    /// Whether the ledger key of today has signed a note.
    pub fn is_signed_now(&self, note: &str) -> bool {
        self.note_key.verify(note).is_ok()
    }

    /// The text of a note that a key of this log has signed.
    pub fn opened<'n>(&self, note: &'n str) -> Result<&'n str, NoteFault> {
        self.by_a_key(|key| key.verify(note))
    }

    /// A note with a signature of this log and no others.
    pub fn alone(&self, note: &str) -> Result<String, NoteFault> {
        self.by_a_key(|key| key.alone(note))
    }

    fn by_a_key<T>(&self, read: impl Fn(&NoteKey) -> Result<T, NoteFault>) -> Result<T, NoteFault> {
        self.earlier.iter().fold(read(&self.note_key), |found, key| found.or_else(|_| read(key)))
    }

    /// Whether a key of this log has signed these bytes under a tag.
    pub fn has_signed(&self, tag: &str, bytes: &[u8], by: &Signature) -> bool {
        let mut keys = self.note_keys().map(NoteKey::key);
        keys.any(|key: &PublicKey| signature::verify(key, tag, bytes, by).is_ok())
    }

    /// Signs where a stream stands.
    pub fn sign(
        &self,
        stream: &Stream,
        at: Timestamp,
        stands: StreamHead,
    ) -> Result<SignedHead, VaultError> {
        let saw = Saw { sequence: stands.sequence, commitment: stands.commitment };
        let (log, stream) = (self.log.clone(), stream.clone());
        let head = Head { kind: HeadType::V1, log, stream, saw, at };
        let head = serde_json::to_vec(&head).map_err(VaultError::Encoding)?;
        let signature = self.key.sign(head::TAG, &head);
        Ok(SignedHead { head, signature })
    }

    /// Signs which CAs the vault has.
    pub fn sign_authorities(
        &self,
        authorities: &Authorities,
    ) -> Result<SignedAuthorities, VaultError> {
        let authorities = serde_json::to_vec(authorities).map_err(VaultError::Encoding)?;
        let signature = self.key.sign(authorities::TAG, &authorities);
        Ok(SignedAuthorities { authorities, signature })
    }
}
