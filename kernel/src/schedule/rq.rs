//! What the scheduler keeps for each core, under one lock: the policy's runqueue, and a few notes about it.
#![expect(unsafe_code, reason = "entities of threads, by address")]

use core::sync::atomic::Ordering;

use links::Direct;
use machine::Instant;
use sched::{Decision, Dequeue, Enqueue, Entity, RunQueue};
use sync::SpinGuard;

use crate::cpu::CpuLocal;
use crate::thread::Thread;

/// A runqueue and the mechanism's notes about it, under one lock.
#[derive(Debug)]
pub(crate) struct Rq {
    pub(super) queue: RunQueue<Direct<Entity>>,
    /// When the idle thread got the core; while it runs.
    pub(super) idle_since: Instant,
    /// Context switches on this core.
    pub(crate) switches: u64,
    /// The core is offline: no thread is put here.
    pub(super) closed: bool,
}

impl Rq {
    /// V10: virtual time wraps this long after its beginning, so that whoever compares it wrongly
    /// does so on every machine soon, and not on one in 500 years.
    const BEFORE_THE_WRAP: u64 = 1_000_000;

    pub(crate) const fn new(cores: usize) -> Self {
        // SAFETY: entities are reached only through the runqueue that owns their thread, under its
        // lock; a thread is alive while it is on a runqueue (the scheduler's reference).
        let arena = unsafe { Direct::new() };
        Self {
            queue: RunQueue::starting_at(arena, cores, Self::BEFORE_THE_WRAP.wrapping_neg()),
            idle_since: Instant::ZERO,
            switches: 0,
            closed: false,
        }
    }

    /// Takes `t` off, for whatever reason but that it runs and blocks.
    #[inline(never)]
    pub(super) fn take_off(&mut self, t: &Thread, why: Dequeue, now: Instant) {
        let _gone = self.queue.dequeue(t.handle(), why, now);
    }

    /// Takes over `t` from another core's runqueue.
    #[inline(never)]
    pub(super) fn take_over(&mut self, t: &Thread, now: Instant) -> Decision {
        self.queue.enqueue(t.handle(), Enqueue::Migrate, now)
    }

    /// When the slice of what runs ends; [`Instant::FOREVER`] if nobody waits.
    #[inline(always)]
    pub(super) fn slice_end(&self, now: Instant) -> Instant {
        self.queue.slice_end(now).unwrap_or(Instant::FOREVER)
    }

    /// Core `c` has something to run again.
    #[inline(always)]
    pub(super) fn idle_ended(&self, c: &CpuLocal, now: Instant) {
        let ns = now.since(self.idle_since).as_nanos();
        // Written under this lock only.
        let before = c.idle_ns.load(Ordering::Relaxed);
        c.idle_ns.store(before + ns, Ordering::Relaxed);
    }
}

pub(super) type RqGuard = SpinGuard<'static, Rq>;
