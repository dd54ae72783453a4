//! The home directory: a member's keys, pins and memory.
//!
//! Keys are files of their own that only their owner can read. Any number of programs may use a
//! home at once.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::client::error::ClientError;
use crate::client::memory::Memory;
use crate::client::mirror::Mirror;
use crate::client::tls_key::TlsKey;
use crate::crypto::keyfile;
use crate::crypto::keyring::Keyring;
use crate::crypto::pem::pem;
use crate::crypto::signature::SigningKey;
use crate::domain::event::SignedText;
use crate::domain::handover::SignedHandover;
use crate::domain::id::{
    AgreementId, Digest, Fingerprint, MemberId, MemberPath, OrganisationName, PublicKey,
    RegistrationId, RequestId,
};
use crate::domain::statement::Log;
use crate::domain::time::Timestamp;

/// Largest file read whole, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Which vault this home belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultInfo {
    /// Where it listens: host and port.
    pub address: String,
    /// Its log.
    pub log: Log,
    /// The key that signs its heads.
    pub ledger_key: PublicKey,
    /// How its earlier ledger keys were handed over, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handovers: Vec<SignedHandover>,
    /// The key that invites organisations.
    pub operator_key: PublicKey,
    /// The certificate of the CA that has certified its server, in DER, as hexadecimal.
    pub ca_certificate: String,
    /// The same of the CA that will, while one is being replaced by the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ca_certificate: Option<String>,
    /// Which edition of its CAs this is. Homes made before CAs could be replaced know the first.
    #[serde(default = "first_edition")]
    pub ca_edition: u64,
}

fn first_edition() -> u64 {
    1
}

impl VaultInfo {
    /// Every key that has signed its log, the newest first.
    pub fn ledger_keys(&self) -> impl Iterator<Item = PublicKey> {
        let earlier = self.handovers.iter().rev().map(|signed| signed.handover.from);
        [self.ledger_key].into_iter().chain(earlier)
    }

    /// The certificates, DER, of the CAs that its server's may be of.
    pub fn cas(&self) -> Result<Vec<Vec<u8>>, ClientError> {
        let all = [Some(&self.ca_certificate), self.next_ca_certificate.as_ref()];
        let all = all.into_iter().flatten().map(hex::decode).collect::<Result<_, _>>();
        all.map_err(|_| ClientError::Home {
            path: VAULT.into(),
            what: "a CA certificate in it is not hexadecimal".to_owned(),
            hint: "restore it from your backup".to_owned(),
        })
    }
}

/// Who this home belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// By name.
    pub path: MemberPath,
    /// By keys; the operator has none.
    pub id: Option<MemberId>,
}

/// A joining that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joining {
    /// The invitation it is for, by its secret's digest.
    pub secret_sha256: Digest,
    /// The certificate request in DER, as hexadecimal.
    pub csr: String,
    /// Digest of the statement that introduces the member's keys.
    pub join_sha256: Digest,
    /// What is handed in.
    pub statements: Vec<SignedText>,
}

/// An open home directory.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
    keyring: Keyring,
}

/// What becomes of another fingerprint that an organisation is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    /// It stays, and the new one is refused.
    Keep,
    /// It was a mistake.
    Replace,
}

/// A member's secret keys, freshly made or read.
pub struct Keys {
    /// For statements.
    pub statement: SigningKey,
    /// For receiving.
    pub age: age::x25519::Identity,
    /// For connections.
    pub tls: TlsKey,
}

const OWNER: &str = "member.json";
const VAULT: &str = "vault.json";
const JOINING: &str = "joining.json";
const PINS: &str = "trusted-organisations.json";
const SIGHTS: &str = "first-sights.json";
const CERTIFICATE: &str = "tls.crt";
const STATEMENT_KEY: &str = "statement.key";
const ORGANISATION_KEY: &str = "organisation.key";
const AGE_KEY: &str = "age.key";
const TLS_KEY: &str = "tls.key";
/// Time-stamps of what was registered.
const STAMPS: &str = "stamps";
/// What a passphrase seals.
const SECRETS: [&str; 4] = [STATEMENT_KEY, ORGANISATION_KEY, AGE_KEY, TLS_KEY];
/// Held while a file is read and written again, so that two programs at once lose nothing.
const LOCK: &str = "lock";

impl Home {
    /// Opens the home of somebody who has joined.
    pub fn open(dir: &Path) -> Result<Self, ClientError> {
        let home = Self::at(dir);
        if !home.file(OWNER).is_file() {
            return Err(home.fault(
                dir.to_owned(),
                "this directory holds no member's keys",
                "run `escrow join` with your invitation, or name another directory with --home; a \
                 home that is lost comes back from its backup only",
            ));
        }
        keyfile::private_dir(dir)?;
        for name in SECRETS {
            match home.file(name).exists() {
                true => keyfile::check(&home.file(name))?,
                // Only an organisation's first member has its key.
                false if name == ORGANISATION_KEY => {}
                false => return Err(home.spoilt(name, &"this key is missing")),
            }
        }
        Ok(home)
    }

    /// Makes the directory for somebody about to join. A home that was begun before is gone on
    /// with: its keys may be known to the vault already.
    pub fn create(dir: &Path) -> Result<Self, ClientError> {
        Self::refuse_taken(dir)?;
        let home = Self::at(dir);
        for dir in ["", "streams", "shares", "requests"] {
            keyfile::private_dir(&home.file(dir))?;
        }
        Ok(home)
    }

    /// Refuses a directory that somebody has joined with. Makes nothing.
    pub fn refuse_taken(dir: &Path) -> Result<(), ClientError> {
        let home = Self::at(dir);
        if home.file(OWNER).exists() {
            return Err(home.fault(
                dir.to_owned(),
                "a member's keys are here already",
                "name another directory with --home to join a second time",
            ));
        }
        Ok(())
    }

    fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), keyring: Keyring::at(dir) }
    }

    /// Whether its keys are sealed, and the passphrase has not been given yet.
    pub fn is_locked(&self) -> bool {
        self.keyring.is_locked()
    }

    /// Whether its keys are sealed.
    pub fn is_sealed(&self) -> bool {
        self.keyring.is_sealed()
    }

    /// Opens the keys with their passphrase.
    pub fn unlock(&mut self, passphrase: &SecretString) -> Result<(), ClientError> {
        Ok(self.keyring.unlock(passphrase)?)
    }

    /// Seals the keys under this passphrase, or under none from now on.
    pub fn set_passphrase(&mut self, passphrase: Option<&SecretString>) -> Result<(), ClientError> {
        Ok(self.keyring.set_passphrase(passphrase, &SECRETS)?)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whose it is.
    pub fn owner(&self) -> Result<Owner, ClientError> {
        self.read_json(OWNER)
    }

    /// Says whose it is: the last step of joining.
    pub fn set_owner(&self, owner: &Owner) -> Result<(), ClientError> {
        self.write_json(OWNER, owner)
    }

    /// Which vault it belongs to.
    pub fn vault(&self) -> Result<VaultInfo, ClientError> {
        self.read_json(VAULT)
    }

    /// Says which vault it belongs to.
    pub fn set_vault(&self, vault: &VaultInfo) -> Result<(), ClientError> {
        self.write_json(VAULT, vault)
    }

    /// Keeps a vault's CAs if they are of a later edition than those kept here, which another
    /// program may have changed meanwhile. Returns what is kept.
    pub fn keep_cas(&self, told: &VaultInfo) -> Result<VaultInfo, ClientError> {
        let _held = keyfile::lock(&self.file(LOCK))?;
        let kept = self.vault()?;
        let has_another_key = told.handovers.len() > kept.handovers.len();
        if told.ca_edition <= kept.ca_edition && !has_another_key {
            return Ok(kept);
        }
        let kept = VaultInfo {
            ledger_key: told.ledger_key,
            handovers: told.handovers.clone(),
            ca_certificate: told.ca_certificate.clone(),
            next_ca_certificate: told.next_ca_certificate.clone(),
            ca_edition: told.ca_edition,
            ..kept
        };
        self.set_vault(&kept)?;
        Ok(kept)
    }

    /// The member's keys, made now if they are not there yet: for who is about to join.
    pub fn make_keys(&self) -> Result<Keys, ClientError> {
        let fresh = |name: &str| !self.file(name).exists();
        if fresh(STATEMENT_KEY) {
            let key = SigningKey::generate(&mut rand_core::OsRng);
            self.keyring.write_new(STATEMENT_KEY, key.to_bytes().as_ref())?;
        }
        if fresh(AGE_KEY) {
            use age::secrecy::ExposeSecret as _;
            let text = age::x25519::Identity::generate().to_string();
            self.keyring.write_new(AGE_KEY, text.expose_secret().as_bytes())?;
        }
        if fresh(TLS_KEY) {
            let made = TlsKey::generate().map_err(|fault| self.broken(TLS_KEY, &fault))?;
            self.keyring.write_new(TLS_KEY, &made.pkcs8_der())?;
        }
        self.keys()
    }

    /// The member's keys. One that is missing is not made anew: nobody would know it.
    pub fn keys(&self) -> Result<Keys, ClientError> {
        let age = self.secret(AGE_KEY)?;
        let age = std::str::from_utf8(&age).ok().and_then(|text| text.trim().parse().ok());
        Ok(Keys {
            statement: self.signing_key(STATEMENT_KEY)?,
            age: age.ok_or_else(|| self.spoilt(AGE_KEY, &"not an age identity"))?,
            tls: self.tls_key()?,
        })
    }

    /// The TLS key alone.
    fn tls_key(&self) -> Result<TlsKey, ClientError> {
        let der = self.secret(TLS_KEY)?;
        TlsKey::from_pkcs8_der(&der).map_err(|fault| self.spoilt(TLS_KEY, &fault))
    }

    /// The organisation key, which only its first member has.
    pub fn organisation_key(&self) -> Result<Option<SigningKey>, ClientError> {
        match self.file(ORGANISATION_KEY).exists() {
            true => self.signing_key(ORGANISATION_KEY).map(Some),
            false => Ok(None),
        }
    }

    /// The organisation key, made now if it is not there yet.
    pub fn make_organisation_key(&self) -> Result<SigningKey, ClientError> {
        if let Some(key) = self.organisation_key()? {
            return Ok(key);
        }
        let key = SigningKey::generate(&mut rand_core::OsRng);
        self.keyring.write_new(ORGANISATION_KEY, key.to_bytes().as_ref())?;
        Ok(key)
    }

    /// The TLS certificate in DER.
    pub fn certificate(&self) -> Result<Vec<u8>, ClientError> {
        let der = keyfile::read(&self.file(CERTIFICATE), FILE_BYTES_MAX)?.to_vec();
        match x509_parser::parse_x509_certificate(&der) {
            Ok(_) => Ok(der),
            Err(_) => Err(self.spoilt(CERTIFICATE, &"not a certificate")),
        }
    }

    /// Keeps a TLS certificate.
    pub fn set_certificate(&self, der: &[u8]) -> Result<(), ClientError> {
        Ok(keyfile::replace(&self.file(CERTIFICATE), der)?)
    }

    /// The joining that was begun with this invitation, if there is one.
    pub fn joining(&self, secret_sha256: &Digest) -> Result<Option<Joining>, ClientError> {
        if !self.file(JOINING).exists() {
            return Ok(None);
        }
        let begun: Joining = self.read_json(JOINING)?;
        Ok(Some(begun).filter(|begun| begun.secret_sha256 == *secret_sha256))
    }

    /// Keeps a joining that is about to be sent.
    pub fn keep_joining(&self, joining: &Joining) -> Result<(), ClientError> {
        self.write_json(JOINING, joining)
    }

    /// The organisations trusted here, by fingerprint.
    pub fn pins(&self) -> Result<BTreeMap<OrganisationName, Fingerprint>, ClientError> {
        self.read_json_or_default(PINS)
    }

    /// Trusts an organisation's key from now on.
    pub fn pin(
        &self,
        organisation: &OrganisationName,
        fingerprint: Fingerprint,
        pinning: Pinning,
    ) -> Result<(), ClientError> {
        let _held = keyfile::lock(&self.file(LOCK))?;
        self.check_pin(organisation, fingerprint, pinning)?;
        let mut pins = self.pins()?;
        match pins.insert(organisation.clone(), fingerprint) {
            Some(before) if before == fingerprint => Ok(()),
            Some(_) | None => self.write_json(PINS, &pins),
        }
    }

    /// Refuses a pin that goes against one that is here.
    pub fn check_pin(
        &self,
        organisation: &OrganisationName,
        fingerprint: Fingerprint,
        pinning: Pinning,
    ) -> Result<(), ClientError> {
        let pins = self.pins()?;
        if let Some((other, _)) =
            pins.iter().find(|(other, known)| *other != organisation && **known == fingerprint)
        {
            return Err(ClientError::input(
                "SAME_FINGERPRINT",
                format!("{fingerprint} is trusted here as that of {other}, not of {organisation}"),
                format!("ask {organisation} by telephone which one is theirs"),
            ));
        }
        let is_own = |owner: Owner| owner.path.organisation == *organisation;
        let own = self.file(OWNER).exists() && self.owner().is_ok_and(is_own);
        match (pins.get(organisation), pinning) {
            (Some(before), Pinning::Replace) if *before != fingerprint && own => {
                Err(ClientError::input(
                    "OTHER_FINGERPRINT",
                    format!("{organisation} is your own organisation; its fingerprint is {before}"),
                    "its key does not change; tell others the fingerprint that `escrow whoami` prints",
                ))
            }
            (Some(before), Pinning::Keep) if *before != fingerprint => Err(ClientError::input(
                "OTHER_FINGERPRINT",
                format!("{organisation} is trusted here with another fingerprint, {before}"),
                format!(
                    "somebody may be posing as {organisation}: ask them by telephone, and only if \
                     the first was a mistake run `escrow trust --replace {organisation} \
                     {fingerprint}`"
                ),
            )),
            (Some(_) | None, Pinning::Keep | Pinning::Replace) => Ok(()),
        }
    }

    /// When a request was first seen here, by this computer's clock; `now` if it is new.
    pub fn first_sight(
        &self,
        request: &RequestId,
        now: Timestamp,
    ) -> Result<Timestamp, ClientError> {
        let _held = keyfile::lock(&self.file(LOCK))?;
        let mut sights: BTreeMap<RequestId, Timestamp> = self.read_json_or_default(SIGHTS)?;
        if let Some(sight) = sights.get(request) {
            return Ok(*sight);
        }
        sights.insert(request.clone(), now);
        self.write_json(SIGHTS, &sights)?;
        Ok(now)
    }

    /// Keeps a request's secret, already sealed to the member's own age key.
    pub fn keep_request_secret(&self, point: &str, sealed: &[u8]) -> Result<(), ClientError> {
        Ok(keyfile::replace(&self.request_secret_file(point), sealed)?)
    }

    /// A request's sealed secret.
    pub fn request_secret(&self, point: &str) -> Result<Option<Zeroizing<Vec<u8>>>, ClientError> {
        let path = self.request_secret_file(point);
        match path.exists() {
            true => Ok(Some(keyfile::read(&path, FILE_BYTES_MAX)?)),
            false => Ok(None),
        }
    }

    /// Erases a request's secret, once what its bundle held is durable.
    pub fn erase_request_secret(&self, point: &str) -> Result<(), ClientError> {
        Ok(keyfile::remove(&self.request_secret_file(point))?)
    }

    /// Where what was received of bundles is kept until they are retrieved.
    pub(super) fn partial(&self) -> PathBuf {
        self.file("partial")
    }

    fn request_secret_file(&self, point: &str) -> PathBuf {
        self.file("requests").join(format!("{point}.age"))
    }

    /// Keeps the member's own sealed share.
    pub fn keep_share(&self, agreement: &AgreementId, sealed: &[u8]) -> Result<(), ClientError> {
        Ok(keyfile::replace(&self.share_file(agreement), sealed)?)
    }

    /// The member's own sealed share, if it was fetched.
    pub fn share(&self, agreement: &AgreementId) -> Result<Option<Vec<u8>>, ClientError> {
        let path = self.share_file(agreement);
        match path.exists() {
            true => Ok(Some(keyfile::read(&path, FILE_BYTES_MAX)?.to_vec())),
            false => Ok(None),
        }
    }

    fn share_file(&self, agreement: &AgreementId) -> PathBuf {
        self.file("shares").join(format!("{agreement}.age"))
    }

    /// Keeps a registration's time-stamp (RFC 3161, DER), and the certificate, DER, of the CA that
    /// vouches for its signer: the vault may have another one when somebody asks. What is kept
    /// already stays.
    pub fn keep_stamp(
        &self,
        registration: &RegistrationId,
        token: &[u8],
        ca: &[u8],
    ) -> Result<(), ClientError> {
        let _held = keyfile::lock(&self.file(LOCK))?;
        if self.stamp_file(registration).exists() {
            return Ok(());
        }
        keyfile::private_dir(&self.file(STAMPS))?;
        // The CA before the token: so none is ever without.
        let ca = pem("CERTIFICATE", ca);
        keyfile::replace(&self.stamp_ca_file(registration), ca.as_bytes())?;
        Ok(keyfile::replace(&self.stamp_file(registration), token)?)
    }

    /// A registration's time-stamp, if it was given one here.
    pub fn stamp(&self, registration: &RegistrationId) -> Result<Option<Vec<u8>>, ClientError> {
        let path = self.stamp_file(registration);
        match path.exists() {
            true => Ok(Some(keyfile::read(&path, FILE_BYTES_MAX)?.to_vec())),
            false => Ok(None),
        }
    }

    /// The certificate, DER, of the CA that vouches for a registration's time-stamp.
    pub fn stamp_ca(&self, registration: &RegistrationId) -> Result<Vec<u8>, ClientError> {
        let path = self.stamp_ca_file(registration);
        let text = keyfile::read(&path, FILE_BYTES_MAX)?;
        let der = CertificateDer::from_pem_slice(&text);
        Ok(der.map_err(|_| self.fault(path, "not a certificate", STAMP_LOST))?.to_vec())
    }

    /// That a registration's time-stamp is not what was kept.
    pub(super) fn damaged_stamp(&self, registration: &RegistrationId, what: &str) -> ClientError {
        self.fault(self.stamp_file(registration), what, STAMP_LOST)
    }

    fn stamp_file(&self, registration: &RegistrationId) -> PathBuf {
        self.file(STAMPS).join(format!("{registration}.tsr"))
    }

    fn stamp_ca_file(&self, registration: &RegistrationId) -> PathBuf {
        self.file(STAMPS).join(format!("{registration}.pem"))
    }

    /// What was seen of the vault's streams.
    pub fn memory(&self) -> Memory {
        Memory::new(self.file("streams"))
    }

    /// The home's copy of the vault's log.
    pub fn mirror(&self) -> Mirror {
        Mirror::new(self.file("log"))
    }

    /// Where what shows that the vault has lost or altered something is kept.
    pub fn evidence(&self) -> PathBuf {
        self.file("evidence")
    }

    fn file(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.clone() } else { self.dir.join(name) }
    }

    fn secret(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, ClientError> {
        let path = self.file(name);
        match path.symlink_metadata() {
            Err(fault) if fault.kind() == ErrorKind::NotFound => {
                Err(self.spoilt(name, &"this key is missing"))
            }
            Ok(_) | Err(_) => Ok(self.keyring.read(name, FILE_BYTES_MAX)?),
        }
    }

    fn signing_key(&self, name: &str) -> Result<SigningKey, ClientError> {
        let bytes = self.secret(name)?;
        let seed: Result<&[u8; 32], _> = bytes.as_slice().try_into();
        seed.map(SigningKey::from_bytes).map_err(|_| self.spoilt(name, &"not 32 bytes long"))
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, ClientError> {
        let bytes = keyfile::read(&self.file(name), FILE_BYTES_MAX)?;
        serde_json::from_slice(&bytes).map_err(|fault| self.broken(name, &fault))
    }

    fn read_json_or_default<T: DeserializeOwned + Default>(
        &self,
        name: &str,
    ) -> Result<T, ClientError> {
        if self.file(name).exists() { self.read_json(name) } else { Ok(T::default()) }
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), ClientError> {
        let text = serde_json::to_vec_pretty(value).map_err(|fault| self.broken(name, &fault))?;
        Ok(keyfile::replace(&self.file(name), &text)?)
    }

    fn broken(&self, name: &str, what: &dyn ToString) -> ClientError {
        self.fault(self.file(name), &what.to_string(), "restore it from your backup")
    }

    /// A key that is gone, or is none.
    fn spoilt(&self, name: &str, what: &dyn ToString) -> ClientError {
        self.fault(self.file(name), &what.to_string(), LOST)
    }

    fn fault(&self, path: PathBuf, what: &str, hint: &str) -> ClientError {
        ClientError::Home { path, what: what.to_owned(), hint: hint.to_owned() }
    }
}

/// What to do about a time-stamp that is damaged.
const STAMP_LOST: &str = "restore it from your backup; if there is none, move it away, and `escrow \
                          show` with the registration's id asks for a later one";

/// What to do about a key that is gone.
const LOST: &str = "restore it from your backup; without one, an administrator of your organisation \
                    has to revoke this member and invite you anew under another name";
