//! A histogram of durations with log-scaled buckets, four to each power of two.
//!
//! The naive alternative, keeping the durations, needs memory without end. Here a duration costs one
//! increment, a table a kilobyte, and an answer is at most a quarter too high, never too low.

/// Counters of one histogram.
pub const BUCKETS: usize = 256;
/// Buckets per power of two, as a power of two.
const SUB: u32 = 2;
/// The longest durations, of about half of what a `u64` holds, have buckets that begin anew with that of zero.
const LONGEST: u64 = (1 << 62) - 1;

/// How often which durations were seen, in any unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    /// By [`place`].
    counts: [u32; BUCKETS],
}

/// Where the bucket of `d` is counted: the place of its highest bit, and the two bits below it. Of a few places at the beginning
/// only that of zero is in use.
#[inline(always)]
const fn place(d: u64) -> usize {
    let zeros = d.leading_zeros();
    // All of it moves out for zero, whose place is 0.
    let bits = d.wrapping_shl(zeros) >> (63 - SUB);
    (bits as usize).wrapping_sub((zeros as usize) << SUB) % BUCKETS
}

/// The longest duration that is counted at `place`: below `1 + (place % 4 + 1) / 4`, times a power of two.
const fn upper(place: usize) -> u64 {
    let (octave, sub) = (place >> SUB, place & ((1 << SUB) - 1));
    if octave < 2 {
        return 0;
    }
    let end = ((1 << SUB) + sub as u128 + 1) << (octave - 2);
    ((end - 1) >> SUB) as u64
}

/// How many bounds a coarser histogram has.
pub const BOUNDS: usize = 14;

/// The bounds of a coarser histogram: the first is the longest duration below two to the power of `at`, and each is four times
/// the one before. Each is the longest duration of a bucket, so that what is told of them is exact.
#[must_use]
pub fn bound(at: u32) -> [u64; BOUNDS] {
    core::array::from_fn(|n| (1 << (at + 2 * n as u32)) - 1)
}

impl Histogram {
    /// One that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
        }
    }

    /// Counts a duration; at most `u32::MAX` of them since the last [`Self::halve`] but one.
    #[inline(always)]
    pub fn count(&mut self, d: u64) {
        self.counts[place(d)] += 1;
    }

    /// Halves all counters, which leaves the percentiles as they are.
    pub fn halve(&mut self) {
        self.counts.iter_mut().for_each(|n| *n /= 2);
    }

    /// Durations counted, as far as they were not halved away.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counts.iter().map(|&n| u64::from(n)).sum()
    }

    /// The longest duration of each bucket, and how many were in it.
    fn each(&self) -> impl Iterator<Item = (u64, u64)> {
        let each = self.counts.iter().enumerate();
        each.map(|(place, &n)| (upper(place), u64::from(n)))
    }

    /// How many were not longer than each [`bound`], beside `zeros` that took no time and were not counted.
    #[must_use]
    pub fn up_to(&self, at: u32, zeros: u64) -> [u64; BOUNDS] {
        bound(at).map(|bound| {
            let within = self.each().filter(|&(longest, _)| longest <= bound);
            zeros + within.map(|(_, n)| n).sum::<u64>()
        })
    }

    /// Adds what `other` has seen, halved `halvings` times. A call, since the loop fills registers and
    /// stack.
    #[inline(never)]
    pub fn add(&mut self, other: &Self, halvings: u32) {
        let pairs = self.counts.iter_mut().zip(&other.counts);
        pairs.for_each(|(a, b)| *a += b >> halvings);
    }

    /// The duration that `per_mille` of all are not longer than, `zeros` among them that took no time and were not counted: the
    /// upper end of its bucket.
    #[must_use]
    pub fn percentile(&self, per_mille: u64, zeros: u64) -> u64 {
        let all = self.counted() + zeros;
        let rank = (u128::from(all) * u128::from(per_mille)).div_ceil(1000);
        let mut seen = u128::from(zeros);
        if rank <= seen {
            return 0;
        }
        for (longest, n) in self.each() {
            seen += u128::from(n);
            if rank <= seen {
                return longest;
            }
        }
        LONGEST
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
        assert_eq!((place(0), place(1), upper(0)), (0, 8, 0));
        let mut last = 0;
        for n in 8..BUCKETS {
            let longest = upper(n);
            assert!(longest >= last, "bucket {n}");
            // Between two small numbers there is not always another one.
            if longest > last {
                assert_eq!(place(longest), n, "the last of bucket {n}");
                assert_eq!(place(last + 1), n, "the first of bucket {n}");
            }
            last = longest;
        }
        assert_eq!(last, LONGEST);
        // From a nanosecond on, and from 16 on.
        for bound in bound(10).into_iter().chain(bound(6)) {
            assert!((0..BUCKETS).any(|n| upper(n) == bound), "{bound}");
        }
    }

    proptest! {
        #[test]
        fn coarse_buckets_are_exact(all in prop::collection::vec(0..100_000_000_000_u64, 0..300)) {
            let mut h = Histogram::new();
            // Half of the zeros are counted.
            let zeros = all.iter().filter(|d| **d == 0).count() as u64 / 2;
            all.iter().filter(|d| **d > 0).for_each(|d| h.count(*d));
            (zeros..all.iter().filter(|d| **d == 0).count() as u64).for_each(|_| h.count(0));
            let exact = bound(10).map(|bound| all.iter().filter(|d| **d <= bound).count() as u64);
            prop_assert_eq!(h.up_to(10, zeros), exact);
        }

        #[test]
        fn percentiles_are_close(mut all in prop::collection::vec((0..34_u32).prop_flat_map(|n| 0..1_u64 << n), 1..300), per_mille in 1..=1000_u64) {
            let mut h = Histogram::new();
            // Half of the zeros are counted.
            let zeros = all.iter().filter(|d| **d == 0).count() as u64 / 2;
            all.iter().filter(|d| **d > 0).for_each(|d| h.count(*d));
            (zeros..all.iter().filter(|d| **d == 0).count() as u64).for_each(|_| h.count(0));
            all.sort_unstable();
            let exact = all[(all.len() * per_mille as usize).div_ceil(1000) - 1];
            let told = h.percentile(per_mille, zeros);
            prop_assert!(exact <= told && told <= exact + exact / 4, "{exact} told as {told}");
        }

        #[test]
        fn adding_is_counting_all(a in prop::collection::vec(0..LONGEST, 0..50), b in prop::collection::vec(0..LONGEST, 0..50)) {
            let of = |list: &[u64]| {
                let mut h = Histogram::new();
                list.iter().for_each(|d| h.count(*d));
                h
            };
            let both: Vec<u64> = a.iter().chain(&b).copied().collect();
            let mut sum = of(&a);
            sum.add(&of(&b), 0);
            prop_assert_eq!(sum, of(&both));
        }
    }
}
