//! Where few are on the runqueue: one that runs, and one or two that wait.
//!
//! Everybody's place is told as its distance from the one that runs. So the average takes no sum that somebody keeps, and while
//! nobody is minutes away no product has more than 64 bits. Who is farther away takes the way of many, which
//! decides the same.

use links::{Arena, Handle};
use machine::Instant;

use crate::average::floor_div;
use crate::decision::Enqueue;
use crate::entity::{Entity, TICK_NS, is_before};
use crate::run_queue::RunQueue;
use crate::turn::Next;
use crate::weight::UNIT;

/// A distance of less than 2 to this, in virtual ns, is near: times the weight of a few it has less than 64 bits.
const NEAR_BITS: u32 = 40;
/// No [`Entity::vlag_limit`] of nice 0 and above is less.
const LEAST_LIMIT: u64 = 1 << 19;
const _: () = assert!(LEAST_LIMIT <= TICK_NS);

/// How far `other` is ahead of `se`, in virtual time.
#[inline(always)]
const fn distance(se: &Entity, other: &Entity) -> i64 {
    other.vruntime.wrapping_sub(se.vruntime) as i64
}

/// Whether that is near, ahead or behind.
#[inline(always)]
const fn is_near(distance: i64) -> bool {
    (distance as u64).wrapping_add(1 << NEAR_BITS) >> (NEAR_BITS + 1) == 0
}

impl<A: Arena<Entity>> RunQueue<A> {
    /// As [`Self::sleep`], beside `other`, the only one that waits: of two the average is as far from one as the
    /// other's part of their weight says.
    #[inline(always)]
    pub(crate) fn sleep_beside(&mut self, current: Handle<Entity>, other: Handle<Entity>) -> bool {
        let (se, other) = (self.arena.get(current), self.arena.get(other));
        let ahead = distance(se, other);
        if ahead < 0 {
            self.delay(current);
            self.upset();
            return true;
        }
        if !is_near(ahead) {
            return self.sleep_far(current);
        }
        let weight = u64::from(other.weight());
        let lag = ahead as u64 * weight / (weight + u64::from(se.weight()));
        self.current = None;
        self.leave_behind(current, lag);
        self.upset();
        false
    }

    #[cold]
    #[inline(never)]
    fn sleep_far(&mut self, current: Handle<Entity>) -> bool {
        self.sleep(current)
    }

    /// The turn after `current`, whose time was charged and who sleeps, if exactly two wait and are near.
    #[inline(always)]
    pub(crate) fn sleep_beside_two(
        &mut self,
        current: Handle<Entity>,
        now: Instant,
    ) -> Option<Next> {
        let (first, second) = self.waiting.two()?;
        let (se, a, b) = (
            self.arena.get(current),
            self.arena.get(first),
            self.arena.get(second),
        );
        let (to_first, to_second) = (distance(se, a), distance(se, b));
        if !is_near(to_first) || !is_near(to_second) {
            return None;
        }
        let (wa, wb) = (i64::from(a.weight()), i64::from(b.weight()));
        let (sum, load) = (
            to_first * wa + to_second * wb,
            wa + wb + i64::from(se.weight()),
        );
        // Behind the average of the others, or at it, it owes nothing.
        let owes = sum < 0;
        let is_first = if owes {
            self.delay(current);
            to_first * load <= sum
        } else {
            self.current = None;
            self.leave_behind(current, (sum / load) as u64);
            to_first <= to_second
        };
        self.upset();
        let (best, other, to_other) = if is_first {
            (first, second, to_second)
        } else {
            (second, first, to_first)
        };
        if !self.arena.get(best).delayed {
            return Some(self.take_turn(best, now));
        }
        debug_assert_eq!(self.check_choice(best), Ok(()));
        self.write_off(best);
        if self.arena.get(other).delayed || (owes && to_other >= 0) {
            let next = self.pick_eevdf();
            return Some(next.map_or(Next::NOBODY, |best| self.take_turn(best, now)));
        }
        Some(self.pass_on(current, other, owes, now))
    }

    /// As [`Self::leave`], of who ran and is `lag` of virtual time behind the average, which is near.
    #[inline(always)]
    fn leave_behind(&mut self, h: Handle<Entity>, lag: u64) {
        let se = self.arena.get_mut(h);
        debug_assert!(!se.delayed, "one that is delayed has run");
        se.vlag = lag as i64;
        if lag > LEAST_LIMIT || se.inverse < UNIT {
            se.vlag = se.vlag.min(se.vlag_limit());
        }
        se.queued = false;
        self.nr_runnable -= 1;
    }

    /// As [`Self::join`], of `h`, which is off, beside `current` and `only`, which waits alone. `None`, too, unless it `ASKS`.
    #[inline(never)]
    pub(crate) fn join_beside_one<const ASKS: bool>(
        &mut self,
        h: Handle<Entity>,
        why: Enqueue,
        (current, only): (Handle<Entity>, Handle<Entity>),
        now: Instant,
    ) -> Option<Instant> {
        self.charge(current, now);
        let (curr, other) = (self.arena.get(current), self.arena.get(only));
        let ahead = distance(curr, other);
        if !is_near(ahead) {
            return self.join_many(h, why, now);
        }
        let weight = u64::from(other.weight());
        let load = weight + u64::from(curr.weight());
        let sum = ahead * weight as i64;
        let average = curr.vruntime.wrapping_add(floor_div(sum, load) as u64);
        self.start(h, why, average, load);
        self.waiting.insert(&mut self.arena, h);
        if !ASKS {
            return None;
        }
        let (curr, se) = (self.arena.get(current), self.arena.get(h));
        let ahead = distance(curr, se);
        if se.slice_ns < curr.slice_ns
            || !is_near(ahead)
            || !is_before(curr.vruntime, curr.protected_until)
        {
            return self.preempted(h, now);
        }
        if sum + ahead * i64::from(se.weight()) < 0 {
            // Of those that wait somebody is eligible then.
            return None;
        }
        let ns = curr.time_for(curr.protected_until.wrapping_sub(curr.vruntime));
        Some(Instant::from_nanos(now.as_nanos() + ns))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use links::Slab;

    use super::*;
    use crate::{Nice, Turn};

    type Queue = RunQueue<Slab<Entity>>;

    const NOW: Instant = Instant::from_nanos(1_000_000_000);
    const V: u64 = 5_000;
    const DISTANCES: [i64; 9] = [
        -(1 << 41),
        -1_000_000,
        -3,
        -1,
        0,
        1,
        1_000_000,
        1 << 40,
        1 << 41,
    ];

    /// Who runs, and at each distance from it somebody who waits, `asleep` or not; last one who is off.
    fn queue(nices: [i8; 2], others: &[(i64, bool)]) -> (Queue, Vec<Handle<Entity>>) {
        let mut slab = Slab::new();
        let nice = |i: usize| Nice::new(nices[i % 2]).expect("a nice value");
        let all: Vec<_> = (0..others.len() + 2)
            .map(|i| slab.insert(Entity::new(nice(i), None)))
            .collect();
        let mut rq = RunQueue::new(slab, 1);
        let base = rq.base_slice_ns;
        let places = [(0, false)].into_iter().chain(others.iter().copied());
        for (&h, (distance, asleep)) in all.iter().zip(places) {
            let se = rq.arena_mut().get_mut(h);
            se.resolve_slice(base);
            (se.queued, se.delayed) = (true, asleep);
            se.vruntime = V.wrapping_add(distance as u64);
            se.deadline = se.vruntime.wrapping_add(se.vslice());
            se.protected_until = se.deadline;
            rq.nr_runnable += u32::from(!asleep);
        }
        rq.current = Some(all[0]);
        rq.exec_start = NOW;
        for &h in &all[1..=others.len()] {
            rq.link(h);
        }
        rq.upset();
        (rq, all)
    }

    /// All there is to see of it.
    fn seen(rq: &Queue, all: &[Handle<Entity>]) -> impl PartialEq + core::fmt::Debug {
        let each = all.iter().map(|&h| {
            let se = rq.entity(h);
            let places = (se.vruntime, se.deadline, se.protected_until, se.vlag);
            (places, se.queued, se.delayed)
        });
        let waits = (rq.waiting.first(), rq.waiting.two());
        (each.collect::<Vec<_>>(), rq.current, waits, rq.nr_runnable)
    }

    fn for_each_pair(mut f: impl FnMut([i8; 2], [(i64, bool); 2])) {
        for nices in [[0, 0], [0, -20], [19, 0], [-20, 19]] {
            for (a, b) in DISTANCES
                .iter()
                .flat_map(|&a| DISTANCES.map(move |b| (a, b)))
            {
                for asleep in 0..4 {
                    f(nices, [(a, asleep & 1 != 0), (b, asleep & 2 != 0)]);
                }
            }
        }
    }

    #[test]
    fn a_turn_beside_two_is_that_beside_many() {
        for_each_pair(|nices, others| {
            let (mut few, all) = queue(nices, &others);
            let next = few.next_turn(Turn::Sleep, NOW);
            let (mut many, _) = queue(nices, &others);
            many.sleep(all[0]);
            let wanted = match many.choose(None) {
                Some(best) => many.take_turn(best, NOW),
                None => Next::NOBODY,
            };
            let told = (nices, others);
            assert_eq!(next, wanted, "{told:?}");
            assert_eq!(seen(&few, &all), seen(&many, &all), "{told:?}");
        });
    }

    #[test]
    fn who_sleeps_beside_one_sleeps_as_beside_many() {
        for_each_pair(|nices, [other, _]| {
            let (mut few, all) = queue(nices, &[other]);
            let (mut many, _) = queue(nices, &[other]);
            assert_eq!(few.sleep_beside(all[0], all[1]), many.sleep(all[0]));
            assert_eq!(seen(&few, &all), seen(&many, &all), "{nices:?} {other:?}");
        });
    }

    #[test]
    fn who_succeeds_the_one_that_sleeps_comes_as_if_it_had_asked() {
        for_each_pair(|nices, others| {
            for waiting in 0..=2 {
                let off = |(mut rq, all): (Queue, Vec<Handle<Entity>>)| {
                    rq.arena_mut().get_mut(all[waiting + 1]).vlag = others[0].0 >> 12;
                    (rq, all)
                };
                let (mut rq, all) = off(queue(nices, &others[..waiting]));
                rq.succeed(all[waiting + 1], NOW);
                let next = rq.next_turn(Turn::Sleep, NOW);
                let (mut asked, _) = off(queue(nices, &others[..waiting]));
                let _keeps = asked.join(all[waiting + 1], Enqueue::Wakeup, NOW);
                let told = (nices, others, waiting);
                assert_eq!(next, asked.next_turn(Turn::Sleep, NOW), "{told:?}");
                assert_eq!(seen(&rq, &all), seen(&asked, &all), "{told:?}");
            }
        });
    }

    #[test]
    fn who_joins_beside_one_joins_as_beside_many() {
        for_each_pair(|nices, [other, (lag, longer)]| {
            let off = |(mut rq, all): (Queue, Vec<Handle<Entity>>)| {
                rq.arena_mut().get_mut(all[2]).vlag = lag >> 12;
                if longer {
                    // Its request is over.
                    let se = rq.arena_mut().get_mut(all[0]);
                    se.protected_until = se.vruntime;
                    rq.upset();
                }
                (rq, all)
            };
            let (mut few, all) = off(queue(nices, &[other]));
            let (mut many, _) = off(queue(nices, &[other]));
            let why = Enqueue::Wakeup;
            let keeps = few.join_beside_one::<true>(all[2], why, (all[0], all[1]), NOW);
            let wanted = many.join_many(all[2], why, NOW);
            let told = (nices, other, lag, longer);
            assert_eq!(keeps, wanted, "{told:?}");
            assert_eq!(seen(&few, &all), seen(&many, &all), "{told:?}");
        });
    }
}
