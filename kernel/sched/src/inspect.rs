//! Views of a runqueue for statistics, tests and models.
//!
//! None of this decides anything; it is apart so that the runqueue's file holds only what does.
//! Values are as of the last charge, since a view has no clock.

use links::{Arena, Handle};
use machine::Duration;

use crate::average::mul_div;
use crate::entity::{Entity, is_before};
use crate::loan::Loan;
use crate::run_queue::RunQueue;
use crate::weight::NICE_0_WEIGHT;

impl<A: Arena<Entity>> RunQueue<A> {
    /// All queued entities: the current one, those that wait and the delayed ones, by counting.
    #[must_use]
    pub fn nr_queued(&self) -> usize {
        let mut n = 0;
        self.for_each_by_deadline(|_, _| n += 1);
        n
    }

    /// The weighted average of virtual runtimes as of the last charge.
    #[inline(always)]
    #[must_use]
    pub fn avg_vruntime(&self) -> u64 {
        match self.current {
            _ if !self.waiting.is_empty() => self.total().average(),
            Some(alone) => self.arena.get(alone).vruntime,
            None => self.waiting.zero(),
        }
    }

    /// What a queued entity should have received minus what it did, in ns of CPU time, as of the
    /// last charge.
    #[must_use]
    pub fn lag_ns(&self, h: Handle<Entity>) -> i64 {
        let se = self.arena.get(h);
        let vlag = self.avg_vruntime().wrapping_sub(se.vruntime) as i64;
        mul_div(vlag, u64::from(se.weight()), u64::from(NICE_0_WEIGHT))
    }

    /// Checks every invariant in O(n): for tests and models.
    ///
    /// # Panics
    ///
    /// If an invariant is broken.
    pub fn assert_valid(&self) {
        let waiting = self.waiting.assert_valid(&self.arena);
        let current = usize::from(self.current.is_some());
        let mut delayed = 0;
        let mut at = self.waiting.first();
        while let Some(h) = at {
            let se = self.arena.get(h);
            assert!(se.queued, "an entity that waits is not marked as queued");
            delayed += usize::from(se.delayed);
            at = self.waiting.next(&self.arena, h);
        }
        assert_eq!(
            waiting + current - delayed,
            self.nr_runnable(),
            "wrong number of runnable entities"
        );
        if let Some(current) = self.current {
            let se = self.arena.get(current);
            assert!(
                se.queued && !se.delayed,
                "the current entity is not runnable"
            );
            assert!(
                !self.waiting.contains(&self.arena, current),
                "the current entity waits"
            );
        }
    }

    /// Holds what EEVDF promises of the queued entities (V1, V2, requests of one slice, deadlines
    /// ahead) against a fresh count, in O(n), as of the last charge.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn check(&self) -> Result<(), &'static str> {
        let ensure = |holds, wrong| if holds { Ok(()) } else { Err(wrong) };
        let total = self.total();
        let average = total.average();
        let (mut weights, mut lags, mut runnable, mut eligible) = (0, 0, 0, false);
        let mut movable = 0;
        let mut tree = self.waiting.first();
        let mut next = self.current.or_else(|| tree.take());
        while let Some(h) = next {
            let se = self.arena.get(h);
            runnable += u32::from(!se.delayed);
            movable += u32::from(!se.pinned && self.current != Some(h));
            ensure(
                se.pinned || self.some_movable || !self.has_others,
                "one who may move is not offered",
            )?;
            weights += i128::from(se.weight());
            let vlag = average.wrapping_sub(se.vruntime) as i64;
            lags += i128::from(se.weight()) * i128::from(vlag);
            eligible |= total.is_eligible(se.vruntime);
            ensure(se.queued, "a queued entity does not know it")?;
            ensure(
                !is_before(se.deadline, se.vruntime),
                "an entity has run beyond its deadline, which was not renewed",
            )?;
            let request = se.deadline.wrapping_sub(se.vruntime);
            ensure(
                request <= almost(se.vslice()),
                "V5: a request is longer than a slice",
            )?;
            next = match tree.take() {
                Some(first) => Some(first),
                None if self.current == Some(h) => None,
                None => self.waiting.next(&self.arena, h),
            };
        }
        ensure(
            runnable == self.nr_runnable,
            "the number of runnable entities is wrong",
        )?;
        ensure(
            (movable == 0) == self.all_pinned(),
            "whether any entity may move is wrong",
        )?;
        ensure(eligible || self.is_empty(), "V1: nobody is eligible")?;
        ensure(
            self.is_empty() || (-weights < lags && lags <= 0),
            "V2: the lags do not add up to zero",
        )
    }

    /// Whether the choice of `best` is the rule's: what runs, if it is protected and eligible, else
    /// the earliest deadline among the eligible ones. By looking at all, in O(n).
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn check_choice(&self, best: Handle<Entity>) -> Result<(), &'static str> {
        let total = self.total();
        let eligible = |h| total.is_eligible(self.arena.get(h).vruntime);
        if !eligible(best) {
            return Err("V1: who is chosen is not eligible");
        }
        if let Some(current) = self.current.filter(|&h| eligible(h)) {
            let se = self.arena.get(current);
            if is_before(se.vruntime, se.protected_until) {
                return if best == current {
                    Ok(())
                } else {
                    Err("who runs is protected, and another one is chosen")
                };
            }
        }
        let deadline = self.arena.get(best).deadline;
        let earlier = |h| eligible(h) && is_before(self.arena.get(h).deadline, deadline);
        let mut next = self.current.or_else(|| self.waiting.first());
        while let Some(h) = next {
            if earlier(h) {
                return Err("an eligible entity has an earlier deadline than who is chosen");
            }
            next = if self.current == Some(h) {
                self.waiting.first()
            } else {
                self.waiting.next(&self.arena, h)
            };
        }
        Ok(())
    }

    /// Whether the lag that `h` took along when it left is within its bound (V6).
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn check_saved(&self, h: Handle<Entity>) -> Result<(), &'static str> {
        let se = self.arena.get(h);
        let limit = almost(se.vlag_limit() as u64);
        if se.queued || se.vlag.unsigned_abs() <= limit {
            Ok(())
        } else {
            Err("V6: a thread has saved more lag than its bound")
        }
    }

    /// Whether the average stayed where it was, at `average`, when the weight of queued `h` changed
    /// (V9): but for what the old weight `from` rounded, which counts for more among light ones.
    pub(crate) fn is_reweighted(&self, h: Handle<Entity>, average: u64, from: u64) -> bool {
        let total = self.total();
        let weights = total.load() - u64::from(self.arena.get(h).weight()) + from;
        let moved = total.average().wrapping_sub(average) as i64;
        moved.unsigned_abs() <= weights / total.load() + 2
    }

    /// The nice value and the length of the next request of an entity in any state: the stronger of its own
    /// and what it is lent.
    #[must_use]
    pub fn counts(&self, h: Handle<Entity>) -> Loan {
        let se = self.arena.get(h);
        let slice = se.next_slice(self.base_slice_ns);
        Loan::new(se.nice(), Duration::from_nanos(u64::from(slice)))
    }

    /// The slice of threads that ask for none.
    #[must_use]
    pub const fn base_slice(&self) -> Duration {
        Duration::from_nanos(self.base_slice_ns as u64)
    }
}

/// `v` of virtual time, and what rounding adds to it when weights change: a part of what the
/// reciprocals of the weights are wrong by, and a unit or two.
pub(crate) const fn almost(v: u64) -> u64 {
    v + v / 4096 + 2
}

#[cfg(test)]
mod tests {
    use links::Slab;
    use machine::Instant;

    use super::*;
    use crate::{Enqueue, Nice};

    type Queue = RunQueue<Slab<Entity>>;

    /// Three threads, the first one running for 1 ms, and what `break_it` does to them.
    fn check(break_it: impl FnOnce(&mut Queue, [Handle<Entity>; 3])) -> Result<(), &'static str> {
        let mut slab = Slab::new();
        let all = [0; 3].map(|_| slab.insert(Entity::new(Nice::ZERO, None)));
        let mut rq = RunQueue::new(slab, 8);
        for h in all {
            let _ = rq.enqueue(h, Enqueue::New, Instant::ZERO);
        }
        assert_eq!(rq.pick_next(Instant::ZERO), Some(all[0]));
        let _ = rq.update(Instant::from_nanos(1_000_000));
        break_it(&mut rq, all);
        rq.check()
    }

    #[test]
    fn v9_average_may_move_by_rounding_only() {
        let _ = check(|rq, all| {
            let average = rq.total().average();
            let of = |moved: u64, from| rq.is_reweighted(all[1], average.wrapping_sub(moved), from);
            // All weigh 1024: the one that changed was worth one third of the sum, or less.
            assert!(of(0, 1024) && of(3, 1024) && !of(4, 1024));
            assert!(of(3, 2048) && !of(4, 2048));
            assert!(of(4, 4096) && !of(5, 4096));
            assert!(!of(5_u64.wrapping_neg(), 1024), "in either direction");
        });
        assert_eq!([0, 4095, 4096, 8192].map(almost), [2, 4097, 4099, 8196]);
    }

    #[test]
    fn check_finds_what_is_broken_and_nothing_else() {
        let later = |rq: &mut Queue, h, ns: u64| {
            let se = rq.arena.get_mut(h);
            se.vruntime = se.vruntime.wrapping_add(ns);
            se.deadline = se.deadline.wrapping_add(ns);
        };
        assert_eq!(check(|_, _| ()), Ok(()));
        let wrong = [
            check(|rq, _| rq.nr_runnable = 2),
            check(|rq, all| rq.arena.get_mut(all[2]).queued = false),
            check(|rq, all| rq.arena.get_mut(all[0]).deadline = 999_999),
            check(|rq, all| rq.arena.get_mut(all[1]).vruntime = 1_400_001),
            check(|rq, all| all.into_iter().for_each(|h| later(rq, h, 5_000_000))),
            check(|rq, all| rq.arena.get_mut(all[1]).deadline = 2_802_000),
            check(|rq, all| later(rq, all[1], 100_000)),
            check(|rq, all| later(rq, all[1], 100_000_u64.wrapping_neg())),
        ];
        let v2 = "V2: the lags do not add up to zero";
        assert_eq!(
            wrong.map(|w| w.expect_err("a break that nobody finds")),
            [
                "the number of runnable entities is wrong",
                "a queued entity does not know it",
                "an entity has run beyond its deadline, which was not renewed",
                "an entity has run beyond its deadline, which was not renewed",
                "V1: nobody is eligible",
                "V5: a request is longer than a slice",
                v2,
                v2,
            ]
        );
    }

    #[test]
    fn only_the_rule_s_choice_is_right() {
        let mut slab = Slab::new();
        let all = [0; 3].map(|_| slab.insert(Entity::new(Nice::ZERO, None)));
        let mut rq = RunQueue::new(slab, 8);
        for h in all {
            let _ = rq.enqueue(h, Enqueue::New, Instant::ZERO);
        }
        assert_eq!(rq.pick_next(Instant::ZERO), Some(all[0]));
        let _ = rq.update(Instant::from_nanos(1_000_000));
        assert!(
            rq.check_choice(all[0]).is_err(),
            "it has had more than the others"
        );
        rq.arena.get_mut(all[2]).deadline -= 1;
        assert!(rq.check_choice(all[1]).is_err(), "the other one is earlier");
        assert_eq!(rq.check_choice(all[2]), Ok(()));
        // What runs is protected once it is eligible.
        rq.arena.get_mut(all[0]).vruntime = 0;
        assert_eq!(rq.check_choice(all[0]), Ok(()));
        assert!(rq.check_choice(all[2]).is_err());
    }

    #[test]
    fn saved_lag_has_a_bound() {
        let mut slab = Slab::new();
        let h = slab.insert(Entity::new(Nice::ZERO, None));
        let mut rq = RunQueue::new(slab, 8);
        let limit = rq.arena.get(h).vlag_limit();
        for (vlag, within) in [(limit, true), (-limit, true), (2 * limit, false)] {
            rq.arena.get_mut(h).vlag = vlag;
            assert_eq!(rq.check_saved(h).is_ok(), within, "{vlag}");
        }
        rq.arena.get_mut(h).vlag = -2 * limit;
        assert!(rq.check_saved(h).is_err());
    }

    #[test]
    fn empty_and_idle_runqueues_are_sound() {
        let empty = Queue::new(Slab::new(), 1);
        assert_eq!(empty.check(), Ok(()));
        let mut slab = Slab::new();
        let h = slab.insert(Entity::new(Nice::ZERO, None));
        let mut rq = RunQueue::new(slab, 1);
        let _ = rq.enqueue(h, Enqueue::New, Instant::ZERO);
        assert_eq!(rq.check(), Ok(()), "nobody runs yet");
        rq.nr_runnable = 0;
        assert!(rq.check().is_err());
    }
}
