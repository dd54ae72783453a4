//! A real vault that hears what was said in a walk: word for word, with keys, digests and proofs that
//! hold in place of those that were made up.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use bytes::Bytes as Buffer;
use rand_core::OsRng;
use serde_json::{Value, json};

use crate::client::chronicle::{Followed, Replay};
use crate::crypto::contribution::contribute;
use crate::crypto::release_key::{ReleaseKey, Share, deal};
use crate::crypto::request_point::{Purpose, RequestSecret};
use crate::crypto::seal::{Origin, Seal};
use crate::crypto::signature::{self, SigningKey};
use crate::crypto::{payload, proofs, statement};
use crate::domain::event::SignedText;
use crate::domain::id::{
    AgreementId, DepositId, Digest, MemberPath, OrganisationName, PublicKey, RequestId,
};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self as say, Statement};
use crate::domain::states::States;
use crate::domain::stream::Stream;
use crate::domain::terms::Terms;
use crate::domain::walk::Said;
use crate::store::Store as _;
use crate::vault::tests::uploads::sealed_to_nobody;
use crate::vault::tests::{CSR, Place};
use crate::vault::{Quota, Talker, VaultError, secret_sha256};

/// What stands in the vault for what was made up in a walk, as it is written.
#[derive(Default)]
pub(super) struct Dictionary(BTreeMap<String, String>);

impl Dictionary {
    fn note(&mut self, made_up: impl ToString, real: impl ToString) {
        self.0.insert(made_up.to_string(), real.to_string());
    }

    /// Every text that is another one in the second of two records alike.
    fn learn(&mut self, made_up: &Value, real: &Value) {
        match (made_up, real) {
            (Value::String(made_up), Value::String(real)) if made_up != real => {
                self.note(made_up, real);
            }
            (Value::Array(made_up), Value::Array(real)) => {
                made_up.iter().zip(real).for_each(|(made_up, real)| self.learn(made_up, real));
            }
            (Value::Object(made_up), Value::Object(real)) => {
                let both = made_up.iter().filter_map(|(name, it)| Some((it, real.get(name)?)));
                both.for_each(|(made_up, real)| self.learn(made_up, real));
            }
            (_, _) => {}
        }
    }

    /// A record in real words.
    pub(super) fn translated(&self, mut record: Value) -> Value {
        match &mut record {
            Value::String(text) => {
                if let Some(real) = self.0.get(text) {
                    real.clone_into(text);
                }
            }
            Value::Array(items) => {
                items.iter_mut().for_each(|item| *item = self.translated(item.take()));
            }
            Value::Object(fields) => {
                fields.values_mut().for_each(|field| *field = self.translated(field.take()));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        record
    }

    /// A name in real words.
    pub(super) fn real<T: std::str::FromStr>(&self, made_up: &impl ToString) -> T {
        let made_up = made_up.to_string();
        let real = self.0.get(&made_up).unwrap_or(&made_up).parse();
        real.unwrap_or_else(|_| panic!("{made_up}"))
    }

    /// A sentence, with the names of things in real words.
    pub(super) fn sentence(&self, text: &str) -> String {
        let is_id = |text: &str| ["agr_", "dep_", "req_"].iter().any(|it| text.starts_with(it));
        let ids = self.0.iter().filter(|(made_up, _)| is_id(made_up));
        ids.fold(text.to_owned(), |text, (made_up, real)| text.replace(made_up, real))
    }
}

pub(super) struct Twin {
    pub(super) place: Place,
    pub(super) dictionary: Dictionary,
    pub(super) replay: Replay,
    streams: BTreeMap<Stream, Followed>,
    /// By the key that was made up.
    signers: BTreeMap<PublicKey, SigningKey>,
    talkers: BTreeMap<MemberPath, Talker>,
    /// By the digest that the vault knows.
    secrets: BTreeMap<Digest, [u8; 32]>,
    /// What is handed in together with what comes next.
    joining: Vec<SignedText>,
    /// What the terms of the walk have for fingerprints.
    pins: BTreeMap<OrganisationName, String>,
    agreement: Option<AgreementId>,
    key: Option<ReleaseKey>,
    shares: BTreeMap<OrganisationName, Share>,
}

/// What comes along with a statement.
#[derive(Default)]
struct Along {
    attachments: Vec<Buffer>,
    bundle: Buffer,
}

impl Twin {
    pub(super) async fn founded(directory: &Path, terms: &Terms, operator: PublicKey) -> Self {
        let place = Place::granting(directory, Quota::default()).await;
        let mut dictionary = Dictionary::default();
        dictionary.note("walk.invalid", &place.log.origin);
        let pins = terms.fingerprints.iter();
        let pins = pins.map(|(who, pinned)| (who.clone(), pinned.to_string())).collect();
        let signers = BTreeMap::from([(operator, place.operator.clone())]);
        Self {
            place,
            dictionary,
            replay: Replay::default(),
            streams: BTreeMap::new(),
            signers,
            talkers: BTreeMap::from([(MemberPath::operator(), Talker::Operator)]),
            secrets: BTreeMap::new(),
            joining: Vec::new(),
            pins,
            agreement: None,
            key: None,
            shares: BTreeMap::new(),
        }
    }

    /// Hears what was said; whether it is accepted. Nothing while more has to come along.
    pub(super) async fn hears(&mut self, said: &Said) -> Option<Result<(), Refusal>> {
        *self.place.clock.0.lock().unwrap() = said.at;
        let made_up = serde_json::to_value(&said.stated.statement).unwrap();
        let mut real = self.dictionary.translated(made_up.clone());
        let along = self.made_real(&said.stated.statement, &mut real);
        let real: Statement = serde_json::from_value(real).unwrap();
        self.dictionary.learn(&made_up, &serde_json::to_value(&real).unwrap());
        let signed = statement::sign(&self.signers[&said.stated.key], &real).unwrap();
        let digest = signature::sha256(signed.statement.as_bytes());
        let made_up = said.stated.digest;
        self.dictionary.note(made_up, digest);
        self.dictionary.note(AgreementId::of(&made_up), AgreementId::of(&digest));
        self.dictionary.note(DepositId::of(&made_up), DepositId::of(&digest));
        self.dictionary.note(RequestId::of(&made_up), RequestId::of(&digest));
        if let Statement::Proposal(_) = real {
            self.agreement = Some(AgreementId::of(&digest));
        }
        let heard = self.handed_in(&real, signed, along).await?;
        self.follow();
        match heard {
            Ok(()) => Some(Ok(())),
            Err(VaultError::Refused(refusal)) => Some(Err(refusal)),
            Err(fault) => panic!("{fault:?}: {real:?}"),
        }
    }

    /// Puts what takes mathematics into a statement.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the other types have nothing of the kind")]
    fn made_real(&mut self, statement: &Statement, real: &mut Value) -> Along {
        let mut along = Along::default();
        if let Some(ground) = statement.ground() {
            let stream = Stream::Agreement(self.dictionary.real(&ground.agreement));
            let seen = self.streams.get(&stream).and_then(|it| it.commitment(ground.saw.sequence));
            real["ground"]["saw"]["commitment"] = json!(seen.unwrap());
        }
        match statement {
            Statement::Invitation(_) => {
                let mut secret = [0; 32];
                rand_core::RngCore::fill_bytes(&mut OsRng, &mut secret);
                let sha256 = secret_sha256(&secret);
                self.secrets.insert(sha256, secret);
                real["secret_sha256"] = json!(sha256);
            }
            Statement::Organisation(s) => {
                let key = self.new_key(s.key);
                if let Some(pinned) = self.pins.get(&s.made.by.organisation) {
                    self.dictionary.note(pinned, signature::fingerprint(&key));
                }
                real["key"] = json!(key);
            }
            Statement::Join(s) => {
                real["key"] = json!(self.new_key(s.key));
                let recipient = age::x25519::Identity::generate().to_public().to_string();
                real["age_recipient"] = json!(recipient);
                real["certificate_request_sha256"] = json!(signature::sha256(CSR));
            }
            Statement::ReleaseKey(s) => {
                let holders: Vec<_> = s.holders.iter().map(|it| it.organisation.clone()).collect();
                let quorum = s.commitment.len() as u16;
                let dealt = deal(&holders, quorum, &mut OsRng).unwrap();
                real["commitment"] = json!(dealt.commitment);
                for (number, share) in real["shares"].as_array_mut().unwrap().iter_mut().enumerate()
                {
                    let sealed = sealed_to_nobody(number as u8);
                    share["sha256"] = json!(signature::sha256(&sealed));
                    along.attachments.push(sealed.into());
                }
                self.key = ReleaseKey::check(&dealt.commitment, quorum, &s.holders).ok();
                self.shares = dealt.shares.into_iter().collect();
            }
            Statement::Deposit(s) => along.bundle = self.sealed(s, real),
            Statement::Request(s) => {
                let secret = RequestSecret::generate(&mut OsRng);
                let (agreement, deposit) =
                    (self.dictionary.real(&s.ground.agreement), self.dictionary.real(&s.deposit));
                let requester = &s.made.by;
                let purpose = Purpose { agreement: &agreement, deposit: &deposit, requester };
                real["point"] = json!(secret.point());
                real["proof"] = json!(secret.prove(&purpose, &mut OsRng));
            }
            Statement::Contribution(s) => {
                let bytes = self.contributed(s).unwrap_or_else(|| b"no share".to_vec());
                real["contribution_sha256"] = json!(signature::sha256(&bytes));
                along.attachments.push(bytes.into());
            }
            _ => {}
        }
        along
    }

    fn new_key(&mut self, made_up: PublicKey) -> PublicKey {
        let key = SigningKey::generate(&mut OsRng);
        let public = key.public();
        self.signers.insert(made_up, key);
        public
    }

    fn sealed(&self, stated: &say::Deposit, real: &mut Value) -> Buffer {
        let agreement = self.dictionary.real(&stated.ground.agreement);
        let origin = Origin { agreement, depositor: stated.made.by.organisation.clone() };
        let seal = Seal::new(self.key.as_ref().unwrap(), &origin, &mut OsRng).unwrap();
        let mut sealer = seal.begin(Vec::new(), payload::threads()).unwrap();
        sealer.write_all(b"etch for 90 s").unwrap();
        let (sealed, bytes) = sealer.finish().unwrap();
        real["sealing"]["escrow"] = json!({
            "proof": sealed.proof,
            "plaintext_sha256": sealed.plaintext_sha256,
            "plaintext_size": sealed.plaintext_size,
        });
        real["size"] = json!(sealed.size);
        real["sha256"] = json!(sealed.sha256);
        real["header_size"] = json!(sealed.header.size);
        real["header_sha256"] = json!(sealed.header.sha256);
        real["ephemeral"] = json!(sealed.header.ephemeral);
        bytes.into()
    }

    fn contributed(&self, stated: &say::Contribution) -> Option<Vec<u8>> {
        let states = self.replay.states();
        let request = states.request(&self.dictionary.real(&stated.request.id))?;
        let target = proofs::target(states, request).ok()?;
        let holder = &stated.made.by.organisation;
        let (key, share) = (self.key.as_ref()?, self.shares.get(holder)?);
        let made = contribute(key, holder, share, &target, &mut OsRng).unwrap();
        Some(serde_json::to_vec(&made).unwrap())
    }

    /// Hands a statement in where its kind is handed in.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the other types all go one way")]
    async fn handed_in(
        &mut self,
        real: &Statement,
        signed: SignedText,
        along: Along,
    ) -> Option<Result<(), VaultError>> {
        let vault = self.place.vault.clone();
        let by = &real.made().by;
        let done = match real {
            Statement::Organisation(_) => {
                self.joining.push(signed);
                return None;
            }
            Statement::Join(s) if self.joining.is_empty() => {
                self.joins(self.secrets[&s.secret_sha256], vec![signed]).await
            }
            Statement::Join(_) => {
                self.joining.push(signed);
                return None;
            }
            Statement::Confirmation(_) if !self.joining.is_empty() => {
                let mut group = std::mem::take(&mut self.joining);
                group.push(signed);
                let join = statement::verify(&group[1]).unwrap().statement;
                let Statement::Join(join) = join else { panic!("{join:?}") };
                self.joins(self.secrets[&join.secret_sha256], group).await
            }
            Statement::Deposit(_) => {
                vault.deposit(self.talkers[by].clone(), signed, along.bundle).await.map(|_| ())
            }
            Statement::Retrieval(_) => {
                vault.retrieve(self.talkers[by].clone(), signed, 0).await.map(|_| ())
            }
            _ => {
                let talker = self.talkers[by].clone();
                vault.submit(talker, vec![signed], along.attachments).await.map(|_| ())
            }
        };
        Some(done)
    }

    async fn joins(&mut self, secret: [u8; 32], group: Vec<SignedText>) -> Result<(), VaultError> {
        let (path, id) = self.place.vault.join(&secret, group, CSR).await?;
        self.talkers.insert(path.clone(), Talker::Member { path, id });
        Ok(())
    }

    /// Follows what has become events, as a client does, and replays it.
    fn follow(&mut self) {
        let talkers = self.talkers.keys().map(|it| it.organisation.clone());
        let organisations = talkers.filter(|who| *who != MemberPath::operator().organisation);
        let mut streams: Vec<_> = organisations.map(Stream::Organisation).collect();
        streams.dedup();
        streams.extend(self.agreement.clone().map(Stream::Agreement));
        for stream in streams {
            let from = self.streams.get(&stream).map_or(0, |it| it.saw().sequence) + 1;
            let entries = self.place.vault.store.read_stream(&stream, from, usize::MAX).unwrap();
            for entry in entries {
                let followed = self.streams.entry(stream.clone()).or_default();
                followed.follow(&self.place.log, &stream, entry).unwrap();
            }
        }
        self.replay.go_on(&self.place.vault.founded().unwrap(), &self.streams).unwrap();
    }

    /// All of it replayed anew.
    pub(super) fn replayed(&self) -> States {
        let mut replay = Replay::default();
        replay.go_on(&self.place.vault.founded().unwrap(), &self.streams).unwrap();
        replay.states().clone()
    }
}
