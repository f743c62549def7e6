//! The pool: one list of active items, its workers, and the count of running ones.
//!
//! A bound pool serves one core and one priority; it keeps `nr_running`, the number of workers that
//! are executing and on the core or runnable, at one as long as there is work (E1, E5, E6). An
//! unbound pool starts every active item as soon as a worker can be woken (F1). A BH pool has one
//! pseudo worker, the softirq of its core (K2). A dedicated pool has one worker and never another.
//!
//! Who is told to wake a worker does so: until that worker has come it is not named again ([`Pool::kick`]).
//!
//! Invariants (docs/rules.md 7): a bound pool's list is non-empty only while a worker runs, or a
//! woken worker or a manager is on its way (5); `nr_running` equals the counted workers whenever
//! the lock is released (6); a worker starts an item only if another is idle or a manager is at
//! work (7), pools of one worker apart.

use links::{Handle, List};
use machine::Instant;

use crate::item::{On, item_mut, pwq, pwq_mut, worker_mut};
use crate::watch::Mark;
use crate::ways::Ways;
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

/// How a pool stands, as far as that tells a worker whether it goes on.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Stand {
    /// Grows when a bound pool loses or gets its core; see [`Pool::disassociate`].
    pub(crate) epoch: u32,
    /// Workers that concurrency management counts as running.
    pub(crate) running: u32,
}

impl Stand {
    /// No pool stands so.
    pub(crate) const NEVER: Self = Self {
        epoch: Worker::NO_EPOCH,
        running: 0,
    };

    /// Compared as one word.
    #[inline(always)]
    pub(crate) const fn is(self, other: Self) -> bool {
        self.word() == other.word()
    }

    #[inline(always)]
    const fn word(self) -> u64 {
        self.epoch as u64 | (self.running as u64) << 32
    }
}

/// A worker pool.
#[derive(Debug)]
pub struct Pool {
    pub(crate) kind: Kind,
    pub(crate) tuning: Tuning,
    pub(crate) worklist: List<Item>,
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
    /// Entries that came on the list, less those that left it otherwise than by a start, wrapping: less `starts`, what is there.
    pub(crate) listed: u32,
    /// How often items went back to the front of the list: before whatever has its place there.
    pub(crate) requeues: u32,
    /// No pwq uses it any more: its workers end.
    pub(crate) closing: bool,
    pub(crate) stand: Stand,
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
            listed: 0,
            closing: false,
            stand: Stand {
                epoch: 0,
                running: 0,
            },
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
    /// Changes its numbers. When to reap with them, if there are too many workers: arm the reaper for that, even if it is armed.
    #[must_use = "the reaper must be armed"]
    pub fn set_tuning<S: Store>(&mut self, s: &mut S, tuning: Tuning) -> Option<Instant> {
        // Who goes from item to item looks about, and its next item has the new budget.
        let mut next = self.workers.front();
        while let Some(w) = next {
            next = self.workers.next(s, w);
            worker_mut(s, w).goes_on = Stand::NEVER;
        }
        self.tuning = tuning;
        self.reaper_armed = false;
        self.arm_reaper(s)
    }
    /// Items and barriers on the list.
    #[must_use]
    pub const fn pending(&self) -> u32 {
        self.listed.wrapping_sub(self.starts as u32)
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
        self.stand.running
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

    /// (1), (2) Queues an item that nobody else owns on `p`'s share of this pool, behind all earlier ones of that share (C9).
    #[inline(always)]
    pub fn queue<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>, h: Handle<Item>) -> Queued {
        let active = Self::take_slot(s, p);
        pwq_mut(s, p).turn_if_due();
        let share = pwq(s, p);
        let (entered, eyes) = (share.entered + 1, share.eyes());
        item_mut(s, h).set_eyes(eyes);
        self.enter(s, p, h, (active, entered))
    }

    /// As [`Self::queue`], where [`Pwq::takes_plainly`]; with this one so many came.
    #[inline(always)]
    pub fn queue_plain<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        h: Handle<Item>,
        entered: u64,
    ) -> Queued {
        Self::note_entry(s, p, h, entered);
        let share = pwq(s, p);
        debug_assert!(
            !share
                .ways
                .any(Ways::UNLIMITED | Ways::BY_NODE | Ways::LEAVES),
            "its slots are elsewhere"
        );
        debug_assert!(
            share.full_at <= share.passed + u64::from(share.max_active),
            "slots that there are not"
        );
        if entered > share.full_at {
            // It goes behind those that wait (C9).
            if List::push_behind_of(s, |s| &mut pwq_mut(s, p).inactive, h) {
                return Self::waits(s, p, h);
            }
            if !pwq_mut(s, p).has_slot(entered) {
                List::push_back_of(s, |s| &mut pwq_mut(s, p).inactive, h);
                return Self::waits(s, p, h);
            }
        }
        self.enlist(s, h)
    }

    /// As [`Self::queue`], where [`Pwq::takes_of_node`]; with this one so many came.
    #[inline(always)]
    pub fn queue_of_node<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        h: Handle<Item>,
        entered: u64,
    ) -> Queued {
        let active = Self::take_slot_of_node(s, p);
        self.enter(s, p, h, (active, entered))
    }

    #[inline(always)]
    fn enter<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        h: Handle<Item>,
        (active, entered): (bool, u64),
    ) -> Queued {
        Self::note_entry(s, p, h, entered);
        if active {
            return self.enlist(s, h);
        }
        List::push_back_of(s, |s| &mut pwq_mut(s, p).inactive, h);
        Self::waits(s, p, h)
    }

    /// `h` is queued for `p`, with which so many entered.
    #[inline(always)]
    fn note_entry<S: Store>(s: &mut S, p: Handle<Pwq>, h: Handle<Item>, entered: u64) {
        let share = pwq_mut(s, p);
        debug_assert!(share.entered + 1 == entered, "another one came");
        share.entered = entered;
        let colour = share.work_colour;
        let it = item_mut(s, h);
        debug_assert!(it.on() == On::Nothing, "queueing an item that is queued");
        debug_assert!(it.is_single(), "marks of when it was queued last");
        it.pwq = Some(p);
        it.colour = colour;
    }

    /// `h`, which has a slot or needs none, comes on the list.
    #[inline(always)]
    fn enlist<S: Store>(&mut self, s: &mut S, h: Handle<Item>) -> Queued {
        item_mut(s, h).set_on(On::Worklist);
        self.push(s, h);
        let wake = if self.is_managed() {
            None
        } else {
            self.wake_idle(s)
        };
        Queued { wake, active: true }
    }

    /// `h` has come on the list of `p`'s items that wait for a slot.
    #[inline(always)]
    fn waits<S: Store>(s: &mut S, p: Handle<Pwq>, h: Handle<Item>) -> Queued {
        let it = item_mut(s, h);
        it.set_on(On::Inactive);
        if let Some(w) = it.runner {
            worker_mut(s, w).set_apart(Worker::BESIDE);
            pwq_mut(s, p).nr_beside += 1;
            item_mut(s, h).set_beside(true);
        }
        Queued {
            wake: None,
            active: false,
        }
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
        self.stand.running -= 1;
        if let Some(p) = p.filter(|_| self.need_more_worker() && !self.idle.is_empty()) {
            pwq_mut(s, p).stats.cm_wakeup += 1;
        }
        self.kick(s)
    }

    /// Hook: `w` got its core back (E3). Whether concurrency management counts it.
    pub fn resume<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> bool {
        let node = worker_mut(s, w);
        let slept = core::mem::take(&mut node.sleeping);
        let counts = self.counts(node);
        if slept && counts {
            self.stand.running += 1;
        }
        counts
    }

    /// There is work and nobody counted works on it (E5).
    #[inline(always)]
    pub(crate) const fn need_more_worker(&self) -> bool {
        self.stand.running == 0 && self.pending() > 0
    }

    /// The idle worker to wake, if one is needed: the last to go idle (E7), unless it was woken and has not come yet.
    #[inline(always)]
    pub(crate) fn kick<S: Store>(&self, s: &mut S) -> Option<Handle<Worker>> {
        if !self.need_more_worker() {
            return None;
        }
        self.wake_idle(s)
    }

    /// As [`Self::kick`], where one is needed.
    #[inline(always)]
    pub(crate) fn wake_idle<S: Store>(&self, s: &mut S) -> Option<Handle<Worker>> {
        let w = self.idle.front()?;
        let node = worker_mut(s, w);
        (!core::mem::replace(&mut node.woken, true)).then_some(w)
    }

    #[inline(always)]
    pub(crate) fn push<S: Store>(&mut self, s: &mut S, h: Handle<Item>) {
        self.worklist.push_back(s, h);
        self.entry_came();
    }

    /// An entry came on the list.
    #[inline(always)]
    pub(crate) const fn entry_came(&mut self) {
        self.listed = self.listed.wrapping_add(1);
    }

    /// An entry left the list, and is not started from there.
    #[inline(always)]
    pub(crate) const fn entry_went(&mut self) {
        self.listed = self.listed.wrapping_sub(1);
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
        node.goes_on = Stand::NEVER;
        node.idle_since = now;
        self.idle.push_front(s, w);
        self.nr_idle += 1;
        debug_assert!(
            self.nr_idle < self.nr_workers || self.stand.running == 0,
            "workers count as running while all are idle"
        );
        self.arm_reaper(s)
    }
}
