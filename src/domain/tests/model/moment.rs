//! A moment of the search, and what a step makes of it.

use std::borrow::Cow;
use std::sync::Arc;

use super::expected::Expected;
use super::mutants::Mutant;
use super::steps::{self, Act, Step};
use super::{GOOD_HOURS, HOURS, RULES, hours, marks_until};
use crate::domain::id::{AgreementId, DepositId, Digest, RequestId};
use crate::domain::refusal::Refusal;
use crate::domain::request::{Request, State};
use crate::domain::rules;
use crate::domain::statement::{self as say, RequestRef, Stated, Statement};
use crate::domain::tests::world::{Case, World};
use crate::domain::time::Timestamp;

/// The vault's states, and what is expected of them.
#[derive(Clone)]
pub(super) struct Moment {
    pub(super) world: World,
    /// When the clock stood at its first mark.
    pub(super) began_at: Timestamp,
    pub(super) agreement: AgreementId,
    pub(super) deposits: [DepositId; 2],
    pub(super) cases: [Option<Case>; 2],
    pub(super) amendment: Option<Digest>,
    pub(super) held: Option<Held>,
    pub(super) last: Option<Arc<Stated>>,
    /// Whether what is not as expected is no matter: it is entered, and not told as wrong.
    pub(super) goes_on: bool,
    pub(super) expected: Expected,
    /// The first thing that was not as expected.
    pub(super) wrong: Option<String>,
}

/// A statement that was signed and not handed in.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) act: Act,
    pub(super) stated: Arc<Stated>,
    /// Marks until it is no longer good.
    pub(super) good: usize,
    /// Something has happened since that its signer had to know.
    pub(super) is_overtaken: bool,
}

/// Something was said: what the vault makes of it, and what it ought to.
pub(super) struct Said {
    act: Option<Act>,
    stated: Arc<Stated>,
    decided: Result<(), Refusal>,
    may: bool,
}

impl Said {
    /// Whether it is refused, and ought to be: then nothing has happened.
    pub(super) fn is_nothing(&self) -> bool {
        self.decided.is_err() && !self.may
    }
}

impl Moment {
    /// When the clock stands at this mark.
    pub(super) fn at(&self, mark: usize) -> Timestamp {
        self.began_at.after(hours(HOURS[mark]))
    }

    /// What would be made of what the step says, if it says anything that can be said now.
    pub(super) fn say(&mut self, step: Step, mutant: Option<Mutant>) -> Option<Said> {
        let (act, stated, may) = match step {
            Step::Wait | Step::Sign(_) => return None,
            Step::Say(act) => {
                let statement = act.statement(self)?;
                let stated = Arc::new(self.world.stated(statement));
                (Some(act), stated, self.expected.may(act))
            }
            Step::HandIn => {
                let Held { act, stated, good, is_overtaken } = self.held.clone()?;
                let is_blind = matches!(act, Act::Object(..));
                let may = self.expected.may(act) && good > 0 && (is_blind || !is_overtaken);
                (Some(act), stated, may)
            }
            Step::Repeat => (None, self.last.clone()?, false),
        };
        let circumstances = self.world.circumstances(&stated);
        let decided = match mutant {
            Some(mutant) => mutant.decide(&self.world.states, &stated, &circumstances),
            None => rules::decide(&self.world.states, &stated, &circumstances),
        };
        Some(Said { act, stated, decided, may })
    }

    /// Takes a step; `None` where there is none to take.
    pub(super) fn take(&mut self, step: Step, mutant: Option<Mutant>) -> Option<()> {
        let had_ended = [0, 1].map(|of| self.expected.has_ended(of));
        match step {
            Step::Wait => {
                self.expected.wait();
                self.world.now = self.at(self.expected.mark);
                if let Some(held) = &mut self.held {
                    held.good = held.good.saturating_sub(1);
                }
            }
            Step::Sign(act) => {
                let mut statement = act.statement(self)?;
                let until = self.world.now.after(hours(GOOD_HOURS));
                if let Statement::Consent(say::Consent { ground, .. })
                | Statement::Contribution(say::Contribution { ground, .. })
                | Statement::Objection(say::Objection { ground, .. }) = &mut statement
                {
                    ground.valid_until = until;
                }
                let stated = Arc::new(self.world.stated(statement));
                let good = marks_until(self.expected.mark, GOOD_HOURS);
                self.held = Some(Held { act, stated, good, is_overtaken: false });
                self.expected.held();
            }
            Step::Say(_) | Step::HandIn | Step::Repeat => {
                let said = self.say(step, mutant)?;
                if step == Step::HandIn {
                    self.held = None;
                }
                self.enter(said, mutant);
            }
        }
        self.compare();
        for (of, had_ended) in had_ended.into_iter().enumerate() {
            if self.expected.has_ended(of) && !had_ended {
                self.probe(of, mutant);
            }
        }
        Some(())
    }

    /// Whether a request that has just ended stays as it is, whatever is said of it.
    fn probe(&mut self, of: usize, mutant: Option<Mutant>) {
        let mut tried = self.clone();
        for act in steps::telling(of) {
            let said = tried.say(Step::Say(act), mutant);
            if said.is_some_and(|said| said.decided.is_ok() != said.may) {
                self.finds(format!("{act:?} changes what has ended"));
            }
        }
    }

    fn enter(&mut self, said: Said, mutant: Option<Mutant>) {
        let Said { act, stated, decided, may } = said;
        match (&decided, may) {
            (Ok(()), true) | (Err(_), false) => {}
            (Ok(()), false) => self.finds(format!("{act:?} was accepted")),
            (Err(refusal), true) => self.finds(format!("{act:?} was refused: {refusal}")),
        }
        let (Ok(()), true, Some(act)) = (decided, may || self.goes_on, act) else { return };
        // No two events of the same instant.
        self.world.now = Timestamp::from_millis(self.world.now.as_millis() + 1);
        match mutant {
            Some(mutant) => mutant.enter(&mut self.world, &stated),
            None => self.world.enter(&stated),
        }
        match act {
            Act::Ask(of, _) => {
                let (agreement, sha256) = (self.agreement.clone(), stated.digest);
                let request = RequestRef { id: RequestId::of(&sha256), sha256 };
                self.cases[of] = Some(Case { agreement, request });
            }
            Act::Propose(_) => self.amendment = Some(stated.digest),
            Act::Revoke(_) => {
                // Told in the agreement at once, as the stock client does.
                let (by, id) = (act.by(), self.agreement.clone());
                let notice = self.world.revocation_notice(by, &id, super::DANA, stated.digest);
                if let Err(refusal) = self.world.try_say(notice) {
                    self.finds(format!("it cannot be told that dana is out: {refusal}"));
                }
            }
            Act::Consent(..)
            | Act::Mistaken(_)
            | Act::Contribute(..)
            | Act::See(_)
            | Act::Notify(..)
            | Act::Attest(..)
            | Act::Object(..)
            | Act::Award(..)
            | Act::Reconcile(_)
            | Act::TakeBack(_)
            | Act::Retrieve(..)
            | Act::Countersign(_) => {}
        }
        drop(self.world.states.take_changed());
        self.expected.take(act);
        if let Some(held) = self.held.as_mut().filter(|_| self.expected.is_overtaking(act)) {
            held.is_overtaken = true;
        }
        self.last = Some(stated);
    }

    /// Whether all stands where it is expected to.
    fn compare(&mut self) {
        let expected = &self.expected;
        let version = self.world.states.agreement(&self.agreement).map_or(0, |it| it.version);
        let mut wrong = (version != 1 + u32::from(expected.is_amended()))
            .then(|| format!("the terms are of version {version}"));
        for (of, case) in self.cases.iter().enumerate() {
            let Some(case) = case else { continue };
            let (found, expected) = (self.world.state(case), expected.state(of));
            if found != expected {
                wrong = Some(format!("{} is {found}, not {expected}", RULES[of]));
            }
        }
        if let Some(wrong) = wrong {
            self.finds(wrong);
        }
    }

    /// Something is not as expected; what was found first is told.
    fn finds(&mut self, wrong: String) {
        if !self.goes_on {
            self.wrong.get_or_insert(wrong);
        }
    }

    /// A request as it is to be judged.
    pub(super) fn request(&self, of: usize) -> Option<Cow<'_, Request>> {
        let case = self.cases[of].as_ref()?;
        Some(rules::as_judged(&self.world.states, self.world.seen(case)))
    }

    pub(super) fn state(&self, of: usize) -> Option<State> {
        Some(self.world.state(self.cases[of].as_ref()?))
    }
}

/// How many marks are still to come until a time is reached; all and one more, if that is never.
pub(super) fn marks_to(moment: &Moment, time: Timestamp) -> usize {
    let now = moment.expected.mark;
    if moment.world.now >= time {
        return 0;
    }
    let mut to_come = now + 1..HOURS.len();
    to_come.find(|mark| moment.at(*mark) >= time).unwrap_or(HOURS.len()) - now
}
