//! Entities that become runnable: where they start, and whether they preempt what runs.
//!
//! A thread that is woken beside one that runs, and nobody else there, is the common case: all it takes is at
//! hand then, and the average is where that one is.

use links::{Arena, Handle};
use machine::Instant;

use crate::average::mul_div;
use crate::decision::{Decision, Enqueue};
use crate::entity::{Entity, is_before};
use crate::run_queue::RunQueue;

impl<A: Arena<Entity>> RunQueue<A> {
    /// As [`RunQueue::enqueue`]: until when what runs keeps running, or `None` if it should be replaced.
    #[inline(always)]
    pub fn join(&mut self, h: Handle<Entity>, why: Enqueue, now: Instant) -> Option<Instant> {
        self.join_how::<true>(h, why, now)
    }

    /// As [`Self::join`] of `h`, which wakes up because what runs sleeps next: nobody asks whether that keeps running.
    #[inline(always)]
    pub fn succeed(&mut self, h: Handle<Entity>, now: Instant) {
        let _not_asked = self.join_how::<false>(h, Enqueue::Wakeup, now);
    }

    /// As [`Self::join`]; `None`, too, unless it `ASKS`.
    #[inline(always)]
    fn join_how<const ASKS: bool>(
        &mut self,
        h: Handle<Entity>,
        why: Enqueue,
        now: Instant,
    ) -> Option<Instant> {
        let keeps = match (self.current, self.waiting.first()) {
            (None, None) => {
                self.start(h, why, self.waiting.zero(), 0);
                self.waiting.insert(&mut self.arena, h);
                None
            }
            (Some(current), None) => {
                self.charge(current, now);
                let curr = self.arena.get(current);
                let (average, load) = (curr.vruntime, u64::from(curr.weight()));
                self.start(h, why, average, load);
                self.waiting.insert(&mut self.arena, h);
                ASKS.then(|| self.beside(h, current, now)).flatten()
            }
            (Some(current), Some(debtor)) if debtor == h && self.waiting.is_alone() => {
                self.charge(current, now);
                self.undelay_beside(h, current);
                ASKS.then(|| self.beside(h, current, now)).flatten()
            }
            (Some(current), Some(only)) if self.waiting.is_alone() => {
                self.join_beside_one::<ASKS>(h, why, (current, only), now)
            }
            _ => self.join_many(h, why, now),
        };
        self.upset();
        keeps
    }

    /// As [`Self::join`], of `h`, which is the only one that waits, beside `current`.
    #[inline(always)]
    fn beside(
        &mut self,
        h: Handle<Entity>,
        current: Handle<Entity>,
        now: Instant,
    ) -> Option<Instant> {
        let (se, curr) = (self.arena.get(h), self.arena.get(current));
        if se.slice_ns < curr.slice_ns {
            return self.preempted(h, now);
        }
        if is_before(se.vruntime, curr.vruntime) {
            return None;
        }
        if !is_before(curr.vruntime, curr.protected_until) {
            return self.preempted(h, now);
        }
        let ns = curr.time_for(curr.protected_until.wrapping_sub(curr.vruntime));
        Some(Instant::from_nanos(now.as_nanos() + ns))
    }

    /// As [`Self::undelay`], of `h`, which is the only one that waits, beside `current`.
    #[inline(always)]
    fn undelay_beside(&mut self, h: Handle<Entity>, current: Handle<Entity>) {
        let curr = self.arena.get(current);
        let (v, weight) = (curr.vruntime, u64::from(curr.weight()));
        let se = self.arena.get_mut(h);
        se.delayed = false;
        self.nr_runnable += 1;
        // The average of two, as seen from one of them.
        let ahead = (v.wrapping_sub(se.vruntime) as i64).max(0) as u64;
        if ahead.saturating_mul(weight) >= weight + u64::from(se.weight()) {
            se.start_over(v);
        }
    }

    /// `h` joins whoever is there, or is delayed and there itself.
    #[inline(never)]
    pub(crate) fn join_many(
        &mut self,
        h: Handle<Entity>,
        why: Enqueue,
        now: Instant,
    ) -> Option<Instant> {
        self.charge_current(now);
        if self.arena.get(h).delayed {
            debug_assert!(
                why == Enqueue::Wakeup,
                "only a wake-up re-activates a delayed entity"
            );
            self.undelay(h);
        } else {
            let (average, load) = if self.waiting.is_empty() {
                (self.avg_vruntime(), self.total().load())
            } else {
                let total = self.total();
                (total.average(), total.load())
            };
            self.start(h, why, average, load);
            self.link(h);
        }
        self.preempts(h, now)
    }

    /// `h`, which is off, is queued from now on, among others of this average and weight.
    #[inline(always)]
    pub(crate) fn start(&mut self, h: Handle<Entity>, why: Enqueue, average: u64, load: u64) {
        let base = self.base_slice_ns;
        let se = self.arena.get_mut(h);
        debug_assert!(!se.queued, "enqueue of a queued entity");
        se.resolve_slice(base);
        se.queued = true;
        if !se.pinned {
            self.some_movable = self.has_others;
        }
        se.place(average, load, why == Enqueue::New);
        self.nr_runnable += 1;
    }

    /// As [`Self::join`], of `h`, which has joined. Out of line, for where that is rare.
    #[inline(never)]
    pub(crate) fn preempted(&mut self, h: Handle<Entity>, now: Instant) -> Option<Instant> {
        self.preempts(h, now)
    }

    /// As [`Self::join`], of `h`, which has joined.
    #[inline(always)]
    fn preempts(&mut self, h: Handle<Entity>, now: Instant) -> Option<Instant> {
        match self.check_preempt(h) {
            Decision::Keep => Some(self.slice_end(now).unwrap_or(Instant::FOREVER)),
            Decision::Resched => None,
        }
    }

    /// Wakes a delayed entity: it keeps its debt; if it has been owed time meanwhile, that was
    /// because it slept, and it starts over at zero lag.
    #[inline(always)]
    fn undelay(&mut self, h: Handle<Entity>) {
        let se = self.arena.get_mut(h);
        se.delayed = false;
        self.nr_runnable += 1;
        let later = se.vruntime.wrapping_add(1);
        if self.total().is_eligible(later) {
            self.unlink(h);
            let average = self.avg_vruntime();
            self.arena.get_mut(h).start_over(average);
            self.link(h);
        }
    }
}

impl Entity {
    /// Starts at the average, with nothing owed.
    #[inline(always)]
    const fn start_over(&mut self, average: u64) {
        self.vlag = 0;
        self.vruntime = average;
        self.deadline = average.wrapping_add(self.vslice());
    }

    /// Sets where it starts, from the lag it left with, among others of this average and weight.
    #[inline(always)]
    fn place(&mut self, average: u64, load: u64, is_new: bool) {
        let mut lag = 0;
        if self.vlag != 0 && load != 0 {
            lag = mul_div(self.vlag, load + u64::from(self.weight()), load);
        }
        self.vruntime = average.wrapping_sub(lag as u64);
        if self.relative_deadline {
            self.relative_deadline = false;
            self.deadline = self.vruntime.wrapping_add(self.deadline);
            return;
        }
        let vslice = if is_new {
            self.vslice() / 2
        } else {
            self.vslice()
        };
        self.deadline = self.vruntime.wrapping_add(vslice);
    }
}
