//! What others see of a core's runqueue: its load, who runs, how long it has been idle.
#![expect(
    unsafe_code,
    reason = "a core's running thread, under its runqueue's lock"
)]

use core::sync::atomic::Ordering;

use crate::cpu::CpuLocal;
use crate::thread::{self, Name, Thread};

impl CpuLocal {
    #[inline(always)]
    pub(super) fn publish_load(&self, n: usize) {
        self.nr_runnable.store(n as u64, Ordering::Relaxed);
    }

    /// Runnable threads on this core, the running one included; a hint.
    pub fn load(&self) -> usize {
        self.nr_runnable.load(Ordering::Relaxed) as usize
    }

    /// Name of the thread that runs on this core; stale at once.
    pub fn current_name(&self) -> Name {
        let rq = self.rq.lock();
        let t = self.current.load(Ordering::Relaxed);
        // SAFETY: a core's running thread changes, and the one before is freed, only after this
        // lock was taken for the switch, so while it is held the pointer is good.
        let name = unsafe { t.as_ref() }.map_or_else(Name::new, |t| thread::cut(t.name()));
        drop(rq);
        name
    }

    /// Number of the thread that runs on this core; 0 for its idle thread. Stale at once.
    pub fn current_id(&self) -> u32 {
        let _rq = self.rq.lock();
        let t = self.current.load(Ordering::Relaxed);
        if self
            .idle
            .get()
            .is_some_and(|idle| core::ptr::eq(&raw const **idle, t))
        {
            return 0;
        }
        // SAFETY: as for `current_name`.
        unsafe { t.as_ref() }.map_or(0, Thread::id)
    }

    /// Context switches of this core so far.
    pub fn switches(&self) -> u64 {
        self.rq.lock().switches
    }

    /// Nanoseconds this core has been idle, the running idle period included.
    pub fn idle_ns(&self) -> u64 {
        let rq = self.rq.lock();
        let base = self.idle_ns.load(Ordering::Relaxed);
        let idle = rq.queue.current().is_none();
        base + if idle {
            machine::now().since(rq.idle_since).as_nanos()
        } else {
            0
        }
    }
}
