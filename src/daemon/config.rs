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
use crate::crypto::statement;
use crate::daemon::scrub::Scrub;
use crate::domain::event::{Act, Event, Note};
use crate::domain::text::Text;
use crate::domain::time::Span;
use crate::store::{DiskStore, OpenError, Store as _, is_full};
use crate::vault::quota::Quota;

/// The format of data directories this program makes and reads.
const FORMAT: u32 = 1;
const FILE: &str = "escrowd.toml";
/// The commented configuration that every vault begins with, with values to be replaced.
const SAMPLE: &str = include_str!("../../deploy/escrowd.toml");

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
    /// The log's name. Every statement names it: it never changes. Its generation is in the
    /// journal.
    pub origin: Text,
    /// Whether and where to show metrics.
    #[serde(default)]
    pub metrics: Option<Metrics>,
    /// Whether and where to show the log to anybody.
    #[serde(default)]
    pub log: Option<PublicLog>,
    /// How often, and by whom, the log is time-stamped.
    #[serde(default)]
    pub timestamps: Timestamps,
    /// How often everything stored is read and checked, and how fast.
    #[serde(default)]
    pub scrub: Scrub,
    /// What one organisation may take up.
    #[serde(default)]
    pub quota: Quota,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublicLog {
    /// Where auditors find it, over plain HTTP.
    #[serde(default)]
    pub listen: Option<String>,
    /// Which witnesses are asked to cosign it, and how many are enough: a file of C2SP tlog-policy,
    /// beside the configuration unless its path is absolute.
    #[serde(default)]
    pub policy: Option<PathBuf>,
}

/// `[timestamps]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timestamps {
    /// How often, if the log has grown.
    pub every: Span,
    /// Where an authority elsewhere answers (RFC 3161, 3.4).
    pub authority: Option<String>,
    /// Its roots, in PEM.
    pub ca: Option<PathBuf>,
    /// Under which policy its tokens have to be.
    pub policy: Option<String>,
}

impl Default for Timestamps {
    fn default() -> Self {
        Self { every: Span::days(1), authority: None, ca: None, policy: None }
    }
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    /// Where Prometheus finds them.
    pub listen: String,
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
        let text = config.text();
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

impl Config {
    pub(super) fn new(listen: String, public: String, hosts: Vec<String>, origin: Text) -> Self {
        let (format, metrics, log, quota) = (FORMAT, None, None, Quota::default());
        let (timestamps, scrub) = (Timestamps::default(), Scrub::default());
        Self {
            format,
            listen,
            public_address: public,
            hosts,
            origin,
            metrics,
            log,
            timestamps,
            scrub,
            quota,
        }
    }

    /// The sample with this vault's values in it; what has a default stays commented out.
    fn text(&self) -> String {
        let mut text = String::new();
        for line in SAMPLE.lines() {
            let value = match line.split_once(" = ").map(|(key, _)| key) {
                Some("format") => self.format.to_string(),
                Some("origin") => format!("{:?}", self.origin.as_str()),
                Some("listen") => format!("{:?}", self.listen),
                Some("public_address") => format!("{:?}", self.public_address),
                Some("hosts") => format!("{:?}", self.hosts),
                Some(_) | None => {
                    text.extend([line, "\n"]);
                    continue;
                }
            };
            let key = line.split(' ').next().unwrap_or_default();
            text.push_str(&format!("{key} = {value}\n"));
        }
        text
    }
}

fn toml_config(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|fault| fault.to_string())
}

/// Refuses where the configuration is not that of the vault that is stored: what it names would be
/// believed by nobody.
pub(super) fn refuse_strange(store: &DiskStore, config: &Config) -> Result<(), Failure> {
    let first = store.read_ledger(0, 1).map_err(failed)?;
    let event = first.first().and_then(|entry| statement::event(&entry.payload).ok());
    let Some(Event { log, act: Act::Noted(Note::Founded { .. }), .. }) = event else {
        return Err(not_a_vault());
    };
    if log.origin == config.origin {
        return Ok(());
    }
    let message = format!("{FILE} is not the one that this vault was founded with");
    Err(Failure::failed("OTHER_VAULT", message, "restore it from your backup").about(FILE))
}

/// What is stored is no vault's.
pub(super) fn not_a_vault() -> Failure {
    let hint = "keep a copy of the directory, and restore it from a backup";
    Failure::failed("DAMAGED", "the ledger does not begin with a vault", hint)
}

/// Why the store does not open, and what to do.
pub(super) fn not_opened(fault: OpenError) -> Failure {
    let code = match &fault {
        OpenError::Locked { .. } => "LOCKED",
        OpenError::Io { source, .. } if is_full(source) => "DISK_FULL",
        OpenError::Io { .. } => "DISK",
        OpenError::Damaged { .. } | OpenError::Index(_) => "DAMAGED",
        OpenError::RolledBack { .. } | OpenError::BackupIsAhead { .. } => "ROLLED_BACK",
        OpenError::OtherJournal { .. } => "OTHER_VAULT",
    };
    let hint = fault.hint();
    Failure::failed(code, crate::client::error::chain(&fault), hint)
}

/// A failure of a file or key, with its causes and what helps against it.
pub(super) fn failed(fault: impl Error + 'static) -> Failure {
    Failure::failed("FILE", crate::client::error::chain(&fault), remedy(&fault))
}

fn remedy(fault: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(fault);
    while let Some(fault) = next {
        match (fault.downcast_ref(), fault.downcast_ref()) {
            (Some(file), _) => return remedy_of_key_file(file),
            (None, Some(keyring)) => return remedy_of_keyring(keyring),
            (None, None) => next = fault.source(),
        }
    }
    "mend what the message says and try again"
}

fn remedy_of_keyring(fault: &KeyringError) -> &'static str {
    match fault {
        KeyringError::File(file) => remedy_of_key_file(file),
        KeyringError::Locked { .. } => {
            "name a private file that holds the passphrase with --passphrase-file"
        }
        KeyringError::WrongPassphrase { .. } => {
            "try the right one; if this is certain to be it, seal.age there is damaged: restore it \
             from your backup"
        }
        KeyringError::SealMissing { .. } | KeyringError::Damaged { .. } => {
            "restore the file from your backup"
        }
        KeyringError::Unsealable { .. } => "mend what the message says and try again",
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
        for (from, to) in [
            ("listen =", "listens ="),
            ("format = 1", "format = 2"),
            ("hosts =", "hosts = 1 #"),
            ("# [metrics]", "[metric]"),
            ("# [metrics]", "[metrics]\nport = 9464"),
            ("# [log]", "[logs]"),
            ("# [timestamps]", "[timestamps]\nevery = 1"),
            ("# [timestamps]", "[timestamps]\nauthorities = 1"),
            ("# [scrub]", "[scrub]\nevery = 30"),
            ("# [scrub]", "[scrub]\nrate = \"20 MB/s\""),
            ("# [scrub]", "[scrub]\nrates = \"20 MiB/s\""),
            ("# [quota]", "[quota]\ndeposit = 1"),
            ("# [quota]", "[quota]\ndeposits = -1"),
        ] {
            assert!(text.contains(from), "{from}");
            fs::write(&path, text.replace(from, to)).unwrap();
            assert!(place.config().is_err(), "{to}");
        }
    }

    #[test]
    fn the_sample_shows_every_key_there_is() {
        // A key is commented out with its default: `# key = value`, and so is its `# [table]`.
        let is_key = |line: &str| {
            let key = line.split_once(" = ").map(|(key, _)| key);
            let is_word = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            line.starts_with('[') || key.is_some_and(is_word)
        };
        let shown = SAMPLE.lines().map(|line| match line.strip_prefix("# ") {
            Some(key) if is_key(key) => key,
            Some(_) | None => line,
        });
        let all = toml_config(&shown.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(toml_config(SAMPLE).unwrap().metrics, None, "off by default");
        let mut keys = Vec::new();
        names(&serde_json::to_value(all).unwrap(), &mut keys);
        assert!(keys.len() > 5, "{keys:?}");
        for key in keys {
            let (set, off) = (format!("{key} = "), format!("# {key} = "));
            let shows = |line: &str| line.starts_with(&set) || line.starts_with(&off);
            assert!(SAMPLE.lines().any(shows), "{key} is not in the sample");
        }
    }

    /// The names of all values.
    fn names(value: &serde_json::Value, found: &mut Vec<String>) {
        for (name, value) in value.as_object().unwrap() {
            match value.is_object() {
                true => names(value, found),
                false => found.push(name.clone()),
            }
        }
    }
}
