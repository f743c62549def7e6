//! CPU time against virtual time, of one entity.

use crate::entity::{Entity, is_before};
use crate::weight::{FRACTION_BITS, UNIT, scale, to_virtual};

impl Entity {
    /// A request's length in virtual time.
    #[inline(always)]
    pub(crate) const fn vslice(&self) -> u64 {
        to_virtual(self.slice_ns as u64, self.inverse)
    }

    /// `ns` of this entity's CPU time in virtual time.
    #[inline(always)]
    pub(crate) const fn to_virtual(&self, ns: u64) -> u64 {
        to_virtual(ns, self.inverse)
    }

    /// Accounts `ns` of CPU time.
    #[inline(always)]
    pub(crate) fn charge(&mut self, ns: u64) {
        self.sum_exec_ns = self.sum_exec_ns.wrapping_add(ns);
        if self.inverse == UNIT {
            // Of nice 0: virtual time is time, and no fraction comes up.
            self.vruntime = self.vruntime.wrapping_add(ns);
            return;
        }
        let scaled = scale(ns, self.inverse) + u128::from(self.fraction);
        self.fraction = scaled as u32 & ((1 << FRACTION_BITS) - 1);
        self.vruntime = self.vruntime.wrapping_add((scaled >> FRACTION_BITS) as u64);
    }

    /// The request is used up: the next one begins, where the entity is. `alone`, no slice timer runs:
    /// that ends the requests which it would have ended, in one step. A fresh one instead would make
    /// the entity look as if it had just begun.
    #[inline(never)]
    pub(crate) fn next_request(&mut self, alone: bool) {
        let vslice = self.vslice();
        let past = self.vruntime.wrapping_sub(self.deadline);
        self.deadline = if alone {
            let whole = past / vslice + 1;
            self.deadline.wrapping_add(whole.wrapping_mul(vslice))
        } else {
            self.vruntime.wrapping_add(vslice)
        };
    }

    /// The virtual time up to which it is protected if it begins now and the shortest slice of those that wait
    /// is `min_slice_ns`.
    #[inline(always)]
    pub(crate) fn protected_beside(&self, min_slice_ns: u32) -> u64 {
        if min_slice_ns >= self.slice_ns {
            return self.deadline;
        }
        let until = self
            .vruntime
            .wrapping_add(self.to_virtual(u64::from(min_slice_ns)));
        if is_before(until, self.deadline) {
            until
        } else {
            self.deadline
        }
    }

    /// The least CPU time after which `vruntime` reaches `v`.
    #[inline(always)]
    pub(crate) fn time_until(&self, v: u64) -> u64 {
        let distance = v.wrapping_sub(self.vruntime) as i64;
        if distance <= 0 {
            return 0;
        }
        self.time_for(distance as u64)
    }

    /// The least CPU time that is worth `distance` of virtual time.
    #[inline(always)]
    pub(crate) fn time_for(&self, distance: u64) -> u64 {
        if self.inverse == UNIT {
            return distance;
        }
        // Saturates beyond 2^42 virtual ns (over an hour), far above any slice.
        let distance = distance.min((1 << 42) - 1);
        ((distance << FRACTION_BITS) - u64::from(self.fraction)).div_ceil(u64::from(self.inverse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::Nice;

    #[test]
    fn time_until_is_what_a_charge_needs() {
        for nice in [Nice::MIN, Nice::ZERO, Nice::MAX] {
            let mut se = Entity::new(nice, None);
            se.charge(12_345);
            assert_eq!(se.time_until(se.vruntime), 0);
            assert_eq!(se.time_until(se.vruntime - 1), 0, "it is past that");
            let v = se.vruntime + 1_000_000;
            let ns = se.time_until(v);
            se.charge(ns - 1);
            assert!(is_before(se.vruntime, v));
            se.charge(1);
            assert!(!is_before(se.vruntime, v));
        }
    }

    #[test]
    fn time_until_saturates_far_away() {
        let longest = (1 << 42) - 1;
        let light = Entity::new(Nice::MAX, None);
        let most = light.time_until(longest);
        for v in [longest, longest + 1, longest + 2, 1 << 50, (1 << 63) - 1] {
            assert_eq!(Entity::new(Nice::ZERO, None).time_until(v), v);
            assert_eq!(light.time_until(v), most);
        }
    }
}
