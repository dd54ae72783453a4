//! Several threads at batches of one stream, and what they do in order all the same.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Hands something from each batch to the next, whichever threads they are in.
///
/// Where a batch fails, every later one fails with it, and the first fault is what is found at the
/// end.
pub(super) struct Relay<T> {
    last: Receiver<io::Result<T>>,
    has_failed: Arc<AtomicBool>,
}

impl<T> Relay<T> {
    pub(super) fn new(first: T) -> Self {
        let (to, last) = mpsc::sync_channel(1);
        // There is room for one.
        drop(to.send(Ok(first)));
        Self { last, has_failed: Arc::default() }
    }

    /// The next batch's part in it.
    pub(super) fn next(&mut self) -> Baton<T> {
        let (to, last) = mpsc::sync_channel(1);
        let from = std::mem::replace(&mut self.last, last);
        Baton { from, to, has_failed: Arc::clone(&self.has_failed) }
    }

    /// The fault of a batch, once there is one.
    pub(super) fn fault(&self) -> io::Result<()> {
        if self.has_failed.load(Ordering::Relaxed) { self.end().map(drop) } else { Ok(()) }
    }

    /// What the last batch leaves behind, once. Waits for all of them.
    pub(super) fn end(&self) -> io::Result<T> {
        received(&self.last)
    }
}

/// One batch's part in a relay. Dropped, it fails all later ones.
pub(super) struct Baton<T> {
    from: Receiver<io::Result<T>>,
    to: SyncSender<io::Result<T>>,
    has_failed: Arc<AtomicBool>,
}

impl<T> Baton<T> {
    /// Waits for the batch before, does this, and lets the next one go on.
    pub(super) fn pass(self, act: impl FnOnce(&mut T) -> io::Result<()>) {
        let acted = received(&self.from).and_then(|mut held| act(&mut held).map(|()| held));
        if acted.is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        // Nobody waits where all of it has been given up.
        drop(self.to.send(acted));
    }
}

fn received<T>(from: &Receiver<io::Result<T>>) -> io::Result<T> {
    from.recv().unwrap_or_else(|_| Err(io::Error::other("what came before has failed")))
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that work off batches in the order in which they come. As each takes the oldest, none waits
/// for a batch that nobody is at. Ended, with what they are at, when dropped.
pub(super) struct Workers {
    wanted: NonZeroUsize,
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// No thread is begun before there is work for it; one is the caller itself.
    pub(super) fn new(wanted: NonZeroUsize) -> Self {
        Self { wanted, jobs: None, threads: Vec::new() }
    }

    /// Has a batch worked off; waits while enough of them are under way.
    pub(super) fn submit(&mut self, job: impl FnOnce() + Send + 'static) {
        if self.jobs.is_none() && self.wanted > NonZeroUsize::MIN {
            self.begin();
        }
        let Some(jobs) = self.jobs.as_ref().filter(|_| !self.threads.is_empty()) else {
            return job();
        };
        // Threads end before the queue only by a panic; then the job drops its batons, which tells.
        drop(jobs.send(Box::new(job)));
    }

    /// Where the system has no more threads, fewer do it, or the caller does.
    fn begin(&mut self) {
        let (jobs, queue) = mpsc::sync_channel::<Job>(1);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..self.wanted.get() {
            let queue = Arc::clone(&queue);
            let work = move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { break };
                    job();
                }
            };
            let begun = thread::Builder::new().name("payload".to_owned()).spawn(work);
            self.threads.extend(begun);
        }
        self.jobs = Some(jobs);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// Buffers that were used and can be used again.
#[derive(Default)]
pub(super) struct Pool(Mutex<VecDeque<Vec<u8>>>);

impl Pool {
    /// Kept at most; whoever holds more than these longer has them freed.
    const BUFFERS_MAX: usize = 16;

    /// An empty buffer with room for this much.
    pub(super) fn take(&self, bytes: usize) -> Vec<u8> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_back();
        used.unwrap_or_else(|| Vec::with_capacity(bytes))
    }

    /// Takes back a buffer with nothing secret in it.
    fn put(&self, mut buffer: Vec<u8>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < Self::BUFFERS_MAX {
            buffer.clear();
            free.push_back(buffer);
        }
    }
}

/// A buffer that goes back into its pool when the last who reads it is done.
pub(super) struct Pooled {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Pooled {
    pub(super) fn share(bytes: Vec<u8>, pool: &Arc<Pool>) -> bytes::Bytes {
        bytes::Bytes::from_owner(Self { bytes, pool: Arc::clone(pool) })
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.bytes));
    }
}
