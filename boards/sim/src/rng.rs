//! The source of every decision: one 64-bit generator (SplitMix64), so that a seed is a run.
//!
//! The host's generators would do, but their streams may change with a crate's version, and a seed
//! kept in a regression file must mean the same run for ever.

use core::cell::Cell;

/// A generator; interior mutability, since every seam call draws from it.
#[derive(Debug)]
pub struct Rng(Cell<u64>);

impl Rng {
    /// The stream of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// 64 bits.
    #[inline]
    pub fn next(&self) -> u64 {
        let s = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(s);
        let z = (s ^ (s >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n` (`n` not zero); the bias of the multiplication is below 2^-32.
    #[inline]
    pub fn below(&self, n: u32) -> u32 {
        (((self.next() >> 32) * u64::from(n)) >> 32) as u32
    }

    /// True once in `n` times.
    #[inline]
    pub fn one_in(&self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// Another generator whose stream does not overlap this one's in practice.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::new(self.next() ^ 0x5851_f42d_4c95_7f2d)
    }
}
