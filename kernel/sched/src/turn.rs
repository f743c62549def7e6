//! The core's next turn: what the current entity does with its own, and who comes after it.
//!
//! All in one operation, since that is what happens at every switch of threads: time is charged once, and
//! the current entity and the next one change places in the tree.

use links::{Arena, Handle};
use machine::Instant;

use crate::average::Average;
use crate::decision::Turn;
use crate::entity::Entity;
use crate::run_queue::RunQueue;

impl<A: Arena<Entity>> RunQueue<A> {
    /// Chooses what runs next, makes it current and puts the previous current entity, if it is
    /// still queued, back. Takes delayed entities whose turn it would be off for good. `None` when
    /// nothing is runnable.
    pub fn pick_next(&mut self, now: Instant) -> Option<Handle<Entity>> {
        self.pick_next_after(Turn::Keep, now)
    }

    /// As [`RunQueue::pick_next`], after what the current entity, if there is one, does.
    #[inline(always)]
    pub fn pick_next_after(&mut self, turn: Turn, now: Instant) -> Option<Handle<Entity>> {
        self.charge_current(now);
        let rival = match turn {
            Turn::Keep => self.eligible_current(),
            Turn::Yield => {
                self.end_request();
                self.eligible_current()
            }
            Turn::Sleep => {
                self.sleep();
                None
            }
        };
        if self.tree.is_empty() {
            // Alone or nobody: nothing to protect against.
            return self.current;
        }
        let mut best = self.choose(rival)?;
        debug_assert_eq!(self.check_choice(best), Ok(()));
        if self.arena.get(best).delayed {
            best = self.pass_over(best)?;
        }
        if self.current == Some(best) {
            self.protect_again(best);
        } else {
            self.switch_to(best, now);
        }
        self.step(0);
        Some(best)
    }

    /// Gives the rest of the current request up, as [`Turn::Yield`] says. The caller calls
    /// [`RunQueue::pick_next`] afterwards.
    pub fn yield_current(&mut self, now: Instant) {
        if self.nr_runnable() > 1 {
            self.charge_current(now);
            self.end_request();
        }
    }
}

impl<A: Arena<Entity>> RunQueue<A> {
    /// See [`Turn::Yield`].
    #[inline(always)]
    fn end_request(&mut self) {
        let Some(current) = self.current else { return };
        if self.nr_runnable() <= 1 {
            return;
        }
        let se = self.arena.get_mut(current);
        if self.average.is_behind(se.vruntime) {
            se.vruntime = se.deadline;
            se.deadline = se.deadline.wrapping_add(se.vslice());
            self.upset();
        }
    }

    /// See [`Turn::Sleep`]. A current entity that owes time is delayed, and stays current until the
    /// next one takes its place.
    #[inline(always)]
    fn sleep(&mut self) {
        let Some(current) = self.current else { return };
        let se = self.arena.get_mut(current);
        if self.average.is_behind(se.vruntime) {
            let average = self.avg_vruntime();
            self.current = None;
            self.leave(current, average, false);
        } else {
            se.delayed = true;
            // Nothing protects its turn any more.
            se.protected_until = se.vruntime;
            self.nr_delayed += 1;
        }
        self.upset();
    }

    /// Whom to run instead of `delayed`, whose turn it would be. Those that are delayed leave for good.
    #[inline(never)]
    fn pass_over(&mut self, delayed: Handle<Entity>) -> Option<Handle<Entity>> {
        let mut best = delayed;
        while self.arena.get(best).delayed {
            self.take_off(best, false);
            best = self.pick_eevdf()?;
            debug_assert_eq!(self.check_choice(best), Ok(()));
        }
        Some(best)
    }

    /// `best`, which waits, runs from now on, instead of the current entity, if there is one.
    #[inline(always)]
    fn switch_to(&mut self, best: Handle<Entity>, now: Instant) {
        match self.current {
            Some(prev) if self.tree.is_only(&self.arena, best) => {
                let se = self.arena.get(prev);
                self.average = Average::of(se);
                self.nr_movable = u32::from(!se.pinned);
                self.tree.replace_only(&mut self.arena, best, prev);
            }
            prev => self.change_places(best, prev),
        }
        self.current = Some(best);
        self.exec_start = now;
        self.protect(best);
    }

    #[inline(never)]
    fn change_places(&mut self, best: Handle<Entity>, prev: Option<Handle<Entity>>) {
        self.unlink(best);
        if let Some(prev) = prev {
            self.link(prev);
        }
    }
}
