//! Records as they were last read, so that what has not changed is not made sense of again.
//!
//! A record is known by its exact bytes: whoever looks one up reads those from the store, and finds
//! here what they say. So nothing here is ever out of date, and nobody has to tell of a change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::states::{Key, Record};
use crate::store::{ReadError, ReadRecord};
use crate::vault::records;

/// Bytes of records that are held, as the store has them. Where there is no room for one more, all
/// are forgotten.
const BYTES_MAX: usize = 8 << 20;

/// The records that are held.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    records: HashMap<Key, (Vec<u8>, Arc<Record>)>,
}

impl Known {
    /// The record that `read` has under this key.
    pub(super) fn find(
        &self,
        key: &Key,
        read: ReadRecord<'_>,
    ) -> Result<Option<Arc<Record>>, ReadError> {
        let Some(bytes) = read(&key.to_string())? else { return Ok(None) };
        if !is_read_often(key) {
            return records::parse(key, &bytes).map(Some);
        }
        if let Some((known, record)) = self.held().records.get(key)
            && *known == bytes
        {
            return Ok(Some(Arc::clone(record)));
        }
        let record = records::parse(key, &bytes)?;
        self.held().hold(key.clone(), bytes, Arc::clone(&record));
        Ok(Some(record))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // At worst the bytes are counted wrongly, and all is forgotten too early.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn hold(&mut self, key: Key, bytes: Vec<u8>, record: Arc<Record>) {
        if let Some((former, _)) = self.records.remove(&key) {
            self.bytes = self.bytes.saturating_sub(former.len());
        }
        if self.bytes + bytes.len() > BYTES_MAX {
            *self = Self::default();
        }
        if bytes.len() <= BYTES_MAX {
            self.bytes += bytes.len();
            self.records.insert(key, (bytes, record));
        }
    }
}

/// Whether nearly every statement asks for records of this kind, which seldom change and are long.
fn is_read_often(key: &Key) -> bool {
    match key {
        Key::Vault | Key::Organisation(_) | Key::Agreement(_) | Key::Request(_) => true,
        Key::Authorities
        | Key::Timestamper
        | Key::Amendment(_)
        | Key::Party(..)
        | Key::Deposit(_)
        | Key::Bundle(..)
        | Key::Registration(_)
        | Key::OpenRequests(..)
        | Key::Quarantine
        | Key::Statement(_)
        | Key::Usage(_)
        | Key::Underway(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::organisation::Organisation;

    #[test]
    fn what_is_known_is_what_is_stored_however_it_changes() {
        let known = Known::default();
        let key = |name: &str| Key::Organisation(name.parse().unwrap());
        let record = |name: &str| Record::Organisation(Organisation::named(name.parse().unwrap()));
        let bytes = |name| serde_json::to_vec(&record(name)).unwrap();
        let found = |stored: Option<Vec<u8>>| known.find(&key("acme"), &|_| Ok(stored.clone()));
        let once = found(Some(bytes("acme"))).unwrap().unwrap();
        assert_eq!(*once, record("acme"));
        let again = found(Some(bytes("acme"))).unwrap().unwrap();
        assert!(Arc::ptr_eq(&once, &again), "it was read anew");
        assert_eq!(*found(Some(bytes("newco"))).unwrap().unwrap(), record("newco"));
        assert_eq!(found(None).unwrap(), None, "it is not there any more");
        assert!(found(Some(b"{}".to_vec())).is_err(), "it cannot be read");
        assert_eq!(*found(Some(bytes("acme"))).unwrap().unwrap(), record("acme"));
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let mut held = Held::default();
        let record = Arc::new(Record::Party);
        let key = |number: usize| Key::Organisation(format!("org-{number}").parse().unwrap());
        for number in 0..100 {
            held.hold(key(number % 60), vec![0; BYTES_MAX / 50], Arc::clone(&record));
            let bytes: usize = held.records.values().map(|(bytes, _)| bytes.len()).sum();
            assert_eq!(held.bytes, bytes);
            assert!(bytes <= BYTES_MAX, "{bytes}");
            assert!(held.records.contains_key(&key(number % 60)));
        }
        held.hold(key(0), vec![0; BYTES_MAX + 1], record);
        assert!(!held.records.contains_key(&key(0)), "one alone is too large");
    }
}
