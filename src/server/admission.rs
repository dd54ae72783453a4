//! Who may still come in: counts connections in total, without a certificate, and per network.
//!
//! What is over a limit is turned away at once instead of queueing: a queue would be the
//! attacker's, and members would stand in it. Only handshakes of one network wait for each other,
//! each in its place.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;

use crate::server::accept::Limits;
use crate::server::turns::Turns;

/// How long a connection without a certificate keeps its place whoever else comes: long enough to
/// join.
const STRANGER_MIN: Duration = Duration::from_secs(5);

/// Why a connection was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// In total.
    #[error("the limit on connections is reached")]
    Total,
    /// From one address, or one IPv6 /64.
    #[error("the limit on connections from one network is reached")]
    Network,
    /// Without a client certificate.
    #[error("the limit on connections without a client certificate is reached")]
    Anonymous,
}

/// The counters. Cheap to lock: nothing waits while holding them.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    counts: Mutex<Counts>,
    /// Connections that have a place.
    pub(super) open: Gauge,
    /// Of these, those without a client certificate.
    pub(super) anonymous: Gauge,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    admitted: u64,
    /// Without a certificate, in the order in which they came.
    strangers: BTreeMap<u64, Stranger>,
    networks: HashMap<IpAddr, usize>,
    turns: Turns,
}

#[derive(Debug)]
struct Stranger {
    since: Instant,
    has_to_go: Arc<AtomicBool>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    network: IpAddr,
    stranger: Option<u64>,
    has_to_go: Arc<AtomicBool>,
    is_flood: bool,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let (open, anonymous) = (Gauge::default(), Gauge::default());
        Arc::new(Self { limits, counts: Mutex::default(), open, anonymous })
    }

    /// A place for a connection from this address, until the permit is dropped.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Full> {
        let network = network(address);
        let mut counts = self.counts();
        if counts.total >= self.limits.connections_max {
            return Err(Full::Total);
        }
        let here = counts.networks.entry(network).or_default();
        if *here >= self.limits.connections_per_network_max {
            return Err(Full::Network);
        }
        *here += 1;
        counts.total += 1;
        self.open.inc();
        drop(counts);
        let admission = self.clone();
        let has_to_go = Arc::default();
        Ok(Permit { admission, network, stranger: None, has_to_go, is_flood: false })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counters are never left half-changed, so a panic elsewhere does not spoil them.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Counts this connection among those without a client certificate as well. Where there are
    /// too many the oldest has to go: who only sits there keeps nobody from joining.
    pub(super) fn make_anonymous(&mut self, now: Instant) -> Result<(), Full> {
        let mut counts = self.admission.counts();
        if counts.strangers.len() >= self.admission.limits.anonymous_max {
            let oldest = counts.strangers.first_entry();
            let may_stay = |one: &Stranger| now.saturating_duration_since(one.since) < STRANGER_MIN;
            match oldest {
                Some(oldest) if !may_stay(oldest.get()) => {
                    oldest.remove().has_to_go.store(true, Ordering::Relaxed);
                }
                Some(_) | None => return Err(Full::Anonymous),
            }
        }
        counts.admitted += 1;
        let number = counts.admitted;
        let has_to_go = self.has_to_go.clone();
        counts.strangers.insert(number, Stranger { since: now, has_to_go });
        self.admission.anonymous.inc();
        self.stranger = Some(number);
        Ok(())
    }

    /// How long this connection's handshake has to wait for its network's turn.
    pub(super) fn turn(&self, now: Instant) -> Duration {
        self.admission.counts().turns.take(self.network, now)
    }

    /// This connection is cut off as a flood: whoever comes next from its network waits.
    pub(super) fn flooded(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_flood, true) {
            self.admission.counts().turns.flooded(self.network, now);
        }
    }

    /// Whether another has this place by now.
    pub(super) fn has_to_go(&self) -> bool {
        self.has_to_go.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.total = counts.total.saturating_sub(1);
        self.admission.open.dec();
        if let Some(number) = self.stranger {
            counts.strangers.remove(&number);
            self.admission.anonymous.dec();
        }
        // An entry at zero is removed, so that the map is bounded by open connections.
        if let Entry::Occupied(mut here) = counts.networks.entry(self.network) {
            match here.get() {
                0 | 1 => drop(here.remove()),
                _ => *here.get_mut() -= 1,
            }
        }
    }
}

/// One IPv4 address, or the /64 that one subscriber of IPv6 has to himself.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Arc<Admission> {
        Admission::new(Limits {
            connections_max: 4,
            connections_per_network_max: 2,
            anonymous_max: 1,
            ..Limits::default()
        })
    }

    #[test]
    fn networks_are_ipv4_addresses_and_ipv6_subscribers() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2:3:4:5", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let admission =
                Admission::new(Limits { connections_per_network_max: 1, ..Limits::default() });
            let _first = admission.admit(one.parse().unwrap()).unwrap();
            let second = admission.admit(other.parse().unwrap()).map(drop);
            assert_eq!(second, if same { Err(Full::Network) } else { Ok(()) }, "{one} {other}");
        }
    }

    #[test]
    fn every_place_is_given_back_and_nothing_is_kept_of_who_left() {
        let admission = admission();
        let at = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut first = admission.admit(at(1)).unwrap();
        let mut second = admission.admit(at(1)).unwrap();
        assert_eq!(admission.admit(at(1)).map(drop), Err(Full::Network));
        let now = Instant::now();
        first.make_anonymous(now).unwrap();
        assert_eq!(second.make_anonymous(now), Err(Full::Anonymous));
        let more = [admission.admit(at(2)).unwrap(), admission.admit(at(3)).unwrap()];
        assert_eq!(admission.admit(at(4)).map(drop), Err(Full::Total));
        drop(first);
        second.make_anonymous(now).unwrap();
        drop((second, more));
        let counts = admission.counts();
        assert_eq!((counts.total, counts.strangers.len(), counts.networks.len()), (0, 0, 0));
        assert_eq!((admission.open.get(), admission.anonymous.get()), (0, 0));
    }

    #[test]
    fn a_flood_delays_its_network_once_and_no_other() {
        let admission = Admission::new(Limits::default());
        let at = |last: u8| admission.admit(IpAddr::from([192, 0, 2, last])).unwrap();
        let now = Instant::now();
        let mut flood = at(1);
        assert_eq!(flood.turn(now), Duration::ZERO);
        flood.flooded(now);
        flood.flooded(now);
        drop(flood);
        assert_eq!(at(1).turn(now), Duration::from_secs(1), "remembered when it has left");
        assert_eq!(at(2).turn(now), Duration::ZERO);
    }

    #[test]
    fn a_stranger_who_stays_makes_room_for_one_who_comes() {
        let admission = admission();
        let at = |last: u8| admission.admit(IpAddr::from([192, 0, 2, last])).unwrap();
        let (mut first, mut second) = (at(1), at(2));
        let now = Instant::now();
        first.make_anonymous(now).unwrap();
        let soon = now + STRANGER_MIN - Duration::from_millis(1);
        assert_eq!(second.make_anonymous(soon), Err(Full::Anonymous), "it may be joining");
        assert!(!first.has_to_go());
        second.make_anonymous(now + STRANGER_MIN).unwrap();
        assert!(first.has_to_go() && !second.has_to_go());
        drop(first);
        assert_eq!(admission.counts().strangers.len(), 1, "a place is given back once");
    }
}
