//! Keys with their certificates in the vault's keyring, in series: `ca.key` and `ca.crt` of the
//! first, `ca-2.key` and `ca-2.crt` of the second, and so on. A pair is there if its certificate is;
//! a key without one is nobody's.

use std::fs;
use std::io;
use std::path::Path;

use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::crypto::keyfile;
use crate::crypto::keyring::{Keyring, KeyringError};
use crate::crypto::pem::pem;
use crate::server::ca::CaError;

/// A P-256 key or certificate in PEM is below 1 KiB.
const PEM_BYTES_MAX: usize = 16 * 1024;

/// Pairs of one kind, by what their files' names begin with.
#[derive(Clone, Copy)]
pub(super) struct Series(pub(super) &'static str);

/// A key and its certificate.
pub(super) struct Pair {
    pub(super) key: Zeroizing<KeyPair>,
    pub(super) certificate: CertificateDer<'static>,
}

impl Series {
    /// The file of a key.
    pub(super) fn key_file(self, number: u32) -> String {
        format!("{}.key", self.stem(number))
    }

    /// The file of a certificate.
    pub(super) fn certificate_file(self, number: u32) -> String {
        format!("{}.crt", self.stem(number))
    }

    /// Writes a pair durably: its key, for its owner only, and its certificate. Neither is
    /// overwritten. Key before certificate: a certificate without a key would be worse.
    pub(super) fn write_new(
        self,
        keyring: &Keyring,
        number: u32,
        key: &KeyPair,
        certificate: &CertificateDer<'_>,
    ) -> Result<(), CaError> {
        let key = Zeroizing::new(key.serialize_pem());
        keyring.write_new(&self.key_file(number), key.as_bytes())?;
        let path = keyring.dir().join(self.certificate_file(number));
        let certificate = pem("CERTIFICATE", certificate);
        keyfile::write_new(&path, certificate.as_bytes()).map_err(KeyringError::from)?;
        Ok(())
    }

    /// Reads a pair, whose certificate should be such a one. Whether the two belong together is for
    /// the caller to find out.
    pub(super) fn read(
        self,
        keyring: &Keyring,
        number: u32,
        expected: &'static str,
        is_such: impl FnOnce(&CertificateDer<'_>) -> bool,
    ) -> Result<Pair, CaError> {
        let malformed = |path: &Path, expected| CaError::Malformed { path: path.into(), expected };
        let path = keyring.dir().join(self.key_file(number));
        let secret = keyring.read(&self.key_file(number), PEM_BYTES_MAX)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&secret)
            .ok()
            .and_then(|der| KeyPair::try_from(&der).ok())
            .map(Zeroizing::new)
            .ok_or_else(|| malformed(&path, "a private key in PEM (PKCS#8)"))?;
        // Public, so its permissions do not matter; kept short, so its size does.
        let path = keyring.dir().join(self.certificate_file(number));
        let text = fs::read(&path)
            .map_err(|source| CaError::CertificateFile { path: path.clone(), source })?;
        let certificate = Some(text)
            .filter(|text| text.len() <= PEM_BYTES_MAX)
            .and_then(|text| CertificateDer::from_pem_slice(&text).ok())
            .filter(is_such)
            .ok_or_else(|| malformed(&path, expected))?;
        Ok(Pair { key, certificate })
    }

    /// The numbers of the pairs whose certificates are there, in order.
    pub(super) fn numbers(self, keyring: &Keyring) -> Result<Vec<u32>, CaError> {
        self.numbers_of(keyring, "crt")
    }

    /// The highest number that anything is there of.
    pub(super) fn highest(self, keyring: &Keyring) -> Result<Option<u32>, CaError> {
        let keys = self.numbers_of(keyring, "key")?;
        Ok(self.numbers(keyring)?.into_iter().chain(keys).max())
    }

    /// Removes a certificate, and with it the pair.
    pub(super) fn remove(self, keyring: &Keyring, number: u32) -> Result<(), CaError> {
        remove(keyring, &self.certificate_file(number))
    }

    /// Removes keys of other numbers than these.
    pub(super) fn sweep(self, keyring: &Keyring, kept: &[u32]) -> Result<(), CaError> {
        for number in self.numbers_of(keyring, "key")? {
            if !kept.contains(&number) {
                remove(keyring, &self.key_file(number))?;
            }
        }
        Ok(())
    }

    /// The first has no number in its name.
    fn stem(self, number: u32) -> String {
        if number == 1 { self.0.to_owned() } else { format!("{}-{number}", self.0) }
    }

    /// The numbers that a file of this kind is there of, in order.
    fn numbers_of(self, keyring: &Keyring, extension: &str) -> Result<Vec<u32>, CaError> {
        let directory = keyring.dir();
        let unlisted = |source: io::Error| CaError::Directory { path: directory.into(), source };
        let mut numbers = Vec::new();
        for item in fs::read_dir(directory).map_err(unlisted)? {
            let name = item.map_err(unlisted)?.file_name();
            let stem =
                name.to_str().and_then(|name| name.strip_suffix(extension)?.strip_suffix('.'));
            let number = stem.and_then(|stem| match stem.strip_prefix(self.0)? {
                "" => Some(1),
                rest => rest.strip_prefix('-')?.parse().ok(),
            });
            // One spelling only.
            numbers.extend(number.filter(|number| stem == Some(&self.stem(*number))));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

fn remove(keyring: &Keyring, name: &str) -> Result<(), CaError> {
    Ok(keyfile::remove(&keyring.dir().join(name)).map_err(KeyringError::from)?)
}
