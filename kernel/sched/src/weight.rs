//! Nice values, weights and the division-free conversion of CPU time into virtual time.
//!
//! A thread of weight `w` that runs `t` ns advances its virtual runtime by `t * 1024 / w`. Dividing
//! on every charge is avoided by a table of inverse weights: `t * (2^32 / w) / 2^22`, one widening
//! multiplication and a shift. The 22 bits shifted out are carried to the next charge; dropping
//! them would give a heavy thread (nice -20: 1 virtual ns per 87 ns) free time at each charge.
//!
//! One nice step is a factor of about 1.25, so a pair one step apart shares a core 55:45.

/// Weight of nice 0.
pub const NICE_0_WEIGHT: u32 = 1024;

/// Bits of virtual time below one nanosecond.
pub(crate) const FRACTION_BITS: u32 = 22;

/// The inverse weight of nice 0, whose virtual time is CPU time.
pub(crate) const UNIT: u32 = 1 << FRACTION_BITS;

const WEIGHTS: [u32; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904,
    3906, 3121, 2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87,
    70, 56, 45, 36, 29, 23, 18, 15,
];

const INVERSES: [u32; 40] = {
    let mut inverses = [0; 40];
    let mut i = 0;
    while i < 40 {
        let w = WEIGHTS[i] as u64;
        inverses[i] = (((1 << 32) + w / 2) / w) as u32;
        i += 1;
    }
    inverses
};

/// How nice a thread is to others: -20 (most CPU time) to 19 (least).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Nice(i8);

impl Nice {
    /// The default.
    pub const ZERO: Self = Self(0);
    /// The most CPU time.
    pub const MIN: Self = Self(-20);
    /// The least CPU time.
    pub const MAX: Self = Self(19);

    /// The nice value `n`, if it is one.
    #[must_use]
    pub const fn new(n: i8) -> Option<Self> {
        if n >= Self::MIN.0 && n <= Self::MAX.0 {
            Some(Self(n))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i8 {
        self.0
    }

    /// The share of CPU time relative to others, 1024 for nice 0.
    #[must_use]
    pub const fn weight(self) -> u32 {
        WEIGHTS[(self.0 + 20) as usize]
    }

    /// `round(2^32 / weight)`.
    #[must_use]
    pub const fn inverse_weight(self) -> u32 {
        INVERSES[(self.0 + 20) as usize]
    }
}

/// Virtual time in 1/2^22 ns that `ns` of CPU time are worth.
#[inline(always)]
pub(crate) const fn scale(ns: u64, inverse: u32) -> u128 {
    ns as u128 * inverse as u128
}

/// Virtual nanoseconds, rounded down, that `ns` of CPU time are worth.
#[inline(always)]
pub(crate) const fn to_virtual(ns: u64, inverse: u32) -> u64 {
    (scale(ns, inverse) >> FRACTION_BITS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_weights_are_the_published_ones() {
        assert_eq!(Nice::ZERO.inverse_weight(), 4_194_304);
        assert_eq!(Nice::ZERO.inverse_weight(), UNIT);
        assert_eq!(Nice::MIN.inverse_weight(), 48_388);
        assert_eq!(Nice::MAX.inverse_weight(), 286_331_153);
    }

    #[test]
    fn one_step_is_about_a_quarter_and_extremes_have_the_known_ratio() {
        for n in -20..19 {
            let here = f64::from(Nice::new(n).unwrap().weight());
            let next = f64::from(Nice::new(n + 1).unwrap().weight());
            assert!(
                (1.19..1.30).contains(&(here / next)),
                "nice {n}: {}",
                here / next
            );
        }
        assert_eq!(Nice::MIN.weight() / Nice::MAX.weight(), 5917);
        assert_eq!(Nice::new(20), None);
        assert_eq!(Nice::new(-21), None);
    }

    #[test]
    fn virtual_time_is_the_quotient_within_the_precision_of_the_inverse() {
        for n in -20..=19 {
            let nice = Nice::new(n).unwrap();
            for ns in [
                0,
                1,
                999,
                700_000,
                2_800_000,
                100_000_000,
                3_600_000_000_000,
            ] {
                let exact = u128::from(ns) * 1024 / u128::from(nice.weight());
                let got = u128::from(to_virtual(ns, nice.inverse_weight()));
                let tolerance = 1 + exact * u128::from(nice.weight()) / (1 << 33);
                assert!(
                    got.abs_diff(exact) <= tolerance,
                    "nice {n}, {ns} ns: {got} != {exact}"
                );
            }
        }
    }
}
