//! Quotas: what one organisation may take up of a vault. The operator's policy, never a rule.
//!
//! A deposit's part is reserved before its first byte is taken, so that no upload is refused at
//! its end. What must always be possible, such as objections, withdrawals, revocations and
//! retrievals, is counted and never refused.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::domain::event::SignedText;
use crate::domain::id::OrganisationName;
use crate::domain::statement::{Stated, Statement};
use crate::domain::states::States;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::vault::error::VaultError;

/// Bytes of bundles and statements: 1 TiB.
pub const BYTES_DEFAULT: u64 = 1 << 40;
/// Deposits.
pub const DEPOSITS_DEFAULT: u64 = 1_000_000;
/// Bytes of all organisations together: what the disk has room for.
pub const TOTAL_BYTES_DEFAULT: u64 = u64::MAX;
/// Registrations. Every client of the organisation follows all of them, 2^20 at most.
pub const REGISTRATIONS_DEFAULT: u64 = 100_000;
/// Requests open at a time.
pub const REQUESTS_DEFAULT: u64 = 1_000;
/// Calls at a time.
pub const STREAMS_DEFAULT: u64 = 256;

/// Uploads of one organisation that are not finished. Its calls at a time are bounded besides.
pub const UNFINISHED_MAX: u64 = 64;
/// The same of one member.
pub const UNFINISHED_OF_ONE_MAX: u64 = UNFINISHED_MAX / 2;

/// What one organisation may take up, and all of them. 0 stands for the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Bytes of its bundles and statements; see [`BYTES_DEFAULT`].
    pub bytes: u64,
    /// Bytes of all organisations together; see [`TOTAL_BYTES_DEFAULT`].
    pub total_bytes: u64,
    /// Its deposits; see [`DEPOSITS_DEFAULT`].
    pub deposits: u64,
    /// Its registrations; see [`REGISTRATIONS_DEFAULT`].
    pub registrations: u64,
    /// Its requests open at a time; see [`REQUESTS_DEFAULT`].
    pub requests: u64,
    /// Its calls at a time, half of them for one member, one upload for sixteen; see [`STREAMS_DEFAULT`].
    pub streams: u64,
}

impl Quota {
    /// The same with defaults in place.
    pub fn granted(self) -> Self {
        let or = |value, default| if value == 0 { default } else { value };
        Self {
            bytes: or(self.bytes, BYTES_DEFAULT),
            total_bytes: or(self.total_bytes, TOTAL_BYTES_DEFAULT),
            deposits: or(self.deposits, DEPOSITS_DEFAULT),
            registrations: or(self.registrations, REGISTRATIONS_DEFAULT),
            requests: or(self.requests, REQUESTS_DEFAULT),
            streams: or(self.streams, STREAMS_DEFAULT),
        }
    }
}

/// What there is a quota for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of bundles and statements.
    Bytes,
    /// Deposits.
    Deposits,
    /// Registrations.
    Registrations,
    /// Requests open at a time.
    Requests,
    /// Calls at a time.
    Streams,
    /// Calls at a time of one member: half of its organisation's.
    StreamsOfOne,
    /// Uploads at a time: a sixteenth of the calls.
    Uploads,
    /// Uploads that are not finished.
    Unfinished,
    /// Uploads of one member that are not finished.
    UnfinishedOfOne,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes stored",
            Self::Deposits => "deposits",
            Self::Registrations => "registrations",
            Self::Requests => "open requests",
            Self::Streams => "calls at a time",
            Self::StreamsOfOne => "calls at a time for one member",
            Self::Uploads => "uploads at a time",
            Self::Unfinished => "unfinished uploads",
            Self::UnfinishedOfOne => "unfinished uploads for one member",
        })
    }
}

/// More than an organisation may take up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{organisation} uses {used} of its {limit} {resource}, and this takes {asked} more")]
pub struct OverQuota {
    /// Whose quota.
    pub organisation: OrganisationName,
    /// Which quota.
    pub resource: Resource,
    /// How much is used or reserved.
    pub used: u64,
    /// How much is granted.
    pub limit: u64,
    /// How much this would add.
    pub asked: u64,
}

/// Refuses what exceeds a limit.
pub fn within(
    organisation: &OrganisationName,
    (resource, limit): (Resource, u64),
    used: u64,
    asked: u64,
) -> Result<(), OverQuota> {
    match used.checked_add(asked) {
        Some(sum) if sum <= limit => Ok(()),
        Some(_) | None => {
            Err(OverQuota { organisation: organisation.clone(), resource, used, limit, asked })
        }
    }
}

/// Whether the signer's organisation may have one more of these. A deposit's part was reserved
/// before, and what must always be possible always is.
pub(super) fn check(
    quota: &Quota,
    states: &States,
    (signed, stated): (&SignedText, &Stated),
    now: Timestamp,
) -> Result<(), OverQuota> {
    let own = &stated.statement.made().by.organisation;
    let usage = states.usage(own).copied().unwrap_or_default();
    let text = || {
        let asked = signed.statement.len() as u64;
        within(own, (Resource::Bytes, quota.bytes), usage.bytes, asked)
    };
    match &stated.statement {
        Statement::Request(_) => {
            let open = states.underway(own).map_or(0, |open| open.count_at(now));
            within(own, (Resource::Requests, quota.requests), open, 1)?;
            text()
        }
        Statement::Registration(_) => {
            within(own, (Resource::Registrations, quota.registrations), usage.registrations, 1)?;
            text()
        }
        Statement::Proposal(_)
        | Statement::Amendment(_)
        | Statement::ReleaseKey(_)
        | Statement::Reseal(_) => text(),
        Statement::Deposit(_)
        | Statement::Invitation(_)
        | Statement::Organisation(_)
        | Statement::Join(_)
        | Statement::Confirmation(_)
        | Statement::Revocation(_)
        | Statement::RevocationNotice(_)
        | Statement::Renewal(_)
        | Statement::Acceptance(_)
        | Statement::Declination(_)
        | Statement::Countersignature(_)
        | Statement::Termination(_)
        | Statement::Resumption(_)
        | Statement::Consent(_)
        | Statement::Contribution(_)
        | Statement::Seen(_)
        | Statement::Notification(_)
        | Statement::Objection(_)
        | Statement::Reminder(_)
        | Statement::Attestation(_)
        | Statement::Settlement(_)
        | Statement::Withdrawal(_)
        | Statement::Retrieval(_)
        | Statement::Acknowledgement(_)
        | Statement::TimeStamp(_) => Ok(()),
    }
}

/// What uploads that are not finished will take up, and what is stored in total.
#[derive(Debug, Clone, Default)]
pub(super) struct Reserved(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    stored_bytes: u64,
    bytes: u64,
    organisations: HashMap<OrganisationName, OfOne>,
}

#[derive(Debug, Clone, Copy, Default)]
struct OfOne {
    bytes: u64,
    deposits: u64,
}

/// One upload's part; given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    reserved: Reserved,
    organisation: OrganisationName,
    bytes: u64,
}

impl Reserved {
    /// Where so many bytes are stored already, of everybody.
    pub(super) fn beside(stored_bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(Taken { stored_bytes, ..Taken::default() })))
    }

    /// So many more are stored.
    pub(super) fn stored(&self, bytes: u64) {
        let mut taken = self.taken();
        taken.stored_bytes = taken.stored_bytes.saturating_add(bytes);
    }

    /// Takes the part of one deposit, if there is as much left of what an organisation is granted,
    /// and of what all are. `stored` is asked while nothing changes under way: what was stored is
    /// counted from its event before its reservation is given back.
    pub(super) fn deposit(
        &self,
        quota: &Quota,
        organisation: &OrganisationName,
        bytes: u64,
        stored: impl FnOnce() -> Result<Usage, VaultError>,
    ) -> Result<Reservation, Short> {
        let mut taken = self.taken();
        let under_way = taken.organisations.get(organisation).copied().unwrap_or_default();
        let stored = stored().map_err(Short::Unread)?;
        let used = stored.bytes.saturating_add(under_way.bytes);
        within(organisation, (Resource::Bytes, quota.bytes), used, bytes)?;
        let used = stored.deposits.saturating_add(under_way.deposits);
        within(organisation, (Resource::Deposits, quota.deposits), used, 1)?;
        let used = taken.stored_bytes.saturating_add(taken.bytes);
        if used.saturating_add(bytes) > quota.total_bytes {
            return Err(Short::Total { used, limit: quota.total_bytes, asked: bytes });
        }
        Ok(self.add(&mut taken, organisation, bytes))
    }

    /// Takes the part of a deposit that was granted before a restart.
    pub(super) fn again(&self, organisation: &OrganisationName, bytes: u64) -> Reservation {
        self.add(&mut self.taken(), organisation, bytes)
    }

    fn add(&self, taken: &mut Taken, organisation: &OrganisationName, bytes: u64) -> Reservation {
        let own = taken.organisations.entry(organisation.clone()).or_default();
        own.bytes = own.bytes.saturating_add(bytes);
        own.deposits += 1;
        taken.bytes = taken.bytes.saturating_add(bytes);
        Reservation { reserved: self.clone(), organisation: organisation.clone(), bytes }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Sums that are never left half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut taken = self.reserved.taken();
        taken.bytes = taken.bytes.saturating_sub(self.bytes);
        if let Some(own) = taken.organisations.get_mut(&self.organisation) {
            own.bytes = own.bytes.saturating_sub(self.bytes);
            own.deposits = own.deposits.saturating_sub(1);
            // Nothing is kept of who uploads nothing.
            if own.deposits == 0 {
                taken.organisations.remove(&self.organisation);
            }
        }
    }
}

/// Why a deposit's part cannot be taken.
#[derive(Debug)]
pub(super) enum Short {
    /// Its organisation has what it is granted.
    Own(OverQuota),
    /// All organisations together have what they are granted.
    Total { used: u64, limit: u64, asked: u64 },
    /// It is not known what is stored.
    Unread(VaultError),
}

impl From<OverQuota> for Short {
    fn from(over: OverQuota) -> Self {
        Self::Own(over)
    }
}

impl From<Short> for VaultError {
    fn from(short: Short) -> Self {
        match short {
            Short::Own(over) => Self::Quota(over),
            Short::Total { used, limit, asked } => {
                tracing::warn!(used, limit, asked, "refused for the quota of all organisations");
                Self::TotalQuota
            }
            Short::Unread(fault) => fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_under_way_count_and_give_back_what_they_took() {
        let quota = Quota { bytes: 100, deposits: 3, ..Quota::default() }.granted();
        let organisation: OrganisationName = "hanbit-parts".parse().unwrap();
        let reserved = Reserved::default();
        let take =
            |bytes, stored: Usage| reserved.deposit(&quota, &organisation, bytes, || Ok(stored));
        let none = Usage::default();
        let refused = |taken: Result<Reservation, Short>| match taken.map(drop) {
            Err(Short::Own(over)) => (over.resource, over.used),
            other => panic!("{other:?}"),
        };
        let first = take(60, none).unwrap();
        assert_eq!(refused(take(41, none)), (Resource::Bytes, 60), "one byte too many");
        let second = take(40, none).unwrap();
        drop(first);
        assert_eq!(refused(take(61, none)), (Resource::Bytes, 40), "the first gave back its own");
        let third = take(0, none).unwrap();
        let stored = Usage { deposits: 1, ..none };
        assert_eq!(refused(take(0, stored)), (Resource::Deposits, 3), "stored and under way");
        assert_eq!(refused(take(u64::MAX, none)), (Resource::Bytes, 40), "sums do not wrap");
        drop((second, third));
        let taken = reserved.taken();
        assert!(taken.organisations.is_empty() && taken.bytes == 0);
    }

    #[test]
    fn all_organisations_together_take_up_no_more_than_is_granted() {
        let quota = Quota { total_bytes: 100, bytes: u64::MAX, ..Quota::default() }.granted();
        let reserved = Reserved::beside(30);
        let take = |organisation: &str, bytes| {
            let organisation = organisation.parse().unwrap();
            let none = || Ok(Usage::default());
            match reserved.deposit(&quota, &organisation, bytes, none) {
                Err(Short::Total { .. }) => None,
                other => Some(other.unwrap()),
            }
        };
        let first = take("hanbit-parts", 50).unwrap();
        assert!(take("orient-display", 21).is_none(), "30 are stored, and 50 under way");
        let second = take("orient-display", 20).unwrap();
        assert!(take("hanbit-parts", 1).is_none());
        reserved.stored(50);
        drop(first);
        assert!(take("hanbit-parts", 1).is_none(), "they were stored");
        drop(second);
        take("hanbit-parts", 20).unwrap();
        let taken = take("hanbit-parts", u64::MAX);
        assert!(taken.is_none(), "sums do not wrap");
        let again = reserved.again(&"hanbit-parts".parse().unwrap(), 500);
        assert!(take("hanbit-parts", 1).is_none(), "what was granted before still counts");
        drop(again);
    }
}
