//! The vault over a store that fails now and then, and over what was said before.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rand_core::OsRng;

use crate::crypto::signature::{self, SigningKey};
use crate::crypto::statement;
use crate::domain::event::{Note, SignedText};
use crate::domain::id::{Bytes, DepositId};
use crate::domain::statement::{Invitation, Log, Made, Statement};
use crate::domain::stream::Stream;
use crate::domain::time::{Span, Timestamp};
use crate::ledger::Entry;
use crate::store::{Batch, Blob, CommitError, DiskStore, Options, ReadError, Store, StreamHead};
use crate::vault::committer::Work;
use crate::vault::{Clock, DomainProjector, Scribe, Vault, VaultError, verify};

/// A real store that fails to read a small object when it is told to.
struct Failing {
    store: DiskStore,
    fails_blob: Arc<AtomicBool>,
}

impl Store for Failing {
    type Staged = <DiskStore as Store>::Staged;
    type Bundle = <DiskStore as Store>::Bundle;

    fn commit(&self, batch: Batch<Self::Staged>) -> Result<(), CommitError> {
        self.store.commit(batch)
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.store.has_room_for(bytes)
    }

    fn ledger_size(&self) -> u64 {
        self.store.ledger_size()
    }

    fn head(&self, stream: &Stream) -> Result<StreamHead, ReadError> {
        self.store.head(stream)
    }

    fn read_stream(
        &self,
        stream: &Stream,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        self.store.read_stream(stream, from, limit)
    }

    fn read_ledger(&self, from: u64, limit: usize) -> Result<Vec<Entry>, ReadError> {
        self.store.read_ledger(from, limit)
    }

    fn record(&self, key: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.store.record(key)
    }

    fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ReadError> {
        self.store.keys(prefix, after, limit)
    }

    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        if self.fails_blob.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("told to").into());
        }
        self.store.blob(name)
    }

    fn stage(&self) -> io::Result<Self::Staged> {
        self.store.stage()
    }

    fn settle(&self) -> io::Result<()> {
        self.store.settle()
    }

    fn bundle(&self, id: &DepositId) -> Result<Option<Self::Bundle>, ReadError> {
        self.store.bundle(id)
    }
}

/// A clock that is set by hand.
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

struct Place {
    vault: Arc<Vault<Failing>>,
    fails_blob: Arc<AtomicBool>,
    clock: Arc<Hand>,
    operator: SigningKey,
    log: Log,
}

impl Place {
    async fn founded(directory: &Path) -> Self {
        let options = Options { reserve_bytes: 0, ..Options::default() };
        let store = DiskStore::open(directory, &DomainProjector, &options).unwrap();
        let fails_blob = Arc::new(AtomicBool::new(false));
        let store = Failing { store, fails_blob: fails_blob.clone() };
        let [ledger, operator] = [(), ()].map(|()| SigningKey::generate(&mut OsRng));
        let log = Log { origin: "vault.example/escrow".parse().unwrap(), generation: 1 };
        let clock = Arc::new(Hand(Mutex::new("2026-03-02T09:00:00.000Z".parse().unwrap())));
        let founded = Note::Founded {
            ledger_key: ledger.public(),
            operator_key: operator.public(),
            ca_sha256: Bytes([7; 32]),
        };
        let scribe = Scribe { log: log.clone(), key: ledger };
        let vault = Arc::new(Vault::open(store, scribe, clock.clone()).unwrap());
        vault.found(founded).await.unwrap();
        Self { vault, fails_blob, clock, operator, log }
    }

    fn made(&self, by: &str, nonce: u8) -> Made {
        let (by, nonce) = (by.parse().unwrap(), Bytes([nonce; 16]));
        Made { by, at: self.clock.now(), nonce, log: self.log.clone() }
    }

    fn invitation(&self, member: &str, nonce: u8) -> SignedText {
        let invitation = Invitation {
            made: self.made("operator/operator", nonce),
            member: member.parse().unwrap(),
            secret_sha256: Bytes([nonce; 32]),
            expires_at: self.clock.now().after(Span::days(1)),
        };
        statement::sign(&self.operator, &Statement::from(invitation)).unwrap()
    }
}

#[tokio::test]
async fn promise_7_a_job_that_fails_leaves_nothing_of_itself_in_its_batch() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::founded(directory.path()).await;
    let signed = place.invitation("hanbit-parts/minji", 1);
    let work = || {
        let blobs = vec![Blob { name: "attachment/one".to_owned(), bytes: vec![1; 100] }];
        Work::Statements { group: verify(vec![signed.clone()]).unwrap(), blobs, bundle: None }
    };
    let size = place.vault.store.ledger_size();
    place.fails_blob.store(true, Ordering::SeqCst);
    let failed = place.vault.committer.submit(work()).await;
    assert!(matches!(failed, Err(VaultError::Read(ReadError::Io(_)))), "{failed:?}");
    assert_eq!(place.vault.store.ledger_size(), size, "an event without its attachment");
    let digest = signature::sha256(signed.statement.as_bytes());
    assert_eq!(place.vault.store.record(&format!("statement/{digest}")).unwrap(), None);
    let done = place.vault.committer.submit(work()).await.unwrap();
    assert_eq!(done.entries[0].position, size);
    assert_eq!(place.vault.store.blob("attachment/one").unwrap(), Some(vec![1; 100]));
    place.vault.close().await;
}
