//! Anybody does anything at any time, under any sound agreement; the promises hold.
//!
//! What happened is kept in a diary of its own, made from accepted statements alone, and each
//! step is held against it.

mod diary;
mod entering;
mod speaking;
mod steps;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use self::diary::{Entry, Members};
use self::entering::Amended;
use self::steps::{Step, Try, step};
use self::words::words;
use super::terms::{any_terms, stamped_terms, terms as terms_of};
use super::triggers::insolvency;
pub(crate) use super::world::BEGINS;
use super::world::{Case, PENDING, World, path};
use crate::domain::advice::{self, Known, Severity};
use crate::domain::id::{AgreementId, DepositId, Digest, MemberPath, OrganisationName};
use crate::domain::request::State;
use crate::domain::soundness::{self, Deed, TooFewMembers};
use crate::domain::statement::{Acknowledged, Attested, Stated, Statement, Withdrawn};
use crate::domain::terms::{Rule, Terms};
use crate::domain::time::{Span, Timestamp};
use crate::domain::trigger::{Trigger, Unmet};

/// Small terms with any word, sound or not.
fn worded_terms() -> impl Strategy<Value = Terms> {
    let worded = (any_terms(), words(), prop::bool::weighted(0.8));
    worded.prop_map(|(terms, words, has_more)| match has_more {
        true => words.put(&terms),
        false => terms,
    })
}

/// Those of them that can be agreed on when a world begins, and whose rules can then be used before
/// their term is over.
pub(crate) fn sound_terms() -> impl Strategy<Value = Terms> {
    let begins: Timestamp = BEGINS.parse().unwrap();
    worded_terms().prop_filter("sound", move |terms| {
        let found = advice::advise(terms, begins, &Known::default());
        found.iter().all(|finding| finding.severity != Severity::Error)
    })
}

/// The same; some have an authority that stamps times.
fn some_stamped_terms() -> impl Strategy<Value = Terms> {
    sound_terms().prop_map(|terms| {
        let is_stamped = terms.rules.len() == 1;
        let time_stamps = is_stamped.then(|| terms_of(stamped_terms()).time_stamps).flatten();
        Terms { time_stamps, ..terms }
    })
}

/// One vault, one agreement, and the diary.
struct Trial {
    world: World,
    agreement: AgreementId,
    people: Vec<String>,
    deposits: Vec<DepositId>,
    damaged: BTreeSet<DepositId>,
    entries: Vec<Entry>,
    said: Vec<Stated>,
    members: Members,
    /// Who has the organisation's share, by the digest it was sealed under.
    shares: BTreeMap<MemberPath, Digest>,
    /// The terms in force, and how often they were amended.
    terms: Terms,
    version: u32,
    amendments: Vec<Amended>,
    /// When each organisation signed something last, and how often it was reminded since, when last.
    heard: BTreeMap<OrganisationName, Timestamp>,
    reminded: BTreeMap<OrganisationName, (u16, Timestamp)>,
    deposited_at: Timestamp,
    /// Number of the last objection, withdrawal or amendment.
    floor: u64,
    began_at: Timestamp,
    /// What came to pass, so that it can be told whether anything did.
    feats: BTreeSet<&'static str>,
}

/// Everybody's name in every organisation, the first's that of who has its key at home.
const NAMES: [&str; 4] = ["one", "two", "three", PENDING];

/// What the rule wants attested; anything, where that is nothing.
fn attested(rule: &Rule) -> Attested {
    match &rule.trigger {
        Trigger::Order { .. } => Attested::Order,
        Trigger::Joint
        | Trigger::Event { .. }
        | Trigger::Missed { .. }
        | Trigger::Silence { .. }
        | Trigger::Date(_) => insolvency(),
    }
}

impl Trial {
    fn of(terms: &Terms) -> Self {
        let confirmed = &NAMES[..3];
        let parties: Vec<_> = terms.organisations().map(|who| who.as_str()).collect();
        let present: Vec<_> =
            parties.iter().chain(&["stranger"]).map(|who| (*who, confirmed)).collect();
        let mut world = World::of(&present);
        let agreement = world.agree(terms);
        let deposits = vec![world.store(&agreement)];
        let mut people: Vec<_> = NAMES
            .iter()
            .flat_map(|name| parties.iter().map(move |who| format!("{who}/{name}")))
            .collect();
        people.extend(["stranger/one".to_owned(), "nowhere/nil".to_owned()]);
        let (now, mut members) = (world.now, Members::default());
        for (who, _) in &present {
            let first = path(&format!("{who}/one"));
            for name in confirmed {
                members.let_in(&path(&format!("{who}/{name}")), &first, now, *name == "one");
            }
        }
        let dealt = world.states.agreement(&agreement).unwrap().release_key.as_ref().unwrap();
        let mut trial = Self {
            shares: dealt.shares.clone(),
            world,
            agreement,
            people,
            deposits,
            damaged: BTreeSet::new(),
            entries: Vec::new(),
            said: Vec::new(),
            members,
            terms: terms.clone(),
            version: 1,
            amendments: Vec::new(),
            heard: terms.organisations().map(|who| (who.clone(), now)).collect(),
            reminded: BTreeMap::new(),
            deposited_at: now,
            floor: 0,
            began_at: now,
            feats: BTreeSet::new(),
        };
        let rule = &terms.rules[0];
        trial.ask(terms.in_role(&rule.requesters[0])[0].as_str(), rule);
        trial
    }

    /// Somebody of this organisation asks for the first deposit.
    fn ask(&mut self, organisation: &str, rule: &Rule) {
        let (by, deposit) = (format!("{organisation}/one"), self.deposits[0].clone());
        self.wait_for(&by, rule);
        let request = self.world.request(&by, &deposit, rule.name.as_str());
        let request = self.world.stated(request);
        self.world.submit(&request).unwrap();
        self.enter(&request).unwrap();
        self.said.push(request);
    }

    /// Lets time pass, and reminds whoever says nothing, until the rule can be used.
    fn wait_for(&mut self, by: &str, rule: &Rule) {
        loop {
            let agreement = self.world.states.agreement(&self.agreement).unwrap();
            let unmet = agreement.unmet(rule, self.world.now);
            let Some(first) = unmet.first() else { return };
            let (until, silent) = match first {
                Unmet::Deposits { until } | Unmet::Silence { until, .. } => (*until, None),
                Unmet::Reminders { organisation, from, .. } => (*from, Some(organisation.clone())),
            };
            self.world.now = self.world.now.max(until);
            if let Some(silent) = silent {
                let reminder = self.world.reminder(by, &self.agreement, silent.as_str());
                let reminder = self.world.stated(reminder);
                self.world.submit(&reminder).unwrap();
                self.enter(&reminder).unwrap();
                self.said.push(reminder);
            }
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.world.pass(Span::seconds(step.wait_hours * 3_600));
        // No two events of the same instant: acts are told apart by when they were done.
        self.world.now = Timestamp::from_millis(self.world.now.as_millis() + 1);
        let first = step.who.index(self.people.len());
        let is_final = matches!(step.what, Try::TakeBack | Try::Terminate);
        // Few may say it, and it is said seldom.
        let is_of_members =
            matches!(step.what, Try::Confirm | Try::Revoke | Try::RevokeAgain | Try::Reseal);
        let is_passed_on = is_of_members || (step.is_passed_on && !is_final);
        let tries = if is_passed_on { self.people.len() } else { 1 };
        for i in 0..tries {
            let by = self.people[(first + i) % self.people.len()].clone();
            let Some(stated) = self.speak(step, by) else { break };
            let before = self.world.records();
            if self.world.submit(&stated).is_ok() {
                prop_assert!(!self.said.contains(&stated), "accepted twice");
                self.enter(&stated)?;
                self.said.push(stated);
                break;
            }
            prop_assert_eq!(self.world.records(), before, "promise 11");
        }
        self.compare()
    }

    /// The vault says of each request what the diary says.
    fn compare(&self) -> Result<(), TestCaseError> {
        for who in self.people.iter().map(|who| path(who)) {
            let house = self.world.states.organisation(&who.organisation);
            let found = house.and_then(|house| house.member(&who.name));
            let is_in = found.is_some_and(|member| member.is_active());
            prop_assert_eq!(is_in, self.members.is_in(&who), "{}", who);
        }
        let key = self.world.states.agreement(&self.agreement).unwrap().key().unwrap();
        prop_assert_eq!(&key.shares, &self.shares);
        let agreement = self.world.states.agreement(&self.agreement).unwrap();
        prop_assert_eq!((&*agreement.terms, agreement.version), (&self.terms, self.version));
        for entry in &self.entries {
            let (request, state) = (self.world.judged(&entry.case), self.world.state(&entry.case));
            let is_released = matches!(state, State::Released | State::Retrieved);
            prop_assert_eq!(is_released, entry.is_released, "{}", state);
            prop_assert_eq!(state == State::Withdrawn, entry.is_withdrawn, "{}", state);
            prop_assert_eq!(request.consents.len(), entry.consents.len());
            prop_assert_eq!(request.contributions.len(), entry.contributions.len());
            let said = request.acknowledgements.iter();
            let said: Vec<_> = said.map(|it| (it.by.organisation.clone(), it.what)).collect();
            prop_assert_eq!(&said, &entry.acknowledged, "said stays said");
            let stamped_at = request.stamped.as_ref().map(|it| it.stamped_at);
            prop_assert_eq!(stamped_at, entry.stamped_at, "stamped stays stamped");
            prop_assert_eq!(&*request.terms, &entry.terms, "promise 5");
            if state == State::Satisfied {
                entry.is_due(self.world.now)?;
                let (own, quorum) = (&entry.requester.organisation, entry.terms.quorum);
                let consented =
                    entry.standing(self.world.now).map(|by| &by.organisation).chain([own]);
                let holding: BTreeSet<_> =
                    consented.filter(|who| entry.terms.is_holder(who)).collect();
                prop_assert!(holding.len() >= usize::from(quorum), "promise 3: not openable");
                prop_assert!(
                    request.awaited_holders(self.world.now).len()
                        >= request.contributions_missing()
                );
            }
        }
        Ok(())
    }

    /// Everybody says honestly what is due, as often as it takes.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        let say: [fn(&mut World, &str, &Case) -> Statement; 8] = [
            |world, by, case| {
                let what = attested(world.seen(case).rule().unwrap());
                world.attestation(by, case, &what).into()
            },
            |world, by, case| world.sight(by, case).into(),
            |world, by, case| world.withdrawal(by, case, Withdrawn::Objection).into(),
            |world, by, case| world.consent(by, case).into(),
            |world, by, case| world.contribution(by, case).into(),
            |world, by, case| world.retrieval(by, case).into(),
            |world, by, case| world.acknowledgement(by, case, Acknowledged::Returned).into(),
            |world, by, case| world.acknowledgement(by, case, Acknowledged::Destroyed).into(),
        ];
        for say in say {
            for entry in 0..self.entries.len() {
                for by in self.people.clone() {
                    let case = self.entries[entry].case.clone();
                    let statement = say(&mut self.world, &by, &case);
                    let stated = self.world.stated(statement);
                    if self.world.submit(&stated).is_ok() {
                        self.enter(&stated)?;
                    }
                    self.compare()?;
                }
            }
        }
        Ok(())
    }

    fn states(&self) -> impl Iterator<Item = State> {
        self.entries.iter().map(|entry| self.world.state(&entry.case))
    }
}

proptest! {
    /// Who is refused is told of the fault that refuses, and of none who is not.
    #[test]
    fn terms_are_refused_where_a_fault_is_told_of(terms in worded_terms(), quorum in 1..=4u16) {
        let terms = Terms { quorum, ..terms };
        let faults = soundness::faults(&terms);
        match soundness::check(&terms) {
            Ok(()) => prop_assert_eq!(faults, vec![]),
            Err(fault) => prop_assert!(faults.contains(&fault), "{fault}: {faults:?}"),
        }
    }

    #[test]
    fn promise_2_never_one_organisation_whatever_anybody_tries(
        terms in some_stamped_terms(),
        steps in prop::collection::vec(step(), 40),
    ) {
        let mut trial = Trial::of(&terms);
        for step in &steps {
            trial.take(step)?;
        }
        trial.finish()?;
    }

    #[test]
    fn promise_3_what_is_wanted_by_everybody_is_opened(terms in some_stamped_terms(), who: Index) {
        let mut trial = Trial::of(&terms);
        let rule = who.get(&terms.rules);
        trial.ask(terms.in_role(&rule.requesters[0])[0].as_str(), rule);
        // Three people of each house may be too few for the rule; then nobody opens anything.
        let people: BTreeMap<_, _> = terms.organisations().map(|who| (who.clone(), 3)).collect();
        // Nobody objects, so that nothing has to be settled.
        let is_needed = |found: &TooFewMembers| !matches!(found.deed, Deed::Settle(_));
        let is_possible = !soundness::too_few_members(&terms, &people).iter().any(is_needed);
        trial.world.now = terms.notice_ends(rule, trial.world.now);
        if let Some(date) = rule.trigger.date() {
            trial.world.now = trial.world.now.max(date);
        }
        trial.finish()?;
        let state = trial.states().last();
        prop_assert!(!is_possible || state == Some(State::Retrieved), "{:?}", state);
    }
}

/// The trials above are no use if they never get anywhere: how often each state was reached, and in
/// how many of them each thing came to pass, over trials that are the same every time.
#[test]
fn the_trials_reach_every_state_and_all_that_may_befall_members() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeMap::<State, usize>::new();
    let mut feats = BTreeMap::<&str, usize>::new();
    for _ in 0..1_000 {
        let inputs = (some_stamped_terms(), prop::collection::vec(step(), 40));
        let (terms, steps) = inputs.new_tree(&mut runner).unwrap().current();
        let mut trial = Trial::of(&terms);
        for step in &steps {
            trial.take(step).unwrap();
            trial.states().for_each(|state| *reached.entry(state).or_default() += 1);
        }
        trial.finish().unwrap();
        trial.feats.iter().for_each(|feat| *feats.entry(feat).or_default() += 1);
    }
    for state in State::ALL {
        let times = reached.get(&state).copied().unwrap_or_default();
        assert!(times >= 10, "{state} was reached {times} times: {reached:?}, {feats:?}");
    }
    let mut seldom = Vec::new();
    // Of a thousand trials.
    for (feat, least) in [
        ("confirmed", 25),
        ("acknowledged", 2),
        ("time-stamped", 10),
        ("an objection is settled", 2),
        ("attested", 2),
        ("revoked", 25),
        ("revoked a second time", 10),
        ("a share is passed on", 25),
        ("a consent is void", 5),
        ("a consent is void by a second revocation", 5),
        ("whom a thief let in is shut out", 5),
        ("somebody shut out is confirmed anew", 5),
        ("reminded", 3),
        ("amended", 3),
        ("asked for under amended terms", 2),
        ("a consent is given anew", 2),
        ("fetched where that is bounded", 5),
        ("released on consents alone", 5),
        ("released on an event", 3),
        ("released on an order", 3),
        ("released on missed deposits", 3),
        ("released on silence", 3),
        ("released on a date", 3),
        ("released by nested needs", 5),
        ("released by distinct organisations", 5),
        ("released after review", 5),
        ("released within a vote", 5),
        ("released after a settlement", 3),
        ("released after working days", 3),
        ("released where not every deposit may be", 5),
        ("released under a duty", 5),
        ("released when the term was over", 5),
    ] {
        let times = feats.get(feat).copied().unwrap_or_default();
        if times < least {
            seldom.push((feat, times, least));
        }
    }
    assert!(seldom.is_empty(), "too seldom: {seldom:?}; {feats:?}, {reached:?}");
}
