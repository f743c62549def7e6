//! The part of the seam and of the preempt sections that the shipped files call.

use crate::weak::{Weak, is};

/// Full barrier between a store and a later load.
pub fn fence_full() {
    if !is(Weak::Fence) {
        loom::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }
}

/// One turn of a spin-wait.
pub fn relax() {
    loom::thread::yield_now();
}

/// An interleaving point without effect.
pub const fn sync_point() {}

/// Nobody looks.
pub const fn lock_released(_lock: usize) {}

/// Interrupts do not occur in these models; `tests/interrupts.rs` has them.
pub const fn irqs_masked() -> bool {
    false
}

/// A lock held, for the rank checks.
#[derive(Debug)]
#[expect(missing_docs, reason = "as in the seam")]
pub struct HeldLock {
    pub rank: u8,
    pub name: &'static str,
    pub address: usize,
}

/// Records nothing: lock ranks are not what these models are about.
#[derive(Debug)]
pub struct HeldLocks;

impl HeldLocks {
    /// None.
    pub const fn highest(&self) -> Option<HeldLock> {
        None
    }
    /// Always.
    pub const fn is_empty(&self) -> bool {
        true
    }
    /// Ignored.
    pub const fn push(&self, _: HeldLock) {}
    /// Ignored.
    pub const fn pop(&self, _: usize) {}
}

/// How often locks were waited for: not counted.
#[derive(Debug)]
pub struct Contention;

impl Contention {
    /// Ignored.
    pub const fn count(&self, _: &'static str) {}
}

/// What `percpu()` leads to.
#[derive(Debug)]
pub struct CpuHeader {
    /// The held locks.
    pub held: HeldLocks,
    /// Waits for locks.
    pub contention: Contention,
}

/// The running core's header.
pub const fn percpu() -> &'static CpuHeader {
    static ONE: CpuHeader = CpuHeader {
        held: HeldLocks,
        contention: Contention,
    };
    &ONE
}

/// The sections a lock opens on its core. Each thread of a model is a core of its own, so they only
/// check their place: opened before the lock is taken, and closed after it was released. The other
/// way round an interrupt could come in between and spin for ever.
pub mod preempt {
    use crate::mutex::held_here;

    macro_rules! section {
        ($guard:ident) => {
            /// An open section.
            #[derive(Debug)]
            pub struct $guard(usize);

            impl $guard {
                /// Opens it.
                #[expect(clippy::new_without_default, reason = "as in the shipped crate")]
                pub fn new() -> Self {
                    Self(held_here())
                }
            }

            impl Drop for $guard {
                fn drop(&mut self) {
                    assert_eq!(held_here(), self.0, "a section ended before its lock");
                }
            }
        };
    }

    section!(IrqGuard);

    impl IrqGuard {
        /// One within another.
        pub fn within() -> Self {
            Self::new()
        }

        /// Where interrupts are on.
        pub fn of_enabled() -> Self {
            Self::new()
        }

        /// As one made by [`Self::of_enabled`].
        pub fn known() -> Self {
            Self::new()
        }

        /// Whether it is.
        pub fn began_enabled(&self) -> bool {
            true
        }

        /// Closes it.
        pub fn end_quietly(self) {}
    }

    section!(BhGuard);
    section!(PreemptGuard);

    /// Opens a BH-off section.
    pub fn bh_disable() -> BhGuard {
        BhGuard::new()
    }

    /// Opens a preempt-off section.
    pub fn preempt_disable() -> PreemptGuard {
        PreemptGuard::new()
    }
}
