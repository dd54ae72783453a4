//! Progress on stderr: a bar on a terminal, a JSON object a line with `--json`, nothing elsewhere.
//! What an administrator starts by a timer tells its journal now and then.

mod bar;
mod pace;

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::failure::visible;
use crate::cli::line;
use crate::cli::output::Output;
use crate::cli::progress::bar::Shown;
pub(crate) use crate::cli::progress::pace::Pace;

/// A bar is drawn no more often. What is done sooner than this is never drawn at all.
const BAR_EVERY: Duration = Duration::from_millis(250);
/// A line for programs is written no more often, but for the last.
const JSON_EVERY: Duration = Duration::from_secs(1);
/// And one for a journal.
const JOURNAL_EVERY: Duration = Duration::from_secs(10);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Events of the ledger.
    Events,
}

/// Something that takes a while. Clones tell of the same; with the last of them it ends.
#[derive(Clone)]
pub struct Progress(Arc<Mutex<Told>>);

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Terminal,
    Programs,
    Journal,
    Nobody,
}

struct Told {
    to: To,
    what: &'static str,
    unit: Unit,
    total: u64,
    done: u64,
    /// Whether it is known from where it goes on.
    begun: bool,
    /// What was moved now, whatever became of it.
    moved: u64,
    began: Instant,
    told_at: Duration,
    pace: Pace,
    drawn: bool,
}

impl Progress {
    /// Begins something that moves this many bytes.
    pub fn new(what: &'static str, total: u64, output: &Output) -> Self {
        let to = match (output.json, io::stderr().is_terminal()) {
            (true, _) => To::Programs,
            (false, true) => To::Terminal,
            (false, false) => To::Nobody,
        };
        Self::begin(to, what, Unit::Bytes, total)
    }

    /// Begins something of an administrator's, which has this many of these to do.
    pub(crate) fn of_administrator(what: &'static str, unit: Unit, total: u64) -> Self {
        let to = if io::stderr().is_terminal() { To::Terminal } else { To::Journal };
        Self::begin(to, what, unit, total)
    }

    fn begin(to: To, what: &'static str, unit: Unit, total: u64) -> Self {
        let (began, told_at, pace) =
            (Instant::now(), Duration::ZERO, Pace::from(Duration::ZERO, 0));
        let (done, begun, moved, drawn) = (0, false, 0, false);
        let told = Told { to, what, unit, total, done, begun, moved, began, told_at, pace, drawn };
        Self(Arc::new(Mutex::new(told)))
    }

    /// So many more have been moved.
    pub fn add(&self, more: u64) {
        let mut told = self.told();
        let done = told.done.saturating_add(more);
        told.reached(done);
    }

    /// So many are done. The first time, before anything was moved, this is where it goes on from,
    /// and so is less than before: neither was moved now.
    pub fn set(&self, done: u64) {
        let mut told = self.told();
        if told.begun && done >= told.done {
            told.reached(done);
        } else {
            told.goes_on_from(done);
        }
    }

    /// Says something meanwhile, such as why nothing moves.
    pub fn note(&self, text: &str) {
        // Holds the bar back until it is said.
        let told = self.told();
        match told.to {
            To::Programs => line::say(&json!({ "note": { "message": visible(text) } }).to_string()),
            To::Terminal | To::Journal | To::Nobody => line::say(&visible(text)),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn goes_on_from(&mut self, done: u64) {
        let elapsed = self.began.elapsed();
        match self.begun {
            true => self.pace.reached(elapsed, done),
            false => self.pace = Pace::from(elapsed, done),
        }
        (self.done, self.begun) = (done, true);
    }

    fn reached(&mut self, done: u64) {
        self.moved += done - self.done;
        (self.done, self.begun) = (done, true);
        let every = match self.to {
            To::Terminal => BAR_EVERY,
            To::Programs => JSON_EVERY,
            To::Journal => JOURNAL_EVERY,
            To::Nobody => return,
        };
        let elapsed = self.began.elapsed();
        if elapsed.saturating_sub(self.told_at) >= every {
            self.told_at = elapsed;
            self.pace.reached(elapsed, done);
            let rate = self.pace.rate().map(|rate| rate as u64);
            self.tell(rate, self.pace.seconds_left(self.total));
        }
    }

    fn tell(&mut self, rate: Option<u64>, seconds_left: Option<u64>) {
        let shown = self.shown(rate, seconds_left);
        match self.to {
            To::Terminal => {
                line::draw(&shown.line(line::columns()));
                self.drawn = true;
            }
            To::Programs => line::say(&shown.json()),
            To::Journal => {
                line::say(&shown.words());
                self.drawn = true;
            }
            To::Nobody => {}
        }
    }

    fn shown(&self, rate: Option<u64>, seconds_left: Option<u64>) -> Shown {
        let Self { what, unit, total, .. } = *self;
        // An archive is more than the files in it.
        let done = self.done.min(total);
        Shown { what, unit, done, total, rate, seconds_left }
    }
}

impl Drop for Told {
    /// One that did not come to its end stays as it is, above what is said about that.
    fn drop(&mut self) {
        let elapsed = self.began.elapsed();
        let average = self.moved as f64 / elapsed.as_secs_f64().max(0.001);
        let average = self.begun.then_some(average as u64);
        let is_done = self.done >= self.total;
        match self.to {
            To::Programs => self.tell(average, is_done.then_some(0)),
            To::Terminal if self.drawn => {
                if is_done {
                    let shown = self.shown(average, Some(0));
                    line::draw(&shown.last_line(elapsed.as_secs(), line::columns()));
                }
                line::leave();
            }
            To::Journal if self.drawn && is_done => {
                line::say(&self.shown(average, Some(0)).last_line(elapsed.as_secs(), usize::MAX));
            }
            To::Terminal | To::Journal | To::Nobody => {}
        }
    }
}

/// Says a line in the place of whatever bar there is, which is drawn below it again.
pub(crate) fn say(text: &str) {
    line::say(&visible(text));
}

impl Shown {
    fn json(&self) -> String {
        let Self { what, unit, done, total, rate, seconds_left } = *self;
        let unit = match unit {
            Unit::Bytes => "bytes",
            Unit::Events => "events",
        };
        let progress = json!({
            "what": what,
            "unit": unit,
            "done": done,
            "total": total,
            "rate": rate,
            "seconds_left": seconds_left,
        });
        json!({ "progress": progress }).to_string()
    }
}
