//! From sealed bytes to files.
//!
//! Of a bundle that `escrow` sealed three things bind every byte, and none is hashed twice: the digest
//! of its header, which the request names; the chunks' own authentication, under a key which that
//! header holds; and the digest of the plaintext, which the depositor has signed and which is made
//! while the chunks are opened. The digest of the file is not made, except to say who is to
//! blame when it does not open. Of a bundle sealed elsewhere nobody has signed the plaintext: there
//! the file's digest is made instead, in the same pass.

use std::io::{self, Read};
use std::path::PathBuf;

use bytes::Buf as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::client::acts::retrieval::Retrieved;
use crate::client::archive::unpack;
use crate::client::delivery::{Arrived, NOT_THE_BUNDLE};
use crate::client::error::{ClientError, chain};
use crate::client::partial::Partial;
use crate::crypto::header::Header;
use crate::crypto::open::{self, OpenFault, Opened, SharedSecret};
use crate::crypto::payload::{self, Digests, Passed};
use crate::crypto::release_key::ReleaseKey;
use crate::domain::id::{Bytes, Digest};
use crate::domain::statement::{self, Content, Sealing};

/// What opens a bundle, and where it goes.
pub(super) struct Way {
    pub(super) secret: SharedSecret,
    pub(super) key: ReleaseKey,
    pub(super) stated: statement::Deposit,
    pub(super) out: PathBuf,
    pub(super) raw: bool,
}

/// Why a bundle was not opened.
pub(super) enum Unopened {
    /// It is not what was stated of it, or was damaged where it was kept: of no more use.
    Bundle(ClientError),
    /// For another reason.
    Elsewhere(ClientError),
}

impl Way {
    /// Opens what was kept and what arrives. Nothing is at its place before all of it was found to be
    /// what was stated; then it is durable. Blocking.
    pub(super) fn open(
        self,
        partial: Partial,
        pieces: mpsc::Receiver<Arrived>,
    ) -> (Partial, Result<Retrieved, Unopened>) {
        let kept = match partial.read_kept() {
            Ok(kept) => kept,
            Err(fault) => {
                let fault = partial.failed(&fault);
                return (partial, Err(Unopened::Elsewhere(fault)));
            }
        };
        let (piece, has_ended, disk) = (bytes::Bytes::new(), false, None);
        let mut arriving = Arriving { kept, pieces, piece, has_ended, partial, disk };
        let opened = self.unpack(&mut arriving);
        let opened = opened.map_err(|fault| match (arriving.disk.take(), fault) {
            (Some(fault), _) | (None, Fault::Unpack(fault)) => Unopened::Elsewhere(fault),
            (None, Fault::Bundle(what)) => self.blame(&mut arriving, &what),
        });
        (arriving.partial, opened)
    }

    fn unpack(&self, arriving: &mut Arriving) -> Result<Retrieved, Fault> {
        let stated = &self.stated;
        let header = stated_header(stated);
        let expected = Expected::of(stated);
        let digests = expected.digests();
        let opened =
            open::open(&self.secret, &self.key, &header, digests, payload::threads(), arriving);
        let opened = opened.map_err(|fault| match fault {
            OpenFault::Read(fault) => {
                Fault::Unpack(ClientError::input("NOT_READ", fault, "try again"))
            }
            fault @ (OpenFault::Header(_)
            | OpenFault::OtherHeader
            | OpenFault::Age(_)
            | OpenFault::NoPayload) => Fault::Bundle(chain(&fault)),
        })?;
        let mut checked = Checked { from: Some(opened), expected, passed: None, fault: None };
        let unpacked = match (stated.content, self.raw) {
            (Content::Tar, false) => {
                unpack::unpack(&mut checked, &self.out, unpack::Limits::default())
                    .map(|unpacked| unpacked.entries)
                    .map_err(|fault| ("NOT_UNPACKED", fault))
            }
            (Content::Opaque, _) | (Content::Tar, true) => {
                unpack::write_single(&mut checked, &self.out)
                    .map(|_| 1)
                    .map_err(|fault| ("NOT_WRITTEN", fault))
            }
        };
        match (unpacked, checked) {
            (Ok(entries), Checked { passed: Some(passed), .. }) => Ok(Retrieved {
                bundle_size: stated.size,
                plaintext_size: passed.plaintext_size,
                entries,
                plaintext_checked: expected.plaintext.is_some(),
            }),
            (_, Checked { fault: Some(what), .. }) => Err(Fault::Bundle(what)),
            (Err((code, fault)), _) => {
                Err(Fault::Unpack(ClientError::input(code, chain(&fault), fault.hint())))
            }
            (Ok(_), _) => Err(Fault::Bundle("the bundle was not read to its end".to_owned())),
        }
    }

    /// Whose fault it is that a bundle does not open: it is received to its end, and hashed.
    fn blame(&self, arriving: &mut Arriving, what: &str) -> Unopened {
        let hashed = io::copy(arriving, &mut io::sink()).and_then(|_| {
            let mut hash = Sha256::new();
            io::copy(&mut arriving.partial.read_all()?, &mut hash)?;
            Ok(Bytes(hash.finalize().into()))
        });
        let sha256: Digest = match hashed {
            Ok(sha256) => sha256,
            Err(fault) => return Unopened::Elsewhere(arriving.partial.failed(&fault)),
        };
        Unopened::Bundle(if sha256 == self.stated.sha256 {
            ClientError::input(
                "RUBBISH",
                format!(
                    "the bundle is the one deposited, but not what its depositor stated: {what}"
                ),
                "the depositor's signed statement is the evidence: keep a receipt of the deposit",
            )
        } else if arriving.partial.kept > 0 {
            ClientError::input(
                "NOT_THE_BUNDLE",
                format!(
                    "what was received is not the bundle deposited: {what}; the vault sent something \
                     else, or what this home has kept of it was damaged, and it was thrown away"
                ),
                "retrieve it again: it begins anew, and shows which of the two it was",
            )
        } else {
            ClientError::Untrue(format!("{NOT_THE_BUNDLE}: {what}"))
        })
    }
}

/// Why what arrived did not become files.
enum Fault {
    /// The bundle is not what it should be.
    Bundle(String),
    /// Something else.
    Unpack(ClientError),
}

/// The bundle: what was kept of it, then what arrives, which is kept as well.
struct Arriving {
    kept: io::Take<std::fs::File>,
    pieces: mpsc::Receiver<Arrived>,
    piece: bytes::Bytes,
    has_ended: bool,
    partial: Partial,
    /// That what is kept could not be read or written.
    disk: Option<ClientError>,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.kept.read(buffer).inspect_err(|fault| {
            self.disk = Some(self.partial.failed(fault));
        })?;
        if taken > 0 || buffer.is_empty() {
            return Ok(taken);
        }
        while self.piece.is_empty() && !self.has_ended {
            match self.pieces.blocking_recv() {
                Some(Arrived::Piece(piece)) => {
                    self.partial.append(&piece).inspect_err(|fault| {
                        self.disk = Some(self.partial.failed(fault));
                    })?;
                    self.piece = piece;
                }
                Some(Arrived::End) => self.has_ended = true,
                None => return Err(io::Error::new(io::ErrorKind::BrokenPipe, "it was not all")),
            }
        }
        let taken = self.piece.as_ref().read(buffer)?;
        self.piece.advance(taken);
        Ok(taken)
    }
}

/// What was stated of a bundle that is made while it passes.
#[derive(Debug, Clone, Copy)]
struct Expected {
    sha256: Digest,
    size: u64,
    /// Digest and size of what is inside, where the depositor has stated them.
    plaintext: Option<(Digest, u64)>,
}

impl Expected {
    fn of(stated: &statement::Deposit) -> Self {
        let plaintext = match &stated.sealing {
            Sealing::Escrow { plaintext_sha256, plaintext_size, .. } => {
                Some((*plaintext_sha256, *plaintext_size))
            }
            Sealing::Elsewhere => None,
        };
        Self { sha256: stated.sha256, size: stated.size, plaintext }
    }

    fn digests(&self) -> Digests {
        Digests { plaintext: self.plaintext.is_some(), file: self.plaintext.is_none() }
    }

    fn is_met(&self, passed: &Passed) -> bool {
        passed.size == self.size
            && match self.plaintext {
                Some(stated) => {
                    passed.plaintext_sha256.map(|sha256| (sha256, passed.plaintext_size))
                        == Some(stated)
                }
                None => passed.sha256 == Some(self.sha256),
            }
    }
}

/// Passes on what is opened, and fails at the end if it is not what was stated.
struct Checked<'a> {
    from: Option<Opened<&'a mut Arriving>>,
    expected: Expected,
    passed: Option<Passed>,
    fault: Option<String>,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(from) = &mut self.from else { return Ok(0) };
        let taken = match from.read(buffer) {
            Ok(taken) => taken,
            Err(fault) => {
                if payload::PayloadFault::is_in(&fault) {
                    self.fault = Some(fault.to_string());
                }
                return Err(fault);
            }
        };
        if taken == 0 && !buffer.is_empty() {
            let passed = self.from.take().map(Opened::finish).transpose()?;
            if !passed.as_ref().is_some_and(|passed| self.expected.is_met(passed)) {
                let what = "what was sealed is not what the depositor stated";
                self.fault = Some(what.to_owned());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            self.passed = passed;
        }
        Ok(taken)
    }
}

/// The header of a bundle, as its depositor stated it.
fn stated_header(stated: &statement::Deposit) -> Header {
    Header {
        ephemeral: stated.ephemeral,
        size: usize::try_from(stated.header_size).unwrap_or(usize::MAX),
        sha256: stated.header_sha256,
    }
}
