//! Registering: that something existed is stated by its digest. The content stays here.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::client::archive::source::{PIECE_BYTES, Source, SourceFault, Stamp, kind_of};
use crate::client::error::{ClientError, chain};
use crate::client::session::Session;
use crate::crypto::signature;
use crate::crypto::timestamp::{Hash, Imprint, Imprinting};
use crate::domain::id::{Bytes, Digest, RegistrationId};
use crate::domain::registration::Registration;
use crate::domain::statement;
use crate::domain::text::Text;
use crate::wire::limit::STATEMENTS_MAX;

/// Documents registered together: all of them, or none.
pub const TOGETHER_MAX: usize = STATEMENTS_MAX;

/// A file that will be registered, as it was found.
#[derive(Debug)]
pub struct Found<'p> {
    path: &'p Path,
    stamp: Stamp,
}

/// What is stated of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What to call it.
    pub label: Text,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
    /// What is to be time-stamped: the same, or a longer digest.
    pub imprint: Imprint,
}

impl<'p> Found<'p> {
    /// Looks at what was named: a file, and nothing that only leads to one. A directory has no bytes
    /// of its own that anybody could show later.
    pub fn at(path: &'p Path) -> Result<Self, ClientError> {
        let found = fs::symlink_metadata(path);
        let found = found.map_err(|cause| SourceFault::Read { path: path.to_owned(), cause });
        let found = found.map_err(unreadable)?;
        let kind = found.file_type();
        if kind.is_file() {
            return Ok(Self { path, stamp: Stamp::from(&found) });
        }
        let hint = match kind.is_dir() {
            true => "make an archive of it, keep that, and register it: tar cf NAME.tar NAME",
            false => "name the file itself",
        };
        let message = format!("{} is {}; only files are registered", path.display(), kind_of(kind));
        Err(ClientError::input("NOT_A_FILE", message, hint))
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.stamp.size()
    }

    /// Reads it once, from end to end, and makes the digest that is to be time-stamped, too. One that
    /// changed since it was found, or changes meanwhile, is refused. `read` hears of every piece, in
    /// bytes.
    pub fn read(
        self,
        label: Text,
        stamped: Hash,
        mut read: impl FnMut(u64),
    ) -> Result<Document, ClientError> {
        let source = Source::open(self.path, self.stamp).map_err(unreadable)?;
        let (mut hash, mut piece) = (Sha256::new(), Zeroizing::new(vec![0; PIECE_BYTES]));
        // One digest is made where one will do.
        let mut longer = Some(stamped).filter(|it| *it != Hash::Sha256).map(Hash::begin);
        let hashed = source.pieces(&mut piece, |bytes| {
            hash.update(bytes);
            if let Some(longer) = &mut longer {
                longer.update(bytes);
            }
            read(bytes.len() as u64);
            Ok(())
        });
        hashed.map_err(unreadable)?;
        let sha256: Digest = Bytes(hash.finalize().into());
        let imprint = longer.map_or_else(|| Imprint::sha256(&sha256), Imprinting::finish);
        Ok(Document { label, size: self.size(), sha256, imprint })
    }
}

fn unreadable(fault: SourceFault) -> ClientError {
    let code = match &fault {
        SourceFault::Changed { .. } => "CHANGED",
        SourceFault::Read { .. } => "UNREADABLE",
    };
    ClientError::input(code, chain(&fault), fault.hint())
}

/// The first time that the organisation registered the very same, by what was followed.
pub fn before<'s>(session: &'s Session, document: &Document) -> Option<&'s Registration> {
    let same = |registration: &&Registration| registration.statement.sha256 == document.sha256;
    session.states().registrations().filter(same).min_by_key(|earlier| earlier.registered_at)
}

/// States documents' digests, at most [`TOGETHER_MAX`] of them. Their ids, in order.
pub async fn register(
    session: &Session,
    documents: &[Document],
) -> Result<Vec<RegistrationId>, ClientError> {
    let mut group = Vec::with_capacity(documents.len());
    for Document { label, size, sha256, imprint: _ } in documents.iter().cloned() {
        let stated = statement::Registration { made: session.made(), label, size, sha256 };
        group.push(session.sign(&stated.into())?);
    }
    let digests = group.iter().map(|signed| signature::sha256(signed.statement.as_bytes()));
    let ids = digests.map(|digest| RegistrationId::of(&digest)).collect();
    session.submit(group, Vec::new()).await?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    fn label() -> Text {
        "notebook".parse().unwrap()
    }

    #[test]
    fn a_document_is_read_once_and_stated_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notebook");
        for (content, pieces, stamped) in [
            (vec![], 0, Hash::Sha256),
            (vec![], 0, Hash::Sha512),
            (b"anneal at 412".to_vec(), 1, Hash::Sha384),
            (vec![7; PIECE_BYTES], 1, Hash::Sha256),
            (vec![7; 2 * PIECE_BYTES + 1], 3, Hash::Sha256),
            (vec![7; 2 * PIECE_BYTES + 1], 3, Hash::Sha512),
        ] {
            fs::write(&path, &content).unwrap();
            let (mut heard, mut bytes) = (0, 0);
            let document = Found::at(&path).unwrap().read(label(), stamped, |read| {
                heard += 1;
                bytes += read;
            });
            let (size, sha256) = (content.len() as u64, signature::sha256(&content));
            let imprint = Imprint::of(stamped, &content);
            assert_eq!(document.unwrap(), Document { label: label(), size, sha256, imprint });
            assert_eq!((heard, bytes), (pieces, size));
        }
    }

    #[test]
    fn a_document_that_changes_while_it_is_read_is_refused() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 4] = [
            ("longer", |path| {
                File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
            }),
            ("shorter", |path| {
                File::options().write(true).open(path).unwrap().set_len(3).unwrap();
            }),
            ("another in its place", |path| {
                fs::write(path.with_extension("new"), vec![8; 2 * PIECE_BYTES]).unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
            }),
            ("a pipe in its place", |path| {
                fs::remove_file(path).unwrap();
                let mode = rustix::fs::Mode::RUSR;
                let fifo = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, path, fifo, mode, 0).unwrap();
            }),
        ];
        for (what, change) in changes {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("notebook");
            let code = |read: Result<Document, ClientError>| read.unwrap_err().code().to_owned();
            fs::write(&path, vec![7; 2 * PIECE_BYTES]).unwrap();
            let found = Found::at(&path).unwrap();
            change(&path);
            assert_eq!(
                code(found.read(label(), Hash::Sha256, |_| ())),
                "CHANGED",
                "{what}, before"
            );
        }
        for (what, change) in changes.into_iter().take(2) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("notebook");
            fs::write(&path, vec![7; 2 * PIECE_BYTES]).unwrap();
            let mut is_first = true;
            let read = Found::at(&path).unwrap().read(label(), Hash::Sha256, |_| {
                if std::mem::take(&mut is_first) {
                    change(&path);
                }
            });
            assert_eq!(read.unwrap_err().code(), "CHANGED", "{what}, meanwhile");
        }
    }
}
