//! How many calls who may have open: an organisation by its quota, strangers few a network.
//!
//! A call holds its place until its answer was taken. No member takes more than half of its
//! organisation's places, so that one stolen key cannot keep colleagues out, and some places are
//! kept for what must always be possible.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::{MemberPath, OrganisationName};
use crate::server::admission::network;
use crate::server::peer::{Peer, Subject};
use crate::vault::quota::{self, OverQuota, Resource};

/// Calls at a time of strangers from one network.
const STRANGER_CALLS_MAX: u64 = 32;
/// One upload for so many calls: each may have a stream's whole window under way.
const CALLS_PER_UPLOAD: u64 = 16;
/// One place more for so many, for what must always be possible.
const CALLS_PER_URGENT: u64 = 4;
/// What a message may always have, in bytes; more of it is shared.
const MESSAGE_BYTES_FREE: u64 = 64 * 1024;
/// Messages of one organisation beyond that, in bytes.
const MESSAGE_BYTES_MAX: u64 = 32 << 20;
/// Messages of everybody beyond that, in bytes.
const MESSAGE_BYTES_TOTAL_MAX: u64 = 128 << 20;

const _: () = assert!(MESSAGE_BYTES_MAX > crate::wire::limit::MESSAGE_BYTES_MAX as u64);

/// What a call is, as far as places are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whatever can wait.
    Ordinary,
    /// What may carry an objection, a withdrawal, a revocation or a retrieval.
    Urgent,
    /// An upload.
    Upload,
}

/// Why a call has to wait.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPlace {
    /// The organisation has all its calls.
    #[error(transparent)]
    Quota(#[from] OverQuota),
    /// Too many calls without a certificate.
    #[error("there are {STRANGER_CALLS_MAX} calls without a client certificate from your network")]
    Strangers,
    /// Too much in messages that are not complete.
    #[error("too many large messages are under way")]
    Messages,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Organisation(OrganisationName),
    Strangers(IpAddr),
}

/// Everybody's calls.
#[derive(Debug)]
pub(super) struct Places {
    streams: u64,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    message_bytes: u64,
    callers: HashMap<Who, Count>,
}

#[derive(Debug, Default)]
struct Count {
    calls: u64,
    uploads: u64,
    message_bytes: u64,
    members: HashMap<MemberPath, u64>,
}

/// One call's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    who: Who,
    member: Option<MemberPath>,
    kind: Kind,
    /// What this call's message has, and what of it is shared.
    message_bytes: Mutex<(u64, u64)>,
}

impl Places {
    /// So many calls at a time for each organisation.
    pub(super) fn new(streams: u64) -> Arc<Self> {
        Arc::new(Self { streams, counts: Mutex::default() })
    }

    /// A place for a call of this peer, until it is dropped.
    pub(super) fn take(self: &Arc<Self>, peer: &Peer, kind: Kind) -> Result<Place, NoPlace> {
        let member = peer.subject().map(|subject| match subject {
            Subject::Operator => MemberPath::operator(),
            Subject::Member { path, .. } => path.clone(),
        });
        let who = match &member {
            Some(member) => Who::Organisation(member.organisation.clone()),
            None => Who::Strangers(network(peer.address.ip())),
        };
        let mut counts = self.counts();
        let none = Count::default();
        let count = counts.callers.get(&who).unwrap_or(&none);
        match &member {
            None if count.calls >= STRANGER_CALLS_MAX => return Err(NoPlace::Strangers),
            None => {}
            Some(member) => self.may_call(count, member, kind)?,
        }
        let count = counts.callers.entry(who.clone()).or_default();
        count.calls += 1;
        count.uploads += u64::from(kind == Kind::Upload);
        if let Some(member) = &member {
            *count.members.entry(member.clone()).or_default() += 1;
        }
        drop(counts);
        Ok(Place { places: self.clone(), who, member, kind, message_bytes: Mutex::default() })
    }

    fn may_call(&self, count: &Count, member: &MemberPath, kind: Kind) -> Result<(), NoPlace> {
        let more = |limit: u64| match kind {
            Kind::Ordinary | Kind::Upload => limit,
            Kind::Urgent => limit + limit.div_ceil(CALLS_PER_URGENT),
        };
        let own = count.members.get(member).copied().unwrap_or_default();
        let (all, half) = (more(self.streams), more(self.streams.div_ceil(2)));
        let uploads = self.streams.div_ceil(CALLS_PER_UPLOAD);
        let organisation = &member.organisation;
        quota::within(organisation, (Resource::Streams, all), count.calls, 1)?;
        quota::within(organisation, (Resource::StreamsOfOne, half), own, 1)?;
        if kind == Kind::Upload {
            quota::within(organisation, (Resource::Uploads, uploads), count.uploads, 1)?;
        }
        Ok(())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counters are never left half-changed, so a panic elsewhere does not spoil them.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether the call is an upload, whose pieces are taken as they come.
    pub(super) fn is_upload(&self) -> bool {
        self.kind == Kind::Upload
    }

    /// So many more bytes of the call's message have come.
    pub(super) fn receive(&self, bytes: u64) -> Result<(), NoPlace> {
        let mut own = self.message_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, shared) = *own;
        let to_share = (all + bytes).saturating_sub(MESSAGE_BYTES_FREE) - shared;
        let mut counts = self.places.counts();
        let total = counts.message_bytes + to_share;
        let Some(count) = counts.callers.get_mut(&self.who) else { return Ok(()) };
        let together = count.message_bytes + to_share;
        let has_room = together <= MESSAGE_BYTES_MAX && total <= MESSAGE_BYTES_TOTAL_MAX;
        if to_share > 0 && !has_room {
            return Err(NoPlace::Messages);
        }
        count.message_bytes = together;
        counts.message_bytes = total;
        *own = (all + bytes, shared + to_share);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (_, shared) = *self.message_bytes.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut counts = self.places.counts();
        counts.message_bytes = counts.message_bytes.saturating_sub(shared);
        let Some(count) = counts.callers.get_mut(&self.who) else { return };
        count.calls = count.calls.saturating_sub(1);
        count.uploads = count.uploads.saturating_sub(u64::from(self.kind == Kind::Upload));
        count.message_bytes = count.message_bytes.saturating_sub(shared);
        if let Some(member) = &self.member
            && let Some(own) = count.members.get_mut(member)
        {
            *own = own.saturating_sub(1);
            if *own == 0 {
                count.members.remove(member);
            }
        }
        // Nothing is kept of who has no call, so that the map is bounded by open calls.
        if count.calls == 0 {
            counts.callers.remove(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{Bytes, MemberId};
    use crate::domain::time::Timestamp;
    use crate::server::peer::PeerCertificate;

    fn peer(member: &str) -> Peer {
        let id = MemberId::of(&Bytes([7; 32]));
        let subject = Subject::Member { id, path: member.parse().unwrap() };
        let certificate = PeerCertificate { subject, expires_at: Timestamp::MAX };
        Peer::new(([192, 0, 2, 1], 1).into(), Some(certificate))
    }

    #[test]
    fn neither_a_member_nor_an_organisation_keeps_others_out() {
        let places = Places::new(8);
        let take = |member: &str, kind| places.take(&peer(member), kind);
        let full = |taken: Result<Place, NoPlace>| match taken {
            Err(NoPlace::Quota(over)) => Some((over.resource, over.limit)),
            Ok(_) | Err(NoPlace::Strangers | NoPlace::Messages) => None,
        };
        let (minji, hana, other) = ("hanbit-parts/minji", "hanbit-parts/hana", "orient/junho");
        let mut held: Vec<_> = (0..4).map(|_| take(minji, Kind::Ordinary).unwrap()).collect();
        assert_eq!(full(take(minji, Kind::Ordinary)), Some((Resource::StreamsOfOne, 4)), "half");
        held.push(take(minji, Kind::Urgent).unwrap());
        assert_eq!(full(take(minji, Kind::Urgent)), Some((Resource::StreamsOfOne, 5)));
        held.push(take(hana, Kind::Upload).unwrap());
        assert_eq!(full(take(hana, Kind::Upload)), Some((Resource::Uploads, 1)));
        held.extend((0..2).map(|_| take(hana, Kind::Ordinary).unwrap()));
        assert_eq!(full(take(hana, Kind::Ordinary)), Some((Resource::Streams, 8)));
        held.extend((0..2).map(|_| take(hana, Kind::Urgent).unwrap()));
        assert_eq!(full(take("hanbit-parts/sun", Kind::Urgent)), Some((Resource::Streams, 10)));
        held.push(take(other, Kind::Ordinary).unwrap());
        held.clear();
        assert!(places.counts().callers.is_empty(), "nothing is kept of who left");
    }

    #[test]
    fn strangers_have_few_places_a_network() {
        let places = Places::new(8);
        let from = |last: u8| Peer::new(([192, 0, 2, last], 1).into(), None);
        let take = |last| places.take(&from(last), Kind::Ordinary);
        let held: Vec<_> = (0..STRANGER_CALLS_MAX).map(|_| take(1).unwrap()).collect();
        assert!(matches!(take(1), Err(NoPlace::Strangers)));
        take(2).unwrap();
        drop(held);
        take(1).unwrap();
    }

    #[test]
    fn large_messages_share_what_there_is_and_small_ones_always_pass() {
        let places = Places::new(1_000);
        let place = |member: &str| places.take(&peer(member), Kind::Urgent).unwrap();
        let large = MESSAGE_BYTES_FREE + (8 << 20);
        let take = |member: &str| {
            let place = place(member);
            place.receive(large).map(|()| place)
        };
        let mut held: Vec<_> = (0..4).map(|_| take("hanbit-parts/minji").unwrap()).collect();
        assert!(matches!(take("hanbit-parts/minji"), Err(NoPlace::Messages)));
        for other in ["b/x", "c/x", "d/x"] {
            held.extend((0..4).map(|_| take(other).unwrap()));
        }
        assert!(matches!(take("e/x"), Err(NoPlace::Messages)), "in total");
        let small = place("hanbit-parts/minji");
        small.receive(MESSAGE_BYTES_FREE).unwrap();
        small.receive(1).unwrap_err();
        held.pop();
        small.receive(0).unwrap();
        take("e/x").unwrap();
        drop((held, small));
        assert_eq!(places.counts().message_bytes, 0);
    }
}
