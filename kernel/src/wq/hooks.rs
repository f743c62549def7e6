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
use crate::trace::{Kind, emit};

/// `t`, the running thread, is about to give its core up because it waits (E2). Not called for
/// preemption.
#[inline]
pub(crate) fn worker_sleeping(t: &Thread) {
    let Some(w) = of_thread(t) else { return };
    // Between items a worker is not counted, so there is nothing to tell.
    if w.kind != WorkerKind::Bound || !w.is_busy() {
        return;
    }
    w.slept.set(true);
    let mut g = w.pool().lock();
    emit(Kind::WorkerSleep, w.pool().head(), 0, 0);
    let Inner { policy, store, .. } = &mut *g;
    let wake = policy.block(store, w.handle());
    if w.is_marked(Worker::AHEAD) {
        urge::look_again(w.pool(), &g);
    }
    w.pool().wake(wake);
}

/// `t`, the running thread, got its core back after [`worker_sleeping`] (E3).
#[inline]
pub(crate) fn worker_running(t: &Thread) {
    let Some(w) = of_thread(t) else { return };
    if w.slept.replace(false) {
        let mut g = w.pool().lock();
        emit(Kind::WorkerResume, w.pool().head(), 0, 0);
        let Inner { policy, store, .. } = &mut *g;
        policy.resume(store, w.handle());
        urge::look_again(w.pool(), &g);
        w.set_budget(w.is_counted(&g));
    }
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
    urge::look_again(w.pool(), &g);
    w.pool().wake(over.wake);
    let report = kernel().wq.hogs.count(h);
    drop(g);
    if let Some(hog) = report {
        hog::report(&hog, budget);
    }
}
