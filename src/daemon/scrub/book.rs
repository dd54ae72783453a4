//! What is remembered of scrubbing: how far the pass under way has come, and how the last one ended.
//!
//! It is kept beside what is stored and not in it. Without it, or with one that cannot be read, a
//! pass begins anew.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::crypto::keyfile::{self, KeyFileError};
use crate::daemon::scrub::settings::Every;
use crate::domain::time::{Span, Timestamp};
use crate::store::Place;

/// Its name within the data directory.
pub(in crate::daemon) const SCRUB: &str = "scrub.json";
const BYTES_MAX: usize = 16 * 1024;

/// `DIR/scrub.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    /// The pass under way, or the last one.
    pub(super) pass: Option<Entry>,
    /// When a pass ended last.
    pub(super) finished_at: Option<Timestamp>,
}

/// A pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) began_at: Timestamp,
    /// Where it goes on; `None` once it has ended.
    pub(super) place: Option<Place>,
    /// How much it has read.
    pub(super) bytes: u64,
    /// How much of that was found harmed.
    pub(super) harmed: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// A pass goes on, or begins, from here.
    Now(Place),
    /// Nothing for so long.
    In(Span),
    /// Nothing, ever.
    Never,
}

impl Book {
    /// What is due at this time. A pass under way is brought to its end before the next begins.
    pub(super) fn due(&self, every: Every, now: Timestamp) -> Due {
        let Every::Span(every) = every else { return Due::Never };
        match &self.pass {
            None => Due::Now(Place::START),
            Some(Entry { place: Some(place), .. }) => Due::Now(place.clone()),
            Some(Entry { began_at, place: None, .. }) => {
                let next = began_at.after(every);
                // A clock that was set back must not put it off for ever.
                if now >= next || now < *began_at {
                    Due::Now(Place::START)
                } else {
                    Due::In(next.since(now))
                }
            }
        }
    }

    /// The pass that goes on from this place.
    pub(super) fn entry(&mut self, place: &Place, now: Timestamp) -> &mut Entry {
        let begun = Entry { began_at: now, place: Some(Place::START), bytes: 0, harmed: 0 };
        if *place == Place::START {
            self.pass = None;
        }
        self.pass.get_or_insert(begun)
    }
}

/// Where the book is kept.
pub(super) struct Shelf(PathBuf);

impl Shelf {
    pub(super) fn at(data: &Path) -> Self {
        Self(data.join(SCRUB))
    }

    /// The book, or a new one.
    pub(super) fn read(&self) -> Book {
        if !self.0.exists() {
            return Book::default();
        }
        let read = keyfile::read(&self.0, BYTES_MAX).map_err(|fault| fault.to_string());
        let book = read.and_then(|bytes| {
            serde_json::from_slice(&bytes).map_err(|fault| format!("{}: {fault}", self.0.display()))
        });
        book.unwrap_or_else(|error| {
            tracing::warn!(error, "how far scrubbing had come is not known: it begins anew");
            Book::default()
        })
    }

    /// Puts it in the place of the last, durably.
    pub(super) fn put(&self, book: &Book) -> Result<(), KeyFileError> {
        let mut text = serde_json::to_vec(book).unwrap_or_default();
        text.push(b'\n');
        keyfile::replace(&self.0, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u32) -> Timestamp {
        format!("2026-03-02T09:{minute:02}:00.000Z").parse().unwrap()
    }

    /// Within a bundle.
    fn half_way() -> Place {
        let kept = r#"{"segment":3,"batch":4711,"parts":2,"within":262144,"until":12}"#;
        serde_json::from_str(kept).unwrap()
    }

    fn passed(began_at: Timestamp, place: Option<Place>) -> Book {
        let pass = Some(Entry { began_at, place, bytes: 7, harmed: 1 });
        Book { pass, finished_at: Some(began_at) }
    }

    #[test]
    fn a_pass_is_begun_once_a_period_and_brought_to_its_end_first() {
        let half = half_way();
        let begin = Due::Now(Place::START);
        let every = Every::Span(Span::seconds(600));
        for (what, book, every, now, due) in [
            ("nothing is known", Book::default(), every, at(0), begin.clone()),
            ("turned off", Book::default(), Every::Never, at(0), Due::Never),
            (
                "off in the middle of one",
                passed(at(0), Some(half.clone())),
                Every::Never,
                at(1),
                Due::Never,
            ),
            (
                "one is under way",
                passed(at(0), Some(half.clone())),
                every,
                at(1),
                Due::Now(half.clone()),
            ),
            (
                "for longer than a period",
                passed(at(0), Some(half.clone())),
                every,
                at(30),
                Due::Now(half),
            ),
            ("just ended", passed(at(0), None), every, at(0), Due::In(Span::seconds(600))),
            ("ended a while ago", passed(at(0), None), every, at(4), Due::In(Span::seconds(360))),
            ("a period ago", passed(at(0), None), every, at(10), begin.clone()),
            ("in the future", passed(at(20), None), every, at(10), begin),
        ] {
            assert_eq!(book.due(every, now), due, "{what}");
        }
    }

    #[test]
    fn it_survives_restarts_and_a_damaged_one_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::at(dir.path());
        assert_eq!(shelf.read(), Book::default());
        let place = half_way();
        let mut book = passed(at(3), Some(place.clone()));
        for finished_at in [None, Some(at(2))] {
            book.finished_at = finished_at;
            shelf.put(&book).unwrap();
            assert_eq!(shelf.read(), book);
        }
        assert_eq!(book.entry(&place, at(5)).bytes, 7, "it goes on");
        assert_eq!(book.entry(&Place::START, at(5)).bytes, 0, "another");
        for damaged in ["", "{", "{\"pass\":null}x", "{\"passes\":null,\"finished_at\":null}"] {
            std::fs::write(&shelf.0, damaged).unwrap();
            assert_eq!(shelf.read(), Book::default(), "{damaged}");
        }
    }
}
