//! What an export proves, from its bytes alone: found out anew, in the order in which a vault could have
//! lied. First the log, then each stream, then every step by the very rules that vaults decide by.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::client::chronicle::{Followed, Replay, Untrue};
use crate::client::export::{Export, archive};
use crate::client::packed::Malformed;
use crate::client::receipt::keys;
use crate::crypto::handover::HandoverFault;
use crate::crypto::note::{NoteFault, NoteKey};
use crate::crypto::signature;
use crate::domain::agreement::Agreement;
use crate::domain::id::{
    AgreementId, DepositId, Digest, Fingerprint, OrganisationName, PublicKey, RequestId,
};
use crate::domain::statement::{Log, Statement};
use crate::domain::states::{States, Vault};
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;
use crate::ledger::Entry;
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::edge::Edge;
use crate::ledger::merkle;
use crate::ledger::proof::Proof;
use crate::ledger::scan::{Scan, Unborne};

/// What the checkpoint is called that came along with cosignatures.
const WITNESSED: &str = "the checkpoint in it that witnesses have cosigned";

/// What a verifier has from elsewhere, to compare with.
#[derive(Debug, Default)]
pub struct Known {
    /// Checkpoints that the log has signed, as notes.
    pub checkpoints: Vec<String>,
    /// Fingerprints of organisations.
    pub organisations: BTreeMap<OrganisationName, Fingerprint>,
}

impl Known {
    /// Takes in a checkpoint: the signed note, or a proof with one (C2SP tlog-proof).
    pub fn bring(&mut self, text: &str) {
        let proof = text.parse::<Proof>().map(|proof| proof.checkpoint);
        self.checkpoints.push(proof.unwrap_or_else(|_| text.to_owned()));
    }

    /// Refuses a key of an organisation that is known with another one.
    pub fn has(
        &self,
        organisation: &OrganisationName,
        shown: &Fingerprint,
    ) -> Result<(), OtherKey> {
        match self.organisations.get(organisation) {
            Some(known) if known != shown => {
                let (organisation, shown, known) = (organisation.clone(), *shown, *known);
                Err(OtherKey { organisation, shown, known })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// An organisation has another key than the verifier knows.
#[derive(Debug, thiserror::Error)]
#[error("{organisation} has the key {shown}, and not {known}")]
pub struct OtherKey {
    /// Which.
    pub organisation: OrganisationName,
    /// Its fingerprint.
    pub shown: Fingerprint,
    /// The one it is known with.
    pub known: Fingerprint,
}

/// An export that verifies.
#[derive(Debug)]
pub struct Verified {
    /// The agreement, as it stands at its end.
    pub agreement: Agreement,
    /// Of which log.
    pub log: Log,
    /// Every key that has signed it as far as this shows, the export's own last.
    pub keys: Vec<PublicKey>,
    /// The checkpoint it was made at.
    pub checkpoint: Checkpoint,
    /// It and every other that was compared with the log, as notes, with their sizes.
    pub notes: Vec<(u64, String)>,
    /// Its streams.
    pub streams: BTreeMap<Stream, Followed>,
    /// What came of them.
    pub states: States,
    /// The vault's time of its last event.
    pub ends_at: Timestamp,
    /// The parties with the fingerprints of their keys.
    pub parties: BTreeMap<OrganisationName, Fingerprint>,
}

/// Why an export does not verify.
#[derive(Debug, thiserror::Error)]
pub enum Unverified {
    /// The log's key did not come to be by handovers.
    #[error("the key in log.vkey is not one that the log's keys were handed over to")]
    Handover(#[source] HandoverFault),
    /// The log's signer has not signed the checkpoint.
    #[error("the checkpoint is not the log's")]
    Checkpoint(#[source] NoteFault),
    /// The checkpoint is signed, and is none of this log.
    #[error("the checkpoint, the log's key and export.json are not of one log")]
    OtherLog,
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The leaves are not those of the checkpoint.
    #[error("its {leaves} leaves do not lead to the root that is signed for {size} entries")]
    Root {
        /// How many there are.
        leaves: u64,
        /// How many there should be.
        size: u64,
    },
    /// A checkpoint that was brought, or has come along, is not of the same log.
    #[error("{which} {why}")]
    Compared {
        /// Which.
        which: String,
        /// What is wrong.
        why: String,
    },
    /// The log does not bear it out.
    #[error(transparent)]
    Unborne(#[from] Unborne),
    /// A stream is not whole, or a step breaks the rules.
    #[error(transparent)]
    Untrue(#[from] Untrue),
    /// The agreement does not begin with terms.
    #[error("{0} does not begin with terms")]
    NoTerms(AgreementId),
    /// A stream is missing without which nothing can be replayed.
    #[error("{0} is missing")]
    Missing(Stream),
    /// A stream is there that has nothing to do with the agreement.
    #[error("{0} has no part in the agreement")]
    Foreign(Stream),
    /// An organisation has another key than the verifier knows.
    #[error(transparent)]
    OtherKey(#[from] OtherKey),
    /// An organisation that the verifier knows is no party.
    #[error("{0} is no party of the agreement")]
    NotParty(OrganisationName),
}

/// Verifies an export; `from` is the same once more, for its leaves.
pub fn verify(export: Export, from: impl Read, known: &Known) -> Result<Verified, Unverified> {
    let text = export.key.verify(&export.checkpoint).map_err(Unverified::Checkpoint)?;
    let checkpoint: Checkpoint = text.parse().map_err(|_| Unverified::OtherLog)?;
    let name = checkpoint::origin(&export.log);
    if checkpoint.origin != name || export.key.name() != name {
        return Err(Unverified::OtherLog);
    }
    let keys = keys(&export.key, &export.handovers).map_err(Unverified::Handover)?;
    let witnessed = export.witnessed.iter().map(|note| (WITNESSED.to_owned(), note));
    let others = (1..).zip(&known.checkpoints);
    let others = others.map(|(n, note)| (format!("checkpoint {n} of those to compare"), note));
    let mut notes = vec![(checkpoint.size, export.checkpoint.clone())];
    let mut compared = Vec::new();
    for (which, note) in witnessed.chain(others) {
        match brought(&keys, &checkpoint, note) {
            Ok(brought) => {
                notes.push((brought.size, note.clone()));
                compared.push((which, brought));
            }
            Err(why) => return Err(Unverified::Compared { which, why }),
        }
    }
    scanned(&export, from, &checkpoint, &compared)?;

    let streams = followed(&export.log, export.streams)?;
    let agreement = Stream::Agreement(export.agreement.clone());
    let first = streams.get(&agreement).and_then(|followed| followed.events().first());
    let terms = match first.and_then(|it| it.stated.as_ref()).map(|it| &it.statement) {
        Some(Statement::Proposal(proposal)) => &proposal.terms,
        Some(_) | None => return Err(Unverified::NoTerms(export.agreement)),
    };
    let organisations = terms.fingerprints.keys().cloned().map(Stream::Organisation);
    let accesses = Stream::AgreementAccesses(export.agreement.clone());
    let needed: BTreeSet<Stream> = organisations.chain([agreement, accesses]).collect();
    if let Some(missing) = needed.iter().find(|stream| !streams.contains_key(stream)) {
        return Err(Unverified::Missing(missing.clone()));
    }
    if let Some(foreign) = streams.keys().find(|stream| !needed.contains(stream)) {
        return Err(Unverified::Foreign(foreign.clone()));
    }

    let (ledger_key, operator_key) = (*export.key.key(), export.operator_key);
    let generation = export.log.generation;
    let mut replay = Replay::default();
    let (began_at, handovers) = (0, Vec::new());
    let vault = Vault { ledger_key, operator_key, generation, began_at, handovers };
    replay.go_on(&vault, &streams)?;
    let states = replay.states().clone();
    let agreement = states.agreement(&export.agreement).cloned();
    let agreement = agreement.ok_or(Unverified::NoTerms(export.agreement))?;
    let key = |name: &OrganisationName| states.organisation(name)?.key;
    let parties = agreement.terms.organisations();
    let parties = parties.filter_map(|it| Some((it.clone(), signature::fingerprint(&key(it)?))));
    let parties: BTreeMap<_, _> = parties.collect();
    for (organisation, shown) in &parties {
        known.has(organisation, shown)?;
    }
    if let Some(other) = known.organisations.keys().find(|it| !parties.contains_key(it)) {
        return Err(Unverified::NotParty(other.clone()));
    }
    let times = streams.values().flat_map(Followed::events).map(|believed| believed.event.at);
    let ends_at = times.max().unwrap_or(Timestamp::EPOCH);
    let log = export.log;
    Ok(Verified { agreement, log, keys, checkpoint, notes, streams, states, ends_at, parties })
}

/// A checkpoint that was brought to be compared, if it can be.
fn brought(keys: &[PublicKey], own: &Checkpoint, note: &str) -> Result<Checkpoint, String> {
    let signers = keys.iter().filter_map(|key| NoteKey::new(&own.origin, *key).ok());
    let text = signers.into_iter().find_map(|key| key.verify(note).ok());
    let text = text.ok_or_else(|| format!("is not signed as one of the log {}", own.origin))?;
    let brought: Checkpoint = text.parse().map_err(|_| "cannot be read".to_owned())?;
    match brought.origin == own.origin {
        false => Err(format!("is of the log {}", brought.origin)),
        true if brought.size > own.size => Err(format!(
            "is of {} entries, and the export ends at {}: a later export can be compared",
            brought.size, own.size
        )),
        true => Ok(brought),
    }
}

/// Holds the leaves against the checkpoint, against others of the same log, and the streams against
/// the leaves.
fn scanned(
    export: &Export,
    from: impl Read,
    checkpoint: &Checkpoint,
    compared: &[(String, Checkpoint)],
) -> Result<(), Unverified> {
    let mut scan = Scan::default();
    let mut unborne = export.streams.values().find_map(|entries| scan.seek(entries).err());
    let mut edge = Edge::default();
    let mut roots: BTreeMap<u64, Digest> =
        compared.iter().map(|(_, it)| (it.size, edge.root())).collect();
    archive::leaves(from, |leaf| {
        if unborne.is_none() {
            unborne = scan.leaf(edge.size(), leaf).err();
        }
        edge.push(merkle::leaf_hash(&leaf.0), |_, _| ());
        if let Some(root) = roots.get_mut(&edge.size()) {
            *root = edge.root();
        }
    })?;
    let (leaves, size) = (edge.size(), checkpoint.size);
    if leaves != size || edge.root() != checkpoint.root {
        return Err(Unverified::Root { leaves, size });
    }
    let other = compared.iter().find(|(_, it)| roots.get(&it.size) != Some(&it.root));
    if let Some((which, other)) = other {
        let which = which.clone();
        let why = format!("has another root for {} entries: the log was rewritten", other.size);
        return Err(Unverified::Compared { which, why });
    }
    unborne.or_else(|| scan.beyond(size)).map_or(Ok(()), |unborne| Err(unborne.into()))
}

/// Follows the streams in the order of the log, to the first event that does not continue its stream.
fn followed(
    log: &Log,
    streams: BTreeMap<Stream, Vec<Entry>>,
) -> Result<BTreeMap<Stream, Followed>, Untrue> {
    let mut entries: Vec<_> = streams.into_values().flatten().collect();
    entries.sort_by_key(|entry| entry.position);
    let mut followed: BTreeMap<Stream, Followed> = BTreeMap::new();
    for entry in entries {
        let stream = entry.stream.clone();
        followed.entry(stream.clone()).or_default().follow(log, &stream, entry)?;
    }
    Ok(followed)
}

impl Verified {
    /// Whether this is a key of the log, the export's own or one that it was handed over from.
    pub fn is_of(&self, log: &NoteKey) -> bool {
        log.name() == self.checkpoint.origin && self.keys.contains(log.key())
    }

    /// How many events there are.
    pub fn events(&self) -> usize {
        self.streams.values().map(|followed| followed.events().len()).sum()
    }

    /// How many events there are of earlier generations of the log, by generation.
    pub fn of_earlier_generations(&self) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        let events = self.streams.values().flat_map(Followed::events);
        let generations = events.map(|believed| believed.event.log.generation);
        for generation in generations.filter(|generation| *generation < self.log.generation) {
            *counts.entry(generation).or_default() += 1;
        }
        counts
    }

    /// What a file of this SHA-256 is in it, if anything names such a one.
    pub fn names(&self, sha256: &Digest) -> Option<String> {
        let events = self.streams.values().flat_map(Followed::events);
        let mut stated = events.filter_map(|believed| believed.stated.as_ref());
        stated.find_map(|stated| {
            if let Statement::Proposal(s) = &stated.statement
                && s.terms.contract_sha256 == Some(*sha256)
            {
                return Some("the contract that the terms name".to_owned());
            }
            if let Statement::Deposit(s) = &stated.statement
                && s.sha256 == *sha256
            {
                return Some(format!("the sealed bundle of {}", DepositId::of(&stated.digest)));
            }
            if let Statement::Request(s) = &stated.statement
                && s.evidence.iter().any(|evidence| evidence.sha256 == *sha256)
            {
                return Some(format!("evidence of {}", RequestId::of(&stated.digest)));
            }
            if let Statement::Notification(s) = &stated.statement
                && s.evidence.sha256 == *sha256
            {
                return Some(format!("evidence that was recorded for {}", s.request.id));
            }
            None
        })
    }
}
