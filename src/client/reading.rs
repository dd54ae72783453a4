//! A stream on its way in: as long as its signed head says, and no longer.
//!
//! The head comes with the first part. So nobody can be kept reading for ever, and what is too much
//! to hold is refused before it is read.

use tonic::Streaming;

use crate::client::chronicle::Followed;
use crate::client::error::ClientError;
use crate::client::silence::answered;
use crate::domain::statement::{Log, Saw};
use crate::domain::stream::Stream;
use crate::ledger::Entry;
use crate::ledger::head::SignedHead;
use crate::wire::convert::{BadField, present};
use crate::wire::v1::ReadResponse;

/// Events of one stream that a client holds.
pub const EVENTS_MAX: u64 = 1 << 20;
/// Their payloads, in bytes.
pub const EVENTS_BYTES_MAX: usize = 1 << 30;

/// The parts of a stream, none of which has been believed yet.
pub(super) struct Reading<'s> {
    stream: &'s Stream,
    parts: Streaming<ReadResponse>,
    first: ReadResponse,
}

impl<'s> Reading<'s> {
    /// Begins to read.
    pub(super) async fn begin(
        stream: &'s Stream,
        mut parts: Streaming<ReadResponse>,
    ) -> Result<Self, ClientError> {
        let first = answered(parts.message()).await?.unwrap_or_default();
        Ok(Self { stream, parts, first })
    }

    /// Where the stream stands, as it is told.
    pub(super) fn head(&self) -> Result<SignedHead, ClientError> {
        present(self.first.head.clone(), "head").and_then(SignedHead::try_from).map_err(bad_field)
    }

    /// Follows the stream to where the signed head says that it stands.
    pub(super) async fn follow(
        mut self,
        log: &Log,
        head: Saw,
        followed: &mut Followed,
    ) -> Result<(), ClientError> {
        let known = (followed.saw().sequence, followed.bytes());
        let mut room = Room::beside(self.stream, known, head.sequence)?;
        let mut entries = std::mem::take(&mut self.first.entries);
        loop {
            for entry in entries {
                room.take(self.stream, entry.payload.len())?;
                let entry = Entry::try_from(entry).map_err(bad_field)?;
                let next = followed.follow(log, self.stream, entry);
                next.map_err(|fault| ClientError::Untrue(fault.to_string()))?;
            }
            entries = match answered(self.parts.message()).await? {
                None => break,
                Some(part) if part.head != self.first.head => {
                    return Err(self.untrue("two heads at once"));
                }
                // Parts without events could go on for ever.
                Some(part) if part.entries.is_empty() => {
                    return Err(self.untrue("a part without events"));
                }
                Some(part) => part.entries,
            };
        }
        let stands = followed.saw();
        if stands == head {
            return Ok(());
        }
        Err(self.untrue(&format!(
            "event {} as its last, but {} by its signed head",
            Shown(stands),
            Shown(head)
        )))
    }

    fn untrue(&self, what: &str) -> ClientError {
        ClientError::Untrue(format!("{} with {what}", self.stream))
    }
}

/// Where a stream stands, so that two of the same length can be told apart.
struct Shown(Saw);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let commitment = self.0.commitment.to_string();
        write!(f, "{} ({:.8}…)", self.0.sequence, commitment)
    }
}

/// What may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    events: u64,
    bytes: usize,
}

impl Room {
    /// Beside what is known of the stream already, as events and bytes.
    fn beside(
        stream: &Stream,
        (known, bytes): (u64, usize),
        stands: u64,
    ) -> Result<Self, ClientError> {
        if stands > EVENTS_MAX {
            return Err(too_long(stream, format!("{stands} events"), EVENTS_MAX));
        }
        match stands.checked_sub(known) {
            Some(events) => Ok(Self { events, bytes: EVENTS_BYTES_MAX.saturating_sub(bytes) }),
            None => Err(ClientError::Untrue(format!(
                "{stream} with {stands} events by its signed head, of which {known} are remembered"
            ))),
        }
    }

    fn take(&mut self, stream: &Stream, bytes: usize) -> Result<(), ClientError> {
        let Some(events) = self.events.checked_sub(1) else {
            let what = format!("{stream} with more events than its signed head says");
            return Err(ClientError::Untrue(what));
        };
        let Some(bytes) = self.bytes.checked_sub(bytes) else {
            let limit = EVENTS_BYTES_MAX as u64;
            return Err(too_long(stream, "too many bytes".to_owned(), limit));
        };
        *self = Self { events, bytes };
        Ok(())
    }
}

fn too_long(stream: &Stream, what: String, limit: u64) -> ClientError {
    ClientError::input(
        "TOO_LONG",
        format!("{stream} has {what}, and this program follows at most {limit}"),
        "ask the other parties what they see; if it is really that long, agree anew",
    )
}

fn bad_field(field: BadField) -> ClientError {
    ClientError::Untrue(field.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known already, where the stream stands by its head, what comes, and what is said to
    /// the last of it.
    type Row = (&'static str, (u64, usize), u64, &'static [usize], Result<(), &'static str>);

    #[test]
    fn no_more_is_taken_than_the_head_says_and_the_limits_allow() {
        let stream = Stream::Vault;
        let rows: [Row; 11] = [
            ("nothing is new", (7, 70), 7, &[], Ok(())),
            ("less than is known", (7, 70), 6, &[], Err("UNTRUE")),
            ("as many as the head says", (5, 50), 7, &[10, 10], Ok(())),
            ("one more", (5, 50), 7, &[10, 10, 10], Err("UNTRUE")),
            ("one, and none is new", (7, 70), 7, &[10], Err("UNTRUE")),
            ("the longest stream", (0, 0), EVENTS_MAX, &[10], Ok(())),
            ("one event longer", (0, 0), EVENTS_MAX + 1, &[], Err("TOO_LONG")),
            ("and most is known", (EVENTS_MAX, 1), EVENTS_MAX + 1, &[], Err("TOO_LONG")),
            ("all the bytes there may be", (0, 0), 9, &[EVENTS_BYTES_MAX - 1, 1], Ok(())),
            ("one byte more", (0, 0), 9, &[EVENTS_BYTES_MAX, 1], Err("TOO_LONG")),
            ("with those known before", (1, EVENTS_BYTES_MAX - 9), 9, &[10], Err("TOO_LONG")),
        ];
        for (why, known, stands, events, expected) in rows {
            let taken = Room::beside(&stream, known, stands).and_then(|mut room| {
                events.iter().try_for_each(|event| room.take(&stream, *event))
            });
            let code = taken.map_err(|refused| refused.code().to_owned());
            assert_eq!(code, expected.map_err(str::to_owned), "{why}");
        }
    }
}
