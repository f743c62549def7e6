//! The pool-workqueue: what one workqueue has in one pool.
//!
//! `max_active` limits how many items of the queue are *active* (on the pool's list or executing)
//! here; later ones wait on the inactive list, in order (C9). A per-CPU queue has one pwq for each
//! core, so the limit is per core (D2). An unbound queue has one pwq for each pool that its pods lead to,
//! and slots for all of them that belong to the memory node (D3). An ordered queue has a single pwq.
//!
//! When an unbound queue's attributes change, its pwqs do: an old one takes no new items and is gone
//! when its last one is over ([`crate::Pool::retire`]); the one of an ordered queue moves with all its
//! waiting items as soon as none is active ([`crate::Pool::plug`], D9).
//!
//! Invariants: `nr_active <= max_active` unless it was lowered; the inactive list is non-empty only
//! when the limit is reached, or the pwq is about to move; `in_flight[c]` counts queued and executing items and barriers of
//! colour `c`.

use links::List;
use machine::Instant;

use crate::Item;
use crate::watch::Mark;
use crate::ways::{Leaving, Ways};

/// Number of flush colours (A3).
pub const COLOURS: usize = 16;
/// `max_active` when nobody asks for a value (D1, main).
pub const DEFAULT_ACTIVE: u32 = 1024;
/// The highest `max_active` (D1, main).
pub const MAX_ACTIVE: u32 = 2048;

/// A flush colour, below [`COLOURS`].
pub type Colour = u8;

/// The `max_active` that a request for `n` gets (D1): 0 is the default, the rest is clamped.
#[must_use]
pub const fn clamp_max_active(n: u32) -> u32 {
    match n {
        0 => DEFAULT_ACTIVE,
        1..=MAX_ACTIVE => n,
        _ => MAX_ACTIVE,
    }
}

/// Counters of one pwq (N4).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PwqStats {
    /// Executions begun.
    pub started: u64,
    /// Executions ended, panics included.
    pub completed: u64,
    /// Executions that panicked.
    pub panicked: u64,
    /// Workers woken because an item of this queue blocked.
    pub cm_wakeup: u64,
    /// Executions taken out of concurrency management for using the core too long.
    pub cpu_intensive: u64,
    /// How often a worker with an item of this queue waited for its core for so long that it counted no
    /// more.
    pub preempted: u64,
    /// Pending items that were cancelled.
    pub cancelled: u64,
    /// Calls for the rescuer (H1).
    pub mayday: u64,
    /// Items that the rescuer took (H2).
    pub rescued: u64,
}

/// One workqueue's share of one pool.
#[derive(Debug)]
pub struct Pwq {
    pub(crate) in_flight: [u32; COLOURS],
    pub(crate) nr_active: u32,
    pub(crate) nr_inactive: u32,
    /// Barriers among them.
    pub(crate) nr_waiting_barriers: u32,
    /// The limit of its own.
    pub(crate) max_active: u32,
    pub(crate) inactive: List<Item>,
    pub(crate) work_colour: Colour,
    pub(crate) flush_colour: Option<Colour>,
    pub(crate) ways: Ways,
    leaving: Leaving,
    /// Its queue has a rescuer.
    pub(crate) rescuer: bool,
    /// The mayday timer's time at which it called last.
    pub(crate) called_at: Instant,
    /// Rescues that were called for and are not over.
    pub(crate) pins: u32,
    pub(crate) mark: Mark,
    /// But for `started`, which [`crate::Pool::stats`] finds out.
    pub(crate) stats: PwqStats,
    /// Inactive items of which an earlier submission is executed in this pool, for this pwq or another one: they
    /// cannot move before that is over (C5).
    pub(crate) nr_beside: u32,
}

impl Pwq {
    /// An empty share. `max_active` is what [`clamp_max_active`] made, or `u32::MAX` for BH (D1).
    #[must_use]
    pub const fn new(max_active: u32, cpu_intensive: bool) -> Self {
        Self {
            in_flight: [0; COLOURS],
            nr_active: 0,
            nr_inactive: 0,
            nr_waiting_barriers: 0,
            max_active,
            inactive: List::new(),
            work_colour: 0,
            flush_colour: None,
            ways: Ways(if cpu_intensive {
                Ways::CPU_INTENSIVE
            } else {
                0
            }),
            leaving: Leaving::No,
            rescuer: false,
            called_at: Instant::ZERO,
            pins: 0,
            mark: Mark::new(),
            stats: PwqStats {
                started: 0,
                completed: 0,
                panicked: 0,
                cm_wakeup: 0,
                cpu_intensive: 0,
                preempted: 0,
                cancelled: 0,
                mayday: 0,
                rescued: 0,
            },
            nr_beside: 0,
        }
    }

    /// As [`Self::new`], for an unbound queue: the slots are those of the pwq's node (D3). Items get
    /// `colour` to begin with.
    #[must_use]
    pub const fn of_node(colour: Colour) -> Self {
        let mut pwq = Self::new(u32::MAX, false);
        pwq.ways.set(Ways::BY_NODE, true);
        pwq.work_colour = colour;
        pwq
    }

    /// As [`Self::new`], for an ordered queue: items get `colour` to begin with.
    #[must_use]
    pub const fn starting_at(max_active: u32, colour: Colour) -> Self {
        let mut pwq = Self::new(max_active, false);
        pwq.work_colour = colour;
        pwq
    }

    /// A pwq that is in no pool yet.
    #[must_use]
    pub const fn nowhere() -> Self {
        let mut pwq = Self::new(0, false);
        pwq.set_leaving(Leaving::Gone);
        pwq
    }

    /// New items go to another pwq of the queue.
    #[inline(always)]
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        matches!(self.leaving, Leaving::Retired | Leaving::Gone)
    }

    /// It has left its pool for good.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self.leaving, Leaving::Gone)
    }

    /// It takes new items again, where it is. False: it is gone.
    #[must_use]
    pub fn reopen(&mut self) -> bool {
        if self.leaving == Leaving::Retired {
            self.set_leaving(Leaving::No);
        }
        self.leaving != Leaving::Gone
    }

    /// It has slots of its own, or shares those of its node.
    #[must_use]
    pub const fn is_limited_by_node(&self) -> bool {
        self.ways.any(Ways::BY_NODE)
    }

    /// Whether it stays in its pool.
    #[inline(always)]
    pub(crate) const fn leaving(&self) -> Leaving {
        self.leaving
    }

    pub(crate) const fn set_leaving(&mut self, leaving: Leaving) {
        self.leaving = leaving;
        self.ways.set(Ways::LEAVES, !matches!(leaving, Leaving::No));
    }

    /// It is on its way to another pool.
    #[must_use]
    pub const fn is_moving(&self) -> bool {
        matches!(self.leaving, Leaving::Plugged | Leaving::Moving)
    }

    /// Whether submissions from outside are refused: the queue drains or is destroyed (I9, C10).
    #[inline(always)]
    #[must_use]
    pub const fn refuses(&self) -> bool {
        self.ways.any(Ways::REFUSES)
    }

    /// Submissions may be refused, or go to another pwq: [`Self::refuses`] and [`Self::is_retired`] say.
    #[inline(always)]
    #[must_use]
    pub const fn may_bar(&self) -> bool {
        self.ways.any(Ways::REFUSES | Ways::LEAVES)
    }

    /// Starts or stops refusing submissions from outside.
    pub fn set_refuse(&mut self, on: bool) {
        self.ways.set(Ways::REFUSES, on);
    }

    /// Its queue has a rescuer, who may be called for its items (H1).
    pub fn set_rescuer(&mut self, has: bool) {
        self.rescuer = has;
    }

    /// Whether its items' workers stop counting while they wait for their core for long
    /// ([`crate::Pool::preempted`]).
    pub fn set_preemption_aware(&mut self, on: bool) {
        self.ways.set(Ways::PREEMPTION_AWARE, on);
    }

    /// What [`Self::set_preemption_aware`] said.
    #[inline(always)]
    #[must_use]
    pub const fn is_preemption_aware(&self) -> bool {
        self.ways.any(Ways::PREEMPTION_AWARE)
    }

    /// A rescuer is on its way to it or at work for it: it must stay where it is.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.pins > 0
    }

    /// What keeps it: items and barriers in flight, and rescues.
    #[must_use]
    pub const fn references(&self) -> u32 {
        self.nr_in_flight() + self.pins
    }

    /// Nothing queued, nothing executing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nr_in_flight() == 0
    }

    /// Inactive items, and the barriers among them.
    pub(crate) const fn nr_waiting(&self) -> u32 {
        self.nr_inactive + self.nr_waiting_barriers
    }

    /// Queued and executing items and barriers.
    pub(crate) const fn nr_in_flight(&self) -> u32 {
        let (mut sum, mut c) = (0, 0);
        while c < COLOURS {
            sum += self.in_flight[c];
            c += 1;
        }
        sum
    }

    /// How many items are over or were cancelled: while the share is empty, whether this number is
    /// the same tells whether it has been empty all the time.
    #[must_use]
    pub const fn passed(&self) -> u64 {
        self.stats.completed + self.stats.cancelled
    }

    /// Nothing of colour `c` is in flight.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty_of(&self, c: Colour) -> bool {
        self.in_flight[c as usize % COLOURS] == 0
    }

    /// Items with a max_active slot.
    #[must_use]
    pub const fn active(&self) -> u32 {
        self.nr_active
    }

    /// Items waiting for a slot.
    #[must_use]
    pub const fn inactive(&self) -> u32 {
        self.nr_inactive
    }

    /// The limit of its own.
    #[must_use]
    pub const fn max_active(&self) -> u32 {
        self.max_active
    }

    /// Goes on counting where `before` stopped, which the share was until now.
    #[must_use]
    pub const fn after(mut self, before: &Self) -> Self {
        self.stats = before.stats;
        self
    }

    /// One flush pass over this pwq: items queued from now on get `work_colour`; when items of
    /// colour `wait_for` are in flight, the pwq will report their end. True if it will.
    #[must_use = "the flush waits for as many pwqs as said true"]
    pub fn flush(&mut self, wait_for: Option<Colour>, work_colour: Option<Colour>) -> bool {
        if let Some(c) = work_colour {
            self.work_colour = c;
        }
        match wait_for {
            Some(c) if self.in_flight[usize::from(c)] > 0 => {
                self.flush_colour = Some(c);
                true
            }
            _ => false,
        }
    }

    #[inline(always)]
    fn of_colour(&mut self, c: Colour) -> &mut u32 {
        debug_assert!(usize::from(c) < COLOURS, "colour {c}");
        // The remainder spares a look at the bounds.
        &mut self.in_flight[usize::from(c) % COLOURS]
    }

    #[inline(always)]
    pub(crate) fn enter(&mut self, c: Colour) {
        *self.of_colour(c) += 1;
    }

    /// One item or barrier of colour `c` is over; true if that ended a flush pass.
    #[inline(always)]
    pub(crate) fn leave(&mut self, c: Colour) -> bool {
        let n = self.of_colour(c);
        debug_assert!(*n > 0, "in-flight count of colour {c} underflows");
        *n -= 1;
        if *n == 0 && self.flush_colour == Some(c) {
            self.flush_colour = None;
            return true;
        }
        false
    }
}
