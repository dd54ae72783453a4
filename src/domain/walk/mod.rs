//! Terms walked through: a vault in memory, a clock moved by hand, and members who are made up.
//!
//! Whoever wants to know what terms mean says what people do, and the rules say what comes of it: the
//! very [`rules::decide`] and [`rules::apply`] by which a vault accepts and clients believe. What
//! members say is true in every field but for what takes mathematics: keys, digests and proofs are
//! any bytes unlike each other. What they do besides saying something is what their clients do: who
//! acts on a request has looked at it, and spends no share before notice has run by what the vault
//! cannot make alone.

pub(super) mod say;
mod step;

pub use step::{Act, Saying, Step, Stopped};

use std::collections::BTreeMap;

use crate::domain::agreement::Agreement;
use crate::domain::amendment::Amendment;
use crate::domain::event::Note;
use crate::domain::id::{AgreementId, DepositId, Digest, MemberPath, OrganisationName, RequestId};
use crate::domain::outlook::{self, Due};
use crate::domain::refusal::Refusal;
use crate::domain::request::{self, Request, State};
use crate::domain::rules;
use crate::domain::statement::{Reason, Stated};
use crate::domain::states::States;
use crate::domain::stream::Stream;
use crate::domain::terms::{Rule, Terms};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;
use crate::domain::walk::say::key_of;

/// What was said in a walk, whether or not it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The statement.
    pub stated: Stated,
    /// When.
    pub at: Timestamp,
    /// Why it was not accepted, if it was not.
    pub refused: Option<Refusal>,
}

/// An agreement in force, and what was done under it so far.
#[derive(Debug, Clone)]
pub struct Walk {
    states: States,
    now: Timestamp,
    streams: BTreeMap<Stream, Vec<Digest>>,
    made: u64,
    agreement: AgreementId,
    deposits: Vec<DepositId>,
    requests: Vec<RequestId>,
    amendments: Vec<Digest>,
    /// Since when a request is known in a member's home.
    known: BTreeMap<(RequestId, MemberPath), Timestamp>,
    said: Vec<Said>,
}

impl Walk {
    /// These terms, signed by all parties at this moment.
    pub fn of(terms: &Terms, now: Timestamp) -> Result<Self, Refusal> {
        let mut walk = Self {
            states: States::default(),
            now,
            streams: BTreeMap::new(),
            made: 0,
            agreement: AgreementId::of(&Digest::default()),
            deposits: Vec::new(),
            requests: Vec::new(),
            amendments: Vec::new(),
            known: BTreeMap::new(),
            said: Vec::new(),
        };
        let founded = Note::Founded {
            ledger_key: key_of("the ledger"),
            operator_key: key_of(&MemberPath::operator().to_string()),
            ca_sha256: walk.fresh(),
        };
        rules::apply_note(&mut walk.states, &founded, now, 1);
        for organisation in terms.organisations() {
            walk.found(organisation)?;
        }
        let depositor = terms.depositor().cloned();
        let depositor = depositor.ok_or(Refusal::Mismatch("the list of parties"))?;
        let proposer = MemberPath::office(depositor.clone());
        let proposal = walk.proposal(&proposer, terms);
        walk.agreement = AgreementId::of(&walk.say(proposal)?);
        let key = walk.release_key(&proposer);
        walk.say(key)?;
        for organisation in terms.organisations().filter(|who| **who != depositor) {
            let acceptance = walk.acceptance(&MemberPath::office(organisation.clone()));
            walk.say(acceptance)?;
        }
        Ok(walk)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What has come of it all.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// Everything that was said, in order.
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    /// The agreement as it stands.
    pub fn agreement(&self) -> Option<&Agreement> {
        self.states.agreement(&self.agreement)
    }

    /// How many deposits there are.
    pub fn deposits(&self) -> usize {
        self.deposits.len()
    }

    /// The number of the last deposit that may be asked for under a rule.
    pub fn granted(&self, rule: &Rule) -> Option<usize> {
        let agreement = self.agreement()?;
        let is_granted = |id: &DepositId| {
            self.states.deposit(id).is_some_and(|deposit| agreement.grants(rule, deposit))
        };
        self.deposits.iter().rposition(is_granted).map(|index| index + 1)
    }

    /// How many requests there are.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// A request as it is to be judged, by its number.
    pub fn request(&self, number: usize) -> Option<Request> {
        let id = self.requests.get(number.checked_sub(1)?)?;
        self.states.request(id).map(|request| rules::judged(&self.states, request))
    }

    /// The number of the request of this id.
    pub fn number_of(&self, id: &RequestId) -> Option<usize> {
        self.requests.iter().position(|known| known == id).map(|index| index + 1)
    }

    /// The amendments that can still come into force, by the digests of their statements.
    pub fn pending(&self) -> Vec<(Digest, Amendment)> {
        let Some(agreement) = self.agreement().filter(|it| it.in_force().is_ok()) else {
            return Vec::new();
        };
        let proposed = self.amendments.iter().filter_map(|sha256| {
            let found = self.states.amendment(sha256)?;
            Some((*sha256, rules::judged_amendment(&self.states, found)))
        });
        proposed.filter(|(_, it)| it.amends_sha256 == agreement.terms_sha256).collect()
    }

    /// In whose homes a request is known, and since when.
    pub fn known(&self, id: &RequestId) -> Vec<(MemberPath, Timestamp)> {
        let of = self.known.iter().filter(|((known, _), _)| known == id);
        of.map(|((_, member), since)| (member.clone(), *since)).collect()
    }

    /// When the next thing happens by itself.
    pub fn next_at(&self) -> Option<Timestamp> {
        let requests = (1..=self.requests()).filter_map(|number| self.request(number));
        let turns =
            requests.flat_map(|it| outlook::upcoming_in(&it, &self.known(&it.id), self.now));
        let ahead = self.agreement().map(|agreement| outlook::ahead(agreement, self.now));
        let ahead = ahead.into_iter().flatten().map(|coming| coming.at);
        turns.map(|turn| turn.at).chain(ahead).min()
    }

    /// Takes a step. What was said until it was stopped has been said. A step that was taken can leave
    /// something for later.
    pub fn take(&mut self, step: &Step) -> Result<Option<Stopped>, Stopped> {
        let taken: Result<(), Stopped> = match step {
            Step::Deposit { by, label } => self.deposits_as(by.as_ref(), label.clone()),
            Step::Request { by, rule, deposit, duty } => {
                self.arrives(by)?;
                let deposit = self.deposit_of(*deposit)?;
                let request = self.request_of(by, &deposit, rule, *duty);
                let id = RequestId::of(&self.say(request)?);
                self.requests.push(id.clone());
                self.looks(by, &id)?;
                self.stamps(by, &id)
            }
            Step::About { request, by, act } => {
                let (number, by, id) = self.about_whom(*request, by.as_ref())?;
                return self.about(&by, number, &id, act);
            }
            Step::Remind { by, organisation } => {
                self.arrives(by)?;
                let organisation = match organisation {
                    Some(organisation) => organisation.clone(),
                    None => self.only_silent(by)?,
                };
                let reminder = self.reminder(by, organisation);
                Ok(self.say(reminder).map(|_| ())?)
            }
            Step::Revoke { member, reason } => self.revokes(member, *reason),
            Step::Amend { by, terms } => {
                self.arrives(by)?;
                let amendment = self.amendment(by, terms);
                let sha256 = self.say(amendment)?;
                self.amendments.push(sha256);
                Ok(())
            }
            Step::Countersign { by } => {
                self.arrives(by)?;
                let absent = || Stopped::Absent("amendment".to_owned());
                // The last that still can come into force; or else the last, which will be refused.
                let last = self.pending().last().map(|(sha256, _)| *sha256);
                let sha256 = last.or(self.amendments.last().copied()).ok_or_else(absent)?;
                let countersignature = self.countersignature(by, sha256);
                Ok(self.say(countersignature).map(|_| ())?)
            }
            Step::Terminate { by } => {
                self.arrives(by)?;
                let termination = self.termination(by);
                Ok(self.say(termination).map(|_| ())?)
            }
            Step::Wait(Some(span)) => {
                self.now = self.now.after(*span);
                Ok(())
            }
            Step::Wait(None) => {
                self.now = self.next_at().ok_or(Stopped::NothingAhead)?;
                Ok(())
            }
            Step::Until(until) if *until < self.now => {
                Err(Stopped::Past { until: *until, now: self.now })
            }
            Step::Until(until) => {
                self.now = *until;
                Ok(())
            }
        };
        taken.map(|()| None)
    }

    fn deposits_as(&mut self, by: Option<&MemberPath>, label: Option<Text>) -> Result<(), Stopped> {
        let depositor = self.agreement().and_then(|agreement| agreement.terms.depositor());
        let office = depositor.cloned().map(MemberPath::office);
        let by = by.cloned().or(office).ok_or(Refusal::Mismatch("the list of parties"))?;
        self.arrives(&by)?;
        let deposit = self.deposit(&by, label.unwrap_or_else(|| Text::own("bundle")));
        let id = DepositId::of(&self.say(deposit)?);
        self.deposits.push(id);
        Ok(())
    }

    /// Who does something about which request; where nobody is named, it is who made it.
    fn about_whom(
        &mut self,
        request: Option<usize>,
        by: Option<&MemberPath>,
    ) -> Result<(usize, MemberPath, RequestId), Stopped> {
        let (number, request) = self.request_named(request)?;
        let by = by.unwrap_or(request.requester()).clone();
        self.arrives(&by)?;
        Ok((number, by, request.id))
    }

    fn about(
        &mut self,
        by: &MemberPath,
        number: usize,
        id: &RequestId,
        act: &Act,
    ) -> Result<Option<Stopped>, Stopped> {
        match act {
            Act::Look => {
                self.may_look(by)?;
                self.looks(by, id)?;
            }
            Act::Approve { notified } => return self.approves(by, number, id, *notified),
            // Whoever says that it was seen has looked and says so.
            Act::Say(Saying::Seen) => self.say_of(by, id, &Saying::Seen)?,
            Act::Say(saying) => {
                self.looks(by, id)?;
                let said = self.say_of(by, id, saying);
                said.or_else(|refusal| self.means(id, saying).and(Err(refusal.into())))?;
            }
        }
        Ok(None)
    }

    /// Whether it would mean anything, if the rules took it; clients refuse by themselves what does not.
    fn means(&self, id: &RequestId, saying: &Saying) -> Result<(), Stopped> {
        let request = self.judged(id)?;
        match saying {
            Saying::Attestation(what) => Ok(outlook::is_asked(&request, what)?),
            Saying::Settlement(_) if request.standing_objections().next().is_none() => {
                Err(Stopped::NothingToSettle)
            }
            Saying::Settlement(_)
            | Saying::Seen
            | Saying::Stamped
            | Saying::Notified
            | Saying::Consent
            | Saying::Contribution
            | Saying::Objection
            | Saying::Withdrawal(_)
            | Saying::Retrieval
            | Saying::Acknowledgement(_) => Ok(()),
        }
    }

    /// Who was revoked is shown nothing.
    fn may_look(&self, by: &MemberPath) -> Result<(), Refusal> {
        let organisation = self.states.organisation(&by.organisation);
        let member = organisation.and_then(|organisation| organisation.member(&by.name));
        member.ok_or_else(|| Refusal::WrongKey(by.clone()))?.may_look(by).map(|_| ())
    }

    /// Somebody looks at a request, and says so where that counts.
    fn looks(&mut self, by: &MemberPath, id: &RequestId) -> Result<(), Stopped> {
        let now = self.now;
        self.known.entry((id.clone(), by.clone())).or_insert(now);
        let request = self.judged(id)?;
        let seen = self.sight(by, &request);
        if request::decide_seen(&request, &seen, now).is_ok() {
            self.say(seen)?;
        }
        Ok(())
    }

    /// Whoever is there first has a request stamped, where the terms pin who stamps.
    fn stamps(&mut self, by: &MemberPath, id: &RequestId) -> Result<(), Stopped> {
        if self.judged(id)?.awaits_stamp(self.now).is_some() {
            self.say_of(by, id, &Saying::Stamped)?;
        }
        Ok(())
    }

    /// Somebody does what is due. What was consented to is contributed to as soon as the rule is met,
    /// and if that takes more time, it is left for later.
    fn approves(
        &mut self,
        by: &MemberPath,
        number: usize,
        id: &RequestId,
        notified: bool,
    ) -> Result<Option<Stopped>, Stopped> {
        self.may_look(by)?;
        self.looks(by, id)?;
        self.stamps(by, id)?;
        if notified {
            self.say_of(by, id, &Saying::Notified)?;
        }
        let due = outlook::due(&self.judged(id)?, by, self.now)?;
        let consents = match due {
            Due::Consent => true,
            Due::Contribution | Due::Nothing => false,
        };
        if consents {
            self.say_of(by, id, &Saying::Consent)?;
        }
        let has_done = notified || consents;
        let stopped = match self.spends(by, number, id) {
            Ok(()) => return Ok(None),
            Err(stopped) => stopped,
        };
        match (has_done, &stopped) {
            (true, Stopped::NothingDue(_)) => Ok(None),
            (true, Stopped::NoticeRuns { .. }) => Ok(Some(stopped)),
            (_, _) => Err(stopped),
        }
    }

    /// A share is spent, if that is due and notice has run in that home.
    fn spends(&mut self, by: &MemberPath, number: usize, id: &RequestId) -> Result<(), Stopped> {
        let request = self.judged(id)?;
        let is_due = request.state(self.now) == State::Satisfied
            && outlook::due(&request, by, self.now) == Ok(Due::Contribution);
        if !is_due {
            return Err(Stopped::NothingDue(by.clone()));
        }
        let known = self.known.get(&(id.clone(), by.clone())).copied().unwrap_or(self.now);
        let until = request.notice_ends_for(known);
        if self.now < until {
            return Err(Stopped::NoticeRuns { request: number, by: by.clone(), until });
        }
        Ok(self.say_of(by, id, &Saying::Contribution)?)
    }

    fn revokes(&mut self, member: &MemberPath, reason: Reason) -> Result<(), Stopped> {
        self.arrives(member)?;
        let office = MemberPath::office(member.organisation.clone());
        let revocation = self.revocation(&office, member, reason);
        let sha256 = self.say_with(revocation, key_of(member.organisation.as_str()))?;
        // Where it was the office itself, any colleague tells of it.
        let organisation = self.states.organisation(&member.organisation);
        let colleagues = organisation.into_iter().flat_map(|found| found.active_members());
        let colleagues: Vec<_> = colleagues.map(|(name, _)| name.clone()).collect();
        let is_there = colleagues.contains(&office.name);
        let other = colleagues.into_iter().next().filter(|_| !is_there);
        let by = match other {
            Some(name) => MemberPath { organisation: office.organisation, name },
            None => office,
        };
        let notice = self.revocation_notice(&by, member, sha256);
        Ok(self.say(notice).map(|_| ())?)
    }

    fn say_of(&mut self, by: &MemberPath, id: &RequestId, saying: &Saying) -> Result<(), Refusal> {
        let request = self.judged(id)?;
        let statement = self.saying(by, &request, saying);
        self.say(statement).map(|_| ())
    }

    fn judged(&self, id: &RequestId) -> Result<Request, Refusal> {
        let request = self.states.request(id);
        let request = request.ok_or_else(|| Refusal::NotFound(id.to_string()))?;
        Ok(rules::judged(&self.states, request))
    }

    /// The deposit of this number, or the last one.
    fn deposit_of(&self, number: Option<usize>) -> Result<DepositId, Stopped> {
        let absent = |number: usize| match number {
            0 => Stopped::Absent("deposit yet".to_owned()),
            number => Stopped::Absent(format!("deposit {number}")),
        };
        let number = number.unwrap_or(self.deposits.len());
        let found = number.checked_sub(1).and_then(|index| self.deposits.get(index));
        found.cloned().ok_or_else(|| absent(number))
    }

    fn request_named(&self, number: Option<usize>) -> Result<(usize, Request), Stopped> {
        let absent = |number: usize| match number {
            0 => Stopped::Absent("request yet".to_owned()),
            number => Stopped::Absent(format!("request {number}")),
        };
        let number = number.unwrap_or(self.requests.len());
        let request = self.request(number).ok_or_else(|| absent(number))?;
        Ok((number, request))
    }

    fn only_silent(&self, by: &MemberPath) -> Result<OrganisationName, Stopped> {
        let agreement = self.agreement();
        let silent = agreement.into_iter().flat_map(|agreement| {
            let others = agreement.terms.organisations().filter(|who| **who != by.organisation);
            others.filter(|who| agreement.reminder_from(who).is_some()).cloned()
        });
        match silent.collect::<Vec<_>>().as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Stopped::Absent("party whose silence counts, but its own".to_owned())),
            [..] => Err(Stopped::Absent("one party alone whose silence counts".to_owned())),
        }
    }
}
