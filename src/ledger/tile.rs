//! Tiles: the log as files that anybody can fetch, check and keep (C2SP tlog-tiles).

use std::fmt;
use std::str::FromStr;

use crate::domain::id::Malformed;
use crate::ledger::merkle::Node;

/// Levels of the tree that a tile spans.
const TILE_LEVELS: u8 = 8;
/// Hashes, or entries, in a full tile.
pub const TILE_WIDTH: u64 = 1 << TILE_LEVELS;
/// The highest level of tiles: 256 to the eighth is more than a `u64` counts.
const LEVEL_MAX: u8 = 7;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Entries as the log shows them, each behind its length in two bytes.
    Entries,
    /// Hashes: at level 0 those of entries, above those of full tiles of the level below.
    Hashes {
        /// The tile's level.
        level: u8,
    },
}

/// A tile by its place and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// What it holds.
    pub content: Content,
    /// Its number from the left, from 0.
    pub index: u64,
    /// How many hashes or entries, from 1 to [`TILE_WIDTH`].
    pub width: u64,
}

impl Tile {
    /// Whether a log of so many entries has this tile, at this width or wider.
    pub fn is_within(&self, size: u64) -> bool {
        let filled = size >> (TILE_LEVELS * self.level());
        self.first().checked_add(self.width).is_some_and(|end| end <= filled)
    }

    /// Whether nothing can be added to it.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The nodes whose hashes it holds, or over whose leaves its entries are.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        let (level, first) = (TILE_LEVELS * self.level(), self.first());
        (0..self.width).map(move |beside| Node { level, index: first.saturating_add(beside) })
    }

    fn level(&self) -> u8 {
        match self.content {
            Content::Entries => 0,
            Content::Hashes { level } => level,
        }
    }

    fn first(&self) -> u64 {
        self.index.saturating_mul(TILE_WIDTH)
    }
}

impl fmt::Display for Tile {
    /// The path below the log's prefix, such as `tile/1/x001/234.p/5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            Content::Entries => f.write_str("tile/entries/")?,
            Content::Hashes { level } => write!(f, "tile/{level}/")?,
        }
        let (mut groups, mut rest) = (vec![self.index % 1_000], self.index / 1_000);
        while rest > 0 {
            groups.push(rest % 1_000);
            rest /= 1_000;
        }
        for (after, group) in groups.iter().enumerate().rev() {
            match after {
                0 => write!(f, "{group:03}")?,
                _ => write!(f, "x{group:03}/")?,
            }
        }
        match self.is_full() {
            true => Ok(()),
            false => write!(f, ".p/{}", self.width),
        }
    }
}

impl FromStr for Tile {
    type Err = Malformed;

    /// Reads a path as it is written, and in no other spelling.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parsed = || {
            let (content, rest) = text.strip_prefix("tile/")?.split_once('/')?;
            let content = match content {
                "entries" => Content::Entries,
                level => Content::Hashes {
                    level: level.parse().ok().filter(|level| *level <= LEVEL_MAX)?,
                },
            };
            let (index, width) = match rest.split_once(".p/") {
                Some((index, width)) => (index, width.parse().ok().filter(|w| *w < TILE_WIDTH)?),
                None => (rest, TILE_WIDTH),
            };
            let mut number = 0u64;
            for group in index.split('/') {
                let digits = group.strip_prefix('x').unwrap_or(group);
                let group: u64 = digits.parse().ok().filter(|_| digits.len() == 3)?;
                number = number.checked_mul(1_000)?.checked_add(group)?;
            }
            let tile = Self { content, index: number, width };
            (width > 0 && tile.to_string() == text).then_some(tile)
        };
        let rule = "tile/LEVEL/NUMBER or tile/entries/NUMBER, with .p/WIDTH where it is not full";
        parsed().ok_or_else(|| Malformed::new(text, "a tile", rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(level: u8, index: u64, width: u64) -> Tile {
        Tile { content: Content::Hashes { level }, index, width }
    }

    #[test]
    fn paths_are_those_of_tlog_tiles() {
        for (tile, path) in [
            (hashes(0, 0, 256), "tile/0/000"),
            (hashes(1, 1_234_067, 256), "tile/1/x001/x234/067"),
            (hashes(0, 273, 112), "tile/0/273.p/112"),
            (hashes(2, 0, 1), "tile/2/000.p/1"),
            (Tile { content: Content::Entries, index: 1_000, width: 256 }, "tile/entries/x001/000"),
            (Tile { content: Content::Entries, index: 5, width: 255 }, "tile/entries/005.p/255"),
        ] {
            assert_eq!(tile.to_string(), path);
            assert_eq!(path.parse(), Ok(tile));
            if let Content::Hashes { level } = tile.content {
                let width = u32::try_from(tile.width).unwrap();
                let theirs = tlog_tiles::Tile::new(8, level, tile.index, width, false);
                let shared = path.strip_prefix("tile/").unwrap();
                assert!(theirs.path().ends_with(shared), "{} {path}", theirs.path());
            }
        }
        for path in [
            "",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/000",
            "tile/0/000/",
            "tile/0/001/000",
            "tile/00/000",
            "tile/+1/000",
            "tile/8/000",
            "tile/-1/000",
            "tile/data/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/07",
            "tile/0/000.p/",
            "tile/0/+00",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/0/../0",
            "tile/0/000?x",
        ] {
            assert!(path.parse::<Tile>().is_err(), "{path}");
        }
    }

    #[test]
    fn a_log_has_the_tiles_that_the_specification_names_for_its_size() {
        // C2SP tlog-tiles: 70,000 entries make 273 full tiles and one of 112, then 1 and one of 17,
        // then one of 1.
        let size = 70_000;
        for (tile, there) in [
            (hashes(0, 272, 256), true),
            (hashes(0, 273, 112), true),
            (hashes(0, 273, 113), false),
            (hashes(0, 274, 1), false),
            (hashes(1, 0, 256), true),
            (hashes(1, 1, 17), true),
            (hashes(1, 1, 18), false),
            (hashes(2, 0, 1), true),
            (hashes(2, 0, 2), false),
            (hashes(3, 0, 1), false),
            (hashes(7, u64::MAX, 256), false),
        ] {
            assert_eq!(tile.is_within(size), there, "{tile}");
        }
        let nodes: Vec<_> = hashes(1, 1, 2).nodes().collect();
        assert_eq!(nodes, [Node { level: 8, index: 256 }, Node { level: 8, index: 257 }]);
    }
}
