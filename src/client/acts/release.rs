//! Requests, approvals, objections, retrieval.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::Path;
use std::time::SystemTime;

use rand_core::OsRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::client::acts::agreement::{faulty, own_share};
use crate::client::acts::notice;
use crate::client::archive::unpack;
use crate::client::error::{ClientError, chain};
use crate::client::session::Session;
use crate::client::silence::answered;
use crate::crypto::contribution::{Contribution, combine, contribute};
use crate::crypto::header::Header;
use crate::crypto::payload::{self, Digests};
use crate::crypto::request_point::{Purpose, RequestSecret};
use crate::crypto::{open, proofs, signature};
use crate::domain::agreement::Agreement;
use crate::domain::deposit::Deposit;
use crate::domain::id::{AgreementId, Bytes, DepositId, Digest, RequestId, RuleName};
use crate::domain::outlook::missing;
use crate::domain::refusal::Refusal;
use crate::domain::request::{self, Request, State};
use crate::domain::rules;
use crate::domain::statement::{
    self, Acknowledged, Acknowledgement, Consent, Content, Duty, Evidence, Notification, Objection,
    RequestRef, Retrieval, Sealing, Seen, Withdrawal, Withdrawn,
};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;
use crate::wire::limit::MESSAGE_BYTES_MAX;
use crate::wire::v1::RetrieveRequest;
use crate::wire::v1::bundle_service_client::BundleServiceClient;
use crate::wire::v1::retrieve_response::Part;

/// A request with everything it is about, as believed just now.
#[derive(Debug, Clone)]
pub struct Matter {
    /// The agreement.
    pub agreement: Agreement,
    /// The deposit.
    pub deposit: Deposit,
    /// The request.
    pub request: Request,
}

/// Looks at a request. When it was first seen here is remembered: notice runs from then. If the
/// member's organisation may object, the look is signed: it has been seen.
pub async fn look(
    session: &mut Session,
    agreement: &AgreementId,
    id: &RequestId,
) -> Result<Matter, ClientError> {
    session.agreement(agreement).await?;
    let found = matter(session, id)?;
    if !see(session, &found.request).await? {
        return Ok(found);
    }
    session.agreement(agreement).await?;
    matter(session, id)
}

/// A request with everything it is about, as it was followed last.
pub fn matter(session: &Session, id: &RequestId) -> Result<Matter, ClientError> {
    let not_found = |id: &str| Refusal::NotFound(id.to_owned());
    let request = session.states().request(id).ok_or_else(|| not_found(id.as_str()))?;
    let request = rules::judged(session.states(), request);
    let agreement = session.believed_agreement(&request.agreement)?;
    let deposit = session.states().deposit(&request.deposit);
    let deposit = deposit.ok_or_else(|| not_found(request.deposit.as_str()))?.clone();
    Ok(Matter { agreement, deposit, request })
}

/// Somebody looks at a request: remembers when it was first known here, and signs that it was seen
/// where that counts. Whether it did.
pub async fn see(session: &Session, request: &Request) -> Result<bool, ClientError> {
    notice::remember(session, request)?;
    let now = now();
    let seen = Seen {
        made: session.made(),
        ground: session.ground(&request.agreement),
        request: named(request),
    };
    if request::decide_seen(request, &seen, now).is_err() {
        return Ok(false);
    }
    let signed = session.sign(&seen.into())?;
    session.submit(vec![signed], Vec::new()).await?;
    Ok(true)
}

/// What a member asks for.
pub struct Wish {
    /// Which deposit.
    pub deposit: DepositId,
    /// Under which rule.
    pub rule: RuleName,
    /// What for.
    pub purpose: Text,
    /// With what support.
    pub evidence: Vec<Evidence>,
    /// What the requester takes upon itself.
    pub duty: Option<Duty>,
}

/// A request ready to be signed.
pub struct Draft {
    statement: statement::Request,
    secret: RequestSecret,
}

/// Makes a request's fresh point and statement, if the rules take it.
pub async fn draft(
    session: &mut Session,
    agreement: &Agreement,
    wish: Wish,
) -> Result<Draft, ClientError> {
    let deposit = session.states().deposit(&wish.deposit);
    let deposit = deposit.ok_or_else(|| Refusal::NotFound(wish.deposit.to_string()))?.clone();
    let key = proofs::release_key(agreement).map_err(faulty)?;
    if agreement.terms.is_holder(&session.owner.path.organisation) {
        // What its own share is needed for, it must have.
        own_share(session, agreement, &key).await?;
    }
    let secret = RequestSecret::generate(&mut OsRng);
    let requester = session.owner.path.clone();
    let (of, on) = (&agreement.id, &wish.deposit);
    let purpose = Purpose { agreement: of, deposit: on, requester: &requester };
    let dealt = agreement.key()?;
    let statement = statement::Request {
        made: session.made(),
        ground: session.ground(&agreement.id),
        terms_sha256: agreement.terms_sha256,
        release_key_sha256: dealt.sha256,
        epoch: dealt.epoch,
        deposit: wish.deposit.clone(),
        deposit_sha256: deposit.statement_sha256,
        bundle_sha256: deposit.statement.sha256,
        header_sha256: deposit.statement.header_sha256,
        rule: wish.rule,
        purpose: wish.purpose,
        evidence: wish.evidence,
        duty: wish.duty,
        point: secret.point(),
        proof: secret.prove(&purpose, &mut OsRng),
    };
    request::decide_request(agreement, &deposit, &statement, now())?;
    Ok(Draft { statement, secret })
}

/// Makes a request, its point's secret kept in the home first.
pub async fn request(session: &Session, draft: Draft) -> Result<RequestId, ClientError> {
    let Draft { statement, secret } = draft;
    let sealed = age::encrypt(&session.keys.age.to_public(), secret.to_bytes().as_ref());
    session.home.keep_request_secret(&secret.point().to_string(), &sealed.map_err(faulty)?)?;
    let signed = session.sign(&statement.into())?;
    let id = RequestId::of(&signature::sha256(signed.statement.as_bytes()));
    session.submit(vec![signed], Vec::new()).await?;
    Ok(id)
}

/// What is due from a member on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// To consent, and then to contribute if that completes the rule.
    Consent,
    /// To contribute: the rule is met.
    Contribution,
    /// Nothing, now.
    Nothing,
}

/// What is due from this member now.
pub fn due(session: &Session, matter: &Matter) -> Result<Due, ClientError> {
    let (member, request) = (&session.owner.path, &matter.request);
    if member == request.requester() {
        return Err(Refusal::OwnRequest(member.clone()).into());
    }
    let state = request.state(now());
    match state {
        State::Released | State::Retrieved | State::Withdrawn | State::Expired => {
            return Err(Refusal::RequestIs(state).into());
        }
        State::Open | State::Notice | State::Objected | State::Satisfied => {}
    }
    let awaited = request.awaited_holders(now()).contains(&&member.organisation);
    if request.may_consent(member) && !request.has_consented(member, now()) {
        Ok(Due::Consent)
    } else if awaited && state == State::Satisfied {
        Ok(Due::Contribution)
    } else if request.may_consent(member) || awaited {
        Ok(Due::Nothing)
    } else {
        let rule = request.statement.rule.clone();
        Err(Refusal::NotEntitled { who: member.clone(), what: "approve", rule }.into())
    }
}

/// Whether this member's share is to be spent now: the rule is met, and the member is behind it.
pub fn is_to_spend(session: &Session, matter: &Matter) -> bool {
    matter.request.state(now()) == State::Satisfied
        && due(session, matter).is_ok_and(|due| due == Due::Contribution)
}

/// Says yes to a request. Spends nothing.
pub async fn consent(session: &Session, matter: &Matter) -> Result<(), ClientError> {
    let (made, ground) = (session.made(), session.ground(&matter.agreement.id));
    let consent = Consent { made, ground, request: named(&matter.request) };
    let signed = session.sign(&consent.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// Spends the own share on a request whose rule is met. Everything that the rule asks for is
/// checked here once more, from what was believed and by this computer's own clock.
pub async fn spend(session: &Session, matter: &Matter) -> Result<(), ClientError> {
    let Matter { agreement, deposit, request } = matter;
    let (now, own) = (now(), &session.owner.path.organisation);
    let state = request.state(now);
    if state != State::Satisfied {
        return Err(Refusal::RequestIs(state).into());
    }
    notice::has_run(session, request, now)?;
    deposit.is_stored()?;
    let key = proofs::release_key(agreement).map_err(faulty)?;
    let share = own_share(session, agreement, &key).await?;
    let target = proofs::target(session.states(), request).map_err(faulty)?;
    let made = contribute(&key, own, &share, &target, &mut OsRng).map_err(faulty)?;
    let bytes = serde_json::to_vec(&made).map_err(faulty)?;
    let statement = statement::Contribution {
        made: session.made(),
        ground: session.ground(&agreement.id),
        request: named(request),
        epoch: request.statement.epoch,
        contribution_sha256: signature::sha256(&bytes),
    };
    let signed = session.sign(&statement.into())?;
    session.submit(vec![signed], vec![bytes]).await
}

/// Records evidence that those who may object were notified.
pub async fn notified(
    session: &Session,
    matter: &Matter,
    evidence: Evidence,
) -> Result<(), ClientError> {
    let notification = Notification {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: named(&matter.request),
        evidence,
    };
    request::decide_notification(&matter.request, &notification, now())?;
    let signed = session.sign(&notification.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// An objection to a request, if the rules take it.
pub fn objection(
    session: &Session,
    matter: &Matter,
    reason: Text,
) -> Result<Objection, ClientError> {
    let objection = Objection {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: named(&matter.request),
        reason,
    };
    request::decide_objection(&matter.request, &objection, now())?;
    Ok(objection)
}

/// Blocks a request.
pub async fn object(session: &Session, objection: Objection) -> Result<(), ClientError> {
    let signed = session.sign(&objection.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// A withdrawal of the own organisation's request, or of its objection to one, if the rules take
/// it.
pub fn withdrawal(
    session: &Session,
    matter: &Matter,
    withdrawn: Withdrawn,
) -> Result<Withdrawal, ClientError> {
    let withdrawal = Withdrawal {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: named(&matter.request),
        withdrawn,
    };
    request::decide_withdrawal(&matter.request, &withdrawal, now())?;
    Ok(withdrawal)
}

/// Takes back a request or an objection.
pub async fn withdraw(session: &Session, withdrawal: Withdrawal) -> Result<(), ClientError> {
    let signed = session.sign(&withdrawal.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// A statement of what became of a bundle that was handed out, if the rules take it.
pub fn acknowledgement(
    session: &Session,
    matter: &Matter,
    what: Acknowledged,
) -> Result<Acknowledgement, ClientError> {
    let acknowledgement = Acknowledgement {
        made: session.made(),
        ground: session.ground(&matter.agreement.id),
        request: named(&matter.request),
        what,
    };
    request::decide_acknowledgement(&matter.request, &acknowledgement, now())?;
    Ok(acknowledgement)
}

/// Says what became of a bundle.
pub async fn acknowledge(
    session: &Session,
    acknowledgement: Acknowledgement,
) -> Result<(), ClientError> {
    let signed = session.sign(&acknowledgement.into())?;
    session.submit(vec![signed], Vec::new()).await
}

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

/// Takes delivery of a released bundle, opens it and writes it to `out`, which must not exist.
pub async fn retrieve(
    session: &Session,
    matter: &Matter,
    out: &Path,
    raw: bool,
    received: impl FnMut(u64),
) -> Result<Retrieved, ClientError> {
    let Matter { agreement, deposit, request } = matter;
    may_retrieve(session, matter, out)?;
    let made = session.made();
    let ground = session.ground(&agreement.id);
    let retrieval = Retrieval { made, ground, request: named(request) };
    request::decide_retrieval(request, deposit, &retrieval, false, now())?;
    let secret = request_secret(session, request)?;
    let (contributions, file) = fetch(session, matter, retrieval, out, received).await?;
    let key = proofs::release_key(agreement).map_err(faulty)?;
    let target = proofs::target(session.states(), request).map_err(faulty)?;
    let own = &session.owner.path.organisation;
    let own_share = match agreement.terms.is_holder(own) {
        true => Some(own_share(session, agreement, &key).await?),
        false => None,
    };
    let own = own_share.as_ref().map(|share| (own, share));
    let shared = combine(&key, &contributions, own, &secret, &target).map_err(faulty)?;
    let stated = &deposit.statement;
    let header = stated_header(stated);
    let digests = Digests { plaintext: false, file: false };
    let threads = payload::threads();
    let opened = open::open(&shared, &key, &header, digests, threads, file).map_err(faulty)?;
    let expected = match &stated.sealing {
        Sealing::Escrow { plaintext_sha256, plaintext_size, .. } => {
            Some((*plaintext_sha256, *plaintext_size))
        }
        Sealing::Elsewhere => None,
    };
    let mut checked = Checked::new(opened, expected);
    let entries = match (stated.content, raw) {
        (Content::Tar, false) => {
            let written = unpack::unpack(&mut checked, out, unpack::Limits::default());
            let bad = |fault: unpack::UnpackFault| {
                ClientError::input("NOT_UNPACKED", chain(&fault), fault.hint())
            };
            written.map_err(bad)?.entries
        }
        (Content::Opaque, _) | (Content::Tar, true) => {
            let written = unpack::write_single(&mut checked, out);
            let bad = |fault: unpack::UnpackFault| {
                ClientError::input("NOT_WRITTEN", chain(&fault), fault.hint())
            };
            written.map_err(bad)?;
            1
        }
    };
    // Not before all of it is on the disk: nothing opens the bundle without this secret.
    session.home.erase_request_secret(&request.statement.point.to_string())?;
    Ok(Retrieved {
        bundle_size: stated.size,
        plaintext_size: checked.size,
        entries,
        plaintext_checked: expected.is_some(),
    })
}

/// Fetches contributions and bundle; both are checked against what was stated of them.
async fn fetch(
    session: &Session,
    matter: &Matter,
    retrieval: Retrieval,
    out: &Path,
    mut received: impl FnMut(u64),
) -> Result<(Vec<Contribution>, File), ClientError> {
    let signed = session.sign(&retrieval.into())?;
    let request = RetrieveRequest { statement: Some(signed.clone().into()) };
    let mut service =
        BundleServiceClient::new(session.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut parts = answered(service.retrieve(request)).await?.into_inner();
    let untrue = |what: &str| ClientError::Untrue(what.to_owned());
    let first = answered(parts.message()).await?.and_then(|reply| reply.part);
    let Some(Part::Contributions(first)) = first else {
        return Err(untrue("a delivery without contributions"));
    };
    let mut contributions = Vec::new();
    for bytes in &first.contributions {
        let digest = signature::sha256(bytes);
        let spent =
            matter.request.contributions.iter().find(|spent| spent.contribution_sha256 == digest);
        let holder = &spent.ok_or_else(|| untrue("a contribution nobody stated"))?.by.organisation;
        let states = session.states();
        let checked = proofs::check_contribution(states, &matter.request, holder, bytes);
        contributions.push(checked.map_err(faulty)?);
    }
    session.acknowledged(&[signed], first.entry.into_iter().collect(), first.head)?;
    let dir = beside(out);
    let disk = |fault: io::Error| {
        let message = format!("{}: {fault}", dir.display());
        ClientError::input("DISK", message, "make room, or name another directory with --out")
    };
    let mut file = tempfile::tempfile_in(dir).map_err(disk)?;
    let (mut hash, mut size) = (Sha256::new(), 0u64);
    let stated = &matter.deposit.statement;
    while let Some(reply) = answered(parts.message()).await? {
        let chunk = match reply.part {
            Some(Part::Chunk(chunk)) if !chunk.is_empty() => chunk,
            // Empty ones could go on for ever.
            Some(Part::Chunk(_) | Part::Contributions(_)) | None => {
                return Err(untrue("a delivery with something else than a bundle in it"));
            }
        };
        size += chunk.len() as u64;
        if size > stated.size {
            return Err(untrue("a bundle larger than was deposited"));
        }
        hash.update(&chunk);
        file.write_all(&chunk).map_err(disk)?;
        received(chunk.len() as u64);
    }
    if size != stated.size || Bytes(hash.finalize().into()) != stated.sha256 {
        return Err(untrue("a bundle that is not the one deposited"));
    }
    file.rewind().map_err(disk)?;
    Ok((contributions, file))
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

fn named(request: &Request) -> RequestRef {
    RequestRef { id: request.id.clone(), sha256: request.statement_sha256 }
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Hashes what is read, and fails at the end if it is not what was stated.
struct Checked<R> {
    from: R,
    hash: Sha256,
    size: u64,
    expected: Option<(Digest, u64)>,
}

impl<R> Checked<R> {
    fn new(from: R, expected: Option<(Digest, u64)>) -> Self {
        Self { from, hash: Sha256::new(), size: 0, expected }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.from.read(buffer)?;
        self.hash.update(buffer.get(..taken).unwrap_or_default());
        self.size += taken as u64;
        if taken == 0 && !buffer.is_empty() {
            let found = (Bytes(self.hash.clone().finalize().into()), self.size);
            if self.expected.is_some_and(|expected| expected != found) {
                let what = "what was sealed is not what the depositor stated";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(taken)
    }
}

/// Digest and size of a document that supports a request.
pub fn evidence(path: &Path) -> Result<Evidence, ClientError> {
    let failed = |fault: io::Error| {
        let message = format!("{}: {fault}", path.display());
        ClientError::input("UNREADABLE", message, "check the path; name a file that you may read")
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let size = io::copy(&mut file, &mut hash).map_err(failed)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.parse::<Text>();
    let name = name
        .map_err(|fault| ClientError::input("BAD_NAME", fault, "rename the file and try again"))?;
    Ok(Evidence { name, sha256: Bytes(hash.finalize().into()), size })
}
