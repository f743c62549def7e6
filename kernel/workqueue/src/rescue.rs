//! Rescuers: progress when no worker can be made (H1-H5, E10).
//!
//! A pool whose workers have all blocked needs another one, and the memory for it may only come
//! free once a queued item has run. A queue that must make progress has a *rescuer*, a thread made
//! with the queue. While a manager fails, its pool's mayday timer puts every pwq that has an item on
//! the list and a rescuer on that queue's list of calls ([`Maydays`]), each once; the rescuer
//! answers them in order and executes items of its own queue on the pool that called.
//!
//! The rescuer is nobody's worker: not among the pool's, never counted (H4), so it neither holds
//! other workers back nor needs one in reserve. It takes one item at a time, with the barriers
//! linked to it, and looks again whether the pool still cannot help itself (H2). A *cursor*, a node
//! on the pool's list, keeps its place meanwhile, so that a long list is walked once. When it
//! leaves it wakes a worker if there is work: nobody else would (H3).
//!
//! Calls are under the queue's mayday lock, taken inside the pool's; the rest is under the pool's.

use links::{Arena, Handle, Linked, List, ListLinks};
use machine::Instant;

use crate::execution::Begun;
use crate::item::{On, item, item_mut, pwq_mut, worker, worker_mut};
use crate::{Finished, Item, Outcome, Phase, Pool, Pwq, Store, Worker};

/// Items a rescuer executes for one pwq before the others that call get their turn (A3).
pub const RESCUER_BATCH: u32 = 16;

/// A pwq's place in its queue's list of calls for help.
#[derive(Debug)]
pub struct Call {
    links: ListLinks<Self>,
    listed: bool,
}

impl Call {
    /// Nobody calls.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: ListLinks::new(),
            listed: false,
        }
    }

    /// Whether the pwq calls and nobody has answered yet.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.listed
    }
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

impl Linked for Call {
    fn list_links(&self) -> &ListLinks<Self> {
        &self.links
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self> {
        &mut self.links
    }
}

/// The pwqs of one queue that call for its rescuer, in order.
#[derive(Debug, Default)]
pub struct Maydays {
    list: List<Call>,
}

impl Maydays {
    /// Nobody calls.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: List::new() }
    }

    /// A pwq calls; false if it does already. The rescuer must be woken.
    #[must_use = "the rescuer must be woken"]
    pub fn call<A: Arena<Call>>(&mut self, calls: &mut A, h: Handle<Call>) -> bool {
        if core::mem::replace(&mut calls.get_mut(h).listed, true) {
            return false;
        }
        self.list.push_back(calls, h);
        true
    }

    /// The rescuer answers the call that has waited longest.
    pub fn answer<A: Arena<Call>>(&mut self, calls: &mut A) -> Option<Handle<Call>> {
        let h = self.list.pop_front(calls)?;
        calls.get_mut(h).listed = false;
        Some(h)
    }

    /// Nobody waits for an answer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// A rescuer at work for one pwq.
#[derive(Clone, Copy, Debug)]
pub struct Rescue {
    worker: Handle<Worker>,
    cursor: Handle<Item>,
    pwq: Handle<Pwq>,
    taken: u32,
    /// [`Pool::requeues`] when the cursor got its place.
    requeues: u32,
}

impl Rescue {
    /// Worker `w`, with its `cursor`, comes to help `p`.
    #[must_use]
    pub const fn new(w: Handle<Worker>, cursor: Handle<Item>, p: Handle<Pwq>) -> Self {
        Self {
            worker: w,
            cursor,
            pwq: p,
            taken: 0,
            requeues: 0,
        }
    }

    /// Whom it helps.
    #[must_use]
    pub const fn pwq(&self) -> Handle<Pwq> {
        self.pwq
    }
}

impl From<Begun> for RescueStep {
    fn from(begun: Begun) -> Self {
        Self::Run(begun)
    }
}

/// What a rescuer does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum RescueStep {
    /// As [`crate::Step::Run`].
    Run(Begun),
    /// Others have waited for sixteen items: the pwq has been put at the end of the list of calls,
    /// and the rescuer answers the next one. Wake this worker first.
    Yield(Option<Handle<Worker>>),
    /// The pool can help itself, or has none of the queue's items: the rescuer goes (H3).
    Leave {
        /// Wake this worker first.
        wake: Option<Handle<Worker>>,
        /// This pwq has left the pool, or can move.
        gone: Option<Handle<Pwq>>,
    },
}

impl Pool {
    /// The mayday timer fired. `call` is told of each pwq with an item on the list and a rescuer,
    /// and says whether it is a new call. When to set the timer again; `None` if nobody is creating
    /// a worker any more (H1, E10).
    #[must_use = "the timer must be armed"]
    pub fn mayday<S: Store>(
        &mut self,
        s: &mut S,
        now: Instant,
        mut call: impl FnMut(Handle<Pwq>) -> bool,
    ) -> Option<Instant> {
        if !self.manager {
            return None;
        }
        // It may have been on its way for an earlier manager.
        if now < self.mayday_at {
            return Some(self.mayday_at);
        }
        if self.need_more_worker() && self.nr_idle == 0 {
            let mut next = self.worklist.front();
            while let Some(h) = next {
                next = self.worklist.next(s, h);
                let Some(p) = item(s, h).pwq else { continue };
                let share = pwq_mut(s, p);
                // Once each time: the rescuer may have answered before the next of its items.
                let first = core::mem::replace(&mut share.called_at, self.mayday_at);
                if share.rescuer && first != self.mayday_at && call(p) {
                    let share = pwq_mut(s, p);
                    share.stats.mayday += 1;
                    share.pins += 1;
                }
            }
        }
        // On time also when this call came late.
        let interval = self.tuning.mayday_interval;
        self.mayday_at += interval;
        if self.mayday_at <= now {
            self.mayday_at = now + interval;
        }
        Some(self.mayday_at)
    }

    /// The next step of rescue `r`, called by the rescuer when it comes and after each execution.
    /// `others`: more pwqs call. `call` as in [`Self::mayday`], should it give way to them.
    pub fn rescue<S: Store>(
        &mut self,
        s: &mut S,
        r: &mut Rescue,
        others: bool,
        call: impl FnOnce(Handle<Pwq>) -> bool,
    ) -> RescueStep {
        if core::mem::replace(&mut worker_mut(s, r.worker).phase, Phase::Rescuing) == Phase::New {
            self.enrol(s, r.worker);
        }
        if let Some(h) = worker(s, r.worker).scheduled.front() {
            let mut list = core::mem::take(&mut worker_mut(s, r.worker).scheduled);
            list.remove(s, h);
            worker_mut(s, r.worker).scheduled = list;
            return self.begin(s, r.worker, h).into();
        }
        let starved = self.need_more_worker() && self.nr_idle == 0;
        if starved && others && r.taken >= RESCUER_BATCH {
            self.lift(s, r.cursor);
            self.goes(s, r.worker);
            if !call(r.pwq) {
                // The timer has called for it already, and pinned it.
                pwq_mut(s, r.pwq).pins -= 1;
            }
            return RescueStep::Yield(self.kick(s));
        }
        // A manager at work says that memory is short: as long as nobody else calls, this goes on.
        if starved || (self.manager && !others) {
            if let Some(h) = self.next_of(s, r) {
                r.taken += 1;
                pwq_mut(s, r.pwq).stats.rescued += 1;
                return self.start(s, r.worker, h).into();
            }
        } else {
            self.lift(s, r.cursor);
        }
        let gone = self.unpin(s, r);
        RescueStep::Leave {
            wake: self.kick(s),
            gone,
        }
    }

    /// The pwq in which `h` is queued, or else executed.
    #[must_use]
    pub fn pwq_of<S: Store>(&self, s: &S, h: Handle<Item>) -> Option<Handle<Pwq>> {
        let it = item(s, h);
        it.pwq.or_else(|| worker(s, it.runner?).current_pwq)
    }

    /// The rescuer's item panicked and its thread will never run again: as [`Pool::abandon`], and the
    /// pwq that it came to help, if that has left the pool by this, or can move. The item may have been
    /// another pwq's, which waited for its run here to end (C5).
    pub fn abandon_rescue<S: Store>(
        &mut self,
        s: &mut S,
        r: &Rescue,
    ) -> (Finished, Option<Handle<Pwq>>) {
        let mut over = self.end(s, r.worker, Outcome::Panicked);
        self.lift(s, r.cursor);
        self.requeue(s, r.worker);
        let gone = self.unpin(s, r);
        over.wake = self.kick(s);
        (over, gone)
    }

    /// The rescue is over: the pwq may leave the pool, if it waited for that.
    fn unpin<S: Store>(&mut self, s: &mut S, r: &Rescue) -> Option<Handle<Pwq>> {
        self.goes(s, r.worker);
        pwq_mut(s, r.pwq).pins -= 1;
        Self::left(s, r.pwq)
    }

    /// The call of `p`, none of whose items is left, stays without an answer for ever: as the end of
    /// a rescue. This pwq has left the pool, or can move.
    #[must_use = "a pwq that is gone holds its pool no longer"]
    pub fn unanswered<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>) -> Option<Handle<Pwq>> {
        pwq_mut(s, p).pins -= 1;
        Self::left(s, p)
    }

    fn goes<S: Store>(&mut self, s: &mut S, rescuer: Handle<Worker>) {
        self.strike_off(s, rescuer);
        worker_mut(s, rescuer).phase = Phase::New;
    }

    /// Takes a rescuer's cursor off the list, if it is there.
    pub(crate) fn lift<S: Store>(&mut self, s: &mut S, cursor: Handle<Item>) {
        if item(s, cursor).on() == On::Worklist {
            self.worklist.remove(s, cursor);
            item_mut(s, cursor).set_on(On::Nothing);
        }
    }

    /// The first item or barrier of `r`'s queue from its cursor on; the cursor goes behind what is
    /// linked to it. One that another worker executes is handed over on the way (C6).
    fn next_of<S: Store>(&mut self, s: &mut S, r: &mut Rescue) -> Option<Handle<Item>> {
        let nothing_before = r.requeues == self.requeues;
        let keeps = item(s, r.cursor).on() == On::Worklist && nothing_before;
        let behind = keeps.then(|| self.worklist.next(s, r.cursor));
        self.lift(s, r.cursor);
        // Workers have consumed everything before it, and the cursor; or something went back.
        let mut next = behind.unwrap_or_else(|| self.worklist.front());
        while let Some(h) = next {
            let mut last = h;
            while item(s, last).is_linked()
                && let Some(b) = self.worklist.next(s, last)
            {
                last = b;
            }
            next = self.worklist.next(s, last);
            if item(s, h).is_cursor() || item(s, h).pwq != Some(r.pwq) {
                continue;
            }
            if let Some(other) = item(s, h).runner {
                self.hand_over(s, h, other);
                continue;
            }
            self.worklist.insert_after(s, last, r.cursor);
            r.requeues = self.requeues;
            let node = item_mut(s, r.cursor);
            node.set_on(On::Worklist);
            // Who comes to it sees at once that this is nothing to start.
            node.runner = Some(r.worker);
            return Some(h);
        }
        None
    }
}
