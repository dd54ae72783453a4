//! Who may still come in: counts connections in total, without a certificate, and per network.
//!
//! What is over a limit is turned away at once instead of queueing: a queue would be the
//! attacker's, and members would stand in it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::server::accept::Limits;

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
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    anonymous: usize,
    networks: HashMap<IpAddr, usize>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    network: IpAddr,
    anonymous: bool,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
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
        drop(counts);
        Ok(Permit { admission: self.clone(), network, anonymous: false })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counters are never left half-changed, so a panic elsewhere does not spoil them.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Counts this connection among those without a client certificate as well.
    pub(super) fn make_anonymous(&mut self) -> Result<(), Full> {
        let mut counts = self.admission.counts();
        if counts.anonymous >= self.admission.limits.anonymous_max {
            return Err(Full::Anonymous);
        }
        if !self.anonymous {
            counts.anonymous += 1;
            self.anonymous = true;
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.total = counts.total.saturating_sub(1);
        counts.anonymous = counts.anonymous.saturating_sub(usize::from(self.anonymous));
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
        first.make_anonymous().unwrap();
        assert_eq!(second.make_anonymous(), Err(Full::Anonymous));
        let more = [admission.admit(at(2)).unwrap(), admission.admit(at(3)).unwrap()];
        assert_eq!(admission.admit(at(4)).map(drop), Err(Full::Total));
        drop(first);
        second.make_anonymous().unwrap();
        drop((second, more));
        let counts = admission.counts();
        assert_eq!((counts.total, counts.anonymous, counts.networks.len()), (0, 0, 0));
    }
}
