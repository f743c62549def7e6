//! On which core a thread is, and who decides on which it may be.

use core::sync::atomic::Ordering;

use super::Thread;

impl Thread {
    /// Whether the kernel alone decides on which cores it runs: workers, `ksoftirqd` and idle threads, as Linux's
    /// `PF_NO_SETAFFINITY`.
    pub fn has_fixed_cores(&self) -> bool {
        let per_core = ["ksoftirqd/", "idle/"];
        !self.worker.load(Ordering::Relaxed).is_null()
            || per_core.iter().any(|name| self.name().starts_with(name))
    }

    /// Whether its core executes it at this moment; stale at once.
    pub(crate) fn has_core(&self) -> bool {
        let current = crate::cpu::cpu(self.cpu()).current.load(Ordering::Relaxed);
        core::ptr::eq(current, self)
    }
}
