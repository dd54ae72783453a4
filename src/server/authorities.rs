//! The CAs of a vault: one, or, while it is being replaced, that one and the next.
//!
//! They are numbered, and the files that are there say how far it is: `ca.key` and `ca.crt` of the
//! first, `ca-2.key` and `ca-2.crt` of the second, and so on. A CA is there if its certificate is.
//! So a change begins with one file that appears and ends with one that goes: nothing is ever half
//! done, and what an interrupted change leaves behind is a key without certificate, which is
//! nobody's and is swept away.

use std::io;

use rustls::pki_types::CertificateDer;

use crate::crypto::keyfile;
use crate::crypto::keyring::{Keyring, KeyringError};
use crate::domain::event::CaEdition;
use crate::domain::time::Timestamp;
use crate::server::ca::{Authority, CaError, certificate_file, file_stem, key_file};

/// The CAs of a vault.
#[derive(Debug)]
pub struct Authorities {
    number: u32,
    current: Authority,
    next: Option<Authority>,
}

impl Authorities {
    /// Makes a new vault's first CA.
    pub fn found(keyring: &Keyring, now: Timestamp) -> Result<Self, CaError> {
        let current = Authority::create(&common_name(1), now)?;
        current.write_new(keyring, 1)?;
        Ok(Self { number: 1, current, next: None })
    }

    /// Reads those that are there.
    pub fn load(keyring: &Keyring) -> Result<Self, CaError> {
        let numbers = numbers(keyring, "crt")?;
        let (number, next) = match numbers.as_slice() {
            // What is wrong with the first is told by reading it.
            [] => (1, None),
            [only] => (*only, None),
            [current, next] if current.checked_add(1) == Some(*next) => (*current, Some(*next)),
            more => {
                let found: Vec<_> = more.iter().map(|number| certificate_file(*number)).collect();
                let directory = keyring.dir().to_owned();
                return Err(CaError::Numbers { directory, found: found.join(", ") });
            }
        };
        let next = next.map(|number| Authority::load(keyring, number)).transpose()?;
        Ok(Self { number, current: Authority::load(keyring, number)?, next })
    }

    /// Begins a change: makes the next CA. From when the server takes it up, clients are certified
    /// by it and learn of it, while the server is still certified by the current one.
    pub fn begin(self, keyring: &Keyring, now: Timestamp) -> Result<Self, CaError> {
        if let Some(next) = &self.next {
            return Err(CaError::Begun { expires_at: next.expires_at() });
        }
        self.sweep(keyring)?;
        let number = self.number + 1;
        let next = Authority::create(&common_name(number), now)?;
        next.write_new(keyring, number)?;
        Ok(Self { next: Some(next), ..self })
    }

    /// Ends a change: the next CA is the only one. The key of the other is removed.
    pub fn finish(self, keyring: &Keyring) -> Result<Self, CaError> {
        let Some(next) = self.next else {
            // One that was cut short has left the old key.
            self.sweep(keyring)?;
            return Err(CaError::NotBegun);
        };
        remove(keyring, &certificate_file(self.number))?;
        let finished = Self { number: self.number + 1, current: next, next: None };
        finished.sweep(keyring)?;
        Ok(finished)
    }

    /// Counts the changes, from 1: each has a beginning and an end.
    pub fn edition(&self) -> u64 {
        2 * u64::from(self.number) - 1 + u64::from(self.next.is_some())
    }

    /// What is told of them.
    pub fn told(&self) -> CaEdition {
        CaEdition {
            edition: self.edition(),
            ca_sha256: self.current.fingerprint(),
            next_ca_sha256: self.next.as_ref().map(Authority::fingerprint),
        }
    }

    /// Certifies the server.
    pub fn current(&self) -> &Authority {
        &self.current
    }

    /// The one that is coming.
    pub fn next(&self) -> Option<&Authority> {
        self.next.as_ref()
    }

    /// Certifies clients: the one that will be there longer.
    pub fn issuing(&self) -> &Authority {
        self.next.as_ref().unwrap_or(&self.current)
    }

    /// The certificates of all, which clients' certificates may be of.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let all = [Some(&self.current), self.next.as_ref()];
        all.into_iter().flatten().map(|authority| authority.certificate().clone()).collect()
    }

    /// Removes keys that are not of these CAs.
    fn sweep(&self, keyring: &Keyring) -> Result<(), CaError> {
        let known = [Some(self.number), self.next.as_ref().map(|_| self.number + 1)];
        for number in numbers(keyring, "key")? {
            if !known.contains(&Some(number)) {
                remove(keyring, &key_file(number))?;
            }
        }
        Ok(())
    }
}

/// The name of the vault's CA of this number. Different ones, so that other programs, too, can
/// tell certificates of one from those of the other.
fn common_name(number: u32) -> String {
    if number == 1 { "Escrow Vault CA".to_owned() } else { format!("Escrow Vault CA {number}") }
}

/// The numbers of the CAs that a file of this kind is there of, in order.
fn numbers(keyring: &Keyring, extension: &str) -> Result<Vec<u32>, CaError> {
    let directory = keyring.dir();
    let unlisted = |source: io::Error| CaError::Directory { path: directory.to_owned(), source };
    let mut numbers = Vec::new();
    for item in std::fs::read_dir(directory).map_err(unlisted)? {
        let name = item.map_err(unlisted)?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(extension)?.strip_suffix('.'));
        let number = stem.and_then(|stem| match stem {
            "ca" => Some(1),
            stem => stem.strip_prefix("ca-")?.parse().ok(),
        });
        // One spelling only.
        numbers.extend(number.filter(|number| stem == Some(&file_stem(*number))));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn remove(keyring: &Keyring, name: &str) -> Result<(), CaError> {
    Ok(keyfile::remove(&keyring.dir().join(name)).map_err(KeyringError::from)?)
}
