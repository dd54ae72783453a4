//! Anybody does anything at any time, under any sound agreement; the promises hold.
//!
//! What happened is kept in a diary of its own, made from accepted statements alone, and each
//! step is held against it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::terms::{ORGANISATIONS, any_terms, is_met};
use super::world::{Case, World, key_of};
use crate::domain::event::Note;
use crate::domain::id::{AgreementId, DepositId, MemberPath, OrganisationName, RequestId, Role};
use crate::domain::request::State;
use crate::domain::soundness;
use crate::domain::statement::{Reason, RequestRef, Stated, Statement, Withdrawal, Withdrawn};
use crate::domain::terms::{Rule, Terms};
use crate::domain::time::{Span, Timestamp};

/// What a member tries.
#[derive(Debug, Clone, Copy)]
enum Try {
    Ask,
    Consent,
    Contribute,
    See,
    Notify,
    Object,
    TakeBack,
    Settle,
    Retrieve,
    Deposit,
    Terminate,
    /// Says again what was said before, by anybody.
    Repeat,
    /// Somebody's keys turn out to be stolen, or the person has left.
    Revoke,
    /// Nobody says anything: a bundle is found damaged.
    Damage,
}

/// In which way it is not honest.
#[derive(Debug, Clone, Copy)]
enum Lie {
    No,
    /// Signed by somebody else.
    Key,
    /// Rests on an earlier event.
    Saw,
    /// About the digest of something else.
    Digest,
    /// In the name of the requester, or of whoever consented first.
    Name,
}

#[derive(Debug, Clone)]
struct Step {
    wait_hours: u64,
    /// Whether the next one tries if this one may not, and so on: somebody usually may.
    is_passed_on: bool,
    who: Index,
    what: Try,
    about: Index,
    lie: Lie,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        2 => Just(Try::Ask),
        16 => Just(Try::Consent),
        12 => Just(Try::Contribute),
        4 => Just(Try::See),
        1 => Just(Try::Notify),
        2 => Just(Try::Object),
        1 => Just(Try::TakeBack),
        3 => Just(Try::Settle),
        6 => Just(Try::Retrieve),
        1 => Just(Try::Deposit),
        1 => Just(Try::Terminate),
        2 => Just(Try::Repeat),
    ];
    let what = prop_oneof![60 => what, 1 => Just(Try::Damage), 1 => Just(Try::Revoke)];
    let lie = prop_oneof![
        16 => Just(Lie::No),
        1 => Just(Lie::Key),
        1 => Just(Lie::Saw),
        1 => Just(Lie::Digest),
        1 => Just(Lie::Name),
    ];
    let wait = prop_oneof![9 => Just(0), 1 => 1..30u64];
    (wait, any::<bool>(), any::<Index>(), what, any::<Index>(), lie).prop_map(
        |(wait_hours, is_passed_on, who, what, about, lie)| Step {
            wait_hours,
            is_passed_on,
            who,
            what,
            about,
            lie,
        },
    )
}

fn sound_terms() -> impl Strategy<Value = Terms> {
    any_terms().prop_filter("sound", |terms| soundness::check(terms).is_ok())
}

/// A request as the diary has it.
struct Entry {
    case: Case,
    terms: Terms,
    rule: Rule,
    requester: MemberPath,
    deposit: DepositId,
    opened_at: Timestamp,
    consents: BTreeMap<MemberPath, Timestamp>,
    contributions: BTreeMap<MemberPath, Timestamp>,
    objections: Vec<Objected>,
    /// Who has shown to know of it.
    aware: Vec<(MemberPath, Timestamp)>,
    notified: Vec<(MemberPath, Timestamp)>,
    is_withdrawn: bool,
    is_released: bool,
}

/// Who objected when, and who took it back when.
struct Objected {
    by: MemberPath,
    at: Timestamp,
    withdrawn: Option<(MemberPath, Timestamp)>,
}

impl Entry {
    /// What this member did since then is void, unless it was released.
    fn void(&mut self, member: &MemberPath, since: Timestamp) {
        if self.is_released {
            return;
        }
        let counts = |by: &MemberPath, at: Timestamp| by != member || at < since;
        self.consents.retain(|by, at| counts(by, *at));
        self.contributions.retain(|by, at| counts(by, *at));
        self.aware.retain(|(by, at)| counts(by, *at));
        self.notified.retain(|(by, at)| counts(by, *at));
        self.objections.retain(|objected| counts(&objected.by, objected.at));
        for objected in &mut self.objections {
            objected.withdrawn.take_if(|(by, at)| !counts(by, *at));
        }
        self.is_withdrawn |= !counts(&self.requester, self.opened_at);
    }

    fn objecting(&self) -> BTreeSet<&OrganisationName> {
        let standing = self.objections.iter().filter(|objected| objected.withdrawn.is_none());
        standing.map(|objected| &objected.by.organisation).collect()
    }

    /// Whether a share may be spent on it now: the promises, said anew.
    fn is_due(&self, now: Timestamp) -> Result<(), TestCaseError> {
        let organisations: BTreeSet<_> = self.consents.keys().map(|by| &by.organisation).collect();
        prop_assert!(organisations.len() >= 2, "promise 2: consents of one organisation");
        prop_assert!(
            !self.consents.contains_key(&self.requester),
            "promise 2: the requester's own"
        );
        let mut seated = BTreeMap::<Role, u16>::new();
        for by in self.consents.keys() {
            *seated.entry(self.terms.role_of(&by.organisation).unwrap().clone()).or_default() += 1;
        }
        prop_assert!(is_met(&self.rule.needs, &seated), "promise 5: its rule is not met");
        prop_assert!(now >= self.opened_at.after(self.rule.notice), "notice had not run");
        prop_assert!(now < self.opened_at.after(self.rule.expires), "it had lapsed");
        prop_assert!(self.objecting().is_empty(), "promise 6: under objection");
        let objectors = self.rule.objection.iter().flat_map(|role| self.terms.in_role(role));
        for who in objectors.filter(|who| **who != self.requester.organisation) {
            let shown = self.aware.iter().any(|(by, _)| by.organisation == *who);
            let knows = !self.notified.is_empty() || shown;
            prop_assert!(knows, "promise 6: {who} may object and knows nothing");
        }
        prop_assert!(!self.is_withdrawn, "it was taken back");
        Ok(())
    }

    fn shares(&self) -> usize {
        let own = &self.requester.organisation;
        let contributed = self.contributions.keys().map(|by| &by.organisation);
        let holding = contributed.chain([own]).collect::<BTreeSet<_>>();
        holding.into_iter().filter(|who| self.terms.is_holder(who)).count()
    }
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
    /// Number of the last objection or withdrawal.
    floor: u64,
    began_at: Timestamp,
}

impl Trial {
    fn of(terms: &Terms) -> Self {
        let names = ["one", "two", "three"];
        let parties: Vec<_> = terms.organisations().map(|who| who.as_str()).collect();
        let present: Vec<_> =
            parties.iter().chain(&["stranger"]).map(|who| (*who, &names[..])).collect();
        let mut world = World::of(&present);
        let agreement = world.agree(terms);
        let deposits = vec![world.store(&agreement)];
        let everybody = names.iter().chain(&["pat"]);
        let mut people: Vec<_> = everybody
            .flat_map(|name| parties.iter().map(move |who| format!("{who}/{name}")))
            .collect();
        people.extend(["stranger/one".to_owned(), "nowhere/nil".to_owned()]);
        let (damaged, entries, said) = (BTreeSet::new(), Vec::new(), Vec::new());
        let (floor, began_at) = (0, world.now);
        let mut trial =
            Self { world, agreement, people, deposits, damaged, entries, said, floor, began_at };
        let rule = &terms.rules[0];
        trial.ask(terms.in_role(&rule.requesters[0])[0].as_str(), rule);
        trial
    }

    /// Somebody of this organisation asks for the first deposit.
    fn ask(&mut self, organisation: &str, rule: &Rule) {
        let (by, deposit) = (format!("{organisation}/one"), self.deposits[0].clone());
        let request = self.world.request(&by, &deposit, rule.name.as_str());
        let request = self.world.stated(request);
        self.world.submit(&request).unwrap();
        self.enter(&request).unwrap();
        self.said.push(request);
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.world.pass(Span::seconds(step.wait_hours * 3_600));
        let first = step.who.index(self.people.len());
        let is_final = matches!(step.what, Try::TakeBack | Try::Terminate);
        let tries = if step.is_passed_on && !is_final { self.people.len() } else { 1 };
        for i in 0..tries {
            let by = self.people[(first + i) % self.people.len()].clone();
            let Some(stated) = self.say(step, by)? else { break };
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

    /// What this member says, if there is anything to speak about.
    fn say(&mut self, step: &Step, by: String) -> Result<Option<Stated>, TestCaseError> {
        if matches!(step.what, Try::Revoke) {
            return self.revoke(step, &by).map(|()| None);
        }
        Ok(self.speak(step, by))
    }

    /// The organisation takes this member's authority away, by its own key.
    fn revoke(&mut self, step: &Step, member: &str) -> Result<(), TestCaseError> {
        let (organisation, _) = member.split_once('/').unwrap();
        let hours = step.about.index(48) as i64;
        // Everybody was confirmed when it began.
        let ago = self.world.now.as_millis() - hours * 3_600_000;
        let since = Timestamp::from_millis(ago.max(self.began_at.as_millis() + 1));
        let reason = match hours % 3 == 0 || since > self.world.now {
            true => Reason::Left,
            false => Reason::CompromisedSince(since),
        };
        let revocation = self.world.revocation(&format!("{organisation}/one"), member, reason);
        let stated = Stated { key: key_of(organisation), ..self.world.stated(revocation) };
        let is_revoked = self.world.submit(&stated).is_ok();
        if let (true, Reason::CompromisedSince(since)) = (is_revoked, reason) {
            let member: MemberPath = member.parse().unwrap();
            self.entries.iter_mut().for_each(|entry| entry.void(&member, since));
        }
        Ok(())
    }

    fn speak(&mut self, step: &Step, mut by: String) -> Option<Stated> {
        let world = &mut self.world;
        let deposit = step.about.get(&self.deposits).clone();
        let latest = &self.entries[self.entries.len().saturating_sub(2)..];
        let entry = (!latest.is_empty()).then(|| step.about.get(latest));
        match (step.lie, entry) {
            (Lie::Name, Some(entry)) => by = entry.requester.to_string(),
            (Lie::Name | Lie::No | Lie::Key | Lie::Saw | Lie::Digest, _) => {}
        }
        let case = entry.map(|entry| entry.case.clone());
        let mut statement: Statement = match step.what {
            Try::Ask => {
                let terms = &world.states.agreement(&self.agreement)?.terms;
                let rule = step.who.get(&terms.rules).name.to_string();
                world.request(&by, &deposit, &rule).into()
            }
            Try::Consent => world.consent(&by, &case?).into(),
            Try::Contribute => world.contribution(&by, &case?).into(),
            Try::See => world.sight(&by, &case?).into(),
            Try::Notify => world.notification(&by, &case?).into(),
            Try::Object => world.objection(&by, &case?).into(),
            Try::TakeBack => world.withdrawal(&by, &case?, Withdrawn::Request).into(),
            Try::Settle => world.withdrawal(&by, &case?, Withdrawn::Objection).into(),
            Try::Retrieve => world.retrieval(&by, &case?).into(),
            Try::Deposit => world.deposit(&by, &self.agreement).into(),
            Try::Terminate => world.termination(&by, &self.agreement).into(),
            Try::Revoke => return None,
            Try::Repeat if self.said.is_empty() => return None,
            Try::Repeat => return Some(step.about.get(&self.said).clone()),
            Try::Damage => {
                world.note(&Note::Quarantined { deposit: deposit.clone() });
                self.damaged.insert(deposit);
                return None;
            }
        };
        let head = world.ground(&self.agreement).saw.sequence;
        let earlier = world.saw(&self.agreement, step.about.index(head as usize) as u64 + 1);
        let other = world.fresh();
        match (step.lie, &mut statement) {
            (Lie::Saw, Statement::Consent(s)) => s.ground.saw = earlier,
            (Lie::Saw, Statement::Contribution(s)) => s.ground.saw = earlier,
            (Lie::Saw, Statement::Objection(s)) => s.ground.saw = earlier,
            (Lie::Saw, Statement::Withdrawal(s)) => s.ground.saw = earlier,
            (Lie::Digest, Statement::Consent(s)) => s.request.sha256 = other,
            (Lie::Digest, Statement::Contribution(s)) => s.request.sha256 = other,
            (Lie::Digest, Statement::Request(s)) => s.bundle_sha256 = other,
            _ => {}
        }
        let stated = world.stated(statement);
        Some(match step.lie {
            Lie::Key => {
                Stated { key: key_of(&self.people[step.about.index(self.people.len())]), ..stated }
            }
            Lie::No | Lie::Saw | Lie::Digest | Lie::Name => stated,
        })
    }

    /// Enters an accepted statement into the diary, and holds it against what stands there.
    fn enter(&mut self, stated: &Stated) -> Result<(), TestCaseError> {
        let (by, now) = (stated.statement.made().by.clone(), self.world.now);
        prop_assert!(ORGANISATIONS.contains(&by.organisation.as_str()), "a stranger's");
        prop_assert!(by.name.as_str() != "pat", "a pending member's");
        prop_assert_eq!(stated.key, key_of(&by.to_string()), "somebody else's");
        let own = by.organisation.clone();
        let saw = stated.statement.ground().map(|ground| ground.saw.sequence);
        let only_blocks = matches!(
            &stated.statement,
            Statement::Objection(_)
                | Statement::Seen(_)
                | Statement::Withdrawal(Withdrawal { withdrawn: Withdrawn::Request, .. })
        );
        let is_recent = saw >= Some(self.floor) || only_blocks;
        prop_assert!(is_recent, "rests on what an objection or withdrawal overtook");
        if matches!(stated.statement, Statement::Objection(_) | Statement::Withdrawal(_)) {
            self.floor = self.world.ground(&self.agreement).saw.sequence;
        }
        match &stated.statement {
            Statement::Deposit(_) => self.deposits.push(DepositId::of(&stated.digest)),
            Statement::Request(s) => {
                prop_assert!(!self.damaged.contains(&s.deposit));
                let terms = self.world.states.agreement(&self.agreement).unwrap().terms.clone();
                let rule = terms.rule(&s.rule).unwrap().clone();
                prop_assert!(rule.requesters.contains(terms.role_of(&own).unwrap()));
                let id = RequestId::of(&stated.digest);
                let request = RequestRef { id, sha256: stated.digest };
                self.entries.push(Entry {
                    case: Case { agreement: self.agreement.clone(), request },
                    terms,
                    rule,
                    requester: by,
                    deposit: s.deposit.clone(),
                    opened_at: now,
                    consents: BTreeMap::new(),
                    contributions: BTreeMap::new(),
                    objections: Vec::new(),
                    aware: Vec::new(),
                    notified: Vec::new(),
                    is_withdrawn: false,
                    is_released: false,
                });
            }
            Statement::Consent(s) => {
                let entry = self.entry(&s.request);
                prop_assert_eq!(s.request.sha256, entry.case.request.sha256, "promise 4");
                prop_assert!(by != entry.requester, "promise 2: the requester consents");
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                entry.aware.push((by.clone(), now));
                prop_assert!(entry.consents.insert(by, now).is_none(), "promise 2: a second seat");
            }
            Statement::Contribution(s) => {
                let damaged = self.damaged.clone();
                let entry = self.entry(&s.request);
                prop_assert_eq!(s.request.sha256, entry.case.request.sha256, "promise 4");
                entry.is_due(now)?;
                prop_assert!(!entry.is_released, "spent on what is released");
                prop_assert!(!damaged.contains(&entry.deposit), "spent on a damaged bundle");
                prop_assert!(own != entry.requester.organisation, "spent at home only");
                prop_assert!(entry.terms.is_holder(&own), "of who holds none");
                let consented = entry.consents.keys().any(|by| by.organisation == own);
                prop_assert!(consented, "of who has not consented");
                let twice = entry.contributions.keys().any(|by| by.organisation == own);
                prop_assert!(!twice, "the same share twice");
                entry.contributions.insert(by, now);
                entry.is_released = entry.shares() >= usize::from(entry.terms.quorum);
            }
            Statement::Seen(s) => {
                let entry = self.entry(&s.request);
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                prop_assert!(entry.rule.objection.contains(entry.terms.role_of(&own).unwrap()));
                entry.aware.push((by, now));
            }
            Statement::Notification(s) => {
                let entry = self.entry(&s.request);
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                prop_assert!(own != entry.requester.organisation, "by who gains from it");
                entry.notified.push((by, now));
            }
            Statement::Objection(s) => {
                let entry = self.entry(&s.request);
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                prop_assert!(entry.rule.objection.contains(entry.terms.role_of(&own).unwrap()));
                prop_assert!(!entry.objecting().contains(&own));
                entry.aware.push((by.clone(), now));
                entry.objections.push(Objected { by, at: now, withdrawn: None });
            }
            Statement::Withdrawal(s) => {
                let entry = self.entry(&s.request);
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                match s.withdrawn {
                    Withdrawn::Request => {
                        prop_assert_eq!(&own, &entry.requester.organisation);
                        entry.is_withdrawn = true;
                    }
                    Withdrawn::Objection => {
                        prop_assert!(entry.objecting().contains(&own));
                        for objected in &mut entry.objections {
                            if objected.by.organisation == own && objected.withdrawn.is_none() {
                                objected.withdrawn = Some((by.clone(), now));
                            }
                        }
                    }
                }
            }
            Statement::Retrieval(s) => {
                let damaged = self.damaged.clone();
                let entry = self.entry(&s.request);
                prop_assert!(entry.is_released && by == entry.requester);
                prop_assert!(!damaged.contains(&entry.deposit));
            }
            Statement::Termination(_) => {}
            Statement::Invitation(_)
            | Statement::Organisation(_)
            | Statement::Join(_)
            | Statement::Confirmation(_)
            | Statement::Revocation(_)
            | Statement::RevocationNotice(_)
            | Statement::Resumption(_)
            | Statement::Renewal(_)
            | Statement::Registration(_)
            | Statement::Proposal(_)
            | Statement::ReleaseKey(_)
            | Statement::Acceptance(_)
            | Statement::Declination(_)
            | Statement::Reseal(_) => prop_assert!(false, "nobody tried this"),
        }
        Ok(())
    }

    fn entry(&mut self, named: &RequestRef) -> &mut Entry {
        self.entries.iter_mut().find(|entry| entry.case.request.id == named.id).unwrap()
    }

    /// The vault says of each request what the diary says.
    fn compare(&self) -> Result<(), TestCaseError> {
        for entry in &self.entries {
            let (request, state) = (self.world.judged(&entry.case), self.world.state(&entry.case));
            let is_released = matches!(state, State::Released | State::Retrieved);
            prop_assert_eq!(is_released, entry.is_released, "{}", state);
            prop_assert_eq!(state == State::Withdrawn, entry.is_withdrawn, "{}", state);
            prop_assert_eq!(request.consents.len(), entry.consents.len());
            prop_assert_eq!(request.contributions.len(), entry.contributions.len());
            prop_assert_eq!(&request.terms, &entry.terms, "promise 5");
            if state == State::Satisfied {
                entry.is_due(self.world.now)?;
                let (own, quorum) = (&entry.requester.organisation, entry.terms.quorum);
                let consented = entry.consents.keys().map(|by| &by.organisation).chain([own]);
                let holding: BTreeSet<_> =
                    consented.filter(|who| entry.terms.is_holder(who)).collect();
                prop_assert!(holding.len() >= usize::from(quorum), "promise 3: not openable");
                prop_assert!(request.awaited_holders().len() >= request.contributions_missing());
            }
        }
        Ok(())
    }

    /// Everybody says honestly what is due, as often as it takes.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        let say: [fn(&mut World, &str, &Case) -> Statement; 5] = [
            |world, by, case| world.sight(by, case).into(),
            |world, by, case| world.withdrawal(by, case, Withdrawn::Objection).into(),
            |world, by, case| world.consent(by, case).into(),
            |world, by, case| world.contribution(by, case).into(),
            |world, by, case| world.retrieval(by, case).into(),
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
    #[test]
    fn promise_2_never_one_organisation_whatever_anybody_tries(
        terms in sound_terms(),
        steps in prop::collection::vec(step(), 40),
    ) {
        let mut trial = Trial::of(&terms);
        for step in &steps {
            trial.take(step)?;
        }
        trial.finish()?;
    }

    #[test]
    fn promise_3_what_is_wanted_by_everybody_is_opened(terms in sound_terms(), who: Index) {
        let mut trial = Trial::of(&terms);
        let rule = who.get(&terms.rules);
        trial.ask(terms.in_role(&rule.requesters[0])[0].as_str(), rule);
        // Three people of each house may be too few for the rule; then nobody opens anything.
        let people: BTreeMap<_, _> = terms.organisations().map(|who| (who.clone(), 3)).collect();
        let is_possible = soundness::too_few_members(&terms, &people).is_empty();
        trial.world.pass(rule.notice);
        trial.finish()?;
        let state = trial.states().last();
        prop_assert!(!is_possible || state == Some(State::Retrieved), "{:?}", state);
    }
}

/// The trials above are no use if they never get anywhere: how often each state was reached, over
/// trials that are the same every time.
#[test]
fn the_trials_reach_every_state() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeMap::<State, usize>::new();
    for _ in 0..100 {
        let inputs = (sound_terms(), prop::collection::vec(step(), 40));
        let (terms, steps) = inputs.new_tree(&mut runner).unwrap().current();
        let mut trial = Trial::of(&terms);
        for step in &steps {
            trial.take(step).unwrap();
            trial.states().for_each(|state| *reached.entry(state).or_default() += 1);
        }
    }
    for state in State::ALL {
        let times = reached.get(&state).copied().unwrap_or_default();
        assert!(times >= 10, "{state} was reached {times} times: {reached:?}");
    }
}
