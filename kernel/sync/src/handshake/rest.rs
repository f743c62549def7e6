//! Whether nothing is under way any more, for who looks without a lock.

use crate::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether an object's work is being executed: changed under the lock of whoever executes it.
///
/// Who executes it takes the work by an update of the object's word that releases, and begins before that. So who reads in the
/// word, acquiring, that the work was taken, and then that it is not executed, sees what the execution did.
#[derive(Debug)]
pub struct InRun(AtomicBool);

impl Default for InRun {
    fn default() -> Self {
        Self::new()
    }
}

impl InRun {
    /// It is not executed.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Its execution is about to begin. Relaxed: the update of the word publishes it.
    #[inline(always)]
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The execution is over.
    #[inline(always)]
    pub fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether it is executed; after a "no" what was done is visible.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// How many things came to a place, and how many of them have passed: both only grow, under the lock of the place; but for
/// one that was told of before it came, and did not.
///
/// Equal numbers say that all have passed that came before the look, whatever comes meanwhile: the ones that passed are read
/// first, and what had come by then is at least as much.
#[derive(Debug)]
pub struct Tally {
    passed: AtomicU64,
    entered: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// Nothing came.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            passed: AtomicU64::new(0),
            entered: AtomicU64::new(0),
        }
    }

    /// So many came, ever: to be told before the lock is free. Relaxed: the lock, or the thread's own order, shows it to who
    /// is to know of it.
    #[inline(always)]
    pub fn enter(&self, all: u64) {
        self.entered.store(all, Ordering::Relaxed);
    }

    /// So many of them have passed. May be told late, or not at all: then nobody is told that all have.
    #[inline(always)]
    pub fn pass(&self, all: u64) {
        self.passed.store(all, Ordering::Release);
    }

    /// All have passed that came before the call, and what they did is visible. False says nothing.
    #[inline(always)]
    pub fn is_clear(&self) -> bool {
        let passed = self.passed.load(Ordering::Acquire);
        self.entered.load(Ordering::Relaxed) == passed
    }
}
