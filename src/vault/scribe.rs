//! What signs for the vault: heads, checkpoints, and which CAs it has.

use crate::crypto::note::{NoteFault, NoteKey};
use crate::crypto::signature::{self, SigningKey};
use crate::domain::id::{Malformed, PublicKey, Signature};
use crate::domain::statement::{Log, Saw};
use crate::domain::states::Vault as Identity;
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;
use crate::ledger::authorities::{self, Authorities, SignedAuthorities};
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::head::{self, Head, HeadType, SignedHead};
use crate::store::{ReadError, StreamHead};
use crate::vault::error::VaultError;
use crate::vault::ledger_key::LedgerKeys;

/// What signs for the vault.
pub struct Scribe {
    /// Of which log.
    pub log: Log,
    /// The ledger key.
    pub key: SigningKey,
    /// The key before, which signs checkpoints, too.
    former: Option<SigningKey>,
    /// All keys that the log has had, as signers of checkpoints, the ledger key first.
    note_keys: Vec<NoteKey>,
}

impl Scribe {
    /// Signs for this log with these keys. `identity` tells of earlier ones.
    pub fn new(log: Log, keys: LedgerKeys, identity: Option<&Identity>) -> Result<Self, ReadError> {
        let LedgerKeys { current, former } = keys;
        let origin = checkpoint::origin(&log);
        let earlier = identity.into_iter().flat_map(|vault| vault.handovers.iter().rev());
        let known = [current.public()].into_iter().chain(earlier.map(|it| it.handover.from));
        let note_keys = known.map(|key| NoteKey::new(&origin, key)).collect::<Result<_, _>>();
        let misnamed = |fault: Malformed| ReadError::Damaged {
            what: "the log's name".to_owned(),
            how: fault.to_string(),
        };
        Ok(Self { note_keys: note_keys.map_err(misnamed)?, log, key: current, former })
    }

    /// Signs a checkpoint, as a note.
    pub fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.to_string();
        let signers = [Some(&self.key), self.former.as_ref()].into_iter().flatten();
        let lines = signers.filter_map(|key| {
            let signer = self.note_keys.iter().find(|it| *it.key() == key.public())?;
            Some(signer.line(key, &text))
        });
        let lines: String = lines.collect();
        format!("{text}\n{lines}")
    }

    /// Whether the ledger key of today has signed a note.
    pub fn is_signed_now(&self, note: &str) -> bool {
        self.note_keys.first().is_some_and(|key| key.verify(note).is_ok())
    }

    /// The text of a note that a key of this log has signed.
    pub fn opened<'n>(&self, note: &'n str) -> Result<&'n str, NoteFault> {
        let unsigned = Err(NoteFault::Unsigned(checkpoint::origin(&self.log)));
        self.note_keys.iter().fold(unsigned, |found, key| found.or_else(|_| key.verify(note)))
    }

    /// Whether a key of this log has signed these bytes under a tag.
    pub fn has_signed(&self, tag: &str, bytes: &[u8], by: &Signature) -> bool {
        let mut keys = self.note_keys.iter().map(NoteKey::key);
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
