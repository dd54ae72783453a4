//! Streams held against the leaves of a log: whether every event is where it is said to be, once, and
//! none that is there is withheld.

use std::collections::HashMap;

use crate::domain::stream::Stream;
use crate::ledger::Entry;
use crate::ledger::entry::{Label, Leaf};

/// A stream that the log does not bear out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {sequence} of {stream} {why}")]
pub struct Unborne {
    /// Which stream.
    pub stream: Stream,
    /// Which event.
    pub sequence: u64,
    /// What is wrong.
    pub why: &'static str,
}

/// What is looked for in a log.
#[derive(Debug, Default)]
pub struct Scan<'s> {
    /// The events, by where they are said to be.
    said: HashMap<u64, &'s Entry>,
    /// Their labels and those of what could be withheld: whose, and whether it is shown.
    labels: HashMap<Label, (&'s Stream, u64, bool)>,
}

impl<'s> Scan<'s> {
    /// Looks for the events of a stream, which were numbered from the first on, and for the one behind
    /// the last: that is the first that could be withheld.
    pub fn seek(&mut self, entries: &'s [Entry]) -> Result<(), Unborne> {
        for entry in entries {
            let label = entry.label_key.label(entry.sequence);
            self.labels.insert(label, (&entry.stream, entry.sequence, true));
            if self.said.insert(entry.position, entry).is_some() {
                return Err(unborne(entry, "is said to be where another is"));
            }
        }
        if let Some(Entry { stream, sequence, label_key, .. }) = entries.last() {
            let next = sequence.saturating_add(1);
            self.labels.entry(label_key.label(next)).or_insert((stream, next, false));
        }
        Ok(())
    }

    /// Looks at one leaf. Once every leaf has been looked at, every event that is said to be among them
    /// has been met.
    pub fn leaf(&self, position: u64, leaf: &Leaf) -> Result<(), Unborne> {
        let label = label(leaf);
        match (self.said.get(&position), self.labels.get(&label)) {
            (Some(entry), _) if entry.leaf() == *leaf => Ok(()),
            (Some(entry), _) if entry.label_key.label(entry.sequence) == label => {
                Err(unborne(entry, "is another one in its log"))
            }
            (Some(entry), _) => Err(unborne(entry, "is not in its log where it is said to be")),
            (None, None) => Ok(()),
            (None, Some((stream, sequence, is_shown))) => {
                let why = match is_shown {
                    true => "is in its log a second time, or elsewhere than it is said to be",
                    false => "is in its log, but is not shown",
                };
                Err(Unborne { stream: (*stream).clone(), sequence: *sequence, why })
            }
        }
    }

    /// The first event that is said to be behind the last of so many leaves.
    pub fn beyond(&self, size: u64) -> Option<Unborne> {
        let beyond = self.said.values().filter(|entry| entry.position >= size);
        let first = beyond.min_by_key(|entry| entry.position)?;
        Some(unborne(first, "is said to be behind the end of its log"))
    }
}

fn unborne(entry: &Entry, why: &'static str) -> Unborne {
    Unborne { stream: entry.stream.clone(), sequence: entry.sequence, why }
}

/// The label that a leaf begins with.
fn label(leaf: &Leaf) -> Label {
    let mut label = Label::default();
    label.0.iter_mut().zip(leaf.0).for_each(|(to, from)| *to = from);
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Bytes;
    use crate::ledger::LabelKey;

    /// Five leaves: two streams by turns, and one that nobody here knows.
    fn log() -> (Vec<Leaf>, [Vec<Entry>; 2]) {
        let entry = |name: &str, sequence, position| Entry {
            position,
            stream: format!("org_{name}").parse().unwrap(),
            sequence,
            label_key: LabelKey([name.len() as u8; 32]),
            salt: Bytes([sequence as u8; 32]),
            payload: b"{}".to_vec(),
        };
        let a = vec![entry("a", 1, 0), entry("a", 2, 3)];
        let b = vec![entry("bb", 1, 1), entry("bb", 2, 4)];
        let leaves = vec![a[0].leaf(), b[0].leaf(), Bytes([9; 48]), a[1].leaf(), b[1].leaf()];
        (leaves, [a, b])
    }

    fn scan(leaves: &[Leaf], streams: &[Vec<Entry>]) -> Result<(), Unborne> {
        let mut scan = Scan::default();
        streams.iter().try_for_each(|entries| scan.seek(entries))?;
        (0..).zip(leaves).try_for_each(|(position, leaf)| scan.leaf(position, leaf))?;
        scan.beyond(leaves.len() as u64).map_or(Ok(()), Err)
    }

    #[test]
    fn promise_9_a_log_bears_out_streams_as_they_are_in_it_and_no_other() {
        type Lie = fn(&mut Vec<Leaf>, &mut [Vec<Entry>; 2]);
        let rows: [(&str, Lie, &str); 11] = [
            ("nothing is changed", |_, _| (), ""),
            ("one stream is not asked for", |_, s| s[1].clear(), ""),
            ("the last event is withheld", |_, s| drop(s[0].pop()), "org_a is in its log, but"),
            ("another salt", |_, s| s[0][1].salt.0[0] ^= 1, "2 of org_a is another one"),
            ("another payload", |_, s| s[1][0].payload.push(b' '), "1 of org_bb is another one"),
            ("another label key", |_, s| s[1][0].label_key.0[0] ^= 1, "1 of org_bb is not in its"),
            ("another place", |_, s| s[0][1].position = 2, "2 of org_a is not in its log where"),
            ("a place behind the end", |_, s| s[0][1].position = 7, "org_a is in its log a second"),
            (
                "an event more than the log has",
                |l, _| l.truncate(4),
                "2 of org_bb is said to be beh",
            ),
            ("one place for two", |_, s| s[1][1].position = 3, "2 of org_bb is said to be where"),
            (
                "it is there twice",
                |l, s| l.push(s[0][0].leaf()),
                "1 of org_a is in its log a second",
            ),
        ];
        for (what, lie, why) in rows {
            let (mut leaves, mut streams) = log();
            lie(&mut leaves, &mut streams);
            let said = scan(&leaves, &streams).map_err(|fault| fault.to_string());
            assert_eq!(said.is_ok(), why.is_empty(), "{what}: {said:?}");
            assert!(said.err().unwrap_or_default().contains(why), "{what}");
        }
    }
}
