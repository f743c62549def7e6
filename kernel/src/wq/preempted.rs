//! Workers that wait for their core: the pool is told when that lasts (beyond Linux; rows E2, E4).
//!
//! A preempted worker counts as running, so its pool waits for it. A queue made with
//! [`super::Builder::preemption_aware`] has its pool go on without it once it has been runnable and off
//! its core for [`super::preempted_threshold`] ([`workqueue::Pool::preempted`]).
//!
//! The times are exact: when such a worker is switched out while runnable, the core's hardware timer is set for
//! the end of the threshold (`crate::timer::CoreClock::watch`). A worker that has its core back in time
//! only clears its own note; the timer then fires once for nothing. When it fires, the two pools of threads
//! of this core are gone through: O(workers), at most once for each threshold.
//!
//! A worker counts again before it does anything else: at the end of the switch to it, interrupts masked. So
//! the pool never counts one that runs as absent, and none of its own hooks finds it so.

use core::sync::atomic::{AtomicU64, Ordering};

use links::Handle;
use machine::{Duration, Instant};
use workqueue::Worker as WorkerNode;

use super::handles::worker_of;
use super::hotplug::of_threads;
use super::pool::{Inner, Pool};
use super::worker::of_thread;
use crate::cpu::{CpuLocal, this_cpu};
use crate::kernel;
use crate::thread::Thread;
use crate::trace::{Kind, emit};

/// [`Watch::after`] and [`Watch::due`] of a thread that nobody watches.
const NEVER: u64 = u64::MAX;
/// [`Watch::due`] of a thread whose pool counts it no more, and must be told when it is back.
const TOLD: u64 = 0;

/// What a thread knows of its waiting for a core.
#[derive(Debug)]
pub(crate) struct Watch {
    /// `[A]` changed by the thread itself: how long it may wait until its pool is told, in nanoseconds.
    after: AtomicU64,
    /// `[A]` when that will be, while it waits. Changed on the core that it waits for, with interrupts
    /// masked, or by itself.
    due: AtomicU64,
}

impl Watch {
    pub(crate) const fn new() -> Self {
        Self {
            after: AtomicU64::new(NEVER),
            due: AtomicU64::new(NEVER),
        }
    }

    /// The running thread, a worker, begins an item of a queue that asked.
    pub(super) fn begin(&self, after: Duration) {
        self.after.store(after.as_nanos(), Ordering::Relaxed);
    }

    /// The item is over.
    pub(super) fn end(&self) {
        self.after.store(NEVER, Ordering::Relaxed);
    }
}

/// At a switch, under the runqueue's lock: `prev` leaves core `c`, this one, and wants it back.
#[inline(always)]
pub(crate) fn switched_out(c: &CpuLocal, prev: &Thread, now: Instant) {
    if prev.watch.after.load(Ordering::Relaxed) != NEVER {
        begin_to_wait(c, prev, now);
    }
}

#[cold]
fn begin_to_wait(c: &CpuLocal, t: &Thread, now: Instant) {
    let due = now + Duration::from_nanos(t.watch.after.load(Ordering::Relaxed));
    t.watch.due.store(due.as_nanos(), Ordering::Relaxed);
    c.clock.watch(due);
}

/// After a switch, on the side of `t`, which runs now: interrupts are masked, no lock is held.
#[inline(always)]
pub(crate) fn switched_in(t: &Thread) {
    if t.watch.due.load(Ordering::Relaxed) != NEVER {
        is_back(t);
    }
}

#[cold]
fn is_back(t: &Thread) {
    if t.watch.due.swap(NEVER, Ordering::Relaxed) != TOLD {
        return;
    }
    // None: its item panicked, and it is a worker no more.
    let Some(w) = of_thread(t) else { return };
    let pool = w.pool();
    let mut g = pool.lock();
    let Inner { policy, store, .. } = &mut *g;
    policy.back(store, w.handle());
    emit(Kind::WorkerBack, pool.head(), 0, 0);
}

/// The time that a thread of this core may have waited for is over; from the timer's interrupt.
#[cold]
pub(crate) fn time_is_over(now: Instant) {
    let c = this_cpu();
    for pool in of_threads(c) {
        let mut g = pool.lock();
        // Without their core workers are elsewhere, and nobody counts.
        while g.policy.has_core() {
            match first(c, &g) {
                Some((w, due)) if due <= now => tell(pool, &mut g, w, now),
                Some((_, due)) => {
                    c.clock.watch(due);
                    break;
                }
                None => break,
            }
        }
    }
}

/// Who of a pool of core `c`, this one, is due first among those that wait for it.
fn first(c: &CpuLocal, g: &Inner) -> Option<(Handle<WorkerNode>, Instant)> {
    let mut first = None;
    g.policy.each_worker(&g.store, |w| {
        let here = |t: &&_| Thread::cpu(t) == c.id();
        let Some(t) = worker_of(w).thread().map(|t| &**t).filter(here) else {
            return;
        };
        let due = t.watch.due.load(Ordering::Relaxed);
        let sooner = first.is_none_or(|(_, at)| due < at);
        if due != NEVER && due != TOLD && sooner {
            first = Some((w, due));
        }
    });
    first.map(|(w, due)| (w, Instant::from_nanos(due)))
}

/// Tells `pool` that `w` has waited for its core for long.
fn tell(pool: &'static Pool, g: &mut Inner, w: Handle<WorkerNode>, now: Instant) {
    let Some(t) = worker_of(w).thread() else {
        return;
    };
    let Inner { policy, store, .. } = g;
    let over = policy.preempted(store, w);
    let due = if over.is_some() { TOLD } else { NEVER };
    t.watch.due.store(due, Ordering::Relaxed);
    if let Some(over) = over {
        let (id, at) = (u64::from(t.id()), now.as_nanos());
        emit(Kind::WorkerPreempted, pool.head(), id, at);
        // The start of the next item depends on another worker now.
        super::urge::look_again(pool, g);
        pool.wake(over.wake);
        kernel().wq.preempted.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often so far a pool went on without a worker that waited for its core for long.
#[must_use]
pub fn preempted_count() -> u64 {
    kernel().wq.preempted.load(Ordering::Relaxed)
}
