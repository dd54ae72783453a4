//! Quotas: what one organisation may take up of a vault. The operator's policy, never a rule.
//!
//! A deposit's part is reserved before its first byte is taken, so that no upload is refused at
//! its end. What must always be possible, such as objections, withdrawals, revocations and
//! retrievals, is counted and never refused.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::domain::event::SignedText;
use crate::domain::id::OrganisationName;
use crate::domain::statement::{Stated, Statement};
use crate::domain::states::States;
use crate::domain::time::Timestamp;

/// Bytes of bundles and statements: 1 TiB.
pub const BYTES_DEFAULT: u64 = 1 << 40;
/// Deposits.
pub const DEPOSITS_DEFAULT: u64 = 1_000_000;
/// Registrations. Every client of the organisation follows all of them, 2^20 at most.
pub const REGISTRATIONS_DEFAULT: u64 = 100_000;
/// Requests open at a time.
pub const REQUESTS_DEFAULT: u64 = 1_000;
/// Calls at a time.
pub const STREAMS_DEFAULT: u64 = 256;

/// What one organisation may take up. 0 stands for the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Bytes of its bundles and statements; see [`BYTES_DEFAULT`].
    pub bytes: u64,
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

/// What uploads under way will take up.
#[derive(Debug, Clone, Default)]
pub(super) struct Reserved(Arc<Mutex<HashMap<OrganisationName, Taken>>>);

#[derive(Debug, Clone, Copy, Default)]
struct Taken {
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
    /// Reserves a deposit of so many bytes. What is stored is read by `stored` while nobody gives
    /// anything back: an upload that ends is seen as stored, as reserved or as both, never as
    /// neither.
    pub(super) fn deposit<E: From<OverQuota>>(
        &self,
        quota: &Quota,
        organisation: &OrganisationName,
        bytes: u64,
        stored: impl FnOnce() -> Result<crate::domain::usage::Usage, E>,
    ) -> Result<Reservation, E> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = taken.get(organisation).copied().unwrap_or_default();
        let stored = stored()?;
        let used = stored.bytes.saturating_add(under_way.bytes);
        within(organisation, (Resource::Bytes, quota.bytes), used, bytes)?;
        let used = stored.deposits.saturating_add(under_way.deposits);
        within(organisation, (Resource::Deposits, quota.deposits), used, 1)?;
        let sum = Taken { bytes: under_way.bytes + bytes, deposits: under_way.deposits + 1 };
        taken.insert(organisation.clone(), sum);
        Ok(Reservation { reserved: self.clone(), organisation: organisation.clone(), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut taken = self.reserved.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sum) = taken.get_mut(&self.organisation) {
            sum.bytes = sum.bytes.saturating_sub(self.bytes);
            sum.deposits = sum.deposits.saturating_sub(1);
            // Nothing is kept of who uploads nothing.
            if sum.deposits == 0 {
                taken.remove(&self.organisation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::usage::Usage;

    #[test]
    fn uploads_under_way_count_and_give_back_what_they_took() {
        let quota = Quota { bytes: 100, deposits: 3, ..Quota::default() }.granted();
        let organisation: OrganisationName = "hanbit-parts".parse().unwrap();
        let reserved = Reserved::default();
        let take = |bytes, stored: Usage| {
            reserved.deposit::<OverQuota>(&quota, &organisation, bytes, || Ok(stored))
        };
        let none = Usage::default();
        let refused = |taken: Result<Reservation, OverQuota>| {
            let over = taken.map(drop).unwrap_err();
            (over.resource, over.used)
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
        assert!(reserved.0.lock().unwrap().is_empty());
    }
}
