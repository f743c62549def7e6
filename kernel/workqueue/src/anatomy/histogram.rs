//! A histogram of durations with log-scaled buckets, four to each power of two.
//!
//! The naive alternative, keeping the durations, needs memory without end. Here a duration costs one
//! increment, a table half a kilobyte, and an answer is at most a quarter too high, never too low.

/// Counters of one histogram.
pub const BUCKETS: usize = 128;
/// Buckets per power of two, as a power of two.
const SUB: u32 = 2;
/// Nanoseconds per unit, as a power of two: shorter differences are not told apart.
const UNIT: u32 = 5;

/// How often which durations were seen. Zero is not counted here: most items never wait for a slot,
/// never block and are never preempted, so who knows how many there were knows that too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    max: u64,
}

/// The bucket of a duration of `ns`.
#[inline(always)]
const fn bucket(ns: u64) -> usize {
    let units = ns >> UNIT;
    if units < 1 << SUB {
        return units as usize;
    }
    let octave = units.ilog2();
    let sub = (units >> (octave - SUB)) as usize & ((1 << SUB) - 1);
    let n = (((octave - SUB + 1) as usize) << SUB) + sub;
    if n < BUCKETS { n } else { BUCKETS - 1 }
}

/// Bounds of a coarser histogram, in nanoseconds: a microsecond, and each four times the one before.
/// Each is the longest duration of a bucket, so that what is told of them is exact.
pub const BOUNDS: [u64; 14] = {
    let mut bounds = [0; 14];
    let mut n = 0;
    while n < bounds.len() {
        bounds[n] = (1 << (10 + 2 * n)) - 1;
        n += 1;
    }
    bounds
};

/// The longest duration in bucket `n`, in nanoseconds.
const fn upper(n: usize) -> u64 {
    let sub = (n as u64) & ((1 << SUB) - 1);
    let row = (n >> SUB) as u32;
    let next = if row == 0 {
        sub + 1
    } else {
        ((1 << SUB) + sub + 1) << (row - 1)
    };
    (next << UNIT) - 1
}

impl Histogram {
    /// One that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
            max: 0,
        }
    }

    /// Counts a duration, which is not zero; at most `u32::MAX` of them since the last
    /// [`Self::halve`] but one.
    #[inline(always)]
    pub fn count(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        if ns > self.max {
            self.max = ns;
        }
    }

    /// Halves all counters, which leaves the percentiles as they are.
    pub fn halve(&mut self) {
        self.counts.iter_mut().for_each(|n| *n /= 2);
    }

    /// The longest one, in nanoseconds.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// Durations counted, as far as they were not halved away.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counts.iter().map(|&n| u64::from(n)).sum()
    }

    /// How many were not longer than each of [`BOUNDS`], when `zeros` of all were zero.
    #[must_use]
    pub fn up_to(&self, zeros: u64) -> [u64; BOUNDS.len()] {
        let mut told = [0; BOUNDS.len()];
        let (mut seen, mut next) = (zeros, 0);
        for (n, bound) in told.iter_mut().zip(BOUNDS) {
            let end = bucket(bound) + 1;
            let counts = self.counts[next..end].iter();
            seen += counts.map(|&n| u64::from(n)).sum::<u64>();
            (*n, next) = (seen, end);
        }
        told
    }

    /// Adds what `other` has seen, halved `halvings` times. A call, since the loop fills registers and
    /// stack.
    #[inline(never)]
    pub fn add(&mut self, other: &Self, halvings: u32) {
        let pairs = self.counts.iter_mut().zip(&other.counts);
        pairs.for_each(|(a, b)| *a += b >> halvings);
        self.max = self.max.max(other.max);
    }

    /// The duration in nanoseconds that `per_mille` of all are not longer than, when `zeros` of them
    /// were zero: the upper end of its bucket, or the longest one if that is shorter.
    #[must_use]
    pub fn percentile(&self, per_mille: u64, zeros: u64) -> u64 {
        let all = self.counted() + zeros;
        let rank = (u128::from(all) * u128::from(per_mille)).div_ceil(1000);
        let mut seen = u128::from(zeros);
        if rank <= seen {
            return 0;
        }
        for (n, &count) in self.counts.iter().enumerate() {
            seen += u128::from(count);
            if rank <= seen {
                // The last bucket has no end.
                let end = if n == BUCKETS - 1 { self.max } else { upper(n) };
                return end.min(self.max);
            }
        }
        self.max
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other() {
        assert_eq!((bucket(0), bucket(31), bucket(32)), (0, 0, 1));
        for n in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper(n)), n, "the last of bucket {n}");
            assert_eq!(bucket(upper(n) + 1), n + 1, "the first of the next");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        for bound in BOUNDS {
            assert_eq!(upper(bucket(bound)), bound, "the end of a bucket");
        }
        assert!(upper(BUCKETS - 2) > 200_000_000_000, "minutes fit");
    }

    proptest! {
        #[test]
        fn coarse_buckets_are_exact(all in prop::collection::vec(0..100_000_000_000_u64, 0..300)) {
            let mut h = Histogram::new();
            all.iter().filter(|ns| **ns > 0).for_each(|ns| h.count(*ns));
            let zeros = all.iter().filter(|ns| **ns == 0).count() as u64;
            let exact = BOUNDS.map(|bound| all.iter().filter(|ns| **ns <= bound).count() as u64);
            prop_assert_eq!(h.up_to(zeros), exact);
        }

        #[test]
        fn percentiles_are_close(mut all in prop::collection::vec(0..10_000_000_000_u64, 1..300), per_mille in 1..=1000_u64) {
            let mut h = Histogram::new();
            all.iter().filter(|ns| **ns > 0).for_each(|ns| h.count(*ns));
            let zeros = all.iter().filter(|ns| **ns == 0).count() as u64;
            all.sort_unstable();
            let exact = all[(all.len() * per_mille as usize).div_ceil(1000) - 1];
            let told = h.percentile(per_mille, zeros);
            prop_assert!(exact <= told && told <= exact + (exact / 4).max(31), "{exact} told as {told}");
            prop_assert_eq!(h.percentile(1000, zeros), all[all.len() - 1]);
        }

        #[test]
        fn adding_is_counting_all(a in prop::collection::vec(1..u64::MAX, 0..50), b in prop::collection::vec(1..u64::MAX, 0..50)) {
            let of = |list: &[u64]| {
                let mut h = Histogram::new();
                list.iter().for_each(|ns| h.count(*ns));
                h
            };
            let both: Vec<u64> = a.iter().chain(&b).copied().collect();
            let mut sum = of(&a);
            sum.add(&of(&b), 0);
            prop_assert_eq!(sum, of(&both));
        }
    }
}
