//! The worker's loop: what to do next, and what the end of an execution means.

use links::Handle;
use machine::Instant;

use crate::execution::{Begun, Finished};
use crate::item::{On, item, item_mut, pwq, worker, worker_mut};
use crate::ways::Ways;
use crate::{Kind, Outcome, Phase, Pool, Store, Worker};

/// What a worker does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Step {
    /// Execute `item` (end its pending state before the lock is released), after waking `wake`.
    Run(Begun),
    /// Create a worker without the lock, then report to [`Pool::created`] or
    /// [`Pool::keep_creating`] (E9, E10).
    Create {
        /// When to call [`Pool::mayday`] if that takes so long.
        mayday_at: Instant,
    },
    /// Sleep until woken; arm the reaper for `reap_at` if given (E12).
    Sleep {
        /// When to call [`Pool::cull`].
        reap_at: Option<Instant>,
    },
    /// Leave: the worker was culled and is no longer part of the pool.
    Exit,
}

impl Pool {
    /// (4) The next step of worker `w`, called by itself after waking up and after each execution.
    /// `now` is asked only when it goes idle.
    #[inline(always)]
    pub fn next<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        now: impl FnOnce() -> Instant,
    ) -> Step {
        match self.go_on(s, w) {
            Some(begun) => begun.into(),
            None => self.look_about(s, w, now),
        }
    }

    /// (4) The next item of `w` if it goes on as it did, without the questions that only a change answers anew;
    /// `None`: [`Self::look_about`].
    #[inline(always)]
    pub fn go_on<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Option<Begun> {
        let node = worker(s, w);
        let lone = self.nr_running == 0;
        // Only who executes items has an epoch, and each item before this one was counted in it.
        if node.epoch != self.epoch || !node.scheduled.is_empty() || self.nr_running > 1 {
            return None;
        }
        debug_assert!(node.phase == Phase::Working, "an epoch without work");
        let h = self.worklist.front()?;
        let it = item(s, h);
        if it.runner.is_some() || !it.is_plain() {
            return None;
        }
        let p = it.pwq?;
        if pwq(s, p).ways.any(Ways::CPU_INTENSIVE) {
            return None;
        }
        self.worklist.remove_front(s, h);
        self.pending -= 1;
        self.starts += 1;
        let it = item_mut(s, h);
        it.on = On::Nothing;
        it.pwq = None;
        it.runner = Some(w);
        let colour = it.colour;
        let node = worker_mut(s, w);
        node.run = self.starts;
        (node.current, node.current_pwq) = (Some(h), Some(p));
        node.current_colour = colour;
        debug_assert!(node.current_active && node.apart == 0, "it was not over");
        Some(Begun {
            item: h,
            pwq: Some(p),
            counted: self.core,
            wake: if lone { self.kick(s) } else { None },
        })
    }

    /// The pseudo worker of a BH pool begins its turn, before [`Pool::next`].
    pub fn begin_turn<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) {
        debug_assert!(self.kind == Kind::Bh, "a thread has no turns");
        if worker(s, w).phase == Phase::Idle && self.pending > 0 {
            self.idle.remove(s, w);
            self.nr_idle -= 1;
            let epoch = self.epoch;
            let node = worker_mut(s, w);
            (node.phase, node.woken, node.epoch) = (Phase::Working, false, epoch);
        }
    }

    /// [`Pool::next`] of a worker that was idle, whose list is not empty, or that finds nothing.
    #[inline(never)]
    pub fn look_about<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        now: impl FnOnce() -> Instant,
    ) -> Step {
        match worker(s, w).phase {
            // No worker of this pool.
            Phase::New | Phase::Rescuing => return Step::Sleep { reap_at: None },
            Phase::Dying => return Step::Exit,
            Phase::Idle => {
                self.idle.remove(s, w);
                self.nr_idle -= 1;
                let node = worker_mut(s, w);
                (node.phase, node.woken) = (Phase::Prep, false);
            }
            Phase::Prep | Phase::Working => {}
        }
        self.count_again(s, w);
        // What was linked to the last item, or collided with it, comes first, whatever runs (C6).
        if let Some(h) = worker(s, w).scheduled.front() {
            let mut list = core::mem::take(&mut worker_mut(s, w).scheduled);
            list.remove(s, h);
            worker_mut(s, w).scheduled = list;
            return self.begin(s, w, h).into();
        }
        if worker(s, w).phase == Phase::Prep {
            if !self.need_more_worker() {
                return self.sleep(s, w, now());
            }
            if self.nr_idle == 0 && !self.manager && self.kind.grows() {
                self.manager = true;
                self.mayday_at = now() + self.tuning.mayday_initial;
                return Step::Create {
                    mayday_at: self.mayday_at,
                };
            }
            let node = worker_mut(s, w);
            (node.phase, node.epoch) = (Phase::Working, self.epoch);
            if self.has_core() {
                self.nr_running += 1;
            }
        }
        // E6: one running worker is enough, and it is this one.
        while self.nr_running <= 1 {
            let Some(h) = self.worklist.front() else {
                break;
            };
            match item(s, h).runner {
                None => return self.start(s, w, h).into(),
                Some(other) => self.hand_over(s, h, other),
            }
        }
        if self.counts(worker(s, w)) {
            self.nr_running -= 1;
        }
        self.sleep(s, w, now())
    }

    /// A worker of a pool that closes leaves instead of going idle.
    fn dismiss_self<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Step {
        self.nr_workers -= 1;
        self.strike_off(s, w);
        let node = worker_mut(s, w);
        (node.phase, node.epoch) = (Phase::Dying, Worker::NO_EPOCH);
        Step::Exit
    }

    /// (6) The current item of `w` panicked and `w` will never run again: its slot is released,
    /// what was scheduled on it goes back to the front of the list, and it leaves the pool. Of a
    /// dedicated pool it becomes the manager: it makes its successor, since nobody else can.
    pub fn abandon<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Finished {
        let over = self.end(s, w, Outcome::Panicked);
        let node = worker_mut(s, w);
        if self.counts(node) && !node.sleeping {
            self.nr_running -= 1;
        }
        node.sleeping = false;
        (node.phase, node.epoch) = (Phase::Dying, Worker::NO_EPOCH);
        self.nr_workers -= 1;
        self.strike_off(s, w);
        self.requeue(s, w);
        self.manager |= self.kind == Kind::Dedicated;
        Finished {
            wake: self.kick(s),
            ..over
        }
    }

    /// What is on `w`'s own list goes back to the front of the pool's.
    pub(crate) fn requeue<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) {
        let mut list = core::mem::take(&mut worker_mut(s, w).scheduled);
        while let Some(h) = list.back() {
            list.remove(s, h);
            item_mut(s, h).on = On::Worklist;
            self.unclaim(s, h);
            self.worklist.push_front(s, h);
            self.pending += 1;
            self.requeues = self.requeues.wrapping_add(1);
        }
    }

    /// A BH pool's pseudo worker ends its turn (K4). True: items are left, raise the softirq again.
    #[must_use = "the softirq must be raised again"]
    pub fn pause<S: Store>(&mut self, s: &mut S, w: Handle<Worker>, now: Instant) -> bool {
        debug_assert!(
            self.kind == Kind::Bh && worker(s, w).current.is_none(),
            "pause in a run"
        );
        let left = !self.worklist.is_empty();
        if worker(s, w).phase == Phase::Working {
            // Barriers of the last item must not wait on an idle worker's own list.
            let more = !worker(s, w).scheduled.is_empty();
            self.requeue(s, w);
            let _never = self.enter_idle(s, w, now);
            return left || more;
        }
        left
    }

    fn sleep<S: Store>(&mut self, s: &mut S, w: Handle<Worker>, now: Instant) -> Step {
        if self.closing {
            return self.dismiss_self(s, w);
        }
        Step::Sleep {
            reap_at: self.enter_idle(s, w, now),
        }
    }
}
