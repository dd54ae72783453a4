//! One witness is asked: to cosign a checkpoint, or what it cosigned last.

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::cosignature::WitnessKey;
use crate::crypto::note::{NOTE_BYTES_MAX, NoteFault};
use crate::daemon::witness;
use crate::domain::url::Url;
use crate::ledger::submission::SIZE_TYPE;
use crate::store::DiskStore;
use crate::vault::{Vault, VaultError};
use crate::wire::http::{self, Answered, Bounds, StatusCode, Unanswered};

/// How long one question may take.
const ASK: Bounds = Bounds { time_max: Duration::from_secs(5), bytes_max: 2 * NOTE_BYTES_MAX };
/// Longest excerpt of a refusal that is repeated.
const EXCERPT_CHARS_MAX: usize = 100;

/// Whom to ask.
#[derive(Debug, Clone)]
pub(super) struct Witness {
    pub key: WitnessKey,
    pub url: Url,
}

/// A checkpoint that is to be cosigned.
#[derive(Debug, Clone)]
pub(super) struct Newest {
    /// As the log signed it.
    pub note: String,
    /// What is signed.
    pub text: String,
    pub size: u64,
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub(super) enum Uncosigned {
    #[error("no answer")]
    Unanswered(#[source] Unanswered),
    #[error("it answered {0}: {1}")]
    Refused(StatusCode, String),
    #[error("its answer is no cosignature")]
    Wrong(#[source] NoteFault),
    #[error(
        "it answered that it has {0} entries, which this log does not bear out, and shows no proof"
    )]
    Contradicted(u64),
    #[error("it refuses the proof that the log continues, and shows no other log")]
    Unproven,
    #[error("it has {0} entries by now, of which this log has as many")]
    Ahead(u64),
    #[error("the vault cannot say")]
    Vault(#[source] VaultError),
}

impl Uncosigned {
    /// Whether it speaks against the log, though it proves nothing.
    pub(super) fn contradicts(&self) -> bool {
        matches!(self, Self::Contradicted(_) | Self::Unproven)
    }
}

/// How many entries a witness cosigned last, by the note that it shows. One which the vault's log does
/// not bear out halts the vault. Who shows none of this log is taken to have none: it may know better,
/// and say so when it is asked to cosign.
pub(super) async fn last(
    vault: &Arc<Vault<DiskStore>>,
    witness: &Witness,
) -> Result<u64, Uncosigned> {
    let place = witness.url.below(&witness::place(vault.log_key().name()));
    let Answered { status, body, .. } =
        http::get(&place, ASK).await.map_err(Uncosigned::Unanswered)?;
    match status {
        StatusCode::OK => {
            let Ok(note) = String::from_utf8(body.to_vec()) else { return Ok(0) };
            match blocking(vault, move |vault| vault.bear_out(&note)).await {
                Err(Uncosigned::Vault(VaultError::Malformed(_))) => Ok(0),
                borne_out => borne_out,
            }
        }
        // C2SP has no such place; a witness of other people's making, or what is in front of it, need
        // not have it.
        status if status.is_client_error() => Ok(0),
        status => Err(refused(status, &body)),
    }
}

/// Asks for a cosignature: the signature line. `known` is what the witness is known to have had last.
pub(super) async fn cosignature(
    vault: &Arc<Vault<DiskStore>>,
    witness: &Witness,
    known: Option<u64>,
    newest: &Newest,
) -> Result<String, Uncosigned> {
    let mut old = match known {
        Some(known) => known,
        None => last(vault, witness).await?,
    };
    let place = witness.url.below("add-checkpoint");
    // Once more where it says that it has less than was thought.
    for is_last in [false, true] {
        let note = newest.note.clone();
        let submission = blocking(vault, move |vault| vault.submission(old, &note)).await?;
        let asked = http::post(&place, "text/plain", submission.to_string(), ASK).await;
        let Answered { status, content_type, body } = asked.map_err(Uncosigned::Unanswered)?;
        match status {
            StatusCode::OK => {
                let lines = String::from_utf8_lossy(&body);
                let line = witness.key.line_among(&newest.text, &lines);
                return line.map_err(Uncosigned::Wrong);
            }
            StatusCode::CONFLICT if content_type == SIZE_TYPE => {
                let size = std::str::from_utf8(&body)
                    .ok()
                    .and_then(|text| text.strip_suffix('\n')?.parse::<u64>().ok());
                let size = size.ok_or_else(|| refused(status, &body))?;
                if size != old && size <= newest.size && !is_last {
                    old = size;
                    continue;
                }
                // A number proves nothing; a note that this vault signed does. Others may have shown
                // it a checkpoint meanwhile, which the log bears out.
                let shown = last(vault, witness).await?;
                let has = vault.ledger_size();
                return Err(match size <= has.max(shown) {
                    true => Uncosigned::Ahead(size),
                    false => Uncosigned::Contradicted(size),
                });
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                last(vault, witness).await?;
                return Err(Uncosigned::Unproven);
            }
            status => return Err(refused(status, &body)),
        }
    }
    Err(Uncosigned::Contradicted(old))
}

fn refused(status: StatusCode, body: &[u8]) -> Uncosigned {
    let text = String::from_utf8_lossy(body);
    Uncosigned::Refused(status, text.trim().chars().take(EXCERPT_CHARS_MAX).collect())
}

/// Reads the store where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    vault: &Arc<Vault<DiskStore>>,
    work: impl FnOnce(&Vault<DiskStore>) -> Result<T, VaultError> + Send + 'static,
) -> Result<T, Uncosigned> {
    let vault = Arc::clone(vault);
    let done = tokio::task::spawn_blocking(move || work(&vault)).await;
    done.unwrap_or(Err(VaultError::Unavailable)).map_err(Uncosigned::Vault)
}
