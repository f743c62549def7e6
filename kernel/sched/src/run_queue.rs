//! The EEVDF runqueue of one core.
//!
//! Earliest eligible virtual deadline first: each entity asks for slices of CPU time. Its lag is
//! what it should have received minus what it did receive; it is *eligible* while the lag is not
//! negative, and among the eligible ones the earliest virtual deadline runs. Weights set shares,
//! slices set latency, independently of each other. Picking the least virtual runtime instead
//! (the classic fair scheduler) gives fair shares too, but no control over latency without
//! heuristics about sleepers.
//!
//! Rules beyond the textbook, all needed to keep it fair under real load:
//! * what is current keeps running while protected: until its deadline or until it has run as long
//!   as the shortest slice of anybody queued, whichever is earlier; without it, two equal threads
//!   would switch at every opportunity;
//! * a thread that leaves takes its lag along (bounded) and gets it back when it returns, enlarged
//!   by `(W + w) / W` because joining moves the average;
//! * a thread that blocks while it owes time stays in the tree as *delayed* until eligible;
//! * a new thread gets half a slice, so that forking does not pay.
//!
//! Invariants: the current entity is queued but not in the tree; `average` covers exactly the
//! tree; `nr_queued` = tree + current; between operations no delayed entity is current.
//!
//! Times passed in must not go backwards for one runqueue (if they do, no time is charged). The
//! caller holds the runqueue lock for every operation; none allocates, loops are O(log n) except
//! [`RunQueue::pull_candidate`], which is bounded.
//!
//! Reference: Stoica, Abdel-Wahab, "Earliest Eligible Virtual Deadline First", 1995; rows V1-V10.

use links::{Arena, Handle, Tree};
use machine::{Duration, Instant};

use crate::average::{Average, Total, mul_div};
use crate::decision::{Decision, Dequeue, Dequeued, Enqueue};
use crate::entity::{Entity, is_before};
use crate::ledger::Slack;

/// Everything runnable on one core.
#[derive(Debug)]
pub struct RunQueue<A: Arena<Entity>> {
    pub(crate) arena: A,
    pub(crate) tree: Tree<Entity>,
    pub(crate) average: Average,
    pub(crate) current: Option<Handle<Entity>>,
    /// When the current entity was last charged.
    pub(crate) exec_start: Instant,
    pub(crate) base_slice_ns: u32,
    pub(crate) nr_queued: u32,
    pub(crate) nr_delayed: u32,
    /// Those in the tree that are not pinned.
    pub(crate) nr_movable: u32,
    /// By how much the bound of lag does not hold just now.
    pub(crate) slack: Slack,
}

/// The slice of threads that ask for none: longer with more cores, as there are more places for an
/// interactive thread to run, and capped at eight.
#[must_use]
pub const fn base_slice(cores: usize) -> Duration {
    let capped = match cores {
        0 => 1,
        1..=8 => cores,
        _ => 8,
    };
    Duration::from_micros(700 * (1 + capped.ilog2() as u64))
}

impl<A: Arena<Entity>> RunQueue<A> {
    /// An empty runqueue of a machine with `cores` cores.
    #[must_use]
    pub const fn new(arena: A, cores: usize) -> Self {
        Self::starting_at(arena, cores, 0)
    }

    /// Like [`RunQueue::new`] with virtual time starting at `zero`: shows that it may wrap.
    #[must_use]
    pub const fn starting_at(arena: A, cores: usize, zero: u64) -> Self {
        Self {
            arena,
            tree: Tree::new(),
            average: Average::new(zero),
            current: None,
            exec_start: Instant::ZERO,
            base_slice_ns: base_slice(cores).as_nanos() as u32,
            nr_queued: 0,
            nr_delayed: 0,
            nr_movable: 0,
            slack: Slack::NONE,
        }
    }

    /// Makes an entity runnable here. A delayed one, which must be woken on the runqueue it is
    /// delayed on, is re-activated in place. [`Decision::Resched`] when it (or another one whose
    /// turn has come meanwhile) should replace what runs; otherwise [`RunQueue::slice_end`] may
    /// have changed.
    #[inline(always)]
    pub fn enqueue(&mut self, h: Handle<Entity>, why: Enqueue, now: Instant) -> Decision {
        self.charge_current(now);
        if self.arena.get(h).delayed {
            debug_assert!(
                why == Enqueue::Wakeup,
                "only a wake-up re-activates a delayed entity"
            );
            self.undelay(h);
        } else {
            debug_assert!(!self.arena.get(h).queued, "enqueue of a queued entity");
            let base = self.base_slice_ns;
            let se = self.arena.get_mut(h);
            se.resolve_slice(base);
            se.queued = true;
            self.place(h, why == Enqueue::New);
            self.nr_queued += 1;
            self.link(h);
        }
        let decision = self.check_preempt(h);
        self.upset();
        decision
    }

    /// Takes an entity off: the current one (it blocks, ends or is pushed away) or a queued one.
    /// A delayed one really leaves, whatever the reason.
    pub fn dequeue(&mut self, h: Handle<Entity>, why: Dequeue, now: Instant) -> Dequeued {
        self.charge_current(now);
        let is_current = self.current == Some(h);
        let se = self.arena.get(h);
        debug_assert!(se.queued, "dequeue of an entity that is not queued");
        if why == Dequeue::Sleep && !se.delayed && !self.total().is_eligible(se.vruntime) {
            self.nr_delayed += 1;
            self.arena.get_mut(h).delayed = true;
            if is_current {
                self.current = None;
                self.link(h);
            }
            self.upset();
            return Dequeued::Delayed;
        }
        self.take_off(h, why == Dequeue::Migrate);
        Dequeued::Gone
    }

    /// What runs, as far as the runqueue knows.
    #[inline(always)]
    #[must_use]
    pub const fn current(&self) -> Option<Handle<Entity>> {
        self.current
    }

    /// Charges what runs. [`Decision::Resched`] when its protection is over and others wait: to be
    /// called when the time of [`RunQueue::slice_end`] has come (or from a tick).
    pub fn update(&mut self, now: Instant) -> Decision {
        self.charge_current(now);
        let Some(current) = self.current else {
            return Decision::Keep;
        };
        let se = self.arena.get(current);
        if self.tree.is_empty() || is_before(se.vruntime, se.protected_until) {
            Decision::Keep
        } else {
            Decision::Resched
        }
    }

    /// The exact time at which the current entity's protection ends: at its deadline, or earlier
    /// when somebody with a shorter slice is queued. Not before `now`; `None` when nothing else is
    /// queued. (A delayed entity counts: its debt must be settled while somebody runs.)
    #[inline(always)]
    #[must_use]
    pub fn slice_end(&self, now: Instant) -> Option<Instant> {
        let se = self.arena.get(self.current?);
        if self.tree.is_empty() {
            return None;
        }
        let end = self.exec_start + Duration::from_nanos(se.time_until(se.protected_until));
        Some(if end < now { now } else { end })
    }

    /// Runnable entities: the current and all queued ones without the delayed ones.
    #[inline(always)]
    #[must_use]
    pub const fn nr_runnable(&self) -> usize {
        (self.nr_queued - self.nr_delayed) as usize
    }

    /// All queued entities: the current one, those that wait and the delayed ones.
    #[inline(always)]
    #[must_use]
    pub const fn nr_queued(&self) -> usize {
        self.nr_queued as usize
    }

    /// The entity behind a handle.
    #[inline(always)]
    pub fn entity(&self, h: Handle<Entity>) -> &Entity {
        self.arena.get(h)
    }

    /// The arena.
    #[inline(always)]
    pub const fn arena(&self) -> &A {
        &self.arena
    }

    /// The arena, to add or end entities. Those that are queued must not be replaced.
    #[inline(always)]
    pub const fn arena_mut(&mut self) -> &mut A {
        &mut self.arena
    }
}

impl<A: Arena<Entity>> RunQueue<A> {
    #[inline(always)]
    pub(crate) fn total(&self) -> Total {
        self.average.with(self.current.map(|h| self.arena.get(h)))
    }

    /// Accounts for the time since the last charge; a used-up request is followed by the next.
    #[inline(always)]
    pub(crate) fn charge_current(&mut self, now: Instant) {
        let Some(current) = self.current else { return };
        if now <= self.exec_start {
            return;
        }
        let ns = now.as_nanos() - self.exec_start.as_nanos();
        self.exec_start = now;
        let se = self.arena.get_mut(current);
        let allowed = if is_before(se.vruntime, se.protected_until) {
            se.protected_until
        } else {
            se.vruntime
        };
        se.charge(ns);
        let over = (se.vruntime.wrapping_sub(allowed) as i64).max(0) as u64;
        let over = over * u64::from(se.weight());
        if !is_before(se.vruntime, se.deadline) {
            se.next_request(self.tree.is_empty());
        }
        self.step(over);
    }

    /// One that is queued, or current, leaves.
    #[inline(never)]
    pub(crate) fn take_off(&mut self, h: Handle<Entity>, keep_deadline: bool) {
        let average = self.avg_vruntime();
        if self.current == Some(h) {
            self.current = None;
        } else {
            self.unlink(h);
        }
        self.leave(h, average, keep_deadline);
        self.upset();
    }

    #[inline(always)]
    pub(crate) fn link(&mut self, h: Handle<Entity>) {
        let se = self.arena.get(h);
        self.average.add(se);
        self.nr_movable += u32::from(!se.pinned);
        self.tree.insert(&mut self.arena, h);
    }

    #[inline(always)]
    pub(crate) fn unlink(&mut self, h: Handle<Entity>) {
        self.tree.remove(&mut self.arena, h);
        let se = self.arena.get(h);
        self.average.sub(se);
        self.nr_movable -= u32::from(!se.pinned);
    }

    /// Sets where an entity that joins starts, from the lag it left with.
    #[inline(always)]
    fn place(&mut self, h: Handle<Entity>, is_new: bool) {
        let average = self.avg_vruntime();
        let load = self.total().load();
        let se = self.arena.get_mut(h);
        let mut lag = 0;
        if se.vlag != 0 && load != 0 {
            lag = mul_div(se.vlag, load + u64::from(se.weight()), load);
        }
        se.vruntime = average.wrapping_sub(lag as u64);
        if se.relative_deadline {
            se.relative_deadline = false;
            se.deadline = se.vruntime.wrapping_add(se.deadline);
            return;
        }
        let vslice = if is_new { se.vslice() / 2 } else { se.vslice() };
        se.deadline = se.vruntime.wrapping_add(vslice);
    }

    /// Wakes a delayed entity: it keeps its debt; if it has been owed time meanwhile, that was
    /// because it slept, and it starts over at zero lag.
    #[inline(always)]
    fn undelay(&mut self, h: Handle<Entity>) {
        let se = self.arena.get_mut(h);
        se.delayed = false;
        self.nr_delayed -= 1;
        let later = se.vruntime.wrapping_add(1);
        if self.total().is_eligible(later) {
            self.start_over(h);
        }
    }

    #[inline(never)]
    fn start_over(&mut self, h: Handle<Entity>) {
        self.unlink(h);
        let average = self.avg_vruntime();
        let se = self.arena.get_mut(h);
        se.vlag = 0;
        se.vruntime = average;
        se.deadline = average.wrapping_add(se.vslice());
        self.link(h);
    }

    /// Saves the lag of an entity that has been taken out of tree and current.
    #[inline(always)]
    pub(crate) fn leave(&mut self, h: Handle<Entity>, average: u64, keep_deadline: bool) {
        let se = self.arena.get_mut(h);
        se.vlag = average.wrapping_sub(se.vruntime) as i64;
        if se.vlag != 0 {
            let limit = se.vlag_limit();
            se.vlag = se.vlag.clamp(-limit, if se.delayed { 0 } else { limit });
        }
        se.queued = false;
        if keep_deadline {
            se.deadline = se.deadline.wrapping_sub(se.vruntime);
            se.relative_deadline = true;
        }
        self.nr_queued -= 1;
        if se.delayed {
            se.delayed = false;
            self.nr_delayed -= 1;
        }
    }
}
