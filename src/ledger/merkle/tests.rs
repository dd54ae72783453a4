//! Every tree up to a size, every leaf and every earlier tree, and what two other programs make of
//! them: the crate `tlog_tiles`, and the definition of RFC 6962 written down as it stands there.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;
use tlog_tiles::{Hash, HashReader, check_record, check_tree, prove_record, prove_tree};

use super::*;
use crate::ledger::edge::Edge;

/// Every tree up to so many leaves.
const SIZE_MAX: u64 = 36;

/// A tree that is grown as the vault grows it.
#[derive(Default)]
struct Tree(BTreeMap<Node, Digest>);

impl Tree {
    fn of(size: u64) -> Self {
        let (mut tree, mut edge) = (Self::default(), Edge::default());
        for position in 0..size {
            edge.push(leaf(position), |node, hash| {
                tree.0.insert(node, hash);
            });
        }
        tree
    }

    fn read(&self, node: Node) -> Result<Digest, Infallible> {
        Ok(self.0[&node])
    }

    fn root(&self, size: u64) -> Digest {
        root(size, |node| self.read(node)).unwrap()
    }
}

/// The same tree as `tlog_tiles` reads it.
impl HashReader for Tree {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let hash = |index: &u64| {
            let (level, index) = tlog_tiles::tlog::split_stored_hash_index(*index);
            Hash(self.0[&Node { level, index }].0)
        };
        Ok(indexes.iter().map(hash).collect())
    }
}

fn leaf(position: u64) -> Digest {
    leaf_hash(&position.to_be_bytes())
}

/// MTH(D[first:end]) of RFC 6962, 2.1.
fn by_definition(first: u64, end: u64) -> Digest {
    match end - first {
        0 => empty_root(),
        1 => leaf(first),
        size => {
            let middle = first + size.next_power_of_two() / 2;
            node_hash(&by_definition(first, middle), &by_definition(middle, end))
        }
    }
}

fn theirs(hashes: &[Digest]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

#[test]
fn roots_are_those_of_rfc_6962_and_of_tlog_tiles() {
    let tree = Tree::of(SIZE_MAX);
    for size in 0..=SIZE_MAX {
        let root = tree.root(size);
        assert_eq!(root, by_definition(0, size), "{size}");
        assert_eq!(root.0, tlog_tiles::tree_hash(size, &tree).unwrap().0, "{size}");
    }
}

#[test]
fn every_leaf_is_proved_in_every_tree_and_nowhere_else() {
    let tree = Tree::of(SIZE_MAX);
    for size in 1..=SIZE_MAX {
        let root = tree.root(size);
        for position in 0..size {
            let proof = inclusion(position, size, |node| tree.read(node)).unwrap();
            let check = |position, leaf: &Digest, size, proof: &[Digest]| {
                check_inclusion(position, leaf, size, proof, &root)
            };
            assert_eq!(check(position, &leaf(position), size, &proof), Ok(()));
            assert_eq!(theirs(&proof), prove_record(size, position, &tree).unwrap());
            let hash = Hash(leaf(position).0);
            check_record(&theirs(&proof), size, Hash(root.0), position, hash).unwrap();
            for other in (0..size + 1).filter(|other| *other != position) {
                assert!(check(other, &leaf(position), size, &proof).is_err());
            }
            for other in (1..=SIZE_MAX).filter(|other| *other != size) {
                let moved =
                    check_inclusion(position, &leaf(position), other, &proof, &tree.root(other));
                assert!(moved.is_err(), "{position} of {size} in {other}");
            }
            assert!(check(position, &leaf(size), size, &proof).is_err());
            each_change(&proof, |changed| {
                assert!(check(position, &leaf(position), size, changed).is_err());
            });
        }
    }
}

#[test]
fn every_tree_continues_every_earlier_one_and_no_other() {
    let tree = Tree::of(SIZE_MAX);
    for size in 0..=SIZE_MAX {
        let root = tree.root(size);
        for earlier in 0..=size {
            let before = tree.root(earlier);
            let proof = consistency(earlier, size, |node| tree.read(node)).unwrap();
            let check = |before: (u64, &Digest), now: (u64, &Digest), proof: &[Digest]| {
                check_consistency(before, now, proof)
            };
            assert_eq!(check((earlier, &before), (size, &root), &proof), Ok(()));
            if earlier > 0 {
                assert_eq!(theirs(&proof), prove_tree(size, earlier, &tree).unwrap());
                let (root, before) = (Hash(root.0), Hash(before.0));
                check_tree(&theirs(&proof), size, root, earlier, before).unwrap();
            }
            let other = leaf(1_000);
            assert!(check((earlier, &other), (size, &root), &proof).is_err());
            assert!(earlier == 0 || check((earlier, &before), (size, &other), &proof).is_err());
            assert!(check((size + 1, &before), (size, &root), &proof).is_err());
            each_change(&proof, |changed| {
                assert!(check((earlier, &before), (size, &root), changed).is_err());
            });
        }
    }
}

/// Every way in which a proof is one hash off.
fn each_change(proof: &[Digest], check: impl Fn(&[Digest])) {
    for at in 0..=proof.len() {
        let mut longer = proof.to_vec();
        longer.insert(at, leaf(0));
        check(&longer);
    }
    for at in 0..proof.len() {
        let mut shorter = proof.to_vec();
        shorter.remove(at);
        check(&shorter);
        let mut other = proof.to_vec();
        other[at].0[0] ^= 1;
        check(&other);
    }
}

proptest! {
    /// Whatever is shown, a check ends with an answer.
    #[test]
    fn no_proof_is_too_strange_to_be_refused(
        numbers in any::<(u64, u64)>(),
        hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let proof: Vec<Digest> = hashes.into_iter().map(Bytes).collect();
        let (one, other) = numbers;
        prop_assert!(check_inclusion(one, &leaf(0), other, &proof, &leaf(1)).is_err());
        let refused = check_consistency((one, &leaf(0)), (other, &leaf(1)), &proof);
        prop_assert!(refused.is_err());
    }

    /// Positions and sizes up to the largest there are.
    #[test]
    fn large_trees_have_proofs_too(position in any::<u64>(), size in 1..u64::MAX) {
        let position = position % size;
        // All leaves alike, so that every node of a level is.
        let read = |node: Node| {
            Ok::<_, Infallible>((0..node.level).fold(leaf(0), |hash, _| node_hash(&hash, &hash)))
        };
        let root_now = root(size, read).unwrap();
        let proof = inclusion(position, size, read).unwrap();
        prop_assert!(proof.len() <= PROOF_HASHES_MAX);
        prop_assert_eq!(check_inclusion(position, &leaf(0), size, &proof, &root_now), Ok(()));
        let before = root(position, read).unwrap();
        let proof = consistency(position, size, read).unwrap();
        let checked = check_consistency((position, &before), (size, &root_now), &proof);
        prop_assert_eq!(checked, Ok(()));
    }
}
