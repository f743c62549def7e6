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
//! Invariants: no more than `max_active` items are active unless it was lowered; the inactive list is non-empty only
//! when the limit is reached, or the pwq is about to move. What is in flight, queued or executing, is counted by difference: what
//! entered and what is over. So it is known how many of them are active, too, unless the limit is the node's or was
//! lowered, or the pwq is to leave: then, and only then, they are counted ([`Ways::COUNTED`]). Colours count only what is of an earlier one than items get now, `older`; the rest is of that one.

use links::List;
use machine::Instant;

use crate::Item;
use crate::colours::{COLOURS, Colour};
use crate::stats::PwqStats;
use crate::watch::Mark;
use crate::ways::{Leaving, Ways};

/// `max_active` when nobody asks for a value (D1, main).
pub const DEFAULT_ACTIVE: u32 = 1024;
/// The highest `max_active` (D1, main).
pub const MAX_ACTIVE: u32 = 2048;

/// The `max_active` that a request for `n` gets (D1): 0 is the default, the rest is clamped.
#[must_use]
pub const fn clamp_max_active(n: u32) -> u32 {
    match n {
        0 => DEFAULT_ACTIVE,
        1..=MAX_ACTIVE => n,
        _ => MAX_ACTIVE,
    }
}

/// One workqueue's share of one pool.
#[derive(Debug)]
pub struct Pwq {
    /// Active items, where [`Ways::COUNTED`]; of no meaning elsewhere. [`Self::active`] says it.
    pub(crate) nr_active: u32,
    /// The limit of its own.
    pub(crate) max_active: u32,
    /// Items that were queued, ever.
    pub(crate) entered: u64,
    /// Those that are over, or were cancelled.
    pub(crate) passed: u64,
    /// Those that were cancelled.
    pub(crate) cancelled: u64,
    /// Items up to this one have a slot of its own. A lower bound, renewed when it is reached and when the limit changes.
    pub(crate) full_at: u64,
    /// Barriers in flight.
    pub(crate) nr_barriers: u32,
    /// Those of them that wait behind an item without a slot.
    pub(crate) nr_waiting_barriers: u32,
    /// Items and barriers in flight of each colour but `work_colour`, where it is zero.
    pub(crate) older: [u32; COLOURS],
    /// A bit for each colour of which there are some; [`Ways::COLOURED`], if there is one.
    pub(crate) has_older: u16,
    /// The colour that the next item gets, unless nothing is in flight before it comes; [`Ways::TURNS`], if there is one.
    pub(crate) next_colour: Option<Colour>,
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
    /// But for `started`, `completed` and `cancelled`, which [`crate::Pool::stats`] finds out.
    pub(crate) stats: PwqStats,
    /// Inactive items of which an earlier submission is executed in this pool, for this pwq or another one: they
    /// cannot move before that is over (C5).
    pub(crate) nr_beside: u32,
}

impl Pwq {
    /// An empty share. `max_active` is what [`clamp_max_active`] made.
    #[must_use]
    pub const fn new(max_active: u32, cpu_intensive: bool) -> Self {
        Self {
            nr_active: 0,
            max_active,
            entered: 0,
            passed: 0,
            cancelled: 0,
            full_at: 0,
            nr_barriers: 0,
            nr_waiting_barriers: 0,
            older: [0; COLOURS],
            has_older: 0,
            next_colour: None,
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
            stats: PwqStats::NONE,
            nr_beside: 0,
        }
    }

    /// As [`Self::new`], of a BH pool, where all items are active (D1).
    #[must_use]
    pub const fn unlimited() -> Self {
        let mut pwq = Self::new(u32::MAX, false);
        pwq.ways.set(Ways::UNLIMITED, true);
        pwq
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

    /// Changes the limit of its own.
    pub(crate) const fn limit(&mut self, max_active: u32) {
        self.nr_active = self.active();
        self.max_active = max_active;
        self.full_at = self.passed + max_active as u64;
        self.note_over();
    }

    /// Whether there is a slot of its own for the item with which so many entered, while nothing waits for one.
    #[inline(always)]
    pub(crate) fn has_slot(&mut self, entered: u64) -> bool {
        self.full_at = self.passed + u64::from(self.max_active);
        entered <= self.full_at
    }

    /// An item of it is active no more, or its limit is another one; they are counted.
    pub(crate) const fn note_over(&mut self) {
        self.ways.set(Ways::OVER, self.nr_active > self.max_active);
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
        self.nr_active = self.active();
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

    /// A submission is what it is for most pwqs: nothing bars it, the slot is the pwq's own ([`crate::Pool::queue_plain`]) or none is needed ([`crate::Pool::queue_turn`]),
    /// and nobody wants to know.
    #[inline(always)]
    #[must_use]
    pub const fn takes_plainly(&self) -> bool {
        !self.ways.any(Ways::NOT_PLAINLY)
    }

    /// As [`Self::takes_plainly`], but that the slot is the node's ([`crate::Pool::queue_of_node`]).
    #[inline(always)]
    #[must_use]
    pub const fn takes_of_node(&self) -> bool {
        self.ways.0 & Ways::NOT_PLAINLY == Ways::BY_NODE
    }

    /// As [`Self::takes_plainly`], but that events are told.
    #[inline(always)]
    #[must_use]
    pub const fn takes_seen(&self) -> bool {
        self.ways.0 & Ways::NOT_PLAINLY == Ways::OBSERVED
    }

    /// As [`Self::takes_of_node`], but that events are told.
    #[inline(always)]
    #[must_use]
    pub const fn takes_of_node_seen(&self) -> bool {
        self.ways.0 & Ways::NOT_PLAINLY == Ways::BY_NODE | Ways::OBSERVED
    }

    /// Who sees an item that is queued now start, unless that is followed.
    pub(crate) const fn eyes(&self) -> u8 {
        self.ways.eyes()
    }

    /// What [`Self::set_observed`] said.
    #[must_use]
    pub const fn is_observed(&self) -> bool {
        self.ways.any(Ways::OBSERVED)
    }

    /// Somebody wants to know of what its items do, or nobody does. It has none yet; else [`crate::Pool::observe`] says it.
    pub fn set_observed(&mut self, on: bool) {
        self.ways.set(Ways::OBSERVED, on);
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
        self.inactive() + self.nr_waiting_barriers
    }

    /// Queued and executing items and barriers.
    pub(crate) const fn nr_in_flight(&self) -> u32 {
        (self.entered - self.passed) as u32 + self.nr_barriers
    }

    /// How many items were queued, ever.
    #[inline(always)]
    #[must_use]
    pub const fn entered(&self) -> u64 {
        self.entered
    }

    /// How many items are over or were cancelled: while the share is empty, whether this number is
    /// the same tells whether it has been empty all the time.
    #[inline(always)]
    #[must_use]
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// Items with a max_active slot, or that need none.
    #[must_use]
    pub const fn active(&self) -> u32 {
        let items = (self.entered - self.passed) as u32;
        if self.ways.any(Ways::UNLIMITED) {
            items
        } else if self.ways.any(Ways::COUNTED) {
            self.nr_active
        } else if items < self.max_active {
            items
        } else {
            self.max_active
        }
    }

    /// Items waiting for a slot.
    #[must_use]
    pub const fn inactive(&self) -> u32 {
        (self.entered - self.passed) as u32 - self.active()
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
        (self.entered, self.passed) = (before.passed, before.passed);
        self.cancelled = before.cancelled;
        self
    }
}
