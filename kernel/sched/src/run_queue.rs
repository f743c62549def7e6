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
//! Invariants: the current entity is queued but does not wait; between operations no delayed entity is
//! current.
//!
//! Times passed in must not go backwards for one runqueue (if they do, no time is charged). The
//! caller holds the runqueue lock for every operation; none allocates, loops are O(log n) except
//! [`RunQueue::pull_candidate`], which is bounded.
//!
//! Reference: Stoica, Abdel-Wahab, "Earliest Eligible Virtual Deadline First", 1995; rows V1-V10.

use links::{Arena, Handle};
use machine::{Duration, Instant};

use crate::average::Total;
use crate::decision::{Decision, Dequeue, Dequeued, Enqueue};
use crate::entity::{Entity, is_before};
use crate::ledger::Slack;
use crate::waiting::Waiting;

/// Everything runnable on one core.
#[derive(Debug)]
pub struct RunQueue<A: Arena<Entity>> {
    pub(crate) arena: A,
    pub(crate) waiting: Waiting,
    pub(crate) current: Option<Handle<Entity>>,
    /// When the current entity was last charged.
    pub(crate) exec_start: Instant,
    pub(crate) base_slice_ns: u32,
    /// Those that wait and the current one, without those that are delayed.
    pub(crate) nr_runnable: u32,
    /// Somebody here may run on more than one core, as far as it was last looked; see [`Self::may_move_some`].
    pub(crate) some_movable: bool,
    /// There are other cores.
    pub(crate) has_others: bool,
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
            waiting: Waiting::starting_at(zero),
            current: None,
            exec_start: Instant::ZERO,
            base_slice_ns: base_slice(cores).as_nanos() as u32,
            nr_runnable: 0,
            some_movable: cores > 1,
            has_others: cores > 1,
            slack: Slack::NONE,
        }
    }

    /// Makes an entity runnable here. A delayed one, which must be woken on the runqueue it is
    /// delayed on, is re-activated in place. [`Decision::Resched`] when it (or another one whose
    /// turn has come meanwhile) should replace what runs; otherwise [`RunQueue::slice_end`] may
    /// have changed.
    pub fn enqueue(&mut self, h: Handle<Entity>, why: Enqueue, now: Instant) -> Decision {
        match self.join(h, why, now) {
            Some(_) => Decision::Keep,
            None => Decision::Resched,
        }
    }

    /// Takes an entity off: the current one (it blocks, ends or is pushed away) or a queued one.
    /// A delayed one really leaves, whatever the reason.
    pub fn dequeue(&mut self, h: Handle<Entity>, why: Dequeue, now: Instant) -> Dequeued {
        self.charge_current(now);
        let is_current = self.current == Some(h);
        let se = self.arena.get(h);
        debug_assert!(se.queued, "dequeue of an entity that is not queued");
        if why == Dequeue::Sleep && !se.delayed && !self.total().is_eligible(se.vruntime) {
            self.nr_runnable -= 1;
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
        if self.waiting.is_empty() || is_before(se.vruntime, se.protected_until) {
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
        if self.waiting.is_empty() {
            return None;
        }
        let end = self.exec_start + Duration::from_nanos(se.time_until(se.protected_until));
        Some(if end < now { now } else { end })
    }

    /// Runnable entities: the current and all queued ones without the delayed ones.
    #[inline(always)]
    #[must_use]
    pub const fn nr_runnable(&self) -> usize {
        self.nr_runnable as usize
    }

    /// Whether nothing is queued: nobody runs, and nobody waits or is delayed.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
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
        let current = self.current.map(|h| self.arena.get(h));
        self.waiting.with(&self.arena, current)
    }

    /// Accounts for the time since the last charge; a used-up request is followed by the next.
    #[inline(always)]
    pub(crate) fn charge_current(&mut self, now: Instant) {
        if let Some(current) = self.current {
            self.charge(current, now);
        }
    }

    /// As [`Self::charge_current`], of `current`, which runs.
    #[inline(always)]
    pub(crate) fn charge(&mut self, current: Handle<Entity>, now: Instant) {
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
            se.next_request(self.waiting.is_empty());
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
        self.waiting.insert(&mut self.arena, h);
    }

    #[inline(always)]
    pub(crate) fn unlink(&mut self, h: Handle<Entity>) {
        self.waiting.remove(&mut self.arena, h);
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
        // One that is delayed was counted out before.
        self.nr_runnable -= u32::from(!se.delayed);
        se.delayed = false;
    }
}
