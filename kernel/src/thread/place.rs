//! On which core a thread is, and who decides on which it may be.
#![expect(unsafe_code, reason = "cores' data lives for ever")]

use core::sync::atomic::Ordering;

use machine::CpuId;

use super::Thread;
use crate::cpu::{CpuLocal, CpuMask};
use crate::kernel::{Kernel, kernel};
use crate::{schedule, trace};

impl Thread {
    /// Core whose runqueue owns the thread; a hint unless that runqueue is locked.
    #[inline(always)]
    pub fn cpu(&self) -> CpuId {
        self.core().id()
    }

    /// As [`Self::cpu`]: the core's data.
    #[inline(always)]
    pub(crate) fn core(&self) -> &'static CpuLocal {
        core_at(self.home.get())
    }

    /// Locks the runqueue that owns the thread.
    #[inline(always)]
    pub(crate) fn lock_core<G>(
        &self,
        mut lock: impl FnMut(&'static CpuLocal) -> G,
    ) -> (&'static CpuLocal, G) {
        let (c, guard) = self.home.lock(|c| lock(core_at(c)));
        (core_at(c), guard)
    }

    /// Moves the thread to another core's care; under the runqueue lock of the old one.
    #[inline(always)]
    pub(crate) fn set_core(&self, c: &'static CpuLocal) {
        self.home.move_to(core::ptr::from_ref(c).cast_mut());
    }

    /// Cores it may run on.
    pub fn affinity(&self) -> CpuMask {
        CpuMask(self.affinity.load(Ordering::Relaxed))
    }

    /// Cores it may use now: those of its affinity that are online, or all that are online while none
    /// of them is.
    #[inline(always)]
    pub(crate) fn allowed(&self) -> CpuMask {
        self.allowed_of(kernel())
    }

    /// As [`Self::allowed`], for who has the kernel at hand.
    #[inline(always)]
    pub(crate) fn allowed_of(&self, kernel: &Kernel) -> CpuMask {
        let online = CpuMask(kernel.online.load(Ordering::Relaxed));
        let both = self.affinity().and(online);
        if both.is_empty() { online } else { both }
    }

    /// Sets the cores it may run on, at once: a running or queued thread moves there. While
    /// none of them is online it runs anywhere.
    pub fn set_affinity(&self, mask: CpuMask) {
        schedule::set_affinity(self, mask);
    }

    /// Stores what [`Self::set_affinity`] asks for; under the lock of the runqueue that owns it.
    pub(crate) fn store_affinity(&self, mask: CpuMask) {
        self.affinity.store(mask.0, Ordering::Relaxed);
        trace::emit(
            trace::Kind::SchedSetAffinity,
            trace::Head::of(self.id),
            0,
            mask.0,
        );
    }

    /// Notes whether its core is the only one of its affinity; under the lock of that core's runqueue, whenever
    /// one of the two has changed.
    pub(crate) fn note_whether_it_stays(&self) {
        let stays = self.affinity() == CpuMask::single(self.cpu());
        self.stays.store(stays.into(), Ordering::Relaxed);
    }

    /// What was noted, 0 or 1; under that lock.
    #[inline(always)]
    pub(crate) fn stays(&self) -> u8 {
        self.stays.load(Ordering::Relaxed)
    }

    /// Whether the kernel alone decides on which cores it runs: workers, `ksoftirqd` and idle threads, as Linux's
    /// `PF_NO_SETAFFINITY`.
    pub fn has_fixed_cores(&self) -> bool {
        let per_core = ["ksoftirqd/", "idle/"];
        !self.worker.load(Ordering::Relaxed).is_null()
            || per_core.iter().any(|name| self.name().starts_with(name))
    }

    /// Whether its core executes it at this moment; stale at once.
    pub(crate) fn has_core(&self) -> bool {
        let current = self.core().current.load(Ordering::Relaxed);
        core::ptr::eq(current, self)
    }
}

/// The core that a thread's home names.
#[inline(always)]
fn core_at(home: *mut CpuLocal) -> &'static CpuLocal {
    // SAFETY: made from a reference to a core's data, which is never freed nor borrowed mutably.
    unsafe { &*home }
}
