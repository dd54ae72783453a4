//! Files that people may unpack with stock tools: gzipped tars of regular files in one directory.
//!
//! What is read was written by anybody: nothing is unpacked to disk, every name is looked at by whoever
//! reads, and no more is unpacked than the kind of file may have.

use std::io::{BufRead as _, BufReader, Read, Write};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, EntryType, Header};

/// What is packed.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The directory that everything is in.
    pub dir: &'static str,
    /// As one is called: "a receipt".
    pub name: &'static str,
    /// What one unpacks to at most, in bytes.
    pub unpacked_bytes_max: u64,
}

/// Why a file is not what it is to be.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is no gzipped tar, or it is cut short.
    #[error("it is not a gzipped tar archive, or not all of it")]
    Archive(#[source] std::io::Error),
    /// It holds what none holds.
    #[error("it is not {}: {what}", .kind.name)]
    Content {
        /// What it is to be.
        kind: &'static Kind,
        /// What is wrong.
        what: String,
    },
}

impl Kind {
    /// Says that a file is not one.
    pub fn refused(&'static self, what: impl ToString) -> Malformed {
        Malformed::Content { kind: self, what: what.to_string() }
    }

    /// Whether a file begins as one. What is no such archive is none of any kind.
    pub fn is_begun(&self, from: impl Read) -> bool {
        let unpacked = GzDecoder::new(BufReader::new(from)).take(self.unpacked_bytes_max);
        let mut archive = Archive::new(unpacked);
        let first = archive.entries().ok().and_then(|entries| entries.raw(true).next()?.ok());
        first.is_some_and(|first| {
            let name = first.path_bytes();
            name.strip_prefix(self.dir.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
        })
    }

    /// Reads one to its end: each file by its name in the directory, its size, and its content, which
    /// need not be read.
    pub fn read(
        &'static self,
        from: impl Read,
        mut each: impl FnMut(&str, u64, &mut dyn Read) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let unpacked = GzDecoder::new(BufReader::new(from)).take(self.unpacked_bytes_max);
        let mut archive = Archive::new(unpacked);
        for entry in archive.entries().map_err(Malformed::Archive)?.raw(true) {
            let mut entry = entry.map_err(Malformed::Archive)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            // Whoever has unpacked one and packed it again has these in it.
            if entry.header().entry_type() == EntryType::Directory {
                continue;
            }
            if entry.header().entry_type() != EntryType::Regular {
                return Err(self.refused(format!("{name:?} is not a file")));
            }
            let part = name.strip_prefix(self.dir).and_then(|rest| rest.strip_prefix('/'));
            let part =
                part.ok_or_else(|| self.refused(format!("{name:?} does not belong in one")))?;
            let size = entry.size();
            each(part, size, &mut entry)?;
        }
        // To its very end, where its checksum is. Behind the archive there are zeros, if anything.
        let (mut rest, mut piece) = (archive.into_inner(), [0; 4_096]);
        loop {
            match rest.read(&mut piece).map_err(Malformed::Archive)? {
                0 => break,
                count if piece.iter().take(count).all(|byte| *byte == 0) => {}
                _ => return Err(self.refused("something comes behind its end")),
            }
        }
        let mut behind = rest.into_inner().into_inner();
        match behind.fill_buf().map_err(Malformed::Archive)?.is_empty() {
            true => Ok(()),
            false => Err(self.refused("something comes behind its end")),
        }
    }
}

/// The whole of a file in one, if it is no longer than it may be.
pub fn whole(
    kind: &'static Kind,
    name: &str,
    content: &mut dyn Read,
    bytes_max: usize,
) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    content.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(Malformed::Archive)?;
    match bytes.len() <= bytes_max {
        true => Ok(bytes),
        false => Err(kind.refused(format!("{name:?} is too large"))),
    }
}

/// The one line of a file.
pub fn line(content: &[u8]) -> Option<&str> {
    std::str::from_utf8(content).ok()?.strip_suffix('\n').filter(|line| !line.contains('\n'))
}

/// One that is being written. The same files make the same bytes.
pub struct Packer<W: Write> {
    kind: &'static Kind,
    tar: Builder<GzEncoder<W>>,
}

impl<W: Write> Packer<W> {
    /// Begins one.
    pub fn new(kind: &'static Kind, to: W) -> Self {
        Self { kind, tar: Builder::new(GzEncoder::new(to, Compression::default())) }
    }

    /// Puts a text in.
    pub fn put(&mut self, name: &str, content: &[u8]) -> std::io::Result<()> {
        self.put_with(name, 0o644, content.len() as u64, content)
    }

    /// Puts a script in.
    pub fn put_script(&mut self, name: &str, content: &[u8]) -> std::io::Result<()> {
        self.put_with(name, 0o755, content.len() as u64, content)
    }

    /// Puts in what is read, which is so many bytes.
    pub fn put_all(&mut self, name: &str, size: u64, content: impl Read) -> std::io::Result<()> {
        self.put_with(name, 0o644, size, content)
    }

    fn put_with(
        &mut self,
        name: &str,
        mode: u32,
        size: u64,
        content: impl Read,
    ) -> std::io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_size(size);
        header.set_mode(mode);
        header.set_entry_type(EntryType::Regular);
        self.tar.append_data(&mut header, format!("{}/{name}", self.kind.dir), content)
    }

    /// Ends it.
    pub fn finish(self) -> std::io::Result<()> {
        self.tar.into_inner()?.finish().map(drop)
    }
}
