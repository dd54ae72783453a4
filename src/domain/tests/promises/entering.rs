//! What was accepted is entered into the diary, and held against what stands there.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Trial;
use super::diary::{Entry, Members, Objected};
use crate::domain::id::{DepositId, Digest, MemberPath, OrganisationName, RequestId, Role};
use crate::domain::statement::{
    self as say, Acknowledged, Basis, Reason, RequestRef, Stated, Statement, Withdrawal, Withdrawn,
};
use crate::domain::terms::{Grants, Rule, Terms};
use crate::domain::tests::terms::{ORGANISATIONS, is_met, roles_named};
use crate::domain::tests::world::{Case, key_of, path};
use crate::domain::time::Timestamp;
use crate::domain::trigger::Trigger;

/// Other terms, as proposed.
pub(super) struct Amended {
    pub(super) sha256: Digest,
    /// Which version they amend.
    version: u32,
    terms: Terms,
    signed: BTreeMap<OrganisationName, (MemberPath, Timestamp)>,
}

impl Trial {
    /// Enters an accepted statement into the diary, and holds it against what stands there.
    pub(super) fn enter(&mut self, stated: &Stated) -> Result<(), TestCaseError> {
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
                self.is_in_term()?;
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
                self.is_in_term()?;
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
                    let feats = entry.feats(now);
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

    fn is_in_term(&self) -> Result<(), TestCaseError> {
        let is_in_term = self.terms.term.is_none_or(|term| self.world.now < term);
        prop_assert!(is_in_term, "the term is over");
        Ok(())
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
}
