//! Which object's callback is running, for whoever wants it to be over.

use crate::atomic::{AtomicUsize, Ordering, relax};

/// The object whose callback a core runs, by its address; 0 for none.
///
/// The core takes the object off its list and calls [`Self::begin`] under the list's lock. Whoever
/// then finds the object no longer listed, under that lock, and [`Self::wait`]s, returns after the
/// callback.
#[derive(Debug)]
pub struct Running(AtomicUsize);

impl Default for Running {
    fn default() -> Self {
        Self::new()
    }
}

impl Running {
    /// No callback runs.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// The callback of `object` is about to run. Relaxed: the list's lock publishes it.
    #[inline]
    pub fn begin(&self, object: usize) {
        self.0.store(object, Ordering::Relaxed);
    }

    /// The callback is over; whoever waited sees what it did.
    #[inline]
    pub fn end(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Whether the callback of `object` runs here; under the list's lock, in which "yes" means that
    /// the core takes the lock again when the callback is over. After a "no" what the callback did is
    /// visible.
    #[inline]
    pub fn is(&self, object: usize) -> bool {
        self.0.load(Ordering::Acquire) == object
    }

    /// Spins until no callback of `object` runs here.
    #[inline]
    pub fn wait(&self, object: usize) {
        while self.is(object) {
            relax();
        }
    }
}
