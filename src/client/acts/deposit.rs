//! Sealing and depositing bundles.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes as Buffer;
use rand_core::OsRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::client::acts::agreement::faulty;
use crate::client::archive::pack::Plan;
use crate::client::error::{ClientError, chain};
use crate::client::session::Session;
use crate::client::unfinished::Unfinished;
use crate::crypto::header::{HEADER_BYTES_MAX, Header, HeaderFault, plaintext_size};
use crate::crypto::seal::{Origin, Seal, Sealed};
use crate::crypto::{payload, proofs, signature, strict_json};
use crate::domain::agreement::Agreement;
use crate::domain::id::{AgreementId, Bytes, DepositId, Digest, Element};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self, Content, Kind, Knowledge, Sealing};
use crate::domain::text::Text;
use crate::wire::v1::bundle_service_client::BundleServiceClient;
use crate::wire::v1::deposit_request::Part;
use crate::wire::v1::{DepositRequest, DepositResponse, SignedStatement};

/// Bytes of a bundle in one message.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces read ahead of the network.
const PIECES_AHEAD: usize = 4;

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

/// A bundle ready to be stated.
pub struct Bundle {
    file: File,
    header: Header,
    size: u64,
    sha256: Digest,
    content: Content,
    sealing: Sealing,
}

impl Bundle {
    /// Size of the age file, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of the age file.
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// Whether this deposit was sealed from the very same files: equal to the last byte and date.
    /// Of a bundle sealed elsewhere nobody here can tell.
    pub fn has_the_content_of(&self, other: &statement::Deposit) -> bool {
        let content = |sealing: &Sealing| match sealing {
            Sealing::Escrow { plaintext_sha256, .. } => Some(*plaintext_sha256),
            Sealing::Elsewhere => None,
        };
        let own = content(&self.sealing);
        own.is_some() && own == content(&other.sealing)
    }

    /// Whether it was sealed by another age program.
    pub fn is_sealed_elsewhere(&self) -> bool {
        match self.sealing {
            Sealing::Elsewhere => true,
            Sealing::Escrow { .. } => false,
        }
    }
}

/// Whether this agreement takes a deposit of this member now.
pub fn may_deposit(session: &Session, agreement: &Agreement) -> Result<(), ClientError> {
    let own = &session.owner.path.organisation;
    if agreement.terms.depositor() != Some(own) {
        return Err(Refusal::NotDepositor(own.clone()).into());
    }
    Ok(agreement.in_force()?)
}

/// Packs and seals files into a bundle in `dir`. It has no name there: nothing is left behind,
/// however this ends. `packed` hears of every piece, in bytes.
pub fn seal(
    agreement: &Agreement,
    plan: &Plan,
    dir: &Path,
    packed: impl FnMut(u64),
) -> Result<Bundle, ClientError> {
    let mut file = tempfile::tempfile_in(dir).map_err(|fault| disk(dir, &fault))?;
    let sealed = seal_into(agreement, plan, &file, dir, packed)?;
    file.rewind().map_err(|fault| disk(dir, &fault))?;
    let Sealed { header, size, sha256, plaintext_size, plaintext_sha256, proof } = sealed;
    let sealing = Sealing::Escrow { proof, plaintext_sha256, plaintext_size };
    Ok(Bundle { file, header, size, sha256, content: Content::Tar, sealing })
}

fn seal_into(
    agreement: &Agreement,
    plan: &Plan,
    file: &File,
    dir: &Path,
    packed: impl FnMut(u64),
) -> Result<Sealed, ClientError> {
    let key = proofs::release_key(agreement).map_err(faulty)?;
    let depositor = agreement.terms.depositor().cloned();
    let depositor = depositor.ok_or(Refusal::AgreementIs("without a depositor"))?;
    let origin = Origin { agreement: agreement.id.clone(), depositor };
    let sealer = file
        .try_clone()
        .and_then(|file| Seal::new(&key, &origin, &mut OsRng)?.begin(file, payload::threads()))
        .map_err(|fault| disk(dir, &fault))?;
    let mut buffered = BufWriter::with_capacity(PIECE_BYTES, Heard { to: sealer, packed });
    plan.write_to(&mut buffered)
        .map_err(|fault| ClientError::input("NOT_PACKED", chain(&fault), fault.hint()))?;
    let finished = buffered
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .and_then(|heard| heard.to.finish());
    finished.map(|(sealed, _)| sealed).map_err(|fault| disk(dir, &fault))
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
    let sealed = seal_into(agreement, plan, temporary.as_file(), dir, packed)?;
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
    bundle(agreement, file, content, proof)
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
        file.rewind()?;
        Ok(file)
    };
    bundle(agreement, spool().map_err(|fault| disk(dir, &fault))?, content, None)
}

fn bundle(
    agreement: &Agreement,
    mut file: File,
    content: Content,
    proof: Option<Proof>,
) -> Result<Bundle, ClientError> {
    let (header, size, sha256) = read_through(&mut file)?;
    let Some(proof) = proof else {
        if !agreement.terms.stock_age {
            return Err(Refusal::OriginUnproven.into());
        }
        return Ok(Bundle { file, header, size, sha256, content, sealing: Sealing::Elsewhere });
    };
    if proof.agreement != agreement.id || proof.release_key_sha256 != agreement.key()?.sha256 {
        return Err(ClientError::input(
            "OTHER_AGREEMENT",
            format!("the file was sealed for {}, not for {}", proof.agreement, agreement.id),
            "deposit it there, or seal the files again for this agreement",
        ));
    }
    if proof.sha256 != sha256 {
        return Err(ClientError::input(
            "CHANGED",
            "the file is not the one its proof was made for",
            "seal the files again with `escrow seal`",
        ));
    }
    let Proof { content, proof, plaintext_sha256, plaintext_size, .. } = proof;
    let sealing = Sealing::Escrow { proof, plaintext_sha256, plaintext_size };
    Ok(Bundle { file, header, size, sha256, content, sealing })
}

/// Header, size and digest of an age file, which is rewound.
fn read_through(file: &mut File) -> Result<(Header, u64, Digest), ClientError> {
    let failed =
        |fault: io::Error| ClientError::input("UNREADABLE", fault, "check the file and try again");
    let refused = |fault: HeaderFault| {
        let message = format!("this is not a bundle for the vault: {}", chain(&fault));
        ClientError::input("BAD_BUNDLE", message, fault.hint())
    };
    let (mut begin, mut hash, mut size) = (Vec::new(), Sha256::new(), 0u64);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let taken = file.read(&mut piece).map_err(failed)?;
        let bytes = piece.get(..taken).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        let room = HEADER_BYTES_MAX.saturating_sub(begin.len());
        begin.extend(bytes.iter().take(room));
        hash.update(bytes);
        size += taken as u64;
    }
    let header = Header::parse(&begin).map_err(refused)?;
    let header = header.ok_or_else(|| refused(HeaderFault::Truncated))?;
    if plaintext_size(size, header.size as u64).is_none() {
        return Err(ClientError::input(
            "BAD_BUNDLE",
            "the age file was cut short or has something behind it",
            "make it again, and check that nothing else writes to it",
        ));
    }
    file.rewind().map_err(failed)?;
    Ok((header, size, Bytes(hash.finalize().into())))
}

/// States a bundle and uploads it. `sent` hears of every piece, in bytes.
pub async fn deposit(
    session: &Session,
    agreement: &Agreement,
    bundle: Bundle,
    label: Text,
    mut sent: impl FnMut(u64) + Send + 'static,
) -> Result<DepositId, ClientError> {
    let twin = session.states().twin(&agreement.id, &bundle.sha256);
    if let Some(id) = twin {
        return Err(Refusal::DepositedBefore(id.to_string()).into());
    }
    let ephemeral: Element = bundle.header.ephemeral;
    let statement = statement::Deposit {
        made: session.made(),
        ground: session.ground(&agreement.id),
        release_key_sha256: agreement.key()?.sha256,
        label,
        kind: Kind::Full,
        content: bundle.content,
        sealing: bundle.sealing,
        size: bundle.size,
        sha256: bundle.sha256,
        header_size: u32::try_from(bundle.header.size).unwrap_or(u32::MAX),
        header_sha256: bundle.header.sha256,
        ephemeral,
    };
    let signed = session.sign(&statement.into())?;
    let id = DepositId::of(&signature::sha256(signed.statement.as_bytes()));
    let (parts, stream) = mpsc::channel(PIECES_AHEAD);
    let first = Part::Statement(SignedStatement::from(signed.clone()));
    let mut file = BufReader::with_capacity(PIECE_BYTES, bundle.file);
    let reading = tokio::task::spawn_blocking(move || -> io::Result<()> {
        // A send that fails means that the vault has answered early; its answer says why.
        if parts.blocking_send(DepositRequest { part: Some(first) }).is_err() {
            return Ok(());
        }
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let taken = file.read(&mut piece)?;
            if taken == 0 {
                return Ok(());
            }
            piece.truncate(taken);
            let chunk = Part::Chunk(Buffer::from(piece));
            if parts.blocking_send(DepositRequest { part: Some(chunk) }).is_err() {
                return Ok(());
            }
            sent(taken as u64);
        }
    });
    let mut service = BundleServiceClient::new(session.channel());
    let reply = service.deposit(ReceiverStream::new(stream)).await;
    let read = reading.await.unwrap_or_else(|fault| Err(io::Error::other(fault)));
    let DepositResponse { entry, head } = reply?.into_inner();
    session.acknowledged(&[signed], entry.into_iter().collect(), head)?;
    read.map_err(|fault| ClientError::input("UNREADABLE", fault, "try again"))?;
    Ok(id)
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
