//! Merkle trees as RFC 6962 and RFC 9162 define them: hashes, proofs, and how they are checked.
//!
//! Of a tree only the roots of perfect subtrees are kept ([`Node`]); everything else is hashed from
//! them. Nothing here can panic, whatever the numbers are: what does not fit is a [`Unproven`].

use sha2::{Digest as _, Sha256};

use crate::domain::id::{Bytes, Digest};

/// Most hashes a proof can have: one for each bit of a position.
pub const PROOF_HASHES_MAX: usize = 64;

/// The root of a perfect subtree: of the `2^level` leaves from `index · 2^level` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// How high it stands: 0 for a leaf.
    pub level: u8,
    /// Its number among the nodes of its level, from the left, from 0.
    pub index: u64,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// There is no such leaf or earlier tree in the tree.
    #[error("{0} is not within a log of {1} entries")]
    Outside(u64, u64),
    /// It has too few or too many hashes for these numbers.
    #[error("a proof of {0} hashes does not fit a log of this size")]
    Length(usize),
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The hash of a leaf (RFC 6962, 2.1).
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(leaf);
    Bytes(hash.finalize().into())
}

/// The hash of two subtrees side by side (RFC 6962, 2.1).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left.0);
    hash.update(right.0);
    Bytes(hash.finalize().into())
}

/// The root of a tree without leaves.
pub fn empty_root() -> Digest {
    Bytes(Sha256::digest([]).into())
}

/// The perfect subtrees that a tree of so many leaves consists of, from the left.
pub fn peaks(size: u64) -> impl DoubleEndedIterator<Item = Node> {
    span(0, size)
}

/// The perfect subtrees that the leaves from `first` to before `end` consist of. `first` is where
/// one of them may begin: a multiple of the largest power of two within.
fn span(first: u64, end: u64) -> impl DoubleEndedIterator<Item = Node> {
    let count = end.saturating_sub(first);
    let levels = (0..64u8).rev().filter(move |level| count >> level & 1 == 1);
    levels.map(move |level| {
        // The leaves in larger subtrees come before.
        let before = first + (count & u64::MAX.checked_shl(u32::from(level) + 1).unwrap_or(0));
        Node { level, index: before >> level }
    })
}

/// The nodes that a new leaf completes, itself first; each needs its left neighbour only.
pub fn completed(position: u64) -> impl Iterator<Item = Node> {
    let levels = u8::try_from((!position).trailing_zeros()).unwrap_or(64);
    (0..=levels)
        .map(move |level| Node { level, index: position.checked_shr(level.into()).unwrap_or(0) })
}

/// The root of the tree of the first `size` leaves.
pub fn root<E>(size: u64, read: impl Fn(Node) -> Result<Digest, E>) -> Result<Digest, E> {
    Ok(subtree(0, size, &read)?.unwrap_or_else(empty_root))
}

/// The root of the subtree of the leaves from `first` to before `end`; `None` where there are none.
fn subtree<E>(
    first: u64,
    end: u64,
    read: &impl Fn(Node) -> Result<Digest, E>,
) -> Result<Option<Digest>, E> {
    span(first, end).rev().try_fold(None, |right, node| {
        let left = read(node)?;
        Ok(Some(right.map_or(left, |right| node_hash(&left, &right))))
    })
}

/// Where a tree of two leaves or more divides: the largest power of two smaller than its size.
fn divides_at(size: u64) -> u64 {
    1 << size.saturating_sub(1).checked_ilog2().unwrap_or(0)
}

/// The proof that the leaf at `position` is in the tree of the first `size` leaves: the hashes from
/// its sibling up (RFC 9162, 2.1.3.1). Empty where it is not in it.
pub fn inclusion<E>(
    position: u64,
    size: u64,
    read: impl Fn(Node) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    let (mut first, mut end, mut path) = (0, size, Vec::new());
    while position < end && end - first > 1 {
        let middle = first + divides_at(end - first);
        let beside = match position < middle {
            true => (middle, std::mem::replace(&mut end, middle)),
            false => (std::mem::replace(&mut first, middle), middle),
        };
        path.extend(subtree(beside.0, beside.1, &read)?);
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of the first `size` leaves continues that of the first `earlier` ones
/// (RFC 9162, 2.1.4.1). Empty where there is nothing to prove.
pub fn consistency<E>(
    earlier: u64,
    size: u64,
    read: impl Fn(Node) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    if earlier == 0 || earlier >= size {
        return Ok(Vec::new());
    }
    let (mut first, mut end, mut path) = (0, size, Vec::new());
    // Whether the earlier tree's root is the subtree's, which whoever checks has.
    let mut is_whole = true;
    while earlier < end {
        let middle = first + divides_at(end - first);
        if earlier <= middle {
            path.extend(subtree(middle, end, &read)?);
            end = middle;
        } else {
            path.extend(subtree(first, middle, &read)?);
            first = middle;
            is_whole = false;
        }
    }
    if !is_whole {
        path.extend(subtree(first, end, &read)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that a leaf is where it is said to be (RFC 9162, 2.1.3.2).
pub fn check_inclusion(
    position: u64,
    leaf: &Digest,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), Unproven> {
    if position >= size {
        return Err(Unproven::Outside(position, size));
    }
    let (mut at, mut last, mut hash) = (position, size - 1, *leaf);
    for beside in proof {
        if last == 0 {
            return Err(Unproven::Length(proof.len()));
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(beside, &hash);
            // Where there was nothing to the right, the hash stood for several levels.
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, beside);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(Unproven::Root),
        (_, _) => Err(Unproven::Length(proof.len())),
    }
}

/// Checks that a tree continues an earlier one (RFC 9162, 2.1.4.2). Anything continues an empty
/// tree, whose root is known.
pub fn check_consistency(
    (earlier, earlier_root): (u64, &Digest),
    (size, root): (u64, &Digest),
    proof: &[Digest],
) -> Result<(), Unproven> {
    if earlier > size {
        return Err(Unproven::Outside(earlier, size));
    }
    if earlier == 0 || earlier == size {
        let expected = if earlier == 0 { &empty_root() } else { root };
        return match (proof.is_empty(), earlier_root == expected) {
            (true, true) => Ok(()),
            (true, false) => Err(Unproven::Root),
            (false, _) => Err(Unproven::Length(proof.len())),
        };
    }
    // A whole left part of the tree is its own first hash.
    let (start, rest) = match (earlier.is_power_of_two(), proof.split_first()) {
        (true, _) => (earlier_root, proof),
        (false, Some((first, rest))) => (first, rest),
        (false, None) => return Err(Unproven::Length(0)),
    };
    let shared = (earlier - 1).trailing_ones();
    let shift = |number: u64| number.checked_shr(shared).unwrap_or(0);
    let (mut at, mut last) = (shift(earlier - 1), shift(size - 1));
    let (mut old, mut new) = (*start, *start);
    for beside in rest {
        if last == 0 {
            return Err(Unproven::Length(proof.len()));
        }
        if at & 1 == 1 || at == last {
            (old, new) = (node_hash(beside, &old), node_hash(beside, &new));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, beside);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    match (last, old == *earlier_root && new == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(Unproven::Root),
        (_, _) => Err(Unproven::Length(proof.len())),
    }
}

#[cfg(test)]
mod tests;
