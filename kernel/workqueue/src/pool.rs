//! The pool: one list of active items, its workers, and the count of running ones.
//!
//! A bound pool serves one core and one priority; it keeps `nr_running`, the number of workers that
//! are executing and on the core or runnable, at one as long as there is work (E1, E5, E6). An
//! unbound pool starts every active item as soon as a worker can be woken (F1). A BH pool has one
//! pseudo worker, the softirq of its core (K2). A dedicated pool has one worker and never another.
//!
//! Who is told to wake a worker does so: until that worker has come it is not named again
//! ([`Pool::kick`]), whatever happens meanwhile.
//!
//! Invariants (docs/rules.md 7): a bound pool's list is non-empty only while a worker runs, or a
//! woken worker or a manager is on its way (5); `nr_running` equals the counted workers whenever
//! the lock is released (6); a worker starts an item only if another is idle or a manager is at
//! work (7), pools of one worker apart.

use links::{Handle, List};
use machine::Instant;

use crate::item::{On, item, item_mut, pwq_mut, worker, worker_mut};
use crate::watch::Mark;
use crate::worker::All;
use crate::{Item, Kind, Phase, Pwq, Store, Tuning, Worker};

/// What queueing an item decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the worker must be woken"]
pub struct Queued {
    /// Wake this worker (BH: raise the softirq).
    pub wake: Option<Handle<Worker>>,
    /// The item got a max_active slot.
    pub active: bool,
}

/// An execution used its budget and has left concurrency management.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the worker must be woken"]
pub struct OverBudget {
    /// What is executed.
    pub item: Handle<Item>,
    /// Wake this worker.
    pub wake: Option<Handle<Worker>>,
}

/// A worker pool.
#[derive(Debug)]
pub struct Pool {
    pub(crate) kind: Kind,
    pub(crate) tuning: Tuning,
    pub(crate) worklist: List<Item>,
    pub(crate) nr_running: u32,
    pub(crate) idle: List<Worker>,
    pub(crate) nr_idle: u32,
    pub(crate) nr_workers: u32,
    /// All of them, and rescuers at work.
    pub(crate) workers: List<Worker, All>,
    /// Executions so far.
    pub(crate) starts: u64,
    pub(crate) mark: Mark,
    /// A worker is creating another one (E9).
    pub(crate) manager: bool,
    /// When the manager's pool calls for rescuers next.
    pub(crate) mayday_at: Instant,
    pub(crate) reaper_armed: bool,
    pub(crate) pending: u32,
    /// How often items went back to the front of the list: before whatever has its place there.
    pub(crate) requeues: u32,
    /// No pwq uses it any more: its workers end.
    pub(crate) closing: bool,
    /// Grows when a bound pool loses or gets its core; see [`Pool::disassociate`].
    pub(crate) epoch: u32,
    /// It is a bound pool, and has its core.
    pub(crate) core: bool,
}

impl Pool {
    /// A pool without workers.
    #[must_use]
    pub const fn new(kind: Kind, tuning: Tuning) -> Self {
        Self {
            kind,
            tuning,
            worklist: List::new(),
            nr_running: 0,
            idle: List::new(),
            nr_idle: 0,
            nr_workers: 0,
            workers: List::new(),
            starts: 0,
            mark: Mark::new(),
            manager: false,
            mayday_at: Instant::ZERO,
            requeues: 0,
            reaper_armed: false,
            pending: 0,
            closing: false,
            epoch: 0,
            core: matches!(kind, Kind::Bound),
        }
    }

    /// What it serves.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
    /// Its numbers.
    #[must_use]
    pub const fn tuning(&self) -> Tuning {
        self.tuning
    }
    /// Changes its numbers. When to reap with them, if there are too many workers: arm the reaper
    /// for that, also when it is armed for another time.
    #[must_use = "the reaper must be armed"]
    pub fn set_tuning<S: Store>(&mut self, s: &S, tuning: Tuning) -> Option<Instant> {
        self.tuning = tuning;
        self.reaper_armed = false;
        self.arm_reaper(s)
    }
    /// Items and barriers on the list.
    #[must_use]
    pub const fn pending(&self) -> u32 {
        self.pending
    }
    /// Workers, idle or not.
    #[must_use]
    pub const fn nr_workers(&self) -> u32 {
        self.nr_workers
    }
    /// Idle workers.
    #[must_use]
    pub const fn nr_idle(&self) -> u32 {
        self.nr_idle
    }
    /// Workers that concurrency management counts as running.
    #[must_use]
    pub const fn nr_running(&self) -> u32 {
        self.nr_running
    }
    /// Items that were started.
    #[must_use]
    pub const fn starts(&self) -> u64 {
        self.starts
    }
    /// A worker is creating another one.
    #[must_use]
    pub const fn has_manager(&self) -> bool {
        self.manager
    }

    /// (1), (2) Queues an item that nobody else owns on `p`'s share of this pool. It goes behind
    /// all earlier items of that share, also when those wait for a slot (C9).
    #[inline(always)]
    pub fn queue<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>, h: Handle<Item>) -> Queued {
        let share = pwq_mut(s, p);
        let colour = share.work_colour;
        share.enter(colour);
        let active = Self::take_slot(s, p);
        let it = item_mut(s, h);
        debug_assert!(it.on == On::Nothing, "queueing an item that is queued");
        it.pwq = Some(p);
        it.colour = colour;
        if active {
            it.on = On::Worklist;
            self.push(s, h);
            Queued {
                wake: self.kick(s),
                active,
            }
        } else {
            it.on = On::Inactive;
            let runs = it.runner.is_some();
            let share = pwq_mut(s, p);
            share.nr_inactive += 1;
            if runs {
                share.nr_beside += 1;
            }
            List::push_back_of(s, |s| &mut pwq_mut(s, p).inactive, h);
            Queued { wake: None, active }
        }
    }

    /// Puts barrier `b` behind the last queued submission of `target`, or, when that is executing,
    /// in front of everything else its worker will do (I5, I6). False: nothing to wait for.
    #[must_use = "false means that the barrier will not be executed"]
    pub fn insert_barrier<S: Store>(
        &mut self,
        s: &mut S,
        target: Handle<Item>,
        b: Handle<Item>,
    ) -> bool {
        let it = item(s, target);
        let (on, runner) = (it.on, it.runner);
        let (p, colour, linked) = match (on, runner) {
            (On::Nothing, None) => return false,
            (On::Nothing, Some(w)) => {
                let w = worker(s, w);
                (w.current_pwq, w.current_colour, false)
            }
            _ => (it.pwq, it.colour, it.is_linked()),
        };
        let Some(p) = p else { return false };
        pwq_mut(s, p).enter(colour);
        let place = match (on, runner) {
            (On::Nothing, Some(w)) => On::Scheduled(w),
            _ => on,
        };
        let node = item_mut(s, b);
        node.pwq = Some(p);
        node.colour = colour;
        node.set_linked(linked);
        node.on = place;
        if on != On::Nothing {
            item_mut(s, target).set_linked(true);
        }
        match place {
            On::Nothing => {}
            On::Worklist => {
                self.worklist.insert_after(s, target, b);
                self.pending += 1;
            }
            On::Inactive => {
                let mut list = core::mem::take(&mut pwq_mut(s, p).inactive);
                list.insert_after(s, target, b);
                let share = pwq_mut(s, p);
                share.inactive = list;
                share.nr_waiting_barriers += 1;
            }
            On::Scheduled(w) => {
                let mut list = core::mem::take(&mut worker_mut(s, w).scheduled);
                if on == On::Nothing {
                    list.push_front(s, b);
                } else {
                    list.insert_after(s, target, b);
                }
                worker_mut(s, w).scheduled = list;
            }
        }
        true
    }

    /// Hook: `w` is about to give its core up because it waits (E2). The worker to wake.
    #[must_use = "the worker must be woken"]
    pub fn block<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Option<Handle<Worker>> {
        // It has its core, whatever the pool was told.
        self.back(s, w);
        let node = worker_mut(s, w);
        if !self.counts(node) || node.sleeping {
            return None;
        }
        node.sleeping = true;
        let p = node.current_pwq;
        self.nr_running -= 1;
        if let Some(p) = p.filter(|_| self.need_more_worker() && !self.idle.is_empty()) {
            pwq_mut(s, p).stats.cm_wakeup += 1;
        }
        self.kick(s)
    }

    /// Hook: `w` got its core back (E3).
    pub fn resume<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) {
        let node = worker_mut(s, w);
        if core::mem::take(&mut node.sleeping) && self.counts(node) {
            self.nr_running += 1;
        }
    }

    /// Hook: `w` used its budget within one execution (E14): it leaves concurrency management until
    /// the item ends. `None` when it executes nothing that is counted; the hook then came too late.
    pub fn budget<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Option<OverBudget> {
        self.back(s, w);
        let node = worker_mut(s, w);
        if !self.counts(node) || node.sleeping {
            return None;
        }
        let (item, p) = (node.current?, node.current_pwq?);
        node.apart |= Worker::CPU_INTENSIVE;
        self.nr_running -= 1;
        pwq_mut(s, p).stats.cpu_intensive += 1;
        Some(OverBudget {
            item,
            wake: self.kick(s),
        })
    }

    /// There is work and nobody counted works on it (E5).
    #[inline(always)]
    pub(crate) const fn need_more_worker(&self) -> bool {
        self.pending > 0 && self.nr_running == 0
    }

    /// The idle worker to wake, if one is needed: the one that went idle last (E7). None if that one
    /// was woken already and has not come yet.
    #[inline(always)]
    pub(crate) fn kick<S: Store>(&self, s: &mut S) -> Option<Handle<Worker>> {
        if !self.need_more_worker() {
            return None;
        }
        let w = self.idle.front()?;
        let node = worker_mut(s, w);
        (!core::mem::replace(&mut node.woken, true)).then_some(w)
    }

    #[inline(always)]
    pub(crate) fn push<S: Store>(&mut self, s: &mut S, h: Handle<Item>) {
        self.worklist.push_back(s, h);
        self.pending += 1;
    }

    /// `w` goes on the idle list; when to reap, if that is to be armed now.
    pub(crate) fn enter_idle<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        now: Instant,
    ) -> Option<Instant> {
        let node = worker_mut(s, w);
        debug_assert!(
            node.scheduled.is_empty() && node.current.is_none(),
            "idle with work"
        );
        node.phase = Phase::Idle;
        node.woken = false;
        node.epoch = Worker::NO_EPOCH;
        node.idle_since = now;
        self.idle.push_front(s, w);
        self.nr_idle += 1;
        debug_assert!(
            self.nr_idle < self.nr_workers || self.nr_running == 0,
            "workers count as running while all are idle"
        );
        self.arm_reaper(s)
    }
}
