//! Rounds by a clock that is set by hand, with authorities that are real, silent, or lie.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::rounds::again_after;
use super::*;
use crate::crypto::keyring::Keyring;
use crate::crypto::timestamp::{Authority, Hash, Imprint, request, verify_chain};
use crate::domain::time::{Span, Timestamp};
use crate::server::ca;
use crate::server::timestamper;

const DAY: Span = Span::days(1);

/// A clock that is set by hand.
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

impl Hand {
    fn goes_on(&self, span: Span) {
        let mut now = self.0.lock().unwrap();
        *now = now.after(span);
    }
}

/// How an authority behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Honest,
    Silent,
    /// What it answered first, again and again.
    Replays,
    OtherDigest,
    OtherNonce,
    OtherRoot,
    Garbage,
    Nothing,
    Yesterday,
    Tomorrow,
    Rejects,
}

/// An authority with a CA of its own.
struct Bureau {
    whose: Whose,
    clock: Arc<Hand>,
    how: Mutex<How>,
    office: Mutex<(ca::Authority, Authority)>,
    first: Mutex<Option<Vec<u8>>>,
    policy: Option<Policy>,
    keys: TempDir,
}

fn office(dir: &Path, now: Timestamp) -> (ca::Authority, Authority) {
    let ca = ca::Authority::create("bureau", now).unwrap();
    let taken = timestamper::take_up(&Keyring::at(dir), &ca, now).unwrap();
    (ca, taken.authority)
}

impl Bureau {
    fn new(whose: Whose, clock: &Arc<Hand>, policy: Option<&str>) -> Arc<Self> {
        let keys = tempfile::tempdir().unwrap();
        // Since a while ago.
        let since = Timestamp::from_millis(clock.now().as_millis() - 2 * 86_400_000);
        let office = Mutex::new(office(keys.path(), since));
        let policy = policy.map(|policy| policy.parse().unwrap());
        let (how, first, clock) = (Mutex::new(How::Honest), Mutex::default(), Arc::clone(clock));
        Arc::new(Self { whose, clock, how, office, first, policy, keys })
    }

    fn behaves(&self, how: How) {
        *self.how.lock().unwrap() = how;
    }

    /// Has another key of another CA from now on.
    fn renews_itself(&self) {
        *self.office.lock().unwrap() = office(self.keys.path(), self.clock.now());
    }
}

#[tonic::async_trait]
impl Source for Bureau {
    fn whose(&self) -> Whose {
        self.whose
    }

    fn cas(&self) -> Vec<Vec<u8>> {
        vec![self.office.lock().unwrap().0.certificate().to_vec()]
    }

    fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    async fn answer(&self, asked: Vec<u8>) -> Result<Vec<u8>, String> {
        let (how, now) = (*self.how.lock().unwrap(), self.clock.now());
        let office = self.office.lock().unwrap();
        let other = Imprint::of(Hash::Sha256, b"another");
        let answer = |asked: &[u8], at| answered(&office.1, asked, at);
        let millis = now.as_millis();
        Ok(match how {
            How::Honest => answer(&asked, now),
            How::Silent => return Err("nobody is there".to_owned()),
            How::Replays => {
                self.first.lock().unwrap().get_or_insert_with(|| answer(&asked, now)).clone()
            }
            How::OtherDigest => answer(&request(&other, Some(&[7; 8]), true), now),
            How::OtherNonce => {
                let newest = Imprint::of(Hash::Sha256, newest(1).checkpoint.as_bytes());
                answer(&request(&newest, Some(&[7; 8]), true), now)
            }
            How::OtherRoot => {
                let elsewhere = tempfile::tempdir().unwrap();
                let (_, authority) = super::tests::office(elsewhere.path(), now);
                answered(&authority, &asked, now)
            }
            How::Garbage => vec![0x30; 500],
            How::Nothing => Vec::new(),
            How::Yesterday => answer(&asked, Timestamp::from_millis(millis - 86_400_000)),
            How::Tomorrow => answer(&asked, now.after(DAY)),
            How::Rejects => answer(b"no request", now),
        })
    }
}

fn newest(size: u64) -> Newest {
    let checkpoint = format!("vault.example/1\n{size}\nroot\n\n— vault.example/1 AAAA\n");
    Newest { stamped: Stamped { generation: 1, size }, checkpoint }
}

struct World {
    dir: TempDir,
    clock: Arc<Hand>,
    own: Arc<Bureau>,
    external: Arc<Bureau>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(Mutex::new("2026-03-02T09:00:00.000Z".parse().unwrap())));
        let own = Bureau::new(Whose::Own, &clock, None);
        let external = Bureau::new(Whose::External, &clock, None);
        Self { dir, clock, own, external }
    }

    fn shelf(&self) -> Shelf {
        Shelf::at(&self.dir.path().join("stamps"))
    }

    /// Rounds of a process that has just begun.
    fn rounds(&self) -> Rounds {
        let schedule = Schedule { every: DAY, within: Span::days(730) };
        let sources: Vec<Arc<dyn Source>> = vec![self.own.clone(), self.external.clone()];
        let clock: Arc<dyn Clock> = self.clock.clone();
        Rounds::new(self.shelf(), schedule, clock, sources, StampMeasures::default())
    }

    /// What is on the shelf, as names with how many time-stamps of either authority.
    fn kept(&self) -> Vec<(u64, usize, usize)> {
        let all = self.shelf().all().unwrap();
        let counted = all.into_iter().map(|stamped| {
            let kept = self.shelf().read(stamped).unwrap();
            for links in kept.chains.values() {
                verify_chain(kept.checkpoint.as_bytes(), links, None).unwrap();
            }
            let count = |whose| kept.chains.get(&whose).map_or(0, Vec::len);
            (stamped.size, count(Whose::Own), count(Whose::External))
        });
        counted.collect()
    }
}

#[tokio::test]
async fn the_newest_checkpoint_is_stamped_once_in_a_while_if_the_log_has_grown() {
    let world = World::new();
    let mut rounds = world.rounds();
    let (minute, almost_a_day) = (Span::seconds(60), Span::seconds(86_400 - 60));
    let mut expected = Vec::new();
    for (later, size, restarts, is_stamped, why) in [
        (Span::seconds(0), 1, false, true, "there is none"),
        (minute, 2, false, false, "the last is young"),
        (Span::seconds(0), 2, true, false, "and a restart makes it no older"),
        (almost_a_day, 2, false, true, "a day has passed"),
        (DAY, 2, false, false, "the log has not grown"),
        (DAY, 2, true, false, "nor by a restart"),
        (minute, 9, false, true, "it has, and the last is old"),
        (DAY, 10, true, true, "at start if the last is old"),
    ] {
        if restarts {
            rounds = world.rounds();
        }
        world.clock.goes_on(later);
        let told = rounds.round(Some(&newest(size))).await;
        let kept = told.iter().filter(|told| matches!(told, Told::Kept { .. })).count();
        assert_eq!((kept, told.len()), (2 * usize::from(is_stamped), kept), "{why}: {told:?}");
        if is_stamped {
            expected.push((size, 1, 1));
        }
        assert_eq!(world.kept(), expected, "{why}");
        assert!(
            rounds.round(None).await.is_empty(),
            "{why}: without a checkpoint there is nothing"
        );
    }
    // What is stamped is exactly what is kept.
    let kept = world.shelf().read(Stamped { generation: 1, size: 9 }).unwrap();
    assert_eq!(kept.checkpoint, newest(9).checkpoint);
}

#[tokio::test]
async fn an_authority_that_lies_or_is_silent_leaves_nothing_and_holds_up_no_other() {
    for (how, says) in [
        (How::Silent, "has not answered: nobody is there"),
        (How::Replays, "has answered another request"),
        (How::OtherNonce, "has answered another request"),
        (How::OtherDigest, "time-stamp of another document"),
        (How::OtherRoot, "not certified by a CA that is pinned"),
        (How::Garbage, "not a time-stamp token"),
        (How::Nothing, "not a time-stamp token"),
        (How::Yesterday, "its token is of 2026-03-01"),
        (How::Tomorrow, "its token is of 2026-03-03"),
        (How::Rejects, "gave no token"),
    ] {
        let world = World::new();
        world.external.behaves(how);
        let mut rounds = world.rounds();
        if how == How::Replays {
            // Its first answer is a good one; what it is worth later, nothing.
            world.external.answer(first_request()).await.unwrap();
        }
        // Asked again after one minute, two, four: not in between.
        for (later, is_asked) in [(0, true), (59, false), (1, true), (119, false), (1, true)] {
            world.clock.goes_on(Span::seconds(later));
            let told = rounds.round(Some(&newest(1))).await;
            let why: Vec<_> = told.iter().filter_map(failure).collect();
            assert_eq!(why.len(), usize::from(is_asked), "{how:?}: {told:?}");
            assert!(why.iter().all(|why| why.contains(says)), "{how:?}: {why:?}");
            assert_eq!(world.kept(), [(1, 1, 0)], "{how:?}");
        }
        // Somebody is in a hurry, and it is honest again: the newest is stamped.
        world.external.behaves(How::Honest);
        assert!(rounds.round(Some(&newest(2))).await.is_empty(), "{how:?}");
        rounds.hurry();
        let told = rounds.round(Some(&newest(2))).await;
        assert!(matches!(told[..], [Told::Kept { whose: Whose::External, .. }]), "{told:?}");
        assert_eq!(world.kept(), [(1, 1, 0), (2, 0, 1)], "{how:?}");
        let names = fs::read_dir(world.shelf().place(Stamped { generation: 1, size: 1 })).unwrap();
        assert_eq!(names.count(), 3, "{how:?}: a checkpoint, a token, a CA");
    }
}

fn first_request() -> Vec<u8> {
    let imprint = Imprint::of(Hash::Sha256, newest(1).checkpoint.as_bytes());
    request(&imprint, Some(&[1; 8]), true)
}

fn failure(told: &Told) -> Option<&String> {
    match told {
        Told::Failed { why, .. } => Some(why),
        Told::Kept { .. } | Told::Renewed(_) | Told::NothingGained { .. } | Told::Damaged(_) => {
            None
        }
    }
}

#[tokio::test]
async fn a_token_under_another_policy_than_is_asked_for_does_not_count() {
    let mut world = World::new();
    for (policy, says) in [
        // Ours is refused by an authority that has no such policy.
        ("1.2.3.4.1", Some("gave no token")),
        (crate::crypto::timestamp::POLICY, None),
    ] {
        world.external = Bureau::new(Whose::External, &world.clock, Some(policy));
        let told = world.rounds().round(Some(&newest(1))).await;
        let why = told.iter().find_map(failure);
        assert_eq!(why.is_some_and(|why| why.contains(says.unwrap_or("x"))), says.is_some());
    }
    assert_eq!(world.kept(), [(1, 1, 1)]);
}

#[test]
fn who_fails_is_asked_twice_as_late_each_time_and_at_least_four_times_a_day() {
    let seconds: Vec<_> = [0, 1, 2, 8, 9, 63, 64, u32::MAX]
        .map(|failures| again_after(failures).as_duration().as_secs())
        .into();
    assert_eq!(seconds, [60, 120, 240, 15_360, 21_600, 21_600, 21_600, 21_600]);
}

#[tokio::test]
async fn what_comes_near_its_end_is_renewed_while_it_verifies_and_the_chain_lasts_for_decades() {
    let world = World::new();
    let within = Span::days(730);
    for size in [1, 2, 3] {
        world.rounds().round(Some(&newest(size))).await;
        world.clock.goes_on(DAY);
    }
    assert_eq!(world.kept(), [(1, 1, 1), (2, 1, 1), (3, 1, 1)]);
    let renew = async |bureau: &Arc<Bureau>| {
        renew_all(&**bureau, &world.shelf(), &*world.clock, within).await
    };
    let is_renewed = |told: &[Told], number: usize| {
        let expected: Vec<_> = told
            .iter()
            .filter(|told| matches!(told, Told::Renewed(renewed) if renewed.number == number))
            .collect();
        (expected.len(), told.len())
    };
    assert!(renew(&world.own).await.is_empty(), "nothing is to be renewed for years");
    // The authority's certificate lasts ten years.
    world.clock.goes_on(Span::days(8 * 365));
    let told = renew(&world.own).await;
    assert!(matches!(told[..], [Told::NothingGained { whose: Whose::Own, .. }]), "{told:?}");
    world.external.behaves(How::Silent);
    world.external.renews_itself();
    let told = renew(&world.external).await;
    assert!(matches!(told[..], [Told::Failed { .. }]), "it is left in peace: {told:?}");
    assert_eq!(world.kept(), [(1, 1, 1), (2, 1, 1), (3, 1, 1)]);
    world.external.behaves(How::Honest);
    assert_eq!(is_renewed(&renew(&world.external).await, 2), (3, 3));
    assert!(renew(&world.external).await.is_empty(), "once");
    // Rounds do the same, and what was not renewed in time is told.
    let told = world.rounds().round(None).await;
    assert!(matches!(told[..], [Told::NothingGained { whose: Whose::Own, .. }]), "{told:?}");
    world.clock.goes_on(Span::days(3 * 365));
    world.own.renews_itself();
    let told = world.rounds().round(None).await;
    let late =
        told.iter().filter(|told| matches!(told, Told::Damaged(what) if what.contains("own")));
    assert_eq!((late.count(), told.len()), (3, 3), "{told:?}");
    for (number, years) in [(3, 6), (4, 9), (5, 9)] {
        world.clock.goes_on(Span::days(years * 365));
        world.external.renews_itself();
        assert_eq!(is_renewed(&renew(&world.external).await, number), (3, 3));
    }
    assert_eq!(world.kept(), [(1, 1, 5), (2, 1, 5), (3, 1, 5)]);
    let kept = world.shelf().read(Stamped { generation: 1, size: 2 }).unwrap();
    let links = &kept.chains[&Whose::External];
    let stamps = verify_chain(kept.checkpoint.as_bytes(), links, Some(world.clock.now())).unwrap();
    assert_eq!(stamps[0].at.to_string(), "2026-03-03T09:00:00.000Z");
    assert!(stamps[4].at.since(stamps[0].at) > Span::days(28 * 365));
}

#[tokio::test]
async fn what_is_damaged_on_the_shelf_is_named_and_never_replaced_nor_renewed() {
    let world = World::new();
    for size in [1, 2] {
        world.rounds().round(Some(&newest(size))).await;
        world.clock.goes_on(DAY);
    }
    let place = world.shelf().place(Stamped { generation: 1, size: 2 });
    let whole = |name: &str| fs::read(place.join(name)).unwrap();
    let flipped = |name: &str| {
        let mut bytes = whole(name);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    world.clock.goes_on(Span::days(8 * 365));
    world.own.renews_itself();
    for (name, content) in [
        ("own-1.tsr", flipped("own-1.tsr")),
        ("own-1.tsr", Vec::new()),
        ("own-1.tsr", whole("external-1.tsr")),
        ("own-1.pem", whole("external-1.pem")),
        ("own-1.pem", b"no certificate".to_vec()),
        ("checkpoint", flipped("checkpoint")),
        ("checkpoint", newest(1).checkpoint.into_bytes()),
    ] {
        let before = whole(name);
        fs::write(place.join(name), &content).unwrap();
        let told = renew_all(&*world.own, &world.shelf(), &*world.clock, Span::seconds(0)).await;
        let [Told::Damaged(what)] = &told[..] else { panic!("{name}: {told:?}") };
        assert!(what.contains("1-2"), "{name}: {what}");
        assert_eq!(whole(name), content, "{name}");
        fs::write(place.join(name), before).unwrap();
    }
    // Another checkpoint of the same size.
    let mut other = newest(2);
    other.checkpoint = other.checkpoint.replace("root", "fork");
    let link = world.shelf().read(other.stamped).unwrap().chains[&Whose::Own][0].clone();
    let kept = world.shelf().keep(other.stamped, &other.checkpoint, (Whose::Own, 2), &link);
    assert!(matches!(kept, Err(ShelfFault::Damaged { .. })), "{kept:?}");
    let kept = world.shelf().keep(other.stamped, &newest(2).checkpoint, (Whose::Own, 1), &link);
    assert!(matches!(kept, Err(ShelfFault::File(_))), "what is kept stays: {kept:?}");
    assert_eq!(world.kept(), [(1, 1, 1), (2, 1, 1)]);
}
