//! What the scheduler knows about one thread.
//!
//! An [`Entity`] lives inside its thread and is reached through the runqueue's arena only. While
//! it runs its virtual runtime changes, so the current entity is kept outside the tree. States:
//!
//! ```text
//!            (1) enqueue                (3) pick_next
//!   off  ------------------>  queued  ---------------->  current
//!    ^ ^                       | ^ |  <----------------   |  |
//!    | |  (2) dequeue Migrate  | | |   (4) pick_next      |  |
//!    | +-----------------------+ | |       of another     |  |
//!    |                       (6) | +---------------+      |  | (5) dequeue Sleep with
//!    |                   enqueue | (7) pick_next   |      |  |     negative lag
//!    |                    Wakeup |  or dequeue     v      |  v
//!    +---------------------------+------------- delayed <----+
//!    +----------------------------------------------------+
//!                     (8) dequeue
//! ```
//!
//! A delayed entity has blocked but still owes time: it stays in the tree, not runnable, until
//! virtual time has caught up with it, so that sleeping briefly does not wipe its debt.

use core::cmp;

use links::{Handle, TreeLinks, TreeNode};
use machine::Duration;

use crate::loan::Loan;
use crate::weight::{Nice, to_virtual};

/// Shortest slice a thread may ask for.
pub const MIN_SLICE: Duration = Duration::from_micros(100);
/// Longest slice a thread may ask for.
pub const MAX_SLICE: Duration = Duration::from_millis(100);
/// Lower bound of the lag kept over sleep, in ns of CPU time; the granularity of accounting on
/// systems that charge by a periodic tick.
pub(crate) const TICK_NS: u64 = 1_000_000;

/// A slice that was asked for, as it is granted, in nanoseconds.
pub(crate) const fn clamp_slice(asked: Duration) -> u32 {
    let (ns, least, most) = (asked.as_nanos(), MIN_SLICE.as_nanos(), MAX_SLICE.as_nanos());
    if ns < least {
        least as u32
    } else if ns > most {
        most as u32
    } else {
        ns as u32
    }
}

/// One schedulable thread.
#[derive(Debug)]
pub struct Entity {
    links: TreeLinks<Self, Summary>,
    /// Virtual runtime, wraps.
    pub(crate) vruntime: u64,
    /// Virtual deadline; relative to `vruntime` while `relative_deadline`.
    pub(crate) deadline: u64,
    /// Protected from preemption while `vruntime` is before this (only while current).
    pub(crate) protected_until: u64,
    /// Virtual lag saved when last dequeued.
    pub(crate) vlag: i64,
    pub(crate) sum_exec_ns: u64,
    /// Virtual time below one nanosecond, in 1/2^22 ns.
    pub(crate) fraction: u32,
    weight: u32,
    pub(crate) inverse: u32,
    /// Length of a request in ns of CPU time.
    pub(crate) slice_ns: u32,
    /// What requests are to be, 0 for the runqueue's base slice: what the thread asked for, or lent.
    custom_slice_ns: u32,
    /// What the thread asked for itself, 0 for the runqueue's base slice.
    own_slice_ns: u32,
    /// What counts: its own, or lent.
    nice: Nice,
    own_nice: Nice,
    lent: Loan,
    /// In a tree or current.
    pub(crate) queued: bool,
    pub(crate) delayed: bool,
    pub(crate) relative_deadline: bool,
    /// May run on one core only.
    pub(crate) pinned: bool,
}

/// What a tree node knows about its subtree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    pub(crate) min_vruntime: u64,
    pub(crate) min_slice_ns: u32,
}

impl Entity {
    /// An entity that has never run. `slice` is clamped to [`MIN_SLICE`]..=[`MAX_SLICE`]; `None`
    /// follows the runqueue's base slice.
    #[must_use]
    pub const fn new(nice: Nice, slice: Option<Duration>) -> Self {
        let custom_slice_ns = match slice {
            None => 0,
            Some(d) => clamp_slice(d),
        };
        Self {
            links: TreeLinks::new(Summary {
                min_vruntime: 0,
                min_slice_ns: 0,
            }),
            vruntime: 0,
            deadline: 0,
            protected_until: 0,
            vlag: 0,
            sum_exec_ns: 0,
            fraction: 0,
            weight: nice.weight(),
            inverse: nice.inverse_weight(),
            slice_ns: custom_slice_ns,
            custom_slice_ns,
            own_slice_ns: custom_slice_ns,
            nice,
            own_nice: nice,
            lent: Loan::NONE,
            queued: false,
            delayed: false,
            relative_deadline: false,
            pinned: false,
        }
    }

    /// Says whether the entity may run on one core only.
    #[must_use]
    pub const fn pinned(mut self, pinned: bool) -> Self {
        self.pinned = pinned;
        self
    }

    /// The nice value that counts: its own, or a lower one that is lent to it.
    #[must_use]
    pub const fn nice(&self) -> Nice {
        self.nice
    }

    /// The nice value that was set.
    #[must_use]
    pub const fn own_nice(&self) -> Nice {
        self.own_nice
    }

    /// What is lent to it.
    #[must_use]
    pub const fn lent(&self) -> Loan {
        self.lent
    }

    /// The weight of the nice value that counts.
    #[inline(always)]
    #[must_use]
    pub const fn weight(&self) -> u32 {
        self.weight
    }

    /// Virtual runtime: CPU time divided by weight, plus placements. Wraps: compare differences.
    #[must_use]
    pub const fn vruntime(&self) -> u64 {
        self.vruntime
    }

    /// Virtual time by which the current request should be served. Wraps.
    #[must_use]
    pub const fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Length of a request; zero before the first enqueue of an entity without its own slice.
    #[must_use]
    pub const fn slice(&self) -> Duration {
        Duration::from_nanos(self.slice_ns as u64)
    }

    /// Virtual lag saved when the entity last left a runqueue; positive when it was owed time.
    #[must_use]
    pub const fn saved_vlag(&self) -> i64 {
        self.vlag
    }

    /// The bound of [`Entity::saved_vlag`] in either direction.
    #[must_use]
    pub const fn vlag_limit(&self) -> i64 {
        let twice = 2 * self.slice_ns as u64;
        let ns = if twice > TICK_NS { twice } else { TICK_NS };
        to_virtual(ns, self.inverse) as i64
    }

    /// Total CPU time, up to the last charge.
    #[must_use]
    pub const fn sum_exec(&self) -> Duration {
        Duration::from_nanos(self.sum_exec_ns)
    }

    /// Whether the entity is current or in the tree, which includes delayed ones.
    #[must_use]
    pub const fn is_queued(&self) -> bool {
        self.queued
    }

    /// Whether the entity has blocked but stays queued because of its debt.
    #[must_use]
    pub const fn is_delayed(&self) -> bool {
        self.delayed
    }

    pub(crate) const fn set_own_nice(&mut self, nice: Nice) {
        self.own_nice = nice;
    }

    pub(crate) const fn set_lent(&mut self, loan: Loan) {
        self.lent = loan;
    }

    /// The nice value and the slice that are to count, on a runqueue of this base slice.
    pub(crate) fn claim(&self, base_ns: u32) -> Loan {
        let own_ns = match self.own_slice_ns {
            0 => base_ns,
            ns => ns,
        };
        let own = Loan::new(self.own_nice, Duration::from_nanos(u64::from(own_ns)));
        own.with(self.lent)
    }

    /// Weight and slice become what `claim` says; the slice of one that is not queued with its next
    /// request.
    pub(crate) fn set_claim(&mut self, claim: Loan, base_ns: u32) {
        if claim.nice() != self.nice {
            self.nice = claim.nice();
            self.weight = self.nice.weight();
            self.inverse = self.nice.inverse_weight();
            self.fraction = 0;
        }
        let own = self.own_slice_ns == 0 && claim.slice_ns() == base_ns;
        self.custom_slice_ns = if own { 0 } else { claim.slice_ns() };
        if self.queued {
            self.slice_ns = claim.slice_ns();
        }
    }

    /// A request, one that is left over from before included, is no longer than a slice of this
    /// length.
    pub(crate) fn cut_request(&mut self, slice_ns: u32) {
        let most = self.to_virtual(u64::from(slice_ns));
        if self.relative_deadline {
            self.deadline = self.deadline.min(most);
        } else if self.queued && self.deadline.wrapping_sub(self.vruntime) > most {
            self.deadline = self.vruntime.wrapping_add(most);
            if is_before(self.deadline, self.protected_until) {
                self.protected_until = self.deadline;
            }
        }
    }

    /// Takes over the base slice unless the entity has its own.
    #[inline(always)]
    pub(crate) fn resolve_slice(&mut self, base_ns: u32) {
        self.slice_ns = self.next_slice(base_ns);
    }

    /// The length of its next request.
    #[inline(always)]
    pub(crate) const fn next_slice(&self, base_ns: u32) -> u32 {
        if self.custom_slice_ns == 0 {
            base_ns
        } else {
            self.custom_slice_ns
        }
    }

    /// The left child in the tree.
    #[inline(always)]
    pub(crate) const fn left(&self) -> Option<Handle<Self>> {
        self.links.left()
    }

    /// The right child in the tree.
    #[inline(always)]
    pub(crate) const fn right(&self) -> Option<Handle<Self>> {
        self.links.right()
    }

    /// The least virtual runtime in the subtree.
    #[inline(always)]
    pub(crate) const fn min_vruntime(&self) -> u64 {
        self.links.summary().min_vruntime
    }
}

/// Whether virtual time `a` is before `b`; right across the wrap of `u64` as long as the two are
/// less than 2^63 apart.
#[inline(always)]
pub(crate) const fn is_before(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}

impl TreeNode for Entity {
    type Summary = Summary;

    #[inline(always)]
    fn tree_links(&self) -> &TreeLinks<Self, Summary> {
        &self.links
    }

    #[inline(always)]
    fn tree_links_mut(&mut self) -> &mut TreeLinks<Self, Summary> {
        &mut self.links
    }

    #[inline(always)]
    fn before(&self, other: &Self) -> bool {
        is_before(self.deadline, other.deadline)
    }

    #[inline(always)]
    fn summarize(&self, left: Option<Summary>, right: Option<Summary>) -> Summary {
        let own = Summary {
            min_vruntime: self.vruntime,
            min_slice_ns: self.slice_ns,
        };
        own.with(left).with(right)
    }
}

impl Summary {
    /// Of these and those of `side`.
    #[inline(always)]
    fn with(mut self, side: Option<Self>) -> Self {
        if let Some(side) = side {
            if is_before(side.min_vruntime, self.min_vruntime) {
                self.min_vruntime = side.min_vruntime;
            }
            self.min_slice_ns = cmp::min(self.min_slice_ns, side.min_slice_ns);
        }
        self
    }
}
