//! A connection to the vault, and what has been believed of it so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rand_core::{OsRng, RngCore as _};
use rustls::pki_types::CertificateDer;
use tonic::transport::Channel;

use crate::client::chronicle::{Followed, Replay};
use crate::client::connect::connect;
use crate::client::error::ClientError;
use crate::client::home::{Home, Keys, Owner, VaultInfo};
use crate::client::trust::Trust;
use crate::crypto::{signature, statement, strict_json};
use crate::domain::agreement::Agreement;
use crate::domain::event::SignedText;
use crate::domain::id::{AgreementId, Bytes, Fingerprint, OrganisationName};
use crate::domain::organisation::Organisation;
use crate::domain::refusal::Refusal;
use crate::domain::statement::{Ground, Made, Renewal, Statement};
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
    ListAgreementsRequest, ReadRequest, RenewRequest, SignedStatement, SubmitRequest,
};

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
    channel: Channel,
    streams: BTreeMap<Stream, Followed>,
    replayed: Replay,
    /// Events that answered the session's own statements.
    acknowledged: Mutex<Vec<Entry>>,
    /// What the last head said of the vault's time, and this computer's clock then.
    times: Option<(Timestamp, Timestamp)>,
}

impl Session {
    /// Opens a home and connects to its vault; renews the certificate where it is due.
    pub async fn open(home: Home) -> Result<Self, ClientError> {
        let (owner, vault, keys) = (home.owner()?, home.vault()?, home.keys()?);
        let now = Timestamp::from(SystemTime::now());
        let mut certificate = home.certificate()?;
        let expires_at = expires_at(&certificate)?;
        if expires_at < now.after(RENEW_BEFORE) {
            let renewed = renew(&home, &owner, &vault, &keys).await;
            match renewed {
                Ok(der) => certificate = der,
                Err(error) if expires_at <= now => return Err(error),
                // There is time to try again.
                Err(_) => {}
            }
        }
        let with = (vec![CertificateDer::from(certificate)], &keys.tls);
        let channel = connect(&vault.address, trust(&vault)?, Some(with)).await?.channel;
        let (streams, replayed) = (BTreeMap::new(), Replay::default());
        let (acknowledged, times) = (Mutex::default(), None);
        Ok(Self { home, owner, keys, vault, channel, streams, replayed, acknowledged, times })
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

    /// An organisation, followed to its end. Only one whose key is trusted here is believed.
    pub async fn organisation(
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
        let mut ids = Vec::new();
        let mut after = String::new();
        loop {
            let request = ListAgreementsRequest { after };
            let page = self.stream_service().list_agreements(request).await?.into_inner();
            let Some(last) = page.agreements.last().cloned() else { break };
            for text in page.agreements {
                let id = text.parse().map_err(|_| untrue("the list of agreements"))?;
                ids.push(id);
            }
            after = last;
        }
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
        let mut followed = self.remembered(stream)?;
        let remembered = followed.saw();
        let request = ReadRequest {
            stream: stream.to_string(),
            from: remembered.sequence + 1,
            organisation_fingerprint: named.map(|f| f.to_string()).unwrap_or_default(),
        };
        let mut parts = self.stream_service().read(request).await?.into_inner();
        let mut head = None;
        while let Some(part) = parts.message().await? {
            for entry in part.entries {
                let entry = Entry::try_from(entry).map_err(bad_field)?;
                followed.follow(&self.vault.log, stream, entry).map_err(not_true)?;
            }
            head = part.head;
        }
        let head = present(head, "head").and_then(SignedHead::try_from).map_err(bad_field)?;
        let at = self.check_head(stream, &head, &followed)?;
        self.times = Some((at, Timestamp::from(SystemTime::now())));
        if followed.saw() != remembered {
            self.home.memory().keep(stream, followed.entries())?;
        }
        self.streams.insert(stream.clone(), followed);
        Ok(())
    }

    /// A stream as far as it was followed or, before that, as the home remembers it.
    fn remembered(&mut self, stream: &Stream) -> Result<Followed, ClientError> {
        if let Some(followed) = self.streams.remove(stream) {
            return Ok(followed);
        }
        let mut remembered = Followed::default();
        for entry in self.home.memory().recall(stream)? {
            remembered.follow(&self.vault.log, stream, entry).map_err(not_true)?;
        }
        Ok(remembered)
    }

    /// Believes the events that answered the session's own statements, where they continue what
    /// was followed: for when the vault cannot be asked any more. They are not remembered.
    pub fn believe_acknowledged(&mut self) -> Result<(), ClientError> {
        let acknowledged = self.acknowledged.get_mut().unwrap_or_else(PoisonError::into_inner);
        for entry in std::mem::take(acknowledged) {
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

    /// Whether a signed head is about this stream as it was just followed; the vault's time.
    fn check_head(
        &self,
        stream: &Stream,
        signed: &SignedHead,
        followed: &Followed,
    ) -> Result<Timestamp, ClientError> {
        let head = self.head(stream, signed)?;
        if head.saw == followed.saw() {
            Ok(head.at)
        } else {
            Err(ClientError::Untrue(format!(
                "{stream} stands at event {} by its signed head, but {} events were shown or \
                 remembered",
                head.saw.sequence,
                followed.saw().sequence
            )))
        }
    }

    /// A signed head of this stream.
    pub fn head(&self, stream: &Stream, signed: &SignedHead) -> Result<Head, ClientError> {
        let SignedHead { head, signature } = signed;
        signature::verify(&self.vault.ledger_key, head::TAG, head, signature)
            .map_err(|_| untrue("a head that its ledger key did not sign"))?;
        let read: Head = strict_json::parse(head, SignedHead::BYTES_MAX)
            .map_err(|_| untrue("a head that cannot be read"))?;
        if read.stream != *stream || read.log != self.vault.log {
            return Err(untrue("a head of another stream or log"));
        }
        Ok(read)
    }

    fn replay(&mut self) -> Result<(), ClientError> {
        let VaultInfo { ledger_key, operator_key, .. } = self.vault;
        let vault = Vault { ledger_key, operator_key };
        self.replayed.go_on(&self.vault.log, &vault, &self.streams).map_err(not_true)
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
        let reply = service.submit(request).await?.into_inner();
        let entries = reply.entries.into_iter().map(Entry::try_from);
        let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(bad_field)?;
        for (signed, entry) in statements.iter().zip(&entries) {
            self.check_acknowledged(signed, entry)?;
        }
        if entries.len() != statements.len() {
            return Err(untrue("an acknowledgement of something else"));
        }
        Ok(())
    }

    /// Whether an event is about the statement that was handed in.
    pub fn check_acknowledged(
        &self,
        signed: &SignedText,
        entry: &Entry,
    ) -> Result<(), ClientError> {
        use crate::domain::event::Act;
        let event = statement::event(&entry.payload);
        match event.map(|event| event.act) {
            Ok(Act::Stated(acknowledged)) if acknowledged == *signed => {
                let mut all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(entry.clone());
                Ok(())
            }
            Ok(Act::Stated(_) | Act::Noted(_)) | Err(_) => {
                Err(untrue("an acknowledgement of something else"))
            }
        }
    }

    fn stream_service(&self) -> StreamServiceClient<Channel> {
        StreamServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// Renews a TLS certificate by proof of the statement key.
async fn renew(
    home: &Home,
    owner: &Owner,
    vault: &VaultInfo,
    keys: &Keys,
) -> Result<Vec<u8>, ClientError> {
    let csr = keys.tls.csr_der().map_err(|fault| untrue(&fault.to_string()))?;
    let certificate_request_sha256 = signature::sha256(&csr);
    let renewal = Renewal { made: made(owner, vault), certificate_request_sha256 };
    let signed = sign(&keys.statement, &renewal.into())?;
    let channel = connect(&vault.address, trust(vault)?, None).await?.channel;
    let statement = Some(SignedStatement::from(signed));
    let request = RenewRequest { statement, certificate_request: csr.into() };
    let reply = IdentityServiceClient::new(channel).renew(request).await?.into_inner();
    home.set_certificate(&reply.certificate)?;
    Ok(reply.certificate.into())
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

/// How the vault's own certificate is checked.
fn trust(vault: &VaultInfo) -> Result<Trust, ClientError> {
    let der = hex::decode(&vault.ca_certificate);
    der.map(|der| Trust::Ca(der.into()))
        .map_err(|_| untrue("a CA certificate that is not hexadecimal"))
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

fn other_key(name: &OrganisationName, known: Fingerprint, shown: Fingerprint) -> ClientError {
    ClientError::Untrue(format!(
        "{name} is trusted here with fingerprint {known}, but was shown with {shown}"
    ))
}

fn untrue(what: &str) -> ClientError {
    ClientError::Untrue(what.to_owned())
}

fn not_true(fault: crate::client::chronicle::Untrue) -> ClientError {
    ClientError::Untrue(fault.to_string())
}

fn bad_field(field: BadField) -> ClientError {
    ClientError::Untrue(field.to_string())
}
