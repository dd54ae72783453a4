//! A certificate authority of the vault: says which TLS key belongs to whom, and which key stamps
//! times, and nothing else.
//!
//! It is a private CA of one vault. Clients pin it when they join; no public CA can speak for it,
//! and it can speak for nobody outside this vault. There are no revocation
//! lists: whether a certified member may still act is decided at every call, from the ledger.

use std::path::PathBuf;
use std::time::UNIX_EPOCH;
use std::{fmt, io};

use rand_core::{OsRng, RngCore};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber,
};
use rustls::pki_types::{CertificateDer, ServerName};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use crate::crypto::keyring::{Keyring, KeyringError};
use crate::crypto::pem::pem;
use crate::crypto::timestamp::AuthorityFault;
use crate::domain::id::{Bytes, Digest};
use crate::domain::time::{Span, Timestamp};
use crate::server::csr::{CsrRefused, requested_key};
use crate::server::numbered::Series;
use crate::server::peer::Subject;

/// How long a CA certificate is valid: longer than most agreements last.
pub const AUTHORITY_LIFETIME: Span = Span::days(20 * 365);
/// How long a server certificate is valid.
pub const SERVER_LIFETIME: Span = Span::days(365);
/// How long a time-stamping certificate is valid.
pub const TIMESTAMPER_LIFETIME: Span = Span::days(10 * 365);
/// Validity begins this much before issue, for clients whose clock is slow.
pub const BACKDATED: Span = Span::seconds(300);
/// Longest common name, in bytes (X.520's upper bound).
pub const COMMON_NAME_BYTES_MAX: usize = 64;

/// id-ce-extKeyUsage
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
/// A sequence of id-kp-timeStamping alone: 1.3.6.1.5.5.7.3.8.
const TIME_STAMPING: &[u8] = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x08";

/// Their files.
pub(super) const FILES: Series = Series("ca");

/// Why the authority was not made, loaded or stored, or issued nothing.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A key file is missing, exposed or unreadable; which one, its source says.
    #[error("a key of the vault's cannot be used")]
    Keyring(#[from] KeyringError),
    /// A certificate's file is missing or unreadable.
    #[error("cannot read the certificate {path}", path = path.display())]
    CertificateFile {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The directory with the CAs' files cannot be listed.
    #[error("cannot list {path}", path = path.display())]
    Directory {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{path} is not {expected}; restore it from a backup", path = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// Key and certificate are of two different authorities.
    #[error("{key} and {certificate} in {directory} do not belong together; restore both from one backup", directory = directory.display())]
    Mismatch {
        /// Where both are.
        directory: PathBuf,
        /// One.
        key: String,
        /// The other.
        certificate: String,
    },
    /// Certificates of more CAs than one and the next, or with one missing between them.
    #[error("{directory} has CA certificates that do not follow each other: {found}; restore the directory from one backup", directory = directory.display())]
    Numbers {
        /// Where they are.
        directory: PathBuf,
        /// Which there are.
        found: String,
    },
    /// A change of CA is begun already.
    #[error("the CA is being replaced already: the next one expires at {expires_at}")]
    Begun {
        /// When the next CA expires.
        expires_at: Timestamp,
    },
    /// No change of CA was begun.
    #[error("there is no next CA to go over to")]
    NotBegun,
    /// A server name that no certificate can carry.
    #[error("{host:?} is neither a DNS name nor an IP address")]
    Host {
        /// The name.
        host: String,
    },
    /// A server certificate for no name at all is of no use.
    #[error("a server certificate needs at least one host name or address")]
    NoHost,
    /// The common name is empty or too long.
    #[error("a CA's common name has 1 to {COMMON_NAME_BYTES_MAX} bytes")]
    CommonName,
    /// The CA certificate has expired, so nothing it signs would be accepted.
    #[error("the vault's CA certificate expired at {at}; replace it with `escrowd rotate-ca`")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// A member's certificate signing request was refused.
    #[error("the certificate signing request is refused")]
    Csr(#[from] CsrRefused),
    /// The certificate that stamps times is not there.
    #[error("{path} is missing, and the ledger tells of it; restore it from a backup, or have the next key made with `escrowd rotate-tsa`", path = path.display())]
    TimestamperLost {
        /// Which file.
        path: PathBuf,
    },
    /// The certificate that stamps times is one that nobody made.
    #[error("{path} is not the certificate that the ledger tells of, nor one that the vault's CA has made since; restore it from a backup, or have the next key made with `escrowd rotate-tsa`", path = path.display())]
    TimestamperAltered {
        /// Which file.
        path: PathBuf,
    },
    /// The vault's time-stamping authority is not one.
    #[error("the vault's time-stamping authority cannot be used")]
    Timestamping(#[from] AuthorityFault),
    /// The certificate could not be encoded or signed.
    #[error("a certificate could not be made")]
    Encoding(#[from] rcgen::Error),
}

/// The vault's CA: a P-256 key and its self-signed certificate, which may sign certificates of
/// servers and clients but of no further CA. `Debug` shows the fingerprint only.
pub struct Authority {
    key: Zeroizing<KeyPair>,
    certificate: CertificateDer<'static>,
    expires_at: Timestamp,
}

/// What a server shows and proves: its chain, the CA's certificate last, and its key.
pub struct ServerIdentity {
    /// Leaf first. The CA is in it so that a client who knows only its fingerprint can join.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8, DER.
    pub key: Zeroizing<Vec<u8>>,
}

impl Authority {
    /// A new authority of this name, valid from `now` for [`AUTHORITY_LIFETIME`]. Nothing is
    /// written.
    pub fn create(common_name: &str, now: Timestamp) -> Result<Self, CaError> {
        if !(1..=COMMON_NAME_BYTES_MAX).contains(&common_name.len()) {
            return Err(CaError::CommonName);
        }
        let key = Zeroizing::new(KeyPair::generate()?);
        let expires_at = now.after(AUTHORITY_LIFETIME);
        let mut params = template(common_name, now, expires_at);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&*key)?.into();
        Self::of(key, certificate).ok_or(CaError::Encoding(rcgen::Error::CouldNotParseCertificate))
    }

    /// Writes the vault's CA of this number durably. Nothing is overwritten.
    pub fn write_new(&self, keyring: &Keyring, number: u32) -> Result<(), CaError> {
        FILES.write_new(keyring, number, &self.key, &self.certificate)
    }

    /// Reads the vault's CA of this number. Its two files have to belong together.
    pub fn load(keyring: &Keyring, number: u32) -> Result<Self, CaError> {
        let read = FILES.read(keyring, number, "a CA certificate in PEM", is_authority)?;
        Self::of(read.key, read.certificate).ok_or_else(|| CaError::Mismatch {
            directory: keyring.dir().into(),
            key: FILES.key_file(number),
            certificate: FILES.certificate_file(number),
        })
    }

    /// The CA certificate, DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The CA certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// SHA-256 of the CA certificate's DER: what invitations carry and clients pin.
    pub fn fingerprint(&self) -> Digest {
        Bytes(Sha256::digest(&self.certificate).into())
    }

    /// When the CA certificate, and with it everything it signed, expires.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// A fresh key and certificate for a server reached under these DNS names and IP addresses,
    /// valid for [`SERVER_LIFETIME`].
    pub fn issue_server(
        &self,
        hosts: &[String],
        now: Timestamp,
    ) -> Result<ServerIdentity, CaError> {
        let first = hosts.first().ok_or(CaError::NoHost)?;
        let common_name: String = first.chars().take(COMMON_NAME_BYTES_MAX).collect();
        let mut params = template(&common_name, now, self.until(now, SERVER_LIFETIME)?);
        params.subject_alt_names =
            hosts.iter().map(|host| server_name(host)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = Zeroizing::new(KeyPair::generate()?);
        let leaf = self.sign(params, &*key)?;
        Ok(ServerIdentity {
            chain: vec![leaf, self.certificate.clone()],
            key: Zeroizing::new(key.serialize_der()),
        })
    }

    /// A client certificate for `subject`, DER, valid for `lifetime` but no longer than the CA.
    /// Of the request only the public key is believed, once it has proved that its secret is
    /// known; names, extensions and attributes in it are ignored.
    pub fn issue_client(
        &self,
        csr_der: &[u8],
        subject: &Subject,
        now: Timestamp,
        lifetime: Span,
    ) -> Result<CertificateDer<'static>, CaError> {
        let key = requested_key(csr_der)?;
        let common_name = match subject {
            Subject::Operator => "operator",
            // Not the path: 127 bytes would not fit into a common name.
            Subject::Member { id, path: _ } => id.as_str(),
        };
        let mut params = template(common_name, now, self.until(now, lifetime)?);
        params.subject_alt_names = vec![SanType::URI(subject.to_string().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, &key)
    }

    /// A certificate for the vault's time-stamping authority of this number and its key, valid for
    /// [`TIMESTAMPER_LIFETIME`] but no longer than the CA. It is for time-stamps only, and says so
    /// critically, as RFC 3161 asks (section 2.3).
    pub(super) fn issue_timestamper(
        &self,
        key: &KeyPair,
        number: u32,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, CaError> {
        let common_name = match number {
            1 => "Escrow Vault Time-Stamping Authority".to_owned(),
            _ => format!("Escrow Vault Time-Stamping Authority {number}"),
        };
        let mut params = template(&common_name, now, self.until(now, TIMESTAMPER_LIFETIME)?);
        let mut purpose =
            CustomExtension::from_oid_content(&EXTENDED_KEY_USAGE, TIME_STAMPING.to_vec());
        purpose.set_criticality(true);
        params.custom_extensions = vec![purpose];
        self.sign(params, key)
    }

    /// `None` where key and certificate are not of one authority.
    fn of(key: Zeroizing<KeyPair>, certificate: CertificateDer<'static>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(&certificate).ok()?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return None;
        }
        let expires_at = expiry(&parsed);
        Some(Self { key, certificate, expires_at })
    }

    fn until(&self, now: Timestamp, lifetime: Span) -> Result<Timestamp, CaError> {
        if now >= self.expires_at {
            return Err(CaError::Expired { at: self.expires_at });
        }
        Ok(now.after(lifetime).min(self.expires_at))
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, CaError> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &*self.key)?;
        Ok(params.signed_by(key, &issuer)?.into())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.fingerprint())
    }
}

impl ServerIdentity {
    /// When the leaf expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let (_, leaf) = parse_x509_certificate(self.chain.first()?).ok()?;
        Some(expiry(&leaf))
    }

    /// The chain, PEM.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerIdentity({} certificates)", self.chain.len())
    }
}

/// What every certificate has: a name, a random serial, a validity that begins a little early.
fn template(common_name: &str, now: Timestamp, until: Timestamp) -> CertificateParams {
    let begins = Timestamp::from_millis(
        now.as_millis().saturating_sub(Timestamp::EPOCH.after(BACKDATED).as_millis()),
    );
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = (UNIX_EPOCH + begins.since(Timestamp::EPOCH).as_duration()).into();
    params.not_after = (UNIX_EPOCH + until.since(Timestamp::EPOCH).as_duration()).into();
    // 128 random bits behind a one, so that the number is positive and of one length.
    let mut serial = [1; 17];
    let [_, random @ ..] = &mut serial;
    OsRng.fill_bytes(random);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn server_name(host: &str) -> Result<SanType, CaError> {
    let refused = || CaError::Host { host: host.to_owned() };
    match ServerName::try_from(host).map_err(|_| refused())? {
        ServerName::DnsName(name) => Ok(SanType::DnsName(name.as_ref().to_owned().try_into()?)),
        ServerName::IpAddress(address) => Ok(SanType::IpAddress(address.into())),
        _ => Err(refused()),
    }
}

fn expiry(certificate: &X509Certificate<'_>) -> Timestamp {
    Timestamp::from_millis(certificate.validity().not_after.timestamp().saturating_mul(1_000))
}

fn is_authority(der: &CertificateDer<'_>) -> bool {
    parse_x509_certificate(der).is_ok_and(|(rest, parsed)| rest.is_empty() && parsed.is_ca())
}
