//! Attempts that were refused: what a party may know covers those as well.
//!
//! A member's attempt in an agreement of its own is durable before its refusal is told. A
//! stranger's is handed over and not waited for, and one at what is not there is entered as well,
//! in the vault's own stream, which nobody reads: so neither the reply, nor how long it takes, nor
//! the growth of the log tells whether there is such an agreement.
//!
//! Nobody fills a disk or a stream by being refused: the same attempt is entered once a minute, an
//! organisation has so many entries a minute and a day, and none takes from what is kept free for a
//! full disk. What is beyond that is counted and not entered; the refusal stands all the same.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::domain::chain::chain;
use crate::domain::event::{Attempt, Look, Note, SignedText};
use crate::domain::id::{AgreementId, Digest, MemberPath, OrganisationName, RequestId};
use crate::domain::rules;
use crate::domain::statement::{Stated, Statement, StatementType};
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::domain::time::{Span, Timestamp};
use crate::store::Store;
use crate::vault::committer::Work;
use crate::vault::error::VaultError;
use crate::vault::{Talker, Vault};

/// How long an entry stands for further attempts, and for how long [`ENTRIES_MAX`] are entered.
const WINDOW: Span = Span::seconds(60);
/// Entries within that time: of an organisation in one agreement of its own, or in all that are
/// not.
const ENTRIES_MAX: usize = 60;
/// For how long so many are entered at most.
const DAY: Span = Span::days(1);
/// Entries within that time in agreements of others: a stream that clients read to its end must not
/// be made endless by strangers.
const STRANGE_PER_DAY_MAX: usize = 240;
/// The same in one agreement of one's own.
const OWN_PER_DAY_MAX: usize = 1_000;
/// Windows remembered, with what was entered in their last minute; while there are more, nothing is
/// entered.
const WINDOWS_MAX: usize = 8_192;

/// What somebody is about to try, in the agreements that it names.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    talker: Talker,
    what: Vec<One>,
}

#[derive(Debug, Clone)]
struct One {
    agreement: AgreementId,
    attempt: Attempt,
    request: Option<RequestId>,
    statement_sha256: Option<Digest>,
}

impl Tried {
    /// To look at a stream. Only those of agreements have parties to be told.
    pub(super) fn to_look(talker: &Talker, stream: &Stream, look: Look) -> Self {
        let what = named(stream).map(|agreement| One {
            agreement,
            attempt: Attempt::Look(look),
            request: None,
            statement_sha256: None,
        });
        Self { talker: talker.clone(), what: what.into_iter().collect() }
    }

    /// To have statements accepted, together or not at all.
    pub(super) fn to_state(talker: &Talker, group: &[(SignedText, Stated)]) -> Self {
        let what = group.iter().filter_map(|(_, stated)| {
            // Terms that are refused have made no agreement.
            if let Statement::Proposal(_) = stated.statement {
                return None;
            }
            Some(One {
                agreement: named(&rules::stream(stated))?,
                attempt: Attempt::State(stated.statement.kind()),
                request: rules::request_named(&stated.statement).cloned(),
                statement_sha256: Some(stated.digest),
            })
        });
        Self { talker: talker.clone(), what: what.collect() }
    }

    /// To upload a bundle, which is to be stated afterwards.
    pub(super) fn to_upload(talker: &Talker, agreement: &AgreementId) -> Self {
        let one = One {
            agreement: agreement.clone(),
            attempt: Attempt::State(StatementType::DEPOSIT),
            request: None,
            statement_sha256: None,
        };
        Self { talker: talker.clone(), what: vec![one] }
    }

    fn by(&self) -> MemberPath {
        match &self.talker {
            Talker::Operator => MemberPath::operator(),
            Talker::Member { path, .. } => path.clone(),
        }
    }
}

fn named(stream: &Stream) -> Option<AgreementId> {
    match stream {
        Stream::Agreement(id) | Stream::AgreementAccesses(id) => Some(id.clone()),
        Stream::Vault
        | Stream::Organisation(_)
        | Stream::OrganisationAccesses(_)
        | Stream::OrganisationRegistrations(_) => None,
    }
}

/// Where an attempt is entered.
struct Place {
    stream: Stream,
    /// Whether it was tried by who may read that stream.
    is_own: bool,
    request: Option<RequestId>,
}

impl<S: Store> Vault<S> {
    /// Passes an outcome on. Where it is a refusal, what was tried is entered first.
    pub(super) async fn telling<T>(
        &self,
        tried: Tried,
        outcome: Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        if let Err(refused) = &outcome
            && let Some(code) = refused.told_as()
        {
            let by = tried.by();
            for one in &tried.what {
                self.enter_attempt(&tried.talker, &by, one, code).await;
            }
        }
        outcome
    }

    async fn enter_attempt(&self, talker: &Talker, by: &MemberPath, one: &One, code: &'static str) {
        let place = match self.place_of(talker, one) {
            Ok(place) => place,
            Err(fault) => {
                tracing::warn!(error = chain(&fault), "a refused attempt was not entered");
                return;
            }
        };
        let Place { stream, is_own, request } = place;
        let agreement = one.agreement.clone();
        let whose = (by.organisation.clone(), is_own.then(|| agreement.clone()));
        let same = (by.clone(), agreement, one.attempt, code, request.clone());
        let now = self.clock.now();
        match self.attempts.weigh(&whose, &same, now) {
            Weighed::Stands => return,
            Weighed::TooMany => return self.measures.attempt_dropped(),
            Weighed::New => {}
        }
        let note = Note::Refused {
            by: by.clone(),
            attempt: one.attempt,
            code: code.to_owned(),
            request,
            statement_sha256: one.statement_sha256,
        };
        let work = Work::Note { stream, note };
        if !is_own {
            match self.committer.offer(work) {
                true => self.attempts.entered(whose, same, now),
                false => self.measures.attempt_dropped(),
            }
            return;
        }
        match self.committer.submit(work).await {
            Ok(_) => self.attempts.entered(whose, same, now),
            // A refusal is one, whether or not it can be entered.
            Err(fault) => {
                tracing::warn!(error = chain(&fault), "a refused attempt was not entered");
            }
        }
    }

    fn place_of(&self, talker: &Talker, one: &One) -> Result<Place, VaultError> {
        let id = &one.agreement;
        let mut states = States::default();
        let keys = [Some(Key::Agreement(id.clone())), one.request.clone().map(Key::Request)];
        self.load(&mut states, keys.into_iter().flatten())?;
        let standing = self.reader(talker).and_then(|reader| {
            self.is_confirmed(&reader)?;
            Ok(reader)
        });
        let agreement = states.agreement(id);
        let is_own = standing.is_ok_and(|reader| {
            agreement.is_some_and(|agreement| agreement.is_party(&reader.organisation))
        });
        let is_of_it = |named: &RequestId| {
            states.request(named).is_some_and(|request| request.agreement == *id)
        };
        let stream = match agreement {
            Some(_) => Stream::AgreementAccesses(id.clone()),
            None => Stream::Vault,
        };
        let request = one.request.clone().filter(|named| is_own && is_of_it(named));
        Ok(Place { stream, is_own, request })
    }
}

/// Whose window: an organisation's in an agreement of its own, or in all that are not.
type Whose = (OrganisationName, Option<AgreementId>);
/// What one entry stands for.
type Same = (MemberPath, AgreementId, Attempt, &'static str, Option<RequestId>);

/// What was entered of late.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<Whose, Window>>);

#[derive(Debug)]
struct Window {
    /// Of the minute.
    began_at: Timestamp,
    weighed: usize,
    entered: BTreeSet<Same>,
    /// Of the day.
    day_began_at: Timestamp,
    weighed_that_day: usize,
}

impl Window {
    fn new(now: Timestamp) -> Self {
        let (weighed, entered) = (0, BTreeSet::new());
        Self { began_at: now, weighed, entered, day_began_at: now, weighed_that_day: 0 }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.began_at.after(WINDOW)
    }

    /// Forgets what is over.
    fn pass(&mut self, now: Timestamp) {
        if self.is_over(now) {
            (self.began_at, self.weighed) = (now, 0);
            self.entered.clear();
        }
        if self.is_forgotten(now) {
            (self.day_began_at, self.weighed_that_day) = (now, 0);
        }
    }

    fn is_forgotten(&self, now: Timestamp) -> bool {
        now >= self.day_began_at.after(DAY)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Weighed {
    /// To be entered.
    New,
    /// An entry stands for it.
    Stands,
    /// There have been too many.
    TooMany,
}

impl Attempts {
    fn weigh(&self, whose: &Whose, same: &Same, now: Timestamp) -> Weighed {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= WINDOWS_MAX && !windows.contains_key(whose) {
            windows.retain(|_, window| !window.is_over(now));
            if windows.len() >= WINDOWS_MAX {
                return Weighed::TooMany;
            }
        }
        let window = windows.entry(whose.clone()).or_insert_with(|| Window::new(now));
        window.pass(now);
        if window.entered.contains(same) {
            return Weighed::Stands;
        }
        let per_day = match whose {
            (_, Some(_)) => OWN_PER_DAY_MAX,
            (_, None) => STRANGE_PER_DAY_MAX,
        };
        if window.weighed >= ENTRIES_MAX || window.weighed_that_day >= per_day {
            return Weighed::TooMany;
        }
        window.weighed += 1;
        window.weighed_that_day += 1;
        Weighed::New
    }

    /// An entry is durable, or on its way.
    fn entered(&self, whose: Whose, same: Same, now: Timestamp) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(&whose).filter(|window| !window.is_over(now)) {
            window.entered.insert(same);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Bytes;

    #[test]
    fn there_are_so_many_a_minute_and_so_many_a_day() {
        let by: MemberPath = "acme/eve".parse().unwrap();
        let agreement = AgreementId::of(&Bytes([1; 32]));
        let attempt = |number: u32| {
            let id = AgreementId::of(&Bytes([number.to_be_bytes()[3]; 32]));
            (by.clone(), id, Attempt::Look(Look::Stream), "NOT_FOUND", None)
        };
        for (whose, a_day) in [(None, 240), (Some(agreement), 1_000)] {
            let attempts = Attempts::default();
            let whose = (by.organisation.clone(), whose);
            let mut now = Timestamp::EPOCH;
            let entered_in_a_day = |now: &mut Timestamp| {
                let mut entered = 0;
                for _ in 0..24 * 60 {
                    let minute = (0..70).filter(|number| {
                        let same = attempt(*number);
                        let is_new = attempts.weigh(&whose, &same, *now) == Weighed::New;
                        if is_new {
                            attempts.entered(whose.clone(), same.clone(), *now);
                            assert_eq!(attempts.weigh(&whose, &same, *now), Weighed::Stands);
                        }
                        is_new
                    });
                    let minute = minute.count();
                    assert!(minute <= 60, "{minute}");
                    entered += minute;
                    *now = now.after(Span::seconds(60));
                }
                entered
            };
            assert_eq!([entered_in_a_day(&mut now), entered_in_a_day(&mut now)], [a_day; 2]);
        }
    }
}
