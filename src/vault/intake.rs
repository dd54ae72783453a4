//! A bundle on its way in: checked against its statement while it streams, never buffered whole.

use sha2::{Digest as _, Sha256};

use crate::crypto::header::{self, HEADER_BYTES_MAX, Header, HeaderFault};
use crate::domain::id::Bytes;
use crate::domain::statement::{Deposit, Sealing};
use crate::store::{Blob, Staged, Store};
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

/// Where the bytes go: small bundles ride in the journal, larger ones become files.
enum Place<S: Store> {
    Small(Vec<u8>),
    Large(S::Staged),
}

/// A bundle, checked and safe to be named by an event.
pub(super) enum Arrived<S: Store> {
    Small(Vec<u8>),
    Large(S::Staged),
}

/// Takes a bundle in. Blocking.
pub(super) struct Intake<S: Store> {
    stated: Deposit,
    place: Place<S>,
    begin: Vec<u8>,
    parse_at: usize,
    header: Option<Header>,
    hash: Sha256,
    size: u64,
}

impl<S: Store> Intake<S> {
    pub(super) fn begin(store: &S, stated: Deposit) -> Result<Self, VaultError> {
        if !store.has_room_for(stated.size) {
            return Err(VaultError::Full);
        }
        let place = match stated.size <= Blob::BYTES_MAX as u64 {
            true => Place::Small(Vec::new()),
            false => Place::Large(store.stage()?),
        };
        let (begin, hash) = (Vec::new(), Sha256::new());
        Ok(Self { stated, place, begin, parse_at: PARSE_FIRST_BYTES, header: None, hash, size: 0 })
    }

    /// Takes the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), VaultError> {
        self.size += bytes.len() as u64;
        if self.size > self.stated.size {
            return Err(VaultError::Bundle(BundleFault::NotAsStated("size")));
        }
        if self.header.is_none() {
            let room = HEADER_BYTES_MAX.saturating_sub(self.begin.len());
            self.begin.extend(bytes.iter().take(room));
            // Read again only when twice as much is there: a byte at a time stays linear.
            if self.begin.len() >= self.parse_at {
                self.parse_at = (2 * self.parse_at).min(HEADER_BYTES_MAX);
                self.parse()?;
            }
        }
        self.hash.update(bytes);
        match &mut self.place {
            Place::Small(held) => held.extend(bytes),
            Place::Large(staged) => staged.write(bytes)?,
        }
        Ok(())
    }

    fn parse(&mut self) -> Result<(), VaultError> {
        let parsed = Header::parse(&self.begin).map_err(BundleFault::Header);
        self.header = parsed.map_err(VaultError::Bundle)?;
        if let Some(header) = &self.header {
            is_as_stated(header, &self.stated).map_err(VaultError::Bundle)?;
            self.begin = Vec::new();
        }
        Ok(())
    }

    /// Ends the bundle. On `Ok` its bytes are on disk, or about to ride in the journal.
    pub(super) fn finish(mut self) -> Result<Arrived<S>, VaultError> {
        if self.header.is_none() {
            self.parse()?;
        }
        let not = |what| VaultError::Bundle(BundleFault::NotAsStated(what));
        let truncated = BundleFault::Header(HeaderFault::Truncated);
        let header = self.header.ok_or(VaultError::Bundle(truncated))?;
        if self.size != self.stated.size {
            return Err(not("size"));
        }
        if Bytes(self.hash.finalize().into()) != self.stated.sha256 {
            return Err(not("digest"));
        }
        let plain = header::plaintext_size(self.size, header.size as u64)
            .ok_or(VaultError::Bundle(BundleFault::Chunks))?;
        match self.stated.sealing {
            Sealing::Escrow { plaintext_size, .. } if plaintext_size != plain => {
                return Err(not("plaintext size"));
            }
            Sealing::Escrow { .. } | Sealing::Elsewhere => {}
        }
        Ok(match self.place {
            Place::Small(held) => Arrived::Small(held),
            Place::Large(mut staged) => {
                // If this fails, a refusal is the truth: no event names the bundle, and its staged
                // file is thrown away and never synced again. Whoever deposits again sends all of
                // it again, into another file.
                staged.sync()?;
                Arrived::Large(staged)
            }
        })
    }
}

fn is_as_stated(header: &Header, stated: &Deposit) -> Result<(), BundleFault> {
    let facts = [
        ("header size", header.size as u64 == u64::from(stated.header_size)),
        ("header digest", header.sha256 == stated.header_sha256),
        ("ephemeral point", header.ephemeral == stated.ephemeral),
    ];
    match facts.into_iter().find(|(_, holds)| !holds) {
        Some((what, _)) => Err(BundleFault::NotAsStated(what)),
        None => Ok(()),
    }
}
