//! Time-stamps of the log (`server::stamps`) where they are wired: whom `escrowd.toml` names, and
//! rounds beside everything else while a vault is served.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::cli::failure::Failure;
use crate::crypto::pem::certificates_of;
use crate::crypto::timestamp::{Policy, TOKEN_BYTES_MAX};
use crate::daemon::config::{Place, Timestamps};
use crate::domain::chain::chain;
use crate::domain::time::{Span, Timestamp};
use crate::domain::url::Url;
use crate::server::stamps::{Newest, Renewed, Rounds, Shelf, Source, Told, Whose};
use crate::store::DiskStore;
use crate::vault::{Clock, Vault};
use crate::wire::timestamp::reply;

/// The directory that they are kept in, within the data directory.
pub(super) const STAMPS: &str = "stamps";
/// How long before its end a time-stamp is renewed.
pub(super) const RENEWED_WITHIN: Span = Span::days(2 * 365);
/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(60);
/// Shortest `every`.
const EVERY_MIN: Span = Span::seconds(60);
/// How long an authority may take for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Where the time-stamps of a vault's log are.
pub(super) fn shelf(place: &Place) -> Shelf {
    Shelf::at(&place.store().join(STAMPS))
}

/// An authority elsewhere.
pub(super) struct External {
    url: Url,
    cas: Vec<Vec<u8>>,
    policy: Option<Policy>,
}

impl External {
    /// The one that the configuration names, if it names one. `ca` is within the data directory
    /// unless it is a whole path.
    pub(super) fn of(config: &Timestamps, data: &Path) -> Result<Option<Self>, Failure> {
        let bad = |message: String, hint: &str| {
            Failure::failed("BAD_CONFIG", format!("escrowd.toml: [timestamps] {message}"), hint)
        };
        if config.every < EVERY_MIN {
            let message = format!("every = \"{}\" is too often", config.every);
            return Err(bad(message, "a minute, \"60s\", is the least; a day, \"1d\", is usual"));
        }
        let (url, ca) = match (&config.authority, &config.ca) {
            (Some(url), Some(ca)) => (url, data.join(ca)),
            (None, None) if config.policy.is_none() => return Ok(None),
            (Some(_), None) => {
                let hint = "name a file with the authority's root in PEM as `ca`: what nobody \
                            vouches for proves nothing";
                return Err(bad("names an authority and no ca".to_owned(), hint));
            }
            (None, _) => {
                let hint = "name the authority's address as `authority`, or leave both out";
                return Err(bad("has ca or policy and no authority".to_owned(), hint));
            }
        };
        let url = url.parse::<Url>().map_err(|fault| bad(fault.to_string(), "write it so"))?;
        let text = std::fs::read(&ca).map_err(|fault| {
            bad(format!("ca: {}: {fault}", ca.display()), "name a file that the vault can read")
        })?;
        let cas = certificates_of(&text).ok_or_else(|| {
            let message = format!("ca: {} holds no certificate in PEM", ca.display());
            bad(message, "put the authority's root there as it was published")
        })?;
        let policy = config.policy.as_deref().map(str::parse).transpose();
        let policy = policy.map_err(|fault: crate::domain::id::Malformed| {
            bad(fault.to_string(), "write it so, or leave it out")
        })?;
        Ok(Some(Self { url, cas, policy }))
    }
}

#[tonic::async_trait]
impl Source for External {
    fn whose(&self) -> Whose {
        Whose::External
    }

    fn cas(&self) -> Vec<Vec<u8>> {
        self.cas.clone()
    }

    fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    async fn answer(&self, request: Vec<u8>) -> Result<Vec<u8>, String> {
        let answered = reply(&self.url, request, ANSWER_MAX, TOKEN_BYTES_MAX).await;
        answered.map_err(|fault| format!("{}: {}", self.url, chain(&fault)))
    }
}

/// A vault's time, as a clock.
pub(super) struct VaultTime(pub(super) Arc<Vault<DiskStore>>);

impl Clock for VaultTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// Makes rounds for ever, and at once whenever somebody is in a hurry.
pub(super) async fn go_round(vault: Arc<Vault<DiskStore>>, mut rounds: Rounds, hurry: Arc<Notify>) {
    loop {
        let looking = Arc::clone(&vault);
        let newest = tokio::task::spawn_blocking(move || Newest::of(&looking)).await;
        let newest = newest.ok().and_then(|newest| {
            newest
                .inspect_err(|fault| {
                    tracing::error!(error = chain(fault), "no checkpoint to time-stamp");
                })
                .ok()
                .flatten()
        });
        rounds.round(newest.as_ref()).await.iter().for_each(log);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = hurry.notified() => rounds.hurry(),
        }
    }
}

fn log(told: &Told) {
    match told {
        Told::Kept { whose, stamped, at } => {
            tracing::info!(authority = %whose, checkpoint = %stamped, %at, "the log was time-stamped");
        }
        Told::Renewed(Renewed { whose, stamped, number, good_until }) => {
            tracing::info!(
                authority = %whose, checkpoint = %stamped, number, %good_until,
                "a time-stamp was renewed"
            );
        }
        Told::NothingGained { whose, good_until } => {
            tracing::warn!(
                authority = %whose, %good_until,
                "time-stamps end soon, and what the authority gives now lasts no longer"
            );
        }
        Told::Failed { whose, why } => {
            tracing::warn!(authority = %whose, why, "not time-stamped; it is tried again");
        }
        Told::Damaged(what) => tracing::error!(what, "a kept time-stamp is damaged"),
    }
}
