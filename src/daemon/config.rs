//! The data directory's configuration. Unknown keys are refused.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;
use crate::cli::passphrase;
use crate::crypto::keyfile::{self, KeyFileError};
use crate::crypto::keyring::{Keyring, KeyringError};
use crate::crypto::signature::SigningKey;
use crate::domain::statement::Log;
use crate::domain::text::Text;
use crate::store::OpenError;
use crate::vault::Scribe;

/// The format of data directories this program makes and reads.
const FORMAT: u32 = 1;
const FILE: &str = "escrowd.toml";
const LEDGER_KEY: &str = "ledger.key";

/// `DIR/escrowd.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// Format of the data directory.
    pub format: u32,
    /// Where to listen.
    pub listen: String,
    /// What invitations say.
    pub public_address: String,
    /// The names and IP addresses in the vault's certificate.
    pub hosts: Vec<String>,
    /// The log's name. Every statement names it: it never changes.
    pub origin: Text,
    /// The log's generation.
    pub generation: u32,
}

/// A vault's files besides what the store keeps.
pub(super) struct Place {
    dir: PathBuf,
}

impl Place {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Where the store keeps its files: the data directory itself.
    pub(super) fn store(&self) -> &Path {
        &self.dir
    }

    /// Whether the vault's keys take a passphrase.
    pub(super) fn keys_are_sealed(&self) -> bool {
        Keyring::at(&self.dir.join("keys")).is_sealed()
    }

    /// The vault's keys, opened with the passphrase in this file if they are sealed.
    pub(super) fn keys(&self, passphrase_file: Option<&Path>) -> Result<Keyring, Failure> {
        let mut keyring = Keyring::at(&self.dir.join("keys"));
        if keyring.is_locked() {
            let file = passphrase_file.ok_or_else(|| {
                let message = format!("{} is sealed under a passphrase", keyring.dir().display());
                let hint = "name a private file that holds it with --passphrase-file";
                Failure::failed("SEALED", message, hint)
            })?;
            keyring.unlock(&passphrase::from_file(file)?).map_err(failed)?;
        }
        Ok(keyring)
    }

    /// Makes the place of the vault's keys, sealed under this passphrase if there is one.
    pub(super) fn make_keys(&self, passphrase: Option<&SecretString>) -> Result<Keyring, Failure> {
        let dir = self.dir.join("keys");
        keyfile::private_dir(&dir).map_err(failed)?;
        let mut keyring = Keyring::at(&dir);
        if passphrase.is_some() {
            keyring.set_passphrase(passphrase, &[]).map_err(failed)?;
        }
        Ok(keyring)
    }

    /// Where the operator's home is.
    pub(super) fn operator(&self) -> PathBuf {
        self.dir.join("operator")
    }

    pub(super) fn write_config(&self, config: &Config) -> Result<(), Failure> {
        let text = format!(
            "# A vault's configuration; unknown keys are refused.\n\
             # Never change format, origin or generation: statements name them.\n\
             format = {}\n\
             origin = {:?}\n\
             generation = {}\n\n\
             # Where to listen; `escrowd serve --listen` overrules it.\n\
             listen = {:?}\n\
             # What invitations say: how clients reach the vault.\n\
             public_address = {:?}\n\
             # The names and IP addresses in the vault's certificate, made anew at every start.\n\
             hosts = {:?}\n",
            config.format,
            config.origin.as_str(),
            config.generation,
            config.listen,
            config.public_address,
            config.hosts,
        );
        keyfile::write_new(&self.dir.join(FILE), text.as_bytes()).map_err(failed)
    }

    pub(super) fn config(&self) -> Result<Config, Failure> {
        let path = self.dir.join(FILE);
        let shown = path.display();
        let text = fs::read_to_string(&path).map_err(|fault| {
            let hint = "name a directory that `escrowd init --data DIR` has made";
            Failure::failed("NO_VAULT", format!("{shown}: {fault}"), hint)
        })?;
        let config: Config = toml_config(&text).map_err(|fault| {
            let hint = "mend the line; `escrowd init` in another place shows what is expected";
            Failure::failed("BAD_CONFIG", format!("{shown}: {}", fault.trim_end()), hint)
        })?;
        if config.format != FORMAT {
            let message = format!("{shown}: the data directory has format {}", config.format);
            let hint = "use a version of the program that reads it";
            return Err(Failure::failed("OTHER_FORMAT", message, hint));
        }
        Ok(config)
    }
}

/// Keeps the key that signs heads.
pub(super) fn write_ledger_key(keys: &Keyring, key: &SigningKey) -> Result<(), Failure> {
    keys.write_new(LEDGER_KEY, &key.to_bytes()[..]).map_err(failed)
}

impl Config {
    /// What signs heads.
    pub(super) fn scribe(&self, keys: &Keyring) -> Result<Scribe, Failure> {
        let bytes = keys.read(LEDGER_KEY, 32).map_err(failed)?;
        let seed: Result<&[u8; 32], _> = bytes.as_slice().try_into();
        let key = seed.map(SigningKey::from_bytes).map_err(|_| {
            let message = format!("{}: not a ledger key", keys.dir().join(LEDGER_KEY).display());
            Failure::failed("BAD_KEY", message, "restore it from your backup")
        })?;
        let log = Log { origin: self.origin.clone(), generation: self.generation };
        Ok(Scribe { log, key })
    }

    pub(super) fn new(listen: String, public: String, hosts: Vec<String>, origin: Text) -> Self {
        Self { format: FORMAT, listen, public_address: public, hosts, origin, generation: 1 }
    }
}

fn toml_config(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|fault| fault.to_string())
}

/// A failure of a file or key, with its causes and what helps against it.
pub(super) fn failed(fault: impl Error + 'static) -> Failure {
    let (code, hint) = remedy(&fault);
    Failure::failed(code, crate::client::error::chain(&fault), hint)
}

fn remedy(fault: &(dyn Error + 'static)) -> (&'static str, &'static str) {
    let mut next = Some(fault);
    while let Some(fault) = next {
        match (fault.downcast_ref(), fault.downcast_ref(), fault.downcast_ref()) {
            (Some(open), _, _) => return remedy_of_store(open),
            (_, Some(file), _) | (_, _, Some(KeyringError::File(file))) => {
                return ("FILE", remedy_of_key_file(file));
            }
            (None, None, _) => next = fault.source(),
        }
    }
    ("FILE", "mend what the message says and try again")
}

fn remedy_of_store(fault: &OpenError) -> (&'static str, &'static str) {
    match fault {
        OpenError::Locked { .. } => ("RUNNING", "the vault is running: stop it first (SIGTERM)"),
        OpenError::Io { .. } => {
            ("FILE", "check that the disk is there and has room, and whose the files are")
        }
        OpenError::Damaged { .. } => {
            ("DAMAGED", "nothing was changed; `escrowd check` reads the rest and names all damage")
        }
        OpenError::Index(_) => ("DAMAGED", "run `escrowd check`, which names all damage"),
    }
}

fn remedy_of_key_file(fault: &KeyFileError) -> &'static str {
    match fault {
        KeyFileError::Exposed { .. } => {
            "find out who could read it before you do what the message says"
        }
        KeyFileError::WrongKind { .. } | KeyFileError::TooLarge { .. } => {
            "restore the file from your backup"
        }
        KeyFileError::Exists { .. } => "a key is never overwritten; see what is there",
        KeyFileError::Io { .. } => {
            "check whose the file is and that the disk is there; a lost key comes from your backup"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_read_as_it_is_written_and_misspelt_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path());
        let hosts = vec!["vault.example".to_owned(), "::1".to_owned()];
        let origin = "vault.example/escrow-vault/abc".parse().unwrap();
        let config =
            Config::new("127.0.0.1:7443".into(), "vault.example:7443".into(), hosts, origin);
        place.write_config(&config).unwrap();
        assert_eq!(place.config().unwrap(), config);
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        for (from, to) in
            [("listen =", "listens ="), ("format = 1", "format = 2"), ("hosts =", "hosts = 1 #")]
        {
            fs::write(&path, text.replace(from, to)).unwrap();
            assert!(place.config().is_err(), "{to}");
        }
    }
}
