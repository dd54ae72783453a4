//! The vault's witnesses: they are asked to cosign each newest checkpoint, behind what is acknowledged
//! and never in its way.
//!
//! One checkpoint is handed to all of them at a time, so that cosignatures meet under one text; what is
//! published meanwhile waits for the next turn, and only the newest of it. Who failed is asked again
//! later and later. A witness also knows how far this log was: see [`asking::last`].

mod asking;
mod measures;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use measures::Measures;

use crate::cli::failure::Failure;
use crate::crypto::keyfile;
use crate::crypto::note::NOTE_BYTES_MAX;
use crate::crypto::policy::{POLICY_BYTES_MAX, Policy};
use crate::daemon::config::{Place, failed};
use crate::daemon::witnesses::asking::{Newest, Uncosigned, Witness};
use crate::domain::chain::chain;
use crate::domain::url::Url;
use crate::ledger::checkpoint::Checkpoint;
use crate::store::DiskStore;
use crate::vault::{Vault, VaultError};

/// The file with the newest checkpoint that enough witnesses have cosigned.
const WITNESSED: &str = "witnessed.checkpoint";
/// How long all witnesses together are waited for before anybody is served.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(3);
/// Least pause between two turns: a busy vault has one checkpoint after the other.
const TURN_MIN: Duration = Duration::from_millis(200);
/// How long a witness is left alone after its first failure; then twice as long, and so on.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// The vault's witnesses, and what they have cosigned.
pub(super) struct Witnesses {
    vault: Arc<Vault<DiskStore>>,
    policy: Policy,
    asked: Vec<Asked>,
    gathered: Option<Gathered>,
    path: PathBuf,
    measures: Measures,
    waits_since: Option<SystemTime>,
}

/// One of them.
struct Asked {
    /// By which it is counted.
    number: usize,
    /// What the policy calls it.
    name: String,
    witness: Witness,
    /// What it cosigned last, as far as is known.
    known: Option<u64>,
    failures: u32,
    not_before: Instant,
}

/// The cosignatures under one checkpoint.
struct Gathered {
    newest: Newest,
    /// By the number of who made it.
    lines: BTreeMap<usize, String>,
}

impl Witnesses {
    /// Reads the policy, and takes up what was witnessed before. Something that this vault signed and
    /// does not bear out any more halts it.
    pub(super) fn new(
        vault: &Arc<Vault<DiskStore>>,
        place: &Place,
        policy: &Path,
        measures: Measures,
    ) -> Result<Self, Failure> {
        let path = place.store().join(policy);
        let policy = read(&path, vault)?;
        let now = Instant::now();
        let asked = (1..).zip(policy.witnesses()).map(|(number, witness)| {
            let url = address(&path, witness)?;
            let (name, key) = (witness.name.clone(), witness.known.key.clone());
            let witness = Witness { key, url };
            Ok(Asked { number, name, witness, known: None, failures: 0, not_before: now })
        });
        let asked: Vec<Asked> = asked.collect::<Result<_, Failure>>()?;
        measures.asks(asked.len());
        vault.await_witnesses();
        let (vault, path) = (Arc::clone(vault), place.store().join(WITNESSED));
        let witnesses =
            Self { vault, policy, asked, gathered: None, path, measures, waits_since: None };
        witnesses.take_up()?;
        Ok(witnesses)
    }

    /// What was witnessed before, if it counts by the policy of now.
    fn take_up(&self) -> Result<(), Failure> {
        if !self.path.exists() {
            return Ok(());
        }
        let bytes = keyfile::read(&self.path, 2 * NOTE_BYTES_MAX).map_err(failed)?;
        let note = String::from_utf8_lossy(&bytes).into_owned();
        let is_met = self.policy.judge(&note).is_ok_and(|judged| judged.is_met);
        match self.vault.bear_out(&note) {
            Ok(_) if !is_met => Ok(()),
            Ok(_) => self.show(note).map_err(failed),
            // Of a generation before, or damaged: another will take its place.
            Err(VaultError::Malformed(_)) => Ok(()),
            // The vault halts, and says so.
            Err(VaultError::SetBack) => Ok(()),
            Err(fault) => Err(failed(fault)),
        }
    }

    /// Asks all of them, for a short time, what they cosigned last, before anybody is served.
    pub(super) async fn look_first(&mut self) {
        let mut looks = JoinSet::new();
        for (index, asked) in self.asked.iter().enumerate() {
            let (vault, witness) = (Arc::clone(&self.vault), asked.witness.clone());
            looks.spawn(async move { (index, asking::last(&vault, &witness).await) });
        }
        let by = Instant::now() + FIRST_LOOK_MAX;
        let mut silent: Vec<bool> = self.asked.iter().map(|_| true).collect();
        while let Ok(Some(looked)) = tokio::time::timeout_at(by, looks.join_next()).await {
            let Ok((index, looked)) = looked else { continue };
            let Some(asked) = self.asked.get_mut(index) else { continue };
            match looked {
                Ok(size) => {
                    asked.known = Some(size);
                    silent.get_mut(index).into_iter().for_each(|silent| *silent = false);
                }
                Err(fault) => {
                    let (witness, error) = (&asked.name, chain(&fault));
                    tracing::warn!(witness, error, "a witness does not say what it cosigned last");
                }
            }
        }
        for asked in self.asked.iter().zip(silent).filter_map(|(it, silent)| silent.then_some(it)) {
            let witness = &asked.name;
            tracing::warn!(
                witness,
                "the vault is served without knowing what this witness saw of its log"
            );
        }
    }

    /// Has every newest checkpoint cosigned, for ever.
    pub(super) async fn run(mut self) {
        let mut published = self.vault.published();
        loop {
            published.borrow_and_update();
            let again = match self.turn().await {
                Ok(again) => again,
                Err(Uncosigned::Vault(VaultError::SetBack)) => return,
                Err(fault) => {
                    tracing::error!(error = chain(&fault), "witnesses cannot be asked now");
                    Some(Instant::now() + RETRY_MIN)
                }
            };
            let due = async {
                match again {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = published.changed() => if changed.is_err() { return },
                () = due => {}
            }
            tokio::time::sleep(TURN_MIN).await;
        }
    }

    /// Asks whoever has not cosigned the newest checkpoint and is not left alone; when to ask again.
    async fn turn(&mut self) -> Result<Option<Instant>, Uncosigned> {
        let newest = asking::blocking(&self.vault, newest).await?;
        if self.gathered.as_ref().is_none_or(|gathered| gathered.newest.note != newest.note) {
            let is_seen = self.vault.witnessed().is_some_and(|seen| seen.size == newest.size);
            self.gathered = Some(Gathered { newest: newest.clone(), lines: self.kept(&newest) });
            if !is_seen {
                self.waits_since.get_or_insert_with(SystemTime::now);
            }
        }
        let (began, now) = (SystemTime::now(), Instant::now());
        self.settle(began)?;
        let mut asking = JoinSet::new();
        for (index, asked) in self.asked.iter().enumerate() {
            if self.has(asked.number) || now < asked.not_before {
                continue;
            }
            let (vault, newest) = (Arc::clone(&self.vault), newest.clone());
            let (witness, known) = (asked.witness.clone(), asked.known);
            asking.spawn(async move {
                (index, asking::cosignature(&vault, &witness, known, &newest).await)
            });
        }
        while let Some(done) = asking.join_next().await {
            let Ok((index, done)) = done else { continue };
            let Some(asked) = self.asked.get_mut(index) else { continue };
            match done {
                Ok(line) => {
                    (asked.known, asked.failures) = (Some(newest.size), 0);
                    if let Some(gathered) = &mut self.gathered {
                        gathered.lines.insert(asked.number, line);
                    }
                    self.settle(began)?;
                }
                Err(fault) => self.measures.failed(asked.number, asked.failed(&fault)),
            }
        }
        self.measures.failing(self.asked.iter().filter(|asked| asked.failures > 0).count());
        self.measures.waits(self.waits_since);
        let lacking = self.asked.iter().filter(|asked| !self.has(asked.number));
        Ok(lacking.map(|asked| asked.not_before).min())
    }

    /// The cosignatures under this checkpoint that were there before a restart.
    fn kept(&self, newest: &Newest) -> BTreeMap<usize, String> {
        let seen = self.vault.witnessed();
        let lines = seen
            .as_ref()
            .and_then(|seen| seen.note.strip_prefix(newest.text.as_str())?.strip_prefix('\n'));
        let found = self.asked.iter().filter_map(|asked| {
            let line = asked.witness.key.line_among(&newest.text, lines?).ok()?;
            Some((asked.number, line))
        });
        found.collect()
    }

    fn has(&self, number: usize) -> bool {
        self.gathered.as_ref().is_some_and(|gathered| gathered.lines.contains_key(&number))
    }

    /// Shows the checkpoint if enough have cosigned it by now, durably first.
    fn settle(&mut self, began: SystemTime) -> Result<(), Uncosigned> {
        let Some(Gathered { newest, lines }) = &self.gathered else { return Ok(()) };
        let note = lines.values().fold(newest.note.clone(), |note, line| note + line);
        let judged = self.policy.judge(&note).map_err(Uncosigned::Wrong)?;
        let is_shown = self
            .vault
            .witnessed()
            .is_some_and(|seen| seen.note == note || seen.size == newest.size && lines.is_empty());
        if !judged.is_met || is_shown {
            return Ok(());
        }
        // It waits for the disk: whoever shares this thread goes on elsewhere.
        let newer = tokio::task::block_in_place(|| {
            let kept = keyfile::replace(&self.path, note.as_bytes());
            kept.map_err(|fault| VaultError::Disk(std::io::Error::other(fault)))?;
            self.show(note)?;
            Ok::<bool, VaultError>(newest_size(&self.vault).is_some_and(|size| size > newest.size))
        });
        // What was published since waits since then, at the earliest.
        let newer = newer.map_err(Uncosigned::Vault)?;
        self.waits_since = newer.then_some(began);
        Ok(())
    }

    fn show(&self, note: String) -> Result<(), VaultError> {
        self.vault.witness(note)?;
        self.measures.witnessed(self.vault.witnessed().map_or(0, |seen| seen.size));
        Ok(())
    }
}

impl Asked {
    /// Leaves it alone for a while, and says why; whether it spoke against the log.
    fn failed(&mut self, fault: &Uncosigned) -> bool {
        let wait = RETRY_MIN.saturating_mul(1 << self.failures.min(16)).min(RETRY_MAX);
        (self.known, self.not_before) = (None, Instant::now() + wait);
        self.failures = self.failures.saturating_add(1);
        let (witness, error) = (&self.name, chain(fault));
        let contradicts = fault.contradicts();
        match contradicts {
            true => tracing::error!(witness, error, ?wait, "a witness contradicts the log"),
            false => tracing::warn!(witness, error, ?wait, "a witness did not cosign"),
        }
        contradicts
    }
}

fn newest(vault: &Vault<DiskStore>) -> Result<Newest, VaultError> {
    let note = vault.checkpoint()?;
    let text = vault.log_key().verify(&note).map_err(|_| VaultError::Unavailable)?.to_owned();
    let checkpoint: Checkpoint = text.parse().map_err(|_| VaultError::Unavailable)?;
    Ok(Newest { note, text, size: checkpoint.size })
}

fn newest_size(vault: &Vault<DiskStore>) -> Option<u64> {
    newest(vault).ok().map(|newest| newest.size)
}

/// The policy in a file, which is about this log.
fn read(path: &Path, vault: &Vault<DiskStore>) -> Result<Policy, Failure> {
    let shown = path.display();
    let refused = |why: String| {
        let hint =
            "mend the policy that [log] in escrowd.toml names; C2SP tlog-policy says how one looks";
        Failure::failed("BAD_POLICY", format!("{shown}: {why}"), hint).about(shown.to_string())
    };
    let size = fs::metadata(path).map_err(|fault| refused(fault.to_string()))?.len();
    if size > POLICY_BYTES_MAX as u64 {
        return Err(refused(format!("a policy has at most {POLICY_BYTES_MAX} bytes")));
    }
    let octets = fs::read(path).map_err(|fault| refused(fault.to_string()))?;
    let policy = Policy::parse(&octets).map_err(|fault| refused(fault.to_string()))?;
    if !vault.log_keys().any(|key| policy.is_about(key)) {
        let (line, log) = (policy.logs().first().map_or(1, |known| known.line), vault.log_key());
        return Err(refused(format!("line {line}: it names other logs only; this one is {log}")));
    }
    Ok(policy)
}

/// Where a witness is asked.
fn address(path: &Path, witness: &crate::crypto::policy::Witness) -> Result<Url, Failure> {
    let line = witness.known.line;
    let url = witness.known.url.as_deref().ok_or("there is no address to ask it at".to_owned());
    url.and_then(|url| url.parse().map_err(|fault| format!("{fault}"))).map_err(|why| {
        let message = format!("{}: line {line}: {}: {why}", path.display(), witness.name);
        let hint =
            "behind the witness's key, write http://HOST:PORT as its operator gave it to you";
        Failure::failed("BAD_POLICY", message, hint).about(path.display())
    })
}
