//! The free-block map of one buddy order: a bitmap with summary levels.
//!
//! A flat bitmap finds a free block in O(n); a list threaded through the free pages finds it in
//! O(1) but writes into memory nobody owns, which one stray write turns into a wild pointer. Here
//! each level has one bit per word of the level below, "that word is not zero", so the lowest set
//! bit is found in as many steps as there are levels (four for a million pages), and free memory is
//! never touched. Taking the lowest block also keeps the memory compact and the answer independent
//! of history.
//!
//! The words live in a slice shared by all orders; a map knows its place in it.

/// Bits per word.
const BITS: usize = u64::BITS as usize;
/// Levels a map may have: 64^4 blocks.
const LEVELS: usize = 4;

/// Where one order's levels lie in the shared words; level 0 has one bit per block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bitmap {
    offset: [u32; LEVELS],
    levels: u32,
    blocks: u32,
}

impl Bitmap {
    /// A map without blocks.
    pub(super) const EMPTY: Self = Self {
        offset: [0; LEVELS],
        levels: 0,
        blocks: 0,
    };

    /// Lays out a map of `blocks` blocks from word `start` on; also the first word after it.
    ///
    /// # Panics
    ///
    /// If there are more than 64^4 blocks.
    pub(super) fn plan(blocks: usize, start: usize) -> (Self, usize) {
        let mut map = Self {
            blocks: blocks as u32,
            ..Self::EMPTY
        };
        let (mut bits, mut end) = (blocks, start);
        while bits > 0 {
            let level = map.levels as usize;
            assert!(
                level < LEVELS,
                "memory span too large for the page allocator"
            );
            map.offset[level] = end as u32;
            map.levels += 1;
            let words = bits.div_ceil(BITS);
            end += words;
            bits = if words > 1 { words } else { 0 };
        }
        (map, end)
    }

    /// Number of blocks.
    pub(super) const fn blocks(&self) -> usize {
        self.blocks as usize
    }

    /// True when block `i` is free at this order.
    pub(super) fn contains(&self, words: &[u64], i: usize) -> bool {
        i < self.blocks() && words[self.word(0, i)] >> (i % BITS) & 1 != 0
    }

    /// Marks block `i` free.
    pub(super) fn insert(&self, words: &mut [u64], mut i: usize) {
        for level in 0..self.levels as usize {
            let word = &mut words[self.word(level, i)];
            let was_empty = *word == 0;
            *word |= 1 << (i % BITS);
            if !was_empty {
                return;
            }
            i /= BITS;
        }
    }

    /// Marks block `i` as not free.
    pub(super) fn remove(&self, words: &mut [u64], mut i: usize) {
        for level in 0..self.levels as usize {
            let word = &mut words[self.word(level, i)];
            *word &= !(1 << (i % BITS));
            if *word != 0 {
                return;
            }
            i /= BITS;
        }
    }

    /// The lowest free block.
    pub(super) fn lowest(&self, words: &[u64]) -> Option<usize> {
        let mut i = 0;
        for level in (0..self.levels as usize).rev() {
            let word = words[self.offset[level] as usize + i];
            if word == 0 {
                return None;
            }
            i = i * BITS + word.trailing_zeros() as usize;
        }
        (self.levels > 0).then_some(i)
    }

    fn word(&self, level: usize, i: usize) -> usize {
        self.offset[level] as usize + i / BITS
    }
}
