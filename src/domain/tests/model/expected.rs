//! What ought to happen, told once more and shorter: the promises for one agreement whose rules are
//! `joint` and `bankruptcy`, and members who each do one thing. Time is told in marks of the clock
//! that are still to come, so that what is past is past alike.

use std::collections::BTreeMap;

use super::steps::{Act, Loss, Who};
use super::{
    Bounds, DANA, EVE, EXPIRES_HOURS, HANA, HOURS, MINJI, NOTICE_HOURS, SORA, STOLEN_AT,
    VOTE_HOURS, YUKI, marks_until,
};
use crate::domain::request::State;

/// Which organisation a member is of.
fn house(who: Who) -> Who {
    who.split('/').next().unwrap_or_default()
}

/// What has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Expected {
    /// Where the clock stands.
    pub(super) mark: usize,
    cases: [Option<Asked>; 2],
    dana: Option<Loss>,
    amendment: Option<Signed>,
    /// Something was signed and not handed in at once.
    was_held: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Asked {
    /// Under the terms as amended.
    is_amended: bool,
    /// Marks until notice has run, and until it lapses.
    notice: usize,
    expires: usize,
    consents: BTreeMap<Who, Given>,
    /// Which organisations' shares were spent.
    contributed: BTreeMap<Who, IsSafe>,
    attested: BTreeMap<Who, IsSafe>,
    is_seen: bool,
    notified: Option<IsSafe>,
    objection: Option<Dispute>,
    /// A consent ceased to count.
    was_void: bool,
    /// Then only this is remembered of it, under which terms, and whether there was trouble.
    end: Option<End>,
}

/// Whether an act counts even where dana's keys turn out to be stolen.
type IsSafe = bool;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Given {
    /// Marks until it is no longer good, if that ends.
    good: Option<usize>,
    is_safe: IsSafe,
}

/// How the objection stands, of which there is one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Dispute {
    Standing,
    TakenBack,
    Settled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    TakenBack,
    Expired,
    Released,
    Retrieved,
}

/// Which organisations have signed the amendment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Signed {
    by: BTreeMap<Who, IsSafe>,
    is_in_force: bool,
}

impl Asked {
    /// Every rule wants the agent, and one other organisation.
    fn is_consented(&self, of: usize) -> bool {
        let has = |who: &[Who]| who.iter().any(|who| self.consents.contains_key(who));
        let others: &[_] = match (of, self.is_amended) {
            (0, false) => &[MINJI],
            (_, _) => &[HANA],
        };
        let is_reviewed = of == 0 || !self.is_amended || self.is_seen;
        has(&[DANA, SORA]) && has(others) && is_reviewed
    }
}

impl Asked {
    fn ends(&mut self, end: End) {
        let Self { is_amended, objection, was_void, .. } = *self;
        *self = Self { is_amended, objection, was_void, end: Some(end), ..Self::default() };
    }
}

impl Expected {
    pub(super) fn state(&self, of: usize) -> State {
        let Some(asked) = &self.cases[of] else { return State::Open };
        let is_told = asked.is_seen || asked.notified.is_some() || asked.objection.is_some();
        let (is_known, is_triggered) = (of == 0 || is_told, of == 0 || !asked.attested.is_empty());
        match asked.end {
            Some(End::TakenBack) => State::Withdrawn,
            Some(End::Released) => State::Released,
            Some(End::Retrieved) => State::Retrieved,
            Some(End::Expired) => State::Expired,
            None if asked.objection == Some(Dispute::Standing) => State::Objected,
            None if !is_triggered || !asked.is_consented(of) => State::Open,
            None if asked.notice > 0 || !is_known => State::Notice,
            None => State::Satisfied,
        }
    }

    fn open(&self, of: usize) -> Option<&Asked> {
        let undecided = [State::Open, State::Notice, State::Objected, State::Satisfied];
        self.cases[of].as_ref().filter(|_| undecided.contains(&self.state(of)))
    }

    /// Whether it ought to be accepted.
    pub(super) fn may(&self, act: Act) -> bool {
        let who = act.by();
        if who == EVE || (who == DANA && self.dana.is_some()) {
            return false;
        }
        let [hanbit, center] = [house(MINJI), house(DANA)];
        match act {
            Act::Ask(..) => who == YUKI,
            Act::Consent(of, _) => self.open(of).is_some_and(|asked| {
                let seats: &[_] = match (of, asked.is_amended) {
                    (0, false) => &[MINJI, DANA, SORA],
                    (_, _) => &[DANA, SORA, HANA],
                };
                seats.contains(&who) && !asked.consents.contains_key(who)
            }),
            Act::Mistaken(_) => false,
            Act::Contribute(of, _) => self.open(of).is_some_and(|asked| {
                let own = house(who);
                let has_consented = asked.consents.keys().any(|who| house(who) == own);
                let is_first = !asked.contributed.contains_key(own);
                self.state(of) == State::Satisfied && has_consented && is_first
            }),
            Act::See(of) => of == 1 && self.open(of).is_some_and(|asked| !asked.is_seen),
            Act::Notify(of, _) => of == 1 && who != YUKI && self.open(of).is_some(),
            Act::Attest(of, _) => {
                let is_first = |asked: &Asked| !asked.attested.contains_key(who);
                of == 1 && house(who) == center && self.open(of).is_some_and(is_first)
            }
            Act::Object(of, _) => {
                let is_new = |asked: &Asked| {
                    !matches!(asked.objection, Some(Dispute::Standing | Dispute::Settled))
                };
                of == 1 && who == MINJI && self.open(of).is_some_and(is_new)
            }
            Act::Award(of, _) => {
                let is_asked = self.open(of).is_some_and(|asked| !asked.is_amended);
                who == HANA && is_asked && self.state(of) == State::Objected
            }
            Act::Reconcile(of) => {
                self.open(of).is_some_and(|asked| asked.objection == Some(Dispute::Standing))
            }
            Act::TakeBack(of) => self.open(of).is_some(),
            Act::Retrieve(of, _) => {
                // What both agree on is fetched once.
                let again = of == 1 && self.state(of) == State::Retrieved;
                who == YUKI && (again || self.state(of) == State::Released)
            }
            Act::Revoke(Loss::Left) => self.dana.is_none(),
            Act::Revoke(Loss::Stolen) => self.dana != Some(Loss::Stolen) && self.mark >= STOLEN_AT,
            Act::Propose(_) => [hanbit, center].contains(&house(who)),
            Act::Countersign(_) => self.amendment.as_ref().is_some_and(|signed| {
                let own = house(who);
                let is_new = !signed.is_in_force && !signed.by.contains_key(own);
                [hanbit, center].contains(&own) && is_new
            }),
        }
    }

    /// It was accepted.
    pub(super) fn take(&mut self, act: Act) {
        let (who, mark) = (act.by(), self.mark);
        let is_safe = who != DANA || mark < STOLEN_AT;
        let is_amended = self.is_amended();
        if let Act::Ask(of, _) = act {
            let (notice, expires) = (if of == 0 { 0 } else { NOTICE_HOURS }, EXPIRES_HOURS);
            let (notice, expires) = (marks_until(mark, notice), marks_until(mark, expires));
            self.cases[of] = Some(Asked { is_amended, notice, expires, ..Asked::default() });
        }
        if let Some(asked) = act.about().and_then(|of| self.cases[of].as_mut()) {
            match act {
                Act::Consent(of, _) => {
                    let is_short = of == 0 && !asked.is_amended;
                    let good = is_short.then(|| marks_until(mark, VOTE_HOURS));
                    asked.consents.insert(who, Given { good, is_safe });
                }
                Act::Contribute(..) => {
                    asked.contributed.insert(house(who), is_safe);
                    // With the requester's own share the quorum of three is there.
                    if asked.contributed.len() >= 2 {
                        asked.ends(End::Released);
                    }
                }
                Act::See(_) => asked.is_seen = true,
                Act::Notify(..) => asked.notified = Some(is_safe),
                Act::Attest(..) => drop(asked.attested.insert(who, is_safe)),
                Act::Object(..) => asked.objection = Some(Dispute::Standing),
                Act::Award(..) => asked.objection = Some(Dispute::Settled),
                Act::Reconcile(_) => asked.objection = Some(Dispute::TakenBack),
                Act::TakeBack(_) => asked.ends(End::TakenBack),
                Act::Retrieve(..) => asked.ends(End::Retrieved),
                Act::Ask(..)
                | Act::Mistaken(_)
                | Act::Revoke(_)
                | Act::Propose(_)
                | Act::Countersign(_) => {}
            }
        }
        match act {
            Act::Revoke(loss) => self.lose(loss),
            Act::Propose(_) | Act::Countersign(_) => {
                let signed = self.amendment.get_or_insert_default();
                signed.by.insert(house(who), is_safe);
                signed.is_in_force = signed.by.len() == 2;
            }
            Act::Ask(..)
            | Act::Consent(..)
            | Act::Mistaken(_)
            | Act::Contribute(..)
            | Act::See(_)
            | Act::Notify(..)
            | Act::Attest(..)
            | Act::Object(..)
            | Act::Award(..)
            | Act::Reconcile(_)
            | Act::TakeBack(_)
            | Act::Retrieve(..) => {}
        }
    }

    /// What was done with stolen keys counts no more in what is not decided yet.
    fn lose(&mut self, loss: Loss) {
        self.dana = Some(loss);
        if loss == Loss::Left {
            return;
        }
        for asked in self.cases.iter_mut().flatten().filter(|asked| asked.end.is_none()) {
            let before = asked.consents.len();
            asked.consents.retain(|_, given| given.is_safe);
            asked.was_void |= asked.consents.len() < before;
            asked.contributed.retain(|_, is_safe| *is_safe);
            asked.attested.retain(|_, is_safe| *is_safe);
            asked.notified.take_if(|is_safe| !*is_safe);
        }
        if let Some(signed) = self.amendment.as_mut().filter(|signed| !signed.is_in_force) {
            signed.by.retain(|_, is_safe| *is_safe);
        }
    }

    /// The clock went to its next mark.
    pub(super) fn wait(&mut self) {
        self.mark += 1;
        for asked in self.cases.iter_mut().flatten() {
            asked.notice = asked.notice.saturating_sub(1);
            asked.expires = asked.expires.saturating_sub(1);
            asked.consents.values_mut().flat_map(|given| &mut given.good).for_each(|n| *n -= 1);
            asked.consents.retain(|_, given| given.good != Some(0));
            if asked.end.is_none() && asked.expires == 0 {
                asked.ends(End::Expired);
            }
        }
    }

    pub(super) fn held(&mut self) {
        self.was_held = true;
    }

    /// Whether it outdates what was signed before.
    pub(super) fn is_overtaking(&self, act: Act) -> bool {
        match act {
            Act::Object(..)
            | Act::Award(..)
            | Act::Reconcile(_)
            | Act::TakeBack(_)
            | Act::Revoke(_) => true,
            Act::Countersign(_) => self.is_amended(),
            Act::Ask(..)
            | Act::Consent(..)
            | Act::Mistaken(_)
            | Act::Contribute(..)
            | Act::See(_)
            | Act::Notify(..)
            | Act::Attest(..)
            | Act::Retrieve(..)
            | Act::Propose(_) => false,
        }
    }

    /// Whether the search goes there: each thing is asked for once and early, objected to once,
    /// amended once, and sora does in the agent's name what dana no longer can.
    pub(super) fn is_within(&self, bounds: Bounds, act: Act) -> bool {
        if self.troubles(Some(act)) > bounds.troubles {
            return false;
        }
        if act.about().is_some_and(|of| self.has_ended(of)) && !act.is_tried_of_ended() {
            return false;
        }
        if act.by() == SORA && !matches!(act, Act::Revoke(_)) && self.dana.is_none() {
            return false;
        }
        match act {
            Act::Ask(of, _) => {
                let is_asked = bounds.asked.contains(&of) && self.mark == 0;
                self.cases[of].is_none() && is_asked
            }
            // It is shown or told, and not both but where that means two things.
            Act::See(of) => {
                let is_told = |asked: &Asked| asked.notified.is_some() && !asked.is_amended;
                !self.cases[of].as_ref().is_some_and(is_told)
            }
            Act::Notify(of, _) => {
                let is_new = |asked: &Asked| asked.notified.is_none() && !asked.is_seen;
                self.cases[of].as_ref().is_some_and(is_new)
            }
            Act::Object(of, _) => {
                let is_taken_back = |asked: &Asked| asked.objection == Some(Dispute::TakenBack);
                !self.cases[of].as_ref().is_some_and(is_taken_back)
            }
            Act::Retrieve(of, _) => of == 0 || self.state(of) != State::Retrieved,
            Act::Propose(_) => self.amendment.is_none() && self.mark < bounds.trouble_by,
            Act::Revoke(_) => self.mark <= bounds.trouble_by,
            Act::Consent(..)
            | Act::Mistaken(_)
            | Act::Contribute(..)
            | Act::Attest(..)
            | Act::Award(..)
            | Act::Reconcile(_)
            | Act::TakeBack(_)
            | Act::Countersign(_) => true,
        }
    }

    /// How many of the four things that go otherwise than people wish have happened, were this one
    /// to happen too; `None` stands for what is signed and held back.
    pub(super) fn troubles(&self, act: Option<Act>) -> usize {
        let comes = [
            matches!(act, Some(Act::Revoke(_))),
            matches!(act, Some(Act::Propose(_))),
            matches!(act, Some(Act::Object(..))),
            act.is_none(),
        ];
        self.had().into_iter().zip(comes).filter(|(had, comes)| *had || *comes).count()
    }

    /// Whether so many of them have happened.
    pub(super) fn has_had(&self, troubles: usize) -> bool {
        self.had().into_iter().filter(|had| *had).count() >= troubles
    }

    fn had(&self) -> [bool; 4] {
        let is_objected = self.cases.iter().flatten().any(|asked| asked.objection.is_some());
        [self.dana.is_some(), self.amendment.is_some(), is_objected, self.was_held]
    }

    pub(super) fn is_over(&self) -> bool {
        self.mark + 1 >= HOURS.len()
    }
}

/// What it can be asked.
impl Expected {
    pub(super) fn is_amended(&self) -> bool {
        self.amendment.as_ref().is_some_and(|signed| signed.is_in_force)
    }

    /// Whether the request was made under the terms as amended.
    pub(super) fn is_under_new_terms(&self, of: usize) -> bool {
        self.cases[of].as_ref().is_some_and(|asked| asked.is_amended)
    }

    pub(super) fn has_ended(&self, of: usize) -> bool {
        self.cases[of].as_ref().is_some_and(|asked| asked.end.is_some())
    }

    pub(super) fn was_objected(&self, of: usize) -> bool {
        self.cases[of].as_ref().is_some_and(|asked| asked.objection.is_some())
    }

    pub(super) fn was_awarded(&self, of: usize) -> bool {
        let settled = Some(Dispute::Settled);
        self.cases[of].as_ref().is_some_and(|asked| asked.objection == settled)
    }

    pub(super) fn had_void_consent(&self, of: usize) -> bool {
        self.cases[of].as_ref().is_some_and(|asked| asked.was_void)
    }

    /// All signatures of the amendment turned out to be a thief's.
    pub(super) fn had_void_signature(&self) -> bool {
        self.amendment.as_ref().is_some_and(|signed| signed.by.is_empty())
    }

    pub(super) fn lost(&self) -> Option<Loss> {
        self.dana
    }
}
