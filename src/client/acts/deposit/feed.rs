//! Where the bytes of an upload come from: files that are sealed meanwhile, or an age file.
//!
//! Reading, sealing and hashing have threads of their own; a few pieces wait for the network.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes as Buffer;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::acts::deposit::bundle::{Facts, Ready, seal_into, unreadable};
use crate::client::acts::deposit::window::{WINDOW_BYTES_MAX, Window};
use crate::client::archive::pack::Plan;
use crate::client::error::ClientError;
use crate::crypto::payload::Sink;
use crate::crypto::seal::{Seal, Sealed};
use crate::domain::id::Bytes;

/// Bytes of an age file that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces read or sealed ahead of the network.
const PIECES_AHEAD: usize = 4;

/// The bytes of one age file, in order and from anywhere they can be had again.
pub(super) enum Feed {
    /// Files that are sealed once, and kept in a window.
    Sealing { pieces: mpsc::Receiver<Buffer>, window: Window, outcome: Outcome },
    /// A file that is read from wherever it goes on.
    Reading { ready: Arc<Ready>, size: u64, reading: Option<Reading>, hashed: Hashed },
}

/// A thread that reads a file.
pub(super) struct Reading {
    pieces: mpsc::Receiver<Buffer>,
    thread: JoinHandle<(Hashed, io::Result<()>)>,
}

/// How far a file was hashed: once, however often it is read.
#[derive(Clone)]
pub(super) struct Hashed {
    hash: Sha256,
    size: u64,
}

/// What sealing comes to.
pub(super) enum Outcome {
    Awaited(JoinHandle<Result<Sealed, ClientError>>),
    Known(Box<Sealed>),
    /// As was told.
    Failed,
}

impl Feed {
    /// Seals files from now on.
    pub(super) fn sealing(plan: Arc<Plan>, seal: Seal) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let sealing = tokio::task::spawn_blocking(move || {
            seal_into(&plan, seal, Sent(sender), |_| ()).map(|(sealed, _)| sealed)
        });
        let (window, outcome) = (Window::new(WINDOW_BYTES_MAX), Outcome::Awaited(sealing));
        Self::Sealing { pieces, window, outcome }
    }

    /// Reads an age file.
    pub(super) fn reading(ready: Arc<Ready>, size: u64) -> Self {
        let hashed = Hashed { hash: Sha256::new(), size: 0 };
        Self::Reading { ready, size, reading: None, hashed }
    }

    /// Goes on from a place. Whether it can.
    pub(super) async fn rewind(&mut self, to: u64) -> Result<bool, ClientError> {
        match self {
            Self::Sealing { window, .. } => Ok(window.rewind(to)),
            Self::Reading { ready, size, reading, hashed } => {
                if let Some(before) = reading.take() {
                    *hashed = before.end().await?;
                }
                *reading = Some(Reading::begin(Arc::clone(ready), hashed.clone(), to..*size));
                Ok(true)
            }
        }
    }

    /// The vault has so many bytes durably.
    pub(super) fn is_durable(&mut self, bytes: u64) {
        match self {
            Self::Sealing { window, .. } => window.is_durable(bytes),
            Self::Reading { .. } => {}
        }
    }

    /// Whether there may be a piece to be sent now.
    pub(super) fn may_go_on(&mut self) -> bool {
        match self {
            Self::Sealing { window, .. } => window.has_next() || window.has_room(),
            Self::Reading { .. } => true,
        }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Buffer>, ClientError> {
        match self {
            Self::Sealing { pieces, window, outcome } => {
                if !window.has_next() {
                    match pieces.recv().await {
                        Some(piece) => window.push(piece),
                        // It has ended, or failed.
                        None => return outcome.sealed().await.map(|_| None),
                    }
                }
                Ok(window.next())
            }
            Self::Reading { reading, .. } => match reading {
                Some(reading) => Ok(reading.pieces.recv().await),
                None => Ok(None),
            },
        }
    }

    /// What is to be stated, once all has been sent.
    pub(super) async fn facts(&mut self) -> Result<Facts, ClientError> {
        match self {
            Self::Sealing { outcome, .. } => outcome.sealed().await.map(Facts::from),
            Self::Reading { ready, reading, hashed, .. } => {
                if let Some(reading) = reading.take() {
                    *hashed = reading.end().await?;
                }
                ready.facts(Bytes(hashed.hash.clone().finalize().into()))
            }
        }
    }
}

impl Outcome {
    async fn sealed(&mut self) -> Result<Sealed, ClientError> {
        let thread = match std::mem::replace(self, Self::Failed) {
            Self::Awaited(thread) => thread,
            Self::Known(sealed) => {
                *self = Self::Known(sealed.clone());
                return Ok(*sealed);
            }
            Self::Failed => return Err(unreadable(io::Error::other("it was not sealed"))),
        };
        let sealed = thread.await.map_err(|fault| unreadable(io::Error::other(fault)))??;
        *self = Self::Known(Box::new(sealed.clone()));
        Ok(sealed)
    }
}

impl Reading {
    /// Reads from `range`, having hashed so far already; what lies between is hashed and not sent.
    fn begin(ready: Arc<Ready>, hashed: Hashed, range: Range<u64>) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let thread = tokio::task::spawn_blocking(move || {
            let mut hashed = hashed;
            let read = read(&ready.file, &mut hashed, range, &sender);
            (hashed, read)
        });
        Self { pieces, thread }
    }

    /// Ends it, wherever it is.
    async fn end(self) -> Result<Hashed, ClientError> {
        let Self { pieces, thread } = self;
        drop(pieces);
        let (hashed, read) = thread.await.map_err(|fault| unreadable(io::Error::other(fault)))?;
        read.map_err(unreadable)?;
        Ok(hashed)
    }
}

fn read(
    file: &File,
    hashed: &mut Hashed,
    range: Range<u64>,
    to: &mpsc::Sender<Buffer>,
) -> io::Result<()> {
    let mut at = hashed.size.min(range.start);
    while at < range.end {
        let end = if at < range.start { range.start } else { range.end };
        let length = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut piece = vec![0; length];
        file.read_exact_at(&mut piece, at)?;
        let is_to_be_sent = at >= range.start;
        let known = usize::try_from(hashed.size.saturating_sub(at)).unwrap_or(length);
        at += length as u64;
        let news = piece.get(known.min(length)..).unwrap_or_default();
        hashed.hash.update(news);
        hashed.size += news.len() as u64;
        if is_to_be_sent && to.blocking_send(piece.into()).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Hands sealed pieces on, as long as somebody wants them.
struct Sent(mpsc::Sender<Buffer>);

impl Sink for Sent {
    fn take(&mut self, piece: Buffer) -> io::Result<()> {
        self.0.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::signature::sha256;

    #[test]
    fn a_file_is_hashed_once_wherever_it_is_read_from() {
        const SIZE: usize = 3 * PIECE_BYTES + 100;
        let content: Vec<u8> = (0..SIZE).map(|n| (n % 253) as u8).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&content, 0).unwrap();
        let mut hashed = Hashed { hash: Sha256::new(), size: 0 };
        for (from, taken) in [(0, 2), (PIECE_BYTES / 2, 2), (7, 1), (3 * PIECE_BYTES, 9), (0, 9)] {
            // As many pieces as fit, and then nobody wants more.
            let (sender, mut pieces) = mpsc::channel(taken);
            let mut sent = Vec::new();
            let reading = std::thread::scope(|scope| {
                let range = from as u64..SIZE as u64;
                let reading = scope.spawn(|| {
                    let read = read(&file, &mut hashed, range, &sender);
                    drop(sender);
                    read
                });
                for _ in 0..taken {
                    let Some(piece) = pieces.blocking_recv() else { break };
                    sent.extend_from_slice(&piece);
                }
                drop(pieces);
                reading.join().unwrap()
            });
            reading.unwrap();
            assert!(content[from..].starts_with(&sent) && !sent.is_empty(), "{from}");
        }
        assert_eq!(hashed.size, SIZE as u64);
        assert_eq!(Bytes(hashed.hash.finalize().into()), sha256(&content));
    }
}
