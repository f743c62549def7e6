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
    #[inline(always)]
    pub(crate) fn add(&mut self, se: &Entity) {
        if self.load == 0 {
            // An empty tree has no average: start at the first entity.
            *self = Self::of(se);
            return;
        }
        self.sum += key(se.vruntime, self.zero) * i64::from(se.weight());
        self.load += u64::from(se.weight());
        if self.sum.unsigned_abs() >> DRIFT_BITS > self.load {
            self.move_zero();
        }
    }

    /// Accounts for an entity that leaves the tree, before its `vruntime` or weight changes.
    #[inline(always)]
    pub(crate) fn sub(&mut self, se: &Entity) {
        self.load -= u64::from(se.weight());
        if self.load == 0 {
            self.sum = 0;
            return;
        }
        self.sum -= key(se.vruntime, self.zero) * i64::from(se.weight());
        if self.sum.unsigned_abs() >> DRIFT_BITS > self.load {
            self.move_zero();
        }
    }

    /// Of an entity that is the only one in the tree. It is the zero, too.
    #[inline(always)]
    pub(crate) fn of(se: &Entity) -> Self {
        Self {
            zero: se.vruntime,
            sum: 0,
            load: u64::from(se.weight()),
        }
    }

    /// With a second one.
    #[inline(always)]
    pub(crate) fn and(&self, se: &Entity) -> Self {
        let weight = se.weight();
        Self {
            zero: self.zero,
            sum: self.sum + key(se.vruntime, self.zero) * i64::from(weight),
            load: self.load + u64::from(weight),
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

    /// Whether an entity at `v` that runs has no negative lag. Its own weight is on both sides of that
    /// question and does not count: it is whether it is behind the others' average.
    #[inline(always)]
    pub(crate) fn is_behind(&self, v: u64) -> bool {
        i128::from(self.sum) >= i128::from(key(v, self.zero)) * i128::from(self.load as i64)
    }

    /// The average while the tree is empty and nobody runs.
    #[inline(always)]
    pub(crate) const fn zero(&self) -> u64 {
        self.zero
    }

    /// Whether two counts agree, whatever their zeros.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let shift = i128::from(key(other.zero, self.zero)) * i128::from(self.load);
        self.load == other.load && i128::from(self.sum) == i128::from(other.sum) + shift
    }

    #[cold]
    #[inline(never)]
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

    /// Sum of all weighted distances from the zero.
    pub(crate) const fn sum(&self) -> i128 {
        self.sum
    }

    /// Distance of `v` from the zero.
    pub(crate) const fn distance(&self, v: u64) -> i64 {
        key(v, self.zero)
    }

    /// Whether an entity at `v` has no negative lag.
    #[inline(always)]
    pub(crate) fn is_eligible(&self, v: u64) -> bool {
        self.sum >= i128::from(key(v, self.zero)) * i128::from(self.load as i64)
    }

    /// The average, rounded down so that an entity at the average is eligible.
    pub(crate) fn average(&self) -> u64 {
        if self.load == 0 {
            return self.zero;
        }
        let by = match i64::try_from(self.sum) {
            Ok(sum) => floor_div(sum, self.load),
            Err(_) => self.far_average(),
        };
        self.zero.wrapping_add(by as u64)
    }

    #[cold]
    #[inline(never)]
    fn far_average(&self) -> i64 {
        self.sum.div_euclid(i128::from(self.load)) as i64
    }
}

/// `a / b`, rounded down.
#[inline(always)]
pub(crate) fn floor_div(a: i64, b: u64) -> i64 {
    // Below zero a division rounds up: from one nearer to zero it gives one too much.
    let below = a >> 63;
    (a - below).wrapping_div(b as i64) + below
}

/// Distance of `v` from the zero.
#[inline(always)]
const fn key(v: u64, zero: u64) -> i64 {
    v.wrapping_sub(zero) as i64
}

/// `a * b / c`, rounded toward zero, without overflow in between. `c` is positive.
#[inline(always)]
pub(crate) fn mul_div(a: i64, b: u64, c: u64) -> i64 {
    match a.checked_mul(b as i64) {
        Some(product) => product.wrapping_div(c as i64),
        None => far_mul_div(a, b, c),
    }
}

#[cold]
#[inline(never)]
fn far_mul_div(a: i64, b: u64, c: u64) -> i64 {
    (i128::from(a) * i128::from(b) / i128::from(c)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Nice;

    fn at(nice: Nice, vruntime: u64) -> Entity {
        let mut se = Entity::new(nice, None);
        se.vruntime = vruntime;
        se
    }

    /// The zero follows the average, so that the sum stays small for ever; the average is the same
    /// whatever the zero.
    #[test]
    fn zero_follows_the_average_over_hours() {
        const STEP: u64 = 10_000_000;
        for start in [0, u64::MAX - 1_000 * STEP] {
            let mut average = Average::new(start);
            let mut last = at(Nice::MIN, start);
            average.add(&last);
            for i in 1..2_000_000 {
                let next = at(Nice::MIN, start.wrapping_add(i * STEP));
                average.add(&next);
                let middle = start.wrapping_add(i * STEP - STEP / 2);
                assert_eq!(average.with(None).average(), middle);
                average.sub(&last);
                assert_eq!(average.with(None).average(), next.vruntime);
                assert!(
                    average.sum.unsigned_abs() >> DRIFT_BITS <= average.load,
                    "the zero stayed behind"
                );
                last = next;
            }
        }
    }

    /// A division for each move: not for entities within a slice of each other.
    #[test]
    fn zero_stays_while_everybody_is_near_it() {
        let mut average = Average::new(0);
        for v in [5_000_000, 1_000_000, 9_000_000, 16_000_000] {
            average.add(&at(Nice::ZERO, v));
            assert_eq!(average.zero, 5_000_000, "it starts at the first one");
        }
        average.sub(&at(Nice::ZERO, 1_000_000));
        assert_eq!(average.zero, 5_000_000);
        average.add(&at(Nice::ZERO, 1 << 30));
        assert_ne!(average.zero, 5_000_000);
        let before = average.with(None).average();
        assert_eq!(before, (5_000_000 + 9_000_000 + 16_000_000 + (1 << 30)) / 4);
    }

    #[test]
    fn empty_tree_starts_anew_at_the_first_entity() {
        let mut average = Average::new(7);
        let (a, b) = (at(Nice::MAX, 1 << 60), at(Nice::MIN, 3));
        average.add(&a);
        average.sub(&a);
        average.add(&b);
        assert_eq!((average.zero, average.sum), (3, 0));
        assert_eq!(average.with(None).average(), 3);
    }

    #[test]
    fn counts_agree_whatever_their_zeros() {
        let (a, b) = (at(Nice::ZERO, 100), at(Nice::MAX, 900));
        let count = |zero: u64| {
            let mut average = Average::new(zero);
            average.add(&a);
            average.add(&b);
            average.zero = average.zero.wrapping_sub(zero);
            average.sum += zero as i64 * average.load as i64;
            average
        };
        assert!(count(0).is_same(&count(0)) && count(0).is_same(&count(50)));
        let mut heavier = count(0);
        heavier.load += 1;
        assert!(!count(0).is_same(&heavier));
        let mut later = count(50);
        later.sum += 1;
        assert!(!count(0).is_same(&later));
        assert!(!later.is_same(&count(0)));
    }

    #[test]
    fn mul_div_is_exact_beyond_64_bits() {
        assert_eq!(mul_div(7, 3, 2), 10);
        assert_eq!(mul_div(-7, 3, 2), -10);
        assert_eq!(mul_div(1 << 60, 1 << 20, 1 << 30), 1 << 50);
        assert_eq!(
            mul_div(-(1 << 60), 88_761, 1024),
            -((1_i128 << 60) * 88_761 / 1024) as i64
        );
    }

    /// Far apart, the sum needs more than 64 bits.
    #[test]
    fn average_and_eligibility_of_the_extremes() {
        let mut average = Average::new(0);
        average.add(&at(Nice::MIN, 0));
        let far = at(Nice::MIN, 1 << 62);
        let total = average.with(Some(&far));
        assert_eq!(total.load(), 2 * 88_761);
        assert_eq!(total.average(), 1 << 61);
        assert!(total.is_eligible(0) && total.is_eligible(1 << 61));
        assert!(!total.is_eligible((1 << 61) + 1));
        assert_eq!(Average::new(9).with(None).average(), 9, "of nobody");
    }
}
