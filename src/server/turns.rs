//! When a network's next handshake has its turn.
//!
//! A handshake costs about a millisecond before the vault knows who is there, and a flood another
//! before it is cut off. Whoever was cut off would be back at once. Nobody is refused here, since
//! many people may be behind one address: who comes too often from there waits, and who comes
//! after a flood waits longer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Handshakes of one network that need not wait for each other. More than half of an office of a
/// hundred people may come at once, as after a restart, and the rest within two seconds.
const HANDSHAKES_AT_ONCE: u32 = 64;
/// Time between handshakes of one network from then on. In that office everybody may run a script
/// with a command every five seconds, all day, without one waiting for another; and a network
/// whose every handshake is hostile takes a fiftieth of one core.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long a network's next handshake waits after a flood from there; doubled with every flood
/// that follows. The longest is less than half of what clients wait for a handshake, so colleagues
/// of somebody whose machine was taken over still come in.
const DELAY_MIN: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(4);
/// How long a flood is remembered.
const MEMORY: Duration = Duration::from_secs(60);
/// Networks that something is known of.
const NETWORKS_MAX: usize = 4_096;

/// How far a network may be ahead of its interval.
const AHEAD: Duration = INTERVAL.saturating_mul(HANDSHAKES_AT_ONCE - 1);

/// Everybody's turns.
#[derive(Debug, Default)]
pub(super) struct Turns(HashMap<IpAddr, Network>);

#[derive(Debug, Clone, Copy)]
struct Network {
    /// When all its handshakes so far are paid for, an interval each.
    even_at: Instant,
    /// The last flood from there, and how long handshakes waited after it.
    flood: Option<(Instant, Duration)>,
}

impl Turns {
    /// How long this network's next handshake has to wait. It counts as made.
    pub(super) fn take(&mut self, network: IpAddr, now: Instant) -> Duration {
        let here = self.of(network, now);
        let at = here.even_at.max(now);
        here.even_at = at + INTERVAL;
        at.saturating_duration_since(now).saturating_sub(AHEAD)
    }

    /// Somebody from this network was cut off as a flood.
    pub(super) fn flooded(&mut self, network: IpAddr, now: Instant) {
        let here = self.of(network, now);
        let delay = match here.flood.filter(|_| here.remembers_flood(now)) {
            Some((_, before)) => (before * 2).min(DELAY_MAX),
            None => DELAY_MIN,
        };
        here.flood = Some((now, delay));
        here.even_at = here.even_at.max(now + delay + AHEAD);
    }

    fn of(&mut self, network: IpAddr, now: Instant) -> &mut Network {
        if self.0.len() >= NETWORKS_MAX && !self.0.contains_key(&network) {
            self.0.retain(|_, one| one.even_at > now || one.remembers_flood(now));
            self.forget_one();
        }
        self.0.entry(network).or_insert(Network { even_at: now, flood: None })
    }

    /// Where all are worth remembering, the one that is even soonest has to go.
    fn forget_one(&mut self) {
        if self.0.len() < NETWORKS_MAX {
            return;
        }
        let soonest = self.0.iter().min_by_key(|(_, one)| one.even_at);
        if let Some(network) = soonest.map(|(network, _)| *network) {
            self.0.remove(&network);
        }
    }
}

impl Network {
    fn remembers_flood(&self, now: Instant) -> bool {
        self.flood.is_some_and(|(at, _)| now.saturating_duration_since(at) < MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[derive(Clone, Copy)]
    enum Does {
        /// So many handshakes, of which the last has to wait so long, in milliseconds.
        Comes(u32, u64),
        Floods,
        /// So many milliseconds pass.
        Waits(u64),
    }

    #[test]
    fn who_comes_too_often_waits_and_who_floods_waits_longer() {
        use Does::{Comes, Floods, Waits};
        for (what, story) in [
            ("one alone", vec![Comes(1, 0)]),
            ("many at once", vec![Comes(64, 0), Comes(1, 50), Comes(1, 100)]),
            ("an office after a restart", vec![Comes(100, 1_800)]),
            (
                "an office at work",
                [Comes(20, 0), Waits(1_000)].into_iter().cycle().take(600).collect(),
            ),
            ("too many, and then a pause", vec![Comes(100, 1_800), Waits(5_000), Comes(64, 0)]),
            ("after a flood", vec![Comes(1, 0), Floods, Comes(1, 1_000), Comes(1, 1_050)]),
            ("a while after a flood", vec![Floods, Waits(990), Comes(1, 10)]),
            ("later after a flood", vec![Floods, Waits(1_000), Comes(1, 0), Comes(1, 50)]),
            ("long after a flood", vec![Floods, Waits(10_000), Comes(64, 0)]),
            (
                "flood after flood",
                vec![
                    Floods,
                    Comes(1, 1_000),
                    Waits(1_000),
                    Floods,
                    Comes(1, 2_000),
                    Waits(2_000),
                    Floods,
                    Comes(1, 4_000),
                    Waits(4_000),
                    Floods,
                    Comes(1, 4_000),
                ],
            ),
            ("floods at once", vec![Floods, Floods, Comes(1, 2_000)]),
            ("a flood that is remembered", vec![Floods, Waits(59_999), Floods, Comes(1, 2_000)]),
            ("a flood that is forgotten", vec![Floods, Waits(60_000), Floods, Comes(1, 1_000)]),
        ] {
            let (mut turns, mut now) = (Turns::default(), Instant::now());
            for does in story {
                match does {
                    Waits(millis) => now += Duration::from_millis(millis),
                    Floods => turns.flooded(HERE, now),
                    Comes(count, millis) => {
                        let waits = (0..count).map(|_| turns.take(HERE, now)).max();
                        assert_eq!(waits, Some(Duration::from_millis(millis)), "{what}");
                    }
                }
            }
            let other = IpAddr::from([192, 0, 2, 2]);
            assert_eq!(turns.take(other, now), Duration::ZERO, "{what}, elsewhere");
        }
    }

    #[test]
    fn what_is_known_of_networks_is_bounded_and_the_worst_is_kept_longest() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let other = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        turns.flooded(HERE, now);
        for number in 0..2 * NETWORKS_MAX {
            turns.take(other(number), now);
            assert!(turns.0.len() <= NETWORKS_MAX);
        }
        assert_eq!(turns.take(HERE, now), DELAY_MIN, "a flood outlasts what is even sooner");
        turns.take(other(3 * NETWORKS_MAX), now + MEMORY);
        assert_eq!(turns.0.len(), 1, "what has no consequence is forgotten when there is no room");
    }
}
