//! Waiting for many: a count that whoever starts keeps one above zero until all are armed.

use crate::atomic::{AtomicUsize, Ordering};

/// How many are still to finish. Exactly one call, of [`Self::armed`] or [`Self::finish`], learns
/// that it was the last, and it sees what all others did before they finished.
#[derive(Debug)]
pub struct Countdown(AtomicUsize);

impl Default for Countdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Countdown {
    /// Nobody to wait for.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Starts arming: nobody is the last until [`Self::armed`]. Relaxed: nobody finishes before it is
    /// added, and adding publishes.
    pub fn start(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// One more to wait for.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// All are armed. True when some have still to finish.
    #[must_use]
    pub fn armed(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) != 1
    }

    /// One has finished. True for the last.
    #[must_use]
    pub fn finish(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
