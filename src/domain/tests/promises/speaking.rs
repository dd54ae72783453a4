//! What a member says when it tries something.

use super::steps::{Lie, Step, Try};
use super::{NAMES, Trial, attested};
use crate::domain::event::Note;
use crate::domain::id::MemberPath;
use crate::domain::statement::{Acknowledged, Basis, Reason, Stated, Statement, Withdrawn};
use crate::domain::terms::Terms;
use crate::domain::tests::world::{key_of, path};
use crate::domain::time::{Span, Timestamp};

/// All that can be said of a bundle.
const ACKNOWLEDGED: [Acknowledged; 4] = [
    Acknowledged::Received,
    Acknowledged::Returned,
    Acknowledged::Destroyed,
    Acknowledged::Reported,
];

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
    pub(super) fn speak(&mut self, step: &Step, mut by: String) -> Option<Stated> {
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
}
