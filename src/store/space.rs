//! Room on the disk, and a reserve of it for what must be written even when the disk is full:
//! objections, withdrawals, revocations and the record of who saw what.
//!
//! The reserve is a file that takes up room and says nothing. While room is scarce only urgent
//! batches are taken; when even they would not fit, the reserve gives way piece by piece, the last
//! piece only for a start. Where that leaves too little as well, nothing is begun: an index that
//! runs out of room half-way ends the process. It grows back once there is room again.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

use crate::domain::chain::chain;
use crate::store::Room;
use crate::store::segments::private_file;

/// Below this many free bytes only what is urgent is written.
const SCARCE_BYTES: u64 = 64 << 20;
/// Size of the reserve, in bytes.
pub(crate) const RESERVE_BYTES: u64 = 48 << 20;
/// Below this many free bytes the reserve gives way, and by so much at a time: more than the
/// largest batch takes in journal and index together.
const GIVE_BYTES: u64 = 16 << 20;
/// Below this many free bytes nothing is written: the index alone takes room in steps of half a
/// MiB, and as many of them as there are pages to move.
const NEEDED_BYTES: u64 = 4 << 20;
const _: () = assert!(RESERVE_BYTES > 2 * GIVE_BYTES && NEEDED_BYTES < GIVE_BYTES);

const RESERVE_NAME: &str = "reserve";

/// Whether an error says that the disk is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Tells how many bytes are free.
pub(crate) type Free = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// The room a data directory has.
pub(crate) struct Space {
    free: Free,
    reserve: Mutex<Reserve>,
}

struct Reserve {
    file: File,
    bytes: u64,
    /// As large as it should be.
    whole_bytes: u64,
    /// Whether it was said that it cannot be made whole.
    told: bool,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Space")
    }
}

impl Space {
    /// The room in this directory; the reserve is laid by if there is room for it.
    pub(crate) fn open(directory: &Path, whole_bytes: u64, free: Option<Free>) -> io::Result<Self> {
        let file = private_file().open(directory.join(RESERVE_NAME))?;
        // What a copy has left out of it, as holes, takes up no room.
        let data = file.metadata()?;
        let bytes = data.len().min(data.blocks() * 512).min(whole_bytes);
        let free = match free {
            Some(free) => free,
            None => {
                let disk = file.try_clone()?;
                Box::new(move || {
                    let found = fstatvfs(&disk)?;
                    Ok(found.f_bavail.saturating_mul(found.f_frsize))
                })
            }
        };
        let space =
            Self { free, reserve: Mutex::new(Reserve { file, bytes, whole_bytes, told: false }) };
        space.lay_by();
        Ok(space)
    }

    /// Whether there is room for something of this size besides what may be urgent.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        // Where the system does not tell, writing will.
        let free = (self.free)().unwrap_or(u64::MAX);
        let has = free >= SCARCE_BYTES.saturating_add(bytes);
        if has {
            self.lay_by();
        }
        has
    }

    /// As it is now.
    pub(crate) fn room(&self) -> Room {
        // Two numbers that are never left half-changed.
        let reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        Room {
            free_bytes: (self.free)().ok(),
            scarce_bytes: SCARCE_BYTES,
            reserve_bytes: reserve.bytes,
            reserve_whole_bytes: reserve.whole_bytes,
        }
    }

    /// Gives up a part of the reserve where the next batch would not fit otherwise. Fails with
    /// [`is_full`] where there is none to give and no room.
    pub(crate) fn make_room(&self) -> io::Result<()> {
        self.give(GIVE_BYTES)
    }

    /// The same before a start, which the last part of the reserve is kept for.
    pub(crate) fn make_room_to_start(&self) -> io::Result<()> {
        self.give(0)
    }

    fn give(&self, keep_bytes: u64) -> io::Result<()> {
        let free = || (self.free)().unwrap_or(u64::MAX);
        if free() >= GIVE_BYTES {
            return Ok(());
        }
        let mut reserve = self.reserve.lock().map_err(|_| io::Error::other("poisoned"))?;
        if reserve.bytes > keep_bytes {
            let bytes = reserve.bytes.saturating_sub(GIVE_BYTES).max(keep_bytes);
            reserve.file.set_len(bytes)?;
            reserve.bytes = bytes;
            tracing::warn!(left = bytes, "the disk is full; the reserve gives way");
        }
        match free() >= NEEDED_BYTES {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    /// Makes the reserve whole again, if that leaves room for others. A vault without a reserve is
    /// better than none; that it has none is said once.
    fn lay_by(&self) {
        let Ok(mut reserve) = self.reserve.lock() else { return };
        let missing = reserve.whole_bytes - reserve.bytes;
        if missing == 0 || (self.free)().unwrap_or(0) < SCARCE_BYTES + missing {
            return;
        }
        match fallocate(&reserve.file, FallocateFlags::empty(), 0, reserve.whole_bytes) {
            Ok(()) => (reserve.bytes, reserve.told) = (reserve.whole_bytes, false),
            Err(fault) if !reserve.told => {
                reserve.told = true;
                let fault = io::Error::from(fault);
                tracing::warn!(error = chain(&fault), "no reserve is laid by");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_reserve_gives_way_and_grows_back() {
        let dir = tempfile::tempdir().unwrap();
        let free = Arc::new(AtomicU64::new(1 << 40));
        let told = Arc::clone(&free);
        let disk: Free = Box::new(move || Ok(told.load(Ordering::Relaxed)));
        let space = Space::open(dir.path(), RESERVE_BYTES, Some(disk)).unwrap();
        let held = || std::fs::metadata(dir.path().join(RESERVE_NAME)).unwrap();
        assert_eq!(held().len(), RESERVE_BYTES);
        assert!(held().blocks() * 512 >= RESERVE_BYTES, "it takes up room, not only a name");
        assert!(space.has_room_for(1 << 30));
        free.store(SCARCE_BYTES + 10, Ordering::Relaxed);
        assert!(space.has_room_for(10) && !space.has_room_for(11));
        space.make_room().unwrap();
        assert_eq!(held().len(), RESERVE_BYTES, "nothing is given up while there is room");
        free.store(0, Ordering::Relaxed);
        let is_refused = |made: io::Result<()>| made.is_err_and(|error| is_full(&error));
        for left in [2, 1, 1] {
            assert!(is_refused(space.make_room()), "nothing that is given is free here");
            assert_eq!(held().len(), left * GIVE_BYTES, "the last part is kept");
        }
        free.store(NEEDED_BYTES, Ordering::Relaxed);
        space.make_room().unwrap();
        assert_eq!(held().len(), GIVE_BYTES);
        free.store(0, Ordering::Relaxed);
        assert!(is_refused(space.make_room_to_start()));
        assert_eq!(held().len(), 0, "for a start, all is given");
        assert!(!space.has_room_for(0));
        free.store(SCARCE_BYTES + RESERVE_BYTES, Ordering::Relaxed);
        assert!(space.has_room_for(0));
        assert_eq!(held().len(), RESERVE_BYTES, "whole again");
    }
}
