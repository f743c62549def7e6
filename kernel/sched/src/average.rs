//! The weighted average of virtual runtimes, kept without divisions.
//!
//! `V = sum(w_j * v_j) / sum(w_j)` over all queued entities. Summing absolute virtual runtimes
//! would overflow at once, so the sum is kept relative to a zero `v0` that follows the average:
//! `sum(w_j * (v_j - v0))`. `w * (v - V)` is the lag in units of 1/1024 ns, hence each term stays
//! near `1024 * lag`: 2^37 for the longest slice. The zero moves only when the average has drifted
//! by more than [`DRIFT_BITS`], which makes the division rare.
//!
//! Eligibility (`v <= V`) is decided by multiplying instead of dividing; the product of a light
//! entity's distance and the total weight may exceed 64 bits and is taken in 128, which costs one
//! more instruction. All comparisons are of differences to `v0` and survive the wrap of `u64`.

use crate::entity::Entity;

/// The zero moves when the average is more than 2^24 ns (17 ms) away from it.
pub(crate) const DRIFT_BITS: u32 = 24;

/// Sum and weight of the entities in the tree, that is without the current one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Average {
    zero: u64,
    sum: i64,
    load: u64,
}

/// Sum and weight of all queued entities at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Total {
    zero: u64,
    sum: i128,
    load: u64,
}

impl Average {
    pub(crate) const fn new(zero: u64) -> Self {
        Self {
            zero,
            sum: 0,
            load: 0,
        }
    }

    /// Accounts for an entity that enters the tree.
    #[inline]
    pub(crate) fn add(&mut self, se: &Entity) {
        if self.load == 0 {
            // An empty tree has no average: start at the first entity.
            self.zero = se.vruntime;
            self.sum = 0;
        }
        self.sum += key(se.vruntime, self.zero) * i64::from(se.weight());
        self.load += u64::from(se.weight());
        if self.sum.unsigned_abs() >> DRIFT_BITS > self.load {
            self.move_zero();
        }
    }

    /// Accounts for an entity that leaves the tree, before its `vruntime` or weight changes.
    #[inline]
    pub(crate) fn sub(&mut self, se: &Entity) {
        self.sum -= key(se.vruntime, self.zero) * i64::from(se.weight());
        self.load -= u64::from(se.weight());
        if self.sum.unsigned_abs() >> DRIFT_BITS > self.load && self.load != 0 {
            self.move_zero();
        }
    }

    /// With the current entity, which is not in the tree.
    #[inline(always)]
    pub(crate) fn with(&self, current: Option<&Entity>) -> Total {
        let mut total = Total {
            zero: self.zero,
            sum: i128::from(self.sum),
            load: self.load,
        };
        if let Some(se) = current {
            let (key, weight) = (key(se.vruntime, self.zero), se.weight());
            total.sum += i128::from(key) * i128::from(weight);
            total.load += u64::from(weight);
        }
        total
    }

    /// Nothing, for counting again from scratch.
    pub(crate) const fn restart(&self) -> Self {
        Self::new(self.zero)
    }

    /// Whether two counts agree, whatever their zeros.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let shift = i128::from(key(other.zero, self.zero)) * i128::from(self.load);
        self.load == other.load && i128::from(self.sum) == i128::from(other.sum) + shift
    }

    #[cold]
    fn move_zero(&mut self) {
        let load = self.load as i64;
        let by = self.sum / load;
        self.zero = self.zero.wrapping_add(by as u64);
        self.sum -= by * load;
    }
}

impl Total {
    /// Weight of all queued entities.
    #[inline(always)]
    pub(crate) const fn load(&self) -> u64 {
        self.load
    }

    /// Whether an entity at `v` has no negative lag.
    #[inline(always)]
    pub(crate) fn is_eligible(&self, v: u64) -> bool {
        self.sum >= i128::from(key(v, self.zero)) * i128::from(self.load)
    }

    /// The average, rounded down so that an entity at the average is eligible.
    pub(crate) fn average(&self) -> u64 {
        if self.load == 0 {
            return self.zero;
        }
        let by = match i64::try_from(self.sum) {
            Ok(sum) => sum.div_euclid(self.load as i64),
            Err(_) => self.sum.div_euclid(i128::from(self.load)) as i64,
        };
        self.zero.wrapping_add(by as u64)
    }
}

/// Distance of `v` from the zero.
#[inline(always)]
const fn key(v: u64, zero: u64) -> i64 {
    v.wrapping_sub(zero) as i64
}

/// `a * b / c`, rounded toward zero, without overflow in between. `c` is positive.
#[inline]
pub(crate) fn mul_div(a: i64, b: u64, c: u64) -> i64 {
    match a.checked_mul(b as i64) {
        Some(product) => product / c as i64,
        None => (i128::from(a) * i128::from(b) / i128::from(c)) as i64,
    }
}
