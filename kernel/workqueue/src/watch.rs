//! Watching: what has not moved on for too long (N7, N8), and views of a pool for people (N6).
//!
//! A stall is found without a clock on the hot path: each execution has a number, and who looks now
//! and then remembers what he saw and since when. So "nothing for thirty seconds" is found between
//! thirty seconds and one look later.

use links::Handle;
use machine::{Duration, Instant};

use crate::item::{item, pwq, pwq_mut, worker, worker_mut};
use crate::{Item, Phase, Pool, Pwq, PwqStats, Store, Worker};

/// What was seen of something that should move on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// The step it was at; `None`: it has nothing to do.
    step: Option<u64>,
    since: Instant,
    told: bool,
}

impl Mark {
    pub(crate) const fn new() -> Self {
        Self {
            step: None,
            since: Instant::ZERO,
            told: false,
        }
    }

    /// Sees it at `step`, with something to do, or idle. For how long it has been there, if that is
    /// `limit` or longer; told once.
    fn look(&mut self, step: Option<u64>, now: Instant, limit: Duration) -> Option<Duration> {
        if step.is_none() || step != self.step {
            *self = Self {
                step,
                since: now,
                told: false,
            };
            return None;
        }
        let lasted = now.since(self.since);
        if self.told || lasted < limit {
            return None;
        }
        self.told = true;
        Some(lasted)
    }

    fn lasted(&self, step: u64, now: Instant) -> Duration {
        if self.step == Some(step) {
            now.since(self.since)
        } else {
            Duration::ZERO
        }
    }
}

/// How a worker's thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// It sleeps for no set time and has not run since the last look, or it has computed since then.
    Stuck,
    /// Anything else.
    Moving,
}

/// Something that has not moved on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stall {
    /// Work waits in the pool, and no item was started (N7).
    Pool(Duration),
    /// A worker is stuck in its item, whether anything waits behind it or not (N8 b).
    Item(Handle<Worker>, Duration),
}

impl Pool {
    /// Looks at the pool and its workers; what has not moved on for `limit`, through `tell`, once.
    /// `activity` says how a worker that executes an item does.
    pub fn watch<S: Store>(
        &mut self,
        s: &mut S,
        now: Instant,
        limit: Duration,
        activity: impl Fn(Handle<Worker>) -> Activity,
        mut tell: impl FnMut(&S, Stall),
    ) {
        let step = (self.pending() > 0).then_some(self.starts);
        if let Some(lasted) = self.mark.look(step, now, limit) {
            tell(s, Stall::Pool(lasted));
        }
        let mut next = self.workers.front();
        while let Some(w) = next {
            next = self.workers.next(s, w);
            let node = worker(s, w);
            let stuck = node.current.is_some() && activity(w) == Activity::Stuck;
            let step = stuck.then_some(node.run);
            if let Some(lasted) = worker_mut(s, w).mark.look(step, now, limit) {
                tell(s, Stall::Item(w, lasted));
            }
        }
    }

    /// Looks at a pwq. For how long its items have waited for a slot while none of its items began or
    /// ended, if that is `limit` or longer; once (N8 a).
    pub fn watch_slots<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        now: Instant,
        limit: Duration,
    ) -> Option<Duration> {
        let stats = self.stats(s, p);
        let share = pwq_mut(s, p);
        let step = (share.inactive() > 0).then_some(stats.started + stats.completed);
        share.mark.look(step, now, limit)
    }

    /// The counters of `p`. In O(workers).
    #[must_use]
    pub fn stats<S: Store>(&self, s: &S, p: Handle<Pwq>) -> PwqStats {
        let share = pwq(s, p);
        let mut stats = share.stats;
        stats.cancelled = share.cancelled;
        stats.completed = share.passed - share.cancelled;
        let runs = |&w: &_| {
            let node: &Worker = worker(s, w);
            node.current_pwq == Some(p) && node.current_active
        };
        stats.started = stats.completed + self.workers.iter(s).filter(runs).count() as u64;
        stats
    }

    /// Somebody knows of a long pause and vouches for it: all times begin anew.
    pub fn touch<S: Store>(&mut self, s: &mut S) {
        self.mark = Mark::new();
        let mut next = self.workers.front();
        while let Some(w) = next {
            next = self.workers.next(s, w);
            worker_mut(s, w).mark = Mark::new();
        }
    }

    /// For how long no item has been started although some wait, as far as looks can tell.
    #[must_use]
    pub fn hung(&self, now: Instant) -> Duration {
        if self.pending() == 0 {
            return Duration::ZERO;
        }
        self.mark.lasted(self.starts, now)
    }

    /// For how long `w` has executed its item, as far as looks can tell.
    #[must_use]
    pub fn executing<S: Store>(&self, s: &S, w: Handle<Worker>, now: Instant) -> Duration {
        let node = worker(s, w);
        node.mark.lasted(node.run, now)
    }

    /// The worker that creates another one.
    #[must_use]
    pub fn manager<S: Store>(&self, s: &S) -> Option<Handle<Worker>> {
        let mut prep = self.workers.iter(s);
        prep.find(|&w| self.manager && worker(s, w).phase == Phase::Prep)
    }

    /// All workers, and rescuers at work, through `f`, in the order in which they came.
    pub fn each_worker<S: Store>(&self, s: &S, f: impl FnMut(Handle<Worker>)) {
        self.workers.iter(s).for_each(f);
    }

    /// As [`Self::each_worker`], one by one, for who does not want all of them.
    pub fn seats<S: Store>(&self, s: &S) -> impl Iterator<Item = Handle<Worker>> {
        self.workers.iter(s)
    }

    /// Items and barriers on the list, in order.
    pub fn line<S: Store>(&self, s: &S) -> impl Iterator<Item = Handle<Item>> {
        self.worklist.iter(s)
    }

    /// The idle workers through `f`, the one that went idle last first.
    pub fn each_idle<S: Store>(&self, s: &S, f: impl FnMut(Handle<Worker>)) {
        self.idle.iter(s).for_each(f);
    }

    /// Items and barriers of `p` on the list through `f`, in order.
    pub fn each_pending<S: Store>(&self, s: &S, p: Handle<Pwq>, f: impl FnMut(Handle<Item>)) {
        let list = self.worklist.iter(s);
        list.filter(|&h| item(s, h).pwq == Some(p)).for_each(f);
    }

    /// Items and barriers of `p` that wait for a slot through `f`, in order.
    pub fn each_inactive<S: Store>(&self, s: &S, p: Handle<Pwq>, f: impl FnMut(Handle<Item>)) {
        let share: &Pwq = s.get(p);
        share.inactive.iter(s).for_each(f);
    }

    /// What `w` will execute next, come what may, through `f`, in order.
    pub fn each_scheduled<S: Store>(&self, s: &S, w: Handle<Worker>, f: impl FnMut(Handle<Item>)) {
        worker(s, w).scheduled.iter(s).for_each(f);
    }

    /// `w` belongs to the pool from now on, or helps it.
    pub(crate) fn enrol<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) {
        self.workers.push_back(s, w);
    }

    /// `w` leaves.
    pub(crate) fn strike_off<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) {
        self.workers.remove(s, w);
    }
}
