//! Retrieval: a released bundle is received, opened and unpacked, all at once.
//!
//! Of a bundle that `escrow` sealed three things bind every byte, and none is hashed twice: the digest
//! of its header, which the request names; the chunks' own authentication, under a key which that
//! header holds; and the digest of the plaintext, which the depositor has signed and which is made
//! while the chunks are opened. The digest of the file is not made, except to say who is to
//! blame when it does not open. Of a bundle sealed elsewhere nobody has signed the plaintext: there
//! the file's digest is made instead, in the same pass.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Buf as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::client::acts::agreement::{faulty, own_share};
use crate::client::acts::release::{Matter, named, now};
use crate::client::archive::unpack;
use crate::client::delivery::{Arrived, Delivery, NOT_THE_BUNDLE, Told};
use crate::client::error::{ClientError, chain};
use crate::client::partial::Partial;
use crate::client::session::Session;
use crate::crypto::contribution::{Contribution, combine};
use crate::crypto::header::Header;
use crate::crypto::open::{self, OpenFault, Opened, SharedSecret};
use crate::crypto::payload::{self, Digests, Passed};
use crate::crypto::release_key::ReleaseKey;
use crate::crypto::request_point::RequestSecret;
use crate::crypto::{proofs, signature, statement as crypto_statement};
use crate::domain::event::SignedText;
use crate::domain::id::{Bytes, Digest};
use crate::domain::outlook::missing;
use crate::domain::refusal::Refusal;
use crate::domain::request::{self, Request, State};
use crate::domain::statement::{self, Content, Retrieval, Sealing, Statement};
use crate::wire::v1::Contributions;

/// Pieces of a bundle that wait to be opened.
const PIECES_AHEAD: usize = 4;

/// What was retrieved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieved {
    /// Size of the bundle, in bytes.
    pub bundle_size: u64,
    /// Size of what was in it, in bytes.
    pub plaintext_size: u64,
    /// Files and directories written.
    pub entries: u64,
    /// Whether it was checked against the depositor's digest of the plaintext.
    pub plaintext_checked: bool,
}

/// Refuses what cannot be retrieved, or not to this place, before anything is signed.
pub fn may_retrieve(session: &Session, matter: &Matter, out: &Path) -> Result<(), ClientError> {
    let (request, by) = (&matter.request, &session.owner.path);
    if by != request.requester() {
        let rule = request.statement.rule.clone();
        return Err(Refusal::NotEntitled { who: by.clone(), what: "retrieve", rule }.into());
    }
    let state = request.state(now());
    match state {
        State::Open | State::Notice | State::Objected | State::Satisfied => {
            let missing =
                missing(request, now()).iter().map(ToString::to_string).collect::<Vec<_>>();
            return Err(ClientError::NotYet {
                message: format!("{} is {state}; missing: {}", request.id, missing.join("; ")),
                hint: state.remedy().to_owned(),
            });
        }
        State::Released | State::Retrieved | State::Withdrawn | State::Expired => {}
    }
    if out.symlink_metadata().is_ok() {
        return Err(ClientError::input(
            "EXISTS",
            format!("{} exists already", out.display()),
            "name a directory that does not exist yet with --out",
        ));
    }
    if !beside(out).is_dir() {
        return Err(ClientError::input(
            "NO_PLACE",
            format!("{} is not a directory, so nothing can be made in it", beside(out).display()),
            "make it first, or name another place with --out",
        ));
    }
    Ok(())
}

/// The directory that a path is made in.
fn beside(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Takes delivery of a released bundle, opens it and writes it to `out`, which must not exist. What is
/// received stays in the home until all is done: whoever is stopped goes on from there.
pub async fn retrieve(
    session: &Session,
    matter: &Matter,
    out: &Path,
    raw: bool,
    mut told: impl FnMut(Told<'_>),
) -> Result<Retrieved, ClientError> {
    let Matter { agreement, deposit, request } = matter;
    may_retrieve(session, matter, out)?;
    let (stated, point) = (&deposit.statement, request.statement.point.to_string());
    let before = Partial::signed(&session.home, &point)
        .and_then(|signed| still_good(session, matter, signed));
    let retrieval = before.as_ref().map_or_else(
        || Retrieval {
            made: session.made(),
            ground: session.ground(&agreement.id),
            request: named(request),
        },
        |before| before.retrieval.clone(),
    );
    let is_repeated = before.as_ref().is_some_and(|before| before.was_accepted);
    let decided = request::decide_retrieval(request, deposit, &retrieval, is_repeated, now());
    if let Err(refusal) = decided {
        // It cannot be gone on with either.
        Partial::forget(&session.home, &point);
        return Err(refusal.into());
    }
    let secret = request_secret(session, request)?;
    let partial = Partial::open(&session.home, &point, stated.size)?;
    let kept = partial.kept;
    if kept > 0 {
        told(Told::Kept(kept));
    }
    let signed = match before {
        Some(before) => before.signed,
        None => {
            let signed = session.sign(&retrieval.into())?;
            partial.keep_signed(&signed)?;
            signed
        }
    };
    let (first, delivery) = Delivery::begin(session, signed.clone(), stated.size, kept).await?;
    let contributions = checked(session, matter, &first)?;
    session.acknowledged(&[signed], first.entry.into_iter().collect(), first.head)?;
    let key = proofs::release_key(agreement).map_err(faulty)?;
    let target = proofs::target(session.states(), request).map_err(faulty)?;
    let own = &session.owner.path.organisation;
    let own_share = match agreement.terms.is_holder(own) {
        true => Some(own_share(session, agreement, &key).await?),
        false => None,
    };
    let own = own_share.as_ref().map(|share| (own, share));
    let secret = combine(&key, &contributions, own, &secret, &target).map_err(faulty)?;
    let (to, pieces) = mpsc::channel(PIECES_AHEAD);
    let way = Way { secret, key, stated: stated.clone(), out: out.to_owned(), raw };
    let opening = tokio::task::spawn_blocking(move || way.open(partial, pieces));
    let received = delivery.receive(to, told).await;
    let (partial, opened) = opening.await.map_err(faulty)?;
    let done = match (received, opened) {
        (Ok(()), Ok(done)) => done,
        // Whoever opens it stopped for want of what was not received.
        (Err(fault @ ClientError::Untrue(_)), _) => {
            partial.discard()?;
            return Err(fault);
        }
        (Err(fault), _) => return Err(fault),
        (Ok(()), Err(Unopened::Elsewhere(fault))) => return Err(fault),
        (Ok(()), Err(Unopened::Bundle(fault))) => {
            partial.discard()?;
            return Err(fault);
        }
    };
    // Not before all of it is on the disk: nothing opens the bundle without this secret.
    session.home.erase_request_secret(&point)?;
    partial.finish()?;
    Ok(done)
}

/// What was signed to have a bundle whose retrieval was not done, and can be handed in again.
struct Before {
    signed: SignedText,
    retrieval: Retrieval,
    /// Whether the vault has accepted it, so that it counts no further time.
    was_accepted: bool,
}

/// What was signed before, if the vault takes it once more: it is about this request, it has time
/// left, and what it rests on was not overtaken.
fn still_good(session: &Session, matter: &Matter, signed: SignedText) -> Option<Before> {
    let stated = crypto_statement::parse(&signed).ok()?;
    let Statement::Retrieval(retrieval) = stated.statement else { return None };
    let Retrieval { made, ground, request } = &retrieval;
    let is_own = made.by == session.owner.path && made.log == session.vault.log;
    let is_of_this = ground.agreement == matter.agreement.id && *request == named(&matter.request);
    let holds = now() < ground.valid_until && ground.saw.sequence >= matter.agreement.floor;
    let was_accepted = session.states().statement(&stated.digest).is_some();
    (is_own && is_of_this && holds).then_some(Before { signed, retrieval, was_accepted })
}

/// The contributions, each checked against what was stated of it.
fn checked(
    session: &Session,
    matter: &Matter,
    first: &Contributions,
) -> Result<Vec<Contribution>, ClientError> {
    let check = |bytes: &bytes::Bytes| {
        let digest = signature::sha256(bytes);
        let spent =
            matter.request.contributions.iter().find(|spent| spent.contribution_sha256 == digest);
        let nobodys = || ClientError::Untrue("a contribution nobody stated".to_owned());
        let holder = &spent.ok_or_else(nobodys)?.by.organisation;
        let states = session.states();
        proofs::check_contribution(states, &matter.request, holder, bytes).map_err(faulty)
    };
    first.contributions.iter().map(check).collect()
}

/// From sealed bytes to files.
struct Way {
    secret: SharedSecret,
    key: ReleaseKey,
    stated: statement::Deposit,
    out: PathBuf,
    raw: bool,
}

/// Why a bundle was not opened.
enum Unopened {
    /// It is not what was stated of it, or was damaged where it was kept: of no more use.
    Bundle(ClientError),
    /// For another reason.
    Elsewhere(ClientError),
}

impl Way {
    /// Opens what was kept and what arrives. Nothing is at its place before all of it was found to be
    /// what was stated; then it is durable. Blocking.
    fn open(
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

fn request_secret(session: &Session, request: &Request) -> Result<RequestSecret, ClientError> {
    let point = request.statement.point;
    let gone = || {
        ClientError::input(
            "NO_SECRET",
            format!(
                "the secret of {} is not in this home, or was erased after retrieval",
                request.id
            ),
            "only the home that a request was made in can open its bundle, once: restore that \
             home from its backup, or make a new request",
        )
    };
    let sealed = session.home.request_secret(&point.to_string())?.ok_or_else(gone)?;
    let bytes = Zeroizing::new(age::decrypt(&session.keys.age, &sealed).map_err(faulty)?);
    let array: Zeroizing<[u8; 32]> =
        Zeroizing::new(bytes.as_slice().try_into().map_err(|_| gone())?);
    let secret = RequestSecret::from_bytes(&array).map_err(faulty)?;
    if secret.point() == point { Ok(secret) } else { Err(gone()) }
}

/// The header of a bundle, as its depositor stated it.
fn stated_header(stated: &statement::Deposit) -> Header {
    Header {
        ephemeral: stated.ephemeral,
        size: usize::try_from(stated.header_size).unwrap_or(usize::MAX),
        sha256: stated.header_sha256,
    }
}
