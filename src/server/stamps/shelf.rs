//! The time-stamps of the log as they are kept: a directory a checkpoint, `GENERATION-SIZE`, with the
//! `checkpoint` as it was stamped, `own-1.tsr` of the vault's own authority and `external-1.tsr` of
//! another, and beside each token the CA that vouches for it: `own-1.pem`. What renews a time-stamp
//! has the next number. Nothing that is kept is ever replaced.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::crypto::keyfile::{self, KeyFileError};
use crate::crypto::note::NOTE_BYTES_MAX;
use crate::crypto::pem::{certificates_of, pem};
use crate::crypto::timestamp::{Link, TOKEN_BYTES_MAX};

const CHECKPOINT: &str = "checkpoint";
/// Largest file with CAs, in bytes.
const CAS_BYTES_MAX: usize = 64 * 1024;

/// Whose time-stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// Of the vault's own authority, which proves nothing against the vault's own operator.
    Own,
    /// Of another one.
    External,
}

/// Which checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamped {
    /// Of which generation of the log.
    pub generation: u32,
    /// Of how many entries.
    pub size: u64,
}

/// A checkpoint and its time-stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The signed note, of the log's own signature alone: exactly what the first time-stamps cover.
    pub checkpoint: String,
    /// Time-stamps, oldest first. None is empty.
    pub chains: BTreeMap<Whose, Vec<Link>>,
}

/// Why something cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ShelfFault {
    /// A file cannot be read or written.
    #[error("a kept time-stamp cannot be read or written")]
    File(#[from] KeyFileError),
    /// A task ended before it was done.
    #[error("a time-stamp was not kept")]
    Ended(#[from] tokio::task::JoinError),
    /// A directory cannot be listed.
    #[error("cannot list {path}", path = path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What is there is not what was kept.
    #[error("{path} is not {expected}; restore it from a backup", path = path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
}

/// Where they are kept. `Clone` is another name for the same place.
#[derive(Debug, Clone)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// In this directory, which is made when there is something to keep.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Where a checkpoint's time-stamps are.
    pub fn place(&self, stamped: Stamped) -> PathBuf {
        self.dir.join(stamped.to_string())
    }

    /// What is kept, in the order of the log.
    pub fn all(&self) -> Result<Vec<Stamped>, ShelfFault> {
        let names = list(&self.dir)?;
        let mut all: Vec<Stamped> = names.iter().filter_map(|name| name.parse().ok()).collect();
        all.sort_unstable();
        Ok(all)
    }

    /// The newest one that this authority has stamped.
    pub fn newest(&self, whose: Whose) -> Result<Option<Stamped>, ShelfFault> {
        let is_of = |stamped: &Stamped| self.place(*stamped).join(token(whose, 1)).exists();
        Ok(self.all()?.into_iter().rfind(is_of))
    }

    /// Reads one.
    pub fn read(&self, stamped: Stamped) -> Result<Kept, ShelfFault> {
        let place = self.place(stamped);
        let path = place.join(CHECKPOINT);
        let checkpoint = keyfile::read(&path, NOTE_BYTES_MAX)?.to_vec();
        let checkpoint = String::from_utf8(checkpoint)
            .map_err(|_| ShelfFault::Damaged { path, expected: "a signed checkpoint" })?;
        let names = list(&place)?;
        let mut chains = BTreeMap::new();
        for whose in Whose::ALL {
            let count = names.iter().filter(|name| is_token(name, whose)).count();
            let chain = (1..=count).map(|number| self.link(&place, whose, number));
            let chain = chain.collect::<Result<Vec<_>, _>>()?;
            if !chain.is_empty() {
                chains.insert(whose, chain);
            }
        }
        Ok(Kept { checkpoint, chains })
    }

    fn link(&self, place: &Path, whose: Whose, number: usize) -> Result<Link, ShelfFault> {
        let token = keyfile::read(&place.join(token(whose, number)), TOKEN_BYTES_MAX)?.to_vec();
        let path = place.join(cas(whose, number));
        let text = keyfile::read(&path, CAS_BYTES_MAX)?;
        let cas = certificates_of(&text);
        let expected = "certificates in PEM";
        Ok(Link { token, cas: cas.ok_or(ShelfFault::Damaged { path, expected })? })
    }

    /// Keeps the next time-stamp of a checkpoint, durably on return. It is the `number`th of its
    /// chain.
    pub fn keep(
        &self,
        stamped: Stamped,
        checkpoint: &str,
        (whose, number): (Whose, usize),
        link: &Link,
    ) -> Result<(), ShelfFault> {
        let place = self.place(stamped);
        keyfile::private_dir(&place)?;
        let path = place.join(CHECKPOINT);
        if !path.exists() {
            keyfile::write_new(&path, checkpoint.as_bytes())?;
        } else if *keyfile::read(&path, NOTE_BYTES_MAX)? != checkpoint.as_bytes() {
            return Err(ShelfFault::Damaged { path, expected: "the checkpoint of its size" });
        }
        // CAs before the token: so none is ever without. One that was left over is replaced.
        let pems: String = link.cas.iter().map(|ca| pem("CERTIFICATE", ca)).collect();
        keyfile::replace(&place.join(cas(whose, number)), pems.as_bytes())?;
        Ok(keyfile::write_new(&place.join(token(whose, number)), &link.token)?)
    }
}

impl Whose {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Own, Self::External];
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::External => "external",
        })
    }
}

impl fmt::Display for Stamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.size)
    }
}

impl FromStr for Stamped {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (generation, size) = name.split_once('-').ok_or(())?;
        let parsed = (generation.parse(), size.parse());
        let (Ok(generation), Ok(size)) = parsed else { return Err(()) };
        let stamped = Self { generation, size };
        // One spelling only.
        if stamped.to_string() == name { Ok(stamped) } else { Err(()) }
    }
}

fn token(whose: Whose, number: usize) -> String {
    format!("{whose}-{number}.tsr")
}

fn cas(whose: Whose, number: usize) -> String {
    format!("{whose}-{number}.pem")
}

fn is_token(name: &str, whose: Whose) -> bool {
    name.starts_with(&format!("{whose}-")) && name.ends_with(".tsr")
}

/// The names in a directory; none where there is no directory.
fn list(dir: &Path) -> Result<Vec<String>, ShelfFault> {
    let unlisted = |source: io::Error| ShelfFault::Directory { path: dir.to_owned(), source };
    let items = match fs::read_dir(dir) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        items => items.map_err(unlisted)?,
    };
    let names = items.map(|item| Ok(item?.file_name().to_string_lossy().into_owned()));
    names.collect::<io::Result<_>>().map_err(unlisted)
}
