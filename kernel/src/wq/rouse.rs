//! Whoever is to work for a pool is woken: an idle worker, or the softirq of a core.

use core::sync::atomic::Ordering;

use links::Handle;
use workqueue::{Kind, Worker as WorkerNode};

use super::handles::worker_of;
use super::pool::Pool;
use super::worker::Worker;
use crate::cpu::CpuMask;
use crate::thread::Thread;
use crate::{schedule, softirq, trace};

impl Pool {
    /// Carries out a wake-up decision; under the pool's lock, so that the worker is still there.
    #[inline(always)]
    pub(super) fn wake(&self, w: Option<Handle<WorkerNode>>) {
        match w {
            None => {}
            Some(_) if self.is_bh() => self.raise_apart(),
            Some(w) => self.wake_thread(w),
        }
    }

    /// As [`Self::wake`], by a worker that gives its core up next.
    #[inline(always)]
    pub(super) fn wake_successor(&self, w: Handle<WorkerNode>) {
        if self.pod.load(Ordering::Relaxed) != 0 {
            // It may be meant for another core.
            return self.wake_thread(w);
        }
        let thread = worker_of(w).thread_of_idle();
        if trace::Told::of(trace::Kind::WorkerWake).any() {
            self.tell_wake(thread);
        }
        schedule::wake_successor(thread);
    }

    /// Says that `thread`, an idle worker's, is woken.
    #[inline(never)]
    fn tell_wake(&self, thread: &Thread) {
        let told = trace::Told::of(trace::Kind::WorkerWake);
        told.emit(told.now(), || (self.head(), u64::from(thread.id()), 0));
    }

    #[inline(never)]
    pub(super) fn wake_thread(&self, w: Handle<WorkerNode>) {
        let thread = worker_of(w).thread_of_idle();
        if trace::Told::of(trace::Kind::WorkerWake).any() {
            self.tell_wake(thread);
        }
        let pod = CpuMask(self.pod.load(Ordering::Relaxed));
        if pod.is_empty() {
            // It is idle, and nearly always asleep.
            schedule::wake_sleeping(thread, CpuMask::ALL);
        } else {
            self.wake_in(pod, w, thread);
        }
    }

    /// Wakes `thread`, that of `w`, on one of the cores `pod`.
    #[inline(never)]
    fn wake_in(&self, pod: CpuMask, w: Handle<WorkerNode>, thread: &Thread) {
        let away = !pod.contains(thread.cpu());
        if schedule::wake_masked(thread, pod) && away {
            self.repatriated.fetch_add(1, Ordering::Relaxed);
            worker_of(w).mark(Worker::REPATRIATED);
        }
    }

    /// Its items are run by softirqs.
    #[inline(always)]
    pub(super) fn is_bh(&self) -> bool {
        self.kind == Kind::Bh
    }

    /// As [`Self::raise`], where time is not short.
    #[inline(never)]
    fn raise_apart(&self) {
        self.raise();
    }

    /// Raises the vector of this BH pool, where it is served: from its making on it has a server.
    #[inline(always)]
    pub(super) fn raise(&self) {
        let server = self.server.load(Ordering::Relaxed);
        softirq::raise_on_masked(server, self.vector());
    }
}
