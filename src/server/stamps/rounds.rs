//! Rounds over the authorities: whose turn it is to stamp the newest checkpoint, and which of the
//! kept time-stamps is to be renewed. Nothing here waits: whoever makes rounds says when.
//!
//! Every authority goes by its own: that one does not answer keeps no other from stamping. All that
//! is remembered is on the shelf, but for who failed and is asked again a little later.

use std::sync::Arc;

use crate::crypto::timestamp::{Hash, Imprint, Link, Stamp, covered, verify_chain};
use crate::domain::chain::chain;
use crate::domain::time::{Span, Timestamp};
use crate::server::stamps::Newest;
use crate::server::stamps::ask::{SKEW_MAX, Source, ask};
use crate::server::stamps::measures::StampMeasures;
use crate::server::stamps::shelf::{Shelf, ShelfFault, Stamped, Whose};
use crate::vault::Clock;

/// How soon an authority that failed once is asked again; then twice as late each time.
const AGAIN_AFTER: Span = Span::seconds(60);
/// How late at most.
const AGAIN_AFTER_MAX: Span = Span::seconds(6 * 3_600);
/// How often kept time-stamps are looked through.
const LOOKED_THROUGH_EVERY: Span = Span::days(1);
/// Time-stamps renewed in one round: an authority elsewhere is not to be flooded.
const RENEWED_PER_ROUND_MAX: usize = 100;
/// Of first time-stamps, as everybody has it.
const HASH: Hash = Hash::Sha256;
/// Of renewals, which are for decades.
const RENEWAL_HASH: Hash = Hash::Sha512;

/// When what is due.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// How old an authority's newest time-stamp becomes before the next, if the log has grown.
    pub every: Span,
    /// How long before its end a time-stamp is renewed.
    pub within: Span,
}

/// What came of a round.
#[derive(Debug)]
pub enum Told {
    /// A checkpoint was stamped.
    Kept {
        /// By whom.
        whose: Whose,
        /// Which.
        stamped: Stamped,
        /// The time-stamp's time.
        at: Timestamp,
    },
    /// A time-stamp was renewed.
    Renewed(Renewed),
    /// Time-stamps are to be renewed, but what the authority gives now lasts no longer.
    NothingGained {
        /// Whose.
        whose: Whose,
        /// Until when both are good.
        good_until: Timestamp,
    },
    /// An authority has given none that counts, or it could not be kept.
    Failed {
        /// Which.
        whose: Whose,
        /// Why not.
        why: String,
    },
    /// One that is kept cannot be read or does not verify.
    Damaged(String),
}

/// A time-stamp that was renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Whose.
    pub whose: Whose,
    /// Of which checkpoint.
    pub stamped: Stamped,
    /// Its number in the chain.
    pub number: usize,
    /// Until when it is good.
    pub good_until: Timestamp,
}

/// The rounds of a vault.
pub struct Rounds {
    shelf: Shelf,
    schedule: Schedule,
    clock: Arc<dyn Clock>,
    measures: StampMeasures,
    turns: Vec<Turn>,
    look_through_at: Timestamp,
}

/// One authority's turn.
struct Turn {
    source: Arc<dyn Source>,
    /// The time of its newest time-stamp and what that is of, once it was looked for.
    newest: Option<Option<(Timestamp, Stamped)>>,
    failures: u32,
    failing_since: Option<Timestamp>,
    not_before: Timestamp,
}

impl Rounds {
    /// Over these authorities.
    pub fn new(
        shelf: Shelf,
        schedule: Schedule,
        clock: Arc<dyn Clock>,
        sources: Vec<Arc<dyn Source>>,
        measures: StampMeasures,
    ) -> Self {
        let turn = |source: Arc<dyn Source>| {
            measures.show(source.whose());
            let not_before = Timestamp::EPOCH;
            Turn { source, newest: None, failures: 0, failing_since: None, not_before }
        };
        let turns = sources.into_iter().map(turn).collect();
        let look_through_at = Timestamp::EPOCH;
        Self { shelf, schedule, clock, measures, turns, look_through_at }
    }

    /// Whoever failed is asked with the next round, and what is kept is looked through.
    pub fn hurry(&mut self) {
        self.turns.iter_mut().for_each(|turn| turn.not_before = Timestamp::EPOCH);
        self.look_through_at = Timestamp::EPOCH;
    }

    /// Makes a round, in which the newest checkpoint may be stamped.
    pub async fn round(&mut self, newest: Option<&Newest>) -> Vec<Told> {
        let mut told = Vec::new();
        for turn in &mut self.turns {
            let Some(newest) = newest else { continue };
            let at = (&self.shelf, self.schedule.every, &*self.clock, &self.measures);
            told.extend(turn.stamp(newest, at).await);
        }
        let now = self.clock.now();
        if self.look_through_at <= now {
            self.look_through_at = now.after(LOOKED_THROUGH_EVERY);
            for turn in &self.turns {
                let (shelf, within) = (&self.shelf, self.schedule.within);
                let limit = RENEWED_PER_ROUND_MAX;
                told.extend(renew(&*turn.source, shelf, &*self.clock, within, limit).await);
            }
            let damaged = told.iter().filter(|told| matches!(told, Told::Damaged(_))).count();
            self.measures.damaged(damaged);
        }
        for one in &told {
            match one {
                Told::Kept { whose, at, .. } => self.measures.kept(*whose, *at),
                Told::Renewed(renewed) => self.measures.renewed(renewed.whose),
                Told::Failed { whose, .. } => self.measures.failed(*whose),
                Told::NothingGained { .. } | Told::Damaged(_) => {}
            }
        }
        told
    }
}

impl Turn {
    async fn stamp(
        &mut self,
        newest: &Newest,
        (shelf, every, clock, measures): (&Shelf, Span, &dyn Clock, &StampMeasures),
    ) -> Option<Told> {
        let (whose, now) = (self.source.whose(), clock.now());
        let last = match self.newest {
            Some(last) => last,
            None => match kept(shelf, whose) {
                Ok(last) => {
                    last.iter().for_each(|(at, _)| measures.newest(whose, *at));
                    *self.newest.insert(last)
                }
                // It is told when all are looked through; the next one stands for itself.
                Err(_) => *self.newest.insert(None),
            },
        };
        let is_due = last.is_none_or(|(at, of)| at.after(every) <= now && of < newest.stamped);
        if !is_due || now < self.not_before {
            return None;
        }
        let imprint = Imprint::of(HASH, newest.checkpoint.as_bytes());
        let stamped = newest.stamped;
        let done = match ask(&*self.source, &imprint, clock).await {
            Err(refused) => Err(chain(&refused)),
            Ok((stamp, link)) => {
                let kept = keep(shelf, stamped, &newest.checkpoint, (whose, 1), link).await;
                kept.map(|()| stamp).map_err(|fault| chain(&fault))
            }
        };
        Some(match done {
            Ok(Stamp { at, .. }) => {
                self.newest = Some(Some((at, stamped)));
                (self.failures, self.failing_since) = (0, None);
                Told::Kept { whose, stamped, at }
            }
            Err(why) => {
                self.not_before = now.after(again_after(self.failures));
                self.failures = self.failures.saturating_add(1);
                measures.due_since(whose, Some(*self.failing_since.get_or_insert(now)));
                Told::Failed { whose, why }
            }
        })
    }
}

/// How long an authority is left in peace that has failed so often before.
pub(super) fn again_after(failures: u32) -> Span {
    let doubled = 1u64.checked_shl(failures).unwrap_or(u64::MAX);
    let seconds = AGAIN_AFTER.as_duration().as_secs().saturating_mul(doubled);
    Span::seconds(seconds.min(AGAIN_AFTER_MAX.as_duration().as_secs()))
}

/// The newest time-stamp of this authority, by its own time.
fn kept(shelf: &Shelf, whose: Whose) -> Result<Option<(Timestamp, Stamped)>, String> {
    let Some(stamped) = shelf.newest(whose).map_err(|fault| chain(&fault))? else {
        return Ok(None);
    };
    let kept = shelf.read(stamped).map_err(|fault| chain(&fault))?;
    let links = kept.chains.get(&whose).map(Vec::as_slice).unwrap_or_default();
    let first = links.get(..1).unwrap_or_default();
    let stamps = verify_chain(kept.checkpoint.as_bytes(), first, None);
    let stamps = stamps.map_err(|fault| chain(&fault))?;
    Ok(stamps.first().map(|stamp| (stamp.at, stamped)))
}

async fn keep(
    shelf: &Shelf,
    stamped: Stamped,
    checkpoint: &str,
    which: (Whose, usize),
    link: Link,
) -> Result<(), ShelfFault> {
    let (shelf, checkpoint) = (shelf.clone(), checkpoint.to_owned());
    let kept = move || shelf.keep(stamped, &checkpoint, which, &link);
    tokio::task::spawn_blocking(kept).await.unwrap_or_else(|ended| Err(ShelfFault::from(ended)))
}

/// A time-stamp that comes near its end.
struct Due {
    stamped: Stamped,
    checkpoint: String,
    links: Vec<Link>,
    good_until: Timestamp,
}

/// Renews all time-stamps of an authority that end within this span, as long as that helps.
pub async fn renew_all(
    source: &dyn Source,
    shelf: &Shelf,
    clock: &dyn Clock,
    within: Span,
) -> Vec<Told> {
    renew(source, shelf, clock, within, usize::MAX).await
}

async fn renew(
    source: &dyn Source,
    shelf: &Shelf,
    clock: &dyn Clock,
    within: Span,
    limit: usize,
) -> Vec<Told> {
    let (whose, place, now) = (source.whose(), shelf.clone(), clock.now());
    let looked = move || look_through(&place, whose, now, within, limit);
    let (due, mut told) = match tokio::task::spawn_blocking(looked).await {
        Ok((due, damaged)) => (due, damaged.into_iter().map(Told::Damaged).collect::<Vec<_>>()),
        Err(ended) => (Vec::new(), vec![Told::Failed { whose, why: ended.to_string() }]),
    };
    for due in due {
        match renewed(source, shelf, clock, due).await {
            Ok(one @ Told::Renewed(_)) => told.push(one),
            // The next ones would fare no better.
            Ok(other) => {
                told.push(other);
                break;
            }
            Err(why) => {
                told.push(Told::Failed { whose, why });
                break;
            }
        }
    }
    told
}

/// Those that end within this span, the soonest first, at most so many, and what is wrong with others.
fn look_through(
    shelf: &Shelf,
    whose: Whose,
    now: Timestamp,
    within: Span,
    limit: usize,
) -> (Vec<Due>, Vec<String>) {
    let (mut due, mut damaged) = (Vec::new(), Vec::new());
    let all = shelf.all().unwrap_or_else(|fault| {
        damaged.push(chain(&fault));
        Vec::new()
    });
    for stamped in all {
        let kept = match shelf.read(stamped) {
            Ok(kept) => kept,
            Err(fault) => {
                damaged.push(format!("{}: {}", shelf.place(stamped).display(), chain(&fault)));
                continue;
            }
        };
        let Some(links) = kept.chains.get(&whose) else { continue };
        // An authority's clock may be ahead.
        let verified = verify_chain(kept.checkpoint.as_bytes(), links, Some(now.after(SKEW_MAX)));
        match verified.as_deref() {
            Ok([.., newest]) if newest.good_until <= now.after(within) => {
                let (links, good_until) = (links.clone(), newest.good_until);
                due.push(Due { stamped, checkpoint: kept.checkpoint, links, good_until });
            }
            Ok(_) => {}
            Err(fault) => {
                let place = shelf.place(stamped);
                damaged.push(format!("{}, {whose}: {}", place.display(), chain(fault)));
            }
        }
    }
    // What ends first goes first, so that where the first gains nothing, none does.
    due.sort_by_key(|due| due.good_until);
    due.truncate(limit);
    (due, damaged)
}

async fn renewed(
    source: &dyn Source,
    shelf: &Shelf,
    clock: &dyn Clock,
    Due { stamped, checkpoint, mut links, good_until }: Due,
) -> Result<Told, String> {
    let whose = source.whose();
    let imprint = covered(RENEWAL_HASH, checkpoint.as_bytes(), &links);
    let (stamp, link) = ask(source, &imprint, clock).await.map_err(|fault| chain(&fault))?;
    if stamp.good_until <= good_until {
        return Ok(Told::NothingGained { whose, good_until });
    }
    links.push(link.clone());
    verify_chain(checkpoint.as_bytes(), &links, None).map_err(|fault| chain(&fault))?;
    let number = links.len();
    let kept = keep(shelf, stamped, &checkpoint, (whose, number), link).await;
    kept.map_err(|fault| chain(&fault))?;
    Ok(Told::Renewed(Renewed { whose, stamped, number, good_until: stamp.good_until }))
}
