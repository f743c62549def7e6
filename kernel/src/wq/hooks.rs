//! What the scheduler tells workers' pools (the contract of docs/rules.md 8).
//!
//! Called only for threads with a worker, and dispatched on the worker's kind, so that another
//! scheme can add its own. None of them holds a runqueue lock when it takes the pool's.
#![expect(unsafe_code, reason = "the hogging item is named by its handle")]

use super::handles::item_name;
use super::header::Header;
use super::hog;
use super::pool::Inner;
use super::urge;
use super::worker::{Worker, WorkerKind, of_thread};
use crate::kernel;
use crate::thread::Thread;
use crate::trace::{Kind, Told, emit};

/// `t`, the running thread, is about to give its core up because it waits (E2). Not called for
/// preemption. The worker, if its pool was told: then [`worker_running`] must follow. Interrupts are masked.
#[inline]
#[must_use = "it must be told that the worker is back"]
pub(crate) fn worker_sleeping(t: &Thread) -> Option<&'static Worker> {
    // Between items a worker is not counted, so there is nothing to tell.
    let w = of_thread(t).filter(|w| w.kind == WorkerKind::Bound && w.is_busy())?;
    let pool = w.pool();
    let mut g = pool.lock_masked();
    let told = Told::of(Kind::WorkerSleep);
    if told.any() {
        told.emit(told.now(), || (pool.head(), 0, 0));
    }
    let Inner { policy, store, .. } = &mut *g;
    let wake = policy.block(store, w.handle());
    if w.is_marked(Worker::AHEAD) {
        urge::look_again(pool, &mut g);
    }
    if let Some(next) = wake {
        pool.wake_successor(next);
    }
    Some(w)
}

/// `w`, the running thread's worker, got its core back after [`worker_sleeping`] (E3). Interrupts are masked.
#[inline]
pub(crate) fn worker_running(w: &'static Worker) {
    let pool = w.pool();
    let mut g = pool.lock_masked();
    let told = Told::of(Kind::WorkerResume);
    if told.any() {
        told.emit(told.now(), || (pool.head(), 0, 0));
    }
    let Inner { policy, store, .. } = &mut *g;
    let counted = policy.resume(store, w.handle());
    urge::look_again(pool, &mut g);
    pool.set_budget(counted);
}

/// `t`, the running thread, has had the core for its item's whole budget (E14). From the timer's
/// interrupt.
#[cold]
pub(crate) fn worker_over_budget(t: &Thread) {
    let Some(w) = of_thread(t) else { return };
    let mut g = w.pool().lock();
    let Inner { policy, store, .. } = &mut *g;
    let Some(over) = policy.budget(store, w.handle()) else {
        return;
    };
    // SAFETY: only items have budgets, and the run's count keeps this one alive.
    let h: &Header = unsafe { Header::of(over.item) };
    let function = h.function() as u64;
    emit(
        Kind::WorkerHog,
        w.pool().head(),
        item_name(over.item),
        function,
    );
    let budget = policy.tuning().cpu_intensive_after;
    urge::look_again(w.pool(), &mut g);
    w.pool().wake(over.wake);
    let report = kernel().wq.hogs.count(h);
    drop(g);
    if let Some(hog) = report {
        hog::report(&hog, budget);
    }
}
