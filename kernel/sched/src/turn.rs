//! The core's next turn: what the current entity does with its own, and who comes after it.
//!
//! All in one operation, since that is what happens at every switch of threads: time is charged once, and
//! the current entity and the next one change places. Mostly these two are all there is, which is a case of its
//! own: of two the average lies between, so each is eligible that is not ahead of the other.

use links::{Arena, Handle};
use machine::Instant;

use crate::decision::Turn;
use crate::entity::{Entity, is_before};
use crate::run_queue::RunQueue;

/// Who has the core next, and until when.
#[must_use = "who runs next has to"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Next {
    /// Who runs; `None` when nothing is runnable.
    pub entity: Option<Handle<Entity>>,
    /// When its protection ends, as [`RunQueue::slice_end`] says; [`Instant::FOREVER`] if nobody waits.
    pub slice_end: Instant,
}

impl Next {
    pub(crate) const NOBODY: Self = Self {
        entity: None,
        slice_end: Instant::FOREVER,
    };

    #[inline(always)]
    const fn of(h: Handle<Entity>, slice_end: Instant) -> Self {
        let entity = Some(h);
        Self { entity, slice_end }
    }
}

impl<A: Arena<Entity>> RunQueue<A> {
    /// Chooses what runs next, makes it current and puts the previous current entity, if it is
    /// still queued, back. Takes delayed entities whose turn it would be off for good. `None` when
    /// nothing is runnable.
    pub fn pick_next(&mut self, now: Instant) -> Option<Handle<Entity>> {
        self.pick_next_after(Turn::Keep, now)
    }

    /// As [`RunQueue::pick_next`], after what the current entity, if there is one, does.
    pub fn pick_next_after(&mut self, turn: Turn, now: Instant) -> Option<Handle<Entity>> {
        self.next_turn(turn, now).entity
    }

    /// As [`RunQueue::pick_next_after`], and until when it runs.
    #[inline(always)]
    pub fn next_turn(&mut self, turn: Turn, now: Instant) -> Next {
        let Some(current) = self.current else {
            return self.first_turn(now);
        };
        self.charge(current, now);
        match self.waiting.first() {
            // Alone there is nothing to protect against.
            None if turn == Turn::Sleep => {
                let average = self.arena.get(current).vruntime;
                self.current = None;
                self.leave(current, average, false);
                self.upset();
                Next::NOBODY
            }
            None => Next::of(current, Instant::FOREVER),
            Some(other) if self.waiting.is_alone() => self.turn_of_two(current, other, turn, now),
            Some(_) => self.turn_of_many(current, turn, now),
        }
    }

    /// What runs is about to wait for somebody: nothing protects its turn any longer, and the next [`Turn::Keep`] keeps it only
    /// if it would be chosen anew. It gives up nothing else.
    pub fn waive(&mut self, now: Instant) {
        if let Some(current) = self.current {
            self.charge(current, now);
            let se = self.arena.get_mut(current);
            se.protected_until = se.vruntime;
        }
    }

    /// Gives the rest of the current request up, as [`Turn::Yield`] says. The caller calls
    /// [`RunQueue::pick_next`] afterwards.
    pub fn yield_current(&mut self, now: Instant) {
        if let Some(current) = self.current.filter(|_| self.nr_runnable() > 1) {
            self.charge(current, now);
            self.end_request(current);
        }
    }
}

impl<A: Arena<Entity>> RunQueue<A> {
    /// Nobody has run.
    #[inline(always)]
    fn first_turn(&mut self, now: Instant) -> Next {
        if let Some(alone) = self.waiting.first()
            && self.waiting.is_alone()
            && !self.arena.get(alone).delayed
        {
            self.exec_start = now;
            return self.pass_on(alone, alone, false, now);
        }
        self.first_of_many(now)
    }

    #[inline(never)]
    fn first_of_many(&mut self, now: Instant) -> Next {
        match self.choose(None) {
            Some(best) => self.run(best, now),
            None => Next::NOBODY,
        }
    }

    /// After `current`, whose time was charged, beside `other`, the only one that waits.
    #[inline(always)]
    fn turn_of_two(
        &mut self,
        current: Handle<Entity>,
        other: Handle<Entity>,
        turn: Turn,
        now: Instant,
    ) -> Next {
        if turn == Turn::Yield {
            self.end_request(current);
        }
        let waits = if turn == Turn::Sleep {
            self.sleep_beside(current, other)
        } else if self.is_first_of_two(current, other) {
            return self.take_turn(current, now);
        } else {
            true
        };
        if self.arena.get(other).delayed {
            return self.take_turn(other, now);
        }
        self.pass_on(current, other, waits, now)
    }

    /// `other`, the only one that waits, runs next; `current`, who ran, waits then, or has left.
    #[inline(always)]
    pub(crate) fn pass_on(
        &mut self,
        current: Handle<Entity>,
        other: Handle<Entity>,
        waits: bool,
        now: Instant,
    ) -> Next {
        debug_assert_eq!(self.check_choice(other), Ok(()));
        let se = self.arena.get(other);
        let (mut protected, mut slice_end) = (se.deadline, Instant::FOREVER);
        if waits {
            protected = se.protected_beside(self.arena.get(current).slice_ns);
            let ns = se.time_for(protected.wrapping_sub(se.vruntime));
            slice_end = Instant::from_nanos(now.as_nanos() + ns);
            self.waiting.replace_only(current);
        } else {
            self.waiting.remove(&mut self.arena, other);
        }
        self.arena.get_mut(other).protected_until = protected;
        // It is charged from where the one before was charged to.
        self.current = Some(other);
        self.step(0);
        Next::of(other, slice_end)
    }

    /// Whether `current` goes on, and not `other`, the only one that waits.
    #[inline(always)]
    fn is_first_of_two(&self, current: Handle<Entity>, other: Handle<Entity>) -> bool {
        let (se, other) = (self.arena.get(current), self.arena.get(other));
        if is_before(other.vruntime, se.vruntime) {
            return false;
        }
        // It is eligible; the other one only if neither is ahead.
        is_before(se.vruntime, se.protected_until)
            || other.vruntime != se.vruntime
            || is_before(se.deadline, other.deadline)
    }

    /// After `current`, whose time was charged, beside several that wait.
    #[inline(never)]
    fn turn_of_many(&mut self, current: Handle<Entity>, turn: Turn, now: Instant) -> Next {
        let rival = match turn {
            Turn::Keep => self.eligible_current(),
            Turn::Yield => {
                self.end_request(current);
                self.eligible_current()
            }
            Turn::Sleep => {
                if let Some(next) = self.sleep_beside_two(current, now) {
                    return next;
                }
                self.sleep(current);
                None
            }
        };
        match self.choose(rival) {
            Some(best) => self.run(best, now),
            None => Next::NOBODY,
        }
    }

    /// `best` is chosen. Out of line, for where that is rare.
    #[inline(never)]
    pub(crate) fn take_turn(&mut self, best: Handle<Entity>, now: Instant) -> Next {
        self.run(best, now)
    }

    /// `best` is chosen.
    #[inline(always)]
    fn run(&mut self, mut best: Handle<Entity>, now: Instant) -> Next {
        debug_assert_eq!(self.check_choice(best), Ok(()));
        if self.arena.get(best).delayed {
            let Some(other) = self.pass_over(best) else {
                return Next::NOBODY;
            };
            best = other;
        }
        if self.current == Some(best) {
            self.protect_again(best);
        } else {
            self.switch_to(best, now);
        }
        self.step(0);
        Next::of(best, self.slice_end(now).unwrap_or(Instant::FOREVER))
    }

    /// See [`Turn::Yield`].
    #[inline(always)]
    fn end_request(&mut self, current: Handle<Entity>) {
        if self.nr_runnable > 1 && self.is_behind(self.arena.get(current)) {
            let se = self.arena.get_mut(current);
            se.vruntime = se.deadline;
            se.deadline = se.deadline.wrapping_add(se.vslice());
            self.upset();
        }
    }

    /// See [`Turn::Sleep`]. A current entity that owes time is delayed, and stays current until the
    /// next one takes its place. Whether it is.
    #[inline(always)]
    pub(crate) fn sleep(&mut self, current: Handle<Entity>) -> bool {
        let owes = !self.is_behind(self.arena.get(current));
        if owes {
            self.delay(current);
        } else {
            let average = self.avg_vruntime();
            self.current = None;
            self.leave(current, average, false);
        }
        self.upset();
        owes
    }

    /// The current entity owes time, and sleeps.
    #[inline(always)]
    pub(crate) fn delay(&mut self, current: Handle<Entity>) {
        let se = self.arena.get_mut(current);
        se.delayed = true;
        // Nothing protects its turn any more.
        se.protected_until = se.vruntime;
        self.nr_runnable -= 1;
    }

    /// Whom to run instead of `delayed`, whose turn it would be. Those that are delayed leave for good.
    #[inline(always)]
    fn pass_over(&mut self, delayed: Handle<Entity>) -> Option<Handle<Entity>> {
        let mut best = delayed;
        while self.arena.get(best).delayed {
            self.write_off(best);
            best = self.pick_eevdf()?;
            debug_assert_eq!(self.check_choice(best), Ok(()));
        }
        Some(best)
    }

    /// `h`, which is delayed, is eligible, and so owes nothing more: it leaves with no lag.
    #[inline(always)]
    pub(crate) fn write_off(&mut self, h: Handle<Entity>) {
        debug_assert!(self.total().is_eligible(self.arena.get(h).vruntime));
        if self.current == Some(h) {
            self.current = None;
        } else {
            self.unlink(h);
        }
        let se = self.arena.get_mut(h);
        (se.vlag, se.queued, se.delayed) = (0, false, false);
        self.upset();
    }

    /// `best`, which waits, runs from now on, instead of the current entity, if there is one.
    #[inline(always)]
    fn switch_to(&mut self, best: Handle<Entity>, now: Instant) {
        self.unlink(best);
        if let Some(prev) = self.current {
            self.link(prev);
        }
        self.current = Some(best);
        self.exec_start = now;
        self.protect(best);
    }
}
