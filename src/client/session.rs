//! A connection to the vault, and what has been believed of it so far.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rand_core::{OsRng, RngCore as _};
use rustls::pki_types::CertificateDer;

use crate::client::acknowledgement;
use crate::client::authorities::{self, trust};
use crate::client::channel::Channel;
use crate::client::chronicle::{Followed, Replay, Untrue};
use crate::client::connect::connect;
use crate::client::error::ClientError;
use crate::client::home::{Home, Keys, Owner, VaultInfo};
use crate::client::listing::Listing;
use crate::client::memory::{Owed, Proof};
use crate::client::mirror::Mirrored;
use crate::client::reading::Reading;
use crate::client::silence::answered;
use crate::client::tls_key::TlsKey;
use crate::crypto::{signature, statement, strict_json};
use crate::domain::agreement::Agreement;
use crate::domain::event::SignedText;
use crate::domain::id::{AgreementId, Bytes, Fingerprint, MemberPath, OrganisationName};
use crate::domain::organisation::Organisation;
use crate::domain::refusal::Refusal;
use crate::domain::statement::{Ground, Made, Renewal, Saw, Statement};
use crate::domain::states::{States, Vault};
use crate::domain::stream::Stream;
use crate::domain::time::{Span, Timestamp};
use crate::ledger::Entry;
use crate::ledger::head::{self, Head, SignedHead};
use crate::wire::convert::{BadField, present};
use crate::wire::limit::MESSAGE_BYTES_MAX;
use crate::wire::v1::identity_service_client::IdentityServiceClient;
use crate::wire::v1::statement_service_client::StatementServiceClient;
use crate::wire::v1::stream_service_client::StreamServiceClient;
use crate::wire::v1::{
    self, ListAgreementsRequest, ReadRequest, RenewRequest, SignedStatement, SubmitRequest,
    SubmitResponse,
};

/// A difference of clocks that is worth a warning.
pub const SKEW_MAX: Span = Span::seconds(5 * 60);
/// How long a statement stays good after it was signed.
const VALIDITY: Span = Span::days(1);
/// A certificate with less than this left is renewed.
const RENEW_BEFORE: Span = Span::days(30);

/// A member at work.
pub struct Session {
    /// The member's home.
    pub home: Home,
    /// Who the member is.
    pub owner: Owner,
    /// The member's keys.
    pub keys: Keys,
    /// Which vault this is.
    pub vault: VaultInfo,
    /// The generation of its log that the vault says it keeps now.
    pub generation: u32,
    channel: Channel,
    streams: BTreeMap<Stream, Followed>,
    replayed: Replay,
    /// How far the home has written down that each was replayed.
    proved: BTreeMap<Stream, Saw>,
    /// Events that answered the session's own statements.
    unseen: Mutex<Vec<Entry>>,
    /// The log as it stood when the session began; none of a generation that is not relied on.
    mirrored: Option<Mirrored>,
    /// What the last head said of the vault's time, and this computer's clock then.
    times: Option<(Timestamp, Timestamp)>,
}

impl Session {
    /// Opens a home and connects to its vault; renews the certificate where it is due. If the
    /// vault got another CA while nobody looked, its ledger key vouches for that one.
    pub async fn open(home: Home) -> Result<Self, ClientError> {
        let fault = match Self::enter(&home).await {
            Err(ClientError::Connect(fault)) if fault.may_be_another_ca() => fault,
            done => return done,
        };
        let known = home.vault()?;
        // Whoever cannot prove itself is somebody else: then the first fault says what is wrong.
        let asked = authorities::ask_anybody(&known.address, &known.ledger_key).await;
        match asked {
            Ok(told) if authorities::is_news(&known, &told)? => home.keep_cas(&told)?,
            Ok(_) | Err(_) => return Err(fault.into()),
        };
        Self::enter(&home).await
    }

    async fn enter(home: &Home) -> Result<Self, ClientError> {
        let (owner, mut vault, keys) = (home.owner()?, home.vault()?, home.keys()?);
        let now = Timestamp::from(SystemTime::now());
        let mut certificate = home.certificate()?;
        let expires_at = expires_at(&certificate)?;
        let is_of_issuing_ca = authorities::is_of_issuing_ca(&vault, &certificate)?;
        if expires_at < now.after(RENEW_BEFORE) || !is_of_issuing_ca {
            let channel = connect(&vault.address, trust(&vault)?, None).await?.channel;
            match renew(channel, home, &owner, &vault, &keys).await {
                Ok(der) => certificate = der,
                Err(error) if expires_at <= now => return Err(error),
                // There is time to try again.
                Err(_) => {}
            }
        }
        let with = (vec![CertificateDer::from(certificate)], &keys.tls);
        let channel = connect(&vault.address, trust(&vault)?, Some(with)).await?.channel;
        let told = authorities::ask(channel.clone(), &vault.address, &vault.ledger_key).await?;
        if authorities::is_news(&vault, &told)? {
            vault = home.keep_cas(&told)?;
            // It counts from the next session on, and if it fails that session tries again.
            drop(renew(channel.clone(), home, &owner, &vault, &keys).await);
        }
        let (streams, replayed) = (BTreeMap::new(), Replay::default());
        let (home, generation) = (home.clone(), told.log.generation);
        let (unseen, times) = (Mutex::default(), None);
        let mut session = Self {
            home,
            owner,
            keys,
            vault,
            generation,
            channel,
            streams,
            replayed,
            proved: BTreeMap::new(),
            unseen,
            mirrored: None,
            times,
        };
        // The operator keeps nothing of what its own vault shows.
        let is_operator = session.owner.path == MemberPath::operator();
        if session.is_of_this_generation().is_ok() && !is_operator {
            session.follow_log().await?;
        }
        Ok(session)
    }

    /// Brings the home's copy of the log level with the vault's.
    pub async fn follow_log(&mut self) -> Result<(), ClientError> {
        let evidence = self.home.evidence();
        let mirror = self.home.mirror();
        self.mirrored = Some(mirror.follow(&self.vault, self.channel(), &evidence).await?);
        Ok(())
    }

    /// How far the home's copy of the log reaches; `None` where the vault is not relied on.
    pub fn mirrored(&self) -> Option<&Mirrored> {
        self.mirrored.as_ref()
    }

    /// Refuses where the vault was recovered since this home was last here.
    pub fn is_of_this_generation(&self) -> Result<(), ClientError> {
        match self.generation == self.vault.log.generation {
            true => Ok(()),
            false => Err(ClientError::NewGeneration { generation: self.generation }),
        }
    }

    /// The connection, for services that are called directly.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// What is believed, of the streams that were followed.
    pub fn states(&self) -> &States {
        self.replayed.states()
    }

    /// A stream as far as it was followed.
    pub fn followed(&self, stream: &Stream) -> Option<&Followed> {
        self.streams.get(stream)
    }

    /// The member's own organisation, followed to its end.
    pub async fn own_organisation(&mut self) -> Result<Organisation, ClientError> {
        let name = self.owner.path.organisation.clone();
        self.organisation(&name).await
    }

    /// An organisation whose key is trusted here, followed to its end. Shares are sealed to its
    /// members, and to those of no other.
    pub async fn organisation(
        &mut self,
        name: &OrganisationName,
    ) -> Result<Organisation, ClientError> {
        let organisation = self.shown_organisation(name).await?;
        if self.home.pins()?.contains_key(name) {
            return Ok(organisation);
        }
        Err(ClientError::input(
            "NOT_TRUSTED",
            format!("{name} is not trusted in this home"),
            format!(
                "compare its fingerprint by telephone, then run `escrow trust {name} FINGERPRINT`"
            ),
        ))
    }

    /// An organisation, followed to its end, to be shown. One that is trusted here has the key
    /// that it is trusted with; another may be anybody's.
    pub async fn shown_organisation(
        &mut self,
        name: &OrganisationName,
    ) -> Result<Organisation, ClientError> {
        let pinned = self.home.pins()?.get(name).copied();
        self.follow(&Stream::Organisation(name.clone()), pinned).await?;
        self.replay()?;
        let organisation = self.known(name)?.clone();
        match (pinned, fingerprint(&organisation)) {
            (Some(pinned), Some(shown)) if pinned != shown => Err(other_key(name, pinned, shown)),
            (Some(_) | None, _) => Ok(organisation),
        }
    }

    /// An agreement with its parties' organisations, followed to their ends.
    pub async fn agreement(&mut self, id: &AgreementId) -> Result<Agreement, ClientError> {
        self.follow_agreement(id).await?;
        self.replay()?;
        self.believed_agreement(id)
    }

    /// Every agreement of the member's organisation, followed to its end.
    pub async fn agreements(&mut self) -> Result<Vec<Agreement>, ClientError> {
        let mut listing = Listing::default();
        loop {
            let mut service = self.stream_service();
            let page = service.list_agreements(ListAgreementsRequest { after: listing.after() });
            let page = answered(page).await?.into_inner().agreements;
            if page.is_empty() {
                break;
            }
            listing.take(page)?;
        }
        let ids = listing.ids();
        // What was seen before must be shown again.
        for stream in self.home.memory().streams()? {
            if let Stream::Agreement(id) = stream
                && !ids.contains(&id)
            {
                return Err(ClientError::Untrue(format!("{id} is not shown any more")));
            }
        }
        for id in &ids {
            self.follow_agreement(id).await?;
        }
        self.replay()?;
        ids.iter().map(|id| self.believed_agreement(id)).collect()
    }

    /// Follows a stream of accesses to its end.
    pub async fn accesses(&mut self, id: &AgreementId) -> Result<Stream, ClientError> {
        let stream = Stream::AgreementAccesses(id.clone());
        self.follow(&stream, None).await?;
        Ok(stream)
    }

    /// What the member's organisation has registered, followed to its end.
    pub async fn registrations(&mut self) -> Result<(), ClientError> {
        let own = self.owner.path.organisation.clone();
        self.follow(&Stream::OrganisationRegistrations(own), None).await?;
        // Behind it, so that whoever registered is known.
        self.own_organisation().await.map(|_| ())
    }

    async fn follow_agreement(&mut self, id: &AgreementId) -> Result<(), ClientError> {
        let stream = Stream::Agreement(id.clone());
        self.follow(&stream, None).await?;
        let events = self.streams.get(&stream).map(Followed::events).unwrap_or_default();
        let stated = events.first().and_then(|first| first.stated.as_ref());
        let parties = match stated.map(|stated| &stated.statement) {
            Some(Statement::Proposal(proposal)) => proposal.terms.fingerprints.clone(),
            Some(_) | None => return Err(untrue("an agreement that begins without terms")),
        };
        for (organisation, fingerprint) in parties {
            self.follow(&Stream::Organisation(organisation), Some(fingerprint)).await?;
        }
        Ok(())
    }

    /// The agreement by what was replayed, its parties' keys compared with those trusted here.
    pub fn believed_agreement(&self, id: &AgreementId) -> Result<Agreement, ClientError> {
        let agreement =
            self.states().agreement(id).ok_or_else(|| Refusal::NotFound(id.to_string()))?;
        let pins = self.home.pins()?;
        for (organisation, in_terms) in &agreement.terms.fingerprints {
            match pins.get(organisation) {
                Some(pinned) if pinned != in_terms => {
                    return Err(other_key(organisation, *pinned, *in_terms));
                }
                Some(_) | None => {}
            }
        }
        Ok(agreement.clone())
    }

    /// An organisation as far as it was followed.
    pub fn known(&self, name: &OrganisationName) -> Result<&Organisation, ClientError> {
        let known = self.states().organisation(name);
        Ok(known.ok_or_else(|| Refusal::NotFound(name.to_string()))?)
    }

    /// Follows a stream from what is remembered of it to the head the vault signs.
    async fn follow(
        &mut self,
        stream: &Stream,
        named: Option<Fingerprint>,
    ) -> Result<(), ClientError> {
        // The operator remembers nothing of what its own vault shows: a memory would be beside the
        // vault's, and lost or set back with it.
        if self.owner.path == MemberPath::operator() {
            let (followed, _) = self.read_anew(stream).await?;
            self.streams.insert(stream.clone(), followed);
            return Ok(());
        }
        let followed = self.remembered(stream)?;
        let remembered = followed.saw();
        // Before the question: another program may be acknowledged more meanwhile.
        let acknowledged = self.home.memory().acknowledged(stream)?;
        let seen = self.home.memory().heads(stream)?.pop().map(|(_, head)| head);
        let unshown = |missing: &Owed| {
            let sequence = missing.saw.sequence;
            ClientError::Untrue(format!(
                "event {sequence} of {stream} was acknowledged, but is not shown"
            ))
        };
        let read = self.read(stream, named, followed, seen).await;
        let (followed, head) = read.map_err(|error| match acknowledged.first() {
            Some(missing) if error.code() == "NOT_FOUND" => unshown(missing),
            Some(_) | None => error,
        })?;
        if let Some(missing) = acknowledged.iter().find(|owed| !followed.has(&owed.saw)) {
            return Err(unshown(missing));
        }
        let at = self.head(stream, &head)?.at;
        self.times = Some((at, Timestamp::from(SystemTime::now())));
        // Before the rules are asked: what the vault has signed for and no honest one would have
        // accepted is evidence.
        if followed.saw() != remembered {
            self.home.memory().keep(stream, followed.entries(), &head)?;
        }
        self.home.memory().settle(stream, &acknowledged)?;
        self.is_borne_out(stream, &followed).await?;
        self.streams.insert(stream.clone(), followed);
        Ok(())
    }

    /// Compares a stream with the log: as far as the log reached before the stream was read, and as
    /// far as the stream reaches. What the log has beyond may have come while it was read. A vault
    /// publishes before it shows, so a log that does not reach as far is held back.
    async fn is_borne_out(
        &mut self,
        stream: &Stream,
        followed: &Followed,
    ) -> Result<(), ClientError> {
        let Some(last) = followed.entries().last() else { return Ok(()) };
        let size = |mirrored: &Mirrored| mirrored.checkpoint.size;
        let Some(before) = self.mirrored.as_ref().map(size) else { return Ok(()) };
        let end = before.max(last.position.saturating_add(1));
        if end > before {
            self.follow_log().await?;
        }
        match self.mirrored.as_ref().map_or(0, size) {
            now if now < end => Err(ClientError::Untrue(format!(
                "a log of {now} entries, which does not reach event {} of {stream}",
                last.sequence
            ))),
            _ => self.home.mirror().bears_out(end, stream, followed.entries()),
        }
    }

    /// Reads what comes behind `followed`, up to the head the vault signs.
    async fn read(
        &self,
        stream: &Stream,
        named: Option<Fingerprint>,
        mut followed: Followed,
        seen: Option<SignedHead>,
    ) -> Result<(Followed, SignedHead), ClientError> {
        let remembered = followed.saw();
        let request = ReadRequest {
            stream: stream.to_string(),
            from: followed.saw().sequence + 1,
            organisation_fingerprint: named.map(|f| f.to_string()).unwrap_or_default(),
            seen: seen.map(Into::into),
        };
        let parts = match answered(self.stream_service().read(request)).await {
            Ok(reply) => reply.into_inner(),
            Err(error) if error.code() == "NOT_FOUND" && is_never_closed(stream, remembered) => {
                return Err(ClientError::Untrue(format!("{stream} is not shown any more")));
            }
            Err(error) => return Err(error),
        };
        let reading = Reading::begin(stream, parts).await?;
        let signed = reading.head()?;
        let head = self.head(stream, &signed)?;
        reading.follow(&self.vault.log, head.saw, &mut followed).await?;
        Ok((followed, signed))
    }

    /// Reads a stream anew, as if nothing of it were remembered.
    pub async fn read_anew(&self, stream: &Stream) -> Result<(Followed, SignedHead), ClientError> {
        let named = match stream {
            Stream::Organisation(name) => self.home.pins()?.get(name).copied(),
            Stream::Vault
            | Stream::Agreement(_)
            | Stream::OrganisationRegistrations(_)
            | Stream::OrganisationAccesses(_)
            | Stream::AgreementAccesses(_) => None,
        };
        self.read(stream, named, Followed::default(), None).await
    }

    /// Goes on in another generation of the vault's log. Nothing is believed any more.
    pub fn begin_generation(&mut self, generation: u32) {
        self.vault.log.generation = generation;
        (self.streams, self.replayed) = (BTreeMap::new(), Replay::default());
        self.proved = BTreeMap::new();
        self.mirrored = None;
    }

    /// A stream as far as it was followed or, before that, as the home remembers it.
    fn remembered(&mut self, stream: &Stream) -> Result<Followed, ClientError> {
        if let Some(followed) = self.streams.remove(stream) {
            return Ok(followed);
        }
        let memory = self.home.memory();
        let (entries, proved) = (memory.recall(stream)?, memory.proved(stream));
        self.proved.extend(proved.map(|proved| (stream.clone(), proved)));
        Followed::recall(&self.vault.log, stream, entries, proved).map_err(not_true)
    }

    /// Believes the events that answered the session's own statements, where they continue what
    /// was followed: for when the vault cannot be asked any more. They are not remembered.
    pub fn believe_acknowledged(&mut self) -> Result<(), ClientError> {
        let unseen = self.unseen.get_mut().unwrap_or_else(PoisonError::into_inner);
        for entry in std::mem::take(unseen) {
            let stream = entry.stream.clone();
            let mut followed = self.remembered(&stream)?;
            if entry.sequence == followed.saw().sequence + 1 {
                followed.follow(&self.vault.log, &stream, entry).map_err(not_true)?;
            }
            self.streams.insert(stream, followed);
        }
        self.replay()
    }

    /// How far this computer's clock and the vault's were apart when they were last compared.
    pub fn clock_skew(&self) -> Option<Span> {
        self.times.map(|(vault, own)| vault.since(own).max(own.since(vault)))
    }

    /// A signed head of this stream.
    pub fn head(&self, stream: &Stream, signed: &SignedHead) -> Result<Head, ClientError> {
        let SignedHead { head, signature } = signed;
        signature::verify(&self.vault.ledger_key, head::TAG, head, signature)
            .map_err(|_| untrue("a head that its ledger key did not sign"))?;
        let read: Head = strict_json::parse(head, SignedHead::BYTES_MAX)
            .map_err(|_| untrue("a head that cannot be read"))?;
        let own = &self.vault.log;
        if read.stream != *stream || read.log.origin != own.origin {
            return Err(untrue("a head of another stream or log"));
        }
        match read.log.generation.cmp(&own.generation) {
            Ordering::Equal => {}
            Ordering::Greater => {
                return Err(ClientError::NewGeneration { generation: read.log.generation });
            }
            Ordering::Less => return Err(untrue("a head of an earlier generation of its log")),
        }
        Ok(read)
    }

    fn replay(&mut self) -> Result<(), ClientError> {
        let VaultInfo { ledger_key, operator_key, .. } = self.vault;
        let (generation, handovers) = (self.vault.log.generation, self.vault.handovers.clone());
        let vault = Vault { ledger_key, operator_key, generation, began_at: 0, handovers };
        self.replayed.go_on(&vault, &self.streams).map_err(|fault| match fault {
            Untrue::Rules { .. } => ClientError::Untrue(format!(
                "{fault}; the vault has signed for that, and what it showed is kept in {}",
                self.home.memory().dir().display()
            )),
            Untrue::Chain { .. } | Untrue::Newer { .. } => not_true(fault),
        })?;
        if self.owner.path == MemberPath::operator() {
            return Ok(());
        }
        for (stream, followed) in &self.streams {
            let stands = followed.saw();
            if stands.sequence > 0 && self.proved.get(stream) != Some(&stands) {
                self.home.memory().keep_proved(stream, stands)?;
                self.proved.insert(stream.clone(), stands);
            }
        }
        Ok(())
    }

    /// What every statement says of its making.
    pub fn made(&self) -> Made {
        made(&self.owner, &self.vault)
    }

    /// What a statement about an agreement rests on: the stream as it was just followed.
    pub fn ground(&self, agreement: &AgreementId) -> Ground {
        let stream = Stream::Agreement(agreement.clone());
        let saw = self.streams.get(&stream).map(Followed::saw);
        Ground {
            agreement: agreement.clone(),
            saw: saw.unwrap_or_else(|| Followed::default().saw()),
            valid_until: Timestamp::from(SystemTime::now()).after(VALIDITY),
        }
    }

    /// Signs a statement with the member's key.
    pub fn sign(&self, statement: &Statement) -> Result<SignedText, ClientError> {
        sign(&self.keys.statement, statement)
    }

    /// Hands in statements, with what they name by digest.
    pub async fn submit(
        &self,
        statements: Vec<SignedText>,
        attachments: Vec<Vec<u8>>,
    ) -> Result<(), ClientError> {
        let request = SubmitRequest {
            statements: statements.iter().cloned().map(Into::into).collect(),
            attachments: attachments.into_iter().map(Into::into).collect(),
        };
        let mut service = StatementServiceClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let SubmitResponse { entries, head } =
            answered(service.submit(request)).await?.into_inner();
        self.acknowledged(&statements, entries, head)
    }

    /// Takes the vault's word that these statements became events, and remembers it: they have to
    /// be in the stream from now on.
    pub fn acknowledged(
        &self,
        statements: &[SignedText],
        entries: Vec<v1::Entry>,
        head: Option<v1::SignedHead>,
    ) -> Result<(), ClientError> {
        let entries = entries.into_iter().map(Entry::try_from);
        let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(bad_field)?;
        let head = present(head, "head").and_then(SignedHead::try_from).map_err(bad_field)?;
        let acknowledged = acknowledgement::check(&self.vault.log, statements, &entries);
        let acknowledged = acknowledged.map_err(ClientError::Untrue)?;
        let Some((stream, last)) = acknowledged.last().cloned() else { return Ok(()) };
        let stands = self.head(&stream, &head)?.saw;
        let is_behind = stands.sequence < last.sequence;
        if is_behind || (stands.sequence == last.sequence && stands != last) {
            return Err(untrue("an acknowledgement with a head of before"));
        }
        // The operator remembers no streams, and so would never find out.
        if self.owner.path == MemberPath::operator() {
            return Ok(());
        }
        let events = acknowledged.into_iter().zip(&entries).map(|((stream, saw), entry)| {
            (stream, Owed { saw, proof: Proof::Entry(entry.clone()) })
        });
        let head = (stream, Owed { saw: stands, proof: Proof::Head(head) });
        let memory = self.home.memory();
        events.chain([head]).try_for_each(|(stream, owed)| memory.acknowledge(&stream, &owed))?;
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
        Ok(())
    }

    fn stream_service(&self) -> StreamServiceClient<Channel> {
        StreamServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// Renews a TLS certificate by proof of the statement key.
async fn renew(
    channel: Channel,
    home: &Home,
    owner: &Owner,
    vault: &VaultInfo,
    keys: &Keys,
) -> Result<Vec<u8>, ClientError> {
    let csr = keys.tls.csr_der().map_err(|fault| untrue(&fault.to_string()))?;
    let certificate_request_sha256 = signature::sha256(&csr);
    // Nobody is locked out by a recovery: this much is said in whatever generation it is now.
    let told = authorities::ask(channel.clone(), &vault.address, &vault.ledger_key).await?;
    let made = Made { log: told.log.clone(), ..made(owner, vault) };
    let signed = sign(&keys.statement, &Renewal { made, certificate_request_sha256 }.into())?;
    let statement = Some(SignedStatement::from(signed));
    let request = RenewRequest { statement, certificate_request: csr.into() };
    let mut service = IdentityServiceClient::new(channel);
    let certificate = answered(service.renew(request)).await?.into_inner().certificate;
    check_certificate(&certificate, &keys.tls, &told)?;
    home.set_certificate(&certificate)?;
    Ok(certificate.into())
}

/// What every statement says of its making.
pub fn made(owner: &Owner, vault: &VaultInfo) -> Made {
    let mut nonce = [0; 16];
    OsRng.fill_bytes(&mut nonce);
    Made {
        by: owner.path.clone(),
        at: Timestamp::from(SystemTime::now()),
        nonce: Bytes(nonce),
        log: vault.log.clone(),
    }
}

/// Signs a statement.
pub fn sign(key: &signature::SigningKey, statement: &Statement) -> Result<SignedText, ClientError> {
    let unwritable = |fault: serde_json::Error| {
        ClientError::input("UNWRITABLE", fault, "this is a defect; please report it")
    };
    statement::sign(key, statement).map_err(unwritable)
}

/// Whether a certificate is one that the vault's CA made for this key. Any other would lock its
/// owner out.
pub fn check_certificate(der: &[u8], key: &TlsKey, vault: &VaultInfo) -> Result<(), ClientError> {
    let unreadable = |_| untrue("a certificate that cannot be read");
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(unreadable)?;
    if certificate.public_key().raw != key.public_der() {
        return Err(untrue("a certificate for another key"));
    }
    match authorities::is_of_issuing_ca(vault, der)? {
        true => Ok(()),
        false => Err(untrue("a certificate that its CA did not sign")),
    }
}

/// When a certificate expires.
pub fn expires_at(der: &[u8]) -> Result<Timestamp, ClientError> {
    let parsed = x509_parser::parse_x509_certificate(der);
    let (_, certificate) = parsed.map_err(|_| untrue("a certificate that cannot be read"))?;
    let seconds = certificate.validity().not_after.timestamp();
    Ok(Timestamp::from_millis(seconds.saturating_mul(1_000)))
}

/// The fingerprint of an organisation's key.
pub fn fingerprint(organisation: &Organisation) -> Option<Fingerprint> {
    organisation.key.as_ref().map(signature::fingerprint)
}

/// Whether a stream that was seen is one that its reader may always see.
fn is_never_closed(stream: &Stream, remembered: Saw) -> bool {
    match stream {
        Stream::Agreement(_)
        | Stream::AgreementAccesses(_)
        | Stream::OrganisationRegistrations(_) => remembered.sequence > 0,
        // Somebody else's can be read for as long as its fingerprint is known.
        Stream::Organisation(_) | Stream::OrganisationAccesses(_) | Stream::Vault => false,
    }
}

fn other_key(name: &OrganisationName, known: Fingerprint, shown: Fingerprint) -> ClientError {
    ClientError::Untrue(format!(
        "{name} is trusted here with fingerprint {known}, but was shown with {shown}"
    ))
}

fn untrue(what: &str) -> ClientError {
    ClientError::Untrue(what.to_owned())
}

fn not_true(fault: Untrue) -> ClientError {
    match fault {
        Untrue::Chain { .. } | Untrue::Rules { .. } => ClientError::Untrue(fault.to_string()),
        Untrue::Newer { .. } => ClientError::input(
            "NEWER",
            fault,
            "update this program; an older one cannot judge what newer rules have decided",
        ),
    }
}

fn bad_field(field: BadField) -> ClientError {
    ClientError::Untrue(field.to_string())
}
