//! Bundles as they are before they are deposited: files to be sealed, or an age file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes as Buffer;
use rand_core::OsRng;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::client::acts::agreement::faulty;
use crate::client::archive::pack::{PackFault, Plan};
use crate::client::archive::source::Stamp;
use crate::client::error::{ClientError, chain};
use crate::client::unfinished::Unfinished;
use crate::crypto::header::{HEADER_BYTES_MAX, Header, HeaderFault, plaintext_size};
use crate::crypto::seal::{Origin, Seal, Sealed};
use crate::crypto::{payload, proofs, signature, strict_json};
use crate::domain::agreement::Agreement;
use crate::domain::deposit::Deposit;
use crate::domain::id::{AgreementId, Digest};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{Content, Knowledge, Sealing};
use crate::domain::states::States;
use crate::wire::limit::INLINE_BYTES_MAX;

/// Everything the depositor states of a bundle, kept beside one that was sealed for later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Format.
    #[serde(rename = "type")]
    pub kind: ProofType,
    /// The agreement it was sealed for.
    pub agreement: AgreementId,
    /// The release key it was sealed to.
    pub release_key_sha256: Digest,
    /// What lies inside.
    pub content: Content,
    /// SHA-256 of the age file.
    pub sha256: Digest,
    /// That the depositor made its header.
    pub proof: Knowledge,
    /// SHA-256 of what was sealed.
    pub plaintext_sha256: Digest,
    /// Its size in bytes.
    pub plaintext_size: u64,
}

/// The type tag of proofs kept beside sealed files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProofType {
    /// The first format.
    #[serde(rename = "escrow-vault/origin-proof/v1")]
    V1,
}

impl Proof {
    /// Largest such file, in bytes.
    const BYTES_MAX: usize = 16 * 1024;

    /// Where the proof of a sealed file is kept.
    pub fn beside(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".proof");
        name.into()
    }
}

/// A bundle that can be deposited.
pub struct Bundle {
    pub(super) header: Header,
    pub(super) size: u64,
    pub(super) bytes: Bytes,
}

/// Where its bytes are.
pub(super) enum Bytes {
    /// All here: it is small.
    Here(Buffer, Facts),
    /// In an age file, which is read as it is sent.
    Ready(Ready),
    /// Nowhere yet: the files are sealed as it is sent.
    Planned(Box<(Plan, Seal)>),
}

/// What is known of a bundle once all of it was read, and is stated of it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub sha256: Digest,
    pub content: Content,
    pub sealing: Sealing,
}

/// An age file that was sealed before.
pub(super) struct Ready {
    pub file: File,
    pub stamp: Stamp,
    content: Content,
    proof: Option<Proof>,
}

impl Bundle {
    /// Size of the age file, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of the age file, if that is known before it is sent: of one that was sealed here its
    /// proof says it.
    pub fn sha256(&self) -> Option<&Digest> {
        match &self.bytes {
            Bytes::Here(_, facts) => Some(&facts.sha256),
            Bytes::Ready(ready) => ready.proof.as_ref().map(|proof| &proof.sha256),
            Bytes::Planned(_) => None,
        }
    }

    /// Whether this deposit was sealed from the very same files: equal to the last byte and date.
    /// Of a bundle sealed elsewhere nobody here can tell; of one to be sealed, not yet.
    pub fn has_the_content_of(&self, other: &Deposit) -> bool {
        match &self.bytes {
            Bytes::Here(_, facts) => same_content(&facts.sealing, &other.statement.sealing),
            Bytes::Ready(Ready { proof, .. }) => proof
                .as_ref()
                .is_some_and(|proof| same_content(&proof.sealing(), &other.statement.sealing)),
            Bytes::Planned(_) => false,
        }
    }

    /// Whether it was sealed by another age program.
    pub fn is_sealed_elsewhere(&self) -> bool {
        match &self.bytes {
            Bytes::Here(_, Facts { sealing: Sealing::Elsewhere, .. }) => true,
            Bytes::Here(_, Facts { sealing: Sealing::Escrow { .. }, .. }) | Bytes::Planned(_) => {
                false
            }
            Bytes::Ready(ready) => ready.proof.is_none(),
        }
    }

    /// Whether it is sealed only while it is sent.
    pub fn is_sealed_on_its_way(&self) -> bool {
        match &self.bytes {
            Bytes::Planned(_) => true,
            Bytes::Here(..) | Bytes::Ready(_) => false,
        }
    }

    /// Refuses a bundle that is deposited already, as far as that can be seen before it is read: no two
    /// age files have one header.
    pub(super) fn is_news(
        &self,
        states: &States,
        agreement: &AgreementId,
    ) -> Result<(), ClientError> {
        let is_it = |deposit: &&Deposit| {
            deposit.agreement == *agreement
                && deposit.statement.header_sha256 == self.header.sha256
                && deposit.statement.size == self.size
                && deposit.is_stored().is_ok()
        };
        match states.deposits().find(is_it) {
            Some(twin) => Err(Refusal::DepositedBefore(twin.id.to_string()).into()),
            None => Ok(()),
        }
    }
}

/// Whether both were sealed here, from the same bytes.
pub(super) fn same_content(one: &Sealing, other: &Sealing) -> bool {
    let content = |sealing: &Sealing| match sealing {
        Sealing::Escrow { plaintext_sha256, .. } => Some(*plaintext_sha256),
        Sealing::Elsewhere => None,
    };
    content(one).is_some() && content(one) == content(other)
}

impl Ready {
    /// What is stated of a file with this digest, if it still is what it was.
    pub(super) fn facts(&self, sha256: Digest) -> Result<Facts, ClientError> {
        let now = self.file.metadata().map(|found| Stamp::from(&found)).map_err(unreadable)?;
        if now != self.stamp {
            let message = "the file changed while it was read";
            return Err(changed(message, "wait until nothing writes to it, and try again"));
        }
        let Some(proof) = &self.proof else {
            let (content, sealing) = (self.content, Sealing::Elsewhere);
            return Ok(Facts { sha256, content, sealing });
        };
        if proof.sha256 != sha256 {
            let message = "the file is not the one its proof was made for";
            return Err(changed(message, "seal the files again with `escrow seal`"));
        }
        Ok(Facts { sha256, content: proof.content, sealing: proof.sealing() })
    }
}

fn changed(message: &str, hint: &str) -> ClientError {
    ClientError::input("CHANGED", message, hint)
}

impl Proof {
    fn sealing(&self) -> Sealing {
        let Self { proof, plaintext_sha256, plaintext_size, .. } = *self;
        Sealing::Escrow { proof, plaintext_sha256, plaintext_size }
    }
}

impl From<Sealed> for Facts {
    fn from(sealed: Sealed) -> Self {
        let Sealed { sha256, plaintext_size, plaintext_sha256, proof, .. } = sealed;
        let sealing = Sealing::Escrow { proof, plaintext_sha256, plaintext_size };
        Self { sha256, content: Content::Tar, sealing }
    }
}

/// A bundle of files. A small one is sealed now, a large one as it is sent.
pub fn seal(agreement: &Agreement, plan: Plan) -> Result<Bundle, ClientError> {
    let seal = new_seal(agreement)?;
    let archive_bytes = plan.archive_bytes().map_err(|fault| not_packed(&fault))?;
    let (header, size) = (seal.header().clone(), seal.sealed_size(archive_bytes));
    let bytes = match is_small(size) {
        true => {
            let (sealed, bytes) = seal_into(&plan, seal, Vec::new(), |_| ())?;
            Bytes::Here(bytes.into(), sealed.into())
        }
        false => Bytes::Planned(Box::new((plan, seal))),
    };
    Ok(Bundle { header, size, bytes })
}

fn is_small(size: u64) -> bool {
    size <= INLINE_BYTES_MAX as u64
}

/// A header for one more file of this agreement.
pub(super) fn new_seal(agreement: &Agreement) -> Result<Seal, ClientError> {
    let key = proofs::release_key(agreement).map_err(faulty)?;
    let depositor = agreement.terms.depositor().cloned();
    let depositor = depositor.ok_or(Refusal::AgreementIs("without a depositor"))?;
    let origin = Origin { agreement: agreement.id.clone(), depositor };
    Seal::new(&key, &origin, &mut OsRng).map_err(faulty)
}

/// Packs and seals files into a sink. `packed` hears of every piece, in bytes.
pub(super) fn seal_into<S: payload::Sink>(
    plan: &Plan,
    seal: Seal,
    sink: S,
    packed: impl FnMut(u64),
) -> Result<(Sealed, S), ClientError> {
    let unsealed = |fault: io::Error| {
        let hint = "check that there is room for it, and try again";
        ClientError::input("NOT_SEALED", chain(&fault), hint)
    };
    let sealer = seal.begin(sink, payload::threads()).map_err(unsealed)?;
    let mut heard = Heard { to: sealer, packed };
    plan.write_to(&mut heard).map_err(|fault| not_packed(&fault))?;
    heard.to.finish().map_err(unsealed)
}

pub(super) fn not_packed(fault: &PackFault) -> ClientError {
    ClientError::input("NOT_PACKED", chain(fault), fault.hint())
}

/// Tells of every piece that is written.
struct Heard<W, F> {
    to: W,
    packed: F,
}

impl<W: Write, F: FnMut(u64)> Write for Heard<W, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes)?;
        (self.packed)(taken as u64);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Seals files now, to be deposited later, and keeps the proof of origin beside the result.
pub fn seal_to_file(
    agreement: &Agreement,
    plan: &Plan,
    out: &Path,
    packed: impl FnMut(u64),
) -> Result<Sealed, ClientError> {
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = NamedTempFile::new_in(dir).map_err(|fault| disk(dir, &fault))?;
    let _unfinished = Unfinished::at(temporary.path());
    let file = temporary.as_file().try_clone().map_err(|fault| disk(dir, &fault))?;
    let (sealed, _) = seal_into(plan, new_seal(agreement)?, file, packed)?;
    let proof = Proof {
        kind: ProofType::V1,
        agreement: agreement.id.clone(),
        release_key_sha256: agreement.key()?.sha256,
        content: Content::Tar,
        sha256: sealed.sha256,
        proof: sealed.proof,
        plaintext_sha256: sealed.plaintext_sha256,
        plaintext_size: sealed.plaintext_size,
    };
    let text = serde_json::to_vec_pretty(&proof).map_err(faulty)?;
    let beside = Proof::beside(out);
    temporary
        .as_file()
        .sync_all()
        .and_then(|()| temporary.persist_noclobber(out).map_err(|fault| fault.error))
        .map_err(|fault| disk(out, &fault))?;
    crate::crypto::keyfile::write_new(&beside, &text)?;
    Ok(sealed)
}

/// A bundle that was sealed before, by `escrow seal` or another age program.
pub fn ready_bundle(
    agreement: &Agreement,
    path: &Path,
    content: Content,
) -> Result<Bundle, ClientError> {
    let file = File::open(path).map_err(|fault| disk(path, &fault))?;
    let beside = Proof::beside(path);
    let proof = match beside.is_file() {
        true => {
            let bytes = std::fs::read(&beside).map_err(|fault| disk(&beside, &fault))?;
            let read = strict_json::parse(&bytes, Proof::BYTES_MAX);
            let hint = "seal the files again with `escrow seal`";
            Some(read.map_err(|fault| ClientError::input("BAD_PROOF", fault, hint))?)
        }
        false => None,
    };
    ready(agreement, file, content, proof)
}

/// A bundle from standard input, sealed by another age program. Kept in `dir` meanwhile.
pub fn piped_bundle(
    agreement: &Agreement,
    mut input: impl Read,
    content: Content,
    dir: &Path,
) -> Result<Bundle, ClientError> {
    let mut spool = || -> io::Result<File> {
        let mut file = tempfile::tempfile_in(dir)?;
        io::copy(&mut input, &mut file)?;
        Ok(file)
    };
    ready(agreement, spool().map_err(|fault| disk(dir, &fault))?, content, None)
}

fn ready(
    agreement: &Agreement,
    file: File,
    content: Content,
    proof: Option<Proof>,
) -> Result<Bundle, ClientError> {
    let stamp = file.metadata().map(|found| Stamp::from(&found)).map_err(unreadable)?;
    let size = stamp.size();
    let begin = usize::try_from(size).unwrap_or(HEADER_BYTES_MAX).min(HEADER_BYTES_MAX);
    let mut begin = vec![0; begin];
    file.read_exact_at(&mut begin, 0).map_err(unreadable)?;
    let refused = |fault: HeaderFault| {
        let message = format!("this is not a bundle for the vault: {}", chain(&fault));
        ClientError::input("BAD_BUNDLE", message, fault.hint())
    };
    let header = Header::parse(&begin).map_err(refused)?;
    let header = header.ok_or_else(|| refused(HeaderFault::Truncated))?;
    if plaintext_size(size, header.size as u64).is_none() {
        return Err(ClientError::input(
            "BAD_BUNDLE",
            "the age file was cut short or has something behind it",
            "make it again, and check that nothing else writes to it",
        ));
    }
    match &proof {
        None if !agreement.terms.stock_age => return Err(Refusal::OriginUnproven.into()),
        Some(proof)
            if proof.agreement != agreement.id
                || proof.release_key_sha256 != agreement.key()?.sha256 =>
        {
            return Err(ClientError::input(
                "OTHER_AGREEMENT",
                format!("the file was sealed for {}, not for {}", proof.agreement, agreement.id),
                "deposit it there, or seal the files again for this agreement",
            ));
        }
        None | Some(_) => {}
    }
    let ready = Ready { file, stamp, content, proof };
    let bytes = match is_small(size) {
        true => {
            let facts = ready.facts(signature::sha256(&begin))?;
            Bytes::Here(begin.into(), facts)
        }
        false => Bytes::Ready(ready),
    };
    Ok(Bundle { header, size, bytes })
}

pub(super) fn unreadable(fault: io::Error) -> ClientError {
    ClientError::input("UNREADABLE", fault, "check the file and try again")
}

fn disk(path: &Path, fault: &io::Error) -> ClientError {
    let message = format!("{}: {fault}", path.display());
    ClientError::input("DISK", message, "check that it exists, is yours, and has room")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::strict_json::tests::second_spellings_are_refused;
    use crate::domain::id::Bytes;

    #[test]
    fn a_proof_of_origin_has_no_second_spelling() {
        let proof = Proof {
            kind: ProofType::V1,
            agreement: AgreementId::of(&Bytes([1; 32])),
            release_key_sha256: Bytes([2; 32]),
            content: Content::Tar,
            sha256: Bytes([3; 32]),
            proof: Knowledge { commitment: Bytes([4; 32]), response: Bytes([5; 32]) },
            plaintext_sha256: Bytes([6; 32]),
            plaintext_size: 7,
        };
        assert_eq!(second_spellings_are_refused(&proof), 10);
    }
}
