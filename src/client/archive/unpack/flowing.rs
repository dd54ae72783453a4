//! A file that reaches the disk while it is written, so that little is left to wait for at its end.

use std::fs::File;
use std::io::{self, Write};
use std::thread::{self, JoinHandle};

/// Bytes written before it is worth to have them on the disk.
const STRETCH_BYTES: u64 = 16 << 20;

/// A file being written, and what is synced of it meanwhile.
pub(super) struct Flowing {
    file: File,
    /// Bytes since the last sync began.
    written: u64,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Flowing {
    pub(super) fn into(file: File) -> Self {
        Self { file, written: 0, syncing: None }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Makes all of it durable, with all that is known of the file.
    pub(super) fn sync(mut self) -> io::Result<()> {
        self.ended()?;
        self.file.sync_all()
    }

    /// The file, of which nothing is being synced.
    pub(super) fn unsynced(mut self) -> io::Result<File> {
        self.ended()?;
        Ok(self.file)
    }

    /// Waits for the sync that is under way. Its failure is told once, so it has to be heard here.
    fn ended(&mut self) -> io::Result<()> {
        let Some(syncing) = self.syncing.take() else { return Ok(()) };
        syncing.join().unwrap_or_else(|_| Err(io::Error::other("a sync was given up")))
    }
}

impl Write for Flowing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.file.write(bytes)?;
        self.written += taken as u64;
        let is_busy = self.syncing.as_ref().is_some_and(|syncing| !syncing.is_finished());
        if self.written >= STRETCH_BYTES && !is_busy {
            self.ended()?;
            self.written = 0;
            // Where the system has no more threads or files, all of it is synced at the end.
            let begun = thread::Builder::new().name("sync".to_owned());
            let file = self.file.try_clone();
            self.syncing = file.and_then(|file| begun.spawn(move || file.sync_data())).ok();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
