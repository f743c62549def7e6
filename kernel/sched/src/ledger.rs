//! The bound of lag, held step by step (V4). In builds with debug assertions only.
//!
//! # The bound
//!
//! Weighted virtual time `w * v` is 1024 times CPU time. Of a queued entity with weight `w` among
//! weights `W`, slice `r`, and `r_max` the longest slice of anybody queued:
//!
//! ```text
//!   -r  <=  lag  <=  (1 - w/W) r + (w/W) r_max        so in either direction at most r_max
//! ```
//!
//! Ahead: who is picked has no negative lag, and runs no further than its deadline. Late: let
//! `F(D)` be how far those with deadlines after `D` have run beyond `D` together, each weighted,
//! negative for those that have not come that far. Who runs changes `F(D)` only when its own deadline
//! is after `D`; but it is picked only when nobody with a deadline up to `D` is eligible, and then
//! `F(D) <= 0`. So `F` at any deadline stays below the longest run, and `W (V - d)` is at most `F(d)`
//! without the entity's own part, from which the bound follows.
//!
//! # What is added to it
//!
//! Who joins brings lag along and who leaves takes some away, which moves the average under
//! everybody's feet; so do yields and changes of weight. By how much somebody is then beyond the bound
//! is measured at that moment, and is all that he may be from there on. While who runs goes on
//! after its protection, because interrupts are masked or the timer is late, it may grow by just that
//! time. It may never grow otherwise: choosing and running make nobody's position worse.
//!
//! All of it is exact: integers, no tolerance.

use links::{Arena, Handle};

use crate::entity::{Entity, is_before};
use crate::inspect::almost;
use crate::run_queue::RunQueue;
use crate::weight::NICE_0_WEIGHT;

/// How far lags are beyond their steady bounds; never negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slack {
    /// Of those that are owed time: weighted.
    late: i128,
    /// Of those that owe time: weighted, times the weight of all.
    ahead: i128,
    /// Changes so far that were no choice and no run.
    upsets: u64,
}

impl Slack {
    pub(crate) const NONE: Self = Self {
        late: 0,
        ahead: 0,
        upsets: 0,
    };
}

/// A queued entity's lag beside what it may be, in ns of CPU time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lag {
    /// What it should have had and has not; negative when it has had more.
    pub lag: i64,
    /// By how much it may be ahead.
    pub ahead: u64,
    /// By how much it may be late.
    pub late: u64,
}

impl Lag {
    /// The bound in the direction in which it is off.
    #[must_use]
    pub const fn bound(&self) -> u64 {
        if self.lag < 0 { self.ahead } else { self.late }
    }

    /// How far it is from that bound; negative beyond it.
    #[must_use]
    pub const fn margin(&self) -> i64 {
        self.bound() as i64 - self.lag.abs()
    }
}

impl<A: Arena<Entity>> RunQueue<A> {
    /// Somebody came or left, yielded, or weighs something else.
    #[inline]
    pub(crate) fn upset(&mut self) {
        if cfg!(debug_assertions) {
            let (late, ahead) = self.beyond();
            let upsets = self.slack.upsets + 1;
            self.slack = Slack {
                late,
                ahead,
                upsets,
            };
        }
    }

    /// Who runs was charged, `over` of weighted virtual time beyond its protection; or a choice was made.
    #[inline]
    pub(crate) fn step(&mut self, over: u64) {
        if cfg!(debug_assertions) {
            let (late, ahead) = self.beyond();
            let over = i128::from(over);
            assert!(
                late <= self.slack.late + over,
                "V4: a step leaves somebody further behind than his bound"
            );
            assert!(
                ahead <= self.slack.ahead + over * i128::from(self.total().load()),
                "V4: a step lets somebody run further ahead than his bound"
            );
            (self.slack.late, self.slack.ahead) = (late, ahead);
        }
    }

    /// How often anything but choices and running changed lags so far. Counts in builds with debug
    /// assertions.
    #[must_use]
    pub const fn upsets(&self) -> u64 {
        self.slack.upsets
    }

    /// How far anybody is beyond his steady bound, in either direction; see [`Slack`].
    fn beyond(&self) -> (i128, i128) {
        let total = self.total();
        let load = i128::from(total.load());
        // What runs may go on to the end of its protection.
        let (deadline, rest) = self.current.map_or((0, 0), |h| {
            let se = self.arena.get(h);
            let rest = se.protected_until.wrapping_sub(se.vruntime) as i64;
            (se.deadline, weighted(se, rest.max(0)))
        });
        // Of those with deadlines up to some moment.
        let (mut weight, mut sum, mut last) = (0, 0, None);
        let (mut late, mut ahead, mut longest) = (0, 0, 0);
        self.for_each_by_deadline(|h, se| {
            if let Some(d) = last.filter(|&d| d != se.deadline) {
                let at = i128::from(total.distance(d));
                let protected = if is_before(d, deadline) { rest } else { 0 };
                let beyond = (total.sum() - load * at) - (sum - weight * at) + protected;
                late = beyond.max(late);
            }
            last = Some(se.deadline);
            let at = total.distance(se.vruntime);
            weight += i128::from(se.weight());
            sum += weighted(se, at);
            let slice = weighted(se, almost(se.vslice()) as i64);
            longest = slice.max(longest);
            let lag = i128::from(se.weight()) * (total.sum() - i128::from(at) * load);
            let rest = if self.current == Some(h) { rest } else { 0 };
            ahead = ((rest - slice) * load - lag).max(ahead);
        });
        ((late - longest).max(0), ahead)
    }

    /// Calls `f` with the lag of every queued entity as of the last charge, in O(n) (V4). The bounds are
    /// right in builds with debug assertions.
    pub fn for_each_lag(&self, mut f: impl FnMut(Handle<Entity>, &Entity, Lag)) {
        const UNIT: i128 = NICE_0_WEIGHT as i128;
        let load = i128::from(self.total().load());
        let mut longest = 0;
        self.for_each_by_deadline(|_, se| longest = i128::from(se.slice_ns).max(longest));
        let (ahead, late) = (
            self.slack.ahead / (load.max(1) * UNIT),
            self.slack.late / UNIT,
        );
        self.for_each_by_deadline(|h, se| {
            let (weight, slice) = (i128::from(se.weight()), i128::from(se.slice_ns));
            // The average is rounded down, and slices are by the weights' reciprocals.
            let rounding = longest / 2048 + weight / UNIT + 4;
            let own = (load - weight) * slice + weight * (longest + late);
            let lag = Lag {
                lag: self.lag_ns(h),
                ahead: (slice + ahead + rounding) as u64,
                late: (own / load + rounding) as u64,
            };
            f(h, se, lag);
        });
    }

    /// Calls `f` with every queued entity, the current one too, in the order of deadlines.
    pub fn for_each_by_deadline(&self, mut f: impl FnMut(Handle<Entity>, &Entity)) {
        let mut current = self.current.map(|h| (h, self.arena.get(h)));
        let mut next = self.waiting.first();
        while let Some(h) = next {
            let se = self.arena.get(h);
            if let Some((c, runs)) = current.take_if(|(_, c)| !is_before(se.deadline, c.deadline)) {
                f(c, runs);
            }
            f(h, se);
            next = self.waiting.next(&self.arena, h);
        }
        if let Some((c, runs)) = current {
            f(c, runs);
        }
    }
}

fn weighted(se: &Entity, v: i64) -> i128 {
    i128::from(se.weight()) * i128::from(v)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use links::Slab;
    use machine::Instant;

    use super::*;
    use crate::{Enqueue, Nice};

    const MS: u64 = 1_000_000;

    type Queue = RunQueue<Slab<Entity>>;

    /// Two equal threads, the first one current since time 0.
    fn pair() -> (Queue, [Handle<Entity>; 2]) {
        let mut slab = Slab::new();
        let all = [0; 2].map(|_| slab.insert(Entity::new(Nice::ZERO, None)));
        let mut rq = RunQueue::new(slab, 8);
        for h in all {
            let _ = rq.enqueue(h, Enqueue::New, Instant::ZERO);
        }
        assert_eq!(rq.pick_next(Instant::ZERO), Some(all[0]));
        (rq, all)
    }

    fn lags(rq: &Queue) -> Vec<Lag> {
        let mut lags = Vec::new();
        rq.for_each_lag(|_, _, lag| lags.push(lag));
        lags
    }

    #[test]
    fn lags_are_told_beside_their_bounds() {
        assert_eq!(lags(&Queue::new(Slab::new(), 8)), []);
        let (mut rq, _) = pair();
        let _ = rq.update(Instant::from_nanos(MS));
        let both = lags(&rq);
        assert_eq!(both.iter().map(|l| l.lag).sum::<i64>(), 0);
        for lag in both {
            assert_eq!(lag.lag.unsigned_abs(), MS / 2);
            let slice = 2_800_000;
            assert!(
                (slice..slice + slice / 1000).contains(&lag.bound()),
                "{lag:?}"
            );
            assert_eq!(lag.margin(), lag.bound() as i64 - 500_000);
        }
    }

    #[test]
    fn a_lag_is_held_against_the_bound_on_its_side() {
        let (ahead, late) = (5, 9);
        for (lag, bound, margin) in [(-3, 5, 2), (0, 9, 9), (3, 9, 6), (-6, 5, -1), (10, 9, -1)] {
            let lag = Lag { lag, ahead, late };
            assert_eq!((lag.bound(), lag.margin()), (bound, margin), "{lag:?}");
        }
    }

    /// Lateness is allowed, measured, and forgotten when it has been made up for.
    #[test]
    fn who_runs_on_after_his_slice_may_be_ahead_by_that_and_no_longer() {
        let (mut rq, all) = pair();
        let steady = rq.slack;
        assert_eq!((steady.late, steady.ahead), (0, 0));
        let _ = rq.update(Instant::from_nanos(20 * MS));
        assert!(rq.slack.late > 0 && rq.slack.ahead > 0, "{:?}", rq.slack);
        for lag in lags(&rq) {
            // By the lateness, and not by more.
            assert!(
                lag.margin() >= 0 && lag.ahead.max(lag.late) < 20 * MS,
                "{lag:?}"
            );
        }
        let upsets = rq.upsets();
        for ms in 20..60 {
            let now = Instant::from_nanos(ms * MS);
            let _ = rq.update(now);
            assert!(rq.pick_next(now).is_some());
        }
        assert_eq!((rq.slack.late, rq.slack.ahead), (0, 0));
        assert_eq!(rq.upsets(), upsets, "running and choosing are no upsets");
        rq.yield_current(Instant::from_nanos(60 * MS));
        let _ = rq.set_nice(all[1], Nice::MIN, Instant::from_nanos(60 * MS));
        assert!(rq.upsets() > upsets);
    }

    #[test]
    #[should_panic(expected = "V4: a step lets somebody run further ahead")]
    fn who_runs_ahead_of_everybody_is_noticed() {
        let (mut rq, all) = pair();
        let _ = rq.update(Instant::from_nanos(MS));
        // The other one can wait, but nobody may be ahead by more than his own slice.
        let other = rq.arena.get_mut(all[1]);
        (other.slice_ns, other.deadline) = (100_000_000, 100 * MS);
        rq.upset();
        let ahead = rq.arena.get_mut(all[0]);
        ahead.vruntime += 10 * MS;
        ahead.deadline = ahead.vruntime + ahead.vslice();
        rq.step(0);
    }

    #[test]
    #[should_panic(expected = "V4: a step leaves somebody further behind")]
    fn who_is_chosen_again_and_again_is_noticed() {
        let (mut rq, _) = pair();
        for ms in 1..20 {
            // Its protection never ends.
            let current = rq.current.expect("somebody runs");
            rq.arena.get_mut(current).protected_until += MS;
            let _ = rq.update(Instant::from_nanos(ms * MS));
        }
    }
}
