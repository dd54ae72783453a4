//! What six members of four organisations, and a stranger, can do about two deposits and two
//! requests, in every order (crate `stateright`): the real `decide` and `apply`, beside a short
//! account of what they ought to do ([`Expected`]). At each moment every step is tried; one that is
//! accepted and ought not to be, or refused and ought to be taken, or that leaves a request elsewhere
//! than expected, is found, with a way to it. Promises 2, 3, 5 and 6 are asked of the records besides
//! ([`promises`]).
//!
//! Tried is what [`steps`] lists. Nothing is deposited, acknowledged or time-stamped there, nobody is
//! reminded, joins or ends the agreement. And it is tried ([`Expected::is_within`]) within bounds:
//!
//! * a clock that stands at [`HOURS`]; one request a rule, asked for before it first moves;
//! * one objection to a request, not raised again once it was taken back; one amendment; one member,
//!   dana, whose keys are lost;
//! * sora, who can do all that dana can, does it once dana is out, and nothing before but revoke;
//! * a request is notified once, and either seen or notified, unless it is under the amended terms,
//!   where only a sight reviews it;
//! * one of three statements is signed and held back at a time; the last accepted one alone is repeated;
//! * whatever could change a request is tried the moment that it ends, and a few things afterwards;
//!   what may be fetched as often as one likes is fetched once.
//!
//! There are four kinds of trouble: keys lost, an amendment, an objection, and a statement that is held
//! back. The normal test makes two searches. Of two requests each kind comes by itself, beside
//! everything that goes well; of the bankruptcy alone all four come together. In both keys are lost by
//! the clock's second mark, amendments proposed before it. `ESCROW_MODEL=together` has keys lost, an
//! amendment and an objection come together of two requests, by the same marks, with nothing held back;
//! `ESCROW_MODEL=whole` any two of the four kinds, at any mark. What no search has is all four kinds
//! beside two requests. Each is exhausted within its bounds, with no limit of depth, count or time. What
//! makes two moments one is told in [`view`].

mod expected;
mod moment;
mod mutants;
mod promises;
mod reached;
mod steps;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;
use stateright::report::{ReportData, ReportDiscovery, Reporter};
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model, Property};

use self::expected::Expected;
use self::moment::Moment;
use self::mutants::Mutant;
use self::promises::{NEVER_ONE, OBJECTION_BEATS, OPENABLE, UNMOVED};
use self::steps::{Act, Step};
use crate::domain::states::{Key, States};
use crate::domain::terms::Terms;
use crate::domain::tests::scenario::{DANA, EVE, KENJI, MINJI, SORA, YUKI};
use crate::domain::tests::terms::{terms, three_party};
use crate::domain::tests::world::World;
use crate::domain::time::Span;

/// The arbiter, who holds a share and consents as well.
const HANA: &str = "seoul-arbiters/hana";
/// What may be asked for, and under which rule.
const RULES: [&str; 2] = ["joint", "bankruptcy"];
/// When things happen, in hours from the beginning. Between two marks everything is done at once.
const HOURS: [u64; 4] = [0, 5 * 24, 10 * 24 + 1, 62 * 24];
const NOTICE_HOURS: u64 = 10 * 24;
const VOTE_HOURS: u64 = 8 * 24;
const EXPIRES_HOURS: u64 = 60 * 24;
/// How long a statement that is held back is good.
const GOOD_HOURS: u64 = 6 * 24;
/// At which mark dana's keys are stolen.
const STOLEN_AT: usize = 1;

fn hours(hours: u64) -> Span {
    Span::seconds(hours * 60 * 60)
}

/// How many marks are still to come until so much time has passed; all and one more, if it never has.
fn marks_until(now: usize, hours: u64) -> usize {
    let mut to_come = now..HOURS.len();
    to_come.find(|mark| HOURS[*mark] - HOURS[now] >= hours).unwrap_or(HOURS.len()) - now
}

/// Terms that use what format 2 has: nested needs and a vote that ends, or needs of distinct
/// organisations, an event that is attested, notice, and an objection that an award settles.
static TERMS: LazyLock<Terms> = LazyLock::new(|| {
    let mut written = three_party();
    written["format"] = json!(2);
    written["quorum"] = json!(3);
    written["parties"]["arbiter"] = json!(["seoul-arbiters"]);
    written["holders"] = json!(["depositor", "beneficiary", "agent", "arbiter"]);
    written["amend"] = json!({ "all": ["1@depositor", "1@agent"] });
    written["rules"] = json!([
        { "name": "joint", "requesters": ["beneficiary"],
          "needs": { "all": ["1@agent", { "at_least": 1, "of": ["1@depositor"] }] },
          "notice": "0s", "vote": "8d", "objection": [], "expires": "60d",
          "access": { "times": 1 } },
        { "name": "bankruptcy", "requesters": ["beneficiary"],
          "trigger": { "event": { "kind": "insolvency", "attested": "1@agent" } },
          "needs": { "any": ["1@agent", "1@arbiter"] }, "distinct_organisations": 2,
          "notice": "10d", "objection": ["depositor"], "settled_by": { "award": "1@arbiter" },
          "expires": "60d" },
    ]);
    terms(written)
});

/// The terms as amended: in the depositor's place the arbiter agrees, for good; of a bankruptcy no
/// consent counts before the depositor has seen it, and no award settles what it objects to.
static NEW_TERMS: LazyLock<Terms> = LazyLock::new(|| {
    let mut written = serde_json::to_value(&*TERMS).unwrap();
    written["title"] = json!("as amended");
    let [joint, bankruptcy] = written["rules"].as_array_mut().unwrap().as_mut_slice() else {
        panic!("two rules");
    };
    joint["needs"] = json!({ "all": ["1@agent", "1@arbiter"] });
    joint.as_object_mut().unwrap().remove("vote");
    bankruptcy["reviewers"] = json!(["depositor"]);
    bankruptcy.as_object_mut().unwrap().remove("settled_by");
    terms(written)
});

/// How far the search goes.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Under which of the rules something is asked for.
    asked: &'static [usize],
    /// How many of the four troubles come together.
    troubles: usize,
    /// Until which mark keys are lost; before it amendments are proposed.
    trouble_by: usize,
    /// What may be signed and held back.
    held: &'static [Act],
}

/// What may be signed and held back: what agrees; what only blocks, and what releases.
const HELD: [Act; 3] = [Act::Consent(1, DANA), Act::Object(1, MINJI), Act::Contribute(1, HANA)];

impl Bounds {
    const SMALL: Self = Self { asked: &[0, 1], troubles: 1, trouble_by: 1, held: &HELD };
    const WHOLE: Self = Self { troubles: 2, trouble_by: HOURS.len(), ..Self::SMALL };
    /// Keys lost, an amendment and an objection together, and nothing held back.
    const TOGETHER: Self = Self { troubles: 3, held: &[], ..Self::SMALL };
    /// One request alone, which is enough to tell most mutants.
    const JOINT: Self = Self { asked: &[0], ..Self::SMALL };
    const BANKRUPTCY: Self = Self { asked: &[1], ..Self::SMALL };
    /// One request, and all that can come together.
    const TROUBLED: Self = Self { troubles: 4, ..Self::BANKRUPTCY };
}

const AS_EXPECTED: &str = "everything is as expected";

/// What can happen.
struct Escrow {
    mutant: Option<Mutant>,
    bounds: Bounds,
    /// Whether it goes on behind what is not as expected, so that the promises alone can tell.
    goes_on: bool,
}

impl Model for Escrow {
    type State = Moment;
    type Action = Step;

    fn init_states(&self) -> Vec<Moment> {
        let mut world = World::of(&[
            ("hanbit-parts", &["minji"]),
            ("orient-display", &["yuki", "kenji"]),
            ("trade-secret-center", &["sora", "dana"]),
            ("seoul-arbiters", &["hana"]),
            ("acme", &["eve"]),
        ]);
        let agreement = world.agree(&TERMS);
        let deposits = RULES.map(|_| world.store(&agreement));
        let began_at = world.now;
        // What was said before is never said again here: nobody has to carry it along.
        let mut states = States::default();
        let kept = world.states.iter().filter(|(key, _)| !matches!(key, Key::Statement(_)));
        kept.for_each(|(key, record)| states.load(key.clone(), record.clone()));
        world.states = states;
        vec![Moment {
            world,
            began_at,
            agreement,
            deposits,
            cases: [None, None],
            amendment: None,
            held: None,
            last: None,
            goes_on: self.goes_on,
            expected: Expected::default(),
            wrong: None,
        }]
    }

    /// What changes something, and what is not decided as it ought to be.
    fn actions(&self, moment: &Moment, steps: &mut Vec<Step>) {
        if moment.wrong.is_some() {
            return;
        }
        let mut tried = moment.clone();
        steps.extend(steps::all().filter(|step| self.is_within_bounds(moment, *step)).filter(
            |step| match step {
                Step::Wait | Step::Sign(_) | Step::HandIn => true,
                Step::Say(_) | Step::Repeat => {
                    tried.say(*step, self.mutant).is_some_and(|said| !said.is_nothing())
                }
            },
        ));
    }

    fn next_state(&self, moment: &Moment, step: Step) -> Option<Moment> {
        let mut next = moment.clone();
        next.take(step, self.mutant)?;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let as_expected = |_: &Self, moment: &Moment| moment.wrong.is_none();
        let mut properties = vec![Property::always(AS_EXPECTED, as_expected)];
        properties.extend(promises::properties());
        properties.extend(reached::properties(self.bounds));
        properties
    }
}

impl Escrow {
    fn is_within_bounds(&self, moment: &Moment, step: Step) -> bool {
        let expected = &moment.expected;
        match step {
            Step::Wait => !expected.is_over(),
            Step::Say(act) => expected.is_within(self.bounds, act),
            // What would be refused now is not worth holding back.
            Step::Sign(act) => {
                let is_new = moment.held.is_none()
                    && self.bounds.held.contains(&act)
                    && expected.is_within(self.bounds, act);
                is_new && expected.may(act) && expected.troubles(None) <= self.bounds.troubles
            }
            Step::HandIn => {
                let held = moment.held.as_ref();
                held.is_some_and(|held| expected.is_within(self.bounds, held.act))
            }
            Step::Repeat => true,
        }
    }
}

#[test]
fn every_order_of_what_four_organisations_can_do_keeps_the_promises() {
    let asked = std::env::var("ESCROW_MODEL").ok();
    match asked.as_deref() {
        // Breadth first keeps both threads busy, and every moment in memory that is still to be
        // looked at.
        None => {
            assert!(count(Bounds::SMALL, &search(Bounds::SMALL).spawn_bfs().join()) >= 100_000);
            assert!(
                count(Bounds::TROUBLED, &search(Bounds::TROUBLED).spawn_dfs().join()) >= 100_000
            );
        }
        Some("together") => search_long(Bounds::TOGETHER),
        Some("whole") => search_long(Bounds::WHOLE),
        Some(other) => panic!("ESCROW_MODEL is \"together\" or \"whole\", not {other:?}"),
    }
}

fn search(bounds: Bounds) -> CheckerBuilder<Escrow> {
    Escrow { mutant: None, bounds, goes_on: false }.checker().threads(2)
}

fn search_long(bounds: Bounds) {
    let searched = search(bounds).spawn_dfs().report(&mut SoFar).join();
    assert!(count(bounds, &searched) >= 1_000_000);
}

/// Tells how far a long search is.
struct SoFar;

impl Reporter<Escrow> for SoFar {
    fn report_checking(&mut self, data: ReportData) {
        eprintln!("{} different states after {:.0?}", data.unique_states, data.duration);
    }

    fn report_discoveries(&mut self, _: &Escrow, _: BTreeMap<&str, ReportDiscovery<Escrow>>) {}

    fn delay(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// How many different states a search has found, which has to have gone everywhere and found nothing
/// wrong.
fn count(bounds: Bounds, searched: &impl Checker<Escrow>) -> usize {
    if let Some(way) = searched.discovery(AS_EXPECTED) {
        let wrong = way.last_state().wrong.clone();
        panic!("{wrong:?}\nafter {:#?}", way.into_actions());
    }
    searched.assert_properties();
    // Nothing has bidden it stop: no failure, no depth, no count and no time.
    assert!(searched.is_done());
    eprintln!(
        "{bounds:?}: {} different states among {} reached, {} steps deep; the search is exhausted",
        searched.unique_state_count(),
        searched.state_count(),
        searched.max_depth(),
    );
    searched.unique_state_count()
}

#[test]
fn a_vault_that_breaks_a_rule_is_found() {
    let found = |mutant, bounds| {
        let searching =
            Escrow { mutant: Some(mutant), bounds, goes_on: false }.checker().threads(2);
        let searched = searching.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let way = searched.discovery(AS_EXPECTED)?;
        let (wrong, states) = (way.last_state().wrong.clone()?, searched.unique_state_count());
        Some((wrong, way.into_actions().len(), states))
    };
    for mutant in Mutant::ALL {
        let mut searches = [Bounds::JOINT, Bounds::BANKRUPTCY, Bounds::SMALL].into_iter();
        let found = searches.find_map(|bounds| found(mutant, bounds));
        let (wrong, steps, states) = found.unwrap_or_else(|| panic!("{mutant:?} goes unnoticed"));
        eprintln!("{mutant:?}: {wrong}, after {steps} steps, among {states} states");
    }
}

/// The promises are asked of the records, and a vault that breaks one is found by that one alone: what
/// it wrongly accepts is entered, and nobody expects anything.
#[test]
fn a_promise_that_is_broken_is_found_in_the_records() {
    for (mutant, promise, bounds) in [
        (Mutant::OwnRequest, NEVER_ONE, Bounds::JOINT),
        (Mutant::Open, NEVER_ONE, Bounds::JOINT),
        (Mutant::EndlessVote, NEVER_ONE, Bounds::JOINT),
        (Mutant::AmendsUnsoundly, OPENABLE, Bounds::JOINT),
        (Mutant::ReleasesEarly, OPENABLE, Bounds::BANKRUPTCY),
        (Mutant::AmendsRequests, UNMOVED, Bounds::BANKRUPTCY),
        (Mutant::Objected, OBJECTION_BEATS, Bounds::BANKRUPTCY),
    ] {
        let searching = Escrow { mutant: Some(mutant), bounds, goes_on: true }.checker();
        let until = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
        let searched = searching.threads(2).finish_when(until).spawn_bfs().join();
        let way = searched.discovery(promise);
        let way = way.unwrap_or_else(|| panic!("{mutant:?} does not break {promise}"));
        let (steps, states) = (way.into_actions().len(), searched.unique_state_count());
        eprintln!("{mutant:?}: {promise}, after {steps} steps, among {states} states");
    }
}
