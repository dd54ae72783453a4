//! The right edge of a growing tree: all that is needed to let it grow and to know its root.

use crate::domain::id::Digest;
use crate::ledger::merkle::{Node, completed, empty_root, node_hash, peaks};

/// The roots of the perfect subtrees that a tree of so many leaves consists of. Whoever has them
/// needs no other hash to add a leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// From the left, as [`peaks`] has them.
    hashes: Vec<Digest>,
}

impl Edge {
    /// The edge of the tree of the first `size` leaves, of which `read` knows the nodes.
    pub fn read<E>(size: u64, read: impl FnMut(Node) -> Result<Digest, E>) -> Result<Self, E> {
        Ok(Self { size, hashes: peaks(size).map(read).collect::<Result<_, _>>()? })
    }

    /// The edge of a tree of so many leaves that has these hashes, from the left; `None` where no
    /// such tree has so many.
    pub fn of(size: u64, hashes: Vec<Digest>) -> Option<Self> {
        (peaks(size).count() == hashes.len()).then_some(Self { size, hashes })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its hashes, from the left.
    pub fn hashes(&self) -> &[Digest] {
        &self.hashes
    }

    /// Adds a leaf, by its hash, and hands on the nodes that it completes, itself first.
    pub fn push(&mut self, leaf: Digest, mut completes: impl FnMut(Node, Digest)) {
        let mut hash = leaf;
        for node in completed(self.size) {
            if node.level > 0
                && let Some(left) = self.hashes.pop()
            {
                hash = node_hash(&left, &hash);
            }
            completes(node, hash);
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Digest {
        let joined = self.hashes.iter().copied().rev();
        joined.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Bytes;
    use crate::ledger::merkle::{leaf_hash, root};

    #[test]
    fn an_edge_has_the_root_of_the_whole_tree_and_is_read_as_it_grew() {
        let (mut edge, mut tree) = (Edge::default(), std::collections::BTreeMap::new());
        for size in 0..=300u64 {
            let read = |node: Node| tree.get(&node).copied().ok_or(node);
            assert_eq!(root(size, read), Ok(edge.root()), "{size}");
            assert_eq!(Edge::read(size, read), Ok(edge.clone()), "{size}");
            assert_eq!(Edge::of(size, edge.hashes().to_vec()), Some(edge.clone()), "{size}");
            assert_eq!(edge.size(), size);
            edge.push(leaf_hash(&size.to_be_bytes()), |node, hash| {
                assert!(tree.insert(node, hash).is_none(), "{node:?} is completed twice");
            });
        }
        assert_eq!(Edge::of(3, vec![Bytes([0; 32])]), None);
        assert_eq!(Edge::of(0, vec![Bytes([0; 32])]), None);
    }
}
