//! What is being written and has no final name yet. Whoever stops the program has it removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

static PLACES: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file or directory of which nothing may stay behind as long as this lives.
#[must_use]
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    /// Takes note of it.
    pub(crate) fn at(path: &Path) -> Self {
        PLACES.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        PLACES.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Removes all of it. For a program that is about to end: whoever is still writing there fails.
pub fn remove_all() {
    let places = std::mem::take(&mut *PLACES.lock().unwrap_or_else(PoisonError::into_inner));
    for place in places {
        // Under another name nothing more is made in it.
        let mut gone = place.clone().into_os_string();
        gone.push(".stopped");
        let gone = PathBuf::from(gone);
        if fs::rename(&place, &gone).is_ok() {
            let removed =
                if gone.is_dir() { fs::remove_dir_all(&gone) } else { fs::remove_file(&gone) };
            drop(removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_final_name_is_removed_and_what_has_one_stays() {
        let place = tempfile::tempdir().unwrap();
        let [done, dir, file] = ["done", "dir", "file"].map(|name| place.path().join(name));
        fs::write(&done, "whole").unwrap();
        drop(Unfinished::at(&done));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("part"), "half").unwrap();
        fs::write(&file, "half").unwrap();
        let _unfinished = [Unfinished::at(&dir), Unfinished::at(&file)];
        remove_all();
        let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|i| i.unwrap().path()).collect();
        assert_eq!(left, [done]);
    }
}
