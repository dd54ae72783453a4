//! The secrets of one owner in one directory, sealed under a passphrase if there is one.
//!
//! The passphrase opens one age identity (`seal.age`, scrypt), and that identity opens every
//! sealed secret. So the slow derivation runs once, and another passphrase means another
//! `seal.age` and nothing else. A sealed secret begins like every age file; any other is plain,
//! as it was before a passphrase was set: an interrupted change leaves both kinds, and both are
//! read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::DecryptError;
use age::secrecy::{ExposeSecret as _, SecretString};
use age::x25519::Identity;
use zeroize::Zeroizing;

use crate::crypto::keyfile::{self, KeyFileError};

/// What every age file begins with (C2SP age, "Header").
const AGE_MAGIC: &[u8] = b"age-encryption.org/v1\n";
const SEAL: &str = "seal.age";
const SEAL_BYTES_MAX: usize = 4 * 1024;
/// Largest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 1 << 20;
/// What sealing adds to a secret at most, in bytes.
const SEALING_BYTES_MAX: usize = 1024;
/// log₂ of scrypt's cost: 128 MiB, and about half a second on a small machine.
const SCRYPT_LOG_N: u8 = 17;

/// Why a secret was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// It is sealed, and no passphrase was given.
    #[error("{} is sealed under a passphrase", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// It is sealed, and what opens it is not there.
    #[error("{} is sealed, and {SEAL} beside it, which opens it, is missing", path.display())]
    SealMissing {
        /// Which file.
        path: PathBuf,
    },
    /// Not this passphrase, as far as anybody can tell: a seal may be damaged where only the
    /// passphrase would show it.
    #[error("this is not the passphrase of {}", path.display())]
    WrongPassphrase {
        /// Which directory.
        path: PathBuf,
    },
    /// A sealed file that its seal does not open.
    #[error("{} is damaged, or was sealed for another directory", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The cryptography refused.
    #[error("cannot seal {}", path.display())]
    Unsealable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<age::EncryptError>,
    },
}

/// A directory of secrets.
#[derive(Clone)]
pub struct Keyring {
    dir: PathBuf,
    seal: Option<Arc<Identity>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({})", self.dir.display())
    }
}

impl Keyring {
    /// The secrets in this directory. Sealed ones are read after [`Keyring::unlock`].
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), seal: None }
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is a passphrase, and it has not been given yet.
    pub fn is_locked(&self) -> bool {
        self.seal.is_none() && self.path(SEAL).exists()
    }

    /// Whether there is a passphrase.
    pub fn is_sealed(&self) -> bool {
        self.path(SEAL).exists()
    }

    /// Opens the seal.
    pub fn unlock(&mut self, passphrase: &SecretString) -> Result<(), KeyringError> {
        let sealed = keyfile::read(&self.path(SEAL), SEAL_BYTES_MAX)?;
        let damaged = || KeyringError::Damaged { path: self.path(SEAL) };
        let mut opener = age::scrypt::Identity::new(passphrase.clone());
        opener.set_max_work_factor(SCRYPT_LOG_N);
        let opened = age::decrypt(&opener, &sealed).map_err(|fault| {
            let may_be_wrong = matches!(
                fault,
                DecryptError::DecryptionFailed
                    | DecryptError::KeyDecryptionFailed
                    | DecryptError::NoMatchingKeys
            );
            match may_be_wrong {
                true => KeyringError::WrongPassphrase { path: self.dir.clone() },
                false => damaged(),
            }
        })?;
        let opened = Zeroizing::new(opened);
        let identity = std::str::from_utf8(&opened).ok().and_then(|text| text.parse().ok());
        self.seal = Some(Arc::new(identity.ok_or_else(damaged)?));
        Ok(())
    }

    /// Reads a secret of at most `bytes_max` bytes.
    pub fn read(&self, name: &str, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let path = self.path(name);
        let found = keyfile::read(&path, bytes_max + SEALING_BYTES_MAX)?;
        if !found.starts_with(AGE_MAGIC) {
            return Ok(found);
        }
        let Some(seal) = &self.seal else {
            return Err(match self.is_sealed() {
                true => KeyringError::Locked { path },
                false => KeyringError::SealMissing { path },
            });
        };
        let opened = age::decrypt(seal.as_ref(), &found);
        opened.map(Zeroizing::new).map_err(|_| KeyringError::Damaged { path })
    }

    /// Writes a secret where none is: sealed, where there is a passphrase.
    pub fn write_new(&self, name: &str, secret: &[u8]) -> Result<(), KeyringError> {
        let path = self.path(name);
        Ok(keyfile::write_new(&path, &self.sealed(&path, secret)?)?)
    }

    /// Seals what is here under this passphrase, or under none from now on. `names` are the
    /// secrets; those that are not there are passed over.
    pub fn set_passphrase(
        &mut self,
        passphrase: Option<&SecretString>,
        names: &[&str],
    ) -> Result<(), KeyringError> {
        if self.is_locked() {
            return Err(KeyringError::Locked { path: self.path(SEAL) });
        }
        let secrets: Vec<_> = names.iter().filter(|name| self.path(name).exists()).collect();
        match passphrase {
            Some(passphrase) => {
                let seal = self.seal.clone().unwrap_or_else(|| Arc::new(Identity::generate()));
                let path = self.path(SEAL);
                let mut lock = age::scrypt::Recipient::new(passphrase.clone());
                lock.set_work_factor(SCRYPT_LOG_N);
                let text = seal.to_string();
                let locked = age::encrypt(&lock, text.expose_secret().as_bytes());
                let locked = locked.map_err(unsealable(path))?;
                // The seal first: what is sealed must always be openable.
                keyfile::replace(&self.path(SEAL), &locked)?;
                self.seal = Some(seal);
                for name in secrets {
                    let (path, secret) = (self.path(name), self.read(name, SECRET_BYTES_MAX)?);
                    keyfile::replace(&path, &self.sealed(&path, &secret)?)?;
                }
            }
            None => {
                for name in secrets {
                    let secret = self.read(name, SECRET_BYTES_MAX)?;
                    keyfile::replace(&self.path(name), &secret)?;
                }
                if self.is_sealed() {
                    keyfile::remove(&self.path(SEAL))?;
                }
                self.seal = None;
            }
        }
        Ok(())
    }

    fn sealed(&self, path: &Path, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let path = path.to_owned();
        match &self.seal {
            None if self.is_sealed() => Err(KeyringError::Locked { path }),
            None => Ok(Zeroizing::new(secret.to_vec())),
            Some(seal) => {
                let sealed = age::encrypt(&seal.to_public(), secret);
                sealed.map(Zeroizing::new).map_err(unsealable(path))
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn unsealable(path: PathBuf) -> impl FnOnce(age::EncryptError) -> KeyringError {
    move |source| KeyringError::Unsealable { path, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn phrase(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn a_passphrase_is_set_changed_and_removed_and_the_secrets_stay() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["a.key", "b.key", "missing.key"];
        let mut ring = Keyring::at(dir.path());
        ring.write_new("a.key", b"first secret").unwrap();
        ring.set_passphrase(Some(&phrase("one")), &names).unwrap();
        ring.write_new("b.key", b"second secret").unwrap();
        let stored = |name| fs::read(dir.path().join(name)).unwrap();
        for name in ["a.key", "b.key"] {
            assert!(stored(name).starts_with(AGE_MAGIC), "{name}");
        }

        let mut closed = Keyring::at(dir.path());
        assert!(closed.is_locked());
        assert!(matches!(closed.read("a.key", 99), Err(KeyringError::Locked { .. })));
        assert!(matches!(closed.write_new("c.key", b"x"), Err(KeyringError::Locked { .. })));
        let wrong = closed.unlock(&phrase("two")).unwrap_err();
        assert!(matches!(wrong, KeyringError::WrongPassphrase { .. }), "{wrong}");
        closed.unlock(&phrase("one")).unwrap();
        assert_eq!(*closed.read("a.key", 99).unwrap(), b"first secret");
        assert_eq!(*closed.read("b.key", 99).unwrap(), b"second secret");

        let before = stored("seal.age");
        closed.set_passphrase(Some(&phrase("two")), &names).unwrap();
        assert_ne!(stored("seal.age"), before);
        let mut reopened = Keyring::at(dir.path());
        assert!(reopened.unlock(&phrase("one")).is_err());
        reopened.unlock(&phrase("two")).unwrap();
        reopened.set_passphrase(None, &names).unwrap();
        let plain = Keyring::at(dir.path());
        assert!(!plain.is_sealed());
        assert_eq!(*plain.read("b.key", 99).unwrap(), b"second secret");
    }

    #[test]
    fn a_change_cut_short_leaves_every_secret_readable() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = Keyring::at(dir.path());
        ring.write_new("a.key", b"first secret").unwrap();
        ring.write_new("b.key", b"second secret").unwrap();
        // As if it had ended after the seal and one of the secrets.
        ring.set_passphrase(Some(&phrase("one")), &["a.key"]).unwrap();
        assert_eq!(fs::read(dir.path().join("b.key")).unwrap(), b"second secret");
        let mut again = Keyring::at(dir.path());
        again.unlock(&phrase("one")).unwrap();
        assert_eq!(*again.read("a.key", 99).unwrap(), b"first secret");
        assert_eq!(*again.read("b.key", 99).unwrap(), b"second secret");
    }

    #[test]
    fn a_sealed_secret_of_another_directory_is_named() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut rings = [&here, &there].map(|dir| Keyring::at(dir.path()));
        for ring in &mut rings {
            ring.set_passphrase(Some(&phrase("same")), &[]).unwrap();
            ring.write_new("a.key", b"secret").unwrap();
        }
        fs::copy(there.path().join("a.key"), here.path().join("a.key")).unwrap();
        let damaged = rings[0].read("a.key", 99).unwrap_err();
        assert!(matches!(damaged, KeyringError::Damaged { .. }), "{damaged}");
    }
}
