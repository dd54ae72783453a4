//! What is told of a hash without a page being read: that nothing lies under it.
//!
//! A Bloom filter whose bits for one hash lie side by side (Putze, Sanders, Singler, "Cache-, Hash- and
//! Space-Efficient Bloom Filters", 2007). Of a hundred hashes that are not there it lets one or two pass,
//! and it never holds back one that is. Whoever seeks out hashes that pass costs a page read, no more.

/// A filter over the hashes of a run.
#[derive(Debug)]
pub(crate) struct Filter(pub(crate) Vec<u8>);

impl Filter {
    /// Bits a slot.
    const BITS: u64 = 10;
    /// Bits that are set for a hash.
    const SET: u32 = 6;
    const BLOCK_BYTES: u64 = 64;

    /// How long one for so many slots is; `None` for more than there can be.
    pub(crate) fn bytes_for(slots: u64) -> Option<u64> {
        let blocks = slots.checked_mul(Self::BITS)?.div_ceil(8 * Self::BLOCK_BYTES);
        Some(blocks.max(1) * Self::BLOCK_BYTES)
    }

    pub(crate) fn empty(slots: u64) -> Option<Self> {
        let bytes = Self::bytes_for(slots).and_then(|bytes| usize::try_from(bytes).ok())?;
        Some(Self(vec![0; bytes]))
    }

    pub(crate) fn add(&mut self, hash: u64) {
        for (byte, bit) in self.bits(hash) {
            if let Some(byte) = self.0.get_mut(byte) {
                *byte |= bit;
            }
        }
    }

    pub(crate) fn may_have(&self, hash: u64) -> bool {
        self.bits(hash).all(|(byte, bit)| self.0.get(byte).is_some_and(|it| it & bit != 0))
    }

    /// The block by the hash's first bits, its bits by the last.
    fn bits(&self, hash: u64) -> impl Iterator<Item = (usize, u8)> + use<> {
        let blocks = self.0.len() as u64 / Self::BLOCK_BYTES;
        let block = (u128::from(hash) * u128::from(blocks)) >> 64;
        let begin = block as usize * Self::BLOCK_BYTES as usize;
        (0..Self::SET).map(move |nth| {
            let bit = (hash >> (9 * nth)) as usize % (8 * Self::BLOCK_BYTES as usize);
            (begin + bit / 8, 1 << (bit % 8))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::run::hash;

    #[test]
    fn what_is_there_passes_the_filter_and_nearly_nothing_else() {
        for count in [0, 1, 51, 52, 20_000u64] {
            let mut filter = Filter::empty(count).unwrap();
            assert_eq!(Some(filter.0.len() as u64), Filter::bytes_for(count));
            let hashed = |n: u64| hash(&n.to_be_bytes());
            (0..count).for_each(|n| filter.add(hashed(n)));
            assert!((0..count).all(|n| filter.may_have(hashed(n))), "of {count}");
            let passed = (count..count + 10_000).filter(|n| filter.may_have(hashed(*n))).count();
            assert!(passed < 300, "{passed} of 10000 beside {count}");
        }
        assert_eq!(Filter::bytes_for(u64::MAX), None);
    }
}
