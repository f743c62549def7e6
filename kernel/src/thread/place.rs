//! Who decides on which cores a thread may be.

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
}
