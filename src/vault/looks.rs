//! Folding of looks: one entry stands for a member's looks of one kind within a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::event::Look;
use crate::domain::id::MemberPath;
use crate::domain::stream::Stream;
use crate::domain::time::{Span, Timestamp};

/// How long an entry stands for further looks.
const FOLD: Span = Span::seconds(60);
/// Looks remembered; beyond that, old ones are forgotten and entered again.
const REMEMBERED_MAX: usize = 65_536;

type Glance = (MemberPath, Stream, Look);

/// When who last had a look entered.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<HashMap<Glance, Timestamp>>);

impl Looks {
    /// Whether a durable entry stands for this look.
    pub(super) fn stands(&self, by: &MemberPath, at: &Stream, look: Look, now: Timestamp) -> bool {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = looks.get(&(by.clone(), at.clone(), look));
        last.is_some_and(|last| now >= *last && now < last.after(FOLD))
    }

    /// An entry is durable now.
    pub(super) fn entered(&self, by: MemberPath, at: Stream, look: Look, now: Timestamp) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() >= REMEMBERED_MAX {
            looks.retain(|_, last| now < last.after(FOLD));
        }
        if looks.len() < REMEMBERED_MAX {
            looks.insert((by, at, look), now);
        }
    }
}
