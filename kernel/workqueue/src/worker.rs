//! A worker: the thread (or softirq) that executes items of one pool.

use links::{Handle, Linked, List, ListLinks};
use machine::Instant;

use crate::pool::Stand;
use crate::watch::Mark;
use crate::{Colour, Item, Pwq};

/// Where a worker is in its loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Not part of a pool yet.
    New,
    /// On the idle list.
    Idle,
    /// Awake, not counted as running: looks whether there is work, or creates a worker.
    Prep,
    /// Executes items.
    Working,
    /// A rescuer at work: never counted as running (H4).
    Rescuing,
    /// Culled: it leaves when it wakes up.
    Dying,
}

/// The list of all workers of a pool.
#[derive(Debug)]
pub(crate) enum All {}

/// The node of a worker.
#[derive(Debug)]
pub struct Worker {
    pub(crate) links: ListLinks<Self>,
    all: ListLinks<Self, All>,
    pub(crate) phase: Phase,
    /// What makes the end of this execution unlike others: [`Self::CPU_INTENSIVE`], [`Self::PREEMPTED`],
    /// [`Self::BESIDE`].
    pub(crate) apart: u8,
    /// The pool's epoch when it was last counted as running; [`Self::NO_EPOCH`] unless it executes
    /// items.
    pub(crate) epoch: u32,
    /// How its pool stands while it goes on from item to item; [`Stand::NEVER`] while that is not all that it must ask.
    pub(crate) goes_on: Stand,
    /// It was woken and has not come yet.
    pub(crate) woken: bool,
    /// It gave the core up while counted; the resume hook counts it again (E2-E4).
    pub(crate) sleeping: bool,
    pub(crate) current: Option<Handle<Item>>,
    pub(crate) current_pwq: Option<Handle<Pwq>>,
    pub(crate) current_colour: Colour,
    /// False while it executes a barrier, which holds no max_active slot.
    pub(crate) current_active: bool,
    pub(crate) scheduled: List<Item>,
    pub(crate) idle_since: Instant,
    /// The number of its execution, in its pool.
    pub(crate) run: u64,
    pub(crate) mark: Mark,
}

impl Worker {
    /// By its queue or its budget (E13, E14).
    pub(crate) const CPU_INTENSIVE: u8 = 1;
    /// It waits for its core for so long that it does not count until it has it back.
    pub(crate) const PREEMPTED: u8 = 1 << 1;
    /// What it executes was queued again, and waits for a slot.
    pub(crate) const BESIDE: u8 = 1 << 2;
    /// No pool has this epoch.
    pub(crate) const NO_EPOCH: u32 = u32::MAX;

    /// A worker that is not in a pool yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: ListLinks::new(),
            all: ListLinks::new(),
            phase: Phase::New,
            apart: 0,
            epoch: Self::NO_EPOCH,
            goes_on: Stand::NEVER,
            woken: false,
            sleeping: false,
            current: None,
            current_pwq: None,
            current_colour: 0,
            current_active: true,
            scheduled: List::new(),
            idle_since: Instant::ZERO,
            run: 0,
            mark: Mark::new(),
        }
    }

    /// Where it is in its loop.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What it executes.
    #[must_use]
    pub const fn current(&self) -> Option<Handle<Item>> {
        self.current
    }

    /// The pwq of what it executes.
    #[must_use]
    pub const fn current_pwq(&self) -> Option<Handle<Pwq>> {
        self.current_pwq
    }

    /// It blocked while counted as running.
    #[must_use]
    pub const fn is_sleeping(&self) -> bool {
        self.sleeping
    }

    /// It has waited for its core for so long that it does not count: see [`crate::Pool::preempted`].
    #[must_use]
    pub const fn is_preempted(&self) -> bool {
        self.apart & Self::PREEMPTED != 0
    }

    /// Its item is unlike others from now on, and it looks about when that is over.
    pub(crate) const fn set_apart(&mut self, how: u8) {
        self.apart |= how;
        self.goes_on = Stand::NEVER;
    }

    /// This execution is outside concurrency management, for whatever reason.
    #[inline(always)]
    pub(crate) const fn is_apart(&self) -> bool {
        self.apart & (Self::CPU_INTENSIVE | Self::PREEMPTED) != 0
    }

    /// It is no worker of its pool any more.
    pub(crate) fn leave(&mut self) {
        (self.phase, self.epoch) = (Phase::Dying, Self::NO_EPOCH);
        self.goes_on = Stand::NEVER;
    }

    /// `list` is what it executes next, come what may.
    pub(crate) fn schedule(&mut self, list: List<Item>) {
        self.scheduled = list;
        self.goes_on = Stand::NEVER;
    }

    /// This execution is outside concurrency management (E13, E14).
    #[must_use]
    pub const fn is_cpu_intensive(&self) -> bool {
        self.apart & Self::CPU_INTENSIVE != 0
    }

    /// Somebody was told to wake it, and it has not come yet.
    #[must_use]
    pub const fn is_woken(&self) -> bool {
        self.woken
    }

    /// When it last went idle.
    #[must_use]
    pub const fn idle_since(&self) -> Instant {
        self.idle_since
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}

impl Linked for Worker {
    fn list_links(&self) -> &ListLinks<Self> {
        &self.links
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self> {
        &mut self.links
    }
}

impl Linked<All> for Worker {
    fn list_links(&self) -> &ListLinks<Self, All> {
        &self.all
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self, All> {
        &mut self.all
    }
}
