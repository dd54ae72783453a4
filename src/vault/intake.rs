//! A bundle on its way in: checked while it streams, as far as it has come, and against its
//! statement when that is there. Never buffered whole.

use crate::crypto::header::{self, HEADER_BYTES_MAX, Header, HeaderFault};
use crate::crypto::signature;
use crate::domain::id::Digest;
use crate::domain::statement::{Deposit, Sealing};
use crate::store::{Staged, Upload};
use crate::vault::error::VaultError;

/// Why a bundle is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleFault {
    /// Its header.
    #[error("the bundle is not an age file for this vault")]
    Header(#[from] HeaderFault),
    /// It is not what the statement says.
    #[error("the bundle's {0} is not as stated")]
    NotAsStated(&'static str),
    /// Its payload does not divide into age's chunks: it was cut short or joined to something.
    #[error("the bundle's payload does not divide into age's chunks")]
    Chunks,
}

/// When the header is first tried: ours fit, grease included.
const PARSE_FIRST_BYTES: usize = 1024;

/// Takes a large bundle in. Blocking.
pub(super) struct Intake<S: Staged> {
    upload: Upload,
    staged: S,
    begin: Vec<u8>,
    parse_at: usize,
    header: Option<Header>,
}

impl<S: Staged> Intake<S> {
    /// Goes on with what is staged of it.
    pub(super) fn of(upload: Upload, staged: S) -> Result<Self, VaultError> {
        let begin = staged.first(HEADER_BYTES_MAX)?;
        let mut intake = Self { upload, staged, begin, parse_at: PARSE_FIRST_BYTES, header: None };
        if !intake.begin.is_empty() {
            intake.parse()?;
        }
        Ok(intake)
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> u64 {
        self.staged.size()
    }

    /// Takes the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), VaultError> {
        let size = self.size().saturating_add(bytes.len() as u64);
        if size > self.upload.size {
            return Err(VaultError::Bundle(BundleFault::NotAsStated("size")));
        }
        if self.header.is_none() {
            let room = HEADER_BYTES_MAX.saturating_sub(self.begin.len());
            self.begin.extend(bytes.iter().take(room));
            // Read again only when twice as much is there: a byte at a time stays linear.
            if self.begin.len() >= self.parse_at || size == self.upload.size {
                self.parse_at = (2 * self.parse_at).min(HEADER_BYTES_MAX);
                self.parse()?;
            }
        }
        Ok(self.staged.write(bytes)?)
    }

    fn parse(&mut self) -> Result<(), VaultError> {
        let parsed = Header::parse(&self.begin).map_err(BundleFault::Header);
        self.header = parsed.map_err(VaultError::Bundle)?;
        let Some(header) = &self.header else { return Ok(()) };
        if header.sha256 != self.upload.header_sha256 {
            return Err(VaultError::Bundle(BundleFault::NotAsStated("header digest")));
        }
        if header::plaintext_size(self.upload.size, header.size as u64).is_none() {
            return Err(VaultError::Bundle(BundleFault::Chunks));
        }
        self.begin = Vec::new();
        Ok(())
    }

    /// Cuts it back to where it can be gone on with whatever happens.
    pub(super) fn cut(&mut self) -> Result<(), VaultError> {
        self.staged.cut()?;
        if self.header.is_none() {
            self.begin = self.staged.first(HEADER_BYTES_MAX)?;
            self.parse_at = PARSE_FIRST_BYTES;
        }
        Ok(())
    }

    /// A sync that may run beside further writes.
    pub(super) fn sync_beside(&mut self) -> Result<crate::store::SyncBeside, VaultError> {
        Ok(self.staged.sync_beside()?)
    }

    /// Whether all of it is here.
    pub(super) fn is_whole(&self) -> bool {
        self.size() == self.upload.size
    }

    /// Ends a bundle of which all is here. On `Ok` it is on disk.
    pub(super) fn sync(&mut self) -> Result<Digest, VaultError> {
        if self.header.is_none() {
            return Err(VaultError::Bundle(HeaderFault::Truncated.into()));
        }
        Ok(self.staged.sync()?)
    }

    /// Hands it over, to be named by the event of this statement, if it is what was stated. It is
    /// on disk.
    pub(super) fn hand_over(mut self, stated: &Deposit) -> Result<S, VaultError> {
        let sha256 = self.sync()?;
        let header = self.header.ok_or(VaultError::Bundle(HeaderFault::Truncated.into()))?;
        let size = self.staged.size();
        is_as_stated(&header, (size, sha256), stated).map_err(VaultError::Bundle)?;
        Ok(self.staged)
    }
}

/// Checks a bundle that came with its statement.
pub(super) fn check_small(bytes: &[u8], stated: &Deposit) -> Result<(), BundleFault> {
    let header = Header::parse(bytes)?.ok_or(HeaderFault::Truncated)?;
    is_as_stated(&header, (bytes.len() as u64, signature::sha256(bytes)), stated)
}

fn is_as_stated(
    header: &Header,
    (size, sha256): (u64, Digest),
    stated: &Deposit,
) -> Result<(), BundleFault> {
    let facts = [
        ("header size", header.size as u64 == u64::from(stated.header_size)),
        ("header digest", header.sha256 == stated.header_sha256),
        ("ephemeral point", header.ephemeral == stated.ephemeral),
        ("size", size == stated.size),
        ("digest", sha256 == stated.sha256),
    ];
    if let Some((what, _)) = facts.into_iter().find(|(_, holds)| !holds) {
        return Err(BundleFault::NotAsStated(what));
    }
    let plain = header::plaintext_size(size, header.size as u64).ok_or(BundleFault::Chunks)?;
    match stated.sealing {
        Sealing::Escrow { plaintext_size, .. } if plaintext_size != plain => {
            Err(BundleFault::NotAsStated("plaintext size"))
        }
        Sealing::Escrow { .. } | Sealing::Elsewhere => Ok(()),
    }
}
