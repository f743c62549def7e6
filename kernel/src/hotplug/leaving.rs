//! The word between a core that shall leave and whoever asked it to.

use core::sync::atomic::{AtomicU32, Ordering};

/// How far a core is with leaving: a word between it and whoever asked it to.
#[derive(Debug)]
pub(crate) struct Leaving(AtomicU32);

impl Leaving {
    /// It need not leave.
    const NO: u32 = 0;
    /// It shall leave when it has nothing to run.
    const ASKED: u32 = 1;
    /// It is at it, and cannot be called back.
    const BEGUN: u32 = 2;
    /// It was not allowed to.
    const REFUSED: u32 = 3;

    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(Self::NO))
    }

    /// The core shall leave.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::ASKED
    }

    /// Release: the core finds itself out of the mask of online cores.
    pub(super) fn ask(&self) {
        self.0.store(Self::ASKED, Ordering::Release);
    }

    fn step(&self, from: u32, to: u32) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The core leaves, unless that was withdrawn.
    pub(super) fn begin(&self) -> bool {
        self.step(Self::ASKED, Self::BEGUN)
    }

    /// The core stays, unless it has begun.
    pub(super) fn withdraw(&self) -> bool {
        self.step(Self::ASKED, Self::NO)
    }

    pub(super) fn refused(&self) {
        self.0.store(Self::REFUSED, Ordering::Release);
    }

    pub(super) fn was_refused(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::REFUSED
    }

    pub(super) fn done(&self) {
        self.0.store(Self::NO, Ordering::Relaxed);
    }
}
