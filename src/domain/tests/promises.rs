//! Anybody does anything at any time, under any sound agreement; the promises hold.
//!
//! What happened is kept in a diary of its own, made from accepted statements alone, and each
//! step is held against it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::diary::{Entry, Members, Objected};
use super::terms::{
    ORGANISATIONS, any_terms, is_met, roles_named, stamped_terms, terms as terms_of,
};
use super::triggers::insolvency;
use super::words::words;
use super::world::{Case, PENDING, World, key_of, path};
use crate::domain::event::Note;
use crate::domain::id::{
    AgreementId, DepositId, Digest, MemberPath, OrganisationName, RequestId, Role,
};
use crate::domain::request::State;
use crate::domain::soundness;
use crate::domain::statement::{
    self as say, Acknowledged, Attested, Basis, Reason, RequestRef, Stated, Statement, Withdrawal,
    Withdrawn,
};
use crate::domain::terms::{Grants, Rule, Terms};
use crate::domain::time::{Span, Timestamp};
use crate::domain::trigger::{Trigger, Unmet};

/// What a member tries.
#[derive(Debug, Clone, Copy)]
enum Try {
    Ask,
    Consent,
    Contribute,
    /// Or, where a sight means nothing, to hand in what the authority says of it.
    See,
    Notify,
    Object,
    TakeBack,
    Settle,
    /// To remind an organisation that says nothing.
    Remind,
    /// Proposes other terms.
    Amend,
    Countersign,
    /// And, once it was, to say what became of it.
    Retrieve,
    Deposit,
    Terminate,
    /// Says again what was said before, by anybody.
    Repeat,
    /// Says whose keys a colleague's are.
    Confirm,
    /// Somebody's keys turn out to be stolen, or the person has left.
    Revoke,
    /// The same once more of somebody of whom it was said before.
    RevokeAgain,
    /// Passes its organisation's share on.
    Reseal,
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
    /// A colleague is confirmed as an administrator; keys are stolen, and not given back.
    is_grave: bool,
    /// Signed by the organisation's key, where the member has it at home.
    is_by_house: bool,
    /// Since when keys turn out to be stolen.
    ago_hours: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        2 => Just(Try::Ask),
        16 => Just(Try::Consent),
        12 => Just(Try::Contribute),
        6 => Just(Try::See),
        2 => Just(Try::Notify),
        3 => Just(Try::Object),
        1 => Just(Try::TakeBack),
        6 => Just(Try::Settle),
        1 => Just(Try::Remind),
        1 => Just(Try::Amend),
        4 => Just(Try::Countersign),
        9 => Just(Try::Retrieve),
        1 => Just(Try::Deposit),
        1 => Just(Try::Terminate),
        2 => Just(Try::Repeat),
    ];
    let what = prop_oneof![
        60 => what,
        1 => Just(Try::Damage),
        4 => Just(Try::Confirm),
        4 => Just(Try::Revoke),
        4 => Just(Try::RevokeAgain),
        4 => Just(Try::Reseal),
    ];
    let lie = prop_oneof![
        16 => Just(Lie::No),
        1 => Just(Lie::Key),
        1 => Just(Lie::Saw),
        1 => Just(Lie::Digest),
        1 => Just(Lie::Name),
    ];
    let wait = prop_oneof![9 => Just(0), 1 => 1..30u64];
    let honest = (wait, any::<bool>(), any::<Index>(), what, any::<Index>());
    let of_members = (any::<bool>(), prop::bool::weighted(0.3), -1..48i64);
    (honest, lie, of_members).prop_map(
        |(
            (wait_hours, is_passed_on, who, what, about),
            lie,
            (is_grave, is_by_house, ago_hours),
        )| {
            Step {
                wait_hours,
                is_passed_on,
                who,
                what,
                about,
                lie,
                is_grave,
                is_by_house,
                ago_hours,
            }
        },
    )
}

fn sound_terms() -> impl Strategy<Value = Terms> {
    let worded = (any_terms(), words(), prop::bool::weighted(0.8));
    let worded = worded.prop_map(|(terms, words, has_more)| match has_more {
        true => words.put(&terms),
        false => terms,
    });
    let sound = worded.prop_filter("sound", |terms| soundness::check(terms).is_ok());
    // Some have an authority that stamps times.
    sound.prop_map(|terms| {
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

/// Other terms, as proposed.
struct Amended {
    sha256: Digest,
    /// Which version they amend.
    version: u32,
    terms: Terms,
    signed: BTreeMap<OrganisationName, (MemberPath, Timestamp)>,
}

/// All that can be said of a bundle.
const ACKNOWLEDGED: [Acknowledged; 4] = [
    Acknowledged::Received,
    Acknowledged::Returned,
    Acknowledged::Destroyed,
    Acknowledged::Reported,
];

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

/// The terms with the consents of each rule good for ever where they were not, and the other way
/// round.
fn otherwise(terms: &Terms) -> Terms {
    let mut terms = terms.clone();
    for rule in &mut terms.rules {
        rule.vote = if rule.vote.is_none() { Some(Span::seconds(12 * 3_600)) } else { None };
    }
    terms
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

    /// What this member says of a colleague, or of itself.
    fn speak_of_members(&mut self, step: &Step, mut by: String) -> Option<Stated> {
        let colleagues = |by: &str| {
            let (house, _) = by.split_once('/').unwrap();
            NAMES.map(|name| path(&format!("{house}/{name}")))
        };
        let mut about = step.about.get(&colleagues(&by)).clone();
        let hours = step.ago_hours * 3_600_000;
        let since = self.world.now.as_millis() - hours;
        let since = Timestamp::from_millis(since.max(self.began_at.as_millis()));
        let reason = if step.is_grave { Reason::CompromisedSince(since) } else { Reason::Left };
        let statement: Statement = match step.what {
            Try::Confirm => {
                let awaited = |who: &MemberPath| !self.members.is_in(who);
                let awaited: Vec<_> = colleagues(&by).into_iter().filter(awaited).collect();
                if !awaited.is_empty() {
                    about = step.about.get(&awaited).clone();
                }
                let house = self.world.states.organisation(&about.organisation);
                let found = house.and_then(|house| house.member(&about.name));
                let joined = found.map(|found| found.join_sha256).unwrap_or_default();
                self.world.confirmation(&by, &about.to_string(), joined, step.is_grave).into()
            }
            Try::Revoke => {
                // Rather somebody who has said something of late.
                let late = &self.said[self.said.len().saturating_sub(4)..];
                if step.ago_hours % 2 == 0 && !late.is_empty() {
                    about = step.about.get(late).statement.made().by.clone();
                    by = MemberPath { name: path(&by).name, ..about.clone() }.to_string();
                }
                self.world.revocation(&by, &about.to_string(), reason).into()
            }
            Try::RevokeAgain => {
                let people = self.people.iter().map(|who| path(who));
                let out: Vec<_> = people.filter(|who| self.members.is_out(who)).collect();
                about = out.get(step.about.index(out.len().max(1)))?.clone();
                by = MemberPath { name: path(&by).name, ..about.clone() }.to_string();
                self.world.revocation(&by, &about.to_string(), reason).into()
            }
            Try::Reseal => self.world.reseal(&by, &self.agreement, &about.to_string()).into(),
            Try::Ask
            | Try::Consent
            | Try::Contribute
            | Try::See
            | Try::Notify
            | Try::Object
            | Try::TakeBack
            | Try::Settle
            | Try::Remind
            | Try::Amend
            | Try::Countersign
            | Try::Retrieve
            | Try::Deposit
            | Try::Terminate
            | Try::Repeat
            | Try::Damage => return None,
        };
        let house = by.split_once('/').unwrap().0;
        let stated = self.world.stated(statement);
        Some(match (step.is_by_house, step.lie) {
            (true, _) => Stated { key: key_of(house), ..stated },
            (false, Lie::Key) => {
                Stated { key: key_of(step.about.get(&self.people).as_str()), ..stated }
            }
            (false, Lie::No | Lie::Saw | Lie::Digest | Lie::Name) => stated,
        })
    }

    /// What this member says, if there is anything to speak about.
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
            Try::See if entry.is_some_and(|entry| entry.rule.objection.is_empty()) => {
                world.time_stamp(&by, &case?).into()
            }
            Try::See => world.sight(&by, &case?).into(),
            Try::Notify if step.is_grave => {
                world.attestation(&by, &case?, &attested(&entry?.rule)).into()
            }
            Try::Notify => world.notification(&by, &case?).into(),
            Try::Object => world.objection(&by, &case?).into(),
            Try::TakeBack => world.withdrawal(&by, &case?, Withdrawn::Request).into(),
            Try::Settle if step.is_grave => {
                let settled_by = entry?.rule.settled_by.clone().unwrap_or_default();
                let named = settled_by.each().next().map(|(basis, _)| basis);
                world.settlement(&by, &case?, named.unwrap_or(Basis::Award)).into()
            }
            Try::Remind => {
                let about = step.about.get(&self.people).split_once('/')?.0;
                world.reminder(&by, &self.agreement, about).into()
            }
            Try::Amend => world.amendment(&by, &self.agreement, &otherwise(&self.terms)).into(),
            Try::Countersign => {
                let last = self.amendments.last()?.sha256;
                world.countersignature(&by, &self.agreement, last).into()
            }
            Try::Settle => world.withdrawal(&by, &case?, Withdrawn::Objection).into(),
            Try::Retrieve if entry.is_some_and(|entry| entry.is_retrieved) => {
                world.acknowledgement(&by, &case?, *step.who.get(&ACKNOWLEDGED)).into()
            }
            Try::Retrieve => world.retrieval(&by, &case?).into(),
            Try::Deposit => world.deposit(&by, &self.agreement).into(),
            Try::Terminate => world.termination(&by, &self.agreement).into(),
            Try::Confirm | Try::Revoke | Try::RevokeAgain | Try::Reseal => {
                return self.speak_of_members(step, by);
            }
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
            (Lie::Saw, Statement::Settlement(s)) => s.ground.saw = earlier,
            (Lie::Digest, Statement::Settlement(s)) => s.request.sha256 = other,
            (Lie::Digest, Statement::Consent(s)) => s.request.sha256 = other,
            (Lie::Digest, Statement::Contribution(s)) => s.request.sha256 = other,
            (Lie::Saw, Statement::Acknowledgement(s)) => s.ground.saw = earlier,
            (Lie::Digest, Statement::Acknowledgement(s)) => s.request.sha256 = other,
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
        if let Statement::Confirmation(s) = &stated.statement {
            return self.let_in(stated, s);
        }
        if let Statement::Revocation(s) = &stated.statement {
            return self.put_out(stated, s);
        }
        let (by, now) = (stated.statement.made().by.clone(), self.world.now);
        prop_assert!(ORGANISATIONS.contains(&by.organisation.as_str()), "a stranger's");
        prop_assert!(self.members.is_in(&by), "of who is not in");
        prop_assert_eq!(stated.key, key_of(&by.to_string()), "somebody else's");
        let own = by.organisation.clone();
        let saw = stated.statement.ground().map(|ground| ground.saw.sequence);
        let only_blocks = matches!(
            &stated.statement,
            Statement::Objection(_)
                | Statement::Seen(_)
                | Statement::Acknowledgement(_)
                | Statement::Withdrawal(Withdrawal { withdrawn: Withdrawn::Request, .. })
        );
        let is_recent = saw >= Some(self.floor) || only_blocks;
        prop_assert!(is_recent, "rests on what an objection or withdrawal overtook");
        if matches!(
            stated.statement,
            Statement::Objection(_) | Statement::Settlement(_) | Statement::Withdrawal(_)
        ) {
            self.floor = self.world.ground(&self.agreement).saw.sequence;
        }
        if stated.statement.ground().is_some() {
            self.heard.insert(own.clone(), now);
            self.reminded.remove(&own);
        }
        match &stated.statement {
            Statement::Deposit(_) => {
                self.deposits.push(DepositId::of(&stated.digest));
                self.deposited_at = now;
            }
            Statement::Reminder(s) => {
                prop_assert!(own != s.organisation, "of itself");
                let (times, last) =
                    self.reminded.entry(s.organisation.clone()).or_insert((0, Timestamp::EPOCH));
                let every = self.terms.rules.iter().filter_map(|rule| match &rule.trigger {
                    Trigger::Silence { role, every, .. } => {
                        self.terms.in_role(role).contains(&s.organisation).then_some(*every)
                    }
                    Trigger::Joint
                    | Trigger::Event { .. }
                    | Trigger::Order { .. }
                    | Trigger::Missed { .. }
                    | Trigger::Date(_) => None,
                });
                let every = every.max();
                prop_assert!(every.is_some(), "of whose silence nothing rests on");
                let is_spaced = *times == 0 || every.is_some_and(|every| now >= last.after(every));
                prop_assert!(is_spaced, "reminded in quick succession");
                (*times, *last) = (*times + 1, now);
                self.feats.insert("reminded");
            }
            Statement::Amendment(s) => {
                prop_assert!(self.may_amend(&own), "by who may not amend");
                let (sha256, version) = (stated.digest, self.version);
                let signed = BTreeMap::from([(own, (by, now))]);
                self.amendments.push(Amended { sha256, version, terms: s.terms.clone(), signed });
            }
            Statement::Countersignature(s) => {
                prop_assert!(self.may_amend(&own), "by who may not amend");
                let found = self.amendments.iter_mut().find(|a| a.sha256 == s.amendment_sha256);
                let amended = found.unwrap();
                prop_assert_eq!(amended.version, self.version, "of terms no longer in force");
                amended.signed.insert(own, (by, now));
                let counting =
                    amended.signed.iter().filter(|(_, (by, at))| self.members.counts(by, *at));
                let mut seats = BTreeMap::<Role, u16>::new();
                for (who, _) in counting {
                    *seats.entry(self.terms.role_of(who).unwrap().clone()).or_default() += 1;
                }
                if is_met(self.terms.amend.as_ref().unwrap(), &seats) {
                    self.terms = amended.terms.clone();
                    self.version += 1;
                    self.floor = self.world.ground(&self.agreement).saw.sequence;
                    self.feats.insert("amended");
                }
            }
            Statement::Request(s) => {
                prop_assert!(!self.damaged.contains(&s.deposit));
                let terms = self.terms.clone();
                let rule = terms.rule(&s.rule).unwrap().clone();
                self.is_unheard_of(&rule)?;
                if rule.grants == Grants::Latest {
                    prop_assert_eq!(Some(&s.deposit), self.deposits.last(), "not the latest");
                }
                if self.version > 1 {
                    self.feats.insert("asked for under amended terms");
                }
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
                    attested: Vec::new(),
                    seen: Vec::new(),
                    aware: Vec::new(),
                    notified: Vec::new(),
                    is_withdrawn: false,
                    is_released: false,
                    is_retrieved: false,
                    released_at: None,
                    fetched: 0,
                    acknowledged: Vec::new(),
                    stamped_at: None,
                });
            }
            Statement::Consent(s) => {
                let entry = self.entry(&s.request);
                prop_assert_eq!(s.request.sha256, entry.case.request.sha256, "promise 4");
                prop_assert!(by != entry.requester, "promise 2: the requester consents");
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                entry.aware.push((by.clone(), now));
                let has_seat = entry.standing(now).any(|who| *who == by);
                prop_assert!(!has_seat, "promise 2: a second seat");
                if entry.consents.insert(by, now).is_some() {
                    self.feats.insert("a consent is given anew");
                }
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
                let consented = entry.standing(now).any(|by| by.organisation == own);
                prop_assert!(consented, "of who has not consented");
                let twice = entry.contributions.keys().any(|by| by.organisation == own);
                prop_assert!(!twice, "the same share twice");
                entry.contributions.insert(by, now);
                entry.is_released = entry.shares() >= usize::from(entry.terms.quorum);
                if entry.is_released {
                    entry.released_at = Some(now);
                    let feats = entry.feats();
                    self.feats.extend(feats);
                }
            }
            Statement::Seen(s) => {
                let entry = self.entry(&s.request);
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                let role = entry.terms.role_of(&own).unwrap();
                let is_to = [&entry.rule.objection, &entry.rule.reviewers];
                prop_assert!(is_to.iter().any(|roles| roles.contains(role)));
                entry.seen.push((by.clone(), now));
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
                let mut own = entry.objections.iter().filter(|o| o.by.organisation == own);
                prop_assert!(own.all(|o| !entry.is_settled(o)), "what was settled");
                let (settled, withdrawn) = (Vec::new(), None);
                entry.objections.push(Objected { by, at: now, settled, withdrawn });
            }
            Statement::Attestation(s) => {
                let entry = self.entry(&s.request);
                prop_assert_eq!(s.request.sha256, entry.case.request.sha256, "promise 4");
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                prop_assert!(own != entry.requester.organisation, "by who gains from it");
                let named = entry.rule.trigger.attested().map(roles_named).unwrap_or_default();
                prop_assert!(named.contains(entry.terms.role_of(&own).unwrap()), "by nobody named");
                let twice = entry.attested.iter().any(|(attested, _)| *attested == by);
                prop_assert!(!twice, "attested twice");
                entry.attested.push((by, now));
                self.feats.insert("attested");
            }
            Statement::Settlement(s) => {
                let entry = self.entry(&s.request);
                prop_assert_eq!(s.request.sha256, entry.case.request.sha256, "promise 4");
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                // A joint instruction is of both sides.
                let is_joint = s.basis == Basis::Joint;
                prop_assert!(is_joint || own != entry.requester.organisation, "by who gains");
                let settled_by = entry.rule.settled_by.as_ref().and_then(|by| by.on(s.basis));
                let named = settled_by.map(roles_named).unwrap_or_default();
                prop_assert!(named.contains(entry.terms.role_of(&own).unwrap()), "by nobody named");
                let standing: Vec<_> = entry.objecting().into_iter().cloned().collect();
                prop_assert!(!standing.is_empty(), "nothing to settle");
                for objected in &mut entry.objections {
                    if standing.contains(&objected.by.organisation) && objected.withdrawn.is_none()
                    {
                        objected.settled.push((by.clone(), now, s.basis));
                    }
                }
                self.feats.insert("an objection is settled");
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
                entry.is_retrieved = true;
                entry.fetched += 1;
                if let Some(access) = entry.rule.access {
                    let is_counted = access.times.is_none_or(|times| entry.fetched <= times);
                    prop_assert!(is_counted, "fetched too often");
                    let released_at = entry.released_at.unwrap();
                    let is_within = |within| now < released_at.after(within);
                    prop_assert!(access.within.is_none_or(is_within), "fetched too late");
                    self.feats.insert("fetched where that is bounded");
                }
            }
            Statement::Acknowledgement(s) => {
                let entry = self.entry(&s.request);
                prop_assert_eq!(s.request.sha256, entry.case.request.sha256, "promise 4");
                prop_assert!(entry.is_retrieved, "of what was not handed out");
                let is_requesters = own == entry.requester.organisation;
                let came_back = s.what == Acknowledged::Returned;
                let is_depositors = entry.terms.depositor() == Some(&own);
                prop_assert!(is_requesters || (came_back && is_depositors), "by who has no say");
                let said = (own, s.what);
                prop_assert!(!entry.acknowledged.contains(&said), "the same twice");
                entry.acknowledged.push(said);
                self.feats.insert("acknowledged");
            }
            Statement::TimeStamp(s) => {
                let entry = self.entry(&s.request);
                prop_assert_eq!(s.request.sha256, entry.case.request.sha256, "promise 4");
                prop_assert!(entry.terms.time_stamps.is_some(), "by nobody agreed on");
                prop_assert!(!entry.is_released && !entry.is_withdrawn);
                prop_assert!(entry.stamped_at.replace(s.at).is_none(), "stamped twice");
                self.feats.insert("time-stamped");
            }
            Statement::Termination(_) => {}
            Statement::Reseal(s) => {
                let to = &s.share.member;
                let terms = &self.world.states.agreement(&self.agreement).unwrap().terms;
                prop_assert!(terms.is_holder(&own) && to.organisation == own, "to another house");
                prop_assert!(self.members.is_in(to), "a share sealed to who is not in");
                prop_assert!(self.shares.contains_key(&by), "of who has none");
                let before = self.shares.insert(to.clone(), s.share.sha256);
                prop_assert!(before.is_none(), "a share was overwritten");
                self.feats.insert("a share is passed on");
            }
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
            | Statement::Declination(_) => prop_assert!(false, "nobody tried this"),
        }
        Ok(())
    }

    /// Whether the organisation's role may amend the terms.
    fn may_amend(&self, own: &OrganisationName) -> bool {
        let named = self.terms.amend.as_ref().map(roles_named).unwrap_or_default();
        named.contains(self.terms.role_of(own).unwrap())
    }

    /// Whether what the log itself has to show for a rule was so when it was asked for.
    fn is_unheard_of(&self, rule: &Rule) -> Result<(), TestCaseError> {
        let now = self.world.now;
        match &rule.trigger {
            Trigger::Missed { deposits, interval, grace } => {
                let due = self.deposited_at.after(interval.times(*deposits)).after(*grace);
                prop_assert!(now >= due, "no deposit was missed");
            }
            Trigger::Silence { role, lasts, reminders, every } => {
                for who in self.terms.in_role(role) {
                    prop_assert!(now >= self.heard[who].after(*lasts), "it was heard of");
                    let (times, last) =
                        self.reminded.get(who).copied().unwrap_or((0, Timestamp::EPOCH));
                    prop_assert!(times >= *reminders, "it was not reminded");
                    prop_assert!(now >= last.after(*every), "it had no time to answer");
                }
            }
            Trigger::Joint | Trigger::Event { .. } | Trigger::Order { .. } | Trigger::Date(_) => {}
        }
        Ok(())
    }

    /// A colleague was confirmed.
    fn let_in(&mut self, stated: &Stated, s: &say::Confirmation) -> Result<(), TestCaseError> {
        self.is_authority(stated, &s.member)?;
        prop_assert!(!self.members.is_out(&s.member), "who was put out comes back");
        prop_assert!(!self.members.is_in(&s.member), "confirmed twice");
        let is_anew = self.members.is_shut_out(&s.member);
        let feat = if is_anew { "somebody shut out is confirmed anew" } else { "confirmed" };
        self.feats.insert(feat);
        self.members.let_in(&s.member, &s.made.by, self.world.now, s.administrator);
        Ok(())
    }

    /// A member's authority was taken away.
    fn put_out(&mut self, stated: &Stated, s: &say::Revocation) -> Result<(), TestCaseError> {
        self.is_authority(stated, &s.member)?;
        let is_worse = self.members.reasons(&s.member).all(|before| match (before, s.reason) {
            (_, Reason::Left) => false,
            (Reason::Left, Reason::CompromisedSince(_)) => true,
            (Reason::CompromisedSince(known), Reason::CompromisedSince(since)) => since < known,
        });
        prop_assert!(is_worse, "a second revocation makes it milder");
        let again = self.members.is_out(&s.member);
        self.feats.insert(if again { "revoked a second time" } else { "revoked" });
        let was_in = |members: &Members, who: &String| members.is_in(&path(who));
        let others: Vec<_> =
            self.people.iter().filter(|who| **who != s.member.to_string()).collect();
        let before: Vec<_> = others.iter().filter(|who| was_in(&self.members, who)).collect();
        self.members.put_out(&s.member, s.reason);
        if before.iter().any(|who| !was_in(&self.members, who)) {
            self.feats.insert("whom a thief let in is shut out");
        }
        for entry in &mut self.entries {
            let consents = entry.consents.len();
            entry.judge(&self.members);
            if entry.consents.len() < consents {
                let first = "a consent is void";
                let second = "a consent is void by a second revocation";
                self.feats.insert(if again { second } else { first });
            }
        }
        Ok(())
    }

    /// Who speaks of members is an administrator of theirs, or has the organisation's key at home.
    fn is_authority(&self, stated: &Stated, of: &MemberPath) -> Result<(), TestCaseError> {
        let by = &stated.statement.made().by;
        prop_assert_eq!(&by.organisation, &of.organisation, "of another house");
        if stated.key == key_of(by.organisation.as_str()) {
            prop_assert_eq!(by.name.as_str(), "one", "in the name of who has not got the key");
        } else {
            prop_assert_eq!(stated.key, key_of(&by.to_string()), "somebody else's");
            prop_assert!(self.members.is_administrator(by), "of who is no administrator");
        }
        Ok(())
    }

    fn entry(&mut self, named: &RequestRef) -> &mut Entry {
        self.entries.iter_mut().find(|entry| entry.case.request.id == named.id).unwrap()
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
        prop_assert_eq!((&agreement.terms, agreement.version), (&self.terms, self.version));
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
            prop_assert_eq!(&request.terms, &entry.terms, "promise 5");
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
        let inputs = (sound_terms(), prop::collection::vec(step(), 40));
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
    ] {
        let times = feats.get(feat).copied().unwrap_or_default();
        if times < least {
            seldom.push((feat, times, least));
        }
    }
    assert!(seldom.is_empty(), "too seldom: {seldom:?}; {feats:?}, {reached:?}");
}
