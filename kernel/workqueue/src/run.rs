//! The worker's loop: what to do next, and what the end of an execution means.

use links::Handle;
use machine::Instant;

use crate::item::{On, item, item_mut, pwq_mut, worker, worker_mut};
use crate::{Item, Kind, Outcome, Phase, Pool, Pwq, Store, Worker};

/// What a worker does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Step {
    /// Execute `item` (end its pending state before the lock is released), after waking `wake`.
    Run {
        /// The item or barrier.
        item: Handle<Item>,
        /// A worker to wake first (F1, E13).
        wake: Option<Handle<Worker>>,
    },
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

/// What the end of an execution decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the worker must be woken, the flush told"]
pub struct Finished {
    /// Wake this worker.
    pub wake: Option<Handle<Worker>>,
    /// This pwq finished the colour that a flush waits for.
    pub flushed: Option<Handle<Pwq>>,
    /// The slot is kept for this pwq: see [`Pool::accept`].
    pub hand: Option<Handle<Pwq>>,
    /// This pwq has left the pool, or can move.
    pub gone: Option<Handle<Pwq>>,
    /// As `gone`: the item waits in it, and it waited for the item's run to end.
    pub freed: Option<Handle<Pwq>>,
}

/// An execution that begins.
pub(crate) struct Begun {
    pub(crate) item: Handle<Item>,
    pub(crate) wake: Option<Handle<Worker>>,
}

impl From<Begun> for Step {
    #[inline(always)]
    fn from(Begun { item, wake }: Begun) -> Self {
        Self::Run { item, wake }
    }
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
        let node = worker(s, w);
        let goes_on = node.phase == Phase::Working && node.epoch == self.epoch;
        if goes_on && node.scheduled.is_empty() && self.nr_running <= 1 {
            // From one item to the next, without the questions that only a change answers anew.
            if let Some(h) = self.worklist.front()
                && item(s, h).runner.is_none()
            {
                return self.start(s, w, h).into();
            }
        }
        self.next_after_change(s, w, now)
    }

    /// [`Pool::next`] of a worker that was idle, whose list is not empty, or that finds nothing.
    fn next_after_change<S: Store>(
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
                worker_mut(s, w).phase = Phase::Prep;
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

    /// (6) The current item of `w` is over; `w` calls [`Pool::next`] afterwards, without releasing
    /// the lock in between or later.
    #[inline]
    pub fn finish<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Finished {
        self.end(s, w, Outcome::Returned)
    }

    /// A worker of a pool that closes leaves instead of going idle.
    fn dismiss_self<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Step {
        self.nr_workers -= 1;
        self.strike_off(s, w);
        worker_mut(s, w).phase = Phase::Dying;
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
        node.phase = Phase::Dying;
        self.nr_workers -= 1;
        self.strike_off(s, w);
        self.requeue(s, w);
        self.manager |= self.kind == Kind::Dedicated;
        Finished {
            wake: self.kick(),
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

    /// Takes the front item of the worklist and what is linked to it.
    #[inline(always)]
    pub(crate) fn start<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        h: Handle<Item>,
    ) -> Begun {
        if item(s, h).linked {
            self.take_chain(s, h, w);
        }
        self.worklist.remove(s, h);
        self.pending -= 1;
        self.begin(s, w, h)
    }

    /// The barriers linked behind the front item `h` move to `w`'s own list, behind what is there.
    fn take_chain<S: Store>(&mut self, s: &mut S, h: Handle<Item>, w: Handle<Worker>) {
        let mut list = core::mem::take(&mut worker_mut(s, w).scheduled);
        let mut more = item(s, h).linked;
        while more {
            let Some(b) = self.worklist.next(s, h) else {
                break;
            };
            more = item(s, b).linked;
            self.worklist.remove(s, b);
            self.pending -= 1;
            item_mut(s, b).on = On::Scheduled(w);
            self.claim(s, b, w);
            list.push_back(s, b);
        }
        worker_mut(s, w).scheduled = list;
    }

    /// (5) The front item of the worklist is being executed by `other`, which will execute it
    /// again (C6). A rescuer's cursor only looks so, and has served.
    pub(crate) fn hand_over<S: Store>(
        &mut self,
        s: &mut S,
        h: Handle<Item>,
        other: Handle<Worker>,
    ) {
        if item(s, h).cursor {
            self.lift(s, h);
            return;
        }
        let linked = item(s, h).linked;
        let behind = if linked {
            self.worklist.next(s, h)
        } else {
            None
        };
        self.worklist.remove(s, h);
        self.pending -= 1;
        item_mut(s, h).on = On::Scheduled(other);
        self.claim(s, h, other);
        let mut list = core::mem::take(&mut worker_mut(s, other).scheduled);
        list.push_back(s, h);
        let mut next = behind;
        while let Some(b) = next {
            next = if item(s, b).linked {
                self.worklist.next(s, b)
            } else {
                None
            };
            self.worklist.remove(s, b);
            self.pending -= 1;
            item_mut(s, b).on = On::Scheduled(other);
            self.claim(s, b, other);
            list.push_back(s, b);
        }
        worker_mut(s, other).scheduled = list;
    }

    /// `h` is on no list any more; `w` executes it from now on.
    #[inline(always)]
    pub(crate) fn begin<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        h: Handle<Item>,
    ) -> Begun {
        let it = item_mut(s, h);
        it.on = On::Nothing;
        it.linked = false;
        let (p, colour, barrier) = (it.pwq.take(), it.colour, it.barrier);
        if !barrier {
            it.runner = Some(w);
        }
        let mut heavy = false;
        if let (Some(p), false) = (p, barrier) {
            let share = pwq_mut(s, p);
            share.stats.started += 1;
            heavy = share.cpu_intensive && self.kind == Kind::Bound;
        }
        self.starts += 1;
        let node = worker_mut(s, w);
        node.run = self.starts;
        if heavy && self.counts(node) {
            self.nr_running -= 1;
        }
        node.current = Some(h);
        node.current_pwq = p;
        node.current_colour = colour;
        node.current_active = !barrier;
        node.cpu_intensive = heavy;
        Begun {
            item: h,
            wake: self.kick(),
        }
    }

    /// Ends `w`'s execution. A worker that goes on with the next item wakes nobody.
    #[inline(always)]
    pub(crate) fn end<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        outcome: Outcome,
    ) -> Finished {
        let mut over = Finished {
            wake: None,
            flushed: None,
            hand: None,
            gone: None,
            freed: None,
        };
        let node = worker_mut(s, w);
        let (Some(h), Some(p)) = (node.current.take(), node.current_pwq.take()) else {
            return over;
        };
        let (colour, active) = (node.current_colour, node.current_active);
        let apart = core::mem::take(&mut node.cpu_intensive) | core::mem::take(&mut node.preempted);
        if apart && self.counts(node) {
            self.nr_running += 1;
        }
        let share = pwq_mut(s, p);
        over.flushed = share.leave(colour).then_some(p);
        if active {
            share.stats.completed += 1;
            share.stats.panicked += u64::from(outcome == Outcome::Panicked);
            // A barrier's node is gone by now; an item's is kept alive by whoever runs it.
            let it = item_mut(s, h);
            it.runner = None;
            if it.on == On::Inactive {
                over.freed = Self::runs_no_more(s, h, p);
            }
            over.hand = self.give_back(s, p);
        }
        over.gone = Self::left(s, p);
        over
    }
}
