//! The worker's loop: what to do next, and what the end of an execution means.

use links::Handle;
use machine::Instant;

use crate::execution::{Begun, Finished};
use crate::item::{On, item, item_mut, pwq, worker, worker_mut};
use crate::pool::Stand;
use crate::ways::Ways;
use crate::{Eyes, Item, Kind, Outcome, Phase, Pool, Pwq, Store, Worker};

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

/// Whether `it` is an item of `p`.
#[inline(always)]
pub(crate) fn is_of(it: &Item, p: Handle<Pwq>) -> bool {
    it.pwq.map_or(0, Handle::raw) == p.raw()
}

impl Pool {
    /// (4) The next step of worker `w`, called by itself after waking up and after each execution.
    /// `now` is asked only when it goes idle. A worker in a hurry takes the steps of this one by one: [`Pool::come`],
    /// [`Pool::go_on`], [`Pool::rest`] where [`Pool::is_done`], else [`Pool::look_about`].
    #[inline(always)]
    pub fn next<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        now: impl FnOnce() -> Instant,
    ) -> Step {
        self.come(s, w);
        if let Some((eyes, p)) = self.eyes_to_go_on(s, w)
            && let Some(begun) = match eyes {
                Eyes::NONE => self.go_on::<S, { Eyes::NONE }>(s, w, p),
                Eyes::EVENTS => self.go_on::<S, { Eyes::EVENTS }>(s, w, p),
                _ => self.go_on::<S, { Eyes::ALL }>(s, w, p),
            }
        {
            return begun.into();
        }
        if self.is_done(s, w) {
            return self.rest(s, w, now());
        }
        self.look_about(s, w, now)
    }

    /// (4) Worker `w` comes, woken or not. If it is idle, and something is on the list, and another one is idle, it sets out: the usual
    /// case, after which it may go on. Otherwise nothing has changed, and [`Self::look_about`] says what to do.
    #[inline(always)]
    pub fn come<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) {
        let usual = !self.is_managed() && self.has_more() && self.nr_idle > 1;
        if !usual || worker(s, w).phase != Phase::Idle {
            return;
        }
        self.idle.remove(s, w);
        self.nr_idle -= 1;
        self.stand.running = u32::from(self.core);
        let stand = self.stand;
        let node = worker_mut(s, w);
        debug_assert!(node.scheduled.is_empty(), "idle with work");
        (node.phase, node.woken) = (Phase::Working, false);
        (node.epoch, node.goes_on) = (stand.epoch, stand);
    }

    /// `w`, which would go on, finds nothing: [`Self::rest`] says what it does.
    #[inline(always)]
    #[must_use]
    pub fn is_done<S: Store>(&self, s: &S, w: Handle<Worker>) -> bool {
        self.is_settled(s, w) && self.worklist.is_empty() && !self.closing
    }

    /// (4) As [`Self::look_about`], where [`Self::is_done`].
    #[inline(always)]
    pub fn rest<S: Store>(&mut self, s: &mut S, w: Handle<Worker>, now: Instant) -> Step {
        debug_assert!(self.is_done(s, w), "something is left");
        self.stand.running = 0;
        Step::Sleep {
            reap_at: self.enter_idle(s, w, now),
        }
    }

    /// (4) The next item of `w` if it goes on as it did, without the questions that only a change answers anew, and so many
    /// [`Eyes`] see it start; of [`Eyes::EVENTS`] `only` one of this pwq. `None`: [`Self::eyes_to_go_on`].
    #[inline(always)]
    pub fn go_on<S: Store, const EYES: u8>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        only: Handle<Pwq>,
    ) -> Option<Begun> {
        if !self.is_settled(s, w) {
            return None;
        }
        self.take_next::<S, EYES>(s, w, (self.stand.running == 0, only))
    }

    /// Whether `w` may go on, who sees its next item start, and whose that is: [`Self::go_on`] of these finds it. `None`:
    /// [`Self::look_about`].
    #[inline(always)]
    #[must_use]
    pub fn eyes_to_go_on<S: Store>(&self, s: &S, w: Handle<Worker>) -> Option<(u8, Handle<Pwq>)> {
        if !self.is_settled(s, w) {
            return None;
        }
        let it = item(s, self.worklist.front()?);
        if it.runner.is_some() || !it.is_work() {
            return None;
        }
        let p = it.pwq?;
        let eyes = it.eyes();
        let heavy = eyes == Eyes::ALL && pwq(s, p).ways.any(Ways::CPU_INTENSIVE);
        (!heavy).then_some((eyes, p))
    }

    /// The pool stands as it did when `w` last looked about, and nothing concerns `w` itself that it has to look at.
    #[inline(always)]
    #[must_use]
    pub fn is_settled<S: Store>(&self, s: &S, w: Handle<Worker>) -> bool {
        worker(s, w).goes_on.is(self.stand)
    }

    /// Something concerns `w` that it is to look at before its next item.
    pub fn unsettle<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) {
        worker_mut(s, w).goes_on = Stand::NEVER;
    }

    /// As [`Self::go_on`], where [`Self::is_settled`], concurrency management has the workers counted, and `w` is
    /// the one that runs.
    #[inline(always)]
    pub fn go_on_managed<S: Store, const EYES: u8>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        only: Handle<Pwq>,
    ) -> Option<Begun> {
        self.take_next::<S, EYES>(s, w, (false, only))
    }

    /// As [`Self::go_on`], where [`Self::is_settled`] and there is no concurrency management: whoever starts one wakes the next worker.
    #[inline(always)]
    pub fn go_on_lone<S: Store, const EYES: u8>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        only: Handle<Pwq>,
    ) -> Option<Begun> {
        self.take_next::<S, EYES>(s, w, (true, only))
    }

    /// Concurrency management has the workers counted, and one of them runs.
    #[inline(always)]
    #[must_use]
    pub const fn is_managed(&self) -> bool {
        self.stand.running > 0
    }

    /// Something is on the list.
    #[inline(always)]
    #[must_use]
    pub const fn has_more(&self) -> bool {
        !self.worklist.is_empty()
    }

    #[inline(always)]
    fn take_next<S: Store, const EYES: u8>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        (lone, only): (bool, Handle<Pwq>),
    ) -> Option<Begun> {
        let node = worker(s, w);
        debug_assert!(node.goes_on.is(self.stand), "it has to look about");
        debug_assert!(node.phase == Phase::Working, "it goes on without work");
        debug_assert!(node.epoch == self.stand.epoch && node.scheduled.is_empty());
        debug_assert!(lone != self.core, "E6: another runs, or it is not counted");
        let h = self.worklist.front()?;
        let it = item(s, h);
        if it.runner.is_some() || !it.starts_by(EYES) {
            return None;
        }
        let linked = EYES == Eyes::ALL && it.is_linked();
        let p = if EYES != Eyes::EVENTS {
            it.pwq?
        } else if is_of(it, only) {
            only
        } else {
            return None;
        };
        let ways = pwq(s, p).ways;
        debug_assert!(
            EYES == Eyes::ALL || !ways.any(Ways::ASIDE),
            "its item does not know it"
        );
        if EYES == Eyes::ALL && ways.any(Ways::CPU_INTENSIVE) {
            return None;
        }
        if EYES != Eyes::NONE {
            item_mut(s, h).shut_eyes();
        }
        self.starts += 1;
        self.take_front(s, w, (h, p));
        worker_mut(s, w).run = self.starts;
        if linked {
            self.take_linked(s, h, w);
        }
        Some(Begun {
            item: h,
            pwq: Some(p),
            counted: self.core,
            // Where nobody is counted one is needed for all that is left.
            wake: (lone && self.pending() > 0)
                .then(|| self.wake_idle(s))
                .flatten(),
        })
    }

    /// Item `h` of `p`, the front of the list, is executed by `w` from now on, like most are.
    #[inline(always)]
    pub(crate) fn take_front<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        (h, p): (Handle<Item>, Handle<Pwq>),
    ) {
        self.worklist.remove_front(s, h);
        let it = item_mut(s, h);
        it.set_on(On::Nothing);
        it.pwq = None;
        it.runner = Some(w);
        let colour = it.colour;
        let node = worker_mut(s, w);
        debug_assert!(node.current_active && node.apart == 0, "it was not over");
        (node.current, node.current_pwq) = (Some(h), Some(p));
        node.current_colour = colour;
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
            let begun = self.begin(s, w, h);
            self.note_stand(s, w);
            return begun.into();
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
            (node.phase, node.epoch) = (Phase::Working, self.stand.epoch);
            if self.has_core() {
                self.stand.running += 1;
            }
        }
        // E6: one running worker is enough, and it is this one.
        while self.stand.running <= 1 {
            let Some(h) = self.worklist.front() else {
                break;
            };
            match item(s, h).runner {
                None => {
                    let begun = self.start(s, w, h);
                    self.note_stand(s, w);
                    return begun.into();
                }
                Some(other) => self.hand_over(s, h, other),
            }
        }
        if self.counts(worker(s, w)) {
            self.stand.running -= 1;
        }
        self.sleep(s, w, now())
    }

    /// `w` begins an item, with or without something on its own list: how the pool stands then if it goes on after it.
    pub(crate) fn note_stand<S: Store>(&self, s: &mut S, w: Handle<Worker>) {
        let (epoch, running) = (self.stand.epoch, u32::from(self.core));
        let node = worker_mut(s, w);
        let goes_on = node.epoch == epoch && node.scheduled.is_empty() && node.apart == 0;
        node.goes_on = if goes_on {
            Stand { epoch, running }
        } else {
            Stand::NEVER
        };
    }

    /// A worker of a pool that closes leaves instead of going idle.
    fn dismiss_self<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Step {
        self.nr_workers -= 1;
        self.strike_off(s, w);
        let node = worker_mut(s, w);
        node.leave();
        Step::Exit
    }

    /// (6) The current item of `w` panicked and `w` will never run again: its slot is released,
    /// what was scheduled on it goes back to the front of the list, and it leaves the pool. Of a
    /// dedicated pool it becomes the manager: it makes its successor, since nobody else can.
    pub fn abandon<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Finished {
        let over = self.end(s, w, Outcome::Panicked);
        let node = worker_mut(s, w);
        if self.counts(node) && !node.sleeping {
            self.stand.running -= 1;
        }
        node.sleeping = false;
        node.leave();
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
            item_mut(s, h).set_on(On::Worklist);
            self.unclaim(s, h);
            self.worklist.push_front(s, h);
            self.entry_came();
            self.requeues = self.requeues.wrapping_add(1);
        }
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
